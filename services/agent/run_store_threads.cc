#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/agent/run_rows.h"
#include "services/agent/run_store.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {

using storage::Connection;
using storage::Row;

absl::StatusOr<std::vector<std::string>> RunStore::Scoped::UnfinishedOfThread(std::string_view thread) const {
  std::vector<std::string> ids;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) {
    return connection.Query(
        "SELECT id FROM runs WHERE thread <> '' AND thread = ? AND owner = ? AND state <= 4 ORDER BY key",
        {std::string(thread), owner_}, [&ids](const Row& row) {
          ids.push_back(row.Text(0));
          return absl::OkStatus();
        });
  }));
  return ids;
}

absl::StatusOr<std::vector<RunRecord>> RunStore::Scoped::History(std::string_view thread, std::string_view but,
                                                                 int max_runs, size_t max_bytes) const {
  std::vector<RunRecord> runs;
  size_t bytes = 0;
  bool full = false;
  RETURN_IF_ERROR(store_->database_->Read([&](Connection& connection) {
    return connection.Query(absl::StrCat("SELECT ", kRunColumns,
                                         " FROM runs WHERE thread <> '' AND thread = ? AND owner = ? AND id <> ? AND "
                                         "state > 4 ORDER BY key DESC LIMIT ?"),
                            {std::string(thread), owner_, std::string(but), int64_t{max_runs}}, [&](const Row& row) {
                              RunRecord run = RunOf(row);
                              bytes += run.input.size() + run.answer.value_or("").size() +
                                       (run.error.has_value() ? run.error->message.size() : 0);
                              full = full || bytes > max_bytes;
                              if (!full) {
                                runs.push_back(std::move(run));
                              }
                              return absl::OkStatus();
                            });
  }));
  std::ranges::reverse(runs);
  return runs;
}

}  // namespace bulkhead::agent
