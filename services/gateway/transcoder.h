// HTTP requests to rpcs and back: JSON body, query and path become the rpc's request message.
#ifndef SERVICES_GATEWAY_TRANSCODER_H_
#define SERVICES_GATEWAY_TRANSCODER_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/gateway/routes.h"

namespace google::protobuf {
class Message;
}

namespace bulkhead::gateway {

// What an rpc needs to know of itself to be called by name.
struct RpcShape {
  const google::protobuf::Message* request = nullptr;  // Prototypes; null for a route without an rpc.
  const google::protobuf::Message* response = nullptr;
  bool anonymous = false;  // Declared (bulkhead.common.v1.anonymous).
};

// The shape of each route, in their order. INTERNAL `ROUTE_INVALID` when the table names a method or a field that does
// not exist.
absl::StatusOr<std::vector<RpcShape>> ResolveRoutes();

// Values that a request brings, in the order in which they are applied: each overwrites what the ones before have set.
struct RequestSources {
  std::string_view body;                                          // JSON, or "".
  const std::map<std::string, std::string>* query = nullptr;      // By the name of the field, in camel case or not.
  const std::map<std::string, std::string>* variables = nullptr;  // Of the path, and "me".
};

// The request message of `route`. INVALID_ARGUMENT `JSON_INVALID`, `QUERY_INVALID` (metadata `parameter`).
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> MakeRequest(const Route& route, const RpcShape& shape,
                                                                       const RequestSources& sources);

// "users/{me}/runs/{run}" with the variables in place.
std::string Expand(std::string_view pattern, const std::map<std::string, std::string>& variables);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_TRANSCODER_H_
