#!/bin/bash
# Durable steps on our engine, on Restate and on DBOS, one after another, on one machine in one run:
#     tools/bazel run --config=bench //testing/bench:durable_peers
set -euo pipefail
cd "${RUNFILES_DIR:-$0.runfiles}"
export RUNFILES_DIR=$PWD
cd bulkhead/testing/bench
echo "Bulkhead's engine on SQLite"
echo "  durable: a step is committed (fsync, synchronous=FULL) before the run goes on"
./engine_benchmark steps latency
./restate_peer
./dbos_peer
