#include "services/agent/run_schema.h"

#include <string_view>

namespace bulkhead::agent {
namespace {

constexpr std::string_view kSchema = R"sql(
CREATE TABLE runs (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  session TEXT NOT NULL,
  agent TEXT NOT NULL,
  agent_version TEXT NOT NULL,
  state INTEGER NOT NULL,
  input TEXT NOT NULL,
  answer TEXT,
  error TEXT,
  create_time INTEGER NOT NULL,
  start_time INTEGER,
  end_time INTEGER,
  deadline INTEGER NOT NULL,
  steps INTEGER NOT NULL DEFAULT 0,
  recoveries INTEGER NOT NULL DEFAULT 0,
  timing TEXT NOT NULL DEFAULT '[]',
  epoch INTEGER NOT NULL DEFAULT 0,
  sealed_token BLOB NOT NULL,
  traceparent TEXT NOT NULL,
  request_id TEXT,
  last_sequence INTEGER NOT NULL DEFAULT 0,
  cancelled_by TEXT NOT NULL DEFAULT '',
  cancel_comment TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX runs_by_request ON runs (owner, request_id);
CREATE INDEX runs_by_owner ON runs (owner, key);
CREATE INDEX runs_unfinished ON runs (state, owner) WHERE state <= 4;

-- Appended to, never changed: one global sequence and a secondary index are several times faster than a (run, ...) key.
CREATE TABLE journal (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL,
  path TEXT NOT NULL,
  step INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  command TEXT NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX journal_by_run ON journal (run);

-- What the notifier does not have yet. AUTOINCREMENT: a key is never used again, so the relay's checkpoint outlives trimming.
CREATE TABLE outbox (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  event BLOB NOT NULL
);

CREATE TABLE approvals (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  run INTEGER NOT NULL,
  path TEXT NOT NULL,
  step INTEGER NOT NULL,
  command TEXT NOT NULL,
  question TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,
  call_hash BLOB NOT NULL,
  create_time INTEGER NOT NULL,
  expire_time INTEGER NOT NULL,
  verdict INTEGER NOT NULL DEFAULT 0,
  comment TEXT NOT NULL DEFAULT '',
  edited_arguments TEXT,
  decided_by TEXT NOT NULL DEFAULT '',
  decide_time INTEGER
);
CREATE UNIQUE INDEX approvals_by_run ON approvals (run, path);
)sql";

}  // namespace

constexpr std::string_view kRelations = R"sql(
ALTER TABLE runs ADD COLUMN interrupt_time INTEGER;
ALTER TABLE runs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_by_parent ON runs (parent) WHERE parent <> '';
CREATE INDEX runs_by_end ON runs (end_time) WHERE end_time IS NOT NULL;
)sql";

const storage::Migration kRunCancelReason = {
    .name = "why a run was cancelled that nobody cancelled",
    .statements = "ALTER TABLE runs ADD COLUMN cancel_reason TEXT NOT NULL DEFAULT ''"};

const storage::Migration kRunDefinitions = {.name = "run_definitions", .statements = R"sql(
ALTER TABLE runs ADD COLUMN definition INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN roles TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_by_definition ON runs (definition) WHERE definition <> 0;
)sql"};

// What each step of a run changes lies apart from what a run is: a narrow row, so that a commit of many runs' steps
// writes few pages, whatever their inputs and tokens weigh.
constexpr std::string_view kProgress = R"sql(
CREATE TABLE run_progress (
  run INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL DEFAULT 0,
  steps INTEGER NOT NULL DEFAULT 0,
  last_sequence INTEGER NOT NULL DEFAULT 0,
  timing TEXT NOT NULL DEFAULT '[]'
);
INSERT INTO run_progress (run, epoch, steps, last_sequence, timing)
  SELECT key, epoch, steps, last_sequence, timing FROM runs;
ALTER TABLE runs DROP COLUMN epoch;
ALTER TABLE runs DROP COLUMN steps;
ALTER TABLE runs DROP COLUMN last_sequence;
ALTER TABLE runs DROP COLUMN timing;
)sql";
const storage::Migration kThreadTables = {.name = "threads", .statements = R"sql(
CREATE TABLE threads (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  title TEXT NOT NULL,
  busy_policy INTEGER NOT NULL,
  create_time INTEGER NOT NULL,
  request_id TEXT
);
CREATE UNIQUE INDEX threads_by_request ON threads (owner, request_id);
CREATE INDEX threads_by_owner ON threads (owner, key);
ALTER TABLE runs ADD COLUMN thread TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN waits_for TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN held_by TEXT NOT NULL DEFAULT '';
CREATE INDEX runs_by_thread ON runs (thread, key) WHERE thread <> '';
CREATE INDEX runs_by_waits_for ON runs (waits_for) WHERE waits_for <> '';
CREATE INDEX runs_by_held_by ON runs (held_by) WHERE held_by <> '';
)sql"};

// By which a person's answer that is sent again is known.
const storage::Migration kDecisionRequests = {
    .name = "decision_requests",
    .statements = "ALTER TABLE approvals ADD COLUMN decision_request_id TEXT NOT NULL DEFAULT ''"};

const storage::Migration kRunTables = {.name = "runs", .statements = kSchema};
const storage::Migration kRunRelations = {.name = "run_relations", .statements = kRelations};
const storage::Migration kRunProgress = {.name = "run_progress", .statements = kProgress};

// A run's count is with the run; its user's outlives it.
const storage::Migration kModelUsageTables = {.name = "model_usage", .statements = R"sql(
ALTER TABLE runs ADD COLUMN model_tokens INTEGER NOT NULL DEFAULT 0;
CREATE TABLE model_usage (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  owner TEXT NOT NULL,
  time INTEGER NOT NULL,
  tokens INTEGER NOT NULL
);
CREATE INDEX model_usage_by_owner ON model_usage (owner, time);
)sql"};

}  // namespace bulkhead::agent
