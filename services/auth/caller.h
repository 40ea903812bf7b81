// Who stands behind a call, as the audit log and the throttle name him.
#ifndef SERVICES_AUTH_CALLER_H_
#define SERVICES_AUTH_CALLER_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "services/common/rpc/call_context.h"

namespace bulkhead::auth {

// "users/<id>", "services/<name>" (also when a service acts for a user), or "" for an anonymous
// call.
std::string ActorOf(const rpc::CallContext& call);

// Where the call came from, for the throttle: "192.0.2.7". "" for this machine: whoever sits there
// may be a gateway that did not say for whom it asks, and must not be slowed down for all.
std::string ThrottledAddressOf(const rpc::CallContext& call);

// The id in "<collection>/<id>", as in "users/user-7". INVALID_ARGUMENT `ID_MALFORMED`, `ID_EMPTY`
// or `ID_PLACEHOLDER`.
absl::StatusOr<std::string> ParseName(std::string_view collection, std::string_view name);

// The ids in "users/<user>/<collection>/<id>". Errors as above.
struct OwnedName {
  std::string user;
  std::string id;
};
absl::StatusOr<OwnedName> ParseOwnedName(std::string_view collection, std::string_view name);

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_CALLER_H_
