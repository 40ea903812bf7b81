#include "services/common/identity/permission.h"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

constexpr size_t kParts = 3;
constexpr size_t kMaxPartLength = 64;

bool IsPart(std::string_view part) {
  return part == "*" || (!part.empty() && part.size() <= kMaxPartLength && absl::c_all_of(part, [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
         }));
}

// The parts of `pattern`; none when it is malformed.
std::vector<std::string_view> Parse(std::string_view pattern) {
  std::vector<std::string_view> parts = absl::StrSplit(pattern, ':');
  if (parts.size() != kParts || !absl::c_all_of(parts, IsPart)) {
    parts.clear();
  }
  return parts;
}

}  // namespace

absl::Status ValidatePermissionPattern(std::string_view pattern) {
  if (!Parse(pattern).empty()) {
    return absl::OkStatus();
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("`", pattern, "` is not <resource>:<which>:<verb>, each part * or 1 to 64 of a-z, 0-9, ., _, -."),
      {.domain = "bulkhead.auth",
       .reason = "PERMISSION_MALFORMED",
       .metadata = {{"permission", std::string(pattern)}}});
}

bool IsGranted(const std::vector<std::string>& granted, std::string_view wanted) {
  const std::vector<std::string_view> want = Parse(wanted);
  if (want.empty()) {
    return false;
  }
  return absl::c_any_of(granted, [&want](std::string_view pattern) {
    return absl::c_equal(Parse(pattern), want,
                         [](std::string_view has, std::string_view wants) { return has == "*" || has == wants; });
  });
}

}  // namespace bulkhead
