// Finds RSA keys that the Infineon library made between 2012 and 2017: CVE-2017-15361, "ROCA".
#ifndef SERVICES_COMMON_CRYPTO_ROCA_H_
#define SERVICES_COMMON_CRYPTO_ROCA_H_

#include <string_view>

namespace bulkhead::crypto {

// Whether `modulus` (big-endian) has the fingerprint of Nemec et al., "The Return of Coppersmith's Attack" (CCS 2017), section 3.2: that
// library's primes are powers of 65537 modulo each of the first primes, and so is their product. Another modulus has it by
// chance once in 2^27.
bool HasRocaFingerprint(std::string_view modulus);

}  // namespace bulkhead::crypto

#endif  // SERVICES_COMMON_CRYPTO_ROCA_H_
