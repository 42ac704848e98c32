#!/usr/bin/env bash
# Follows the README as a newcomer does, in a bare Debian 13 in which nothing is installed by hand: its commands under Start,
# the demo with the three commands that it names, those under Install, and a fleet. They are taken from the README as they stand there.
# Then tests/process/test_readme.py runs all other blocks of the README and of proto, with the packages that these name.
# What is tried is a `git clone` of HEAD: what is not committed is not in it.
# Fails when one of them does, and prints how long it took from the start of the clone to the first op on the screen.
# Needs root or sudo, and may mount.
#
#   scripts/newcomer.sh
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'newcomer: %s\n' "$1"; }
fail() {
  say "FAIL: $1" >&2
  [ -z "${2:-}" ] || tail -n 40 "$2" >&2
  exit 1
}

# ---- inside the tree ----

FLEET='Beyond one machine' # the heading

block() { # PAGE HEADING PLACE: the block of code at that place, from 1, below the heading; without remarks
  awk -v heading="## $2" -v place="$3" '
    /^## / { here = $0 == heading; n = 0 }
    here && /^```/ { inside = !inside; if (inside) n++; next }
    here && inside && n == place' "$1" | sed 's/  *# .*//'
}

await() { # PATTERN FILE WHAT: until what runs has written the pattern, a minute at most
  local i
  for ((i = 0; i < 600; i++)); do
    if grep -q "$1" "$2"; then return; fi
    kill -0 "$running" 2>/dev/null || break
    sleep 0.1
  done
  fail "no $3, or not within a minute" "$2"
}

type_in() { # COMMAND PATTERN: in a terminal, where a full-screen one is left alone for three seconds. It must show the pattern
  local command="stty rows 30 cols 100; timeout --foreground 3 $1 || [ \$? = 124 ]"
  printf '$ %s\n' "$1"
  timeout 30 script -qec "$command" /dev/null >typed.out 2>&1 < <(sleep 4) || fail "$1" typed.out
  grep -q "$2" typed.out || fail "$1 does not show $2" typed.out
}

stop() { # STATUS: ends what `start` started as Ctrl-C does
  local status=0
  kill -INT "$running"
  wait "$running" || status=$?
  running=
  [ "$status" = "$1" ] || fail "it ended with $status, not $1" run.out
}

start() { # COMMAND: in a shell of its own
  printf '$ %s\n' "$1"
  : >run.out
  set -m # job control: a background job without it ignores Ctrl-C
  bash -c "exec $1" >run.out 2>&1 &
  running=$!
  set +m
}

first_op() {
  local run publish watch
  run=$(block README.md Start 2 | sed -n 1p)
  { read -r publish && read -r watch; } < <(block README.md Start 3)
  start "$run"
  await '^ready$' run.out 'ready'
  type_in "$publish" '1 recorded'
  type_in "$watch" /v1/chat
  say "first op seen $((($(date +%s%N) - CLONED_AT) / 1000000)) ms after the clone began"
  stop 0
}

demo() {
  local command i=0 shows=(/v1/chat 'no roster for Dayton' qwen3-coder)
  start "$(block README.md Start 2 | sed -n 2p)"
  await '^The first causes are found\.' run.out 'cause found'
  while read -r command; do
    type_in "$command" "${shows[i++]}"
  done < <(grep -o '^  [^ ]*observerctl .*' run.out | head -n 3)
  [ "$i" = 3 ] || fail "the demo names $i commands, not 3" run.out
  stop 130
}

installation() {
  local c='In C, with the library'
  sh -ec "$(block README.md Install 1)" >install.out 2>&1 || fail 'the installation' install.out
  block proto/publish.md "$c" 1 >publish.c
  start 'observerd --ephemeral'
  await '^ready$' run.out 'ready'
  sh -ec "$(block proto/publish.md "$c" 2)" || fail 'publish.c is not compiled, or does not publish'
  stop 0
  man observerctl >man.out 2>&1 || fail 'man observerctl' man.out
  grep -q '^NAME' man.out || fail 'man observerctl shows no page' man.out
  sh -ec "$(block README.md Install 2)"
  while read -r name; do
    [ ! -e "$name" ] || fail "$name is left"
  done <build/install_manifest.txt
  say 'installed, and taken away again'
}

fleet() {
  local publish ask
  start "$(block README.md "$FLEET" 1)"
  await '^Logs: ' run.out 'fleet'
  { read -r publish && read -r ask; } < <(block README.md "$FLEET" 2)
  type_in "$publish" '1 recorded'
  for ((i = 0; i < 60; i++)); do # it is counted as soon as a worker has folded it
    sh -c "$ask" >fleet.out 2>/dev/null || fail "$ask" run.out
    if grep -q '"total":1,' fleet.out && grep -q '"missing":\[\]' fleet.out; then break; fi
    sleep 0.5
  done
  [ "$i" -lt 60 ] || fail 'the fleet does not count the op' fleet.out
  stop 130
  say 'a fleet has counted an op'
}

named_packages() { # PAGE...: "package `x`", "packages `x` and `y`"
  # shellcheck disable=SC2016  # these are Markdown's
  grep -oh 'packages\? `[a-z0-9+.-]*`\( and `[a-z0-9+.-]*`\)*' "$@" | grep -o '`[^`]*`' | tr -d '`' | sort -u
}

other_blocks() {
  python3 -B tests/process/test_readme.py >blocks.out 2>&1 || fail 'the other blocks' blocks.out
  grep ' \.\.\. ok$' blocks.out
  say 'all other blocks ran'
}

# Ports are those of the README, so they are the tree's own: without a network but its loopback.
if [ "${1:-}" = --inside ]; then
  # shellcheck disable=SC2016  # these are Perl's
  perl -e '$up = pack("a16sx22", "lo", 1); socket(S, 2, 2, 0) && ioctl(S, 0x8914, $up) or die "loopback: $!\n"'
  trap '[ -z "${running:-}" ] || kill -TERM "$running"' EXIT
  for step in "${@:2}"; do "$step"; done
  exit
fi

# ---- outside ----

. scripts/debian13_tree.sh
tree_as_root "$@"

# A checkout may belong to another user, as in CI. It is trusted for these commands alone, and none of its files becomes root's.
from_here() { git --no-optional-locks -c safe.directory="$(pwd -P)" "$@"; }

# The repository that the newcomer clones. HEAD is pushed to it: this works from a worktree, from a shallow clone, and where
# HEAD is detached.
serve_head() { # REPOSITORY
  from_here rev-parse --quiet --verify 'HEAD^{commit}' >/dev/null || fail "$PWD is no git checkout: there is nothing to clone"
  git init --quiet --bare --initial-branch=main "$1"
  git -C "$1" config receive.shallowUpdate true
  from_here push --quiet --no-verify "file://$1" HEAD:refs/heads/main
  say "what is cloned is $(from_here log -1 --format='%h, %s')"
  if [ -n "$(from_here status --porcelain)" ]; then
    say 'there are changes here that are not committed: the clone holds HEAD, without them'
  fi
}

scripts/deps.sh newcomer
here=$(mktemp -d "$tree-newcomer.XXXXXX")
trap 'rm -rf --one-file-system "$here"' EXIT
tree_unpack "$here"
tree_network "$here"
echo 'Acquire::Retries "5";' >"$here/etc/apt/apt.conf.d/91retries" # package mirrors fail now and then
serve_head "$here/srv/observer.git"
# What a newcomer types while there is a network: git, the clone, and what run.sh does first (packages and build).
install_git=$(block <(from_here show HEAD:README.md) Start 1)
printf '$ %s\n' "$install_git"
tree_run "$here" DEBIAN_FRONTEND=noninteractive sh -ec "$install_git" >"$here/git.out" 2>&1 || fail 'git is not installed' "$here/git.out"
CLONED_AT=$(date +%s%N)
tree_run "$here" TERM=xterm sh -ec '
  git clone --quiet file:///srv/observer.git /src/observer
  cd /src/observer
  scripts/run.sh --version'
say "cloned, installed and built after $((($(date +%s%N) - CLONED_AT) / 1000000)) ms"
export -f tree_run
inside() { # STEP...
  unshare --net bash -euo pipefail -c 'tree_run "$@"' _ "$here" TERM=xterm CLONED_AT="$CLONED_AT" \
    bash /src/observer/scripts/newcomer.sh --inside "$@"
}
inside first_op demo
in_tree=$here/src/observer
mapfile -t packages < <(named_packages "$in_tree/README.md" "$in_tree/proto/publish.md")
printf '$ apt-get install %s\n' "${packages[*]}"
tree_run "$here" DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >"$here/packages.out" 2>&1 ||
  fail 'the packages that the README names are not installed' "$here/packages.out"
# What run-cluster.sh itself would install, had it a network here.
tree_run "$here" DEBIAN_FRONTEND=noninteractive sh -ec 'cd /src/observer && scripts/deps.sh fleet' >"$here/fleet.out" 2>&1 ||
  fail 'nats-server is not installed' "$here/fleet.out"
inside installation fleet other_blocks
say "all done $((($(date +%s%N) - CLONED_AT) / 1000000)) ms after the clone began"
