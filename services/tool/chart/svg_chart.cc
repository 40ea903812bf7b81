#include "services/tool/chart/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/chart/axis.h"

namespace bulkhead::tool {
namespace {

constexpr size_t kMaxSeries = 12;
// Apart in hue and in lightness, readable on white and on near-black.
constexpr std::array<std::string_view, kMaxSeries> kColours = {"#3b7dd8", "#e07b39", "#3a9d6e", "#b35fb0",
                                                               "#c94f4f", "#8a8f2f", "#2fa3b5", "#9a6b4f",
                                                               "#6f6fd1", "#d1698f", "#5f8f3f", "#7f8590"};
constexpr double kCharacter = 6.6;  // The width of one at 12 px, about.
constexpr size_t kLongestLabel = 28;

absl::Status Invalid(std::string_view reason, std::string_view message, std::string place) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, message,
      {.domain = "bulkhead.tool", .reason = std::string(reason), .metadata = {{"place", std::move(place)}}});
}

absl::Status Empty() {
  return Invalid("CHART_DATA_EMPTY", "The chart has nothing to draw: give at least one value.", "");
}

// Text for an element or attribute. Control characters, which XML does not allow, become spaces.
std::string Escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return escaped;
}

size_t Letters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// At most kLongestLabel letters, cut between letters of UTF-8.
std::string Shorten(std::string_view text) {
  size_t letters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80 && ++letters > kLongestLabel) {
      return absl::StrCat(text.substr(0, i), "…");
    }
  }
  return std::string(text);
}

// Where the data is drawn; y grows downwards.
struct Frame {
  double left, right, top, bottom;
};

// The document under construction.
class Canvas {
 public:
  explicit Canvas(const ChartSpec& spec) {
    absl::StrAppendFormat(
        &svg_,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\">\n"
        "<title>%s</title>\n"
        "<style>text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:16px;font-weight:600}.sub{fill:#777}"
        ".grid{stroke:#8884;stroke-width:1}.axis{stroke:#888;stroke-width:1}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}.sub{fill:#999}}</style>\n",
        spec.width, spec.height, spec.width, spec.height, Escape(spec.title));
  }

  // `anchor`: start, middle or end. `degrees` turns it around its point.
  void Text(double x, double y, std::string_view anchor, std::string_view text, std::string_view css = "",
            int degrees = 0) {
    absl::StrAppendFormat(&svg_, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"", x, y, anchor);
    if (!css.empty()) {
      absl::StrAppend(&svg_, " class=\"", css, "\"");
    }
    if (degrees != 0) {
      absl::StrAppendFormat(&svg_, " transform=\"rotate(%d %.1f %.1f)\"", degrees, x, y);
    }
    absl::StrAppend(&svg_, ">", Escape(text), "</text>\n");
  }

  void Line(double x1, double y1, double x2, double y2, std::string_view css) {
    absl::StrAppendFormat(&svg_, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", css, x1, y1,
                          x2, y2);
  }

  // From one corner to the opposite one. `hint` shows under the pointer.
  void Box(double x1, double y1, double x2, double y2, std::string_view colour, std::string_view hint) {
    absl::StrAppendFormat(
        &svg_, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>%s</title></rect>\n",
        std::min(x1, x2), std::min(y1, y2), std::abs(x2 - x1), std::abs(y2 - y1), colour, Escape(hint));
  }

  void Dot(double x, double y, double radius, double opacity, std::string_view colour) {
    absl::StrAppendFormat(&svg_, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\"%.2f\"/>\n", x,
                          y, radius, colour, opacity);
  }

  void Polyline(const std::vector<std::pair<double, double>>& points, std::string_view colour) {
    absl::StrAppend(&svg_, "<polyline fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke=\"", colour,
                    "\" points=\"");
    for (const auto& [x, y] : points) {
      absl::StrAppendFormat(&svg_, "%.1f,%.1f ", x, y);
    }
    absl::StrAppend(&svg_, "\"/>\n");
  }

  std::string Finish() { return absl::StrCat(svg_, "</svg>\n"); }

 private:
  std::string svg_;
};

// Draws title, subtitle, legend and axis labels, and gives what is left.
Frame DrawSurroundings(Canvas& canvas, const ChartSpec& spec, double left_labels, double bottom_labels) {
  Frame frame{
      .left = 16 + left_labels, .right = spec.width - 20.0, .top = 16, .bottom = spec.height - 12 - bottom_labels};
  if (!spec.title.empty()) {
    canvas.Text(16, 26, "start", spec.title, "title");
    frame.top = 40;
  }
  if (!spec.subtitle.empty()) {
    canvas.Text(16, frame.top + 6, "start", spec.subtitle, "sub");
    frame.top += 20;
  }
  if (spec.series.size() > 1) {
    double x = 16;
    for (size_t i = 0; i < spec.series.size(); ++i) {
      const std::string name = Shorten(spec.series[i].name);
      const double width = 26 + kCharacter * static_cast<double>(Letters(name));
      if (x > 16 && x + width > spec.width - 16) {
        x = 16;
        frame.top += 18;
      }
      canvas.Box(x, frame.top - 2, x + 10, frame.top + 8, kColours[i], name);
      canvas.Text(x + 15, frame.top + 8, "start", name);
      x += width;
    }
    frame.top += 22;
  }
  if (!spec.y_label.empty()) {
    frame.left += 20;
    canvas.Text(20, (frame.top + frame.bottom) / 2, "middle", Shorten(spec.y_label), "sub", -90);
  }
  if (!spec.x_label.empty()) {
    frame.bottom -= 20;
    canvas.Text((frame.left + frame.right) / 2, spec.height - 10.0, "middle", Shorten(spec.x_label), "sub");
  }
  frame.top += 8;
  return frame;
}

double WidestLabel(const Axis& axis) {
  size_t letters = 0;
  for (const Tick& tick : axis.ticks) {
    letters = std::max(letters, Letters(tick.label));
  }
  return kCharacter * static_cast<double>(letters);
}

void DrawYAxis(Canvas& canvas, const Frame& frame, Axis& axis) {
  axis.begin = frame.bottom;
  axis.end = frame.top;
  for (const Tick& tick : axis.ticks) {
    const double y = axis.At(tick.value);
    canvas.Line(frame.left, y, frame.right, y, tick.value == 0 ? "axis" : "grid");
    canvas.Text(frame.left - 6, y + 4, "end", tick.label);
  }
}

void DrawXAxis(Canvas& canvas, const Frame& frame, Axis& axis, bool grid) {
  axis.begin = frame.left;
  axis.end = frame.right;
  canvas.Line(frame.left, frame.bottom, frame.right, frame.bottom, "axis");
  double free_from = frame.left - 40;
  for (const Tick& tick : axis.ticks) {
    const double x = axis.At(tick.value);
    const double half = kCharacter * static_cast<double>(Letters(tick.label)) / 2;
    if (grid) {
      canvas.Line(x, frame.top, x, frame.bottom, "grid");
    }
    if (x - half >= free_from) {
      canvas.Text(x, frame.bottom + 16, "middle", tick.label);
      free_from = x + half + 8;
    }
  }
}

// The x values of a chart whose x axis is a scale: all numbers, or all times.
struct Scale {
  bool times = false;
  std::vector<std::vector<double>> values;  // A list a series.
  double low = 0;
  double high = 0;
};

struct ScaleNumber {
  double value;
  bool is_time;
};

absl::StatusOr<ScaleNumber> ScaleValue(const ChartValue& value, const std::string& place) {
  if (const double* number = std::get_if<double>(&value)) {
    if (!std::isfinite(*number)) {
      return Invalid("CHART_DATA_INVALID", absl::StrCat(place, " is not a finite number."), place);
    }
    return ScaleNumber{.value = *number, .is_time = false};
  }
  std::optional<double> time = ParseIsoTime(std::get<std::string>(value));
  if (!time.has_value()) {
    return Invalid("CHART_DATA_INVALID", absl::StrCat(place, " must be a number or an ISO 8601 date."), place);
  }
  return ScaleNumber{.value = *time, .is_time = true};
}

absl::StatusOr<Scale> ReadScale(const ChartSpec& spec) {
  Scale scale;
  bool first = true;
  for (size_t s = 0; s < spec.series.size(); ++s) {
    scale.values.emplace_back();
    for (size_t i = 0; i < spec.series[s].points.size(); ++i) {
      const std::string place = absl::StrCat("/series/", s, "/points/", i, "/0");
      ASSIGN_OR_RETURN(const ScaleNumber x, ScaleValue(spec.series[s].points[i].x, place));
      if (!first && x.is_time != scale.times) {
        return Invalid("CHART_DATA_INVALID", absl::StrCat(place, ": the x values must be all numbers or all dates."),
                       place);
      }
      scale.times = x.is_time;
      scale.low = first ? x.value : std::min(scale.low, x.value);
      scale.high = first ? x.value : std::max(scale.high, x.value);
      first = false;
      scale.values.back().push_back(x.value);
    }
  }
  return scale;
}

struct Extent {
  double low = 0;
  double high = 0;
  size_t count = 0;
};

absl::StatusOr<Extent> YExtent(const ChartSpec& spec) {
  Extent extent;
  for (size_t s = 0; s < spec.series.size(); ++s) {
    for (size_t i = 0; i < spec.series[s].points.size(); ++i) {
      const std::optional<double>& y = spec.series[s].points[i].y;
      if (!y.has_value()) {
        continue;
      }
      if (!std::isfinite(*y)) {
        const std::string place = absl::StrCat("/series/", s, "/points/", i, "/1");
        return Invalid("CHART_DATA_INVALID", absl::StrCat(place, " is not a finite number."), place);
      }
      extent.low = extent.count == 0 ? *y : std::min(extent.low, *y);
      extent.high = extent.count == 0 ? *y : std::max(extent.high, *y);
      ++extent.count;
    }
  }
  if (extent.count == 0) {
    return Empty();
  }
  return extent;
}

absl::StatusOr<std::string> RenderLinesOrPoints(const ChartSpec& spec) {
  ASSIGN_OR_RETURN(const Extent extent, YExtent(spec));
  ASSIGN_OR_RETURN(const Scale scale, ReadScale(spec));
  Canvas canvas(spec);
  Axis y = NumberAxis(extent.low, extent.high, spec.height / 70, /*exact=*/false);
  const Frame frame = DrawSurroundings(canvas, spec, WidestLabel(y) + 6, 20);
  Axis x = scale.times ? TimeAxis(scale.low, scale.high, spec.width / 110)
                       : NumberAxis(scale.low, scale.high, spec.width / 90, /*exact=*/spec.kind == ChartKind::kLine);
  DrawYAxis(canvas, frame, y);
  DrawXAxis(canvas, frame, x, /*grid=*/spec.kind == ChartKind::kScatter);
  // Many points overlap: smaller and fainter ones still show where they are dense.
  const double radius = extent.count > 2000 ? 1.5 : extent.count > 300 ? 2.2 : 3.2;
  const double opacity = extent.count > 2000 ? 0.25 : extent.count > 300 ? 0.45 : 0.75;
  for (size_t s = 0; s < spec.series.size(); ++s) {
    std::vector<std::pair<double, double>> line;
    const auto flush = [&] {
      if (line.size() == 1) {
        canvas.Dot(line[0].first, line[0].second, 2.5, 1, kColours[s]);  // A line of one point would not be seen.
      } else if (!line.empty()) {
        canvas.Polyline(line, kColours[s]);
      }
      line.clear();
    };
    for (size_t i = 0; i < spec.series[s].points.size(); ++i) {
      const std::optional<double>& value = spec.series[s].points[i].y;
      if (!value.has_value()) {
        flush();
      } else if (spec.kind == ChartKind::kLine) {
        line.emplace_back(x.At(scale.values[s][i]), y.At(*value));
      } else {
        canvas.Dot(x.At(scale.values[s][i]), y.At(*value), radius, opacity, kColours[s]);
      }
    }
    flush();
  }
  return canvas.Finish();
}

std::string Label(const ChartValue& value) {
  const double* number = std::get_if<double>(&value);
  return number != nullptr ? ShortNumber(*number) : std::get<std::string>(value);
}

// The distinct labels of all series, in order of first use.
std::vector<std::string> Categories(const ChartSpec& spec) {
  std::vector<std::string> categories;
  for (const ChartSeries& series : spec.series) {
    for (const ChartPoint& point : series.points) {
      std::string label = Label(point.x);
      if (std::find(categories.begin(), categories.end(), label) == categories.end()) {
        categories.push_back(std::move(label));
      }
    }
  }
  return categories;
}

// Calls `draw(category, series, value, hint)` for each bar.
template <typename Draw>
void ForEachBar(const ChartSpec& spec, const std::vector<std::string>& categories, Draw draw) {
  for (size_t s = 0; s < spec.series.size(); ++s) {
    for (const ChartPoint& point : spec.series[s].points) {
      if (point.y.has_value()) {
        const std::string label = Label(point.x);
        const auto at = std::find(categories.begin(), categories.end(), label) - categories.begin();
        draw(static_cast<double>(at), s, *point.y, absl::StrCat(label, ": ", absl::StrFormat("%.6g", *point.y)));
      }
    }
  }
}

// Bars lie when their names would not fit below standing ones.
absl::StatusOr<std::string> RenderBars(const ChartSpec& spec) {
  ASSIGN_OR_RETURN(const Extent extent, YExtent(spec));
  const std::vector<std::string> categories = Categories(spec);
  size_t longest = 0;
  for (const std::string& category : categories) {
    longest = std::max(longest, Letters(Shorten(category)));
  }
  const double label_width = kCharacter * static_cast<double>(longest);
  const bool lying = (label_width + 10) * static_cast<double>(categories.size()) > spec.width - 90;
  Axis value_axis = NumberAxis(std::min(extent.low, 0.0), std::max(extent.high, 0.0),
                               lying ? spec.width / 90 : spec.height / 70, /*exact=*/false);
  ChartSpec drawn = spec;
  if (lying) {
    std::swap(drawn.x_label, drawn.y_label);
  }
  Canvas canvas(drawn);
  const Frame frame = DrawSurroundings(canvas, drawn, (lying ? label_width : WidestLabel(value_axis)) + 6, 20);
  const double length = lying ? frame.bottom - frame.top : frame.right - frame.left;
  const double slot = length / static_cast<double>(categories.size());
  const double bar = slot * 0.78 / static_cast<double>(spec.series.size());
  if (lying) {
    DrawXAxis(canvas, frame, value_axis, /*grid=*/true);
  } else {
    DrawYAxis(canvas, frame, value_axis);
  }
  const double origin = lying ? frame.top : frame.left;
  // Names that would run into each other are left out, evenly.
  const size_t every = lying ? static_cast<size_t>(std::max(1.0, std::ceil(13 / slot))) : 1;
  for (size_t c = 0; c < categories.size(); c += every) {
    const double middle = origin + slot * (static_cast<double>(c) + 0.5);
    if (lying) {
      canvas.Text(frame.left - 6, middle + 4, "end", Shorten(categories[c]));
    } else {
      canvas.Text(middle, frame.bottom + 16, "middle", Shorten(categories[c]));
    }
  }
  ForEachBar(spec, categories, [&](double category, size_t series, double value, const std::string& hint) {
    const double begin = origin + slot * (category + 0.11) + bar * static_cast<double>(series);
    const double zero = value_axis.At(0);
    const double tip = value_axis.At(value);
    if (lying) {
      canvas.Box(zero, begin, tip, begin + bar, kColours[series], hint);
    } else {
      canvas.Box(begin, zero, begin + bar, tip, kColours[series], hint);
    }
  });
  return canvas.Finish();
}

absl::StatusOr<std::string> RenderHistogram(const ChartSpec& spec) {
  if (spec.bins.empty()) {
    return Empty();
  }
  std::vector<std::pair<double, double>> edges;
  bool times = false;
  double highest = 1;
  for (size_t i = 0; i < spec.bins.size(); ++i) {
    const std::string place = absl::StrCat("/bins/", i);
    ASSIGN_OR_RETURN(const ScaleNumber from, ScaleValue(spec.bins[i].from, place));
    ASSIGN_OR_RETURN(const ScaleNumber to, ScaleValue(spec.bins[i].to, place));
    if (from.is_time != to.is_time || (i > 0 && from.is_time != times) || to.value < from.value ||
        spec.bins[i].count < 0) {
      return Invalid(
          "CHART_DATA_INVALID",
          absl::StrCat(place,
                       ": a bin goes from a number or date to a later one of the same kind, and counts at least 0."),
          place);
    }
    times = from.is_time;
    edges.emplace_back(from.value, to.value);
    highest = std::max(highest, static_cast<double>(spec.bins[i].count));
  }
  Canvas canvas(spec);
  Axis y = NumberAxis(0, highest, spec.height / 70, /*exact=*/false);
  const Frame frame = DrawSurroundings(canvas, spec, WidestLabel(y) + 6, 20);
  const double low = edges.front().first;
  const double high = edges.back().second;
  Axis x = times ? TimeAxis(low, high, spec.width / 110) : NumberAxis(low, high, spec.width / 90, /*exact=*/true);
  DrawYAxis(canvas, frame, y);
  DrawXAxis(canvas, frame, x, /*grid=*/false);
  for (size_t i = 0; i < edges.size(); ++i) {
    const double left = x.At(edges[i].first);
    const double right = std::max(x.At(edges[i].second), left + 2);
    canvas.Box(left + 0.5, y.At(0), right - 0.5, y.At(static_cast<double>(spec.bins[i].count)), kColours[0],
               absl::StrCat(Label(spec.bins[i].from), " to ", Label(spec.bins[i].to), ": ", spec.bins[i].count));
  }
  return canvas.Finish();
}

}  // namespace

absl::StatusOr<std::string> RenderSvg(const ChartSpec& spec) {
  if (spec.series.size() > kMaxSeries) {
    return Invalid("CHART_DATA_INVALID",
                   absl::StrCat("A chart has at most ", kMaxSeries, " series; this has ", spec.series.size(), "."),
                   "/series");
  }
  switch (spec.kind) {
    case ChartKind::kBar:
      return RenderBars(spec);
    case ChartKind::kLine:
    case ChartKind::kScatter:
      return RenderLinesOrPoints(spec);
    case ChartKind::kHistogram:
      return RenderHistogram(spec);
  }
  return Empty();
}

}  // namespace bulkhead::tool
