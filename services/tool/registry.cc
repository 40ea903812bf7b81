#include "services/tool/registry.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "services/common/ids/id_generator.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::tool {
namespace {

constexpr char kDomain[] = "bulkhead.tool";

absl::Status NotFound(const std::string& name) {
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat("there is no tool '", name, "'"),
                   {.domain = kDomain, .reason = "TOOL_NOT_FOUND", .metadata = {{"tool", name}}});
}

bool IsName(std::string_view name) {
  return name.size() >= 3 && name.size() <= 64 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == std::string_view::npos;
}

// The compiled schema, or what is wrong with it under `field` in `violations`.
std::unique_ptr<JsonSchema> CompileSchema(const std::string& field, const std::string& text,
                                          std::map<std::string, std::string>& violations) {
  absl::StatusOr<std::unique_ptr<JsonSchema>> schema = JsonSchema::Compile(text);
  if (!schema.ok()) {
    violations[field] = std::string(schema.status().message());
    return nullptr;
  }
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.value("type", nlohmann::json()) != "object") {
    violations[field] = "its type must be \"object\"";
  }
  return *std::move(schema);
}

bool Matches(const ToolSpec& spec, const std::vector<std::string>& words) {
  const std::string text =
      absl::AsciiStrToLower(absl::StrCat(spec.name, " ", spec.description, " ", absl::StrJoin(spec.tags, " ")));
  return std::all_of(words.begin(), words.end(),
                     [&text](const std::string& word) { return absl::StrContains(text, word); });
}

}  // namespace

bool Registry::ParseVersion(std::string_view text, Version* version) {
  text = text.substr(0, text.find('+'));  // Build metadata has no order.
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    version->release = false;
    version->pre_release = std::string(text.substr(dash + 1));
    text = text.substr(0, dash);
    if (version->pre_release.empty()) {
      return false;
    }
  }
  const std::vector<std::string_view> parts = absl::StrSplit(text, '.');
  int numbers[3] = {0, 0, 0};
  if (parts.size() != 3) {
    return false;
  }
  for (size_t i = 0; i < 3; ++i) {
    const bool digits = !parts[i].empty() && parts[i].find_first_not_of("0123456789") == std::string_view::npos;
    if (!digits || !absl::SimpleAtoi(parts[i], &numbers[i])) {
      return false;
    }
  }
  version->numbers = {numbers[0], numbers[1], numbers[2]};
  return true;
}

absl::Status Registry::Register(std::shared_ptr<Tool> tool) {
  const ToolSpec& spec = tool->spec();
  std::map<std::string, std::string> violations;
  if (!IsName(spec.name)) {
    violations["name"] = "must be 3 to 64 of [a-z0-9._-]";
  }
  Version version;
  if (!ParseVersion(spec.version, &version)) {
    violations["version"] = "must be a semantic version, as 1.0.0";
  }
  if (spec.description.empty()) {
    violations["description"] = "must say what the tool does";
  }
  if (spec.timeout < absl::ZeroDuration()) {
    violations["timeout"] = "must not be negative";
  }
  if (!spec.owner.empty()) {
    if (absl::Status owner = ValidateId("user", spec.owner); !owner.ok()) {
      violations["owner"] = std::string(owner.message());
    }
  }
  auto registered = std::make_shared<RegisteredTool>();
  registered->input = CompileSchema("input_schema", spec.input_schema, violations);
  registered->output = CompileSchema("output_schema", spec.output_schema, violations);
  if (!violations.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("the tool '", spec.name,
                                  "' is not valid: ", absl::StrJoin(violations, "; ", absl::PairFormatter(" "))),
                     {.domain = kDomain, .reason = "TOOL_INVALID", .metadata = violations});
  }
  registered->tool = std::move(tool);

  absl::MutexLock lock(mutex_);
  if (!spec.owner.empty() && tools_.contains({"", spec.name})) {
    return MakeError(absl::StatusCode::kAlreadyExists, absl::StrCat("'", spec.name, "' is a tool of the platform"),
                     {.domain = kDomain, .reason = "TOOL_BUILT_IN", .metadata = {{"tool", spec.name}}});
  }
  tools_[{spec.owner, spec.name}][version] = std::move(registered);
  return absl::OkStatus();
}

absl::Status Registry::Unregister(const std::string& user, const std::string& name) {
  absl::MutexLock lock(mutex_);
  if (tools_.erase({user, name}) > 0) {
    return absl::OkStatus();
  }
  if (tools_.contains({"", name})) {
    return MakeError(absl::StatusCode::kFailedPrecondition, absl::StrCat("'", name, "' is a tool of the platform"),
                     {.domain = kDomain, .reason = "TOOL_BUILT_IN", .metadata = {{"tool", name}}});
  }
  return NotFound(name);
}

const Registry::Versions* Registry::FindVersions(const std::string& user, const std::string& name) const {
  for (const std::string& owner : {std::string(), user}) {
    if (const auto found = tools_.find({owner, name}); found != tools_.end()) {
      return &found->second;
    }
  }
  return nullptr;
}

absl::StatusOr<std::shared_ptr<const RegisteredTool>> Registry::Find(const std::string& user, const std::string& name,
                                                                     const std::string& version) const {
  absl::ReaderMutexLock lock(mutex_);
  const Versions* versions = FindVersions(user, name);
  if (versions == nullptr) {
    return NotFound(name);
  }
  if (version.empty()) {
    // The newest release; a pre-release only when there is nothing else.
    for (auto entry = versions->rbegin(); entry != versions->rend(); ++entry) {
      if (entry->first.release) {
        return entry->second;
      }
    }
    return versions->rbegin()->second;
  }
  Version wanted;
  if (ParseVersion(version, &wanted)) {
    if (const auto found = versions->find(wanted); found != versions->end()) {
      return found->second;
    }
  }
  return NotFound(absl::StrCat(name, "@", version));
}

std::vector<std::shared_ptr<const RegisteredTool>> Registry::List(const std::string& user, std::string_view query,
                                                                  const std::string& after, size_t limit) const {
  const std::vector<std::string> words =
      absl::StrSplit(absl::AsciiStrToLower(query), absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  std::map<std::string, std::shared_ptr<const RegisteredTool>> found;
  absl::ReaderMutexLock lock(mutex_);
  for (const auto& [key, versions] : tools_) {
    const auto& [owner, name] = key;
    if ((!owner.empty() && owner != user) || name <= after) {
      continue;
    }
    const auto newest =
        std::find_if(versions.rbegin(), versions.rend(), [](const auto& entry) { return entry.first.release; });
    const std::shared_ptr<const RegisteredTool>& tool =
        newest != versions.rend() ? newest->second : versions.rbegin()->second;
    if (Matches(tool->spec(), words)) {
      found.emplace(name, tool);
    }
  }
  std::vector<std::shared_ptr<const RegisteredTool>> tools;
  for (auto& [name, tool] : found) {
    if (tools.size() == limit) {
      break;
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

}  // namespace bulkhead::tool
