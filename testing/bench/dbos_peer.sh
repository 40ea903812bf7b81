#!/bin/bash
# Durable steps of DBOS on PostgreSQL, both with their defaults:
#     tools/bazel run --config=bench //testing/bench:dbos_peer
set -euo pipefail
cd "${RUNFILES_DIR:-$0.runfiles}"
# Without the warning that DBOS uses a deprecated call of its database client.
exec npm/node --no-deprecation bulkhead/testing/bench/dbos_peer.mjs "$PWD/npm_durable_peers" "$PWD"/postgresql/lib/postgresql/*/bin
