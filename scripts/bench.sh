#!/usr/bin/env bash
# Builds release and prints, side by side: the bus and HTTP speed of the bare library and of observerd recording durably,
# producers that do not batch beside a socket whose bytes are dropped, what failures cost beside a bare append with its sync,
# acknowledged ops beside Redis, what keys, TLS and redaction cost, the cost of each stage, resident memory, the disk's own
# speed, libobserver's speed one call at a time, what 50 slow subscribers of the feed cost, how soon the page is there, and a fleet
# over NATS beside nats.c itself. About ten minutes. Installs what it lacks.
#   scripts/bench.sh [fleet]   the fleet alone
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh build test bench browser
cmake --preset release -D OBSERVER_TESTS=ON -D OBSERVER_WERROR=ON >/dev/null
# bench_nats is there in a build with NATS.
targets=(observerd observerctl nats_tool bench_bus bench_client bench_fold bench_frames bench_http bench_stage)
grep -q '^build tests/bench_nats:' build/build.ninja 2>/dev/null && targets+=(bench_nats)
cmake --build --preset release --target "${targets[@]}"
if [ "${1:-}" = fleet ]; then
  exec python3 -B tests/bench/bench_fleet.py build
fi
python3 -B tests/bench/bench.py build
python3 -B tests/bench/bench_client.py build
python3 -B tests/bench/bench_feed.py build
OBSERVER_BUILD=build node tests/browser/run.mjs --file bench.mjs
python3 -B tests/bench/bench_fleet.py build
