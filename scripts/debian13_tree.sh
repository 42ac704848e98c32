# Debian 13 trees for scripts/debian13.sh and scripts/newcomer.sh, which source this. A bare one is made by debootstrap
# once, outside the checkout, and kept packed beside them (OBSERVER_DEBIAN13, default /var/tmp/observer-debian13; the packed
# one is that and .tar.gz).
# shellcheck shell=bash
tree=${OBSERVER_DEBIAN13:-/var/tmp/observer-debian13}
suite=trixie # a script that wants another Debian sets both

tree_as_root() { # ARGUMENT...: of the script that sources this
  if [ "$(id -u)" != 0 ]; then exec sudo OBSERVER_DEBIAN13="$tree" "$0" "$@"; fi
}

tree_unpack() { # DIR: a bare Debian 13
  local part=$tree.part
  if [ ! -e "$tree.tar.gz" ]; then
    scripts/deps.sh debian13
    echo "making $tree.tar.gz"
    rm -rf --one-file-system "$part"
    mkdir -p "$part"
    debootstrap --variant=minbase "$suite" "$part" >"$tree.log" 2>&1 || { tail -n 20 "$tree.log" >&2; return 1; }
    rm -f "$part"/var/cache/apt/archives/*.deb
    tar -c --one-file-system -C "$part" . | gzip -1 >"$tree.tar.gz.part"
    mv "$tree.tar.gz.part" "$tree.tar.gz"
    rm -rf --one-file-system "$part"
  fi
  mkdir -p "$1"
  tar -xz -f "$tree.tar.gz" -C "$1"
}

tree_network() { # DIR: how this machine reaches its mirrors (proxy, own certificates and the like) holds inside too
  apt-config dump | grep -E '^Acquire::(https?::|ftp::|Check-|Retries)' >"$1/etc/apt/apt.conf.d/90host" || true
  if [ -e /etc/resolv.conf ]; then cat /etc/resolv.conf >"$1/etc/resolv.conf"; fi
  if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cat /etc/ssl/certs/ca-certificates.crt >"$1/etc/host-ca.crt"; fi
}

tree_source() { # DIR: this checkout as /src/observer. A build directory inside stays: only what changed is compiled again
  mkdir -p "$1/src/observer"
  find "$1/src/observer" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
  tar -c --exclude=./.git --exclude='./build' --exclude='./build-*' --exclude=./data --no-same-owner . |
    tar -x --no-same-owner -C "$1/src/observer"
}

tree_run() { # DIR NAME=VALUE... COMMAND...: in a mount namespace of its own: nothing stays mounted, however this ends
  # shellcheck disable=SC2016  # the inner shell expands these
  unshare --mount --propagation private bash -euo pipefail -c '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "${@:2}"' _ "$@"
}
