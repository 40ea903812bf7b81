#include "services/auth/oidc/identity_store.h"

#include <utility>

#include "services/common/status/macros.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr std::string_view kSelect = "SELECT id, user_id, provider, subject, email, created_at FROM identities ";

absl::StatusOr<std::vector<Identity>> Select(storage::Connection& connection, std::string_view where,
                                             std::vector<storage::Value> values) {
  std::vector<Identity> found;
  RETURN_IF_ERROR(connection.Query(std::string(kSelect).append(where), std::move(values), [&](const storage::Row& row) {
    found.push_back({.id = row.Text(0),
                     .user = row.Text(1),
                     .provider = row.Text(2),
                     .subject = row.Text(3),
                     .email = row.Text(4),
                     .created_at = absl::FromUnixMicros(row.Int(5))});
    return absl::OkStatus();
  }));
  return found;
}

}  // namespace

absl::Status UserIdentities::Insert(const Identity& identity) {
  return connection_
      .Execute("INSERT INTO identities (id, user_id, provider, subject, email, created_at) VALUES (?,?,?,?,?,?)",
               {identity.id, user_, identity.provider, identity.subject, identity.email,
                absl::ToUnixMicros(identity.created_at)})
      .status();
}

absl::StatusOr<std::vector<Identity>> UserIdentities::List() {
  return Select(connection_, "WHERE user_id = ? ORDER BY created_at, id", {user_});
}

absl::Status UserIdentities::SetEmail(std::string_view id, std::string_view email) {
  return connection_
      .Execute("UPDATE identities SET email = ? WHERE id = ? AND user_id = ?",
               {std::string(email), std::string(id), user_})
      .status();
}

absl::Status UserIdentities::Delete(std::string_view id) {
  return connection_.Execute("DELETE FROM identities WHERE id = ? AND user_id = ?", {std::string(id), user_}).status();
}

absl::StatusOr<std::optional<Identity>> IdentityStore::FindAcrossUsers(std::string_view provider,
                                                                       std::string_view subject) {
  ASSIGN_OR_RETURN(std::vector<Identity> found, Select(connection_, "WHERE provider = ? AND subject = ?",
                                                       {std::string(provider), std::string(subject)}));
  if (found.empty()) {
    return std::nullopt;
  }
  return std::move(found.front());
}

}  // namespace bulkhead::auth::oidc
