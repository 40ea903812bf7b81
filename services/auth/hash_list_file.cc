#include "services/auth/hash_list_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/auth/errors.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kHexDigits = 40;
// A line with its count is a third as long.
constexpr size_t kMaxLineBytes = 256;
// Up to here each line is checked at the start; beyond, as many as this many bytes apart.
constexpr int64_t kCheckedWhole = int64_t{4} << 20;
constexpr int64_t kProbes = 4096;

}  // namespace

absl::StatusOr<std::unique_ptr<HashListFile>> HashListFile::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (file >= 0 && fstat(file, &status) != 0) {
    status.st_mode = 0;
  }
  auto list = absl::WrapUnique(new HashListFile(path, file, status.st_size));
  if (file < 0) {
    return list->Invalid(absl::StrCat("cannot be read: ", std::strerror(errno)), 0);
  }
  if (!S_ISREG(status.st_mode)) {
    return list->Invalid("is no file", 0);
  }
  RETURN_IF_ERROR(list->Check());
  return list;
}

HashListFile::~HashListFile() {
  if (file_ >= 0) {
    close(file_);
  }
}

absl::StatusOr<bool> HashListFile::Contains(std::string_view hash) const {
  // The line, if there is one, starts in [low, high).
  int64_t low = 0;
  int64_t high = size_;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    ASSIGN_OR_RETURN(const Line line, LineFrom(middle));
    if (line.hash.empty() || line.start >= high) {
      high = middle;
    } else if (line.hash == hash) {
      return true;
    } else if (line.hash < hash) {
      low = line.next;
    } else {
      high = middle;
    }
  }
  return false;
}

absl::Status HashListFile::Invalid(std::string_view what, int64_t offset) const {
  return AuthError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("the file of breached passwords '", path_, "' ", what), "BREACHED_PASSWORDS_INVALID",
                   {{"file", path_}, {"offset", absl::StrCat(offset)}});
}

absl::Status HashListFile::Check() const {
  ASSIGN_OR_RETURN(Line line, LineFrom(0));
  if (line.hash.empty()) {
    return Invalid("must have a SHA-1 hash in hex a line, and is empty", 0);
  }
  const int64_t step = size_ <= kCheckedWhole ? 0 : size_ / kProbes;
  std::string last;
  while (!line.hash.empty()) {
    if (line.hash < last) {
      return Invalid(absl::StrCat("must be sorted: the line at byte ", line.start, " belongs before an earlier one"),
                     line.start);
    }
    last = line.hash;
    ASSIGN_OR_RETURN(line, LineFrom(std::max(line.next, line.start + step)));
  }
  return absl::OkStatus();
}

absl::StatusOr<HashListFile::Line> HashListFile::LineFrom(int64_t offset) const {
  int64_t start = offset;
  if (offset > 0) {
    // It starts here if the byte before ended one; else after the end of the line that goes on here.
    ASSIGN_OR_RETURN(const std::string before, ReadAt(offset - 1));
    const size_t end = before.find('\n');
    if (end == std::string::npos && offset - 1 + static_cast<int64_t>(before.size()) < size_) {
      return Invalid(absl::StrCat("must have lines of a SHA-1 hash in hex: none ends after byte ", offset), offset);
    }
    start = end == std::string::npos ? size_ : offset + static_cast<int64_t>(end);
  }
  if (start >= size_) {
    return Line{.start = size_, .next = size_, .hash = ""};
  }
  ASSIGN_OR_RETURN(const std::string text, ReadAt(start));
  Line line{.start = start, .next = size_, .hash = ""};
  const size_t end = text.find('\n');
  std::string_view content = std::string_view(text).substr(0, end);
  if (end != std::string::npos) {
    line.next = start + static_cast<int64_t>(end) + 1;
  }
  const bool cut = end == std::string::npos && start + static_cast<int64_t>(text.size()) < size_;
  if (!content.empty() && content.back() == '\r') {
    content.remove_suffix(1);
  }
  if (cut || content.size() < kHexDigits || (content.size() > kHexDigits && content[kHexDigits] != ':') ||
      !absl::HexStringToBytes(content.substr(0, kHexDigits), &line.hash)) {
    return Invalid(absl::StrCat("must have 40 hexadecimal digits a line, then nothing or a `:`; the line at byte ",
                                start, " has not"),
                   start);
  }
  return line;
}

absl::StatusOr<std::string> HashListFile::ReadAt(int64_t offset) const {
  std::string text(static_cast<size_t>(std::min<int64_t>(kMaxLineBytes, size_ - offset)), '\0');
  size_t got = 0;
  while (got < text.size()) {
    const ssize_t count = pread(file_, text.data() + got, text.size() - got, offset + static_cast<int64_t>(got));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return Invalid(absl::StrCat("cannot be read at byte ", offset, ": ",
                                  count == 0 ? "it has become shorter" : std::strerror(errno)),
                     offset);
    }
    got += static_cast<size_t>(count);
  }
  return text;
}

}  // namespace bulkhead::auth
