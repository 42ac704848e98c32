"""Every golden vector through a real daemon: PULL, SUB and REP, and HTTP in both profiles; journal rows, answers and
rejected.jsonl must be exactly what proto/vectors says."""

import base64
import glob
import json
import os
import re

from harness import ROOT, DaemonTest, main, wait_until

DEFAULT_TIME = re.compile(rb'^\{"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')
CONTENT_TYPES = {"json": "application/json", "msgpack": "application/msgpack"}


def build(spec):
    """The bytes that `input` (or a row) stands for; see proto/vectors/README.md."""
    if isinstance(spec, str):
        return spec.encode()
    if "hex" in spec:
        return bytes.fromhex(spec["hex"])
    if "text" in spec:
        return spec["text"].encode()
    if "parts" in spec:
        return b"".join(map(build, spec["parts"]))
    return build(spec["repeat"]) * spec["times"]


class Vector:
    def __init__(self, now, spec):
        self.name, self.via, self.format = spec["name"], spec["via"], spec.get("format")
        self.message = build(spec["input"])
        self.now = b'{"timestamp":"%s"' % now.encode()
        self.rows = []
        for row in spec["rows"]:
            again = isinstance(row, dict) and "repeat" in row
            self.rows += [build(row["repeat"])] * row["times"] if again else [build(row)]
        self.rejects = [(r["index"], r["reason"]) for r in spec["rejects"]]

    def same_row(self, line, want):
        """Whether a journal row is the expected one, whose default timestamp stands for any time."""
        if want.startswith(self.now):
            line = DEFAULT_TIME.sub(self.now, line)
        return line == want


def load(via):
    vectors = []
    for path in sorted(glob.glob(os.path.join(ROOT, "proto", "vectors", "*.json"))):
        with open(path, encoding="utf-8") as f:
            content = json.load(f)
        vectors += [Vector(content["now"], v) for v in content["vectors"]
                    if via in v["via"] and v.get("process", True)]
    return vectors


class Growing:
    """A file's lines as they come."""

    def __init__(self, path):
        self.path, self.offset = path, 0

    def take(self, count):
        """The next `count` lines, when there are that many; then, too, nothing may follow them."""
        if not os.path.exists(self.path):
            return [] if count == 0 else None
        with open(self.path, "rb") as f:
            f.seek(self.offset)
            data = f.read()
        lines = data.split(b"\n")[:-1]
        if len(lines) < count:
            return None
        assert len(lines) == count, "%d more lines than expected in %s: %r" % (len(lines) - count, self.path, lines[count])
        self.offset += sum(len(line) + 1 for line in lines)
        return lines


class VectorTest(DaemonTest):
    def run_vectors(self, via, transport, send):
        """`send(vector)` delivers one and returns an iterable of what is wrong with the answer."""
        vectors = load(via)
        self.assertGreater(len(vectors), 60)
        journal = Growing(os.path.join(self.daemon.data_dir, "ops.jsonl"))
        rejected = Growing(os.path.join(self.daemon.data_dir, "rejected.jsonl"))
        wrong = []
        for v in vectors:
            wrong += ["%s: %s" % (v.name, problem) for problem in send(v) or []]
            rows = self.expect(v, journal, len(v.rows), wrong)
            wrong += ["%s: row is %r, should be %r" % (v.name, line[:600], want[:600])
                      for line, want in zip(rows, v.rows) if not v.same_row(line, want)]
            refused = [json.loads(line) for line in self.expect(v, rejected, len(v.rejects), wrong)]
            wrong += self.check_refused(v, transport, refused)
        self.assertEqual(wrong, [], "%d wrong:\n%s" % (len(wrong), "\n".join(wrong[:40])))
        self.daemon.stop()
        self.assertEqual(journal.take(0), [])
        return vectors

    def expect(self, v, file, count, wrong):
        """The next `count` lines of a file. When they do not come, what follows could not be told apart: give up."""
        taken = []

        def arrived():
            lines = file.take(count)
            taken.extend(lines or [])
            return lines is not None

        try:
            wait_until(arrived, 5, "%d lines" % count)
        except AssertionError as e:
            self.fail("\n".join(wrong[-40:] + ["%s: %s: %s" % (v.name, os.path.basename(file.path), e)]))
        return taken

    @staticmethod
    def check_refused(v, transport, refused):
        if [(r["index"], r["reason"]) for r in refused] != v.rejects:
            yield "%s: rejected.jsonl has %r, should have %r" % (
                v.name, [(r["index"], r["reason"]) for r in refused], v.rejects)
        for r in refused:
            if r["transport"] != transport:
                yield "%s: rejected by %s" % (v.name, r["transport"])
            if base64.b64decode(r["bytes"]) not in v.message:
                yield "%s: the rejected bytes are not a part of the message" % v.name

    def test_pull(self):
        self.daemon = self.start()
        with self.daemon.push() as push:
            self.run_vectors("bus", "pull", lambda v: push.send(v.message))

    def test_sub(self):
        # Best effort yields first: behind a message of 4 MiB the usual queue has no room for another.
        self.daemon = self.start(args=["--queue-bytes", "64M"])
        with self.daemon.pub() as pub:
            self.run_vectors("bus", "sub", lambda v: pub.send(v.message))

    def test_rep(self):
        self.daemon = self.start()
        recorded = [0]
        with self.daemon.req() as req:

            def send(v):
                answer = req.request(v.message)
                recorded[0] += len(v.rows)
                want = {"accepted": len(v.rows), "duplicates": 0, "rejected": len(v.rejects),
                        "errors": [{"index": i, "error": reason} for i, reason in v.rejects]}
                if {k: answer.get(k) for k in want} != want:
                    yield "answer is %r, should be %r" % (answer, want)
                if v.rows and answer.get("seq") != recorded[0]:
                    yield "seq is %r, should be %d" % (answer.get("seq"), recorded[0])

            self.run_vectors("bus", "rep", send)

    def http(self, via, path):
        self.daemon = self.start()
        self.ring = 0

        def send(v):
            answer = self.daemon.post(path, v.message, {"content-type": CONTENT_TYPES[v.format]})
            self.ring = min(2000, self.ring + len(v.rows))
            return self.check_answer(v, answer)

        self.run_vectors(via, "http", send)

    def check_answer(self, v, answer):
        """200 when anything was recorded or there was nothing to record, else 400; a lone op has no list of errors."""
        body = answer.json
        if answer.status != (200 if v.rows or not v.rejects else 400) or not isinstance(body, dict):
            yield "answer is %r" % answer
            return
        if answer.status == 400 and body.get("error") != v.rejects[0][1]:
            yield "error is %r, should be %r" % (body, v.rejects[0][1])
        if "errors" in body and [(e["index"], e["error"]) for e in body["errors"]] != v.rejects:
            yield "errors are %r, should be %r" % (body["errors"], v.rejects)
        if len(v.rows) + len(v.rejects) > 1 and (body.get("count"), body.get("rejected")) != (len(v.rows), len(v.rejects)):
            yield "counts are wrong: %r" % body
        if answer.status == 200 and (body.get("accepted") is not True or body.get("ring_size") != self.ring):
            yield "answer is %r; the ring has %d" % (body, self.ring)

    def test_http_v1(self):
        self.http("v1", "/v1/observer/event")

    def test_http_observer(self):
        self.http("v1", "/observer/event")

    def test_http_legacy(self):
        self.http("legacy", "/event")


if __name__ == "__main__":
    main()
