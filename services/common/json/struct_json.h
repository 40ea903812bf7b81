// Between google.protobuf.Struct, in which contracts carry free-form objects, and the JSON values
// that the code works with.
#ifndef SERVICES_COMMON_JSON_STRUCT_JSON_H_
#define SERVICES_COMMON_JSON_STRUCT_JSON_H_

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace google::protobuf {
class Struct;
}

namespace bulkhead {

// A Struct knows doubles only: whole numbers within +-2^53 become integers again.
nlohmann::json ToJson(const google::protobuf::Struct& object);

// Integers beyond +-2^53 become strings, as in protobuf's own JSON, because a double would change
// them; NaN and infinities become null; bytes of a text that are not UTF-8 become U+FFFD, which
// protobuf requires. INVALID_ARGUMENT, domain bulkhead.json: `JSON_NOT_AN_OBJECT`, `JSON_TOO_DEEP`
// (more than 48 levels, which protobuf would refuse to parse).
absl::StatusOr<google::protobuf::Struct> ToStruct(const nlohmann::json& object);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_JSON_STRUCT_JSON_H_
