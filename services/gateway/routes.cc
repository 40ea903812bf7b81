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
    {"POST", "/v1/sessions:completeProviderSignIn", kRpc, "bulkhead.auth.v1.SessionService/CompleteProviderSignIn"},
    {"GET", "/v1/providers", kRpc, "bulkhead.auth.v1.SessionService/ListProviders"},
    {"POST", "/v1/providers/{provider}:beginSignIn", kRpc, "bulkhead.auth.v1.SessionService/BeginProviderSignIn",
     "provider", "providers/{provider}"},
    {"GET", "/v1/oidc/{provider}/start", kProviderStart, "bulkhead.auth.v1.SessionService/BeginProviderSignIn",
     "provider", "providers/{provider}"},
    {"POST", "/v1/oidc/{provider}/start", kProviderStart, "bulkhead.auth.v1.SessionService/BeginProviderSignIn",
     "provider", "providers/{provider}"},
    {"GET", "/v1/oidc/callback", kPage},
    {"POST", "/v1/oidc/callback", kProviderCallback, "bulkhead.auth.v1.SessionService/CompleteProviderSignIn"},
    {"GET", "/v1/users/me/identities", kRpc, "bulkhead.auth.v1.UserService/ListIdentities"},
    {"DELETE", "/v1/users/me/identities/{identity}", kRpc, "bulkhead.auth.v1.UserService/DeleteIdentity", "name",
     "users/{me}/identities/{identity}"},
    {"POST", "/v1/sessions:refresh", kRpc, "bulkhead.auth.v1.SessionService/RefreshSession"},
    {"POST", "/v1/sessions:revokeAll", kRpc, "bulkhead.auth.v1.SessionService/RevokeAllSessions"},
    {"GET", "/v1/sessions", kRpc, "bulkhead.auth.v1.SessionService/ListSessions"},
    {"POST", "/v1/oauth/token", kOAuthToken},
    {"POST", "/v1/oauth/revoke", kOAuthRevoke},
    {"POST", "/v1/oauth/introspect", kOAuthIntrospect},
    {"GET", "/.well-known/jwks.json", kKeySet, "bulkhead.auth.v1.TokenService/GetKeySet"},
    {"GET", "/.well-known/openid-configuration", kDiscovery},
    {"GET", "/.well-known/oauth-authorization-server", kDiscovery},

    // Administration.
    {"GET", "/v1/users", kRpc, "bulkhead.auth.v1.UserService/ListUsers"},
    {"GET", "/v1/users/{user}", kRpc, "bulkhead.auth.v1.UserService/GetUser", "name", "users/{user}"},
    {"PATCH", "/v1/users/{user}", kRpc, "bulkhead.auth.v1.UserService/UpdateUser", "user.name", "users/{user}"},
    {"DELETE", "/v1/users/{user}", kRpc, "bulkhead.auth.v1.UserService/DeleteUser", "name", "users/{user}"},
    {"POST", "/v1/users/{user}:resetPassword", kRpc, "bulkhead.auth.v1.UserService/ResetPassword", "name",
     "users/{user}"},
    {"GET", "/v1/users/{user}/sessions", kRpc, "bulkhead.auth.v1.SessionService/ListSessions", "parent",
     "users/{user}"},
    {"DELETE", "/v1/users/{user}/sessions/{session}", kRpc, "bulkhead.auth.v1.SessionService/RevokeSession", "name",
     "users/{user}/sessions/{session}"},
    {"POST", "/v1/users/{user}/sessions:revokeAll", kRpc, "bulkhead.auth.v1.SessionService/RevokeAllSessions", "parent",
     "users/{user}"},
    {"GET", "/v1/roles", kRpc, "bulkhead.auth.v1.RoleService/ListRoles"},
    {"POST", "/v1/roles", kRpc, "bulkhead.auth.v1.RoleService/CreateRole"},
    {"PATCH", "/v1/roles/{role}", kRpc, "bulkhead.auth.v1.RoleService/UpdateRole", "role.name", "roles/{role}"},
    {"DELETE", "/v1/roles/{role}", kRpc, "bulkhead.auth.v1.RoleService/DeleteRole", "name", "roles/{role}"},
    {"POST", "/v1/permissions:check", kRpc, "bulkhead.auth.v1.RoleService/CheckPermission"},
    {"GET", "/v1/keys", kRpc, "bulkhead.auth.v1.TokenService/ListKeys"},
    {"POST", "/v1/keys:rotate", kRpc, "bulkhead.auth.v1.TokenService/RotateKeys"},
    {"POST", "/v1/keys/{key}:revoke", kRpc, "bulkhead.auth.v1.TokenService/RevokeKey", "kid", "{key}"},
    {"GET", "/v1/audit", kRpc, "bulkhead.auth.v1.AuditService/ListAuditRecords"},
    {"POST", "/v1/audit:verify", kRpc, "bulkhead.auth.v1.AuditService/VerifyAuditLog"},

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

    // Threads.
    {"POST", "/v1/threads", kRpc, "bulkhead.agent.v1.ThreadService/CreateThread"},
    {"GET", "/v1/threads", kRpc, "bulkhead.agent.v1.ThreadService/ListThreads"},
    {"GET", "/v1/threads/{thread}", kRpc, "bulkhead.agent.v1.ThreadService/GetThread", "name",
     "users/{me}/threads/{thread}"},
    {"PATCH", "/v1/threads/{thread}", kRpc, "bulkhead.agent.v1.ThreadService/UpdateThread", "thread.name",
     "users/{me}/threads/{thread}"},
    {"DELETE", "/v1/threads/{thread}", kRpc, "bulkhead.agent.v1.ThreadService/DeleteThread", "name",
     "users/{me}/threads/{thread}"},

    // Agents.
    {"GET", "/v1/agents", kRpc, "bulkhead.agent.v1.AgentService/ListAgents"},
    {"POST", "/v1/agents", kRpc, "bulkhead.agent.v1.AgentService/CreateAgent"},
    {"GET", "/v1/agents/{agent}", kRpc, "bulkhead.agent.v1.AgentService/GetAgent", "name", "agents/{agent}"},
    {"PATCH", "/v1/agents/{agent}", kRpc, "bulkhead.agent.v1.AgentService/UpdateAgent", "agent.name", "agents/{agent}"},
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
