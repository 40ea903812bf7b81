#include "services/bulkhead/cli/approvals_commands.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/console.h"
#include "services/bulkhead/cli/session.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/gateway/client/gateway_client.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

constexpr size_t kAll = 100'000;

std::string RunPath(std::string_view run) { return absl::StrCat("/v1/runs/", gateway::EscapePath(LastSegment(run))); }

// Those of a run that nobody has decided.
absl::StatusOr<json> PendingOf(Session& session, std::string_view run) {
  ASSIGN_OR_RETURN(const json all, ListAll(session, absl::StrCat(RunPath(run), "/approvals"), "", "approvals", kAll));
  json pending = json::array();
  for (const json& approval : all) {
    if (!approval.contains("decision")) {
      pending.push_back(approval);
    }
  }
  return pending;
}

void PrintQuestion(Console& console, const json& approval) {
  console.Line(absl::StrCat(Printable(approval.value("name", ""))));
  console.Line(absl::StrCat("  ", TextOf(approval, "question")));
  if (const std::string tool = approval.value("tool", ""); !tool.empty()) {
    console.Line(
        absl::StrCat("  ", LastSegment(tool), " ", Printable(approval.value("arguments", json::object()).dump())));
  }
  console.Line(absl::StrCat("  until ", ShortTime(approval, "expireTime")));
}

// The pending approval that `what` means.
absl::StatusOr<json> Find(Session& session, const std::string& what) {
  const std::vector<std::string> parts = absl::StrSplit(what, "/approvals/");
  ASSIGN_OR_RETURN(const json pending, PendingOf(session, parts.front()));
  if (parts.size() == 1 && pending.size() > 1) {
    std::string names;
    for (const json& approval : pending) {
      absl::StrAppend(&names, names.empty() ? "" : ", ", approval.value("name", ""));
    }
    return InputInvalid(absl::StrCat("the run asks ", pending.size(), " things, name one of them: ", names));
  }
  for (const json& approval : pending) {
    if (parts.size() == 1 || LastSegment(approval.value("name", "")) == parts.back()) {
      return approval;
    }
  }
  return MakeError(absl::StatusCode::kNotFound, absl::StrCat(what, " asks nothing, or has been answered"),
                   {.domain = "bulkhead.cli", .reason = "NOTHING_ASKED"});
}

}  // namespace

absl::Status ListApprovals(const RemoteContext& context, const std::string& run) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  json asking = json::array({{{"name", run}}});
  if (run.empty()) {
    ASSIGN_OR_RETURN(asking,
                     ListAll(*signed_in.session, "/v1/runs", "&states=RUN_STATE_AWAITING_APPROVAL", "runs", kAll));
  }
  json approvals = json::array();
  for (const json& one : asking) {
    ASSIGN_OR_RETURN(const json pending, PendingOf(*signed_in.session, one.value("name", "")));
    approvals.insert(approvals.end(), pending.begin(), pending.end());
  }
  context.console->Json({{"approvals", approvals}});
  for (const json& approval : approvals) {
    PrintQuestion(*context.console, approval);
  }
  return absl::OkStatus();
}

absl::Status Decide(const RemoteContext& context, const std::string& what, const Verdict& verdict) {
  json decision = {{"verdict", verdict.allow ? "VERDICT_ALLOW" : "VERDICT_DENY"}, {"comment", verdict.comment}};
  if (!verdict.arguments.empty()) {
    json edited = json::parse(verdict.arguments, nullptr, /*allow_exceptions=*/false);
    if (!edited.is_object()) {
      return InputInvalid("--arguments must be a JSON object");
    }
    decision["editedArguments"] = std::move(edited);
  }
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json approval, Find(*signed_in.session, what));
  const std::string name = approval.value("name", "");
  const std::vector<std::string> parts = absl::StrSplit(name, "/approvals/");
  // The hash of what was just read: should the call be another one by now, the decision is refused.
  ASSIGN_OR_RETURN(
      const json decided,
      signed_in.session->Request(
          "POST", absl::StrCat(RunPath(parts.front()), "/approvals/", gateway::EscapePath(parts.back()), ":resolve"),
          {{"decision", decision}, {"callHash", approval.value("callHash", "")}}));
  context.console->Json(decided);
  context.console->Line(absl::StrCat(verdict.allow ? "Allowed: " : "Denied: ", TextOf(decided, "question")));
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
