#!/usr/bin/env bash
# Installs the Debian packages that are missing, and only those. What is there already is left as it is.
#
#   scripts/deps.sh GROUP...     build | fleet | test | long | browser | check | plane | fuzz | bench | debian13 | newcomer | package | machine
set -euo pipefail

[ ! -r /etc/os-release ] || . /etc/os-release

msgpack_package() { # Debian 12 packages msgpack-c 4.0 under another name than later releases package 6.0
  if [ "${VERSION_ID:-}" = 12 ]; then echo libmsgpack-dev; else echo libmsgpack-c-dev; fi
}

node_packages() { # what already runs JavaScript here is taken as it is: Debian's npm would not go with another's node
  if command -v npm >/dev/null; then return; fi
  if command -v node >/dev/null; then echo npm; else echo nodejs npm; fi
}

kubectl_packages() { # another's kubectl is taken as it is, for the same reason
  if ! command -v kubectl >/dev/null; then echo kubernetes-client; fi
}

group_packages() {
  case $1 in
    build) echo gcc libc6-dev cmake ninja-build pkgconf libnng-dev "$(msgpack_package)" libxxhash-dev libinih-dev \
      libcjson-dev libcurl4-openssl-dev libncurses-dev zlib1g-dev libssl-dev libpcre2-dev liblz4-dev libnats-dev ;;
    fleet) echo nats-server ;;
    test) echo ccache libcmocka-dev nng-utils nanomsg-utils python3 python3-msgpack g++ curl openssl groff-base tmux zsh fish haproxy nginx-light nats-server prometheus prometheus-alertmanager \
      systemd ca-certificates python3-yaml python3-jsonschema "$(kubectl_packages)" "$(node_packages)" ;;
    long) echo iproute2 util-linux faketime ;;
    browser) echo chromium ;;
    check) echo clang-format clang-tidy cppcheck shellcheck ;;
    plane) node_packages ;;
    fuzz) echo clang libclang-rt-dev llvm ;;
    bench) echo wrk python3 redis-server redis-tools ;;
    debian13) echo debootstrap ;;
    newcomer) echo git ;;
    machine) echo debootstrap e2fsprogs qemu-system-x86 ;;
    package) echo build-essential debhelper dpkg-dev fakeroot lintian python3 curl ;;
    *) return 1 ;;
  esac
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt() { # package mirrors fail now and then: a few tries, and nobody is asked anything
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "$@"
}

count_new() { # how many packages an installation adds, with what these depend on
  apt-get -s --no-install-recommends install "$@" 2>/dev/null | grep -c '^Inst ' || true
}

# The servers that tests start themselves must not serve this machine: neither when they are installed nor at its next start.
install() {
  local policy=/usr/sbin/policy-rc.d done=0 service
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  else
    policy=
  fi
  apt install --no-install-recommends "$@" || done=1
  [ -z "$policy" ] || as_root rm -f "$policy"
  for service in haproxy nginx nats-server prometheus prometheus-node-exporter prometheus-alertmanager; do
    if [[ " $* " = *" $service"* ]] && [ -d /run/systemd/system ]; then as_root systemctl disable --quiet "$service" || true; fi
  done
  return "$done"
}

[ $# -gt 0 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }

wanted=()
for group in "$@"; do
  packages=$(group_packages "$group") || { echo "deps: no such group: $group" >&2; exit 2; }
  read -ra more <<<"$packages"
  wanted+=("${more[@]}")
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "deps: ${PRETTY_NAME:-this system} is not Debian. Install what matches these Debian packages, then build with" >&2
  echo "deps: cmake --preset release && cmake --build --preset release: ${wanted[*]}" >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do is_installed "$package" || missing+=("$package"); done
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi

if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
  echo "deps: packages are missing, and installing them needs root. As root, run:" >&2
  echo "  apt-get update" >&2
  echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then sudo -v || exit 1; fi # its question is not to stand in the log
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
  echo "reading the package lists ..." >&2
  if apt update >"$log" 2>&1; then
    echo "installing $(count_new "${missing[@]}") packages: ${missing[*]}, and what they need ..." >&2
    if install "${missing[@]}" >"$log" 2>&1; then exit 0; fi
  fi
  [ "$try" = 3 ] || { echo "deps: apt-get failed, trying again" >&2; sleep $((try * 5)); }
done
tail -n 30 "$log" >&2
echo "deps: apt-get could not install: ${missing[*]}" >&2
exit 1
