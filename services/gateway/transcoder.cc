#include "services/gateway/transcoder.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "bulkhead/agent/v1/run_service.pb.h"
#include "bulkhead/auth/v1/audit_service.pb.h"
#include "bulkhead/auth/v1/role_service.pb.h"
#include "bulkhead/auth/v1/session_service.pb.h"
#include "bulkhead/auth/v1/token_service.pb.h"
#include "bulkhead/auth/v1/user_service.pb.h"
#include "bulkhead/common/v1/options.pb.h"
#include "bulkhead/notifier/v1/event_service.pb.h"
#include "bulkhead/tool/v1/file_service.pb.h"
#include "bulkhead/tool/v1/tool_service.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"
#include "services/gateway/frame_codec.h"
#include "services/gateway/http_message.h"

namespace bulkhead::gateway {
namespace {

namespace pb = ::google::protobuf;

// The files whose services the table names. Mentioned, so that the linker keeps them and the pool knows them.
void KeepServices() {
  for (const pb::Descriptor* descriptor :
       {auth::v1::User::descriptor(), auth::v1::Session::descriptor(), auth::v1::KeySet::descriptor(),
        auth::v1::Role::descriptor(), auth::v1::AuditRecord::descriptor(), agent::v1::Run::descriptor(),
        agent::v1::Agent::descriptor(), tool::v1::Tool::descriptor(), tool::v1::File::descriptor(),
        notifier::v1::SubscribeRequest::descriptor()}) {
    static_cast<void>(descriptor->file());
  }
}

// What a Timestamp can hold: the years 1 to 9999.
constexpr absl::Time kEarliest = absl::FromUnixSeconds(-62'135'596'800);
constexpr absl::Time kLatest = absl::FromUnixSeconds(253'402'300'799);

absl::Status QueryError(std::string_view parameter, std::string_view problem) {
  return GatewayError(absl::StatusCode::kInvalidArgument, "QUERY_INVALID",
                      absl::StrCat("the query's '", parameter, "' ", problem), {{"parameter", std::string(parameter)}});
}

// Sets, or adds to, one field from text.
absl::Status SetField(pb::Message& message, const pb::FieldDescriptor* field, std::string_view name,
                      const std::string& text) {
  const pb::Reflection* reflection = message.GetReflection();
  const bool repeated = field->is_repeated();
  switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_STRING:
      repeated ? reflection->AddString(&message, field, text) : reflection->SetString(&message, field, text);
      return absl::OkStatus();
    case pb::FieldDescriptor::CPPTYPE_INT32: {
      int32_t value;
      if (!absl::SimpleAtoi(text, &value)) {
        return QueryError(name, "must be a number");
      }
      repeated ? reflection->AddInt32(&message, field, value) : reflection->SetInt32(&message, field, value);
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t value;
      if (!absl::SimpleAtoi(text, &value)) {
        return QueryError(name, "must be a number that is not negative");
      }
      repeated ? reflection->AddUInt64(&message, field, value) : reflection->SetUInt64(&message, field, value);
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_BOOL: {
      if (text != "true" && text != "false") {
        return QueryError(name, "must be true or false");
      }
      repeated ? reflection->AddBool(&message, field, text == "true")
               : reflection->SetBool(&message, field, text == "true");
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      const pb::EnumValueDescriptor* value = field->enum_type()->FindValueByName(text);
      if (value == nullptr) {
        return QueryError(name, absl::StrCat("must be a value of ", field->enum_type()->name()));
      }
      repeated ? reflection->AddEnum(&message, field, value) : reflection->SetEnum(&message, field, value);
      return absl::OkStatus();
    }
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: {
      absl::Time time;
      if (field->message_type() != pb::Timestamp::descriptor() || repeated) {
        return QueryError(name, "cannot be given in a query");
      }
      if (!absl::ParseTime(absl::RFC3339_full, text, &time, /*err=*/nullptr) || time < kEarliest || time > kLatest) {
        return QueryError(name, "must be a time as 2026-03-01T12:00:00Z");
      }
      pb::Timestamp timestamp;
      SetTimestamp(time, &timestamp);
      reflection->MutableMessage(&message, field)->CopyFrom(timestamp);
      return absl::OkStatus();
    }
    default:
      return QueryError(name, "cannot be given in a query");
  }
}

absl::Status ApplyQuery(pb::Message& message, const std::map<std::string, std::string>& query) {
  for (const auto& [name, text] : query) {
    const pb::FieldDescriptor* field = message.GetDescriptor()->FindFieldByCamelcaseName(name);
    if (field == nullptr) {
      field = message.GetDescriptor()->FindFieldByName(name);
    }
    if (field == nullptr) {
      return QueryError(name, "is not known here");
    }
    RETURN_IF_ERROR(SetField(message, field, name, text));
  }
  return absl::OkStatus();
}

// The field that `path` leads to ("user.name"), which holds text; null when there is none.
const pb::FieldDescriptor* FindTarget(const pb::Descriptor* descriptor, std::string_view path) {
  const pb::FieldDescriptor* field = nullptr;
  for (std::string_view name : absl::StrSplit(path, '.')) {
    descriptor = field == nullptr ? descriptor : field->message_type();
    field = descriptor == nullptr ? nullptr : descriptor->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) {
      return nullptr;
    }
  }
  return field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING ? field : nullptr;
}

void SetTarget(pb::Message& request, std::string_view path, std::string value) {
  pb::Message* holder = &request;
  std::vector<std::string_view> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    holder = holder->GetReflection()->MutableMessage(holder, holder->GetDescriptor()->FindFieldByName(names[i]));
  }
  holder->GetReflection()->SetString(holder, holder->GetDescriptor()->FindFieldByName(names.back()), std::move(value));
}

absl::Status RouteError(const Route& route, std::string_view problem) {
  return GatewayError(absl::StatusCode::kInternal, "ROUTE_INVALID",
                      absl::StrCat(route.method, " ", route.path, ": ", problem));
}

absl::StatusOr<RpcShape> Resolve(const Route& route) {
  RpcShape shape;
  if (route.rpc.empty()) {
    return shape;
  }
  const pb::MethodDescriptor* method =
      pb::DescriptorPool::generated_pool()->FindMethodByName(absl::StrReplaceAll(route.rpc, {{"/", "."}}));
  if (method == nullptr) {
    return RouteError(route, absl::StrCat("there is no rpc ", route.rpc));
  }
  if (!route.field.empty() && FindTarget(method->input_type(), route.field) == nullptr) {
    return RouteError(route, absl::StrCat(method->input_type()->name(), " has no field ", route.field));
  }
  shape.request = pb::MessageFactory::generated_factory()->GetPrototype(method->input_type());
  shape.response = pb::MessageFactory::generated_factory()->GetPrototype(method->output_type());
  shape.anonymous = method->options().GetExtension(common::v1::anonymous);
  return shape;
}

}  // namespace

absl::StatusOr<std::vector<RpcShape>> ResolveRoutes() {
  KeepServices();
  std::vector<RpcShape> shapes;
  for (const Route& route : Routes()) {
    ASSIGN_OR_RETURN(RpcShape shape, Resolve(route));
    shapes.push_back(shape);
  }
  return shapes;
}

std::string Expand(std::string_view pattern, const std::map<std::string, std::string>& variables) {
  std::vector<std::pair<std::string, std::string>> replacements;
  for (const auto& [name, value] : variables) {
    replacements.emplace_back(absl::StrCat("{", name, "}"), value);
  }
  return absl::StrReplaceAll(pattern, replacements);
}

absl::StatusOr<std::unique_ptr<pb::Message>> MakeRequest(const Route& route, const RpcShape& shape,
                                                         const RequestSources& sources) {
  std::unique_ptr<pb::Message> request(shape.request->New());
  if (!sources.body.empty()) {
    RETURN_IF_ERROR(FromJson(sources.body, request.get()));
  }
  if (sources.query != nullptr) {
    RETURN_IF_ERROR(ApplyQuery(*request, *sources.query));
  }
  if (!route.field.empty()) {
    SetTarget(*request, route.field, Expand(route.value, *sources.variables));
  }
  return request;
}

}  // namespace bulkhead::gateway
