#include "services/common/crypto/roca.h"

#include <cstdint>
#include <string_view>

namespace bulkhead::crypto {
namespace {

constexpr uint32_t kGenerator = 65537;

// The odd primes below 168: the product that the library builds its primes around has all of them at every key size.
constexpr uint32_t kPrimes[] = {3,   5,   7,   11,  13,  17,  19,  23,  29,  31,  37,  41,  43,
                                47,  53,  59,  61,  67,  71,  73,  79,  83,  89,  97,  101, 103,
                                107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167};

uint32_t Remainder(std::string_view number, uint32_t divisor) {
  uint32_t remainder = 0;
  for (const char byte : number) {
    remainder = (remainder << 8 | static_cast<uint8_t>(byte)) % divisor;
  }
  return remainder;
}

bool IsPowerOfGenerator(uint32_t value, uint32_t prime) {
  uint32_t power = 1;
  do {
    if (power == value) {
      return true;
    }
    power = power * (kGenerator % prime) % prime;
  } while (power != 1);
  return false;
}

}  // namespace

bool HasRocaFingerprint(std::string_view modulus) {
  for (const uint32_t prime : kPrimes) {
    if (!IsPowerOfGenerator(Remainder(modulus, prime), prime)) {
      return false;
    }
  }
  return true;
}

}  // namespace bulkhead::crypto
