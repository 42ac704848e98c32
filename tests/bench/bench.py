"""Measures observerd beside the bare library, in one run, and prints both with their ratio.

Called by scripts/bench.sh with the build directory. Loopback only; every figure is the median of short rounds."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
ROUNDS = 3
BUS = ((1, 40_000), (16, 400_000), (128, 800_000), (512, 800_000))  # ops a message, ops a round
FRAMES, XADDS = 400_000, 100_000
SECURITY_BUS, SECURITY_SECONDS = (16, 320_000), 1
WRK_SECONDS, WRK_CONNECTIONS = 2, 32
DEADLINE_S = 60
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url, key=None):
    headers = {"Authorization": "Bearer " + key} if key else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return answer.read()


class Process:
    """A child that says on stdout when it is ready; killed at the end of the `with`."""

    key = None  # that its HTTP asks for

    def __init__(self, ready, *command, stdin=b"", log=None):
        self.lines = []
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        if stdin:
            self.child.stdin.write(stdin)
            self.child.stdin.close()
            self.child.stdin = None
        self.wait_line(ready)

    def wait_line(self, start):
        for raw in self.child.stdout:
            line = raw.decode().strip()
            self.lines.append(line)
            if line.startswith(start):
                return line
        raise SystemExit(f"bench: {self.child.args[0]} ended before it said {start!r}")

    def urls(self, name):
        return [re.search(r"[a-z+]+://\S+", line)[0] for line in self.lines if line.split()[:1] == [name]]

    def url(self, name):
        return self.urls(name)[0]

    def cpu(self):
        return cpu_seconds(self.child.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.communicate(timeout=30)


def timed_send(build, url, batch, ops, receiver_cpu, finished, *tasks):
    """Sends, waits until `finished()`: (ops a second, receiver's CPU us an op, sender's CPU us an op)."""
    with Process("start", build / "tests/bench_bus", "send", url, str(batch), str(ops // batch), *tasks) as sender:
        cpu, start = receiver_cpu(), time.perf_counter()
        finished()
        elapsed = time.perf_counter() - start
        return ops / elapsed, (receiver_cpu() - cpu) / ops * 1e6, sender.cpu() / ops * 1e6


def raw_round(build, batch, ops):
    url = f"tcp://127.0.0.1:{free_port()}"
    with Process("ready", build / "tests/bench_bus", "sink", url, str(ops // batch)) as sink:
        return timed_send(build, url, batch, ops, sink.cpu, lambda: sink.wait_line("done"))


def floor_round(build, work, batch, ops):
    """Messages that are appended and synced as they come, not decoded."""
    url = f"tcp://127.0.0.1:{free_port()}"
    with Process("ready", build / "tests/bench_bus", "sink", url, str(ops // batch), work / "floor") as sink:
        out = timed_send(build, url, batch, ops, sink.cpu, lambda: sink.wait_line("done"))
    (work / "floor").unlink()
    return out


def daemon_round(build, daemon, batch, ops, *tasks):
    target = seq(daemon) + ops // batch * batch

    def finished():
        deadline = time.monotonic() + DEADLINE_S
        while seq(daemon) < target:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: observerd did not record {ops} ops in {DEADLINE_S} s")
            time.sleep(0.005)

    return timed_send(build, daemon.url("pull"), batch, ops, daemon.cpu, finished, *tasks)


class Tool:
    """tests/bench_frames in one of its ways; its `with` ends it by the end of its stdin."""

    def __init__(self, build, *arguments):
        self.child = subprocess.Popen([build / "tests/bench_frames", *map(str, arguments)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

    def line(self):
        return self.child.stdout.readline().split()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.communicate("x\n", timeout=30)
        if self.child.returncode != 0:
            raise SystemExit(f"bench: {self.child.args} failed")


def medians(rounds):
    return [statistics.median(column) for column in zip(*rounds)]


def measure_bus(build, disk, memory):
    """`disk` and `memory` are daemons whose journals are there: what the disk costs is the difference."""
    print(f"{'PULL, ops a message':<22}{'raw NNG ops/s':>15}{'durable ops/s':>15}{'ratio':>8}{'in memory':>13}{'ratio':>8}"
          f"{'daemon us/op':>14}{'raw us/op':>11}{'sender us/op':>14}")
    for batch, ops in BUS:
        raw, durable, volatile = [], [], []
        for _ in range(ROUNDS):
            raw.append(raw_round(build, batch, ops))
            durable.append(daemon_round(build, disk, batch, ops))
            volatile.append(daemon_round(build, memory, batch, ops))
        (raw_rate, raw_cpu, _), (rate, cpu, sender), (top, _, _) = medians(raw), medians(durable), medians(volatile)
        print(f"{batch:<22}{raw_rate:>15,.0f}{rate:>15,.0f}{rate / raw_rate:>8.2f}{top:>13,.0f}{top / raw_rate:>8.2f}"
              f"{cpu:>14.2f}{raw_cpu:>11.2f}{sender:>14.2f}", flush=True)


def measure_failures(build, daemon, work):
    """One op in five fails. What a failure costs must not hang on how many different tasks fail."""
    batch, ops = BUS[-1]
    print(f"\n{'PULL, 20 % failures':<22}{'ops/s':>15}{'daemon us/op':>15}")
    for name, round_ in (("only append and sync", lambda: floor_round(build, work, batch, ops)),
                         ("repeated sig_hashes", lambda: daemon_round(build, daemon, batch, ops, "repeated")),
                         ("unique sig_hashes", lambda: daemon_round(build, daemon, batch, ops, "unique"))):
        rate, cpu, _ = medians([round_() for _ in range(ROUNDS)])
        print(f"{name:<22}{rate:>15,.0f}{cpu:>15.2f}", flush=True)


def seq(daemon):
    return json.loads(get(daemon.url("http") + "/v1/observer/health", daemon.key))["seq"]


def port_of(url):
    return url.rsplit(":", 1)[1]


def drop_round(build):
    """Messages a second that the sender pushes into a socket whose bytes are read and dropped."""
    with Tool(build, "drop") as sink:
        with Tool(build, "push", sink.line()[1], FRAMES) as sender:
            sender.line()
            return float(sender.line()[1])


def pull_round(build, daemon):
    """The same sender into PULL: (ops a second until the last one is recorded, daemon's CPU us an op)."""
    target, cpu = seq(daemon) + FRAMES, daemon.cpu()
    with Tool(build, "push", port_of(daemon.url("pull")), FRAMES) as sender:
        sender.line()
        start = time.perf_counter()
        while seq(daemon) < target:
            if time.perf_counter() - start > DEADLINE_S:
                raise SystemExit(f"bench: observerd did not record {FRAMES} ops in {DEADLINE_S} s")
            time.sleep(0.005)
        return FRAMES / (time.perf_counter() - start), (daemon.cpu() - cpu) / FRAMES * 1e6


def measure_frames(build, disk, memory):
    """One op a message, one send() each, as most producers do: no library on the sender's side, which is a core's work."""
    rounds = [(drop_round(build), *pull_round(build, disk), *pull_round(build, memory)) for _ in range(ROUNDS)]
    dropped, rate, cpu, top, top_cpu = medians(rounds)
    print(f"\n{'PULL, one send an op':<22}{'dropped/s':>15}{'durable ops/s':>15}{'ratio':>8}{'in memory':>13}{'ratio':>8}"
          f"{'daemon us/op':>14}{'in memory':>11}")
    print(f"{'':<22}{dropped:>15,.0f}{rate:>15,.0f}{rate / dropped:>8.2f}{top:>13,.0f}{top / dropped:>8.2f}{cpu:>14.2f}"
          f"{top_cpu:>11.2f}", flush=True)


def req_round(build, daemon, peers):
    cpu = daemon.cpu()
    with Tool(build, "req", port_of(daemon.url("rep")), peers, WRK_SECONDS) as tool:
        _, rate, _, p50, _, p99 = tool.line()
    rate = float(rate)
    return rate, float(p50) / 1e3, float(p99) / 1e3, (daemon.cpu() - cpu) / (rate * WRK_SECONDS) * 1e6


def post_round(daemon, connections):
    cpu = daemon.cpu()
    rate, latency = wrk(daemon.url("http") + "/event", True, connections)
    return rate, latency, (daemon.cpu() - cpu) / (rate * WRK_SECONDS) * 1e6


class Redis:
    """A server whose every append is synced, on the same disk."""

    def __init__(self, work):
        self.port = free_port()
        self.child = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", work, "--appendonly",
                                       "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no"],
                                      stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise SystemExit("bench: redis-server did not start") from None
                time.sleep(0.05)

    def xadd(self, connections):
        """XADD a second, with one field of an op's size."""
        value = (HERE / "post.lua").read_text().split("'")[1::2]
        out = subprocess.run(["redis-benchmark", "-p", str(self.port), "-c", str(connections), "-n", str(XADDS), "--csv", "XADD",
                              "ops", "MAXLEN", "~", "10000", "*", "op", "".join(value)], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        return float(re.findall(r'"([\d.]+)"', out.splitlines()[-1])[-7])  # rps avg min p50 p95 p99 max

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.wait(timeout=30)


def measure_acknowledged(build, daemon, work):
    """One op a request, acknowledged when it is on the disk: REP and HTTP beside Redis."""
    print(f"\n{'acknowledged, one op':<22}{'Redis XADD/s':>15}{'POST /event':>15}{'ratio':>8}{'p50 ms':>9}{'us/req':>8}"
          f"{'REQ':>13}{'to POST':>9}{'p50 ms':>9}{'p99 ms':>9}{'us/req':>8}")
    with Redis(work) as redis:
        for connections in (32, 128):
            rounds = [(redis.xadd(connections), *post_round(daemon, connections), *req_round(build, daemon, connections))
                      for _ in range(ROUNDS)]
            xadd, post, post_p50, post_cpu, req, p50, p99, cpu = medians(rounds)
            print(f"{connections:<3}{'connections':<19}{xadd:>15,.0f}{post:>15,.0f}{post / xadd:>8.2f}{post_p50:>9.2f}"
                  f"{post_cpu:>8.1f}{req:>13,.0f}{req / post:>9.2f}{p50:>9.2f}{p99:>9.2f}{cpu:>8.1f}", flush=True)


def wrk(url, post, connections=WRK_CONNECTIONS, key=None, seconds=WRK_SECONDS):
    """(requests a second, median latency ms); any answer but 2xx ends the measurement."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-H", "Authorization: Bearer " + key] if key else []
    out = subprocess.run(command + (["-s", HERE / "post.lua"] if post else []) + [url], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"bench: {url}:\n{out}")
    latency = re.search(r"50%\s+([\d.]+)(us|ms|s)", out)
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}[latency[2]]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), float(latency[1]) * unit


def http_round(url, process, post, seconds=WRK_SECONDS):
    cpu = process.cpu()
    rate, latency = wrk(url, post, key=process.key, seconds=seconds)
    return rate, latency, (process.cpu() - cpu) / (rate * seconds) * 1e6


def measure_http(build, daemon):
    print(f"\n{f'HTTP, wrk -c{WRK_CONNECTIONS}':<22}{'bare NNG req/s':>15}{'observerd':>15}{'ratio':>8}"
          f"{'bare p50 ms':>14}{'p50 ms':>11}{'daemon us/req':>14}")
    base = daemon.url("http")
    post = urllib.request.Request(base + "/event", data=b'{"endpoint":"/v1/chat","success":true}', method="POST")
    for name, path, answer in (("POST /event", "/event", get(post)), ("GET /stats", "/stats", get(base + "/stats"))):
        bare_url = f"http://127.0.0.1:{free_port()}"
        with Process("ready", build / "tests/bench_http", bare_url, stdin=answer) as bare:
            rounds = [(http_round(bare_url + path, bare, name[0] == "P"), http_round(base + path, daemon, name[0] == "P"))
                      for _ in range(ROUNDS)]
        bare_rate, bare_latency, _ = medians([pair[0] for pair in rounds])
        rate, latency, cpu = medians([pair[1] for pair in rounds])
        print(f"{name:<22}{bare_rate:>15,.0f}{rate:>15,.0f}{rate / bare_rate:>8.2f}{bare_latency:>14.2f}{latency:>11.2f}"
              f"{cpu:>14.2f}", flush=True)


def certificate(work):
    """The options of TLS with a certificate that nobody checks."""
    cert, key = work / "cert.pem", work / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=bench",
                    "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    return ["--tls-cert", cert, "--tls-key", key]


def measure_security(build, work):
    """What keys, TLS and redaction cost, each alone and all of them: daemons side by side, a round of each in turn. The journal is in
    memory; no op has anything that redaction takes out. The CPU time of the daemon says more than the rates."""
    file = work / "keys.json"
    key = subprocess.run([build / "observerctl", "key", "new", "bench", "--keys", file, "--scope", "ingest,read", "--source", "mcp",
                          "--source", "scenario"], check=True, text=True, capture_output=True).stdout.strip()
    tls = [*certificate(work), "--http", "https://127.0.0.1:0"]
    off = ["--redact", "off"]
    ways = {"none of them": off, "keys": ["--keys", file, *off], "TLS": [*tls, *off], "--redact secrets": ["--redact", "secrets"],
            "--redact all": ["--redact", "all"], "all of them": ["--keys", file, *tls, "--redact", "all"]}
    batch, ops = SECURITY_BUS
    found = {name: [] for name in ways}
    with contextlib.ExitStack() as all_daemons:
        daemons = {}
        for i, (name, options) in enumerate(ways.items()):
            keyed = "--keys" in options
            pull = ("tls+tcp" if "--tls-cert" in options else "tcp") + "://127.0.0.1:0" + (";key=" + key.split("_")[2]) * keyed
            daemon = all_daemons.enter_context(daemon_on(build, work / f"security{i}", *options, pull=pull, rep="none"))
            daemon.key = key if keyed else None
            daemons[name] = daemon
        for i in range(ROUNDS):
            names = list(daemons)
            for name in names[i:] + names[:i]:  # who comes first has the machine to itself a little longer
                daemon = daemons[name]
                url = daemon.urls("http")[-1] + "/event"
                found[name].append(daemon_round(build, daemon, batch, ops)[:2] + http_round(url, daemon, True, SECURITY_SECONDS))
    (bus, bus_cpu, post, _, post_cpu), *_ = (medians(found[name]) for name in ways)
    print(f"\n{'keys, TLS, redaction':<22}{f'PULL, {batch}/message':>18}{'ratio':>8}{'us/op':>8}{'ratio':>8}{'POST /event':>14}{'ratio':>8}"
          f"{'p50 ms':>9}{'us/req':>8}{'ratio':>8}")
    for name, rounds in found.items():
        rate, cpu, requests, latency, request_cpu = medians(rounds)
        print(f"{name:<22}{rate:>18,.0f}{rate / bus:>8.2f}{cpu:>8.2f}{cpu / bus_cpu:>8.2f}{requests:>14,.0f}{requests / post:>8.2f}"
              f"{latency:>9.2f}{request_cpu:>8.1f}{request_cpu / post_cpu:>8.2f}", flush=True)


def measure_stages(build, work):
    found = {}
    for i in range(ROUNDS):
        out = subprocess.run([build / "tests/bench_stage", work / f"stage{i}", "512", "100"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        for line in out.splitlines():
            stage, *values = line.split()
            found.setdefault(stage, []).append([float(v) for v in values])
        shutil.rmtree(work / f"stage{i}")
    msgpack_bytes, json_bytes = found.pop("bytes")[0]
    print(f"\nns an op, one thread, batches of 512 (an op: {msgpack_bytes:.0f} bytes msgpack, {json_bytes:.0f} JSON)")
    for stage, values in found.items():
        print(f"  {stage.replace('_', ' '):<24}{medians(values)[0]:>8,.0f}")
    return json_bytes


def disk_speed(work):
    """Bytes a second by 4 MiB writes, each synced: nothing that is durable can be faster."""
    block, count, path = os.urandom(4 << 20), 64, work / "disk"
    with open(path, "wb", buffering=0) as f:
        start = time.perf_counter()
        for _ in range(count):
            f.write(block)
            os.fdatasync(f.fileno())
        elapsed = time.perf_counter() - start
    path.unlink()
    return len(block) * count / elapsed


def resident(daemon):
    status = pathlib.Path(f"/proc/{daemon.child.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def daemon_on(build, data, *options, pull="tcp://127.0.0.1:0", rep="tcp://127.0.0.1:0"):
    return Process("ready", build / "observerd", "--http", "http://127.0.0.1:0", "--pull", pull, "--sub", "none", "--rep",
                   rep, "--feed", "none", "--fsync", "always", "--data-dir", data, "--segment-bytes", "64M",
                   "--retain-segments", "1", "--log-level", "error", "--cycle", "86400", *options)


def main(build):
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as on_disk, \
            tempfile.TemporaryDirectory(prefix="observer-bench-", dir="/dev/shm") as in_memory:
        work = pathlib.Path(on_disk)
        print(f"{os.cpu_count()} cores; producer, daemon and client share them. Medians of {ROUNDS} rounds.\n", flush=True)
        speeds = [disk_speed(work)]
        with daemon_on(build, work / "data") as disk:
            print(f"observerd at start: {resident(disk):.1f} MB resident\n")
            with daemon_on(build, pathlib.Path(in_memory) / "data") as memory:
                measure_bus(build, disk, memory)
                measure_frames(build, disk, memory)
            measure_failures(build, disk, work)
            print(f"\nobserverd after the bus: {resident(disk):.1f} MB resident at most")
            measure_http(build, disk)
            measure_acknowledged(build, disk, work)
            print(f"\nobserverd after HTTP: {resident(disk):.1f} MB resident at most")
        measure_security(build, pathlib.Path(in_memory))
        row_bytes = measure_stages(build, work)
        speeds.append(disk_speed(work))
        for when, speed in zip(("before", "after"), speeds):
            print(f"disk {when}: {speed / 1e6:,.0f} MB/s by 4 MiB writes, each synced: {speed / row_bytes:,.0f} such rows/s")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
