// JSON that somebody else wrote.
#ifndef SERVICES_COMMON_JSON_UNTRUSTED_JSON_H_
#define SERVICES_COMMON_JSON_UNTRUSTED_JSON_H_

#include <string_view>

#include "nlohmann/json_fwd.hpp"

namespace bulkhead {

// Deeper is refused: copying and writing a value recurse, and a few megabytes of brackets would
// overflow the stack. Protobuf's parser bears no more either: each level of JSON is two of its
// (Value and its ListValue or Struct), and it stops at 100.
inline constexpr int kMaxJsonDepth = 48;

// Discarded (is_discarded()) when `text` is not JSON or is nested deeper than kMaxJsonDepth.
nlohmann::json ParseUntrustedJson(std::string_view text);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_JSON_UNTRUSTED_JSON_H_
