// What the values of a column are: found over all of them, then each is converted.
#ifndef SERVICES_TOOL_TABLES_COLUMN_TYPE_H_
#define SERVICES_TOOL_TABLES_COLUMN_TYPE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::tool {

enum class ColumnType { kInteger, kReal, kDate, kDatetime, kBoolean, kText };

// "integer", "real", "date", "datetime", "boolean", "text".
std::string_view ColumnTypeName(ColumnType type);
std::optional<ColumnType> ParseColumnType(std::string_view name);

// How the numbers and dates of a column are written.
struct ColumnFormat {
  ColumnType type = ColumnType::kText;
  bool day_first = false;      // 03/04/2021 is in April.
  bool order_assumed = false;  // Every such date would be one in either order.
  bool has_slash_dates = false;
  bool decimal_comma = false;  // 1.234,5
};

// True for what stands for a missing value: nothing, NA, N/A, #N/A, null, NaN, and a dash.
bool IsMissing(std::string_view text);

// Looks at each value of a column and then tells what fits them all. Text, when nothing else does:
// never a guess that loses something.
//
// - integer: up to 64 bits; with thousands separators or not; a leading zero (a code, as in
// "00501") makes text;
// - real: also with an exponent; a column of whole and other numbers is real. With decimal commas
// when the file's delimiter is a semicolon;
// - boolean: true/false, yes/no;
// - date: 2021-03-04, 2021/03/04, 3/4/2021 (also with - or . and with two digits of the year; month
// or day first as the values allow, month if they
//   allow both), Mar 3, 2021, 3 March 2021, 03-Mar-21;
// - datetime: a date, and a time as 5:06, 05:06:07.5, 5:06 PM, perhaps with Z or +01:00 (all or
// none). Midnight in every value: a date.
class TypeInference {
 public:
  explicit TypeInference(bool decimal_comma) : decimal_comma_allowed_(decimal_comma) {}

  // `text` is not missing.
  void Add(std::string_view text, bool is_string);
  ColumnFormat Finish() const;

 private:
  bool decimal_comma_allowed_;
  // What every value so far can be.
  uint32_t possible_ = ~uint32_t{0};
  // What some value was.
  uint32_t seen_ = 0;
};

std::optional<int64_t> ParseInteger(std::string_view text, bool decimal_comma);
std::optional<double> ParseReal(std::string_view text, bool decimal_comma);
std::optional<bool> ParseBoolean(std::string_view text);
// ISO 8601: 2021-03-04, or 2021-03-04T05:06:07 for a datetime column; in UTC, with Z, when `text`
// has a zone.
std::optional<std::string> NormalizeDate(std::string_view text, const ColumnFormat& format);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_COLUMN_TYPE_H_
