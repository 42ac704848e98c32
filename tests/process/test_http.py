"""The HTTP bridge of a real observerd: the routes, their answers, and the document that describes them."""

import json
import os
import re
import subprocess
import threading

from harness import OBSERVERD, ROOT, DaemonTest, main, pack

FAMILIES = ("", "/observer", "/v1/observer")
OP = {"endpoint": "/a", "success": True}


class Views(DaemonTest):
    def test_health(self):
        d = self.start(None)
        for n, family in enumerate(FAMILIES):
            status, headers, body = d.get(family + "/health")
            self.assertEqual(status, 200)
            self.assertEqual(headers["content-type"], "application/json")
            self.assertEqual(list(body), ["status", "ops_in_ring", "version", "data_dir", "journal_name", "seq", "sessions", "uptime_s",
                                          "transports", "urls", "fleet", "access", "tls", "redaction", "feed", "clusters", "learn",
                                          "journal", "files", "traffic", "connections", "state"])
            self.assertEqual((body["status"], body["ops_in_ring"], body["seq"]), ("ok", n, n))
            self.assertEqual(d.post("/event", {"ok": True}).status, 200)

    def test_stats_shapes(self):
        d = self.start(None)
        empty = {"total": 0, "successes": 0, "failures": 0, "by_source": {}, "recent_scenario_ops": []}
        for family in FAMILIES:
            self.assertEqual(d.get(family + "/stats").json, empty)
        when = "2026-01-02T03:04:05.678Z"
        d.post("/event", {"timestamp": when, "success": True, "staffer_id": "s1"})
        d.post("/v1/observer/event", {"endpoint": "/x", "success": False})
        want = {"total": 2, "successes": 1, "failures": 1, "by_source": {"mcp": 1, "scenario": 1}}
        legacy = {"ts": when, "ok": True, "staffer": "s1"}
        self.assertEqual(d.get("/stats").json, {**want, "recent_scenario_ops": [legacy]})
        for family in FAMILIES[1:]:
            full = {**legacy, "kind": "", "role": ""}
            self.assertEqual(d.get(family + "/stats").json, {**want, "recent_scenario_ops": [full]})

    def test_recent_scenario_ops_are_the_last_ten_oldest_first(self):
        d = self.start(None)
        d.post("/event", [{"event_kind": "k%d" % i, "success": True} for i in range(15)])
        kinds = [op["kind"] for op in d.get("/stats").json["recent_scenario_ops"]]
        self.assertEqual(kinds, ["k%d" % i for i in range(5, 15)])

    def test_probes(self):
        d = self.start()
        self.assertEqual((d.get("/livez").status, d.get("/livez").json), (200, {"status": "ok"}))
        self.assertEqual((d.get("/readyz").status, d.get("/readyz").json), (200, {"status": "ready"}))
        self.assertEqual(d.get("/v1/observer/livez").status, 404)

    def test_summary(self):
        d = self.start(None)
        d.post("/v1/observer/event", [{"endpoint": "/a", "success": i != 0, "duration_ms": 100} for i in range(4)])
        for path in ("/observer/summary", "/v1/observer/summary", "/v1/observer/summary?scope=instance"):
            status, _, body = d.get(path)
            self.assertEqual(status, 200)
            self.assertEqual(sorted(body["windows"]), ["1h", "1m", "5m"])
            for period in (body["lifetime"], *body["windows"].values()):
                got = period["by_endpoint"]["/a"]
                self.assertEqual((got["total"], got["successes"], got["failures"]), (4, 3, 1))
                self.assertAlmostEqual(got["duration_ms"]["p50"], 100, delta=1.0)
        for query, error in (("scope=cluster", "scope: this daemon belongs to no fleet (it has neither --forward nor --jetstream)"), ("x=1", "x: unknown parameter"),
                             ("scope=instance&scope=instance", "scope: given twice")):
            self.assertEqual(tuple(d.get("/v1/observer/summary?" + query))[::2], (400, {"error": error}))

    def test_what_was_not_measured_is_no_zero(self):
        """The row says 0, statistics leave it out. A name that reads as the bucket `(other)` is not the bucket."""
        d = self.start()
        d.post("/v1/observer/event", [{"endpoint": "/a", "duration_ms": 120}, {"endpoint": "/a"}, {"endpoint": "/a"},
                                      {"endpoint": "(other)", "source": "(other)"}])
        self.assertEqual([row["duration_ms"] for row in d.journal_rows()], [120, 0, 0, 0])
        for again in range(2):
            life = d.get("/v1/observer/summary").json["lifetime"]
            self.assertEqual(life["by_endpoint"]["/a"]["total"], 3)
            for of in (life, life["by_endpoint"]["/a"]):
                for key in ("p50", "p90", "p99", "max"):
                    self.assertAlmostEqual(of["duration_ms"][key], 120, delta=1.2)
            self.assertEqual(set(life["by_endpoint"]), {"/a", '"(other)"'})
            self.assertEqual(set(life["by_source"]), {"mcp", '"(other)"'})
            unknown = {"p50": None, "p90": None, "p99": None, "max": None}
            self.assertEqual(life["by_source"]['"(other)"'], {"total": 1, "successes": 0, "failures": 1,
                                                            "duration_ms": unknown})
            self.assertEqual(d.get("/stats").json["by_source"], {"mcp": 3, "(other)": 1})  # as it always was
            d.restart()

    def test_queries_of_plain_routes_are_ignored(self):
        d = self.start(None)
        for path in ("/health", "/stats", "/livez", "/readyz"):
            self.assertEqual(d.get(path + "?_=17&verbose").status, 200, path)

    def test_several_listeners(self):
        d = self.start(None, http=["http://127.0.0.1:0", "http://127.0.0.1:0"])
        self.assertEqual(len(set(d.urls["http"])), 2)
        for n in range(2):
            conn = d.connect(n=n)
            conn.request("GET", "/livez")
            self.assertEqual(conn.getresponse().status, 200)
            conn.close()

    def test_port_in_use(self):
        d = self.start(None)
        url = d.url("http")
        code, stderr = self.make(None, http=url).run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("observerd: http %s: address in use by observerd (pid %d)\n" % (url, d.pid), stderr)


# One of these is what a timeline or a trajectory is of.
KEYS = ("session_id", "cycle_id", "staffer_id", "sig_hash", "task_class")


class Contract(DaemonTest):
    def test_routes_and_openapi_agree(self):
        printed = set()
        for line in subprocess.check_output([OBSERVERD, "--routes"], text=True).splitlines():
            method, path, codes, scopes = line.split()
            printed.add((method, path, tuple(codes.split(",")), tuple(scopes.split(","))))
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            document = json.load(f)
        described = set()
        for path, item in document["paths"].items():
            for method, operation in item.items():
                described.add((method.upper(), path, tuple(operation["responses"]), tuple(operation["x-scope"])))
        self.assertEqual(described, printed)

    def test_references_of_the_document_resolve(self):
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            text = f.read()
        document = json.loads(text)
        for ref in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
            node = document
            for part in ref.split("/"):
                node = node[part]

    def test_parameters_of_the_document_are_taken(self):
        d = self.start(None)
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            document = json.load(f)
        d.post("/v1/observer/event", [{"endpoint": "/a", "error": "lost", "sig_hash": s, "success": False} for s in "aabb"] +
               [{"endpoint": "/b", "error": "one more kind", "success": False}])
        walks = {name: d.get("/v1/observer/%s?least=1&limit=1" % name if name == "repeats" else "/v1/observer/%s?limit=1" % name)
                 .json["next_cursor"] for name in ("clusters", "repeats", "graph", "changes")}
        walks["playbooks"] = "w1-0-20-0-0-0-0"
        walks["timeline"] = d.get("/v1/observer/timeline?sig_hash=a&limit=1").json["next_cursor"]
        samples = {"success": "true", "errors": "true", "ended": "true", "full": "true", "since": "2026-01-01", "received_since": "2026-01-01",
                   "until": "1700000000000", "limit": "5", "least": "5", "cursor": "a5", "seq": "5",
                   "after": "0", "boot": "0" * 16, "scope": "instance", "grounded": "true", "retired": "true", "cluster": "0" * 16}
        found = d.get("/v1/observer/clusters").json["clusters"][0]["id"]
        for path, item in document["paths"].items():
            path = path.replace("{seq}", "1").replace("clusters/{id}", "clusters/" + found)
            for parameter in item.get("get", {}).get("parameters", []):
                name = parameter["name"]
                if parameter["in"] == "path" or "{" in path:  # there is none of these
                    continue
                for sample in parameter["schema"].get("enum", [samples.get(name, "x")]):
                    if sample == "cluster" and "instance" in parameter["schema"]["enum"]:
                        continue  # of a fleet; this daemon is alone
                    needed = {"advice session_id": "endpoint=/a&", "advice scope": "endpoint=/a&", "key method": "path=/a&", "key path": "method=GET&"}.get(
                        "%s %s" % (path.rsplit("/", 1)[1], name), "")
                    if path.endswith(("/timeline", "/trajectory")) and name not in KEYS:
                        needed = "sig_hash=a&"
                    if name == "cursor":
                        sample = walks.get(path.rsplit("/", 1)[1], sample)
                    answer = d.get("%s?%s%s=%s" % (path, needed, name, sample))
                    self.assertEqual(answer.status, 200, (path, name, answer))

    def test_counters_show_what_happened(self):
        d = self.start()
        before = d.get("/health").json
        self.assertEqual(d.post("/v1/observer/event", OP).status, 200)
        self.assertEqual(d.post("/v1/observer/event", {"endpoint": 7}).status, 400)
        health = d.get("/health").json
        changed = lambda group, member: health[group][member] - before[group][member]
        self.assertEqual([changed("journal", m) for m in ("appends", "rejected", "failures", "rejected_failures")], [1, 1, 0, 0])
        self.assertGreater(changed("journal", "bytes"), 0)
        self.assertEqual([changed("state", m) for m in ("total", "successes", "failures")], [1, 1, 0])
        self.assertEqual(health["traffic"]["http"]["messages"], 2)
        self.assertEqual(set(health["files"]), {"analyses", "playbooks", "escalations", "reviews", "calls"})

    def test_answers_have_the_described_members(self):
        d = self.start(None)
        with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
            document = json.load(f)
        schemas = document["components"]["schemas"]
        d.post("/event", OP)
        d.post("/v1/observer/event", {"endpoint": "/a", "error": "lost"})
        cluster = d.get("/v1/observer/clusters?full=true").json["clusters"][0]
        self.assertEqual(list(cluster), list(schemas["Cluster"]["properties"]))
        light = d.get("/v1/observer/clusters").json["clusters"][0]
        self.assertEqual(list(light), schemas["Cluster"]["required"])
        for path, item in document["paths"].items():
            if path.endswith("/fleet"):  # a daemon that is alone has none; test_fleet_picture.py
                continue
            if "get" in item and ("{" not in path or "clusters" in path or "ops" in path):  # the others: test_learned.py
                content = item["get"]["responses"]["200"]["content"]
                if "application/json" not in content:
                    continue
                schema = content["application/json"]["schema"]
                schema = schema.get("anyOf", [schema])[0].get("$ref")  # the first is whole, as it is without a key file
                if schema is None:  # this document
                    continue
                described = schemas[schema.split("/")[-1]]
                query = {"advice": "?endpoint=/a", "timeline": "?sig_hash=a", "trajectory": "?sig_hash=a"}.get(path.rsplit("/", 1)[1], "")
                body = d.get(path.replace("{id}", cluster["id"]).replace("{seq}", "2") + query).json
                self.assertEqual(set(described["required"]) - set(body), set(), path)
                self.assertEqual(set(body) - set(described["properties"]), set(), path)


class Events(DaemonTest):
    def test_one(self):
        d = self.start(None)
        for n, family in enumerate(FAMILIES, 1):
            answer = d.post(family + "/event", OP)
            self.assertEqual((answer.status, answer.body), (200, b'{"accepted":true,"ring_size":%d}\n' % n))

    def test_duplicate(self):
        d = self.start()
        op = {**OP, "op_id": "p-1"}
        self.assertEqual(d.post("/v1/observer/event", op).json, {"accepted": True, "ring_size": 1})
        again = {"accepted": True, "duplicate": True, "ring_size": 1}
        self.assertEqual(d.post("/v1/observer/event", op).json, again)
        many = d.post("/v1/observer/event", [op, {**OP, "op_id": "p-2"}]).json
        self.assertEqual(many, {"accepted": True, "count": 2, "duplicates": 1, "rejected": 0, "errors": [],
                                "ring_size": 2})
        self.assertEqual(len(d.journal_rows()), 2)

    def test_profiles(self):
        d = self.start()
        self.assertEqual(d.post("/event", {"ok": True}).status, 200)
        for family in FAMILIES[1:]:
            for op in ({}, {"endpoint": ""}):
                answer = d.post(family + "/event", op)
                self.assertEqual((answer.status, answer.json), (400, {"error": "endpoint: required"}))
            self.assertEqual(d.post(family + "/event", OP).status, 200)
        rows = d.journal_rows()
        self.assertEqual([(r["endpoint"], r["source"]) for r in rows],
                         [("scenario:fill", "scenario"), ("/a", "mcp"), ("/a", "mcp")])

    def test_rejected_one(self):
        d = self.start(None)
        for body, error in (('{"endpoint":"/a","duration_ms":-1}', "duration_ms: must not be negative"),
                            ('{"endpoint":5}', "endpoint: must be a string"),
                            ('{"endpoint":"/a","endpoint":"/b"}', "endpoint: duplicate key")):
            answer = d.post("/v1/observer/event", body)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}))
            self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(d.stats()["total"], 0)

    def test_broken_and_empty(self):
        d = self.start(None)
        for body, error in (("", "message: empty"), ("  \n", "message: empty"), ("[1]", "op: must be a map"),
                            ('{"endpoint":', "json: truncated at byte 12")):
            answer = d.post("/v1/observer/event", body)
            self.assertEqual((answer.status, answer.json["error"]), (400, error), body)
        self.assertEqual(d.post("/v1/observer/event", "[]").json,
                         {"accepted": True, "count": 0, "rejected": 0, "errors": [], "ring_size": 0})

    def test_many(self):
        d = self.start(None)
        bad = {"endpoint": "/b", "duration_ms": "x"}
        errors = [{"index": 1, "error": "duration_ms: must be a number"}]
        want = {"accepted": True, "count": 2, "rejected": 1, "errors": errors, "ring_size": 2}
        self.assertEqual(d.post("/v1/observer/event", [OP, bad, OP]).json, want)
        lines = "\n".join(map(json.dumps, (OP, bad, OP))) + "\n"
        answer = d.post("/v1/observer/event", lines, {"content-type": "application/x-ndjson"})
        self.assertEqual(answer.json, {**want, "ring_size": 4})
        answer = d.post("/v1/observer/event", lines)
        self.assertEqual(answer.json, {**want, "ring_size": 6})

    def test_ndjson_of_one_line_is_a_batch(self):
        d = self.start(None)
        answer = d.post("/event", json.dumps(OP) + "\n", {"content-type": "application/x-ndjson; charset=utf-8"})
        self.assertEqual(answer.json, {"accepted": True, "count": 1, "rejected": 0, "errors": [], "ring_size": 1})

    def test_nothing_accepted_of_many(self):
        d = self.start(None)
        answer = d.post("/v1/observer/event", [{}, {}])
        errors = [{"index": i, "error": "endpoint: required"} for i in range(2)]
        self.assertEqual((answer.status, answer.json),
                         (400, {"error": "endpoint: required", "accepted": False, "count": 0, "rejected": 2,
                                "errors": errors, "ring_size": 0}))

    def test_errors_listed_are_capped(self):
        d = self.start(None)
        body = d.post("/v1/observer/event", [{}] * 150 + [OP]).json
        self.assertEqual((body["accepted"], body["count"], body["rejected"]), (True, 1, 150))
        self.assertEqual([e["index"] for e in body["errors"]], list(range(100)))

    def test_content_types(self):
        d = self.start(None)
        for name, body in (("application/msgpack", pack(OP)), ("application/x-msgpack", pack(OP)),
                           ("application/vnd.msgpack", pack(OP)), ("application/x-www-form-urlencoded", json.dumps(OP)),
                           ("application/octet-stream", pack(OP)), ("Application/JSON; charset=utf-8", json.dumps(OP)),
                           ("text/plain", json.dumps(OP))):
            answer = d.post("/v1/observer/event", body, {"content-type": name})
            self.assertEqual((answer.status, answer.json["accepted"]), (200, True), name)
        answer = d.post("/v1/observer/event", pack([OP, OP]), {"content-type": "application/msgpack"})
        self.assertEqual((answer.json["count"], answer.json["ring_size"]), (2, 9))
        answer = d.post("/v1/observer/event", pack(OP), {"content-type": "application/json"})
        self.assertEqual(answer.status, 400)

    def test_durable_when_answered(self):
        d = self.start()
        for i in range(20):
            self.assertEqual(d.post("/event", {**OP, "op_id": str(i)}).status, 200)
            self.assertEqual(len(d.journal_lines()), i + 1)
        d.restart(kill=True)
        self.assertEqual(d.stats()["total"], 20)

    def test_many_posters_at_once(self):
        d = self.start()
        failed = []

        def post(n):
            conn = d.connect()
            for i in range(50):
                conn.request("POST", "/event", json.dumps({**OP, "op_id": "%d-%d" % (n, i)}),
                             {"content-type": "application/json"})
                answer = conn.getresponse()
                body = answer.read()
                if answer.status != 200:
                    failed.append(body)
            conn.close()

        threads = [threading.Thread(target=post, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(failed, [])
        self.assertEqual(len({r["op_id"] for r in d.journal_rows()}), 400)
        self.assertEqual(len(d.journal_rows()), 400)


if __name__ == "__main__":
    main()
