"""The leader of a fleet: what all edges record is learned from once, whoever leads, and told once, whoever is killed."""

import base64
import glob
import json
import os
import signal

import nats
from fleet import FleetTest
from harness import main, wait_until
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
            json.dump({"builtin": False, "group_wait": "0s", "receivers": {"hook": {"url": self.hook.url}},
                       "rules": [{"id": "payments", "on": "op", "severity": "page", "count": {"at_least": 1, "within": "1h"},
                                  "when": [{"FieldEquals": {"field": "endpoint", "value": "/v1/pay"}},
                                           {"FieldEquals": {"field": "success", "value": False}}]}]}, f)

    def learner(self, servers, name, *more):
        """A worker that may lead, with a team of models and a receiver of alerts."""
        return self.worker(servers, name, "--llm-team-url", self.team.url, "--escalate-failures", "6",
                           "--rules", self.rules, *more)

    def leads(self, worker):
        return self.metric(worker, "leader") == 1

    def wait_leader(self, *workers, seconds=60):
        return wait_until(lambda: next((w for w in workers if self.leads(w)), None), seconds, "one to lead")

    def break_at(self, edge, number, endpoint="/v1/chat", error="database is locked", count=6):
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

    def wait_archived(self, servers, leader):
        """What was learned and told is in the bucket, as it is on the leader's disk."""
        def same():
            question = json.dumps({"last_by_subj": "$KV.OBSERVER_LEASES.leader"})
            answer, = nats.tool("ask", "$JS.API.STREAM.MSG.GET.KV_OBSERVER_LEASES", question, url=servers.urls[0])
            kept = json.loads(base64.b64decode(answer["message"]["data"]))
            files = {f["name"]: f["bytes"] for f in kept["files"]}
            return all(files.get(os.path.basename(path)) == os.path.getsize(path) for path in self.learned_files(leader))
        wait_until(same, 60, "the archive to have what was learned")

    def learned_files(self, worker):
        paths = glob.glob(os.path.join(worker.data_dir, "leader", "*.jsonl"))
        return [path for path in paths if not os.path.basename(path).startswith("ops")]

    def rows_of(self, worker, name):
        with open(os.path.join(worker.data_dir, "leader", name)) as f:
            return [json.loads(line) for line in f]

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
            self.break_at(edge, n)
            self.break_at(edge, 10 + n, "/v1/pay", "card refused", 1)
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
            self.assertIn("in a fleet its leader, a worker, asks and tells others", edge.stderr())

    def begin(self, count=2):
        """Edges with failures of a kind and an alert, workers, and the leader that has learned and told it."""
        servers = self.servers()
        edges = [self.edge(servers, "edge%d" % n) for n in range(2)]
        workers = [self.learner(servers, "worker%d" % n) for n in range(count)]
        self.wait_settled(*workers)
        leader = self.wait_leader(*workers)
        for n, edge in enumerate(edges):
            self.break_at(edge, n)
            self.break_at(edge, 10 + n, "/v1/pay", "card refused", 1)
        wait_until(lambda: self.recorded(leader) == 14, 30, "the leader to have read all")
        self.wait_learned(edges[1], "escalations", lambda rows: len(rows) == 1)
        self.wait_learned(edges[1], "analyses", lambda rows: len(rows) >= 1)
        wait_until(lambda: self.fired(), 30, "the alert")
        self.wait_archived(servers, leader)
        return servers, edges, workers, leader

    def state(self, asked):
        """What was learned, as far as it is to stay as it is."""
        return {"analyses": [(r["id"], r["cluster"]) for r in self.learned(asked, "analyses") or ()],
                "escalations": [(r["id"], r["cluster"], r["episode"]) for r in self.learned(asked, "escalations") or ()],
                "playbooks": sorted((p["id"] for p in self.learned(asked, "playbooks") or ()))}

    def check_goes_on(self, asked, before):
        """What was learned is there still, under its ids; more may have been. Nothing was escalated again."""
        after = self.state(asked)
        self.assertEqual(after["escalations"], before["escalations"])
        for name in ("analyses", "playbooks"):
            self.assertLessEqual(set(before[name]), set(after[name]))
            self.assertEqual(len(set(after[name])), len(after[name]))

    def check_once(self, leader, rows):
        """Each row of the edges is in the leader's record once, and nothing was told twice."""
        seen = [row["op_id"] for row in self.rows_of(leader, "ops.jsonl")]
        self.assertEqual((len(seen), len(set(seen))), (rows, rows))
        self.assertEqual(len(self.team.requests(RUN)), 1)
        self.assertEqual(len(self.fired()), 1)

    def test_the_leader_is_killed(self):
        servers, edges, workers, leader = self.begin()
        before = self.state(edges[0])
        self.assertEqual((len(before["escalations"]), len(before["analyses"]) >= 1), (1, True))
        leader.kill()
        for n, edge in enumerate(edges):
            self.break_at(edge, 20 + n)
            self.break_at(edge, 30 + n, "/v1/pay", "card refused", 1)
        other, = (w for w in workers if w is not leader)
        self.wait_leader(other)
        wait_until(lambda: len(self.rows_of(other, "ops.jsonl")) == 28, 60, "the other one to have read the rest")
        self.wait_learned(edges[0], "escalations", lambda rows: len(rows) == 1)
        self.check_goes_on(edges[0], before)
        self.check_once(other, 28)
        # All of them end and start again: what is on the disk of who led last is the latest.
        for daemon in (other, *edges):
            daemon.restart()
        leader.start()
        self.break_at(edges[0], 40)
        again = self.wait_leader(leader, other)
        wait_until(lambda: len(self.rows_of(again, "ops.jsonl")) == 34, 60, "what came then")
        self.wait_learned(edges[0], "escalations", lambda rows: len(rows) == 1)
        self.check_goes_on(edges[0], before)
        self.check_once(again, 34)

    def test_the_leader_is_stopped_for_longer_than_a_lease(self):
        """Two believe that they lead; the one that goes on late finds its archive refused, and sends nothing."""
        servers, edges, workers, leader = self.begin()
        before = self.state(edges[0])
        leader.hold()
        other, = (w for w in workers if w is not leader)
        self.wait_leader(other)
        for n, edge in enumerate(edges):
            self.break_at(edge, 20 + n)
            self.break_at(edge, 30 + n, "/v1/pay", "card refused", 1)
        wait_until(lambda: len(self.rows_of(other, "ops.jsonl")) == 28, 60, "the other one to have read the rest")
        leader.process.send_signal(signal.SIGCONT)
        wait_until(lambda: not self.leads(leader), 30, "the former one to notice")
        self.break_at(edges[1], 40)
        now = wait_until(lambda: (w := [w for w in workers if self.leads(w)]) and len(w) == 1 and w[0], 60, "one to lead")
        wait_until(lambda: len(self.rows_of(now, "ops.jsonl")) == 34, 60, "what came then")
        self.wait_learned(edges[0], "escalations", lambda rows: len(rows) == 1)
        self.check_goes_on(edges[0], before)
        self.check_once(now, 34)

    def test_the_leader_stops_and_the_next_goes_on_at_once(self):
        servers, edges, workers, leader = self.begin()
        before = self.state(edges[0])
        leader.stop()
        other, = (w for w in workers if w is not leader)
        self.wait_leader(other)
        self.break_at(edges[0], 20)
        wait_until(lambda: len(self.rows_of(other, "ops.jsonl")) == 20, 60, "what came then")
        self.wait_learned(edges[0], "escalations", lambda rows: len(rows) == 1)
        self.check_goes_on(edges[0], before)
        self.check_once(other, 20)

    def test_one_that_is_not_to_lead(self):
        servers = self.servers()
        edge = self.edge(servers, "edge")
        plain = self.learner(servers, "plain", "--lead", "no")
        self.wait_settled(plain)
        other = self.learner(servers, "other")
        self.wait_settled(plain, other)
        self.assertIs(self.wait_leader(plain, other), other)
        self.break_at(edge, 0)
        wait_until(lambda: self.recorded(other) == 6, 30, "the leader to have read all")
        self.assertFalse(os.path.exists(os.path.join(plain.data_dir, "leader")))

    def test_corrections_of_an_edge(self):
        servers = self.servers()
        path = os.path.join(self.tmp, "corrections.jsonl")
        edge = self.edge(servers, "edge", "--overseer-corrections-path", path)
        leader = self.learner(servers, "worker")
        self.wait_leader(leader)
        with edge.req() as req:
            op = {"endpoint": "/v1/chat", "source": "mcp", "success": False, "error": "database is locked", "sig_hash": "abc123"}
            self.assertEqual(req.request([op] * 3)["accepted"], 3)
        with open(path, "a") as f:
            f.write(json.dumps({"created_at": "2026-04-23T10:00:00.000Z", "sig_hash": "abc123", "correction": "retry later"}) + "\n")
        wait_until(lambda: os.path.exists(os.path.join(leader.data_dir, "leader", "ops.jsonl")) and
                   [r for r in self.rows_of(leader, "ops.jsonl") if r["source"] == "overseer_correction"], 60, "the correction")
        rows = [r for r in self.rows_of(leader, "ops.jsonl") if r["source"] == "overseer_correction"]
        self.assertEqual([r["correction"] for r in rows], ["retry later"])
        self.assertRegex(rows[0]["op_id"], "^correction:")

    def test_more_than_the_leader_is_to_read(self):
        """Whole partitions, so that what belongs together is read together or not at all."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        leader = self.learner(servers, "worker", "--leader-ops", "20")
        self.wait_leader(leader)

        def sampled():
            self.record(edge, 500)
            return 0 < self.metric(leader, "leader_partitions") < 64
        wait_until(sampled, 60, "the leader to read a part")
        count = self.recorded(leader)
        self.record(edge, 2000)
        wait_until(lambda: self.recorded(leader) > count, 30, "what it reads")
        self.assertEqual(self.metric(leader, "leader_holes_total"), 0)
        # Kinds that it does not see: the workers tell of them.
        kinds = ["connection refused", "database is locked by another writer", "no such model", "quota exceeded for this project today",
                 "unexpected end of JSON input", "certificate has expired", "out of memory", "permission denied: cannot write there"]
        with edge.req() as req:
            ops = [{"endpoint": "/v1/rooms", "source": "mcp", "success": False, "error": kind, "session_id": "room-%d" % n}
                   for n, kind in enumerate(kinds)]
            self.assertEqual(req.request(ops)["accepted"], len(ops))

        def seen():
            self.record(edge, 500)  # so that it goes on reading a part
            return set(kinds) <= {row.get("error") for row in self.rows_of(leader, "ops.jsonl")}
        wait_until(seen, 90, "the leader to have all kinds")
        self.assertGreater(self.metric(leader, "leader_fetched_ops_total"), 0)


if __name__ == "__main__":
    main()
