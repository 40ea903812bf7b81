// The names of the gRPC metadata that every call of the platform may carry.
#ifndef SERVICES_COMMON_RPC_METADATA_H_
#define SERVICES_COMMON_RPC_METADATA_H_

#include <string>
#include <string_view>

namespace bulkhead::rpc {

inline constexpr char kAuthorization[] = "authorization";
inline constexpr char kBearerPrefix[] = "Bearer ";
inline constexpr char kRequestId[] = "x-request-id";
inline constexpr char kParentRequestId[] = "x-parent-request-id";
inline constexpr char kThread[] = "x-thread";
inline constexpr char kClient[] = "x-client";
inline constexpr char kClientAddress[] = "x-client-address";
inline constexpr char kTraceparent[] = "traceparent";

// True for a `traceparent` as W3C Trace Context level 1 writes it, of version 00 or a later one that begins alike.
bool IsTraceparent(std::string_view value);

// `client` cut to 128 bytes, with everything but printable ASCII replaced by '?': fit for metadata, logs and audit.
std::string PrintableClient(std::string_view client);

// The host of a gRPC peer: "ipv4:192.0.2.7:4711" gives "192.0.2.7", "ipv6:%5B2001:db8::1%5D:4711" gives "2001:db8::1"; "" within this process.
std::string HostOfPeer(std::string_view peer);

// True for "" and the loopback addresses.
bool IsThisMachine(std::string_view host);

// Where a call came from. Services of the platform send on the address that they were called from, which the gateway takes from its
// sockets. It is believed from this machine only: from elsewhere, the peer's own address counts.
std::string OriginOf(std::string_view peer, std::string_view forwarded);

}  // namespace bulkhead::rpc

#endif  // SERVICES_COMMON_RPC_METADATA_H_
