// What an OAuth 2.0 endpoint is asked, and how it refuses: forms in, JSON out. RFC 6749.
#ifndef SERVICES_GATEWAY_OAUTH_REQUEST_H_
#define SERVICES_GATEWAY_OAUTH_REQUEST_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/crypto/secret.h"
#include "services/gateway/http_message.h"

namespace bulkhead::gateway {

// A program that proves who it is. RFC 6749 section 2.3.1.
struct ClientCredentials {
  std::string id;
  Secret secret;
};

// The form of one request.
class OAuthRequest {
 public:
  // INVALID_ARGUMENT `OAUTH_REQUEST_INVALID` for another media type, parameters in the URL (which are logged on the way), or one that comes
  // twice (RFC 6749 section 3.2). One without a value counts as absent.
  static absl::StatusOr<OAuthRequest> Parse(const HttpRequest& http, std::string_view body);

  // "" when absent.
  std::string Get(std::string_view parameter) const;
  // INVALID_ARGUMENT `OAUTH_REQUEST_INVALID` when absent.
  absl::StatusOr<std::string> Require(std::string_view parameter) const;

  // By HTTP Basic or in the form; nullopt when the request brings no secret. INVALID_ARGUMENT `OAUTH_REQUEST_INVALID` for both at once;
  // UNAUTHENTICATED `OAUTH_CLIENT_INVALID` for what cannot be read, or another scheme than Basic.
  absl::StatusOr<std::optional<ClientCredentials>> Client() const;
  // The same, where there must be one: UNAUTHENTICATED `OAUTH_CLIENT_MISSING`.
  absl::StatusOr<ClientCredentials> RequireClient() const;

 private:
  std::map<std::string, std::string, std::less<>> parameters_;
  std::string authorization_;
};

// Which error of RFC 6749 section 5.2 stands for a refusal; where a service's reason means different things to different grants, the endpoint says.
struct OAuthError {
  int status = 400;
  std::string_view error;  // "invalid_grant"
};
OAuthError OAuthErrorOf(const absl::Status& refusal);

// {"error", "error_description", "error_reason"}: the last is our ErrorInfo's reason. Not to be stored.
HttpResponse OAuthErrorResponse(const absl::Status& refusal, OAuthError error);

// JSON that is not to be stored: it holds tokens, or tells of them.
HttpResponse UnstoredJson(std::string json);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_OAUTH_REQUEST_H_
