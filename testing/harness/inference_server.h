// A model for tests: an OpenAI-compatible server, a process of its own on the loopback, which says what its prompts tell it to.
#ifndef TESTING_HARNESS_INFERENCE_SERVER_H_
#define TESTING_HARNESS_INFERENCE_SERVER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "testing/harness/browser.h"
#include "testing/harness/child_process.h"

namespace bulkhead::testing {

// What the server takes as a bearer token.
inline constexpr char kModelKey[] = "sk-a-key-of-the-tests";

// For one thread. inference/server.mjs tells what a prompt may say.
class InferenceServer {
 public:
  static absl::StatusOr<std::unique_ptr<InferenceServer>> Start();

  // "http://127.0.0.1:43210/v1"
  std::string url() const { return address_ + "/v1"; }
  // What it has been asked, oldest first: {"model", "authorization", "body", "closed", "ended"}.
  nlohmann::json Requests();
  // The most that were under way at once.
  int Most();
  // Lets the answers go on that hold.
  absl::Status Go();
  // Has a request wait that comes after `after` others: "before" its answer begins, or "within" it. One such order at a time.
  absl::Status HoldRequest(int after, std::string_view when);
  // How many wait now. A client that has gone away does not.
  int Held();

 private:
  InferenceServer() = default;
  nlohmann::json Get(std::string_view path);

  std::unique_ptr<ChildProcess> process_;
  std::string address_;
  Browser control_{""};
};

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_INFERENCE_SERVER_H_
