"""GET /metrics of a real observerd: both forms read strictly, the numbers, the bound on series; what is made from its table; and
the rules, tested by promtool. What a scrape costs is the benchmark's."""

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

from harness import BUILD, OBSERVERD, ROOT, SLOW, DaemonTest, free_port, main, wait_until
from keys import KeyFile
from openmetrics import Exposition, Wrong

V1 = "/v1/observer/"
OPEN = {"accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"}
SERIES = 2000


def promtool(*args, **kw):
    done = subprocess.run(["promtool", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, **kw)
    return done.returncode, done.stdout.decode()


def families():
    """name: (type, unit, labels, help)"""
    table = subprocess.check_output([OBSERVERD, "--metrics-table"], text=True, timeout=60)
    return {line.split("\t")[0]: line.split("\t")[1:] for line in table.splitlines()}


class MetricsTest(DaemonTest):
    def scrape(self, daemon, form="openmetrics", headers=None):
        answer = daemon.request("GET", "/metrics", headers=dict(headers or {}, **(OPEN if form == "openmetrics" else {})))
        self.assertEqual(answer.status, 200)
        kind = {"text": "text/plain; version=0.0.4; charset=utf-8",
                "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8"}[form]
        self.assertEqual(answer.headers["content-type"], kind)
        return Exposition(answer.body, form)

    def wait_for(self, daemon, predicate):
        """What is counted behind an answer shows a moment later."""
        return wait_until(lambda: (lambda m: m if predicate(m) else None)(self.scrape(daemon)), what="the metrics")


class Scrape(MetricsTest):
    def test_both_forms_have_the_same_families(self):
        d = self.start()
        d.post(V1 + "event", [{"endpoint": "/a", "success": True, "duration_ms": 7}])
        text, opened = self.scrape(d, "text"), self.scrape(d)
        self.assertEqual({s.name for s in text.samples.values()} - {s.name for s in opened.samples.values()}, set())
        known = {name: said for name, said in families().items() if not name.startswith("observer_fleet_view_")}  # scope=cluster
        for f in text.families.values():
            kind, _, labels, said = known[f.name]
            self.assertEqual((f.kind, f.help), ("gauge" if kind == "info" else kind, said))
            for s in f.samples:
                self.assertEqual(set(s.labels) - {"le"}, set(filter(None, labels.split(","))), f.name)
        self.assertEqual(set(known), set(text.families))

    def test_which_form(self):
        d = self.start(None)
        for accept, form in (("", "text"), ("*/*", "text"), ("text/plain", "text"), ("application/openmetrics-text", "openmetrics"),
                             ("application/openmetrics-text;q=0", "text"), ("text/plain, application/openmetrics-text", "openmetrics"),
                             ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", "text")):
            with self.subTest(accept=accept):
                answer = d.request("GET", "/metrics", headers={"accept": accept} if accept else {})
                self.assertEqual(answer.headers["content-type"].startswith("application/openmetrics-text"), form == "openmetrics")
                Exposition(answer.body, form)

    def test_a_key_of_scope_read(self):
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        reads, posts = keys.add("prometheus", "read"), keys.add("fleet", "ingest")
        d = self.start(args=["--keys", keys.path], pull=None, sub=None, rep=None, feed=None)
        self.assertEqual(d.get("/metrics").status, 401)
        self.assertEqual(d.get("/metrics", {"authorization": "Bearer " + posts}).status, 403)
        m = self.scrape(d, headers={"authorization": "Bearer " + reads})
        self.assertEqual(m.value("observer_auth_denied_total", reason="no_key"), 1)
        self.assertEqual(m.value("observer_auth_denied_total", reason="forbidden"), 1)
        self.assertEqual(m.value("observer_access_key_file", state="read"), 1)

    def test_the_numbers(self):
        d = self.start()
        d.post(V1 + "event", [{"endpoint": "/a", "source": "bot", "success": True, "duration_ms": 5},
                              {"endpoint": "/a", "source": "bot", "ok": False, "error": "lost", "duration_ms": 5001, "session_id": "s1"},
                              {"endpoint": "/b", "success": True}, {"endpoint": 7}, {"endpoint": "/a", "success": True, "x": "y" * 70000}])
        d.post("/event", "{")
        d.post(V1 + "event", {"endpoint": "/a", "success": True, "op_id": "1"})
        d.post(V1 + "event", {"endpoint": "/a", "success": True, "op_id": "1"})
        self.assertEqual(d.get("/nothing").status, 404)
        d.get(V1 + "advice?endpoint=/a")
        m = self.wait_for(d, lambda m: m.total("observer_http_requests_total", route="GET /advice") == 1)
        self.assertEqual(m.value("observer_ready"), 1)
        self.assertEqual(m.value("observer_ops_total", source="bot", outcome="failed"), 1)
        self.assertEqual(m.value("observer_ops_total", source="mcp", outcome="succeeded"), 2)
        self.assertEqual(m.value("observer_endpoint_ops_total", endpoint="/a", outcome="succeeded"), 2)
        self.assertEqual(m.value("observer_endpoint_ops_total", endpoint="/a", outcome="failed"), 1)
        self.assertEqual(m.value("observer_op_duration_seconds_bucket", endpoint="/a", le="0.005"), 1)
        self.assertEqual(m.value("observer_op_duration_seconds_bucket", endpoint="/a", le="10.0"), 2)
        self.assertEqual(m.value("observer_op_duration_seconds_sum", endpoint="/a"), 5.006)
        self.assertEqual(m.value("observer_op_duration_seconds_count", endpoint="/b"), 0)
        for name, key in (("observer_endpoint_ops_total", {"endpoint": "/a", "outcome": "failed"}),
                          ("observer_op_duration_seconds_bucket", {"endpoint": "/a", "le": "10.0"})):
            labels = m.samples[name, tuple(sorted(key.items()))].exemplar[0]
            self.assertEqual(labels["session_id"], "s1")
            self.assertEqual(d.get(V1 + "ops/" + labels["seq"]).json["op"]["error"], "lost")
        reasons = {s.labels["reason"]: s.value for s in m.samples.values()
                   if s.name == "observer_intake_ops_rejected_total" and s.labels["transport"] == "http" and s.value}
        self.assertEqual(reasons, {"value": 1, "limit": 1, "syntax": 1})
        self.assertEqual(m.value("observer_intake_ops_duplicate_total", transport="http"), 1)
        self.assertEqual(m.value("observer_http_requests_total", route="(none)", code="404"), 1)
        self.assertEqual(m.value("observer_http_requests_total", route="POST /event", code="200"), 3)
        self.assertEqual(m.value("observer_http_requests_total", route="POST /event", code="400"), 1)
        self.assertEqual(m.value("observer_http_request_seconds_count", route="POST /event"), 4)
        self.assertEqual(m.total("observer_advice_requests_total"), 1)
        self.assertEqual(m.value("observer_clusters", state="new"), 1)
        self.assertEqual(m.value("observer_cluster_transitions_total", to="new"), 1)
        groups = m.value("observer_commit_batch_ops_count")
        self.assertTrue(1 <= groups <= 3 and m.value("observer_commit_batch_ops_sum") == 4)
        self.assertTrue(groups <= m.value("observer_fsync_seconds_count") == m.value("observer_journal_syncs_total"))
        start = m.value("process_start_time_seconds")
        self.assertTrue(start <= m.value("observer_last_commit_timestamp_seconds") < start + 3600)
        for name in ("process_resident_memory_bytes", "process_open_fds", "process_threads", "observer_commit_queue_capacity_bytes"):
            self.assertGreater(m.value(name), 0)
        wait_until(lambda: self.scrape(d).total("observer_journal_free_bytes") > 0, what="the room on the disk")

    def test_conservation_per_transport(self):
        d = self.start()
        with d.push() as bus:
            for i in range(50):
                bus.send(json.dumps([{"endpoint": "/a", "success": True}, {"endpoint": ""}] * 3).encode())
        m = self.wait_for(d, lambda m: m.value("observer_intake_ops_recorded_total", transport="pull") == 150)
        for transport in ("pull", "sub", "rep", "http", "tail"):
            there = {name: m.total("observer_intake_ops_" + name, transport=transport)
                     for name in ("received_total", "recorded_total", "duplicate_total", "rejected_total", "in_flight")}
            self.assertEqual(there.pop("received_total"), sum(there.values()), transport)
        self.assertEqual(m.value("observer_intake_ops_rejected_total", transport="pull", reason="value"), 150)

    def test_after_a_restart(self):
        d = self.start()
        d.post(V1 + "event", [{"endpoint": "/a", "success": False, "error": "lost", "duration_ms": 9}] * 3)
        d.restart(kill=True)
        m = self.scrape(d)
        self.assertEqual(m.value("observer_ops_total", source="mcp", outcome="failed"), 3)  # the journal's
        self.assertEqual(m.total("observer_endpoint_ops_total"), 0)  # this run's
        d.post(V1 + "event", [{"endpoint": "/a", "success": False, "error": "lost", "duration_ms": 9}])
        self.assertEqual(self.scrape(d).value("observer_endpoint_ops_total", endpoint="/a", outcome="failed"), 1)


class Bounds(MetricsTest):
    def test_whatever_is_published(self):
        """10,000 endpoints and sources, hostile names, every route: at most 2,000 series, and each form is still in order."""
        d = self.start(None)
        names = ["/e%d" % i for i in range(10000)]
        names[7::1000] = ["/a\"b", "/a\\b", "/a\nb", "/\u0000x", "/\u0001x", "/\u202ex", "/" + "\u00e9" * 20000, "(other)", "/\r\n# EOF", "{}"]
        for i in range(0, len(names), 1000):
            answer = d.post(V1 + "event", [{"endpoint": e, "source": e, "success": k % 3 > 0, "duration_ms": k, "session_id": e[:70]}
                                           for k, e in enumerate(names[i:i + 1000])])
            self.assertEqual(answer.json["rejected"], 0)
        for path in subprocess.check_output([OBSERVERD, "--routes"], text=True).splitlines():
            method, path = path.split()[:2]
            for sent in (path, path + "?limit=x"):
                d.request(method, sent.replace("{id}", "1").replace("{seq}", "1"), b"{}" if method == "POST" else None, described=False)
        for form in ("text", "openmetrics"):
            m = self.scrape(d, form)
            self.assertLessEqual(len(m.samples), SERIES)
            recorded = m.total("observer_intake_ops_recorded_total")
            self.assertGreaterEqual(recorded, 10000)
            self.assertEqual(m.total("observer_endpoint_ops_total"), recorded)
            self.assertEqual(m.total("observer_ops_total"), recorded)
            self.assertEqual(len({s.labels["endpoint"] for s in m.samples.values() if s.name == "observer_endpoint_ops_total"}), 51)
            self.assertGreater(m.total("observer_names_overflow_total", kind="endpoint"), 8000)
            self.assertGreater(m.total("observer_names_overflow_total", kind="source"), 9000)
        code, said = promtool("check", "metrics", input=d.get("/metrics").body)
        self.assertEqual((code, said), (0, ""))
        print("%d series, %d bytes" % (len(m.samples), len(d.get("/metrics").body)))

    def test_places_change_hands_and_no_counter_goes_back(self):
        d = self.start(None)
        post = lambda ops: self.assertEqual(d.post(V1 + "event", ops).status, 200)
        post([{"endpoint": "/quiet%d" % i, "success": True, "duration_ms": 1} for i in range(60)])
        before = self.scrape(d)
        self.assertEqual(before.value("observer_endpoint_ops_total", endpoint="/quiet7", outcome="succeeded"), 1)
        self.assertEqual(before.value("observer_endpoint_ops_total", endpoint="(other)", outcome="succeeded"), 10)
        post([{"endpoint": "/quiet55", "success": True, "duration_ms": 1}] * 40 + [{"endpoint": "/quiet7", "success": True}] * 40)
        after = self.scrape(d)  # who has a place is looked at once a minute: the unit test has the rest
        for key, sample in before.samples.items():
            if before.families.get(key[0].removesuffix("_total"), None) and key[0].endswith("_total") and key in after.samples:
                self.assertGreaterEqual(after.samples[key].value, sample.value, key)
        self.assertEqual(after.total("observer_endpoint_ops_total"), 140)


class Reader(MetricsTest):
    """The reader that the other tests rely on refuses what is wrong."""

    def test_must_reject(self):
        head = "# HELP a_b help\n# TYPE a_b counter\n"
        Exposition((head + 'a_b_total{x="1"} 1\n# EOF\n').encode(), "openmetrics")
        for wrong in (head + 'a_b_total{x="1"} 1\n', head + "a_b 1\n# EOF\n", head + 'a_b_total{x="1"} 1\na_b_total{x="1"} 2\n# EOF\n',
                      head + 'a_b_total{x="1} 1\n# EOF\n', head + 'a_b_total{x="\\t"} 1\n# EOF\n', head + "a_b_total -1\n# EOF\n",
                      head + "\na_b_total 1\n# EOF\n", "a_b_total 1\n# EOF\n", head + "a_b_total 1 # {seq=1} 1.0 1.0\n# EOF\n",
                      head + 'a_b_total 1 # {seq="%s"} 1.0 1.0\n# EOF\n' % ("1" * 126), head + head + "a_b_total 1\n# EOF\n",
                      "# HELP h help\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n# EOF\n",
                      "# HELP h help\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_sum 1\nh_count 1\n# EOF\n"):
            with self.subTest(text=wrong), self.assertRaises(Wrong):
                Exposition(wrong.encode(), "openmetrics")


class Deployed(MetricsTest):
    """What is made from the table, and what names its families."""

    FILES = os.path.join(ROOT, "deploy", "prometheus")

    def known_names(self):
        out = set()
        for name, (kind, *_) in families().items():
            out |= {name + s for s in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
        return out

    def assert_known(self, expression):
        for name in re.findall(r"\b(?:observer|process)_\w+", expression):
            self.assertIn(name, self.known_names(), expression)

    def test_the_document_and_the_dashboard_are_up_to_date(self):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "scripts", "metrics.py"), "--check"], capture_output=True, text=True,
                              timeout=60, env=dict(os.environ, OBSERVER_BUILD=BUILD))
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_the_dashboard_names_families_that_exist(self):
        with open(os.path.join(ROOT, "deploy", "grafana", "observer.json"), encoding="utf-8") as f:
            board = json.load(f)
        asked = [t["expr"] for p in board["panels"] for t in p.get("targets", [])]
        self.assertGreater(len(asked), 80)
        self.assertEqual(len({p["id"] for p in board["panels"]}), len(board["panels"]))
        taken = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken or at["x"] + at["w"] > 24, panel["title"])
            taken |= cells
        for expression in asked + [v["query"] for v in board["templating"]["list"]]:
            self.assert_known(expression)
        shown = " ".join(asked)
        for name, (kind, *_) in families().items():
            self.assertTrue(kind == "info" or name in shown, name)
        # Each is an expression that Prometheus takes: as rules, since promtool reads those.
        rules = [{"record": "a:%d" % i, "expr": e.replace("$__rate_interval", "1m")} for i, e in enumerate(asked)]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as f:
            json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, f)
            f.flush()
            code, said = promtool("check", "rules", "--lint=none", f.name)
            self.assertEqual(code, 0, said)

    def test_the_rules(self):
        for args in (("check", "rules", "observer.rules.yml"), ("test", "rules", "observer.rules.test.yml"),
                     ("check", "config", "--syntax-only", "prometheus.yml")):
            code, said = promtool(*args, cwd=self.FILES)
            self.assertEqual(code, 0, said)
        with open(os.path.join(self.FILES, "observer.rules.yml"), encoding="utf-8") as f:
            rules = f.read()
        self.assert_known(rules)
        with open(os.path.join(self.FILES, "observer.rules.test.yml"), encoding="utf-8") as f:
            tests = f.read()
        self.assert_known(tests)
        for name in re.findall(r"- alert: (\w+)", rules):
            self.assertIn("alertname: " + name, tests)

    def test_a_real_prometheus(self):
        """It scrapes with the key in a file, keeps exemplars, evaluates the rules, and nothing fires."""
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        reads, posts = keys.add("prometheus", "read"), keys.add("fleet", "ingest")
        d = self.start(args=["--keys", keys.path], pull=None, sub=None, rep=None, feed=None)
        d.post(V1 + "event", [{"endpoint": "/a", "success": False, "error": "lost", "duration_ms": 9, "session_id": "s1"}],
               {"authorization": "Bearer " + posts})
        with open(os.path.join(self.tmp, "observer.key"), "w", encoding="utf-8") as f:
            f.write(reads + "\n")
        with open(os.path.join(self.FILES, "prometheus.yml"), encoding="utf-8") as f:
            config = f.read()
        target = d.url("http").removeprefix("http://")
        config = (config.replace("/etc/prometheus/observer.key", os.path.join(self.tmp, "observer.key"))
                  .replace("127.0.0.1:3800", target).replace("observer.rules.yml", os.path.join(self.FILES, "observer.rules.yml"))
                  .replace("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s"))
        path = os.path.join(self.tmp, "prometheus.yml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(config)
        port = free_port()
        log = open(os.path.join(self.tmp, "prometheus.log"), "wb")
        self.addCleanup(log.close)
        prometheus = subprocess.Popen(["prometheus", "--config.file", path, "--storage.tsdb.path", os.path.join(self.tmp, "tsdb"),
                                       "--web.listen-address", "127.0.0.1:%d" % port, "--enable-feature=exemplar-storage"],
                                      stdout=log, stderr=log)

        def end():
            prometheus.terminate()
            prometheus.wait(30 * SLOW)

        self.addCleanup(end)

        def ask(path):
            try:
                with urllib.request.urlopen("http://127.0.0.1:%d/api/v1/%s" % (port, path), timeout=10 * SLOW) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None

        def value(query):
            found = ask("query?query=" + urllib.parse.quote(query))
            return [float(r["value"][1]) for r in found["result"]] if found else []

        wait_until(lambda: value("observer_ready") == [1.0], 60, "a scrape")
        self.assertEqual(value('observer_endpoint_ops_total{endpoint="/a",outcome="failed"}'), [1.0])
        wait_until(lambda: value("scrape_samples_scraped") and value("scrape_samples_post_metric_relabeling") == value("scrape_samples_scraped"),
                   60, "all samples")
        found = wait_until(lambda: ask("query_exemplars?query=observer_endpoint_ops_total&start=0&end=9999999999"), 60, "exemplars")
        self.assertEqual(found[0]["exemplars"][0]["labels"], {"seq": "1", "session_id": "s1"})
        rules = wait_until(lambda: (lambda g: g and g["groups"] and g["groups"][0]["lastEvaluation"] > "0002" and g)(ask("rules")), 60, "rules")
        self.assertEqual([r["name"] for r in rules["groups"][0]["rules"] if r["health"] == "err"], [])
        self.assertEqual(ask("alerts")["alerts"], [])


if __name__ == "__main__":
    main()
