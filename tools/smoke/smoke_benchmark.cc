// The benchmark library links and runs.
#include "benchmark/benchmark.h"

namespace {

void Nothing(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(state.iterations());
  }
}
BENCHMARK(Nothing);

}  // namespace
