#include "services/common/json/untrusted_json.h"

#include <algorithm>

#include "nlohmann/json.hpp"

namespace bulkhead {
namespace {

// How many brackets are open at once. Exact for JSON; for other texts, whatever it is, the parser
// has the last word.
int DepthOf(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '"':
        in_string = !in_string;
        break;
      case '\\':
        ++i;  // Only strings have it: the next character ends none.
        break;
      case '[':
      case '{':
        deepest = std::max(deepest, depth += in_string ? 0 : 1);
        break;
      case ']':
      case '}':
        depth -= in_string ? 0 : 1;
        break;
      default:
        break;
    }
  }
  return deepest;
}

}  // namespace

nlohmann::json ParseUntrustedJson(std::string_view text) {
  if (DepthOf(text) > kMaxJsonDepth) {
    return nlohmann::json(nlohmann::json::value_t::discarded);
  }
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

}  // namespace bulkhead
