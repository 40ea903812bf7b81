// What guessing costs, and which passwords are not taken.
#include <cstdint>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/auth/breached_passwords.h"
#include "services/auth/hash_list_file.h"
#include "services/auth/schema.h"
#include "services/auth/sign_in_throttle.h"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/status/error.h"
#include "services/common/storage/database.h"
#include "services/common/time/simulated_clock.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::auth {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::bulkhead::testing::IsOkAndHolds;
using ::bulkhead::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNoon = absl::FromUnixSeconds(1'772'366'400);  // 1 March 2026, 12:00 UTC.

std::string Sha1(std::string_view password) {
  return std::string(crypto::Sha1ForBreachLists(Secret(std::string(password))).Reveal());
}

// The rule that refuses it, "" when none does.
std::string Rule(const BreachedPasswords& breached, std::string_view login, std::string_view password) {
  const absl::Status checked = breached.Check(login, Secret(std::string(password)));
  if (checked.ok()) {
    return "";
  }
  EXPECT_THAT(checked, HasReason(absl::StatusCode::kInvalidArgument, "PASSWORD_BREACHED"));
  EXPECT_THAT(checked.message(), Not(HasSubstr(std::string(password))));
  return ErrorInfoOf(checked)->metadata.at("rule");
}

TEST(BreachedPasswordsTest, CommonOnesAreRefusedInWhateverDressAndGoodOnesAreNot) {
  ASSERT_OK_AND_ASSIGN(const auto breached, BreachedPasswords::Open(""));
  for (const char* common :
       {"password1234", "Password2024!", "P@ssw0rd1234", "PASSWORDPASSWORD", "passwordpassword1", "qwerty123456",
        "administrator", "Welcome12345!", "iloveyou!!!!", "letmein!letmein", "1qaz2wsx3edc", "1q2w3e4r5t6y",
        "!password123", "2024Sunshine!", "sunshine12345678", "CorrectHorseBatteryStaple", "m1chael2024!"}) {
    EXPECT_EQ(Rule(*breached, "ada", common), "common") << common;
  }
  for (const char* pattern : {"aaaaaaaaaaaa", "abababababab", "abcabcabcabcab", "123412341234", "123456789012",
                              "987654321098", "abcdefghijkl", "qwertyuiop[]", "ASDFGHJKLZXC", "lkjhgfdsapoiuytrewq"}) {
    EXPECT_EQ(Rule(*breached, "ada", pattern), "pattern") << pattern;
  }
  for (const auto& [login, password] :
       std::vector<std::pair<std::string, std::string>>{{"ada.lovelace", "Ada.Lovelace"},
                                                        {"ada.lovelace", "ada.lovelace1815"},
                                                        {"ada", "adaadaadaada"},
                                                        {"lovelace@example.org", "lovelace2026"},
                                                        {"lovelace@example.org", "Lovelace@example.org"},
                                                        {"adalovelace", "4d4l0v3l4ce!"},
                                                        {"frederick", "1frederick99"}}) {
    EXPECT_EQ(Rule(*breached, login, password), "login") << login << " " << password;
  }
  for (const char* good : {"correct horse battery", "a new and better password", "long enough a password",
                           "violet-otter-71-quay", "tr0ub4dor&3xyz", "sunshine over the dragon", "password of ada",
                           "mmTq8(2kz;Wd", "12 monkeys and a dog", "0451sunshine8836201"}) {
    EXPECT_EQ(Rule(*breached, "ada", good), "") << good;
  }
}

class HashListTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    std::ofstream(folder_.File("list"), std::ios::binary) << text;
    return folder_.File("list");
  }
  // One line a password, sorted, as "<hash>:<count>".
  static std::string ListOf(const std::vector<std::string>& passwords, std::string_view end = "\r\n") {
    std::set<std::string> hashes;
    for (const std::string& password : passwords) {
      hashes.insert(absl::AsciiStrToUpper(absl::BytesToHexString(Sha1(password))));
    }
    std::string text;
    uint64_t count = 1;
    for (const std::string& hash : hashes) {
      absl::StrAppend(&text, hash, ":", count, end);
      count = count * 7 % 1'000'003;  // Lines of many lengths.
    }
    return text;
  }

  TempDir folder_;
};

TEST_F(HashListTest, EachHashOfTheListIsFoundAndNoOther) {
  // FIPS 180-4's own example, so that what is looked up is SHA-1.
  EXPECT_EQ(absl::BytesToHexString(Sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  std::vector<std::string> passwords;
  for (int i = 0; i < 1000; ++i) {
    passwords.push_back(absl::StrCat("leaked ", i));
  }
  std::string lower = absl::AsciiStrToLower(ListOf(passwords, "\n"));
  lower.pop_back();  // No newline at the end.
  for (const std::string& text : {ListOf(passwords), lower}) {
    ASSERT_OK_AND_ASSIGN(const auto list, HashListFile::Open(Write(text)));
    for (int i = 0; i < 1000; ++i) {
      EXPECT_THAT(list->Contains(Sha1(absl::StrCat("leaked ", i))), IsOkAndHolds(true)) << i;
      EXPECT_THAT(list->Contains(Sha1(absl::StrCat("kept ", i))), IsOkAndHolds(false)) << i;
    }
    EXPECT_THAT(list->Contains(std::string(20, '\0')), IsOkAndHolds(false));
    EXPECT_THAT(list->Contains(std::string(20, '\xff')), IsOkAndHolds(false));
  }
  for (const size_t few : {1, 2, 3}) {
    const std::vector<std::string> some(passwords.begin(), passwords.begin() + few);
    ASSERT_OK_AND_ASSIGN(const auto list, HashListFile::Open(Write(ListOf(some))));
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_THAT(list->Contains(Sha1(passwords[i])), IsOkAndHolds(i < few)) << few << " " << i;
    }
  }
}

TEST_F(HashListTest, AMalformedFileIsRefusedAtTheStartWithItsPlace) {
  const std::string good = ListOf({"a", "b", "c", "d"}, "\n");
  auto problem = [&](const std::string& text) {
    const absl::Status status = HashListFile::Open(Write(text)).status();
    EXPECT_THAT(status, HasReason(absl::StatusCode::kInvalidArgument, "BREACHED_PASSWORDS_INVALID")) << text;
    return std::string(status.message());
  };
  EXPECT_THAT(problem(""), HasSubstr("is empty"));
  EXPECT_THAT(problem("password\n123456\n"), HasSubstr("the line at byte 0 has not"));
  EXPECT_THAT(problem(good + "\n"), HasSubstr("the line at byte "));
  EXPECT_THAT(problem(good.substr(0, 38)), HasSubstr("at byte 0"));
  EXPECT_THAT(problem(std::string(1000, 'A')), HasSubstr("at byte 0"));
  EXPECT_THAT(problem(good + "0" + good.substr(1, 42) + "\n"), HasSubstr("must be sorted"));
  EXPECT_THAT(problem("\xef\xbb\xbf" + good), HasSubstr("at byte 0"));
  EXPECT_THAT(HashListFile::Open(folder_.File("none")), HasReason("BREACHED_PASSWORDS_INVALID"));
  EXPECT_THAT(HashListFile::Open(folder_.path()), HasReason("BREACHED_PASSWORDS_INVALID"));
}

TEST_F(HashListTest, AFileThatIsDamagedLaterIsNoReasonToTakeAnyPassword) {
  std::vector<std::string> passwords;
  for (int i = 0; i < 100; ++i) {
    passwords.push_back(absl::StrCat("leaked ", i));
  }
  ASSERT_OK_AND_ASSIGN(const auto breached, BreachedPasswords::Open(Write(ListOf(passwords))));
  EXPECT_EQ(Rule(*breached, "ada", "leaked 7"), "leaked");
  EXPECT_EQ(Rule(*breached, "ada", "never leaked 7"), "");
  Write("");
  const absl::Status damaged = breached->Check("ada", Secret("never leaked 7"));
  EXPECT_THAT(damaged, HasReason(absl::StatusCode::kInternal, "BREACHED_PASSWORDS_INVALID"));
  EXPECT_THAT(damaged.message(), Not(HasSubstr(folder_.path())));
}

// A throttle, and the table that brings it through a restart.
class SavedThrottleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(database_, storage::Database::Open({.path = "", .migrations = Migrations()}));
    Restart();
  }

  void Restart() {
    throttle_ = std::make_unique<SignInThrottle>(options_, &clock_);
    ASSERT_OK(throttle_->Restore(*database_));
  }

  // An attempt that fails, as sign-in records it; the pause when it is not admitted.
  absl::Duration Fail(std::string_view login, std::string_view address = "") {
    const absl::Status begun = throttle_->Begin(login, address);
    if (!begun.ok()) {
      EXPECT_THAT(begun, HasReason(absl::StatusCode::kResourceExhausted, "SIGN_IN_THROTTLED"));
      return ErrorInfoOf(begun)->retry_after.value_or(absl::ZeroDuration());
    }
    Save(login, address);
    return absl::ZeroDuration();
  }

  void Save(std::string_view login, std::string_view address) {
    EXPECT_OK(database_->WriteAndWait(
        [&](storage::Connection& connection) { return throttle_->Save(connection, login, address); }));
  }

  int64_t Rows() {
    int64_t rows = -1;
    EXPECT_OK(database_->Read([&](storage::Connection& connection) {
      return connection.Query("SELECT count(*) FROM sign_in_failures", {}, [&](const storage::Row& row) {
        rows = row.Int(0);
        return absl::OkStatus();
      });
    }));
    return rows;
  }

  SignInThrottle::Options options_{.free_failures_by_login = 2, .free_failures_by_address = 4, .capacity = 20};
  SimulatedClock clock_{kNoon};
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<SignInThrottle> throttle_;
};

TEST_F(SavedThrottleTest, ARestartForgivesNothingAndForgetsWhenItsTimeHasCome) {
  EXPECT_EQ(Fail("ada", "192.0.2.7"), absl::ZeroDuration());
  EXPECT_EQ(Fail("ada", "192.0.2.7"), absl::ZeroDuration());
  const absl::Duration pause = Fail("ada", "192.0.2.7");
  EXPECT_EQ(pause, absl::Seconds(1));

  Restart();
  EXPECT_EQ(Fail("ada"), pause);
  EXPECT_EQ(Fail("bob", "192.0.2.7"), absl::ZeroDuration());
  EXPECT_EQ(Fail("eve", "192.0.2.7"), absl::ZeroDuration());
  EXPECT_GT(Fail("kim", "192.0.2.7"), absl::ZeroDuration()) << "the address was forgotten";
  clock_.Advance(pause);
  EXPECT_EQ(Fail("ada"), absl::ZeroDuration());
  Restart();
  EXPECT_EQ(Fail("ada"), absl::Seconds(2));

  // Never for good: the longest pause passes, and after an hour nothing is known any more.
  clock_.Advance(absl::Hours(1));
  Restart();
  EXPECT_EQ(Fail("ada", "192.0.2.7"), absl::ZeroDuration());
  EXPECT_EQ(Rows(), 2);
}

TEST_F(SavedThrottleTest, SuccessIsRememberedToo) {
  EXPECT_EQ(Fail("ada", "192.0.2.7"), absl::ZeroDuration());
  EXPECT_EQ(Fail("bob", "192.0.2.7"), absl::ZeroDuration());
  ASSERT_OK(throttle_->Begin("ada", "192.0.2.7"));
  throttle_->Succeed("ada", "192.0.2.7");
  Save("ada", "192.0.2.7");
  EXPECT_EQ(Rows(), 2);  // bob, and the address with two failures.

  Restart();
  EXPECT_EQ(Fail("ada"), absl::ZeroDuration());
  EXPECT_EQ(Fail("ada"), absl::ZeroDuration());
  EXPECT_GT(Fail("ada"), absl::ZeroDuration());
}

TEST_F(SavedThrottleTest, AFloodOfInventedLoginsStaysBoundedInMemoryAndOnDisk) {
  for (int i = 0; i < 500; ++i) {
    clock_.Advance(absl::Milliseconds(1));
    EXPECT_EQ(Fail(absl::StrCat("invented", i), absl::StrCat("198.51.", i / 250, ".", i % 250)), absl::ZeroDuration());
    EXPECT_LE(Rows(), 22) << i;
  }
  // The newest are the ones that are still known.
  Restart();
  EXPECT_EQ(Fail("invented499"), absl::ZeroDuration());
  EXPECT_EQ(Fail("invented499"), absl::Seconds(1));
}

TEST_F(SavedThrottleTest, AnAddressOfOneNetworkIsNoNewAddress) {
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Fail(absl::StrCat("login", i), absl::StrCat("2001:db8:1:2::", i)), absl::ZeroDuration());
  }
  EXPECT_GT(Fail("another", "2001:db8:1:2:ffff::1"), absl::ZeroDuration());
  EXPECT_EQ(Fail("another", "2001:db8:1:3::1"), absl::ZeroDuration());
  // Mapped ones are IPv4: they share no network, and nobody gets a second address by them.
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Fail(absl::StrCat("mapped", i), "::ffff:192.0.2.1"), absl::ZeroDuration());
  }
  EXPECT_GT(Fail("plain", "192.0.2.1"), absl::ZeroDuration());
  EXPECT_EQ(Fail("plain", "::ffff:192.0.2.2"), absl::ZeroDuration());
}

TEST_F(SavedThrottleTest, AClockThatIsSetBackMakesNobodyWaitForIt) {
  EXPECT_EQ(Fail("ada"), absl::ZeroDuration());
  EXPECT_EQ(Fail("ada"), absl::ZeroDuration());
  SimulatedClock earlier(kNoon - absl::Hours(24));
  SignInThrottle throttle(options_, &earlier);
  ASSERT_OK(throttle.Restore(*database_));
  const absl::Status begun = throttle.Begin("ada", "");
  EXPECT_THAT(begun, HasReason("SIGN_IN_THROTTLED"));
  EXPECT_EQ(ErrorInfoOf(begun)->retry_after.value_or(absl::ZeroDuration()), absl::Seconds(1));
}

}  // namespace
}  // namespace bulkhead::auth
