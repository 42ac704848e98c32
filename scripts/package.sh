#!/usr/bin/env bash
# Builds the Debian packages of this tree, with what deploy/debian says, and checks them with lintian.
#
#   scripts/package.sh [FOLDER]    where they go; default build/packages. OBSERVER_LINTIAN=off leaves lintian out
set -euo pipefail
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
out=${1:-build/packages}

scripts/deps.sh build package
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/observer"
tar -c --exclude=./.git --exclude='./build' --exclude='./build-*' --exclude=./data --exclude=node_modules . | tar -x -C "$work/observer"
cp -R deploy/debian "$work/observer/debian"
(
  cd "$work/observer"
  SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -S Timestamp)
  export SOURCE_DATE_EPOCH
  dpkg-buildpackage --build=binary --no-sign
) >"$out/build.log" 2>&1 || { tail -n 40 "$out/build.log" >&2; exit 1; }
rm -f "$out"/*.deb "$out"/*.changes "$out"/*.buildinfo
mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$out"
[ "${OBSERVER_LINTIAN:-}" = off ] || lintian --pedantic --fail-on error,warning,pedantic "$out"/*.changes
ls -l "$out"/*.deb
