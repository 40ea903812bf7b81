#!/usr/bin/env bash
# Makes the toolchain root. Called by tools/bazel when it is missing: create.sh WORKSPACE CACHE ROOT
#
# The root is built in a temporary folder and renamed when it is complete, under a lock, so that an
# interruption at any point leaves nothing behind that a later call could take for a root.
set -euo pipefail

workspace=$1 cache=$2 root=$3
suite=forky
needed_kib=$((6 * 1024 * 1024))
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'bulkhead: %s\n' "$*" >&2; }
die() {
  printf '\nbulkhead: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '          %s\n' "$line" >&2; done
  exit 1
}

mkdir -p "$cache" 2>/dev/null || die "cannot make the folder $cache." \
  "Say where the build may keep its files: BULKHEAD_CACHE=/some/folder tools/bazel ..."
[[ -w $cache ]] || die "cannot write into the folder $cache." \
  "Say where the build may keep its files: BULKHEAD_CACHE=/some/folder tools/bazel ..."

# One call at a time; the others wait and then find the root complete.
exec 9>"$cache/toolroot.lock"
if ! flock -n 9; then
  say "another call is preparing the toolchain; waiting for it"
  flock 9
fi

# --- what the host must have ---------------------------------------------------------------------------
missing=()
command -v bwrap >/dev/null || missing+=(bubblewrap)
if [[ ! -e $root/.complete ]]; then
  command -v apt-get >/dev/null || die "this host has no apt-get." \
    "The toolchain is made of Debian packages, so the build needs a Debian or Ubuntu host (or container)," \
    "for example an image of Debian 12 or later."
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  [[ -e $keyring ]] || missing+=(debian-archive-keyring)
  if (( EUID != 0 )); then
    command -v newuidmap >/dev/null || missing+=(uidmap)
  fi
fi
if (( ${#missing[@]} )); then
  if (( EUID != 0 )); then
    die "the build needs packages that are not installed: ${missing[*]}" \
      "Install them once:  sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "installing ${missing[*]} on this host"
  log=$(mktemp)
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    # A fresh image has no package lists yet.
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
      tail -n 15 "$log" >&2
      rm -f "$log"
      die "could not install ${missing[*]}; apt's own words are above." \
        "Install them by hand, then call again:  apt-get update && apt-get install ${missing[*]}"
    fi
  fi
  rm -f "$log"
fi
if ! bwrap --dev-bind / / true 2>/dev/null; then
  die "this host does not allow the namespaces that the build runs in (bwrap failed: $(bwrap --dev-bind / / true 2>&1 | head -n 1))." \
    "On a host: allow them with  sysctl kernel.unprivileged_userns_clone=1  and, on Ubuntu, kernel.apparmor_restrict_unprivileged_userns=0" \
    "In a container: start it with  --privileged  or  --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
fi
if ! unshare --user --map-root-user true 2>/dev/null; then
  die "this host does not allow user namespaces, which keep each test in its own sandbox." \
    "On a host: allow them with  sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1" \
    "In a container: start it with  --privileged  or  --security-opt seccomp=unconfined"
fi
[[ -e $root/.complete ]] && exit 0

free_kib=$(df -Pk "$cache" | awk 'NR == 2 { print $4 }')
if (( free_kib < needed_kib )); then
  die "only $((free_kib / 1024)) MiB are free for $cache; the toolchain, the packages and the caches need $((needed_kib / 1024)) MiB." \
    "Free some space, or say where there is more:  BULKHEAD_CACHE=/some/folder tools/bazel ..."
fi

# --- where packages come from: the host's own mirror ------------------------------------------------------
mirror=${BULKHEAD_MIRROR:-}
if [[ -z $mirror ]]; then
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # Prefer what calls itself Debian; before the first 'apt-get update' only the release's name is known.
  mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(RELEASE)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk -F'|' -v c="$codename" '$1 == "Debian" && $2 == "Debian" { best = $4; exit } $3 == c && !second { second = $4 } END { print best ? best : second }')
fi
[[ -n $mirror ]] || die "found no Debian mirror in this host's apt configuration." \
  "Say which to use:  BULKHEAD_MIRROR=<address of a Debian mirror> tools/bazel ..."
mirror=${mirror%/}

# --- build it -----------------------------------------------------------------------------------------------
# Under the lock no other call is building: what lies here was left by an interrupted one.
rm -rf --one-file-system "$cache"/tmp.toolroot.*
work=$(mktemp -d "$cache/tmp.toolroot.XXXXXX")
log=$work/log
cleanup() { rm -rf --one-file-system "$work"; }
trap cleanup EXIT
trap 'say "interrupted; nothing was left behind"; exit 130' INT TERM HUP

packages=$(grep -v '^#' "$workspace/tools/toolroot/packages.txt" | paste -sd,)
say "preparing the toolchain in $cache (once; about 500 MB to fetch, two minutes)"
start=$SECONDS
target=$work/root
mkdir "$target"
chmod 755 "$work"
options=(
  --variant=apt                                    # only what is named below, and apt for the repository rules
  --keyring="$keyring"                             # signatures are checked
  --aptopt='Acquire::Check-Valid-Until "false"'    # a frozen mirror may be past the date in its Release file
  --aptopt='Acquire::Retries "3"'
  --aptopt='APT::Sandbox::User "root"'             # repository rules write into folders of their own
  --dpkgopt=force-unsafe-io                        # an interrupted root is thrown away anyway
  --dpkgopt='path-exclude=/usr/share/doc/*'
  --dpkgopt='path-exclude=/usr/share/locale/*'
  --dpkgopt='path-include=/usr/share/doc/*/copyright'
  --skip=cleanup/apt/lists                         # the repository rules download pinned packages by apt
  --include="$packages"
)
# experimental is never used by default (its priority is 1): only for the packages the lock names.
sources=("deb $mirror $suite main" "deb-src $mirror $suite main" "deb $mirror experimental main")
if (( EUID == 0 )); then
  mmdebstrap --mode=root "${options[@]}" "$suite" "$target" "${sources[@]}" >"$log" 2>&1 || failed=1
else
  # Through tar, so that each file belongs to the caller.
  { mmdebstrap --mode=unshare --format=tar "${options[@]}" "$suite" - "${sources[@]}" 2>"$log" |
    tar -x --no-same-owner --no-same-permissions -C "$target" --exclude='./dev/*' 2>>"$log"; } || failed=1
  chmod -R u+rwX "$target"
fi
if [[ ${failed:-} ]]; then
  tail -n 20 "$log" >&2
  if grep -q 'No space left' "$log"; then
    die "the disk is full." "Free some space, or say where there is more:  BULKHEAD_CACHE=/some/folder tools/bazel ..."
  elif grep -qE '^(E|W|Err).*(Could not (resolve|connect)|Temporary failure|Connection (timed out|refused|failed)|Failed to fetch|does not have a Release file| 404 )' "$log"; then
    die "the Debian mirror of this host could not be reached, or lacks the suites '$suite' and 'experimental'." \
      "The mirror was: $mirror" \
      "Try  apt-get update  on this host, or name another:  BULKHEAD_MIRROR=<address of a Debian mirror> tools/bazel ..."
  elif grep -qE 'newuidmap|subuid|unshare' "$log"; then
    die "mmdebstrap could not make its user namespace." \
      "A user needs a range of sub-ids once:  sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 \$USER"
  fi
  die "making the toolchain failed; mmdebstrap's own words are above." "Nothing was left behind; call again to try once more."
fi

# Bazel does not see the compiler as an input. A hash of every installed version stands for it in the key of
# each action, and restarts a server that was started in an older root.
versions=$(awk '/^Package:/ { p = $2 } /^Version:/ { print p, $2 }' "$target/var/lib/dpkg/status" | LC_ALL=C sort | sha256sum)
versions=${versions:0:16}
# Debian's own settings: a deprecated flag that warns at each call, and kept sandboxes.
sed -i '/host_javabase/d; /sandbox_debug/d' "$target/etc/bazel/bazelrc"
cat >"$target/etc/bazel.bazelrc" <<RC
startup --host_jvm_args=-Dbulkhead.toolroot=$versions
common --remote_default_exec_properties=toolroot=$versions
common --repo_env=ABI_LIBC_VERSION=$versions
common --repo_env=BULKHEAD_DEB_STORE=/bulkhead-cache/debs
common --disk_cache=/bulkhead-cache/disk
common --experimental_disk_cache_gc_max_size=20G
common --repository_cache=/bulkhead-cache/repository
RC
rm -f "$target/etc/resolv.conf"
touch "$target/etc/resolv.conf" "$target/etc/hosts"
mkdir -p "$target/bulkhead-cache" "$cache/debs" "$cache/disk" "$cache/repository"
rm -rf "$target"/var/cache/apt/archives/*.deb
touch "$target/.complete"
mv "$target" "$root"
say "the toolchain is ready ($((SECONDS - start)) s)"
