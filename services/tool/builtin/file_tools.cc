// file.write, file.read, file.list.
#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "services/common/status/error.h"
#include "services/common/status/macros.h"
#include "services/tool/builtin/builtin_tools.h"

namespace bulkhead::tool {
namespace {

using Json = nlohmann::json;

absl::StatusOr<Json> WriteFile(ToolCall& call) {
  const std::string path = call.input().at("file");
  ASSIGN_OR_RETURN(const FileInfo info,
                   call.workspace().Write(path, call.input().at("text").get_ref<const std::string&>()));
  call.AddArtifact(path);
  return Json{{"file", path}, {"size_bytes", info.size}};
}

// Cuts off a character that the end of a piece has split. False when `text` is no UTF-8 before
// that.
bool TrimToUtf8(std::string& text) {
  size_t complete = 0;
  for (size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const size_t length = first < 0x80           ? 1
                          : (first >> 5) == 0x6  ? 2
                          : (first >> 4) == 0xE  ? 3
                          : (first >> 3) == 0x1E ? 4
                                                 : 0;
    if (length == 0 || first == 0) {
      return false;
    }
    for (size_t k = 1; k < std::min(length, text.size() - i); ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xC0) != 0x80) {
        return false;
      }
    }
    i += length;
    complete = i <= text.size() ? i : complete;
  }
  text.resize(complete);
  return true;
}

absl::StatusOr<Json> ReadFile(ToolCall& call) {
  const std::string path = call.input().at("file");
  const uint64_t offset = call.input().value("offset", uint64_t{0});
  ASSIGN_OR_RETURN(const std::unique_ptr<OpenFile> file, call.workspace().Open(path));
  std::string text(call.input().value("max_bytes", size_t{65536}), '\0');
  ASSIGN_OR_RETURN(const size_t count, file->ReadAt(offset, absl::MakeSpan(text.data(), text.size())));
  text.resize(count);
  if (!TrimToUtf8(text) || (text.empty() && count > 0)) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("'", path, "' is no UTF-8 text here; download it instead"),
                     {.domain = "bulkhead.tool", .reason = "FILE_NOT_TEXT", .metadata = {{"file", path}}});
  }
  const bool truncated = offset + text.size() < file->info().size;
  return Json{{"file", path},
              {"text", std::move(text)},
              {"size_bytes", file->info().size},
              {"offset", offset},
              {"truncated", truncated}};
}

absl::StatusOr<Json> ListFiles(ToolCall& call) {
  const size_t limit = call.input().value("max_files", size_t{200});
  // One more tells whether there are more.
  ASSIGN_OR_RETURN(const std::vector<FileInfo> files,
                   call.workspace().List(call.input().value("prefix", ""), /*after=*/"", limit + 1));
  Json list = Json::array();
  for (size_t i = 0; i < std::min(limit, files.size()); ++i) {
    list.push_back(
        {{"file", files[i].path},
         {"size_bytes", files[i].size},
         {"media_type", files[i].media_type},
         {"update_time", absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", files[i].update_time, absl::UTCTimeZone())}});
  }
  return Json{{"files", std::move(list)}, {"truncated", files.size() > limit}};
}

}  // namespace

std::vector<std::unique_ptr<Tool>> FileTools() {
  std::vector<std::unique_ptr<Tool>> tools;
  tools.push_back(MakeTool({.name = "file.write",
                            .description = "Writes a text file into your workspace, and replaces what had its name.",
                            .input_schema =
                                R"({"type": "object", "additionalProperties": false, "required": ["file", "text"],
         "properties": {"file": {"type": "string", "description": "Its path, as \"reports/sales.md\"."},
                        "text": {"type": "string"}}})",
                            .output_schema = R"({"type": "object", "required": ["file", "size_bytes"],
         "properties": {"file": {"type": "string"}, "size_bytes": {"type": "integer"}}})",
                            .repeat_policy = RepeatPolicy::kIdempotent,
                            .timeout = absl::Minutes(1),
                            .tags = {"file"}},
                           WriteFile));
  tools.push_back(MakeTool({.name = "file.read",
                            .description = "Reads a piece of a text file of your workspace.",
                            .input_schema = R"({"type": "object", "additionalProperties": false, "required": ["file"],
         "properties": {"file": {"type": "string"},
                        "offset": {"type": "integer", "minimum": 0, "description": "In bytes; 0 when absent."},
                        "max_bytes": {"type": "integer", "minimum": 1, "maximum": 262144, "description": "65536 when absent."}}})",
                            .output_schema =
                                R"({"type": "object", "required": ["file", "text", "size_bytes", "offset", "truncated"],
         "properties": {"file": {"type": "string"}, "text": {"type": "string"}, "size_bytes": {"type": "integer"},
                        "offset": {"type": "integer"}, "truncated": {"type": "boolean"}}})",
                            .repeat_policy = RepeatPolicy::kSafe,
                            .timeout = absl::Minutes(1),
                            .tags = {"file"}},
                           ReadFile));
  tools.push_back(MakeTool({.name = "file.list",
                            .description = "Lists the files of your workspace, by path.",
                            .input_schema = R"({"type": "object", "additionalProperties": false,
         "properties": {"prefix": {"type": "string", "description": "Only paths that begin so."},
                        "max_files": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "200 when absent."}}})",
                            .output_schema = R"({"type": "object", "required": ["files", "truncated"],
         "properties": {"truncated": {"type": "boolean"},
                        "files": {"type": "array", "items": {"type": "object",
                          "required": ["file", "size_bytes", "media_type", "update_time"],
                          "properties": {"file": {"type": "string"}, "size_bytes": {"type": "integer"},
                                         "media_type": {"type": "string"}, "update_time": {"type": "string"}}}}}})",
                            .repeat_policy = RepeatPolicy::kSafe,
                            .timeout = absl::Minutes(1),
                            .tags = {"file"}},
                           ListFiles));
  return tools;
}

}  // namespace bulkhead::tool
