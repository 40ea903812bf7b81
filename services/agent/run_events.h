// The events of a run, as serialized bulkhead.notifier.v1.Event; durable ones without sequence and
// id, which come with their place in the outbox. Long texts are cut, and what is no UTF-8 is
// replaced.
#ifndef SERVICES_AGENT_RUN_EVENTS_H_
#define SERVICES_AGENT_RUN_EVENTS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "nlohmann/json_fwd.hpp"
#include "services/agent/run_record.h"

namespace bulkhead::notifier::v1 {
class Event;
}

namespace bulkhead::agent {

// What every event of a run has in common.
class RunEvents {
 public:
  explicit RunEvents(const RunRecord& run);

  // `waits_for` is the name of the run of its thread that goes first, or "".
  std::string Queued(absl::Time time, std::string_view waits_for) const;
  std::string Started(absl::Time time, absl::Duration queued) const;
  std::string Thinking(absl::Time time, std::string_view text) const;
  // Long strings of `input` are shortened.
  std::string ToolExecuting(absl::Time time, int step, std::string_view tool, const nlohmann::json& input) const;
  // Transient: it has an id, made of step and `number`, and no sequence.
  std::string ToolProgress(absl::Time time, int step, int number, std::string_view tool, double fraction,
                           std::string_view message) const;
  std::string ToolCompleted(absl::Time time, int step, std::string_view tool, absl::Duration duration,
                            const std::optional<RunError>& error, const std::vector<std::string>& artifacts) const;
  std::string ModelCalling(absl::Time time, int step, std::string_view model) const;
  // Transient, as ToolProgress. `offset`: bytes of the reply's text before this piece.
  std::string ModelDelta(absl::Time time, int step, int number, std::string_view text, int64_t offset) const;
  std::string ModelCompleted(absl::Time time, int step, std::string_view model, absl::Duration duration,
                             int64_t input_tokens, int64_t output_tokens, const std::optional<RunError>& error) const;
  std::string ApprovalRequested(absl::Time time, const ApprovalRecord& approval) const;
  std::string ApprovalResolved(absl::Time time, const ApprovalRecord& approval) const;
  std::string Recovered(absl::Time time, int recoveries, int completed_steps) const;
  // Of a user who holds the run back, or lets it go on; or of the run of its thread that goes first.
  std::string Interrupted(absl::Time time, std::string_view by) const;
  std::string Resumed(absl::Time time, std::string_view by) const;
  // Of runs that this one starts. `child` is a name, as "users/ada/runs/run-2".
  std::string ChildStarted(absl::Time time, int step, std::string_view child, std::string_view agent) const;
  std::string ChildEnded(absl::Time time, int step, std::string_view child, absl::Duration duration,
                         const std::optional<RunError>& error) const;
  // The terminal events. `duration` is from start to end.
  std::string Completed(absl::Time time, std::string_view summary, const std::vector<std::string>& artifacts,
                        absl::Duration duration, const RunTiming& timing) const;
  std::string Failed(absl::Time time, const RunError& error, absl::Duration duration, const RunTiming& timing) const;
  std::string Cancelled(absl::Time time, std::string_view by, std::string_view comment, std::string_view reason,
                        absl::Duration duration, const RunTiming& timing) const;

 private:
  notifier::v1::Event Begin(absl::Time time, std::string_view type) const;

  const std::string run_;
  const std::string user_;
  const std::string agent_;
  const std::string agent_version_;
  const std::string trace_id_;
};

// `event` with its place in the stream, and the id "<run id>-<sequence>": the same however often it
// leaves the outbox.
std::string Numbered(std::string event, std::string_view run_id, int64_t sequence);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_EVENTS_H_
