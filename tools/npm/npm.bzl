"""A repository of pinned npm packages, with the toolchain root's node beside them.

Packages are named with their integrity hashes in package-lock.json, which holds no addresses: they come from the
registry that npm is configured for on this machine, or from npm's store in the toolchain cache. npm checks each hash.
Scripts of packages are not run.

A test has `data = ["@npm//:jose", "@npm//:node", "peer.mjs"]`, runs `$TEST_SRCDIR/npm/node`, hands the folder
`$TEST_SRCDIR/npm` to its script, and the script loads from there:

    const load = (name) => import(pathToFileURL(createRequire(folder + "/").resolve(name)));
"""

_FETCH = """
set -u
store=$1
die() { printf '\\nbulkhead: %s\\n' "$1"; shift; for l in "$@"; do printf '          %s\\n' "$l"; done; exit 1; }
npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --no-bin-links --prefer-offline --cache "$store" >log 2>&1 && exit 0
cat log
case $(cat log) in
  *EINTEGRITY*) die "a package of npm does not have the hash of tools/npm/package-lock.json." \\
    "Someone replaced it. If that is expected:  tools/update_npm_lock";;
  *ETARGET* | *E404*) die "a version that tools/npm/package-lock.json pins is gone from the npm registry; it is named above." \\
    "Take the new versions into the lock with:  tools/update_npm_lock";;
  *"in sync"*) die "tools/npm/package.json and its lock do not fit each other." "Renew the lock with:  tools/update_npm_lock";;
  *SELF_SIGNED_CERT* | *UNABLE_TO_GET_ISSUER* | *UNABLE_TO_VERIFY*) die "the npm registry shows a certificate that this machine does not trust." \\
    "Where a proxy has an authority of its own, add that to the machine's certificates (update-ca-certificates).";;
  *ENOSPC*) die "the disk is full; the npm packages could not be fetched.";;
  *) die "the npm registry could not be reached to fetch the packages of tools/npm; npm's own words are above." \\
    "Try again, check the proxy variables, or name another registry in ~/.npmrc (registry=...).";;
esac
"""

def _impl(rctx):
    store = rctx.os.environ.get("BULKHEAD_DEB_STORE")
    if not store:
        fail("Bazel was started without tools/bazel, which provides the package store. Use tools/bazel.")
    node = rctx.which("node")
    if not node:
        fail("The toolchain root has no node. Use tools/bazel.")
    rctx.symlink(rctx.attr.package, "package.json")

    # A copy: npm would replace a link.
    rctx.file("package-lock.json", rctx.read(rctx.attr.lock), executable = False)
    result = rctx.execute(["bash", "-c", _FETCH, "fetch", store + "/npm"], timeout = 1200)
    if result.return_code != 0:
        fail(result.stdout + result.stderr)

    # What is not needed to run would only be hashed and linked into sandboxes.
    result = rctx.execute(["bash", "-euc", """
rm -f log node_modules/.package-lock.json
find node_modules -type f '(' -name '*.md' -o -name '*.d.ts' -o -name '*.map' ')' -delete
find node_modules -name '*[[:space:]]*' -delete
"""])
    if result.return_code != 0:
        fail(result.stderr)
    rctx.symlink(node, "node")
    rctx.file("BUILD.bazel", """
# Each names what its users need; all lie in one tree, as they need each other.
[filegroup(
    name = name,
    srcs = ["node_modules"],
    visibility = ["//visibility:public"],
) for name in {names}]

# The program, of the toolchain root.
exports_files(["node"])
""".format(names = repr(rctx.attr.packages)), executable = False)

npm_repository = repository_rule(
    doc = "Installs the packages of a lock into node_modules/, without running anything of theirs.",
    implementation = _impl,
    attrs = {
        "lock": attr.label(mandatory = True, allow_single_file = True),
        "package": attr.label(mandatory = True, allow_single_file = True),
        "packages": attr.string_list(mandatory = True, doc = "What others depend on, as targets."),
    },
    environ = ["BULKHEAD_DEB_STORE"],
)
