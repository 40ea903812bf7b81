// What each method of each service asks of its callers: walked by descriptor, so that none can be forgotten.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/auth/v1/audit_service.grpc.pb.h"
#include "bulkhead/auth/v1/role_service.grpc.pb.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "bulkhead/common/v1/options.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor_database.h"
#include "google/protobuf/message.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "gtest/gtest.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::google::protobuf::DescriptorPool;
using ::google::protobuf::FileDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::MessageFactory;
using ::google::protobuf::MethodDescriptor;
using ::google::protobuf::ServiceDescriptor;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using auth::v1::AuditService;
using auth::v1::RoleService;
using auth::v1::SessionService;
using auth::v1::UserService;

constexpr char kFieldValue[] = "some-value";

// Every method that the platform serves. Whatever proto is linked counts: a service that is added is found by itself.
std::vector<const MethodDescriptor*> AllMethods() {
  std::vector<std::string> files;
  EXPECT_TRUE(DescriptorPool::internal_generated_database()->FindAllFileNames(&files));
  std::sort(files.begin(), files.end());
  std::vector<const MethodDescriptor*> methods;
  for (const std::string& name : files) {
    if (!absl::StartsWith(name, "bulkhead/")) {
      continue;
    }
    const FileDescriptor* file = DescriptorPool::generated_pool()->FindFileByName(name);
    for (int i = 0; i < file->service_count(); ++i) {
      const ServiceDescriptor* service = file->service(i);
      // Served by tool hosts, and called by the platform.
      if (service->full_name() == "bulkhead.tool.v1.ToolHostService") {
        continue;
      }
      for (int m = 0; m < service->method_count(); ++m) {
        methods.push_back(service->method(m));
      }
    }
  }
  return methods;
}

bool IsAnonymous(const MethodDescriptor& method) { return method.options().GetExtension(common::v1::anonymous); }
const std::string& RequiredBy(const MethodDescriptor& method) {
  return method.options().GetExtension(common::v1::requires_);
}

// The permission that a request made by MakeRequest needs: "tool:{tool}:invoke" becomes "tool:some-value:invoke".
std::string PermissionFor(const MethodDescriptor& method) {
  std::string permission = RequiredBy(method);
  if (const size_t open = permission.find('{'); open != std::string::npos) {
    permission.replace(open, permission.find('}') - open + 1, kFieldValue);
  }
  return permission;
}

// An empty request, but for the field that the permission names.
std::unique_ptr<Message> MakeRequest(const MethodDescriptor& method) {
  std::unique_ptr<Message> request(MessageFactory::generated_factory()->GetPrototype(method.input_type())->New());
  const std::string& pattern = RequiredBy(method);
  if (const size_t open = pattern.find('{'); open != std::string::npos) {
    const std::string path = pattern.substr(open + 1, pattern.find('}') - open - 1);
    const auto* field = method.input_type()->FindFieldByName(path);
    EXPECT_NE(field, nullptr) << method.full_name() << " has no field " << path;
    if (field != nullptr) {
      request->GetReflection()->SetString(request.get(), field, kFieldValue);
    }
  }
  return request;
}

// The first answer of `method`, whatever its kind.
absl::Status CallMethod(Harness& platform, const MethodDescriptor& method, std::string_view token) {
  grpc::GenericStub stub(platform.ChannelTo(method.service()->full_name()));
  grpc::ClientContext context;
  AuthorizeWith(context, token);
  grpc::CompletionQueue queue;
  const std::string path = absl::StrCat("/", method.service()->full_name(), "/", method.name());
  const grpc::Slice bytes(MakeRequest(method)->SerializeAsString());
  const grpc::ByteBuffer request(&bytes, 1);
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call = stub.PrepareUnaryCall(&context, path, request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  int done = 0;
  call->Finish(&response, &status, &done);
  void* tag = nullptr;
  bool ok = false;
  EXPECT_TRUE(queue.Next(&tag, &ok));  // Ends by the call's deadline at the latest.
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return FromGrpcStatus(status);
}

// Gives `user` roles/only-... with exactly these permissions, and a token that carries them.
absl::Status Restrict(Harness& platform, User& user, const std::vector<std::string>& permissions) {
  auth::v1::CreateRoleRequest create;
  create.mutable_role()->set_name(absl::StrCat("roles/only-", user.login()));
  create.mutable_role()->mutable_permissions()->Assign(permissions.begin(), permissions.end());
  RETURN_IF_ERROR(Call<RoleService>(platform.AsAdmin(), &RoleService::Stub::CreateRole, create).status());
  auth::v1::UpdateUserRequest update;
  update.mutable_user()->set_name(user.name());
  update.mutable_user()->add_roles(create.role().name());
  update.mutable_update_mask()->add_paths("roles");
  RETURN_IF_ERROR(Call<UserService>(platform.AsAdmin(), &UserService::Stub::UpdateUser, update).status());
  return user.Refresh();
}

// All records from the one after `after` on.
std::vector<auth::v1::AuditRecord> RecordsAfter(Harness& platform, uint64_t after) {
  auth::v1::ListAuditRecordsRequest request;
  request.set_page_size(1000);
  absl::StatusOr<auth::v1::ListAuditRecordsResponse> page =
      Call<AuditService>(platform.AsAdmin(), &AuditService::Stub::ListAuditRecords, request);
  EXPECT_OK(page);
  std::vector<auth::v1::AuditRecord> records;
  for (const auth::v1::AuditRecord& record : page->records()) {
    if (record.sequence() > after) {
      records.push_back(record);
    }
  }
  return records;
}

TEST(MethodPermissionTest, EveryMethodDeclaresWhatItNeedsAndTheOpenOnesAreThese) {
  Covers({"AU-5"});
  std::vector<std::string> anonymous;
  const std::vector<const MethodDescriptor*> methods = AllMethods();
  EXPECT_GE(methods.size(), 60u) << "the walk does not find the services";
  for (const MethodDescriptor* method : methods) {
    EXPECT_NE(IsAnonymous(*method), !RequiredBy(*method).empty())
        << method->full_name() << " must declare either `requires` or `anonymous`";
    if (IsAnonymous(*method)) {
      anonymous.push_back(std::string(method->name()));
    }
  }
  // Whoever opens another method to everybody has to say so here.
  EXPECT_THAT(anonymous, ::testing::UnorderedElementsAre("CreateUser", "SignIn", "RefreshSession", "RevokeToken",
                                                         "ListProviders", "BeginProviderSignIn",
                                                         "CompleteProviderSignIn", "GetKeySet", "IssueServiceToken"));
}

TEST(MethodPermissionTest, EveryOtherMethodRefusesACallWithoutATokenAndNothingHappens) {
  Covers({"AU-4", "AU-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada"}).Build());
  platform->AsAdmin();  // Her own sign-in is on record before.
  const uint64_t before = RecordsAfter(*platform, 0).back().sequence();
  for (const MethodDescriptor* method : AllMethods()) {
    if (!IsAnonymous(*method)) {
      EXPECT_THAT(CallMethod(*platform, *method, ""), HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_MISSING"))
          << method->full_name();
    }
  }
  EXPECT_THAT(RecordsAfter(*platform, before), IsEmpty());
  EXPECT_THAT(platform->As("ada").ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(platform->As("ada").ListFiles(), IsOkAndHolds(IsEmpty()));
}

TEST(MethodPermissionTest, EveryOtherMethodRefusesATokenThatGrantsNothingAndNamesWhatIsMissing) {
  Covers({"AU-5", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& bob = platform->As("bob");
  ASSERT_OK(Restrict(*platform, bob, {"nothing:real:do"}));
  const uint64_t before = RecordsAfter(*platform, 0).back().sequence();

  std::vector<std::string> refused_by_auth;
  for (const MethodDescriptor* method : AllMethods()) {
    if (IsAnonymous(*method)) {
      continue;
    }
    const absl::Status refusal = CallMethod(*platform, *method, bob.token().Reveal());
    EXPECT_THAT(refusal, HasReason(absl::StatusCode::kPermissionDenied, "PERMISSION_MISSING")) << method->full_name();
    const std::optional<ErrorInfo> info = ErrorInfoOf(refusal);
    ASSERT_TRUE(info.has_value()) << method->full_name();
    EXPECT_EQ(info->metadata.at("permission"), PermissionFor(*method)) << method->full_name();
    if (absl::StartsWith(method->full_name(), "bulkhead.auth.")) {
      refused_by_auth.push_back(absl::StrCat(method->service()->full_name(), "/", method->name()));
    }
  }

  // What auth refused is on record, and nothing else happened anywhere.
  std::vector<std::string> recorded;
  for (const auth::v1::AuditRecord& record : RecordsAfter(*platform, before)) {
    EXPECT_EQ(record.action(), "permission.require") << record.DebugString();
    EXPECT_FALSE(record.allowed());
    EXPECT_EQ(record.reason(), "PERMISSION_MISSING");
    EXPECT_EQ(record.user(), bob.name());
    EXPECT_FALSE(record.details().at("permission").empty());
    recorded.push_back(record.resource());
  }
  EXPECT_EQ(recorded, refused_by_auth);
  auth::v1::UpdateUserRequest restore;
  restore.mutable_user()->set_name(bob.name());
  restore.mutable_user()->add_roles("roles/member");
  restore.mutable_update_mask()->add_paths("roles");
  ASSERT_OK(Call<UserService>(platform->AsAdmin(), &UserService::Stub::UpdateUser, restore));
  ASSERT_OK(bob.Refresh());
  EXPECT_THAT(bob.ListRuns(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(bob.ListFiles(), IsOkAndHolds(IsEmpty()));
  EXPECT_THAT(platform->EventsOf("bob"), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListSessionsResponse sessions,
                       Call<SessionService>(bob, &SessionService::Stub::ListSessions, {}));
  EXPECT_THAT(sessions.sessions(), SizeIs(1));
}

TEST(MethodPermissionTest, CheckExplainsRolePatternAndOwnership) {
  Covers({"AU-5"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  ASSERT_OK(Restrict(*platform, bob, {"run:own:read", "permission:own:check", "tool:table.load:invoke"}));
  const auto check = [](User& user, std::string_view permission, std::string_view resource = "") {
    auth::v1::CheckPermissionRequest request;
    request.set_permission(permission);
    request.set_resource(resource);
    return Call<RoleService>(user, &RoleService::Stub::CheckPermission, request);
  };
  ASSERT_OK_AND_ASSIGN(const auth::v1::CheckPermissionResponse by_role, check(bob, "run:own:read"));
  EXPECT_TRUE(by_role.granted());
  EXPECT_EQ(by_role.explanation(), "role `only-bob` grants `run:own:read`");
  ASSERT_OK_AND_ASSIGN(const auth::v1::CheckPermissionResponse denied, check(bob, "run:own:create"));
  EXPECT_FALSE(denied.granted()) << "what nobody granted is denied";
  EXPECT_EQ(denied.explanation(), "no role of yours grants it: only-bob");
  ASSERT_OK_AND_ASSIGN(const auth::v1::CheckPermissionResponse by_pattern, check(ada, "tool:text.replace:invoke"));
  EXPECT_EQ(by_pattern.pattern(), "tool:*:invoke");

  // Owning comes on top of the permission.
  EXPECT_OK(check(bob, "run:own:read", absl::StrCat(bob.name(), "/runs/run-1")));
  EXPECT_THAT(check(bob, "run:own:read", absl::StrCat(ada.name(), "/runs/run-1")),
              HasReason(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND"));
  EXPECT_THAT(check(bob, "run:*:read"), HasReason(absl::StatusCode::kInvalidArgument, "PERMISSION_MALFORMED"));
}

}  // namespace
}  // namespace bulkhead::testing
