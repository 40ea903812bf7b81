// Metadata that comes with calls is of any bytes: what is taken from it is fit for logs, audit and further calls.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "absl/strings/ascii.h"
#include "services/common/rpc/metadata.h"

namespace bulkhead::rpc {
namespace {

void CheckTraceparent(std::string_view value) {
  if (!IsTraceparent(value)) {
    return;
  }
  CHECK(value.size() >= 55 && value.size() <= 512);
  CHECK(value.substr(0, 2) != "ff");
  CHECK(std::all_of(value.begin(), value.begin() + 55,
                    [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f') || c == '-'; }));
  CHECK(value.substr(3, 32).find_first_not_of('0') != std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  CheckTraceparent(input);

  const std::string client = PrintableClient(input);
  CHECK(client.size() <= 128);
  CHECK(std::all_of(client.begin(), client.end(), [](char c) { return absl::ascii_isprint(c); }));
  CHECK(PrintableClient(client) == client);

  // peer NUL forwarded address
  const size_t end = std::min(input.find('\0'), input.size());
  const std::string_view peer = input.substr(0, end);
  const std::string_view forwarded = end < input.size() ? input.substr(end + 1) : "";
  const std::string host = HostOfPeer(peer);
  CHECK(host.size() <= peer.size());
  const std::string origin = OriginOf(peer, forwarded);
  // A stranger's word about where he comes from counts for nothing.
  CHECK(IsThisMachine(host) || origin == host);
  CHECK(origin == host || std::all_of(origin.begin(), origin.end(),
                                      [](char c) { return absl::ascii_isxdigit(c) || c == '.' || c == ':'; }));
  return 0;
}

}  // namespace bulkhead::rpc
