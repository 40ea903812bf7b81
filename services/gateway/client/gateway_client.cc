#include "services/gateway/client/gateway_client.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/http.hpp"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/client/answer.h"
#include "services/gateway/client/transport.h"
#include "services/gateway/client/web_socket.h"

namespace bulkhead::gateway {
namespace {

namespace asio = ::boost::asio;
namespace beast = ::boost::beast;
namespace http = ::boost::beast::http;
using client::kTuple;
using Json = nlohmann::json;

constexpr size_t kPiece = 256 * 1024;
// Answers that are held in memory; files are not.
constexpr uint64_t kMaxAnswer = 64 << 20;
constexpr std::chrono::milliseconds kFirstPause(50);
constexpr std::chrono::milliseconds kLongestPause(2000);

template <typename Fields>
void SetHead(const client::Address& address, const std::string& user_agent, const RawToken& token, Fields& fields) {
  fields.set(http::field::host, address.host_header);
  fields.set(http::field::user_agent, user_agent);
  fields.set(http::field::connection, "close");
  if (!token.empty()) {
    fields.set(http::field::authorization, absl::StrCat("Bearer ", token.Reveal()));
  }
}

Awaitable<absl::StatusOr<RawResponse>> ReadAnswer(beast::tcp_stream& stream, const client::Address& address,
                                                  absl::Duration timeout) {
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswer);
  stream.expires_after(absl::ToChronoSeconds(timeout));
  auto [error, bytes] = co_await http::async_read(stream, buffer, parser, kTuple);
  if (error) {
    co_return client::TransportError(error, address);
  }
  RawResponse answer;
  answer.status = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get()) {
    answer.headers[absl::AsciiStrToLower(std::string_view(field.name_string()))] =
        std::string(std::string_view(field.value()));
  }
  answer.body = std::move(parser.get().body());
  co_return answer;
}

absl::StatusOr<Json> ToJsonAnswer(absl::StatusOr<RawResponse> answer) {
  RETURN_IF_ERROR(answer.status());
  RETURN_IF_ERROR(StatusOfAnswer(answer->status, answer->body));
  return ParseJson(answer->body);
}

absl::Status Unreadable(const std::string& file) {
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("cannot read ", file),
                   {.domain = "bulkhead.gateway", .reason = "LOCAL_FILE_UNREADABLE", .metadata = {{"file", file}}});
}

absl::Status WatchStopped() {
  return MakeError(absl::StatusCode::kCancelled, "watching was stopped",
                   {.domain = "bulkhead.gateway", .reason = "WATCH_STOPPED"});
}

// Waits a little before the nth try to connect again.
void Pause(int failures, std::stop_token stop) {
  asio::io_context context;
  asio::steady_timer timer(context, std::min(kFirstPause * (1 << std::min(failures - 1, 10)), kLongestPause));
  timer.async_wait([](const boost::system::error_code&) {});
  std::stop_callback on_stop(stop, [&context] { context.stop(); });
  context.run();
}

bool IsTerminal(const std::string& type) {
  return type == "agent_completed" || type == "agent_failed" || type == "agent_cancelled";
}

}  // namespace

std::string EscapePath(std::string_view path) {
  std::string escaped;
  for (const char c : path) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("/-._~", c)) {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

struct GatewayClient::Endpoint {
  client::Address address;
};

GatewayClient::GatewayClient(Options options, std::unique_ptr<Endpoint> endpoint)
    : options_(std::move(options)), endpoint_(std::move(endpoint)) {}
GatewayClient::~GatewayClient() = default;

absl::StatusOr<std::unique_ptr<GatewayClient>> GatewayClient::Create(Options options) {
  auto endpoint = std::make_unique<Endpoint>();
  ASSIGN_OR_RETURN(endpoint->address, client::ParseBaseUrl(options.base_url));
  return std::unique_ptr<GatewayClient>(new GatewayClient(std::move(options), std::move(endpoint)));
}

const std::string& GatewayClient::base_url() const { return options_.base_url; }

absl::StatusOr<RawResponse> GatewayClient::Send(const RawRequest& request, const RawToken& token) {
  asio::io_context context;
  const auto exchange = [&]() -> Awaitable<absl::StatusOr<RawResponse>> {
    const client::Address& address = endpoint_->address;
    CO_ASSIGN_OR_RETURN(beast::tcp_stream stream, co_await client::Connect(address, options_.timeout));
    http::request<http::string_body> message;
    message.method_string(request.method);
    message.target(request.path);
    message.version(11);
    SetHead(address, options_.user_agent, token, message);
    for (const auto& [name, value] : request.headers) {
      message.set(name, value);
    }
    message.body() = request.body;
    message.prepare_payload();
    stream.expires_after(absl::ToChronoSeconds(options_.timeout));
    // A server that refuses the body may answer before it has all of it.
    auto [error, bytes] = co_await http::async_write(stream, message, kTuple);
    absl::StatusOr<RawResponse> answer = co_await ReadAnswer(stream, address, options_.timeout);
    co_return error && !answer.ok() ? absl::StatusOr<RawResponse>(client::TransportError(error, address))
                                    : std::move(answer);
  };
  return client::RunHere(context, exchange());
}

absl::StatusOr<Json> GatewayClient::Request(std::string_view method, std::string_view path, const Json& body,
                                            const RawToken& token) {
  RawRequest request{.method = std::string(method), .path = std::string(path)};
  if (!body.is_null()) {
    request.headers["Content-Type"] = "application/json";
    request.body = body.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
  }
  return ToJsonAnswer(Send(request, token));
}

absl::StatusOr<Json> GatewayClient::UploadFile(std::string_view path, const std::string& local_file,
                                               const RawToken& token,
                                               absl::FunctionRef<void(uint64_t, uint64_t)> on_progress) {
  std::ifstream file(local_file, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
  if (size < 0) {
    return Unreadable(local_file);
  }
  file.seekg(0);
  const uint64_t total = static_cast<uint64_t>(size);
  asio::io_context context;
  const auto upload = [&]() -> Awaitable<absl::StatusOr<RawResponse>> {
    const client::Address& address = endpoint_->address;
    CO_ASSIGN_OR_RETURN(beast::tcp_stream stream, co_await client::Connect(address, options_.timeout));
    http::request<http::empty_body> head(http::verb::put, absl::StrCat("/v1/files/", EscapePath(path)), 11);
    SetHead(address, options_.user_agent, token, head);
    head.set(http::field::content_type, "application/octet-stream");
    head.content_length(total);
    http::request_serializer<http::empty_body> serializer(head);
    stream.expires_after(absl::ToChronoSeconds(options_.timeout));
    auto [error, ignored] = co_await http::async_write_header(stream, serializer, kTuple);
    std::string piece(kPiece, '\0');
    uint64_t sent = 0;
    while (!error && sent < total) {
      file.read(piece.data(), static_cast<std::streamsize>(std::min<uint64_t>(piece.size(), total - sent)));
      const size_t count = static_cast<size_t>(file.gcount());
      if (count == 0) {
        co_return Unreadable(local_file);  // It has become shorter.
      }
      stream.expires_after(absl::ToChronoSeconds(options_.timeout));
      std::tie(error, std::ignore) = co_await asio::async_write(stream, asio::buffer(piece.data(), count), kTuple);
      sent += count;
      on_progress(sent, total);
    }
    absl::StatusOr<RawResponse> answer = co_await ReadAnswer(stream, address, options_.timeout);
    co_return error && !answer.ok() ? absl::StatusOr<RawResponse>(client::TransportError(error, address))
                                    : std::move(answer);
  };
  return ToJsonAnswer(client::RunHere(context, upload()));
}

absl::Status GatewayClient::DownloadFile(std::string_view path, const RawToken& token,
                                         absl::FunctionRef<absl::Status(std::string_view)> on_piece) {
  asio::io_context context;
  const auto download = [&]() -> Awaitable<absl::Status> {
    const client::Address& address = endpoint_->address;
    CO_ASSIGN_OR_RETURN(beast::tcp_stream stream, co_await client::Connect(address, options_.timeout));
    http::request<http::empty_body> message(http::verb::get, absl::StrCat("/v1/files/", EscapePath(path)), 11);
    SetHead(address, options_.user_agent, token, message);
    stream.expires_after(absl::ToChronoSeconds(options_.timeout));
    if (auto [error, bytes] = co_await http::async_write(stream, message, kTuple); error) {
      co_return client::TransportError(error, address);
    }
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    if (auto [error, bytes] = co_await http::async_read_header(stream, buffer, parser, kTuple); error) {
      co_return client::TransportError(error, address);
    }
    const int status = static_cast<int>(parser.get().result_int());
    std::string piece(kPiece, '\0');
    std::string refusal;
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      stream.expires_after(absl::ToChronoSeconds(options_.timeout));
      auto [error, bytes] = co_await http::async_read(stream, buffer, parser, kTuple);
      if (error && error != http::error::need_buffer) {
        co_return client::TransportError(error, address);
      }
      const std::string_view data(piece.data(), piece.size() - parser.get().body().size);
      if (status != 200) {
        refusal.append(data.substr(0, kMaxAnswer - std::min<size_t>(refusal.size(), kMaxAnswer)));
      } else if (!data.empty()) {
        CO_RETURN_IF_ERROR(on_piece(data));
      }
    }
    co_return StatusOfAnswer(status, refusal);
  };
  return client::RunHere(context, download());
}

absl::Status GatewayClient::WatchRun(std::string_view stream, WatchOptions options, const RawToken& token,
                                     absl::FunctionRef<bool(const Json&)> on_frame) {
  uint64_t cursor = options.after;
  int failures = 0;

  // Follows one connection. OK when the watching is over.
  const auto follow = [&](ClientWebSocket& socket) -> absl::Status {
    const Json subscribe = {
        {"id", "watch"}, {"subscribe", {{"stream", stream}, {"after", cursor}, {"durableOnly", options.durable_only}}}};
    RETURN_IF_ERROR(socket.Send(subscribe.dump(), /*is_text=*/true));
    while (true) {
      ASSIGN_OR_RETURN(ClientWebSocket::Message message, socket.Receive(options_.timeout));
      ASSIGN_OR_RETURN(Json frame, ParseJson(message.data));
      if (auto error = frame.find("error"); error != frame.end()) {
        return StatusOfErrorFrame(*error);
      }
      bool last = false;
      if (auto event = frame.find("event"); event != frame.end()) {
        failures = 0;
        cursor = std::max(cursor, event->value("sequence", uint64_t{0}));
        last = IsTerminal(event->value("type", ""));
      } else if (auto gap = frame.find("gap"); gap != frame.end()) {
        cursor = std::max(cursor, gap->value("firstAvailable", uint64_t{1}) - 1);
      } else if (frame.contains("caughtUp")) {
        failures = 0;
      } else {
        continue;
      }
      if (!on_frame(frame) || last) {
        return absl::OkStatus();
      }
    }
  };

  while (true) {
    if (options.stop.stop_requested()) {
      return WatchStopped();
    }
    absl::StatusOr<std::unique_ptr<ClientWebSocket>> socket =
        ClientWebSocket::Connect({.base_url = options_.base_url,
                                  .token = token.Copy(),
                                  .user_agent = options_.user_agent,
                                  .timeout = options_.timeout});
    absl::Status status = socket.status();
    if (status.ok()) {
      std::stop_callback on_stop(options.stop, [&socket] { (*socket)->Cancel(); });
      status = follow(**socket);
      if (!status.ok() && (*socket)->close_code() == 4401) {
        return MakeError(absl::StatusCode::kUnauthenticated, "the access token has ended",
                         {.domain = "bulkhead.auth", .reason = "TOKEN_EXPIRED"});
      }
    }
    if (status.ok()) {
      (*socket)->Close(1000);
      return status;
    }
    if (options.stop.stop_requested()) {
      return WatchStopped();
    }
    const bool silent =
        ReasonOf(status) == "GATEWAY_TIMED_OUT";  // A run may wait for long; a dead connection is silent too.
    if ((status.code() != absl::StatusCode::kUnavailable && !silent) || ++failures > options.reconnects) {
      return status;
    }
    Pause(failures, options.stop);
  }
}

}  // namespace bulkhead::gateway
