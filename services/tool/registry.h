// Which tools there are, in which versions, and who sees them.
#ifndef SERVICES_TOOL_REGISTRY_H_
#define SERVICES_TOOL_REGISTRY_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "services/common/json_schema/json_schema.h"
#include "services/tool/tool.h"

namespace bulkhead::tool {

// A tool with its schemas compiled. Immutable: a call that runs keeps it, whatever happens to the
// registry.
struct RegisteredTool {
  std::shared_ptr<Tool> tool;
  std::unique_ptr<JsonSchema> input;
  std::unique_ptr<JsonSchema> output;
  const ToolSpec& spec() const { return tool->spec(); }
};

// Thread-safe. Nothing blocks: schemas are compiled outside of the lock.
class Registry {
 public:
  // A new name, a new version, or the same version anew. INVALID_ARGUMENT `TOOL_INVALID` (metadata:
  // every violation by the field of ToolSpec); ALREADY_EXISTS `TOOL_BUILT_IN` when a user's tool
  // has the name of one that everyone sees.
  absl::Status Register(std::shared_ptr<Tool> tool);

  // All versions of the user's own tool. NOT_FOUND `TOOL_NOT_FOUND`; FAILED_PRECONDITION
  // `TOOL_BUILT_IN`.
  absl::Status Unregister(const std::string& user, const std::string& name);

  // The newest version when `version` is "". NOT_FOUND `TOOL_NOT_FOUND`, also for other users'
  // tools.
  absl::StatusOr<std::shared_ptr<const RegisteredTool>> Find(const std::string& user, const std::string& name,
                                                             const std::string& version = "") const;

  // The newest version of each tool that `user` sees, whose name, description or tags have every
  // word of `query` in any case, and whose name comes after `after`; by name, at most `limit`.
  std::vector<std::shared_ptr<const RegisteredTool>> List(const std::string& user, std::string_view query,
                                                          const std::string& after, size_t limit) const;

 private:
  // Major, minor, patch; a pre-release comes before its release.
  struct Version {
    std::tuple<int, int, int> numbers;
    bool release = true;
    std::string pre_release;
    friend auto operator<=>(const Version&, const Version&) = default;
  };
  using Versions = std::map<Version, std::shared_ptr<const RegisteredTool>>;

  static bool ParseVersion(std::string_view text, Version* version);
  const Versions* FindVersions(const std::string& user, const std::string& name) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  // By owner ("" is everyone) and name.
  std::map<std::pair<std::string, std::string>, Versions> tools_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_REGISTRY_H_
