// Waits for one redirect of a browser on this machine.
#ifndef SERVICES_BULKHEAD_CLI_REDIRECT_LISTENER_H_
#define SERVICES_BULKHEAD_CLI_REDIRECT_LISTENER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/bulkhead/cli/interrupt.h"

namespace bulkhead::cli {

// Listens on 127.0.0.1 at a free port from its making on: before anybody is sent there. For one thread.
class RedirectListener {
 public:
  // INTERNAL `LISTEN_FAILED`.
  static absl::StatusOr<std::unique_ptr<RedirectListener>> Create(std::string path);
  ~RedirectListener();
  RedirectListener(const RedirectListener&) = delete;
  RedirectListener& operator=(const RedirectListener&) = delete;

  // "http://127.0.0.1:43210/v1/oidc/callback"
  const std::string& url() const { return url_; }

  // The query of the first request for the path; the browser gets a page that says to come back. Other requests get 404.
  // CANCELLED `INTERRUPTED`; DEADLINE_EXCEEDED `SIGN_IN_ABANDONED`.
  absl::StatusOr<std::string> WaitForQuery(const Interrupt& interrupt, absl::Duration limit);

 private:
  RedirectListener(int socket, std::string path) : socket_(socket), path_(std::move(path)) {}

  const int socket_;
  const std::string path_;
  std::string url_;
};

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_REDIRECT_LISTENER_H_
