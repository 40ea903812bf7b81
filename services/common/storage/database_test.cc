#include "services/common/storage/database.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::storage {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;

const Migration kNotes = {.name = "notes",
                          .statements =
                              "CREATE TABLE authors (name TEXT PRIMARY KEY);"
                              "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE,"
                              "                    author TEXT REFERENCES authors (name));"};

auto InsertNote(std::string text) {
  return [text = std::move(text)](Connection& connection) {
    return connection.Execute("INSERT INTO notes (text) VALUES (?)", {text}).status();
  };
}

absl::StatusOr<std::vector<std::string>> NotesOf(Connection& connection) {
  std::vector<std::string> notes;
  RETURN_IF_ERROR(connection.Query("SELECT text FROM notes ORDER BY id", {}, [&](const Row& row) {
    notes.push_back(row.Text(0));
    return absl::OkStatus();
  }));
  return notes;
}

std::vector<std::string> Notes(Database& database) {
  std::vector<std::string> notes;
  EXPECT_OK(database.Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(notes, NotesOf(connection));
    return absl::OkStatus();
  }));
  return notes;
}

absl::Status Died() {
  return MakeError(absl::StatusCode::kUnavailable, "The storage died.", {.domain = "bulkhead.test", .reason = "DIED"});
}

// In memory and in a file: what a store sees is the same.
class DatabaseTest : public ::testing::TestWithParam<bool> {
 protected:
  Database::Options OptionsFor(std::vector<Migration> migrations = {kNotes}) const {
    return {.path = GetParam() ? "" : directory_.File("test.db"), .migrations = std::move(migrations)};
  }
  TempDir directory_;
};

INSTANTIATE_TEST_SUITE_P(Places, DatabaseTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Memory" : "File"; });

TEST_P(DatabaseTest, ValuesComeBackAsTheyWentIn) {
  ASSERT_OK_AND_ASSIGN(const auto database,
                       Database::Open(OptionsFor({{"values", "CREATE TABLE v (a, b, c, d, e, f)"}})));
  const std::string text("nul \0 inside", 12);
  ASSERT_OK(database->WriteAndWait([&](Connection& connection) {
    return connection
        .Execute("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?)",
                 {nullptr, INT64_MIN, 0.5, text, Blob{std::string("\xFF\0", 2)}, Blob{}})
        .status();
  }));
  int rows = 0;
  ASSERT_OK(database->Read([&](Connection& connection) {
    return connection.Query("SELECT a, b, c, d, e, f FROM v", {}, [&](const Row& row) {
      ++rows;
      EXPECT_TRUE(row.IsNull(0));
      EXPECT_EQ(row.Int(1), INT64_MIN);
      EXPECT_EQ(row.Real(2), 0.5);
      EXPECT_EQ(row.Text(3), text);
      EXPECT_EQ(row.Blob(4), std::string("\xFF\0", 2));
      EXPECT_FALSE(row.IsNull(5));
      return absl::OkStatus();
    });
  }));
  EXPECT_EQ(rows, 1);
}

TEST_P(DatabaseTest, QueuedWritesShareOneCommitAndOneThatFailsLeavesTheOthers) {
  int64_t commits = 0;
  Database::Options options = OptionsFor();
  options.before_commit = [&commits](int64_t n) {
    commits = n;
    return absl::OkStatus();
  };
  ASSERT_OK_AND_ASSIGN(const auto database, Database::Open(std::move(options)));
  absl::Notification busy;
  absl::Notification go_on;
  database->WriteThen(
      [&](Connection&) {
        busy.Notify();
        go_on.WaitForNotification();
        return absl::OkStatus();
      },
      [](absl::Status) {});
  busy.WaitForNotification();

  // While the writer is busy, these queue up.
  std::vector<absl::Status> results;
  absl::BlockingCounter left(5);
  for (const std::string text : {"one", "two", "two", "three", "undone"}) {
    database->WriteThen(
        [text](Connection& connection) -> absl::Status {
          RETURN_IF_ERROR(InsertNote(text)(connection));
          return text == "undone" ? Died() : absl::OkStatus();
        },
        [&](absl::Status status) {
          results.push_back(std::move(status));
          left.DecrementCount();
        });
  }
  go_on.Notify();
  left.Wait();

  EXPECT_THAT(results, ElementsAre(testing::IsOk(), testing::IsOk(),
                                   HasReason(absl::StatusCode::kAlreadyExists, "STORAGE_CONFLICT"), testing::IsOk(),
                                   HasReason("DIED")));
  EXPECT_THAT(Notes(*database), ElementsAre("one", "two", "three"));
  EXPECT_THAT(commits, Le(2)) << "one for the write that held the others up, one for all of them";
}

TEST_P(DatabaseTest, WhenTheCommitFailsEveryWriteOfTheGroupFails) {
  Database::Options options = OptionsFor();
  options.before_commit = [](int64_t n) { return n >= 2 ? Died() : absl::OkStatus(); };
  ASSERT_OK_AND_ASSIGN(const auto database, Database::Open(std::move(options)));
  EXPECT_OK(database->WriteAndWait(InsertNote("kept")));
  EXPECT_THAT(database->WriteAndWait(InsertNote("lost")), HasReason("DIED"));
  EXPECT_THAT(database->WriteAndWait(InsertNote("lost too")), HasReason("DIED"));
  EXPECT_THAT(Notes(*database), ElementsAre("kept"));
}

TEST_P(DatabaseTest, ACoroutineResumesWhenItsWriteIsDurable) {
  ASSERT_OK_AND_ASSIGN(const auto database, Database::Open(OptionsFor()));
  const auto executor = Executor::Create({.name = "test", .threads = 1});
  EXPECT_OK(BlockOn(*executor, database->Write(InsertNote("awaited"))));
  EXPECT_THAT(Notes(*database), ElementsAre("awaited"));
}

TEST_P(DatabaseTest, ErrorsHaveReasons) {
  ASSERT_OK_AND_ASSIGN(const auto database, Database::Open(OptionsFor()));
  EXPECT_THAT(database->WriteAndWait([](Connection& connection) {
    return connection.Execute("INSERT INTO notes (text, author) VALUES ('x', 'nobody')").status();
  }),
              HasReason(absl::StatusCode::kFailedPrecondition, "STORAGE_CONSTRAINT"));
  for (const std::string_view sql : {"INSERT INTO notes VALUES (?)", "SELECT 1; SELECT 2", "", "no SQL"}) {
    EXPECT_THAT(database->WriteAndWait([sql](Connection& connection) { return connection.Execute(sql).status(); }),
                HasReason(absl::StatusCode::kInternal, "STORAGE_FAILED"))
        << sql;
  }
  EXPECT_THAT(database->WriteAndWait(
                  [&](Connection&) { return database->WriteAndWait([](Connection&) { return absl::OkStatus(); }); }),
              HasReason(absl::StatusCode::kInternal, "STORAGE_FAILED"))
      << "would wait for itself";
  EXPECT_THAT(database->Read([](Connection& connection) { return InsertNote("by a reader")(connection); }),
              HasReason("STORAGE_FAILED"));
  EXPECT_THAT(Notes(*database), IsEmpty());
  EXPECT_THAT(Database::Open({.path = directory_.File("no/such/folder/x.db")}),
              HasReason(absl::StatusCode::kFailedPrecondition, "STORAGE_CANNOT_OPEN"));
}

TEST_P(DatabaseTest, ExecuteCountsRowsAndQueriesNest) {
  ASSERT_OK_AND_ASSIGN(const auto database, Database::Open(OptionsFor()));
  ASSERT_OK(database->WriteAndWait([](Connection& connection) -> absl::Status {
    for (const char* text : {"a", "b"}) {
      RETURN_IF_ERROR(InsertNote(text)(connection));
    }
    EXPECT_EQ(connection.last_insert_id(), 2);
    ASSIGN_OR_RETURN(const int64_t changed, connection.Execute("UPDATE notes SET author = NULL"));
    EXPECT_EQ(changed, 2);
    ASSIGN_OR_RETURN(const int64_t none, connection.Execute("DELETE FROM notes WHERE id > ?", {100}));
    EXPECT_EQ(none, 0);
    return absl::OkStatus();
  }));
  // The same statement inside of its own rows.
  std::vector<std::string> pairs;
  constexpr std::string_view kAll = "SELECT text FROM notes ORDER BY id";
  ASSERT_OK(database->Read([&](Connection& connection) {
    return connection.Query(kAll, {}, [&](const Row& outer) {
      return connection.Query(kAll, {}, [&](const Row& inner) {
        pairs.push_back(outer.Text(0) + inner.Text(0));
        return absl::OkStatus();
      });
    });
  }));
  EXPECT_THAT(pairs, ElementsAre("aa", "ab", "ba", "bb"));
}

TEST(DatabaseFileTest, AReaderKeepsItsSnapshotWhileOthersWrite) {
  const TempDir directory;
  ASSERT_OK_AND_ASSIGN(const auto database,
                       Database::Open({.path = directory.File("test.db"), .migrations = {kNotes}, .readers = 2}));
  ASSERT_OK(database->WriteAndWait(InsertNote("before")));
  ASSERT_OK(database->Read([&](Connection& connection) -> absl::Status {
    ASSIGN_OR_RETURN(const auto first, NotesOf(connection));
    RETURN_IF_ERROR(database->WriteAndWait(InsertNote("meanwhile")));
    EXPECT_THAT(Notes(*database), ElementsAre("before", "meanwhile")) << "another reader, a later snapshot";
    ASSIGN_OR_RETURN(const auto second, NotesOf(connection));
    EXPECT_THAT(first, ElementsAre("before"));
    EXPECT_EQ(second, first);
    return absl::OkStatus();
  }));
}

TEST(DatabaseFileTest, WhatWasCommittedSurvivesACrashAndWhatWasNotIsGone) {
  const TempDir directory;
  std::filesystem::create_directory(directory.File("crashed"));
  {
    ASSERT_OK_AND_ASSIGN(const auto database,
                         Database::Open({.path = directory.File("test.db"), .migrations = {kNotes}}));
    ASSERT_OK(database->WriteAndWait(InsertNote("committed")));
    ASSERT_OK(database->WriteAndWait([&](Connection& connection) -> absl::Status {
      RETURN_IF_ERROR(InsertNote("in flight")(connection));
      // The files as a process leaves them that is killed here.
      for (const char* suffix : {"", "-wal"}) {
        std::filesystem::copy(directory.File(absl::StrCat("test.db", suffix)),
                              directory.File(absl::StrCat("crashed/test.db", suffix)));
      }
      return absl::OkStatus();
    }));
  }
  ASSERT_OK_AND_ASSIGN(const auto crashed,
                       Database::Open({.path = directory.File("crashed/test.db"), .migrations = {kNotes}}));
  EXPECT_THAT(Notes(*crashed), ElementsAre("committed"));
  ASSERT_OK_AND_ASSIGN(const auto closed, Database::Open({.path = directory.File("test.db"), .migrations = {kNotes}}));
  EXPECT_THAT(Notes(*closed), ElementsAre("committed", "in flight"));
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(directory.File("test.db")).permissions(), perms::owner_read | perms::owner_write);
}

TEST(DatabaseFileTest, MigrationsRunOnceInOrderAndAFailedOneLeavesTheVersionBefore) {
  const TempDir directory;
  const std::string path = directory.File("test.db");
  const Migration tags = {"tags", "CREATE TABLE tags (name TEXT); INSERT INTO notes (text) VALUES ('migrated');"};
  const Migration broken = {"broken", "CREATE TABLE half (done TEXT); SELECT no_such_function();"};
  {
    ASSERT_OK(Database::Open({.path = path, .migrations = {kNotes}}));
  }

  const auto failed = Database::Open({.path = path, .migrations = {kNotes, tags, broken}});
  EXPECT_THAT(failed, HasReason(absl::StatusCode::kInternal, "STORAGE_FAILED"));
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("Migration 3 (broken)"));

  ASSERT_OK_AND_ASSIGN(const auto database, Database::Open({.path = path, .migrations = {kNotes, tags}}));
  EXPECT_THAT(Notes(*database), ElementsAre("migrated"));
  EXPECT_THAT(
      database->WriteAndWait([](Connection& connection) { return connection.Execute("DELETE FROM half").status(); }),
      HasReason("STORAGE_FAILED"))
      << "the half of the broken migration was rolled back";
  EXPECT_THAT(Database::Open({.path = path, .migrations = {kNotes}}),
              HasReason(absl::StatusCode::kFailedPrecondition, "STORAGE_TOO_NEW"));
}

}  // namespace
}  // namespace bulkhead::storage
