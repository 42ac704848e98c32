#!/bin/sh
# Publishes with programs that every Debian has: nngcat (package nng-utils) on the bus, curl over HTTP.
#
#   publish.sh [PULL [REP [HTTP]]]
#
# Where the daemon has keys, the listeners of PULL and REP name one, and HTTP gets that of OBSERVER_KEY_FILE (its first line) or
# OBSERVER_KEY: through curl's input, because every user of a machine can see the arguments of a program.
set -eu
pull=${1:-tcp://127.0.0.1:3801} rep=${2:-tcp://127.0.0.1:3803} http=${3:-http://127.0.0.1:3800}

# Handed over, not answered.
nngcat --push --dial="$pull" --data='{"endpoint":"/v1/chat","success":true,"duration_ms":120,"source":"shell"}'

# Answered (a msgpack map) when it is durable. Sent again with the same op_id, it is recorded once all the same.
nngcat --req --dial="$rep" --raw --data='{"endpoint":"/v1/chat","success":true,"source":"shell","op_id":"job-17-1"}' >/dev/null

key=${OBSERVER_KEY:-}
if [ -n "${OBSERVER_KEY_FILE:-}" ]; then read -r key <"$OBSERVER_KEY_FILE" || [ -n "$key" ]; fi

# A batch over HTTP; the answer says how many were taken, and why others were not.
if [ -n "$key" ]; then printf 'header = "authorization: Bearer %s"\n' "$key"; fi | curl -K - -sS --fail -H 'content-type: application/json' "$http/v1/observer/event" \
  -d '[{"endpoint":"/a","success":true,"source":"shell"},{"endpoint":"/b","error":"timeout","source":"shell"}]'
echo
