// JSON Lines: one JSON object a line.
#ifndef SERVICES_TOOL_TABLES_JSON_LINES_READER_H_
#define SERVICES_TOOL_TABLES_JSON_LINES_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "services/tool/tables/record_reader.h"
#include "services/tool/tables/text_source.h"

namespace bulkhead::tool {

// Blank lines are skipped. A member that is null or absent is an empty field; one that is an object
// or an array is its JSON text.
//
// Errors, each with the line in its metadata: TABLE_ENCODING_INVALID, TABLE_LINE_INVALID (not a
// JSON object, or nested deeper than kMaxJsonDepth), TABLE_FIELD_TOO_LARGE (a line or a field over
// the limit), TABLE_ROW_TOO_LARGE, TABLE_TOO_MANY_COLUMNS (both also of the names over all lines).
class JsonLinesReader : public RecordReader {
 public:
  // `source` outlives the reader.
  explicit JsonLinesReader(const ByteSource* source) : source_(source) {}

  // A record has a field for each member name seen so far, in the order of their first appearance:
  // the first reading finds them all.
  absl::Status Read(OnProgress on_progress, OnRecord on_record) override;

  const std::vector<std::string>& names() const { return names_; }

 private:
  class LineParser;
  // Where in text_ a value lies.
  struct Piece {
    size_t begin = 0;
    size_t size = 0;
  };

  absl::Status ReadLine(std::string_view line, int64_t number, OnRecord on_record);

  const ByteSource* source_;
  std::vector<std::string> names_;
  size_t names_bytes_ = 0;
  absl::flat_hash_map<std::string, size_t> index_;
  // Of one line: the values lie one after another; the fields point to them when it is complete.
  std::string text_;
  std::vector<Piece> values_;
  std::vector<Field> fields_;
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_JSON_LINES_READER_H_
