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
    if (lists_ > 0) {
      ++objects_in_list_;
      return Add({.kind = RawValue::Kind::kObject, .text = "{...}"});
    }
    if (path_.empty() && seen_root_) {
      return false;
    }
    seen_root_ = true;
    path_.push_back("");
    return true;
  }
  bool key(std::string& name) override {
    if (objects_in_list_ > 0) {
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
    if (objects_in_list_ > 0) {
      --objects_in_list_;
    } else {
      path_.pop_back();
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (lists_++ == 0) {
      list_ = {.kind = RawValue::Kind::kList};
    }
    return true;
  }
  bool end_array() override {
    if (--lists_ > 0) {
      return Add({.kind = RawValue::Kind::kList});
    }
    return Add(std::exchange(list_, {}));
  }
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
    if (lists_ > 0) {
      if (objects_in_list_ == 0 || value.kind == RawValue::Kind::kObject) {
        list_.items.push_back(std::move(value));
      }
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

  JsonSettings& out_;
  const int& line_;
  std::vector<std::string> path_;  // A key for each open object.
  std::set<std::string> keys_;
  bool seen_root_ = false;
  int key_line_ = 0;
  int lists_ = 0;
  int objects_in_list_ = 0;
  RawValue list_;
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
