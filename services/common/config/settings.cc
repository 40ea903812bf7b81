#include "services/common/config/settings.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace bulkhead::config {
namespace {

// Reads characters and counts the lines that have gone by.
class LineCountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineCountingIterator(const char* at, int* line) : at_(at), line_(line) {}
  const char& operator*() const { return *at_; }
  LineCountingIterator& operator++() {
    *line_ += *at_ == '\n' ? 1 : 0;
    ++at_;
    return *this;
  }
  LineCountingIterator operator++(int) {
    LineCountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const LineCountingIterator& a, const LineCountingIterator& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  int* line_;
};

// Receives the parser's events.
class Flattener : public nlohmann::json_sax<nlohmann::json> {
 public:
  Flattener(JsonSettings& out, const int& line) : out_(out), line_(line) {}

  bool null() override { return Add({.kind = RawValue::Kind::kNull, .text = "null"}); }
  bool boolean(bool value) override { return Add({.kind = RawValue::Kind::kBool, .text = value ? "true" : "false"}); }
  bool number_integer(int64_t value) override {
    return Add({.kind = RawValue::Kind::kNumber, .text = absl::StrCat(value)});
  }
  bool number_unsigned(uint64_t value) override {
    return Add({.kind = RawValue::Kind::kNumber, .text = absl::StrCat(value)});
  }
  bool number_float(double, const std::string& text) override {
    return Add({.kind = RawValue::Kind::kNumber, .text = text});
  }
  bool string(std::string& value) override { return Add({.kind = RawValue::Kind::kString, .text = value}); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // JSON text has none.

  bool start_object(std::size_t) override {
    if (!open_.empty()) {
      open_.push_back({.kind = RawValue::Kind::kObject, .name = std::exchange(member_, ""), .line = line_});
      return true;
    }
    if (path_.empty() && seen_root_) {
      return false;
    }
    seen_root_ = true;
    path_.push_back("");
    return true;
  }
  bool key(std::string& name) override {
    if (!open_.empty()) {
      member_ = name;
      member_line_ = line_;
      return true;
    }
    path_.back() = name;
    key_line_ = line_;
    if (!keys_.insert(Path()).second) {
      out_.duplicates.push_back({.path = Path(), .line = key_line_});
    }
    return true;
  }
  bool end_object() override {
    if (!open_.empty()) {
      return Close();
    }
    path_.pop_back();
    return true;
  }
  bool start_array(std::size_t) override {
    open_.push_back({.kind = RawValue::Kind::kList, .name = std::exchange(member_, ""), .line = line_});
    return true;
  }
  bool end_array() override { return Close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 2, column 3: syntax error while ..."
    std::string_view what = error.what();
    size_t colon = what.find(": ");
    out_.error = std::string(colon == std::string_view::npos ? what : what.substr(colon + 2));
    out_.error_line = line_;
    return false;
  }

 private:
  std::string Path() const {
    std::string path;
    for (const std::string& key : path_) {
      absl::StrAppend(&path, path.empty() ? "" : ".", key);
    }
    return path;
  }

  bool Add(RawValue value) {
    if (!open_.empty()) {
      // The parser has read on beyond a number, perhaps to the next line; not so beyond a key.
      value.line = member_.empty() ? line_ : member_line_;
      value.name = std::exchange(member_, "");
      open_.back().items.push_back(std::move(value));
      return true;
    }
    if (path_.empty()) {
      out_.error = "the whole must be one object";
      out_.error_line = line_;
      return false;
    }
    out_.settings.push_back({.path = Path(), .value = std::move(value), .line = key_line_});
    return true;
  }

  // Ends the innermost list, or object within one.
  bool Close() {
    RawValue closed = std::move(open_.back());
    open_.pop_back();
    if (!open_.empty()) {
      open_.back().items.push_back(std::move(closed));
      return true;
    }
    return Add(std::move(closed));
  }

  JsonSettings& out_;
  const int& line_;
  std::vector<std::string> path_;  // A key for each open object.
  std::set<std::string> keys_;
  bool seen_root_ = false;
  int key_line_ = 0;
  std::vector<RawValue> open_;  // From the outermost list inwards.
  std::string member_;          // The key whose value comes next, in an object within a list.
  int member_line_ = 0;
};

}  // namespace

JsonSettings ParseJsonSettings(std::string_view text) {
  JsonSettings result;
  int line = 1;
  Flattener flattener(result, line);
  nlohmann::json::sax_parse(LineCountingIterator(text.data(), &line),
                            LineCountingIterator(text.data() + text.size(), &line), &flattener);
  return result;
}

}  // namespace bulkhead::config
