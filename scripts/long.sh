#!/usr/bin/env bash
# What takes too long for every change: ten minutes of each fuzz target, and ten of hostile peers with 2,000 connections to each
# socket, whose figures it prints. About an hour and a half on two cores. A finding fails.
#
#   scripts/long.sh [SECONDS [CONNECTIONS]]     default: 600 seconds of each, 2,000 connections
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
connections=${2:-2000}
scripts/fuzz.sh "$seconds"
scripts/deps.sh build test
cmake --preset release -D OBSERVER_WERROR=ON >/dev/null
cmake --build --preset release --target observerd
python3 -B tests/long/hostile_load.py --seconds "$seconds" --connections "$connections"
