#include "services/common/identity/jws.h"

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "services/common/identity/base64url.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead {
namespace {

using crypto::Algorithm;

constexpr size_t kMaxSignatureBytes = 1026;  // Of an RSA key of 8192 bits, and a multiple of 3.

absl::Status Refuse(std::string_view reason, std::string_view message,
                    std::map<std::string, std::string> metadata = {}) {
  return MakeError(absl::StatusCode::kUnauthenticated, message,
                   {.domain = "bulkhead.auth", .reason = std::string(reason), .metadata = std::move(metadata)});
}

absl::Status Malformed(std::string_view problem) {
  return Refuse("TOKEN_MALFORMED", absl::StrCat("The token ", problem, "."));
}

absl::Status EncodingInvalid() {
  return Refuse("TOKEN_ENCODING_INVALID", "A part of the token is not base64url in its one canonical form.");
}

// `text` as an object, with the part of the token that it is named in errors.
absl::Status ParseObject(std::string text, std::string_view part, StrictJson& object) {
  switch (object.Parse(std::move(text))) {
    case StrictJson::Problem::kNone:
      break;
    case StrictJson::Problem::kDuplicateMember:
      return Refuse("TOKEN_MEMBER_DUPLICATE",
                    absl::StrCat("The token's ", part, " has a member twice: each must come once."),
                    {{"member", std::string(object.duplicate())}});
    case StrictJson::Problem::kSyntax:
    case StrictJson::Problem::kTooComplex:
      return Malformed(absl::StrCat("has a ", part, " that is no JSON, or too deep or long"));
  }
  return object.root().is_object() ? absl::OkStatus() : Malformed(absl::StrCat("has a ", part, " that is no object"));
}

absl::Status RefuseParameter(std::string_view reason, std::string_view parameter, std::string_view why) {
  return Refuse(reason, absl::StrCat("The token has the header parameter `", parameter, "`: ", why, "."),
                {{"parameter", std::string(parameter)}});
}

// "" when it is absent; an error when it is no string.
absl::StatusOr<std::string_view> OptionalParameter(const StrictJson& header, std::string_view name) {
  const JsonValue* const parameter = header.root().Find(name);
  if (parameter == nullptr) {
    return "";
  }
  if (!parameter->is_string()) {
    return Malformed(absl::StrCat("has a header parameter `", name, "` that is no string"));
  }
  return parameter->text();
}

std::optional<Algorithm> AlgorithmByName(std::string_view name) {
  for (const Algorithm algorithm : {Algorithm::kEdDsa, Algorithm::kEs256, Algorithm::kRs256, Algorithm::kPs256}) {
    if (name == crypto::AlgorithmName(algorithm)) {
      return algorithm;
    }
  }
  return std::nullopt;
}

absl::StatusOr<Algorithm> ReadAlgorithm(const StrictJson& header, const JwsPolicy& policy) {
  ASSIGN_OR_RETURN(const std::string_view name, OptionalParameter(header, "alg"));
  const std::optional<Algorithm> algorithm = AlgorithmByName(name);
  if (algorithm.has_value() && absl::c_linear_search(policy.algorithms, *algorithm)) {
    return *algorithm;
  }
  if (name.empty()) {
    return Malformed("has no header parameter `alg`");
  }
  if (absl::EqualsIgnoreCase(name, "none")) {
    return Refuse("TOKEN_UNSIGNED", "The token says that it is not signed: only signed ones are accepted.");
  }
  if (absl::StartsWithIgnoreCase(name, "HS")) {
    return Refuse("TOKEN_ALGORITHM_SYMMETRIC",
                  "The token's algorithm uses a shared secret: only signatures by private keys are accepted.");
  }
  return Refuse("TOKEN_ALGORITHM_REFUSED", "The token's algorithm is not one of those accepted.");
}

absl::Status CheckType(const StrictJson& header, const JwsPolicy& policy) {
  ASSIGN_OR_RETURN(std::string_view type, OptionalParameter(header, "typ"));
  if (type == policy.type || (type.empty() && policy.type_may_be_absent)) {
    return absl::OkStatus();
  }
  constexpr std::string_view kPrefix = "application/";
  if (absl::StartsWithIgnoreCase(type, kPrefix)) {
    type.remove_prefix(kPrefix.size());
  }
  if (absl::EqualsIgnoreCase(type, policy.type)) {
    return absl::OkStatus();
  }
  return Refuse("TOKEN_TYPE_REFUSED", absl::StrCat("The token is not of the type ", policy.type, "."));
}

absl::StatusOr<JwsHeader> ReadHeader(std::string_view encoded, const JwsPolicy& policy) {
  std::optional<std::string> text = DecodeBase64Url(encoded);
  if (!text.has_value()) {
    return EncodingInvalid();
  }
  StrictJson header;
  RETURN_IF_ERROR(ParseObject(*std::move(text), "header", header));
  for (const JsonValue& parameter : header.root()) {
    const std::string_view name = parameter.name();
    if (name == "crit" || name == "b64") {
      return RefuseParameter("TOKEN_EXTENSION_REFUSED", name, "no extension is understood");
    }
    if (name == "jwk" || name == "jku" || name == "x5u" || name == "x5c") {
      return RefuseParameter("TOKEN_KEY_EMBEDDED", name, "a token does not bring its own key");
    }
  }
  JwsHeader read{.text = std::string(encoded)};
  ASSIGN_OR_RETURN(read.algorithm, ReadAlgorithm(header, policy));
  RETURN_IF_ERROR(CheckType(header, policy));
  const JsonValue* const key_id = header.root().Find("kid");
  if (key_id == nullptr && policy.key_id_may_be_absent) {
    return read;
  }
  if (key_id == nullptr || !key_id->is_string() || key_id->text().empty()) {
    return Refuse("TOKEN_KEY_ID_MISSING", "The token does not say by `kid` which key signed it.");
  }
  read.key_id = std::string(key_id->text());
  return read;
}

}  // namespace

absl::StatusOr<Jws> Jws::Parse(std::string_view compact, const JwsPolicy& policy,
                               std::shared_ptr<const JwsHeader> known) {
  if (compact.empty()) {
    return Refuse("TOKEN_MISSING", "The request carries no token.");
  }
  if (compact.size() > policy.max_bytes) {
    return Refuse("TOKEN_TOO_LARGE", absl::StrCat("The token is longer than ", policy.max_bytes, " bytes."));
  }
  const size_t first = compact.find('.');
  const size_t second = first == std::string_view::npos ? first : compact.find('.', first + 1);
  if (second == std::string_view::npos || first == 0 || second == first + 1 ||
      compact.find('.', second + 1) != std::string_view::npos) {
    return Malformed("is not a JWS in compact form: three parts of base64url with dots between them");
  }
  Jws jws;
  jws.payload_ = compact.substr(first + 1, second - first - 1);
  jws.signature_ = compact.substr(second + 1);
  jws.signed_part_ = compact.substr(0, second);
  const std::string_view header = compact.substr(0, first);
  if (known != nullptr && known->text == header) {
    jws.header_ = std::move(known);
  } else {
    ASSIGN_OR_RETURN(JwsHeader read, ReadHeader(header, policy));
    jws.header_ = std::make_shared<const JwsHeader>(std::move(read));
  }
  if (jws.signature_.empty()) {
    return Malformed("has no signature");
  }
  return jws;
}

absl::Status Jws::CheckSignature(const crypto::VerifyingKey& key) const {
  if (algorithm() != key.algorithm()) {
    return Refuse("TOKEN_ALGORITHM_REFUSED", "The token's algorithm is not that of its key.");
  }
  std::array<char, kMaxSignatureBytes> buffer;
  const bool fits = signature_.size() <= kMaxSignatureBytes / 3 * 4;
  const std::optional<size_t> size =
      fits ? DecodeBase64Url(signature_, absl::MakeSpan(buffer.data(), buffer.size())) : std::optional<size_t>(0);
  if (!size.has_value()) {
    return EncodingInvalid();
  }
  if (!fits || !key.Verify(signed_part_, std::string_view(buffer.data(), *size))) {
    return Refuse("TOKEN_SIGNATURE_INVALID", "The token's signature is wrong.");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Jws::DecodePayload() const {
  std::optional<std::string> payload = DecodeBase64Url(payload_);
  if (!payload.has_value()) {
    return EncodingInvalid();
  }
  return *std::move(payload);
}

absl::Status ParsePayload(std::string payload, StrictJson& object) {
  return ParseObject(std::move(payload), "payload", object);
}

absl::StatusOr<VerifiedJws> VerifyJws(std::string_view compact, const KeySet& keys, const JwsPolicy& policy) {
  ASSIGN_OR_RETURN(const Jws jws, Jws::Parse(compact, policy));
  std::shared_ptr<const crypto::VerifyingKey> key;
  if (jws.key_id().empty()) {
    key = keys.FindOnly(jws.algorithm());
  } else {
    key = keys.Find(jws.key_id(), jws.algorithm());
    if (key == nullptr && keys.Knows(jws.key_id())) {
      return Refuse("TOKEN_ALGORITHM_REFUSED", "The token's algorithm is not that of its key.");
    }
  }
  if (key == nullptr) {
    return Refuse("TOKEN_KEY_UNKNOWN", "The token is signed with a key that is not, or no longer, known.");
  }
  RETURN_IF_ERROR(jws.CheckSignature(*key));
  ASSIGN_OR_RETURN(std::string payload, jws.DecodePayload());
  StrictJson object;
  RETURN_IF_ERROR(ParsePayload(payload, object));
  return VerifiedJws{.algorithm = jws.algorithm(), .key_id = jws.key_id(), .payload = std::move(payload)};
}

}  // namespace bulkhead
