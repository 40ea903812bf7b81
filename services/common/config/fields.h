// The fields of the configuration, by reflection: a new field of the proto works without a line here.
#ifndef SERVICES_COMMON_CONFIG_FIELDS_H_
#define SERVICES_COMMON_CONFIG_FIELDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "services/common/config/settings.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace bulkhead::config {

// One step from a message to a field of it.
struct Step {
  const google::protobuf::FieldDescriptor* field = nullptr;
  int index = -1;  // Of an element of a list of sections; -1 for all else.
};

// A field that holds a value: a scalar, a Duration, a list of scalars, or a list of sections as a whole.
struct Field {
  std::string path;  // As the proto names it: "agent.max_running", "auth.providers[1].issuer".
  std::vector<Step> steps;

  const google::protobuf::FieldDescriptor* leaf() const { return steps.back().field; }
  bool secret() const;  // Marked `debug_redact`.
  // Its name says that it is about a secret, as "client_secret": what was given may be one where a reference belongs,
  // so it is quoted nowhere.
  bool may_hold_secret() const;
  bool section_list() const;
  // "BULKHEAD_AGENT_MAX_RUNNING"
  std::string variable() const;
};

// In the order of the proto; a list of sections is one field.
std::vector<Field> AllFields(const google::protobuf::Descriptor* descriptor);

// Those that `message` has: where AllFields has a list of sections, the fields of each of its elements, and the list
// itself only when it is empty.
std::vector<Field> FieldsOf(const google::protobuf::Message& message);

// By names of the proto or their JSON forms. On failure, what is wrong with `path`.
std::optional<Field> FindField(const google::protobuf::Descriptor* descriptor, std::string_view path,
                               std::string& problem);

// What became of one value.
struct Assignment {
  struct Problem {
    std::string path;
    std::string what;  // "must be ...". Quotes no secret.
    int line = 0;      // 0: that of the whole value.
  };
  std::vector<Problem> problems;
  // Where in its file each field within a list of sections was set.
  std::vector<std::pair<std::string, int>> lines;
};

// Sets `field` of `message`, as far as the type and the range that the proto declares allow. A list replaces the one
// that was there as a whole.
Assignment SetField(google::protobuf::Message& message, const Field& field, const RawValue& value);

bool HasField(const google::protobuf::Message& message, const Field& field);

// As a person would write it; "[secret]" for secret fields; "" when not set.
std::string PrintField(const google::protobuf::Message& message, const Field& field);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_FIELDS_H_
