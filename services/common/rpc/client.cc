#include "services/common/rpc/client.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/log/absl_check.h"
#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/crypto/crypto.h"
#include "services/common/rpc/metadata.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/grpc_status.h"
#include "services/common/time/real_time.h"

namespace bulkhead::rpc::internal {
namespace {

constexpr char kDomain[] = "bulkhead.rpc";
constexpr absl::Duration kMaxBackoff = absl::Seconds(2);

void AddMetadata(grpc::ClientContext& context, const char* key, std::string_view value) {
  if (!value.empty()) {
    context.AddMetadata(key, std::string(value));
  }
}

void Prepare(const CallContext& call, const CallPolicy& policy, grpc::ClientContext& context) {
  if (call.token != nullptr && !call.token->empty()) {
    AddMetadata(context, kAuthorization, absl::StrCat(kBearerPrefix, call.token->Reveal()));
  }
  AddMetadata(context, kParentRequestId, call.request_id);
  AddMetadata(context, kThread, call.user.has_value() ? call.user->request().thread : policy.thread);
  AddMetadata(context, kClient, PrintableClient(call.client));
  AddMetadata(context, kClientAddress, call.peer_address);
  AddMetadata(context, kTraceparent, call.traceparent);
  absl::Time deadline = std::min(call.deadline, RealNow() + policy.timeout);
  if (deadline != absl::InfiniteFuture()) {
    context.set_deadline(absl::ToChronoTime(deadline));
  }
}

absl::Status Cancelled(const CallPolicy& policy) {
  return MakeError(absl::StatusCode::kCancelled, absl::StrCat(policy.method, ": the caller has given up"),
                   {.domain = kDomain, .reason = "RPC_CANCELLED"});
}

absl::Status Convert(const CallPolicy& policy, const grpc::Status& status) {
  absl::Status converted = FromGrpcStatus(status);
  std::optional<ErrorInfo> info = ErrorInfoOf(converted);
  // A service says itself what it could not do; the transport does not know.
  return info.has_value() && info->domain == kDomain ? Annotate(converted, policy.method) : converted;
}

// Between half of `backoff` doubled `retry` times and all of it, so that many callers do not come back at once.
absl::Duration Jittered(absl::Duration backoff, int retry) {
  for (int i = 0; i < retry && backoff < kMaxBackoff; ++i) {
    backoff *= 2;
  }
  const std::string random = crypto::RandomBytes(1);
  return std::min(backoff, kMaxBackoff) * (0.5 + static_cast<uint8_t>(random[0]) / 510.0);
}

}  // namespace

Awaitable<absl::Status> CallWithRetries(const CallContext& call, const CallPolicy& policy, const bool& begun,
                                        Attempt attempt) {
  ABSL_CHECK(policy.attempts == 1 || policy.clock != nullptr) << policy.method << ": retries need a clock";
  for (int made = 0;;) {
    if (call.stop.stop_requested()) {
      co_return Cancelled(policy);
    }
    grpc::Status raw;
    {
      grpc::ClientContext context;
      Prepare(call, policy, context);
      std::stop_callback cancel(call.stop, [&context] { context.TryCancel(); });
      raw = co_await attempt(context);
    }
    absl::Status status = Convert(policy, raw);
    ++made;
    if (status.code() != absl::StatusCode::kUnavailable || begun || made >= policy.attempts ||
        RealNow() >= call.deadline) {
      co_return status;
    }
    absl::Duration wait = Jittered(policy.backoff, made - 1);
    if (std::optional<ErrorInfo> info = ErrorInfoOf(status); info.has_value() && info->retry_after.has_value()) {
      wait = std::max(wait, *info->retry_after);
    }
    ABSL_VLOG(1) << policy.method << ": attempt " << made << " of " << policy.attempts << " failed, next in " << wait
                 << ": " << status;
    if (!(co_await SleepUntil(policy.clock, policy.clock->Now() + wait, call.stop)).ok()) {
      co_return Cancelled(policy);
    }
  }
}

}  // namespace bulkhead::rpc::internal
