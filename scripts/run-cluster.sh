#!/usr/bin/env bash
# Runs a whole fleet on this machine until Ctrl-C: three nats-servers with JetStream, edges that record and forward, workers
# that fold what all edges have recorded. All of it listens on loopback only. It is for trying out what proto/fleet.md
# describes: on one machine nothing survives the loss of the machine. Builds observerd first, and installs what is missing.
#
#   scripts/run-cluster.sh [OPTION...] [-- ARGUMENT...]   the arguments are observerd's, and go to each
#
#   --edges N        1 to 8 [2, or as many as the directory has had]
#   --workers N      1 to 16 [2, or as many as the directory has had]
#   --demo           publish a made-up fleet's ops through all edges, with failures whose causes are known
#   --data-dir DIR   keep everything in DIR: a start with the same one goes on where the last ended
#                    [a temporary directory, which is removed at the end]
#   --any-ports      take ports that are free instead of those below
#   --help           print this; nothing is built
#
# Ports, each where it is free, else another one, which is printed: edge 1 has 3800 to 3804, as a single observerd has them,
# edge 2 has 3810 to 3814, and so on; worker 1 has 3901, worker 2 has 3902; the nats-servers have 4222 to 4224, for each other
# 6222 to 6224, and say on 8222 to 8224 how they are.
#
#   OBSERVER_BUILD=DIR: run what was built there, and build nothing
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=${OBSERVER_BUILD:-$root/build}
if [ "$build" = "$PWD/build" ]; then build=build; fi # as one would type it here

NATS=(nats1 nats2 nats3)
READY_S=120     # for each step of the start
STOP_S=60       # for each step of the stop; then kill -9
AGAIN_S=30      # who dies is started again so much later: long enough to see the others take over
NATS_SHARE=5    # a server may fill so much of the free disk: one part in five; the three of them have the same disk
exec 3>&2       # for errors, where bash's own remarks on killed jobs are not to be seen

declare -A pid_of=() again_at=() url_of=() # by name of part; url_of by NAME.KIND
edges=() workers=() demos=()
data='' temporary='' failed='' stop_began=0 tick=''

say() { printf '%s\n' "$*"; }
usage() { say "run-cluster: $1 (--help says what there is)" >&3; exit 2; }

# ---- what is asked for ----

show_help() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"; }

number() { # OPTION VALUE MOST
  if ! [[ $2 =~ ^[1-9][0-9]?$ ]] || [ "$2" -gt "$3" ]; then usage "$1: must be a number from 1 to $3, not '$2'"; fi
  printf '%s\n' "$2"
}

n_edges='' n_workers='' demo='' any_ports='' arguments=()
while [ $# -gt 0 ]; do
  option=$1
  case $option in --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}"; option=$1 ;; esac
  case $option in
    --edges | --workers | --data-dir) [ -n "${2:-}" ] || usage "$option: its value is missing" ;;
  esac
  case $option in
    -h | --help) show_help; exit 0 ;;
    --edges) n_edges=$(number "$option" "$2" 8); shift ;;
    --workers) n_workers=$(number "$option" "$2" 16); shift ;;
    --data-dir) data=$2; shift ;;
    --demo) demo=yes ;;
    --any-ports) any_ports=yes ;;
    --) shift; arguments=("$@"); break ;;
    *) usage "$option: no such option" ;;
  esac
  shift
done

# ---- built, installed ----

build() (
  cd "$root"
  unset OBSERVER_BUILD
  scripts/run.sh --version >/dev/null
)

find_nats_server() { command -v nats-server || PATH=/usr/sbin:/usr/local/sbin command -v nats-server; }

# ---- parts ----

is_alive() { [ -n "${pid_of[$1]:-}" ] && kill -0 "${pid_of[$1]}" 2>/dev/null; }
log_of() { printf '%s/logs/%s.log' "$data" "$1"; }

# In a session of its own: Ctrl-C reaches this script only, which stops all in order. Were it killed itself, they end as well.
spawn() { # NAME COMMAND...
  local log
  log=$(log_of "$1")
  [ ! -e "$log" ] || mv -f "$log" "$log.1"
  setsid setpriv --pdeathsig TERM "${@:2}" >"$log" 2>&1 </dev/null &
  pid_of[$1]=$!
}

is_free() { ! (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

declare -A taken=()
pick_port() { # PREFERRED: sets `port`
  port=$1
  while [ -n "$any_ports" ] || [ -n "${taken[$port]:-}" ] || ! is_free "$port"; do
    port=$((10000 + RANDOM % 22000)) # not of the range from which the system serves port 0
    if [ -z "${taken[$port]:-}" ] && is_free "$port"; then break; fi
  done
  taken[$port]=yes
}

get() ( # PORT PATH: the body of an answer that is 200
  exec 2>/dev/null 4<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&4
  answer=$(timeout 5 cat <&4) || exit 1
  [[ $answer = HTTP/1.?' 200 '* ]] && printf '%s\n' "${answer#*$'\r\n\r\n'}"
)

# ---- nats-servers ----

declare -A nats_port=() route_port=() monitor_port=()

write_nats_config() { # NAME
  local routes='' other sync=''
  for other in "${NATS[@]}"; do routes+="${routes:+, }\"nats://127.0.0.1:${route_port[$other]}\""; done
  # What it acknowledges is on the disk. 2.9 knows no such thing, and syncs every two minutes; then the edges keep what they
  # have forwarded for longer than that, and publish again what is lost.
  if [ "$nats_version" != 2.9 ]; then sync='sync_interval: always'; fi
  cat >"$data/nats/$1.conf" <<END
server_name: $1
listen: "127.0.0.1:${nats_port[$1]}"
http: "127.0.0.1:${monitor_port[$1]}"
jetstream { store_dir: "$data/nats/$1", max_mem: 64MB, max_file: $nats_bytes, $sync }
cluster { name: observer, listen: "127.0.0.1:${route_port[$1]}", routes: [ $routes ] }
END
}

start_nats() { # NAME
  write_nats_config "$1"
  spawn "$1" "$nats_server" --config "$data/nats/$1.conf"
}

jetstream_of() { get "${monitor_port[$1]}" /jsz | tr -d ' \n'; }

nats_is_ready() { # NAME: it serves JetStream, and knows its cluster's leader
  get "${monitor_port[$1]}" '/healthz?js-server-only=true' | grep -q '"ok"' && jetstream_of "$1" | grep -q '"meta_cluster":{[^}]*"leader":"nats'
}

nats_are_one() { # each knows of all
  local name
  for name in "${NATS[@]}"; do jetstream_of "$name" | grep -q "\"cluster_size\":${#NATS[@]}" || return 1; done
}

# On a busy machine a cluster that is new may form without one of its servers, and stays so: then it begins once more.
start_all_nats() {
  local name end new='' try
  [ -e "$data/nats/${NATS[0]}" ] || new=yes
  for try in 1 2 3; do
    for name in "${NATS[@]}"; do start_nats "$name"; done
    for name in "${NATS[@]}"; do await 'has no JetStream' "$name" nats_is_ready; done
    [ -n "$new" ] || return 0
    end=$((SECONDS + 20))
    while ! nats_are_one && [ "$SECONDS" -lt "$end" ]; do sleep 0.2; done
    if nats_are_one; then return 0; fi
    [ "$try" != 3 ] || fail 'the nats-servers do not find each other' "${NATS[0]}"
    end_group 'nats-servers: they have not found each other, once more' "${NATS[@]}" || true
    for name in "${NATS[@]}"; do rm -rf "$data/nats/$name"; done
  done
}

# ---- observerds ----

listener() { # NAME KIND PORT: the URL that it had, else the fixed port if that is free, else any
  local scheme=tcp
  if [ "$2" = http ]; then scheme=http; fi
  if [ -n "${url_of[$1.$2]:-}" ]; then printf '%s\n' "${url_of[$1.$2]}"
  elif [ -z "$any_ports" ] && is_free "$3"; then printf '%s://127.0.0.1:%s\n' "$scheme" "$3"
  else printf '%s://127.0.0.1:0\n' "$scheme"; fi
}

start_observerd() { # NAME
  local kind port name command=("$build/observerd" --data-dir "$data/$1" --replicas 3)
  case $1 in
    edge*)
      port=$((3790 + ${1#edge} * 10))
      for name in "${NATS[@]}"; do command+=(--forward "nats://127.0.0.1:${nats_port[$name]}"); done
      for kind in http pull sub rep feed; do
        command+=("--$kind" "$(listener "$1" "$kind" "$port")")
        port=$((port + 1))
      done
      ;;
    worker*)
      for name in "${NATS[@]}"; do command+=(--jetstream "nats://127.0.0.1:${nats_port[$name]}"); done
      command+=(--http "$(listener "$1" http $((3900 + ${1#worker})))")
      ;;
  esac
  spawn "$1" "${command[@]}" ${arguments[@]+"${arguments[@]}"}
}

observerd_has_begun() { # NAME: it said where it listens
  local kind url log
  log=$(log_of "$1")
  grep -q '^ready' "$log" || return 1
  while read -r kind url; do
    : "${url_of[$1.$kind]:=$url}"
  done < <(sed -n 's/^\(http\|pull\|sub\|rep\|feed\)  *\([a-z]*:[^ ]*\)$/\1 \2/p' "$log")
}

port_of() { # NAME: of its HTTP
  local url=${url_of[$1.http]}
  printf '%s\n' "${url##*:}"
}

observerd_is_ready() { observerd_has_begun "$1" && get "$(port_of "$1")" /readyz >/dev/null; }

fleet_is_whole() { # NAME: who is asked; each partition is held, and its worker has answered
  get "$(port_of "$1")" '/v1/observer/summary?scope=cluster' | tr -d ' \n' | grep -q '"missing":\[\],"rebuilding":\[\]'
}

start_demo() { # NAME EDGE
  spawn "$1" "$build/observerctl" demo --url "${url_of[$2.http]}"
}

start_part() { # NAME
  case $1 in
    nats*) start_nats "$1" ;;
    demo*) start_demo "$1" "edge${1#demo}" ;;
    *) start_observerd "$1" ;;
  esac
}

# ---- the start ----

fail() { # WHAT NAME: with the end of its log
  failed=yes
  say "run-cluster: $1. The end of $(log_of "$2"):" >&3
  tail -n 15 "$(log_of "$2")" | sed 's/^/    /' >&3
  exit 1
}

await() { # WHAT NAME COMMAND...: until the command says so of the part, which has to live
  local end=$((SECONDS + READY_S))
  until "${@:3}" "$2"; do
    is_alive "$2" || { local status=0; wait "${pid_of[$2]}" || status=$?; fail "$2 ended with status $status before it was ready" "$2"; }
    [ "$SECONDS" -lt "$end" ] || fail "$2 $1 after $READY_S s" "$2"
    sleep 0.2
  done
}

take_directory() {
  if [ -z "$data" ]; then
    data=$(mktemp -d "${TMPDIR:-/tmp}/observer-fleet.XXXXXX")
    temporary=yes
  fi
  (umask 077 && mkdir -p "$data/nats" "$data/logs")
  data=$(cd "$data" && pwd)
  exec 9>"$data/lock"
  flock -n 9 || { temporary=''; say "run-cluster: another fleet runs in $data" >&3; exit 1; }
  # How many there were, so that a start without options goes on with as many.
  local had_edges=2 had_workers=2
  nats_bytes=''
  if [ -e "$data/fleet" ]; then
    read -r had_edges had_workers nats_bytes <"$data/fleet"
  fi
  n_edges=${n_edges:-$had_edges}
  n_workers=${n_workers:-$had_workers}
  if [ -z "$nats_bytes" ]; then nats_bytes=$(($(df --output=avail -B1 "$data" | tail -n 1) / NATS_SHARE)); fi
  printf '%s %s %s\n' "$n_edges" "$n_workers" "$nats_bytes" >"$data/fleet"
  local n
  for ((n = n_edges + 1; n <= 8; n++)); do
    if [ -e "$data/edge$n" ]; then say "edge$n is not started: what it has not forwarded yet waits in $data/edge$n"; fi
  done
}

start_all() {
  local name n port
  for name in "${NATS[@]}"; do
    n=${name#nats}
    pick_port $((4221 + n)) && nats_port[$name]=$port
    pick_port $((6221 + n)) && route_port[$name]=$port
    pick_port $((8221 + n)) && monitor_port[$name]=$port
  done
  say "starting ${#NATS[@]} nats-servers ($("$nats_server" --version | sed 's/.*v//'))"
  start_all_nats
  for ((n = 1; n <= n_edges; n++)); do edges+=("edge$n"); done
  for ((n = 1; n <= n_workers; n++)); do workers+=("worker$n"); done
  say "starting $n_edges edges and $n_workers workers"
  for name in "${edges[@]}" "${workers[@]}"; do start_observerd "$name"; done
  for name in "${edges[@]}" "${workers[@]}"; do await 'is not ready' "$name" observerd_is_ready; done
  for name in "${workers[@]}"; do await 'has no answer for all partitions' "$name" fleet_is_whole; done
  if [ -n "$demo" ]; then
    for name in "${edges[@]}"; do demos+=("demo${name#edge}"); done
    for name in "${demos[@]}"; do start_part "$name"; done
  fi
}

say_where_to_look() {
  local name last=${edges[-1]} row='  %-8s %-26s %-22s %s\n' http=${url_of[edge1.http]}
  say
  say "The fleet is ready after $SECONDS s. Ctrl-C stops it."
  say
  # shellcheck disable=SC2059  # a table's rows are alike
  {
    printf "$row" '' 'page, HTTP' 'to publish (PULL)' pid
    for name in "${edges[@]}"; do printf "$row" "$name" "${url_of[$name.http]}/" "${url_of[$name.pull]}" "${pid_of[$name]}"; done
    for name in "${workers[@]}"; do printf "$row" "$name" "${url_of[$name.http]}/" '' "${pid_of[$name]}"; done
    for name in "${NATS[@]}"; do printf "$row" "$name" "nats://127.0.0.1:${nats_port[$name]}" '' "${pid_of[$name]}"; done
  }
  say
  if [ -n "$demo" ]; then say "A made-up fleet publishes 80 ops a second through each edge."; fi
  say "In another shell:"
  say
  say "  $build/observerctl pub --url ${url_of[$last.http]} --endpoint /v1/chat --success"
  say "      one more op, through $last"
  say "  curl '$http/v1/observer/summary?scope=cluster'"
  say "      the numbers of the whole fleet; each edge and worker has them"
  say "  curl '$http/v1/observer/clusters?scope=cluster'"
  say "      its failures by kind"
  if [ "$n_workers" -gt 1 ]; then
    say "  kill -9 ${pid_of[worker1]}"
    say "      worker1: the others have its partitions within 20 s, and each op still counts once; after $AGAIN_S s it is"
    say "      started again. Edges and nats-servers may be killed as well"
  fi
  say
  say "Logs: $data/logs"
  if [ -n "$temporary" ]; then say "$data is removed at the end: --data-dir DIR keeps what is recorded."; fi
}

# ---- while it runs ----

note_end() { # NAME: it is gone, and nobody here ended it
  local status=0 how
  wait "${pid_of[$1]}" || status=$?
  how="ended with status $status"
  if [ "$status" -gt 128 ]; then how="was killed by signal $((status - 128))"; fi
  unset "pid_of[$1]"
  again_at[$1]=$((SECONDS + AGAIN_S))
  say "$(date +%T) $1 $how; it is started again in $AGAIN_S s (log: $(log_of "$1"))"
}

watch() {
  local name
  while true; do
    sleep 1 9>&- & # without the lock, which it must not hold for longer than this
    tick=$!
    wait "$tick" || true
    tick=''
    for name in "${!pid_of[@]}"; do is_alive "$name" || note_end "$name"; done
    for name in "${!again_at[@]}"; do
      [ "$SECONDS" -ge "${again_at[$name]}" ] || continue
      unset "again_at[$name]"
      start_part "$name"
      say "$(date +%T) $name is started again, pid ${pid_of[$name]}"
    done
  done
}

# ---- the stop ----

end_group() { # WHAT NAME...: all at once, each with its time; status 1: one did not end as it should
  local name status end=$((SECONDS + STOP_S)) bad=0 living=()
  for name in "${@:2}"; do is_alive "$name" && living+=("$name"); done
  [ ${#living[@]} -gt 0 ] || return 0
  say "stopping $1"
  for name in "${living[@]}"; do kill -TERM "${pid_of[$name]}" || true; done
  for name in "${living[@]}"; do
    while is_alive "$name" && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
    if is_alive "$name"; then
      say "run-cluster: $name has not ended within $STOP_S s and is killed: $(log_of "$name")" >&3
      kill -KILL "${pid_of[$name]}" || true
      bad=1
    fi
    status=0
    wait "${pid_of[$name]}" || status=$?
    unset "pid_of[$name]"
    case $name in
      edge* | worker*) [ "$status" = 0 ] || [ "$status" = 143 ] || { say "run-cluster: $name ended with status $status: $(log_of "$name")" >&3; bad=1; } ;;
    esac
  done
  return "$bad"
}

kill_all() { # Ctrl-C again. Not at once: one press may come twice, to this script and to its group
  local name
  if [ "$SECONDS" -lt $((stop_began + 2)) ]; then return; fi
  for name in "${!pid_of[@]}"; do kill -KILL "${pid_of[$name]}" || true; done
}

stop() { # only what this script started
  local status=$? bad=0
  stop_began=$SECONDS
  trap '' HUP
  trap kill_all INT TERM
  exec 2>/dev/null
  [ -z "$tick" ] || kill "$tick" || true
  end_group 'the made-up fleet' ${demos[@]+"${demos[@]}"} || bad=1
  end_group 'edges' ${edges[@]+"${edges[@]}"} || bad=1
  end_group 'workers' ${workers[@]+"${workers[@]}"} || bad=1
  end_group 'nats-servers' "${NATS[@]}" || bad=1
  if [ -n "$temporary" ] && [ -z "$failed" ] && [ "$bad" = 0 ]; then
    rm -rf "$data"
  elif [ -n "$data" ]; then
    say "What it recorded and its logs are in $data"
  fi
  [ "$bad" = 0 ] || exit 1
  exit "$status"
}

if [ -z "${OBSERVER_BUILD:-}" ]; then build; fi
unset OBSERVER_BUILD # it is no option of observerd's
nats_server=$(find_nats_server) || { "$root/scripts/deps.sh" fleet && nats_server=$(find_nats_server); } ||
  { say "run-cluster: there is no nats-server in the PATH" >&3; exit 1; }
nats_version=$("$nats_server" --version | sed 's/.*v\([0-9]*\.[0-9]*\).*/\1/')
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
take_directory
start_all
say_where_to_look
watch 2>/dev/null
