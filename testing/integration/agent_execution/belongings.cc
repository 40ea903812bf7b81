#include "testing/integration/agent_execution/belongings.h"

#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"

namespace bulkhead::testing {

void Belongings::Add(std::string_view kind, const std::string& user, const std::string& name) {
  absl::MutexLock lock(mutex_);
  names_[std::string(kind)][user] = name;
}

std::string Belongings::OfAnother(std::string_view kind, const std::string& user) const {
  absl::MutexLock lock(mutex_);
  if (const auto of_kind = names_.find(kind); of_kind != names_.end()) {
    for (const auto& [owner, name] : of_kind->second) {
      if (owner != user) {
        return name;
      }
    }
  }
  return "";
}

}  // namespace bulkhead::testing
