// The configuration: typed, layered, checked as a whole before anything starts.
#ifndef SERVICES_COMMON_CONFIG_CONFIG_H_
#define SERVICES_COMMON_CONFIG_CONFIG_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/common/config/environment.h"

namespace google::protobuf {
class Duration;
}

namespace bulkhead::common::v1 {
class PlatformConfig;
}

namespace bulkhead::config {

// From the weakest to the strongest. A field has the value of the strongest layer that sets it.
enum class Layer { kBuiltIn, kBaseFile, kFile, kEnvironment, kCommandLine };
std::string_view LayerName(Layer layer);  // "built-in", "base file", ...

struct Sources {
  // A proto JSON file of bulkhead.common.v1.PlatformConfig; "" for none. Fields may be named as in the proto or in
  // lowerCamelCase; durations are "90s" or "1h30m", environments "production" or by their full name. `extends` names a
  // file that it inherits from.
  std::string file;
  // `BULKHEAD_<SECTION>_<FIELD>`: "BULKHEAD_AGENT_MAX_RUNNING". Lists are separated by commas.
  Environment environment;
  // From `--set`: "agent.max_running=8".
  std::vector<std::string> overrides;
};

// Who set a field.
struct Origin {
  Layer layer = Layer::kBuiltIn;
  std::string place;  // "prod.json:12", "BULKHEAD_AGENT_MAX_RUNNING", "--set"; "" for built-in values.
};

struct ExplainedField {
  std::string path;   // "agent.max_running"
  std::string value;  // "[secret]" for fields marked `debug_redact`; "" when nothing set it.
  Origin origin;
};

// A configuration that holds together. Immutable, cheap to copy, thread-safe.
class Config {
 public:
  const common::v1::PlatformConfig& values() const { return *values_; }
  // What a stricter environment would refuse, and variables that look like ours and are not.
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Each field there is, in the order of the proto.
  std::vector<ExplainedField> Explain() const;

 private:
  friend class Loader;
  Config(std::shared_ptr<const common::v1::PlatformConfig> values, std::map<std::string, Origin> origins,
         std::vector<std::string> warnings)
      : values_(std::move(values)), origins_(std::move(origins)), warnings_(std::move(warnings)) {}

  std::shared_ptr<const common::v1::PlatformConfig> values_;
  std::map<std::string, Origin> origins_;
  std::vector<std::string> warnings_;
};

// INVALID_ARGUMENT `CONFIG_INVALID` with every violation there is, each with its field and place, in the metadata as
// `violation_1`, `violation_2`... Values of secret fields are never quoted.
absl::StatusOr<Config> LoadConfig(const Sources& sources);

// The violations that an error of LoadConfig carries, in the order of the layers: "threads: must be between 1 and 256,
// is 0 (prod.json:3)".
std::vector<std::string> ConfigViolations(const absl::Status& status);

// "agent.max_running  8  file prod.json:12", a line a field, in columns.
std::string ExplainConfig(const Config& config);

absl::Duration ToDuration(const google::protobuf::Duration& duration);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_CONFIG_H_
