#include "services/agent/thread_proto.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "services/agent/thread_turns.h"
#include "services/common/ids/id_generator.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/common/time/proto_time.h"

namespace bulkhead::agent {
namespace {

constexpr ptrdiff_t kMaxTitleCharacters = 200;

absl::Status NameInvalid(std::string_view name, std::string_view why) {
  return MakeError(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("'", name, "' is not the name of a thread, users/{user}/threads/{thread}: ", why),
      {.domain = "bulkhead.agent", .reason = "THREAD_NAME_INVALID", .metadata = {{"name", std::string(name)}}});
}

absl::Status Invalid(std::string_view field, std::string_view why) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", why),
      {.domain = "bulkhead.agent", .reason = "THREAD_INVALID", .metadata = {{"field", std::string(field)}}});
}

// Of UTF-8, which protobuf has checked.
ptrdiff_t Characters(std::string_view text) {
  return std::ranges::count_if(text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; });
}

}  // namespace

v1::Thread ToProto(const ThreadRecord& thread) {
  v1::Thread out;
  out.set_name(thread.name());
  out.set_title(thread.title);
  out.set_busy_policy(static_cast<v1::BusyPolicy>(thread.busy_policy));
  SetTimestamp(thread.create_time, out.mutable_create_time());
  return out;
}

absl::StatusOr<std::string> ParseThreadName(std::string_view name, std::string_view user) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "users" || parts[2] != "threads") {
    return NameInvalid(name, "wrong form");
  }
  for (const auto& [kind, id] : {std::pair("user", &parts[1]), std::pair("thread", &parts[3])}) {
    if (absl::Status valid = ValidateId(kind, *id); !valid.ok()) {
      return NameInvalid(name, valid.message());
    }
  }
  if (parts[1] != user) {
    return ThreadNotFound(parts[3]);
  }
  return parts[3];
}

absl::StatusOr<BusyPolicy> ParseBusyPolicy(int policy) {
  if (!v1::BusyPolicy_IsValid(policy)) {
    return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat("there is no busy policy ", policy),
                     {.domain = "bulkhead.agent", .reason = "BUSY_POLICY_INVALID"});
  }
  return static_cast<BusyPolicy>(policy);
}

absl::StatusOr<ThreadChange> ParseThread(const v1::Thread& thread) {
  if (Characters(thread.title()) > kMaxTitleCharacters) {
    return Invalid("title", absl::StrCat("has more than ", kMaxTitleCharacters, " characters"));
  }
  if (std::ranges::any_of(thread.title(), [](unsigned char byte) { return absl::ascii_iscntrl(byte); })) {
    return Invalid("title", "has a control character: a title is one line of text");
  }
  if (!v1::BusyPolicy_IsValid(thread.busy_policy())) {
    return Invalid("busy_policy", absl::StrCat("there is no busy policy ", static_cast<int>(thread.busy_policy())));
  }
  return ThreadChange{.title = thread.title(), .busy_policy = static_cast<BusyPolicy>(thread.busy_policy())};
}

absl::StatusOr<ThreadChange> ParseThreadChange(const v1::UpdateThreadRequest& request) {
  ASSIGN_OR_RETURN(ThreadChange change, ParseThread(request.thread()));
  if (!request.has_update_mask()) {
    return change;
  }
  ThreadChange masked;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "title") {
      masked.title = change.title;
    } else if (path == "busy_policy") {
      masked.busy_policy = change.busy_policy;
    } else {
      return Invalid("update_mask", absl::StrCat("'", path, "' cannot be changed: title and busy_policy can"));
    }
  }
  return masked;
}

}  // namespace bulkhead::agent
