// What SQLite may allocate for one connection. Its own heap limits hold for the whole process, where
// one user's query would make the statements of all others fail.
#ifndef SERVICES_COMMON_STORAGE_SQLITE_MEMORY_H_
#define SERVICES_COMMON_STORAGE_SQLITE_MEMORY_H_

#include <cstdint>

namespace bulkhead::storage {

// Makes SQLite's allocations countable. SQLite takes this only before its first use in a process, so
// whoever may be the first to use it calls this before; later calls cost nothing. False when it was
// too late: then nothing is bounded.
bool CountSqliteMemory();

// An account of memory. Used by one thread at a time.
class SqliteMemory {
 public:
  explicit SqliteMemory(int64_t max_bytes) : max_bytes_(max_bytes) {}
  SqliteMemory(const SqliteMemory&) = delete;
  SqliteMemory& operator=(const SqliteMemory&) = delete;

  // While it lives, what SQLite allocates and frees on this thread goes to the account, and the
  // statement that would pass the limit fails with SQLITE_NOMEM. The innermost of several counts.
  class Scope {
   public:
    explicit Scope(SqliteMemory* memory);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    SqliteMemory* const outer_;
  };

  // For SQLite's allocator.
  bool MayAdd(int64_t bytes) const { return bytes_ + bytes <= max_bytes_; }
  void Add(int64_t bytes) { bytes_ += bytes; }

 private:
  const int64_t max_bytes_;
  int64_t bytes_ = 0;
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_SQLITE_MEMORY_H_
