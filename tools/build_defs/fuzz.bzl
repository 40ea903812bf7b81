"""Fuzz tests: libFuzzer under --config=fuzz, a replay of the corpus otherwise."""

load(":test.bzl", "bulkhead_cc_test")

def bulkhead_cc_fuzz_test(name, srcs, deps = [], corpus = [], size = "small", visibility = ["//visibility:private"]):
    """A test whose source has LLVMFuzzerTestOneInput.

    In every usual configuration it runs once over each file of its corpus, as one test case a file: an input that once
    broke something is kept there. With --config=fuzz it is a libFuzzer program, which finds new ones:

        tools/bazel build --config=fuzz //tools/smoke:fuzz_smoke_test
        BULKHEAD_EXEC=bazel-bin/tools/smoke/fuzz_smoke_test tools/bazel -max_total_time=60 FOLDER

    Args:
      name: the target.
      srcs: its sources.
      deps: what it feeds.
      corpus: input files.
      size: as in bulkhead_cc_test.
      visibility: as in bulkhead_cc_test.
    """
    bulkhead_cc_test(
        name = name,
        srcs = srcs,
        args = select({
            "//tools/build_defs:libfuzzer": ["-runs=0"],
            "//conditions:default": [],
        }) + ["$(rootpaths %s)" % file for file in corpus],
        data = corpus,
        linkopts = select({
            "//tools/build_defs:libfuzzer": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        main = None,
        size = size,
        visibility = visibility,
        deps = deps + select({
            "//tools/build_defs:libfuzzer": [],
            "//conditions:default": ["//tools/build_defs:fuzz_replay"],
        }),
    )
