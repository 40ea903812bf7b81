// The only conversion between absl::Status and grpc::Status. Payloads travel as google.rpc.Status in
// `grpc-status-details-bin`, as https://google.aip.dev/193 says.
#ifndef SERVICES_COMMON_STATUS_GRPC_STATUS_H_
#define SERVICES_COMMON_STATUS_GRPC_STATUS_H_

#include "absl/status/status.h"

namespace grpc {
class Status;
}

namespace bulkhead {

grpc::Status ToGrpcStatus(const absl::Status& status);

// An error of the transport itself (no details) gets the domain `bulkhead.rpc` and a reason by its code:
// RPC_UNAVAILABLE, RPC_DEADLINE_EXCEEDED, RPC_CANCELLED, RPC_FAILED.
absl::Status FromGrpcStatus(const grpc::Status& status);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_STATUS_GRPC_STATUS_H_
