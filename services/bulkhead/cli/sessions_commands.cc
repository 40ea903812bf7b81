#include "services/bulkhead/cli/sessions_commands.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/users_commands.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

// "/v1/users/{user}/sessions"
absl::StatusOr<std::string> SessionsPath(Session& session, const std::string& user) {
  ASSIGN_OR_RETURN(const std::string path, UserPath(session, user.empty() ? session.user() : user));
  return absl::StrCat(path, "/sessions");
}

}  // namespace

absl::Status ListSessions(const RemoteContext& context, const std::string& user, int limit) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const std::string path, SessionsPath(*signed_in.session, user));
  ASSIGN_OR_RETURN(const json sessions, ListAll(*signed_in.session, path, "", "sessions", static_cast<size_t>(limit)));
  context.console->Json({{"sessions", sessions}});
  for (const json& session : sessions) {
    context.console->Line(absl::StrFormat(
        "%-32s %-8s %-20s %-20s %-16s %s  %s", LastSegment(session.value("name", "")),
        session.contains("revokeTime") ? "revoked" : "open", TextOf(session, "method"), TextOf(session, "device"),
        TextOf(session, "address"), ShortTime(session, "refreshTime"), TextOf(session, "client")));
  }
  return absl::OkStatus();
}

absl::Status RevokeSession(const RemoteContext& context, const std::string& user, const std::string& session) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  const std::vector<std::string> parts = absl::StrSplit(session, '/');
  // A whole name says whose it is.
  const std::string owner = user.empty() && parts.size() == 4 ? absl::StrCat(parts[0], "/", parts[1]) : user;
  ASSIGN_OR_RETURN(const std::string path, SessionsPath(*signed_in.session, owner));
  RETURN_IF_ERROR(
      signed_in.session->Request("DELETE", absl::StrCat(path, "/", gateway::EscapePath(parts.back())), nullptr)
          .status());
  context.console->Json({{"session", parts.back()}, {"revoked", true}});
  context.console->Line(absl::StrCat("Ended ", parts.back(), "."));
  return absl::OkStatus();
}

absl::Status RevokeAllSessions(const RemoteContext& context, const std::string& user, bool keep_current) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const std::string path, SessionsPath(*signed_in.session, user));
  RETURN_IF_ERROR(
      signed_in.session->Request("POST", absl::StrCat(path, ":revokeAll"), json{{"keepCurrent", keep_current}})
          .status());
  context.console->Json({{"revoked", true}});
  context.console->Line(keep_current ? "Ended all sessions but this one." : "Ended all sessions.");
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
