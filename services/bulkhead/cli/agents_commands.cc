#include "services/bulkhead/cli/agents_commands.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/definition_file.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

std::string AgentPath(std::string_view agent) {
  return absl::StrCat("/v1/agents/", gateway::EscapePath(LastSegment(agent)));
}

std::string KindOf(const json& agent) {
  return agent.value("builtIn", false) ? "built-in" : agent.contains("plan") ? "plan" : "model";
}

// Each problem of a refused definition on a line of its own.
absl::Status WithProblems(const RemoteContext& context, const absl::Status& refused) {
  if (const std::optional<ErrorInfo> info = ErrorInfoOf(refused); info.has_value() && info->reason == "AGENT_INVALID") {
    for (const auto& [place, what] : info->metadata) {
      context.console->Note(absl::StrCat("  ", Printable(place), ": ", Printable(what)));
    }
  }
  return refused;
}

void PrintStored(const RemoteContext& context, const json& agent, std::string_view what) {
  context.console->Json(agent);
  context.console->Line(
      absl::StrCat(what, " ", LastSegment(agent.value("name", "")), ", version ", agent.value("version", "")));
}

// The definition with the etag of the version that it replaces.
absl::StatusOr<json> ForUpdate(Session& session, json agent) {
  if (!agent.contains("etag")) {
    ASSIGN_OR_RETURN(const json current, session.Request("GET", AgentPath(agent.value("name", "")), nullptr));
    agent["etag"] = current.value("etag", "");
  }
  return agent;
}

}  // namespace

absl::Status ListAgents(const RemoteContext& context, int limit) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json agents,
                   ListAll(*signed_in.session, "/v1/agents", "", "agents", static_cast<size_t>(limit)));
  context.console->Json({{"agents", agents}});
  for (const json& agent : agents) {
    const std::string owner = agent.value("owner", "");
    context.console->Line(
        absl::StrFormat("%-24s %-9s %-8s %s%s", LastSegment(agent.value("name", "")), KindOf(agent),
                        agent.value("version", ""), Printable(agent.value("description", "")),
                        owner.empty() || owner == signed_in.session->user() ? "" : absl::StrCat(" (of ", owner, ")")));
  }
  return absl::OkStatus();
}

absl::Status ShowAgent(const RemoteContext& context, const std::string& agent) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json found, signed_in.session->Request("GET", AgentPath(agent), nullptr));
  context.console->Json(found);
  // As `agents update` takes it.
  context.console->Line(found.dump(2));
  return absl::OkStatus();
}

absl::Status CreateAgent(const RemoteContext& context, const std::string& file) {
  ASSIGN_OR_RETURN(const json agent, ReadDefinition(file));
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  absl::StatusOr<json> made = signed_in.session->Request("POST", "/v1/agents", json{{"agent", agent}});
  if (!made.ok()) {
    return WithProblems(context, made.status());
  }
  PrintStored(context, *made, "Made");
  return absl::OkStatus();
}

absl::Status UpdateAgent(const RemoteContext& context, const std::string& file) {
  ASSIGN_OR_RETURN(json agent, ReadDefinition(file));
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(agent, ForUpdate(*signed_in.session, std::move(agent)));
  absl::StatusOr<json> changed =
      signed_in.session->Request("PATCH", AgentPath(agent.value("name", "")), json{{"agent", agent}});
  if (!changed.ok()) {
    return WithProblems(context, changed.status());
  }
  PrintStored(context, *changed, "Changed");
  return absl::OkStatus();
}

absl::Status DeleteAgent(const RemoteContext& context, const std::string& agent) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(signed_in.session->Request("DELETE", AgentPath(agent), nullptr).status());
  context.console->Json({{"agent", absl::StrCat("agents/", LastSegment(agent))}, {"deleted", true}});
  context.console->Line(absl::StrCat("Deleted ", LastSegment(agent), "."));
  return absl::OkStatus();
}

absl::Status CheckAgent(const RemoteContext& context, const std::string& file) {
  ASSIGN_OR_RETURN(const json agent, ReadDefinition(file));
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  absl::StatusOr<json> checked =
      signed_in.session->Request("POST", "/v1/agents", json{{"agent", agent}, {"validateOnly", true}});
  if (ReasonOf(checked.status()) == "AGENT_EXISTS") {
    ASSIGN_OR_RETURN(const json next, ForUpdate(*signed_in.session, agent));
    checked = signed_in.session->Request("PATCH", AgentPath(next.value("name", "")),
                                         json{{"agent", next}, {"validateOnly", true}});
  }
  if (!checked.ok()) {
    return WithProblems(context, checked.status());
  }
  context.console->Json({{"agent", checked->value("name", "")}, {"valid", true}});
  context.console->Line(absl::StrCat(LastSegment(checked->value("name", "")), " is good."));
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
