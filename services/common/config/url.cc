#include "services/common/config/url.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace bulkhead::config {
namespace {

bool IsDigits(std::string_view text) { return !text.empty() && absl::c_all_of(text, absl::ascii_isdigit); }

bool IsPort(std::string_view text) {
  uint32_t port = 0;
  return IsDigits(text) && absl::SimpleAtoi(text, &port) && port <= 65535;
}

}  // namespace

std::optional<Url> ParseUrl(std::string_view text) {
  const auto odd = [](char c) { return c <= ' ' || c >= 0x7f || c == '*' || c == '\\'; };
  if (absl::c_any_of(text, odd)) {
    return std::nullopt;
  }
  Url url;
  url.scheme = absl::StartsWith(text, "https://") ? "https" : "http";
  if (!absl::ConsumePrefix(&text, "https://") && !absl::ConsumePrefix(&text, "http://")) {
    return std::nullopt;
  }
  const size_t end = std::min(text.find_first_of("/?#"), text.size());
  std::string_view authority = text.substr(0, end);
  url.rest = text.substr(end);
  if (absl::ConsumePrefix(&authority, "[")) {
    const size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) {
      return std::nullopt;
    }
    url.host = authority.substr(0, bracket);
    authority.remove_prefix(bracket + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    authority.remove_prefix(colon);
  }
  if (!authority.empty()) {
    if (!absl::ConsumePrefix(&authority, ":") || !IsPort(authority)) {
      return std::nullopt;
    }
    url.port = authority;
  }
  // A user before the host is how addresses are made to look like others.
  return url.host.empty() || url.host.find_first_of("@[]") != std::string::npos ? std::nullopt : std::optional(url);
}

std::optional<std::string_view> HostOfAddress(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || !IsPort(address.substr(colon + 1))) {
    return std::nullopt;
  }
  std::string_view host = address.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) {
    return absl::ConsumeSuffix(&host, "]") ? std::optional(host) : std::nullopt;
  }
  return absl::StrContains(host, ':') ? std::nullopt : std::optional(host);
}

bool IsLoopback(std::string_view host) {
  if (host == "localhost" || host == "::1") {
    return true;
  }
  // Not by its beginning alone: "127.0.0.1.example.org" is anybody's.
  const std::vector<std::string_view> parts = absl::StrSplit(host, '.');
  return parts.size() == 4 && parts[0] == "127" && absl::c_all_of(parts, IsDigits);
}

}  // namespace bulkhead::config
