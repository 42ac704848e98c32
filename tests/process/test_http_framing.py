"""HTTP as bare bytes: what is refused and how, and that no byte of a body is ever taken for a request."""

import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

from harness import SLOW, DaemonTest, main

OP = {"endpoint": "/a", "success": True}


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


class Errors(DaemonTest):
    def test_unknown_paths(self):
        d = self.start(None)
        for path in ("/", "/nope", "/stats/", "/observer", "/observer/", "/v1/observer/", "/v1/observer/nope",
                     "/v1/stats", "/observer/livez", "//stats", "/summary", "/ops"):
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
        for head, status, error in (
                ("GET /stats HTTP/1.1\r\n\r\n", 400, "malformed request"),
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
            raw.send("GET /livez HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Close\r\n\r\n"
                     "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
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
        for method, path, statuses in (
                ("GET", "/livez", [200, 200]), ("HEAD", "/livez", None), ("POST", "/nope", [404]),
                ("GET", "/nope", [404]), ("PUT", "/event", [405]), ("DELETE", "/stats", [405]),
                ("OPTIONS", "/event", [405]), ("TRACE", "/", [404]), ("GET", "/v1/observer/ops?x=1", [400])):
            head = "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (method, path, len(inner))
            with Raw(d) as raw:
                raw.send(head + inner)
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
                head = "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\n" % (path, encoding)
                for body in (inner, chunked):
                    with Raw(d) as raw:
                        raw.send(head + body)
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
        head = "POST /event HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        with Raw(d) as raw:
            for n in (1, 2):
                raw.send(head)
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
        for data in (b"", b"GET", b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\1\2\r\n\r\n",
                     b"\x16\x03\x01\x02\0\1\0",
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


if __name__ == "__main__":
    main()
