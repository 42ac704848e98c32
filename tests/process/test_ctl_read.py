"""observerctl's reading commands against a real daemon: stats, summary, ops, sessions; at a terminal and in pipes."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from harness import BUILD, SLOW, DaemonTest, main

CTL = os.path.join(BUILD, "observerctl")
DAY = "2026-01-02T03:%02d:%02d.%03dZ"


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_") and k not in ("LC_ALL", "LANG", "TZ")}
    env.update({"LC_ALL": "C.UTF-8", "TZ": "UTC"}, **more)
    return env


def ctl(*args, **kw):
    env = kw.pop("env", environment())
    return subprocess.run([CTL, *args], capture_output=True, text=True, timeout=60 * SLOW, env=env, **kw)


def on_terminal(columns, *args, **more):
    """Runs observerctl with a terminal of that width as its output; returns (exit status, what the terminal got)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    to_terminal = slave if more.pop("stderr", False) else subprocess.DEVNULL
    process = subprocess.Popen([CTL, *args], stdin=slave, stdout=slave, stderr=to_terminal,
                               env=environment(TERM="xterm", **more))
    os.close(slave)
    data = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:
            break
        if not chunk:
            break
        data += chunk
    os.close(master)
    return process.wait(60 * SLOW), data.decode()


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class Reading(DaemonTest):
    def fill(self, d, count=30):
        ops = []
        for i in range(count):
            op = {"timestamp": DAY % (i // 60, i % 60, i), "endpoint": "/e%d" % (i % 3), "input_summary": "ask %d" % i,
                  "success": i % 5 != 0, "duration_ms": 100 + i % 3, "output_summary": "done" if i % 5 else "",
                  "source": ("mcp", "scenario")[i % 2], "staffer_id": "s%d" % (i % 4), "sig_hash": "h%d" % (i % 7),
                  "event_kind": "k%d" % (i % 2), "task_class": "t %d" % (i % 3), "session_id": "z%d" % (i % 10),
                  "op_id": "n%d" % i, "role": "welder"}
            if i % 5 == 0:
                op["error"] = "upstream timed out"
            ops.append(op)
        self.assertEqual(d.post("/v1/observer/event", ops).json["count"], count)
        return ops

    def ok(self, *args, **kw):
        done = ctl(*args, **kw)
        self.assertEqual((done.returncode, done.stderr), (0, ""), args)
        return done.stdout

    def test_stats(self):
        d = self.start(None)
        url = ("--url", d.url("http"))
        self.assertEqual(self.ok("stats", *url), "the last 0 ops: 0 successes, 0 failures\n")
        self.fill(d)
        self.assertEqual(self.ok("stats", "--utc", *url).split("\n")[:8], [
            "the last 30 ops: 24 successes, 6 failures (20.0 %)", "", "SOURCE    OPS   SHARE", "mcp        15  50.0 %",
            "scenario   15  50.0 %", "", "the last scenario ops", "AGE                            STAFFER  KIND  ROLE"])
        rows = self.ok("stats", "--utc", *url).split("\n")[8:]
        self.assertEqual(rows[0], "2026-01-02 03:00:11.011  ok    s3       k1    welder")
        self.assertEqual(rows[2], "2026-01-02 03:00:15.015  FAIL  s3       k1    welder")
        self.assertEqual(len(rows), 11)
        self.assertEqual(json.loads(self.ok("stats", "--json", *url)), d.get("/v1/observer/stats").json)
        self.assertRegex(self.ok("stats", *url), r"(?m)^\d+ d  ok    s3 ")
        self.assertEqual(self.ok("stats", "--utc", *url, env=environment(TZ="XYZ-2")), self.ok("stats", "--utc", *url))

    def test_summary(self):
        d = self.start(None)
        url = ("--url", d.url("http"))
        self.assertEqual(self.ok("summary", *url),
                         "lifetime: 0 ops, 0 failures, p50 -, p90 -, p99 -, max -\n")
        self.fill(d)
        lines = self.ok("summary", *url).split("\n")
        self.assertRegex(lines[0], r"^lifetime: 30 ops, 6 failures \(20\.0 %\), p50 10\d ms, p90 10\d ms, p99 10\d ms, "
                                   r"max 102 ms$")
        self.assertEqual([line.split()[:5] for line in lines[2:5]],
                         [["SOURCE", "COUNT", "FAILED", "SHARE", "P50"], ["mcp", "15", "3", "20.0", "%"],
                          ["scenario", "15", "3", "20.0", "%"]])
        self.assertEqual([line.split()[0] for line in lines[6:10]], ["ENDPOINT", "/e0", "/e1", "/e2"])
        names = lambda *args: [line.split()[0] for line in self.ok("summary", *args, *url).split("\n\n")[2].split("\n")[1:-1]]
        self.assertEqual(names("--window", "1h"), ["/e0", "/e1", "/e2"])
        self.assertEqual(names("--sort", "max"), ["/e2", "/e1", "/e0"])
        self.assertEqual(names("--sort", "name"), ["/e0", "/e1", "/e2"])
        d.post("/v1/observer/event", [{"endpoint": "/a", "success": False, "duration_ms": 5}] * 7)
        self.assertEqual(names("--sort", "failures"), ["/a", "/e0", "/e1", "/e2"])
        self.assertEqual(names("--sort", "share", "--window", "5m")[0], "/a")
        self.assertEqual(names("--sort", "p99")[-1], "/a")
        self.assertEqual(names("--sort", "count")[-1], "/a")
        self.assertEqual(names("--limit", "2"), ["/e0", "/e1", "..."])
        self.assertIn("... and 2 more (--limit)\n", self.ok("summary", "-n2", *url))
        self.assertEqual(set(json.loads(self.ok("summary", "--json", *url))), {"lifetime", "windows", "relative_error", "clocks"})

    def test_ops_filters(self):
        d = self.start(args=["--ring", "10"])
        ops = self.fill(d, 60)
        url = ("--url", d.url("http"))
        for args, keep in (
                ((), lambda op: True), (("--source", "mcp"), lambda op: op["source"] == "mcp"),
                (("--endpoint=/e1",), lambda op: op["endpoint"] == "/e1"), (("--failed",), lambda op: not op["success"]),
                (("--success",), lambda op: op["success"]), (("--staffer-id", "s3"), lambda op: op["staffer_id"] == "s3"),
                (("--sig-hash", "h6"), lambda op: op["sig_hash"] == "h6"),
                (("--event-kind", "k0"), lambda op: op["event_kind"] == "k0"),
                (("--task-class", "t 1"), lambda op: op["task_class"] == "t 1"),
                (("--session-id", "z9"), lambda op: op["session_id"] == "z9"),
                (("--since", "2026-01-02T03:00:10Z"), lambda op: op["timestamp"] >= "2026-01-02T03:00:10"),
                (("--until", "2026-01-02T05:00:10+02:00"), lambda op: op["timestamp"] <= "2026-01-02T03:00:10.000Z"),
                (("--since", "1767322810"), lambda op: op["timestamp"] >= "2026-01-02T03:00:10"),
                (("--since", "1767322810000", "--until", "1767322812.5"),
                 lambda op: "2026-01-02T03:00:10" <= op["timestamp"] <= "2026-01-02T03:00:12.500Z"),
                (("--until", "1h30m"), lambda op: True), (("--until", "1w2d3h"), lambda op: True),
                (("--until", "1s", "--since", "9999w"), lambda op: True), (("--since", "1s"), lambda op: False),
                (("-q", "ask 17"), lambda op: op["input_summary"] == "ask 17"), (("-q", "output_summary"), lambda op: False),
                (("--op-id", "n17"), lambda op: op["op_id"] == "n17"),
                (("--op-id", "n17", "--source", "mcp"), lambda op: False),
                (("--source", "mcp", "--failed", "--limit", "2"), lambda op: op["source"] == "mcp" and not op["success"])):
            done = ctl("ops", "--json", *args, *url)
            rows = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
            self.assertEqual((done.returncode, done.stderr), (0, "" if rows else "no ops match\n"), args)
            want = [op for op in reversed(ops) if keep(op)][: 2 if "--limit" in args else 100]
            self.assertEqual([row["op_id"] for row in rows], [op["op_id"] for op in want], args)
            self.assertEqual([row["seq"] for row in rows], [ops.index(op) + 1 for op in want], args)

    def test_ops_are_as_recorded(self):
        d = self.start()
        d.post("/v1/observer/event", '[{"endpoint":"/a","success":true,"extra":{"n":1.50,"big":123456789012345678901,'
                                     '"t":"\\u00e9\\u0001"},"odd":1e2},{"endpoint":"/b","success":true}]')
        lines = [line.decode() for line in d.journal_lines()]
        self.assertEqual(self.ok("ops", "--json", "--url", d.url("http")),
                         '{"seq":2,' + lines[1][1:] + '\n{"seq":1,' + lines[0][1:] + "\n")
        # replay takes them for the rows that they are.
        path = os.path.join(self.tmp, "rows.jsonl")
        with open(path, "w") as f:
            f.write(self.ok("ops", "--json", "--url", d.url("http")))
        other = self.start(os.path.join(self.tmp, "other"))
        self.assertEqual(ctl("replay", "--req", other.url("rep"), path).returncode, 0)
        self.assertEqual([line.decode() for line in other.journal_lines()], lines[::-1])

    def test_ops_over_pages(self):
        d = self.start(args=["--ring", "50"])
        for i in range(3):
            ops = [{"endpoint": "/a", "success": True, "op_id": "p%d" % (1000 * i + k), "correction": "x" * 1500}
                   for k in range(1000)]
            self.assertEqual(d.post("/v1/observer/event", ops).json["count"], 1000)
        url = ("--url", d.url("http"))
        for args, count in ((("--all",), 3000), (("-a", "-n", "5"), 3000), (("--limit", "2345"), 2345), ((), 100),
                            (("--limit", "1000000000000"), 3000)):
            rows = [json.loads(line)["op_id"] for line in self.ok("ops", "--json", *args, *url).split("\n")[:-1]]
            self.assertEqual(rows, ["p%d" % i for i in range(2999, 2999 - count, -1)], args)

    def test_lists_over_pages(self):
        """What is more than a page has room for is asked for page by page, and each entry is there once."""
        d = self.start(None)
        ops = [{"endpoint": "/e", "success": False, "error": "no", "sig_hash": "h%d" % i} for i in range(1100)]
        self.assertEqual(d.post("/v1/observer/event", ops).json["count"], len(ops))
        url = ("--url", d.url("http"))
        page = d.get("/v1/observer/repeats?least=1&limit=1000").json
        self.assertEqual((len(page["repeats"]), page["next_cursor"] is None), (1000, False))
        for limit, count, more in (("1000", 1000, True), ("1050", 1050, True), ("5000", 1100, False)):
            got = json.loads(self.ok("repeats", "--least", "1", "--limit", limit, "--json", *url))
            self.assertEqual(len({r["sig_hash"] for r in got["repeats"]}), count)
            self.assertEqual((len(got["repeats"]), got["next_cursor"] is not None), (count, more))

    def test_ops_lines(self):
        d = self.start(None)
        d.post("/v1/observer/event", [
            {"timestamp": DAY % (4, 5, 123), "endpoint": "/v1/chat", "success": False, "duration_ms": 120,
             "source": "scenario", "error": "upstream \x1b[31mtimed\nout\x9b \u202e \u4f60", "input_summary": "a\tb"}])
        url = ("--url", d.url("http"))
        line = self.ok("ops", *url)
        self.assertEqual(line.count("\n"), 1)
        for part in ("FAIL scenario ", " /v1/chat ", " 120 ms ", "a\\tb", "upstream \\x1b[31mtimed\\nout\\u009b \\u202e 你"):
            self.assertIn(part, line)
        self.assertTrue(line.startswith("1 01-02 03:04"), line)
        self.assertTrue(self.ok("ops", *url, env=environment(TZ="XYZ-2")).startswith("1 01-02 05:04"), line)
        self.assertEqual(self.ok("ops", "--utc", *url, env=environment(TZ="XYZ-2")), line)
        for args in ((), ("--wide",)):
            status, text = on_terminal(60, "ops", *args, *url)
            self.assertEqual(status, 0)
            self.assertIn("\x1b[", text)
            self.assertEqual(max(map(len, plain(text).splitlines())) <= 60, not args, text)
            self.assertNotIn("\x1b[31mtimed", text)
        d.post("/v1/observer/event", {"endpoint": "/now", "success": True, "duration_ms": 7})
        today = time.gmtime().tm_yday
        line = self.ok("ops", "-n1", *url)
        if time.gmtime().tm_yday == today:
            self.assertRegex(line, r"^2 \d\d:\d\d:\d\d\.\d{3} ok   mcp +/now +7 ms")
        d.post("/v1/observer/event", [{"endpoint": "/now", "success": True}] * 8)
        self.assertEqual([line.split(" ", 1)[0] or line.split()[0] for line in self.ok("ops", "-n4", *url).split("\n")[:-1]],
                         ["10", "9", "8", "7"])
        self.assertTrue(self.ok("ops", "-n2", *url).split("\n")[1].startswith(" 9 "))
        self.assertIn("one in full: observerctl op SEQ", plain(on_terminal(100, "ops", *url, stderr=True)[1]))

    def test_an_op_in_full(self):
        d = self.start(args=["--ring", "10"])
        d.post("/v1/observer/event", [
            {"timestamp": DAY % (4, 5, 123), "endpoint": "/v1/chat", "success": False, "duration_ms": 120, "staffer_id": "m7",
             "error": "upstream \x1b[31mtimed\nout\u009b\u202e", "input_summary": "ask", "output_summary": "nothing",
             "extra": {"tries": [1, 2.50]}, "big": 123456789012345678901, "\u202ename": "x\u2028y", "op_id": "p-1"}]
            + [{"endpoint": "/b", "success": True, "input_summary": "second"}] * 30)
        url = ("--url", d.url("http"))
        lines = self.ok("op", "1", *url).split("\n")
        self.assertEqual(lines[:14], [
            "op 1  FAIL",
            "  error             upstream \\x1b[31mtimed\\nout\\u009b\\u202e",
            "  input_summary     ask",
            "  output_summary    nothing",
            "  timestamp         2026-01-02T03:04:05.123Z",
            "  endpoint          /v1/chat",
            "  duration_ms       120",
            "  source            mcp",
            "  staffer_id        m7",
            "  op_id             p-1",
            '  extra             {"tries":[1,2.5]}',
            "  big               123456789012345678901",
            "  \\u202ename        x\\u2028y",
            "  received          " + d.get("/v1/observer/ops/1").json["received"]])
        self.assertEqual(lines[14:], ["  late              true", "  cluster           " + d.get("/v1/observer/ops/1").json["cluster"],
                                      ""])
        lines = self.ok("op", "31", *url).split("\n")
        self.assertEqual((lines[0], lines[1]), ("op 31  ok", "  input_summary     second"))
        self.assertNotIn("cluster", "".join(lines))
        # Several, in the order asked for; commas do; what is not there is named, and the status says so.
        blocks = self.ok("op", "31,1", "2", *url).split("\n\n")
        self.assertEqual([block.split("\n")[0] for block in blocks], ["op 31  ok", "op 1  FAIL", "op 2  ok"])
        done = ctl("op", "99", "1", *url)
        self.assertEqual((done.returncode, done.stderr), (1, "observerctl op: no op 99: the last one recorded is 31\n"))
        self.assertTrue(done.stdout.startswith("op 1  FAIL\n"))
        rows = [json.loads(line) for line in self.ok("op", "--json", "2", "1", *url).split("\n")[:-1]]
        self.assertEqual(rows, [d.get("/v1/observer/ops/2").json, d.get("/v1/observer/ops/1").json])
        for wrong, words in (((), "which SEQ? (observerctl ops shows them)"), (("x",), '"x" is not the number of an op, such as 421'),
                             (("0",), '"0" is not the number of an op, such as 421'),
                             (("1,,2",), '"1,,2" is not the number of an op, such as 421'),
                             (("-1",), None), (("1.5",), '"1.5" is not the number of an op, such as 421')):
            done = ctl("op", *wrong, *url)
            self.assertEqual((done.returncode, done.stdout), (2, ""), wrong)
            if words is not None:
                self.assertEqual(done.stderr, "observerctl op: %s\n" % words)

    def test_json_on_a_terminal_does_not_act(self):
        evil = "\u0085\u009b31m\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\x7f"
        d = self.start(feed="tcp://127.0.0.1:0")
        d.post("/v1/observer/event", [{"endpoint": "/a" + evil, "success": False, "error": "lost " + evil, "source": "s" + evil,
                                       "sig_hash": "h" + evil}] * 4)
        d.post("/v1/observer/session", dict(SESSION, session_id="z" + evil, kind=evil))
        d.post("/v1/observer/event", '{"endpoint":5,"x":"%s"}' % evil)
        url = ("--url", d.url("http"))
        cluster = d.get("/v1/observer/clusters").json["clusters"][0]["id"]
        for args in (("ops", "--json"), ("op", "1", "--json"), ("clusters", "--json"), ("clusters", cluster, "--json"),
                     ("repeats", "--json"), ("sessions", "--json"), ("stats", "--json"), ("summary", "--json"),
                     ("advice", "-e", "/a" + evil, "--json"), ("top", "--json"), ("tail", "-n", "5", "-c", "1", "--json"),
                     ("ops",), ("op", "1"), ("clusters",), ("clusters", cluster), ("repeats",), ("changes",), ("graph",), ("sessions",), ("stats",),
                     ("summary",), ("advice", "-e", "/a" + evil), ("tail", "-n", "5", "-c", "1")):
            status, shown = on_terminal(500, *args, *url, stderr=True)
            self.assertEqual(status, 0, (args, shown))
            for c in evil.replace("31m", ""):
                self.assertNotIn(c, shown, args)
            if "--json" in args:  # the same, but for the escapes
                piped = self.ok(*args, *url)
                self.assertTrue(any(c in piped for c in "\u009b"), args)
                if args[0] not in ("top", "summary"):  # those change from moment to moment
                    self.assertEqual([json.loads(line) for line in shown.replace("\r", "").split("\n") if line.startswith("{")],
                                     [json.loads(line) for line in piped.split("\n")[:-1]], args)

    def test_empty_lists_say_so(self):
        d = self.start()
        url = ("--url", d.url("http"))
        none = {"ops": "ops", "sessions": "session records", "clusters": "clusters", "repeats": "repeats", "changes": "changes",
                "analyses": "analyses", "playbooks": "playbook entries", "escalations": "escalations"}
        some = {"ops": ("--failed",), "sessions": ("--kind", "x"), "clusters": ("-q", "x"), "repeats": ("--sig-hash", "x"), "changes": ("--since", "1h"),
                "analyses": ("--since", "1h"), "playbooks": ("--kind", "do"), "escalations": ("-c", "0" * 16)}
        for command, what in none.items():
            done = ctl(command, "--limit", "5", *url)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "no %s yet\n" % what))
            done = ctl(command, *some[command], *url)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "no %s match\n" % what))
        for command in ("ops", "sessions"):  # where --json prints nothing at all
            self.assertEqual(ctl(command, "--json", *url).stderr, "no %s yet\n" % none[command])
        self.assertEqual(ctl("clusters", "--json", *url).stderr, "")
        done = ctl("sessions", "--stats", *url)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "no session records yet\n"))
        refused = ctl("ops", "--cluster", "zzz", *url)  # by the daemon, and wrong use all the same
        self.assertEqual(refused.returncode, 2)
        self.assertRegex(refused.stderr, r"\Aobserverctl ops: cluster: .*\n\Z")
        done = ctl("rejected", "list", "-D", d.data_dir)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "no rejected ops or messages yet\n"))
        done = ctl("rejected", "list", "-D", d.data_dir, "--reason", "x")
        self.assertEqual(done.stderr, "no rejected ops or messages match\n")

    def test_tables_on_a_terminal(self):
        d = self.start(None)
        d.post("/v1/observer/event", [{"endpoint": "/very/long/\x1b[2J" + "名" * 100, "success": False, "duration_ms": 7,
                                       "source": "a source with a long name that goes on"}] * 3)
        url = ("--url", d.url("http"))
        for columns in (200, 80, 60, 40, 17, 1):
            for command in ("stats", "summary"):
                status, text = on_terminal(columns, command, *url)
                self.assertEqual(status, 0)
                self.assertNotIn("\x1b[2J", text)
                for line in plain(text).split("\r\n"):
                    if line.startswith(("the last", "lifetime")):
                        continue
                    width = sum(2 if c == "名" else 1 for c in line)
                    self.assertLessEqual(width, columns, line)
        # What gives is the name: the numbers stay whole.
        table = plain(on_terminal(80, "summary", *url)[1]).split("\r\n\r\n")[2].split("\r\n")
        self.assertRegex(table[0], r"^ENDPOINT .* MAX$")
        self.assertRegex(table[1], r"^/very/long/.*\u2026 +3 +3 +100\.0 %( +7 ms){4}$")
        self.assertIn("\x1b[31m", on_terminal(100, "summary", *url)[1])
        self.assertNotIn("\x1b[", on_terminal(100, "summary", *url, NO_COLOR="1")[1])
        self.assertNotIn("\x1b[", self.ok("summary", *url))

    def test_closed_pipe(self):
        d = self.start()
        for _ in range(3):
            d.post("/v1/observer/event", [{"endpoint": "/a", "success": True, "correction": "x" * 1000}] * 1000)
        process = subprocess.Popen([CTL, "ops", "--all", "--json", "--url", d.url("http")], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=environment())
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        self.assertIn(process.wait(60 * SLOW), (0, -13))
        self.assertEqual(err, b"")
        for args in (("stats",), ("ops", "-n", "1000"), ("ops", "-n", "1000", "--json")):  # fails at the end, and before
            with open("/dev/full", "w") as full:
                done = subprocess.run([CTL, *args, "--url", d.url("http")], stdout=full, stderr=subprocess.PIPE, text=True,
                                      env=environment(), timeout=60 * SLOW)
            self.assertEqual((done.returncode, done.stderr),
                             (1, "observerctl %s: standard output: No space left on device\n" % args[0]))

    def test_unreachable(self):
        d = self.start(None)
        url = d.url("http")
        self.assertEqual(ctl("stats", env=environment(OBSERVER_URL=url)).returncode, 0)
        self.assertEqual(ctl("stats", "--url", url, env=environment(OBSERVER_URL="http://127.0.0.1:1")).returncode, 0)
        d.stop()
        for command in (("stats",), ("summary",), ("ops",), ("sessions",), ("sessions", "--stats"), ("ops", "--json")):
            done = ctl(*command, "--url", url + "/")
            self.assertEqual((done.returncode, done.stdout, done.stderr), (
                1, "", "observerctl %s: %s: Connection refused (is observerd running there? `observerctl doctor` checks; "
                       "--url or OBSERVER_URL selects another one)\n" % (command[0], url)))

    def test_not_an_observerd(self):
        class Other(BaseHTTPRequestHandler):
            def do_GET(self):
                body = b'{"ops":[{"seq":1,"op":{}' if "/ops" in self.path else b"<html>"
                self.send_response(404 if "/summary" in self.path else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = HTTPServer(("127.0.0.1", 0), Other)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = "http://127.0.0.1:%d" % server.server_port
            for command, error in (
                    ("stats", "%s/v1/observer/stats: the answer is not JSON: is this observerd?"),
                    ("summary", "%s/v1/observer/summary: HTTP status 404: is this observerd?"),
                    ("ops", "%s/v1/observer/ops?limit=100: the answer is not a page of rows: is this observerd?")):
                done = ctl(command, "--url", url)
                self.assertEqual((done.returncode, done.stderr), (1, "observerctl %s: %s\n" % (command, error % url)))
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def test_the_daemon_refuses(self):
        d = self.start(None)
        done = ctl("stats", "--url", d.url("http") + "/base/")
        self.assertEqual((done.returncode, done.stderr), (
            1, "observerctl stats: %s/base/v1/observer/stats: the daemon does not have this route: is it older than observerctl?\n"
            % d.url("http")))
        done = ctl("ops", "--since", "2026-01-01", "--until", "0s", "--url", d.url("http"))
        self.assertEqual(done.returncode, 0)
        done = ctl("sessions", "--final-verdict", "x" * 70000, "--url", d.url("http"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^observerctl sessions: [^\n]+\n$")


SESSION = {"schema": "session.iterate.v1", "kind": "fill", "model": "m1", "provider": "p1", "iterations": 2,
           "max_iterations": 3, "final_verdict": "accepted", "grounded_in_roster": True, "duration_ms": 1500,
           "attempts": [{"iteration": 1, "verdict_kind": "no_json"}, {"iteration": 2, "verdict_kind": "accepted"}]}


class Sessions(DaemonTest):
    def fill(self, d, count=6):
        for i in range(count):
            record = dict(SESSION, timestamp=DAY % (i, 0, 0), session_id="z%d" % i, model="m%d" % (i % 3))
            if i % 2:
                record.update(final_verdict="infra_error", iterations=0, attempts=[], grounded_in_roster=False)
            answer = d.post("/v1/observer/session", record)
            self.assertEqual(answer.status, 200, answer)

    def test_list(self):
        d = self.start()
        self.fill(d)
        url = ("--url", d.url("http"))
        lines = ctl("sessions", "--utc", *url).stdout.split("\n")
        self.assertEqual(lines[0].split(), ["AGE", "VERDICT", "KIND", "MODEL", "PROVIDER", "TRIES", "GROUNDED", "TOOK",
                                            "SESSION"])
        self.assertEqual(lines[1].split(), ["2026-01-02", "03:05:00.000", "infra_error", "fill", "m2", "p1", "0/3", "no",
                                            "1.50", "s", "z5"])
        self.assertEqual(lines[2].split()[2:9], ["accepted", "fill", "m1", "p1", "2/3", "yes", "1.50"])
        self.assertEqual(len(lines), 8)
        for args, want in (((), "543210"), (("--final-verdict", "accepted"), "420"), (("--grounded", "false"), "531"),
                           (("--model", "m1"), "41"), (("--kind", "email"), ""), (("--provider", "p1", "-n", "2"), "54"),
                           (("--since", "2026-01-02T03:02:00Z", "--until", "2026-01-02T03:03:00Z"), "32"),
                           (("--since", "5m"), ""), (("--all",), "543210")):
            done = ctl("sessions", "--json", *args, *url)
            self.assertEqual((done.returncode, done.stderr), (0, "" if want else "no session records match\n"), args)
            rows = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
            self.assertEqual([row["session_id"] for row in rows], ["z" + c for c in want], args)

    def test_stats(self):
        d = self.start()
        self.fill(d)
        url = ("--url", d.url("http"))
        text = ctl("sessions", "--stats", *url).stdout
        parts = [part.splitlines() for part in text.split("\n\n")]
        stats = d.get("/v1/observer/sessions/stats").json
        self.assertEqual(parts[0], [
            "6 sessions, %d attempts, %.1f tries a session on average" % (stats["attempts"], stats["mean_iterations"]),
            "grounded: %d of the %d that were checked against the roster (%.1f %%)" % (stats["grounded"], stats["grounded_of"], 100 * stats["grounded_share"]),
            "took: p50 1.49 s, p90 1.49 s, p99 1.49 s, max 1.50 s"])  # within 1 %
        tables = {re.split(r"  +", lines[0])[0]: [re.split(r"  +", line) for line in lines[1:]] for lines in parts[1:]}
        self.assertIn(["accepted", "3", "50.0 %"], tables["VERDICT"])
        self.assertEqual(tables["KIND"], [["fill", "6", "100.0 %"]])
        self.assertEqual(set(tables), {"VERDICT", "KIND", "MODEL", "PROVIDER"} | ({"VERDICT OF AN ATTEMPT"} if stats["attempt_verdicts"] else set()))
        self.assertEqual(json.loads(ctl("sessions", "--stats", "--json", *url).stdout),
                         d.get("/v1/observer/sessions/stats").json)


if __name__ == "__main__":
    main()
