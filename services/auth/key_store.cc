#include "services/auth/key_store.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
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

constexpr absl::Duration kKeptAfterTheEnd = absl::Hours(24 * 90);

// What a sealed key belongs to: a row cannot be passed off as another.
std::string SealingPurpose(std::string_view key_id) { return absl::StrCat("bulkhead.auth.signing_key ", key_id); }

Algorithm AlgorithmByName(std::string_view name) {
  return name == crypto::AlgorithmName(Algorithm::kEs256) ? Algorithm::kEs256 : Algorithm::kEdDsa;
}

std::optional<absl::Time> OptionalTime(const storage::Row& row, int column) {
  return row.IsNull(column) ? std::nullopt : std::optional(absl::FromUnixMicros(row.Int(column)));
}

// The one that signs, then the newest, whatever the clock said when they were made.
constexpr std::string_view kOrder =
    " ORDER BY NOT revoked AND expires_at IS NULL AND signs_since IS NOT NULL DESC, created_at DESC, id";

KeyStore::State StateOf(const KeyStore::Description& key, bool signs, absl::Time now) {
  if (key.revoked_at.has_value()) {
    return KeyStore::State::kRevoked;
  }
  if (signs) {
    return KeyStore::State::kSigning;
  }
  return !key.expires_at.has_value() || now < *key.expires_at ? KeyStore::State::kVerifying : KeyStore::State::kExpired;
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(Options options, Dependencies dependencies) {
  auto store = absl::WrapUnique(new KeyStore(options, dependencies));
  RETURN_IF_ERROR(store->Load());
  const std::shared_ptr<const Key> signer = store->Signer();
  const std::shared_ptr<const Key> upcoming = store->Upcoming();
  if (signer == nullptr || upcoming == nullptr || upcoming->key->algorithm() != options.algorithm) {
    RETURN_IF_ERROR(dependencies.database->WriteAndWait([&](storage::Connection& connection) {
      return signer == nullptr ? store->Succeed(connection, options.algorithm) : store->Prepare(connection);
    }));
    RETURN_IF_ERROR(store->Load());
  }
  return store;
}

std::shared_ptr<const crypto::VerifyingKey> KeyStore::Find(std::string_view key_id) {
  const absl::Time now = dependencies_.clock->Now();
  absl::MutexLock lock(mutex_);
  for (const std::shared_ptr<const Key>& key : keys_) {
    if (key->id == key_id) {
      return !key->expires_at.has_value() || now < *key->expires_at ? key->verifying_key : nullptr;
    }
  }
  return nullptr;
}

std::shared_ptr<const KeyStore::Key> KeyStore::Signer() const {
  absl::MutexLock lock(mutex_);
  const auto found = absl::c_find_if(keys_, [](const std::shared_ptr<const Key>& key) {
    return key->signs_since.has_value() && !key->expires_at.has_value();
  });
  return found == keys_.end() ? nullptr : *found;
}

std::shared_ptr<const KeyStore::Key> KeyStore::Upcoming() const {
  absl::MutexLock lock(mutex_);
  const auto found =
      absl::c_find_if(keys_, [](const std::shared_ptr<const Key>& key) { return !key->signs_since.has_value(); });
  return found == keys_.end() ? nullptr : *found;
}

std::vector<std::shared_ptr<const KeyStore::Key>> KeyStore::Valid() const {
  const absl::Time now = dependencies_.clock->Now();
  std::vector<std::shared_ptr<const Key>> valid;
  absl::MutexLock lock(mutex_);
  for (const std::shared_ptr<const Key>& key : keys_) {
    if (!key->expires_at.has_value() || now < *key->expires_at) {
      valid.push_back(key);
    }
  }
  return valid;
}

absl::StatusOr<std::vector<KeyStore::Description>> KeyStore::List() const {
  const absl::Time now = dependencies_.clock->Now();
  std::vector<Description> keys;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) {
    return connection.Query(
        absl::StrCat("SELECT id, algorithm, created_at, expires_at, revoked_at, signs_since FROM signing_keys"
                     " WHERE coalesce(revoked_at, expires_at, ?1) >= ?1",
                     kOrder),
        {absl::ToUnixMicros(now - kKeptAfterTheEnd)}, [&](const storage::Row& row) {
          Description key{.id = row.Text(0),
                          .algorithm = AlgorithmByName(row.Text(1)),
                          .state = State::kSigning,
                          .created_at = absl::FromUnixMicros(row.Int(2)),
                          .expires_at = OptionalTime(row, 3),
                          .revoked_at = OptionalTime(row, 4)};
          key.state = StateOf(key, !row.IsNull(5) && row.IsNull(3), now);
          keys.push_back(std::move(key));
          return absl::OkStatus();
        });
  }));
  return keys;
}

Awaitable<absl::Status> KeyStore::Rotate(const rpc::CallContext& call, std::optional<Algorithm> algorithm) {
  const Algorithm wanted = algorithm.value_or(options_.algorithm);
  AuditEntry entry = AuditLog::Describe(call, "key.rotate", crypto::AlgorithmName(wanted));
  if (!call.user.has_value()) {
    entry.actor = "services/auth";  // By schedule.
  }
  storage::Database::WriteFunction write = [&](storage::Connection& connection) {
    RETURN_IF_ERROR(Succeed(connection, wanted));
    return dependencies_.audit->Append(connection, entry);
  };
  CO_RETURN_IF_ERROR(co_await dependencies_.database->Write(std::move(write)));
  co_return Load();
}

Awaitable<absl::Status> KeyStore::Revoke(const rpc::CallContext& call, std::string_view key_id) {
  AuditEntry entry = AuditLog::Describe(call, "key.revoke", absl::StrCat("keys/", key_id));
  storage::Database::WriteFunction write = [&](storage::Connection& connection) {
    return RevokeNow(connection, key_id, entry);
  };
  absl::Status revoked = co_await dependencies_.database->Write(std::move(write));
  if (!revoked.ok()) {
    co_return co_await dependencies_.audit->Refuse(std::move(entry), std::move(revoked));
  }
  // Before the key goes: whoever asks in between is told that it is withdrawn, not that it is unknown.
  dependencies_.revocations->Follow();
  co_return Load();
}

absl::Status KeyStore::Insert(storage::Connection& connection, Algorithm algorithm,
                              std::optional<absl::Time> signs_since) {
  ASSIGN_OR_RETURN(std::unique_ptr<crypto::SigningKey> key, crypto::SigningKey::Generate(algorithm));
  const std::string id = dependencies_.ids->NewId("key");
  const Secret serialized = key->Serialize();
  return connection
      .Execute(
          "INSERT INTO signing_keys (id, algorithm, sealed, created_at, expires_at, revoked, signs_since) "
          "VALUES (?,?,?,?,NULL,0,?)",
          {id, std::string(crypto::AlgorithmName(algorithm)),
           storage::Blob{dependencies_.sealer->Seal(serialized.Reveal(), SealingPurpose(id))},
           absl::ToUnixMicros(dependencies_.clock->Now()),
           signs_since.has_value() ? storage::Value(absl::ToUnixMicros(*signs_since)) : storage::Value(nullptr)})
      .status();
}

absl::Status KeyStore::Prepare(storage::Connection& connection) {
  // One of another algorithm has signed nothing: nobody misses it.
  RETURN_IF_ERROR(connection
                      .Execute("DELETE FROM signing_keys WHERE signs_since IS NULL AND NOT revoked AND algorithm <> ?",
                               {std::string(crypto::AlgorithmName(options_.algorithm))})
                      .status());
  bool there = false;
  RETURN_IF_ERROR(connection.Query("SELECT 1 FROM signing_keys WHERE signs_since IS NULL AND NOT revoked", {},
                                   [&there](const storage::Row&) {
                                     there = true;
                                     return absl::OkStatus();
                                   }));
  return there ? absl::OkStatus() : Insert(connection, options_.algorithm, std::nullopt);
}

absl::Status KeyStore::Succeed(storage::Connection& connection, Algorithm algorithm) {
  const absl::Time now = dependencies_.clock->Now();
  RETURN_IF_ERROR(
      connection
          .Execute("UPDATE signing_keys SET expires_at = ? WHERE expires_at IS NULL AND signs_since IS NOT NULL",
                   {absl::ToUnixMicros(now + options_.overlap)})
          .status());
  RETURN_IF_ERROR(connection
                      .Execute("DELETE FROM signing_keys WHERE coalesce(revoked_at, expires_at) < ?",
                               {absl::ToUnixMicros(now - kKeptAfterTheEnd)})
                      .status());
  ASSIGN_OR_RETURN(
      const int64_t succeeded,
      connection.Execute(
          "UPDATE signing_keys SET signs_since = ? WHERE signs_since IS NULL AND NOT revoked AND algorithm = ?",
          {absl::ToUnixMicros(now), std::string(crypto::AlgorithmName(algorithm))}));
  if (succeeded == 0) {
    RETURN_IF_ERROR(Insert(connection, algorithm, now));
  }
  return Prepare(connection);
}

absl::Status KeyStore::RevokeNow(storage::Connection& connection, std::string_view key_id, const AuditEntry& entry) {
  struct Found {
    Algorithm algorithm;
    bool signs;
    bool upcoming;
    bool revoked;
  };
  std::optional<Found> found;
  RETURN_IF_ERROR(connection.Query(
      "SELECT algorithm, expires_at IS NULL, signs_since IS NULL, revoked FROM signing_keys WHERE id = ?",
      {std::string(key_id)}, [&](const storage::Row& row) {
        found = {.algorithm = AlgorithmByName(row.Text(0)),
                 .signs = row.Int(1) != 0 && row.Int(2) == 0,
                 .upcoming = row.Int(2) != 0,
                 .revoked = row.Int(3) != 0};
        return absl::OkStatus();
      }));
  if (!found.has_value()) {
    return AuthError(absl::StatusCode::kNotFound, absl::StrCat("there is no key '", key_id, "'"), "KEY_NOT_FOUND",
                     {{"key", std::string(key_id)}});
  }
  if (found->revoked) {
    return absl::OkStatus();
  }
  if (found->signs) {
    RETURN_IF_ERROR(Succeed(connection, found->algorithm));  // Which gives the old one its end.
  }
  // The private part is of no use any more, so it is not kept.
  RETURN_IF_ERROR(connection
                      .Execute("UPDATE signing_keys SET revoked = 1, revoked_at = ?, sealed = x'' WHERE id = ?",
                               {absl::ToUnixMicros(dependencies_.clock->Now()), std::string(key_id)})
                      .status());
  if (found->upcoming) {
    RETURN_IF_ERROR(Prepare(connection));
  }
  RETURN_IF_ERROR(dependencies_.revocations->AppendKey(connection, key_id, "KEY_REVOKED"));
  return dependencies_.audit->Append(connection, entry);
}

absl::Status KeyStore::Load() {
  absl::MutexLock load_lock(load_mutex_);
  std::vector<std::shared_ptr<const Key>> keys;
  RETURN_IF_ERROR(dependencies_.database->Read([&](storage::Connection& connection) {
    return connection.Query(
        absl::StrCat(
            "SELECT id, algorithm, sealed, created_at, expires_at, signs_since FROM signing_keys WHERE NOT revoked",
            kOrder),
        {}, [&](const storage::Row& row) -> absl::Status {
          auto key = std::make_shared<Key>();
          key->id = row.Text(0);
          key->created_at = absl::FromUnixMicros(row.Int(3));
          key->expires_at = OptionalTime(row, 4);
          key->signs_since = OptionalTime(row, 5);
          ASSIGN_OR_RETURN(Secret serialized, dependencies_.sealer->Open(row.Blob(2), SealingPurpose(key->id)));
          ASSIGN_OR_RETURN(key->key, crypto::SigningKey::Parse(AlgorithmByName(row.Text(1)), serialized));
          key->verifying_key = key->key->verifying_key();
          keys.push_back(std::move(key));
          return absl::OkStatus();
        });
  }));
  absl::MutexLock lock(mutex_);
  // A key that stays keeps its object: what verifiers remember of it stays good.
  for (std::shared_ptr<const Key>& key : keys) {
    for (const std::shared_ptr<const Key>& before : keys_) {
      if (before->id == key->id) {
        auto same = std::make_shared<Key>(*key);
        same->verifying_key = before->verifying_key;
        key = std::move(same);
      }
    }
  }
  keys_ = std::move(keys);
  return absl::OkStatus();
}

}  // namespace bulkhead::auth
