"""What people see of a fleet: GET fleet, observerctl fleet, doctor, /health and /readyz, the start of a worker. Real nats-servers."""

import json
import os
import time

from ctl import CtlTest
from fleet import PARTITIONS, FleetTest
from harness import SLOW, main, wait_until

REFUSES = "this daemon is a worker of a fleet and records nothing itself: send ops to an edge (observerd --forward)"


class Picture(FleetTest, CtlTest):
    def fleet(self, daemon):
        answer = daemon.get("/v1/observer/fleet")
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def whole(self, daemon):
        """With both edges and both workers, all heard of late."""
        seen = {}

        def here():
            seen["last"] = self.fleet(daemon)
            return [x["state"] for name in ("edges", "workers") for x in seen["last"][name]] == ["here"] * 4
        wait_until(here, 60, "all to be here")
        return seen["last"]

    def doctor(self, daemon, code=0):
        said = self.ctl("doctor", "--url", daemon.url("http"), "--json", code=code)
        return {c["check"]: c for c in json.loads(said.stdout)["checks"]}

    def test_two_edges_two_workers(self):
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n) for n in range(2)]
        workers = [self.worker(servers, "worker%d" % n) for n in range(2)]
        wait_until(lambda: self.fleet(edges[0])["leader"], 60, "one to lead")
        for edge in edges:
            self.record(edge, 1000)
        self.wait_settled(*workers)
        self.check(edges[0], *edges)
        for asked in (*edges, *workers):
            got = self.whole(asked)
            self.assertTrue(got["complete"])
            self.assertEqual((got["nats"]["connected"], got["nats"]["why"], got["nats"]["away_ms"]), (True, None, 0))
            self.assertRegex(got["nats"]["version"], r"^2\.\d+\.\d+")
            self.assertIn(got["nats"]["syncs"], ("lazily", "lazily unless always"))
            self.assertEqual((got["stream"]["name"], got["stream"]["replicas"]), ("OBSERVER_OPS", 1))
            self.assertEqual([e["name"] for e in got["edges"]], [os.uname().nodename] * 2)
            self.assertEqual([(w["partitions"], w["rebuilding"]) for w in got["workers"]], [(PARTITIONS // 2, 0)] * 2)
            self.assertEqual([p["p"] for p in got["partitions"]], list(range(PARTITIONS)))
            self.assertEqual({p["worker"] for p in got["partitions"]}, {w["id"] for w in got["workers"]})
            self.assertEqual(got["missing"], [])
            self.assertIn(got["leader"]["worker"], {w["id"] for w in got["workers"]})
        ids = {self.fleet(edge)["self"]["edge"]["id"] for edge in edges}
        self.assertEqual({e["id"] for e in self.fleet(workers[0])["edges"]}, ids)
        self.assertEqual(self.fleet(edges[0])["self"]["roles"], ["edge"])
        self.assertEqual(self.fleet(workers[0])["self"]["roles"], ["worker"])

        # What was recorded is told with the next beat.
        wait_until(lambda: [e["forwarded_seq"] for e in self.fleet(workers[0])["edges"]] == [1000, 1000], 30, "the next beats")
        text = self.ctl("fleet", "--url", edges[0].url("http"), "--partitions").stdout
        self.assertIn("partitions 64, each held by a worker\n", text)
        self.assertRegex(text, r"\nthis one   edge [0-9a-f]{8}, all is forwarded\n")
        self.assertEqual(text.count(" holds "), 2)
        self.assertEqual(json.loads(self.ctl("fleet", "--url", workers[0].url("http"), "--json").stdout)["missing"], [])
        self.whole(edges[0])
        checks = self.doctor(edges[0])
        self.assertEqual((checks["stream"]["status"], checks["stream"]["text"]),
                         ("warn", "1 replica: the loss of a server's disk loses what the edges do not keep any more"))
        self.assertEqual((checks["edges"]["status"], checks["edges"]["text"]), ("ok", "2 edges, what they record is forwarded"))
        self.assertEqual((checks["workers"]["status"], checks["workers"]["text"]), ("ok", "2 workers, none lags"))
        self.assertEqual(checks["partitions"]["text"], "64, each held by a worker")

        # One edge is killed, the other one and a worker say that they stop.
        edges[1].kill()
        workers[1].stop()
        self.wait_settled(workers[0])
        states = lambda name: sorted(x["state"] for x in self.fleet(workers[0])[name])
        wait_until(lambda: states("edges") == ["away", "here"], 90, "the killed edge to be away")
        wait_until(lambda: states("workers") == ["here", "stopped"], 20, "the worker's last word")
        checks = self.doctor(edges[0])
        self.assertRegex(checks["edges"]["text"], r"^edge \S+ [0-9a-f]{8} has not been seen for ")
        self.assertIn("away, seen ", self.ctl("fleet", "--url", edges[0].url("http")).stdout)
        edges[0].stop()
        wait_until(lambda: states("edges") == ["away", "stopped"], 20, "the edge's last word")
        workers[0].kill()

    def test_nobody_holds(self):
        """The last worker has gone: an edge says so, and doctor fails."""
        servers = self.servers()
        edge, worker = self.edge(servers, "edge"), self.worker(servers, "worker")
        self.wait_settled(worker)
        self.assertEqual(worker.get("/health").json["fleet"]["worker"]["partitions"], PARTITIONS)
        worker.stop()
        wait_until(lambda: self.fleet(edge)["missing"] == list(range(PARTITIONS)), 30, "all partitions to be missing")
        checks = self.doctor(edge, code=1)
        self.assertEqual((checks["partitions"]["status"], checks["partitions"]["text"]),
                         ("fail", "64 of 64 are held by nobody: their ops wait in the stream"))
        self.assertEqual(checks["workers"]["status"], "fail")
        self.assertIn("64 held by nobody: 0-63\n", self.ctl("fleet", "--url", edge.url("http")).stdout)

    def test_nats_is_away(self):
        """The daemon still says what it knows itself: its spool, and for how long NATS has been away."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        wait_until(lambda: self.fleet(edge)["complete"] and len(self.fleet(edge)["edges"]) == 1, 30, "the fleet")
        servers.kill()
        wait_until(lambda: not self.fleet(edge)["nats"]["connected"], 30, "NATS to be away")
        self.record(edge, 100)
        got = self.fleet(edge)
        self.assertEqual((got["complete"], got["edges"], got["partitions"], got["stream"]), (False, [], [], None))
        self.assertEqual(got["nats"]["why"], "NATS is away")
        wait_until(lambda: self.fleet(edge)["nats"]["away_ms"] > 0, 10, "for how long")
        self.assertEqual((got["self"]["edge"]["spool_ops"], got["self"]["edge"]["seq"]), (100, 100))
        self.assertGreater(got["self"]["edge"]["spool_bytes"], 0)
        health = edge.get("/health").json["fleet"]
        self.assertEqual((health["roles"], health["records"], health["edge"]["spool_ops"]), (["edge"], True, 100))
        self.assertEqual(edge.get("/readyz").status, 200)
        checks = self.doctor(edge, code=1)
        self.assertEqual(checks["nats"]["status"], "fail")
        self.assertRegex(checks["nats"]["text"], r"^NATS is away, for .*: edges record, and forward when it is back$")
        text = self.ctl("fleet", "--url", edge.url("http")).stdout
        self.assertRegex(text, r"^NATS       NATS is away, for ")
        self.assertRegex(text, r"this one   edge [0-9a-f]{8}, 100 ops \(.*\) wait to be forwarded")
        servers.start()
        wait_until(lambda: self.fleet(edge)["self"]["edge"]["spool_ops"] == 0, 60, "the spool to be empty")
        wait_until(lambda: [e["outages"] for e in self.fleet(edge)["edges"]] == [1], 30, "the outage to be told")

    def test_alone(self):
        daemon = self.start()
        answer = daemon.get("/v1/observer/fleet")
        self.assertEqual((answer.status, answer.json["error"]),
                         (400, "scope: this daemon belongs to no fleet (it has neither --forward nor --jetstream)"))
        self.assertIsNone(daemon.get("/health").json["fleet"])
        self.assertIn("belongs to no fleet", self.ctl("fleet", "--url", daemon.url("http"), code=1).stderr)
        self.assertFalse({"nats", "stream", "edges", "workers", "partitions", "fleet"} & set(self.doctor(daemon)))


class StartOfAWorker(FleetTest):
    def test_it_records_nothing_itself(self):
        servers = self.servers()
        worker = self.worker(servers, "worker")
        for path in ("/event", "/v1/observer/event", "/v1/observer/session"):
            answer = worker.post(path, {"endpoint": "/a", "success": True, "final_verdict": "accepted"})
            self.assertEqual((answer.status, answer.json["error"]), (503, REFUSES))
            self.assertIn("retry-after", answer.headers)
        self.assertEqual(worker.journal_rows(), [])
        said = worker.stdout()
        self.assertIn("\nworker:   it folds what edges forward to NATS, and records nothing itself: publish to an edge "
                      "(observerd --forward)\n", said)
        self.assertRegex(said, r"\nwatch:    \S*observerctl fleet --url http")
        self.assertNotIn("pub --endpoint", said)
        self.assertIs(worker.get("/health").json["fleet"]["records"], False)
        # With a bus of its own, and as an edge too, it is a daemon as any other.
        for name, more in (("bus", ["--pull", "tcp://127.0.0.1:0"]), ("both", self.urls("--forward", servers))):
            other = self.worker(servers, name, *more) if name == "both" else self.start(
                name, sub=[], rep=[], feed=[], args=self.urls("--jetstream", servers))
            self.assertEqual(other.post("/event", {"endpoint": "/a", "success": True}).status, 200)
            self.assertIn("pub --endpoint", other.stdout())

    def test_one_line_for_all_that_it_takes(self):
        servers = self.servers()
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        wait_until(lambda: " partitions are folded here; " in worker.stderr(), 20, "the line")
        self.assertIn("64 of 64 partitions are folded here; begun now: 0 with a checkpoint, 64 with the stream's first message; "
                      "0 messages wait\n", worker.stderr())
        self.assertNotIn("folds from message", worker.stderr())
        self.assertLess(worker.stderr().count("\n"), 20)

    def test_nothing_is_rebuilt_where_nothing_is(self):
        """Not even for a moment: partitions without messages hold all that they could."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        edge.post("/v1/observer/event", {"endpoint": "/a", "success": True, "session_id": "s"})
        wait_until(lambda: self.metric(edge, "forward_ops_total") == 1, 30, "the op to be forwarded")
        worker = self.worker(servers, "worker")
        seen, end = set(), time.monotonic() + 60 * SLOW
        while self.held(worker) < PARTITIONS and time.monotonic() < end:
            seen.add(self.metric(worker, "fleet_partitions_rebuilding"))
        self.assertEqual(self.held(worker), PARTITIONS)
        self.assertLessEqual(max(seen), 1)

    def test_refused_at_the_start(self):
        """It starts, is not ready and says why, and folds when the servers take it."""
        right = 'authorization {\n  user: worker\n  password: right\n}\n'
        servers = self.servers(extra='authorization {\n  user: worker\n  password: other\n}\n')
        url = servers.urls[0].replace("//", "//worker:right@")
        worker = self.start("worker", pull=[], sub=[], rep=[], feed=[], args=["--jetstream", url, "--cycle", "1"])
        answer = worker.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.json["reasons"][0], r"refused")
        self.assertEqual(worker.get("/livez").status, 200)
        got = worker.get("/v1/observer/fleet").json
        self.assertEqual((got["nats"]["connected"], got["complete"]), (False, False))
        self.assertEqual(got["self"]["hindered"], answer.json["reasons"][0])
        servers.kill()
        servers.extra = right
        servers.start()
        wait_until(lambda: worker.get("/readyz").status == 200, 60, "the worker to be taken")
        self.wait_settled(worker)
        # Later, too: credentials that are not good any more.
        servers.kill()
        servers.extra = right.replace("right", "other")
        servers.start()
        wait_until(lambda: worker.get("/readyz").status == 503 and "refuse" in worker.get("/readyz").json["reasons"][0], 60, "the refusal")
        servers.kill()
        servers.extra = right
        servers.start()
        wait_until(lambda: worker.get("/readyz").status == 200, 60, "the worker to be taken again")
        self.wait_settled(worker)


if __name__ == "__main__":
    main()
