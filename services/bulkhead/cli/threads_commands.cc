#include "services/bulkhead/cli/threads_commands.h"

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/remote_commands.h"
#include "services/bulkhead/cli/thread_names.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

std::string ThreadPath(const std::string& thread) {
  return absl::StrCat("/v1/threads/", gateway::EscapePath(LastSegment(thread)));
}

json ThreadOf(const ThreadOptions& options) {
  json thread = json::object();
  if (options.title.has_value()) {
    thread["title"] = *options.title;
  }
  if (options.busy.has_value()) {
    thread["busyPolicy"] = BusyPolicyOf(*options.busy);
  }
  return thread;
}

std::string ThreadLine(const json& thread) {
  return absl::StrFormat("%-34s %-10s %-20s %s", LastSegment(thread.value("name", "")),
                         BusyPolicyText(thread.value("busyPolicy", "")), ShortTime(thread, "createTime"),
                         TextOf(thread, "title"));
}

void PrintThread(Console& console, const json& thread) {
  console.Json(thread);
  console.Line(ThreadLine(thread));
}

}  // namespace

absl::Status ListThreads(const RemoteContext& context, int limit) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json threads,
                   ListAll(*signed_in.session, "/v1/threads", "", "threads", static_cast<size_t>(limit)));
  context.console->Json({{"threads", threads}});
  for (const json& thread : threads) {
    context.console->Line(ThreadLine(thread));
  }
  return absl::OkStatus();
}

absl::Status CreateThread(const RemoteContext& context, const ThreadOptions& options) {
  json request = {{"thread", ThreadOf(options)}};
  if (!options.request_id.empty()) {
    request["requestId"] = options.request_id;
  }
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json thread, signed_in.session->Request("POST", "/v1/threads", request));
  PrintThread(*context.console, thread);
  return absl::OkStatus();
}

absl::Status ShowThread(const RemoteContext& context, const std::string& thread, int limit) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json found, signed_in.session->Request("GET", ThreadPath(thread), nullptr));
  ASSIGN_OR_RETURN(const json runs,
                   ListAll(*signed_in.session, "/v1/runs",
                           absl::StrCat("&thread=", EscapeQuery(ThreadName(*signed_in.session, thread))), "runs",
                           static_cast<size_t>(limit)));
  context.console->Json({{"thread", found}, {"runs", runs}});
  context.console->Line(ThreadLine(found));
  for (const json& run : runs) {
    context.console->Line(absl::StrCat("  ", RunLine(run)));
  }
  return absl::OkStatus();
}

absl::Status UpdateThread(const RemoteContext& context, const std::string& thread, const ThreadOptions& options) {
  std::vector<std::string> mask;
  if (options.title.has_value()) {
    mask.push_back("title");
  }
  if (options.busy.has_value()) {
    mask.push_back("busyPolicy");
  }
  if (mask.empty()) {
    return InputInvalid("say what to change: --title or --busy");
  }
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json updated, signed_in.session->Request(
                                           "PATCH", ThreadPath(thread),
                                           {{"thread", ThreadOf(options)}, {"updateMask", absl::StrJoin(mask, ",")}}));
  PrintThread(*context.console, updated);
  return absl::OkStatus();
}

absl::Status DeleteThread(const RemoteContext& context, const std::string& thread) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(signed_in.session->Request("DELETE", ThreadPath(thread), nullptr).status());
  context.console->Json({{"thread", LastSegment(thread)}, {"deleted", true}});
  context.console->Line(absl::StrCat("Deleted ", LastSegment(thread), "; its runs stay."));
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
