"""Failure clusters of a real observerd: what the routes, the feed and observerctl say, and that kill -9 changes nothing.

  OBSERVER_ROUNDS     kills in the load test (default 12)
  OBSERVER_SEED       of the load test's random numbers (default: the clock; printed)
"""

import json
import os
import random
import re
import shutil
import time
from urllib.parse import quote

from ctl import CtlTest
from feed_client import Follower
from harness import SLOW, main, wait_until
from recount import Producers, RecoveryTest

ROUTE = "/v1/observer/clusters"
SETS = (("endpoints", "endpoint"), ("sources", "source"), ("staffers", "staffer_id"), ("task_classes", "task_class"))


def failure(**fields):
    return {"endpoint": "/v1/chat", "success": False, **fields}


def clusters(daemon, **params):
    answer = daemon.get(ROUTE + "?" + "&".join("%s=%s" % (k, quote(str(v))) for k, v in {"limit": 1000, **params}.items()))
    assert answer.status == 200, answer
    return answer.json["clusters"]


def key_of(row):
    """What makes failures one kind, for texts in which only numbers vary."""
    if row.get("sig_hash"):
        return ("sig", row["sig_hash"])
    return ("text", re.sub(r"\d+", "<*>", row.get("error") or row["output_summary"]))


def recount(rows):
    """What the clusters of these journal rows must be, by key."""
    out = {}
    for seq, row in enumerate(rows, 1):
        if row["success"]:
            continue
        c = out.setdefault(key_of(row), {"count": 0, "first_seen": row["timestamp"], "first_seq": seq, "seqs": [],
                                         **{name: {} for name, _ in SETS}})
        c["count"] += 1
        c.update(last_seen=row["timestamp"], last_seq=seq)
        c["seqs"].append(seq)
        for name, field in SETS:
            if field in row:
                c[name][row[field]] = c[name].get(row[field], 0) + 1
    for c in out.values():
        seqs = c.pop("seqs")
        c["samples"] = seqs if len(seqs) <= 5 else seqs[:2] + seqs[-3:]
    return out


def shown(daemon):
    """The same of the daemon's answer, and the ids by key."""
    out, ids = {}, {}
    for c in clusters(daemon):
        sig = c["sig_hash"]
        key = ("sig", sig) if sig else ("text", c["template"])
        assert key not in out, key
        ids[key] = c["id"]
        out[key] = {k: c[k] for k in ("count", "first_seen", "first_seq", "last_seen", "last_seq", "samples",
                                      *(name for name, _ in SETS))}
    return out, ids


class Failures(Producers):
    """Producers whose failures are of many kinds."""

    def ops(self, name, rng, count):
        for op in super().ops(name, rng, count):
            op.update(endpoint="/e%d" % rng.randrange(3), staffer_id="s%d" % rng.randrange(6))
            kind = rng.randrange(40)
            if kind % 4 == 0:
                op["sig_hash"] = "sig%d" % kind
            if kind % 3 == 0:
                op.update(event_kind="k%d" % (kind % 5), task_class="t%d" % (kind % 7))
            # kinds have no word in common, so that no word is taken to vary
            kind += 40 * rng.randrange(3)
            word = "".join(chr(97 + (kind + p * (kind // 26)) % 26) for p in (0, 1, 5, 7))
            op["error"] = "%s %s%s %d %s %d" % (word, word[::-1], word, rng.randrange(9999), word[::-1], rng.randrange(9))
            yield op


class Survives(RecoveryTest):
    def check(self, daemon):
        want = recount(daemon.journal_rows())
        got, ids = shown(daemon)
        self.assertEqual(sorted(map(str, got)), sorted(map(str, want)))
        for key, cluster in want.items():
            self.assertEqual(got[key], cluster, key)
        return ids

    def test_kill_9_under_load(self):
        rounds = int(os.environ.get("OBSERVER_ROUNDS", "12"))
        seed = int(os.environ.get("OBSERVER_SEED", time.time_ns() % 1000000))
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        daemon = self.start(args=["--checkpoint", "1"])
        producers = Failures(seed, rep=3, http_posts=2, pull=1)
        self.addCleanup(producers.stop)
        known = {}
        for round_ in range(rounds):
            producers.release(daemon)
            time.sleep(rng.uniform(0.01, 0.7) * min(SLOW, 2))
            daemon.kill()
            producers.hold()
            daemon.start()
            with self.subTest(round=round_, seed=seed):
                self.assertEqual(producers.wrong, [])
                wait_until(lambda: daemon.stats()["total"] == min(2000, len(daemon.journal_lines())), 10, "a quiet daemon")
                ids = self.check(daemon)
                self.assertEqual({k: ids[k] for k in known}, known)
                known = ids
        self.assertGreater(len(known), 60)
        self.check_from_nothing(daemon, known)

    def check_from_nothing(self, daemon, ids):
        """The journal alone gives the same ids."""
        os.mkdir(os.path.join(self.tmp, "alone"))
        for path in daemon.segments():
            shutil.copy(path, os.path.join(self.tmp, "alone"))
        alone = self.start(data_dir="alone")
        self.assertEqual(self.check(alone), ids)

    def test_merges_survive(self):
        daemon = self.start(args=["--checkpoint", "0"])
        users = ["cyrus", "news", "root", "test", "bob", "eve"]

        def fail(user):
            body = [failure(error="session broken for user %s" % user), failure(error="%s has no disk space" % user)]
            self.assertEqual(daemon.post("/v1/observer/event", body).status, 200)

        for user in users[:2]:
            fail(user)
        first = clusters(daemon, sort="first_seen")
        self.assertEqual([c["count"] for c in first], [1] * 4)
        daemon.restart()  # a checkpoint of forms that have not become one yet
        for user in users[2:5]:
            fail(user)
        daemon.restart(kill=True)  # the rest is the journal's
        fail(users[5])
        daemon.restart(kill=True)
        merged = clusters(daemon, sort="first_seen")
        self.assertEqual([(c["template"], c["count"]) for c in merged],
                         [("<*> has no disk space", 6), ("session broken for user <*>", 6)])
        for old, new in ((first[0], merged[0]), (first[1], merged[1])):
            one = daemon.get("%s/%s" % (ROUTE, old["id"])).json
            self.assertEqual(one["id"], new["id"])
            self.assertIn(old["id"], one["former_ids"])
            rows = daemon.get("/v1/observer/ops?cluster=" + old["id"]).json["ops"]
            self.assertEqual([r["seq"] for r in rows], sorted((r["seq"] for r in rows), reverse=True))
            self.assertEqual(len(rows), 6)

    def test_without_a_usable_checkpoint(self):
        daemon = self.start()
        daemon.post("/v1/observer/event", [failure(error="lost %d" % i, op_id="n%d" % i) for i in range(5)])
        ids = self.check(daemon)
        path = os.path.join(daemon.data_dir, "checkpoint")
        for keep in (None, 100):
            daemon.stop()
            if keep is None:
                os.unlink(path)
            else:
                os.truncate(path, keep)
            daemon.start()
            self.assertEqual(self.check(daemon), ids)

    def test_another_number_of_clusters(self):
        daemon = self.start(args=["--clusters", "100"])
        daemon.post("/v1/observer/event", [failure(sig_hash="s%d" % i) for i in range(60)])
        self.assertEqual(len(clusters(daemon)), 60)
        daemon.stop()
        daemon.args = ["--clusters", "20"]
        daemon.start()
        self.assertEqual([c["sig_hash"] for c in clusters(daemon)], ["s%d" % i for i in range(59, 39, -1)])
        self.assertEqual(daemon.get("/health").json["clusters"]["forgotten"], 40)
        daemon.post("/v1/observer/event", failure(sig_hash="s0"))
        daemon.restart(kill=True)
        self.assertEqual(clusters(daemon)[0]["sig_hash"], "s0")


class States(CtlTest):
    def wait_state(self, daemon, ident, state):
        return wait_until(lambda: (lambda c: c["state"] == state and c)(daemon.get("%s/%s" % (ROUTE, ident)).json), 20, state)

    def event(self, follower):
        """The next event of the feed."""
        while not follower.others:
            follower.take()
        topic, event = follower.others.pop(0)
        self.assertEqual(topic, b"failure.cluster")
        return event

    def test_from_new_to_regressed(self):
        daemon = self.start(args=["--cycle", "100ms", "--cluster-quiet", "1", "--checkpoint", "0"], feed="tcp://127.0.0.1:0")
        with Follower(daemon.subscribe()) as follower:
            op = failure(error="quota of 5 GB is used up", task_class="fill", timestamp="2026-01-02T03:04:05.678Z")
            daemon.post("/v1/observer/event", [op, op])
            ident = clusters(daemon)[0]["id"]
            event = self.event(follower)
            self.assertEqual({k: v for k, v in event.items() if k not in ("seq", "topic_seq")},
                             {"id": ident, "state": "new", "template": "quota of <*> is used up", "count": 1, "first_seen": "2026-01-02T03:04:05.678Z",
                              "last_seen": "2026-01-02T03:04:05.678Z", "op_seq": 1, "endpoint": "/v1/chat",
                              "source": "mcp", "task_class": "fill", "missed": 0})
            resolved = self.wait_state(daemon, ident, "resolved")
            self.assertEqual(resolved["state_since"], resolved["resolved_at"])
            # The checkpoint with it is written by now or in a moment; the journal does not say it.
            wait_until(lambda: os.path.exists(os.path.join(daemon.data_dir, "checkpoint")), 10, "the checkpoint")
        daemon.restart(kill=True)
        self.assertEqual(daemon.get("%s/%s" % (ROUTE, ident)).json["resolved_at"], resolved["resolved_at"])
        with Follower(daemon.subscribe()) as follower:
            daemon.post("/v1/observer/event", op)
            event = self.event(follower)
            self.assertEqual((event["id"], event["state"], event["count"], event["op_seq"], event["topic_seq"]),
                             (ident, "regressed", 3, 3, 1))
        daemon.restart(kill=True)  # the checkpoint says resolved, the journal that it failed again
        one = daemon.get("%s/%s" % (ROUTE, ident)).json
        self.assertEqual((one["regressions"], one["regressed_at"]), (1, "2026-01-02T03:04:05.678Z"))

    def test_corrections(self):
        daemon = self.start()
        correction = {"endpoint": "overseer:m", "source": "overseer_correction", "success": True}
        daemon.post("/v1/observer/event", [
            failure(sig_hash="x"), failure(error="no shift at all", task_class="fill"),
            {**correction, "sig_hash": "x", "correction": "ask first"},
            {**correction, "task_class": "fill", "correction": "look again"},
            {**failure(sig_hash="x"), "success": True}, failure(sig_hash="x"), {**failure(task_class="fill"), "success": True}])
        want = {"x": ("ask first", "sig_hash", True, 1, 1), None: ("look again", "task_class", True, 1, 0)}
        for kill in (False, True):
            for c in clusters(daemon):
                [r] = daemon.get("%s/%s" % (ROUTE, c["id"])).json["corrections"]
                self.assertEqual((r["text"], r["for"], r["next"], r["succeeded"], r["failed"]), want[c["sig_hash"]])
            daemon.restart(kill=kill)
        one = clusters(daemon, sig_hash="x")[0]["id"]
        out = self.ctl("clusters", one, "--url", daemon.url("http")).stdout
        self.assertRegex(out, r"(?m)^corrections +1$")
        self.assertRegex(out, r"(?m) ok +1 +1 +sig_hash +ask first$")

    def test_routes_and_filters(self):
        daemon = self.start()
        daemon.post("/v1/observer/event", [failure(sig_hash="a", endpoint="/a"), failure(error="lost 5 keys", endpoint="/b"),
                                           failure(error="lost 6 keys", endpoint="/b"), {**failure(), "success": True}])
        a, b = clusters(daemon, sort="first_seen")[::-1]
        for params, want in (({}, [b, a]), ({"sort": "count"}, [b, a]), ({"sort": "rate"}, [b, a]), ({"sig_hash": "a"}, [a]),
                             ({"endpoint": "/b"}, [b]), ({"q": "keys"}, [b]), ({"state": "new"}, [b, a]),
                             ({"state": "resolved"}, []), ({"source": "mcp", "limit": 1}, [b]),
                             ({"since": "2100-01-01"}, []), ({"event_kind": "x"}, [])):
            self.assertEqual([c["id"] for c in clusters(daemon, **params)], [c["id"] for c in want], params)
        self.assertEqual([r["seq"] for r in daemon.get("/observer/ops?cluster=" + b["id"]).json["ops"]], [3, 2])
        self.assertEqual([r["seq"] for r in daemon.get("/observer/ops?cluster=" + a["id"]).json["ops"]], [1])
        self.assertEqual(daemon.get("/observer/ops?success=true&cluster=" + a["id"]).json["ops"], [])
        one = daemon.get("/observer/clusters/" + a["id"])
        self.assertEqual({k: v for k, v in one.json.items() if k in a}, a)
        for path, status, error in (("/" + "0" * 16, 404, "no cluster 0000000000000000"), ("/A", 400, "id: must be 16 hex digits"),
                                    ("/a/b", 404, "not found"), ("/", 404, "not found"), ("?state=old", 400, "state: must be new, "
                                     "ongoing, regressed or resolved"), ("?limit=0", 400, "limit: must be a number from 1 to 1000"),
                                    ("?sort=x", 400, "sort: must be last_seen, first_seen, count or rate"),
                                    ("?x=1", 400, "x: unknown parameter")):
            answer = daemon.get(ROUTE + path)
            self.assertEqual((answer.status, answer.json), (status, {"error": error}), path)
        answer = daemon.post(ROUTE + "/" + a["id"], {})
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))

    def test_on_the_terminal(self):
        daemon = self.start()
        url = ("--url", daemon.url("http"))
        self.assertEqual(self.ctl("clusters", *url).stdout, "")
        daemon.post("/v1/observer/event", [failure(error="lost %d keys\u001b[2J" % i, endpoint="/b") for i in range(3)] +
                    [failure(sig_hash="abc", endpoint="/c")])
        a, b = clusters(daemon)
        lines = self.ctl("clusters", "--utc", *url).stdout.split("\n")
        self.assertEqual(lines[0].split(), ["ID", "STATE", "COUNT", "1H", "LAST", "SEEN", "ENDPOINT", "FAILURE"])
        self.assertEqual(lines[1].split()[:4] + lines[1].split()[6:], [a["id"], "new", "1", "1", "/c", "abc"])
        self.assertEqual(lines[2].split()[:4] + lines[2].split()[6:8], [b["id"], "new", "3", "3", "/b", "lost"])
        self.assertNotIn("\x1b", lines[2])
        self.assertEqual(len(lines), 4)
        self.assertEqual(json.loads(self.ctl("clusters", "--json", "--sort", "count", *url).stdout)["clusters"][0], b)
        self.assertEqual(self.ctl("clusters", "--since", "1h", "-e", "/c", *url).stdout.count("\n"), 2)
        rows = self.ctl("ops", "--cluster", b["id"], "--json", *url).stdout.split("\n")[:-1]
        self.assertEqual([json.loads(row)["endpoint"] for row in rows], ["/b"] * 3)
        out = self.ctl("clusters", b["id"], *url).stdout
        self.assertRegex(out, r"(?m)^samples \(seq\) +1, 2, 3$")
        self.assertRegex(out, r"(?m)^endpoints +/b 3$")
        self.assertIn('"x" is no id of a cluster', self.ctl("clusters", "x", *url, code=2).stderr)
        self.assertIn("no cluster", self.ctl("clusters", "0" * 16, *url, code=1).stderr)


if __name__ == "__main__":
    main()
