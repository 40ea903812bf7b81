#include "services/common/identity/user_context.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/identity/permission.h"
#include "services/common/ids/id_generator.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead {
namespace {

constexpr std::string_view kServicePrefix = "service-";

// A service has no session. Asking for both keeps a user who managed to be called "service-x" from passing for one.
bool IsService(const TokenClaims& claims) {
  return claims.session.empty() && absl::StartsWith(claims.subject, kServicePrefix);
}

absl::Status ValidateOptionalId(std::string_view kind, std::string_view id) {
  return id.empty() ? absl::OkStatus() : ValidateId(kind, id);
}

absl::Status ValidateClaims(const TokenClaims& claims) {
  RETURN_IF_ERROR(ValidateId("user", claims.subject));
  if (!IsService(claims)) {
    RETURN_IF_ERROR(ValidateId("session", claims.session));
  }
  RETURN_IF_ERROR(ValidateOptionalId("run", claims.run));
  return ValidateOptionalId("actor", claims.actor);
}

absl::Status ValidateRequest(const RequestInfo& request) {
  RETURN_IF_ERROR(ValidateId("request", request.request_id));
  RETURN_IF_ERROR(ValidateOptionalId("request", request.parent_request_id));
  return ValidateOptionalId("thread", request.thread);
}

}  // namespace

absl::StatusOr<UserContext> UserContext::FromToken(const VerifiedToken& token, RequestInfo request) {
  RETURN_IF_ERROR(ValidateClaims(token.claims()));
  RETURN_IF_ERROR(ValidateRequest(request));
  return UserContext(std::make_shared<const State>(State{token.shared_claims(), std::move(request)}));
}

bool UserContext::is_service() const { return IsService(*state_->claims); }

std::string UserContext::user_name() const { return absl::StrCat("users/", user()); }

bool UserContext::May(std::string_view permission) const { return IsGranted(permissions(), permission); }

absl::Status UserContext::Require(std::string_view permission) const {
  if (May(permission)) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kPermissionDenied, absl::StrCat("This needs the permission `", permission, "`."),
                   {.domain = "bulkhead.auth",
                    .reason = "PERMISSION_MISSING",
                    .metadata = {{"permission", std::string(permission)}}});
}

absl::StatusOr<UserContext> UserContext::Child(std::string request_id) const {
  RequestInfo request = state_->request;
  request.parent_request_id = std::exchange(request.request_id, std::move(request_id));
  RETURN_IF_ERROR(ValidateRequest(request));
  return UserContext(std::make_shared<const State>(State{state_->claims, std::move(request)}));
}

}  // namespace bulkhead
