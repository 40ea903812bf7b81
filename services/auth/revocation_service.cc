#include <memory>
#include <stop_token>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/revocation_service.pb.h"
#include "services/auth/adapters.h"
#include "services/auth/errors.h"
#include "services/auth/revocation_log.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::auth {
namespace {

constexpr int kBatch = 500;
// Who hears nothing for some of these takes the stream for broken.
constexpr absl::Duration kHeartbeat = absl::Seconds(5);

v1::WatchRevocationsResponse ToProto(const RevocationRecord& record) {
  v1::WatchRevocationsResponse response;
  v1::Revocation& proto = *response.mutable_revocation();
  proto.set_sequence(record.sequence);
  SetTimestamp(record.time, proto.mutable_time());
  SetTimestamp(record.revocation.expires_at, proto.mutable_expire_time());
  if (record.revocation.key.empty()) {
    proto.set_session(record.revocation.session);
  } else {
    proto.set_key(record.revocation.key);
  }
  proto.set_reason(record.revocation.reason);
  return response;
}

class RevocationServiceImpl final : public Adapter {
 public:
  RevocationServiceImpl(const Edge& edge, RevocationLog* log, Clock* real_clock)
      : Adapter("RevocationService", edge), log_(log), real_clock_(real_clock) {
    Stream("WatchRevocations", &RevocationServiceImpl::WatchRevocations);
  }

 private:
  Awaitable<absl::Status> WatchRevocations(const rpc::CallContext& call, const v1::WatchRevocationsRequest& request,
                                           rpc::StreamWriter<v1::WatchRevocationsResponse>& writer) {
    // A cursor beyond the end is one of another log, which this one has taken the place of.
    uint64_t sent = request.after_sequence() <= log_->last() ? request.after_sequence() : 0;
    while (true) {
      // First this, then the reading: what is appended in between is not waited for.
      const std::stop_token changed = log_->NextChange();
      if (log_->closed()) {
        co_return AuthError(absl::StatusCode::kUnavailable,
                            "the auth service shuts down: follow again, with the cursor", "AUTH_SHUTTING_DOWN");
      }
      CO_ASSIGN_OR_RETURN(bool open, co_await SendNew(sent, writer));
      // Asked after the sending: who follows under a key that is withdrawn is told of that, and cut off then.
      if (!open || call.stop.stop_requested()) {
        break;
      }
      std::stop_source wake;
      std::stop_callback on_change(changed, [&wake] { wake.request_stop(); });
      std::stop_callback on_stop(call.stop, [&wake] { wake.request_stop(); });
      const absl::Status waited = co_await SleepUntil(real_clock_, real_clock_->Now() + kHeartbeat, wake.get_token());
      if (waited.ok()) {
        log_->Follow();  // Nothing came: in case that somebody could not be told.
      }
    }
    co_return rpc::Stopped("bulkhead.auth.v1.RevocationService/WatchRevocations");
  }

  // Sends what came after `sent`, and that this is all. False when the client has gone.
  Awaitable<absl::StatusOr<bool>> SendNew(uint64_t& sent, rpc::StreamWriter<v1::WatchRevocationsResponse>& writer) {
    std::vector<RevocationRecord> records;
    do {
      CO_ASSIGN_OR_RETURN(records, log_->List(sent, kBatch));
      for (const RevocationRecord& record : records) {
        const bool written = co_await writer.Write(ToProto(record));
        if (!written) {
          co_return false;
        }
        sent = record.sequence;
      }
    } while (records.size() == static_cast<size_t>(kBatch));
    v1::WatchRevocationsResponse caught_up;
    caught_up.mutable_caught_up()->set_sequence(sent);
    co_return co_await writer.Write(std::move(caught_up));
  }

  RevocationLog* const log_;
  Clock* const real_clock_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewRevocationService(Edge edge, RevocationLog* log, Clock* real_clock) {
  return std::make_unique<RevocationServiceImpl>(edge, log, real_clock);
}

}  // namespace bulkhead::auth
