#include "services/bulkhead/cli/session.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

absl::Status CannotWrite(const std::string& path) {
  return MakeError(absl::StatusCode::kInternal, absl::StrCat("cannot write ", path),
                   {.domain = "bulkhead.cli", .reason = "OUTPUT_UNWRITABLE", .metadata = {{"path", path}}});
}

}  // namespace

Tokens Session::ParseTokens(const nlohmann::json& answer) {
  return Tokens{.user = answer.value("user", ""),
                .access = RawToken(answer.value("accessToken", "")),
                .refresh = RawToken(answer.value("refreshToken", ""))};
}

absl::Status Session::Register(gateway::GatewayClient& client, std::string_view login, const Secret& password) {
  return client.Request("POST", "/v1/users", {{"login", login}, {"password", password.Reveal()}}, RawToken()).status();
}

absl::StatusOr<Tokens> Session::SignIn(gateway::GatewayClient& client, std::string_view login, const Secret& password) {
  ASSIGN_OR_RETURN(
      const nlohmann::json answer,
      client.Request("POST", "/v1/sessions:signIn", {{"login", login}, {"password", password.Reveal()}}, RawToken()));
  return ParseTokens(answer);
}

absl::StatusOr<nlohmann::json> Session::Request(std::string_view method, std::string_view path,
                                                const nlohmann::json& body) {
  absl::StatusOr<nlohmann::json> answer = client_->Request(method, path, body, tokens_.access);
  if (Renewed(answer.status())) {
    answer = client_->Request(method, path, body, tokens_.access);
  }
  return answer;
}

absl::StatusOr<nlohmann::json> Session::Upload(std::string_view path, const std::string& local_file,
                                               absl::FunctionRef<void(uint64_t, uint64_t)> on_progress) {
  absl::StatusOr<nlohmann::json> answer = client_->UploadFile(path, local_file, tokens_.access, on_progress);
  if (Renewed(answer.status())) {
    answer = client_->UploadFile(path, local_file, tokens_.access, on_progress);
  }
  return answer;
}

absl::Status Session::Download(std::string_view path, const std::string& local_file) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(local_file).parent_path();
  if (!folder.empty()) {
    std::filesystem::create_directories(folder, error);
  }
  if (error) {
    return CannotWrite(local_file);
  }
  const auto download = [&] {
    std::ofstream file(local_file, std::ios::binary | std::ios::trunc);
    const absl::Status downloaded =
        client_->DownloadFile(path, tokens_.access, [&](std::string_view piece) -> absl::Status {
          file.write(piece.data(), static_cast<std::streamsize>(piece.size()));
          return file ? absl::OkStatus() : CannotWrite(local_file);
        });
    file.close();
    return downloaded.ok() && !file ? CannotWrite(local_file) : downloaded;
  };
  absl::Status downloaded = download();
  return Renewed(downloaded) ? download() : downloaded;
}

absl::Status Session::Watch(std::string_view run, uint64_t after, std::stop_token stop,
                            absl::FunctionRef<bool(const nlohmann::json&)> on_frame) {
  uint64_t seen = after;
  while (true) {
    const absl::Status watched =
        client_->WatchRun(run, {.after = seen, .stop = stop}, tokens_.access, [&](const nlohmann::json& frame) {
          const auto event = frame.find("event");
          if (event != frame.end()) {
            // Transient events have no number.
            seen = event->value("sequence", seen);
          }
          return on_frame(frame);
        });
    if (!Renewed(watched)) {
      return watched;
    }
  }
}

bool Session::Renewed(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnauthenticated || tokens_.refresh.empty()) {
    return false;
  }
  absl::StatusOr<nlohmann::json> answer =
      client_->Request("POST", "/v1/sessions:refresh", {{"refreshToken", tokens_.refresh.Reveal()}}, RawToken());
  if (!answer.ok()) {
    return false;
  }
  tokens_ = ParseTokens(*answer);
  // A pair that could not be kept is still good for this process.
  on_renewed_(tokens_).IgnoreError();
  return true;
}

std::string_view LastSegment(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

std::string EscapeQuery(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped.push_back(c);
    } else {
      absl::StrAppend(&escaped, "%", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    }
  }
  return escaped;
}

std::string_view PathOfFile(std::string_view name) {
  constexpr std::string_view kFiles = "/files/";
  const size_t files = name.find(kFiles);
  return files == std::string_view::npos ? name : name.substr(files + kFiles.size());
}

}  // namespace bulkhead::cli
