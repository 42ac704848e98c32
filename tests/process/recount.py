"""For the tests of what survives: a recount of the journal to compare the live aggregates with, and producers that know
what was acknowledged."""

import collections
import http.client
import json
import random
import threading
import time
from urllib.parse import urlsplit

from harness import SLOW, DaemonTest, Push, Req, pack

SOURCES = ("mcp", "scenario", "langfuse", "bot", "scrum")


def recount(rows, ring=2000):
    """What /stats and the lifetime part of /v1/observer/summary must say about these rows."""
    kept = rows[-ring:]
    source = lambda r: r.get("source") or "mcp"
    digest = lambda r: {k: v for k, v in (("ts", r["timestamp"]), ("ok", r["success"]), ("staffer", r.get("staffer_id")),
                                          ("kind", r.get("event_kind")), ("role", r.get("role"))) if v is not None}
    stats = {"total": len(kept), "successes": sum(r["success"] for r in kept),
             "failures": sum(not r["success"] for r in kept),
             "by_source": dict(collections.Counter(map(source, kept))),
             "recent_scenario_ops": [digest(r) for r in kept if source(r) == "scenario"][-10:]}
    lifetime = {"total": len(rows), "failures": sum(not r["success"] for r in rows),
                "by_source": dict(collections.Counter(map(source, rows))),
                "by_endpoint": dict(collections.Counter(r["endpoint"] for r in rows)),
                "endpoint_failures": dict(collections.Counter(r["endpoint"] for r in rows if not r["success"]))}
    return stats, lifetime


def lifetime_of(summary):
    life = summary["lifetime"]
    totals = lambda table, key: {name: v[key] for name, v in table.items() if v[key]}
    return {"total": life["total"], "failures": life["failures"], "by_source": totals(life["by_source"], "total"),
            "by_endpoint": totals(life["by_endpoint"], "total"),
            "endpoint_failures": totals(life["by_endpoint"], "failures")}


class RecoveryTest(DaemonTest):
    def check_recount(self, daemon, rows=None):
        """The live aggregates equal a recount of the journal's files."""
        rows = daemon.journal_rows() if rows is None else rows
        stats, lifetime = recount(rows)
        self.assertEqual(daemon.stats(), stats)
        self.assertEqual(lifetime_of(daemon.get("/v1/observer/summary").json), lifetime)
        return rows


class Producers:
    """Threads that publish batches with op_ids and repeat each until it is acknowledged. They run while the gate is
    open, and park in front of it when their daemon is gone."""

    def __init__(self, seed, rep, http_posts, pull):
        self.gate = threading.Condition()
        self.open, self.parked, self.stopping, self.urls = False, 0, False, None
        self.acknowledged, self.pushed, self.wrong = [], set(), []
        work = [self.rep_producer] * rep + [self.http_producer] * http_posts + [self.pull_producer] * pull
        self.threads = [threading.Thread(target=self.run, args=(w, "%d" % n, random.Random(seed * 1000 + n)), daemon=True)
                        for n, w in enumerate(work)]
        for thread in self.threads:
            thread.start()

    def release(self, daemon):
        with self.gate:
            self.urls, self.open = daemon.urls, True
            self.gate.notify_all()

    def hold(self):
        """Closes the gate and waits until everybody stands in front of it."""
        with self.gate:
            self.open = False
            parked = self.gate.wait_for(lambda: self.parked == len(self.threads), 60 * SLOW)
        assert parked, "a producer hangs"

    def stop(self):
        with self.gate:
            self.stopping = True
            self.gate.notify_all()
        for thread in self.threads:
            thread.join()

    def wait_at_gate(self):
        """True when there is a daemon to talk to, False at the end."""
        with self.gate:
            self.parked += 1
            self.gate.notify_all()
            self.gate.wait_for(lambda: self.open or self.stopping)
            self.parked -= 1
            return not self.stopping

    def run(self, work, name, rng):
        batch = []
        while self.wait_at_gate():
            try:
                work(name, rng, batch)
            except (OSError, http.client.HTTPException):
                pass  # the daemon went away; the batch is sent again to the next one
            except Exception as e:  # reported by the test's thread
                self.wrong.append(repr(e))

    def ops(self, name, rng, count):
        for _ in range(count):
            ok = rng.random() < 0.7
            yield {"endpoint": "/e%d" % rng.randrange(20), "success": ok, "duration_ms": rng.randrange(5000),
                   "source": rng.choice(SOURCES), "input_summary": "x" * rng.randrange(200), "staffer_id": name,
                   "op_id": "%s-%016x" % (name, rng.getrandbits(64))}

    def refill(self, name, rng, batch):
        if not batch:
            batch.extend(self.ops(name, rng, rng.randrange(1, 17)))

    def take(self, batch, accepted, duplicates, whole):
        """Notes that a batch was acknowledged. A daemon that is stopping says so; then the next one gets the batch."""
        if accepted + duplicates != len(batch):
            if "stopping" in str(whole):
                raise ConnectionAbortedError("stopping")
            self.wrong.append("%r for %d ops" % (whole, len(batch)))
            return
        self.acknowledged.extend(op["op_id"] for op in batch)  # one call: atomic
        batch.clear()

    def rep_producer(self, name, rng, batch):
        with Req(self.urls["rep"][0]) as req:
            while self.open:
                self.refill(name, rng, batch)
                answer = req.request(batch)
                self.take(batch, answer["accepted"], answer["duplicates"], answer)

    def http_producer(self, name, rng, batch):
        parts = urlsplit(self.urls["http"][0])
        conn = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10 * SLOW)
        try:
            while self.open:
                self.refill(name, rng, batch)
                conn.request("POST", "/v1/observer/event", json.dumps(batch), {"content-type": "application/json"})
                response = conn.getresponse()
                body = json.loads(response.read())
                self.take(batch, body["count"] if response.status == 200 else 0, 0, body)
        finally:
            conn.close()

    def pull_producer(self, name, rng, batch):
        with Push(self.urls["pull"][0]) as push:
            while self.open:
                ops = list(self.ops(name, rng, 64))
                self.pushed.update(op["op_id"] for op in ops)
                push.send(pack(ops))
                time.sleep(0.005)
