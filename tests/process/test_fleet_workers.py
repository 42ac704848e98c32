"""Whatever is killed, stopped or moved of a fleet, its summary is at the end a recount of the edges' journals, each op once."""

import signal

from fleet import FleetTest
from harness import main, wait_until


class Workers(FleetTest):
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

    def test_many_and_few_partitions_a_worker(self):
        """One that holds an eighth of them reads the stream once for all, one that holds fewer reads each by itself: of nine,
        one holds 8 and the others 7."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        first = self.worker(servers, "worker0")
        self.wait_settled(first)
        self.record(edge, 2000)
        self.check(first, edge)
        more = [self.worker(servers, "worker%d" % n) for n in range(1, 9)]
        self.wait_settled(first, *more, seconds=120)
        self.record(edge, 2000)
        self.check(edge, edge)
        for worker in more:
            worker.kill()
        self.record(edge, 1000)
        self.wait_settled(first, seconds=120)
        self.check(edge, edge)

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
