#include "services/gateway/api.h"

#include <algorithm>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "boost/asio/this_coro.hpp"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/auth/v1/session_service.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "bulkhead/notifier/v1/event_service.pb.h"
#include "bulkhead/tool/v1/file_service.pb.h"
#include "bulkhead/tool/v1/tool_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "services/common/rpc/metadata.h"
#include "services/common/rpc/token_check.h"
#include "services/common/rpc/token_guard.h"
#include "services/common/runtime/channel.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"
#include "services/gateway/discovery.h"
#include "services/gateway/frame_codec.h"
#include "services/gateway/sign_in_cookie.h"
#include "services/gateway/static_page.h"
#include "services/gateway/task_group.h"

namespace bulkhead::gateway {
namespace {

namespace pb = ::google::protobuf;

constexpr absl::Duration kRpcTimeout = absl::Seconds(30);
constexpr absl::Duration kToolTimeout = absl::Minutes(15);
// For how long the gateway may hear nothing of revocations and be ready.
constexpr absl::Duration kMaxStaleness = absl::Seconds(30);
constexpr absl::Duration kReadyTimeout = absl::Seconds(2);
// Half of what FileService takes at once; two of them are held.
constexpr size_t kUploadPiece = 512 * 1024;
// For how long an upload is kept whose end FileService was not told of: the gateway has died, or the token is no longer
// good.
constexpr absl::Duration kUploadKeep = absl::Hours(1);
// Less than what the server waits for cut-off requests at its shutdown.
constexpr absl::Duration kDiscardTimeout = absl::Seconds(2);
constexpr size_t kBodyPiece = 64 * 1024;
constexpr size_t kQueuedEvents = 64;
// Proxies close connections on which nothing moves.
constexpr absl::Duration kEventStreamKeepAlive = absl::Seconds(15);

// Scripts, styles and connections of the page's own, and nothing else; images also from memory: charts are fetched with
// the token.
constexpr char kPagePolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
// What users store is never run, even when a browser is made to show it.
constexpr char kFilePolicy[] = "sandbox; default-src 'none'; frame-ancestors 'none'";

bool IsJson(std::string_view content_type) {
  const std::string_view type = absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  return absl::EqualsIgnoreCase(type, "application/json");
}

// The token of "Authorization: Bearer ..."; empty when there is none.
std::shared_ptr<const RawToken> BearerToken(const HttpRequest& request) {
  std::string_view value = request.header("authorization");
  constexpr std::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(value, kScheme)) {
    return std::make_shared<const RawToken>();
  }
  value.remove_prefix(kScheme.size());
  return std::make_shared<const RawToken>(std::string(absl::StripAsciiWhitespace(value)));
}

HttpResponse JsonResponse(std::string json) {
  HttpResponse response;
  response.body = std::move(json);
  return response;
}

// RFC 8187: what is not an attr-char is percent-encoded.
std::string AttachmentHeader(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  std::string header = "attachment; filename*=UTF-8''";
  for (const char c : name) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_') {
      header.push_back(c);
    } else {
      absl::StrAppendFormat(&header, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return header;
}

// One message of a subscription in the event-stream format.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
std::string ToServerSentEvent(const notifier::v1::SubscribeResponse& message) {
  if (message.has_event()) {
    const std::string id =
        message.event().sequence() == 0 ? "" : absl::StrCat("id: ", message.event().sequence(), "\n");
    return absl::StrCat(id, "event: ", message.event().type(), "\ndata: ", ToJson(message.event()), "\n\n");
  }
  if (message.has_gap()) {
    return absl::StrCat("event: gap\ndata: ", ToJson(message.gap()), "\n\n");
  }
  return absl::StrCat("event: caught_up\ndata: ", ToJson(message.caught_up()), "\n\n");
}

}  // namespace

absl::StatusOr<std::shared_ptr<Api>> Api::Create(Options options, Dependencies dependencies) {
  ASSIGN_OR_RETURN(std::vector<RpcShape> shapes, ResolveRoutes());
  return std::shared_ptr<Api>(new Api(std::move(options), std::move(dependencies), std::move(shapes)));
}

Api::Api(Options options, Dependencies dependencies, std::vector<RpcShape> shapes)
    : options_(std::move(options)),
      dependencies_(std::move(dependencies)),
      shapes_(std::move(shapes)),
      router_([] {
        std::vector<Router::Pattern> patterns;
        for (const Route& route : Routes()) {
          patterns.push_back({.method = route.method, .path = route.path});
        }
        return patterns;
      }()),
      oauth_(options_.max_body_bytes, dependencies_.backend),
      tickets_({}, dependencies_.clock),
      sockets_(options_.max_sockets_per_user) {}

rpc::CallContext Api::AnonymousCall(const HttpRequest& request) {
  rpc::CallContext call;
  call.request_id = dependencies_.ids->NewId("request");
  call.client = rpc::PrintableClient(request.header("user-agent"));
  call.peer_address = request.peer_address;
  if (rpc::IsTraceparent(request.header("traceparent"))) {
    call.traceparent = std::string(request.header("traceparent"));
  }
  return call;
}

Awaitable<absl::StatusOr<rpc::CallContext>> Api::Identify(const HttpRequest& request,
                                                          std::shared_ptr<const RawToken> token) {
  const rpc::TokenCheck check{
      .verifier = dependencies_.verifier, .key_refresher = dependencies_.key_refresher, .revocations = revoked()};
  CO_ASSIGN_OR_RETURN(VerifiedToken verified, co_await check.Verify(*token));
  rpc::CallContext call = AnonymousCall(request);
  CO_ASSIGN_OR_RETURN(call.user, UserContext::FromToken(verified, {.request_id = call.request_id,
                                                                   .traceparent = call.traceparent,
                                                                   .client = call.client}));
  call.token = std::move(token);
  co_return call;
}

Awaitable<void> Api::Handle(HttpExchange& exchange) {
  const absl::Status status = co_await Dispatch(exchange);
  if (!status.ok()) {
    co_await exchange.Respond(ErrorResponse(status));
  }
}

Awaitable<absl::Status> Api::Dispatch(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  CO_ASSIGN_OR_RETURN(Router::Match match, router_.Find(request.method, request.path));
  const Route& route = Routes()[match.index];
  const RpcShape& shape = shapes_[match.index];
  switch (route.kind) {
    case RouteKind::kHealth:
      co_await exchange.Respond(JsonResponse(R"({"status":"ok"})"));
      co_return absl::OkStatus();
    case RouteKind::kPage:
      co_return co_await ServePage(exchange);
    case RouteKind::kOAuthToken:
    case RouteKind::kOAuthRevoke:
    case RouteKind::kOAuthIntrospect:
    case RouteKind::kDiscovery:
    case RouteKind::kKeySet:
      co_return co_await ServeOAuth(route.kind, exchange);
    case RouteKind::kWebSocket:
      co_return GatewayError(absl::StatusCode::kFailedPrecondition, "UPGRADE_REQUIRED",
                             "this is a WebSocket: ask for an upgrade");
    default:
      break;
  }
  Asked asked{.exchange = exchange, .route = route, .shape = shape, .variables = std::move(match.variables)};
  if (shape.anonymous || route.kind == RouteKind::kReady) {
    asked.call = AnonymousCall(request);
    // Some methods that are open to all do more for one who has a token; whether it is good is theirs to check.
    if (std::shared_ptr<const RawToken> token = BearerToken(request); !token->empty()) {
      asked.call.token = std::move(token);
    }
  } else {
    CO_ASSIGN_OR_RETURN(asked.call, co_await Identify(request, BearerToken(request)));
    asked.variables["me"] = asked.call.user->user();
  }
  asked.call.stop = exchange.stop();
  // What takes long ends with its token. A single call does not: it may be the one that revokes it.
  std::optional<rpc::TokenGuard> guard;
  const bool takes_long = route.kind == RouteKind::kEvents || route.kind == RouteKind::kInvokeTool ||
                          route.kind == RouteKind::kUpload || route.kind == RouteKind::kDownload;
  if (takes_long && asked.call.user.has_value() && revoked() != nullptr) {
    guard.emplace(*revoked(), asked.call);
  }
  switch (route.kind) {
    case RouteKind::kEvents:
      if (absl::StrContains(request.header("accept"), "text/event-stream")) {
        co_return co_await ServeEventStream(std::move(asked));
      }
      co_return co_await ServeRpc(std::move(asked));
    case RouteKind::kInvokeTool:
      co_return co_await ServeInvokeTool(std::move(asked));
    case RouteKind::kUpload:
      co_return co_await ServeUpload(std::move(asked));
    case RouteKind::kDownload:
      co_return co_await ServeDownload(std::move(asked));
    case RouteKind::kTicket:
      co_return co_await ServeTicket(std::move(asked));
    case RouteKind::kReady:
      co_return co_await ServeReady(std::move(asked));
    case RouteKind::kProviderStart:
      co_return co_await ServeProviderStart(std::move(asked));
    case RouteKind::kProviderCallback:
      co_return co_await ServeProviderCallback(std::move(asked));
    default:
      co_return co_await ServeRpc(std::move(asked));
  }
}

Awaitable<absl::StatusOr<std::string>> Api::ReadJson(HttpExchange& exchange) {
  std::string body;
  while (true) {
    CO_ASSIGN_OR_RETURN(std::string piece, co_await exchange.ReadBody(kBodyPiece, options_.max_body_bytes));
    if (piece.empty()) {
      break;
    }
    body += piece;
  }
  // A form that another site makes a browser send is never of this type.
  if (!body.empty() && !IsJson(exchange.request().header("content-type"))) {
    co_return GatewayError(absl::StatusCode::kInvalidArgument, "MEDIA_TYPE_UNSUPPORTED",
                           "the body must be sent with Content-Type: application/json");
  }
  co_return body;
}

Awaitable<absl::Status> Api::ServeRpc(Asked asked) {
  const HttpRequest& http = asked.exchange.request();
  std::string body;
  if (http.method == "POST" || http.method == "PATCH") {
    CO_ASSIGN_OR_RETURN(body, co_await ReadJson(asked.exchange));
  }
  CO_ASSIGN_OR_RETURN(
      std::unique_ptr<pb::Message> request,
      MakeRequest(asked.route, asked.shape, {.body = body, .query = &http.query, .variables = &asked.variables}));
  std::unique_ptr<pb::Message> response(asked.shape.response->New());
  CO_RETURN_IF_ERROR(
      co_await dependencies_.backend->Call(asked.call, asked.route.rpc, kRpcTimeout, *request, response.get()));
  co_await asked.exchange.Respond(JsonResponse(ToJson(*response)));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeInvokeTool(Asked asked) {
  CO_ASSIGN_OR_RETURN(std::string body, co_await ReadJson(asked.exchange));
  CO_ASSIGN_OR_RETURN(std::unique_ptr<pb::Message> request,
                      MakeRequest(asked.route, asked.shape, {.body = body, .variables = &asked.variables}));
  tool::v1::Invocation invocation;
  CO_RETURN_IF_ERROR(co_await dependencies_.backend->InvokeTool(
      asked.call, kToolTimeout, static_cast<const tool::v1::InvokeToolRequest&>(*request),
      [&invocation](tool::v1::InvokeToolResponse update) -> Awaitable<absl::Status> {
        if (update.has_invocation()) {
          invocation = std::move(*update.mutable_invocation());
        }
        co_return absl::OkStatus();
      }));
  co_await asked.exchange.Respond(JsonResponse(ToJson(invocation)));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeUpload(Asked asked) {
  const std::string upload_id = dependencies_.ids->NewId("upload");
  tool::v1::UploadFileResponse response;
  absl::Status sent = co_await SendUpload(asked, upload_id, &response);
  // Nobody else knows the id: what has arrived would only count against what the user may store. One who may not upload
  // has nothing there.
  if (!sent.ok() && !absl::IsPermissionDenied(sent)) {
    rpc::CallContext call = asked.call;
    call.request_id = dependencies_.ids->NewId("request");
    call.stop = std::stop_token();  // That of a client who may have gone.
    tool::v1::DiscardUploadRequest discard;
    discard.set_upload_id(upload_id);
    pb::Empty nothing;
    static_cast<void>(co_await dependencies_.backend->Call(
        std::move(call), "bulkhead.tool.v1.FileService/DiscardUpload", kDiscardTimeout, discard, &nothing));
  }
  CO_RETURN_IF_ERROR(sent);
  co_await asked.exchange.Respond(JsonResponse(ToJson(response.file())));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::SendUpload(const Asked& asked, const std::string& upload_id,
                                        tool::v1::UploadFileResponse* response) {
  tool::v1::UploadFileRequest request;
  request.set_name(Expand(asked.route.value, asked.variables));
  request.set_upload_id(upload_id);
  SetDuration(kUploadKeep, request.mutable_keep());
  CO_ASSIGN_OR_RETURN(std::string piece, co_await asked.exchange.ReadBody(kUploadPiece, options_.max_upload_bytes));
  uint64_t offset = 0;
  while (!request.finish()) {
    // The last piece is known by nothing coming after it.
    CO_ASSIGN_OR_RETURN(std::string next, co_await asked.exchange.ReadBody(kUploadPiece, options_.max_upload_bytes));
    request.set_offset(offset);
    request.set_finish(next.empty());
    offset += piece.size();
    request.set_data(std::exchange(piece, std::move(next)));
    rpc::CallContext call = asked.call;
    call.request_id = dependencies_.ids->NewId("request");
    CO_RETURN_IF_ERROR(
        co_await dependencies_.backend->Call(std::move(call), asked.route.rpc, kRpcTimeout, request, response));
  }
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeDownload(Asked asked) {
  tool::v1::GetFileRequest get;
  get.set_name(Expand(asked.route.value, asked.variables));
  tool::v1::File file;
  CO_RETURN_IF_ERROR(co_await dependencies_.backend->Call(asked.call, asked.route.rpc, kRpcTimeout, get, &file));

  HttpResponse head;
  head.content_type = file.media_type().empty() ? "application/octet-stream" : file.media_type();
  head.headers["Content-Disposition"] = AttachmentHeader(file.name());
  head.headers["Content-Security-Policy"] = kFilePolicy;
  HttpExchange& exchange = asked.exchange;
  bool begun = false;
  tool::v1::DownloadFileRequest request;
  request.set_name(get.name());
  absl::Status status = co_await dependencies_.backend->DownloadFile(
      asked.call, request, [&](tool::v1::DownloadFileResponse piece) -> Awaitable<absl::Status> {
        if (!begun) {
          begun = true;
          CO_RETURN_IF_ERROR(co_await exchange.BeginStream(head));
        }
        co_return co_await exchange.WriteStream(std::move(*piece.mutable_data()));
      });
  if (!begun) {
    CO_RETURN_IF_ERROR(status);
    static_cast<void>(co_await exchange.BeginStream(head));  // An empty file.
  }
  if (status.ok()) {
    co_await exchange.EndStream();
  }
  co_return absl::OkStatus();  // A download that broke off shows by its missing end.
}

absl::StatusOr<std::unique_ptr<SocketRegistry::Entry>> Api::TakePlace(const std::string& user) {
  std::unique_ptr<SocketRegistry::Entry> entry = sockets_.Add(user);
  if (entry == nullptr) {
    return MakeError(
        absl::StatusCode::kResourceExhausted,
        absl::StrCat("a user has at most ", options_.max_sockets_per_user, " WebSockets and event streams at once"),
        {.domain = "bulkhead.gateway", .reason = "TOO_MANY_CONNECTIONS", .retry_after = absl::Seconds(10)});
  }
  return entry;
}

Awaitable<absl::Status> Api::ServeEventStream(Asked asked) {
  const HttpRequest& http = asked.exchange.request();
  notifier::v1::SubscribeRequest request;
  request.set_stream(Expand(asked.route.value, asked.variables));
  auto query = http.query.find("after");
  // A browser that reconnects sends the header; it is the newer one.
  const std::string cursor = !http.header("last-event-id").empty() ? std::string(http.header("last-event-id"))
                             : query != http.query.end()           ? query->second
                                                                   : "0";
  uint64_t after = 0;
  if (!absl::SimpleAtoi(cursor, &after)) {
    co_return GatewayError(absl::StatusCode::kInvalidArgument, "QUERY_INVALID",
                           "the cursor (Last-Event-ID or ?after=) must be a sequence number", {{"parameter", "after"}});
  }
  request.set_after(after);
  CO_ASSIGN_OR_RETURN(const std::unique_ptr<SocketRegistry::Entry> place, TakePlace(asked.call.user->user()));

  Channel<std::string> outgoing(kQueuedEvents);
  std::stop_source stop;
  const auto end = [&] {
    stop.request_stop();
    outgoing.Close();
  };
  std::stop_callback on_gone(asked.call.stop, end);  // The client, or its token.
  std::stop_callback on_going_away(asked.exchange.going_away(), end);
  absl::Status status;
  TaskGroup tasks(co_await boost::asio::this_coro::executor);
  rpc::CallContext call = asked.call;
  call.stop = stop.get_token();
  const auto follow = [&]() -> Awaitable<void> {
    status = co_await dependencies_.backend->Subscribe(
        call, request, [&](notifier::v1::SubscribeResponse message) -> Awaitable<absl::Status> {
          co_return co_await outgoing.Send(ToServerSentEvent(message)) ? absl::OkStatus() : absl::CancelledError();
        });
    outgoing.Close();
  };
  const auto keep_alive = [&]() -> Awaitable<void> {
    Clock* clock = dependencies_.clock;
    const absl::Time expires = call.user->claims().expires_at;
    while (
        (co_await SleepUntil(clock, std::min(clock->Now() + kEventStreamKeepAlive, expires), stop.get_token())).ok()) {
      if (clock->Now() >= expires) {
        end();
      }
      outgoing.TrySend(": keep-alive\n\n");
    }
  };
  tasks.Spawn(follow());
  std::optional<std::string> piece = co_await outgoing.Receive();
  const bool begun = piece.has_value();
  if (begun) {
    HttpResponse head;
    head.content_type = "text/event-stream";
    absl::Status open = co_await asked.exchange.BeginStream(std::move(head));
    tasks.Spawn(keep_alive());
    while (open.ok() && piece.has_value()) {
      open = co_await asked.exchange.WriteStream(*std::move(piece));
      piece = co_await outgoing.Receive();
    }
  }
  end();
  co_await tasks.Join();
  if (!begun) {
    co_return status.ok() ? absl::CancelledError("the server ends") : status;
  }
  if (status.ok()) {
    static_cast<void>(co_await asked.exchange.WriteStream("event: end\ndata: {}\n\n"));
  }
  co_await asked.exchange.EndStream();
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeTicket(Asked asked) {
  CO_ASSIGN_OR_RETURN(std::string ticket, tickets_.Issue(asked.call.user->user(), asked.call.token));
  co_await asked.exchange.Respond(JsonResponse(absl::StrCat(R"({"ticket":")", ticket, R"(","expiresIn":")",
                                                            absl::ToInt64Seconds(tickets_.lifetime()), R"(s"})")));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeReady(Asked asked) {
  // Asked without a token, a service that lives refuses; that is answer enough.
  static constexpr std::pair<std::string_view, std::string_view> kProbes[] = {
      {"auth", "bulkhead.auth.v1.SessionService/ListSessions"},
      {"agent", "bulkhead.agent.v1.RunService/ListRuns"},
      {"tool", "bulkhead.tool.v1.FileService/ListFiles"},
      {"notifier", "bulkhead.notifier.v1.EventService/ListEvents"}};
  asked.call.token = nullptr;  // Also when the request brought one.
  bool ready = true;
  std::string services;
  for (const auto& [service, method] : kProbes) {
    notifier::v1::ListEventsRequest nothing;  // Any message without content is the empty one of every type.
    notifier::v1::ListEventsResponse ignored;
    const absl::Status status =
        co_await dependencies_.backend->Call(asked.call, method, kReadyTimeout, nothing, &ignored);
    const bool answers = status.code() == absl::StatusCode::kUnauthenticated;
    ready = ready && answers;
    absl::StrAppend(&services, services.empty() ? "" : ",", "\"", service, "\":\"", answers ? "ok" : "unavailable",
                    "\"");
  }
  if (dependencies_.revocations != nullptr) {
    // Without it, tokens that should be refused are taken.
    const bool fresh = dependencies_.revocations->staleness() < kMaxStaleness;
    ready = ready && fresh;
    absl::StrAppend(&services, ",\"revocations\":\"", fresh ? "ok" : "stale", "\"");
  }
  HttpResponse response = JsonResponse(
      absl::StrCat(R"({"status":")", ready ? "ready" : "unavailable", R"(","services":{)", services, "}}"));
  response.status = ready ? 200 : 503;
  co_await asked.exchange.Respond(std::move(response));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServePage(HttpExchange& exchange) {
  // The page takes the query from there, and out of the address, and hands it in.
  const bool is_callback = exchange.request().path == kSignInCallbackPath;
  const StaticFile* file = FindStaticFile(is_callback ? "/" : exchange.request().path);
  if (file == nullptr) {
    co_return GatewayError(absl::StatusCode::kNotFound, "ROUTE_NOT_FOUND", "there is no such page");
  }
  HttpResponse response;
  response.content_type = std::string(file->content_type);
  response.body = std::string(file->body);
  response.headers["Content-Security-Policy"] = kPagePolicy;
  response.headers["Cache-Control"] = is_callback ? "no-store" : "no-cache";
  co_await exchange.Respond(std::move(response));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeProviderStart(Asked asked) {
  std::string body;
  const bool by_page = asked.exchange.request().method == "POST";
  if (by_page) {
    CO_ASSIGN_OR_RETURN(body, co_await ReadJson(asked.exchange));
  }
  CO_ASSIGN_OR_RETURN(std::unique_ptr<pb::Message> message,
                      MakeRequest(asked.route, asked.shape, {.body = body, .variables = &asked.variables}));
  auto& request = static_cast<auth::v1::BeginProviderSignInRequest&>(*message);
  const std::string base = base_url();
  request.set_redirect_uri(absl::StrCat(base, kSignInCallbackPath));
  auth::v1::BeginProviderSignInResponse begun;
  CO_RETURN_IF_ERROR(co_await dependencies_.backend->Call(asked.call, asked.route.rpc, kRpcTimeout, request, &begun));
  const std::string cookie = SignInCookie(begun.state(), base);
  // The cookie is all that has the state.
  begun.clear_state();
  HttpResponse response = JsonResponse(by_page ? ToJson(begun) : "{}");
  response.headers["Set-Cookie"] = cookie;
  if (!by_page) {
    response.status = 303;
    response.headers["Location"] = begun.authorization_uri();
  }
  co_await asked.exchange.Respond(std::move(response));
  co_return absl::OkStatus();
}

Awaitable<absl::Status> Api::ServeProviderCallback(Asked asked) {
  CO_ASSIGN_OR_RETURN(std::string body, co_await ReadJson(asked.exchange));
  CO_ASSIGN_OR_RETURN(std::unique_ptr<pb::Message> message, MakeRequest(asked.route, asked.shape, {.body = body}));
  auto& request = static_cast<auth::v1::CompleteProviderSignInRequest&>(*message);
  request.set_state(SignInStateOf(asked.exchange.request()));
  auth::v1::Tokens tokens;
  const absl::Status completed =
      co_await dependencies_.backend->Call(asked.call, asked.route.rpc, kRpcTimeout, request, &tokens);
  HttpResponse response = completed.ok() ? JsonResponse(ToJson(tokens)) : ErrorResponse(completed);
  // Good or bad, the state is used up.
  response.headers["Set-Cookie"] = NoSignInCookie(base_url());
  co_await asked.exchange.Respond(std::move(response));
  co_return absl::OkStatus();
}

void Api::SetBaseUrl(std::string url) {
  absl::MutexLock lock(mutex_);
  base_url_ = std::move(url);
}

std::string Api::base_url() const {
  absl::MutexLock lock(mutex_);
  return base_url_;
}

Awaitable<absl::Status> Api::ServeOAuth(RouteKind kind, HttpExchange& exchange) {
  rpc::CallContext call = AnonymousCall(exchange.request());
  call.stop = exchange.stop();
  HttpResponse response;
  switch (kind) {
    case RouteKind::kOAuthToken:
      response = co_await oauth_.ServeToken(exchange, std::move(call));
      break;
    case RouteKind::kOAuthRevoke:
      response = co_await oauth_.ServeRevoke(exchange, std::move(call));
      break;
    case RouteKind::kOAuthIntrospect:
      response = co_await oauth_.ServeIntrospect(exchange, std::move(call));
      break;
    case RouteKind::kKeySet: {
      auth::v1::KeySet keys;
      CO_RETURN_IF_ERROR(co_await dependencies_.backend->Call(std::move(call),
                                                              "bulkhead.auth.v1.TokenService/GetKeySet", kRpcTimeout,
                                                              auth::v1::GetKeySetRequest(), &keys));
      response = KeySetResponse(keys, exchange.request());
      break;
    }
    default:
      response = DiscoveryResponse(options_.issuer, base_url());
      break;
  }
  co_await exchange.Respond(std::move(response));
  co_return absl::OkStatus();
}

absl::Status Api::CheckOrigin(const HttpRequest& request, bool by_ticket) const {
  const std::string origin = absl::AsciiStrToLower(request.header("origin"));
  if (origin.empty()) {
    // No browser: those always say. But then why the ticket?
    return by_ticket ? GatewayError(absl::StatusCode::kPermissionDenied, "ORIGIN_REFUSED",
                                    "a ticket is for browsers, which send their origin")
                     : absl::OkStatus();
  }
  const std::string host = absl::AsciiStrToLower(request.header("host"));
  const bool own = origin == absl::StrCat("http://", host) || origin == absl::StrCat("https://", host);
  const bool allowed = std::any_of(options_.allowed_origins.begin(), options_.allowed_origins.end(),
                                   [&](const std::string& each) { return absl::EqualsIgnoreCase(each, origin); });
  return own || allowed
             ? absl::OkStatus()
             : GatewayError(absl::StatusCode::kPermissionDenied, "ORIGIN_REFUSED",
                            absl::StrCat("WebSockets from ", origin, " are not allowed"), {{"origin", origin}});
}

Awaitable<absl::StatusOr<std::unique_ptr<WebSocketHandler>>> Api::Upgrade(const HttpRequest& request) {
  CO_ASSIGN_OR_RETURN(Router::Match match, router_.Find(request.method, request.path));
  if (Routes()[match.index].kind != RouteKind::kWebSocket) {
    co_return GatewayError(absl::StatusCode::kInvalidArgument, "UPGRADE_UNEXPECTED", "there is no WebSocket here");
  }
  auto ticket = request.query.find("ticket");
  const bool by_ticket = ticket != request.query.end();
  CO_RETURN_IF_ERROR(CheckOrigin(request, by_ticket));
  std::optional<FrameFormat> format = ChooseFormat(request.header("sec-websocket-protocol"));
  if (!format.has_value()) {
    co_return GatewayError(absl::StatusCode::kInvalidArgument, "SUBPROTOCOL_UNSUPPORTED",
                           absl::StrCat("offer ", kJsonProtocol, " or ", kProtoProtocol));
  }
  std::shared_ptr<const RawToken> token = BearerToken(request);
  if (by_ticket) {
    CO_ASSIGN_OR_RETURN(token, tickets_.Redeem(ticket->second));
  }
  CO_ASSIGN_OR_RETURN(rpc::CallContext call, co_await Identify(request, std::move(token)));
  CO_ASSIGN_OR_RETURN(std::unique_ptr<SocketRegistry::Entry> entry, TakePlace(call.user->user()));
  co_return NewWsSession({.backend = dependencies_.backend.get(),
                          .clock = dependencies_.clock,
                          .revocations = revoked(),
                          .ids = dependencies_.ids},
                         options_.ws, *format, std::move(call), std::move(entry));
}

}  // namespace bulkhead::gateway
