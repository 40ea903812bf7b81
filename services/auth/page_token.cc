#include "services/auth/page_token.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "services/auth/errors.h"
#include "services/common/crypto/crypto.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kFingerprintBytes = 8;
constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;

std::string Fingerprint(std::string_view request) { return crypto::Sha256(request).substr(0, kFingerprintBytes); }

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
    return AuthError(absl::StatusCode::kInvalidArgument,
                     "the page token was not given to this request: repeat it with the same filters",
                     "PAGE_TOKEN_INVALID");
  }
  return decoded.substr(kFingerprintBytes);
}

absl::StatusOr<int> PageSize(int requested) {
  if (requested < 0) {
    return AuthError(absl::StatusCode::kInvalidArgument, "the page size must not be negative", "PAGE_SIZE_INVALID");
  }
  return requested == 0 ? kDefaultPageSize : std::min(requested, kMaxPageSize);
}

}  // namespace bulkhead::auth
