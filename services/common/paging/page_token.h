// Page tokens: opaque, and good for the request that they were given to only. They say where to go on, never what one may see.
#ifndef SERVICES_COMMON_PAGING_PAGE_TOKEN_H_
#define SERVICES_COMMON_PAGING_PAGE_TOKEN_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace bulkhead {

// `request` names the list and its filters, without the page's size.
std::string EncodePageToken(std::string_view request, std::string_view position);

// The position; "" for the empty token. INVALID_ARGUMENT `PAGE_TOKEN_INVALID` when it was not made for `request`.
absl::StatusOr<std::string> DecodePageToken(std::string_view request, std::string_view token);

// 50 for 0, at most 1000; INVALID_ARGUMENT `PAGE_SIZE_INVALID` below 0.
absl::StatusOr<int> PageSize(int requested);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_PAGING_PAGE_TOKEN_H_
