"""The leader of a fleet: what all edges record is learned from once, whoever leads, and told once, whoever is killed."""

import json
import os
import signal

from fleet import FleetTest
from harness import SLOW, main, wait_until
from model_server import ModelServer
from notify_sinks import HttpSink

RUN = "/api/run"


class Leader(FleetTest):
    def setUp(self):
        super().setUp()
        self.team = ModelServer.start(self)
        self.team.set(RUN, raw=json.dumps({"answer": "look at the database"}))
        self.hook = HttpSink()
        self.addCleanup(self.hook.close)
        self.rules = os.path.join(self.tmp, "rules.json")
        with open(self.rules, "w") as f:
            json.dump({"builtin": False, "group_wait": "0s", "receivers": {"hook": {"type": "webhook", "url": self.hook.url}},
                       "rules": [{"id": "payments", "on": "ops", "when": {"endpoint": "/v1/pay", "success": False},
                                  "at_least": 1, "within": "5m", "severity": "page"}]}, f)

    def learner(self, servers, name, *more):
        """A worker that may lead, with a team of models and a receiver of alerts."""
        return self.worker(servers, name, "--llm-team-url", self.team.url, "--rules", self.rules, *more)

    def leads(self, worker):
        return self.metric(worker, "leader") == 1

    def wait_leader(self, *workers, seconds=60):
        return wait_until(lambda: next((w for w in workers if self.leads(w)), None), seconds, "one to lead")

    def fail(self, edge, number, endpoint="/v1/chat", error="database is locked", count=6):
        """Failures of one kind, without op_ids."""
        ops = [{"endpoint": endpoint, "source": "mcp", "success": False, "error": error, "session_id": "s%d" % (number * 100 + n)}
               for n in range(count)]
        with edge.req() as req:
            self.assertEqual(req.request(ops)["accepted"], count)

    def recorded(self, worker):
        text = worker.get("/metrics").body.decode()
        return next(int(line.split()[-1]) for line in text.splitlines()
                    if line.startswith('observer_leader_ops_total{result="recorded"}'))

    def learned(self, asked, view):
        answer = asked.get("/v1/observer/%s?scope=cluster" % view)
        return answer.json[view] if answer.status == 200 else None

    def wait_learned(self, asked, view, wanted, seconds=30):
        return wait_until(lambda: (rows := self.learned(asked, view)) is not None and wanted(rows) and rows, seconds, view)

    def wait_archived(self, worker):
        """What is there now is in the bucket."""
        before = self.metric(worker, "leader_archives_total")
        wait_until(lambda: self.metric(worker, "leader_archives_total") >= before + 2, 150, "two more archives")

    def alerts(self):
        return [json.loads(r.body) for r in self.hook.requests]

    def fired(self):
        return [a for m in self.alerts() for a in m["alerts"] if a["labels"]["alertname"] == "payments" and a["status"] == "firing"]

    def test_failures_at_two_edges_are_learned_from_once(self):
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n, "--llm-team-url", self.team.url, "--rules", self.rules) for n in range(2)]
        workers = [self.learner(servers, "worker%d" % n) for n in range(2)]
        leader = self.wait_leader(*workers)
        for n, edge in enumerate(edges):
            self.fail(edge, n)
            self.fail(edge, 10 + n, "/v1/pay", "card refused", 1)
        wait_until(lambda: self.recorded(leader) == 14, 30, "the leader to have read all")
        analyses = self.wait_learned(edges[0], "analyses", lambda rows: len(rows) >= 1)
        escalations = self.wait_learned(edges[1], "escalations", lambda rows: len(rows) >= 1)
        wait_until(lambda: self.fired(), 30, "the alert")
        self.assertEqual(len({row["cluster"] for row in analyses}), len(analyses))
        self.assertEqual([row["count"] for row in escalations], [12])
        self.assertEqual(len(self.team.requests(RUN)), 1)
        self.assertEqual(len(self.fired()), 1)
        self.assertEqual(sum(self.leads(w) for w in workers), 1)
        for edge in edges:
            self.assertIn("in a fleet its leader, a worker, asks and tells others", edge.log())


if __name__ == "__main__":
    main()
