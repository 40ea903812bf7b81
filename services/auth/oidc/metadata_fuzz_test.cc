// Any bytes are a provider's description, or are refused with the one reason for that; what is accepted holds what the parser promises.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "services/auth/oidc/metadata.h"
#include "services/common/status/error.h"

namespace bulkhead::auth::oidc {
namespace {

constexpr std::string_view kIssuer = "https://issuer.example";

void Check(std::string_view json, bool allow_http) {
  const absl::StatusOr<ProviderMetadata> metadata = ParseProviderMetadata(json, kIssuer, allow_http);
  if (!metadata.ok()) {
    CHECK(metadata.status().code() == absl::StatusCode::kFailedPrecondition) << metadata.status();
    CHECK(ReasonOf(metadata.status()) == "PROVIDER_METADATA_INVALID") << metadata.status();
    return;
  }
  CHECK(metadata->issuer == kIssuer);
  for (const std::string_view endpoint :
       {std::string_view(metadata->authorization_endpoint), std::string_view(metadata->token_endpoint),
        std::string_view(metadata->jwks_uri)}) {
    CHECK(absl::StartsWith(endpoint, "https://") || (allow_http && absl::StartsWith(endpoint, "http://"))) << endpoint;
    CHECK(endpoint.find_first_of(" \r\n\t") == std::string_view::npos) << endpoint;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  Check(input, /*allow_http=*/false);
  Check(input, /*allow_http=*/true);
  return 0;
}

}  // namespace bulkhead::auth::oidc
