// The fields of the configuration, by reflection: a new field of the proto works without a line here.
#ifndef SERVICES_COMMON_CONFIG_FIELDS_H_
#define SERVICES_COMMON_CONFIG_FIELDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/common/config/settings.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace bulkhead::config {

// A field that holds a value: a scalar, a Duration, or a list of scalars.
struct Field {
  std::string path;  // As the proto names it: "agent.max_running".
  std::vector<const google::protobuf::FieldDescriptor*> steps;

  const google::protobuf::FieldDescriptor* leaf() const { return steps.back(); }
  bool secret() const;  // Marked `debug_redact`.
  // "BULKHEAD_AGENT_MAX_RUNNING"
  std::string variable() const;
};

// In the order of the proto.
std::vector<Field> AllFields(const google::protobuf::Descriptor* descriptor);

// By names of the proto or their JSON forms. On failure, what is wrong with `path`.
std::optional<Field> FindField(const google::protobuf::Descriptor* descriptor, std::string_view path,
                               std::string& problem);

// Sets `field` of `message`; nullopt, or what is wrong: the type, or the range the proto declares. Quotes no secret.
std::optional<std::string> SetField(google::protobuf::Message& message, const Field& field, const RawValue& value);

bool HasField(const google::protobuf::Message& message, const Field& field);

// As a person would write it; "[secret]" for secret fields; "" when not set.
std::string PrintField(const google::protobuf::Message& message, const Field& field);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_FIELDS_H_
