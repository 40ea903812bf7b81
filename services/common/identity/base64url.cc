#include "services/common/identity/base64url.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint32_t kNoDigit = 0x80;  // Survives the OR of several digits.

constexpr std::array<uint8_t, 256> MakeDigits() {
  std::array<uint8_t, 256> digits{};
  digits.fill(kNoDigit);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return digits;
}

constexpr std::array<uint8_t, 256> kDigits = MakeDigits();

}  // namespace

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  const size_t tail = text.size() % 4;
  if (tail == 1) {
    return std::nullopt;
  }
  std::string bytes(text.size() / 4 * 3 + (tail == 0 ? 0 : tail - 1), '\0');
  const auto digit = [](char c) { return uint32_t{kDigits[static_cast<uint8_t>(c)]}; };
  const char* in = text.data();
  char* out = bytes.data();
  uint32_t seen = 0;
  for (const char* const end = in + text.size() - tail; in != end; in += 4, out += 3) {
    const uint32_t a = digit(in[0]);
    const uint32_t b = digit(in[1]);
    const uint32_t c = digit(in[2]);
    const uint32_t d = digit(in[3]);
    seen |= a | b | c | d;
    const uint32_t group = a << 18 | b << 12 | c << 6 | d;
    out[0] = static_cast<char>(group >> 16);
    out[1] = static_cast<char>(group >> 8);
    out[2] = static_cast<char>(group);
  }
  uint32_t stray = 0;
  if (tail != 0) {
    const uint32_t a = digit(in[0]);
    const uint32_t b = digit(in[1]);
    const uint32_t c = tail == 3 ? digit(in[2]) : 0;
    seen |= a | b | c;
    out[0] = static_cast<char>(a << 2 | b >> 4);
    stray = b & 0x0F;
    if (tail == 3) {
      out[1] = static_cast<char>(b << 4 | c >> 2);
      stray = c & 0x03;
    }
  }
  if ((seen & kNoDigit) != 0 || stray != 0) {
    return std::nullopt;
  }
  return bytes;
}

}  // namespace bulkhead
