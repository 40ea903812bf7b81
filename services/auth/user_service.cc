#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/user_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "services/auth/accounts.h"
#include "services/auth/adapters.h"
#include "services/auth/caller.h"
#include "services/auth/errors.h"
#include "services/auth/oidc/identity_store.h"
#include "services/auth/oidc/provider_sign_ins.h"
#include "services/common/paging/page_token.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::auth {
namespace {

using ::google::protobuf::Empty;

v1::User ToProto(const User& user) {
  v1::User proto;
  proto.set_name(absl::StrCat("users/", user.id));
  proto.set_login(user.login);
  proto.set_display_name(user.display_name);
  for (const std::string& role : user.roles) {
    proto.add_roles(absl::StrCat("roles/", role));
  }
  proto.set_disabled(user.disabled);
  SetTimestamp(user.created_at, proto.mutable_create_time());
  return proto;
}

absl::StatusOr<Accounts::Change> ParseChange(const v1::UpdateUserRequest& request) {
  Accounts::Change change;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "display_name") {
      change.display_name = request.user().display_name();
    } else if (path == "disabled") {
      change.disabled = request.user().disabled();
    } else if (path == "roles") {
      change.roles.emplace();
      for (const std::string& name : request.user().roles()) {
        ASSIGN_OR_RETURN(std::string role, ParseName("roles", name));
        change.roles->push_back(std::move(role));
      }
    } else {
      return AuthError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("'", path, "' cannot be updated: display_name, disabled and roles can"),
                       "FIELD_NOT_UPDATABLE", {{"field", path}});
    }
  }
  if (request.update_mask().paths().empty()) {
    return AuthError(absl::StatusCode::kInvalidArgument, "the update mask names no field", "FIELD_NOT_UPDATABLE",
                     {{"field", ""}});
  }
  return change;
}

class UserServiceImpl final : public Adapter {
 public:
  UserServiceImpl(const Edge& edge, Accounts* accounts) : Adapter("UserService", edge), accounts_(accounts) {
    UnarySignedIn("GetUser", &UserServiceImpl::GetUser);
    UnarySignedIn("ListUsers", &UserServiceImpl::ListUsers);
    Unary("CreateUser", &UserServiceImpl::CreateUser);
    UnarySignedIn("UpdateUser", &UserServiceImpl::UpdateUser);
    UnarySignedIn("DeleteUser", &UserServiceImpl::DeleteUser);
    UnarySignedIn("ChangePassword", &UserServiceImpl::ChangePassword);
    UnarySignedIn("ResetPassword", &UserServiceImpl::ResetPassword);
    UnarySignedIn("ListIdentities", &UserServiceImpl::ListIdentities);
    UnarySignedIn("DeleteIdentity", &UserServiceImpl::DeleteIdentity);
  }

 private:
  Awaitable<absl::StatusOr<v1::ListIdentitiesResponse>> ListIdentities(const rpc::CallContext& call,
                                                                       const v1::ListIdentitiesRequest&) {
    CO_ASSIGN_OR_RETURN(const std::vector<oidc::Identity> identities, edge_.providers->ListIdentities(*call.user));
    v1::ListIdentitiesResponse response;
    for (const oidc::Identity& each : identities) {
      v1::Identity* identity = response.add_identities();
      identity->set_name(absl::StrCat("users/", each.user, "/identities/", each.id));
      identity->set_provider(absl::StrCat("providers/", each.provider));
      identity->set_subject(each.subject);
      identity->set_email(each.email);
      SetTimestamp(each.created_at, identity->mutable_create_time());
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<Empty>> DeleteIdentity(const rpc::CallContext& call,
                                                  const v1::DeleteIdentityRequest& request) {
    CO_ASSIGN_OR_RETURN(const OwnedName name, ParseOwnedName("identities", request.name()));
    CO_RETURN_IF_ERROR(co_await edge_.providers->DeleteIdentity(call, name.user, name.id));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<v1::User>> GetUser(const rpc::CallContext& call, const v1::GetUserRequest& request) {
    std::string id = call.user->user();
    if (request.name() != "users/me") {
      CO_ASSIGN_OR_RETURN(id, ParseName("users", request.name()));
    }
    CO_ASSIGN_OR_RETURN(User user, accounts_->Get(call, id));
    co_return ToProto(user);
  }

  Awaitable<absl::StatusOr<v1::ListUsersResponse>> ListUsers(const rpc::CallContext&,
                                                             const v1::ListUsersRequest& request) {
    CO_ASSIGN_OR_RETURN(int size, PageSize(request.page_size()));
    CO_ASSIGN_OR_RETURN(std::string after, DecodePageToken("ListUsers", request.page_token()));
    CO_ASSIGN_OR_RETURN(std::vector<User> users, accounts_->ListAcrossUsers(after, size));
    v1::ListUsersResponse response;
    for (const User& user : users) {
      *response.add_users() = ToProto(user);
    }
    if (users.size() == static_cast<size_t>(size)) {
      response.set_next_page_token(EncodePageToken("ListUsers", users.back().id));
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::User>> CreateUser(const rpc::CallContext& call, const v1::CreateUserRequest& request) {
    const Accounts::Registration registration{.login = request.login(),
                                              .password = Secret(request.password()),
                                              .display_name = request.display_name(),
                                              .request_id = request.request_id()};
    CO_ASSIGN_OR_RETURN(User user, co_await accounts_->Register(call, registration));
    co_return ToProto(user);
  }

  Awaitable<absl::StatusOr<v1::User>> UpdateUser(const rpc::CallContext& call, const v1::UpdateUserRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseName("users", request.user().name()));
    CO_ASSIGN_OR_RETURN(Accounts::Change change, ParseChange(request));
    CO_ASSIGN_OR_RETURN(User user, co_await accounts_->Update(call, id, change));
    co_return ToProto(user);
  }

  Awaitable<absl::StatusOr<Empty>> DeleteUser(const rpc::CallContext& call, const v1::DeleteUserRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseName("users", request.name()));
    CO_RETURN_IF_ERROR(co_await accounts_->Delete(call, id));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<Empty>> ChangePassword(const rpc::CallContext& call,
                                                  const v1::ChangePasswordRequest& request) {
    const Secret current(request.current_password());
    const Secret next(request.new_password());
    CO_RETURN_IF_ERROR(co_await accounts_->ChangePassword(call, current, next));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<Empty>> ResetPassword(const rpc::CallContext& call,
                                                 const v1::ResetPasswordRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseName("users", request.name()));
    const Secret next(request.new_password());
    CO_RETURN_IF_ERROR(co_await accounts_->ResetPassword(call, id, next));
    co_return Empty();
  }

  Accounts* const accounts_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewUserService(Edge edge, Accounts* accounts) {
  return std::make_unique<UserServiceImpl>(edge, accounts);
}

}  // namespace bulkhead::auth
