#include "services/auth/audit_export.h"

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/auth/audit_record.h"

namespace bulkhead::auth {
namespace {

using ::testing::StartsWith;

// Two records as the gateway writes them. The hashes were computed apart from this code, after docs/auth.md (Python's hashlib).
constexpr char kFirst[] =
    R"({"sequence":1,"time":"2026-03-01T12:00:00.000123Z","user":"users/user-1","action":"session.sign_in",)"
    R"("resource":"users/user-1/sessions/session-1","allowed":true,"requestId":"req-1","address":"192.0.2.7",)"
    R"("hash":"CkSV+y9Z2nssgGriXp2xVupTz0eyIQ8IZ2A5eUTWpOM=","details":{"device":"Laptop","method":"password"}})";
constexpr char kSecond[] =
    R"({"sequence":2,"time":"2026-03-01T12:00:01.000123Z","user":"users/user-1","action":"session.refresh",)"
    R"("resource":"users/user-1/sessions/session-1","reason":"REFRESH_TOKEN_REUSED","requestId":"req-2",)"
    R"("address":"192.0.2.7","hash":"U9Zc/c7TukNr5mv0iUCuAVdoZXahWlFtgVUiLBPfKmk="})";

std::string Hash(std::string_view base64) {
  std::string hash;
  EXPECT_TRUE(absl::Base64Unescape(base64, &hash));
  return hash;
}

AuditExportCheck Verify(const std::vector<std::string>& lines, std::optional<AuditAnchor> after = std::nullopt,
                        std::optional<AuditAnchor> head = std::nullopt) {
  std::istringstream stream(absl::StrJoin(lines, "\n"));
  return VerifyAuditExport(stream, after, head);
}

// A whole chain, made anew from `from` on: what somebody can do who has the file alone.
std::vector<std::string> Chain(int records, int from = 1, std::string_view user = "users/user-1") {
  std::vector<std::string> lines;
  std::string previous = AuditGenesisHash();
  for (int i = 1; i <= records; ++i) {
    AuditRecord record{.sequence = static_cast<uint64_t>(i),
                       .time = absl::FromUnixMicros(1772366400000000 + i),
                       .entry = {.user = i < from ? "users/user-1" : std::string(user), .action = "session.refresh"}};
    previous = record.hash = HashAuditRecord(previous, record);
    lines.push_back(nlohmann::json({{"sequence", i},
                                    {"time", absl::FormatTime(absl::RFC3339_full, record.time, absl::UTCTimeZone())},
                                    {"user", record.entry.user},
                                    {"action", record.entry.action},
                                    {"allowed", true},
                                    {"hash", absl::Base64Escape(record.hash)}})
                        .dump());
  }
  return lines;
}

TEST(AuditExportTest, RecordsHashedByOthersAfterTheDocumentationHold) {
  const AuditExportCheck check = Verify({kFirst, kSecond, ""});
  EXPECT_TRUE(check.intact) << check.problem;
  EXPECT_EQ(check.records, 2u);
  EXPECT_EQ(check.end.sequence, 2u);
  EXPECT_EQ(check.end.hash, Hash("U9Zc/c7TukNr5mv0iUCuAVdoZXahWlFtgVUiLBPfKmk="));
}

TEST(AuditExportTest, EveryMemberOfARecordIsUnderItsHash) {
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"00.000123Z", "00.000124Z"},
                                                        {"\"user\":\"users/user-1\"", "\"user\":\"users/user-2\""},
                                                        {"\"user\":\"users/user-1\"", "\"actor\":\"users/user-1\""},
                                                        {"sign_in", "sign_out"},
                                                        {"sessions/session-1", "sessions/session-2"},
                                                        {"\"allowed\":true", "\"allowed\":false"},
                                                        {"\"allowed\":true,", ""},
                                                        {"\"allowed\":true", "\"allowed\":true,\"reason\":\"X\""},
                                                        {"req-1", "req-2"},
                                                        {"192.0.2.7", "192.0.2.8"},
                                                        {"Laptop", "Phone"},
                                                        {"\"device\":\"Laptop\",", ""},
                                                        {"CkSV", "DkSV"}}) {
    const std::string line = absl::StrReplaceAll(kFirst, {{from, to}});
    ASSERT_NE(line, kFirst) << from;
    const AuditExportCheck check = Verify({line, kSecond});
    EXPECT_FALSE(check.intact) << to;
    EXPECT_EQ(check.first_bad_sequence, 1u) << to;
    EXPECT_THAT(check.problem, StartsWith("changed")) << to;
  }
}

TEST(AuditExportTest, WhatIsNotUnderTheHashIsNotTaken) {
  for (const std::string extra : {R"("note":"nothing to see",)", R"("sequence":1,)", R"("user":"users/user-1",)",
                                  R"("user":7,)", R"("details":["x"],)", R"("allowed":"yes",)"}) {
    const std::string line = absl::StrCat("{", extra, std::string(kFirst).substr(1));
    const AuditExportCheck check = Verify({line, kSecond});
    EXPECT_EQ(check.first_bad_sequence, 1u) << extra;
    EXPECT_THAT(check.problem, StartsWith("unreadable")) << extra;
  }
  EXPECT_THAT(Verify({kFirst, "no JSON"}).problem, StartsWith("unreadable"));
}

TEST(AuditExportTest, RemovedReorderedAndRepeatedRecordsAreTold) {
  const std::vector<std::string> whole = Chain(5);
  ASSERT_TRUE(Verify(whole).intact);
  const AuditExportCheck removed = Verify({whole[0], whole[1], whole[3], whole[4]});
  EXPECT_EQ(removed.first_bad_sequence, 3u);
  EXPECT_THAT(removed.problem, StartsWith("removed"));
  EXPECT_EQ(removed.records, 2u);
  const AuditExportCheck reordered = Verify({whole[0], whole[2], whole[1], whole[3], whole[4]});
  EXPECT_EQ(reordered.first_bad_sequence, 2u);
  EXPECT_THAT(reordered.problem, StartsWith("reordered"));
  const AuditExportCheck repeated = Verify({whole[0], whole[1], whole[1], whole[2]});
  EXPECT_EQ(repeated.first_bad_sequence, 3u);
  EXPECT_THAT(repeated.problem, StartsWith("repeated"));
  EXPECT_THAT(Verify({whole[1], whole[2]}).problem, StartsWith("removed")) << "its beginning is missing";
}

TEST(AuditExportTest, HeadShowsAMissingEndAndAChainMadeAnew) {
  const std::vector<std::string> whole = Chain(4);
  const AuditAnchor head = Verify(whole).end;
  EXPECT_TRUE(Verify(whole, std::nullopt, head).intact);
  const std::vector<std::string> cut(whole.begin(), whole.end() - 1);
  EXPECT_TRUE(Verify(cut).intact) << "a chain does not show its own end";
  const AuditExportCheck truncated = Verify(cut, std::nullopt, head);
  EXPECT_EQ(truncated.first_bad_sequence, 4u);
  EXPECT_THAT(truncated.problem, StartsWith("truncated"));
  EXPECT_EQ(Verify({}, std::nullopt, head).first_bad_sequence, 1u);

  const std::vector<std::string> anew = Chain(4, /*from=*/2, "users/user-2");
  EXPECT_TRUE(Verify(anew).intact);
  const AuditExportCheck rewritten = Verify(anew, std::nullopt, head);
  EXPECT_FALSE(rewritten.intact);
  EXPECT_THAT(rewritten.problem, StartsWith("rewritten"));

  // The log has grown since the head was noted.
  EXPECT_TRUE(Verify(Chain(9), std::nullopt, head).intact);
}

TEST(AuditExportTest, AnExportThatGoesOnFromAnotherIsCheckedAgainstItsEnd) {
  const std::vector<std::string> whole = Chain(4);
  const AuditAnchor first = Verify({whole[0], whole[1]}).end;
  const AuditExportCheck rest = Verify({whole[2], whole[3]}, first);
  EXPECT_TRUE(rest.intact) << rest.problem;
  EXPECT_EQ(rest.end.sequence, 4u);
  const AuditExportCheck other = Verify({whole[2], whole[3]}, AuditAnchor{.sequence = 2, .hash = std::string(32, 'x')});
  EXPECT_EQ(other.first_bad_sequence, 3u);
}

}  // namespace
}  // namespace bulkhead::auth
