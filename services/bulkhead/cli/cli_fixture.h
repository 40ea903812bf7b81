// Tests of the program as its users meet it: as a process, in a home of its own.
#ifndef SERVICES_BULKHEAD_CLI_CLI_FIXTURE_H_
#define SERVICES_BULKHEAD_CLI_CLI_FIXTURE_H_

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"
#include "testing/harness/child_process.h"

namespace bulkhead::cli {

inline std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class CliTest : public ::testing::Test {
 protected:
  testing::ChildProcess::Options Command(std::vector<std::string> arguments, std::string input = "") const {
    return {.program = std::filesystem::absolute("services/bulkhead/bulkhead").string(),
            .arguments = std::move(arguments),
            .environment = {{"HOME", home_.path()}, {"TMPDIR", home_.path()}},
            .folder = home_.path(),
            .input = std::move(input)};
  }

  testing::Finished Run(std::vector<std::string> arguments, std::string input = "") const {
    absl::StatusOr<testing::Finished> finished = testing::RunToEnd(Command(std::move(arguments), std::move(input)));
    EXPECT_OK(finished);
    return finished.ok() ? *std::move(finished) : testing::Finished{};
  }

  // `bulkhead analyze` of a file with this content; the JSON that it printed is in `output`.
  testing::Finished Analyze(const std::string& name, std::string_view content) const {
    std::ofstream(home_.File(name), std::ios::binary) << content;
    return Run({"analyze", name, "--json", "--out", "report"});
  }

  std::string Report() const { return ReadText(home_.File("report/report.md")); }

  testing::TempDir home_;
};

// A server of its own, and a user who is signed in there.
class ServerTest : public CliTest {
 protected:
  // `options` of `serve`, besides those that every test needs.
  explicit ServerTest(std::vector<std::string> options = {}) : options_(std::move(options)) {}

  void SetUp() override {
    std::vector<std::string> arguments = {"serve",    "--json",      "--data", "data",
                                          "--listen", "127.0.0.1:0", "--set",  "auth.scrypt_log_n=4"};
    arguments.insert(arguments.end(), options_.begin(), options_.end());
    auto server = testing::ChildProcess::Start(Command(std::move(arguments)));
    ASSERT_OK(server);
    server_ = *std::move(server);
    ASSERT_OK_AND_ASSIGN(const std::string line, server_->WaitForLine("url"));
    url_ = nlohmann::json::parse(line).at("url");
  }

  testing::Finished At(std::vector<std::string> arguments, std::string input = "") const {
    arguments.insert(arguments.end(), {"--server", url_});
    return Run(std::move(arguments), std::move(input));
  }

  testing::Finished Login(const std::string& login = "ada") const {
    return At({"login", "--login", login, "--password-stdin", "--register"}, "correct horse battery\n");
  }

  const std::vector<std::string> options_;
  std::unique_ptr<testing::ChildProcess> server_;
  std::string url_;
};

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_CLI_FIXTURE_H_
