#include "services/gateway/oauth_endpoint.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/session_service.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::gateway {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(30);
// A form holds two tokens of 16 KiB at the most.
constexpr uint64_t kMaxFormBytes = 64 * 1024;
constexpr size_t kPiece = 16 * 1024;
constexpr int64_t kDefaultRunTokenSeconds = 3600;

constexpr std::string_view kExchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange";
constexpr std::string_view kAccessTokenType = "urn:ietf:params:oauth:token-type:access_token";
constexpr std::string_view kJwtType = "urn:ietf:params:oauth:token-type:jwt";
constexpr std::string_view kServicePrefix = "service-";

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return GatewayError(absl::StatusCode::kInvalidArgument, reason, message);
}

HttpResponse Refused(const absl::Status& refusal) { return OAuthErrorResponse(refusal, OAuthErrorOf(refusal)); }

// RFC 6749 section 5.1.
HttpResponse TokenResponse(std::string_view token, int64_t expires_in, nlohmann::json more) {
  more["access_token"] = token;
  more["token_type"] = "Bearer";
  more["expires_in"] = expires_in;
  return UnstoredJson(more.dump());
}

// Where a grant takes what its token may do from elsewhere.
absl::Status RefuseScope(const OAuthRequest& request) {
  return request.Get("scope").empty() ? absl::OkStatus()
                                      : Invalid("OAUTH_SCOPE_UNSUPPORTED",
                                                "a scope cannot be chosen here: the token carries all that is granted");
}

// The last part of "users/ada", or of "users/ada/sessions/session-7".
std::string LastPart(std::string_view name) { return std::string(name.substr(name.rfind('/') + 1)); }

// What is asked of an exchange, in the words of RFC 8693 section 2.1.
absl::StatusOr<auth::v1::ExchangeTokenRequest> ParseExchange(const OAuthRequest& request) {
  auth::v1::ExchangeTokenRequest exchange;
  ASSIGN_OR_RETURN(*exchange.mutable_subject_token(), request.Require("subject_token"));
  ASSIGN_OR_RETURN(const std::string subject_type, request.Require("subject_token_type"));
  const std::string requested_type = request.Get("requested_token_type");
  for (const std::string& type : {subject_type, requested_type}) {
    if (!type.empty() && type != kAccessTokenType && type != kJwtType) {
      return Invalid("OAUTH_TOKEN_TYPE_UNSUPPORTED",
                     absl::StrCat("tokens are exchanged of, and into, ", kAccessTokenType));
    }
  }
  if (!request.Get("actor_token").empty()) {
    return Invalid("OAUTH_TOKEN_TYPE_UNSUPPORTED", "the actor is the client that asks: send no actor_token");
  }
  if (!request.Get("resource").empty()) {
    return Invalid("OAUTH_TARGET_INVALID", "name the run as `audience`: users/{user}/runs/{run}");
  }
  exchange.set_run(request.Get("audience"));
  if (exchange.run().empty()) {
    return Invalid("OAUTH_TARGET_INVALID", "a token is exchanged for one of a run: `audience` is its name");
  }
  int64_t seconds = kDefaultRunTokenSeconds;
  if (const std::string lifetime = request.Get("lifetime");
      !lifetime.empty() && !absl::SimpleAtoi(lifetime, &seconds)) {
    return Invalid("OAUTH_REQUEST_INVALID", "`lifetime` must be a number of seconds");
  }
  exchange.mutable_lifetime()->set_seconds(seconds);
  for (std::string_view permission : absl::StrSplit(request.Get("scope"), ' ', absl::SkipEmpty())) {
    exchange.add_permissions(permission);
  }
  return exchange;
}

// RFC 7662 section 2.2.
nlohmann::json ToJson(const auth::v1::IntrospectTokenResponse& token) {
  nlohmann::json json = {{"active", token.active()}};
  if (!token.active()) {
    return json;  // Why is nobody's business.
  }
  const auto add = [&json](std::string_view name, const std::string& value) {
    if (!value.empty()) {
      json[name] = value;
    }
  };
  const bool refresh = token.kind() == auth::v1::TOKEN_KIND_REFRESH;
  json["token_use"] = refresh ? "refresh" : "access";
  add("token_type", refresh ? "" : "Bearer");
  add("sub", token.service().empty() ? LastPart(token.user()) : token.service());
  add("client_id", std::string(absl::StripPrefix(token.service(), kServicePrefix)));
  add("sid", LastPart(token.session()));
  add("run", LastPart(token.run()));
  add("scope", absl::StrJoin(token.permissions(), " "));
  add("jti", token.token_id());
  add("iss", token.issuer());
  add("aud", token.audience());
  if (!token.actor().empty()) {
    json["act"] = {{"sub", token.actor()}};
  }
  json["exp"] = token.expire_time().seconds();
  if (token.has_issue_time()) {
    json["iat"] = token.issue_time().seconds();
  }
  return json;
}

// RFC 6750 section 3: how a bearer is told that his token does not do.
HttpResponse BearerRefused(const absl::Status& refusal) {
  const bool denied = refusal.code() == absl::StatusCode::kPermissionDenied;
  const OAuthError error = denied ? OAuthError{403, "insufficient_scope"}
                           : refusal.code() == absl::StatusCode::kUnauthenticated ? OAuthError{401, "invalid_token"}
                                                                                  : OAuthErrorOf(refusal);
  HttpResponse response = OAuthErrorResponse(refusal, error);
  if (response.status == 401 || response.status == 403) {
    response.headers["WWW-Authenticate"] = absl::StrCat("Bearer error=\"", error.error, "\"");
  }
  return response;
}

std::shared_ptr<const RawToken> BearerOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(authorization, kScheme)) {
    return nullptr;
  }
  authorization.remove_prefix(kScheme.size());
  return std::make_shared<const RawToken>(std::string(absl::StripAsciiWhitespace(authorization)));
}

}  // namespace

Awaitable<absl::StatusOr<OAuthRequest>> OAuthEndpoint::Read(HttpExchange& exchange) {
  std::string body;
  while (true) {
    CO_ASSIGN_OR_RETURN(const std::string piece,
                        co_await exchange.ReadBody(kPiece, std::min(max_body_bytes_, kMaxFormBytes)));
    if (piece.empty()) {
      break;
    }
    body += piece;
  }
  co_return OAuthRequest::Parse(exchange.request(), body);
}

Awaitable<absl::StatusOr<OAuthEndpoint::ClientToken>> OAuthEndpoint::Authenticate(const rpc::CallContext& call,
                                                                                  const ClientCredentials& client) {
  auth::v1::IssueServiceTokenRequest request;
  request.set_service(client.id);
  request.set_secret(client.secret.Reveal());
  auth::v1::IssuedToken issued;
  CO_RETURN_IF_ERROR(
      co_await backend_->Call(call, "bulkhead.auth.v1.TokenService/IssueServiceToken", kTimeout, request, &issued));
  co_return ClientToken{.token = std::make_shared<const RawToken>(issued.token()),
                        .expires_in = issued.expires_in().seconds()};
}

Awaitable<HttpResponse> OAuthEndpoint::ServeToken(HttpExchange& exchange, rpc::CallContext call) {
  absl::StatusOr<OAuthRequest> request = co_await Read(exchange);
  if (!request.ok()) {
    co_return Refused(request.status());
  }
  const absl::StatusOr<std::string> grant = request->Require("grant_type");
  if (!grant.ok()) {
    co_return Refused(grant.status());
  }
  if (*grant == "refresh_token") {
    co_return co_await Refresh(call, *request);
  }
  if (*grant == "client_credentials") {
    co_return co_await IssueToClient(call, *request);
  }
  if (*grant == kExchangeGrant) {
    co_return co_await Exchange(call, *request);
  }
  // People's passwords are for the sign-in page alone: RFC 9700 section 2.4.
  co_return Refused(Invalid("OAUTH_GRANT_UNSUPPORTED",
                            absl::StrCat("grant_type must be refresh_token, client_credentials or ", kExchangeGrant)));
}

Awaitable<HttpResponse> OAuthEndpoint::Refresh(const rpc::CallContext& call, const OAuthRequest& request) {
  const absl::StatusOr<std::optional<ClientCredentials>> client = request.Client();
  if (!client.ok()) {
    co_return Refused(client.status());
  }
  if (client->has_value()) {
    co_return Refused(Invalid("OAUTH_REFRESH_CLIENT_MISMATCH",
                              "refresh tokens belong to people's sessions, and were given to no client"));
  }
  if (const absl::Status scope = RefuseScope(request); !scope.ok()) {
    co_return Refused(scope);
  }
  absl::StatusOr<std::string> token = request.Require("refresh_token");
  if (!token.ok()) {
    co_return Refused(token.status());
  }
  auth::v1::RefreshSessionRequest refresh;
  refresh.set_refresh_token(*std::move(token));
  auth::v1::Tokens tokens;
  const absl::Status refreshed =
      co_await backend_->Call(call, "bulkhead.auth.v1.SessionService/RefreshSession", kTimeout, refresh, &tokens);
  if (refreshed.code() == absl::StatusCode::kUnauthenticated) {
    co_return OAuthErrorResponse(refreshed, {400, "invalid_grant"});
  }
  if (!refreshed.ok()) {
    co_return Refused(refreshed);
  }
  co_return TokenResponse(tokens.access_token(), tokens.expires_in().seconds(),
                          {{"refresh_token", tokens.refresh_token()}});
}

Awaitable<HttpResponse> OAuthEndpoint::IssueToClient(const rpc::CallContext& call, const OAuthRequest& request) {
  const absl::StatusOr<ClientCredentials> client = request.RequireClient();
  if (!client.ok()) {
    co_return Refused(client.status());
  }
  if (const absl::Status scope = RefuseScope(request); !scope.ok()) {
    co_return Refused(scope);
  }
  const absl::StatusOr<ClientToken> issued = co_await Authenticate(call, *client);
  if (!issued.ok()) {
    co_return Refused(issued.status());
  }
  co_return TokenResponse(issued->token->Reveal(), issued->expires_in, nlohmann::json::object());
}

Awaitable<HttpResponse> OAuthEndpoint::Exchange(const rpc::CallContext& call, const OAuthRequest& request) {
  const absl::StatusOr<ClientCredentials> client = request.RequireClient();
  if (!client.ok()) {
    co_return Refused(client.status());
  }
  const absl::StatusOr<auth::v1::ExchangeTokenRequest> exchange = ParseExchange(request);
  if (!exchange.ok()) {
    co_return Refused(exchange.status());
  }
  absl::StatusOr<ClientToken> actor = co_await Authenticate(call, *client);
  if (!actor.ok()) {
    co_return Refused(actor.status());
  }
  rpc::CallContext as_client = call;
  as_client.token = actor->token;
  auth::v1::IssuedToken issued;
  const absl::Status exchanged =
      co_await backend_->Call(as_client, "bulkhead.auth.v1.TokenService/ExchangeToken", kTimeout, *exchange, &issued);
  if (exchanged.code() == absl::StatusCode::kNotFound) {
    co_return OAuthErrorResponse(exchanged, {400, "invalid_target"});
  }
  if (!exchanged.ok()) {
    co_return Refused(exchanged);
  }
  co_return TokenResponse(issued.token(), issued.expires_in().seconds(), {{"issued_token_type", kAccessTokenType}});
}

Awaitable<HttpResponse> OAuthEndpoint::ServeRevoke(HttpExchange& exchange, rpc::CallContext call) {
  absl::StatusOr<OAuthRequest> request = co_await Read(exchange);
  if (!request.ok()) {
    co_return Refused(request.status());
  }
  // Who holds a token may end it; a client that says who it is must be that client all the same.
  const absl::StatusOr<std::optional<ClientCredentials>> client = request->Client();
  if (!client.ok()) {
    co_return Refused(client.status());
  }
  if (client->has_value()) {
    const absl::StatusOr<ClientToken> known = co_await Authenticate(call, **client);
    if (!known.ok()) {
      co_return Refused(known.status());
    }
  }
  absl::StatusOr<std::string> token = request->Require("token");
  if (!token.ok()) {
    co_return Refused(token.status());
  }
  auth::v1::RevokeTokenRequest revoke;
  revoke.set_token(*std::move(token));
  google::protobuf::Empty nothing;
  const absl::Status revoked =
      co_await backend_->Call(call, "bulkhead.auth.v1.SessionService/RevokeToken", kTimeout, revoke, &nothing);
  co_return revoked.ok() ? UnstoredJson("{}") : Refused(revoked);
}

Awaitable<HttpResponse> OAuthEndpoint::ServeIntrospect(HttpExchange& exchange, rpc::CallContext call) {
  absl::StatusOr<OAuthRequest> request = co_await Read(exchange);
  if (!request.ok()) {
    co_return Refused(request.status());
  }
  call.token = BearerOf(exchange.request().header("authorization"));
  if (call.token == nullptr) {
    const absl::StatusOr<ClientCredentials> client = request->RequireClient();
    if (!client.ok()) {
      co_return Refused(client.status());
    }
    const absl::StatusOr<ClientToken> known = co_await Authenticate(call, *client);
    if (!known.ok()) {
      co_return Refused(known.status());
    }
    call.token = known->token;
  }
  absl::StatusOr<std::string> token = request->Require("token");
  if (!token.ok()) {
    co_return Refused(token.status());
  }
  auth::v1::IntrospectTokenRequest introspect;
  introspect.set_token(*std::move(token));
  auth::v1::IntrospectTokenResponse answer;
  const absl::Status asked =
      co_await backend_->Call(call, "bulkhead.auth.v1.TokenService/IntrospectToken", kTimeout, introspect, &answer);
  co_return asked.ok() ? UnstoredJson(ToJson(answer).dump()) : BearerRefused(asked);
}

}  // namespace bulkhead::gateway
