#!/bin/bash
# Durable steps of Restate, one node with its defaults:
#     tools/bazel run --config=bench //testing/bench:restate_peer
set -euo pipefail
cd "${RUNFILES_DIR:-$0.runfiles}"
exec npm/node bulkhead/testing/bench/restate_peer.mjs "$PWD/npm_durable_peers"
