// Files of records: comma-separated values and JSON Lines.
#ifndef SERVICES_TOOL_TABLES_RECORD_READER_H_
#define SERVICES_TOOL_TABLES_RECORD_READER_H_

#include <cstdint>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "services/tool/tables/text_source.h"

namespace bulkhead::tool {

// One value of a record, as text.
struct Field {
  std::string_view text;
  bool is_string = false;  // The file says that it is text (a JSON string), so "12" is no number.
};

// Valid during the callback that receives it.
struct Record {
  int64_t line = 0;  // Where it begins, from 1.
  absl::Span<const Field> fields;
};

// Reads all records of one file, as often as asked.
class RecordReader {
 public:
  using OnRecord = absl::FunctionRef<absl::Status(const Record&)>;
  // Called after each piece with the bytes read so far; an error ends the reading.
  using OnProgress = absl::FunctionRef<absl::Status(uint64_t)>;

  virtual ~RecordReader() = default;
  virtual absl::Status Read(OnProgress on_progress, OnRecord on_record) = 0;
};

// No text may be longer: SQLite would refuse it, and memory is bounded by it.
inline constexpr size_t kMaxFieldBytes = 8 << 20;
// Nor all fields of a row together, for the same reasons.
inline constexpr size_t kMaxRowBytes = 16 << 20;

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_RECORD_READER_H_
