#include "services/common/config/config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bulkhead/common/v1/config.pb.h"
#include "google/protobuf/duration.pb.h"
#include "services/common/config/defaults.h"
#include "services/common/config/fields.h"
#include "services/common/config/settings.h"
#include "services/common/config/validate.h"
#include "services/common/status/error.h"

namespace bulkhead::config {
namespace {

using ::bulkhead::common::v1::PlatformConfig;

constexpr char kDomain[] = "bulkhead.config";
constexpr char kVariablePrefix[] = "BULKHEAD_";
constexpr char kViolationKey[] = "violation_";
constexpr char kExtends[] = "extends";
constexpr size_t kMaxInheritance = 8;
constexpr size_t kMaxFileBytes = 1 << 20;

// One file of the chain, read and taken apart.
struct FileLayer {
  std::string name;  // As violations and `explain` call it.
  JsonSettings json;
};

}  // namespace

// Applies layer after layer and gathers all that is wrong on the way.
class Loader {
 public:
  absl::StatusOr<Config> Load(const Sources& sources) {
    Apply(Layer::kBuiltIn, {.name = "built-in", .json = ParseJsonSettings(kBuiltInDefaults)});
    ApplyFiles(sources.file);
    ApplyVariables(sources.environment);
    ApplyOverrides(sources.overrides);
    // How values fit each other is only worth telling once each is right.
    if (violations_.empty()) {
      Verdict verdict = Validate(*values_);
      for (const Violation& violation : verdict.violations) {
        Violated(violation.path, violation.problem, PlaceOf(violation.path));
      }
      for (const Violation& warning : verdict.warnings) {
        warnings_.push_back(Line(warning.path, warning.problem, PlaceOf(warning.path)));
      }
    }
    if (!violations_.empty()) {
      return Invalid();
    }
    return Config(std::move(values_), std::move(origins_), std::move(warnings_));
  }

 private:
  static std::string Line(std::string_view path, std::string_view problem, std::string_view place) {
    return absl::StrCat(path, path.empty() ? "" : ": ", problem, place.empty() ? "" : absl::StrCat(" (", place, ")"));
  }

  void Violated(std::string_view path, std::string_view problem, std::string_view place) {
    violations_.push_back(Line(path, problem, place));
  }

  // Of what is missing in an element of a list, the place of the element.
  std::string PlaceOf(const std::string& path) const {
    auto origin = origins_.find(path);
    if (origin == origins_.end() && absl::StrContains(path, "].")) {
      origin = origins_.find(path.substr(0, path.rfind("].") + 1));
    }
    return origin == origins_.end() ? "" : origin->second.place;
  }

  absl::Status Invalid() const {
    ErrorInfo info = {.domain = kDomain, .reason = "CONFIG_INVALID"};
    for (size_t i = 0; i < violations_.size(); ++i) {
      info.metadata[absl::StrCat(kViolationKey, i + 1)] = violations_[i];
    }
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("the configuration has ", violations_.size(),
                                  violations_.size() == 1 ? " problem: " : " problems, the first: ", violations_[0]),
                     std::move(info));
  }

  // `file` is the one that `value` is from; "" for values from elsewhere, which have a place without lines.
  void Set(Layer layer, std::string_view path, const RawValue& value, const std::string& place,
           const std::string& file = "") {
    std::string problem;
    std::optional<Field> field = FindField(PlatformConfig::descriptor(), path, problem);
    if (!field.has_value()) {
      Violated(path, problem, place);
      return;
    }
    auto place_of = [&](int line) { return file.empty() || line == 0 ? place : absl::StrCat(file, ":", line); };
    const Assignment assignment = SetField(*values_, *field, value);
    for (const Assignment::Problem& wrong : assignment.problems) {
      // Of a value that is not within a list, the place is where its key is.
      Violated(wrong.path, wrong.what, wrong.path == field->path ? place : place_of(wrong.line));
    }
    if (!assignment.problems.empty()) {
      return;
    }
    // What a list below had said of its elements goes with it.
    const std::string elements = absl::StrCat(field->path, "[");
    std::erase_if(origins_, [&](const auto& origin) { return absl::StartsWith(origin.first, elements); });
    const bool built_in = layer == Layer::kBuiltIn;
    origins_[field->path] = {.layer = layer, .place = built_in ? "" : place};
    for (const auto& [element, line] : assignment.lines) {
      origins_[element] = {.layer = layer, .place = built_in ? "" : place_of(line)};
    }
  }

  void Apply(Layer layer, const FileLayer& file) {
    auto place = [&file](int line) { return absl::StrCat(file.name, ":", line); };
    if (file.json.error.has_value()) {
      Violated("", *file.json.error, place(file.json.error_line));
      return;
    }
    for (const Setting& duplicate : file.json.duplicates) {
      Violated(duplicate.path, "is there twice", place(duplicate.line));
    }
    for (const Setting& setting : file.json.settings) {
      if (setting.path != kExtends) {
        Set(layer, setting.path, setting.value, place(setting.line), file.name);
      }
    }
  }

  // The file and those it inherits from, the strongest first. Stops at what cannot be read.
  std::vector<FileLayer> ReadChain(const std::string& file) {
    std::vector<FileLayer> chain;
    std::set<std::filesystem::path> seen;
    std::filesystem::path path = file;
    std::string asked_by;
    while (!path.empty()) {
      if (!seen.insert(path.lexically_normal()).second || chain.size() >= kMaxInheritance) {
        Violated(kExtends, "must not lead in a circle, or deeper than 8 files", asked_by);
        break;
      }
      std::ifstream stream(path, std::ios::binary);
      std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
      if (!stream || text.size() > kMaxFileBytes) {
        Violated(asked_by.empty() ? "" : kExtends,
                 absl::StrCat("cannot read a file of at most 1 MB at '", path.string(), "'"), asked_by);
        break;
      }
      chain.push_back({.name = path.filename().string(), .json = ParseJsonSettings(text)});
      std::filesystem::path next;
      for (const Setting& setting : chain.back().json.settings) {
        if (setting.path == kExtends) {
          asked_by = absl::StrCat(chain.back().name, ":", setting.line);
          if (setting.value.kind != RawValue::Kind::kString || setting.value.text.empty()) {
            Violated(kExtends, "must be the path of a file", asked_by);
          } else {
            next = path.parent_path() / setting.value.text;  // An absolute one stays as it is.
          }
        }
      }
      path = next;
    }
    return chain;
  }

  void ApplyFiles(const std::string& file) {
    std::vector<FileLayer> chain = ReadChain(file);
    for (size_t i = chain.size(); i-- > 0;) {
      Apply(i == 0 ? Layer::kFile : Layer::kBaseFile, chain[i]);
    }
  }

  void ApplyVariables(const Environment& environment) {
    std::set<std::string> known;
    std::set<std::string> sections;
    std::map<std::string, std::string>
        lists;  // Of sections: the path by what a variable for an element would begin with.
    for (const Field& field : AllFields(PlatformConfig::descriptor())) {
      if (field.path == kExtends) {
        continue;
      }
      std::string variable = field.variable();
      if (std::optional<std::string> value = environment.Find(variable)) {
        Set(Layer::kEnvironment, field.path, {.kind = RawValue::Kind::kText, .text = *value}, variable);
      }
      if (field.section_list()) {
        lists[variable + "_"] = field.path;
      }
      known.insert(std::move(variable));
      if (field.steps.size() > 1) {
        const Step& section = field.steps[0];
        sections.insert(Field{.path = std::string(section.field->name()), .steps = {section}}.variable() + "_");
      }
    }
    for (const auto& [name, value] : environment.variables()) {
      if (!absl::StartsWith(name, kVariablePrefix) || known.contains(name)) {
        continue;
      }
      auto begins = [&name](const auto& list) { return absl::StartsWith(name, list.first); };
      if (auto list = std::find_if(lists.begin(), lists.end(), begins); list != lists.end()) {
        Violated(list->second, "is a list of objects, which is set in a file: variables and --set cannot hold one",
                 name);
        continue;
      }
      // Other programs of the project have variables of their own; within a section it is a slip.
      if (std::any_of(sections.begin(), sections.end(),
                      [&name](const std::string& section) { return absl::StartsWith(name, section); })) {
        Violated("", "no field has this variable", name);
      } else {
        warnings_.push_back(Line("", "the variable sets nothing here", name));
      }
    }
  }

  void ApplyOverrides(const std::vector<std::string>& overrides) {
    for (const std::string& assignment : overrides) {
      size_t equals = assignment.find('=');
      if (equals == std::string::npos || equals == 0) {
        // Not quoted: it may be a secret whose name was forgotten.
        Violated("", "must be section.field=value", "--set");
        continue;
      }
      std::string path = assignment.substr(0, equals);
      if (path == kExtends) {
        Violated(path, "is for files only", "--set");
        continue;
      }
      Set(Layer::kCommandLine, path, {.kind = RawValue::Kind::kText, .text = assignment.substr(equals + 1)}, "--set");
    }
  }

  std::shared_ptr<PlatformConfig> values_ = std::make_shared<PlatformConfig>();
  std::map<std::string, Origin> origins_;
  std::vector<std::string> violations_;
  std::vector<std::string> warnings_;
};

std::string_view LayerName(Layer layer) {
  switch (layer) {
    case Layer::kBuiltIn:
      return "built-in";
    case Layer::kBaseFile:
      return "base file";
    case Layer::kFile:
      return "file";
    case Layer::kEnvironment:
      return "environment";
    case Layer::kCommandLine:
      return "command line";
  }
  return "";
}

std::vector<ExplainedField> Config::Explain() const {
  std::vector<ExplainedField> explained;
  for (const Field& field : FieldsOf(*values_)) {
    if (field.path == kExtends) {
      continue;  // It has done its work.
    }
    auto origin = origins_.find(field.path);
    explained.push_back({.path = field.path,
                         .value = PrintField(*values_, field),
                         .origin = origin == origins_.end() ? Origin() : origin->second});
  }
  return explained;
}

absl::StatusOr<Config> LoadConfig(const Sources& sources) { return Loader().Load(sources); }

std::vector<std::string> ConfigViolations(const absl::Status& status) {
  std::vector<std::string> violations;
  std::optional<ErrorInfo> info = ErrorInfoOf(status);
  if (info.has_value() && info->domain == kDomain) {
    for (size_t i = 1; info->metadata.contains(absl::StrCat(kViolationKey, i)); ++i) {
      violations.push_back(info->metadata.at(absl::StrCat(kViolationKey, i)));
    }
  }
  return violations;
}

std::string ExplainConfig(const Config& config) {
  std::vector<ExplainedField> fields = config.Explain();
  size_t path_width = 0;
  size_t value_width = 0;
  for (const ExplainedField& field : fields) {
    path_width = std::max(path_width, field.path.size());
    value_width = std::max(value_width, field.value.size());
  }
  std::string text;
  for (const ExplainedField& field : fields) {
    absl::StrAppendFormat(&text, "%-*s  %-*s  %s%s%s\n", path_width, field.path, value_width,
                          field.value.empty() ? "-" : field.value, LayerName(field.origin.layer),
                          field.origin.place.empty() ? "" : " ", field.origin.place);
  }
  return text;
}

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace bulkhead::config
