#include "services/bulkhead/cli/runs_timeline.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/event_printer.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::SizeIs;

json Event(std::string type, int second, json payload) {
  return {{"type", type},
          {"time", absl::StrCat("2026-03-01T12:00:0", second, "Z")},
          {PayloadKey(type), std::move(payload)}};
}

json RunOf(json timing) {
  return {{"createTime", "2026-03-01T12:00:00Z"}, {"endTime", "2026-03-01T12:00:08Z"}, {"timing", std::move(timing)}};
}

TEST(RunsTimelineTest, DrawsABarForEachThingThatTookTime) {
  const json run = RunOf({{"queued", "1s"}, {"tools", "4s"}, {"approval", "2s"}, {"agent", "1s"}, {"model", "0s"}});
  const std::vector<json> events = {
      Event("run_queued", 0, json::object()),
      Event("agent_started", 1, {{"queued", "1s"}}),
      Event("tool_executing", 1, {{"step", 1}, {"tool", "tools/table.load"}}),
      Event("tool_executing", 2, {{"step", 2}, {"tool", "tools/table.query"}}),
      Event("tool_completed", 4, {{"step", 2}, {"error", {{"reason", "SQL_INVALID"}}}}),
      Event("tool_completed", 5, {{"step", 1}}),
      Event("approval_requested", 5, {{"approval", "users/a/runs/r/approvals/p"}}),
      Event("approval_resolved", 7, {{"approval", "users/a/runs/r/approvals/p"}, {"allowed", true}}),
      Event("agent_completed", 8, {{"summary", "done"}}),
  };
  EXPECT_THAT(
      DrawTimeline(run, events, 8),
      ElementsAre("time  8.00 s  queued 1.00 s (12%)  tools 4.00 s (50%)  people 2.00 s (25%)  own code 1.00 s (12%)",
                  "queued                 █        1.00 s",          //
                  "table.load              ████    4.00 s",          //
                  "table.query              ▒▒     2.00 s, failed",  //
                  "waits for a person          ██  2.00 s"));
}

TEST(RunsTimelineTest, ModelCallsHaveTheirBars) {
  const std::vector<json> events = {Event("agent_started", 0, {{"queued", "0s"}}),
                                    Event("model_calling", 2, {{"step", 1}, {"model", "small"}}),
                                    Event("model_completed", 6, {{"step", 1}, {"model", "small"}})};
  const std::vector<std::string> lines = DrawTimeline(RunOf({{"model", "4s"}, {"agent", "4s"}}), events, 8);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0], "time  8.00 s  model 4.00 s (50%)  own code 4.00 s (50%)");
  EXPECT_TRUE(lines[2].starts_with("model small ") && lines[2].ends_with("  ████   4.00 s")) << lines[2];
}

TEST(RunsTimelineTest, RunThatGoesOnIsDrawnToItsLastEvent) {
  json run = RunOf({{"queued", "1s"}});
  run.erase("endTime");
  const std::vector<json> events = {Event("agent_started", 1, {{"queued", "1s"}}),
                                    Event("tool_executing", 2, {{"step", 1}, {"tool", "tools/slow\x1b[31m"}}),
                                    Event("agent_thinking", 4, {{"text", "still at it"}})};
  const std::vector<std::string> lines = DrawTimeline(run, events, 4);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_TRUE(lines[2].ends_with("  ██ 2.00 s, goes on")) << lines[2];
  EXPECT_EQ(lines[2].find('\x1b'), std::string::npos) << "names do not command the terminal";
}

TEST(RunsTimelineTest, ManyBarsAreSummedUp) {
  std::vector<json> events;
  for (int step = 1; step <= 100; ++step) {
    events.push_back(Event("tool_executing", 1, {{"step", step}, {"tool", "tools/t"}}));
  }
  const std::vector<std::string> lines = DrawTimeline(RunOf(json::object()), events, 10);
  ASSERT_THAT(lines, SizeIs(42));
  EXPECT_EQ(lines.back(), "... and 61 more");
  EXPECT_THAT(DrawTimeline(json::object(), {}, 10), SizeIs(1)) << "nothing to draw is no reason to fail";
}

}  // namespace
}  // namespace bulkhead::cli
