"""Names that a producer chose to be long: no answer grows with them beyond about a megabyte."""

import json

from harness import DaemonTest, main

LIMIT = 1300000
NAME = 65536


def name(n):
    """64 KiB of U+0001, which take six bytes each in JSON; names differ at their ends."""
    end = "%04d" % n
    return "\x01" * (NAME - len(end)) + end


class Names(DaemonTest):
    def test_64_ops_with_64_kib_names(self):
        daemon = self.start(args=["--ring", "2000"])
        for n in range(64):
            op = {"endpoint": name(n), "source": name(n), "success": n % 2 == 0, "error_kind": "bad"}
            self.record(daemon, op)
        digest = {"endpoint": "/e", "source": "scenario", "success": True, "staffer_id": name(1), "event_kind": name(2)}
        self.record(daemon, digest)
        self.check_all(daemon)
        life = daemon.get("/v1/observer/summary").json["lifetime"]
        self.assertGreater(len(life["by_endpoint"]), 30)
        self.assertEqual(sum(v["total"] for v in life["by_endpoint"].values()), 65)
        self.assertEqual(sum(v["failures"] for v in life["by_endpoint"].values()), 32)
        self.assertTrue(all(len(key.encode()) <= 128 for key in life["by_endpoint"]))
        stats = daemon.stats()
        self.assertEqual(sum(stats["by_source"].values()), 65)
        self.assertTrue(all(len(text.encode()) <= 128 for op in stats["recent_scenario_ops"] for text in op.values()
                            if isinstance(text, str)))
        self.pages(daemon, 65)
        daemon.restart()
        self.check_all(daemon)

    def record(self, daemon, op):
        """In msgpack, where a control character takes one byte."""
        with daemon.req() as req:
            self.assertEqual(req.request(op)["accepted"], 1)

    def check_all(self, daemon):
        for path in ("/stats", "/v1/observer/stats", "/v1/observer/summary", "/v1/observer/ops?limit=1000",
                     "/v1/observer/clusters?limit=1000&full=true", "/v1/observer/sessions/stats", "/v1/observer/playbooks?full=true",
                     "/v1/observer/analyses?limit=1000&full=true", "/health", "/v1/observer/sessions?limit=1000"):
            answer = daemon.get(path)
            self.assertEqual(answer.status, 200, path)
            self.assertLess(len(json.dumps(answer.json)), LIMIT * (1 + path.startswith("/v1/observer/ops")), path)

    def pages(self, daemon, count):
        """Rows stay whole: the page ends early and says where to go on."""
        seqs, cursor, pages = [], "", 0
        while cursor is not None:
            page = daemon.get("/v1/observer/ops?limit=1000" + ("&cursor=" + cursor if cursor else "")).json
            seqs += [row["seq"] for row in page["ops"]]
            self.assertTrue(all(len(row["op"]["endpoint"]) == NAME for row in page["ops"] if row["seq"] < count))
            cursor, pages = page.get("next_cursor"), pages + 1
        self.assertEqual(seqs, list(range(count, 0, -1)))
        self.assertGreater(pages, 10)

    def test_many_names_of_128_bytes(self):
        """As many as are kept, of the bytes that take most room."""
        daemon = self.start()
        ops = [{"endpoint": "\x01" * 123 + "%05d" % n, "source": "\x01" * 123 + "%05d" % (n % 1000)} for n in range(2000)]
        for n in range(0, 2000, 500):
            self.assertEqual(daemon.post("/v1/observer/event", ops[n:n + 500]).json["count"], 500)
        self.check_all(daemon)
        life = daemon.get("/v1/observer/summary").json["lifetime"]
        self.assertEqual(sum(v["total"] for v in life["by_endpoint"].values()), 2000)
        self.assertEqual(sum(v["total"] for v in life["by_source"].values()), 2000)
        self.assertEqual(life["endpoints_left_out"], 1000 - len(life["by_endpoint"]) + 1)
        self.assertEqual(sum(daemon.stats()["by_source"].values()), 2000)

    def test_names_that_begin_alike_stay_apart(self):
        daemon = self.start()
        longest = "é" * 64
        for source in (longest, longest + "x", longest + "y"):
            daemon.post("/v1/observer/event", {"endpoint": "/e", "source": source})
        shown = daemon.stats()["by_source"]
        self.assertEqual(list(shown.values()), [1, 1, 1])
        self.assertIn(longest, shown)
        for key in shown:
            if key != longest:
                self.assertRegex(key, "^é{58}…[0-9a-f]{8}$")


if __name__ == "__main__":
    main()
