#include "services/common/storage/sqlite_memory.h"

#include <sqlite3.h>

#include <optional>
#include <utility>

namespace bulkhead::storage {
namespace {

// SQLite calls its allocator without an argument of ours.
constinit thread_local SqliteMemory* account = nullptr;

// SQLite's own allocator, which does the work. Nothing when it could not be had.
const std::optional<sqlite3_mem_methods>& Own() {
  static const std::optional<sqlite3_mem_methods> methods = []() -> std::optional<sqlite3_mem_methods> {
    sqlite3_mem_methods own{};
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &own) != SQLITE_OK) {
      return std::nullopt;
    }
    return own;
  }();
  return methods;
}

void* Allocate(int size) {
  if (account == nullptr) {
    return Own()->xMalloc(size);
  }
  if (!account->MayAdd(size)) {
    return nullptr;
  }
  void* memory = Own()->xMalloc(size);
  if (memory != nullptr) {
    account->Add(Own()->xSize(memory));
  }
  return memory;
}

void Free(void* memory) {
  if (account != nullptr && memory != nullptr) {
    account->Add(-Own()->xSize(memory));
  }
  Own()->xFree(memory);
}

void* Resize(void* memory, int size) {
  if (account == nullptr) {
    return Own()->xRealloc(memory, size);
  }
  const int before = Own()->xSize(memory);
  if (!account->MayAdd(size - before)) {
    return nullptr;
  }
  void* resized = Own()->xRealloc(memory, size);
  if (resized != nullptr) {
    account->Add(Own()->xSize(resized) - before);
  }
  return resized;
}

}  // namespace

bool CountSqliteMemory() {
  static const bool counted = [] {
    if (!Own().has_value()) {
      return false;
    }
    sqlite3_mem_methods counting = *Own();
    counting.xMalloc = Allocate;
    counting.xFree = Free;
    counting.xRealloc = Resize;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &counting) == SQLITE_OK;
  }();
  return counted;
}

SqliteMemory::Scope::Scope(SqliteMemory* memory) : outer_(std::exchange(account, memory)) {}
SqliteMemory::Scope::~Scope() { account = outer_; }

}  // namespace bulkhead::storage
