#include "services/agent/run_events.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::agent {
namespace {

namespace pb = ::bulkhead::notifier::v1;

// The notifier takes no event of more than 256 KiB, and one that it does not take would be missing for ever. Everything
// that an agent or a tool can make large is cut here; and a watcher needs no novel.
constexpr size_t kMaxText = 16 << 10;
constexpr size_t kMaxInputText = 400;
constexpr size_t kMaxInputElements = 20;
constexpr size_t kMaxInputBytes = 32 << 10;
constexpr size_t kMaxListed = 100;     // Artifacts, and details of an error.
constexpr size_t kMaxArtifact = 1000;  // More than the name of a file has.
// What a value weighs as a google.protobuf.Value, whatever it holds.
constexpr size_t kBytesOfAValue = 16;

// What protobuf takes as a string: UTF-8, bytes that are none replaced, cut at a character's
// beginning.
std::string Clean(std::string_view text, size_t limit) {
  // Of what is cut off nothing is looked at: it may be a hundred megabytes.
  const bool cut = text.size() > limit;
  text = text.substr(0, limit + 1);
  std::string clean =
      nlohmann::json::parse(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))
          .get<std::string>();
  if (cut || clean.size() > limit) {
    size_t end = std::min(limit, clean.size());
    while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xC0) == 0x80) {
      --end;
    }
    clean = absl::StrCat(clean.substr(0, end), "...");
  }
  return clean;
}

void SetError(const RunError& error, pb::EventError* out) {
  out->set_reason(Clean(error.reason, kMaxInputText));
  out->set_message(Clean(error.message, kMaxText));
  out->set_domain(Clean(error.domain, kMaxInputText));
  for (const auto& [key, value] : error.metadata) {
    if (static_cast<size_t>(out->metadata_size()) == kMaxListed) {
      break;
    }
    (*out->mutable_metadata())[Clean(key, kMaxInputText)] = Clean(value, kMaxInputText);
  }
}

// Events are for watching: a report's text or a long list does not belong there. Takes from `budget` what it keeps, in
// bytes about, and keeps nothing when it is spent.
nlohmann::json Shortened(const nlohmann::json& value, size_t& budget) {
  const auto spend = [&budget](size_t bytes) { budget -= std::min(budget, bytes + kBytesOfAValue); };
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    spend(std::min(text.size(), kMaxInputText));
    return text.size() <= kMaxInputText
               ? value
               : nlohmann::json(absl::StrCat(Clean(text, kMaxInputText), " (", text.size(), " bytes)"));
  }
  spend(0);
  if (value.is_array()) {
    nlohmann::json out = nlohmann::json::array();
    for (const nlohmann::json& element : value) {
      if (out.size() == kMaxInputElements || budget == 0) {
        out.push_back(absl::StrCat("... (", value.size(), " elements)"));
        break;
      }
      out.push_back(Shortened(element, budget));
    }
    return out;
  }
  if (value.is_object()) {
    nlohmann::json out = nlohmann::json::object();
    for (const auto& [key, member] : value.items()) {
      if (budget == 0) {
        out["..."] = absl::StrCat("(", value.size(), " members)");
        break;
      }
      const std::string name = Clean(key, kMaxInputText);
      spend(name.size());
      out[name] = Shortened(member, budget);
    }
    return out;
  }
  return value;
}

void SetArtifacts(const std::vector<std::string>& artifacts, google::protobuf::RepeatedPtrField<std::string>* out) {
  for (size_t i = 0; i < std::min(artifacts.size(), kMaxListed); ++i) {
    out->Add(Clean(artifacts[i], kMaxArtifact));
  }
}

void SetTiming(const RunTiming& timing, pb::EventTiming* out) {
  SetDuration(timing.queued, out->mutable_queued());
  SetDuration(timing.agent, out->mutable_agent());
  SetDuration(timing.tools, out->mutable_tools());
  SetDuration(timing.model, out->mutable_model());
  SetDuration(timing.journal, out->mutable_journal());
  SetDuration(timing.approval, out->mutable_approval());
  SetDuration(timing.sleep, out->mutable_sleep());
  SetDuration(timing.interrupted, out->mutable_interrupted());
  SetDuration(timing.children, out->mutable_children());
}

// 00-<trace id, 32 hex digits>-<parent>-<flags>; https://www.w3.org/TR/trace-context/.
std::string TraceId(std::string_view traceparent) {
  return traceparent.size() >= 35 && traceparent[2] == '-' ? std::string(traceparent.substr(3, 32)) : "";
}

}  // namespace

RunEvents::RunEvents(const RunRecord& run)
    : run_(run.name()),
      user_(absl::StrCat("users/", run.owner)),
      agent_(absl::StrCat("agents/", run.agent)),
      agent_version_(run.agent_version),
      trace_id_(TraceId(run.traceparent)) {}

pb::Event RunEvents::Begin(absl::Time time, std::string_view type) const {
  pb::Event event;
  event.set_stream(run_);
  event.set_run(run_);
  event.set_user(user_);
  event.set_agent(agent_);
  event.set_trace_id(trace_id_);
  event.set_type(type);
  SetTimestamp(time, event.mutable_time());
  return event;
}

std::string RunEvents::Queued(absl::Time time, std::string_view waits_for) const {
  pb::Event event = Begin(time, "run_queued");
  event.mutable_run_queued()->set_waits_for(waits_for);
  return event.SerializeAsString();
}

std::string RunEvents::Started(absl::Time time, absl::Duration queued) const {
  pb::Event event = Begin(time, "agent_started");
  event.mutable_agent_started()->set_agent_version(agent_version_);
  SetDuration(queued, event.mutable_agent_started()->mutable_queued());
  return event.SerializeAsString();
}

std::string RunEvents::Thinking(absl::Time time, std::string_view text) const {
  pb::Event event = Begin(time, "agent_thinking");
  event.mutable_agent_thinking()->set_text(Clean(text, kMaxText));
  return event.SerializeAsString();
}

std::string RunEvents::ToolExecuting(absl::Time time, int step, std::string_view tool,
                                     const nlohmann::json& input) const {
  pb::Event event = Begin(time, "tool_executing");
  pb::ToolExecuting* payload = event.mutable_tool_executing();
  payload->set_step(step);
  payload->set_tool(absl::StrCat("tools/", tool));
  size_t budget = kMaxInputBytes;
  if (auto shortened = ToStruct(Shortened(input, budget)); shortened.ok()) {
    *payload->mutable_input() = *std::move(shortened);
  }
  return event.SerializeAsString();
}

std::string RunEvents::ToolProgress(absl::Time time, int step, int number, std::string_view tool, double fraction,
                                    std::string_view message) const {
  pb::Event event = Begin(time, "tool_progress");
  event.set_event_id(absl::StrCat(run_.substr(run_.rfind('/') + 1), "-progress-", step, "-", number));
  pb::ToolProgress* payload = event.mutable_tool_progress();
  payload->set_step(step);
  payload->set_tool(absl::StrCat("tools/", tool));
  payload->set_fraction(fraction);
  payload->set_message(Clean(message, kMaxInputText));
  return event.SerializeAsString();
}

std::string RunEvents::ToolCompleted(absl::Time time, int step, std::string_view tool, absl::Duration duration,
                                     const std::optional<RunError>& error,
                                     const std::vector<std::string>& artifacts) const {
  pb::Event event = Begin(time, "tool_completed");
  pb::ToolCompleted* payload = event.mutable_tool_completed();
  payload->set_step(step);
  payload->set_tool(absl::StrCat("tools/", tool));
  SetDuration(duration, payload->mutable_duration());
  if (error.has_value()) {
    SetError(*error, payload->mutable_error());
  }
  SetArtifacts(artifacts, payload->mutable_artifacts());
  return event.SerializeAsString();
}

std::string RunEvents::ModelCalling(absl::Time time, int step, std::string_view model) const {
  pb::Event event = Begin(time, "model_calling");
  event.mutable_model_calling()->set_step(step);
  event.mutable_model_calling()->set_model(Clean(model, kMaxInputText));
  return event.SerializeAsString();
}

std::string RunEvents::ModelDelta(absl::Time time, int step, int number, std::string_view text, int64_t offset) const {
  pb::Event event = Begin(time, "model_delta");
  event.set_event_id(absl::StrCat(run_.substr(run_.rfind('/') + 1), "-delta-", step, "-", number));
  event.mutable_model_delta()->set_step(step);
  event.mutable_model_delta()->set_text(Clean(text, kMaxText));
  event.mutable_model_delta()->set_offset(offset);
  return event.SerializeAsString();
}

std::string RunEvents::ModelCompleted(absl::Time time, int step, std::string_view model, absl::Duration duration,
                                      int64_t input_tokens, int64_t output_tokens,
                                      const std::optional<RunError>& error) const {
  pb::Event event = Begin(time, "model_completed");
  pb::ModelCompleted* payload = event.mutable_model_completed();
  payload->set_step(step);
  payload->set_model(Clean(model, kMaxInputText));
  SetDuration(duration, payload->mutable_duration());
  payload->set_input_tokens(input_tokens);
  payload->set_output_tokens(output_tokens);
  if (error.has_value()) {
    SetError(*error, payload->mutable_error());
  }
  return event.SerializeAsString();
}

std::string RunEvents::ApprovalRequested(absl::Time time, const ApprovalRecord& approval) const {
  pb::Event event = Begin(time, "approval_requested");
  pb::ApprovalRequested* payload = event.mutable_approval_requested();
  payload->set_approval(absl::StrCat(run_, "/approvals/", approval.id));
  payload->set_question(Clean(approval.question, kMaxText));
  SetTimestamp(approval.expire_time, payload->mutable_expire_time());
  return event.SerializeAsString();
}

std::string RunEvents::ApprovalResolved(absl::Time time, const ApprovalRecord& approval) const {
  pb::Event event = Begin(time, "approval_resolved");
  pb::ApprovalResolved* payload = event.mutable_approval_resolved();
  payload->set_approval(absl::StrCat(run_, "/approvals/", approval.id));
  payload->set_allowed(approval.verdict == ApprovalRecord::Verdict::kAllow);
  if (!approval.decided_by.empty()) {
    payload->set_decided_by(absl::StrCat("users/", approval.decided_by));
  }
  return event.SerializeAsString();
}

std::string RunEvents::Recovered(absl::Time time, int recoveries, int completed_steps) const {
  pb::Event event = Begin(time, "run_recovered");
  event.mutable_run_recovered()->set_recoveries(recoveries);
  event.mutable_run_recovered()->set_completed_steps(completed_steps);
  return event.SerializeAsString();
}

std::string RunEvents::Interrupted(absl::Time time, std::string_view by) const {
  pb::Event event = Begin(time, "run_interrupted");
  event.mutable_run_interrupted()->set_interrupted_by(by);
  return event.SerializeAsString();
}

std::string RunEvents::Resumed(absl::Time time, std::string_view by) const {
  pb::Event event = Begin(time, "run_resumed");
  event.mutable_run_resumed()->set_resumed_by(by);
  return event.SerializeAsString();
}

std::string RunEvents::ChildStarted(absl::Time time, int step, std::string_view child, std::string_view agent) const {
  pb::Event event = Begin(time, "child_started");
  event.mutable_child_started()->set_step(step);
  event.mutable_child_started()->set_child(child);
  event.mutable_child_started()->set_agent(absl::StrCat("agents/", agent));
  return event.SerializeAsString();
}

std::string RunEvents::ChildEnded(absl::Time time, int step, std::string_view child, absl::Duration duration,
                                  const std::optional<RunError>& error) const {
  pb::Event event = Begin(time, "child_ended");
  pb::ChildEnded* payload = event.mutable_child_ended();
  payload->set_step(step);
  payload->set_child(child);
  SetDuration(duration, payload->mutable_duration());
  if (error.has_value()) {
    SetError(*error, payload->mutable_error());
  }
  return event.SerializeAsString();
}

std::string RunEvents::Completed(absl::Time time, std::string_view summary, const std::vector<std::string>& artifacts,
                                 absl::Duration duration, const RunTiming& timing) const {
  pb::Event event = Begin(time, "agent_completed");
  pb::AgentCompleted* payload = event.mutable_agent_completed();
  payload->set_summary(Clean(summary, kMaxText));
  SetArtifacts(artifacts, payload->mutable_artifacts());
  SetDuration(duration, payload->mutable_duration());
  SetTiming(timing, payload->mutable_timing());
  return event.SerializeAsString();
}

std::string RunEvents::Failed(absl::Time time, const RunError& error, absl::Duration duration,
                              const RunTiming& timing) const {
  pb::Event event = Begin(time, "agent_failed");
  SetError(error, event.mutable_agent_failed()->mutable_error());
  SetDuration(duration, event.mutable_agent_failed()->mutable_duration());
  SetTiming(timing, event.mutable_agent_failed()->mutable_timing());
  return event.SerializeAsString();
}

std::string RunEvents::Cancelled(absl::Time time, std::string_view by, std::string_view comment,
                                 std::string_view reason, absl::Duration duration, const RunTiming& timing) const {
  pb::Event event = Begin(time, "agent_cancelled");
  event.mutable_agent_cancelled()->set_cancelled_by(by);
  event.mutable_agent_cancelled()->set_comment(Clean(comment, kMaxText));
  event.mutable_agent_cancelled()->set_reason(reason);
  SetDuration(duration, event.mutable_agent_cancelled()->mutable_duration());
  SetTiming(timing, event.mutable_agent_cancelled()->mutable_timing());
  return event.SerializeAsString();
}

std::string Numbered(std::string event, std::string_view run_id, int64_t sequence) {
  pb::Event number;
  number.set_sequence(static_cast<uint64_t>(sequence));
  number.set_event_id(absl::StrCat(run_id, "-", sequence));
  // Serialized messages that follow each other are merged when they are parsed.
  // https://protobuf.dev/programming-guides/encoding/#last-one-wins
  return absl::StrCat(event, number.SerializeAsString());
}

}  // namespace bulkhead::agent
