#include "services/bulkhead/cli/console.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "services/common/status/error.h"

namespace bulkhead::cli {
namespace {

std::string_view Escape(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kDim:
      return "\x1b[2m";
    case Colour::kRed:
      return "\x1b[31m";
    case Colour::kGreen:
      return "\x1b[32m";
    case Colour::kYellow:
      return "\x1b[33m";
    case Colour::kBlue:
      return "\x1b[34m";
    case Colour::kMagenta:
      return "\x1b[35m";
    case Colour::kCyan:
      return "\x1b[36m";
    case Colour::kBold:
      return "\x1b[1m";
  }
  return "";
}

}  // namespace

void Console::Line(std::string_view text) {
  if (!json_) {
    Write(out_, text);
  }
}

void Console::Note(std::string_view text) {
  if (!json_) {
    Write(err_, text);
  }
}

void Console::Json(const nlohmann::json& document) {
  if (json_) {
    // Bytes that are no UTF-8 come from users' files: shown as U+FFFD rather than not at all.
    Write(out_, document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
}

void Console::Error(const absl::Status& status) {
  const std::optional<ErrorInfo> info = ErrorInfoOf(status);
  if (json_) {
    nlohmann::json error = {{"code", absl::StatusCodeToString(status.code())}, {"message", status.message()}};
    if (info.has_value()) {
      error["reason"] = info->reason;
      error["domain"] = info->domain;
      error["metadata"] = info->metadata;
    }
    Write(err_, nlohmann::json{{"error", error}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return;
  }
  // Of many violations each has its line.
  std::vector<std::string> lines;
  for (const std::string_view line : absl::StrSplit(status.message(), '\n')) {
    lines.push_back(Printable(line));
  }
  std::string text = absl::StrCat(Paint(Colour::kRed, "bulkhead: "), absl::StrJoin(lines, "\n"));
  if (info.has_value() && !info->reason.empty()) {
    absl::StrAppend(&text, " (", info->reason, ")");
    for (const auto& [key, value] : info->metadata) {
      // The message has most of them already; it seldom has all violations.
      if (!value.empty() && status.message().find(value) == std::string_view::npos) {
        absl::StrAppend(&text, "\n  ", Printable(key), ": ", Printable(value));
      }
    }
  }
  Write(err_, text);
}

std::string Console::Paint(Colour colour, std::string_view text) const {
  return colour_ && colour != Colour::kNone ? absl::StrCat(Escape(colour), text, "\x1b[0m") : std::string(text);
}

void Console::Write(std::FILE* file, std::string_view text) {
  absl::MutexLock lock(mutex_);
  std::fwrite(text.data(), 1, text.size(), file);
  std::fputc('\n', file);
  // Whoever reads through a pipe sees each line when it is written.
  std::fflush(file);
}

std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      printable.push_back(c);
    } else if (c == '\n' || c == '\t') {
      printable.push_back(' ');
    }
  }
  return printable;
}

}  // namespace bulkhead::cli
