#!/usr/bin/env bash
# Builds the packages in Debian 12 and 13, twice each in two places, and compares the bytes. Then, in a bare tree of each: installs
# them, runs the daemon as its user and the packages' own tests, upgrades from a package of version 0.1 with what it
# recorded, removes (what was recorded stays) and purges (nothing stays). Needs root or sudo, and may mount; some 15 minutes.
#
#   scripts/package_test.sh [12|13]...
set -euo pipefail
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
. scripts/debian13_tree.sh

say() { printf 'package_test: %s\n' "$1"; }
fail() {
  say "FAIL: $1" >&2
  [ -z "${2:-}" ] || tail -n 40 "$2" >&2
  exit 1
}

# ---- inside a tree ----

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=5 "$@" >/tmp/apt.log 2>&1 || fail "apt-get $*" /tmp/apt.log; }

build() { # the packages, in two places
  apt_get update
  local place
  for place in first second/deeper; do
    rm -rf "/src/$place"
    mkdir -p "/src/$place"
    tar -c -C /src/observer --exclude=./build . | tar -x -C "/src/$place"
    (cd "/src/$place" && scripts/package.sh "/packages/${place%/*}") || fail "the packages do not build in $place"
  done
  (cd /packages/first && sha256sum ./*.deb) >/tmp/first.sums
  (cd /packages/second && sha256sum ./*.deb) | diff /tmp/first.sums - || fail 'two builds are not the same'
  say "built twice, the same bytes: $(wc -l </tmp/first.sums) packages"
}

# A package of version 0.1 as somebody could have made it: its installation and its unit.
pack_old() { # DESTINATION OUT
  mkdir -p "$1/DEBIAN"
  printf 'Package: observer\nVersion: 0.1.0\nArchitecture: %s\nMaintainer: observer maintainers <observer@example.org>\nDescription: version 0.1\n' \
    "$(dpkg --print-architecture)" >"$1/DEBIAN/control"
  dpkg-deb --root-owner-group --build "$1" "$2" >/dev/null
}

build_old() {
  (
    cd /src/old
    cmake -S . -B build -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_INSTALL_PREFIX=/usr -D OBSERVER_TESTS=OFF
    cmake --build build
    DESTDIR=/src/old-root cmake --install build
  ) >/tmp/old.log 2>&1 || fail 'version 0.1 does not build' /tmp/old.log
  pack_old /src/old-root /packages/observer_0.1.0.deb
}

files() { # what a purge must leave as it was: all but what apt, dpkg and ldconfig keep for themselves
  find / -xdev \( -path /proc -o -path /dev -o -path /packages -o -path /tmp -o -path /src -o -path /var/lib/apt -o -path /var/lib/dpkg \
    -o -path /var/cache -o -path /var/log -o -path /root \) -prune -o -print | grep -v '^/etc/ld.so.cache$' | sort
}

running=
start() { # the daemon as the unit starts it, without systemd
  install -d -o observer -g observer -m 0700 /var/lib/observerd
  # shellcheck disable=SC2016 # the user's shell expands it
  setpriv --reuid observer --regid observer --clear-groups env OBSERVER_CONFIG=/etc/observer/observer.ini \
    /usr/bin/observerd --data-dir /var/lib/observerd >/tmp/daemon.log 2>&1 &
  running=$!
  local i
  for ((i = 0; i < 300; i++)); do
    if grep -q '^ready$' /tmp/daemon.log; then return; fi
    kill -0 "$running" 2>/dev/null || break
    sleep 0.1
  done
  fail 'the daemon does not get ready' /tmp/daemon.log
}

stop() {
  kill "$running"
  wait "$running" || fail 'the daemon does not stop well' /tmp/daemon.log
  running=
}

recorded() { observerctl ops --json --limit 1000 | grep -c '"endpoint"' || true; }

try() {
  local package list=() file
  apt_get update
  apt_get install --no-install-recommends libjson-perl curl gcc libc6-dev pkgconf systemd # what the tests need, so that they count for nothing below
  for file in /packages/first/*.deb; do
    if [[ $file != *-dbgsym_* ]]; then list+=("$file"); fi
  done
  # The libraries that the packages need belong to Debian: they may stay behind.
  apt_get install --no-install-recommends "${list[@]}"
  apt_get purge observer observer-tools libobserver1 libobserver-dev
  files >/tmp/before
  getent passwd observer && fail 'the user stays behind'

  # Version 0.1 with what it recorded, then this one.
  apt_get install /packages/observer_0.1.0.deb
  mkdir -p /var/lib/observerd
  observerd --data-dir /var/lib/observerd >/tmp/daemon.log 2>&1 &
  running=$!
  local i
  for ((i = 0; i < 300; i++)); do if grep -q '^ready$' /tmp/daemon.log; then break; fi; sleep 0.1; done
  for i in 1 2 3; do
    curl -fsS -H 'content-type: application/json' -d "{\"endpoint\":\"/old/$i\",\"success\":false,\"error\":\"one of 0.1\"}" \
      http://127.0.0.1:3800/v1/observer/event >/dev/null || fail 'version 0.1 does not record' /tmp/daemon.log
  done
  stop
  apt_get install --no-install-recommends "${list[@]}"
  chown -R observer:observer /var/lib/observerd # as systemd does with a StateDirectory
  start
  [ "$(recorded)" = 3 ] || fail "$(recorded) ops of version 0.1 are shown, not 3" /tmp/daemon.log
  observerctl pub --endpoint /new --success >/dev/null || fail 'the upgraded daemon does not record' /tmp/daemon.log
  stop
  say 'upgraded from 0.1: its ops are there, and new ones follow'

  for package in records links; do
    (cd /tmp && "/src/observer/deploy/debian/tests/$package") >/tmp/own.log 2>&1 || fail "the package's test $package" /tmp/own.log
  done
  say "the package's own tests pass"
  systemd-analyze verify observerd.service >/tmp/verify.log 2>&1 || fail 'the unit' /tmp/verify.log
  systemctl is-enabled observerd.service >/dev/null || fail 'the unit is not enabled'
  apt_get install --reinstall --no-install-recommends "${list[@]}"

  echo '# a line of the operator' >>/etc/observer/observer.ini
  apt_get remove observer observer-tools libobserver1 libobserver-dev
  [ -s /var/lib/observerd/ops.jsonl ] || fail 'removing takes what was recorded'
  tail -n 1 /etc/observer/observer.ini | grep -qx '# a line of the operator' || fail 'removing takes the configuration'
  [ ! -e /usr/bin/observerd ] || fail 'the program is still there'
  apt_get install --no-install-recommends "${list[@]}"
  start
  [ "$(recorded)" = 4 ] || fail 'what was recorded before removing is not shown' /tmp/daemon.log
  stop
  apt_get purge observer observer-tools libobserver1 libobserver-dev
  files | diff /tmp/before - >/tmp/left || fail 'purging leaves this behind, or takes it (<):' /tmp/left
  ! getent passwd observer || fail 'the user stays behind'
  say 'removed with its data kept, purged with nothing left'
}

case ${1:-} in
  --build) build && build_old && exit ;;
  --try) try && exit ;;
esac

# ---- outside ----

tree_as_root "$@"
releases=("$@")
[ $# -gt 0 ] || releases=(12 13)
git cat-file -e dacbef0 || fail 'the history has no dacbef0, of which the older package is made: fetch it'
place=${OBSERVER_DEBIAN13:-/var/tmp/observer-debian13}
for release in "${releases[@]}"; do
  case $release in
    12) tree=${place%13}12 suite=bookworm ;;
    13) tree=$place suite=trixie ;;
    *) fail "which Debian is $release?" ;;
  esac
  say "Debian $release"
  work=$tree-package
  rm -rf --one-file-system "$work-build" "$work-try"
  tree_unpack "$work-build"
  tree_network "$work-build"
  tree_source "$work-build"
  mkdir -p "$work-build/src/old"
  git archive dacbef0 | tar -x -C "$work-build/src/old"
  tree_run "$work-build" LC_ALL=C.UTF-8 bash /src/observer/scripts/package_test.sh --build
  tree_unpack "$work-try"
  tree_network "$work-try"
  tree_source "$work-try"
  mv "$work-build/packages" "$work-try/packages"
  tree_run "$work-try" LC_ALL=C.UTF-8 bash /src/observer/scripts/package_test.sh --try
  rm -rf --one-file-system "$work-build" "$work-try"
done
say passed
