"""Measures a fleet beside the bare library, in one run: what nats.c takes to publish the journal's rows in messages of 64 KiB, and
to read them, and what an edge takes to put the same rows into the stream from its journal, and workers to fold them. An edge
packs its messages; what nats.c takes for those is shown, too.

Called by scripts/bench.sh with the build directory; alone: tests/bench/bench_fleet.py build [OPS]. Loopback, one nats-server of one
replica with a new store for each round; every figure is the median of the rounds. CPU is that of the processes: what else runs on
the machine does not count in it, but for what it takes from their caches."""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BUILD = pathlib.Path(sys.argv[1]).resolve()
os.environ["OBSERVER_BUILD"] = str(BUILD)
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "process"))

import nats  # noqa: E402
from bench import cpu_seconds, get  # noqa: E402

OPS = int(sys.argv[2]) if len(sys.argv) > 2 else 400_000
ROUNDS = int(os.environ.get("OBSERVER_ROUNDS", "3"))
MESSAGE = 64 << 10  # bytes of rows
WINDOW = 64  # messages that are not acknowledged yet: an edge has one a partition
POSTED = 5000  # ops a request
DEADLINE_S = 600
VISIBLE = 100
PARTITIONS = 64


def until(what, predicate, pause=0.05):
    end = time.monotonic() + DEADLINE_S
    while not (value := predicate()):
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what}: not within {DEADLINE_S} s")
        time.sleep(pause)
    return value


def row(n, timestamp):
    """About 340 bytes; sessions of 20 ops, one in 10 failed, with one of 40 kinds of text."""
    error = ""
    if n % 10 == 0:
        word = chr(97 + n // 10 % 8) * 6
        error = f',"error":"upstream {word} timed out: no answer from 10.0.3.{n // 80 % 5}:8080 after {n % 977} ms"'
    return (f'{{"timestamp":"{timestamp}","endpoint":"/v1/e{n % 12}","input_summary":"fill 3 pickers for the night shift",'
            f'"success":{"false" if error else "true"},"duration_ms":{20 + n * 37 % 900},"output_summary":"3 of 3 filled"{error},'
            f'"source":"{"scenario" if n % 5 == 4 else "mcp"}","staffer_id":"agent-{n % 40:03}",'
            f'"sig_hash":"{n // 4 * 2654435761:016x}","event_kind":"expansion","op_id":"op-{n}","session_id":"session-{n // 20}"}}')


def post(url, body):
    request = urllib.request.Request(url + "/v1/observer/event", body.encode(), {"content-type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


class Observerd:
    """Its output is read from when it is asked for its URL: an edge works before it says that it is ready."""

    def __init__(self, folder, *args):
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "log", "ab") as log:
            self.child = subprocess.Popen([BUILD / "observerd", "--http", "http://127.0.0.1:0", "--data-dir", folder, *args],
                                          stdout=subprocess.PIPE, stderr=log, text=True)
        self.address = None

    @property
    def url(self):
        while self.address is None:
            words = self.child.stdout.readline().split()
            if not words:
                raise SystemExit(f"bench: {self.child.args} ended")
            if words[0] == "http":
                self.address = words[1]
        return self.address

    def cpu(self):
        return cpu_seconds(self.child.pid)

    def metric(self, name):
        for line in get(self.url + "/metrics").decode().splitlines():
            if line.startswith("observer_" + name + " "):
                return float(line.split()[1])
        raise SystemExit(f"bench: no metric {name}")

    def ask(self, path):
        return json.loads(get(self.url + path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.terminate()
        self.child.communicate(timeout=120)


class Bench:
    def __init__(self, work):
        self.work, self.rounds = pathlib.Path(work), 0
        self.files = {}  # messages for nats.c: path -> how many, and their bytes

    def folder(self):
        self.rounds += 1
        return self.work / f"round{self.rounds}"

    @contextlib.contextmanager
    def servers(self):
        folder = self.folder()
        with nats.Servers(str(folder)) as servers:
            yield servers
        shutil.rmtree(folder)

    @staticmethod
    def server_cpu(servers):
        return cpu_seconds(servers.processes[0].pid)

    @staticmethod
    def received(servers):
        return (servers.ask(0, "/varz") or {}).get("in_bytes", 0)

    # -- what an edge has recorded while NATS was away

    def record(self):
        """A data directory with all ops in its journal, of which none is forwarded. One client, one request at a time."""
        edge = self.work / "edge"
        with Observerd(edge, "--pull", "none", "--sub", "none", "--rep", "none", "--feed", "none", "--forward",
                       f"nats://127.0.0.1:{nats.free_port()}") as daemon:
            url, elapsed, cpu = daemon.url, 0, daemon.cpu()
            for at in range(0, OPS, POSTED):
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S.125Z", time.gmtime())
                body = "\n".join(row(n, stamp) for n in range(at, min(at + POSTED, OPS)))
                start = time.perf_counter()
                said = post(url, body)
                elapsed += time.perf_counter() - start
                if said.get("rejected"):
                    raise SystemExit(f"bench: {said}")
            return {"ops/s": OPS / elapsed, "edge": (daemon.cpu() - cpu) / OPS * 1e9}

    @contextlib.contextmanager
    def edge(self, servers, filled=True):
        """On a copy of that directory. It has started, and NATS comes back to it."""
        folder = self.folder()
        if filled:
            shutil.copytree(self.work / "edge", folder)
        servers.kill(0)
        with Observerd(folder, "--pull", "none", "--sub", "none", "--rep", "none", "--feed", "none", "--forward", servers.urls[0],
                       "--replicas", "1") as edge:
            edge.metric("spool_ops")
            servers.start(0)
            yield edge
        shutil.rmtree(folder)

    def worker(self, servers):
        return Observerd(self.folder(), "--jetstream", servers.urls[0], "--replicas", "1")

    # -- rounds

    def catch_up(self, servers, edge, workers):
        """From the first batches that the server has got until all is in the stream, and folded by the workers."""
        begun = until("the edge to publish", lambda: self.received(servers) >= 128 << 10 and self.received(servers), 0.002)
        start, cpus = time.perf_counter(), [p.cpu() for p in (edge, *workers)] + [self.server_cpu(servers)]
        until("the stream to have all", lambda: edge.metric("forward_ops_total") >= OPS)
        published = time.perf_counter() - start
        edge_cpu, server_cpu = edge.cpu() - cpus[0], self.server_cpu(servers) - cpus[-1]
        total = edge.metric("forward_bytes_total")
        until("the workers to fold all", lambda: not workers or sum(self.folded(w) for w in workers) >= OPS)
        folded = time.perf_counter() - start
        if workers:
            server_cpu, edge_cpu = self.server_cpu(servers) - cpus[-1], edge.cpu() - cpus[0]
        ops = OPS * (1 - begun / total)
        worker_cpu = sum(w.cpu() for w in workers) - sum(cpus[1:-1])
        return {"ops/s": ops / (folded if workers else published), "edge": edge_cpu / ops * 1e9,
                "nats-server": server_cpu / ops * 1e9, "workers": worker_cpu / ops * 1e9}

    @staticmethod
    def folded(worker):
        for line in get(worker.url + "/metrics").decode().splitlines():
            if line.startswith('observer_fleet_ops_total{result="folded"}'):
                return float(line.split()[-1])
        return 0

    def settle(self, workers):
        until("the workers to hold all partitions", lambda: sum(w.metric("fleet_partitions") for w in workers) == PARTITIONS)

    def whole(self, count):
        """An edge that catches up, and `count` workers that fold what comes; 0: the edge alone."""
        with contextlib.ExitStack() as stack:
            servers = stack.enter_context(self.servers())
            workers = [stack.enter_context(self.worker(servers)) for _ in range(count)]
            if workers:
                self.settle(workers)
            edge = stack.enter_context(self.edge(servers))
            out = self.catch_up(servers, edge, workers)
            if not self.files:
                self.dump(servers)
            return out

    def worker_alone(self):
        """All of it is in the stream before. It takes its partitions a few at a time, as leases go."""
        with self.servers() as servers:
            with self.edge(servers) as edge:
                until("the stream to have all", lambda: edge.metric("forward_ops_total") >= OPS)
            with self.worker(servers) as worker:
                until("the worker to fold", lambda: self.folded(worker) > 0, 0.01)
                before, start, cpu = self.folded(worker), time.perf_counter(), worker.cpu()
                server = self.server_cpu(servers)
                until("the worker to fold all", lambda: self.folded(worker) >= OPS)
                ops = OPS - before
                return {"ops/s": ops / (time.perf_counter() - start), "workers": (worker.cpu() - cpu) / ops * 1e9,
                        "nats-server": (self.server_cpu(servers) - server) / ops * 1e9}

    def tool(self, servers, *arguments):
        return subprocess.Popen([BUILD / "tests/bench_nats", arguments[0], servers.urls[0], *map(str, arguments[1:])],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run_tool(self, servers, *arguments):
        with self.tool(servers, *arguments) as child:
            line = child.communicate(timeout=DEADLINE_S)[0]
            if child.returncode != 0:
                raise SystemExit(f"bench: {child.args} failed")
            return line.split()

    def dump(self, servers):
        words = self.run_tool(servers, "dump", "OBSERVER_OPS", self.work / "packed")
        self.files["packed"] = int(words[1]), int(words[3])
        self.files["rows"] = self.cut()

    def cut(self):
        """The journal's rows in messages of 64 KiB, as bench_nats reads them."""
        number = total = 0
        with open(self.work / "edge" / "ops.jsonl", "rb") as rows, open(self.work / "rows", "wb") as out:
            while lines := rows.readlines(MESSAGE - 512):  # it ends with the line that comes to so many bytes
                message = b"".join(lines)
                out.write(f"observer.ops.{number % PARTITIONS}.0123456789abcdef".encode().ljust(200, b"\0"))
                out.write(len(message).to_bytes(4, sys.byteorder) + message)
                number, total = number + 1, total + len(message)
        return number, total

    def raw(self, count, what="rows"):
        """nats.c publishes these messages, and `count` of its ordered consumers share them."""
        messages = self.files[what][0]
        with contextlib.ExitStack() as stack:
            servers = stack.enter_context(self.servers())
            self.run_tool(servers, "make", "RAW", "-")
            readers = []
            for k in range(count):
                share = messages if count == 1 else len(range(k, messages, count))
                readers.append(self.tool(servers, "fetch", "RAW", "raw.>" if count == 1 else f"raw.{k}.>", share))
            publisher = self.tool(servers, "publish", "RAW", self.work / what, WINDOW)
            for child in (publisher, *readers):
                stack.enter_context(child)
                child.stdout.readline()  # ready
            server, start = self.server_cpu(servers), time.perf_counter()
            publisher.stdin.write("\n")
            publisher.stdin.flush()
            said = [child.stdout.readline().split() for child in (publisher, *readers)]
            elapsed = time.perf_counter() - start
            if not all(said):
                raise SystemExit("bench: bench_nats failed")
            cpus = [float(words[3]) for words in said]
            return {"ops/s": OPS / elapsed, "edge": cpus[0] / OPS * 1e9, "workers": sum(cpus[1:]) / OPS * 1e9,
                    "nats-server": (self.server_cpu(servers) - server) / OPS * 1e9}

    # -- how soon

    @staticmethod
    def answers(worker):
        try:
            return worker.ask("/v1/observer/stats?scope=cluster")
        except urllib.error.HTTPError:  # NATS is not back yet
            return None

    def visible(self, filled):
        """Milliseconds from the answer to a POST at the edge until the fleet's stats, asked at the worker, show the op."""
        out, asked = [], []
        with self.servers() as servers, self.worker(servers) as worker:
            self.settle([worker])
            with self.edge(servers, filled) as edge:
                until("the worker to fold all", lambda: not filled or self.folded(worker) >= OPS)
                until("the worker to answer", lambda: self.answers(worker))
                for n in range(VISIBLE):
                    post(edge.url, f'{{"endpoint":"scenario:fill","source":"scenario","staffer_id":"seen-{n}","success":true}}')
                    start = time.perf_counter()
                    shown = False
                    while not shown:
                        began = time.perf_counter()
                        stats = worker.ask("/v1/observer/stats?scope=cluster")
                        asked.append((time.perf_counter() - began) * 1e3)
                        shown = any(op["staffer"] == f"seen-{n}" for op in stats["recent_scenario_ops"])
                    out.append((time.perf_counter() - start) * 1e3)
        return out, asked


def median(rounds):
    return {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}


def print_row(name, of, raw=None):
    cells = [f"{of.get(part, 0):>10,.0f}" if part in of else f"{'':>10}" for part in ("edge", "nats-server", "workers")]
    total = sum(of.get(part, 0) for part in ("edge", "nats-server", "workers"))
    ratio = f"{of['ops/s'] / raw['ops/s']:>8.2f}" if raw else f"{'':>8}"
    share = f"{sum(raw.get(part, 0) for part in ('edge', 'nats-server', 'workers')) / total:>8.2f}" if raw else f"{'':>8}"
    print(f"{name:<34}{of['ops/s']:>12,.0f}{ratio}{cells[0]}{cells[1]}{cells[2]}{total:>10,.0f}{share}", flush=True)


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))]


def main():
    if not nats.available():
        print("a fleet: no nats-server, or a build without libnats: not measured")
        return
    with tempfile.TemporaryDirectory(prefix="obs-bench-") as work:
        bench = Bench(work)
        recorded = bench.record()
        bench.whole(0)  # what the messages are; nothing of it is measured
        (messages, size), (_, packed) = bench.files["rows"], bench.files["packed"]
        print(f"\n{OPS:,} ops of {size / OPS:.0f} bytes each, in messages of {size / messages / 1024:.0f} KiB; packed {packed / OPS:.0f} "
              f"bytes each; {ROUNDS} rounds; CPU in ns an op; ratios are to nats.c with the rows as they are")
        print(f"{'a fleet over JetStream':<34}{'ops/s':>12}{'ratio':>8}{'edge':>10}{'server':>10}{'workers':>10}{'all':>10}"
              f"{'CPU':>8}")
        kinds = (("nats.c publishes", lambda: bench.raw(0), None), ("an edge catches up", lambda: bench.whole(0), 0),
                 ("nats.c publishes, 1 reads", lambda: bench.raw(1), None), ("an edge, 1 worker", lambda: bench.whole(1), 2),
                 ("nats.c publishes, 4 read", lambda: bench.raw(4), None), ("an edge, 4 workers", lambda: bench.whole(4), 4),
                 ("nats.c publishes them packed", lambda: bench.raw(0, "packed"), None),
                 ("the same, 1 reads", lambda: bench.raw(1, "packed"), None),
                 ("a worker catches up", bench.worker_alone, None))
        rounds = [[] for _ in kinds]
        for _ in range(ROUNDS):
            for i, (_, measure, _) in enumerate(kinds):
                rounds[i].append(measure())
        print_row(f"an edge records, {POSTED:,} a POST", recorded)
        for i, (name, _, raw) in enumerate(kinds):
            print_row(name, median(rounds[i]), None if raw is None else median(rounds[raw]))
        print(f"\n{'POST answered to visible, ms':<34}{'p50':>10}{'p99':>10}{'one GET':>10}")
        for name, filled in (("an empty fleet", False), ("with all of these ops", True)):
            seen, asked = bench.visible(filled)
            print(f"{name:<34}{percentile(seen, 50):>10.1f}{percentile(seen, 99):>10.1f}{percentile(asked, 50):>10.1f}", flush=True)


if __name__ == "__main__":
    main()
