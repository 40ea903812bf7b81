#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/tool/chart/axis.h"
#include "services/tool/chart/svg_chart.h"
#include "testing/base/matchers.h"

namespace bulkhead::tool {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<std::string> Labels(const Axis& axis) {
  std::vector<std::string> labels;
  std::transform(axis.ticks.begin(), axis.ticks.end(), std::back_inserter(labels),
                 [](const Tick& tick) { return tick.label; });
  return labels;
}

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

TEST(AxisTest, NumbersAreMarkedAtRoundValuesAroundTheData) {
  const Axis axis = NumberAxis(3, 97, 5, /*exact=*/false);

  EXPECT_THAT(Labels(axis), ElementsAre("0", "20", "40", "60", "80", "100"));
  EXPECT_EQ(axis.low, 0);
  EXPECT_EQ(axis.high, 100);
}

TEST(AxisTest, OneValueStillHasAnAxis) {
  for (double value : {0.0, 5.0, -3.0, 1e12}) {
    const Axis axis = NumberAxis(value, value, 5, /*exact=*/true);
    EXPECT_LT(axis.low, value);
    EXPECT_GT(axis.high, value);
  }
}

TEST(AxisTest, TimesAreMarkedWhereCalendarUnitsBegin) {
  const Axis months = TimeAxis(*ParseIsoTime("2021-01-15"), *ParseIsoTime("2021-06-20"), 6);
  EXPECT_THAT(Labels(months), ElementsAre("Feb 2021", "Mar 2021", "Apr 2021", "May 2021", "Jun 2021"));

  const Axis years = TimeAxis(*ParseIsoTime("1990-03-01"), *ParseIsoTime("2003-08-01"), 7);
  EXPECT_THAT(Labels(years), ElementsAre("1992", "1994", "1996", "1998", "2000", "2002"));
}

TEST(AxisTest, AnySpanOfTimeHasAHandfulOfTicks) {
  for (double span = 1; span < 4e9; span *= 3) {
    const Axis axis = TimeAxis(1e9, 1e9 + span, 6);
    EXPECT_THAT(axis.ticks, SizeIs(AllOf(Ge(1u), Le(20u)))) << span;
  }
}

TEST(AxisTest, LargeAndSmallNumbersAreShort) {
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(1234), "1,234");
  EXPECT_EQ(ShortNumber(-1234), "-1,234");
  EXPECT_EQ(ShortNumber(12500), "12.5k");
  EXPECT_EQ(ShortNumber(3.4e6), "3.4M");
  EXPECT_EQ(ShortNumber(0.025), "0.025");
}

TEST(SvgChartTest, TextOfTheDataCannotBecomeMarkup) {
  const ChartSpec spec{.title = "<script>alert(1)</script>",
                       .series = {{.name = "", .points = {{.x = std::string("a\"b&<c>\x01"), .y = 1}}}}};

  ASSERT_OK_AND_ASSIGN(const std::string svg, RenderSvg(spec));

  EXPECT_THAT(svg, Not(HasSubstr("<script")));
  EXPECT_THAT(svg, HasSubstr("a&quot;b&amp;&lt;c&gt; "));
}

TEST(SvgChartTest, EachBarHasItsBoxAndManyLongNamesMakeThemLie) {
  ChartSpec spec{
      .series = {{.name = "", .points = {{.x = std::string("up"), .y = 5}, {.x = std::string("down"), .y = -5}}}}};
  ASSERT_OK_AND_ASSIGN(const std::string standing, RenderSvg(spec));
  EXPECT_EQ(Count(standing, "<rect"), 2);

  spec.series[0].points.clear();
  for (int i = 0; i < 15; ++i) {
    spec.series[0].points.push_back({.x = "a rather long name " + std::to_string(i), .y = i});
  }
  ASSERT_OK_AND_ASSIGN(const std::string lying, RenderSvg(spec));
  EXPECT_EQ(Count(lying, "<rect"), 15);
  EXPECT_EQ(Count(lying, "a rather long name 1<"), 1);
}

TEST(SvgChartTest, AMissingValueBreaksTheLine) {
  const ChartSpec spec{.kind = ChartKind::kLine,
                       .series = {{.name = "",
                                   .points = {{.x = 1.0, .y = 1},
                                              {.x = 2.0, .y = 2},
                                              {.x = 3.0, .y = std::nullopt},
                                              {.x = 4.0, .y = 3},
                                              {.x = 5.0, .y = 1}}}}};

  ASSERT_OK_AND_ASSIGN(const std::string svg, RenderSvg(spec));

  EXPECT_EQ(Count(svg, "<polyline"), 2);
}

TEST(SvgChartTest, AHistogramOfDatesHasABoxForEachBin) {
  const ChartSpec spec{.kind = ChartKind::kHistogram,
                       .bins = {{.from = std::string("2021-01-01"), .to = std::string("2021-02-01"), .count = 4},
                                {.from = std::string("2021-02-01"), .to = std::string("2021-03-01"), .count = 0}}};

  ASSERT_OK_AND_ASSIGN(const std::string svg, RenderSvg(spec));

  EXPECT_EQ(Count(svg, "<rect"), 2);
}

TEST(SvgChartTest, WhatCannotBeDrawnIsRefusedWithItsPlace) {
  EXPECT_THAT(RenderSvg({}), HasReason(absl::StatusCode::kInvalidArgument, "CHART_DATA_EMPTY"));
  EXPECT_THAT(RenderSvg({.kind = ChartKind::kHistogram}),
              HasReason(absl::StatusCode::kInvalidArgument, "CHART_DATA_EMPTY"));
  const auto line = [](std::vector<ChartPoint> points) {
    return RenderSvg({.kind = ChartKind::kLine, .series = {{.name = "", .points = std::move(points)}}});
  };
  EXPECT_THAT(line({{.x = std::string("north"), .y = 1}}),
              HasReason(absl::StatusCode::kInvalidArgument, "CHART_DATA_INVALID"));
  EXPECT_THAT(line({{.x = 1.0, .y = 1}, {.x = std::string("2021-01-01"), .y = 1}}),
              HasReason(absl::StatusCode::kInvalidArgument, "CHART_DATA_INVALID"));
  EXPECT_THAT(line({{.x = 1.0, .y = std::numeric_limits<double>::infinity()}}),
              HasReason(absl::StatusCode::kInvalidArgument, "CHART_DATA_INVALID"));
  EXPECT_THAT(RenderSvg({.series = std::vector<ChartSeries>(13)}),
              HasReason(absl::StatusCode::kInvalidArgument, "CHART_DATA_INVALID"));
}

}  // namespace
}  // namespace bulkhead::tool
