#include "services/common/identity/strict_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/charconv.h"

namespace bulkhead {
namespace {

constexpr int kMaxDepth = 16;
constexpr uint32_t kMaxChildren = 512;
constexpr size_t kExactDigits = 15;  // So many decimal digits fit into a double's integers, and an int64.

// The length and the first bytes of a name. Put together in a register: copied byte by byte to memory they would have to be waited for.
uint32_t TagOf(std::string_view name) {
  const auto byte = [&](size_t i) { return i < name.size() ? uint32_t{static_cast<uint8_t>(name[i])} : 0; };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | static_cast<uint8_t>(name.size());
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Neither a quote, nor an escape, nor a control character, nor beyond ASCII.
constexpr std::array<bool, 256> MakePlain() {
  std::array<bool, 256> plain{};
  for (size_t c = 0x20; c < 0x80; ++c) {
    plain[c] = c != '"' && c != '\\';
  }
  return plain;
}
constexpr std::array<bool, 256> kPlain = MakePlain();
bool IsPlain(char c) { return kPlain[static_cast<unsigned char>(c)]; }

char* AppendUtf8(uint32_t code, char* out) {
  if (code < 0x80) {
    *out++ = static_cast<char>(code);
    return out;
  }
  if (code < 0x800) {
    *out++ = static_cast<char>(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      *out++ = static_cast<char>(0xE0 | code >> 12);
    } else {
      *out++ = static_cast<char>(0xF0 | code >> 18);
      *out++ = static_cast<char>(0x80 | (code >> 12 & 0x3F));
    }
    *out++ = static_cast<char>(0x80 | (code >> 6 & 0x3F));
  }
  *out++ = static_cast<char>(0x80 | (code & 0x3F));
  return out;
}

}  // namespace

std::optional<double> JsonValue::number() const {
  if (kind_ != Kind::kNumber) {
    return std::nullopt;
  }
  if (text_.size() <= kExactDigits) {
    int64_t digits = 0;
    const char* at = text_.data();
    const char* const end = at + text_.size();
    while (at != end && IsDigit(*at)) {
      digits = digits * 10 + (*at++ - '0');
    }
    if (at == end) {
      return static_cast<double>(digits);
    }
  }
  double value = 0;
  const absl::from_chars_result result = absl::from_chars(text_.data(), text_.data() + text_.size(), value);
  if (result.ec != std::errc() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

const JsonValue* JsonValue::Find(std::string_view name) const {
  if (!is_object()) {
    return nullptr;
  }
  const uint32_t tag = TagOf(name);
  for (const JsonValue& member : *this) {
    if (member.name_tag_ == tag && member.name_ == name) {
      return &member;
    }
  }
  return nullptr;
}

StrictJson::Problem StrictJson::Parse(std::string text) {
  text_ = std::move(text);
  at_ = text_.data();
  end_ = at_ + text_.size();
  SkipSpace();
  if (ParseValue(/*name=*/"", /*depth=*/0)) {
    SkipSpace();
    if (at_ != end_) {
      Fail(Problem::kSyntax);
    }
  }
  return problem_;
}

void StrictJson::SkipSpace() {
  if (static_cast<unsigned char>(*at_) > ' ') {
    return;  // As nearly always: one comparison instead of four.
  }
  while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') {
    ++at_;
  }
}

// The NUL at the end is never asked for, so that no character is read beyond it.
bool StrictJson::Consume(char c) {
  if (*at_ != c) {
    return false;
  }
  ++at_;
  return true;
}

bool StrictJson::Fail(Problem problem) {
  if (problem_ == Problem::kNone) {
    problem_ = problem;
  }
  return false;
}

bool StrictJson::ParseValue(std::string_view name, int depth) {
  const size_t index = values_.size();
  JsonValue& value = values_.emplace_back();
  value.name_ = name;
  value.name_tag_ = TagOf(name);
  switch (*at_) {
    case '"':
      value.kind_ = JsonValue::Kind::kString;
      return ParseString(value.text_);
    case '{':
      return ParseObject(index, depth + 1);
    case '[':
      return ParseArray(index, depth + 1);
    case 't':
      return ParseWord(index, "true", JsonValue::Kind::kTrue);
    case 'f':
      return ParseWord(index, "false", JsonValue::Kind::kFalse);
    case 'n':
      return ParseWord(index, "null", JsonValue::Kind::kNull);
    default:
      return ParseNumber(index);
  }
}

bool StrictJson::ParseObject(size_t index, int depth) {
  if (depth > kMaxDepth) {
    return Fail(Problem::kTooComplex);
  }
  ++at_;
  values_[index].kind_ = JsonValue::Kind::kObject;
  SkipSpace();
  uint32_t members = 0;
  uint64_t seen = 0;  // A bit for each name, which several may share: only then is it looked for among those before.
  if (!Consume('}')) {
    do {
      SkipSpace();
      std::string_view name;
      if (*at_ != '"') {
        return Fail(Problem::kSyntax);
      }
      if (!ParseString(name)) {
        return false;
      }
      if (++members > kMaxChildren) {
        return Fail(Problem::kTooComplex);
      }
      const uint32_t tag = TagOf(name);
      const uint64_t bit = uint64_t{1} << (tag * 0x9E3779B1u >> 26);
      if ((seen & bit) != 0) {
        values_[index].span_ = static_cast<uint32_t>(values_.size() - index);
        if (!IsNew(index, name, tag)) {
          duplicate_ = name;
          return Fail(Problem::kDuplicateMember);
        }
      }
      seen |= bit;
      SkipSpace();
      if (!Consume(':')) {
        return Fail(Problem::kSyntax);
      }
      SkipSpace();
      if (!ParseValue(name, depth)) {
        return false;
      }
      SkipSpace();
    } while (Consume(','));
    if (!Consume('}')) {
      return Fail(Problem::kSyntax);
    }
  }
  values_[index].span_ = static_cast<uint32_t>(values_.size() - index);
  return true;
}

bool StrictJson::IsNew(size_t object, std::string_view name, uint32_t tag) {
  for (const JsonValue& member : values_[object]) {
    if (member.name_tag_ == tag && member.name_ == name) {
      return false;
    }
  }
  return true;
}

bool StrictJson::ParseArray(size_t index, int depth) {
  if (depth > kMaxDepth) {
    return Fail(Problem::kTooComplex);
  }
  ++at_;
  values_[index].kind_ = JsonValue::Kind::kArray;
  SkipSpace();
  uint32_t elements = 0;
  if (!Consume(']')) {
    do {
      SkipSpace();
      if (++elements > kMaxChildren) {
        return Fail(Problem::kTooComplex);
      }
      if (!ParseValue(/*name=*/"", depth)) {
        return false;
      }
      SkipSpace();
    } while (Consume(','));
    if (!Consume(']')) {
      return Fail(Problem::kSyntax);
    }
  }
  values_[index].span_ = static_cast<uint32_t>(values_.size() - index);
  return true;
}

bool StrictJson::ParseString(std::string_view& content) {
  char* const begin = ++at_;
  while (true) {
    char* at = at_;  // Where the compiler can keep it in a register.
    while (IsPlain(*at)) {
      ++at;
    }
    at_ = at;
    if (*at_ == '"') {
      content = std::string_view(begin, at_ - begin);
      ++at_;
      return true;
    }
    if (*at_ == '\\') {
      content = std::string_view(begin, at_ - begin);
      return ParseStringWithEscapes(at_, content);
    }
    if (!ParseUtf8()) {
      return Fail(Problem::kSyntax);
    }
  }
}

// `content` is what came before the first escape, where `out` is too.
bool StrictJson::ParseStringWithEscapes(char* out, std::string_view& content) {
  const char* const begin = content.data();
  while (true) {
    if (*at_ == '"') {
      content = std::string_view(begin, out - begin);
      ++at_;
      return true;
    }
    if (*at_ == '\\') {
      ++at_;
      if (!ParseEscape(out)) {
        return Fail(Problem::kSyntax);
      }
      continue;
    }
    char* const from = at_;
    if (IsPlain(*at_)) {
      ++at_;
    } else if (!ParseUtf8()) {
      return Fail(Problem::kSyntax);
    }
    out = std::copy(from, at_, out);
  }
}

// What follows a backslash. A `\uXXXX` has at least as many bytes as what it stands for in UTF-8.
bool StrictJson::ParseEscape(char*& out) {
  const char escape = *at_++;
  switch (escape) {
    case '"':
    case '\\':
    case '/':
      *out++ = escape;
      return true;
    case 'b':
      *out++ = '\b';
      return true;
    case 'f':
      *out++ = '\f';
      return true;
    case 'n':
      *out++ = '\n';
      return true;
    case 'r':
      *out++ = '\r';
      return true;
    case 't':
      *out++ = '\t';
      return true;
    case 'u': {
      uint32_t code = 0;
      if (!ParseHex(code) || (code >= 0xDC00 && code <= 0xDFFF)) {
        return false;
      }
      if (code >= 0xD800 && code <= 0xDBFF) {
        uint32_t low = 0;
        if (!Consume('\\') || !Consume('u') || !ParseHex(low) || low < 0xDC00 || low > 0xDFFF) {
          return false;
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
      out = AppendUtf8(code, out);
      return true;
    }
    default:
      --at_;  // It may have been the NUL at the end.
      return false;
  }
}

bool StrictJson::ParseHex(uint32_t& code) {
  for (int i = 0; i < 4; ++i) {
    const char c = *at_;
    uint32_t digit = 0;
    if (IsDigit(c)) {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return false;
    }
    code = code << 4 | digit;
    ++at_;
  }
  return true;
}

// One character beyond ASCII, well-formed as table 3-7 of the Unicode Standard has it.
bool StrictJson::ParseUtf8() {
  const auto byte = [this](int i) { return static_cast<unsigned char>(at_[i]); };
  const unsigned char first = byte(0);
  int length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    low = first == 0xE0 ? 0xA0 : 0x80;
    high = first == 0xED ? 0x9F : 0xBF;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    low = first == 0xF0 ? 0x90 : 0x80;
    high = first == 0xF4 ? 0x8F : 0xBF;
  } else {
    return false;
  }
  for (int i = 1; i < length; ++i) {  // The NUL at the end ends it too.
    if (byte(i) < low || byte(i) > high) {
      return false;
    }
    low = 0x80;
    high = 0xBF;
  }
  at_ += length;
  return true;
}

bool StrictJson::ParseDigits() {
  if (!IsDigit(*at_)) {
    return Fail(Problem::kSyntax);
  }
  while (IsDigit(*at_)) {
    ++at_;
  }
  return true;
}

bool StrictJson::ParseNumber(size_t index) {
  const char* const begin = at_;
  Consume('-');
  if (!Consume('0') && !ParseDigits()) {
    return false;
  }
  if (Consume('.') && !ParseDigits()) {
    return false;
  }
  if (*at_ == 'e' || *at_ == 'E') {
    ++at_;
    if (*at_ == '+' || *at_ == '-') {
      ++at_;
    }
    if (!ParseDigits()) {
      return false;
    }
  }
  values_[index].kind_ = JsonValue::Kind::kNumber;
  values_[index].text_ = std::string_view(begin, at_ - begin);
  return true;
}

bool StrictJson::ParseWord(size_t index, std::string_view word, JsonValue::Kind kind) {
  if (std::string_view(at_, end_ - at_).substr(0, word.size()) != word) {
    return Fail(Problem::kSyntax);
  }
  at_ += word.size();
  values_[index].kind_ = kind;
  return true;
}

}  // namespace bulkhead
