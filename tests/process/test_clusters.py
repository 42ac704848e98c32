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
from datetime import datetime
from urllib.parse import quote

from ctl import CtlTest
from feed_client import Follower
from harness import ROOT, SLOW, DaemonTest, main, wait_until
from recount import Producers, RecoveryTest

ROUTE = "/v1/observer/clusters"
REPEATS = "/v1/observer/repeats"
SETS = (("endpoints", "endpoint"), ("sources", "source"), ("staffers", "staffer_id"), ("task_classes", "task_class"),
        ("event_kinds", "event_kind"))


def parse_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def failure(**fields):
    return {"endpoint": "/v1/chat", "success": False, **fields}


def clusters(daemon, **params):
    answer = daemon.get(ROUTE + "?" + "&".join("%s=%s" % (k, quote(str(v))) for k, v in {"limit": 1000, "full": "true", **params}.items()))
    assert answer.status == 200, answer
    return answer.json["clusters"]


def key_of(row):
    """The kind of a failure, for texts in which only numbers vary."""
    return re.sub(r"\d+", "<*>", row.get("error") or row["output_summary"])


def recount(rows):
    """What the clusters of these journal rows must be, by key."""
    out = {}
    for seq, row in enumerate(rows, 1):
        if row["success"]:
            continue
        c = out.setdefault(key_of(row), {"count": 0, "first_seen": row["timestamp"], "last_seen": row["timestamp"],
                                         "first_seq": seq, "seqs": [], **{name: {} for name, _ in SETS}})
        c["count"] += 1
        c.update(first_seen=min(c["first_seen"], row["timestamp"]), last_seen=max(c["last_seen"], row["timestamp"]),
                 last_seq=seq)
        c["seqs"].append(seq)
        for name, field in SETS:
            if field in row:
                c[name][row[field]] = c[name].get(row[field], 0) + 1
    for c in out.values():
        seqs = c.pop("seqs")
        c["samples"] = seqs if len(seqs) <= 5 else seqs[:2] + seqs[-3:]
        c["places"] = c["endpoints"]
    return out


def shown(daemon):
    """The same of the daemon's answer, and the ids by key."""
    out, ids = {}, {}
    for c in clusters(daemon):
        key = c["template"]
        assert key not in out, key
        ids[key] = c["id"]
        out[key] = {k: c[k] for k in ("count", "first_seen", "first_seq", "last_seen", "last_seq", "samples",
                                      *(name for name, _ in SETS))}
        out[key]["places"] = {p["endpoint"]: p["count"] for p in c["places"]}
    return out, ids


def runs(rows):
    """The repeats of these journal rows, the one that failed last first."""
    open_runs = {}
    for seq, row in enumerate(rows, 1):
        key = row.get("sig_hash") or (row.get("session_id"), row["endpoint"])
        if row["success"]:
            open_runs.pop(key, None)
        elif row.get("sig_hash") or row.get("session_id"):
            open_runs.setdefault(key, []).append(seq)
    return sorted(((r[-1], r[0], len(r)) for r in open_runs.values()), reverse=True)


def shown_runs(daemon):
    out, cursor = [], ""
    while cursor is not None:
        page = daemon.get("%s?least=1&limit=7%s" % (REPEATS, cursor and "&cursor=" + cursor)).json
        out += [(r["last_seq"], r["first_seq"], r["failures"]) for r in page["repeats"]]
        cursor = page["next_cursor"]
    return out


class Failures(Producers):
    """Producers whose failures are of many kinds."""

    def ops(self, name, rng, count):
        for op in super().ops(name, rng, count):
            op.update(endpoint="/e%d" % rng.randrange(3), staffer_id="s%d" % rng.randrange(6))
            kind = rng.randrange(40)
            if rng.randrange(4) == 0:
                op["sig_hash"] = "sig%d" % rng.randrange(30)
            if rng.randrange(4) == 0:
                op["session_id"] = "session%d" % rng.randrange(20)
            if kind % 3 == 0:
                op.update(event_kind="k%d" % (kind % 5), task_class="t%d" % (kind % 7))
            # kinds have no word in common, so that no word is taken to vary
            kind += 40 * rng.randrange(3)
            word = "".join(chr(103 + (kind + p * (kind // 20)) % 20) for p in (0, 1, 5, 7))  # g to z: no hex
            op["error"] = "%s %s%s %d %s %d" % (word, word[::-1], word, rng.randrange(9999), word[::-1], rng.randrange(9))
            yield op


class Survives(RecoveryTest):
    def check(self, daemon):
        want = recount(daemon.journal_rows())
        got, ids = shown(daemon)
        self.assertEqual(sorted(map(str, got)), sorted(map(str, want)))
        for key, cluster in want.items():
            times = [[c.pop(name) for name in ("first_seen", "last_seen")] for c in (got[key], cluster)]
            self.assertEqual(got[key], cluster, key)
            # No op happens after it is received, and its timestamp may be made a moment after the clock is read for that.
            for seen, row in zip(*times):
                self.assertTrue(0 <= (parse_time(row) - parse_time(seen)).total_seconds() < SLOW, (key, seen, row))
        self.assertEqual(shown_runs(daemon), runs(daemon.journal_rows()))
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
            body = [failure(error="broken because of %s" % user), failure(error="%s has no disk space" % user)]
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
                         [("<*> has no disk space", 6), ("broken because of <*>", 6)])
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
        texts = ["%s%s lost %s%s" % (a, b, b + "x", a + "y") for a in "abcdefgh" for b in "stuvwxyz"][:60]
        daemon.post("/v1/observer/event", [failure(error=text) for text in texts])
        self.assertEqual(len(clusters(daemon)), 60)
        daemon.stop()
        daemon.args = ["--clusters", "20"]
        daemon.start()
        self.assertEqual([c["template"] for c in clusters(daemon)], texts[:39:-1])
        self.assertEqual(daemon.get("/health").json["clusters"]["forgotten"], 40)
        daemon.post("/v1/observer/event", failure(error=texts[0]))
        daemon.restart(kill=True)
        self.assertEqual(clusters(daemon)[0]["template"], texts[0])


class Outage(DaemonTest):
    def test_is_one_line(self):
        """One cluster, one escalation, one culprit in the advice, whatever the tasks' hashes do."""
        n = 12000
        for k, (tasks, pattern, repeats) in enumerate(((None, None, 0), (lambda i: i, "each", 0), (lambda i: i // 4, "some", n // 4),
                                                       (lambda i: i % 60, "some", 60), (lambda i: 0, "one", 1))):
            daemon = self.start(data_dir="data%d" % k, args=["--cycle", "1s"])
            daemon.post("/v1/observer/event", [{"endpoint": "/e%d" % (i % 12), "success": True} for i in range(4000)])
            for at in range(0, n, 2000):
                ops = [failure(error="connect ECONNREFUSED 10.0.%d.7:8080" % (i % 200), endpoint="/e%d" % (i % 12),
                               event_kind="k%d" % (i % 8), session_id="s%d" % (i // 5)) for i in range(at, at + 2000)]
                for i, op in enumerate(ops, at):
                    if tasks is not None:
                        op["sig_hash"] = "task-%d" % tasks(i)
                self.assertEqual(daemon.post("/v1/observer/event", ops).json["accepted"], True)
            [c] = clusters(daemon)
            self.assertEqual((c["count"], c["sig_hashes"]["pattern"], c["spreads"]), (n, pattern, 11))
            self.assertEqual(sorted((p["endpoint"], p["count"]) for p in c["places"]),
                             sorted(("/e%d" % e, n // 12) for e in range(12)))
            if tasks is not None:
                want = len(set(map(tasks, range(n))))
                self.assertTrue(want * 0.75 <= c["sig_hashes"]["distinct"] <= want * 1.25, c["sig_hashes"]["distinct"])
                page = daemon.get(REPEATS + "?limit=1000").json
                self.assertEqual(len(page["repeats"]), min(repeats, 1000))
                self.assertEqual({tuple(r["clusters"]) for r in page["repeats"]}, {(c["id"],)} if repeats else set())
                self.assertEqual([x["id"] for x in clusters(daemon, sig_hash="task-%d" % tasks(n - 1))], [c["id"]])
            advice = lambda: daemon.get("/v1/observer/advice?endpoint=/e3").json
            told = wait_until(lambda: (lambda a: a["findings"] and a)(advice()), 20, "a culprit")
            self.assertEqual(([x["id"] for x in told["clusters"]], len(told["findings"])), ([c["id"]], 1), told)
            escalations = lambda: [x["cluster"] for x in daemon.get("/v1/observer/escalations").json["escalations"]]
            if pattern == "one":  # the task is named: that settles it, unless a cycle came while the failures did
                self.assertIn("task-0", told["findings"][0]["text"])
                self.assertIn(escalations(), ([], [c["id"]]))
            else:
                wait_until(escalations, 20, "an escalation")
                self.assertEqual(escalations(), [c["id"]])
            daemon.kill()


class Version1(DaemonTest):
    """A data directory that an observer wrote when clusters were sig_hashes and endpoints (version1/, of a74440d)."""

    def test_opens_and_ids_lead_on(self):
        shutil.copytree(os.path.join(ROOT, "tests", "process", "version1"), os.path.join(self.tmp, "data"))
        daemon = self.start(args=["--cycle", "3600"])
        rows = {}
        for name in ("analyses", "playbooks", "escalations"):
            with open(os.path.join(self.tmp, "data", name + ".jsonl"), encoding="utf-8") as f:
                rows[name] = [json.loads(line) for line in f]
        old = {r["cluster"] for rs in rows.values() for r in rs if r["cluster"]}
        self.assertEqual(len(old), 7)
        for restarted in range(2):
            kinds = {c["id"]: c for c in clusters(daemon)}
            self.assertEqual(sorted(c["count"] for c in kinds.values()), [4, 5, 16, 17])
            self.assertEqual(set(kinds) & old, set())
            leads = {}
            for ident in sorted(old):
                one = daemon.get("%s/%s" % (ROUTE, ident))
                self.assertEqual(one.status, 200, ident)
                leads[ident] = one.json["id"]
            self.assertEqual(set(leads.values()), set(kinds))
            for r in rows["analyses"]:  # each row's examples are failures of the kind that its id leads to
                if r["cluster"]:
                    ops = daemon.get("/v1/observer/ops?limit=1000&cluster=" + r["cluster"]).json["ops"]
                    self.assertEqual(len(ops), kinds[leads[r["cluster"]]]["count"])
                    self.assertIn(r["last_seq"], [op["seq"] for op in ops])
            for name in ("analyses", "escalations"):
                for kind in kinds:
                    shown = daemon.get("/v1/observer/%s?cluster=%s" % (name, kind)).json[name]
                    self.assertEqual(sorted(r["id"] for r in shown),
                                     sorted(r["id"] for r in rows[name] if leads.get(r["cluster"]) == kind), (name, kind))
            [tied] = [c for c in kinds.values() if c["corrected"]]  # the correction was for a sig_hash
            self.assertEqual((tied["count"], tied["endpoints"]), (17, {"/v1/plan": 17}))
            daemon.restart(kill=restarted == 1)  # then from a checkpoint of this version


class Version2(DaemonTest):
    """A data directory that an observer wrote before clusters had a trend (version2/, of 2eea987): its checkpoint is used as it is."""

    def test_opens_without_a_replay(self):
        shutil.copytree(os.path.join(ROOT, "tests", "process", "version2"), os.path.join(self.tmp, "data"))
        daemon = self.start(args=["--cycle", "3600"])
        self.assertIn("34 ops in the checkpoint, 0 replayed, 0 bad rows", daemon.stderr())
        kinds = clusters(daemon, sort="count")
        self.assertEqual([(c["template"], c["count"], c["corrected"]) for c in kinds],
                         [("429: no quota left", 6, 1), ("connection refused", 3, 0)])
        # What no failure was counted in: were the rows replayed, there would be time that they took.
        self.assertEqual([(c["wasted_ms"], sum(c["trend"])) for c in kinds], [(0, 0)] * 2)
        self.assertEqual(daemon.get("/v1/observer/live").json["totals"], {"ops": 34, "successes": 25, "failures": 9})
        daemon.post("/v1/observer/event", failure(error="429: no quota left", duration_ms=700))
        for kill in (True, False):
            [first, _] = clusters(daemon, sort="count")
            self.assertEqual((first["count"], first["wasted_ms"], sum(first["trend"][22:]), sum(first["trend"])), (7, 700, 1, 1))
            daemon.restart(kill=kill)  # the first checkpoint of this version is written at a stop


class Impact(DaemonTest):
    def test_time_and_trend_and_their_order(self):
        daemon = self.start(args=["--cycle", "3600"])
        rows = [("alpha is gone", [100] * 5), ("beta timed out", [30000]), ("gamma refused us", [0] * 3), ("delta broke", [0] * 2)]
        daemon.post("/v1/observer/event", [failure(error=text, duration_ms=ms) for text, all_ms in rows for ms in all_ms])
        late = failure(error="alpha is gone", duration_ms=7, timestamp="2020-01-01T00:00:00.000Z")
        daemon.post("/v1/observer/event", late)
        old = [failure(error="epsilon was long ago", duration_ms=9000000, timestamp="2020-01-01T00:00:00.000Z")] * 4
        daemon.post("/v1/observer/event", old)  # known from late ones alone: resolved
        for kill in (False, True, None):
            told = clusters(daemon, sort="impact")
            self.assertEqual([(c["template"], c["wasted_ms"], sum(c["trend"]), c["state"]) for c in told],
                             [("beta timed out", 30000, 1, "new"), ("alpha is gone", 507, 5, "new"), ("gamma refused us", 0, 3, "new"),
                              ("delta broke", 0, 2, "new"), ("epsilon was long ago", 36000000, 0, "resolved")])
            self.assertTrue(all(len(c["trend"]) == 24 and sum(c["trend"][:22]) == 0 for c in told))
            if kill is not None:
                daemon.restart(kill=kill)
        daemon.post("/v1/observer/event", failure(error="gamma refused us", duration_ms=(1 << 62)))
        [first] = clusters(daemon, sort="impact", limit=1)
        self.assertEqual((first["template"], first["wasted_ms"]), ("gamma refused us", 1 << 53))  # it does not overflow


class States(CtlTest):
    def wait_state(self, daemon, ident, state):
        return wait_until(lambda: (lambda c: c["state"] == state and c)(daemon.get("%s/%s" % (ROUTE, ident)).json), 20, state)

    def event(self, follower):
        """The next event of the feed."""
        while True:
            while not follower.others:
                follower.take()
            topic, event = follower.others.pop(0)
            if topic == b"failure.cluster":
                return event

    def test_from_new_to_regressed(self):
        daemon = self.start(args=["--cycle", "100ms", "--cluster-quiet", "1", "--checkpoint", "0"], feed="tcp://127.0.0.1:0")
        with Follower(daemon.subscribe()) as follower:
            op = failure(error="quota of 5 GB is used up", task_class="fill")
            daemon.post("/v1/observer/event", [op, op])
            ident = clusters(daemon)[0]["id"]
            event = self.event(follower)
            first = daemon.journal_rows()[0]["timestamp"]
            self.assertEqual({k: v for k, v in event.items() if k not in ("seq", "topic_seq")},
                             {"id": ident, "state": "new", "template": "quota of <*> is used up", "count": 1,
                              "first_seen": first, "last_seen": first, "op_seq": 1, "endpoint": "/v1/chat",
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
        self.assertEqual(one["regressions"], 1)
        self.assertGreaterEqual(one["regressed_at"], one["resolved_at"] if one["state"] != "resolved" else one["last_seen"])

    def test_spread(self):
        daemon = self.start(args=["--cycle", "100ms", "--cluster-quiet", "10000"], feed="tcp://127.0.0.1:0")
        with Follower(daemon.subscribe()) as follower:
            for endpoint in ("/a", "/a", "/b", "/a", "/b", "/c"):
                daemon.post("/v1/observer/event", failure(error="connection refused", endpoint=endpoint))
            events = [self.event(follower) for _ in range(3)]
        [c] = clusters(daemon)
        self.assertEqual([(e["id"], e["state"], e["endpoint"], e["count"], e["op_seq"]) for e in events],
                         [(c["id"], "new", "/a", 1, 1), (c["id"], "spread", "/b", 3, 3), (c["id"], "spread", "/c", 6, 6)])
        self.assertEqual((c["state"], c["spreads"]), ("new", 2))
        self.assertEqual([(p["endpoint"], p["state"], p["count"], p["last_hour"]) for p in c["places"]],
                         [("/c", "new", 1, 1), ("/b", "new", 2, 2), ("/a", "new", 3, 3)])
        out = self.ctl("clusters", c["id"], "--utc", "--url", daemon.url("http")).stdout
        self.assertRegex(out, r"(?m)^ENDPOINT +STATE +1H +COUNT +FIRST +LAST$")
        self.assertRegex(out, r"(?m)^/a +new +3 +3 ")
        self.assertRegex(self.ctl("clusters", "--url", daemon.url("http")).stdout, r"\nconnection refused +/a \+2 +new ")

    def test_late(self):
        """A spool of January makes nothing new."""
        daemon = self.start(feed="tcp://127.0.0.1:0")
        with Follower(daemon.subscribe()) as follower:
            old = "2026-01-02T03:04:05.678Z"
            daemon.post("/v1/observer/event", [failure(error="disk is full", timestamp=old)] * 3)
            daemon.post("/v1/observer/event", failure(error="something else"))
            self.assertEqual(self.event(follower)["template"], "something else")
        [c] = clusters(daemon, q="disk")
        self.assertEqual((c["state"], c["count"], c["late"], c["last_hour"], c["first_seen"], c["last_seen"]),
                         ("resolved", 3, 3, 0, old, old))

    def test_corrections(self):
        daemon = self.start()
        correction = {"endpoint": "overseer:m", "source": "overseer_correction", "success": True}
        daemon.post("/v1/observer/event", [
            failure(sig_hash="x", error="tool is unknown"), failure(error="no shift at all", task_class="fill"),
            {**correction, "sig_hash": "x", "correction": "ask first"},
            {**correction, "task_class": "fill", "correction": "look again"},
            {**failure(sig_hash="x"), "success": True}, failure(sig_hash="x", error="tool is unknown"),
            {**failure(task_class="fill"), "success": True}])
        want = {"tool is unknown": ("ask first", "sig_hash", True, 1, 1), "no shift at all": ("look again", "task_class", True, 1, 0)}
        for kill in (False, True):
            for c in clusters(daemon):
                [r] = daemon.get("%s/%s" % (ROUTE, c["id"])).json["corrections"]
                self.assertEqual((r["text"], r["for"], r["next"], r["succeeded"], r["failed"]), want[c["template"]])
            daemon.restart(kill=kill)
        one = clusters(daemon, sig_hash="x")[0]["id"]
        out = self.ctl("clusters", one, "--url", daemon.url("http")).stdout
        self.assertRegex(out, r"(?m)^corrections +1$")
        self.assertRegex(out, r"(?m) ok +1 +1 +sig_hash +ask first$")

    def test_repeats(self):
        daemon = self.start()
        url = ("--url", daemon.url("http"))
        self.assertEqual(daemon.get(REPEATS).json, {"repeats": [], "next_cursor": None, "complete": True})
        self.assertEqual(self.ctl("repeats", *url).stdout, "")
        daemon.post("/v1/observer/event",
                    [failure(error="no %d" % i, sig_hash="x", staffer_id="ann", endpoint="/e%d" % i) for i in range(3)] +
                    [failure(error="broken %d" % i, session_id="s", endpoint="/a") for i in range(4)] +
                    [failure(error="once", sig_hash="y")] * 2 + [{**failure(sig_hash="z"), "success": True}])
        x, s = sorted(daemon.get(REPEATS).json["repeats"], key=lambda r: r["first_seq"])
        [no] = clusters(daemon, q="no ")
        self.assertEqual({k: v for k, v in x.items() if not k.endswith("_seen")},
                         {"sig_hash": "x", "session_id": None, "endpoint": "/e0", "staffer_id": "ann", "failures": 3,
                          "first_seq": 1, "last_seq": 3, "clusters": [no["id"]]})
        self.assertEqual((s["sig_hash"], s["session_id"], s["endpoint"], s["failures"]), (None, "s", "/a", 4))
        for query, want in (("least=4", [7]), ("least=1", [9, 7, 3]), ("sig_hash=x", [3]), ("session_id=s", [7]), ("endpoint=/a", [7]),
                            ("staffer_id=ann", [3]), ("staffer_id=bob", []), ("limit=1", [7])):
            for family in ("/observer/", "/v1/observer/"):
                page = daemon.get(family + "repeats?" + query).json
                self.assertEqual([r["last_seq"] for r in page["repeats"]], want, query)
        page = daemon.get(REPEATS + "?limit=1&cursor=" + page["next_cursor"]).json
        self.assertEqual(([r["last_seq"] for r in page["repeats"]], page["next_cursor"], page["complete"]), ([3], None, True))
        for query, error in (("least=0", "least: must be a number from 1 to 1000"), ("x=1", "x: unknown parameter"),
                             ("cursor=x", "cursor: must be a next_cursor of an earlier answer")):
            answer = daemon.get(REPEATS + "?" + query)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}))
        lines = self.ctl("repeats", "--utc", *url).stdout.split("\n")
        self.assertEqual(lines[0].split(), ["TASK", "ENDPOINT", "STAFFER", "FAILURES", "SINCE", "LAST", "CLUSTERS"])
        self.assertEqual([re.split("  +", line)[0] for line in lines[1:-1]], ["s", "x"])
        self.assertEqual([re.search(r" (\d+)  \d{4}-", line).group(1) for line in lines[1:-1]], ["4", "3"])
        self.assertEqual(json.loads(self.ctl("repeats", "--json", "--sig-hash", "x", *url).stdout)["repeats"], [x])
        daemon.restart(kill=True)
        self.assertEqual(daemon.get(REPEATS + "?sig_hash=x").json["repeats"], [x])
        daemon.restart()
        daemon.post("/v1/observer/event", {**failure(sig_hash="x"), "success": True})
        self.assertEqual([r["session_id"] for r in daemon.get(REPEATS).json["repeats"]], ["s"])

    def test_routes_and_filters(self):
        daemon = self.start()
        daemon.post("/v1/observer/event", [failure(sig_hash="a", endpoint="/a"), failure(error="lost 5 keys", endpoint="/b"),
                                           failure(error="lost 6 keys", endpoint="/b"), {**failure(), "success": True}])
        a, b = clusters(daemon, sort="first_seen")[::-1]
        for params, want in (({}, [b, a]), ({"sort": "count"}, [b, a]), ({"sort": "rate"}, [b, a]), ({"sig_hash": "a"}, [a]),
                             ({"endpoint": "/b"}, [b]), ({"q": "keys"}, [b]), ({"state": "new"}, [b, a]),
                             ({"state": "resolved"}, []), ({"source": "mcp", "limit": 1}, [b]),
                             ({"since": "2100-01-01"}, []), ({"event_kind": "x"}, []), ({"session_id": "x"}, [])):
            self.assertEqual([c["id"] for c in clusters(daemon, **params)], [c["id"] for c in want], params)
        self.assertEqual([r["seq"] for r in daemon.get("/observer/ops?cluster=" + b["id"]).json["ops"]], [3, 2])
        self.assertEqual([r["seq"] for r in daemon.get("/observer/ops?cluster=" + a["id"]).json["ops"]], [1])
        self.assertEqual(daemon.get("/observer/ops?success=true&cluster=" + a["id"]).json["ops"], [])
        one = daemon.get("/observer/clusters/" + a["id"])
        self.assertEqual({k: v for k, v in one.json.items() if k in a}, a)
        for path, status, error in (("/" + "0" * 16, 404, "no cluster 0000000000000000"), ("/A", 400, "id: must be 16 hex digits, or the first 4 or more of them"),
                                    ("/a/b", 404, "not found"), ("/", 404, "not found"), ("?state=old", 400, "state: must be new, "
                                     "ongoing, regressed or resolved"), ("?limit=0", 400, "limit: must be a number from 1 to 1000"),
                                    ("?sort=x", 400, "sort: must be last_seen, first_seen, count, rate or impact"),
                                    ("?x=1", 400, "x: unknown parameter")):
            answer = daemon.get(ROUTE + path)
            self.assertEqual((answer.status, answer.json), (status, {"error": error}), path)
        answer = daemon.post(ROUTE + "/" + a["id"], {})
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"))

    def test_ids_by_their_first_digits(self):
        daemon = self.start()
        alike = ("ladder copper", "mirror jungle")  # texts whose ids begin with the same four digits
        daemon.post("/v1/observer/event", [failure(error=text) for text in (*alike, "disk full")])
        disk, jungle, ladder = (c["id"] for c in clusters(daemon))
        self.assertEqual(ladder[:4], jungle[:4])
        for name in (disk[:4], disk[:9], ladder[:5], jungle[:15]):
            self.assertIn(daemon.get(ROUTE + "/" + name).json["id"], (disk, ladder, jungle))
            self.assertEqual(daemon.get(ROUTE + "/" + name).json["id"][:len(name)], name)
        self.assertEqual([r["seq"] for r in daemon.get("/v1/observer/ops?cluster=" + disk[:4]).json["ops"]], [3])
        self.assertEqual(daemon.get("/v1/observer/escalations?cluster=" + disk[:8]).json["escalations"], [])
        for path, name in ((ROUTE + "/", "id"), ("/v1/observer/ops?cluster=", "cluster"),
                           ("/v1/observer/analyses?cluster=", "cluster")):
            answer = daemon.get(path + ladder[:4])
            self.assertEqual((answer.status, answer.json),
                             (400, {"error": "%s: %s is ambiguous: %s, %s" % (name, ladder[:4], jungle, ladder),
                                    "candidates": [jungle, ladder]}), path)
        for path, status, error in ((ROUTE + "/ffff", 404, "no cluster whose id begins with ffff"),
                                    (ROUTE + "/" + disk[:3], 400, "id: must be 16 hex digits, or the first 4 or more of them"),
                                    (ROUTE + "/" + disk + "0", 400, "id: must be 16 hex digits, or the first 4 or more of them"),
                                    (ROUTE + "/" + disk[:4].upper() + "A", 400,
                                     "id: must be 16 hex digits, or the first 4 or more of them"),
                                    ("/v1/observer/ops?cluster=ffff", 400, "cluster: no cluster whose id begins with ffff")):
            answer = daemon.get(path)
            self.assertEqual((answer.status, answer.json), (status, {"error": error}), path)

    def test_on_the_terminal(self):
        daemon = self.start()
        url = ("--url", daemon.url("http"))
        self.assertEqual(self.ctl("clusters", *url).stdout, "")
        daemon.post("/v1/observer/event", [failure(error="lost %d keys\u001b[2J" % i, endpoint="/b") for i in range(3)] +
                    [failure(sig_hash="abc", endpoint="/c")])
        a, b = clusters(daemon)
        lines = self.ctl("clusters", "--utc", *url).stdout.split("\n")
        self.assertEqual(lines[0].split(), ["FAILURE", "ENDPOINT", "STATE", "SINCE", "1H", "COUNT", "LAST", "ID"])
        self.assertRegex(lines[1], r"^\(no text\) +/c +new +\S+ \S+ +1 +1 +\S+ \S+ +%s$" % a["id"][:8])
        self.assertRegex(lines[2], r"^lost <\*> keys.* +/b +new +\S+ \S+ +3 +3 +\S+ \S+ +%s$" % b["id"][:8])
        self.assertNotIn("\x1b", lines[2])
        self.assertEqual(len(lines), 4)
        self.assertEqual(json.loads(self.ctl("clusters", "--json", "--sort", "count", *url).stdout)["clusters"][0], b)
        self.assertEqual(self.ctl("clusters", "--since", "1h", "-e", "/c", *url).stdout.count("\n"), 2)
        rows = self.ctl("ops", "--cluster", b["id"], "--json", *url).stdout.split("\n")[:-1]
        self.assertEqual([json.loads(row)["endpoint"] for row in rows], ["/b"] * 3)
        out, ages = self.ctl("clusters", b["id"], *url).stdout, re.compile(r"\b\d+ s\b")  # a second may go by between two looks
        self.assertEqual(ages.sub("", self.ctl("clusters", b["id"][:6], *url).stdout), ages.sub("", out))
        self.assertRegex(out, r"(?m)^failure +lost <\*> keys")
        self.assertRegex(out, r"(?m)^state +new for \d+ s$")
        self.assertRegex(out, r"(?m)^failures +3 in all, 3 in the last hour, 3 in the last minute$")
        self.assertRegex(out, r"(?m)^all of them +observerctl ops --cluster %s$" % b["id"][:8])
        self.assertRegex(out, r"(?m)^samples \(seq\) +1, 2, 3$")
        self.assertRegex(out, r"(?m)^endpoints +/b 3$")
        self.assertNotRegex(out, r"(?m)^tasks ")
        for first, words in ((lambda i: "t", "1 in 20 failures: one task is stuck"),
                             (lambda i: "u%d" % i, "about [12][0-9] in 20 failures: every task fails"),
                             (lambda i: "v%d" % (i // 4), "5 in 20 failures: tasks fail again and again, 4 times each")):
            daemon.post("/v1/observer/event", [failure(error="kind of %s" % words[-9:], sig_hash=first(i)) for i in range(20)])
            out = self.ctl("clusters", clusters(daemon)[0]["id"], *url).stdout
            self.assertRegex(out, r"(?m)^tasks +%s$" % words)
        self.assertIn('"x" is not the id of a cluster (16 hex digits, or at least the first 4)', self.ctl("clusters", "x", *url, code=2).stderr)
        self.assertIn("no cluster", self.ctl("clusters", "0" * 16, *url, code=1).stderr)


if __name__ == "__main__":
    main()
