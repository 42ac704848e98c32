"""The journal's files over time: a full disk, rows of older observers, damaged files, rotation, the fsync modes."""

import collections
import json
import os
import re
import resource
import signal
import threading
import time

from harness import SmallDisk, main, pack, wait_until
from recount import Producers, RecoveryTest


class FullDisk(RecoveryTest):
    """RLIMIT_FSIZE on the running daemon stands in for a disk without space."""

    def limit(self, daemon, extra=None):
        """No file may grow beyond the journal's present size plus `extra`; None: no limit."""
        size = resource.RLIM_INFINITY
        if extra is not None:
            size = os.path.getsize(os.path.join(daemon.data_dir, "ops.jsonl")) + extra
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def filled(self, **kw):
        """A daemon whose journal is larger than what it may say on stderr meanwhile, with no room left."""
        daemon = self.start(**kw)
        with daemon.req() as req:
            for n in range(20):
                said = req.request([{"endpoint": "/before", "input_summary": "x" * 400, "op_id": "b%d-%d" % (n, k)}
                                    for k in range(50)])
                self.assertEqual(said["accepted"], 50)
        self.check_recount(daemon)
        self.limit(daemon, 100)
        return daemon

    def wait_ready(self, daemon, status, seconds=10):
        return wait_until(lambda: (lambda a: a if a.status == status else None)(daemon.get("/readyz")), seconds,
                          "/readyz %d" % status)

    def test_http_and_rep_are_told_and_recording_resumes(self):
        daemon = self.filled()
        self.assertEqual(daemon.get("/readyz").status, 200)
        before = daemon.stats()
        lines = daemon.journal_lines()
        answer = daemon.post("/v1/observer/event", {"endpoint": "/lost", "input_summary": "y" * 400, "op_id": "h"})
        self.assertEqual(answer.status, 503, answer)
        self.assertIn("retry-after", answer.headers)
        self.assertIn("File too large", answer.json["error"])
        with daemon.req() as req:
            said = req.request([{"endpoint": "/lost", "input_summary": "y" * 400, "op_id": "r%d" % n} for n in range(3)])
            self.assertEqual((said["accepted"], said["duplicates"], said["rejected"], said["seq"]), (0, 0, 3, 0))
            self.assertEqual([e["index"] for e in said["errors"]], [0, 1, 2])
            self.assertIs(said["retry"], True)
            self.assertIn("File too large", said["errors"][0]["error"])
        ready = self.wait_ready(daemon, 503)
        self.assertIn("File too large", json.dumps(ready.json))
        self.assertEqual(daemon.get("/livez").status, 200)
        again = time.monotonic() + 0.6  # some of these are tried on the disk, the others are answered meanwhile
        while time.monotonic() < again:
            answer = daemon.post("/v1/observer/event", {"endpoint": "/lost", "input_summary": "y" * 400})
            self.assertEqual(answer.status, 503)
            self.assertIn("ops.jsonl", answer.json["error"])
        self.assertEqual(daemon.stats(), before)
        self.assertEqual(daemon.journal_lines(), lines)
        self.limit(daemon)
        self.wait_ready(daemon, 200)
        # what was refused was not remembered as seen
        self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": "/a", "op_id": "h"}).json["accepted"], True)
        with daemon.req() as req:
            self.assertEqual(req.request({"endpoint": "/a", "op_id": "r0"})["accepted"], 1)
        rows = self.check_recount(daemon)
        self.assertEqual(len(rows), 1002)
        daemon.restart()
        self.check_recount(daemon, rows)

    def test_small_rows_still_fit(self):
        """A batch is written whole or not at all, and one that fits is taken after one that did not."""
        daemon = self.filled()
        self.limit(daemon, 300)
        big = [{"endpoint": "/big", "input_summary": "z" * 100} for _ in range(10)]
        self.assertEqual(daemon.post("/v1/observer/event", big).status, 503)
        wait_until(lambda: daemon.post("/v1/observer/event", {"endpoint": "/small"}).status == 200, 10, "a small op taken")
        self.assertEqual([r["endpoint"] for r in self.check_recount(daemon)[1000:]], ["/small"])

    def test_a_duplicate_says_nothing_of_the_disk(self):
        daemon = self.filled()
        self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": "/x", "input_summary": "y" * 400}).status, 503)
        with daemon.req() as req:
            for _ in range(40):
                answer = req.request({"endpoint": "/before", "op_id": "b0-0"})
                self.assertEqual((answer["accepted"], answer["duplicates"] + answer["rejected"]), (0, 1))
                self.assertEqual(daemon.get("/readyz").status, 503)
                time.sleep(0.02)
        self.limit(daemon)
        self.wait_ready(daemon, 200)

    def test_pull_keeps_its_order(self):
        """More waits than one group writes, through several attempts."""
        daemon = self.filled()
        messages = [pack([{"endpoint": "/m", "count": n * 50 + k, "input_summary": "x" * 60000} for k in range(50)])
                    for n in range(4)]
        with daemon.push() as push:
            # The system's buffers need not hold what the queue does not take.
            sender = threading.Thread(target=lambda: [push.send(m) for m in messages])
            sender.start()
            self.wait_ready(daemon, 503)
            time.sleep(0.8)
            self.limit(daemon)
            sender.join()
            wait_until(lambda: daemon.get("/health").json["seq"] == 1200, 30, "all recorded")
        self.assertEqual([r["count"] for r in self.check_recount(daemon)[1000:]], list(range(200)))

    def test_what_sub_loses_is_counted(self):
        daemon = self.filled(args=["--queue-bytes", "64K"])
        counts = lambda: daemon.get("/v1/observer/health").json["transports"]["sub"]
        with daemon.pub() as pub:
            for n in range(200):
                pub.send(pack({"endpoint": "/sub", "input_summary": "x" * 4000, "count": n}))
            wait_until(lambda: counts()["received"] == 200, 20, "all received")
        self.limit(daemon)
        wait_until(lambda: counts()["in_flight"] == 0, 20, "all recorded or lost")
        n = counts()
        self.assertGreater(n["rejected"], 0)
        self.assertGreater(n["recorded"], 0)
        self.assertEqual(n["recorded"] + n["rejected"], 200)
        self.assertEqual([r["count"] for r in self.check_recount(daemon)[1000:]], list(range(n["recorded"])))

    def test_what_a_full_disk_keeps_back_is_told_at_the_stop(self):
        daemon = self.filled()
        with daemon.push() as push:
            push.send(pack([{"endpoint": "/held", "input_summary": "x" * 400} for _ in range(50)]))
            self.wait_ready(daemon, 503)
            daemon.stop()
        self.assertIn("stopped without recording 50 ops that had been read", daemon.stderr())

    def test_pull_waits_and_loses_nothing(self):
        daemon = self.filled()
        total, sent, errors = 900, [0], []

        def feed():
            try:
                with daemon.push(timeout=120) as push:
                    for n in range(total):
                        push.send(pack({"endpoint": "/pull", "input_summary": "p" * 60000, "count": n}))
                        sent[0] = n + 1
                    wait_until(lambda: daemon.get("/health").json["seq"] == 1000 + total, 120, "all recorded")
            except (OSError, AssertionError) as e:
                errors.append(e)

        feeder = threading.Thread(target=feed)
        feeder.start()
        self.wait_ready(daemon, 503)
        stalled = [-1, 0.0]

        def stands_still():
            if sent[0] != stalled[0]:
                stalled[:] = [sent[0], time.monotonic()]
            return time.monotonic() - stalled[1] > 1.0

        wait_until(stands_still, 30, "the sender to stand still")
        self.assertLess(sent[0], total)
        self.assertEqual(daemon.get("/health").json["seq"], 1000)
        self.limit(daemon)
        feeder.join()
        self.assertEqual(errors, [])
        self.assertEqual([r["count"] for r in self.check_recount(daemon)[1000:]], list(range(total)))
        self.assertEqual(daemon.rejected_rows(), [])
        self.wait_ready(daemon, 200)

    def test_second_signal_ends_a_drain_that_cannot_end(self):
        daemon = self.filled()
        with daemon.push() as push:
            push.send(pack({"endpoint": "/pull", "input_summary": "p" * 4000}))
            self.wait_ready(daemon, 503)
            daemon.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            self.assertTrue(daemon.alive(), "the drain gave up at once")
            daemon.process.send_signal(signal.SIGTERM)
            self.assertNotEqual(daemon.wait(3), None)

    def test_drain_on_a_full_disk_ends_within_its_deadline(self):
        daemon = self.filled()
        with daemon.push() as push:
            push.send(pack({"endpoint": "/pull", "input_summary": "p" * 4000}))
            self.wait_ready(daemon, 503)
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait(15)
        daemon.start()
        self.assertEqual(len(self.check_recount(daemon)), 1000)


class Room(SmallDisk, RecoveryTest):
    BYTES = 4 << 20

    def started(self):
        daemon = self.make()
        self.put_there(daemon)
        daemon.start()
        return daemon

    def fill(self, daemon, left):
        """A file that leaves so many bytes."""
        ballast = self.inside(daemon, self.mounted + "/ballast")
        room = os.statvfs(os.path.dirname(ballast))
        with open(ballast, "wb") as f:
            f.write(b"x" * (room.f_bavail * room.f_frsize - left))
        return ballast

    def test_nothing_flaps_while_a_producer_tries_again(self):
        """Not ready from the first refusal to the first success, however often it is tried, and whatever smaller fits."""
        daemon = self.started()
        ballast = self.fill(daemon, 128 << 10)
        batch = [{"endpoint": "/large", "input_summary": "x" * 100, "op_id": "l%d" % n} for n in range(3000)]
        said, small = [], 0
        first = daemon.post("/v1/observer/event", batch)
        self.assertEqual(first.status, 503)
        self.assertIn("No space left on device", first.json["error"])
        end = time.monotonic() + 3
        while time.monotonic() < end or len(said) < 20:
            said.append(daemon.get("/readyz").status)
            self.assertEqual(daemon.post("/v1/observer/event", batch).status, 503)
            said.append(daemon.get("/readyz").status)
            if daemon.post("/v1/observer/event", {"endpoint": "/small"}).status == 200:
                small += 1
        self.assertEqual(set(said), {503})
        counts = daemon.get("/health").json["transports"]["http"]
        self.assertEqual((counts["received"], counts["recorded"], counts["rejected"]), (small, small, 0))
        self.assertGreaterEqual(counts["refused"], 3000 * len(said) // 2)
        os.unlink(ballast)
        wait_until(lambda: daemon.post("/v1/observer/event", batch).status == 200, 10, "the batch")
        self.assertEqual(daemon.get("/readyz").status, 200)
        log = daemon.stderr()
        self.assertEqual((log.count("commit: not recording: "), log.count("commit: recording again")), (1, 1))
        self.assertEqual(daemon.get("/health").json["transports"]["http"]["recorded"], 3000 + small)

    def test_it_is_ready_again_without_a_producer(self):
        """Who was kept away by /readyz does not come to find out: a probe as large as what failed does."""
        daemon = self.started()
        ballast = self.fill(daemon, 64 << 10)
        batch = [{"endpoint": "/large", "input_summary": "x" * 100} for n in range(3000)]
        self.assertEqual(daemon.post("/v1/observer/event", batch).status, 503)
        end = time.monotonic() + 1  # several probes, none of which is taken for room
        while time.monotonic() < end:
            self.assertEqual(daemon.get("/readyz").status, 503)
        os.unlink(ballast)
        wait_until(lambda: daemon.get("/readyz").status == 200, 10, "readiness")
        self.assertEqual(daemon.post("/v1/observer/event", batch).status, 200)
        log = daemon.stderr()
        self.assertEqual((log.count("commit: not recording: "), log.count("commit: recording again")), (1, 1))


class OlderRows(RecoveryTest):
    """Rows as the TypeScript observer and its Go port wrote them."""

    ROWS = [
        # TypeScript: a scenario event, NaN as duration, undefined left out
        '{"timestamp":"2026-04-23T10:00:00.000Z","endpoint":"scenario:fill","input_summary":"fill welder×3 in Toledo, OH",'
        '"success":true,"duration_ms":null,"output_summary":"filled","source":"scenario","staffer_id":"ada","event_kind":'
        '"fill","role":"welder","city":"Toledo","state":"OH","count":3,"rescue_attempted":false,"rescue_succeeded":false}',
        # TypeScript: its own gateway call, without a source; the gateway's error was an object
        '{"timestamp":"2026-04-23T10:00:01.000Z","endpoint":"/search","input_summary":"find welders","success":false,'
        '"duration_ms":81,"output_summary":"ERROR: [object Object]","error":{"message":"boom","code":500}}',
        # TypeScript: fields passed through as they came
        '{"timestamp":1745402402000,"endpoint":"scenario:fill","input_summary":{"a":1},"success":false,"duration_ms":12.5,'
        '"output_summary":null,"source":"scenario","count":"3","role":null,"rescue_attempted":false,"rescue_succeeded":true}',
        # TypeScript: an overseer's correction
        '{"timestamp":"2026-04-23T10:00:03.000Z","endpoint":"overseer:gpt-oss:120b","input_summary":"fill: escalation",'
        '"success":true,"duration_ms":900,"output_summary":"ask again","source":"overseer_correction","sig_hash":"ab",'
        '"task_class":"fill","correction":"ask again","applied_at_turn":2}',
        # Go: seconds only, zero values left out
        '{"timestamp":"2026-05-01T10:00:00Z","endpoint":"/v1/chat","input_summary":"","success":true,"duration_ms":12,'
        '"output_summary":"","source":"mcp"}',
        '{"timestamp":"2026-05-01T10:00:01.123456789+02:00","endpoint":"/v1/chat","input_summary":"\\u003cb\\u003e",'
        '"success":false,"duration_ms":0,"output_summary":"","error":"context deadline exceeded"}',
    ]

    def write(self, lines, name="data"):
        os.mkdir(os.path.join(self.tmp, name), 0o700)
        path = os.path.join(self.tmp, name, "ops.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines))
        return path

    def test_they_replay(self):
        path = self.write(self.ROWS)
        with open(path, "rb") as f:
            before = f.read()
        daemon = self.start()
        stats = daemon.stats()
        self.assertEqual((stats["total"], stats["successes"], stats["failures"]), (6, 3, 3), daemon.stderr())
        self.assertEqual(stats["by_source"], {"scenario": 2, "mcp": 3, "overseer_correction": 1})
        self.assertEqual(len(stats["recent_scenario_ops"]), 2)
        self.assertEqual(stats["recent_scenario_ops"][0], {"ts": "2026-04-23T10:00:00.000Z", "ok": True, "staffer": "ada",
                                                           "kind": "fill", "role": "welder"})
        self.assertFalse(stats["recent_scenario_ops"][1]["ok"])
        warned = [line for line in daemon.stderr().splitlines() if " warn " in line and "redact.key was not there" not in line]
        self.assertEqual(warned, [])
        daemon.post("/event", {"success": True})
        daemon.stop()
        with open(path, "rb") as f:
            self.assertEqual(f.read()[: len(before)], before)
        daemon.start()
        self.assertEqual(daemon.stats()["total"], 7)
        ops = daemon.request("GET", "/v1/observer/ops?limit=10", described=False).json["ops"]
        self.assertEqual(len(ops), 7)
        self.assertEqual([entry["op"] for entry in ops[::-1][:6]], [json.loads(row) for row in self.ROWS])

    def test_bad_lines_in_the_middle(self):
        bad = ['{"timestamp":"2026-04-23T10:00:00.000Z","endpoint":"/half","inp', "[]", "42", "\x00" * 30, "not json"]
        lines = [self.ROWS[0]] + bad[:1] + [self.ROWS[4]] + bad[1:3] + [self.ROWS[3]] + bad[3:] + [self.ROWS[5]]
        path = self.write(lines)
        with open(path, "rb") as f:
            before = f.read()
        daemon = self.start()
        self.assertEqual(daemon.stats()["total"], 4)
        for number in (2, 4, 5, 7, 8):
            self.assertRegex(daemon.stderr(), r"warn .*ops\.jsonl line %d: bad row" % number)
        kept = os.path.join(daemon.data_dir, "bad-rows.jsonl")
        with open(kept) as f:
            aside = [json.loads(line) for line in f]
        self.assertEqual([row["row"] for row in aside if "\x00" not in row["row"]],
                         [b for b in bad if "\x00" not in b])
        self.assertEqual(len(aside), len(bad))
        daemon.post("/event", {})
        daemon.restart(kill=True)
        self.assertEqual(daemon.stats()["total"], 5)
        self.assertEqual(daemon.get("/health").json["seq"], 5)
        with open(kept) as f:
            self.assertEqual(len(f.readlines()), len(bad), "kept aside once")
        with open(path, "rb") as f:
            self.assertEqual(f.read()[: len(before)], before)

    def test_nothing_but_rubbish(self):
        self.write(["rubbish"] * 20 + ["{}"] * 0)
        daemon = self.start()
        self.assertEqual(daemon.stats()["total"], 0)
        self.assertEqual(daemon.post("/event", {}).json["ring_size"], 1)

    def test_damaged_checkpoint(self):
        daemon = self.start()
        daemon.post("/v1/observer/event", [{"endpoint": "/%d" % (n % 3)} for n in range(50)])
        daemon.stop()
        path = os.path.join(daemon.data_dir, "checkpoint")
        with open(path, "rb") as f:
            good = f.read()
        for damaged in (b"", b"x", good[:-1], good[: len(good) // 2], bytes([good[0] ^ 1]) + good[1:],
                        good[:-5] + bytes([good[-5] ^ 0x40]) + good[-4:], good + b"x", os.urandom(len(good))):
            with open(path, "wb") as f:
                f.write(damaged)
            daemon.start()
            self.assertEqual(len(self.check_recount(daemon)), 50)
            daemon.kill()


class Rotation(RecoveryTest):
    def fill(self, daemon, start, count):
        with daemon.req() as req:
            for n in range(start, start + count):
                answer = req.request([{"endpoint": "/r%d" % (k % 3), "success": k % 2 == 0, "count": n * 10 + k,
                                       "op_id": "%d-%d" % (n, k), "input_summary": "x" * 50} for k in range(10)])
                self.assertEqual(answer["accepted"], 10)

    def check(self, daemon, count):
        rows = self.check_recount(daemon)
        self.assertEqual([r["count"] for r in rows], list(range(count)))
        seq = 1
        for path in daemon.segments():
            name = re.fullmatch(r"ops(?:-0*(\d+))?\.jsonl", os.path.basename(path))
            self.assertIn(name.group(1), (None, str(seq)), "a segment is named after its first seq")
            with open(path, "rb") as f:
                seq += f.read().count(b"\n")

    def test_rotation_and_restarts(self):
        daemon = self.start(args=["--segment-bytes", "20000"])
        for step, kill in enumerate((False, True, False, True)):
            self.fill(daemon, step * 50, 50)
            self.check(daemon, (step + 1) * 500)
            daemon.restart(kill=kill)
            self.check(daemon, (step + 1) * 500)
        self.assertGreater(len(daemon.segments()), 10)
        with daemon.req() as req:  # the window of op_ids spans segments
            self.assertEqual(req.request({"endpoint": "/a", "op_id": "0-0"})["duplicates"], 1)
        for name in os.listdir(daemon.data_dir):  # what is derived from the rows can be made again
            if name.endswith(".idx") or name == "checkpoint":
                os.unlink(os.path.join(daemon.data_dir, name))
        daemon.restart(kill=True)
        self.check(daemon, 2000)

    def test_kill_while_rotating(self):
        daemon = self.start(args=["--segment-bytes", "4000", "--checkpoint", "1"])
        producers = Producers(7, rep=3, http_posts=1, pull=0)
        self.addCleanup(producers.stop)
        for _ in range(5):
            producers.release(daemon)
            time.sleep(0.2)
            daemon.kill()
            producers.hold()
            daemon.start()
            rows = self.check_recount(daemon)
            counts = collections.Counter(r["op_id"] for r in rows)
            self.assertEqual(max(counts.values(), default=1), 1)
            self.assertEqual(set(producers.acknowledged) - set(counts), set())
        self.assertEqual(producers.wrong, [])

    def test_fsync_modes(self):
        for mode in ("interval:50", "never", "always"):
            with self.subTest(mode=mode):
                daemon = self.start(data_dir=mode.replace(":", "-"), args=["--fsync", mode])
                self.fill(daemon, 0, 20)
                self.check(daemon, 200)
                daemon.restart(kill=True)  # the kernel still has what a killed process wrote
                self.check(daemon, 200)
                self.fill(daemon, 20, 5)
                daemon.stop()
                self.assertEqual(len(daemon.journal_rows()), 250)

    def test_retention(self):
        daemon = self.start(args=["--segment-bytes", "8000", "--retain-segments", "2"])
        self.fill(daemon, 0, 60)
        wait_until(lambda: len(daemon.segments()) <= 3, 20, "old segments to go")
        last = daemon.journal_rows()[-1]["count"]
        self.assertEqual(last, 599)
        self.assertEqual(daemon.get("/v1/observer/summary").json["lifetime"]["total"], 600)
        daemon.restart()
        self.assertEqual(daemon.get("/health").json["seq"], 600)
        self.assertEqual(daemon.get("/v1/observer/summary").json["lifetime"]["total"], 600)
        self.fill(daemon, 60, 1)
        self.assertEqual(daemon.get("/health").json["seq"], 610)

    def test_retention_is_of_ops(self):
        """Session records stay, as those who read their file expect."""
        daemon = self.start(args=["--segment-bytes", "8000", "--retain-segments", "2", "--retain-bytes", "16K"])
        for n in range(30):
            record = {"final_verdict": "accepted", "session_id": "%d" % n, "prompt": "x" * 4000}
            self.assertEqual(daemon.post("/v1/observer/session", record).status, 200)
            self.fill(daemon, n, 1)
        daemon.restart()
        path = os.path.join(daemon.data_dir, "coordinator_sessions.jsonl")
        with open(path, encoding="utf-8") as f:
            self.assertEqual([json.loads(line)["session_id"] for line in f], ["%d" % n for n in range(30)])
        self.assertGreater(os.path.getsize(path), 16 << 10)


if __name__ == "__main__":
    main()
