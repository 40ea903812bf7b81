// table.load, table.profile, table.query, table.list, table.drop.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/user_database.h"
#include "services/tool/builtin/builtin_tools.h"
#include "services/tool/builtin/user_tables.h"
#include "services/tool/tables/column_type.h"
#include "services/tool/tables/table_catalog.h"
#include "services/tool/tables/table_loader.h"
#include "services/tool/tables/table_profile.h"
#include "services/tool/tables/text_source.h"
#include "services/tool/tables/value_json.h"

namespace bulkhead::tool {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQueryBytes = 1 << 20;
// A table's name; SQLite keeps "sqlite_" to itself.
constexpr char kTableNameSchema[] = R"({"type": "string", "pattern": "^(?!sqlite_)[a-z][a-z0-9_]{0,62}$"})";

// A file of the workspace as the loader reads it.
class FileSource : public ByteSource {
 public:
  explicit FileSource(std::unique_ptr<OpenFile> file) : file_(std::move(file)) {}
  uint64_t size() const override { return file_->info().size; }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> buffer) const override {
    return file_->ReadAt(offset, buffer);
  }

 private:
  std::unique_ptr<OpenFile> file_;
};

LoadOptions::Format FormatOf(const Json& input, std::string_view file) {
  if (input.contains("format")) {
    return input["format"] == "jsonl" ? LoadOptions::Format::kJsonLines : LoadOptions::Format::kCsv;
  }
  const std::string name = absl::AsciiStrToLower(file);
  const bool json = name.ends_with(".jsonl") || name.ends_with(".ndjson") || name.ends_with(".json");
  return json ? LoadOptions::Format::kJsonLines : LoadOptions::Format::kCsv;
}

Json Describe(const LoadedTable& table, const LoadOptions& options) {
  Json columns = Json::array();
  for (const LoadedColumn& column : table.columns) {
    Json json = {{"name", column.name}, {"type", ColumnTypeName(column.format.type)}, {"missing", column.missing}};
    if (column.format.has_slash_dates) {
      json["date_order"] = column.format.day_first ? "day_first" : "month_first";
    }
    columns.push_back(std::move(json));
  }
  Json warnings = Json::array();
  for (const LoadWarning& warning : table.warnings) {
    warnings.push_back(
        {{"code", warning.code}, {"message", warning.message}, {"count", warning.count}, {"line", warning.line}});
  }
  Json output = {
      {"table", options.table}, {"file", options.file},          {"format", table.delimiter == 0 ? "jsonl" : "csv"},
      {"rows", table.rows},     {"columns", std::move(columns)}, {"warnings", std::move(warnings)}};
  if (table.delimiter != 0) {
    output["delimiter"] = std::string(1, table.delimiter);
  }
  return output;
}

absl::StatusOr<Json> Load(const UserTables& tables, ToolCall& call) {
  const Json& input = call.input();
  LoadOptions options;
  options.file = input.at("file");
  options.format = FormatOf(input, options.file);
  options.table = input.value("table", TableNameOf(options.file));
  if (input.contains("delimiter")) {
    options.delimiter = input["delimiter"].get_ref<const std::string&>().front();
  }
  options.header = input.value("header", true);
  options.pad_ragged_rows = input.value("ragged", "error") == "pad";
  ASSIGN_OR_RETURN(std::unique_ptr<OpenFile> file, call.workspace().Open(options.file));
  ASSIGN_OR_RETURN(const std::unique_ptr<storage::UserWriter> writer, tables.Writer(call));
  ASSIGN_OR_RETURN(const LoadedTable table,
                   LoadTable(FileSource(std::move(file)), options, *writer, call.stop(),
                             [&call](double fraction, std::string_view text) { call.ReportProgress(fraction, text); }));
  return Describe(table, options);
}

// The reader, and the table's entry in the catalog.
struct FoundTable {
  std::unique_ptr<storage::UserReader> reader;
  CatalogEntry entry;
};

absl::StatusOr<FoundTable> Find(const UserTables& tables, const ToolCall& call, const std::string& name) {
  FoundTable found;
  ASSIGN_OR_RETURN(found.reader, tables.Reader(call));
  if (found.reader == nullptr) {
    return TableNotFound(name);
  }
  ASSIGN_OR_RETURN(found.entry, FindTable(*found.reader, name));
  return found;
}

absl::StatusOr<Json> Profile(const UserTables& tables, ToolCall& call) {
  const Json& input = call.input();
  const std::string name = input.at("table");
  ASSIGN_OR_RETURN(const FoundTable found, Find(tables, call, name));
  std::vector<CatalogColumn> columns = found.entry.columns;
  if (input.contains("column")) {
    const std::string wanted = input["column"];
    std::erase_if(columns, [&wanted](const CatalogColumn& column) { return column.name != wanted; });
    if (columns.empty()) {
      return MakeError(
          absl::StatusCode::kNotFound, absl::StrCat("the table '", name, "' has no column '", wanted, "'"),
          {.domain = "bulkhead.tool", .reason = "COLUMN_NOT_FOUND", .metadata = {{"table", name}, {"column", wanted}}});
    }
  }
  const ProfileOptions options{.top = input.value("top", 10), .bins = input.value("bins", 20)};
  Json profiles = Json::array();
  for (const CatalogColumn& column : columns) {
    RETURN_IF_ERROR(call.CheckStopped());
    call.ReportProgress(static_cast<double>(profiles.size()) / static_cast<double>(columns.size()), column.name);
    ASSIGN_OR_RETURN(Json profile, ProfileColumn(*found.reader, name, column, options));
    profiles.push_back(std::move(profile));
  }
  return Json{{"table", name}, {"rows", found.entry.rows}, {"columns", std::move(profiles)}};
}

// What the values of a column have in common.
std::string_view TypeOfColumn(const std::vector<std::vector<storage::Value>>& rows, size_t column) {
  bool integer = false;
  bool real = false;
  bool text = false;
  for (const std::vector<storage::Value>& row : rows) {
    const storage::Value& value = row[column];
    integer = integer || std::holds_alternative<int64_t>(value);
    real = real || std::holds_alternative<double>(value);
    text = text || std::holds_alternative<std::string>(value) || std::holds_alternative<storage::Blob>(value);
  }
  return text ? "text" : real ? "real" : integer ? "integer" : "null";
}

absl::StatusOr<Json> Query(const UserTables& tables, ToolCall& call) {
  const Json& input = call.input();
  if (input.contains("table")) {
    RETURN_IF_ERROR(Find(tables, call, input["table"]).status());
  }
  std::vector<storage::Value> parameters;
  for (const Json& parameter : input.value("parameters", Json::array())) {
    parameters.push_back(FromJson(parameter));
  }
  const std::string sql = input.at("sql");
  ASSIGN_OR_RETURN(const QueryResult result,
                   RunQuery(tables, call, sql, parameters, input.value("max_rows", size_t{100}), kMaxQueryBytes));
  Json columns = Json::array();
  for (size_t i = 0; i < result.columns.size(); ++i) {
    columns.push_back({{"name", result.columns[i]}, {"type", TypeOfColumn(result.rows, i)}});
  }
  Json rows = Json::array();
  for (const std::vector<storage::Value>& row : result.rows) {
    Json values = Json::array();
    for (const storage::Value& value : row) {
      values.push_back(ToJson(value));
    }
    rows.push_back(std::move(values));
  }
  return Json{{"columns", std::move(columns)},
              {"rows", std::move(rows)},
              {"row_count", result.rows.size()},
              {"truncated", result.truncated},
              {"sql", sql}};
}

absl::StatusOr<Json> List(const UserTables& tables, ToolCall& call) {
  ASSIGN_OR_RETURN(const std::unique_ptr<storage::UserReader> reader, tables.Reader(call));
  Json list = Json::array();
  if (reader != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<CatalogEntry> entries, ListTables(*reader));
    for (const CatalogEntry& entry : entries) {
      Json columns = Json::array();
      for (const CatalogColumn& column : entry.columns) {
        columns.push_back({{"name", column.name}, {"type", ColumnTypeName(column.type)}, {"missing", column.missing}});
      }
      list.push_back(
          {{"table", entry.table}, {"rows", entry.rows}, {"file", entry.file}, {"columns", std::move(columns)}});
    }
  }
  return Json{{"tables", std::move(list)}};
}

absl::StatusOr<Json> Drop(const UserTables& tables, ToolCall& call) {
  const std::string name = call.input().at("table");
  bool dropped = false;
  ASSIGN_OR_RETURN(const std::unique_ptr<storage::UserReader> reader, tables.Reader(call));
  if (reader != nullptr) {
    ASSIGN_OR_RETURN(const std::unique_ptr<storage::UserWriter> writer, tables.Writer(call));
    ASSIGN_OR_RETURN(dropped, DropTable(*writer, *reader, name));
  }
  return Json{{"table", name}, {"dropped", dropped}};
}

constexpr char kColumnsSchema[] =
    R"({"type": "array", "items": {"type": "object", "required": ["name", "type", "missing"],
  "properties": {"name": {"type": "string"}, "missing": {"type": "integer"}, "date_order": {"enum": ["month_first", "day_first"]},
                 "type": {"enum": ["integer", "real", "date", "datetime", "boolean", "text"]}}}})";

}  // namespace

std::vector<std::unique_ptr<Tool>> TableTools(const BuiltinOptions& options) {
  auto tables = std::make_shared<const UserTables>(options);
  auto make = [&tables](ToolSpec spec, absl::StatusOr<Json> (*run)(const UserTables&, ToolCall&)) {
    spec.tags.emplace_back("table");
    return MakeTool(std::move(spec), [tables, run](ToolCall& call) { return run(*tables, call); });
  };
  std::vector<std::unique_ptr<Tool>> tools;
  tools.push_back(make(
      {.name = "table.load",
       .description = "Loads a CSV or JSON Lines file of your workspace into a table of your own, "
                      "with the types of its columns found over all rows.",
       .input_schema = absl::StrCat(
           R"({"type": "object", "additionalProperties": false, "required": ["file"], "properties": {
         "file": {"type": "string"},
         "table": )",
           kTableNameSchema, R"(,
         "format": {"enum": ["csv", "jsonl"], "description": "By the file's ending when absent."},
         "delimiter": {"enum": [",", ";", "\t", "|"], "description": "Found by itself when absent."},
         "header": {"type": "boolean", "description": "Whether the first line has the names; true when absent."},
         "ragged": {"enum": ["error", "pad"], "description": "What a row with too few or too many fields is; an error when absent."}}})"),
       .output_schema = absl::StrCat(
           R"({"type": "object", "required": ["table", "file", "format", "rows", "columns", "warnings"], "properties": {
         "table": {"type": "string"}, "file": {"type": "string"}, "format": {"enum": ["csv", "jsonl"]}, "delimiter": {"type": "string"},
         "rows": {"type": "integer"}, "columns": )",
           kColumnsSchema, R"(,
         "warnings": {"type": "array", "items": {"type": "object", "required": ["code", "message", "count", "line"]}}}})"),
       .repeat_policy = RepeatPolicy::kIdempotent,
       .timeout = absl::Minutes(10),
       .tags = {"csv", "json"}},
      Load));
  tools.push_back(make({.name = "table.profile",
                        .description = "Describes the columns of a table: counts, missing values, range, mean, "
                                       "quartiles, outliers, top values, histogram; each with its SQL.",
                        .input_schema =
                            R"({"type": "object", "additionalProperties": false, "required": ["table"], "properties": {
         "table": {"type": "string"},
         "column": {"type": "string", "description": "All columns when absent."},
         "top": {"type": "integer", "minimum": 0, "maximum": 100, "description": "How many of the most frequent values; 10 when absent."},
         "bins": {"type": "integer", "minimum": 1, "maximum": 100, "description": "Of the histogram; 20 when absent."}}})",
                        .output_schema =
                            R"({"type": "object", "required": ["table", "rows", "columns"], "properties": {
         "table": {"type": "string"}, "rows": {"type": "integer"},
         "columns": {"type": "array", "items": {"type": "object", "required": ["name", "type", "count", "missing", "distinct", "top", "sql"]}}}})",
                        .repeat_policy = RepeatPolicy::kSafe,
                        .timeout = absl::Minutes(5),
                        .tags = {"statistics"}},
                       Profile));
  tools.push_back(
      make({.name = "table.query",
            .description = "Runs one SELECT of SQLite's SQL over your tables.",
            .input_schema =
                R"({"type": "object", "additionalProperties": false, "required": ["sql"], "properties": {
         "sql": {"type": "string", "minLength": 1, "maxLength": 100000},
         "parameters": {"type": "array", "maxItems": 1000, "items": {"type": ["number", "string", "boolean", "null"]}, "description": "For ?1, ?2..."},
         "max_rows": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "100 when absent."},
         "table": {"type": "string", "description": "A table that must exist."}}})",
            .output_schema =
                R"({"type": "object", "required": ["columns", "rows", "row_count", "truncated", "sql"], "properties": {
         "columns": {"type": "array", "items": {"type": "object", "required": ["name", "type"]}},
         "rows": {"type": "array", "items": {"type": "array"}},
         "row_count": {"type": "integer"}, "truncated": {"type": "boolean"}, "sql": {"type": "string"}}})",
            .repeat_policy = RepeatPolicy::kSafe,
            .timeout = absl::Minutes(1),
            .tags = {"sql"}},
           Query));
  tools.push_back(make(
      {.name = "table.list",
       .description = "Lists your tables with their columns.",
       .input_schema = R"({"type": "object", "additionalProperties": false})",
       .output_schema = R"({"type": "object", "required": ["tables"], "properties": {"tables": {"type": "array"}}})",
       .repeat_policy = RepeatPolicy::kSafe,
       .timeout = absl::Minutes(1)},
      List));
  tools.push_back(
      make({.name = "table.drop",
            .description = "Deletes one of your tables; the file it was loaded from stays.",
            .input_schema = absl::StrCat(R"({"type": "object", "additionalProperties": false, "required": ["table"],
                          "properties": {"table": )",
                                         kTableNameSchema, "}}"),
            .output_schema = R"({"type": "object", "required": ["table", "dropped"],
                          "properties": {"table": {"type": "string"}, "dropped": {"type": "boolean"}}})",
            .repeat_policy = RepeatPolicy::kIdempotent,
            .timeout = absl::Minutes(1)},
           Drop));
  return tools;
}

}  // namespace bulkhead::tool
