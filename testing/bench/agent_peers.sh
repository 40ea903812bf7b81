#!/bin/bash
# The graph "one model call, three tools" on our engine, durable, and on LangGraph JS, in memory, one after another, on one
# machine in one run:
#     tools/bazel run --config=bench //testing/bench:agent_peers
set -euo pipefail
cd "${RUNFILES_DIR:-$0.runfiles}"
bulkhead/testing/bench/engine_benchmark graph "$@"
npm/node bulkhead/testing/bench/agent_peers.mjs "$PWD/npm_peers"
