// Numbers and words as the report writes them.
#ifndef SERVICES_AGENT_AGENTS_REPORT_WORDS_H_
#define SERVICES_AGENT_AGENTS_REPORT_WORDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "services/agent/agents/analysis.h"

namespace bulkhead::agent::analyst {

inline constexpr std::string_view kDash = "\xE2\x80\x94";
inline constexpr std::string_view kEta = "\xCE\xB7\xC2\xB2";

// A correlation: never "1.00" of what is not exact.
std::string R(double value);
std::string Optional(const std::optional<double>& number);
// A mean of this column; of yes and no it is a share.
std::string Mean(const Column& column, double mean);
std::string Mean(const Column& column, const std::optional<double>& mean);
// "+91.8%"; "" when there is nothing to compare with.
std::string Change(double from, double to);
// "2.5 times"
std::string Times(double ratio);
double Share(int64_t part, int64_t whole);
// "03" -> "March"
std::string_view MonthName(std::string_view month);
// The words for how strong a relation is, in the usual steps.
std::string_view StrengthWord(double strength);

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_REPORT_WORDS_H_
