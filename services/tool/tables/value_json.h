// Values of SQL as JSON.
#ifndef SERVICES_TOOL_TABLES_VALUE_JSON_H_
#define SERVICES_TOOL_TABLES_VALUE_JSON_H_

#include "nlohmann/json_fwd.hpp"
#include "services/common/storage/connection.h"

namespace bulkhead::tool {

// A blob becomes its bytes in hexadecimal, as SQLite's hex() writes them.
nlohmann::json ToJson(const storage::Value& value);
// An array or object becomes its JSON text; true and false 1 and 0.
storage::Value FromJson(const nlohmann::json& json);

}  // namespace bulkhead::tool

#endif  // SERVICES_TOOL_TABLES_VALUE_JSON_H_
