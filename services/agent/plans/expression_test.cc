// JMESPath as the specification has it: held against an independent implementation, jsoncons, over expressions that use all of the language; and
// what that one does not promise: bounds.
#include "services/agent/plans/expression.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "jsoncons/json.hpp"
#include "jsoncons_ext/jmespath/jmespath.hpp"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "testing/base/matchers.h"

namespace bulkhead::agent {
namespace {

using bulkhead::testing::HasReason;
using nlohmann::json;
using ::testing::ElementsAre;

constexpr const char* kData = R"({
  "n": {"one": 1, "two": 2.5, "neg": -3, "text": "12.5", "none": null},
  "s": {"word": "h\u00e9llo", "empty": "", "list": ["b", "a", "c"]},
  "people": [
    {"name": "Ada", "age": 36, "tags": ["math", "code"], "home": {"town": "London"}},
    {"name": "Bob", "age": 20, "tags": [], "home": {"town": "Paris"}},
    {"name": "Cyd", "age": 36, "tags": ["code"], "home": null},
    {"name": "Dan", "age": null, "tags": ["x", ["y", "z"]]}
  ],
  "grid": [[1, 2], [3, [4, 5]], 6, []],
  "by": {"b": {"v": 2}, "a": {"v": 1}, "c": {"w": 3}},
  "numbers": [5, 1, 4, 2, 3],
  "flags": {"yes": true, "no": false},
  "odd name": {"a-b": 7}
})";

absl::StatusOr<json> Evaluated(const std::string& text, const json& data) {
  absl::StatusOr<Expression> expression = Expression::Parse(text);
  if (!expression.ok()) {
    return expression.status();
  }
  Expression::Scope scope;
  for (const auto& [name, value] : data.items()) {
    scope[name] = std::make_shared<const json>(value);
  }
  ExpressionFuel fuel;
  absl::StatusOr<Expression::Value> value = expression->Evaluate(scope, fuel);
  return value.ok() ? absl::StatusOr<json>(**value) : value.status();
}

TEST(ExpressionTest, GivesWhatAnotherImplementationGives) {
  const json data = json::parse(kData);
  const auto theirs = jsoncons::json::parse(kData);
  for (const char* text : {
           "n.one",
           "n.missing",
           "n.none",
           "missing.deeper",
           R"("odd name"."a-b")",
           "numbers[0]",
           "numbers[-1]",
           "numbers[9]",
           "numbers[1:3]",
           "numbers[:2]",
           "numbers[::2]",
           "numbers[::-1]",
           "numbers[-2:]",
           "numbers[3:1:-1]",
           "numbers[10:-10:-1]",
           "numbers[5:0:-2]",
           "people[*].name",
           "people[].tags",
           "people[].tags[]",
           "people[*].tags[]",
           "people[*].tags[0]",
           "grid[]",
           "grid[][]",
           "grid[*][0]",
           "people[*].home.town",
           "people[1:].name",
           "by.*",
           "by.*.v",
           "people[?age == `36`].name",
           "people[?age > `20`].name",
           "people[?age != `36`].name",
           "people[?tags].name",
           "people[?!tags].name",
           "people[?contains(tags, 'code')].name",
           "people[?age == `36` && home].name",
           "people[?age == `20` || name == 'Cyd'].name",
           "people[?age >= `20` && age <= `30`] | [0].name",
           "people[?age < `30`].home.town | [0]",
           "people[*].[name, age]",
           "people[*].{who: name, where: home.town}",
           "{a: n.one, b: s.word}",
           "[n.one, n.two]",
           "n.[one, two]",
           "n.{x: one}",
           "n.missing.[a]",
           "n.missing.{a: b}",
           "n.missing || n.one",
           "n.one && n.two",
           "!n.one",
           "!n.none",
           "flags.yes && !flags.no",
           "(n.missing || n.one) == `1`",
           "n.one == `1.0`",
           "n.one == '1'",
           "numbers == `[5, 1, 4, 2, 3]`",
           "n.one < 'a'",
           "s.word",
           "s.word == 'h\xc3\xa9llo'",
           "`\"raw\"`",
           "'it\\'s'",
           "'back\\\\slash'",
           "'keep\\n'",
           "`{\"a\": [1, null]}`",
           "abs(n.neg)",
           "avg(numbers)",
           "ceil(n.two)",
           "floor(n.two)",
           "contains(s.word, 'll')",
           "contains(numbers, `4`)",
           "ends_with(s.word, 'lo')",
           "starts_with(s.word, 'he')",
           "join(', ', s.list)",
           "keys(by)",
           "values(flags)",
           "length(s.word)",
           "length(numbers)",
           "length(by)",
           "map(&name, people)",
           "map(&home.town, people)",
           "max(numbers)",
           "min(s.list)",
           "max_by(people[:3], &age).name",
           "min_by(people[:3], &age).name",
           "merge(n, flags)",
           "not_null(n.none, n.missing, n.two)",
           "reverse(numbers)",
           "reverse(s.word)",
           "sort(numbers)",
           "sort(s.list)",
           "sort_by(people[:3], &age)[*].name",
           "sort_by(people, &name)[0].name",
           "sum(numbers)",
           "sum(people[:3].age)",
           "to_array(n.one)",
           "to_array(numbers)",
           "to_number(n.text)",
           "to_number(s.word)",
           "to_number(numbers)",
           "to_string(numbers)",
           "to_string(s.word)",
           "type(n)",
           "type(n.one)",
           "type(n.none)",
           "type(s.word)",
           "type(flags.yes)",
           "type(numbers)",
           "people[*].tags | [0]",
           "people[0].tags[*] | length(@)",
           "@.n.one",
           "numbers | [0]",
           "people[?length(tags) > `1`].{n: name, c: length(tags)}",
           "sort(people[].tags[] | [?type(@) == 'string'])",
           "by.*.v | sum(@)",
           "people[?home.town == 'Paris'] | [0].tags | length(@)",
           "max(`[]`)",
           "grid[?type(@) == 'array'][]",
           "people[*].missing",
           "people.name",
           "n[0]",
           "numbers.x",
           "avg(`[]`)",
       }) {
    std::error_code error;
    const auto expected = jsoncons::jmespath::search(theirs, text, error);
    ASSERT_FALSE(error) << text << ": " << error.message();
    const absl::StatusOr<json> got = Evaluated(text, data);
    ASSERT_OK(got) << text;
    EXPECT_EQ(*got, json::parse(expected.to_string())) << text;
  }
}

// Not held against the other implementation, which reads past its own state on some of these.
TEST(ExpressionTest, MalformedOrMistypedExpressionsAreRefused) {
  const json data = json::parse(kData);
  for (const char* text : {"",
                           "n.",
                           "n..one",
                           ".n",
                           "n.one.",
                           "numbers[",
                           "numbers[0",
                           "numbers[a]",
                           "numbers[::0]",
                           "numbers[1:2:3:4]",
                           "people[?age",
                           "people[?]",
                           "(n.one",
                           "n.one)",
                           "{a: n.one",
                           "{a n.one}",
                           "{}",
                           "[n.one",
                           "'open",
                           "\"open",
                           "`open",
                           "`{bad}`",
                           "n.one = `1`",
                           "n.one & n.two",
                           "nothing(n)",
                           "abs()",
                           "abs(n.one, n.two)",
                           "join(',')",
                           "sort_by(people)",
                           "sort_by(people, name)",
                           "abs(&n)",
                           "n one",
                           "n.1",
                           "#",
                           "-",
                           "!",
                           "n ||",
                           "|| n",
                           "abs(s.word)",
                           "sum(s.list)",
                           "length(n.one)",
                           "keys(numbers)",
                           "join(`1`, s.list)",
                           "join(',', numbers)",
                           "max(people)",
                           "sort(grid)",
                           "sort_by(people, &age)",
                           "max_by(people, &home)",
                           "to_number()",
                           "not_null()",
                           "merge(n, numbers)",
                           "starts_with(n.one, 'a')"}) {
    const absl::StatusOr<json> got = Evaluated(text, data);
    EXPECT_TRUE(ReasonOf(got.status()) == "EXPRESSION_INVALID" || ReasonOf(got.status()) == "EXPRESSION_FAILED")
        << text << ": " << got.status();
  }
}

TEST(ExpressionTest, SaysWhichNamesItReads) {
  const auto names = [](const char* text) { return Expression::Parse(text)->names(); };
  EXPECT_THAT(names("load.table"), ElementsAre("load"));
  EXPECT_THAT(names("load.rows[?a > `1`].b | [0]"), ElementsAre("load"));
  EXPECT_THAT(names("[a.x, b[0], @.c]"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(names("sort_by(rows, &weight)"), ElementsAre("rows"));
  EXPECT_THAT(names("{x: a || b, y: length(c)}"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(names("`1`"), ElementsAre());
  EXPECT_THAT(*Expression::Parse("load.table.name")->path(), ElementsAre("load", "table", "name"));
  EXPECT_FALSE(Expression::Parse("load.rows[0]")->path().has_value());
}

TEST(ExpressionTest, RefusesToMeanEverything) {
  for (const char* text : {"@", "*", "*.a", "keys(@)", "[@]", "@ || a", "@ | @", "[*]", "a == @"}) {
    EXPECT_THAT(Expression::Parse(text), HasReason(absl::StatusCode::kInvalidArgument, "EXPRESSION_INVALID")) << text;
  }
}

// Each step doubles the value: without a bound, sixty of them fill any memory.
TEST(ExpressionTest, ValueThatGrowsWithoutEndIsCutOff) {
  std::string text = "a";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&text, " | [@, @]");
  }
  EXPECT_THAT(Evaluated(text, {{"a", 1}}), HasReason(absl::StatusCode::kResourceExhausted, "EXPRESSION_TOO_EXPENSIVE"));
  std::string joined = "a";
  for (int i = 0; i < 60; ++i) {
    absl::StrAppend(&joined, " | join('', [@, @])");
  }
  EXPECT_THAT(Evaluated(joined, {{"a", "0123456789012345"}}), HasReason("EXPRESSION_TOO_EXPENSIVE"));
}

TEST(ExpressionTest, LoopsInLoopsOverLongListsAreCutOff) {
  json list = json::array();
  for (int i = 0; i < 300; ++i) {
    list.push_back(i);
  }
  json lists = json::array();
  for (int i = 0; i < 300; ++i) {
    lists.push_back(list);
  }
  EXPECT_THAT(
      Evaluated("map(&map(&[@, @, @, @, @, @, @, @], @), lists) | map(&map(&[@, @, @], @), @)", {{"lists", lists}}),
      HasReason("EXPRESSION_TOO_EXPENSIVE"));
}

TEST(ExpressionTest, FuelIsSharedByTheExpressionsOfARun) {
  absl::StatusOr<Expression> expression = Expression::Parse("a[*].[@, @]");
  ASSERT_OK(expression);
  Expression::Scope scope;
  scope["a"] = std::make_shared<const json>(std::vector<int>(1000, 1));
  ExpressionFuel fuel{.left = 12'000};
  EXPECT_OK(expression->Evaluate(scope, fuel));
  EXPECT_THAT(expression->Evaluate(scope, fuel), HasReason("EXPRESSION_TOO_EXPENSIVE"));
}

TEST(ExpressionTest, LengthAndDepthAreBounded) {
  EXPECT_THAT(Expression::Parse(std::string(5000, 'a')), HasReason("EXPRESSION_INVALID"));
  EXPECT_THAT(Expression::Parse(absl::StrCat(std::string(2000, '('), "a", std::string(2000, ')'))),
              HasReason("EXPRESSION_INVALID"));
  EXPECT_THAT(Expression::Parse(std::string(2000, '!') + "a"), HasReason("EXPRESSION_INVALID"));
  std::string chain = "a";
  for (int i = 0; i < 1000; ++i) {
    chain += ".b";
  }
  EXPECT_THAT(Expression::Parse(chain), HasReason("EXPRESSION_INVALID"));
}

TEST(ExpressionTest, SaysWhereItIsWrong) {
  EXPECT_THAT(std::string(Expression::Parse("load.rows[?a >]").status().message()), ::testing::HasSubstr("at byte 14"));
  EXPECT_THAT(std::string(Evaluated("abs(word)", {{"word", "x"}}).status().message()),
              ::testing::HasSubstr("abs takes a number, not string"));
}

}  // namespace
}  // namespace bulkhead::agent
