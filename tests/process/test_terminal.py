"""observerctl in a real terminal: what a person sees, and that the terminal is as before when it ends."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import termios
import time

from ctl import OBSERVERCTL, CtlTest
from harness import main, wait_until
from terminal import Terminal


class TerminalTest(CtlTest):
    def terminal(self, name="tmux", **kw):
        terminal = Terminal(os.path.join(self.tmp, name), **kw)
        self.addCleanup(terminal.close)
        return terminal

    def observe(self, n=1, **fields):
        op = {"endpoint": "/e", "input_summary": "asked", "success": True, "duration_ms": 7, **fields}
        self.assertEqual(self.daemon.post("/v1/observer/event", [op] * n).status, 200)

    def children(self, terminal):
        """Processes of the terminal's shell."""
        shell = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
        with open("/proc/%s/task/%s/children" % (shell, shell)) as f:
            return [int(pid) for pid in f.read().split()]


class Top(TerminalTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start(feed="tcp://127.0.0.1:0")
        self.term = self.terminal()

    def top(self, *args):
        self.before = self.term.state()
        self.term.run(OBSERVERCTL, "top", "--url", self.daemon.url("http"), "--interval", "0.2", *args)
        self.term.wait(r"^observerd .* seq [\d,]+  ready")

    def assert_restored(self):
        self.assertEqual(self.term.state(), self.before)

    def endpoints(self):
        """The rows of that pane: name and count, as shown."""
        text = self.term.text()
        pane = re.search(r"^ENDPOINTS.*\n((?:.*\n)*?)FAILING", text, re.MULTILINE)
        return [tuple(row.split()[:2]) for row in pane.group(1).splitlines()] if pane else []

    def wait_endpoints(self, *want):
        last = []

        def shown():
            last[:] = self.endpoints()
            return last == list(want)

        try:
            wait_until(shown, 20, "the endpoints %r" % (want,))
        except AssertionError as e:
            raise AssertionError("%s; it was: %r\n%s" % (e, last, self.term.text())) from None

    def test_numbers_appear_and_move(self):
        self.observe(3)
        self.top()
        self.wait_endpoints(("/e", "3"))
        self.observe(2, success=False, error="upstream 17 timed out")
        self.wait_endpoints(("/e", "5"))
        self.term.wait(r"^/e .* 40% ")
        self.term.wait(r"^FAILING 1 \(open clusters\) +where +state +1m +1h +since id$")
        self.term.wait(r"^upstream <\*> timed out +/e +new +2 +2 +\d+ s [0-9a-f]{8}$")
        self.term.wait(r"FAIL mcp .* upstream 17 timed out <- asked$")
        self.term.wait(r"^http 5 recorded 0 duplicate 0 rejected")
        self.term.wait(r"^now \S+ ops/s, \S+ failures/s  last minute \S+ ops/s, \S+ failures/s")
        self.term.wait(r"in flight 0\s+feed 0 subscribers$")
        self.term.keys("q")
        self.assertEqual(self.term.status(), 0)
        self.assert_restored()

    def test_sort_filter_and_windows(self):
        self.observe(1, endpoint="/slow", duration_ms=5000)
        self.observe(3, endpoint="/busy", duration_ms=1)
        self.observe(2, endpoint="/bad", success=False)
        self.top()
        self.wait_endpoints(("/busy", "3"), ("/bad", "2"), ("/slow", "1"))
        for key, order in (("r", "/slow /bad /busy"), ("r", "/busy /bad /slow"), ("n", "/bad /busy /slow"),
                           ("m", "/slow /bad /busy"), ("f", "/bad /busy /slow"), ("s", "/slow /bad /busy")):
            self.term.keys(key)
            wait_until(lambda: [name for name, _ in self.endpoints()] == order.split(), 20, "%s: %s" % (key, order))
        self.term.wait(r"sort:p50")
        self.term.keys("/", "b", "u", "s", "y", "Enter")
        self.wait_endpoints(("/busy", "3"))
        self.term.keys("Escape")  # drops the filter
        self.term.wait(r"^ENDPOINTS 3 \(1m\)")
        self.term.keys("/", "b", "u", "s", "y", "Escape")
        self.term.wait(r"^ENDPOINTS 3 \(1m\)")
        self.term.keys("w")
        self.term.wait(r"^ENDPOINTS 3 \(5m\)")
        self.term.keys("w", "w")
        self.term.wait(r"^ENDPOINTS 3 \(lifetime\)")
        self.term.keys("h")
        self.term.wait(r"^s +sort by the next column")
        self.term.keys("h")
        self.term.wait(r"^ENDPOINTS")

    def test_pause(self):
        self.top()
        self.term.keys("Space")
        self.term.wait("paused")
        self.observe(4)
        time.sleep(0.5)  # more than one interval
        self.assertEqual(self.endpoints(), [("none",)])
        self.term.keys("Space")
        self.wait_endpoints(("/e", "4"))

    def test_resize_and_scroll(self):
        for i in range(40):
            self.observe(1, endpoint="/e%02d" % i)
        self.top()
        self.term.keys("n")
        self.term.wait(r"^/e00 ")
        for columns, rows in ((20, 5), (1, 1), (200, 50), (7, 2), (80, 24), (33, 9)):
            self.term.resize(columns, rows)
            wait_until(lambda: len(self.term.screen()) == rows, 20, "%d rows" % rows)
            if columns >= 20:
                self.term.wait(r"^/e00 ")
                self.assertLessEqual(max(map(len, self.term.screen())), columns)
        self.term.keys("End")
        self.term.wait(r"^/e39 ")
        self.term.wait("\x1b\\[[0;]*7m\\S*/e39 ", colours=True)  # the selected row
        self.term.keys("Up", "Up", "Home")
        self.term.wait(r"^/e00 ")
        self.term.keys("Tab")
        self.term.wait(r"^FAILING")
        self.term.keys("q")
        self.assertEqual(self.term.status(), 0)

    def test_hostile_text(self):
        self.observe(1, endpoint="\x1b]0;owned\x07\x1b[2J日本語" * 9, success=False, error="\x9b31m\u202e\n\x00x")
        self.top()
        self.term.wait(r"^\\x1b\]0;owned\\a\\x1b\[2J日本語.*… ")
        self.term.wait(r"\\u009b31m\\u202e\\n")
        self.term.keys("Enter")  # the page of the endpoint, then of the cluster, then of the op
        self.term.wait(r"^  \\x1b\]0;owned\\a")
        self.term.keys("Escape", "Tab", "Enter")
        self.term.wait(r"^  at:( |\n  )\\x1b\]0;owned\\a")
        self.term.keys("End", "Enter")
        self.term.wait(r"^  op 1  FAIL$")
        self.term.wait(r"^  error: \\u009b31m\\u202e\\n")
        self.assertNotIn("owned", self.term.tmux("display-message", "-p", "#{pane_title}"))

    def test_signals_restore_the_terminal(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.top()
            os.kill(self.children(self.term)[0], number)
            self.assertEqual(self.term.status(), 0)
            self.assert_restored()
        self.top()
        self.term.keys("C-c")
        self.assertEqual(self.term.status(), 0)
        self.assert_restored()

    def test_signals_end_it_when_its_terminal_is_not_read(self):
        """The process hangs in a write: nobody reads what it paints. Each change of the size paints all rows again."""
        self.observe(3, input_summary="x" * 60)
        self.observe(40, success=False, error="broken " * 12, endpoint="/v1/" + "chat" * 6)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            master, slave = pty.openpty()
            self.addCleanup(os.close, master)
            before = termios.tcgetattr(slave)
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 200, 0, 0))
            process = self.spawn("top", "--url", self.daemon.url("http"), stdin=slave, stdout=slave,
                                 env={**self.environment(), "TERM": "xterm"}, start_new_session=True)
            self.addCleanup(os.close, slave)
            wait_until(lambda at=slave, was=before: termios.tcgetattr(at) != was, 20, "the screen of top")
            stuck = [0.0]

            def hangs(pid=process.pid, stuck=stuck):
                if not self.pending(pid, signal.SIGWINCH):
                    stuck[0] = time.monotonic()
                    os.kill(pid, signal.SIGWINCH)
                return time.monotonic() - stuck[0] > 1

            wait_until(hangs, 30, "top hanging in a write")
            os.kill(process.pid, number)
            self.assertEqual(process.wait(30), 128 + number)
            self.assertEqual(termios.tcgetattr(slave), before)

    @staticmethod
    def pending(pid, number):
        """Whether the process has not taken the signal yet."""
        with open("/proc/%d/status" % pid) as f:
            masks = [int(line.split()[1], 16) for line in f if line.startswith(("SigPnd", "ShdPnd"))]
        return any(mask >> (number - 1) & 1 for mask in masks)

    def test_suspend_and_go_on(self):
        self.top()
        self.term.keys("C-z")
        self.term.wait_shell()
        self.assert_restored()
        self.observe(6)
        self.term.keys("fg", "Enter")
        self.wait_endpoints(("/e", "6"))
        self.term.keys("q")
        self.assertEqual(self.term.status(), 0)
        self.assert_restored()

    def test_the_daemon_goes_away_and_comes_back(self):
        self.observe(3)
        self.top()
        self.wait_endpoints(("/e", "3"))
        url = self.daemon.url("http")
        self.daemon.kill()
        self.term.wait(r"^the daemon is away: .*onnect")
        self.wait_endpoints(("/e", "3"))  # the last numbers stay
        self.term.keys("n")  # and keys work
        self.term.wait(r"sort:name")
        self.daemon.sockets["http"] = url
        self.daemon.start()
        self.observe(2)
        self.term.wait_gone(r"^the daemon is away")
        self.term.keys("w", "w", "w")
        self.wait_endpoints(("/e", "5"))
        self.term.keys("q")
        self.assertEqual(self.term.status(), 0)
        self.assert_restored()

    def test_details(self):
        """From an endpoint and from a failure to its cluster, its analysis and the ops that it cites, and back."""
        self.daemon.end()
        self.daemon = self.start(feed="tcp://127.0.0.1:0", args=["--cycle", "200ms", "--cluster-quiet", "1000"])
        for i in range(60):
            city = ("Akron", "Dayton", "Toledo")[i % 3]
            self.observe(1, endpoint="scenario:fill", city=city, input_summary="welder in " + city, success=city != "Toledo",
                         error="no roster for city Toledo (lookup %d)" % i if city == "Toledo" else None)
        self.observe(1, endpoint="/other")
        wait_until(lambda: self.daemon.get("/v1/observer/analyses?scope=cluster").json["analyses"], 20, "an analysis")
        cluster = self.daemon.get("/v1/observer/clusters").json["clusters"][0]["id"]
        for columns in (80, 120):
            self.term.resize(columns, 40)
            self.top()
            self.term.keys("Enter")  # the busiest endpoint
            self.term.wait(r"^  endpoint scenario:fill$")
            self.term.wait(r"^  lifetime: 60 ops, 20 failed \(33\.3 %\), p50 ")  # a minute may be over
            self.term.wait("^\u25b8 no roster for city Toledo \\(lookup <\\*>\\) \\(new, 20 in the last hour\\)$")
            self.term.keys("Enter")  # what fails there
            self.term.wait(r"^  at: scenario:fill 20$")
            self.term.wait(r"cluster %s$" % cluster[:8])
            self.term.wait("^\u25b8 analysis \\d+, ")
            self.assertIn('ops with city "Toledo" failed this way (100 %)', " ".join(self.term.text().split()))
            self.assertIn("WHAT TO DO", self.term.text())
            self.term.keys("Enter")  # why
            self.term.wait(r"^  EVIDENCE$")
            self.term.wait("^\u25b8 cluster %s$" % cluster[:8])
            self.term.keys("Tab", "Enter")  # the first op that it cites
            self.term.wait(r"^  op \d+  FAIL$")
            self.term.wait(r"^  error: no roster for city Toledo \(lookup \d+\)$")
            self.term.wait(r"^  city: Toledo$")
            self.term.keys("Escape")
            self.term.wait(r"^  EVIDENCE$")
            self.term.keys("BSpace")
            self.term.wait(r"^  at: scenario:fill 20$")
            self.term.keys("Left")
            self.term.wait(r"^  endpoint scenario:fill$")
            self.term.keys("Escape")
            self.term.wait(r"^ENDPOINTS 2 ")
            self.term.keys("j", "Enter")  # the other endpoint
            self.term.wait(r"^  endpoint /other$")
            self.term.keys("Escape")
            self.term.wait(r"^ENDPOINTS 2 ")
            self.term.keys("Tab", "Enter")  # the cluster, from its pane
            self.term.wait(r"^  at: scenario:fill 20$")
            self.term.keys("q")
            self.assertEqual(self.term.status(), 0)
            self.assert_restored()

    def test_resolved_clusters_are_not_failing(self):
        self.daemon.end()
        self.daemon = self.start(feed="tcp://127.0.0.1:0", args=["--cycle", "100ms", "--cluster-quiet", "30"])
        self.observe(1, success=False, error="old failure")
        wait_until(lambda: self.daemon.get("/v1/observer/clusters").json["clusters"][0]["state"] == "resolved", 90, "resolved")
        self.top()

        def goes_on():  # a cluster that fails stays open
            self.observe(1, success=False, error="connection reset")
            return re.search(r"(?m)^FAILING 1 \(open clusters\).*\nconnection reset +/e +\w+ +\d+ +\d+ +\d+ s [0-9a-f]{8}$",
                             self.term.text())

        wait_until(goes_on, 20, "the open cluster alone")
        self.assertNotRegex(self.term.text(), r"(?m)^old failure")

    def test_wide_terminals_keep_numbers_near_names(self):
        self.term.resize(200, 50)
        self.observe(3)
        self.top()
        self.wait_endpoints(("/e", "3"))
        row = next(row for row in self.term.screen() if row.startswith("/e "))
        self.assertLess(row.index("3"), 50)
        self.assertLess(len(row), 100)

    def test_a_terminal_that_shows_lines_only(self):
        self.term.run("env", "TERM=dumb", OBSERVERCTL, "top", "--url", self.daemon.url("http"))
        self.term.wait(r"TERM=dumb: this terminal shows lines only \(--once prints one$|TERM=dumb: this terminal shows lines only \(--once")
        self.assertEqual(self.term.status(), 1)
        self.term.run("env", "TERM=dumb", OBSERVERCTL, "top", "--once", "--url", self.daemon.url("http"))
        self.term.wait(r"^ENDPOINTS 0 \(1m\) ")
        self.assertEqual(self.term.status(), 0)

    def test_ascii(self):
        """In a locale without UTF-8; and the header keeps its end."""
        self.term = self.terminal(name="ascii", env={"LC_ALL": "C"})
        self.observe(1, success=False, error="welder×2 … " + "x" * 200)
        self.top()
        self.term.wait(r"^ENDPOINTS 1 \(1m\) +countv +rate/s +failed +p50 +p99 +max$")
        self.term.wait(r" FAIL mcp .* welderx2 \.\.\. x+~$")
        self.assertTrue(self.term.text().isascii())
        self.term.keys("Enter")
        self.term.wait(r"^> .* FAIL /e .* welderx2 \.\.\. x+~$")
        self.assertTrue(self.term.text().isascii())

    def test_a_terminal_that_is_not_known(self):
        self.term.run("env", "TERM=nonsense", OBSERVERCTL, "top")
        self.term.wait(r"TERM=nonsense: not a terminal that is known here")
        self.assertEqual(self.term.status(), 1)

    def once(self, *args):
        """What `top` prints for three ops. Rates fall with the seconds that the daemon's window has: they are checked here, and
        are RATE in the answer."""
        def seconds():
            return self.daemon.get("/v1/observer/summary").json["windows"]["1m"]["seconds"]

        before = seconds()
        text = self.ctl("top", *args, "--url", self.daemon.url("http")).stdout
        possible = [3 / max(s, 1) for s in range(before, seconds() + 1)]
        rates = re.findall(r"(?m)^(?:mcp|/e) +3 +(\S+) ", text) + re.findall(r"(?m)^last minute (\S+) ops/s", text)
        self.assertEqual(len(rates), 3, text)
        for rate in rates:
            self.assertTrue(any(abs(float(rate) - p) < 0.006 for p in possible), (rate, possible))
        return re.sub(r"(?m)^((?:mcp|/e) +3) +\S+ ", r"\1 RATE ", text)

    def test_once(self):
        self.observe(3)
        url = self.daemon.url("http")
        text = self.once("--once")
        self.assertEqual(self.once().splitlines()[3:], text.splitlines()[3:])
        self.assertRegex(text, r"(?m)^/e +3 ")
        self.assertNotIn("\x1b", text)
        data = self.result("top", "--url", url)
        self.assertEqual((data["health"]["seq"], data["summary"]["lifetime"]["total"], data["failing"]), (3, 3, []))
        self.assertIn("observerctl top: http://127.0.0.1:1", self.ctl("top", "--url", "http://127.0.0.1:1", code=1).stderr)


class Lines(TerminalTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start(feed="tcp://127.0.0.1:0")
        self.term = self.terminal()

    def test_tail(self):
        self.observe(1, input_summary="before")
        before = self.term.state()
        self.term.run(OBSERVERCTL, "tail", "--url", self.daemon.url("http"), "--endpoint", "/e")
        self.term.wait(r" ok +mcp +/e +7 ms  before$")
        wait_until(lambda: self.daemon.get("/v1/observer/health").json["feed"]["subscribers"] == 1, 20, "subscribed")
        self.observe(1, success=False, error="broken \x1b[7m" + "x" * 300)
        self.observe(1, endpoint="/other", input_summary="hidden")
        self.observe(1, input_summary="after")
        self.term.wait(r" ok +mcp +/e +7 ms  after$")
        self.term.wait(r" FAIL mcp +/e +7 ms  broken\n {67}\\x1b\[7mx+\n {67}x+\n {67}x+…$")
        self.term.wait("\x1b\\[31m\\S*FAIL", colours=True)
        self.assertNotIn("hidden", self.term.text())
        self.term.keys("C-c")
        self.assertEqual(self.term.status(), 0)
        self.assertEqual(self.term.state(), before)

    def test_run(self):
        self.term.run(OBSERVERCTL, "run", "--req", self.daemon.url("rep"), "--", "sh", "-c", "echo one; read x; exit 7")
        self.term.wait("^one$")
        self.term.keys("Enter")
        self.assertEqual(self.term.status(), 7)
        self.daemon.wait_total(1)
        self.term.run(OBSERVERCTL, "run", "--req", self.daemon.url("rep"), "--", "sh", "-c", "echo two; exec sleep 600")
        self.term.wait("^two$")
        self.term.keys("C-c")
        self.assertEqual(self.term.status(), 128 + signal.SIGINT)
        self.daemon.wait_total(2)
        self.assertEqual([row["success"] for row in self.daemon.journal_rows()], [False, False])

    def test_doctor(self):
        self.term.resize(160, 50)
        self.term.run(OBSERVERCTL, "doctor", "--url", self.daemon.url("http"), "--data-dir", "/nonexistent/data")
        self.term.wait_shell()
        self.term.wait("\x1b\\[32mok", colours=True)
        self.term.wait(r"/nonexistent")

    def test_pub_shows_a_progress_bar_and_takes_it_away(self):
        with open(os.path.join(self.tmp, "long"), "w") as f:
            for i in range(3000):
                f.write(json.dumps({"endpoint": "/e", "success": True, "input_summary": "x" * 100}) + "\n")
        self.term.run(OBSERVERCTL, "pub", "--push", self.daemon.url("pull"), "--rate", "1500", f.name)
        self.term.wait(r"\[#+\.+\] +\d+% ")
        self.assertEqual(self.term.status(), 0)
        self.assertNotRegex(self.term.text(), r"\[#+\.*\]")
        self.daemon.wait_total(2000)


class Tables(TerminalTest):
    """What an operator sees of planted failures: a bad city, a bad model, refused calls, answers that are no JSON."""

    ERRORS = {"scenario:fill": "no roster for city Toledo (lookup %d)", "/v1/chat": "upstream %d timed out after 30000 ms",
              "/v1/search": "429 Too Many Requests: rate limit of 60 a minute exceeded, and the next try is refused as well",
              "bot:cycle": "JSON parse error: unexpected token '<' at position %d"}

    def plant(self):
        ops = []
        for i in range(400):
            city, model = ("Akron", "Dayton", "Toledo", "Lima")[i % 4], ("gpt-oss", "llama", "qwen3-coder")[i % 3]
            for endpoint, fields, bad in (
                    ("scenario:fill", {"city": city, "source": "scenario", "input_summary": "welder×2 in %s, OH" % city}, city == "Toledo"),
                    ("/v1/chat", {"staffer_id": model, "input_summary": "answer"}, model == "qwen3-coder" and i % 2 == 0),
                    ("/v1/search", {"input_summary": "search"}, i % 9 == 0),
                    ("bot:cycle", {"source": "bot", "input_summary": "propose"}, i % 7 == 0)):
                op = {"endpoint": endpoint, "success": not bad, "duration_ms": 30000 if bad else 90 + i, "output_summary": "done", **fields}
                if bad:
                    error = self.ERRORS[endpoint]
                    op.update(error=error % i if "%d" in error else error)
                ops.append(op)
        self.daemon = self.start(args=["--cycle", "200ms", "--cluster-quiet", "1000"], feed="tcp://127.0.0.1:0")
        # In one request: an analysis of a part would stand, as nothing new is found in the rest.
        self.assertEqual(self.daemon.post("/v1/observer/event", ops).status, 200)
        wait_until(lambda: len({a["cluster"] for a in self.daemon.get("/v1/observer/analyses").json["analyses"]}) == 5, 30,
                   "an analysis of each kind and of all")
        self.ids = {next(iter(c["endpoints"])): c["id"] for c in self.daemon.get("/v1/observer/clusters").json["clusters"]}

    def shown(self, term, *args):
        """What a command prints, as the screen has it."""
        term.asked += 1
        term.keys("-l", "clear; %s; echo end%d" % (" ".join((OBSERVERCTL, *args)), term.asked))
        term.keys("Enter")
        term.wait(r"^end%d$" % term.asked)
        return term.text().split("end%d\n" % term.asked)[0]

    def test_the_culprit_is_on_the_screen(self):
        self.plant()
        env = {"OBSERVER_URL": self.daemon.url("http")}
        for columns in (80, 120):
            term = self.terminal(columns=columns, rows=48, env=env, name="tmux%d" % columns)
            wide = columns >= 100
            text = self.shown(term, "clusters")
            self.assertRegex(text, r"(?m)^FAILURE .*STATE +SINCE +1H +COUNT +LAST +ID$")
            if wide:
                self.assertRegex(text, r"(?m)^no roster for city Toledo \(lookup <\*>\) .*scenario:fill +new +\d+ (?:s|min) +100 +100 +\d+ (?:s|min) +%s$"
                                 % self.ids["scenario:fill"][:8])
            else:
                self.assertRegex(text, r"(?m)^no roster for city Toledo .* new +\d+ (?:s|min) +100 +100 +\d+ (?:s|min) +%s$"
                                 r"(\n\S.*)?\n  scenario:fill$" % self.ids["scenario:fill"][:8])
            words = " ".join(text.split())
            self.assertIn("the next try is refused as well", words)
            self.assertNotIn("…", text)  # what fails wraps

            text = " ".join(self.shown(term, "clusters", self.ids["scenario:fill"][:4]).split())
            for part in ("failure no roster for city Toledo (lookup <*>)", "endpoints scenario:fill 100", "state new for ",
                         "failures 100 in all, 100 in the last hour", '100 of 100 ops with city "Toledo" failed this way (100 %)',
                         "WHAT TO DO ", "evidence: observerctl op "):
                self.assertIn(part, text)
            opened = self.shown(term, *re.findall(r"observerctl (op \d+)", text)[0].split())
            self.assertRegex(opened, r"op \d+  FAIL\n  error +no roster for city Toledo \(lookup \d+\)\n  input_summary +welder×2 in Toledo")

            text = " ".join(self.shown(term, "analyses").split())
            self.assertIn('ops with staffer_id "qwen3-coder" failed this way', text)
            self.assertIn('100 of 100 ops with city "Toledo" failed this way (100 %)', text)
            self.assertRegex(text, r"all failures together")

            text = self.shown(term, "tail", "--failed", "-n", "12", "--count", "12")
            self.assertRegex(text, r"(?m) FAIL .*scenario:fill +30\.0 s  no roster for city Toledo")
            self.assertRegex(" ".join(text.split()), r"30\.0 s upstream \d+ timed out after 30000 ms <- \[qwen3-coder\] answer")
            self.assertIn("429 Too Many Requests: rate limit of 60 a minute exceeded, and the next try is refused as well <- ",
                          " ".join(text.split()))

    def test_a_locale_without_utf8(self):
        self.plant()
        term = self.terminal(columns=80, rows=40, env={"OBSERVER_URL": self.daemon.url("http"), "LC_ALL": "C"})
        for args in (("clusters",), ("tail", "-n", "9", "--failed", "--count", "9"), ("ops", "-n", "9"), ("top", "--once")):
            text = self.shown(term, *args)
            self.assertTrue(text.isascii(), text)
        self.assertRegex(self.shown(term, "op", re.findall(r"(?m)^(\d+) .*scenario", self.shown(term, "ops", "-n", "9"))[0]),
                         r"input_summary +welderx2 in ")
        self.observe(1, input_summary="long " * 20)
        self.assertRegex(self.shown(term, "ops", "-n", "1"), r"(?m)long~$")

    def test_colours(self):
        self.daemon = self.start()
        self.observe(1, success=False, error="broken")
        url = ("--url", self.daemon.url("http"))
        for args in (("ops",), ("clusters",), ("op", "1"), ("summary",)):
            for words, env, coloured in (((), {}, False), (("--color=always",), {}, True), (("--color", "always"), {"NO_COLOR": "1"}, True),
                                         (("--color=never",), {}, False)):
                text = self.ctl(*args, *words, *url, env={**self.environment(), **env}).stdout
                self.assertEqual("\x1b[" in text, coloured, (args, words))
        self.assertIn("--color", self.ctl("ops", "--color=maybe", *url, code=2).stderr)
        term = self.terminal(env={"OBSERVER_URL": self.daemon.url("http")})
        for words, coloured in ((("ops",), True), (("ops", "--color=never"), False), (("--color=never", "ops"), False)):
            self.shown(term, *words)
            self.assertEqual("\x1b[" in term.text(colours=True).split("\n", 1)[0], coloured, words)


if __name__ == "__main__":
    main()
