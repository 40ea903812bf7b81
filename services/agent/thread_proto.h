// Between the contract's messages and the records of threads.
#ifndef SERVICES_AGENT_THREAD_PROTO_H_
#define SERVICES_AGENT_THREAD_PROTO_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bulkhead/agent/v1/thread_service.pb.h"
#include "services/agent/thread_record.h"
#include "services/agent/thread_store.h"

namespace bulkhead::agent {

v1::Thread ToProto(const ThreadRecord& thread);

// "thread-1" out of "users/ada/threads/thread-1". INVALID_ARGUMENT `THREAD_NAME_INVALID`: not of that form, or an id that
// no thread can have; NOT_FOUND `THREAD_NOT_FOUND` when the user is not `user`.
absl::StatusOr<std::string> ParseThreadName(std::string_view name, std::string_view user);

// INVALID_ARGUMENT `BUSY_POLICY_INVALID` for a number that is none.
absl::StatusOr<BusyPolicy> ParseBusyPolicy(int policy);

// What a thread shall be; the rest is output. INVALID_ARGUMENT `THREAD_INVALID` (metadata `field`).
absl::StatusOr<ThreadChange> ParseThread(const v1::Thread& thread);

// Only what the mask names; all without one. INVALID_ARGUMENT `THREAD_INVALID`.
absl::StatusOr<ThreadChange> ParseThreadChange(const v1::UpdateThreadRequest& request);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_THREAD_PROTO_H_
