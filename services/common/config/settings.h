// One value for one field, as a layer states it, before it is known to be right.
#ifndef SERVICES_COMMON_CONFIG_SETTINGS_H_
#define SERVICES_COMMON_CONFIG_SETTINGS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bulkhead::config {

struct RawValue {
  // kText: from a variable or the command line, which have no types.
  enum class Kind { kText, kString, kNumber, kBool, kNull, kList, kObject };
  Kind kind = Kind::kText;
  std::string text;             // All but kList and kObject.
  std::vector<RawValue> items;  // Of a kList; of a kObject its members, duplicates and all.
  std::string name;             // Of a member of an object.
  int line = 0;                 // 0 where there are none.
};

struct Setting {
  std::string path;  // "agent.max_running"
  RawValue value;
  int line = 0;  // 0 where there are none.
};

struct JsonSettings {
  // In the order of the text, one for each leaf: objects are walked into, but for those inside lists.
  std::vector<Setting> settings;
  // Of keys that come twice: what would win depends on the reader. Not those inside lists.
  std::vector<Setting> duplicates;
  // What is wrong with the text itself, and where.
  std::optional<std::string> error;
  int error_line = 0;
};

// Flattens a JSON object.
JsonSettings ParseJsonSettings(std::string_view text);

}  // namespace bulkhead::config

#endif  // SERVICES_COMMON_CONFIG_SETTINGS_H_
