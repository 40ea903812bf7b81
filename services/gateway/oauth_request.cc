#include "services/gateway/oauth_request.h"

#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::gateway {
namespace {

constexpr std::string_view kFormType = "application/x-www-form-urlencoded";
constexpr std::string_view kBasicScheme = "basic ";

absl::Status Invalid(std::string_view message) {
  return GatewayError(absl::StatusCode::kInvalidArgument, "OAUTH_REQUEST_INVALID", message);
}

absl::Status ClientInvalid(std::string_view message) {
  return GatewayError(absl::StatusCode::kUnauthenticated, "OAUTH_CLIENT_INVALID", message);
}

bool IsForm(std::string_view content_type) {
  const std::string_view type = absl::StripAsciiWhitespace(content_type.substr(0, content_type.find(';')));
  return absl::EqualsIgnoreCase(type, kFormType);
}

// Id and secret, each encoded as in a form, joined by ':', in base64.
absl::StatusOr<ClientCredentials> ParseBasic(std::string_view authorization) {
  std::string decoded;
  if (!absl::StartsWithIgnoreCase(authorization, kBasicScheme) ||
      !absl::Base64Unescape(absl::StripAsciiWhitespace(authorization.substr(kBasicScheme.size())), &decoded)) {
    return ClientInvalid("a client authenticates with HTTP Basic, or with client_id and client_secret in the form");
  }
  const std::pair<std::string_view, std::string_view> parts = absl::StrSplit(decoded, absl::MaxSplits(':', 1));
  std::optional<std::string> id = PercentDecode(parts.first, /*plus_is_space=*/true);
  std::optional<std::string> secret = PercentDecode(parts.second, /*plus_is_space=*/true);
  if (!id.has_value() || id->empty() || !secret.has_value()) {
    return ClientInvalid("HTTP Basic must bring the client's id and its secret, each form-encoded");
  }
  return ClientCredentials{.id = *std::move(id), .secret = Secret(*std::move(secret))};
}

// What may stand in an error_description: RFC 6749 section 5.2.
std::string Describable(std::string_view message) {
  std::string description(message);
  for (char& c : description) {
    if (c == '"' || c == '\\') {
      c = '\'';
    } else if (c < 0x20 || c > 0x7E) {
      c = '?';
    }
  }
  return description;
}

}  // namespace

absl::StatusOr<OAuthRequest> OAuthRequest::Parse(const HttpRequest& http, std::string_view body) {
  if (!http.query.empty()) {
    return Invalid("parameters belong into the body: those in the address are logged on the way");
  }
  if (!IsForm(http.header("content-type"))) {
    return Invalid(absl::StrCat("the body must be sent with Content-Type: ", kFormType));
  }
  const std::optional<std::map<std::string, std::string>> parameters = ParseParameters(body);
  if (!parameters.has_value()) {
    return Invalid("the body must be a well-encoded form in which no parameter comes twice");
  }
  OAuthRequest request;
  for (const auto& [name, value] : *parameters) {
    if (!value.empty()) {
      request.parameters_.emplace(name, value);
    }
  }
  request.authorization_ = std::string(http.header("authorization"));
  return request;
}

std::string OAuthRequest::Get(std::string_view parameter) const {
  const auto found = parameters_.find(parameter);
  return found == parameters_.end() ? "" : found->second;
}

absl::StatusOr<std::string> OAuthRequest::Require(std::string_view parameter) const {
  const auto found = parameters_.find(parameter);
  if (found == parameters_.end()) {
    return Invalid(absl::StrCat("`", parameter, "` is missing"));
  }
  return found->second;
}

absl::StatusOr<std::optional<ClientCredentials>> OAuthRequest::Client() const {
  const std::string secret = Get("client_secret");
  if (authorization_.empty()) {
    if (secret.empty()) {
      return std::nullopt;
    }
    ASSIGN_OR_RETURN(std::string id, Require("client_id"));
    return ClientCredentials{.id = std::move(id), .secret = Secret(secret)};
  }
  if (!secret.empty()) {
    return Invalid("a client authenticates in one way: with HTTP Basic or in the form");
  }
  ASSIGN_OR_RETURN(ClientCredentials client, ParseBasic(authorization_));
  if (const std::string id = Get("client_id"); !id.empty() && id != client.id) {
    return Invalid("client_id is not the client that HTTP Basic names");
  }
  return client;
}

absl::StatusOr<ClientCredentials> OAuthRequest::RequireClient() const {
  ASSIGN_OR_RETURN(std::optional<ClientCredentials> client, Client());
  if (!client.has_value()) {
    return GatewayError(absl::StatusCode::kUnauthenticated, "OAUTH_CLIENT_MISSING",
                        "this is for clients: send id and secret with HTTP Basic, or in the form");
  }
  return *std::move(client);
}

OAuthError OAuthErrorOf(const absl::Status& refusal) {
  static constexpr std::pair<std::string_view, OAuthError> kByReason[] = {
      {"BODY_TOO_LARGE", {413, "invalid_request"}},
      {"OAUTH_CLIENT_INVALID", {401, "invalid_client"}},
      {"OAUTH_CLIENT_MISSING", {401, "invalid_client"}},
      {"SERVICE_CREDENTIALS_INVALID", {401, "invalid_client"}},
      {"OAUTH_GRANT_UNSUPPORTED", {400, "unsupported_grant_type"}},
      {"OAUTH_SCOPE_UNSUPPORTED", {400, "invalid_scope"}},
      {"PERMISSION_MALFORMED", {400, "invalid_scope"}},
      {"OAUTH_TARGET_INVALID", {400, "invalid_target"}},
      {"TOKEN_NOT_REVOCABLE", {400, "unsupported_token_type"}},
      {"OAUTH_REFRESH_CLIENT_MISMATCH", {400, "invalid_grant"}},
  };
  const std::string reason = ReasonOf(refusal);
  for (const auto& [name, error] : kByReason) {
    if (reason == name) {
      return error;
    }
  }
  switch (refusal.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnauthenticated:
      return {400, "invalid_request"};
    case absl::StatusCode::kPermissionDenied:
      return {400, "unauthorized_client"};
    case absl::StatusCode::kResourceExhausted:
      return {429, "temporarily_unavailable"};
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return {503, "temporarily_unavailable"};
    default:
      return {500, "server_error"};
  }
}

HttpResponse OAuthErrorResponse(const absl::Status& refusal, OAuthError error) {
  HttpResponse response = UnstoredJson(nlohmann::json({{"error", error.error},
                                                       {"error_description", Describable(refusal.message())},
                                                       {"error_reason", ReasonOf(refusal)}})
                                           .dump());
  response.status = error.status;
  if (error.error == "invalid_client") {
    response.headers["WWW-Authenticate"] = "Basic realm=\"bulkhead\"";
  }
  const std::optional<ErrorInfo> info = ErrorInfoOf(refusal);
  if (info.has_value() && info->retry_after.has_value()) {
    response.headers["Retry-After"] =
        absl::StrCat(absl::ToInt64Seconds(absl::Ceil(*info->retry_after, absl::Seconds(1))));
  }
  return response;
}

HttpResponse UnstoredJson(std::string json) {
  HttpResponse response;
  response.body = std::move(json);
  response.headers["Cache-Control"] = "no-store";
  response.headers["Pragma"] = "no-cache";
  return response;
}

}  // namespace bulkhead::gateway
