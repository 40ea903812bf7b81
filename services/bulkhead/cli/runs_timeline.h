// Where a run's time went, drawn for a terminal.
#ifndef SERVICES_BULKHEAD_CLI_RUNS_TIMELINE_H_
#define SERVICES_BULKHEAD_CLI_RUNS_TIMELINE_H_

#include <string>
#include <vector>

#include "nlohmann/json_fwd.hpp"

namespace bulkhead::cli {

// The lines of a drawing: the parts of the run's time, then a bar for each thing that took some of it, in the order of
// beginning, on one scale from the run's creation to its end. `run` and `events` are as the gateway answers them, events
// in order. A run that goes on is drawn up to its last event. `width` is that of the longest bar. Pure.
std::vector<std::string> DrawTimeline(const nlohmann::json& run, const std::vector<nlohmann::json>& events, int width);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_RUNS_TIMELINE_H_
