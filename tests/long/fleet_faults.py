"""A fleet on real machines' worth of network (three nats-servers with R3, three edges, four workers, each in a namespace of its
own), from which one thing after another is taken while ops come in: killed, cut off, stopped, rolled back, deleted.

  fleet_faults.py [--ops N] [--rate N] [--nats-server PATH] [--case NAME]... [--keep-going] [--keep] [--list]

N ops are acknowledged in all, as many during each case (1,000,000; --rate a second and edge). Behind each case every
acknowledged op must be in the stream, as the edges' journals have it, and the fleet's summary must be the recount, each op once.
Where the servers' copies of a stream differ behind a case, that is printed, and what proto/fleet.md says is done.
Prints a line a case, and ends with 1 when one has failed. Needs root, and the build's tests (OBSERVER_BUILD).
"""

import argparse
import collections
import glob
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "process"))

import fleet_net  # noqa: E402
import harness  # noqa: E402
import nats  # noqa: E402
import replicas  # noqa: E402
from fleet_truth import Missing, Truth  # noqa: E402
from harness import wait_until  # noqa: E402
from recount import lifetime_of  # noqa: E402

PARTITIONS = 64
EDGES, WORKERS, SPARE = 3, 4, 2
LEASE = 10  # seconds; a cut or a stop is longer than that
SPOOL = "8M"
WHOLE = 180  # seconds until everything must be whole again
FAKETIME = (glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") or [None])[0]
# Of edges and workers; they begin at 0 with each run of a daemon.
COUNTED = ("fleet_rewinds_total", "fleet_holes_total", "fleet_poison_total", "forward_republished_total", "spool_full_total")


class Producers:
    """Those of one edge, in its place."""

    def __init__(self, edge):
        self.edge = edge
        env = dict(os.environ, PYTHONPATH=os.path.join(os.path.dirname(HERE), "process"))
        self.process = subprocess.Popen(
            edge.place.run([sys.executable, "-B", os.path.join(HERE, "fleet_producer.py"), edge.place.name]), env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.said = self.tell("count")

    def tell(self, command, seconds=120):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], seconds * harness.SLOW)
        if not ready:
            raise Missing("the producers of %s do not come to an end: an op is not acknowledged" % self.edge.place.name)
        self.said = json.loads(self.process.stdout.readline())
        return self.said

    @property
    def acknowledged(self):
        return self.said["rep"] + self.said["post"]


class Fleet:
    def __init__(self, work, rate):
        self.work, self.rate = work, rate
        self.net = fleet_net.Net()
        self.servers = fleet_net.Servers(os.path.join(work, "nats"), [self.net.place("n%d" % n) for n in range(3)])
        self.totals, self.last = collections.Counter(), {}
        self.emptied = 0  # servers, because their copies were odd
        self.started_anew = 0  # all servers, because they did not come together
        self.truth = Truth()
        self.edges = [self.make("e%d" % n, "--forward", ["--spool-bytes", SPOOL, "--segment-bytes", "0"], True)
                      for n in range(EDGES)]
        self.workers = [self.make("w%d" % n, "--jetstream", [], False) for n in range(WORKERS + SPARE)]
        self.spare = self.workers[WORKERS:]
        self.running = self.workers[:WORKERS]
        for daemon in self.edges + self.running:
            daemon.start()
        for edge in self.edges:
            self.follow(edge)
        self.producers = [Producers(edge) for edge in self.edges]
        self.wait_settled()

    def make(self, name, option, more, bus):
        folder = os.path.join(self.work, name)
        os.mkdir(folder)
        urls = [word for url in self.servers.urls for word in (option, url)]
        return fleet_net.Daemon(self.net.place(name), folder, os.path.join(folder, "data"),
                                urls + ["--replicas", "3", "--cycle", "1"] + more, bus)

    def follow(self, edge):
        wait_until(lambda: os.path.exists(os.path.join(edge.data_dir, "edge")), 30, "the edge's id")
        self.truth.add(edge.place.name, edge.data_dir)

    def end(self):
        for producers in getattr(self, "producers", []):
            producers.process.kill()
        for daemon in self.edges + self.workers:
            daemon.end()
        self.servers.stop()

    # -- figures

    def metric(self, daemon, name):
        text = daemon.get("/metrics").body.decode()
        return sum(float(n) for n in re.findall(r"^observer_%s(?:\{[^}]*\})? (\S+)$" % name, text, re.M))

    def note(self, daemon):
        """Adds what it has counted since it was looked at last; before it is killed, too."""
        text = daemon.get("/metrics").body.decode()
        for name in COUNTED:
            now = sum(float(n) for n in re.findall(r"^observer_%s(?:\{[^}]*\})? (\S+)$" % name, text, re.M))
            key = (daemon.place.name, daemon.runs, name)
            self.totals[name] += int(now - self.last.get(key, 0))
            self.last[key] = now

    def figures(self):
        for daemon in self.edges + self.running:
            if daemon.alive():
                self.note(daemon)
        now = collections.Counter(self.totals)
        for producers in self.producers:
            now["acknowledged"] += producers.acknowledged
            for name in ("duplicates", "refused", "retries"):
                now[name] += producers.said[name]
        now["twice"] = self.truth.stored_twice
        return now

    # -- what is done to it

    def go(self):
        for producers in self.producers:
            producers.tell("go %g" % self.rate)

    def hold(self):
        """Until everything that is under way is acknowledged."""
        for producers in self.producers:
            producers.tell("hold")

    def count(self):
        return sum(p.tell("count") and p.acknowledged for p in self.producers)

    def flow(self, seconds):
        """Lets ops come in for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.2)

    def kill(self, daemon):
        self.note(daemon)
        daemon.kill()

    def url(self):
        return self.servers.urls[0]

    def ask(self, subject, text="", quiet=False):
        answer, = nats.tool("ask", subject, text, url=self.url(), quiet=quiet)
        if "error" in answer:
            raise AssertionError("%s: %s" % (subject, answer["error"]))
        return answer

    def change_stream(self, **members):
        config = self.ask("$JS.API.STREAM.INFO.OBSERVER_OPS")["config"]
        self.ask("$JS.API.STREAM.UPDATE.OBSERVER_OPS", json.dumps(dict(config, **members)))

    def stream(self):
        return self.ask("$JS.API.STREAM.INFO.OBSERVER_OPS")

    def wait_current(self):
        """The servers are whole: each stream has a leader, and its other copies have what the leader has. One fault at a time is
        what they promise to survive."""
        def current():
            self.servers.wait()
            names = self.ask("$JS.API.STREAM.NAMES", quiet=True)["streams"] or []
            clusters = [self.ask("$JS.API.STREAM.INFO." + name, quiet=True)["cluster"] for name in names]
            return all(c.get("leader") and len(c.get("replicas", [])) == 2 and all(r["current"] for r in c["replicas"])
                       for c in clusters)

        def settled():
            try:
                return current()
            except (AssertionError, subprocess.SubprocessError):
                return False
        try:
            wait_until(settled, 120, "the nats-servers to be whole")
        except AssertionError:
            if self.servers.is_ready():
                raise
            self.start_anew()
            wait_until(settled, 120, "the nats-servers to be whole")

    def start_anew(self):
        """Servers of 2.10.27 that were started at one moment may not hear each other, for good, though their routes stand: they have
        no leader, or one does not follow it, until they are started again one by one."""
        print("  the nats-servers do not come together: each is started again", flush=True)
        self.started_anew += 1
        for n in range(self.servers.count):
            self.servers.kill(n)
            self.servers.start(n, ready=False)
            self.flow(LEASE)

    def held(self, worker):
        return self.metric(worker, "fleet_partitions")

    def wait_settled(self, seconds=90):
        low, high = PARTITIONS // len(self.running), -(-PARTITIONS // len(self.running))

        def settled():
            held = [self.held(w) for w in self.running]
            return sum(held) == PARTITIONS and all(low <= n <= high for n in held)
        wait_until(settled, seconds, "partitions to be shared out among %d" % len(self.running))

    def leader(self, stream):
        def find():
            try:
                return self.ask("$JS.API.STREAM.INFO." + stream, quiet=True)["cluster"].get("leader")
            except (AssertionError, subprocess.SubprocessError):
                return None
        return int(wait_until(find, 60, "a leader of " + stream)[1:])

    def wait_same(self, n, alone):
        """The server has the copies of the streams' leaders. What a leader replays may not fit what it has sent before (`last sequence
        mismatch` in the log, of 2.9): then another one is to lead, if all others have the same."""
        for left in (2, 1, 0):
            self.servers.wait()
            different = replicas.find_different(self.servers, 60, lambda name: (n, self.leader(name)))
            if not different:
                return
            for line in replicas.describe(different):
                print("  " + line, flush=True)
            if left == 0:
                raise Missing("n%d does not come to what others have" % n)
            print("  n%d is started again%s" % (n, ", with other leaders" if alone else ""), flush=True)
            for name in different if alone else ():
                self.ask("$JS.API.STREAM.LEADER.STEPDOWN." + name)
            self.servers.kill(n)
            self.servers.start(n, ready=False)

    def mend_replicas(self):
        """What an operator has to do where copies of a stream differ (proto/fleet.md): one server after the other that has another
        copy than the stream's leader, with which edges and workers have compared what they know, gets all its copies anew, from the
        streams' leaders. Whom that has emptied."""
        emptied, whole = [], True
        try:
            self.wait_current()
        except AssertionError:
            whole = False  # one whose copy differs may never come to where the leader is
        while True:
            different = replicas.find_different(self.servers)
            if not different:
                break
            for line in replicas.describe(different):
                print("  " + line, flush=True)
            name = "OBSERVER_OPS" if "OBSERVER_OPS" in different else min(different)
            kept = self.leader(name)
            odd = replicas.find_odd(different[name], kept, self.servers.count)
            if len(emptied) == 2 * self.servers.count or not odd:
                raise Missing("replicas of %s differ, however often servers are emptied" % name)
            print("  n%d is stopped, its store emptied, and started; n%d leads %s" % (odd[0], kept, name), flush=True)
            self.servers.empty(odd[0])
            self.wait_same(odd[0], len(odd) == 1)
            emptied.append("n%d" % odd[0])
            self.emptied += 1
        if emptied or not whole:
            self.wait_current()
        return emptied

    # -- what must hold

    def wait_forwarded(self):
        def done():
            return all(self.metric(e, "forward_connected") == 1 and self.metric(e, "spool_ops") == 0 for e in self.edges)
        try:
            wait_until(done, WHOLE, "everything to be forwarded")
        except AssertionError as e:
            raise Missing("%s; spools: %s" % (e, [self.metric(edge, "spool_ops") for edge in self.edges])) from None

    def check(self):
        begin = time.monotonic()
        wait_until(self.servers.is_ready, 60, "the nats-servers")
        self.wait_forwarded()
        self.read_stream()
        for producers in self.producers:
            for way in ("rep", "post"):
                self.find_missing(producers.edge.place.name, way, producers.said[way])
        expected, last = self.truth.lifetime(), None

        def same():
            nonlocal last
            answer = self.edges[0].get("/v1/observer/summary?scope=cluster")
            if answer.status != 200:
                return False
            last = answer.json
            return (not last["cluster"]["missing"] and last["cluster"]["rows"]["folded"] == expected["total"]
                    and lifetime_of(last) == expected)
        try:
            wait_until(same, WHOLE, "the fleet's summary to be the recount")
        except AssertionError:
            if last is None:
                raise
            raise Missing("the summary has %d ops, folded %d; the stream %d; missing %s" % (
                last["lifetime"]["total"], last["cluster"]["rows"]["folded"], expected["total"],
                last["cluster"]["missing"])) from None
        for daemon in self.edges + self.running:
            self.wait_ready(daemon)
        return time.monotonic() - begin

    def wait_ready(self, daemon):
        """One that has just begun to lead the fleet may have been refused once by servers without a leader of their own."""
        ready = lambda: daemon.get("/readyz")
        try:
            wait_until(lambda: ready().status == 200, 60, "it to be ready")
        except AssertionError:
            raise Missing("%s is not ready: %s" % (daemon.place.name, ready().json)) from None

    def read_stream(self):
        """Until every row is there: an edge may have to notice first that the stream has lost some, and what it publishes again may
        come where it was read before."""
        end = time.monotonic() + WHOLE * harness.SLOW
        while True:
            try:
                return self.truth.read(self.url())
            except (Missing, subprocess.SubprocessError):  # or the server that was asked has a copy that does not go on
                if time.monotonic() > end:
                    raise
            time.sleep(2)
            self.truth.forget()

    def find_missing(self, name, way, end):
        missing = self.truth.missing(name, way, end)
        allowed = self.truth.lost  # they went with a disk
        if len(missing) > allowed:
            raise Missing("%d ops that %s acknowledged to %s are not in the stream, such as %d" % (
                len(missing), name, way, missing[0]))


# --- the cases -------------------------------------------------------------------------------------------------------

CASES = []


def case(text):
    def add(function):
        CASES.append((function.__name__, text, function))
        return function
    return add


@case("nothing; requesters whose answers are lost repeat")
def lost_answers(f):
    f.flow(3)


@case("edge killed -9 while NATS is cut off: before PubAck")
def edge_before_ack(f):
    edge = f.edges[0]
    edge.place.cut()
    f.flow(3)
    f.kill(edge)
    edge.start()
    f.flow(2)
    edge.place.heal()


@case("edges killed -9 in turn: after PubAck, before the answer")
def edge_after_ack(f):
    for edge in f.edges:
        f.kill(edge)
        edge.start()
        f.flow(1)


@case("an edge's disk lost")
def edge_disk(f):
    edge = f.edges[1]
    f.kill(edge)
    journal, = [j for j in f.truth.journals if j.data_dir == edge.data_dir]
    journal.data_dir = edge.data_dir + ".lost%d" % edge.runs
    os.rename(edge.data_dir, journal.data_dir)
    journal.lost = True
    edge.start()
    f.follow(edge)


@case("PubAcks lost; and all published again, which the server takes for new")
def acks_lost(f):
    edge = f.edges[2]
    for server in f.servers.places:
        edge.place.deafen(server)
    f.flow(LEASE + 5)
    for server in f.servers.places:
        edge.place.hear(server)
    f.flow(2)
    for journal in f.truth.journals:
        for p in range(0, PARTITIONS, 4):  # as a worker asks for it
            nats.tool("again", journal.edge, p, 1, url=f.url())


@case("leader of the stream killed -9, R3")
def leader(f):
    n = f.leader("OBSERVER_OPS")
    f.servers.kill(n)
    f.flow(LEASE)
    f.servers.start(n, ready=False)


@case("each NATS node killed -9 in turn")
def nodes(f):
    for n in range(3):
        f.servers.kill(n)
        f.flow(3)
        f.servers.start(n)
        f.wait_current()


@case("each NATS node cut off in turn")
def node_cut(f):
    for place in f.servers.places:
        place.cut()
        f.flow(LEASE + 2)
        place.heal()
        f.wait_current()


def save_stores(f, nodes):
    """As they are now; what is folded behind that is what these nodes will lose."""
    f.wait_current()
    for n in nodes:
        f.servers.kill(n)
    for n in nodes:
        shutil.rmtree(f.servers.store(n) + ".old", ignore_errors=True)
        shutil.copytree(f.servers.store(n), f.servers.store(n) + ".old")
    for n in nodes:
        f.servers.start(n, ready=False)
    f.wait_current()
    f.wait_settled()
    folded = lambda: sum(f.metric(w, "fleet_ops_total") for w in f.running)
    before = folded()
    wait_until(lambda: folded() > before + 10000, 60, "more to be folded, which is lost")


def restore_stores(f, nodes):
    for n in nodes:
        f.servers.kill(n)
    for n in nodes:
        shutil.rmtree(f.servers.store(n))
        os.rename(f.servers.store(n) + ".old", f.servers.store(n))
    for n in nodes:
        f.servers.start(n, ready=False)
    f.truth.forget()


@case("all NATS nodes lose what was not synced")
def power(f):
    save_stores(f, range(3))
    restore_stores(f, range(3))


@case("two of the three lose it, while the third stands still")
def power_two(f):
    save_stores(f, (1, 2))
    f.servers.processes[0].send_signal(signal.SIGSTOP)
    try:
        restore_stores(f, (1, 2))

        def last_seq():
            """Of the stream that the two have; 0: they have no leader yet."""
            try:
                info, = nats.tool("ask", "$JS.API.STREAM.INFO.OBSERVER_OPS", "", url=f.servers.urls[1], quiet=True)
            except subprocess.SubprocessError:
                return 0
            led = "error" not in info and info["cluster"].get("leader") in ("n1", "n2")
            return info["state"]["last_seq"] if led else 0
        wait_until(last_seq, 60, "the two to have a leader")
        begun = last_seq()
        # Until then the third one may win, and has lost nothing.
        wait_until(lambda: last_seq() > begun + 100, 60, "the two to take more in place of what they have lost")
    finally:
        f.servers.processes[0].send_signal(signal.SIGCONT)


@case("worker killed -9 between fold and checkpoint")
def worker_killed(f):
    worker = f.running[0]
    f.kill(worker)
    f.flow(3)
    worker.start()
    f.flow(3)
    other = f.running[1]
    f.kill(other)
    f.flow(LEASE + 2)  # the others have taken over
    other.start()


@case("worker stopped for longer than its leases: two believe that they hold them")
def worker_stopped(f):
    worker = f.running[0]
    worker.hold()
    f.flow(LEASE + 5)
    worker.process.send_signal(signal.SIGCONT)


@case("worker cut off for longer than its leases")
def worker_cut(f):
    f.running[1].place.cut()
    f.flow(LEASE + 7)
    f.running[1].place.heal()


@case("edges cut off from NATS until their spools are full")
def edge_cut(f):
    for edge in f.edges[:2]:
        edge.place.cut()
    wait_until(lambda: all(edge.get("/readyz").status == 503 for edge in f.edges[:2]), 120, "spools to be full")
    f.flow(3)
    for edge in f.edges[:2]:
        edge.place.heal()


@case("stream full, until it has room again")
def stream_full(f):
    f.change_stream(max_bytes=f.stream()["state"]["bytes"] + (1 << 20))
    wait_until(lambda: all(edge.get("/readyz").status == 503 for edge in f.edges), 180, "spools to be full")
    f.change_stream(max_bytes=-1)


@case("poison")
def poison(f):
    before = f.figures()["fleet_poison_total"]
    for n, text in enumerate(("no batch", "\x01", "{\"v\":1}")):
        nats.tool("publish", "observer.ops.%d.0123456789abcdef" % (7 + n), text, url=f.url())
    wait_until(lambda: f.figures()["fleet_poison_total"] == before + 3, 60, "three messages to be counted")
    wait_until(lambda: f.ask("$JS.API.STREAM.INFO.OBSERVER_DEAD")["state"]["messages"] >= 3, 30, "them to be put aside")


@case("4 workers, 6, 3 (one killed -9), 4")
def rebalance(f):
    for worker in f.spare:
        f.running.append(worker.start())
    f.wait_settled()
    for worker in f.running[3:5]:
        f.note(worker)
        worker.stop(60)
    f.kill(f.running[5])
    del f.running[3:]
    f.wait_settled()
    f.running.append(f.workers[3].start())
    f.wait_settled()


@case("clocks of an edge and a worker jump")
def clocks(f):
    if FAKETIME is None:
        return "not tried: no libfaketime here"
    path = os.path.join(f.work, "faketime")
    victims = (f.edges[0], f.running[0])
    for daemon in victims:
        set_clock(path, "+0")
        daemon.env.update(LD_PRELOAD=FAKETIME, FAKETIME_TIMESTAMP_FILE=path, FAKETIME_CACHE_DURATION="1", DONT_FAKE_MONOTONIC="1")
        f.note(daemon)
        daemon.restart()
    for jump in ("+3600", "-7200", "+86400", "+0"):
        set_clock(path, jump)
        f.flow(4)
    for daemon in victims:
        daemon.env.clear()
        f.note(daemon)
        daemon.restart()
    return None


def set_clock(path, text):
    with open(path + ".new", "w", encoding="ascii") as out:
        out.write(text + "\n")
    os.rename(path + ".new", path)


@case("buckets deleted")
def buckets(f):
    for bucket in ("LEASES", "CHECKPOINTS", "FLEET"):
        f.ask("$JS.API.STREAM.DELETE.KV_OBSERVER_" + bucket)
    f.flow(LEASE)


@case("stream deleted and made anew")
def anew(f):
    f.ask("$JS.API.STREAM.DELETE.OBSERVER_OPS")
    wait_until(lambda: all(w.get("/readyz").status == 503 for w in f.running), 120, "workers to refuse it")
    worker = f.running[0]
    f.note(worker)
    worker.stop(60)
    worker.args.append("--accept-new-stream")
    worker.start()
    f.truth.forget()


# --- running them ----------------------------------------------------------------------------------------------------

COLUMNS = (("acknowledged", "ops ack"), ("duplicates", "repeated"), ("twice", "in twice"), ("forward_republished_total", "republ"),
           ("fleet_rewinds_total", "rewinds"), ("fleet_holes_total", "holes"), ("fleet_poison_total", "poison"),
           ("spool_full_total", "full"), ("refused", "refused"), ("retries", "retries"))


def put_line(text, cells, whole, said):
    print("%-80s %s %8s  %s" % (text, " ".join("%9s" % c for c in cells), whole, said), flush=True)


def run_case(f, text, function, share):
    before, lost = f.figures(), f.truth.lost
    emptied = f.mend_replicas()  # when the case before has failed
    f.go()
    f.flow(1)
    said = function(f) or ""
    end = time.monotonic() + 600 * harness.SLOW
    while f.count() - before["acknowledged"] < share and time.monotonic() < end:
        time.sleep(0.2)
    f.hold()
    emptied += f.mend_replicas()
    f.wait_settled(WHOLE)
    whole = f.check()
    after = f.figures()
    if f.truth.lost > lost:
        said = "%d ops were on no other disk" % (f.truth.lost - lost)
    if emptied:
        said = ", ".join([said or "holds", "emptied " + " ".join(emptied)])
    cells = ["%d" % max(0, after[name] - before[name]) for name, _ in COLUMNS]
    put_line(text, cells, "%.1f" % whole, said or "holds")


def run(args, work):
    chosen = [c for c in CASES if not args.case or c[0] in args.case]
    failed = 0
    begin = time.monotonic()
    f = None
    try:
        f = Fleet(work, args.rate)
        put_line("", [head for _, head in COLUMNS], "s", "")
        for _, text, function in chosen:
            try:
                run_case(f, text, function, args.ops // len(chosen))
            except (AssertionError, OSError, subprocess.SubprocessError) as e:
                failed += 1
                if not isinstance(e, Missing):
                    traceback.print_exc()
                put_line(text, ["-"] * len(COLUMNS), "-", "FAILED: %s" % e)
                if not args.keep_going:
                    break
        print("%d ops acknowledged, %d rows in the stream, %d of them twice, %d lost with a disk; %d servers emptied whose copies "
              "differed, %d times all were started again; %d of %d cases failed; %.0f s" % (
                  sum(p.acknowledged for p in f.producers), f.truth.stored, f.truth.stored_twice, f.truth.lost, f.emptied,
                  f.started_anew, failed, len(chosen), time.monotonic() - begin))
    finally:
        if f is not None:
            f.end()
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ops", type=int, default=1000000)
    parser.add_argument("--rate", type=float, default=1500)
    parser.add_argument("--nats-server", default=nats.PROGRAM)
    parser.add_argument("--case", action="append", choices=[name for name, _, _ in CASES])
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave what was written where it is")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    if args.list:
        for name, text, _ in CASES:
            print("%-16s %s" % (name, text))
        return
    fleet_net.enter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    nats.PROGRAM = args.nats_server
    version = subprocess.run([nats.PROGRAM, "--version"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    print("%s; %d ops, %g a second and edge" % (version, args.ops, args.rate), flush=True)
    work, failed = tempfile.mkdtemp(prefix="obs-faults-"), 0
    try:
        failed = run(args, work)
    finally:
        if failed or args.keep:
            print("what they have left: %s" % work)
        else:
            shutil.rmtree(work, ignore_errors=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
