// The web console's files, embedded in the program.
#ifndef SERVICES_GATEWAY_STATIC_PAGE_H_
#define SERVICES_GATEWAY_STATIC_PAGE_H_

#include <string_view>

namespace bulkhead::gateway {

struct StaticFile {
  std::string_view path;  // "/app.js"
  std::string_view content_type;
  std::string_view body;
};

// Null when there is none.
const StaticFile* FindStaticFile(std::string_view path);

}  // namespace bulkhead::gateway

#endif  // SERVICES_GATEWAY_STATIC_PAGE_H_
