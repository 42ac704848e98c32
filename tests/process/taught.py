"""A daemon that has learned something: what the tests of its routes and of observerctl's commands look at."""

import json
import os
import re

from harness import ROOT, wait_until
from model_server import ModelServer

V1 = "/v1/observer/"
CHAT, EMBED = "/v1/chat", "/v1/embed"


def chat_failures(n):
    return [{"endpoint": CHAT, "success": False, "error": "429: tenant %d has used up its minute" % i, "task_class": "fill",
             "input_summary": "fill order %d" % i, "staffer_id": "ann", "duration_ms": 40} for i in range(n)]


def lesson():
    """Successes at two endpoints, two kinds of failures, and a correction."""
    ops = [{"endpoint": CHAT, "success": True, "input_summary": "fill order %d" % i, "duration_ms": 100 + i, "staffer_id": "bob",
            "task_class": "fill"} for i in range(12)]
    ops += [{"endpoint": EMBED, "success": True, "input_summary": "embed page %d" % i, "duration_ms": 7} for i in range(6)]
    ops += chat_failures(12)
    ops += [{"endpoint": EMBED, "success": False, "error": "connection to shard %d refused" % i} for i in range(4)]
    ops.append({"endpoint": "overseer:m", "source": "overseer_correction", "success": True, "task_class": "fill",
                "correction": "wait a minute after a 429"})
    # After it more of the same task class succeed than fail; too few at an endpoint for a `do`.
    ops += [{"endpoint": "/v1/part/%s" % "abc"[i // 2], "success": True, "input_summary": "part", "task_class": "fill"}
            for i in range(6)]
    return ops


def get(daemon, path, status=200):
    answer = daemon.get(V1 + path)
    assert answer.status == status, (path, answer)
    return answer.json


def post(daemon, ops):
    answer = daemon.post(V1 + "event", ops)
    assert (answer.status, answer.json["rejected"]) == (200, 0), answer


def cycles(daemon):
    """How many cycles of learning have begun; one that comes while another is under way is missed."""
    learn = daemon.get("/health").json["learn"]
    return learn["cycles"] - learn["missed_cycles"]


def wait_cycles(daemon, n):
    """Until `n` cycles have begun and ended."""
    until = cycles(daemon) + n + 1
    wait_until(lambda: cycles(daemon) >= until, 10 + 2 * n, "%d cycles" % n)


def taught(test):
    """A daemon with analyses, do and don't entries, and an escalation, for which nothing changes any more: the one that
    learned all this has stopped, and it has cycles so long that none comes."""
    server = ModelServer.start(test)
    daemon = test.start(args=["--cycle", "100ms", "--cluster-quiet", "1000", "--playbook-cycles", "1", "--lakehouse-url", server.url, "--llm-team-url",
                              server.url, "--escalate-failures", "3"])
    post(daemon, lesson())
    wait_until(lambda: len(get(daemon, "analyses?scope=cluster")["analyses"]) == 2, 20, "an analysis of each cluster")
    post(daemon, chat_failures(4))  # the analysis has not settled it
    wait_until(lambda: get(daemon, "escalations")["escalations"], 20, "an escalation")
    wait_until(lambda: len(get(daemon, "playbooks")["playbooks"]) == 4, 20, "two entries of each kind")
    daemon.stop()
    daemon.args[daemon.args.index("--cycle") + 1] = "3600"
    daemon.start()
    wait_until(lambda: get(daemon, "advice?endpoint=" + CHAT)["clusters"], 20, "advice")
    return daemon


def document():
    with open(os.path.join(ROOT, "proto", "openapi.json"), encoding="utf-8") as f:
        return json.load(f)


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "null": type(None)}


class Schemas:
    """What openapi.json says of answers, and whether they are so: the part of JSON Schema that it uses. Members that it does
    not name are wrong, too, where it names some."""

    def __init__(self):
        self.all = document()["components"]["schemas"]

    def check(self, value, name):
        self.check_as(value, self.all[name], name)

    def check_as(self, value, schema, where):
        if "$ref" in schema:
            schema = self.all[schema["$ref"].split("/")[-1]]
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
            for i, item in enumerate(value):
                self.check_as(item, schema.get("items", {}), "%s[%d]" % (where, i))
        if isinstance(value, dict):
            self.check_members(value, schema, where)

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
            described = (known or {}).get(name, schema.get("additionalProperties", {}))
            self.check_as(member, described, "%s.%s" % (where, name))
