#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "services/auth/adapters.h"
#include "services/auth/caller.h"
#include "services/auth/errors.h"
#include "services/auth/key_store.h"
#include "services/auth/token_exchange.h"
#include "services/common/crypto/signature.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::auth {
namespace {

using ::google::protobuf::Empty;

v1::IssuedToken ToProto(const IssuedToken& issued) {
  v1::IssuedToken proto;
  proto.set_token(issued.token.Reveal());
  SetDuration(issued.lifetime, proto.mutable_expires_in());
  return proto;
}

v1::Jwk ToProto(const KeyStore::Key& key) {
  const bool edwards = key.key->algorithm() == crypto::Algorithm::kEdDsa;
  auto [x, y] = key.key->public_parameters();
  v1::Jwk jwk;
  jwk.set_kty(edwards ? "OKP" : "EC");
  jwk.set_crv(edwards ? "Ed25519" : "P-256");
  jwk.set_kid(key.id);
  jwk.set_alg(crypto::AlgorithmName(key.key->algorithm()));
  jwk.set_use("sig");
  jwk.set_x(absl::WebSafeBase64Escape(x));
  jwk.set_y(absl::WebSafeBase64Escape(y));
  if (key.expires_at.has_value()) {
    SetTimestamp(*key.expires_at, jwk.mutable_expire_time());
  }
  return jwk;
}

v1::KeySet ToProto(const std::vector<std::shared_ptr<const KeyStore::Key>>& keys) {
  v1::KeySet set;
  for (const std::shared_ptr<const KeyStore::Key>& key : keys) {
    *set.add_keys() = ToProto(*key);
  }
  return set;
}

v1::KeyState ToProto(KeyStore::State state) {
  switch (state) {
    case KeyStore::State::kSigning:
      return v1::KEY_STATE_SIGNING;
    case KeyStore::State::kVerifying:
      return v1::KEY_STATE_VERIFYING;
    case KeyStore::State::kExpired:
      return v1::KEY_STATE_EXPIRED;
    case KeyStore::State::kRevoked:
      return v1::KEY_STATE_REVOKED;
  }
  return v1::KEY_STATE_UNSPECIFIED;
}

v1::SigningKey ToProto(const KeyStore::Description& key) {
  v1::SigningKey proto;
  proto.set_kid(key.id);
  proto.set_algorithm(crypto::AlgorithmName(key.algorithm));
  proto.set_state(ToProto(key.state));
  SetTimestamp(key.created_at, proto.mutable_create_time());
  if (key.expires_at.has_value()) {
    SetTimestamp(*key.expires_at, proto.mutable_expire_time());
  }
  if (key.revoked_at.has_value()) {
    SetTimestamp(*key.revoked_at, proto.mutable_revoke_time());
  }
  return proto;
}

v1::IntrospectTokenResponse ToProto(const TokenExchange::Introspection& token) {
  const TokenClaims& claims = token.claims;
  v1::IntrospectTokenResponse response;
  response.set_active(true);
  response.set_kind(token.refresh ? v1::TOKEN_KIND_REFRESH : v1::TOKEN_KIND_ACCESS);
  if (claims.session.empty()) {
    response.set_service(claims.subject);
  } else {
    const std::string user = absl::StrCat("users/", claims.subject);
    response.set_user(user);
    response.set_session(absl::StrCat(user, "/sessions/", claims.session));
    if (!claims.run.empty()) {
      response.set_run(absl::StrCat(user, "/runs/", claims.run));
    }
  }
  response.mutable_permissions()->Assign(claims.permissions.begin(), claims.permissions.end());
  response.set_actor(claims.actor);
  response.set_token_id(claims.token_id);
  response.set_issuer(claims.issuer);
  response.set_audience(claims.audience);
  SetTimestamp(claims.expires_at, response.mutable_expire_time());
  if (!token.refresh) {
    SetTimestamp(claims.issued_at, response.mutable_issue_time());
  }
  return response;
}

// nullopt for "".
absl::StatusOr<std::optional<crypto::Algorithm>> ParseAlgorithm(std::string_view name) {
  if (name.empty()) {
    return std::nullopt;
  }
  if (name == crypto::AlgorithmName(crypto::Algorithm::kEdDsa)) {
    return crypto::Algorithm::kEdDsa;
  }
  if (name == crypto::AlgorithmName(crypto::Algorithm::kEs256)) {
    return crypto::Algorithm::kEs256;
  }
  return AuthError(absl::StatusCode::kInvalidArgument, "keys are made for EdDSA or ES256", "ALGORITHM_UNKNOWN",
                   {{"algorithm", std::string(name)}});
}

class TokenServiceImpl final : public Adapter {
 public:
  TokenServiceImpl(const Edge& edge, TokenExchange* exchange, KeyStore* keys)
      : Adapter("TokenService", edge), exchange_(exchange), keys_(keys) {
    Unary("GetKeySet", &TokenServiceImpl::GetKeySet);
    Unary("IssueServiceToken", &TokenServiceImpl::IssueServiceToken);
    UnarySignedIn("ExchangeToken", &TokenServiceImpl::ExchangeToken);
    UnarySignedIn("IntrospectToken", &TokenServiceImpl::IntrospectToken);
    UnarySignedIn("ListKeys", &TokenServiceImpl::ListKeys);
    UnarySignedIn("RotateKeys", &TokenServiceImpl::RotateKeys);
    UnarySignedIn("RevokeKey", &TokenServiceImpl::RevokeKey);
  }

 private:
  Awaitable<absl::StatusOr<v1::KeySet>> GetKeySet(const rpc::CallContext&, const v1::GetKeySetRequest&) {
    co_return ToProto(keys_->Valid());
  }

  Awaitable<absl::StatusOr<v1::IssuedToken>> IssueServiceToken(const rpc::CallContext& call,
                                                               const v1::IssueServiceTokenRequest& request) {
    const Secret secret(request.secret());
    CO_ASSIGN_OR_RETURN(IssuedToken issued, co_await exchange_->IssueForService(call, request.service(), secret));
    co_return ToProto(issued);
  }

  Awaitable<absl::StatusOr<v1::IssuedToken>> ExchangeToken(const rpc::CallContext& call,
                                                           const v1::ExchangeTokenRequest& request) {
    CO_ASSIGN_OR_RETURN(OwnedName run, ParseOwnedName("runs", request.run()));
    const TokenExchange::Request exchange{.subject = RawToken(request.subject_token()),
                                          .run_user = run.user,
                                          .run = run.id,
                                          .lifetime = FromDuration(request.lifetime()),
                                          .permissions = {request.permissions().begin(), request.permissions().end()}};
    CO_ASSIGN_OR_RETURN(IssuedToken issued, co_await exchange_->Exchange(call, exchange));
    co_return ToProto(issued);
  }

  Awaitable<absl::StatusOr<v1::IntrospectTokenResponse>> IntrospectToken(const rpc::CallContext&,
                                                                         const v1::IntrospectTokenRequest& request) {
    CO_ASSIGN_OR_RETURN(std::optional<TokenExchange::Introspection> token,
                        exchange_->Introspect(RawToken(request.token())));
    co_return token.has_value() ? ToProto(*token) : v1::IntrospectTokenResponse();
  }

  Awaitable<absl::StatusOr<v1::ListKeysResponse>> ListKeys(const rpc::CallContext&, const v1::ListKeysRequest&) {
    CO_ASSIGN_OR_RETURN(std::vector<KeyStore::Description> keys, keys_->List());
    v1::ListKeysResponse response;
    for (const KeyStore::Description& key : keys) {
      *response.add_keys() = ToProto(key);
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::KeySet>> RotateKeys(const rpc::CallContext& call, const v1::RotateKeysRequest& request) {
    CO_ASSIGN_OR_RETURN(std::optional<crypto::Algorithm> algorithm, ParseAlgorithm(request.algorithm()));
    CO_RETURN_IF_ERROR(co_await keys_->Rotate(call, algorithm));
    co_return ToProto(keys_->Valid());
  }

  Awaitable<absl::StatusOr<Empty>> RevokeKey(const rpc::CallContext& call, const v1::RevokeKeyRequest& request) {
    CO_RETURN_IF_ERROR(co_await keys_->Revoke(call, request.kid()));
    co_return Empty();
  }

  TokenExchange* const exchange_;
  KeyStore* const keys_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewTokenService(Edge edge, TokenExchange* exchange, KeyStore* keys) {
  return std::make_unique<TokenServiceImpl>(edge, exchange, keys);
}

}  // namespace bulkhead::auth
