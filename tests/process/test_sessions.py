"""Session records through a real daemon: by every way in, beside ops, once, durable, asked for again."""

import json
import math
import os
import resource
import struct
import threading
import time
from urllib.parse import quote

from harness import Push, Req, main, pack, wait_until
from recount import RecoveryTest

SCHEMA = "session.iterate.v1"
FILE = "coordinator_sessions.jsonl"
ORDER = ["schema", "session_id", "timestamp", "daemon", "kind", "model", "provider", "prompt", "iterations",
         "max_iterations", "final_verdict", "attempts", "artifact", "grounded_in_roster", "duration_ms"]
OPTIONAL = {"artifact", "grounded_in_roster"}

# What the validator's Go struct takes, and what it takes of an attempt.
GO_SESSION = {"schema": str, "session_id": str, "timestamp": str, "daemon": str, "kind": str, "model": str, "provider": str,
              "prompt": str, "iterations": int, "max_iterations": int, "final_verdict": str, "attempts": list,
              "artifact": dict, "grounded_in_roster": bool, "duration_ms": int}
GO_ATTEMPT = {"iteration": int, "verdict_kind": str, "error": str, "span_id": str}

# Rows as that struct is written by Go's encoding/json.
GO_ROWS = [
    '{"schema":"session.iterate.v1","session_id":"go-1","timestamp":"2026-02-01T12:00:00.123456789Z","daemon":"validatord",'
    '"kind":"fill","model":"qwen3","provider":"ollama","prompt":"a \\u003cb\\u003e \\u0026 c","iterations":2,'
    '"max_iterations":3,"final_verdict":"accepted","attempts":[{"iteration":1,"verdict_kind":"validation_failed",'
    '"error":"no such name","span_id":"s1"},{"iteration":2,"verdict_kind":"accepted","span_id":"s2"}],'
    '"artifact":{"fills":[{"candidate_id":"C-1"}]},"grounded_in_roster":true,"duration_ms":5123}',
    '{"schema":"session.iterate.v1","session_id":"go-2","timestamp":"2026-02-01T14:00:01+02:00","daemon":"validatord",'
    '"kind":"email","model":"","provider":"","prompt":"","iterations":0,"max_iterations":3,"final_verdict":"infra_error",'
    '"attempts":null,"duration_ms":12}',
    '{"schema":"session.iterate.v1","session_id":"go-3","timestamp":"2026-02-01T12:00:02Z","daemon":"validatord",'
    '"kind":"playbook","model":"qwen3","provider":"ollama","prompt":"p","iterations":3,"max_iterations":3,'
    '"final_verdict":"max_iter_exhausted","attempts":[{"iteration":0,"verdict_kind":"no_json"}],"artifact":null,'
    '"duration_ms":9000,"tenant":"later","retries":{"n":1}}',
]


def session(n=0, **fields):
    return {"schema": SCHEMA, "session_id": "s%d" % n, "timestamp": "2026-01-01T%02d:%02d:%02dZ" % (n // 3600, n // 60 % 60,
            n % 60), "kind": ("fill", "email", "playbook")[n % 3], "model": "m%d" % (n % 4), "provider": "p%d" % (n % 2),
            "final_verdict": ("accepted", "max_iter_exhausted", "infra_error")[n % 3], "iterations": n % 5,
            "duration_ms": n, **fields}


def op(n, **fields):
    return {"endpoint": "/e%d" % (n % 3), "success": n % 2 == 0, "op_id": "o%d" % n, **fields}


class SessionTest(RecoveryTest):
    def path(self, daemon):
        return os.path.join(daemon.data_dir, FILE)

    def rows(self, daemon):
        with open(self.path(daemon), "rb") as f:
            content = f.read()
        self.assertTrue(content == b"" or content.endswith(b"\n"))
        return [json.loads(line) for line in content.split(b"\n")[:-1]]

    def ids(self, daemon):
        return [row["session_id"] for row in self.rows(daemon)]

    def wait_rows(self, daemon, count):
        wait_until(lambda: daemon.get("/health").json["sessions"] >= count, 20, "%d sessions" % count)
        self.assertEqual(daemon.get("/health").json["sessions"], count)

    def page(self, daemon, **params):
        url = "/v1/observer/sessions" + ("?" if params else "")
        answer = daemon.get(url + "&".join("%s=%s" % (k, quote(str(v))) for k, v in params.items()))
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def all_pages(self, daemon, **params):
        found, cursor = [], None
        while True:
            body = self.page(daemon, **params, **({"cursor": cursor} if cursor else {}))
            self.assertTrue(body["complete"])
            found += body["sessions"]
            cursor = body["next_cursor"]
            if cursor is None:
                numbers = [entry["number"] for entry in found]
                self.assertEqual(numbers, sorted(set(numbers), reverse=True))
                return [entry["session"] for entry in found]

    def stats(self, daemon):
        return daemon.get("/v1/observer/sessions/stats").json

    def check_go(self, row):
        """The row has the order of the table and unmarshals into the validator's struct."""
        known = [name for name in row if name in GO_SESSION]
        self.assertEqual(known, [name for name in ORDER if name in row])
        self.assertEqual(list(row)[: len(known)], known, "unknown fields stand behind")
        self.assertEqual(set(ORDER) - OPTIONAL - set(row), set())
        for name in known:
            self.assertIs(type(row[name]), GO_SESSION[name], name)
        for attempt in row["attempts"]:
            for name in GO_ATTEMPT:
                self.assertIs(type(attempt.get(name, GO_ATTEMPT[name]())), GO_ATTEMPT[name])

    def check_conservation(self, daemon):
        for name, n in daemon.get("/health").json["transports"].items():
            self.assertEqual(n["received"], n["recorded"] + n["duplicate"] + n["rejected"] + n["in_flight"], name)
            self.assertEqual(n["in_flight"], 0, name)


class Ways(SessionTest):
    def test_every_way_in(self):
        daemon = self.start()
        with daemon.push() as push, daemon.pub() as pub, daemon.req() as req:
            push.send(pack(session(0)))
            push.send(b"session\0" + pack({k: v for k, v in session(1).items() if k != "schema"}))
            push.send(json.dumps(session(2)).encode())
            push.send(b"op.anything\0" + pack([session(3), session(4)]))
            push.send(pack(session(5)) + pack(session(6)))
            self.wait_rows(daemon, 7)
            pub.send(b"session\0" + json.dumps([session(7), session(8)]).encode())
            self.wait_rows(daemon, 9)
            self.assertEqual(req.request(session(9)), {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": [], "seq": 0})
        for n, (path, body, kind) in enumerate((("/v1/observer/session", json.dumps(session(10)), "application/json"),
                                                ("/observer/session", pack(session(11)), "application/msgpack")), 11):
            answer = daemon.post(path, body, {"content-type": kind})
            self.assertEqual((answer.status, answer.body), (200, b'{"accepted":true}\n'))
            self.assertEqual(daemon.get("/health").json["sessions"], n)
        self.assertEqual(self.ids(daemon), ["s%d" % n for n in range(12)])
        for row in self.rows(daemon):
            self.check_go(row)
        health = daemon.get("/health").json
        self.assertEqual((health["seq"], health["ops_in_ring"]), (0, 0))
        self.assertEqual([health["transports"][t]["recorded"] for t in ("pull", "sub", "rep", "http")], [7, 2, 1, 2])
        self.assertEqual(daemon.journal_rows(), [])
        self.check_conservation(daemon)

    def test_mixed_batch(self):
        daemon = self.start()
        batch = [op(0), session(0), 5, session(1), op(1), session(2, final_verdict=""), op(2, endpoint="")]
        with daemon.req() as req:
            said = req.request(batch)
            self.assertEqual((said["accepted"], said["duplicates"], said["rejected"], said["seq"]), (4, 0, 3, 2))
            self.assertEqual(said["errors"], [{"index": 2, "error": "op: must be a map"},
                                              {"index": 5, "error": "final_verdict: required"},
                                              {"index": 6, "error": "endpoint: required"}])
            said = req.request([session(1), op(3), op(0), session(3), session(0)])
            self.assertEqual((said["accepted"], said["duplicates"], said["rejected"], said["seq"]), (2, 3, 0, 3))
            self.assertEqual(said["duplicate_ops"], [0, 2, 4])
        self.assertEqual(self.ids(daemon), ["s0", "s1", "s3"])
        self.assertEqual([row["op_id"] for row in self.check_recount(daemon)], ["o0", "o1", "o3"])
        n = daemon.get("/health").json["transports"]["rep"]
        self.assertEqual((n["received"], n["recorded"], n["duplicate"], n["rejected"]), (12, 6, 3, 3))
        self.assertEqual([(r["index"], r["reason"]) for r in daemon.rejected_rows()],
                         [(e["index"], e["error"]) for e in
                          ({"index": 2, "error": "op: must be a map"}, {"index": 5, "error": "final_verdict: required"},
                           {"index": 6, "error": "endpoint: required"})])
        daemon.restart()
        self.check_recount(daemon)
        self.assertEqual(daemon.get("/health").json["sessions"], 3)

    def test_http_answers(self):
        daemon = self.start()
        post = lambda body, **kw: daemon.post("/v1/observer/session", body, **kw)
        self.assertEqual(post(session(1)).json, {"accepted": True})
        self.assertEqual(post(session(1)).json, {"accepted": True, "duplicate": True})
        self.assertEqual(post([session(1), session(2), 7]).json,
                         {"accepted": True, "count": 2, "duplicates": 1, "rejected": 1,
                          "errors": [{"index": 2, "error": "session: must be a map"}]})
        lines = "".join(json.dumps(session(n)) + "\n" for n in (3, 4)).encode()
        answer = post(lines, headers={"content-type": "application/x-ndjson"})
        self.assertEqual(answer.json, {"accepted": True, "count": 2, "rejected": 0, "errors": []})
        for body, error in (({}, "final_verdict: required"), (session(5, kind=5), "kind: must be a string"),
                            (session(5, schema="session.iterate.v2"), "schema: must be session.iterate.v1"),
                            (op(1), "final_verdict: required of a session record (a map with an endpoint is an op: "
                                    "POST it to event)")):
            answer = post(body)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}))
        answer = post("nonsense")
        self.assertEqual((answer.status, answer.json["error"]), (400, "json: unexpected character at byte 1"))
        answer = post([op(1)])
        self.assertEqual((answer.status, answer.json["count"], answer.json["rejected"]), (400, 0, 1))
        self.assertEqual(post({"final_verdict": "accepted", "daemon": None}).json, {"accepted": True})
        self.assertEqual(self.rows(daemon)[-1]["daemon"], "validatord")
        self.assertEqual(daemon.get("/v1/observer/session").status, 405)
        self.assertEqual(daemon.get("/session").status, 404)
        answer = daemon.post("/v1/observer/event", op(7))  # ops go where they went
        self.assertEqual(answer.json, {"accepted": True, "ring_size": 1})
        self.assertEqual(len(self.rows(daemon)), 5)
        self.check_conservation(daemon)

    def test_ephemeral(self):
        daemon = self.start(None)
        with daemon.req() as req:
            self.assertEqual(req.request([session(n) for n in range(1500)])["accepted"], 1500)
            self.assertEqual(req.request([session(n) for n in range(1499, 1502)])["duplicates"], 1)
        self.assertEqual(daemon.get("/health").json["sessions"], 1502)
        self.assertEqual(self.stats(daemon)["total"], 1502)
        got = self.all_pages(daemon, limit=64)
        self.assertEqual([s["session_id"] for s in got], ["s%d" % n for n in range(1501, 501, -1)])
        self.assertEqual(len(self.all_pages(daemon, kind="email")), 334)
        self.assertEqual(sorted(os.listdir(daemon.work_dir)), ["stderr.1", "stdout.1"])

    def test_hostile_records(self):
        daemon = self.start()
        nan, inf = struct.pack(">d", math.nan), struct.pack(">d", math.inf)
        head = b"\x83" + pack("schema") + pack(SCHEMA) + pack("final_verdict") + pack("x")
        cases = [
            (head + pack("duration_ms") + b"\xcb" + nan, "duration_ms: must be finite"),
            (head + pack("iterations") + b"\xcb" + inf, "iterations: must be finite"),
            (head + pack("duration_ms") + pack(-1), "duration_ms: must not be negative"),
            (head + pack("artifact") + pack([1]), "artifact: must be a map"),
            (head + pack("artifact") + b"\x81\x01\x02", "artifact: map key must be a string"),
            (head + pack("attempts") + pack([{"iteration": "x"}]), "attempts[0].iteration: must be an integer"),
            (head + pack("attempts") + b"\xdd\xff\xff\xff\xff", "msgpack: truncated at byte %d"),
            (head + pack("prompt") + b"\xa2\xc3\x28", "prompt: must be valid UTF-8"),
            (head + pack("prompt") + pack("x" * 65537), "prompt: longer than 65536 bytes"),
            (head + pack("artifact") + b"\x81" + pack("a") + b"\x91" * 200 + b"\x01", "artifact: nested deeper than 8 levels"),
            (pack({**session(1), **{"k%d" % n: 1 for n in range(65)}}), "session: more than 64 unknown fields"),
            (pack(session(1, **{"k%d" % n: "x" * 60000 for n in range(5)})), "session: larger than 262144 bytes"),
            (head + pack("attempts") + pack([{}] * 10000), "session: larger than 262144 bytes"),  # as a row
            (b'{"schema":"session.iterate.v1","final_verdict":"x","schema":"session.iterate.v1"}', "schema: duplicate key"),
            (b'{"schema":"session.iterate.v1","final_verdict":"x"', "json: truncated at byte 50"),
            (b'{"schema":"session.iterate.v1","final_verdict":"x","kind":"\\ud800"}', "kind: must be valid UTF-8"),
            (b'{"schema":"session.iterate.v1","final_verdict":"x","iterations":1e400}', "iterations: must be finite"),
        ]
        with daemon.req() as req:
            for body, reason in cases:
                said = req.request(body)
                self.assertEqual((said["accepted"], said["rejected"]), (0, 1), reason)
                self.assertEqual(said["errors"][0]["error"], reason % len(body) if "%d" in reason else reason)
            said = req.request(session(1, prompt="é" * 3000, artifact={"deep": [[[[[[[1]]]]]]]},
                                       attempts=[{"error": "e" * 60000}], final_verdict="a verdict of tomorrow"))
            self.assertEqual(said["accepted"], 1)
        row, = self.rows(daemon)
        self.assertEqual((row["prompt"], len(row["attempts"][0]["error"])), ("é" * 2000, 60000))
        self.assertEqual(len(daemon.rejected_rows()), len(cases))
        self.assertEqual(self.stats(daemon)["by_verdict"], {"a verdict of tomorrow": 1})
        self.check_conservation(daemon)


class Questions(SessionTest):
    def test_filters(self):
        daemon = self.start()
        records = [session(n, **({} if n % 4 == 0 else {"grounded_in_roster": n % 4 == 1})) for n in range(240)]
        records[17]["model"] = 'm é"/'
        with daemon.req() as req:
            self.assertEqual(req.request(records)["accepted"], 240)
        for again in range(2):
            for params, keep in (
                    ({}, lambda s: True), ({"kind": "email"}, lambda s: s["kind"] == "email"),
                    ({"kind": "emai"}, lambda s: False), ({"model": "m3"}, lambda s: s["model"] == "m3"),
                    ({"model": 'm é"/'}, lambda s: s is records[17]), ({"provider": "p1"}, lambda s: s["provider"] == "p1"),
                    ({"final_verdict": "infra_error"}, lambda s: s["final_verdict"] == "infra_error"),
                    ({"grounded": "true"}, lambda s: s.get("grounded_in_roster") is True),
                    ({"grounded": "false"}, lambda s: s.get("grounded_in_roster") is False),
                    ({"since": "2026-01-01T00:01:10Z"}, lambda s: s["timestamp"] >= "2026-01-01T00:01:10Z"),
                    ({"until": "2026-01-01T00:01:10Z"}, lambda s: s["timestamp"] <= "2026-01-01T00:01:10Z"),
                    ({"since": 1767225610000, "until": "2026-01-01T02:00:12+02:00"},
                     lambda s: "2026-01-01T00:00:10Z" <= s["timestamp"] <= "2026-01-01T00:00:12Z"),
                    ({"kind": "fill", "provider": "p0", "grounded": "false", "until": "2026-01-01T00:03:00Z"},
                     lambda s: s["kind"] == "fill" and s["provider"] == "p0" and s.get("grounded_in_roster") is False
                     and s["timestamp"] <= "2026-01-01T00:03:00Z")):
                want = [s["session_id"] for s in reversed(records) if keep(s)]
                self.assertEqual([s["session_id"] for s in self.all_pages(daemon, limit=1000, **params)], want, params)
                self.assertEqual([s["session_id"] for s in self.all_pages(daemon, limit=7, **params)], want, params)
            daemon.restart()
        answer = daemon.get("/observer/sessions?limit=1")
        with open(self.path(daemon), "rb") as f:
            last = f.read().split(b"\n")[-2]
        self.assertEqual(answer.body, b'{"sessions":[{"number":240,"session":%s}],"next_cursor":"af0","complete":true}\n' % last)
        self.assertEqual(len(self.page(daemon)["sessions"]), 100)

    def test_bad_parameters(self):
        daemon = self.start(None)
        limit = "limit: must be a number from 1 to 1000"
        cursor = "cursor: must be a next_cursor of an earlier answer"
        when = "must be an ISO 8601 time (with + sent as %2B), epoch seconds (10 digits) or milliseconds (13)"
        for query, error in (("nope=1", "nope: unknown parameter"), ("source=mcp", "source: unknown parameter"),
                             ("limit=0", limit), ("limit=1001", limit), ("cursor=5", cursor), ("cursor=a0", cursor),
                             ("grounded=yes", "grounded: must be true or false"), ("kind=", "kind: must not be empty"),
                             ("since=soon", "since: " + when), ("until=2026-13-01", "until: " + when),
                             ("kind=a&kind=b", "kind: given twice"), ("model=%2", "model: invalid percent-escape")):
            answer = daemon.get("/v1/observer/sessions?" + query)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}), query)

    def test_pages_while_sessions_arrive(self):
        daemon = self.start()
        total = 6000
        with daemon.req() as req:
            for start in range(0, total, 1000):
                self.assertEqual(req.request([session(n, prompt="x" * 200) for n in range(start, start + 1000)])["accepted"],
                                 1000)
            seen, cursor, extra = [], None, total
            while True:
                body = self.page(daemon, limit=700, **({"cursor": cursor} if cursor else {}))
                seen += [entry["number"] for entry in body["sessions"]]
                self.assertEqual([e["session"]["session_id"] for e in body["sessions"]],
                                 ["s%d" % (e["number"] - 1) for e in body["sessions"]])
                req.request([session(extra), session(extra + 1)])
                extra += 2
                cursor = body["next_cursor"]
                if cursor is None:
                    break
        self.assertEqual(seen, list(range(total, 0, -1)))

    def test_big_pages_end_early(self):
        daemon = self.start()
        for n in range(3):
            with daemon.req() as req:
                req.request([session(100 * n + k, artifact={"text": "x" * 60000}) for k in range(40)])
        body = self.page(daemon, limit=1000)
        self.assertFalse(body["complete"])
        shown = len(body["sessions"])
        self.assertTrue(15 < shown < 20, shown)
        while not body["complete"]:
            body = self.page(daemon, limit=1000, cursor=body["next_cursor"])
            self.assertTrue(0 < len(body["sessions"]) < 20)
            shown += len(body["sessions"])
        self.assertEqual((shown, body["next_cursor"]), (120, None))

    def test_stats(self):
        daemon = self.start()
        self.assertEqual(self.stats(daemon)["mean_iterations"], None)
        records = [session(n, attempts=[{"iteration": 1, "verdict_kind": "no_json"}] * (n % 3) + [
            {"iteration": 9, "verdict_kind": "accepted"}], **({"grounded_in_roster": n % 2 == 0} if n % 5 else {}))
            for n in range(200)]
        with daemon.req() as req:
            self.assertEqual(req.request(records)["accepted"], 200)
        count = lambda name: {v: sum(r[name] == v for r in records) for v in {r[name] for r in records}}
        say = [r["grounded_in_roster"] for r in records if "grounded_in_roster" in r]
        for again in range(2):
            stats = self.stats(daemon)
            durations = stats.pop("duration_ms")
            self.assertEqual(stats, {
                "total": 200, "by_verdict": count("final_verdict"), "by_kind": count("kind"), "by_model": count("model"),
                "by_provider": count("provider"), "mean_iterations": 2, "attempts": 200 + sum(n % 3 for n in range(200)),
                "attempt_verdicts": {"accepted": 200, "no_json": sum(n % 3 for n in range(200))},
                "grounded": sum(say), "grounded_of": len(say), "grounded_share": sum(say) / len(say),
                "relative_error": 0.01})
            self.assertEqual(durations["max"], 199)
            for key, exact in (("p50", 100), ("p90", 180), ("p99", 198)):  # of 1 to 199: 0 is not measured
                self.assertTrue(abs(durations[key] - exact) <= exact * 0.01, durations)
            daemon.restart(kill=True)
        self.assertEqual(daemon.get("/observer/sessions/stats").json, self.stats(daemon))

    def test_rows_of_the_validator(self):
        os.mkdir(os.path.join(self.tmp, "data"))
        path = os.path.join(self.tmp, "data", FILE)
        with open(path, "w", encoding="utf-8") as f:
            f.write(GO_ROWS[0] + "\nrubbish\n" + GO_ROWS[1] + "\n" + GO_ROWS[2] + "\n" + GO_ROWS[0][:90])
        with open(path, "rb") as f:
            before = f.read()[:-90]
        daemon = self.start()
        self.assertIn("coordinator_sessions.jsonl line 2: bad row", daemon.stderr())
        self.assertIn("torn last row", daemon.stderr())
        self.assertEqual(self.all_pages(daemon), [json.loads(row) for row in reversed(GO_ROWS)])
        self.assertEqual([s["session_id"] for s in self.all_pages(daemon, since="2026-02-01T12:00:00.123Z",
                                                                  until="2026-02-01T12:00:01Z")], ["go-2", "go-1"])
        self.assertEqual(len(self.all_pages(daemon, grounded="true")), 1)
        stats = self.stats(daemon)
        self.assertEqual((stats["total"], stats["attempts"], stats["grounded_share"], stats["mean_iterations"]),
                         (3, 3, 1, 1.666666667))
        with daemon.req() as req:
            self.assertEqual(req.request(session(1))["accepted"], 1)
        daemon.restart()
        with open(path, "rb") as f:
            self.assertEqual(f.read()[: len(before)], before, "older rows stay as they were")
        self.assertEqual(daemon.get("/health").json["sessions"], 4)


class Durable(SessionTest):
    def test_kill(self):
        """What was acknowledged is there, once, whatever the moment of the kill; beside it the ops are what they were."""
        daemon = self.start()
        acknowledged, wrong, stop = [], [], threading.Event()
        gate = threading.Condition()
        state = {"url": daemon.url("rep"), "run": 0}

        def produce(name):
            number, run = 0, 0
            while not stop.is_set():
                with gate:
                    run = state["run"]
                    url = state["url"]
                try:
                    with Req(url) as req:
                        while not stop.is_set():
                            n = number * 3
                            batch = [session(n, session_id="%s-%d" % (name, n)), op(n, op_id="%s-%d" % (name, n)),
                                     session(n + 1, session_id="%s-%d" % (name, n + 1))]
                            said = req.request(batch)
                            if said["accepted"] + said["duplicates"] != 3:
                                if said.get("retry"):
                                    continue
                                wrong.append(said)
                                return
                            acknowledged.append((name, n))
                            number += 1
                except OSError:
                    with gate:
                        gate.wait_for(lambda: state["run"] != run or stop.is_set(), 60)

        threads = [threading.Thread(target=produce, args=("t%d" % n,), daemon=True) for n in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(6):
            done = len(acknowledged)
            wait_until(lambda: len(acknowledged) > done + 30, 20, "some to be acknowledged")
            daemon.kill()
            daemon.start()
            with gate:
                state["url"], state["run"] = daemon.url("rep"), state["run"] + 1
                gate.notify_all()
        stop.set()
        with gate:
            gate.notify_all()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        ids = self.ids(daemon)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual({"%s-%d" % (name, n + k) for name, n in acknowledged for k in (0, 1)} - set(ids), set())
        op_ids = [row["op_id"] for row in self.check_recount(daemon)]
        self.assertEqual(len(op_ids), len(set(op_ids)))
        self.assertEqual({"%s-%d" % a for a in acknowledged} - set(op_ids), set())
        self.assertEqual(daemon.get("/health").json["sessions"], len(ids))
        self.assertEqual(self.stats(daemon)["total"], len(ids))
        daemon.restart()
        self.assertEqual(self.ids(daemon), ids)

    def limit(self, daemon, extra=None):
        """No file may grow beyond the sessions' present size plus `extra`, as on a full disk; None: no limit."""
        size = resource.RLIM_INFINITY if extra is None else os.path.getsize(self.path(daemon)) + extra
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def test_full_disk(self):
        daemon = self.start()
        with daemon.req() as req:
            for n in range(20):
                self.assertEqual(req.request([session(n * 50 + k, prompt="x" * 300) for k in range(50)])["accepted"], 50)
            req.request([op(n) for n in range(5)])
            self.limit(daemon, 100)
            before = self.rows(daemon)
            answer = daemon.post("/v1/observer/session", session(5000))
            self.assertEqual((answer.status, "retry-after" in answer.headers), (503, True))
            self.assertIn("coordinator_sessions.jsonl: File too large", answer.json["error"])
            said = req.request([op(100), session(5001), 4, op(101)])
            self.assertEqual((said["accepted"], said["duplicates"], said["rejected"], said["retry"]), (0, 0, 4, True))
            self.assertEqual([e["index"] for e in said["errors"]], [0, 1, 3, 2])
            self.assertEqual(daemon.get("/readyz").status, 503)
            with daemon.push() as push:
                push.send(pack([session(5002), op(102)]))
                time.sleep(0.3)
                self.assertEqual((len(self.rows(daemon)), len(daemon.journal_rows())), (1000, 5))
                self.assertEqual(daemon.get("/health").json["sessions"], 1000)
                self.limit(daemon)
                self.wait_rows(daemon, 1001)
            wait_until(lambda: daemon.get("/readyz").status == 200, 10, "ready again")
            said = req.request([op(100), session(5001), op(101)])
            self.assertEqual((said["accepted"], said["duplicates"]), (3, 0))
        self.assertEqual(daemon.post("/v1/observer/session", session(5000)).json, {"accepted": True})
        self.assertEqual(self.rows(daemon)[:1000], before)
        self.assertEqual(self.ids(daemon)[1000:], ["s5002", "s5001", "s5000"])
        self.assertEqual(len(self.check_recount(daemon)), 8)
        self.check_conservation(daemon)
        daemon.restart()
        self.assertEqual(daemon.get("/health").json["sessions"], 1003)

    def test_window_survives_a_restart(self):
        daemon, window, beyond = self.start(), 65536, 1000
        with daemon.req(timeout=60) as req:
            for start in range(0, window + beyond, 8317):
                end = min(start + 8317, window + beyond)
                req.request(json.dumps([session(n) for n in range(start, end)]).encode())
        daemon.restart(kill=True)
        with daemon.req() as req:
            said = req.request([session(n) for n in (window + beyond - 1, beyond, beyond - 1)])
            self.assertEqual((said["duplicates"], said["duplicate_ops"]), (2, [0, 1]))

    def test_the_largest_message_again(self):
        daemon = self.start()
        message = json.dumps([session(n) for n in range(10000)]).encode()
        with daemon.req(timeout=60) as req:
            for accepted in (10000, 0):
                said = req.request(message)
                self.assertEqual((said["accepted"], said["duplicates"]), (accepted, 10000 - accepted))
        self.assertEqual(len(self.rows(daemon)), 10000)

    def test_fsync_modes(self):
        for mode in ("interval:50", "never"):
            with self.subTest(mode=mode):
                daemon = self.start(data_dir=mode.replace(":", "-"), args=["--fsync", mode])
                with Push(daemon.url("pull")) as push:
                    push.send(pack([session(n) for n in range(50)] + [op(n) for n in range(50)]))
                    self.wait_rows(daemon, 50)
                daemon.restart(kill=True)
                self.assertEqual(len(self.rows(daemon)), 50)
                self.assertEqual(len(self.check_recount(daemon)), 50)

    def test_one_name_one_file(self):
        code, stderr = self.make(args=["--journal-name", FILE]).run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn(FILE + ": cannot be the name of a journal", stderr)


if __name__ == "__main__":
    main()
