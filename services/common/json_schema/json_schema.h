// JSON Schema 2020-12, for the inputs of agents and the inputs and outputs of tools.
#ifndef SERVICES_COMMON_JSON_SCHEMA_JSON_SCHEMA_H_
#define SERVICES_COMMON_JSON_SCHEMA_JSON_SCHEMA_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace bulkhead {

// Where and how an instance breaks its schema.
struct Violation {
  std::string pointer;  // JSON Pointer (RFC 6901) into the instance; "" is the whole.
  std::string message;
};

// A compiled schema. Immutable, thread-safe, does no I/O: a reference out of the schema itself is
// an error.
class JsonSchema {
 public:
  // `json`: a JSON object. INVALID_ARGUMENT `JSON_SCHEMA_INVALID`, domain bulkhead.json, when it is
  // not JSON, not a schema, has an unknown `$schema`, or refers to another document.
  static absl::StatusOr<std::unique_ptr<JsonSchema>> Compile(std::string_view json);
  ~JsonSchema();

  // Every violation, in the schema's order, at most kMaxViolations; empty when `instance` is valid.
  std::vector<Violation> Validate(const nlohmann::json& instance) const;

  static constexpr size_t kMaxViolations = 100;

 private:
  struct State;
  explicit JsonSchema(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The violations as metadata of an error: pointer ("/" for the whole) -> messages, joined by "; ".
std::map<std::string, std::string> ViolationMetadata(const std::vector<Violation>& violations);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_JSON_SCHEMA_JSON_SCHEMA_H_
