#!/usr/bin/env bash
# The same build and tests in a Debian 13 tree, kept outside the checkout for the next time (OBSERVER_DEBIAN13, default
# /var/tmp/observer-debian13). Needs root or sudo, and may mount.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian13_tree.sh

. /etc/os-release
if [ "${ID:-}" = debian ] && [ "${VERSION_ID:-0}" -ge 13 ]; then
  echo "debian13: this is Debian ${VERSION_ID} already: scripts/test.sh is that test"
  exit 0
fi
tree_as_root "$@"
if [ ! -x "$tree/usr/bin/dpkg" ]; then
  rm -rf --one-file-system "$tree.new"
  tree_unpack "$tree.new"
  mv -T "$tree.new" "$tree"
fi
tree_network "$tree"
tree_source "$tree"
npm=()
if [ -e "$tree/etc/host-ca.crt" ]; then npm+=(NODE_EXTRA_CA_CERTS=/etc/host-ca.crt); fi
if command -v npm >/dev/null; then npm+=("npm_config_registry=$(npm config get registry 2>/dev/null)"); fi
tree_run "$tree" LC_ALL=C.UTF-8 OBSERVER_BROWSER=off OBSERVER_TRIES="${OBSERVER_TRIES:-1}" "${npm[@]}" \
  bash /src/observer/scripts/test.sh release
