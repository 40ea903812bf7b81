// The tables of the auth service.
#ifndef SERVICES_AUTH_SCHEMA_H_
#define SERVICES_AUTH_SCHEMA_H_

#include <vector>

#include "services/common/storage/database.h"

namespace bulkhead::auth {

// For storage::Database::Options.
std::vector<storage::Migration> Migrations();

}  // namespace bulkhead::auth

#endif  // SERVICES_AUTH_SCHEMA_H_
