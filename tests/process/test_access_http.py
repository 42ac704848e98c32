"""HTTP with a key file: every route, every method and every key; carriers, framing of what is refused, reload, limits, secrets."""

import base64
import collections
import gzip
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import unittest
from urllib.parse import urlsplit

from certificates import Authority
from described import check_answer, document
from harness import BUILD, OBSERVERD, ROOT, SLOW, Answer, DaemonTest, free_port, learning_rows, main, wait_until
from keys import KeyFile, id_of, new_key, secret_of, with_other_secret, with_wrong_check
from test_http_framing import BODY, Raw, chunked
from test_http_routes import METHODS

CTL = os.path.join(BUILD, "observerctl")
NO_KEY = b'{"error":"a valid key is needed"}\n'
CHALLENGE = 'Bearer realm="observer"'
V1 = "/v1/observer/"
SECRET_SCOPES = {"ingest", "read", "admin"}
ASAN = "build-asan" in BUILD


def printed_routes():
    """(method, path, scopes) of each."""
    for line in subprocess.check_output([OBSERVERD, "--routes"], text=True).splitlines():
        method, path, _, scopes = line.split()
        yield method, path, set(scopes.split(","))


def bearer(key):
    return {"authorization": "Bearer " + key}


class AccessTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.file = KeyFile(os.path.join(self.tmp, "keys.json"))
        self.networks = 0

    def keys_of_each_kind(self):
        """{scope: key} of the valid ones, and the keys that are none."""
        good = {scope: self.file.add("the " + scope, scope) for scope in ("ingest", "read", "admin")}
        bad = {"revoked": self.file.add("revoked", "admin", revoked="2026-01-02T00:00:00Z"),
               "expired": self.file.add("expired", "admin", expires="2026-01-02T00:00:00Z"),
               "of another secret": with_other_secret(good["admin"]), "unknown": new_key("a"),
               "mistyped": with_wrong_check(good["admin"]), "empty": "", "no key at all": "secret"}
        return good, bad

    def daemon(self, data_dir=None, args=(), **urls):
        urls = {"pull": None, "sub": None, "rep": None, **urls}
        return self.start(data_dir, args=["--keys", self.file.path, *args], **urls)

    def ask(self, daemon, method, path, headers=None, body=None, network=None, described=True):
        """From an address that nobody has asked from before: wrong keys are counted by address."""
        if network is None:
            self.networks += 1
            network = "127.1.%d.%d" % divmod(self.networks, 200)
        parts = urlsplit(daemon.url("http"))
        conn = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30 * SLOW, source_address=(network, 0))
        try:
            conn.request(method, path, body, headers or {})
            got = conn.getresponse()
            answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
            if described:
                check_answer(method, path, answer.status, answer.headers, answer.body)
            return answer
        finally:
            conn.close()

    def check_refused(self, answer, method="GET"):
        self.assertEqual((answer.status, answer.body), (401, b"" if method == "HEAD" else NO_KEY), answer)
        self.assertEqual((answer.headers["www-authenticate"], answer.headers["connection"]), (CHALLENGE, "close"))

    def doctor(self, url, key=None):
        """{check: (status, text)}"""
        env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        if key is not None:
            env["OBSERVER_KEY"] = key
        done = subprocess.run([CTL, "doctor", "--json", "--ports", str(free_port()), "--url", url], capture_output=True, text=True,
                              timeout=60 * SLOW, env=env)
        return {c["check"]: (c["status"], c["text"]) for c in json.loads(done.stdout)["checks"]}

    def health(self, daemon, key):
        return self.ask(daemon, "GET", "/health", bearer(key)).json


class Walk(AccessTest):
    """Over the printed table: a route that somebody adds is walked, too. The older gateway had `enabled = true`, logged it and
    let everybody in: enabled means enforced, on every route but those that are public."""

    def setUp(self):
        super().setUp()
        self.good, self.bad = self.keys_of_each_kind()
        self.served = self.daemon("data")

    def paths(self):
        for method, path, scopes in printed_routes():
            yield method, re.sub(r"\{\w+\}", "1", path.replace("{name}", "licenses.txt")), scopes

    def test_the_table_is_whole(self):
        public = {path for _, path, scopes in printed_routes() if scopes == {"public"}}
        self.assertEqual(public, {"/livez", "/readyz", "/health", "/observer/health", "/v1/observer/health",
                                  "/", "/assets/{name}", "/openapi.json"})
        for method, path, scopes in printed_routes():
            self.assertTrue(scopes == {"public"} or scopes and scopes <= SECRET_SCOPES, (method, path, scopes))
            self.assertTrue(method == "GET" or scopes != {"public"}, "who writes is known")

    def test_without_a_valid_key(self):
        """Nothing tells the reasons apart, nor what exists."""
        for method, path, scopes in list(self.paths()) + [("GET", "/nothing", set()), ("GET", V1 + "clusters/a/b", set())]:
            for sent in METHODS:
                public = scopes == {"public"} and sent in ("GET", "HEAD")
                for what, headers in [("none", {})] + [(what, bearer(key)) for what, key in self.bad.items()]:
                    answer = self.ask(self.served, sent, path, headers, b"{}" if sent in ("POST", "PUT") else None)
                    with self.subTest(method=sent, path=path, key=what):
                        if public:
                            self.assertEqual(answer.status, 200)
                        else:  # also other methods of public routes: the rows are of one
                            self.check_refused(answer, sent)

    def test_the_scope_of_each_key(self):
        taken = collections.defaultdict(set)
        for method, path, _ in self.paths():
            taken[path].update(("GET", "HEAD") if method == "GET" else (method,))
        for method, path, scopes in self.paths():
            for scope, key in self.good.items():
                enough = bool(scopes & {scope, "public"}) or scope == "admin"
                for sent in METHODS:
                    if sent != method and (method, sent) != ("GET", "HEAD") and sent in taken[path]:
                        continue  # another row's
                    answer = self.ask(self.served, sent, path, bearer(key), b"{}" if sent in ("POST", "PUT") else None)
                    with self.subTest(method=sent, path=path, key=scope):
                        if sent not in taken[path]:
                            self.assertEqual(answer.status, 405)
                        elif enough:
                            self.assertNotIn(answer.status, (401, 403, 404 if "/1" not in path else 401, 405, 429))
                        else:
                            needs = " or ".join(s for s in ("ingest", "read", "admin") if s in scopes)
                            text = b'{"error":"this key may not do that: needs %s"}\n' % needs.encode()
                            self.assertEqual((answer.status, answer.body), (403, b"" if sent == "HEAD" else text))
        for key in self.good.values():
            self.assertEqual(self.ask(self.served, "GET", "/nothing", bearer(key)).status, 404)

    def test_two_keys(self):
        """Also two that would both do, or of which one would: which one is meant is not guessed."""
        keys = [self.good["admin"], self.good["read"], self.bad["revoked"], self.bad["unknown"]]
        for method, path, scopes in self.paths():
            for one, other in ((0, 1), (1, 0), (0, 2), (3, 0)):
                answer = self.ask(self.served, method, path, {**bearer(keys[one]), "x-api-key": keys[other]},
                                  b"{}" if method == "POST" else None)
                if scopes == {"public"}:
                    self.assertEqual(answer.status, 200)
                else:
                    self.assertEqual((answer.status, answer.json), (400, {"error": "two different keys: give one"}), path)

    def test_every_row_says_so_in_the_document(self):
        for path, item in document()["paths"].items():
            for operation in item.values():
                if operation["x-scope"] != ["public"]:
                    self.assertLessEqual({"401", "403", "429"}, set(operation["responses"]), path)

    def test_what_a_refused_post_holds_is_not_recorded(self):
        for headers in ({}, bearer(self.bad["revoked"]), bearer(self.good["read"])):
            answer = self.ask(self.served, "POST", "/event", headers, BODY)
            self.assertEqual(answer.status, 403 if headers == bearer(self.good["read"]) else 401)
        self.assertEqual(self.ask(self.served, "POST", "/event", bearer(self.good["ingest"]), BODY).status, 200)
        self.assertEqual(self.ask(self.served, "GET", "/stats", bearer(self.good["read"])).json["total"], 1)
        counts = self.health(self.served, self.good["ingest"])["transports"]["http"]
        self.assertEqual((counts["received"], counts["recorded"], counts["rejected"]), (1, 1, 0))


class Carriers(AccessTest):
    def basic(self, text):
        return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    def test_each(self):
        key, other = self.file.add("a", "read"), self.file.add("b", "read")
        daemon = self.daemon()
        for headers in (bearer(key), {"authorization": "bearer " + key}, {"AUTHORIZATION": "BEARER   " + key}, {"x-api-key": key},
                        self.basic("any:" + key), self.basic(":" + key), self.basic("pk-lf-1:" + key),
                        {"authorization": self.basic("a:" + key)["authorization"].replace("Basic", "bAsIc").rstrip("=")},
                        {**bearer(key), "x-api-key": key}, {**self.basic("a:" + key), "x-api-key": key},
                        {"authorization": "Digest username=x", "x-api-key": key}):
            self.assertEqual(self.ask(daemon, "GET", "/stats", headers).status, 200, headers)
        for headers in ({**bearer(key), "x-api-key": other}, {**self.basic("a:" + key), "x-api-key": other},
                        {**bearer(key), "x-api-key": ""}):
            answer = self.ask(daemon, "GET", "/stats", headers)
            self.assertEqual((answer.status, answer.json), (400, {"error": "two different keys: give one"}), headers)
        for headers in ({"authorization": key}, {"authorization": "Bearer"}, {"authorization": "Bearer" + key},
                        {"authorization": "Token " + key}, {"authorization": "Basic " + key}, self.basic(key), self.basic("a:b:" + key),
                        self.basic(key + ":a"), {"authorization": "Basic !!!!"}, {"authorization": "Basic " + "A" * 8000},
                        {"authorization": "Bearer " + key + " x"}, {"x-api-key": key.upper()}, {"cookie": "key=" + key},
                        {"x-api-key": key + ", " + key}):
            self.check_refused(self.ask(daemon, "GET", "/stats", headers))
        for path in ("/stats?key=" + key, "/stats?api_key=" + key, "/stats?token=" + key):
            self.check_refused(self.ask(daemon, "GET", path))

    def test_the_same_header_twice(self):
        key, other = self.file.add("a", "read"), self.file.add("b", "read")
        daemon = self.daemon()
        for name in ("Authorization: Bearer ", "X-API-Key: "):
            for first, second, status in ((key, key, 200), (key, other, 400), (other, key, 400), (key, "x", 400)):
                with Raw(daemon) as raw:
                    raw.send("GET /stats HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s%s\r\n\r\n" % (name, first, name, second))
                    self.assertEqual([a[0] for a in raw.rest()], [status])

    def test_without_a_key_file_nothing_is_looked_at(self):
        daemon = self.start(None)
        for headers in ({}, bearer("x"), {**bearer("x"), "x-api-key": "y"}, {"authorization": "Basic !"}):
            self.assertEqual(self.ask(daemon, "GET", "/stats", headers).status, 200)
        with Raw(daemon) as raw:
            raw.send("GET /stats HTTP/1.1\r\nHost: localhost\r\nX-API-Key: a\r\nX-API-Key: b\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [200])


class Framing(AccessTest):
    """What is refused before its body: the answer comes at once, the connection ends, and no byte of the body is ever taken
    for a request or decoded."""

    def setUp(self):
        super().setUp()
        self.key = self.file.add("a", "ingest", "read")
        self.served = self.daemon()
        self.head = "POST /event HTTP/1.1\r\nHost: localhost\r\n"
        self.with_key = "X-API-Key: %s\r\n" % self.key
        inner = self.head + self.with_key + "Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
        self.inner = inner

    def recorded(self):
        return self.health(self.served, self.key)["transports"]["http"]["received"]

    def answers(self, *parts, half_close=True):
        with Raw(self.served) as raw:
            for part in parts:
                raw.send(part)
            return [(status, body) for status, _, body in raw.rest(half_close)]

    def test_bodies_are_not_read(self):
        n = len(self.inner)
        for shape in ("Content-Length: %d\r\n\r\n%s" % (n, self.inner),
                      "Transfer-Encoding: chunked\r\n\r\n" + chunked(self.inner),
                      "Content-Length: 0\r\n\r\n" + self.inner, "Content-Length: 4000000\r\n\r\n",
                      "Content-Encoding: gzip\r\nContent-Length: 1000\r\n\r\nxxx",
                      "Content-Encoding: br\r\nContent-Length: 5\r\n\r\n", "Content-Length: 99999999999\r\n\r\n", "\r\n"):
            self.assertEqual(self.answers(self.head + shape), [(401, NO_KEY)], shape)
        self.assertEqual(self.recorded(), 0)

    def test_a_bomb_is_not_inflated(self):
        bomb = gzip.compress(b" " * (64 << 20))
        before = self.served.rss()
        with Raw(self.served) as raw:
            raw.send(self.head + "Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb))
            self.assertEqual(raw.answer()[0], 401)
            raw.send(bomb)
        self.assertLess(self.served.rss() - before, 4 << 20)

    def test_expect_continue(self):
        shape = "Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        with Raw(self.served) as raw:  # the body would never come: nothing says to continue
            raw.send(self.head + shape)
            status, headers, body = raw.answer()
            self.assertEqual((status, headers["connection"], body), (401, "close", NO_KEY))
            wait_until(raw.is_closed, 10, "the end")
        with Raw(self.served) as raw:
            raw.send(self.head + self.with_key + shape)
            self.assertEqual(raw.answer()[0], 100)
            raw.send(BODY)
            self.assertEqual(raw.answer()[0], 200)

    def test_pipelining(self):
        get = "GET /stats HTTP/1.1\r\nHost: localhost\r\n"
        found = self.answers(get + self.with_key + "\r\n" + get + "\r\n" + get + self.with_key + "\r\n" + self.inner)
        self.assertEqual([status for status, _ in found], [200, 401])  # and nothing behind it
        self.assertEqual(self.recorded(), 0)
        found = self.answers(self.inner + self.inner)
        self.assertEqual([status for status, _ in found], [200, 200])

    def test_a_key_is_of_its_request(self):
        """It is not remembered for the connection."""
        with Raw(self.served) as raw:
            raw.send(self.inner)
            self.assertEqual(raw.answer()[0], 200)
            raw.send(self.head + "Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
            self.assertEqual([a[0] for a in raw.rest()], [401])

    def test_http_1_0_and_head(self):
        with Raw(self.served) as raw:
            raw.send("GET /stats HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            self.assertEqual([(a[0], a[2]) for a in raw.rest()], [(401, NO_KEY)])
        with Raw(self.served) as raw:
            raw.send("HEAD /stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
            status, headers, _ = raw.answer(head=True)
            self.assertEqual((status, headers["content-length"]), (401, str(len(NO_KEY))))
            wait_until(raw.is_closed, 10, "the end")
            self.assertEqual(raw.buffer, b"")
        with Raw(self.served) as raw:
            raw.send("GET http://localhost/stats HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % self.with_key)
            self.assertEqual(raw.answer()[0], 200)

    def test_a_request_that_is_cut_off_leaves_nothing(self):
        """Admitted, and its body never comes: what it held of the keys is let go (the leak check sees it)."""
        for end in ("Content-Length: 50\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "Content-Length: 99999999\r\n\r\n"):
            with Raw(self.served) as raw:
                raw.send(self.head + self.with_key + end)
            self.file.add("another", "read")  # the set that was held goes
        wait_until(lambda: self.health(self.served, self.key)["access"]["keys"] == 4, 10, "the keys")
        self.served.stop()

    def test_other_guards_still_hold(self):
        for lines, status in (("Host: evil.example\r\n", 421), ("Host: localhost\r\nOrigin: http://evil.example\r\n", 403)):
            with Raw(self.served) as raw:
                raw.send("POST /event HTTP/1.1\r\n" + lines + self.with_key + "Content-Length: 2\r\n\r\n{}")
                self.assertEqual([a[0] for a in raw.rest()], [status])
        with Raw(self.served) as raw:
            raw.send(self.head + self.with_key + "\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [411])

    def test_the_daemons_own_probe(self):
        """`OPTIONS *` needs no key, and counts nowhere."""
        with Raw(self.served) as raw:
            raw.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual([a[0] for a in raw.rest()], [404])
        self.assertEqual(self.health(self.served, self.key)["access"]["denied"], 0)


class Shown(AccessTest):
    def test_health(self):
        key = self.file.add("a", "ingest")
        daemon = self.daemon()
        for path in ("/health", "/observer/health", "/v1/observer/health"):
            for headers in ({}, bearer("x"), {**bearer(key), "x-api-key": "y"}):
                self.assertEqual(self.ask(daemon, "GET", path, headers).body, b'{"status":"ok"}\n')
            self.assertIn("journal", self.ask(daemon, "GET", path, bearer(key)).json)
        access = self.health(daemon, key)["access"]
        self.assertEqual((access["key_file"], access["keys"], access["open"], access["plain"]), ("read", 1, [], []))
        self.assertIn("info observerd: access: 1 keys in %s, audit file none (ephemeral)\n" % self.file.path, daemon.stderr())
        self.assertIn("access: 1 keys in %s\n" % self.file.path, daemon.stdout())
        told = self.doctor(daemon.url("http"))
        self.assertEqual(told["daemon"], ("warn", "answers at %s, and tells more to holders of a key alone" % daemon.url("http")))
        self.assertEqual((told["readyz"][0], "access" in told), ("ok", False))
        told = self.doctor(daemon.url("http"), key)
        self.assertEqual((told["daemon"][0], told["access"]), ("ok", ("ok", "a key is needed")))
        open_one = self.start(None)
        self.assertIn("journal", open_one.get("/health").json)
        self.assertEqual(open_one.get("/health").json["access"]["key_file"], "none")
        self.assertIn("info observerd: access: open, there is no key file\n", open_one.stderr())

    def test_the_key_itself(self):
        bound = self.file.add("mailer's", "ingest", sources=["mailer", "bot:"], expires="2999-01-01T00:00:00Z")
        admin = self.file.add("root", "admin")
        daemon = self.daemon()
        for path in (V1 + "key", "/observer/key"):
            self.assertEqual(self.ask(daemon, "GET", path, bearer(bound)).json,
                             {"id": id_of(bound), "name": "mailer's", "scopes": ["ingest"], "sources": ["mailer", "bot:"],
                              "created": "2026-01-01T00:00:00.000Z", "expires": "2999-01-01T00:00:00.000Z"})
            self.check_refused(self.ask(daemon, "GET", path))
        self.assertEqual(self.ask(daemon, "GET", V1 + "key", bearer(admin)).json,
                         {"id": id_of(admin), "name": "root", "scopes": ["ingest", "read", "admin"], "sources": [],
                          "created": "2026-01-01T00:00:00.000Z", "expires": None})
        for method, path, allowed, needs in (("POST", "/event", True, ["ingest"]), ("GET", "/stats", False, ["read"]),
                                             ("HEAD", "/stats", False, ["read"]), ("GET", V1 + "ops/7?x=1", False, ["read"]),
                                             ("GET", V1 + "advice", True, ["ingest", "read"]), ("GET", "/livez", True, ["public"]),
                                             ("POST", "/stats", False, []), ("GET", "/nothing", False, []), ("GET", "x", False, [])):
            answer = self.ask(daemon, "GET", V1 + "key?method=%s&path=%s" % (method, path.replace("?", "%3F")), bearer(bound))
            self.assertEqual((answer.json["allowed"], answer.json["needs"]), (allowed, needs), (method, path))
        for query, error in (("method=GET", "method: needs path as well"), ("path=/a", "path: needs method as well"),
                             ("method=get&path=/a", None), ("key=" + bound, None)):
            answer = self.ask(daemon, "GET", V1 + "key?" + query, bearer(bound))
            self.assertEqual(answer.status, 400)
            self.assertNotIn(secret_of(bound), answer.json["error"])
            if error:
                self.assertEqual(answer.json["error"], error)
        answer = self.start(None).get(V1 + "key?method=GET&path=/stats").json
        self.assertEqual(answer, {"id": None, "name": None, "scopes": ["ingest", "read", "admin"], "sources": [], "created": None,
                                  "expires": None, "allowed": True, "needs": ["read"]})

    def test_what_it_says_is_what_happens(self):
        """The dry run and the request agree on every route."""
        keys = [self.file.add(s, s) for s in ("ingest", "read", "admin")]
        daemon = self.daemon()
        for method, path, _ in printed_routes():
            path = re.sub(r"\{\w+\}", "1", path)
            for key in keys:
                said = self.ask(daemon, "GET", V1 + "key?method=%s&path=%s" % (method, path), bearer(key)).json["allowed"]
                got = self.ask(daemon, method, path, bearer(key), b"{}" if method == "POST" else None)
                self.assertEqual(said, got.status != 403, (method, path, key))


class Reload(AccessTest):
    def setUp(self):
        super().setUp()
        self.admin = self.file.add("admin", "admin")

    def test_while_requests_run(self):
        """No request of a valid key fails while keys come and go; one that is revoked is refused within seconds."""
        steady, leaving = self.file.add("steady", "read"), self.file.add("leaving", "read")
        daemon = self.daemon()
        failures, done, refused = [], threading.Event(), threading.Event()

        def run(key, ends):
            conn = daemon.connect()
            while not done.is_set():
                conn.request("GET", "/stats", headers=bearer(key))
                answer = conn.getresponse()
                answer.read()
                if answer.status != 200:
                    if not ends or answer.status not in (401, 429):
                        failures.append((key == steady, answer.status))
                    refused.set()
                    conn.close()
                    if ends:
                        return
            conn.close()

        threads = [threading.Thread(target=run, args=args) for args in ((steady, False), (steady, False), (leaving, True))]
        for thread in threads:
            thread.start()
        for i in range(20):
            self.file.add("more %d" % i, "ingest")
            time.sleep(0.02)  # so that some of these are seen each for itself
        self.assertFalse(refused.is_set(), failures)
        self.file.revoke(leaving)
        self.assertTrue(refused.wait(10 * SLOW), "the revoked key is still taken")
        done.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.check_refused(self.ask(daemon, "GET", "/stats", bearer(leaving)))
        daemon.stop()

    def test_a_new_key_and_one_that_expires(self):
        daemon = self.daemon()
        key = self.file.add("new", "read")
        wait_until(lambda: self.ask(daemon, "GET", "/stats", bearer(key)).status == 200, 10, "the new key")
        self.file.expire(key, 2)
        wait_until(lambda: self.ask(daemon, "GET", "/stats", bearer(key)).status == 401, 20, "its end")
        self.file.set(key, expires=None)
        wait_until(lambda: self.ask(daemon, "GET", "/stats", bearer(key)).status == 200, 10, "the key again")
        self.file.set(key, scopes=["ingest"])
        wait_until(lambda: self.ask(daemon, "GET", "/stats", bearer(key)).status == 403, 10, "its other scope")
        self.file.remove(key)
        wait_until(lambda: self.ask(daemon, "GET", "/stats", bearer(key)).status == 401, 10, "its removal")
        daemon.stop()

    def test_a_broken_file_keeps_the_last_good_keys(self):
        key = self.file.add("new", "read")
        daemon = self.daemon(http=["http://127.0.0.1:0", "http://127.0.0.1:0;key=" + id_of(self.admin)])
        self.assertEqual(self.doctor(daemon.url("http", 1))["access"], ("ok", "a key is needed"))

        def state():
            access = self.health(daemon, self.admin)["access"]
            return access["key_file"], access["broken"]

        for i, breaks in enumerate((lambda: self.file.write("{"), lambda: self.file.write(mode=0o644),
                                    lambda: self.file.write('{"v":1,"keys":[{"id":"x"}]}'), lambda: os.unlink(self.file.path)), 1):
            breaks()
            wait_until(lambda: state() == ("broken", i), 10, "what is broken")
            self.assertEqual(self.ask(daemon, "GET", "/stats", bearer(key)).status, 200)
            self.check_refused(self.ask(daemon, "GET", "/stats", bearer(new_key())))
            self.assertEqual(self.doctor(daemon.url("http", 1))["access"],
                             ("warn", "the key file is broken; the keys that were read last hold (the log has the reason)"))
            self.assertRegex(daemon.stderr(), r"error access: keys: %s: .*; the keys that were read last hold\n" % self.file.path)
        self.file.revoke(key)
        wait_until(lambda: state()[0] == "read", 10, "the file to be good again")
        self.assertEqual(self.doctor(daemon.url("http", 1))["access"], ("ok", "a key is needed"))
        self.check_refused(self.ask(daemon, "GET", "/stats", bearer(key)))
        daemon.stop()

    def test_while_a_body_is_on_its_way(self):
        """Whoever sends its body slowly has no longer a right that has been taken from it meanwhile."""
        key = self.file.add("slow", "ingest")
        daemon = self.daemon()
        head = "POST /event HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n" % (key, len(BODY))
        with Raw(daemon) as slow, Raw(daemon) as steady:
            for raw, admin in ((slow, False), (steady, True)):
                raw.send((head if not admin else head.replace(key, self.admin)) + BODY[:5])
            self.file.revoke(key)
            wait_until(lambda: self.ask(daemon, "GET", V1 + "key", bearer(key)).status == 401, 10, "the key to be revoked")
            for raw, answers in ((slow, [(401, NO_KEY)]), (steady, [(200, b'{"accepted":true,"ring_size":1}\n')])):
                raw.send(BODY[5:])
                self.assertEqual([(status, body) for status, _, body in raw.rest()], answers)
        daemon.stop()

    def test_at_once_on_sighup(self):
        daemon = self.daemon()
        before = self.health(daemon, self.admin)["access"]["reloads"]
        key = self.file.add("new", "read")
        daemon.process.send_signal(1)
        wait_until(lambda: self.ask(daemon, "GET", "/stats", bearer(key)).status == 200, 10, "the new key")
        self.assertEqual(self.health(daemon, self.admin)["access"]["reloads"], before + 1)
        daemon.stop()


class Limits(AccessTest):
    def test_who_guesses(self):
        key = self.file.add("a", "read")
        daemon = self.daemon()

        def burst(network):
            return [self.ask(daemon, "GET", "/stats", {"x-api-key": new_key()}, network=network) for _ in range(40)]

        found = burst("127.2.0.1")
        statuses = [answer.status for answer in found]
        self.assertEqual(statuses[:10], [401] * 10)
        self.assertIn(429, statuses)
        last = next(answer for answer in found if answer.status == 429)
        self.assertEqual((last.headers["retry-after"], last.headers["connection"]), ("1", "close"))
        self.assertEqual(last.json, {"error": "too many wrong keys from this address; try again in a second"})
        # A valid key passes from there, nobody else is concerned, and who gives no key is told so.
        self.assertEqual(self.ask(daemon, "GET", "/stats", bearer(key), network="127.2.0.1").status, 200)
        self.check_refused(self.ask(daemon, "GET", "/stats", {"x-api-key": new_key()}, network="127.2.0.2"))
        self.check_refused(self.ask(daemon, "GET", "/stats", network="127.2.0.1"))
        access = self.health(daemon, key)["access"]
        self.assertEqual(access["limited"], statuses.count(429))
        self.assertEqual(access["denied"], 42)
        daemon.stop()
        self.assertEqual(daemon.stderr().count("127.2.0.1"), 0)  # not a line for each


class Listeners(AccessTest):
    def path(self, name):
        return "ipc://" + os.path.join(self.tmp, name)

    def ask_ipc(self, daemon, n, request, headers=""):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10 * SLOW)
            s.connect(daemon.url("http", n)[len("ipc://"):])
            s.sendall((request + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n" % headers).encode())
            data = b""
            while True:
                more = s.recv(65536)
                if not more:
                    return int(data.split()[1]), data.split(b"\r\n\r\n", 1)[1]
                data += more

    def test_whom_a_listener_stands_for(self):
        reader, admin = self.file.add("reader", "read"), self.file.add("admin", "admin")
        daemon = self.daemon(http=["http://127.0.0.1:0", self.path("plain"), self.path("mine") + ";uid=%d" % os.getuid(),
                                   self.path("keyed") + ";key=" + id_of(reader), "http://127.0.0.1:0;key=" + id_of(reader)])
        self.assertEqual(self.ask_ipc(daemon, 1, "GET /stats")[0], 401)
        self.assertEqual(self.ask_ipc(daemon, 2, "GET /stats")[0], 200)
        status, body = self.ask_ipc(daemon, 2, "GET /v1/observer/key")
        self.assertEqual((status, json.loads(body)["scopes"], json.loads(body)["id"]), (200, ["ingest", "read"], None))
        self.assertEqual(self.ask_ipc(daemon, 3, "GET /stats")[0], 200)
        self.assertEqual(self.ask_ipc(daemon, 3, "POST /event", "Content-Length: 0\r\n")[0], 403)
        # A key that is given is what counts, also a wrong one.
        self.assertEqual(self.ask_ipc(daemon, 3, "POST /event", "X-API-Key: %s\r\nContent-Length: 0\r\n" % admin)[0], 400)
        self.assertEqual(self.ask_ipc(daemon, 3, "GET /stats", "X-API-Key: %s\r\n" % new_key())[0], 401)
        parts = urlsplit(daemon.url("http", 4))
        conn = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10 * SLOW)
        conn.request("GET", "/stats")
        self.assertEqual(conn.getresponse().status, 200)
        conn.close()
        self.file.revoke(reader)
        wait_until(lambda: self.ask_ipc(daemon, 3, "GET /stats")[0] == 401, 10, "the listener's key to be revoked")
        self.assertEqual(self.ask_ipc(daemon, 2, "GET /stats")[0], 200)
        daemon.stop()

    def test_a_certificate_is_no_key(self):
        """A client certificate lets one in; with a key file, requests need a key all the same."""
        ca, key = Authority(self.tmp), self.file.add("reader", "read")
        server, client = ca.issue("server"), ca.issue("client", names=(), client=True)
        daemon = self.daemon(args=["--tls-cert", server.cert, "--tls-key", server.key, "--tls-ca", ca.cert], http="https://127.0.0.1:0")
        context = ssl.create_default_context(cafile=ca.cert)
        context.load_cert_chain(client.cert, client.key)
        parts = urlsplit(daemon.url("http"))
        for headers, status in (({}, 401), (bearer(key), 200)):
            conn = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=10 * SLOW, context=context)
            conn.request("GET", "/stats", headers=headers)
            self.assertEqual(conn.getresponse().status, status)
            conn.close()

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be another user")
    def test_another_user(self):
        os.chmod(self.tmp, 0o755)
        daemon = self.daemon("data", http=["http://127.0.0.1:0", self.path("mine") + ";uid=%d" % os.getuid()])
        ask = ("import os, socket; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(%r); "
               "print(s.recv(1))" % daemon.url("http", 1)[len("ipc://"):])
        done = subprocess.run(["python3", "-c", ask], capture_output=True, text=True, timeout=60 * SLOW)
        self.assertEqual((done.stdout, done.stderr), ("b''\n", ""))
        daemon.stop()
        self.assertIn("http %s: refused uid 65534: not one of the listener's users" % daemon.url("http", 1), daemon.stderr())
        with open(os.path.join(daemon.data_dir, "audit.jsonl"), encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        self.assertEqual([(r["address"], r["request"], r["status"]) for r in rows],
                         [("uid 65534", "http " + daemon.url("http", 1), 401)])


class Sources(AccessTest):
    """A key that is bound to sources speaks as these alone (proto/access.md); op.h's decoder does it for every transport."""

    def test_posts(self):
        key, free = self.file.add("mailer", "ingest", sources=["mailer", "bot:"]), self.file.add("any", "admin")
        daemon = self.daemon("data")
        op = {"endpoint": "/a", "success": True}
        answer = self.ask(daemon, "POST", V1 + "event", bearer(key), json.dumps([dict(op, source=s) for s in
                          ("mailer", "mailer-2", "mailers", "bot:7", "root")] + [op]))
        self.assertEqual(answer.status, 200)
        self.assertEqual((answer.json["count"], [(e["index"], e["error"]) for e in answer.json["errors"]]),
                         (4, [(2, 'source: this key may not speak as "mailers"'), (4, 'source: this key may not speak as "root"')]))
        answer = self.ask(daemon, "POST", "/event", bearer(key), json.dumps({"event_kind": "x", "source": "scenario"}))
        self.assertEqual((answer.status, answer.json["error"]), (400, 'source: this key may not speak as "scenario"'))
        answer = self.ask(daemon, "POST", V1 + "session", bearer(key), json.dumps({"final_verdict": "accepted"}))
        self.assertEqual(answer.status, 400)
        self.assertEqual(self.ask(daemon, "POST", V1 + "session", bearer(key), json.dumps({"final_verdict": "accepted", "source":
                                                                                            "mailer"})).status, 200)
        self.assertEqual(self.ask(daemon, "POST", V1 + "event", bearer(free), json.dumps(dict(op, source="root"))).status, 200)
        daemon.stop()
        self.assertEqual([r["source"] for r in daemon.journal_rows()], ["mailer", "mailer-2", "bot:7", "mailer", "root"])
        with open(os.path.join(daemon.data_dir, "audit.jsonl"), encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        self.assertEqual({(r["key"], r["request"], r["count"]) for r in rows if r["what"] == "denied"},
                         {(id_of(key), "POST /v1/observer/event (source)", 1), (id_of(key), "POST /event (source)", 1),
                          (id_of(key), "POST /v1/observer/session (source)", 1)})


    def test_what_is_not_bound(self):
        """Whose key is bound to a source still says what it likes of sessions, people and endpoints, and others are advised by it;
        who may only publish sees by advice what fails for others."""
        bound, other = self.file.add("mailer", "ingest", sources=["mailer"]), self.file.add("bot", "ingest", sources=["bot"])
        daemon = self.daemon("data", args=["--cycle", "100ms"])
        said = {"endpoint": "/bots", "success": False, "error": "refused by mailer", "staffer_id": "bob", "session_id": "of the bot"}
        answer = self.ask(daemon, "POST", V1 + "event", bearer(bound), json.dumps([said] * 3))
        self.assertEqual((answer.status, answer.json["count"]), (200, 3))
        row = daemon.journal_rows()[0]
        self.assertEqual({name: row[name] for name in said}, said)
        advice = V1 + "advice?endpoint=/bots"

        def templates():
            return [c["template"] for c in self.ask(daemon, "GET", advice, bearer(other)).json["clusters"]]
        wait_until(lambda: templates() == ["refused by mailer"], 20, "advice by what the mailer said")


class Reviews(AccessTest):
    def test_whose_they_are(self):
        """Who may only ask for reviews gets its own alone, before and after a restart."""
        one, two, reader, both, admin = (self.file.add(name, *scopes) for name, scopes in (
            ("one", ["ingest"]), ("two", ["ingest"]), ("reader", ["read"]), ("both", ["ingest", "read"]), ("admin", ["admin"])))
        daemon = self.daemon("data")
        body = json.dumps({"text": "I cannot help with that."}).encode()
        reviews = [self.ask(daemon, "POST", V1 + "review", bearer(key), body).json for key in (one, two, reader)]
        self.assertEqual(len({review["id"] for review in reviews}), 3)

        def check():
            for review, of in zip(reviews, (one, two, reader)):
                for key in (one, two, reader, both, admin):
                    for family in (V1, "/observer/"):
                        answer = self.ask(daemon, "GET", family + "review/" + review["id"], bearer(key))
                        if key in (of, reader, both, admin):
                            self.assertEqual((answer.status, answer.json), (200, review))
                        else:
                            self.assertEqual((answer.status, answer.json), (404, {"error": "no review " + review["id"]}))

        check()
        rows = learning_rows(daemon, "reviews.jsonl")
        self.assertEqual([row["key_id"] for row in rows], [id_of(key) for key in (one, two, reader)])
        daemon.restart()
        check()


class Secrets(AccessTest):
    def test_nowhere(self):
        """Keys that are valid, revoked, wrong, mistyped, and all of it in places where they do not belong."""
        good, bad = self.keys_of_each_kind()
        texts = [key for key in [*good.values(), *bad.values()] if key.startswith("obs_")]
        daemon = self.daemon("data", args=["--log-level", "debug"])
        shown = []
        for key in texts:
            for headers in (bearer(key), {"x-api-key": key}, {"authorization": "Basic " + base64.b64encode(b"a:" + key.encode()).decode()}):
                for method, path, body in (("GET", "/health", None), ("POST", "/event", b"not an op"), ("GET", V1 + "key", None),
                                           ("GET", "/nothing", None), ("POST", "/event", BODY)):
                    shown.append(self.ask(daemon, method, path, headers, body).body.decode())
        done = subprocess.run([OBSERVERD, "--check-config", "--keys", self.file.path, "--ephemeral", "--pull", "none", "--sub", "none",
                               "--rep", "none", "--feed", "none"], capture_output=True, text=True,
                              timeout=60 * SLOW)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown += [done.stdout, done.stderr]
        for name in ("cmdline", "environ"):
            with open("/proc/%d/%s" % (daemon.pid, name), "rb") as f:
                shown.append(f.read().decode("utf-8", "replace"))
        daemon.stop()
        shown += [daemon.stdout(), daemon.stderr()]
        names = set()
        for folder, _, files in os.walk(daemon.data_dir):
            for name in files:
                names.add(name)
                with open(os.path.join(folder, name), "rb") as f:
                    shown.append(f.read().decode("utf-8", "replace"))
        self.assertLessEqual({"ops.jsonl", "rejected.jsonl", "audit.jsonl"}, names)
        for key in texts:
            for text in shown:
                self.assertNotIn(secret_of(key), text)

    @unittest.skipIf(ASAN, "the leak check has to read the process")
    def test_no_core_and_no_debugger(self):
        """The kernel gives the files of a process that must not be dumped to root."""
        if os.geteuid() != 0:
            self.skipTest("needs root, to run a daemon as another user")
        os.chmod(self.tmp, 0o755)
        self.file.add("a", "read")
        os.chown(self.file.path, 65534, 65534)

        def owner(*args, env=None):
            process = subprocess.Popen([OBSERVERD, "--ephemeral", "--http", "http://127.0.0.1:0", "--pull", "none", "--sub", "none",
                                        "--rep", "none", "--feed", "none", *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                       user=65534, group=65534, cwd="/", text=True, env={**os.environ, **(env or {})})
            try:
                for line in process.stdout:
                    if line == "ready\n":
                        return os.stat("/proc/%d/environ" % process.pid).st_uid
                self.fail("the daemon did not start")
            finally:
                process.kill()
                process.wait()
                process.stdout.close()

        self.assertEqual(owner(), 65534)
        self.assertEqual(owner("--keys", self.file.path), 0)
        self.assertEqual(owner("--openai-url", "http://127.0.0.1:1", env={"OPENAI_API_KEY": "sk-of-a-model"}), 0)
        pair = Authority(self.tmp).issue("server")
        os.chown(pair.key, 65534, 65534)
        self.assertEqual(owner("--tls-cert", pair.cert, "--tls-key", pair.key), 0)


class Audit(AccessTest):
    def test_who_was_refused(self):
        key, revoked = self.file.add("a", "ingest"), self.file.add("b", "read", revoked="2026-01-02T00:00:00Z")
        daemon = self.daemon("data")
        for _ in range(5):
            self.ask(daemon, "GET", "/stats", network="127.3.0.1")
        self.ask(daemon, "GET", V1 + "ops/17", bearer(key), network="127.3.0.2")
        self.ask(daemon, "HEAD", "/stats", bearer(revoked), network="127.3.0.2")
        self.ask(daemon, "GET", "/%s" % ("x" * 500), {"x-api-key": "nonsense"}, network="127.3.0.2")
        daemon.stop()
        with open(os.path.join(daemon.data_dir, "audit.jsonl"), encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        found = {(row.get("key"), row["address"], row["request"], row["status"], row["count"]) for row in rows if row["what"] == "denied"}
        self.assertEqual(found, {(None, "127.3.0.1", "GET /stats", 401, 5),
                                 (id_of(key), "127.3.0.2", "GET /v1/observer/ops/{seq}", 403, 1),
                                 (id_of(revoked), "127.3.0.2", "GET /stats", 401, 1),
                                 (None, "127.3.0.2", "another path or method", 401, 1)})
        self.assertEqual(os.stat(os.path.join(daemon.data_dir, "audit.jsonl")).st_mode & 0o777, 0o600)


class Compare(unittest.TestCase):
    def test_in_constant_time(self):
        """What a key's text hashes to is compared by the one function that is made for it, and nothing else compares it."""
        found = {}
        for folder, _, names in os.walk(os.path.join(ROOT, "src")):
            for name in [n for n in names if n.endswith((".c", ".h"))]:
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    if "CRYPTO_memcmp(hash," in f.read():
                        found[os.path.relpath(os.path.join(folder, name), ROOT)] = True
        self.assertEqual(list(found), ["src/access/keys.c"])


if __name__ == "__main__":
    main()
