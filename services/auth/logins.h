// What may be a login.
#ifndef SERVICES_AUTH_LOGINS_H_
#define SERVICES_AUTH_LOGINS_H_

#include <string_view>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"

namespace bulkhead::auth {

// 3 to 64 of [a-z0-9._@+-].
inline bool IsLogin(std::string_view login) {
  return login.size() >= 3 && login.size() <= 64 && absl::c_all_of(login, [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                  std::string_view("._@+-").find(c) != std::string_view::npos;
         });
}

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_LOGINS_H_
