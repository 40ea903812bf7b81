// The released program needs nothing but a kernel: it runs with an empty file system around it.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/child_process.h"

namespace bulkhead {
namespace {

namespace fs = std::filesystem;
using testing::Finished;
using testing::RunToEnd;

// A folder that holds the program, an empty /tmp to work in, and nothing else.
class StaticTest : public ::testing::Test {
 protected:
  StaticTest() {
    fs::copy_file("services/bulkhead/bulkhead", root_.File("bulkhead"));
    fs::create_directory(root_.File("tmp"));
  }

  absl::StatusOr<Finished> Run(std::vector<std::string> arguments) {
    return RunToEnd({.program = "/bulkhead", .arguments = std::move(arguments), .root = root_.path()},
                    absl::Minutes(2));
  }

  testing::TempDir root_;
};

TEST_F(StaticTest, TellsItsVersionWithAnEmptyFileSystemAroundIt) {
  ASSERT_OK_AND_ASSIGN(const Finished finished, Run({"version"}));
  EXPECT_EQ(finished.exit_code, 0) << finished.errors;
  EXPECT_EQ(finished.output.substr(0, 9), "bulkhead ");
}

TEST_F(StaticTest, DemonstratesItselfWithAnEmptyFileSystemAroundIt) {
  ASSERT_OK_AND_ASSIGN(const Finished finished, Run({"demo", "--out", "/tmp/out"}));
  ASSERT_EQ(finished.exit_code, 0) << finished.output << finished.errors;
  for (const char* user : {"ada", "bob"}) {
    EXPECT_GT(fs::file_size(root_.File("tmp/out/" + std::string(user) + "/report.md")), 1000u);
  }
}

}  // namespace
}  // namespace bulkhead
