#include "services/tool/tables/csv_reader.h"

#include <csv.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "services/common/status/macros.h"
#include "services/common/storage/user_database.h"

namespace bulkhead::tool {
namespace {

// libcsv grows the buffer of one field through this, and reports CSV_ENOMEM when it gets none.
void* ReallocateBounded(void* memory, size_t size) {
  return size > kMaxFieldBytes ? nullptr : std::realloc(memory, size);
}

// Collects what libcsv reports into rows.
class RowCollector {
 public:
  RowCollector(size_t max_fields, RecordReader::OnRecord on_record) : max_fields_(max_fields), on_record_(on_record) {}

  static void OnField(void* text, size_t size, void* self) {
    static_cast<RowCollector*>(self)->AddField(std::string_view(static_cast<const char*>(text), size));
  }
  static void OnRowEnd(int terminator, void* self) { static_cast<RowCollector*>(self)->EndRow(terminator); }

  const absl::Status& status() const { return status_; }
  // Where the row that is being read begins.
  int64_t line() const { return line_; }
  // Lines that end within the fields of the row so far.
  int64_t lines_inside() const { return lines_inside_; }

 private:
  // libcsv cannot be stopped within a piece: after an error nothing more is kept.
  void AddField(std::string_view text) {
    if (!status_.ok()) {
      return;
    }
    if (ends_.size() == max_fields_) {
      status_ = LineError("TABLE_TOO_MANY_COLUMNS", line_, absl::StrCat("more than ", max_fields_, " columns"));
      return;
    }
    if (text_.size() + text.size() > kMaxRowBytes) {
      status_ = LineError("TABLE_ROW_TOO_LARGE", line_,
                          absl::StrCat("the row is longer than ", kMaxRowBytes, " bytes; is a quote missing?"));
      return;
    }
    ends_.push_back(text_.size() + text.size());
    text_.append(text);
    if (text.find('\n') != std::string_view::npos) {
      lines_inside_ += std::count(text.begin(), text.end(), '\n');
    }
    row_ended_by_return_ = false;
  }

  void EndRow(int terminator) {
    if (!status_.ok()) {
      return;
    }
    if (ends_.empty()) {
      // The line feed after a carriage return, or a blank line.
      line_ += terminator == '\n' && row_ended_by_return_ ? 0 : 1;
      row_ended_by_return_ = terminator == '\r';
      return;
    }
    fields_.clear();
    size_t begin = 0;
    for (const size_t end : ends_) {
      fields_.push_back({.text = std::string_view(text_).substr(begin, end - begin)});
      begin = end;
    }
    status_ = on_record_({.line = line_, .fields = fields_});
    text_.clear();
    ends_.clear();
    line_ += 1 + lines_inside_;
    lines_inside_ = 0;
    row_ended_by_return_ = terminator == '\r';
  }

  const size_t max_fields_;
  RecordReader::OnRecord on_record_;
  absl::Status status_;
  int64_t line_ = 1;
  int64_t lines_inside_ = 0;
  bool row_ended_by_return_ = false;
  // The fields of a row lie one after another; the views are made when it is complete.
  std::string text_;
  std::vector<size_t> ends_;
  std::vector<Field> fields_;
};

class Parser {
 public:
  explicit Parser(char delimiter) {
    csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL);
    csv_set_delim(&parser_, static_cast<unsigned char>(delimiter));
    csv_set_blk_size(&parser_, 4096);
    csv_set_realloc_func(&parser_, ReallocateBounded);
  }
  ~Parser() { csv_free(&parser_); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  absl::Status Parse(std::string_view piece, RowCollector& rows) {
    const size_t used =
        csv_parse(&parser_, piece.data(), piece.size(), RowCollector::OnField, RowCollector::OnRowEnd, &rows);
    RETURN_IF_ERROR(rows.status());
    if (used == piece.size()) {
      return absl::OkStatus();
    }
    const int64_t line = rows.line() + rows.lines_inside();
    if (csv_error(&parser_) != CSV_EPARSE) {
      return LineError("TABLE_FIELD_TOO_LARGE", line,
                       absl::StrCat("a field is longer than ", kMaxFieldBytes, " bytes; is a quote missing?"));
    }
    return LineError("TABLE_QUOTE_INVALID", line,
                     "a quote stands where none may: quote the whole field, and double the quotes in it");
  }

  absl::Status Finish(RowCollector& rows) {
    const int64_t line = rows.line() + rows.lines_inside();
    if (csv_fini(&parser_, RowCollector::OnField, RowCollector::OnRowEnd, &rows) != 0) {
      return LineError("TABLE_QUOTE_UNTERMINATED", line, "a quoted field begins here and never ends");
    }
    return rows.status();
  }

 private:
  csv_parser parser_;
};

}  // namespace

absl::Status CsvReader::Read(OnProgress on_progress, OnRecord on_record) {
  RowCollector rows(storage::kMaxTableColumns, on_record);
  Parser parser(delimiter_);
  RETURN_IF_ERROR(ReadText(*source_, [&](std::string_view piece, uint64_t read) {
    RETURN_IF_ERROR(parser.Parse(piece, rows));
    return on_progress(read);
  }));
  return parser.Finish(rows);
}

absl::StatusOr<char> SniffDelimiter(const ByteSource& source) {
  constexpr size_t kSampleBytes = 64 << 10;
  std::vector<char> buffer(kSampleBytes);
  ASSIGN_OR_RETURN(const size_t count, source.ReadAt(0, absl::MakeSpan(buffer)));
  const std::string_view sample(buffer.data(), count);

  char best = ',';
  double best_share = 0;
  size_t best_columns = 1;
  for (const char delimiter : {',', ';', '\t', '|'}) {
    std::map<size_t, int> rows_by_columns;
    int total = 0;
    auto count_row = [&](const Record& record) {
      ++rows_by_columns[record.fields.size()];
      ++total;
      return absl::OkStatus();
    };
    RowCollector rows(/*max_fields=*/kSampleBytes, count_row);
    Parser parser(delimiter);
    // The sample may end within a row, and a wrong delimiter may make quotes look wrong: what was
    // read until then counts.
    static_cast<void>(parser.Parse(sample, rows));
    if (total == 0 && count < kSampleBytes) {
      static_cast<void>(parser.Finish(rows));
    }
    for (const auto& [columns, number] : rows_by_columns) {
      const double share = static_cast<double>(number) / total;
      if (columns > 1 && (share > best_share + 0.1 || (share > best_share - 0.1 && columns > best_columns))) {
        best = delimiter;
        best_share = share;
        best_columns = columns;
      }
    }
  }
  return best;
}

}  // namespace bulkhead::tool
