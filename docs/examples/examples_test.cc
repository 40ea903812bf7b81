// The examples of README.md do what it says, and stand in it letter by letter.
#include "docs/examples/examples.h"

#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "bulkhead/agent/v1/run_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/harness.h"

namespace bulkhead::testing {
namespace {

using ::testing::HasSubstr;

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ReadmeTest, AgentAndToolOfTheReadmeRun) {
  Covers({"AE-1", "AE-3", "TD-1"});
  ASSERT_OK_AND_ASSIGN(auto platform,
                       Harness::Builder().WithUsers({"ada"}).WithTool(WordCount()).WithAgent(Greeter()).Build());
  ASSERT_OK(platform->As("ada").UploadFile("notes.txt", "three short words").status());

  ASSERT_OK_AND_ASSIGN(std::string run, platform->As("ada").StartRun("greeter", {{"file", "notes.txt"}}));
  ASSERT_OK_AND_ASSIGN(agent::v1::Run ended, platform->As("ada").WaitForRun(run));

  EXPECT_EQ(ended.answer().summary(), "Hello! You wrote 3 words.");
}

TEST(ReadmeTest, ExamplesStandInTheReadme) {
  const std::string readme = ReadText("README.md");
  EXPECT_THAT(readme, HasSubstr(ReadText("docs/examples/greeter.cc")));
  EXPECT_THAT(readme, HasSubstr(ReadText("docs/examples/word_count.cc")));
}

}  // namespace
}  // namespace bulkhead::testing
