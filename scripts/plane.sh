#!/usr/bin/env bash
# The control plane's page: checks its types, tests what it makes of answers, and builds it from src/plane. Building the
# daemon needs none of this: what comes out is in the repository, as src/plane/dist.
#
#   scripts/plane.sh           build src/plane/dist
#   scripts/plane.sh --check   fail where src/plane/dist is not, byte for byte, what its sources make
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh plane
cd src/plane
# What is installed is what the lock file says, and it is installed again only when that has changed.
if ! cmp -s package-lock.json node_modules/.lock; then
  npm ci --ignore-scripts --no-audit --no-fund >/dev/null
  cp package-lock.json node_modules/.lock
fi
node_modules/.bin/tsc --noEmit
log=$(mktemp)
out=$(mktemp -d)
trap 'rm -rf "$log" "$out"' EXIT
node --test ../../tests/plane/test_*.mjs >"$log" || { cat "$log" >&2; exit 1; }
case ${1:-} in
  --check)
    node build.mjs --out "$out"
    diff -r "$out" dist || { echo "plane: src/plane/dist is not what its sources make: run scripts/plane.sh" >&2; exit 1; }
    ;;
  '') node build.mjs ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "../../scripts/plane.sh" >&2; exit 2 ;;
esac
