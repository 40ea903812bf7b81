// Every other third-party library compiles, links and runs.
#include <csv.h>
#include <sqlite3.h>

#include <CLI/CLI.hpp>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <jsoncons/json.hpp>
#include <jsoncons_ext/jsonschema/jsonschema.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/crc/crc32c.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "re2/re2.h"

namespace bulkhead::smoke {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

asio::awaitable<void> ServeOnce(asio::ip::tcp::acceptor& acceptor) {
  beast::tcp_stream stream(co_await acceptor.async_accept(asio::use_awaitable));
  beast::flat_buffer buffer;
  beast::http::request<beast::http::string_body> request;
  co_await beast::http::async_read(stream, buffer, request, asio::use_awaitable);
  beast::http::response<beast::http::string_body> response(beast::http::status::ok, 11);
  response.body() = "you asked for " + std::string(request.target());
  response.prepare_payload();
  co_await beast::http::async_write(stream, response, asio::use_awaitable);
}

asio::awaitable<std::string> Get(asio::ip::tcp::endpoint endpoint) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  co_await stream.async_connect(endpoint, asio::use_awaitable);
  beast::http::request<beast::http::empty_body> request(beast::http::verb::get, "/x", 11);
  co_await beast::http::async_write(stream, request, asio::use_awaitable);
  beast::flat_buffer buffer;
  beast::http::response<beast::http::string_body> response;
  co_await beast::http::async_read(stream, buffer, response, asio::use_awaitable);
  co_return response.body();
}

TEST(LibrariesTest, BeastServesOverCoroutines) {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  asio::co_spawn(io, ServeOnce(acceptor), asio::detached);
  std::string body;
  asio::co_spawn(io, Get(acceptor.local_endpoint()), [&](std::exception_ptr error, std::string got) {
    EXPECT_EQ(error, nullptr);
    body = std::move(got);
  });
  io.run_for(std::chrono::seconds(20));
  EXPECT_EQ(body, "you asked for /x");
}

TEST(LibrariesTest, SqliteOpensInMemory) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, "CREATE TABLE t (a JSON) STRICT", nullptr, nullptr, nullptr), SQLITE_ERROR);
  EXPECT_EQ(sqlite3_exec(db, "CREATE TABLE t (a TEXT) STRICT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
}

TEST(LibrariesTest, NlohmannParses) {
  const nlohmann::json json = nlohmann::json::parse(R"({"a": [1, 2]})", nullptr, /*allow_exceptions=*/false);
  EXPECT_EQ(json["a"][1], 2);
  EXPECT_TRUE(nlohmann::json::parse("{", nullptr, /*allow_exceptions=*/false).is_discarded());
}

TEST(LibrariesTest, JsonSchema202012Validates) {
  const jsoncons::json schema = jsoncons::json::parse(R"({
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object", "properties": {"pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}},
    "required": ["pair"], "unevaluatedProperties": false})");
  const auto compiled = jsoncons::jsonschema::make_json_schema(schema);
  EXPECT_TRUE(compiled.is_valid(jsoncons::json::parse(R"({"pair": ["a", 1]})")));
  EXPECT_FALSE(compiled.is_valid(jsoncons::json::parse(R"({"pair": ["a", 1, 2]})")));
  EXPECT_FALSE(compiled.is_valid(jsoncons::json::parse(R"({"pair": ["a", 1], "other": 0})")));
}

TEST(LibrariesTest, LibcsvReadsQuotes) {
  csv_parser parser;
  ASSERT_EQ(csv_init(&parser, CSV_APPEND_NULL), 0);
  std::vector<std::string> fields;
  const std::string text = "a,\"b \"\"c\"\"\n d\"\n";
  csv_parse(
      &parser, text.data(), text.size(),
      [](void* data, size_t size, void* out) {
        static_cast<std::vector<std::string>*>(out)->emplace_back(static_cast<char*>(data), size);
      },
      nullptr, &fields);
  csv_free(&parser);
  EXPECT_THAT(fields, testing::ElementsAre("a", "b \"c\"\n d"));
}

TEST(LibrariesTest, Cli11Parses) {
  CLI::App app("smoke");
  int count = 0;
  app.add_option("--count", count);
  app.parse("--count 3", /*program_name_included=*/false);
  EXPECT_EQ(count, 3);
}

TEST(LibrariesTest, AbseilMatchersAndCrc) {
  const absl::StatusOr<int> value = 5;
  EXPECT_THAT(value, absl_testing::IsOkAndHolds(5));
  EXPECT_THAT(absl::NotFoundError("no"), absl_testing::StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(static_cast<uint32_t>(absl::ComputeCrc32c("123456789")), 0xe3069283u);
  absl::Mutex mutex;
  absl::MutexLock lock(mutex);
}

TEST(LibrariesTest, Re2Matches) { EXPECT_TRUE(RE2::FullMatch("users/ada", "users/[a-z]+")); }

}  // namespace
}  // namespace bulkhead::smoke
