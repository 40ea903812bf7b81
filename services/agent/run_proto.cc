#include "services/agent/run_proto.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "services/common/ids/id_generator.h"
#include "services/common/json/struct_json.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::agent {
namespace {

// What the store holds was a JSON object when it went in.
void SetStruct(const nlohmann::json& object, google::protobuf::Struct* out) {
  if (auto converted = ToStruct(object); converted.ok()) {
    *out = *std::move(converted);
  }
}

nlohmann::json Parse(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view what, std::string_view name) {
  return MakeError(
      code, what,
      {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = {{"name", std::string(name)}}});
}

absl::Status NameInvalid(std::string_view name, std::string_view why) {
  return Refused(absl::StatusCode::kInvalidArgument, "RUN_NAME_INVALID",
                 absl::StrCat("'", name, "' is not the name of a run, users/{user}/runs/{run}: ", why), name);
}

}  // namespace

v1::Run ToProto(const RunRecord& run) {
  v1::Run out;
  out.set_name(run.name());
  out.set_agent(absl::StrCat("agents/", run.agent));
  out.set_agent_version(run.agent_version);
  out.set_state(static_cast<v1::RunState>(run.state));
  SetStruct(Parse(run.input), out.mutable_input());
  if (run.answer.has_value()) {
    const nlohmann::json answer = Parse(*run.answer);
    out.mutable_answer()->set_summary(answer.value("summary", ""));
    for (const std::string& artifact : answer.value("artifacts", std::vector<std::string>())) {
      out.mutable_answer()->add_artifacts(artifact);
    }
    SetStruct(answer.value("data", nlohmann::json::object()), out.mutable_answer()->mutable_data());
  }
  if (run.error.has_value()) {
    out.mutable_error()->set_reason(run.error->reason);
    out.mutable_error()->set_message(run.error->message);
    out.mutable_error()->set_domain(run.error->domain);
    out.mutable_error()->mutable_metadata()->insert(run.error->metadata.begin(), run.error->metadata.end());
  }
  SetTimestamp(run.create_time, out.mutable_create_time());
  if (run.start_time.has_value()) {
    SetTimestamp(*run.start_time, out.mutable_start_time());
  }
  if (run.end_time.has_value()) {
    SetTimestamp(*run.end_time, out.mutable_end_time());
  }
  SetTimestamp(run.deadline, out.mutable_deadline());
  out.set_steps(run.steps);
  out.set_recoveries(run.recoveries);
  v1::Timing* timing = out.mutable_timing();
  SetDuration(run.timing.queued, timing->mutable_queued());
  SetDuration(run.timing.agent, timing->mutable_agent());
  SetDuration(run.timing.tools, timing->mutable_tools());
  SetDuration(run.timing.journal, timing->mutable_journal());
  SetDuration(run.timing.approval, timing->mutable_approval());
  SetDuration(run.timing.sleep, timing->mutable_sleep());
  SetDuration(run.timing.model, timing->mutable_model());
  SetDuration(run.timing.interrupted, timing->mutable_interrupted());
  SetDuration(run.timing.children, timing->mutable_children());
  if (run.interrupt_time.has_value()) {
    SetTimestamp(*run.interrupt_time, out.mutable_interrupt_time());
  }
  out.set_model_tokens(run.model_tokens);
  if (!run.parent.empty()) {
    out.set_parent(absl::StrCat("users/", run.owner, "/runs/", run.parent));
  }
  if (!run.thread.empty()) {
    out.set_thread(absl::StrCat("users/", run.owner, "/threads/", run.thread));
  }
  if (!run.waits_for.empty()) {
    out.set_waits_for(absl::StrCat("users/", run.owner, "/runs/", run.waits_for));
  }
  return out;
}

v1::Approval ToProto(const ApprovalRecord& approval, std::string_view owner) {
  v1::Approval out;
  out.set_name(absl::StrCat("users/", owner, "/runs/", approval.run, "/approvals/", approval.id));
  out.set_question(approval.question);
  if (!approval.tool.empty()) {
    out.set_tool(absl::StrCat("tools/", approval.tool));
  }
  SetStruct(Parse(approval.arguments), out.mutable_arguments());
  out.set_call_hash(approval.call_hash);
  SetTimestamp(approval.create_time, out.mutable_create_time());
  SetTimestamp(approval.expire_time, out.mutable_expire_time());
  if (approval.verdict != ApprovalRecord::Verdict::kPending) {
    v1::Decision* decision = out.mutable_decision();
    decision->set_verdict(static_cast<v1::Decision::Verdict>(approval.verdict));
    decision->set_comment(approval.comment);
    if (approval.edited_arguments.has_value()) {
      SetStruct(Parse(*approval.edited_arguments), decision->mutable_edited_arguments());
    }
    if (!approval.decided_by.empty()) {
      decision->set_user(absl::StrCat("users/", approval.decided_by));
    }
    if (approval.decide_time.has_value()) {
      SetTimestamp(*approval.decide_time, decision->mutable_time());
    }
  }
  return out;
}

v1::Agent ToProto(const AgentSpec& spec) {
  v1::Agent out;
  out.set_name(absl::StrCat("agents/", spec.name));
  out.set_description(spec.description);
  out.set_version(spec.version);
  SetStruct(Parse(spec.input_schema), out.mutable_input_schema());
  out.set_built_in(true);
  return out;
}

v1::Agent ToProto(const DefinitionRecord& definition) {
  v1::Agent out;
  if (!out.ParseFromString(definition.content)) {
    out.Clear();
  }
  out.set_name(absl::StrCat("agents/", definition.name));
  out.set_version(absl::StrCat(definition.version));
  out.set_built_in(false);
  out.set_owner(absl::StrCat("users/", definition.owner));
  SetTimestamp(definition.update_time, out.mutable_update_time());
  out.set_etag(definition.etag());
  return out;
}

absl::StatusOr<std::string> ParseRunName(std::string_view name, std::string_view user) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "users" || parts[2] != "runs") {
    return NameInvalid(name, "wrong form");
  }
  for (const auto& [kind, id] : {std::pair("user", &parts[1]), std::pair("run", &parts[3])}) {
    if (absl::Status valid = ValidateId(kind, *id); !valid.ok()) {
      return NameInvalid(name, valid.message());
    }
  }
  if (parts[1] != user) {
    return Refused(absl::StatusCode::kNotFound, "RUN_NOT_FOUND", absl::StrCat("there is no run '", name, "'"), name);
  }
  return parts[3];
}

absl::StatusOr<ApprovalName> ParseApprovalName(std::string_view name, std::string_view user) {
  const size_t split = name.find("/approvals/");
  if (split == std::string_view::npos) {
    return NameInvalid(name, "an approval is users/{user}/runs/{run}/approvals/{approval}");
  }
  absl::StatusOr<std::string> run = ParseRunName(name.substr(0, split), user);
  if (run.status().code() == absl::StatusCode::kNotFound) {
    return Refused(absl::StatusCode::kNotFound, "APPROVAL_NOT_FOUND", absl::StrCat("there is no approval '", name, "'"),
                   name);
  }
  RETURN_IF_ERROR(run.status());
  return ApprovalName{.run = *std::move(run), .approval = std::string(name.substr(split + 11))};
}

absl::StatusOr<std::string> ParseAgentName(std::string_view name) {
  constexpr std::string_view kPrefix = "agents/";
  if (!name.starts_with(kPrefix) || name.size() == kPrefix.size()) {
    return Refused(absl::StatusCode::kNotFound, "AGENT_NOT_FOUND",
                   absl::StrCat("'", name, "' is not the name of an agent, agents/{agent}"), name);
  }
  return std::string(name.substr(kPrefix.size()));
}

}  // namespace bulkhead::agent
