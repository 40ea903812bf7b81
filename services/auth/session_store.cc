#include "services/auth/session_store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr char kColumns[] =
    "id, user_id, created_at, refreshed_at, expires_at, revoked_at, client, address, device, method";

Session ReadSession(const storage::Row& row) {
  Session session{.id = row.Text(0),
                  .user = row.Text(1),
                  .created_at = absl::FromUnixMicros(row.Int(2)),
                  .refreshed_at = absl::FromUnixMicros(row.Int(3)),
                  .expires_at = absl::FromUnixMicros(row.Int(4)),
                  .revoked_at = std::nullopt,
                  .client = row.Text(6),
                  .address = row.Text(7),
                  .device = row.Text(8),
                  .method = row.Text(9)};
  if (!row.IsNull(5)) {
    session.revoked_at = absl::FromUnixMicros(row.Int(5));
  }
  return session;
}

}  // namespace

absl::Status UserSessions::Insert(const Session& session) {
  return connection_
      .Execute(
          absl::StrCat("INSERT INTO sessions (", kColumns, ") VALUES (?,?,?,?,?,NULL,?,?,?,?)"),
          {session.id, user_, absl::ToUnixMicros(session.created_at), absl::ToUnixMicros(session.refreshed_at),
           absl::ToUnixMicros(session.expires_at), session.client, session.address, session.device, session.method})
      .status();
}

absl::StatusOr<std::optional<Session>> UserSessions::Find(std::string_view id) {
  std::optional<Session> found;
  RETURN_IF_ERROR(connection_.Query(absl::StrCat("SELECT ", kColumns, " FROM sessions WHERE id = ? AND user_id = ?"),
                                    {std::string(id), user_}, [&](const storage::Row& row) {
                                      found = ReadSession(row);
                                      return absl::OkStatus();
                                    }));
  return found;
}

absl::StatusOr<std::vector<Session>> UserSessions::List(absl::Time before, std::string_view before_id, int limit) {
  std::vector<Session> sessions;
  const int64_t micros = before == absl::InfiniteFuture() ? INT64_MAX : absl::ToUnixMicros(before);
  RETURN_IF_ERROR(connection_.Query(absl::StrCat("SELECT ", kColumns,
                                                 " FROM sessions WHERE user_id = ? AND (created_at, id) < (?, ?)"
                                                 " ORDER BY created_at DESC, id DESC LIMIT ?"),
                                    {user_, micros, std::string(before_id), int64_t{limit}},
                                    [&](const storage::Row& row) {
                                      sessions.push_back(ReadSession(row));
                                      return absl::OkStatus();
                                    }));
  return sessions;
}

absl::Status UserSessions::SetRefreshed(std::string_view id, absl::Time when) {
  return connection_
      .Execute("UPDATE sessions SET refreshed_at = ? WHERE id = ? AND user_id = ?",
               {absl::ToUnixMicros(when), std::string(id), user_})
      .status();
}

absl::Status UserSessions::Revoke(std::string_view id, std::string_view reason, RevocationLog& log) {
  return RevokeThose("id = ?", id, reason, log);
}

absl::Status UserSessions::RevokeAll(std::string_view keep, std::string_view reason, RevocationLog& log) {
  return RevokeThose("id <> ?", keep, reason, log);
}

absl::Status UserSessions::DeleteAll(std::string_view reason, RevocationLog& log) {
  RETURN_IF_ERROR(RevokeAll(/*keep=*/"", reason, log));
  return DeleteExpired(absl::InfiniteFuture());
}

absl::Status UserSessions::RevokeThose(std::string_view condition, std::string_view value, std::string_view reason,
                                       RevocationLog& log) {
  std::vector<std::string> ids;
  RETURN_IF_ERROR(connection_.Query(
      absl::StrCat("SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL AND ", condition),
      {user_, std::string(value)}, [&ids](const storage::Row& row) {
        ids.push_back(row.Text(0));
        return absl::OkStatus();
      }));
  for (const std::string& id : ids) {
    RETURN_IF_ERROR(
        connection_.Execute("UPDATE sessions SET revoked_at = ? WHERE id = ?", {absl::ToUnixMicros(log.Now()), id})
            .status());
    RETURN_IF_ERROR(log.AppendSession(connection_, user_, id, reason));
  }
  return absl::OkStatus();
}

absl::Status UserSessions::DeleteExpired(absl::Time before) {
  const int64_t micros = before == absl::InfiniteFuture() ? INT64_MAX : absl::ToUnixMicros(before);
  RETURN_IF_ERROR(connection_
                      .Execute("DELETE FROM refresh_tokens WHERE session_id IN"
                               " (SELECT id FROM sessions WHERE user_id = ? AND expires_at < ?)",
                               {user_, micros})
                      .status());
  return connection_.Execute("DELETE FROM sessions WHERE user_id = ? AND expires_at < ?", {user_, micros}).status();
}

absl::Status UserSessions::InsertRefreshToken(std::string_view session, std::string_view hash) {
  return connection_
      .Execute("INSERT INTO refresh_tokens (hash, session_id, used) VALUES (?,?,0)",
               {storage::Blob{std::string(hash)}, std::string(session)})
      .status();
}

absl::Status UserSessions::SetRefreshTokenUsed(std::string_view hash) {
  return connection_
      .Execute(
          "UPDATE refresh_tokens SET used = 1 WHERE hash = ?"
          " AND session_id IN (SELECT id FROM sessions WHERE user_id = ?)",
          {storage::Blob{std::string(hash)}, user_})
      .status();
}

absl::StatusOr<std::optional<SessionStore::RefreshToken>> SessionStore::FindRefreshTokenAcrossUsers(
    std::string_view hash) {
  std::optional<RefreshToken> found;
  RETURN_IF_ERROR(connection_.Query(
      absl::StrCat("SELECT ", kColumns, ", used FROM sessions JOIN refresh_tokens ON session_id = id WHERE hash = ?"),
      {storage::Blob{std::string(hash)}}, [&](const storage::Row& row) {
        found = RefreshToken{.hash = std::string(hash), .used = row.Int(10) != 0, .session = ReadSession(row)};
        return absl::OkStatus();
      }));
  return found;
}

}  // namespace bulkhead::auth
