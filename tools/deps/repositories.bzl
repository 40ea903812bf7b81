"""All external repositories. Their names and labels are those of the Bazel Central Registry."""

load("//tools/lint:sources.bzl", "lint_sources_repository")
load("//tools/npm:npm.bzl", "npm_repository")
load(":deb.bzl", "deb_repository", "deb_source_repository")
load(":overlays/absl_aliases.bzl", "ABSL_PACKAGES")

# Rule sets that Debian packages beside Bazel.
_RULE_SETS = {
    "bazel_features": "tools/features",
    "bazel_skylib": "tools/skylib",
    "platforms": "platforms/platforms",
    "rules_cc": "rules/cc",
    "rules_java": "rules/java",
    "rules_license": "rules/license",
    "rules_proto": "rules/proto",
    "rules_python": "rules/python",
}

def _deb(name, debs, **kwargs):
    deb_repository(name = name, debs = debs, build_file = "//tools/deps:overlays/%s.BUILD" % name, **kwargs)

def bulkhead_repositories():
    """Declares every external repository of the workspace."""
    for name, path in _RULE_SETS.items():
        native.local_repository(name = name, path = "/usr/share/bazel/" + path)

    lint_sources_repository(name = "lint_sources")

    npm_repository(
        name = "npm",
        lock = "//tools/npm:package-lock.json",
        package = "//tools/npm:package.json",
        packages = ["fast-jwt", "jose", "oidc-provider"],
    )

    # Apart, so that tests do not fetch what only a benchmark needs.
    npm_repository(
        name = "npm_peers",
        lock = "//tools/npm/peers:package-lock.json",
        package = "//tools/npm/peers:package.json",
        packages = ["langgraph"],
    )

    # Apart once more: a quarter of a gigabyte.
    npm_repository(
        name = "npm_durable_peers",
        lock = "//tools/npm/durable_peers:package-lock.json",
        package = "//tools/npm/durable_peers:package.json",
        packages = ["dbos", "restate"],
    )

    # Apart, so that no other test carries it along.
    npm_repository(
        name = "npm_lint",
        lock = "//tools/npm/lint:package-lock.json",
        package = "//tools/npm/lint:package.json",
        packages = ["buildifier"],
    )

    _deb(
        "abseil-cpp",
        ["libabsl-dev", "libabsl20260526"],
        overlays = {"aliases.bzl": "//tools/deps:overlays/absl_aliases.bzl"},
        post = [
            # What needs GoogleTest must not be linked into everything.
            "mkdir -p lib/testonly; for f in lib/libabsl_*test*.a lib/libabsl_scoped_mock_log*.a lib/libabsl_status_matchers*.a lib/libabsl_spy*.a; do mv $f lib/testonly/; done",
            "for d in %s; do mkdir -p absl/$d; echo \"load('//:aliases.bzl', 'absl_aliases')\" >absl/$d/BUILD.bazel; echo \"absl_aliases('$d')\" >>absl/$d/BUILD.bazel; done" % " ".join(ABSL_PACKAGES),
        ],
    )
    _deb("re2", ["libre2-dev", "libre2-11"])
    _deb("c-ares", ["libc-ares-dev", "libcares2"])
    _deb("zlib", ["zlib1g-dev", "zlib1g"])
    _deb("openssl", ["libssl-dev", "libssl3t64", "libzstd-dev", "libzstd1"])
    _deb(
        "com_google_protobuf",
        ["libprotobuf-dev", "libprotobuf36", "libutf8-range-dev", "libutf8-range0", "libutf8-validity-dev", "libutf8-validity0"],
    )
    _deb("grpc", ["libgrpc++-dev", "libgrpc-dev", "libgrpc++1.83", "libgrpc56", "libupb-dev", "libupb56"])
    _deb("googletest", ["googletest"])
    _deb("google_benchmark", ["libbenchmark-dev", "libbenchmark1.9.1"])
    _deb(
        "boost",
        ["libboost1.92-dev"],
        post = [
            # Asio, Beast and what they include: an eighth of the whole.
            "mv include/boost all; mkdir include/boost; mv all/*.hpp include/boost/",
            "for d in align asio assert beast bind compat config container_hash core describe detail endian exception intrusive io logic move mp11 optional preprocessor smart_ptr static_string system type_traits utility variant2; do mv all/$d include/boost/; done",
            # TLS over OpenSSL lies apart: only services/common/http may see it.
            "mkdir -p ssl/boost/asio; mv include/boost/asio/ssl include/boost/asio/ssl.hpp ssl/boost/asio/",
            "rm -rf all include/boost/beast/ssl include/boost/beast/ssl.hpp include/boost/beast/websocket/ssl.hpp",
            "echo '#include <boost/asio/impl/src.hpp>' >asio_src.cc",
            "echo '#include <boost/asio/ssl/impl/src.hpp>' >asio_ssl_src.cc",
            "echo '#include <boost/beast/src.hpp>' >beast_src.cc",
        ],
    )
    _deb("sqlite3", ["libsqlite3-dev", "libsqlite3-0"])
    _deb("nlohmann_json", ["nlohmann-json3-dev"])
    _deb("jsoncons", ["libjsoncons-dev"])
    _deb("libcsv", ["libcsv-dev"])
    _deb("cli11", ["libcli11-dev"])
    _deb(
        "googleapis",
        ["python3-googleapis-common-protos"],
        overlays = {"google/rpc/BUILD.bazel": "//tools/deps:overlays/googleapis_rpc.BUILD"},
        post = ["mv root/usr/lib/python3/dist-packages/google/rpc/{status,error_details,code}.proto google/rpc/"],
    )

    # The compilers of protos run with just the libraries they need beside them.
    _deb(
        "protoc_tools",
        [
            "libabsl20260526",
            "libcares2",
            "libgrpc++1.83",
            "libgrpc56",
            "libprotobuf36",
            "libprotoc36",
            "libre2-11",
            "libssl3t64",
            "libupb56",
            "libutf8-range0",
            "libutf8-validity0",
            "libzstd1",
            "protobuf-compiler",
            "protobuf-compiler-grpc",
            "zlib1g",
        ],
        overlays = {"prebuilt_tool.bzl": "//tools/deps:overlays/prebuilt_tool.bzl"},
        post = [
            "for b in protoc grpc_cpp_plugin; do cp -L bin/$b $b; done; rm -rf bin; mkdir bin; mv protoc grpc_cpp_plugin bin/",
            "patchelf --force-rpath --set-rpath '$ORIGIN/../lib' bin/protoc bin/grpc_cpp_plugin",
            "need=$(LD_LIBRARY_PATH=$PWD/lib ldd bin/protoc bin/grpc_cpp_plugin | awk 'NF >= 3 { print $1 }' | sort -u)",
            "mkdir keep; for n in $need; do [ ! -e lib/$n ] || cp -L lib/$n keep/; done; rm -rf lib; mv keep lib",
        ],
    )

    # A database server for what is measured beside ours, with just the libraries it needs. It finds its files from where it is.
    _deb(
        "postgresql",
        [
            "libaudit1",
            "libcap-ng0",
            "libcom-err2",
            "libgssapi-krb5-2",
            "libicu78",
            "libk5crypto3",
            "libkeyutils1",
            "libkrb5-3",
            "libkrb5support0",
            "libldap2",
            "liblz4-1",
            "libnuma1",
            "libpam0g",
            "libpq5",
            "libsasl2-2",
            "libssl3t64",
            "libsystemd0",
            "liburing2",
            "libxml2-16",
            "libxxhash0",
            "libzstd1",
            "postgresql-18",
            "zlib1g",
        ],
        post = [
            "mv root/usr/lib/postgresql/18/bin bin18; mkdir share keep bin18/keep; mv bin18/initdb bin18/postgres bin18/keep/",
            "patchelf --force-rpath --set-rpath '$ORIGIN/../../..' bin18/keep/*",
            "need=$(LD_LIBRARY_PATH=$PWD/lib ldd bin18/keep/* | awk 'NF >= 3 { print $1 }' | sort -u)",
            "for n in $need; do [ ! -e lib/$n ] || cp -L lib/$n keep/; done; rm -rf lib; mv keep lib",
            "mv root/usr/lib/postgresql lib/; mv bin18/keep lib/postgresql/18/bin; mv root/usr/share/postgresql share/",
            "rm -rf bin bin18 src include",
        ],
    )
    deb_source_repository(
        name = "boringssl",
        build_file = "//tools/deps:overlays/boringssl.BUILD",
        members = ["*/BUILD.generated.bzl", "*/err_data.c", "*/linux-x86_64", "*/linux-aarch64", "*/src/crypto", "*/src/include", "*/src/third_party/fiat", "*/LICENSE"],
        overlays = {
            "prefix/boringssl_prefix_symbols.h": "//tools/deps:boringssl/boringssl_prefix_symbols.h",
            "prefix/boringssl_prefix_symbols_asm.h": "//tools/deps:boringssl/boringssl_prefix_symbols_asm.h",
        },
        source = "android-platform-external-boringssl",
    )
