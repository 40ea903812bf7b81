// The record of every decision: what is in it, what is not, and that nobody changes it unseen.
#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "bulkhead/auth/v1/audit_service.grpc.pb.h"
#include "bulkhead/auth/v1/role_service.grpc.pb.h"
#include "bulkhead/auth/v1/session_service.grpc.pb.h"
#include "bulkhead/auth/v1/token_service.grpc.pb.h"
#include "bulkhead/auth/v1/user_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/auth/audit_export.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/database.h"
#include "testing/base/matchers.h"
#include "testing/base/requirements.h"
#include "testing/harness/calls.h"
#include "testing/harness/harness.h"
#include "testing/harness/user.h"

namespace bulkhead::testing {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using auth::AuditAnchor;
using auth::AuditExportCheck;
using auth::v1::AuditService;
using auth::v1::RoleService;
using auth::v1::SessionService;
using auth::v1::TokenService;
using auth::v1::UserService;

absl::StatusOr<auth::v1::Tokens> SignIn(Harness& platform, const std::string& login, const std::string& password,
                                        const std::string& device = "") {
  auth::v1::SignInRequest request;
  request.set_login(login);
  request.set_password(password);
  request.set_device(device);
  return CallWithToken<SessionService>(platform, "", &SessionService::Stub::SignIn, request);
}

absl::StatusOr<std::vector<auth::v1::AuditRecord>> List(Harness& platform, auth::v1::ListAuditRecordsRequest request) {
  request.set_page_size(7);  // Several pages, so that their seams are walked over.
  std::vector<auth::v1::AuditRecord> records;
  do {
    ASSIGN_OR_RETURN(const auth::v1::ListAuditRecordsResponse page,
                     Call<AuditService>(platform.AsAdmin(), &AuditService::Stub::ListAuditRecords, request));
    records.insert(records.end(), page.records().begin(), page.records().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return records;
}

// "session.sign_in CREDENTIALS_INVALID"
std::vector<std::string> Decisions(const std::vector<auth::v1::AuditRecord>& records) {
  std::vector<std::string> lines;
  for (const auth::v1::AuditRecord& record : records) {
    lines.push_back(absl::StrCat(record.action(), record.allowed() ? "" : " ", record.reason()));
  }
  return lines;
}

auth::v1::VerifyAuditLogResponse Verify(Harness& platform) {
  absl::StatusOr<auth::v1::VerifyAuditLogResponse> verified =
      Call<AuditService>(platform.AsAdmin(), &AuditService::Stub::VerifyAuditLog, {});
  EXPECT_OK(verified);
  return *std::move(verified);
}

// What somebody does who has the database's file: statements on the side of the running platform.
absl::Status ChangeDatabase(Harness& platform, const std::vector<std::string>& statements) {
  absl::StatusOr<std::unique_ptr<storage::Database>> database = absl::UnknownError("");
  // As many migrations as the file has had: none of them runs again.
  std::vector<storage::Migration> migrations;
  do {
    migrations.push_back({.name = "none", .statements = "SELECT 1"});
    database = storage::Database::Open(
        {.path = absl::StrCat(platform.data_dir(), "/auth.db"), .migrations = migrations, .readers = 1});
  } while (ReasonOf(database.status()) == "STORAGE_TOO_NEW");
  RETURN_IF_ERROR(database.status());
  return (*database)->WriteAndWait([&statements](storage::Connection& connection) {
    for (const std::string& statement : statements) {
      RETURN_IF_ERROR(connection.Execute(statement).status());
    }
    return absl::OkStatus();
  });
}

TEST(AuditTest, EveryKindOfDecisionIsOnRecordAndNoSecretIs) {
  Covers({"AU-7", "AU-8", "CF-6"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& admin = platform->AsAdmin();
  std::vector<std::string> secrets = {ada.password(), ada.refresh_token(), std::string(ada.token().Reveal())};

  // Guessing, until it is slowed down, for a user who exists and one who does not.
  for (const std::string login : {"ada", "nobody"}) {
    absl::Status refused;
    for (int i = 0; i < 20 && ReasonOf(refused) != "SIGN_IN_THROTTLED"; ++i) {
      secrets.push_back(absl::StrCat("guess number ", i, " at ", login));
      refused = SignIn(*platform, login, secrets.back()).status();
    }
    EXPECT_THAT(refused, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED")) << login;
  }
  // A password that was typed into the wrong field.
  secrets.push_back("My Secret Passphrase!");
  EXPECT_THAT(SignIn(*platform, secrets.back(), "x"), HasReason("CREDENTIALS_INVALID"));

  const std::string stolen = ada.refresh_token();
  ASSERT_OK(ada.Refresh());
  auth::v1::RefreshSessionRequest reuse;
  reuse.set_refresh_token(stolen);
  EXPECT_THAT(CallWithToken<SessionService>(*platform, "", &SessionService::Stub::RefreshSession, reuse),
              HasReason("REFRESH_TOKEN_REUSED"));
  secrets.push_back(ada.refresh_token());
  secrets.push_back(std::string(ada.token().Reveal()));

  auth::v1::CreateRoleRequest role;
  role.mutable_role()->set_name("roles/reader");
  role.mutable_role()->add_permissions("run:own:read");
  ASSERT_OK(Call<RoleService>(admin, &RoleService::Stub::CreateRole, role));
  auth::v1::UpdateUserRequest update;
  update.mutable_user()->set_name(platform->As("bob").name());
  update.mutable_user()->add_roles("roles/reader");
  update.mutable_update_mask()->add_paths("roles");
  ASSERT_OK(Call<UserService>(admin, &UserService::Stub::UpdateUser, update));
  ASSERT_OK(Call<TokenService>(admin, &TokenService::Stub::RotateKeys, {}));
  EXPECT_THAT(Call<TokenService>(platform->As("bob"), &TokenService::Stub::RotateKeys, {}),
              HasReason("PERMISSION_MISSING"));
  auth::v1::IssueServiceTokenRequest service;
  service.set_service("agent");
  service.set_secret("a service secret that is wrong");
  secrets.push_back(service.secret());
  EXPECT_THAT(CallWithToken<TokenService>(*platform, "", &TokenService::Stub::IssueServiceToken, service),
              HasReason("SERVICE_CREDENTIALS_INVALID"));

  ASSERT_OK_AND_ASSIGN(const std::vector<auth::v1::AuditRecord> records, List(*platform, {}));
  const std::vector<std::string> decisions = Decisions(records);
  for (const std::string decision :
       {"user.create", "session.sign_in", "session.sign_in CREDENTIALS_INVALID", "session.sign_in SIGN_IN_THROTTLED",
        "session.refresh", "session.refresh REFRESH_TOKEN_REUSED", "role.create", "user.update", "key.rotate",
        "permission.require PERMISSION_MISSING", "token.issue_service SERVICE_CREDENTIALS_INVALID"}) {
    EXPECT_THAT(decisions, Contains(decision));
  }
  std::string everything;
  for (const auth::v1::AuditRecord& record : records) {
    absl::StrAppend(&everything, record.DebugString());
    if (record.action() == "session.sign_in") {
      EXPECT_EQ(record.details().at("method"), "password");
    }
  }
  EXPECT_THAT(everything, HasSubstr("logins/nobody"));
  for (const std::string& secret : secrets) {
    EXPECT_THAT(everything, Not(HasSubstr(secret)));
  }
  EXPECT_TRUE(Verify(*platform).intact());
}

TEST(AuditTest, RecordsAreFoundByUserActionAndTime) {
  Covers({"AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  platform->AsAdmin();
  platform->Advance(absl::Hours(1));
  ASSERT_OK(platform->AsAdmin().SignIn());
  const absl::Time later = platform->Now();
  ASSERT_OK(ada.SignIn());
  ASSERT_OK(ada.Refresh());
  EXPECT_THAT(SignIn(*platform, "ada", "a wrong password"), HasReason("CREDENTIALS_INVALID"));

  auth::v1::ListAuditRecordsRequest request;
  request.set_user(ada.name());
  request.set_action("session.sign_in");
  ASSERT_OK_AND_ASSIGN(std::vector<auth::v1::AuditRecord> found, List(*platform, request));
  EXPECT_THAT(Decisions(found),
              ElementsAre("session.sign_in", "session.sign_in", "session.sign_in CREDENTIALS_INVALID"));
  request.mutable_start_time()->set_seconds(absl::ToUnixSeconds(later));
  ASSERT_OK_AND_ASSIGN(found, List(*platform, request));
  EXPECT_THAT(Decisions(found), ElementsAre("session.sign_in", "session.sign_in CREDENTIALS_INVALID"));
  request.clear_start_time();
  request.mutable_end_time()->set_seconds(absl::ToUnixSeconds(later));
  ASSERT_OK_AND_ASSIGN(found, List(*platform, request));
  EXPECT_THAT(Decisions(found), ElementsAre("session.sign_in"));
  request.clear_action();
  ASSERT_OK_AND_ASSIGN(found, List(*platform, request));
  EXPECT_THAT(Decisions(found), ElementsAre("user.create", "session.sign_in"));

  // A page token is for the question that it came from.
  auth::v1::ListAuditRecordsRequest all;
  all.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListAuditRecordsResponse page,
                       Call<AuditService>(platform->AsAdmin(), &AuditService::Stub::ListAuditRecords, all));
  all.set_page_token(page.next_page_token());
  all.set_action("user.create");
  EXPECT_THAT(Call<AuditService>(platform->AsAdmin(), &AuditService::Stub::ListAuditRecords, all),
              HasReason(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID"));
}

TEST(AuditTest, AdministratorSeesAndEndsSessionsOfOthersOnRecord) {
  Covers({"AU-3", "AU-5", "AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  User& ada = platform->As("ada");
  User& bob = platform->As("bob");
  User& admin = platform->AsAdmin();
  ASSERT_OK_AND_ASSIGN(const auth::v1::Tokens laptop, SignIn(*platform, "ada", ada.password(), "Ada's laptop"));
  EXPECT_THAT(SignIn(*platform, "ada", ada.password(), std::string(101, 'x')),
              HasReason(absl::StatusCode::kInvalidArgument, "DEVICE_INVALID"));
  EXPECT_THAT(SignIn(*platform, "ada", ada.password(), "two\nlines"), HasReason("DEVICE_INVALID"));

  auth::v1::ListSessionsRequest list;
  list.set_parent(ada.name());
  EXPECT_THAT(Call<SessionService>(bob, &SessionService::Stub::ListSessions, list),
              HasReason(absl::StatusCode::kNotFound, "USER_NOT_FOUND"));
  ASSERT_OK_AND_ASSIGN(const auth::v1::ListSessionsResponse sessions,
                       Call<SessionService>(admin, &SessionService::Stub::ListSessions, list));
  ASSERT_EQ(sessions.sessions_size(), 2);
  const auth::v1::Session* named = nullptr;
  for (const auth::v1::Session& session : sessions.sessions()) {
    EXPECT_EQ(session.method(), "password");
    if (session.name() == laptop.session()) {
      named = &session;
    }
  }
  ASSERT_NE(named, nullptr);
  EXPECT_EQ(named->device(), "Ada's laptop");

  auth::v1::RevokeSessionRequest revoke;
  revoke.set_name(laptop.session());
  EXPECT_THAT(Call<SessionService>(bob, &SessionService::Stub::RevokeSession, revoke),
              HasReason(absl::StatusCode::kNotFound, "SESSION_NOT_FOUND"));
  auth::v1::RevokeAllSessionsRequest revoke_all;
  revoke_all.set_parent(ada.name());
  EXPECT_THAT(Call<SessionService>(bob, &SessionService::Stub::RevokeAllSessions, revoke_all),
              HasReason(absl::StatusCode::kNotFound, "USER_NOT_FOUND"));
  EXPECT_OK(ada.ListRuns()) << "what was refused has not happened";

  ASSERT_OK(Call<SessionService>(admin, &SessionService::Stub::RevokeSession, revoke));
  EXPECT_OK(ada.Refresh()) << "her other session goes on";
  ASSERT_OK(Call<SessionService>(admin, &SessionService::Stub::RevokeAllSessions, revoke_all));
  EXPECT_THAT(ada.Refresh(), HasReason("SESSION_REVOKED"));
  EXPECT_OK(bob.Refresh());

  ASSERT_OK_AND_ASSIGN(const std::vector<auth::v1::AuditRecord> records, platform->AuditOf("ada"));
  EXPECT_THAT(
      Decisions(records),
      ElementsAre("user.create", "session.sign_in", "session.sign_in", "session.list USER_NOT_FOUND", "session.list",
                  "session.revoke SESSION_NOT_FOUND", "session.revoke_all USER_NOT_FOUND", "session.revoke",
                  "session.refresh", "session.revoke_all", "session.refresh SESSION_REVOKED"));
  EXPECT_EQ(records[2].details().at("device"), "Ada's laptop");
  EXPECT_EQ(records[3].actor(), bob.name());
  EXPECT_EQ(records[7].actor(), admin.name());
}

TEST(AuditTest, TamperingWithTheDatabaseIsFound) {
  Covers({"AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  EXPECT_THAT(SignIn(*platform, "ada", "a wrong password"), HasReason("CREDENTIALS_INVALID"));
  platform->AsAdmin();
  const auth::v1::VerifyAuditLogResponse whole = Verify(*platform);
  ASSERT_TRUE(whole.intact()) << whole.problem();
  ASSERT_GE(whole.records(), 6u);
  EXPECT_EQ(whole.head_hash().size(), 32u);
  const uint64_t last = whole.records();
  ASSERT_OK(ChangeDatabase(*platform, {"CREATE TABLE saved AS SELECT * FROM audit_records",
                                       "CREATE TABLE saved_head AS SELECT * FROM audit_head"}));

  struct Tampering {
    std::vector<std::string> statements;
    uint64_t first_bad;
  };
  std::vector<Tampering> all;
  for (const std::string change :
       {"user = 'users/user-2'", "actor = 'users/user-2'", "action = 'session.refresh'", "resource = 'x'",
        "allowed = 1 - allowed", "reason = 'X'", "request_id = 'x'", "address = '192.0.2.1'", "time = time + 1",
        "details = '{\"method\":\"providers/evil\"}'", "details = 'no JSON'", "hash = zeroblob(32)"}) {
    all.push_back({{absl::StrCat("UPDATE audit_records SET ", change, " WHERE sequence = 3")}, 3});
  }
  all.push_back({{"DELETE FROM audit_records WHERE sequence = 3"}, 3});                        // Removed.
  all.push_back({{"DELETE FROM audit_records WHERE sequence = 1"}, 1});                        // Its beginning.
  all.push_back({{absl::StrCat("DELETE FROM audit_records WHERE sequence = ", last)}, last});  // Truncated.
  all.push_back({{"DELETE FROM audit_records"}, 1});
  all.push_back({{"UPDATE audit_records SET sequence = -1 WHERE sequence = 3",  // Reordered.
                  "UPDATE audit_records SET sequence = 3 WHERE sequence = 4",
                  "UPDATE audit_records SET sequence = 4 WHERE sequence = -1"},
                 3});
  all.push_back({{absl::StrCat("INSERT INTO audit_records SELECT ", last + 1,  // Added.
                               ", time, user, actor, action, resource, allowed, reason, request_id, address, hash, "
                               "details FROM audit_records WHERE sequence = 3")},
                 last + 1});
  // The end that would have to fit a chain that was computed anew.
  all.push_back({{"UPDATE audit_head SET sealed = zeroblob(64)"}, 1});
  all.push_back({{"DELETE FROM audit_head"}, 1});
  for (const Tampering& tampering : all) {
    const std::string what = absl::StrJoin(tampering.statements, "; ");
    ASSERT_OK(ChangeDatabase(*platform, tampering.statements)) << what;
    const auth::v1::VerifyAuditLogResponse found = Verify(*platform);
    EXPECT_FALSE(found.intact()) << what;
    EXPECT_EQ(found.first_bad_sequence(), tampering.first_bad) << what;
    EXPECT_FALSE(found.problem().empty()) << what;
    EXPECT_EQ(found.head_hash(), "") << what;
    ASSERT_OK(ChangeDatabase(*platform, {"DELETE FROM audit_records", "INSERT INTO audit_records SELECT * FROM saved",
                                         "DELETE FROM audit_head", "INSERT INTO audit_head SELECT * FROM saved_head"}));
  }
  EXPECT_TRUE(Verify(*platform).intact()) << "as it was before";
}

// Pages of the gateway's JSON, a record a line.
absl::StatusOr<std::vector<std::string>> Export(Harness& platform) {
  std::vector<std::string> lines;
  std::string token;
  do {
    ASSIGN_OR_RETURN(const nlohmann::json page,
                     platform.AsAdmin().Http("GET", absl::StrCat("/v1/audit?pageSize=4&pageToken=", token), nullptr));
    for (const nlohmann::json& record : page.value("records", nlohmann::json::array())) {
      lines.push_back(record.dump());
    }
    token = page.value("nextPageToken", "");
  } while (!token.empty());
  return lines;
}

AuditExportCheck Check(const std::vector<std::string>& lines, const std::optional<AuditAnchor>& head) {
  std::istringstream stream(absl::StrJoin(lines, "\n"));
  return auth::VerifyAuditExport(stream, std::nullopt, head);
}

TEST(AuditTest, TamperingWithAnExportIsFoundWithoutThePlatform) {
  Covers({"AU-8"});
  ASSERT_OK_AND_ASSIGN(auto platform, Harness::Builder().WithUsers({"ada", "bob"}).Build());
  ASSERT_OK(SignIn(*platform, "ada", platform->As("ada").password(), "Büro"));
  EXPECT_THAT(SignIn(*platform, "ada", "a wrong password"), HasReason("CREDENTIALS_INVALID"));
  platform->AsAdmin();
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> lines, Export(*platform));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json verified,
                       platform->AsAdmin().Http("POST", "/v1/audit:verify", nlohmann::json::object()));
  AuditAnchor head{.sequence = verified.at("records").get<uint64_t>(), .hash = ""};
  ASSERT_TRUE(absl::Base64Unescape(verified.at("headHash").get<std::string>(), &head.hash));

  const AuditExportCheck whole = Check(lines, head);
  ASSERT_TRUE(whole.intact) << whole.problem;
  EXPECT_EQ(whole.records, head.sequence);
  EXPECT_EQ(whole.end.hash, head.hash);

  std::vector<std::string> changed = lines;
  for (std::string& line : changed) {
    line = absl::StrReplaceAll(line, {{"Büro", "Keller"}});
  }
  ASSERT_NE(changed, lines);
  EXPECT_THAT(Check(changed, head).problem, StartsWith("changed"));
  std::vector<std::string> removed = lines;
  removed.erase(removed.begin() + 2);
  EXPECT_EQ(Check(removed, head).first_bad_sequence, 3u);
  EXPECT_THAT(Check(removed, head).problem, StartsWith("removed"));
  std::vector<std::string> reordered = lines;
  std::swap(reordered[2], reordered[3]);
  EXPECT_THAT(Check(reordered, head).problem, StartsWith("reordered"));
  std::vector<std::string> truncated = lines;
  truncated.pop_back();
  EXPECT_THAT(Check(truncated, head).problem, StartsWith("truncated"));
  EXPECT_EQ(Check(truncated, head).first_bad_sequence, head.sequence);
}

}  // namespace
}  // namespace bulkhead::testing
