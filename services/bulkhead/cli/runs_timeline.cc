#include "services/bulkhead/cli/runs_timeline.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/event_printer.h"
#include "services/bulkhead/cli/session.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

// More are summed up in one line.
constexpr size_t kMaxBars = 40;
constexpr int kLabelWidth = 22;

struct Bar {
  std::string label;
  absl::Time begin;
  std::optional<absl::Time> end;
  bool failed = false;
};

std::string Text(const json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? Printable(value->get_ref<const std::string&>()) : "";
}

std::optional<absl::Time> TimeAt(const json& object, const char* key) {
  absl::Time time;
  return absl::ParseTime(absl::RFC3339_full, Text(object, key), &time, nullptr) ? std::optional(time) : std::nullopt;
}

// Of a proto duration in JSON, "1.530s".
absl::Duration DurationAt(const json& object, const char* key) {
  double seconds = 0;
  return absl::SimpleAtod(absl::StripSuffix(Text(object, key), "s"), &seconds) ? absl::Seconds(seconds)
                                                                               : absl::ZeroDuration();
}

std::string Short(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  return seconds < 1     ? absl::StrFormat("%.0f ms", seconds * 1000)
         : seconds < 600 ? absl::StrFormat("%.2f s", seconds)
                         : absl::FormatDuration(absl::Trunc(duration, absl::Seconds(1)));
}

std::string Parts(const json& run) {
  constexpr std::pair<const char*, std::string_view> kParts[] = {
      {"queued", "queued"},     {"tools", "tools"},           {"model", "model"},
      {"children", "children"}, {"approval", "people"},       {"sleep", "asleep"},
      {"journal", "journal"},   {"interrupted", "held back"}, {"agent", "own code"}};
  const json timing = run.value("timing", json::object());
  absl::Duration total;
  for (const auto& [key, name] : kParts) {
    total += DurationAt(timing, key);
  }
  std::string line = absl::StrCat("time  ", Short(total));
  for (const auto& [key, name] : kParts) {
    if (const absl::Duration part = DurationAt(timing, key); part > absl::ZeroDuration()) {
      absl::StrAppend(&line, "  ", name, " ", Short(part),
                      absl::StrFormat(" (%.0f%%)", 100 * absl::FDivDuration(part, total)));
    }
  }
  return line;
}

// A bar a pair of events: of tools, models and children by their step, of approvals by their name.
std::vector<Bar> BarsOf(const json& run, const std::vector<json>& events, absl::Time begin) {
  std::vector<Bar> bars;
  std::map<std::string, size_t> open;
  const auto start = [&](std::string key, std::string label, absl::Time time) {
    open[std::move(key)] = bars.size();
    bars.push_back({.label = std::move(label), .begin = time, .end = std::nullopt});
  };
  const auto finish = [&](const std::string& key, absl::Time time, bool failed) {
    if (auto found = open.find(key); found != open.end()) {
      bars[found->second].end = time;
      bars[found->second].failed = failed;
      open.erase(found);
    }
  };
  start("queued", "queued", begin);
  for (const json& event : events) {
    const std::optional<absl::Time> time = TimeAt(event, "time");
    const std::string type = Text(event, "type");
    if (!time.has_value()) {
      continue;
    }
    const json payload = event.value(PayloadKey(type), json::object());
    const std::string step = absl::StrCat("step ", payload.value("step", 0));
    const bool failed = payload.contains("error");
    if (type == "agent_started") {
      finish("queued", *time, false);
    } else if (type == "tool_executing") {
      start(step, std::string(LastSegment(Text(payload, "tool"))), *time);
    } else if (type == "model_calling") {
      start(step, absl::StrCat("model ", Text(payload, "model")), *time);
    } else if (type == "child_started") {
      start(step, absl::StrCat("child ", LastSegment(Text(payload, "agent"))), *time);
    } else if (type == "tool_completed" || type == "model_completed" || type == "child_ended") {
      finish(step, *time, failed);
    } else if (type == "approval_requested") {
      start(Text(payload, "approval"), "waits for a person", *time);
    } else if (type == "approval_resolved") {
      finish(Text(payload, "approval"), *time, !payload.value("allowed", false));
    } else if (type == "run_interrupted") {
      start("held", "held back", *time);
    } else if (type == "run_resumed") {
      finish("held", *time, false);
    }
  }
  // Nothing outlasts the run.
  if (const std::optional<absl::Time> end = TimeAt(run, "endTime"); end.has_value()) {
    for (Bar& bar : bars) {
      bar.end = bar.end.value_or(*end);
    }
  }
  return bars;
}

}  // namespace

std::vector<std::string> DrawTimeline(const json& run, const std::vector<json>& events, int width) {
  std::vector<std::string> lines = {Parts(run)};
  const std::optional<absl::Time> begin = TimeAt(run, "createTime");
  std::optional<absl::Time> end = TimeAt(run, "endTime");
  if (!end.has_value() && !events.empty()) {
    end = TimeAt(events.back(), "time");
  }
  if (!begin.has_value() || !end.has_value() || *end <= *begin || width < 1) {
    return lines;
  }
  const std::vector<Bar> bars = BarsOf(run, events, *begin);
  const auto column = [&](absl::Time time) {
    const double share = absl::FDivDuration(time - *begin, *end - *begin);
    return std::clamp(static_cast<int>(share * width), 0, width);
  };
  for (size_t i = 0; i < std::min(bars.size(), kMaxBars); ++i) {
    const Bar& bar = bars[i];
    const int from = std::min(column(bar.begin), width - 1);
    const int to = std::max(column(bar.end.value_or(*end)), from + 1);  // However short, it is seen.
    std::string drawn(static_cast<size_t>(from), ' ');
    for (int at = from; at < to; ++at) {
      absl::StrAppend(&drawn, bar.failed ? "\xE2\x96\x92" : "\xE2\x96\x88");  // A medium shade, a full block.
    }
    drawn.append(static_cast<size_t>(width - to), ' ');
    lines.push_back(absl::StrFormat("%-*s %s %s%s", kLabelWidth, bar.label.substr(0, kLabelWidth), drawn,
                                    Short(bar.end.value_or(*end) - bar.begin),
                                    !bar.end.has_value() ? ", goes on"
                                    : bar.failed         ? ", failed"
                                                         : ""));
  }
  if (bars.size() > kMaxBars) {
    lines.push_back(absl::StrCat("... and ", bars.size() - kMaxBars, " more"));
  }
  return lines;
}

}  // namespace bulkhead::cli
