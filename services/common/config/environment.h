// The variables that a program was given, as a value.
#ifndef SERVICES_COMMON_CONFIG_ENVIRONMENT_H_
#define SERVICES_COMMON_CONFIG_ENVIRONMENT_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bulkhead::config {

// Made once, by main from its `environ` or by a test from what it likes, and handed down: nothing else reads the
// process's variables, so two platforms in one process never see each other's. Immutable, thread-safe. Does not print:
// values may be secrets.
class Environment {
 public:
  using Variables = std::map<std::string, std::string, std::less<>>;

  Environment() = default;
  explicit Environment(Variables variables) : variables_(std::move(variables)) {}
  // `environ`: "NAME=value" strings up to a null pointer.
  static Environment FromEnviron(const char* const* environ);

  std::optional<std::string> Find(std::string_view name) const;
  const Variables& variables() const { return variables_; }

 private:
  Variables variables_;
};

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_ENVIRONMENT_H_
