"""The feed of a real observerd over SP: what was recorded arrives, in order and numbered; who does not read loses what it
misses and nothing else happens."""

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from feed_client import Follower, stuck_subscriber, subscribers, wait_subscribers
from harness import OBSERVERD, PUB, PULL, ROOT, SLOW, SUB, DaemonTest, Sp, SpError, Sub, main, pack, unpack, wait_until

MESSAGE_BYTES, SOURCES = 48 << 10, 1023


def op(endpoint="/a", **fields):
    return {"endpoint": endpoint, "success": True, **fields}


class FeedTest(DaemonTest):
    def start_feed(self, data_dir="data", feed="tcp://127.0.0.1:0", **kw):
        return self.start(data_dir, feed=feed, **kw)

    def follow(self, daemon, n=0):
        follower = Follower(daemon.subscribe(n))
        self.addCleanup(follower.close)
        return follower

    def record(self, daemon, ops, timeout=60):
        with daemon.req(timeout=timeout) as req:
            answer = req.request(ops)
        self.assertEqual((answer["accepted"], answer["rejected"]), (len(ops), 0))

    def record_behind(self, daemon, ops, before):
        """Records `ops` when the feed is through with the `before` ops that came first."""
        def through():
            counts = daemon.get("/health").json["feed"]
            return counts["ops"] + counts["dropped"] == before

        wait_until(through, 60, "the feed to be through")
        self.record(daemon, ops)

    def check_numbers(self, ops):
        """Every op from the first on is there: seq and, on each topic, topic_seq have no gap."""
        by_topic = {}
        for topic, m in ops:
            by_topic.setdefault(topic, []).append(m)
        self.assertEqual(sorted(m["seq"] for _, m in ops), list(range(1, len(ops) + 1)))
        for maps in by_topic.values():
            self.assertEqual([m["topic_seq"] for m in maps], list(range(1, len(maps) + 1)))
            self.assertEqual([m["seq"] for m in maps], sorted(m["seq"] for m in maps))
        return by_topic


class Content(FeedTest):
    def test_every_recorded_op_arrives_as_its_row(self):
        daemon = self.start_feed()
        feed = self.follow(daemon)
        odd = op("/odd", source="scrum", extra={"a": [1, -2.5, None, True, {"b": []}], "": {}}, count=-7,
                 op_id="id-1", turns=2**62, error="line\nbreak \"q\" \\ \u20ac \U0001f600 \0", own=2**64 - 1,
                 list=[[], [[]], {}], f=1e-7)
        with daemon.req() as req:
            self.assertEqual(req.request([odd, op("", source="x"), odd, op("/b", source="mcp")])["accepted"], 2)
        self.assertEqual(daemon.post("/event", {"staffer_id": "s", "success": False}).status, 200)
        self.assertEqual(daemon.post("/event", [{"duration_ms": -1}, {"ok": True, "source": "bot"}]).status, 200)
        self.assertEqual(daemon.post("/v1/observer/event", '{"endpoint":"/n","n":[1e300,%d,-0.0]}' % 2**80).status, 200)
        with daemon.push() as push:
            push.send(pack(op("/c", source="mcp", seq=99, topic_seq="x")))
            got = sorted(feed.take_ops(6), key=lambda item: item[1]["seq"])  # topics that wait together go one by one
        rows = daemon.journal_rows()
        del rows[5]["seq"], rows[5]["topic_seq"]  # a producer's fields of the feed's names stay in the journal
        self.assertEqual([list(m.items())[2:] for _, m in got], [list(row.items()) for row in rows])
        self.assertEqual([topic.decode() for topic, _ in got], ["op." + row["source"] for row in rows])
        self.check_numbers(got)
        feed.take_to_seq(6)
        self.assertEqual(len(feed.ops), 6)

    def test_ops_of_a_topic_share_messages(self):
        daemon = self.start_feed(None)
        feed = self.follow(daemon)
        for i in range(0, 6000, 500):
            self.record(daemon, [op("/%d" % n, source="s%d" % (n % 3)) for n in range(i, i + 500)])
        topics = self.check_numbers(feed.take_ops(6000))
        self.assertEqual([m["endpoint"] for m in topics[b"op.s1"]], ["/%d" % n for n in range(1, 6000, 3)])
        self.assertLess(len(feed.sizes), 600)
        self.assertLessEqual(max(feed.sizes), MESSAGE_BYTES + len(b"op.s1\0"))

    def test_hostile_sources(self):
        daemon = self.start_feed(None)
        feed = self.follow(daemon)
        sources = {
            "a\0b": b"op.a", "\0": b"op.", "line\nbreak": b"op.line\nbreak", "{": b"op.{", "stats": b"op.stats",
            "x" * 65536: b"op." + b"x" * 125, "x" * 126: b"op." + b"x" * 125, "y" * 125: b"op." + b"y" * 125,
            "z" * 124 + "\u20ac": b"op." + b"z" * 124, "(other)": b"op.(other)",
        }
        self.record(daemon, [op(source=s) for s in sources])
        got = feed.take_ops(len(sources))
        self.assertEqual({m["source"]: topic for topic, m in got}, sources)
        self.check_numbers(got)

    def test_large_ops(self):
        daemon = self.start_feed()
        feed = self.follow(daemon)
        large = [op("/%d" % i, extra={"part%d" % k: chr(97 + i) * 60000 for k in range(4)}) for i in range(5)]
        self.record(daemon, large + [op("/last")])
        got = feed.take_ops(6)
        self.assertEqual([m["extra"] for _, m in got[:5]], [o["extra"] for o in large])
        self.check_numbers(got)

    def test_more_sources_than_topics(self):
        daemon = self.start_feed(None)
        feed = self.follow(daemon)
        names = ["s%04d" % i for i in range(SOURCES + 100)]
        got = []
        for _ in range(2):  # a message a topic: more at once than the socket keeps would be dropped on a busy machine
            for at in range(0, len(names), 50):
                piece = names[at:at + 50]
                self.record(daemon, [op(source=name) for name in piece])
                got = feed.take_ops(len(got) + len(piece))
        topics = self.check_numbers(got)
        self.assertEqual(len(topics), SOURCES + 1)
        for n, name in enumerate(names):
            topic = b"op." + name.encode() if n < SOURCES else b"op.(other)"
            self.assertEqual(sum(m["source"] == name for m in topics[topic]), 2)

    def test_heartbeat(self):
        daemon = self.start_feed(None)
        feed = self.follow(daemon)
        self.record(daemon, [op(), op(success=False), op(source="bot", ok=True), op(source="long" * 50)])
        while len(feed.stats) < 4:
            feed.take()
        first, last = feed.stats[0], feed.stats[3]
        self.assertEqual(list(last), ["seq", "topic_seq", "boot", "time", "total", "successes", "failures", "by_source",
                                      "ring", "feed"])
        self.assertEqual((first["seq"], first["total"], first["by_source"]), (0, 0, {}))
        numbers = {key: last[key] for key in ("seq", "total", "successes", "failures", "ring")}
        self.assertEqual(numbers, {"seq": 4, "total": 4, "successes": 3, "failures": 1, "ring": 4})
        self.assertEqual(last["by_source"], {"mcp": 2, "bot": 1, "(other)": 1})
        self.assertEqual([s["topic_seq"] - first["topic_seq"] for s in feed.stats[:4]], [0, 1, 2, 3])
        self.assertEqual({s["boot"] for s in feed.stats}, {first["boot"]})
        self.assertEqual(list(last["feed"]), ["ops", "messages", "bytes", "dropped", "lost", "subscribers"])
        self.assertEqual([last["feed"][k] for k in ("ops", "dropped", "lost", "subscribers")], [4, 0, 0, 1])

    def test_a_restart_is_seen(self):
        daemon = self.start_feed()
        feed = self.follow(daemon)
        self.record(daemon, [op(), op()])
        boot = feed.stats[0]["boot"]
        self.assertEqual([m["topic_seq"] for _, m in feed.take_ops(2)], [1, 2])
        daemon.restart(kill=True)
        feed = self.follow(daemon)
        self.assertGreater(feed.stats[0]["boot"], boot)
        self.assertEqual((feed.stats[0]["seq"], feed.stats[0]["total"]), (2, 2))
        self.record(daemon, [op()])
        (_, m), = feed.take_ops(1)
        self.assertEqual((m["seq"], m["topic_seq"]), (3, 1))

    def test_a_stop_sends_what_was_recorded(self):
        daemon = self.start_feed(None)
        feed = self.follow(daemon)
        self.record(daemon, [op("/%d" % i) for i in range(2000)])
        daemon.process.send_signal(signal.SIGTERM)
        with self.assertRaises(SpError):
            while True:
                feed.take()
        self.check_numbers(feed.ops)
        self.assertEqual((len(feed.ops), feed.stats[-1]["seq"], feed.stats[-1]["total"]), (2000, 2000, 2000))
        self.assertEqual(daemon.wait(), 0)


class Gaps(FeedTest):
    def test_who_does_not_read_sees_how_much_it_missed(self):
        daemon = self.start_feed(None)
        url = daemon.url("feed")
        feed = Follower(stuck_subscriber(url))
        self.addCleanup(feed.close)
        batch = [op(source="s%d" % (i % 2), input_summary="x" * 4000) for i in range(400)]
        for _ in range(30):
            self.record(daemon, batch)
        self.record_behind(daemon, batch[:2], 12000)
        feed.take_to_seq(12002)
        self.assertGreater(feed.missed, 0)
        self.assertEqual(len(feed.ops) + feed.missed, 12002)
        self.assertEqual({topic: feed.seen[topic] for topic in (b"op.s0", b"op.s1")}, {b"op.s0": 6001, b"op.s1": 6001})

    def test_one_who_comes_back_sees_what_it_missed(self):
        daemon = self.start_feed(None)
        with self.follow(daemon) as feed:
            self.record(daemon, [op(source="a"), op(source="b")])
            feed.take_ops(2)
        wait_subscribers(daemon, 0)
        self.record(daemon, [op(source="a")] * 3)
        feed = self.follow(daemon)
        self.record(daemon, [op(source="a"), op(source="b")])
        self.assertEqual([(t, m["seq"], m["topic_seq"]) for t, m in feed.take_ops(2)], [(b"op.a", 6, 5), (b"op.b", 7, 2)])


class Subscribers(FeedTest):
    def test_fifty_that_never_read(self):
        daemon = self.start_feed(args=["--segment-bytes", "1G"])
        stuck = [stuck_subscriber(daemon.url("feed")) for _ in range(50)]
        wait_subscribers(daemon, 50)
        feed = self.follow(daemon)
        for i in range(40):
            self.record(daemon, [op("/%d" % n, input_summary="x" * 500) for n in range(i * 500, i * 500 + 500)])
        self.record_behind(daemon, [op("/20000")], 20000)
        self.assertEqual([row["endpoint"] for row in daemon.journal_rows()], ["/%d" % n for n in range(20001)])
        feed.take_to_seq(20001)
        self.assertEqual(len(feed.ops) + feed.missed, 20001)
        for s in stuck:
            s.close()
        wait_subscribers(daemon, 1)

    def test_one_is_killed_amid_traffic(self):
        daemon = self.start_feed()
        code = ("import sys; sys.path.insert(0, %r)\nfrom harness import Sub\ns = Sub(%r)\n"
                "while True: s.recv()" % (os.path.dirname(os.path.abspath(__file__)), daemon.url("feed")))
        children = [subprocess.Popen([sys.executable, "-B", "-c", code]) for _ in range(3)]
        self.addCleanup(lambda: [(c.kill(), c.wait()) for c in children])
        wait_subscribers(daemon, 3)
        feed = self.follow(daemon)
        for i, child in enumerate(children):
            for _ in range(5):
                self.record(daemon, [op(input_summary="y" * 200)] * 200)
            child.kill()
            child.wait()
            wait_subscribers(daemon, 3 - i)
        feed.take_to_seq(3000)
        self.assertEqual((len(feed.ops) + feed.missed, len(daemon.journal_rows())), (3000, 3000))

    def test_what_is_no_subscriber_is_turned_away(self):
        daemon = self.start_feed(None)
        feed = self.follow(daemon)
        url = daemon.url("feed")
        for greeting in (b"GET / HTTP/1.1\r\n\r\n", b"\0SP\0" + struct.pack(">HH", PULL, 0)):
            with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 10) as s:
                s.sendall(greeting)
                self.assertIn(self.read_to_end(s), (b"", b"\0SP\0" + struct.pack(">HH", PUB, 0)))
        with Sub(url) as talker:
            talker.send(b"hello")
            self.read_to_end(talker.sock)
        with Sub(url) as talker:
            talker.sock.sendall(struct.pack(">Q", 1 << 40))
            self.read_to_end(talker.sock)
        wait_subscribers(daemon, 1)
        self.record(daemon, [op()])
        feed.take_ops(1)

    def test_a_daemon_that_was_suspended_goes_on(self):
        daemon = self.start_feed(None)
        feed = daemon.subscribe()
        self.addCleanup(feed.close)
        message = pack([op(source="s%d" % (i % 1000)) for i in range(4000)])
        done = threading.Event()

        def heartbeat(since_ms):
            end = time.monotonic() + 30 * SLOW
            while True:  # not a Follower: it would not keep up
                topic, payload = feed.recv().split(b"\0", 1)
                if topic == b"stats" and unpack(payload)["time"] >= since_ms:
                    return unpack(payload)
                self.assertLess(time.monotonic(), end, "no heartbeat")

        def load():
            with daemon.push(timeout=60) as push:
                while not done.is_set():
                    push.send(message)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(2):
                while heartbeat(0)["feed"]["ops"] == 0:
                    pass
                daemon.process.send_signal(signal.SIGSTOP)
                time.sleep(1.5)
                daemon.process.send_signal(signal.SIGCONT)
                heartbeat(time.time() * 1000)
        finally:
            done.set()
            thread.join()

    def read_to_end(self, sock):
        data = b""
        sock.settimeout(20)
        try:
            while chunk := sock.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        return data

    def test_two_urls_and_ipc(self):
        ipc = "ipc://" + os.path.join(self.tmp, "feed")
        daemon = self.start_feed(None, ["tcp://127.0.0.1:0", "listen:" + ipc])
        self.assertEqual(daemon.urls["feed"][1], ipc)
        self.assertEqual(daemon.get("/health").json["urls"]["feed"], daemon.urls["feed"])
        followers = [self.follow(daemon, 0), self.follow(daemon, 1)]
        self.record(daemon, [op("/%d" % i) for i in range(100)])
        for feed in followers:
            self.check_numbers(feed.take_ops(100))

    def test_dial(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = "dial:tcp://127.0.0.1:%d" % server.getsockname()[1]
            daemon = self.start_feed(None, url)
            self.assertEqual(daemon.urls["feed"], [url])
            server.settimeout(30)
            for n in range(2):  # it dials again
                with Follower(Sp.accepted(server.accept()[0], SUB, PUB)) as feed:
                    self.record(daemon, [op("/%d" % n)])
                    (_, m), = feed.take_ops(1)
                    self.assertEqual((m["seq"], m["endpoint"]), (n + 1, "/%d" % n))


class Document(FeedTest):
    def test_the_python_subscriber_of_feed_md(self):
        with open(os.path.join(ROOT, "proto", "feed.md")) as f:
            code = f.read().split("```python\n")[1].split("```")[0]
        with open(os.path.join(self.tmp, "msgpack.py"), "w") as f:  # the package's Unpacker, as far as it is used
            f.write("import sys\nsys.path.append(%r)\nfrom harness import unpack_all\n"
                    "def Unpacker(f): return iter(unpack_all(f.read()))\n" % os.path.dirname(os.path.abspath(__file__)))
        daemon = self.start_feed(None)
        port = daemon.url("feed").rsplit(":", 1)[1]
        self.assertIn("3804", code)
        path = os.path.join(self.tmp, "subscriber.py")
        with open(path, "w") as f:
            f.write(code.replace("3804", port))
        out = os.path.join(self.tmp, "out")
        with open(out, "wb") as f:
            child = subprocess.Popen([sys.executable, "-B", "-u", path], stdout=f)
        self.addCleanup(lambda: (child.kill(), child.wait()))
        wait_subscribers(daemon, 1)
        self.follow(daemon)  # a greeting later, the first one's subscription is in force, too
        self.record(daemon, [op("/a"), op("/b", source="bot", success=False)])
        daemon.stop()
        self.assertEqual(child.wait(30), 0)
        with open(out) as f:
            self.assertEqual(f.read(), "1 mcp /a True\n2 bot /b False\n")


class Configuration(FeedTest):
    def test_none(self):
        daemon = self.start_feed(None, None)
        health = daemon.get("/health").json
        self.assertEqual((daemon.urls["feed"], health["urls"]["feed"]), ([], []))
        self.assertEqual(health["feed"], {"ops": 0, "messages": 0, "bytes": 0, "dropped": 0, "lost": 0,
                                           "subscribers": 0})
        self.record(daemon, [op()])

    def test_health_has_every_url(self):
        daemon = self.start_feed(None, sub=None)
        health = daemon.get("/health").json
        self.assertEqual(health["urls"], {kind: daemon.urls[kind] for kind in ("http", "pull", "sub", "rep", "feed")})
        self.assertEqual(subscribers(daemon), 0)

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            url = "tcp://127.0.0.1:%d" % taken.getsockname()[1]
            code, text = self.make(None, feed=url).run_to_exit()
        self.assertNotEqual(code, 0)
        self.assertIn("observerd: feed %s: address in use by python3 (pid %d)\n" % (url, os.getpid()),
                      re.sub(r"by python[\d.]* ", "by python3 ", text))

    def test_options(self):
        def run(*args):
            env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
            return subprocess.run([OBSERVERD, *args], capture_output=True, text=True, env=env, check=False)

        self.assertIn("\nfeed = tcp://127.0.0.1:3804\n", run("--check-config").stdout)
        self.assertIn("\nfeed = none\n", run("--feed", "none", "--check-config").stdout)
        both = run("--feed", "ipc:///tmp/x", "--feed", "dial:ws://h:1/x", "--check-config").stdout
        self.assertIn("\nfeed = ipc:///tmp/x\nfeed = dial:ws://h:1/x\n", both)
        refused = run("--feed", "http://127.0.0.1:1")
        self.assertEqual((refused.returncode, refused.stderr), (2, 'observerd: feed: must begin with tcp://, tls+tcp://, ipc://, ws://, wss:// or '
                                                                'inproc://, not "http://127.0.0.1:1" (flag --feed)\n'))


if __name__ == "__main__":
    main()
