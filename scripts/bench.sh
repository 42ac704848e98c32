#!/usr/bin/env bash
# Builds release and prints, side by side: the bus and HTTP speed of the bare library and of observerd recording durably,
# the cost of each stage, resident memory, and the disk's own speed. About two minutes. Installs what it lacks.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh build test bench
cmake --preset release -D OBSERVER_TESTS=ON >/dev/null
cmake --build --preset release --target observerd bench_bus bench_http bench_stage
exec python3 -B tests/bench/bench.py build
