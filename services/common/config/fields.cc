#include "services/common/config/fields.h"

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/common/v1/options.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"

namespace bulkhead::config {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::EnumValueDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using Kind = RawValue::Kind;
using Problem = std::optional<std::string>;

constexpr size_t kMaxQuoted = 64;

bool IsDuration(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field->message_type()->full_name() == google::protobuf::Duration::descriptor()->full_name();
}

bool IsSection(const FieldDescriptor* field) {
  return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !IsDuration(field);
}

// The field `child` of the section, or element, `parent`.
Field Within(const Field& parent, const FieldDescriptor* child) {
  Field field = parent;
  absl::StrAppend(&field.path, field.path.empty() ? "" : ".", child->name());
  field.steps.push_back({.field = child});
  return field;
}

// One section of the list `list`.
Field Element(const Field& list, int index) {
  Field element = list;
  absl::StrAppend(&element.path, "[", index, "]");
  element.steps.back().index = index;
  return element;
}

void Collect(const Descriptor* descriptor, const Field& parent, std::vector<Field>& fields) {
  for (int i = 0; i < descriptor->field_count(); ++i) {
    Field field = Within(parent, descriptor->field(i));
    if (IsSection(descriptor->field(i)) && !descriptor->field(i)->is_repeated()) {
      Collect(descriptor->field(i)->message_type(), field, fields);
    } else {
      fields.push_back(std::move(field));
    }
  }
}

std::string Is(const Field& field, const RawValue& value) {
  if (field.may_hold_secret()) {
    return "";
  }
  switch (value.kind) {
    case Kind::kList:
      return ", is a list";
    case Kind::kObject:
      return ", is an object";
    case Kind::kText:
    case Kind::kString:
      return absl::StrCat(", is '", value.text.substr(0, kMaxQuoted), value.text.size() > kMaxQuoted ? "..." : "", "'");
    case Kind::kNumber:
    case Kind::kBool:
    case Kind::kNull:
      return absl::StrCat(", is ", value.text.substr(0, kMaxQuoted));
  }
  return "";
}

// PRODUCTION for ENVIRONMENT_PRODUCTION of the enum Environment.
std::string ShortName(const EnumDescriptor* type, int number) {
  const EnumValueDescriptor* value = type->FindValueByNumber(number);
  std::string name(value == nullptr ? "" : value->name());
  std::string prefix = absl::AsciiStrToUpper(type->name()) + "_";
  return absl::StartsWith(name, prefix) ? name.substr(prefix.size()) : name;
}

// By its name in the proto or its JSON form; null when there is none.
const FieldDescriptor* FindStep(const Descriptor* descriptor, std::string_view name) {
  const FieldDescriptor* step = descriptor->FindFieldByName(name);
  return step != nullptr ? step : descriptor->FindFieldByCamelcaseName(name);
}

// The declared range, as a problem of `number` (seconds, bytes, or the value itself).
Problem CheckRange(const Field& field, double number, std::string_view unit, const RawValue& value) {
  const google::protobuf::FieldOptions& options = field.leaf()->options();
  if (!options.HasExtension(common::v1::range)) {
    return std::nullopt;
  }
  const common::v1::Range& range = options.GetExtension(common::v1::range);
  if (number >= range.min() && number <= range.max()) {
    return std::nullopt;
  }
  auto plain = [](double bound) { return absl::StrCat(static_cast<int64_t>(bound)); };
  return absl::StrCat("must be between ", plain(range.min()), " and ", plain(range.max()), unit, Is(field, value));
}

std::optional<absl::Duration> ParseDuration(const RawValue& value) {
  absl::Duration duration;
  if ((value.kind == Kind::kString || value.kind == Kind::kText) && absl::ParseDuration(value.text, &duration) &&
      duration > -absl::InfiniteDuration() && duration < absl::InfiniteDuration()) {
    return duration;
  }
  return std::nullopt;
}

template <typename Integer>
Problem SetInteger(const Field& field, const RawValue& value, std::string_view what, auto set) {
  Integer number = 0;
  // Proto JSON writes 64-bit integers as strings.
  const bool written = value.kind == Kind::kNumber || value.kind == Kind::kText || value.kind == Kind::kString;
  if (!written || !absl::SimpleAtoi(value.text, &number)) {
    return absl::StrCat("must be ", what, Is(field, value));
  }
  if (Problem problem = CheckRange(field, static_cast<double>(number), "", value)) {
    return problem;
  }
  set(number);
  return std::nullopt;
}

// Sets or, for lists, adds one value.
Problem SetScalar(Message& message, const Field& field, const RawValue& value) {
  const FieldDescriptor* leaf = field.leaf();
  const Reflection* reflection = message.GetReflection();
  const bool list = leaf->is_repeated();
  switch (leaf->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool flag = value.text == "true";
      if ((value.kind != Kind::kBool && value.kind != Kind::kText) || (!flag && value.text != "false")) {
        return absl::StrCat("must be true or false", Is(field, value));
      }
      list ? reflection->AddBool(&message, leaf, flag) : reflection->SetBool(&message, leaf, flag);
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_INT32:
      return SetInteger<int32_t>(field, value, "a 32-bit integer", [&](int32_t number) {
        list ? reflection->AddInt32(&message, leaf, number) : reflection->SetInt32(&message, leaf, number);
      });
    case FieldDescriptor::CPPTYPE_INT64:
      return SetInteger<int64_t>(field, value, "an integer", [&](int64_t number) {
        list ? reflection->AddInt64(&message, leaf, number) : reflection->SetInt64(&message, leaf, number);
      });
    case FieldDescriptor::CPPTYPE_UINT32:
      return SetInteger<uint32_t>(field, value, "a 32-bit integer, 0 or more", [&](uint32_t number) {
        list ? reflection->AddUInt32(&message, leaf, number) : reflection->SetUInt32(&message, leaf, number);
      });
    case FieldDescriptor::CPPTYPE_UINT64:
      return SetInteger<uint64_t>(field, value, "an integer, 0 or more", [&](uint64_t number) {
        list ? reflection->AddUInt64(&message, leaf, number) : reflection->SetUInt64(&message, leaf, number);
      });
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT: {
      double number = 0;
      if ((value.kind != Kind::kNumber && value.kind != Kind::kText) || !absl::SimpleAtod(value.text, &number) ||
          !std::isfinite(number)) {
        return absl::StrCat("must be a number", Is(field, value));
      }
      if (Problem problem = CheckRange(field, number, "", value)) {
        return problem;
      }
      if (leaf->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
        list ? reflection->AddDouble(&message, leaf, number) : reflection->SetDouble(&message, leaf, number);
      } else {
        float narrow = static_cast<float>(number);
        list ? reflection->AddFloat(&message, leaf, narrow) : reflection->SetFloat(&message, leaf, narrow);
      }
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_STRING: {
      if (value.kind != Kind::kString && value.kind != Kind::kText) {
        return absl::StrCat("must be a string", Is(field, value));
      }
      if (Problem problem = CheckRange(field, static_cast<double>(value.text.size()), " bytes long", value)) {
        return problem;
      }
      list ? reflection->AddString(&message, leaf, value.text) : reflection->SetString(&message, leaf, value.text);
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumDescriptor* type = leaf->enum_type();
      std::vector<std::string> names;
      for (int i = 0; i < type->value_count(); ++i) {
        const EnumValueDescriptor* candidate = type->value(i);
        if (candidate->number() == 0) {
          continue;  // ..._UNSPECIFIED says nothing.
        }
        std::string name = ShortName(type, candidate->number());
        if ((value.kind == Kind::kString || value.kind == Kind::kText) &&
            (value.text == candidate->name() || absl::EqualsIgnoreCase(value.text, name))) {
          list ? reflection->AddEnumValue(&message, leaf, candidate->number())
               : reflection->SetEnumValue(&message, leaf, candidate->number());
          return std::nullopt;
        }
        names.push_back(absl::AsciiStrToLower(name));
      }
      return absl::StrCat("must be one of ", absl::StrJoin(names, ", "), Is(field, value));
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      std::optional<absl::Duration> duration = ParseDuration(value);
      if (!duration.has_value()) {
        return absl::StrCat("must be a duration as \"90s\" or \"1h30m\"", Is(field, value));
      }
      if (Problem problem = CheckRange(field, absl::ToDoubleSeconds(*duration), " seconds", value)) {
        return problem;
      }
      google::protobuf::Duration proto;
      absl::Duration rest;
      proto.set_seconds(absl::IDivDuration(*duration, absl::Seconds(1), &rest));
      proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
      (list ? reflection->AddMessage(&message, leaf) : reflection->MutableMessage(&message, leaf))->CopyFrom(proto);
      return std::nullopt;
    }
  }
  return "is of a type that configurations do not have";
}

// The message that one step leads to.
const Message& Follow(const Message& message, const Step& step) {
  const Reflection* reflection = message.GetReflection();
  return step.index < 0 ? reflection->GetMessage(message, step.field)
                        : reflection->GetRepeatedMessage(message, step.field, step.index);
}

Message* FollowToChange(Message& message, const Step& step) {
  const Reflection* reflection = message.GetReflection();
  return step.index < 0 ? reflection->MutableMessage(&message, step.field)
                        : reflection->MutableRepeatedMessage(&message, step.field, step.index);
}

// The message that holds the leaf of `field`.
const Message& Holder(const Message& root, const Field& field) {
  const Message* message = &root;
  for (size_t i = 0; i + 1 < field.steps.size(); ++i) {
    message = &Follow(*message, field.steps[i]);
  }
  return *message;
}

void Expand(const Message& root, const std::vector<Field>& fields, std::vector<Field>& expanded) {
  for (const Field& field : fields) {
    if (!field.section_list() || !HasField(root, field)) {
      expanded.push_back(field);
      continue;
    }
    const Message& holder = Holder(root, field);
    for (int i = 0; i < holder.GetReflection()->FieldSize(holder, field.leaf()); ++i) {
      std::vector<Field> inner;
      Collect(field.leaf()->message_type(), Element(field, i), inner);
      Expand(root, inner, expanded);
    }
  }
}

// Sets fields one by one, and gathers what is wrong with them.
class Setter {
 public:
  explicit Setter(Message& root) : root_(root) {}

  void Set(const Field& field, const RawValue& value) {
    if (value.kind == Kind::kNull) {
      Wrong(field, "must not be null: leave it out to keep the value of the layers below", value);
    } else if (field.section_list()) {
      SetSections(field, value);
    } else {
      SetValue(field, value);
    }
  }

  Assignment Done() && { return std::move(done_); }

 private:
  void Wrong(const Field& field, std::string what, const RawValue& value) {
    done_.problems.push_back({.path = field.path, .what = std::move(what), .line = value.line});
  }

  Message& HolderToChange(const Field& field) {
    Message* message = &root_;
    for (size_t i = 0; i + 1 < field.steps.size(); ++i) {
      message = FollowToChange(*message, field.steps[i]);
    }
    return *message;
  }

  void SetValue(const Field& field, const RawValue& value) {
    Message& holder = HolderToChange(field);
    if (!field.leaf()->is_repeated()) {
      if (Problem problem = SetScalar(holder, field, value)) {
        Wrong(field, *std::move(problem), value);
      }
      return;
    }
    std::vector<RawValue> items = value.items;
    if (value.kind == Kind::kText) {
      for (std::string_view item : absl::StrSplit(value.text, ',', absl::SkipWhitespace())) {
        items.push_back({.kind = Kind::kText, .text = std::string(absl::StripAsciiWhitespace(item))});
      }
    } else if (value.kind != Kind::kList) {
      Wrong(field, absl::StrCat("must be a list", Is(field, value)), value);
      return;
    }
    holder.GetReflection()->ClearField(&holder, field.leaf());
    for (const RawValue& item : items) {
      if (Problem problem = SetScalar(holder, field, item)) {
        Wrong(field, absl::StrCat("each item ", *problem), value);
        return;
      }
    }
  }

  void SetSections(const Field& list, const RawValue& value) {
    if (value.kind == Kind::kText) {
      Wrong(list, "is a list of objects, which is set in a file: variables and --set cannot hold one", value);
      return;
    }
    if (value.kind != Kind::kList) {
      Wrong(list, "must be a list of objects", value);
      return;
    }
    Message& holder = HolderToChange(list);
    holder.GetReflection()->ClearField(&holder, list.leaf());
    for (size_t i = 0; i < value.items.size(); ++i) {
      const Field element = Element(list, static_cast<int>(i));
      holder.GetReflection()->AddMessage(&holder, list.leaf());
      done_.lines.emplace_back(element.path, value.items[i].line);
      SetMembers(element, value.items[i]);
    }
  }

  void SetMembers(const Field& section, const RawValue& object) {
    if (object.kind != Kind::kObject) {
      // Not quoted: nobody can tell what a value without a name is about.
      Wrong(section, "must be an object", object);
      return;
    }
    std::set<const FieldDescriptor*> seen;
    for (const RawValue& member : object.items) {
      const FieldDescriptor* descriptor = FindStep(section.leaf()->message_type(), member.name);
      if (descriptor == nullptr) {
        done_.problems.push_back({.path = absl::StrCat(section.path, ".", member.name),
                                  .what = absl::StrCat("is unknown: '", section.path, "' has no such field"),
                                  .line = member.line});
        continue;
      }
      const Field field = Within(section, descriptor);
      if (!seen.insert(descriptor).second) {
        Wrong(field, "is there twice", member);
        continue;
      }
      done_.lines.emplace_back(field.path, member.line);
      if (IsSection(descriptor) && !descriptor->is_repeated()) {
        SetMembers(field, member);
      } else {
        Set(field, member);
      }
    }
  }

  Message& root_;
  Assignment done_;
};

std::string PrintScalar(const Message& message, const FieldDescriptor* leaf, int index) {
  const Reflection* reflection = message.GetReflection();
  const bool list = leaf->is_repeated();
  switch (leaf->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return (list ? reflection->GetRepeatedBool(message, leaf, index) : reflection->GetBool(message, leaf)) ? "true"
                                                                                                             : "false";
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(list ? reflection->GetRepeatedInt32(message, leaf, index)
                               : reflection->GetInt32(message, leaf));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(list ? reflection->GetRepeatedInt64(message, leaf, index)
                               : reflection->GetInt64(message, leaf));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(list ? reflection->GetRepeatedUInt32(message, leaf, index)
                               : reflection->GetUInt32(message, leaf));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(list ? reflection->GetRepeatedUInt64(message, leaf, index)
                               : reflection->GetUInt64(message, leaf));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(list ? reflection->GetRepeatedDouble(message, leaf, index)
                               : reflection->GetDouble(message, leaf));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat(list ? reflection->GetRepeatedFloat(message, leaf, index)
                               : reflection->GetFloat(message, leaf));
    case FieldDescriptor::CPPTYPE_STRING:
      return list ? reflection->GetRepeatedString(message, leaf, index) : reflection->GetString(message, leaf);
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::AsciiStrToLower(
          ShortName(leaf->enum_type(), list ? reflection->GetRepeatedEnumValue(message, leaf, index)
                                            : reflection->GetEnumValue(message, leaf)));
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      google::protobuf::Duration proto;
      proto.CopyFrom(list ? reflection->GetRepeatedMessage(message, leaf, index)
                          : reflection->GetMessage(message, leaf));
      return absl::FormatDuration(absl::Seconds(proto.seconds()) + absl::Nanoseconds(proto.nanos()));
    }
  }
  return "";
}

}  // namespace

bool Field::secret() const { return leaf()->options().debug_redact(); }

bool Field::may_hold_secret() const {
  const std::string_view name = leaf()->name();
  return secret() || absl::EndsWith(name, "secret") || absl::EndsWith(name, "_key") || absl::EndsWith(name, "password");
}

bool Field::section_list() const { return leaf()->is_repeated() && steps.back().index < 0 && IsSection(leaf()); }

std::string Field::variable() const {
  return absl::StrCat("BULKHEAD_", absl::AsciiStrToUpper(absl::StrReplaceAll(path, {{".", "_"}})));
}

std::vector<Field> AllFields(const Descriptor* descriptor) {
  std::vector<Field> fields;
  Collect(descriptor, Field(), fields);
  return fields;
}

std::vector<Field> FieldsOf(const Message& message) {
  std::vector<Field> fields;
  Expand(message, AllFields(message.GetDescriptor()), fields);
  return fields;
}

std::optional<Field> FindField(const Descriptor* descriptor, std::string_view path, std::string& problem) {
  Field field;
  for (std::string_view name : absl::StrSplit(path, '.')) {
    const size_t bracket = name.find('[');
    if (descriptor != nullptr && bracket != std::string_view::npos) {
      const FieldDescriptor* list = FindStep(descriptor, name.substr(0, bracket));
      if (list != nullptr && list->is_repeated()) {
        problem = "is an element of a list: a list is set as a whole";
        return std::nullopt;
      }
    }
    if (!field.steps.empty() && field.section_list()) {
      problem = absl::StrCat("is about an element of '", field.path, "': a list is set as a whole, and in a file");
      return std::nullopt;
    }
    if (descriptor == nullptr) {
      problem = absl::StrCat("is unknown: '", field.path, "' is a value, not a section");
      return std::nullopt;
    }
    const FieldDescriptor* step = FindStep(descriptor, name);
    if (step == nullptr) {
      problem = field.path.empty() ? "is unknown" : absl::StrCat("is unknown: '", field.path, "' has no such field");
      return std::nullopt;
    }
    absl::StrAppend(&field.path, field.path.empty() ? "" : ".", step->name());
    field.steps.push_back({.field = step});
    descriptor = IsSection(step) && !step->is_repeated() ? step->message_type() : nullptr;
  }
  if (descriptor != nullptr) {
    problem = "is a section, not a value";
    return std::nullopt;
  }
  return field;
}

Assignment SetField(Message& message, const Field& field, const RawValue& value) {
  Setter setter(message);
  setter.Set(field, value);
  return std::move(setter).Done();
}

bool HasField(const Message& message, const Field& field) {
  const Message& holder = Holder(message, field);
  return field.leaf()->is_repeated() ? holder.GetReflection()->FieldSize(holder, field.leaf()) > 0
                                     : holder.GetReflection()->HasField(holder, field.leaf());
}

std::string PrintField(const Message& message, const Field& field) {
  if (!HasField(message, field)) {
    return "";
  }
  if (field.secret()) {
    return "[secret]";
  }
  const Message& holder = Holder(message, field);
  if (!field.leaf()->is_repeated()) {
    return PrintScalar(holder, field.leaf(), 0);
  }
  std::vector<std::string> items;
  for (int i = 0; i < holder.GetReflection()->FieldSize(holder, field.leaf()); ++i) {
    items.push_back(PrintScalar(holder, field.leaf(), i));
  }
  return absl::StrJoin(items, ",");
}

}  // namespace bulkhead::config
