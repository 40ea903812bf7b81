#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/role_service.pb.h"
#include "google/protobuf/empty.pb.h"
#include "services/auth/adapters.h"
#include "services/auth/caller.h"
#include "services/auth/roles.h"
#include "services/common/paging/page_token.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

using ::google::protobuf::Empty;

v1::Role ToProto(const Role& role) {
  v1::Role proto;
  proto.set_name(absl::StrCat("roles/", role.id));
  proto.mutable_permissions()->Assign(role.permissions.begin(), role.permissions.end());
  proto.set_built_in(role.built_in);
  return proto;
}

absl::StatusOr<Role> ParseRole(const v1::Role& proto) {
  ASSIGN_OR_RETURN(std::string id, ParseName("roles", proto.name()));
  return Role{
      .id = std::move(id), .permissions = {proto.permissions().begin(), proto.permissions().end()}, .built_in = false};
}

class RoleServiceImpl final : public Adapter {
 public:
  RoleServiceImpl(const Edge& edge, Roles* roles) : Adapter("RoleService", edge), roles_(roles) {
    UnarySignedIn("ListRoles", &RoleServiceImpl::ListRoles);
    UnarySignedIn("CreateRole", &RoleServiceImpl::CreateRole);
    UnarySignedIn("UpdateRole", &RoleServiceImpl::UpdateRole);
    UnarySignedIn("DeleteRole", &RoleServiceImpl::DeleteRole);
    UnarySignedIn("CheckPermission", &RoleServiceImpl::CheckPermission);
  }

 private:
  Awaitable<absl::StatusOr<v1::ListRolesResponse>> ListRoles(const rpc::CallContext&,
                                                             const v1::ListRolesRequest& request) {
    CO_ASSIGN_OR_RETURN(int size, PageSize(request.page_size()));
    CO_ASSIGN_OR_RETURN(std::string after, DecodePageToken("ListRoles", request.page_token()));
    CO_ASSIGN_OR_RETURN(std::vector<Role> roles, roles_->List(after, size));
    v1::ListRolesResponse response;
    for (const Role& role : roles) {
      *response.add_roles() = ToProto(role);
    }
    if (roles.size() == static_cast<size_t>(size)) {
      response.set_next_page_token(EncodePageToken("ListRoles", roles.back().id));
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::Role>> CreateRole(const rpc::CallContext& call, const v1::CreateRoleRequest& request) {
    CO_ASSIGN_OR_RETURN(Role role, ParseRole(request.role()));
    CO_ASSIGN_OR_RETURN(Role created, co_await roles_->Create(call, std::move(role)));
    co_return ToProto(created);
  }

  Awaitable<absl::StatusOr<v1::Role>> UpdateRole(const rpc::CallContext& call, const v1::UpdateRoleRequest& request) {
    CO_ASSIGN_OR_RETURN(Role role, ParseRole(request.role()));
    CO_ASSIGN_OR_RETURN(Role updated, co_await roles_->Update(call, std::move(role)));
    co_return ToProto(updated);
  }

  Awaitable<absl::StatusOr<Empty>> DeleteRole(const rpc::CallContext& call, const v1::DeleteRoleRequest& request) {
    CO_ASSIGN_OR_RETURN(std::string id, ParseName("roles", request.name()));
    CO_RETURN_IF_ERROR(co_await roles_->Delete(call, id));
    co_return Empty();
  }

  Awaitable<absl::StatusOr<v1::CheckPermissionResponse>> CheckPermission(const rpc::CallContext& call,
                                                                         const v1::CheckPermissionRequest& request) {
    CO_ASSIGN_OR_RETURN(Roles::Answer answer, co_await roles_->Check(call, request.permission(), request.resource()));
    v1::CheckPermissionResponse response;
    response.set_granted(answer.granted);
    response.set_pattern(answer.pattern);
    response.set_explanation(answer.explanation);
    co_return response;
  }

  Roles* const roles_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewRoleService(Edge edge, Roles* roles) {
  return std::make_unique<RoleServiceImpl>(edge, roles);
}

}  // namespace bulkhead::auth
