#include "services/auth/audit_export.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"
#include "services/auth/audit_record.h"
#include "services/auth/errors.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr size_t kHashBytes = 32;

absl::Status Unreadable(std::string_view what) {
  return AuthError(absl::StatusCode::kInvalidArgument, what, "AUDIT_EXPORT_INVALID");
}

// An object without members of the same name: one of them would be shown and the other one hashed.
absl::StatusOr<nlohmann::json> ParseObject(std::string_view line) {
  std::vector<std::set<std::string>> open;  // The names seen in each object that is open.
  bool repeated = false;
  const nlohmann::json::parser_callback_t watch = [&](int, nlohmann::json::parse_event_t event,
                                                      nlohmann::json& parsed) {
    using enum nlohmann::json::parse_event_t;
    if (event == object_start) {
      open.emplace_back();
    } else if (event == object_end) {
      open.pop_back();
    } else if (event == key) {
      repeated = repeated || !open.back().insert(parsed.get<std::string>()).second;
    }
    return true;
  };
  nlohmann::json json = nlohmann::json::parse(line, watch, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Unreadable("it is no JSON object");
  }
  if (repeated) {
    return Unreadable("a member stands in it twice");
  }
  return json;
}

absl::StatusOr<uint64_t> ReadSequence(const nlohmann::json& value) {
  uint64_t sequence = 0;
  if (value.is_number_unsigned()) {
    sequence = value.get<uint64_t>();
  } else if (!value.is_string() || !absl::SimpleAtoi(value.get_ref<const std::string&>(), &sequence)) {
    return Unreadable("`sequence` must be a number");
  }
  return sequence;
}

absl::StatusOr<std::map<std::string, std::string>> ReadDetails(const nlohmann::json& value) {
  std::map<std::string, std::string> details;
  for (const auto& [name, text] : value.items()) {
    if (!value.is_object() || !text.is_string()) {
      return Unreadable("`details` must be an object of strings");
    }
    details[name] = text.get<std::string>();
  }
  return details;
}

absl::Status SetText(const std::string& name, const std::string& text, AuditRecord& record) {
  const std::map<std::string_view, std::string*> fields = {
      {"user", &record.entry.user},         {"actor", &record.entry.actor},   {"action", &record.entry.action},
      {"resource", &record.entry.resource}, {"reason", &record.entry.reason}, {"requestId", &record.entry.request_id},
      {"address", &record.entry.address},
  };
  if (name == "time") {
    std::string problem;
    return absl::ParseTime(absl::RFC3339_full, text, &record.time, &problem)
               ? absl::OkStatus()
               : Unreadable(absl::StrCat("`time` must be as RFC 3339 says: ", problem));
  }
  if (name == "hash") {
    return absl::Base64Unescape(text, &record.hash) && record.hash.size() == kHashBytes
               ? absl::OkStatus()
               : Unreadable("`hash` must be 32 bytes in base64");
  }
  const auto field = fields.find(name);
  if (field == fields.end()) {
    // What no hash covers is not part of a record.
    return Unreadable(absl::StrCat("`", name, "` is no member of a record"));
  }
  *field->second = text;
  return absl::OkStatus();
}

absl::StatusOr<AuditRecord> ParseRecord(std::string_view line) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseObject(line));
  AuditRecord record;
  record.entry.allowed = false;  // As proto JSON leaves it out.
  for (const auto& [name, value] : json.items()) {
    if (name == "sequence") {
      ASSIGN_OR_RETURN(record.sequence, ReadSequence(value));
    } else if (name == "details") {
      ASSIGN_OR_RETURN(record.entry.details, ReadDetails(value));
    } else if (name == "allowed" && value.is_boolean()) {
      record.entry.allowed = value.get<bool>();
    } else if (value.is_string()) {
      RETURN_IF_ERROR(SetText(name, value.get_ref<const std::string&>(), record));
    } else {
      return Unreadable(absl::StrCat("`", name, "` has the wrong type, or is no member of a record"));
    }
  }
  return record;
}

// Whether a line that is still to come is the record `sequence`.
bool ComesLater(std::istream& lines, uint64_t sequence) {
  for (std::string line; std::getline(lines, line);) {
    const absl::StatusOr<AuditRecord> record = ParseRecord(line);
    if (record.ok() && record->sequence == sequence) {
      return true;
    }
  }
  return false;
}

void Fail(AuditExportCheck& check, uint64_t sequence, std::string problem) {
  check.intact = false;
  check.first_bad_sequence = sequence;
  check.problem = std::move(problem);
}

// Compares with what is known from elsewhere. `at_head` is the hash that the export has at the head's place.
void CompareWithHead(const AuditAnchor& head, const std::string& at_head, AuditExportCheck& check) {
  if (check.end.sequence < head.sequence) {
    Fail(check, check.end.sequence + 1,
         absl::StrCat("truncated: the export ends before record ", head.sequence, ", which was written"));
  } else if (!head.hash.empty() && !at_head.empty() && at_head != head.hash) {
    Fail(check, head.sequence, "rewritten: the record's hash is not the one that is known from elsewhere");
  }
}

}  // namespace

AuditExportCheck VerifyAuditExport(std::istream& lines, const std::optional<AuditAnchor>& after,
                                   const std::optional<AuditAnchor>& head) {
  AuditExportCheck check;
  check.end = after.value_or(AuditAnchor{.sequence = 0, .hash = AuditGenesisHash()});
  std::string at_head = head.has_value() && head->sequence == check.end.sequence ? check.end.hash : "";
  for (std::string line; std::getline(lines, line);) {
    if (absl::StripAsciiWhitespace(line).empty()) {
      continue;  // The end of the file, as editors leave it.
    }
    const uint64_t expected = check.end.sequence + 1;
    const absl::StatusOr<AuditRecord> record = ParseRecord(line);
    if (!record.ok()) {
      Fail(check, expected, absl::StrCat("unreadable: ", record.status().message()));
      return check;
    }
    if (record->sequence < expected) {
      Fail(check, expected, absl::StrCat("repeated: record ", record->sequence, " stands in its place again"));
      return check;
    }
    if (record->sequence > expected) {
      Fail(check, expected,
           ComesLater(lines, expected) ? absl::StrCat("reordered: it stands behind record ", record->sequence)
                                       : "removed: the record is missing");
      return check;
    }
    if (record->hash != HashAuditRecord(check.end.hash, *record)) {
      Fail(check, expected, "changed: the record's hash does not fit its content and the record before");
      return check;
    }
    ++check.records;
    check.end = {.sequence = expected, .hash = record->hash};
    if (head.has_value() && head->sequence == expected) {
      at_head = record->hash;
    }
  }
  if (head.has_value()) {
    CompareWithHead(*head, at_head, check);
  }
  return check;
}

}  // namespace bulkhead::auth
