#include "testing/harness/browser.h"

#include <utility>

#include "absl/log/absl_check.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/common/http/url.h"
#include "services/common/runtime/block_on.h"
#include "services/common/status/macros.h"

namespace bulkhead::testing {
namespace {

constexpr int kMaxRedirects = 20;
constexpr absl::Duration kTimeout = absl::Seconds(30);

std::string OriginOf(std::string_view url) { return std::string(url.substr(0, url.find('/', url.find("://") + 3))); }

std::string Absolute(std::string_view base, std::string_view location) {
  return absl::StartsWith(location, "/") ? absl::StrCat(OriginOf(base), location) : std::string(location);
}

// The value of attribute `name` in a tag; "" when it has none.
std::string Attribute(std::string_view tag, std::string_view name) {
  const std::string opening = absl::StrCat(" ", name, "=\"");
  const size_t begin = tag.find(opening);
  if (begin == std::string_view::npos) {
    return "";
  }
  const std::string_view rest = tag.substr(begin + opening.size());
  return absl::StrReplaceAll(rest.substr(0, rest.find('"')), {{"&amp;", "&"}, {"&quot;", "\""}});
}

// All tags called `name`, in their order.
std::vector<std::string> Tags(std::string_view html, std::string_view name) {
  std::vector<std::string> tags;
  const std::string opening = absl::StrCat("<", name, " ");
  for (size_t at = html.find(opening); at != std::string_view::npos; at = html.find(opening, at + 1)) {
    tags.emplace_back(html.substr(at, html.find('>', at) - at));
  }
  return tags;
}

std::unique_ptr<http::HttpClient> NewClient(std::string ca_file) {
  absl::StatusOr<std::unique_ptr<http::HttpClient>> client =
      http::HttpClient::Create({.ca_file = std::move(ca_file), .allow_http = true});
  ABSL_CHECK(client.ok()) << client.status();
  return *std::move(client);
}

}  // namespace

Browser::Browser(std::string ca_file)
    : executor_(Executor::Create({.name = "browser", .threads = 1})), client_(NewClient(std::move(ca_file))) {}

Browser::~Browser() = default;

std::string Browser::Page::query() const {
  const size_t mark = url.find('?');
  return mark == std::string::npos ? "" : url.substr(mark + 1);
}

absl::StatusOr<Browser::Page> Browser::Get(std::string_view url) { return Follow({.url = std::string(url)}, ""); }

absl::StatusOr<Browser::Page> Browser::GetUntil(std::string_view url, std::string_view stop) {
  return Follow({.url = std::string(url)}, stop);
}

absl::StatusOr<Browser::Page> Browser::PostJson(std::string_view url, const nlohmann::json& body,
                                                std::map<std::string, std::string> headers) {
  headers["Content-Type"] = "application/json";
  return Follow({.method = "POST", .url = std::string(url), .headers = std::move(headers), .body = body.dump()}, "");
}

absl::StatusOr<Browser::Page> Browser::Submit(const Page& page, const std::map<std::string, std::string>& fields) {
  return SubmitUntil(page, fields, "");
}

absl::StatusOr<Browser::Page> Browser::SubmitUntil(const Page& page, const std::map<std::string, std::string>& fields,
                                                   std::string_view stop) {
  const std::vector<std::string> forms = Tags(page.body, "form");
  if (forms.empty()) {
    return absl::NotFoundError(
        absl::StrCat(page.url, " shows no form, but ", page.status, ": ", page.body.substr(0, 2000)));
  }
  std::map<std::string, std::string> all;
  for (const std::string& input : Tags(page.body, "input")) {
    all[Attribute(input, "name")] = Attribute(input, "value");
  }
  for (const auto& [name, value] : fields) {
    all[name] = value;
  }
  http::Request request{.method = "POST",
                        .url = Absolute(page.url, Attribute(forms.front(), "action")),
                        .headers = {{"Content-Type", "application/x-www-form-urlencoded"}}};
  for (const auto& [name, value] : all) {
    http::AppendParameter(name, value, request.body);
  }
  return Follow(std::move(request), stop);
}

std::string Browser::cookie(std::string_view url, std::string_view name) const {
  const absl::StatusOr<http::Url> parsed = http::ParseUrl(url);
  const auto host = parsed.ok() ? cookies_.find(parsed->host) : cookies_.end();
  if (host == cookies_.end()) {
    return "";
  }
  const auto found = host->second.find(std::string(name));
  return found == host->second.end() ? "" : found->second.value;
}

void Browser::SetCookie(std::string_view url, std::string_view name, std::string_view value, std::string_view path) {
  Keep(url, absl::StrCat(name, "=", value, "; Path=", path));
}

void Browser::Keep(std::string_view url, std::string_view set_cookie) {
  const std::vector<std::string_view> parts = absl::StrSplit(set_cookie, ';');
  const std::pair<std::string, std::string> pair = absl::StrSplit(parts[0], absl::MaxSplits('=', 1));
  Cookie cookie{.value = pair.second, .path = "/"};
  bool removes = false;
  for (std::string_view part : parts) {
    const std::pair<std::string, std::string> attribute =
        absl::StrSplit(absl::StripAsciiWhitespace(part), absl::MaxSplits('=', 1));
    const std::string name = absl::AsciiStrToLower(attribute.first);
    if (name == "path") {
      cookie.path = attribute.second;
    }
    removes = removes || (name == "max-age" && attribute.second == "0") ||
              (name == "expires" && absl::StrContains(attribute.second, "1970"));
  }
  auto& own = cookies_[http::ParseUrl(url)->host];
  own.erase(pair.first);
  if (!removes) {
    own.emplace(pair.first, std::move(cookie));
  }
}

absl::StatusOr<http::Response> Browser::Send(http::Request request) {
  ASSIGN_OR_RETURN(const http::Url url, http::ParseUrl(request.url));
  std::string header;
  for (const auto& [name, cookie] : cookies_[url.host]) {
    if (absl::StartsWith(url.target, cookie.path)) {
      absl::StrAppend(&header, header.empty() ? "" : "; ", name, "=", cookie.value);
    }
  }
  if (!header.empty()) {
    request.headers["Cookie"] = header;
  }
  return BlockOn(*executor_, client_->Send(std::move(request), kTimeout));
}

absl::StatusOr<Browser::Page> Browser::Follow(http::Request request, std::string_view stop) {
  for (int i = 0; i < kMaxRedirects; ++i) {
    const std::string url = request.url;
    ASSIGN_OR_RETURN(http::Response response, Send(std::move(request)));
    for (const std::string& cookie : response.cookies) {
      Keep(url, cookie);
    }
    const std::string location(response.header("location"));
    if (response.status < 300 || response.status >= 400 || location.empty()) {
      return Page{.status = response.status,
                  .url = url,
                  .body = std::move(response.body),
                  .headers = std::move(response.headers),
                  .set_cookies = std::move(response.cookies)};
    }
    request = {.url = Absolute(url, location)};
    if (!stop.empty() && absl::StartsWith(request.url, stop)) {
      return Page{.status = response.status,
                  .url = request.url,
                  .headers = std::move(response.headers),
                  .set_cookies = std::move(response.cookies)};
    }
  }
  return absl::InternalError("too many redirects");
}

}  // namespace bulkhead::testing
