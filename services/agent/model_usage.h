// Tokens that model calls use: counted with the journal, limited by run and by user and day.
#ifndef SERVICES_AGENT_MODEL_USAGE_H_
#define SERVICES_AGENT_MODEL_USAGE_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/common/storage/database.h"

namespace bulkhead::storage {
class Connection;
}  // namespace bulkhead::storage

namespace bulkhead::agent {

struct ModelUse {
  int64_t tokens = 0;
  absl::Time time;
};

// Counts it for the run and its user, in the transaction of whoever journals the call's result. A day's counts are kept; they outlive their runs.
absl::Status AddModelUse(storage::Connection& connection, int64_t run, const ModelUse& use);

// Thread-safe; an operation is a read of the database. Looked at before each call and not reserved: calls that are under way at once may go beyond a limit
// by what they use.
class ModelBudget {
 public:
  struct Limits {
    int64_t tokens_per_run = 1'000'000;
    int64_t tokens_per_day = 10'000'000;  // Of one user, in any 24 hours.
  };

  ModelBudget(storage::Database* database, Limits limits) : database_(database), limits_(limits) {}

  // Whether the user has tokens left: RESOURCE_EXHAUSTED `MODEL_TOKENS_EXCEEDED` (metadata `limit`, `used`, `window`), with when that will be so.
  absl::Status CheckUser(std::string_view user, absl::Time now) const;
  // The same for the run, whose tokens don't come back.
  absl::Status CheckRun(int64_t run) const;

 private:
  storage::Database* const database_;
  const Limits limits_;
};

// RESOURCE_EXHAUSTED `MODEL_TOKENS_EXCEEDED` of a run.
absl::Status RunTokensExceeded(int64_t used, int64_t limit);

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODEL_USAGE_H_
