#include "services/auth/revocation_log.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr int kBatch = 500;

}  // namespace

absl::StatusOr<std::shared_ptr<RevocationLog>> RevocationLog::Open(absl::Duration lifetime, storage::Database* database,
                                                                   const Clock* clock) {
  std::shared_ptr<RevocationLog> log(new RevocationLog(lifetime, database, clock));
  log->Follow();
  // Numbers go on where they stopped, also when all rows have been pruned.
  int64_t last = 0;
  RETURN_IF_ERROR(database->Read([&last](storage::Connection& connection) {
    return connection.Query("SELECT seq FROM sqlite_sequence WHERE name = 'revocations'", {},
                            [&last](const storage::Row& row) {
                              last = row.Int(0);
                              return absl::OkStatus();
                            });
  }));
  absl::MutexLock lock(log->mutex_);
  log->last_ = static_cast<uint64_t>(last);
  return log;
}

absl::Status RevocationLog::AppendSession(storage::Connection& connection, std::string_view user,
                                          std::string_view session, std::string_view reason) {
  return Append(connection, absl::StrCat("users/", user, "/sessions/", session), /*key=*/"", reason);
}

absl::Status RevocationLog::AppendKey(storage::Connection& connection, std::string_view key_id,
                                      std::string_view reason) {
  return Append(connection, /*session=*/"", key_id, reason);
}

absl::Status RevocationLog::Append(storage::Connection& connection, std::string_view session, std::string_view key,
                                   std::string_view reason) {
  const absl::Time now = clock_->Now();
  RETURN_IF_ERROR(
      connection.Execute("DELETE FROM revocations WHERE expires_at <= ?", {absl::ToUnixMicros(now)}).status());
  RETURN_IF_ERROR(connection
                      .Execute("INSERT INTO revocations (time, expires_at, session, key, reason) VALUES (?,?,?,?,?)",
                               {absl::ToUnixMicros(now), absl::ToUnixMicros(now + lifetime_), std::string(session),
                                std::string(key), std::string(reason)})
                      .status());
  // The writer takes this up after the transaction that it works on, whoever began that one: nobody has to remember to tell.
  database_->WriteThen(
      [](storage::Connection&) { return absl::OkStatus(); },
      [weak = weak_from_this()](const absl::Status& committed) {
        std::shared_ptr<RevocationLog> log = weak.lock();
        if (log == nullptr) {
          return;  // At the end of the service: who comes next reads it all.
        }
        if (!committed.ok()) {
          ABSL_LOG(ERROR) << "Who follows the revocations hears of the last one with the next heartbeat: " << committed;
          return;
        }
        log->Follow();
      });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RevocationRecord>> RevocationLog::List(uint64_t after, int limit) const {
  std::vector<RevocationRecord> records;
  RETURN_IF_ERROR(database_->Read([&](storage::Connection& connection) {
    return connection.Query(
        "SELECT sequence, time, expires_at, session, key, reason FROM revocations WHERE sequence > ? AND expires_at > ?"
        " ORDER BY sequence LIMIT ?",
        {static_cast<int64_t>(after), absl::ToUnixMicros(clock_->Now()), int64_t{limit}}, [&](const storage::Row& row) {
          records.push_back({.sequence = static_cast<uint64_t>(row.Int(0)),
                             .time = absl::FromUnixMicros(row.Int(1)),
                             .revocation = {.session = row.Text(3),
                                            .key = row.Text(4),
                                            .reason = row.Text(5),
                                            .expires_at = absl::FromUnixMicros(row.Int(2))}});
          return absl::OkStatus();
        });
  }));
  return records;
}

void RevocationLog::Follow() {
  absl::MutexLock follow_lock(follow_mutex_);
  while (true) {
    absl::StatusOr<std::vector<RevocationRecord>> records = List(last(), kBatch);
    if (!records.ok()) {
      ABSL_LOG(ERROR) << "The revocations cannot be read: " << records.status();
      return;
    }
    for (const RevocationRecord& record : *records) {
      set_.Add(record.revocation);
    }
    if (!records->empty()) {
      absl::MutexLock lock(mutex_);
      last_ = records->back().sequence;
    }
    if (records->size() < static_cast<size_t>(kBatch)) {
      break;
    }
  }
  Wake();
}

void RevocationLog::Wake() {
  std::stop_source change;
  {
    absl::MutexLock lock(mutex_);
    std::swap(change, change_);
  }
  change.request_stop();
}

uint64_t RevocationLog::last() const {
  absl::MutexLock lock(mutex_);
  return last_;
}

std::stop_token RevocationLog::NextChange() {
  absl::MutexLock lock(mutex_);
  if (closed_) {
    std::stop_source ended;
    ended.request_stop();
    return ended.get_token();
  }
  return change_.get_token();
}

void RevocationLog::Close() {
  {
    absl::MutexLock lock(mutex_);
    closed_ = true;
  }
  Wake();
}

bool RevocationLog::closed() const {
  absl::MutexLock lock(mutex_);
  return closed_;
}

}  // namespace bulkhead::auth
