// The one file of ours that sees OpenSSL's headers: it must not see BoringSSL's, nor depend on what does.
#include "services/common/http/http_client.h"

#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/as_tuple.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/ssl/context.hpp"
#include "boost/asio/ssl/error.hpp"
#include "boost/asio/ssl/host_name_verification.hpp"
#include "boost/asio/ssl/stream.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/this_coro.hpp"
#include "boost/beast/core/error.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/core/tcp_stream.hpp"
#include "boost/beast/http/buffer_body.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/read.hpp"
#include "boost/beast/http/string_body.hpp"
#include "boost/beast/http/write.hpp"
#include "services/common/http/connect.h"
#include "services/common/http/url.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

constexpr size_t kPieceBytes = 16 * 1024;
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// Where distributions keep the certificates that they trust, besides the place that this OpenSSL was built for.
constexpr const char* kSystemBundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

absl::Status HttpError(absl::StatusCode code, std::string_view reason, std::string_view message, const Url& url) {
  return MakeError(code, absl::StrCat(url.authority, " ", message),
                   {.domain = "bulkhead.http", .reason = std::string(reason), .metadata = {{"host", url.host}}});
}

absl::Status ToStatus(const boost::system::error_code& error, std::string_view doing, const Url& url) {
  if (error == beast::error::timeout) {
    return HttpError(absl::StatusCode::kDeadlineExceeded, "HTTP_TIMED_OUT", "did not answer in time", url);
  }
  if (error == beast::http::error::body_limit || error == beast::http::error::header_limit) {
    return HttpError(absl::StatusCode::kResourceExhausted, "HTTP_RESPONSE_TOO_LARGE", "sent more than is accepted",
                     url);
  }
  if (error.category() == asio::error::get_ssl_category() || error == asio::ssl::error::stream_truncated) {
    return HttpError(absl::StatusCode::kUnavailable, "TLS_FAILED",
                     absl::StrCat("could not be spoken to by TLS: ", error.message()), url);
  }
  if (error.category() == beast::http::make_error_code(beast::http::error::end_of_stream).category()) {
    return HttpError(absl::StatusCode::kUnavailable, "HTTP_RESPONSE_INVALID",
                     absl::StrCat("sent what is no HTTP answer: ", error.message()), url);
  }
  return HttpError(absl::StatusCode::kUnavailable, "HTTP_UNREACHABLE",
                   absl::StrCat("failed while ", doing, ": ", error.message()), url);
}

}  // namespace

std::string_view Response::header(std::string_view name) const {
  const auto found = headers.find(std::string(name));
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

struct HttpClient::State {
  explicit State(Options o) : options(std::move(o)), tls(asio::ssl::context::tls_client) {}

  static Awaitable<absl::StatusOr<Response>> Exchange(std::shared_ptr<const State> self, Url url, Request request,
                                                      BodySink sink, absl::Duration timeout, std::stop_token stop);
  template <typename AnyStream>
  Awaitable<absl::StatusOr<Response>> Speak(AnyStream& stream, const Url& url, Request request, BodySink sink) const;
  template <typename AnyStream>
  Awaitable<absl::StatusOr<Response>> Listen(AnyStream& stream, const Url& url, BodySink sink) const;

  const Options options;
  // Not changed after Create; each connection makes its own state of it.
  mutable asio::ssl::context tls;
};

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(Options options) {
  auto state = std::make_shared<State>(std::move(options));
  boost::system::error_code error;
  // Boost's documented way to "1.2 or later"; neither call can fail with a context just made.
  static_cast<void>(SSL_CTX_set_min_proto_version(state->tls.native_handle(), TLS1_2_VERSION));
  state->tls.set_verify_mode(asio::ssl::verify_peer, error);
  if (!state->options.ca_file.empty()) {
    state->tls.load_verify_file(state->options.ca_file, error);
    if (error) {
      return MakeError(
          absl::StatusCode::kInvalidArgument,
          absl::StrCat("the certificates in ", state->options.ca_file, " cannot be read: ", error.message(),
                       "; a file in PEM is expected"),
          {.domain = "bulkhead.http", .reason = "CA_FILE_INVALID", .metadata = {{"file", state->options.ca_file}}});
    }
  } else {
    state->tls.set_default_verify_paths(error);
    for (const char* bundle : kSystemBundles) {
      state->tls.load_verify_file(bundle, error);  // Those that are there.
    }
  }
  return absl::WrapUnique(new HttpClient(std::move(state)));
}

HttpClient::HttpClient(std::shared_ptr<const State> state) : state_(std::move(state)) {}
HttpClient::~HttpClient() = default;

Awaitable<absl::StatusOr<Response>> HttpClient::Send(Request request, absl::Duration timeout,
                                                     std::stop_token stop) const {
  return Start(std::move(request), nullptr, timeout, std::move(stop));
}

Awaitable<absl::StatusOr<Response>> HttpClient::Stream(Request request, BodySink sink, absl::Duration timeout,
                                                       std::stop_token stop) const {
  return Start(std::move(request), std::move(sink), timeout, std::move(stop));
}

Awaitable<absl::StatusOr<Response>> HttpClient::Start(Request request, BodySink sink, absl::Duration timeout,
                                                      std::stop_token stop) const {
  const std::shared_ptr<const State> state = state_;
  CO_ASSIGN_OR_RETURN(Url url, ParseUrl(request.url));
  if (!url.https && !state->options.allow_http) {
    co_return HttpError(absl::StatusCode::kInvalidArgument, "HTTP_INSECURE",
                        "is named by an http address: https is required", url);
  }
  // On a strand, so that a cancellation from another thread does not meet an operation that starts.
  const auto strand = asio::make_strand(co_await asio::this_coro::executor);
  absl::StatusOr<Response> response = co_await asio::co_spawn(
      strand, State::Exchange(state, url, std::move(request), std::move(sink), timeout, stop), asio::use_awaitable);
  if (!response.ok() && stop.stop_requested()) {
    co_return HttpError(absl::StatusCode::kCancelled, "HTTP_CANCELLED", "was not waited for", url);
  }
  co_return response;
}

Awaitable<absl::StatusOr<Response>> HttpClient::State::Exchange(std::shared_ptr<const State> self, Url url,
                                                                Request request, BodySink sink, absl::Duration timeout,
                                                                std::stop_token stop) {
  const auto executor = co_await asio::this_coro::executor;
  CO_ASSIGN_OR_RETURN(beast::tcp_stream connected, co_await Connect(url.host, url.port, timeout));
  const auto tcp = std::make_shared<beast::tcp_stream>(std::move(connected));
  const std::stop_callback cancel(stop, [executor, weak = std::weak_ptr(tcp)] {
    asio::post(executor, [weak] {
      if (const std::shared_ptr<beast::tcp_stream> stream = weak.lock()) {
        stream->close();  // Not just what is under way: between two steps that would be nothing.
      }
    });
  });
  if (!url.https) {
    co_return co_await self->Speak(*tcp, url, std::move(request), std::move(sink));
  }
  asio::ssl::stream<beast::tcp_stream&> tls(*tcp, self->tls);
  boost::system::error_code error;
  tls.set_verify_callback(asio::ssl::host_name_verification(url.host), error);
  boost::system::error_code no_address;
  static_cast<void>(asio::ip::make_address(url.host, no_address));
  // RFC 6066 section 3: names only. Without it, a server of many names does not know which certificate to show.
  if (no_address && SSL_set_tlsext_host_name(tls.native_handle(), url.host.c_str()) != 1) {
    co_return HttpError(absl::StatusCode::kUnavailable, "TLS_FAILED", "has a name that TLS cannot carry", url);
  }
  std::tie(error) = co_await tls.async_handshake(asio::ssl::stream_base::client, kTuple);
  if (error) {
    co_return ToStatus(error, "TLS was agreed on", url);
  }
  // No goodbye at the end: the answer's own length says that it is whole.
  co_return co_await self->Speak(tls, url, std::move(request), std::move(sink));
}

template <typename AnyStream>
Awaitable<absl::StatusOr<Response>> HttpClient::State::Speak(AnyStream& stream, const Url& url, Request request,
                                                             BodySink sink) const {
  beast::http::request<beast::http::string_body> message;
  message.version(11);
  message.method_string(request.method);
  message.target(url.target);
  message.set(beast::http::field::host, url.authority);
  message.set(beast::http::field::connection, "close");
  for (const auto& [name, value] : request.headers) {
    message.set(name, value);
  }
  message.body() = std::move(request.body);
  message.prepare_payload();
  auto [write_error, written] = co_await beast::http::async_write(stream, message, kTuple);
  if (write_error) {
    co_return ToStatus(write_error, "the request was sent", url);
  }
  co_return co_await Listen(stream, url, std::move(sink));
}

template <typename AnyStream>
Awaitable<absl::StatusOr<Response>> HttpClient::State::Listen(AnyStream& stream, const Url& url, BodySink sink) const {
  beast::http::response_parser<beast::http::buffer_body> parser;
  parser.header_limit(static_cast<uint32_t>(options.max_header_bytes));
  parser.body_limit(options.max_body_bytes);
  beast::flat_buffer buffer;
  auto [head_error, head_bytes] = co_await beast::http::async_read_header(stream, buffer, parser, kTuple);
  if (head_error) {
    co_return ToStatus(head_error, "the answer was read", url);
  }
  Response response{.status = static_cast<int>(parser.get().result_int())};
  for (const auto& field : parser.get()) {
    if (field.name() == beast::http::field::set_cookie) {
      response.cookies.emplace_back(field.value());
      continue;
    }
    std::string& value = response.headers[absl::AsciiStrToLower(std::string_view(field.name_string()))];
    absl::StrAppend(&value, value.empty() ? "" : ", ", std::string_view(field.value()));
  }
  const bool streams = sink != nullptr && response.status / 100 == 2;
  std::string piece(kPieceBytes, '\0');
  while (!parser.is_done()) {
    beast::http::buffer_body::value_type& body = parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    auto [error, bytes] = co_await beast::http::async_read_some(stream, buffer, parser, kTuple);
    const std::string_view got(piece.data(), piece.size() - body.size);
    if (error && error != beast::http::error::need_buffer) {  // The piece is full: there is more.
      co_return ToStatus(error, "the answer was read", url);
    }
    if (!streams) {
      response.body.append(got);
    } else if (!got.empty()) {
      CO_RETURN_IF_ERROR(sink(got));
    }
  }
  co_return response;
}

}  // namespace bulkhead::http
