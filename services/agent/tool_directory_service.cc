#include "services/agent/tool_directory_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "bulkhead/tool/v1/tool_service.grpc.pb.h"
#include "services/common/json/struct_json.h"
#include "services/common/rpc/client.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {
namespace {

namespace tool = ::bulkhead::tool::v1;

// Of one page. Nobody waits longer to hear whether a definition is good.
constexpr absl::Duration kTimeout = absl::Seconds(5);
constexpr int kMaxPages = 5;
constexpr int kPageSize = 1000;

class GrpcToolDirectory final : public ToolDirectory {
 public:
  explicit GrpcToolDirectory(std::shared_ptr<grpc::Channel> channel)
      : stub_(tool::ToolService::NewStub(std::move(channel))) {}

  Awaitable<absl::StatusOr<ToolCatalog>> ToolsOf(rpc::CallContext call) override {
    ToolCatalog tools;
    tool::ListToolsRequest request;
    request.set_page_size(kPageSize);
    for (int page = 0; page < kMaxPages; ++page) {
      absl::StatusOr<tool::ListToolsResponse> listed = co_await rpc::CallUnary<tool::ListToolsResponse>(
          call, {.method = "bulkhead.tool.v1.ToolService/ListTools", .timeout = kTimeout}, request,
          [this](auto* context, auto* request, auto* response, auto done) {
            stub_->async()->ListTools(context, request, response, std::move(done));
          });
      if (!listed.ok()) {
        co_return MakeError(
            absl::StatusCode::kUnavailable,
            absl::StrCat("the tools that the definition names cannot be looked up now: ", listed.status().message()),
            {.domain = "bulkhead.agent",
             .reason = "AGENT_TOOLS_UNAVAILABLE",
             .metadata = {{"reason", ReasonOf(listed.status())}}});
      }
      for (const tool::Tool& found : listed->tools()) {
        tools[std::string(absl::StripPrefix(found.name(), "tools/"))] = {.input = ToJson(found.input_schema()),
                                                                         .output = ToJson(found.output_schema())};
      }
      if (listed->next_page_token().empty()) {
        break;
      }
      request.set_page_token(listed->next_page_token());
    }
    co_return tools;
  }

 private:
  const std::unique_ptr<tool::ToolService::Stub> stub_;
};

}  // namespace

std::unique_ptr<ToolDirectory> CreateToolDirectory(std::shared_ptr<grpc::Channel> tool) {
  return std::make_unique<GrpcToolDirectory>(std::move(tool));
}

}  // namespace bulkhead::agent
