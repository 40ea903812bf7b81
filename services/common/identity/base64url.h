// base64url as JOSE writes it: RFC 4648 section 5, without padding (RFC 7515 section 2).
#ifndef SERVICES_COMMON_IDENTITY_BASE64URL_H_
#define SERVICES_COMMON_IDENTITY_BASE64URL_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"

namespace bulkhead {

// The bytes that `text` spells; nullopt unless it is their one canonical spelling: no padding, no white space, no
// character of another alphabet, and no stray bits behind the last byte. What is signed, cached or compared as text must
// not have two forms.
std::optional<std::string> DecodeBase64Url(std::string_view text);

// The same into a buffer of the caller's, of at least 3 bytes for each 4 characters begun. Returns how many bytes it wrote; what stands behind them is
// undefined.
std::optional<size_t> DecodeBase64Url(std::string_view text, absl::Span<char> buffer);

}  // namespace bulkhead

#endif  // SERVICES_COMMON_IDENTITY_BASE64URL_H_
