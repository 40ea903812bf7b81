// Tokens that carry a list from page to page.
#ifndef SERVICES_TOOL_PAGE_TOKEN_H_
#define SERVICES_TOOL_PAGE_TOKEN_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace bulkhead::tool {

// An opaque token for the page after `last`. `request` is everything else that decides what is listed: the token holds for that alone. It
// authorizes nothing.
std::string MakePageToken(std::string_view request, std::string_view last);

// The `last` of a token; "" for an empty token. INVALID_ARGUMENT `PAGE_TOKEN_INVALID`.
absl::StatusOr<std::string> ParsePageToken(std::string_view request, std::string_view token);

// What page_size means: 50 when 0, at most 1000. INVALID_ARGUMENT `PAGE_SIZE_INVALID` when negative.
absl::StatusOr<size_t> PageSize(int page_size);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_PAGE_TOKEN_H_
