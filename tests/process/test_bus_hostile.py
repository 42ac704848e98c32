"""Peers that die, scan, flood and never read, against every socket of a real daemon. After each: every socket serves, no
descriptor is left, the counts balance, a stop ends in order, and what was acknowledged is in the journal.

OBSERVER_HOSTILE=10 makes ten times as many of them."""

import json
import os
import socket
import struct
import time
from urllib.parse import urlsplit

from client_harness import Tool
from harness import PUB, PUSH, REQ, SLOW, SUB, DaemonTest, main, pack, unpack, wait_until

TIMES = int(os.environ.get("OBSERVER_HOSTILE", "1"))
MIB = 1 << 20
INCOMPLETE = 64 * MIB  # of a socket
SLACK = 48 * MIB if SLOW == 1 else 512 * MIB  # a sanitizer keeps what was freed for a while
LISTENERS = 5  # pull, sub, rep, feed, http
QUESTION = b'{"advice":{"endpoint":"/f"}}'
PEERS = {"pull": PUSH, "sub": PUB, "rep": REQ, "feed": SUB}


def framed(body):
    return struct.pack(">Q", len(body)) + body


def greeting(kind):
    return b"\0SP\0" + struct.pack(">HH", PEERS[kind], 0)


def request_of(n, body):
    return framed(struct.pack(">I", 0x80000000 | n) + body)


def reset(sock):
    """Closes so that the peer sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Hostile(DaemonTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start(feed="tcp://127.0.0.1:0")
        self.acknowledged = set()
        self.served = 0
        self.serve()
        wait_until(lambda: self.sockets() <= LISTENERS, 10, "the first connections are gone")

    def place(self, kind):
        parts = urlsplit(self.daemon.url(kind))
        return parts.hostname, parts.port

    def connect(self, kind, data=b""):
        sock = socket.create_connection(self.place(kind), 10 * SLOW)
        if kind in PEERS:
            data = greeting(kind) + data
        try:
            sock.sendall(data)
        except OSError:
            sock.close()
            raise
        return sock

    def sockets(self):
        """How many sockets the daemon holds."""
        folder, n = "/proc/%d/fd" % self.daemon.pid, 0
        for fd in os.listdir(folder):
            try:
                n += os.readlink(os.path.join(folder, fd)).startswith("socket:")
            except OSError:  # closed meanwhile
                pass
        return n

    def ask(self, req):
        """One op that is acknowledged. While the queue is full, it is asked again."""
        self.served += 1
        op_id = "acknowledged-%d" % self.served

        def is_accepted():
            answer = req.request({"endpoint": "/req", "op_id": op_id})
            self.assertTrue(answer["accepted"] == 1 or answer.get("retry"), answer)
            return answer["accepted"]

        wait_until(is_accepted, 20, op_id + " is accepted")
        self.acknowledged.add(op_id)

    def recorded(self):
        return self.daemon.get("/health").json["seq"]

    def is_recorded(self, endpoint):
        wanted = b'"endpoint":"%s"' % endpoint.encode()
        return any(wanted in line for line in self.daemon.journal_lines())

    def serve(self):
        """Every socket serves new peers."""
        self.served += 1
        endpoints = ["/push/%d" % self.served, "/pub/%d" % self.served]
        with self.daemon.push() as push, self.daemon.pub() as pub, self.daemon.req() as req:
            push.send(pack({"endpoint": endpoints[0]}))

            def is_published():  # what is published is lost while the queue is half full
                pub.send(pack({"endpoint": endpoints[1]}))
                return self.is_recorded(endpoints[1])

            wait_until(is_published, 20, endpoints[1] + " is recorded")
            wait_until(lambda: self.is_recorded(endpoints[0]), 20, endpoints[0] + " is recorded")
            self.ask(req)
        self.daemon.subscribe().close()
        self.assertEqual(self.daemon.get("/readyz").status, 200)

    def balance(self):
        counts = self.daemon.get("/v1/observer/health").json["transports"]
        return all(n["received"] == n["recorded"] + n["duplicate"] + n["rejected"] + n["in_flight"] for n in counts.values())

    def check_after(self):
        self.serve()
        wait_until(lambda: self.sockets() <= LISTENERS, 20, "no connection is left")
        self.assertTrue(self.balance())
        self.daemon.stop(10)
        ids = {row.get("op_id") for row in self.daemon.journal_rows()}
        self.assertLessEqual(self.acknowledged, ids)

    # -- peers that die

    def die(self, sent, close, times):
        for _ in range(times * TIMES):
            close(self.connect("rep", sent))

    def test_requesters_that_die_with_questions_unread(self):
        self.die(request_of(1, QUESTION) * 20, socket.socket.close, 100)
        self.die(request_of(1, QUESTION) * 20, reset, 100)
        self.check_after()

    def test_requesters_that_die_with_a_part_of_a_request(self):
        op = request_of(2, pack({"endpoint": "/died"}))
        self.die(request_of(1, QUESTION) + op[:20], socket.socket.close, 100)
        self.die(op + op[:20], reset, 100)
        self.die(op * 16 + op[:-1], socket.socket.close, 100)
        self.check_after()

    def test_requesters_that_die_with_large_requests_under_way(self):
        ops = pack([{"endpoint": "/died", "input_summary": "x" * 100}] * 300)
        self.die(request_of(3, ops) * 3, reset, 30)
        self.check_after()

    def test_publishers_that_are_killed(self):
        """libobserver, with requests under way."""
        for n in range(10 * TIMES):
            before = self.recorded()
            tool = Tool(self.tmp, mode="ack", url=self.daemon.url("rep"), count=10_000_000, rate=20_000,
                        in_flight=16 if n % 2 else 4, block_ms=-1)
            self.addCleanup(tool.kill)
            wait_until(lambda: self.recorded() > before or not tool.alive(), 20, "it publishes")
            self.assertTrue(tool.alive(), tool.stderr())
            tool.kill()
        self.check_after()

    def test_scans(self):
        def shut(sock):
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()

        for kind in ("pull", "sub", "rep", "feed", "http"):
            for n in range(80 * TIMES):
                sock = socket.create_connection(self.place(kind), 10 * SLOW)
                (socket.socket.close, shut, reset)[n % 3](sock)
        self.check_after()

    # -- peers that hold memory

    def fill(self, socks, data, healthy):
        """Writes what each takes of `data`, until nothing moves any more; `healthy` has its way all the while."""
        left = {sock: 0 for sock in socks}
        highest, moved = 0, time.monotonic()
        while left and time.monotonic() - moved < 1:
            for sock in list(left):
                try:
                    sent = sock.send(data[left[sock] : left[sock] + 256 * 1024])
                except BlockingIOError:
                    continue
                except OSError:  # closed by the daemon
                    del left[sock]
                    continue
                moved = time.monotonic()
                left[sock] += sent
                if left[sock] == len(data):
                    del left[sock]
            healthy()
            highest = max(highest, self.daemon.rss())
        return highest

    def test_messages_that_are_never_whole(self):
        before = self.daemon.rss()
        data = memoryview(struct.pack(">Q", 4 * MIB) + bytes(4 * MIB - 1024))
        with self.daemon.push() as push, self.daemon.req() as req:
            def healthy():
                push.send(pack({"endpoint": "/healthy"}))
                self.ask(req)

            for n, kind in enumerate(("pull", "rep")):
                socks = [self.connect(kind) for _ in range(100)]
                for sock in socks:
                    self.addCleanup(sock.close)
                    sock.setblocking(False)
                self.assertLess(self.fill(socks, data, healthy) - before, (n + 1) * INCOMPLETE + SLACK)
                for _ in range(100):
                    healthy()
                for sock in socks:
                    sock.close()
        self.check_after()

    def test_a_requester_that_never_reads(self):
        before = self.daemon.rss()
        bad = request_of(1, json.dumps([{"k" * 60: 1} for _ in range(100)]).encode())
        data = memoryview(bad * 4000)
        socks = [self.connect("rep") for _ in range(8)]
        with self.daemon.req() as req:
            for sock in socks:
                self.addCleanup(sock.close)
                sock.setblocking(False)
            self.assertLess(self.fill(socks, data, lambda: self.ask(req)) - before, INCOMPLETE + SLACK)
        for sock in socks:
            sock.close()
        self.check_after()

    # -- a peer that is only eager

    def test_requests_in_a_row_are_each_answered(self):
        with self.daemon.req() as req:
            want = {}
            for n in range(64):
                word = struct.pack(">I", 0x80000100 + n)
                want[word] = "eager-%d" % n
                req.send(word + pack({"endpoint": "/eager", "op_id": want[word]}))
            for _ in range(64):
                reply = req.recv()
                self.acknowledged.add(want.pop(reply[:4]))
                self.assertEqual(unpack(reply[4:])["accepted"], 1)
            self.assertEqual(want, {})
        self.check_after()


if __name__ == "__main__":
    main()
