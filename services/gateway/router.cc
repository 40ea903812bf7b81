#include "services/gateway/router.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/gateway/http_message.h"

namespace bulkhead::gateway {
namespace {

constexpr std::string_view kRest = "=**}";

using Variables = std::map<std::string, std::string>;

// Matches one segment of the pattern: "runs", "{run}" or "{run}:cancel".
bool MatchSegment(std::string_view pattern, std::string_view segment, Variables& variables) {
  if (!absl::ConsumePrefix(&pattern, "{")) {
    return pattern == segment;
  }
  const auto [name, verb] =
      std::pair<std::string_view, std::string_view>(absl::StrSplit(pattern, absl::MaxSplits('}', 1)));
  if (!absl::ConsumeSuffix(&segment, verb) || segment.empty() || absl::StrContains(segment, ':') ||
      absl::StrContains(segment, '/')) {
    return false;
  }
  variables[std::string(name)] = std::string(segment);
  return true;
}

std::optional<Variables> MatchPath(std::string_view pattern, const std::vector<std::string>& segments) {
  Variables variables;
  size_t i = 0;
  for (std::string_view part : absl::StrSplit(absl::StripPrefix(pattern, "/"), '/')) {
    if (i >= segments.size()) {
      return std::nullopt;
    }
    if (absl::StartsWith(part, "{") && absl::EndsWith(part, kRest)) {
      const std::string_view name = part.substr(1, part.size() - 1 - kRest.size());
      variables[std::string(name)] = absl::StrJoin(segments.begin() + static_cast<ptrdiff_t>(i), segments.end(), "/");
      return variables;
    }
    if (!MatchSegment(part, segments[i], variables)) {
      return std::nullopt;
    }
    ++i;
  }
  return i == segments.size() ? std::optional<Variables>(std::move(variables)) : std::nullopt;
}

}  // namespace

Router::Router(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {}

absl::StatusOr<Router::Match> Router::Find(std::string_view method, std::string_view path) const {
  std::vector<std::string> segments;
  for (std::string_view encoded : absl::StrSplit(absl::StripPrefix(path, "/"), '/')) {
    std::optional<std::string> segment = PercentDecode(encoded, /*plus_is_space=*/false);
    if (!segment.has_value()) {
      return GatewayError(absl::StatusCode::kInvalidArgument, "TARGET_INVALID",
                          "the path is not percent-encoded as RFC 3986 says");
    }
    segments.push_back(*std::move(segment));
  }
  std::set<std::string_view> allowed;
  for (size_t i = 0; i < patterns_.size(); ++i) {
    std::optional<Variables> variables = MatchPath(patterns_[i].path, segments);
    if (!variables.has_value()) {
      continue;
    }
    if (patterns_[i].method == method) {
      return Match{.index = i, .variables = *std::move(variables)};
    }
    allowed.insert(patterns_[i].method);
  }
  if (!allowed.empty()) {
    const std::string methods = absl::StrJoin(allowed, ", ");
    return GatewayError(absl::StatusCode::kUnimplemented, "METHOD_NOT_ALLOWED",
                        absl::StrCat(path, " can be asked with ", methods), {{"allow", methods}});
  }
  return GatewayError(absl::StatusCode::kNotFound, "ROUTE_NOT_FOUND", absl::StrCat("there is nothing at ", path));
}

}  // namespace bulkhead::gateway
