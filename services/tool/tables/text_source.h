// Text files read in pieces, in bounded memory.
#ifndef SERVICES_TOOL_TABLES_TEXT_SOURCE_H_
#define SERVICES_TOOL_TABLES_TEXT_SOURCE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace bulkhead::tool {

// Bytes with random access; the file behind it does not change while it is open.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual uint64_t size() const = 0;
  // Reads up to `buffer.size()` bytes from `offset`; 0 at the end.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> buffer) const = 0;
};

// An error about one line of a file: INVALID_ARGUMENT, domain bulkhead.tool, with metadata `line`.
absl::Status LineError(std::string_view reason, int64_t line, std::string_view problem);

// Reads all of `source` in pieces of at most 256 KiB, without a byte-order mark. `consume` gets
// each piece and how many bytes of the file are read with it; an error it returns ends the reading.
// The first piece that is not UTF-8, or has a zero byte, is an error that names line and byte:
// INVALID_ARGUMENT `TABLE_ENCODING_INVALID`.
absl::Status ReadText(const ByteSource& source,
                      absl::FunctionRef<absl::Status(std::string_view piece, uint64_t read)> consume);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_TEXT_SOURCE_H_
