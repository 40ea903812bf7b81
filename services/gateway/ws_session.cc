#include "services/gateway/ws_session.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "boost/asio/post.hpp"
#include "boost/asio/this_coro.hpp"
#include "bulkhead/notifier/v1/frame.pb.h"
#include "services/common/runtime/channel.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/gateway/http_message.h"
#include "services/gateway/task_group.h"

namespace bulkhead::gateway {
namespace {

namespace asio = ::boost::asio;
using notifier::v1::ClientFrame;
using notifier::v1::ServerFrame;

constexpr size_t kMaxIdBytes = 64;
constexpr absl::Duration kCommandTimeout = absl::Seconds(30);
// How long the last frames and the goodbye may take; then the connection is cut.
constexpr absl::Duration kGoodbyeLimit = absl::Seconds(3);
// What is told to a client that is sent away.
constexpr uint32_t kRetryAfterSeconds = 2;

ServerFrame ReplyTo(std::string id) {
  ServerFrame frame;
  frame.mutable_reply()->set_id(std::move(id));
  return frame;
}

ServerFrame ErrorTo(std::string_view id, const absl::Status& error) {
  ServerFrame frame;
  *frame.mutable_error() = ToErrorFrame(id, error);
  return frame;
}

ServerFrame ToFrame(const std::string& stream, notifier::v1::SubscribeResponse message) {
  ServerFrame frame;
  if (message.has_event()) {
    *frame.mutable_event() = std::move(*message.mutable_event());
  } else if (message.has_gap()) {
    frame.mutable_gap()->set_stream(stream);
    frame.mutable_gap()->set_first_available(message.gap().first_available());
  } else {
    frame.mutable_caught_up()->set_stream(stream);
    frame.mutable_caught_up()->set_sequence(message.caught_up().sequence());
  }
  return frame;
}

// Everything runs on the strand of the connection, whose Run awaits all that is spawned: `this` outlives it.
class WsSession final : public WebSocketHandler {
 public:
  WsSession(WsDependencies dependencies, WsLimits limits, FrameFormat format, rpc::CallContext call,
            std::unique_ptr<SocketRegistry::Entry> entry)
      : dependencies_(dependencies),
        limits_(limits),
        format_(format),
        call_(std::move(call)),
        entry_(std::move(entry)),
        outgoing_(static_cast<size_t>(limits.queued_frames)) {
    call_.stop = stop_.get_token();
  }

  std::string_view subprotocol() const override { return ProtocolName(format_); }

  Awaitable<void> Run(WebSocket& socket, std::stop_token going_away) override {
    socket_ = &socket;
    strand_ = co_await asio::this_coro::executor;
    TaskGroup tasks(strand_);
    tasks_ = &tasks;
    rpc::RevocationSet::Watch watch;
    if (dependencies_.revocations != nullptr) {
      watch = dependencies_.revocations->WatchToken(*call_.user, Posted([](WsSession& self) {
        self.Finish(CloseCode::kUnauthenticated, "the session has ended");
      }));
    }
    std::stop_callback on_going_away(going_away, Posted([](WsSession& self) { self.GoAway(); }));
    tasks.Spawn(WriteFrames());
    tasks.Spawn(WatchTime());
    co_await ReadFrames();
    Finish(CloseCode::kNormal, "");
    co_await tasks.Join();
    *alive_ = nullptr;
  }

 private:
  // One stream that is followed.
  struct Subscription {
    std::stop_source stop;
    std::string unsubscribe_id;  // The frame that asked to end it.
  };

  // A function for other threads: what it does is done on the strand, unless the session is over by then.
  std::function<void()> Posted(void (*act)(WsSession&)) {
    return [act, alive = alive_, strand = strand_] {
      asio::post(strand, [act, alive] {
        if (*alive != nullptr) {
          act(**alive);
        }
      });
    };
  }

  // Begins the end: nothing new is sent, what is queued is, then the socket is closed. The first reason counts.
  void Finish(CloseCode code, std::string reason) {
    if (!closing_.has_value()) {
      closing_.emplace(code, std::move(reason));
      tasks_->Spawn(LimitGoodbye());
    }
    if (!writing_since_.has_value()) {
      entry_.reset();  // What is closing takes nobody's place, but for a client that does not read.
    }
    stop_.request_stop();
    for (auto& [stream, subscription] : subscriptions_) {
      subscription->stop.request_stop();
    }
    outgoing_.Close();
  }

  void GoAway() {
    ServerFrame frame;
    frame.mutable_going_away()->set_retry_after_seconds(kRetryAfterSeconds);
    outgoing_.TrySend(EncodeFrame(format_, std::move(frame)));
    Finish(CloseCode::kGoingAway, "the server ends");
  }

  void Refuse(const absl::Status& error) {
    outgoing_.TrySend(EncodeFrame(format_, ErrorTo("", error)));
    Finish(CloseCode::kProtocolError, std::string(error.message().substr(0, 120)));
  }

  // Waits for room. False when the socket is closing.
  Awaitable<bool> Send(ServerFrame frame) { co_return co_await outgoing_.Send(EncodeFrame(format_, std::move(frame))); }

  Awaitable<void> WriteFrames() {
    bool open = true;
    while (std::optional<std::string> frame = co_await outgoing_.Receive()) {
      // A client that was too slow gets the rest from the log when it comes back.
      if (open && !(closing_.has_value() && closing_->first == CloseCode::kTooSlow)) {
        writing_since_ = dependencies_.clock->Now();
        open = (co_await socket_->Write({.is_text = format_ == FrameFormat::kJson, .data = *std::move(frame)})).ok();
        writing_since_.reset();
      }
      if (!open) {
        Finish(CloseCode::kNormal, "");
      }
    }
    co_await socket_->Close(closing_->first, closing_->second);
    socket_->Abort();  // Ends the reading too, whatever the client does.
    said_goodbye_.request_stop();
  }

  // A client that does not read holds up the frame that is being written, and all that would follow.
  Awaitable<void> LimitGoodbye() {
    Clock* clock = dependencies_.clock;
    if ((co_await SleepUntil(clock, clock->Now() + kGoodbyeLimit, said_goodbye_.get_token())).ok()) {
      socket_->Abort();
    }
  }

  // Heartbeat, idle time-out, slow reader, expired token.
  Awaitable<void> WatchTime() {
    Clock* clock = dependencies_.clock;
    const absl::Time expires = call_.user->claims().expires_at;
    uint64_t heard = socket_->heard();
    absl::Time heard_at = clock->Now();
    bool pinged = false;
    while ((co_await SleepUntil(clock, std::min(clock->Now() + limits_.heartbeat, expires), stop_.get_token())).ok()) {
      const absl::Time now = clock->Now();
      if (now >= expires) {
        Finish(CloseCode::kUnauthenticated, "the access token has expired");
      } else if (writing_since_.has_value() && now - *writing_since_ >= limits_.idle_timeout) {
        Finish(CloseCode::kTooSlow, "the client does not read");
      } else if (socket_->heard() != heard) {
        heard = socket_->heard();
        heard_at = now;
        pinged = false;
      } else if (pinged && now - heard_at >= limits_.idle_timeout) {
        Finish(CloseCode::kIdle, "no answer to a ping");
      } else if (!pinging_) {
        pinged = true;
        tasks_->Spawn(Ping());
      }
    }
  }

  Awaitable<void> Ping() {
    pinging_ = true;  // It waits for a message that is being written.
    co_await socket_->Ping();
    pinging_ = false;
  }

  Awaitable<void> ReadFrames() {
    while (!closing_.has_value()) {
      absl::StatusOr<WebSocket::Message> message = co_await socket_->Read();
      if (!message.ok()) {
        break;
      }
      ClientFrame frame;
      if (absl::Status decoded = DecodeFrame(format_, message->is_text, message->data, &frame); !decoded.ok()) {
        Refuse(decoded);
        break;
      }
      co_await Act(std::move(frame));
    }
    // The goodbye needs somebody who reads.
    while (closing_.has_value() && (co_await socket_->Read()).ok()) {
    }
  }

  Awaitable<void> Act(ClientFrame frame) {
    if (frame.id().empty() || frame.id().size() > kMaxIdBytes) {
      co_await Send(ErrorTo(
          frame.id().substr(0, kMaxIdBytes),
          GatewayError(absl::StatusCode::kInvalidArgument, "FRAME_INVALID", "a frame needs an id of 1 to 64 bytes")));
      co_return;
    }
    switch (frame.command_case()) {
      case ClientFrame::kPing:
        co_await Send(ReplyTo(frame.id()));
        co_return;
      case ClientFrame::kSubscribe:
        co_await Subscribe(std::move(frame));
        co_return;
      case ClientFrame::kUnsubscribe:
        co_await Unsubscribe(std::move(frame));
        co_return;
      case ClientFrame::kStartRun:
      case ClientFrame::kCancelRun:
      case ClientFrame::kResolveApproval:
        if (commands_ >= limits_.commands) {
          co_await Send(ErrorTo(frame.id(), GatewayError(absl::StatusCode::kResourceExhausted, "TOO_MANY_COMMANDS",
                                                         absl::StrCat("at most ", limits_.commands,
                                                                      " commands of a connection run at once"))));
          co_return;
        }
        ++commands_;
        tasks_->Spawn(Command(std::move(frame)));
        co_return;
      case ClientFrame::COMMAND_NOT_SET:
        co_await Send(ErrorTo(frame.id(), GatewayError(absl::StatusCode::kInvalidArgument, "FRAME_INVALID",
                                                       "the frame has no command that this version knows")));
        co_return;
    }
  }

  rpc::CallContext NewCall() const {
    rpc::CallContext call = call_;
    call.request_id = dependencies_.ids->NewId("request");
    return call;
  }

  Awaitable<void> Command(ClientFrame frame) {
    ServerFrame answer = ReplyTo(frame.id());
    notifier::v1::Reply& reply = *answer.mutable_reply();
    absl::Status status;
    if (frame.has_start_run()) {
      status = co_await dependencies_.backend->Call(NewCall(), "bulkhead.agent.v1.RunService/CreateRun",
                                                    kCommandTimeout, frame.start_run(), reply.mutable_run());
    } else if (frame.has_cancel_run()) {
      status = co_await dependencies_.backend->Call(NewCall(), "bulkhead.agent.v1.RunService/CancelRun",
                                                    kCommandTimeout, frame.cancel_run(), reply.mutable_run());
    } else {
      status =
          co_await dependencies_.backend->Call(NewCall(), "bulkhead.agent.v1.RunService/ResolveApproval",
                                               kCommandTimeout, frame.resolve_approval(), reply.mutable_approval());
    }
    --commands_;
    co_await Send(status.ok() ? std::move(answer) : ErrorTo(frame.id(), status));
  }

  Awaitable<void> Subscribe(ClientFrame frame) {
    const std::string& stream = frame.subscribe().stream();
    absl::Status refused;
    if (subscriptions_.contains(stream)) {
      refused = GatewayError(absl::StatusCode::kAlreadyExists, "ALREADY_SUBSCRIBED",
                             absl::StrCat("this connection follows ", stream, " already"), {{"stream", stream}});
    } else if (subscriptions_.size() >= static_cast<size_t>(limits_.subscriptions)) {
      refused = GatewayError(absl::StatusCode::kResourceExhausted, "TOO_MANY_SUBSCRIPTIONS",
                             absl::StrCat("a connection follows at most ", limits_.subscriptions, " streams"));
    }
    if (!refused.ok()) {
      co_await Send(ErrorTo(frame.id(), refused));
      co_return;
    }
    auto subscription = std::make_shared<Subscription>();
    subscriptions_[stream] = subscription;
    tasks_->Spawn(Follow(std::move(frame), std::move(subscription)));
  }

  Awaitable<void> Unsubscribe(ClientFrame frame) {
    auto found = subscriptions_.find(frame.unsubscribe().stream());
    if (found == subscriptions_.end() || !found->second->unsubscribe_id.empty()) {
      co_await Send(ErrorTo(frame.id(),
                            GatewayError(absl::StatusCode::kNotFound, "NOT_SUBSCRIBED",
                                         absl::StrCat("this connection does not follow ", frame.unsubscribe().stream()),
                                         {{"stream", frame.unsubscribe().stream()}})));
      co_return;
    }
    // The reply is sent when nothing more can come.
    found->second->unsubscribe_id = frame.id();
    found->second->stop.request_stop();
  }

  Awaitable<void> Follow(ClientFrame frame, std::shared_ptr<Subscription> subscription) {
    const std::string stream = frame.subscribe().stream();
    rpc::CallContext call = NewCall();
    call.stop = subscription->stop.get_token();
    bool begun = false;
    absl::Status status = co_await dependencies_.backend->Subscribe(
        std::move(call), frame.subscribe(), [&](notifier::v1::SubscribeResponse message) -> Awaitable<absl::Status> {
          bool open = subscription->unsubscribe_id.empty();
          if (open && !begun) {
            begun = true;
            open = co_await Send(ReplyTo(frame.id()));
          }
          if (open) {
            open = co_await Send(ToFrame(stream, std::move(message)));
          }
          co_return open ? absl::OkStatus() : absl::CancelledError();
        });
    subscriptions_.erase(stream);
    if (!subscription->unsubscribe_id.empty()) {
      if (!begun) {
        co_await Send(ReplyTo(frame.id()));
      }
      co_await Send(ReplyTo(subscription->unsubscribe_id));
    } else if (!status.ok()) {
      ServerFrame error = ErrorTo(begun ? "" : frame.id(), status);
      (*error.mutable_error()->mutable_error()->mutable_metadata())["stream"] = stream;
      co_await Send(std::move(error));
    } else if (!begun) {
      co_await Send(ReplyTo(frame.id()));
    }
  }

  const WsDependencies dependencies_;
  const WsLimits limits_;
  const FrameFormat format_;
  rpc::CallContext call_;
  std::unique_ptr<SocketRegistry::Entry> entry_;

  asio::any_io_executor strand_;
  WebSocket* socket_ = nullptr;
  Channel<std::string> outgoing_;
  std::stop_source stop_;
  std::optional<std::pair<CloseCode, std::string>> closing_;
  std::stop_source said_goodbye_;
  std::map<std::string, std::shared_ptr<Subscription>> subscriptions_;
  int commands_ = 0;
  TaskGroup* tasks_ = nullptr;
  std::optional<absl::Time> writing_since_;
  bool pinging_ = false;
  // For functions that other threads hold; emptied when Run returns.
  std::shared_ptr<WsSession*> alive_ = std::make_shared<WsSession*>(this);
};

}  // namespace

std::unique_ptr<WebSocketHandler> NewWsSession(WsDependencies dependencies, WsLimits limits, FrameFormat format,
                                               rpc::CallContext call, std::unique_ptr<SocketRegistry::Entry> entry) {
  return std::make_unique<WsSession>(dependencies, limits, format, std::move(call), std::move(entry));
}

}  // namespace bulkhead::gateway
