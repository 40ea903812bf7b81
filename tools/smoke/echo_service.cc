#include "tools/smoke/echo_service.h"

namespace bulkhead::smoke {

grpc::Status EchoServiceImpl::Echo(grpc::ServerContext* /*context*/, const v1::EchoRequest* request,
                                   v1::EchoResponse* response) {
  *response->mutable_note() = request->note();
  return grpc::Status::OK;
}

grpc::Status EchoServiceImpl::StreamEchoes(grpc::ServerContext* /*context*/, const v1::EchoRequest* request,
                                           grpc::ServerWriter<v1::EchoResponse>* writer) {
  for (int i = 0; i < 3; ++i) {
    v1::EchoResponse response;
    *response.mutable_note() = request->note();
    writer->Write(response);
  }
  return grpc::Status::OK;
}

}  // namespace bulkhead::smoke
