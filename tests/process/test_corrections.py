"""Corrections that overseers write to a file become ops of a real observerd: as the older observer made them, each once,
whatever happens to the file and to the daemon.

  OBSERVER_ROUNDS     kills in the load test (default 4)
"""

import json
import os
import random
import threading
import time

import taught
from harness import SLOW, DaemonTest, main, wait_until

OPS = "/v1/observer/ops?source=overseer_correction&limit=1000"


class CorrectionsTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.tmp, "overseer_corrections.jsonl")

    def start(self, **kw):
        """The path comes as the older observer took it."""
        return super().start(args=["--cycle", "100ms"], env={"OVERSEER_CORRECTIONS_PATH": self.path}, **kw)

    def write(self, *rows, path=None):
        """Rows: objects, or texts as they are."""
        with open(path or self.path, "a") as f:
            for row in rows:
                f.write(row if isinstance(row, str) else json.dumps(row) + "\n")

    def corrections(self, daemon):
        """The corrections in the journal, in its order."""
        return [row["correction"] for row in daemon.journal_rows() if row["source"] == "overseer_correction"]

    def wait(self, daemon, want):
        wait_until(lambda: len(self.corrections(daemon)) >= len(want), 60, "%d corrections" % len(want))
        self.assertEqual(self.corrections(daemon), want)

    def counts(self, daemon):
        return daemon.get("/health").json["learn"]["corrections"]

    def wait_cycles(self, daemon, n=2):
        taught.wait_cycles(daemon, n)

    def test_as_the_older_observer_made_them(self):
        daemon = self.start()
        self.write({"created_at": "2026-04-23T10:00:00.000Z", "model": "gpt-oss:20b", "task_class": "staffing.fill",
                    "reason": "abort", "correction": "Widen the radius. " * 20, "sig_hash": "abc123", "applied_at_turn": 3,
                    "usage": {"latency_ms": 812, "tokens": 900}, "prompt": "not kept"},
                   {"created_at": "2026-04-23T10:00:01.000Z", "correction": "b"})
        self.wait(daemon, ["Widen the radius. " * 20, "b"])
        first, second = daemon.journal_rows()
        for row in (first, second):
            self.assertRegex(row.pop("op_id"), r"^correction:\d+-\d+:[0-9a-f]{16}$")
        self.assertEqual(list(first.items()), list({
            "timestamp": "2026-04-23T10:00:00.000Z", "endpoint": "overseer:gpt-oss:20b",
            "input_summary": "staffing.fill: abort", "success": True, "duration_ms": 812,
            "output_summary": ("Widen the radius. " * 20)[:200], "source": "overseer_correction", "sig_hash": "abc123",
            "task_class": "staffing.fill", "correction": "Widen the radius. " * 20, "applied_at_turn": 3}.items()))
        self.assertEqual(second, {
            "timestamp": "2026-04-23T10:00:01.000Z", "endpoint": "overseer:gpt-oss:120b", "input_summary": "?: escalation",
            "success": True, "duration_ms": 0, "output_summary": "b", "source": "overseer_correction", "correction": "b",
            "applied_at_turn": 0})
        # the journal has an op a moment before the statistics do
        wait_until(lambda: daemon.stats()["by_source"] == {"overseer_correction": 2}, 10, "the statistics")
        self.assertEqual([row["op"]["correction"] for row in daemon.get(OPS).json["ops"]], ["b", "Widen the radius. " * 20])
        health = daemon.get("/health").json
        self.assertEqual(health["transports"]["tail"],
                         {"received": 2, "recorded": 2, "duplicate": 0, "rejected": 0, "in_flight": 0, "refused": 0})
        wait_until(lambda: '"overseer_corrections":2}' in daemon.stderr(), 20, "the cycle line")
        self.assertIn("[observer] pulled ", daemon.stderr())

    def test_tied_to_its_cluster(self):
        daemon = self.start()
        op = {"endpoint": "/fill", "sig_hash": "s1", "task_class": "fill"}
        daemon.post("/v1/observer/event", [{**op, "success": False, "error": "no candidates"}] * 3)
        self.write({"sig_hash": "s1", "task_class": "fill", "correction": "ask for fewer"})
        self.wait(daemon, ["ask for fewer"])
        daemon.post("/v1/observer/event", [{**op, "success": True}] * 2 + [{**op, "success": False, "error": "none"}])
        [c] = daemon.get("/v1/observer/clusters?q=candidates").json["clusters"]
        [r] = daemon.get("/v1/observer/clusters/" + c["id"]).json["corrections"]
        self.assertEqual({k: r[k] for k in ("seq", "text", "succeeded", "failed")},
                         {"seq": 4, "text": "ask for fewer", "succeeded": 2, "failed": 1})

    def test_bad_lines_and_a_line_that_waits(self):
        daemon = self.start()
        self.write({"correction": "a"}, "nonsense\n", "[]\n", {"correction": "x" * 70000}, {"correction": "b"},
                   '{"correction": "c"')
        self.wait(daemon, ["a", "b"])
        self.wait_cycles(daemon)
        self.assertEqual(self.corrections(daemon), ["a", "b"])
        self.write("}\n")
        self.wait(daemon, ["a", "b", "c"])
        wait_until(lambda: self.counts(daemon)["recorded"] == 3, 10, "counted")
        self.assertEqual(self.counts(daemon), {"recorded": 3, "duplicates": 0, "bad_lines": 3, "restarts": 0,
                                               "cursor": os.path.getsize(self.path)})
        [row] = daemon.rejected_rows()
        self.assertEqual((row["transport"], row["reason"]), ("tail", "correction: longer than 65536 bytes"))
        self.assertRegex(daemon.stderr(), r"corrections: \S+: 3 bad lines ignored, the first at byte 20: not a JSON object")

    def test_truncated_and_rotated(self):
        daemon = self.start()
        self.write({"correction": "a"}, {"correction": "b"})
        self.wait(daemon, ["a", "b"])
        os.truncate(self.path, 0)
        self.wait_cycles(daemon)
        self.write({"correction": "c"})
        self.wait(daemon, ["a", "b", "c"])
        self.write({"correction": "d"})
        os.rename(self.path, self.path + ".1")
        self.write({"correction": "e"})
        self.wait(daemon, ["a", "b", "c", "d", "e"])
        daemon.stop()
        self.write({"correction": "f"})
        os.rename(self.path, self.path + ".1")
        self.write({"correction": "g"})
        daemon.start()
        self.wait(daemon, ["a", "b", "c", "d", "e", "f", "g"])

    def test_older_rows_are_taken_and_not_again(self):
        self.write(*({"correction": "n%d" % n} for n in range(1000)))
        want = ["n%d" % n for n in range(1000)]
        daemon = self.start()
        self.wait(daemon, want)
        for kill in (False, True):
            daemon.restart(kill=kill)
            self.wait_cycles(daemon)
            self.assertEqual(self.corrections(daemon), want)
            self.assertEqual(self.counts(daemon)["duplicates"], 0)

    def test_ephemeral(self):
        daemon = self.start(data_dir=None)
        self.write({"correction": "a"})
        wait_until(lambda: daemon.get(OPS).json["ops"] != [], 20, "the op")
        wait_until(lambda: self.counts(daemon)["recorded"] == 1, 20, "its count")

    def test_killed_at_any_moment(self):
        """Rows are written all the time, in pieces, and the file is rotated now and then."""
        daemon = self.start()
        written, former, ended = [], 0, threading.Event()
        lock = threading.Lock()

        def write_on():
            while not ended.is_set():
                with lock:
                    n = len(written)
                    text = json.dumps({"correction": "n%d" % n, "pad": "x" * random.randrange(2000)}) + "\n"
                    cut = random.randrange(len(text))
                    self.write(text[:cut])
                    time.sleep(random.random() * 0.002)
                    self.write(text[cut:])
                    written.append("n%d" % n)

        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            for n in range(int(os.environ.get("OBSERVER_ROUNDS", "4"))):
                time.sleep(0.2 + random.random() * 1.3 * SLOW)
                if n % 2 == 1:
                    # A daemon that is away looks for one former file: it must have the one before, which is replaced.
                    wait_until(lambda: len(self.corrections(daemon)) >= former, 60, "the rows of the former file")
                    with lock:
                        os.rename(self.path, self.path + ".1")
                        former = len(written)
                daemon.restart(kill=True)
                seen = len(self.corrections(daemon))
                wait_until(lambda: len(self.corrections(daemon)) > seen, 30, "rows after a kill")
        finally:
            ended.set()
            writer.join()
        self.wait(daemon, written)
        self.wait_cycles(daemon)
        self.assertEqual(self.corrections(daemon), written)
        for n in daemon.get("/health").json["transports"].values():
            self.assertEqual(n["received"], n["recorded"] + n["duplicate"] + n["rejected"] + n["in_flight"])


if __name__ == "__main__":
    main()
