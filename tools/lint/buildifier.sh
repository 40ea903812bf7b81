#!/bin/bash
# buildifier for BUILD, .bzl and WORKSPACE files.
#   buildifier.sh PROGRAMS --tar FILE     checks the files of an archive; prints what differs
#   buildifier.sh PROGRAMS FLAG... FILE   as buildifier itself, in the folder that `bazel run` was called from
# PROGRAMS is the folder of the package's programs.
set -euo pipefail
case $(uname -m) in
  aarch64) program=buildifier-linux_arm64 ;;
  *) program=buildifier-linux_amd64 ;;
esac
program=$(readlink -f "$1/@bazel/buildifier/$program")
shift
if [[ ${1:-} != --tar ]]; then
  cd "${BUILD_WORKING_DIRECTORY:-.}"
  exec "$program" "$@"
fi
sources=$(readlink -f "$2")
cd "$TEST_TMPDIR"
tar -xf "$sources"
find . -type f '(' -name BUILD.bazel -o -name '*.BUILD' -o -name '*.bzl' -o -name WORKSPACE ')' -print0 |
  xargs -0 "$program" -mode=diff || {
  echo 'These files are not in the form that buildifier gives them. Run: tools/format'
  exit 1
}
