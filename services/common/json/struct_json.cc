#include "services/common/json/struct_json.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/struct.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/json/untrusted_json.h"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

constexpr int64_t kMaxExact = int64_t{1} << 53;

nlohmann::json ToJson(const google::protobuf::Value& value) {
  switch (value.kind_case()) {
    case google::protobuf::Value::kNumberValue: {
      const double number = value.number_value();
      if (std::abs(number) <= static_cast<double>(kMaxExact) && number == std::floor(number)) {
        return static_cast<int64_t>(number);
      }
      return number;
    }
    case google::protobuf::Value::kStringValue:
      return value.string_value();
    case google::protobuf::Value::kBoolValue:
      return value.bool_value();
    case google::protobuf::Value::kStructValue:
      return bulkhead::ToJson(value.struct_value());
    case google::protobuf::Value::kListValue: {
      nlohmann::json array = nlohmann::json::array();
      for (const google::protobuf::Value& element : value.list_value().values()) {
        array.push_back(ToJson(element));
      }
      return array;
    }
    case google::protobuf::Value::kNullValue:
    case google::protobuf::Value::KIND_NOT_SET:
      return nullptr;
  }
  return nullptr;
}

// protobuf refuses to serialize a string that is not UTF-8. nlohmann's own serializer has the
// repair.
std::string ValidUtf8(const std::string& text) {
  bool ascii = true;
  for (const char c : text) {
    ascii = ascii && static_cast<unsigned char>(c) < 0x80;
  }
  if (ascii) {
    return text;
  }
  const std::string quoted =
      nlohmann::json(text).dump(/*indent=*/-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
  return nlohmann::json::parse(quoted).get<std::string>();
}

absl::Status Fill(const nlohmann::json& json, int depth, google::protobuf::Value& value);

absl::Status Fill(const nlohmann::json& json, int depth, google::protobuf::Struct& object) {
  for (const auto& [key, member] : json.items()) {
    if (absl::Status status = Fill(member, depth + 1, (*object.mutable_fields())[ValidUtf8(key)]); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status Fill(const nlohmann::json& json, int depth, google::protobuf::Value& value) {
  if (depth > kMaxJsonDepth) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("JSON nested deeper than ", kMaxJsonDepth, " levels"),
                     {.domain = "bulkhead.json", .reason = "JSON_TOO_DEEP"});
  }
  switch (json.type()) {
    case nlohmann::json::value_t::object:
      return Fill(json, depth, *value.mutable_struct_value());
    case nlohmann::json::value_t::array: {
      google::protobuf::ListValue* list = value.mutable_list_value();
      for (const nlohmann::json& element : json) {
        if (absl::Status status = Fill(element, depth + 1, *list->add_values()); !status.ok()) {
          return status;
        }
      }
      return absl::OkStatus();
    }
    case nlohmann::json::value_t::string:
      value.set_string_value(ValidUtf8(json.get_ref<const std::string&>()));
      return absl::OkStatus();
    case nlohmann::json::value_t::boolean:
      value.set_bool_value(json.get<bool>());
      return absl::OkStatus();
    case nlohmann::json::value_t::number_unsigned:
      if (const uint64_t number = json.get<uint64_t>(); number > static_cast<uint64_t>(kMaxExact)) {
        value.set_string_value(absl::StrCat(number));
      } else {
        value.set_number_value(static_cast<double>(number));
      }
      return absl::OkStatus();
    case nlohmann::json::value_t::number_integer:
      if (const int64_t number = json.get<int64_t>(); number > kMaxExact || number < -kMaxExact) {
        value.set_string_value(absl::StrCat(number));
      } else {
        value.set_number_value(static_cast<double>(number));
      }
      return absl::OkStatus();
    case nlohmann::json::value_t::number_float:
      if (const double number = json.get<double>(); std::isfinite(number)) {
        value.set_number_value(number);
      } else {
        value.set_null_value(google::protobuf::NULL_VALUE);
      }
      return absl::OkStatus();
    case nlohmann::json::value_t::null:
    case nlohmann::json::value_t::binary:
    case nlohmann::json::value_t::discarded:
      value.set_null_value(google::protobuf::NULL_VALUE);
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

nlohmann::json ToJson(const google::protobuf::Struct& object) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, value] : object.fields()) {
    json[key] = ToJson(value);
  }
  return json;
}

absl::StatusOr<google::protobuf::Struct> ToStruct(const nlohmann::json& object) {
  if (!object.is_object()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("expected a JSON object, not ", object.type_name()),
                     {.domain = "bulkhead.json", .reason = "JSON_NOT_AN_OBJECT"});
  }
  google::protobuf::Struct result;
  if (absl::Status status = Fill(object, /*depth=*/0, result); !status.ok()) {
    return status;
  }
  return result;
}

}  // namespace bulkhead
