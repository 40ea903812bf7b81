// Replaces the signing key when it is old enough.
#ifndef SERVICES_AUTH_KEY_ROTATION_H_
#define SERVICES_AUTH_KEY_ROTATION_H_

#include <stop_token>

#include "absl/time/time.h"
#include "services/auth/key_store.h"
#include "services/common/ids/id_generator.h"
#include "services/common/runtime/awaitable.h"
#include "services/common/runtime/executor.h"
#include "services/common/time/clock.h"

namespace bulkhead::auth {

// Thread-safe. A key's age is the time that it has signed for by its record, so a restart neither delays a rotation nor makes one. A key that signs
// when the process starts and is of another algorithm than the configured one is replaced as soon as everybody can know its successor.
class KeyRotation {
 public:
  struct Dependencies {  // All outlive its coroutine: Shutdown, then drain the executor.
    KeyStore* keys = nullptr;
    Clock* clock = nullptr;
    IdGenerator* ids = nullptr;
    Executor* executor = nullptr;
  };

  // `interval`: how old a key gets; 0 never rotates.
  KeyRotation(absl::Duration interval, Dependencies dependencies) : interval_(interval), dependencies_(dependencies) {}
  ~KeyRotation() { Shutdown(); }

  void Start();
  void Shutdown() { stop_.request_stop(); }

 private:
  static Awaitable<void> Keep(absl::Duration interval, Dependencies dependencies, std::stop_token stop);

  const absl::Duration interval_;
  const Dependencies dependencies_;
  std::stop_source stop_;
};

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_KEY_ROTATION_H_
