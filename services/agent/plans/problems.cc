#include "services/agent/plans/problems.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace bulkhead::agent {

void Require(bool holds, Problems& problems, std::string_view place, std::string_view what) {
  if (!holds) {
    std::string& text = problems[std::string(place)];
    absl::StrAppend(&text, text.empty() ? "" : "; ", what);
  }
}

bool IsToolName(std::string_view name) {
  constexpr std::string_view kPrefix = "tools/";
  if (!name.starts_with(kPrefix)) {
    return false;
  }
  const std::string_view tool = name.substr(kPrefix.size());
  return tool.size() >= 3 && tool.size() <= 64 && std::ranges::all_of(tool, [](char c) {
           return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
         });
}

}  // namespace bulkhead::agent
