// Signatures and key sets of others. The classes of Project Wycheproof's JSON Web Signature and JSON Web Key vectors are here one by one, each named by its
// flag; the vectors themselves are in no package.
#include "services/common/identity/jws.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"
#include "services/common/crypto/secret.h"
#include "services/common/crypto/signature.h"
#include "services/common/crypto/testing/rsa_signer.h"
#include "services/common/identity/base64url.h"
#include "services/common/identity/jwks.h"
#include "services/common/identity/strict_json.h"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"

namespace bulkhead {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using crypto::Algorithm;
using crypto::testing::RsaSigner;
using ::nlohmann::json;

std::string Encode(std::string_view bytes) { return absl::WebSafeBase64Escape(bytes); }

// One RSA key for all tests: making it takes a moment.
const RsaSigner& Rsa() {
  static const RsaSigner& signer = *RsaSigner::Generate(2048).release();
  return signer;
}

json RsaJwk() {
  return {{"kty", "RSA"}, {"kid", "rsa"}, {"n", Encode(Rsa().modulus())}, {"e", Encode(Rsa().exponent())}};
}

class JwsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(ed25519_, crypto::SigningKey::Generate(Algorithm::kEdDsa));
    ASSERT_OK_AND_ASSIGN(p256_, crypto::SigningKey::Generate(Algorithm::kEs256));
  }

  json Ed25519Jwk() const {
    return {{"kty", "OKP"}, {"crv", "Ed25519"}, {"kid", "ed"}, {"x", Encode(ed25519_->public_parameters().first)}};
  }
  json P256Jwk() const {
    const auto [x, y] = p256_->public_parameters();
    return {{"kty", "EC"}, {"crv", "P-256"}, {"kid", "ec"}, {"x", Encode(x)}, {"y", Encode(y)}};
  }
  static std::string SetOf(const std::vector<json>& keys) { return json{{"keys", keys}}.dump(); }
  KeySet AllKeys() const {
    absl::StatusOr<KeySet> keys = ParseKeySet(SetOf({Ed25519Jwk(), P256Jwk(), RsaJwk()}));
    EXPECT_THAT(keys, IsOk());
    return *keys;
  }

  std::string SignatureOf(Algorithm algorithm, std::string_view message) const {
    switch (algorithm) {
      case Algorithm::kEdDsa:
        return ed25519_->Sign(message);
      case Algorithm::kEs256:
        return p256_->Sign(message);
      case Algorithm::kRs256:
      case Algorithm::kPs256:
        return Rsa().Sign(algorithm, message);
    }
    return "";
  }
  static std::string KeyIdOf(Algorithm algorithm) {
    return algorithm == Algorithm::kEdDsa ? "ed" : algorithm == Algorithm::kEs256 ? "ec" : "rsa";
  }
  static json HeaderOf(Algorithm algorithm) {
    return {{"alg", crypto::AlgorithmName(algorithm)}, {"kid", KeyIdOf(algorithm)}, {"typ", "JWT"}};
  }
  std::string Sign(Algorithm algorithm, const json& header, std::string_view payload = R"({"sub":"ada"})") const {
    const std::string signed_part = absl::StrCat(Encode(header.dump()), ".", Encode(payload));
    return absl::StrCat(signed_part, ".", Encode(SignatureOf(algorithm, signed_part)));
  }
  // With another signature in the place of the right one.
  std::string WithSignature(Algorithm algorithm, const std::function<std::string(std::string)>& change) const {
    const std::string signed_part = absl::StrCat(Encode(HeaderOf(algorithm).dump()), ".", Encode(R"({"sub":"ada"})"));
    return absl::StrCat(signed_part, ".", Encode(change(SignatureOf(algorithm, signed_part))));
  }

  static JwsPolicy Policy() { return {.type = "JWT"}; }
  absl::StatusOr<VerifiedJws> Verify(std::string_view compact) const { return VerifyJws(compact, AllKeys(), Policy()); }

  static constexpr Algorithm kAll[] = {Algorithm::kEdDsa, Algorithm::kEs256, Algorithm::kRs256, Algorithm::kPs256};
  std::unique_ptr<crypto::SigningKey> ed25519_;
  std::unique_ptr<crypto::SigningKey> p256_;
};

TEST_F(JwsTest, EachAlgorithmIsVerified) {
  for (const Algorithm algorithm : kAll) {
    ASSERT_OK_AND_ASSIGN(const VerifiedJws verified, Verify(Sign(algorithm, HeaderOf(algorithm))));
    EXPECT_EQ(verified.algorithm, algorithm);
    EXPECT_EQ(verified.key_id, KeyIdOf(algorithm));
    EXPECT_EQ(verified.payload, R"({"sub":"ada"})");
  }
}

TEST_F(JwsTest, ThePolicyDecides) {
  JwsPolicy only_es256 = Policy();
  only_es256.algorithms = {Algorithm::kEs256};
  EXPECT_THAT(VerifyJws(Sign(Algorithm::kEs256, HeaderOf(Algorithm::kEs256)), AllKeys(), only_es256), IsOk());
  EXPECT_THAT(VerifyJws(Sign(Algorithm::kRs256, HeaderOf(Algorithm::kRs256)), AllKeys(), only_es256),
              HasReason(absl::StatusCode::kUnauthenticated, "TOKEN_ALGORITHM_REFUSED"));

  const std::string untyped = Sign(Algorithm::kEdDsa, {{"alg", "EdDSA"}, {"kid", "ed"}});
  EXPECT_THAT(Verify(untyped), HasReason("TOKEN_TYPE_REFUSED"));
  JwsPolicy lenient = Policy();
  lenient.type_may_be_absent = true;
  EXPECT_THAT(VerifyJws(untyped, AllKeys(), lenient), IsOk());
  EXPECT_THAT(
      VerifyJws(Sign(Algorithm::kEdDsa, {{"alg", "EdDSA"}, {"kid", "ed"}, {"typ", "at+jwt"}}), AllKeys(), lenient),
      HasReason("TOKEN_TYPE_REFUSED"))
      << "an access token is no ID token";

  const std::string unnamed = Sign(Algorithm::kEdDsa, {{"alg", "EdDSA"}, {"typ", "JWT"}});
  EXPECT_THAT(Verify(unnamed), HasReason("TOKEN_KEY_ID_MISSING"));
  lenient.key_id_may_be_absent = true;
  EXPECT_THAT(VerifyJws(unnamed, AllKeys(), lenient), IsOk());
  json second = Ed25519Jwk();
  second["kid"] = "another";
  ASSERT_OK_AND_ASSIGN(const KeySet two, ParseKeySet(SetOf({Ed25519Jwk(), second})));
  EXPECT_THAT(VerifyJws(unnamed, two, lenient), HasReason("TOKEN_KEY_UNKNOWN")) << "nobody guesses";
  EXPECT_THAT(VerifyJws(Sign(Algorithm::kEdDsa, HeaderOf(Algorithm::kEdDsa)), KeySet(), Policy()),
              HasReason("TOKEN_KEY_UNKNOWN"));
}

// --- Project Wycheproof, JsonWebSignature ---------------------------------------------------------

TEST_F(JwsTest, WycheproofAlgIsNone) {
  for (const char* none : {"none", "None", "NONE", "nOnE"}) {
    json header = HeaderOf(Algorithm::kEs256);
    header["alg"] = none;
    const std::string signed_part = absl::StrCat(Encode(header.dump()), ".", Encode(R"({"sub":"ada"})"));
    EXPECT_THAT(Verify(absl::StrCat(signed_part, ".")), HasReason("TOKEN_UNSIGNED")) << none;
    EXPECT_THAT(Verify(absl::StrCat(signed_part, ".", Encode("x"))), HasReason("TOKEN_UNSIGNED")) << none;
  }
}

TEST_F(JwsTest, WycheproofWrongPrimitive) {
  // An HMAC whose key is the public key, in the forms that others have taken it in.
  for (const std::string& secret : {Rsa().modulus(), RsaJwk().dump(), ed25519_->public_parameters().first}) {
    for (const char* algorithm : {"HS256", "HS384", "HS512", "hs256"}) {
      const json header = {{"alg", algorithm}, {"kid", "rsa"}, {"typ", "JWT"}};
      const std::string signed_part = absl::StrCat(Encode(header.dump()), ".", Encode(R"({"sub":"ada"})"));
      const std::string mac = crypto::HmacSha256(Secret(secret), signed_part);
      EXPECT_THAT(Verify(absl::StrCat(signed_part, ".", Encode(mac))), HasReason("TOKEN_ALGORITHM_SYMMETRIC"));
    }
  }
  // A signature under the name of each other algorithm, with its own key and with the other's.
  for (const Algorithm signing : kAll) {
    for (const Algorithm named : kAll) {
      if (signing == named) {
        continue;
      }
      json header = HeaderOf(signing);
      header["alg"] = crypto::AlgorithmName(named);
      const bool same_key = KeyIdOf(signing) == KeyIdOf(named);
      EXPECT_THAT(Verify(Sign(signing, header)),
                  HasReason(same_key ? "TOKEN_SIGNATURE_INVALID" : "TOKEN_ALGORITHM_REFUSED"))
          << header;
      header["kid"] = KeyIdOf(named);
      EXPECT_THAT(Verify(Sign(signing, header)), HasReason("TOKEN_SIGNATURE_INVALID")) << header;
    }
  }
  for (const char* unknown : {"RS1", "RS384", "ES512", "ES256K", "EdDSA ", "", "RSA-OAEP", "A128KW", "dir"}) {
    json header = HeaderOf(Algorithm::kRs256);
    header["alg"] = unknown;
    EXPECT_THAT(Verify(Sign(Algorithm::kRs256, header)),
                HasReason(*unknown == '\0' ? "TOKEN_MALFORMED" : "TOKEN_ALGORITHM_REFUSED"))
        << unknown;
  }
}

TEST_F(JwsTest, WycheproofModifiedSignature) {
  for (const Algorithm algorithm : kAll) {
    const auto refused = HasReason("TOKEN_SIGNATURE_INVALID");
    const size_t size = SignatureOf(algorithm, "").size();
    for (size_t i = 0; i < size; i += 7) {
      EXPECT_THAT(Verify(WithSignature(algorithm, [i](std::string s) { return s[i] ^= 1, s; })), refused)
          << "byte " << i;
    }
    EXPECT_THAT(Verify(WithSignature(algorithm, [](std::string s) { return s + '\0'; })), refused) << "appended";
    EXPECT_THAT(Verify(WithSignature(algorithm, [](std::string s) { return '\0' + s; })), refused) << "prepended";
    EXPECT_THAT(Verify(WithSignature(algorithm, [](std::string s) { return s.substr(1); })), refused) << "cut in front";
    EXPECT_THAT(Verify(WithSignature(algorithm, [](std::string s) { return s.substr(0, s.size() - 1); })), refused);
    EXPECT_THAT(Verify(WithSignature(algorithm, [](std::string s) { return std::string(s.size(), '\0'); })), refused);
    EXPECT_THAT(Verify(WithSignature(algorithm, [](std::string s) { return std::string(s.size(), '\xff'); })), refused);
    const std::string good = Sign(algorithm, HeaderOf(algorithm));
    EXPECT_THAT(Verify(good.substr(0, good.rfind('.') + 1)), HasReason("TOKEN_MALFORMED")) << "no signature";
  }
  // ECDSA in DER, as other protocols have it.
  EXPECT_THAT(Verify(WithSignature(Algorithm::kEs256,
                                   [](const std::string& s) {
                                     return absl::StrCat("\x30\x44\x02\x20", s.substr(0, 32), "\x02\x20", s.substr(32));
                                   })),
              HasReason("TOKEN_SIGNATURE_INVALID"));
}

// What "psychic" verifiers took: r and s of zero, or of the group's order (CVE-2022-21449).
TEST_F(JwsTest, WycheproofEcdsaSpecialValues) {
  std::string order;
  ASSERT_TRUE(absl::HexStringToBytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", &order));
  const std::string zero(32, '\0');
  const std::string one = std::string(31, '\0') + '\x01';
  for (const std::string& r : {zero, one, order}) {
    for (const std::string& s : {zero, one, order}) {
      EXPECT_THAT(Verify(WithSignature(Algorithm::kEs256, [&](const std::string&) { return r + s; })),
                  HasReason("TOKEN_SIGNATURE_INVALID"));
    }
  }
}

// Ed25519: S must be below the group's order (RFC 8032 section 5.1.7), or there are several signatures for one message.
TEST_F(JwsTest, WycheproofSignatureMalleability) {
  const auto add_order = [](std::string signature) {
    constexpr unsigned char kOrder[] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                        0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                        0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
    unsigned carry = 0;
    for (size_t i = 0; i < 32; ++i) {
      carry += static_cast<unsigned char>(signature[32 + i]) + kOrder[i];
      signature[32 + i] = static_cast<char>(carry);
      carry >>= 8;
    }
    return signature;
  };
  EXPECT_THAT(Verify(WithSignature(Algorithm::kEdDsa, add_order)), HasReason("TOKEN_SIGNATURE_INVALID"));
}

TEST_F(JwsTest, WycheproofModifiedPadding) {
  for (const Algorithm algorithm : kAll) {
    const std::string good = Sign(algorithm, HeaderOf(algorithm));
    const std::vector<std::string> parts = absl::StrSplit(good, '.');
    const auto refused = HasReason("TOKEN_ENCODING_INVALID");
    for (const char* junk : {"=", "==", " ", "\n", "\r\n", "\t", "+", "/", "%3D", "\\u003d"}) {
      EXPECT_THAT(Verify(absl::StrCat(good, junk)), refused) << junk;
      EXPECT_THAT(Verify(absl::StrCat(parts[0], junk, ".", parts[1], ".", parts[2])), refused) << junk;
      EXPECT_FALSE(Verify(absl::StrCat(parts[0], ".", parts[1], junk, ".", parts[2])).ok()) << junk;
    }
  }
  // The bits behind the last byte: 64 bytes of signature end with two characters, the last of which has four of them.
  std::string stray = Sign(Algorithm::kEs256, HeaderOf(Algorithm::kEs256));
  stray.back() = static_cast<char>(stray.back() + 1);
  EXPECT_THAT(Verify(stray), HasReason("TOKEN_ENCODING_INVALID"));
}

// --- Project Wycheproof, JsonWebKey ----------------------------------------------------------------

TEST_F(JwsTest, WycheproofWrongUseAndKeyOps) {
  const std::string token = Sign(Algorithm::kEdDsa, HeaderOf(Algorithm::kEdDsa));
  const std::pair<json, bool> cases[] = {
      {{{"use", "sig"}}, true},
      {{{"key_ops", {"verify"}}}, true},
      {{{"use", "sig"}, {"key_ops", {"sign", "verify"}}}, true},
      {{{"alg", "EdDSA"}}, true},
      {{{"alg", "Ed25519"}}, true},
      {{{"use", "enc"}}, false},
      {{{"use", "Sig"}}, false},
      {{{"key_ops", {"sign"}}}, false},
      {{{"key_ops", {"encrypt", "wrapKey"}}}, false},
      {{{"key_ops", json::array()}}, false},
      {{{"alg", "ES256"}}, false},
      {{{"alg", "ECDH-ES"}}, false},
      {{{"crv", "X25519"}}, false},
      {{{"crv", "Ed448"}}, false},
      {{{"kty", "AKP"}}, false},
  };
  for (const auto& [changes, usable] : cases) {
    json jwk = Ed25519Jwk();
    jwk.update(changes);
    ASSERT_OK_AND_ASSIGN(const KeySet keys, ParseKeySet(SetOf({jwk})));
    EXPECT_EQ(keys.Knows("ed"), usable) << changes;
    if (usable) {
      EXPECT_THAT(VerifyJws(token, keys, Policy()), IsOk()) << changes;
    } else {
      EXPECT_THAT(VerifyJws(token, keys, Policy()), HasReason("TOKEN_KEY_UNKNOWN")) << changes;
    }
  }
}

TEST_F(JwsTest, AnRsaKeyIsForTheAlgorithmThatItNamesOrForBoth) {
  ASSERT_OK_AND_ASSIGN(const KeySet both, ParseKeySet(SetOf({RsaJwk()})));
  EXPECT_NE(both.Find("rsa", Algorithm::kRs256), nullptr);
  EXPECT_NE(both.Find("rsa", Algorithm::kPs256), nullptr);
  json named = RsaJwk();
  named["alg"] = "PS256";
  ASSERT_OK_AND_ASSIGN(const KeySet one, ParseKeySet(SetOf({named})));
  EXPECT_THAT(VerifyJws(Sign(Algorithm::kPs256, HeaderOf(Algorithm::kPs256)), one, Policy()), IsOk());
  EXPECT_THAT(VerifyJws(Sign(Algorithm::kRs256, HeaderOf(Algorithm::kRs256)), one, Policy()),
              HasReason("TOKEN_ALGORITHM_REFUSED"));
}

void ExpectSetInvalid(const std::string& set) {
  const absl::StatusOr<KeySet> keys = ParseKeySet(set);
  EXPECT_THAT(keys, HasReason(absl::StatusCode::kInvalidArgument, "KEY_SET_INVALID")) << set;
}

TEST_F(JwsTest, WycheproofWeakAndMalformedKeysAreRefused) {
  const auto changed = [](json jwk, const char* name, json value) {
    jwk[name] = std::move(value);
    return SetOf({jwk});
  };
  // Made as the generator of CVE-2017-15361 does: p = k * M + (65537^a mod M).
  constexpr char kRoca[] =
      "wPnHN9xgWNk_J-j7qlAdKmSIiB5wAOXRLyWSii7RTmBhHAY_RQzWafvrAwNC5LFU9cVAwUc-Ih2edWNAdaCrDFMHz2hnNEfWeVDwp8vJdMB_"
      "hxKFR3xOsA23RFffWK_ITRztPsGQXTDiZACdY0cwVwHNB3E8MOUNcmzIS4XG-Kt9FHX7_l4FOjAsI1gM_"
      "Cd0nVQArsS5xrw7QF8fMhd2zoONgWv47u"
      "ewLl5tXR8l--iBfjA_fdDq83kM97VJJEWYIrsy5h6uXs4zMBZRGJkzR3kP49RhiBYaP1sD91d1B3BeHRViwAcXOenX_"
      "f4QKngaWwWzH6eAVLzpeVjN"
      "i5dMeQ";
  ExpectSetInvalid(changed(RsaJwk(), "n", kRoca));
  const std::string n = Rsa().modulus();
  ExpectSetInvalid(changed(RsaJwk(), "n", Encode(n.substr(0, 128))));           // 1024 bits
  ExpectSetInvalid(changed(RsaJwk(), "n", Encode(n.substr(0, 255) + '\x02')));  // even
  ExpectSetInvalid(changed(RsaJwk(), "n", Encode(std::string(1, '\0') + n)));   // RFC 7518 section 6.3.1.1
  ExpectSetInvalid(changed(RsaJwk(), "n", Encode(n) + "="));                    // padding
  ExpectSetInvalid(changed(RsaJwk(), "n", ""));
  ExpectSetInvalid(changed(RsaJwk(), "n", 7));
  for (const char* exponent :
       {"AQ", "Ag", "AQAA", "AAEAAQ", "AQAAAAAAAAAB"}) {  // 1, 2, 65536, with a zero before it, 2^64 + 1
    ExpectSetInvalid(changed(RsaJwk(), "e", exponent));
  }
  ExpectSetInvalid(changed(P256Jwk(), "x", Encode(std::string(32, 'x'))));  // off the curve
  ExpectSetInvalid(changed(P256Jwk(), "x", Encode(std::string(31, 'x'))));
  ExpectSetInvalid(changed(P256Jwk(), "y", Encode(std::string(33, '\0'))));
  ExpectSetInvalid(changed(Ed25519Jwk(), "x", Encode(std::string(31, 'x'))));
  ExpectSetInvalid(changed(Ed25519Jwk(), "x", Encode(std::string(32, '\0'))));  // Of order 4: anybody signs for it.
  ExpectSetInvalid(changed(Ed25519Jwk(), "x", Encode('\x01' + std::string(30, '\0') + '\x80')));
  json without_y = P256Jwk();
  without_y.erase("y");
  ExpectSetInvalid(SetOf({without_y}));
  // Private and symmetric keys, which whoever published them has given away.
  ExpectSetInvalid(changed(Ed25519Jwk(), "d", Encode(std::string(32, 'd'))));
  for (const char* secret : {"d", "p", "q", "dp", "dq", "qi", "oth"}) {
    ExpectSetInvalid(changed(RsaJwk(), secret, "AQAB"));
  }
  ExpectSetInvalid(SetOf({{{"kty", "oct"}, {"k", "c2VjcmV0"}}}));
  ExpectSetInvalid(changed(Ed25519Jwk(), "key_ops", {"verify", "verify"}));
  ExpectSetInvalid(changed(Ed25519Jwk(), "key_ops", "verify"));
  json contradiction = Ed25519Jwk();
  contradiction.update({{"use", "enc"}, {"key_ops", {"verify"}}});
  ExpectSetInvalid(SetOf({contradiction}));
  ExpectSetInvalid(SetOf({Ed25519Jwk(), Ed25519Jwk()}));  // One id twice.
  json namesake = P256Jwk();
  namesake["kid"] = "ed";
  namesake["use"] = "enc";
  ExpectSetInvalid(SetOf({Ed25519Jwk(), namesake}));  // Also when the other one would be ignored.
}

TEST_F(JwsTest, MalformedAndOversizedSetsAreRefused) {
  for (const char* set :
       {"", "{", "[]", "{}", R"({"keys":{}})", R"({"keys":[1]})", R"({"keys":[{}]})", R"({"keys":[],"keys":[]})",
        R"({"keys":[{"kty":"OKP","kty":"EC"}]})", R"({"keys":[{"kty":1}]})", R"({"keys":[]} x)"}) {
    ExpectSetInvalid(set);
  }
  EXPECT_THAT(ParseKeySet(R"({"keys":[]})"), IsOk());
  const auto too_large = HasReason(absl::StatusCode::kInvalidArgument, "KEY_SET_TOO_LARGE");
  EXPECT_THAT(ParseKeySet(std::string((256 << 10) + 1, ' ')), too_large);
  EXPECT_THAT(ParseKeySet(SetOf(std::vector<json>(101, json{{"kty", "unknown"}}))), too_large);
  EXPECT_THAT(ParseKeySet(SetOf(std::vector<json>(100, json{{"kty", "unknown"}}))), IsOk());
}

// --- Published vectors -----------------------------------------------------------------------------

JwsPolicy PolicyOfVectors() { return {.type = "", .type_may_be_absent = true, .key_id_may_be_absent = true}; }

// RFC 8037 appendix A.4: Ed25519. Its payload is no JSON, so the signature is checked by itself.
TEST(JwsVectorTest, Rfc8037Ed25519) {
  ASSERT_OK_AND_ASSIGN(
      const KeySet keys,
      ParseKeySet(R"({"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]})"));
  constexpr std::string_view kToken =
      "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
  ASSERT_OK_AND_ASSIGN(const Jws jws, Jws::Parse(kToken, PolicyOfVectors()));
  EXPECT_THAT(jws.CheckSignature(*keys.FindOnly(Algorithm::kEdDsa)), IsOk());
  EXPECT_THAT(jws.DecodePayload(), testing::IsOkAndHolds(::testing::Eq("Example of Ed25519 signing")));
}

// RFC 7515 appendix A.3: ES256, whose payload is a JSON object.
TEST(JwsVectorTest, Rfc7515Es256) {
  ASSERT_OK_AND_ASSIGN(const KeySet keys, ParseKeySet(R"({"keys":[{"kty":"EC","crv":"P-256",
      "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})"));
  constexpr std::string_view kToken =
      "eyJhbGciOiJFUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
      "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  ASSERT_OK_AND_ASSIGN(const VerifiedJws verified, VerifyJws(kToken, keys, PolicyOfVectors()));
  EXPECT_EQ(json::parse(verified.payload)["iss"], "joe");
  EXPECT_THAT(
      Jws::Parse("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                 "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
                 "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                 PolicyOfVectors()),
      HasReason("TOKEN_ALGORITHM_SYMMETRIC"))
      << "appendix A.1";
  EXPECT_THAT(
      Jws::Parse("eyJhbGciOiJub25lIn0."
                 "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
                 PolicyOfVectors()),
      HasReason("TOKEN_UNSIGNED"))
      << "appendix A.5";
}

// RFC 7520 section 4.1: the RSA key of section 3.3 signs the text of figure 7 with RS256.
constexpr char kRfc7520Modulus[] =
    "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_"
    "NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-"
    "OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8"
    "lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
constexpr char kRfc7520Payload[] =
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIG"
    "lmIHlvdSBk"
    "b24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

TEST(JwsVectorTest, Rfc7520Rs256) {
  const json set = {{"keys",
                     {{{"kty", "RSA"},
                       {"kid", "bilbo.baggins@hobbiton.example"},
                       {"use", "sig"},
                       {"n", kRfc7520Modulus},
                       {"e", "AQAB"}}}}};
  ASSERT_OK_AND_ASSIGN(const KeySet keys, ParseKeySet(set.dump()));
  const std::string token = absl::StrCat(
      "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.", kRfc7520Payload,
      ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-"
      "BDkoBwA78185hX-"
      "Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_"
      "de3xyIrDaLGdjluP"
      "xUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg");
  ASSERT_OK_AND_ASSIGN(const Jws jws, Jws::Parse(token, PolicyOfVectors()));
  EXPECT_THAT(jws.CheckSignature(*keys.Find(jws.key_id(), Algorithm::kRs256)), IsOk());
  EXPECT_THAT(jws.CheckSignature(*keys.Find(jws.key_id(), Algorithm::kPs256)), HasReason("TOKEN_ALGORITHM_REFUSED"));
}

// --- Reading ---------------------------------------------------------------------------------------

TEST(Base64UrlTest, OnlyTheCanonicalSpellingIsRead) {
  // RFC 4648 section 10, in this alphabet and without padding.
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(DecodeBase64Url(text), bytes);
  }
  for (const char* bad :
       {"Z", "Zg=", "Zg==", "Zh", "Zm9", "Zm9v\n", " Zm9v", "Zm+v", "Zm/v", "Zm9vY", "Zm9v====", "Z\xc3\xa9g"}) {
    EXPECT_EQ(DecodeBase64Url(bad), std::nullopt) << bad;
  }
  for (int length = 0; length < 64; ++length) {
    const std::string bytes = crypto::RandomBytes(length);
    EXPECT_EQ(DecodeBase64Url(Encode(bytes)), bytes);
  }
}

StrictJson::Problem ProblemOf(std::string text) {
  StrictJson document;
  return document.Parse(std::move(text));
}

TEST(StrictJsonTest, ReadsWhatRfc8259Allows) {
  StrictJson document;
  ASSERT_EQ(
      document.Parse(
          R"( { "a" : [ 1 , -0.5e+3 , "x" , [ ] , { } ] , "\u0062\n" : "\u00e9\ud83d\ude00\/", "t":true,"f":false,"n":null,"":0} )"),
      StrictJson::Problem::kNone);
  const JsonValue& root = document.root();
  ASSERT_TRUE(root.is_object());
  std::vector<std::string> elements;
  for (const JsonValue& element : *root.Find("a")) {
    elements.emplace_back(element.text());
  }
  EXPECT_THAT(elements, ::testing::ElementsAre("1", "-0.5e+3", "x", "", ""));
  EXPECT_EQ((++root.Find("a")->begin())->number(), -500);
  ASSERT_NE(root.Find("b\n"), nullptr);
  EXPECT_EQ(root.Find("b\n")->text(), "\xc3\xa9\xf0\x9f\x98\x80/");
  EXPECT_EQ(root.Find("t")->kind(), JsonValue::Kind::kTrue);
  EXPECT_EQ(root.Find("n")->kind(), JsonValue::Kind::kNull);
  EXPECT_EQ(root.Find("")->number(), 0);
  EXPECT_EQ(root.Find("missing"), nullptr);
  EXPECT_EQ(root.Find("t")->Find("x"), nullptr);
}

TEST(StrictJsonTest, RefusesAllElse) {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "}",
                          "[",
                          "[1",
                          "[1,]",
                          "[,1]",
                          "{\"a\"}",
                          "{\"a\":}",
                          "{\"a\":1,}",
                          "{a:1}",
                          "{'a':1}",
                          "{\"a\":1}x",
                          "01",
                          "-",
                          "+1",
                          ".5",
                          "1.",
                          "1e",
                          "1e+",
                          "0x1",
                          "NaN",
                          "Infinity",
                          "tru",
                          "truex",
                          "\"",
                          "\"\\\"",
                          "\"\\x\"",
                          "\"\\u12\"",
                          "\"\\u12g4\"",
                          "\"\\ud800\"",
                          "\"\\ud800\\u0041\"",
                          "\"\\udc00\"",
                          "\"\t\"",
                          "\"\n\"",
                          "\"\x80\"",
                          "\"\xc0\xaf\"",
                          "\"\xed\xa0\x80\"",
                          "\"\xf5\x80\x80\x80\"",
                          "\"\xe2\x82\"",
                          "[1 2]",
                          "{\"a\":1 \"b\":2}",
                          "\xef\xbb\xbf{}",
                          "/* */{}",
                          "\v1"}) {
    EXPECT_EQ(ProblemOf(bad), StrictJson::Problem::kSyntax) << bad;
  }
  EXPECT_EQ(ProblemOf(std::string("[1]\0", 4)), StrictJson::Problem::kSyntax);
  EXPECT_EQ(ProblemOf(std::string("\"a\0b\"", 5)), StrictJson::Problem::kSyntax);
}

TEST(StrictJsonTest, AMemberComesOnceAtEachDepth) {
  EXPECT_EQ(ProblemOf(R"({"a":{"x":1,"y":{"b":1,"b":2}}})"), StrictJson::Problem::kDuplicateMember);
  EXPECT_EQ(ProblemOf(R"([{"a":1},{"a":1,"\u0061":2}])"), StrictJson::Problem::kDuplicateMember);
  EXPECT_EQ(ProblemOf(R"({"long name 1":1,"long name 2":{"long name 1":1}})"), StrictJson::Problem::kNone);
  EXPECT_EQ(ProblemOf(R"({"":1,"":2})"), StrictJson::Problem::kDuplicateMember);
  StrictJson document;
  EXPECT_EQ(document.Parse(R"({"iss":1,"iss":2})"), StrictJson::Problem::kDuplicateMember);
  EXPECT_EQ(document.duplicate(), "iss");
}

TEST(StrictJsonTest, ComplexityIsBounded) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(ProblemOf(nested(16)), StrictJson::Problem::kNone);
  EXPECT_EQ(ProblemOf(nested(17)), StrictJson::Problem::kTooComplex);
  EXPECT_EQ(ProblemOf(std::string(100'000, '[')), StrictJson::Problem::kTooComplex);
  json wide = json::object();
  for (int i = 0; i < 513; ++i) {
    wide[absl::StrCat(i)] = i;
  }
  EXPECT_EQ(ProblemOf(wide.dump()), StrictJson::Problem::kTooComplex);
  EXPECT_EQ(ProblemOf(json(std::vector<int>(512)).dump()), StrictJson::Problem::kNone);
}

}  // namespace
}  // namespace bulkhead
