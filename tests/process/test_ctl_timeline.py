"""observerctl timeline and trajectory: what they print, page by page, and how they fail."""

import datetime
import json
import re

from ctl import CtlTest
from harness import main

DAY = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) - datetime.timedelta(minutes=30)


def op(second, **members):
    row = {"timestamp": (DAY + datetime.timedelta(seconds=second)).isoformat().replace("+00:00", "Z"), "endpoint": "/v1/chat",
           "input_summary": "answer", "success": True, "duration_ms": 100, "output_summary": "done", "source": "bot"}
    row.update(members)
    return row


class Timeline(CtlTest):
    def fed(self):
        daemon = self.start()
        failed = dict(session_id="s", staffer_id="planner", sig_hash="h", success=False, error="no roster for Dayton")
        ops = [op(0, session_id="s", staffer_id="planner")] + [op(1 + i, extra={"model": "m1"}, **failed) for i in range(12)] + \
              [op(14, source="overseer_correction", sig_hash="h", correction="ask for the roster")] + \
              [op(15 + i, session_id="s", staffer_id="planner", sig_hash="h", extra={"model": "m2"}) for i in range(12)] + \
              [op(100, session_id="s", staffer_id="coder\x1b[31m", endpoint="/x\u202e", success=False, error="\x07bell")]
        self.assertEqual(daemon.post("/v1/observer/event", ops).json["rejected"], 0)
        return daemon, ("--url", daemon.url("http"))

    def test_timeline(self):
        daemon, url = self.fed()
        lines = self.ctl("timeline", "--session-id", "s", "--utc", *url).stdout.splitlines()
        self.assertEqual(lines[0], "session_id s: 26 ops, 13 failures; busy 2.60 s, idle 1m14s; by planner, coder\\x1b[31m")
        self.assertEqual(lines[1], DAY.isoformat()[:10])
        self.assertRegex(lines[2], r"^[\d:.]{12}    1 ok     100 ms planner /v1/chat$")
        self.assertRegex(lines[3], r"^[\d:.]{12}    2 FAIL   1.2\d* s planner /v1/chat ×12 identical  no roster for Dayton$")
        self.assertRegex(lines[4], r"^[\d:.]{12} \* correction of sig_hash h: ask for the roster$")
        self.assertRegex(lines[5], r"^[\d:.]{12}   15 ok     1.2\d* s planner /v1/chat ×12 identical try 13$")
        self.assertRegex(lines[6], r"^ +\.\.\. idle 1m1\ds$")
        self.assertRegex(lines[7], r"^[\d:.]{12}   27 FAIL   100 ms   coder\\x1b\[31m /x\\u202e  \\abell$")
        self.assertEqual(len(lines), 8)
        errors = self.ctl("timeline", "--session-id", "s", "--errors", *url).stdout
        self.assertEqual(len(errors.splitlines()), 5)
        coloured = self.ctl("timeline", "--session-id", "s", "--color", "always", *url).stdout
        self.assertEqual(re.sub(r"\x1b\[\d*m", "", coloured), self.ctl("timeline", "--session-id", "s", *url).stdout)
        one = json.loads(self.ctl("timeline", "--sig-hash", "h", "--json", *url).stdout)
        self.assertEqual(one, daemon.get("/v1/observer/timeline?sig_hash=h").json)

    def test_pages(self):
        daemon = self.start()
        for i in range(0, 2400, 400):
            daemon.post("/v1/observer/event", [op((i + k) * 0.1, staffer_id="a", sig_hash="h%d" % (i + k)) for k in range(400)])
        url = ("--url", daemon.url("http"))
        rows = json.loads(self.ctl("timeline", "--staffer-id", "a", "--limit", "2300", "--json", *url).stdout)
        self.assertEqual([row["seq"] for row in rows["rows"]], list(range(1, 2301)))
        self.assertIsNotNone(rows["next_cursor"])
        rows = json.loads(self.ctl("timeline", "--staffer-id", "a", "--limit", "5000", "--json", *url).stdout)
        self.assertEqual((len(rows["rows"]), rows["next_cursor"]), (2400, None))

    def test_trajectory(self):
        daemon, url = self.fed()
        lines = self.ctl("trajectory", "--sig-hash", "h", *url).stdout.splitlines()
        self.assertEqual(lines[0], "CONVERGING  sig_hash h")
        self.assertTrue(lines[1].startswith("Failures get rarer: with each doubling of the attempts the odds of a failure change by "))
        self.assertEqual(lines[2], "x" * 12 + "." * 12)
        self.assertEqual(lines[4].split(), ["#", "SEQ", "WHEN", "OUTCOME", "TOOK", "STAFFER", "MODEL", "CLUSTER", "FAILURE"])
        self.assertRegex(lines[5], r"^ 1 +2 .* FAIL +100 ms  planner  m1 +[0-9a-f]{8}  no roster for Dayton$")
        tail = lines[lines.index("what came between") + 1:]
        self.assertEqual([line.split() for line in tail],
                         [["BEFORE", "WHAT", "SEQ", "TEXT"], ["13", "correction", "14", "ask", "for", "the", "roster"],
                          ["13", "model", "15", "m2"]])
        few = self.ctl("trajectory", "--sig-hash", "h", "-n", "2", *url).stdout.splitlines()
        self.assertEqual(few[:3], ["-  sig_hash h", "2 attempts: too few to say", "22 attempts before these are not shown"])
        got = json.loads(self.ctl("trajectory", "--sig-hash", "h", "--json", *url).stdout)
        self.assertEqual(got, daemon.get("/v1/observer/trajectory?sig_hash=h&limit=50").json)

    def test_wrong_use_and_nothing(self):
        daemon = self.start()
        url = ("--url", daemon.url("http"))
        for args, error in ((("timeline",), "observerctl timeline: of what? Give one of --session-id, --cycle-id, --staffer-id and --sig-hash\n"),
                            (("timeline", "--session-id", "a", "--sig-hash", "b"),
                             "observerctl timeline: of what? Give one of --session-id, --cycle-id, --staffer-id and --sig-hash\n"),
                            (("timeline", "--session-id", ""), "observerctl timeline: --session-id: must not be empty\n"),
                            (("trajectory",), "observerctl trajectory: of what? Give one of --sig-hash and --task-class\n"),
                            (("trajectory", "--sig-hash", "a", "--task-class", "b"),
                             "observerctl trajectory: of what? Give one of --sig-hash and --task-class\n")):
            done = self.ctl(*args, *url, code=2)
            self.assertEqual((done.stdout, done.stderr), ("", error))
        done = self.ctl("timeline", "--session-id", "a", *url)
        self.assertEqual((done.stdout, done.stderr), ("", "no ops match\n"))
        done = self.ctl("trajectory", "--task-class", "a", *url)
        self.assertEqual((done.stdout, done.stderr), ("", "no attempts match\n"))


if __name__ == "__main__":
    main()
