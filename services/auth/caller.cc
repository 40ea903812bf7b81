#include "services/auth/caller.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "services/auth/errors.h"
#include "services/common/ids/id_generator.h"
#include "services/common/rpc/metadata.h"
#include "services/common/status/macros.h"

namespace bulkhead::auth {
namespace {

constexpr std::string_view kServiceSubjectPrefix = "service-";

std::string NameOfSubject(std::string_view subject) {
  return absl::ConsumePrefix(&subject, kServiceSubjectPrefix) ? absl::StrCat("services/", subject)
                                                              : absl::StrCat("users/", subject);
}

absl::Status Malformed(std::string_view name, std::string_view format) {
  return AuthError(absl::StatusCode::kInvalidArgument, absl::StrCat("'", name, "' is not of the form ", format),
                   "ID_MALFORMED", {{"name", std::string(name)}});
}

}  // namespace

std::string ActorOf(const rpc::CallContext& call) {
  if (!call.user.has_value()) {
    return "";
  }
  return NameOfSubject(call.user->actor().empty() ? call.user->user() : call.user->actor());
}

std::string ThrottledAddressOf(const rpc::CallContext& call) {
  return rpc::IsThisMachine(call.peer_address) ? "" : call.peer_address;
}

absl::StatusOr<std::string> ParseName(std::string_view collection, std::string_view name) {
  std::vector<std::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != collection) {
    return Malformed(name, absl::StrCat(collection, "/{id}"));
  }
  RETURN_IF_ERROR(ValidateId(absl::StripSuffix(collection, "s"), parts[1]));
  return std::string(parts[1]);
}

absl::StatusOr<OwnedName> ParseOwnedName(std::string_view collection, std::string_view name) {
  std::vector<std::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "users" || parts[2] != collection) {
    return Malformed(name, absl::StrCat("users/{user}/", collection, "/{id}"));
  }
  RETURN_IF_ERROR(ValidateId("user", parts[1]));
  RETURN_IF_ERROR(ValidateId(absl::StripSuffix(collection, "s"), parts[3]));
  return OwnedName{.user = std::string(parts[1]), .id = std::string(parts[3])};
}

}  // namespace bulkhead::auth
