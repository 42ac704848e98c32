"""Producers that publish to NATS themselves (observer.in.>): what edges make of their messages, whoever is killed meanwhile.
Real nats-servers (nats.py)."""

import itertools
import json
import os
import re

import nats
from harness import DaemonTest, main, pack, wait_until

FIELD = re.compile(r"^observer_(\w+)(?:\{([^}]*)\})? (\S+)$", re.M)


@nats.needs_nats
class ProducersTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.numbers = itertools.count(1)

    def servers(self, ack_wait=None, **options):
        """ack_wait: seconds after which a message goes out again, instead of 30."""
        servers = nats.Servers(os.path.join(self.tmp, "nats"), **options)
        self.addCleanup(servers.stop)
        if ack_wait is not None:
            self.ask(servers, "STREAM.CREATE.OBSERVER_IN",
                     {"name": "OBSERVER_IN", "subjects": ["observer.in.>"], "retention": "workqueue", "storage": "file",
                      "discard": "new", "max_bytes": 1 << 30, "num_replicas": servers.count if servers.count > 1 else 1})
            self.ask(servers, "CONSUMER.DURABLE.CREATE.OBSERVER_IN.observer",
                     {"stream_name": "OBSERVER_IN", "config": {"durable_name": "observer", "ack_policy": "explicit",
                                                               "deliver_policy": "all", "ack_wait": int(ack_wait * 1e9),
                                                               "max_ack_pending": 65536}})
        return servers

    def ask(self, servers, what, body=""):
        answer, = nats.tool("ask", "$JS.API." + what, json.dumps(body) if body else "", url=servers.urls[0])
        self.assertNotIn("error", answer)
        return answer

    def edge(self, servers, name="edge", *more):
        args = ["--cycle", "1", "--replicas", "3" if servers.count > 1 else "1"]
        for url in servers.urls:
            args += ["--forward", url]
        daemon = self.start(name, args=args + list(more))
        wait_until(lambda: self.metric(daemon, "producers_connected") == 1, 30, "the edge to take messages")
        return daemon

    def metric(self, daemon, name, labels=None):
        text = daemon.get("/metrics").body.decode()
        return sum(float(value) for found, had, value in FIELD.findall(text) if found == name and (labels is None or labels in had))

    def counts(self, daemon):
        """Of the transport; they balance at each moment."""
        counts = daemon.get("/v1/observer/health").json["transports"]["nats"]
        self.assertEqual(counts["received"], counts["recorded"] + counts["duplicate"] + counts["rejected"] + counts["in_flight"])
        return counts

    def ops(self, count):
        return [{"endpoint": "/native", "op_id": "n-%d" % n, "session_id": "s%d" % (n % 30), "success": True}
                for n in itertools.islice(self.numbers, count)]

    def waiting(self, servers):
        return self.ask(servers, "STREAM.INFO.OBSERVER_IN")["state"]["messages"]

    def wait_empty(self, servers, seconds=60):
        wait_until(lambda: self.waiting(servers) == 0, seconds, "all messages to be acknowledged")

    def wait_recorded(self, servers, count, *daemons):
        """Of a server that was killed the stream may still have what was acknowledged, or no leader for a moment: it is no witness."""
        try:
            wait_until(lambda: len(set(self.ids(*daemons))) >= count, 90, "all ops to be recorded")
        except AssertionError as e:
            states = [self.ask(servers, what) for what in ("STREAM.INFO.OBSERVER_IN", "CONSUMER.INFO.OBSERVER_IN.observer")]
            raise AssertionError("%s; %d are; NATS says: %s" % (e, len(set(self.ids(*daemons))), json.dumps(states))) from None

    def ids(self, *daemons):
        return sorted(row["op_id"] for daemon in daemons for row in daemon.journal_rows() if "op_id" in row)


class Taking(ProducersTest):
    def test_what_is_published_is_recorded_and_forwarded(self):
        """One op, arrays, ops one behind the other, in JSON and msgpack; the stream is a queue, which gets empty."""
        servers = self.servers()
        daemon = self.edge(servers)
        one, two, three, four, five, six = self.ops(6)
        messages = [one, [two, three], pack(four), pack([five]), json.dumps(six).encode() + b"\n" + json.dumps(one).encode()]
        self.assertEqual(nats.feed(messages, url=servers.urls[0], subject="observer.in.app.web"), {"stored": 5, "failed": 0})
        wait_until(lambda: self.counts(daemon)["received"] == 7, 10, "all to be recorded")
        self.wait_empty(servers)
        self.assertEqual(self.counts(daemon), {"received": 7, "recorded": 6, "duplicate": 1, "rejected": 0, "in_flight": 0,
                                               "refused": 0})
        rows = daemon.journal_rows()
        self.assertEqual([row["op_id"] for row in rows], ["n-%d" % n for n in range(1, 7)])
        self.assertEqual({row["source"] for row in rows}, {"mcp"})
        wait_until(lambda: self.metric(daemon, "spool_ops") == 0, 10, "all to be forwarded")
        self.assertEqual(self.metric(daemon, "producers_messages_total", 'result="recorded"'), 5)
        self.assertEqual(self.metric(daemon, "producers_messages_total", 'result="dead"'), 0)
        self.assertEqual(self.metric(daemon, "intake_messages_total", 'transport="nats"'), 5)
        config = self.ask(servers, "STREAM.INFO.OBSERVER_IN")["config"]
        self.assertEqual((config["retention"], config["discard"], config["max_bytes"]), ("workqueue", "new", 1 << 30))
        consumer = self.ask(servers, "CONSUMER.INFO.OBSERVER_IN.observer")["config"]
        self.assertEqual((consumer["ack_policy"], consumer["ack_wait"]), ("explicit", 30 * 10**9))

    def test_an_op_without_a_timestamp_has_the_time_at_which_it_was_stored(self):
        servers = self.servers(ack_wait=30)
        nats.feed([{"endpoint": "/a", "op_id": "a"}], url=servers.urls[0])
        stored = self.ask(servers, "STREAM.MSG.GET.OBSERVER_IN", {"seq": 1})["message"]["time"]
        daemon = self.edge(servers)
        row, = wait_until(daemon.journal_rows, 10, "the op")
        self.assertEqual(row["timestamp"], stored[:23] + "Z")

    def test_secrets(self):
        """What is redacted elsewhere is redacted here, in dead letters as well."""
        servers = self.servers()
        daemon = self.edge(servers)
        secret = "sk-proj-" + "a1B2c3D4" * 8
        nats.feed([{"endpoint": "/a", "input_summary": "key " + secret}, {"endpoint": 7, "input_summary": "key " + secret}],
                  url=servers.urls[0])
        self.wait_empty(servers)
        self.assertNotIn(secret, json.dumps(daemon.journal_rows()))
        (subject, _, body), = nats.letters(url=servers.urls[0])
        self.assertEqual(subject, "observer.dead.value")
        self.assertNotIn(secret.encode(), body)
        self.assertIn(b'"endpoint":7', body.replace(b" ", b""))

    def test_switched_off_and_on(self):
        """Not with a key file, unless it is said: who may publish is NATS' matter."""
        daemon = self.make(args=["--nats-in", "yes"])
        self.assertNotEqual(daemon.run_to_exit(), 0)
        self.assertIn("nats-in: needs forward", daemon.stderr())
        servers = self.servers()
        keys = os.path.join(self.tmp, "keys.json")
        with open(keys, "w", encoding="utf-8") as f:
            f.write('{"v": 1, "keys": []}')
        os.chmod(keys, 0o600)
        for name, args, takes in (("no", ["--nats-in", "no"], 0), ("keys", ["--keys", keys, "--allow-open"], 0),
                                  ("yes", ["--keys", keys, "--allow-open", "--nats-in", "yes"], 1)):
            daemon = self.start(name, args=["--forward", servers.urls[0], *args])
            log = "taking what producers publish" if takes else "forwarding as edge"
            wait_until(lambda d=daemon, text=log: text in d.stderr(), 20, "the edge to be connected")
            self.assertEqual("taking what producers publish" in daemon.stderr(), takes == 1)
            self.assertEqual("because there is a key file: --nats-in yes takes it" in daemon.stderr(), name == "keys")
            daemon.stop()


class DeadLetters(ProducersTest):
    def test_what_is_rejected_is_put_aside(self):
        servers = self.servers()
        daemon = self.edge(servers)
        good, other = self.ops(2)
        wrong, worse = {"endpoint": "", "op_id": "w1"}, {"endpoint": "/a", "op_id": "w2", "duration_ms": -1}
        messages = [b"no op", wrong, [good, wrong, worse], json.dumps(other).encode() + b" }rest", {"endpoint": "/a", "key_id": "mine"},
                    b"", pack([{"endpoint": "/ok", "op_id": "p1"}, {"endpoint": 3}])]
        self.assertEqual(nats.feed(messages, url=servers.urls[0], subject="observer.in.app", depth=1), {"stored": 7, "failed": 0})
        self.wait_empty(servers)
        letters = {int(headers["Observer-Seq"]): (subject, headers["Observer-Reason"], headers["Observer-Rejected"], body)
                   for subject, headers, body in nats.letters(url=servers.urls[0])}
        self.assertEqual({headers["Observer-Subject"] for _, headers, _ in nats.letters(url=servers.urls[0])}, {"observer.in.app"})
        self.assertEqual({n: (s, count) for n, (s, _, count, _) in letters.items()},
                         {1: ("observer.dead.syntax", "1"), 2: ("observer.dead.value", "1"), 3: ("observer.dead.value", "2"),
                          4: ("observer.dead.syntax", "1"), 5: ("observer.dead.value", "1"), 6: ("observer.dead.syntax", "1"),
                          7: ("observer.dead.value", "1")})
        self.assertEqual(letters[1][3], b"no op")
        self.assertEqual(letters[2][1], "endpoint: required")
        self.assertEqual(letters[2][3], json.dumps(wrong).encode())
        self.assertEqual([json.loads(line) for line in letters[3][3].splitlines()], [wrong, worse])
        self.assertEqual(letters[6][1:], ("message: empty", "1", b""))
        self.assertEqual(letters[7][3], pack({"endpoint": 3}))
        counts = self.counts(daemon)
        self.assertEqual((counts["recorded"], counts["rejected"]), (3, 8))
        self.assertEqual(self.ids(daemon), ["n-1", "n-2", "p1"])
        self.assertEqual(self.metric(daemon, "producers_messages_total", 'result="dead"'), 7)
        reasons = {(row["transport"], row["reason"]) for row in daemon.rejected_rows()}
        self.assertIn(("nats", "endpoint: required"), reasons)

    def test_a_letter_that_was_mended_is_taken(self):
        servers = self.servers()
        daemon = self.edge(servers)
        good, = self.ops(1)
        nats.feed([[good, {"endpoint": "/b", "op_id": "b", "duration_ms": "soon"}]], url=servers.urls[0])
        self.wait_empty(servers)
        (_, _, body), = nats.letters(url=servers.urls[0])
        nats.feed([body.replace(b'"soon"', b"5")], url=servers.urls[0])
        self.wait_empty(servers)
        self.assertEqual(self.ids(daemon), ["b", "n-1"])

    def test_many(self):
        """More than wait for answers at once."""
        servers = self.servers()
        daemon = self.edge(servers)
        nats.feed([b"{%d" % n for n in range(10000)], url=servers.urls[0])
        self.wait_empty(servers, 120)
        self.assertEqual(self.ask(servers, "STREAM.INFO.OBSERVER_DEAD")["state"]["messages"], 10000)
        self.assertEqual(self.counts(daemon)["rejected"], 10000)

    def test_a_full_stream_of_dead_letters(self):
        """Then rejected.jsonl alone has them, and the messages behind them are taken."""
        servers = self.servers()
        self.ask(servers, "STREAM.CREATE.OBSERVER_DEAD",
                 {"name": "OBSERVER_DEAD", "subjects": ["observer.dead.>"], "storage": "file", "discard": "new",
                  "retention": "limits", "max_msgs": 2, "num_replicas": 1})
        daemon = self.edge(servers)
        nats.feed([b"bad-%d" % n for n in range(5)] + self.ops(3), url=servers.urls[0])
        self.wait_empty(servers)
        self.assertEqual(self.metric(daemon, "producers_dead_lost_total"), 3)
        self.assertEqual(len(daemon.rejected_rows()), 5)
        self.assertEqual(len(self.ids(daemon)), 3)
        self.assertIn("it is in rejected.jsonl alone", daemon.stderr())


class Sharing(ProducersTest):
    def test_two_edges_share_the_work(self):
        servers = self.servers()
        one, two = self.edge(servers, "one"), self.edge(servers, "two")
        for _ in range(20):
            nats.feed(self.ops(200), url=servers.urls[0], depth=32)
        self.wait_empty(servers)
        self.assertEqual(self.ids(one, two), sorted("n-%d" % n for n in range(1, 4001)))
        for daemon in (one, two):
            self.assertGreater(self.counts(daemon)["recorded"], 200)
            self.assertEqual(self.metric(daemon, "producers_redelivered_total"), 0)

    def test_an_edge_is_stopped(self):
        """What it had and did not record goes to the other at once."""
        servers = self.servers()
        one, two = self.edge(servers, "one"), self.edge(servers, "two")
        total = 0
        for n in range(6):
            total += 500
            nats.feed(self.ops(500), url=servers.urls[0])
            if n == 2:
                one.stop()
        self.wait_empty(servers, 20)
        self.assertEqual(self.ids(one, two), sorted("n-%d" % n for n in range(1, total + 1)))


class Faults(ProducersTest):
    def test_an_edge_is_killed(self):
        """kill -9 again and again: each message is recorded at least once, with op_id once at each edge."""
        servers = self.servers(ack_wait=3)
        one, two = self.edge(servers, "one"), self.edge(servers, "two")
        for n in range(5):
            nats.feed(self.ops(2000), url=servers.urls[0], depth=1000)
            one.restart(kill=True)
        self.wait_empty(servers)
        expected = sorted("n-%d" % n for n in range(1, 10001))
        self.assertEqual(sorted(set(self.ids(one, two))), expected)
        for daemon in (one, two):
            ids = self.ids(daemon)
            self.assertEqual(len(ids), len(set(ids)))
            self.counts(daemon)

    def test_nats_is_killed(self):
        servers = self.servers(ack_wait=3)
        daemon = self.edge(servers)
        for _ in range(3):
            nats.feed(self.ops(1000), url=servers.urls[0])
            servers.kill()
            servers.start()
        self.wait_recorded(servers, 3000, daemon)
        self.assertEqual(self.ids(daemon), sorted("n-%d" % n for n in range(1, 3001)))
        self.counts(daemon)

    def test_three_servers(self):
        servers = self.servers(count=3, ack_wait=3)
        one, two = self.edge(servers, "one"), self.edge(servers, "two")
        self.assertEqual(self.ask(servers, "STREAM.INFO.OBSERVER_IN")["config"]["num_replicas"], 3)
        published = []
        for n in range(3):
            ops = self.ops(1000)
            published += ops
            # A stream whose leader was killed refuses for a moment: a producer sends again.
            wait_until(lambda ops=ops: nats.feed(ops, url=servers.urls[0])["failed"] == 0, 60, "the stream to take them")
            servers.kill(2 - n if n < 2 else 1)
            servers.start_all()
        self.wait_recorded(servers, len(published), one, two)
        self.assertEqual(sorted(set(self.ids(one, two))), sorted(op["op_id"] for op in published))

    def test_the_consumer_or_the_stream_is_deleted(self):
        servers = self.servers()
        daemon = self.edge(servers)
        for what in ("CONSUMER.DELETE.OBSERVER_IN.observer", "STREAM.DELETE.OBSERVER_IN"):
            self.ask(servers, what)
            wait_until(lambda: self.ask_quietly(servers), 30, "the consumer to be made again")
            nats.feed(self.ops(100), url=servers.urls[0])
            self.wait_empty(servers)
        self.assertEqual(len(self.ids(daemon)), 200)

    def ask_quietly(self, servers):
        answer, = nats.tool("ask", "$JS.API.CONSUMER.INFO.OBSERVER_IN.observer", "", url=servers.urls[0])
        return "error" not in answer

    def test_nothing_is_taken_while_the_spool_is_full(self):
        """The server that the edge forwards to is full: its own stream refuses, and producers' messages stay in theirs."""
        servers = self.servers()
        self.ask(servers, "STREAM.CREATE.OBSERVER_OPS",
                 {"name": "OBSERVER_OPS", "subjects": ["observer.ops.*.*"], "storage": "file", "discard": "new",
                  "retention": "limits", "max_msgs": 1, "num_replicas": 1})
        daemon = self.edge(servers, "edge", "--spool-bytes", "64K")
        with daemon.req() as req:
            def is_full():
                req.request([{"endpoint": "/fill", "input_summary": "x" * 1000, "session_id": "s%d" % n} for n in range(20)])
                return daemon.get("/readyz").status == 503
            wait_until(is_full, 30, "the spool to be full")
        before = self.counts(daemon)["received"]
        nats.feed(self.ops(50), url=servers.urls[0])
        wait_until(lambda: self.metric(daemon, "producers_messages_total", 'result="returned"') > 0
                   or self.ask(servers, "CONSUMER.INFO.OBSERVER_IN.observer")["num_waiting"] == 0, 20, "no request to be open")
        self.assertEqual((self.counts(daemon)["received"], self.waiting(servers)), (before, 50))
        self.ask(servers, "STREAM.UPDATE.OBSERVER_OPS",
                 {"name": "OBSERVER_OPS", "subjects": ["observer.ops.*.*"], "storage": "file", "discard": "new",
                  "retention": "limits", "max_msgs": -1, "num_replicas": 1})
        self.wait_empty(servers)
        self.assertEqual(self.counts(daemon)["received"], before + 50)


if __name__ == "__main__":
    main()
