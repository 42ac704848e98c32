#!/usr/bin/env bash
# Builds release and prints, side by side: the bus and HTTP speed of the bare library and of observerd recording durably,
# producers that do not batch beside a socket whose bytes are dropped, what failures cost beside a bare append with its sync,
# acknowledged ops beside Redis, what keys, TLS and redaction cost, the cost of each stage, resident memory, the disk's own
# speed, libobserver's speed one call at a time, what 50 slow subscribers of the feed cost, and how soon the page is there. About
# five minutes. Installs what it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh build test bench browser
cmake --preset release -D OBSERVER_TESTS=ON -D OBSERVER_WERROR=ON >/dev/null
cmake --build --preset release --target observerd observerctl bench_bus bench_client bench_frames bench_http bench_stage
python3 -B tests/bench/bench.py build
python3 -B tests/bench/bench_client.py build
python3 -B tests/bench/bench_feed.py build
OBSERVER_BUILD=build node tests/browser/run.mjs --file bench.mjs
