"""observerctl doctor: each probe's finding and fix, without a daemon, beside one, and where things are wrong."""

import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer

from harness import BUILD, SLOW, DaemonTest, free_port, main, wait_until

CTL = os.path.join(BUILD, "observerctl")


def port_of(url):
    return url.rsplit(":", 1)[1]


class Doctor(DaemonTest):
    def run_doctor(self, *args, user=None, **kw):
        env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        return subprocess.run([CTL, "doctor", *args], capture_output=True, text=True, timeout=60 * SLOW, env=env,
                              user=user, **kw)

    def doctor(self, *args, status=0, **kw):
        """{check: (status, text, fix)}"""
        if "--ports" not in args:
            args += ("--ports", str(free_port()))  # whatever this machine runs on the default ones
        done = self.run_doctor("--json", *args, **kw)
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.assertEqual(done.returncode, status, done.stdout)
        statuses = [c["status"] for c in report["checks"]]
        worst = "fail" if "fail" in statuses else "warn" if "warn" in statuses else "ok"
        self.assertEqual((report["status"], done.returncode), (worst, 1 if worst == "fail" else 0))
        for c in report["checks"]:
            self.assertEqual(set(c), {"check", "status", "text", "fix"})
            self.assertEqual(c["fix"] is None, c["status"] == "ok", c)
        return {c["check"]: (c["status"], c["text"], c["fix"]) for c in report["checks"]}

    def restart(self, url):
        if os.path.exists("/run/systemd/system") and os.path.exists("/etc/systemd/system/observerd.service"):
            return "sudo systemctl restart observerd"
        return "stop the observerd that answers at %s; then scripts/run.sh" % url

    def test_the_daemons_own_directory(self):
        """Without --data-dir it is that of the daemon which answers, wherever doctor runs."""
        d = self.start(args=["--journal-name", "my-ops.jsonl"])
        d.post("/v1/observer/event", {"endpoint": "/a"})
        health = d.get("/health").json
        self.assertEqual((health["data_dir"], health["journal_name"]), (d.data_dir, "my-ops.jsonl"))
        os.mkdir(os.path.join(self.tmp, "elsewhere"))
        got = self.doctor("--url", d.url("http"), cwd=os.path.join(self.tmp, "elsewhere"))
        self.assertEqual(got["data dir"][0], "ok")
        self.assertIn(d.data_dir, got["data dir"][1])
        self.assertIn("held by observerd (pid %d)" % d.pid, got["data lock"][1])
        self.assertIn(os.path.join(d.data_dir, "my-ops.jsonl"), got["journal"][1])
        self.assertEqual(got["producers"], ("ok", "no producer had a clock that was off within the last hour", None))
        got = self.doctor("--url", d.url("http"), "--data-dir", self.tmp)
        self.assertIn(self.tmp + ", owned by", got["data dir"][1])

    def test_this_machine_by_any_address(self):
        """A Unix socket and an address without a scheme are of this machine, and so is the directory."""
        unix = "ipc://" + os.path.join(self.tmp, "http.sock")
        d = self.start(http=["http://127.0.0.1:0", unix])
        for url in (unix, "127.0.0.1:" + port_of(d.url("http")), "LOCALHOST:" + port_of(d.url("http"))):
            got = self.doctor("--url", url)
            self.assertIn(d.data_dir + ", owned by", got["data dir"][1])
            self.assertIn("held by observerd (pid %d)" % d.pid, got["data lock"][1])

    def test_a_relative_directory_is_told_whole(self):
        d = self.make()
        d.data_dir = "here"
        d.start()
        self.assertEqual(d.get("/health").json["data_dir"], os.path.join(os.path.realpath(d.work_dir), "here"))

    def test_an_ephemeral_daemon(self):
        d = self.start(data_dir=None)
        self.assertEqual((d.get("/health").json["data_dir"], d.get("/health").json["journal_name"]), (None, None))
        got = self.doctor("--url", d.url("http"))
        self.assertEqual(got["data dir"],
                         ("ok", "none: the observerd that answers at %s is ephemeral" % d.url("http"), None))
        self.assertFalse({"data lock", "journal", "disk space"} & set(got))

    def test_a_journal_that_was_taken_away(self):
        d = self.start()
        d.post("/v1/observer/event", {"endpoint": "/a"})
        d.hold()  # before it notices
        self.addCleanup(d.process.send_signal, signal.SIGCONT)
        path = os.path.join(d.data_dir, "ops.jsonl")
        os.rename(path, path + ".1")
        got = self.doctor("--data-dir", d.data_dir, "--url", "http://127.0.0.1:1", status=1)
        d.process.send_signal(signal.SIGCONT)
        self.assertEqual(got["journal"], (
            "fail", path + " was removed or renamed while observerd records (use --segment-bytes and --retain-*, not "
            "logrotate)", "kill -USR1 %d; its log says where the rows are" % d.pid))
        wait_until(lambda: d.get("/readyz").status == 503, 10, "not ready")
        got = self.doctor("--url", d.url("http"), status=1)
        self.assertEqual(got["readyz"][2], "do not move, rotate or write to its files (--segment-bytes and --retain-* rotate "
                         "them); recording continues in a new file with the next op")

    def test_libraries(self):
        got = self.doctor("--data-dir", self.tmp)
        for name in ("NNG", "msgpack-c", "libcurl", "cJSON", "xxHash", "ncurses"):
            self.assertEqual(got[name][0], "ok", got[name])
            self.assertRegex(got[name][1], r"^version \d+\.\d+")

    def test_beside_a_daemon(self):
        d = self.start()
        d.post("/v1/observer/event", {"endpoint": "/a", "success": True})
        ports = [port_of(d.url(kind)) for kind in ("http", "pull", "rep")]
        version = d.get("/health").json["version"]
        got = self.doctor("--url", d.url("http"), "--data-dir", d.data_dir, "--ports", ",".join(ports))
        for port in ports:
            self.assertEqual(got["port " + port], (
                "ok", "taken by the observerd %s that answers at %s (pid %d)" % (version, d.url("http"), d.pid), None))
        self.assertEqual(got["data lock"], (
            "ok", "held by observerd (pid %d): a second daemon would refuse to start there" % d.pid, None))
        self.assertEqual(got["data dir"][0], "ok")
        path = os.path.join(d.data_dir, "ops.jsonl")
        self.assertEqual(got["journal"][1], "%s, %d bytes, its last row is whole" % (path, os.path.getsize(path)))
        self.assertEqual(got["daemon"], ("ok", "version %s answers at %s" % (version, d.url("http")), None))
        self.assertEqual((got["livez"][0], got["readyz"]), ("ok", ("ok", "able to record", None)))
        other = self.doctor("--ports", ports[1], "--data-dir", self.tmp, "--url", "http://127.0.0.1:1", status=1)
        self.assertEqual(other["port " + ports[1]], ("ok", "taken by an observerd (pid %d)" % d.pid, None))
        text = self.run_doctor("--url", d.url("http"), "--data-dir", d.data_dir, "--ports", ports[0])
        self.assertEqual((text.returncode, text.stderr), (0, ""))
        self.assertIn("\nok    readyz          able to record\n", text.stdout)
        self.assertRegex(text.stdout, r"\n0 failed, \d warnings?\n$")
        self.assertNotIn("\x1b", text.stdout)

    def test_ports(self):
        free = str(free_port())
        with socket.socket() as s, socket.socket(socket.AF_INET6) as six:
            s.bind(("127.0.0.1", 0))
            s.listen()
            six.bind(("::1", 0))
            six.listen()
            taken, taken6 = (str(sock.getsockname()[1]) for sock in (s, six))
            got = self.doctor("--ports", ",".join((free, taken, taken6)), "--data-dir", self.tmp, status=1)
            self.assertEqual(got["port " + free], ("ok", "free", None))
            with open("/proc/self/comm") as f:
                program = f.read().strip()
            for port in (taken, taken6):
                status, text, fix = got["port " + port]
                self.assertEqual((status, text), (
                    "fail", "taken by %s (pid %d), so observerd cannot listen there" % (program, os.getpid())))
                self.assertRegex(fix, r"^observerd --pull tcp://127\.0\.0\.1:\d+   \(another port; or stop process %d\)$"
                                 % os.getpid())
            if os.geteuid() == 0:
                got = self.doctor("--ports", taken, "--data-dir", "/tmp", user="nobody", cwd="/")
                self.assertEqual(got["port " + taken], (
                    "warn", "taken by a process of another user, which only root can see",
                    "sudo observerctl doctor --ports " + taken))
        got = self.doctor("--ports", taken, "--data-dir", self.tmp)
        self.assertEqual(got["port " + taken][0], "ok")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            with socket.create_connection(s.getsockname()) as client:
                port = str(client.getsockname()[1])
                self.assertEqual(self.doctor("--ports", port, "--data-dir", self.tmp)["port " + port], ("ok", "free", None))

    def test_data_directory(self):
        missing = os.path.join(self.tmp, "a", "b")
        got = self.doctor("--data-dir", missing)
        self.assertEqual(got["data dir"], ("ok", missing + " does not exist yet; observerd creates it", None))
        self.assertEqual(got["journal"][1], missing + "/ops.jsonl does not exist yet")
        self.assertNotIn("data lock", got)
        self.assertFalse(os.path.exists(os.path.dirname(missing)))
        relative = self.doctor("--data-dir", "x/y", cwd=self.tmp)
        self.assertEqual(relative["data dir"][0], "ok")
        plain = os.path.join(self.tmp, "file")
        with open(plain, "w"):
            pass
        got = self.doctor("--data-dir", plain, status=1)
        self.assertEqual(got["data dir"][:2], ("fail", plain + " is not a directory"))
        got = self.doctor("--data-dir", self.tmp)
        self.assertEqual(got["data lock"], ("ok", "free", None))
        if os.geteuid() != 0:
            return
        for path in (self.tmp, missing):
            os.chmod(self.tmp, 0o755)
            got = self.doctor("--data-dir", path, status=1, user="nobody", cwd="/")
            self.assertEqual((got["data dir"][0], got["data dir"][2]), (
                "fail", "sudo mkdir -p '%s' && sudo chown nobody '%s'" % (path, path)))
            self.assertIn("Permission denied", got["data dir"][1])

    @unittest.skipUnless(os.geteuid() == 0, "files of another user")
    def test_files_of_another_user(self):
        """Those of a daemon that once ran as root: one that runs as another user could not start."""
        os.chmod(self.tmp, 0o777)
        for name in ("lock", "ops.jsonl"):
            path = os.path.join(self.tmp, name)
            with open(path, "w"):
                pass
            os.chmod(path, 0o644)
            self.assertEqual(self.doctor("--data-dir", self.tmp)["data dir"][0], "ok")
            got = self.doctor("--data-dir", self.tmp, status=1, user="nobody", cwd="/")
            self.assertEqual(got["data dir"], ("fail", path + ", owned by root, cannot be written: Permission denied",
                                               "sudo chown -R nobody '%s'" % self.tmp))
            os.unlink(path)

    def test_lock_of_another_program(self):
        with open(os.path.join(self.tmp, "lock"), "w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            got = self.doctor("--data-dir", self.tmp, "--ports", str(free_port()), "--url", "http://127.0.0.1:1", status=1)
            self.assertIn("(pid %d)" % os.getpid(), got["data lock"][1])
        got = self.doctor("--data-dir", self.tmp)
        self.assertEqual(got["data lock"], ("ok", "free", None))

    def test_the_journals_end(self):
        path = os.path.join(self.tmp, "ops.jsonl")
        row = b'{"timestamp":"2026-01-02T03:04:05.000Z","endpoint":"/a","success":true}'
        for data, status, text in (
                (row + b"\n", "ok", "its last row is whole"), (b"bad\n" + row + b"\n", "ok", "its last row is whole"),
                (row + b"\n" + row, "ok", "its last row is whole"), (b"", "ok", "its last row is whole"),
                (row + b"\n" + row[:30], "warn", "is torn (json: truncated at byte 30); observerd cuts it off"),
                (row + b"\nbad\n", "warn", "is not an op: op: must be a map")):
            with open(path, "wb") as f:
                f.write(data)
            got = self.doctor("--data-dir", self.tmp)
            self.assertEqual(got["journal"][0], status, data)
            self.assertIn(text, got["journal"][1])
            if status == "warn":
                self.assertEqual(got["journal"][2], "observerctl check '%s'" % self.tmp)

    def test_limits(self):
        def limit(n):
            return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))

        for n, status in ((100, 1), (1000, 0), (4096, 0)):
            got = self.doctor("--data-dir", self.tmp, status=status, preexec_fn=limit(n))
            self.assertEqual(got["open files"][0], {100: "fail", 1000: "warn", 4096: "ok"}[n])
            self.assertIn("at most %d, " % n, got["open files"][1])
            self.assertTrue(n == 4096 or "LimitNOFILE=65536" in got["open files"][2])

    def test_room(self):
        got = self.doctor("--data-dir", os.path.join(self.tmp, "not", "there"))
        self.assertRegex(got["disk space"][1], r"^[\d.]+ [GM]iB free at %s \(\d+ %%\)$" % self.tmp)
        self.assertIn(got["clock"][0], ("ok", "warn"))
        self.assertRegex(got["clock"][1], r"^20\d\d-\d\d-\d\dT")
        self.assertIn("systemd unit", got)

    def test_no_daemon(self):
        url = "http://127.0.0.1:" + str(free_port())
        got = self.doctor("--data-dir", self.tmp, "--url", url, status=1)
        self.assertEqual((got["daemon"][0], got["daemon"][1]), ("fail", "does not answer: %s: Connection refused" % url))
        self.assertIn(got["daemon"][2], ("scripts/run.sh", "sudo systemctl start observerd"))
        self.assertNotIn("readyz", got)

    def test_the_default_daemon_may_be_away(self):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", 3800)) == 0:
                self.skipTest("something answers on port 3800")
        port = str(free_port())
        self.assertEqual(self.doctor("--data-dir", self.tmp, "--ports", port)["daemon"][0], "warn")
        with open(os.path.join(self.tmp, "lock"), "w") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            self.assertEqual(self.doctor("--data-dir", self.tmp, "--ports", port, status=1)["daemon"][0], "fail")

    def test_not_ready(self):
        d = self.start(args=["--fsync", "always"])
        answer = d.get("/readyz")
        self.assertEqual(answer.status, 200)
        limit = os.path.getsize(os.path.join(d.data_dir, "ops.jsonl")) + 100
        resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        d.post("/v1/observer/event", {"endpoint": "/a", "success": True, "correction": "x" * 500})
        wait_until(lambda: d.get("/readyz").status == 503, 10, "not ready")
        got = self.doctor("--data-dir", d.data_dir, "--url", d.url("http"), status=1)
        self.assertEqual((got["daemon"][0], got["livez"][0], got["readyz"][0]), ("ok", "ok", "fail"))
        self.assertRegex(got["readyz"][1], r"^not ready to record: .*File too large")
        resource.prlimit(d.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_until(lambda: d.get("/readyz").status == 200, 20, "ready again")

    def test_a_daemon_of_another_version(self):
        class Other(BaseHTTPRequestHandler):
            def do_GET(self):
                body = b'{"status":"ok","version":"9.9.9\\u001b[2J"}'
                self.send_response(200)
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
            got = self.doctor("--data-dir", self.tmp, "--url", url)
            self.assertEqual((got["daemon"][0], got["daemon"][2]), ("warn", self.restart(url)))
            self.assertIn("version 9.9.9", got["daemon"][1])
            self.assertNotIn("\x1b", self.run_doctor("--data-dir", self.tmp, "--url", url).stdout)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


if __name__ == "__main__":
    main()
