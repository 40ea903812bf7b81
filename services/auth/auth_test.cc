#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/auth/accounts.h"
#include "services/auth/audit_log.h"
#include "services/auth/breached_passwords.h"
#include "services/auth/key_rotation.h"
#include "services/auth/key_store.h"
#include "services/auth/password_hasher.h"
#include "services/auth/revocation_log.h"
#include "services/auth/role_store.h"
#include "services/auth/roles.h"
#include "services/auth/schema.h"
#include "services/auth/session_store.h"
#include "services/auth/sign_in_throttle.h"
#include "services/auth/sign_ins.h"
#include "services/auth/token_exchange.h"
#include "services/auth/token_issuer.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/call_context.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "services/common/status/error.h"
#include "services/common/storage/database.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"
#include "testing/base/wait.h"

namespace bulkhead::auth {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

const absl::Time kNoon = absl::FromUnixSeconds(1'772'366'400);  // 1 March 2026, 12:00 UTC.
constexpr char kPassword[] = "correct horse battery";
constexpr char kServiceSecret[] = "the agent service's own secret";
constexpr absl::Duration kOverlap = absl::Hours(24);

// The core of the service on a database in memory, without gRPC.
class AuthTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, storage::Database::Open({.path = "", .migrations = Migrations()}));
    ASSERT_OK_AND_ASSIGN(sealer_, crypto::Sealer::Create(crypto::RandomSecret(32)));
    audit_ = std::make_unique<AuditLog>(database_.get(), &clock_, sealer_.get());
    ASSERT_OK_AND_ASSIGN(breached_, BreachedPasswords::Open(""));
    ASSERT_OK_AND_ASSIGN(revocations_, RevocationLog::Open(kOverlap, database_.get(), &clock_));
    ASSERT_OK_AND_ASSIGN(keys_, KeyStore::Open({.overlap = kOverlap}, KeyDependencies()));
    ASSERT_OK_AND_ASSIGN(verifier_,
                         TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, keys_.get(), &clock_));
    issuer_ = std::make_unique<TokenIssuer>("bulkhead", "bulkhead", keys_.get(), &clock_, ids_.get());
    UseHasher({.n = 16, .r = 1, .p = 1});
  }

  KeyStore::Dependencies KeyDependencies() {
    return {.database = database_.get(),
            .sealer = sealer_.get(),
            .clock = &clock_,
            .ids = ids_.get(),
            .audit = audit_.get(),
            .revocations = revocations_.get()};
  }

  // Makes all that hashes passwords anew, on the same data.
  void UseHasher(crypto::ScryptParameters parameters) {
    hasher_ = std::make_unique<PasswordHasher>(parameters, pool_.get());
    sign_ins_ = std::make_unique<SignIns>(SignIns::Options{}, SignIns::Dependencies{.database = database_.get(),
                                                                                    .clock = &clock_,
                                                                                    .ids = ids_.get(),
                                                                                    .hasher = hasher_.get(),
                                                                                    .throttle = &throttle_,
                                                                                    .issuer = issuer_.get(),
                                                                                    .audit = audit_.get(),
                                                                                    .revocations = revocations_.get()});
    UseAccounts({.admin_login = "root"});
    TokenExchange::Options options;
    options.service_accounts["agent"] = {.secret = Secret(kServiceSecret), .permissions = {"token:run:exchange"}};
    exchange_ =
        std::make_unique<TokenExchange>(std::move(options), TokenExchange::Dependencies{.clock = &clock_,
                                                                                        .verifier = verifier_.get(),
                                                                                        .issuer = issuer_.get(),
                                                                                        .sign_ins = sign_ins_.get(),
                                                                                        .audit = audit_.get()});
  }

  void UseAccounts(Accounts::Options options) {
    accounts_ = std::make_unique<Accounts>(std::move(options), Accounts::Dependencies{.database = database_.get(),
                                                                                      .clock = &clock_,
                                                                                      .ids = ids_.get(),
                                                                                      .hasher = hasher_.get(),
                                                                                      .throttle = &throttle_,
                                                                                      .audit = audit_.get(),
                                                                                      .revocations = revocations_.get(),
                                                                                      .verifier = verifier_.get(),
                                                                                      .sign_ins = sign_ins_.get(),
                                                                                      .breached = breached_.get(),
                                                                                      .pool = pool_.get()});
  }

  template <typename T>
  T Run(Awaitable<T> coroutine) {
    return BlockOn(*executor_, std::move(coroutine));
  }

  absl::StatusOr<User> Register(const std::string& login, const std::string& request_id = "",
                                const rpc::CallContext& call = Anonymous()) {
    const Accounts::Registration registration{
        .login = login, .password = Secret(kPassword), .display_name = "", .request_id = request_id};
    return Run(accounts_->Register(call, registration));
  }

  absl::StatusOr<SignedIn> SignIn(const std::string& login, const std::string& password = kPassword) {
    const rpc::CallContext call = Anonymous();
    const Secret secret(password);
    return Run(sign_ins_->SignIn(call, login, secret));
  }

  absl::StatusOr<SignedIn> Refresh(const Secret& refresh_token) {
    const rpc::CallContext call = Anonymous();
    return Run(sign_ins_->Refresh(call, refresh_token));
  }

  absl::StatusOr<IssuedToken> Exchange(const rpc::CallContext& call, const RawToken& subject, const std::string& user,
                                       absl::Duration lifetime, std::vector<std::string> permissions = {}) {
    const TokenExchange::Request request{.subject = subject.Copy(),
                                         .run_user = user,
                                         .run = "run-1",
                                         .lifetime = lifetime,
                                         .permissions = std::move(permissions)};
    return Run(exchange_->Exchange(call, request));
  }

  static rpc::CallContext Anonymous() {
    rpc::CallContext call;
    call.request_id = "req-1";
    call.peer_address = "192.0.2.7";
    return call;
  }

  // A call as a server sees it after the verification of `token`.
  rpc::CallContext CallWith(const RawToken& token) {
    rpc::CallContext call = Anonymous();
    absl::StatusOr<VerifiedToken> verified = verifier_->Verify(token);
    EXPECT_OK(verified);
    absl::StatusOr<UserContext> user = UserContext::FromToken(*verified, {.request_id = call.request_id});
    EXPECT_OK(user);
    call.user = *std::move(user);
    call.token = std::make_shared<const RawToken>(token.Copy());
    return call;
  }

  rpc::CallContext CallOfAgent() {
    const rpc::CallContext call = Anonymous();
    const Secret secret(kServiceSecret);
    absl::StatusOr<IssuedToken> issued = Run(exchange_->IssueForService(call, "agent", secret));
    EXPECT_OK(issued);
    return CallWith(issued->token);
  }

  // "action reason" of each record about `user`, oldest first.
  std::vector<std::string> Audit(std::string_view user) {
    absl::StatusOr<std::vector<AuditRecord>> records =
        audit_->ListAcrossUsers({.user = std::string(user)}, /*after=*/0, /*limit=*/100);
    EXPECT_OK(records);
    std::vector<std::string> lines;
    for (const AuditRecord& record : *records) {
      lines.push_back(absl::StrCat(record.entry.action, record.entry.allowed ? "" : " ", record.entry.reason));
    }
    return lines;
  }

  void Sql(std::string sql) {
    ASSERT_OK(
        database_->WriteAndWait([&](storage::Connection& connection) { return connection.Execute(sql).status(); }));
  }

  SimulatedClock clock_{kNoon};
  std::unique_ptr<IdGenerator> ids_ = CreateSequentialIds();
  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "auth_test", .threads = 1});
  std::unique_ptr<BlockingPool> pool_ = BlockingPool::Create(1);
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<crypto::Sealer> sealer_;
  std::unique_ptr<AuditLog> audit_;
  std::shared_ptr<RevocationLog> revocations_;
  std::unique_ptr<KeyStore> keys_;
  std::unique_ptr<TokenVerifier> verifier_;
  std::unique_ptr<TokenIssuer> issuer_;
  std::unique_ptr<PasswordHasher> hasher_;
  std::unique_ptr<BreachedPasswords> breached_;
  SignInThrottle throttle_{SignInThrottle::Options{}, &clock_};
  std::unique_ptr<SignIns> sign_ins_;
  std::unique_ptr<Accounts> accounts_;
  std::unique_ptr<TokenExchange> exchange_;
};

TEST_F(AuthTest, RefreshTokenRotatesAndItsReuseRevokesTheSession) {
  ASSERT_OK_AND_ASSIGN(User ada, Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn first, SignIn("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn second, Refresh(first.refresh_token));
  EXPECT_EQ(second.session, first.session);
  EXPECT_OK(sign_ins_->CheckLive(ada.id, first.session));

  EXPECT_THAT(Refresh(first.refresh_token), HasReason(absl::StatusCode::kUnauthenticated, "REFRESH_TOKEN_REUSED"));
  EXPECT_THAT(Refresh(second.refresh_token), HasReason("SESSION_REVOKED"));
  EXPECT_THAT(sign_ins_->CheckLive(ada.id, first.session), HasReason("SESSION_REVOKED"));
  EXPECT_THAT(Refresh(Secret("made up")), HasReason("REFRESH_TOKEN_INVALID"));
  EXPECT_THAT(Audit(absl::StrCat("users/", ada.id)),
              ElementsAre("user.create", "session.sign_in", "session.refresh", "session.refresh REFRESH_TOKEN_REUSED",
                          "session.refresh SESSION_REVOKED"));
}

TEST_F(AuthTest, SessionEndsWhenIdleAndAtTheLatestWhenOld) {
  ASSERT_OK(Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn idle, SignIn("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn busy, SignIn("ada"));
  for (int week = 0; week < 12; ++week) {
    clock_.Advance(absl::Hours(24 * 7));
    ASSERT_OK_AND_ASSIGN(busy, Refresh(busy.refresh_token));
  }
  EXPECT_THAT(Refresh(idle.refresh_token), HasReason("SESSION_EXPIRED"));
  // The last access token ends with the session.
  clock_.Advance(absl::Hours(24 * 6) - absl::Minutes(5));
  ASSERT_OK_AND_ASSIGN(busy, Refresh(busy.refresh_token));
  EXPECT_EQ(busy.access.lifetime, absl::Minutes(5));
  clock_.Advance(absl::Minutes(5));
  EXPECT_THAT(Refresh(busy.refresh_token), HasReason("SESSION_EXPIRED"));
}

TEST_F(AuthTest, UnknownLoginCostsAndSaysTheSameAsAWrongPassword) {
  ASSERT_OK(Register("ada"));
  const int64_t before = hasher_->hashes();
  absl::Status wrong = SignIn("ada", "wrong password").status();
  const int64_t for_wrong = hasher_->hashes() - before;
  absl::Status unknown = SignIn("nobody", "wrong password").status();
  EXPECT_EQ(hasher_->hashes() - before - for_wrong, for_wrong);
  EXPECT_EQ(for_wrong, 1);
  EXPECT_THAT(wrong, HasReason(absl::StatusCode::kUnauthenticated, "CREDENTIALS_INVALID"));
  EXPECT_EQ(wrong, unknown);
}

TEST_F(AuthTest, SignInRaisesTheCostOfAnOldHash) {
  ASSERT_OK(Register("ada"));
  UseHasher({.n = 32, .r = 1, .p = 1});
  ASSERT_OK(SignIn("ada"));
  const int64_t before = hasher_->hashes();
  ASSERT_OK(SignIn("ada"));
  EXPECT_EQ(hasher_->hashes() - before, 1) << "the hash was made anew a second time";
}

TEST_F(AuthTest, RepeatedRegistrationReturnsTheFirstAnswerToItsAuthorOnly) {
  ASSERT_OK_AND_ASSIGN(User first, Register("ada", "request-7"));
  ASSERT_OK_AND_ASSIGN(User again, Register("ada", "request-7"));
  EXPECT_EQ(again.id, first.id);
  EXPECT_THAT(Register("ada", "request-8"), HasReason(absl::StatusCode::kAlreadyExists, "LOGIN_TAKEN"));
  const rpc::CallContext call = Anonymous();
  const Accounts::Registration stranger{
      .login = "ada", .password = Secret("another password"), .display_name = "", .request_id = "request-7"};
  EXPECT_THAT(Run(accounts_->Register(call, stranger)), HasReason("LOGIN_TAKEN"));
  EXPECT_THAT(Register("Ada!"), HasReason("LOGIN_INVALID"));
  const Accounts::Registration careless{
      .login = "bob", .password = Secret("short"), .display_name = "", .request_id = ""};
  EXPECT_THAT(Run(accounts_->Register(call, careless)), HasReason("PASSWORD_TOO_SHORT"));
}

TEST_F(AuthTest, ClosedRegistrationIsOpenToAdministrators) {
  ASSERT_OK(Register("root"));
  ASSERT_OK(Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn root, SignIn("root"));
  ASSERT_OK_AND_ASSIGN(SignedIn ada, SignIn("ada"));
  UseAccounts({.open_registration = false});
  rpc::CallContext call = Anonymous();
  EXPECT_THAT(Register("bob", "", call), HasReason(absl::StatusCode::kPermissionDenied, "REGISTRATION_CLOSED"));
  call.token = std::make_shared<const RawToken>(ada.access.token.Copy());
  EXPECT_THAT(Register("bob", "", call), HasReason("REGISTRATION_CLOSED"));
  call.token = std::make_shared<const RawToken>(root.access.token.Copy());
  ASSERT_OK_AND_ASSIGN(User bob, Register("bob", "", call));
  EXPECT_THAT(bob.roles, ElementsAre("member"));
}

TEST_F(AuthTest, FirstAdministratorRegistersWhereRegistrationIsClosed) {
  UseAccounts({.open_registration = false, .admin_login = "root"});
  EXPECT_THAT(Register("bob"), HasReason("REGISTRATION_CLOSED"));
  ASSERT_OK_AND_ASSIGN(User root, Register("root"));
  EXPECT_THAT(root.roles, ElementsAre("admin", "member"));
  EXPECT_THAT(Register("root"), HasReason("LOGIN_TAKEN"));
}

TEST_F(AuthTest, DisabledUserLosesHisSessionsAndCannotSignIn) {
  ASSERT_OK_AND_ASSIGN(User ada, Register("ada"));
  ASSERT_OK(Register("root"));
  ASSERT_OK_AND_ASSIGN(SignedIn session, SignIn("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn root, SignIn("root"));
  const rpc::CallContext call = CallWith(root.access.token);
  const Accounts::Change disable{.display_name = std::nullopt, .disabled = true, .roles = std::nullopt};
  ASSERT_OK(Run(accounts_->Update(call, ada.id, disable)));
  EXPECT_THAT(Refresh(session.refresh_token), HasReason("SESSION_REVOKED"));
  EXPECT_THAT(SignIn("ada"), HasReason("CREDENTIALS_INVALID"));
  const Accounts::Change unknown_role{
      .display_name = std::nullopt, .disabled = std::nullopt, .roles = std::vector<std::string>{"captain"}};
  EXPECT_THAT(Run(accounts_->Update(call, ada.id, unknown_role)), HasReason("ROLE_UNKNOWN"));
}

TEST_F(AuthTest, NewPasswordEndsAllOtherSessions) {
  ASSERT_OK(Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn other, SignIn("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn own, SignIn("ada"));
  const rpc::CallContext call = CallWith(own.access.token);
  const Secret wrong("not the password"), current(kPassword), next("a better password");
  EXPECT_THAT(Run(accounts_->ChangePassword(call, wrong, next)), HasReason("CREDENTIALS_INVALID"));
  ASSERT_OK(Run(accounts_->ChangePassword(call, current, next)));
  EXPECT_THAT(Refresh(other.refresh_token), HasReason("SESSION_REVOKED"));
  EXPECT_OK(Refresh(own.refresh_token));
  EXPECT_THAT(SignIn("ada"), HasReason("CREDENTIALS_INVALID"));
  EXPECT_OK(SignIn("ada", "a better password"));
}

TEST_F(AuthTest, ABreachedPasswordIsNoNewPassword) {
  ASSERT_OK(Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn own, SignIn("ada"));
  const Secret current(kPassword), breached("password1234");
  EXPECT_THAT(Run(accounts_->ChangePassword(CallWith(own.access.token), current, breached)),
              HasReason(absl::StatusCode::kInvalidArgument, "PASSWORD_BREACHED"));
  EXPECT_OK(SignIn("ada")) << "the old one holds";
}

TEST_F(AuthTest, AFloodOfThrottledSignInsLeavesFewRecords) {
  ASSERT_OK(Register("ada"));
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(SignIn("ada", "a wrong password"), HasReason("CREDENTIALS_INVALID"));
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(SignIn("ada", "a wrong password"), HasReason("SIGN_IN_THROTTLED"));
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<AuditRecord> records,
                       audit_->ListAcrossUsers({.action = "session.sign_in"}, 0, 1000));
  ASSERT_EQ(records.size(), 12u) << "five that failed, and the 1st, 2nd, 4th ... 64th that was held back";
  EXPECT_EQ(absl::c_count_if(records,
                             [](const AuditRecord& record) {
                               const auto attempts = record.entry.details.find("attempts");
                               return attempts != record.entry.details.end() && attempts->second == "64";
                             }),
            1);
}

TEST_F(AuthTest, ExchangedTokenIsNarrowedToTheRun) {
  ASSERT_OK_AND_ASSIGN(User ada, Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn session, SignIn("ada"));
  const rpc::CallContext agent = CallOfAgent();
  ASSERT_OK_AND_ASSIGN(IssuedToken issued, Exchange(agent, session.access.token, ada.id, absl::Hours(2)));

  ASSERT_OK_AND_ASSIGN(VerifiedToken run, verifier_->Verify(issued.token));
  EXPECT_EQ(run.claims().subject, ada.id);
  EXPECT_EQ(run.claims().session, session.session);
  EXPECT_EQ(run.claims().run, "run-1");
  EXPECT_EQ(run.claims().actor, "service-agent");
  EXPECT_EQ(run.claims().expires_at, kNoon + absl::Hours(2));
  const rpc::CallContext call = CallWith(issued.token);
  EXPECT_TRUE(call.user->May("tool:table.load:invoke"));
  EXPECT_FALSE(call.user->May("approval:own:resolve")) << "a run may not answer its own question";
  EXPECT_FALSE(call.user->May("user:own:update"));

  // Asked for less, it grants less; a child run neither gets more nor lives longer than its parent.
  ASSERT_OK_AND_ASSIGN(IssuedToken child, Exchange(agent, issued.token, ada.id, absl::Hours(3),
                                                   {"tool:table.load:invoke", "user:own:update"}));
  EXPECT_EQ(child.lifetime, absl::Hours(2));
  ASSERT_OK_AND_ASSIGN(VerifiedToken child_token, verifier_->Verify(child.token));
  EXPECT_THAT(child_token.claims().permissions, ElementsAre("tool:table.load:invoke"));
}

TEST_F(AuthTest, ExchangeIsRefusedForOthersRunsLongLivesUsersAndDeadSessions) {
  ASSERT_OK_AND_ASSIGN(User ada, Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn session, SignIn("ada"));
  const rpc::CallContext agent = CallOfAgent();
  const rpc::CallContext user = CallWith(session.access.token);
  const RawToken& token = session.access.token;
  EXPECT_THAT(Exchange(agent, token, "user-of-another", absl::Hours(1)),
              HasReason(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND"));
  EXPECT_THAT(Exchange(agent, token, ada.id, absl::Hours(24 * 8)), HasReason("LIFETIME_INVALID"));
  EXPECT_THAT(Exchange(agent, token, ada.id, absl::ZeroDuration()), HasReason("LIFETIME_INVALID"));
  EXPECT_THAT(Exchange(agent, *agent.token, ada.id, absl::Hours(1)), HasReason("TOKEN_CLAIM_INVALID"));
  EXPECT_THAT(Exchange(user, token, ada.id, absl::Hours(1)), HasReason("SERVICE_ONLY"));
  ASSERT_OK(Run(sign_ins_->RevokeAll(user, user.user->user(), /*keep_current=*/false)));
  EXPECT_THAT(Exchange(agent, token, ada.id, absl::Hours(1)), HasReason("SESSION_REVOKED"));
  EXPECT_THAT(exchange_->Introspect(token), bulkhead::testing::IsOkAndHolds(::testing::Eq(std::nullopt)));
}

TEST_F(AuthTest, ServiceNeedsItsSecret) {
  const rpc::CallContext call = Anonymous();
  for (auto [service, secret] : std::vector<std::pair<std::string, std::string>>{
           {"agent", "wrong"}, {"agent", ""}, {"unknown", ""}, {"unknown", kServiceSecret}}) {
    const Secret presented(secret);
    EXPECT_THAT(Run(exchange_->IssueForService(call, service, presented)),
                HasReason(absl::StatusCode::kUnauthenticated, "SERVICE_CREDENTIALS_INVALID"))
        << service << " with '" << secret << "'";
  }
  EXPECT_THAT(CallOfAgent().user->permissions(), ElementsAre("token:run:exchange"));
}

TEST_F(AuthTest, RotatedKeyVerifiesForTheOverlapAndARevokedOneNoMore) {
  ASSERT_OK(Register("root"));
  ASSERT_OK_AND_ASSIGN(SignedIn before, SignIn("root"));
  const std::string first = keys_->Signer()->id;
  const rpc::CallContext call = CallWith(before.access.token);
  ASSERT_OK(Run(keys_->Rotate(call, crypto::Algorithm::kEs256)));
  const std::string second = keys_->Signer()->id;
  EXPECT_NE(second, first);
  EXPECT_OK(verifier_->Verify(before.access.token));
  ASSERT_OK_AND_ASSIGN(SignedIn after, SignIn("root"));
  EXPECT_OK(verifier_->Verify(after.access.token));

  ASSERT_OK(Run(keys_->Revoke(call, first)));
  EXPECT_THAT(verifier_->Verify(before.access.token), HasReason("TOKEN_KEY_UNKNOWN"));
  EXPECT_OK(Run(keys_->Revoke(call, first))) << "it stays revoked";
  EXPECT_THAT(Run(keys_->Revoke(call, "key-unknown")), HasReason(absl::StatusCode::kNotFound, "KEY_NOT_FOUND"));
  ASSERT_OK(Run(keys_->Rotate(call, crypto::Algorithm::kEdDsa)));
  EXPECT_NE(keys_->Find(second), nullptr);
  clock_.Advance(kOverlap);
  EXPECT_EQ(keys_->Find(second), nullptr);
  EXPECT_NE(keys_->Find(keys_->Signer()->id), nullptr);
}

TEST_F(AuthTest, RevokingTheKeyThatSignsPutsANewOneInItsPlace) {
  ASSERT_OK(Register("root"));
  ASSERT_OK_AND_ASSIGN(SignedIn before, SignIn("root"));
  const rpc::CallContext call = CallWith(before.access.token);
  ASSERT_OK(Run(keys_->Rotate(call, crypto::Algorithm::kEs256)));
  const std::string compromised = keys_->Signer()->id;
  ASSERT_OK(Run(keys_->Revoke(call, compromised)));
  EXPECT_NE(keys_->Signer()->id, compromised);
  EXPECT_EQ(keys_->Signer()->key->algorithm(), crypto::Algorithm::kEs256) << "of the same algorithm";
  EXPECT_EQ(keys_->Find(compromised), nullptr);
  ASSERT_OK_AND_ASSIGN(SignedIn after, SignIn("root"));
  EXPECT_OK(verifier_->Verify(after.access.token));

  // Who follows the log is told, in the same transaction.
  ASSERT_OK_AND_ASSIGN(std::vector<RevocationRecord> told, revocations_->List(/*after=*/0, /*limit=*/10));
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].revocation.key, compromised);
  EXPECT_EQ(told[0].revocation.reason, "KEY_REVOKED");

  ASSERT_OK_AND_ASSIGN(std::vector<KeyStore::Description> keys, keys_->List());
  ASSERT_EQ(keys.size(), 4u);
  EXPECT_EQ(keys[0].state, KeyStore::State::kSigning);
  EXPECT_EQ(absl::c_count_if(keys, [this](const auto& key) { return key.id == keys_->Upcoming()->id; }), 1);
  for (const KeyStore::Description& key : keys) {
    EXPECT_EQ(key.revoked_at.has_value(), key.id == compromised);
    EXPECT_EQ(key.state == KeyStore::State::kRevoked, key.id == compromised);
  }
  clock_.Advance(kOverlap);
  ASSERT_OK_AND_ASSIGN(keys, keys_->List());
  EXPECT_EQ(absl::c_count_if(keys, [](const auto& key) { return key.state == KeyStore::State::kExpired; }), 1);
  clock_.Advance(absl::Hours(24 * 91));
  ASSERT_OK_AND_ASSIGN(keys, keys_->List());
  EXPECT_EQ(keys.size(), 2u) << "what ended long ago is not listed";
  ASSERT_OK(Run(keys_->Rotate(call, std::nullopt)));
  EXPECT_EQ(keys_->Signer()->key->algorithm(), crypto::Algorithm::kEdDsa) << "as the options say";
}

TEST_F(AuthTest, TheSigningKeyIsRotatedBySchedule) {
  const std::string first = keys_->Signer()->id;
  const KeyRotation::Dependencies dependencies{
      .keys = keys_.get(), .clock = &clock_, .ids = ids_.get(), .executor = executor_.get()};
  clock_.Advance(absl::Hours(20));
  {
    KeyRotation rotation(absl::Hours(24), dependencies);
    rotation.Start();
    ASSERT_OK(bulkhead::testing::WaitFor([&] { return clock_.pending_timers() == 1; }, "the rotation's timer"));
    EXPECT_EQ(keys_->Signer()->id, first) << "20 hours old";
  }
  ASSERT_OK(executor_->Drain(absl::Seconds(30)));
  // The age counts from the key's making, not from the start of the process.
  KeyRotation rotation(absl::Hours(24), dependencies);
  rotation.Start();
  clock_.Advance(absl::Hours(4));
  EXPECT_OK(bulkhead::testing::WaitFor([&] { return keys_->Signer()->id != first; }, "the rotation"));
  EXPECT_NE(keys_->Find(first), nullptr) << "it overlaps";
  rotation.Shutdown();
  EXPECT_OK(executor_->Drain(absl::Seconds(30)));
  EXPECT_THAT(audit_->ListAcrossUsers({.action = "key.rotate"}, 0, 10),
              bulkhead::testing::IsOkAndHolds(ElementsAre(
                  ::testing::Field(&AuditRecord::entry, ::testing::Field(&AuditEntry::actor, "services/auth")))));
}

TEST_F(AuthTest, TheNextKeyIsPublishedBeforeItSigns) {
  const auto published = [this] {
    std::vector<std::string> ids;
    for (const std::shared_ptr<const KeyStore::Key>& key : keys_->Valid()) {
      ids.push_back(key->id);
    }
    return ids;
  };
  const std::string first = keys_->Signer()->id;
  const std::string next = keys_->Upcoming()->id;
  EXPECT_THAT(published(), ElementsAre(first, next));
  ASSERT_OK(Run(keys_->Rotate({}, std::nullopt)));
  EXPECT_EQ(keys_->Signer()->id, next);
  const std::string after_next = keys_->Upcoming()->id;
  EXPECT_THAT(published(), ::testing::UnorderedElementsAre(next, after_next, first));
  EXPECT_EQ(keys_->Signer()->signs_since, clock_.Now());

  ASSERT_OK(Run(keys_->Revoke({}, next)));
  EXPECT_EQ(keys_->Signer()->id, after_next) << "the one that everybody knows takes over from a compromised one too";
  const std::string compromised = keys_->Upcoming()->id;
  ASSERT_OK(Run(keys_->Revoke({}, compromised)));
  EXPECT_EQ(keys_->Signer()->id, after_next);
  EXPECT_NE(keys_->Upcoming()->id, compromised);
  EXPECT_EQ(keys_->Find(compromised), nullptr);
}

TEST_F(AuthTest, AKeyOfAnotherAlgorithmThanConfiguredIsReplacedWhenItsSuccessorIsKnown) {
  ASSERT_OK_AND_ASSIGN(
      std::unique_ptr<KeyStore> keys,
      KeyStore::Open({.overlap = kOverlap, .algorithm = crypto::Algorithm::kEs256}, KeyDependencies()));
  const std::string first = keys->Signer()->id;
  EXPECT_EQ(keys->Signer()->key->algorithm(), crypto::Algorithm::kEdDsa);
  EXPECT_EQ(keys->Upcoming()->key->algorithm(), crypto::Algorithm::kEs256);
  KeyRotation rotation(absl::Hours(24 * 30),
                       {.keys = keys.get(), .clock = &clock_, .ids = ids_.get(), .executor = executor_.get()});
  rotation.Start();
  ASSERT_OK(bulkhead::testing::WaitFor([&] { return clock_.pending_timers() == 1; }, "the rotation's timer"));
  EXPECT_EQ(keys->Signer()->id, first);
  clock_.Advance(absl::Minutes(10));
  EXPECT_OK(bulkhead::testing::WaitFor([&] { return keys->Signer()->id != first; }, "the rotation"));
  EXPECT_EQ(keys->Signer()->key->algorithm(), crypto::Algorithm::kEs256);
  EXPECT_NE(keys->Find(first), nullptr) << "it overlaps";
  // A rotation to another one by hand stays.
  ASSERT_OK(Run(keys->Rotate({}, crypto::Algorithm::kEdDsa)));
  const std::string by_hand = keys->Signer()->id;
  ASSERT_OK(bulkhead::testing::WaitFor([&] { return clock_.pending_timers() == 1; }, "the rotation's timer"));
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(keys->Signer()->id, by_hand);
  rotation.Shutdown();
  EXPECT_OK(executor_->Drain(absl::Seconds(30)));
}

TEST_F(AuthTest, KeysOutliveARestartAndNeedTheSealingKey) {
  ASSERT_OK(Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn session, SignIn("ada"));
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<KeyStore> reopened, KeyStore::Open({.overlap = kOverlap}, KeyDependencies()));
  EXPECT_EQ(reopened->Signer()->id, keys_->Signer()->id);
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<crypto::Sealer> stranger, crypto::Sealer::Create(crypto::RandomSecret(32)));
  KeyStore::Dependencies dependencies = KeyDependencies();
  dependencies.sealer = stranger.get();
  EXPECT_THAT(KeyStore::Open({.overlap = kOverlap}, dependencies),
              HasReason(absl::StatusCode::kDataLoss, "SEALED_DATA_INVALID"));
}

TEST_F(AuthTest, AuditLogTellsChangedRemovedAndRewrittenRecords) {
  ASSERT_OK(Register("ada"));
  ASSERT_OK(SignIn("ada"));
  EXPECT_THAT(SignIn("ada", "wrong password"), Not(bulkhead::testing::IsOk()));
  ASSERT_OK_AND_ASSIGN(AuditLog::Verification intact, audit_->Verify());
  EXPECT_TRUE(intact.intact) << intact.problem;
  EXPECT_EQ(intact.records, 3);

  auto first_bad = [this] { return audit_->Verify()->first_bad_sequence; };
  Sql("UPDATE audit_records SET address = 'elsewhere' WHERE sequence = 2");
  EXPECT_EQ(first_bad(), 2);
  Sql("UPDATE audit_records SET address = '192.0.2.7' WHERE sequence = 2");
  EXPECT_EQ(first_bad(), 0);
  Sql("UPDATE audit_records SET allowed = 1 - allowed WHERE sequence = 3");
  EXPECT_EQ(first_bad(), 3);
  Sql("DELETE FROM audit_records WHERE sequence = 3");
  EXPECT_EQ(first_bad(), 3) << "the end was cut off";
  // What comes after does not hide it.
  ASSERT_OK(SignIn("ada"));
  EXPECT_EQ(first_bad(), 3);
  Sql("DELETE FROM audit_records");
  EXPECT_EQ(first_bad(), 1);
  Sql("DELETE FROM audit_head");
  EXPECT_EQ(first_bad(), 0) << "an empty log is whole";
}

TEST_F(AuthTest, NothingIsDecidedWithoutARecord) {
  ASSERT_OK_AND_ASSIGN(User ada, Register("ada"));
  Sql("UPDATE audit_head SET sealed = x'00'");
  EXPECT_THAT(SignIn("ada"), HasReason(absl::StatusCode::kDataLoss, "AUDIT_LOG_DAMAGED"));
  std::vector<Session> sessions;
  ASSERT_OK(database_->Read([&](storage::Connection& connection) {
    absl::StatusOr<std::vector<Session>> found =
        SessionStore(connection).For(ada.id).List(absl::InfiniteFuture(), /*before_id=*/"", /*limit=*/10);
    if (found.ok()) {
      sessions = *std::move(found);
    }
    return found.status();
  }));
  EXPECT_THAT(sessions, IsEmpty());
}

TEST_F(AuthTest, PermissionCheckExplainsItself) {
  ASSERT_OK(Register("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn session, SignIn("ada"));
  const rpc::CallContext call = CallWith(session.access.token);
  Roles roles(database_.get(), audit_.get());
  ASSERT_OK_AND_ASSIGN(Roles::Answer granted, Run(roles.Check(call, "tool:table.load:invoke", "")));
  EXPECT_TRUE(granted.granted);
  EXPECT_EQ(granted.pattern, "tool:*:invoke");
  EXPECT_EQ(granted.explanation, "role `member` grants `tool:*:invoke`");
  ASSERT_OK_AND_ASSIGN(Roles::Answer denied, Run(roles.Check(call, "key:all:rotate", "")));
  EXPECT_FALSE(denied.granted);
  EXPECT_EQ(denied.explanation, "no role of yours grants it: member");
  EXPECT_THAT(Run(roles.Check(call, "run:own:read", "users/user-9/runs/run-1")),
              HasReason(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND"));
  EXPECT_THAT(Run(roles.Check(call, "run:*:read", "")), HasReason("PERMISSION_MALFORMED"));
}

TEST_F(AuthTest, RoleReachesItsUsersWithTheirNextRefresh) {
  ASSERT_OK_AND_ASSIGN(User ada, Register("ada"));
  ASSERT_OK(Register("root"));
  ASSERT_OK_AND_ASSIGN(SignedIn session, SignIn("ada"));
  ASSERT_OK_AND_ASSIGN(SignedIn root, SignIn("root"));
  const rpc::CallContext call = CallWith(root.access.token);
  Roles roles(database_.get(), audit_.get());
  ASSERT_OK(Run(roles.Create(call, {.id = "auditor", .permissions = {"audit:all:read"}})));
  EXPECT_THAT(Run(roles.Create(call, {.id = "member", .permissions = {}})), HasReason("ROLE_EXISTS"));
  EXPECT_THAT(Run(roles.Update(call, {.id = "admin", .permissions = {}})), HasReason("ROLE_BUILT_IN"));
  const Accounts::Change promote{
      .display_name = std::nullopt, .disabled = std::nullopt, .roles = std::vector<std::string>{"member", "auditor"}};
  ASSERT_OK(Run(accounts_->Update(call, ada.id, promote)));
  EXPECT_FALSE(CallWith(session.access.token).user->May("audit:all:read"));
  ASSERT_OK_AND_ASSIGN(session, Refresh(session.refresh_token));
  EXPECT_TRUE(CallWith(session.access.token).user->May("audit:all:read"));
  EXPECT_THAT(Run(roles.Delete(call, "auditor")), HasReason("ROLE_IN_USE"));
}

TEST(SignInThrottleTest, PauseGrowsToItsLimitAndIsForgotten) {
  SimulatedClock clock(kNoon);
  SignInThrottle throttle(
      {.free_failures_by_login = 2, .first_pause = absl::Seconds(1), .longest_pause = absl::Seconds(4)}, &clock);
  auto wait = [&] {
    absl::Status status = throttle.Begin("ada", "");
    if (status.ok()) {
      return absl::ZeroDuration();
    }
    EXPECT_THAT(status, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED"));
    return ErrorInfoOf(status)->retry_after.value_or(absl::ZeroDuration());
  };
  EXPECT_EQ(wait(), absl::ZeroDuration());
  EXPECT_EQ(wait(), absl::ZeroDuration());
  for (absl::Duration pause : {absl::Seconds(1), absl::Seconds(2), absl::Seconds(4), absl::Seconds(4)}) {
    EXPECT_EQ(wait(), pause);
    EXPECT_EQ(wait(), pause) << "a refused attempt made the pause longer";
    clock.Advance(pause);
    EXPECT_EQ(wait(), absl::ZeroDuration());
  }
  EXPECT_OK(throttle.Begin("bob", ""));
  throttle.Succeed("ada", "");
  EXPECT_EQ(wait(), absl::ZeroDuration());
  EXPECT_EQ(wait(), absl::ZeroDuration());
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(wait(), absl::ZeroDuration());
  EXPECT_EQ(wait(), absl::ZeroDuration()) << "old failures were remembered";
}

TEST(SignInThrottleTest, AddressIsSlowedDownWhateverLoginItTries) {
  SimulatedClock clock(kNoon);
  SignInThrottle throttle({.free_failures_by_address = 3, .capacity = 8}, &clock);
  for (const char* login : {"ada", "bob", "eve"}) {
    EXPECT_OK(throttle.Begin(login, "192.0.2.7"));
  }
  // One known password does not clear what failed with other logins.
  throttle.Succeed("eve", "192.0.2.7");
  EXPECT_OK(throttle.Begin("joe", "192.0.2.7"));
  EXPECT_THAT(throttle.Begin("kim", "192.0.2.7"), HasReason("SIGN_IN_THROTTLED"));
  EXPECT_OK(throttle.Begin("kim", "192.0.2.8"));
  // Bounded: a flood of logins pushes out the stalest.
  for (int i = 0; i < 100; ++i) {
    clock.Advance(absl::Milliseconds(1));
    EXPECT_OK(throttle.Begin(absl::StrCat("login", i), ""));
  }
}

TEST(PermissionsTest, IntersectionGrantsWhatBothGrant) {
  EXPECT_THAT(IntersectPermissions({"tool:*:invoke", "file:own:read"}, {"*:own:*", "tool:x:*"}),
              UnorderedElementsAre("tool:own:invoke", "tool:x:invoke", "file:own:read"));
  EXPECT_THAT(IntersectPermissions({"*:*:*"}, RunPermissions()), ::testing::ElementsAreArray(RunPermissions()));
  EXPECT_THAT(IntersectPermissions({}, RunPermissions()), IsEmpty());
}

}  // namespace
}  // namespace bulkhead::auth
