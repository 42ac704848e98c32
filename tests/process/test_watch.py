"""What a page that is watched asks for: live, history."""

import datetime
import json
import os
import re
import shutil
import time

from ctl import CtlTest
from harness import ROOT, DaemonTest, main
from taught import taught

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
        self.assertEqual((answer.status, answer.json.get("rejected", 0)), (200, 0), answer)


class Live(WatchTest):
    def test_an_empty_daemon(self):
        daemon = self.start()
        live = self.get(daemon, "live")
        self.assertRegex(live["boot"], "^[0-9a-f]{16}$")
        self.assertEqual((live["ready"], live["reasons"], live["seq"], live["missed"], live["restarted"]), (True, [], 0, 0, False))
        self.assertEqual(live["totals"], {"ops": 0, "successes": 0, "failures": 0})
        self.assertEqual(live["windows"]["1m"], {"ops": 0, "failures": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None})
        self.assertEqual((live["last_op"], live["alerts"], live["ops"]), (None, {"pending": 0, "firing": 0}, []))
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
                            ("live?limit=0", "limit: must be a number from 1 to 500"),
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


class Graph(WatchTest):
    def walk(self, daemon, limit, between=lambda n: None, window="1h"):
        rows, cursor = [], ""
        for n in range(100):
            page = self.get(daemon, "graph?window=%s&limit=%d%s" % (window, limit, cursor))
            rows += page["edges"]
            if page["next_cursor"] is None:
                return rows
            between(n)
            cursor = "&cursor=" + page["next_cursor"]
        self.fail("the walk does not end")

    def test_counts(self):
        daemon = self.start()
        empty = self.get(daemon, "graph")
        self.assertEqual((empty["window"], empty["edges"], empty["held"], empty["total"], empty["next_cursor"], empty["complete"]),
                         ("1h", [], 0, 0, None, True))
        self.assertEqual(empty["other"], {"ops": 0, "failures": 0, "retries": 0, "mean_ms": None})
        self.post(daemon, [op(endpoint="/chat", source="bot", staffer_id="maya", duration_ms=ms) for ms in (100, 101, 0)]
                  + [op(endpoint="/chat", success=False, error="e", session_id="s", sig_hash="t", duration_ms=30)] * 3
                  + [op(endpoint="/chat", session_id="s", sig_hash="t", duration_ms=30)] * 2
                  + [op(endpoint="/fill", success=False, error="e", duration_ms=0)] * 2)
        for restart in (False, True):
            for window in ("1m", "5m", "1h"):
                edges = self.get(daemon, "graph?window=" + window)["edges"]
                self.assertEqual([(e["staffer_id"], e["source"], e["endpoint"], e["ops"], e["failures"], e["retries"], e["mean_ms"],
                                   e["usual_ms"], e["fresh"]) for e in edges],
                                 [(None, "mcp", "/chat", 5, 3, 3, 30, None, False), ("maya", "bot", "/chat", 3, 0, 0, 100.5, None, False),
                                  (None, "mcp", "/fill", 2, 2, 0, None, None, False)], window)
            if not restart:
                daemon.restart()
        before = edges
        daemon.restart(kill=True)
        self.assertEqual(self.get(daemon, "graph")["edges"], before)

    def test_pages(self):
        daemon = self.start()
        self.post(daemon, [op(endpoint="/e%02d" % i) for i in range(50) for _ in range(50 - i)])
        rows = self.walk(daemon, 7)
        self.assertEqual([e["endpoint"] for e in rows], ["/e%02d" % i for i in range(50)])
        # What is busy meanwhile comes at the end; nothing is left out.
        rows = self.walk(daemon, 7, lambda n: self.post(daemon, [op(endpoint="/e%02d" % (3 * n))] * 60))
        self.assertEqual({e["endpoint"] for e in rows}, {"/e%02d" % i for i in range(50)})
        cursor = self.get(daemon, "graph?limit=1")["next_cursor"]
        wrong = {"error": "cursor: must be a next_cursor of an earlier answer of this list, in the same order"}
        self.assertEqual(self.get(daemon, "graph?window=1m&cursor=" + cursor, 400), wrong)
        self.assertEqual(self.get(daemon, "clusters?cursor=" + cursor, 400), wrong)
        self.assertEqual(self.get(daemon, "graph?window=2h", 400), {"error": "window: must be 1m, 5m or 1h"})

    def test_ten_thousand_endpoints(self):
        """The busy ones stay, whatever comes once; all ops are in one edge or in other."""
        daemon = self.start()
        busy = [op(endpoint="/busy%d" % i, success=i > 0) for i in range(20)]
        for at in range(0, 10000, 1000):
            self.post(daemon, busy + [op(endpoint="/once/%d" % i) for i in range(at, at + 1000)] + busy)
        first = self.get(daemon, "graph?limit=20")
        self.assertEqual({e["endpoint"] for e in first["edges"]}, {"/busy%d" % i for i in range(20)})
        self.assertEqual((first["held"], {e["ops"] for e in first["edges"]}), (4096, {20}))
        for again in range(2):  # each comes a second time: those that were hardly active make room, the busy ones stay
            for at in range(0, 10000, 1000):
                self.post(daemon, busy + [op(endpoint="/once/%d" % i) for i in range(at, at + 1000)])
        daemon.restart()
        whole = self.get(daemon, "graph?limit=1")
        self.assertEqual({e["endpoint"] for e in self.get(daemon, "graph?limit=20")["edges"]}, {"/busy%d" % i for i in range(20)})
        self.assertEqual((whole["held"], whole["total"]), (4096, 4096))
        self.assertEqual(sum(e["ops"] for e in self.walk(daemon, 1000)) + whole["other"]["ops"], 30000 + 800)
        self.assertEqual(sum(e["failures"] for e in self.walk(daemon, 1000)) + whole["other"]["failures"], 40)

    def test_hostile_names(self):
        daemon = self.start()
        long = "/" + "x" * 64000
        names = [HOSTILE[:40], "\x00\x01", "", "\u2028", '"}]', "\\u202e", long + "a", long + "b"]
        self.post(daemon, [op(endpoint=name or "/", staffer_id=name, source="x") for name in names for _ in range(3)])
        edges = self.get(daemon, "graph")["edges"]
        self.assertEqual([e["ops"] for e in edges], [3] * 8)
        told = {e["staffer_id"] for e in edges}
        self.assertEqual({x for x in told if "\u2026" not in x}, set(names[:6]))
        cut = [x for x in told if "\u2026" in x]
        self.assertEqual(len(cut), 2)  # what begins alike stays apart
        self.assertTrue(all(len(x.encode()) <= 128 for x in cut))
        daemon.restart()
        self.assertEqual(self.get(daemon, "graph")["edges"], edges)
        self.post(daemon, [op(endpoint=name or "/", staffer_id=name, source="x") for name in names])
        self.assertEqual([e["ops"] for e in self.get(daemon, "graph")["edges"]], [4] * 8)

    def test_a_checkpoint_without_it(self):
        """Of 0.1: it gets the rows that are read anyway, for the ring."""
        shutil.copytree(os.path.join(ROOT, "tests", "process", "version2"), os.path.join(self.tmp, "data"))
        daemon = self.start()
        self.assertIn("34 ops in the checkpoint, 0 replayed", daemon.stderr())
        self.assertEqual(self.get(daemon, "graph")["held"], 3)
        self.assertEqual(self.get(daemon, "live")["totals"]["ops"], 34)


class Changes(WatchTest):
    def walk(self, daemon, limit, path="changes"):
        rows, cursor = [], ""
        for _ in range(1000):
            page = self.get(daemon, "%s?limit=%d%s" % (path, limit, cursor))
            rows += page["changes"]
            if page["next_cursor"] is None:
                return rows
            cursor = "&cursor=" + page["next_cursor"]
        self.fail("the walk does not end")

    def journal(self, *rows):
        """A data directory with these rows, each as old as it says (seconds), of an observer that left nothing else."""
        now = time.time()
        os.mkdir(os.path.join(self.tmp, "data"))
        with open(os.path.join(self.tmp, "data", "ops.jsonl"), "w", encoding="utf-8") as f:
            for age, row in rows:
                stamp = datetime.datetime.fromtimestamp(now - age, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
                whole = {"timestamp": stamp, "endpoint": "/a", "input_summary": "", "success": True, "duration_ms": 1,
                         "output_summary": "", "source": "mcp", **row}
                f.write(json.dumps(whole) + "\n")

    def test_a_young_journal_tells_nothing_of_values(self):
        daemon = self.start()
        self.assertEqual(self.get(daemon, "changes"), {"changes": [], "total": 0, "next_cursor": None, "complete": True})
        self.post(daemon, [op(endpoint="/e%d" % i, extra={"model": "m%d" % i}) for i in range(10)])
        self.assertEqual(self.get(daemon, "changes")["changes"], [])

    def test_values_of_the_first_time(self):
        self.journal((7200, {}), (7000, {"endpoint": "/young", "extra": {"model": "old"}}),
                     (6000, {"endpoint": "/b", "staffer_id": "maya"}), (5000, {"source": "bot"}),
                     (4000, {"extra": {"model": "gpt-5", "version": 7, "nested": {"model": "no"}}}),
                     (3000, {"prompt_hash": "abc", "model": "old", "version": "7"}), (2000, {"model": "gpt-5", "version": None}))
        daemon = self.start()
        told = [{"kind": "first_seen", "what": what, "value": value, "text": text, "cluster": None, "playbook": None, "seq": seq}
                for what, value, text, seq in (
                    ("prompt_hash", "abc", "Prompt abc was seen for the first time, at /a.", 6),
                    ("version", "7", "Version 7 was seen for the first time, at /a.", 5),
                    ("model", "gpt-5", "Model gpt-5 was seen for the first time, at /a.", 5),
                    ("source", "bot", "Source bot was seen for the first time, at /a.", 4),
                    ("staffer_id", "maya", "Staffer maya was seen for the first time, at /b.", 3),
                    ("endpoint", "/b", "Endpoint /b was seen for the first time.", 3))]
        for kill in (False, True, None):
            rows = self.get(daemon, "changes")["changes"]
            times = [when(row["time"]) for row in rows]
            self.assertEqual(times, sorted(times, reverse=True))
            by = lambda row: (-row["seq"], row["what"])
            self.assertEqual(sorted(({k: v for k, v in row.items() if k != "time"} for row in rows), key=by), sorted(told, key=by))
            self.post(daemon, [op(endpoint="/b", staffer_id="maya", source="bot", extra={"model": "gpt-5"})])  # known by now
            if kill is not None:
                daemon.restart(kill=kill)
        self.post(daemon, [op(extra={"model": "gpt-6"}), op(endpoint="/c")])
        self.assertEqual([row["value"] for row in self.get(daemon, "changes?limit=2")["changes"]], ["/c", "gpt-6"])
        since = rows[0]["time"]
        self.assertEqual({row["value"] for row in self.get(daemon, "changes?since=" + since)["changes"]}, {"/c", "gpt-6", "abc"})

    def test_a_flood_of_values_is_told_in_short(self):
        self.journal((7200, {}))
        daemon = self.start()
        self.post(daemon, [op(endpoint="/cause", success=False, error="the disk is full")])
        for at in range(0, 20000, 5000):
            self.post(daemon, [op(endpoint="/x/%d" % i) for i in range(at, at + 5000)])
        for _ in range(2):
            rows = self.walk(daemon, 7)
            self.assertEqual(len({json.dumps(row) for row in rows}), len(rows))
            self.assertIn("cluster_new", [row["kind"] for row in rows])
            self.assertIn("More than 16383 endpoints were seen: new ones are no longer told.", [row["text"] for row in rows])
            more = [row for row in rows if "more endpoints were seen" in row["text"]]
            self.assertTrue(1 <= len(more) <= 2, more)  # one a minute
            self.assertEqual((more[0]["what"], more[0]["value"]), ("endpoint", None))
            self.assertLess(len(rows), 60)
            daemon.restart()

    def test_hostile_values(self):
        self.journal((7200, {}))
        daemon = self.start()
        values = [HOSTILE[:20], "\x00", "\u2028\u2029", '"}]', "\\", "/" + "y" * 60000]
        self.post(daemon, [op(endpoint=v, extra={"model": v}) for v in values])
        rows = self.get(daemon, "changes")["changes"]
        self.assertEqual({row["value"] for row in rows if len(row["value"]) < 100}, set(values[:5]))
        self.assertTrue(all(len(row["value"].encode()) <= 128 for row in rows))
        self.assertEqual(len(rows), 11)  # a model of more than 4 KiB of `extra` is not looked for
        daemon.restart()
        self.assertEqual(self.get(daemon, "changes")["changes"], rows)

    def test_failures_and_what_was_learned(self):
        daemon = taught(self)
        rows = self.walk(daemon, 3)
        self.assertEqual(rows, self.get(daemon, "changes?limit=1000")["changes"])
        kinds = {row["kind"] for row in rows}
        self.assertLessEqual({"cluster_new", "correction", "playbook_new"}, kinds)
        clusters = {c["id"]: c for c in self.get(daemon, "clusters")["clusters"]}
        entries = {e["id"]: e for e in self.get(daemon, "playbooks?retired=true")["playbooks"]}
        new = [row for row in rows if row["kind"] == "cluster_new"]
        self.assertEqual({row["cluster"] for row in new}, set(clusters))
        for row in new:
            self.assertEqual(row["seq"], clusters[row["cluster"]]["first_seq"])
            self.assertTrue(row["text"].startswith("A new kind of failure: " + clusters[row["cluster"]]["template"][:50]), row)
        [given] = [row for row in rows if row["kind"] == "correction"]
        self.assertEqual(given["text"], "A correction was given: wait a minute after a 429")
        self.assertIn(given["cluster"], clusters)
        self.assertEqual({row["playbook"] for row in rows if row["playbook"]}, set(entries))
        for row in rows:
            if row["kind"] == "playbook_new":
                self.assertEqual(row["value"], entries[row["playbook"]]["endpoint"])
                entry = entries[row["playbook"]]
                begins = entry["text"].startswith(entry["endpoint"])
                self.assertRegex(row["text"], r"^A new playbook entry \((do|dont)\)%s: " % ("" if begins else " for " + re.escape(entry["endpoint"])))
        edited = [row["playbook"] for row in rows if row["kind"] == "playbook_edited"]
        self.assertEqual(len(edited), len(set(edited)))
        self.post(daemon, [op(endpoint="/elsewhere", success=False, error="connection to shard 9 refused")])
        [spread] = [row for row in self.walk(daemon, 50) if row["kind"] == "cluster_spread"]
        self.assertEqual((spread["what"], spread["value"]), ("endpoint", "/elsewhere"))
        self.assertTrue(spread["text"].startswith("A known kind of failure spread to /elsewhere: connection to shard"), spread)


class OnTheTerminal(CtlTest):
    def test_graph_and_changes(self):
        daemon = self.start()
        url = ("--url", daemon.url("http"))
        done = self.ctl("graph", *url)
        self.assertEqual((done.stdout, done.stderr), ("", "no edges yet\n"))
        ops = [op(endpoint="/chat", source="bot", staffer_id="maya\u202e", duration_ms=1500)] * 3
        ops += [op(endpoint="/fill", success=False, error="quota of 5 GB is used up", session_id="s", duration_ms=40)] * 2
        self.assertEqual(daemon.post(V1 + "event", ops).status, 200)
        [head, chat, fill] = self.ctl("graph", *url).stdout.split("\n")[:-1]
        self.assertEqual(head.split(), ["STAFFER", "SOURCE", "ENDPOINT", "OPS", "FAILED", "RETRIES", "MEAN", "USUAL", "LAST"])
        self.assertEqual(chat.split()[:7], ["maya\\u202e", "bot", "/chat", "3", "0", "1.50", "s"])
        self.assertEqual(fill.split()[:8], ["mcp", "/fill", "2", "100.0", "%", "1", "40", "ms"])
        self.assertEqual(json.loads(self.ctl("graph", "--json", "--limit", "1", *url).stdout)["edges"][0]["ops"], 3)
        [head, new] = self.ctl("changes", *url).stdout.split("\n")[:-1]
        self.assertEqual(head.split(), ["WHEN", "KIND", "CHANGE", "OP", "ID"])
        ident = daemon.get(V1 + "clusters").json["clusters"][0]["id"]
        self.assertRegex(new, r"^\d+ s +cluster new +A new kind of failure: quota of <\*> is used up +4 +" + ident[:8])
        self.assertEqual(self.ctl("changes", "--since", "2099-01-01", *url).stderr, "no changes match\n")
        self.assertIn("time lost", self.ctl("clusters", ident, *url).stdout)


if __name__ == "__main__":
    main()
