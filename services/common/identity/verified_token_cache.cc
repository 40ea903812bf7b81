#include "services/common/identity/verified_token_cache.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace bulkhead {
namespace {

constexpr size_t kMaxShards = 16;

}  // namespace

VerifiedTokenCache::VerifiedTokenCache(size_t max_entries)
    : shards_(std::min(kMaxShards, max_entries)), slots_per_shard_(max_entries / shards_.size()) {}

std::optional<VerifiedTokenCache::Entry> VerifiedTokenCache::Find(const Fingerprint& fingerprint) {
  Shard& shard = ShardOf(fingerprint);
  absl::MutexLock lock(shard.mutex);
  const auto found = shard.index.find(fingerprint);
  if (found == shard.index.end()) {
    return std::nullopt;
  }
  Slot& slot = shard.slots[found->second];
  slot.used_lately = true;
  return slot.entry;
}

void VerifiedTokenCache::Insert(const Fingerprint& fingerprint, Entry entry, absl::Time now) {
  Shard& shard = ShardOf(fingerprint);
  absl::MutexLock lock(shard.mutex);
  if (const auto found = shard.index.find(fingerprint); found != shard.index.end()) {
    // Another thread has verified it too; this one was later, so its key is the newer one.
    shard.slots[found->second].entry = std::move(entry);
    return;
  }
  size_t slot = shard.slots.size();
  if (slot < slots_per_shard_) {
    shard.slots.push_back({.fingerprint = fingerprint, .entry = std::move(entry)});
  } else {
    slot = shard.MakeRoom(now);
    shard.index.erase(shard.slots[slot].fingerprint);
    shard.slots[slot] = {.fingerprint = fingerprint, .entry = std::move(entry)};
  }
  shard.index.emplace(fingerprint, slot);
}

void VerifiedTokenCache::Erase(const Fingerprint& fingerprint) {
  Shard& shard = ShardOf(fingerprint);
  absl::MutexLock lock(shard.mutex);
  if (const auto found = shard.index.find(fingerprint); found != shard.index.end()) {
    shard.Remove(found->second);
  }
}

void VerifiedTokenCache::ForgetSession(std::string_view user, std::string_view session) {
  ForgetIf(
      [&](const VerifiedToken& token) { return token.claims().session == session && token.claims().subject == user; });
}

void VerifiedTokenCache::ForgetKey(std::string_view key_id) {
  ForgetIf([&](const VerifiedToken& token) { return token.key_id() == key_id; });
}

size_t VerifiedTokenCache::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(shard.mutex);
    size += shard.slots.size();
  }
  return size;
}

void VerifiedTokenCache::ForgetIf(absl::FunctionRef<bool(const VerifiedToken&)> condition) {
  for (Shard& shard : shards_) {
    absl::MutexLock lock(shard.mutex);
    for (size_t i = shard.slots.size(); i-- > 0;) {
      if (condition(shard.slots[i].entry.token)) {
        shard.Remove(i);
      }
    }
  }
}

size_t VerifiedTokenCache::Shard::MakeRoom(absl::Time now) {
  while (true) {
    hand = (hand + 1) % slots.size();
    Slot& slot = slots[hand];
    if (!slot.used_lately || slot.entry.token.claims().expires_at <= now) {
      return hand;
    }
    slot.used_lately = false;
  }
}

// The last slot moves into the gap.
void VerifiedTokenCache::Shard::Remove(size_t slot) {
  index.erase(slots[slot].fingerprint);
  if (slot + 1 != slots.size()) {
    slots[slot] = std::move(slots.back());
    index[slots[slot].fingerprint] = slot;
  }
  slots.pop_back();
}

}  // namespace bulkhead
