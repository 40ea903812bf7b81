// Speaks to a gateway over HTTP and WebSocket: for the command line, and for tests. docs/http.md and docs/events.md say what to ask.
#ifndef SERVICES_GATEWAY_CLIENT_GATEWAY_CLIENT_H_
#define SERVICES_GATEWAY_CLIENT_GATEWAY_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json_fwd.hpp"
#include "services/common/identity/token.h"

namespace bulkhead::gateway {

// An HTTP answer as it came, whatever its status.
struct RawResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
};

// What to ask. `path` begins with "/", and its parts are percent-encoded (see EscapePath).
struct RawRequest {
  std::string method = "GET";
  std::string path;
  std::map<std::string, std::string> headers;
  std::string body;
};

// `path` with all bytes percent-encoded that cannot stand in a URL's path; "/" stays.
std::string EscapePath(std::string_view path);

// Blocking. Thread-safe: each call uses a connection of its own, so several threads may call at once.
//
// An error answer of the gateway becomes the absl::Status that the service made, with its ErrorInfo. An error on the way has the domain
// `bulkhead.gateway`: UNAVAILABLE `GATEWAY_UNREACHABLE` (nothing listens, or the connection broke), DEADLINE_EXCEEDED `GATEWAY_TIMED_OUT`,
// INTERNAL `GATEWAY_ANSWER_INVALID` (what answers is no gateway).
class GatewayClient {
 public:
  struct Options {
    std::string base_url;                        // "http://127.0.0.1:8080"; no path.
    absl::Duration timeout = absl::Seconds(60);  // Of a request; of each silence in uploads, downloads and watching.
    std::string user_agent = "bulkhead";         // Shown in the list of sessions.
  };

  // INVALID_ARGUMENT `BASE_URL_INVALID` unless the URL is http://host[:port].
  static absl::StatusOr<std::unique_ptr<GatewayClient>> Create(Options options);
  ~GatewayClient();

  const std::string& base_url() const;

  // One request with JSON in (none when `body` is null) and JSON out (null when the answer has no body). `token` may be empty.
  absl::StatusOr<nlohmann::json> Request(std::string_view method, std::string_view path, const nlohmann::json& body,
                                         const RawToken& token);

  // One request, anything in and out. Only errors on the way are errors here.
  absl::StatusOr<RawResponse> Send(const RawRequest& request, const RawToken& token);

  // Sends a local file to `path` of the user's workspace without loading it into memory. Returns the JSON of tool.v1.File.
  // `on_progress` gets the bytes sent and the bytes in all. NOT_FOUND `LOCAL_FILE_UNREADABLE` when the file cannot be read.
  absl::StatusOr<nlohmann::json> UploadFile(std::string_view path, const std::string& local_file, const RawToken& token,
                                            absl::FunctionRef<void(uint64_t, uint64_t)> on_progress);

  // Calls `on_piece` with the bytes of a file of the user's workspace, in order; an error that it returns ends the download and is the result.
  absl::Status DownloadFile(std::string_view path, const RawToken& token,
                            absl::FunctionRef<absl::Status(std::string_view)> on_piece);

  struct WatchOptions {
    uint64_t after = 0;  // The last sequence number seen.
    bool durable_only = false;
    int reconnects = 10;   // How often in a row a lost connection is made again in vain; about 15 seconds.
    std::stop_token stop;  // Ends the watching: CANCELLED `WATCH_STOPPED`.
  };

  // Follows a run ("users/u/runs/r") over WebSocket. Calls `on_frame` with the JSON of each ServerFrame that is about it: {"event": {...}},
  // {"gap": {...}} or {"caughtUp": {...}}, in order, without a durable event missing or twice, however often the connection is lost ({"caughtUp"} comes again then). Returns OK after the
  // run's terminal event, or when `on_frame` returned false. UNAUTHENTICATED when the token ended: go on with a new one, from the last
  // sequence number seen.
  absl::Status WatchRun(std::string_view stream, WatchOptions options, const RawToken& token,
                        absl::FunctionRef<bool(const nlohmann::json&)> on_frame);

 private:
  struct Endpoint;
  GatewayClient(Options options, std::unique_ptr<Endpoint> endpoint);

  const Options options_;
  const std::unique_ptr<const Endpoint> endpoint_;
};

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_CLIENT_GATEWAY_CLIENT_H_
