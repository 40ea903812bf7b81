// A document made of the report's own words and of names and values out of the data, which are kept
// apart: whatever stands in the data, it cannot act as Markdown or HTML. Pure.
#ifndef SERVICES_AGENT_AGENTS_MARKDOWN_H_
#define SERVICES_AGENT_AGENTS_MARKDOWN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace bulkhead::agent::analyst {

// `text` so that CommonMark, with GitHub's extensions, shows it as it is, on one line, at most
// `max_length` characters long. Characters of control are shown as U+FFFD.
std::string EscapeMarkdown(std::string_view text, size_t max_length = 80);

// 1234567 -> "1,234,567".
std::string FormatCount(int64_t count);
// Three significant digits, but no digit before the point is lost: "1,234,568", "0.0123", "12.3",
// "1.23e-07".
std::string FormatNumber(double number);
// 0.1234 -> "12.3%"; what is not nothing, or not all, never looks so: "<0.1%", ">99.9%".
std::string FormatShare(double share);

// Prose.
class Sentence {
 public:
  Sentence() = default;
  Sentence(std::string_view words) { Say(words); }    // NOLINT: a sentence is mostly words.
  Sentence(const std::string& words) { Say(words); }  // NOLINT
  Sentence(const char* words) { Say(words); }         // NOLINT

  Sentence& Say(std::string_view words);   // The report's own.
  Sentence& Name(std::string_view name);   // Of a column, a table, a file.
  Sentence& Value(std::string_view text);  // Out of the data.
  Sentence& Append(const Sentence& other);

  bool empty() const { return spans_.empty(); }
  // Whether they say the same, of which only a beginning may be shown: long names and values are cut.
  friend bool operator==(const Sentence&, const Sentence&) = default;
  std::string Markdown() const;
  std::string Plain() const;

 private:
  enum class Kind { kWords, kName, kValue };
  struct Span {
    Kind kind;
    std::string text;
    friend bool operator==(const Span&, const Span&) = default;
  };
  std::vector<Span> spans_;
};

struct Paragraph {
  Sentence text;
};

struct Bullets {
  std::vector<Sentence> items;
  bool numbered = false;
};

struct Grid {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // Plain text.
  size_t text_columns = 1;                     // The first ones; the others are numbers, and stand to the right.
};

struct Picture {
  std::string title;
  std::string file;  // Beside the document.
};

struct Statement {
  std::string label;
  std::string sql;
};

// The statements behind the numbers above them, folded away.
struct Evidence {
  std::vector<Statement> statements;
};

struct Subheading {
  Sentence text;
};

using Block = std::variant<Paragraph, Bullets, Grid, Picture, Evidence, Subheading>;

struct Section {
  Sentence title;
  std::vector<Block> blocks;
};

struct Document {
  Sentence title;
  std::vector<Block> preface;
  std::vector<Section> sections;  // Those without blocks are left out.
};

std::string Render(const Document& document);

}  // namespace bulkhead::agent::analyst

#endif  // SERVICES_AGENT_AGENTS_MARKDOWN_H_
