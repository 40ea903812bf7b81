#include "services/agent/models/reply_reader.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"
#include "services/agent/models/model_errors.h"
#include "services/common/json/untrusted_json.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {
namespace {

// Of text and arguments together: what the journal keeps of a reply.
constexpr size_t kMaxReplyBytes = 4 << 20;
constexpr size_t kMaxToolCalls = 128;
constexpr int64_t kMaxTokens = 1'000'000'000;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxQuotedBytes = 300;

// The member of an object, or null when there is none.
nlohmann::json Member(const nlohmann::json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() ? nlohmann::json() : *found;
}

}  // namespace

absl::Status ReplyReader::Invalid(std::string_view problem) const { return ModelReplyInvalid(model_, problem); }

absl::Status ReplyReader::Grow(size_t bytes) {
  bytes_ += bytes;
  return bytes_ <= kMaxReplyBytes ? absl::OkStatus()
                                  : Invalid(absl::StrCat("it has more than ", kMaxReplyBytes, " bytes"));
}

absl::Status ReplyReader::Add(std::string_view data, absl::FunctionRef<void(std::string_view)> on_text) {
  if (done_) {
    return Invalid("something follows its end");
  }
  if (data == "[DONE]") {
    done_ = true;
    return absl::OkStatus();
  }
  const nlohmann::json chunk = ParseUntrustedJson(data);
  if (!chunk.is_object()) {
    return Invalid("an event of it is no JSON object");
  }
  if (const nlohmann::json error = Member(chunk, "error"); !error.is_null()) {
    const nlohmann::json code = Member(error, "code");
    return EndpointError(model_, code.is_number_integer() ? static_cast<int>(code.get<int64_t>()) : 500, chunk, "");
  }
  RETURN_IF_ERROR(SetUsage(Member(chunk, "usage")));
  const nlohmann::json choices = Member(chunk, "choices");
  if (!choices.is_array()) {
    return Invalid("an event of it has no choices");
  }
  if (choices.size() > 1) {
    return Invalid("it has several choices, and one was asked for");
  }
  return choices.empty() ? absl::OkStatus() : AddChoice(choices[0], on_text);
}

absl::Status ReplyReader::AddChoice(const nlohmann::json& choice, absl::FunctionRef<void(std::string_view)> on_text) {
  if (!choice.is_object()) {
    return Invalid("a choice is no object");
  }
  const nlohmann::json delta = Member(choice, "delta");
  if (!delta.is_null() && !delta.is_object()) {
    return Invalid("a delta is no object");
  }
  if (delta.is_object()) {
    if (const nlohmann::json content = Member(delta, "content"); content.is_string()) {
      const std::string& text = content.get_ref<const std::string&>();
      RETURN_IF_ERROR(Grow(text.size()));
      reply_.text += text;
      if (!text.empty()) {
        on_text(text);
      }
    } else if (!content.is_null()) {
      return Invalid("a content is no text");
    }
    const nlohmann::json calls = Member(delta, "tool_calls");
    if (!calls.is_null() && !calls.is_array()) {
      return Invalid("tool_calls is no array");
    }
    for (const nlohmann::json& call : calls.is_array() ? calls : nlohmann::json::array()) {
      RETURN_IF_ERROR(AddToolCall(call));
    }
  }
  if (const nlohmann::json reason = Member(choice, "finish_reason"); reason.is_string()) {
    reply_.finish_reason = reason.get<std::string>();
    if (reply_.finish_reason.size() > kMaxNameBytes) {
      return Invalid("a finish_reason is too long");
    }
  } else if (!reason.is_null()) {
    return Invalid("a finish_reason is no text");
  }
  return absl::OkStatus();
}

absl::Status ReplyReader::AddToolCall(const nlohmann::json& call) {
  const nlohmann::json index = Member(call, "index");
  if (!index.is_number_unsigned() || index.get<uint64_t>() > reply_.tool_calls.size()) {
    return Invalid("a tool call has no index, or one that skips some");
  }
  const size_t at = index.get<size_t>();
  if (at >= kMaxToolCalls) {
    return Invalid(absl::StrCat("it has more than ", kMaxToolCalls, " tool calls"));
  }
  if (at == reply_.tool_calls.size()) {
    reply_.tool_calls.emplace_back();
  }
  ModelToolCall& into = reply_.tool_calls[at];
  const nlohmann::json function = Member(call, "function");
  if (!function.is_null() && !function.is_object()) {
    return Invalid("the function of a tool call is no object");
  }
  const nlohmann::json id = Member(call, "id");
  const nlohmann::json name = Member(function, "name");
  const nlohmann::json arguments = Member(function, "arguments");
  for (const nlohmann::json* text : {&id, &name, &arguments}) {
    if (!text->is_null() && !text->is_string()) {
      return Invalid("a part of a tool call is no text");
    }
  }
  // The first chunk of a call has id and name; some endpoints repeat them.
  for (const auto& [part, member] : {std::pair(&id, &into.id), std::pair(&name, &into.name)}) {
    if (part->is_string() && member->empty()) {
      *member = part->get<std::string>();
      if (member->size() > kMaxNameBytes) {
        return Invalid("the id or the name of a tool call is too long");
      }
    }
  }
  if (arguments.is_string()) {
    const std::string& text = arguments.get_ref<const std::string&>();
    RETURN_IF_ERROR(Grow(text.size()));
    into.arguments += text;
  }
  return absl::OkStatus();
}

absl::Status ReplyReader::SetUsage(const nlohmann::json& usage) {
  if (usage.is_null()) {
    return absl::OkStatus();
  }
  if (!usage.is_object()) {
    return Invalid("its usage is no object");
  }
  ModelUsage counted;
  for (const auto& [name, tokens] :
       {std::pair("prompt_tokens", &counted.input_tokens), std::pair("completion_tokens", &counted.output_tokens)}) {
    const nlohmann::json value = Member(usage, name);
    // Less than nothing would be a way around the quota.
    if (!value.is_number_unsigned() || value.get<uint64_t>() > static_cast<uint64_t>(kMaxTokens)) {
      return Invalid(absl::StrCat("its usage has no good ", name));
    }
    *tokens = value.get<int64_t>();
  }
  usage_ = counted;
  return absl::OkStatus();
}

absl::StatusOr<ModelReply> ReplyReader::Finish() && {
  if (reply_.finish_reason.empty()) {
    if (done_) {
      return Invalid("it ends without a finish_reason");
    }
    return ModelUnreachable(model_, "broke off in the middle of its reply");
  }
  if (reply_.finish_reason == "content_filter") {
    return ModelRefused(model_, 200, "a filter cut the reply");
  }
  if (reply_.finish_reason == "tool_calls" && reply_.tool_calls.empty()) {
    return Invalid("it ends with tool calls, and has none");
  }
  for (const ModelToolCall& call : reply_.tool_calls) {
    if (call.id.empty() || call.name.empty()) {
      return Invalid("a tool call has no id or no name");
    }
  }
  if (usage_.has_value()) {
    reply_.usage = *usage_;
  }
  return std::move(reply_);
}

absl::Status EndpointError(std::string_view model, int http_status, const nlohmann::json& body, std::string_view key) {
  if (http_status == 429) {
    return ModelRateLimited(model, std::nullopt);
  }
  if (http_status == 408 || http_status < 300 || http_status >= 500) {
    return ModelUnreachable(model, absl::StrCat("failed with HTTP status ", http_status));
  }
  if (http_status < 400) {
    return ModelRefused(model, http_status, "it sends elsewhere, which is not followed: name the right address");
  }
  if (http_status == 401 || http_status == 403) {
    // What it says then often quotes a part of the key.
    return ModelRefused(model, http_status, absl::StrCat("the key is not accepted (HTTP status ", http_status, ")"));
  }
  std::string said = "HTTP status " + std::to_string(http_status);
  const nlohmann::json& error = body.is_object() ? Member(body, "error") : body;
  const nlohmann::json& message = error.is_object() ? Member(error, "message") : error;
  if (message.is_string()) {
    std::string text = message.get<std::string>();
    if (!key.empty()) {
      text = absl::StrReplaceAll(text, {{key, "[secret]"}});
    }
    std::ranges::replace_if(text, [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); }, ' ');
    size_t end = std::min(text.size(), kMaxQuotedBytes);
    while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
      --end;  // Not in the middle of a character.
    }
    absl::StrAppend(&said, ": ", text.substr(0, end));
  }
  return ModelRefused(model, http_status, said);
}

}  // namespace bulkhead::agent
