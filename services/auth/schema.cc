#include "services/auth/schema.h"

#include <vector>

namespace bulkhead::auth {

std::vector<storage::Migration> Migrations() {
  return {
      {.name = "users, sessions, keys, roles, audit", .statements = R"sql(
CREATE TABLE users (
  id TEXT PRIMARY KEY,
  login TEXT NOT NULL UNIQUE,
  display_name TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  disabled INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  request_id TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE user_roles (
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  PRIMARY KEY (user_id, role)
) WITHOUT ROWID;
CREATE INDEX user_roles_by_role ON user_roles (role);

CREATE TABLE roles (
  id TEXT PRIMARY KEY,
  permissions TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE sessions (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  refreshed_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER,
  client TEXT NOT NULL,
  address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id, created_at, id);

CREATE TABLE refresh_tokens (
  hash BLOB PRIMARY KEY,
  session_id TEXT NOT NULL,
  used INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

CREATE TABLE signing_keys (
  id TEXT PRIMARY KEY,
  algorithm TEXT NOT NULL,
  sealed BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit_records (
  sequence INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  user TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  resource TEXT NOT NULL,
  allowed INTEGER NOT NULL,
  reason TEXT NOT NULL,
  request_id TEXT NOT NULL,
  address TEXT NOT NULL,
  hash BLOB NOT NULL
);
CREATE INDEX audit_records_by_user ON audit_records (user, sequence);

CREATE TABLE audit_head (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  sealed BLOB NOT NULL
);
)sql"},
      {.name = "sessions: device and method; audit: details", .statements = R"sql(
ALTER TABLE sessions ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN method TEXT NOT NULL DEFAULT 'password';
ALTER TABLE audit_records ADD COLUMN details TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_records_by_action ON audit_records (action, sequence);
)sql"},
      {.name = "revocations", .statements = R"sql(
CREATE TABLE revocations (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  session TEXT NOT NULL,
  key TEXT NOT NULL,
  reason TEXT NOT NULL
);
CREATE INDEX revocations_by_end ON revocations (expires_at);
)sql"},
      {.name = "failed sign-ins", .statements = R"sql(
CREATE TABLE sign_in_failures (
  key BLOB PRIMARY KEY,
  count INTEGER NOT NULL,
  last INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sign_in_failures_by_last ON sign_in_failures (last);
)sql"},
      {.name = "identities at OpenID providers", .statements = R"sql(
CREATE TABLE identities (
  id TEXT PRIMARY KEY,
  user_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  subject TEXT NOT NULL,
  email TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  UNIQUE (provider, subject)
) WITHOUT ROWID;
CREATE INDEX identities_by_user ON identities (user_id, created_at, id);

CREATE TABLE provider_sign_ins (
  state_hash BLOB PRIMARY KEY,
  provider TEXT NOT NULL,
  redirect_uri TEXT NOT NULL,
  sealed BLOB NOT NULL,
  link_user TEXT NOT NULL,
  link_session TEXT NOT NULL,
  device TEXT NOT NULL,
  address TEXT NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX provider_sign_ins_by_end ON provider_sign_ins (expires_at);
CREATE INDEX provider_sign_ins_by_address ON provider_sign_ins (address, expires_at);
)sql"},
      {.name = "signing keys: when they were revoked", .statements = R"sql(
ALTER TABLE signing_keys ADD COLUMN revoked_at INTEGER;
UPDATE signing_keys SET revoked_at = created_at, sealed = x'' WHERE revoked;
)sql"},
      {.name = "signing keys: published before they sign", .statements = R"sql(
ALTER TABLE signing_keys ADD COLUMN signs_since INTEGER;
UPDATE signing_keys SET signs_since = created_at;
)sql"},
  };
}

}  // namespace bulkhead::auth
