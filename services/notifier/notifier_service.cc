#include "services/notifier/notifier_service.h"

#include <algorithm>
#include <optional>
#include <stop_token>
#include <utility>
#include <variant>

#include "absl/log/absl_log.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/notifier/v1/event_service.pb.h"
#include "services/common/rpc/call_context.h"
#include "services/common/rpc/server.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/notifier/event_conversion.h"
#include "services/notifier/event_log.h"
#include "services/notifier/hub.h"

namespace bulkhead::notifier {
namespace {

constexpr char kDomain[] = "bulkhead.notifier";
constexpr int kMaxPublishedEvents = 1000;
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// Below gRPC's limit of 4 MiB a message by more than the largest event.
constexpr size_t kMaxPageBytes = 3 << 20;

absl::Status Invalid(std::string_view field, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, message,
                   {.domain = kDomain, .reason = "EVENT_INVALID", .metadata = {{"field", std::string(field)}}});
}

absl::StatusOr<v1::SubscribeResponse> ToResponse(const Delivery& delivery) {
  v1::SubscribeResponse response;
  if (const EventPtr* event = std::get_if<EventPtr>(&delivery)) {
    RETURN_IF_ERROR(ToProto(**event, response.mutable_event()));
  } else if (const LogGap* gap = std::get_if<LogGap>(&delivery)) {
    response.mutable_gap()->set_first_available(gap->first_available);
  } else {
    response.mutable_caught_up()->set_sequence(std::get<ReplayEnd>(delivery).sequence);
  }
  return response;
}

class EventServiceImpl final : public rpc::Service {
 public:
  EventServiceImpl(const rpc::ServerDependencies& calls, EventLog* log, Hub* hub, std::stop_token stop)
      : Service("bulkhead.notifier.v1.EventService", calls), log_(log), hub_(hub), stop_(std::move(stop)) {
    Unary("PublishEvents", &EventServiceImpl::PublishEvents);
    Unary("ListEvents", &EventServiceImpl::ListEvents);
    Stream("Subscribe", &EventServiceImpl::Subscribe);
  }

 private:
  Awaitable<absl::StatusOr<v1::PublishEventsResponse>> PublishEvents(const rpc::CallContext&,
                                                                     const v1::PublishEventsRequest& request) {
    if (request.events_size() > kMaxPublishedEvents) {
      co_return Invalid("events", absl::StrCat("at most ", kMaxPublishedEvents, " events at once"));
    }
    std::vector<EventPtr> durable;
    std::vector<EventPtr> transient;
    for (const v1::Event& event : request.events()) {
      CO_ASSIGN_OR_RETURN(EventRecord record, ParseEvent(event));
      std::vector<EventPtr>& list = record.transient() ? transient : durable;
      list.push_back(std::make_shared<const EventRecord>(std::move(record)));
    }
    // What is transient tells of work under way, so it goes first: durable events may tell of its end.
    hub_->Publish(transient);
    v1::PublishEventsResponse response;
    if (!durable.empty()) {
      CO_ASSIGN_OR_RETURN(std::vector<EventPtr> appended, co_await log_->AppendAcrossUsers(std::move(durable)));
      hub_->Publish(appended);
      response.set_appended(static_cast<int32_t>(appended.size()));
    }
    co_return response;
  }

  Awaitable<absl::StatusOr<v1::ListEventsResponse>> ListEvents(const rpc::CallContext& call,
                                                               const v1::ListEventsRequest& request) {
    if (request.page_size() < 0) {
      co_return Invalid("page_size", "page_size must not be negative");
    }
    const int size = request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
    CO_ASSIGN_OR_RETURN(LogPage page, log_->For(call.user->user())
                                          .Read(request.stream(), request.after(),
                                                {.events = static_cast<size_t>(size), .bytes = kMaxPageBytes}));
    v1::ListEventsResponse response;
    for (const EventPtr& event : page.events) {
      CO_RETURN_IF_ERROR(ToProto(*event, response.add_events()));
    }
    response.set_more(page.more);
    if (page.first > 1) {
      response.set_first_available(page.first);
    }
    co_return response;
  }

  Awaitable<absl::Status> Subscribe(const rpc::CallContext& call, const v1::SubscribeRequest& request,
                                    rpc::StreamWriter<v1::SubscribeResponse>& writer) {
    CO_ASSIGN_OR_RETURN(std::shared_ptr<Subscription> subscription,
                        hub_->Subscribe(call.user->user(), request.stream(),
                                        {.after = request.after(), .durable_only = request.durable_only()}));
    std::stop_callback on_stop(call.stop, [subscription] { subscription->Close(); });
    while (true) {
      CO_ASSIGN_OR_RETURN(std::optional<Delivery> delivery, co_await subscription->Next());
      if (!delivery.has_value()) {
        break;
      }
      CO_ASSIGN_OR_RETURN(v1::SubscribeResponse message, ToResponse(*delivery));
      if (!co_await writer.Write(std::move(message))) {
        break;
      }
    }
    if (stop_.stop_requested()) {
      co_return MakeError(absl::StatusCode::kUnavailable, "the notifier shuts down; subscribe again, with the cursor",
                          {.domain = kDomain, .reason = "NOTIFIER_SHUTTING_DOWN"});
    }
    if (call.stop.stop_requested()) {
      // The client has gone, or its token has been revoked, which it is told then.
      co_return rpc::Stopped("bulkhead.notifier.v1.EventService/Subscribe");
    }
    co_return absl::OkStatus();  // The run has ended.
  }

  EventLog* const log_;
  Hub* const hub_;
  const std::stop_token stop_;
};

// Removes what is older than `retention`, a few times within it.
Awaitable<void> TrimForever(EventLog* log, Clock* clock, absl::Duration retention, std::stop_token stop) {
  const absl::Duration interval = std::clamp(retention / 4, absl::Seconds(1), absl::Hours(1));
  while ((co_await SleepUntil(clock, clock->Now() + interval, stop)).ok()) {
    absl::StatusOr<int64_t> removed = co_await log->TrimAcrossUsers(clock->Now() - retention);
    if (!removed.ok()) {
      ABSL_LOG(ERROR) << "Trimming the event log failed, and will be tried again: " << removed.status();
    } else if (*removed > 0) {
      ABSL_LOG(INFO) << "Trimmed " << *removed << " events older than " << retention;
    }
  }
}

}  // namespace

struct NotifierServer::State {
  State(Options o, Dependencies d, std::unique_ptr<EventLog> l)
      : options(std::move(o)),
        dependencies(d),
        log(std::move(l)),
        hub({.queue_bytes = options.subscriber_queue_bytes}, log.get()),
        service(d.rpc, log.get(), &hub, stop.get_token()) {}

  const Options options;
  const Dependencies dependencies;
  const std::unique_ptr<EventLog> log;
  std::stop_source stop;
  Hub hub;
  EventServiceImpl service;
};

NotifierServer::NotifierServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

NotifierServer::~NotifierServer() { Shutdown(); }

absl::StatusOr<std::unique_ptr<NotifierServer>> NotifierServer::Create(Options options, Dependencies dependencies) {
  if (options.retention < absl::ZeroDuration() || options.subscriber_queue_bytes == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     "the retention must not be negative, and the queue of a subscriber not empty",
                     {.domain = kDomain, .reason = "NOTIFIER_OPTIONS_INVALID"});
  }
  EventLog::Options log_options;
  if (!options.data_dir.empty()) {
    log_options.path = absl::StrCat(options.data_dir, "/notifier.db");
  }
  ASSIGN_OR_RETURN(std::unique_ptr<EventLog> log, EventLog::Create(std::move(log_options), dependencies.clock));
  return std::unique_ptr<NotifierServer>(
      new NotifierServer(std::make_shared<State>(std::move(options), dependencies, std::move(log))));
}

std::vector<grpc::Service*> NotifierServer::services() { return {&state_->service}; }

absl::Status NotifierServer::Start() {
  if (state_->options.retention > absl::ZeroDuration()) {
    // Holds the state: it may still trim when the server dies.
    state_->dependencies.executor->Spawn([](std::shared_ptr<State> state) -> Awaitable<void> {
      co_await TrimForever(state->log.get(), state->dependencies.clock, state->options.retention,
                           state->stop.get_token());
    }(state_));
  }
  return absl::OkStatus();
}

void NotifierServer::Shutdown() {
  state_->stop.request_stop();
  state_->hub.Close();
}

}  // namespace bulkhead::notifier
