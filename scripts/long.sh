#!/usr/bin/env bash
# What takes too long for every change: ten minutes of each fuzz target, and ten of hostile peers with 2,000 connections to each
# socket, and ten of an open page while ops come in; it prints their figures. Then the unit under a real systemd; then the
# packages, built, installed, upgraded and purged in Debian 12 and 13. About two hours on two cores. A finding fails.
#
#   scripts/long.sh [SECONDS [CONNECTIONS]]     default: 600 seconds of each, 2,000 connections
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
connections=${2:-2000}
scripts/fuzz.sh "$seconds"
scripts/deps.sh build test browser
cmake --preset release -D OBSERVER_WERROR=ON >/dev/null
cmake --build --preset release --target observerd observerctl
python3 -B tests/long/hostile_load.py --seconds "$seconds" --connections "$connections"
OBSERVER_BUILD=build node tests/browser/run.mjs --file bench.mjs --minutes "$(((seconds + 59) / 60))"
scripts/systemd_test.sh
scripts/package_test.sh
