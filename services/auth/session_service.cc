#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/session_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "services/auth/adapters.h"
#include "services/auth/caller.h"
#include "services/auth/oidc/provider_sign_ins.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_exchange.h"
#include "services/common/paging/page_token.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::auth {
namespace {

using ::google::protobuf::Empty;

std::string SessionName(std::string_view user, std::string_view session) {
  return absl::StrCat("users/", user, "/sessions/", session);
}

v1::Tokens ToProto(const SignedIn& signed_in) {
  v1::Tokens tokens;
  tokens.set_access_token(signed_in.access.token.Reveal());
  if (!tokens.access_token().empty()) {  // A link to a provider brings none.
    SetDuration(signed_in.access.lifetime, tokens.mutable_expires_in());
  }
  tokens.set_refresh_token(signed_in.refresh_token.Reveal());
  tokens.set_session(SessionName(signed_in.user, signed_in.session));
  tokens.set_user(absl::StrCat("users/", signed_in.user));
  return tokens;
}

v1::Session ToProto(const Session& session) {
  v1::Session proto;
  proto.set_name(SessionName(session.user, session.id));
  SetTimestamp(session.created_at, proto.mutable_create_time());
  SetTimestamp(session.refreshed_at, proto.mutable_refresh_time());
  SetTimestamp(session.expires_at, proto.mutable_expire_time());
  if (session.revoked_at.has_value()) {
    SetTimestamp(*session.revoked_at, proto.mutable_revoke_time());
  }
  proto.set_client(session.client);
  proto.set_address(session.address);
  proto.set_device(session.device);
  proto.set_method(session.method);
  return proto;
}

// Where a page of sessions ended: "<microseconds>/<id>".
struct Position {
  absl::Time created_at = absl::InfiniteFuture();
  std::string id;
};

Position ParsePosition(std::string_view text) {
  Position position;
  std::pair<std::string_view, std::string_view> parts = absl::StrSplit(text, absl::MaxSplits('/', 1));
  if (int64_t micros; absl::SimpleAtoi(parts.first, &micros)) {
    position.created_at = absl::FromUnixMicros(micros);
    position.id = std::string(parts.second);
  }
  return position;
}

// The id of the user whose sessions are meant.
absl::StatusOr<std::string> UserOf(const rpc::CallContext& call, std::string_view parent) {
  if (parent.empty()) {
    return call.user->user();
  }
  return ParseName("users", parent);
}

class SessionServiceImpl final : public Adapter {
 public:
  SessionServiceImpl(const Edge& edge, TokenExchange* exchange)
      : Adapter("SessionService", edge), sign_ins_(edge.sign_ins), exchange_(exchange) {
    Unary("SignIn", &SessionServiceImpl::SignIn);
    Unary("RefreshSession", &SessionServiceImpl::RefreshSession);
    Unary("RevokeToken", &SessionServiceImpl::RevokeToken);
    UnarySignedIn("ListSessions", &SessionServiceImpl::ListSessions);
    UnarySignedIn("RevokeSession", &SessionServiceImpl::RevokeSession);
    UnarySignedIn("RevokeAllSessions", &SessionServiceImpl::RevokeAllSessions);
    Unary("ListProviders", &SessionServiceImpl::ListProviders);
    Unary("BeginProviderSignIn", &SessionServiceImpl::BeginProviderSignIn);
    Unary("CompleteProviderSignIn", &SessionServiceImpl::CompleteProviderSignIn);
  }

 private:
  Awaitable<absl::StatusOr<v1::Tokens>> SignIn(const rpc::CallContext& call, const v1::SignInRequest& request) {
    const Secret password(request.password());
    CO_ASSIGN_OR_RETURN(SignedIn signed_in,
                        co_await sign_ins_->SignIn(call, request.login(), password, request.device()));
    co_return ToProto(signed_in);
  }

  Awaitable<absl::StatusOr<v1::Tokens>> RefreshSession(const rpc::CallContext& call,
                                                       const v1::RefreshSessionRequest& request) {
    const Secret refresh_token(request.refresh_token());
    CO_ASSIGN_OR_RETURN(SignedIn signed_in, co_await sign_ins_->Refresh(call, refresh_token));
    co_return ToProto(signed_in);
  }

  Awaitable<absl::StatusOr<Empty>> RevokeToken(const rpc::CallContext& call, const v1::RevokeTokenRequest& request) {
    const RawToken token(request.token());
    CO_RETURN_IF_ERROR(co_await exchange_->Revoke(call, token));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<v1::ListSessionsResponse>> ListSessions(const rpc::CallContext& call,
                                                                   const v1::ListSessionsRequest& request) {
    CO_ASSIGN_OR_RETURN(const std::string user, UserOf(call, request.parent()));
    const std::string page_of = absl::StrCat("ListSessions ", user);
    CO_ASSIGN_OR_RETURN(int size, PageSize(request.page_size()));
    CO_ASSIGN_OR_RETURN(std::string text, DecodePageToken(page_of, request.page_token()));
    const Position after = ParsePosition(text);
    CO_ASSIGN_OR_RETURN(std::vector<Session> sessions,
                        co_await sign_ins_->List(call, user, after.created_at, after.id, size));
    v1::ListSessionsResponse response;
    for (const Session& session : sessions) {
      *response.add_sessions() = ToProto(session);
    }
    if (sessions.size() == static_cast<size_t>(size)) {
      const Session& last = sessions.back();
      response.set_next_page_token(
          EncodePageToken(page_of, absl::StrCat(absl::ToUnixMicros(last.created_at), "/", last.id)));
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<Empty>> RevokeSession(const rpc::CallContext& call,
                                                 const v1::RevokeSessionRequest& request) {
    CO_ASSIGN_OR_RETURN(OwnedName name, ParseOwnedName("sessions", request.name()));
    CO_RETURN_IF_ERROR(co_await sign_ins_->Revoke(call, name.user, name.id));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<Empty>> RevokeAllSessions(const rpc::CallContext& call,
                                                     const v1::RevokeAllSessionsRequest& request) {
    CO_ASSIGN_OR_RETURN(const std::string user, UserOf(call, request.parent()));
    CO_RETURN_IF_ERROR(co_await sign_ins_->RevokeAll(call, user, request.keep_current()));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<v1::ListProvidersResponse>> ListProviders(const rpc::CallContext&,
                                                                     const v1::ListProvidersRequest&) {
    v1::ListProvidersResponse response;
    for (const oidc::Provider* each : edge_.providers->List()) {
      v1::Provider* provider = response.add_providers();
      provider->set_name(absl::StrCat("providers/", each->id));
      provider->set_display_name(each->display_name);
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::BeginProviderSignInResponse>> BeginProviderSignIn(
      const rpc::CallContext& call, const v1::BeginProviderSignInRequest& request) {
    const oidc::ProviderSignIns::Beginning beginning{
        .provider = std::string(absl::StripPrefix(request.provider(), "providers/")),
        .redirect_uri = request.redirect_uri(),
        .link = request.link(),
        .device = request.device()};
    CO_ASSIGN_OR_RETURN(oidc::ProviderSignIns::Begun begun, co_await edge_.providers->Begin(call, beginning));
    v1::BeginProviderSignInResponse response;
    response.set_authorization_uri(begun.authorization_uri);
    response.set_state(begun.state.Reveal());
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::Tokens>> CompleteProviderSignIn(const rpc::CallContext& call,
                                                               const v1::CompleteProviderSignInRequest& request) {
    const Secret state(request.state());
    CO_ASSIGN_OR_RETURN(SignedIn signed_in, co_await edge_.providers->Complete(call, request.redirect_query(), state));
    co_return ToProto(signed_in);
  }

  SignIns* const sign_ins_;
  TokenExchange* const exchange_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewSessionService(Edge edge, TokenExchange* exchange) {
  return std::make_unique<SessionServiceImpl>(edge, exchange);
}

}  // namespace bulkhead::auth
