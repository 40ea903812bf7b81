#ifndef TOOLS_SMOKE_ECHO_SERVICE_H_
#define TOOLS_SMOKE_ECHO_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include "bulkhead/smoke/v1/echo_service.grpc.pb.h"

namespace bulkhead::smoke {

// The service behind the smoke tests.
class EchoServiceImpl final : public v1::EchoService::Service {
 public:
  grpc::Status Echo(grpc::ServerContext* context, const v1::EchoRequest* request, v1::EchoResponse* response) override;
  grpc::Status StreamEchoes(grpc::ServerContext* context, const v1::EchoRequest* request,
                            grpc::ServerWriter<v1::EchoResponse>* writer) override;
};

}  // namespace bulkhead::smoke

#endif  // TOOLS_SMOKE_ECHO_SERVICE_H_
