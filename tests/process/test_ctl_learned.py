"""observerctl's commands for what was learned: analyses, playbooks, escalations, advice, review."""

import json
import os
import pty
import re
import subprocess

from ctl import OBSERVERCTL, CtlTest
from described import Schemas
from harness import SLOW, main, wait_until
from model_server import ModelServer
from taught import CHAT, get, taught

TEXT = "do not repeat a refused call at once"


def columns(text, *names):
    """The rows of a table by its titles."""
    lines = text.rstrip("\n").split("\n")
    starts, at, out = [], 0, []
    for name in names:  # FAILURE is a part of FAILURES
        starts.append((lines[0].index(name, at), name))
        at = starts[-1][0] + len(name)
    for line in lines[1:]:
        ends = [at for at, _ in starts[1:]] + [None]
        out.append({name: line[at:end].strip() for (at, name), end in zip(starts, ends)})
    return out


class Learned(CtlTest):
    """One daemon for all commands: none of these changes it."""

    def test_what_is_shown(self):
        self.daemon = taught(self)
        self.url = ("--url", self.daemon.url("http"))
        for check in (self.check_json, self.check_analyses, self.check_a_cluster, self.check_one_analysis, self.check_playbooks,
                      self.check_one_entry, self.check_escalations, self.check_advice, self.check_filters,
                      self.check_limits, self.check_wrong_use, self.check_url_of_the_environment):
            with self.subTest(check=check.__name__):
                check()

    def show(self, *args, **kw):
        return self.ctl(*args, *self.url, **kw).stdout

    def check_json(self):
        """As the daemon says it."""
        entry = get(self.daemon, "playbooks")["playbooks"][0]["id"]
        for args, path in ((("analyses",), "analyses"), (("analyses", "1"), "analyses/1"), (("playbooks",), "playbooks"),
                           (("playbooks", entry), "playbooks/" + entry), (("escalations",), "escalations"),
                           (("advice", "--endpoint", CHAT), "advice?endpoint=" + CHAT)):
            full = "" if "/" in path or path.startswith("advice") else "?full=true"
            body = self.daemon.get("/v1/observer/" + path + full).body.decode()
            self.assertEqual(self.show(*args, "--json"), body, args)

    def check_analyses(self):
        """A row, and below it the cause, whole: nothing wraps or is cut where there is no terminal."""
        told = get(self.daemon, "analyses")["analyses"]
        for args, title, when in ((("--utc",), "AGE", lambda a: a["time"].replace("T", " ")[:-1]), ((), "AGE", None)):
            lines = self.show("analyses", *args).rstrip("\n").split("\n")
            names = ["FAILURE", "ENDPOINT", "FAILURES", title, "CLUSTER", "ID"]
            self.assertEqual(lines[0].split(), names)
            self.assertEqual(len(lines), 1 + 2 * len(told))
            rows = columns("\n".join(lines[:1] + lines[1::2]), *names)
            for row, cause, a in zip(rows, lines[2::2], told, strict=True):
                self.assertEqual(cause, "    " + a["cause"])
                if when:
                    self.assertEqual(row["AGE"], when(a))
                else:
                    self.assertRegex(row["AGE"], r"^\d+ (s|min)$")
                self.assertEqual((row["ID"], row["CLUSTER"], row["FAILURES"], row["ENDPOINT"], row["FAILURE"]),
                                 (str(a["id"]), (a["cluster"] or "")[:8], str(a["failures"]), a["endpoint"] or "",
                                  a["template"] or "all failures together"))

    def check_opens(self, text, *cited):
        """The last line opens what was cited."""
        lines = text.splitlines()
        self.assertEqual(lines[-2], "")
        match = re.fullmatch(r"evidence: observerctl (op( \d+){1,5}) --url (\S+)", lines[-1])
        self.assertTrue(match, lines[-1])
        seqs = [int(word) for word in match.group(1).split()[1:]]
        self.assertEqual(seqs, list(dict.fromkeys(cited))[:5])
        shown = self.ctl(*match.group(1).split(), "--url", match.group(3)).stdout
        self.assertEqual([int(n) for n in re.findall(r"^op (\d+) ", shown, re.M)], seqs)

    def check_a_cluster(self):
        """With what its last analysis says."""
        cluster = get(self.daemon, "escalations")["escalations"][0]["cluster"]
        analysis = get(self.daemon, "analyses?cluster=" + cluster)["analyses"][0]
        text = self.show("clusters", cluster)
        self.assertRegex(text, re.compile(r"^CAUSE \(analysis %d, \d+ (?:s|min) ago\)\n%s$" % (analysis["id"], re.escape(analysis["cause"])), re.M))
        self.assertRegex(text, re.compile(r"^WHAT TO DO\n%s$" % re.escape(analysis["adjust"]), re.M))
        self.check_opens(text, *get(self.daemon, "clusters/" + cluster)["samples"])

    def check_one_analysis(self):
        row = next(a for a in get(self.daemon, "analyses?endpoint=" + CHAT)["analyses"] if a["failures"] == 12)
        text = self.show("analyses", str(row["id"]), "--utc")
        seqs = ", ".join(map(str, row["claims"][0]["seqs"]))
        for pattern in (r"^id +%d$" % row["id"], r"^cluster +%s$" % row["cluster"], r"^endpoint +/v1/chat$",
                        r"^task_class +fill$", r"^failures +12$", r"^ops \(seq\) +19 to 30$", r"^by +lakehouse$",
                        r"^grounded +yes$", r"^settled +yes$", r"^CAUSE\n%s$" % row["cause"],
                        r"^WHAT TO DO\n%s$" % row["adjust"], r"^DON'T\n%s$" % TEXT,
                        r"^CLAIMS\n- %s \(grounded: ops %s\)$" % (row["claims"][0]["text"], seqs)):
            self.assertRegex(text, re.compile(pattern, re.M))
        self.assertNotIn("model failed", text)
        self.check_opens(text, *row["claims"][0]["seqs"], row["first_seq"])

    def check_playbooks(self):
        lines = self.show("playbooks").splitlines()
        told = get(self.daemon, "playbooks")["playbooks"]
        self.assertEqual(lines[0].split(), "TEXT ENDPOINT TASK CLASS EFFECT KIND ID".split())
        self.assertEqual(sorted(e["kind"] for e in told), ["do", "do", "dont", "dont"])
        for line, e in zip(lines[1:], told, strict=True):
            difference = e["effect"]["difference"]
            cells = [e["text"], e["endpoint"], e["task_class"],
                     None if difference is None else "failure rate %+.1f points since" % (100 * difference),
                     "do" if e["kind"] == "do" else "don't", e["id"][:8]]
            self.assertRegex(line, "^" + " +".join(re.escape(cell) for cell in cells if cell) + "$")

    def check_one_entry(self):
        row = get(self.daemon, "playbooks?kind=do&endpoint=" + CHAT)["playbooks"][0]
        text = self.show("playbooks", row["id"], "--utc")
        before = row["effect"]["before"]
        for pattern in (r"^id +%s$" % row["id"], r"^kind +do$", r"^version +%d$" % row["version"], r"^endpoint +/v1/chat$",
                        r"^pattern +fill order <\*>$", r"^successes +12$", r"^p50 +%d ms$" % row["p50_ms"],
                        r"^staffers +bob 12$", r"^task classes +fill 12$",
                        r"^evidence \(seq\) +%s$" % ", ".join(map(str, row["evidence"])),
                        r"^before +%d of %d ops failed \(%.1f %%\)$" % (before["failures"], before["ops"], 100 * before["rate"]),
                        r"^TEXT\n%s$" % re.escape(row["text"]), r"^VERSION +EDITED +CHANGE +FIELDS *\n +1 .* created"):
            self.assertRegex(text, re.compile(pattern, re.M))
        self.check_opens(text, *row["evidence"])
        self.assertNotIn("cluster ", text)
        dont = get(self.daemon, "playbooks?kind=dont&endpoint=" + CHAT)["playbooks"][0]
        text = self.show("playbooks", dont["id"])
        self.assertRegex(text, re.compile(r"^kind +don't$.*^cluster +%s$" % dont["cluster"], re.M | re.S))
        self.assertNotIn("successes", text)

    def check_escalations(self):
        told = get(self.daemon, "escalations")["escalations"][0]
        shown, answer = self.show("escalations").rsplit("\n", 2)[:2]
        row = columns(shown, "FAILURE", "ENDPOINT", "OUTCOME", "REASON", "FAILURES", "AGE", "CLUSTER", "ID")[0]
        self.assertEqual((row["ID"], row["CLUSTER"], row["FAILURES"], row["REASON"], row["OUTCOME"], row["ENDPOINT"]),
                         ("1", told["cluster"][:8], "16", "continues", "answered", CHAT))
        self.assertEqual((row["FAILURE"], answer), (told["template"], "    " + told["answer"]))

    def check_advice(self):
        told = get(self.daemon, "advice?endpoint=%s&task_class=fill" % CHAT)
        words = {"do": "do", "dont": "don't"}
        want = ["found: %s (%d of %d ops)" % (f["text"], f["failures"], f["ops"])
                for f in told["findings"]]
        want += ["fails: %s (%s, %d failures, cluster %s)" % (c["template"], c["state"], c["count"], c["id"][:8])
                 for c in told["clusters"]]
        want += ["corrected: %s (op %d; since then %d succeeded, %d failed)" % (c["text"], c["seq"], c["succeeded"], c["failed"])
                 for c in told["corrections"]]
        want += ["%s: %s (playbook %s)" % (words[e["kind"]], e["text"], e["id"][:8]) for e in told["entries"]]
        text = self.show("advice", "-e", CHAT, "-t", "fill")
        self.assertEqual(text.splitlines()[:-2], want)
        self.check_opens(text, *(seq for f in told["findings"] for seq in f["evidence"]),
                         *(c["seq"] for c in told["corrections"]))
        self.assertEqual(len(want), 3 + len(told["findings"]))
        self.assertEqual(self.show("advice", "-e", "/nothing"), "nothing is known about /nothing yet\n")
        self.assertEqual(self.show("advice", "-e", "/nothing", "-t", "none", "--session-id", "s"),
                         "nothing is known about /nothing and none yet\n")

    def check_filters(self):
        cluster = get(self.daemon, "escalations")["escalations"][0]["cluster"]
        for args in (("analyses", "--endpoint", "/nothing"), ("analyses", "--task-class", "x"), ("analyses", "--backend", "openai"),
                     ("analyses", "--grounded", "false"), ("analyses", "--since", "2100-01-01"),
                     ("analyses", "--cluster", "0" * 16), ("escalations", "-c", "0" * 16),
                     ("playbooks", "--endpoint", "/nothing"), ("playbooks", "--task-class", "x")):
            self.assertEqual(self.show(*args), "", args)
        self.assertEqual(len(self.show("analyses", "--cluster", cluster, "--since", "1h").splitlines()), 3)
        self.assertEqual(len(self.show("playbooks", "--kind", "dont").splitlines()), 3)
        self.assertEqual(len(self.show("playbooks", "--retired").splitlines()), 5)

    def check_limits(self):
        for args, lines in ((("analyses",), 3), (("playbooks",), 2)):
            self.assertEqual(len(self.show(*args, "-n", "1").splitlines()), lines)
            done = self.ctl(*args, "--limit", "1", *self.url)
            self.assertEqual(done.stderr, "")  # a pipe wants no hint
            self.assertEqual(self.hint(*args, "--limit", "1"), "... there are more: --limit N\n")
            self.assertEqual(self.hint(*args), "")

    def hint(self, *args):
        """What goes to stderr when the output is a terminal."""
        master, slave = pty.openpty()
        process = self.spawn(*args, *self.url, stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True)
        os.close(slave)
        with open(master, "rb", buffering=0) as screen:
            try:
                while screen.read(4096):
                    pass
            except OSError:  # the terminal's end
                pass
        err = process.stderr.read()
        self.assertEqual(process.wait(60 * SLOW), 0)
        return err

    def check_wrong_use(self):
        for args, error in (
                (("analyses", "x"), 'analyses: "x" is not the number of an analysis\n'),
                (("analyses", "0"), 'analyses: "0" is not the number of an analysis\n'),
                (("analyses", "1/../2"), 'analyses: "1/../2" is not the number of an analysis\n'),
                (("playbooks", "12"), 'playbooks: "12" is not the id of a playbook entry (16 hex digits, or at least the first 4)\n'),
                (("analyses", "--endpoint", ""), "analyses: --endpoint: must not be empty\n"),
                (("analyses", "--since", "soon"),
                 'analyses: --since: "soon" is neither an ISO 8601 time, epoch seconds or milliseconds, nor an age such as 15m\n'),
                (("analyses", "-n", "0"), 'analyses: --limit: "0" is not a number from 1 to 100000\n'),
                (("playbooks", "--kind", "maybe"), 'playbooks: --kind: "maybe" is none of: do dont\n'),
                (("advice",), "advice: about what? Give --endpoint, --task-class or both\n"),
                (("review", "--attempt", "0", "--text", "x"), 'review: --attempt: "0" is not a number from 1 to 2147483647\n'),
                (("review", "a", "b"), 'review: unexpected argument "b"\n')):
            done = self.ctl(*args, *self.url, code=2)
            self.assertEqual((done.stdout, done.stderr), ("", "observerctl " + error), args)
        for args, error in ((("analyses", "99"), "/v1/observer/analyses/99: analysis 99 does not exist or has expired\n"),
                            (("playbooks", "0" * 16), "/v1/observer/playbooks/%s: no playbook entry %s\n" % (("0" * 16,) * 2))):
            done = self.ctl(*args, *self.url, code=1)
            self.assertEqual(done.stderr, "observerctl %s: %s%s" % (args[0], self.daemon.url("http"), error))
        done = self.ctl("escalations", "--cluster", "x", *self.url, code=2)
        self.assertEqual(done.stderr, "observerctl escalations: cluster: must be a cluster id (16 hex digits) or its first 4 digits or more\n")

    def check_url_of_the_environment(self):
        env = {**self.environment(), "OBSERVER_URL": self.daemon.url("http")}
        self.assertEqual(self.ctl("analyses", "--utc", env=env).stdout, self.show("analyses", "--utc"))


class Hostile(CtlTest):
    def test_texts_cannot_act_on_the_terminal(self):
        server = ModelServer.start(self)
        evil = "\x1b]0;owned\x07\u202e\u009b31m"
        server.set(text=json.dumps({"cause": "evil " + evil, "adjust": evil, "dont": None, "claims": []}))
        daemon = self.start(args=["--cycle", "100ms", "--lakehouse-url", server.url])
        daemon.post("/v1/observer/event", [{"endpoint": "/a" + evil, "success": False, "error": "broken " + evil}] * 3)
        for path in ("analyses", "escalations"):
            wait_until(lambda path=path: get(daemon, path)[path], 20, path)
        url = ("--url", daemon.url("http"))
        for args in (("analyses",), ("analyses", "1"), ("escalations",), ("advice", "-e", "/a" + evil)):
            text = self.ctl(*args, *url).stdout
            self.assertNotRegex(text, "[\x00-\x09\x0b-\x1f\u0080-\u009f\u202e]", args)
            if args[0] != "advice":  # a template has such characters no more
                self.assertIn("\\x1b", text, args)


class Silent(CtlTest):
    def test_failures_without_a_text(self):
        daemon = self.start(args=["--cycle", "100ms"])
        daemon.post("/v1/observer/event", [{"endpoint": "/a", "success": False}] * 3)
        wait_until(lambda: get(daemon, "advice?endpoint=/a")["clusters"], 20, "advice")
        self.assertIn("fails: (no text) (", self.ctl("advice", "-e", "/a", "--url", daemon.url("http")).stdout)


class Review(CtlTest):
    REFUSAL = "As an AI I cannot help with that."

    def review(self, daemon, *args, code, **kw):
        return self.ctl("review", "--url", daemon.url("http"), *args, code=code, **kw)

    def test_the_verdict_is_the_exit_status(self):
        daemon = self.start(data_dir=None)
        refused = self.review(daemon, "--text", self.REFUSAL, code=3)
        self.assertIn("\x1b[31m", self.review(daemon, "--text", self.REFUSAL, "--color", "always", code=3).stdout)
        self.assertRegex(refused.stdout, r"\Areject \(0\.\d\d, heuristic\): .+\n- refusal: .+\n\Z")
        cycled = self.review(daemon, "--text", "TODO: write this", code=4)
        self.assertRegex(cycled.stdout, r"\Acycle \(0\.\d\d, heuristic\): .+\n- placeholder: .+\n\Z")
        daemon.post("/v1/observer/event", {"endpoint": "/a", "session_id": "s-1", "success": True})
        accepted = self.review(daemon, "--text", "Filled 12 of 12 orders in 340 ms, see orders/12.json: it succeeded.",
                               "--session-id", "s-1", "--endpoint", "/a", code=0)
        self.assertRegex(accepted.stdout, r"\Aaccept \(0\.\d\d, heuristic\): ")
        self.assertIn("ops 1", accepted.stdout)

    def test_ways_in(self):
        """A file, standard input by name and without, an op; each is the same text to the daemon."""
        daemon = self.start(data_dir=None)
        path = self.path("answer.txt", self.REFUSAL + "\n")
        op = self.path("op.json", json.dumps({"endpoint": "/a", "success": True, "output_summary": self.REFUSAL}))
        for args, kw in (((path,), {}), ((), {"input": self.REFUSAL}), (("-",), {"input": self.REFUSAL}),
                         (("--op", op), {})):
            answer = json.loads(self.review(daemon, *args, "--json", code=3, **kw).stdout)
            self.assertEqual((answer["verdict"], answer["source"]), ("reject", "heuristic"), args)
            Schemas().check(answer, "Review")
            self.assertEqual(get(daemon, "review/" + answer["id"]), answer)
        empty = json.loads(self.review(daemon, "--json", code=3, input="").stdout)
        self.assertEqual(empty["evidence"][0]["rule"], "empty")

    def test_context_and_attempt(self):
        """The same attempt again is told by its context."""
        daemon = self.start(data_dir=None)
        text = ("--text", "Order 17 was filled by ann at 10:42.", "--endpoint", "/a", "--task-class", "fill", "--staffer-id",
                "ann", "--cycle-id", "c-1", "--sig-hash", "h-1", "--op-id", "o-1")
        self.ctl("review", "--url", daemon.url("http"), *text, code=0)
        again = self.review(daemon, *text, "--attempt", "2", code=4)
        self.assertIn("repeated", again.stdout)
        self.review(daemon, *text, "-a", "3", code=3)

    def test_a_model_is_waited_for(self):
        server = ModelServer.start(self)
        server.set(delay=4, grounded=True, verdict="cycle")
        daemon = self.start(args=["--lakehouse-url", server.url])
        daemon.post("/v1/observer/event", {"endpoint": "/a", "success": True})
        done = self.review(daemon, "--text", "Perhaps it went well.", "-e", "/a", code=4)
        self.assertRegex(done.stdout, r"\Acycle \(0\.90, llm\): the recorded ops agree\n")
        self.assertEqual(len(server.requests("/ai/generate")), 1)
        late = self.review(daemon, "--text", "Perhaps it went badly.", "-e", "/a", "--timeout", "0", code=1)
        self.assertRegex(late.stderr, r"\Aobserverctl review: review [0-9a-f]{16} is not decided yet: GET /v1/observer/review/"
                                      r"[0-9a-f]{16} later, or allow more time with --timeout\n\Z")
        pending = daemon.get("/v1/observer/review/" + late.stderr.split()[3])
        self.assertEqual((pending.status, pending.headers["retry-after"]), (202, "1"))
        Schemas().check(pending.json, "ReviewPending")

    def test_what_goes_wrong(self):
        daemon = self.start(data_dir=None)
        missing = os.path.join(self.tmp, "missing")
        for args, error, kw in (((missing,), missing + ": No such file or directory", {}),
                                ((self.tmp,), self.tmp + ": Is a directory", {}),
                                ((self.path("latin", b"caf\xe9"),), "the text is not valid UTF-8", {}),
                                (("--op", "--text", "[1]"), "the op is not a JSON object", {}),
                                (("--op", "--text", "{} x"), "the op is not a JSON object", {})):
            done = self.review(daemon, *args, code=1, **kw)
            self.assertEqual((done.stdout, done.stderr), ("", "observerctl review: " + error + "\n"))
        daemon.stop()
        done = self.review(daemon, "--text", "x", code=1)
        self.assertIn("Connection refused (is observerd running there?", done.stderr)

    def test_input_too_large(self):
        daemon = self.start(data_dir=None)
        done = subprocess.run([OBSERVERCTL, "review", "--url", daemon.url("http")], input=b"x" * ((4 << 20) + 1),
                              capture_output=True, timeout=60 * SLOW, env=self.environment())
        self.assertEqual((done.returncode, done.stderr), (1, b"observerctl review: standard input: larger than 4 MiB\n"))


if __name__ == "__main__":
    main()
