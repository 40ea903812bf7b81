#include "services/gateway/sign_in_cookie.h"

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/http/url.h"

namespace bulkhead::gateway {
namespace {

constexpr std::string_view kName = "bulkhead_sign_in";
constexpr int kMaxAgeSeconds = 600;  // As long as auth waits.

std::string Cookie(std::string_view value, int max_age, std::string_view base_url) {
  const absl::StatusOr<http::Url> url = http::ParseUrl(base_url);
  const bool own_machine = url.ok() && !url->https && http::IsLoopback(url->host);
  return absl::StrCat(kName, "=", value, "; Path=", kSignInCallbackPath, "; Max-Age=", max_age,
                      "; HttpOnly; SameSite=Strict", own_machine ? "" : "; Secure");
}

}  // namespace

std::string SignInCookie(std::string_view state, std::string_view base_url) {
  return Cookie(state, kMaxAgeSeconds, base_url);
}

std::string NoSignInCookie(std::string_view base_url) { return Cookie("", 0, base_url); }

std::string SignInStateOf(const HttpRequest& request) {
  std::string state;
  for (std::string_view pair : absl::StrSplit(request.header("cookie"), ';')) {
    pair = absl::StripAsciiWhitespace(pair);
    if (absl::ConsumePrefix(&pair, kName) && absl::ConsumePrefix(&pair, "=")) {
      if (!state.empty()) {
        return "";
      }
      state = std::string(pair);
    }
  }
  return state;
}

}  // namespace bulkhead::gateway
