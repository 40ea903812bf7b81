// What runs SQL: the part of a database that stores see inside of a transaction.
#ifndef SERVICES_COMMON_STORAGE_CONNECTION_H_
#define SERVICES_COMMON_STORAGE_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace bulkhead::storage {

struct Blob {
  std::string bytes;
};

// A value bound to a `?` of a statement. Times are stored as microseconds since the Unix epoch (int64_t).
using Value = std::variant<std::nullptr_t, int64_t, double, std::string, Blob>;

// One row of a result; valid during the callback that receives it. Columns count from 0.
class Row {
 public:
  virtual ~Row() = default;
  virtual bool IsNull(int column) const = 0;
  virtual int64_t Int(int column) const = 0;
  virtual double Real(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual std::string Blob(int column) const = 0;
};

// Runs statements. Statements are prepared once a connection and kept. Used by one thread at a time.
//
// Errors: domain bulkhead.storage. ALREADY_EXISTS `STORAGE_CONFLICT` (unique key), FAILED_PRECONDITION
// `STORAGE_CONSTRAINT`, RESOURCE_EXHAUSTED `STORAGE_FULL`, UNAVAILABLE `STORAGE_BUSY`, DATA_LOSS `STORAGE_CORRUPT`,
// INTERNAL `STORAGE_FAILED`.
class Connection {
 public:
  virtual ~Connection() = default;
  // Returns the number of rows changed.
  virtual absl::StatusOr<int64_t> Execute(std::string_view sql, std::vector<Value> values = {}) = 0;
  // Calls `row` for each row; stops at the first error it returns, and returns that.
  virtual absl::Status Query(std::string_view sql, std::vector<Value> values,
                             absl::FunctionRef<absl::Status(const Row&)> row) = 0;
  // The row id given by the last INSERT of this connection.
  virtual int64_t last_insert_id() const = 0;
};

}  // namespace bulkhead::storage

#endif  // SERVICES_COMMON_STORAGE_CONNECTION_H_
