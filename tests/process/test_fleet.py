"""A fleet: edges forward, workers fold, and whatever is killed, stopped or moved, the fleet's summary is at the end a recount
of the edges' journals, each op once. Real nats-servers (nats.py)."""

import os
import re
import signal

import nats
from harness import DaemonTest, main, wait_until
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


class Views(FleetTest):
    def test_the_fleet_as_one(self):
        """Two edges, two workers: every view, asked of an edge and of a worker."""
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n) for n in range(2)]
        workers = [self.worker(servers, "worker%d" % n) for n in range(2)]
        for edge in edges:
            self.record(edge, 3000)
        self.wait_settled(*workers)
        for asked in (*edges, *workers):
            self.check(asked, *edges)
        rows = [row for edge in edges for row in edge.journal_rows()]
        stats = self.cluster(edges[0], "stats")
        self.assertEqual(stats["total"], 2000)
        self.assertEqual(stats["cluster"]["partitions"], PARTITIONS)
        self.assertEqual(set(stats), {"total", "successes", "failures", "by_source", "recent_scenario_ops", "cluster"})
        found = self.cluster(workers[1], "clusters")
        self.assertEqual(sum(c["count"] for c in found["clusters"]), sum(not r["success"] for r in rows))
        self.assertEqual(found["cluster"]["missing"], [])
        for worker in workers:
            self.assertEqual(worker.get("/readyz").status, 200)
            self.assertEqual(worker.stats()["total"], 0)  # its own: it records nothing itself

    def test_a_daemon_that_is_alone(self):
        daemon = self.start()
        for view in ("summary", "stats", "clusters"):
            answer = daemon.get("/v1/observer/%s?scope=cluster" % view)
            self.assertEqual(answer.status, 400)
            self.assertEqual(answer.json["error"], "scope: this daemon belongs to no fleet (it has neither --forward nor "
                                                   "--jetstream)")

    def test_without_workers_checkpoints_answer(self):
        """All workers have stopped: what they gave up is in the bucket."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        worker = self.worker(servers, "worker")
        self.record(edge, 1000)
        self.wait_settled(worker)
        self.check(edge, edge)
        worker.stop()
        self.check(edge, edge)
        servers.kill()
        wait_until(lambda: edge.get("/v1/observer/summary?scope=cluster").status == 503, 10, "NATS to be noticed")


class Faults(FleetTest):
    def test_a_worker_is_killed_before_its_checkpoint(self):
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n) for n in range(2)]
        one, two = (self.worker(servers, "worker%d" % n) for n in range(2))
        self.wait_settled(one, two)
        for round_ in range(2):
            for edge in edges:
                self.record(edge, 2000)
            self.check(edges[0], *edges)  # folded, and not yet written
            one.kill()
            for edge in edges:
                self.record(edge, 500)
            self.wait_settled(two)
            self.check(two, *edges)
            if round_ == 0:
                one.start()  # the same worker again
                self.wait_settled(one, two)
        self.check(edges[1], *edges)

    def test_one_three_two_workers(self):
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n) for n in range(2)]
        first = self.worker(servers, "worker0")
        self.wait_settled(first)
        for edge in edges:
            self.record(edge, 2000)
        more = [self.worker(servers, "worker%d" % n) for n in (1, 2)]
        self.record(edges[0], 1000)
        self.wait_settled(first, *more)
        self.check(more[0], *edges)
        first.stop()
        self.record(edges[1], 1000)
        self.wait_settled(*more)
        self.check(edges[0], *edges)
        self.assertEqual(sum(self.metric(w, "fleet_holes_total") for w in more), 0)

    def test_workers_that_are_stopped_for_longer_than_a_lease(self):
        """SIGSTOP: another one takes over; when they go on they notice before they do any harm."""
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n) for n in range(2)]
        workers = [self.worker(servers, "worker%d" % n) for n in range(3)]
        self.wait_settled(*workers)
        for edge in edges:
            self.record(edge, 2000)
        self.check(edges[0], *edges)
        for worker in workers[:2]:
            worker.hold()
        for edge in edges:
            self.record(edge, 1000)
        self.wait_settled(workers[2])
        self.check(edges[0], *edges)
        for worker in workers[:2]:
            worker.process.send_signal(signal.SIGCONT)
        for edge in edges:
            self.record(edge, 1000)
        self.wait_settled(*workers)
        for asked in (*edges, *workers):
            self.check(asked, *edges)

    def test_the_stream_goes_back(self):
        """All servers lose what they had not synced: the edge publishes it again, workers begin at an earlier checkpoint."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        self.record(edge, 1000)
        self.check(edge, edge)
        wait_until(lambda: self.metric(edge, "forward_ops_total") == 1000, 30, "all to be forwarded")
        servers.kill_all()
        servers.save("before")
        servers.start_all()
        self.wait_settled(worker)
        self.record(edge, 2000)
        self.check(edge, edge)
        servers.kill_all()
        servers.restore("before")
        servers.start_all()
        self.record(edge, 500)
        self.check(edge, edge, seconds=90)
        self.assertGreater(self.metric(worker, "fleet_rewinds_total"), 0)

    def test_a_stream_made_anew_is_refused_until_told(self):
        servers = self.servers()
        edge = self.edge(servers, "edge")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        self.record(edge, 500)
        self.check(edge, edge)
        self.ask(servers, "$JS.API.STREAM.DELETE.OBSERVER_OPS")
        wait_until(lambda: worker.get("/readyz").status == 503, 60, "the worker to notice")
        self.assertIn("the stream OBSERVER_OPS was made anew", worker.get("/readyz").json["reasons"][0])
        worker.stop()
        worker.args.append("--accept-new-stream")
        worker.start()
        self.wait_settled(worker)
        self.assertEqual(worker.get("/readyz").status, 200)

    def test_what_cannot_be_read_is_put_aside(self):
        servers = self.servers()
        edge = self.edge(servers, "edge")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        self.record(edge, 500)
        nats.tool("publish", "observer.ops.7.0123456789abcdef", "no batch", url=servers.urls[0])
        wait_until(lambda: self.metric(worker, "fleet_poison_total") == 1, 30, "the message to be counted")
        self.record(edge, 500)
        self.check(edge, edge)
        dead = lambda: self.ask(servers, "$JS.API.STREAM.INFO.OBSERVER_DEAD")["state"]["messages"]
        wait_until(lambda: dead() == 1, 30, "the message to be put aside")

    def test_holes_are_filled(self):
        """Messages that nobody has folded are lost: the edge is asked to publish again, and does."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        self.record(edge, 1000)
        wait_until(lambda: self.metric(edge, "forward_ops_total") == 1000, 30, "all to be forwarded")
        self.ask(servers, "$JS.API.STREAM.PURGE.OBSERVER_OPS")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        self.record(edge, 1000)
        self.check(edge, edge)
        self.assertGreater(self.metric(worker, "fleet_holes_total"), 0)

    def test_the_buckets_are_lost(self):
        """With the leases, who holds what, and with the checkpoints, what has been folded: it is folded again."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        workers = [self.worker(servers, "worker%d" % n) for n in range(2)]
        self.wait_settled(*workers)
        self.record(edge, 2000)
        self.check(edge, edge)
        for bucket in ("LEASES", "CHECKPOINTS", "FLEET"):
            self.ask(servers, "$JS.API.STREAM.DELETE.KV_OBSERVER_" + bucket)
        lost = lambda: sum(self.metric(w, "fleet_partitions_lost_total") for w in workers)
        wait_until(lambda: lost() == PARTITIONS, 60, "the loss to be noticed")
        self.wait_settled(*workers)
        self.record(edge, 1000)
        for asked in (edge, *workers):
            self.check(asked, edge)

    def test_nats_restarts(self):
        """Nothing moves: who holds what holds it when NATS is back."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        workers = [self.worker(servers, "worker%d" % n) for n in range(2)]
        self.wait_settled(*workers)
        self.record(edge, 1000)
        taken = lambda: sum(self.metric(w, "fleet_partitions_taken_total") for w in workers)
        before = taken()
        servers.kill_all()
        wait_until(lambda: all(w.get("/readyz").status == 503 for w in workers), 30, "NATS to be noticed")
        self.record(edge, 1000)
        servers.start_all()
        self.check(edge, edge)
        self.wait_settled(*workers)
        self.assertEqual(taken(), before)

    def test_one_of_three_servers_is_killed(self):
        """Three replicas of everything: ops flow while a server is away, and while it comes back."""
        servers = self.servers(count=3)
        edges = [self.edge(servers, "edge%d" % n, "--replicas", "3") for n in range(2)]
        workers = [self.worker(servers, "worker%d" % n, "--replicas", "3") for n in range(2)]
        self.wait_settled(*workers, seconds=120)
        for edge in edges:
            self.record(edge, 1000)
        self.check(edges[0], *edges)
        servers.kill(1)
        for edge in edges:
            self.record(edge, 1000)
        self.check(edges[1], *edges, seconds=120)
        servers.start(1)
        for edge in edges:
            self.record(edge, 500)
        for asked in (*edges, *workers):
            self.check(asked, *edges, seconds=120)


if __name__ == "__main__":
    main()
