// What the platform tells programs about its tokens: metadata and keys.
#ifndef SERVICES_GATEWAY_DISCOVERY_H_
#define SERVICES_GATEWAY_DISCOVERY_H_

#include <string>
#include <string_view>

#include "services/gateway/http_message.h"

namespace bulkhead::auth::v1 {
class KeySet;
}

namespace bulkhead::gateway {

// The metadata of RFC 8414, and of OpenID Connect Discovery as far as it applies: the platform signs people in for itself only, so there is no
// authorization endpoint. `base_url` is where the gateway is reached.
HttpResponse DiscoveryResponse(std::string_view issuer, std::string_view base_url);

// RFC 7517, or 304 when `request` has this very set. May be kept for five minutes: a new key signs at once, but who meets an unknown key id asks
// again, and a withdrawn key is refused by the platform itself at once.
HttpResponse KeySetResponse(const auth::v1::KeySet& keys, const HttpRequest& request);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_DISCOVERY_H_
