#include "services/common/crypto/crypto.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/crypto/secret.h"
#include "services/common/crypto/signature.h"
#include "testing/base/matchers.h"

namespace bulkhead::crypto {
namespace {

using ::bulkhead::testing::HasReason;

std::string FromHex(std::string_view hex) {
  std::string bytes;
  EXPECT_TRUE(absl::HexStringToBytes(hex, &bytes));
  return bytes;
}

std::string FromBase64Url(std::string_view text) {
  std::string bytes;
  EXPECT_TRUE(absl::WebSafeBase64Unescape(text, &bytes));
  return bytes;
}

TEST(SecretTest, NeitherPrintsNorStaysBehindAMove) {
  Secret secret(std::string("hunter2"));
  EXPECT_EQ(absl::StrCat(secret), "[secret]");
  EXPECT_EQ(::testing::PrintToString(secret), "[secret]");

  const Secret moved = std::move(secret);
  EXPECT_EQ(moved.Reveal(), "hunter2");
  EXPECT_TRUE(secret.empty());  // NOLINT(bugprone-use-after-move): what this test is about.
  EXPECT_TRUE(moved == moved.Copy());
  EXPECT_FALSE(moved == Secret(std::string("hunter3")));
}

TEST(CryptoTest, Sha256OfFips180) {
  EXPECT_EQ(absl::BytesToHexString(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(CryptoTest, HmacOfRfc4231) {
  EXPECT_EQ(absl::BytesToHexString(HmacSha256(Secret(std::string(20, '\x0b')), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(absl::BytesToHexString(HmacSha256(Secret(std::string("Jefe")), "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(CryptoTest, ScryptOfRfc7914) {
  ASSERT_OK_AND_ASSIGN(const Secret empty, Scrypt(Secret(), "", {.n = 16, .r = 1, .p = 1}, 64));
  EXPECT_EQ(absl::BytesToHexString(empty.Reveal()),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442"
            "fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906");
  ASSERT_OK_AND_ASSIGN(const Secret salted,
                       Scrypt(Secret(std::string("password")), "NaCl", {.n = 1024, .r = 8, .p = 16}, 64));
  EXPECT_EQ(absl::BytesToHexString(salted.Reveal()),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
            "2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640");
  EXPECT_THAT(Scrypt(Secret(), "", {.n = 1000}, 32),
              HasReason(absl::StatusCode::kInvalidArgument, "SCRYPT_PARAMETERS_INVALID"));
}

TEST(CryptoTest, ConstantTimeEqualsComparesAllBytes) {
  EXPECT_TRUE(ConstantTimeEquals("same", "same"));
  EXPECT_FALSE(ConstantTimeEquals("same", "sama"));
  EXPECT_FALSE(ConstantTimeEquals("same", "same longer"));
  EXPECT_NE(RandomBytes(32), RandomBytes(32));
}

TEST(SealerTest, OpensOnlyWhatItSealedForTheSameOwner) {
  ASSERT_OK_AND_ASSIGN(const auto sealer, Sealer::Create(RandomSecret(32)));
  const std::string sealed = sealer->Seal("run token", "run-1");
  EXPECT_NE(sealer->Seal("run token", "run-1"), sealed) << "A nonce was used twice.";

  ASSERT_OK_AND_ASSIGN(const Secret opened, sealer->Open(sealed, "run-1"));
  EXPECT_EQ(opened.Reveal(), "run token");
  ASSERT_OK_AND_ASSIGN(const Secret empty, sealer->Open(sealer->Seal("", ""), ""));
  EXPECT_TRUE(empty.empty());

  const auto refused = HasReason(absl::StatusCode::kDataLoss, "SEALED_DATA_INVALID");
  EXPECT_THAT(sealer->Open(sealed, "run-2"), refused);
  EXPECT_THAT(sealer->Open(sealed.substr(0, 20), "run-1"), refused);
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string tampered = sealed;
    tampered[i] ^= 1;
    EXPECT_THAT(sealer->Open(tampered, "run-1"), refused) << "byte " << i;
  }
  ASSERT_OK_AND_ASSIGN(const auto other, Sealer::Create(RandomSecret(32)));
  EXPECT_THAT(other->Open(sealed, "run-1"), refused);
  EXPECT_THAT(Sealer::Create(RandomSecret(16)), HasReason(absl::StatusCode::kInvalidArgument, "SEALING_KEY_INVALID"));
}

TEST(SignatureTest, Ed25519OfRfc8032) {
  const struct {
    const char* seed;
    const char* public_key;
    const char* message;
    const char* signature;
  } kVectors[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2"
       "4655141438e"
       "7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302ae"
       "eb00d291612"
       "bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
       "8dc027beceea1ec40a"},
  };
  for (const auto& vector : kVectors) {
    ASSERT_OK_AND_ASSIGN(const auto key, SigningKey::Parse(Algorithm::kEdDsa, Secret(FromHex(vector.seed))));
    const std::string message = FromHex(vector.message);
    EXPECT_EQ(absl::BytesToHexString(key->public_parameters().first), vector.public_key);
    EXPECT_EQ(absl::BytesToHexString(key->Sign(message)), vector.signature);
    ASSERT_OK_AND_ASSIGN(const auto verifying, VerifyingKey::FromEd25519(FromHex(vector.public_key)));
    EXPECT_TRUE(verifying->Verify(message, FromHex(vector.signature)));
    EXPECT_FALSE(verifying->Verify(absl::StrCat(message, "x"), FromHex(vector.signature)));
    EXPECT_FALSE(verifying->Verify(message, FromHex(vector.signature).substr(1)));
  }
}

TEST(SignatureTest, GeneratedKeysSurviveSerialization) {
  for (const Algorithm algorithm : {Algorithm::kEdDsa, Algorithm::kEs256}) {
    ASSERT_OK_AND_ASSIGN(const auto key, SigningKey::Generate(algorithm));
    ASSERT_OK_AND_ASSIGN(const auto parsed, SigningKey::Parse(algorithm, key->Serialize()));
    EXPECT_EQ(parsed->algorithm(), algorithm);
    EXPECT_EQ(parsed->public_parameters(), key->public_parameters());
    const std::string signature = parsed->Sign("message");
    EXPECT_EQ(signature.size(), 64u);
    EXPECT_TRUE(key->verifying_key()->Verify("message", signature));
    EXPECT_FALSE(key->verifying_key()->Verify("massage", signature));
    std::string tampered = signature;
    tampered[40] ^= 1;
    EXPECT_FALSE(key->verifying_key()->Verify("message", tampered));
    EXPECT_FALSE(key->verifying_key()->Verify("message", std::string(64, '\0')));
    EXPECT_FALSE(key->verifying_key()->Verify("message", ""));
  }
}

TEST(SignatureTest, Es256OfRfc7515) {
  ASSERT_OK_AND_ASSIGN(const auto key,
                       VerifyingKey::FromP256(FromBase64Url("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                                              FromBase64Url("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")));
  const std::string message = absl::StrCat("eyJhbGciOiJFUzI1NiJ9", ".",
                                           absl::WebSafeBase64Escape("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                                                     "\"http://example.com/is_root\":true}"));
  const std::string signature =
      FromBase64Url("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
  EXPECT_TRUE(key->Verify(message, signature));
  EXPECT_FALSE(key->Verify(absl::StrCat(message, "x"), signature));
}

TEST(SignatureTest, Rs256OfRfc7515) {
  ASSERT_OK_AND_ASSIGN(
      const auto key,
      VerifyingKey::FromRsa(Algorithm::kRs256,
                            FromBase64Url("ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-"
                                          "4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
                                          "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
                                          "bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
                                          "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"
                                          "DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD"
                                          "TW9gb54h4FRWyuXpoQ"),
                            FromBase64Url("AQAB")));
  const std::string message = absl::StrCat("eyJhbGciOiJSUzI1NiJ9", ".",
                                           absl::WebSafeBase64Escape("{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                                                     "\"http://example.com/is_root\":true}"));
  const std::string signature = FromBase64Url(
      "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t"
      "1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--x"
      "i12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_I"
      "oypGlUPQGe77Rw");
  EXPECT_TRUE(key->Verify(message, signature));
  EXPECT_FALSE(key->Verify(absl::StrCat(message, "x"), signature));
}

// No published vector has PSS with SHA-256 over a raw message; this one was made with the OpenSSL command line.
TEST(SignatureTest, Ps256OfOpenSsl) {
  const std::string modulus = FromBase64Url(
      "4GbnOGAJA_yz619MiqqO5kAH78z1uzytCVqB_6XM0JDDGMpuX7juQK8QtH-TNEt8jpEtqs_jMen3kIaOsLMFH1rFzLykggoFndpZfCVqmbQD"
      "14LFddeDYeN_W5avhmO94kLtavtanXrhpvqSDShDnq15acgOmFgGACjvNOX107DWLNGTAB_0XZb-_gaijmwbWbxPwZnt3P8m7nGVZkKqQUAw"
      "VULy8wP91_KBWMqIILyzAU8sxVB87uFrfCTGiyMKmG8q9EKM5iUrHH9e5iLaZJetoHqO0T1KPKjPeqX6tAPg4i-pxdC9ndh92grv0xv3Kq9r"
      "Ti0SxC_ngO3JalzFzw");
  const std::string signature = FromBase64Url(
      "SbR5tko7Yw475rlOP41DG5uMYgfIBrIyF92sJ-aopx7IifBBZU05as9udV0zpG4X36S_oVYeLDYzKNTLzlU68GG-DGhYjjaMQwOVtI5ErLts"
      "r5FyktokYwXpBc3q6IE_m7oRRqbZMlkgoJw3DEGFgIVmrsncwVe-7VLM-OQsQ1r46H2GqEl1RhkBOpPFe6FN6SSSbsqccSt4JItPPqDCVI93"
      "aDCfNdj9k7xM4hDJ7yOsHf97g2My8EKU0M0CHaNqROX5t92Lv4Uw8aVwmK6LEfCPXEJqo8BTdPabANJP_jVw34qEjsko-UddxVfveZzp2V0S"
      "cKUmQm7JxoKF7SZW2Q");
  ASSERT_OK_AND_ASSIGN(const auto key, VerifyingKey::FromRsa(Algorithm::kPs256, modulus, FromBase64Url("AQAB")));
  EXPECT_TRUE(key->Verify("Bulkhead", signature));
  EXPECT_FALSE(key->Verify("bulkhead", signature));
  // The same key under the other padding: a key is bound to one algorithm.
  ASSERT_OK_AND_ASSIGN(const auto pkcs1, VerifyingKey::FromRsa(Algorithm::kRs256, modulus, FromBase64Url("AQAB")));
  EXPECT_FALSE(pkcs1->Verify("Bulkhead", signature));
}

TEST(SignatureTest, BadKeysAreRefused) {
  const auto refused = HasReason(absl::StatusCode::kInvalidArgument, "KEY_INVALID");
  EXPECT_THAT(VerifyingKey::FromEd25519(std::string(31, 'x')), refused);
  EXPECT_THAT(VerifyingKey::FromP256(std::string(32, 'x'), std::string(32, 'y')), refused) << "off the curve";
  EXPECT_THAT(VerifyingKey::FromP256(std::string(33, 'x'), std::string(32, 'y')), refused);
  EXPECT_THAT(VerifyingKey::FromRsa(Algorithm::kRs256, std::string(128, '\xFF'), "\x03"), refused) << "1024 bits";
  EXPECT_THAT(VerifyingKey::FromRsa(Algorithm::kRs256, std::string(1025, '\xFF'), "\x03"), refused) << "8200 bits";
  EXPECT_THAT(VerifyingKey::FromRsa(Algorithm::kRs256, std::string(256, '\xFF'), "\x01"), refused);
  EXPECT_THAT(VerifyingKey::FromRsa(Algorithm::kRs256, std::string(256, '\xFF'), "\x04"), refused);
  EXPECT_THAT(VerifyingKey::FromRsa(Algorithm::kEdDsa, std::string(256, '\xFF'), "\x03"), refused);
  EXPECT_THAT(SigningKey::Generate(Algorithm::kRs256), refused);
  EXPECT_THAT(SigningKey::Parse(Algorithm::kEs256, Secret(std::string(32, '\xFF'))), refused) << "above the order";
  EXPECT_THAT(SigningKey::Parse(Algorithm::kEs256, Secret(std::string(32, '\0'))), refused);
  EXPECT_THAT(SigningKey::Parse(Algorithm::kEdDsa, Secret(std::string(16, 'x'))), refused);
}

}  // namespace
}  // namespace bulkhead::crypto
