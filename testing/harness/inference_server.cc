#include "testing/harness/inference_server.h"

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "services/common/status/macros.h"
#include "testing/harness/runfile.h"

namespace bulkhead::testing {

absl::StatusOr<std::unique_ptr<InferenceServer>> InferenceServer::Start() {
  auto server = absl::WrapUnique(new InferenceServer());
  ASSIGN_OR_RETURN(
      server->process_,
      ChildProcess::Start({.program = Runfile("npm", "node"),
                           .arguments = {Runfile("bulkhead", "testing/harness/inference/server.mjs"), kModelKey}}));
  ASSIGN_OR_RETURN(const std::string line, server->process_->WaitForLine("listening "));
  server->address_ = std::string(absl::StripPrefix(line, "listening "));
  return server;
}

nlohmann::json InferenceServer::Get(std::string_view path) {
  const absl::StatusOr<Browser::Page> page = control_.Get(absl::StrCat(address_, path));
  EXPECT_TRUE(page.ok()) << page.status();
  return page.ok() ? nlohmann::json::parse(page->body) : nlohmann::json();
}

nlohmann::json InferenceServer::Requests() { return Get("/test/requests"); }

int InferenceServer::Most() { return Get("/test/most").get<int>(); }

absl::Status InferenceServer::HoldRequest(int after, std::string_view when) {
  return control_.PostJson(absl::StrCat(address_, "/test/hold"), {{"after", after}, {"when", when}}).status();
}

int InferenceServer::Held() { return Get("/test/held").get<int>(); }

absl::Status InferenceServer::Go() {
  return control_.PostJson(absl::StrCat(address_, "/test/go"), nlohmann::json::object()).status();
}

}  // namespace bulkhead::testing
