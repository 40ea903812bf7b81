#include "testing/integration/websocket/event_socket.h"

#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/json/json.h"
#include "nlohmann/json.hpp"
#include "services/common/json/struct_json.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "testing/base/wait.h"

namespace bulkhead::testing {
namespace {

using notifier::v1::Event;
using notifier::v1::ServerFrame;

bool IsTerminal(const Event& event) {
  return event.has_agent_completed() || event.has_agent_failed() || event.has_agent_cancelled();
}

// The status of an error frame. Tests look at the reason.
absl::Status StatusOf(const notifier::v1::ErrorFrame& frame) {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  for (int i = 1; i <= 16; ++i) {
    if (absl::StatusCodeToString(static_cast<absl::StatusCode>(i)) == frame.code()) {
      code = static_cast<absl::StatusCode>(i);
    }
  }
  return MakeError(code, frame.error().message(),
                   {.domain = frame.error().domain(),
                    .reason = frame.error().reason(),
                    .metadata = {frame.error().metadata().begin(), frame.error().metadata().end()}});
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventSocket>> EventSocket::Open(Harness& platform, const User& user, Format format) {
  ASSIGN_OR_RETURN(std::unique_ptr<gateway::ClientWebSocket> socket,
                   gateway::ClientWebSocket::Connect(
                       {.base_url = platform.url(),
                        .subprotocol = format == Format::kJson ? "bulkhead.v1.json" : "bulkhead.v1.proto",
                        .token = user.token().Copy()}));
  return std::make_unique<EventSocket>(std::move(socket), format);
}

absl::StatusOr<std::unique_ptr<EventSocket>> EventSocket::Follow(Harness& platform, const User& user,
                                                                 std::string_view run, uint64_t after, Format format) {
  ASSIGN_OR_RETURN(std::unique_ptr<EventSocket> socket, Open(platform, user, format));
  RETURN_IF_ERROR(socket->Subscribe(run, after));
  return socket;
}

absl::StatusOr<ServerFrame> EventSocket::Receive() {
  ASSIGN_OR_RETURN(gateway::ClientWebSocket::Message message, socket_->Receive(kWaitGuard));
  ServerFrame frame;
  if (format_ == Format::kJson) {
    RETURN_IF_ERROR(google::protobuf::json::JsonStringToMessage(message.data, &frame));
  } else if (!frame.ParseFromString(message.data)) {
    return absl::DataLossError("not a binary ServerFrame");
  }
  if (message.is_text != (format_ == Format::kJson) || frame.version() != 1) {
    return absl::DataLossError(absl::StrCat("not a frame of this subprotocol: ", message.data));
  }
  return frame;
}

absl::StatusOr<notifier::v1::Reply> EventSocket::Ask(notifier::v1::ClientFrame frame) {
  frame.set_id(absl::StrCat("ask-", ++asked_));
  std::string data = frame.SerializeAsString();
  if (format_ == Format::kJson) {
    data.clear();
    RETURN_IF_ERROR(google::protobuf::json::MessageToJsonString(frame, &data));
  }
  RETURN_IF_ERROR(socket_->Send(data, format_ == Format::kJson));
  while (true) {
    ASSIGN_OR_RETURN(ServerFrame answer, Receive());
    if (answer.has_reply() && answer.reply().id() == frame.id()) {
      return answer.reply();
    }
    if (answer.has_error() && answer.error().id() == frame.id()) {
      return StatusOf(answer.error());
    }
    kept_.push_back(std::move(answer));
  }
}

absl::Status EventSocket::Subscribe(std::string_view run, uint64_t after) {
  notifier::v1::ClientFrame frame;
  frame.mutable_subscribe()->set_stream(std::string(run));
  frame.mutable_subscribe()->set_after(after);
  return Ask(std::move(frame)).status();
}

absl::Status EventSocket::Unsubscribe(std::string_view run) {
  notifier::v1::ClientFrame frame;
  frame.mutable_unsubscribe()->set_stream(std::string(run));
  return Ask(std::move(frame)).status();
}

absl::Status EventSocket::Ping() {
  notifier::v1::ClientFrame frame;
  frame.mutable_ping();
  return Ask(std::move(frame)).status();
}

absl::StatusOr<std::string> EventSocket::StartRun(std::string_view agent, const nlohmann::json& input) {
  notifier::v1::ClientFrame frame;
  frame.mutable_start_run()->set_agent(absl::StrCat("agents/", agent));
  ASSIGN_OR_RETURN(*frame.mutable_start_run()->mutable_input(), ToStruct(input));
  ASSIGN_OR_RETURN(notifier::v1::Reply reply, Ask(std::move(frame)));
  return reply.run().name();
}

absl::Status EventSocket::CancelRun(std::string_view run, std::string_view comment) {
  notifier::v1::ClientFrame frame;
  frame.mutable_cancel_run()->set_name(std::string(run));
  frame.mutable_cancel_run()->set_comment(std::string(comment));
  return Ask(std::move(frame)).status();
}

absl::StatusOr<ServerFrame> EventSocket::Next() {
  if (!kept_.empty()) {
    ServerFrame frame = std::move(kept_.front());
    kept_.erase(kept_.begin());
    return frame;
  }
  return Receive();
}

absl::StatusOr<std::vector<Event>> EventSocket::NextEvents(int count) {
  std::vector<Event> events;
  while (static_cast<int>(events.size()) < count) {
    ASSIGN_OR_RETURN(ServerFrame frame, Next());
    if (frame.has_error()) {
      return StatusOf(frame.error());
    }
    if (frame.has_event() && frame.event().sequence() > 0) {
      events.push_back(frame.event());
    }
  }
  return events;
}

absl::StatusOr<std::vector<Event>> EventSocket::EventsToTheEnd() {
  std::vector<Event> events;
  while (events.empty() || !IsTerminal(events.back())) {
    ASSIGN_OR_RETURN(std::vector<Event> next, NextEvents(1));
    events.push_back(std::move(next.front()));
  }
  return events;
}

uint16_t EventSocket::WaitForClose() {
  while (Next().ok()) {
  }
  return socket_->close_code();
}

std::vector<std::string> TypesOf(const std::vector<Event>& events) {
  std::vector<std::string> types;
  for (const Event& event : events) {
    types.push_back(event.type());
  }
  return types;
}

std::vector<uint64_t> NumbersOf(const std::vector<Event>& events) {
  std::vector<uint64_t> numbers;
  for (const Event& event : events) {
    numbers.push_back(event.sequence());
  }
  return numbers;
}

std::vector<uint64_t> OneTo(size_t count) {
  std::vector<uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

}  // namespace bulkhead::testing
