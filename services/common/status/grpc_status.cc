#include "services/common/status/grpc_status.h"

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

std::string_view TransportReason(absl::StatusCode code) {
  if (code == absl::StatusCode::kUnavailable) {
    return "RPC_UNAVAILABLE";
  }
  if (code == absl::StatusCode::kDeadlineExceeded) {
    return "RPC_DEADLINE_EXCEEDED";
  }
  if (code == absl::StatusCode::kCancelled) {
    return "RPC_CANCELLED";
  }
  return "RPC_FAILED";
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(std::string(status.message()));
  status.ForEachPayload([&details](std::string_view url, const absl::Cord& payload) {
    auto* detail = details.add_details();
    detail->set_type_url(std::string(url));
    detail->set_value(std::string(payload));
  });
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      details.SerializeAsString());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  absl::Status result(code, status.error_message());
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(std::string_view(detail.value())));
    }
  }
  if (ErrorInfoOf(result).has_value()) {
    return result;
  }
  const std::string_view message = status.error_message().empty() ? "The call failed." : result.message();
  return MakeError(code, message, {.domain = "bulkhead.rpc", .reason = std::string(TransportReason(code))});
}

}  // namespace bulkhead
