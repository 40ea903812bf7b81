#include "services/common/http/url.h"

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "services/common/status/error.h"

namespace bulkhead::http {
namespace {

constexpr size_t kMaxUrlBytes = 8192;

bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 253 && host.front() != '.' && host.front() != '-' &&
         absl::c_all_of(host, [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_'; });
}

bool IsIpv6(std::string_view host) {
  return host.size() >= 2 && host.find(':') != std::string_view::npos &&
         absl::c_all_of(host, [](char c) { return absl::ascii_isxdigit(c) || c == ':' || c == '.'; });
}

// Visible ASCII, without what RFC 3986 section 2 never allows unencoded.
bool IsTarget(std::string_view target) {
  return absl::c_all_of(target, [](char c) {
    return absl::ascii_isgraph(c) && std::string_view("\"<>\\^`{|}#").find(c) == std::string_view::npos;
  });
}

}  // namespace

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  const auto invalid = [&](std::string_view what) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, absl::StrCat("'", text.substr(0, 200), "' is no address: ", what),
        {.domain = "bulkhead.http", .reason = "URL_INVALID", .metadata = {{"url", std::string(text.substr(0, 200))}}});
  };
  if (text.size() > kMaxUrlBytes) {
    return invalid("it is too long");
  }
  Url url;
  std::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "https://")) {
    url.https = true;
  } else if (!absl::ConsumePrefix(&rest, "http://")) {
    return invalid("it begins with neither https:// nor http://");
  }
  const size_t end = rest.find_first_of("/?#");
  const std::string_view authority = rest.substr(0, end);
  const std::string_view target = end == std::string_view::npos ? "" : rest.substr(end);
  if (!IsTarget(target)) {
    return invalid("it has a fragment, or characters that must be percent-encoded");
  }
  url.target = absl::StartsWith(target, "/") ? std::string(target) : absl::StrCat("/", target);

  std::string_view host = authority;
  std::string_view port;
  bool has_port = false;
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    host = authority.substr(0, colon);
    port = authority.substr(colon + 1);
    has_port = true;
  }
  const bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (bracketed ? !IsIpv6(host) : !IsHostName(host)) {
    return invalid("its host is malformed");
  }
  url.host = absl::AsciiStrToLower(host);
  const uint16_t usual = url.https ? 443 : 80;
  url.port = usual;
  if (has_port) {
    uint32_t number = 0;
    if (port.empty() || !absl::c_all_of(port, absl::ascii_isdigit) || !absl::SimpleAtoi(port, &number) || number == 0 ||
        number > 65535) {
      return invalid("its port is not one of 1 to 65535");
    }
    url.port = static_cast<uint16_t>(number);
  }
  url.authority = bracketed ? absl::StrCat("[", url.host, "]") : url.host;
  if (url.port != usual) {
    absl::StrAppend(&url.authority, ":", url.port);
  }
  return url;
}

bool IsLoopback(std::string_view host) {
  // A name such as 127.example.org is no address.
  return host == "localhost" || host == "::1" ||
         (absl::StartsWith(host, "127.") && absl::c_count(host, '.') == 3 &&
          absl::c_all_of(host, [](char c) { return absl::ascii_isdigit(c) || c == '.'; }));
}

void AppendParameter(std::string_view name, std::string_view value, std::string& query) {
  const auto append = [&](std::string_view text) {
    for (const char c : text) {
      if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
        query.push_back(c);
      } else {
        absl::StrAppendFormat(&query, "%%%02X", static_cast<unsigned char>(c));
      }
    }
  };
  if (!query.empty()) {
    query.push_back('&');
  }
  append(name);
  query.push_back('=');
  append(value);
}

}  // namespace bulkhead::http
