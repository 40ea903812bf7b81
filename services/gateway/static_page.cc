#include "services/gateway/static_page.h"

namespace bulkhead::gateway {
namespace {

constexpr StaticFile kFiles[] = {
    {.path = "/", .content_type = "text/html; charset=utf-8", .body =
#include "services/gateway/web/index.html.inc"
    },
    {.path = "/app.js", .content_type = "text/javascript; charset=utf-8", .body =
#include "services/gateway/web/app.js.inc"
    },
    {.path = "/app.css", .content_type = "text/css; charset=utf-8", .body =
#include "services/gateway/web/app.css.inc"
    },
};

}  // namespace

const StaticFile* FindStaticFile(std::string_view path) {
  for (const StaticFile& file : kFiles) {
    if (file.path == path) {
      return &file;
    }
  }
  return nullptr;
}

}  // namespace bulkhead::gateway
