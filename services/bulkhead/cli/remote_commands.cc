#include "services/bulkhead/cli/remote_commands.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/event_printer.h"
#include "services/bulkhead/cli/runs_timeline.h"
#include "services/bulkhead/cli/thread_names.h"
#include "services/common/crypto/secret.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

constexpr int kPageSize = 200;
// Beside names and durations, a line fits into 80 columns.
constexpr int kTimelineWidth = 40;

absl::StatusOr<std::string> ReadText(const std::string& file) {
  std::stringstream text;
  if (file == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) {
    return InputInvalid(absl::StrCat(file, " is a folder"));
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    return MakeError(absl::StatusCode::kNotFound, absl::StrCat("cannot read ", file),
                     {.domain = "bulkhead.cli", .reason = "LOCAL_FILE_UNREADABLE", .metadata = {{"file", file}}});
  }
  text << stream.rdbuf();
  return text.str();
}

// The JSON object of --input or --file; {} when there is neither.
absl::StatusOr<json> ReadInput(const std::string& input, const std::string& input_file) {
  std::string text = input;
  if (!input_file.empty()) {
    ASSIGN_OR_RETURN(text, ReadText(input_file));
  }
  if (absl::StripAsciiWhitespace(text).empty()) {
    return json::object();
  }
  try {
    json parsed = json::parse(text);
    return parsed.is_object() ? absl::StatusOr<json>(std::move(parsed))
                              : InputInvalid("the input must be a JSON object");
  } catch (const json::parse_error& error) {
    return InputInvalid(absl::StrCat("the input is not JSON: ", error.what()));
  }
}

std::string ShortState(const json& run) {
  return absl::AsciiStrToLower(absl::StripPrefix(run.value("state", ""), "RUN_STATE_"));
}

std::string RunPath(const std::string& run) { return absl::StrCat("/v1/runs/", gateway::EscapePath(LastSegment(run))); }

// The durable events of a run that are in the log now.
absl::StatusOr<std::vector<json>> AllEvents(Session& session, const std::string& run) {
  std::vector<json> events;
  json page;
  do {
    ASSIGN_OR_RETURN(page, session.Request("GET",
                                           absl::StrCat(RunPath(run), "/events?pageSize=", kPageSize,
                                                        "&after=", events.size()),  // Numbered without gaps.
                                           nullptr));
    for (json& event : page["events"]) {
      events.push_back(std::move(event));
    }
  } while (page.value("more", false) && !page["events"].empty());
  return events;
}

std::string FullRunName(const Session& session, const std::string& run) {
  return absl::StrCat(session.user(), "/runs/", LastSegment(run));
}

void PrintRun(Console& console, const json& run) {
  console.Json(run);
  console.Line(absl::StrCat(run.value("name", ""), "  ", LastSegment(run.value("agent", "")), "  ", ShortState(run)));
  if (run.contains("waitsFor")) {
    console.Line(absl::StrCat("  waits for ", LastSegment(run.value("waitsFor", ""))));
  }
  if (run.contains("interruptTime")) {
    console.Line(absl::StrCat("  held back since ", ShortTime(run, "interruptTime")));
  }
  if (run.contains("answer")) {
    console.Line(absl::StrCat("  ", Printable(run["answer"].value("summary", ""))));
    for (const json& artifact : run["answer"].value("artifacts", json::array())) {
      console.Line(absl::StrCat("  ", Printable(artifact.get<std::string>())));
    }
  }
  if (run.contains("error")) {
    console.Line(absl::StrCat("  ", Printable(run["error"].value("reason", "")), ": ",
                              Printable(run["error"].value("message", ""))));
  }
}

// Follows a run to its end and returns how it ended.
absl::Status Follow(const RemoteContext& context, Session& session, const std::string& run, uint64_t after) {
  EventPrinter printer(context.console, /*who=*/"", Colour::kCyan);
  const absl::Status watched =
      session.Watch(FullRunName(session, run), after, context.interrupt->token(), [&](const json& frame) {
        printer.Print(frame);
        return true;
      });
  if (context.interrupt->requested()) {
    context.console->Note(absl::StrCat("The run goes on. `bulkhead watch ", LastSegment(run),
                                       "` follows it again, `bulkhead cancel ", LastSegment(run), "` stops it."));
    return InterruptedError();
  }
  RETURN_IF_ERROR(watched);
  ASSIGN_OR_RETURN(const json ended, session.Request("GET", RunPath(run), nullptr));
  PrintRun(*context.console, ended);
  return OutcomeOf(ended);
}

// What follows the start of a run.
absl::Status Started(const RemoteContext& context, Session& session, const json& run, bool detach) {
  if (detach) {
    PrintRun(*context.console, run);
    return absl::OkStatus();
  }
  const std::string name = run.value("name", "");
  context.console->Note(absl::StrCat("Started ", name));
  return Follow(context, session, name, /*after=*/0);
}

// A verb that answers with the run as it is then.
absl::Status Change(const RemoteContext& context, const std::string& run, std::string_view verb, const json& request) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json changed,
                   signed_in.session->Request("POST", absl::StrCat(RunPath(run), ":", verb), request));
  PrintRun(*context.console, changed);
  return absl::OkStatus();
}

}  // namespace

std::string RunLine(const json& run) {
  return absl::StrFormat("%-34s %-12s %-18s %s", LastSegment(run.value("name", "")),
                         LastSegment(run.value("agent", "")), ShortState(run), run.value("createTime", ""));
}

absl::Status OutcomeOf(const json& run) {
  const std::string state = run.value("state", "");
  if (state == "RUN_STATE_SUCCEEDED") {
    return absl::OkStatus();
  }
  const json error = run.value("error", json::object());
  return MakeError(absl::StatusCode::kFailedPrecondition,
                   absl::StrCat("the run ", LastSegment(run.value("name", "")), " ended as ", ShortState(run),
                                error.empty() ? "" : ": ", error.value("message", "")),
                   {.domain = "bulkhead.cli",
                    .reason = "RUN_NOT_SUCCEEDED",
                    .metadata = {{"state", state}, {"reason", error.value("reason", "")}}});
}

absl::Status Login(const RemoteContext& context, const LoginOptions& options) {
  ASSIGN_OR_RETURN(auto client,
                   gateway::GatewayClient::Create({.base_url = context.server, .user_agent = "bulkhead-cli"}));
  std::string login = options.login;
  if (login.empty()) {
    if (options.password_stdin) {
      return InputInvalid("--password-stdin needs --login NAME");
    }
    std::cerr << "Login: " << std::flush;
    std::getline(std::cin, login);
  }
  ASSIGN_OR_RETURN(const Secret password, ReadPassword("Password: ", options.password_stdin));
  if (options.create_account) {
    RETURN_IF_ERROR(Session::Register(*client, login, password));
  }
  ASSIGN_OR_RETURN(const Tokens tokens, Session::SignIn(*client, login, password));
  RETURN_IF_ERROR(context.credentials->Save(context.server, tokens));
  context.console->Line(absl::StrCat("Signed in at ", context.server, " as ", login, " (", tokens.user, ")."));
  context.console->Json({{"server", context.server}, {"login", login}, {"user", tokens.user}});
  return absl::OkStatus();
}

absl::Status StartRun(const RemoteContext& context, const RunOptions& options) {
  json request = {{"agent", absl::StrCat("agents/", LastSegment(options.agent))}};
  ASSIGN_OR_RETURN(request["input"], ReadInput(options.input, options.input_file));
  if (!options.request_id.empty()) {
    request["requestId"] = options.request_id;
  }
  if (!options.busy.empty()) {
    request["busyPolicy"] = BusyPolicyOf(options.busy);
  }
  if (options.timeout_seconds > 0) {
    request["timeout"] = absl::StrFormat("%.3fs", options.timeout_seconds);
  }
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  if (!options.thread.empty()) {
    request["thread"] = ThreadName(*signed_in.session, options.thread);
  }
  ASSIGN_OR_RETURN(const json run, signed_in.session->Request("POST", "/v1/runs", request));
  return Started(context, *signed_in.session, run, options.detach);
}

absl::Status ListRuns(const RemoteContext& context, const std::string& thread, int limit) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  const std::string query =
      thread.empty() ? "" : absl::StrCat("&thread=", EscapeQuery(ThreadName(*signed_in.session, thread)));
  ASSIGN_OR_RETURN(const json runs, ListAll(*signed_in.session, "/v1/runs", query, "runs", static_cast<size_t>(limit)));
  context.console->Json({{"runs", runs}});
  for (const json& run : runs) {
    context.console->Line(RunLine(run));
  }
  return absl::OkStatus();
}

absl::Status ShowRun(const RemoteContext& context, const std::string& run) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json found, signed_in.session->Request("GET", RunPath(run), nullptr));
  PrintRun(*context.console, found);
  if (context.console->json()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<json> events, AllEvents(*signed_in.session, run));
  for (const std::string& line : DrawTimeline(found, events, kTimelineWidth)) {
    context.console->Line(absl::StrCat("  ", line));
  }
  return absl::OkStatus();
}

absl::Status WatchRun(const RemoteContext& context, const std::string& run, uint64_t after) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  return Follow(context, *signed_in.session, run, after);
}

absl::Status CancelRun(const RemoteContext& context, const std::string& run, const std::string& comment) {
  return Change(context, run, "cancel", {{"comment", comment}});
}

absl::Status InterruptRun(const RemoteContext& context, const std::string& run) {
  return Change(context, run, "interrupt", json::object());
}

absl::Status ResumeRun(const RemoteContext& context, const std::string& run) {
  return Change(context, run, "resume", json::object());
}

absl::Status RetryRun(const RemoteContext& context, const std::string& run, const std::string& request_id,
                      bool detach) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  json request = json::object();
  if (!request_id.empty()) {
    request["requestId"] = request_id;
  }
  ASSIGN_OR_RETURN(const json retried,
                   signed_in.session->Request("POST", absl::StrCat(RunPath(run), ":retry"), request));
  return Started(context, *signed_in.session, retried, detach);
}

absl::Status DeleteRun(const RemoteContext& context, const std::string& run) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(signed_in.session->Request("DELETE", RunPath(run), nullptr).status());
  context.console->Json({{"run", LastSegment(run)}, {"deleted", true}});
  context.console->Line(absl::StrCat("Deleted ", LastSegment(run), "."));
  return absl::OkStatus();
}

absl::Status ListTools(const RemoteContext& context, const std::string& query) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json tools,
                   ListAll(*signed_in.session, "/v1/tools", absl::StrCat("&query=", EscapeQuery(query)), "tools",
                           std::numeric_limits<size_t>::max()));
  context.console->Json({{"tools", tools}});
  for (const json& tool : tools) {
    context.console->Line(absl::StrFormat("%-20s %-8s %s", LastSegment(tool.value("name", "")),
                                          tool.value("version", ""), Printable(tool.value("description", ""))));
  }
  return absl::OkStatus();
}

absl::Status ShowTool(const RemoteContext& context, const std::string& tool) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(
      const json found,
      signed_in.session->Request("GET", absl::StrCat("/v1/tools/", gateway::EscapePath(LastSegment(tool))), nullptr));
  context.console->Json(found);
  context.console->Line(absl::StrCat(LastSegment(found.value("name", "")), " ", found.value("version", ""), "\n",
                                     Printable(found.value("description", "")),
                                     "\nInput: ", found.value("inputSchema", json::object()).dump(2),
                                     "\nOutput: ", found.value("outputSchema", json::object()).dump(2)));
  return absl::OkStatus();
}

absl::Status InvokeTool(const RemoteContext& context, const std::string& tool, const std::string& input,
                        const std::string& input_file) {
  json request;
  ASSIGN_OR_RETURN(request["input"], ReadInput(input, input_file));
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json invocation,
                   signed_in.session->Request(
                       "POST", absl::StrCat("/v1/tools/", gateway::EscapePath(LastSegment(tool)), ":invoke"), request));
  context.console->Json(invocation);
  context.console->Line(invocation.value("output", json::object()).dump(2, ' ', false, json::error_handler_t::replace));
  return absl::OkStatus();
}

absl::Status ListFiles(const RemoteContext& context, const std::string& prefix) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json files,
                   ListAll(*signed_in.session, "/v1/files", absl::StrCat("&prefix=", EscapeQuery(prefix)), "files",
                           std::numeric_limits<size_t>::max()));
  context.console->Json({{"files", files}});
  for (const json& file : files) {
    context.console->Line(absl::StrFormat("%12d  %s", file.value("sizeBytes", uint64_t{0}),
                                          Printable(PathOfFile(file.value("name", "")))));
  }
  return absl::OkStatus();
}

absl::Status PutFile(const RemoteContext& context, const std::string& local_file, const std::string& path) {
  const std::string target = path.empty() ? std::filesystem::path(local_file).filename().string() : path;
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json file, signed_in.session->Upload(target, local_file, [](uint64_t, uint64_t) {}));
  context.console->Json(file);
  context.console->Line(Printable(PathOfFile(file.value("name", ""))));
  return absl::OkStatus();
}

absl::Status GetFile(const RemoteContext& context, const std::string& path, const std::string& local_file) {
  const std::string target = local_file.empty() ? std::string(LastSegment(path)) : local_file;
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(signed_in.session->Download(PathOfFile(path), target));
  context.console->Json({{"file", path}, {"localFile", target}});
  context.console->Line(target);
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
