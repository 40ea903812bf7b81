// Who the user of the command line is at which server, kept between calls.
#ifndef SERVICES_BULKHEAD_CLI_CREDENTIALS_H_
#define SERVICES_BULKHEAD_CLI_CREDENTIALS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/identity/token.h"

namespace bulkhead::cli {

// A signed-in user.
struct Tokens {
  std::string user;  // Format: users/{user}
  RawToken access;
  RawToken refresh;
};

// A JSON file that only its owner may read, with one entry a server.
class CredentialsFile {
 public:
  // `path` need not exist; its folder is made when it is first written.
  explicit CredentialsFile(std::string path) : path_(std::move(path)) {}

  // UNAUTHENTICATED `NOT_SIGNED_IN` when there is no entry; FAILED_PRECONDITION `CREDENTIALS_UNREADABLE` when others
  // may read the file, or it is not ours.
  absl::StatusOr<Tokens> Load(std::string_view server) const;
  // Replaces the entry, whole or not at all.
  absl::Status Save(std::string_view server, const Tokens& tokens) const;

 private:
  std::string path_;
};

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_CREDENTIALS_H_
