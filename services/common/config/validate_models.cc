#include "services/common/config/validate_models.h"

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "services/common/config/secret_reference.h"
#include "services/common/config/url.h"

namespace bulkhead::config {
namespace {

bool IsModelId(std::string_view id) {
  return !id.empty() && absl::c_all_of(id, [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
  });
}

void CheckAddress(const std::string& path, const common::v1::ModelEndpoint& model, VerdictBuilder& verdict) {
  const std::optional<Url> url = ParseUrl(model.url());
  if (!url.has_value() || url->rest.find_first_of("?#") != std::string::npos) {
    verdict.Wrong(absl::StrCat(path, ".url"),
                  "must be set, as `https://api.example.com/v1`, without a query or fragment");
  } else if (url->scheme != "https" && !IsLoopback(url->host) && !model.allow_insecure_http()) {
    verdict.Wrong(absl::StrCat(path, ".url"),
                  "must be https, or http of this machine, unless allow_insecure_http is true");
  }
  if (model.allow_insecure_http()) {
    verdict.Unsafe(absl::StrCat(path, ".allow_insecure_http"), "must not be true");
  }
}

}  // namespace

void CheckModels(const common::v1::AgentConfig& agent, VerdictBuilder& verdict) {
  std::set<std::string, std::less<>> ids;
  for (int i = 0; i < agent.models_size(); ++i) {
    const common::v1::ModelEndpoint& model = agent.models(i);
    const std::string path = absl::StrCat("agent.models[", i, "]");
    if (!IsModelId(model.id())) {
      verdict.Wrong(absl::StrCat(path, ".id"), "must be set, of a-z, 0-9, `.`, `_` and `-`");
    } else if (!ids.insert(model.id()).second) {
      verdict.Wrong(absl::StrCat(path, ".id"), "must not be the id of another element");
    }
    CheckAddress(path, model, verdict);
    if (model.has_api_key()) {
      const absl::Status reference = CheckSecretReference(model.api_key());
      if (!reference.ok()) {
        verdict.Wrong(absl::StrCat(path, ".api_key"), std::string(reference.message()));
      }
    }
  }
  if (agent.max_model_tokens_per_run() > agent.max_model_tokens_per_day()) {
    verdict.Wrong("agent.max_model_tokens_per_run", "must not be more than agent.max_model_tokens_per_day");
  }
}

}  // namespace bulkhead::config
