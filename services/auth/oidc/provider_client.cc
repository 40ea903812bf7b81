#include "services/auth/oidc/provider_client.h"

#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/base/thread_annotations.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "services/auth/errors.h"
#include "services/common/http/http_client.h"
#include "services/common/http/url.h"
#include "services/common/identity/jwks.h"
#include "services/common/identity/jws.h"
#include "services/common/identity/strict_json.h"
#include "services/common/rpc/single_flight.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr size_t kMaxErrorCodeBytes = 64;

absl::Status Unreachable(const Provider& provider, std::string_view problem) {
  return AuthError(absl::StatusCode::kUnavailable,
                   absl::StrCat("the OpenID provider ", provider.issuer, " cannot be used now: ", problem),
                   "PROVIDER_UNREACHABLE", {{"provider", absl::StrCat("providers/", provider.id)}});
}

absl::Status MetadataInvalid(const Provider& provider, std::string_view problem) {
  return AuthError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("what the OpenID provider ", provider.issuer, " publishes cannot be used: ", problem),
                   "PROVIDER_METADATA_INVALID", {{"issuer", provider.issuer}, {"problem", std::string(problem)}});
}

// application/x-www-form-urlencoded, as RFC 6749 section 2.3.1 asks for both halves of the header.
std::string FormEncode(std::string_view text) {
  std::string pair;
  http::AppendParameter("", text, pair);
  return pair.substr(1);
}

// The text of the string member `name`; "" when there is none.
std::string TextOf(const JsonValue& object, std::string_view name) {
  const JsonValue* value = object.Find(name);
  return value != nullptr && value->is_string() ? std::string(value->text()) : "";
}

}  // namespace

absl::Status ProviderRefused(const Provider& provider, std::string_view code) {
  // RFC 6749 section 4.1.2.1 allows more characters, but its codes and those of OpenID Connect have these.
  const bool is_code = !code.empty() && code.size() <= kMaxErrorCodeBytes && absl::c_all_of(code, [](char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
  });
  const std::string shown(is_code ? code : "unknown");
  return AuthError(absl::StatusCode::kUnauthenticated,
                   absl::StrCat("the OpenID provider ", provider.issuer, " refused: ", shown), "PROVIDER_REFUSED",
                   {{"provider", absl::StrCat("providers/", provider.id)}, {"error", shown}});
}

absl::Status ProviderResponseInvalid(const Provider& provider, std::string_view problem) {
  return AuthError(absl::StatusCode::kUnauthenticated,
                   absl::StrCat("the answer of the OpenID provider ", provider.issuer, " cannot be used: ", problem),
                   "PROVIDER_RESPONSE_INVALID",
                   {{"provider", absl::StrCat("providers/", provider.id)}, {"problem", std::string(problem)}});
}

// Shared with the fetches that are under way.
struct ProviderClient::State : std::enable_shared_from_this<State> {
  State(Options o, Provider p, std::unique_ptr<http::HttpClient> h, const Clock* c, Executor* e)
      : options(o), provider(std::move(p)), http(std::move(h)), clock(c), executor(e) {}

  Awaitable<absl::StatusOr<ProviderMetadata>> Metadata();
  // Keys that have the one called `key_id` if the provider has it; any when it is "".
  Awaitable<absl::StatusOr<KeySet>> KeysFor(const std::string& key_id);
  Awaitable<absl::StatusOr<IdTokenClaims>> Redeem(const Grant& grant, std::stop_token stop);

  Awaitable<absl::Status> FetchMetadata();
  Awaitable<absl::Status> FetchKeys();
  // The body of a document at `url`; its absence is a fault of the provider's.
  Awaitable<absl::StatusOr<std::string>> Get(std::string url);
  http::Request TokenRequest(const ProviderMetadata& about, const Grant& grant) const;

  const Options options;
  const Provider provider;
  const std::unique_ptr<http::HttpClient> http;
  const Clock* const clock;
  Executor* const executor;
  const std::shared_ptr<rpc::SingleFlight> metadata_flight = std::make_shared<rpc::SingleFlight>();
  const std::shared_ptr<rpc::SingleFlight> keys_flight = std::make_shared<rpc::SingleFlight>();

  absl::Mutex mutex;
  std::optional<ProviderMetadata> metadata ABSL_GUARDED_BY(mutex);
  absl::Time metadata_until ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
  absl::Status failure ABSL_GUARDED_BY(mutex);  // Of the last fetch of metadata.
  absl::Time failure_until ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
  std::optional<KeySet> keys ABSL_GUARDED_BY(mutex);
  absl::Time keys_until ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
  absl::Time unknown_until ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
};

Awaitable<absl::StatusOr<std::string>> ProviderClient::State::Get(std::string url) {
  absl::StatusOr<http::Response> response =
      co_await http->Send({.url = std::move(url), .headers = {{"Accept", "application/json"}}}, options.timeout);
  if (!response.ok()) {
    co_return Unreachable(provider, response.status().message());
  }
  if (response->status >= 500 || response->status == 429) {
    co_return Unreachable(provider, absl::StrCat("it answered ", response->status));
  }
  if (response->status != 200) {
    co_return MetadataInvalid(provider, absl::StrCat("it answered ", response->status));
  }
  co_return std::move(response->body);
}

Awaitable<absl::Status> ProviderClient::State::FetchMetadata() {
  absl::StatusOr<std::string> body = co_await Get(MetadataUrl(provider.issuer));
  absl::StatusOr<ProviderMetadata> read =
      body.ok() ? ParseProviderMetadata(*body, provider.issuer, provider.allow_insecure_http)
                : absl::StatusOr<ProviderMetadata>(body.status());
  absl::MutexLock lock(mutex);
  if (!read.ok()) {
    failure = read.status();
    failure_until = clock->Now() + options.failure_pause;
    co_return failure;
  }
  metadata = *std::move(read);
  metadata_until = clock->Now() + options.cache_lifetime;
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<ProviderMetadata>> ProviderClient::State::Metadata() {
  const std::shared_ptr<State> self = shared_from_this();
  {
    absl::MutexLock lock(mutex);
    if (metadata.has_value() && clock->Now() < metadata_until) {
      co_return *metadata;
    }
    if (clock->Now() < failure_until) {
      co_return failure;
    }
  }
  CO_RETURN_IF_ERROR(co_await metadata_flight->Join(executor, [self] { return self->FetchMetadata(); }));
  absl::MutexLock lock(mutex);
  co_return *metadata;
}

Awaitable<absl::Status> ProviderClient::State::FetchKeys() {
  CO_ASSIGN_OR_RETURN(const ProviderMetadata about, co_await Metadata());
  CO_ASSIGN_OR_RETURN(const std::string body, co_await Get(about.jwks_uri));
  absl::StatusOr<KeySet> read = ParseKeySet(body);
  if (!read.ok()) {
    co_return MetadataInvalid(provider, absl::StrCat("its keys: ", read.status().message()));
  }
  absl::MutexLock lock(mutex);
  keys = *std::move(read);
  keys_until = clock->Now() + options.cache_lifetime;
  co_return absl::OkStatus();
}

Awaitable<absl::StatusOr<KeySet>> ProviderClient::State::KeysFor(const std::string& key_id) {
  const std::shared_ptr<State> self = shared_from_this();
  {
    absl::MutexLock lock(mutex);
    if (keys.has_value() && clock->Now() < keys_until) {
      const bool known = key_id.empty() || keys->Knows(key_id);
      if (known || clock->Now() < unknown_until) {
        co_return *keys;
      }
    }
  }
  CO_RETURN_IF_ERROR(co_await keys_flight->Join(executor, [self] { return self->FetchKeys(); }));
  absl::MutexLock lock(mutex);
  if (!key_id.empty() && !keys->Knows(key_id)) {
    unknown_until = clock->Now() + options.unknown_key_pause;
  }
  co_return *keys;
}

http::Request ProviderClient::State::TokenRequest(const ProviderMetadata& about, const Grant& grant) const {
  http::Request request{
      .method = "POST",
      .url = about.token_endpoint,
      .headers = {{"Accept", "application/json"}, {"Content-Type", "application/x-www-form-urlencoded"}}};
  http::AppendParameter("grant_type", "authorization_code", request.body);
  http::AppendParameter("code", grant.code.Reveal(), request.body);
  http::AppendParameter("redirect_uri", grant.redirect_uri, request.body);
  http::AppendParameter("code_verifier", grant.verifier.Reveal(), request.body);
  if (!provider.client_secret.empty() && about.takes_basic) {
    const std::string credentials =
        absl::StrCat(FormEncode(provider.client_id), ":", FormEncode(provider.client_secret.Reveal()));
    request.headers["Authorization"] = absl::StrCat("Basic ", absl::Base64Escape(credentials));
    return request;
  }
  http::AppendParameter("client_id", provider.client_id, request.body);
  if (!provider.client_secret.empty()) {
    http::AppendParameter("client_secret", provider.client_secret.Reveal(), request.body);
  }
  return request;
}

Awaitable<absl::StatusOr<IdTokenClaims>> ProviderClient::State::Redeem(const Grant& grant, std::stop_token stop) {
  CO_ASSIGN_OR_RETURN(const ProviderMetadata about, co_await Metadata());
  absl::StatusOr<http::Response> response =
      co_await http->Send(TokenRequest(about, grant), options.timeout, std::move(stop));
  if (!response.ok()) {
    co_return Unreachable(provider, response.status().message());
  }
  if (response->status >= 500 || response->status == 429) {
    co_return Unreachable(provider, absl::StrCat("its token endpoint answered ", response->status));
  }
  StrictJson parsed;
  if (parsed.Parse(std::move(response->body)) != StrictJson::Problem::kNone || !parsed.root().is_object()) {
    co_return ProviderResponseInvalid(
        provider, absl::StrCat("its token endpoint answered ", response->status, " without a JSON object"));
  }
  if (response->status != 200) {
    co_return ProviderRefused(provider, TextOf(parsed.root(), "error"));
  }
  const std::string id_token = TextOf(parsed.root(), "id_token");
  const std::string access_token = TextOf(parsed.root(), "access_token");
  if (id_token.empty()) {
    co_return ProviderResponseInvalid(provider, "it has no id_token");
  }

  const JwsPolicy policy = IdTokenPolicy();
  absl::StatusOr<Jws> jws = Jws::Parse(id_token, policy);
  if (!jws.ok()) {
    co_return ProviderTokenInvalid(ReasonOf(jws.status()));
  }
  CO_ASSIGN_OR_RETURN(const KeySet known, co_await KeysFor(jws->key_id()));
  absl::StatusOr<VerifiedJws> verified = VerifyJws(id_token, known, policy);
  if (!verified.ok()) {
    co_return ProviderTokenInvalid(ReasonOf(verified.status()));
  }
  co_return CheckIdToken(*verified, {.issuer = provider.issuer,
                                     .client_id = provider.client_id,
                                     .nonce = grant.nonce,
                                     .access_token = access_token,
                                     .now = clock->Now(),
                                     .leeway = options.leeway});
}

absl::StatusOr<std::unique_ptr<ProviderClient>> ProviderClient::Create(Options options, Provider provider,
                                                                       const Clock* clock, Executor* executor) {
  ASSIGN_OR_RETURN(std::unique_ptr<http::HttpClient> http,
                   http::HttpClient::Create({.ca_file = provider.ca_file, .allow_http = provider.allow_insecure_http}));
  return absl::WrapUnique(
      new ProviderClient(std::make_shared<State>(options, std::move(provider), std::move(http), clock, executor)));
}

ProviderClient::ProviderClient(std::shared_ptr<State> state) : state_(std::move(state)) {}
ProviderClient::~ProviderClient() = default;

const Provider& ProviderClient::provider() const { return state_->provider; }

Awaitable<absl::StatusOr<ProviderMetadata>> ProviderClient::Metadata() const { return state_->Metadata(); }

Awaitable<absl::StatusOr<IdTokenClaims>> ProviderClient::Redeem(const Grant& grant, std::stop_token stop) const {
  return state_->Redeem(grant, std::move(stop));
}

}  // namespace bulkhead::auth::oidc
