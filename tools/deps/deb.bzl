"""Repository rules over pinned Debian packages.

Each package is named with its version and sha256 in debs.lock.bzl. A file comes from the store of the
toolchain cache, keyed by its sha256, or else from the Debian mirror through apt, which checks the archive's
signature; the sha256 is checked again before it enters the store.
"""

load(":debs.lock.bzl", "DEBS", "SOURCES")

_FETCH = """
set -eu
store=$1 sha=$2 kind=$3 name=$4 version=$5
die() { printf '\\nbulkhead: %s\\n' "$1"; shift; for l in "$@"; do printf '          %s\\n' "$l"; done; exit 1; }
mkdir -p "$store"
work=$(mktemp -d "$store/.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
get() {
  if [ "$kind" = deb ]; then apt-get -qq download "$name=$version"; else apt-get -qq source --download-only "$name=$version"; fi
}
if ! get >log 2>&1; then
  # The package lists of the root may be older than the mirror's state.
  flock "$store/.update.lock" apt-get -qq update >update.log 2>&1 || true
  if ! get >log 2>&1; then
    ! grep -q 'No space left' log || die "the disk is full; $name could not be fetched."
    if [ "$kind" = deb ]; then now=$(apt-cache madison "$name" | awk -F' *[|] *' '!/Sources/ { print $2 }' | paste -sd' ')
    else now=$(apt-cache showsrc "$name" | awk '/^Version:/ { print $2 }' | paste -sd' '); fi
    case " $now " in
      *" $version "*) cat log; [ ! -s update.log ] || cat update.log
        die "the Debian mirror could not be reached to fetch $name $version." \\
            "Try again, or name another mirror:  BULKHEAD_MIRROR=<address of a Debian mirror> tools/bazel ...";;
      "  ") cat log update.log
        die "the Debian mirror has no package $name (pinned: $version), or could not be reached." \\
            "If the mirror answers and the package is really gone, choose another in tools/deps/packages.txt and run:  tools/update_lock";;
      *) die "the pinned version of $name is gone from the Debian mirror: pinned $version, there now: $now." \\
            "Take the new versions into the lock with:  tools/update_lock";;
    esac
  fi
fi
rm -f log update.log
"""

# A package's file is adopted under its sha256: file names with %3a (epochs) break file:// addresses.
_ADOPT = """
for f in *; do
  [ -f "$f" ] || continue
  have=$(sha256sum "$f"); have=${have%% *}
  chmod 644 "$f"; mv "$f" "$store/$have"
done
[ -e "$store/$sha" ] || die "$name $version does not have the sha256 of the lock ($sha)." \\
  "Someone rebuilt or replaced it. If that is expected:  tools/update_lock"
"""

def _run(rctx, args, **kwargs):
    result = rctx.execute(args, timeout = 1200, **kwargs)
    if result.return_code != 0:
        fail("%s\n%s" % (result.stdout, result.stderr))
    return result.stdout

def _fetch(rctx, sha, kind, name, version):
    """Returns the path of the file with this sha256 in the store, after fetching it if need be."""
    store = rctx.os.environ.get("BULKHEAD_DEB_STORE")
    if not store:
        fail("Bazel was started without tools/bazel, which provides the package store. Use tools/bazel.")
    path = store + "/" + sha
    if not rctx.path(path).exists:
        _run(rctx, ["bash", "-c", _FETCH + _ADOPT, "fetch", store, sha, kind, name, version])
    return path

def _finish(rctx):
    rctx.delete("BUILD")
    rctx.symlink(rctx.attr.build_file, "BUILD.bazel")
    for dst, src in rctx.attr.overlays.items():
        rctx.symlink(Label(src), dst)
    if rctx.attr.post:
        _run(rctx, ["bash", "-euc", "shopt -s nullglob\n" + "\n".join(rctx.attr.post)])

_LAYOUT = """
set -eu
mkdir -p include lib bin src
for d in root/usr/include/x86_64-linux-gnu root/usr/include root/usr/lib/x86_64-linux-gnu root/usr/bin root/usr/src; do
  [ -d $d ] || continue
  case $d in */include*) to=include;; */lib/*) to=lib;; */bin) to=bin;; *) to=src;; esac
  cp -aln $d/. $to/
  rm -rf $d
done
rm -rf include/x86_64-linux-gnu lib/pkgconfig lib/cmake
"""

def _deb_impl(rctx):
    for name in rctx.attr.debs:
        if name not in DEBS:
            fail("%s is not in tools/deps/debs.lock.bzl; add it to tools/deps/packages.txt and run tools/update_lock" % name)
        version, sha = DEBS[name]
        _run(rctx, ["dpkg-deb", "-x", _fetch(rctx, sha, "deb", name, version), "root"])
    _run(rctx, ["bash", "-c", _LAYOUT])
    _finish(rctx)
    rctx.delete("root")

deb_repository = repository_rule(
    doc = "Unpacks pinned binary packages into include/, lib/, bin/ and src/, and adds a BUILD overlay.",
    implementation = _deb_impl,
    attrs = {
        "build_file": attr.label(mandatory = True, allow_single_file = True),
        "debs": attr.string_list(mandatory = True, doc = "Names of packages in the lock."),
        "overlays": attr.string_dict(doc = "Path in the repository to the label of a file to put there."),
        "post": attr.string_list(doc = "Shell commands run in the repository at the end; root/ still has the rest of the packages."),
    },
    environ = ["BULKHEAD_DEB_STORE"],
)

def _source_impl(rctx):
    version, files = SOURCES[rctx.attr.source]
    for sha in files.values():
        _run(rctx, ["tar", "-xf", _fetch(rctx, sha, "source", rctx.attr.source, version), "--strip-components=1", "--wildcards"] + rctx.attr.members)
    _finish(rctx)

deb_source_repository = repository_rule(
    doc = "Unpacks some members of a pinned source package and adds a BUILD overlay.",
    implementation = _source_impl,
    attrs = {
        "build_file": attr.label(mandatory = True, allow_single_file = True),
        "members": attr.string_list(doc = "Patterns of what to unpack."),
        "overlays": attr.string_dict(doc = "Path in the repository to the label of a file to put there."),
        "post": attr.string_list(doc = "Shell commands run in the repository at the end."),
        "source": attr.string(mandatory = True),
    },
    environ = ["BULKHEAD_DEB_STORE"],
)
