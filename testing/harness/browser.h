// As much of a browser as signing in takes: cookies, redirects, forms. No scripts.
#ifndef TESTING_HARNESS_BROWSER_H_
#define TESTING_HARNESS_BROWSER_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "services/common/http/http_client.h"
#include "services/common/runtime/executor.h"

namespace bulkhead::testing {

// For one thread. Follows at most 20 redirects in a row.
class Browser {
 public:
  // `ca_file`: whose certificates it trusts over https.
  explicit Browser(std::string ca_file = "");
  ~Browser();

  // What it shows in the end.
  struct Page {
    int status = 0;
    std::string url;
    std::string body;
    std::map<std::string, std::string> headers;
    std::vector<std::string> set_cookies;  // Of the last answer.

    // What follows the "?" of `url`.
    std::string query() const;
  };
  absl::StatusOr<Page> Get(std::string_view url);
  // Stops before the redirect to an address that begins with `stop`, as one who looks at it first: its url is that address.
  absl::StatusOr<Page> GetUntil(std::string_view url, std::string_view stop);
  // What a script of a page does with fetch(): cookies go with it.
  absl::StatusOr<Page> PostJson(std::string_view url, const nlohmann::json& body,
                                std::map<std::string, std::string> headers = {});
  // Fills in the page's form, hidden fields included, and sends it.
  absl::StatusOr<Page> Submit(const Page& page, const std::map<std::string, std::string>& fields);

  // The same, stopping as GetUntil does.
  absl::StatusOr<Page> SubmitUntil(const Page& page, const std::map<std::string, std::string>& fields,
                                   std::string_view stop);

  // The value of a cookie for the host of `url`, "" when there is none; and what another one would plant there.
  std::string cookie(std::string_view url, std::string_view name) const;
  void SetCookie(std::string_view url, std::string_view name, std::string_view value, std::string_view path = "/");

 private:
  struct Cookie {
    std::string value;
    std::string path;
  };
  absl::StatusOr<Page> Follow(http::Request request, std::string_view stop);
  absl::StatusOr<http::Response> Send(http::Request request);
  void Keep(std::string_view url, std::string_view set_cookie);

  const std::unique_ptr<Executor> executor_;
  const std::unique_ptr<http::HttpClient> client_;
  std::map<std::string, std::map<std::string, Cookie>> cookies_;  // By host, which ports share, and name.
};

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_BROWSER_H_
