#include "services/tool/page_token.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"

namespace bulkhead::tool {
namespace {

constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;
// Of the digest of the request: enough to notice a token of another list.
constexpr size_t kDigestBytes = 8;

std::string Digest(std::string_view request) { return crypto::Sha256(request).substr(0, kDigestBytes); }

}  // namespace

std::string MakePageToken(std::string_view request, std::string_view last) {
  return absl::WebSafeBase64Escape(absl::StrCat(Digest(request), last));
}

absl::StatusOr<std::string> ParsePageToken(std::string_view request, std::string_view token) {
  if (token.empty()) {
    return std::string();
  }
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(token, &bytes) || bytes.size() <= kDigestBytes || !bytes.starts_with(Digest(request))) {
    return MakeError(absl::StatusCode::kInvalidArgument, "the page_token is not one of this list; begin again without one",
                     {.domain = "bulkhead.tool", .reason = "PAGE_TOKEN_INVALID"});
  }
  return bytes.substr(kDigestBytes);
}

absl::StatusOr<size_t> PageSize(int page_size) {
  if (page_size < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "page_size must not be negative",
                     {.domain = "bulkhead.tool", .reason = "PAGE_SIZE_INVALID"});
  }
  return static_cast<size_t>(page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize));
}

}  // namespace bulkhead::tool
