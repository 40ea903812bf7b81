// What a user tries with what is not his.
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bulkhead/agent/v1/run_service.grpc.pb.h"
#include "bulkhead/agent/v1/thread_service.grpc.pb.h"
#include "bulkhead/notifier/v1/event_service.grpc.pb.h"
#include "bulkhead/tool/v1/file_service.grpc.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/ids/id_generator.h"
#include "testing/base/resource_name.h"
#include "testing/harness/calls.h"
#include "testing/integration/agent_execution/isolation_script.h"
#include "testing/integration/agent_execution/transcript.h"

namespace bulkhead::testing {

using nlohmann::json;
using Runs = agent::v1::RunService;
using Threads = agent::v1::ThreadService;
using Events = notifier::v1::EventService;
using Files = tool::v1::FileService;

std::string UserScript::Foreign(std::string_view kind) {
  std::string name = belongings_->OfAnother(kind, user_->name());
  if (name.empty()) {
    const std::unique_ptr<IdGenerator> ids = CreateRandomIds();
    name = kind == "thread" ? absl::StrCat("users/", ids->NewId("user"), "/threads/", ids->NewId("thread"))
                            : absl::StrCat("users/", ids->NewId("user"), "/runs/", ids->NewId("run"));
    if (kind == "approval") {
      absl::StrAppend(&name, "/approvals/", ids->NewId("approval"));
    }
  }
  for (const std::string_view part : absl::StrSplit(name, '/')) {
    if (const size_t dash = part.find('-'); dash != std::string_view::npos) {
      transcript_.Alias(part, absl::StrCat("foreign ", part.substr(0, dash)));
    }
  }
  return name;
}

void UserScript::TryForeign() {
  const std::string run = Foreign("run");
  const std::string approval = Foreign("approval");
  // As his own, through the gateway...
  const std::string path = absl::StrCat("/v1/runs/", IdOf(run));
  Http("GET", path, nullptr);
  for (const char* verb : {":cancel", ":interrupt", ":resume", ":retry"}) {
    Http("POST", absl::StrCat(path, verb), json::object());
  }
  Http("DELETE", path, nullptr);
  Http("GET", absl::StrCat(path, "/approvals"), nullptr);
  Http("GET", absl::StrCat(path, "/events"), nullptr);
  Http("POST", absl::StrCat(path, "/approvals/", IdOf(approval), ":resolve"),
       {{"decision", {{"verdict", "VERDICT_ALLOW"}}}});
  Http("GET", "/v1/files/secret.txt", nullptr);
  // ...and by their full names.
  agent::v1::GetRunRequest get;
  get.set_name(run);
  transcript_.Write("GetRun", Told(Call<Runs>(*user_, &Runs::Stub::GetRun, get).status()));
  agent::v1::CancelRunRequest cancel;
  cancel.set_name(run);
  transcript_.Write("CancelRun", Told(Call<Runs>(*user_, &Runs::Stub::CancelRun, cancel).status()));
  agent::v1::ListRunsRequest children;
  children.set_parent(run);
  transcript_.Write("ListRuns", Told(Call<Runs>(*user_, &Runs::Stub::ListRuns, children).status()));
  notifier::v1::ListEventsRequest events;
  events.set_stream(run);
  transcript_.Write("ListEvents", Told(Call<Events>(*user_, &Events::Stub::ListEvents, events).status()));
  tool::v1::GetFileRequest file;
  file.set_name(absl::StrCat(run.substr(0, run.find("/runs/")), "/files/notes-0.txt"));
  transcript_.Write("GetFile", Told(Call<Files>(*user_, &Files::Stub::GetFile, file).status()));
}

void UserScript::TryForeignThread() {
  const std::string thread = Foreign("thread");
  // As his own...
  const std::string path = absl::StrCat("/v1/threads/", IdOf(thread));
  Http("GET", path, nullptr);
  Http("PATCH", path, {{"thread", {{"title", "mine"}}}, {"updateMask", "title"}});
  Http("DELETE", path, nullptr);
  // ...and by its full name.
  agent::v1::GetThreadRequest get;
  get.set_name(thread);
  transcript_.Write("GetThread", Told(Call<Threads>(*user_, &Threads::Stub::GetThread, get).status()));
  agent::v1::UpdateThreadRequest update;
  update.mutable_thread()->set_name(thread);
  update.mutable_thread()->set_title("mine");
  update.mutable_update_mask()->add_paths("title");
  transcript_.Write("UpdateThread", Told(Call<Threads>(*user_, &Threads::Stub::UpdateThread, update).status()));
  agent::v1::DeleteThreadRequest remove;
  remove.set_name(thread);
  transcript_.Write("DeleteThread", Told(Call<Threads>(*user_, &Threads::Stub::DeleteThread, remove).status()));
  Http("GET", absl::StrCat("/v1/runs?pageSize=100&thread=", thread), nullptr);
  for (const char* policy :
       {"BUSY_POLICY_REFUSE", "BUSY_POLICY_QUEUE", "BUSY_POLICY_INTERRUPT", "BUSY_POLICY_CANCEL_AND_REPLACE"}) {
    Http("POST", "/v1/runs",
         {{"agent", "agents/historian"}, {"input", json::object()}, {"thread", thread}, {"busyPolicy", policy}});
  }
}

}  // namespace bulkhead::testing
