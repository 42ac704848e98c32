"""Measures observerd beside the bare library, in one run, and prints both with their ratio.

Called by scripts/bench.sh with the build directory. Loopback only; every figure is the median of short rounds."""

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


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


class Process:
    """A child that says on stdout when it is ready; killed at the end of the `with`."""

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

    def url(self, name):
        return next(re.search(r"\w+://\S+", line)[0] for line in self.lines if line.split()[:1] == [name])

    def cpu(self):
        return cpu_seconds(self.child.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.communicate(timeout=30)


def timed_send(build, url, batch, ops, receiver_cpu, finished):
    """Sends, waits until `finished()`: (ops a second, receiver's CPU us an op, sender's CPU us an op)."""
    with Process("start", build / "tests/bench_bus", "send", url, str(batch), str(ops // batch)) as sender:
        cpu, start = receiver_cpu(), time.perf_counter()
        finished()
        elapsed = time.perf_counter() - start
        return ops / elapsed, (receiver_cpu() - cpu) / ops * 1e6, sender.cpu() / ops * 1e6


def raw_round(build, batch, ops):
    url = f"tcp://127.0.0.1:{free_port()}"
    with Process("ready", build / "tests/bench_bus", "sink", url, str(ops // batch)) as sink:
        return timed_send(build, url, batch, ops, sink.cpu, lambda: sink.wait_line("done"))


def daemon_round(build, daemon, batch, ops):
    health = daemon.url("http") + "/v1/observer/health"
    target = json.loads(get(health))["seq"] + ops // batch * batch

    def finished():
        deadline = time.monotonic() + DEADLINE_S
        while json.loads(get(health))["seq"] < target:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: observerd did not record {ops} ops in {DEADLINE_S} s")
            time.sleep(0.005)

    return timed_send(build, daemon.url("pull"), batch, ops, daemon.cpu, finished)


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


def wrk(url, post):
    """(requests a second, median latency ms); any answer but 2xx ends the measurement."""
    command = ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{WRK_SECONDS}s", "--latency"]
    out = subprocess.run(command + (["-s", HERE / "post.lua"] if post else []) + [url], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"bench: {url}:\n{out}")
    latency = re.search(r"50%\s+([\d.]+)(us|ms|s)", out)
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}[latency[2]]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), float(latency[1]) * unit


def http_round(url, process, post):
    cpu = process.cpu()
    rate, latency = wrk(url, post)
    return rate, latency, (process.cpu() - cpu) / (rate * WRK_SECONDS) * 1e6


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


def daemon_on(build, data):
    local = "tcp://127.0.0.1:0"
    return Process("ready", build / "observerd", "--http", "http://127.0.0.1:0", "--pull", local, "--sub", "none", "--rep",
                   "none", "--feed", "none", "--fsync", "always", "--data-dir", data, "--segment-bytes", "64M",
                   "--retain-segments", "1", "--log-level", "error", "--cycle", "86400")


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
            print(f"\nobserverd after the bus: {resident(disk):.1f} MB resident at most")
            measure_http(build, disk)
            print(f"\nobserverd after HTTP: {resident(disk):.1f} MB resident at most")
        row_bytes = measure_stages(build, work)
        speeds.append(disk_speed(work))
        for when, speed in zip(("before", "after"), speeds):
            print(f"disk {when}: {speed / 1e6:,.0f} MB/s by 4 MiB writes, each synced: {speed / row_bytes:,.0f} such rows/s")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
