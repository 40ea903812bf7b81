// The tables of the agent service's own data.
#ifndef SERVICES_AGENT_RUN_SCHEMA_H_
#define SERVICES_AGENT_RUN_SCHEMA_H_

#include "services/common/storage/database.h"

namespace bulkhead::agent {

// Runs, journals, approvals and the outbox.
extern const storage::Migration kRunTables;
// Runs that are held back, and runs that other runs have started.
extern const storage::Migration kRunRelations;
// Why a run was cancelled that nobody cancelled.
extern const storage::Migration kRunCancelReason;
// Which version of a definition a run executes, and the roles of its user.
extern const storage::Migration kRunDefinitions;
// What each step of a run changes, apart from the rest of the run.
extern const storage::Migration kRunProgress;
// What model calls have used: of each run, and of each user of late.
extern const storage::Migration kModelUsageTables;
// The request ids of decisions.
extern const storage::Migration kDecisionRequests;
// Threads, and what runs have to do with them.
extern const storage::Migration kThreadTables;

}  // namespace bulkhead::agent

#endif  // SERVICES_AGENT_RUN_SCHEMA_H_
