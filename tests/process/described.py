"""What proto/openapi.json says of answers, and whether they are so. harness.py checks every answer that a test gets."""

import functools
import gzip
import json
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}


@functools.lru_cache(maxsize=None)
def document():
    with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
        return json.load(f)


class Schemas:
    """The part of JSON Schema that the document uses. Members that a schema does not name are wrong, too, where it names
    some."""

    def __init__(self):
        self.all = document()["components"]["schemas"]

    def check(self, value, name):
        self.check_as(value, self.all[name], name)

    def check_as(self, value, schema, where):
        if "$ref" in schema:
            schema = self.all[schema["$ref"].split("/")[-1]]
        if "allOf" in schema:
            schema = self.joined(schema)
        if "anyOf" in schema:
            self.check_any(value, schema["anyOf"], where)
        if "enum" in schema:
            assert value in schema["enum"], (where, value)
        if "const" in schema:
            assert value == schema["const"], (where, value)
        if "type" in schema:
            self.check_type(value, schema, where)
        if isinstance(value, str) and "pattern" in schema:
            assert re.search(schema["pattern"], value), (where, value)
        if isinstance(value, (int, float)):
            assert schema.get("minimum", value) <= value <= schema.get("maximum", value), (where, value)
        if isinstance(value, list):
            assert len(value) <= schema.get("maxItems", len(value)), (where, len(value))
            for i, item in enumerate(value):
                self.check_as(item, schema.get("items", {}), "%s[%d]" % (where, i))
        if isinstance(value, dict):
            self.check_members(value, schema, where)

    def joined(self, schema):
        """An object that is several: the members of all of them."""
        parts = [self.all[part["$ref"].split("/")[-1]] if "$ref" in part else part for part in schema["allOf"]]
        parts = [self.joined(part) if "allOf" in part else part for part in parts] + [schema]
        out = {"type": "object", "properties": {k: v for part in parts for k, v in part.get("properties", {}).items()},
               "required": [name for part in parts for name in part.get("required", [])]}
        if any(part.get("additionalProperties") for part in parts):
            out["additionalProperties"] = {}
        return out

    def check_any(self, value, schemas, where):
        wrong = []
        for schema in schemas:
            try:
                return self.check_as(value, schema, where)
            except AssertionError as e:
                wrong.append(e.args)
        raise AssertionError(where, "is none of those it may be", wrong)

    def check_type(self, value, schema, where):
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        fits = [t for t in types if isinstance(value, TYPES[t]) and (t == "boolean" or not isinstance(value, bool))]
        assert fits, (where, value, types)

    def check_members(self, value, schema, where):
        missing = set(schema.get("required", [])) - set(value)
        assert not missing, (where, "missing", missing)
        known = schema.get("properties")
        for name, member in value.items():
            assert known is None or name in known or "additionalProperties" in schema, (where, "unknown", name)
            other = schema.get("additionalProperties", {})
            described = (known or {}).get(name, {} if other is True else other)
            self.check_as(member, described, "%s.%s" % (where, name))


@functools.lru_cache(maxsize=None)
def patterns():
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), item) for path, item in document()["paths"].items()]


def operation_of(method, path):
    """What the document has for a request; None: nothing."""
    path = path.partition("?")[0]
    for pattern, item in sorted(patterns(), key=lambda p: "[^/]+" in p[0].pattern):
        if pattern.fullmatch(path):
            return item.get(method.lower())
    return None


def check_answer(method, path, status, headers, body):
    """Fails when an answer of a described route is another one than is described. `body`: bytes."""
    operation = operation_of(method, path)
    if operation is None:
        return
    where = "%s %s: %d" % (method, path, status)
    response = operation["responses"].get(str(status))
    assert response is not None, where + " is not described"
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].split("/")[-1]]
    if "content" not in response:
        assert body == b"" and "content-type" not in headers, (where, headers, body)
        return
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    kind = headers["content-type"].partition(";")[0]
    assert kind in response["content"] and body.endswith(b"\n"), (where, headers, body[-20:])
    if kind != "application/json":
        return
    assert headers["content-type"] == kind, (where, headers)
    schema = response["content"][kind]["schema"]
    Schemas().check_as(json.loads(body), schema, where)
