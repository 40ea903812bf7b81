// Passwords that attackers try first.
#ifndef SERVICES_AUTH_BREACHED_PASSWORDS_H_
#define SERVICES_AUTH_BREACHED_PASSWORDS_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/auth/hash_list_file.h"
#include "services/common/crypto/secret.h"

namespace bulkhead::auth {

// NIST SP 800-63B section 5.1.1.2: new passwords are compared with those known to be common, expected or compromised.
// Thread-safe.
class BreachedPasswords {
 public:
  // `file` is one for HashListFile; "" leaves it to what everybody's list begins with. The errors of HashListFile.
  static absl::StatusOr<std::unique_ptr<BreachedPasswords>> Open(const std::string& file);

  // INVALID_ARGUMENT `PASSWORD_BREACHED`, whose metadata `rule` says why: "login" (his login, or hardly more than that),
  // "pattern" (a repetition, or a run along the alphabet or the keyboard), "common", "leaked" (on the list). INTERNAL
  // `BREACHED_PASSWORDS_INVALID` when the file has been damaged since. Blocks for short reads.
  absl::Status Check(std::string_view login, const Secret& password) const;

 private:
  explicit BreachedPasswords(std::unique_ptr<HashListFile> file) : file_(std::move(file)) {}

  const std::unique_ptr<HashListFile> file_;  // Null without one.
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_BREACHED_PASSWORDS_H_
