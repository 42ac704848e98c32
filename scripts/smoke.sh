#!/usr/bin/env bash
# A real daemon on a free port, in a temporary directory: posted events are recorded, counted, and survive kill -9.
#
#   scripts/smoke.sh      OBSERVER_BUILD=DIR: the build directory, default build
set -euo pipefail
cd "$(dirname "$0")/.."
observerd=${OBSERVER_BUILD:-build}/observerd
work=$(mktemp -d)
daemon=

finish() {
  if [ -n "$daemon" ]; then kill -KILL "$daemon" 2>/dev/null || true; fi
  wait
  rm -rf "$work"
}
trap finish EXIT

fail() {
  echo "smoke: FAIL: $1" >&2
  sed 's/^/  observerd: /' "$work/log" >&2 || true
  exit 1
}

start() { # sets `daemon` and `url`
  : >"$work/out"
  "$observerd" --http http://127.0.0.1:0 --pull none --sub none --rep none --feed none --data-dir "$work/data" \
    >"$work/out" 2>>"$work/log" &
  daemon=$!
  for _ in {1..300}; do
    if grep -q '^ready' "$work/out"; then break; fi
    kill -0 "$daemon" 2>/dev/null || fail "observerd did not start"
    sleep 0.1
  done
  url=$(sed -n 's/^http  *\(http:[^ ]*\).*/\1/p' "$work/out" | head -n 1)
  [ -n "$url" ] || fail "observerd printed no http URL"
}

post() { # BODY: prints the status code
  curl -s -o "$work/answer" -w '%{http_code}' -H 'content-type: application/json' --data "$1" "$url/v1/observer/event"
}

expect_stats() { # WHAT: 5 ops of 2 sources, 3 of them successes
  curl -sf "$url/observer/stats" >"$work/stats" || fail "$1: /observer/stats did not answer"
  python3 - "$work/stats" <<'PY' || fail "$1: $(cat "$work/stats")"
import json, sys
got = json.load(open(sys.argv[1]))
want = {"total": 5, "successes": 3, "failures": 2, "by_source": {"mcp": 3, "scenario": 2}}
sys.exit(any(got[key] != want[key] for key in want))
PY
}

start
for event in mcp:true mcp:false scenario:true mcp:true scenario:false; do
  body='{"endpoint":"/v1/chat","source":"'${event%:*}'","success":'${event#*:}',"input_summary":"smoke"}'
  [ "$(post "$body")" = 200 ] || fail "an event was not accepted: $(cat "$work/answer")"
done
[ "$(wc -l <"$work/data/ops.jsonl")" = 5 ] || fail "the journal has not 5 rows"
echo "smoke: 5 events recorded"

expect_stats "stats"
echo "smoke: stats aggregate them"

code=$(post '{"endpoint":"","source":"mcp","success":true}')
[ "$code" = 400 ] || fail "an empty endpoint was answered $code, not 400"
echo "smoke: an empty endpoint is 400"

{ kill -KILL "$daemon" && wait "$daemon"; } 2>/dev/null || true # the shell's own notice of it is left out
start
expect_stats "after kill -9 and a restart"
echo "smoke: kill -9 and a restart preserve all 5"
kill -TERM "$daemon"
wait "$daemon" || fail "observerd did not stop cleanly"
daemon=
