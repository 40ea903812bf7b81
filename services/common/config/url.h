// The addresses that a configuration may name.
#ifndef SERVICES_COMMON_CONFIG_URL_H_
#define SERVICES_COMMON_CONFIG_URL_H_

#include <optional>
#include <string>
#include <string_view>

namespace bulkhead::config {

struct Url {
  std::string scheme;  // "http" or "https"
  std::string host;    // Without the brackets of an IPv6 address.
  std::string port;    // "" when it names none.
  std::string rest;    // Path, query and fragment, with what begins them; "" when there are none.
};

// "https://example.org", "http://[::1]:3000/back?x=1". Nullopt for all other schemes, for an address with a user or
// password, and for what has white space, control characters, `*` or a backslash.
std::optional<Url> ParseUrl(std::string_view text);

// The host of "127.0.0.1:80", "[::1]:80", "localhost:80". Nullopt when it is no such thing.
std::optional<std::string_view> HostOfAddress(std::string_view address);

// Of this machine: "localhost", "::1", "127.x.y.z".
bool IsLoopback(std::string_view host);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_URL_H_
