#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"
#include "services/agent/agents/analysis_parts.h"

namespace bulkhead::agent::analyst {

using nlohmann::json;

namespace {

Role FindRole(const Column& column, int64_t rows) {
  if (column.count == 0) {
    return Role::kEmpty;
  }
  if (column.distinct == 1) {
    return column.missing == 0 || rows < 2 ? Role::kConstant : Role::kCategory;
  }
  if (column.type == "date" || column.type == "datetime") {
    return Role::kTime;
  }
  if (column.type == "boolean") {
    return Role::kCategory;
  }
  const std::vector<std::string> words = WordsOf(column.name);
  if (column.IsNumber()) {
    if (column.IsInteger() && HasWord(words, {"year", "yr"}) && column.min >= 1500.0 && column.max <= 2200.0) {
      return Role::kTime;
    }
    const bool names_things = HasWord(
        words, {"id", "ids", "uuid", "key", "zip", "zipcode", "postcode", "code", "phone", "index", "no", "nr"});
    const bool all_different = column.distinct == column.count;
    // 1, 2, 3... without gaps is a numbering, whatever its name.
    const bool numbering = column.IsInteger() && all_different && column.count >= 20 &&
                           *column.max - *column.min + 1 <= 1.1 * static_cast<double>(column.count);
    if (numbering || (column.IsInteger() && names_things && 2 * column.distinct > column.count)) {
      return Role::kIdentifier;
    }
    if (column.IsInteger() && (column.distinct == 2 || (names_things && column.distinct <= 1000))) {
      return Role::kCategory;
    }
    return Role::kMeasure;
  }
  if (column.distinct == column.count && HasWord(words, {"id", "ids", "uuid", "key", "code"})) {
    return Role::kIdentifier;
  }
  return column.count >= 2 * column.distinct ? Role::kCategory : Role::kText;
}

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kUnknown:
      return "not profiled";
    case Role::kEmpty:
      return "empty";
    case Role::kConstant:
      return "constant";
    case Role::kIdentifier:
      return "identifier";
    case Role::kText:
      return "free text";
    case Role::kCategory:
      return "category";
    case Role::kMeasure:
      return "measure";
    case Role::kTime:
      return "time";
  }
  return "";
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) {
      words.push_back(absl::AsciiStrToLower(word));
      word.clear();
    }
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!absl::ascii_isalnum(c) && c < 0x80) {
      if (c != '\'') {  // "bird's" is one word.
        end_word();
      }
      continue;
    }
    if (absl::ascii_isupper(c) && !word.empty() && absl::ascii_islower(static_cast<unsigned char>(word.back()))) {
      end_word();
    }
    word += static_cast<char>(c);
  }
  end_word();
  return words;
}

std::optional<double> NumberOf(const json& value) {
  if (value.is_number()) {
    return value.get<double>();
  }
  if (value.is_boolean()) {
    return value.get<bool>() ? 1 : 0;
  }
  // Integers that a double cannot hold travel as text.
  double number = 0;
  if (value.is_string() && absl::SimpleAtod(value.get_ref<const std::string&>(), &number) && std::isfinite(number)) {
    return number;
  }
  return std::nullopt;
}

std::string TextOf(const json& value, const Column& column) {
  if (value.is_null()) {
    return "(none)";
  }
  if (column.type == "boolean") {
    return NumberOf(value).value_or(0) != 0 ? "true" : "false";
  }
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()) &&
      std::abs(value.get<double>()) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(value.get<double>()));
  }
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

Table ParseTable(const json& loaded) {
  Table table{.name = StringAt(loaded, "table"), .rows = CountAt(loaded, "rows")};
  for (const json& column : ArrayAt(loaded, "columns")) {
    table.columns.push_back(
        {.name = StringAt(column, "name"), .type = StringAt(column, "type"), .missing = CountAt(column, "missing")});
  }
  return table;
}

void TakeProfile(const json& profile, int64_t rows, Column& column) {
  column.profiled = true;
  column.count = CountAt(profile, "count");
  column.missing = CountAt(profile, "missing");
  column.distinct = CountAt(profile, "distinct");
  const bool has_values = column.count > 0;
  const json& min = has_values && profile.contains("min") ? profile["min"] : json();
  const json& max = has_values && profile.contains("max") ? profile["max"] : json();
  column.min_text = has_values ? TextOf(min, column) : "";
  column.max_text = has_values ? TextOf(max, column) : "";
  if (column.IsNumber() || column.type == "boolean") {
    column.min = NumberOf(min);
    column.max = NumberOf(max);
    column.mean = NumberAt(profile, "mean");
    column.stddev = NumberAt(profile, "stddev");
    column.q1 = NumberAt(profile, "q1");
    column.median = NumberAt(profile, "median");
    column.q3 = NumberAt(profile, "q3");
  }
  if (profile.contains("outliers") && profile["outliers"].is_object()) {
    const json& outliers = profile["outliers"];
    column.outliers = Outliers{NumberAt(outliers, "low").value_or(0), NumberAt(outliers, "high").value_or(0),
                               CountAt(outliers, "count")};
  }
  for (const json& top : ArrayAt(profile, "top")) {
    column.top.push_back({top.contains("value") ? TextOf(top["value"], column) : "", CountAt(top, "count")});
  }
  column.histogram = ArrayAt(profile, "histogram");
  if (profile.contains("sql") && profile["sql"].is_object()) {
    for (const auto& [what, sql] : profile["sql"].items()) {
      if (sql.is_string()) {
        column.statements.push_back({absl::StrCat(column.name, ": ", what), sql.get<std::string>()});
      }
    }
  }
  column.role = FindRole(column, rows);
}

Rows ParseRows(const json& answer) {
  Rows rows;
  for (const json& column : ArrayAt(answer, "columns")) {
    rows.columns.push_back(StringAt(column, "name"));
  }
  for (const json& row : ArrayAt(answer, "rows")) {
    rows.rows.emplace_back(row.begin(), row.end());
  }
  return rows;
}

std::string QuoteName(std::string_view name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

std::string SourceOf(const Table& table) { return absl::StrCat("main.", QuoteName(table.name)); }

std::string Literal(double number) {
  if (!std::isfinite(number)) {
    return "NULL";
  }
  char buffer[64];
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), number);
  std::string text(buffer, end.ptr);
  if (text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return number < 0 ? absl::StrCat("(", text, ")") : text;
}

int64_t LeastGroupSize(const Column& category) {
  return category.count >= 3000 ? 30 : category.count >= 300 ? 10 : category.count >= 50 ? 5 : 1;
}

bool AddsUp(const Column& column) {
  if (!column.IsNumber() || column.IsBinary() || column.min.value_or(-1) < 0 || column.mean.value_or(0) <= 0) {
    return false;
  }
  return *column.mean > 1.25 * column.median.value_or(*column.mean) ||
         HasWord(WordsOf(column.name),
                 {"amount", "amounts", "cost", "costs", "count", "counts", "items", "number", "orders", "profit",
                  "quantity", "qty", "revenue", "sales", "spend", "sum", "total", "units", "volume"});
}

}  // namespace bulkhead::agent::analyst
