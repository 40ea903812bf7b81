// Who is asking, and for what: the identity that every call carries and every service checks.
#ifndef SERVICES_COMMON_IDENTITY_USER_CONTEXT_H_
#define SERVICES_COMMON_IDENTITY_USER_CONTEXT_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/identity/token.h"

namespace bulkhead {

// What a request brings besides its token.
struct RequestInfo {
  std::string request_id;         // Never empty in a UserContext.
  std::string parent_request_id;  // "" at the edge.
  std::string thread;             // "" outside a conversation.
  std::string traceparent;        // W3C trace context, or "".
  std::string client;             // User agent or program, for audit.
  absl::Time deadline = absl::InfiniteFuture();
};

// Immutable, cheap to copy, thread-safe.
class UserContext {
 public:
  // The only way in. INVALID_ARGUMENT with ID_EMPTY, ID_PLACEHOLDER or ID_MALFORMED when user, session, run, thread or
  // request id is not acceptable (ids.h); services' own tokens have no session.
  static absl::StatusOr<UserContext> FromToken(const VerifiedToken& token, RequestInfo request);

  const std::string& user() const { return state_->claims->subject; }
  const std::string& session() const { return state_->claims->session; }
  const std::string& run() const { return state_->claims->run; }
  const std::string& actor() const { return state_->claims->actor; }
  const std::vector<std::string>& roles() const { return state_->claims->roles; }
  const std::vector<std::string>& permissions() const { return state_->claims->permissions; }
  const TokenClaims& claims() const { return *state_->claims; }
  const RequestInfo& request() const { return state_->request; }
  // True for the platform's own services ("service-agent").
  bool is_service() const;
  // "users/<id>".
  std::string user_name() const;

  bool May(std::string_view permission) const;
  // PERMISSION_DENIED `PERMISSION_MISSING` (metadata `permission`) unless May(permission).
  absl::Status Require(std::string_view permission) const;

  // The same identity for a request made on behalf of this one: new request id, this one as its parent.
  absl::StatusOr<UserContext> Child(std::string request_id) const;

 private:
  struct State {
    std::shared_ptr<const TokenClaims> claims;
    RequestInfo request;
  };
  explicit UserContext(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_USER_CONTEXT_H_
