"""What a page that is watched asks for: live, history."""

import datetime
import os

from harness import DaemonTest, main

V1 = "/v1/observer/"
HOSTILE = "\u202egpj.exe \x1b[31m\x07 \u2066x\u2069 " + "\U0001f600" * 300


def op(i=0, **more):
    return {"endpoint": "/a", "success": True, "duration_ms": 10 + i % 50, **more}


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class WatchTest(DaemonTest):
    def get(self, daemon, path, status=200):
        answer = daemon.get(V1 + path)
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def post(self, daemon, ops):
        answer = daemon.post(V1 + "event", ops)
        self.assertEqual(answer.status, 200, answer)


class Live(WatchTest):
    def test_an_empty_daemon(self):
        daemon = self.start()
        live = self.get(daemon, "live")
        self.assertRegex(live["boot"], "^[0-9a-f]{16}$")
        self.assertEqual((live["ready"], live["reasons"], live["seq"], live["missed"], live["restarted"]), (True, [], 0, 0, False))
        self.assertEqual(live["totals"], {"ops": 0, "successes": 0, "failures": 0})
        self.assertEqual(live["windows"]["1m"], {"ops": 0, "failures": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None})
        self.assertEqual((live["last_op"], live["alerts"], live["ops"]), (None, None, []))
        self.assertEqual(self.get(daemon, "live?after=0")["ops"], [])

    def test_what_came_since(self):
        daemon = self.start()
        self.post(daemon, [op(i) for i in range(100)] + [op(success=False, error="429: no quota left", sig_hash="t")])
        first = self.get(daemon, "live")
        self.assertEqual((first["seq"], first["ops"], first["missed"]), (101, [], 0))  # the page begins here
        self.assertEqual(first["totals"], {"ops": 101, "successes": 100, "failures": 1})
        self.assertEqual((first["windows"]["1h"]["ops"], first["windows"]["1h"]["failures"]), (101, 1))
        self.assertLessEqual(abs(first["windows"]["1m"]["p50_ms"] - 34), 2)
        self.assertLessEqual(first["windows"]["1m"]["p95_ms"], first["windows"]["1m"]["p99_ms"])
        self.assertEqual(first["clusters"], {"new": 1, "ongoing": 0, "regressed": 0, "resolved": 0})
        self.assertLess(abs(when(first["last_op"]) - when(first["now"])), 600)

        self.post(daemon, [op(endpoint="/b%d" % i) for i in range(3)] + [op(success=False, error="429: no quota left")])
        live = self.get(daemon, "live?after=101&boot=" + first["boot"])
        self.assertEqual((live["seq"], live["missed"], live["restarted"]), (105, 0, False))
        self.assertEqual([x["seq"] for x in live["ops"]], [102, 103, 104, 105])  # oldest first
        self.assertEqual([x["op"]["endpoint"] for x in live["ops"]], ["/b0", "/b1", "/b2", "/a"])
        self.assertIsNone(live["ops"][0]["cluster"])
        self.assertEqual(live["ops"][3]["cluster"], self.get(daemon, "clusters")["clusters"][0]["id"])
        self.assertEqual(set(live["ops"][3]["op"]), {"timestamp", "endpoint", "success", "duration_ms", "source", "error",
                                                     "input_summary", "output_summary"})

    def test_the_newest_when_there_are_too_many(self):
        daemon = self.start()
        self.post(daemon, [op(i) for i in range(300)])
        live = self.get(daemon, "live?after=10&limit=5")
        self.assertEqual(([x["seq"] for x in live["ops"]], live["missed"]), ([296, 297, 298, 299, 300], 285))
        live = self.get(daemon, "live?after=0")
        self.assertEqual((len(live["ops"]), live["missed"]), (200, 100))
        live = self.get(daemon, "live?after=300")
        self.assertEqual((live["ops"], live["missed"]), ([], 0))
        live = self.get(daemon, "live?after=9999")  # nobody has given it that
        self.assertEqual((live["ops"], live["missed"], live["seq"]), ([], 0, 300))

    def test_more_than_the_ring_holds(self):
        daemon = self.start(args=("--ring", "50"))
        self.post(daemon, [op(i) for i in range(300)])
        live = self.get(daemon, "live?after=100")
        self.assertEqual(([x["seq"] for x in live["ops"]], live["missed"]), (list(range(251, 301)), 150))

    def test_a_restart_is_seen(self):
        daemon = self.start(args=("--ring", "50"))
        self.post(daemon, [op(i) for i in range(80)])
        before = self.get(daemon, "live")
        daemon.restart()
        after = self.get(daemon, "live?after=80&boot=" + before["boot"])
        self.assertNotEqual(after["boot"], before["boot"])
        self.assertEqual((after["restarted"], after["seq"], after["missed"]), (True, 80, 0))
        self.assertEqual([x["seq"] for x in after["ops"]], list(range(31, 81)))
        again = self.get(daemon, "live?after=80&boot=" + after["boot"])
        self.assertEqual((again["restarted"], again["ops"]), (False, []))
        self.assertEqual(after["totals"]["ops"], 80)
        self.assertEqual(after["last_op"], before["last_op"])

    def test_texts_are_cut_and_the_answer_is_bounded(self):
        daemon = self.start()
        long = "\u00e9" * 30000
        self.post(daemon, [op(staffer_id=HOSTILE, input_summary="x" * 200, output_summary="x" * 201, error=long)])
        row = self.get(daemon, "live?after=0")["ops"][0]["op"]
        self.assertEqual(row["staffer_id"], HOSTILE[:199] + "\u2026")
        self.assertEqual(row["input_summary"], "x" * 200)
        self.assertEqual(row["output_summary"], "x" * 199 + "\u2026")
        self.assertEqual(row["error"], "\u00e9" * 199 + "\u2026")
        texts = {name: "\x01" * 1000 for name in ("staffer_id", "session_id", "cycle_id", "sig_hash", "event_kind",
                                                  "task_class", "error", "output_summary", "input_summary")}
        self.post(daemon, [op(**texts) for _ in range(50)])
        answer = daemon.get(V1 + "live?after=0&limit=500")
        live = answer.json
        self.assertLessEqual(len(answer.body), 256 << 10)
        self.assertGreater(len(answer.body), 200 << 10)
        self.assertEqual(live["ops"][-1]["seq"], 51)
        self.assertEqual(len(live["ops"]) + live["missed"], 51)

    def test_what_is_refused(self):
        daemon = self.start()
        for path, error in (("live?limit=501", "limit: must be a number from 1 to 500"),
                            ("live?limit=0", "limit: must be a number from 1 to 1000"),
                            ("live?after=-1", "after: must be a whole number, 0 or more"),
                            ("live?after=x", "after: must be a whole number, 0 or more"),
                            ("history?window=1m", "window: must be 1h or 24h"),
                            ("history?endpoint=/a", "endpoint: unknown parameter")):
            self.assertEqual(self.get(daemon, path, 400), {"error": error}, path)


class History(WatchTest):
    def check(self, daemon, ops, failures):
        for window, step, n in (("1h", 60, 60), ("24h", 600, 144)):
            history = self.get(daemon, "history?window=" + window)
            points = history["points"]
            self.assertEqual((history["step_s"], len(points)), (step, n))
            times = [when(p["t"]) for p in points]
            self.assertEqual([b - a for a, b in zip(times, times[1:])], [step] * (n - 1))
            self.assertLessEqual(times[-1], when(history["now"]))
            self.assertGreater(times[-1] + step, when(history["now"]))
            self.assertEqual((sum(p["ops"] for p in points), sum(p["failures"] for p in points)), (ops, failures))
            for p in points:
                self.assertEqual(p["p50_ms"] is None, p["ops"] == 0)
            told = [p for p in points if p["ops"] > 0]
            self.assertLessEqual(len(told), 2)
            self.assertTrue(all(10 <= p["p50_ms"] <= p["p95_ms"] <= p["p99_ms"] <= 60 for p in told))

    def test_steps_and_a_restart(self):
        daemon = self.start()
        self.check(daemon, 0, 0)
        self.post(daemon, [op(i) for i in range(50)] + [op(success=False, error="e")] * 5)
        self.check(daemon, 55, 5)
        daemon.restart()
        self.check(daemon, 55, 5)
        self.post(daemon, [op(i) for i in range(10)])
        daemon.restart(kill=True)
        self.check(daemon, 65, 5)
        daemon.stop()
        os.remove(os.path.join(daemon.data_dir, "checkpoint"))
        daemon.restart()
        self.check(daemon, 65, 5)


if __name__ == "__main__":
    main()
