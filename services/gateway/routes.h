// The table of all that can be asked over HTTP.
#ifndef SERVICES_GATEWAY_ROUTES_H_
#define SERVICES_GATEWAY_ROUTES_H_

#include <string_view>

#include "absl/types/span.h"

namespace bulkhead::gateway {

enum class RouteKind {
  kRpc,         // JSON to a unary method and back.
  kEvents,      // ListEvents as JSON, or Subscribe as server-sent events, by the Accept header.
  kInvokeTool,  // InvokeTool, whose stream ends with what is answered.
  kUpload,      // A file, in pieces.
  kDownload,    // A file, in pieces.
  kTicket,      // A ticket for the WebSocket.
  kWebSocket,   // The WebSocket.
  kOAuthToken,  // The platform's own OAuth 2.0 endpoints: forms, not JSON, and errors of their own.
  kOAuthRevoke,
  kOAuthIntrospect,
  kDiscovery,  // Metadata of the tokens' issuer.
  kKeySet,     // The keys to verify tokens with.
  kHealth,     // The process lives.
  kReady,      // The services answer.
  kPage,       // A file of the web console.
  // A browser's sign-in through an OpenID provider: sets the cookie and sends it there, or tells the page where to go.
  kProviderStart,
  kProviderCallback,  // Its end: the page hands in the query that it came back with, the browser its cookie.
};

struct Route {
  std::string_view method;
  std::string_view path;  // As Router takes it.
  RouteKind kind = RouteKind::kRpc;
  // "bulkhead.agent.v1.RunService/GetRun"; "" for what no service is asked for.
  std::string_view rpc = "";
  // A field of the rpc's request, or of a message in it ("user.name"), and its value made of the path's variables and
  // {me}, the caller's id.
  std::string_view field = "";
  std::string_view value = "";
};

// In the order in which they are tried.
absl::Span<const Route> Routes();

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_ROUTES_H_
