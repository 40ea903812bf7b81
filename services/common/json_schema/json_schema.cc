#include "services/common/json_schema/json_schema.h"

#include <exception>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "jsoncons/json.hpp"
#include "jsoncons_ext/jsonschema/jsonschema.hpp"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

absl::Status SchemaInvalid(std::string_view what) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("not a usable JSON Schema: ", what),
      {.domain = "bulkhead.json", .reason = "JSON_SCHEMA_INVALID", .metadata = {{"problem", std::string(what)}}});
}

// Without a detour over text: instances can be megabytes.
jsoncons::json Convert(const nlohmann::json& value) {
  switch (value.type()) {
    case nlohmann::json::value_t::object: {
      jsoncons::json object(jsoncons::json_object_arg);
      for (const auto& [key, member] : value.items()) {
        object.insert_or_assign(key, Convert(member));
      }
      return object;
    }
    case nlohmann::json::value_t::array: {
      jsoncons::json array(jsoncons::json_array_arg);
      array.reserve(value.size());
      for (const auto& element : value) {
        array.push_back(Convert(element));
      }
      return array;
    }
    case nlohmann::json::value_t::string:
      return jsoncons::json(value.get_ref<const std::string&>());
    case nlohmann::json::value_t::boolean:
      return jsoncons::json(value.get<bool>());
    case nlohmann::json::value_t::number_integer:
      return jsoncons::json(value.get<int64_t>());
    case nlohmann::json::value_t::number_unsigned:
      return jsoncons::json(value.get<uint64_t>());
    case nlohmann::json::value_t::number_float: {
      // google.protobuf.Struct knows doubles only: 3.0 that came through one is the integer 3 (JSON
      // Schema says so too).
      return jsoncons::json(value.get<double>());
    }
    case nlohmann::json::value_t::null:
    case nlohmann::json::value_t::binary:
    case nlohmann::json::value_t::discarded:
      return jsoncons::json::null();
  }
  return jsoncons::json::null();
}

}  // namespace

struct JsonSchema::State {
  explicit State(jsoncons::jsonschema::json_schema<jsoncons::json> s) : schema(std::move(s)) {}
  jsoncons::jsonschema::json_schema<jsoncons::json> schema;
};

JsonSchema::JsonSchema(std::unique_ptr<State> state) : state_(std::move(state)) {}
JsonSchema::~JsonSchema() = default;

absl::StatusOr<std::unique_ptr<JsonSchema>> JsonSchema::Compile(std::string_view json) {
  // jsoncons reports by exceptions; none leaves this file.
  try {
    jsoncons::json schema = jsoncons::json::parse(json);
    if (!schema.is_object()) {
      return SchemaInvalid("it must be a JSON object");
    }
    return std::unique_ptr<JsonSchema>(
        new JsonSchema(std::make_unique<State>(jsoncons::jsonschema::make_json_schema(std::move(schema)))));
  } catch (const std::exception& e) {
    return SchemaInvalid(e.what());
  }
}

std::vector<Violation> JsonSchema::Validate(const nlohmann::json& instance) const {
  std::vector<Violation> violations;
  try {
    state_->schema.validate(Convert(instance), [&](const jsoncons::jsonschema::validation_message& message) {
      violations.push_back({message.instance_location().string(), message.message()});
      return violations.size() < kMaxViolations ? jsoncons::jsonschema::walk_result::advance
                                                : jsoncons::jsonschema::walk_result::abort;
    });
  } catch (const std::exception& e) {
    // For example a `pattern` too complex for the text: what cannot be checked is not valid.
    violations.push_back({"", absl::StrCat("cannot be checked: ", e.what())});
  }
  return violations;
}

std::map<std::string, std::string> ViolationMetadata(const std::vector<Violation>& violations) {
  std::map<std::string, std::string> metadata;
  for (const Violation& violation : violations) {
    std::string& messages = metadata[violation.pointer.empty() ? "/" : violation.pointer];
    absl::StrAppend(&messages, messages.empty() ? "" : "; ", violation.message);
  }
  return metadata;
}

}  // namespace bulkhead
