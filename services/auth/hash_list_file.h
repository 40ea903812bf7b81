// A sorted file of SHA-1 hashes, as lists of leaked passwords are published.
#ifndef SERVICES_AUTH_HASH_LIST_FILE_H_
#define SERVICES_AUTH_HASH_LIST_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bulkhead::auth {

// Each line has 40 hexadecimal digits in either case, then the end of the line or a `:` and what nobody reads; the lines
// are in the order of the hashes. Looked up where it lies, in some 40 short reads however long it is. Thread-safe.
class HashListFile {
 public:
  // Checks a short file whole, and a long one at thousands of places. INVALID_ARGUMENT `BREACHED_PASSWORDS_INVALID`
  // (metadata `file`, `offset`) when it cannot be read, has no line, or has one that is malformed or out of order.
  static absl::StatusOr<std::unique_ptr<HashListFile>> Open(const std::string& path);
  ~HashListFile();
  HashListFile(const HashListFile&) = delete;
  HashListFile& operator=(const HashListFile&) = delete;

  // `hash` has 20 bytes. The error of Open when the file is found not to be as it was. Blocks.
  absl::StatusOr<bool> Contains(std::string_view hash) const;

 private:
  // A line of the file, with its place.
  struct Line {
    int64_t start = 0;
    int64_t next = 0;  // Where the one after it starts.
    std::string hash;  // 20 bytes; "" when the file has no line there any more.
  };

  HashListFile(std::string path, int file, int64_t size) : path_(std::move(path)), file_(file), size_(size) {}

  absl::Status Invalid(std::string_view what, int64_t offset) const;
  absl::Status Check() const;
  // The first line that starts at `offset` or after it.
  absl::StatusOr<Line> LineFrom(int64_t offset) const;
  absl::StatusOr<std::string> ReadAt(int64_t offset) const;

  const std::string path_;
  const int file_;
  const int64_t size_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_HASH_LIST_FILE_H_
