#include "services/tool/tables/text_source.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

constexpr size_t kPieceBytes = 256 << 10;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// Checks UTF-8 (RFC 3629) that arrives in pieces.
class Utf8Checker {
 public:
  // Where the first character that is wrong begins, in the whole text.
  std::optional<uint64_t> Check(std::string_view piece) {
    const void* zero = std::memchr(piece.data(), 0, piece.size());
    const size_t end =
        zero == nullptr ? piece.size() : static_cast<size_t>(static_cast<const char*>(zero) - piece.data());
    if (std::optional<uint64_t> bad = CheckBytes(piece.substr(0, end)); bad.has_value()) {
      return bad;
    }
    if (zero != nullptr) {
      return checked_ + end;
    }
    checked_ += piece.size();
    return std::nullopt;
  }

  // Where the character begins that the text ends within.
  std::optional<uint64_t> Finish() const { return following_ > 0 ? std::optional(character_) : std::nullopt; }

 private:
  std::optional<uint64_t> CheckBytes(std::string_view piece) {
    size_t i = 0;
    while (i < piece.size()) {
      if (following_ == 0) {
        i += AsciiPrefix(piece.substr(i));
        if (i == piece.size()) {
          break;
        }
        character_ = checked_ + i;
        if (!Begin(static_cast<unsigned char>(piece[i]))) {
          return character_;
        }
      } else {
        const auto byte = static_cast<unsigned char>(piece[i]);
        if (byte < least_ || byte > most_) {
          return character_;
        }
        --following_;
        least_ = 0x80;
        most_ = 0xBF;
      }
      ++i;
    }
    return std::nullopt;
  }

  static size_t AsciiPrefix(std::string_view text) {
    size_t i = 0;
    for (; i + 8 <= text.size(); i += 8) {
      uint64_t word;
      std::memcpy(&word, text.data() + i, 8);
      if ((word & 0x8080808080808080u) != 0) {
        break;
      }
    }
    while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
    }
    return i;
  }

  // What may follow a first byte: table 3-7 of the Unicode standard.
  bool Begin(unsigned char byte) {
    least_ = 0x80;
    most_ = 0xBF;
    if (byte >= 0xC2 && byte <= 0xDF) {
      following_ = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
      following_ = 2;
      least_ = byte == 0xE0 ? 0xA0 : 0x80;
      most_ = byte == 0xED ? 0x9F : 0xBF;
    } else if (byte >= 0xF0 && byte <= 0xF4) {
      following_ = 3;
      least_ = byte == 0xF0 ? 0x90 : 0x80;
      most_ = byte == 0xF4 ? 0x8F : 0xBF;
    } else {
      return false;
    }
    return true;
  }

  uint64_t checked_ = 0;    // Bytes of the pieces before this one.
  uint64_t character_ = 0;  // Where the last character beyond ASCII begins.
  int following_ = 0;       // Bytes that it still needs.
  unsigned char least_ = 0x80;
  unsigned char most_ = 0xBF;
};

// The error for the byte at `offset`: only now are lines counted.
absl::Status EncodingError(const ByteSource& source, uint64_t offset) {
  std::vector<char> buffer(kPieceBytes);
  int64_t line = 1;
  uint64_t line_start = 0;
  bool after_return = false;
  for (uint64_t position = 0; position < offset;) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), offset - position));
    ASSIGN_OR_RETURN(const size_t count, source.ReadAt(position, absl::MakeSpan(buffer).first(wanted)));
    if (count == 0) {
      break;
    }
    for (size_t i = 0; i < count; ++i) {
      const char c = buffer[i];
      if (c == '\n' || c == '\r') {
        // A carriage return and the line feed after it end one line.
        line += c == '\n' && after_return ? 0 : 1;
        line_start = position + i + 1;
      }
      after_return = c == '\r';
    }
    position += count;
  }
  char bad = 0;
  ASSIGN_OR_RETURN(const size_t count, source.ReadAt(offset, absl::MakeSpan(&bad, 1)));
  const std::string byte = absl::StrCat(offset - line_start + 1);
  const std::string problem = count == 0
                                  ? "the file ends early"
                                  : absl::StrFormat("byte %s of the line (0x%02X) begins no UTF-8 character", byte,
                                                    static_cast<unsigned int>(static_cast<unsigned char>(bad)));
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("line ", line, ": ", problem, "; save the file as UTF-8"),
                   {.domain = "bulkhead.tool",
                    .reason = "TABLE_ENCODING_INVALID",
                    .metadata = {{"line", absl::StrCat(line)}, {"byte", byte}}});
}

}  // namespace

absl::Status LineError(std::string_view reason, int64_t line, std::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("line ", line, ": ", problem),
                   {.domain = "bulkhead.tool",
                    .reason = std::string(reason),
                    .metadata = {{"line", absl::StrCat(line)}, {"problem", std::string(problem)}}});
}

absl::Status ReadText(const ByteSource& source,
                      absl::FunctionRef<absl::Status(std::string_view piece, uint64_t read)> consume) {
  std::vector<char> buffer(kPieceBytes);
  Utf8Checker checker;
  uint64_t offset = 0;
  while (true) {
    ASSIGN_OR_RETURN(const size_t count, source.ReadAt(offset, absl::MakeSpan(buffer)));
    if (count == 0) {
      const std::optional<uint64_t> bad = checker.Finish();
      return bad.has_value() ? EncodingError(source, *bad) : absl::OkStatus();
    }
    std::string_view piece(buffer.data(), count);
    if (const std::optional<uint64_t> bad = checker.Check(piece); bad.has_value()) {
      return EncodingError(source, *bad);
    }
    // A read shorter than the mark would split it; regular files do not.
    if (offset == 0 && piece.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
      piece.remove_prefix(kByteOrderMark.size());
    }
    offset += count;
    RETURN_IF_ERROR(consume(piece, offset));
  }
}

}  // namespace bulkhead::tool
