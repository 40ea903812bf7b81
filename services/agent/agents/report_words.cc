#include "services/agent/agents/report_words.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "services/agent/agents/markdown.h"

namespace bulkhead::agent::analyst {

std::string R(double value) {
  const bool nearly_exact = std::abs(value) >= 0.995 && std::abs(value) < 1;
  return nearly_exact ? absl::StrFormat("%.3f", value) : absl::StrFormat("%.2f", value);
}

std::string Optional(const std::optional<double>& number) {
  return number.has_value() ? FormatNumber(*number) : std::string(kDash);
}

std::string Mean(const Column& column, double mean) {
  return column.IsBinary() ? FormatShare(mean) : FormatNumber(mean);
}
std::string Mean(const Column& column, const std::optional<double>& mean) {
  return mean.has_value() ? Mean(column, *mean) : std::string(kDash);
}

std::string Change(double from, double to) {
  return from > 0 ? absl::StrFormat("%+.3g%%", (to - from) / from * 100) : "";
}

std::string Times(double ratio) {
  return ratio < 10 ? absl::StrFormat("%.1f times", ratio) : absl::StrFormat("%s times", FormatNumber(ratio));
}

double Share(int64_t part, int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string_view MonthName(std::string_view month) {
  constexpr std::string_view kNames[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
  const int index = month.size() == 2 ? (month[0] - '0') * 10 + (month[1] - '0') - 1 : -1;
  return index >= 0 && index < 12 ? kNames[index] : month;
}

std::string_view StrengthWord(double strength) {
  return strength >= 0.7 ? "strong" : strength >= 0.5 ? "clear" : strength >= 0.3 ? "moderate" : "weak";
}

}  // namespace bulkhead::agent::analyst
