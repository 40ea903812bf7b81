#include "services/tool/builtin/builtin_tools.h"

#include <utility>

namespace bulkhead::tool {

std::vector<std::unique_ptr<Tool>> BuiltinTools(const BuiltinOptions& options) {
  std::vector<std::unique_ptr<Tool>> tools = TableTools(options);
  tools.push_back(ChartTool(options));
  for (std::unique_ptr<Tool>& tool : FileTools()) {
    tools.push_back(std::move(tool));
  }
  return tools;
}

}  // namespace bulkhead::tool
