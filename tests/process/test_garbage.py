"""Random garbage on every socket at once, with a healthy producer beside: nothing acknowledged is lost, the counts balance, what
/stats shows is in the journal, memory stays bounded, the daemon ends in order."""

import base64
import json
import os
import random
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

from harness import PUB, PUSH, REQ, SLOW, SUB, DaemonTest, main, pack, wait_until

SECONDS = 4
RSS_MAX = 400 << 20
SP = {"pull": PUSH, "sub": PUB, "rep": REQ, "feed": SUB}
WORDS = (b"POST /event HTTP/1.1\r\nHost: localhost\r\n", b"GET /stats HTTP/1.1\r\n", b"Content-Length: 10\r\n\r\n",
         b"Transfer-Encoding: chunked\r\n\r\n", b"ff\r\n", b"\r\n\r\n", b'{"endpoint":"/g"}', b'[{"endpoint":', b"op.x\0",
         pack({"endpoint": "/g", "extra": {"a": [1, 2]}}), b"\xdd\xff\xff\xff\xff", b"\xc1", b"[" * 300, b"\xff" * 40,
         b"\x80\0\0\1", b"\0\0\0\1", struct.pack(">Q", 5), struct.pack(">Q", 1 << 62), b"\0SP\0\0\x50\0\0",
         b'{"advice":{"endpoint":"/g"}}', b'{"schema":"x"}', b"\x82\xfe\x01\x00", b"")


def garbage(rng):
    """Bytes, words of the protocols, and both mixed."""
    parts = [rng.choice(WORDS) if rng.random() < 0.6 else rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(6))]
    data = bytearray(b"".join(parts))
    for _ in range(rng.randrange(4)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def framed(body):
    return struct.pack(">Q", len(body)) + body


def handshake(kind, rng):
    return ("GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s.sp.nanomsg.org\r\n\r\n"
            % (base64.b64encode(rng.randbytes(16)).decode(), kind)).encode()


def websocket_frame(body, rng):
    mask = rng.randbytes(4)
    head = bytes([0x82, 0x80 | len(body)]) if len(body) < 126 else b"\x82\xfe" + struct.pack(">H", len(body))
    return head + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(body))


class Sender(threading.Thread):
    """Connects again and again to one socket, speaks its protocol for a while or not at all, and sends garbage."""

    def __init__(self, url, kind, seed):
        super().__init__(daemon=True)
        self.parts, self.kind, self.rng = urlsplit(url), kind, random.Random(seed)
        self.stop = threading.Event()
        self.connections = 0

    def start_of(self):
        ws = self.parts.scheme == "ws"
        if self.rng.random() < 0.2 or self.kind == "http":
            return b""
        if ws:
            return handshake(self.kind, self.rng)
        return b"\0SP\0" + struct.pack(">HH", SP[self.kind], 0)

    def message(self):
        body = garbage(self.rng)
        if self.kind == "rep" and self.rng.random() < 0.8:
            body = struct.pack(">I", 0x80000000 | self.rng.getrandbits(31)) + body
        if self.kind == "http" and self.rng.random() < 0.5:
            return WORDS[0] + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        if self.kind == "http" or self.rng.random() < 0.1:
            return body
        return websocket_frame(body, self.rng) if self.parts.scheme == "ws" else framed(body)

    def run(self):
        while not self.stop.is_set():
            try:
                self.connection()
            except OSError:
                pass

    def connection(self):
        with socket.create_connection((self.parts.hostname, self.parts.port), 5 * SLOW) as s:
            s.settimeout(0.05)
            self.connections += 1
            s.sendall(self.start_of())
            for _ in range(self.rng.randrange(12)):
                s.sendall(self.message())
                if self.rng.random() < 0.3:
                    try:
                        if s.recv(65536) == b"":
                            return
                    except socket.timeout:
                        pass
            if self.rng.random() < 0.3:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Garbage(DaemonTest):
    def counts(self, daemon):
        return daemon.get("/v1/observer/health").json["transports"]

    def test_a_healthy_producer_beside_garbage(self):
        both = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/"]
        daemon = self.start(pull=both, sub=both, rep=both, feed=both)
        seed = int(os.environ.get("OBSERVER_SEED", "1"))
        senders = [Sender(daemon.url(kind, n), kind, "%d %s %d" % (seed, kind, n)) for kind in SP for n in range(2)]
        senders += [Sender(daemon.url("http"), "http", "%d http %d" % (seed, n)) for n in range(2)]
        acknowledged, most = [], 0
        for s in senders:
            s.start()
        end = time.monotonic() + SECONDS
        with daemon.req(timeout=60) as req:
            while time.monotonic() < end:
                op = {"endpoint": "/healthy", "success": True, "op_id": "h%d" % len(acknowledged)}
                answer = req.request(json.dumps(op).encode())
                self.assertEqual((answer["accepted"], answer["rejected"]), (1, 0), answer)
                acknowledged.append(op["op_id"])
                most = max(most, daemon.rss())
        for s in senders:
            s.stop.set()
        for s in senders:
            s.join(30 * SLOW)
            self.assertFalse(s.is_alive())
            self.assertGreater(s.connections, 5, (s.kind, s.parts.scheme))
        self.assertLess(most, RSS_MAX * (4 if SLOW > 1 else 1))
        self.check(daemon, acknowledged)

    def check(self, daemon, acknowledged):
        def settled():
            now = self.counts(daemon)
            return now if all(n["in_flight"] == 0 for n in now.values()) else None

        now = wait_until(settled, 30, "nothing in flight")
        for kind, n in now.items():
            self.assertEqual(n["received"], n["recorded"] + n["duplicate"] + n["rejected"], kind)
        for kind in ("pull", "sub", "rep", "http"):
            self.assertGreater(now[kind]["rejected"], 0, kind)
        stats = daemon.stats()
        rows = daemon.journal_rows()
        self.assertEqual(len(rows), sum(n["recorded"] for n in now.values()))
        self.assertEqual(stats["total"], min(len(rows), 2000))
        last = rows[-2000:]
        self.assertEqual(stats["by_source"], {s: sum(r["source"] == s for r in last) for s in {r["source"] for r in last}})
        self.assertEqual([r["op_id"] for r in rows if r["endpoint"] == "/healthy"], acknowledged)
        daemon.stop()


if __name__ == "__main__":
    main()
