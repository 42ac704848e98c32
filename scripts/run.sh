#!/usr/bin/env bash
# Builds observerd and runs it until Ctrl-C. On Debian 12 and 13 it first installs the packages that the build needs.
#
#   scripts/run.sh [ARGUMENT...]          run observerd; the arguments are its own (build/observerd --help lists them)
#   scripts/run.sh --demo [ARGUMENT...]   run it in a temporary directory, with a made-up fleet whose failures have known
#                                         causes, and say what to look at
#   scripts/run.sh --help                 print this; nothing is built
#
#   OBSERVER_BUILD=DIR: run what was built there, and build nothing
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${OBSERVER_BUILD:-$root/build}
if [ "$build" = "$PWD/build" ]; then build=build; fi # as one would type it here

case ${1:-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

build() (
  cd "$root"
  scripts/deps.sh build
  mkdir -p build
  if ! cmake --preset release -D OBSERVER_TESTS=OFF >build/run.log 2>&1; then
    cat build/run.log >&2
    return 1
  fi
  if ! ninja -C build -n | grep -q 'no work to do'; then echo "compiling (about 20 s) ..." >&2; fi
  if ! cmake --build --preset release >>build/run.log 2>&1; then
    cat build/run.log >&2
    return 1
  fi
)

# What to try in another shell, and what it will show. $1: the option that leads to the daemon, "" when none is needed.
say_what_to_try() {
  cat <<END
  $build/observerctl top$1
      all endpoints as they work and fail: /v1/chat, scenario:fill, and after a minute mailer:send
  $build/observerctl clusters$1
      the failures by kind: timeouts, "no roster for Dayton" and others, each with how many, where and since when
  $build/observerctl advice -e /v1/chat$1
      what an agent is told before it calls /v1/chat: that qwen3-coder fails there, and what to do
END
}

# Waits until the diagnosis has named the first culprit.
announce_findings() {
  until "$build/observerctl" advice --url "$1" --endpoint /v1/chat 2>/dev/null | grep -q qwen3-coder; do sleep 1; done
  printf '\nThe first causes are found. Try in another shell:\n%s\n\n' "$(say_what_to_try "$2")"
}

demo() { # the demo's processes run in sessions of their own: Ctrl-C reaches this script only, which stops them in order
  local line http='' option=''
  directory=$(mktemp -d "${TMPDIR:-/tmp}/observer-demo.XXXXXX")
  echo "demo: everything is recorded in $directory, which is removed at the end"
  exec 3< <(exec setsid "$build/observerd" --data-dir "$directory" --cycle 5 \
    --overseer-corrections-path "$directory/corrections.jsonl" "$@")
  daemon=$!
  while IFS= read -r line <&3; do
    printf '%s\n' "$line"
    case $line in
      'http '*' http://'*) http=${http:-http://${line##* http://}} ;;
      ready*) break ;;
    esac
  done
  if [ -z "$http" ]; then wait "$daemon"; return; fi
  if [ "$http" != http://127.0.0.1:3800 ]; then option=" --url $http"; fi
  printf '\nThe first causes are found within half a minute. Try in another shell:\n%s\n\n' "$(say_what_to_try "$option")"
  setsid "$build/observerctl" demo --url "$http" --corrections "$directory/corrections.jsonl" 3<&- &
  producer=$!
  announce_findings "$http" "$option" 3<&- &
  announcer=$!
  cat <&3 &
  wait "$daemon"
}

stop() { # only what this script started
  trap '' INT TERM HUP
  for pid in ${announcer:-} ${producer:-} ${daemon:-}; do
    kill -TERM "$pid" 2>/dev/null || continue
    wait "$pid" || true
  done
  [ -z "${directory:-}" ] || rm -rf "$directory"
}

if [ -z "${OBSERVER_BUILD:-}" ]; then build; fi
unset OBSERVER_BUILD # it is no option of observerd's
if [ "${1:-}" != --demo ]; then exec "$build/observerd" "$@"; fi
shift
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
demo "$@"
