// Where values lie on an axis, and which of them are marked.
#ifndef SERVICES_TOOL_CHART_AXIS_H_
#define SERVICES_TOOL_CHART_AXIS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::tool {

struct Tick {
  double value;
  std::string label;
};

// Maps values to pixels, linearly. Times are seconds since the Unix epoch.
struct Axis {
  double low = 0;   // The value at pixel `begin`.
  double high = 1;  // The value at pixel `end`; never equal to low.
  double begin = 0;
  double end = 1;
  std::vector<Tick> ticks;

  double At(double value) const { return begin + (value - low) / (high - low) * (end - begin); }
};

// An axis for numbers from `low` to `high`, with about `wanted` ticks at round numbers. `exact` ends the axis at the data, otherwise at the tick beyond.
Axis NumberAxis(double low, double high, int wanted, bool exact);

// The same for times; ticks lie at the beginnings of years, months, days or hours (UTC).
Axis TimeAxis(double low, double high, int wanted);

// "1,234", "12.5k", "3.4M", "0.025".
std::string ShortNumber(double value);

// Seconds since the Unix epoch; nullopt when `text` is no ISO 8601 date or time. Without a zone it is UTC.
std::optional<double> ParseIsoTime(std::string_view text);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_CHART_AXIS_H_
