"""Which listeners a start allows: who can reach them, and what their peers must show."""

import json
import os
import signal
import subprocess

from harness import BUILD, OBSERVERD, SLOW, DaemonTest, free_port, main, wait_until

OPEN = "can be reached by others and is open to all: needs client certificates (TLS with --tls-ca), or --allow-open"
PLAIN = "can be reached by others and is not encrypted: needs TLS (%s), or --allow-plain"
IS_OPEN = "can be reached by others and is open to all (--allow-open)"
IS_PLAIN = "can be reached by others and is not encrypted (--allow-plain)"
IS_PLAIN_HTTP = "can be reached by others and is not encrypted (https would be)"
BUS = ("pull", "sub", "rep", "feed")
TLS = ["--tls-cert", "/no/cert", "--tls-key", "/no/key"]


class Rules(DaemonTest):
    def check(self, *args, **env):
        """The lines with which these options are refused; [] when they are not."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        done = subprocess.run([OBSERVERD, "--check-config", *args], env={**clean, **env}, capture_output=True, text=True,
                              timeout=60 * SLOW, cwd=self.tmp)
        self.assertEqual(done.returncode, 2 if done.stderr else 0, done)
        return [line.removeprefix("observerd: ") for line in done.stderr.splitlines()]

    def test_what_only_this_machine_reaches_needs_nothing(self):
        for kind in BUS:
            for url in ("tcp://127.0.0.1:0", "tcp://127.9.9.9:0", "tcp://[::1]:0", "tcp://localhost:0", "ws://127.0.0.1:0/x",
                        "ipc:///tmp/x", "inproc://x", "dial:tcp://192.0.2.1:1", "dial:ws://192.0.2.1:1/x"):
                self.assertEqual(self.check("--" + kind, url), [], (kind, url))
        for url in ("http://127.0.0.1:0", "http://[::1]:0", "http://localhost:0", "ipc:///tmp/x"):
            self.assertEqual(self.check("--http", url), [], url)

    def test_others_are_refused_by_name(self):
        for place in ("0.0.0.0:0", "*:0", "[::]:0", "192.0.2.1:0", "observer.example:0", "[::ffff:127.0.0.1]:0"):
            url = "http://" + place
            self.assertEqual(self.check("--http", url), ["http %s: %s" % (url, OPEN)])
            self.assertEqual(self.check("--http", url, "--allow-plain"), ["http %s: %s" % (url, OPEN)])
            self.assertEqual(self.check("--http", url, "--allow-open"), [])
            for kind in BUS:
                for scheme, better in (("tcp", "tls+tcp"), ("ws", "wss")):
                    url = "%s://%s" % (scheme, place)
                    is_open, plain = ("%s %s: %s" % (kind, url, text) for text in (OPEN, PLAIN % better))
                    self.assertEqual(self.check("--" + kind, url), [is_open, plain])
                    self.assertEqual(self.check("--" + kind, url, "--allow-open"), [plain])
                    self.assertEqual(self.check("--" + kind, url, "--allow-plain"), [is_open])
                    self.assertEqual(self.check("--" + kind, url, "--allow-plain", "--allow-open"), [])

    def test_client_certificates_are_enough(self):
        for kind, urls in (("http", ["https://0.0.0.0:0"]), *((kind, ["tls+tcp://0.0.0.0:0", "wss://0.0.0.0:0"]) for kind in BUS)):
            for url in urls:
                self.assertEqual(self.check("--" + kind, url, *TLS), ["%s %s: %s" % (kind, url, OPEN)])
                self.assertEqual(self.check("--" + kind, url, *TLS, "--allow-open"), [])
                self.assertEqual(self.check("--" + kind, url, *TLS, "--tls-ca", "/no/ca"), [])
        # They are of TLS alone.
        self.assertEqual(self.check("--http", "http://0.0.0.0:0", *TLS, "--tls-ca", "/no/ca"), ["http http://0.0.0.0:0: " + OPEN])

    def test_every_way_to_say_it(self):
        url = "http://0.0.0.0:0"
        path = os.path.join(self.tmp, "observer.ini")
        with open(path, "w") as f:
            f.write("[observerd]\nbind = :0\n")
        self.assertEqual(self.check("--config", path), ["http %s: %s" % (url, OPEN)])
        self.assertEqual(self.check("--config", path, OBSERVER_ALLOW_OPEN="yes"), [])
        with open(path, "a") as f:
            f.write("[security]\nallow_open = yes\n")
        self.assertEqual(self.check("--config", path), [])
        self.assertEqual(self.check("--config", path, "--allow-open=no"), ["http %s: %s" % (url, OPEN)])

    def test_a_reload_is_refused_as_a_start_is(self):
        path = os.path.join(self.tmp, "observer.ini")
        for feed in ("none", "tls+tcp://0.0.0.0:0"):
            with open(path, "w") as f:
                f.write("[bus]\nfeed = %s\n[security]\ntls_cert = /no/cert\ntls_key = /no/key\n" % feed)
            if feed == "none":
                daemon = self.start(None, args=["--config", path], feed=[])
        daemon.process.send_signal(signal.SIGHUP)
        line = "reload refused, nothing changed: feed tls+tcp://0.0.0.0:0: " + OPEN
        wait_until(lambda: line in daemon.stderr(), 10, "the refusal")
        self.assertEqual(daemon.get("/livez").status, 200)
        daemon.stop()


class Told(DaemonTest):
    """What is allowed is named where an operator looks."""

    def doctor(self, daemon):
        done = subprocess.run([os.path.join(BUILD, "observerctl"), "doctor", "--json", "--ports", str(free_port()), "--url",
                               daemon.url("http").replace("0.0.0.0", "127.0.0.1")], capture_output=True, text=True,
                              timeout=60 * SLOW)
        return [(c["status"], c["text"], c["fix"]) for c in json.loads(done.stdout)["checks"] if c["check"] == "access"]

    def test_nothing_is_open(self):
        daemon = self.start(None)
        self.assertEqual(daemon.get("/health").json["access"], {"open": [], "plain": []})
        self.assertEqual(self.doctor(daemon), [("ok", "no listener is open to others", None)])
        daemon.stop()
        self.assertNotIn("can be reached by others", daemon.stderr() + daemon.stdout())

    def test_what_is_open(self):
        daemon = self.start(None, args=["--allow-open", "--allow-plain"], http="http://0.0.0.0:0", pull="tcp://*:0")
        wanted = [("http http://0.0.0.0:0", IS_OPEN), ("http http://0.0.0.0:0", IS_PLAIN_HTTP), ("pull tcp://*:0", IS_OPEN),
                  ("pull tcp://*:0", IS_PLAIN)]
        daemon.push().close()
        names = ["http http://0.0.0.0:0", "pull tcp://*:0"]
        self.assertEqual(daemon.get("/health").json["access"], {"open": names, "plain": names})
        found = self.doctor(daemon)
        self.assertEqual([(status, text) for status, text, _ in found],
                         [("warn", "%s %s" % (name, text)) for text in
                          (IS_OPEN, "can be reached by others and is not encrypted") for name in names])
        self.assertTrue(all(fix for _, _, fix in found), found)
        daemon.stop()
        for name, text in wanted:
            self.assertIn("warn observerd: %s %s\n" % (name, text), daemon.stderr())
            self.assertIn("\nWARNING: %s %s\n" % (name, text), daemon.stdout())

    def test_a_refused_start_leaves_nothing(self):
        code, stderr = self.make(pull="tcp://0.0.0.0:0").run_to_exit()
        self.assertEqual((code, stderr.splitlines()), (2, ["observerd: pull tcp://0.0.0.0:0: " + OPEN,
                                                           "observerd: pull tcp://0.0.0.0:0: " + PLAIN % "tls+tcp"]))
        self.assertEqual(os.listdir(self.tmp), ["daemon.1"])


if __name__ == "__main__":
    main()
