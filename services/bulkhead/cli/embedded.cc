#include "services/bulkhead/cli/embedded.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/log/absl_log.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/common/v1/config.pb.h"
#include "nlohmann/json.hpp"
#include "services/common/crypto/crypto.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kPasswordBytes = 12;
constexpr absl::Duration kShutdownLimit = absl::Seconds(10);

absl::StatusOr<std::string> MakeTemporaryFolder() {
  std::error_code error;
  std::string pattern = (fs::temp_directory_path(error) / "bulkhead-XXXXXX").string();
  if (error || mkdtemp(pattern.data()) == nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("cannot make a temporary folder: ",
                                  error ? error.message() : std::generic_category().message(errno)),
                     {.domain = "bulkhead.cli", .reason = "TEMPORARY_FOLDER_FAILED"});
  }
  return pattern;
}

// The folder that all of `paths` lie in, with its slash; "" when there is none.
std::string CommonFolder(const std::vector<std::string>& paths) {
  if (paths.empty()) {
    return "";
  }
  std::string folder = paths.front().substr(0, paths.front().rfind('/') + 1);
  for (const std::string& path : paths) {
    while (!absl::StartsWith(path, folder)) {
      folder.pop_back();
      folder.resize(folder.rfind('/') + 1);
    }
  }
  return folder;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Embedded>> Embedded::Start(std::string data_dir, std::string listen) {
  auto embedded = std::unique_ptr<Embedded>(new Embedded());
  if (data_dir.empty()) {
    ASSIGN_OR_RETURN(data_dir, MakeTemporaryFolder());
    embedded->temporary_ = true;
  }
  embedded->data_dir_ = data_dir;
  common::v1::PlatformConfig config;
  config.set_environment(common::v1::ENVIRONMENT_DEVELOPMENT);
  config.mutable_auth()->set_open_registration(true);
  config.mutable_gateway()->set_listen(std::move(listen));
  Platform::Options options;
  options.data_dir = std::move(data_dir);
  // What is temporary need not survive a power cut.
  options.durable = !embedded->temporary_;
  ASSIGN_OR_RETURN(embedded->platform_, Platform::Create(std::move(options), config));
  ASSIGN_OR_RETURN(embedded->client_, gateway::GatewayClient::Create({.base_url = embedded->platform_->url(),
                                                                      .timeout = absl::Minutes(10),
                                                                      .user_agent = "bulkhead-cli"}));
  return embedded;
}

Embedded::~Embedded() {
  if (platform_ != nullptr) {
    const absl::Status ended = platform_->Shutdown(kShutdownLimit);
    if (!ended.ok()) {
      ABSL_LOG(WARNING) << "not all work ended in time: " << ended;
    }
    platform_.reset();
  }
  if (temporary_) {
    std::error_code error;
    fs::remove_all(data_dir_, error);
  }
}

absl::StatusOr<DemoUser> Embedded::MakeUser(std::string login) {
  DemoUser user;
  user.login = std::move(login);
  user.password = Secret(absl::WebSafeBase64Escape(crypto::RandomBytes(kPasswordBytes)));
  RETURN_IF_ERROR(Session::Register(*client_, user.login, user.password));
  ASSIGN_OR_RETURN(Tokens tokens, Session::SignIn(*client_, user.login, user.password));
  user.session =
      std::make_unique<Session>(client_.get(), std::move(tokens), [](const Tokens&) { return absl::OkStatus(); });
  return user;
}

absl::StatusOr<std::vector<std::string>> SaveArtifacts(Session& session, const json& run, const std::string& folder) {
  std::vector<std::string> paths;
  for (const json& artifact : run.value("answer", json::object()).value("artifacts", json::array())) {
    paths.emplace_back(PathOfFile(artifact.get_ref<const std::string&>()));
  }
  // The report first: it is what people open.
  std::stable_sort(paths.begin(), paths.end(), [](const std::string& a, const std::string& b) {
    return absl::EndsWith(a, ".md") > absl::EndsWith(b, ".md");
  });
  const std::string shared = CommonFolder(paths);
  std::vector<std::string> saved;
  for (const std::string& path : paths) {
    // A path of the workspace has no "..": it stays below the folder.
    const std::string local = (fs::absolute(folder) / path.substr(shared.size())).string();
    RETURN_IF_ERROR(session.Download(path, local));
    saved.push_back(local);
  }
  return saved;
}

}  // namespace bulkhead::cli
