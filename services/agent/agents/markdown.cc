#include "services/agent/agents/markdown.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace bulkhead::agent::analyst {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";

// Bytes of the UTF-8 character at `at`, 0 when there is none: truncated, overlong, a surrogate.
size_t CharacterLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length == 0 || at + length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  return length;
}

// What makes the text around it run the other way, or breaks lines where one would not see it.
bool IsInvisibleControl(std::string_view character) {
  return character == "\xE2\x80\xA8" || character == "\xE2\x80\xA9" ||    // Line and paragraph separator.
         (character >= "\xE2\x80\xAA" && character <= "\xE2\x80\xAE") ||  // Embedding and override.
         (character >= "\xE2\x81\xA6" && character <= "\xE2\x81\xA9") ||  // Isolates.
         (character >= "\xC2\x80" && character <= "\xC2\x9F");            // C1.
}

// On one line, without controls, at most so many characters.
std::string Clean(std::string_view text, size_t max_length) {
  std::string clean;
  size_t count = 0;
  for (size_t i = 0; i < text.size();) {
    if (count == max_length) {
      return absl::StrCat(clean, kEllipsis);
    }
    const size_t length = CharacterLength(text, i);
    const std::string_view character = text.substr(i, std::max<size_t>(length, 1));
    if (length == 1 && absl::ascii_isspace(static_cast<unsigned char>(character[0]))) {
      clean += ' ';
    } else if (length == 0 || absl::ascii_iscntrl(static_cast<unsigned char>(character[0])) ||
               IsInvisibleControl(character)) {
      absl::StrAppend(&clean, kReplacement);
    } else {
      absl::StrAppend(&clean, character);
    }
    i += character.size();
    ++count;
  }
  return clean;
}

std::string Cell(std::string_view text) {
  std::string escaped = EscapeMarkdown(text);
  return escaped.empty() ? " " : escaped;
}

class Renderer {
 public:
  void operator()(const Paragraph& paragraph) { Add(paragraph.text.Markdown()); }

  void operator()(const Subheading& heading) { Add(absl::StrCat("### ", heading.text.Markdown())); }

  void operator()(const Bullets& bullets) {
    std::string lines;
    for (size_t i = 0; i < bullets.items.size(); ++i) {
      absl::StrAppend(&lines, i == 0 ? "" : "\n", bullets.numbered ? absl::StrCat(i + 1, ". ") : "- ",
                      bullets.items[i].Markdown());
    }
    Add(lines);
  }

  void operator()(const Grid& grid) {
    std::string lines = "|";
    for (const std::string& name : grid.header) {
      absl::StrAppend(&lines, " ", Cell(name), " |");
    }
    absl::StrAppend(&lines, "\n|");
    for (size_t i = 0; i < grid.header.size(); ++i) {
      absl::StrAppend(&lines, i < grid.text_columns ? " --- |" : " ---: |");
    }
    for (const auto& row : grid.rows) {
      absl::StrAppend(&lines, "\n|");
      for (const std::string& cell : row) {
        absl::StrAppend(&lines, " ", Cell(cell), " |");
      }
    }
    Add(lines);
  }

  // The file's name is our own.
  void operator()(const Picture& picture) {
    Add(absl::StrCat("![", EscapeMarkdown(picture.title), "](", picture.file, ")"));
  }

  void operator()(const Evidence& evidence) {
    if (evidence.statements.empty()) {
      return;
    }
    std::string code;
    for (const Statement& statement : evidence.statements) {
      absl::StrAppend(&code, code.empty() ? "" : "\n", "-- ", Clean(statement.label, 200), "\n", statement.sql, ";\n");
    }
    // A fence is ended by one that is as long: longer than any in the code.
    size_t longest = 0;
    size_t run = 0;
    for (const char c : code) {
      run = c == '`' ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    const std::string fence(std::max<size_t>(3, longest + 1), '`');
    Add(absl::StrCat("<details><summary>SQL</summary>\n\n", fence, "sql\n", code, fence, "\n\n</details>"));
  }

  std::string Take() { return std::move(text_); }
  void Add(std::string_view block) { absl::StrAppend(&text_, text_.empty() ? "" : "\n", block, "\n"); }

 private:
  std::string text_;
};

}  // namespace

std::string EscapeMarkdown(std::string_view text, size_t max_length) {
  const std::string clean = Clean(text, max_length);
  std::string escaped;
  for (size_t i = 0; i < clean.size(); ++i) {
    const char c = clean[i];
    const bool inside_word = i > 0 && i + 1 < clean.size() &&
                             absl::ascii_isalnum(static_cast<unsigned char>(clean[i - 1])) &&
                             absl::ascii_isalnum(static_cast<unsigned char>(clean[i + 1]));
    switch (c) {
      case '&':
        absl::StrAppend(&escaped, "&amp;");
        break;
      case '<':
        absl::StrAppend(&escaped, "&lt;");
        break;
      case '>':
        absl::StrAppend(&escaped, "&gt;");
        break;
      case '_':  // Between letters it is no emphasis.
        absl::StrAppend(&escaped, inside_word ? "_" : "\\_");
        break;
      case ':':  // GitHub makes links of addresses.
        absl::StrAppend(&escaped, clean.compare(i, 3, "://") == 0 ? "\\:" : ":");
        break;
      case '.':
        absl::StrAppend(
            &escaped, i >= 3 && absl::EqualsIgnoreCase(std::string_view(clean).substr(i - 3, 3), "www") ? "\\." : ".");
        break;
      case '\\':
      case '`':
      case '*':
      case '[':
      case ']':
      case '|':
      case '~':
      case '$':
      case '#':
        escaped += '\\';
        escaped += c;
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string FormatCount(int64_t count) {
  std::string digits = absl::StrCat(count);
  const size_t begin = digits[0] == '-' ? 1 : 0;
  for (size_t i = digits.size(); i > begin + 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

std::string FormatNumber(double number) {
  const double size = std::abs(number);
  if (!std::isfinite(number)) {
    return "\xE2\x80\x94";
  }
  if (size >= 1e15 || (size < 1e-4 && size > 0)) {
    return absl::StrFormat("%.3g", number);
  }
  if (size >= 99.95) {
    return FormatCount(std::llround(number));
  }
  std::string text = absl::StrFormat("%.3g", number);
  // "%g" would write 0.000123 and 99.9 as they are: no exponent in this range.
  return text == "-0" ? "0" : text;
}

std::string FormatShare(double share) {
  if (share > 0 && share < 0.0005) {
    return "<0.1%";
  }
  if (share < 1 && share >= 0.9995) {
    return ">99.9%";
  }
  return absl::StrFormat("%.1f%%", share * 100);
}

Sentence& Sentence::Say(std::string_view words) {
  spans_.push_back({Kind::kWords, std::string(words)});
  return *this;
}

Sentence& Sentence::Name(std::string_view name) {
  spans_.push_back({Kind::kName, std::string(name)});
  return *this;
}

Sentence& Sentence::Value(std::string_view text) {
  spans_.push_back({Kind::kValue, std::string(text)});
  return *this;
}

Sentence& Sentence::Append(const Sentence& other) {
  spans_.insert(spans_.end(), other.spans_.begin(), other.spans_.end());
  return *this;
}

std::string Sentence::Markdown() const {
  std::string text;
  for (const Span& span : spans_) {
    switch (span.kind) {
      case Kind::kWords:
        absl::StrAppend(&text, EscapeMarkdown(span.text, /*max_length=*/4000));
        break;
      case Kind::kName: {
        const std::string name = EscapeMarkdown(absl::StripAsciiWhitespace(span.text));
        absl::StrAppend(&text, name.empty() ? "(no name)" : absl::StrCat("**", name, "**"));
        break;
      }
      case Kind::kValue:
        absl::StrAppend(&text, "\xE2\x80\x9C", EscapeMarkdown(span.text), "\xE2\x80\x9D");
        break;
    }
  }
  return text;
}

std::string Sentence::Plain() const {
  std::string text;
  for (const Span& span : spans_) {
    const std::string clean = Clean(span.text, span.kind == Kind::kWords ? 4000 : 80);
    if (span.kind == Kind::kValue) {
      absl::StrAppend(&text, "\xE2\x80\x9C", clean, "\xE2\x80\x9D");
    } else {
      absl::StrAppend(&text, clean);
    }
  }
  return text;
}

std::string Render(const Document& document) {
  Renderer renderer;
  renderer.Add(absl::StrCat("# ", document.title.Markdown()));
  for (const Block& block : document.preface) {
    std::visit(renderer, block);
  }
  for (const Section& section : document.sections) {
    if (section.blocks.empty()) {
      continue;
    }
    renderer.Add(absl::StrCat("## ", section.title.Markdown()));
    for (const Block& block : section.blocks) {
      std::visit(renderer, block);
    }
  }
  return renderer.Take();
}

}  // namespace bulkhead::agent::analyst
