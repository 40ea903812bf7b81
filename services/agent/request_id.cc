#include "services/agent/request_id.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {

constexpr size_t kMaxRequestIdBytes = 128;

absl::Status CheckRequestId(std::string_view id) {
  if (id.size() <= kMaxRequestIdBytes) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument,
                   absl::StrCat("request_id has more than ", kMaxRequestIdBytes, " bytes"),
                   {.domain = "bulkhead.agent", .reason = "REQUEST_ID_INVALID"});
}

}  // namespace bulkhead::agent
