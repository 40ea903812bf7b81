#include "services/agent/journal_text.h"

#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"

namespace bulkhead::agent {

std::string JournalText(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string CommandText(std::string_view what, std::string_view detail) {
  return absl::StrCat(what, "#", absl::BytesToHexString(crypto::Sha256(detail)).substr(0, 12));
}

uint64_t BytesOf(const JournalRecord& record) {
  return record.path.size() + record.command.size() + record.payload.size();
}

nlohmann::json EncodeResult(const absl::StatusOr<nlohmann::json>& result) {
  if (result.ok()) {
    return {{"ok", *result}};
  }
  const RunError error = RunError::Of(result.status());
  return {{"error",
           {{"code", static_cast<int>(result.status().code())},
            {"reason", error.reason},
            {"message", error.message},
            {"domain", error.domain},
            {"metadata", error.metadata}}}};
}

absl::StatusOr<nlohmann::json> DecodeResult(const nlohmann::json& result) {
  if (auto ok = result.find("ok"); ok != result.end()) {
    return *ok;
  }
  const nlohmann::json& error = result.at("error");
  return MakeError(static_cast<absl::StatusCode>(error.at("code").get<int>()), error.at("message").get<std::string>(),
                   {.domain = error.at("domain"),
                    .reason = error.at("reason"),
                    .metadata = error.at("metadata").get<std::map<std::string, std::string>>()});
}

}  // namespace bulkhead::agent
