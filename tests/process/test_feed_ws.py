"""The feed over WebSocket, with a client of the standard library: what a browser does."""

import base64
import hashlib
import os
import socket
import ssl
import struct
from urllib.parse import urlsplit

from certificates import Authority
from feed_client import Follower, wait_subscribers
from harness import PUB, SLOW, SUB, DaemonTest, Sp, SpError, main

PROTOCOL = "pub.sp.nanomsg.org"  # the name of the server's own side
CONT, BINARY, CLOSE, PING, PONG = 0, 2, 8, 9, 10


class WebSocket:
    """A connection to a PUB socket on ws; recv() is one whole message."""

    def __init__(self, url, protocol=PROTOCOL, timeout=10.0, headers="", host=None,
                 context=None):
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname, parts.port), timeout * SLOW)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=parts.hostname)
        self.rest = b""
        self.frames = []  # (opcode, final) of what came
        key = base64.b64encode(os.urandom(16)).decode()
        head = ("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: %s\r\n%s" % (parts.path or "/", host or parts.netloc, key, headers))
        if protocol:
            head += "Sec-WebSocket-Protocol: %s\r\n" % protocol
        self.sock.sendall((head + "\r\n").encode())
        try:
            self.status, self.headers = self.read_head()
        except OSError:
            self.sock.close()
            raise
        accept = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        if self.status == 101:
            assert self.headers["sec-websocket-accept"] == base64.b64encode(accept).decode(), self.headers

    def read_head(self):
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.read_some()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}

    def read_some(self):
        chunk = self.sock.recv(1 << 20)
        if not chunk:
            raise SpError("connection closed by the peer")
        return chunk

    def take(self, n):
        while len(self.rest) < n:
            self.rest += self.read_some()
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def frame(self):
        first, second = self.take(2)
        size = second & 127
        if size == 126:
            size, = struct.unpack(">H", self.take(2))
        elif size == 127:
            size, = struct.unpack(">Q", self.take(8))
        self.frames.append((first & 15, first >> 7))
        return first & 15, first >> 7, self.take(size)

    def send(self, opcode, data):
        """One frame, masked as a client's must be."""
        mask = os.urandom(4)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.sock.sendall(bytes([0x80 | opcode, 0x80 | len(data)]) + mask + body)

    def recv(self):
        message = b""
        while True:
            opcode, final, data = self.frame()
            if opcode == CLOSE:
                raise SpError("closed")
            if opcode in (CONT, BINARY):
                message += data
                if final:
                    return message

    def close(self):
        self.sock.close()


def op(endpoint="/a", **fields):
    return {"endpoint": endpoint, "success": True, **fields}


class WebSocketTest(DaemonTest):
    def start_feed(self, *more):
        return self.start(None, feed=["ws://127.0.0.1:0/feed", *more])

    def follow(self, daemon):
        follower = Follower(WebSocket(daemon.url("feed")))
        self.addCleanup(follower.close)
        return follower

    def record(self, daemon, ops):
        with daemon.req() as req:
            self.assertEqual(req.request(ops)["accepted"], len(ops))

    def test_ops_arrive_in_binary_messages(self):
        daemon = self.start_feed()
        self.assertRegex(daemon.url("feed"), r"^ws://127\.0\.0\.1:[1-9]\d*/feed$")
        feed = self.follow(daemon)
        self.assertEqual(feed.connection.status, 101)
        self.assertEqual(feed.connection.headers["sec-websocket-protocol"], PROTOCOL)
        self.record(daemon, [op("/%d" % i, source="s%d" % (i % 2)) for i in range(1000)])
        got = feed.take_ops(1000)
        self.assertEqual(sorted(m["seq"] for _, m in got), list(range(1, 1001)))
        for n in range(2):
            mine = [m for topic, m in got if topic == b"op.s%d" % n]
            self.assertEqual([m["endpoint"] for m in mine], ["/%d" % i for i in range(n, 1000, 2)])
        self.assertEqual(set(feed.connection.frames), {(BINARY, 1)})

    def test_a_large_op_is_one_frame(self):
        daemon = self.start_feed()
        feed = self.follow(daemon)
        extra = {"part%d" % k: chr(97 + k) * 60000 for k in range(4)}
        self.record(daemon, [op(extra=extra)])
        self.assertEqual(feed.take_ops(1)[0][1]["extra"], extra)
        self.assertEqual(set(feed.connection.frames), {(BINARY, 1)})

    def test_beside_tcp(self):
        daemon = self.start_feed("tcp://127.0.0.1:0")
        feeds = [self.follow(daemon), Follower(daemon.subscribe(1))]
        self.addCleanup(feeds[1].close)
        self.record(daemon, [op("/%d" % i) for i in range(50)])
        first, second = (feed.take_ops(50) for feed in feeds)
        self.assertEqual(first, second)

    def test_what_the_handshake_wants(self):
        daemon = self.start_feed()
        url = daemon.url("feed")
        for protocol, status in ((None, 400), ("sub.sp.nanomsg.org", 400), ("chat", 400), (PROTOCOL, 101)):
            client = WebSocket(url, protocol)
            self.assertEqual((protocol, client.status), (protocol, status))
            client.close()
        client = WebSocket(url.replace("/feed", "/other"))
        self.assertEqual(client.status, 404)
        client.close()
        for host, status in (("localhost:1", 101), ("[::1]", 101), ("evil.example", 421), ("127.0.0.1.evil.example", 421)):
            client = WebSocket(url, host=host)
            self.assertEqual((host, client.status), (host, status))
            client.close()

    def test_a_stop_says_so(self):
        daemon = self.start_feed()
        client = WebSocket(daemon.url("feed"))
        daemon.post("/v1/observer/event", {"endpoint": "/a", "success": True})
        daemon.stop()
        frames = [client.frame()]
        while frames[-1][0] != CLOSE:
            frames.append(client.frame())
        self.assertEqual(frames[-1][2][:2], struct.pack(">H", 1001))
        client.close()

    def test_pages_of_other_sites(self):
        daemon = self.start(None, feed="ws://127.0.0.1:0/feed", args=["--http-origin", "https://desk.example"])
        for origin, status in (("http://127.0.0.1:8080", 101), ("HTTPS://DESK.EXAMPLE", 101), ("https://desk.example:444", 403),
                               ("http://evil.example", 403), ("http://127.0.0.1.evil.example", 403), ("null", 403),
                               ("file://", 403)):
            client = WebSocket(daemon.url("feed"), headers="Origin: %s\r\n" % origin)
            self.assertEqual((origin, client.status), (origin, status))
            client.close()

    def test_a_host_that_is_allowed(self):
        daemon = self.start(None, feed="ws://127.0.0.1:0/feed", args=["--http-host", "Observer.Example"])
        for host, status in (("observer.example", 101), ("other.example", 421)):
            client = WebSocket(daemon.url("feed"), host=host)
            self.assertEqual((host, client.status), (host, status))
            client.close()

    def test_a_frame_of_data_ends_it(self):
        daemon = self.start_feed()
        feed = self.follow(daemon)
        feed.connection.send(BINARY, b"hello")
        opcode, data = None, None
        while opcode != CLOSE:
            opcode, _, data = feed.connection.frame()
        self.assertEqual(data, struct.pack(">H", 1003))
        wait_subscribers(daemon, 0)

    def test_ping_and_close(self):
        daemon = self.start_feed()
        feed = self.follow(daemon)
        feed.connection.send(PING, b"hello")
        opcode, data = None, None
        while opcode != PONG:
            opcode, _, data = feed.connection.frame()
        self.assertEqual(data, b"hello")
        feed.connection.send(CLOSE, struct.pack(">H", 1000))
        wait_subscribers(daemon, 0)

    def test_those_that_do_not_read_or_go_away(self):
        daemon = self.start_feed()
        stuck = [WebSocket(daemon.url("feed")) for _ in range(10)]
        wait_subscribers(daemon, 10)
        feed = self.follow(daemon)
        for i in range(10):
            self.record(daemon, [op(input_summary="x" * 2000)] * 500)
            stuck.pop().close()
        wait_subscribers(daemon, 1)
        self.assertEqual(daemon.get("/health").json["seq"], 5000)
        feed.take_to_seq(5000)
        self.record(daemon, [op("/last")])
        while feed.ops[-1][1]["endpoint"] != "/last":
            feed.take()
        self.assertEqual(len(feed.ops) + feed.missed, 5001)

    def test_none_is_on_unless_asked_for(self):
        daemon = self.start(None, feed="tcp://127.0.0.1:0")
        with self.assertRaises((SpError, ConnectionError)):
            WebSocket(daemon.url("feed").replace("tcp:", "ws:"))

    def test_over_tls(self):
        ca = Authority(self.tmp)
        pair = ca.issue("feed")
        daemon = self.start(None, feed=["wss://127.0.0.1:0/feed", "tls+tcp://127.0.0.1:0"],
                            args=["--tls-cert", pair.cert, "--tls-key", pair.key])
        context = ssl.create_default_context(cafile=ca.cert)
        parts = urlsplit(daemon.url("feed", 1))
        stream = context.wrap_socket(socket.create_connection((parts.hostname, parts.port), 10 * SLOW),
                                     server_hostname=parts.hostname)
        feeds = [Follower(WebSocket(daemon.url("feed"), context=context)), Follower(Sp.accepted(stream, SUB, PUB))]
        for feed in feeds:
            self.addCleanup(feed.close)
        extra = {"part%d" % k: chr(97 + k) * 60000 for k in range(4)}
        self.record(daemon, [op("/%d" % i, extra=extra) for i in range(3)])
        for feed in feeds:
            self.assertEqual([m["extra"] for _, m in feed.take_ops(3)], [extra] * 3)


if __name__ == "__main__":
    main()
