#!/usr/bin/env bash
# Builds the fuzz targets (tests/fuzz) and runs each of them, as many at a time as there are cores. A finding fails: the
# input is in build-fuzz/found, with how to see it again. What was learned stays in build-fuzz/corpus for the next run.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     default: 30 seconds, all targets
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
targets=("${@:2}")

# Bounds that a sound target stays far below; FUZZ_CHECK and the sanitizers end it at a finding.
run_target() {
  local name=$1 log=build-fuzz/$1.log
  mkdir -p "build-fuzz/corpus/$name" build-fuzz/found
  if ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=16 "build-fuzz/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 \
    -max_len=8192 -print_final_stats=1 -artifact_prefix="build-fuzz/found/$name-" "build-fuzz/corpus/$name" \
    "tests/fuzz/corpus/$name" >"$log" 2>&1; then
    printf 'fuzz: %-10s %9s inputs, at most %s MB\n' "$name" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
      "$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")"
  else
    tail -n 60 "$log"
    echo "fuzz: $name failed; again with: build-fuzz/tests/fuzz/fuzz_$name build-fuzz/found/$name-*"
    return 1
  fi
}

scripts/deps.sh build fuzz
cmake --preset fuzz -D OBSERVER_WERROR=ON >/dev/null
cmake --build --preset fuzz
if [ ${#targets[@]} -eq 0 ]; then
  for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    targets+=("${name#fuzz_}")
  done
fi

failed=0 running=0
for name in "${targets[@]}"; do
  if [ "$running" -ge "$(nproc)" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
  run_target "$name" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done
exit "$failed"
