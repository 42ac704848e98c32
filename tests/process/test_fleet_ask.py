"""Rows of a fleet: any daemon asks the edges, whose pages come as one list, newest first, each op once."""

import json
import os
import socket
import stat
import subprocess
import urllib.parse

import nats
from ctl import CtlTest
from fleet import FleetTest
from harness import SLOW, main, wait_until
from keys import KeyFile

ASK = "observer.ask.edges"


class Asking(FleetTest):
    def two_edges(self, servers, *more):
        edges = [self.edge(servers, "edge%d" % n, *more) for n in range(2)]
        for edge in edges:
            wait_until(lambda e=edge: e.get("/v1/observer/fleet").json["edges"], 20, "the edge to be known")
        wait_until(lambda: len(edges[0].get("/v1/observer/fleet").json["edges"]) == 2, 20, "both edges to be known")
        return edges

    @staticmethod
    def page(daemon, path, **params):
        params = {"scope": "cluster", **params}
        answer = daemon.get("/v1/observer/%s?%s" % (path, urllib.parse.urlencode(params)))
        return answer.json if answer.status == 200 else answer

    def walk(self, daemon, path, between=None, **params):
        """All pages: (rows, pages)."""
        rows, pages, cursor = [], [], None
        while True:
            page = self.page(daemon, path, **params, **({"cursor": cursor} if cursor else {}))
            self.assertIsInstance(page, dict, page)
            rows += page[path]
            pages.append(page)
            cursor = page["next_cursor"]
            if cursor is None:
                return rows, pages
            self.assertLess(len(pages), 500)
            if between is not None:
                between(len(pages))


class Rows(Asking):
    def test_pages_of_two_edges(self):
        """Each op once, newest first, while ops are recorded."""
        servers = self.servers()
        edges = self.two_edges(servers)
        for n in range(6):
            self.record(edges[n % 2], 40)
        known = self.sent
        for asked in edges:
            rows, pages = self.walk(asked, "ops", limit=23)
            self.assertEqual(len({(r["edge"], r["seq"]) for r in rows}), known)
            self.assertEqual(sorted(r["op"]["op_id"] for r in rows), sorted("op-%d" % n for n in range(known)))
            received = [r["received"] for r in rows]
            self.assertEqual(received, sorted(received, reverse=True))
            self.assertEqual(len(pages[0]["cluster"]["edges"]), 2)
            self.assertEqual([p["cluster"]["missing"] for p in pages], [[]] * len(pages))
            self.assertTrue(all(p["complete"] for p in pages))
            self.assertTrue(all(len(p["ops"]) == 23 for p in pages[:-1]))

        def more(n):
            if n <= 4:
                self.record(edges[n % 2], 30)
        rows, _ = self.walk(edges[0], "ops", between=more, limit=50)
        self.assertEqual(sorted(r["op"]["op_id"] for r in rows), sorted("op-%d" % n for n in range(known)))

    def test_filters_go_to_the_edges(self):
        servers = self.servers()
        edges = self.two_edges(servers)
        for edge in edges:
            self.record(edge, 350)
        rows, _ = self.walk(edges[0], "ops", limit=40, endpoint="/e3", success="false")
        rows_all = [r for e in edges for r in e.journal_rows()]
        wanted = [r["op_id"] for r in rows_all if r["endpoint"] == "/e3" and not r["success"]]
        self.assertEqual(sorted(r["op"]["op_id"] for r in rows), sorted(wanted))
        rows, _ = self.walk(edges[1], "ops", q="host 2")
        self.assertEqual(len(rows), sum("host 2" in r.get("error", "") for r in rows_all))
        one = self.page(edges[1], "ops", op_id="op-5")
        self.assertEqual([r["op"]["op_id"] for r in one["ops"]], ["op-5"])
        self.assertEqual(len(one["ops"][0]["edge"]), 16)

    def test_an_edge_that_is_killed(self):
        """It is missing, and its rows come when it is back."""
        servers = self.servers()
        edges = self.two_edges(servers)
        for n in range(4):
            self.record(edges[n % 2], 60)
        first = self.page(edges[0], "ops", limit=50)
        ids = first["cluster"]["edges"]
        edges[1].kill()
        second = self.page(edges[0], "ops", limit=50, cursor=first["next_cursor"])
        self.assertEqual(len(second["cluster"]["missing"]), 1)
        dead = second["cluster"]["missing"][0]
        self.assertEqual(sorted(second["cluster"]["edges"] + [dead]), ids)
        self.assertEqual({r["edge"] for r in second["ops"]}, set(ids) - {dead})
        self.assertFalse(second["complete"])
        fresh = self.page(edges[0], "ops", limit=1000)
        self.assertEqual(fresh["cluster"], {"edges": second["cluster"]["edges"], "missing": [dead]})
        self.assertEqual((fresh["complete"], fresh["next_cursor"]), (False, None))
        edges[1].restart()
        rows, cursor = first["ops"] + second["ops"], second["next_cursor"]
        while cursor is not None:
            page = self.page(edges[0], "ops", limit=50, cursor=cursor)
            if page["cluster"]["missing"]:
                continue
            rows += page["ops"]
            cursor = page["next_cursor"]
        self.assertEqual(sorted(r["op"]["op_id"] for r in rows), sorted("op-%d" % n for n in range(self.sent)))

    def test_sessions(self):
        servers = self.servers()
        edges = self.two_edges(servers)
        for n in range(30):
            record = {"session_id": "s%d" % n, "timestamp": "2026-01-01T00:00:%02dZ" % n, "daemon": "gateway",
                      "provider": "p", "model": "m", "prompt": "x", "iterations": 1, "max_iterations": 3,
                      "final_verdict": "accepted", "attempts": [], "kind": "k"}
            answer = edges[n % 2].post("/v1/observer/session", json.dumps(record))
            self.assertEqual(answer.status, 200, answer.json)
        rows, pages = self.walk(edges[1], "sessions", limit=7)
        self.assertEqual([r["session"]["session_id"] for r in rows], ["s%d" % n for n in reversed(range(30))])
        self.assertEqual(len(pages), 5)

    def test_one_op(self):
        """By its number at an edge, and by its place in the stream."""
        servers = self.servers()
        edges = self.two_edges(servers)
        for edge in edges:
            self.record(edge, 40)
        rows, _ = self.walk(edges[0], "ops")
        for row in rows[:2] + rows[-2:]:
            one = edges[1].get("/v1/observer/ops/%s:%d?scope=cluster" % (row["edge"], row["seq"]))
            self.assertEqual((one.status, one.json["op"], one.json["seq"]), (200, row["op"], row["seq"]))
        wait_until(lambda: sum(len(b["rows"]) for b in nats.tool("batches", url=servers.urls[0])) == self.sent, 20,
                   "all to be forwarded")
        seen = set()
        for n, batch in enumerate(nats.tool("batches", url=servers.urls[0])):
            for k, (number, _, _, row) in enumerate(batch["rows"]):
                path = "%d:%d:%d" % (batch["p"], batch["stream_seq"], k)
                one = edges[n % 2].get("/v1/observer/ops/%s?scope=cluster" % path)
                self.assertEqual(one.status, 200, one.json)
                self.assertEqual((one.json["seq"], one.json["edge"]), (path, batch["edge"]))
                self.assertEqual((one.json["op"], one.json["edge_seq"]), (row, number))
                seen.add((one.json["edge"], one.json["edge_seq"]))
        self.assertEqual(seen, {(r["edge"], r["seq"]) for r in rows})
        for path, status, said in (("0:999999:0", 404, "no op 0:999999:0: the stream does not have it, or not any more"),
                                   ("%d:%d:4000" % (batch["p"], batch["stream_seq"]), 404, "no op "),
                                   ("x:y:z", 400, "seq: must be partition:message:row"), ("..:1", 400, "seq: must be"),
                                   ("0123456789abcdef:1", 503, "edge 0123456789abcdef does not answer"),
                                   ("%s:99999" % rows[0]["edge"], 404, "no op 99999: the last one recorded is 40"),
                                   ("7", 503, "the fleet has no leader now")):
            answer = edges[0].get("/v1/observer/ops/%s?scope=cluster" % path)
            self.assertEqual(answer.status, status, path)
            self.assertIn(said, answer.json["error"])

    def test_what_is_no_question(self):
        servers = self.servers()
        edge = self.edge(servers, "edge")
        self.record(edge, 3)
        wait_until(lambda: isinstance(self.page(edge, "ops"), dict), 10, "an answer")
        for params, said in (({"cursor": "a7"}, "cursor: must be a next_cursor"), ({"cursor": "ops-"}, "cursor: must"),
                             ({"cursor": "ops-../x.a7"}, "cursor: must"), ({"limit": "0"}, "limit: must be"),
                             ({"cursor": "ops-" + "_".join("%016x.a7" % n for n in range(600))}, "cursor: must"),
                             ({"nonsense": "1"}, "nonsense: unknown parameter"), ({"scope": "all"}, "scope: must be")):
            answer = edge.get("/v1/observer/ops?" + urllib.parse.urlencode({"scope": "cluster", **params}))
            self.assertEqual(answer.status, 400, params)
            self.assertIn(said, answer.json["error"])
        answer = edge.get("/v1/observer/ops?scope=cluster&scope=cluster")
        self.assertEqual((answer.status, answer.json["error"]), (400, "scope: given twice"))
        # an edge that nobody knows, and a cursor that the edge does not know
        page = self.page(edge, "ops", cursor="ops-0123456789abcdef.a7")
        self.assertEqual(page.status, 503)
        mine = self.page(edge, "ops")["cluster"]["edges"][0]
        refused = self.page(edge, "ops", cursor="ops-%s.zz" % mine)
        self.assertEqual((refused.status, refused.json["error"]),
                         (400, "cursor: must be a next_cursor of an earlier answer"))

    def test_a_daemon_that_is_alone(self):
        daemon = self.start()
        self.assertEqual(daemon.get("/metrics?scope=cluster").status, 400)
        for path in ("timeline?session_id=x&", "trajectory?sig_hash=x&", "ops/7", "ops", "sessions", "advice?endpoint=x&", "analyses?from=cluster&", "alerts", "graph", "changes", "playbooks/0123"):
            answer = daemon.get("/v1/observer/%s%sscope=cluster" % (path, "" if "?" in path else "?"))
            self.assertEqual((answer.status, answer.json["error"]),
                             (400, "scope: this daemon belongs to no fleet (it has neither --forward nor --jetstream)"))
        self.assertFalse(os.path.exists(os.path.join(daemon.data_dir, "fleet.sock")))


class Together(Asking):
    """Timelines and trajectories of what several edges have recorded are those of one daemon that recorded all."""

    SEQS = ("seq", "first_seq", "last_seq", "after_seq", "retry_of", "correction", "first_failure_seq")

    def setUp(self):
        super().setUp()
        self.nats_servers = self.servers()
        self.edges = self.two_edges(self.nats_servers)
        self.alone = self.start("alone")
        self.all_ops = []

    def tell(self, op):
        """To an edge, the next in turn but one, and to the one that is alone."""
        n = len(self.all_ops)
        self.all_ops.append(op)
        for daemon in (self.edges[n // 2 % 2], self.alone):
            self.assertEqual(daemon.post("/v1/observer/event", json.dumps(op)).json["accepted"], True)

    def without_seqs(self, value):
        """Seqs are numbers here and texts there; what they name is checked by itself."""
        if isinstance(value, list):
            return [self.without_seqs(v) for v in value]
        if not isinstance(value, dict):
            return value
        return {k: (v is not None) if k in self.SEQS else self.without_seqs(v) for k, v in value.items()
                if k not in ("cluster",) or not isinstance(v, dict)}

    def tell_session(self):
        at, stamp = 0, "2026-03-01T10:%02d:%02dZ"
        for n in range(60):
            at += 1 if n % 20 else 240
            op = {"endpoint": "/run" if n % 20 > 12 else "/e%d" % (n % 3), "session_id": "shared", "sig_hash": "t%d" % (n % 2),
                  "timestamp": stamp % (at // 60, at % 60), "duration_ms": 500, "staffer_id": "agent-%d" % (n % 2),
                  "success": n % 4 != 0, "input_summary": "try %d" % n}
            if not op["success"]:
                op["error"] = "connection refused by host %d" % n
            self.tell(op)
        self.tell({"endpoint": "/e1", "source": "overseer_correction", "timestamp": stamp % (at // 60, at % 60 + 1),
                   "session_id": "shared", "sig_hash": "t1", "correction": "use the other host", "success": True})

    def test_a_session(self):
        self.tell_session()
        for query in ("session_id=shared", "session_id=shared&errors=true", "staffer_id=agent-1", "sig_hash=t0"):
            alone = self.alone.get("/v1/observer/timeline?limit=1000&" + query).json
            fleet = self.edges[0].get("/v1/observer/timeline?scope=cluster&limit=1000&" + query).json
            self.assertEqual(self.without_seqs(fleet), self.without_seqs(alone), query)
            self.assertEqual(len(fleet["cluster"]["edges"]), 2)
            for row in fleet["rows"]:
                for name in ("seq", "first_seq", "last_seq", "retry_of"):
                    if row.get(name) is None:
                        continue
                    one = self.edges[1].get("/v1/observer/ops/%s?scope=cluster" % row[name]).json
                    self.assertEqual(one["op"]["session_id"], "shared")
                    if name == "seq" and row["kind"] == "op":
                        self.assertEqual((one["op"]["endpoint"], one["op"]["success"]), (row["endpoint"], row["success"]))
            rows, cursor = [], ""
            for _ in range(100):
                page = self.edges[1].get("/v1/observer/timeline?scope=cluster&limit=4&%s%s" % (query, cursor)).json
                rows += page["rows"]
                if page["next_cursor"] is None:
                    break
                self.assertEqual((len(page["rows"]), page["complete"]), (4, True))
                cursor = "&cursor=" + page["next_cursor"]
                if "session" in query and len(rows) == 8:  # later ops are not this walk's
                    self.tell({"endpoint": "/late", "session_id": "shared", "timestamp": "2026-03-01T10:59:59Z"})
            self.assertEqual(rows, fleet["rows"], query)

    def test_a_session_of_many_windows(self):
        """More ops than an edge gathers at once: the walk goes on with the next ones, and has each op once."""
        for edge in self.edges:
            with edge.req() as req:
                for at in range(0, 6000, 500):
                    req.request([{"endpoint": "/n%d" % (n % 2), "session_id": "long", "op_id": "l%d" % n,
                                  "timestamp": "2026-03-01T%02d:%02d:%02dZ" % (n // 3600, n // 60 % 60, n % 60),
                                  "success": True} for n in range(at, at + 500)])
        count, cursor, pages = 0, "", 0
        while cursor is not None:
            page = self.edges[0].get("/v1/observer/timeline?scope=cluster&limit=1000&session_id=long" + cursor).json
            count += sum(row.get("count", 1) for row in page["rows"] if row["kind"] in ("op", "run"))
            cursor = page["next_cursor"] and "&cursor=" + page["next_cursor"]
            pages += 1
        self.assertEqual(count, 12000)
        self.assertGreaterEqual(pages, 12)

    def test_a_trajectory(self):
        self.tell_session()
        for query in ("sig_hash=t0", "sig_hash=t1", "sig_hash=t0&limit=7"):
            alone = self.alone.get("/v1/observer/trajectory?" + query).json
            fleet = self.edges[1].get("/v1/observer/trajectory?scope=cluster&" + query).json
            for attempt in fleet["attempts"] + alone["attempts"]:
                attempt.pop("template")  # each daemon knows the words of its own failures
            self.assertEqual(self.without_seqs(fleet), self.without_seqs(alone), query)
        self.edges[0].kill()
        fleet = self.edges[1].get("/v1/observer/trajectory?scope=cluster&sig_hash=t0").json
        self.assertEqual((len(fleet["cluster"]["missing"]), fleet["complete"]), (1, False))
        self.assertEqual(self.edges[1].get("/v1/observer/trajectory?scope=cluster").status, 400)


class Views(Asking):
    """What the workers say: pages of clusters, and figures."""

    def setUp(self):
        super().setUp()
        self.nats_servers = self.servers()
        self.one = self.edge(self.nats_servers, "edge")
        self.work = self.worker(self.nats_servers, "worker")

    def record_kinds(self, count, first=0):
        with self.one.req() as req:
            req.request([{"endpoint": "/e%d" % (n % 3), "success": False, "error": "cannot go on" + " with it" * n,
                          "source": "mcp", "op_id": "f%d" % n} for n in range(first, first + count)])

    def wait_rows(self, count):
        def all_there():
            found = self.cluster(self.one, "summary")
            return found is not None and not found["cluster"]["missing"] and found["cluster"]["rows"]["folded"] == count
        wait_until(all_there, 60, "the fleet to have folded %d rows" % count)

    def test_pages_of_clusters(self):
        """They are of the moment of the first, whatever fails meanwhile."""
        self.record_kinds(25)
        self.wait_rows(25)
        whole = self.page(self.one, "clusters", sort="first_seen", limit=1000)
        ids, cursor, more = [], None, 0
        self.assertGreater(len(whole["clusters"]), 10)
        self.assertEqual((whole["next_cursor"], whole["complete"]), (None, True))
        while True:
            page = self.page(self.one, "clusters", sort="first_seen", limit=4, **({"cursor": cursor} if cursor else {}))
            ids += [c["id"] for c in page["clusters"]]
            self.assertEqual((page["cluster"]["missing"], page["total"]), ([], len(whole["clusters"])))
            self.assertTrue(page["complete"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
            self.assertEqual(len(page["clusters"]), 4)
            self.record_kinds(1, 60 + more)
            more += 1
            self.wait_rows(25 + more)
        self.assertEqual(ids, [c["id"] for c in whole["clusters"]])
        first = self.page(self.one, "clusters", limit=4)["next_cursor"]
        for wrong in ("k0123456789abcdef-4", "k", "a7", first + "ffff", first.upper(), first[:-1] + "zz"):
            answer = self.page(self.one, "clusters", cursor=wrong)
            self.assertEqual(answer.status, 400, wrong)
            self.assertIn("cursor: must be a next_cursor that this daemon has given in the last minute",
                          answer.json["error"])
        for _ in range(4):  # others need the room
            self.page(self.one, "clusters", limit=4)
        self.assertEqual(self.page(self.one, "clusters", cursor=first).status, 400)

    def test_metrics(self):
        self.record(self.one, 700)
        self.wait_rows(700)
        answer = self.work.get("/metrics?scope=cluster")
        self.assertEqual(answer.status, 200)
        text = answer.body.decode()
        figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        rows = self.one.journal_rows()
        for source in {r["source"] for r in rows}:
            for outcome, success in (("succeeded", True), ("failed", False)):
                self.assertEqual(float(figures['observer_ops_total{outcome="%s",source="%s"}' % (outcome, source)]),
                                 sum(r["source"] == source and r["success"] == success for r in rows))
        for n in range(7):
            self.assertEqual(float(figures['observer_endpoint_ops_total{outcome="failed",endpoint="/e%d"}' % n]),
                             sum(r["endpoint"] == "/e%d" % n and not r["success"] for r in rows))
        self.assertEqual(float(figures["observer_fleet_view_partitions"]), 64)
        self.assertEqual(float(figures["observer_fleet_view_missing_partitions"]), 0)
        self.assertEqual(float(figures['observer_fleet_view_ops_total{result="folded"}']), 700)
        self.assertEqual(float(figures["observer_cluster_failures_total"]), sum(not r["success"] for r in rows))
        self.assertLess(len(figures), 2000)
        for own in ("observer_journal_seq", "process_cpu_seconds_total", "observer_http_requests_total",
                    "observer_op_duration_seconds"):
            self.assertNotIn(own, text)
        self.assertNotIn("fleet_view", self.one.get("/metrics").body.decode())
        openmetrics = self.one.get("/metrics?scope=cluster", {"accept": "application/openmetrics-text"})
        self.assertTrue(openmetrics.body.endswith(b"# EOF\n"))
        self.assertIn("observer_fleet_view_partitions 64", openmetrics.body.decode())


class Leader(Asking):
    """What was learned is the leader's: here one whose bridge is another edge's, which is of no other fleet."""

    def lead(self, servers, daemon):
        tool = subprocess.Popen([nats.TOOL, "lead", servers.urls[0], os.path.join(daemon.data_dir, "fleet.sock")],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(tool.stdout.close)
        self.assertEqual(json.loads(tool.stdout.readline()), {"leads": True})
        return tool

    @staticmethod
    def end(tool):
        tool.stdin.close()
        counts = json.loads(tool.stdout.readline())
        tool.wait()
        return counts

    def test_the_leader_answers(self):
        servers, others = self.servers(), nats.Servers(os.path.join(self.tmp, "others"))
        self.addCleanup(others.stop)
        edge, leader = self.edge(servers, "edge"), self.edge(others, "leader")
        with leader.req() as req:
            req.request([{"endpoint": "/led", "success": n % 2 == 0, "error": "connection refused", "session_id": "s",
                          "sig_hash": "t", "source": "mcp"} for n in range(60)])
        wait_until(lambda: leader.get("/v1/observer/analyses").json["analyses"], 60, "the leader to learn")
        nobody = edge.get("/v1/observer/advice?endpoint=/led&scope=cluster")
        self.assertEqual((nobody.status, nobody.json["error"]),
                         (503, "the fleet has no leader now, or it does not answer: ask again in some seconds"))
        tool = self.lead(servers, leader)
        cluster = leader.get("/v1/observer/clusters").json["clusters"][0]["id"]
        asked = 0
        for path in ("advice?endpoint=/led", "playbooks", "escalations", "alerts", "rules", "graph", "changes?limit=5",
                     "repeats", "clusters/" + cluster, "analyses/1", "ops/7", "analyses/999999", "playbooks/0123",
                     "advice?endpoint=" + "x" * 9000, "escalations?cursor=nonsense", "alerts?state=pending"):
            mine = leader.get("/v1/observer/" + path)
            theirs = edge.get("/v1/observer/%s%sscope=cluster" % (path, "&" if "?" in path else "?"))
            self.assertEqual(theirs.status, mine.status, (path, theirs.json))
            if not path.startswith(("graph", "clusters/")):  # those have ages in them
                self.assertEqual(theirs.json, mine.json, path)
            asked += 1
        same = edge.get("/v1/observer/analyses?from=cluster&scope=cluster").json
        self.assertEqual(same, leader.get("/v1/observer/analyses?scope=cluster").json)
        self.assertEqual(edge.get("/v1/observer/analyses?scope=cluster").json["analyses"], [])
        self.assertEqual(self.end(tool), {"answered": asked + 1, "refused": 0, "dropped": 0, "failed": 0})
        tool = self.lead(servers, leader)
        leader.kill()
        gone = edge.get("/v1/observer/advice?endpoint=/led&scope=cluster")
        self.assertEqual((gone.status, gone.json["error"]), (503, "Connection refused"))
        self.assertEqual(self.end(tool)["failed"], 1)


class Commands(CtlTest, Asking):
    def test_scope_cluster(self):
        servers = self.servers()
        edges = self.two_edges(servers)
        for edge in edges:
            self.record(edge, 1300)
        url = ("--url", edges[0].url("http"), "--scope", "cluster")
        rows = [json.loads(line) for line in self.ctl("ops", *url, "--all", "--json").stdout.splitlines()]
        self.assertEqual(sorted(r["op_id"] for r in rows), sorted("op-%d" % n for n in range(self.sent)))
        self.assertEqual(len({r["edge"] for r in rows}), 2)
        lines = self.ctl("ops", *url, "--limit", "3").stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["%s:%d" % (r["edge"], r["seq"]) for r in rows[:3]])
        shown = self.ctl("op", *url, "%s:%d" % (rows[0]["edge"], rows[0]["seq"])).stdout
        self.assertIn(rows[0]["op_id"], shown)
        self.ctl("op", "--url", edges[0].url("http"), "%s:1" % rows[0]["edge"], code=2)
        session = json.loads(self.ctl("timeline", *url, "--session-id", "s7", "--json").stdout)
        self.assertEqual(session["summary"]["ops"], sum(r["session_id"] == "s7" for r in rows))
        self.assertEqual(len(session["cluster"]["edges"]), 2)
        self.assertIn("the fleet has no leader now", self.ctl("advice", *url, "--endpoint", "/e1", code=1).stderr)
        self.assertIn("the fleet has no leader now", self.ctl("analyses", "--url", edges[0].url("http"), "--from", "cluster",
                                                              code=1).stderr)
        self.assertIn("--scope", self.ctl("playbooks", *url[:3], "galaxy", code=2).stderr)
        alone = self.start("alone")
        self.assertIn("belongs to no fleet", self.ctl("ops", "--url", alone.url("http"), "--scope", "cluster", code=2).stderr)


class Answers(Asking):
    """What an edge answers to whoever can reach NATS."""

    def said(self, servers, text, count=2, ms=int(10000 * SLOW)):
        """That it has heard the question comes first here; it may come behind a quick answer."""
        said = [(row["of"].split(".", 1)[1], row["text"]) for row in
                nats.tool("answers", ASK, text, count, ms, url=servers.urls[0])]
        return sorted(said, key=lambda one: not one[0].startswith("102."))

    def status(self, servers, target, **more):
        said = self.said(servers, json.dumps({"v": 1, "target": target, **more}))
        last = said[-1]
        return int(last[0].split(".")[0]), json.loads(last[1]) if last[1].startswith("{") else last[1]

    def test_targets(self):
        servers = self.servers()
        edge = self.edge(servers, "edge")
        self.record(edge, 5)
        wait_until(lambda: self.said(servers, '{"v":1,"target":"/v1/observer/ops"}', ms=500), 20, "an answer")
        first, last = self.said(servers, '{"v":1,"target":"/v1/observer/ops?limit=2"}')
        self.assertEqual((first, last[0]), (("102.0.0", ""), "200.0.1"))
        self.assertEqual([r["seq"] for r in json.loads(last[1])["ops"]], [5, 4])
        self.assertEqual(self.status(servers, "/v1/observer/ops?scope=cluster"),
                         (400, {"error": "scope: the fleet is asking already"}))
        self.assertEqual(self.status(servers, "/v1/observer/ops?%73cope=cluster")[0], 400)
        for target in ("/v1/observer/event", "/v1/observer/review", "/v1/observer/silences", "/v1/observer/key",
                       "/v1/observer/live"):
            status, body = self.status(servers, target)
            self.assertIn(status, (403, 405), target)
        wrong = "what was asked is no target of this fleet's version"
        for text in ("", "{", "[]", "{}", '{"v":1}', '{"v":2,"target":"/v1/observer/ops"}', '{"v":1,"target":7}',
                     '{"target":"/v1/observer/ops"}', '{"v":1,"target":"/stats"}', '{"v":1,"target":"/v1/observer/"}',
                     '{"v":1,"target":"/v1/observer/../../etc/passwd"}', '{"v":1,"target":"/v1/observer/./ops"}',
                     '{"v":1,"target":"/v1/observer/%2e%2e/stats"}', '{"v":1,"target":"/v1/observer//ops"}',
                     '{"v":1,"target":"/v1/observer/ops?q=\\r\\nX: y"}', '{"v":1,"target":"/v1/observer/ops?q=a b"}',
                     '{"v":1,"target":"/v1/observer/ops#x"}', '{"v":1,"target":"/v1/observer/ops?q=\\u0000"}',
                     '{"v":1,"target":"http://example.com/v1/observer/ops"}', '{"v":1,"target":"/v1/observer/ops?q=\u00e9"}',
                     '{"v":1,"target":"/v1/observer/ops?q=%s"}' % ("x" * 13000),
                     '{"v":1,"target":"/v1/observer/ops","target":"/v1/observer/ops"}'):
            self.assertEqual(self.said(servers, text, 1), [("400.0.1", json.dumps({"error": wrong}, separators=(",", ":")))],
                             text)
        mine = self.page(edge, "ops")["cluster"]["edges"][0]
        self.assertEqual(self.status(servers, "/v1/observer/ops", **{"for": {mine: "limit=1"}})[1]["next_cursor"], "a5")
        self.assertEqual(self.said(servers, json.dumps({"v": 1, "target": "/v1/observer/ops", "for": {"0" * 16: ""}}),
                                   ms=700), [])

    def test_the_socket(self):
        """Keys are configured: the fleet reads all the same, and the socket lets nobody do more."""
        servers = self.servers()
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        keys.add("somebody", "read")
        edge = self.edge(servers, "edge", "--keys", keys.path, "--allow-open")
        path = os.path.join(edge.data_dir, "fleet.sock")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(edge.get("/v1/observer/ops?scope=cluster").status, 401)

        def raw(text):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.sendall(text.encode())
                s.settimeout(10)
                got = b""
                while b"\r\n\r\n" not in got:
                    part = s.recv(65536)
                    if not part:
                        break
                    got += part
                return int(got.split()[1])
        head = "host: localhost\r\ncontent-length: 2\r\n\r\n{}"
        self.assertEqual(raw("GET /v1/observer/ops HTTP/1.1\r\nhost: localhost\r\n\r\n"), 200)
        for method, target in (("POST", "/v1/observer/event"), ("POST", "/v1/observer/review"), ("POST", "/event"),
                               ("POST", "/v1/observer/silences"), ("DELETE", "/v1/observer/silences/1"),
                               ("GET", "/v1/observer/key"), ("GET", "/v1/observer/live"), ("GET", "/health")):
            self.assertEqual(raw("%s %s HTTP/1.1\r\n%s" % (method, target, head)), 403, (method, target))


if __name__ == "__main__":
    main()
