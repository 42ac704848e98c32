"""observerctl status, ping and bench: how a daemon is, how fast it answers, and how much it takes."""

import json
import os
import signal
import subprocess

from ctl import CtlTest, free_url
from harness import SLOW, main, wait_until

DURATION = r"(?:\d+(?:\.\d+)? (?:ms|s)|\d+m\d\ds)"


class Status(CtlTest):
    def test_ready(self):
        d = self.start()
        url = d.url("http")
        done = self.ctl("status", "--url", url)
        self.assertRegex(done.stdout, r"\Aup %s, observerd \d+\.\d+\.\d+, ready, 0 ops/s, 0 ops recorded, %s\n\Z" % (DURATION, url))
        for success in (True, True, True, False):
            d.post("/v1/observer/event", {"endpoint": "/a", "success": success})
        done = self.ctl("status", "--url", url)
        self.assertRegex(done.stdout, r", ready, \S+ ops/s, 25\.0 % failed, 4 ops recorded, http://")
        self.assertIn(", \x1b[32mready\x1b[0m, ", self.ctl("status", "--color", "always", "--url", url).stdout)
        status = self.result("status", "--url", url)
        self.assertEqual((status["ready"], status["reasons"], status["ops"], status["window_ops"], status["window_failures"],
                          status["waiting"]), (True, [], 4, 4, 1, 0))
        d.stop()
        self.assertIn("Connection refused", self.ctl("status", "--url", url, code=1).stderr)

    def test_not_ready(self):
        d = self.start()
        d.post("/v1/observer/event", {"endpoint": "/a"})
        os.rename(d.data_dir, d.data_dir + "-gone")
        wait_until(lambda: d.get("/readyz").status == 503, 20, "it is noticed")
        done = self.ctl("status", "--url", d.url("http"), code=1)
        self.assertRegex(done.stdout, r"\Aup %s, observerd \S+, not ready \(\S.*\), " % DURATION)
        status = self.result("status", "--url", d.url("http"), code=1)
        self.assertEqual((status["ready"], status["reasons"]), (False, d.get("/readyz").json["reasons"]))
        d.kill()


class Ping(CtlTest):
    def lines(self, d):
        return r"http +%s  %s\nrep  +%s  %s\n" % (DURATION, d.url("http"), DURATION, d.url("rep"))

    def test_once_and_often(self):
        d = self.start()
        self.assertRegex(self.ctl("ping", "--url", d.url("http")).stdout, r"\A%s\Z" % self.lines(d))
        done = self.ctl("ping", "-c", "3", "-i", "10ms", "--url", d.url("http"))
        total = r"3 of 3 answered, least %s, mean %s, most %s" % (DURATION, DURATION, DURATION)
        self.assertRegex(done.stdout, r"\A(?:%s){3}http: %s\nrep: %s\n\Z" % (self.lines(d), total, total))
        self.assertEqual((d.get("/stats").json["total"], d.rejected_rows()), (0, []))  # nothing is recorded, nothing rejected
        d.stop()

    def test_interrupted(self):
        d = self.start()
        ping = self.spawn("ping", "-c", "0", "-i", "20ms", "--url", d.url("http"), stdout=subprocess.PIPE, text=True)
        for _ in range(4):
            ping.stdout.readline()
        ping.send_signal(signal.SIGINT)
        rest = ping.communicate(timeout=30 * SLOW)[0].splitlines()
        self.assertEqual(ping.returncode, 130)
        self.assertRegex(rest[-2], r"^http: (\d+) of \1 answered, ")
        self.assertRegex(rest[-1], r"^rep: (\d+) of \1 answered, ")
        d.stop()

    def test_without_an_answer(self):
        away = free_url().replace("tcp", "http")
        done = self.ctl("ping", "--url", away, code=1)
        self.assertEqual([row.split()[:2] for row in done.stdout.splitlines()], [["http", "-"], ["rep", "-"]])
        self.assertIn(away + ": Connection refused", done.stdout)
        d = self.start(rep="none")
        done = self.ctl("ping", "--url", d.url("http"))  # which is no fault
        self.assertRegex(done.stdout, r"\Ahttp +%s  %s\n\Z" % (DURATION, d.url("http")))
        self.assertRegex(done.stderr, r"\Aobserverctl ping: %s: the daemon has no REP socket that can be reached from here " % d.url("http"))
        d.stop()


class Bench(CtlTest):
    def test_each_way_in(self):
        d = self.start(args=["--ring", "100"])
        url = ("--url", d.url("http"))
        for n, transport in enumerate(("req", "push", "http")):
            got = self.result("bench", "--ops", "950", "--batch", "100", "--size", "1K", "--connections", "3",
                              "--transport", transport, *url)
            self.assertEqual((got["sent"], got["recorded"], got["batch"], got["size"], got["connections"], got["transport"]),
                             (1000, 1000, 100, 1024, 3, transport))  # whole messages
            self.assertEqual(got["requests"], 0 if transport == "push" else 10)
            self.assertGreater(got["ops_per_second"], 0)
            if transport != "push":
                self.assertLessEqual(got["p50_ms"], got["p99_ms"])
                self.assertLessEqual(got["p99_ms"], got["max_ms"] * 1.02)
            self.assertEqual(len(d.journal_lines()), 1000 * (n + 1))
        rows = d.journal_rows()
        self.assertEqual({(row["source"], row["success"], len(row["input_summary"])) for row in rows}, {("bench", True, 1024)})
        self.assertEqual({row["endpoint"] for row in rows}, {"/bench/%d" % n for n in range(10)})
        done = self.ctl("bench", "-n", "20", "-b", "1", *url)
        self.assertEqual(done.stderr, "20 ops of source bench will be recorded and stay in the daemon's journal\n")
        self.assertRegex(done.stdout, r"\A20 ops recorded in %s \(req, 1 connection, 1 op per message, 200 bytes of text per op\)\n"
                                      r"\S+ ops/s, \S+ MB/s\nacknowledged requests: p50 %s, p99 %s, longest %s\n\Z" % ((DURATION,) * 4))
        d.stop()

    def test_not_among_the_ops_of_others(self):
        d = self.start()
        url = ("--url", d.url("http"))
        d.post("/v1/observer/event", {"endpoint": "/a", "source": "mcp"})
        done = self.ctl("bench", "-n", "10", *url, code=1)
        self.assertEqual((done.stdout, done.stderr), ("", "observerctl bench: the daemon at %s has 1 op of other sources, and those of "
                                                          "bench would stay among them; --yes goes on\n" % d.url("http")))
        self.assertEqual(len(d.journal_lines()), 1)
        self.ctl("bench", "-n", "10", "--yes", *url)
        self.assertEqual(len(d.journal_lines()), 11)
        d.stop()

    def test_what_goes_wrong(self):
        d = self.start(rep="none")
        url = ("--url", d.url("http"))
        done = self.ctl("bench", "--batch", "1000", "--size", "50K", *url, code=2)
        self.assertEqual(done.stderr, "observerctl bench: --batch, --size: a message would be larger than 4 MB\n")
        self.assertIn("the daemon has no REP socket", self.ctl("bench", *url, code=1).stderr)
        self.assertEqual(d.journal_lines(), [])
        d.stop()
        self.assertIn("Connection refused", self.ctl("bench", *url, code=1).stderr)
        small = self.start("small", args=["--max-message-bytes", "64K", "--max-op-bytes", "32K", "--max-string-bytes", "16K"])
        large = ("bench", "-n", "1000", "--batch", "100", "--size", "1K", "--url", small.url("http"))
        self.assertIn("larger than 65536 bytes", self.ctl(*large, code=1).stderr)
        self.assertIn("HTTP status 413", self.ctl(*large, "--transport", "http", code=1).stderr)
        small.stop()

    def test_interrupted(self):
        d = self.start()
        bench = self.spawn("bench", "-n", "100000000", "--json", "--url", d.url("http"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
        bench.stderr.readline()
        wait_until(lambda: d.get("/stats").json["total"] > 0, 20, "ops")
        bench.send_signal(signal.SIGINT)
        out, err = bench.communicate(timeout=60 * SLOW)
        self.assertEqual((bench.returncode, err), (130, ""))
        got = json.loads(out)
        self.assertGreater(got["recorded"], 0)
        self.assertLess(got["sent"], 100000000)
        d.stop()


if __name__ == "__main__":
    main()
