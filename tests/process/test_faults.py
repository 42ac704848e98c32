"""The disk, the memory and the clock fail at any moment of a daemon's life: nothing acknowledged is lost, what /stats counts
is in the journal, every op is accounted for, and recording resumes.

A library (faults.c) in front of the C library makes chosen calls fail. OBSERVER_FAULTS=all lets each call of a life fail in
turn, which takes long; without it a few of each function, spread over the life, do."""

import http.client
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import time
from urllib.parse import urlsplit

from harness import BUILD, SmallDisk, journal_lines, journal_segments, main, pack, unpack, wait_until
from recount import Producers, RecoveryTest

LIBRARY = os.path.join(BUILD, "tests", "faults.so")
FUNCTIONS = ("open", "read", "write", "datasync", "sync", "rename", "unlink", "truncate", "memory", "accept")
EIO, EINTR, EBADF, ENOMEM, ENOSPC, EMFILE, SHORT = 5, 4, 9, 12, 28, 24, 100000
EVERY = os.environ.get("OBSERVER_FAULTS") == "all"
SPREAD = 3  # calls of a function that fail in turn, unless all do
FOR_EVER = 1 << 40


class Faults:
    """The memory that the library shares with the test: five numbers a function, then the clock."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(4096))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def row(self, function):
        return FUNCTIONS.index(function) * 40

    def number(self, function, member):
        return struct.unpack_from("<Q", self.map, self.row(function) + 8 * member)[0]

    def calls(self, function):
        return self.number(function, 0)

    def failed(self, function):
        return self.number(function, 4)

    def reset(self):
        self.map[:] = bytes(4096)

    def fail(self, function, first, count, error):
        """Calls first to first + count - 1, counted from the last reset, fail."""
        struct.pack_into("<QQQ", self.map, self.row(function) + 16, count, error, 0)
        struct.pack_into("<Q", self.map, self.row(function) + 8, first)

    def fail_next(self, function, error, count=FOR_EVER):
        self.fail(function, self.calls(function) + 1, count, error)

    def well(self):
        for function in FUNCTIONS:
            struct.pack_into("<Q", self.map, self.row(function) + 8, 0)

    def shift_clock(self, seconds):
        struct.pack_into("<q", self.map, len(FUNCTIONS) * 40, seconds)


class FaultTest(RecoveryTest):
    ARGS = ["--segment-bytes", "12000", "--cycle", "50ms", "--checkpoint", "1", "--log-level", "debug"]

    def setUp(self):
        super().setUp()
        if not os.path.exists(LIBRARY):
            self.skipTest("no %s" % LIBRARY)
        self.faults = Faults(os.path.join(self.tmp, "faults"))
        self.lives = 0

    def make_faulty(self, args=(), **kw):
        self.lives += 1
        env = {"LD_PRELOAD": LIBRARY, "OBS_FAULTS": self.faults.path,
               "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        return self.make(data_dir="data.%d" % self.lives, args=self.ARGS + list(args), env=env, **kw)

    # -- traffic

    def op(self, name):
        return {"endpoint": "/e%d" % (sum(name.encode()) % 5), "op_id": name, "success": not name.endswith("3"),
                "error_kind": "bad", "error": "what went wrong in %s" % name, "input_summary": "x" * 300}

    def session(self, name):
        return {"schema": "session.iterate.v1", "session_id": name, "timestamp": "2026-01-01T00:00:00Z", "kind": "fill",
                "final_verdict": "accepted"}

    def insist(self, send, what):
        """Until it is acknowledged: the fault ends, so recording must resume."""
        last = []

        def acknowledged():
            try:
                last[:] = [send()]
                return last[0] is True
            except (OSError, ValueError, http.client.HTTPException) as e:  # ValueError: without memory it is JSON
                last[:] = [repr(e)]
                return False

        try:
            wait_until(acknowledged, 15, what)
        except AssertionError as e:
            raise AssertionError("%s; last: %r; log:\n%s" % (e, last, self.daemon.stderr()[-3000:])) from None

    def by_rep(self, names):
        """Ops and a session record in one message."""
        def send():
            with self.daemon.req(timeout=3) as req:
                said = req.request([self.session(names[0])] + [self.op(name) for name in names])
            return said["accepted"] + said["duplicates"] == 1 + len(names) or said
        self.insist(send, "REP")
        self.sessions.add(names[0])
        self.acked.update(names)

    def by_http(self, names):
        def send():
            answer = self.daemon.request("POST", "/v1/observer/event", [self.op(name) for name in names], timeout=3)
            return answer.status == 200 and answer.json["count"] == len(names) or answer
        self.insist(send, "POST")
        self.acked.update(names)

    def by_pull(self, names):
        """Nobody waits for it: what is read is recorded, or counted as rejected for want of memory."""
        def send():
            with self.daemon.push(timeout=3) as push:
                push.send(pack([self.op(name) for name in names]))
            return True
        self.insist(send, "PULL")

    def traffic(self, rounds=4):
        for n in range(rounds):
            tag = "%d.%d" % (self.lives, n)
            self.by_rep(["r%s.%d" % (tag, k) for k in range(8)])
            self.by_http(["h%s.%d" % (tag, k) for k in range(8)])
            self.by_pull(["p%s.%d" % (tag, k) for k in range(4)])
            try:
                self.daemon.post("/v1/observer/event", b"{bad")
                self.daemon.get("/v1/observer/ops?limit=50")
                self.daemon.get("/v1/observer/sessions")
            except (OSError, http.client.HTTPException):
                pass

    # -- what must hold

    def transports(self):
        return self.daemon.get("/health").json["transports"]

    def settle(self):
        """Each thing received is accounted for, at rest."""
        def at_rest():
            try:
                return all(t["in_flight"] == 0 for t in self.transports().values())
            except (OSError, http.client.HTTPException, KeyError, TypeError):
                return False

        def counts():
            try:
                return self.transports()
            except (OSError, http.client.HTTPException, KeyError, TypeError):  # no memory for the connection
                return None
        wait_until(at_rest, 15, "nothing in flight")
        for name, t in wait_until(counts, 5, "the counts").items():
            self.assertEqual(t["received"], t["recorded"] + t["duplicate"] + t["rejected"] + t["in_flight"], (name, t))

    def check_recount(self, daemon, rows=None):
        """What nobody waits for may still be on its way, and an answer may lack memory."""
        wrong = []

        def agrees():
            try:
                self.compare(daemon)
                return True
            except (AssertionError, OSError, KeyError, TypeError, http.client.HTTPException) as e:
                wrong[:] = [e]
                return False
        try:
            wait_until(agrees, 5, "agreement")
        except AssertionError:
            raise wrong[0] from None

    def compare(self, daemon):
        super().check_recount(daemon)

    def check_kept(self, daemon):
        """After a start without faults: what was acknowledged is there, once, and what is counted is what is there."""
        ids = [row.get("op_id") for row in daemon.journal_rows()]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(self.acked - set(ids), set())
        with open(os.path.join(daemon.data_dir, "coordinator_sessions.jsonl"), "rb") as f:
            sessions = [json.loads(line)["session_id"] for line in f.read().split(b"\n")[:-1]]
        self.assertEqual(len(sessions), len(set(sessions)))
        self.assertEqual(self.sessions - set(sessions), set())
        self.check_recount(daemon)
        check = subprocess.run([os.path.join(BUILD, "observerctl"), "check", daemon.data_dir], capture_output=True,
                               text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)

    def live(self, args=(), kill=False, arm=None, **kw):
        """A whole life, from a start without files to the end, then one without faults."""
        self.daemon = daemon = self.make_faulty(args, **kw)
        self.acked, self.sessions = set(), set()
        self.faults.reset()
        if arm is not None:
            arm()
        daemon.spawn()
        while not self.started(daemon):
            daemon.spawn()
        self.traffic()
        self.settle()
        self.check_recount(daemon)
        if kill:
            daemon.kill()
        else:
            daemon.process.terminate()
            # 1: the journal or the checkpoint could not be closed as it should be.
            self.assertIn(daemon.wait(), (0, 1), daemon.stderr()[-3000:])
        daemon.check_sanitizers()
        self.faults.well()
        daemon.env = {}
        daemon.start()
        self.check_kept(daemon)
        daemon.stop()

    def started(self, daemon):
        """Or it ends with words for the reason, and the next start works, since the fault is over."""
        try:
            wait_until(daemon.is_ready, 15, "observerd ready")
            return True
        except AssertionError:
            if daemon.alive():
                raise AssertionError("it hangs at the start:\n" + daemon.stderr()[-3000:]) from None
            self.assertIn(daemon.process.returncode, (1, 2), daemon.stderr()[-3000:])
            self.assertNotEqual(daemon.stderr(), "")
            self.assertGreater(sum(self.faults.failed(f) for f in FUNCTIONS), 0, daemon.stderr())
            return False

    def each(self, function, errors, count=1, spread=SPREAD, **kw):
        """One life for each call of the function that fails, and each way in which it does."""
        self.live(**kw)
        total = self.faults.calls(function)
        self.assertGreater(total, 0, "%s is not called" % function)
        calls = range(1, total + 1)
        if not EVERY:
            calls = sorted({1 + (total - 1) * k // (spread - 1) for k in range(spread)})
        met = 0
        for k, n in enumerate(calls):
            for error in errors:
                with self.subTest(function=function, call=n, of=total, error=error):
                    self.live(kill=(n + k) % 2 == 0, arm=lambda: self.faults.fail(function, n, count, error), **kw)
                    met += self.faults.failed(function) > 0
        self.assertGreater(met, 0, "no life was as long as that")


class Disk(FaultTest):
    def test_open(self):
        self.each("open", (EIO, EMFILE))

    def test_read(self):
        self.each("read", (EIO, EINTR))

    def test_write(self):
        self.each("write", (EIO, ENOSPC, EINTR, SHORT))

    def test_several_writes(self):
        self.each("write", (ENOSPC, SHORT), count=5)

    def test_datasync(self):
        self.each("datasync", (EIO, ENOSPC))

    def test_several_datasyncs(self):
        self.each("datasync", (EIO,), count=3)

    def test_sync(self):
        self.each("sync", (EIO,))

    def test_rename(self):
        self.each("rename", (EIO, ENOSPC))

    def test_unlink(self):
        """It is called for after a failure, within so short a life."""
        def arm():
            self.faults.fail("rename", 1, 3, EIO)
            self.faults.fail("unlink", 1, 2, EIO)
        self.live(arm=arm)
        self.assertGreater(self.faults.failed("unlink"), 0)

    def test_truncate(self):
        """A truncation is called for after a failure only."""
        for call in (1, 2):
            with self.subTest(call=call):
                def arm():
                    self.faults.fail("datasync", 3, 3, EIO)
                    self.faults.fail("truncate", call, 2, EIO)
                self.live(kill=True, arm=arm)
                self.assertGreater(self.faults.failed("truncate"), 0)


class Memory(FaultTest):
    def compare(self, daemon):
        """A name for which there is no memory counts as other: totals agree, names need not."""
        rows = daemon.journal_rows()
        failures = sum(not row["success"] for row in rows)
        stats, life = daemon.stats(), daemon.get("/v1/observer/summary").json["lifetime"]
        self.assertEqual((stats["total"], stats["failures"]), (len(rows), failures))
        self.assertEqual((life["total"], life["failures"]), (len(rows), failures))
        self.assertEqual(sum(n["total"] for n in life["by_endpoint"].values()), len(rows))

    def test_memory(self):
        with open(LIBRARY, "rb") as f:
            if b"__libc_malloc" not in f.read():
                self.skipTest("the sanitizer has memory functions of its own")
        self.each("memory", (ENOMEM,), spread=12)


class Everything(FaultTest):
    """One daemon, a fault while it serves, and the traffic before, during and after."""

    def begin(self, args=(), **kw):
        self.daemon = self.make_faulty(args, **kw)
        self.acked, self.sessions = set(), set()
        self.faults.reset()
        self.daemon.start()
        self.traffic(1)
        return self.daemon

    def end(self, kill=False):
        self.lives += 1
        self.traffic(2)
        self.settle()
        self.check_recount(self.daemon)
        self.daemon.kill() if kill else self.daemon.stop()
        self.faults.reset()
        self.daemon.start()
        self.check_kept(self.daemon)

    def refused(self, text):
        """Nothing is acknowledged; the daemon says why and is not ready."""
        answer = self.daemon.post("/v1/observer/event", self.op("refused"))
        self.assertEqual(answer.status, 503, answer)
        self.assertIn(text, answer.json["error"])
        with self.daemon.req() as req:
            said = req.request([self.op("refused")])
        self.assertEqual((said["accepted"], said["retry"]), (0, True))
        self.assertEqual(self.daemon.get("/readyz").status, 503)
        self.assertEqual(self.daemon.get("/livez").status, 200)
        self.assertNotIn("refused", [row.get("op_id") for row in self.daemon.journal_rows()])

    def test_a_disk_that_fails_for_a_while(self):
        for function, error, text in (("write", ENOSPC, "No space left on device"), ("write", EIO, "Input/output error"),
                                      ("datasync", EIO, "Input/output error")):
            with self.subTest(function=function, error=error):
                self.begin()
                self.faults.fail_next(function, error)
                self.refused(text)
                pushed = ["while.%d" % n for n in range(20)]
                with self.daemon.push() as push:
                    push.send(pack([self.op(name) for name in pushed]))
                    wait_until(lambda: self.transports()["pull"]["in_flight"] == 20, 10, "held ops")
                    self.faults.well()
                    wait_until(lambda: self.daemon.get("/readyz").status == 200, 10, "readiness")
                    self.settle()
                self.acked.update(pushed)  # nobody waited for them, and they were not lost
                self.end(kill=error == EIO)

    def test_a_failed_sync_is_not_believed_the_second_time(self):
        """What such a sync did not write is gone, though the next one succeeds: the library does as a disk does."""
        self.begin(args=["--log-level", "info"])
        for n in range(30):
            self.faults.fail("datasync", self.faults.calls("datasync") + 1 + n % 3, 1, EIO)
            self.by_rep(["sync%d.%d" % (n, k) for k in range(3)])
            self.by_http(["sync%d.%d" % (n, k) for k in range(3, 6)])
        self.assertGreater(self.faults.failed("datasync"), 0)
        for path in self.daemon.segments():
            with open(path, "rb") as f:
                self.assertNotIn(b"\0", f.read())
        self.end(kill=True)

    def test_no_descriptors(self):
        """EMFILE from accept and open: who is connected is served, and when there are some again, all are."""
        self.begin()
        with self.daemon.req() as req:
            self.faults.fail_next("accept", EMFILE)
            self.faults.fail_next("open", EMFILE)
            names = ["fd%d" % n for n in range(200)]
            for name in names:  # segments are full meanwhile: rotation waits
                self.assertEqual(req.request([self.op(name)])["accepted"], 1)
            self.acked.update(names)
            parts = urlsplit(self.daemon.url("http"))
            with socket.create_connection((parts.hostname, parts.port), 5):
                wait_until(lambda: self.faults.failed("accept") > 0, 10, "an accept")
                before = self.faults.failed("accept")
                time.sleep(0.5)
                self.assertLess(self.faults.failed("accept") - before, 500, "accept spins")
            self.faults.well()
        self.end(kill=True)

    def test_descriptors_really_used_up(self):
        """By peers that connect and do nothing, up to the limit of the process."""
        self.begin()
        idle = []
        try:
            with self.daemon.req() as req:
                used = len(os.listdir("/proc/%d/fd" % self.daemon.pid))
                resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
                for kind in ("pull", "rep", "http") * 20:
                    parts = urlsplit(self.daemon.url(kind))
                    idle.append(socket.create_connection((parts.hostname, parts.port), 5))
                names = ["used%d" % n for n in range(100)]
                for name in names:
                    self.assertEqual(req.request([self.op(name)])["accepted"], 1)
                self.acked.update(names)
        finally:
            for s in idle:
                s.close()
        self.end()

    def test_the_clock_jumps(self):
        """A day back and forth: rows have the times they have, nothing waits for the clock to come back."""
        self.begin()
        for n, shift in enumerate((86400, -86400, 0, 400 * 86400, -400 * 86400)):
            self.faults.shift_clock(shift)
            self.by_rep(["clock%d.%d" % (n, k) for k in range(5)])
            self.by_http(["clock%d.%d" % (n, k) for k in range(5, 10)])
            with self.daemon.push() as push:
                push.send(pack([self.op("clock%d.p" % n)]))
                wait_until(lambda: self.transports()["pull"]["in_flight"] == 0, 5, "the op pushed")
            wait_until(lambda: self.daemon.get("/readyz").status == 200, 5, "readiness")
            before = self.daemon.get("/health").json["learn"]["cycles"]
            wait_until(lambda: self.daemon.get("/health").json["learn"]["cycles"] > before, 5, "a cycle")
            self.assertEqual(self.daemon.get("/v1/observer/summary").status, 200)
            page = self.daemon.get("/v1/observer/ops?limit=1000").json["ops"]
            self.assertEqual(len(page), len(self.daemon.journal_lines()))
        self.end(kill=True)

    def test_stopped_and_continued(self):
        self.begin(feed="tcp://127.0.0.1:0")
        for n in range(3):
            with self.daemon.req() as req, self.daemon.push() as push:
                req.send_request(pack([self.op("stop%d.r%d" % (n, k)) for k in range(50)]))
                push.send(pack([self.op("stop%d.p%d" % (n, k)) for k in range(50)]))
                os.kill(self.daemon.pid, signal.SIGSTOP)
                try:
                    time.sleep(0.3)
                    push.send(pack([self.op("stop%d.q%d" % (n, k)) for k in range(50)]))
                finally:
                    os.kill(self.daemon.pid, signal.SIGCONT)
                self.assertEqual(unpack(req.recv_reply())["accepted"], 50)
                self.acked.update("stop%d.r%d" % (n, k) for k in range(50))
                rows = 100 * (n + 1)
                wait_until(lambda: self.transports()["pull"]["recorded"] >= rows, 10, "what was pushed")
        self.end(kill=True)

    def test_killed_with_everything_on(self):
        """Producers on every way in, learning, checkpoints, rotation, a feed with a subscriber; kill -9, again and again."""
        daemon = self.make(data_dir="data", args=["--segment-bytes", "200000", "--cycle", "50ms", "--checkpoint", "1"],
                           feed="tcp://127.0.0.1:0")
        producers = Producers(11, rep=2, http_posts=2, pull=1)
        try:
            for _ in range(10 if EVERY else 3):
                daemon.start()
                with daemon.subscribe():
                    producers.release(daemon)
                    time.sleep(0.4)
                    daemon.kill()
                producers.hold()
            daemon.start()
            ids = [row.get("op_id") for row in daemon.journal_rows()]
            self.assertEqual(producers.wrong, [])
            self.assertEqual(set(producers.acknowledged) - set(ids), set())
            self.assertEqual(len(ids), len(set(ids)))
            self.check_recount(daemon)
        finally:
            producers.stop()


class FullDisk(SmallDisk, FaultTest):
    BYTES = 3 << 20

    def test_filled_under_load(self):
        self.daemon = daemon = self.make_faulty(["--segment-bytes", "300000"])
        self.put_there(daemon)
        daemon.env = {}
        self.acked, self.sessions = set(), set()
        daemon.start()
        data_seen = self.inside(daemon, daemon.data_dir)
        refused = 0
        for n in range(4000):
            names = ["full%d.%d" % (n, k) for k in range(20)]
            answer = daemon.post("/v1/observer/event", [self.op(name) for name in names])
            if answer.status == 200:
                self.acked.update(names)
            else:
                self.assertEqual(answer.status, 503, answer)
                self.assertIn("No space left on device", answer.json["error"])
                refused += 1
                if refused == 20:
                    break
        self.assertEqual(refused, 20)
        self.assertGreater(len(self.acked), 2000)
        self.assertEqual(daemon.get("/readyz").status, 503)
        self.settle()
        kept = self.check_files(data_seen)
        self.assertEqual(daemon.get("/v1/observer/summary").json["lifetime"]["total"], len(kept))
        # Room again: the oldest segment is taken away.
        oldest = [p for p in journal_segments(data_seen) if p.endswith("ops-1.jsonl")]
        with open(oldest[0], "rb") as f:
            moved = [json.loads(line)["op_id"] for line in f.read().split(b"\n")[:-1]]
        os.unlink(oldest[0])
        self.acked -= set(moved)
        self.by_http(["again%d" % n for n in range(20)])
        wait_until(lambda: daemon.get("/readyz").status == 200, 10, "readiness")
        self.settle()
        self.check_files(data_seen)
        daemon.stop()

    def check_files(self, data):
        ids = [json.loads(line)["op_id"] for line in journal_lines(data)]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(self.acked - set(ids), set())
        return ids


if __name__ == "__main__":
    main()
