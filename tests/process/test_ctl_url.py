"""One --url leads to everything of a daemon, and to nothing of another one."""

import http.server
import json
import signal
import subprocess
import threading

from ctl import CtlTest, free_url
from harness import SLOW, free_port, main, wait_until


class Url(CtlTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start(feed="tcp://127.0.0.1:0")
        self.url = self.daemon.url("http")

    def env(self, **names):
        return {**self.environment(), **names}

    def total(self, daemon=None):
        return (daemon or self.daemon).get("/v1/observer/health").json["seq"]

    def test_publishing_commands_find_their_socket(self):
        op = json.dumps({"endpoint": "/e", "success": True})
        rows = self.path("rows.jsonl", op + "\n")
        self.ctl("pub", "--url", self.url, "--data", op)
        self.daemon.wait_total(1)
        self.ctl("--url", self.url, "run", "--", "true")
        self.ctl("-u", self.url, "replay", rows)
        self.ctl("replay", rows, env=self.env(OBSERVER_URL=self.url))
        self.ctl("rejected", "replay", "--url", self.url, "--data-dir", self.tmp)
        self.assertEqual(self.total(), 4)

    def test_before_or_after_the_command_or_in_the_environment(self):
        self.ctl("pub", "--url", self.url, "--endpoint", "/e", "--success")
        self.daemon.wait_total(1)
        port = self.url.rsplit(":", 1)[1]
        want = self.ctl("stats", "--json", "--url", self.url).stdout
        self.assertEqual(json.loads(want)["total"], 1)
        for args, env in ((("--url", self.url, "stats", "--json"), {}), (("--url=" + self.url, "stats", "--json"), {}),
                          (("-u", self.url, "stats", "--json"), {"OBSERVER_URL": "http://127.0.0.1:9"}),
                          (("stats", "--json"), {"OBSERVER_URL": self.url, "OBSERVER_HTTP": "http://127.0.0.1:9"}),
                          (("stats", "--json"), {"OBSERVER_HTTP": self.url}),
                          (("stats", "--json"), {"OBSERVER_HTTP": "ipc:///tmp/x,listen:http://0.0.0.0:%s" % port}),
                          (("stats", "--json"), {"OBSERVER_HTTP": "http://*:%s\n" % port})):
            self.assertEqual(self.ctl(*args, env=self.env(**env)).stdout, want, (args, env))
        self.assertIn("http://127.0.0.1:9: ",
                      self.ctl("stats", "--url", "http://127.0.0.1:9", env=self.env(OBSERVER_HTTP=self.url), code=1).stderr)

    def test_a_unix_socket(self):
        url = "ipc://" + self.path("http.sock")
        d = self.start("unix", http=url, feed="tcp://127.0.0.1:0")
        self.ctl("pub", "--url", url, "--endpoint", "/e", "--success")
        self.assertEqual(json.loads(self.ctl("--url", url, "stats", "--json").stdout)["total"], 1)
        self.assertTrue(self.ctl("status", "--url", url).stdout.endswith(", " + url + "\n"))
        self.assertEqual(self.result("bench", "--yes", "-n", "10", "--batch", "5", "--transport", "http", "--url", url)["recorded"], 10)
        d.kill()
        self.assertIn("observerctl stats: %s: " % url, self.ctl("stats", "--url", url, code=1).stderr)

    def test_a_daemon_that_is_away_is_an_error(self):
        away = free_url().replace("tcp:", "http:")
        for args in (("pub", "--endpoint", "/e", "--success"), ("replay", self.path("x", "{}\n")), ("tail", "-n", "0")):
            for words, env in ((("--url", away), {}), ((), {"OBSERVER_URL": away}), ((), {"OBSERVER_HTTP": away})):
                done = self.ctl(*args, *words, env=self.env(**env), code=1)
                self.assertRegex(done.stderr, r"^observerctl %s: %s: .*[Cc]onnect.* \(is observerd running there\? It would say "
                                 r"where its (PULL socket|REP socket|feed) is; --(push|req|feed) URL gives the address directly\)\n$" % (args[0], away))
        self.assertEqual(self.total(), 0)

    def test_a_socket_that_the_daemon_does_not_have(self):
        daemon = self.start("other", feed="none", rep="none", pull="none")
        url = daemon.url("http")
        for args, what in ((("tail",), "feed that can be reached from here (--feed URL"),
                           (("pub", "--endpoint", "/e"), "REP socket that can be reached from here (--req URL"),
                           (("pub", "--no-ack", "--endpoint", "/e"), "PULL socket that can be reached from here (--push URL"),
                           (("replay", self.path("x", "{}\n")), "REP socket that can be reached from here (--req URL")):
            self.assertEqual(self.ctl(*args, "--url", url, code=1).stderr,
                             "observerctl %s: %s: the daemon has no %s gives the address of one)\n" % (args[0], url, what))

    def test_another_machine_is_asked_for_its_sockets_at_its_own_address(self):
        """What listens on every address, or on loopback only, is looked for where the daemon answers."""
        urls = {"rep": ["tcp://127.0.0.1:1"], "pull": ["ipc:///nowhere/pull", "tcp://0.0.0.0:2"], "feed": ["ipc:///nowhere/feed"]}

        class Health(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"status": "ok", "seq": 0, "urls": urls}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Health)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        port = server.server_address[1]
        # libcurl takes any name below localhost for this machine; for observerctl it is another one.
        for host, words, peer in (("far.localhost", (), "tcp://far.localhost:1"), ("far.localhost", ("--no-ack",), "tcp://far.localhost:2"),
                                  ("127.0.0.1", (), "tcp://127.0.0.1:1"), ("127.0.0.1", ("--no-ack",), "ipc:///nowhere/pull")):
            for scheme in ("http://", ""):
                done = self.ctl("pub", "--url", "%s%s:%d" % (scheme, host, port), "--endpoint", "/e", "--timeout", "300", *words, code=1)
                self.assertTrue(done.stderr.startswith("observerctl pub: %s: " % peer), done.stderr)
        self.assertIn("has no feed that can be reached from here", self.ctl("tail", "--url", "http://far.localhost:%d" % port, code=1).stderr)

    def test_the_spool_keeps_what_a_daemon_that_is_away_does_not_get(self):
        away = "http://127.0.0.1:%d" % free_port()
        spool = self.path("spool")
        done = self.ctl("run", "--url", away, "--spool", spool, "--timeout", "300", "--", "true")
        self.assertIn("observerctl run: kept in the spool: %s: " % away, done.stderr)
        self.ctl("run", "--url", self.url, "--spool", spool, "--", "true")
        self.daemon.wait_total(2)

    def follow(self, *args, **kw):
        with open(self.path("out"), "w") as out, open(self.path("err"), "w") as err:
            return self.spawn("tail", "--json", *args, stdin=subprocess.DEVNULL, stdout=out, stderr=err, **kw)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def test_tail_waits_for_its_own_daemon(self):
        """While it waits, and while it is away, another daemon's ops are not shown."""
        port = free_port()
        url = "http://127.0.0.1:%d" % port
        tail = self.follow("--url", url, "--wait", "-n", "5", env=self.env(OBSERVER_HTTP=self.url))
        wait_until(lambda: "waiting for the daemon" in self.read("err"), 20, "the message")
        self.ctl("pub", "--url", self.url, "--endpoint", "/wrong", "--success")
        self.daemon.wait_total(1)
        other = self.start("other", http=url, feed="tcp://127.0.0.1:0")
        self.ctl("pub", "--url", url, "--endpoint", "/right", "--success")
        wait_until(lambda: "/right" in self.read("out"), 20, "the op")
        wait_until(lambda: "the daemon is there" in self.read("err"), 20, "a message of the feed")
        other.kill()
        wait_until(lambda: "the daemon is away" in self.read("err"), 20, "away")
        self.ctl("pub", "--url", self.url, "--endpoint", "/wrong", "--success")
        self.daemon.wait_total(2)
        other.sockets["http"] = url
        other.start()
        wait_until(lambda: "the daemon is back" in self.read("err"), 20, "back")
        self.ctl("pub", "--url", url, "--endpoint", "/again", "--success")
        wait_until(lambda: "/again" in self.read("out"), 20, "the next op")
        tail.send_signal(signal.SIGINT)
        self.assertEqual(tail.wait(20 * SLOW), 0)
        self.assertEqual([json.loads(line)["endpoint"] for line in self.read("out").splitlines()], ["/right", "/again"])

    def test_recorded_ops_come_from_the_daemon_of_the_feed(self):
        other = self.start("other", feed="tcp://127.0.0.1:0")
        self.ctl("pub", "--url", self.url, "--endpoint", "/wrong", "--success")
        self.daemon.wait_total(1)
        done = self.ctl("tail", "--feed", other.url("feed"), "--timeout", "500")
        self.assertEqual(done.stdout, "")
        self.assertIn("no recorded ops: ", done.stderr)


if __name__ == "__main__":
    main()
