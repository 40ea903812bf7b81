#include "services/auth/oidc/provider_sign_ins.h"

#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/memory/memory.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "services/auth/caller.h"
#include "services/auth/errors.h"
#include "services/auth/oidc/sign_up.h"
#include "services/common/http/query.h"
#include "services/common/http/url.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr size_t kRandomBytes = 32;  // RFC 7636 section 4.1, RFC 9700 section 4.7.1.
constexpr size_t kMaxQueryBytes = 16 * 1024;
constexpr std::string_view kSealPurpose = "bulkhead.auth.provider_sign_in ";

std::string ProviderName(const Provider& provider) { return absl::StrCat("providers/", provider.id); }

std::string IdentityName(std::string_view user, std::string_view identity) {
  return absl::StrCat("users/", user, "/identities/", identity);
}

Secret RandomText() { return Secret(absl::WebSafeBase64Escape(crypto::RandomSecret(kRandomBytes).Reveal())); }

absl::Status StateInvalid() {
  return AuthError(absl::StatusCode::kUnauthenticated,
                   "this sign-in did not begin in this browser, took too long, or was finished before: begin it again",
                   "STATE_INVALID");
}

// Byte by byte (RFC 9700 section 4.1.3), but that a program on the user's machine listens where there is room (RFC 8252 section 7.3).
bool RedirectMatches(std::string_view configured, std::string_view asked) {
  if (configured == asked) {
    return true;
  }
  const absl::StatusOr<http::Url> a = http::ParseUrl(configured);
  const absl::StatusOr<http::Url> b = http::ParseUrl(asked);
  return a.ok() && b.ok() && !a->https && !b->https && http::IsLoopback(a->host) && a->host != "localhost" &&
         a->host == b->host && a->target == b->target;
}

std::string AuthorizationUri(const Provider& provider, const ProviderMetadata& about, const Attempt& attempt,
                             const std::map<std::string_view, std::string_view>& secrets) {
  std::vector<std::string> scopes = {"openid"};
  for (const std::string& scope : provider.scopes) {
    if (scope != "openid") {
      scopes.push_back(scope);
    }
  }
  std::string query;
  http::AppendParameter("response_type", "code", query);
  http::AppendParameter("client_id", provider.client_id, query);
  http::AppendParameter("redirect_uri", attempt.redirect_uri, query);
  http::AppendParameter("scope", absl::StrJoin(scopes, " "), query);
  http::AppendParameter("code_challenge_method", "S256", query);
  for (const auto& [name, value] : secrets) {
    http::AppendParameter(name, value, query);
  }
  return absl::StrCat(about.authorization_endpoint, absl::StrContains(about.authorization_endpoint, '?') ? "&" : "?",
                      query);
}

// RFC 9207 section 2.4: the answer must come from whom it was asked of, or a code goes to the wrong one.
absl::Status CheckIssuer(const Provider& provider, const ProviderMetadata& about,
                         const std::map<std::string, std::string>& query) {
  const auto named = query.find("iss");
  const bool good = named == query.end() ? !about.names_issuer_in_response : named->second == provider.issuer;
  return good ? absl::OkStatus()
              : AuthError(absl::StatusCode::kUnauthenticated,
                          absl::StrCat("the answer does not come from the OpenID provider ", provider.issuer,
                                       ", which was asked"),
                          "PROVIDER_ISSUER_MISMATCH", {{"provider", ProviderName(provider)}});
}

absl::Status IdentityTaken() {
  return AuthError(absl::StatusCode::kAlreadyExists,
                   "this identity is linked to another account: unlink it there first", "IDENTITY_TAKEN");
}

// Who asks and for what, when nobody is signed in by it.
AuditEntry DescribeSignIn(const rpc::CallContext& call, const ProviderClient* client, bool link) {
  return AuditLog::Describe(call, link ? "identity.link" : "session.sign_in",
                            client == nullptr ? "providers/-" : ProviderName(client->provider()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProviderSignIns>> ProviderSignIns::Create(Options options,
                                                                         std::vector<Provider> providers,
                                                                         Dependencies dependencies) {
  RETURN_IF_ERROR(ValidateProviders(providers));
  std::vector<std::unique_ptr<ProviderClient>> clients;
  for (Provider& provider : providers) {
    if (provider.display_name.empty()) {
      provider.display_name = provider.id;
    }
    ASSIGN_OR_RETURN(
        std::unique_ptr<ProviderClient> client,
        ProviderClient::Create(options.client, std::move(provider), dependencies.clock, dependencies.executor));
    clients.push_back(std::move(client));
  }
  return absl::WrapUnique(new ProviderSignIns(std::move(options), std::move(clients), dependencies));
}

std::vector<const Provider*> ProviderSignIns::List() const {
  std::vector<const Provider*> providers;
  for (const std::unique_ptr<ProviderClient>& client : clients_) {
    providers.push_back(&client->provider());
  }
  return providers;
}

const ProviderClient* ProviderSignIns::Find(std::string_view id) const {
  const auto found = absl::c_find_if(clients_, [id](const auto& client) { return client->provider().id == id; });
  return found == clients_.end() ? nullptr : found->get();
}

// The signed-in person behind a call of a method that is open to all. The token of a run or of a service may not decide who signs in as its user.
absl::StatusOr<UserContext> ProviderSignIns::RequirePerson(const rpc::CallContext& call) const {
  const RawToken none;
  ASSIGN_OR_RETURN(const VerifiedToken token,
                   dependencies_.verifier->Verify(call.token == nullptr ? none : *call.token));
  ASSIGN_OR_RETURN(UserContext user,
                   UserContext::FromToken(token, {.request_id = call.request_id, .client = call.client}));
  RETURN_IF_ERROR(user.Require("user:own:update"));
  if (user.is_service() || !user.run().empty() || !user.actor().empty()) {
    return AuthError(absl::StatusCode::kPermissionDenied,
                     "only a person who is signed in can link an identity to his account", "PERMISSION_MISSING",
                     {{"permission", "user:own:update"}});
  }
  RETURN_IF_ERROR(dependencies_.sign_ins->RequireLive(user));
  return user;
}

absl::Status ProviderSignIns::CheckBeginning(const rpc::CallContext& call, const Beginning& beginning,
                                             const ProviderClient* client, Attempt& attempt) const {
  if (client == nullptr) {
    return AuthError(absl::StatusCode::kNotFound,
                     absl::StrCat("there is no OpenID provider '", beginning.provider, "' here"), "PROVIDER_NOT_FOUND",
                     {{"provider", absl::StrCat("providers/", beginning.provider)}});
  }
  RETURN_IF_ERROR(ValidateDevice(beginning.device));
  if (absl::c_none_of(client->provider().redirect_uris, [&](const std::string& configured) {
        return RedirectMatches(configured, beginning.redirect_uri);
      })) {
    return AuthError(absl::StatusCode::kInvalidArgument,
                     "the redirect address is none of those that are configured for this provider",
                     "REDIRECT_URI_REFUSED", {{"redirect_uri", beginning.redirect_uri}});
  }
  if (beginning.link) {
    ASSIGN_OR_RETURN(const UserContext user, RequirePerson(call));
    attempt.link_user = user.user();
    attempt.link_session = user.session();
  }
  return absl::OkStatus();
}

Awaitable<absl::StatusOr<ProviderSignIns::Begun>> ProviderSignIns::Begin(const rpc::CallContext& call,
                                                                         const Beginning& beginning) {
  const ProviderClient* const client = Find(beginning.provider);
  Attempt attempt{.provider = beginning.provider,
                  .redirect_uri = beginning.redirect_uri,
                  .device = beginning.device,
                  .address = ThrottledAddressOf(call)};
  AuditEntry entry = DescribeSignIn(call, client, beginning.link);
  absl::Status checked = CheckBeginning(call, beginning, client, attempt);
  if (AuditLog::IsRefusal(checked)) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(checked));
  }
  CO_RETURN_IF_ERROR(checked);
  CO_ASSIGN_OR_RETURN(const ProviderMetadata about, co_await client->Metadata());

  Secret state = RandomText();
  const Secret verifier = RandomText();
  const Secret nonce = RandomText();
  const absl::Time now = dependencies_.clock->Now();
  attempt.state_hash = crypto::Sha256(state.Reveal());
  attempt.sealed = dependencies_.sealer->Seal(absl::StrCat(verifier.Reveal(), " ", nonce.Reveal()),
                                              absl::StrCat(kSealPurpose, attempt.state_hash));
  attempt.expires_at = now + options_.attempt_lifetime;
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    AttemptStore attempts(connection);
    RETURN_IF_ERROR(attempts.PruneAcrossUsers(now, options_.max_attempts));
    if (!attempt.address.empty()) {
      ASSIGN_OR_RETURN(const std::optional<absl::Time> full_until,
                       attempts.FullUntilAcrossUsers(attempt.address, options_.max_attempts_by_address));
      if (full_until.has_value()) {
        return MakeError(absl::StatusCode::kResourceExhausted,
                         "too many sign-ins from this address wait for their end: try again later",
                         {.domain = "bulkhead.auth", .reason = "SIGN_IN_THROTTLED", .retry_after = *full_until - now});
      }
    }
    return attempts.InsertAcrossUsers(attempt);
  };
  absl::Status stored = co_await dependencies_.database->Write(std::move(write));
  if (ReasonOf(stored) == "SIGN_IN_THROTTLED") {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(stored));
  }
  CO_RETURN_IF_ERROR(stored);
  const std::string challenge = absl::WebSafeBase64Escape(crypto::Sha256(verifier.Reveal()));
  co_return Begun{.authorization_uri = AuthorizationUri(
                      client->provider(), about, attempt,
                      {{"state", state.Reveal()}, {"nonce", nonce.Reveal()}, {"code_challenge", challenge}}),
                  .state = std::move(state)};
}

Awaitable<absl::StatusOr<Attempt>> ProviderSignIns::TakeAttempt(const std::map<std::string, std::string>& query,
                                                                const Secret& state) {
  const auto returned = query.find("state");
  // The state of another browser's sign-in is not used up by this one's.
  if (returned == query.end() || state.empty() || !crypto::ConstantTimeEquals(returned->second, state.Reveal())) {
    co_return StateInvalid();
  }
  const std::string hash = crypto::Sha256(state.Reveal());
  std::optional<Attempt> attempt;
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(attempt, AttemptStore(connection).TakeAcrossUsers(hash));
    return absl::OkStatus();
  };
  CO_RETURN_IF_ERROR(co_await dependencies_.database->Write(std::move(write)));
  if (!attempt.has_value() || dependencies_.clock->Now() >= attempt->expires_at) {
    co_return StateInvalid();
  }
  co_return *std::move(attempt);
}

Awaitable<absl::Status> ProviderSignIns::Prove(const rpc::CallContext& call, std::string_view redirect_query,
                                               const Secret& state, Proven& proven) {
  absl::StatusOr<std::map<std::string, std::string>> query = http::ParseQuery(redirect_query);
  if (redirect_query.size() > kMaxQueryBytes || !query.ok()) {
    co_return AuthError(absl::StatusCode::kUnauthenticated,
                        "the query of the redirect cannot be read: it is too long, broken, or has a parameter twice",
                        "PROVIDER_RESPONSE_INVALID");
  }
  // RFC 6749 section 3.1: without a value is without the parameter.
  std::erase_if(*query, [](const auto& parameter) { return parameter.second.empty(); });
  CO_ASSIGN_OR_RETURN(proven.attempt, co_await TakeAttempt(*query, state));
  proven.client = Find(proven.attempt.provider);
  if (proven.client == nullptr) {
    co_return StateInvalid();  // It has left the configuration meanwhile.
  }
  const Provider& provider = proven.client->provider();
  CO_ASSIGN_OR_RETURN(const ProviderMetadata about, co_await proven.client->Metadata());
  CO_RETURN_IF_ERROR(CheckIssuer(provider, about, *query));
  if (const auto error = query->find("error"); error != query->end()) {
    co_return ProviderRefused(provider, error->second);
  }
  const auto code = query->find("code");
  if (code == query->end()) {
    co_return ProviderResponseInvalid(provider, "it has neither a code nor an error");
  }
  CO_ASSIGN_OR_RETURN(
      const Secret sealed,
      dependencies_.sealer->Open(proven.attempt.sealed, absl::StrCat(kSealPurpose, proven.attempt.state_hash)));
  const std::pair<std::string, std::string> secrets = absl::StrSplit(sealed.Reveal(), absl::MaxSplits(' ', 1));
  CO_ASSIGN_OR_RETURN(proven.claims, co_await proven.client->Redeem({.code = Secret(code->second),
                                                                     .verifier = Secret(secrets.first),
                                                                     .redirect_uri = proven.attempt.redirect_uri,
                                                                     .nonce = secrets.second},
                                                                    call.stop));
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<SignedIn>> ProviderSignIns::Complete(const rpc::CallContext& call,
                                                              std::string_view redirect_query, const Secret& state) {
  Proven proven;
  absl::Status proof = co_await Prove(call, redirect_query, state, proven);
  if (AuditLog::IsRefusal(proof)) {
    AuditEntry entry = DescribeSignIn(call, proven.client, !proven.attempt.link_user.empty());
    if (!proven.attempt.link_user.empty()) {
      entry.user = absl::StrCat("users/", proven.attempt.link_user);
    }
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(proof));
  }
  CO_RETURN_IF_ERROR(proof);
  if (!proven.attempt.link_user.empty()) {
    co_return co_await Link(call, proven);
  }
  co_return co_await dependencies_.sign_ins->BeginFor(
      call, {.method = ProviderName(proven.client->provider()), .device = proven.attempt.device},
      [&](storage::Connection& connection) { return AccountOf(connection, call, proven); });
}

// By (provider, subject) and nothing else: an e-mail address, verified or not, is a claim of the provider's about somebody else's name space.
absl::StatusOr<std::string> ProviderSignIns::AccountOf(storage::Connection& connection, const rpc::CallContext& call,
                                                       const Proven& proven) {
  const Provider& provider = proven.client->provider();
  IdentityStore identities(connection);
  ASSIGN_OR_RETURN(const std::optional<Identity> known, identities.FindAcrossUsers(provider.id, proven.claims.subject));
  if (known.has_value()) {
    RETURN_IF_ERROR(identities.For(known->user).SetEmail(known->id, proven.claims.email));
    return known->user;
  }
  if (!provider.allow_sign_up) {
    return AuthError(absl::StatusCode::kPermissionDenied,
                     absl::StrCat("nobody here has this identity of ", provider.display_name,
                                  ", and it may not make accounts: sign in another way, then link it"),
                     "IDENTITY_UNKNOWN", {{"provider", ProviderName(provider)}});
  }
  const absl::Time now = dependencies_.clock->Now();
  ASSIGN_OR_RETURN(const User user, CreateMember(connection, proven.claims, provider.id, options_.reserved_login,
                                                 dependencies_.ids, now));
  const Identity identity{.id = dependencies_.ids->NewId("identity"),
                          .user = user.id,
                          .provider = provider.id,
                          .subject = proven.claims.subject,
                          .email = proven.claims.email,
                          .created_at = now};
  RETURN_IF_ERROR(identities.For(user.id).Insert(identity));
  AuditEntry created = AuditLog::Describe(call, "user.create",
                                          absl::StrCat("users/", user.id, " roles=", absl::StrJoin(user.roles, ",")));
  created.user = absl::StrCat("users/", user.id);
  created.details = {{"method", ProviderName(provider)}};
  RETURN_IF_ERROR(dependencies_.audit->Append(connection, created));
  AuditEntry linked = AuditLog::Describe(call, "identity.link", IdentityName(user.id, identity.id));
  linked.user = created.user;
  linked.details = created.details;
  RETURN_IF_ERROR(dependencies_.audit->Append(connection, linked));
  return user.id;
}

Awaitable<absl::StatusOr<SignedIn>> ProviderSignIns::Link(const rpc::CallContext& call, const Proven& proven) {
  const Attempt& attempt = proven.attempt;
  AuditEntry entry = DescribeSignIn(call, proven.client, /*link=*/true);
  entry.user = absl::StrCat("users/", attempt.link_user);
  entry.details = {{"method", ProviderName(proven.client->provider())}};
  absl::Status live = dependencies_.sign_ins->CheckLive(attempt.link_user, attempt.link_session);
  if (AuditLog::IsRefusal(live)) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(live));
  }
  CO_RETURN_IF_ERROR(live);
  storage::Database::WriteFunction write = [&](storage::Connection& connection) {
    return LinkInTransaction(connection, proven, entry);
  };
  absl::Status linked = co_await dependencies_.database->Write(std::move(write));
  if (AuditLog::IsRefusal(linked)) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(linked));
  }
  CO_RETURN_IF_ERROR(linked);
  co_return SignedIn{.session = attempt.link_session, .user = attempt.link_user};
}

absl::Status ProviderSignIns::LinkInTransaction(storage::Connection& connection, const Proven& proven,
                                                AuditEntry entry) {
  const std::string& user = proven.attempt.link_user;
  const std::string& provider = proven.client->provider().id;
  RETURN_IF_ERROR(UserStore(connection).Get(user).status());
  IdentityStore identities(connection);
  ASSIGN_OR_RETURN(const std::optional<Identity> known, identities.FindAcrossUsers(provider, proven.claims.subject));
  if (known.has_value()) {
    return known->user == user ? identities.For(user).SetEmail(known->id, proven.claims.email) : IdentityTaken();
  }
  ASSIGN_OR_RETURN(const std::vector<Identity> own, identities.For(user).List());
  if (own.size() >= static_cast<size_t>(options_.max_identities)) {
    return AuthError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("an account has at most ", options_.max_identities, " identities: unlink one first"),
                     "IDENTITY_LIMIT_REACHED", {{"limit", absl::StrCat(options_.max_identities)}});
  }
  const Identity identity{.id = dependencies_.ids->NewId("identity"),
                          .user = user,
                          .provider = provider,
                          .subject = proven.claims.subject,
                          .email = proven.claims.email,
                          .created_at = dependencies_.clock->Now()};
  RETURN_IF_ERROR(identities.For(user).Insert(identity));
  entry.resource = IdentityName(user, identity.id);
  return dependencies_.audit->Append(connection, entry);
}

absl::StatusOr<std::vector<Identity>> ProviderSignIns::ListIdentities(const UserContext& user) {
  std::vector<Identity> identities;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(identities, IdentityStore(connection).For(user.user()).List());
    return absl::OkStatus();
  }));
  return identities;
}

Awaitable<absl::Status> ProviderSignIns::DeleteIdentity(const rpc::CallContext& call, std::string_view user,
                                                        std::string_view identity) {
  const std::string name = IdentityName(user, identity);
  AuditEntry entry = AuditLog::Describe(call, "identity.unlink", name);
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    UserIdentities own = IdentityStore(connection).For(call.user->user());
    ASSIGN_OR_RETURN(const std::vector<Identity> all, own.List());
    const bool is_own =
        user == call.user->user() && absl::c_any_of(all, [&](const Identity& each) { return each.id == identity; });
    if (!is_own) {
      return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no ", name), "IDENTITY_NOT_FOUND",
                       {{"identity", name}});
    }
    ASSIGN_OR_RETURN(const Credentials credentials, UserStore(connection).Get(user));
    if (credentials.password_hash.empty() && all.size() == 1) {
      return AuthError(absl::StatusCode::kFailedPrecondition,
                       "the account has no password and no other identity: without this one nobody could sign in to it",
                       "IDENTITY_IS_LAST", {{"identity", name}});
    }
    RETURN_IF_ERROR(own.Delete(identity));
    return dependencies_.audit->Append(connection, entry);
  };
  absl::Status deleted = co_await dependencies_.database->Write(std::move(write));
  if (AuditLog::IsRefusal(deleted)) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(deleted));
  }
  co_return deleted;
}

}  // namespace bulkhead::auth::oidc
