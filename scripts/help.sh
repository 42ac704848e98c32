#!/usr/bin/env bash
# Lists what there is to run here, with a line each; `scripts/NAME.sh --help` says more where there is more to say.
set -euo pipefail
cd "$(dirname "$0")"
for script in *.sh; do
  # What is sourced by others has no right to be run; its first lines say what it is for them.
  [ -x "$script" ] || continue
  printf '%-28s %s\n' "scripts/$script" "$(sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$script" | awk '
    { text = text " " $0 }
    END { sub(/^ /, "", text); n = match(text, /[.:;]( |$)/); print n ? substr(text, 1, n - 1) : text }')"
done
