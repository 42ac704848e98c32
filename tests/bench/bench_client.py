"""Measures libobserver's plain loop of observer_publish beside the daemon's speed with ready messages of 512 ops, in turns
against the same daemon, durable, and prints both with their ratio.

Called by scripts/bench.sh with the build directory. Loopback only; every figure is the median of the rounds."""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import bench

ROUNDS = 5
OPS = 1_000_000
WANTED = 0.8


def client_round(build, daemon, ops):
    """(ops a second until all are in the journal, us of the loop an op, sender's CPU us an op)"""
    health = daemon.url("http") + "/v1/observer/health"
    target = json.loads(bench.get(health))["seq"] + ops
    with bench.Process("start", build / "tests/bench_client", daemon.url("pull"), str(ops)) as sender:
        start = time.perf_counter()
        deadline = time.monotonic() + bench.DEADLINE_S
        while json.loads(bench.get(health))["seq"] < target:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: observerd did not record {ops} ops in {bench.DEADLINE_S} s")
            time.sleep(0.005)
        elapsed = time.perf_counter() - start
        cpu = sender.cpu()
        loop = float(sender.wait_line("ns").split()[1])
        return ops / elapsed, loop / 1e3, cpu / ops * 1e6


def call_cost(build):
    out = subprocess.run([build / "tests/bench_client", "none", "400000"], check=True, text=True, stdout=subprocess.PIPE)
    return float(out.stdout.split()[1])


def main(build):
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as work:
        with bench.daemon_on(build, pathlib.Path(work) / "data") as daemon:
            ready, loop = [], []
            for _ in range(ROUNDS):
                ready.append(bench.daemon_round(build, daemon, 512, OPS))
                loop.append(client_round(build, daemon, OPS))
    (ready_rate, daemon_cpu, sender_cpu), (rate, loop_us, client_cpu) = bench.medians(ready), bench.medians(loop)
    calls = statistics.median(call_cost(build) for _ in range(ROUNDS))
    print(f"\n{'PULL, durable, a million ops':<44}{'ops/s':>12}{'sender us/op':>14}")
    print(f"{'messages of 512 that were ready (bench_bus)':<44}{ready_rate:>12,.0f}{sender_cpu:>14.2f}")
    print(f"{'one observer_publish an op (libobserver)':<44}{rate:>12,.0f}{client_cpu:>14.2f}")
    print(f"ratio {rate / ready_rate:.2f} (wanted: {WANTED:.2f}); the loop took {loop_us:.2f} us an op, waiting for room"
          f" included;\nan observer_publish to nobody costs {calls:.0f} ns (14 fields, 270 bytes)", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
