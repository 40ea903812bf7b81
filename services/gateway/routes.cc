#include "services/gateway/routes.h"

namespace bulkhead::gateway {
namespace {

using enum RouteKind;

constexpr Route kRoutes[] = {
    // Users and sessions.
    {"POST", "/v1/users", kRpc, "bulkhead.auth.v1.UserService/CreateUser"},
    {"GET", "/v1/users/me", kRpc, "bulkhead.auth.v1.UserService/GetUser", "name", "users/{me}"},
    {"POST", "/v1/users/me:changePassword", kRpc, "bulkhead.auth.v1.UserService/ChangePassword"},
    {"DELETE", "/v1/users/me/sessions/{session}", kRpc, "bulkhead.auth.v1.SessionService/RevokeSession", "name",
     "users/{me}/sessions/{session}"},
    {"POST", "/v1/sessions:signIn", kRpc, "bulkhead.auth.v1.SessionService/SignIn"},
    {"POST", "/v1/sessions:refresh", kRpc, "bulkhead.auth.v1.SessionService/RefreshSession"},
    {"POST", "/v1/sessions:revokeAll", kRpc, "bulkhead.auth.v1.SessionService/RevokeAllSessions"},
    {"GET", "/v1/sessions", kRpc, "bulkhead.auth.v1.SessionService/ListSessions"},
    {"GET", "/.well-known/jwks.json", kRpc, "bulkhead.auth.v1.TokenService/GetKeySet"},

    // Runs and their events.
    {"POST", "/v1/runs", kRpc, "bulkhead.agent.v1.RunService/CreateRun"},
    {"GET", "/v1/runs", kRpc, "bulkhead.agent.v1.RunService/ListRuns"},
    {"GET", "/v1/runs/{run}", kRpc, "bulkhead.agent.v1.RunService/GetRun", "name", "users/{me}/runs/{run}"},
    {"DELETE", "/v1/runs/{run}", kRpc, "bulkhead.agent.v1.RunService/DeleteRun", "name", "users/{me}/runs/{run}"},
    {"POST", "/v1/runs/{run}:cancel", kRpc, "bulkhead.agent.v1.RunService/CancelRun", "name", "users/{me}/runs/{run}"},
    {"POST", "/v1/runs/{run}:interrupt", kRpc, "bulkhead.agent.v1.RunService/InterruptRun", "name",
     "users/{me}/runs/{run}"},
    {"POST", "/v1/runs/{run}:resume", kRpc, "bulkhead.agent.v1.RunService/ResumeRun", "name", "users/{me}/runs/{run}"},
    {"POST", "/v1/runs/{run}:retry", kRpc, "bulkhead.agent.v1.RunService/RetryRun", "name", "users/{me}/runs/{run}"},
    {"GET", "/v1/runs/{run}/approvals", kRpc, "bulkhead.agent.v1.RunService/ListApprovals", "parent",
     "users/{me}/runs/{run}"},
    {"POST", "/v1/runs/{run}/approvals/{approval}:resolve", kRpc, "bulkhead.agent.v1.RunService/ResolveApproval",
     "name", "users/{me}/runs/{run}/approvals/{approval}"},
    {"GET", "/v1/runs/{run}/events", kEvents, "bulkhead.notifier.v1.EventService/ListEvents", "stream",
     "users/{me}/runs/{run}"},
    {"POST", "/v1/ws-tickets", kTicket},
    {"GET", "/v1/ws", kWebSocket},

    // Agents.
    {"GET", "/v1/agents", kRpc, "bulkhead.agent.v1.AgentService/ListAgents"},
    {"POST", "/v1/agents", kRpc, "bulkhead.agent.v1.AgentService/CreateAgent"},
    {"GET", "/v1/agents/{agent}", kRpc, "bulkhead.agent.v1.AgentService/GetAgent", "name", "agents/{agent}"},
    {"DELETE", "/v1/agents/{agent}", kRpc, "bulkhead.agent.v1.AgentService/DeleteAgent", "name", "agents/{agent}"},

    // Tools.
    {"GET", "/v1/tools", kRpc, "bulkhead.tool.v1.ToolService/ListTools"},
    {"POST", "/v1/tools", kRpc, "bulkhead.tool.v1.ToolService/RegisterTool"},
    {"GET", "/v1/tools/{tool}", kRpc, "bulkhead.tool.v1.ToolService/GetTool", "name", "tools/{tool}"},
    {"DELETE", "/v1/tools/{tool}", kRpc, "bulkhead.tool.v1.ToolService/UnregisterTool", "name", "tools/{tool}"},
    {"POST", "/v1/tools/{tool}:invoke", kInvokeTool, "bulkhead.tool.v1.ToolService/InvokeTool", "tool", "tools/{tool}"},

    // Files.
    {"GET", "/v1/files", kRpc, "bulkhead.tool.v1.FileService/ListFiles"},
    {"PUT", "/v1/files/{path=**}", kUpload, "bulkhead.tool.v1.FileService/UploadFile", "name",
     "users/{me}/files/{path}"},
    {"GET", "/v1/files/{path=**}", kDownload, "bulkhead.tool.v1.FileService/GetFile", "name",
     "users/{me}/files/{path}"},
    {"DELETE", "/v1/files/{path=**}", kRpc, "bulkhead.tool.v1.FileService/DeleteFile", "name",
     "users/{me}/files/{path}"},

    // The platform itself.
    {"GET", "/healthz", kHealth},
    {"GET", "/readyz", kReady},
    {"GET", "/", kPage},
    {"GET", "/app.js", kPage},
    {"GET", "/app.css", kPage},
};

}  // namespace

absl::Span<const Route> Routes() { return kRoutes; }

}  // namespace bulkhead::gateway
