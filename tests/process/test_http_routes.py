"""Every route alike, from the printed table: HEAD, gzip, the newline, other methods; and proto/openapi.json as a document."""

import gzip
import json
import re
import subprocess

from described import document
from harness import OBSERVERD, DaemonTest, main
from taught import CHAT, V1, get, post, taught

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What a route asks for in the query string.
QUERIES = {"advice": "?endpoint=" + CHAT, "timeline": "?sig_hash=t", "trajectory": "?sig_hash=t"}
BODIES = {"event": {"endpoint": "/a", "success": True}, "session": {"final_verdict": "accepted"}, "review": {"text": "done"},
          "silences": {"matchers": [{"name": "rule", "value": "none"}], "for": "1h"}}


def routes():
    """(method, path) of each."""
    return [tuple(line.split()[:2]) for line in subprocess.check_output([OBSERVERD, "--routes"], text=True).splitlines()]


def is_json(path):
    return "application/json" in document()["paths"][path]["get"]["responses"]["200"]["content"]


class Routes(DaemonTest):
    def test_each(self):
        daemon = taught(self)
        post(daemon, [{"endpoint": CHAT, "success": False, "error": "429: tenant 7 has used up its minute", "sig_hash": "t"}] * 3)
        review = daemon.post(V1 + "review", {"text": "done"}).json["id"]
        ids = {"clusters/{id}": get(daemon, "clusters")["clusters"][0]["id"], "analyses/{id}": "1", "escalations/{id}": "1",
               "playbooks/{id}": get(daemon, "playbooks")["playbooks"][0]["id"], "review/{id}": review, "ops/{seq}": "1"}
        by_path = {}
        for method, path in routes():
            self.assertNotIn(method, by_path.setdefault(path, []))
            by_path[path].append(method)
        for path, methods in by_path.items():
            name = path.removeprefix("/v1").removeprefix("/observer").removeprefix("/")
            if name == "assets/{name}":
                continue  # test_page.py
            sent = re.sub(r"\{\w+\}", ids.get(name, ""), path) + QUERIES.get(name, "")
            with self.subTest(path=sent):
                if name == "fleet":  # this daemon is alone; test_fleet_picture.py
                    self.assertEqual(daemon.get(sent).status, 400)
                elif "GET" in methods and is_json(path):
                    self.check_get(daemon, sent)
                elif "GET" in methods:
                    self.check_get_text(daemon, sent)
                if "POST" in methods:
                    self.check_post(daemon, sent, BODIES[name])
                if "DELETE" in methods:
                    self.check_delete(daemon, sent + str(daemon.post(V1 + name.split("/")[0], BODIES[name.split("/")[0]]).json["id"]))
                taken = [m for method in ("GET", "POST", "DELETE") if method in methods
                         for m in (("GET", "HEAD") if method == "GET" else (method,))]
                self.check_others(daemon, sent + ("1" if sent != "/" and sent.endswith("/") else ""), taken)
        for path in ("/nothing", "/v1/observer/nothing", "/v1/observer/", "/v1/observer/clusters/", "/v1/observer/clusters/a/b"):
            for method in METHODS:
                answer = daemon.request(method, path)
                self.assertEqual((answer.status, answer.body), (404, b"" if method == "HEAD" else b'{"error":"not found"}\n'))

    def check_get_text(self, daemon, path):
        plain, head = daemon.get(path), daemon.request("HEAD", path)
        self.assertEqual((plain.status, head.status, head.body), (200, 200, b""))
        self.assertEqual(head.headers["content-type"], plain.headers["content-type"])
        packed = daemon.get(path, {"accept-encoding": "gzip"})
        self.assertEqual((packed.status, packed.headers["content-encoding"]), (200, "gzip"))
        self.assertGreater(len(gzip.decompress(packed.body)), len(packed.body))

    def check_get(self, daemon, path):
        plain = daemon.get(path)
        self.assertEqual((plain.status, plain.headers["content-type"]), (200, "application/json"), plain)
        self.assertTrue(plain.body.endswith(b"}\n"))
        self.assertNotIn("content-encoding", plain.headers)
        self.assertEqual(int(plain.headers["content-length"]), len(plain.body))

        head = daemon.request("HEAD", path)
        self.assertEqual((head.status, head.body, head.headers["content-type"]), (200, b"", "application/json"))
        self.assertGreater(int(head.headers["content-length"]), 0)

        packed = daemon.get(path, {"accept-encoding": "gzip"})
        self.assertEqual(packed.status, 200)
        if "content-encoding" in packed.headers:
            self.assertEqual((packed.headers["content-encoding"], packed.headers["vary"]), ("gzip", "accept-encoding"))
            body = gzip.decompress(packed.body)
            self.assertGreater(len(body), len(packed.body))
        else:
            body = packed.body
            self.assertLess(len(body), 1400)  # what is small is not worth it
        self.assertTrue(body.endswith(b"}\n"))
        self.assertEqual(set(json.loads(body)), set(plain.json))

    def check_post(self, daemon, path, body):
        answer = daemon.post(path, body)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"), answer)
        self.assertTrue(answer.body.endswith(b"}\n"))
        zipped = daemon.request("POST", path, gzip.compress(json.dumps(body).encode()),
                                {"content-type": "application/json", "content-encoding": "gzip"})
        self.assertEqual(zipped.status, 200, zipped)

    def check_delete(self, daemon, path):
        answer = daemon.request("DELETE", path)
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"), answer)
        self.assertEqual(daemon.request("DELETE", path).status, 404)
        foreign = daemon.request("DELETE", path, headers={"origin": "http://elsewhere.example"})
        self.assertEqual(foreign.status, 403, foreign)

    def check_others(self, daemon, path, taken):
        for method in METHODS:
            if method in taken:
                continue
            answer = daemon.request(method, path, b"{}" if method in ("POST", "PUT", "PATCH") else None)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, ", ".join(taken)), (method, answer))
            self.assertEqual(answer.body, b"" if method == "HEAD" else b'{"error":"method not allowed"}\n')


def walk(node, path=""):
    """Each object of the document, with where it is."""
    if isinstance(node, dict):
        yield path, node
        for name, value in node.items():
            yield from walk(value, "%s/%s" % (path, name))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from walk(value, "%s/%d" % (path, i))


class Document(DaemonTest):
    """What linters and generators of clients ask for; `redocly lint` finds nothing where these hold."""

    def operations(self):
        for path, item in document()["paths"].items():
            for method, operation in item.items():
                yield path, method, operation

    def test_operations(self):
        # A key by one of these, or, without a key file, none.
        self.assertEqual(document()["security"], [{name: []} for name in document()["components"]["securitySchemes"]] + [{}])
        for path, _, operation in self.operations():
            self.assertEqual(operation.get("security"), [] if operation["x-scope"] == ["public"] else None, path)
        self.assertEqual(set(document()["info"]["license"]), {"name", "identifier"})
        tags = [tag["name"] for tag in document()["tags"]]
        self.assertTrue(all(tag["description"] for tag in document()["tags"]))
        ids, used = [], set()
        for path, method, operation in self.operations():
            ids.append(operation["operationId"])
            self.assertEqual(len(operation["tags"]), 1, path)
            used.update(operation["tags"])
            self.assertTrue(operation["summary"], path)
            parameters = operation.get("parameters", [])
            self.assertTrue(all(p["description"] for p in parameters), path)
            self.assertEqual([p["name"] for p in parameters if p["in"] == "path"], re.findall(r"\{(\w+)\}", path))
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(sorted(tags), sorted(used))

    def test_older_paths_are_marked(self):
        for path, method, operation in self.operations():
            if path.startswith("/v1/observer/") or path in ("/", "/assets/{name}", "/openapi.json", "/metrics", "/livez", "/readyz"):
                self.assertNotIn("deprecated", operation, path)
                continue
            self.assertIs(operation["deprecated"], True, path)
            self.assertIn(method, document()["paths"][operation["x-alias-of"]], path)

    def test_required_members_are_defined(self):
        schemas = document()["components"]["schemas"]
        for where, node in walk(document()["components"]):
            if isinstance(node.get("required"), list):
                defined = set(node.get("properties", {}))
                for part in node.get("allOf", []):
                    defined.update(schemas[part["$ref"].rpartition("/")[2]]["properties"])
                self.assertLessEqual(set(node["required"]), defined, where)

    def test_alternatives_are_told_apart(self):
        """oneOf only of what cannot be both: values of different types."""
        def type_of(schema):
            return "object" if "$ref" in schema else schema["type"]
        for where, node in walk(document()):
            if "oneOf" in node:
                types = [type_of(schema) for schema in node["oneOf"]]
                self.assertEqual(len(types), len(set(types)), where)

    def test_everything_is_used(self):
        text = json.dumps(document())
        for kind, parts in document()["components"].items():
            for name in parts if kind != "securitySchemes" else []:
                self.assertIn('"#/components/%s/%s"' % (kind, name), text)

    def test_optional_members_of_requests_are_optional(self):
        """A default makes a member required for some generators; and nothing but its text is needed for a review."""
        schemas = document()["components"]["schemas"]
        def of_request(node, seen):
            for where, part in walk(node):
                self.assertNotIn("default", part, where)
                name = part.get("$ref", "").rpartition("/")[2]
                if name and name not in seen:
                    seen.add(name)
                    of_request(schemas[name], seen)
        for path, _, operation in self.operations():
            if "requestBody" in operation:
                of_request(operation["requestBody"], set())
        self.assertEqual(schemas["ReviewRequest"].get("required", []), [])
        self.assertEqual(schemas["ObservedOp"].get("required", []), [])


if __name__ == "__main__":
    main()
