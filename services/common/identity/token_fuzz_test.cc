// Any bytes are a token, or are refused with a reason; what is accepted has one spelling and means the same to another reader.
//
// The input is taken three ways: as a token as it stands; as the JSON of its header and payload, which are then signed correctly, so that what lies behind the
// signature is reached too; and as metadata that comes with it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/secret.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/base64url.h"
#include "services/common/identity/jws.h"
#include "services/common/identity/strict_json.h"
#include "services/common/identity/token.h"
#include "services/common/identity/token_verifier.h"
#include "services/common/identity/user_context.h"
#include "services/common/ids/id_generator.h"
#include "services/common/status/error.h"
#include "services/common/time/simulated_clock.h"

namespace bulkhead {
namespace {

// One fixed key under every id.
class OneKey : public KeySource {
 public:
  OneKey() : signing_(*crypto::SigningKey::Parse(crypto::Algorithm::kEdDsa, Secret(std::string(32, 'k')))) {}
  std::shared_ptr<const crypto::VerifyingKey> Find(std::string_view) override { return verifying_; }
  const crypto::SigningKey& signing() const { return *signing_; }

 private:
  std::unique_ptr<crypto::SigningKey> signing_;
  std::shared_ptr<const crypto::VerifyingKey> verifying_ = signing_->verifying_key();
};

struct World {
  OneKey keys;
  SimulatedClock clock{absl::FromUnixSeconds(1'700'000'000)};
  std::unique_ptr<TokenVerifier> verifier =
      *TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead"}, &keys, &clock);
  std::unique_ptr<TokenVerifier> remembering =
      *TokenVerifier::Create({.issuer = "bulkhead", .audience = "bulkhead", .cache_entries = 16}, &keys, &clock);
};

World& TheWorld() {
  static World& world = *new World();
  return world;
}

void CheckRefusal(const absl::Status& status) {
  CHECK(status.code() == absl::StatusCode::kUnauthenticated) << status;
  CHECK(absl::StartsWith(ReasonOf(status), "TOKEN_")) << status;
}

void CheckContext(const VerifiedToken& token, std::string_view metadata) {
  RequestInfo request{.request_id = std::string(metadata.substr(0, metadata.find('\n')))};
  if (const size_t line = metadata.find('\n'); line != std::string_view::npos) {
    request.thread = std::string(metadata.substr(line + 1));
  }
  const absl::StatusOr<UserContext> context = UserContext::FromToken(token, std::move(request));
  if (!context.ok()) {
    CHECK(absl::StartsWith(ReasonOf(context.status()), "ID_")) << context.status();
    return;
  }
  CHECK_OK(ValidateId("user", context->user()));
  CHECK_OK(ValidateId("request", context->request().request_id));
  CHECK(context->is_service() || ValidateId("session", context->session()).ok());
  CHECK(context->is_service() == (context->session().empty() && absl::StartsWith(context->user(), "service-")));
}

void CheckVerification(std::string_view compact, std::string_view metadata) {
  const RawToken token{std::string(compact)};
  const absl::StatusOr<VerifiedToken> verified = TheWorld().verifier->Verify(token);
  for (int i = 0; i < 2; ++i) {  // The second time from memory.
    const absl::StatusOr<VerifiedToken> remembered = TheWorld().remembering->Verify(token);
    CHECK(remembered.ok() == verified.ok());
    CHECK(verified.ok() || ReasonOf(remembered.status()) == ReasonOf(verified.status()));
  }
  if (!verified.ok()) {
    CheckRefusal(verified.status());
    return;
  }
  CHECK(!verified->claims().subject.empty());
  CHECK(verified->claims().issuer == "bulkhead");
  CheckContext(*verified, metadata);
}

void CheckBase64Url(std::string_view text) {
  const std::optional<std::string> bytes = DecodeBase64Url(text);
  std::string other;
  const bool readable = absl::WebSafeBase64Unescape(text, &other);
  if (bytes.has_value()) {
    CHECK(readable && *bytes == other);
    CHECK(absl::WebSafeBase64Escape(*bytes) == text);
  } else {
    CHECK(!readable || absl::WebSafeBase64Escape(other) != text);
  }
}

// Whether all numbers are finite doubles: the other reader refuses those that are not.
bool HasFiniteNumbers(const JsonValue& value) {
  if (value.kind() == JsonValue::Kind::kNumber && !value.number().has_value()) {
    return false;
  }
  for (const JsonValue& child : value) {
    if (!HasFiniteNumbers(child)) {
      return false;
    }
  }
  return true;
}

void CheckSame(const JsonValue& ours, const nlohmann::json& theirs) {
  switch (ours.kind()) {
    case JsonValue::Kind::kNull:
      CHECK(theirs.is_null());
      break;
    case JsonValue::Kind::kFalse:
    case JsonValue::Kind::kTrue:
      CHECK(theirs == (ours.kind() == JsonValue::Kind::kTrue));
      break;
    case JsonValue::Kind::kNumber:
      CHECK(theirs.is_number() && theirs.get<double>() == *ours.number()) << ours.text();
      break;
    case JsonValue::Kind::kString:
      CHECK(theirs.is_string() && theirs.get_ref<const std::string&>() == ours.text());
      break;
    case JsonValue::Kind::kArray: {
      size_t i = 0;
      for (const JsonValue& element : ours) {
        CheckSame(element, theirs.at(i++));
      }
      CHECK(i == theirs.size());
      break;
    }
    case JsonValue::Kind::kObject: {
      size_t members = 0;
      for (const JsonValue& member : ours) {
        CheckSame(member, theirs.at(std::string(member.name())));
        CHECK(ours.Find(member.name()) == &member);
        ++members;
      }
      CHECK(members == theirs.size());
      break;
    }
  }
}

void CheckJson(std::string_view text) {
  StrictJson document;
  const StrictJson::Problem problem = document.Parse(std::string(text));
  if (problem == StrictJson::Problem::kSyntax) {
    // The other reader skips a byte order mark, which RFC 8259 section 8.1 lets it, and takes NUL for the end.
    CHECK(absl::StartsWith(text, "\xef\xbb\xbf") || absl::StrContains(text, '\0') || !nlohmann::json::accept(text));
  } else if (problem == StrictJson::Problem::kNone && HasFiniteNumbers(document.root())) {
    const nlohmann::json other = nlohmann::json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
    CHECK(!other.is_discarded());
    CheckSame(document.root(), other);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  CheckVerification(input, /*metadata=*/"req-1");
  CheckBase64Url(input);
  CheckJson(input);
  // header NUL payload NUL metadata
  const size_t first = input.find('\0');
  if (first == std::string_view::npos) {
    return 0;
  }
  const size_t second = std::min(input.find('\0', first + 1), input.size());
  const std::string signed_part = absl::StrCat(absl::WebSafeBase64Escape(input.substr(0, first)), ".",
                                               absl::WebSafeBase64Escape(input.substr(first + 1, second - first - 1)));
  CheckVerification(
      absl::StrCat(signed_part, ".", absl::WebSafeBase64Escape(TheWorld().keys.signing().Sign(signed_part))),
      second < input.size() ? input.substr(second + 1) : "req-1");
  return 0;
}

}  // namespace bulkhead
