"""What tests of a fleet share: edges, workers and nats-servers (nats.py) that are started, and the recount of what the edges recorded."""

import os
import re

import nats
from harness import DaemonTest, wait_until
from recount import lifetime_of, recount

PARTITIONS = 64


@nats.needs_nats
class FleetTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.sent, self.last = 0, None

    def servers(self, **options):
        servers = nats.Servers(os.path.join(self.tmp, "nats"), **options)
        self.addCleanup(servers.stop)
        return servers

    def edge(self, servers, name, *more):
        return self.start(name, args=self.urls("--forward", servers) + ["--cycle", "1", *more])

    def worker(self, servers, name, *more):
        return self.start(name, pull=[], sub=[], rep=[], feed=[],
                          args=self.urls("--jetstream", servers) + ["--cycle", "1", *more])

    def edge_and_worker(self):
        """With a server of their own; the worker holds all partitions."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        return servers, edge, worker

    @staticmethod
    def urls(option, servers):
        return [word for url in servers.urls for word in (option, url)]

    def record(self, edge, count):
        """Ops of sessions that all edges have, some of them failures, each with an op_id."""
        ops = []
        for n in range(self.sent, self.sent + count):
            op = {"endpoint": "/e%d" % (n % 7), "op_id": "op-%d" % n, "session_id": "s%d" % (n % 300),
                  "source": ("mcp", "bot", "scenario")[n % 3], "success": n % 5 != 0}
            ops.append(op if op["success"] else dict(op, error="connection refused by host %d" % (n % 4)))
        self.sent += count
        with edge.req() as req:
            for at in range(0, count, 500):
                said = req.request(ops[at:at + 500])
                self.assertEqual(said["accepted"], len(ops[at:at + 500]), said)

    def ask(self, servers, subject):
        """Of JetStream."""
        answer, = nats.tool("ask", subject, "", url=servers.urls[0])
        self.assertNotIn("error", answer)
        return answer

    def cluster(self, daemon, view="summary"):
        answer = daemon.get("/v1/observer/%s?scope=cluster" % view)
        return answer.json if answer.status == 200 else None

    def held(self, worker):
        return self.metric(worker, "fleet_partitions")

    def metric(self, daemon, name):
        text = daemon.get("/metrics").body.decode()
        return float(re.search(r"^observer_%s(?:\{[^}]*\})? (\S+)$" % name, text, re.M)[1])

    def wait_settled(self, *workers, seconds=60):
        """All partitions are held, as many by each as by each other."""
        low, high = PARTITIONS // len(workers), -(-PARTITIONS // len(workers))

        def settled():
            held = [self.held(w) for w in workers]
            return sum(held) == PARTITIONS and all(low <= n <= high for n in held)
        wait_until(settled, seconds, "partitions to be shared out")

    def check(self, asked, *edges, seconds=60):
        """The fleet's summary is the recount of the edges' journals."""
        rows = [row for edge in edges for row in edge.journal_rows()]
        _, lifetime = recount(rows)

        def same():
            summary = self.cluster(asked)
            self.last = summary
            return (summary is not None and not summary["cluster"]["missing"] and lifetime_of(summary) == lifetime
                    and summary["cluster"]["rows"]["folded"] == len(rows))
        try:
            wait_until(same, seconds, "the fleet's summary to be the recount")
        except AssertionError:
            self.assertIsNotNone(self.last)
            self.assertEqual(self.last["cluster"]["missing"], [])
            self.assertEqual(lifetime_of(self.last), lifetime)
            self.assertEqual(self.last["cluster"]["rows"]["folded"], len(rows))
            raise
