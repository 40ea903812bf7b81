#include "services/common/identity/jwks.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "services/common/identity/base64url.h"
#include "services/common/identity/strict_json.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead {
namespace {

using crypto::Algorithm;
using crypto::VerifyingKey;

constexpr size_t kMaxBytes = 256 << 10;
constexpr size_t kMaxKeys = 100;

absl::Status SetInvalid(std::string_view problem) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat("The key set ", problem, "."),
      {.domain = "bulkhead.auth", .reason = "KEY_SET_INVALID", .metadata = {{"problem", std::string(problem)}}});
}

absl::Status SetTooLarge() {
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("The key set has more than ", kMaxBytes >> 10, " KiB or ", kMaxKeys, " keys."),
                   {.domain = "bulkhead.auth", .reason = "KEY_SET_TOO_LARGE"});
}

// A JWK that is being read.
class JwkReader {
 public:
  explicit JwkReader(const JsonValue& jwk) : jwk_(jwk) {}

  // Reads what all types have. False when the key is to be ignored.
  absl::StatusOr<bool> ReadCommon();
  // One key for each algorithm that it may verify; none when it is to be ignored.
  absl::StatusOr<std::vector<std::shared_ptr<const VerifyingKey>>> ReadKey() const;
  const std::string& id() const { return id_; }

 private:
  absl::Status Invalid(std::string_view problem) const;
  // "" when absent.
  absl::StatusOr<std::string_view> OptionalText(std::string_view name) const;
  absl::StatusOr<std::string> Parameter(std::string_view name) const;
  absl::StatusOr<bool> IsForVerification() const;
  absl::StatusOr<std::vector<std::shared_ptr<const VerifyingKey>>> Checked(
      absl::StatusOr<std::shared_ptr<const VerifyingKey>> key) const;
  absl::StatusOr<std::vector<std::shared_ptr<const VerifyingKey>>> ReadRsa() const;

  const JsonValue& jwk_;
  std::string id_;
  std::string type_;
  std::string algorithm_;
};

absl::Status JwkReader::Invalid(std::string_view problem) const {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("A key of the set ", problem, "."),
                   {.domain = "bulkhead.auth",
                    .reason = "KEY_SET_INVALID",
                    .metadata = {{"kid", id_}, {"problem", std::string(problem)}}});
}

absl::StatusOr<std::string_view> JwkReader::OptionalText(std::string_view name) const {
  const JsonValue* const member = jwk_.Find(name);
  if (member == nullptr) {
    return "";
  }
  if (!member->is_string() || member->text().empty()) {
    return Invalid(absl::StrCat("has a `", name, "` that is no string, or an empty one"));
  }
  return member->text();
}

absl::StatusOr<std::string> JwkReader::Parameter(std::string_view name) const {
  ASSIGN_OR_RETURN(const std::string_view text, OptionalText(name));
  if (text.empty()) {
    return Invalid(absl::StrCat("has no `", name, "`"));
  }
  std::optional<std::string> bytes = DecodeBase64Url(text);
  if (!bytes.has_value()) {
    return Invalid(absl::StrCat("has a `", name, "` that is not canonical base64url"));
  }
  return *std::move(bytes);
}

// RFC 7517 sections 4.2 and 4.3.
absl::StatusOr<bool> JwkReader::IsForVerification() const {
  ASSIGN_OR_RETURN(const std::string_view use, OptionalText("use"));
  const JsonValue* const operations = jwk_.Find("key_ops");
  if (operations == nullptr) {
    return use.empty() || use == "sig";
  }
  if (!operations->is_array()) {
    return Invalid("has a `key_ops` that is no array");
  }
  bool verifies = false;
  std::set<std::string_view> seen;
  for (const JsonValue& operation : *operations) {
    if (!operation.is_string() || !seen.insert(operation.text()).second) {
      return Invalid("has a `key_ops` with something twice, or that is no string");
    }
    verifies = verifies || operation.text() == "verify";
  }
  if (!use.empty() && (use == "sig") != verifies) {
    return Invalid("has `use` and `key_ops` that disagree");
  }
  return verifies;
}

absl::StatusOr<bool> JwkReader::ReadCommon() {
  ASSIGN_OR_RETURN(const std::string_view id, OptionalText("kid"));
  id_ = std::string(id);
  ASSIGN_OR_RETURN(const std::string_view type, OptionalText("kty"));
  type_ = std::string(type);
  ASSIGN_OR_RETURN(const std::string_view algorithm, OptionalText("alg"));
  algorithm_ = std::string(algorithm);
  if (type_.empty()) {
    return Invalid("has no `kty`");
  }
  if (type_ == "oct") {
    return Invalid("is a symmetric key, which whoever published it has given away");
  }
  if (type_ != "OKP" && type_ != "EC" && type_ != "RSA") {
    return false;
  }
  for (const std::string_view secret : {"d", "p", "q", "dp", "dq", "qi", "oth"}) {
    if (jwk_.Find(secret) != nullptr) {
      return Invalid("has private parameters, so it is known to others");
    }
  }
  return IsForVerification();
}

absl::StatusOr<std::vector<std::shared_ptr<const VerifyingKey>>> JwkReader::Checked(
    absl::StatusOr<std::shared_ptr<const VerifyingKey>> key) const {
  if (!key.ok()) {
    return Invalid(absl::StrCat("is refused: ", key.status().message()));
  }
  return std::vector{*std::move(key)};
}

absl::StatusOr<std::vector<std::shared_ptr<const VerifyingKey>>> JwkReader::ReadRsa() const {
  ASSIGN_OR_RETURN(const std::string modulus, Parameter("n"));
  ASSIGN_OR_RETURN(const std::string exponent, Parameter("e"));
  if (modulus.front() == '\0' || exponent.front() == '\0') {
    return Invalid("has a number with zero bytes before it, which RFC 7518 section 2 forbids");
  }
  std::vector<std::shared_ptr<const VerifyingKey>> keys;
  for (const Algorithm algorithm : {Algorithm::kRs256, Algorithm::kPs256}) {
    if (algorithm_.empty() || algorithm_ == crypto::AlgorithmName(algorithm)) {
      ASSIGN_OR_RETURN(auto checked, Checked(VerifyingKey::FromRsa(algorithm, modulus, exponent)));
      keys.push_back(std::move(checked.front()));
    }
  }
  return keys;
}

absl::StatusOr<std::vector<std::shared_ptr<const VerifyingKey>>> JwkReader::ReadKey() const {
  std::vector<std::shared_ptr<const VerifyingKey>> none;
  if (type_ == "RSA") {
    return algorithm_.empty() || algorithm_ == "RS256" || algorithm_ == "PS256" ? ReadRsa() : none;
  }
  const bool edwards = type_ == "OKP";
  const Algorithm algorithm = edwards ? Algorithm::kEdDsa : Algorithm::kEs256;
  ASSIGN_OR_RETURN(const std::string_view curve, OptionalText("crv"));
  // "Ed25519" is EdDSA's fully specified name: RFC 9864.
  const bool fits =
      algorithm_.empty() || algorithm_ == crypto::AlgorithmName(algorithm) || (edwards && algorithm_ == "Ed25519");
  if (curve != (edwards ? "Ed25519" : "P-256") || !fits) {
    return none;
  }
  ASSIGN_OR_RETURN(const std::string x, Parameter("x"));
  if (edwards) {
    return Checked(VerifyingKey::FromEd25519(x));
  }
  ASSIGN_OR_RETURN(const std::string y, Parameter("y"));
  return Checked(VerifyingKey::FromP256(x, y));
}

}  // namespace

std::shared_ptr<const VerifyingKey> KeySet::Find(std::string_view id, Algorithm algorithm) const {
  for (const Key& key : keys()) {
    if (key.id == id && key.key->algorithm() == algorithm) {
      return key.key;
    }
  }
  return nullptr;
}

std::shared_ptr<const VerifyingKey> KeySet::FindOnly(Algorithm algorithm) const {
  std::shared_ptr<const VerifyingKey> found;
  for (const Key& key : keys()) {
    if (key.key->algorithm() != algorithm) {
      continue;
    }
    if (found != nullptr) {
      return nullptr;
    }
    found = key.key;
  }
  return found;
}

bool KeySet::Knows(std::string_view id) const {
  for (const Key& key : keys()) {
    if (key.id == id) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<KeySet> ParseKeySet(std::string_view json) {
  if (json.size() > kMaxBytes) {
    return SetTooLarge();
  }
  StrictJson document;
  switch (document.Parse(std::string(json))) {
    case StrictJson::Problem::kNone:
      break;
    case StrictJson::Problem::kDuplicateMember:
      return SetInvalid("has a member twice");
    case StrictJson::Problem::kSyntax:
    case StrictJson::Problem::kTooComplex:
      return SetInvalid("is no JSON, or too deep or long");
  }
  const JsonValue* const list = document.root().Find("keys");
  if (list == nullptr || !list->is_array()) {
    return SetInvalid("has no array `keys`");
  }
  std::vector<KeySet::Key> keys;
  std::set<std::string> ids;
  size_t count = 0;
  for (const JsonValue& jwk : *list) {
    if (++count > kMaxKeys) {
      return SetTooLarge();
    }
    if (!jwk.is_object()) {
      return SetInvalid("has a key that is no object");
    }
    JwkReader reader(jwk);
    ASSIGN_OR_RETURN(const bool usable, reader.ReadCommon());
    if (!reader.id().empty() && !ids.insert(reader.id()).second) {
      return SetInvalid("has two keys of one id");
    }
    if (!usable) {
      continue;
    }
    ASSIGN_OR_RETURN(std::vector<std::shared_ptr<const VerifyingKey>> read, reader.ReadKey());
    for (std::shared_ptr<const VerifyingKey>& key : read) {
      keys.push_back({.id = reader.id(), .key = std::move(key)});
    }
  }
  return KeySet(std::move(keys));
}

}  // namespace bulkhead
