#include "services/agent/agent_catalog.h"

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/agent/definition.h"
#include "services/agent/request_id.h"
#include "services/agent/run_proto.h"
#include "services/common/paging/page_token.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

absl::Status Refused(absl::StatusCode code, std::string_view reason, std::string_view what, const std::string& name) {
  return MakeError(code, absl::StrCat("'", name, "' ", what),
                   {.domain = "bulkhead.agent", .reason = std::string(reason), .metadata = {{"agent", name}}});
}

}  // namespace

DefinitionStore::Scoped AgentCatalog::SeenBy(const UserContext& user) const {
  return dependencies_.definitions->For(user.user(), user.roles());
}

absl::StatusOr<v1::Agent> AgentCatalog::Get(const UserContext& user, const std::string& name) const {
  if (absl::StatusOr<const AgentFactory*> built_in = dependencies_.registry->Find(name); built_in.ok()) {
    return ToProto((*built_in)->spec);
  }
  ASSIGN_OR_RETURN(DefinitionRecord definition, SeenBy(user).Get(name));
  return ToProto(definition);
}

absl::StatusOr<v1::ListAgentsResponse> AgentCatalog::List(const UserContext& user,
                                                          const v1::ListAgentsRequest& request) const {
  const std::string list = absl::StrCat("agents ", user.user());
  ASSIGN_OR_RETURN(int page_size, PageSize(request.page_size()));
  ASSIGN_OR_RETURN(std::string after, DecodePageToken(list, request.page_token()));
  ASSIGN_OR_RETURN(std::vector<DefinitionRecord> defined, SeenBy(user).List());
  std::map<std::string, v1::Agent> agents;
  for (const AgentFactory* built_in : dependencies_.registry->List(after, SIZE_MAX)) {
    agents.emplace(built_in->spec.name, ToProto(built_in->spec));
  }
  for (const DefinitionRecord& definition : defined) {
    if (definition.name > after) {
      agents.emplace(definition.name, ToProto(definition));
    }
  }
  v1::ListAgentsResponse response;
  std::string last;
  for (auto& [name, agent] : agents) {
    if (response.agents_size() == page_size) {
      response.set_next_page_token(EncodePageToken(list, last));
      break;
    }
    *response.add_agents() = std::move(agent);
    last = name;
  }
  return response;
}

Awaitable<absl::StatusOr<v1::Agent>> AgentCatalog::Create(rpc::CallContext call, v1::CreateAgentRequest request) const {
  CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  CO_ASSIGN_OR_RETURN(DefinitionRecord definition, co_await Checked(call, request.agent()));
  if (dependencies_.registry->Find(definition.name).ok()) {
    co_return Refused(absl::StatusCode::kAlreadyExists, "AGENT_EXISTS", "is the name of a built-in agent",
                      definition.name);
  }
  const DefinitionStore::Scoped definitions = SeenBy(*call.user);
  CO_ASSIGN_OR_RETURN(DefinitionRecord created, co_await definitions.Create(std::move(definition), request.request_id(),
                                                                            request.validate_only()));
  co_return ToProto(created);
}

Awaitable<absl::StatusOr<v1::Agent>> AgentCatalog::Update(rpc::CallContext call, v1::UpdateAgentRequest request) const {
  CO_ASSIGN_OR_RETURN(DefinitionRecord definition, co_await Checked(call, request.agent()));
  if (dependencies_.registry->Find(definition.name).ok()) {
    co_return Refused(absl::StatusCode::kFailedPrecondition, "AGENT_BUILT_IN", "cannot be changed", definition.name);
  }
  const DefinitionStore::Scoped definitions = SeenBy(*call.user);
  CO_ASSIGN_OR_RETURN(
      DefinitionRecord updated,
      co_await definitions.Update(std::move(definition), request.agent().etag(), request.validate_only()));
  co_return ToProto(updated);
}

Awaitable<absl::Status> AgentCatalog::Delete(rpc::CallContext call, std::string name) const {
  if (dependencies_.registry->Find(name).ok()) {
    co_return Refused(absl::StatusCode::kFailedPrecondition, "AGENT_BUILT_IN", "cannot be deleted", name);
  }
  const DefinitionStore::Scoped definitions = SeenBy(*call.user);
  co_return co_await definitions.Delete(std::move(name), dependencies_.clock->Now());
}

Awaitable<absl::StatusOr<DefinitionRecord>> AgentCatalog::Checked(rpc::CallContext call, v1::Agent agent) const {
  // Before the tools are asked for: nobody waits to hear what can be said at once.
  CO_RETURN_IF_ERROR(AgentInvalid(CheckDefinition(agent, nullptr)));
  if (agent.shared_with_size() > 0) {
    CO_RETURN_IF_ERROR(call.user->Require("agent:any:share"));
  }
  Surroundings surroundings{.models = dependencies_.models};
  if (agent.has_plan() || agent.model().tools_size() > 0) {
    CO_ASSIGN_OR_RETURN(surroundings.tools, co_await dependencies_.tools->ToolsOf(call));
  }
  CO_RETURN_IF_ERROR(AgentInvalid(CheckDefinition(agent, &surroundings)));
  CO_ASSIGN_OR_RETURN(std::string name, ParseAgentName(agent.name()));
  DefinitionRecord definition;
  definition.name = std::move(name);
  definition.update_time = dependencies_.clock->Now();
  for (const std::string& role : agent.shared_with()) {
    definition.shared_with.emplace_back(absl::StripPrefix(role, "roles/"));
  }
  for (int field : {v1::Agent::kNameFieldNumber, v1::Agent::kVersionFieldNumber, v1::Agent::kBuiltInFieldNumber,
                    v1::Agent::kOwnerFieldNumber, v1::Agent::kUpdateTimeFieldNumber, v1::Agent::kEtagFieldNumber}) {
    agent.GetReflection()->ClearField(&agent, agent.GetDescriptor()->FindFieldByNumber(field));
  }
  definition.content = agent.SerializeAsString();
  co_return definition;
}

}  // namespace bulkhead::agent
