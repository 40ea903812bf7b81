#include "services/auth/audit_log.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/auth/caller.h"
#include "services/auth/errors.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr std::string_view kHeadPurpose = "bulkhead.auth.audit_head";
constexpr int kVerifyBatch = 1000;

absl::Status Damaged(std::string_view what) {
  return AuthError(absl::StatusCode::kDataLoss,
                   absl::StrCat("the audit log is damaged, and nothing may be decided without it: ", what),
                   "AUDIT_LOG_DAMAGED");
}

constexpr char kColumns[] =
    "sequence, time, user, actor, action, resource, allowed, reason, request_id, address, hash, details";

// Details are stored as a JSON object; "" is none.
std::string WriteDetails(const std::map<std::string, std::string>& details) {
  return details.empty() ? "" : nlohmann::json(details).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// What is no such object gives what it holds under no name, so that the record's hash does not fit.
std::map<std::string, std::string> ReadDetails(const std::string& text) {
  std::map<std::string, std::string> details;
  if (text.empty()) {
    return details;
  }
  const std::map<std::string, std::string> unreadable = {{"", text}};
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return unreadable;
  }
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return unreadable;
    }
    details[key] = value.get<std::string>();
  }
  return WriteDetails(details) == text ? details : unreadable;
}

AuditRecord ReadRecord(const storage::Row& row) {
  return {.sequence = static_cast<uint64_t>(row.Int(0)),
          .time = absl::FromUnixMicros(row.Int(1)),
          .entry = {.user = row.Text(2),
                    .actor = row.Text(3),
                    .action = row.Text(4),
                    .resource = row.Text(5),
                    .allowed = row.Int(6) != 0,
                    .reason = row.Text(7),
                    .request_id = row.Text(8),
                    .address = row.Text(9),
                    .details = ReadDetails(row.Text(11))},
          .hash = row.Blob(10)};
}

int64_t MicrosWithin(absl::Time time) {
  return time == absl::InfinitePast()     ? INT64_MIN
         : time == absl::InfiniteFuture() ? INT64_MAX
                                          : absl::ToUnixMicros(time);
}

}  // namespace

AuditLog::AuditLog(storage::Database* database, const Clock* clock, const crypto::Sealer* sealer)
    : database_(database), clock_(clock), sealer_(sealer) {}

AuditEntry AuditLog::Describe(const rpc::CallContext& call, std::string_view action, std::string_view resource) {
  return {.user = call.user.has_value() && !call.user->is_service() ? call.user->user_name() : "",
          .actor = ActorOf(call),
          .action = std::string(action),
          .resource = std::string(resource),
          .allowed = true,
          .reason = "",
          .request_id = call.request_id,
          .address = call.peer_address};
}

absl::Status AuditLog::Append(storage::Connection& connection, const AuditEntry& entry) {
  ASSIGN_OR_RETURN(Head head, ReadHead(connection));
  AuditRecord record{.sequence = head.sequence + 1, .time = clock_->Now(), .entry = entry, .hash = ""};
  // What is stored is what is hashed: the database keeps microseconds.
  record.time = absl::FromUnixMicros(absl::ToUnixMicros(record.time));
  record.hash = HashAuditRecord(head.hash, record);
  absl::Status inserted =
      connection
          .Execute(absl::StrCat("INSERT INTO audit_records (", kColumns, ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"),
                   {static_cast<int64_t>(record.sequence), absl::ToUnixMicros(record.time), entry.user, entry.actor,
                    entry.action, entry.resource, int64_t{entry.allowed}, entry.reason, entry.request_id, entry.address,
                    storage::Blob{record.hash}, WriteDetails(entry.details)})
          .status();
  RETURN_IF_ERROR(inserted);
  std::string sealed = sealer_->Seal(absl::StrCat(record.sequence, " ", record.hash), kHeadPurpose);
  return connection
      .Execute(
          "INSERT INTO audit_head (id, sealed) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET sealed "
          "= excluded.sealed",
          {storage::Blob{std::move(sealed)}})
      .status();
}

Awaitable<absl::Status> AuditLog::Refuse(AuditEntry entry, absl::Status refusal) {
  entry.allowed = false;
  entry.reason = ReasonOf(refusal);
  CO_RETURN_IF_ERROR(co_await Record(std::move(entry)));
  co_return refusal;
}

Awaitable<absl::Status> AuditLog::Refuse(AuditEntry entry, absl::Status refusal,
                                         storage::Database::WriteFunction also) {
  entry.allowed = false;
  entry.reason = ReasonOf(refusal);
  storage::Database::WriteFunction write = [&](storage::Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(also(connection));
    return Append(connection, entry);
  };
  CO_RETURN_IF_ERROR(co_await database_->Write(std::move(write)));
  co_return refusal;
}

bool AuditLog::IsRefusal(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnauthenticated:
      return true;
    default:
      return false;
  }
}

Awaitable<absl::Status> AuditLog::Record(AuditEntry entry) {
  co_return co_await database_->Write(
      [this, entry = std::move(entry)](storage::Connection& connection) { return Append(connection, entry); });
}

absl::StatusOr<std::vector<AuditRecord>> AuditLog::ListAcrossUsers(const Filter& filter, uint64_t after, int limit) {
  std::vector<AuditRecord> records;
  absl::Status read = database_->Read([&](storage::Connection& connection) {
    std::string sql =
        absl::StrCat("SELECT ", kColumns, " FROM audit_records WHERE sequence > ? AND time >= ? AND time < ?",
                     filter.user.empty() ? "" : " AND user = ?", filter.action.empty() ? "" : " AND action = ?",
                     " ORDER BY sequence LIMIT ?");
    std::vector<storage::Value> values = {static_cast<int64_t>(after), MicrosWithin(filter.start),
                                          MicrosWithin(filter.end)};
    if (!filter.user.empty()) {
      values.push_back(filter.user);
    }
    if (!filter.action.empty()) {
      values.push_back(filter.action);
    }
    values.push_back(int64_t{limit});
    return connection.Query(sql, std::move(values), [&](const storage::Row& row) {
      records.push_back(ReadRecord(row));
      return absl::OkStatus();
    });
  });
  RETURN_IF_ERROR(read);
  return records;
}

absl::StatusOr<AuditLog::Verification> AuditLog::Verify() {
  Verification result;
  // The end is read first: what is appended meanwhile lies behind it.
  Head head;
  uint64_t last = 0;
  absl::Status opened = database_->Read([&](storage::Connection& connection) {
    ASSIGN_OR_RETURN(head, ReadHead(connection));
    return connection.Query("SELECT COALESCE(MAX(sequence), 0) FROM audit_records", {}, [&](const storage::Row& row) {
      last = static_cast<uint64_t>(row.Int(0));
      return absl::OkStatus();
    });
  });
  auto fail = [&result](uint64_t sequence, std::string_view problem) {
    result.intact = false;
    result.first_bad_sequence = sequence;
    result.problem = std::string(problem);
  };
  if (ReasonOf(opened) == "AUDIT_LOG_DAMAGED") {
    fail(1, opened.message());
    return result;
  }
  RETURN_IF_ERROR(opened);

  std::string previous_hash = AuditGenesisHash();
  while (result.intact && result.records < head.sequence) {
    ASSIGN_OR_RETURN(std::vector<AuditRecord> batch, ListAcrossUsers({}, result.records, kVerifyBatch));
    for (const AuditRecord& record : batch) {
      const uint64_t expected = result.records + 1;
      if (expected > head.sequence) {
        break;
      }
      if (record.sequence != expected) {
        fail(expected, "the record is missing");
      } else if (record.hash != HashAuditRecord(previous_hash, record)) {
        fail(expected, "the record's hash does not fit its content and the record before");
      }
      if (!result.intact) {
        break;
      }
      previous_hash = record.hash;
      ++result.records;
    }
    if (batch.empty()) {
      fail(result.records + 1, "the record is missing: the end of the log was cut off");
    }
  }
  if (!result.intact) {
    return result;
  }
  if (previous_hash != head.hash) {
    fail(head.sequence, "the record does not fit the sealed end of the log: the chain was rewritten");
  } else if (last > head.sequence) {
    fail(head.sequence + 1, "the record was added behind the sealed end of the log");
  } else {
    result.head_hash = head.hash;
  }
  return result;
}

absl::StatusOr<AuditLog::Head> AuditLog::ReadHead(storage::Connection& connection) {
  std::string sealed;
  RETURN_IF_ERROR(connection.Query("SELECT sealed FROM audit_head WHERE id = 1", {}, [&](const storage::Row& row) {
    sealed = row.Blob(0);
    return absl::OkStatus();
  }));
  if (sealed.empty()) {
    bool any = false;
    RETURN_IF_ERROR(connection.Query("SELECT 1 FROM audit_records LIMIT 1", {}, [&](const storage::Row&) {
      any = true;
      return absl::OkStatus();
    }));
    if (any) {
      return Damaged("its sealed end is missing");
    }
    return Head{.sequence = 0, .hash = AuditGenesisHash()};
  }
  absl::StatusOr<Secret> opened = sealer_->Open(sealed, kHeadPurpose);
  if (!opened.ok()) {
    return Damaged("its sealed end does not open with the sealing key");
  }
  std::pair<std::string_view, std::string_view> parts = absl::StrSplit(opened->Reveal(), absl::MaxSplits(' ', 1));
  Head head{.sequence = 0, .hash = std::string(parts.second)};
  if (!absl::SimpleAtoi(parts.first, &head.sequence)) {
    return Damaged("its sealed end is malformed");
  }
  return head;
}

}  // namespace bulkhead::auth
