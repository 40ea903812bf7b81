#include "services/agent/thread_service.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/thread_service.pb.h"
#include "services/agent/request_id.h"
#include "services/agent/thread_proto.h"
#include "services/common/identity/user_context.h"
#include "services/common/paging/page_token.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

using google::protobuf::Empty;

// Adapters: validate, call the store, convert.
class ThreadServiceImpl final : public rpc::Service {
 public:
  ThreadServiceImpl(const rpc::ServerDependencies& calls, ThreadServiceOptions options)
      : Service("bulkhead.agent.v1.ThreadService", calls), options_(options) {
    Unary("GetThread", &ThreadServiceImpl::GetThread);
    Unary("ListThreads", &ThreadServiceImpl::ListThreads);
    Unary("CreateThread", &ThreadServiceImpl::CreateThread);
    Unary("UpdateThread", &ThreadServiceImpl::UpdateThread);
    Unary("DeleteThread", &ThreadServiceImpl::DeleteThread);
  }

 private:
  Awaitable<absl::StatusOr<v1::Thread>> GetThread(const rpc::CallContext& call, const v1::GetThreadRequest& request) {
    const std::string& user = call.user->user();
    CO_ASSIGN_OR_RETURN(std::string id, ParseThreadName(request.name(), user));
    CO_ASSIGN_OR_RETURN(ThreadRecord thread, options_.store->For(user).Get(id));
    co_return ToProto(thread);
  }

  Awaitable<absl::StatusOr<v1::ListThreadsResponse>> ListThreads(const rpc::CallContext& call,
                                                                 const v1::ListThreadsRequest& request) {
    co_return List(call.user->user(), request);
  }

  Awaitable<absl::StatusOr<v1::Thread>> CreateThread(const rpc::CallContext& call,
                                                     const v1::CreateThreadRequest& request) {
    CO_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
    CO_ASSIGN_OR_RETURN(ThreadChange wanted, ParseThread(request.thread()));
    ThreadRecord thread;
    thread.id = options_.ids->NewId("thread");
    thread.title = *std::move(wanted.title);
    thread.busy_policy = *wanted.busy_policy;
    thread.create_time = options_.clock->Now();
    const ThreadStore::Scoped threads = options_.store->For(call.user->user());
    CO_ASSIGN_OR_RETURN(thread, co_await threads.Create(std::move(thread), request.request_id(), options_.max_threads));
    co_return ToProto(thread);
  }

  Awaitable<absl::StatusOr<v1::Thread>> UpdateThread(const rpc::CallContext& call,
                                                     const v1::UpdateThreadRequest& request) {
    const std::string& user = call.user->user();
    CO_ASSIGN_OR_RETURN(std::string id, ParseThreadName(request.thread().name(), user));
    CO_ASSIGN_OR_RETURN(ThreadChange change, ParseThreadChange(request));
    const ThreadStore::Scoped threads = options_.store->For(user);
    CO_ASSIGN_OR_RETURN(ThreadRecord thread, co_await threads.Update(std::move(id), std::move(change)));
    co_return ToProto(thread);
  }

  Awaitable<absl::StatusOr<Empty>> DeleteThread(const rpc::CallContext& call, const v1::DeleteThreadRequest& request) {
    const std::string& user = call.user->user();
    CO_ASSIGN_OR_RETURN(std::string id, ParseThreadName(request.name(), user));
    const ThreadStore::Scoped threads = options_.store->For(user);
    CO_RETURN_IF_ERROR(co_await threads.Delete(std::move(id)));
    co_return Empty();
  }

  absl::StatusOr<v1::ListThreadsResponse> List(const std::string& user, const v1::ListThreadsRequest& request) {
    const std::string list = absl::StrCat("threads ", user);
    ASSIGN_OR_RETURN(int page_size, PageSize(request.page_size()));
    ASSIGN_OR_RETURN(std::string position, DecodePageToken(list, request.page_token()));
    // Time and id of the last one: the user's own, where a key would tell how many threads all users have.
    absl::Time time = absl::InfiniteFuture();
    std::string id;
    if (!position.empty()) {
      const std::pair<std::string, std::string> parts = absl::StrSplit(position, absl::MaxSplits(' ', 1));
      int64_t micros = 0;
      if (!absl::SimpleAtoi(parts.first, &micros)) {
        return MakeError(absl::StatusCode::kInvalidArgument, "page_token is not from the last response to this request",
                         {.domain = "bulkhead.agent", .reason = "PAGE_TOKEN_INVALID"});
      }
      time = absl::FromUnixMicros(micros);
      id = parts.second;
    }
    ASSIGN_OR_RETURN(std::vector<ThreadRecord> threads, options_.store->For(user).List(time, id, page_size));
    v1::ListThreadsResponse response;
    if (static_cast<int>(threads.size()) > page_size) {
      threads.resize(page_size);
      response.set_next_page_token(
          EncodePageToken(list, absl::StrCat(absl::ToUnixMicros(threads.back().create_time), " ", threads.back().id)));
    }
    for (const ThreadRecord& thread : threads) {
      *response.add_threads() = ToProto(thread);
    }
    return response;
  }

  const ThreadServiceOptions options_;
};

}  // namespace

std::unique_ptr<grpc::Service> CreateThreadService(rpc::ServerDependencies calls, ThreadServiceOptions options) {
  return std::make_unique<ThreadServiceImpl>(calls, options);
}

}  // namespace bulkhead::agent
