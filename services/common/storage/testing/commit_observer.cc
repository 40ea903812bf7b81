#include "services/common/storage/testing/commit_observer.h"

#include <sqlite3.h>

#include <deque>
#include <string>
#include <utility>

#include "absl/base/no_destructor.h"
#include "absl/base/thread_annotations.h"
#include "absl/log/absl_check.h"
#include "absl/synchronization/mutex.h"
#include "services/common/storage/sqlite_memory.h"

namespace bulkhead::storage {
namespace {

// One connection. Used by one thread at a time, as the connection is.
struct Watched {
  std::string database;
  bool committing = false;
};

// SQLite calls Watch without an argument of ours.
struct Observer {
  std::function<void(const SeenCommit&)> observe;
  absl::Mutex mutex;
  std::deque<Watched> watched ABSL_GUARDED_BY(mutex);  // References stay valid.
};

Observer& TheObserver() {
  static absl::NoDestructor<Observer> observer;
  return *observer;
}

// Before a transaction that may write is committed.
int OnCommit(void* connection) {
  auto* watched = static_cast<Watched*>(connection);
  watched->committing = true;
  TheObserver().observe({.database = watched->database, .done = false});
  return 0;  // Go on.
}

// At the end of each statement.
int OnStatementEnd(unsigned /*type*/, void* connection, void* statement, void* /*nanoseconds*/) {
  auto* watched = static_cast<Watched*>(connection);
  if (watched->committing && sqlite3_get_autocommit(sqlite3_db_handle(static_cast<sqlite3_stmt*>(statement))) != 0) {
    watched->committing = false;
    TheObserver().observe({.database = watched->database, .done = true});
  }
  return 0;
}

int Watch(sqlite3* handle, const char** /*error*/, const void* /*routines*/) {
  const char* file = sqlite3_db_filename(handle, "main");
  const std::string path = file == nullptr ? "" : file;
  Watched* watched;
  {
    Observer& observer = TheObserver();
    absl::MutexLock lock(observer.mutex);
    watched = &observer.watched.emplace_back(Watched{.database = path.substr(path.rfind('/') + 1)});
  }
  sqlite3_commit_hook(handle, OnCommit, watched);
  sqlite3_trace_v2(handle, SQLITE_TRACE_PROFILE, OnStatementEnd, watched);
  return SQLITE_OK;
}

}  // namespace

void ObserveCommits(std::function<void(const SeenCommit&)> observe) {
  ABSL_CHECK(TheObserver().observe == nullptr) << "commits are observed already";
  TheObserver().observe = std::move(observe);
  ABSL_CHECK(CountSqliteMemory());
  ABSL_CHECK_EQ(sqlite3_auto_extension(reinterpret_cast<void (*)()>(Watch)), SQLITE_OK);
}

}  // namespace bulkhead::storage
