// What the tool service remembers in its database: results of finished calls.
#ifndef SERVICES_TOOL_TOOL_STORE_H_
#define SERVICES_TOOL_TOOL_STORE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/storage/database.h"

namespace bulkhead::tool {

// A finished call, as it is returned again under the same request id.
struct StoredCall {
  std::string request_id;
  std::string invocation;
  std::string tool;
  std::string tool_version;
  std::string input_digest;  // SHA-256: the same id with another input is a mistake of the caller.
  std::string output;        // JSON
  std::vector<std::string> artifacts;
  absl::Duration duration;
  absl::Time finish_time;
};

// Thread-safe.
class ToolStore {
 public:
  // What one user may see and change.
  class Scoped {
   public:
    absl::StatusOr<std::optional<StoredCall>> FindCall(const std::string& request_id) const;
    // Results that ended before `forget_before` go, of all users: this is where the table is kept
    // from growing for ever.
    Awaitable<absl::Status> SaveCall(StoredCall call, absl::Time forget_before) const;

   private:
    friend class ToolStore;
    Scoped(storage::Database* database, std::string user) : database_(database), user_(std::move(user)) {}
    storage::Database* database_;
    std::string user_;
  };

  static absl::StatusOr<std::unique_ptr<ToolStore>> Open(const std::string& path, bool durable);

  Scoped For(const std::string& user) const { return Scoped(database_.get(), user); }

 private:
  explicit ToolStore(std::unique_ptr<storage::Database> database) : database_(std::move(database)) {}
  std::unique_ptr<storage::Database> database_;
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TOOL_STORE_H_
