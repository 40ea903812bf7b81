"""A repository with a copy of every source file that the lint reads.

A test sees only declared inputs, and a package cannot glob the files of packages below it. This rule watches the
source folders: when a file in them changes, is added or is removed, the copy is made anew before the next build, and
the lint test runs again exactly when the content of a file changed.
"""

_FOLDERS = ["docs", "proto", "services", "testing", "tools", ".ci"]
_FILES = [".bazelrc", "BUILD.bazel", "CONTRIBUTING.md", "README.md", "WORKSPACE"]

def _impl(rctx):
    root = rctx.workspace_root
    present = []
    for folder in _FOLDERS:
        path = root.get_child(folder)
        if path.exists:
            rctx.watch_tree(path)
            present.append(folder)
    for name in _FILES:
        path = root.get_child(name)
        rctx.watch(path)
        if path.exists:
            present.append(name)

    # One archive, not a thousand inputs: the sandbox would have to link each. Times and owners are left out, so that
    # equal sources give an equal archive.
    result = rctx.execute([
        "bash",
        "-euc",
        """
out=$1 root=$2; shift 2
cd "$root"
find "$@" -type f -size -1000k ! -path '*/node_modules/*' ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z |
  tar --null --no-recursion --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=644 -cf "$out" -T -
""",
        "pack",
        str(rctx.path("sources.tar")),
        str(root),
    ] + present)
    if result.return_code != 0:
        fail("packing the sources for the lint failed: " + result.stderr)
    rctx.file("BUILD.bazel", 'exports_files(["sources.tar"], visibility = ["@//tools/lint:__pkg__"])\n')

lint_sources_repository = repository_rule(
    doc = "Packs the workspace's source files into sources.tar for //tools/lint:lint_test.",
    implementation = _impl,
)
