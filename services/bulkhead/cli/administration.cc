#include "services/bulkhead/cli/administration.h"

#include "services/bulkhead/cli/keys_commands.h"
#include "services/bulkhead/cli/roles_commands.h"
#include "services/bulkhead/cli/sessions_commands.h"

namespace bulkhead::cli {
namespace {

constexpr char kUser[] = "His login, or users/ID";

}  // namespace

void Administration::AddTo(CLI::App& app) {
  AddUsers(app);
  AddSessions(app);
  AddRoles(app);
  AddKeys(app);
  AddAudit(app);
}

CLI::App* Administration::AddGroup(CLI::App& app, const char* name, const char* what, Command list) {
  CLI::App* group = app.add_subcommand(name, what);
  group->require_subcommand(0, 1);
  on_(group, std::move(list));
  return group;
}

void Administration::AddUsers(CLI::App& app) {
  CLI::App* users = AddGroup(app, "users", "Manage users", [this] { return ListUsers(remote_(), limit_); });
  CLI::App* list = users->add_subcommand("list", "All users");
  list->add_option("--limit", limit_, "At most so many")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  on_(list, [this] { return ListUsers(remote_(), limit_); });
  CLI::App* show = users->add_subcommand("show", "One user");
  show->add_option("user", name_, kUser)->required();
  on_(show, [this] { return ShowUser(remote_(), name_); });
  CLI::App* create = users->add_subcommand("create", "Make a user");
  create->add_option("login", new_user_.login, "What he signs in with")->required();
  create->add_option("--display-name", new_user_.display_name, "How he is shown");
  create->add_option("--role", new_user_.roles, "A role that he gets; several times for several")
      ->allow_extra_args(false);
  create->add_flag("--password-stdin", new_user_.password_stdin, "Take the password from standard input");
  on_(create, [this] { return CreateUser(remote_(), new_user_); });
  CLI::App* disable = users->add_subcommand("disable", "Lock a user out: his sessions end, and the work they began");
  disable->add_option("user", name_, kUser)->required();
  on_(disable, [this] { return SetUserDisabled(remote_(), name_, /*disabled=*/true); });
  CLI::App* enable = users->add_subcommand("enable", "Let a user in again");
  enable->add_option("user", name_, kUser)->required();
  on_(enable, [this] { return SetUserDisabled(remote_(), name_, /*disabled=*/false); });
  CLI::App* roles = users->add_subcommand("roles", "Give a user these roles, and no others");
  roles->add_option("user", name_, kUser)->required();
  roles->add_option("roles", names_, "The roles")->required();
  on_(roles, [this] { return SetUserRoles(remote_(), name_, names_); });
  CLI::App* reset = users->add_subcommand("reset-password", "Give a user a new password and end his sessions");
  reset->add_option("user", name_, kUser)->required();
  reset->add_flag("--password-stdin", password_stdin_, "Take the password from standard input");
  on_(reset, [this] { return ResetUserPassword(remote_(), name_, password_stdin_); });
  CLI::App* remove = users->add_subcommand("delete", "Delete a user");
  remove->add_option("user", name_, kUser)->required();
  on_(remove, [this] { return DeleteUser(remote_(), name_); });
}

void Administration::AddSessions(CLI::App& app) {
  CLI::App* sessions =
      AddGroup(app, "sessions", "List or end sessions", [this] { return ListSessions(remote_(), user_, limit_); });
  CLI::App* list = sessions->add_subcommand("list", "Your sessions, newest first");
  list->add_option("--user", user_, "Those of another user");
  list->add_option("--limit", limit_, "At most so many")->check(CLI::Range(1, 100'000))->capture_default_str();
  on_(list, [this] { return ListSessions(remote_(), user_, limit_); });
  CLI::App* revoke = sessions->add_subcommand("revoke", "End one session, and the work that it began");
  revoke->add_option("session", name_, "Its id, or its whole name")->required();
  revoke->add_option("--user", user_, "Whose it is, when it is not yours");
  on_(revoke, [this] { return RevokeSession(remote_(), user_, name_); });
  CLI::App* all = sessions->add_subcommand("revoke-all", "End all sessions");
  CLI::Option* of_user = all->add_option("--user", user_, "Those of another user");
  all->add_flag("--keep-current", keep_current_, "But for the one that asks")->excludes(of_user);
  on_(all, [this] { return RevokeAllSessions(remote_(), user_, keep_current_); });
}

void Administration::AddRoles(CLI::App& app) {
  CLI::App* roles = AddGroup(app, "roles", "Manage roles, check permissions", [this] { return ListRoles(remote_()); });
  on_(roles->add_subcommand("list", "All roles, and what they grant"), [this] { return ListRoles(remote_()); });
  CLI::App* create = roles->add_subcommand("create", "Make a role");
  create->add_option("role", name_, "Its name")->required();
  create->add_option("permissions", names_, "What it grants, as \"run:own:read\" or \"tool:*:invoke\"")->required();
  on_(create, [this] { return CreateRole(remote_(), name_, names_); });
  CLI::App* update = roles->add_subcommand("update", "Let a role grant these permissions, and no others");
  update->add_option("role", name_, "Its name")->required();
  update->add_option("permissions", names_, "What it grants from now on")->required();
  on_(update, [this] { return UpdateRole(remote_(), name_, names_); });
  CLI::App* remove = roles->add_subcommand("delete", "Delete a role that nobody has");
  remove->add_option("role", name_, "Its name")->required();
  on_(remove, [this] { return DeleteRole(remote_(), name_); });
  CLI::App* check = roles->add_subcommand("check", "Tell whether you may, and why");
  check->add_option("permission", name_, "As \"run:own:read\"")->required();
  check->add_option("--resource", resource_, "On what, as \"users/u/runs/r\"");
  on_(check, [this] { return CheckPermission(remote_(), name_, resource_); });
}

void Administration::AddKeys(CLI::App& app) {
  CLI::App* keys = AddGroup(app, "keys", "Manage signing keys", [this] { return ListKeys(remote_()); });
  on_(keys->add_subcommand("list", "The signing keys and what each does"), [this] { return ListKeys(remote_()); });
  CLI::App* rotate = keys->add_subcommand("rotate", "Sign with a new key from now on");
  rotate->add_option("--algorithm", algorithm_, "EdDSA or ES256");
  on_(rotate, [this] { return RotateKeys(remote_(), algorithm_); });
  CLI::App* revoke = keys->add_subcommand("revoke", "Withdraw a compromised key, with all tokens that it signed");
  revoke->add_option("key", name_, "Its id")->required();
  on_(revoke, [this] { return RevokeKey(remote_(), name_); });
}

void Administration::AddAudit(CLI::App& app) {
  CLI::App* audit =
      AddGroup(app, "audit", "Read, export or verify the audit log", [this] { return ListAudit(remote_(), filter_); });
  CLI::App* list = audit->add_subcommand("list", "Decisions, oldest first");
  list->add_option("--user", filter_.user, "Only about this user");
  list->add_option("--action", filter_.action, "Only this one, as \"session.sign_in\"");
  list->add_option("--since", filter_.since, "Not before, as 2026-03-01T12:00:00Z");
  list->add_option("--until", filter_.until, "Before");
  list->add_option("--limit", filter_.limit, "At most so many")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  on_(list, [this] { return ListAudit(remote_(), filter_); });
  CLI::App* exported = audit->add_subcommand("export", "All records as JSON Lines");
  exported->add_option("--out", out_, "The file; standard output otherwise");
  on_(exported, [this] { return ExportAudit(remote_(), out_); });
  CLI::App* verify = audit->add_subcommand("verify", "Prove that no record was changed, removed, reordered or cut off");
  CLI::Option* file = verify->add_option("--file", verify_.file, "An export, checked here; - for standard input");
  verify->add_option("--after", verify_.after, "SEQUENCE:HASH that the export begins after")->needs(file);
  verify->add_option("--head", verify_.head, "SEQUENCE:HASH, noted earlier, that it must reach")->needs(file);
  on_(verify, [this] { return VerifyAudit(remote_(), verify_); });
}

}  // namespace bulkhead::cli
