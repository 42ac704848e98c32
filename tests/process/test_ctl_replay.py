"""observerctl replay and rejected: journal rows again, and what the daemon refused, with its bytes."""

import base64
import json
import os
import signal
import subprocess
import time

from ctl import CtlTest, free_url
from harness import SLOW, main, pack, wait_until


def row(second, **more):
    return dict({"timestamp": "2026-01-01T00:00:%06.3fZ" % second, "endpoint": "/r", "input_summary": "", "success": True,
                 "duration_ms": 1, "output_summary": "", "source": "mcp"}, **more)


def jsonl(rows):
    return "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in rows)


class Replay(CtlTest):
    def test_the_journal_of_a_daemon_into_another(self):
        first = self.start("one")
        self.ctl("pub", "--req", first.url("rep"),
                 input=jsonl([row(i % 60, op_id="x-%d" % i, new_field={"a": [i]}) for i in range(3000)]))
        first.stop()
        second = self.start("two", rep=["tcp://127.0.0.1:0"])
        files = first.segments()
        for kind, url in (("--req", second.url("rep")), ("--req", second.url("rep")), ("--push", second.url("pull"))):
            result = self.result("replay", kind, url, *files)
            self.assertEqual(result["sent"], 3000)
        self.assertEqual(second.journal_lines(), first.journal_lines())
        second.stop()

    def test_a_daemons_own_journal(self):
        daemon = self.start()
        self.ctl("pub", "--req", daemon.url("rep"), input=jsonl(row(i) for i in range(50)))
        result = self.result("replay", "--req", daemon.url("rep"), *daemon.segments())
        self.assertEqual((result["sent"], result["accepted"]), (50, 50))  # and not what it appends itself
        daemon.stop()

    def test_wrong_rows(self):
        daemon = self.start()
        text = (jsonl([row(0)]) + "garbage\n\n" + jsonl([row(1, success="yes"), row(2)]) + '{"timestamp":"2026-\xff\n'
                + "x" * (5 << 20) + "\n" + jsonl([row(3)]) + '{"timestamp":"2026-01-01T00')
        path = self.path("some.jsonl", text)
        done = self.ctl("replay", "--req", daemon.url("rep"), path, code=1)
        self.assertEqual(done.stdout, "3 recorded, 1 rejected, 3 not readable\n")
        self.assertEqual(sorted(done.stderr.splitlines()), sorted("observerctl replay: %s:%s" % (path, what) for what in (
            "2: op: must be a map", "4: success: must be a boolean", "6: json: truncated at byte 21",
            "7: the line is longer than 4 MiB", "9: the last line is torn, skipped")))
        self.assertEqual([r["timestamp"] for r in daemon.journal_rows()], [row(i)["timestamp"] for i in (0, 2, 3)])
        result = self.result("replay", "--req", daemon.url("rep"), path, code=1)
        self.assertEqual((result["sent"], result["accepted"], result["rejected"], result["bad"]), (4, 3, 1, 3))
        self.assertIn({"file": path, "line": 4, "error": "success: must be a boolean"}, result["errors"])
        daemon.stop()

    def test_which_rows(self):
        daemon = self.start()
        rows = [row(i, source=("bot" if i % 2 else "mcp"), n=i) for i in range(10)]
        path = self.path("rows.jsonl", jsonl(rows))

        def replayed(*args):
            before = len(daemon.journal_lines())
            self.ctl("replay", "--req", daemon.url("rep"), *args, path)
            return [r["n"] for r in daemon.journal_rows()[before:]]

        self.assertEqual(replayed(), list(range(10)))
        self.assertEqual(replayed("--since", "2026-01-01T00:00:03Z", "--until", "2026-01-01T00:00:05Z"), [3, 4, 5])
        self.assertEqual(replayed("--source", "bot", "--limit", "2"), [1, 3])
        self.assertEqual(replayed("--since", "1d"), [])
        self.assertEqual(daemon.journal_rows()[0]["timestamp"], rows[0]["timestamp"])
        before = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        self.assertEqual(replayed("--shift-time", "--limit", "1"), [0])
        last = daemon.journal_rows()[-1]
        self.assertGreaterEqual(last["timestamp"], before)
        self.assertEqual({**last, "timestamp": rows[0]["timestamp"]}, rows[0])
        for args, words in ((["--since", "soon"], "nor an age such as 15m"), (["--speed", "0"], "above 0"),
                            (["--speed", "2", "--rate", "5"], "one of them"), (["--rate", "x"], "not a number")):
            self.assertIn(words, self.ctl("replay", *args, path, code=2).stderr)
        self.assertIn("which FILE?", self.ctl("replay", code=2).stderr)
        daemon.stop()

    def test_paced_and_interrupted(self):
        daemon = self.start()
        path = self.path("rows.jsonl", jsonl([row(0), row(1), row(2), row(59)]))
        replay = self.spawn("replay", "--req", daemon.url("rep"), "--speed", "10", path, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
        started = time.monotonic()
        wait_until(lambda: len(daemon.journal_lines()) == 3, 20, "three rows while the fourth is not due")
        self.assertGreater(time.monotonic() - started, 0.15)
        replay.send_signal(signal.SIGINT)
        out, err = replay.communicate(timeout=30 * SLOW)
        self.assertEqual((replay.returncode, out, err), (130, b"3 recorded\n", b""))
        daemon.stop()

    def test_a_live_stream(self):
        daemon = self.start()
        replay = self.spawn("replay", "--req", daemon.url("rep"), "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        replay.stdin.write(jsonl([row(0)]).encode())
        replay.stdin.flush()
        wait_until(lambda: len(daemon.journal_lines()) == 1, 20, "the row is sent while more may come")
        replay.send_signal(signal.SIGTERM)
        out, _ = replay.communicate(timeout=30 * SLOW)
        self.assertEqual((replay.returncode, out), (143, b"1 recorded\n"))
        daemon.stop()

    def test_files_and_daemons_that_are_not_there(self):
        daemon = self.start()
        done = self.ctl("replay", "--req", daemon.url("rep"), "nothing", code=1)
        self.assertEqual(done.stderr, "observerctl replay: nothing: No such file or directory\n")
        done = self.ctl("replay", "--req", daemon.url("rep"), ".", code=1)
        self.assertEqual(done.stderr, "observerctl replay: .: Is a directory\n")
        url = free_url()
        done = self.ctl("replay", "--req", url, "--timeout", "200", self.path("x", jsonl([row(0)])), code=1)
        self.assertEqual(done.stderr, "observerctl replay: %s: Connection refused (tried for 200 ms)\n" % url)
        daemon.stop()


class Rejected(CtlTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start()
        self.dir = self.daemon.data_dir

    def rejected(self, *args, **kw):
        return self.ctl("rejected", *args, "--data-dir", self.dir, **kw)

    def lines(self, *args, **kw):
        return [json.loads(line) for line in self.rejected(*args, "--json", **kw).stdout.splitlines()]

    def fill(self):
        with self.daemon.req() as req:
            req.request(b'{"endpoint":""}')
            req.request(pack({"endpoint": "/a", "duration_ms": -1}))
            req.request(b'{"endpoint":"\x1b[31m","count":"x"}\n{"endpoint":"/b","count":"x"}')
            req.request(b'{"endpoint":"/c","pad":"' + b"x" * 100000 + b'"}')
        self.daemon.post("/v1/observer/event", "[")

    def test_list(self):
        self.assertEqual(self.rejected("list").stdout, "")
        self.fill()
        lines = self.rejected("list", "--utc").stdout.splitlines()
        self.assertRegex(lines.pop(0), r"^   ROW  TIME {21}VIA   WHAT {16}REASON, BYTES$")
        self.assertEqual(len(lines), len(self.daemon.rejected_rows()))
        self.assertRegex(lines[0], r'^ +1  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  rep   op 0, 15 bytes      endpoint: required  '
                                   r'\{"endpoint":""\}$')
        self.assertNotIn("\x1b", "".join(lines))
        self.assertIn("(truncated)", lines[-2])
        got = self.lines("list")
        self.assertEqual([r.pop("number") for r in got], list(range(1, len(got) + 1)))
        self.assertEqual(got, self.daemon.rejected_rows())
        self.assertEqual([r["number"] for r in self.lines("list", "--reason", "integer")], [4])
        self.assertEqual([r["transport"] for r in self.lines("list", "--transport", "http")], ["http"])
        self.assertEqual([r["number"] for r in self.lines("list", "--limit", "2")], [1, 2])
        self.assertEqual(self.lines("list", "--until", "2020-01-01"), [])
        self.assertEqual(len(self.lines("list", "--since", "1h")), len(got))
        for name in ("OBSERVER_URL", "OBSERVER_HTTP", "OBSERVER_TIMEOUT"):  # of other commands
            done = self.ctl("rejected", "list", "--data-dir", self.daemon.data_dir, env={**self.environment(), name: self.daemon.url("http")})
            self.assertEqual((done.stdout.count("\n"), done.stderr), (len(got) + 1, ""))

    def test_usage(self):
        for args, words in (([], "which action? list, export or replay"), (["show"], "which action? list, export or replay"),
                            (["list", "--out", "x"], "--out does not apply to list"),
                            (["list", "--transport", "pigeon"], "none of: pull sub rep http tail nats"),
                            (["export"], "--out DIR for files, or --number N"), (["list", "--number", "0"], "not a number")):
            self.assertIn(words, self.ctl("rejected", *args, code=2).stderr)
        done = self.ctl("rejected", "list", "--data-dir", "nowhere", code=1)
        self.assertEqual(done.stderr, "observerctl rejected: nowhere: No such file or directory\n")
        text = self.ctl("rejected", "--help").stdout
        for word in ("list:", "export:", "replay:", "usage: observerctl rejected [OPTION]... list|export|replay"):
            self.assertIn(word, text)

    def test_export(self):
        self.fill()
        out = os.path.join(self.tmp, "out")
        done = self.rejected("export", "--out", out)
        rows = self.daemon.rejected_rows()
        names = sorted(os.listdir(out))
        self.assertEqual(names[:3], ["000001.json", "000002.msgpack", "000003.json"])
        for name, kept in zip(names, rows):
            with open(os.path.join(out, name), "rb") as f:
                self.assertEqual(f.read(), base64.b64decode(kept["bytes"]))
        self.assertIn("only 65536 of its 100026 bytes were kept", done.stderr)
        self.assertIn("000001.json: File exists", self.rejected("export", "--out", out, code=1).stderr)
        done = self.rejected("export", "--number", "2", text=False)
        self.assertEqual(done.stdout, pack({"endpoint": "/a", "duration_ms": -1}))
        self.assertIn("there is no row 99", self.rejected("export", "--number", "99", code=1).stderr)

    def test_replay(self):
        self.fill()
        rep = self.daemon.url("rep")
        count = len(self.daemon.rejected_rows())
        got = self.lines("replay", "--dry-run", code=1)
        self.assertEqual({r["outcome"] for r in got}, {"would be sent", "not sent"})
        self.assertEqual(len(self.daemon.rejected_rows()), count)
        got = self.lines("replay", "--req", rep, code=1)
        self.assertEqual(len(got), count)
        self.assertEqual(got[0], {"number": 1, "outcome": "rejected", "reason": "endpoint: required"})
        self.assertEqual([r["reason"] for r in got if r["outcome"] == "not sent"],
                         ["only the beginning of its bytes was kept"])
        self.assertEqual(len(self.daemon.rejected_rows()), 2 * count - 1)

    def test_replay_of_what_is_well_now(self):
        with self.daemon.req() as req:
            req.request(b'{"endpoint":"x"')
            req.request(b'{"endpoint":""}')
        path = os.path.join(self.dir, "rejected.jsonl")
        self.daemon.stop()
        with open(path, "rb") as f:
            rows = [json.loads(line) for line in f]
        fixed = [dict(rows[1], bytes=base64.b64encode(body).decode(), size=len(body)) for body in
                 (b'{"endpoint":"/fixed","op_id":"1"}', b'{"endpoint":"/fixed","op_id":"1"}', b"[]",
                  b'{"endpoint":"/more"}{"endpoint":""}', pack({"endpoint": "/packed"}))]
        with open(os.path.join(self.dir, "rejected.1.jsonl"), "w") as f:  # as if the file had been turned over
            f.write("".join(json.dumps(r) + "\n" for r in fixed) + "garbage\n" + '{"time":"x"}\n')
        self.daemon.start()
        done = self.rejected("replay", "--req", self.daemon.url("rep"), code=1)
        self.assertEqual(done.stdout.splitlines(), [
            "     1  accepted", "     2  duplicate", "     3  holds no op", "     4  partly rejected: endpoint: required",
            "     5  accepted", "     8  rejected: json: truncated at byte 15", "     9  rejected: endpoint: required",
            "3 accepted, 1 duplicate, 3 rejected, 0 not sent"])
        self.assertEqual(done.stderr.splitlines(), [
            "observerctl rejected: %s:6: no JSON object" % os.path.join(self.dir, "rejected.1.jsonl"),
            "observerctl rejected: %s:7: time: must be an ISO 8601 time" % os.path.join(self.dir, "rejected.1.jsonl")])
        self.assertEqual([r["endpoint"] for r in self.daemon.journal_rows()], ["/fixed", "/more", "/packed"])
        self.rejected("replay", "--number", "5", "--req", self.daemon.url("rep"))
        url = free_url()
        done = self.rejected("replay", "--number", "5", "--req", url, "--timeout", "200", code=1)
        self.assertIn("%s: Connection refused" % url, done.stderr)


if __name__ == "__main__":
    main()
