#include "services/tool/tables/value_json.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "nlohmann/json.hpp"

namespace bulkhead::tool {

nlohmann::json ToJson(const storage::Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return *integer;
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return std::isfinite(*real) ? nlohmann::json(*real) : nlohmann::json(nullptr);
  }
  if (const auto* text = std::get_if<std::string>(&value)) {
    return *text;
  }
  if (const auto* blob = std::get_if<storage::Blob>(&value)) {
    return absl::AsciiStrToUpper(absl::BytesToHexString(blob->bytes));
  }
  return nullptr;
}

storage::Value FromJson(const nlohmann::json& json) {
  switch (json.type()) {
    case nlohmann::json::value_t::number_integer:
    case nlohmann::json::value_t::number_unsigned:
      return json.get<int64_t>();
    case nlohmann::json::value_t::number_float:
      return json.get<double>();
    case nlohmann::json::value_t::boolean:
      return int64_t{json.get<bool>() ? 1 : 0};
    case nlohmann::json::value_t::string:
      return json.get<std::string>();
    case nlohmann::json::value_t::object:
    case nlohmann::json::value_t::array:
      return json.dump();
    case nlohmann::json::value_t::null:
    case nlohmann::json::value_t::binary:
    case nlohmann::json::value_t::discarded:
      return nullptr;
  }
  return nullptr;
}

}  // namespace bulkhead::tool
