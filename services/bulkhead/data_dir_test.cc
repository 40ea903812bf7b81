#include "services/bulkhead/data_dir.h"

#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"

namespace bulkhead {
namespace {

namespace fs = std::filesystem;
using testing::HasReason;
using testing::TempDir;

TEST(DataDirTest, IsForOnePlatformAtATime) {
  const TempDir temp;
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<DataDir> first, DataDir::Open(temp.File("data")));
  EXPECT_EQ(fs::status(first->path()).permissions(), fs::perms::owner_all);

  EXPECT_THAT(DataDir::Open(temp.File("data")), HasReason(absl::StatusCode::kFailedPrecondition, "DATA_DIR_IN_USE"));
  first.reset();
  EXPECT_OK(DataDir::Open(temp.File("data")));
}

TEST(DataDirTest, MustBeAFolder) {
  const TempDir temp;
  std::ofstream(temp.File("file")) << "x";
  EXPECT_THAT(DataDir::Open(temp.File("file")), HasReason("DATA_DIR_UNUSABLE"));
  EXPECT_THAT(DataDir::Open(""), HasReason("DATA_DIR_UNUSABLE"));
}

TEST(DataDirTest, KeepsAKeyThatOnlyItsOwnerReads) {
  const TempDir temp;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<DataDir> dir, DataDir::Open(temp.path()));
  ASSERT_OK_AND_ASSIGN(const Secret key, dir->OwnSealingKey());
  EXPECT_EQ(key.Reveal().size(), 32u);
  ASSERT_OK_AND_ASSIGN(const Secret again, dir->OwnSealingKey());
  EXPECT_TRUE(key == again);
  EXPECT_EQ(fs::status(temp.File("sealing.key")).permissions(), fs::perms::owner_read | fs::perms::owner_write);

  fs::permissions(temp.File("sealing.key"), fs::perms::others_read, fs::perm_options::add);
  EXPECT_THAT(dir->OwnSealingKey(), HasReason("SEALING_KEY_UNUSABLE"));

  fs::permissions(temp.File("sealing.key"), fs::perms::others_read, fs::perm_options::remove);
  std::ofstream(temp.File("sealing.key")) << "not a key\n";
  EXPECT_THAT(dir->OwnSealingKey(), HasReason("SEALING_KEY_UNUSABLE"));
}

}  // namespace
}  // namespace bulkhead
