"""GET timeline and trajectory: over the ring, the active segment and rotated ones, whatever happens to their sidecars."""

import datetime
import glob
import os
import random
import threading

from harness import DaemonTest, main, wait_until

V1 = "/v1/observer/"
BASE = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(hours=2)
SMALL = ("--segment-bytes", "200000")


def at(second):
    return (BASE + datetime.timedelta(seconds=second)).isoformat().replace("+00:00", "Z")


def op(second, **members):
    row = {"timestamp": at(second), "endpoint": "/v1/chat", "input_summary": "answer", "success": True, "duration_ms": 100,
           "output_summary": "done", "source": "bot"}
    row.update(members)
    return {k: v for k, v in row.items() if v is not None}


def kinds(answer):
    return [row["kind"] for row in answer["rows"]]


class Case(DaemonTest):
    def post(self, daemon, ops):
        for i in range(0, len(ops), 400):
            answer = daemon.post(V1 + "event", ops[i:i + 400])
            self.assertEqual((answer.status, answer.json["rejected"]), (200, 0), answer)

    def get(self, daemon, path):
        answer = daemon.get(V1 + path)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def walk(self, daemon, path, limit=7, between=None):
        """All rows, page after page."""
        rows, cursor = [], ""
        while cursor is not None:
            page = self.get(daemon, "%s&limit=%d%s" % (path, limit, "&cursor=" + cursor if cursor else ""))
            rows += page["rows"]
            cursor = page["next_cursor"]
            if between is not None:
                between()
        return rows

    def fleet(self, sessions=60, each=50):
        """Ops of many sessions, mixed; a session's last op fails."""
        ops = []
        for k in range(each):
            for s in range(sessions):
                ops.append(op(len(ops) * 0.1, session_id="s%d" % s, cycle_id="c%d" % (s // 2), staffer_id="agent-%d" % (s % 7),
                              sig_hash="h%d-%d" % (s, k), task_class="class-%d" % (s % 5), input_summary="x" * 100,
                              success=k + 1 < each, error="out of paper" if k + 1 == each else None))
        return ops

    def check_session(self, daemon, s, each=50):
        answer = self.get(daemon, "timeline?session_id=s%d&limit=1000" % s)
        self.assertEqual((answer["summary"]["ops"], answer["summary"]["failures"]), (each, 1), answer["summary"])
        self.assertEqual([row["sig_hash"] for row in answer["rows"]], ["h%d-%d" % (s, k) for k in range(each)])
        self.assertIs(answer["complete"], True)
        return answer


class Timeline(Case):
    def test_rows(self):
        daemon = self.start()
        refused = dict(success=False, error="connection refused by 10.0.0.7", sig_hash="h1")
        self.post(daemon, [op(0, session_id="s", staffer_id="a", input_summary="read")] +
                  [op(1 + i, session_id="s", staffer_id="a", **refused) for i in range(5)] +
                  [op(7, source="overseer_correction", sig_hash="h1", correction="use the other host"),
                   op(7.2, source="overseer_correction", task_class="other", correction="not about this"),
                   op(8, session_id="s", staffer_id="a", sig_hash="h1"),
                   op(100, session_id="s", staffer_id="b", sig_hash="h2"),
                   op(101, session_id="s", staffer_id="b", event_kind="change", output_summary="model gpt-9"),
                   op(102, session_id="t", staffer_id="b")])
        answer = self.get(daemon, "timeline?session_id=s")
        self.assertEqual((answer["key"], answer["value"]), ("session_id", "s"))
        self.assertEqual(kinds(answer), ["op", "run", "correction", "op", "idle", "op", "change"])
        first, run, correction, retried, idle, last, change = answer["rows"]
        cluster = self.get(daemon, "clusters")["clusters"][0]["id"]
        self.assertEqual((run["count"], run["first_seq"], run["last_seq"], run["duration_ms"]), (5, 2, 6, 500))
        self.assertEqual((run["error"], run["cluster"], run["sig_hash"]), (refused["error"], cluster, "h1"))
        self.assertEqual((correction["seq"], correction["text"], correction["applies_to"]), (7, "use the other host", "sig_hash h1"))
        self.assertEqual((retried["seq"], retried["attempt"], retried["retry_of"]), (9, 6, 6))
        self.assertEqual((idle["after_seq"], idle["duration_ms"]), (9, 91900))
        self.assertEqual((last["seq"], change["seq"], change["text"]), (10, 11, "model gpt-9"))
        self.assertEqual({k: v for k, v in answer["summary"].items() if k not in ("first", "last")},
                         {"ops": 8, "failures": 5, "busy_ms": 800, "idle_ms": 91900, "longest_idle_ms": 91900,
                          "staffers": ["a", "b"], "first_failure_seq": 2, "of_page": False})
        errors = self.get(daemon, "timeline?session_id=s&errors=true")
        self.assertEqual(kinds(errors), ["run", "correction", "change"])
        part = self.get(daemon, "timeline?session_id=s&since=%s&until=%s" % (at(3), at(8)))
        self.assertEqual([(row["kind"], row.get("count")) for row in part["rows"]], [("run", 3), ("correction", None), ("op", None)])

    def test_bad_requests(self):
        daemon = self.start(args=("--ephemeral",))
        for path, error in (
                ("timeline", "give one of session_id, cycle_id, staffer_id or sig_hash, none is given"),
                ("timeline?session_id=a&sig_hash=b", "give one of session_id, cycle_id, staffer_id or sig_hash, not several"),
                ("timeline?task_class=a", "task_class: unknown parameter"),
                ("timeline?session_id=", "session_id: must not be empty"),
                ("timeline?session_id=%ff", "session_id: must be valid UTF-8"),
                ("timeline?session_id=a&cursor=a7", "cursor: must be a next_cursor of an earlier answer"),
                ("timeline?session_id=a&cursor=w1-0-10-0-0-0-0", "cursor: must be a next_cursor of an earlier answer of this list"),
                ("trajectory", "give one of sig_hash or task_class, none is given"),
                ("trajectory?sig_hash=a&task_class=b", "give one of sig_hash or task_class, not several"),
                ("trajectory?session_id=a", "session_id: unknown parameter"),
                ("trajectory?sig_hash=a&limit=1001", "limit: must be a number from 1 to 1000")):
            answer = daemon.get(V1 + path)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}), path)

    def test_nothing_is_known(self):
        for args in ((), ("--ephemeral",)):
            daemon = self.start(data_dir="data%d" % len(args), args=args)
            answer = self.get(daemon, "timeline?session_id=s")
            self.assertEqual((answer["rows"], answer["next_cursor"], answer["complete"]), ([], None, True))
            self.assertEqual((answer["summary"]["ops"], answer["summary"]["first"]), (0, None))
            answer = self.get(daemon, "trajectory?sig_hash=s")
            self.assertEqual((answer["attempts"], answer["class"], answer["earlier"], answer["complete"]), ([], None, 0, True))

    def test_ephemeral(self):
        daemon = self.start(args=("--ephemeral",))
        self.post(daemon, self.fleet(20, 50))
        for s in (0, 7, 19):
            self.check_session(daemon, s)

    def test_ten_thousand_identical(self):
        daemon = self.start(args=SMALL)
        self.post(daemon, [op(i * 0.01, session_id="s", staffer_id="a", sig_hash="h", success=False, error="no") for i in range(10000)])
        answer = self.get(daemon, "timeline?session_id=s")
        self.assertEqual([(row["kind"], row["count"]) for row in answer["rows"]], [("run", 10000)])
        self.assertEqual((answer["summary"]["ops"], answer["summary"]["of_page"]), (10000, False))
        answer = self.get(daemon, "trajectory?sig_hash=h")
        self.assertEqual((answer["class"], len(answer["attempts"]), answer["earlier"]), ("LOOPING", 200, 9800))
        self.assertEqual(answer["attempts"][-1]["seq"], 10000)

    def test_more_ops_than_one_answer_is_made_of(self):
        daemon = self.start(args=SMALL)
        self.post(daemon, [op(i * 0.01, staffer_id="a", sig_hash="h%d" % i) for i in range(24000)])
        answer = self.get(daemon, "timeline?staffer_id=a&limit=1000")
        self.assertEqual((answer["summary"]["ops"], answer["summary"]["of_page"]), (20000, True))
        rows = self.walk(daemon, "timeline?staffer_id=a", 1000)
        self.assertEqual([row["seq"] for row in rows], list(range(1, 24001)))

    def test_out_of_order_and_late(self):
        daemon = self.start(args=SMALL)
        ops = [op(i, session_id="s", staffer_id="a", sig_hash="h%d" % i) for i in range(300)]
        mixed = ops[:]
        random.Random(3).shuffle(mixed)
        self.post(daemon, mixed)
        rows = self.walk(daemon, "timeline?session_id=s")
        self.assertEqual([row["sig_hash"] for row in rows], ["h%d" % i for i in range(300)])
        # When rows came is written a moment after they are acknowledged.
        wait_until(lambda: all(row.get("late") for row in self.walk(daemon, "timeline?session_id=s")), what="when the rows came")
        self.post(daemon, [op(7100, session_id="s", staffer_id="a", sig_hash="now")])
        last = self.walk(daemon, "timeline?session_id=s")
        self.assertEqual([row["kind"] for row in last[-2:]], ["idle", "op"])
        self.assertNotIn("late", last[-1])

    def test_pages_are_stable_while_ops_are_recorded(self):
        daemon = self.start(args=SMALL)
        self.post(daemon, self.fleet(10, 100))
        want = self.walk(daemon, "timeline?session_id=s3")
        step = iter(range(10000))

        def more():
            """Early ones, late ones, ones in between, and those of others."""
            n = next(step)
            self.post(daemon, [op(second, session_id="s3", staffer_id="agent-3", sig_hash="more-%d" % n) for second in (-5, 50, 5000)] +
                      [op(9, session_id="other", input_summary="y" * 5000)] * 10)
        self.assertEqual(self.walk(daemon, "timeline?session_id=s3", 7, more), want)
        self.assertGreater(self.get(daemon, "timeline?session_id=s3")["summary"]["ops"], 100)

    def test_hostile_text(self):
        daemon = self.start()
        evil = "\u202e<script>alert(1)</script>\u0000\x1b[31m\\\"&é日本%00/../"
        for key in ("session_id", "cycle_id", "staffer_id", "sig_hash"):
            self.post(daemon, [op(1, **{key: evil, "endpoint": evil, "source": "bot", "error": evil * 50, "success": False})])
            answer = daemon.get(V1 + "timeline?%s=%s" % (key, "".join("%%%02x" % b for b in evil.encode())))
            self.assertEqual(answer.status, 200, answer)
            row = answer.json["rows"][0]
            self.assertEqual((answer.json["value"], row["endpoint"]), (evil, evil))
            self.assertTrue((evil * 50).startswith(row["error"]))
            self.assertLessEqual(len(row["error"].encode()), 200)


class Index(Case):
    """What is found must not hang on the sidecars."""

    def sidecars(self, daemon):
        return sorted(glob.glob(os.path.join(daemon.data_dir, "*.keys")))

    def check_all(self, daemon):
        for s in (0, 1, 30, 59):
            self.check_session(daemon, s)
            rows = self.get(daemon, "ops?session_id=s%d&limit=1000" % s)
            self.assertEqual([row["op"]["sig_hash"] for row in rows["ops"]], ["h%d-%d" % (s, k) for k in range(49, -1, -1)])
        self.assertEqual(self.get(daemon, "timeline?cycle_id=c3")["summary"]["ops"], 100)
        self.assertEqual(self.get(daemon, "timeline?sig_hash=h7-20")["summary"]["ops"], 1)
        self.assertEqual(self.get(daemon, "timeline?staffer_id=agent-6")["summary"]["ops"], 8 * 50)
        answer = self.get(daemon, "trajectory?task_class=class-2")
        self.assertEqual((len(answer["attempts"]), answer["earlier"], answer["complete"]), (200, 400, True))
        self.assertEqual(self.get(daemon, "timeline?session_id=s60")["rows"], [])

    def test_segments_restart_and_kill(self):
        daemon = self.start(args=SMALL)
        self.post(daemon, self.fleet())
        self.assertGreater(len(daemon.segments()), 3)
        self.check_all(daemon)
        daemon.restart()
        self.check_all(daemon)
        self.post(daemon, [op(8000 + i, session_id="later", sig_hash="x%d" % i) for i in range(700)])
        daemon.restart(kill=True)
        self.check_all(daemon)
        self.assertEqual(self.get(daemon, "timeline?session_id=later")["summary"]["ops"], 700)
        self.post(daemon, [op(8700 + i, session_id="later", sig_hash="y%d" % i) for i in range(700)])
        self.assertEqual(self.get(daemon, "timeline?session_id=later")["summary"]["ops"], 1400)
        self.assertEqual(self.get(daemon, "ops?session_id=later&limit=1000")["ops"][0]["op"]["sig_hash"], "y699")

    def test_missing_and_damaged_sidecars(self):
        daemon = self.start(args=SMALL)
        self.post(daemon, self.fleet())
        daemon.stop()
        whole = {}
        for path in self.sidecars(daemon):
            with open(path, "rb") as f:
                whole[path] = f.read()
        self.assertGreater(len(whole), 3)
        rows = sum(len(line) for line in daemon.journal_lines())
        self.assertLess(sum(len(b) for b in whole.values()), rows * 0.03)

        def each(change):
            for path, content in whole.items():
                os.unlink(path)
                new = change(content)
                if new is not None:
                    with open(path, "wb") as f:
                        f.write(new)
        for change in (lambda b: None, lambda b: b"", lambda b: b[:50], lambda b: b[:len(b) // 2],
                       lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:], lambda b: b"OBSKEY9\n" + b[8:], lambda b: b + b"x" * 99,
                       lambda b: random.Random(1).randbytes(5000)):
            each(change)
            daemon.start()
            self.check_all(daemon)
            self.check_all(daemon)
            daemon.stop()

    def test_sidecars_are_written_again(self):
        daemon = self.start(args=SMALL)
        self.post(daemon, self.fleet())
        daemon.stop()
        first = self.sidecars(daemon)[0]
        os.unlink(first)
        daemon.start()
        self.check_session(daemon, 3)
        self.assertGreater(os.path.getsize(first), 40)

    def test_retention(self):
        daemon = self.start(args=SMALL + ("--retain-segments", "2"))
        self.post(daemon, self.fleet())
        wait_until(lambda: (len(daemon.segments()), len(self.sidecars(daemon))) == (3, 3), 20, "retention")
        answer = self.get(daemon, "timeline?session_id=s4")
        self.assertLess(answer["summary"]["ops"], 50)
        self.assertEqual(answer["rows"][-1]["sig_hash"], "h4-49")
        self.assertIs(answer["complete"], True)

    def test_readers_beside_recording(self):
        daemon = self.start(args=("--segment-bytes", "50000", "--fsync", "never"))
        fleet, stop, wrong = self.fleet(20, 150), threading.Event(), []

        def read():
            while not stop.is_set():
                before = self.get(daemon, "timeline?session_id=s7")["summary"]["ops"]
                after = len(self.get(daemon, "ops?session_id=s7&limit=1000")["ops"])
                if before > after:
                    wrong.append((before, after))
        threads = [threading.Thread(target=read) for _ in range(2)]
        for t in threads:
            t.start()
        try:
            for i in range(0, len(fleet), 60):
                self.post(daemon, fleet[i:i + 60])
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(wrong, [])
        self.check_session(daemon, 7, 150)


class Trajectory(Case):
    def test_attempts_and_markers(self):
        daemon = self.start(args=SMALL)
        failed = dict(sig_hash="h", task_class="fill", success=False)
        self.post(daemon,
                  [op(i, session_id="s%d" % i, error="no roster for Dayton", extra={"model": "m1"}, **failed) for i in range(10)] +
                  [op(10.5, source="overseer_correction", task_class="fill", correction="ask for the roster first")] +
                  [op(11 + i, session_id="t%d" % i, sig_hash="h", task_class="fill", model="m2") for i in range(20)])
        cluster = self.get(daemon, "clusters")["clusters"][0]
        for path in ("trajectory?sig_hash=h", "trajectory?task_class=fill"):
            answer = self.get(daemon, path)
            self.assertEqual(answer["class"], "CONVERGING")
            self.assertLess(answer["slope"]["high"], 0)
            attempts = answer["attempts"]
            self.assertEqual([a["attempt"] for a in attempts], list(range(1, 31)))
            self.assertEqual([a["success"] for a in attempts], [False] * 10 + [True] * 20)
            self.assertEqual((attempts[0]["cluster"], attempts[0]["template"]), (cluster["id"], cluster["template"]))
            self.assertEqual((attempts[0]["model"], attempts[9]["correction"], attempts[10]["model"], attempts[10]["correction"]),
                             ("m1", None, "m2", 11))
            self.assertEqual([(m["attempt"], m["kind"], m["text"], m["seq"]) for m in answer["markers"]],
                             [(11, "correction", "ask for the roster first", 11), (11, "model", "m2", 12)])
            self.assertEqual(len(answer["share"]), 30)
            last = answer["share"][-1]
            self.assertTrue(last["low"] < 1 / 3 < last["high"] and abs(last["failures"] - 1 / 3) < 0.001, last)
            self.assertEqual((answer["earlier"], answer["complete"]), (0, True))
        answer = self.get(daemon, "trajectory?sig_hash=h&limit=5")
        self.assertEqual((len(answer["attempts"]), answer["earlier"], answer["class"]), (5, 25, "MIXED"))
        self.assertIsNone(answer["slope"])

    def test_orbiting(self):
        daemon = self.start()
        words = ("paper", "ink", "roster", "credit", "patience", "disk")
        self.post(daemon, [op(i, sig_hash="h", success=False, error="out of " + w + " altogether since " + w) for i, w in enumerate(words)])
        answer = self.get(daemon, "trajectory?sig_hash=h")
        kinds_of = {a["cluster"] for a in answer["attempts"]}
        self.assertEqual(answer["class"], "ORBITING" if len(kinds_of) > 3 else "LOOPING", answer)


if __name__ == "__main__":
    main()
