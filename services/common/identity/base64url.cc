#include "services/common/identity/base64url.h"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace bulkhead {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint32_t kNoDigit = uint32_t{1} << 31;  // Survives the OR of several digits.

// What a character stands for, shifted to its place in a group of four: the digits of a group are looked up and joined without more arithmetic.
using Digits = std::array<uint32_t, 256>;
constexpr Digits MakeDigits(int shift) {
  Digits digits{};
  digits.fill(kNoDigit);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    digits[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint32_t>(i) << shift;
  }
  return digits;
}
constexpr Digits kFirst = MakeDigits(18);
constexpr Digits kSecond = MakeDigits(12);
constexpr Digits kThird = MakeDigits(6);
constexpr Digits kFourth = MakeDigits(0);

uint32_t Look(const Digits& digits, char c) { return digits[static_cast<uint8_t>(c)]; }

// Four characters as 24 bits.
uint32_t Group(const char* in) {
  return Look(kFirst, in[0]) | Look(kSecond, in[1]) | Look(kThird, in[2]) | Look(kFourth, in[3]);
}

// `value` so that its highest byte comes first in memory.
uint32_t BigEndian(uint32_t value) {
  if constexpr (std::endian::native == std::endian::big) {
    return value;
  }
  return value >> 24 | (value >> 8 & 0xFF00) | (value << 8 & 0xFF0000) | value << 24;
}

}  // namespace

std::optional<size_t> DecodeBase64Url(std::string_view text, absl::Span<char> buffer) {
  const size_t tail = text.size() % 4;
  const size_t size = text.size() / 4 * 3 + (tail == 0 ? 0 : tail - 1);
  if (tail == 1 || buffer.size() < size) {
    return std::nullopt;
  }
  const char* in = text.data();
  char* out = buffer.data();
  uint32_t seen = 0;
  const char* const end = in + text.size() - tail;
  // All but the last group: one store of four bytes, the last of which the next group writes over.
  for (; end - in > 4; in += 4, out += 3) {
    const uint32_t group = Group(in);
    seen |= group;
    const uint32_t bytes = BigEndian(group << 8);
    std::memcpy(out, &bytes, sizeof(bytes));
  }
  if (in != end) {
    const uint32_t group = Group(in);
    seen |= group;
    out[0] = static_cast<char>(group >> 16);
    out[1] = static_cast<char>(group >> 8);
    out[2] = static_cast<char>(group);
    in += 4;
    out += 3;
  }
  if (tail != 0) {
    const uint32_t group = Look(kFirst, in[0]) | Look(kSecond, in[1]) | (tail == 3 ? Look(kThird, in[2]) : uint32_t{0});
    const uint32_t stray = group & (tail == 3 ? 0xFF : 0xFFFF);
    seen |= stray != 0 ? kNoDigit : group;
    out[0] = static_cast<char>(group >> 16);
    if (tail == 3) {
      out[1] = static_cast<char>(group >> 8);
    }
  }
  if ((seen & kNoDigit) != 0) {
    return std::nullopt;
  }
  return size;
}

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes(text.size() / 4 * 3 + 3, '\0');
  const std::optional<size_t> size = DecodeBase64Url(text, absl::MakeSpan(bytes.data(), bytes.size()));
  if (!size.has_value()) {
    return std::nullopt;
  }
  bytes.resize(*size);
  return bytes;
}

}  // namespace bulkhead
