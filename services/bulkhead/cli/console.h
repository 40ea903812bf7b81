// Where the commands write: for people, or for programs with --json.
#ifndef SERVICES_BULKHEAD_CLI_CONSOLE_H_
#define SERVICES_BULKHEAD_CLI_CONSOLE_H_

#include <cstdio>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "nlohmann/json_fwd.hpp"

namespace bulkhead::cli {

enum class Colour { kNone, kDim, kRed, kGreen, kYellow, kBlue, kMagenta, kCyan, kBold };

// With --json, standard output has nothing but JSON: one document, or one a line where a command streams. Thread-safe:
// a line is never torn.
class Console {
 public:
  // Both outlive the console.
  Console(std::FILE* out, std::FILE* err) : out_(out), err_(err) {}

  // Before the first output.
  void set_json(bool json) { json_ = json; }
  void set_colour(bool colour) { colour_ = colour; }
  bool json() const { return json_; }

  // For people, on standard output; nothing with --json.
  void Line(std::string_view text);
  // For people, on standard error: remarks that are no result. Nothing with --json.
  void Note(std::string_view text);
  // For programs, on a line of standard output; nothing without --json.
  void Json(const nlohmann::json& document);
  // On standard error, in either form: message, reason, and what its metadata say.
  void Error(const absl::Status& status);

  // `text` in `colour`, where the terminal shows colours.
  std::string Paint(Colour colour, std::string_view text) const;

 private:
  void Write(std::FILE* file, std::string_view text);

  std::FILE* out_;
  std::FILE* err_;
  bool json_ = false;
  bool colour_ = false;
  absl::Mutex mutex_;
};

// `text` without the control characters that could command a terminal: what users and files say is shown, not obeyed.
std::string Printable(std::string_view text);

}  // namespace bulkhead::cli

#endif  // SERVICES_BULKHEAD_CLI_CONSOLE_H_
