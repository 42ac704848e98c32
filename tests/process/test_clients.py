"""The older observers' clients against the daemon: clients.mjs sends and reads what they do, with node's own fetch."""

import json
import os

from harness import DaemonTest, main
from installed import run

CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clients.mjs")


class Clients(DaemonTest):
    def client(self, what, url):
        return [json.loads(line) for line in run("node", CLIENTS, what, url).splitlines()]

    def test_bot(self):
        daemon = self.start()
        self.assertEqual(self.client("bot", daemon.url("http")), 3 * [{"ok": True, "status": 200}])
        self.assertEqual(daemon.stats()["by_source"], {"bot": 3})
        self.assertEqual((daemon.stats()["successes"], daemon.stats()["failures"]), (2, 1))
        rows = daemon.journal_rows()
        first = rows[0]
        self.assertRegex(first.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(first, {
            "endpoint": "bot:cycle", "input_summary": "ok c-1", "success": True, "duration_ms": 5120,
            "output_summary": "filled", "source": "bot", "staffer_id": "gpt-oss:120b", "sig_hash": "ab12",
            "event_kind": "ok", "cycle_id": "c-1", "turns": 3, "extra": {"pr": 17, "files": ["a.ts"]}})
        self.assertEqual([row["input_summary"] for row in rows], ["ok c-1", "tests_failed c-2", "ok c-3"])
        self.assertEqual([row["success"] for row in rows], [True, False, True])
        self.assertEqual(rows[2]["extra"], {})
        self.assertNotIn("staffer_id", rows[2])
        daemon.stop()

    def test_bot_without_an_observer(self):
        """Non-fatal: the bot says so and goes on."""
        daemon = self.start()
        url = daemon.url("http")
        daemon.stop()
        self.assertEqual(self.client("bot", url), 3 * [{"failed": "fetch failed"}])

    def test_scenario_and_langfuse(self):
        daemon = self.start()
        *taken, refused = self.client("scenario", daemon.url("http"))
        self.assertEqual([answer["json"] for answer in taken],
                         [{"accepted": True, "ring_size": n} for n in (1, 2, 3, 4)])
        self.assertEqual({answer["status"] for answer in taken}, {200})
        self.assertEqual(refused["status"], 400)
        self.assertIsInstance(refused["json"]["error"], str)
        rows = daemon.journal_rows()
        for row in rows[:3]:
            row.pop("timestamp")
        self.assertEqual(rows, [
            {"endpoint": "scenario:fill", "input_summary": "fill welder×3 in Toledo, OH", "success": True,
             "duration_ms": 812, "output_summary": "filled", "source": "scenario", "staffer_id": "s-1", "sig_hash": "h1",
             "event_kind": "fill", "role": "welder", "city": "Toledo", "state": "OH", "count": 3,
             "rescue_attempted": False},
            {"endpoint": "scenario:fill", "input_summary": "fill nurse×? in ?, ?", "success": False, "duration_ms": 1500,
             "output_summary": "no candidates", "error": "no candidates", "source": "scenario", "staffer_id": "s-2",
             "event_kind": "fill", "role": "nurse", "rescue_attempted": True, "rescue_succeeded": False},
            {"endpoint": "scenario:fill", "input_summary": "? ?×? in ?, ?", "success": False, "duration_ms": 0,
             "output_summary": "failed", "source": "scenario"},
            {"timestamp": "2026-04-23T10:00:00.000Z", "endpoint": "/v1/chat", "input_summary": "trace 9",
             "success": True, "duration_ms": 0, "output_summary": "ok", "source": "langfuse"},
        ])
        daemon.stop()

    def test_monitor(self):
        daemon = self.start()
        self.client("scenario", daemon.url("http"))
        self.client("bot", daemon.url("http"))
        health, stats = self.client("monitor", daemon.url("http"))
        self.assertEqual((health["ok"], health["json"]["status"], health["json"]["ops_in_ring"]), (True, "ok", 7))
        recent = stats["json"].pop("recent_scenario_ops")
        self.assertEqual(stats, {"ok": True, "json": {"total": 7, "successes": 4, "failures": 3,
                                                      "by_source": {"scenario": 3, "langfuse": 1, "bot": 3}}})
        rows = daemon.journal_rows()
        self.assertEqual(recent, [
            {"ts": rows[0]["timestamp"], "ok": True, "staffer": "s-1", "kind": "fill", "role": "welder"},
            {"ts": rows[1]["timestamp"], "ok": False, "staffer": "s-2", "kind": "fill", "role": "nurse"},
            {"ts": rows[2]["timestamp"], "ok": False}])
        daemon.stop()


if __name__ == "__main__":
    main()
