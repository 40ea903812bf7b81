#include "services/auth/oidc/attempt_store.h"

#include <cstdint>

#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {

absl::Status AttemptStore::InsertAcrossUsers(const Attempt& attempt) {
  return connection_
      .Execute(
          "INSERT INTO provider_sign_ins (state_hash, provider, redirect_uri, sealed, link_user, link_session, device, "
          "address, "
          "expires_at) VALUES (?,?,?,?,?,?,?,?,?)",
          {storage::Blob{attempt.state_hash}, attempt.provider, attempt.redirect_uri, storage::Blob{attempt.sealed},
           attempt.link_user, attempt.link_session, attempt.device, attempt.address,
           absl::ToUnixMicros(attempt.expires_at)})
      .status();
}

absl::StatusOr<std::optional<Attempt>> AttemptStore::TakeAcrossUsers(std::string_view state_hash) {
  std::optional<Attempt> found;
  RETURN_IF_ERROR(
      connection_.Query("SELECT provider, redirect_uri, sealed, link_user, link_session, device, address, expires_at "
                        "FROM provider_sign_ins "
                        "WHERE state_hash = ?",
                        {storage::Blob{std::string(state_hash)}}, [&](const storage::Row& row) {
                          found = Attempt{.state_hash = std::string(state_hash),
                                          .provider = row.Text(0),
                                          .redirect_uri = row.Text(1),
                                          .sealed = row.Blob(2),
                                          .link_user = row.Text(3),
                                          .link_session = row.Text(4),
                                          .device = row.Text(5),
                                          .address = row.Text(6),
                                          .expires_at = absl::FromUnixMicros(row.Int(7))};
                          return absl::OkStatus();
                        }));
  RETURN_IF_ERROR(
      connection_
          .Execute("DELETE FROM provider_sign_ins WHERE state_hash = ?", {storage::Blob{std::string(state_hash)}})
          .status());
  return found;
}

absl::StatusOr<std::optional<absl::Time>> AttemptStore::FullUntilAcrossUsers(std::string_view address, int64_t limit) {
  std::optional<absl::Time> until;
  RETURN_IF_ERROR(connection_.Query("SELECT count(*), min(expires_at) FROM provider_sign_ins WHERE address = ?",
                                    {std::string(address)}, [&](const storage::Row& row) {
                                      if (row.Int(0) >= limit) {
                                        until = absl::FromUnixMicros(row.Int(1));
                                      }
                                      return absl::OkStatus();
                                    }));
  return until;
}

absl::Status AttemptStore::PruneAcrossUsers(absl::Time now, int64_t limit) {
  RETURN_IF_ERROR(
      connection_.Execute("DELETE FROM provider_sign_ins WHERE expires_at <= ?", {absl::ToUnixMicros(now)}).status());
  int64_t count = 0;
  RETURN_IF_ERROR(connection_.Query("SELECT count(*) FROM provider_sign_ins", {}, [&](const storage::Row& row) {
    count = row.Int(0);
    return absl::OkStatus();
  }));
  if (count < limit) {
    return absl::OkStatus();
  }
  return connection_
      .Execute(
          "DELETE FROM provider_sign_ins WHERE state_hash IN "
          "(SELECT state_hash FROM provider_sign_ins ORDER BY expires_at LIMIT ?)",
          {count - limit + 1})
      .status();
}

}  // namespace bulkhead::auth::oidc
