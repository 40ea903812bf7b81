// A user's WebSocket in a test, frame by frame.
#ifndef TESTING_INTEGRATION_WEBSOCKET_EVENT_SOCKET_H_
#define TESTING_INTEGRATION_WEBSOCKET_EVENT_SOCKET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "nlohmann/json_fwd.hpp"
#include "services/gateway/client/web_socket.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {

enum class Format { kJson, kProto };

// Frames are protos here, in whichever of the two formats they travel. Used by one thread.
class EventSocket {
 public:
  // With the user's bearer token.
  static absl::StatusOr<std::unique_ptr<EventSocket>> Open(Harness& platform, const User& user,
                                                           Format format = Format::kJson);
  // Opened, and subscribed to the run.
  static absl::StatusOr<std::unique_ptr<EventSocket>> Follow(Harness& platform, const User& user, std::string_view run,
                                                             uint64_t after = 0, Format format = Format::kJson);
  EventSocket(std::unique_ptr<gateway::ClientWebSocket> socket, Format format)
      : socket_(std::move(socket)), format_(format) {}

  // Sends a command and returns the answer to it, or its error. What comes before the answer is kept for Next.
  absl::StatusOr<notifier::v1::Reply> Ask(notifier::v1::ClientFrame frame);
  absl::Status Subscribe(std::string_view run, uint64_t after = 0);
  absl::Status Unsubscribe(std::string_view run);
  absl::Status Ping();
  // The run's name.
  absl::StatusOr<std::string> StartRun(std::string_view agent, const nlohmann::json& input);
  absl::Status CancelRun(std::string_view run, std::string_view comment = "");

  // The next frame. UNAVAILABLE `SOCKET_CLOSED` when the gateway has closed.
  absl::StatusOr<notifier::v1::ServerFrame> Next();
  // What has come beside the answers to Ask.
  std::vector<notifier::v1::ServerFrame> TakeKept() { return std::exchange(kept_, {}); }
  // The next `count` durable events; other frames on the way are skipped.
  absl::StatusOr<std::vector<notifier::v1::Event>> NextEvents(int count);
  // The durable events up to a terminal one.
  absl::StatusOr<std::vector<notifier::v1::Event>> EventsToTheEnd();

  // Waits until the gateway closes; the code.
  uint16_t WaitForClose();

  gateway::ClientWebSocket& raw() { return *socket_; }

 private:
  absl::StatusOr<notifier::v1::ServerFrame> Receive();

  std::unique_ptr<gateway::ClientWebSocket> socket_;
  const Format format_;
  int asked_ = 0;
  std::vector<notifier::v1::ServerFrame> kept_;
};

// The types of events, and their numbers.
std::vector<std::string> TypesOf(const std::vector<notifier::v1::Event>& events);
std::vector<uint64_t> NumbersOf(const std::vector<notifier::v1::Event>& events);
// 1, 2, 3... as the numbers of `count` events that are all there.
std::vector<uint64_t> OneTo(size_t count);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_WEBSOCKET_EVENT_SOCKET_H_
