"""Redaction by a real observerd: canaries of each kind in every field over every transport, and then no file, message of the
feed, view, line of the log or outgoing call has one; tokens are the same everywhere and after a restart."""

import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
import unittest

from feed_client import Follower
from harness import SLOW, DaemonTest, Sub, learning_rows, main, pack, wait_until
from keys import new_key
from model_server import ModelServer

POST = "/v1/observer/event"


def letters(name, n, alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"):
    """Letters as random as a key's, always the same for a name."""
    digest = b"".join(hashlib.sha256(("%s%d" % (name, i)).encode()).digest() for i in range(n // 32 + 1))
    return "".join(alphabet[b % len(alphabet)] for b in digest[:n])


def card(name):
    digits = "4" + letters(name, 14, "0123456789")
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(digits))
    return digits + str(-total % 10)


class Canary:
    """Of each kind a text that has a secret in it, and what of it must be seen nowhere. `place` makes it a new one."""

    def __init__(self, place):
        key = letters(place, 60)
        self.secrets = {
            "API_KEY": "ghp_" + key[:36],
            "AWS_SECRET": letters(place + "aws", 40),
            "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi" + letters(place + "jwt", 30) + "." + letters(place + "sig", 43),
            "AUTH": letters(place + "auth", 40),
            "PRIVATE_KEY": "MIIE" + letters(place + "pem", 60),
            "URL_PASSWORD": "pw" + letters(place + "pw", 12),
            "URL_SECRET": letters(place + "url", 24),
            "EMAIL": "canary." + letters(place + "mail", 10, "abcdefghijkmnopq") + "@example.com",
            "CARD": card(place),
            "PHONE": "+49 30 9" + letters(place + "phone", 7, "123456789"),
        }
        around = {"AWS_SECRET": "aws_secret_access_key=%s", "AUTH": "Authorization: Bearer %s",
                  "PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----",
                  "URL_PASSWORD": "postgres://app:%s@db.example:5432/main", "URL_SECRET": "GET https://h.example/x?token=%s&a=1"}
        self.texts = {kind: "about " + around.get(kind, "%s") % secret + " here" for kind, secret in self.secrets.items()}
        self.all = " and ".join(self.texts.values())


def escaped(text):
    """A JSON string in which every letter is escaped."""
    return '"%s"' % "".join("\\u%04x" % ord(c) for c in text)


FIELDS = ("endpoint", "input_summary", "output_summary", "error", "source", "staffer_id", "sig_hash", "event_kind", "role", "city",
          "state", "task_class", "correction", "op_id", "session_id", "cycle_id")


class Seen:
    """Where canaries were planted, and a search for all of them in bytes."""

    def __init__(self):
        self.canaries = []

    def plant(self, place):
        canary = Canary(place)
        self.canaries.append((place, canary))
        return canary

    def found_in(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        return ["%s of %s" % (kind, place) for place, canary in self.canaries for kind, secret in canary.secrets.items()
                if secret.encode() in data or base64.b64encode(secret.encode())[:-4] in data]


class Redact(DaemonTest):
    def ops_of(self, seen, transport):
        """Each kind in every field; of ops, what is nested, keys and unknown fields."""
        ops = []
        for field in FIELDS:
            canary = seen.plant("%s-%s" % (transport, field))
            for text in canary.texts.values():
                ops.append({"endpoint": "/v1/x", "input_summary": "i", "output_summary": "o", "success": False, field: text})
        canary = seen.plant(transport + "-nested")
        for kind, text in canary.texts.items():
            ops.append({"endpoint": "/v1/y", "success": True, "unknown": text, text: kind, "deep": [[{"k": [text]}]],
                        "extra": {"a": {"b": [text, {text: text}]}, "headers": {"authorization": canary.secrets["AUTH"]},
                                  "aws_secret_access_key": canary.secrets["AWS_SECRET"]}})
        ops.append({"endpoint": "/v1/z", "success": False, "error": canary.all})
        return ops

    def rejects_of(self, seen, transport):
        """Messages that are refused: for what they say, broken, cut off, with no format at all."""
        canary = seen.plant(transport + "-reject")
        out = []
        for text in list(canary.texts.values()) + [canary.all]:
            wrong = {"endpoint": "/v1/x", "success": text, "error": text}
            out += [json.dumps(wrong).encode(), pack(wrong), json.dumps({"endpoint": text, "duration_ms": -1}).encode(),
                    json.dumps({"endpoint": "", text: [text]}).encode(), b'{"endpoint":"' + text.encode(),
                    b'{"endpoint":%s}' % text.encode(), pack({"endpoint": text})[:-3], b"\x82\xa8endpoint\xc1" + text.encode(),
                    b'{"endpoint":"","x":%s}' % escaped(text).encode(), b"\x82\xa8endpoint\xc1" + text.encode(),
                    "\u2192 ".encode() + text.encode(), "\u00fcber ".encode("latin-1") + text.encode(), "\ufeff".encode() + text.encode(),
                    b"\0" + text.encode("utf-32-le"), b"\0" + text.encode("utf-16-be")]
        return out

    def check_files(self, seen, daemon):
        for folder, _, names in os.walk(daemon.data_dir):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    self.assertEqual(seen.found_in(f.read()), [], name)
        for row in daemon.rejected_rows():
            self.assertEqual(seen.found_in(base64.b64decode(row["bytes"])), [], row["reason"])

    def check_views(self, seen, daemon):
        for path in ("health", "stats", "summary", "ops?limit=1000", "sessions", "sessions/stats", "clusters?limit=1000", "repeats",
                     "analyses", "playbooks", "escalations", "analyses?full=true", "clusters?full=true"):
            answer = daemon.request("GET", "/v1/observer/" + path, described=False)
            self.assertIn(answer.status, (200, 400), path)
            self.assertEqual(seen.found_in(answer.body), [], path)

    def test_canaries(self):
        seen = Seen()
        services = {name: ModelServer.start(self) for name in ("model", "team", "gateway")}
        said = seen.plant("model-says")
        services["model"].set(text=json.dumps({"cause": said.all, "adjust": said.all, "dont": said.texts["EMAIL"],
                                               "claims": [{"text": said.all, "seqs": [1, 2]}]}))
        services["team"].set(raw=json.dumps({"answer": seen.plant("team-says").all}))
        corrections = os.path.join(self.tmp, "corrections.jsonl")
        daemon = self.start(args=("--redact", "all", "--cycle", "100ms", "--log-level", "debug", "--lakehouse-url", services["model"].url,
                                  "--llm-team-url", services["team"].url, "--gateway-url", services["gateway"].url,
                                  "--overseer-corrections-path", corrections), feed="tcp://127.0.0.1:0")
        total = 0
        with Follower(Sub(daemon.url("feed"), timeout=60 * SLOW)) as follower:
            # The bus: msgpack and JSON, with and without a topic.
            ops = self.ops_of(seen, "pull")
            with daemon.push() as push:
                for op in ops[::2]:
                    push.send(pack(op))
                push.send(b"op.x\0" + json.dumps(ops[1::2]).encode())
            total += len(ops)
            daemon.wait_total(total)
            ops = self.ops_of(seen, "sub")
            with daemon.pub() as pub:
                for op in ops:
                    pub.send(b"op.%s\0" % seen.canaries[-1][1].secrets["EMAIL"].encode() + pack(op))
                total += len(ops)
                daemon.wait_total(total)
            ops = self.ops_of(seen, "rep")
            with daemon.req() as req:
                self.assertEqual(req.request(pack(ops))["accepted"], len(ops))
                total += len(ops)
                for message in self.rejects_of(seen, "rep"):
                    self.assertEqual(seen.found_in(req.request_raw(message)), [])
                question = seen.plant("question")
                for text in question.texts.values():
                    self.assertEqual(seen.found_in(req.request_raw(pack({"advice": {"endpoint": text, "session_id": text}}))), [])
                    wrong = json.dumps({"advice": {"endpoint": text, text: text}}).encode()
                    self.assertEqual(seen.found_in(req.request_raw(wrong)), [])
            with daemon.push() as push:
                for message in self.rejects_of(seen, "pull"):
                    push.send(message)
            # HTTP: JSON, one a line, msgpack, gzip, escaped.
            json_type, msgpack_type = {"content-type": "application/json"}, {"content-type": "application/msgpack"}
            for name, path, encode, headers in (
                    ("legacy", "/event", lambda ops: json.dumps(ops).encode(), json_type),
                    ("v1", POST, lambda ops: json.dumps(ops).encode(), json_type),
                    ("lines", POST, lambda ops: "\n".join(map(json.dumps, ops)).encode(), {"content-type": "application/x-ndjson"}),
                    ("msgpack", POST, pack, msgpack_type),
                    ("gzip", POST, lambda ops: gzip.compress(json.dumps(ops).encode()), dict(json_type, **{"content-encoding": "gzip"})),
                    ("escaped", POST, lambda ops: re.sub(r'"((?:[^"\\]|\\.)*)"', lambda m: escaped(json.loads(m.group(0))),
                                                         json.dumps(ops)).encode(), json_type)):
                ops = self.ops_of(seen, "http-" + name)
                answer = daemon.post(path, encode(ops), headers)
                self.assertEqual((answer.status, answer.json["count"]), (200, len(ops)), (name, answer))
                total += len(ops)
            for message in self.rejects_of(seen, "http"):
                answer = daemon.post(POST, message, msgpack_type if message[0] >= 0x80 else json_type)
                self.assertEqual((answer.status, seen.found_in(answer.body)), (400, []), (message, answer))
            # Session records, good and bad; reviews; parameters.
            self.sessions(seen, daemon)
            review = seen.plant("review")
            for text in list(review.texts.values()) + [review.all]:
                answer = daemon.post("/v1/observer/review", {"text": "Filled 3 of 3: " + text, "context": {"endpoint": text, "session_id": text[:200]}})
                self.assertEqual((answer.status in (200, 202, 400), seen.found_in(answer.body)), (True, []), answer)
                daemon.post("/v1/observer/review", {"op": {"endpoint": text, "output_summary": text, "success": True}})
            query = seen.plant("query")
            for text in query.texts.values():
                for path in ("advice?endpoint=%s&session_id=%s", "ops?q=%s&session_id=%s", "clusters?endpoint=%s&%s=1"):
                    quoted = "".join("%%%02X" % c for c in text.encode())
                    daemon.request("GET", "/v1/observer/" + path % (quoted, quoted), described=False)
            # The file of corrections: also where a summary is cut in the middle of a secret.
            rows = []
            for pad in range(0, 200, 12):
                canary = seen.plant("correction-%d" % pad)
                rows += [{"created_at": "2026-01-15T09:30:00Z", "task_class": canary.texts["EMAIL"], "reason": canary.all, "model": "m",
                          "correction": "x" * pad + " " + text, "sig_hash": canary.texts["API_KEY"]} for text in canary.texts.values()]
            with open(corrections, "w", encoding="utf-8") as f:
                f.write("".join(json.dumps(row) + "\n" for row in rows) + "not a row: %s\n" % seen.plant("bad-correction").all)
            total += len(rows)
            daemon.wait_total(total if total < 2000 else 2000, 60)
            wait_until(lambda: daemon.get("/v1/observer/health").json["state"]["total"] == total, 60, "all ops")
            # What the services are sent, and what they say, becomes rows.
            for name, path in (("model", "/ai/generate"), ("team", "/api/run"), ("gateway", "/log")):
                wait_until(lambda name=name, path=path: services[name].requests(path), 60, "a call of the " + name)
            wait_until(lambda: learning_rows(daemon, "analyses.jsonl") and learning_rows(daemon, "escalations.jsonl"), 60, "what is learned")
            follower.take_to_seq(total)
            self.assertEqual(seen.found_in(repr([follower.ops, follower.others])), [])
        self.check_views(seen, daemon)
        counts = daemon.get("/health").json["redaction"]
        self.assertEqual(counts["kinds"], "all")
        self.assertEqual([kind for kind, n in counts["redacted"].items() if n == 0], [])
        daemon.stop()
        self.check_files(seen, daemon)
        self.assertEqual(seen.found_in(daemon.stderr() + daemon.stdout()), [])
        for name, service in services.items():
            self.assertEqual(seen.found_in(json.dumps(service.requests(), ensure_ascii=False)), [], name)
        # And the tokens are there: of each kind in every field, the same wherever the same secret stood.
        with open(os.path.join(daemon.data_dir, "ops.jsonl"), encoding="utf-8") as f:
            journal = f.read()
        for kind in Canary("x").secrets:
            for field in FIELDS:
                self.assertRegex(journal, r'"%s":"[^"]*\[%s_[0-9a-f]{12}\]' % (field, kind))
        nested = json.loads([line for line in journal.splitlines() if '"/v1/y"' in line and "[EMAIL_" in line][0])
        token = re.search(r"\[EMAIL_\w+\]", nested["unknown"]).group(0)
        self.assertEqual(json.dumps(nested).count(token), 6)
        # Replayed by the daemon itself, and published again: rows stay what they are.
        daemon.restart()
        self.check_views(seen, daemon)
        daemon.stop()

    def sessions(self, seen, daemon):
        canary = seen.plant("session")
        for text in list(canary.texts.values()) + [canary.all]:
            record = {"schema": "coordinator.session.v1", "session_id": text, "started_at": text, "notes": text, text: [text]}
            answer = daemon.request("POST", "/v1/observer/session", record, described=False)
            self.assertEqual(seen.found_in(answer.body), [])
            with daemon.push() as push:
                push.send(b"session\0" + pack(record))

    @unittest.skipUnless(shutil.which("nngcat"), "nngcat is not installed")
    def test_web_sockets(self):
        seen = Seen()
        daemon = self.start(args=("--redact", "all"), pull="ws://127.0.0.1:0/pull")
        for text in seen.plant("ws").texts.values():
            op = json.dumps({"endpoint": text, "success": False, "error": text})
            subprocess.run(["nngcat", "--push", "--dial=" + daemon.url("pull"), "--data=" + op], check=True, timeout=60)
        daemon.wait_total(len(Canary("x").secrets))
        daemon.stop()
        self.check_files(seen, daemon)

    def test_secrets_are_the_default(self):
        seen = Seen()
        daemon = self.start()
        canary = seen.plant("default")
        daemon.post(POST, {"endpoint": "/a", "success": False, "error": canary.all})
        row = daemon.journal_rows()[0]["error"]
        for kind, secret in canary.secrets.items():
            self.assertEqual(secret in row, kind in ("EMAIL", "CARD", "PHONE"), kind)
        self.assertIn("redaction secrets: API_KEY AWS_SECRET JWT AUTH PRIVATE_KEY URL_PASSWORD URL_SECRET\n", daemon.stderr())

    def test_keys_of_each_provider(self):
        """Those that proto/redaction.md names; each looks as its provider makes it."""
        lower = "0123456789abcdef"
        keys = ["sk-proj-" + letters("openai", 48), "sk-ant-api03-" + letters("anthropic", 80), "sk-or-v1-" + letters("or", 64, lower),
                "sk-lf-9f3c1a7b-e042-4d85-a613-fa0011223344", "sk_live_" + letters("stripe", 24),
                "AKIA" + letters("aws", 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), "ghp_" + letters("github", 36),
                "glpat-" + letters("gitlab", 20), "xoxb-263594206564-2343594206574-" + letters("slack", 24),
                "AIza" + letters("google", 35), "hf_" + letters("hf", 34), "gsk_" + letters("groq", 52), "xai-" + letters("xai", 80),
                "pplx-" + letters("perplexity", 48), "r8_" + letters("replicate", 37),
                "SG.%s.%s" % (letters("sg", 22), letters("sendgrid", 43)), "npm_" + letters("npm", 36),
                "pypi-AgEIcHlwaS5vcmc" + letters("pypi", 60), "shpat_" + letters("shopify", 32, lower),
                "dop_v1_" + letters("do", 64, lower), "hvs." + letters("vault", 90), "dapi" + letters("databricks", 32, lower),
                "glsa_%s_%s" % (letters("grafana", 32), letters("g", 8, lower)), "sntrys_" + letters("sentry", 80),
                "PMAK-%s-%s" % (letters("pm", 24, lower), letters("postman", 34, lower)), "dckr_pat_" + letters("docker", 27),
                new_key()]
        daemon = self.start()
        daemon.post(POST, [{"endpoint": "/a", "success": False, "error": "the key %s was refused" % key} for key in keys])
        for key, row in zip(keys, daemon.journal_rows(), strict=True):
            self.assertRegex(row["error"], r"^the key \[API_KEY_[0-9a-f]{12}\] was refused$", key)

    def test_what_is_not_found(self):
        """proto/redaction.md says so: nothing tells these apart from other text, or they are no text."""
        daemon = self.start(args=("--redact", "all"))
        key = "ghp_" + letters("hidden", 36)
        said = {"error": "psql --password=hunter2 with " + base64.b64encode(key.encode()).decode(), "card": 4111111111111111,
                "input_summary": "the first part is " + key[:8], "output_summary": "the second part is " + key[8:], "password": "hunter2"}
        daemon.post(POST, {"endpoint": "/a", "success": False, **said})
        row = daemon.journal_rows()[0]
        self.assertEqual({name: row[name] for name in said}, said)

    def test_off(self):
        daemon = self.start(args=("--redact", "off"))
        text = Canary("off").all
        daemon.post(POST, {"endpoint": "/a", "success": False, "error": text})
        self.assertEqual(daemon.journal_rows()[0]["error"], text)
        self.assertIn("redaction is off", daemon.stderr())
        self.assertFalse(os.path.exists(os.path.join(daemon.data_dir, "redact.key")))

    def test_a_secret_keeps_its_token(self):
        """After a restart, on another transport: so what is known by it is known again."""
        daemon = self.start(args=("--redact", "all"))
        op = {"endpoint": "/a", "success": True, "op_id": "signup:alice@example.com", "session_id": "alice@example.com"}
        self.assertEqual(daemon.post(POST, op).json, {"accepted": True, "ring_size": 1})
        daemon.restart()
        with daemon.req() as req:
            self.assertEqual(req.request(pack(op))["duplicates"], 1)
        first = daemon.journal_rows()[0]
        self.assertRegex(first["session_id"], r"^\[EMAIL_[0-9a-f]{12}\]$")
        self.assertEqual(first["op_id"], "signup:" + first["session_id"])
        for asked in ("alice@example.com", first["session_id"].replace("[", "%5B").replace("]", "%5D")):
            found = daemon.get("/v1/observer/ops?session_id=" + asked).json["ops"]
            self.assertEqual([row["op"]["session_id"] for row in found], [first["session_id"]], asked)
        key = os.path.join(daemon.data_dir, "redact.key")
        self.assertEqual((os.path.getsize(key), stat.S_IMODE(os.stat(key).st_mode)), (32, 0o600))
        # Another installation has other tokens.
        other = self.start(data_dir="other", args=("--redact", "all"))
        other.post(POST, op)
        self.assertNotEqual(other.journal_rows()[0]["session_id"], first["session_id"])

    def test_what_was_recorded_before_stays(self):
        """But does not leave by a call, and a row that cannot be read is set aside redacted."""
        seen = Seen()
        canary = seen.plant("before")
        os.mkdir(os.path.join(self.tmp, "data"), 0o700)
        old = {"timestamp": "2026-01-15T09:30:00Z", "endpoint": "/a", "input_summary": "i", "success": False, "duration_ms": 1,
               "output_summary": "o", "error": canary.all, "source": "mcp"}
        lines = [json.dumps(old)] * 4 + ['{"endpoint":"%s", broken' % canary.texts["EMAIL"]]
        with open(os.path.join(self.tmp, "data", "ops.jsonl"), "w", encoding="utf-8") as f:
            f.write("".join(line + "\n" for line in lines))
        model = ModelServer.start(self)
        daemon = self.start(args=("--redact", "all", "--cycle", "100ms", "--lakehouse-url", model.url))
        self.assertEqual(json.loads(daemon.journal_lines()[0]), old)
        daemon.post(POST, [dict(old, timestamp=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))] * 6)
        wait_until(lambda: model.requests("/ai/generate"), 30, "a question to the model")
        daemon.stop()
        self.assertEqual(seen.found_in(json.dumps(model.requests())), [])
        with open(os.path.join(daemon.data_dir, "bad-rows.jsonl"), encoding="utf-8") as f:
            bad = f.read()
        self.assertIn("[EMAIL_", bad)
        self.assertEqual(seen.found_in(bad + daemon.stderr()), [])

    def test_rejects_can_be_published_again(self):
        daemon = self.start(args=("--redact", "all"))
        with daemon.push() as push:
            push.send(pack({"endpoint": "alice@example.com", "duration_ms": -1, "x": "alice@example.com"}))
            push.send(b'{"endpoint":"alice\\u0040example.com","duration_ms":-1}')
            push.send(gzip.compress(b'{"endpoint":"alice@example.com"}'))
        wait_until(lambda: len(daemon.rejected_rows()) >= 3, 10, "the rejects")
        rows = [base64.b64decode(row["bytes"]) for row in daemon.rejected_rows()]
        self.assertRegex(rows[0], rb"^\x83\xa8endpoint\xb4\[EMAIL_[0-9a-f]{12}\]\xabduration_ms\xff\xa1x\xb4\[EMAIL_")
        self.assertRegex(rows[1], rb'^{"endpoint":"\[EMAIL_[0-9a-f]{12}\]","duration_ms":-1}$')
        self.assertEqual(set(rows[2:]), {b""})  # nobody can look into these

    def test_patterns(self):
        daemon = self.start(args=("--redact-pattern", r"badge=\bB-\d{6}\b", "--redact-pattern", r"BOOM=^(a+)+$"))
        answer = daemon.post(POST, [{"endpoint": "/a", "success": False, "error": "B-123456 at the door"},
                                    {"endpoint": "/b", "success": False, "error": "a" * 60 + "b"}])
        self.assertEqual(answer.json["count"], 2)
        rows = daemon.journal_rows()
        self.assertRegex(rows[0]["error"], r"^\[BADGE_[0-9a-f]{12}\] at the door$")
        self.assertRegex(rows[1]["error"], r"^\[BOOM_[0-9a-f]{12}\]$")
        counts = daemon.get("/health").json["redaction"]
        self.assertEqual(counts["patterns"], {"BADGE": 1, "BOOM": 1})
        self.assertGreaterEqual(counts["pattern_failures"], 1)

    def test_patterns_that_are_wrong(self):
        for pattern, why in (("x", "redact-pattern x: must be NAME=REGEX"),
                             ("A=(b", "redact-pattern A: at character 3 of the expression: missing closing parenthesis"),
                             ("email=b", "redact-pattern email: the name is that of a built-in kind")):
            for more in ((), ("--check-config",)):
                code, stderr = self.make(args=("--redact-pattern", pattern, *more)).run_to_exit()
                self.assertEqual((code, stderr), (2, "observerd: %s\n" % why), (pattern, more))

    def test_a_key_that_others_can_read(self):
        daemon = self.start()
        path = os.path.join(daemon.data_dir, "redact.key")
        daemon.stop()
        os.chmod(path, 0o640)
        code, stderr = self.make().run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("redaction: %s: others can read it, must be 0600" % path, stderr)
        os.chmod(path, 0o600)
        with open(path, "wb") as f:
            f.write(b"short")
        code, stderr = self.make().run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("redaction: %s: must have 32 bytes" % path, stderr)
        os.unlink(path)
        os.mkfifo(path, 0o600)
        code, stderr = self.make().run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("redaction: %s: is not a file" % path, stderr)

    def test_a_key_that_was_lost(self):
        """A new key is said where there is a journal: its tokens are others."""
        lost = "redact.key was not there, a new one was made"
        daemon = self.start()
        self.assertEqual(daemon.post(POST, [{"endpoint": "/a", "success": True}]).json["count"], 1)
        daemon.stop()
        self.assertNotIn(lost, daemon.stderr())
        daemon = self.start()
        daemon.stop()
        self.assertNotIn(lost, daemon.stderr())
        os.unlink(os.path.join(daemon.data_dir, "redact.key"))
        daemon = self.start()
        daemon.stop()
        self.assertIn(lost, daemon.stderr())


if __name__ == "__main__":
    main()
