#include "services/auth/key_store.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/auth/errors.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

using crypto::Algorithm;

// What a sealed key belongs to: a row cannot be passed off as another.
std::string SealingPurpose(std::string_view key_id) {
  return absl::StrCat("bulkhead.auth.signing_key ", key_id);
}

Algorithm AlgorithmByName(std::string_view name) {
  return name == crypto::AlgorithmName(Algorithm::kEs256) ? Algorithm::kEs256 : Algorithm::kEdDsa;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(absl::Duration overlap,
                                                         Dependencies dependencies) {
  auto store = absl::WrapUnique(new KeyStore(overlap, dependencies));
  RETURN_IF_ERROR(store->Load());
  if (store->Valid().empty()) {
    RETURN_IF_ERROR(dependencies.database->WriteAndWait([&store](storage::Connection& connection) {
      return store->Insert(connection, Algorithm::kEdDsa);
    }));
    RETURN_IF_ERROR(store->Load());
  }
  return store;
}

std::shared_ptr<const crypto::VerifyingKey> KeyStore::Find(std::string_view key_id) {
  for (const Key& key : Valid()) {
    if (key.id == key_id) {
      return key.key->verifying_key();
    }
  }
  return nullptr;
}

KeyStore::Key KeyStore::Signer() const {
  absl::MutexLock lock(mutex_);
  return keys_.front();
}

std::vector<KeyStore::Key> KeyStore::Valid() const {
  const absl::Time now = dependencies_.clock->Now();
  std::vector<Key> valid;
  absl::MutexLock lock(mutex_);
  for (const Key& key : keys_) {
    if (!key.expires_at.has_value() || now < *key.expires_at) {
      valid.push_back(key);
    }
  }
  return valid;
}

Awaitable<absl::Status> KeyStore::Rotate(const rpc::CallContext& call, Algorithm algorithm) {
  AuditEntry entry = AuditLog::Describe(call, "key.rotate", crypto::AlgorithmName(algorithm));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) {
    RETURN_IF_ERROR(Insert(connection, algorithm));
    return dependencies_.audit->Append(connection, entry);
  };
  CO_RETURN_IF_ERROR(co_await dependencies_.database->Write(std::move(write)));
  co_return Load();
}

Awaitable<absl::Status> KeyStore::Revoke(const rpc::CallContext& call, std::string_view key_id) {
  AuditEntry entry = AuditLog::Describe(call, "key.revoke", absl::StrCat("keys/", key_id));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) {
    RETURN_IF_ERROR(RevokeNow(connection, key_id));
    return dependencies_.audit->Append(connection, entry);
  };
  absl::Status revoked = co_await dependencies_.database->Write(std::move(write));
  if (!revoked.ok()) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(revoked));
  }
  co_return Load();
}

absl::Status KeyStore::Insert(storage::Connection& connection, Algorithm algorithm) {
  ASSIGN_OR_RETURN(std::unique_ptr<crypto::SigningKey> key,
                   crypto::SigningKey::Generate(algorithm));
  const std::string id = dependencies_.ids->NewId("key");
  const absl::Time now = dependencies_.clock->Now();
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE signing_keys SET expires_at = ? WHERE expires_at IS NULL",
                               {absl::ToUnixMicros(now + overlap_)})
                      .status());
  const Secret serialized = key->Serialize();
  return connection
      .Execute(
          "INSERT INTO signing_keys (id, algorithm, sealed, created_at, expires_at, revoked) "
          "VALUES (?,?,?,?,NULL,0)",
          {id, std::string(crypto::AlgorithmName(algorithm)),
           storage::Blob{dependencies_.sealer->Seal(serialized.Reveal(), SealingPurpose(id))},
           absl::ToUnixMicros(now)})
      .status();
}

absl::Status KeyStore::RevokeNow(storage::Connection& connection, std::string_view key_id) {
  std::optional<bool> signs;
  RETURN_IF_ERROR(
      connection.Query("SELECT expires_at IS NULL FROM signing_keys WHERE id = ? AND NOT revoked",
                       {std::string(key_id)}, [&](const storage::Row& row) {
                         signs = row.Int(0) != 0;
                         return absl::OkStatus();
                       }));
  if (!signs.has_value()) {
    return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no key '", key_id, "'"),
                     "KEY_NOT_FOUND", {{"key", std::string(key_id)}});
  }
  if (*signs) {
    return AuthError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("the key '", key_id, "' is the one that signs: rotate first, then revoke it"),
        "KEY_IS_LAST", {{"key", std::string(key_id)}});
  }
  RETURN_IF_ERROR(dependencies_.revocations->AppendKey(connection, key_id, "KEY_REVOKED"));
  return connection
      .Execute("UPDATE signing_keys SET revoked = 1 WHERE id = ?", {std::string(key_id)})
      .status();
}

absl::Status KeyStore::Load() {
  absl::MutexLock load_lock(load_mutex_);
  std::vector<Key> keys;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) {
    // The one that signs has no end, and comes first whatever the clock said when it was made.
    return connection.Query(
        "SELECT id, algorithm, sealed, created_at, expires_at FROM signing_keys WHERE NOT revoked"
        " ORDER BY expires_at IS NULL DESC, created_at DESC, id",
        {}, [&](const storage::Row& row) -> absl::Status {
          Key key{.id = row.Text(0),
                  .key = nullptr,
                  .created_at = absl::FromUnixMicros(row.Int(3)),
                  .expires_at = std::nullopt};
          if (!row.IsNull(4)) {
            key.expires_at = absl::FromUnixMicros(row.Int(4));
          }
          ASSIGN_OR_RETURN(Secret serialized,
                           dependencies_.sealer->Open(row.Blob(2), SealingPurpose(key.id)));
          ASSIGN_OR_RETURN(key.key,
                           crypto::SigningKey::Parse(AlgorithmByName(row.Text(1)), serialized));
          keys.push_back(std::move(key));
          return absl::OkStatus();
        });
  }));
  absl::MutexLock lock(mutex_);
  keys_ = std::move(keys);
  return absl::OkStatus();
}

}  // namespace bulkhead::auth
