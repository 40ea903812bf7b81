#include "services/bulkhead/cli/local_commands.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/embedded.h"
#include "services/bulkhead/cli/event_printer.h"
#include "services/bulkhead/cli/remote_commands.h"
#include "services/bulkhead/demo/data_set.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// What one run gave.
struct Finished {
  json run;
  std::vector<std::string> saved;
};

// The file's name, as the workspace accepts it: not hidden.
std::string WorkspaceName(const std::string& local_file) {
  const std::string name = fs::path(local_file).filename().string();
  const size_t shown = name.find_first_not_of('.');
  return shown == std::string::npos ? "data" : name.substr(shown);
}

// Uploads `local_file`, runs the analyst over it, prints the events as they come, and saves what it made into `folder`.
absl::StatusOr<Finished> RunAnalyst(Console& console, const Interrupt& interrupt, Session& session, std::string who,
                                    Colour colour, const std::string& local_file, const std::string& question,
                                    const std::string& folder) {
  const std::string path = WorkspaceName(local_file);
  int shown_tenths = 0;
  RETURN_IF_ERROR(session
                      .Upload(path, local_file,
                              [&](uint64_t sent, uint64_t all) {
                                const int tenths = all == 0 ? 10 : static_cast<int>(sent * 10 / all);
                                // Small files are there before a word could be read.
                                if (all > (16u << 20) && tenths > shown_tenths) {
                                  shown_tenths = tenths;
                                  console.Note(absl::StrFormat("Uploading %s: %d %%", path, tenths * 10));
                                }
                              })
                      .status());
  json input = {{"file", path}};
  if (!question.empty()) {
    input["question"] = question;
  }
  ASSIGN_OR_RETURN(const json started,
                   session.Request("POST", "/v1/runs", {{"agent", "agents/analyst"}, {"input", input}}));
  const std::string name = started.value("name", "");
  EventPrinter printer(&console, std::move(who), colour);
  const absl::Status watched = session.Watch(name, /*after=*/0, interrupt.token(), [&](const json& frame) {
    printer.Print(frame);
    return true;
  });
  if (interrupt.requested()) {
    return InterruptedError();
  }
  RETURN_IF_ERROR(watched);
  Finished finished;
  ASSIGN_OR_RETURN(finished.run, session.Request("GET", absl::StrCat("/v1/runs/", LastSegment(name)), nullptr));
  RETURN_IF_ERROR(OutcomeOf(finished.run));
  ASSIGN_OR_RETURN(finished.saved, SaveArtifacts(session, finished.run, folder));
  return finished;
}

json SavedAsJson(const Finished& finished) {
  return {{"run", finished.run.value("name", "")},
          {"summary", finished.run.value("answer", json::object()).value("summary", "")},
          {"report", finished.saved.empty() ? "" : finished.saved.front()},
          {"files", finished.saved}};
}

absl::Status WriteDataSet(const std::string& path) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << demo::DataSet();
  file.close();
  if (!file) {
    return MakeError(absl::StatusCode::kInternal, absl::StrCat("cannot write ", path),
                     {.domain = "bulkhead.cli", .reason = "OUTPUT_UNWRITABLE", .metadata = {{"path", path}}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Demo(Console& console, const Interrupt& interrupt, const DemoOptions& options) {
  console.Note("Starting the platform...");
  ASSIGN_OR_RETURN(const std::unique_ptr<Embedded> embedded, Embedded::Start(options.data_dir, options.listen));
  console.Line(absl::StrCat("Auth, tool, notifier and agent services and the gateway run in this process: ",
                            console.Paint(Colour::kBold, embedded->url())));
  std::vector<DemoUser> users;
  for (const char* login : {"ada", "bob"}) {
    absl::StatusOr<DemoUser> user = embedded->MakeUser(login);
    if (ReasonOf(user.status()) == "LOGIN_TAKEN") {
      return Annotate(user.status(),
                      absl::StrCat(options.data_dir, " has been used for a demonstration before; choose a new folder"));
    }
    RETURN_IF_ERROR(user.status());
    users.push_back(*std::move(user));
  }
  const std::string data_file = absl::StrCat(embedded->data_dir(), "/", demo::kDataSetName);
  RETURN_IF_ERROR(WriteDataSet(data_file));
  console.Line(
      "ada and bob each give 10,000 reports of aircraft that struck wildlife to the analyst, at the same time. Their "
      "events, as their "
      "WebSockets bring them:\n");

  const Colour colours[] = {Colour::kCyan, Colour::kMagenta};
  std::vector<absl::StatusOr<Finished>> results(users.size(), absl::UnknownError("did not end"));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < users.size(); ++i) {
    threads.emplace_back([&, i] {
      results[i] = RunAnalyst(console, interrupt, *users[i].session, users[i].login, colours[i], data_file,
                              /*question=*/"", absl::StrCat(options.out, "/", users[i].login));
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }

  console.Line("");
  absl::Status outcome;
  json summary = {{"url", embedded->url()}, {"users", json::array()}};
  for (size_t i = 0; i < users.size(); ++i) {
    outcome.Update(results[i].status());
    if (!results[i].ok()) {
      continue;
    }
    json entry = SavedAsJson(*results[i]);
    entry["user"] = users[i].login;
    if (options.keep) {
      entry["password"] = users[i].password.Reveal();
    }
    console.Line(absl::StrCat(console.Paint(colours[i], absl::StrFormat("%-6s", users[i].login)),
                              " report: ", console.Paint(Colour::kBold, entry.value("report", "")), " and ",
                              results[i]->saved.size() - 1, " charts"));
    summary["users"].push_back(std::move(entry));
  }
  console.Json(summary);
  if (!outcome.ok() || !options.keep) {
    return outcome;
  }
  console.Line(
      absl::StrCat("\nThe platform stays up. Open ", console.Paint(Colour::kBold, embedded->url()), " and sign in:"));
  for (const DemoUser& user : users) {
    console.Line(absl::StrCat("  ", user.login, "  password ", user.password.Reveal()));
  }
  console.Line("Ctrl-C ends it.");
  interrupt.Wait();
  return absl::OkStatus();
}

absl::Status Analyze(Console& console, const Interrupt& interrupt, const AnalyzeOptions& options) {
  std::error_code error;
  const fs::path file = options.file;
  if (!fs::is_regular_file(file, error)) {
    return MakeError(
        absl::StatusCode::kNotFound, absl::StrCat("there is no file ", options.file),
        {.domain = "bulkhead.cli", .reason = "LOCAL_FILE_UNREADABLE", .metadata = {{"file", options.file}}});
  }
  const std::string out = options.out.empty() ? absl::StrCat(file.stem().string(), "-report") : options.out;
  ASSIGN_OR_RETURN(const std::unique_ptr<Embedded> embedded, Embedded::Start(/*data_dir=*/"", "127.0.0.1:0"));
  ASSIGN_OR_RETURN(const DemoUser user, embedded->MakeUser("analyst-user"));
  ASSIGN_OR_RETURN(const Finished finished, RunAnalyst(console, interrupt, *user.session, /*who=*/"", Colour::kCyan,
                                                       options.file, options.question, out));
  json result = SavedAsJson(finished);
  console.Line(absl::StrCat("\n", Printable(result.value("summary", "")),
                            "\nReport: ", console.Paint(Colour::kBold, result.value("report", ""))));
  console.Json(result);
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
