// JMESPath's functions.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/agent/plans/expression_evaluator.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using nlohmann::json;
using Value = Expression::Value;

// Integers beyond this are not exact as a double.
constexpr double kExact = 9007199254740992.0;

std::string_view TypeName(const json& value) {
  if (value.is_number()) {
    return "number";
  }
  return value.type_name();  // null, boolean, string, array, object
}

absl::Status Takes(std::string_view function, std::string_view what, const json& got) {
  return absl::InvalidArgumentError(absl::StrCat(function, " takes ", what, ", not ", TypeName(got)));
}

bool AllNumbers(const json& list) {
  return std::all_of(list.begin(), list.end(), [](const json& element) { return element.is_number(); });
}
bool AllStrings(const json& list) {
  return std::all_of(list.begin(), list.end(), [](const json& element) { return element.is_string(); });
}

// Where each code point of UTF-8 begins.
bool Begins(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

std::string Reversed(const std::string& text) {
  std::string reversed;
  size_t end = text.size();
  for (size_t i = text.size(); i > 0; --i) {
    if (Begins(text[i - 1])) {
      reversed.append(text, i - 1, end - (i - 1));
      end = i - 1;
    }
  }
  reversed.append(text, 0, end);
  return reversed;
}

json Rounded(double number) { return std::abs(number) < kExact ? json(static_cast<int64_t>(number)) : json(number); }

json Sum(const json& numbers) {
  int64_t whole = 0;
  double sum = 0;
  bool exact = true;
  for (const json& number : numbers) {
    exact = exact && number.is_number_integer() && !__builtin_add_overflow(whole, number.get<int64_t>(), &whole);
    sum += number.get<double>();
  }
  return exact ? json(whole) : json(sum);
}

json ToNumber(const json& value) {
  if (value.is_number()) {
    return value;
  }
  if (value.is_string()) {
    json number = json::parse(value.get_ref<const std::string&>(), nullptr, /*allow_exceptions=*/false);
    if (number.is_number()) {
      return number;
    }
  }
  return nullptr;
}

// Each element of a list with its key, which is what `body` makes of it: all numbers, or all strings.
absl::StatusOr<std::vector<std::pair<json, size_t>>> Keyed(ExpressionEvaluator& evaluator, std::string_view name,
                                                           const Value& list, const ExpressionNode& body) {
  std::vector<std::pair<json, size_t>> keyed;
  for (size_t i = 0; i < list->size(); ++i) {
    ASSIGN_OR_RETURN(Value key, evaluator.Evaluate(body, Value(list, &(*list)[i])));
    if (!key->is_number() && !key->is_string()) {
      return Takes(name, "a key that is a number or a string", *key);
    }
    if (i > 0 && key->is_string() != keyed.front().first.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(name, " takes keys of one type, not numbers and strings"));
    }
    RETURN_IF_ERROR(evaluator.Charge(*key));
    keyed.emplace_back(*key, i);
  }
  return keyed;
}

// What sorting or comparing `count` things costs, beyond looking at each.
int64_t SortingCost(size_t count) {
  return static_cast<int64_t>(static_cast<double>(count) * std::log2(static_cast<double>(count) + 1));
}

absl::StatusOr<json> CallWithBody(ExpressionEvaluator& evaluator, std::string_view name, const Value& list,
                                  const ExpressionNode& body) {
  if (!list->is_array()) {
    return Takes(name, "an array", *list);
  }
  json result = json::array();
  if (name == "map") {
    for (const json& element : *list) {
      ASSIGN_OR_RETURN(Value value, evaluator.Evaluate(body, Value(list, &element)));
      RETURN_IF_ERROR(evaluator.Charge(*value));
      result.push_back(*value);
    }
    return result;
  }
  ASSIGN_OR_RETURN(auto keyed, Keyed(evaluator, name, list, body));
  RETURN_IF_ERROR(evaluator.Charge(SortingCost(keyed.size())));
  const auto before = [](const auto& a, const auto& b) { return a.first < b.first; };
  if (name == "sort_by") {
    std::stable_sort(keyed.begin(), keyed.end(), before);
    RETURN_IF_ERROR(evaluator.Charge(*list));
    for (const auto& [unused, index] : keyed) {
      result.push_back((*list)[index]);
    }
    return result;
  }
  if (keyed.empty()) {
    return json(nullptr);
  }
  const auto found = name == "max_by" ? std::max_element(keyed.begin(), keyed.end(), before)
                                      : std::min_element(keyed.begin(), keyed.end(), before);
  return (*list)[found->second];
}

absl::StatusOr<json> CallOnText(std::string_view name, const std::vector<Value>& arguments) {
  const json& first = *arguments[0];
  const json& second = *arguments[1];
  if (name == "join") {
    if (!first.is_string()) {
      return Takes(name, "a string to put between", first);
    }
    if (!second.is_array() || !AllStrings(second)) {
      return Takes(name, "an array of strings", second);
    }
    return json(absl::StrJoin(second, first.get_ref<const std::string&>(), [](std::string* out, const json& part) {
      absl::StrAppend(out, part.get_ref<const std::string&>());
    }));
  }
  if (!first.is_string() || !second.is_string()) {
    return Takes(name, "two strings", first.is_string() ? second : first);
  }
  const std::string& text = first.get_ref<const std::string&>();
  const std::string& part = second.get_ref<const std::string&>();
  return json(name == "starts_with" ? text.starts_with(part) : text.ends_with(part));
}

absl::StatusOr<json> CallOnNumber(std::string_view name, const json& number) {
  if (!number.is_number()) {
    return Takes(name, "a number", number);
  }
  if (name == "abs") {
    if (number.is_number_integer() && number.get<int64_t>() != std::numeric_limits<int64_t>::min()) {
      return json(std::abs(number.get<int64_t>()));
    }
    return json(std::abs(number.get<double>()));
  }
  if (number.is_number_integer()) {
    return number;
  }
  return Rounded(name == "ceil" ? std::ceil(number.get<double>()) : std::floor(number.get<double>()));
}

absl::StatusOr<json> CallOnList(std::string_view name, const json& list) {
  if (!list.is_array()) {
    return Takes(name, "an array", list);
  }
  const bool numbers = AllNumbers(list);
  if (name == "sum" || name == "avg") {
    if (!numbers) {
      return absl::InvalidArgumentError(absl::StrCat(name, " takes an array of numbers"));
    }
    if (name == "sum") {
      return Sum(list);
    }
    return list.empty() ? json(nullptr) : json(Sum(list).get<double>() / static_cast<double>(list.size()));
  }
  if (!numbers && !AllStrings(list)) {
    return absl::InvalidArgumentError(absl::StrCat(name, " takes an array of numbers, or of strings"));
  }
  if (name == "sort") {
    json sorted = list;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }
  if (list.empty()) {
    return json(nullptr);
  }
  return name == "max" ? *std::max_element(list.begin(), list.end()) : *std::min_element(list.begin(), list.end());
}

absl::StatusOr<json> CallOnAny(std::string_view name, const json& value) {
  if (name == "type") {
    return json(TypeName(value));
  }
  if (name == "to_array") {
    return value.is_array() ? value : json::array({value});
  }
  if (name == "to_number") {
    return ToNumber(value);
  }
  if (name == "to_string") {
    return value.is_string() ? value : json(value.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  if (name == "length") {
    if (value.is_string()) {
      return json(std::ranges::count_if(value.get_ref<const std::string&>(), Begins));
    }
    if (value.is_array() || value.is_object()) {
      return json(value.size());
    }
    return Takes(name, "a string, an array or an object", value);
  }
  if (name == "reverse") {
    if (value.is_string()) {
      return json(Reversed(value.get_ref<const std::string&>()));
    }
    if (!value.is_array()) {
      return Takes(name, "a string or an array", value);
    }
    json reversed = value;
    std::reverse(reversed.begin(), reversed.end());
    return reversed;
  }
  if (!value.is_object()) {
    return Takes(name, "an object", value);
  }
  json parts = json::array();  // keys, values
  for (const auto& [key, member] : value.items()) {
    parts.push_back(name == "keys" ? json(key) : member);
  }
  return parts;
}

absl::StatusOr<json> Merge(const std::vector<Value>& objects) {
  json merged = json::object();
  for (const Value& object : objects) {
    if (!object->is_object()) {
      return Takes("merge", "objects", *object);
    }
    merged.update(*object);
  }
  return merged;
}

absl::StatusOr<json> Contains(const json& subject, const json& part) {
  if (subject.is_array()) {
    return json(std::find(subject.begin(), subject.end(), part) != subject.end());
  }
  if (!subject.is_string()) {
    return Takes("contains", "an array or a string", subject);
  }
  return json(part.is_string() &&
              absl::StrContains(subject.get_ref<const std::string&>(), part.get_ref<const std::string&>()));
}

}  // namespace

absl::StatusOr<json> CallExpressionFunction(ExpressionEvaluator& evaluator, std::string_view name,
                                            const std::vector<Value>& arguments, const ExpressionNode* body) {
  if (body != nullptr) {
    return CallWithBody(evaluator, name, arguments[0], *body);
  }
  // Each may be looked at as a whole, and copied into the result.
  for (const Value& argument : arguments) {
    RETURN_IF_ERROR(evaluator.Charge(*argument));
  }
  if (name == "not_null") {
    const auto found = std::ranges::find_if(arguments, [](const Value& value) { return !value->is_null(); });
    return found == arguments.end() ? json(nullptr) : **found;
  }
  if (name == "merge") {
    return Merge(arguments);
  }
  if (name == "contains") {
    return Contains(*arguments[0], *arguments[1]);
  }
  if (name == "join" || name == "starts_with" || name == "ends_with") {
    if (name == "join" && arguments[0]->is_string() && arguments[1]->is_array()) {
      const size_t glue = arguments[0]->get_ref<const std::string&>().size();
      RETURN_IF_ERROR(evaluator.Charge(static_cast<int64_t>(glue / 16 * arguments[1]->size())));
    }
    return CallOnText(name, arguments);
  }
  if (name == "abs" || name == "ceil" || name == "floor") {
    return CallOnNumber(name, *arguments[0]);
  }
  if (name == "sum" || name == "avg" || name == "sort" || name == "max" || name == "min") {
    if (arguments[0]->is_array()) {
      RETURN_IF_ERROR(evaluator.Charge(SortingCost(arguments[0]->size())));
    }
    return CallOnList(name, *arguments[0]);
  }
  return CallOnAny(name, *arguments[0]);
}

}  // namespace bulkhead::agent
