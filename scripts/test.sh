#!/usr/bin/env bash
# Builds and runs every test (unit, process, smoke): release, then under ASan+UBSan, then under TSan. Installs what a
# fresh Debian 12 or 13 lacks for it.
#
#   scripts/test.sh [PRESET...]     default: release asan tsan; about 15 minutes on 2 cores
#   OBSERVER_TRIES=2                a test that fails is run once more; its first failure stays in the output
#   scripts/test.sh --help          print this; nothing is built
set -euo pipefail
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
presets=("$@")
[ $# -gt 0 ] || presets=(release asan tsan)

run_preset() {
  local preset=$1 run=()
  echo "== $preset: build"
  cmake --preset "$preset" -D OBSERVER_TESTS=ON -D OBSERVER_WERROR=ON >/dev/null
  cmake --build --preset "$preset"
  # TSan's memory layout does not fit the address randomisation of newer kernels: run without it where that is allowed.
  if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then run=(setarch -R); fi
  echo "== $preset: test"
  # Most process tests wait rather than compute: more of them than cores run at once.
  "${run[@]}" ctest --preset "$preset" -j "$((3 * $(nproc)))" --no-label-summary --repeat "until-pass:${OBSERVER_TRIES:-1}"
}

groups=(build test)
# The browser's tests are of the release build alone. OBSERVER_BROWSER=off: without them.
if [[ " ${presets[*]} " = *" release "* ]] && [ "${OBSERVER_BROWSER:-on}" = on ]; then groups+=(browser); fi
scripts/deps.sh "${groups[@]}"
for preset in "${presets[@]}"; do run_preset "$preset"; done
