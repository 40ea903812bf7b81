#include "services/auth/oidc/sign_up.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/auth/role_store.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr size_t kMinLogin = 3;
constexpr size_t kMaxLogin = 40;  // Leaves room for what makes it unique.
constexpr int kCountedLogins = 9;
constexpr size_t kMaxDisplayName = 100;

// Logins that others would take for somebody in charge.
constexpr std::string_view kPromising[] = {"admin", "administrator", "bulkhead", "operator",
                                           "root",  "security",      "support",  "system"};

// What is left of `text` when it is written as a login.
std::string Reduce(std::string_view text) {
  std::string login;
  for (const char c : text.substr(0, text.find('@'))) {
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    if (absl::ascii_islower(lower) || absl::ascii_isdigit(lower) || lower == '-' || lower == '_' || lower == '.') {
      login.push_back(lower);
    } else if (lower == ' ' && !login.empty()) {
      login.push_back('.');
    }
    if (login.size() == kMaxLogin) {
      break;
    }
  }
  return login.size() >= kMinLogin ? login : "";
}

absl::StatusOr<bool> IsFree(storage::Connection& connection, std::string_view login, std::string_view reserved_login) {
  if (login == reserved_login || absl::c_linear_search(kPromising, login)) {
    return false;
  }
  ASSIGN_OR_RETURN(const std::optional<Credentials> taken, UserStore(connection).FindByLoginAcrossUsers(login));
  return !taken.has_value();
}

}  // namespace

std::string LoginFrom(const IdTokenClaims& claims, std::string_view provider) {
  for (const std::string* source : {&claims.preferred_username, &claims.email, &claims.name}) {
    if (std::string login = Reduce(*source); !login.empty()) {
      return login;
    }
  }
  return absl::StrCat(provider, "-user");
}

absl::StatusOr<User> CreateMember(storage::Connection& connection, const IdTokenClaims& claims,
                                  std::string_view provider, std::string_view reserved_login, IdGenerator* ids,
                                  absl::Time now) {
  const std::string base = LoginFrom(claims, provider);
  std::string login = base;
  ASSIGN_OR_RETURN(bool free, IsFree(connection, login, reserved_login));
  for (int i = 2; !free && i <= kCountedLogins; ++i) {
    login = absl::StrCat(base, "-", i);
    ASSIGN_OR_RETURN(free, IsFree(connection, login, reserved_login));
  }
  const std::string id = ids->NewId("user");
  if (!free) {
    // The end of an id, which is there once.
    login = absl::StrCat(base, "-", id.substr(id.size() - std::min<size_t>(id.size(), 12)));
  }
  const bool has_name = !claims.name.empty() && claims.name.size() <= kMaxDisplayName;
  Credentials credentials{.user = {.id = id,
                                   .login = login,
                                   .display_name = has_name ? claims.name : login,
                                   .roles = {kMemberRole},
                                   .disabled = false,
                                   .created_at = now},
                          .password_hash = "",
                          .request_id = ""};
  RETURN_IF_ERROR(UserStore(connection).Insert(credentials));
  return std::move(credentials.user);
}

}  // namespace bulkhead::auth::oidc
