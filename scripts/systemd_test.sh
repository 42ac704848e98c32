#!/usr/bin/env bash
# Runs the daemon under a real systemd: a bare Debian of this machine's release with its own kernel boots in qemu, and the unit
# is tried there as it is shipped and with the drop-ins of observerd-override.conf: start and stop, its sandbox, reload, a long
# recovery, the watchdog, credentials, calls to a model, what the address filter and the user namespace close, and opening it.
# Nothing of this machine but its processor is used (software emulation, no network). Needs root or sudo, and may
# mount; some 10 minutes.
#
#   scripts/systemd_test.sh [STEP]...     default: all; their names stand below
set -euo pipefail
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac

say() { printf 'systemd_test: %s\n' "$1"; }

# ---- inside the machine ----

unit=observerd.service
drop=/etc/systemd/system/$unit.d
data=/var/lib/observerd # systemd's link to the directory of this service's user
url=http://127.0.0.1:3800
fails='{"endpoint":"/model","success":false,"error":"the upstream refused the call"}'

fail() {
  say "FAIL: $1"
  systemctl status --no-pager --lines=0 $unit || true
  journalctl --no-pager --output=short-monotonic --lines=60 _TRANSPORT=journal + _TRANSPORT=stdout || true
  exit 1
}

property() { systemctl show --property "$1" --value $unit; }

is() { # PROPERTY VALUE
  local found
  found=$(property "$1")
  [ "$found" = "$2" ] || fail "$1 is '$found', not '$2'"
}

wait_for() { # WHAT COMMAND...
  local i what=$1
  shift
  for ((i = 0; i < 1500; i++)); do
    if "$@" >/tmp/last 2>&1; then return; fi
    sleep 0.2
  done
  cat /tmp/last
  fail "no $what within five minutes"
}

since=0 # what the journal says is looked for from here on
mark() { since=$(date +%s.%N); }
said() { journalctl --quiet --no-pager --output=cat --since "@$since" "$@"; } # [OPTION]...: of journalctl
has_said() { said --unit $unit | grep -q -- "$1"; }

# The drop-in of a test: the lines of the shipped examples that begin so, and then those given.
override() { # EXAMPLE... -- LINE...
  mkdir -p $drop
  echo '[Service]' >$drop/override.conf
  while [ "$1" != -- ]; do
    grep -q "^#$1" /root/observerd-override.conf || fail "the examples have no #$1"
    sed -n "s,^#\($1.*\),\1,p" /root/observerd-override.conf >>$drop/override.conf
    shift
  done
  shift
  [ $# = 0 ] || printf '%s\n' "$@" >>$drop/override.conf
  systemctl daemon-reload
}

begin() { # with the drop-in as it is
  mark
  systemctl reset-failed $unit 2>/dev/null || true # no limit of starts for a test
  systemctl restart $unit || fail 'it does not start'
  is ActiveState active
  is SubState running
  is StatusText recording
}

end() {
  systemctl stop $unit || fail 'it does not stop'
  is Result success
  is ActiveState inactive
  is ExecMainCode 1 # exited, of its own
  is ExecMainStatus 0
  has_said '\bstopped$' || fail 'it does not say that it stopped'
}

anew() { # nothing is recorded, and no drop-in
  systemctl stop $unit
  rm -rf $drop
  [ ! -d $data/. ] || find $data/ -mindepth 1 -delete
  systemctl daemon-reload
}

post() { # BODY [OPTION]...: of curl
  curl -sS --max-time 20 -H 'content-type: application/json' "${@:2}" -d "$1" $url/v1/observer/event
}

total() { observerctl stats --json | sed 's/.*"total":\([0-9]*\).*/\1/'; }
total_is() { [ "$(total)" = "$1" ]; }

as_shipped() {
  systemd-analyze verify --man=no $unit || fail 'the unit'
  say "exposure: $(systemd-analyze security --no-pager --offline=true /usr/lib/systemd/system/$unit | sed -n 's/.*: //; $p')"
  begin
  local pid status
  pid=$(property MainPID)
  status=$(cat "/proc/$pid/status")
  grep -q $'^Seccomp:\t2' <<<"$status" || fail 'it runs without a filter of system calls'
  grep -q $'^NoNewPrivs:\t1' <<<"$status" || fail 'it may get new privileges'
  grep -q $'^CapBnd:\t0000000000000000' <<<"$status" || fail 'it has capabilities'
  ! grep -q $'^Uid:\t0\t' <<<"$status" || fail 'it runs as root'
  [ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ] || fail 'it shares the namespace of users'
  post '{"endpoint":"/http","success":true}' | grep -q '"accepted":true' || fail 'it does not record over HTTP'
  observerctl pub --endpoint /bus --success >/dev/null || fail 'it does not record over the bus'
  wait_for 'two ops' total_is 2
  [ "$(stat -L -c %a $data/ops.jsonl)" = 600 ] || fail "the journal has mode $(stat -L -c %a $data/ops.jsonl)"
  observerctl tail --count 1 >/tmp/tail &
  wait_for 'an op of the feed' eval 'post "{\"endpoint\":\"/feed\",\"success\":true}" && grep -q /feed /tmp/tail'
  observerctl doctor >/tmp/doctor || { cat /tmp/doctor; fail 'the doctor finds something'; }
  # A thread that may not lower its priority says nothing, and nothing else is missing either.
  ! said --unit $unit --output=json | grep -q '"MESSAGE":"[^"]*\(warn\|error\|fatal\)' || fail 'it warns'
  ! has_said 'Operation not permitted' || fail 'something is not permitted that it tries'
  say 'starts as shipped, records over HTTP and the bus, feeds; filter, namespaces and permissions are as the unit says'
  end
  say 'stops clean'
}

reloads() {
  begin
  kill -s RTMIN+22 1 # systemd says what it is told
  mark
  systemctl reload $unit || fail 'it does not reload'
  wait_for 'the end of the reload' eval 'said _PID=1 | grep -q "Changed reload -> running"'
  kill -s RTMIN+23 1
  said _PID=1 | grep -q 'RELOADING=1' || fail 'systemd is not told that it reloads'
  has_said '\breloaded' || fail 'it does not say that it reloaded'
  is ActiveState active
  is StatusText recording
  say "reloads on SIGHUP: $(said _PID=1 | grep -o 'RELOADING=1[^)]*')"
  end
}

is_over() { [ "$(property ActiveState)" != activating ]; }

recovers_long() { # at a tenth of a processor, so that it takes longer than a start may, were it not for what it says meanwhile
  local rows=150000 took
  begin # makes the directory, which the rows below are put into
  end
  find $data/ -mindepth 1 -delete
  override -- TimeoutStartSec=15 CPUQuota=10%
  python3 - "$rows" >$data/ops.jsonl <<'P'
import sys
for i in range(int(sys.argv[1])):
    print('{"timestamp":"2026-01-01T00:%02d:%02d.%03dZ","endpoint":"/old/%d","input_summary":"task %d","success":true,'
          '"duration_ms":%d,"output_summary":"done","source":"mcp"}' % (i // 60000 % 60, i // 1000 % 60, i % 1000, i % 50, i, i % 900))
P
  chown --reference $data/. $data/ops.jsonl
  mark
  systemctl start --no-block $unit
  wait_for 'word of what it reads' eval 'property StatusText | grep -q "^reading the journal: [0-9]* rows, [0-9]* %$"'
  is ActiveState activating
  say "while it recovers: $(property StatusText)"
  wait_for 'end of recovery' is_over
  is ActiveState active
  is StatusText recording
  took=$((($(property ActiveEnterTimestampMonotonic) - $(property ExecMainStartTimestampMonotonic)) / 1000000))
  [ "$took" -gt 15 ] || fail "recovery took $took s: too few rows to show that a start may take longer"
  override --
  [ "$(observerctl summary --json | sed 's/.*"lifetime":{"total":\([0-9]*\).*/\1/')" = "$rows" ] || fail "$(observerctl summary --json | head -c 300)"
  say "recovers $rows rows in $took s, of 15 that a start may take without a word"
  end
}

is_another() { [ "$(property ActiveState)" = active ] && [ "$(property NRestarts)" = 1 ] && [ "$(property MainPID)" != "$1" ]; }

watchdog() {
  override -- WatchdogSec=10
  begin
  post '{"endpoint":"/before","success":true}' >/dev/null
  local pid
  pid=$(property MainPID)
  sleep 25 # it gives signs of life
  is MainPID "$pid"
  kill -STOP "$pid"
  wait_for 'restart of a daemon that stands still' is_another "$pid"
  has_said 'Watchdog timeout' || fail 'it was not the watchdog'
  [ "$(total)" = 1 ] || fail 'what was recorded before is lost'
  say 'a daemon that stands still is killed by the watchdog and started again, with what it had recorded'
  end
}

credentials() {
  mkdir -p /etc/observer
  local key mode
  key=$(observerctl key new admin --scope admin --keys /etc/observer/keys.json 2>/dev/null)
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /etc/observer/tls-key.pem -out /etc/observer/tls-cert.pem \
    -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
  echo sk-of-a-model >/etc/observer/model-key
  chmod 600 /etc/observer/*
  override LoadCredential=keys: Environment=OBSERVER_KEYS= LoadCredential=tls- Environment=OBSERVER_TLS_CERT= LoadCredential=model-key \
    Environment=OBSERVER_OPENAI_KEY_FILE -- 'Environment=OBSERVER_PULL=none OBSERVER_SUB=none OBSERVER_REP=none OBSERVER_FEED=none' \
    'Environment=OBSERVER_HTTP=https://127.0.0.1:3800 OBSERVER_OPENAI_URL=http://127.0.0.1:8099 OBSERVER_CYCLE=1'
  url=https://127.0.0.1:3800
  begin
  mode=$(stat -c '%a %U:%G on %m' /run/credentials/$unit/keys)
  curl -sS --cacert /etc/observer/tls-cert.pem -o /dev/null -w '%{http_code}' $url/stats | grep -qx 401 || fail 'it takes who has no key'
  post '{"endpoint":"/tls","success":true}' --cacert /etc/observer/tls-cert.pem -H "x-api-key: $key" | grep -q '"accepted":true' ||
    fail 'it does not take a key of the credentials'
  ! has_said 'others can' || fail 'it warns of the permissions of credentials'
  for _ in 1 2 3 4; do post "$fails" --cacert /etc/observer/tls-cert.pem -H "x-api-key: $key" >/dev/null; done
  wait_for 'question to the model' grep -q '"Bearer sk-of-a-model"' /tmp/loopback.jsonl
  say "keys, certificate, private key and a model's key come from credentials ($mode)"
  end
  url=http://127.0.0.1:3800
  # Keys of the daemon's own, as README and unit say: root makes them, the daemon follows them.
  anew
  begin
  key=$(observerctl key new mine --scope admin --keys $data/keys.json 2>/dev/null)
  override -- "Environment=OBSERVER_KEYS=/var/lib/observerd/keys.json" 'Environment=OBSERVER_PULL=none OBSERVER_SUB=none OBSERVER_REP=none OBSERVER_FEED=none'
  begin
  post '{"endpoint":"/own","success":true}' -H "x-api-key: $key" | grep -q '"accepted":true' || fail 'it does not take a key of its own file'
  key=$(observerctl key new later --scope admin --keys $data/keys.json 2>/dev/null)
  wait_for 'a key made meanwhile' eval 'post "{\"endpoint\":\"/own\",\"success\":true}" -H "x-api-key: '"$key"'" | grep -q "\"accepted\":true"'
  say 'a key file in its own directory, which root makes and changes, is followed'
  end
}

models() {
  override -- 'Environment=OBSERVER_OPENAI_URL=http://127.0.0.1:8099 OBSERVER_CYCLE=1' \
    'Environment="OBSERVER_REDACT_PATTERN=TICKET=TK-[0-9]{6}"'
  : >/tmp/loopback.jsonl
  begin
  for _ in 1 2 3 4; do post "$fails" >/dev/null; done
  wait_for 'question to the model' grep -q '/v1/chat/completions' /tmp/loopback.jsonl
  wait_for 'analysis by the model' eval 'observerctl analyses --backend openai --json | grep -q "the upstream refuses what it is sent"'
  post '{"endpoint":"/redact","success":true,"input_summary":"see TK-123456"}' >/dev/null
  observerctl ops --json --endpoint /redact | grep -q 'see \[TICKET_' || fail 'a pattern does not redact'
  say 'a model on loopback is asked, its analysis is recorded; a pattern redacts without memory that is written and run'
  end
}

filter() { # 192.0.2.10 is this machine's own: nothing leaves it
  override -- 'Environment=OBSERVER_OPENAI_URL=http://192.0.2.10:8099 OBSERVER_CYCLE=1 OBSERVER_ALLOW_OPEN=1' \
    'Environment=OBSERVER_HTTP=http://192.0.2.10:3805,http://127.0.0.1:3800'
  begin
  ! curl -sS --max-time 5 http://192.0.2.10:3805/livez 2>/dev/null || fail 'who comes from beyond loopback reaches a listener'
  for _ in 1 2 3 4; do post "$fails" >/dev/null; done
  wait_for 'failed call of the model' grep -q 'http://192.0.2.10:8099: no connection in time' $data/calls.jsonl
  [ ! -s /tmp/beyond.jsonl ] || fail 'it reaches a model beyond loopback'
  end
  override 'IPAddressAllow=any' -- "$(grep '^Environment' $drop/override.conf)"
  begin
  curl -sS --max-time 20 http://192.0.2.10:3805/livez >/dev/null || fail 'with IPAddressAllow=any nobody gets in'
  for _ in 1 2 3 4; do post "${fails/refused/broke}" >/dev/null; done
  wait_for 'call of the model' grep -q '/v1/chat/completions' /tmp/beyond.jsonl
  say 'beyond loopback nothing comes in or goes out, and IPAddressAllow= opens both'
  end
}

others() {
  useradd --uid 1000 --create-home overseer
  override RuntimeDirectory -- 'Environment=OBSERVER_PULL=ipc:///run/observerd/pull;uid=1000'
  begin
  has_said 'user 1000 is not of this process' || fail 'it does not say that another user cannot connect'
  override RuntimeDirectory PrivateUsers ProtectHome BindReadOnlyPaths SystemCallFilter=setpriority AmbientCapabilities \
    CapabilityBoundingSet -- 'Environment=OBSERVER_HTTP=http://127.0.0.1:80,http://127.0.0.1:3800' \
    'Environment=OBSERVER_PULL=ipc:///run/observerd/pull;uid=1000' \
    'Environment=OBSERVER_OVERSEER_CORRECTIONS_PATH=/home/overseer/corrections.jsonl OBSERVER_CYCLE=1'
  echo '{"correction":"ask first","task_class":"fill"}' >/home/overseer/corrections.jsonl
  chown overseer /home/overseer/corrections.jsonl
  chmod 755 /home/overseer
  begin
  setpriv --reuid 1000 --regid 1000 --clear-groups observerctl pub --push ipc:///run/observerd/pull --endpoint /socket --success >/dev/null ||
    fail 'another user cannot use a Unix socket'
  wait_for 'an op over the Unix socket' eval 'observerctl ops --json --endpoint /socket | grep -q /socket'
  wait_for 'the correction' eval 'observerctl ops --json --limit 100 | grep -q "ask first"'
  [ "$(stat -L -c %a $data/ops.jsonl)" = 600 ] || fail 'the journal is open to others'
  awk '$19 > 0 { steps = 1 } END { exit !steps }' "/proc/$(property MainPID)/task"/*/stat || fail 'no thread steps back'
  curl -sS --max-time 20 http://127.0.0.1:80/livez >/dev/null || fail 'it does not listen on port 80'
  say 'opened: Unix sockets for another user, a file under /home, a port below 1024, threads that step back'
  end
}

examples() { # all of them at once, as far as systemd reads them
  mkdir -p $drop
  sed 's/^#\([A-Z][A-Za-z]*=\)/\1/' /root/observerd-override.conf >$drop/override.conf
  systemctl daemon-reload
  systemd-analyze verify --man=no $unit 2>&1 | tee /tmp/verify
  [ ! -s /tmp/verify ] || fail 'the examples of drop-ins'
}

steps=(examples as_shipped reloads watchdog recovers_long credentials models filter others)

inside() {
  set -E
  trap 'fail "line $LINENO"' ERR
  ip address add 192.0.2.10/32 dev lo
  ip link set lo up
  sleep infinity | python3 -B /root/model_server.py --port 8099 --log /tmp/loopback.jsonl >/tmp/ports &
  sleep infinity | python3 -B /root/model_server.py --address 192.0.2.10 --port 8099 --log /tmp/beyond.jsonl >/tmp/ports2 &
  say "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release), Linux $(uname -r), $(systemctl --version | sed -n 1p)"
  systemctl enable --quiet $unit
  local step
  for step in "$@"; do
    $step
    anew
  done
  say passed
}

if [ "${1:-}" = --inside ]; then
  inside "${@:2}"
  exit
fi

# ---- outside ----

cd "$(dirname "$0")/.."
. scripts/debian13_tree.sh
tree_as_root "$@"
[ $# = 0 ] || steps=("$@")
. /etc/os-release
# shellcheck disable=SC2034 # for tree_unpack
tree=${tree%13}$VERSION_ID suite=$VERSION_CODENAME
work=${OBSERVER_SYSTEMD:-/var/tmp/observer-systemd}
build=${OBSERVER_BUILD:-build}
root=$work/root
scripts/deps.sh build machine
cmake --preset release >/dev/null
cmake --build "$build" --target observerd observerctl >/dev/null
rm -rf --one-file-system "$work"
mkdir -p "$work"

libraries() { # the Debian packages of what the programs link
  ldd "$build/observerd" "$build/observerctl" | sed -n 's,.*=> \(/[^ ]*\).*,\1,p' | sort -u | while read -r file; do
    dpkg-query -S "*/$(basename "$(readlink -f "$file")")"
  done | sed 's/:.*//' | sort -u
}

prepare() {
  local packages
  mapfile -t packages < <(libraries)
  tree_unpack "$root"
  tree_network "$root"
  # shellcheck disable=SC2016 # the inner shell expands these
  tree_run "$root" DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c '
    apt() { apt-get -q -y -o Acquire::Retries=5 "$@"; }
    apt update
    apt --no-install-recommends install initramfs-tools zstd
    sed -i "s/^MODULES=.*/MODULES=list/" /etc/initramfs-tools/initramfs.conf # its disk is all that it needs
    printf "virtio_pci\nvirtio_blk\n" >>/etc/initramfs-tools/modules
    apt --no-install-recommends install systemd-sysv linux-image-cloud-amd64 python3 iproute2 curl openssl "$@"
    apt clean' _ "${packages[@]}"
  install "$build/observerd" "$build/observerctl" "$root/usr/bin/"
  install -m 0644 deploy/observerd.service "$root/usr/lib/systemd/system/"
  install -m 0644 deploy/observerd-override.conf tests/process/model_server.py "$root/root/"
  install -m 0755 scripts/systemd_test.sh "$root/root/"
  cat >"$root/etc/systemd/system/systemd-test.service" <<U
[Unit]
Description=scripts/systemd_test.sh, inside
After=multi-user.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
StandardOutput=file:/dev/ttyS1
StandardError=inherit
ExecStart=/root/systemd_test.sh --inside ${steps[*]}
ExecStopPost=/bin/systemctl --no-block start poweroff.target
U
  mkdir -p "$root/etc/systemd/system/default.target.wants"
  ln -s ../systemd-test.service "$root/etc/systemd/system/default.target.wants/"
  ln -sf /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
  mke2fs -q -t ext4 -d "$root" "$work/disk" 4G
}

prepare >"$work/prepare.log" 2>&1 || { tail -n 40 "$work/prepare.log"; say 'FAIL: the machine cannot be made'; exit 1; }
: >"$work/said"
tail -f "$work/said" &
reader=$!
trap 'kill $reader' EXIT
timeout 3600 qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 1024 -nodefaults -no-user-config -display none -nic none -no-reboot \
  -kernel "$root"/boot/vmlinuz-* -initrd "$root"/boot/initrd.img-* -append 'root=/dev/vda rw console=ttyS0 quiet panic=-1 net.ifnames=0' \
  -drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" -serial "file:$work/console" -serial "file:$work/said" || say 'the machine does not end by itself'
sleep 1
if ! grep -q '^systemd_test: passed' "$work/said"; then
  tail -n 40 "$work/console"
  say "FAIL: see $work/said and $work/console"
  exit 1
fi
rm -rf --one-file-system "$work"
