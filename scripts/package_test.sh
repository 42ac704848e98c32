#!/usr/bin/env bash
# Builds the packages in Debian 12 and 13, twice each in two places, and compares the bytes. Then, in a bare tree of each that
# has no network: installs them, runs the daemon as the unit says, upgrades from a package of version 0.1 with what it recorded,
# removes (what was recorded stays) and purges (nothing stays), and has autopkgtest run the package's own tests. What the steps
# print is kept as build/packages/debian12.log and debian13.log, the packages beside them. Needs root or sudo, and may mount.
#
#   scripts/package_test.sh [--try] [12|13]...     --try: with the packages that the last run has built
set -euo pipefail
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."

say() { printf 'package_test: %4d s  %s\n' "$((SECONDS + ${SINCE:-0}))" "$1"; }
fail() {
  say "FAIL: $1" >&2
  [ -z "${2:-}" ] || tail -n 40 "$2" >&2
  exit 1
}

# ---- inside a tree: every step writes what its commands print to /log ----

tools=(autopkgtest binutils curl dpkg-dev gcc libc6-dev perl pkgconf python3 systemd) # what the tests need that the packages do not
names=(observer observer-tools libobserver1 libobserver-dev)

apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=5 "$@" >>/log 2>&1 || fail "apt-get $*" /log
}

files_of_packages() { # sets `debs`: what is installed
  local name
  debs=()
  for name in "${names[@]}"; do debs+=("/packages/first/${name}"_*.deb); done
}

package_into() { # FOLDER NAME=VALUE...
  env "${@:2}" scripts/package.sh "$1" >>/log 2>&1 || fail "the packages do not build into $1" /log
}

build() { # twice, in two places, time zones and languages
  local other=/var/tmp/quite/another/place
  mkdir -p "$other"
  package_into /packages/first TMPDIR=/tmp TZ=UTC
  say "built, and lintian $(dpkg-query -W -f '${Version}' lintian) finds no error, warning or pedantic remark"
  package_into /packages/second TMPDIR="$other" TZ=Asia/Kathmandu LC_ALL=C OBSERVER_LINTIAN=off
  (cd /packages/first && sha256sum ./*.deb) >/tmp/first.sums
  (cd /packages/second && sha256sum ./*.deb) | diff /tmp/first.sums - || fail 'two builds are not the same'
  say "built again elsewhere: the same bytes of $(wc -l </tmp/first.sums) packages"
}

build_old() { # version 0.1 as somebody could have installed it; what belongs to a package of it is in /src/old-root
  (
    cd /src/old
    cmake -S . -B build -G Ninja -D CMAKE_BUILD_TYPE=Release -D CMAKE_INSTALL_PREFIX=/usr -D OBSERVER_TESTS=OFF
    cmake --build build
    DESTDIR=/src/old-root cmake --install build
  ) >>/log 2>&1 || fail 'version 0.1 does not build' /log
}

pack_old() {
  mkdir -p /src/old-root/DEBIAN
  printf '%s\n' 'Package: observer' 'Version: 0.1.0' "Architecture: $(dpkg --print-architecture)" \
    'Maintainer: observer maintainers <observer@example.org>' 'Description: version 0.1' >/src/old-root/DEBIAN/control
  dpkg-deb --root-owner-group --build /src/old-root /packages/observer_0.1.0.deb >>/log
}

fetch() { # what is installed later, without a network
  apt_get update
  files_of_packages
  apt_get install --download-only --no-install-recommends "${tools[@]}" "${debs[@]}"
}

# What a purge must leave as it was: all but what apt, dpkg and ldconfig keep for themselves, and what ends with a boot.
files() {
  local others=(/dev /packages /proc /root /run /src /tmp /var/cache /var/lib/apt /var/lib/dpkg /var/log) skip=() place
  for place in "${others[@]}"; do skip+=(-path "$place" -prune -o); done
  find / -xdev "${skip[@]}" -print | grep -vxE '/log|/etc/ld.so.cache|/etc/(passwd|group|g?shadow)-' | sort
  getent passwd
  getent group
}

unit() { sed -n "s/^$1=//p" "$(dpkg -L observer | grep '/observerd\.service$')"; }

belongs() { # FILE 'MODE USER'
  [ "$(stat -c '%a %U' "$1")" = "$2" ] || fail "$1 is $(stat -c '%a %U' "$1"), not $2"
}

running=
run() { # USER COMMAND...: in the background, until it is ready
  : >/tmp/daemon.log
  (
    umask 0027 # as the units of both versions have it
    exec setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}" >/tmp/daemon.log 2>&1
  ) &
  running=$!
  local i
  for ((i = 0; i < 600; i++)); do
    if grep -q '^ready$' /tmp/daemon.log; then return; fi
    kill -0 "$running" 2>/dev/null || break
    sleep 0.1
  done
  fail 'the daemon does not get ready' /tmp/daemon.log
}

start() { # as the unit says, without systemd
  local state user words
  state=/var/lib/$(unit StateDirectory)
  user=$(unit User)
  # systemd takes a directory back that DynamicUser= had put elsewhere, and gives it to the unit's user.
  if [ -L "$state" ]; then
    rm "$state"
    mv "/var/lib/private/$(unit StateDirectory)" "$state"
  fi
  install -d -m "$(unit StateDirectoryMode)" "$state"
  chown -R "$user:$(unit Group)" "$state"
  read -ra words <<<"$(unit Environment | tr '\n' ' ') $(unit ExecStart)"
  run "$user" env "${words[@]}"
}

stop() {
  kill "$running"
  wait "$running" || fail 'the daemon does not stop well' /tmp/daemon.log
  cat /tmp/daemon.log >>/log
  running=
}

published() { # ENDPOINT: an op of it is recorded, and read back
  observerctl pub --endpoint "$1" --error 'one that was planned' >>/log || fail 'nothing is recorded' /tmp/daemon.log
  observerctl ops --endpoint "$1" --json | grep -F '"one that was planned"' >/dev/null ||
    fail 'what was recorded is not read back' /tmp/daemon.log
}

is_enabled() { [ "$(systemctl is-enabled observerd.service 2>/dev/null)" = enabled ]; }

install_new() { apt_get install --no-install-recommends "$@" "${debs[@]}"; }

bare() { # nothing but the packages: what they need is what they say
  install_new
  start
  published /bare
  stop
  belongs /var/lib/observerd/ops.jsonl '600 observer'
  belongs /etc/observer/observer.ini '644 root'
  apt_get purge "${names[@]}"
  ! getent passwd observer || fail 'the user stays behind'
  say "installed in a bare tree, an op published and read back"
}

upgrade() {
  local old=http://127.0.0.1:3800 dynamic=61184 state=/var/lib/observerd i
  apt_get install /packages/observer_0.1.0.deb
  install -d -o "$dynamic" -g "$dynamic" "$state"
  for i in 1 2; do # the checkpoint that the first run leaves is older than the rows of the second
    run "$dynamic" observerd --data-dir "$state" --cycle 1
    tests/package/upgrade.py record "$old"
    [ "$i" = 1 ] && stop
  done
  tests/package/upgrade.py remember "$old" /tmp/was.json
  kill -9 "$running"
  { wait "$running" || true; } 2>/dev/null # bash would say that it was killed
  cp "$state/ops.jsonl" /tmp/ops-of-0.1.jsonl
  # So systemd leaves the directory of a DynamicUser=.
  mv "$state" /var/lib/private/observerd
  ln -s private/observerd "$state"
  install_new
  [ "$(dpkg-query -W -f '${Version}' observer)" = "$(dpkg-deb -f "${debs[0]}" Version)" ] ||
    fail 'apt does not upgrade'
  start
  tests/package/upgrade.py compare "$old" /tmp/was.json >/tmp/compared ||
    fail 'the upgraded daemon does not know what 0.1 knew' /tmp/daemon.log
  cmp /tmp/ops-of-0.1.jsonl /var/lib/observerd/ops.jsonl || fail 'the upgrade changes rows of the journal'
  published /upgraded
  stop
  observerctl check /var/lib/observerd >>/log 2>&1 || fail 'observerctl check' /log
  say "upgraded from dacbef0: $(cat /tmp/compared)"
}

installed() { # looks at what lies there
  local id
  systemd-analyze --man=no verify observerd.service >>/log 2>&1 || fail 'the unit' /log
  is_enabled || fail 'the unit is not enabled'
  id=$(readelf -n /usr/bin/observerd | sed -n 's/^ *Build ID: //p')
  dpkg-deb -c /packages/first/observer-dbgsym_*.deb | grep "/${id:0:2}/${id:2}\.debug$" >/dev/null ||
    fail "the debugging symbols are not those of observerd ($id)"
  readelf -dlW /usr/bin/observerd | grep BIND_NOW >/dev/null || fail 'observerd is not hardened'
  grep -q 'pkg:npm/preact@' /usr/share/doc/observer/observer.cdx.json || fail 'what observerd is made of does not name preact'
  belongs /var/lib/observerd '700 observer'
}

remove() { # and come back; then purge
  echo '# a line of the operator' >>/etc/observer/observer.ini
  echo 'OBSERVER_LOG_LEVEL=info' >/etc/default/observerd
  install_new --reinstall
  apt_get remove "${names[@]}"
  cmp -n "$(stat -c %s /tmp/ops-of-0.1.jsonl)" /tmp/ops-of-0.1.jsonl /var/lib/observerd/ops.jsonl ||
    fail 'removing takes what was recorded'
  tail -n 1 /etc/observer/observer.ini | grep -qx '# a line of the operator' || fail 'removing takes the configuration'
  [ ! -e /usr/bin/observerd ] || fail 'the program is still there'
  ! is_enabled || fail 'the unit is still enabled'
  install_new
  is_enabled || fail 'the unit is not enabled again'
  start
  published /again
  observerctl ops --endpoint /upgraded --json | grep '"/upgraded"' >/dev/null ||
    fail 'what was recorded before removing is not shown' /tmp/daemon.log
  stop
  say 'removed: data and configuration stay, nothing is enabled; installed again: they are in use'
  apt_get remove "${names[@]}"
  dpkg --purge "${names[@]}" >>/log 2>&1 || fail 'dpkg --purge' /log # apt does not know packages that are in no archive
  files | diff /tmp/before - >/tmp/left || fail 'purging leaves this behind (>), or takes it (<):' /tmp/left
  say 'purged: no file, link, user or group is left'
}

own_tests() { # by Debian's runner, which installs the packages itself
  local status=0
  mkdir -p /src/package
  cp -R deploy/debian /src/package/debian
  autopkgtest --no-built-binaries "${debs[@]}" /src/package/ -- null >/tmp/own.log 2>&1 || status=$?
  cat /tmp/own.log >>/log
  [ "$status" = 0 ] || fail "autopkgtest ends with $status" /tmp/own.log
  say "autopkgtest: $(sed -n '/@ summary$/,$s/^\([a-z-]\{1,\}\) *\(PASS\).*/\1 \2/p' /tmp/own.log | paste -sd ,)"
}

try() {
  # The ports are the packages' defaults, so they are the tree's own: without a network but its loopback.
  perl -e '$up = pack("a16sx22", "lo", 1); socket(S, 2, 2, 0) && ioctl(S, 0x8914, $up) or die "loopback: $!\n"'
  trap '[ -z "${running:-}" ] || kill -KILL "$running"' EXIT
  files_of_packages
  bare
  apt_get install --no-install-recommends "${tools[@]}"
  files >/tmp/before # the libraries that the packages need belong to Debian: they may stay behind
  upgrade
  installed
  remove
  own_tests
}

case ${1:-} in
  --inside)
    cd /src/observer
    for step in "${@:2}"; do "$step"; done
    exit
    ;;
esac

# ---- outside ----

. scripts/debian13_tree.sh
tree_as_root "$@"
builds=yes
if [ "${1:-}" = --try ]; then
  builds=
  shift
fi
releases=("$@")
[ $# -gt 0 ] || releases=(12 13)
out=$PWD/build/packages
place=$tree

# Version 0.1 does not change: what its build installs is kept beside the packed tree.
old_root() { printf '%s-0.1.tar.gz' "$tree"; }

new_tree() { # DIR. What is unpacked there need not outlive a power cut
  tree_unpack "$1"
  tree_network "$1"
  tree_source "$1"
  echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
  mkdir -p "$1/packages" "$1/src/old"
}

inside() { # DIR STEP...
  tree_run "$1" LC_ALL=C.UTF-8 SINCE="$SECONDS" bash /src/observer/scripts/package_test.sh --inside "${@:2}"
}

build_release() { # FOLDER: the packages go there
  local steps=(build)
  new_tree "$work/build"
  if [ ! -e "$(old_root)" ]; then
    git -c safe.directory="$(pwd -P)" archive dacbef0 | tar -x -C "$work/build/src/old" ||
      fail 'the history has no dacbef0, of which the older package is made: fetch it'
    steps+=(build_old)
  fi
  inside "$work/build" "${steps[@]}"
  if [ ! -e "$(old_root)" ]; then
    tar -c -C "$work/build/src/old-root" . | gzip -1 >"$(old_root).part"
    mv "$(old_root).part" "$(old_root)"
  fi
  rm -rf "$1"
  cp -R "$work/build/packages/first" "$1"
}

try_release() { # FOLDER
  new_tree "$work/try"
  mkdir "$work/try/src/old-root"
  tar -xz -f "$(old_root)" -C "$work/try/src/old-root"
  cp -R "$1" "$work/try/packages/first"
  inside "$work/try" pack_old fetch
  unshare --net bash -euo pipefail -c 'tree_run "$@"' _ "$work/try" LC_ALL=C.UTF-8 SINCE="$SECONDS" \
    bash /src/observer/scripts/package_test.sh --inside try
}

keep_logs() { # whatever happened
  cat "$work"/build/log "$work"/try/log >"$out/debian$release.log" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}

export -f tree_run
scripts/deps.sh debian13
mkdir -p "$out"
for release in "${releases[@]}"; do
  case $release in
    12) tree=${place%13}12 suite=bookworm ;;
    13) tree=$place suite=trixie ;;
    *) fail "which Debian is $release?" ;;
  esac
  say "Debian $release"
  work=$(mktemp -d "$tree-package.XXXXXX")
  trap keep_logs EXIT
  [ -z "$builds" ] || build_release "$out/debian$release"
  try_release "$out/debian$release"
  keep_logs
  trap - EXIT
done
say passed
