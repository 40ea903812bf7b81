#include "services/common/ids/id_generator.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

constexpr size_t kMinLength = 3;
constexpr size_t kMaxLength = 64;
constexpr size_t kRandomBytes = 16;

// What programs put where an identity should be when they have none. One that got through would mix up users.
constexpr std::string_view kPlaceholders[] = {
    "-",    "0",    "1",   "anonymous", "default", "dummy",     "empty",   "example",     "fake",   "false",
    "foo",  "n-a",  "na",  "nan",       "nil",     "none",      "null",    "placeholder", "sample", "string",
    "temp", "test", "tmp", "todo",      "true",    "undefined", "unknown", "xxx"};

// RFC 4648 base32 in lower case, without padding: 5 bits a character, safe in paths and case-insensitive file systems.
std::string Base32(std::string_view bytes) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (count += 8; count >= 5; count -= 5) {
      text.push_back(kAlphabet[(bits >> (count - 5)) & 31]);
    }
  }
  if (count > 0) {
    text.push_back(kAlphabet[(bits << (5 - count)) & 31]);
  }
  return text;
}

class RandomIds : public IdGenerator {
 public:
  std::string NewId(std::string_view prefix) override {
    return absl::StrCat(prefix, "-", Base32(crypto::RandomBytes(kRandomBytes)));
  }
};

class SequentialIds : public IdGenerator {
 public:
  std::string NewId(std::string_view prefix) override { return absl::StrFormat("%s-%06d", prefix, ++last_); }

 private:
  std::atomic<int64_t> last_ = 0;
};

bool IsPlaceholder(std::string_view kind, std::string_view id) {
  const std::string lower = absl::AsciiStrToLower(id);
  if (absl::c_linear_search(kPlaceholders, lower)) {
    return true;
  }
  // "user-default" is as empty a name for a user as "default"; but "run-1" is a run.
  std::string_view name = lower;
  return absl::ConsumePrefix(&name, absl::StrCat(kind, "-")) && !name.empty() && absl::ascii_isalpha(name.front()) &&
         absl::c_linear_search(kPlaceholders, name);
}

bool IsWellFormed(std::string_view id) {
  return id.size() >= kMinLength && id.size() <= kMaxLength && absl::ascii_islower(id.front()) &&
         absl::c_all_of(id, [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; });
}

absl::Status IdError(std::string_view kind, std::string_view reason, std::string_view problem) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("The ", kind, " id ", problem, "."),
      {.domain = "bulkhead.common", .reason = std::string(reason), .metadata = {{"kind", std::string(kind)}}});
}

}  // namespace

std::unique_ptr<IdGenerator> CreateRandomIds() { return std::make_unique<RandomIds>(); }

std::unique_ptr<IdGenerator> CreateSequentialIds() { return std::make_unique<SequentialIds>(); }

absl::Status ValidateId(std::string_view kind, std::string_view id) {
  if (id.empty()) {
    return IdError(kind, "ID_EMPTY", "is empty");
  }
  if (IsPlaceholder(kind, id)) {
    return IdError(kind, "ID_PLACEHOLDER", absl::StrCat("`", id, "` is a placeholder, not an identity"));
  }
  if (!IsWellFormed(id)) {
    return IdError(kind, "ID_MALFORMED",
                   absl::StrFormat("must be %d to %d characters of a-z, 0-9 and -, beginning with a letter", kMinLength,
                                   kMaxLength));
  }
  return absl::OkStatus();
}

}  // namespace bulkhead
