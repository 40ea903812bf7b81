#include "services/agent/thread_store.h"

#include "absl/strings/str_cat.h"
#include "services/agent/thread_turns.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/connection.h"
#include "services/common/storage/database.h"

namespace bulkhead::agent {
namespace {

using storage::Connection;
using storage::Row;
using storage::Value;

constexpr std::string_view kColumns = "key, id, owner, title, busy_policy, create_time";

// `rest` follows WHERE.
absl::StatusOr<std::vector<ThreadRecord>> Select(Connection& connection, std::string_view rest,
                                                 std::vector<Value> values) {
  std::vector<ThreadRecord> threads;
  RETURN_IF_ERROR(connection.Query(absl::StrCat("SELECT ", kColumns, " FROM threads WHERE ", rest), std::move(values),
                                   [&threads](const Row& row) {
                                     threads.push_back({.key = row.Int(0),
                                                        .id = row.Text(1),
                                                        .owner = row.Text(2),
                                                        .title = row.Text(3),
                                                        .busy_policy = static_cast<BusyPolicy>(row.Int(4)),
                                                        .create_time = absl::FromUnixMicros(row.Int(5))});
                                     return absl::OkStatus();
                                   }));
  return threads;
}

absl::StatusOr<ThreadRecord> Own(Connection& connection, const std::string& owner, const std::string& id) {
  ASSIGN_OR_RETURN(std::vector<ThreadRecord> found, Select(connection, "owner = ? AND id = ?", {owner, id}));
  if (found.empty()) {
    return ThreadNotFound(id);
  }
  return std::move(found.front());
}

}  // namespace

absl::StatusOr<ThreadRecord> ThreadStore::Scoped::Get(std::string_view id) const {
  ThreadRecord thread;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(thread, Own(connection, owner_, std::string(id)));
    return absl::OkStatus();
  }));
  return thread;
}

absl::StatusOr<std::vector<ThreadRecord>> ThreadStore::Scoped::List(absl::Time time, std::string_view id,
                                                                    int limit) const {
  std::vector<ThreadRecord> threads;
  RETURN_IF_ERROR(database_->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(threads, Select(connection,
                                     "owner = ?1 AND (create_time < ?2 OR (create_time = ?2 AND id < ?3)) "
                                     "ORDER BY create_time DESC, id DESC LIMIT ?4",
                                     {owner_, absl::ToUnixMicros(time), std::string(id), int64_t{limit} + 1}));
    return absl::OkStatus();
  }));
  return threads;
}

Awaitable<absl::StatusOr<ThreadRecord>> ThreadStore::Scoped::Create(ThreadRecord thread, std::string request_id,
                                                                    int max_threads) const {
  storage::Database* const database = database_;
  thread.owner = owner_;
  absl::Status written = co_await database->Write([&](Connection& connection) -> absl::Status {
    if (!request_id.empty()) {
      ASSIGN_OR_RETURN(std::vector<ThreadRecord> first,
                       Select(connection, "owner = ? AND request_id = ?", {thread.owner, request_id}));
      if (!first.empty()) {
        thread = std::move(first.front());
        return absl::OkStatus();
      }
    }
    int64_t count = 0;
    RETURN_IF_ERROR(
        connection.Query("SELECT count(*) FROM threads WHERE owner = ?", {thread.owner}, [&count](const Row& row) {
          count = row.Int(0);
          return absl::OkStatus();
        }));
    if (count >= max_threads) {
      return MakeError(absl::StatusCode::kResourceExhausted,
                       absl::StrCat("there are ", count, " threads, and ", max_threads, " are allowed: delete one"),
                       {.domain = "bulkhead.agent",
                        .reason = "THREAD_QUOTA_EXCEEDED",
                        .metadata = {{"limit", absl::StrCat(max_threads)}}});
    }
    RETURN_IF_ERROR(
        connection
            .Execute("INSERT INTO threads (id, owner, title, busy_policy, create_time, request_id) VALUES "
                     "(?, ?, ?, ?, ?, ?)",
                     {thread.id, thread.owner, thread.title, static_cast<int64_t>(thread.busy_policy),
                      absl::ToUnixMicros(thread.create_time), request_id.empty() ? Value(nullptr) : Value(request_id)})
            .status());
    thread.key = connection.last_insert_id();
    return absl::OkStatus();
  });
  CO_RETURN_IF_ERROR(written);
  co_return thread;
}

Awaitable<absl::StatusOr<ThreadRecord>> ThreadStore::Scoped::Update(std::string id, ThreadChange change) const {
  storage::Database* const database = database_;
  const std::string owner = owner_;
  ThreadRecord thread;
  absl::Status written = co_await database->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(thread, Own(connection, owner, id));
    thread.title = change.title.value_or(thread.title);
    thread.busy_policy = change.busy_policy.value_or(thread.busy_policy);
    return connection
        .Execute("UPDATE threads SET title = ?, busy_policy = ? WHERE key = ?",
                 {thread.title, static_cast<int64_t>(thread.busy_policy), thread.key})
        .status();
  });
  CO_RETURN_IF_ERROR(written);
  co_return thread;
}

Awaitable<absl::Status> ThreadStore::Scoped::Delete(std::string id) const {
  storage::Database* const database = database_;
  const std::string owner = owner_;
  co_return co_await database->Write([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(ThreadRecord thread, Own(connection, owner, id));
    ASSIGN_OR_RETURN(std::vector<RunRecord> unfinished, UnfinishedRunsOf(connection, owner, id));
    if (!unfinished.empty()) {
      return ThreadBusy(id, unfinished.front());
    }
    RETURN_IF_ERROR(
        connection.Execute("UPDATE runs SET thread = '' WHERE thread <> '' AND thread = ? AND owner = ?", {id, owner})
            .status());
    return connection.Execute("DELETE FROM threads WHERE key = ?", {thread.key}).status();
  });
}

}  // namespace bulkhead::agent
