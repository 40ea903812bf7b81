#include "services/bulkhead/cli/event_printer.h"

#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/session.h"

namespace bulkhead::cli {
namespace {

// Longer inputs are cut: a line is for a glance.
constexpr size_t kLongestInput = 100;
// A step's progress is shown when it has grown by this.
constexpr double kProgressStep = 0.2;

std::string Text(const nlohmann::json& object, const char* key) {
  const auto value = object.find(key);
  return value != object.end() && value->is_string() ? Printable(value->get_ref<const std::string&>()) : "";
}

std::string ShortInput(const nlohmann::json& payload) {
  const auto input = payload.find("input");
  if (input == payload.end() || input->empty()) {
    return "";
  }
  // What tells most of the built-in tools' calls.
  std::string text;
  for (const char* key : {"sql", "file", "column", "table"}) {
    text = Text(*input, key);
    if (!text.empty()) {
      break;
    }
  }
  if (text.empty()) {
    text = Printable(input->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  if (text.size() > kLongestInput) {
    text.resize(kLongestInput);
    // Not in the middle of a character.
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0x80) != 0) {
      text.pop_back();
    }
    text += "...";
  }
  return text;
}

std::string ErrorText(const nlohmann::json& payload) {
  const auto error = payload.find("error");
  if (error == payload.end() || !error->is_object()) {
    return "";
  }
  return absl::StrCat(Text(*error, "reason"), ": ", Text(*error, "message"));
}

}  // namespace

EventPrinter::EventPrinter(Console* console, std::string who, Colour colour)
    : console_(console), who_(std::move(who)), colour_(colour) {}

void EventPrinter::Print(const nlohmann::json& frame) {
  if (console_->json()) {
    nlohmann::json line = frame;
    if (!who_.empty()) {
      line["user"] = who_;
    }
    console_->Json(line);
    return;
  }
  const auto event = frame.find("event");
  if (event != frame.end()) {
    PrintEvent(*event);
    return;
  }
  const auto gap = frame.find("gap");
  if (gap != frame.end()) {
    console_->Line(console_->Paint(
        Colour::kYellow, absl::StrCat("earlier events are gone; the log begins at ", gap->value("firstAvailable", 0))));
  }
}

void EventPrinter::PrintEvent(const nlohmann::json& event) {
  const std::string type = event.value("type", "");
  const nlohmann::json payload = event.value(PayloadKey(type), nlohmann::json::object());
  std::string what;
  Colour colour = Colour::kNone;
  if (type == "agent_started") {
    what = absl::StrCat(LastSegment(Text(event, "agent")), " ", Text(payload, "agentVersion"));
  } else if (type == "agent_thinking") {
    what = Text(payload, "text");
    colour = Colour::kBold;
  } else if (type == "tool_executing") {
    what = absl::StrCat(LastSegment(Text(payload, "tool")), " ", console_->Paint(Colour::kDim, ShortInput(payload)));
  } else if (type == "tool_progress") {
    if (!Noteworthy(payload)) {
      return;
    }
    const double fraction = payload.value("fraction", 0.0);
    what = absl::StrCat(LastSegment(Text(payload, "tool")), " ",
                        fraction >= 0 ? absl::StrFormat("%3.0f %% ", fraction * 100) : "", Text(payload, "message"));
    colour = Colour::kDim;
  } else if (type == "tool_completed") {
    const std::string error = ErrorText(payload);
    what = absl::StrCat(LastSegment(Text(payload, "tool")), " in ", ShortDuration(Text(payload, "duration")));
    if (!error.empty()) {
      absl::StrAppend(&what, ": ", error);
      colour = Colour::kRed;
    }
    for (const nlohmann::json& artifact : payload.value("artifacts", nlohmann::json::array())) {
      absl::StrAppend(&what, " -> ", Printable(PathOfFile(artifact.get_ref<const std::string&>())));
    }
  } else if (type == "approval_requested") {
    what = absl::StrCat(Text(payload, "question"), " (answer with `bulkhead approvals`)");
    colour = Colour::kYellow;
  } else if (type == "approval_resolved") {
    what = payload.value("allowed", false) ? "allowed" : "denied";
  } else if (type == "run_recovered") {
    what = absl::StrCat(payload.value("completedSteps", 0), " steps are in the journal");
    colour = Colour::kYellow;
  } else if (type == "agent_completed") {
    what = absl::StrCat(Text(payload, "summary"), " (", ShortDuration(Text(payload, "duration")), ")");
    colour = Colour::kGreen;
  } else if (type == "agent_failed") {
    what = ErrorText(payload);
    colour = Colour::kRed;
  } else if (type == "agent_cancelled") {
    what = absl::StrCat("by ", Text(payload, "cancelledBy"), " ", Text(payload, "comment"));
    colour = Colour::kYellow;
  } else if (type == "model_calling") {
    what = Text(payload, "model");
  } else if (type == "model_completed") {
    const std::string error = ErrorText(payload);
    what = absl::StrCat(Text(payload, "model"), " in ", ShortDuration(Text(payload, "duration")), ", ",
                        payload.value("inputTokens", 0) + payload.value("outputTokens", 0), " tokens");
    if (!error.empty()) {
      absl::StrAppend(&what, ": ", error);
      colour = Colour::kRed;
    }
  } else if (type == "model_delta") {
    what = Text(payload, "text");
    colour = Colour::kDim;
  }
  const uint64_t sequence = event.value("sequence", uint64_t{0});
  const std::string who =
      who_.empty() ? "" : absl::StrCat(console_->Paint(colour_, absl::StrFormat("%-6s", who_)), " ");
  const std::string number = sequence == 0 ? "    " : absl::StrFormat("%4d", sequence);
  console_->Line(absl::StrCat(who, console_->Paint(Colour::kDim, number), "  ",
                              console_->Paint(colour_, absl::StrFormat("%-18s", Printable(type))), " ",
                              console_->Paint(colour, what)));
}

bool EventPrinter::Noteworthy(const nlohmann::json& progress) {
  const double fraction = progress.value("fraction", 0.0);
  const auto [shown, first] = shown_progress_.try_emplace(progress.value("step", 0), 0.0);
  if (!first && (fraction < 0 || fraction < shown->second + kProgressStep)) {
    return false;
  }
  shown->second = fraction;
  return true;
}

std::string PayloadKey(std::string_view type) {
  std::string key;
  bool upper = false;
  for (const char c : type) {
    if (c == '_') {
      upper = true;
      continue;
    }
    key.push_back(upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
    upper = false;
  }
  return key;
}

std::string ShortDuration(const std::string& duration) {
  double seconds = 0;
  if (!absl::SimpleAtod(absl::StripSuffix(duration, "s"), &seconds)) {
    return "0 ms";
  }
  return seconds < 1 ? absl::StrFormat("%.0f ms", seconds * 1000) : absl::StrFormat("%.2f s", seconds);
}

}  // namespace bulkhead::cli
