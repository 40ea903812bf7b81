// The folder that holds all data of an all-in-one server.
#ifndef SERVICES_BULKHEAD_DATA_DIR_H_
#define SERVICES_BULKHEAD_DATA_DIR_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/crypto/secret.h"

namespace bulkhead {

// Holds the folder's lock while it lives: one process, one platform. The lock dies with the process, however it ends.
class DataDir {
 public:
  // Makes the folder (only its owner may enter) when it is not there. FAILED_PRECONDITION `DATA_DIR_IN_USE` when
  // another platform runs on it; `DATA_DIR_UNUSABLE` when it cannot be made, entered or written.
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(std::string path);
  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  const std::string& path() const { return path_; }

  // The 32 bytes kept in the folder as `sealing.key` (base64, readable by its owner only), made on first use.
  // FAILED_PRECONDITION `SEALING_KEY_UNUSABLE` when what is there is no such key, or others may read it.
  absl::StatusOr<Secret> OwnSealingKey() const;

 private:
  DataDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;  // A file descriptor.
};

}  // namespace bulkhead

#endif  // SERVICES_BULKHEAD_DATA_DIR_H_
