#include "services/bulkhead/cli/keys_commands.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

absl::Status PrintKeys(Console& console, Session& session) {
  ASSIGN_OR_RETURN(const json answer, session.Request("GET", "/v1/keys", nullptr));
  const json keys = answer.value("keys", json::array());
  console.Json({{"keys", keys}});
  for (const json& key : keys) {
    const std::string state = absl::AsciiStrToLower(absl::StripPrefix(key.value("state", ""), "KEY_STATE_"));
    const bool upcoming = state == "verifying" && !key.contains("expireTime");
    console.Line(absl::StrFormat("%-28s %-6s %-10s made %s  verifies until %s", TextOf(key, "kid"),
                                 TextOf(key, "algorithm"), upcoming ? "upcoming" : state, ShortTime(key, "createTime"),
                                 ShortTime(key, "expireTime")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ListKeys(const RemoteContext& context) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  return PrintKeys(*context.console, *signed_in.session);
}

absl::Status RotateKeys(const RemoteContext& context, const std::string& algorithm) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(signed_in.session->Request("POST", "/v1/keys:rotate", json{{"algorithm", algorithm}}).status());
  return PrintKeys(*context.console, *signed_in.session);
}

absl::Status RevokeKey(const RemoteContext& context, const std::string& key) {
  ASSIGN_OR_RETURN(const SignedIn signed_in, Open(context));
  RETURN_IF_ERROR(
      signed_in.session->Request("POST", absl::StrCat("/v1/keys/", gateway::EscapePath(key), ":revoke"), json::object())
          .status());
  context.console->Json({{"key", key}, {"revoked", true}});
  context.console->Line(
      absl::StrCat("Withdrew ", key, ": what it signed is refused from now on, your own token perhaps too."));
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
