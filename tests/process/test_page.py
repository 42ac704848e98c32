"""The page as the daemon serves it: types, tags, what browsers are told; and that it is whole. What it does is tested in
tests/browser."""

import gzip
import os
import re

from harness import ROOT, DaemonTest, main
from keys import KeyFile

DIST = os.path.join(ROOT, "src", "plane", "dist")
PACKED = {"accept-encoding": "gzip"}
POLICY = {
    "default-src": ["'none'"], "script-src": ["'self'"], "style-src": ["'self'"], "img-src": ["'self'", "data:"],
    "connect-src": ["'self'"], "base-uri": ["'none'"], "form-action": ["'none'"], "frame-ancestors": ["'none'"],
    "require-trusted-types-for": ["'script'"], "trusted-types": ["'none'"],
}


def built(name):
    with open(os.path.join(DIST, name), "rb") as f:
        return f.read()


def named(page):
    """The files that the page asks for."""
    return re.findall(r'(?:href|src)="/assets/([^"]+)"', page.decode())


class Page(DaemonTest):
    def test_files_are_those_of_the_repository(self):
        daemon = self.start(None)
        names = named(built("index.html"))
        self.assertEqual([n.rpartition(".")[2] for n in names], ["css", "js"])
        self.assertEqual(sorted([*names, "index.html", "licenses.txt"]), sorted(os.listdir(DIST)))
        types = {"css": "text/css", "js": "text/javascript", "txt": "text/plain", "html": "text/html"}
        for name in os.listdir(DIST):
            path = "/" if name == "index.html" else "/assets/" + name
            with self.subTest(path=path):
                plain, packed = daemon.get(path), daemon.get(path, PACKED)
                self.assertEqual((plain.status, plain.body), (200, built(name)))
                self.assertNotIn("content-encoding", plain.headers)
                self.assertEqual((packed.headers["content-encoding"], gzip.decompress(packed.body)), ("gzip", built(name)))
                self.assertEqual(plain.headers["content-type"], types[name.rpartition(".")[2]] + "; charset=utf-8")
                for answer in (plain, packed):
                    self.assertEqual(answer.headers["vary"], "accept-encoding")
                    self.assertEqual(int(answer.headers["content-length"]), len(answer.body))

    def test_it_is_small(self):
        files = [built(name) for name in os.listdir(DIST) if name != "licenses.txt"]
        self.assertLess(sum(map(len, files)), 200 << 10)
        self.assertLess(sum(len(gzip.compress(f, 9)) for f in files), 70 << 10)

    def test_it_asks_nobody_else(self):
        for name in named(built("index.html")):
            hosts = set(re.findall(rb"https?://([\w.-]+)", built(name)))
            self.assertLessEqual(hosts, {b"www.w3.org"}, name)  # the namespace of SVG
        self.assertNotRegex(built("index.html"), rb"<script>|<style>|\son\w+=|\sstyle=")

    def test_browsers_are_told_what_it_may_do(self):
        daemon = self.start(None)
        for path in ("/", "/assets/" + named(built("index.html"))[0], "/assets/licenses.txt", "/openapi.json"):
            headers = daemon.get(path).headers
            parts = [part.split() for part in headers["content-security-policy"].split("; ")]
            self.assertEqual({name: values for name, *values in parts}, POLICY, path)
            self.assertEqual([headers[n] for n in ("x-content-type-options", "referrer-policy", "cross-origin-resource-policy")],
                             ["nosniff", "no-referrer", "same-origin"])
            self.assertNotIn("set-cookie", headers)

    def test_what_is_kept_how_long(self):
        daemon = self.start(None)
        css, js = named(built("index.html"))
        for path in ("/", "/assets/licenses.txt", "/openapi.json"):
            self.assertEqual(daemon.get(path).headers["cache-control"], "no-cache", path)
        for name in (css, js):
            self.assertEqual(daemon.get("/assets/" + name).headers["cache-control"], "public, max-age=31536000, immutable")

    def test_tags(self):
        daemon = self.start(None)
        for path in ("/", "/assets/" + named(built("index.html"))[1], "/openapi.json"):
            got = daemon.get(path)
            tag = got.headers["etag"]
            self.assertRegex(tag, r'^W/"[0-9a-f]{20}"$')
            self.assertEqual(daemon.get(path, PACKED).headers["etag"], tag)
            for given in (tag, tag[2:], '"x", %s' % tag, "%s,W/\"y\"" % tag, "*"):
                again = daemon.get(path, {"if-none-match": given, **PACKED})
                self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", tag), given)
                self.assertNotIn("content-length", again.headers)
                self.assertEqual(again.headers["cache-control"], got.headers["cache-control"])
                self.assertEqual(daemon.request("HEAD", path, headers={"if-none-match": given}).status, 304)
            for given in ("", '""', tag[3:-1], 'W/"00000000000000000000"', tag[:-3] + '"'):
                self.assertEqual(daemon.get(path, {"if-none-match": given}).status, 200, given)

    def test_a_connection_goes_on_behind_a_304(self):
        daemon = self.start(None)
        tag = daemon.get("/").headers["etag"]
        connection = daemon.connect()
        for _ in range(3):
            connection.request("GET", "/", headers={"if-none-match": tag})
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.read(), answer.will_close), (304, b"", False))
        connection.request("GET", "/livez")
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()

    def test_what_is_not_there(self):
        daemon = self.start(None)
        for name in ("app.js", "app-0000000000.js", "index.htm", ".", "..%2findex.html", "app-"):
            answer = daemon.get("/assets/" + name)
            self.assertIn(answer.status, (400, 404), name)
            if answer.status == 404:
                self.assertEqual(answer.json, {"error": "no such file; open / for the page of this version"})
            for header in ("etag", "cache-control"):
                self.assertNotIn(header, answer.headers)
            self.assertEqual(answer.headers["content-type"], "application/json")

    def test_it_needs_no_key_and_has_nothing_that_does(self):
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        daemon = self.start(args=["--keys", keys.path], pull=None, sub=None, rep=None)
        for path in ("/", "/assets/" + named(built("index.html"))[1], "/openapi.json"):
            self.assertEqual(daemon.get(path).status, 200, path)
            self.assertEqual(daemon.get(path, {"x-api-key": "wrong"}).status, 200, path)
        self.assertEqual(daemon.get("/v1/observer/summary").status, 401)

    def test_the_document_of_the_api_is_that_of_the_repository(self):
        with open(os.path.join(ROOT, "proto", "openapi.json"), "rb") as f:
            want = f.read()
        daemon = self.start(None)
        got = daemon.get("/openapi.json")
        self.assertEqual((got.body, got.headers["content-type"]), (want, "application/json"))
        self.assertEqual(gzip.decompress(daemon.get("/openapi.json", PACKED).body), want)


if __name__ == "__main__":
    main()
