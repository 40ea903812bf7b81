// Server-sent events, as https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream reads them.
#ifndef SERVICES_AGENT_MODELS_SSE_READER_H_
#define SERVICES_AGENT_MODELS_SSE_READER_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace bulkhead::agent {

// Takes a stream in pieces cut anywhere and gives the data of each event. Names, ids and retry times of events are passed over. An event that the end of the
// stream cuts off is none. Not thread-safe.
class SseReader {
 public:
  // Of one event, its lines together.
  explicit SseReader(size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}

  // The first error of `on_data`, after which nothing more may be fed; or RESOURCE_EXHAUSTED when an event, or a line, is larger than it may be. That one
  // carries no reason: the caller knows whose stream it is.
  absl::Status Feed(std::string_view piece, absl::FunctionRef<absl::Status(std::string_view data)> on_data);

 private:
  absl::Status EndLine(absl::FunctionRef<absl::Status(std::string_view)> on_data);

  const size_t max_event_bytes_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool first_line_ = true;
  bool after_cr_ = false;  // A line feed now belongs to the line that has ended.
};

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_MODELS_SSE_READER_H_
