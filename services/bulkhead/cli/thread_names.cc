#include "services/bulkhead/cli/thread_names.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace bulkhead::cli {
namespace {

constexpr std::pair<std::string_view, std::string_view> kPolicies[] = {
    {"refuse", "BUSY_POLICY_REFUSE"},
    {"queue", "BUSY_POLICY_QUEUE"},
    {"interrupt", "BUSY_POLICY_INTERRUPT"},
    {"replace", "BUSY_POLICY_CANCEL_AND_REPLACE"},
};

}  // namespace

std::vector<std::string> BusyPolicies() {
  std::vector<std::string> policies;
  for (const auto& [text, value] : kPolicies) {
    policies.emplace_back(text);
  }
  return policies;
}

std::string BusyPolicyOf(std::string_view policy) {
  for (const auto& [text, value] : kPolicies) {
    if (text == policy) {
      return std::string(value);
    }
  }
  return "BUSY_POLICY_UNSPECIFIED";
}

std::string BusyPolicyText(std::string_view value) {
  for (const auto& [text, known] : kPolicies) {
    if (known == value) {
      return std::string(text);
    }
  }
  return "refuse";
}

std::string ThreadName(const Session& session, const std::string& thread) {
  return absl::StrCat(session.user(), "/threads/", LastSegment(thread));
}

}  // namespace bulkhead::cli
