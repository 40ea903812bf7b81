#include "services/bulkhead/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead {
namespace {

constexpr size_t kSealingKeyBytes = 32;

absl::Status Unusable(std::string_view path, std::string_view why) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, absl::StrCat("the data folder ", path, " cannot be used: ", why),
      {.domain = "bulkhead.platform", .reason = "DATA_DIR_UNUSABLE", .metadata = {{"path", std::string(path)}}});
}

absl::Status KeyUnusable(std::string_view origin, std::string_view why) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, absl::StrCat("the sealing key of ", origin, " cannot be used: ", why),
      {.domain = "bulkhead.platform", .reason = "SEALING_KEY_UNUSABLE", .metadata = {{"origin", std::string(origin)}}});
}

std::string SystemMessage(int error) { return std::generic_category().message(error); }

// Who holds the lock, as he wrote it there; "" when he did not.
std::string Holder(int lock) {
  char text[32] = {};
  const ssize_t size = pread(lock, text, sizeof(text) - 1, 0);
  return size > 0 ? std::string(absl::StripAsciiWhitespace(std::string_view(text, static_cast<size_t>(size)))) : "";
}

// Writes a file that only its owner may read, whole or not at all, and not over one that is there.
absl::Status CreatePrivateFile(const std::string& path, std::string_view content) {
  const std::string temporary = absl::StrCat(path, ".new");
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) {
    return Unusable(path, SystemMessage(errno));
  }
  const bool written = fchmod(file, 0600) == 0 &&
                       write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
                       fsync(file) == 0;
  const int error = errno;
  close(file);
  if (!written || rename(temporary.c_str(), path.c_str()) != 0) {
    return Unusable(path, SystemMessage(written ? errno : error));
  }
  return absl::OkStatus();
}

absl::StatusOr<Secret> ParseSealingKey(std::string_view text, std::string_view origin) {
  std::string bytes;
  if (!absl::Base64Unescape(absl::StripAsciiWhitespace(text), &bytes) || bytes.size() != kSealingKeyBytes) {
    return KeyUnusable(origin, "it must be 32 bytes in base64, as `head -c 32 /dev/urandom | base64` prints them");
  }
  return Secret(std::move(bytes));
}

absl::StatusOr<Secret> ReadSealingKey(const std::string& file_path) {
  struct stat attributes;
  if (stat(file_path.c_str(), &attributes) != 0) {
    return KeyUnusable(file_path, SystemMessage(errno));
  }
  if ((attributes.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return KeyUnusable(file_path, "others than its owner may read or write it; chmod it to 0600");
  }
  std::ifstream file(file_path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  if (!file) {
    return KeyUnusable(file_path, "it cannot be read");
  }
  return ParseSealingKey(content.str(), file_path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(std::string path) {
  if (path.empty()) {
    return Unusable(path, "its name is empty");
  }
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  bool made = false;
  if (!error) {
    path = absolute.string();
    made = std::filesystem::create_directories(absolute, error);
  }
  if (error) {
    return Unusable(path, error.message());
  }
  const std::string lock_path = absl::StrCat(path, "/lock");
  const int lock = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) {
    return Unusable(path, SystemMessage(errno));
  }
  if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    const std::string holder = Holder(lock);
    close(lock);
    if (reason != EWOULDBLOCK) {
      return Unusable(path, SystemMessage(reason));
    }
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("another Bulkhead", holder.empty() ? "" : absl::StrCat(" (process ", holder, ")"),
                                  " runs on the data folder ", path, "; stop it, or choose another folder with --data"),
                     {.domain = "bulkhead.platform",
                      .reason = "DATA_DIR_IN_USE",
                      .metadata = {{"path", path}, {"process", holder}}});
  }
  auto dir = std::unique_ptr<DataDir>(new DataDir(path, lock));
  const std::string process = absl::StrCat(getpid(), "\n");
  // A folder that was there has the rights that somebody gave it.
  if ((made && chmod(path.c_str(), 0700) != 0) || ftruncate(lock, 0) != 0 ||
      pwrite(lock, process.data(), process.size(), 0) != static_cast<ssize_t>(process.size())) {
    return Unusable(path, SystemMessage(errno));
  }
  return dir;
}

DataDir::~DataDir() { close(lock_); }

absl::StatusOr<Secret> DataDir::OwnSealingKey() const {
  const std::string path = absl::StrCat(path_, "/sealing.key");
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    const Secret key = crypto::RandomSecret(kSealingKeyBytes);
    RETURN_IF_ERROR(CreatePrivateFile(path, absl::StrCat(absl::Base64Escape(key.Reveal()), "\n")));
  }
  return ReadSealingKey(path);
}

}  // namespace bulkhead
