// The files of users: one folder each, which nothing in a path leads out of.
#ifndef SERVICES_TOOL_WORKSPACE_H_
#define SERVICES_TOOL_WORKSPACE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "services/common/time/clock.h"

namespace bulkhead::tool {

// For how long an upload is kept, at most, when nobody goes on with it.
inline constexpr absl::Duration kUploadKeep = absl::Hours(24);

struct FileInfo {
  std::string path;  // In the workspace.
  uint64_t size = 0;
  absl::Time update_time;
  std::string media_type;  // By the path's ending.
};

// OK for a relative path of 1 to 512 bytes of UTF-8 whose parts are not empty, do not begin with a
// dot, and have no control characters. Else INVALID_ARGUMENT `FILE_PATH_INVALID`.
absl::Status ValidateFilePath(std::string_view path);

// Closes its descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// One file, open for reading. It stays what it was when a new one takes its name. Thread-safe.
class OpenFile {
 public:
  OpenFile(FileDescriptor fd, FileInfo info) : fd_(std::move(fd)), info_(std::move(info)) {}

  const FileInfo& info() const { return info_; }
  // Up to `buffer.size()` bytes from `offset`; 0 at the end.
  absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> buffer) const;

 private:
  FileDescriptor fd_;
  FileInfo info_;
};

// The files of one user. Thread-safe; its calls do file I/O and may block.
//
// Errors: domain bulkhead.tool. INVALID_ARGUMENT `FILE_PATH_INVALID`, NOT_FOUND `FILE_NOT_FOUND`,
// FAILED_PRECONDITION `FILE_PATH_TAKEN` (a part of the path is a file, or the path a folder),
// RESOURCE_EXHAUSTED `WORKSPACE_FULL`, INTERNAL `FILE_IO_FAILED`.
class Workspace {
 public:
  absl::StatusOr<FileInfo> Stat(std::string_view path) const;
  absl::StatusOr<std::unique_ptr<OpenFile>> Open(std::string_view path) const;

  // Whoever reads sees the old file or the new one, also after a crash.
  absl::StatusOr<FileInfo> Write(std::string_view path, std::string_view contents);
  absl::Status Delete(std::string_view path);

  // Files whose path begins with `prefix` and comes after `after`, by path, at most `limit`.
  absl::StatusOr<std::vector<FileInfo>> List(std::string_view prefix, std::string_view after, size_t limit) const;

  struct Piece {
    std::string_view path;
    std::string_view upload_id;  // 3 to 64 of [a-z0-9-]: else INVALID_ARGUMENT `UPLOAD_ID_INVALID`.
    uint64_t offset = 0;
    std::string_view data;
    bool finish = false;
    absl::Duration keep = kUploadKeep;  // From now on, when no other piece comes; `kUploadKeep` at most.
  };
  struct UploadState {
    uint64_t received = 0;
    std::optional<FileInfo> file;  // With the last piece.
  };
  // Adds a piece to an upload; what was received already is skipped. FAILED_PRECONDITION
  // `UPLOAD_OFFSET_WRONG` (metadata `expected`). An upload that cannot be stored or published is removed.
  absl::StatusOr<UploadState> Upload(const Piece& piece);
  // Removes what has arrived of an upload, if there is any. INVALID_ARGUMENT `UPLOAD_ID_INVALID`.
  absl::Status DiscardUpload(std::string_view upload_id);

  // Bytes of all files and unfinished uploads.
  uint64_t used_bytes() const;

 private:
  friend class Workspaces;
  Workspace(FileDescriptor root, uint64_t max_bytes, const Clock* clock)
      : root_(std::move(root)), max_bytes_(max_bytes), clock_(clock) {}

  absl::Status Measure();
  absl::StatusOr<FileDescriptor> OpenFolderOf(std::string_view path, bool create) const;
  absl::StatusOr<FileInfo> Describe(const FileDescriptor& fd, std::string_view path) const;
  // Gives the file behind `temporary` (a name in the folder of temporary files) its name, durably.
  absl::StatusOr<FileInfo> Publish(const FileDescriptor& file, const std::string& temporary, std::string_view path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Full(uint64_t wanted) const;
  // Upload, for a piece that begins at or before `received`, which grows with what is stored.
  absl::StatusOr<UploadState> Receive(const Piece& piece, const std::string& temporary, uint64_t& received)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // `counted`: how much of it is in `used_`.
  void RemoveUpload(const std::string& temporary, uint64_t counted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Removes the uploads that have been kept for long enough.
  absl::Status RemoveAbandonedUploads() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const FileDescriptor root_;
  const uint64_t max_bytes_;
  const Clock* const clock_;
  // Held while files change, so that what is used is known; readers need it not.
  mutable absl::Mutex mutex_;
  uint64_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_temporary_ ABSL_GUARDED_BY(mutex_) = 0;
  // Before it, no upload has been kept for long enough.
  absl::Time next_abandoned_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

// All users' workspaces. Thread-safe.
class Workspaces {
 public:
  struct Options {
    std::string root;        // Made when missing.
    uint64_t max_bytes = 0;  // Of each user.
  };

  // `clock` outlives the workspaces; it gives files their times, and ends abandoned uploads.
  static absl::StatusOr<std::unique_ptr<Workspaces>> Create(Options options, const Clock* clock);

  // `user` is a validated id.
  absl::StatusOr<std::shared_ptr<Workspace>> For(const std::string& user);

 private:
  Workspaces(Options options, FileDescriptor root, const Clock* clock)
      : options_(std::move(options)), root_(std::move(root)), clock_(clock) {}

  const Options options_;
  const FileDescriptor root_;
  const Clock* const clock_;
  absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Workspace>> open_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_WORKSPACE_H_
