#include "testing/integration/agent_execution/crash_run.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/testing/dead_database.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/base/resource_name.h"
#include "testing/base/wait.h"
#include "testing/harness/child_process.h"
#include "testing/harness/inference_server.h"

namespace bulkhead::testing {
namespace {

using gateway::GatewayClient;
using nlohmann::json;

// A process is started hundreds of times, maybe on a machine that has much else to do.
constexpr absl::Duration kGuard = absl::Minutes(2);

// More than a run can need that gets anywhere in each.
constexpr int kMostLives = 100;

absl::Status Unexpected(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, what, {.domain = "bulkhead.testing", .reason = "SERVER_MISBEHAVED"});
}

constexpr std::string_view kUser = "ada";
constexpr std::string_view kAdministrator = "warden";  // As the server knows it.

json Account(std::string_view login) { return {{"login", login}, {"password", "correct horse battery"}}; }

// "model before" and the like: the server itself does not know this place.
bool WhileModelAnswers(const CrashPlan& plan) { return absl::StartsWith(plan.place, "model "); }

// A process on a data folder.
class Server {
 public:
  // UNAVAILABLE when it died before it listened.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& folder, const InferenceServer* model,
                                                       const CrashPlan& plan) {
    std::vector<std::string> arguments = {folder + "/data", folder + "/effects", model == nullptr ? "" : model->url()};
    if (!plan.place.empty() && !WhileModelAnswers(plan)) {
      arguments.push_back(plan.place);
      arguments.push_back(absl::StrCat(plan.nth));
    }
    auto server = std::make_unique<Server>();
    ASSIGN_OR_RETURN(server->process_,
                     ChildProcess::Start({.program = std::filesystem::absolute("testing/harness/crash/server").string(),
                                          .arguments = std::move(arguments),
                                          .environment = {{"TMPDIR", folder}, {"MODEL_KEY", kModelKey}}}));
    const absl::StatusOr<std::string> line = server->process_->WaitForLine("\"url\"", kGuard);
    if (line.ok()) {
      ASSIGN_OR_RETURN(server->client_, GatewayClient::Create({.base_url = json::parse(*line).at("url")}));
    }
    return server;
  }

  bool listens() const { return client_ != nullptr; }
  GatewayClient& client() { return *client_; }

  // At once, as a crash.
  void Kill() { process_->Signal(SIGKILL); }
  // Waits for its death, which is known to come.
  absl::Status AwaitDeath() { return AwaitExit(128 + SIGKILL).status(); }
  // Ends it in good order; false when it died instead.
  absl::StatusOr<bool> End() {
    process_->Signal(SIGTERM);
    ASSIGN_OR_RETURN(const int code, AwaitExit(0));
    return code == 0;
  }

 private:
  // Its exit code, which is `expected` or that of SIGKILL.
  absl::StatusOr<int> AwaitExit(int expected) {
    const absl::StatusOr<int> exited = process_->WaitForExit(kGuard);
    if (!exited.ok()) {
      return Unexpected(absl::StrCat("a server that should end ", expected == 0 ? "in good order" : "by SIGKILL",
                                     " does not: ", exited.status().message(), "; ", process_->errors()));
    }
    const int code = *exited;
    if (code != expected && code != 128 + SIGKILL) {
      return Unexpected(absl::StrCat("the server ended with code ", code, ": ", process_->errors()));
    }
    return code;
  }

  std::unique_ptr<ChildProcess> process_;
  std::unique_ptr<GatewayClient> client_;
};

// The user: starts the run, follows it, answers what it asks.
class Client {
 public:
  // All of it outlives the client.
  Client(const CrashHome& home, const CrashScenario& scenario, std::string folder, CrashOutcome* outcome)
      : home_(home), scenario_(scenario), folder_(std::move(folder)), outcome_(outcome) {}

  // Kills the next server while the endpoint holds its answer to the nth request, which it has been told to.
  void KillInModelCall(int64_t nth) { kill_in_call_ = nth; }

  // Until the run has ended and everything is told. An error: the server died, or should have.
  absl::Status Follow(Server& server) {
    RETURN_IF_ERROR(SignIn(server.client()));
    if (outcome_->run.empty() || scenario_.session == SessionUse::kSame) {
      // Under the same request id each time: the client does not know whether it was heard.
      ASSIGN_OR_RETURN(const json run,
                       server.client().Request(
                           "POST", "/v1/runs",
                           {{"agent", scenario_.agent}, {"input", scenario_.input}, {"requestId", "once"}}, token()));
      outcome_->run = run.at("name");
    }
    RETURN_IF_ERROR(Decide(server.client()));
    if (!ended_) {
      RETURN_IF_ERROR(Watch(server));
    }
    return TakeLogs(server.client());
  }

 private:
  // Of the session in which the run was started.
  const RawToken& token() const { return scenario_.session == SessionUse::kSame ? home_.token : own_token_; }

  absl::Status Watch(Server& server) {
    absl::Status decided;
    int64_t model_calls = 0;
    RETURN_IF_ERROR(server.client().WatchRun(
        outcome_->run, {.after = outcome_->seen.size(), .durable_only = true, .reconnects = 0}, home_.token,
        [&](const json& frame) {
          if (frame.contains("event")) {
            const json& event = outcome_->seen.emplace_back(frame.at("event"));
            const std::string type = event.at("type");
            ended_ = IsTerminal(type);
            if (type == "approval_requested") {
              decided = Decide(server.client());
            } else if (type == "model_calling" && ++model_calls == kill_in_call_) {
              decided = WaitFor([&] { return scenario_.model->Held() > 0; }, "a request that the endpoint holds");
              server.Kill();
            }
          }
          return decided.ok() && !frame.contains("gap");
        }));
    return decided;
  }

  absl::Status SignIn(GatewayClient& server) {
    if (scenario_.session == SessionUse::kSame || !own_token_.empty()) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const json tokens, server.Request("POST", "/v1/sessions:signIn", Account(kUser), RawToken()));
    Keep(tokens);
    return absl::OkStatus();
  }

  void Keep(const json& tokens) {
    own_token_ = RawToken(tokens.at("accessToken").get<std::string>());
    refresh_token_ = tokens.at("refreshToken");
    session_ = tokens.at("session");
  }

  // Before the user answers for the first time.
  absl::Status UseSession(GatewayClient& server) {
    if (scenario_.session == SessionUse::kRefreshed && !session_used_) {
      const absl::StatusOr<json> tokens =
          server.Request("POST", "/v1/sessions:refresh", {{"refreshToken", refresh_token_}}, RawToken());
      if (tokens.ok()) {
        Keep(*tokens);
      } else if (ReasonOf(tokens.status()) == "REFRESH_TOKEN_REUSED") {
        outcome_->session_lost = true;
      } else {
        return tokens.status();
      }
    } else if (scenario_.session == SessionUse::kRevoked && !session_used_) {
      RETURN_IF_ERROR(
          server.Request("DELETE", absl::StrCat("/v1/users/me/sessions/", IdOf(session_)), nullptr, home_.token)
              .status());
    }
    session_used_ = true;
    return absl::OkStatus();
  }

  // Allows what is asked; after a crash, unless it has happened.
  absl::Status Decide(GatewayClient& server) {
    const std::string path = absl::StrCat("/v1/runs/", IdOf(outcome_->run), "/approvals");
    ASSIGN_OR_RETURN(const json listed, server.Request("GET", path, nullptr, home_.token));
    for (const json& approval : listed.value("approvals", json::array())) {
      if (approval.contains("decision")) {
        continue;
      }
      RETURN_IF_ERROR(UseSession(server));
      if (scenario_.session == SessionUse::kRevoked || outcome_->session_lost) {
        return absl::OkStatus();  // Nobody is left to answer.
      }
      bool allow = true;
      if (absl::StrContains(approval.at("question").get<std::string>(), "may or may not have happened")) {
        outcome_->asked = true;
        std::ifstream effects(folder_ + "/effects");
        for (std::string line; std::getline(effects, line);) {
          allow = allow && !absl::StartsWith(line, "effect.pay\t");
        }
        outcome_->denied = !allow;
      }
      const absl::Status decided =
          server
              .Request("POST", absl::StrCat(path, "/", IdOf(approval.at("name").get<std::string>()), ":resolve"),
                       {{"decision", {{"verdict", allow ? "VERDICT_ALLOW" : "VERDICT_DENY"}}},
                        {"callHash", approval.at("callHash")}},
                       token())
              .status();
      if (!decided.ok() && ReasonOf(decided) != "APPROVAL_DECIDED") {
        return decided;
      }
    }
    return absl::OkStatus();
  }

  absl::Status TakeLogs(GatewayClient& server) {
    outcome_->logs.clear();
    ASSIGN_OR_RETURN(const json runs, server.Request("GET", "/v1/runs?pageSize=100", nullptr, home_.token));
    for (const json& run : runs.at("runs")) {
      const std::string name = run.at("name");
      if (name == outcome_->run) {
        outcome_->ended = run;
      }
      ASSIGN_OR_RETURN(
          const json events,
          server.Request("GET", absl::StrCat("/v1/runs/", IdOf(name), "/events?pageSize=1000"), nullptr, home_.token));
      for (const json& event : events.value("events", json::array())) {
        outcome_->logs[name].push_back(event);
      }
    }
    const absl::Status taken = server.Request("GET", "/v1/users/me", nullptr, token()).status();
    if (!taken.ok() && taken.code() != absl::StatusCode::kUnauthenticated) {
      return taken;
    }
    outcome_->token_lives = taken.ok();
    ASSIGN_OR_RETURN(outcome_->audit, server.Request("POST", "/v1/audit:verify", json::object(), home_.administrator));
    return absl::OkStatus();
  }

  const CrashHome& home_;
  const CrashScenario& scenario_;
  const std::string folder_;
  CrashOutcome* const outcome_;
  int64_t kill_in_call_ = 0;
  RawToken own_token_;
  std::string refresh_token_;
  std::string session_;
  bool session_used_ = false;
  bool ended_ = false;
};

absl::Status ReadJournal(const std::string& database, std::vector<JournalRow>& journal) {
  ASSIGN_OR_RETURN(auto rows, storage::ReadRows(database,
                                                "SELECT runs.id, path, step, kind, command, payload FROM journal JOIN "
                                                "runs ON runs.key = journal.run ORDER BY journal.key",
                                                6));
  journal.clear();
  for (const std::vector<std::string>& row : rows) {
    JournalRow& read = journal.emplace_back(JournalRow{.run = row[0], .path = row[1], .command = row[4]});
    if (!absl::SimpleAtoi(row[2], &read.step) || !absl::SimpleAtoi(row[3], &read.kind)) {
      return Unexpected(absl::StrCat("no number in the journal: ", row[2], ", ", row[3]));
    }
    read.payload = json::parse(row[5]);
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> TokensOfUser(const std::string& database) {
  ASSIGN_OR_RETURN(auto rows, storage::ReadRows(database, "SELECT coalesce(sum(tokens), 0) FROM model_usage", 1));
  int64_t tokens = 0;
  if (!absl::SimpleAtoi(rows.at(0).at(0), &tokens)) {
    return Unexpected(absl::StrCat("no number of tokens: ", rows.at(0).at(0)));
  }
  return tokens;
}

absl::StatusOr<int> Count(const std::string& database, std::string_view table) {
  ASSIGN_OR_RETURN(auto rows, storage::ReadRows(database, absl::StrCat("SELECT 1 FROM ", table), 1));
  return static_cast<int>(rows.size());
}

}  // namespace

absl::StatusOr<CrashHome> MakeCrashHome(const std::string& folder, const CrashScenario& scenario) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, Server::Start(folder, scenario.model, {}));
  if (!server->listens()) {
    return Unexpected("the server does not start");
  }
  GatewayClient& client = server->client();
  const auto sign_in = [&client](std::string_view login) -> absl::StatusOr<RawToken> {
    RETURN_IF_ERROR(client.Request("POST", "/v1/users", Account(login), RawToken()).status());
    ASSIGN_OR_RETURN(const json tokens, client.Request("POST", "/v1/sessions:signIn", Account(login), RawToken()));
    return RawToken(tokens.at("accessToken").get<std::string>());
  };
  CrashHome home{.folder = folder, .token = RawToken(), .administrator = RawToken()};
  ASSIGN_OR_RETURN(home.token, sign_in(kUser));
  ASSIGN_OR_RETURN(home.administrator, sign_in(kAdministrator));
  if (!scenario.definition.is_null()) {
    RETURN_IF_ERROR(client.Request("POST", "/v1/agents", {{"agent", scenario.definition}}, home.token).status());
  }
  RETURN_IF_ERROR(server->End().status());
  return home;
}

absl::StatusOr<CrashOutcome> RunAndCrash(const CrashHome& home, const CrashScenario& scenario,
                                         const std::string& folder, const CrashPlan& plan) {
  std::filesystem::copy(home.folder, folder, std::filesystem::copy_options::recursive);
  const std::string database = folder + "/data/agent.db";
  CrashOutcome outcome;
  Client client(home, scenario, folder, &outcome);
  const size_t requests = scenario.model == nullptr ? 0 : scenario.model->Requests().size();
  if (WhileModelAnswers(plan)) {
    const std::string when = plan.place.substr(plan.place.find(' ') + 1);
    RETURN_IF_ERROR(scenario.model->HoldRequest(static_cast<int>(plan.nth) - 1, when));
    client.KillInModelCall(plan.nth);
  }
  bool ended = false;
  for (int life = 1; !ended; ++life) {
    if (life > (plan.again ? kMostLives : 2)) {
      return Unexpected("servers die more often than they are told to, or get nowhere");
    }
    const bool dies = outcome.deaths == 0 || plan.again;
    ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                     Server::Start(folder, scenario.model, dies ? plan : CrashPlan()));
    absl::Status followed;
    if (server->listens()) {
      followed = client.Follow(*server);
      if (followed.ok()) {
        ASSIGN_OR_RETURN(ended, server->End());
      } else if (followed.code() != absl::StatusCode::kUnavailable) {
        return followed;
      }
    }
    if (!ended) {
      if (const absl::Status died = server->AwaitDeath(); !died.ok()) {
        return Unexpected(absl::StrCat(died.message(), "; the user was told ", followed.ToString()));
      }
      ++outcome.deaths;
      client.KillInModelCall(0);
      RETURN_IF_ERROR(ReadJournal(database, outcome.journal));
      const auto written = [&outcome](int kind) {
        return std::ranges::any_of(outcome.journal, [kind](const JournalRow& row) {
          return row.kind == kind && absl::StartsWith(row.command, "tool effect.pay#");
        });
      };
      outcome.died_in_doubt = outcome.died_in_doubt || (written(1) && !written(3));
    }
  }
  RETURN_IF_ERROR(ReadJournal(database, outcome.journal));
  ASSIGN_OR_RETURN(outcome.tokens_of_user, TokensOfUser(database));
  if (scenario.model != nullptr) {
    outcome.model_requests = static_cast<int>(scenario.model->Requests().size() - requests);
  }
  ASSIGN_OR_RETURN(outcome.outbox, Count(database, "outbox"));
  ASSIGN_OR_RETURN(outcome.dead_letters, Count(database, "pipeline_dead_letters"));
  std::ifstream effects(folder + "/effects");
  for (std::string line; std::getline(effects, line);) {
    outcome.effects.push_back(line);
  }
  return outcome;
}

bool IsTerminal(std::string_view type) {
  return type == "agent_completed" || type == "agent_failed" || type == "agent_cancelled";
}

}  // namespace bulkhead::testing
