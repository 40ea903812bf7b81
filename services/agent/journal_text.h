// What stands in a run's journal, as text: commands and results.
#ifndef SERVICES_AGENT_JOURNAL_TEXT_H_
#define SERVICES_AGENT_JOURNAL_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "services/agent/run_record.h"

namespace bulkhead::agent {

// JSON text. Agents may pass on bytes that are no UTF-8: they are replaced.
std::string JournalText(const nlohmann::json& value);

// "tool table.load#9f86d081884c": what a replay must ask for again, readable enough to name in an
// error.
std::string CommandText(std::string_view what, std::string_view detail);

// What a record takes of its run's bytes.
uint64_t BytesOf(const JournalRecord& record);

// Results: {"ok": value} or {"error": {...}}.
nlohmann::json EncodeResult(const absl::StatusOr<nlohmann::json>& result);
absl::StatusOr<nlohmann::json> DecodeResult(const nlohmann::json& result);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_JOURNAL_TEXT_H_
