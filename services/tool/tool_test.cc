#include "services/tool/tool.h"

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/time/simulated_clock.h"
#include "services/tool/builtin/builtin_tools.h"
#include "services/tool/dispatcher.h"
#include "services/tool/registry.h"
#include "services/tool/tool_store.h"
#include "services/tool/workspace.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"
#include "testing/base/wait.h"

namespace bulkhead::tool {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const absl::Time kNoon = absl::FromUnixSeconds(1'700'000'000);
constexpr char kAnyObject[] = R"({"type": "object"})";

class OneKey : public KeySource {
 public:
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view) override { return key; }
  std::shared_ptr<const crypto::VerifyingKey> key;
};

// What an observer has heard.
class Recorder : public CallObserver {
 public:
  Awaitable<void> OnAccepted(AcceptedCall accepted) override {
    absl::MutexLock lock(mutex_);
    heard_.push_back("accepted " + accepted.tool_version);
    co_return;
  }
  Awaitable<void> OnProgress(ProgressReport progress) override {
    absl::MutexLock lock(mutex_);
    heard_.push_back("progress " + progress.message);
    co_return;
  }
  std::vector<std::string> heard() const {
    absl::MutexLock lock(mutex_);
    return heard_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<std::string> heard_ ABSL_GUARDED_BY(mutex_);
};

class ToolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(key_, crypto::SigningKey::Generate(crypto::Algorithm::kEdDsa));
    keys_.key = key_->verifying_key();
    ASSERT_OK_AND_ASSIGN(verifier_,
                         TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys_, &clock_));
    workspaces_ = OpenWorkspaces();
    ASSERT_OK_AND_ASSIGN(store_, ToolStore::Open("", /*durable=*/false));
    std::filesystem::create_directories(dir_.File("tables"));
    for (std::unique_ptr<Tool>& tool : BuiltinTools({.tables_dir = dir_.File("tables"), .max_table_bytes = 1 << 24})) {
      ASSERT_THAT(registry_.Register(std::move(tool)), IsOk());
    }
    dispatcher_ = std::make_unique<Dispatcher>(
        Dispatcher::Options{.max_timeout = absl::Minutes(1),
                            .cut_off_grace = absl::Seconds(1),
                            .max_message_bytes = 1 << 16,
                            .quota = {.max_calls_per_minute = 30, .max_concurrent_calls = 2}},
        Dispatcher::Dependencies{.clock = &clock_,
                                 .ids = ids_.get(),
                                 .executor = executor_.get(),
                                 .blocking = blocking_.get(),
                                 .tool_threads = blocking_.get(),
                                 .registry = &registry_,
                                 .store = store_.get(),
                                 .workspaces = workspaces_.get()});
  }

  std::unique_ptr<Workspaces> OpenWorkspaces() {
    auto workspaces = Workspaces::Create({.root = dir_.File("workspaces"), .max_bytes = 1 << 20}, &clock_);
    EXPECT_TRUE(workspaces.ok()) << workspaces.status();
    return *std::move(workspaces);
  }

  UserContext User(const std::string& id) {
    auto verified = verifier_->Verify(RawToken(SignToken({.issuer = "bulkhead",
                                                          .audience = "bulkhead",
                                                          .subject = id,
                                                          .session = "session-1",
                                                          .run = "run-1",
                                                          .token_id = "token-1",
                                                          .issued_at = kNoon,
                                                          .not_before = kNoon,
                                                          .expires_at = kNoon + absl::Hours(10)},
                                                         "key", *key_)));
    EXPECT_TRUE(verified.ok()) << verified.status();
    auto user = UserContext::FromToken(*verified, {.request_id = "req-1"});
    EXPECT_TRUE(user.ok()) << user.status();
    return *user;
  }

  void Add(ToolSpec spec, ToolFunction function) {
    spec.description = spec.description.empty() ? "A tool of this test." : spec.description;
    spec.input_schema = spec.input_schema.empty() ? kAnyObject : spec.input_schema;
    spec.output_schema = spec.output_schema.empty() ? kAnyObject : spec.output_schema;
    ASSERT_THAT(registry_.Register(MakeTool(std::move(spec), std::move(function))), IsOk());
  }

  absl::StatusOr<FinishedCall> Call(const std::string& tool, json input, const std::string& request_id = "",
                                    const std::string& user = "ada") {
    return BlockOn(*executor_, dispatcher_->Dispatch(
                                   User(user), {.tool = tool, .input = std::move(input), .request_id = request_id},
                                   stop_.get_token(), &recorder_));
  }
  absl::StatusOr<json> Output(const std::string& tool, json input) {
    absl::StatusOr<FinishedCall> call = Call(tool, std::move(input));
    if (!call.ok()) {
      return call.status();
    }
    return call->output;
  }
  // A call that runs beside the test.
  struct Background {
    absl::Notification ended;
    absl::StatusOr<FinishedCall> result = absl::UnknownError("not ended");
  };
  std::shared_ptr<Background> Start(const std::string& tool, const std::string& request_id = "") {
    auto background = std::make_shared<Background>();
    executor_->Spawn([](ToolTest* test, std::shared_ptr<Background> background, UserContext user,
                        CallRequest request) -> Awaitable<void> {
      background->result = co_await test->dispatcher_->Dispatch(std::move(user), std::move(request),
                                                                test->stop_.get_token(), &test->recorder_);
      background->ended.Notify();
    }(this, background, User("ada"), {.tool = tool, .input = json::object(), .request_id = request_id}));
    return background;
  }

  std::shared_ptr<Workspace> WorkspaceOf(const std::string& user) {
    auto workspace = workspaces_->For(user);
    EXPECT_TRUE(workspace.ok()) << workspace.status();
    return *workspace;
  }

  ::bulkhead::testing::TempDir dir_;
  SimulatedClock clock_{kNoon};
  std::unique_ptr<IdGenerator> ids_ = CreateSequentialIds();
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
  std::unique_ptr<BlockingPool> blocking_ = BlockingPool::Create(4);
  OneKey keys_;
  std::unique_ptr<crypto::SigningKey> key_;
  std::unique_ptr<TokenVerifier> verifier_;
  std::unique_ptr<Workspaces> workspaces_;
  std::unique_ptr<ToolStore> store_;
  Registry registry_;
  Recorder recorder_;
  std::stop_source stop_;
  std::unique_ptr<Dispatcher> dispatcher_;
};

// --- The registry ---

std::shared_ptr<Tool> NamedTool(std::string name, std::string version, std::string owner = "") {
  return MakeTool({.name = std::move(name),
                   .version = std::move(version),
                   .description = "Finds words in a text.",
                   .input_schema = kAnyObject,
                   .output_schema = kAnyObject,
                   .owner = std::move(owner),
                   .tags = {"Search"}},
                  [](ToolCall&) -> absl::StatusOr<json> { return json::object(); });
}

TEST(RegistryTest, InvalidToolIsRefusedWithEveryViolation) {
  Registry registry;
  absl::Status status = registry.Register(
      MakeTool({.name = "X", .version = "1", .input_schema = R"({"type": "array"})", .output_schema = "{"}, nullptr));
  ASSERT_THAT(status, HasReason(absl::StatusCode::kInvalidArgument, "TOOL_INVALID"));
  EXPECT_THAT(ErrorInfoOf(status)->metadata, UnorderedElementsAre(Key("name"), Key("version"), Key("description"),
                                                                  Key("input_schema"), Key("output_schema")));
}

TEST(RegistryTest, NewestReleaseIsFoundUnlessAVersionIsNamed) {
  Registry registry;
  for (const char* version : {"1.9.0", "1.10.0", "2.0.0-beta"}) {
    ASSERT_THAT(registry.Register(NamedTool("text.find", version)), IsOk());
  }
  EXPECT_EQ((*registry.Find("ada", "text.find"))->spec().version, "1.10.0");
  EXPECT_EQ((*registry.Find("ada", "text.find", "2.0.0-beta"))->spec().version, "2.0.0-beta");
  EXPECT_THAT(registry.Find("ada", "text.find", "3.0.0"), HasReason("TOOL_NOT_FOUND"));
}

TEST(RegistryTest, ToolOfOneUserIsInvisibleToOthersAndShadowsNothing) {
  Registry registry;
  ASSERT_THAT(registry.Register(NamedTool("text.find", "1.0.0")), IsOk());
  ASSERT_THAT(registry.Register(NamedTool("text.mine", "1.0.0", "ada")), IsOk());
  EXPECT_THAT(registry.Find("ada", "text.mine"), IsOk());
  EXPECT_THAT(registry.Find("bob", "text.mine"), HasReason(absl::StatusCode::kNotFound, "TOOL_NOT_FOUND"));
  EXPECT_THAT(registry.Register(NamedTool("text.find", "2.0.0", "ada")), HasReason("TOOL_BUILT_IN"));
  EXPECT_THAT(registry.Unregister("bob", "text.mine"), HasReason("TOOL_NOT_FOUND"));
  EXPECT_THAT(registry.Unregister("ada", "text.find"), HasReason("TOOL_BUILT_IN"));
  EXPECT_THAT(registry.Unregister("ada", "text.mine"), IsOk());
  EXPECT_THAT(registry.Find("ada", "text.mine"), HasReason("TOOL_NOT_FOUND"));
}

TEST(RegistryTest, ListSearchesAllWordsInAnyCaseAndGoesOnAfterAName) {
  Registry registry;
  for (const char* name : {"b.two", "a.one", "c.three"}) {
    ASSERT_THAT(registry.Register(NamedTool(name, "1.0.0")), IsOk());
  }
  EXPECT_THAT(registry.List("ada", "", "", 2), SizeIs(2));
  EXPECT_EQ(registry.List("ada", "", "", 2)[0]->spec().name, "a.one");
  EXPECT_EQ(registry.List("ada", "", "b.two", 2)[0]->spec().name, "c.three");
  EXPECT_THAT(registry.List("ada", "WORDS search", "", 10), SizeIs(3));
  EXPECT_THAT(registry.List("ada", "words three", "", 10), SizeIs(1));
  EXPECT_THAT(registry.List("ada", "nothing", "", 10), IsEmpty());
}

// --- The dispatcher ---

TEST_F(ToolTest, ContextReachesTheToolAndItsResultTheCaller) {
  Add({.name = "echo", .version = "1.2.3", .timeout = absl::Seconds(7)}, [](ToolCall& call) -> absl::StatusOr<json> {
    call.ReportProgress(0.5, "half");
    call.AddArtifact("a.txt");
    return json{{"user", call.user().user()},
                {"run", call.user().run()},
                {"key", call.request_id()},
                {"seconds", absl::ToInt64Seconds(call.deadline() - kNoon)},
                {"input", call.input()}};
  });
  ASSERT_OK_AND_ASSIGN(FinishedCall call, Call("echo", {{"x", 1}}, "key-1"));
  EXPECT_EQ(call.output, json::parse(R"({"user":"ada","run":"run-1","key":"key-1","seconds":7,"input":{"x":1}})"));
  EXPECT_THAT(call.artifacts, ElementsAre("a.txt"));
  EXPECT_THAT(recorder_.heard(), ElementsAre("accepted 1.2.3", "progress half"));
  EXPECT_EQ(dispatcher_->running(), 0u);
}

TEST_F(ToolTest, AllViolationsOfTheInputAreReportedAndNothingRuns) {
  int runs = 0;
  Add({.name = "strict",
       .input_schema =
           R"({"type": "object", "required": ["a"], "properties": {"b": {"type": "integer"}, "c": {"items": {"minimum": 3}}}})"},
      [&runs](ToolCall&) -> absl::StatusOr<json> { return json{{"runs", ++runs}}; });
  absl::StatusOr<FinishedCall> call = Call("strict", {{"b", "x"}, {"c", {5, 1}}});
  ASSERT_THAT(call, HasReason(absl::StatusCode::kInvalidArgument, "TOOL_INPUT_INVALID"));
  EXPECT_THAT(ErrorInfoOf(call.status())->metadata, UnorderedElementsAre(Key("/"), Key("/b"), Key("/c/1")));
  EXPECT_EQ(runs, 0);
  EXPECT_THAT(recorder_.heard(), IsEmpty());
}

TEST_F(ToolTest, RepeatedRequestReturnsTheFirstResultWithoutRunning) {
  int runs = 0;
  Add({.name = "count"}, [&runs](ToolCall&) -> absl::StatusOr<json> { return json{{"runs", ++runs}}; });
  ASSERT_OK_AND_ASSIGN(FinishedCall first, Call("count", {{"x", 1}}, "key-1"));
  ASSERT_OK_AND_ASSIGN(FinishedCall second, Call("count", {{"x", 1}}, "key-1"));
  EXPECT_FALSE(first.repeated);
  EXPECT_TRUE(second.repeated);
  EXPECT_EQ(second.output, first.output);
  EXPECT_EQ(second.invocation, first.invocation);
  EXPECT_THAT(Call("count", {{"x", 2}}, "key-1"), HasReason("REQUEST_ID_REUSED"));
  ASSERT_OK_AND_ASSIGN(FinishedCall others, Call("count", {{"x", 1}}, "key-1", "bob"));
  EXPECT_EQ(others.output["runs"], 2);
}

TEST_F(ToolTest, FailedCallMayBeRepeatedUnderItsId) {
  int runs = 0;
  Add({.name = "second"}, [&runs](ToolCall&) -> absl::StatusOr<json> {
    if (++runs == 1) {
      return absl::UnavailableError("later");
    }
    return json::object();
  });
  EXPECT_THAT(Call("second", json::object(), "key-1"), HasReason(absl::StatusCode::kUnavailable, "TOOL_FAILED"));
  EXPECT_THAT(Call("second", json::object(), "key-1"), IsOk());
}

TEST_F(ToolTest, BadOutputsAndExceptionsAreErrorsWithReasons) {
  Add({.name = "liar", .output_schema = R"({"type": "object", "required": ["x"]})"},
      [](ToolCall&) -> absl::StatusOr<json> { return json::object(); });
  Add({.name = "large", .max_output_bytes = 100},
      [](ToolCall&) -> absl::StatusOr<json> { return json{{"x", std::string(200, 'x')}}; });
  Add({.name = "throws"},
      [](ToolCall& call) -> absl::StatusOr<json> { return json{{"x", call.input().at("absent")}}; });
  EXPECT_THAT(Call("liar", json::object()), HasReason(absl::StatusCode::kInternal, "TOOL_OUTPUT_INVALID"));
  EXPECT_THAT(Call("large", json::object()), HasReason(absl::StatusCode::kResourceExhausted, "TOOL_OUTPUT_TOO_LARGE"));
  EXPECT_THAT(Call("throws", json::object()), HasReason(absl::StatusCode::kInternal, "TOOL_THREW"));
  EXPECT_THAT(Call("nosuch", json::object()), HasReason(absl::StatusCode::kNotFound, "TOOL_NOT_FOUND"));
}

// A tool that stays inside until it is told to stop, or until the test lets it go.
class Stayer {
 public:
  explicit Stayer(bool obeys) : obeys_(obeys) {}
  absl::StatusOr<json> Run(ToolCall& call) {
    absl::Notification stopped;
    std::stop_callback on_stop(call.stop(), [&stopped] { stopped.Notify(); });
    inside.Notify();
    if (obeys_) {
      stopped.WaitForNotification();
      return call.CheckStopped();
    }
    let_go.WaitForNotification();
    return json::object();
  }
  absl::Notification inside;
  absl::Notification let_go;

 private:
  const bool obeys_;
};

TEST_F(ToolTest, ToolIsToldToStopAtItsTimeout) {
  auto stayer = std::make_shared<Stayer>(/*obeys=*/true);
  Add({.name = "stay", .timeout = absl::Seconds(10)}, [stayer](ToolCall& call) { return stayer->Run(call); });
  auto call = Start("stay");
  stayer->inside.WaitForNotification();
  clock_.Advance(absl::Seconds(10));
  call->ended.WaitForNotification();
  EXPECT_THAT(call->result, HasReason(absl::StatusCode::kDeadlineExceeded, "TOOL_TIMED_OUT"));
  EXPECT_EQ(ErrorInfoOf(call->result.status())->metadata.at("cut_off"), "false");
  EXPECT_EQ(clock_.pending_timers(), 0u);
}

TEST_F(ToolTest, ToolThatDoesNotStopIsCutOffAndStillCounts) {
  auto stayer = std::make_shared<Stayer>(/*obeys=*/false);
  Add({.name = "stay", .timeout = absl::Seconds(10)}, [stayer](ToolCall& call) { return stayer->Run(call); });
  auto call = Start("stay", "key-1");
  stayer->inside.WaitForNotification();
  EXPECT_THAT(Call("stay", json::object(), "key-1"), HasReason(absl::StatusCode::kAborted, "TOOL_CALL_IN_PROGRESS"));
  clock_.Advance(absl::Seconds(11));
  call->ended.WaitForNotification();
  EXPECT_THAT(call->result, HasReason("TOOL_TIMED_OUT"));
  EXPECT_EQ(ErrorInfoOf(call->result.status())->metadata.at("cut_off"), "true");

  EXPECT_EQ(dispatcher_->running(), 1u);
  EXPECT_THAT(Call("stay", json::object(), "key-1"), HasReason("TOOL_CALL_IN_PROGRESS"));
  EXPECT_THAT(dispatcher_->Shutdown(absl::ZeroDuration()), HasReason("TOOLS_STILL_RUNNING"));
  stayer->let_go.Notify();
  EXPECT_THAT(dispatcher_->Shutdown(absl::Seconds(30)), IsOk());
  EXPECT_THAT(Call("stay", json::object()), HasReason("TOOL_SERVICE_STOPPING"));
}

TEST_F(ToolTest, CancelEndsTheCall) {
  auto stayer = std::make_shared<Stayer>(/*obeys=*/true);
  Add({.name = "stay"}, [stayer](ToolCall& call) { return stayer->Run(call); });
  auto call = Start("stay");
  stayer->inside.WaitForNotification();
  stop_.request_stop();
  call->ended.WaitForNotification();
  EXPECT_THAT(call->result, HasReason(absl::StatusCode::kCancelled, "TOOL_CANCELLED"));
  EXPECT_THAT(testing::WaitFor([this] { return dispatcher_->running() == 0; }, "the tool's end"), IsOk());
}

TEST_F(ToolTest, QuotaLimitsCallsAtOnceAndAMinuteOfEachUser) {
  auto stayer = std::make_shared<Stayer>(/*obeys=*/true);
  auto second = std::make_shared<Stayer>(/*obeys=*/true);
  Add({.name = "stay"}, [stayer](ToolCall& call) { return stayer->Run(call); });
  Add({.name = "second"}, [second](ToolCall& call) { return second->Run(call); });
  Add({.name = "quick"}, [](ToolCall&) -> absl::StatusOr<json> { return json::object(); });
  auto first_call = Start("stay");
  auto second_call = Start("second");
  stayer->inside.WaitForNotification();
  second->inside.WaitForNotification();
  absl::StatusOr<FinishedCall> refused = Call("quick", json::object());
  ASSERT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "TOOL_QUOTA_EXCEEDED"));
  EXPECT_EQ(ErrorInfoOf(refused.status())->metadata.at("quota"), "concurrent_calls");
  EXPECT_THAT(Call("quick", json::object(), "", "bob"), IsOk());
  stop_.request_stop();
  first_call->ended.WaitForNotification();
  second_call->ended.WaitForNotification();
  stop_ = std::stop_source();
  ASSERT_THAT(testing::WaitFor([this] { return dispatcher_->running() == 0; }, "the tools' end"), IsOk());

  for (int i = 0; i < 28; ++i) {
    ASSERT_THAT(Call("quick", json::object()), IsOk()) << i;
  }
  refused = Call("quick", json::object());
  ASSERT_THAT(refused, HasReason("TOOL_QUOTA_EXCEEDED"));
  EXPECT_EQ(ErrorInfoOf(refused.status())->metadata.at("quota"), "calls_per_minute");
  EXPECT_EQ(ErrorInfoOf(refused.status())->retry_after, absl::Seconds(2));
  clock_.Advance(absl::Seconds(2));
  EXPECT_THAT(Call("quick", json::object()), IsOk());
}

// --- Workspaces ---

TEST_F(ToolTest, PathsThatLeadOutAreRefused) {
  auto workspace = WorkspaceOf("ada");
  ASSERT_THAT(WorkspaceOf("bob")->Write("secret.txt", "bob's"), IsOk());
  for (const std::string& path :
       {std::string(), std::string("/etc/passwd"), std::string("../bob/secret.txt"),
        std::string("a/../../bob/secret.txt"), std::string("a//b"), std::string("."), std::string(".hidden"),
        std::string("a/.tmp/b"), std::string("a/"), std::string("a\nb"), std::string("a\0b", 3), std::string("\xff"),
        std::string(513, 'a')}) {
    EXPECT_THAT(workspace->Open(path), HasReason(absl::StatusCode::kInvalidArgument, "FILE_PATH_INVALID")) << path;
    EXPECT_THAT(workspace->Write(path, ""), HasReason("FILE_PATH_INVALID")) << path;
  }
}

TEST_F(ToolTest, SymbolicLinksAreNotFollowed) {
  auto workspace = WorkspaceOf("ada");
  ASSERT_THAT(WorkspaceOf("bob")->Write("secret.txt", "bob's"), IsOk());
  const std::string root = dir_.File("workspaces");
  std::filesystem::create_symlink("../bob/secret.txt", root + "/ada/link.txt");
  std::filesystem::create_directory_symlink("../bob", root + "/ada/folder");
  EXPECT_THAT(workspace->Open("link.txt"), HasReason("FILE_PATH_TAKEN"));
  EXPECT_THAT(workspace->Open("folder/secret.txt"), HasReason("FILE_PATH_TAKEN"));
  EXPECT_THAT(workspace->Write("folder/new.txt", "x"), HasReason("FILE_PATH_TAKEN"));
  EXPECT_THAT(workspace->Write("link.txt", "x"), HasReason("FILE_PATH_TAKEN"));
  EXPECT_THAT(*workspace->List("", "", 10), IsEmpty());
  EXPECT_EQ((*WorkspaceOf("bob")->Stat("secret.txt")).size, 5u);
}

TEST_F(ToolTest, WorkspaceCountsItsBytes) {
  auto workspace = WorkspaceOf("ada");
  ASSERT_THAT(workspace->Write("a/b.txt", std::string(600'000, 'x')), IsOk());
  EXPECT_THAT(workspace->Write("c.txt", std::string(600'000, 'x')),
              HasReason(absl::StatusCode::kResourceExhausted, "WORKSPACE_FULL"));
  ASSERT_THAT(workspace->Write("a/b.txt", std::string(900'000, 'x')), IsOk()) << "what is replaced does not count";
  EXPECT_EQ(workspace->used_bytes(), 900'000u);
  ASSERT_THAT(workspace->Delete("a/b.txt"), IsOk());
  EXPECT_EQ(workspace->used_bytes(), 0u);
  EXPECT_THAT(workspace->Write("a", "now a file"), IsOk()) << "an empty folder is gone";
  EXPECT_THAT(workspace->Delete("a/b.txt"), HasReason("FILE_PATH_TAKEN"));
  EXPECT_THAT(workspace->Delete("b.txt"), HasReason(absl::StatusCode::kNotFound, "FILE_NOT_FOUND"));
  EXPECT_EQ((*workspace->Stat("a")).update_time, kNoon);
}

TEST_F(ToolTest, UploadedPiecesMakeOneFileHoweverOftenTheyAreSent) {
  auto workspace = WorkspaceOf("ada");
  auto piece = [](uint64_t offset, std::string_view data, bool finish = false) {
    return Workspace::Piece{.path = "in/f.txt", .upload_id = "up-1", .offset = offset, .data = data, .finish = finish};
  };
  EXPECT_EQ(workspace->Upload(piece(0, "hello "))->received, 6u);
  EXPECT_EQ(workspace->Upload(piece(0, "hello "))->received, 6u);
  EXPECT_THAT(workspace->Stat("in/f.txt"), HasReason("FILE_NOT_FOUND"));
  absl::StatusOr<Workspace::UploadState> gap = workspace->Upload(piece(9, "x"));
  ASSERT_THAT(gap, HasReason(absl::StatusCode::kFailedPrecondition, "UPLOAD_OFFSET_WRONG"));
  EXPECT_EQ(ErrorInfoOf(gap.status())->metadata.at("expected"), "6");
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK_AND_ASSIGN(Workspace::UploadState end, workspace->Upload(piece(6, "world", /*finish=*/true)));
    ASSERT_TRUE(end.file.has_value());
    EXPECT_EQ(end.file->size, 11u);
  }
  EXPECT_EQ(workspace->used_bytes(), 11u);
  EXPECT_EQ(*Output("file.read", {{"file", "in/f.txt"}, {"offset", 6}}),
            json::parse(R"({"file":"in/f.txt","text":"world","size_bytes":11,"offset":6,"truncated":false})"));
}

Workspace::Piece PieceOf(std::string_view upload_id, uint64_t offset, std::string_view data, bool finish = false) {
  return {.path = "in/f.txt", .upload_id = upload_id, .offset = offset, .data = data, .finish = finish};
}

TEST_F(ToolTest, UploadThatDoesNotFitGivesItsBytesBack) {
  auto workspace = WorkspaceOf("ada");
  const std::string large(700'000, 'x');
  ASSERT_THAT(workspace->Upload(PieceOf("up-1", 0, large)), IsOk());
  EXPECT_EQ(workspace->used_bytes(), 700'000u);

  EXPECT_THAT(workspace->Upload(PieceOf("up-1", 700'000, large, /*finish=*/true)),
              HasReason(absl::StatusCode::kResourceExhausted, "WORKSPACE_FULL"));

  EXPECT_EQ(workspace->used_bytes(), 0u);
  EXPECT_THAT(workspace->Upload(PieceOf("up-2", 0, large, /*finish=*/true)), IsOk());
}

TEST_F(ToolTest, UploadToATakenPathGivesItsBytesBack) {
  auto workspace = WorkspaceOf("ada");
  ASSERT_THAT(workspace->Write("in/f.txt/g.txt", "kept"), IsOk());
  ASSERT_THAT(workspace->Upload(PieceOf("up-1", 0, "hello ")), IsOk());

  EXPECT_THAT(workspace->Upload(PieceOf("up-1", 6, "world", /*finish=*/true)),
              HasReason(absl::StatusCode::kFailedPrecondition, "FILE_PATH_TAKEN"));

  EXPECT_EQ(workspace->used_bytes(), 4u);
  EXPECT_EQ((*workspace->Stat("in/f.txt/g.txt")).size, 4u);
}

TEST_F(ToolTest, DiscardedUploadBeginsAnew) {
  auto workspace = WorkspaceOf("ada");
  ASSERT_THAT(workspace->Upload(PieceOf("up-1", 0, "hello ")), IsOk());
  ASSERT_THAT(workspace->Upload(PieceOf("up-2", 0, "other")), IsOk());

  EXPECT_THAT(workspace->DiscardUpload("up-1"), IsOk());

  EXPECT_EQ(workspace->used_bytes(), 5u);
  absl::StatusOr<Workspace::UploadState> gap = workspace->Upload(PieceOf("up-1", 6, "world", /*finish=*/true));
  ASSERT_THAT(gap, HasReason("UPLOAD_OFFSET_WRONG"));
  EXPECT_EQ(ErrorInfoOf(gap.status())->metadata.at("expected"), "0");
  EXPECT_THAT(workspace->Upload(PieceOf("up-2", 5, "", /*finish=*/true)), IsOk());
  EXPECT_THAT(workspace->DiscardUpload("up-2"), IsOk()) << "has ended";
  EXPECT_EQ((*workspace->Stat("in/f.txt")).size, 5u);
  EXPECT_THAT(workspace->DiscardUpload("../in/f.txt"),
              HasReason(absl::StatusCode::kInvalidArgument, "UPLOAD_ID_INVALID"));
}

TEST_F(ToolTest, UploadGoesOnWithinADayAlsoAfterARestart) {
  ASSERT_THAT(WorkspaceOf("ada")->Upload(PieceOf("up-1", 0, "hello ")), IsOk());
  clock_.Advance(absl::Hours(23));
  ASSERT_THAT(WorkspaceOf("ada")->Upload(PieceOf("up-1", 6, "wide ")), IsOk());
  clock_.Advance(absl::Hours(23));

  const std::unique_ptr<Workspaces> reopened = OpenWorkspaces();
  ASSERT_OK_AND_ASSIGN(const auto workspace, reopened->For("ada"));
  clock_.Advance(absl::Minutes(59));
  EXPECT_EQ(workspace->used_bytes(), 11u);
  ASSERT_THAT(workspace->Upload(PieceOf("up-1", 11, "world", /*finish=*/true)), IsOk());
  EXPECT_EQ((*workspace->Stat("in/f.txt")).size, 16u);
}

TEST_F(ToolTest, AbandonedUploadIsRemovedAfterADay) {
  auto workspace = WorkspaceOf("ada");
  const std::string large(600'000, 'x');
  ASSERT_THAT(workspace->Upload(PieceOf("up-1", 0, large)), IsOk());
  clock_.Advance(absl::Hours(24));

  EXPECT_THAT(workspace->Write("c.txt", large), IsOk()) << "by whatever wants its room";
  EXPECT_EQ(workspace->used_bytes(), 600'000u);
  ASSERT_THAT(workspace->Upload(PieceOf("up-2", 0, "hello ")), IsOk());
  clock_.Advance(absl::Hours(24));

  EXPECT_THAT(workspace->Upload(PieceOf("up-2", 6, "world")), HasReason("UPLOAD_OFFSET_WRONG"));
  ASSERT_THAT(workspace->Upload(PieceOf("up-3", 0, "hello ")), IsOk());
  EXPECT_EQ(workspace->used_bytes(), 600'006u);
  clock_.Advance(absl::Hours(24));

  const std::unique_ptr<Workspaces> reopened = OpenWorkspaces();
  ASSERT_OK_AND_ASSIGN(workspace, reopened->For("ada"));
  EXPECT_EQ(workspace->used_bytes(), 600'000u);
}

TEST_F(ToolTest, UploadIsKeptForAsLongAsItsLastPieceAsks) {
  auto workspace = WorkspaceOf("ada");
  Workspace::Piece piece = PieceOf("up-1", 0, "hello ");
  piece.keep = absl::Hours(1);
  ASSERT_THAT(workspace->Upload(piece), IsOk());
  piece.upload_id = "up-2";
  piece.keep = absl::Hours(100);
  ASSERT_THAT(workspace->Upload(piece), IsOk());
  clock_.Advance(absl::Hours(1));

  EXPECT_THAT(workspace->Write("c.txt", "c"), IsOk());
  EXPECT_EQ(workspace->used_bytes(), 7u);
  clock_.Advance(absl::Hours(23));
  EXPECT_THAT(workspace->Write("c.txt", "c"), IsOk());
  EXPECT_EQ(workspace->used_bytes(), 1u) << "a day at most";
}

// --- The built-in tools, through the dispatcher ---

TEST_F(ToolTest, TableToolsChainFromFileToChart) {
  ASSERT_THAT(Output("file.write", {{"file", "data/Sales 2021.csv"},
                                    {"text", "region,amount\nNorth,10\nSouth,\"1,200\"\nNorth,20\n"}}),
              IsOk());
  ASSERT_OK_AND_ASSIGN(json loaded, Output("table.load", {{"file", "data/Sales 2021.csv"}}));
  EXPECT_EQ(loaded["table"], "sales_2021");
  EXPECT_EQ(loaded["rows"], 3);
  EXPECT_EQ(loaded["columns"][1], json::parse(R"({"name":"amount","type":"integer","missing":0})"));
  EXPECT_EQ(loaded["delimiter"], ",");

  ASSERT_OK_AND_ASSIGN(json profile, Output("table.profile", {{"table", "sales_2021"}, {"column", "amount"}}));
  EXPECT_EQ(profile["columns"][0]["max"], 1200);
  EXPECT_THAT(Output("table.profile", {{"table", "sales_2021"}, {"column", "x"}}), HasReason("COLUMN_NOT_FOUND"));
  EXPECT_THAT(Output("table.profile", {{"table", "other"}}), HasReason("TABLE_NOT_FOUND"));

  const std::string sql =
      "SELECT region, sum(amount) AS total FROM sales_2021 WHERE amount > ?1 GROUP BY region ORDER "
      "BY region";
  ASSERT_OK_AND_ASSIGN(json rows, Output("table.query", {{"sql", sql}, {"parameters", {5}}, {"max_rows", 1}}));
  EXPECT_EQ(rows["rows"], json::parse(R"([["North",30]])"));
  EXPECT_EQ(rows["columns"], json::parse(R"([{"name":"region","type":"text"},{"name":"total","type":"integer"}])"));
  EXPECT_EQ(rows["truncated"], true);
  EXPECT_THAT(Output("table.query", {{"sql", "DROP TABLE sales_2021"}}), HasReason("QUERY_NOT_READ_ONLY"));
  // A row that is too large ends what can be returned; when it is the first one, nothing can.
  EXPECT_THAT(Output("table.query", {{"sql", "SELECT zeroblob(2000000)"}}), HasReason("QUERY_ROW_TOO_LARGE"));
  ASSERT_OK_AND_ASSIGN(rows, Output("table.query", {{"sql", "VALUES (1), (zeroblob(2000000)), (3)"}}));
  EXPECT_EQ(rows["rows"], json::parse("[[1]]"));
  EXPECT_EQ(rows["truncated"], true);

  ASSERT_OK_AND_ASSIGN(FinishedCall chart,
                       Call("chart.render", {{"kind", "bar"},
                                             {"file", "charts/sales.svg"},
                                             {"title", "Sales <2021>"},
                                             {"sql", "SELECT region, sum(amount) FROM sales_2021 GROUP BY 1"}}));
  EXPECT_EQ(chart.output["points"], 2);
  EXPECT_THAT(chart.artifacts, ElementsAre("charts/sales.svg"));
  ASSERT_OK_AND_ASSIGN(json svg, Output("file.read", {{"file", "charts/sales.svg"}}));
  EXPECT_THAT(svg["text"].get<std::string>(), ::testing::HasSubstr("Sales &lt;2021&gt;"));
  EXPECT_THAT(
      Output("chart.render", {{"kind", "histogram"}, {"file", "h.svg"}, {"bins", profile["columns"][0]["histogram"]}}),
      IsOk());
  EXPECT_THAT(Output("chart.render", {{"kind", "line"}, {"file", "l.svg"}}), HasReason("TOOL_INPUT_INVALID"));

  EXPECT_EQ((*Output("table.list", json::object()))["tables"][0]["file"], "data/Sales 2021.csv");
  EXPECT_EQ((*Call("table.list", json::object(), "", "bob")).output["tables"], json::array());
  EXPECT_EQ((*Output("table.drop", {{"table", "sales_2021"}}))["dropped"], true);
  EXPECT_EQ((*Output("table.drop", {{"table", "sales_2021"}}))["dropped"], false);
}

}  // namespace
}  // namespace bulkhead::tool
