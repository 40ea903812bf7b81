#include "services/agent/models/endpoint_client.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "services/agent/models/call_gate.h"
#include "services/agent/models/chat_request.h"
#include "services/agent/models/model_errors.h"
#include "services/agent/models/reply_reader.h"
#include "services/agent/models/sse_reader.h"
#include "services/common/http/http_client.h"
#include "services/common/http/url.h"
#include "services/common/json/untrusted_json.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

// Of a stream, with all that goes around the text in each event.
constexpr size_t kMaxStreamBytes = 64 << 20;
constexpr size_t kMaxEventBytes = 1 << 20;

absl::Status EndpointInvalid(std::string_view id, std::string_view problem) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("the model '", id, "' ", problem),
      {.domain = "bulkhead.agent", .reason = "MODEL_ENDPOINT_INVALID", .metadata = {{"model", std::string(id)}}});
}

bool IsModelId(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::ranges::all_of(id, [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
  });
}

// Seconds, or a date. RFC 9110 section 10.2.3. Nullopt for anything else.
std::optional<absl::Duration> RetryAfter(std::string_view header, absl::Time now) {
  uint32_t seconds = 0;
  if (absl::SimpleAtoi(header, &seconds)) {
    return absl::Seconds(seconds);
  }
  absl::Time when;
  if (absl::ParseTime("%a, %d %b %E4Y %H:%M:%S GMT", header, &when, nullptr)) {
    return std::max(when - now, absl::ZeroDuration());
  }
  return std::nullopt;
}

struct Endpoint {
  ModelEndpoint about;
  std::string url;  // Of the completions.
  std::unique_ptr<http::HttpClient> http;
  std::shared_ptr<CallGate> gate;
};

class EndpointClient final : public ModelClient {
 public:
  EndpointClient(std::map<std::string, Endpoint, std::less<>> endpoints, Clock* clock)
      : endpoints_(std::move(endpoints)), clock_(clock) {}

  absl::Status Check(std::string_view model) const override {
    if (endpoints_.contains(model)) {
      return absl::OkStatus();
    }
    std::vector<std::string_view> known;
    for (const auto& [id, endpoint] : endpoints_) {
      known.push_back(id);
    }
    return ModelUnknown(model, known);
  }

  Awaitable<ModelOutcome> Call(ModelCall call) override {
    ModelUsage usage;
    absl::StatusOr<ModelReply> reply = co_await Ask(std::move(call), usage);
    co_return ModelOutcome{.reply = std::move(reply), .usage = usage};
  }

 private:
  Awaitable<absl::StatusOr<ModelReply>> Ask(ModelCall call, ModelUsage& usage) {
    const std::string model = call.request.model;
    CO_RETURN_IF_ERROR(Check(model));
    const Endpoint& endpoint = endpoints_.find(model)->second;
    CO_ASSIGN_OR_RETURN(nlohmann::json body, ChatRequest(call.request));
    body["model"] = endpoint.about.model.empty() ? endpoint.about.id : endpoint.about.model;
    http::Request request{.method = "POST",
                          .url = endpoint.url,
                          .headers = {{"Content-Type", "application/json"}, {"Accept", "text/event-stream"}},
                          .body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
    if (!endpoint.about.api_key.empty()) {
      request.headers["Authorization"] = absl::StrCat("Bearer ", endpoint.about.api_key.Reveal());
    }
    const size_t asked_bytes = request.body.size();

    const absl::Time deadline = clock_->Now() + std::min(call.timeout, endpoint.about.timeout);
    absl::StatusOr<CallGate::Permit> place = co_await endpoint.gate->Enter(call.user, deadline, call.stop);
    if (!place.ok()) {
      co_return place.status().code() == absl::StatusCode::kCancelled
          ? place.status()
          : ModelTimedOut(model, absl::StrCat("is busy: the call waited in vain for one of ",
                                              endpoint.about.max_concurrent_calls, " places"));
    }
    SseReader events(kMaxEventBytes);
    ReplyReader reader(model);
    http::BodySink sink = [&events, &reader, &model, &call](std::string_view piece) {
      absl::Status fed = events.Feed(piece, [&reader, &call](std::string_view data) {
        return reader.Add(data, [&call](std::string_view text) { call.on_text(text); });
      });
      return fed.ok() || !ReasonOf(fed).empty() ? fed : ModelReplyInvalid(model, fed.message());
    };
    absl::StatusOr<http::Response> response =
        co_await endpoint.http->Stream(std::move(request), std::move(sink), deadline - clock_->Now(), call.stop);
    // What was answered in part is paid for too.
    const bool answered =
        reader.bytes() > 0 || reader.usage().has_value() || (response.ok() && response->status / 100 == 2);
    if (answered) {
      usage = reader.usage().value_or(
          ModelUsage{.input_tokens = EstimateTokens(asked_bytes), .output_tokens = EstimateTokens(reader.bytes())});
    }
    if (!response.ok()) {
      co_return FromHttp(model, response.status());
    }
    if (response->status / 100 != 2) {
      co_return Refusal(endpoint, *response);
    }
    CO_ASSIGN_OR_RETURN(ModelReply reply, std::move(reader).Finish());
    reply.usage = usage;
    co_return reply;
  }

  static absl::Status FromHttp(const std::string& model, const absl::Status& error) {
    const std::string reason = ReasonOf(error);
    if (reason == "HTTP_CANCELLED" || ErrorInfoOf(error).value_or(ErrorInfo()).domain == "bulkhead.agent") {
      return error;
    }
    if (reason == "HTTP_TIMED_OUT") {
      return ModelTimedOut(model, "did not finish its reply in time");
    }
    if (reason == "HTTP_RESPONSE_TOO_LARGE") {
      return ModelReplyInvalid(model, absl::StrCat("it has more than ", kMaxStreamBytes, " bytes"));
    }
    return ModelUnreachable(model, absl::StrCat("cannot be spoken to: ", error.message()));
  }

  absl::Status Refusal(const Endpoint& endpoint, const http::Response& response) const {
    const std::optional<absl::Duration> wait = RetryAfter(response.header("retry-after"), clock_->Now());
    const std::string& model = endpoint.about.id;
    if (response.status == 429) {
      return ModelRateLimited(model, wait);
    }
    if (response.status >= 500 || response.status == 408) {
      return ModelUnreachable(model, absl::StrCat("failed with HTTP status ", response.status), wait);
    }
    return EndpointError(model, response.status, ParseUntrustedJson(response.body), endpoint.about.api_key.Reveal());
  }

  const std::map<std::string, Endpoint, std::less<>> endpoints_;
  Clock* const clock_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelClient>> CreateEndpointClient(std::vector<ModelEndpoint> endpoints, Clock* clock) {
  std::map<std::string, Endpoint, std::less<>> by_id;
  for (ModelEndpoint& about : endpoints) {
    const std::string id = about.id;
    if (!IsModelId(id)) {
      return EndpointInvalid(id, "has an id that is not 1 to 64 of [a-z0-9._-]");
    }
    const absl::StatusOr<http::Url> url = http::ParseUrl(about.url);
    if (!url.ok() || absl::StrContains(url->target, '?')) {
      return EndpointInvalid(id, "has no good url: one as https://api.example.com/v1, without a query, is expected");
    }
    if (!url->https && !http::IsLoopback(url->host) && !about.allow_insecure_http) {
      return EndpointInvalid(id, "has an http url of another machine: https is required");
    }
    if (about.max_concurrent_calls < 1 || about.timeout <= absl::ZeroDuration()) {
      return EndpointInvalid(id, "has a limit that is not positive");
    }
    Endpoint endpoint{.about = std::move(about), .url = "", .http = nullptr, .gate = nullptr};
    endpoint.url = absl::StrCat(absl::StripSuffix(endpoint.about.url, "/"), "/chat/completions");
    ASSIGN_OR_RETURN(endpoint.http, http::HttpClient::Create({.ca_file = endpoint.about.ca_file,
                                                              .allow_http = !url->https,
                                                              .max_body_bytes = kMaxStreamBytes}));
    endpoint.gate = CallGate::Create(endpoint.about.max_concurrent_calls, clock);
    if (!by_id.emplace(id, std::move(endpoint)).second) {
      return EndpointInvalid(id, "is named twice");
    }
  }
  return std::make_unique<EndpointClient>(std::move(by_id), clock);
}

}  // namespace bulkhead::agent
