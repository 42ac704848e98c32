#!/usr/bin/env bash
# Formatting, clang-tidy, cppcheck, shellcheck, the page against its sources: a finding fails. Installs what a fresh Debian lacks for it.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t all < <(find src include tests -name '*.[ch]' | sort)
mapfile -t sources < <(find src tests -name '*.c' | sort)

check_format() {
  # One version decides how code looks: what Debian 12 has. Others differ in details.
  if clang-format --version | grep -q 'version 14\.'; then
    clang-format --dry-run -Werror "${all[@]}"
  else
    echo "check: skipping the formatting: it is judged by clang-format 14, this is $(clang-format --version)"
  fi
}

check_cppcheck() {
  # System headers are not read: their macros are not ours to judge, and a loop that cJSON makes of one is unknown to it
  # (tests). cppcheck 2.10 takes the hexadecimal float 0x1p63 for an integer (reader.c) and does not parse designated
  # initialisers in a conditional expression (internalAstError).
  cppcheck -q -j "$(nproc)" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=internalAstError \
    '--suppress=unknownMacro:tests/unit/*' --suppress=incorrectLogicOperator:src/op/reader.c -D__linux__ -D_GNU_SOURCE '-DOBSERVER_VERSION="0"' \
    '-DOBSERVER_SOURCE_DIR="."' -Iinclude -Isrc src tests
}

check_tidy() {
  cmake --preset release -D OBSERVER_TESTS=ON -D OBSERVER_WERROR=ON >/dev/null || return 1
  # shellcheck disable=SC2016  # the inner shell expands these
  printf '%s\0' "${sources[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c \
    'out=$(clang-tidy --quiet -p build "$1" 2>&1) || { printf "%s\n" "$out"; exit 1; }' _
}

check_plane() { scripts/plane.sh --check; }

check_shell() { shellcheck -x -e SC1090,SC1091 scripts/*.sh .ci/run; }

scripts/deps.sh build test check
failed=()
for check in format shell plane cppcheck tidy; do
  echo "== check: $check"
  "check_$check" || failed+=("$check")
done
[ ${#failed[@]} -eq 0 ] || { echo "check: failed: ${failed[*]}" >&2; exit 1; }
