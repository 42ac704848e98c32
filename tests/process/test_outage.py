"""An outage as an operator meets it: one kind of failure in the clusters, and one culprit in the advice within two cycles,
whatever sig_hashes the failures have.

  OBSERVER_OUTAGE     failures of each outage (default 5000; 200000 is the size it is for)
"""

import itertools
import json
import os
import random

from harness import DaemonTest, main, wait_until
from taught import get, wait_cycles

FAILURES = int(os.environ.get("OBSERVER_OUTAGE", "5000"))
ENDPOINTS = ["/v1/chat", "/v1/embed", "/v1/search", "/v1/pay", "/v1/mail", "/v1/rank"]
STAFFERS = ["ann", "bob", "cid", "dot", "eve"]
CULPRIT = "/v1/pay"


class Outage(DaemonTest):
    def send(self, daemon, ops):
        ops = iter(ops)
        while chunk := list(itertools.islice(ops, 5000)):
            body = "".join(json.dumps(op) + "\n" for op in chunk).encode()
            answer = daemon.post("/v1/observer/event", body, {"content-type": "application/x-ndjson"})
            self.assertEqual((answer.status, answer.json["rejected"]), (200, 0), answer.json.get("errors"))

    def op(self, rng, endpoint, sig, error=None):
        op = {"endpoint": endpoint, "source": "mcp", "staffer_id": rng.choice(STAFFERS), "success": error is None,
              "input_summary": "order %d" % rng.randrange(1000), "duration_ms": rng.randrange(40, 90)}
        if sig:
            op["sig_hash"] = sig
        if error:
            op["error"] = error
        return op

    def usual(self, rng, n, sig):
        """A day without an outage: one in two hundred fails, of some other kind, anywhere."""
        for i in range(n):
            error = "schema mismatch in field %d" % rng.randrange(9) if rng.random() < 0.005 else None
            yield self.op(rng, rng.choice(ENDPOINTS), sig(i), error)

    def outage(self, rng, n, sig):
        """The culprit refuses all calls; the others go on."""
        for i in range(n):
            yield self.op(rng, CULPRIT, sig(i), "connect ECONNREFUSED 10.0.0.%d:8443" % rng.randrange(250))
            yield self.op(rng, rng.choice([e for e in ENDPOINTS if e != CULPRIT]), None)

    def check(self, sig):
        """`sig`: the sig_hash of the i-th failure."""
        rng = random.Random(11)
        daemon = self.start(args=["--cycle", "500ms", "--playbook-cycles", "1", "--fsync", "never"])
        self.send(daemon, self.usual(rng, 2 * FAILURES, sig))
        wait_cycles(daemon, 2)
        self.assertIn("do", [e["kind"] for e in get(daemon, "advice?endpoint=" + CULPRIT)["entries"]])
        self.send(daemon, self.outage(rng, FAILURES, sig))
        wait_cycles(daemon, 2)

        clusters = [c for c in get(daemon, "clusters?limit=1000")["clusters"] if "ECONNREFUSED" in c["template"]]
        self.assertEqual([c["count"] for c in clusters], [FAILURES])
        wait_until(lambda: get(daemon, "advice?endpoint=" + CULPRIT)["findings"], 20, "the finding")
        advice = get(daemon, "advice?endpoint=" + CULPRIT)
        text = [f["text"] for f in advice["findings"]]
        self.assertEqual(len(text), 1, text)
        # A window that is full of the outage has nothing of before.
        compared = r"( since \d\d:\d\d UTC, before|, others) [\d.]+ %"
        self.assertRegex(text[0], r"^/v1/pay fails 100 %" + compared + ": check that it is up before calling it$")
        self.assertEqual([c["id"] for c in advice["clusters"] if "ECONNREFUSED" in c["template"]], [clusters[0]["id"]])
        self.assertNotIn("do", [e["kind"] for e in advice["entries"]])
        said = [item.get("text", item.get("template")) for name in ("findings", "entries", "clusters", "corrections")
                for item in advice[name]]
        self.assertEqual(len(said), len(set(said)), said)
        # Elsewhere nothing is blamed, and what works is still said.
        other = get(daemon, "advice?endpoint=/v1/chat")
        self.assertEqual(other["findings"], [])
        self.assertIn("do", [e["kind"] for e in other["entries"]])

    def test_sig_hashes_absent(self):
        self.check(lambda i: None)

    def test_sig_hashes_unique(self):
        self.check(lambda i: "task-%08x" % (i * 2654435761 % (1 << 32)))

    def test_sig_hashes_in_fours(self):
        self.check(lambda i: "task-%06d" % (i // 4))

    def test_sig_hashes_of_sixty_situations(self):
        self.check(lambda i: "situation-%02d" % (i % 60))


if __name__ == "__main__":
    main()
