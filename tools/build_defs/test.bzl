"""The one way to declare a C++ test."""

_REFUSED = ["flaky", "manual", "exclusive", "exclusive-if-local", "local", "no-sandbox", "requires-network", "external", "no-cache"]

# Bazel ends a test that takes longer: a hang is a failure within minutes, not a CI that never ends.
_TIMEOUTS = {"small": "short", "medium": "moderate", "large": "long"}

def bulkhead_cc_test(
        name,
        srcs,
        deps = [],
        size = "small",
        requirements = [],
        tags = [],
        data = [],
        args = [],
        env = {},
        copts = [],
        linkopts = [],
        defines = [],
        shard_count = None,
        timeout = None,
        target_compatible_with = None,
        main = "//testing/base:test_main",
        visibility = ["//visibility:private"]):
    """A GoogleTest test: sandboxed, without a network but its own loopback, cached, always part of //...

    Args:
      name: the target.
      srcs: its sources.
      deps: what it tests; GoogleTest and its main() are added.
      size: small (60 s), medium (300 s) or large (900 s).
      requirements: ids such as "AU-2" that the whole file is about; select them with
        --test_tag_filters=AU-2. A single test names its own with Covers({"AU-2"}).
      tags: other tags. Those that would take the test out of the sandbox, the cache or //... are refused.
      data: files it reads.
      args: arguments of its command line.
      env: its environment variables.
      copts: as in cc_test.
      linkopts: as in cc_test.
      defines: as local_defines in cc_test.
      shard_count: for a heavy suite.
      timeout: only to shorten what the size gives.
      target_compatible_with: for a test of what only some configurations build; the others skip it.
      main: the library with main(), or None if the sources have one.
      visibility: as in cc_test.
    """
    if size not in _TIMEOUTS:
        fail("%s: size must be one of %s" % (name, ", ".join(_TIMEOUTS.keys())))
    for tag in tags:
        if tag in _REFUSED:
            fail("%s: the tag '%s' is not allowed: every test runs in the sandbox, with others, with //..., and its result is cached. Mend the test instead." % (name, tag))
    native.cc_test(
        name = name,
        srcs = srcs,
        args = args,
        copts = copts,
        data = data,
        env = env,
        linkopts = linkopts,
        local_defines = defines,
        shard_count = shard_count,
        size = size,
        target_compatible_with = target_compatible_with,
        tags = ["block-network"] + requirements + tags,
        timeout = timeout or _TIMEOUTS[size],
        visibility = visibility,
        deps = deps + ["@googletest//:gtest"] + ([main] if main else []),
    )
