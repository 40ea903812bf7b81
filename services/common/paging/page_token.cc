#include "services/common/paging/page_token.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"

namespace bulkhead {
namespace {

constexpr size_t kFingerprintBytes = 8;
constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;

std::string Fingerprint(std::string_view request) { return crypto::Sha256(request).substr(0, kFingerprintBytes); }

absl::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeError(absl::StatusCode::kInvalidArgument, message,
                   {.domain = "bulkhead.common", .reason = std::string(reason)});
}

}  // namespace

std::string EncodePageToken(std::string_view request, std::string_view position) {
  return absl::WebSafeBase64Escape(absl::StrCat(Fingerprint(request), position));
}

absl::StatusOr<std::string> DecodePageToken(std::string_view request, std::string_view token) {
  if (token.empty()) {
    return std::string();
  }
  std::string decoded;
  if (!absl::WebSafeBase64Unescape(token, &decoded) || decoded.size() <= kFingerprintBytes ||
      !absl::StartsWith(decoded, Fingerprint(request))) {
    return Invalid("PAGE_TOKEN_INVALID", "page_token was not given to this request: repeat it with the same filters.");
  }
  return decoded.substr(kFingerprintBytes);
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) {
    return Invalid("PAGE_SIZE_INVALID", "page_size must not be negative; 0 takes the default.");
  }
  return requested == 0 ? kDefaultPageSize : std::min(requested, kMaxPageSize);
}

}  // namespace bulkhead
