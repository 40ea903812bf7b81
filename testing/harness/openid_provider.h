// OpenID providers for tests, each a process of its own on the loopback: the npm package oidc-provider, and one that attacks.
#ifndef TESTING_HARNESS_OPENID_PROVIDER_H_
#define TESTING_HARNESS_OPENID_PROVIDER_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "testing/harness/browser.h"
#include "testing/harness/child_process.h"

namespace bulkhead::testing {

// The client that every provider here knows; a secret goes with it at the honest one.
inline constexpr char kClientId[] = "bulkhead-test";
inline constexpr char kClientSecret[] = "a secret of the tests, with a : and a % in it";

// For one thread.
class OpenIdProvider {
 public:
  struct Options {
    // What it tells about each account, by login: {"ada": {"email": "ada@example.org"}}. Whoever types the login is taken for him.
    nlohmann::json accounts = nlohmann::json::object();
    std::string algorithm = "RS256";                     // Of ID tokens.
    std::string authentication = "client_secret_basic";  // Or client_secret_post, none.
    bool tls = false;                                    // With the certificate of TlsCertificate().
    std::vector<std::string> redirect_uris = {"http://127.0.0.1/v1/oidc/callback"};  // With any port.
  };
  static absl::StatusOr<std::unique_ptr<OpenIdProvider>> Start(Options options);
  // One that does what Script says; see attacker.mjs.
  static absl::StatusOr<std::unique_ptr<OpenIdProvider>> StartAttacker();

  const std::string& issuer() const { return issuer_; }
  // The file with the certificate that the one with `tls` shows, for "localhost".
  static std::string TlsCertificate();

  // New keys; what the old ones signed is no longer good.
  absl::Status RotateKeys();
  absl::Status Script(const nlohmann::json& script);
  // How often `path` was asked for until now.
  int Requests(std::string_view path);
  // What the attacker's token endpoint got, oldest first.
  nlohmann::json TokenRequests();
  // The process ends: nothing answers any more.
  void Stop() { process_ = nullptr; }

 private:
  OpenIdProvider() = default;
  static absl::StatusOr<std::unique_ptr<OpenIdProvider>> Run(std::string_view script,
                                                             std::vector<std::string> arguments);
  nlohmann::json Seen();

  std::unique_ptr<ChildProcess> process_;
  std::string issuer_;
  Browser control_{TlsCertificate()};
};

// Signs in at the honest provider as `login`: types it and presses the buttons until no form is left, which is where the provider sends the browser back to.
absl::StatusOr<Browser::Page> ClickThrough(Browser& browser, Browser::Page page, std::string_view login);

}  // namespace bulkhead::testing

#endif  // TESTING_HARNESS_OPENID_PROVIDER_H_
