// Whether a run may come into its thread, and what becomes of those that are there.
#ifndef SERVICES_AGENT_THREAD_ADMISSION_H_
#define SERVICES_AGENT_THREAD_ADMISSION_H_

#include "absl/status/status.h"
#include "services/agent/run_record.h"
#include "services/agent/thread_record.h"
#include "services/common/storage/connection.h"

namespace bulkhead::agent {

// `run` is about to be stored in the transaction of `connection`, so that runs that come at once are in an order. Sets
// `run.waits_for`; the runs that it holds back or cancels are written, and added to `displaced`. NOT_FOUND
// `THREAD_NOT_FOUND`; FAILED_PRECONDITION `THREAD_BUSY`; those of storage.
absl::Status AdmitToThread(storage::Connection& connection, RunRecord& run, BusyPolicy wanted, Displaced& displaced);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_THREAD_ADMISSION_H_
