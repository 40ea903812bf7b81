#include "services/bulkhead/cli/audit_commands.h"

#include <cstdint>
#include <fstream>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "services/auth/audit_export.h"
#include "services/bulkhead/cli/users_commands.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

constexpr int kExportPage = 1000;

std::string WriteLine(const json& record) { return record.dump(-1, ' ', false, json::error_handler_t::replace); }

// "17:BASE64", as `audit export` and `audit verify` print it.
absl::StatusOr<std::optional<auth::AuditAnchor>> ParseAnchor(const std::string& text) {
  if (text.empty()) {
    return std::nullopt;
  }
  auth::AuditAnchor anchor;
  const size_t colon = text.find(':');
  if (!absl::SimpleAtoi(text.substr(0, colon), &anchor.sequence) ||
      (colon != std::string::npos && !absl::Base64Unescape(text.substr(colon + 1), &anchor.hash))) {
    return InputInvalid(absl::StrCat("'", text, "' must be SEQUENCE:HASH, as `audit verify` prints it"));
  }
  return anchor;
}

std::string PrintAnchor(uint64_t sequence, std::string_view base64) { return absl::StrCat(sequence, ":", base64); }

absl::Status NotIntact(uint64_t sequence, std::string_view problem) {
  return MakeError(absl::StatusCode::kDataLoss,
                   absl::StrCat("the audit log is not intact at record ", sequence, ": ", problem),
                   {.domain = "bulkhead.cli",
                    .reason = "AUDIT_NOT_INTACT",
                    .metadata = {{"sequence", absl::StrCat(sequence)}, {"problem", std::string(problem)}}});
}

absl::Status PrintVerdict(Console& console, uint64_t records, const std::string& head) {
  console.Json({{"intact", true}, {"records", records}, {"head", head}});
  console.Line(absl::StrCat("The audit log is intact: ", records, " records. Its end, to be noted elsewhere: ", head));
  return absl::OkStatus();
}

absl::Status VerifyFile(Console& console, const VerifyOptions& options) {
  ASSIGN_OR_RETURN(const std::optional<auth::AuditAnchor> after, ParseAnchor(options.after));
  ASSIGN_OR_RETURN(const std::optional<auth::AuditAnchor> head, ParseAnchor(options.head));
  std::ifstream file;
  if (options.file != "-") {
    file.open(options.file, std::ios::binary);
    if (!file) {
      return MakeError(
          absl::StatusCode::kNotFound, absl::StrCat("cannot read ", options.file),
          {.domain = "bulkhead.cli", .reason = "LOCAL_FILE_UNREADABLE", .metadata = {{"file", options.file}}});
    }
  }
  const auth::AuditExportCheck check =
      auth::VerifyAuditExport(options.file == "-" ? std::cin : static_cast<std::istream&>(file), after, head);
  if (!check.intact) {
    return NotIntact(check.first_bad_sequence, check.problem);
  }
  return PrintVerdict(console, check.records, PrintAnchor(check.end.sequence, absl::Base64Escape(check.end.hash)));
}

}  // namespace

absl::Status ListAudit(const RemoteContext& context, const AuditFilter& filter) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  std::string query;
  for (const auto& [name, value] :
       {std::pair("action", filter.action), std::pair("startTime", filter.since), std::pair("endTime", filter.until)}) {
    if (!value.empty()) {
      absl::StrAppend(&query, "&", name, "=", EscapeQuery(value));
    }
  }
  if (!filter.user.empty()) {
    ASSIGN_OR_RETURN(const std::string path, UserPath(*signed_in.session, filter.user));
    absl::StrAppend(&query, "&user=", EscapeQuery(absl::StrCat("users/", LastSegment(path))));
  }
  ASSIGN_OR_RETURN(const json records,
                   ListAll(*signed_in.session, "/v1/audit", query, "records", static_cast<size_t>(filter.limit)));
  context.console->Json({{"records", records}});
  for (const json& record : records) {
    context.console->Line(absl::StrFormat(
        "%8d  %s  %-22s %-7s %-24s %s  %s", record.value("sequence", uint64_t{0}), ShortTime(record, "time"),
        TextOf(record, "action"), record.value("allowed", false) ? "allowed" : "refused", TextOf(record, "user"),
        TextOf(record, "resource"), Printable(record.value("reason", ""))));
  }
  return absl::OkStatus();
}

absl::Status ExportAudit(const RemoteContext& context, const std::string& out) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  std::ofstream file;
  if (!out.empty()) {
    file.open(out, std::ios::binary | std::ios::trunc);
  }
  std::ostream& stream = out.empty() ? std::cout : file;
  std::string page_token;
  std::string head;
  uint64_t records = 0;
  do {
    // Page by page: a log of years does not lie in memory.
    ASSIGN_OR_RETURN(
        const json page,
        signed_in.session->Request(
            "GET", absl::StrCat("/v1/audit?pageSize=", kExportPage, "&pageToken=", EscapeQuery(page_token)), nullptr));
    for (const json& record : page.value("records", json::array())) {
      stream << WriteLine(record) << "\n";
      head = PrintAnchor(record.value("sequence", uint64_t{0}), record.value("hash", ""));
      ++records;
    }
    page_token = page.value("nextPageToken", "");
  } while (!page_token.empty() && stream);
  stream.flush();
  if (!stream) {
    return MakeError(absl::StatusCode::kInternal, absl::StrCat("cannot write ", out.empty() ? "the output" : out),
                     {.domain = "bulkhead.cli", .reason = "OUTPUT_UNWRITABLE", .metadata = {{"path", out}}});
  }
  if (!out.empty()) {
    context.console->Json({{"file", out}, {"records", records}, {"head", head}});
  }
  context.console->Note(absl::StrCat(records, " records. The end, to be noted elsewhere: ", head));
  return absl::OkStatus();
}

absl::Status VerifyAudit(const RemoteContext& context, const VerifyOptions& options) {
  if (!options.file.empty()) {
    return VerifyFile(*context.console, options);
  }
  if (!options.after.empty() || !options.head.empty()) {
    return InputInvalid("--after and --head are for an export: --file");
  }
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  ASSIGN_OR_RETURN(const json verdict, signed_in.session->Request("POST", "/v1/audit:verify", json::object()));
  if (!verdict.value("intact", false)) {
    return NotIntact(verdict.value("firstBadSequence", uint64_t{0}), verdict.value("problem", ""));
  }
  const uint64_t records = verdict.value("records", uint64_t{0});
  return PrintVerdict(*context.console, records, PrintAnchor(records, verdict.value("headHash", "")));
}

}  // namespace bulkhead::cli
