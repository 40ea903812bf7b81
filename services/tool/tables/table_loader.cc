#include "services/tool/tables/table_loader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/tables/csv_reader.h"
#include "services/tool/tables/json_lines_reader.h"
#include "services/tool/tables/record_reader.h"
#include "services/tool/tables/table_catalog.h"

namespace bulkhead::tool {
namespace {

constexpr char kDomain[] = "bulkhead.tool";
// What the first reading takes of the whole time.
constexpr double kFirstReadingShare = 0.35;

// One load, from the first byte to the commit.
class Load {
 public:
  Load(const ByteSource& source, const LoadOptions& options, storage::UserWriter& database, std::stop_token stop,
       const std::function<void(double, std::string_view)>& progress)
      : source_(source), options_(options), database_(database), stop_(std::move(stop)), progress_(progress) {}

  absl::StatusOr<LoadedTable> Run() {
    RETURN_IF_ERROR(OpenReader());
    RETURN_IF_ERROR(FindColumns());
    RETURN_IF_ERROR(Insert());
    return std::move(table_);
  }

 private:
  bool csv() const { return options_.format == LoadOptions::Format::kCsv; }
  bool has_header() const { return csv() && options_.header; }

  absl::Status OpenReader() {
    if (!csv()) {
      auto reader = std::make_unique<JsonLinesReader>(&source_);
      json_lines_ = reader.get();
      reader_ = std::move(reader);
      return absl::OkStatus();
    }
    if (options_.delimiter.has_value()) {
      table_.delimiter = *options_.delimiter;
    } else {
      ASSIGN_OR_RETURN(table_.delimiter, SniffDelimiter(source_));
    }
    reader_ = std::make_unique<CsvReader>(&source_, table_.delimiter);
    return absl::OkStatus();
  }

  absl::Status Report(double before, double share, uint64_t read, int64_t rows) {
    if (stop_.stop_requested()) {
      return MakeError(absl::StatusCode::kCancelled, "the load was cancelled",
                       {.domain = kDomain, .reason = "TOOL_CANCELLED"});
    }
    if (progress_) {
      const double fraction = source_.size() == 0 ? 1 : static_cast<double>(read) / static_cast<double>(source_.size());
      progress_(before + share * std::min(fraction, 1.0), absl::StrCat(rows, " rows"));
    }
    return absl::OkStatus();
  }

  // --- The first reading ---

  absl::Status FindColumns() {
    bool header_pending = has_header();
    int64_t rows = 0;
    RETURN_IF_ERROR(reader_->Read([&](uint64_t read) { return Report(0, kFirstReadingShare, read, rows); },
                                  [&](const Record& record) -> absl::Status {
                                    if (header_pending) {
                                      header_pending = false;
                                      return ReadHeader(record);
                                    }
                                    ++rows;
                                    return Observe(record);
                                  }));
    if (table_.columns.empty() && json_lines_ == nullptr) {
      return Empty();
    }
    if (json_lines_ != nullptr) {
      if (rows == 0 || json_lines_->names().empty()) {
        return Empty();
      }
      RETURN_IF_ERROR(NameColumns(json_lines_->names()));
    }
    for (size_t i = 0; i < table_.columns.size(); ++i) {
      LoadedColumn& column = table_.columns[i];
      column.format = inference_[i].Finish();
      if (column.format.order_assumed) {
        table_.warnings.push_back(
            {.code = "DATE_ORDER_ASSUMED",
             .message = absl::StrCat("every date of column '", column.name,
                                     "' could have the day or the month first; the month was taken"),
             .count = 1,
             .line = 0});
      }
    }
    table_.rows = rows;
    if (ragged_rows_ > 0) {
      table_.warnings.push_back(
          {.code = "ROWS_PADDED",
           .message = absl::StrCat(ragged_rows_, " rows had a number of fields other than ", table_.columns.size(),
                                   "; the first is at line ", first_ragged_line_),
           .count = ragged_rows_,
           .line = first_ragged_line_});
    }
    return absl::OkStatus();
  }

  absl::Status Empty() const {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     csv() ? "the file is empty: it has no line with data"
                           : "the file is empty: it has no JSON object with a member",
                     {.domain = kDomain, .reason = "TABLE_FILE_EMPTY", .metadata = {{"line", "1"}}});
  }

  absl::Status ReadHeader(const Record& record) {
    std::vector<std::string> names;
    for (const Field& field : record.fields) {
      names.emplace_back(field.text);
    }
    header_line_ = record.line;
    return NameColumns(names);
  }

  // Makes the names usable as columns: not empty, each once.
  absl::Status NameColumns(const std::vector<std::string>& names) {
    absl::flat_hash_set<std::string> taken;  // In lower case: SQLite does not tell "A" from "a".
    std::string first_renamed;
    int64_t renamed = 0;
    table_.columns.resize(std::max(names.size(), table_.columns.size()));
    for (size_t i = 0; i < names.size(); ++i) {
      std::string name(absl::StripAsciiWhitespace(names[i]));
      std::replace_if(
          name.begin(), name.end(), [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, ' ');
      std::string unique = name.empty() ? absl::StrCat("column_", i + 1) : name;
      const std::string base = unique;
      for (int n = 2; !taken.insert(absl::AsciiStrToLower(unique)).second; ++n) {
        unique = absl::StrCat(base, "_", n);
      }
      if (unique != name) {
        first_renamed = renamed++ == 0 ? absl::StrCat("'", name, "' to '", unique, "'") : first_renamed;
      }
      table_.columns[i].name = unique;
    }
    GrowInference(names.size());
    if (renamed > 0) {
      table_.warnings.push_back(
          {.code = "HEADER_RENAMED",
           .message = absl::StrCat(renamed, " columns without a name of their own were renamed; the first from ",
                                   first_renamed),
           .count = renamed,
           .line = header_line_});
    }
    return absl::OkStatus();
  }

  void GrowInference(size_t columns) {
    while (inference_.size() < columns) {
      inference_.emplace_back(/*decimal_comma=*/table_.delimiter == ';');
    }
  }

  absl::Status Observe(const Record& record) {
    if (json_lines_ != nullptr) {
      // A column that appears late was missing in all rows before.
      GrowInference(record.fields.size());
      while (table_.columns.size() < record.fields.size()) {
        table_.columns.push_back({.name = "", .format = {}, .missing = rows_observed_});
      }
    } else if (table_.columns.empty()) {
      RETURN_IF_ERROR(NameColumns(std::vector<std::string>(record.fields.size())));
      table_.warnings.clear();  // There were no names to lose.
    }
    ++rows_observed_;
    if (record.fields.size() != table_.columns.size()) {
      RETURN_IF_ERROR(CheckRagged(record));
    }
    for (size_t i = 0; i < table_.columns.size(); ++i) {
      if (i >= record.fields.size() || IsMissing(record.fields[i].text)) {
        ++table_.columns[i].missing;
      } else {
        inference_[i].Add(record.fields[i].text, record.fields[i].is_string);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckRagged(const Record& record) {
    if (json_lines_ == nullptr && !options_.pad_ragged_rows) {
      return LineError("TABLE_ROW_RAGGED", record.line,
                       absl::StrCat("fields: ", record.fields.size(), ", columns: ", table_.columns.size(),
                                    "; mend the line, or load with \"ragged\": \"pad\""));
    }
    first_ragged_line_ = ragged_rows_ == 0 ? record.line : first_ragged_line_;
    ++ragged_rows_;
    return absl::OkStatus();
  }

  // --- The second reading ---

  absl::Status Insert() {
    RETURN_IF_ERROR(database_.Begin());
    RETURN_IF_ERROR(CreateTable());
    RETURN_IF_ERROR(database_.PrepareInsert(options_.table, table_.columns.size()));
    texts_.resize(table_.columns.size());
    bool header_pending = has_header();
    int64_t rows = 0;
    RETURN_IF_ERROR(
        reader_->Read([&](uint64_t read) { return Report(kFirstReadingShare, 1 - kFirstReadingShare, read, rows); },
                      [&](const Record& record) -> absl::Status {
                        if (header_pending) {
                          header_pending = false;
                          return absl::OkStatus();
                        }
                        ++rows;
                        return InsertRow(record);
                      }));
    RETURN_IF_ERROR(RecordInCatalog(
        database_,
        CatalogEntry{
            .table = options_.table, .file = options_.file, .rows = table_.rows, .columns = CatalogColumns()}));
    return database_.Commit();
  }

  std::vector<CatalogColumn> CatalogColumns() const {
    std::vector<CatalogColumn> columns;
    for (const LoadedColumn& column : table_.columns) {
      columns.push_back({.name = column.name, .type = column.format.type, .missing = column.missing});
    }
    return columns;
  }

  absl::Status CreateTable() {
    RETURN_IF_ERROR(database_.Execute(absl::StrCat("DROP TABLE IF EXISTS ", storage::QuoteIdentifier(options_.table))));
    std::string sql = absl::StrCat("CREATE TABLE ", storage::QuoteIdentifier(options_.table), " (");
    for (size_t i = 0; i < table_.columns.size(); ++i) {
      absl::StrAppend(&sql, i == 0 ? "" : ", ", storage::QuoteIdentifier(table_.columns[i].name), " ",
                      SqlType(table_.columns[i].format.type));
    }
    return database_.Execute(absl::StrCat(sql, ")"));
  }

  static std::string_view SqlType(ColumnType type) {
    switch (type) {
      case ColumnType::kInteger:
      case ColumnType::kBoolean:
        return "INTEGER";
      case ColumnType::kReal:
        return "REAL";
      case ColumnType::kDate:
      case ColumnType::kDatetime:
      case ColumnType::kText:
        return "TEXT";
    }
    return "TEXT";
  }

  absl::Status InsertRow(const Record& record) {
    const size_t count = std::min(record.fields.size(), table_.columns.size());
    for (size_t i = 0; i < count; ++i) {
      if (!IsMissing(record.fields[i].text)) {
        SetValue(i, record.fields[i].text);
      }
    }
    return database_.Insert();
  }

  // The first reading has found that each value is of the column's type.
  void SetValue(size_t i, std::string_view text) {
    const ColumnFormat& format = table_.columns[i].format;
    switch (format.type) {
      case ColumnType::kInteger:
        if (const std::optional<int64_t> value = ParseInteger(text, format.decimal_comma)) {
          database_.SetInteger(i, *value);
        }
        return;
      case ColumnType::kReal:
        if (const std::optional<double> value = ParseReal(text, format.decimal_comma)) {
          database_.SetReal(i, *value);
        }
        return;
      case ColumnType::kBoolean:
        if (const std::optional<bool> value = ParseBoolean(text)) {
          database_.SetInteger(i, *value ? 1 : 0);
        }
        return;
      case ColumnType::kDate:
      case ColumnType::kDatetime:
        if (std::optional<std::string> value = NormalizeDate(text, format)) {
          texts_[i] = *std::move(value);
          database_.SetText(i, texts_[i]);
        }
        return;
      case ColumnType::kText:
        database_.SetText(i, text);
        return;
    }
  }

  const ByteSource& source_;
  const LoadOptions& options_;
  storage::UserWriter& database_;
  const std::stop_token stop_;
  const std::function<void(double, std::string_view)>& progress_;

  std::unique_ptr<RecordReader> reader_;
  JsonLinesReader* json_lines_ = nullptr;  // `reader_`, when it is one.
  LoadedTable table_;
  std::vector<TypeInference> inference_;
  std::vector<std::string> texts_;  // Converted values, until the row is inserted.
  int64_t header_line_ = 0;
  int64_t rows_observed_ = 0;
  int64_t ragged_rows_ = 0;
  int64_t first_ragged_line_ = 0;
};

}  // namespace

absl::StatusOr<LoadedTable> LoadTable(const ByteSource& source, const LoadOptions& options,
                                      storage::UserWriter& database, std::stop_token stop,
                                      const std::function<void(double fraction, std::string_view text)>& progress) {
  return Load(source, options, database, std::move(stop), progress).Run();
}

std::string TableNameOf(std::string_view file) {
  file = file.substr(file.find_last_of('/') + 1);
  file = file.substr(0, file.find_last_of('.'));
  std::string name;
  for (const char c : file) {
    const bool usable = absl::ascii_isalnum(static_cast<unsigned char>(c)) != 0;
    if (usable) {
      name += absl::ascii_tolower(static_cast<unsigned char>(c));
    } else if (!name.empty() && name.back() != '_') {
      name += '_';
    }
  }
  while (!name.empty() && name.back() == '_') {
    name.pop_back();
  }
  // A table's name begins with a letter, and SQLite keeps "sqlite_" to itself.
  if (name.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(name[0])) || name.starts_with("sqlite_")) {
    name = absl::StrCat(name.empty() ? "table" : "t_", name);
  }
  return name.substr(0, 63);
}

}  // namespace bulkhead::tool
