#include "services/bulkhead/cli/roles_commands.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

std::string RolePath(const std::string& role) {
  return absl::StrCat("/v1/roles/", gateway::EscapePath(LastSegment(role)));
}

void PrintRole(Console& console, const json& role) {
  console.Line(absl::StrFormat("%-16s %-9s %s", LastSegment(role.value("name", "")),
                               role.value("builtIn", false) ? "built-in" : "own",
                               role.value("permissions", json::array()).dump()));
}

}  // namespace

absl::Status ListRoles(const RemoteContext& context) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json roles,
                   ListAll(*signed_in.session, "/v1/roles", "", "roles", std::numeric_limits<size_t>::max()));
  context.console->Json({{"roles", roles}});
  for (const json& role : roles) {
    PrintRole(*context.console, role);
  }
  return absl::OkStatus();
}

absl::Status CreateRole(const RemoteContext& context, const std::string& role,
                        const std::vector<std::string>& permissions) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  const json request = {{"role", {{"name", absl::StrCat("roles/", LastSegment(role))}, {"permissions", permissions}}}};
  ASSIGN_OR_RETURN(const json created, signed_in.session->Request("POST", "/v1/roles", request));
  context.console->Json(created);
  PrintRole(*context.console, created);
  return absl::OkStatus();
}

absl::Status UpdateRole(const RemoteContext& context, const std::string& role,
                        const std::vector<std::string>& permissions) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json updated,
                   signed_in.session->Request("PATCH", RolePath(role), json{{"role", {{"permissions", permissions}}}}));
  context.console->Json(updated);
  PrintRole(*context.console, updated);
  return absl::OkStatus();
}

absl::Status DeleteRole(const RemoteContext& context, const std::string& role) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(signed_in.session->Request("DELETE", RolePath(role), nullptr).status());
  context.console->Json({{"role", absl::StrCat("roles/", LastSegment(role))}, {"deleted", true}});
  context.console->Line(absl::StrCat("Deleted ", role, "."));
  return absl::OkStatus();
}

absl::Status CheckPermission(const RemoteContext& context, const std::string& permission, const std::string& resource) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json answer,
                   signed_in.session->Request("POST", "/v1/permissions:check",
                                              json{{"permission", permission}, {"resource", resource}}));
  context.console->Json(answer);
  const std::string explanation = answer.value("explanation", "");
  if (!answer.value("granted", false)) {
    return MakeError(
        absl::StatusCode::kPermissionDenied, absl::StrCat("not granted: ", explanation),
        {.domain = "bulkhead.cli", .reason = "PERMISSION_NOT_GRANTED", .metadata = {{"permission", permission}}});
  }
  context.console->Line(absl::StrCat("granted: ", Printable(explanation)));
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
