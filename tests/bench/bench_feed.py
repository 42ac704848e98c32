"""What 50 subscribers of the feed that read slowly or not at all cost the recording: speed and memory.

    bench_feed.py BUILD_DIR [ROUNDS]

Called by scripts/bench.sh. Rounds of the same traffic go in turn to a daemon that nobody follows and to one with 50
subscribers; figures are medians. Half of the subscribers never read, half read 64 KiB ten times a second each."""

import json
import pathlib
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

import bench

BATCH, OPS = 512, 1_000_000
WARM_UP = 3  # rounds; the memory of these is the start
STUCK, SLOW = 25, 25
SLOW_BYTES, SLOW_EVERY_S = 64 << 10, 0.1
SUB_GREETING = b"\0SP\0" + struct.pack(">HH", 0x21, 0)


def subscribe(url):
    parts = urlsplit(url)
    s = socket.create_connection((parts.hostname, parts.port), 10)
    s.sendall(SUB_GREETING)
    s.recv(8, socket.MSG_WAITALL)
    return s


class Subscribers:
    """Half stuck, half slow, until the end of the `with`."""

    def __init__(self, url):
        self.sockets = [subscribe(url) for _ in range(STUCK + SLOW)]
        self.ended = threading.Event()
        self.bytes = 0
        self.thread = threading.Thread(target=self.read_slowly)
        self.thread.start()

    def read_slowly(self):
        slow = self.sockets[STUCK:]
        for s in slow:
            s.setblocking(False)
        while not self.ended.wait(SLOW_EVERY_S):
            for s in slow:
                try:
                    self.bytes += len(s.recv(SLOW_BYTES))
                except BlockingIOError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        for s in self.sockets:
            s.close()


def health(daemon):
    return json.loads(bench.get(daemon.url("http") + "/health"))


def resident(daemon):
    """RSS now, MB."""
    status = pathlib.Path(f"/proc/{daemon.child.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def daemon_on(build, data):
    local = "tcp://127.0.0.1:0"
    return bench.Process("ready", build / "observerd", "--http", "http://127.0.0.1:0", "--pull", local, "--sub", "none",
                         "--rep", "none", "--feed", local, "--fsync", "always", "--data-dir", data, "--segment-bytes",
                         "64M", "--retain-segments", "1", "--log-level", "error", "--cycle", "86400")


def compare(build, work, rounds):
    with daemon_on(build, work / "alone") as alone, daemon_on(build, work / "followed") as followed, \
            Subscribers(followed.url("feed")) as subscribers:
        while health(followed)["feed"]["subscribers"] < STUCK + SLOW:
            time.sleep(0.01)
        figures, memory = {alone: [], followed: []}, []
        for i in range(rounds + WARM_UP):
            for daemon in (alone, followed) if i % 2 else (followed, alone):
                figures[daemon].append(bench.daemon_round(build, daemon, BATCH, OPS))
            memory.append((resident(alone), resident(followed)))
        base, fed = figures[alone][WARM_UP:], figures[followed][WARM_UP:]
        ratio = statistics.median(b[0] / a[0] for a, b in zip(base, fed))
        (rate, cpu, _), (fed_rate, fed_cpu, _) = bench.medians(base), bench.medians(fed)
        counts = health(followed)["feed"]
        (alone_first, fed_first), (alone_last, fed_last) = memory[WARM_UP - 1], memory[-1]
        print(f"{'disk' if work.parent == build else 'memory':<8}{rate:>13,.0f}{fed_rate:>13,.0f}{ratio:>7.2f}{cpu:>8.2f}"
              f"{fed_cpu:>8.2f}{alone_first:>9.1f}{alone_last:>7.1f}{fed_first:>9.1f}{fed_last:>7.1f}{counts['ops']:>12,}"
              f"{counts['dropped']:>12,}{subscribers.bytes / 1e6:>9.1f}", flush=True)


def main(build, rounds):
    print(f"Feed: {STUCK} subscribers that never read and {SLOW} that read {SLOW_BYTES // 1024} KiB every "
          f"{SLOW_EVERY_S * 1000:.0f} ms; {OPS:,} ops a round, batches of {BATCH}; medians of {rounds} rounds")
    print(f"{'':<8}{'ops/s':>13}{'':>13}{'':>7}{'CPU us/op':>16}{'MB, none':>16}{'MB, 50':>16}{'feed, ops':>24}")
    print(f"{'journal':<8}{'none':>13}{'50':>13}{'ratio':>7}{'none':>8}{'50':>8}{'start':>9}{'end':>7}{'start':>9}{'end':>7}"
          f"{'sent':>12}{'dropped':>12}{'MB read':>9}")
    for place in (build, pathlib.Path("/dev/shm")):
        with tempfile.TemporaryDirectory(prefix="bench-feed-", dir=place) as work:
            compare(build, pathlib.Path(work), rounds)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 7)
