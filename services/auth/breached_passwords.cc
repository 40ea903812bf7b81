#include "services/auth/breached_passwords.h"

#include <utility>

#include "absl/log/absl_log.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "services/auth/common_passwords.h"
#include "services/auth/errors.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

absl::Status Breached(std::string_view what, std::string_view rule) {
  return AuthError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("this password ", what, ": attackers try such first, choose another"),
                   "PASSWORD_BREACHED", {{"rule", std::string(rule)}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<BreachedPasswords>> BreachedPasswords::Open(const std::string& file) {
  std::unique_ptr<HashListFile> list;
  if (!file.empty()) {
    ASSIGN_OR_RETURN(list, HashListFile::Open(file));
  }
  return absl::WrapUnique(new BreachedPasswords(std::move(list)));
}

absl::Status BreachedPasswords::Check(std::string_view login, const Secret& password) const {
  const std::string_view text = password.Reveal();
  if (IsAroundWord(text, login) || IsAroundWord(text, login.substr(0, login.find('@')))) {
    return Breached("is hardly more than the login", "login");
  }
  if (IsPattern(text)) {
    return Breached("is a plain repetition or sequence", "pattern");
  }
  if (IsCommonPassword(text)) {
    return Breached("is one of the most common", "common");
  }
  if (file_ != nullptr) {
    const absl::StatusOr<bool> leaked = file_->Contains(crypto::Sha1ForBreachLists(password).Reveal());
    if (!leaked.ok()) {
      // Where the file lies is nothing for who chooses a password.
      ABSL_LOG(ERROR) << leaked.status();
      return AuthError(absl::StatusCode::kInternal,
                       "the list of leaked passwords is damaged: an administrator must see to it",
                       "BREACHED_PASSWORDS_INVALID");
    }
    if (*leaked) {
      return Breached("has been leaked elsewhere", "leaked");
    }
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::auth
