// Any bytes are a key set, or are refused with a reason; each key of one that is accepted can be asked to verify.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/common/identity/jwks.h"
#include "services/common/status/error.h"

namespace bulkhead {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<KeySet> keys = ParseKeySet(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!keys.ok()) {
    CHECK(keys.status().code() == absl::StatusCode::kInvalidArgument) << keys.status();
    const std::string reason = ReasonOf(keys.status());
    CHECK(reason == "KEY_SET_INVALID" || reason == "KEY_SET_TOO_LARGE") << keys.status();
    return 0;
  }
  CHECK(keys->keys().size() <= 200);
  int asked = 0;
  for (const KeySet::Key& key : keys->keys()) {
    CHECK(key.key != nullptr);
    CHECK(keys->Knows(key.id));
    if (!key.id.empty()) {
      CHECK(keys->Find(key.id, key.key->algorithm()) == key.key);
    }
    if (++asked < 4) {
      CHECK(!key.key->Verify("message", std::string(64, '\0')));
      CHECK(!key.key->Verify("message", std::string(256, '\1')));
    }
  }
  return 0;
}

}  // namespace bulkhead
