// Runs that are worth following, for the tests of what their followers get.
#ifndef TESTING_INTEGRATION_WEBSOCKET_FOLLOWING_H_
#define TESTING_INTEGRATION_WEBSOCKET_FOLLOWING_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "testing/harness/harness.h"
#include "testing/harness/test_tools.h"
#include "testing/harness/user.h"
#include "testing/integration/websocket/event_socket.h"

namespace bulkhead::testing {

// ada and bob on a platform with the agents `chain` (ToolChainAgent) and `thinker` (input {"thoughts": how many, "bytes":
// of each}), and with the tools `count`, which answers, and `wait`, which can be held.
class FollowingTest : public ::testing::Test {
 protected:
  // Once, before the rest; `with` adds to the platform.
  absl::Status Build(const std::function<void(HarnessBuilder&)>& with = [](HarnessBuilder&) {});

  User& ada() { return platform_->As("ada"); }
  User& bob() { return platform_->As("bob"); }

  // A run of `chain`.
  absl::StatusOr<std::string> StartChain(User& user, std::vector<std::string> tools);

  absl::StatusOr<std::unique_ptr<EventSocket>> Open(const User& user, Format format = Format::kJson) {
    return EventSocket::Open(*platform_, user, format);
  }
  absl::StatusOr<std::unique_ptr<EventSocket>> Follow(const User& user, std::string_view run, uint64_t after = 0,
                                                      Format format = Format::kJson) {
    return EventSocket::Follow(*platform_, user, run, after, format);
  }

  const std::shared_ptr<HoldingTool> wait_ = std::make_shared<HoldingTool>("wait");
  std::unique_ptr<Harness> platform_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_WEBSOCKET_FOLLOWING_H_
