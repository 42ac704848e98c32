"""observerctl pub: flags, files and streams to every socket; what is broken or rejected is told, the rest arrives."""

import json
import os
import pty
import random
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

from ctl import CtlTest, free_url
from harness import PULL, PUSH, REP, REQ, SLOW, Sp, main, pack, unstamped, wait_until


def ops(n, **more):
    return [dict({"endpoint": "/bulk", "success": True, "duration_ms": i, "op_id": "bulk-%d" % i}, **more)
            for i in range(n)]


def ndjson(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def awaits_sigterm(pid):
    """Whether the process has blocked SIGTERM, to read it when it can."""
    with open("/proc/%d/status" % pid) as status:
        blocked = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk:"))
    return blocked >> signal.SIGTERM - 1 & 1 == 1


class Peer(threading.Thread):
    """One connection of a socket that is not a daemon's."""

    protocols = None

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]

    def run(self):
        try:
            with Sp.accepted(self.listener.accept()[0], *self.protocols, 60) as peer:
                self.serve(peer)
        except OSError:
            pass  # observerctl has gone

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.join(60 * SLOW)
        self.listener.close()


class Answering(Peer):
    """A REP socket that gives the answers it was told to give, each to one request."""

    protocols = REP, REQ

    def __init__(self, answers):
        super().__init__()
        self.answers, self.asked = answers, []

    def serve(self, peer):
        for answer in self.answers:
            request = peer.recv()
            self.asked.append(request[4:])
            peer.send(request[:4] + (answer if isinstance(answer, bytes) else pack(answer)))
        peer.sock.recv(1)


class Slow(Peer):
    """A PULL socket on ipc, where little fits between the two, that reads slowly."""

    protocols = PULL, PUSH

    def __init__(self, path):
        super().__init__()
        self.listener.close()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.url = "ipc://" + path
        self.data = bytearray()

    def serve(self, peer):
        while chunk := peer.sock.recv(65536):
            self.data += chunk
            time.sleep(0.002)

    def messages(self):
        at = 0
        while len(self.data) - at >= 9:  # a byte 1 and the length
            size = struct.unpack_from(">Q", self.data, at + 1)[0]
            at += 9 + size
            if at <= len(self.data):
                yield bytes(self.data[at - size : at])


class Pub(CtlTest):
    def rows(self, daemon, n):
        wait_until(lambda: len(daemon.journal_lines()) >= n, 20, "%d rows" % n)
        rows = daemon.journal_rows()
        self.assertEqual(len(rows), n)
        return rows

    def test_sockets(self):
        daemon = self.start()
        done = self.ctl("pub", "--push", daemon.url("pull"), "--data", '{"endpoint":"/a"}')
        self.assertEqual((done.stdout, done.stderr), ("1 sent, not acknowledged\n", ""))
        done = self.ctl("pub", "--pub", daemon.url("sub"), "--topic", "op.x", "--data", '{"endpoint":"/b"}{"endpoint":"/c"}')
        self.assertEqual((done.stdout, done.stderr), ("2 sent, not acknowledged\n", ""))
        done = self.ctl("pub", "--req", daemon.url("rep"), "-", input='{"endpoint":"/d"}')
        self.assertEqual((done.stdout, done.stderr), ("1 recorded\n", ""))
        self.assertEqual({row["endpoint"] for row in self.rows(daemon, 4)}, {"/a", "/b", "/c", "/d"})
        daemon.stop()

    def test_acknowledged_unless_told_otherwise(self):
        daemon = self.start()
        url = ("--url", daemon.url("http"))
        for n, (args, said) in enumerate(((("--endpoint", "/x"), "1 recorded"), (("--req", "--endpoint", "/x"), "1 recorded"),
                                          (("--req=", "--endpoint", "/x"), "1 recorded"),
                                          (("--endpoint", "/x", "--req"), "1 recorded"),
                                          (("--req", self.path("ops", '{"endpoint":"/x"}')), "1 recorded"),
                                          (("--topic", "op.x", "--data", '{"endpoint":"/x"}'), "1 recorded"),
                                          (("--no-ack", "--endpoint", "/x"), "1 sent, not acknowledged"),
                                          (("--push", "--endpoint", "/x"), "1 sent, not acknowledged"),
                                          (("--push", "--no-ack", "--endpoint", "/x"), "1 sent, not acknowledged"),
                                          (("--pub", "--endpoint", "/x"), "1 sent, not acknowledged"))):
            done = self.ctl("pub", *url, *args)
            self.assertEqual((done.stdout, done.stderr), (said + "\n", ""), args)
            self.rows(daemon, n + 1)
        done = self.ctl("pub", *url, "--endpoint", "", code=1)  # the daemon's own reason
        self.assertEqual((done.stdout, done.stderr), ("0 recorded, 1 rejected\n", "observerctl pub: endpoint: required\n"))
        one = ("--endpoint", "/x", "--op-id", "once")
        self.assertEqual(self.ctl("pub", *url, *one).stdout, "1 recorded\n")
        self.assertEqual(self.ctl("pub", *url, *one).stdout, "0 recorded, 1 duplicate\n")
        done = self.ctl("pub", *url, "--req", "--no-ack", *one, code=2)
        self.assertEqual(done.stderr, "observerctl pub: --req, --no-ack: one of them, not both\n")
        self.assertEqual(self.ctl("pub", *url, "--timeout", "5s", "--endpoint", "/x").stdout, "1 recorded\n")
        done = self.ctl("pub", "--timeout", "5x", "--endpoint", "/x", code=2)
        self.assertEqual(done.stderr, 'observerctl pub: --timeout: must be a time (ms s m h d) from 1ms to 1h, a multiple of 1ms, not "5x"\n')
        daemon.stop()

    def test_it_says_that_it_reads_the_terminal(self):
        daemon = self.start()
        for command, what in (("pub", "ops"), ("review", "the text"), ("cluster", "messages")):
            ours, theirs = pty.openpty()
            args = () if command == "cluster" else ("--url", daemon.url("http"))
            child = self.spawn(command, *args, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.assertEqual(child.stderr.readline().decode(),
                             "observerctl %s: reading %s from standard input; end with Ctrl-D\n" % (command, what))
            os.write(ours, b"\x04")
            child.wait(30 * SLOW)
            os.close(theirs)
            os.close(ours)
        daemon.stop()

    def test_an_op_by_flags(self):
        daemon = self.start()
        self.ctl("pub", "--req", daemon.url("rep"), "--endpoint", "/v1/chat", "--success", "--duration-ms", "120",
                 "--input-summary", 'a "b"\n\u00d7', "--count=-3", "--rescue-attempted=false", "--rescue-succeeded", "true",
                 "--timestamp", "2026-01-02T03:04:05Z", "--extra", '{"id": 12345678901234567890}', "--staffer-id", "me")
        self.assertEqual(daemon.journal_lines()[0].decode(),
                         '{"timestamp":"2026-01-02T03:04:05Z","endpoint":"/v1/chat","input_summary":"a \\"b\\"\\n\u00d7",'
                         '"success":true,"duration_ms":120,"output_summary":"","source":"mcp","staffer_id":"me","count":-3,'
                         '"rescue_attempted":false,"rescue_succeeded":true,"extra":{"id":12345678901234567890}}')
        for flags, words in (
            (["--duration-ms", "-1"], '--duration-ms: "-1" must not be negative'),
            (["--count", "x"], '--count: "x" must be an integer'),
            (["--turns", "9223372036854775808"], "out of range"),
            (["--timestamp", "soon"], "must be a time: ISO 8601, epoch seconds (10 digits) or milliseconds (13)"),
            (["--extra", "{"], '--extra: "{" must be JSON'),
            (["--success=maybe"], '"maybe" is none of: true false'),
            (["--endpoint", b"\xff"], "must be valid UTF-8"),
            (["--endpoint", "/a", "--data", "{}"], "one of them, not several"),
            (["--endpoint", "/a", "file"], "one of them, not several"),
            (["--push", "x", "--req", "y"], "--req, --push: one of them, not both"),
            (["--batch", "0"], "not a number from 1 to 10000"),
        ):
            self.assertIn(words, self.ctl("pub", *flags, code=2, text=False).stderr.decode("utf-8", "replace"))
        self.assertEqual(len(daemon.journal_lines()), 1)
        daemon.stop()

    def test_forms(self):
        daemon = self.start()
        some = ops(6)
        forms = [ndjson(some).encode(), json.dumps(some).encode(), json.dumps(some, indent=2).encode(),
                 "".join(map(json.dumps, some)).encode(), b"\xef\xbb\xbf" + json.dumps(some).encode(),
                 pack(some), b"".join(map(pack, some)), pack(some[:3]) + pack(some[3:]), b"\n" + ndjson(some).encode()]
        paths = [self.path("form.%d" % i, form) for i, form in enumerate(forms)]
        result = self.result("pub", "--req", daemon.url("rep"), *paths)
        self.assertEqual(result, {"sent": 54, "accepted": 6, "duplicates": 48, "rejected": 0, "bad": 0, "errors": []})
        self.assertEqual([row["duration_ms"] for row in daemon.journal_rows()], list(range(6)))
        daemon.stop()

    def test_what_is_wrong_is_told_with_its_place(self):
        daemon = self.start()
        text = '{"endpoint":"/a"}\n{"endpoint":}\n{"endpoint":""}\n\n[{"endpoint":"/b"}, 5]\n{"endpoint":"/c","duration_ms":-1}\n'
        done = self.ctl("pub", "--req", daemon.url("rep"), code=1, input=text)
        self.assertEqual(done.stdout, "2 recorded, 2 rejected, 2 not readable\n")
        self.assertEqual(sorted(done.stderr.splitlines()), sorted([
            "observerctl pub: record 2 (line 2): json: unexpected character at byte 12",
            "observerctl pub: record 3 (line 3): endpoint: required",
            "observerctl pub: record 5 (line 5): must be a map",
            "observerctl pub: record 6 (line 6): duration_ms: must not be negative"]))
        path = self.path("some.msgpack", pack({"endpoint": "/d"}) + pack({"endpoint": ""}) + b"\xc1" + pack({"endpoint": "/e"}))
        result = self.result("pub", "--req", daemon.url("rep"), "--batch", "1", path, code=1)
        self.assertEqual(result, {"sent": 2, "accepted": 1, "duplicates": 0, "rejected": 1, "bad": 1, "errors": [
            {"file": path, "record": 2, "byte": 13, "error": "endpoint: required"},
            {"file": path, "record": 3, "byte": 24, "error": "msgpack: invalid byte 0xc1 at byte 0"}]})
        self.assertEqual([row["endpoint"] for row in daemon.journal_rows()], ["/a", "/b", "/d"])
        daemon.stop()

    def test_what_is_told_does_not_act_on_the_terminal(self):
        daemon = self.start()
        text = '{"endpoint":"/a","\\u001b[2J":1,"\\u001b[2J":2}'
        path = self.path("\x1b[1m", text)
        for name in ("-", path):
            done = self.ctl("pub", "--req", daemon.url("rep"), name, code=1, input=text)
            self.assertIn("\\x1b[2J: duplicate key", done.stderr)
            self.assertNotIn("\x1b", done.stderr)
        daemon.stop()

    def test_no_such_file(self):
        daemon = self.start()
        good = self.path("good", '{"endpoint":"/a"}')
        done = self.ctl("pub", "--req", daemon.url("rep"), good, "nothing", code=1)
        self.assertEqual(done.stderr, "observerctl pub: nothing: No such file or directory\n")
        self.assertEqual(done.stdout, "1 recorded\n")
        daemon.stop()

    def test_a_hundred_thousand(self):
        daemon = self.start(args=["--ring", "200000"])
        path = self.path("many", ndjson(ops(100000)))
        for kind, url in (("--req", daemon.url("rep")), ("--push", daemon.url("pull"))):
            result = self.result("pub", kind, url, path)
            self.assertEqual((result["sent"], result["bad"]), (100000, 0))
        # The window of op_ids is shorter than the file: the second time they are new again, all of them.
        wait_until(lambda: len(daemon.journal_lines()) == 200000, 30, "200,000 rows")
        self.assertEqual([json.loads(line)["duration_ms"] for line in daemon.journal_lines()[:100000:9999]],
                         list(range(0, 100000, 9999)))
        daemon.stop()

    def test_hostile_bytes(self):
        daemon = self.start()
        rng = random.Random(7)
        for first in (b"{", b"[", b"\x80", b"\x93", b"\xdf", b"", b"\xff"):
            noise = first + rng.randbytes(300000)
            done = self.ctl("pub", "--req", daemon.url("rep"), "--json", code=1, input=noise, text=False)
            result = json.loads(done.stdout)
            self.assertGreater(result["bad"], 0)
            self.assertEqual(result["sent"], result["accepted"] + result["duplicates"] + result["rejected"])
        self.assertEqual(daemon.get("/livez").status, 200)
        daemon.stop()

    def test_msgpack_cut_anywhere(self):
        daemon = self.start()
        whole = pack([{"endpoint": "/one", "n": 1}, {"endpoint": "/two"}]) + pack({"endpoint": "/three"})
        ends = [len(pack([{"endpoint": "/one", "n": 1}])), len(pack([{"endpoint": "/one", "n": 1}, {"endpoint": "/two"}])),
                len(whole)]
        for cut in range(0, len(whole) + 1, 3 if SLOW == 1 else 9):
            complete = sum(end <= cut for end in ends)
            good = cut in (0, ends[1], len(whole))
            done = self.ctl("pub", "--req", daemon.url("rep"), "--json", code=0 if good else 1, input=whole[:cut], text=False)
            result = json.loads(done.stdout)
            self.assertEqual((result["accepted"], result["bad"]), (complete, 0 if good else 1), cut)
        daemon.stop()

    def test_a_slow_stream_is_sent_as_it_comes(self):
        daemon = self.start()
        pub = self.spawn("pub", "--req", daemon.url("rep"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in range(1, 4):
            pub.stdin.write(b'{"endpoint":"/slow"}\n{"endpoint":')
            pub.stdin.flush()
            wait_until(lambda: len(daemon.journal_lines()) == 2 * n - 1, 10, "the record is there while more may come")
            pub.stdin.write(b'"/slow"}\n')
            pub.stdin.flush()
            wait_until(lambda: len(daemon.journal_lines()) == 2 * n, 10, "the rest of it too")
        pub.send_signal(signal.SIGINT)
        out, _ = pub.communicate(timeout=30 * SLOW)
        self.assertEqual((pub.returncode, out), (130, b"6 recorded\n"))
        daemon.stop()

    def test_rate(self):
        daemon = self.start()
        started = time.monotonic()
        self.ctl("pub", "--push", daemon.url("pull"), "--rate", "100", "-", input=ndjson(ops(50)))
        self.assertGreater(time.monotonic() - started, 0.35)  # 50 at 100 a second: no sooner
        self.assertEqual(len(self.rows(daemon, 50)), 50)
        daemon.stop()

    def test_everything_has_left_when_it_ends(self):
        path = self.path("large", ndjson([{"endpoint": "/large", "n": n, "extra": ["x" * 60000] * 4} for n in range(50)]))
        with Slow(self.path("socket")) as peer:
            self.ctl("pub", "--push", peer.url, "--timeout", "30000", path)
        self.assertEqual([json.loads(line)["n"] for m in peer.messages() for line in unstamped(m).splitlines() if line != b"[]"],
                         list(range(50)))

    def test_nothing_listens(self):
        for kind in ("--push", "--pub", "--req"):
            url = free_url()
            done = self.ctl("pub", kind, url, "--timeout", "300", "--data", '{"endpoint":"/a"}', code=1)
            self.assertEqual(done.stderr, "observerctl pub: %s: Connection refused (tried for 300 ms)\n" % url)
        daemon = self.start()
        done = self.ctl("pub", "--req", daemon.url("pull"), "--timeout", "300", "--data", "{}", code=1)
        self.assertIn("%s: the listener there is not a REP socket (wrong port?) (tried for 300 ms)" % daemon.url("pull"), done.stderr)
        done = self.ctl("pub", "--req", "nonsense://x", "--data", "{}", code=1)
        self.assertTrue(done.stderr.startswith("observerctl pub: nonsense://x: "), done.stderr)
        daemon.stop()

    def test_asked_again_while_it_cannot_record(self):
        """As `retry` in the answer says; and an answer that is none is an error, whatever it claims."""
        busy = {"accepted": 0, "duplicates": 0, "rejected": 1, "errors": [{"index": 0, "error": "disk full"}], "seq": 0,
                "retry": True}
        done = {"accepted": 1, "duplicates": 0, "rejected": 0, "errors": [], "seq": 7}
        refused = {"accepted": 0, "duplicates": 0, "rejected": 1, "seq": 0,
                   "errors": [{"index": 0, "error": "message: larger than 10 bytes"}]}
        one, three = '{"endpoint":"/a"}', '{"endpoint":"/a"}{"endpoint":"/b"}{"endpoint":"/c"}'
        for answers, text, timeout, code, words in (
            ([busy, busy, done], one, "30000", 0, "1 recorded"),
            ([busy] * 100, one, "300", 1, ": disk full"),
            ([refused], three, "30000", 1, "0 recorded, 3 rejected"),
            ([b"", 1], one, "30000", 1, "the answer is not that of an observer"),
            ([b"\xdf\xff\xff\xff\xff"], one, "30000", 1, "the answer is not that of an observer"),
            ([{"accepted": 1}], one, "30000", 1, "the answer is not that of an observer"),
        ):
            with Answering(answers) as server:
                result = self.ctl("pub", "--req", server.url, "--timeout", timeout, "--data", text, code=code)
                self.assertIn(words, result.stdout + result.stderr)
                self.assertEqual(set(map(unstamped, server.asked)), {"".join(line + "\n" for line in text.replace("}{", "}\n{").split("\n"))
                                                     .encode()})

    def test_the_daemon_comes_later(self):
        url = free_url()
        pub = self.spawn("pub", "--req", url, "--timeout", "30000", "--data", '{"endpoint":"/a"}', stdout=subprocess.PIPE)
        daemon = self.start(rep=url)
        out, _ = pub.communicate(timeout=60 * SLOW)
        self.assertEqual((pub.returncode, out), (0, b"1 recorded\n"))
        daemon.stop()

    def test_no_answer(self):
        daemon = self.start()
        os.kill(daemon.pid, signal.SIGSTOP)
        try:  # the kernel still takes connections, and nobody answers
            done = self.ctl("pub", "--req", daemon.url("rep"), "--timeout", "500", "--data", '{"endpoint":"/a"}', code=1)
            self.assertIn(daemon.url("rep"), done.stderr)
            self.assertIn("500 ms", done.stderr)
            pub = self.spawn("pub", "--req", daemon.url("rep"), "--timeout", "60000", "--data", '{"endpoint":"/a"}',
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            wait_until(lambda: awaits_sigterm(pub.pid), 10, "that pub takes signals")
            pub.terminate()
            out, err = pub.communicate(timeout=30 * SLOW)
            self.assertEqual(pub.returncode, 143, err)
        finally:
            os.kill(daemon.pid, signal.SIGCONT)
        daemon.stop()

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_output_that_cannot_be_written(self):
        daemon = self.start()
        with open("/dev/full", "wb") as full:
            pub = self.spawn("pub", "--req", daemon.url("rep"), "--data", '{"endpoint":"/a"}', stdout=full)
            self.assertEqual(pub.wait(30 * SLOW), 1)
        read, write = os.pipe()
        os.close(read)
        pub = self.spawn("pub", "--req", daemon.url("rep"), "--data", '{"endpoint":"/a"}', stdout=write, stderr=subprocess.PIPE)
        os.close(write)
        _, err = pub.communicate(timeout=30 * SLOW)
        self.assertEqual((pub.returncode, err), (-signal.SIGPIPE, b""))
        daemon.stop()

    def test_progress_on_a_terminal(self):
        daemon = self.start()
        path = self.path("many", ndjson(ops(2000)))
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        pub = self.spawn("pub", "--req", daemon.url("rep"), "--rate", "4000", path, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the last writer has closed it
                break
        self.assertRegex(shown, rb"\r\x1b\[K\[#*\.*\] +\d+% \d+ KiB, \d+/s, \d+ sent")
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-40:])  # and it is taken away
        self.assertEqual(pub.communicate(timeout=30 * SLOW)[0], b"2000 recorded\n")
        daemon.stop()

    def test_help_has_every_field(self):
        """But for the one that the daemon sets."""
        text = self.ctl("pub", "--help").stdout
        names = [line.split("|")[1].strip() for line in self.ctl("fields").stdout.splitlines()[2:]]
        self.assertEqual([name for name in names if "--" + name.replace("_", "-") + " " not in text
                          and "--" + name.replace("_", "-") + "[" not in text], ["key_id"])
        self.assertIn("130 interrupted", text)


if __name__ == "__main__":
    main()
