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
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/testing/dead_database.h"
#include "services/gateway/client/gateway_client.h"
#include "testing/harness/child_process.h"

namespace bulkhead::testing {
namespace {

using gateway::GatewayClient;
using nlohmann::json;

// More than a run can need that gets anywhere in each.
constexpr int kMostLives = 100;

absl::Status Unexpected(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, what, {.domain = "bulkhead.testing", .reason = "SERVER_MISBEHAVED"});
}

std::string IdOf(std::string_view name) { return std::string(name.substr(name.rfind('/') + 1)); }

// A process on a data folder.
class Server {
 public:
  // UNAVAILABLE when it died before it listened.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& folder, const std::string& place,
                                                       int64_t nth) {
    std::vector<std::string> arguments = {folder + "/data", folder + "/effects"};
    if (!place.empty()) {
      arguments.push_back(place);
      arguments.push_back(absl::StrCat(nth));
    }
    auto server = std::make_unique<Server>();
    ASSIGN_OR_RETURN(server->process_,
                     ChildProcess::Start({.program = std::filesystem::absolute("testing/harness/crash/server").string(),
                                          .arguments = std::move(arguments),
                                          .environment = {{"TMPDIR", folder}}}));
    const absl::StatusOr<std::string> line = server->process_->WaitForLine("\"url\"");
    if (line.ok()) {
      ASSIGN_OR_RETURN(server->client_, GatewayClient::Create({.base_url = json::parse(*line).at("url")}));
    }
    return server;
  }

  bool listens() const { return client_ != nullptr; }
  GatewayClient& client() { return *client_; }

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
    ASSIGN_OR_RETURN(const int code, process_->WaitForExit());
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
  Client(const CrashHome& home, std::string folder, CrashOutcome* outcome)
      : token_(home.token), folder_(std::move(folder)), outcome_(outcome) {}

  // Until the run has ended and everything is told. An error: the server died, or should have.
  absl::Status Follow(GatewayClient& server) {
    // Under the same request id each time: the client does not know whether it was heard.
    ASSIGN_OR_RETURN(
        const json run,
        server.Request("POST", "/v1/runs", {{"agent", "agents/rich"}, {"input", json::object()}, {"requestId", "once"}},
                       token_));
    outcome_->run = run.at("name");
    RETURN_IF_ERROR(Decide(server));
    if (!ended_) {
      absl::Status decided;
      RETURN_IF_ERROR(
          server.WatchRun(outcome_->run, {.after = outcome_->seen.size(), .durable_only = true, .reconnects = 0},
                          token_, [&](const json& frame) {
                            if (frame.contains("event")) {
                              const json& event = outcome_->seen.emplace_back(frame.at("event"));
                              ended_ = event.at("type") == "agent_completed" || event.at("type") == "agent_failed";
                              if (event.at("type") == "approval_requested") {
                                decided = Decide(server);
                              }
                            }
                            return decided.ok() && !frame.contains("gap");
                          }));
      RETURN_IF_ERROR(decided);
    }
    return TakeLogs(server);
  }

 private:
  // Allows what is asked; after a crash, unless it has happened.
  absl::Status Decide(GatewayClient& server) {
    const std::string path = absl::StrCat("/v1/runs/", IdOf(outcome_->run), "/approvals");
    ASSIGN_OR_RETURN(const json listed, server.Request("GET", path, nullptr, token_));
    for (const json& approval : listed.value("approvals", json::array())) {
      if (approval.contains("decision")) {
        continue;
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
                       token_)
              .status();
      if (!decided.ok() && ReasonOf(decided) != "APPROVAL_DECIDED") {
        return decided;
      }
    }
    return absl::OkStatus();
  }

  absl::Status TakeLogs(GatewayClient& server) {
    outcome_->logs.clear();
    ASSIGN_OR_RETURN(const json runs, server.Request("GET", "/v1/runs?pageSize=100", nullptr, token_));
    for (const json& run : runs.at("runs")) {
      const std::string name = run.at("name");
      if (name == outcome_->run) {
        outcome_->ended = run;
      }
      ASSIGN_OR_RETURN(
          const json events,
          server.Request("GET", absl::StrCat("/v1/runs/", IdOf(name), "/events?pageSize=1000"), nullptr, token_));
      for (const json& event : events.value("events", json::array())) {
        outcome_->logs[name].push_back(event);
      }
    }
    return absl::OkStatus();
  }

  const RawToken& token_;
  const std::string folder_;
  CrashOutcome* const outcome_;
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

absl::StatusOr<int> Count(const std::string& database, std::string_view table) {
  ASSIGN_OR_RETURN(auto rows, storage::ReadRows(database, absl::StrCat("SELECT 1 FROM ", table), 1));
  return static_cast<int>(rows.size());
}

}  // namespace

absl::StatusOr<CrashHome> MakeCrashHome(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, Server::Start(folder, "", 0));
  if (!server->listens()) {
    return Unexpected("the server does not start");
  }
  const json account = {{"login", "ada"}, {"password", "correct horse battery"}};
  RETURN_IF_ERROR(server->client().Request("POST", "/v1/users", account, RawToken()).status());
  ASSIGN_OR_RETURN(const json tokens, server->client().Request("POST", "/v1/sessions:signIn", account, RawToken()));
  RETURN_IF_ERROR(server->End().status());
  return CrashHome{.folder = folder, .token = RawToken(tokens.at("accessToken").get<std::string>())};
}

absl::StatusOr<CrashOutcome> RunAndCrash(const CrashHome& home, const std::string& folder, const CrashPlan& plan) {
  std::filesystem::copy(home.folder, folder, std::filesystem::copy_options::recursive);
  const std::string database = folder + "/data/agent.db";
  CrashOutcome outcome;
  Client client(home, folder, &outcome);
  bool ended = false;
  for (int life = 1; !ended; ++life) {
    if (life > (plan.again ? kMostLives : 2)) {
      return Unexpected("servers die more often than they are told to, or get nowhere");
    }
    const bool dies = outcome.deaths == 0 || plan.again;
    ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, Server::Start(folder, dies ? plan.place : "", plan.nth));
    if (server->listens()) {
      const absl::Status followed = client.Follow(server->client());
      if (followed.ok()) {
        ASSIGN_OR_RETURN(ended, server->End());
      } else if (followed.code() != absl::StatusCode::kUnavailable) {
        return followed;
      }
    }
    if (!ended) {
      RETURN_IF_ERROR(server->AwaitDeath());
      ++outcome.deaths;
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
  ASSIGN_OR_RETURN(outcome.outbox, Count(database, "outbox"));
  ASSIGN_OR_RETURN(outcome.dead_letters, Count(database, "pipeline_dead_letters"));
  std::ifstream effects(folder + "/effects");
  for (std::string line; std::getline(effects, line);) {
    outcome.effects.push_back(line);
  }
  return outcome;
}

}  // namespace bulkhead::testing
