#include "services/auth/token_exchange.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/auth/errors.h"
#include "services/auth/role_store.h"
#include "services/common/crypto/crypto.h"
#include "services/common/identity/permission.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

// Each costs bytes in every call, and a comparison in every check.
constexpr size_t kMaxPermissions = 64;

std::string RunName(std::string_view user, std::string_view run) { return absl::StrCat("users/", user, "/runs/", run); }

}  // namespace

Awaitable<absl::StatusOr<IssuedToken>> TokenExchange::Exchange(const rpc::CallContext& call, const Request& request) {
  AuditEntry entry = AuditLog::Describe(call, "token.exchange", RunName(request.run_user, request.run));
  absl::StatusOr<IssuedToken> issued = TryExchange(call, request, entry);
  if (!issued.ok() && AuditLog::IsRefusal(issued.status())) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), issued.status());
  }
  CO_RETURN_IF_ERROR(issued.status());
  // A token whose record cannot be written is not handed out.
  CO_RETURN_IF_ERROR(co_await dependencies_.audit->Record(std::move(entry)));
  co_return issued;
}

absl::StatusOr<IssuedToken> TokenExchange::TryExchange(const rpc::CallContext& call, const Request& request,
                                                       AuditEntry& entry) {
  if (!call.user->is_service()) {
    return AuthError(absl::StatusCode::kPermissionDenied, "only services exchange tokens", "SERVICE_ONLY");
  }
  if (request.lifetime <= absl::ZeroDuration() || request.lifetime > kMaxRunTokenLifetime) {
    return AuthError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("a run token lives more than 0 s and at most ", absl::FormatDuration(kMaxRunTokenLifetime)),
        "LIFETIME_INVALID");
  }
  if (request.permissions.size() > kMaxPermissions) {
    return AuthError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("a token is narrowed to at most ", kMaxPermissions, " patterns"),
                     "PERMISSIONS_TOO_MANY");
  }
  for (const std::string& pattern : request.permissions) {
    RETURN_IF_ERROR(ValidatePermissionPattern(pattern));
  }
  ASSIGN_OR_RETURN(VerifiedToken verified, dependencies_.verifier->Verify(request.subject));
  const TokenClaims& subject = verified.claims();
  entry.user = absl::StrCat("users/", subject.subject);
  if (subject.session.empty()) {
    return AuthError(absl::StatusCode::kUnauthenticated, "the token of a service cannot be exchanged",
                     "TOKEN_CLAIM_INVALID", {{"claim", "sid"}});
  }
  if (subject.subject != request.run_user) {
    return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", RunName(request.run_user, request.run)),
                     "RESOURCE_NOT_FOUND", {{"resource", RunName(request.run_user, request.run)}});
  }
  RETURN_IF_ERROR(dependencies_.sign_ins->CheckLive(subject.subject, subject.session));

  TokenClaims claims;
  claims.subject = subject.subject;
  claims.session = subject.session;
  claims.run = request.run;
  claims.actor = call.user->user();
  claims.roles = subject.roles;
  claims.permissions = IntersectPermissions(subject.permissions, RunPermissions());
  if (!request.permissions.empty()) {
    claims.permissions = IntersectPermissions(claims.permissions, request.permissions);
  }
  absl::Duration lifetime = request.lifetime;
  if (!subject.run.empty()) {
    // A child run does not outlive its parent.
    lifetime = std::min(lifetime, subject.expires_at - dependencies_.clock->Now());
  }
  return dependencies_.issuer->Issue(std::move(claims), lifetime);
}

Awaitable<absl::StatusOr<IssuedToken>> TokenExchange::IssueForService(const rpc::CallContext& call,
                                                                      std::string_view service, const Secret& secret) {
  AuditEntry entry = AuditLog::Describe(call, "token.issue_service", "");
  auto account = options_.service_accounts.find(std::string(service));
  const bool known = account != options_.service_accounts.end();
  // Hashes have one length: neither that of the secret nor whether the service is known can be told
  // from the time.
  const std::string expected = crypto::Sha256(known ? account->second.secret.Reveal() : "");
  const bool matches = crypto::ConstantTimeEquals(crypto::Sha256(secret.Reveal()), expected);
  if (!matches || !known || secret.empty()) {
    co_return co_await dependencies_.audit->Refuse(
        std::move(entry),
        AuthError(absl::StatusCode::kUnauthenticated, "service or secret is wrong", "SERVICE_CREDENTIALS_INVALID"));
  }
  entry.actor = absl::StrCat("services/", service);
  entry.resource = entry.actor;
  CO_RETURN_IF_ERROR(co_await dependencies_.audit->Record(std::move(entry)));
  TokenClaims claims;
  claims.subject = absl::StrCat("service-", service);
  claims.permissions = account->second.permissions;
  co_return dependencies_.issuer->Issue(std::move(claims), options_.service_token_lifetime);
}

absl::StatusOr<std::optional<TokenExchange::Introspection>> TokenExchange::Introspect(const RawToken& token) {
  absl::StatusOr<VerifiedToken> verified = dependencies_.verifier->Verify(token);
  if (!verified.ok()) {
    return IntrospectRefreshToken(token);
  }
  const TokenClaims& claims = verified->claims();
  if (!claims.session.empty()) {
    absl::Status live = dependencies_.sign_ins->CheckLive(claims.subject, claims.session);
    if (live.code() == absl::StatusCode::kUnauthenticated) {
      return std::nullopt;
    }
    RETURN_IF_ERROR(live);
  }
  return Introspection{.claims = claims};
}

absl::StatusOr<std::optional<TokenExchange::Introspection>> TokenExchange::IntrospectRefreshToken(
    const RawToken& token) {
  ASSIGN_OR_RETURN(std::optional<SignIns::Refreshable> good,
                   dependencies_.sign_ins->CheckRefreshToken(Secret(std::string(token.Reveal()))));
  if (!good.has_value()) {
    return std::nullopt;
  }
  Introspection refresh{.claims = {}, .refresh = true};
  refresh.claims.subject = good->session.user;
  refresh.claims.session = good->session.id;
  refresh.claims.expires_at = good->expires_at;
  return refresh;
}

Awaitable<absl::Status> TokenExchange::Revoke(const rpc::CallContext& call, const RawToken& token) {
  absl::StatusOr<VerifiedToken> verified = dependencies_.verifier->Verify(token);
  if (verified.ok()) {
    const TokenClaims& claims = verified->claims();
    if (claims.session.empty() || !claims.run.empty()) {
      co_return AuthError(absl::StatusCode::kInvalidArgument,
                          "the token of a run ends with its run or its session, and that of a service by itself",
                          "TOKEN_NOT_REVOCABLE");
    }
    co_return co_await dependencies_.sign_ins->RevokeByToken(call, claims.subject, claims.session, "access");
  }
  CO_ASSIGN_OR_RETURN(std::optional<Session> session,
                      dependencies_.sign_ins->FindByRefreshToken(Secret(std::string(token.Reveal()))));
  if (!session.has_value()) {
    co_return absl::OkStatus();
  }
  co_return co_await dependencies_.sign_ins->RevokeByToken(call, session->user, session->id, "refresh");
}

}  // namespace bulkhead::auth
