#include "services/tool/tables/column_type.h"

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/civil_time.h"

namespace bulkhead::tool {
namespace {

// Bits of TypeInference.
constexpr uint32_t kInteger = 1 << 0;
constexpr uint32_t kReal = 1 << 1;
constexpr uint32_t kIntegerComma = 1 << 2;  // With a decimal comma.
constexpr uint32_t kRealComma = 1 << 3;
constexpr uint32_t kBoolean = 1 << 4;
constexpr uint32_t kMonthFirst = 1 << 5;
constexpr uint32_t kDayFirst = 1 << 6;
constexpr uint32_t kDates = kMonthFirst | kDayFirst;
constexpr uint32_t kNumbers = kInteger | kReal | kIntegerComma | kRealComma;

constexpr uint32_t kSawTime = 1 << 0;
constexpr uint32_t kSawOtherThanMidnight = 1 << 1;
constexpr uint32_t kSawZone = 1 << 2;
constexpr uint32_t kSawNoZone = 1 << 3;
constexpr uint32_t kSawSlashDate = 1 << 4;
constexpr uint32_t kSawValue = 1 << 5;

// The longest number worth looking at; longer ones are identifiers or noise.
constexpr size_t kMaxNumberLength = 40;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A number without its thousands separators and with a decimal point, in a buffer on the stack.
class PlainNumber {
 public:
  // False when `text` is no number.
  bool Parse(std::string_view text, bool decimal_comma) {
    if (text.empty() || text.size() > kMaxNumberLength) {
      return false;
    }
    const char decimal = decimal_comma ? ',' : '.';
    const char thousands = decimal_comma ? '.' : ',';
    size_t i = 0;
    if (text[0] == '-' || text[0] == '+') {
      if (text[0] == '-') {
        buffer_[size_++] = '-';
      }
      i = 1;
    }
    const size_t digits_begin = i;
    int in_group = 0;  // Digits since the last separator.
    bool grouped = false;
    for (; i < text.size(); ++i) {
      if (IsDigit(text[i])) {
        buffer_[size_++] = text[i];
        ++in_group;
      } else if (text[i] == thousands) {
        if (in_group == 0 || in_group > 3 || (grouped && in_group != 3)) {
          return false;
        }
        grouped = true;
        in_group = 0;
      } else {
        break;
      }
    }
    if (grouped && in_group != 3) {
      return false;
    }
    const bool has_digits = i > digits_begin;
    leading_zero_ = i - digits_begin > 1 && text[digits_begin] == '0';
    if (i == text.size()) {
      return has_digits;
    }
    whole_ = false;
    bool has_fraction = false;
    if (text[i] == decimal) {
      buffer_[size_++] = '.';
      for (++i; i < text.size() && IsDigit(text[i]); ++i) {
        buffer_[size_++] = text[i];
        has_fraction = true;
      }
    }
    if (!has_digits && !has_fraction) {
      return false;
    }
    if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
      buffer_[size_++] = 'e';
      if (++i < text.size() && (text[i] == '-' || text[i] == '+')) {
        buffer_[size_++] = text[i++];
      }
      const size_t exponent = i;
      for (; i < text.size() && IsDigit(text[i]); ++i) {
        buffer_[size_++] = text[i];
      }
      if (i == exponent) {
        return false;
      }
    }
    return i == text.size();
  }

  // Written without a point or an exponent.
  bool whole() const { return whole_; }
  bool leading_zero() const { return leading_zero_; }

  std::optional<int64_t> Integer() const {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(buffer_, buffer_ + size_, value);
    return error == std::errc() && end == buffer_ + size_ ? std::optional(value) : std::nullopt;
  }

  std::optional<double> Real() const {
    double value = 0;
    const auto [end, error] = std::from_chars(buffer_, buffer_ + size_, value);
    return error == std::errc() && end == buffer_ + size_ && std::isfinite(value) ? std::optional(value) : std::nullopt;
  }

 private:
  char buffer_[kMaxNumberLength + 2];
  size_t size_ = 0;
  bool whole_ = true;
  bool leading_zero_ = false;
};

// Reads a date from left to right. Each Take leaves the text as it was when it returns false.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return text_.empty(); }
  char peek() const { return text_.empty() ? '\0' : text_.front(); }

  bool TakeNumber(int least_digits, int most_digits, int* value, int* digits = nullptr) {
    int count = 0;
    int number = 0;
    while (count < most_digits && static_cast<size_t>(count) < text_.size() && IsDigit(text_[count])) {
      number = number * 10 + (text_[count] - '0');
      ++count;
    }
    if (count < least_digits) {
      return false;
    }
    text_.remove_prefix(count);
    *value = number;
    if (digits != nullptr) {
      *digits = count;
    }
    return true;
  }

  bool TakeChar(char c) {
    if (peek() != c) {
      return false;
    }
    text_.remove_prefix(1);
    return true;
  }

  void SkipSpaces() {
    while (peek() == ' ') {
      text_.remove_prefix(1);
    }
  }

  // January, Jan, Jan. or Sept, in any case.
  bool TakeMonth(int* month) {
    static constexpr std::string_view kNames[] = {"january",   "february", "march",    "april",
                                                  "may",       "june",     "july",     "august",
                                                  "september", "october",  "november", "december"};
    size_t length = 0;
    while (length < text_.size() && absl::ascii_isalpha(static_cast<unsigned char>(text_[length]))) {
      ++length;
    }
    const std::string_view word = text_.substr(0, length);
    if (length < 3) {
      return false;
    }
    for (int i = 0; i < 12; ++i) {
      const std::string_view name = kNames[i];
      if (absl::EqualsIgnoreCase(word, name) || absl::EqualsIgnoreCase(word, name.substr(0, 3)) ||
          (i == 8 && absl::EqualsIgnoreCase(word, "sept"))) {
        text_.remove_prefix(length);
        TakeChar('.');
        *month = i + 1;
        return true;
      }
    }
    return false;
  }

  bool TakeWord(std::string_view word) {
    if (!absl::StartsWithIgnoreCase(text_, word)) {
      return false;
    }
    text_.remove_prefix(word.size());
    return true;
  }

  std::string_view TakeDigits() {
    size_t length = 0;
    while (length < text_.size() && IsDigit(text_[length])) {
      ++length;
    }
    const std::string_view digits = text_.substr(0, length);
    text_.remove_prefix(length);
    return digits;
  }

 private:
  std::string_view text_;
};

struct ParsedDate {
  int year = 0;
  int month = 0;
  int day = 0;
  bool slash = false;  // `month` and `day` are the first and the second number, in whatever order.
  bool has_time = false;
  int hour = 0;
  int minute = 0;
  int second = 0;
  std::string_view fraction;
  bool has_zone = false;
  int zone_minutes = 0;  // East of Greenwich.
};

bool IsDate(int year, int month, int day) {
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31) {
    return false;
  }
  return day <= 28 || absl::CivilDay(year, month, day).month() == month;
}

// POSIX: 69 to 99 are of the last century.
int FullYear(int year, int digits) { return digits > 2 ? year : year + (year < 69 ? 2000 : 1900); }

bool ParseTime(Scanner& scanner, ParsedDate& date) {
  if (!scanner.TakeNumber(1, 2, &date.hour) || !scanner.TakeChar(':') || !scanner.TakeNumber(2, 2, &date.minute)) {
    return false;
  }
  if (scanner.TakeChar(':')) {
    if (!scanner.TakeNumber(2, 2, &date.second)) {
      return false;
    }
    if (scanner.TakeChar('.')) {
      date.fraction = scanner.TakeDigits();
      if (date.fraction.empty() || date.fraction.size() > 9) {
        return false;
      }
    }
  }
  scanner.SkipSpaces();
  const bool morning = scanner.TakeWord("am");
  if (morning || scanner.TakeWord("pm")) {
    if (date.hour < 1 || date.hour > 12) {
      return false;
    }
    date.hour = date.hour % 12 + (morning ? 0 : 12);
  } else if (scanner.TakeWord("z") || scanner.TakeWord("utc")) {
    date.has_zone = true;
  } else if (scanner.peek() == '+' || scanner.peek() == '-') {
    const int sign = scanner.TakeChar('-') ? -1 : (scanner.TakeChar('+'), 1);
    int hours = 0;
    int minutes = 0;
    if (!scanner.TakeNumber(2, 2, &hours) || (scanner.TakeChar(':'), false)) {
      return false;
    }
    if (!scanner.done() && !scanner.TakeNumber(2, 2, &minutes)) {
      return false;
    }
    if (hours > 14 || minutes > 59) {
      return false;
    }
    date.has_zone = true;
    date.zone_minutes = sign * (hours * 60 + minutes);
  }
  // A leap second counts as the second before it.
  if (date.second == 60) {
    date.second = 59;
  }
  date.has_time = true;
  return date.hour < 24 && date.minute < 60 && date.second < 60;
}

std::optional<ParsedDate> ParseDate(std::string_view text) {
  // The shortest is 1/1/90, the longest has a long month, a fraction and a zone.
  if (text.size() < 6 || text.size() > 48) {
    return std::nullopt;
  }
  ParsedDate date;
  Scanner scanner(text);
  int first = 0;
  int digits = 0;
  if (scanner.TakeNumber(1, 4, &first, &digits)) {
    const char separator = scanner.peek();
    if (digits == 3) {
      return std::nullopt;
    }
    if (digits == 4) {
      if ((separator != '-' && separator != '/') || !scanner.TakeChar(separator)) {
        return std::nullopt;
      }
      date.year = first;
      if (!scanner.TakeNumber(1, 2, &date.month) || !scanner.TakeChar(separator) ||
          !scanner.TakeNumber(1, 2, &date.day)) {
        return std::nullopt;
      }
    } else if (separator == '/' || separator == '.' ||
               (separator == '-' && text.size() > static_cast<size_t>(digits) + 1 && IsDigit(text[digits + 1]))) {
      scanner.TakeChar(separator);
      date.slash = true;
      date.month = first;
      int year = 0;
      int year_digits = 0;
      if (!scanner.TakeNumber(1, 2, &date.day) || !scanner.TakeChar(separator) ||
          !scanner.TakeNumber(2, 4, &year, &year_digits) || year_digits == 3) {
        return std::nullopt;
      }
      date.year = FullYear(year, year_digits);
    } else {
      // 3 March 2021, 03-Mar-21.
      date.day = first;
      const bool dash = scanner.TakeChar('-');
      scanner.SkipSpaces();
      int year = 0;
      int year_digits = 0;
      if (!scanner.TakeMonth(&date.month)) {
        return std::nullopt;
      }
      if (dash) {
        if (!scanner.TakeChar('-')) {
          return std::nullopt;
        }
      } else {
        scanner.TakeChar(',');
        scanner.SkipSpaces();
      }
      if (!scanner.TakeNumber(2, 4, &year, &year_digits) || year_digits == 3) {
        return std::nullopt;
      }
      date.year = FullYear(year, year_digits);
    }
  } else if (scanner.TakeMonth(&date.month)) {
    // Mar 3, 2021.
    scanner.SkipSpaces();
    if (!scanner.TakeNumber(1, 2, &date.day)) {
      return std::nullopt;
    }
    scanner.TakeChar(',');
    scanner.SkipSpaces();
    if (!scanner.TakeNumber(4, 4, &date.year)) {
      return std::nullopt;
    }
  } else {
    return std::nullopt;
  }
  if (!date.slash && !IsDate(date.year, date.month, date.day)) {
    return std::nullopt;
  }
  if (scanner.done()) {
    return date;
  }
  if (!scanner.TakeChar('T')) {
    scanner.TakeChar(',');
    if (scanner.peek() != ' ') {
      return std::nullopt;
    }
    scanner.SkipSpaces();
  }
  if (!ParseTime(scanner, date) || !scanner.done()) {
    return std::nullopt;
  }
  return date;
}

}  // namespace

std::string_view ColumnTypeName(ColumnType type) {
  switch (type) {
    case ColumnType::kInteger:
      return "integer";
    case ColumnType::kReal:
      return "real";
    case ColumnType::kDate:
      return "date";
    case ColumnType::kDatetime:
      return "datetime";
    case ColumnType::kBoolean:
      return "boolean";
    case ColumnType::kText:
      return "text";
  }
  return "text";
}

std::optional<ColumnType> ParseColumnType(std::string_view name) {
  for (const ColumnType type : {ColumnType::kInteger, ColumnType::kReal, ColumnType::kDate, ColumnType::kDatetime,
                                ColumnType::kBoolean, ColumnType::kText}) {
    if (ColumnTypeName(type) == name) {
      return type;
    }
  }
  return std::nullopt;
}

bool IsMissing(std::string_view text) {
  if (text.size() > 4) {
    return false;
  }
  if (text.empty() || text == "-") {
    return true;
  }
  const char first = text[0];
  if (first != 'N' && first != 'n' && first != '#') {
    return false;
  }
  return text == "NA" || absl::EqualsIgnoreCase(text, "N/A") || absl::EqualsIgnoreCase(text, "#N/A") ||
         absl::EqualsIgnoreCase(text, "NULL") || absl::EqualsIgnoreCase(text, "NaN");
}

void TypeInference::Add(std::string_view text, bool is_string) {
  seen_ |= kSawValue;
  if (possible_ == 0) {
    return;
  }
  uint32_t fits = 0;
  if (!is_string && (possible_ & kNumbers) != 0) {
    for (const bool comma : {false, true}) {
      if (comma && !decimal_comma_allowed_) {
        break;
      }
      PlainNumber number;
      if (!number.Parse(text, comma) || number.leading_zero()) {
        continue;
      }
      if (number.whole()) {
        // A number too large for 64 bits is an identifier: as a real it would lose digits.
        if (number.Integer().has_value()) {
          fits |= comma ? kIntegerComma | kRealComma : kInteger | kReal;
        }
      } else if (number.Real().has_value()) {
        fits |= comma ? kRealComma : kReal;
      }
    }
  }
  if (!is_string && (possible_ & kBoolean) != 0 && ParseBoolean(text).has_value()) {
    fits |= kBoolean;
  }
  if ((possible_ & kDates) != 0) {
    if (const std::optional<ParsedDate> date = ParseDate(text); date.has_value()) {
      if (!date->slash) {
        fits |= kDates;
      } else {
        seen_ |= kSawSlashDate;
        fits |= IsDate(date->year, date->month, date->day) ? kMonthFirst : 0;
        fits |= IsDate(date->year, date->day, date->month) ? kDayFirst : 0;
      }
      if (date->has_time) {
        seen_ |= kSawTime;
        seen_ |= date->has_zone ? kSawZone : kSawNoZone;
        if (date->hour + date->minute + date->second != 0 || !date->fraction.empty()) {
          seen_ |= kSawOtherThanMidnight;
        }
      } else {
        seen_ |= kSawNoZone;
      }
    }
  }
  possible_ &= fits;
}

ColumnFormat TypeInference::Finish() const {
  ColumnFormat format;
  if ((seen_ & kSawValue) == 0 || possible_ == 0) {
    return format;
  }
  if ((possible_ & (kIntegerComma | kRealComma)) != 0) {
    // Only in files that are delimited by semicolons, where a comma in a number is its decimal one.
    format.decimal_comma = true;
    format.type = (possible_ & kIntegerComma) != 0 ? ColumnType::kInteger : ColumnType::kReal;
  } else if ((possible_ & kInteger) != 0) {
    format.type = ColumnType::kInteger;
  } else if ((possible_ & kReal) != 0) {
    format.type = ColumnType::kReal;
  } else if ((possible_ & kBoolean) != 0) {
    format.type = ColumnType::kBoolean;
  } else if ((possible_ & kDates) != 0) {
    const bool zones_differ = (seen_ & kSawZone) != 0 && (seen_ & kSawNoZone) != 0;
    if (zones_differ) {
      return format;
    }
    format.type =
        (seen_ & kSawOtherThanMidnight) != 0 || (seen_ & kSawZone) != 0 ? ColumnType::kDatetime : ColumnType::kDate;
    format.has_slash_dates = (seen_ & kSawSlashDate) != 0;
    format.day_first = (possible_ & kMonthFirst) == 0;
    format.order_assumed = format.has_slash_dates && (possible_ & kDates) == kDates;
  }
  return format;
}

std::optional<int64_t> ParseInteger(std::string_view text, bool decimal_comma) {
  PlainNumber number;
  return number.Parse(text, decimal_comma) && number.whole() ? number.Integer() : std::nullopt;
}

std::optional<double> ParseReal(std::string_view text, bool decimal_comma) {
  PlainNumber number;
  return number.Parse(text, decimal_comma) ? number.Real() : std::nullopt;
}

std::optional<bool> ParseBoolean(std::string_view text) {
  if (text.size() > 5) {
    return std::nullopt;
  }
  if (absl::EqualsIgnoreCase(text, "true") || absl::EqualsIgnoreCase(text, "yes")) {
    return true;
  }
  if (absl::EqualsIgnoreCase(text, "false") || absl::EqualsIgnoreCase(text, "no")) {
    return false;
  }
  return std::nullopt;
}

std::optional<std::string> NormalizeDate(std::string_view text, const ColumnFormat& format) {
  std::optional<ParsedDate> date = ParseDate(text);
  if (!date.has_value()) {
    return std::nullopt;
  }
  if (date->slash && format.day_first) {
    std::swap(date->month, date->day);
  }
  if (!IsDate(date->year, date->month, date->day)) {
    return std::nullopt;
  }
  if (format.type == ColumnType::kDate) {
    return absl::StrFormat("%04d-%02d-%02d", date->year, date->month, date->day);
  }
  const absl::CivilSecond utc =
      absl::CivilSecond(date->year, date->month, date->day, date->hour, date->minute, date->second) -
      int64_t{60} * date->zone_minutes;
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d%s%s%s", utc.year(), utc.month(), utc.day(), utc.hour(),
                         utc.minute(), utc.second(), date->fraction.empty() ? "" : ".", date->fraction,
                         date->has_zone ? "Z" : "");
}

}  // namespace bulkhead::tool
