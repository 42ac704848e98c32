"""Which listeners a start allows: who can reach them, and what their peers must show."""

import json
import os
import signal
import subprocess

from harness import BUILD, OBSERVERD, SLOW, DaemonTest, free_port, main, wait_until
from keys import KeyFile, id_of, new_key, secret_of, with_wrong_check

OPEN = ("can be reached by others and is open to all: needs --keys, client certificates (TLS with --tls-ca), or --allow-open")
NOBODY = ("does not say who its peers are: needs ;key=ID, ;uid=NUMBER (ipc), client certificates (TLS with --tls-ca), or "
          "--allow-open")
PLAIN = "can be reached by others and is not encrypted: needs TLS (%s), or --allow-plain"
IS_OPEN = "can be reached by others and is open to all (--allow-open)"
IS_PLAIN = "can be reached by others and is not encrypted (--allow-plain)"
IS_PLAIN_HTTP = "can be reached by others and is not encrypted (https would be)"
BUS = ("pull", "sub", "rep", "feed")
TLS = ["--tls-cert", "/no/cert", "--tls-key", "/no/key"]


class Checked(DaemonTest):
    def check(self, *args, **env):
        """The lines with which these options are refused; [] when they are not."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        done = subprocess.run([OBSERVERD, "--check-config", *args], env={**clean, **env}, capture_output=True, text=True,
                              timeout=60 * SLOW, cwd=self.tmp)
        self.assertEqual(done.returncode, 2 if done.stderr else 0, done)
        return [line.removeprefix("observerd: ") for line in done.stderr.splitlines()]


class Rules(Checked):
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


class Keys(Checked):
    """With a key file HTTP asks for keys; a bus listener must say who its peers are, also on loopback."""

    def setUp(self):
        super().setUp()
        self.file = KeyFile(os.path.join(self.tmp, "keys.json"))

    def checked(self, kind, url, *more):
        off = [arg for k in BUS if k != kind for arg in ("--" + k, "none")]
        return self.check("--keys", self.file.path, *off, "--" + kind, url, *more)

    def test_http_needs_nothing_more(self):
        for url in ("http://127.0.0.1:0", "http://0.0.0.0:0", "ipc:///tmp/x"):
            self.assertEqual(self.checked("http", url), [], url)

    def test_a_bus_listener_says_who_its_peers_are(self):
        for kind in BUS:
            for url in ("tcp://127.0.0.1:0", "ipc:///tmp/x", "ws://127.0.0.1:0/x"):
                self.assertEqual(self.checked(kind, url), ["%s %s: %s" % (kind, url, NOBODY)])
                self.assertEqual(self.checked(kind, url, "--allow-open"), [])
            for url in ("ipc:///tmp/x;uid=0", "inproc://x", "dial:tcp://192.0.2.1:1"):
                self.assertEqual(self.checked(kind, url), [], url)
            for url in ("tls+tcp://0.0.0.0:0", "wss://127.0.0.1:0/x"):
                self.assertEqual(self.checked(kind, url, *TLS), ["%s %s: %s" % (kind, url, NOBODY)])
                self.assertEqual(self.checked(kind, url, *TLS, "--tls-ca", "/no/ca"), [])
        self.assertEqual(self.checked("pull", "tcp://0.0.0.0:0"), ["pull tcp://0.0.0.0:0: " + NOBODY, "pull tcp://0.0.0.0:0: " + PLAIN
                                                                   % "tls+tcp"])

    def test_the_key_of_a_listener(self):
        keys = {scope: id_of(self.file.add(scope, scope)) for scope in ("ingest", "read", "admin")}
        revoked = id_of(self.file.add("revoked", "admin", revoked="2026-01-01T00:00:00Z"))
        needs = {"http": {"ingest", "read"}, "pull": {"ingest"}, "sub": {"ingest"}, "rep": {"ingest", "read"}, "feed": {"read"}}
        for kind, scopes in needs.items():
            place = ("http" if kind == "http" else "tcp") + "://127.0.0.1:0;key="
            for scope, key in keys.items():
                wanted = [] if scope in scopes or scope == "admin" else [
                    "%s %s%s: key: %s may not do that: needs %s" % (kind, place, key, key, " or ".join(sorted(scopes)))]
                self.assertEqual(self.checked(kind, place + key), wanted)
            for key in (revoked, "nobody23"):
                self.assertEqual(self.checked(kind, place + key),
                                 ["%s %s%s: key: %s has no valid key %s" % (kind, place, key, self.file.path, key)])
        self.assertEqual(self.check("--pull", "tcp://127.0.0.1:0;key=a"), ["pull tcp://127.0.0.1:0;key=a: key: there is no key file"])

    def test_a_file_that_does_not_work_stops_the_start(self):
        for write, why in ((lambda: self.file.write(mode=0o644), "mode 0644: others can read it, must be 0600"),
                           (lambda: self.file.write(mode=0o640), "mode 0640: others can read it, must be 0600"),
                           (lambda: self.file.write("{}"), None), (lambda: os.unlink(self.file.path), None)):
            write()
            (line,) = self.checked("http", "http://127.0.0.1:0")
            self.assertTrue(line.startswith("keys: %s: %s" % (self.file.path, why or "")), line)
            code, stderr = self.make(args=["--keys", self.file.path], pull=None, sub=None, rep=None).run_to_exit()
            self.assertEqual((code, stderr.splitlines()[-1]), (1, "observerd: " + line))
        self.assertEqual([name for name in os.listdir(self.tmp) if not name.startswith("daemon.")], [])

    def test_a_name_that_came_to_nothing(self):
        """Whoever names a key file, and by mistake none, does not get a daemon that is open."""
        for empty in ("", "\n"):
            self.assertEqual(self.check(OBSERVER_KEYS=empty), ["keys: must not be empty (environment OBSERVER_KEYS)"])
        self.assertEqual(self.check("--keys", ""), ["keys: must not be empty (flag --keys)"])
        path = os.path.join(self.tmp, "observer.ini")
        with open(path, "w") as f:
            f.write("[security]\nkeys =\n")
        self.assertEqual(self.check("--config", path), ["keys: must not be empty (file %s, [security] keys)" % path])
        self.assertEqual(self.check(OBSERVER_TLS_CA="", OBSERVER_DATA_DIR=""), [])

    def test_no_keys_yet(self):
        """A file without keys is one: everything is refused until there are some."""
        daemon = self.start(None, args=["--keys", self.file.path], pull=None, sub=None, rep=None)
        self.assertEqual(daemon.get("/stats").status, 401)
        self.assertEqual(daemon.get("/readyz").status, 200)
        daemon.stop()

    def test_open_although_there_are_keys(self):
        key = self.file.add("a", "read")
        daemon = self.start(None, args=["--keys", self.file.path, "--allow-open"], sub=None, rep=None)
        text = "pull tcp://127.0.0.1:0 can be used without a key (--allow-open)\n"
        self.assertIn("warn observerd: " + text, daemon.stderr())
        self.assertIn("\nWARNING: " + text, daemon.stdout())
        self.assertEqual(daemon.get("/health", {"x-api-key": key}).json["access"]["open"], ["pull tcp://127.0.0.1:0"])
        self.assertEqual(daemon.get("/stats").status, 401)  # HTTP asks for keys all the same
        daemon.stop()


class Told(DaemonTest):
    """What is allowed is named where an operator looks."""

    def doctor(self, daemon):
        done = subprocess.run([os.path.join(BUILD, "observerctl"), "doctor", "--json", "--ports", str(free_port()), "--url",
                               daemon.url("http").replace("0.0.0.0", "127.0.0.1")], capture_output=True, text=True,
                              timeout=60 * SLOW)
        return [(c["status"], c["text"], c["fix"]) for c in json.loads(done.stdout)["checks"] if c["check"] == "access"]

    def access(self, daemon):
        access = daemon.get("/health").json["access"]
        return access["key_file"], access["open"], access["plain"]

    def test_nothing_is_open(self):
        daemon = self.start(None)
        self.assertEqual(self.access(daemon), ("none", [], []))
        self.assertEqual(self.doctor(daemon), [("ok", "no listener is open to others", None)])
        daemon.stop()
        self.assertNotIn("can be reached by others", daemon.stderr() + daemon.stdout())

    def test_what_is_open(self):
        daemon = self.start(None, args=["--allow-open", "--allow-plain"], http="http://0.0.0.0:0", pull="tcp://*:0")
        wanted = [("http http://0.0.0.0:0", IS_OPEN), ("http http://0.0.0.0:0", IS_PLAIN_HTTP), ("pull tcp://*:0", IS_OPEN),
                  ("pull tcp://*:0", IS_PLAIN)]
        daemon.push().close()
        names = ["http http://0.0.0.0:0", "pull tcp://*:0"]
        self.assertEqual(self.access(daemon), ("none", names, names))
        found = self.doctor(daemon)
        self.assertEqual([(status, text) for status, text, _ in found],
                         [("warn", "%s %s" % (name, text)) for text in
                          (IS_OPEN, "can be reached by others and is not encrypted") for name in names])
        self.assertTrue(all(fix for _, _, fix in found), found)
        daemon.stop()
        for name, text in wanted:
            self.assertIn("warn observerd: %s %s\n" % (name, text), daemon.stderr())
            self.assertIn("\nWARNING: %s %s\n" % (name, text), daemon.stdout())

    def test_the_text_of_a_key_is_never_shown(self):
        """Wherever it is given, whole, with a typo, or as the secret alone, and whatever is asked for: a refusal says what
        was meant, and shows no part of it."""
        key = new_key()
        takes_id = "must not hold the text of a key: ;key= takes the id, the third part of a key's text"
        not_text, keys = "must not hold the text of a key", KeyFile(os.path.join(self.tmp, "keys.json")).path
        file, gone = os.path.join(self.tmp, "observer.ini"), "tcp://127.0.0.1:0;key="
        for text in (key, with_wrong_check(key), key[:40], secret_of(key), key[6:]):
            parts = [key[i:i + 6] for i in range(15, len(key) - 5) if key[i:i + 6] in text]
            whole = text.startswith("obs_")
            cases = [(["--pull", gone + text], None, {}, takes_id if whole else "takes the id, the third part of a key's text"),
                     (["--pull=" + gone + text], None, {}, takes_id if whole else "takes the id, the third part of a key's text"),
                     (["--pull", gone + "a;key=" + text], None, {}, takes_id if whole else ";key=ID once"),
                     ([], "[bus]\npull = %s%s\n" % (gone, text), {}, "third part of a key's text"),
                     ([], None, {"OBSERVER_PULL": gone + text}, "third part of a key's text")]
            if whole:
                cases += [([text], None, {}, "unexpected argument"), (["--" + text], None, {}, "no such option"),
                          (["--" + text + "=1"], None, {}, "no such option"), (["-x" + text], None, {}, "no such option"),
                          (["--ephemeral=" + text], None, {}, not_text), (["--check-config=" + text], None, {}, not_text),
                          (["--tls-ca", text], None, {}, not_text), (["--cycle", text], None, {}, not_text),
                          (["--keys", text], None, {}, not_text), (["--model=" + text], None, {}, not_text),
                          (["--config", "/" + text], None, {}, not_text), (["--redact-pattern", "A=" + text], None, {}, not_text),
                          ([], "[bus]\n%s = 1\n" % text, {}, "no such option"), ([], "[%s]\npull = none\n" % text, {}, "pull"),
                          ([], "[bus]\n%s\n" % text, {}, "not a section"),
                          ([], "[bus]\n%s = %s\n" % (text, "x" * 600), {}, "longer than"),
                          ([], "[observerd]\nbind = %s\n" % text, {}, not_text),
                          ([], None, {"OBSERVER_MODEL": text}, not_text), ([], None, {"OBSERVER_LOG_LEVEL": text}, not_text),
                          ([], None, {"OBSERVER_PORT": text}, not_text), ([], None, {"GATEWAY_URL": "http://a/" + text}, not_text),
                          (["--allow-open"], None, {"OBSERVER_PORT": "tcp://" + text}, "ignored")]
            for args, lines, env, why in cases:
                if lines is not None:
                    with open(file, "w", encoding="utf-8") as out:
                        out.write(lines)
                    args = ["--config", file, *args]
                for asked in ("--check-config", "--sample-config", "--ephemeral"):
                    if why == "ignored" and asked == "--ephemeral":
                        continue  # it runs
                    clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
                    given = [asked, "--sub", "none", "--rep", "none", "--feed", "none"]
                    given += ["--keys", keys] if "--keys" not in args else []
                    done = subprocess.run([OBSERVERD, *given, *args], env={**clean, **env}, capture_output=True, text=True,
                                          timeout=60 * SLOW, cwd=self.tmp)
                    said = done.stdout + done.stderr
                    self.assertEqual([part for part in parts if part in said], [], (args, lines, env, said))
                    if asked != "--sample-config":
                        self.assertIn(why, said)
                        self.assertEqual(done.returncode != 0, why != "ignored", done)

    def test_the_password_of_a_url_is_not_shown(self):
        done = subprocess.run([OBSERVERD, "--check-config", "--openai-url=http://hunter22@models.example:1/v1"],
                              capture_output=True, text=True, timeout=60 * SLOW, cwd=self.tmp)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("# flag --openai-url=http://***@models.example:1/v1\nopenai_url = http://***@models.example:1/v1\n",
                      done.stdout)

    def test_a_refused_start_leaves_nothing(self):
        code, stderr = self.make(pull="tcp://0.0.0.0:0").run_to_exit()
        self.assertEqual((code, stderr.splitlines()), (2, ["observerd: pull tcp://0.0.0.0:0: " + OPEN,
                                                           "observerd: pull tcp://0.0.0.0:0: " + PLAIN % "tls+tcp"]))
        self.assertEqual(os.listdir(self.tmp), ["daemon.1"])


if __name__ == "__main__":
    main()
