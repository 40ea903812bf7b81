#include "services/bulkhead/cli/command_line.h"

#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/administration.h"
#include "services/bulkhead/cli/agents_commands.h"
#include "services/bulkhead/cli/approvals_commands.h"
#include "services/bulkhead/cli/credentials.h"
#include "services/bulkhead/cli/local_commands.h"
#include "services/bulkhead/cli/near_words.h"
#include "services/bulkhead/cli/provider_login.h"
#include "services/bulkhead/cli/remote_commands.h"
#include "services/bulkhead/cli/server_commands.h"
#include "services/bulkhead/cli/thread_names.h"
#include "services/bulkhead/cli/threads_commands.h"
#include "services/common/status/error.h"

namespace bulkhead::cli {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr char kDefaultServer[] = "http://127.0.0.1:8080";

// $XDG_CONFIG_HOME/bulkhead/credentials.json, as the XDG base directory specification says.
std::string CredentialsPath(const config::Environment& environment) {
  const std::string configured = environment.Find("XDG_CONFIG_HOME").value_or("");
  const std::string base =
      configured.empty() ? absl::StrCat(environment.Find("HOME").value_or("."), "/.config") : configured;
  return absl::StrCat(base, "/bulkhead/credentials.json");
}

// All commands, what they take, and the one that was asked for.
class CommandLine {
 public:
  CommandLine(const config::Environment& environment, Console& console, const Interrupt& interrupt, Additions additions)
      : environment_(environment),
        console_(console),
        interrupt_(interrupt),
        credentials_(CredentialsPath(environment)) {
    server_options_.additions = std::move(additions);
    app_.require_subcommand(1);
    // `bulkhead run x --json` and `bulkhead --json run x` mean the same.
    app_.fallthrough();
    app_.add_flag("--json", json_, "Print JSON: one document, or one a line where the command streams");
    app_.add_option("--server", server_, "The server to speak to")->capture_default_str();
    app_.set_version_flag("--version", std::string("bulkhead ") + kVersion);
    app_.footer(
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no server, 4 not signed in or not permitted, 5 not found, 6 "
        "agents held threads at the end of serve, 130 interrupted.");
    AddServer();
    AddDemo();
    AddAnalyze();
    AddAccount();
    AddRuns();
    AddRunControl();
    AddApprovals();
    AddThreads();
    AddAgents();
    AddTools();
    AddFiles();
    administration_.AddTo(app_);
    AddVersion();
  }

  ExitCode Run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
      const bool json = app_.count("--json") > 0;  // `json_` is not set before all of the line is understood.
      absl::Status wrong = UnknownCommand(error, argc, argv);
      // Help and version come this way too, with code 0.
      if (wrong.ok() && (error.get_exit_code() == 0 || !json)) {
        return app_.exit(error, std::cout, std::cerr) == 0 ? ExitCode::kOk : ExitCode::kUsage;
      }
      if (wrong.ok()) {
        wrong = MakeError(absl::StatusCode::kInvalidArgument, error.what(),
                          {.domain = "bulkhead.cli", .reason = "COMMAND_LINE_INVALID"});
      }
      console_.set_json(json);
      console_.Error(wrong);
      return ExitCode::kUsage;
    }
    console_.set_json(json_);
    const absl::Status done = std::move(command_)();
    if (!done.ok()) {
      console_.Error(done);
    }
    return ExitCodeOf(done);
  }

 private:
  using Command = absl::AnyInvocable<absl::Status() &&>;

  // Says which word of the line is none of the commands where it stands, and which ones are near: CLI11 tells only that a
  // command is missing, or that the word was not expected. OK when the line is wrong in another way.
  absl::Status UnknownCommand(const CLI::ParseError& error, int argc, const char* const* argv) const {
    const std::vector<std::string> left = app_.remaining(/*recurse=*/true);
    if (error.get_exit_code() == 0 || left.empty() || left.front().starts_with('-')) {
      return absl::OkStatus();
    }
    const std::string& word = left.front();
    // The commands before it.
    const CLI::App* app = &app_;
    std::string path;
    for (int i = 1; i < argc && argv[i] != word; ++i) {
      if (const std::vector<CLI::App*> parsed = app->get_subcommands();
          !parsed.empty() && parsed[0]->check_name(argv[i])) {
        app = parsed[0];
        absl::StrAppend(&path, app->get_name(), " ");
      }
    }
    std::vector<std::string> commands;
    for (const CLI::App* command : app->get_subcommands([](const CLI::App*) { return true; })) {
      commands.push_back(command->get_name());
    }
    if (commands.empty()) {
      return absl::OkStatus();
    }
    const std::vector<std::string> near = NearWords(word, commands);
    std::string message = absl::StrCat("there is no command '", path, word, "'");
    for (const std::string& each : near) {
      absl::StrAppend(&message, &each == &near.front() ? ": did you mean '" : " or '", path, each, "'");
    }
    absl::StrAppend(&message, near.empty() ? "" : "?", "\nbulkhead ", path, "--help lists the commands");
    return MakeError(absl::StatusCode::kInvalidArgument, message,
                     {.domain = "bulkhead.cli", .reason = "COMMAND_UNKNOWN", .metadata = {{"word", word}}});
  }

  RemoteContext Remote() const {
    return {.console = &console_, .interrupt = &interrupt_, .credentials = &credentials_, .server = server_};
  }

  // The command is run after the whole line was understood.
  template <typename F>
  static void On(CLI::App* app, Command* command, F function) {
    app->callback([app, command, function] {
      // Of `runs list`, both are called; the innermost counts.
      if (app->get_subcommands().empty()) {
        *command = function;
      }
    });
  }

  void AddServerOptions(CLI::App* app) {
    app->add_option("--config", server_options_.config_file, "Configuration file (JSON)");
    app->add_option("--set", server_options_.overrides, "section.field=value, stronger than file and environment")
        ->allow_extra_args(false)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    app->add_option("--data", server_options_.data_dir, "Folder that holds all data");
    app->add_option("--listen", server_options_.listen, "address:port; port 0 takes a free one");
  }

  void AddServer() {
    CLI::App* serve = app_.add_subcommand("serve", "Run the platform until SIGINT or SIGTERM");
    AddServerOptions(serve);
    serve->add_option("--admin", server_options_.admin_login, "The login that becomes administrator when it registers");
    serve->add_flag("--log-calls", server_options_.log_calls,
                    "Log each call of a service: method, user, request, code, reason, duration");
    On(serve, &command_, [this] { return Serve(console_, interrupt_, environment_, server_options_); });

    CLI::App* config = app_.add_subcommand("config", "Check or explain the configuration");
    config->require_subcommand(1);
    CLI::App* check = config->add_subcommand("check", "List every violation");
    AddServerOptions(check);
    On(check, &command_, [this] { return CheckConfig(console_, environment_, server_options_); });
    CLI::App* explain = config->add_subcommand("explain", "Show each setting and which layer set it");
    AddServerOptions(explain);
    On(explain, &command_, [this] { return ExplainConfig(console_, environment_, server_options_); });
  }

  void AddDemo() {
    CLI::App* demo = app_.add_subcommand("demo", "Two users, two agents, one data set: see it work");
    demo->add_flag("--keep", demo_.keep, "Stay up afterwards, and print the page's address and how to sign in");
    demo->add_option("--data", demo_.data_dir, "Folder to keep the data in; a temporary one otherwise");
    demo->add_option("--out", demo_.out, "Folder for the reports")->capture_default_str();
    demo->add_option("--listen", demo_.listen, "address:port of the gateway")->capture_default_str();
    On(demo, &command_, [this] { return Demo(console_, interrupt_, demo_); });
  }

  void AddAnalyze() {
    CLI::App* analyze = app_.add_subcommand("analyze", "Report on a CSV or JSON Lines file");
    analyze->add_option("file", analyze_.file, "The file")->required();
    analyze->add_option("--question", analyze_.question, "What to look into above all");
    analyze->add_option("--out", analyze_.out, "Folder for the report; <name of the file>-report otherwise");
    On(analyze, &command_, [this] { return Analyze(console_, interrupt_, analyze_); });
  }

  void AddAccount() {
    CLI::App* login = app_.add_subcommand("login", "Sign in at a server and remember it");
    login->add_option("--login", login_.login, "Your login; asked for otherwise");
    login->add_flag("--password-stdin", login_.password_stdin, "Take the password from standard input");
    login->add_flag("--register", login_.create_account, "Create the account first");
    login->add_option("--provider", provider_, "Sign in through this OpenID provider, in a browser")
        ->excludes("--login", "--password-stdin", "--register");
    On(login, &command_,
       [this] { return provider_.empty() ? Login(Remote(), login_) : LoginWithProvider(Remote(), provider_); });
  }

  void AddRuns() {
    CLI::App* run = app_.add_subcommand("run", "Start a run and follow it to its end");
    run->add_option("agent", run_.agent, "The agent, as \"analyst\"")->required();
    CLI::Option* input = run->add_option("--input", run_.input, "A JSON object");
    run->add_option("--file", run_.input_file, "A file that holds one; - for standard input")->excludes(input);
    run->add_option("--request-id", run_.request_id, "Of two runs with the same id only the first is started");
    run->add_option("--thread", run_.thread, "The thread that it belongs to, by name or id");
    run->add_option("--busy", run_.busy, "What to do when another run of the thread has not ended")
        ->check(CLI::IsMember(BusyPolicies()));
    run->add_option("--timeout", run_.timeout_seconds, "Seconds the run may take")->check(CLI::PositiveNumber);
    run->add_flag("--detach", run_.detach, "Don't wait for its end");
    On(run, &command_, [this] { return StartRun(Remote(), run_); });

    CLI::App* runs = app_.add_subcommand("runs", "List, show, hold back, repeat or delete runs");
    runs_ = runs;
    runs->require_subcommand(0, 1);
    On(runs, &command_, [this] { return ListRuns(Remote(), thread_, limit_); });
    CLI::App* list = runs->add_subcommand("list", "Your runs, newest first");
    list->add_option("--thread", thread_, "Only those of this thread");
    list->add_option("--limit", limit_, "At most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
    On(list, &command_, [this] { return ListRuns(Remote(), thread_, limit_); });
    CLI::App* show = runs->add_subcommand("show", "One run");
    show->add_option("run", name_, "Its name or id")->required();
    On(show, &command_, [this] { return ShowRun(Remote(), name_); });

    CLI::App* watch = app_.add_subcommand("watch", "Follow a run's events to its end");
    watch->add_option("run", name_, "Its name or id")->required();
    watch->add_option("--after", after_, "The last sequence number seen");
    On(watch, &command_, [this] { return WatchRun(Remote(), name_, after_); });

    CLI::App* cancel = app_.add_subcommand("cancel", "Ask a run to stop");
    cancel->add_option("run", name_, "Its name or id")->required();
    cancel->add_option("--comment", comment_, "Why, for the record");
    On(cancel, &command_, [this] { return CancelRun(Remote(), name_, comment_); });
  }

  // A command on one run.
  CLI::App* AddRunVerb(const char* verb, const char* what, std::function<absl::Status()> command) {
    CLI::App* app = runs_->add_subcommand(verb, what);
    app->add_option("run", name_, "Its name or id")->required();
    On(app, &command_, std::move(command));
    return app;
  }

  void AddRunControl() {
    AddRunVerb("interrupt", "Hold a run back before its next command",
               [this] { return InterruptRun(Remote(), name_); });
    AddRunVerb("resume", "Let a run go on that is held back", [this] { return ResumeRun(Remote(), name_); });
    CLI::App* retry = AddRunVerb("retry", "Start a run that has ended again from its input, and follow it",
                                 [this] { return RetryRun(Remote(), name_, run_.request_id, run_.detach); });
    retry->add_option("--request-id", run_.request_id, "Of two with the same id only the first is started");
    retry->add_flag("--detach", run_.detach, "Don't wait for its end");
    AddRunVerb("delete", "Delete a run that has ended, with its journal",
               [this] { return DeleteRun(Remote(), name_); });
  }

  void AddApprovals() {
    CLI::App* approvals = app_.add_subcommand("approvals", "What runs ask you, and your answers");
    approvals->require_subcommand(0, 1);
    On(approvals, &command_, [this] { return ListApprovals(Remote(), ""); });
    CLI::App* list = approvals->add_subcommand("list", "What waits for a decision");
    list->add_option("run", name_, "Of this run only");
    On(list, &command_, [this] { return ListApprovals(Remote(), name_); });
    const char* const kWhat = "An approval's name, or a run that asks one thing";
    CLI::App* allow = approvals->add_subcommand("allow", "Let the run go on with the call");
    allow->add_option("what", name_, kWhat)->required();
    allow->add_option("--arguments", verdict_.arguments, "JSON of the arguments to use instead");
    allow->add_option("--comment", verdict_.comment, "For the agent");
    On(allow, &command_, [this] {
      verdict_.allow = true;
      return Decide(Remote(), name_, verdict_);
    });
    CLI::App* deny = approvals->add_subcommand("deny", "Let the run go on without the call");
    deny->add_option("what", name_, kWhat)->required();
    deny->add_option("--comment", verdict_.comment, "Why, for the agent");
    On(deny, &command_, [this] { return Decide(Remote(), name_, verdict_); });
  }

  void AddThreadOptions(CLI::App* app) {
    app->add_option("--title", thread_options_.title, "For people");
    app->add_option("--busy", thread_options_.busy, "For a second run while another has not ended")
        ->check(CLI::IsMember(BusyPolicies()));
  }

  void AddThreads() {
    CLI::App* threads = app_.add_subcommand("threads", "Conversations: runs that know what was said before");
    threads->require_subcommand(0, 1);
    On(threads, &command_, [this] { return ListThreads(Remote(), limit_); });
    CLI::App* list = threads->add_subcommand("list", "Your threads, newest first");
    list->add_option("--limit", limit_, "At most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
    On(list, &command_, [this] { return ListThreads(Remote(), limit_); });
    CLI::App* create = threads->add_subcommand("create", "Begin a thread");
    AddThreadOptions(create);
    create->add_option("--request-id", thread_options_.request_id, "Of two with the same id only the first is made");
    On(create, &command_, [this] { return CreateThread(Remote(), thread_options_); });
    CLI::App* show = threads->add_subcommand("show", "One thread and its runs");
    show->add_option("thread", name_, "Its name or id")->required();
    show->add_option("--limit", limit_, "At most so many runs")->check(CLI::Range(1, 100'000))->capture_default_str();
    On(show, &command_, [this] { return ShowThread(Remote(), name_, limit_); });
    CLI::App* update = threads->add_subcommand("update", "Change its title or its policy");
    update->add_option("thread", name_, "Its name or id")->required();
    AddThreadOptions(update);
    On(update, &command_, [this] { return UpdateThread(Remote(), name_, thread_options_); });
    CLI::App* remove = threads->add_subcommand("delete", "Delete a thread; its runs stay");
    remove->add_option("thread", name_, "Its name or id")->required();
    On(remove, &command_, [this] { return DeleteThread(Remote(), name_); });
  }

  void AddAgents() {
    CLI::App* agents = app_.add_subcommand("agents", "List, show, make, change or check agents");
    agents->require_subcommand(0, 1);
    On(agents, &command_, [this] { return ListAgents(Remote(), limit_); });
    CLI::App* list = agents->add_subcommand("list", "The agents that you may run");
    list->add_option("--limit", limit_, "At most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
    On(list, &command_, [this] { return ListAgents(Remote(), limit_); });
    CLI::App* show = agents->add_subcommand("show", "One agent, as `update` takes it");
    show->add_option("agent", name_, "Its name, as \"analyst\"")->required();
    On(show, &command_, [this] { return ShowAgent(Remote(), name_); });
    const char* const kFile = "A definition, JSON or textproto; - for standard input";
    CLI::App* create = agents->add_subcommand("create", "Make an agent of a definition");
    create->add_option("file", local_file_, kFile)->required();
    On(create, &command_, [this] { return CreateAgent(Remote(), local_file_); });
    CLI::App* update = agents->add_subcommand("update", "Make the next version of an agent");
    update->add_option("file", local_file_, kFile)->required();
    On(update, &command_, [this] { return UpdateAgent(Remote(), local_file_); });
    CLI::App* check = agents->add_subcommand("check", "List every problem of a definition; nothing is stored");
    check->add_option("file", local_file_, kFile)->required();
    On(check, &command_, [this] { return CheckAgent(Remote(), local_file_); });
    CLI::App* remove = agents->add_subcommand("delete", "Delete an agent; its runs go on");
    remove->add_option("agent", name_, "Its name")->required();
    On(remove, &command_, [this] { return DeleteAgent(Remote(), name_); });
  }

  void AddTools() {
    CLI::App* tools = app_.add_subcommand("tools", "List, show or invoke tools");
    tools->require_subcommand(0, 1);
    On(tools, &command_, [this] { return ListTools(Remote(), query_); });
    CLI::App* list = tools->add_subcommand("list", "The tools that you may call");
    list->add_option("--query", query_, "Words that name, description or tags have");
    On(list, &command_, [this] { return ListTools(Remote(), query_); });
    CLI::App* show = tools->add_subcommand("show", "One tool with its schemas");
    show->add_option("tool", name_, "Its name, as \"table.load\"")->required();
    On(show, &command_, [this] { return ShowTool(Remote(), name_); });
    CLI::App* invoke = tools->add_subcommand("invoke", "Call a tool");
    invoke->add_option("tool", name_, "Its name")->required();
    CLI::Option* input = invoke->add_option("--input", run_.input, "A JSON object");
    invoke->add_option("--file", run_.input_file, "A file that holds one; - for standard input")->excludes(input);
    On(invoke, &command_, [this] { return InvokeTool(Remote(), name_, run_.input, run_.input_file); });
  }

  void AddFiles() {
    CLI::App* files = app_.add_subcommand("files", "List, put or get files of your workspace");
    files->require_subcommand(0, 1);
    On(files, &command_, [this] { return ListFiles(Remote(), prefix_); });
    CLI::App* list = files->add_subcommand("list", "Your files");
    list->add_option("--prefix", prefix_, "Only paths that begin so");
    On(list, &command_, [this] { return ListFiles(Remote(), prefix_); });
    CLI::App* put = files->add_subcommand("put", "Upload a file");
    put->add_option("file", local_file_, "The local file")->required();
    put->add_option("path", name_, "Its path in the workspace; its name otherwise");
    On(put, &command_, [this] { return PutFile(Remote(), local_file_, name_); });
    CLI::App* get = files->add_subcommand("get", "Download a file");
    get->add_option("path", name_, "Its path in the workspace")->required();
    get->add_option("--out", local_file_, "Where to write it; its name otherwise");
    On(get, &command_, [this] { return GetFile(Remote(), name_, local_file_); });
  }

  void AddVersion() {
    CLI::App* version = app_.add_subcommand("version", "Print the version");
    On(version, &command_, [this] {
      console_.Line(absl::StrCat("bulkhead ", kVersion));
      console_.Json({{"version", kVersion}});
      return absl::OkStatus();
    });
  }

  const config::Environment& environment_;
  Console& console_;
  const Interrupt& interrupt_;
  const CredentialsFile credentials_;

  CLI::App app_{"Bulkhead: a multi-user platform for AI agents", "bulkhead"};
  Command command_;
  bool json_ = false;
  std::string server_ = kDefaultServer;
  ServerOptions server_options_;
  DemoOptions demo_;
  AnalyzeOptions analyze_;
  LoginOptions login_;
  std::string provider_;
  RunOptions run_;
  CLI::App* runs_ = nullptr;  // The command that those on one run belong to.
  ThreadOptions thread_options_;
  Verdict verdict_;
  std::string thread_;
  int limit_ = 50;
  uint64_t after_ = 0;
  std::string name_;
  std::string comment_;
  std::string query_;
  std::string prefix_;
  std::string local_file_;
  Administration administration_{
      [this](CLI::App* app, Administration::Command command) { On(app, &command_, std::move(command)); },
      [this] { return Remote(); }};
};

}  // namespace

ExitCode RunCommandLine(int argc, const char* const* argv, const config::Environment& environment, Console& console,
                        const Interrupt& interrupt, Additions additions) {
  return CommandLine(environment, console, interrupt, std::move(additions)).Run(argc, argv);
}

}  // namespace bulkhead::cli
