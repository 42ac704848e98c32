#!/usr/bin/env bash
# The same build and tests in a Debian 13 tree, made by debootstrap outside the checkout and kept for the next time
# (OBSERVER_DEBIAN13, default /var/tmp/observer-debian13). Needs root or sudo, and may mount.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=${OBSERVER_DEBIAN13:-/var/tmp/observer-debian13}

make_tree() {
  if [ -x "$tree/usr/bin/dpkg" ]; then return; fi
  echo "debian13: making $tree"
  rm -rf --one-file-system "$tree.part"
  mkdir -p "$tree.part"
  debootstrap --variant=minbase trixie "$tree.part" >"$tree.log" 2>&1 || { tail -n 20 "$tree.log" >&2; return 1; }
  mv -T "$tree.part" "$tree"
}

copy_network_settings() { # how this machine reaches its mirrors (proxy, own certificates and the like) holds inside too
  apt-config dump | grep -E '^Acquire::(https?::|ftp::|Check-|Retries)' >"$tree/etc/apt/apt.conf.d/90host" || true
  if [ -e /etc/resolv.conf ]; then cat /etc/resolv.conf >"$tree/etc/resolv.conf"; fi
  if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cat /etc/ssl/certs/ca-certificates.crt >"$tree/etc/host-ca.crt"; fi
  npm=()
  if [ -e "$tree/etc/host-ca.crt" ]; then npm+=(NODE_EXTRA_CA_CERTS=/etc/host-ca.crt); fi
  if command -v npm >/dev/null; then npm+=("npm_config_registry=$(npm config get registry 2>/dev/null)"); fi
}

copy_source() { # the build directory inside stays: only what changed is compiled again
  mkdir -p "$tree/src/observer"
  find "$tree/src/observer" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  tar -c --exclude=./.git --exclude='./build' --exclude='./build-*' --exclude=./data --no-same-owner . |
    tar -x --no-same-owner -C "$tree/src/observer"
}

run_inside() { # in a mount namespace of its own: nothing stays mounted, however this ends
  # shellcheck disable=SC2016  # the inner shell expands these
  unshare --mount --propagation private bash -euo pipefail -c '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
      "${@:2}" bash /src/observer/scripts/test.sh release' _ "$tree" "${npm[@]}"
}

. /etc/os-release
if [ "${ID:-}" = debian ] && [ "${VERSION_ID:-0}" -ge 13 ]; then
  echo "debian13: this is Debian ${VERSION_ID} already: scripts/test.sh is that test"
  exit 0
fi
if [ "$(id -u)" != 0 ]; then exec sudo OBSERVER_DEBIAN13="$tree" "$0" "$@"; fi
scripts/deps.sh debian13
make_tree
copy_network_settings
copy_source
run_inside
