// Signing in through OpenID providers as a person does it: a browser, the gateway, the provider's pages.
#ifndef TESTING_INTEGRATION_AUTH_OPENID_SIGN_IN_H_
#define TESTING_INTEGRATION_AUTH_OPENID_SIGN_IN_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "testing/base/temp_dir.h"
#include "testing/harness/browser.h"
#include "testing/harness/harness.h"
#include "testing/harness/openid_provider.h"

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead::testing {

// A provider of the configuration.
struct Configured {
  std::string id = "corp";
  std::string issuer;
  bool allow_sign_up = true;
  bool secret = true;  // False for a public client.
  std::string ca_file;
};
// What HarnessBuilder::Configure takes: these providers, each with kClientId.
std::function<void(common::v1::PlatformConfig&)> WithProviders(std::vector<Configured> providers);

// A person at a browser, with the gateway's page in it. For one thread.
class Visitor {
 public:
  explicit Visitor(Harness* platform, std::string ca_file = "") : platform_(platform), browser_(std::move(ca_file)) {}

  Browser& browser() { return browser_; }
  std::string Url(std::string_view path) const;

  // Chooses a provider: the first page that it shows, or where it sends the browser back to at once. The answer of the gateway when that refuses.
  absl::StatusOr<Browser::Page> Start(std::string_view provider = "corp");
  // The same as the page of the console does it, which may bring a token and ask to link.
  absl::StatusOr<Browser::Page> StartFromPage(const nlohmann::json& body, std::string_view token = "",
                                              std::string_view provider = "corp");
  // Hands in the query that the browser came back with, as the page does: the tokens, or the error of the gateway.
  absl::StatusOr<nlohmann::json> Finish(std::string_view query);
  // All of it at the honest provider, as `login`.
  absl::StatusOr<nlohmann::json> SignIn(std::string_view login, std::string_view provider = "corp");
  // All of it at a provider that sends the browser straight back.
  absl::StatusOr<nlohmann::json> SignInAtOnce(std::string_view provider = "corp");
  // What the gateway answers to GET with an access token.
  absl::StatusOr<nlohmann::json> Ask(std::string_view path, const nlohmann::json& tokens);

 private:
  Harness* const platform_;
  Browser browser_;
};

// The JSON of a good answer; else an error with the reason and the metadata of the one it carries.
absl::StatusOr<nlohmann::json> AnswerOf(const Browser::Page& page);

// "session.sign_in", or "session.sign_in STATE_INVALID" when it was refused: all that was decided, oldest first.
std::vector<std::string> DecisionsOfAll(Harness& platform);

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AUTH_OPENID_SIGN_IN_H_
