#!/usr/bin/env bash
# What takes too long for every change: ten minutes of each fuzz target, and ten of hostile peers with 2,000 connections to each
# socket, and ten of an open page while ops come in; it prints their figures. A fleet in network namespaces, which needs root,
# loses one thing after another while a million ops are acknowledged. Then the unit under a real systemd; then the
# packages, built, installed, upgraded and purged in Debian 12 and 13. About two hours on two cores. A finding fails.
#
#   scripts/long.sh [SECONDS [CONNECTIONS]]     default: 600 seconds of each, 2,000 connections
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
connections=${2:-2000}
scripts/fuzz.sh "$seconds"
scripts/deps.sh build test long browser
cmake --preset release -D OBSERVER_TESTS=ON -D OBSERVER_WERROR=ON >/dev/null
cmake --build --preset release --target observerd observerctl nats_tool
python3 -B tests/long/hostile_load.py --seconds "$seconds" --connections "$connections"
OBSERVER_BUILD=build python3 -B tests/long/fleet_faults.py --keep-going
OBSERVER_BUILD=build node tests/browser/run.mjs --file bench.mjs --minutes "$(((seconds + 59) / 60))"
scripts/systemd_test.sh
scripts/package_test.sh
