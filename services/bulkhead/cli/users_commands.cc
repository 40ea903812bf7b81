#include "services/bulkhead/cli/users_commands.h"

#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

constexpr char kUsers[] = "users/";

std::string LineOf(const json& user) {
  return absl::StrFormat("%-28s %-24s %-20s %-9s %s", LastSegment(user.value("name", "")), TextOf(user, "login"),
                         LastSegmentsOf(user, "roles"), user.value("disabled", false) ? "disabled" : "active",
                         TextOf(user, "displayName"));
}

json RoleNames(const std::vector<std::string>& roles) {
  json names = json::array();
  for (const std::string& role : roles) {
    names.push_back(absl::StrCat("roles/", LastSegment(role)));
  }
  return names;
}

// Changes one field, and shows the user as he is now.
absl::Status Update(const RemoteContext& context, const std::string& user, const char* field, const json& value) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const std::string path, UserPath(*signed_in.session, user));
  ASSIGN_OR_RETURN(const json updated,
                   signed_in.session->Request("PATCH", path, json{{"user", {{field, value}}}, {"updateMask", field}}));
  context.console->Json(updated);
  context.console->Line(LineOf(updated));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> UserPath(Session& session, const std::string& user) {
  if (user == "me" || absl::StartsWith(user, kUsers)) {
    return absl::StrCat("/v1/users/", gateway::EscapePath(LastSegment(user == "me" ? session.user() : user)));
  }
  // Not tried as an id as well: a login that looks like another user's id must not lead to him.
  ASSIGN_OR_RETURN(const json users, ListAll(session, "/v1/users", "", "users", std::numeric_limits<size_t>::max()));
  for (const json& candidate : users) {
    if (candidate.value("login", "") == user) {
      return absl::StrCat("/v1/users/", gateway::EscapePath(LastSegment(candidate.value("name", ""))));
    }
  }
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("there is no user with the login '", user, "'; an id is written as users/", user),
                   {.domain = "bulkhead.cli", .reason = "USER_NOT_FOUND", .metadata = {{"login", user}}});
}

absl::Status ListUsers(const RemoteContext& context, int limit) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json users, ListAll(*signed_in.session, "/v1/users", "", "users", static_cast<size_t>(limit)));
  context.console->Json({{"users", users}});
  for (const json& user : users) {
    context.console->Line(LineOf(user));
  }
  return absl::OkStatus();
}

absl::Status ShowUser(const RemoteContext& context, const std::string& user) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const std::string path, UserPath(*signed_in.session, user));
  ASSIGN_OR_RETURN(const json found, signed_in.session->Request("GET", path, nullptr));
  context.console->Json(found);
  context.console->Line(LineOf(found));
  return absl::OkStatus();
}

absl::Status CreateUser(const RemoteContext& context, const CreateUserOptions& options) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const Secret password, ReadPassword("Password of the new user: ", options.password_stdin));
  ASSIGN_OR_RETURN(json created, signed_in.session->Request("POST", "/v1/users",
                                                            json{{"login", options.login},
                                                                 {"password", password.Reveal()},
                                                                 {"displayName", options.display_name}}));
  if (!options.roles.empty()) {
    return Update(context, created.value("name", ""), "roles", RoleNames(options.roles));
  }
  context.console->Json(created);
  context.console->Line(LineOf(created));
  return absl::OkStatus();
}

absl::Status SetUserDisabled(const RemoteContext& context, const std::string& user, bool disabled) {
  return Update(context, user, "disabled", disabled);
}

absl::Status SetUserRoles(const RemoteContext& context, const std::string& user,
                          const std::vector<std::string>& roles) {
  return Update(context, user, "roles", RoleNames(roles));
}

absl::Status ResetUserPassword(const RemoteContext& context, const std::string& user, bool password_stdin) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const std::string path, UserPath(*signed_in.session, user));
  ASSIGN_OR_RETURN(const Secret password, ReadPassword("New password: ", password_stdin));
  RETURN_IF_ERROR(
      signed_in.session->Request("POST", absl::StrCat(path, ":resetPassword"), json{{"newPassword", password.Reveal()}})
          .status());
  context.console->Json({{"user", absl::StrCat(kUsers, LastSegment(path))}, {"reset", true}});
  context.console->Line(absl::StrCat("The password of ", user, " is new, and all sessions have ended."));
  return absl::OkStatus();
}

absl::Status DeleteUser(const RemoteContext& context, const std::string& user) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const std::string path, UserPath(*signed_in.session, user));
  RETURN_IF_ERROR(signed_in.session->Request("DELETE", path, nullptr).status());
  context.console->Json({{"user", absl::StrCat(kUsers, LastSegment(path))}, {"deleted", true}});
  context.console->Line(absl::StrCat("Deleted ", user, "."));
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
