#include "services/agent/models/sse_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "services/common/status/macros.h"

namespace bulkhead::agent {

absl::Status SseReader::Feed(std::string_view piece, absl::FunctionRef<absl::Status(std::string_view)> on_data) {
  while (!piece.empty()) {
    if (std::exchange(after_cr_, false) && piece.front() == '\n') {
      piece.remove_prefix(1);
      continue;
    }
    const size_t end = piece.find_first_of("\r\n");
    const std::string_view part = piece.substr(0, end);
    if (line_.size() + data_.size() + part.size() > max_event_bytes_) {
      return absl::ResourceExhaustedError(absl::StrCat("an event has more than ", max_event_bytes_, " bytes"));
    }
    line_.append(part);
    if (end == std::string_view::npos) {
      break;
    }
    after_cr_ = piece[end] == '\r';
    piece.remove_prefix(end + 1);
    RETURN_IF_ERROR(EndLine(on_data));
  }
  return absl::OkStatus();
}

absl::Status SseReader::EndLine(absl::FunctionRef<absl::Status(std::string_view)> on_data) {
  std::string_view line = line_;
  if (std::exchange(first_line_, false)) {
    line = absl::StripPrefix(line, "\xEF\xBB\xBF");
  }
  if (line.empty()) {
    if (!std::exchange(has_data_, false)) {
      line_.clear();
      return absl::OkStatus();
    }
    line_.clear();
    const std::string data = std::exchange(data_, "");
    return on_data(data);
  }
  const size_t colon = line.find(':');
  if (line.substr(0, colon) == "data") {
    std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    absl::ConsumePrefix(&value, " ");
    if (std::exchange(has_data_, true)) {
      data_.push_back('\n');
    }
    data_.append(value);
  }
  line_.clear();
  return absl::OkStatus();
}

}  // namespace bulkhead::agent
