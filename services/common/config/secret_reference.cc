#include "services/common/config/secret_reference.h"

#include <cstddef>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::config {
namespace {

constexpr char kDomain[] = "bulkhead.config";
constexpr size_t kSealingKeyBytes = 32;

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::nullopt;
  }
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return file.bad() ? std::nullopt : std::optional(std::move(content));
}

}  // namespace

absl::Status CheckSecretReference(std::string_view reference) {
  std::string_view rest = reference;
  if ((absl::ConsumePrefix(&rest, "file:") || absl::ConsumePrefix(&rest, "env:")) && !rest.empty()) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "must be `file:PATH` or `env:NAME`, not a secret itself",
                   {.domain = kDomain, .reason = "SECRET_REFERENCE_INVALID"});
}

absl::StatusOr<Secret> ResolveSecret(std::string_view reference, const Environment& environment) {
  RETURN_IF_ERROR(CheckSecretReference(reference));
  std::string_view rest = reference;
  std::optional<std::string> found = absl::ConsumePrefix(&rest, "file:")
                                         ? ReadFile(std::string(rest))
                                         : environment.Find(absl::StripPrefix(reference, "env:"));
  if (!found.has_value() || absl::StripAsciiWhitespace(*found).empty()) {
    return MakeError(
        absl::StatusCode::kNotFound, absl::StrCat("there is no secret at '", reference, "'"),
        {.domain = kDomain, .reason = "SECRET_NOT_FOUND", .metadata = {{"reference", std::string(reference)}}});
  }
  absl::StripAsciiWhitespace(&*found);
  return Secret(*std::move(found));
}

absl::StatusOr<Secret> ResolveSealingKey(std::string_view reference, const Environment& environment) {
  ASSIGN_OR_RETURN(Secret text, ResolveSecret(reference, environment));
  std::string key;
  if (!absl::Base64Unescape(text.Reveal(), &key) || key.size() != kSealingKeyBytes) {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("the secret at '", reference, "' must be ", kSealingKeyBytes, " bytes in base64"),
        {.domain = kDomain, .reason = "SEALING_KEY_INVALID", .metadata = {{"reference", std::string(reference)}}});
  }
  return Secret(std::move(key));
}

}  // namespace bulkhead::config
