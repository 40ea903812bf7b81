// Charts as SVG: bars, lines, points and histograms with axes, readable on light and dark pages.
#ifndef SERVICES_TOOL_CHART_SVG_CHART_H_
#define SERVICES_TOOL_CHART_SVG_CHART_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace bulkhead::tool {

enum class ChartKind { kBar, kLine, kScatter, kHistogram };

// A number, or text: the label of a bar, or else a date or time as ISO 8601 ("2021-03-04", "2021-03-04T05:06:07Z").
using ChartValue = std::variant<double, std::string>;

struct ChartPoint {
  ChartValue x;
  std::optional<double> y;  // None leaves a gap in a line, and draws no bar or point.
};

struct ChartSeries {
  std::string name;  // Shown in the legend when there are several.
  std::vector<ChartPoint> points;
};

// From `from` (inside) to `to`, `count` values.
struct ChartBin {
  ChartValue from;
  ChartValue to;
  int64_t count = 0;
};

struct ChartSpec {
  ChartKind kind = ChartKind::kBar;
  std::string title;
  std::string subtitle;
  std::string x_label;
  std::string y_label;
  int width = 720;
  int height = 420;
  std::vector<ChartSeries> series;  // All kinds but kHistogram; at most 12.
  std::vector<ChartBin> bins;       // kHistogram, in order.
};

// A whole SVG document without scripts or outside references; any text in the spec is escaped. The same spec gives the same bytes.
//
// INVALID_ARGUMENT, domain bulkhead.tool: CHART_DATA_EMPTY (nothing to draw), CHART_DATA_INVALID (metadata `place`): an x that is neither number nor
// date where one is needed, numbers mixed with dates, a value that is not finite, more than 12 series.
absl::StatusOr<std::string> RenderSvg(const ChartSpec& spec);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_CHART_SVG_CHART_H_
