#ifndef TOOLS_SMOKE_BORINGSSL_PRIMITIVES_H_
#define TOOLS_SMOKE_BORINGSSL_PRIMITIVES_H_

#include <string>

namespace bulkhead::smoke {

struct KeyAndCertificate {
  std::string key_pem;
  std::string certificate_pem;
};

// A P-256 key and a self-signed certificate for "localhost", made by BoringSSL.
KeyAndCertificate MakeSelfSigned();

// Runs Ed25519, ECDSA P-256, HMAC and scrypt of BoringSSL against known answers. Returns what failed, or nothing.
std::string CheckPrimitives();

}  // namespace bulkhead::smoke

#endif  // TOOLS_SMOKE_BORINGSSL_PRIMITIVES_H_
