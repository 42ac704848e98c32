#!/bin/sh
# Publishes with programs that every Debian has: nngcat (package nng-utils) on the bus, curl over HTTP.
#
#   publish.sh [PULL [REP [HTTP]]]
set -eu
pull=${1:-tcp://127.0.0.1:3801} rep=${2:-tcp://127.0.0.1:3803} http=${3:-http://127.0.0.1:3800}

# Handed over, not answered.
nngcat --push --dial="$pull" --data='{"endpoint":"/v1/chat","success":true,"duration_ms":120,"source":"shell"}'

# Answered (a msgpack map) when it is durable. Sent again with the same op_id, it is recorded once all the same.
nngcat --req --dial="$rep" --raw --data='{"endpoint":"/v1/chat","success":true,"source":"shell","op_id":"job-17-1"}' >/dev/null

# A batch over HTTP; the answer says how many were taken, and why others were not.
curl -sS --fail -H 'content-type: application/json' "$http/v1/observer/event" \
  -d '[{"endpoint":"/a","success":true,"source":"shell"},{"endpoint":"/b","error":"timeout","source":"shell"}]'
echo
