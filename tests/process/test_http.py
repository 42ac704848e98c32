"""The HTTP bridge of a real observerd: routes and shapes, errors, framing that must not be misread, paging."""

import http.client
import json
import os
import re
import socket
import subprocess
import threading
import time
from urllib.parse import quote, urlsplit

from harness import OBSERVERD, ROOT, SLOW, DaemonTest, main, pack

FAMILIES = ("", "/observer", "/v1/observer")
OP = {"endpoint": "/a", "success": True}


def ops_url(**params):
    return "/v1/observer/ops?" + "&".join("%s=%s" % (k, quote(str(v))) for k, v in params.items())


class Raw:
    """A bare TCP connection, to send what no HTTP client would."""

    def __init__(self, daemon, n=0):
        parts = urlsplit(daemon.url("http", n))
        self.sock = socket.create_connection((parts.hostname, parts.port), 10 * SLOW)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        return data != b""

    def answer(self, head=False):
        """The next answer: status, headers, body. None when the connection ends first."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                assert self.buffer == b"", self.buffer
                return None
        top, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = top.decode().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        size = 0 if head else int(headers.get("content-length", 0))
        while len(self.buffer) < size:
            assert self.more(), "the connection ended inside a body"
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return int(lines[0].split()[1]), headers, body

    def rest(self, half_close=True):
        """Every answer until the server closes. Says that no more will be sent, or the server drains for a second."""
        found = []
        if half_close:
            self.sock.shutdown(socket.SHUT_WR)
        while True:
            answer = self.answer()
            if answer is None:
                return found
            found.append(answer)


class Views(DaemonTest):
    def test_health(self):
        d = self.start(None)
        for n, family in enumerate(FAMILIES):
            status, headers, body = d.get(family + "/health")
            self.assertEqual(status, 200)
            self.assertEqual(headers["content-type"], "application/json")
            self.assertEqual(list(body), ["status", "ops_in_ring", "version", "seq", "uptime_s"])
            self.assertEqual((body["status"], body["ops_in_ring"], body["seq"]), ("ok", n, n))
            self.assertEqual(d.post("/event", {"ok": True}).status, 200)

    def test_stats_shapes(self):
        d = self.start(None)
        empty = {"total": 0, "successes": 0, "failures": 0, "by_source": {}, "recent_scenario_ops": []}
        for family in FAMILIES:
            self.assertEqual(d.get(family + "/stats").json, empty)
        when = "2026-01-02T03:04:05.678Z"
        d.post("/event", {"timestamp": when, "success": True, "staffer_id": "s1"})
        d.post("/v1/observer/event", {"endpoint": "/x", "success": False})
        want = {"total": 2, "successes": 1, "failures": 1, "by_source": {"mcp": 1, "scenario": 1}}
        legacy = {"ts": when, "ok": True, "staffer": "s1"}
        self.assertEqual(d.get("/stats").json, {**want, "recent_scenario_ops": [legacy]})
        for family in FAMILIES[1:]:
            full = {**legacy, "kind": "", "role": ""}
            self.assertEqual(d.get(family + "/stats").json, {**want, "recent_scenario_ops": [full]})

    def test_recent_scenario_ops_are_the_last_ten_oldest_first(self):
        d = self.start(None)
        d.post("/event", [{"event_kind": "k%d" % i, "success": True} for i in range(15)])
        kinds = [op["kind"] for op in d.get("/stats").json["recent_scenario_ops"]]
        self.assertEqual(kinds, ["k%d" % i for i in range(5, 15)])

    def test_probes(self):
        d = self.start()
        self.assertEqual((d.get("/livez").status, d.get("/livez").json), (200, {"status": "ok"}))
        self.assertEqual((d.get("/readyz").status, d.get("/readyz").json), (200, {"status": "ready"}))
        self.assertEqual(d.get("/v1/observer/livez").status, 404)

    def test_summary(self):
        d = self.start(None)
        d.post("/v1/observer/event", [{"endpoint": "/a", "success": i != 0, "duration_ms": 100} for i in range(4)])
        for path in ("/observer/summary", "/v1/observer/summary", "/v1/observer/summary?scope=instance"):
            status, _, body = d.get(path)
            self.assertEqual(status, 200)
            self.assertEqual(sorted(body["windows"]), ["1h", "1m", "5m"])
            for period in (body["lifetime"], *body["windows"].values()):
                got = period["by_endpoint"]["/a"]
                self.assertEqual((got["total"], got["successes"], got["failures"]), (4, 3, 1))
                self.assertAlmostEqual(got["duration_ms"]["p50"], 100, delta=1.0)
        for query, error in (("scope=cluster", "scope: only `instance` is served"), ("x=1", "x: unknown parameter"),
                             ("scope=instance&scope=instance", "scope: given twice")):
            self.assertEqual(tuple(d.get("/v1/observer/summary?" + query))[::2], (400, {"error": error}))

    def test_queries_of_plain_routes_are_ignored(self):
        d = self.start(None)
        for path in ("/health", "/stats", "/livez", "/readyz"):
            self.assertEqual(d.get(path + "?_=17&verbose").status, 200, path)

    def test_head(self):
        d = self.start(None)
        with Raw(d) as raw:
            for path in ("/health", "/stats", "/observer/summary", "/v1/observer/ops", "/livez", "/readyz"):
                raw.send("HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
                status, headers, _ = raw.answer(head=True)
                self.assertEqual(status, 200)
                self.assertGreater(int(headers["content-length"]), 10)
            raw.send("HEAD /nope HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(raw.answer(head=True)[0], 404)
            self.assertEqual(raw.rest(), [])

    def test_several_listeners(self):
        d = self.start(None, http=["http://127.0.0.1:0", "http://127.0.0.1:0"])
        self.assertEqual(len(set(d.urls["http"])), 2)
        for n in range(2):
            with Raw(d, n) as raw:
                raw.send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertEqual([a[0] for a in raw.rest()], [200])

    def test_port_in_use(self):
        d = self.start(None)
        url = d.url("http")
        code, stderr = self.make(None, http=url).run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn(url + ": address in use", stderr)


class Contract(DaemonTest):
    def test_routes_and_openapi_agree(self):
        printed = set()
        for line in subprocess.check_output([OBSERVERD, "--routes"], text=True).splitlines():
            method, path, codes = line.split()
            printed.add((method, path, tuple(codes.split(","))))
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            document = json.load(f)
        described = set()
        for path, item in document["paths"].items():
            for method, operation in item.items():
                described.add((method.upper(), path, tuple(operation["responses"])))
        self.assertEqual(described, printed)

    def test_references_of_the_document_resolve(self):
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            text = f.read()
        document = json.loads(text)
        for ref in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
            node = document
            for part in ref.split("/"):
                node = node[part]

    def test_parameters_of_the_document_are_taken(self):
        d = self.start(None)
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            document = json.load(f)
        samples = {"success": "true", "since": "2026-01-01", "until": "1700000000000", "limit": "5", "cursor": "a5",
                   "scope": "instance"}
        for path, item in document["paths"].items():
            for parameter in item.get("get", {}).get("parameters", []):
                name = parameter["name"]
                answer = d.get("%s?%s=%s" % (path, name, samples.get(name, "x")))
                self.assertEqual(answer.status, 200, (path, name, answer))

    def test_answers_have_the_described_members(self):
        d = self.start(None)
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            document = json.load(f)
        schemas = document["components"]["schemas"]
        d.post("/event", OP)
        for path, item in document["paths"].items():
            if "get" in item:
                schema = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
                described = schemas[schema.split("/")[-1]]
                body = d.get(path).json
                self.assertEqual(set(described["required"]) - set(body), set(), path)
                self.assertEqual(set(body) - set(described["properties"]), set(), path)


class Events(DaemonTest):
    def test_one(self):
        d = self.start(None)
        for n, family in enumerate(FAMILIES, 1):
            answer = d.post(family + "/event", OP)
            self.assertEqual((answer.status, answer.body), (200, b'{"accepted":true,"ring_size":%d}' % n))

    def test_duplicate(self):
        d = self.start()
        op = {**OP, "op_id": "p-1"}
        self.assertEqual(d.post("/v1/observer/event", op).json, {"accepted": True, "ring_size": 1})
        again = {"accepted": True, "duplicate": True, "ring_size": 1}
        self.assertEqual(d.post("/v1/observer/event", op).json, again)
        many = d.post("/v1/observer/event", [op, {**OP, "op_id": "p-2"}]).json
        self.assertEqual(many, {"accepted": True, "count": 2, "duplicates": 1, "rejected": 0, "errors": [],
                                "ring_size": 2})
        self.assertEqual(len(d.journal_rows()), 2)

    def test_profiles(self):
        d = self.start()
        self.assertEqual(d.post("/event", {"ok": True}).status, 200)
        for family in FAMILIES[1:]:
            for op in ({}, {"endpoint": ""}):
                answer = d.post(family + "/event", op)
                self.assertEqual((answer.status, answer.json), (400, {"error": "endpoint: required"}))
            self.assertEqual(d.post(family + "/event", OP).status, 200)
        rows = d.journal_rows()
        self.assertEqual([(r["endpoint"], r["source"]) for r in rows],
                         [("scenario:fill", "scenario"), ("/a", "mcp"), ("/a", "mcp")])

    def test_rejected_one(self):
        d = self.start(None)
        for body, error in (('{"endpoint":"/a","duration_ms":-1}', "duration_ms: must not be negative"),
                            ('{"endpoint":5}', "endpoint: must be a string"),
                            ('{"endpoint":"/a","endpoint":"/b"}', "endpoint: duplicate key")):
            answer = d.post("/v1/observer/event", body)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}))
            self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(d.stats()["total"], 0)

    def test_broken_and_empty(self):
        d = self.start(None)
        for body, error in (("", "message: empty"), ("  \n", "message: empty"), ('{"endpoint":', "json: truncated at byte 12"),
                            ("[1]", "op: must be a map")):
            answer = d.post("/v1/observer/event", body)
            self.assertEqual((answer.status, answer.json["error"]), (400, error), body)
        self.assertEqual(d.post("/v1/observer/event", "[]").json,
                         {"accepted": True, "count": 0, "rejected": 0, "errors": [], "ring_size": 0})

    def test_many(self):
        d = self.start(None)
        bad = {"endpoint": "/b", "duration_ms": "x"}
        errors = [{"index": 1, "error": "duration_ms: must be a number"}]
        want = {"accepted": True, "count": 2, "rejected": 1, "errors": errors, "ring_size": 2}
        self.assertEqual(d.post("/v1/observer/event", [OP, bad, OP]).json, want)
        lines = "\n".join(map(json.dumps, (OP, bad, OP))) + "\n"
        answer = d.post("/v1/observer/event", lines, {"content-type": "application/x-ndjson"})
        self.assertEqual(answer.json, {**want, "ring_size": 4})
        answer = d.post("/v1/observer/event", lines)
        self.assertEqual(answer.json, {**want, "ring_size": 6})

    def test_ndjson_of_one_line_is_a_batch(self):
        d = self.start(None)
        answer = d.post("/event", json.dumps(OP) + "\n", {"content-type": "application/x-ndjson; charset=utf-8"})
        self.assertEqual(answer.json, {"accepted": True, "count": 1, "rejected": 0, "errors": [], "ring_size": 1})

    def test_nothing_accepted_of_many(self):
        d = self.start(None)
        answer = d.post("/v1/observer/event", [{}, {}])
        errors = [{"index": i, "error": "endpoint: required"} for i in range(2)]
        self.assertEqual((answer.status, answer.json),
                         (400, {"error": "endpoint: required", "accepted": False, "count": 0, "rejected": 2,
                                "errors": errors, "ring_size": 0}))

    def test_errors_listed_are_capped(self):
        d = self.start(None)
        body = d.post("/v1/observer/event", [{}] * 150 + [OP]).json
        self.assertEqual((body["accepted"], body["count"], body["rejected"]), (True, 1, 150))
        self.assertEqual([e["index"] for e in body["errors"]], list(range(100)))

    def test_content_types(self):
        d = self.start(None)
        for name, body in (("application/msgpack", pack(OP)), ("application/x-msgpack", pack(OP)),
                           ("application/vnd.msgpack", pack(OP)), ("application/x-www-form-urlencoded", json.dumps(OP)),
                           ("application/octet-stream", pack(OP)), ("Application/JSON; charset=utf-8", json.dumps(OP)),
                           ("text/plain", json.dumps(OP))):
            answer = d.post("/v1/observer/event", body, {"content-type": name})
            self.assertEqual((answer.status, answer.json["accepted"]), (200, True), name)
        answer = d.post("/v1/observer/event", pack([OP, OP]), {"content-type": "application/msgpack"})
        self.assertEqual((answer.json["count"], answer.json["ring_size"]), (2, 9))
        answer = d.post("/v1/observer/event", pack(OP), {"content-type": "application/json"})
        self.assertEqual(answer.status, 400)

    def test_durable_when_answered(self):
        d = self.start()
        for i in range(20):
            self.assertEqual(d.post("/event", {**OP, "op_id": str(i)}).status, 200)
            self.assertEqual(len(d.journal_lines()), i + 1)
        d.restart(kill=True)
        self.assertEqual(d.stats()["total"], 20)

    def test_many_posters_at_once(self):
        d = self.start()
        failed = []

        def post(n):
            conn = d.connect()
            for i in range(50):
                conn.request("POST", "/event", json.dumps({**OP, "op_id": "%d-%d" % (n, i)}),
                             {"content-type": "application/json"})
                answer = conn.getresponse()
                body = answer.read()
                if answer.status != 200:
                    failed.append(body)
            conn.close()

        threads = [threading.Thread(target=post, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        self.assertEqual(len({r["op_id"] for r in d.journal_rows()}), 400)
        self.assertEqual(len(d.journal_rows()), 400)


class Errors(DaemonTest):
    def test_unknown_paths(self):
        d = self.start(None)
        for path in ("/", "/nope", "/stats/", "/observer", "/observer/", "/v1/observer/", "/v1/observer/nope", "/v1/stats",
                     "/observer/livez", "//stats", "/summary", "/ops"):
            answer = d.get(path)
            self.assertEqual((answer.status, answer.json), (404, {"error": "not found"}), path)
            self.assertEqual(answer.headers["connection"], "close")

    def test_wrong_methods(self):
        d = self.start(None)
        for method, path, allow in (("POST", "/stats", "GET, HEAD"), ("PUT", "/v1/observer/ops", "GET, HEAD"),
                                    ("DELETE", "/livez", "GET, HEAD"), ("OPTIONS", "/stats", "GET, HEAD"),
                                    ("GET", "/event", "POST"), ("HEAD", "/observer/event", "POST"),
                                    ("get", "/stats", "GET, HEAD"), ("PATCH", "/v1/observer/event", "POST")):
            answer = d.request(method, path)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, allow), (method, path))
            self.assertEqual(answer.headers["connection"], "close")
            if method != "HEAD":
                self.assertEqual(answer.json, {"error": "method not allowed"})

    def refused(self, daemon, request, status, error):
        """One error, and the connection ends; nothing behind it is taken for a request."""
        with Raw(daemon) as raw:
            raw.send(request)
            answers = raw.rest()
        self.assertEqual([(a[0], json.loads(a[2])) for a in answers], [(status, {"error": error})], request[:200])
        self.assertEqual(answers[0][1]["connection"], "close")

    def test_heads_that_are_refused(self):
        d = self.start(None)
        stats = "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"
        head = "POST /event HTTP/1.1\r\nHost: x\r\n"
        length = "content-length: must be a number of bytes"
        chunked = "transfer-encoding: not supported; send content-length"
        spaced = "header: white space around its name"
        for lines, status, error in (
                ("", 411, "content-length: required"), ("Content-Length: x\r\n", 400, length),
                ("Content-Length: -1\r\n", 400, length), ("Content-Length: +5\r\n", 400, length),
                ("Content-Length: 5, 5\r\n", 400, length), ("Content-Length: 0x10\r\n", 400, length),
                ("Content-Length:\r\n", 400, length), ("Content-Length: 5\r\nContent-Length: 5\r\n", 400, length),
                ("Content-Length: 99999999999999999999999\r\n", 400, length),
                ("Content-Length: 18446744073709551616\r\n", 400, length),
                ("Content-Length: 4194305\r\n", 413, "message: larger than 4194304 bytes"),
                ("Content-Length: 9223372036854775807\r\n", 413, "message: larger than 4194304 bytes"),
                ("Transfer-Encoding: chunked\r\n", 501, chunked), ("Transfer-Encoding: identity\r\n", 501, chunked),
                ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 501, chunked),
                ("tRANSFER-eNCODING: x\r\n", 501, chunked), ("Content-Length : 5\r\n", 400, spaced),
                (" Content-Length: 5\r\n", 400, spaced), ("Transfer-Encoding : chunked\r\n", 400, spaced),
                ("Host: y\r\nContent-Length: 0\r\n", 400, "host: given twice"),
                ("Expect: payment\r\nContent-Length: 0\r\n", 417, "expect: only 100-continue is met")):
            self.refused(d, head + lines + "\r\n" + stats, status, error)
            self.refused(d, "GET /livez HTTP/1.0\r\n%s\r\n%s" % (lines, stats) if status == 501 else
                         head + lines + "\r\n" + "5\r\n" + stats + "\r\n0\r\n\r\n" + stats, status, error)

    def test_versions(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send("GET /livez HTTP/1.0\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [200])
        with Raw(d) as raw:
            raw.send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/2.0\r\nHost: x\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [200, 505])

    def test_a_later_head_without_host_or_slash_closes(self):
        d = self.start(None)
        good = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        for head, error in (("POST /event HTTP/1.1\r\nContent-Length: 30\r\n\r\n", "host: required"),
                            ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "request target: must start with a slash"),
                            ("CONNECT h:1 HTTP/1.1\r\nHost: x\r\n\r\n", "request target: must start with a slash")):
            with Raw(d) as raw:
                raw.send(good + head + good)
                answers = raw.rest()
            self.assertEqual([a[0] for a in answers], [200, 400])
            self.assertEqual(json.loads(answers[1][2]), {"error": error})

    def test_what_nng_answers_by_itself(self):
        d = self.start(None)
        for head, status, error in (("GET /stats HTTP/1.1\r\n\r\n", 400, "malformed request"),
                                    ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404, "not found"),
                                    ("GET /stats HTTP/3.0\r\nHost: x\r\n\r\n", 505, "HTTP version: must be 1.0 or 1.1")):
            with Raw(d) as raw:
                raw.send(head)
                self.assertEqual([(a[0], json.loads(a[2])) for a in raw.rest()], [(status, {"error": error})])

    def test_absolute_targets(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send("GET http://any.where:99/livez?x=1 HTTP/1.1\r\nHost: any.where\r\n\r\n")
            self.assertEqual(raw.answer()[::2], (200, b'{"status":"ok"}'))
            raw.send("GET http://any.where HTTP/1.1\r\nHost: any.where\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [404])


class Framing(DaemonTest):
    def test_keep_alive(self):
        d = self.start(None)
        conn = d.connect()
        conn.connect()
        port = conn.sock.getsockname()
        for i in range(500):
            if i % 2:
                conn.request("POST", "/event", json.dumps(OP), {"content-type": "application/json"})
            else:
                conn.request("GET", "/stats")
            answer = conn.getresponse()
            body = answer.read()
            self.assertEqual(answer.status, 200, body)
            self.assertIsNone(answer.getheader("connection"))
        self.assertEqual(conn.sock.getsockname(), port)
        conn.close()
        self.assertEqual(d.stats()["total"], 250)

    def test_connection_close_is_honoured(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\nGET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
            answers = raw.rest()
        self.assertEqual([(a[0], a[1]["connection"]) for a in answers], [(200, "close")])

    def test_pipelined(self):
        d = self.start(None)
        body = json.dumps(OP)
        post = "POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        get = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        with Raw(d) as raw:
            raw.send((post + get) * 20)
            for i in range(1, 21):
                self.assertEqual(json.loads(raw.answer()[2]), {"accepted": True, "ring_size": i})
                self.assertEqual(json.loads(raw.answer()[2])["ops_in_ring"], i)

    def test_bytes_one_at_a_time(self):
        d = self.start(None)
        body = json.dumps(OP)
        with Raw(d) as raw:
            raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in "POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body):
                raw.send(byte)
            self.assertEqual(raw.answer()[::2], (200, b'{"accepted":true,"ring_size":1}'))

    def test_bodies_are_never_requests(self):
        """A body that looks like a request, wherever it is sent, is not one."""
        d = self.start(None)
        inner = "POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        for method, path, statuses in (("GET", "/livez", [200, 200]), ("HEAD", "/livez", None), ("POST", "/nope", [404]),
                                       ("GET", "/nope", [404]), ("PUT", "/event", [405]), ("DELETE", "/stats", [405]),
                                       ("OPTIONS", "/event", [405]), ("TRACE", "/", [404]), ("GET", "/v1/observer/ops?x=1", [400])):
            with Raw(d) as raw:
                raw.send("%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (method, path, len(inner), inner))
                if method == "HEAD":
                    self.assertEqual(raw.answer(head=True)[0], 200)
                    continue
                if statuses == [200, 200]:
                    raw.send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                self.assertEqual([a[0] for a in raw.rest()], statuses, (method, path))
        self.assertEqual(d.stats()["total"], 0)

    def test_chunked_bodies_are_never_requests(self):
        d = self.start(None)
        inner = "POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        chunked = "%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
        for path in ("/event", "/v1/observer/event", "/nope", "/stats"):
            for encoding in ("chunked", "gzip, chunked", "chunked, identity"):
                for body in (inner, chunked):
                    with Raw(d) as raw:
                        raw.send("POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\n%s" % (path, encoding, body))
                        self.assertEqual([a[0] for a in raw.rest()], [501])
        self.assertEqual(d.stats()["total"], 0)

    def test_a_large_refused_body_does_not_lose_the_answer(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send("POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n")
            raw.send(b"x" * 6000000)
            self.assertEqual([a[0] for a in raw.rest()], [413])

    def test_a_refused_body_that_never_ends_is_cut(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send("POST /event HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest(half_close=False)], [501])

    def test_largest_body(self):
        d = self.start(None)
        op = json.dumps({**OP, "extra": "x" * 60000})
        count = 4194304 // (len(op) + 1) - 1
        body = "[" + ",".join([op] * count) + "]"
        body += " " * (4194304 - len(body))
        self.assertEqual(d.post("/v1/observer/event", body).json["count"], count)
        answer = d.post("/v1/observer/event", body + " ")
        self.assertEqual((answer.status, answer.json), (413, {"error": "message: larger than 4194304 bytes"}))

    def test_expect_continue(self):
        d = self.start(None)
        body = json.dumps(OP)
        with Raw(d) as raw:
            for n in (1, 2):
                raw.send("POST /event HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % len(body))
                self.assertEqual(raw.answer(), (100, {}, b""))
                raw.send(body)
                self.assertEqual(json.loads(raw.answer()[2]), {"accepted": True, "ring_size": n})
            raw.send("POST /event HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [413])

    def test_blank_lines_between_requests(self):
        d = self.start(None)
        get = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
        with Raw(d) as raw:
            raw.send(get + "\r\n\r\n" + get)
            self.assertEqual([raw.answer()[0], raw.answer()[0]], [200, 200])

    def test_connections_that_vanish(self):
        d = self.start(None)
        for data in (b"", b"GET", b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\1\2\r\n\r\n", b"\x16\x03\x01\x02\0\1\0",
                     b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{}",
                     b"GET /v1/observer/ops HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"):
            for _ in range(10):
                with Raw(d) as raw:
                    raw.send(data)
        self.assertEqual(d.get("/livez").status, 200)

    def test_waiting_posts_are_answered_at_stop(self):
        d = self.start()
        answers = []

        def post(n):
            conn = d.connect()
            try:
                for i in range(100000):
                    conn.request("POST", "/event", json.dumps({**OP, "op_id": "%d-%d" % (n, i)}))
                    answer = conn.getresponse()
                    answer.read()
                    if answer.status != 200:
                        return
                    answers.append("%d-%d" % (n, i))
                    if answer.getheader("connection") == "close":
                        return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                conn.close()

        threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        while len(answers) < 100:
            time.sleep(0.001)
        began = time.monotonic()
        d.stop()
        self.assertLess(time.monotonic() - began, 8 * SLOW)
        for t in threads:
            t.join()
        recorded = [r["op_id"] for r in d.journal_rows()]
        self.assertEqual(len(recorded), len(set(recorded)))
        self.assertEqual(set(answers) - set(recorded), set())


class Ops(DaemonTest):
    def fill(self, d, count, start=0):
        ops = []
        for i in range(start, start + count):
            ops.append({"timestamp": "2026-01-01T00:%02d:%02d.000Z" % (i // 60 % 60, i % 60), "endpoint": "/e%d" % (i % 3),
                        "source": ("mcp", "bot")[i % 2], "success": i % 5 != 0, "staffer_id": "s%d" % (i % 4),
                        "sig_hash": "h%d" % (i % 7), "event_kind": "k%d" % (i % 2), "task_class": "t é\"/%d" % (i % 3),
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

    def test_rows_are_verbatim(self):
        d = self.start()
        self.fill(d, 3)
        status, headers, _ = answer = d.get("/v1/observer/ops?limit=2")
        lines = d.journal_lines()
        want = b'{"ops":[{"seq":3,"op":%s},{"seq":2,"op":%s}],"next_cursor":"a2","complete":true}' % (lines[2], lines[1])
        self.assertEqual((status, answer.body), (200, want))

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
        first = len(body["ops"])
        self.assertTrue(60 < first < 80, first)
        body = d.get(ops_url(limit=1000, cursor=body["next_cursor"])).json
        self.assertEqual((first + len(body["ops"]), body["next_cursor"], body["complete"]), (120, None, True))

    def test_defaults_and_aliases(self):
        d = self.start(None)
        self.fill(d, 120)
        for path in ("/v1/observer/ops", "/observer/ops"):
            body = d.get(path).json
            self.assertEqual([o["seq"] for o in body["ops"]], list(range(120, 20, -1)))
            self.assertEqual(body["next_cursor"], "a15")

    def test_bad_parameters(self):
        d = self.start(None)
        time_error = "must be an ISO 8601 time (with + sent as %2B) or epoch milliseconds"
        for query, error in (
                ("nope=1", "nope: unknown parameter"), ("cluster=1", "cluster: unknown parameter"),
                ("limit=0", "limit: must be a number from 1 to 1000"), ("limit=1001", "limit: must be a number from 1 to 1000"),
                ("limit=ten", "limit: must be a number from 1 to 1000"), ("limit=", "limit: must not be empty"),
                ("source", "source: must not be empty"), ("success=yes", "success: must be true or false"),
                ("since=soon", "since: " + time_error), ("until=2026-13-01", "until: " + time_error),
                ("cursor=5", "cursor: must be a next_cursor of an earlier answer"),
                ("cursor=a0", "cursor: must be a next_cursor of an earlier answer"),
                ("cursor=a05", "cursor: must be a next_cursor of an earlier answer"),
                ("cursor=aFF", "cursor: must be a next_cursor of an earlier answer"),
                ("source=a&source=b", "source: given twice"), ("q=%2", "q: broken percent-escape"),
                ("q=%zz", "q: broken percent-escape"), ("&".join("p%d=1" % i for i in range(40)), "p32: one parameter too many")):
            answer = d.get("/v1/observer/ops?" + query)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}), query)


if __name__ == "__main__":
    main()
