// chart.render.
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/storage/user_database.h"
#include "services/tool/builtin/builtin_tools.h"
#include "services/tool/builtin/user_tables.h"
#include "services/tool/chart/svg_chart.h"

namespace bulkhead::tool {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxPoints = 10000;
constexpr size_t kMaxBars = 200;
constexpr size_t kMaxChartBytes = 8 << 20;

absl::Status DataInvalid(std::string_view place, std::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(place, ": ", problem),
                   {.domain = "bulkhead.tool",
                    .reason = "CHART_DATA_INVALID",
                    .metadata = {{"place", std::string(place)}, {"problem", std::string(problem)}}});
}

ChartKind KindOf(const std::string& name) {
  if (name == "bar") {
    return ChartKind::kBar;
  }
  if (name == "line") {
    return ChartKind::kLine;
  }
  return name == "scatter" ? ChartKind::kScatter : ChartKind::kHistogram;
}

ChartValue ValueOf(const Json& json) {
  return json.is_number() ? ChartValue(json.get<double>()) : ChartValue(json.get<std::string>());
}

std::optional<double> NumberOf(const storage::Value& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    return static_cast<double>(*integer);
  }
  const auto* real = std::get_if<double>(&value);
  return real != nullptr ? std::optional(*real) : std::nullopt;
}

// As SQL prints it; what has no text (NULL, a blob) is empty.
std::string TextOf(const storage::Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return *text;
  }
  const std::optional<double> number = NumberOf(value);
  return number.has_value() ? absl::StrCat(*number) : "";
}

// Rows of x, y and perhaps the name of a series, in the order of the query.
absl::Status AddSeries(const QueryResult& result, ChartSpec& spec) {
  if (result.columns.size() < 2 || result.columns.size() > 3) {
    return DataInvalid(
        "sql", absl::StrCat("it must select x, y and perhaps the series, not ", result.columns.size(), " columns"));
  }
  std::map<std::string, size_t> index;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    const std::vector<storage::Value>& row = result.rows[i];
    if (std::holds_alternative<std::nullptr_t>(row[0]) && spec.kind != ChartKind::kBar) {
      continue;  // It has no place.
    }
    if (std::holds_alternative<std::string>(row[1])) {
      return DataInvalid(absl::StrCat("row ", i + 1), "y must be a number or NULL");
    }
    const std::string name = row.size() == 3 ? TextOf(row[2]) : result.columns[1];
    const auto [position, is_new] = index.try_emplace(name, spec.series.size());
    if (is_new) {
      spec.series.push_back({.name = name, .points = {}});
    }
    const std::optional<double> x = NumberOf(row[0]);
    ChartValue place = x.has_value() ? ChartValue(*x) : ChartValue(TextOf(row[0]));
    if (spec.kind == ChartKind::kBar) {
      place = std::holds_alternative<std::nullptr_t>(row[0]) ? "(missing)" : TextOf(row[0]);
    }
    spec.series[position->second].points.push_back({.x = std::move(place), .y = NumberOf(row[1])});
  }
  return absl::OkStatus();
}

absl::Status AddBins(const QueryResult& result, int bin_count, ChartSpec& spec) {
  if (result.columns.size() != 1) {
    return DataInvalid("sql", absl::StrCat("a histogram needs one column of numbers, not ", result.columns.size()));
  }
  std::vector<double> values;
  for (size_t i = 0; i < result.rows.size(); ++i) {
    if (std::holds_alternative<std::nullptr_t>(result.rows[i][0])) {
      continue;
    }
    const std::optional<double> value = NumberOf(result.rows[i][0]);
    if (!value.has_value() || !std::isfinite(*value)) {
      return DataInvalid(absl::StrCat("row ", i + 1), "a histogram needs numbers");
    }
    values.push_back(*value);
  }
  if (values.empty()) {
    return absl::OkStatus();  // The renderer says that there is nothing to draw.
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double width = *high > *low ? (*high - *low) / bin_count : 1;
  const int bins = *high > *low ? bin_count : 1;
  for (int i = 0; i < bins; ++i) {
    spec.bins.push_back({.from = *low + width * i, .to = *low + width * (i + 1), .count = 0});
  }
  for (const double value : values) {
    const auto bin = static_cast<size_t>(std::clamp((value - *low) / width, 0.0, static_cast<double>(bins - 1)));
    ++spec.bins[bin].count;
  }
  return absl::OkStatus();
}

// The data of the input's `series` or `bins`, which the schema has checked.
void AddGiven(const Json& input, ChartSpec& spec) {
  for (const Json& series : input.value("series", Json::array())) {
    ChartSeries& added = spec.series.emplace_back();
    added.name = series.value("name", "");
    for (const Json& point : series.at("points")) {
      ChartValue x = ValueOf(point[0]);
      if (spec.kind == ChartKind::kBar && std::holds_alternative<double>(x)) {
        x = absl::StrCat(std::get<double>(x));
      }
      added.points.push_back(
          {.x = std::move(x), .y = point[1].is_null() ? std::nullopt : std::optional(point[1].get<double>())});
    }
  }
  for (const Json& bin : input.value("bins", Json::array())) {
    spec.bins.push_back(
        {.from = ValueOf(bin.at("from")), .to = ValueOf(bin.at("to")), .count = bin.at("count").get<int64_t>()});
  }
}

size_t PointsOf(const ChartSpec& spec) {
  size_t points = spec.bins.size();
  for (const ChartSeries& series : spec.series) {
    points += series.points.size();
  }
  return points;
}

absl::StatusOr<Json> Render(const UserTables& tables, ToolCall& call) {
  const Json& input = call.input();
  ChartSpec spec{.kind = KindOf(input.at("kind")),
                 .title = input.value("title", ""),
                 .subtitle = input.value("subtitle", ""),
                 .x_label = input.value("x_label", ""),
                 .y_label = input.value("y_label", ""),
                 .width = input.value("width", 720),
                 .height = input.value("height", 420),
                 .series = {},
                 .bins = {}};
  const bool histogram = spec.kind == ChartKind::kHistogram;
  if (input.contains(histogram ? "series" : "bins")) {
    return DataInvalid(histogram ? "series" : "bins",
                       histogram ? "a histogram is made of bins or sql" : "only a histogram is made of bins");
  }
  bool truncated = false;
  if (input.contains("sql")) {
    ASSIGN_OR_RETURN(
        const QueryResult result,
        RunQuery(tables, call, input["sql"], {}, spec.kind == ChartKind::kBar ? kMaxBars : kMaxPoints, kMaxChartBytes));
    truncated = result.truncated;
    if (histogram) {
      RETURN_IF_ERROR(AddBins(result, input.value("bin_count", 20), spec));
    } else {
      RETURN_IF_ERROR(AddSeries(result, spec));
    }
  } else {
    AddGiven(input, spec);
  }
  ASSIGN_OR_RETURN(const std::string svg, RenderSvg(spec));
  const std::string file = input.at("file");
  RETURN_IF_ERROR(call.workspace().Write(file, svg).status());
  call.AddArtifact(file);
  Json output = {{"file", file},
                 {"points", PointsOf(spec)},
                 {"width", spec.width},
                 {"height", spec.height},
                 {"truncated", truncated}};
  if (input.contains("sql")) {
    output["sql"] = input["sql"];
  }
  return output;
}

}  // namespace

std::unique_ptr<Tool> ChartTool(const BuiltinOptions& options) {
  return MakeTool(
      {.name = "chart.render",
       .description = "Draws a bar, line or scatter chart or a histogram as an SVG file in your "
                      "workspace, from data or from a query of your tables.",
       .input_schema =
           R"({"type": "object", "additionalProperties": false, "required": ["kind", "file"],
         "oneOf": [{"required": ["series"]}, {"required": ["bins"]}, {"required": ["sql"]}],
         "properties": {
           "kind": {"enum": ["bar", "line", "scatter", "histogram"]},
           "file": {"type": "string", "pattern": "\\.svg$"},
           "title": {"type": "string", "maxLength": 200}, "subtitle": {"type": "string", "maxLength": 300},
           "x_label": {"type": "string", "maxLength": 100}, "y_label": {"type": "string", "maxLength": 100},
           "width": {"type": "integer", "minimum": 200, "maximum": 2000, "description": "720 when absent."},
           "height": {"type": "integer", "minimum": 150, "maximum": 2000, "description": "420 when absent."},
           "series": {"type": "array", "minItems": 1, "maxItems": 12, "items": {"type": "object", "additionalProperties": false, "required": ["points"],
             "properties": {"name": {"type": "string"}, "points": {"type": "array", "maxItems": 10000, "items": {"type": "array",
               "prefixItems": [{"type": ["number", "string"]}, {"type": ["number", "null"]}], "minItems": 2, "maxItems": 2}}}}},
           "bins": {"type": "array", "maxItems": 1000, "items": {"type": "object", "required": ["from", "to", "count"],
             "properties": {"from": {"type": ["number", "string"]}, "to": {"type": ["number", "string"]}, "count": {"type": "integer", "minimum": 0}}}},
           "sql": {"type": "string", "minLength": 1, "maxLength": 100000, "description": "Selects x, y and perhaps the series; for a histogram one column."},
           "bin_count": {"type": "integer", "minimum": 1, "maximum": 200, "description": "For a histogram of sql; 20 when absent."}}})",
       .output_schema =
           R"({"type": "object", "required": ["file", "points", "width", "height", "truncated"], "properties": {
         "file": {"type": "string"}, "points": {"type": "integer"}, "width": {"type": "integer"}, "height": {"type": "integer"},
         "truncated": {"type": "boolean"}, "sql": {"type": "string"}}})",
       .repeat_policy = RepeatPolicy::kIdempotent,
       .timeout = absl::Minutes(1),
       .tags = {"chart", "svg", "table"}},
      [tables = std::make_shared<const UserTables>(options)](ToolCall& call) { return Render(*tables, call); });
}

}  // namespace bulkhead::tool
