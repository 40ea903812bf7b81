// Comma-separated values: RFC 4180, with other delimiters. libcsv behind it.
#ifndef SERVICES_TOOL_TABLES_CSV_READER_H_
#define SERVICES_TOOL_TABLES_CSV_READER_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/tool/tables/record_reader.h"
#include "services/tool/tables/text_source.h"

namespace bulkhead::tool {

// The delimiter among `,` `;` tab `|` that splits the first rows of `source` into the most columns
// of equal number; a comma when none does.
absl::StatusOr<char> SniffDelimiter(const ByteSource& source);

// Lines end with LF, CRLF or CR. Fields may be quoted, and then hold delimiters, line ends, and
// quotes that are doubled. Blank lines are skipped; so are blanks around fields that are not
// quoted.
//
// Errors, each with the line in its metadata: TABLE_ENCODING_INVALID, TABLE_QUOTE_INVALID (a quote
// where none may be), TABLE_QUOTE_UNTERMINATED, TABLE_FIELD_TOO_LARGE, TABLE_ROW_TOO_LARGE,
// TABLE_TOO_MANY_COLUMNS.
class CsvReader : public RecordReader {
 public:
  // `source` outlives the reader.
  CsvReader(const ByteSource* source, char delimiter) : source_(source), delimiter_(delimiter) {}

  absl::Status Read(OnProgress on_progress, OnRecord on_record) override;

 private:
  const ByteSource* source_;
  char delimiter_;
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_CSV_READER_H_
