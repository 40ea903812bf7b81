#include "services/common/config/environment.h"

namespace bulkhead::config {

Environment Environment::FromEnviron(const char* const* environ) {
  Variables variables;
  for (; environ != nullptr && *environ != nullptr; ++environ) {
    std::string_view entry = *environ;
    size_t equals = entry.find('=');
    if (equals != std::string_view::npos && equals > 0) {
      // As with getenv, the first of two wins.
      variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
  }
  return Environment(std::move(variables));
}

std::optional<std::string> Environment::Find(std::string_view name) const {
  auto found = variables_.find(name);
  return found == variables_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace bulkhead::config
