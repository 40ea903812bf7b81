// Identifiers as a dependency.
#ifndef SERVICES_COMMON_IDS_ID_GENERATOR_H_
#define SERVICES_COMMON_IDS_ID_GENERATOR_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace bulkhead {

// Makes identifiers that are valid path segments of resource names (see ValidateId). Thread-safe.
class IdGenerator {
 public:
  virtual ~IdGenerator() = default;

  // A new identifier `<prefix>-<rest>`, for example "run-3k9x...". Unpredictable in production (128 random bits).
  virtual std::string NewId(std::string_view prefix) = 0;
};

std::unique_ptr<IdGenerator> CreateRandomIds();

// "run-000001", "run-000002", ...: one count for all prefixes. For tests and demonstrations only: predictable.
std::unique_ptr<IdGenerator> CreateSequentialIds();

// OK when `id` is 3 to 64 characters of [a-z0-9-], begins with a letter, and is no placeholder (`default`, `test`,
// `none`, `null`, `temp`, `undefined`, `anonymous`, `unknown`...). Else INVALID_ARGUMENT: ID_EMPTY, ID_PLACEHOLDER or
// ID_MALFORMED; `kind` ("user", "run") is named in the message and the metadata.
absl::Status ValidateId(std::string_view kind, std::string_view id);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDS_ID_GENERATOR_H_
