"""The upstream labels of Abseil, each an alias of the one library."""

_TARGETS = {
    "algorithm": ["algorithm", "container"],
    "base": ["atomic_hook", "base", "config", "core_headers", "dynamic_annotations", "endian", "fast_type_id", "log_severity", "no_destructor", "nullability", "prefetch", "raw_logging_internal", "iterator_traits"],
    "cleanup": ["cleanup"],
    "container": ["btree", "fixed_array", "flat_hash_map", "flat_hash_set", "hash_container_defaults", "inlined_vector", "linked_hash_map", "linked_hash_set", "node_hash_map", "node_hash_set", "chunked_queue"],
    "crc": ["crc32c"],
    "debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "flags": ["commandlineflag", "config", "flag", "marshalling", "parse", "reflection", "usage"],
    "functional": ["any_invocable", "bind_front", "function_ref", "overload"],
    "hash": ["hash", "weakly_mixed_integer"],
    "log": ["absl_check", "absl_log", "absl_vlog_is_on", "check", "die_if_null", "flags", "globals", "initialize", "log", "log_entry", "log_sink", "log_sink_registry", "log_streamer", "structured", "vlog_is_on"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128", "representation"],
    "profiling": [],
    "random": ["bit_gen_ref", "distributions", "random", "seed_gen_exception", "seed_sequences"],
    "status": ["status", "statusor"],
    "strings": ["charset", "cord", "has_ostream_operator", "str_format", "string_view", "strings", "resize_and_overwrite"],
    "synchronization": ["synchronization"],
    "time": ["clock_interface", "time"],
    "types": ["any", "any_span", "bad_any_cast", "bad_optional_access", "bad_variant_access", "compare", "optional", "optional_ref", "source_location", "span", "variant"],
    "utility": ["if_constexpr", "utility"],
}

_TESTONLY = {
    "log": {"scoped_mock_log": "//:scoped_mock_log"},
    "status": {"status_matchers": "//:status_matchers"},
}

def absl_aliases(package):
    for target in _TARGETS[package]:
        native.alias(name = target, actual = "//:absl", visibility = ["//visibility:public"])
    for target, actual in _TESTONLY.get(package, {}).items():
        native.alias(name = target, actual = actual, visibility = ["//visibility:public"], testonly = True)

ABSL_PACKAGES = _TARGETS.keys()
