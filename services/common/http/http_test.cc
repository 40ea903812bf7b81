#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/write.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/common/http/http_client.h"
#include "services/common/http/query.h"
#include "services/common/http/url.h"
#include "services/common/runtime/block_on.h"
#include "services/common/runtime/executor.h"
#include "testing/base/matchers.h"

namespace bulkhead::http {
namespace {

using ::bulkhead::testing::HasReason;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

using Tcp = boost::asio::ip::tcp;

// Takes one connection, reads the head of a request, and writes `answer`; then closes, or waits until the client does.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer, bool close = true)
      : acceptor_(context_, Tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)),
        thread_([this, answer = std::move(answer), close] {
          Tcp::socket socket(context_);
          boost::system::error_code error;
          acceptor_.accept(socket, error);
          char piece[4096];
          while (!error && request_.find("\r\n\r\n") == std::string::npos) {
            request_.append(piece, socket.read_some(boost::asio::buffer(piece), error));
          }
          boost::asio::write(socket, boost::asio::buffer(answer), error);
          while (!close && !error) {
            socket.read_some(boost::asio::buffer(piece), error);
          }
        }) {}
  ~OneAnswer() { thread_.join(); }

  std::string url(std::string_view path) const {
    return absl::StrCat("http://127.0.0.1:", acceptor_.local_endpoint().port(), path);
  }
  // After the answer.
  const std::string& request() {
    thread_.join();
    thread_ = std::thread([] {});
    return request_;
  }

 private:
  boost::asio::io_context context_;
  Tcp::acceptor acceptor_;
  std::string request_;
  std::thread thread_;
};

class HttpClientTest : public ::testing::Test {
 protected:
  absl::StatusOr<Response> Send(Request request, absl::Duration timeout = absl::Seconds(20),
                                std::stop_token stop = {}) {
    absl::StatusOr<std::unique_ptr<HttpClient>> client =
        HttpClient::Create({.allow_http = true, .max_body_bytes = 1000});
    EXPECT_OK(client);
    return BlockOn(*executor_, (*client)->Send(std::move(request), timeout, std::move(stop)));
  }

  std::unique_ptr<Executor> executor_ = Executor::Create({.name = "test", .threads = 2});
};

TEST(UrlTest, PartsOfGoodOnes) {
  ASSERT_OK_AND_ASSIGN(const Url plain, ParseUrl("https://Id.Example/a?b=%20c"));
  EXPECT_TRUE(plain.https);
  EXPECT_EQ(plain.host, "id.example");
  EXPECT_EQ(plain.port, 443);
  EXPECT_EQ(plain.target, "/a?b=%20c");
  EXPECT_EQ(plain.authority, "id.example");
  ASSERT_OK_AND_ASSIGN(const Url v6, ParseUrl("http://[::1]:8080?x"));
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.port, 8080);
  EXPECT_EQ(v6.target, "/?x");
  EXPECT_EQ(v6.authority, "[::1]:8080");
  EXPECT_TRUE(IsLoopback(v6.host));
  EXPECT_TRUE(IsLoopback("127.9.9.9"));
  EXPECT_FALSE(IsLoopback("127.0.0.1.example"));
  EXPECT_FALSE(IsLoopback("127.1"));
}

TEST(UrlTest, OthersAreRefused) {
  for (const char* url : {"",
                          "example",
                          "ftp://a/",
                          "//a/",
                          "https://",
                          "https:///x",
                          "https://user@a/",
                          "https://a:0/",
                          "https://a:65536/",
                          "https://a:/",
                          "https://a:1x/",
                          "https://a/#b",
                          "https://a/ b",
                          "https://a/\r\nX: y",
                          "https://a b/",
                          "https://[::1",
                          "https://[zz]/",
                          "https://-a/",
                          "https://a/<b>",
                          "https://\xc3\xa4/"}) {
    EXPECT_THAT(ParseUrl(url), HasReason(absl::StatusCode::kInvalidArgument, "URL_INVALID")) << url;
  }
  EXPECT_THAT(ParseUrl(absl::StrCat("https://a/", std::string(9000, 'x'))), HasReason("URL_INVALID"));
}

TEST(QueryTest, WrittenAndReadBack) {
  std::string query;
  AppendParameter("a b", "ä&=+%", query);
  AppendParameter("c", "~-._1Z", query);
  EXPECT_EQ(query, "a%20b=%C3%A4%26%3D%2B%25&c=~-._1Z");
  EXPECT_THAT(*ParseQuery(query), ElementsAre(Pair("a b", "ä&=+%"), Pair("c", "~-._1Z")));
  EXPECT_THAT(*ParseQuery("a=b+c&&d=&e"), ElementsAre(Pair("a", "b c"), Pair("d", ""), Pair("e", "")));
  for (const char* bad : {"a=1&a=2", "a=1&%61=2", "a=&a=1", "a=%", "a=%4", "a=%zz", "a=%00"}) {
    EXPECT_THAT(ParseQuery(bad), HasReason("QUERY_MALFORMED")) << bad;
  }
}

TEST_F(HttpClientTest, SendsARequestAndReadsTheAnswer) {
  OneAnswer server(
      "HTTP/1.1 201 Created\r\nX-One: a\r\nx-one: b\r\nSet-Cookie: k=1, 2\r\nSet-Cookie: l=3\r\nContent-Length: "
      "5\r\n\r\nhello");
  ASSERT_OK_AND_ASSIGN(
      const Response response,
      Send({.method = "POST", .url = server.url("/a?b=c"), .headers = {{"Accept", "text/plain"}}, .body = "body"}));
  EXPECT_EQ(response.status, 201);
  EXPECT_EQ(response.header("x-one"), "a, b");
  EXPECT_EQ(response.header("absent"), "");
  EXPECT_THAT(response.cookies, ElementsAre("k=1, 2", "l=3"));
  EXPECT_EQ(response.body, "hello");
  EXPECT_THAT(server.request(), StartsWith("POST /a?b=c HTTP/1.1\r\n"));
  EXPECT_THAT(server.request(), HasSubstr("Host: 127.0.0.1:"));
  EXPECT_THAT(server.request(), HasSubstr("Accept: text/plain\r\n"));
  EXPECT_THAT(server.request(), HasSubstr("Content-Length: 4\r\n"));
}

TEST_F(HttpClientTest, StreamGivesTheBodyPieceByPieceBeforeItsEnd) {
  OneAnswer server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n",
                   /*close=*/false);
  ASSERT_OK_AND_ASSIGN(auto client, HttpClient::Create({.allow_http = true}));
  // The body never ends: what arrives was handed on before.
  std::stop_source stop;
  std::string got;
  BodySink sink = [&](std::string_view piece) {
    absl::StrAppend(&got, piece);
    if (got == "hello world") {
      stop.request_stop();
    }
    return absl::OkStatus();
  };
  EXPECT_THAT(BlockOn(*executor_,
                      client->Stream({.url = server.url("/")}, std::move(sink), absl::Seconds(20), stop.get_token())),
              HasReason("HTTP_CANCELLED"));
  EXPECT_EQ(got, "hello world");
}

TEST_F(HttpClientTest, StreamEndsWithTheErrorOfItsSinkAndAtTheLimitOfBytes) {
  ASSERT_OK_AND_ASSIGN(auto client, HttpClient::Create({.allow_http = true, .max_body_bytes = 1000}));
  OneAnswer refused("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", /*close=*/false);
  EXPECT_EQ(BlockOn(*executor_, client->Stream(
                                    {.url = refused.url("/")},
                                    [](std::string_view) { return absl::DataLossError("enough"); }, absl::Seconds(20)))
                .status(),
            absl::DataLossError("enough"));
  OneAnswer large(absl::StrCat("HTTP/1.1 200 OK\r\n\r\n", std::string(2000, 'x')));
  EXPECT_THAT(BlockOn(*executor_, client->Stream(
                                      {.url = large.url("/")}, [](std::string_view) { return absl::OkStatus(); },
                                      absl::Seconds(20))),
              HasReason("HTTP_RESPONSE_TOO_LARGE"));
}

TEST_F(HttpClientTest, StreamLeavesTheBodyOfARefusalInTheResponse) {
  OneAnswer server("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nwait");
  ASSERT_OK_AND_ASSIGN(auto client, HttpClient::Create({.allow_http = true}));
  ASSERT_OK_AND_ASSIGN(
      const Response response,
      BlockOn(*executor_, client->Stream(
                              {.url = server.url("/")}, [](std::string_view) { return absl::DataLossError("read"); },
                              absl::Seconds(20))));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.body, "wait");
}

TEST_F(HttpClientTest, RedirectsAreNotFollowed) {
  OneAnswer server("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  ASSERT_OK_AND_ASSIGN(const Response response, Send({.url = server.url("/")}));
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.header("location"), "http://127.0.0.1:1/");
}

TEST_F(HttpClientTest, AnswersThatAreTooMuchOrBrokenAreErrors) {
  const std::pair<std::string, const char*> kCases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "HTTP_RESPONSE_TOO_LARGE"},
      {absl::StrCat("HTTP/1.1 200 OK\r\n\r\n", std::string(2000, 'x')), "HTTP_RESPONSE_TOO_LARGE"},
      {absl::StrCat("HTTP/1.1 200 OK\r\nX: ", std::string(20000, 'x'), "\r\n\r\n"), "HTTP_RESPONSE_TOO_LARGE"},
      {"SSH-2.0-OpenSSH\r\n", "HTTP_RESPONSE_INVALID"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP_RESPONSE_INVALID"},
      {"", "HTTP_RESPONSE_INVALID"},
  };
  for (const auto& [answer, reason] : kCases) {
    OneAnswer server(answer);
    EXPECT_THAT(Send({.url = server.url("/")}), HasReason(reason)) << answer.substr(0, 100);
  }
}

TEST_F(HttpClientTest, SilenceEndsAtTheTimeout) {
  OneAnswer server("HTTP/1.1 200 OK\r\n", /*close=*/false);
  EXPECT_THAT(Send({.url = server.url("/")}, absl::Milliseconds(100)),
              HasReason(absl::StatusCode::kDeadlineExceeded, "HTTP_TIMED_OUT"));
}

TEST_F(HttpClientTest, CancellationEndsTheWait) {
  OneAnswer server("HTTP/1.1 200 OK\r\n", /*close=*/false);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(Send({.url = server.url("/")}, absl::Seconds(20), stop.get_token()),
              HasReason(absl::StatusCode::kCancelled, "HTTP_CANCELLED"));
}

TEST_F(HttpClientTest, NobodyListensAndNobodyIsThere) {
  EXPECT_THAT(Send({.url = "http://127.0.0.1:1/"}), HasReason(absl::StatusCode::kUnavailable, "HTTP_UNREACHABLE"));
  // The sandbox has no name server: the question is given up, in time.
  EXPECT_THAT(Send({.url = "http://nobody.example/"}, absl::Seconds(2)),
              HasReason(absl::StatusCode::kUnavailable, "HOST_UNKNOWN"));
}

TEST_F(HttpClientTest, HttpIsForThoseWhoAskForIt) {
  ASSERT_OK_AND_ASSIGN(auto client, HttpClient::Create({}));
  EXPECT_THAT(BlockOn(*executor_, client->Send({.url = "http://127.0.0.1:1/"}, absl::Seconds(1))),
              HasReason("HTTP_INSECURE"));
  EXPECT_THAT(HttpClient::Create({.ca_file = "/nowhere"}), HasReason("CA_FILE_INVALID"));
}

}  // namespace
}  // namespace bulkhead::http
