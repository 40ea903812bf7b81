#include "services/bulkhead/cli/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

absl::Status Unreadable(std::string_view path, std::string_view why) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, absl::StrCat("the credentials file ", path, " cannot be used: ", why),
      {.domain = "bulkhead.cli", .reason = "CREDENTIALS_UNREADABLE", .metadata = {{"path", std::string(path)}}});
}

// The whole file, or an empty object when there is none.
absl::StatusOr<nlohmann::json> ReadAll(const std::string& path) {
  struct stat attributes;
  if (stat(path.c_str(), &attributes) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return nlohmann::json::object();
    }
    return Unreadable(path, std::generic_category().message(errno));
  }
  if ((attributes.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return Unreadable(path, "others than its owner may read or write it; chmod it to 0600");
  }
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  nlohmann::json content = nlohmann::json::parse(text.str(), nullptr, /*allow_exceptions=*/false);
  if (!content.is_object()) {
    return Unreadable(path, "it is not a JSON object; remove it and sign in again");
  }
  return content;
}

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? value->get<std::string>() : "";
}

}  // namespace

absl::StatusOr<Tokens> CredentialsFile::Load(std::string_view server) const {
  ASSIGN_OR_RETURN(const nlohmann::json content, ReadAll(path_));
  const auto servers = content.find("servers");
  if (servers != content.end() && servers->is_object()) {
    const auto entry = servers->find(std::string(server));
    if (entry != servers->end() && entry->is_object()) {
      return Tokens{.user = TextOf(*entry, "user"),
                    .access = RawToken(TextOf(*entry, "accessToken")),
                    .refresh = RawToken(TextOf(*entry, "refreshToken"))};
    }
  }
  // Who has signed in elsewhere has perhaps only not said where.
  std::string elsewhere;
  if (servers != content.end() && servers->is_object()) {
    for (const auto& [name, entry] : servers->items()) {
      absl::StrAppend(&elsewhere, elsewhere.empty() ? ", or name with --server one where you are signed in: " : ", ",
                      name);
    }
  }
  return MakeError(
      absl::StatusCode::kUnauthenticated,
      absl::StrCat("not signed in at ", server, "; do `bulkhead login --server ", server, "` first", elsewhere),
      {.domain = "bulkhead.cli", .reason = "NOT_SIGNED_IN", .metadata = {{"server", std::string(server)}}});
}

absl::Status CredentialsFile::Save(std::string_view server, const Tokens& tokens) const {
  ASSIGN_OR_RETURN(nlohmann::json content, ReadAll(path_));
  content["servers"][std::string(server)] = {
      {"user", tokens.user}, {"accessToken", tokens.access.Reveal()}, {"refreshToken", tokens.refresh.Reveal()}};
  const std::string text = absl::StrCat(content.dump(2), "\n");
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), error);
  if (error) {
    return Unreadable(path_, error.message());
  }
  const std::string temporary = absl::StrCat(path_, ".", getpid(), ".new");
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) {
    return Unreadable(path_, std::generic_category().message(errno));
  }
  const bool written =
      fchmod(file, 0600) == 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(file);
  if (!written || rename(temporary.c_str(), path_.c_str()) != 0) {
    unlink(temporary.c_str());
    return Unreadable(path_, "it cannot be written");
  }
  return absl::OkStatus();
}

}  // namespace bulkhead::cli
