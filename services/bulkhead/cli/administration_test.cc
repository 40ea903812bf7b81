// The commands of administration, at a server: what an administrator does with them, and what they refuse to others.
#include <csignal>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/cli_fixture.h"
#include "testing/base/matchers.h"
#include "testing/harness/child_process.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::Finished;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// A server where root becomes administrator, and is signed in.
class AdministrationTest : public ServerTest {
 protected:
  AdministrationTest() : ServerTest({"--admin", "root"}) {}

  void SetUp() override {
    ServerTest::SetUp();
    ASSERT_EQ(Login("root").exit_code, 0);
  }

  // The JSON of a command that succeeds.
  json Json(std::vector<std::string> arguments, std::string input = "") const {
    arguments.push_back("--json");
    const Finished finished = At(arguments, std::move(input));
    EXPECT_EQ(finished.exit_code, 0) << finished.errors;
    return json::parse(finished.output, nullptr, /*allow_exceptions=*/false);
  }

  // The reason why a command fails with `exit_code`.
  std::string Refused(int exit_code, std::vector<std::string> arguments, std::string input = "") const {
    arguments.push_back("--json");
    const Finished finished = At(arguments, std::move(input));
    EXPECT_EQ(finished.exit_code, exit_code) << finished.output << finished.errors;
    const json error = json::parse(finished.errors, nullptr, /*allow_exceptions=*/false);
    return error.is_object() ? error.at("error").value("reason", "") : finished.errors;
  }

  std::string SignIn(int exit_code, const std::string& login, const std::string& password) const {
    return Refused(exit_code, {"login", "--login", login, "--password-stdin"}, password + "\n");
  }
};

TEST_F(AdministrationTest, UsersAreMadeChangedLockedOutAndDeleted) {
  EXPECT_EQ(Refused(2, {"users", "create", "ada", "--password-stdin"}, "Password2024!\n"), "PASSWORD_BREACHED");
  EXPECT_EQ(Refused(2, {"users", "create", "ada", "--password-stdin"}, "ada-ada-ada-ada\n"), "PASSWORD_BREACHED");
  const json ada =
      Json({"users", "create", "ada", "--display-name", "Ada L.", "--password-stdin"}, "violet-otter-71-quay\n");
  EXPECT_EQ(ada.at("login"), "ada");
  EXPECT_THAT(At({"users", "list"}).output, AllOf(HasSubstr("root"), HasSubstr("Ada L.")));
  EXPECT_EQ(Json({"users", "show", "ada"}), ada);
  EXPECT_EQ(Json({"users", "show", ada.at("name")}), ada);
  EXPECT_EQ(Refused(5, {"users", "show", "nobody"}), "USER_NOT_FOUND");
  // An id is no login, and the other way round.
  EXPECT_EQ(Refused(5, {"users", "show", ada.at("name").get<std::string>().substr(6)}), "USER_NOT_FOUND");

  EXPECT_EQ(Json({"users", "roles", "ada", "member", "admin"}).at("roles"), json({"roles/admin", "roles/member"}));
  EXPECT_EQ(Refused(2, {"users", "roles", "ada", "emperor"}), "ROLE_UNKNOWN");
  EXPECT_EQ(Json({"users", "roles", "ada", "member"}).at("roles"), json({"roles/member"}));

  EXPECT_EQ(Json({"users", "disable", "ada"}).value("disabled", false), true);
  EXPECT_EQ(SignIn(4, "ada", "violet-otter-71-quay"), "CREDENTIALS_INVALID");
  EXPECT_EQ(Json({"users", "enable", "ada"}).value("disabled", false), false);

  EXPECT_EQ(Refused(2, {"users", "reset-password", "ada", "--password-stdin"}, "short\n"), "PASSWORD_TOO_SHORT");
  EXPECT_EQ(Refused(2, {"users", "reset-password", "ada", "--password-stdin"}, "qwertyuiop1234\n"),
            "PASSWORD_BREACHED");
  EXPECT_EQ(Json({"users", "reset-password", "ada", "--password-stdin"}, "amber-heron-18-mole\n").at("reset"), true);
  EXPECT_THAT(At({"audit", "list", "--user", "ada", "--action", "user.reset_password"}).output, HasSubstr("allowed"));
  EXPECT_EQ(Json({"users", "delete", "ada"}).at("deleted"), true);
  EXPECT_EQ(Refused(5, {"users", "show", ada.at("name")}), "USER_NOT_FOUND");
  EXPECT_EQ(SignIn(4, "ada", "amber-heron-18-mole"), "CREDENTIALS_INVALID");
}

TEST_F(AdministrationTest, AResetPasswordEndsSessionsAndLetsInWithTheNewOneOnly) {
  ASSERT_EQ(Login("ada").exit_code, 0);  // The file has ada now.
  const std::string credentials = ReadText(home_.File(".config/bulkhead/credentials.json"));
  ASSERT_EQ(SignIn(0, "root", "correct horse battery"), "");
  Json({"users", "reset-password", "ada", "--password-stdin"}, "amber-heron-18-mole\n");

  // Her session from before is over, refresh token and all.
  std::ofstream(home_.File(".config/bulkhead/credentials.json"), std::ios::trunc) << credentials;
  EXPECT_EQ(Refused(4, {"sessions", "list"}), "SESSION_REVOKED");
  EXPECT_EQ(SignIn(4, "ada", "correct horse battery"), "CREDENTIALS_INVALID");
  EXPECT_EQ(SignIn(0, "ada", "amber-heron-18-mole"), "");
  EXPECT_EQ(At({"runs"}).exit_code, 0);
}

TEST_F(AdministrationTest, OthersAreRefusedWhatIsForAdministrators) {
  const json root = Json({"users", "show", "root"});
  ASSERT_EQ(Login("ada").exit_code, 0);
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"users", "list"},
                                             {"users", "show", "root"},
                                             {"users", "disable", root.at("name")},
                                             {"users", "roles", "me", "admin"},
                                             {"users", "delete", root.at("name")},
                                             {"roles", "list"},
                                             {"roles", "create", "mine", "*:*:*"},
                                             {"keys", "list"},
                                             {"keys", "rotate"},
                                             {"keys", "revoke", "x"},
                                             {"audit", "list"},
                                             {"audit", "export"},
                                             {"audit", "verify"}}) {
    EXPECT_EQ(Refused(4, command), "PERMISSION_MISSING") << command[0] << " " << command[1];
  }
  EXPECT_EQ(Refused(4, {"users", "reset-password", root.at("name"), "--password-stdin"}, "amber-heron-18-mole\n"),
            "PERMISSION_MISSING");
  // Whether there is such a user is nothing that others are told.
  EXPECT_EQ(Refused(5, {"users", "show", root.at("name")}), "USER_NOT_FOUND");
  EXPECT_EQ(Refused(5, {"sessions", "list", "--user", root.at("name")}), "USER_NOT_FOUND");
  EXPECT_EQ(Refused(5, {"sessions", "revoke-all", "--user", root.at("name")}), "USER_NOT_FOUND");

  EXPECT_THAT(At({"users", "show", "me"}).output, HasSubstr("ada"));
  EXPECT_THAT(At({"roles", "check", "run:own:read"}).output, HasSubstr("granted"));
  EXPECT_EQ(Refused(4, {"roles", "check", "key:all:rotate"}), "PERMISSION_NOT_GRANTED");
  // Nothing of it happened.
  ASSERT_EQ(SignIn(0, "root", "correct horse battery"), "");
  EXPECT_EQ(Json({"users", "show", "root"}), root);
  EXPECT_THAT(Json({"keys", "list"}).at("keys"), SizeIs(2)) << "the one that signs and the next one";
}

TEST_F(AdministrationTest, SessionsAreListedAndEnded) {
  ASSERT_EQ(Login("ada").exit_code, 0);
  ASSERT_EQ(SignIn(0, "ada", "correct horse battery"), "");
  json sessions = Json({"sessions", "list"}).at("sessions");
  ASSERT_THAT(sessions, SizeIs(2));
  EXPECT_EQ(sessions[0].at("method"), "password");
  EXPECT_EQ(sessions[0].at("client"), "bulkhead-cli");
  const std::string older = sessions[1].at("name");
  EXPECT_EQ(Json({"sessions", "revoke", older}).at("revoked"), true);
  EXPECT_THAT(At({"sessions"}).output, AllOf(HasSubstr("revoked"), HasSubstr("open")));
  EXPECT_EQ(Refused(5, {"sessions", "revoke", "session-no-such"}), "SESSION_NOT_FOUND");

  ASSERT_EQ(SignIn(0, "root", "correct horse battery"), "");
  EXPECT_THAT(Json({"sessions", "list", "--user", "ada"}).at("sessions"), SizeIs(2));
  EXPECT_EQ(Json({"sessions", "revoke-all", "--user", "ada"}).at("revoked"), true);
  sessions = Json({"sessions", "list", "--user", "ada"}).at("sessions");
  ASSERT_THAT(sessions, SizeIs(2));
  for (const json& session : sessions) {
    EXPECT_TRUE(session.contains("revokeTime")) << session;
  }
  EXPECT_EQ(At({"sessions", "revoke-all", "--keep-current"}).exit_code, 0);
  EXPECT_EQ(At({"sessions", "list"}).exit_code, 0);
  EXPECT_EQ(At({"sessions", "revoke-all"}).exit_code, 0);
  EXPECT_EQ(Refused(4, {"sessions", "list"}), "SESSION_REVOKED");
}

TEST_F(AdministrationTest, RolesAndKeysAreManaged) {
  EXPECT_EQ(Json({"roles", "create", "auditor", "audit:all:read", "audit:all:verify"}).at("name"), "roles/auditor");
  EXPECT_EQ(Refused(2, {"roles", "create", "odd", "everything"}), "PERMISSION_MALFORMED");
  EXPECT_EQ(Json({"roles", "update", "auditor", "audit:all:read"}).at("permissions"), json({"audit:all:read"}));
  EXPECT_THAT(At({"roles"}).output, AllOf(HasSubstr("auditor"), HasSubstr("built-in")));
  EXPECT_EQ(Json({"roles", "delete", "auditor"}).at("deleted"), true);

  const std::string old_key = Json({"keys", "list"}).at("keys")[0].at("kid");
  const json rotated = Json({"keys", "rotate", "--algorithm", "ES256"}).at("keys");
  ASSERT_THAT(rotated, SizeIs(3));
  EXPECT_EQ(rotated[0].at("algorithm"), "ES256");
  EXPECT_EQ(rotated[0].at("state"), "KEY_STATE_SIGNING");
  EXPECT_EQ(rotated[1].at("state"), "KEY_STATE_VERIFYING");
  EXPECT_EQ(rotated[2].at("state"), "KEY_STATE_VERIFYING");
  EXPECT_THAT(At({"keys"}).output, HasSubstr("upcoming"));
  EXPECT_EQ(Refused(2, {"keys", "rotate", "--algorithm", "none"}), "ALGORITHM_UNKNOWN");
  EXPECT_EQ(Refused(5, {"keys", "revoke", "no-such-key"}), "KEY_NOT_FOUND");
  // The token of this session falls with the key, and the session gets another by its refresh token.
  EXPECT_EQ(At({"keys", "revoke", old_key}).exit_code, 0);
  EXPECT_THAT(At({"keys"}).output, HasSubstr("revoked"));
}

TEST_F(AdministrationTest, AnExportOfTheAuditLogProvesItselfAndItsForgery) {
  const std::string log = home_.File("audit.jsonl");
  const json exported = Json({"audit", "export", "--out", log});
  const std::string text = ReadText(log);
  EXPECT_THAT(text, AllOf(HasSubstr("user.create"), HasSubstr("session.sign_in")));
  const std::string head = exported.at("head");

  const json verified = Json({"audit", "verify", "--file", log, "--head", head});
  EXPECT_EQ(verified.at("records"), exported.at("records"));
  EXPECT_EQ(verified.at("head"), head);
  EXPECT_TRUE(Json({"audit", "verify"}).at("intact").get<bool>());
  EXPECT_EQ(At({"audit", "verify", "--file", "-"}, text).exit_code, 0);
  EXPECT_EQ(At({"audit", "export"}).output.substr(0, text.size()), text);

  auto forge = [&](const std::string& forged) { std::ofstream(log, std::ios::trunc | std::ios::binary) << forged; };
  forge(absl::StrReplaceAll(text, {{"user.create", "user.delete"}}));
  EXPECT_EQ(Refused(1, {"audit", "verify", "--file", log}), "AUDIT_NOT_INTACT");
  forge(text.substr(text.find('\n') + 1));
  EXPECT_EQ(Refused(1, {"audit", "verify", "--file", log}), "AUDIT_NOT_INTACT");
  // Cut off at its end it holds, but for who noted where it ended.
  forge(text.substr(0, text.rfind('\n', text.size() - 2) + 1));
  EXPECT_EQ(At({"audit", "verify", "--file", log}).exit_code, 0);
  EXPECT_EQ(Refused(1, {"audit", "verify", "--file", log, "--head", head}), "AUDIT_NOT_INTACT");
  EXPECT_EQ(Refused(2, {"audit", "verify", "--file", log, "--head", "x"}), "INPUT_INVALID");
  EXPECT_EQ(Refused(5, {"audit", "verify", "--file", home_.File("none")}), "LOCAL_FILE_UNREADABLE");
}

TEST_F(AdministrationTest, TheServerSaysHowTheFirstAdministratorComesToBe) {
  const Finished other = Run({"login", "--provider", "corp", "--json", "--server", url_});
  EXPECT_EQ(other.exit_code, 5);
  EXPECT_THAT(other.errors, HasSubstr("PROVIDER_NOT_FOUND"));
  EXPECT_EQ(At({"login", "--provider", "corp", "--login", "ada"}).exit_code, 2);

  auto plain = testing::ChildProcess::Start(Command({"serve", "--data", "plain", "--listen", "127.0.0.1:0"}));
  ASSERT_OK(plain);
  ASSERT_OK((*plain)->WaitForLine("listens on"));
  (*plain)->Signal(SIGTERM);
  ASSERT_OK((*plain)->WaitForExit());
  EXPECT_THAT((*plain)->errors(), HasSubstr("--admin LOGIN"));
  auto named =
      testing::ChildProcess::Start(Command({"serve", "--data", "named", "--listen", "127.0.0.1:0", "--admin", "root"}));
  ASSERT_OK(named);
  ASSERT_OK((*named)->WaitForLine("listens on"));
  (*named)->Signal(SIGTERM);
  ASSERT_OK((*named)->WaitForExit());
  EXPECT_THAT((*named)->errors(),
              AllOf(HasSubstr("Who registers as root becomes administrator"), Not(HasSubstr("LOGIN"))));
}

}  // namespace
}  // namespace bulkhead::cli
