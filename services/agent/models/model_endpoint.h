// Where a model is.
#ifndef SERVICES_AGENT_MODELS_MODEL_ENDPOINT_H_
#define SERVICES_AGENT_MODELS_MODEL_ENDPOINT_H_

#include <string>

#include "absl/time/time.h"
#include "services/common/crypto/secret.h"

namespace bulkhead::agent {

struct ModelEndpoint {
  std::string id;                             // In agents: 1 to 64 of [a-z0-9._-].
  std::string url;                            // "https://api.example.com/v1"
  std::string model;                          // Its name there; the id when empty.
  Secret api_key;                             // Sent as a bearer token unless it is empty.
  absl::Duration timeout = absl::Minutes(2);  // Of one call, the wait for a place included.
  int max_concurrent_calls = 16;
  bool allow_insecure_http = false;  // Also http to another machine, which everybody on the way reads.
  std::string ca_file;               // Certificates in PEM to trust, and no others; "" takes the system's.
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_MODEL_ENDPOINT_H_
