// Any method of any service, called as a user of the harness.
//
//   absl::StatusOr<auth::v1::User> user =
//       Call<auth::v1::UserService>(platform->As("ada"), &auth::v1::UserService::Stub::GetUser, request);
#ifndef TESTING_HARNESS_CALLS_H_
#define TESTING_HARNESS_CALLS_H_

#include <memory>
#include <string_view>
#include <type_traits>

#include "absl/status/statusor.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"
#include "services/common/status/grpc_status.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {

// A stub to the service, through the channel that other services have too. Give its calls a context made by
// User::Authorize.
template <typename Service>
std::unique_ptr<typename Service::Stub> StubFor(const User& user) {
  return std::make_unique<typename Service::Stub>(user.ChannelTo(Service::service_full_name()));
}

// A unary call under the user's token.
template <typename Service, typename Request, typename Response>
absl::StatusOr<Response> Call(const User& user,
                              grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const std::type_identity_t<Request>& request) {
  grpc::ClientContext context;
  user.Authorize(context);
  Response response;
  const grpc::Status status = (StubFor<Service>(user).get()->*method)(&context, request, &response);
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  return response;
}

// The same without a token, or with one that the test brings.
template <typename Service, typename Request, typename Response>
absl::StatusOr<Response> CallWithToken(Harness& platform, std::string_view token,
                                       grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                             Response*),
                                       const std::type_identity_t<Request>& request) {
  grpc::ClientContext context;
  AuthorizeWith(context, token);
  typename Service::Stub stub(platform.ChannelTo(Service::service_full_name()));
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) {
    return FromGrpcStatus(status);
  }
  return response;
}

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_CALLS_H_
