#include "services/agent/run_rows.h"

#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace bulkhead::agent {

using storage::Row;
using storage::Value;

namespace {

std::optional<absl::Time> MaybeTime(const Row& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(absl::FromUnixMicros(row.Int(column)));
}
std::optional<std::string> MaybeString(const Row& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(row.Text(column));
}

RunTiming TimingOf(const std::string& text) {
  std::array<absl::Duration, 9> parts{};
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  for (size_t i = 0; json.is_array() && i < json.size() && i < parts.size(); ++i) {
    parts[i] = absl::Microseconds(json[i].is_number_integer() ? json[i].get<int64_t>() : 0);
  }
  return {parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7], parts[8]};
}

std::optional<RunError> ErrorOf(const Row& row, int column) {
  if (row.IsNull(column)) {
    return std::nullopt;
  }
  nlohmann::json json = nlohmann::json::parse(row.Text(column), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return RunError{
        .reason = "UNSPECIFIED_ERROR", .message = row.Text(column), .domain = "bulkhead.agent", .metadata = {}};
  }
  return RunError{.reason = json.value("reason", ""),
                  .message = json.value("message", ""),
                  .domain = json.value("domain", ""),
                  .metadata = json.value("metadata", std::map<std::string, std::string>())};
}

}  // namespace

const std::string_view kRunColumns =
    "key, id, owner, session, agent, agent_version, state, input, answer, error, create_time, "
    "start_time, end_time, "
    "deadline, (SELECT steps FROM run_progress WHERE run = runs.key), recoveries, "
    "(SELECT timing FROM run_progress WHERE run = runs.key), (SELECT epoch FROM run_progress WHERE run = runs.key), "
    "sealed_token, traceparent, request_id, interrupt_time, parent, "
    "definition, roles, model_tokens, thread, waits_for, held_by";

const std::string_view kApprovalColumns =
    "approvals.id, path, step, command, question, tool, arguments, call_hash, "
    "approvals.create_time, expire_time, "
    "verdict, comment, edited_arguments, decided_by, decide_time, decision_request_id";

int64_t Micros(absl::Time time) { return absl::ToUnixMicros(time); }
Value MaybeMicros(const std::optional<absl::Time>& time) {
  return time.has_value() ? Value(Micros(*time)) : Value(nullptr);
}
Value MaybeText(const std::optional<std::string>& text) { return text.has_value() ? Value(*text) : Value(nullptr); }

std::string TimingText(const RunTiming& timing) {
  // A JSON array, put together by hand: each step of a run writes one.
  return absl::StrCat(
      "[",
      absl::StrJoin(
          {timing.queued, timing.agent, timing.tools, timing.journal, timing.approval, timing.sleep, timing.interrupted,
           timing.children, timing.model},
          ",", [](std::string* out, absl::Duration part) { absl::StrAppend(out, absl::ToInt64Microseconds(part)); }),
      "]");
}

std::string ErrorText(const RunError& error) {
  // A message may quote bytes that are no UTF-8.
  return nlohmann::json{
      {"reason", error.reason}, {"message", error.message}, {"domain", error.domain}, {"metadata", error.metadata}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RunRecord RunOf(const Row& row) {
  RunRecord run;
  run.key = row.Int(0);
  run.id = row.Text(1);
  run.owner = row.Text(2);
  run.session = row.Text(3);
  run.agent = row.Text(4);
  run.agent_version = row.Text(5);
  run.state = static_cast<RunState>(row.Int(6));
  run.input = row.Text(7);
  run.answer = MaybeString(row, 8);
  run.error = ErrorOf(row, 9);
  run.create_time = absl::FromUnixMicros(row.Int(10));
  run.start_time = MaybeTime(row, 11);
  run.end_time = MaybeTime(row, 12);
  run.deadline = absl::FromUnixMicros(row.Int(13));
  run.steps = static_cast<int>(row.Int(14));
  run.recoveries = static_cast<int>(row.Int(15));
  run.timing = TimingOf(row.Text(16));
  run.epoch = row.Int(17);
  run.sealed_token = row.Blob(18);
  run.traceparent = row.Text(19);
  run.request_id = row.IsNull(20) ? "" : row.Text(20);
  run.interrupt_time = MaybeTime(row, 21);
  run.parent = row.Text(22);
  run.definition = row.Int(23);
  run.roles = row.Text(24);
  run.model_tokens = row.Int(25);
  run.thread = row.Text(26);
  run.waits_for = row.Text(27);
  run.held_by = row.Text(28);
  return run;
}

ApprovalRecord ApprovalOf(const Row& row) {
  ApprovalRecord approval;
  approval.id = row.Text(0);
  approval.path = row.Text(1);
  approval.step = static_cast<int>(row.Int(2));
  approval.command = row.Text(3);
  approval.question = row.Text(4);
  approval.tool = row.Text(5);
  approval.arguments = row.Text(6);
  approval.call_hash = row.Blob(7);
  approval.create_time = absl::FromUnixMicros(row.Int(8));
  approval.expire_time = absl::FromUnixMicros(row.Int(9));
  approval.verdict = static_cast<ApprovalRecord::Verdict>(row.Int(10));
  approval.comment = row.Text(11);
  approval.edited_arguments = MaybeString(row, 12);
  approval.decided_by = row.Text(13);
  approval.decide_time = MaybeTime(row, 14);
  approval.request_id = row.Text(15);
  return approval;
}

}  // namespace bulkhead::agent
