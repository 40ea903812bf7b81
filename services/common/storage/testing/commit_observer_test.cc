#include "services/common/storage/testing/commit_observer.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/storage/database.h"
#include "services/common/storage/testing/dead_database.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::storage {
namespace {

using ::testing::ElementsAre;

TEST(CommitObserverTest, EachCommitIsSeenBeforeItHappensAndWhenItIsDurable) {
  bulkhead::testing::Covers({"DP-5"});
  const bulkhead::testing::TempDir folder;
  const std::string path = folder.File("some.db");
  absl::Mutex mutex;
  std::vector<std::string> seen;
  ObserveCommits([&](const SeenCommit& commit) {
    // What another reader finds at this moment is what a crash would leave.
    const auto rows = ReadRows(path, "SELECT value FROM numbers", 1);
    absl::MutexLock lock(mutex);
    seen.push_back(absl::StrCat(commit.database, commit.done ? " after " : " before ", rows.ok() ? rows->size() : 0u));
  });
  ASSERT_OK_AND_ASSIGN(auto database,
                       Database::Open({.path = path,
                                       .migrations = {{"numbers", "CREATE TABLE numbers (value INTEGER NOT NULL)"}},
                                       .durable = false}));
  seen.clear();
  const auto insert = [](Connection& connection) {
    return connection.Execute("INSERT INTO numbers VALUES (1)").status();
  };
  ASSERT_OK(database->WriteAndWait(insert));
  ASSERT_OK(database->WriteAndWait(insert));
  EXPECT_THAT(seen, ElementsAre("some.db before 0", "some.db after 1", "some.db before 1", "some.db after 2"));
}

}  // namespace
}  // namespace bulkhead::storage
