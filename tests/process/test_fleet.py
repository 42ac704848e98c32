"""A fleet: edges forward, workers fold, and any daemon answers for all of them as one observer that saw all ops would. Real
nats-servers (nats.py)."""

from fleet import PARTITIONS, FleetTest
from harness import main, wait_until


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


if __name__ == "__main__":
    main()
