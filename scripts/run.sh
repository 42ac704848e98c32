#!/usr/bin/env bash
# Builds observerd and runs it; arguments go to observerd. Installs what a fresh Debian 12 or 13 lacks for it.
#
#   scripts/run.sh [ARGUMENT...]          run until Ctrl-C
#   scripts/run.sh --demo [ARGUMENT...]   also run a small producer on the bus, so that there is something to see
set -euo pipefail
arguments=("$@")
root=$(cd "$(dirname "$0")/.." && pwd)

build() (
  cd "$root"
  scripts/deps.sh build
  mkdir -p build
  if ! { cmake --preset release -D OBSERVER_TESTS=OFF && cmake --build --preset release; } >build/run.log 2>&1; then
    cat build/run.log >&2
    return 1
  fi
)

demo() { # the demo's processes run in sessions of their own: Ctrl-C reaches this script only, which stops them in order
  local line push=
  exec 3< <(exec setsid "$root/build/observerd" "$@")
  daemon=$!
  while IFS= read -r line <&3; do
    printf '%s\n' "$line"
    case $line in
      'pull '*' tcp://'*) push=tcp://${line##*tcp://} ;;
      ready*) break ;;
    esac
  done
  if [ -z "$push" ]; then wait "$daemon"; return; fi
  setsid "$root/build/observerctl" demo --push "$push" 3<&- &
  producer=$!
  cat <&3 &
  wait "$daemon"
}

stop() { # only what this script started
  trap '' INT TERM HUP
  for pid in ${producer:-} ${daemon:-}; do
    kill -TERM "$pid" 2>/dev/null || continue
    wait "$pid" || true
  done
}

echo "building observerd (the first time takes a minute) ..." >&2
build
if [ "${arguments[0]:-}" != --demo ]; then exec "$root/build/observerd" "$@"; fi
shift
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
demo "$@"
