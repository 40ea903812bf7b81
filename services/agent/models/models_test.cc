#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/models/call_gate.h"
#include "services/agent/models/chat_request.h"
#include "services/agent/models/endpoint_client.h"
#include "services/agent/models/model.h"
#include "services/agent/models/model_endpoint.h"
#include "services/agent/models/reply_reader.h"
#include "services/agent/models/sse_reader.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/wait.h"

namespace bulkhead::agent {
namespace {

using ::bulkhead::testing::Covers;
using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::bulkhead::testing::WaitFor;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Time kNoon = absl::FromUnixSeconds(1772366400);

// The data of the events of `stream`, fed in pieces of `size`.
absl::StatusOr<std::vector<std::string>> Read(std::string_view stream, size_t size, size_t limit = 1000) {
  SseReader reader(limit);
  std::vector<std::string> events;
  for (size_t at = 0; at < stream.size(); at += size) {
    absl::Status fed = reader.Feed(stream.substr(at, size), [&events](std::string_view data) {
      events.emplace_back(data);
      return absl::OkStatus();
    });
    if (!fed.ok()) {
      return fed;
    }
  }
  return events;
}

TEST(SseReaderTest, EventsAreTheSameWhereverTheStreamIsCut) {
  Covers({"AE-5"});
  const std::string stream =
      "\xEF\xBB\xBF"
      "data: one\n\n: a comment\ndata:two\r\ndata: and more\r\n\r\n\n\nid: 7\nevent: x\nretry: 1\n\n"
      "data\n\ndata:  three\r\rdatum: no\ndata: unfinished";
  for (size_t size = 1; size <= stream.size(); ++size) {
    ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, Read(stream, size));
    EXPECT_THAT(events, ElementsAre("one", "two\nand more", "", " three")) << "pieces of " << size;
  }
}

TEST(SseReaderTest, WhatIsTooLargeIsRefusedBeforeItIsKept) {
  Covers({"AE-5"});
  EXPECT_THAT(Read(absl::StrCat("data: ", std::string(90, 'x'), "\n\n"), 7, 100), IsOk());
  for (const std::string& stream : {std::string(101, 'x'), absl::StrCat("data: ", std::string(200, 'x'), "\n\n"),
                                    absl::StrCat("data: ", std::string(60, 'x'), "\ndata: ", std::string(60, 'x'))}) {
    for (size_t size : {size_t{1}, size_t{7}, stream.size()}) {
      EXPECT_EQ(Read(stream, size, 100).status().code(), absl::StatusCode::kResourceExhausted) << stream;
    }
  }
}

TEST(SseReaderTest, AnErrorOfTheReceiverEndsTheReading) {
  SseReader reader(100);
  EXPECT_EQ(reader.Feed("data: a\n\ndata: b\n\n", [](std::string_view data) { return absl::DataLossError(data); }),
            absl::DataLossError("a"));
}

// The reply of the chunks, each JSON but [DONE]; `text` gets the pieces.
absl::StatusOr<ModelReply> Assemble(const std::vector<std::string>& chunks, std::vector<std::string>* text = nullptr) {
  ReplyReader reader("small");
  for (const std::string& chunk : chunks) {
    absl::Status added = reader.Add(chunk, [text](std::string_view piece) {
      if (text != nullptr) {
        text->emplace_back(piece);
      }
    });
    if (!added.ok()) {
      return added;
    }
  }
  return std::move(reader).Finish();
}

std::string Chunk(const json& delta, const json& finish = nullptr) {
  return json{{"object", "chat.completion.chunk"},
              {"choices", {{{"index", 0}, {"delta", delta}, {"finish_reason", finish}}}}}
      .dump();
}

TEST(ReplyReaderTest, TextToolCallsAndUsageArePutTogether) {
  Covers({"AE-2"});
  std::vector<std::string> text;
  ASSERT_OK_AND_ASSIGN(
      const ModelReply reply,
      Assemble(
          {Chunk({{"role", "assistant"}, {"content", ""}}), Chunk({{"content", "Let me "}}),
           Chunk({{"content", "look"}}),
           Chunk({{"content", nullptr},
                  {"tool_calls",
                   {{{"index", 0}, {"id", "a"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", ""}}}},
                    {{"index", 1}, {"id", "b"}, {"function", {{"name", "g"}, {"arguments", "{"}}}}}}}),
           Chunk({{"tool_calls", {{{"index", 0}, {"function", {{"arguments", "{\"x\":1}"}}}}}}}),
           Chunk({{"tool_calls", {{{"index", 1}, {"function", {{"arguments", "}"}}}}}}}),
           Chunk(json::object(), "tool_calls"),
           R"({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}})", "[DONE]"},
          &text));
  EXPECT_THAT(text, ElementsAre("Let me ", "look"));
  EXPECT_EQ(reply.text, "Let me look");
  ASSERT_EQ(reply.tool_calls.size(), 2);
  EXPECT_EQ(reply.tool_calls[0].id, "a");
  EXPECT_EQ(reply.tool_calls[0].name, "f");
  EXPECT_EQ(reply.tool_calls[0].arguments, "{\"x\":1}");
  EXPECT_EQ(reply.tool_calls[1].arguments, "{}");
  EXPECT_EQ(reply.finish_reason, "tool_calls");
  EXPECT_EQ(reply.usage.input_tokens, 12);
  EXPECT_EQ(reply.usage.output_tokens, 5);
}

TEST(ReplyReaderTest, WhatTheProtocolDoesNotAllowIsRefused) {
  Covers({"AE-5"});
  const std::string call_at_2 = Chunk({{"tool_calls", {{{"index", 2}}}}});
  const std::vector<std::vector<std::string>> kBad = {
      {"hello"},
      {"[1]"},
      {"{}"},
      {"{\"choices\": 1}"},
      {"{\"choices\": [1]}"},
      {"{\"choices\": [{\"delta\": 1}]}"},
      {"{\"choices\": [{\"delta\": {}}, {\"delta\": {}}]}"},
      {"{\"choices\": [{\"delta\": {\"content\": \"\xff\"}}]}"},
      {Chunk({{"content", 7}})},
      {Chunk({{"tool_calls", 7}})},
      {Chunk({{"tool_calls", {7}}})},
      {call_at_2},
      {Chunk({{"tool_calls", {{{"index", 0}, {"id", 7}}}}})},
      {Chunk({{"tool_calls", {{{"index", 0}, {"function", 7}}}}})},
      {Chunk({{"tool_calls", {{{"index", -1}}}}})},
      {Chunk({{"tool_calls", {{{"index", 0}, {"function", {{"name", "f"}}}}}}}), Chunk({}, "stop")},
      {Chunk({{"content", "x"}}), "[DONE]"},
      {Chunk(json::object(), "tool_calls"), "[DONE]"},
      {Chunk(json::object(), 7)},
      {Chunk({{"content", "x"}}, "stop"), "[DONE]", Chunk({{"content", "y"}})},
      {Chunk({{"content", std::string(5 << 20, 'x')}})},
      {R"({"choices": [], "usage": {"prompt_tokens": -5, "completion_tokens": 5}})"},
      {R"({"choices": [], "usage": {"prompt_tokens": 1e30, "completion_tokens": 5}})"},
      {R"({"choices": [], "usage": {"prompt_tokens": 1}})"},
      {std::string(100'000, '[')},
      {absl::StrCat(R"({"choices": [], "usage": )", std::string(400'000, '['), std::string(400'000, ']'), "}")},
  };
  for (const std::vector<std::string>& chunks : kBad) {
    EXPECT_THAT(Assemble(chunks), HasReason(absl::StatusCode::kAborted, "MODEL_REPLY_INVALID"))
        << chunks.back().substr(0, 200);
  }
}

TEST(ReplyReaderTest, AReplyThatBreaksOffIsNoReply) {
  Covers({"AE-5"});
  EXPECT_THAT(Assemble({Chunk({{"content", "half"}})}), HasReason(absl::StatusCode::kUnavailable, "MODEL_UNREACHABLE"));
  EXPECT_THAT(Assemble({}), HasReason("MODEL_UNREACHABLE"));
  EXPECT_THAT(Assemble({Chunk({{"content", "bad word"}}, "content_filter")}), HasReason("MODEL_REFUSED"));
}

TEST(ReplyReaderTest, ErrorsOfTheEndpointSayWhatToDoAndNotTheKey) {
  Covers({"AE-5", "CF-6"});
  EXPECT_THAT(Assemble({R"({"error": {"message": "overloaded"}})"}), HasReason("MODEL_UNREACHABLE"));
  EXPECT_THAT(Assemble({R"({"error": {"message": "slow down", "code": 429}})"}), HasReason("MODEL_RATE_LIMITED"));
  const json body = {{"error", {{"message", absl::StrCat("no model; key sk-12345 ", std::string(1000, 'x'))}}}};
  const absl::Status refused = EndpointError("small", 404, body, "sk-12345");
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kFailedPrecondition, "MODEL_REFUSED"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("no model; key [secret]"));
  EXPECT_LT(refused.message().size(), 500);
  for (int status : {401, 403}) {
    EXPECT_THAT(
        std::string(EndpointError("small", status, {{"error", {{"message", "key sk-1*** is bad"}}}}, "").message()),
        Not(HasSubstr("sk-1")));
  }
  EXPECT_THAT(EndpointError("small", 302, nullptr, ""), HasReason("MODEL_REFUSED"));
  EXPECT_THAT(EndpointError("small", 503, nullptr, ""), HasReason("MODEL_UNREACHABLE"));
}

TEST(ChatRequestTest, HasMessagesToolsAndLimits) {
  ModelRequest request{.model = "small",
                       .messages = {{.role = ModelMessage::Role::kSystem, .text = "Be brief"},
                                    {.role = ModelMessage::Role::kAssistant,
                                     .text = "",
                                     .tool_calls = {{.id = "a", .name = "f", .arguments = "{}"}}},
                                    {.role = ModelMessage::Role::kTool, .text = "42", .tool_call_id = "a"}},
                       .tools = {{.name = "f", .description = "d", .parameters = {{"type", "object"}}}},
                       .max_tokens = 100,
                       .temperature = 0.5};
  ASSERT_OK_AND_ASSIGN(const json body, ChatRequest(request));
  EXPECT_EQ(body["messages"][0], json({{"role", "system"}, {"content", "Be brief"}}));
  EXPECT_EQ(body["messages"][1]["tool_calls"][0]["function"], json({{"name", "f"}, {"arguments", "{}"}}));
  EXPECT_EQ(body["messages"][2]["tool_call_id"], "a");
  EXPECT_EQ(body["tools"][0]["function"]["parameters"], json({{"type", "object"}}));
  EXPECT_EQ(body["max_tokens"], 100);
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_TRUE(body["stream"]);

  EXPECT_THAT(ChatRequest({.model = "small", .messages = {}}),
              HasReason(absl::StatusCode::kInvalidArgument, "MODEL_REQUEST_INVALID"));
  request.temperature = 3;
  EXPECT_THAT(ChatRequest(request), HasReason("MODEL_REQUEST_INVALID"));
  request.temperature = {};
  request.tools[0].name = "table.load";
  EXPECT_THAT(ChatRequest(request), HasReason("MODEL_REQUEST_INVALID"));
  request.tools.clear();
  request.messages[0].text = std::string(9 << 20, 'x');
  EXPECT_THAT(ChatRequest(request), HasReason("MODEL_REQUEST_INVALID"));
}

class CallGateTest : public ::testing::Test {
 protected:
  // Enters in the background, stays until the test lets go of its place.
  void Enter(const std::string& user, std::stop_token stop = {}) {
    executor_->Spawn([](CallGateTest* test, std::string user, std::stop_token stop) -> Awaitable<void> {
      absl::StatusOr<CallGate::Permit> place = co_await test->gate_->Enter(user, kNoon + absl::Minutes(1), stop);
      absl::MutexLock lock(test->mutex_);
      if (place.ok()) {
        test->entered_.push_back(user);
        test->places_.push_back(*std::move(place));
      } else {
        test->refused_.push_back(place.status().code());
      }
    }(this, user, std::move(stop)));
  }
  void EnterAndWait(const std::string& user, int waiting) {
    Enter(user);
    ASSERT_OK(WaitFor([&] { return gate_->waiting() == waiting; }, "the queue"));
  }
  std::vector<std::string> entered() {
    absl::MutexLock lock(mutex_);
    return entered_;
  }
  size_t refused() {
    absl::MutexLock lock(mutex_);
    return refused_.size();
  }
  void Leave() {
    std::vector<CallGate::Permit> gone;
    absl::MutexLock lock(mutex_);
    gone.push_back(std::move(places_.back()));
    places_.pop_back();
  }
  void TearDown() override { ASSERT_OK(executor_->Drain(absl::Seconds(10))); }

  SimulatedClock clock_{kNoon};
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
  std::shared_ptr<CallGate> gate_ = CallGate::Create(1, &clock_);
  absl::Mutex mutex_;
  std::vector<std::string> entered_;
  std::vector<absl::StatusCode> refused_;
  std::vector<CallGate::Permit> places_;
};

TEST_F(CallGateTest, UsersTakeTurns) {
  Covers({"AE-8"});
  Enter("ada");
  ASSERT_OK(WaitFor([&] { return entered().size() == 1; }, "the first one"));
  EnterAndWait("ada", 1);
  EnterAndWait("ada", 2);
  EnterAndWait("bob", 3);
  for (size_t count = 2; count <= 4; ++count) {
    Leave();
    ASSERT_OK(WaitFor([&] { return entered().size() == count; }, "the next one"));
  }
  EXPECT_THAT(entered(), ElementsAre("ada", "ada", "bob", "ada"));
}

TEST_F(CallGateTest, WhoeverGivesUpOrComesTooLateLeavesTheQueue) {
  Covers({"AE-9"});
  Enter("ada");
  ASSERT_OK(WaitFor([&] { return entered().size() == 1; }, "the first one"));
  std::stop_source stop;
  Enter("bob", stop.get_token());
  ASSERT_OK(WaitFor([&] { return gate_->waiting() == 1; }, "the queue"));
  stop.request_stop();
  ASSERT_OK(WaitFor([&] { return refused() == 1; }, "bob to be told"));
  EXPECT_EQ(gate_->waiting(), 0);
  EnterAndWait("cleo", 1);
  clock_.Advance(absl::Minutes(2));
  ASSERT_OK(executor_->Drain(absl::Seconds(10)));
  EXPECT_THAT(refused_, ElementsAre(absl::StatusCode::kCancelled, absl::StatusCode::kDeadlineExceeded));
  Leave();
  Enter("dan");
  ASSERT_OK(WaitFor([&] { return entered().size() == 2; }, "the place that is free again"));
}

ModelEndpoint EndpointOf(std::string id, std::string url) {
  ModelEndpoint endpoint;
  endpoint.id = std::move(id);
  endpoint.url = std::move(url);
  return endpoint;
}

TEST(EndpointClientTest, EndpointsThatCannotBeUsedAreRefused) {
  Covers({"CF-2"});
  SimulatedClock clock(kNoon);
  const auto create = [&clock](std::string id, std::string url, std::string other = "other") {
    std::vector<ModelEndpoint> endpoints;
    endpoints.push_back(EndpointOf(std::move(id), std::move(url)));
    endpoints.push_back(EndpointOf(std::move(other), "https://b.example/v1"));
    return CreateEndpointClient(std::move(endpoints), &clock).status();
  };
  EXPECT_OK(create("small", "https://a.example/v1/"));
  EXPECT_OK(create("small", "http://127.0.0.1:1/v1"));
  EXPECT_THAT(create("small", "http://a.example/v1"), HasReason("MODEL_ENDPOINT_INVALID"));
  EXPECT_THAT(create("small", "a.example"), HasReason("MODEL_ENDPOINT_INVALID"));
  EXPECT_THAT(create("small", "https://a.example/v1?key=1"), HasReason("MODEL_ENDPOINT_INVALID"));
  EXPECT_THAT(create("Small", "https://a.example/v1"), HasReason("MODEL_ENDPOINT_INVALID"));
  EXPECT_THAT(create("small", "https://a.example/v1", "small"), HasReason("MODEL_ENDPOINT_INVALID"));
}

}  // namespace
}  // namespace bulkhead::agent
