#include "services/tool/chart/axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"

namespace bulkhead::tool {
namespace {

// The smallest of 1, 2, 5 times a power of ten that is not below `step`.
double RoundStep(double step) {
  const double power = std::pow(10, std::floor(std::log10(step)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= step * (1 - 1e-9)) {
      return factor * power;
    }
  }
  return 10 * power;
}

double Seconds(absl::Time time) { return absl::ToDoubleSeconds(time - absl::UnixEpoch()); }

// A distance between ticks: `count` years, months, days or seconds.
struct TimeStep {
  enum class Unit { kYear, kMonth, kDay, kSecond } unit;
  int64_t count;
  double seconds;  // About.
  const char* format;
};

constexpr double kDay = 86400;
using Unit = TimeStep::Unit;
constexpr std::array<TimeStep, 18> kTimeSteps = {{
    {Unit::kSecond, 1, 1, "%H:%M:%S"},
    {Unit::kSecond, 10, 10, "%H:%M:%S"},
    {Unit::kSecond, 60, 60, "%H:%M"},
    {Unit::kSecond, 600, 600, "%H:%M"},
    {Unit::kSecond, 3600, 3600, "%H:%M"},
    {Unit::kSecond, 4 * 3600, 4 * 3600, "%d %b %H:%M"},
    {Unit::kSecond, 12 * 3600, 12 * 3600, "%d %b %H:%M"},
    {Unit::kDay, 1, kDay, "%d %b"},
    {Unit::kDay, 2, 2 * kDay, "%d %b"},
    {Unit::kDay, 7, 7 * kDay, "%d %b"},
    {Unit::kMonth, 1, 30.4 * kDay, "%b %Y"},
    {Unit::kMonth, 3, 91 * kDay, "%b %Y"},
    {Unit::kMonth, 6, 183 * kDay, "%b %Y"},
    {Unit::kYear, 1, 365.25 * kDay, "%Y"},
    {Unit::kYear, 2, 2 * 365.25 * kDay, "%Y"},
    {Unit::kYear, 5, 5 * 365.25 * kDay, "%Y"},
    {Unit::kYear, 10, 10 * 365.25 * kDay, "%Y"},
    {Unit::kYear, 50, 50 * 365.25 * kDay, "%Y"},
}};

// The first instant of `step`'s kind that is not before `from`.
absl::CivilSecond FirstTick(const TimeStep& step, absl::CivilSecond from) {
  switch (step.unit) {
    case Unit::kYear: {
      const int64_t year = (from.year() + step.count - 1) / step.count * step.count;
      const absl::CivilSecond at(year);
      return at < from ? absl::CivilSecond(year + step.count) : at;
    }
    case Unit::kMonth: {
      absl::CivilMonth at(from.year(), (from.month() - 1) / step.count * step.count + 1);
      while (absl::CivilSecond(at) < from) {
        at += step.count;
      }
      return absl::CivilSecond(at);
    }
    case Unit::kDay: {
      absl::CivilDay at(from);
      while (absl::CivilSecond(at) < from || (at - absl::CivilDay(1970, 1, 5)) % step.count != 0) {
        ++at;
      }
      return absl::CivilSecond(at);
    }
    case Unit::kSecond: {
      const absl::CivilSecond day = absl::CivilSecond(absl::CivilDay(from));
      const int64_t since = from - day;
      return day + (since + step.count - 1) / step.count * step.count;
    }
  }
  return from;
}

absl::CivilSecond NextTick(const TimeStep& step, absl::CivilSecond at) {
  switch (step.unit) {
    case Unit::kYear:
      return absl::CivilSecond(absl::CivilYear(at) + step.count);
    case Unit::kMonth:
      return absl::CivilSecond(absl::CivilMonth(at) + step.count);
    case Unit::kDay:
      return absl::CivilSecond(absl::CivilDay(at) + step.count);
    case Unit::kSecond:
      return at + step.count;
  }
  return at;
}

}  // namespace

std::string ShortNumber(double value) {
  const double size = std::abs(value);
  struct Scale {
    double unit;
    const char* suffix;
  };
  for (const Scale& scale : {Scale{1e12, "T"}, Scale{1e9, "G"}, Scale{1e6, "M"}, Scale{1e4, "k"}}) {
    if (size >= scale.unit) {
      const double unit = scale.unit == 1e4 ? 1e3 : scale.unit;
      return absl::StrFormat("%.4g%s", value / unit, scale.suffix);
    }
  }
  if (size >= 1000 && value == std::floor(value)) {
    return absl::StrFormat("%d,%03d", static_cast<int64_t>(value) / 1000, static_cast<int64_t>(size) % 1000);
  }
  return absl::StrFormat("%.4g", value);
}

Axis NumberAxis(double low, double high, int wanted, bool exact) {
  if (low == high) {
    const double around = low == 0 ? 1 : std::abs(low) / 2;
    low -= around;
    high += around;
    exact = false;
  }
  const double step = RoundStep((high - low) / std::max(wanted, 1));
  const double first = exact ? std::ceil(low / step - 1e-9) : std::floor(low / step + 1e-9);
  const double last = exact ? std::floor(high / step + 1e-9) : std::ceil(high / step - 1e-9);
  Axis axis{.low = exact ? low : first * step, .high = exact ? high : last * step};
  for (double i = first; i <= last; ++i) {
    const double value = i == 0 ? 0 : i * step;
    axis.ticks.push_back({.value = value, .label = ShortNumber(value)});
  }
  return axis;
}

Axis TimeAxis(double low, double high, int wanted) {
  if (low == high) {
    low -= kDay / 2;
    high += kDay / 2;
  }
  Axis axis{.low = low, .high = high};
  const double distance = (high - low) / std::max(wanted, 1);
  const auto* step = std::find_if(kTimeSteps.begin(), kTimeSteps.end(),
                                  [&](const TimeStep& candidate) { return candidate.seconds >= distance; });
  if (step == kTimeSteps.end()) {
    --step;
  }
  const absl::TimeZone utc = absl::UTCTimeZone();
  absl::CivilSecond at = FirstTick(*step, absl::ToCivilSecond(absl::UnixEpoch() + absl::Seconds(low), utc));
  for (double seconds = Seconds(absl::FromCivil(at, utc)); seconds <= high && axis.ticks.size() < 50;
       at = NextTick(*step, at), seconds = Seconds(absl::FromCivil(at, utc))) {
    if (seconds >= low) {
      axis.ticks.push_back({.value = seconds, .label = absl::FormatTime(step->format, absl::FromCivil(at, utc), utc)});
    }
  }
  return axis;
}

std::optional<double> ParseIsoTime(std::string_view text) {
  for (const char* format :
       {"%Y-%m-%d", "%Y-%m-%d%ET%H:%M:%E*S", "%Y-%m-%d%ET%H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S", "%Y-%m", "%Y"}) {
    absl::Time time;
    if (absl::ParseTime(format, text, absl::UTCTimeZone(), &time, nullptr)) {
      return Seconds(time);
    }
  }
  return std::nullopt;
}

}  // namespace bulkhead::tool
