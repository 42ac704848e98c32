"""The wire of the bus on a real daemon: odd frames on every socket, requests through devices, WebSocket frames, and
nngcat. TLS is in test_tls.py."""

import errno
import os
import shutil
import socket
import struct
import subprocess
import unittest
from urllib.parse import urlsplit

from harness import PUB, PULL, PUSH, REP, REQ, SLOW, SUB, DaemonTest, Push, Req, Sp, SpError, main, pack, unpack, wait_until
from test_feed_ws import BINARY, CLOSE, CONT, PING, PONG, WebSocket

OP = '{"endpoint":"/v1/chat","success":true}'
LIMIT = 4 << 20
PEERS = {"pull": (PUSH, PULL), "sub": (PUB, SUB), "rep": (REQ, REP)}
WORD = struct.pack(">I", 0x80000001)
TEXT = 1


def needs(program):
    return unittest.skipIf(shutil.which(program) is None, program + " is not installed")


def op(endpoint="/a", **fields):
    return dict(endpoint=endpoint, **fields)


def framed(body):
    return struct.pack(">Q", len(body)) + body


class SpTest(DaemonTest):
    def connect(self, daemon, kind):
        sp = Sp(daemon.url(kind), *PEERS[kind])
        self.addCleanup(sp.close)
        return sp

    def check_closed(self, sp):
        """The daemon closes it, having said nothing more."""
        try:
            self.assertEqual(sp.sock.recv(1), b"")
        except ConnectionResetError:
            pass

    def message(self, kind, body):
        return (WORD if kind == "rep" else b"") + body

    def endpoints(self, daemon):
        return [row["endpoint"] for row in daemon.journal_rows()]


class Patience(SpTest):
    def test_what_never_becomes_whole(self):
        daemon = self.start()
        halves = [self.connect(daemon, kind) for kind in PEERS]
        for sp, kind in zip(halves, PEERS):
            sp.sock.settimeout(60 * SLOW)
            sp.send(self.message(kind, pack(op("/whole"))))
            sp.sock.sendall(framed(self.message(kind, pack(op())))[:-1])
        silent = self.connect(daemon, "pull")
        parts = urlsplit(daemon.url("pull"))
        greeting = socket.create_connection((parts.hostname, parts.port), 60 * SLOW)
        self.addCleanup(greeting.close)
        greeting.sendall(b"\0SP\0\0")
        while greeting.recv(64):  # the daemon's own greeting, then the end: a handshake has 10 s
            pass
        for sp, kind in zip(halves, PEERS):  # a message has 30 s
            if kind == "rep":
                self.assertEqual(unpack(sp.recv()[4:])["accepted"], 1)
            self.check_closed(sp)
        silent.send(pack(op("/later")))  # one that has sent nothing may wait as long as it likes
        daemon.wait_total(4)


class Places(SpTest):
    def test_who_greeted_keeps_its_place(self):
        """Newcomers are refused then, of this socket alone."""
        daemon = self.start(args=["--bus-connections", "8"])
        held = [daemon.req() for _ in range(8)]
        for req in held:
            self.addCleanup(req.close)
            self.assertEqual(req.request(op())["accepted"], 1)
        with self.assertRaises((SpError, ConnectionError)):
            daemon.req().request(op())
        self.assertEqual(held[0].request(op())["accepted"], 1)
        with daemon.push() as push:
            push.send(pack(op("/push")))
        daemon.wait_total(10)


class Frames(SpTest):
    def test_messages_of_no_bytes(self):
        daemon = self.start()
        for n, kind in enumerate(PEERS):
            sp = self.connect(daemon, kind)
            sp.send(self.message(kind, b""))
            sp.send(self.message(kind, pack(op("/" + kind))))
            daemon.wait_total(n + 1)
        self.assertEqual(self.endpoints(daemon), ["/pull", "/sub", "/rep"])
        wait_until(lambda: len(daemon.rejected_rows()) == 3, 5, "rejected rows")
        self.assertEqual({r["reason"] for r in daemon.rejected_rows()}, {"message: empty"})

    def test_messages_over_the_limit(self):
        """Over it: a reject, and the connection lives. Over twice of it: closed as soon as the length is there. The queue
        is so large that nothing of SUB is lost."""
        daemon = self.start(args=["--queue-bytes", "64M"])
        for n, kind in enumerate(PEERS):
            sp = self.connect(daemon, kind)
            sp.send(self.message(kind, OP.encode().ljust(LIMIT + 1)))
            wait_until(lambda: len(daemon.rejected_rows()) == n + 1, 10, "a rejected row")
            sp.send(self.message(kind, pack(op("/" + kind))))
            daemon.wait_total(n + 1)
            sp = self.connect(daemon, kind)
            sp.sock.sendall(struct.pack(">Q", 2 * LIMIT + 1))
            self.check_closed(sp)
        self.assertEqual(self.endpoints(daemon), ["/pull", "/sub", "/rep"])
        self.assertEqual({r["reason"] for r in daemon.rejected_rows()}, {"message: larger than 4194304 bytes"})

    def test_wrong_greetings_are_closed(self):
        daemon = self.start()
        for kind, (own, _) in PEERS.items():
            parts = urlsplit(daemon.url(kind))
            wrong = [b"\0SP\0" + struct.pack(">HH", proto, 0) for proto in (PUSH, PUB, REQ, PULL, SUB, REP, 0x10, 0xffff)
                     if proto != own]
            right = b"\0SP\0" + struct.pack(">HH", own, 0)
            wrong += [right[:3] + b"\1" + right[4:], right[:7] + b"\1", b"\0SX", b"GET / HTTP/1.1\r\n\r\n"]
            for greeting in wrong:
                with socket.create_connection((parts.hostname, parts.port), 10 * SLOW) as s:
                    s.sendall(greeting)
                    got = b""
                    try:
                        while True:
                            chunk = s.recv(64)
                            if not chunk:
                                break
                            got += chunk
                    except ConnectionResetError:
                        pass
                    self.assertLessEqual(len(got), 8, (kind, greeting))

    def test_byte_by_byte(self):
        daemon = self.start()
        for n, (kind, (own, peer)) in enumerate(PEERS.items()):
            parts = urlsplit(daemon.url(kind))
            with socket.create_connection((parts.hostname, parts.port), 10 * SLOW) as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in b"\0SP\0" + struct.pack(">HH", own, 0) + framed(self.message(kind, pack(op("/" + kind)))):
                    s.sendall(bytes([byte]))
                daemon.wait_total(n + 1)
                self.assertEqual(s.recv(8, socket.MSG_WAITALL), b"\0SP\0" + struct.pack(">HH", peer, 0))
        self.assertEqual(self.endpoints(daemon), ["/pull", "/sub", "/rep"])

    def test_cut_at_every_byte(self):
        """Nothing of a message that is not whole; what stands before it is recorded."""
        daemon = self.start()
        total = 0
        for kind in PEERS:
            data = framed(self.message(kind, pack(op())))
            for cut in range(len(data)):
                sp = self.connect(daemon, kind)
                sp.sock.sendall(data + data[:cut])
                total += 1
                if kind == "rep":
                    self.assertEqual(unpack(sp.recv()[4:])["accepted"], 1)
                sp.sock.shutdown(socket.SHUT_WR)
                self.check_closed(sp)
        daemon.wait_total(total)
        self.assertEqual(daemon.rejected_rows(), [])

    def test_a_thousand_in_one_send(self):
        daemon = self.start()
        for n, kind in enumerate(PEERS):
            sp = self.connect(daemon, kind)
            messages = [struct.pack(">I", 0x80000000 | i) + pack(op("/" + kind, count=i)) if kind == "rep"
                        else pack(op("/" + kind, count=i)) for i in range(1000)]
            sp.sock.sendall(b"".join(map(framed, messages)))
            if kind == "rep":
                words = [struct.unpack_from(">I", sp.recv())[0] & 0xffff for _ in range(1000)]
                self.assertEqual(words, list(range(1000)))
            daemon.wait_total(1000 * (n + 1)) if n == 0 else wait_until(
                lambda: len(daemon.journal_lines()) == 1000 * (n + 1), 10, "all are recorded")
        rows = [(row["endpoint"], row["count"]) for row in daemon.journal_rows()]
        self.assertEqual(rows, [("/" + kind, i) for kind in PEERS for i in range(1000)])

    def test_ipc_has_a_byte_more(self):
        url = "ipc://" + os.path.join(self.tmp, "s")
        daemon = self.start(pull=url)
        with Push(url) as push:
            push.send(pack(op()))
            push.sock.sendall(b"\2" + framed(pack(op())))
            self.check_closed(push)
        daemon.wait_total(1)


class Requests(SpTest):
    def test_through_devices(self):
        daemon = self.start()
        with daemon.req() as req:
            for hops in (0, 1, 2, 7):
                way = b"".join(struct.pack(">I", 7 + i) for i in range(hops)) + WORD
                req.send(way + pack(op("/%d" % hops)))
                reply = req.recv()
                self.assertEqual(reply[: len(way)], way)
                self.assertEqual(unpack(reply[len(way) :])["accepted"], 1)
                req.send(way + b'{"advice":{"endpoint":"/a"}}')
                self.assertEqual(req.recv()[: len(way)], way)

    def test_without_a_way_back(self):
        daemon = self.start()
        hop = struct.pack(">I", 5)
        for body in (b"", b"\x80", b"\x80\0\0", hop, hop + b"\x80\0\0", b"\x7f\xff\xff\xff" + b"\0" * 8,
                     hop * 64 + WORD + pack(op())):
            with daemon.req() as req:
                req.send(body)
                self.check_closed(req)
        with daemon.req() as req:
            self.assertEqual(req.request(op())["seq"], 1)


class WebSockets(SpTest):
    def open(self, daemon, kind, **kw):
        ws = WebSocket(daemon.url(kind), kw.pop("protocol", kind + ".sp.nanomsg.org"), **kw)
        self.addCleanup(ws.close)
        return ws

    def start_ws(self, **kw):
        return self.start(**{kind: "ws://127.0.0.1:0/" + kind for kind in PEERS}, **kw)

    def frame(self, first, data, masked=True):
        mask = os.urandom(4) if masked else b""
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(data)) if masked else data
        return bytes([first, (0x80 if masked else 0) | len(data)]) + mask + body

    def check_refused(self, ws, code):
        opcode, _, data = ws.frame()
        self.assertEqual((opcode, data[:2]), (CLOSE, struct.pack(">H", code)))

    def test_messages(self):
        daemon = self.start_ws()
        for n, kind in enumerate(PEERS):
            ws = self.open(daemon, kind)
            self.assertEqual(ws.status, 101)
            body = self.message(kind, pack(op("/" + kind)))
            ws.send(BINARY, body)
            parts = [body[:1], b"", body[1:5], body[5:]]
            for i, part in enumerate(parts):
                last = i == len(parts) - 1
                ws.sock.sendall(self.frame((0x80 if last else 0) | (CONT if i else BINARY), part) +
                                (b"" if last else self.frame(0x80 | PING, b"between")))
            pongs = [ws.frame() for _ in range(3)] if kind != "rep" else []
            self.assertEqual([(f[0], f[2]) for f in pongs], [(PONG, b"between")] * len(pongs))
            if kind == "rep":
                self.assertEqual([unpack(ws.recv()[4:])["accepted"] for _ in range(2)], [1, 1])
            daemon.wait_total(2 * n + 2)
            ws.send(CLOSE, struct.pack(">H", 1000))
            while ws.frame()[0] != CLOSE:
                pass
        self.assertEqual(self.endpoints(daemon), [e for kind in PEERS for e in ("/" + kind,) * 2])

    def test_frames_that_are_refused(self):
        daemon = self.start_ws()
        body = pack(op())
        for kind in PEERS:
            for frame, code in ((self.frame(0x80 | BINARY, body, masked=False), 1002), (self.frame(0x80 | TEXT, body), 1003),
                                (self.frame(0x80 | CONT, body), 1002), (self.frame(PING, b""), 1002),
                                (self.frame(0xC0 | BINARY, body), 1002), (self.frame(0x80 | 3, body), 1002)):
                ws = self.open(daemon, kind)
                ws.sock.sendall(frame)
                self.check_refused(ws, code)
        ws = self.open(daemon, "pull")
        ws.sock.sendall(bytes([0x80 | BINARY, 0xFF]) + struct.pack(">Q", 1 << 40) + b"mask")
        self.check_refused(ws, 1009)
        self.assertEqual(daemon.stats()["total"], 0)

    def test_what_came_before_the_end_counts(self):
        """However the connection ends, and though all of it came at once."""
        daemon = self.start_ws()
        ends = ((self.frame(0x80 | CLOSE, struct.pack(">H", 1000)), 1000), (self.frame(0x80 | CLOSE, b""), None),
                (self.frame(0x80 | PING, b"p") + self.frame(0x80 | CLOSE, struct.pack(">H", 3000)), 3000),
                (self.frame(0x80 | TEXT, b"{}"), 1003), (self.frame(0x80 | 3, b""), 1002),
                (bytes([0x80 | BINARY, 0xFF]) + struct.pack(">Q", 1 << 40) + b"mask", 1009))
        total = 0
        for kind in PEERS:
            messages = self.frame(0x80 | BINARY, self.message(kind, pack(op("/1"))))
            messages += self.frame(0x80 | BINARY, self.message(kind, pack(op("/2"))))
            for end, code in ends:
                ws = self.open(daemon, kind)
                ws.sock.sendall(messages + end)
                opcode, _, data = ws.frame()
                while opcode != CLOSE:
                    opcode, _, data = ws.frame()
                self.assertEqual(data[:2], b"" if code is None else struct.pack(">H", code))
                total += 2
                daemon.wait_total(total)
        self.assertEqual(self.endpoints(daemon), ["/1", "/2"] * (total // 2))

    def test_handshakes_that_are_refused(self):
        daemon = self.start_ws()
        for kind in PEERS:
            self.assertEqual(self.open(daemon, kind, protocol=None).status, 400)
            self.assertEqual(self.open(daemon, kind, protocol="pub.sp.nanomsg.org").status, 400)
            self.assertEqual(self.open(daemon, kind, host="evil.example").status, 421)
            ws = WebSocket(daemon.url(kind) + "x", kind + ".sp.nanomsg.org")
            self.addCleanup(ws.close)
            self.assertEqual(ws.status, 404)

    def test_the_daemon_finds_that_these_listeners_serve(self):
        daemon = self.start_ws(args=["--cycle", "100ms"])

        def probed():
            connections = daemon.get("/health").json["connections"]
            return all(connections[kind]["accepted"] >= 3 and connections[kind]["open"] == 0 for kind in PEERS)

        wait_until(probed, 20, "three probes of each listener")
        self.assertEqual(daemon.get("/readyz").status, 200)


class Programs(SpTest):
    def run_client(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20 * SLOW)
        self.assertEqual(done.returncode, 0, (command, done.stdout, done.stderr))
        return done.stdout

    def check_program(self, daemon, total):
        daemon.wait_total(total)
        self.assertEqual(set(self.endpoints(daemon)), {"/v1/chat"})

    @needs("nngcat")
    def test_nngcat_over_tcp_and_ipc(self):
        daemon = self.start(**{kind: ["tcp://127.0.0.1:0", "ipc://" + os.path.join(self.tmp, kind)] for kind in PEERS})
        for n in range(2):
            for kind, way in (("pull", "--push"), ("sub", "--pub"), ("rep", "--req")):
                said = self.run_client("nngcat", way, "--dial=" + daemon.url(kind, n), "--delay=1", "--data=" + OP,
                                       *["--raw"] * (kind == "rep"))
            self.assertEqual(unpack(said)["accepted"], 1)
        self.check_program(daemon, 6)

    @needs("nanocat")
    def test_nanocat_over_tcp_and_ipc(self):
        daemon = self.start(**{kind: ["tcp://127.0.0.1:0", "ipc://" + os.path.join(self.tmp, kind)] for kind in PEERS})
        for n in range(2):
            for kind, way in (("pull", "--push"), ("sub", "--pub")):
                self.run_client("nanocat", way, "--connect", daemon.url(kind, n), "--delay", "1", "--data", OP)
            with subprocess.Popen(["nanocat", "--req", "--connect", daemon.url("rep", n), "--raw", "--data", OP],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as asks:  # it does not end by itself
                try:
                    wait_until(lambda: len(daemon.journal_lines()) == 3 * (n + 1), 20, "all are recorded")
                finally:
                    asks.terminate()
        self.check_program(daemon, 6)

    def test_users_of_ipc(self):
        mine, other = ("ipc://" + os.path.join(self.tmp, name) for name in ("mine", "other"))
        uid = os.getuid()
        daemon = self.start(rep=["%s;uid=%d" % (mine, uid), "%s;uid=%d" % (other, uid + 1)])
        with Req(mine) as req:
            self.assertEqual(req.request(op())["accepted"], 1)
        with self.assertRaises((SpError, ConnectionError)):
            Req(other).request(op())
        self.assertEqual(daemon.stats()["total"], 1)

    def test_where_no_user_is_named(self):
        """Who may use the files of the data directory may connect."""
        for mode in ("0700", "0770"):
            path = os.path.join(self.tmp, "socket" + mode)
            self.start(data_dir="data" + mode, args=["--data-mode", mode], rep="ipc://" + path)
            self.assertEqual(os.stat(path).st_mode & 0o777, int(mode, 8))

    @unittest.skipUnless(os.getuid() == 0, "another user is needed")
    def test_another_user_of_ipc(self):
        nobody = 65534
        os.chmod(self.tmp, 0o711)
        path, plain = (os.path.join(self.tmp, name) for name in ("rep", "plain"))
        daemon = self.start(rep="ipc://%s;uid=%d" % (path, nobody), pull="ipc://" + plain)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)
        pid = os.fork()
        if pid == 0:  # the child is the other user
            try:
                os.setgid(nobody)
                os.setuid(nobody)
                with socket.socket(socket.AF_UNIX) as s:
                    if s.connect_ex(plain) != errno.EACCES:
                        os._exit(3)
                with Req("ipc://" + path) as req:
                    os._exit(0 if req.request(op())["accepted"] == 1 else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        with self.assertRaises((SpError, ConnectionError)):
            Req("ipc://" + path).request(op())
        self.assertEqual(daemon.stats()["total"], 1)


if __name__ == "__main__":
    main()
