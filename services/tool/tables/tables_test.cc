#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/storage/user_database.h"
#include "services/tool/tables/column_type.h"
#include "services/tool/tables/table_catalog.h"
#include "services/tool/tables/table_loader.h"
#include "services/tool/tables/table_profile.h"
#include "services/tool/tables/text_source.h"
#include "services/tool/tables/value_json.h"
#include "testing/base/matchers.h"
#include "testing/base/temp_dir.h"

namespace bulkhead::tool {
namespace {

using ::bulkhead::testing::HasReason;
using ::bulkhead::testing::IsOk;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class StringSource : public ByteSource {
 public:
  explicit StringSource(std::string text) : text_(std::move(text)) {}
  uint64_t size() const override { return text_.size(); }
  absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> buffer) const override {
    const size_t count =
        offset >= text_.size() ? 0 : std::min(buffer.size(), text_.size() - static_cast<size_t>(offset));
    std::memcpy(buffer.data(), text_.data() + offset, count);
    return count;
  }

 private:
  std::string text_;
};

class TablesTest : public ::testing::Test {
 protected:
  absl::StatusOr<LoadedTable> Load(std::string_view text, LoadOptions options = {}, std::stop_token stop = {}) {
    if (options.table.empty()) {
      options.table = "t";
    }
    auto writer = storage::UserWriter::Open({.path = path_}, stop);
    if (!writer.ok()) {
      return writer.status();
    }
    return LoadTable(StringSource(std::string(text)), options, **writer, stop, [](double, std::string_view) {});
  }

  // All rows that `sql` selects, as JSON.
  absl::StatusOr<nlohmann::json> Select(std::string_view sql, std::stop_token stop = {}) {
    auto reader = storage::UserReader::Open(path_, stop);
    if (!reader.ok()) {
      return reader.status();
    }
    nlohmann::json rows = nlohmann::json::array();
    absl::Status status = (*reader)->Query(
        sql, {}, [](std::vector<std::string>) {},
        [&rows](std::vector<storage::Value> row) {
          nlohmann::json values = nlohmann::json::array();
          for (const storage::Value& value : row) {
            values.push_back(ToJson(value));
          }
          rows.push_back(std::move(values));
          return true;
        });
    if (!status.ok()) {
      return status;
    }
    return rows;
  }

  absl::StatusOr<nlohmann::json> Profile(const CatalogColumn& column, ProfileOptions options = {},
                                         std::string_view table = "t") {
    auto reader = storage::UserReader::Open(path_, {});
    if (!reader.ok()) {
      return reader.status();
    }
    return ProfileColumn(**reader, table, column, options);
  }

  ::bulkhead::testing::TempDir dir_;
  std::string path_ = dir_.File("user.db");
};

std::string Types(const LoadedTable& table) {
  return absl::StrJoin(table.columns, " ", [](std::string* out, const LoadedColumn& column) {
    absl::StrAppend(out, column.name, ":", ColumnTypeName(column.format.type));
  });
}

// --- What files look like, and what becomes of them ---

struct FileCase {
  std::string_view name;
  std::string text;
  std::string columns;  // "name:type ..."
  std::string rows;     // JSON
};

void PrintTo(const FileCase& file, std::ostream* out) { *out << file.name; }

class OddFileTest : public TablesTest, public ::testing::WithParamInterface<FileCase> {};

TEST_P(OddFileTest, LoadsWhatItMeans) {
  auto table = Load(GetParam().text);
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(Types(*table), GetParam().columns);
  auto rows = Select("SELECT * FROM t");
  ASSERT_THAT(rows, IsOk());
  EXPECT_EQ(*rows, nlohmann::json::parse(GetParam().rows));
  EXPECT_EQ(table->rows, static_cast<int64_t>(rows->size()));
}

const FileCase kFiles[] = {
    {"Plain", "a,b\n1,x\n2,y\n", "a:integer b:text", R"([[1,"x"],[2,"y"]])"},
    {"NoLastLineEnd", "a,b\n1,x", "a:integer b:text", R"([[1,"x"]])"},
    {"ByteOrderMark",
     "\xEF\xBB\xBF"
     "a,b\n1,2\n",
     "a:integer b:integer", "[[1,2]]"},
    {"WindowsLineEnds", "a,b\r\n1,2\r\n3,4\r\n", "a:integer b:integer", "[[1,2],[3,4]]"},
    {"OldMacLineEnds", "a,b\r1,2\r3,4\r", "a:integer b:integer", "[[1,2],[3,4]]"},
    {"QuotesDelimitersAndLinesInFields", "a,b\n\"x, \"\"y\"\"\",\"1\n2\"\n", "a:text b:text",
     R"([["x, \"y\"","1\n2"]])"},
    {"Semicolons", "a;b\n1,5;x,y\n2,25;z\n", "a:real b:text", R"([[1.5,"x,y"],[2.25,"z"]])"},
    {"Tabs", "a\tb\n1\tx y\n", "a:integer b:text", R"([[1,"x y"]])"},
    {"Pipes", "a|b|c\n1|2|3\n", "a:integer b:integer c:integer", "[[1,2,3]]"},
    {"BlankLinesAreSkipped", "a,b\n\n1,2\n\n\n3,4\n\n", "a:integer b:integer", "[[1,2],[3,4]]"},
    {"DuplicateAndEmptyHeaders", "a,A,,a\n1,2,3,4\n", "a:integer A_2:integer column_3:integer a_3:integer",
     "[[1,2,3,4]]"},
    {"OnlyAHeader", "a,b\n", "a:text b:text", "[]"},
    {"ThousandsSeparators", "n,m\n\"1,234.5\",\"1,000\"\n12,\"12,345,678\"\n", "n:real m:integer",
     "[[1234.5,1000],[12.0,12345678]]"},
    {"WronglyGroupedNumberIsText", "n\n\"1,23\"\n", "n:text", R"([["1,23"]])"},
    {"MissingValues", "a,b\n1,x\nNA,N/A\n,\nnull,NaN\n-,#N/A\n", "a:integer b:text",
     R"([[1,"x"],[null,null],[null,null],[null,null],[null,null]])"},
    {"CodesKeepTheirZeros", "zip\n00501\n10001\n", "zip:text", R"([["00501"],["10001"]])"},
    {"IdentifiersBeyond64BitsAreText", "id\n123456789012345678901234\n", "id:text",
     R"([["123456789012345678901234"]])"},
    {"ExponentsAndSigns", "n\n1e3\n-2.5\n+.5\n", "n:real", "[[1000.0],[-2.5],[0.5]]"},
    {"Booleans", "b\ntrue\nNo\nYES\n", "b:boolean", "[[1],[0],[1]]"},
    {"IsoDates", "d\n2021-03-04\n2021/12/31\n", "d:date", R"([["2021-03-04"],["2021-12-31"]])"},
    {"DayFirstIsFoundInALaterRow", "d\n03/04/2021\n25/12/2021\n", "d:date", R"([["2021-04-03"],["2021-12-25"]])"},
    {"MonthFirstIsFoundInALaterRow", "d\n3/4/21\n12/25/99\n", "d:date", R"([["2021-03-04"],["1999-12-25"]])"},
    {"DatesThatFitNoOrderAreText", "d\n13/04/2021\n04/13/2021\n", "d:text", R"([["13/04/2021"],["04/13/2021"]])"},
    {"NamedMonths", "d\n\"Mar 3, 2021\"\n4 March 2021\n05-Mar-21\n", "d:date",
     R"([["2021-03-03"],["2021-03-04"],["2021-03-05"]])"},
    {"NoSuchDayIsText", "d\n2021-02-30\n", "d:text", R"([["2021-02-30"]])"},
    {"Datetimes", "d\n2021-03-04 05:06\n3/5/2021 1:02:03 PM\n2021-03-06\n", "d:datetime",
     R"([["2021-03-04T05:06:00"],["2021-03-05T13:02:03"],["2021-03-06T00:00:00"]])"},
    {"ZonesBecomeUtc", "d\n2021-03-04T00:30:00+01:00\n2021-03-04T05:06:07.25Z\n", "d:datetime",
     R"([["2021-03-03T23:30:00Z"],["2021-03-04T05:06:07.25Z"]])"},
    {"MidnightsAreDates", "d\n1/8/90 0:00\n1/19/90 0:00\n", "d:date", R"([["1990-01-08"],["1990-01-19"]])"},
    {"MixedColumnIsText", "a\n1\nx\n2021-01-01\n", "a:text", R"([["1"],["x"],["2021-01-01"]])"},
    {"EmptyColumnIsText", "a,b\n1,\n2,\n", "a:integer b:text", "[[1,null],[2,null]]"},
};

INSTANTIATE_TEST_SUITE_P(All, OddFileTest, ::testing::ValuesIn(kFiles),
                         [](const auto& info) { return std::string(info.param.name); });

// --- What files must not look like ---

struct BadFileCase {
  std::string_view name;
  std::string text;
  std::string reason;
  std::string line;
};

void PrintTo(const BadFileCase& file, std::ostream* out) { *out << file.name; }

class BadFileTest : public TablesTest, public ::testing::WithParamInterface<BadFileCase> {};

TEST_P(BadFileTest, IsRefusedWithItsLineAndLeavesNoTable) {
  auto table = Load(GetParam().text, {.format = GetParam().name.starts_with("Json") ? LoadOptions::Format::kJsonLines
                                                                                    : LoadOptions::Format::kCsv});
  ASSERT_THAT(table, HasReason(absl::StatusCode::kInvalidArgument, GetParam().reason));
  EXPECT_EQ(ErrorInfoOf(table.status())->metadata.at("line"), GetParam().line);
  EXPECT_THAT(Select("SELECT * FROM t"), HasReason("QUERY_INVALID"));
}

const BadFileCase kBadFiles[] = {
    {"Empty", "", "TABLE_FILE_EMPTY", "1"},
    {"OnlyBlankLines", "\n \n\r\n", "TABLE_FILE_EMPTY", "1"},
    {"ShortRow", "a,b\n1,2\n3\n", "TABLE_ROW_RAGGED", "3"},
    {"LongRowAfterCrlfAndFieldsOfManyLines", "a,b\r\n\"1\n2\",3\r\n\r\n4,5,6\r\n", "TABLE_ROW_RAGGED", "5"},
    {"NotUtf8",
     "a,b\n1,2\nx,Stra\xDF"
     "e\n",
     "TABLE_ENCODING_INVALID", "3"},
    {"SurrogateHalf", "a\n\xED\xA0\x80\n", "TABLE_ENCODING_INVALID", "2"},
    {"Utf16",
     std::string("\xFF\xFE"
                 "a\0,\0",
                 6),
     "TABLE_ENCODING_INVALID", "1"},
    {"ZeroByte", std::string("a,b\n1,\0\n", 8), "TABLE_ENCODING_INVALID", "2"},
    {"CutWithinACharacter", "a\nx\xC3", "TABLE_ENCODING_INVALID", "2"},
    {"QuoteInsideAField", "a,b\n1,2\n3,x\"y\n", "TABLE_QUOTE_INVALID", "3"},
    {"QuoteThatNeverEnds", "a,b\n1,\"2\n3,4\n", "TABLE_QUOTE_UNTERMINATED", "2"},
    {"JsonEmpty", "\n\n", "TABLE_FILE_EMPTY", "1"},
    {"JsonBadLine", "{\"a\":1}\n{\"a\":}\n", "TABLE_LINE_INVALID", "2"},
    {"JsonArrayLine", "{\"a\":1}\n\n[1]\n", "TABLE_LINE_INVALID", "3"},
    {"JsonNumberLine", "{\"a\":1}\n7\n", "TABLE_LINE_INVALID", "2"},
    {"JsonNumberTooLarge", "{\"a\":1e999}\n", "TABLE_LINE_INVALID", "1"},
    {"JsonTwoObjectsOnALine", "{\"a\":1} {\"a\":2}\n", "TABLE_LINE_INVALID", "1"},
    {"JsonNestedTooDeep",
     absl::StrCat("{\"a\":1}\n{\"a\":", std::string(1'000'000, '['), std::string(1'000'000, ']'), "}\n"),
     "TABLE_LINE_INVALID", "2"},
};

INSTANTIATE_TEST_SUITE_P(All, BadFileTest, ::testing::ValuesIn(kBadFiles),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(TablesTest, EncodingErrorNamesTheByteOfTheLine) {
  auto table = Load(
      "a,b\r\nx,Stra\xDF"
      "e\r\n");
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(ErrorInfoOf(table.status())->metadata.at("byte"), "7");
}

TEST_F(TablesTest, RaggedRowsArePaddedWhenAskedAndCounted) {
  auto table = Load("a,b\n1\n2,3,4\n5,6\n", {.pad_ragged_rows = true});
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(*Select("SELECT * FROM t"), nlohmann::json::parse("[[1,null],[2,3],[5,6]]"));
  ASSERT_THAT(table->warnings, SizeIs(1));
  EXPECT_EQ(table->warnings[0].code, "ROWS_PADDED");
  EXPECT_EQ(table->warnings[0].count, 2);
  EXPECT_EQ(table->warnings[0].line, 2);
  EXPECT_EQ(table->columns[1].missing, 1);
}

TEST_F(TablesTest, AmbiguousDatesAreTakenMonthFirstWithAWarning) {
  auto table = Load("d\n03/04/2021\n");
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(*Select("SELECT d FROM t"), nlohmann::json::parse(R"([["2021-03-04"]])"));
  ASSERT_THAT(table->warnings, SizeIs(1));
  EXPECT_EQ(table->warnings[0].code, "DATE_ORDER_ASSUMED");
}

TEST_F(TablesTest, FileWithoutAHeaderGetsNames) {
  auto table = Load("1,x\n2,y\n", {.header = false});
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(Types(*table), "column_1:integer column_2:text");
  EXPECT_THAT(table->warnings, IsEmpty());
  EXPECT_EQ(table->rows, 2);
}

TEST_F(TablesTest, HundredsOfColumnsLoadAndMoreThanSqliteHoldsAreRefused) {
  auto row = [](int columns, std::string_view prefix) {
    std::string text;
    for (int i = 0; i < columns; ++i) {
      absl::StrAppend(&text, i == 0 ? "" : ",", prefix, i);
    }
    return text + "\n";
  };
  auto table = Load(row(500, "c") + row(500, ""));
  ASSERT_THAT(table, IsOk());
  EXPECT_THAT(table->columns, SizeIs(500));
  EXPECT_EQ(*Select("SELECT c0, c499 FROM t"), nlohmann::json::parse("[[0,499]]"));
  EXPECT_THAT(Load(row(2000, "c") + row(2000, "")), IsOk());
  EXPECT_THAT(Load(row(2001, "c")), HasReason("TABLE_TOO_MANY_COLUMNS"));
}

// What a row would take is not kept before it is refused: each of these is far over its limit.
TEST_F(TablesTest, RowsBeyondWhatSqliteHoldsAreRefusedAtTheirLine) {
  const auto refused_at = [this](std::string_view text, LoadOptions::Format format) {
    const auto table = Load(text, {.format = format, .pad_ragged_rows = true});
    EXPECT_THAT(table.status().code(), absl::StatusCode::kInvalidArgument);
    const std::optional<ErrorInfo> info = ErrorInfoOf(table.status());
    return info.has_value() ? absl::StrCat(info->reason, " ", info->metadata.at("line")) : "";
  };
  constexpr auto kCsv = LoadOptions::Format::kCsv;
  constexpr auto kJsonLines = LoadOptions::Format::kJsonLines;
  EXPECT_EQ(refused_at(absl::StrCat("a,b\n1,2\n", std::string(300'000, ',')), kCsv), "TABLE_TOO_MANY_COLUMNS 3");
  const std::string field(6 << 20, 'x');
  EXPECT_EQ(refused_at(absl::StrCat("a,b\n", field, ",", field, ",", field, "\n"), kCsv), "TABLE_ROW_TOO_LARGE 2");

  std::string members;
  for (int i = 0; i < 300'000; ++i) {
    absl::StrAppend(&members, i == 0 ? "{" : ",", "\"k", i, "\":1");
  }
  EXPECT_EQ(refused_at(absl::StrCat("{\"a\":1}\n", members, "}\n"), kJsonLines), "TABLE_TOO_MANY_COLUMNS 2");
  std::string numbers;
  for (int i = 0; i < 500'000; ++i) {
    numbers += ",1e14";
  }
  EXPECT_EQ(refused_at(absl::StrCat("{\"a\":[1", numbers, "]}\n"), kJsonLines), "TABLE_FIELD_TOO_LARGE 1");
  std::string names;
  for (int i = 0; i < 3; ++i) {
    absl::StrAppend(&names, "{\"", field, i, "\":1}\n");
  }
  EXPECT_EQ(refused_at(names, kJsonLines), "TABLE_ROW_TOO_LARGE 3");
}

// The members of a nested object are looked up nowhere: as many as a line holds are read in one go.
TEST_F(TablesTest, NestedJsonIsKeptAsItsText) {
  std::string members;
  for (int i = 0; i < 200'000; ++i) {
    absl::StrAppend(&members, i == 0 ? "" : ",", "\"k", i, "\":", i);
  }
  const std::string deep = absl::StrCat(std::string(47, '['), std::string(47, ']'));
  ASSERT_THAT(Load(absl::StrCat("{\"a\": ", R"([[], {}, "x\"y", {"b" : [1, null,true]}, 2.50])",
                                ", \"a\": ", R"([[], {}, "x\"y", {"b" : [1, null,true], "c": {"d": -1}}, 2.50])",
                                "}\n{\"a\": ", deep, "}\n{\"a\": {", members, "}}\n{\"a\": \"null\"}\n"),
                   {.format = LoadOptions::Format::kJsonLines}),
              IsOk());
  const auto rows = Select("SELECT a FROM t");
  ASSERT_THAT(rows, IsOk());
  ASSERT_THAT(*rows, SizeIs(4));
  EXPECT_EQ((*rows)[0][0], R"([[],{},"x\"y",{"b":[1,null,true],"c":{"d":-1}},2.5])");
  EXPECT_EQ((*rows)[1][0], deep);
  EXPECT_EQ((*rows)[2][0], absl::StrCat("{", members, "}"));
}

TEST_F(TablesTest, JsonLinesHaveTheColumnsOfAllLines) {
  auto table = Load(
      "{\"a\":1,\"s\":\"12\"}\n{\"a\":2.5,\"b\":{\"x\":[1]},\"d\":\"2021-01-02\"}\n\n{\"b\":null,"
      "\"t\":true}",
      {.format = LoadOptions::Format::kJsonLines});
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(Types(*table), "a:real s:text b:text d:date t:boolean");
  EXPECT_EQ(*Select("SELECT * FROM t"), nlohmann::json::parse(
                                            R"([[1.0,"12",null,null,null],[2.5,null,"{\"x\":[1]}","2021-01-02",null],
                                                                 [null,null,null,null,1]])"));
  EXPECT_EQ(table->columns[3].missing, 2);
}

TEST_F(TablesTest, LoadAgainReplacesAndAFailedLoadChangesNothing) {
  ASSERT_THAT(Load("a\n1\n"), IsOk());
  ASSERT_THAT(Load("b,c\n2,3\n"), IsOk());
  EXPECT_THAT(Load("x,y\n1\n"), HasReason("TABLE_ROW_RAGGED"));
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_THAT(Load("x,y\n1,2\n", {}, stopped.get_token()).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(*Select("SELECT b, c FROM t"), nlohmann::json::parse("[[2,3]]"));
  auto reader = storage::UserReader::Open(path_, {});
  ASSERT_THAT(reader, IsOk());
  ASSERT_OK_AND_ASSIGN(CatalogEntry entry, FindTable(**reader, "t"));
  EXPECT_EQ(entry.rows, 1);
  EXPECT_THAT(entry.columns, SizeIs(2));
  EXPECT_THAT(FindTable(**reader, "other"), HasReason(absl::StatusCode::kNotFound, "TABLE_NOT_FOUND"));
}

TEST_F(TablesTest, FieldsAcrossPiecesOfTheFileStayWhole) {
  // Long quoted fields with multi-byte characters put every kind of boundary somewhere into the 256
  // KiB pieces.
  std::string text = "a,b\n";
  for (int i = 0; i < 3000; ++i) {
    absl::StrAppend(&text, i, ",\"", std::string(static_cast<size_t>(i % 97), 'x'), "\u00e9\"\"\n",
                    std::string(300, 'y'), "\"\n");
  }
  auto table = Load(text);
  ASSERT_THAT(table, IsOk());
  EXPECT_EQ(*Select("SELECT count(*), sum(length(b) - a % 97) FROM t"), nlohmann::json::parse("[[3000,909000]]"));
}

TEST(TableNameTest, IsMadeOfTheFileName) {
  EXPECT_EQ(TableNameOf("data/Sales 2021 (final).csv"), "sales_2021_final");
  EXPECT_EQ(TableNameOf("2021.csv"), "t_2021");
  EXPECT_EQ(TableNameOf("\u00e9.csv"), "table");
  EXPECT_EQ(TableNameOf("sqlite_x.csv"), "t_sqlite_x");
}

// --- Profiles ---

TEST_F(TablesTest, NumberProfileIsRightAndItsSqlReproducesIt) {
  std::string text = "n\n";
  for (const char* value : {"1", "2", "3", "4", "100", "NA"}) {
    absl::StrAppend(&text, value, "\n");
  }
  ASSERT_THAT(Load(text), IsOk());
  ASSERT_OK_AND_ASSIGN(nlohmann::json profile,
                       Profile({.name = "n", .type = ColumnType::kInteger}, {.top = 1, .bins = 4}));
  EXPECT_EQ(profile["count"], 5);
  EXPECT_EQ(profile["missing"], 1);
  EXPECT_EQ(profile["distinct"], 5);
  EXPECT_EQ(profile["min"], 1);
  EXPECT_EQ(profile["max"], 100);
  EXPECT_DOUBLE_EQ(profile["mean"].get<double>(), 22);
  EXPECT_NEAR(profile["stddev"].get<double>(), 43.6177, 1e-4);
  EXPECT_EQ(profile["q1"], 2);
  EXPECT_EQ(profile["median"], 3);
  EXPECT_EQ(profile["q3"], 4);
  EXPECT_EQ(profile["outliers"]["count"], 1);
  EXPECT_EQ(profile["outliers"]["high"], 7);
  EXPECT_THAT(profile["top"], SizeIs(1));
  EXPECT_EQ(profile["histogram"][0]["count"], 4);
  EXPECT_EQ(profile["histogram"][3]["count"], 1);
  for (const auto& [key, sql] : profile["sql"].items()) {
    EXPECT_THAT(Select(sql.get<std::string>()), IsOk()) << key;
  }
  EXPECT_EQ((*Select(profile["sql"]["moments"].get<std::string>()))[0][1], profile["stddev"]);
}

TEST_F(TablesTest, QuartilesInterpolate) {
  ASSERT_THAT(Load("n\n1\n2\n3\n4\n"), IsOk());
  ASSERT_OK_AND_ASSIGN(nlohmann::json profile, Profile({.name = "n", .type = ColumnType::kInteger}));
  EXPECT_DOUBLE_EQ(profile["q1"].get<double>(), 1.75);
  EXPECT_DOUBLE_EQ(profile["median"].get<double>(), 2.5);
  EXPECT_DOUBLE_EQ(profile["q3"].get<double>(), 3.25);
}

TEST_F(TablesTest, EmptyConstantTextAndDateColumnsHaveProfiles) {
  ASSERT_THAT(Load("r,k,d,e,\"odd "
                   "\"\"name\"\"\"\n1.5,x,2021-01-01,,1\n1.5,y,2021-01-31,,2\n1.5,x,2021-01-31,,2\n"),
              IsOk());
  ASSERT_OK_AND_ASSIGN(nlohmann::json constant, Profile({.name = "r", .type = ColumnType::kReal}));
  EXPECT_EQ(constant["histogram"], nlohmann::json::parse(R"([{"from":1.5,"to":2.5,"count":3}])"));
  EXPECT_DOUBLE_EQ(constant["stddev"].get<double>(), 0);
  ASSERT_OK_AND_ASSIGN(nlohmann::json text, Profile({.name = "k", .type = ColumnType::kText}));
  EXPECT_EQ(text["top"], nlohmann::json::parse(R"([{"value":"x","count":2},{"value":"y","count":1}])"));
  EXPECT_FALSE(text.contains("mean"));
  ASSERT_OK_AND_ASSIGN(nlohmann::json date, Profile({.name = "d", .type = ColumnType::kDate}, {.bins = 2}));
  EXPECT_EQ(date["histogram"], nlohmann::json::parse(R"([{"from":"2021-01-01","to":"2021-01-17","count":1},
                                                         {"from":"2021-01-17","to":"2021-02-02","count":2}])"));
  ASSERT_OK_AND_ASSIGN(nlohmann::json empty, Profile({.name = "e", .type = ColumnType::kText}));
  EXPECT_EQ(empty["count"], 0);
  EXPECT_EQ(empty["min"], nullptr);
  ASSERT_OK_AND_ASSIGN(nlohmann::json odd, Profile({.name = "odd \"name\"", .type = ColumnType::kInteger}));
  EXPECT_EQ(odd["max"], 2);
}

TEST_F(TablesTest, ProfileTakesNoNameOfTheFileForOneOfItsOwn) {
  // Columns and tables with the names that the statements give their results.
  const std::string_view names[] = {"bin",   "value", "count", "ends", "wanted", "v", "i",   "f",
                                    "share", "mean",  "first", "last", "m",      "t", "min", "low"};
  const auto without_sql = [](nlohmann::json profile) {
    profile.erase("sql");
    profile.erase("name");
    return profile;
  };
  std::string plain = "x,day";
  for (size_t i = 0; i < std::size(names); ++i) {
    absl::StrAppend(&plain, ",c", i);
  }
  std::string rows = "\n";
  for (int row = 0; row < 60; ++row) {
    absl::StrAppend(&rows, row * row % 17, ".5,2021-0", 1 + row % 3, "-0", 1 + row % 7);
    for (size_t i = 0; i < std::size(names); ++i) {
      absl::StrAppend(&rows, ",", row % (i + 2) * 10);
    }
    rows += '\n';
  }
  ASSERT_THAT(Load(plain + rows, {.table = "plain"}), IsOk());
  const CatalogColumn x = {.name = "x", .type = ColumnType::kReal};
  const CatalogColumn day = {.name = "day", .type = ColumnType::kDate};
  ASSERT_OK_AND_ASSIGN(const nlohmann::json plain_x, Profile(x, {}, "plain"));
  ASSERT_OK_AND_ASSIGN(const nlohmann::json plain_day, Profile(day, {}, "plain"));
  for (size_t i = 0; i < std::size(names); ++i) {
    SCOPED_TRACE(names[i]);
    const std::string table(names[i]);
    ASSERT_THAT(Load(absl::StrCat("x,day,", absl::StrJoin(names, ","), rows), {.table = table}), IsOk());
    ASSERT_OK_AND_ASSIGN(const nlohmann::json named_x, Profile(x, {}, table));
    EXPECT_EQ(without_sql(named_x), without_sql(plain_x));
    ASSERT_OK_AND_ASSIGN(const nlohmann::json named_day, Profile(day, {}, table));
    EXPECT_EQ(without_sql(named_day), without_sql(plain_day));
    ASSERT_OK_AND_ASSIGN(const nlohmann::json own, Profile({.name = table, .type = ColumnType::kInteger}, {}, table));
    ASSERT_OK_AND_ASSIGN(const nlohmann::json plain_own,
                         Profile({.name = absl::StrCat("c", i), .type = ColumnType::kInteger}, {}, "plain"));
    EXPECT_EQ(without_sql(own), without_sql(plain_own));
  }
}

TEST_F(TablesTest, NumbersTooFarApartHaveNoOutliersAndNoHistogram) {
  ASSERT_THAT(Load("wide,near\n-1.5e308,0\n-1.5e308,0\n1.5e308,4e-324\n1.5e308,5e-324\n"), IsOk());
  for (const char* name : {"wide", "near"}) {
    ASSERT_OK_AND_ASSIGN(const nlohmann::json profile, Profile({.name = name, .type = ColumnType::kReal}));
    EXPECT_EQ(profile["count"], 4);
    EXPECT_FALSE(profile.contains("histogram"));
    EXPECT_EQ(profile.contains("outliers"), name == std::string_view("near"));
    EXPECT_THAT(profile["sql"], Not(Contains(HasSubstr("inf"))));
  }
  // A range that overflows around quartiles that do not.
  ASSERT_THAT(Load("n\n-1.5e308\n1\n2\n3\n1.5e308\n"), IsOk());
  ASSERT_OK_AND_ASSIGN(const nlohmann::json ends, Profile({.name = "n", .type = ColumnType::kReal}));
  EXPECT_EQ(ends["outliers"]["count"], 2);
  EXPECT_FALSE(ends.contains("histogram"));
}

TEST_F(TablesTest, LongTextsAreToldByTheirBeginnings) {
  const std::string long_text(3 << 20, 'x');
  ASSERT_THAT(Load(absl::StrCat("k\n", long_text, "1\n", long_text, "2\n", "short\n")), IsOk());
  ASSERT_OK_AND_ASSIGN(const nlohmann::json profile, Profile({.name = "k", .type = ColumnType::kText}));
  EXPECT_EQ(profile["max"], long_text.substr(0, 500));
  EXPECT_EQ(profile["min"], "short");
  EXPECT_EQ(profile["distinct"], 3);
  EXPECT_THAT(profile["top"], SizeIs(3));
  EXPECT_LT(profile.dump().size(), 5000);
}

// --- Queries that nobody trusts ---

TEST_F(TablesTest, WhatDoesMoreThanReadIsRefused) {
  ASSERT_THAT(Load("a\n1\n"), IsOk());
  for (const char* sql :
       {"DELETE FROM t", "INSERT INTO t VALUES (2)", "DROP TABLE t", "CREATE TABLE u (x)", "CREATE TEMP TABLE u (x)",
        "ATTACH '/etc/passwd' AS p", "PRAGMA journal_mode=DELETE", "PRAGMA table_info(t)", "VACUUM INTO '/tmp/x'",
        "SELECT load_extension('x')", "SELECT 1; DELETE FROM t", "BEGIN", "WITH x AS (SELECT 1) DELETE FROM t"}) {
    EXPECT_THAT(Select(sql), HasReason(absl::StatusCode::kPermissionDenied, "QUERY_NOT_READ_ONLY")) << sql;
  }
  for (const char* sql : {"", "-- nothing", "SELECT", "SELECT nosuch FROM t", "SELECT \"nosuch\" FROM t", "SELECT ?"}) {
    EXPECT_THAT(Select(sql), HasReason(absl::StatusCode::kInvalidArgument, "QUERY_INVALID")) << sql;
  }
  EXPECT_EQ(*Select("SELECT a FROM t; -- the end"), nlohmann::json::parse("[[1]]"));
}

TEST_F(TablesTest, LongQueryEndsWhenStopped) {
  ASSERT_THAT(Load("a\n1\n"), IsOk());
  std::stop_source stop;
  auto reader = storage::UserReader::Open(path_, stop.get_token());
  ASSERT_THAT(reader, IsOk());
  // Stopped once it has begun for certain; it would count for hours.
  absl::Status status = (*reader)->Query(
      "WITH RECURSIVE c(n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n = "
      "0 OR n < 0",
      {}, [](std::vector<std::string>) {},
      [&stop](std::vector<storage::Value>) {
        stop.request_stop();
        return true;
      });
  EXPECT_THAT(status, HasReason(absl::StatusCode::kCancelled, "QUERY_INTERRUPTED"));
}

// Each of these would take more than 1 GiB.
TEST_F(TablesTest, QueryThatWouldFillTheMemoryIsRefused) {
  ASSERT_THAT(Load("a\n1\n"), IsOk());
  std::string zeroes = "1";
  std::string texts = "1";
  for (int i = 0; i < 100; ++i) {
    absl::StrAppend(&zeroes, ", zeroblob(", 16 << 20, " - a)");
    absl::StrAppend(&texts, ", printf('%.*c', ", (16 << 20) - 1 - i, ", 'x')");
  }
  auto reader = storage::UserReader::Open(path_, {});
  ASSERT_THAT(reader, IsOk());
  int rows = 0;
  const auto query = [&](std::string_view sql, size_t max_row_bytes) {
    return (*reader)->Query(
        sql, {}, [](std::vector<std::string>) {},
        [&rows](std::vector<storage::Value>) {
          ++rows;
          return true;
        },
        max_row_bytes);
  };
  EXPECT_THAT(query(absl::StrCat("SELECT ", zeroes, " FROM t"), 1 << 20),
              HasReason(absl::StatusCode::kResourceExhausted, "QUERY_ROW_TOO_LARGE"));
  EXPECT_THAT(query("SELECT 1 AS \"a long name\"", 5), HasReason("QUERY_ROW_TOO_LARGE"));
  // In SQLite, before there is a row; also when it would be a short one.
  for (const std::string& sql : {"SELECT " + texts, absl::StrCat("SELECT length(max(", texts, "))")}) {
    EXPECT_THAT(query(sql, 1 << 20), HasReason(absl::StatusCode::kResourceExhausted, "QUERY_TOO_LARGE"));
  }
  EXPECT_THAT(query(absl::StrCat("SELECT ", zeroes, " FROM t"), size_t{4} << 30), HasReason("QUERY_TOO_LARGE"));
  EXPECT_EQ(rows, 0);
  // Neither the connection has kept anything, nor are large values of a bearable number refused.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(query("SELECT hex(zeroblob(8000000)), zeroblob(16000000), hex(zeroblob(7999999))", 64 << 20), IsOk());
  }
  EXPECT_EQ(rows, 3);
}

TEST_F(TablesTest, DatabaseDoesNotGrowBeyondItsLimit) {
  auto writer = storage::UserWriter::Open({.path = path_, .max_bytes = 1 << 20}, {});
  ASSERT_THAT(writer, IsOk());
  std::string text = "a\n";
  for (int i = 0; i < 20000; ++i) {
    absl::StrAppend(&text, "a text that takes its room in the file: ", i, "\n");
  }
  LoadOptions options{.table = "t"};
  EXPECT_THAT(LoadTable(StringSource(text), options, **writer, {}, nullptr),
              HasReason(absl::StatusCode::kResourceExhausted, "STORAGE_FULL"));
}

}  // namespace
}  // namespace bulkhead::tool
