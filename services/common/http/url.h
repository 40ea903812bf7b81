// Absolute http and https addresses. RFC 3986, RFC 9110 section 4.2.
#ifndef SERVICES_COMMON_HTTP_URL_H_
#define SERVICES_COMMON_HTTP_URL_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace bulkhead::http {

struct Url {
  bool https = false;
  std::string host;       // Lower case; of an IPv6 address without its brackets.
  uint16_t port = 0;      // The scheme's own when the address names none.
  std::string target;     // Path and query as they came, percent-encoded; at least "/".
  std::string authority;  // As the Host header names it: without the scheme's own port.
};

// INVALID_ARGUMENT `URL_INVALID` (metadata `url`) for anything else: other schemes, user names, fragments, spaces, an empty host, a port out of range.
absl::StatusOr<Url> ParseUrl(std::string_view text);

// Whether `host` is this machine by its very name: 127.0.0.0/8, ::1, localhost.
bool IsLoopback(std::string_view host);

// "a=b&c=d" with everything but unreserved characters percent-encoded; appends to `query`.
void AppendParameter(std::string_view name, std::string_view value, std::string& query);

}  // namespace bulkhead::http

#endif  // SERVICES_COMMON_HTTP_URL_H_
