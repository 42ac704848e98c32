"""The bus of a real daemon: nngcat and nanocat as clients, transports, dialling, topics, many requesters, and senders
that misbehave."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
import unittest

from harness import PUB, PULL, PUSH, SLOW, SUB, DaemonTest, Push, Req, Sp, free_port, main, pack, unpack, wait_until

OP = '{"endpoint":"/v1/chat","success":true}'
LIMIT = 4 << 20


def needs(program):
    """Skips where the program is missing, except in continuous integration, where it must be there."""
    return unittest.skipIf(shutil.which(program) is None and not os.environ.get("CI"), program + " is not installed")


def op(endpoint="/a", **fields):
    return dict(endpoint=endpoint, **fields)


class Clients(DaemonTest):
    """Programs that know nothing of this project."""

    def run_client(self, *command, timeout=20):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=timeout * SLOW)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.fail("%r did not end: %r %r" % (command, out, err))
        self.assertEqual(process.returncode, 0, (command, out, err))
        return out

    def until_printed(self, pattern, *command, timeout=20):
        """For a client that does not end by itself: runs it until its output matches, then ends it."""
        path = os.path.join(self.tmp, "client.out")
        with open(path, "wb") as f:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT)
        try:
            def matched():
                with open(path, "rb") as f:
                    return re.search(pattern, f.read(), re.S)
            return wait_until(matched, timeout, "%r in the output of %r" % (pattern, command)).group(0)
        finally:
            process.terminate()
            process.wait()

    def check_recorded(self, daemon, total=1, endpoint="/v1/chat"):
        daemon.wait_total(total)
        rows = daemon.journal_rows()
        self.assertEqual([(r["endpoint"], r["success"], r["source"]) for r in rows], [(endpoint, True, "mcp")] * total)

    @needs("nngcat")
    def test_nngcat_push(self):
        daemon = self.start()
        self.run_client("nngcat", "--push", "--dial=" + daemon.url("pull"), "--data=" + OP)
        self.check_recorded(daemon)

    @needs("nngcat")
    def test_nngcat_push_many(self):
        daemon = self.start()
        for _ in range(20):
            self.run_client("nngcat", "--push", "--dial=" + daemon.url("pull"), "--data=" + OP)
        self.check_recorded(daemon, 20)

    @needs("nngcat")
    def test_nngcat_push_msgpack_file(self):
        daemon = self.start()
        path = os.path.join(self.tmp, "op.msgpack")
        with open(path, "wb") as f:
            f.write(pack([op(success=True), op(success=True)]))
        self.run_client("nngcat", "--push", "--dial=" + daemon.url("pull"), "--file=" + path)
        self.check_recorded(daemon, 2, "/a")

    @needs("nngcat")
    def test_nngcat_pub(self):
        daemon = self.start()
        self.run_client("nngcat", "--pub", "--dial=" + daemon.url("sub"), "--delay=1", "--data=" + OP)
        self.check_recorded(daemon)

    @needs("nngcat")
    def test_nngcat_req(self):
        daemon = self.start()
        reply = self.run_client("nngcat", "--req", "--dial=" + daemon.url("rep"), "--raw", "--data=" + OP)
        self.assertEqual(unpack(reply), {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": [], "seq": 1})
        self.check_recorded(daemon)

    @needs("nngcat")
    def test_nngcat_over_ipc_and_ws(self):
        path = os.path.join(self.tmp, "s")
        ws = "ws://127.0.0.1:%d/" % free_port()
        daemon = self.start(pull=["ipc://" + path + ".pull", ws + "pull"], rep=["ipc://" + path + ".rep"],
                            sub=["ipc://" + path + ".sub"])
        self.run_client("nngcat", "--push", "--dial=ipc://" + path + ".pull", "--data=" + OP)
        self.run_client("nngcat", "--push", "--dial=" + ws + "pull", "--data=" + OP)
        self.run_client("nngcat", "--pub", "--dial=ipc://" + path + ".sub", "--delay=1", "--data=" + OP)
        reply = self.run_client("nngcat", "--req", "--dial=ipc://" + path + ".rep", "--raw", "--data=" + OP)
        self.assertEqual(unpack(reply)["accepted"], 1)
        self.check_recorded(daemon, 4)

    @needs("nngcat")
    def test_nngcat_req_over_ws(self):
        ws = "ws://127.0.0.1:%d/rep" % free_port()
        daemon = self.start(rep=ws)
        reply = self.run_client("nngcat", "--req", "--dial=" + ws, "--raw", "--data=" + OP)
        self.assertEqual(unpack(reply)["seq"], 1)
        self.check_recorded(daemon)

    @needs("nanocat")
    def test_nanocat_push(self):
        daemon = self.start()
        self.run_client("nanocat", "--push", "--connect", daemon.url("pull"), "--data", OP)
        self.check_recorded(daemon)

    @needs("nanocat")
    def test_nanocat_pub(self):
        daemon = self.start()
        self.run_client("nanocat", "--pub", "--connect", daemon.url("sub"), "--delay", "1", "--data", OP)
        self.check_recorded(daemon)

    @needs("nanocat")
    def test_nanocat_req(self):
        daemon = self.start()
        reply = self.until_printed(rb".*\xa3seq.", "nanocat", "--req", "--connect", daemon.url("rep"), "--raw",
                                   "--data", OP)
        self.assertEqual(unpack(reply)["accepted"], 1)
        self.check_recorded(daemon)

    @needs("nanocat")
    def test_nanocat_over_ipc_and_ws(self):
        path = os.path.join(self.tmp, "s")
        ws = "ws://127.0.0.1:%d/" % free_port()
        daemon = self.start(pull=["ipc://" + path + ".pull", ws], rep="ipc://" + path + ".rep")
        self.run_client("nanocat", "--push", "--connect", "ipc://" + path + ".pull", "--data", OP)
        self.until_printed(rb".*\xa3seq.", "nanocat", "--req", "--connect", "ipc://" + path + ".rep", "--raw",
                           "--data", OP)
        self.run_client("nanocat", "--push", "--connect", ws, "--data", OP)
        self.check_recorded(daemon, 3)


class Transports(DaemonTest):
    def test_several_listeners_of_each_kind(self):
        ipc = "ipc://" + os.path.join(self.tmp, "s")
        daemon = self.start(pull=["tcp://127.0.0.1:0", "listen:tcp://127.0.0.1:0", ipc + "1"],
                            sub=["tcp://127.0.0.1:0", ipc + "2"], rep=["tcp://127.0.0.1:0", ipc + "3"],
                            http=["http://127.0.0.1:0", "http://127.0.0.1:0"])
        self.assertEqual([len(daemon.urls[k]) for k in ("pull", "sub", "rep", "http")], [3, 2, 2, 2])
        self.assertEqual(len({u for urls in daemon.urls.values() for u in urls}), 9)
        ways = [daemon.push(n) for n in range(3)] + [daemon.pub(n) for n in range(2)]
        for n, way in enumerate(ways):
            way.send(pack(op("/%d" % n)))
        for n in range(2):
            with daemon.req(n) as req:
                self.assertEqual(req.request(op("/rep"))["accepted"], 1)
        daemon.wait_total(7)
        self.assertEqual(sorted(r["endpoint"] for r in daemon.journal_rows()),
                         ["/0", "/1", "/2", "/3", "/4", "/rep", "/rep"])
        for way in ways:
            way.close()

    def test_switched_off_sockets(self):
        daemon = self.start(pull=None, sub=None, feed=None)
        self.assertEqual((daemon.urls["pull"], daemon.urls["sub"], daemon.urls["feed"]), ([], [], []))
        with daemon.req() as req:
            self.assertEqual(req.request(op())["seq"], 1)

    def test_ipc_path_in_use_by_a_dead_daemon(self):
        ipc = "ipc://" + os.path.join(self.tmp, "s")
        daemon = self.start(pull=ipc)
        daemon.restart(kill=True)
        with Push(ipc) as push:
            push.send(pack(op()))
            daemon.wait_total(1)


class Dialling(DaemonTest):
    def listen(self, port=0):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(8)
        listener.settimeout(20 * SLOW)
        self.addCleanup(listener.close)
        return listener

    def accept(self, listener, proto, peer):
        return Sp.accepted(listener.accept()[0], proto, peer)

    def test_pull_dials_and_comes_back(self):
        listener = self.listen()
        port = listener.getsockname()[1]
        daemon = self.start(pull="dial:tcp://127.0.0.1:%d" % port)
        with self.accept(listener, PUSH, PULL) as way:
            way.send(pack(op("/1")))
            daemon.wait_total(1)
            listener.close()
        listener = self.listen(port)
        with self.accept(listener, PUSH, PULL) as way:
            way.send(pack(op("/2")))
            daemon.wait_total(2)
        self.assertEqual([r["endpoint"] for r in daemon.journal_rows()], ["/1", "/2"])

    def test_peer_that_is_not_there_at_start(self):
        port = free_port()
        daemon = self.start(pull=["dial:tcp://127.0.0.1:%d" % port, "tcp://127.0.0.1:0"])
        listener = self.listen(port)
        with self.accept(listener, PUSH, PULL) as way:
            way.send(pack(op()))
            daemon.wait_total(1)

    def test_sub_dials_a_publisher(self):
        listener = self.listen()
        daemon = self.start(sub="dial:tcp://127.0.0.1:%d" % listener.getsockname()[1])
        with self.accept(listener, PUB, SUB) as way:
            way.send(b"op.mcp\0" + pack(op()))
            daemon.wait_total(1)

    def test_two_peers(self):
        listeners = [self.listen(), self.listen()]
        daemon = self.start(pull=["dial:tcp://127.0.0.1:%d" % s.getsockname()[1] for s in listeners])
        ways = [self.accept(s, PUSH, PULL) for s in listeners]
        for way in ways:
            way.send(pack(op()))
        daemon.wait_total(2)
        for way in ways:
            way.close()

    def test_garbage_from_the_peer_then_a_good_one(self):
        listener = self.listen()
        daemon = self.start(pull="dial:tcp://127.0.0.1:%d" % listener.getsockname()[1])
        bad = listener.accept()[0]
        bad.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with self.accept(listener, PUSH, PULL) as way:
            way.send(pack(op()))
            daemon.wait_total(1)
        bad.close()


class Topics(DaemonTest):
    def test_all_by_default(self):
        daemon = self.start()
        with daemon.pub() as pub:
            for message in (b"op.mcp\0" + pack(op("/1")), b"x\0" + pack(op("/2")), pack(op("/3"))):
                pub.send(message)
            daemon.wait_total(3)
        self.assertEqual([r["endpoint"] for r in daemon.journal_rows()], ["/1", "/2", "/3"])

    def test_prefixes(self):
        daemon = self.start(args=["--topic", "op.", "--topic", "bot"])
        with daemon.pub() as pub:
            for message in (b"other\0" + pack(op("/no")), pack(op("/no")), b"o\0" + pack(op("/no")),
                            b"op.mcp\0" + pack(op("/1")), b"botany\0" + pack(op("/2")), b"OP.x\0" + pack(op("/no")),
                            b"op.\0" + pack([op("/3"), op("/4")])):
                pub.send(message)
            daemon.wait_total(4)
        self.assertEqual([r["endpoint"] for r in daemon.journal_rows()], ["/1", "/2", "/3", "/4"])
        self.assertEqual(daemon.rejected_rows(), [])

    def test_topics_on_pull_and_rep(self):
        daemon = self.start(args=["--topic", "op."])
        with daemon.push() as push, daemon.req() as req:
            push.send(b"any\0" + pack(op("/1")))
            daemon.wait_total(1)
            self.assertEqual(req.request(b"any\0" + OP.encode())["seq"], 2)


class Requests(DaemonTest):
    def test_fifty_requesters_at_once(self):
        daemon = self.start()
        failures = []

        def producer(n):
            try:
                with daemon.req(timeout=30) as req:
                    for k in range(20):
                        answer = req.request([op(op_id="%d-%d-%d" % (n, k, i)) for i in range(3)])
                        if (answer["accepted"], answer["rejected"], answer["duplicates"]) != (3, 0, 0):
                            failures.append(answer)
            except Exception as e:  # reported by the test's thread
                failures.append(e)

        threads = [threading.Thread(target=producer, args=(n,)) for n in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        ids = [r["op_id"] for r in daemon.journal_rows()]
        self.assertEqual(len(ids), 50 * 20 * 3)
        self.assertEqual(set(ids), {"%d-%d-%d" % (n, k, i) for n in range(50) for k in range(20) for i in range(3)})

    def test_answers_do_not_wait_for_other_requesters(self):
        """100 requests are all under way before the first answer is read."""
        daemon = self.start()
        reqs = [daemon.req() for _ in range(100)]
        for n, req in enumerate(reqs):
            req.send_request(pack(op(op_id=str(n))))
        seqs = [unpack(req.recv_reply())["seq"] for req in reqs]
        self.assertEqual(sorted(seqs), list(range(1, 101)))
        for req in reqs:
            req.close()

    def test_row_is_in_the_journal_when_the_answer_comes(self):
        daemon = self.start()
        with daemon.req() as req:
            for n in range(1, 51):
                self.assertEqual(req.request(op(op_id=str(n)))["seq"], n)
                self.assertEqual(len(daemon.journal_lines()), n)

    def test_duplicates(self):
        daemon = self.start()
        with daemon.req() as req:
            self.assertEqual(req.request(op(op_id="a")),
                             {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": [], "seq": 1})
            again = req.request(op("/other", op_id="a"))
            self.assertEqual((again["accepted"], again["duplicates"], again["rejected"]), (0, 1, 0))
            mixed = req.request([op(op_id="a"), op(op_id="b"), op(op_id="b"), op(), {"x": 1}])
            self.assertEqual((mixed["accepted"], mixed["duplicates"], mixed["rejected"], mixed["seq"]), (2, 2, 1, 3))
            self.assertEqual(mixed["errors"], [{"index": 4, "error": "endpoint: required"}])
            self.assertEqual((again["duplicate_ops"], mixed["duplicate_ops"]), ([0], [0, 2]))
            self.assertNotIn("retry", mixed)
            self.assertEqual(req.request(op(op_id=""))["accepted"], 1)
            self.assertEqual(daemon.post("/event", op(op_id="b")).json["accepted"], True)  # of another source: another op
            self.assertEqual(req.request(op(op_id="b", source="scenario"))["duplicates"], 1)
        daemon.restart()
        with daemon.req() as req:
            self.assertEqual(req.request(op(op_id="b"))["duplicates"], 1)
        self.assertEqual([r.get("op_id") for r in daemon.journal_rows()], ["a", "b", None, "", "b"])

    def test_malformed_requests_are_answered(self):
        daemon = self.start()
        cases = [(b"", "message: empty"), (b"hello", "message: no payload after the topic"),
                 (b"\x81\xa8endpoint", "msgpack: truncated at byte 10"), (b'{"endpoint":', "json: truncated at byte 12"),
                 (b"\x80", "endpoint: required"), (b"\x91\x05", "op: must be a map")]
        with daemon.req() as req:
            for message, reason in cases:
                self.assertEqual(req.request(message), {"accepted": 0, "duplicates": 0, "rejected": 1,
                                                        "errors": [{"index": 0, "error": reason}], "seq": 0})
            self.assertEqual(req.request(op())["seq"], 1)
        wait_until(lambda: len(daemon.rejected_rows()) == len(cases), 5, "rejected rows")
        self.assertEqual([r["reason"] for r in daemon.rejected_rows()], [reason for _, reason in cases])

    def test_requester_that_does_not_wait_for_its_answer(self):
        daemon = self.start()
        for n in range(50):
            with daemon.req() as req:
                req.send_request(pack(op(op_id=str(n))))
                if n % 2:
                    time.sleep(0.002)
        with daemon.req() as req:
            req.request(op(op_id="last"))
        self.assertLessEqual(set(r["op_id"] for r in daemon.journal_rows()), {str(n) for n in range(50)} | {"last"})

    def test_a_new_request_replaces_the_one_before(self):
        daemon = self.start()
        with daemon.req() as req:
            for n in range(10):
                req.send_request(pack(op(op_id=str(n))))
            unpack(req.recv_reply())
            self.assertEqual(req.request(op(op_id="last"))["accepted"], 1)


class Misbehaviour(DaemonTest):
    def check_alive(self, daemon, already=0):
        with daemon.push() as push, daemon.pub() as pub, daemon.req() as req:
            push.send(pack(op("/push")))
            pub.send(pack(op("/pub")))
            self.assertEqual(req.request(op("/req"))["accepted"], 1)
            daemon.wait_total(already + 3)
        self.assertTrue(daemon.alive())

    def test_message_over_the_limit(self):
        """A little over it is refused with a reason; far over it closes the connection. Others are served on."""
        daemon = self.start()
        with daemon.push() as push:
            push.send(OP.encode() + b" " * LIMIT)
            wait_until(daemon.rejected_rows, 10, "a rejected row")
            push.send(pack(op("/after")))
            daemon.wait_total(1)
        with daemon.req() as req:
            answer = req.request(OP.encode() + b" " * LIMIT)
            self.assertEqual(answer["errors"], [{"index": 0, "error": "message: larger than 4194304 bytes"}])
        self.assertEqual([(r["transport"], r["reason"]) for r in daemon.rejected_rows()],
                         [(t, "message: larger than 4194304 bytes") for t in ("pull", "rep")])
        for connect in (daemon.push, daemon.pub, daemon.req):
            with connect() as way, self.assertRaises(OSError, msg=connect):
                way.send(b"\x80\0\0\0" + b"x" * (2 * LIMIT + 4096))
                way.read_exactly(1)
        self.check_alive(daemon, 1)

    def test_exactly_the_limit_is_taken(self):
        daemon = self.start()
        with daemon.req() as req:
            self.assertEqual(req.request(OP.encode().ljust(LIMIT))["accepted"], 1)

    def test_length_that_is_a_lie(self):
        daemon = self.start()
        for length in (2**64 - 1, 2**63, 2**40, LIMIT * 4):
            with daemon.push() as push, self.assertRaises(OSError):
                push.sock.sendall(struct.pack(">Q", length) + b"x" * 100)
                push.read_exactly(1)
        self.check_alive(daemon)

    def test_half_a_message_then_gone(self):
        daemon = self.start()
        message = pack(op())
        for cut in range(len(message)):
            with daemon.push() as push:
                push.sock.sendall(struct.pack(">Q", len(message)) + message[:cut])
        self.check_alive(daemon)
        self.assertEqual(len(daemon.journal_rows()), 3)

    def test_wrong_greetings(self):
        daemon = self.start()
        port = int(daemon.url("pull").rsplit(":", 1)[1])
        for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"\0SP\1\0\x50\0\0", b"\0SP\0\0\x30\0\0", b"\0", b"\xff" * 64, b""):
            with socket.create_connection(("127.0.0.1", port), 10) as s:
                s.sendall(greeting)
        self.check_alive(daemon)

    def test_request_without_an_id(self):
        daemon = self.start()
        for body in (b"", b"\0", b"\x7f\xff\xff\xff" + pack(op()), b"\0\0\0\1" * 20 + pack(op())):
            with daemon.req() as req:
                req.send(body)
        self.check_alive(daemon)

    def test_a_requester_that_never_reads(self):
        daemon = self.start(data_dir=None)
        bad = json.dumps([{"k" * 60: 1} for _ in range(120)]).encode()
        with daemon.req(timeout=1.0) as deaf, daemon.req(timeout=30.0) as other:
            with self.assertRaises(TimeoutError):
                for _ in range(20000):
                    deaf.send_request(bad)
            self.assertEqual(other.request(op())["accepted"], 1)

    def test_small_messages_after_large_ones_find_room(self):
        daemon = self.start()
        ways = [daemon.req() for _ in range(40)]
        large = json.dumps([op(input_summary="y" * 200) for _ in range(1000)]).encode()
        for round_ in range(12):
            for way in ways:
                way.send_request(large if round_ < 2 else json.dumps(op()).encode())
            answers = [unpack(way.recv_reply()) for way in ways]
            if round_ >= 2:
                self.assertEqual([a["accepted"] for a in answers], [1] * 40)
        for way in ways:
            way.close()

    def test_a_requester_is_never_in_its_own_way(self):
        """Each message fills the queue; the next one is sent when the answer is there."""
        daemon = self.start(args=["--queue-bytes", "64K"])
        with daemon.req() as req:
            for _ in range(300):
                self.assertEqual(req.request([op(input_summary="z" * 1000) for _ in range(50)])["accepted"], 50)

    def transports(self, daemon):
        counts = daemon.get("/v1/observer/health").json["transports"]
        for n in counts.values():
            self.assertEqual(n["received"], n["recorded"] + n["duplicate"] + n["rejected"] + n["in_flight"])
            self.assertEqual(n["refused"], 0)
        return {name: tuple(n[of] for of in ("received", "recorded", "duplicate", "rejected", "in_flight"))
                for name, n in counts.items()}

    def test_counts_balance(self):
        """Every op sent over PULL and REP is a row, a duplicate or a reject."""
        daemon = self.start()
        sent = accepted = duplicates = rejected = 0
        with daemon.push() as push, daemon.req() as req:
            for n in range(100):
                batch = [op(op_id="p%d" % n), op(), {"x": 1}, op(duration_ms=-1)]
                push.send(pack(batch))
                batch = [op(op_id="r%d" % (n // 2)), op(count="x"), op()]
                answer = req.request(batch)
                accepted += answer["accepted"]
                duplicates += answer["duplicates"]
                rejected += answer["rejected"]
                sent += 3
            self.assertEqual((accepted, duplicates, rejected), (150, 50, 100))
            self.assertEqual(accepted + duplicates + rejected, sent)
            daemon.wait_total(200 + 150)
        daemon.post("/v1/observer/event", [op(op_id="p1"), op(), op(turns=1.5)])
        want = {"pull": (400, 200, 0, 200, 0), "sub": (0, 0, 0, 0, 0), "rep": (300, 150, 50, 100, 0),
                "http": (3, 1, 1, 1, 0), "tail": (0, 0, 0, 0, 0), "nats": (0, 0, 0, 0, 0)}
        wait_until(lambda: self.transports(daemon) == want, 10, "balanced counts")
        daemon.stop()
        self.assertEqual(len(daemon.journal_rows()), 351)
        reasons = [r["reason"] for r in daemon.rejected_rows()]
        self.assertEqual({r: reasons.count(r) for r in set(reasons)}, {
            "endpoint: required": 100, "duration_ms: must not be negative": 100, "count: must be an integer": 100,
            "turns: must be an integer": 1})

    def test_order_of_one_producer_is_kept(self):
        daemon = self.start()
        with daemon.push() as push:
            for n in range(500):
                push.send(pack([op(count=2 * n), op(count=2 * n + 1)]))
            daemon.wait_total(1000)
        self.assertEqual([r["count"] for r in daemon.journal_rows()], list(range(1000)))

    def test_many_connections_come_and_go(self):
        daemon = self.start()
        for _ in range(10):
            ways = [daemon.push() for _ in range(30)]
            for way in ways:
                way.close()
        self.check_alive(daemon)

    def test_ephemeral_leaves_no_file(self):
        daemon = self.start(data_dir=None)
        with daemon.req() as req:
            self.assertEqual(req.request([op(), {}])["accepted"], 1)
        daemon.stop()
        self.assertEqual(sorted(os.listdir(daemon.work_dir)), ["stderr.1", "stdout.1"])


if __name__ == "__main__":
    main()
