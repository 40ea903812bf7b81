#include "services/tool/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/common/ids/id_generator.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

constexpr char kDomain[] = "bulkhead.tool";
constexpr size_t kMaxPathBytes = 512;
// Users' paths have no part that begins with a dot: these folders are out of their reach.
constexpr char kTemporaryFolder[] = ".tmp";
constexpr char kUploadFolder[] = ".uploads";

absl::Status FileError(absl::StatusCode code, std::string_view reason, std::string_view path,
                       std::string_view problem) {
  return MakeError(code, absl::StrCat("'", path, "' ", problem),
                   {.domain = kDomain, .reason = std::string(reason), .metadata = {{"file", std::string(path)}}});
}

absl::Status FromErrno(int error, std::string_view path) {
  switch (error) {
    case ENOENT:
      return FileError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", path, "does not exist");
    case ENOTDIR:
    case EISDIR:
    case EEXIST:
    case ENOTEMPTY:
    case ELOOP:
      return FileError(absl::StatusCode::kFailedPrecondition, "FILE_PATH_TAKEN", path,
                       "goes through a file, or names a folder");
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return FileError(absl::StatusCode::kResourceExhausted, "WORKSPACE_FULL", path, "does not fit on the disk");
    default:
      return FileError(absl::StatusCode::kInternal, "FILE_IO_FAILED", path,
                       absl::StrCat("cannot be used: ", std::generic_category().message(error)));
  }
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t length = first < 0x80                    ? 1
                          : first >= 0xC2 && first < 0xE0 ? 2
                          : (first & 0xF0) == 0xE0        ? 3
                          : first >= 0xF0 && first < 0xF5 ? 4
                                                          : 0;
    if (length == 0 || i + length > text.size()) {
      return false;
    }
    for (size_t k = 1; k < length; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) {
        return false;
      }
    }
    i += length;
  }
  return true;
}

std::string MediaTypeOf(std::string_view path) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".csv", "text/csv"},          {".tsv", "text/tab-separated-values"},
      {".txt", "text/plain"},        {".md", "text/markdown"},
      {".json", "application/json"}, {".jsonl", "application/jsonl"},
      {".svg", "image/svg+xml"},     {".png", "image/png"},
      {".html", "text/html"},        {".ndjson", "application/jsonl"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (absl::EndsWithIgnoreCase(path, ending)) {
      return std::string(type);
    }
  }
  return "application/octet-stream";
}

absl::Status ValidateUploadId(std::string_view id) {
  if (id.size() < 3 || id.size() > 64 ||
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string_view::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, "an upload_id is 3 to 64 of [a-z0-9-]",
                     {.domain = kDomain, .reason = "UPLOAD_ID_INVALID"});
  }
  return absl::OkStatus();
}

std::string_view NameOf(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

absl::Status WriteAll(const FileDescriptor& file, std::string_view data, uint64_t offset, std::string_view path) {
  while (!data.empty()) {
    const ssize_t count = pwrite(file.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return FromErrno(errno, path);
    }
    data.remove_prefix(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

// Calls `visit` with the path and size of each file below `folder`, folders in no order.
absl::Status Walk(int folder, const std::string& prefix, bool hidden_too,
                  const std::function<void(const std::string& path, const struct stat& attributes)>& visit) {
  const int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* directory = copy < 0 ? nullptr : fdopendir(copy);
  if (directory == nullptr) {
    return FromErrno(errno, prefix);
  }
  absl::Status status;
  while (const dirent* entry = readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == ".." || (!hidden_too && name[0] == '.')) {
      continue;
    }
    struct stat attributes;
    if (fstatat(dirfd(directory), entry->d_name, &attributes, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;  // Gone meanwhile.
    }
    const std::string path = absl::StrCat(prefix, name);
    if (S_ISREG(attributes.st_mode)) {
      visit(path, attributes);
    } else if (S_ISDIR(attributes.st_mode)) {
      const FileDescriptor below(
          openat(dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (below.valid()) {
        status = Walk(below.get(), absl::StrCat(path, "/"), hidden_too, visit);
        if (!status.ok()) {
          break;
        }
      }
    }
  }
  closedir(directory);
  return status;
}

FileInfo InfoOf(std::string_view path, const struct stat& attributes) {
  return {.path = std::string(path),
          .size = static_cast<uint64_t>(attributes.st_size),
          .update_time = absl::TimeFromTimespec(attributes.st_mtim),
          .media_type = MediaTypeOf(path)};
}

}  // namespace

absl::Status ValidateFilePath(std::string_view path) {
  auto invalid = [&path](std::string_view problem) {
    return FileError(absl::StatusCode::kInvalidArgument, "FILE_PATH_INVALID", path, problem);
  };
  if (path.empty() || path.size() > kMaxPathBytes) {
    return invalid(absl::StrCat("is no path of 1 to ", kMaxPathBytes, " bytes"));
  }
  if (!IsUtf8(path)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "a path must be UTF-8",
                     {.domain = kDomain, .reason = "FILE_PATH_INVALID"});
  }
  for (const std::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part[0] == '.' || part.size() > 255) {
      return invalid("has a part that is empty, begins with a dot, or is longer than 255 bytes");
    }
    if (std::any_of(part.begin(), part.end(),
                    [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
      return invalid("has a control character");
    }
  }
  return absl::OkStatus();
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

absl::StatusOr<size_t> OpenFile::ReadAt(uint64_t offset, absl::Span<char> buffer) const {
  while (true) {
    const ssize_t count = pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (count >= 0) {
      return static_cast<size_t>(count);
    }
    if (errno != EINTR) {
      return FromErrno(errno, info_.path);
    }
  }
}

absl::Status Workspace::Measure() {
  absl::MutexLock lock(mutex_);
  // Files that a crash left half written. Uploads may still go on.
  const FileDescriptor temporary(
      openat(root_.get(), kTemporaryFolder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  RETURN_IF_ERROR(
      Walk(temporary.get(), "", /*hidden_too=*/true,
           [&temporary](const std::string& path, const struct stat&) { unlinkat(temporary.get(), path.c_str(), 0); }));
  used_ = 0;
  RETURN_IF_ERROR(Walk(root_.get(), "", /*hidden_too=*/true, [this](const std::string&, const struct stat& attributes) {
    mutex_.AssertHeld();
    used_ += static_cast<uint64_t>(attributes.st_size);
  }));
  return RemoveAbandonedUploads();
}

// Part by part, never through a symbolic link: whatever lies in the workspace, the walk stays
// inside.
absl::StatusOr<FileDescriptor> Workspace::OpenFolderOf(std::string_view path, bool create) const {
  RETURN_IF_ERROR(ValidateFilePath(path));
  FileDescriptor folder(openat(root_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) {
    return FromErrno(errno, path);
  }
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (create && mkdirat(folder.get(), parts[i].c_str(), 0700) == 0) {
      fsync(folder.get());
    }
    FileDescriptor next(openat(folder.get(), parts[i].c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) {
      return FromErrno(errno, path);
    }
    folder = std::move(next);
  }
  return folder;
}

absl::StatusOr<FileInfo> Workspace::Describe(const FileDescriptor& fd, std::string_view path) const {
  struct stat attributes;
  if (fstat(fd.get(), &attributes) != 0) {
    return FromErrno(errno, path);
  }
  if (!S_ISREG(attributes.st_mode)) {
    return FromErrno(S_ISDIR(attributes.st_mode) ? ENOENT : ELOOP, path);
  }
  return InfoOf(path, attributes);
}

absl::StatusOr<std::unique_ptr<OpenFile>> Workspace::Open(std::string_view path) const {
  ASSIGN_OR_RETURN(const FileDescriptor folder, OpenFolderOf(path, /*create=*/false));
  FileDescriptor file(
      openat(folder.get(), std::string(NameOf(path)).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) {
    return FromErrno(errno, path);
  }
  ASSIGN_OR_RETURN(FileInfo info, Describe(file, path));
  return std::make_unique<OpenFile>(std::move(file), std::move(info));
}

absl::StatusOr<FileInfo> Workspace::Stat(std::string_view path) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<OpenFile> file, Open(path));
  return file->info();
}

absl::Status Workspace::Full(uint64_t wanted) const {
  return MakeError(
      absl::StatusCode::kResourceExhausted,
      absl::StrCat("the workspace may hold ", max_bytes_, " bytes, and would hold ", wanted, "; delete files first"),
      {.domain = kDomain,
       .reason = "WORKSPACE_FULL",
       .metadata = {{"limit", absl::StrCat(max_bytes_)}, {"wanted", absl::StrCat(wanted)}}});
}

absl::StatusOr<FileInfo> Workspace::Publish(const FileDescriptor& file, const std::string& temporary,
                                            std::string_view path) {
  ASSIGN_OR_RETURN(const FileDescriptor folder, OpenFolderOf(path, /*create=*/true));
  const std::string name(NameOf(path));
  struct stat old;
  const bool replaces = fstatat(folder.get(), name.c_str(), &old, AT_SYMLINK_NOFOLLOW) == 0;
  if (replaces && !S_ISREG(old.st_mode)) {
    return FromErrno(EISDIR, path);
  }
  const timespec now = absl::ToTimespec(clock_->Now());
  const timespec times[2] = {now, now};
  if (futimens(file.get(), times) != 0 || fsync(file.get()) != 0 ||
      renameat(root_.get(), temporary.c_str(), folder.get(), name.c_str()) != 0 || fsync(folder.get()) != 0) {
    return FromErrno(errno, path);
  }
  if (replaces) {
    used_ -= std::min(used_, static_cast<uint64_t>(old.st_size));
  }
  return Describe(file, path);
}

absl::StatusOr<FileInfo> Workspace::Write(std::string_view path, std::string_view contents) {
  RETURN_IF_ERROR(ValidateFilePath(path));
  absl::MutexLock lock(mutex_);
  RETURN_IF_ERROR(RemoveAbandonedUploads());
  // What it replaces does not count twice.
  const absl::StatusOr<FileInfo> old = Stat(path);
  const uint64_t freed = old.ok() ? old->size : 0;
  if (used_ - std::min(used_, freed) + contents.size() > max_bytes_) {
    return Full(used_ - std::min(used_, freed) + contents.size());
  }
  const std::string temporary = absl::StrCat(kTemporaryFolder, "/", next_temporary_++);
  const FileDescriptor file(
      openat(root_.get(), temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return FromErrno(errno, path);
  }
  absl::StatusOr<FileInfo> info = FileInfo();
  if (absl::Status written = WriteAll(file, contents, /*offset=*/0, path); !written.ok()) {
    info = std::move(written);
  } else {
    info = Publish(file, temporary, path);
  }
  if (!info.ok()) {
    unlinkat(root_.get(), temporary.c_str(), 0);
    return info;
  }
  used_ += contents.size();
  return info;
}

absl::Status Workspace::Delete(std::string_view path) {
  absl::MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const FileInfo info, Stat(path));
  ASSIGN_OR_RETURN(const FileDescriptor folder, OpenFolderOf(path, /*create=*/false));
  if (unlinkat(folder.get(), std::string(NameOf(path)).c_str(), 0) != 0) {
    return FromErrno(errno, path);
  }
  used_ -= std::min(used_, info.size);
  // Folders exist by their files alone: those that are empty now go, from the innermost. rmdir
  // refuses the others.
  for (std::string_view rest = path; rest.find('/') != std::string_view::npos;) {
    rest = rest.substr(0, rest.find_last_of('/'));
    absl::StatusOr<FileDescriptor> parent = OpenFolderOf(rest, /*create=*/false);
    if (!parent.ok() || unlinkat(parent->get(), std::string(NameOf(rest)).c_str(), AT_REMOVEDIR) != 0) {
      break;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FileInfo>> Workspace::List(std::string_view prefix, std::string_view after,
                                                      size_t limit) const {
  std::map<std::string, FileInfo> found;
  RETURN_IF_ERROR(
      Walk(root_.get(), "", /*hidden_too=*/false, [&](const std::string& path, const struct stat& attributes) {
        if (absl::StartsWith(path, prefix) && path > after) {
          found.emplace(path, InfoOf(path, attributes));
          if (found.size() > limit) {
            found.erase(std::prev(found.end()));
          }
        }
      }));
  std::vector<FileInfo> files;
  files.reserve(found.size());
  for (auto& [path, info] : found) {
    files.push_back(std::move(info));
  }
  return files;
}

absl::StatusOr<Workspace::UploadState> Workspace::Upload(const Piece& piece) {
  RETURN_IF_ERROR(ValidateFilePath(piece.path));
  RETURN_IF_ERROR(ValidateUploadId(piece.upload_id));
  absl::MutexLock lock(mutex_);
  RETURN_IF_ERROR(RemoveAbandonedUploads());
  const std::string temporary = absl::StrCat(kUploadFolder, "/", piece.upload_id);
  struct stat attributes;
  const bool begun = fstatat(root_.get(), temporary.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0;
  uint64_t received = begun ? static_cast<uint64_t>(attributes.st_size) : 0;
  const uint64_t end = piece.offset + piece.data.size();
  if (!begun && piece.finish && piece.offset > 0) {
    // The last piece again: its answer was lost.
    if (absl::StatusOr<FileInfo> file = Stat(piece.path); file.ok() && file->size == end) {
      return UploadState{.received = end, .file = *std::move(file)};
    }
  }
  if (piece.offset > received) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("the piece begins at ", piece.offset, ", but ", received, " bytes have arrived"),
        {.domain = kDomain, .reason = "UPLOAD_OFFSET_WRONG", .metadata = {{"expected", absl::StrCat(received)}}});
  }
  absl::StatusOr<UploadState> state = Receive(piece, temporary, received);
  if (!state.ok()) {
    // It would be refused again, and count all the while.
    RemoveUpload(temporary, received);
  }
  return state;
}

absl::StatusOr<Workspace::UploadState> Workspace::Receive(const Piece& piece, const std::string& temporary,
                                                          uint64_t& received) {
  const FileDescriptor file(openat(root_.get(), temporary.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) {
    return FromErrno(errno, piece.path);
  }
  if (const uint64_t end = piece.offset + piece.data.size(); end > received) {
    const uint64_t added = end - received;
    if (used_ + added > max_bytes_) {
      return Full(used_ + added);
    }
    RETURN_IF_ERROR(WriteAll(file, piece.data.substr(piece.data.size() - added), received, piece.path));
    used_ += added;
    received = end;
  }
  if (!piece.finish) {
    const absl::Duration keep = std::clamp(piece.keep, absl::ZeroDuration(), kUploadKeep);
    const absl::Time end = clock_->Now() + keep;
    // A file's time says when its upload ends: one that is kept for less looks as much older.
    const timespec time = absl::ToTimespec(end - kUploadKeep);
    const timespec times[2] = {time, time};
    if (futimens(file.get(), times) != 0) {
      return FromErrno(errno, piece.path);
    }
    next_abandoned_ = std::min(next_abandoned_, end);
    return UploadState{.received = received, .file = std::nullopt};
  }
  ASSIGN_OR_RETURN(FileInfo info, Publish(file, temporary, piece.path));
  return UploadState{.received = received, .file = std::move(info)};
}

absl::Status Workspace::DiscardUpload(std::string_view upload_id) {
  RETURN_IF_ERROR(ValidateUploadId(upload_id));
  absl::MutexLock lock(mutex_);
  const std::string temporary = absl::StrCat(kUploadFolder, "/", upload_id);
  struct stat attributes;
  if (fstatat(root_.get(), temporary.c_str(), &attributes, AT_SYMLINK_NOFOLLOW) == 0) {
    RemoveUpload(temporary, static_cast<uint64_t>(attributes.st_size));
  }
  return absl::OkStatus();
}

void Workspace::RemoveUpload(const std::string& temporary, uint64_t counted) {
  if (unlinkat(root_.get(), temporary.c_str(), 0) == 0) {
    used_ -= std::min(used_, counted);
  }
}

absl::Status Workspace::RemoveAbandonedUploads() {
  const absl::Time now = clock_->Now();
  if (now < next_abandoned_) {
    return absl::OkStatus();
  }
  const FileDescriptor folder(openat(root_.get(), kUploadFolder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  absl::Time next = absl::InfiniteFuture();
  RETURN_IF_ERROR(
      Walk(folder.get(), "", /*hidden_too=*/true, [&](const std::string& path, const struct stat& attributes) {
        mutex_.AssertHeld();
        const absl::Time end = absl::TimeFromTimespec(attributes.st_mtim) + kUploadKeep;
        if (end <= now) {
          RemoveUpload(absl::StrCat(kUploadFolder, "/", path), static_cast<uint64_t>(attributes.st_size));
        } else {
          next = std::min(next, end);
        }
      }));
  next_abandoned_ = next;
  return absl::OkStatus();
}

uint64_t Workspace::used_bytes() const {
  absl::MutexLock lock(mutex_);
  return used_;
}

absl::StatusOr<std::unique_ptr<Workspaces>> Workspaces::Create(Options options, const Clock* clock) {
  std::error_code error;
  std::filesystem::create_directories(options.root, error);
  FileDescriptor root(open(options.root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) {
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("the folder of workspaces cannot be opened: ", std::generic_category().message(errno)),
        {.domain = kDomain, .reason = "WORKSPACE_FOLDER_UNUSABLE"});
  }
  return std::unique_ptr<Workspaces>(new Workspaces(std::move(options), std::move(root), clock));
}

absl::StatusOr<std::shared_ptr<Workspace>> Workspaces::For(const std::string& user) {
  RETURN_IF_ERROR(ValidateId("user", user));
  absl::MutexLock lock(mutex_);
  if (const auto found = open_.find(user); found != open_.end()) {
    return found->second;
  }
  for (const std::string& folder :
       {user, absl::StrCat(user, "/", kTemporaryFolder), absl::StrCat(user, "/", kUploadFolder)}) {
    if (mkdirat(root_.get(), folder.c_str(), 0700) != 0 && errno != EEXIST) {
      return FromErrno(errno, folder);
    }
  }
  FileDescriptor folder(openat(root_.get(), user.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) {
    return FromErrno(errno, user);
  }
  std::shared_ptr<Workspace> workspace(new Workspace(std::move(folder), options_.max_bytes, clock_));
  RETURN_IF_ERROR(workspace->Measure());
  open_.emplace(user, workspace);
  return workspace;
}

}  // namespace bulkhead::tool
