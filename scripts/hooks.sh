#!/usr/bin/env bash
# Installs git hooks: before a commit the formatting of what is staged is checked, the tree is built, and the unit tests that take
# seconds run; before a push scripts/check.sh and the release tests. A hook of your own is left alone.
# `git commit --no-verify` and `git push --no-verify` pass them by.
#
#   scripts/hooks.sh            install
#   scripts/hooks.sh --remove   remove them again
set -euo pipefail
cd "$(dirname "$0")/.."
mark='# observer: scripts/hooks.sh'
remove=
case ${1:-} in
  '') ;;
  --remove) remove=1 ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac

hook() { # NAME: on standard input its commands
  local path
  path=$(git rev-parse --git-path hooks)/$1
  if [ -e "$path" ] && ! grep -qxF "$mark" "$path"; then
    echo "hooks: $path is not this project's: it was not changed" >&2
    cat >/dev/null
    return 1
  fi
  if [ -n "$remove" ]; then
    cat >/dev/null
    rm -f "$path"
    echo "hooks: removed $path"
    return
  fi
  mkdir -p "$(dirname "$path")"
  {
    # shellcheck disable=SC2016 # the hook's own shell expands it
    printf '#!/usr/bin/env bash\n%s\nset -euo pipefail\ncd "$(git rev-parse --show-toplevel)"\n' "$mark"
    cat
  } >"$path.new"
  chmod +x "$path.new"
  mv "$path.new" "$path"
  echo "hooks: installed $path"
}

status=0
hook pre-commit <<'HOOK' || status=1
mapfile -d '' -t staged < <(git diff --cached --name-only --diff-filter=d -z -- '*.c' '*.h')
[ ${#staged[@]} -gt 0 ] || exit 0
if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
  clang-format --dry-run -Werror "${staged[@]}"
fi
cmake --preset release -D OBSERVER_TESTS=ON -D OBSERVER_WERROR=ON >/dev/null
cmake --build --preset release
ctest --preset release -L unit -E 'test_(diagnose|facts|client|analyses)$' -j "$(nproc)" --no-label-summary
HOOK
hook pre-push <<'HOOK' || status=1
scripts/check.sh
scripts/test.sh release
HOOK
exit "$status"
