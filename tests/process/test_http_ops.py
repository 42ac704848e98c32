"""GET ops: filters, pages that stay put while ops arrive, and bad parameters, in the ring and in the journal."""

import glob
import os
import re
from urllib.parse import quote

from harness import DaemonTest, main, wait_until

OP = {"endpoint": "/a", "success": True}


def ops_url(**params):
    return "/v1/observer/ops?" + "&".join("%s=%s" % (k, quote(str(v))) for k, v in params.items())


class Ops(DaemonTest):
    def fill(self, d, count, start=0):
        ops = []
        for i in range(start, start + count):
            when = "2026-01-01T00:%02d:%02d.000Z" % (i // 60 % 60, i % 60)
            ops.append({"timestamp": when, "endpoint": "/e%d" % (i % 3), "source": ("mcp", "bot")[i % 2],
                        "success": i % 5 != 0, "staffer_id": "s%d" % (i % 4), "sig_hash": "h%d" % (i % 7),
                        "event_kind": "k%d" % (i % 2), "task_class": "t é\"/%d" % (i % 3),
                        "session_id": "z%d" % (i % 10), "op_id": "n%d" % i, "input_summary": "row %d." % i})
        self.assertEqual(d.post("/v1/observer/event", ops).json["count"], count)
        return ops

    def check_filters(self, d, ops):
        def newest(keep):
            return [op["op_id"] for op in reversed(ops) if keep(op)][:1000]

        for params, keep in (
                ({}, lambda op: True), ({"source": "bot"}, lambda op: op["source"] == "bot"),
                ({"endpoint": "/e1"}, lambda op: op["endpoint"] == "/e1"), ({"endpoint": "/e"}, lambda op: False),
                ({"success": "false"}, lambda op: not op["success"]), ({"success": "true"}, lambda op: op["success"]),
                ({"staffer_id": "s3"}, lambda op: op["staffer_id"] == "s3"),
                ({"sig_hash": "h6"}, lambda op: op["sig_hash"] == "h6"),
                ({"event_kind": "k0"}, lambda op: op["event_kind"] == "k0"),
                ({"task_class": 't é"/1'}, lambda op: op["task_class"] == 't é"/1'),
                ({"session_id": "z9"}, lambda op: op["session_id"] == "z9"),
                ({"since": "2026-01-01T00:01:10Z"}, lambda op: op["timestamp"] >= "2026-01-01T00:01:10"),
                ({"until": "2026-01-01T00:01:10Z"}, lambda op: op["timestamp"] <= "2026-01-01T00:01:10.000Z"),
                ({"since": 1767225610000, "until": "2026-01-01T02:00:12+02:00"},
                 lambda op: "2026-01-01T00:00:10" <= op["timestamp"] <= "2026-01-01T00:00:12.000Z"),
                ({"since": 1767225610, "until": "1767225612.0"},
                 lambda op: "2026-01-01T00:00:10" <= op["timestamp"] <= "2026-01-01T00:00:12.000Z"),
                ({"since": "0"}, lambda op: True), ({"until": "-5"}, lambda op: False),
                ({"q": "row 17."}, lambda op: op["input_summary"] == "row 17."), ({"q": "é"}, lambda op: True),
                ({"q": "nowhere"}, lambda op: False),
                ({"source": "bot", "success": "false", "endpoint": "/e0"},
                 lambda op: op["source"] == "bot" and not op["success"] and op["endpoint"] == "/e0")):
            status, _, body = d.get(ops_url(limit=1000, **params))
            self.assertEqual(status, 200, body)
            self.assertEqual([o["op"]["op_id"] for o in body["ops"]], newest(keep), params)

    def test_filters_in_the_ring(self):
        d = self.start(None)
        self.check_filters(d, self.fill(d, 120))

    def test_filters_in_the_journal(self):
        d = self.start(args=["--ring", "10"])
        ops = self.fill(d, 120)
        self.check_filters(d, ops)
        d.restart()
        self.check_filters(d, ops)
        body = d.get(ops_url(limit=1000)).json
        self.assertEqual([o["seq"] for o in body["ops"]], list(range(120, 0, -1)))

    def test_search_reads_as_people_do(self):
        for d, more in ((self.start(None), 0), (self.start(args=["--ring", "10"]), 20)):
            texts = ['cannot open "C:\\tmp"', "line one\nline two", "café", "plain", "\u009b\u202e", "a/b", "\U0001f600"]
            d.post("/v1/observer/event", [{**OP, "error": text, "extra": {"why": [text, {"nested_name": i}]}}
                                          for i, text in enumerate(texts)] + [OP] * more)
            for i, text in enumerate(texts):
                body = d.get(ops_url(q=text)).json
                self.assertEqual([o["op"]["error"] for o in body["ops"]], [text])
            for nothing in ("output_summary", "nested_name", '\\"C:', "\\n", "u009b", "true", '":"', "Plain"):
                self.assertEqual(d.get(ops_url(q=nothing)).json["ops"], [], nothing)

    def test_rows_are_verbatim(self):
        d = self.start()
        self.fill(d, 3)
        status, _, _ = answer = d.get("/v1/observer/ops?limit=2")
        lines = d.journal_lines()
        want = b'{"ops":[{"seq":3,"op":%s},{"seq":2,"op":%s}],"next_cursor":"a2","complete":true}'
        self.assertEqual((status, answer.body), (200, want % (lines[2], lines[1]) + b"\n"))

    def test_pages_while_ops_arrive(self):
        for args, data in (([], None), (["--ring", "7"], "data")):
            d = self.start(data, args=args)
            self.fill(d, 50)
            seen, cursor, pages = [], None, 0
            while True:
                body = d.get(ops_url(limit=8, **({"cursor": cursor} if cursor else {}))).json
                seen += [o["seq"] for o in body["ops"]]
                self.assertTrue(body["complete"])
                pages += 1
                self.fill(d, 5, 1000 + 5 * pages)
                cursor = body["next_cursor"]
                if cursor is None:
                    break
            self.assertEqual(seen, list(range(50, 0, -1)))
            self.assertEqual(pages, 7)

    def test_pages_of_a_filter(self):
        d = self.start(args=["--ring", "20"])
        ops = self.fill(d, 100)
        seen, cursor = [], None
        while True:
            body = d.get(ops_url(limit=3, source="bot", **({"cursor": cursor} if cursor else {}))).json
            seen += [o["op"]["op_id"] for o in body["ops"]]
            cursor = body["next_cursor"]
            if cursor is None:
                break
        self.assertEqual(seen, [op["op_id"] for op in reversed(ops) if op["source"] == "bot"])

    def test_big_pages_end_early(self):
        d = self.start(None)
        for _ in range(4):
            d.post("/v1/observer/event", [{**OP, "correction": "x" * 60000}] * 30)
        body = d.get(ops_url(limit=1000)).json
        self.assertFalse(body["complete"])
        seqs = [op["seq"] for op in body["ops"]]
        self.assertTrue(15 < len(seqs) < 20, seqs)
        while not body["complete"]:
            body = d.get(ops_url(limit=1000, cursor=body["next_cursor"])).json
            self.assertTrue(0 < len(body["ops"]) < 20)
            seqs += [op["seq"] for op in body["ops"]]
        self.assertEqual((seqs, body["next_cursor"]), (list(range(120, 0, -1)), None))

    def test_defaults_and_aliases(self):
        d = self.start(None)
        self.fill(d, 120)
        for path in ("/v1/observer/ops", "/observer/ops"):
            body = d.get(path).json
            self.assertEqual([o["seq"] for o in body["ops"]], list(range(120, 20, -1)))
            self.assertEqual(body["next_cursor"], "a15")

    def evidence(self, d, ops, first_kept=1):
        """Ops by seq: what is there word for word, in the page's order, and what is missing."""
        seqs = lambda body: [o["seq"] for o in body["ops"]]
        ops = [{**op, "duration_ms": 0, "output_summary": ""} for op in ops]
        newest = len(ops)
        for seq in (first_kept, first_kept + 40, newest - 1, newest):
            for path in ("/v1/observer/ops/%d", "/observer/ops/%d"):
                status, _, body = d.get(path % seq)
                self.assertEqual((status, body["seq"], body["op"]), (200, seq, ops[seq - 1]))
                self.assertEqual(set(body) - {"late", "cluster"}, {"seq", "received", "op"})
                self.assertEqual("cluster" in body, not body["op"]["success"])
        a, b, c = first_kept, first_kept + 70, newest
        for query in ("seq=%d,%d,%d" % (b, a, c), "seq=%d&seq=%d,%d" % (a, c, b), "seq=%d&seq=%d&seq=%d" % (c, c, a) + ",%d" % b):
            body = d.get("/v1/observer/ops?" + query).json
            self.assertEqual((seqs(body), body["missing"], body["next_cursor"], body["complete"]), ([c, b, a], [], None, True))
            self.assertEqual([o["op"] for o in body["ops"]], [ops[c - 1], ops[b - 1], ops[a - 1]])
        body = d.get("/v1/observer/ops?seq=%d,%d,%d,99999" % (a, c + 1, c)).json
        self.assertEqual((seqs(body), body["missing"]), ([c, a], [99999, c + 1]))
        # Other filters count, too; what they leave out is not missing.
        failed = next(s for s in range(b, 0, -1) if not ops[s - 1]["success"])
        body = d.get("/v1/observer/ops?success=false&seq=%d,%d" % (failed, failed + 1)).json
        self.assertEqual((seqs(body), body["missing"]), ([failed], []))
        # Pages, and what is below the first is not missing there.
        body = d.get("/v1/observer/ops?limit=2&seq=%d,%d,%d" % (a, b, c)).json
        self.assertEqual((seqs(body), body["missing"], body["complete"]), ([c, b], [], True))
        body = d.get("/v1/observer/ops?limit=2&seq=%d,%d,%d&cursor=%s" % (a, b, c, body["next_cursor"])).json
        self.assertEqual((seqs(body), body["missing"], body["next_cursor"]), ([a], [], None))
        answer = d.get("/v1/observer/ops/%d" % (newest + 1))
        self.assertEqual((answer.status, answer.json),
                         (404, {"error": "no op %d: the last one recorded is %d" % (newest + 1, newest)}))
        for bad in ("0", "x", "-1", "1,2", "%31e3", "9" * 19):
            answer = d.get("/v1/observer/ops/" + bad)
            self.assertEqual((answer.status, answer.json), (400, {"error": "seq: must be a whole number, 1 or more"}), bad)
        self.assertEqual(d.get("/v1/observer/ops/1/2").status, 404)

    def test_evidence_in_the_ring(self):
        d = self.start(None)
        self.evidence(d, self.fill(d, 120))

    def test_evidence_in_the_journal(self):
        d = self.start(args=["--ring", "10"])
        ops = self.fill(d, 120)
        self.evidence(d, ops)
        d.restart()
        self.evidence(d, ops)

    def test_evidence_in_segments_and_beyond_what_is_kept(self):
        d = self.start(args=["--ring", "10", "--segment-bytes", "64K", "--retain-bytes", "192K"])
        ops = []
        for i in range(20):
            ops += self.fill(d, 100, 100 * i)
        rotated = lambda: glob.glob(os.path.join(d.data_dir, "ops-*.jsonl"))
        wait_until(lambda: sum(os.path.getsize(p) for p in rotated()) <= 192 << 10, 20, "retention")
        first = min(int(re.search(r"ops-0*(\d+)\.jsonl", p).group(1)) for p in rotated())
        self.assertGreater(first, 1)
        self.evidence(d, ops, first)
        answer = d.get("/v1/observer/ops/%d" % (first - 1))
        self.assertEqual((answer.status, answer.json), (404, {"error": "no op %d: it is no longer kept" % (first - 1)}))
        body = d.get("/v1/observer/ops?seq=1,%d,%d" % (first - 1, first)).json
        self.assertEqual(([o["seq"] for o in body["ops"]], body["missing"]), ([first], [first - 1, 1]))

    def test_evidence_by_op_id(self):
        for args in ([], ["--ring", "10"]):
            d = self.start(args=args) if args else self.start(None)
            ops = self.fill(d, 60)
            body = d.get(ops_url(op_id="n17", source="bot")).json
            self.assertEqual([o["op"] for o in body["ops"]], [{**ops[17], "duration_ms": 0, "output_summary": ""}])
            self.assertEqual(set(body["ops"][0]) - {"late"}, {"seq", "received", "op"})
            self.assertEqual((body["next_cursor"], body["complete"]), (None, True))
            self.assertEqual(d.get(ops_url(op_id="n17", source="mcp")).json["ops"], [])
            d.post("/v1/observer/event", {**OP, "source": "other", "op_id": "n17"})  # an op_id is its source's own
            self.assertEqual([o["op"]["source"] for o in d.get(ops_url(op_id="n17")).json["ops"]], ["other", "bot"])
            self.assertEqual([o["op"]["source"] for o in d.get(ops_url(op_id="n17", source="bot")).json["ops"]], ["bot"])
            self.assertEqual(d.get(ops_url(op_id="n1")).json["ops"][0]["op"]["input_summary"], "row 1.")
            self.assertEqual(d.get(ops_url(op_id="n")).json["ops"], [])

    def test_bad_parameters(self):
        d = self.start(None)
        limit_error = "limit: must be a number from 1 to 1000"
        cursor_error = "cursor: must be a next_cursor of an earlier answer"
        time_error = "must be an ISO 8601 time (with + sent as %2B), epoch seconds (10 digits) or milliseconds (13)"
        for query, error in (
                ("nope=1", "nope: unknown parameter"), ("cluster=1", "cluster: must be a cluster id (16 hex digits) or its first 4 digits or more"),
                ("limit=0", limit_error), ("limit=1001", limit_error),
                ("limit=ten", limit_error), ("limit=", "limit: must not be empty"),
                ("source", "source: must not be empty"), ("success=yes", "success: must be true or false"),
                ("since=soon", "since: " + time_error), ("until=2026-13-01", "until: " + time_error),
                ("since=1767225610123456", "since: " + time_error),  # microseconds
                ("seq=0", "seq: must be op numbers (seqs) separated by commas, at most 100"),
                ("cursor=5", cursor_error),
                ("cursor=a0", cursor_error),
                ("cursor=a05", cursor_error),
                ("cursor=aFF", cursor_error),
                ("source=a&source=b", "source: given twice"), ("q=%2", "q: invalid percent-escape"),
                ("q=%zz", "q: invalid percent-escape"),
                ("&".join("p%d=1" % i for i in range(40)), "p32: too many parameters: at most 32")):
            answer = d.get("/v1/observer/ops?" + query)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}), query)


if __name__ == "__main__":
    main()
