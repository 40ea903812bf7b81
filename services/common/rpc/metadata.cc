#include "services/common/rpc/metadata.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace bulkhead::rpc {
namespace {

constexpr size_t kMaxClientBytes = 128;
constexpr size_t kMaxAddressBytes = 45;  // Of an IPv6 address that holds an IPv4 one.

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

bool IsTraceparent(std::string_view value) {
  // version "-" trace-id "-" parent-id "-" flags
  constexpr size_t kLength = 2 + 1 + 32 + 1 + 16 + 1 + 2;
  if (value.size() < kLength || value[2] != '-' || value[35] != '-' || value[52] != '-') {
    return false;
  }
  std::string_view version = value.substr(0, 2);
  std::string_view trace = value.substr(3, 32);
  std::string_view parent = value.substr(36, 16);
  std::string_view flags = value.substr(53, 2);
  if (!IsLowerHex(version) || !IsLowerHex(trace) || !IsLowerHex(parent) || !IsLowerHex(flags) || version == "ff") {
    return false;
  }
  if (value.size() > kLength && (version == "00" || value[kLength] != '-' || value.size() > 512)) {
    return false;
  }
  return !IsZero(trace) && !IsZero(parent);
}

std::string PrintableClient(std::string_view client) {
  std::string printable(client.substr(0, kMaxClientBytes));
  for (char& c : printable) {
    if (!absl::ascii_isprint(c)) {
      c = '?';
    }
  }
  return printable;
}

std::string HostOfPeer(std::string_view peer) {
  if (!absl::ConsumePrefix(&peer, "ipv4:") && !absl::ConsumePrefix(&peer, "ipv6:")) {
    return "";
  }
  return absl::StrReplaceAll(peer.substr(0, peer.rfind(':')), {{"%5B", ""}, {"%5D", ""}, {"[", ""}, {"]", ""}});
}

bool IsThisMachine(std::string_view host) { return host.empty() || host == "::1" || absl::StartsWith(host, "127."); }

std::string OriginOf(std::string_view peer, std::string_view forwarded) {
  std::string host = HostOfPeer(peer);
  const bool well_formed = !forwarded.empty() && forwarded.size() <= kMaxAddressBytes &&
                           std::all_of(forwarded.begin(), forwarded.end(),
                                       [](char c) { return absl::ascii_isxdigit(c) || c == '.' || c == ':'; });
  return well_formed && IsThisMachine(host) ? std::string(forwarded) : host;
}

}  // namespace bulkhead::rpc
