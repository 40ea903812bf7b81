#include "services/bulkhead/cli/redirect_listener.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/real_time.h"

namespace bulkhead::cli {
namespace {

// How long a signal may go unseen.
constexpr int kLookMilliseconds = 200;
constexpr size_t kMaxRequestBytes = 16 << 10;
// A browser that connects and says nothing must not hold up the one that brings the redirect.
constexpr absl::Duration kRequestLimit = absl::Seconds(5);

absl::Status ListenFailed() {
  return MakeError(absl::StatusCode::kInternal, absl::StrCat("cannot listen on 127.0.0.1: ", std::strerror(errno)),
                   {.domain = "bulkhead.cli", .reason = "LISTEN_FAILED"});
}

bool ReadableBefore(int socket, absl::Time deadline) {
  const absl::Duration left = deadline - RealNow();
  const int wait = static_cast<int>(std::min<int64_t>(kLookMilliseconds, absl::ToInt64Milliseconds(left)));
  pollfd watched{.fd = socket, .events = POLLIN, .revents = 0};
  return wait > 0 && poll(&watched, 1, wait) == 1;
}

// The request's head, or what came of it.
std::string ReadHead(int connection) {
  std::string head;
  const absl::Time deadline = RealDeadline(kRequestLimit);
  while (head.find("\r\n\r\n") == std::string::npos && head.size() < kMaxRequestBytes && RealNow() < deadline) {
    if (!ReadableBefore(connection, deadline)) {
      continue;
    }
    char piece[4096];
    const ssize_t count = recv(connection, piece, sizeof(piece), 0);
    if (count <= 0) {
      break;
    }
    head.append(piece, static_cast<size_t>(count));
  }
  return head;
}

// The query of "GET /path?query HTTP/1.1" when it asks for `path`.
std::optional<std::string> QueryOf(const std::string& head, std::string_view path) {
  const std::vector<std::string_view> words = absl::StrSplit(std::string_view(head).substr(0, head.find('\r')), ' ');
  if (words.size() != 3 || words[0] != "GET") {
    return std::nullopt;
  }
  std::string_view target = words[1];
  if (!absl::ConsumePrefix(&target, path) || !absl::ConsumePrefix(&target, "?")) {
    return std::nullopt;
  }
  return std::string(target);
}

void Answer(int connection, std::string_view status, std::string_view text) {
  const std::string page =
      absl::StrCat("<!doctype html><meta charset=utf-8><title>Bulkhead</title><p>", text, "</p>\n");
  const std::string answer =
      absl::StrCat("HTTP/1.1 ", status,
                   "\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"
                   "Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'\r\n"
                   "Connection: close\r\nContent-Length: ",
                   page.size(), "\r\n\r\n", page);
  // A browser that has gone already misses nothing.
  static_cast<void>(send(connection, answer.data(), answer.size(), MSG_NOSIGNAL));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RedirectListener>> RedirectListener::Create(std::string path) {
  const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listening < 0) {
    return ListenFailed();
  }
  auto listener = absl::WrapUnique(new RedirectListener(listening, std::move(path)));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(listening, 8) != 0 ||
      getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return ListenFailed();
  }
  listener->url_ = absl::StrCat("http://127.0.0.1:", ntohs(address.sin_port), listener->path_);
  return listener;
}

RedirectListener::~RedirectListener() { close(socket_); }

absl::StatusOr<std::string> RedirectListener::WaitForQuery(const Interrupt& interrupt, absl::Duration limit) {
  const absl::Time deadline = RealDeadline(limit);
  while (RealNow() < deadline) {
    if (interrupt.requested()) {
      return InterruptedError();
    }
    if (!ReadableBefore(socket_, deadline)) {
      continue;
    }
    const int connection = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) {
      continue;
    }
    std::optional<std::string> query = QueryOf(ReadHead(connection), path_);
    Answer(connection, query.has_value() ? "200 OK" : "404 Not Found",
           query.has_value() ? "Back to the terminal: you can close this page." : "There is nothing here.");
    close(connection);
    if (query.has_value()) {
      return *std::move(query);
    }
  }
  return MakeError(absl::StatusCode::kDeadlineExceeded, "nobody came back from the provider in time: sign in again",
                   {.domain = "bulkhead.cli", .reason = "SIGN_IN_ABANDONED"});
}

}  // namespace bulkhead::cli
