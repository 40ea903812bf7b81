// The commands of administration, as the command line has them.
#ifndef SERVICES_BULKHEAD_CLI_ADMINISTRATION_H_
#define SERVICES_BULKHEAD_CLI_ADMINISTRATION_H_

#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "services/bulkhead/cli/audit_commands.h"
#include "services/bulkhead/cli/remote.h"
#include "services/bulkhead/cli/users_commands.h"

namespace bulkhead::cli {

// Outlives the CLI::App that it adds to. For one thread.
class Administration {
 public:
  // A command when its line was understood.
  using Command = std::function<absl::Status()>;
  // Called for each `app` with what it does.
  using On = std::function<void(CLI::App* app, Command command)>;
  // Made when the command runs: before, the options are not known yet.
  using Remote = std::function<RemoteContext()>;

  Administration(On on, Remote remote) : on_(std::move(on)), remote_(std::move(remote)) {}

  // users, sessions, roles, keys, audit.
  void AddTo(CLI::App& app);

 private:
  // A command with commands of its own, which lists when it is called without one.
  CLI::App* AddGroup(CLI::App& app, const char* name, const char* what, Command list);
  void AddUsers(CLI::App& app);
  void AddSessions(CLI::App& app);
  void AddRoles(CLI::App& app);
  void AddKeys(CLI::App& app);
  void AddAudit(CLI::App& app);

  const On on_;
  const Remote remote_;
  CreateUserOptions new_user_;
  AuditFilter filter_;
  VerifyOptions verify_;
  std::vector<std::string> names_;  // Roles or permissions.
  std::string name_;
  std::string user_;
  std::string resource_;
  std::string algorithm_;
  std::string out_;
  int limit_ = 200;
  bool password_stdin_ = false;
  bool keep_current_ = false;
};

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_ADMINISTRATION_H_
