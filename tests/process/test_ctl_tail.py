"""observerctl tail: what was recorded and then what is recorded, once each and in order; what was missed is told."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

from ctl import CtlTest, free_url
from harness import PUB, SLOW, SUB, Sp, free_port, main, pack, wait_until

OP = {"timestamp": "2020-01-02T03:04:05.678Z", "endpoint": "/e", "input_summary": "asked", "success": True,
      "duration_ms": 5, "output_summary": "came", "source": "mcp"}


class Feed:
    """A feed of the test's own: what it sends, drops and when it is away is the test's to say."""

    def __init__(self, port=0):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.url = "tcp://127.0.0.1:%d" % self.port
        self.connections, self.topics, self.seq, self.boot = [], {}, 0, 1
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(Sp.accepted(connection, PUB, SUB))

    def drop(self, topic, n):
        self.topics[topic] = self.topics.get(topic, 0) + n
        self.seq += n

    def number(self, topic, fields):
        self.topics[topic] = self.topics.get(topic, 0) + 1
        return pack({"seq": self.seq, "topic_seq": self.topics[topic], **fields})

    def send(self, topic, *maps):
        body = topic.encode() + b"\0" + b"".join(self.number(topic, m) for m in maps)
        for connection in self.connections:
            connection.send(body)

    def op(self, **fields):
        self.seq += 1
        op = {**OP, **fields}
        self.send("op." + op["source"], op)

    def beat(self):
        self.send("stats", {"boot": self.boot, "total": self.seq})

    def restart(self):
        """Another daemon: everything is counted from the start."""
        for connection in self.connections:
            connection.close()
        self.connections, self.topics, self.seq, self.boot = [], {}, 0, self.boot + 1

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for connection in self.connections:
            connection.close()


class Tail(CtlTest):
    def feed(self):
        feed = Feed()
        self.addCleanup(feed.close)
        return feed

    def follow(self, *args, **kw):
        """A tail whose output is read by thread; `.out` and `.err` are the lines so far."""
        process = self.spawn("tail", *args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, **kw)
        process.out, process.err = [], []

        def read(stream, lines):
            for line in stream:
                lines.append(line.rstrip("\n"))

        process.readers = [threading.Thread(target=read, args=pair)
                           for pair in ((process.stdout, process.out), (process.stderr, process.err))]
        for reader in process.readers:
            reader.start()
        return process

    def of(self, feed, *args):
        process = self.follow("--feed", feed.url, "-n", "0", *args)
        wait_until(lambda: feed.connections, 10, "tail connected")
        return process

    def end(self, process, code=0, number=signal.SIGINT):
        if number:
            process.send_signal(number)
        self.assertEqual(process.wait(20 * SLOW), code, process.err)
        for reader in process.readers:
            reader.join()

    def lines(self, process, n):
        wait_until(lambda: len(process.out) >= n, 20, "%d lines" % n)
        self.assertEqual(len(process.out), n, process.out)
        return process.out

    # -- with a daemon

    def publish(self, daemon, first, n, **fields):
        ops = [{"endpoint": "/e", "input_summary": "op %d" % i, "success": True, **fields}
               for i in range(first, first + n)]
        answer = daemon.post("/v1/observer/event", ops)
        self.assertEqual((answer.status, answer.json["count"]), (200, n))

    def test_history_then_live_without_gap_or_double(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")
        self.publish(daemon, 1, 20)
        tail = self.follow("--url", daemon.url("http"), "-n", "5", "--json")
        at = 21
        while len(tail.out) < 5 or at < 200:  # while it starts, too
            self.publish(daemon, at, 3)
            at += 3
            time.sleep(0.01)
        wait_until(lambda: tail.out and json.loads(tail.out[-1])["input_summary"] == "op %d" % (at - 1), 20, "the last")
        self.end(tail)
        rows = [json.loads(line) for line in tail.out]
        seqs = [row["seq"] for row in rows]
        self.assertEqual(seqs, list(range(seqs[0], at)))
        self.assertEqual([row["input_summary"] for row in rows], ["op %d" % n for n in seqs])
        self.assertEqual(tail.err, [])
        journal = {i + 1: row for i, row in enumerate(daemon.journal_rows())}
        for row in rows:
            self.assertEqual({k: v for k, v in row.items() if k != "seq"}, journal[row["seq"]])

    def test_json_is_the_row_as_recorded(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")
        op = {"endpoint": "/e", "success": True, "extra": {"big": 2**62, "list": [1, None, "é"]}, "other": [True]}
        for n in range(2):  # one by HTTP, one by the feed
            if n == 1:
                tail = self.follow("--url", daemon.url("http"), "--json")
                self.lines(tail, 1)
                wait_until(lambda: daemon.get("/v1/observer/health").json["feed"]["subscribers"] == 1, 10, "subscribed")
            body = json.dumps(op, ensure_ascii=False).encode()
            self.assertEqual(daemon.post("/v1/observer/event", body).status, 200)
        self.lines(tail, 2)
        self.end(tail)
        for line, row in zip(tail.out, daemon.journal_lines()):
            self.assertEqual(line.split(",", 1)[1], row.decode().split("{", 1)[1])

    def test_filters_are_those_of_http(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")
        fields = {"source": "s1", "endpoint": "/x", "staffer_id": "p", "sig_hash": "h", "event_kind": "k",
                  "task_class": "t", "session_id": "i", "input_summary": "needle"}
        flags = [["--" + k.replace("_", "-"), v] for k, v in fields.items() if k != "input_summary"]
        flags += [["--q", "needle"], ["--success"]]
        tails = [self.follow("--url", daemon.url("http"), "--json", *flag) for flag in flags]
        tails.append(self.follow("--url", daemon.url("http"), "--json", "--failed"))
        wait_until(lambda: daemon.get("/v1/observer/health").json["feed"]["subscribers"] == len(tails), 20, "subscribed")
        other = {k: v + "2" for k, v in fields.items() if k != "input_summary"}
        other["input_summary"] = "hay"
        for op in ({**other, "success": False}, {**fields, "success": True}):
            self.assertEqual(daemon.post("/v1/observer/event", op).status, 200)
        for tail in tails:
            self.lines(tail, 1)
            self.end(tail)
        self.assertEqual([json.loads(t.out[0])["seq"] for t in tails], [2] * len(flags) + [1])

    def test_survives_the_daemon(self):
        # a port that nobody else is served while the daemon is away, not even the connection that dials it
        daemon = self.start(feed="tcp://127.0.0.1:%d" % free_port())
        port = daemon.url("feed")
        http = daemon.url("http")
        tail = self.follow("--url", http)
        self.publish(daemon, 1, 1)
        self.lines(tail, 1)

        def feed():
            return daemon.get("/v1/observer/health").json["feed"]

        wait_until(lambda: feed()["subscribers"] == 1, 10, "subscribed")
        sent = feed()["messages"]
        wait_until(lambda: feed()["messages"] > sent, 10, "a heartbeat, which says which daemon it is")
        self.publish(daemon, 2, 1)
        self.lines(tail, 2)
        daemon.kill()
        wait_until(lambda: tail.err, 10, "away")
        daemon.sockets.update(feed=port, http=http)
        daemon.start()
        wait_until(lambda: len(tail.err) >= 3, 20, "back")
        self.publish(daemon, 3, 1)
        self.lines(tail, 3)
        self.end(tail)
        self.assertEqual(tail.err, ["observerctl tail: %s: nothing received for 3 s: the daemon is away" % port,
                                    "observerctl tail: %s: the daemon is back" % port,
                                    "observerctl tail: the daemon was restarted"])

    def test_a_daemon_without_feed(self):
        daemon = self.start()
        done = self.ctl("tail", "--url", daemon.url("http"), code=1)
        self.assertIn("the daemon has no feed", done.stderr)

    def test_since(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")
        self.publish(daemon, 1, 2, timestamp="2026-01-02T03:04:05Z")
        self.publish(daemon, 3, 20)
        for since, first, last in (("1h", 3, 22), ("2026-01-01", 1, 23)):
            tail = self.follow("--url", daemon.url("http"), "--since", since, "--json")
            want = ["op %d" % i for i in range(first, last + 1)]
            wait_until(lambda: len(tail.out) >= len(want), 20, "the recorded ops")
            self.assertEqual([json.loads(line)["input_summary"] for line in tail.out], want)
            self.publish(daemon, 23, 1)
            wait_until(lambda: len(tail.out) > len(want), 20, "the next op")
            self.end(tail)
        self.assertIn('--since: "soon" is neither', self.ctl("tail", "--since", "soon", code=2).stderr)

    def test_a_cluster(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")

        def fail(error):
            daemon.post("/v1/observer/event", {"endpoint": "/e", "success": False, "error": error})

        fail("no roster for Toledo")
        fail("connection refused")
        cluster = next(c["id"] for c in daemon.get("/v1/observer/clusters").json["clusters"] if "roster" in c["template"])
        tail = self.follow("--url", daemon.url("http"), "--cluster", cluster[:8], "--json")
        self.lines(tail, 1)
        wait_until(lambda: daemon.get("/v1/observer/health").json["feed"]["subscribers"] == 1, 10, "subscribed")
        self.publish(daemon, 1, 3)
        fail("connection refused")
        fail("no roster for Toledo")
        self.lines(tail, 2)
        fail("no roster for Toledo")
        self.lines(tail, 3)
        self.end(tail)
        rows = [json.loads(line) for line in tail.out]
        self.assertEqual([(row["seq"], row["error"]) for row in rows], [(n, "no roster for Toledo") for n in (1, 7, 8)])
        url = ("--url", daemon.url("http"))
        self.assertIn("no recorded ops: cluster: ", self.ctl("tail", "--cluster", "zz", *url, code=1).stderr)
        self.assertEqual(self.ctl("tail", "--cluster", cluster, "--topic", "analysis", *url, code=2).stderr,
                         "observerctl tail: --topic, --cluster: events are not recorded\n")
        other = self.feed()
        self.assertIn("--cluster: only the daemon knows", self.ctl("tail", "--feed", other.url, "--cluster", cluster, code=1).stderr)

    def test_events_read_as_sentences(self):
        daemon = self.start(feed="tcp://127.0.0.1:0", args=["--cycle", "200ms", "--playbook-cycles", "1"])
        url = ("--url", daemon.url("http"))
        failures, analyses, playbooks, raw = tails = [
            self.follow("--topic", topic, *url, *args)
            for topic, args in (("failure.", ()), ("analysis", ()), ("playbook", ()), ("failure.cluster", ("--json", "--count", "1")))]
        wait_until(lambda: daemon.get("/v1/observer/health").json["feed"]["subscribers"] == 4, 20, "subscribed")
        daemon.post("/v1/observer/event", [
            {"endpoint": "/v1/chat", "success": i % 4 > 0, "staffer_id": "good" if i % 4 else "bad", "duration_ms": 5,
             "input_summary": "ask", **({} if i % 4 else {"error": "no model \x1b[31m"})} for i in range(200)])
        wait_until(lambda: all(t.out for t in tails), 30, "an event of each")
        cluster = daemon.get("/v1/observer/clusters").json["clusters"][0]["id"]
        time_ = r"\d\d:\d\d:\d\d\.\d{3} "
        self.assertRegex(failures.out[0], "^" + time_ + r"new        no model at /v1/chat, 1 failure \(observerctl clusters %s\)$" % cluster[:8])
        self.assertRegex(analyses.out[0], "^" + time_ + r'analysis   .*staffer_id "bad".* \(observerctl analyses \d+\)$')
        self.assertRegex(playbooks.out[0], "^" + time_ + r"playbook   (do|don't): .* \(observerctl playbooks [0-9a-f]{8}\)$")
        self.end(raw, number=None)
        self.assertEqual([json.loads(line)["id"] for line in raw.out], [cluster])
        for tail in (failures, analyses, playbooks):
            self.end(tail)
            self.assertNotIn("\x1b", "".join(tail.out))

    # -- with a feed of the test's own

    def test_lines(self):
        feed = self.feed()
        tail = self.of(feed, "--utc")
        feed.op()
        feed.op(success=False, error="bad \x1b[31m\n\x9b \u202e", staffer_id="p")
        feed.op(endpoint="日本語", duration_ms=123456)
        out = self.lines(tail, 3)
        self.assertEqual(out[0], "2020-01-02   ok   mcp          /e                            5 ms  asked -> came")
        self.assertEqual(out[1].split("  ")[-1], "bad \\x1b[31m\\n\\u009b \\u202e <- [p] asked")
        self.assertIn("FAIL mcp", out[1])
        self.assertEqual(out[2], "2020-01-02   ok   mcp          日本語                       2m03s  asked -> came")
        self.end(tail)
        self.assertEqual(tail.err, [])

    def test_gaps_are_told(self):
        feed = self.feed()
        tail = self.of(feed)
        feed.beat()
        feed.op()
        feed.drop("op.mcp", 1204)
        feed.op()
        feed.beat()
        wait_until(lambda: tail.err, 10, "the gap")
        feed.op()
        feed.beat()
        self.lines(tail, 3)
        self.end(tail)
        self.assertEqual(tail.err, ["... 1,204 ops missed"])

    def test_a_restart_is_no_gap_but_what_it_hid_is(self):
        feed = self.feed()
        tail = self.of(feed)
        feed.beat()
        feed.op()
        feed.beat()
        self.lines(tail, 1)
        feed.restart()
        feed.drop("op.mcp", 2)
        wait_until(lambda: feed.connections, 10, "connected again")
        feed.beat()
        wait_until(lambda: tail.err, 10, "the restart")
        feed.op()
        feed.beat()
        wait_until(lambda: len(tail.err) >= 2, 10, "the gap")
        self.end(tail)
        self.assertEqual(tail.err, ["observerctl tail: the daemon was restarted", "... 2 ops missed"])

    def test_several_ops_in_a_message_heartbeats_and_other_topics(self):
        feed = self.feed()
        tail = self.of(feed, "--json", "--stats", "--topic", "")
        feed.seq = 7
        feed.send("op.mcp", OP, OP)
        feed.send("stats", {"boot": 1, "total": 2})
        feed.send("alert.disk", {"text": "full"})
        out = [json.loads(line) for line in self.lines(tail, 4)]
        self.end(tail)
        self.assertEqual(out, [{"seq": 7, **OP}, {"seq": 7, **OP},
                               {"topic": "stats", "seq": 7, "topic_seq": 1, "boot": 1, "total": 2},
                               {"topic": "alert.disk", "seq": 7, "topic_seq": 1, "text": "full"}])

    def test_a_topic_that_nobody_sends_is_named(self):
        feed = self.feed()
        for topic, said in (("nonsense", True), ("opx", True), ("failure.x", True), ("failure", False), ("alert.disk", False),
                            ("op.mcp", False), ("playbook", False)):
            done = self.ctl("tail", "--feed", feed.url, "-n", "0", "--timeout", "50ms", "--topic", topic)
            self.assertEqual(done.stderr, 'observerctl tail: no known topic begins with "%s"; there are: op.SOURCE stats failure.cluster '
                                          "playbook analysis alert.NAME\n" % topic if said else "")

    def test_what_is_no_feed_is_said_once(self):
        feed = self.feed()
        tail = self.of(feed)
        for _ in range(3):
            for connection in feed.connections:
                connection.send(b"op.mcp\0\xdd\xff\xff\xff\xff")
        feed.op()
        self.lines(tail, 1)
        self.end(tail)
        self.assertEqual(len(tail.err), 1, tail.err)
        self.assertIn("is this the daemon's feed?", tail.err[0])

    def test_count_and_timeout(self):
        feed = self.feed()
        tail = self.of(feed, "--count", "2", "--timeout", "60000")
        feed.seq = 1
        feed.send("op.mcp", OP, OP, OP)
        self.end(tail, number=None)
        self.assertEqual(len(tail.out), 2)
        self.ctl("tail", "--feed", feed.url, "-n", "0", "--count", "1", "--timeout", "50", code=1)
        self.ctl("tail", "--feed", feed.url, "-n", "0", "--timeout", "50")

    def test_timeout_bounds_asking_too(self):
        """A daemon that takes connections and does not answer."""
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            tail = self.spawn("tail", "--url", "http://127.0.0.1:%d" % deaf.getsockname()[1], "--feed", free_url(),
                              "--timeout", "%d" % (1000 * SLOW), stderr=subprocess.PIPE)
            with deaf.accept()[0] as asked:
                self.assertTrue(asked.recv(1))
                self.assertEqual(tail.wait(15 * SLOW), 0)

    def test_signals_end_with_0_also_when_the_reader_does_not_read(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            feed = self.feed()
            tail = self.spawn("tail", "--feed", feed.url, "-n", "0", stdout=subprocess.PIPE)
            wait_until(lambda: feed.connections, 10, "tail connected")
            for _ in range(30):
                feed.op(output_summary="x" * 4000)
            wait_until(lambda: select_full(tail.stdout), 10, "a full pipe")
            tail.send_signal(number)
            self.assertEqual(tail.wait(20 * SLOW), 0)

    def test_a_closed_pipe_ends_it_quietly(self):
        feed = self.feed()
        tail = self.spawn("tail", "--feed", feed.url, "-n", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: feed.connections, 10, "tail connected")
        tail.stdout.close()
        self.assertEqual(tail.wait(20 * SLOW), 0)
        self.assertEqual(tail.stderr.read(), b"")

    def test_a_full_disk_is_told(self):
        feed = self.feed()
        with open("/dev/full", "wb") as full:
            tail = self.spawn("tail", "--feed", feed.url, "-n", "0", stdout=full, stderr=subprocess.PIPE)
            wait_until(lambda: feed.connections, 10, "tail connected")
            feed.op()
            self.assertEqual(tail.wait(20 * SLOW), 1)
        self.assertIn(b"standard output: No space left on device", tail.stderr.read())

    def test_used_wrongly(self):
        for args in (["--lines", "x"], ["--success", "--failed"], ["--source", ""], ["--count", "0"], ["extra"]):
            self.ctl("tail", *args, code=2)

    def test_nobody_there(self):
        done = self.ctl("tail", "--feed", free_url(), "--url", "http://127.0.0.1:1", "--timeout", "100")
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertIn("no recorded ops", done.stderr)


def select_full(stream):
    """Whether the pipe holds more than half of what it can."""
    import fcntl
    import struct
    import termios

    held = struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, b"\0" * 4))[0]
    return held > fcntl.fcntl(stream, fcntl.F_GETPIPE_SZ) // 2


if __name__ == "__main__":
    main()
