"""Keys and TLS of the clients against a real daemon: libobserver in its three modes, and observerctl over HTTP, the bus and the
feed. What they say when a key, a certificate or a file is wrong; that ops wait for a valid key and none is lost; that a key is
sent where nobody can listen, and is never shown."""

import http.client
import json
import os
import re
import ssl
import stat
from urllib.parse import urlsplit

from certificates import HERE, Authority
from client_harness import Tool
from ctl import CtlTest
from harness import free_port, main, wait_until
from keys import KeyFile, id_of, new_key

NEEDED = "a valid key is needed"
UNKNOWN_AUTHORITY = "TLS failed: the daemon's certificate is not trusted: unable to get local issuer certificate"
# NNG, by which the feed is followed, does not tell these apart.
UNTRUSTED = ("TLS failed: the daemon's certificate is of another authority than those trusted, has expired or is for another name, "
             "or the daemon wants a certificate of this side")


class ClientsTest(CtlTest):
    def setUp(self):
        super().setUp()
        self.ca = Authority(self.tmp)
        # NNG of Debian 12 looks for an address among the DNS names only.
        self.names = HERE + ("DNS:127.0.0.1",)
        self.server = self.ca.issue("server", names=self.names)
        self.keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        self.listeners = self.keys.add("listeners", "read")
        self.pushes = self.keys.add("pushes", "ingest")
        self.admin = self.keys.add("admin", "admin")
        self.mine = self.keys.add("mine", "ingest")

    def serve(self, data_dir="data", args=(), **urls):
        """A daemon with keys and TLS. `rep` may ask questions only, unless the requester has a key."""
        reads, writes = ";key=" + id_of(self.listeners), ";key=" + id_of(self.pushes)
        here = "tls+tcp://127.0.0.1:0"
        urls = {"http": "https://127.0.0.1:0", "pull": here + writes, "sub": here + writes, "rep": here + reads,
                "feed": here + reads, **urls}
        return self.start(data_dir, args=["--keys", self.keys.path, "--tls-cert", self.server.cert, "--tls-key", self.server.key,
                                          *args], **urls)

    def file_of(self, key, name="my-key", mode=0o600):
        path = self.path(name, (key + "\n").encode())
        os.chmod(path, mode)
        return path

    def tool(self, mode, url, **arguments):
        arguments.setdefault("tls_ca", self.ca.cert)
        tool = Tool(self.tmp, mode=mode, url=url, **arguments)
        self.addCleanup(tool.kill)
        return tool

    def rows(self, daemon):
        rows = daemon.journal_rows()
        return [(row["key_id"], int(row["sig_hash"])) for row in rows]


class Library(ClientsTest):
    def test_acknowledged_over_tls_and_ipc(self):
        ipc = "ipc://" + os.path.join(self.tmp, "rep")
        daemon = self.serve(rep=[one + ";key=" + id_of(self.listeners) for one in ("tls+tcp://127.0.0.1:0", ipc)])
        mine = self.file_of(self.mine)
        for first, arguments in ((0, {"key": self.mine}), (100, {"key_file": mine})):
            for n in (0, 1):
                done = self.tool("ack", daemon.url("rep", n), count=50, first=first + 1000 * n, flush=20000, **arguments)
                result = done.result()
                self.assertEqual((result["flush"], result["flushed"]["delivered"], result["trouble"], result["trouble_text"]),
                                 ("ok", 50, "ok", ""))
        wanted = [(id_of(self.mine), first + i) for first in (0, 100, 1000, 1100) for i in range(50)]
        self.assertEqual(sorted(self.rows(daemon)), sorted(wanted))

    def test_without_a_key_it_waits(self):
        daemon = self.serve()
        url = daemon.url("rep")
        for arguments, said in (({"key": ""}, "this key may not do that: needs ingest"), ({"key": new_key()}, NEEDED)):
            tool = self.tool("ack", url, count=5, close=0, end="hold", flush=2000, **arguments)
            result = tool.ready().result()
            self.assertEqual((result["trouble"], result["trouble_text"]), ("not permitted", said))
            self.assertEqual((result["flushed"]["queued"], result["flushed"]["rejected"]), (5, 0))
        self.assertEqual(daemon.journal_rows(), [])

    def test_a_key_that_is_revoked_and_replaced(self):
        """The ops of a producer that runs on wait, and go out with the key that the file has then."""
        daemon = self.serve()
        path = self.file_of(self.mine)
        tool = self.tool("ack", daemon.url("rep"), count=4000, rate=1000, key_file=path, retry_max_ms=200, flush=60000,
                         spool=os.path.join(self.tmp, "spool"), delivery=1)
        wait_until(lambda: len(daemon.journal_rows()) > 500, 20, "ops")
        self.keys.revoke(self.mine)
        counts = {"authorization": "Bearer " + self.admin}

        def refused():
            return daemon_health(daemon, self.ca, counts)["access"]["denied"] > 0
        wait_until(refused, 20, "refused ops")
        other = self.keys.add("other", "ingest")
        self.file_of(other)
        result = tool.result()
        self.assertEqual((result["flush"], result["trouble"], result["reported_once"]), ("ok", "ok", 4000))
        rows = self.rows(daemon)
        self.assertEqual(sorted(n for _, n in rows), list(range(4000)))
        self.assertEqual({key for key, _ in rows}, {id_of(self.mine), id_of(other)})

    def test_a_daemon_that_is_killed(self):
        port = free_port()
        daemon = self.serve(rep="tls+tcp://127.0.0.1:%d;key=%s" % (port, id_of(self.listeners)))
        tool = self.tool("ack", "tls+tcp://127.0.0.1:%d" % port, count=3000, rate=1000, key=self.mine, delivery=1, flush=60000)
        for wanted in (300, 1500):
            wait_until(lambda: len(daemon.journal_rows()) > wanted, 30, "ops")
            daemon.restart(kill=True)
        result = tool.result()
        self.assertEqual((result["flush"], result["reported_once"]), ("ok", 3000))
        self.assertEqual(sorted(n for _, n in self.rows(daemon)), list(range(3000)))

    def test_exit_without_close_over_tls(self):
        """Nothing ends in a crash while OpenSSL goes away under the client's thread."""
        daemon = self.serve()
        for n in range(20):
            self.tool("push", daemon.url("pull"), count=2000, flush=1 + n % 3 * 20, end="exit").result()

    def test_best_effort_over_tls(self):
        wss = "wss://127.0.0.1:0/x;key=" + id_of(self.pushes)
        daemon = self.serve(pull=["tls+tcp://127.0.0.1:0;key=" + id_of(self.pushes), wss])
        for mode, url in (("push", daemon.url("pull", 0)), ("push", daemon.url("pull", 1)), ("pub", daemon.url("sub"))):
            result = self.tool(mode, url, count=20, key=self.mine, flush=20000).result()
            self.assertEqual((result["flush"], result["trouble"]), ("ok", "ok"))
            self.assertEqual(result["trouble_text"], "the key is not sent: %s has no answer that could ask for one" % mode.upper())
        wait_until(lambda: len(daemon.journal_rows()) == 60, 20, "the ops")
        self.assertEqual({key for key, _ in self.rows(daemon)}, {id_of(self.pushes)})

    def test_plain_tcp_has_no_key(self):
        daemon = self.serve(rep="tcp://127.0.0.1:0;key=" + id_of(self.pushes))
        url = daemon.url("rep")
        result = self.tool("ack", url, count=5, key=self.mine, flush=20000).result()
        self.assertEqual((result["flush"], result["trouble"]), ("ok", "ok"))
        self.assertEqual(result["trouble_text"],
                         "the key is not sent over %s, where others could read it: tls+tcp:// or ipc:// is needed" % url)
        self.assertEqual({key for key, _ in self.rows(daemon)}, {id_of(self.pushes)})

    def test_certificates_that_are_wrong(self):
        other = Authority(self.tmp, "other")
        old = self.ca.issue("old", names=self.names, days=(-20, -10))
        mailer = self.ca.issue("mailer", names=(), client=True)
        open_one = self.serve("one")
        url = open_one.url("pull")
        expired = self.start("two", pull="tls+tcp://127.0.0.1:0", args=["--tls-cert", old.cert, "--tls-key", old.key])
        named = self.ca.issue("elsewhere", names=("DNS:elsewhere.example",))
        elsewhere = self.start("four", pull="tls+tcp://127.0.0.1:0", args=["--tls-cert", named.cert, "--tls-key", named.key])
        wants = self.start("three", pull="tls+tcp://127.0.0.1:0",
                           args=["--tls-cert", self.server.cert, "--tls-key", self.server.key, "--tls-ca", self.ca.cert])
        gone = "tls+tcp://127.0.0.1:%d" % free_port()

        def trouble(url, **arguments):
            result = self.tool("push", url, flush=1500, close=0, **arguments).result()
            self.assertEqual((result["trouble"], result["flushed"]["delivered"]), ("network error", 0), result["trouble_text"])
            return result["trouble_text"]
        self.assertEqual(trouble(url, tls_ca=other.cert), "%s: %s" % (url, UNKNOWN_AUTHORITY))
        self.assertEqual(trouble(url, tls_ca=""), "%s: %s" % (url, UNKNOWN_AUTHORITY))  # the system's authorities
        url = expired.url("pull")
        self.assertEqual(trouble(url), "%s: TLS failed: the daemon's certificate is not trusted: certificate has expired" % url)
        url = elsewhere.url("pull")
        self.assertEqual(trouble(url), "%s: TLS failed: the daemon's certificate does not name 127.0.0.1" % url)
        url = wants.url("pull")
        self.assertRegex(trouble(url), r"\A%s: TLS failed: .*: does the daemon want a certificate of this side\?\Z" % re.escape(url))
        self.assertEqual(trouble(gone), gone + ": Connection refused")
        result = self.tool("push", url, count=5, tls_cert=mailer.cert, tls_key=mailer.key, flush=20000).result()
        self.assertEqual((result["flush"], result["trouble"]), ("ok", "ok"))

    def test_files_that_are_wrong(self):
        junk = self.path("junk", b"no certificate\n")
        for arguments, why in (({"tls_ca": "/nope"}, "tls_ca /nope: No such file or directory"),
                               ({"tls_ca": junk}, "tls_ca %s: it is no PEM file of certificates" % junk),
                               ({"tls_cert": self.server.cert}, "tls_cert: needs tls_key too"),
                               ({"tls_cert": self.server.cert, "tls_key": junk},
                                "tls_key %s: it is no PEM file of a private key without a passphrase" % junk),
                               ({"tls_cert": junk, "tls_key": self.server.key}, "tls_cert %s: it is no PEM file of a certificate" % junk),
                               ({"key_file": "/nope"}, "key_file /nope: No such file or directory")):
            result = self.tool("ack", "tls+tcp://localhost:9", **arguments).result(code=1)
            self.assertEqual(result["why"], why)


def daemon_health(daemon, ca, headers):
    """Of a daemon with https."""
    parts = urlsplit(daemon.url("http"))
    conn = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=10, context=ssl.create_default_context(cafile=ca.cert))
    try:
        conn.request("GET", "/v1/observer/health", headers=headers)
        return json.loads(conn.getresponse().read())
    finally:
        conn.close()


class Ctl(ClientsTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.serve()
        self.url = self.daemon.url("http").replace("127.0.0.1", "localhost")
        self.secrets = [self.mine, self.admin, self.pushes, self.listeners]

    def ask(self, key, *args, code=0, tls=True, env=None, **kw):
        """observerctl ARGS with that key (None: none), from a file; no key is ever shown."""
        words = [args[0], "--url", self.url, *(["--tls-ca", self.ca.cert] if tls else []),
                 *(["--key-file", self.file_of(key)] if key else []), *args[1:]]
        done = self.ctl(*words, code=code, env={**self.environment(), **(env or {})}, **kw)
        for secret in self.secrets:
            self.assertNotIn(secret.split("_")[3], done.stdout + done.stderr)
        return done

    def publish(self, *args, key=None, **kw):
        return self.ask(key or self.mine, "pub", "--endpoint", "/a", "--success", *args, **kw)

    def test_https_with_a_key(self):
        self.assertIn("ops", self.ask(self.admin, "stats").stdout)
        self.ctl("stats", "--url", self.url, "--tls-ca", self.ca.cert, env={**self.environment(), "OBSERVER_KEY": self.admin})
        env = {**self.environment(), "OBSERVER_KEY": "wrong", "OBSERVER_KEY_FILE": self.file_of(self.admin),
               "OBSERVER_TLS_CA": self.ca.cert, "OBSERVER_URL": self.url}
        self.ctl("status", env=env)  # the file wins
        self.ctl("--key-file", self.file_of(self.admin), "--tls-ca", self.ca.cert, "--url", self.url, "stats")  # before the command

    def test_what_is_refused_is_explained(self):
        hint = ": set OBSERVER_KEY_FILE or give --key-file FILE"
        self.assertEqual(self.flat(self.ask(None, "stats", code=1)), "observerctl stats: " + NEEDED + hint)
        self.secrets.append(wrong := new_key("r"))
        self.assertEqual(self.flat(self.ask(wrong, "stats", code=1)),
                         "observerctl stats: %s: this one is unknown there, has expired or was revoked (`observerctl key list` "
                         "there)" % NEEDED)
        self.assertEqual(self.flat(self.ask(self.mine, "stats", code=1)),
                         "observerctl stats: this key may not do that: needs read (`observerctl key check` says what it may)")
        for _ in range(20):
            limited = self.flat(self.ask(wrong, "stats", code=1))
            if "too many" in limited:
                break
        self.assertRegex(limited, r"\Aobserverctl stats: too many wrong keys from this address; try again in a second \(in \d+ s\)\Z")

    @staticmethod
    def flat(done):
        return " ".join(done.stderr.split())

    def test_certificates(self):
        other = Authority(self.tmp, "other")
        said = self.flat(self.ctl("stats", "--url", self.url, "--tls-ca", other.cert, code=1))
        self.assertIn("%s: SSL certificate problem: " % self.url, said)
        said = self.flat(self.ctl("stats", "--url", self.url, "--tls-ca", "/nope", code=1))
        self.assertEqual(said, "observerctl stats: --tls-ca /nope: No such file or directory")
        said = self.flat(self.ctl("stats", "--url", self.url, "--tls-cert", self.server.cert, code=1))
        self.assertEqual(said, "observerctl stats: --tls-cert: needs --tls-key too")

    def test_publishing(self):
        self.publish(key=self.admin)  # an admin's key may see where the sockets are
        for flag, kind in (("--req", "rep"), ("--push", "pull"), ("--pub", "sub")):
            self.publish("%s=%s" % (flag, self.daemon.url(kind)))
        wait_until(lambda: len(self.daemon.journal_rows()) == 4, 20, "the ops")
        self.assertEqual(sorted(row["key_id"] for row in self.daemon.journal_rows()),
                         sorted([id_of(self.admin), id_of(self.mine), id_of(self.pushes), id_of(self.pushes)]))
        rep = self.daemon.url("rep")
        self.secrets.append(wrong := new_key())
        said = self.flat(self.publish("--req", rep, key=wrong, code=1))
        self.assertIn("%s: %s: this one is unknown there, has expired or was revoked" % (rep, NEEDED), said)
        said = self.flat(self.publish("--req", rep, key=self.listeners, code=1))
        self.assertIn("%s: this key may not do that: needs ingest" % rep, said)
        said = self.flat(self.ask(None, "pub", "--endpoint", "/a", code=1))
        self.assertIn("the daemon says where its REP socket is to holders of a key only", said)
        other = Authority(self.tmp, "other")
        said = self.flat(self.ctl("pub", "--endpoint", "/a", "--timeout", "1500", "--req", rep, "--tls-ca", other.cert, code=1))
        self.assertIn("%s: %s" % (rep, UNKNOWN_AUTHORITY), said)

    def test_following(self):
        self.publish(key=self.admin)
        tail = self.ask(self.admin, "tail", "--lines", "1", "--count", "1", "--json")
        self.assertEqual(json.loads(tail.stdout.splitlines()[0])["endpoint"], "/a")
        feed = self.daemon.url("feed")
        with open(os.path.join(self.tmp, "tail.out"), "wb") as out:
            process = self.spawn("tail", "--feed", feed, "--count", "1", "--json", "--url", self.url, "--tls-ca", self.ca.cert,
                                 "--key-file", self.file_of(self.admin, "reader"), stdout=out)

        def came():
            self.publish(key=self.admin)
            return process.poll() is not None
        wait_until(came, 30, "the feed")
        self.assertEqual(process.returncode, 0)
        other = Authority(self.tmp, "other")
        with open(os.path.join(self.tmp, "tail.err"), "wb") as err:
            self.spawn("tail", "--feed", feed, "--tls-ca", other.cert, stderr=err)

        def told():
            with open(os.path.join(self.tmp, "tail.err"), encoding="utf-8") as f:
                return UNTRUSTED in " ".join(f.read().split())
        wait_until(told, 20, "why there is no feed")

    def test_other_commands(self):
        ping = self.ask(self.admin, "ping").stdout
        self.assertEqual(len(ping.splitlines()), 2)
        self.assertIn("rep ", ping)
        for key in (self.listeners, self.mine):  # of one that may only read, or only publish, too
            self.assertRegex(self.ask(key, "ping").stdout, r"^http +[\d.]+ .+\nrep +[\d.]+ .+\n$")
        doctor = self.ask(self.admin, "doctor", "--json", "--ports", str(free_port())).stdout
        checks = {one["check"]: one for one in json.loads(doctor)["checks"]}
        self.assertEqual(checks["daemon"]["status"], "ok", doctor)
        for transport in ("http", "req", "push"):
            self.ask(self.admin, "bench", "--transport", transport, "--ops", "50", "--batch", "10", "--yes")
        ran = self.ask(self.admin, "run", "--", "true")
        self.assertEqual(ran.stderr, "")
        rep = self.daemon.url("rep")
        said = self.flat(self.ask(None, "run", "--req", rep, "--timeout", "1000", "--", "true"))
        self.assertIn("not acknowledged within 1000 ms, given up: this key may not do that: needs ingest", said)
        self.assertIn("observerctl run: --key-file /nope: No such file",
                      self.ctl("run", "--key-file", "/nope", "--", "sh", "-c", "exit 7", code=7).stderr)

    def test_a_key_that_others_can_read(self):
        path = self.file_of(self.admin, "open-key", 0o640)
        self.assertTrue(os.stat(path).st_mode & stat.S_IRGRP)
        done = self.ctl("stats", "--url", self.url, "--tls-ca", self.ca.cert, "--key-file", path)
        self.assertEqual(self.flat(done), "observerctl stats: warning: --key-file %s: others can read it: chmod 600 %s" % (path, path))
        self.assertIn("ops", done.stdout)

    def test_a_key_over_plain_http(self):
        """It is sent, with a warning, beyond this machine alone."""
        key = self.file_of(self.admin)
        said = self.flat(self.ctl("stats", "--url", "http://host.invalid:1", "--key-file", key, code=1))
        self.assertIn("observerctl stats: warning: the key is sent to http://host.invalid:1 without TLS, so others on the way can read it: "
                      "use https://", said)
        plain = self.start(None, args=["--keys", self.keys.path], pull=None, sub=None, rep=None)
        self.assertEqual(self.ctl("stats", "--url", plain.url("http"), "--key-file", key).stderr, "")

    def test_key_files_that_are_wrong(self):
        said = self.flat(self.ctl("stats", "--url", self.url, "--key-file", "/nope", code=1))
        self.assertEqual(said, "observerctl stats: --key-file /nope: No such file or directory")
        env = {**self.environment(), "OBSERVER_KEY_FILE": self.path("empty", b"\n")}
        self.assertEqual(self.flat(self.ctl("stats", "--url", self.url, env=env, code=1)),
                         "observerctl stats: OBSERVER_KEY_FILE %s: it is empty" % os.path.join(self.tmp, "empty"))
        # Nothing listens there: what is no key is not even about to be sent.
        for n, text in enumerate(('{"v":1,"keys":[]}', "hunter2", "obs_i_abcdefgh", self.mine[:-1], self.mine + "x", "x" + self.mine)):
            path = self.file_of(text, "wrong-%d" % n)
            for command in (["stats"], ["pub", "--endpoint", "/a"], ["tail"], ["doctor"]):
                said = self.flat(self.ctl(*command, "--url", "http://127.0.0.1:1", "--key-file", path, code=1))
                self.assertEqual(said, "observerctl %s: --key-file %s: not the text of a key (obs_...)" % (command[0], path))
            env = {**self.environment(), "OBSERVER_KEY": text}
            self.assertEqual(self.flat(self.ctl("stats", "--url", "http://127.0.0.1:1", env=env, code=1)),
                             "observerctl stats: OBSERVER_KEY: not the text of a key (obs_...)")


if __name__ == "__main__":
    main()
