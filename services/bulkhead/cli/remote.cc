#include "services/bulkhead/cli/remote.h"

#include <termios.h>
#include <unistd.h>

#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

using nlohmann::json;

constexpr int kPageSize = 200;
constexpr size_t kDateAndTime = sizeof("2026-03-01T12:00:00") - 1;

// Reads a line without showing it.
absl::StatusOr<Secret> AskPassword(std::string_view prompt) {
  if (isatty(STDIN_FILENO) == 0) {
    return InputInvalid("standard input is no terminal to ask for the password; use --password-stdin");
  }
  termios shown;
  tcgetattr(STDIN_FILENO, &shown);
  termios hidden = shown;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  std::cerr << prompt << std::flush;
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  std::string password;
  std::getline(std::cin, password);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
  std::cerr << "\n";
  return Secret(std::move(password));
}

}  // namespace

absl::StatusOr<SignedIn> Open(const RemoteContext& context) {
  SignedIn signed_in;
  ASSIGN_OR_RETURN(signed_in.client,
                   gateway::GatewayClient::Create({.base_url = context.server, .user_agent = "bulkhead-cli"}));
  ASSIGN_OR_RETURN(Tokens tokens, context.credentials->Load(context.server));
  signed_in.session =
      std::make_unique<Session>(signed_in.client.get(), std::move(tokens),
                                [credentials = context.credentials, server = context.server](const Tokens& renewed) {
                                  return credentials->Save(server, renewed);
                                });
  return signed_in;
}

absl::Status InputInvalid(std::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, why, {.domain = "bulkhead.cli", .reason = "INPUT_INVALID"});
}

absl::StatusOr<Secret> ReadPassword(std::string_view prompt, bool from_stdin) {
  if (!from_stdin) {
    return AskPassword(prompt);
  }
  std::string line;
  std::getline(std::cin, line);
  return Secret(std::move(line));
}

// All elements of `field`, page by page, at most `limit` of them.
absl::StatusOr<json> ListAll(Session& session, const std::string& path, const std::string& query, const char* field,
                             size_t limit) {
  json all = json::array();
  std::string page_token;
  do {
    ASSIGN_OR_RETURN(json page, session.Request("GET",
                                                absl::StrCat(path, "?pageSize=", kPageSize, query,
                                                             "&pageToken=", EscapeQuery(page_token)),
                                                nullptr));
    for (json& element : page[field]) {
      if (all.size() == limit) {
        return all;
      }
      all.push_back(std::move(element));
    }
    page_token = page.value("nextPageToken", "");
  } while (!page_token.empty());
  return all;
}

std::string ShortTime(const json& object, const char* field) {
  std::string time = object.value(field, "").substr(0, kDateAndTime);
  if (time.size() < kDateAndTime) {
    return "-";
  }
  time[time.find('T')] = ' ';
  return time;
}

std::string TextOf(const json& object, const char* field) {
  const std::string text = Printable(object.value(field, ""));
  return text.empty() ? "-" : text;
}

std::string LastSegmentsOf(const json& object, const char* field) {
  std::vector<std::string> names;
  for (const json& name : object.value(field, json::array())) {
    names.emplace_back(LastSegment(name.get<std::string>()));
  }
  return names.empty() ? "-" : absl::StrJoin(names, ",");
}

}  // namespace bulkhead::cli
