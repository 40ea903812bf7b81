// What the analyst's statements, and the reading of their answers, are made of. Internal to the
// analysis.
#ifndef SERVICES_AGENT_AGENTS_ANALYSIS_PARTS_H_
#define SERVICES_AGENT_AGENTS_ANALYSIS_PARTS_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"
#include "services/agent/agents/analysis.h"

namespace bulkhead::agent::analyst {

// Members of an object; empty values when it has none of the kind.
std::string StringAt(const nlohmann::json& object, std::string_view key);
std::optional<double> NumberAt(const nlohmann::json& object, std::string_view key);
int64_t CountAt(const nlohmann::json& object, std::string_view key);
const nlohmann::json& ArrayAt(const nlohmann::json& object, std::string_view key);

// Cells of a row; null and 0 beyond its end.
const nlohmann::json& Cell(const std::vector<nlohmann::json>& row, size_t column);
double Number(const std::vector<nlohmann::json>& row, size_t column);
int64_t Count(const std::vector<nlohmann::json>& row, size_t column);

bool HasWord(const std::vector<std::string>& words, std::initializer_list<std::string_view> wanted);

// " WHERE "a" IS NOT NULL AND ..."; `extra` may be "".
std::string Where(const std::vector<std::string>& present, std::string_view extra = "");
// The quoted name of a column.
std::string NameAt(const Table& table, size_t column);
// The column minus its mean, so that sums of squares do not cancel out.
std::string Centred(const Column& column);
// Whether a few far values may hide what the others have in common.
bool IsClipped(const Column& column);
// Centred, with outliers moved to the fences.
std::string Clipped(const Column& column);
// Pearson's r of the sums x, y, xx, yy, xy over `n` rows.
std::string PearsonOf(std::string_view n);
// Cramer's V with Bergsma's correction, as a query without ";".
std::string AssociationCte(const Table& table, size_t a, size_t b, std::string_view sample);

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_ANALYSIS_PARTS_H_
