"""What hostile peers cost a healthy one: connections that idle, requests that are never whole, peers that never read, high
cardinality of every field at full speed, peers that come and go, beside one producer that waits for each answer.

  hostile_load.py [--seconds N] [--connections N]

Prints the daemon's memory over time and the healthy producer's times: alone, while they are at another daemon of this
machine, and beside them. Fails when the counts do not
balance, an acknowledged op is not in the journal, a connection is left behind, or the daemon does not end in order.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import select
import shutil
import socket
import struct
import sys
import tempfile
import time
from urllib.parse import urlsplit

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "process"))

import harness  # noqa: E402

GREETINGS = {"pull": harness.PUSH, "sub": harness.PUB, "rep": harness.REQ, "feed": harness.SUB}
FIELDS = ("endpoint", "source", "error", "staffer_id", "sig_hash", "event_kind", "role", "city", "state", "task_class",
          "correction", "session_id", "cycle_id", "op_id", "input_summary", "output_summary")
RETAINED = "1G"


def greeting(kind):
    return b"\0SP\0" + struct.pack(">HH", GREETINGS[kind], 0) if kind in GREETINGS else b""


def framed(body):
    return struct.pack(">Q", len(body)) + body


class Peers:
    """Connections to one socket that are kept open, as many as wanted; each sends `first` and then whatever `more` gives,
    and reads only if told to."""

    def __init__(self, url, count, first, more=None, reads=False, room=None):
        parts = urlsplit(url)
        self.place = (parts.hostname, parts.port)
        self.count, self.first, self.more, self.reads, self.room = count, first, more, reads, room
        self.open = {}
        self.opened = 0

    def connect(self):
        s = socket.socket()
        try:
            if self.room:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.room)
            s.settimeout(1)
            s.connect(self.place)
            s.sendall(self.first() if callable(self.first) else self.first)
            s.setblocking(False)
        except OSError:
            s.close()
            return
        self.open[s.fileno()] = s
        self.opened += 1

    def drop(self, s):
        self.open.pop(s.fileno(), None)
        s.close()

    def step(self, stop):
        """Replaces those that are gone, and gives each that has room something more."""
        for _ in range(min(100, self.count - len(self.open))):
            self.connect()
        for s in list(self.open.values()):
            if stop.is_set():
                return
            try:
                if self.reads and s.recv(65536) == b"":
                    self.drop(s)
                    continue
            except BlockingIOError:
                pass
            except OSError:
                self.drop(s)
                continue
            if not self.more:
                continue
            try:
                s.send(self.more())
            except BlockingIOError:
                pass
            except OSError:
                self.drop(s)
        if not self.more:
            self.sweep()

    def sweep(self):
        """Finds those that the daemon has closed."""
        poll = select.poll()
        for fd in self.open:
            poll.register(fd, select.POLLRDHUP)
        for fd, _ in poll.poll(50):
            self.drop(self.open[fd])


# --- the hostile ones, each a process of its own -----------------------------------------------------------------------


def run(stop, *peers):
    while not stop.is_set():
        for p in peers:
            p.step(stop)
    for p in peers:
        for s in list(p.open.values()):
            p.drop(s)


def idle(stop, urls, n):
    """Connections that say hello and nothing more."""
    run(stop, *(Peers(urls[kind], n, greeting(kind)) for kind in GREETINGS))


def half_open(stop, urls, n):
    """Requests and messages that are never whole."""
    heads = (b"GET /stats HTTP/1.1\r\nHost: localhost\r\nX: ", b"P", b"",
             b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4194304\r\n\r\n" + b" " * 60000,
             b"POST /event HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n")
    big = struct.pack(">Q", 4 << 20) + b"x" * 200000
    few = max(1, n // 20)
    run(stop, Peers(urls["http"], n // 2, lambda: random.choice(heads)),
        *(Peers(urls[kind], few, greeting(kind) + big) for kind in ("pull", "sub", "rep")),
        *(Peers(urls[kind], few, greeting(kind)[:5]) for kind in GREETINGS))


def never_read(stop, urls, n):
    """Peers that ask without end and never read an answer."""
    question = framed(b"\x80\0\0\1" + b'{"advice":{"endpoint":"/f"}}') * 50
    bad = framed(b"\x80\0\0\1" + b'{"endpoint":""}') * 50
    views = b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in
                     (b"/v1/observer/summary", b"/stats", b"/v1/observer/ops?limit=1000")) * 10
    run(stop, Peers(urls["rep"], max(1, n // 20), greeting("rep"), lambda: random.choice((question, bad)), room=4096),
        Peers(urls["http"], max(1, n // 20), views, lambda: views, room=4096),
        Peers(urls["feed"], max(1, n // 4), greeting("feed"), room=4096))


def come_and_go(stop, urls, n):
    """Scans, resets, and requesters that die with questions under way."""
    del n
    linger = struct.pack("ii", 1, 0)
    dying = greeting("rep") + framed(b"\x80\0\0\1" + b'{"advice":{"endpoint":"/f"}}') * 20 + b"\0\0"
    while not stop.is_set():
        kind = random.choice(list(urls))
        parts = urlsplit(urls[kind])
        first = random.choice((b"", greeting(kind), os.urandom(30), b"GET / HTTP/1.0\r\n\r\n", dying))
        try:
            with socket.create_connection((parts.hostname, parts.port), 1) as s:
                s.sendall(first)
                if random.random() < 0.5:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        except OSError:
            pass
        time.sleep(0.001)


def value():
    return "%016x" % random.getrandbits(64)


def anything():
    """An op whose every field is new."""
    op = {name: value() for name in FIELDS}
    op["endpoint"] = "/" + value() + "/" + value()
    op["error"] = "cannot %s %s: code %d at %s" % (value(), value(), random.getrandbits(30), value())
    op["duration_ms"] = random.getrandbits(40)
    op["x" + value()] = {value(): [value()]}
    return op


def flood(stop, urls, n):
    """Every field of every op is new, at full speed, by PUSH and by PUB; some messages are broken."""
    del n
    long = anything()
    long.update(endpoint="\x01" * 60000, source="\x02" * 60000)
    while not stop.is_set():
        try:
            with harness.Push(urls["pull"], timeout=60) as push, harness.Pub(urls["sub"], timeout=60) as pub:
                while not stop.is_set():
                    message = json.dumps([anything() for _ in range(50)]).encode()
                    push.send(message)
                    pub.send(b"op." + value().encode() + b"\0" + message)
                    if random.random() < 0.02:
                        push.send(json.dumps(long).encode())
                        push.send(message[: random.randrange(len(message))])
        except OSError:
            pass


HOSTILE = (idle, half_open, never_read, come_and_go, flood)


def hostile(role, stop, urls, n):
    os.nice(19)  # they are elsewhere: they must not have the processor that the daemon and the healthy one need
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    role(stop, urls, n)


# --- the healthy one ---------------------------------------------------------------------------------------------------


class Healthy:
    """Asks for one op at a time and keeps what was acknowledged and how long it took."""

    def __init__(self, url):
        self.url, self.sent, self.acked, self.retries = url, 0, [], 0

    def work(self, seconds, each=None):
        """For so long; calls `each` between two ops. Returns the times in ms, sorted."""
        times, end = [], time.monotonic() + seconds
        with harness.Req(self.url, timeout=60) as req:
            while time.monotonic() < end:
                name = "h%d" % self.sent
                self.sent += 1
                while True:
                    begin = time.monotonic()
                    answer = req.request(json.dumps({"endpoint": "/healthy", "success": True, "op_id": name}).encode())
                    if "retry" not in answer:
                        break
                    self.retries += 1
                    time.sleep(0.01)
                times.append((time.monotonic() - begin) * 1000)
                assert answer["accepted"] == 1, answer
                self.acked.append(name)
                if each:
                    each()
                time.sleep(0.002)
        return sorted(times)


def quantile(times, q):
    return times[min(len(times) - 1, int(len(times) * q))]


def counts(daemon):
    return daemon.get("/v1/observer/health").json["transports"]


def check_conservation(daemon, wait=30):
    """Nothing is in flight any more, and every op that came is a row, a duplicate or a reject. Returns the rows."""

    def settled():
        now = counts(daemon)
        return now if all(n["in_flight"] == 0 for n in now.values()) else None

    now = harness.wait_until(settled, wait, "nothing in flight")
    for name, n in now.items():
        assert n["received"] == n["recorded"] + n["duplicate"] + n["rejected"], (name, n)
    return sum(n["recorded"] for n in now.values())


def check_acknowledged(daemon, acked):
    """What of the healthy one's ops is still retained is all there, in order; without retention that is all."""
    found = [row["op_id"] for row in daemon.journal_rows() if row.get("endpoint") == "/healthy"]
    assert found == acked[len(acked) - len(found):], "acknowledged ops are not in the journal"
    return len(found)


def urls_of(daemon):
    return {kind: daemon.url(kind) for kind in ("http", "pull", "sub", "rep", "feed")}


def start(work, name):
    return harness.Daemon(work, os.path.join(work, name), feed="tcp://127.0.0.1:0",
                          args=["--segment-bytes", "64M", "--retain-bytes", RETAINED]).start()


class Load:
    """A daemon, the hostile ones, and what was seen."""

    def __init__(self, daemon, connections):
        self.daemon, self.connections = daemon, connections
        self.urls = urls_of(daemon)
        self.healthy = Healthy(self.urls["rep"])
        self.rss = []
        self.begin = time.monotonic()
        self.fewest = self.descriptors() + 3  # the journal's and the rejected ops' files, and a probe of its own

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.daemon.pid))

    def watch(self):
        if not self.rss or time.monotonic() - self.begin - self.rss[-1][0] >= 0.2:
            self.rss.append((time.monotonic() - self.begin, self.daemon.rss()))

    def alone(self, seconds):
        """The healthy one's times when nobody else is there."""
        times = self.healthy.work(seconds)
        harness.wait_until(lambda: self.descriptors() <= self.fewest, 30, "the healthy one's connection is closed")
        return times

    def beside(self, seconds, other=None):
        """The healthy one's times while the hostile ones are at work: here, or at another daemon, which shows what the
        processors that they share cost."""
        context = multiprocessing.get_context("fork")
        stop = context.Event()
        urls = urls_of(other) if other else self.urls
        peers = [context.Process(target=hostile, args=(role, stop, urls, self.connections), daemon=True) for role in HOSTILE]
        self.begin = time.monotonic()
        for p in peers:
            p.start()
        try:
            times = self.healthy.work(seconds, None if other else self.watch)
        finally:
            stop.set()
            for p in peers:
                p.join(30)
                if p.is_alive():
                    p.terminate()
                    p.join(30)
        harness.wait_until(lambda: self.descriptors() <= self.fewest, 60, "no connection is left behind")
        return times

    def peak(self):
        return max(size for _, size in self.rss)


def say(what, times):
    print("healthy producer, %-26s %6d ops  p50 %7.2f ms  p99 %7.2f ms  most %7.2f ms" % (
        what + ":", len(times), quantile(times, 0.5), quantile(times, 0.99), times[-1]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--connections", type=int, default=2000)
    args = parser.parse_args()
    short = min(20.0, args.seconds)
    work = tempfile.mkdtemp(prefix="obs-load-")
    daemons = []
    try:
        daemons = [start(work, "data")]
        daemon = daemons[0]
        load = Load(daemon, args.connections)
        print("%d connections a socket, %g s; memory at the start %d MB" % (
            args.connections, args.seconds, daemon.rss() >> 20), flush=True)
        before = load.alone(short)
        daemons.append(start(work, "other"))
        shared = load.beside(short, daemons[1])
        daemons[1].stop()
        beside = load.beside(args.seconds)
        step = max(1, len(load.rss) // 20)
        for at, size in load.rss[::step]:
            print("  %5.0f s  %5d MB" % (at, size >> 20))
        print("memory: at most %d MB" % (load.peak() >> 20))
        say("alone", before)
        say("they are at another daemon", shared)
        say("beside them", beside)
        print("p99 beside them is %.1f of its own alone, and %.1f of its own on processors as busy; asked to retry: %d" % (
            quantile(beside, 0.99) / quantile(before, 0.99), quantile(beside, 0.99) / quantile(shared, 0.99),
            load.healthy.retries))
        rows = check_conservation(daemon)
        for name, n in counts(daemon).items():
            print("  %-5s %s" % (name, " ".join("%s %d" % pair for pair in n.items())))
        daemon.stop()
        kept = check_acknowledged(daemon, load.healthy.acked)
        print("balanced: %d ops recorded; %d of %d acknowledged ones are still retained, none is missing" % (
            rows, kept, len(load.healthy.acked)))
    finally:
        for each in daemons:
            each.end()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
