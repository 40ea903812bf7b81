// The tools that come with the platform. docs/tools.md is their reference.
#ifndef SERVICES_TOOL_BUILTIN_BUILTIN_TOOLS_H_
#define SERVICES_TOOL_BUILTIN_BUILTIN_TOOLS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/tool/tool.h"

namespace bulkhead::tool {

struct BuiltinOptions {
  std::string tables_dir;        // <user>.db is made here.
  uint64_t max_table_bytes = 0;  // Of each user.
};

// All of them.
std::vector<std::unique_ptr<Tool>> BuiltinTools(const BuiltinOptions& options);

// By family: table.load, .profile, .query, .list, .drop; chart.render; file.write, .read, .list.
std::vector<std::unique_ptr<Tool>> TableTools(const BuiltinOptions& options);
std::unique_ptr<Tool> ChartTool(const BuiltinOptions& options);
std::vector<std::unique_ptr<Tool>> FileTools();

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_BUILTIN_BUILTIN_TOOLS_H_
