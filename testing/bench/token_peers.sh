#!/bin/bash
# Our token benchmark and those of jose and fast-jwt one after another, on one machine in one run:
#     tools/bazel run -c opt //testing/bench:token_peers
set -euo pipefail
cd "${RUNFILES_DIR:-$0.runfiles}"
bulkhead/testing/bench/token_benchmark --benchmark_min_time=0.1s --benchmark_repetitions=7 --benchmark_enable_random_interleaving=true \
  --benchmark_report_aggregates_only=true "$@"
npm/node bulkhead/testing/bench/token_peers.mjs "$PWD/npm"
