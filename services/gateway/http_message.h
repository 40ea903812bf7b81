// HTTP requests and answers as the gateway's handlers see them: no transport.
#ifndef SERVICES_GATEWAY_HTTP_MESSAGE_H_
#define SERVICES_GATEWAY_HTTP_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/runtime/awaitable.h"

namespace bulkhead::gateway {

// The head of a request.
struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // As sent, still percent-encoded, without the query.
  std::map<std::string, std::string> query;    // Decoded.
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string peer_address;

  // "" when absent.
  std::string_view header(std::string_view name) const;
};

// An answer.
struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::map<std::string, std::string> headers;  // Others than content type and length.
};

// One request, and the writing of its answer. Methods are called one at a time.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  virtual const HttpRequest& request() const = 0;
  // Requested when the client has gone (known while streaming), or is being cut off.
  virtual std::stop_token stop() const = 0;
  // Requested when the server wants to end: answers without an end of their own end here.
  virtual std::stop_token going_away() const = 0;

  // The next bytes of the body, at most `max_bytes`; "" at its end. INVALID_ARGUMENT `BODY_TOO_LARGE` beyond `limit`
  // bytes in all; CANCELLED `CLIENT_GONE`.
  virtual Awaitable<absl::StatusOr<std::string>> ReadBody(size_t max_bytes, uint64_t limit) = 0;

  // Answers at once.
  virtual Awaitable<void> Respond(HttpResponse response) = 0;

  // Answers in pieces: `head.body` is ignored. CANCELLED `CLIENT_GONE` when nobody reads any more. From BeginStream on
  // stop() tells of a client that goes; the connection ends with the answer.
  virtual Awaitable<absl::Status> BeginStream(HttpResponse head) = 0;
  virtual Awaitable<absl::Status> WriteStream(std::string piece) = 0;
  // Ends the answer. Without it the client sees that it is incomplete.
  virtual Awaitable<void> EndStream() = 0;
};

// "a=1&b=2", as in a query or a form. Nullopt when it is malformed, or names a parameter twice: one would be read here and the other one elsewhere.
std::optional<std::map<std::string, std::string>> ParseParameters(std::string_view encoded);

// Splits a request's target into `path` and `query`. INVALID_ARGUMENT `TARGET_INVALID`.
absl::Status ParseTarget(std::string_view target, HttpRequest* request);

// Decodes "%41". Nullopt when malformed, or when a NUL comes out.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);

// As https://google.aip.dev/193 says: google.rpc.Status over HTTP, with ErrorInfo and, in `Retry-After` too, RetryInfo.
HttpResponse ErrorResponse(const absl::Status& error);

// The HTTP status for an error: by its code, and for a few of the gateway's own reasons a better one (405, 413...).
int HttpStatusOf(const absl::Status& error);

// The name of a code, as "NOT_FOUND".
std::string_view StatusCodeName(absl::StatusCode code);

// An error of the gateway's own, with the domain `bulkhead.gateway`.
absl::Status GatewayError(absl::StatusCode code, std::string_view reason, std::string_view message,
                          std::map<std::string, std::string> metadata = {});

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_HTTP_MESSAGE_H_
