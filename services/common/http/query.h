// application/x-www-form-urlencoded, as queries and forms of OAuth are. https://url.spec.whatwg.org/#application/x-www-form-urlencoded
#ifndef SERVICES_COMMON_HTTP_QUERY_H_
#define SERVICES_COMMON_HTTP_QUERY_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace bulkhead::http {

// Decodes "%41", and "+" as a space where forms write it so. Nullopt when malformed, or when a NUL comes out.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);

// The parameters of "a=b&c=d", decoded. INVALID_ARGUMENT `QUERY_MALFORMED` for a broken
// percent-encoding, a NUL, or a parameter that comes twice: one reader would take the first, another the last.
absl::StatusOr<std::map<std::string, std::string>> ParseQuery(std::string_view text);

}  // namespace bulkhead::http

#endif  // SERVICES_COMMON_HTTP_QUERY_H_
