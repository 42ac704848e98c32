#!/usr/bin/env bash
# Says what is wrong with an installation, as `observerctl doctor` does; the arguments are its own (--json, --url URL, --data-dir DIR).
# Takes what was built here, else what is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
for observerctl in "${OBSERVER_BUILD:-$here/build}/observerctl" "$(command -v observerctl || true)"; do
  if [ -x "$observerctl" ]; then exec "$observerctl" doctor "$@"; fi
done
echo "doctor: there is no observerctl: scripts/run.sh builds it" >&2
exit 1
