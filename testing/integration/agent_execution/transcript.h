// What a user sees of the platform, written down so that two users' can be compared line by line.
#ifndef TESTING_INTEGRATION_AGENT_EXECUTION_TRANSCRIPT_H_
#define TESTING_INTEGRATION_AGENT_EXECUTION_TRANSCRIPT_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"

namespace google::protobuf {
class Message;
}

namespace bulkhead::testing {

// All that is in an answer, without what differs by design each time: page tokens, and the blanks in Protobuf's messages.
std::string Told(const absl::Status& status);
std::string Told(const google::protobuf::Message& seen);
std::string Told(const nlohmann::json& seen);
template <typename T>
std::string Told(const absl::StatusOr<T>& answer) {
  return answer.ok() ? Told(*answer) : Told(answer.status());
}

// Random ids are replaced by the order in which they came up. For one thread.
class Transcript {
 public:
  void Write(std::string_view what, std::string_view seen);
  // The text as it would be written.
  std::string Anonymous(std::string text);
  // From here on `id`, which is not the user's, is written as `alias`.
  void Alias(std::string_view id, std::string_view alias);

  const std::vector<std::string>& lines() const { return lines_; }
  // The random ids that came up, as they were.
  const std::vector<std::string>& ids() const { return ids_; }

 private:
  std::map<std::string, std::string> aliases_;
  std::vector<std::string> lines_;
  std::vector<std::string> ids_;
};

}  // namespace bulkhead::testing

#endif  // TESTING_INTEGRATION_AGENT_EXECUTION_TRANSCRIPT_H_
