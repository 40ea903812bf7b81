// The cookie that binds a sign-in through an OpenID provider to the browser that began it. RFC 6265, RFC 9700 section 4.7.
#ifndef SERVICES_GATEWAY_SIGN_IN_COOKIE_H_
#define SERVICES_GATEWAY_SIGN_IN_COOKIE_H_

#include <string>
#include <string_view>

#include "services/gateway/http_message.h"

namespace bulkhead::gateway {

// Where providers send browsers back to, and the only path that gets the cookie.
inline constexpr char kSignInCallbackPath[] = "/v1/oidc/callback";

// A Set-Cookie header with the sign-in's state: out of reach of scripts, never sent for another site, over TLS only unless `base_url` is this machine's own.
std::string SignInCookie(std::string_view state, std::string_view base_url);
// One that removes it.
std::string NoSignInCookie(std::string_view base_url);

// The state in a request; "" when there is none, or more than one: another site on the same domain may have planted it.
std::string SignInStateOf(const HttpRequest& request);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_SIGN_IN_COOKIE_H_
