// Any bytes are read, or refused with the line of the fault; and what the inference says of a
// column holds for each of its values.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "services/common/status/error.h"
#include "services/tool/tables/column_type.h"
#include "services/tool/tables/csv_reader.h"
#include "services/tool/tables/json_lines_reader.h"
#include "services/tool/tables/record_reader.h"
#include "services/tool/tables/text_source.h"

namespace bulkhead::tool {
namespace {

class Bytes : public ByteSource {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint64_t size() const override { return size_; }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> buffer) const override {
    const size_t left = offset < size_ ? size_ - static_cast<size_t>(offset) : 0;
    const size_t count = std::min(buffer.size(), left);
    if (count > 0) {
      std::memcpy(buffer.data(), data_ + offset, count);
    }
    return count;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

void Check(bool holds) {
  if (!holds) {
    std::abort();
  }
}

bool Converts(const std::string& text, const ColumnFormat& format) {
  switch (format.type) {
    case ColumnType::kInteger:
      return ParseInteger(text, format.decimal_comma).has_value();
    case ColumnType::kReal:
      return ParseReal(text, format.decimal_comma).has_value();
    case ColumnType::kBoolean:
      return ParseBoolean(text).has_value();
    case ColumnType::kDate:
    case ColumnType::kDatetime:
      return NormalizeDate(text, format).has_value();
    case ColumnType::kText:
      return true;
  }
  return false;
}

void ReadAll(RecordReader& reader, bool decimal_comma) {
  std::vector<std::vector<std::string>> columns;
  std::vector<TypeInference> inference;
  const absl::Status status = reader.Read([](uint64_t) { return absl::OkStatus(); },
                                          [&](const Record& record) {
                                            for (size_t i = 0; i < record.fields.size(); ++i) {
                                              if (i == columns.size()) {
                                                columns.emplace_back();
                                                inference.emplace_back(decimal_comma);
                                              }
                                              const Field& field = record.fields[i];
                                              if (!IsMissing(field.text)) {
                                                columns[i].emplace_back(field.text);
                                                inference[i].Add(field.text, field.is_string);
                                              }
                                            }
                                            return absl::OkStatus();
                                          });
  Check(status.ok() || ErrorInfoOf(status)->metadata.contains("line"));
  for (size_t i = 0; i < columns.size(); ++i) {
    const ColumnFormat format = inference[i].Finish();
    for (const std::string& text : columns[i]) {
      Check(Converts(text, format));
    }
  }
}

}  // namespace
}  // namespace bulkhead::tool

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bulkhead::tool;  // NOLINT: the entry has to stand outside of the namespace.
  const Bytes source(data, size);
  const absl::StatusOr<char> delimiter = SniffDelimiter(source);
  Check(delimiter.ok());
  CsvReader csv(&source, *delimiter);
  ReadAll(csv, /*decimal_comma=*/*delimiter == ';');
  JsonLinesReader json_lines(&source);
  ReadAll(json_lines, /*decimal_comma=*/false);
  return 0;
}
