"""HTTP as bare bytes: the exact answer to every shape that two readers could understand differently, as the first request of
a connection, as a later one and right behind another; no byte of a body is ever taken for a request; limits and deadlines."""

import gzip
import http.client
import json
import os
import resource
import select
import socket
import struct
import threading
import time
import zlib
from urllib.parse import urlsplit

from harness import SLOW, DaemonTest, main, wait_until

OP = {"endpoint": "/a", "success": True}
BODY = json.dumps(OP)
H = "Host: localhost\r\n"
GET = "GET /livez HTTP/1.1\r\n" + H + "\r\n"
POST = "POST /event HTTP/1.1\r\n" + H
INNER = POST + "Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)  # what must never be taken for a request
ALIVE = b'{"status":"ok"}\n'


def chunked(*parts, end="0\r\n\r\n"):
    return "".join("%x\r\n%s\r\n" % (len(p), p) for p in parts) + end



class Raw:
    """A bare TCP connection, to send what no HTTP client would."""

    def __init__(self, daemon, n=0, room=None):
        """`room`: for bytes that it does not read; the system's own choice takes in whole answers."""
        parts = urlsplit(daemon.url("http", n))
        self.sock = socket.socket()
        self.sock.settimeout(10 * SLOW)
        if room:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.sock.connect((parts.hostname, parts.port))
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

    def is_closed(self):
        if not select.select([self.sock], [], [], 0)[0]:
            return False
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except ConnectionResetError:
            return True

    def rest(self, half_close=True):
        """Every answer until the server closes. Says that no more will be sent, or the server drains for a second."""
        found = []
        if half_close:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:  # it has closed already
                pass
        while True:
            answer = self.answer()
            if answer is None:
                return found
            found.append(answer)


LINE = "request line: must be METHOD TARGET HTTP/1.1"
END = "head: a line must end in CR LF"
CONTROL = "head: contains a control byte"
TARGET = "request target: must be ASCII, without white space or #"
SLASH = "request target: must start with a slash"
DOTS = "request target: must not contain . or .. segments"
NAME = "header: the name must be a token, directly followed by a colon"
FOLD = "header: must not be folded"
LENGTH = "content-length: must be a number of bytes"
CODING = "transfer-encoding: chunked must be the last and only coding"
OTHER_CODING = "transfer-encoding: only chunked is supported"
BOTH = "transfer-encoding: not allowed together with content-length"
SIZE = "chunk: its size must be 1 to 16 hex digits"
CHUNK_LINE = "chunk: a line must end in CR LF"
CHUNK_DATA = "chunk: its data must end in CR LF"
TOO_LARGE = "message: larger than 4194304 bytes"
N = len(INNER)

# Each is followed by INNER, which is never executed.
REFUSED = (
    # an empty target, which was skipped as a blank line once
    ("GET  /health HTTP/1.1\r\n" + H + "Content-Length: %d\r\n\r\n" % N, 400, "request target: missing"),
    ("GET  /health HTTP/1.1\r\n" + H + "Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % N, 400,
     "request target: missing"),
    ("POST  /event HTTP/1.1\r\n" + H + "\r\n", 400, "request target: missing"),
    ("X  \r\n" + H + "\r\n", 400, "request target: missing"),
    ("  \r\n\r\n", 400, LINE),
    ("GET  /health HTTP/1.1\r\n" + H + "Transfer-Encoding: chunked\r\n\r\n4d;a  b\r\n", 400, "request target: missing"),
    # what NNG's server answered by itself, keeping the connection
    ("GET /health HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % N, 400, "host: required"),
    ("GET /stats HTTP/1.1\r\n\r\n", 400, "host: required"),
    ("OPTIONS * HTTP/1.1\r\n" + H + "Content-Length: %d\r\n\r\n" % N, 404, "not found"),
    ("GET stats HTTP/1.1\r\n" + H + "Content-Length: %d\r\n\r\n" % N, 400, SLASH),
    ("CONNECT h:1 HTTP/1.1\r\n" + H + "\r\n", 400, SLASH),
    ("GET /stats HTTP/3.0\r\n" + H + "\r\n", 505, "HTTP version: must be 1.0 or 1.1"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP version: must be 1.0 or 1.1"),
    ("\r\n\r\n", 400, "head: empty lines before the request line"),
    # white space around the names that frame
    ("GET /health HTTP/1.1\r\n" + H + "Content-Length : %d\r\n\r\n" % N, 400, NAME),
    ("GET /health HTTP/1.1\r\n" + H + "Content-Length  : %d\r\n\r\n" % N, 400, NAME),
    ("GET /health HTTP/1.1\r\n" + H + "Content-Length\t: %d\r\n\r\n" % N, 400, NAME),
    ("GET /health HTTP/1.1\r\n" + H + "  Content-Length: %d\r\n\r\n" % N, 400, FOLD),
    ("GET /health HTTP/1.1\r\n" + H + " Content-Length : %d\r\n\r\n" % N, 400, FOLD),
    ("GET /health HTTP/1.1\r\n" + H + "Transfer-Encoding  : chunked\r\n\r\n", 400, NAME),
    ("GET /health HTTP/1.1\r\n" + H + "X: y\r\n Content-Length: %d\r\n\r\n" % N, 400, FOLD),
    ("GET /health HTTP/1.1\r\n" + H + "Content-Length %d\r\n\r\n" % N, 400, "header: needs a colon"),
    ("GET /health HTTP/1.1\r\n" + H + ": %d\r\n\r\n" % N, 400, "header: the name is missing"),
    ("GET /health HTTP/1.1\r\n" + H + "Content-Length\x00: %d\r\n\r\n" % N, 400, CONTROL),
    ("GET /health HTTP/1.1\r\n" + H + "X(Y): z\r\n\r\n", 400, NAME),
    # lengths
    (POST + "Content-Length: x\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: -1\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: +5\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: 5, 5\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: 0x10\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length:\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400, "content-length: given twice"),
    (POST + "Content-Length: 0\r\ncontent-length: %d\r\n\r\n" % N, 400, "content-length: given twice"),
    (POST + "Content-Length: 99999999999999999999999\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: 18446744073709551616\r\n\r\n", 400, LENGTH),
    (POST + "Content-Length: 4194305\r\n\r\n", 413, TOO_LARGE),
    (POST + "Content-Length: 9223372036854775807\r\n\r\n", 413, TOO_LARGE),
    (POST + "\r\n", 411, "content-length: required (or transfer-encoding: chunked)"),
    # chunks and lengths
    (POST + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, BOTH),
    (POST + "Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\n", 400, BOTH),
    (POST + "Transfer-Encoding: identity\r\n\r\n", 501, OTHER_CODING),
    (POST + "Transfer-Encoding: xchunked\r\n\r\n", 501, OTHER_CODING),
    (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, OTHER_CODING),
    (POST + "tRANSFER-eNCODING: x\r\n\r\n", 501, OTHER_CODING),
    (POST + "Transfer-Encoding: chunked, identity\r\n\r\n", 400, CODING),
    (POST + "Transfer-Encoding: chunked, chunked\r\n\r\n", 400, CODING),
    (POST + "Transfer-Encoding:\r\n\r\n", 400, CODING),
    (POST + "Transfer-Encoding: \x0bchunked\r\n\r\n", 400, CONTROL),
    (POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", 400, "transfer-encoding: given twice"),
    (POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "transfer-encoding: not allowed in HTTP/1.0"),
    # chunks
    (POST + "Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", 400, SIZE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", 400, SIZE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400, SIZE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400, SIZE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", 400, SIZE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n00000000000000005\r\nhello\r\n0\r\n\r\n", 400, SIZE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", 400, CHUNK_LINE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", 400, CHUNK_LINE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", 400, CHUNK_DATA),
    (POST + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", 400, CHUNK_DATA),
    (POST + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 413, TOO_LARGE),
    (POST + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\nZ: a\r\n\r\n", 400, END),
    (POST + "Transfer-Encoding: chunked\r\n\r\n%x;%s\r\n" % (5, "x" * 20000), 400, "chunk: too many extensions"),
    (POST + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: %s\r\n\r\n" % ("x" * 20000), 431, "head: larger than 16384 bytes"),
    # lines and bytes
    ("GET /livez HTTP/1.1\n" + H + "\r\n", 400, END),
    ("GET /livez HTTP/1.1\r\n" + H + "X: y\n\nPOST /event HTTP/1.1\r\n\r\n", 400, END),
    ("GET /livez HTTP/1.1\r\n" + H + "X: y\rZ: a\r\n\r\n", 400, END),
    ("GET /livez HTTP/1.1\r\n" + H + "X: \x01\r\n\r\n", 400, CONTROL),
    (b"\x16\x03\x01\x02\x00\x01\x00", 400, CONTROL),
    ("GET /livez  HTTP/1.1\r\n" + H + "\r\n", 400, LINE),
    ("GET /livez HTTP/1.1 \r\n" + H + "\r\n", 400, LINE),
    ("GET\t/livez HTTP/1.1\r\n" + H + "\r\n", 400, LINE),
    ("GET /livez\r\n" + H + "\r\n", 400, LINE),
    ("G(T /livez HTTP/1.1\r\n" + H + "\r\n", 400, LINE),
    # targets and hosts
    ("GET /livez#x HTTP/1.1\r\n" + H + "\r\n", 400, TARGET),
    ("GET /\xe9 HTTP/1.1\r\n".encode("latin1") + H.encode() + b"\r\n", 400, TARGET),
    ("GET /a/../livez HTTP/1.1\r\n" + H + "\r\n", 400, DOTS),
    ("GET /%2e%2e/livez HTTP/1.1\r\n" + H + "\r\n", 400, DOTS),
    ("GET /livez%7 HTTP/1.1\r\n" + H + "\r\n", 400, "request target: invalid percent-escape"),
    ("GET http://u@localhost/livez HTTP/1.1\r\n" + H + "\r\n", 400, "request target: its host is malformed"),
    ("GET http://localhost HTTP/1.1\r\n" + H + "\r\n", 400, "request target: needs a slash after the host"),
    (POST + "Host: localhost\r\nContent-Length: 0\r\n\r\n", 400, "host: given twice"),
    ("GET /livez HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "host: malformed"),
    ("GET /livez HTTP/1.1\r\nHost:\r\n\r\n", 400, "host: malformed"),
    # expectations, codings, limits
    (POST + "Expect: payment\r\nContent-Length: 0\r\n\r\n", 417, "expect: only 100-continue is supported"),
    (POST + "Content-Encoding: br\r\nContent-Length: 5\r\n\r\n", 415, "content-encoding: must be gzip, deflate or identity"),
    (POST + "Content-Encoding: gzip, gzip\r\nContent-Length: 5\r\n\r\n", 415,
     "content-encoding: must be gzip, deflate or identity"),
    (POST + "Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\nrubbish", 400, "content-encoding: invalid gzip data"),
    ("GET /livez HTTP/1.1\r\n" + H + "X: %s\r\n\r\n" % ("x" * 20000), 431, "head: larger than 16384 bytes"),
    ("GET /livez HTTP/1.1\r\n" + H + "X: y\r\n" * 100 + "\r\n", 431, "head: more than 100 headers"),
    ("GET /%s HTTP/1.1\r\n" % ("x" * 20000) + H + "\r\n", 431, "head: larger than 16384 bytes"),
)


class Refused(DaemonTest):
    def test_each_shape_has_one_error_and_ends_the_connection(self):
        d = self.start(None)
        inner = INNER.encode()
        for shape, status, error in REFUSED:
            shape = shape if isinstance(shape, bytes) else shape.encode()
            for how in ("first", "later", "behind"):
                with Raw(d) as raw:
                    if how == "later":
                        raw.send(GET)
                        self.assertEqual(raw.answer()[::2], (200, ALIVE))
                    if how == "behind":
                        raw.send(GET.encode() + shape + inner)
                        self.assertEqual(raw.answer()[::2], (200, ALIVE))
                    else:
                        raw.send(shape + inner)
                    answers = raw.rest()
                self.assertEqual([(a[0], json.loads(a[2])) for a in answers], [(status, {"error": error})],
                                 (how, shape[:200]))
                self.assertEqual(answers[0][1]["connection"], "close")
        self.assertEqual(d.stats()["total"], 0)

    def test_unknown_paths(self):
        d = self.start(None)
        for path in ("/assets", "/nope", "/stats/", "/observer", "/observer/", "/v1/observer/", "/v1/observer/nope",
                     "/v1/stats", "/observer/livez", "//stats", "/summary", "/ops", "/%2Fstats", "/stats%2F", "/stats%00"):
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

    def test_bodies_are_never_requests(self):
        """A body that looks like a request, wherever it is sent and however it is framed, is not one."""
        d = self.start(None)
        for method, path, statuses in (
                ("GET", "/livez", [200, 200]), ("HEAD", "/livez", None), ("POST", "/nope", [404]),
                ("GET", "/nope", [404]), ("PUT", "/event", [405]), ("DELETE", "/stats", [405]),
                ("OPTIONS", "/event", [405]), ("TRACE", "/", [405]), ("GET", "/v1/observer/ops?x=1", [400])):
            for framed in ("Content-Length: %d\r\n\r\n%s" % (N, INNER), "Transfer-Encoding: chunked\r\n\r\n" + chunked(INNER)):
                with Raw(d) as raw:
                    raw.send("%s %s HTTP/1.1\r\n%s%s" % (method, path, H, framed))
                    if method == "HEAD":
                        self.assertEqual(raw.answer(head=True)[0], 200)
                        continue
                    if statuses == [200, 200]:
                        raw.send("GET /livez HTTP/1.1\r\n" + H + "Connection: close\r\n\r\n")
                    self.assertEqual([a[0] for a in raw.rest()], statuses, (method, path))
        self.assertEqual(d.stats()["total"], 0)

    def test_a_large_refused_body_does_not_lose_the_answer(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send(POST + "Content-Length: 6000000\r\n\r\n")
            raw.send(b"x" * 6000000)
            self.assertEqual([a[0] for a in raw.rest()], [413])

    def test_a_refused_body_that_never_ends_is_cut(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.send(POST + "Transfer-Encoding: identity\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest(half_close=False)], [501])


class Taken(DaemonTest):
    """What a strict server must still take."""

    def answers(self, d, request):
        with Raw(d) as raw:
            raw.send(request)
            return raw.rest()

    def test_versions(self):
        d = self.start(None)
        old = "GET /livez HTTP/1.0\r\n"
        self.assertEqual([(a[0], a[1]["connection"]) for a in self.answers(d, old + "\r\n" + GET)], [(200, "close")])
        answers = self.answers(d, old + "Connection: Keep-Alive\r\n\r\n" + GET)
        self.assertEqual([(a[0], a[1].get("connection")) for a in answers], [(200, "keep-alive"), (200, None)])
        post = "POST /event HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
        self.assertEqual([a[::2] for a in self.answers(d, post)], [(200, b'{"accepted":true,"ring_size":1}\n')])

    def test_odd_heads(self):
        d = self.start(None)
        for head in ("GET http://127.0.0.1:99/livez?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     "GET HTTPS://[::1]/livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     "GET /%6civez HTTP/1.1\r\nHost:\tlocalhost\t\r\n\r\n",
                     "GET /livez?a=%zz HTTP/1.1\r\nhost:localhost\r\n\r\n",
                     "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: \xe9\xff\r\nY:\r\nZ:\tz\r\n\r\n",
                     "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n" % ("x" * 15000),
                     "\r\n" + GET, "GET /livez HTTP/1.1\r\n" + H + "Content-Length: 0\r\n\r\n"):
            answers = self.answers(d, head.encode("latin1"))
            self.assertEqual([a[::2] for a in answers], [(200, ALIVE)], head)
        with Raw(d) as raw:
            raw.send(GET + "\r\n" + GET + "\r\n" + GET)
            self.assertEqual([raw.answer()[0] for _ in range(3)], [200, 200, 200])

    def test_chunks(self):
        d = self.start(None)
        for n, body in enumerate((chunked(BODY), chunked(*BODY), chunked(BODY[:9], BODY[9:]),
                                  chunked(BODY, end="000;x=y\r\nTrailer: z\r\nContent-Length: 9\r\n\r\n"),
                                  "%016X;name=\"value\"\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)), 1):
            with Raw(d) as raw:
                raw.send(POST + "Transfer-Encoding: chunked\r\n\r\n" + body + GET)
                self.assertEqual(json.loads(raw.answer()[2]), {"accepted": True, "ring_size": n}, body)
                self.assertEqual(raw.answer()[0], 200)
        self.assertEqual([a[0] for a in self.answers(d, POST + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")], [400])

    def test_compressed(self):
        d = self.start(None)
        ops = json.dumps([OP] * 50)
        for coding, data in (("gzip", gzip.compress(ops.encode())), ("x-gzip", gzip.compress(ops.encode(), 1)),
                             ("Deflate", zlib.compress(ops.encode())), ("identity", ops.encode()),
                             ("gzip", gzip.compress(ops[:99].encode()) + gzip.compress(ops[99:].encode()))):
            answer = d.request("POST", "/v1/observer/event", data, {"content-encoding": coding})
            self.assertEqual((answer.status, answer.json["count"]), (200, 50), coding)
            framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[:7], data[7:])) + b"0\r\n\r\n"
            head = POST + "Content-Encoding: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % coding
            self.assertEqual([a[0] for a in self.answers(d, head.encode() + framed)], [200])
            if coding != "identity":
                cut = d.request("POST", "/event", data[:-3], {"content-encoding": coding})
                self.assertEqual((cut.status, cut.json), (400, {"error": "content-encoding: the %s data ends too early"
                                                                % ("deflate" if coding == "Deflate" else "gzip")}))

    def test_a_bomb(self):
        d = self.start(None)
        bomb = gzip.compress(b" " * (400 << 20), 9)
        before = d.rss()
        for _ in range(5):
            answer = d.request("POST", "/event", bomb, {"content-encoding": "gzip"})
            self.assertEqual((answer.status, answer.json), (413, {"error": TOO_LARGE}))
        self.assertLess(d.rss() - before, (64 if SLOW == 1 else 300) << 20)

    def test_answers_are_compressed_for_who_takes_it(self):
        d = self.start(None)
        d.post("/event", [OP] * 100)
        plain = d.get("/v1/observer/summary")
        self.assertEqual(plain.headers["vary"], "accept-encoding")
        self.assertNotIn("content-encoding", plain.headers)
        for accepts, compressed in (("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0", False),
                                    ("gzip;q=0, *", False), ("identity", False), ("br", False)):
            answer = d.request("GET", "/v1/observer/ops?limit=1000", headers={"accept-encoding": accepts})
            self.assertEqual(answer.headers.get("content-encoding"), "gzip" if compressed else None, accepts)
            body = gzip.decompress(answer.body) if compressed else answer.body
            self.assertEqual(len(json.loads(body)["ops"]), 100)
            self.assertEqual(body[-1:], b"\n")
            head = d.request("HEAD", "/v1/observer/ops?limit=1000", headers={"accept-encoding": accepts})
            self.assertEqual(head.headers["content-length"], answer.headers["content-length"])
        small = d.request("GET", "/livez", headers={"accept-encoding": "gzip"})
        self.assertEqual((small.body, "vary" in small.headers), (ALIVE, False))

    def test_every_answer_has_a_date(self):
        d = self.start(None)
        for path in ("/livez", "/nope"):
            then = time.mktime(time.strptime(d.get(path).headers["date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
            self.assertLess(abs(then - time.time()), 5 * SLOW)

    def test_expect_continue(self):
        d = self.start(None)
        head = POST + "Expect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        with Raw(d) as raw:
            for n in (1, 2):
                raw.send(head)
                self.assertEqual(raw.answer(), (100, {}, b""))
                raw.send(BODY)
                self.assertEqual(json.loads(raw.answer()[2]), {"accepted": True, "ring_size": n})
            raw.send(head + BODY)  # it did not wait for the word, so it gets none
            self.assertEqual(json.loads(raw.answer()[2]), {"accepted": True, "ring_size": 3})
            raw.send(POST + "Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [413])

    def test_largest_body(self):
        d = self.start(None)
        op = json.dumps({**OP, "extra": "x" * 60000})
        count = 4194304 // (len(op) + 1) - 1
        body = "[" + ",".join([op] * count) + "]"
        body += " " * (4194304 - len(body))
        self.assertEqual(d.post("/v1/observer/event", body).json["count"], count)
        answer = d.post("/v1/observer/event", body + " ")
        self.assertEqual((answer.status, answer.json), (413, {"error": TOO_LARGE}))
        with Raw(d) as raw:
            raw.send(POST + "Transfer-Encoding: chunked\r\n\r\n" + chunked(*(body[i:i + 99999] for i in range(0, len(body), 99999))))
            self.assertEqual(json.loads(raw.answer()[2])["count"], count)

    def test_head(self):
        d = self.start(None)
        with Raw(d) as raw:
            for path in ("/health", "/stats", "/observer/summary", "/v1/observer/ops", "/livez", "/readyz"):
                raw.send("HEAD %s HTTP/1.1\r\n%s\r\n" % (path, H))
                status, headers, _ = raw.answer(head=True)
                self.assertEqual(status, 200)
                self.assertGreater(int(headers["content-length"]), 10)
            raw.send("HEAD /nope HTTP/1.1\r\n" + H + "\r\n")
            self.assertEqual(raw.answer(head=True)[0], 404)
            self.assertEqual(raw.rest(), [])


class Connections(DaemonTest):
    def test_keep_alive(self):
        d = self.start(None)
        conn = d.connect()
        conn.connect()
        port = conn.sock.getsockname()
        for i in range(500):
            if i % 2:
                conn.request("POST", "/event", BODY, {"content-type": "application/json"})
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
            raw.send("GET /livez HTTP/1.1\r\n" + H + "Connection: keep-alive, Close\r\n\r\n" + GET)
            answers = raw.rest()
        self.assertEqual([(a[0], a[1]["connection"]) for a in answers], [(200, "close")])

    def test_pipelined(self):
        d = self.start(None)
        get = "GET /health HTTP/1.1\r\n" + H + "\r\n"
        with Raw(d) as raw:
            raw.send((INNER + get) * 20)
            for i in range(1, 21):
                self.assertEqual(json.loads(raw.answer()[2]), {"accepted": True, "ring_size": i})
                self.assertEqual(json.loads(raw.answer()[2])["ops_in_ring"], i)

    def test_a_pipeline_that_ends_gets_all_its_answers(self):
        d = self.start(None)
        scan = "GET /v1/observer/ops?limit=1 HTTP/1.1\r\n" + H + "\r\n"
        with Raw(d) as raw:
            raw.send((INNER + scan + GET) * 50)
            self.assertEqual([a[0] for a in raw.rest()], [200] * 150)

    def test_a_long_pipeline_that_ends_gets_all_its_answers(self):
        """More than what may wait unread: it goes on as the answers are read."""
        d = self.start(None)
        with Raw(d, room=4096) as raw:
            raw.send(("GET /health HTTP/1.1\r\n" + H + "\r\n") * 3000)
            self.assertEqual([a[0] for a in raw.rest()], [200] * 3000)

    def test_bytes_one_at_a_time(self):
        d = self.start(None)
        with Raw(d) as raw:
            raw.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for request in (INNER, POST + "Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY[:5], BODY[5:])):
                for byte in request:
                    raw.send(byte)
                self.assertEqual(raw.answer()[0], 200)
        self.assertEqual(d.stats()["total"], 2)

    def test_half_closed_peers_get_their_answer(self):
        d = self.start()
        for request in (INNER, GET, "GET /v1/observer/ops HTTP/1.1\r\n" + H + "\r\n"):
            with Raw(d) as raw:
                raw.send(request)
                self.assertEqual([a[0] for a in raw.rest()], [200])
        for half in ("GET /livez HTTP/1.1\r\n", INNER[:-1]):
            with Raw(d) as raw:
                raw.send(half)
                self.assertEqual(raw.rest(), [])

    def test_connections_that_vanish(self):
        d = self.start(None)
        for data in (b"", b"GET", GET.encode(), b"\0\1\2\r\n\r\n", b"\x16\x03\x01\x02\0\1\0",
                     INNER[:-5].encode(), b"GET /v1/observer/ops HTTP/1.1\r\n" + H.encode() + b"\r\n", INNER.encode() * 50):
            for _ in range(10):
                with Raw(d) as raw:
                    raw.send(data)
        self.assertEqual(d.get("/livez").status, 200)

    def test_what_is_refused_and_reset_is_not_read_again(self):
        d = self.start(None)
        for n in range(1000):
            raw = Raw(d)
            raw.send(b"\x16\x03\x01" if n % 2 else "GET  /livez HTTP/1.1\r\n\r\n")
            raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.sock.close()
        with Raw(d) as raw:
            raw.send(GET)
            self.assertEqual(raw.answer()[::2], (200, ALIVE))

    def test_requests_that_are_late(self):
        d = self.start(None, args=["--http-idle", "1"])
        late = [Raw(d) for _ in range(6)]
        idle = Raw(d)
        idle.send(GET)
        self.assertEqual(idle.answer()[0], 200)
        late[1].send("GET /livez HTTP/1.1\r\n")
        late[2].send(GET)
        self.assertEqual(late[2].answer()[0], 200)
        late[2].send("GET /livez")
        for n, rest in ((3, INNER[:-1]), (4, POST + "Transfer-Encoding: chunked\r\n\r\n5\r\n123"), (5, POST + "Content-Length: 9\r\n\r\n")):
            late[n].send(rest)
        self.assertEqual(idle.rest(half_close=False), [])  # without a word
        for raw in late[:3]:
            raw.sock.settimeout(60 * SLOW)
            self.assertEqual([(a[0], json.loads(a[2])) for a in raw.rest(half_close=False)],
                             [(408, {"error": "the request did not arrive in time"})])
        for raw in late[3:]:  # a body has 30 s
            raw.sock.settimeout(0.1)
            self.assertRaises(socket.timeout, raw.answer)
        for raw in late[3:]:
            raw.sock.settimeout(60 * SLOW)
            self.assertEqual([(a[0], json.loads(a[2])) for a in raw.rest(half_close=False)],
                             [(408, {"error": "the request did not arrive in time"})])
        for raw in late + [idle]:
            raw.sock.close()

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


class Limits(DaemonTest):
    def test_a_waiting_connection_makes_way(self):
        d = self.start(None, args=["--http-connections", "4"])
        held = []
        for _ in range(20):
            raw = Raw(d)
            self.addCleanup(raw.sock.close)
            raw.send(GET)
            self.assertEqual(raw.answer()[0], 200)
            held.append(raw)
        # Who waits for the longest goes first, by when the daemon had written its answer. While it asks itself whether
        # it serves, there is room for one more.
        wait_until(lambda: sum(not raw.is_closed() for raw in held) <= 5, 10 * SLOW, "connections that made way")
        left = [raw for raw in held if not raw.is_closed()]
        self.assertIn(len(left), (4, 5))
        self.assertTrue(all(raw.is_closed() for raw in held[:8]))
        for raw in left:
            raw.send(GET)
            self.assertEqual(raw.answer()[0], 200)

    def many(self, d, n, data, room=None):
        """Connections that sent this and no more. Fewer where the system does not allow so many."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        held = []
        for _ in range(min(n, hard - 100)):
            raw = Raw(d, room=room)
            self.addCleanup(raw.sock.close)
            try:
                raw.send(data)
            except OSError:
                pass
            held.append(raw)
        return held

    def test_a_thousand_half_requests(self):
        d = self.start(None, args=["--http-connections", "256"])
        for half in ("GET /livez HTTP/1.1\r\n", POST + "Content-Length: 4194304\r\n\r\n", ""):
            self.many(d, 1000, half)
            for _ in range(10):
                self.assertEqual(d.get("/livez").status, 200)
                self.assertEqual(d.post("/event", OP).status, 200)

    def test_declared_bytes_cost_nothing(self):
        d = self.start(None)
        before = d.rss()
        self.many(d, 200, POST + "Content-Length: 4194304\r\n\r\n")
        for _ in range(20):
            self.assertEqual(d.post("/event", OP).status, 200)
            self.assertEqual(d.get("/readyz").status, 200)
        self.assertLess(d.rss() - before, 64 << 20)

    def test_bodies_together_are_bounded(self):
        d = self.start(None)
        before = d.rss()
        waiting = self.many(d, 60, (POST + "Content-Length: 4194304\r\n\r\n").encode() + b" " * 4000000)
        refused = []

        def look():
            for sock in select.select([raw.sock for raw in waiting], [], [], 0)[0]:
                raw = next(raw for raw in waiting if raw.sock == sock)
                waiting.remove(raw)
                answer = raw.answer()
                if answer:  # else it was lost to a reset: it sent on for longer than the server reads
                    self.assertEqual((answer[0], json.loads(answer[2])), (503, {"error": "too many request bodies at once"}))
                    refused.append(raw)
            return len(refused) > 10

        wait_until(look, 20, "bodies to be refused")
        self.assertEqual(d.get("/livez").status, 200)
        self.assertEqual(d.post("/event", OP).status, 200)
        self.assertLess(d.rss() - before, (96 if SLOW == 1 else 600) << 20)

    def test_readers_that_never_read(self):
        d = self.start(None, args=["--ring", "200"])
        op = {**OP, "extra": "x" * 60000}
        for _ in range(4):
            self.assertEqual(d.post("/v1/observer/event", [op] * 50).status, 200)
        before = d.rss()
        large = ("GET /v1/observer/ops?limit=1000 HTTP/1.1\r\n" + H + "\r\n").encode()
        held = self.many(d, 150, large * 8, room=4096)  # the system takes the first ones of each
        wait_until(lambda: d.rss() - before > 4 << 20 or d.get("/v1/observer/ops?limit=1000").status == 503, 20, "answers to be held")
        for _ in range(20):
            for path in ("/livez", "/readyz", "/stats"):
                self.assertEqual(d.get(path).status, 200)
            self.assertEqual(d.post("/event", OP).status, 200)
        self.assertLess(d.rss() - before, (128 if SLOW == 1 else 800) << 20)
        for raw in held:
            raw.sock.close()
        wait_until(lambda: d.get("/v1/observer/ops?limit=1000").status == 200, 20, "the answers to be given back")

    def test_a_pipeline_that_never_reads(self):
        """It is read no further than its answers are."""
        d = self.start(None)
        before = d.rss()
        sent = 0
        with Raw(d) as raw:
            raw.sock.settimeout(1)
            get = ("GET /health HTTP/1.1\r\n" + H + "\r\n").encode() * 1000
            try:
                while sent < 400 * len(get):
                    raw.sock.sendall(get)
                    sent += len(get)
            except socket.timeout:
                pass
            self.assertLess(sent, 400 * len(get))
            self.assertEqual(d.get("/livez").status, 200)
            self.assertLess(d.rss() - before, (16 if SLOW == 1 else 400) << 20)
            raw.sock.settimeout(10 * SLOW)
            self.assertEqual([raw.answer()[0] for _ in range(1000)], [200] * 1000)


class Browsers(DaemonTest):
    """Names that somebody points at this machine, and pages of other sites."""

    def ask(self, d, host, path="/stats", n=0):
        with Raw(d, n) as raw:
            raw.send("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path, host))
            status, _, body = raw.answer()
        return status, json.loads(body)

    def test_hosts_on_loopback(self):
        d = self.start(None, args=["--http-host", "Obs.Example"])
        for host in ("localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:3800", "[0:0:0:0:0:0:0:1]",
                     "obs.example", "OBS.example:3800"):
            self.assertEqual(self.ask(d, host)[0], 200, host)
        for host in ("evil.example", "evil.example:3800", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1",
                     "[::2]", "0.0.0.0", "obs.example.evil", "128.0.0.1"):
            name = host[1:-1] if host[0] == "[" else host.split(":")[0]
            self.assertEqual(self.ask(d, host), (421, {"error": "host %s is not served here; --http-host %s allows it" % (name, name)}))
        with Raw(d) as raw:  # the target's host stands for the header's
            raw.send("GET http://evil.example/stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [421])
        d.stop()
        log = d.stderr()
        self.assertEqual(log.count("requests for host evil.example are refused"), 1)
        self.assertIn("--http-host evil.example allows it", log)

    def test_hosts_elsewhere(self):
        d = self.start(None, args=["--allow-open"], http="http://0.0.0.0:0")
        self.assertEqual(self.ask(d, "observer.cluster.local")[0], 200)
        d = self.start(None, args=["--allow-open", "--http-host", "observer"], http="http://0.0.0.0:0")
        self.assertEqual(self.ask(d, "observer")[0], 200)
        self.assertEqual(self.ask(d, "localhost")[0], 200)
        self.assertEqual(self.ask(d, "other")[0], 421)

    def test_origins(self):
        d = self.start(None, args=["--http-origin", "https://ops.example"])
        port = urlsplit(d.url("http")).port
        host = "localhost:%d" % port
        for origin, status in ((None, 200), ("http://localhost:%d" % port, 200), ("HTTP://LocalHost:%d" % port, 200),
                               ("https://ops.example", 200), ("null", 403), ("http://evil.example", 403),
                               ("http://localhost", 403), ("http://localhost:1", 403), ("https://ops.example:444", 403),
                               ("http://ops.example", 403), ("file://", 403), ("", 403)):
            with Raw(d) as raw:
                line = "" if origin is None else "Origin: %s\r\n" % origin
                raw.send("POST /event HTTP/1.1\r\nHost: %s\r\n%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                         % (host, line, len(BODY), BODY))
                answer = raw.answer()
                self.assertEqual(answer[0], status, origin)
                if status == 403:
                    self.assertEqual(json.loads(answer[2]), {"error": "origin: pages of other origins may not write here; --http-origin allows one"})
        with Raw(d) as raw:  # it may look
            raw.send("GET /stats HTTP/1.1\r\nHost: %s\r\nOrigin: http://evil.example\r\n\r\n" % host)
            _, headers, body = raw.answer()
            self.assertEqual(json.loads(body)["total"], 4)
            self.assertEqual([name for name in headers if name.startswith("access-control-")], [])  # so its page may not
        with Raw(d) as raw:  # without ports both have the scheme's
            raw.send("POST /event HTTP/1.1\r\nHost: localhost\r\nOrigin: https://localhost:443\r\nContent-Length: 2\r\n\r\n{}")
            self.assertNotEqual(raw.answer()[0], 403)

    def test_a_socket_of_the_file_system(self):
        path = os.path.join(self.tmp, "http.sock")
        d = self.start(None, http="ipc://" + path)
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * SLOW)
            s.connect(path)
            s.sendall(b"GET /livez HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n")
            data = b""
            while part := s.recv(4096):
                data += part
        self.assertTrue(data.startswith(b"HTTP/1.1 200 OK\r\n") and data.endswith(ALIVE), data)


if __name__ == "__main__":
    main()
