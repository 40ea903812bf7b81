// JSON Web Signatures in compact form, read strictly. RFC 7515, RFC 7518, RFC 8725.
#ifndef SERVICES_COMMON_IDENTITY_JWS_H_
#define SERVICES_COMMON_IDENTITY_JWS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/crypto/signature.h"
#include "services/common/identity/jwks.h"
#include "services/common/identity/strict_json.h"

namespace bulkhead {

// What a signature must look like before anybody looks for its key.
struct JwsPolicy {
  // Those that may be used at all: asymmetric ones only, as there are no others. The key still decides which of them.
  std::vector<crypto::Algorithm> algorithms = {crypto::Algorithm::kEdDsa, crypto::Algorithm::kEs256,
                                               crypto::Algorithm::kRs256, crypto::Algorithm::kPs256};
  // The `typ` that it must have, as "at+jwt"; upper and lower case are the same, "application/" may stand before it. It keeps what was
  // signed for another purpose from being taken for this one (RFC 8725 section 3.11).
  std::string type;
  // Take one without `typ` too, for formats that are older than the advice: OpenID Connect's ID tokens.
  bool type_may_be_absent = false;
  // Take one without `kid` when there is only one key that fits: OpenID Connect Core section 10.1.
  bool key_id_may_be_absent = false;
  size_t max_bytes = 16 << 10;
};

// What a header says that a policy takes.
struct JwsHeader {
  std::string text;  // As it stands in the token.
  crypto::Algorithm algorithm = crypto::Algorithm::kEdDsa;
  std::string key_id;  // "" when absent, where the policy lets it.
};

// One whose header has been read; its signature has not been checked. Borrows the text that it was parsed from.
class Jws {
 public:
  // UNAUTHENTICATED, domain bulkhead.auth; the message never quotes the token:
  //   TOKEN_MISSING, TOKEN_TOO_LARGE, TOKEN_MALFORMED: no text, too much, not three parts of JSON and signature.
  //   TOKEN_ENCODING_INVALID: a part is not canonical base64url.
  //   TOKEN_MEMBER_DUPLICATE (metadata `member`): a header parameter, or a member inside of one, comes twice.
  //   TOKEN_EXTENSION_REFUSED (`parameter`): `crit` or `b64`; no extension is understood.
  //   TOKEN_KEY_EMBEDDED (`parameter`): `jwk`, `jku`, `x5u`, `x5c`; keys come from the verifier's own source.
  //   TOKEN_UNSIGNED: `alg` is "none".
  //   TOKEN_ALGORITHM_SYMMETRIC: `alg` is an HMAC, which a public key must never be used for.
  //   TOKEN_ALGORITHM_REFUSED: any other algorithm that the policy does not list.
  //   TOKEN_TYPE_REFUSED: `typ` is another one.
  //   TOKEN_KEY_ID_MISSING: no `kid`, or none that is a string with content.
  //
  // `known` is a header that was read under the same policy: a token with the same text there need not be read again,
  // which saves two hundredths of an RSA verification.
  static absl::StatusOr<Jws> Parse(std::string_view compact, const JwsPolicy& policy,
                                   std::shared_ptr<const JwsHeader> known = nullptr);

  const std::shared_ptr<const JwsHeader>& header() const { return header_; }
  crypto::Algorithm algorithm() const { return header_->algorithm; }
  const std::string& key_id() const { return header_->key_id; }

  // TOKEN_ALGORITHM_REFUSED when the key is for another algorithm (RFC 8725 section 3.1), TOKEN_ENCODING_INVALID,
  // TOKEN_SIGNATURE_INVALID.
  absl::Status CheckSignature(const crypto::VerifyingKey& key) const;

  // What was signed; TOKEN_ENCODING_INVALID. Believe it after CheckSignature only.
  absl::StatusOr<std::string> DecodePayload() const;

 private:
  Jws() = default;

  std::shared_ptr<const JwsHeader> header_;
  std::string_view payload_;
  std::string_view signature_;
  std::string_view signed_part_;  // header.payload
};

// The payload as one JSON object: TOKEN_MALFORMED, TOKEN_MEMBER_DUPLICATE.
absl::Status ParsePayload(std::string payload, StrictJson& object);

// One whose signature was right.
struct VerifiedJws {
  crypto::Algorithm algorithm;
  std::string key_id;
  std::string payload;  // The text of a JSON object without duplicate members.
};

// All of it, with the keys of a set. Besides the reasons above: TOKEN_KEY_UNKNOWN when the set has no such key, or, for a
// token without `kid`, none or several that fit. Says nothing about any claim.
absl::StatusOr<VerifiedJws> VerifyJws(std::string_view compact, const KeySet& keys, const JwsPolicy& policy);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_JWS_H_
