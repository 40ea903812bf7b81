// Finds the route of a request by method and path.
#ifndef SERVICES_GATEWAY_ROUTER_H_
#define SERVICES_GATEWAY_ROUTER_H_

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace bulkhead::gateway {

// Patterns as in google.api.http: "/v1/runs/{run}:cancel". `{name}` stands for one segment without ':' and '/',
// `{name=**}`, at the end, for one or more segments. Immutable and thread-safe.
class Router {
 public:
  struct Pattern {
    std::string_view method;  // Both outlive the router.
    std::string_view path;
  };
  struct Match {
    size_t index = 0;                              // Of the pattern.
    std::map<std::string, std::string> variables;  // Decoded.
  };

  explicit Router(std::vector<Pattern> patterns);

  // The first pattern that matches. `path` is percent-encoded. NOT_FOUND `ROUTE_NOT_FOUND`; UNIMPLEMENTED
  // `METHOD_NOT_ALLOWED` (metadata `allow`) when the path exists for other methods; INVALID_ARGUMENT `TARGET_INVALID`
  // when the path is not percent-encoded properly.
  absl::StatusOr<Match> Find(std::string_view method, std::string_view path) const;

 private:
  const std::vector<Pattern> patterns_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_ROUTER_H_
