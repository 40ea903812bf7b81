#include "services/bulkhead/cli/definition_file.h"

#include <fstream>
#include <iostream>
#include <sstream>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "bulkhead/agent/v1/agent_service.pb.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "services/bulkhead/cli/remote.h"
#include "services/common/status/macros.h"

namespace bulkhead::cli {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

absl::StatusOr<std::string> ReadAll(const std::string& file) {
  std::ifstream local;
  if (file != "-") {
    local.open(file, std::ios::binary);
  }
  std::istream& in = file == "-" ? std::cin : local;
  std::string text(kMaxBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (in.bad() || (file != "-" && !local.is_open())) {
    return InputInvalid(absl::StrCat(file, " cannot be read"));
  }
  if (text.size() > kMaxBytes) {
    return InputInvalid(absl::StrCat(file, " has more than ", kMaxBytes, " bytes"));
  }
  return text;
}

// Keeps the first thing that is wrong.
class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void RecordError(int line, google::protobuf::io::ColumnNumber column, absl::string_view message) override {
    if (what_.empty()) {
      what_ = absl::StrCat("line ", line + 1, ", column ", column + 1, ": ", message);
    }
  }
  const std::string& what() const { return what_; }

 private:
  std::string what_;
};

}  // namespace

absl::StatusOr<nlohmann::json> ReadDefinition(const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, ReadAll(file));
  agent::v1::Agent definition;
  if (absl::StripLeadingAsciiWhitespace(text).starts_with('{')) {
    if (absl::Status parsed = google::protobuf::util::JsonStringToMessage(text, &definition); !parsed.ok()) {
      return InputInvalid(absl::StrCat(file, " is not the JSON of a definition: ", parsed.message()));
    }
  } else {
    google::protobuf::TextFormat::Parser parser;
    FirstError error;
    parser.RecordErrorsTo(&error);
    if (!parser.ParseFromString(text, &definition)) {
      return InputInvalid(absl::StrCat(file, " is not the textproto of a definition: ", error.what()));
    }
  }
  std::string json;
  if (absl::Status printed = google::protobuf::util::MessageToJsonString(definition, &json); !printed.ok()) {
    return InputInvalid(absl::StrCat(file, ": ", printed.message()));
  }
  return nlohmann::json::parse(json);
}

}  // namespace bulkhead::cli
