"""What was learned, from outside: the routes and their parameters, the feed, and questions for advice over REP."""

import json
import threading
import time

from described import Schemas
from feed_client import Follower
from harness import DaemonTest, main, pack, unpack, wait_until
from taught import CHAT, EMBED, V1, get, post, taught, wait_cycles

NO_CLUSTER = "0" * 16
NOT_YET = ("nothing has been learned yet: nothing was recorded when the daemon last looked (it looks once a cycle, and soon after a "
           "new kind of failure begins)")
LISTS = {"analyses": "Analysis", "playbooks": "Playbook", "escalations": "Escalation"}


class Routes(DaemonTest):
    """One daemon for all questions: nothing that is asked here changes it."""

    def test_what_is_answered(self):
        daemon = taught(self)
        for check in (self.check_described, self.check_filters, self.check_pages, self.check_light, self.check_one, self.check_wrong,
                      self.check_advice):
            with self.subTest(check=check.__name__):
                check(daemon)

    def check_described(self, daemon):
        schemas = Schemas()
        schemas.check(daemon.get("/health").json, "Health")
        for name in LISTS:
            answer = get(daemon, name)
            schemas.check(answer, name.title())
            self.assertEqual(daemon.get("/observer/" + name + "?full=true").json, answer)
            self.assertEqual(list(answer), [name, "total" if name == "playbooks" else "next", "next_cursor", "complete"])
            self.assertGreater(len(answer[name]), 0)
        schemas.check(get(daemon, "advice?endpoint=" + CHAT), "Advice")

    def rows(self, daemon, name, **params):
        return get(daemon, name + "?" + "&".join("%s=%s" % kv for kv in params.items()))[name]

    def values(self, row, member):
        """A `do` is of the task classes in its list."""
        return [v["value"] for v in row.get("task_classes", [])] if member == "task_class" else []

    def check_filters(self, daemon):
        """Each gives exactly the rows of the whole list that have it."""
        for name, members in (("analyses", ("scope", "cluster", "endpoint", "task_class", "backend", "grounded")),
                              ("playbooks", ("endpoint", "task_class", "kind")), ("escalations", ("cluster",))):
            rows = self.rows(daemon, name)
            for member in members:
                values = {row[member] for row in rows} - {None}
                self.assertTrue(values, member)
                for value in values:
                    text = str(value).lower() if isinstance(value, bool) else value
                    want = [row for row in rows if value == row[member] or value in self.values(row, member)]
                    self.assertEqual(self.rows(daemon, name, **{member: text}), want, (name, member, value))
        rows = self.rows(daemon, "analyses")
        self.assertEqual(rows, sorted(rows, key=lambda row: -row["id"]))
        moment = rows[0]["time"]
        self.assertEqual(self.rows(daemon, "analyses", since=moment), [r for r in rows if r["time"] >= moment])
        self.assertEqual(self.rows(daemon, "analyses", since="2100-01-01"), [])
        self.assertEqual(self.rows(daemon, "analyses", endpoint="/nothing"), [])
        self.assertEqual(self.rows(daemon, "escalations", cluster=NO_CLUSTER), [])
        self.assertEqual(get(daemon, "playbooks?kind=do&limit=1")["total"], 2)
        self.assertEqual(len(self.rows(daemon, "playbooks", kind="do", limit=1)), 1)
        for retired in ("true", "false"):
            self.assertEqual(self.rows(daemon, "playbooks", retired=retired), self.rows(daemon, "playbooks"))

    def check_pages(self, daemon):
        for name in LISTS:
            whole, seen, cursor = self.rows(daemon, name), [], None
            while True:
                page = get(daemon, name + "?limit=1" + ("&cursor=" + cursor if cursor else ""))
                seen += page[name]
                cursor = page["next_cursor"]
                self.assertEqual((len(page[name]), page["complete"]), (1, True))
                if name != "playbooks":
                    self.assertEqual(page["next"], cursor)  # its older name
                if cursor is None:
                    break
            self.assertEqual(seen, whole)
        self.assertGreaterEqual(len(self.rows(daemon, "analyses")), 2)

    def check_light(self, daemon):
        """What a list leaves out, one row has."""
        heavy = {"analyses": {"dont_seqs", "claims", "model_error", "ms", "conclusion", "diagnosis"}, "escalations": set(),
                 "playbooks": {"pattern", "pattern_share", "recent", "avg_ms", "p50_ms", "p95_ms", "staffers", "task_classes",
                               "created_seq", "history"}}
        for name in LISTS:
            light, whole = daemon.get(V1 + name).json[name], self.rows(daemon, name)
            self.assertEqual(daemon.get(V1 + name + "?full=false").json[name], light)
            for few, all_of_it in zip(light, whole, strict=True):
                self.assertEqual(set(all_of_it) - set(few), heavy[name])
                self.assertEqual({k: v for k, v in all_of_it.items() if k in few}, few)

    def check_one(self, daemon):
        for row in self.rows(daemon, "analyses"):
            self.assertEqual(get(daemon, "analyses/%d" % row["id"]), row)
        for row in self.rows(daemon, "playbooks"):
            self.assertEqual(get(daemon, "playbooks/" + row["id"]), row)
            self.assertEqual(get(daemon, "playbooks/" + row["id"][:12]), row)
        for row in self.rows(daemon, "escalations"):
            self.assertEqual(get(daemon, "escalations/%d" % row["id"]), row)
        for path, status, error in (
                ("analyses/999999", 404, "analysis 999999 does not exist or has expired"),
                ("escalations/999999", 404, "escalation 999999 does not exist or has expired"),
                ("analyses/0", 400, "id: must be a whole number, 1 or more"),
                ("analyses/x", 400, "id: must be a whole number, 1 or more"),
                ("analyses/-1", 400, "id: must be a whole number, 1 or more"),
                ("playbooks/" + NO_CLUSTER, 404, "no playbook entry " + NO_CLUSTER),
                ("playbooks/12", 400, "id: must be 16 hex digits, or the first 4 or more of them"),
                ("playbooks/" + NO_CLUSTER[:4], 404, "no playbook entry whose id begins with " + NO_CLUSTER[:4])):
            self.assertEqual(get(daemon, path, status), {"error": error}, path)

    def check_wrong(self, daemon):
        for query, error in (
                ("analyses?scope=all", "scope: must be cluster or fleet"),
                ("analyses?scope=or", "scope: must be cluster or fleet"),
                ("analyses?scope=cluster,", "scope: must be cluster or fleet"),
                ("analyses?backend=gpt", "backend: must be builtin, lakehouse or openai"),
                ("analyses?cluster=12", "cluster: must be a cluster id (16 hex digits) or its first 4 digits or more"),
                ("analyses?grounded=yes", "grounded: must be true or false"),
                ("analyses?since=soon", "since: must be an ISO 8601 time (with + sent as %2B), epoch seconds (10 digits) or milliseconds (13)"),
                ("analyses?limit=0", "limit: must be a number from 1 to 1000"),
                ("analyses?limit=1001", "limit: must be a number from 1 to 1000"),
                ("analyses?cursor=b1", "cursor: must be a next_cursor of an earlier answer"),
                ("analyses?full=1", "full: must be true or false"),
                ("analyses?endpoint=", "endpoint: must not be empty"),
                ("analyses?endpoint=%ff", "endpoint: must be valid UTF-8"),
                ("analyses?kind=do", "kind: unknown parameter"),
                ("playbooks?kind=maybe", "kind: must be do or dont"),
                ("playbooks?retired=1", "retired: must be true or false"),
                ("playbooks?cursor=a1", "cursor: must be a next_cursor of an earlier answer"),
                ("playbooks?cursor=w1-2-3-4-5-6-0", "cursor: must be a next_cursor of an earlier answer of this list, in the same order"),
                ("escalations?cluster=x", "cluster: must be a cluster id (16 hex digits) or its first 4 digits or more"),
                ("escalations?endpoint=/a", "endpoint: unknown parameter"),
                ("advice", "advice: needs endpoint or task_class"),
                ("advice?endpoint=", "endpoint: must not be empty"),
                ("advice?task_class=%ff", "task_class: must be valid UTF-8"),
                ("advice?limit=1", "limit: unknown parameter")):
            self.assertEqual(get(daemon, query, 400), {"error": error}, query)
        for name in (*LISTS, "analyses/1", "playbooks/" + NO_CLUSTER, "advice"):
            answer = daemon.post(V1 + name, b"{}")
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"), name)

    def check_advice(self, daemon):
        with daemon.req() as req:
            for params in ({"endpoint": CHAT}, {"task_class": "fill"}, {"endpoint": CHAT, "task_class": "fill"},
                           {"endpoint": EMBED}, {"endpoint": "/nothing"}, {"endpoint": "\u00fc" * 200}):
                query = "&".join("%s=%s" % (k, "%C3%BC" * 200 if "\u00fc" in v else v) for k, v in params.items())
                answer = daemon.get(V1 + "advice?" + query)
                self.assertEqual(answer.status, 200, answer)
                self.assertLessEqual(len(answer.body), 1000)
                raw = req.request_raw(pack({"advice": params}))
                self.assertLessEqual(len(raw), 1000)
                self.assertEqual(unpack(raw), answer.json)
                self.assertEqual(list(unpack(raw)), list(answer.json))
        advice = get(daemon, "advice?endpoint=%s&task_class=fill" % CHAT)
        self.assertEqual((advice["endpoint"], advice["task_class"]), (CHAT, "fill"))
        self.assertIn("dont", [entry["kind"] for entry in advice["entries"]])
        self.assertEqual([c["count"] for c in advice["clusters"]], [16])
        self.assertEqual([c["text"] for c in advice["corrections"]], ["wait a minute after a 429"])
        nothing = get(daemon, "advice?endpoint=/nothing")
        self.assertEqual([nothing["entries"], nothing["clusters"]], [[], []])
        known = "no open failures, findings, corrections or playbook entries there, as of op %d" % nothing["as_of"]
        self.assertEqual(nothing["note"], "nothing is known about /nothing yet: " + known)
        for query, about in (("task_class=none", "task class none"), ("endpoint=/n&task_class=none", "/n for task class none")):
            self.assertEqual(get(daemon, "advice?" + query)["note"], "nothing is known about %s yet: %s" % (about, known))
        self.assertNotIn("note", advice)


class Unlearned(DaemonTest):
    def test_before_anything_is_known(self):
        daemon = self.start(data_dir=None)
        self.assertEqual(get(daemon, "analyses"), {"analyses": [], "next": None, "next_cursor": None, "complete": True})
        self.assertEqual(get(daemon, "playbooks"), {"playbooks": [], "total": 0, "next_cursor": None, "complete": True})
        self.assertEqual(get(daemon, "escalations"), {"escalations": [], "next": None, "next_cursor": None, "complete": True})
        empty = {"endpoint": "/a", "task_class": None, "findings": [], "entries": [], "clusters": [], "corrections": [],
                 "as_of": 0, "note": NOT_YET}
        self.assertEqual(get(daemon, "advice?endpoint=/a"), empty)
        with daemon.req() as req:
            self.assertEqual(req.request({"advice": {"endpoint": "/a"}}), empty)


class Questions(DaemonTest):
    """Over REP: which messages are questions, and that nothing else changes for ops."""

    GOOD = {"endpoint": "/a", "task_class": None, "findings": [], "entries": [], "clusters": [], "corrections": [], "as_of": 0,
            "note": NOT_YET}

    def counters(self, daemon):
        return daemon.get("/health").json["transports"]["rep"]

    def test_questions_are_no_ops(self):
        daemon = self.start()
        with daemon.req() as req:
            for message in (pack({"advice": {"endpoint": "/a"}}), b'{"advice":{"endpoint":"/a"}}',
                            b'{"advice": {"endpoint":"/a", "task_class":null}}\n',
                            b'ask\0{"advice":{"endpoint":"/a"}}', b"ask\0" + pack({"advice": {"endpoint": "/a"}})):
                self.assertEqual(req.request(message), self.GOOD, message)
            for message, error in (
                    ({"advice": {}}, "advice: needs endpoint or task_class"),
                    ({"advice": "/a"}, "advice: must be a map of endpoint and task_class"),
                    ({"advice": {"endpoint": 5}}, "endpoint: must be a string"),
                    ({"advice": {"endpoint": ""}}, "endpoint: must not be empty"),
                    ({"advice": {"endpoint": "/a", "city": "x"}}, "city: advice has only endpoint, task_class and session_id")):
                self.assertEqual(req.request(message), {"error": error})
                self.assertEqual(req.request(json.dumps(message).encode()), {"error": error})
        self.assertEqual(set(self.counters(daemon).values()), {0})
        self.assertEqual((daemon.journal_lines(), daemon.rejected_rows()), ([], []))

    def test_ops_are_no_questions(self):
        daemon = self.start()
        op = {"endpoint": "/a", "success": True}
        with daemon.req() as req:
            self.assertEqual(req.request({**op, "advice": {"endpoint": "/b"}})["accepted"], 1)
            self.assertEqual(req.request([{"advice": {"endpoint": "/b"}}, op])["rejected"], 1)
            self.assertEqual(req.request(pack({"advice": {"endpoint": "/b"}}) * 2)["rejected"], 2)
            self.assertEqual(req.request(pack({"advice": {"endpoint": "/b"}})[:-1])["rejected"], 1)
        with daemon.push() as push:  # nobody would get the answer
            push.send(pack({"advice": {"endpoint": "/b"}}))
            push.send(pack(op))
        daemon.wait_total(3)
        self.assertEqual(daemon.journal_rows()[0]["advice"], {"endpoint": "/b"})
        counts = self.counters(daemon)
        self.assertEqual((counts["received"], counts["recorded"], counts["rejected"]), (6, 2, 4))
        self.assertEqual(daemon.get("/health").json["transports"]["pull"]["rejected"], 1)

    def test_many_ask_while_ops_come(self):
        daemon = self.start(args=["--cycle", "100ms"])
        wrong, asked = [], [0] * 4
        stop = threading.Event()

        def ask(i):
            with daemon.req() as req:
                while not stop.is_set():
                    answer = req.request({"advice": {"endpoint": "/a"}})
                    if answer.get("endpoint") != "/a" or "error" in answer:
                        wrong.append(answer)
                    asked[i] += 1

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
        for thread in threads:
            thread.start()
        with daemon.req() as req:
            for i in range(50):
                answer = req.request([{"endpoint": "/a", "error": "lost %s" % ("x" * (i % 7)), "success": False}] * 20)
                self.assertEqual(answer["accepted"], 20)
        wait_until(lambda: min(asked) >= 50, 20, "50 answers each")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        counts = self.counters(daemon)
        self.assertEqual((counts["received"], counts["recorded"]), (1000, 1000))

    def test_a_stop_between_questions(self):
        """Asking goes on while the daemon stops: it ends in time, and cleanly."""
        daemon = self.start()
        end = threading.Event()

        def ask():
            try:
                with daemon.req() as req:
                    while not end.is_set():
                        req.request({"advice": {"endpoint": "/a"}})
            except (OSError, EOFError):
                pass

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        daemon.stop()
        end.set()
        for thread in threads:
            thread.join()


class Feed(DaemonTest):
    TOPICS = {b"analysis": "analyses", b"playbook": "playbooks", b"alert.escalation": "escalations"}

    def test_the_rows_are_told(self):
        daemon = self.start(args=["--cycle", "100ms", "--playbook-cycles", "1"], feed="tcp://127.0.0.1:0")
        with Follower(daemon.subscribe()) as follower:
            post(daemon, [{"endpoint": "/a", "success": True, "input_summary": "get %d" % i} for i in range(6)])
            post(daemon, [{"endpoint": "/a", "error": "disk %d is full" % i, "success": False} for i in range(6)])
            wait_until(lambda: get(daemon, "playbooks")["total"] and get(daemon, "analyses")["analyses"], 20, "rows")
            wait_cycles(daemon, 2)
            rows = {name: get(daemon, name)[name][::-1] for name in self.TOPICS.values()}
            for row in rows["analyses"]:
                del row["diagnosis"]
            told = {name: [] for name in rows}
            while any(len(told[name]) < len(rows[name]) for name in rows):
                follower.take()
                for topic, m in follower.others:
                    if topic in self.TOPICS:
                        told[self.TOPICS[topic]].append({k: v for k, v in m.items() if k not in ("seq", "topic_seq")})
                follower.others.clear()
            self.assertEqual(follower.missed, 0)
        self.assertEqual(told["analyses"], rows["analyses"])
        self.assertEqual(told["escalations"], rows["escalations"])
        self.assertEqual([m["id"] for m in told["playbooks"]], list(range(1, len(told["playbooks"]) + 1)))
        entries = {m.pop("entry"): {k: v for k, v in m.items() if k != "id"} for m in told["playbooks"]}
        self.assertEqual(sorted(entries), sorted(row["id"] for row in rows["playbooks"]))
        for row in rows["playbooks"]:
            # the effect goes on; the history is long
            shown = {k: v for k, v in row.items() if k not in ("id", "effect", "history")}
            self.assertEqual({k: entries[row["id"]][k] for k in shown}, shown)


if __name__ == "__main__":
    main()
