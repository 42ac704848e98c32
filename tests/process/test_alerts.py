"""Alerts of a real daemon: what fires once over kill -9, the rules' file and SIGHUP, routes, observerctl, the demo."""

import json
import os
import signal
import subprocess

from ctl import CtlTest
from harness import BUILD, main, pack, wait_until

ALERTS = "/v1/observer/alerts"
RULES = "/v1/observer/rules"
FAILED = {"FieldEquals": {"field": "success", "value": False}}


def op(endpoint="/a", success=False, **more):
    return dict(endpoint=endpoint, success=success, duration_ms=5, input_summary="i", output_summary="o", **more)


def counted(rule="f", at_least=3, **more):
    return dict(id=rule, on="op", when=[FAILED], count={"at_least": at_least, "within": "1h", "by": ["endpoint"]}, **more)


class Alerts(CtlTest):
    def rules_file(self, rules, name="rules.json", **more):
        path = os.path.join(self.tmp, name)
        with open(path + ".new", "w") as f:
            f.write(rules if isinstance(rules, str) else json.dumps(dict(rules=rules, **more)))
        os.rename(path + ".new", path)
        return path

    def publish(self, daemon, *ops):
        with daemon.req() as s:
            self.assertEqual(s.request(pack(list(ops)))["accepted"], len(ops))

    def alerts(self, daemon, query=""):
        return daemon.get(ALERTS + query).json["alerts"]

    def wait_state(self, daemon, state, n=1):
        return wait_until(lambda: len(self.alerts(daemon, "?state=" + state)) == n and self.alerts(daemon, "?state=" + state), 20,
                          "%d alerts are %s" % (n, state))

    def rows(self, daemon):
        with open(os.path.join(daemon.data_dir, "alerts.jsonl")) as f:
            return [json.loads(line) for line in f]

    def test_fires_once_over_kill_9(self):
        daemon = self.start(args=("--rules", self.rules_file([counted()], builtin=False)))
        self.publish(daemon, op(), op(), op(success=True))
        self.assertEqual(daemon.get(ALERTS).json, {"alerts": [], "firing": 0, "pending": 0, "held_back": 0, "next_cursor": None,
                                                   "complete": True})
        self.publish(daemon, op())
        alert, = self.wait_state(daemon, "firing")
        self.assertEqual((alert["rule"], alert["group"], alert["severity"], alert["value"], alert["threshold"], alert["seqs"]),
                         ("f", {"endpoint": "/a"}, "warn", 3, 3, [4, 2, 1]))
        self.assertEqual(alert["text"], "3 ops of endpoint /a within 1h where success is false")
        for kill in (True, True, False):
            daemon.restart(kill=kill)
            again, = self.wait_state(daemon, "firing")
            self.assertEqual((again["fired"], again["number"]), (alert["fired"], alert["number"]))
        self.publish(daemon, op(), op("/b"), op("/b"))  # counted before and after a start alike
        daemon.restart(kill=True)
        self.publish(daemon, op("/b"))
        self.wait_state(daemon, "firing", 2)
        self.assertEqual([(r["group"]["endpoint"], r["state"]) for r in self.rows(daemon)], [("/a", "firing"), ("/b", "firing")])
        page = daemon.get(ALERTS + "?limit=1").json
        self.assertEqual(([a["group"]["endpoint"] for a in page["alerts"]], page["complete"]), (["/b"], True))
        page = daemon.get(ALERTS + "?limit=1&cursor=" + page["next_cursor"]).json
        self.assertEqual(([a["group"]["endpoint"] for a in page["alerts"]], page["next_cursor"]), (["/a"], None))
        self.assertEqual(self.alerts(daemon, "?rule=other"), [])
        self.assertEqual(daemon.get(ALERTS + "?state=loud").json,
                         {"error": "state: must be pending, firing, recovering or resolved"})

    def test_reload_and_broken_files(self):
        path = self.rules_file('{"rules":[{"id":"f","on":"rats"}]}')
        daemon = self.start(args=("--rules", path))
        shipped = ["failing", "new-kind", "silent", "slow", "conservation", "not-recording"]
        got = daemon.get(RULES).json
        self.assertEqual(([r["id"] for r in got["rules"]], got["file"]), (shipped, path))
        self.assertEqual(got["problem"], 'rules[0] "f": on: must be op, rate, cluster, absence or self; did you mean rate?')
        self.assertIn("the shipped rules stand until the file is right", daemon.stderr())

        self.rules_file([counted()], builtin=["failing"])
        os.kill(daemon.pid, signal.SIGHUP)
        got = wait_until(lambda: daemon.get(RULES).json["problem"] is None and daemon.get(RULES).json, 10, "the file is read again")
        self.assertEqual([r["id"] for r in got["rules"]], ["failing", "f"])
        self.publish(daemon, op(), op(), op())
        self.wait_state(daemon, "firing")

        self.rules_file('{"rules":[{"id":"f","on":"op","wehn":[]}]}')
        os.kill(daemon.pid, signal.SIGHUP)
        got = wait_until(lambda: daemon.get(RULES).json["problem"] and daemon.get(RULES).json, 10, "the problem is told")
        self.assertEqual(got["problem"], 'rules[0] "f": wehn: is not known; did you mean when?')
        self.assertEqual([(r["id"], r["firing"], r["fired_total"]) for r in got["rules"]], [("failing", 0, 0), ("f", 1, 1)])

        self.rules_file([], builtin=False)
        os.kill(daemon.pid, signal.SIGHUP)
        self.wait_state(daemon, "resolved")
        self.assertEqual([r["state"] for r in self.rows(daemon)], ["firing", "resolved"])
        self.assertEqual(daemon.get(RULES).json["rules"], [])

    def test_check_config(self):
        path = self.rules_file([dict(counted(), to=["nobody"])])
        run = subprocess.run([os.path.join(BUILD, "observerd"), "--check-config", "--rules", path], stderr=subprocess.PIPE, text=True)
        self.assertEqual((run.returncode, run.stderr), (2, 'observerd: %s: rule "f": to: there is no receiver nobody\n' % path))

    def test_observerctl(self):
        path = self.rules_file([counted(text="three of them", severity="page")], builtin=False)
        daemon = self.start(args=("--rules", path))
        url = ("--url", daemon.url("http"))
        self.assertEqual(self.ctl("alerts", *url).stdout, "")
        self.publish(daemon, op(), op(), op("/b"), op())
        self.wait_state(daemon, "firing")
        lines = self.ctl("alerts", *url).stdout.splitlines()
        self.assertEqual(lines[0].split(), ["STATE", "SEVERITY", "RULE", "GROUP", "SINCE", "RESOLVED"])
        self.assertEqual(lines[1].split()[:4], ["firing", "page", "f", "/a"])
        self.assertEqual(lines[2].strip(), "3 ops of endpoint /a within 1h where success is false")
        lines = self.ctl("rules", "list", *url).stdout.splitlines()
        self.assertEqual(lines[1].split()[:6], ["f", "op", "page", "1", "0", "1"])
        self.assertEqual(lines[2].strip(), "three of them")

        self.assertEqual(self.ctl("rules", "check", path).stdout, "f (page): three of them\n")
        broken = self.rules_file('{"rules":[{"id":"a","on":"op","for":"1"},{"id":"b","on":"self"}]}', "broken.json")
        run = self.ctl("rules", "check", broken, code=3)
        self.assertEqual(run.stderr, '%s: rules[0] "a": for: must be a time with its unit such as "90s" or "10m"\n'
                                     '%s: rules[1] "b": check: is missing\n' % (broken, broken))

        # Receivers are checked, too. A file with a secret that is not here is the daemon's; one that is here is looked at.
        elsewhere = {"chat": {"slack_url_file": "/nowhere"}, "mail": {"smtp": "smtp://x", "to": ["a@x.org"], "user": "u",
                     "password_file": "/nowhere", "ca_file": "/nowhere"}, "hook": {"url": "http://x", "bearer_file": "/nowhere"}}
        fine = self.rules_file(json.dumps({"rules": [counted(to=["chat"])], "receivers": elsewhere}), "elsewhere.json")
        self.assertEqual(self.ctl("rules", "check", fine).stderr, "")
        empty = self.rules_file("", "empty")
        for receivers, to, why in [({"chat": {"slack_url_file": empty}}, ["chat"],
                                    "receivers.chat.slack_url_file: the file %s: it is empty" % empty),
                                   ({"hook": {"url": "ftp://x"}}, ["hook"], "receivers.hook.url: must be an http:// or https:// URL"),
                                   ({"hook": {"url": "http://x"}}, ["nobody"], 'rule "f": to: there is no receiver nobody')]:
            broken = self.rules_file(json.dumps({"rules": [counted(to=to)], "receivers": receivers}), "broken.json")
            self.assertEqual(self.ctl("rules", "check", broken, code=3).stderr, "%s: %s\n" % (broken, why))
        cut = self.rules_file('{"rules":[{"id":"a","on":"self","check":"recording","text":"x\\u0000y"}]}', "broken.json")
        self.assertEqual(self.ctl("rules", "check", cut, code=3).stderr, "%s: a text has U+0000 in it\n" % cut)

        daemon.stop()
        run = json.loads(self.ctl("rules", "backtest", path, "--json", "--data-dir", daemon.data_dir).stdout)
        self.assertEqual(run["rows"], 4)
        self.assertEqual([(r["id"], r["fired"], r["still_firing"]) for r in run["rules"]], [("f", 0, 0)])  # no second has passed
        loose = self.rules_file([counted("g", 1, keep="1s")], "loose.json", builtin=False)
        run = self.ctl("rules", "backtest", loose, "--data-dir", os.path.join(self.tmp, "none"), code=1)
        self.assertIn("No such file or directory", run.stderr)

    def test_a_segment_is_missing(self):
        """A backtest says that rows are missing between those that it has; that retention took the oldest is no gap."""
        path = self.rules_file([counted()], builtin=False)
        daemon = self.start(args=("--rules", path, "--segment-bytes", "1K"))
        for n in range(40):
            self.publish(daemon, op(task_class="x" * 60, op_id=str(n)))
        daemon.stop()
        first = sorted((name for name in os.listdir(daemon.data_dir) if name.startswith("ops-") and name.endswith(".jsonl")),
                       key=lambda name: int(name[4:-6]))
        self.assertGreater(len(first), 4)
        seqs = [int(name[4:-6]) for name in first]

        def backtest():
            run = json.loads(self.ctl("rules", "backtest", path, "--json", "--data-dir", daemon.data_dir).stdout)
            return run["rows"], run["missing_rows"]

        self.assertEqual(backtest(), (40, 0))
        os.unlink(os.path.join(daemon.data_dir, first[0]))
        self.assertEqual(backtest(), (40 - (seqs[1] - seqs[0]), 0))
        os.unlink(os.path.join(daemon.data_dir, first[2]))
        gone = seqs[3] - seqs[2]
        self.assertEqual(backtest(), (40 - (seqs[1] - seqs[0]) - gone, gone))
        text = self.ctl("rules", "backtest", path, "--data-dir", daemon.data_dir).stdout
        self.assertIn("\n%d rows missing between those that are there: what they would have done is not known\n" % gone, text)

    def test_tests_of_rules(self):
        self.rules_file([dict(id="fills-fail", on="rate", of=[FAILED], above=0.3, by=["city"], **{"for": "1m"})], builtin=False)
        beats = {"at": "0s", "every": "1s", "times": 200, "op": {"endpoint": "fill", "city": "Gary", "success": False}}
        expect = [{"at": "10s", "rule": "fills-fail", "state": "inactive"},
                  {"at": "45s", "rule": "fills-fail", "group": {"city": "Gary"}, "state": "pending"},
                  {"at": "2m", "rule": "fills-fail", "group": {"city": "Gary"}, "state": "firing"},
                  {"at": "2m", "rule": "fills-fail", "group": {"city": "Flint"}, "state": "inactive"},
                  {"at": "1h", "rule": "fills-fail", "state": "inactive"}]
        path = os.path.join(self.tmp, "tests.json")

        def run(status, *tests, **file):
            with open(path, "w") as f:
                json.dump(dict(file or {"rules_file": "rules.json"}, tests=list(tests)), f)
            return self.ctl("rules", "test", path, code=status)

        self.assertEqual(run(0, dict(name="half of Gary", ops=[beats], expect=expect)).stdout, "ok   half of Gary\n1 of 1 passed\n")
        wrong = [{"at": "2m", "rule": "fills-fail", "state": "inactive"}]
        self.assertEqual(run(3, dict(name="a", ops=[beats], expect=expect), dict(ops=[beats], expect=wrong)).stdout,
                         "ok   a\nFAIL tests[1]\n  at 2m: fills-fail is firing, expected inactive: 120 of 120 ops of city Gary failed "
                         "within 5m: 100 %, more than 30 %\n1 of 2 passed\n")
        self.assertEqual(run(1, dict(ops=[], expect=[{"at": "x"}])).stderr,
                         '%s: tests[0].at: must be a time since the beginning such as "90s", at most 60d\n' % path)
        self.assertEqual(run(1, dict(ops=[], expect=[{"at": "1s", "rule": "no"}])).stderr,
                         "%s: tests[0].rule: there is no such rule\n" % path)
        self.assertEqual(run(1, dict(ops=[dict(beats, op={"success": 1})], expect=expect)).stderr,
                         "%s: tests[0].op: success: must be a boolean\n" % path)

    def test_the_demo_wakes_somebody_once(self):
        """Two minutes: the one cause that an operator must hear of fires, is put right, and ends; nothing else does."""
        daemon = self.start(args=("--cycle", "5"))
        demo = subprocess.Popen([os.path.join(BUILD, "observerctl"), "demo", "--push", daemon.url("pull")], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: demo.poll() is None and demo.kill())
        wait_until(lambda: self.alerts(daemon, "?state=resolved"), 150, "it is resolved")
        demo.terminate()
        demo.wait()
        self.assertEqual([(r["rule"], r["group"], r["state"]) for r in self.rows(daemon)],
                         [("failing", {"endpoint": "/v1/extract"}, "firing"), ("failing", {"endpoint": "/v1/extract"}, "resolved")])


if __name__ == "__main__":
    main()
