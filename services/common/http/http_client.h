// A small HTTP/1.1 client for services that must talk to the world: OpenID providers and the like.
#ifndef SERVICES_COMMON_HTTP_HTTP_CLIENT_H_
#define SERVICES_COMMON_HTTP_HTTP_CLIENT_H_

#include <cstddef>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::http {

struct Request {
  std::string method = "GET";
  std::string url;
  std::map<std::string, std::string> headers;  // Host, Content-Length and Connection are added.
  std::string body;
};

struct Response {
  int status = 0;
  // Names in lower case; of one that came more than once, the values joined by ", ".
  std::map<std::string, std::string> headers;
  // Each Set-Cookie by itself: they cannot be joined (RFC 9110 section 5.3).
  std::vector<std::string> cookies;
  std::string body;

  // "" when absent.
  std::string_view header(std::string_view name) const;
};

// Takes the next piece of a body. Called on threads of the executor, never twice at once, and not after the exchange has ended. An error ends the exchange and
// is its result.
using BodySink = absl::AnyInvocable<absl::Status(std::string_view piece)>;

// One connection a request. Redirects are answers like others: they are not followed. TLS 1.2 or later; certificate and host name are always
// checked. TLS is OpenSSL's, as in gRPC; see docs/decisions. Thread-safe.
class HttpClient {
 public:
  struct Options {
    std::string ca_file;      // Certificates in PEM to trust, and no others; "" takes the system's.
    bool allow_http = false;  // Also addresses of http, which anybody on the way reads and changes.
    size_t max_header_bytes = 16 * 1024;
    size_t max_body_bytes = 256 * 1024;  // Of an answer.
  };

  // INVALID_ARGUMENT `CA_FILE_INVALID` (metadata `file`).
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(Options options);
  ~HttpClient();

  // Sends and waits for the whole answer, whatever its status, at most `timeout` of real time. The client may die meanwhile.
  //
  // INVALID_ARGUMENT `URL_INVALID`, `HTTP_INSECURE` for an http address; UNAVAILABLE `HOST_UNKNOWN`, `HTTP_UNREACHABLE`, `TLS_FAILED`, `HTTP_RESPONSE_INVALID`;
  // DEADLINE_EXCEEDED `HTTP_TIMED_OUT`; RESOURCE_EXHAUSTED `HTTP_RESPONSE_TOO_LARGE`; CANCELLED `HTTP_CANCELLED`.
  Awaitable<absl::StatusOr<Response>> Send(Request request, absl::Duration timeout, std::stop_token stop = {}) const;

  // The same, but the body of an answer of 2xx goes to `sink` as it comes, and is not in the Response. max_body_bytes holds for all of it, `timeout` for the
  // whole exchange.
  Awaitable<absl::StatusOr<Response>> Stream(Request request, BodySink sink, absl::Duration timeout,
                                             std::stop_token stop = {}) const;

 private:
  struct State;
  Awaitable<absl::StatusOr<Response>> Start(Request request, BodySink sink, absl::Duration timeout,
                                            std::stop_token stop) const;
  explicit HttpClient(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace bulkhead::http

#endif  // SERVICES_COMMON_HTTP_HTTP_CLIENT_H_
