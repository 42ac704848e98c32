"""Notifications of the whole daemon: from an op to the message, links, silences with keys, the audit, kill -9, reloads."""

import json
import os
import signal

from ctl import CtlTest
from feed_client import Follower
from harness import SmallDisk, main, wait_until
from keys import KeyFile, id_of
from notify_sinks import HttpSink

RULE = {"id": "bad", "on": "op", "severity": "page", "when": [{"FieldEquals": {"field": "success", "value": False}}],
        "count": {"at_least": 3, "within": "10s", "by": ["endpoint"]}, "keep": "0s"}
V1 = "/v1/observer/"


def failures(endpoint, n=3):
    return [{"endpoint": endpoint, "success": False, "error": "it broke"}] * n


class NotifyTest(CtlTest):
    def setUp(self):
        super().setUp()
        self.hook = HttpSink()
        self.addCleanup(self.hook.close)
        self.rules = os.path.join(self.tmp, "rules.json")
        self.write_rules()

    def write_rules(self, **more):
        with open(self.rules, "w", encoding="utf-8") as f:
            json.dump(dict({"builtin": False, "rules": [RULE], "receivers": {"hook": {"url": self.hook.url}},
                            "group_wait": "100ms", "group_interval": "1s"}, **more), f)

    def launch(self, *args, **urls):
        return self.start(args=("--rules", self.rules, *args), **urls)

    def fired(self, n):
        """(endpoint, status) of the n-th message."""
        return sorted((a["labels"]["endpoint"], a["status"]) for a in self.hook.wait(n, 30)[n - 1]["alerts"])


class Daemon(NotifyTest):
    def test_from_an_op_to_its_end(self):
        daemon = self.launch(feed="tcp://127.0.0.1:0")
        follower = Follower(daemon.subscribe())
        self.addCleanup(follower.close)
        self.assertEqual(daemon.post(V1 + "event", failures("/a")).status, 200)
        self.assertEqual(self.fired(1), [("/a", "firing")])
        alert = self.hook.bodies()[0]["alerts"][0]
        self.assertEqual(alert["labels"], {"alertname": "bad", "severity": "page", "endpoint": "/a"})
        self.assertTrue(alert["generatorURL"].startswith(daemon.url("http") + "/"), alert)
        row = daemon.get(V1 + "alerts").json["alerts"][0]
        self.assertEqual((row["state"], row["silenced_by"]), ("firing", None))
        wait_until(lambda: daemon.get(V1 + "alerts").json["alerts"][0]["notified"] is not None, what="when it was told")
        self.assertEqual(self.fired(2), [("/a", "resolved")])
        while len([t for t, _ in follower.others if t == b"alert.bad"]) < 2:
            follower.take()
        self.assertEqual([m["state"] for t, m in follower.others if t == b"alert.bad"], ["firing", "resolved"])

    def test_kill_and_restart(self):
        self.write_rules(rules=[dict(RULE, count=dict(RULE["count"], within="1h"))])
        daemon = self.launch()
        daemon.post(V1 + "event", failures("/a"))
        self.assertEqual(self.fired(1), [("/a", "firing")])
        ledger = os.path.join(daemon.data_dir, "notifications.jsonl")

        def rows():
            with open(ledger, encoding="utf-8") as f:
                return [json.loads(line) for line in f]

        wait_until(lambda: len(rows()) == 2, what="the answer's row")
        for _ in range(2):
            daemon.restart(kill=True)
            wait_until(lambda: daemon.get(V1 + "alerts").json["firing"] == 1, what="the alert")
        daemon.post(V1 + "event", failures("/b"))
        self.assertEqual(self.fired(2), [("/a", "firing"), ("/b", "firing")])  # it is told of what still fires, too
        self.assertEqual([a["says"] for r in rows() if r["event"] == "send" for a in r["alerts"]], ["firing", "firing"])

    def test_reload(self):
        daemon = self.launch()
        other = HttpSink()
        self.addCleanup(other.close)
        self.write_rules(receivers={"other": {"url": other.url}})
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: "1 rules, " in daemon.stderr(), what="the reload")
        daemon.post(V1 + "event", failures("/a"))
        other.wait(1, 30)
        self.assertEqual(self.hook.requests, [])
        self.write_rules(receivers={"other": {"url": "ftp://x"}})
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: "receivers.other.url: must be an http:// or https:// URL" in daemon.stderr(), what="the error")
        daemon.post(V1 + "event", failures("/b"))
        wait_until(lambda: any(a["labels"]["endpoint"] == "/b" for b in other.bodies() for a in b["alerts"]), 30, "the next one")

    def test_public_url(self):
        daemon = self.launch("--public-url", "https://obs.example/plane/")
        daemon.post(V1 + "event", failures("/a"))
        self.fired(1)
        self.assertEqual(self.hook.bodies()[0]["externalURL"], "https://obs.example/plane")


class Silences(NotifyTest):
    def test_commands(self):
        daemon = self.launch()
        url = ("--url", daemon.url("http"))
        self.assertEqual(self.ctl("silence", "list", *url).stderr, "no silences yet\n")
        out = self.ctl("silence", "add", "rule=bad", "endpoint=/a*", "--for", "1h", "--comment", "we know", "--author", "me", *url).stdout
        self.assertRegex(out, r"^ID +STATE +SILENCES +UNTIL +AUTHOR +COMMENT\n +1 +active +rule=bad endpoint=/a\* +\S+ +me +we know\n$")
        daemon.post(V1 + "event", failures("/a1"))
        daemon.post(V1 + "event", failures("/b"))
        self.assertEqual(self.fired(1), [("/b", "firing")])
        alerts = {a["group"]["endpoint"]: a["silenced_by"] for a in daemon.get(V1 + "alerts").json["alerts"]}
        self.assertEqual(alerts, {"/a1": 1, "/b": None})
        daemon.restart(kill=True)
        listed = json.loads(self.ctl("silence", "list", "--json", "--url", daemon.url("http")).stdout)
        self.assertEqual((listed["total"], listed["silences"][0]["author"]), (1, "me"))
        url = ("--url", daemon.url("http"))
        self.assertRegex(self.ctl("silence", "end", "1", *url).stdout, r"\n +1 +ended ")
        self.assertIn("no silence 1 in force", self.ctl("silence", "end", "1", *url, code=1).stderr)
        self.assertRegex(self.ctl("silence", "list", "--ended", *url).stdout, r"\n +1 +ended ")
        for args, words in [(("add",), "which alerts?"), (("add", "x=1"), "how long?"), (("add", "x", "--for", "1h"), "NAME=VALUE"),
                            (("end",), "which silence?"), (("end", "x"), "is not the number"), (("list", "x"), "takes no argument"),
                            (("go",), "which action? add, list or end")]:
            self.assertIn(words, self.ctl("silence", *args, *url, code=2).stderr)
        for text in ("\u0000", "a\u0000b"):  # would be cut there, and silence something else
            answer = daemon.post(V1 + "silences", {"matchers": [{"name": "rule", "value": text}], "for": "1h"})
            self.assertEqual((answer.status, answer.json), (400, {"error": "a text must not have \\u0000 in it"}))
        self.assertIn("for: must be a duration", self.ctl("silence", "add", "x=1", "--for", "soon", *url, code=2).stderr)

    def test_keys(self):
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        reader, admin = keys.add("reader", "read"), keys.add("admin", "admin")
        daemon = self.start(args=("--rules", self.rules, "--keys", keys.path), pull="none", sub="none", rep="none", feed="none")
        body = {"matchers": [{"name": "rule", "value": "bad"}], "for": "1h"}

        def ask(method, key, path="silences", data=None, **headers):
            return daemon.request(method, V1 + path, data and json.dumps(data).encode(),
                                  dict({"authorization": "Bearer " + key, "content-type": "application/json"}, **headers))

        self.assertEqual(ask("POST", reader, data=body).status, 403)
        self.assertEqual(ask("POST", admin, data=body, origin="http://elsewhere.example").status, 403)
        made = ask("POST", admin, data=body)
        self.assertEqual((made.status, made.json["author"]), (200, id_of(admin)))
        self.assertEqual(ask("GET", reader).json["total"], 1)
        path = "silences/%d" % made.json["id"]
        self.assertEqual(ask("DELETE", reader, path).status, 403)
        self.assertEqual(ask("DELETE", admin, path, origin="http://elsewhere.example").status, 403)
        self.assertEqual(ask("GET", reader, path).status, 405)
        self.assertEqual(ask("GET", reader, path).headers["allow"], "DELETE")
        self.assertEqual(ask("PUT", admin, data=body).headers["allow"], "GET, HEAD, POST")
        self.assertEqual(ask("DELETE", admin, path).json["state"], "ended")
        self.assertEqual(ask("DELETE", admin, path).status, 404)
        self.assertEqual(ask("POST", admin, data={"matchers": []}).status, 400)
        with open(os.path.join(daemon.data_dir, "audit.jsonl"), encoding="utf-8") as f:
            done = [(r["what"], r["key"], r["detail"]) for r in map(json.loads, f) if r.get("what", "").startswith("silence")]
        self.assertEqual(done, [("silence_set", id_of(admin), "silence 1"), ("silence_ended", id_of(admin), "silence 1")])


class FullDisk(SmallDisk, NotifyTest):
    BYTES = 4 << 20

    def test_what_cannot_be_recorded_is_told(self):
        """A full disk is what wakes somebody: it is told while there is no room for the row that says so, once."""
        stuck = {"id": "stuck", "on": "self", "check": "recording", "severity": "page", "for": "1s", "keep": "0s"}
        self.write_rules(rules=[stuck])
        daemon = self.make(args=("--rules", self.rules))
        self.put_there(daemon)
        daemon.start()
        filler = self.inside(daemon, os.path.join(self.mounted, "filler"))
        with open(filler, "wb", buffering=0) as f:
            try:
                while f.write(bytes(4096)):
                    pass
            except OSError:
                pass
        wait_until(lambda: daemon.post(V1 + "event", failures("/a", 50)).status == 503, 20, "the disk is full")
        names = lambda n: [(a["labels"]["alertname"], a["status"]) for a in self.hook.wait(n, 30)[n - 1]["alerts"]]
        self.assertEqual(names(1), [("stuck", "firing")])
        os.unlink(filler)
        self.assertEqual(names(2), [("stuck", "resolved")])

        def rows():
            with open(self.inside(daemon, os.path.join(daemon.data_dir, "alerts.jsonl")), encoding="utf-8") as f:
                return [json.loads(line)["state"] for line in f]

        wait_until(lambda: rows() == ["firing", "resolved"], 10, "the rows of both")
        self.assertEqual(len(self.hook.requests), 2)


if __name__ == "__main__":
    main()
