// Agents that ask models: what is asked, counted, tried again, cut off and kept secret.
#include "services/agent/models/model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/agent_service.grpc.pb.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/agent/v1/thread_service.grpc.pb.h"
#include "bulkhead/common/v1/config.pb.h"
#include "bulkhead/notifier/v1/event.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/agent/agent.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/client/gateway_client.h"
#include "services/tool/tool.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"
#include "testing/harness/calls.h"
#include "testing/harness/definitions.h"
#include "testing/harness/harness.h"
#include "testing/harness/inference_server.h"
#include "testing/harness/test_agents.h"
#include "testing/harness/test_tools.h"
#include "testing/integration/agent_execution/whole_story.h"

namespace bulkhead::testing {
namespace {

using agent::Answer;
using agent::ModelReply;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
namespace v1 = agent::v1;

// What the server is told to answer, turn by turn.
std::string Turns(const json& turns) { return turns.dump(); }

// Asks the model of its input once, calls the tool of its input if there is one, and answers with the reply's text.
agent::AgentFactory AskingAgent() {
  agent::AgentFactory factory =
      ScriptedAgent("ask", [](agent::RunContext& run, const json& input) -> Awaitable<absl::StatusOr<Answer>> {
        agent::ModelRequest request{.model = input.value("model", "small"),
                                    .messages = {{.text = input.at("prompt").get<std::string>()}}};
        CO_ASSIGN_OR_RETURN(ModelReply reply, co_await run.CallModel(std::move(request)));
        if (input.contains("tool")) {
          CO_RETURN_IF_ERROR((co_await run.CallTool(input.at("tool"), json::object())).status());
        }
        if (input.contains("again")) {
          agent::ModelRequest more{.model = "small", .messages = {{.text = input.at("again").get<std::string>()}}};
          CO_ASSIGN_OR_RETURN(reply, co_await run.CallModel(std::move(more)));
        }
        co_return Answer{.summary = reply.text, .artifacts = {}, .data = {{"finish_reason", reply.finish_reason}}};
      });
  factory.spec.calls_models = true;
  return factory;
}

class ModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, InferenceServer::Start());
    std::ofstream(keys_.File("key")) << kModelKey << "\n";
    std::ofstream(keys_.File("wrong")) << "sk-the-wrong-one\n";
  }

  // The platform with the model "small"; `change` may add to its configuration.
  void Start(std::function<void(common::v1::AgentConfig&)> change = nullptr,
             std::vector<std::shared_ptr<tool::Tool>> tools = {}) {
    HarnessBuilder builder = Harness::Builder();
    builder.WithUsers({"ada", "bob"})
        .WithAgent(AskingAgent())
        .Configure([this, change](common::v1::PlatformConfig& config) {
          AddModel(*config.mutable_agent(), "small");
          if (change != nullptr) {
            change(*config.mutable_agent());
          }
        });
    for (std::shared_ptr<tool::Tool>& tool : tools) {
      builder.WithTool(std::move(tool));
    }
    ASSERT_OK_AND_ASSIGN(platform_, builder.Build());
  }

  common::v1::ModelEndpoint& AddModel(common::v1::AgentConfig& config, std::string id) {
    common::v1::ModelEndpoint& model = *config.add_models();
    model.set_id(std::move(id));
    model.set_url(server_->url());
    model.set_model("gpt-small");
    model.set_api_key(absl::StrCat("file:", keys_.File("key")));
    return model;
  }

  User& ada() { return platform_->As("ada"); }

  // A run of `ask` that has ended.
  absl::StatusOr<v1::Run> Ask(User& user, const json& input) {
    ASSIGN_OR_RETURN(const std::string run, user.StartRun("ask", input));
    return user.WaitForRun(run);
  }
  absl::StatusOr<v1::Run> Ask(const json& input) { return Ask(ada(), input); }

  // The same, while the domain's time goes on: attempts that wait are made.
  absl::StatusOr<v1::Run> AskPatiently(const json& input) {
    ASSIGN_OR_RETURN(const std::string run, ada().StartRun("ask", input));
    RETURN_IF_ERROR(WaitFor(
        [&] {
          platform_->Advance(absl::Milliseconds(100));
          const absl::StatusOr<v1::Run> now = ada().GetRun(run);
          return !now.ok() || now->has_end_time();
        },
        "the end of the run"));
    return ada().WaitForRun(run);
  }

  void AwaitRequests(size_t count) {
    ASSERT_OK(WaitFor([&] { return server_->Requests().size() >= count; }, absl::StrCat(count, " requests")));
  }

  // The model agent of ada with these tools.
  absl::Status Define(std::vector<std::string> tools, int max_turns = 0, int64_t max_tokens = 0) {
    v1::CreateAgentRequest request;
    v1::Agent& agent = *request.mutable_agent();
    agent.set_name("agents/helper");
    agent.set_description("Helps");
    agent.mutable_model()->set_instructions("You are of help.");
    agent.mutable_model()->set_model("small");
    agent.mutable_model()->set_max_turns(max_turns);
    agent.mutable_model()->set_max_tokens(max_tokens);
    for (const std::string& tool : tools) {
      agent.mutable_model()->add_tools(absl::StrCat("tools/", tool));
    }
    return Call<v1::AgentService>(ada(), &v1::AgentService::Stub::CreateAgent, request).status();
  }
  absl::StatusOr<v1::Run> Help(const json& turns) {
    ASSIGN_OR_RETURN(const std::string run, ada().StartRun("helper", {{"message", Turns(turns)}}));
    ASSIGN_OR_RETURN(v1::Run ended, ada().WaitForRun(run));
    ExpectWholeStory(ada(), run);
    return ended;
  }

  TempDir keys_;
  std::unique_ptr<InferenceServer> server_;
  std::unique_ptr<Harness> platform_;
};

TEST_F(ModelTest, DefinitionThatNamesWhatThereIsNotIsRefusedWithEachName) {
  Covers({"RF-1", "RF-2"});
  Start();
  v1::Agent agent = Definition(R"({
      "name": "agents/lost",
      "model": {"instructions": "Help.", "model": "large", "tools": ["tools/file.read", "tools/nothing.there"]}})");
  absl::StatusOr<v1::Agent> created = CreateAgent(ada(), agent);
  ASSERT_THAT(created, HasReason(absl::StatusCode::kInvalidArgument, "AGENT_INVALID"));
  EXPECT_THAT(ErrorInfoOf(created.status())->metadata,
              UnorderedElementsAre(Pair("model.model", HasSubstr("configured models: small")),
                                   Pair("model.tools[1]", HasSubstr("no tool 'tools/nothing.there'"))));
  agent.mutable_model()->set_model("small");
  agent.mutable_model()->mutable_tools()->RemoveLast();
  ASSERT_OK(CreateAgent(ada(), agent));
  agent.mutable_model()->set_model("large");
  EXPECT_THAT(UpdateAgent(ada(), agent), HasReason(absl::StatusCode::kInvalidArgument, "AGENT_INVALID"));
}

TEST_F(ModelTest, ReplyIsTheAnswerAndItsTokensAreCounted) {
  Covers({"AE-2", "AE-7"});
  Start();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("ask", {{"prompt", "good morning"}}));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "You said: good morning") << ended.error().message();
  EXPECT_EQ(ended.model_tokens(), 15);
  const json requests = server_->Requests();
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0]["model"], "gpt-small");
  EXPECT_EQ(requests[0]["authorization"], absl::StrCat("Bearer ", kModelKey));
  EXPECT_EQ(requests[0]["body"]["stream_options"], json({{"include_usage", true}}));

  ASSERT_OK_AND_ASSIGN(const notifier::v1::Event completed, ada().WaitForEvent(run, "model_completed"));
  EXPECT_EQ(completed.model_completed().model(), "small");
  EXPECT_EQ(completed.model_completed().input_tokens(), 10);
  EXPECT_EQ(completed.model_completed().output_tokens(), 5);
  EXPECT_FALSE(completed.model_completed().has_error());
  EXPECT_THAT(ada().EventTypesOf(run), IsOkAndHolds(ElementsAre("run_queued", "agent_started", "model_calling",
                                                                "model_completed", "agent_completed")));
}

TEST_F(ModelTest, WatchersSeeTextWhileTheModelStillWrites) {
  Covers({"WS-1", "TD-9"});
  auto gate = std::make_shared<HoldingTool>("gate");
  Start(nullptr, {gate});
  const std::shared_ptr<Hold> hold = gate->HoldCall();
  // The second call begins when the watcher is there.
  const json turns = {{{"text", "Once upon a time, there was a bulkhead."}, {"hold", true}}};
  ASSERT_OK_AND_ASSIGN(const std::string run,
                       ada().StartRun("ask", {{"prompt", "hello"}, {"tool", "gate"}, {"again", Turns(turns)}}));
  ASSERT_OK(hold->Wait());
  ASSERT_OK_AND_ASSIGN(auto client, ada().NewGatewayClient());
  std::string text;
  ASSERT_OK(client->WatchRun(run, {}, ada().token(), [&](const json& frame) {
    if (frame.contains("caughtUp")) {
      hold->Resume();
    }
    const json delta = frame.contains("event") ? frame["event"].value("modelDelta", json()) : json();
    if (delta.is_object() && delta.value("step", 0) == 3) {
      EXPECT_EQ(delta.value("offset", size_t{0}), text.size());
      text += delta["text"].get<std::string>();
      // The reply has not ended: it waits for this.
      EXPECT_OK(server_->Go());
    }
    return true;
  }));
  // The last piece may be overtaken by the end, which has it all.
  EXPECT_THAT(text, Not(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "Once upon a time, there was a bulkhead.") << ended.error().message();
  EXPECT_TRUE(absl::StartsWith(ended.answer().summary(), text)) << text;
}

TEST_F(ModelTest, TimeOfACallIsTheModels) {
  Covers({"AE-7"});
  Start();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("ask", {{"prompt", Turns({{{"hold", true}}})}}));
  AwaitRequests(1);
  platform_->Advance(absl::Seconds(7));
  ASSERT_OK(server_->Go());
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_EQ(ended.timing().model().seconds(), 7);
  ASSERT_OK_AND_ASSIGN(const notifier::v1::Event completed, ada().WaitForEvent(run, "model_completed"));
  EXPECT_EQ(completed.model_completed().duration().seconds(), 7);
}

TEST_F(ModelTest, ReplayAfterACrashAsksNobodyAgain) {
  Covers({"AE-6"});
  auto gate = std::make_shared<HoldingTool>("gate");
  Start(nullptr, {gate});
  const std::shared_ptr<Hold> hold = gate->HoldCall();
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("ask", {{"prompt", "hello"}, {"tool", "gate"}}));
  ASSERT_OK(hold->Wait());
  platform_->Crash();
  ASSERT_OK(platform_->Start());
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "You said: hello") << ended.error().message();
  EXPECT_EQ(ended.recoveries(), 1);
  EXPECT_EQ(ended.model_tokens(), 15);
  EXPECT_THAT(server_->Requests(), SizeIs(1));
  ExpectWholeStory(ada(), run);
}

TEST_F(ModelTest, CallThatACrashCutsOffIsMadeAgainUnderTheSameEvents) {
  Covers({"AE-6"});
  Start();
  const json turns = {{{{"hold", true}}, {{"text", "at last"}}}};
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("ask", {{"prompt", Turns(turns)}}));
  AwaitRequests(1);
  platform_->Crash();
  ASSERT_OK(platform_->Start());
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "at last") << ended.error().message();
  EXPECT_THAT(server_->Requests(), SizeIs(2));
  EXPECT_THAT(ada().EventTypesOf(run),
              IsOkAndHolds(ElementsAre("run_queued", "agent_started", "model_calling", "run_recovered",
                                       "model_completed", "agent_completed")));
}

TEST_F(ModelTest, CancellingClosesTheConnection) {
  Covers({"AE-4", "AE-9"});
  Start();
  const json turns = {{{"text", "a beginning"}, {"hold", true}}};
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("ask", {{"prompt", Turns(turns)}}));
  AwaitRequests(1);
  ASSERT_OK(ada().CancelRun(run));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_CANCELLED);
  ASSERT_OK(WaitFor([&] { return server_->Requests()[0]["closed"].get<bool>(); }, "the end of the connection"));
  ASSERT_OK_AND_ASSIGN(const notifier::v1::Event completed, ada().WaitForEvent(run, "model_completed"));
  EXPECT_EQ(completed.model_completed().error().reason(), "RUN_CANCELLED");
}

TEST_F(ModelTest, DeadlineOfTheRunReachesTheCall) {
  Covers({"AE-9"});
  Start();
  ASSERT_OK_AND_ASSIGN(const std::string run,
                       ada().StartRun("ask", {{"prompt", Turns({{{"hold", true}}})}}, {.timeout = absl::Seconds(30)}));
  AwaitRequests(1);
  platform_->Advance(absl::Seconds(31));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_TIMED_OUT);
  ASSERT_OK(WaitFor([&] { return server_->Requests()[0]["closed"].get<bool>(); }, "the end of the connection"));
}

TEST_F(ModelTest, BusyEndpointIsAskedAgainWhenItSaidSo) {
  Covers({"AE-5"});
  Start();
  const json turns = {{{{"status", 429}, {"headers", {{"Retry-After", "20"}}}},
                       {{"status", 503}},
                       {{"text", "half"}, {"cut", true}},
                       {{"text", "whole"}}}};
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, AskPatiently({{"prompt", Turns(turns)}}));
  EXPECT_EQ(ended.answer().summary(), "whole") << ended.error().message();
  EXPECT_THAT(server_->Requests(), SizeIs(4));
  EXPECT_GE(ended.timing().model().seconds(), 20);
  // The half that was cut off is paid for, by the bytes.
  EXPECT_GT(ended.model_tokens(), 15);
}

TEST_F(ModelTest, EachFailureHasItsReason) {
  Covers({"AE-5"});
  Start([this](common::v1::AgentConfig& config) {
    AddModel(config, "locked").set_api_key(absl::StrCat("file:", keys_.File("wrong")));
    AddModel(config, "nowhere").set_url("http://127.0.0.1:1/v1");
  });
  struct Case {
    std::string reason;
    json step;
    size_t requests;
    std::string model = "small";
  };
  const std::vector<Case> kCases = {
      {"MODEL_UNKNOWN", json::object(), 0, "large"},
      {"MODEL_REFUSED", {{"status", 400}, {"error", "context too long"}}, 1},
      {"MODEL_REFUSED", json::object(), 1, "locked"},
      {"MODEL_REFUSED", {{"status", 302}}, 1},
      {"MODEL_RATE_LIMITED", {{"status", 429}, {"headers", {{"Retry-After", "3600"}}}}, 1},
      {"MODEL_RATE_LIMITED", {{"status", 429}}, 4},
      {"MODEL_UNREACHABLE", {{"status", 500}}, 4},
      {"MODEL_UNREACHABLE", {{"cut", true}}, 4},
      {"MODEL_UNREACHABLE", json::object(), 0, "nowhere"},
      {"MODEL_REPLY_INVALID", {{"events", {"no json"}}}, 1},
      {"MODEL_REPLY_INVALID", {{"events", {"[DONE]"}}}, 1},
  };
  for (const Case& failure : kCases) {
    const size_t before = server_->Requests().size();
    ASSERT_OK_AND_ASSIGN(const v1::Run ended,
                         AskPatiently({{"prompt", Turns(json::array({failure.step}))}, {"model", failure.model}}));
    EXPECT_EQ(ended.error().reason(), failure.reason) << ended.error().message();
    EXPECT_EQ(ended.error().domain(), "bulkhead.agent");
    EXPECT_EQ(server_->Requests().size() - before, failure.requests) << ended.error().message();
    ASSERT_OK_AND_ASSIGN(const std::vector<std::string> types, ada().EventTypesOf(ended.name()));
    EXPECT_EQ(std::ranges::count(types, "model_calling"), failure.model == "large" ? 0 : 1);
    EXPECT_EQ(std::ranges::count(types, "model_completed"), std::ranges::count(types, "model_calling"));
  }
}

TEST_F(ModelTest, CallThatTakesTooLongEndsAtTheEndpointsTimeLimit) {
  Covers({"AE-9", "AE-5"});
  Start([this](common::v1::AgentConfig& config) { AddModel(config, "brief").mutable_timeout()->set_seconds(1); });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, Ask({{"prompt", Turns({{{"hold", true}}})}, {"model", "brief"}}));
  EXPECT_EQ(ended.error().reason(), "MODEL_TIMED_OUT") << ended.error().message();
  EXPECT_THAT(server_->Requests(), SizeIs(1));
}

TEST_F(ModelTest, RunThatHasUsedItsTokensMakesNoOtherCall) {
  Covers({"AE-8"});
  Start([](common::v1::AgentConfig& config) { config.set_max_model_tokens_per_run(15); });
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, Ask({{"prompt", "one"}, {"again", "two"}}));
  EXPECT_EQ(ended.error().reason(), "MODEL_TOKENS_EXCEEDED");
  EXPECT_EQ(ended.error().metadata().at("window"), "run");
  EXPECT_EQ(ended.model_tokens(), 15);
  EXPECT_THAT(server_->Requests(), SizeIs(1));
  // The next run has its own.
  ASSERT_OK_AND_ASSIGN(const v1::Run next, Ask({{"prompt", "three"}}));
  EXPECT_EQ(next.answer().summary(), "You said: three");
}

TEST_F(ModelTest, TokensOfADayAreTheUsersAndOutliveRestarts) {
  Covers({"AE-8", "RF-2"});
  Start([](common::v1::AgentConfig& config) {
    config.set_max_model_tokens_per_run(15);
    config.set_max_model_tokens_per_day(30);
  });
  ASSERT_OK(Ask({{"prompt", "one"}}));
  platform_->Advance(absl::Hours(2));
  ASSERT_OK(ada().SignIn());
  ASSERT_OK(Ask({{"prompt", "two"}}));
  ASSERT_OK(platform_->Restart());
  const absl::Status refused = ada().StartRun("ask", {{"prompt", "three"}}).status();
  EXPECT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "MODEL_TOKENS_EXCEEDED"));
  // When the first call's tokens leave the window.
  const absl::Duration wait = ErrorInfoOf(refused)->retry_after.value_or(absl::ZeroDuration());
  EXPECT_GT(wait, absl::Hours(21));
  EXPECT_LE(wait, absl::Hours(22));
  EXPECT_THAT(server_->Requests(), SizeIs(2));
  // Another user's are another's, and agents without a model need none.
  ASSERT_OK(platform_->As("bob").SignIn());
  ASSERT_OK_AND_ASSIGN(const v1::Run other, Ask(platform_->As("bob"), {{"prompt", "hello"}}));
  EXPECT_EQ(other.answer().summary(), "You said: hello");
  EXPECT_THAT(ada().StartRun("analyst", {{"file", "none.csv"}}), IsOk());

  platform_->Advance(wait);
  ASSERT_OK(ada().SignIn());
  ASSERT_OK_AND_ASSIGN(const v1::Run later, AskPatiently({{"prompt", "three"}}));
  EXPECT_EQ(later.answer().summary(), "You said: three");
}

TEST_F(ModelTest, EndpointThatDoesNotCountIsCountedByTheBytes) {
  Covers({"AE-8"});
  Start();
  ASSERT_OK_AND_ASSIGN(const v1::Run ended,
                       Ask({{"prompt", Turns({{{"text", std::string(400, 'x')}, {"usage", nullptr}}})}}));
  EXPECT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_GT(ended.model_tokens(), 200);  // 400 bytes of the prompt, and of the reply.
}

TEST_F(ModelTest, CallsBeyondTheEndpointsPlacesWait) {
  Covers({"AE-8"});
  Start([](common::v1::AgentConfig& config) { config.mutable_models(0)->set_max_concurrent_calls(1); });
  const json input = {{"prompt", Turns({{{"hold", true}, {"text", "done"}}})}};
  ASSERT_OK_AND_ASSIGN(const std::string first, ada().StartRun("ask", input));
  AwaitRequests(1);
  ASSERT_OK_AND_ASSIGN(const std::string second, ada().StartRun("ask", input));
  ASSERT_OK_AND_ASSIGN(const std::string third, platform_->As("bob").StartRun("ask", input));
  ASSERT_OK(ada().WaitForEvent(second, "model_calling"));
  ASSERT_OK(platform_->As("bob").WaitForEvent(third, "model_calling"));
  for (size_t count = 1; count <= 3; ++count) {
    AwaitRequests(count);
    ASSERT_OK(server_->Go());
  }
  for (const std::string& run : {first, second}) {
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
    EXPECT_EQ(ended.answer().summary(), "done") << ended.error().message();
  }
  ASSERT_OK(platform_->As("bob").WaitForRun(third));
  EXPECT_EQ(server_->Most(), 1);
}

TEST_F(ModelTest, KeyIsInNoLogEventErrorOrFile) {
  Covers({"CF-6"});
  class Kept final : public absl::LogSink {
   public:
    void Send(const absl::LogEntry& entry) override {
      absl::MutexLock lock(mutex_);
      absl::StrAppend(&text_, entry.text_message_with_prefix_and_newline());
    }
    std::string text() {
      absl::MutexLock lock(mutex_);
      return text_;
    }

   private:
    absl::Mutex mutex_;
    std::string text_;
  } logs;
  absl::AddLogSink(&logs);
  Start([this](common::v1::AgentConfig& config) {
    AddModel(config, "locked").set_api_key(absl::StrCat("file:", keys_.File("wrong")));
  });
  std::string seen;
  // The endpoint quotes the key, when it refuses it and otherwise.
  for (const json& input : {json{{"prompt", "hello"}}, json{{"prompt", "hello"}, {"model", "locked"}},
                            json{{"prompt", Turns({{{"status", 400}, {"error", absl::StrCat("bad ", kModelKey)}}})}}}) {
    ASSERT_OK_AND_ASSIGN(const v1::Run ended, Ask(input));
    absl::StrAppend(&seen, ended.error().message(), "\n");
    ASSERT_OK_AND_ASSIGN(const std::vector<notifier::v1::Event> events, ada().EventsOf(ended.name()));
    for (const notifier::v1::Event& event : events) {
      absl::StrAppend(&seen, event.SerializeAsString());
    }
  }
  platform_->Crash();
  EXPECT_THAT(seen, HasSubstr("bad [secret]"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(platform_->data_dir())) {
    if (entry.is_regular_file()) {
      std::ostringstream content;
      content << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      // The prompt has it, for this test's sake: what counts is the key as it is sent.
      EXPECT_FALSE(absl::StrContains(content.str(), absl::StrCat("Bearer ", kModelKey))) << entry.path();
      EXPECT_FALSE(absl::StrContains(content.str(), "sk-the-wrong-one")) << entry.path();
    }
  }
  ASSERT_OK(platform_->Start());
  absl::RemoveLogSink(&logs);
  absl::StrAppend(&seen, logs.text());
  EXPECT_FALSE(absl::StrContains(seen, kModelKey));
  EXPECT_FALSE(absl::StrContains(seen, "sk-the-wrong-one"));
}

TEST_F(ModelTest, ModelAgentCallsToolsInParallelUntilItHasAnAnswer) {
  Covers({"AE-3", "TD-5", "RF-1"});
  auto left = std::make_shared<HoldingTool>("left.side");
  auto right = std::make_shared<HoldingTool>("right.side");
  Start(nullptr, {left, right});
  ASSERT_OK(Define({"left.side", "right.side"}));
  const std::shared_ptr<Hold> first = left->HoldCall();
  const std::shared_ptr<Hold> second = right->HoldCall();
  const json turns = {
      {{"text", "I look at both"},
       {"tools",
        {{{"name", "left_side"}, {"arguments", {{"x", 1}}}}, {{"name", "right_side"}, {"arguments", {{"y", 2}}}}}}},
      {{"text", "They say %results%"}}};
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("helper", {{"message", Turns(turns)}}));
  // Each has begun before one of them ends.
  ASSERT_OK(first->Wait());
  ASSERT_OK(second->Wait());
  first->Resume();
  second->Resume();
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  ASSERT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_THAT(ended.answer().summary(), HasSubstr(R"("echo":{"x":1})"));
  EXPECT_THAT(ended.answer().summary(), HasSubstr(R"("echo":{"y":2})"));
  EXPECT_EQ(ended.model_tokens(), 30);
  ExpectWholeStory(ada(), run);

  const json requests = server_->Requests();
  ASSERT_THAT(requests, SizeIs(2));
  const json& asked = requests[1]["body"]["messages"];
  ASSERT_THAT(asked, SizeIs(5));
  EXPECT_EQ(asked[0], json({{"role", "system"}, {"content", "You are of help."}}));
  EXPECT_EQ(asked[2]["content"], "I look at both");
  EXPECT_EQ(asked[3]["tool_call_id"], "call-0");
  EXPECT_EQ(asked[4]["tool_call_id"], "call-1");
  const json& tools = requests[0]["body"]["tools"];
  ASSERT_THAT(tools, SizeIs(2));
  EXPECT_EQ(tools[0]["function"]["name"], "left_side");
  EXPECT_EQ(tools[0]["function"]["parameters"]["type"], "object");
}

TEST_F(ModelTest, ModelAgentKnowsWhatWasSaidInItsThread) {
  Covers({"AE-2", "RF-1"});
  Start();
  ASSERT_OK(Define({}));
  ASSERT_OK_AND_ASSIGN(const v1::Thread thread, Call<v1::ThreadService>(ada(), &v1::ThreadService::Stub::CreateThread,
                                                                        v1::CreateThreadRequest()));
  for (const char* message : {"hello", "and again"}) {
    v1::CreateRunRequest request;
    request.set_agent("agents/helper");
    request.set_thread(thread.name());
    (*request.mutable_input()->mutable_fields())["message"].set_string_value(message);
    ASSERT_OK_AND_ASSIGN(const v1::Run run, Call<v1::RunService>(ada(), &v1::RunService::Stub::CreateRun, request));
    ASSERT_OK(ada().WaitForRun(run.name()));
  }
  const json requests = server_->Requests();
  ASSERT_THAT(requests, SizeIs(2));
  const json& said = requests[1]["body"]["messages"];
  ASSERT_THAT(said, SizeIs(4));
  EXPECT_EQ(said[1], json({{"role", "user"}, {"content", "hello"}}));
  EXPECT_EQ(said[2], json({{"role", "assistant"}, {"content", "You said: hello"}}));
  EXPECT_EQ(said[3], json({{"role", "user"}, {"content", "and again"}}));
}

TEST_F(ModelTest, ModelAgentGoesOnAfterACrashWhereItStood) {
  Covers({"AE-6"});
  auto gate = std::make_shared<HoldingTool>("gate");
  Start(nullptr, {gate});
  ASSERT_OK(Define({"gate"}));
  const std::shared_ptr<Hold> hold = gate->HoldCall();
  const json turns = {{{"tools", {{{"name", "gate"}}}}}, {{"text", "through"}}};
  ASSERT_OK_AND_ASSIGN(const std::string run, ada().StartRun("helper", {{"message", Turns(turns)}}));
  ASSERT_OK(hold->Wait());
  platform_->Crash();
  ASSERT_OK(platform_->Start());
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, ada().WaitForRun(run));
  EXPECT_EQ(ended.answer().summary(), "through") << ended.error().message();
  EXPECT_THAT(server_->Requests(), SizeIs(2));
}

TEST_F(ModelTest, ToolsThatFailAndCallsThatMakeNoSenseAreTheModelsToDealWith) {
  Covers({"AE-5", "TD-4"});
  auto broken =
      std::make_shared<FailingTool>("broken", MakeError(absl::StatusCode::kInvalidArgument, "it is out of order",
                                                        {.domain = "test", .reason = "OUT_OF_ORDER"}));
  Start(nullptr, {broken});
  ASSERT_OK(Define({"broken"}));
  const std::string deep = absl::StrCat("{\"x\": ", std::string(100'000, '['), std::string(100'000, ']'), "}");
  ASSERT_OK_AND_ASSIGN(
      const v1::Run ended,
      Help(
          {{{"tools", {{{"name", "broken"}, {"arguments", "{\"half\": "}}, {{"name", "broken"}, {"arguments", deep}}}}},
           {{"tools", {{{"name", "unheard.of"}}}}},
           {{"tools", {{{"name", "broken"}}}}},
           {{"text", "I saw %results%"}}}));
  ASSERT_EQ(ended.state(), v1::RUN_STATE_SUCCEEDED) << ended.error().message();
  EXPECT_THAT(ended.answer().summary(), ::testing::ContainsRegex("ARGUMENTS_INVALID.*ARGUMENTS_INVALID"));
  EXPECT_THAT(ended.answer().summary(), HasSubstr("TOOL_NOT_FOUND"));
  EXPECT_THAT(ended.answer().summary(), HasSubstr("OUT_OF_ORDER"));
  EXPECT_EQ(broken->runs(), 1);
}

TEST_F(ModelTest, ModelAgentThatGetsNowhereIsEnded) {
  Covers({"AE-5", "AE-8"});
  auto count = std::make_shared<CountingTool>("count");
  Start(nullptr, {count});
  ASSERT_OK(Define({"count"}, /*max_turns=*/4));
  ASSERT_OK_AND_ASSIGN(const v1::Run senseless, Help({{{"tools", {{{"name", "count"}, {"arguments", "[1]"}}}}}}));
  EXPECT_EQ(senseless.error().reason(), "MODEL_REPLY_INVALID") << senseless.error().message();
  EXPECT_THAT(server_->Requests(), SizeIs(3));
  EXPECT_EQ(count->runs(), 0);
  ASSERT_OK_AND_ASSIGN(const v1::Run endless, Help({{{"tools", {{{"name", "count"}}}}}}));
  EXPECT_EQ(endless.error().reason(), "MODEL_TURNS_EXCEEDED") << endless.error().message();
  EXPECT_EQ(count->runs(), 4);
}

TEST_F(ModelTest, ModelAgentKeepsToTheTokensOfItsDefinition) {
  Covers({"AE-8", "RF-1"});
  auto count = std::make_shared<CountingTool>("count");
  Start(nullptr, {count});
  ASSERT_OK(Define({"count"}, /*max_turns=*/0, /*max_tokens=*/25));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, Help({{{"tools", {{{"name", "count"}}}}}}));
  EXPECT_EQ(ended.error().reason(), "MODEL_TOKENS_EXCEEDED") << ended.error().message();
  const json requests = server_->Requests();
  ASSERT_THAT(requests, SizeIs(2));
  EXPECT_EQ(requests[0]["body"]["max_tokens"], 25);
  EXPECT_EQ(requests[1]["body"]["max_tokens"], 10);
}

TEST_F(ModelTest, ModelAgentWithAToolThatOnlyItsMakerHasNeverAsksForOthers) {
  Covers({"AE-5", "TD-7", "RF-2"});
  Start();
  auto own = std::make_shared<CountingTool>(tool::ToolSpec{.name = "own",
                                                           .description = "The administrator's own.",
                                                           .input_schema = R"({"type": "object"})",
                                                           .output_schema = R"({"type": "object"})",
                                                           .owner = platform_->AsAdmin().id()});
  ASSERT_OK(platform_->RestartWith([&](HarnessBuilder& builder) { builder.WithTool(own); }));
  ASSERT_OK(CreateAgent(platform_->AsAdmin(), Definition(R"({
      "name": "agents/helper", "sharedWith": ["roles/member"],
      "model": {"instructions": "Help.", "model": "small", "tools": ["tools/own"]}})")));
  ASSERT_OK_AND_ASSIGN(const v1::Run ended, Help({{{"text", "hello"}}}));
  EXPECT_EQ(ended.error().reason(), "TOOL_NOT_FOUND") << ended.error().message();
  EXPECT_THAT(server_->Requests(), IsEmpty());
}

}  // namespace
}  // namespace bulkhead::testing
