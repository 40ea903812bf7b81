// JSON as security-relevant documents must be read: RFC 8259 to the letter, and each member once.
#ifndef SERVICES_COMMON_IDENTITY_STRICT_JSON_H_
#define SERVICES_COMMON_IDENTITY_STRICT_JSON_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"

namespace bulkhead {

// A value of a StrictJson, which it lives no longer than.
class JsonValue {
 public:
  enum class Kind : uint8_t { kNull, kFalse, kTrue, kNumber, kString, kArray, kObject };

  Kind kind() const { return kind_; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_object() const { return kind_ == Kind::kObject; }

  // Its name in the object that it is a member of; "" elsewhere. Escapes are resolved.
  std::string_view name() const { return name_; }
  // The content of a string, with escapes resolved; the spelling of a number; else "".
  std::string_view text() const { return text_; }
  // The value of a number; nullopt for another kind, and for what no finite double holds.
  std::optional<double> number() const;

  // The member called `name` of an object; null when there is none, or this is no object.
  const JsonValue* Find(std::string_view name) const;

  // The members of an object or the elements of an array, in their order; none for other kinds.
  class Iterator {
   public:
    explicit Iterator(const JsonValue* at) : at_(at) {}
    const JsonValue& operator*() const { return *at_; }
    const JsonValue* operator->() const { return at_; }
    Iterator& operator++() {
      at_ += at_->span_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const JsonValue* at_;
  };
  Iterator begin() const { return Iterator(this + 1); }
  Iterator end() const { return Iterator(this + span_); }

 private:
  friend class StrictJson;
  std::string_view name_;
  std::string_view text_;
  uint32_t name_tag_ = 0;  // Differs only when the names differ: most comparisons end with it.
  uint32_t span_ = 1;      // How many values it has with all inside of it: they follow it in the vector.
  Kind kind_ = Kind::kNull;
};

// One parsed text. Not thread-safe while it parses, thread-safe after that.
//
// Refused are: what RFC 8259 does not allow, invalid UTF-8 and lone surrogates; a member that an object has twice, at any
// depth, as different readers take different ones (RFC 8725 section 2.6); more than 16 levels, more than 512 members or
// elements in one object or array.
class StrictJson {
 public:
  enum class Problem { kNone, kSyntax, kDuplicateMember, kTooComplex };

  StrictJson() = default;
  StrictJson(const StrictJson&) = delete;
  StrictJson& operator=(const StrictJson&) = delete;

  // To be called once; root() is valid when it returns kNone.
  Problem Parse(std::string text);
  const JsonValue& root() const { return values_.front(); }
  // The name of the member that came twice, after kDuplicateMember.
  std::string_view duplicate() const { return duplicate_; }

 private:
  void SkipSpace();
  bool Consume(char c);
  bool Fail(Problem problem);
  // Each appends one value, with all inside of it, or fails.
  bool ParseValue(std::string_view name, int depth);
  bool ParseObject(size_t index, int depth);
  bool ParseArray(size_t index, int depth);
  bool ParseString(std::string_view& content);
  bool ParseStringWithEscapes(char* out, std::string_view& content);
  bool ParseEscape(char*& out);
  bool ParseHex(uint32_t& code);
  bool ParseUtf8();
  bool ParseNumber(size_t index);
  bool ParseDigits();
  bool ParseWord(size_t index, std::string_view word, JsonValue::Kind kind);
  bool IsNew(size_t object, std::string_view name, uint32_t tag);

  std::string text_;  // Strings with escapes are decoded in place: they never get longer.
  char* at_ = nullptr;
  char* end_ = nullptr;  // A NUL stands there.
  absl::InlinedVector<JsonValue, 48> values_;
  Problem problem_ = Problem::kNone;
  std::string_view duplicate_;
};

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_STRICT_JSON_H_
