"""The learning loops of a real observerd, as a whole: a scripted day without any model, kill -9 between all its stores,
and what the older observer's readers parse.

  OBSERVER_ROUNDS     kills in the crash test (default 8)
  OBSERVER_SEED       of its random numbers (default: the clock; printed), and of the day's (default: 3)
"""

import collections
import json
import os
import random
import re
import subprocess
import time

from harness import BUILD, DaemonTest, main, wait_until
from model_server import ModelServer

SEED = int(os.environ.get("OBSERVER_SEED") or time.time())
ROUNDS = int(os.environ.get("OBSERVER_ROUNDS", "8"))
CYCLE = re.compile(r"^\S+Z info observerd: \[observer\] cycle (\d+): (\{.*\})$", re.M)


def learned(daemon):
    return daemon.get("/health").json["learn"]


def wait_cycles(daemon, n, seconds=30.0):
    """Until `n` whole cycles began after this moment and the last one is over: the next one has begun."""
    def begun():
        learn = learned(daemon)
        return learn["cycles"] - learn["missed_cycles"]
    start = begun()
    wait_until(lambda: begun() >= start + n + 1, seconds + 2 * n, "%d cycles" % n)


def post(daemon, ops):
    answer = daemon.post("/v1/observer/event", ops)
    assert answer.status == 200 and answer.json["rejected"] == 0, answer
    return answer.json


def pages(daemon, name, **params):
    """All rows of a list route, oldest first."""
    rows, cursor = [], None
    while True:
        query = dict(params, limit=1000, full="true", **({"cursor": cursor} if cursor else {}))
        answer = daemon.get("/v1/observer/%s?%s" % (name, "&".join("%s=%s" % kv for kv in query.items())))
        assert answer.status == 200, answer
        rows += answer.json[name]
        cursor = answer.json["next_cursor"]
        if not cursor:
            return rows[::-1]


def failures(endpoint, error, n, **fields):
    return [{"endpoint": endpoint, "success": False, "error": error % i, "input_summary": "try %d" % i, **fields}
            for i in range(n)]


class Day(DaemonTest):
    """200,000 ops with five causes planted among noise, and nothing but the builtin diagnosis."""

    def overseer_says(self, daemon, correction):
        with open(self.corrections, "a") as f:
            f.write(json.dumps(correction) + "\n")
        wait_until(lambda: learned(daemon)["corrections"]["recorded"] == 1, 30, "the correction")

    def play(self, daemon, lines):
        chunk = []
        for line in lines:
            if line.startswith('{"correction"'):
                self.send(daemon, chunk)
                self.overseer_says(daemon, json.loads(line)["correction"])
            else:
                chunk.append(line)
            if len(chunk) == 5000:
                self.send(daemon, chunk)
        self.send(daemon, chunk)

    def send(self, daemon, chunk):
        if not chunk:
            return
        answer = daemon.post("/v1/observer/event", "".join(chunk).encode(),
                             {"content-type": "application/x-ndjson"})
        self.assertEqual((answer.status, answer.json["rejected"]), (200, 0), answer.json.get("errors"))
        chunk.clear()

    def test_each_planted_cause_is_named(self):
        seed = int(os.environ.get("OBSERVER_SEED", "3"))
        self.corrections = os.path.join(self.tmp, "corrections.jsonl")
        daemon = self.start(args=["--cycle", "200ms", "--fsync", "never", "--overseer-corrections-path", self.corrections])
        tool = subprocess.Popen([os.path.join(BUILD, "tests", "day_tool"), str(seed)], stdout=subprocess.PIPE, text=True)
        planted = json.loads(tool.stdout.readline())
        minute = planted.pop("slow_minute")
        self.play(daemon, tool.stdout)
        self.assertEqual(tool.wait(), 0)
        tool.stdout.close()
        last = daemon.get("/v1/observer/ops?success=false&limit=1").json["ops"][0]["seq"]
        wait_until(lambda: learned(daemon)["analysed_through"] == last, 200, "the analysis of all failures")
        diagnosis = pages(daemon, "analyses", scope="fleet")[-1]["diagnosis"]
        named = {(f["blames"]["field"], f["blames"]["value"]): f for f in diagnosis["findings"] if "with" not in f}
        missing = {k: v for k, v in planted.items() if tuple(v) not in named}
        self.assertEqual(missing, {}, list(named))
        self.assertLessEqual(len(diagnosis["findings"]), len(planted) + 1, list(named))
        by = {k: named[tuple(v)] for k, v in planted.items()}
        self.assertEqual(by["slow"]["cause"], "slow")
        began = by["slow"]["from"]  # 2026-01-01T..
        self.assertLess(abs(int(began[11:13]) * 60 + int(began[14:16]) - minute), 40)
        self.assertEqual(by["limit"]["error_kind"], "rate_limit")
        self.assertEqual(by["regression"]["cause"], "regression")
        corrections = daemon.get("/v1/observer/ops?source=overseer_correction").json["ops"]
        self.assertEqual([c["seq"] for c in corrections], [by["regression"]["correction_seq"]])


class Crash(DaemonTest):
    def give(self, n):
        with open(self.corrections, "a") as f:
            for _ in range(n):
                self.given += 1
                f.write(json.dumps({"created_at": "2026-01-01T00:00:00.000Z", "model": "m", "sig_hash": "s%d" % self.given,
                                    "task_class": "fill", "correction": "do %d" % self.given}) + "\n")
            if self.rng.random() < 0.5:  # half a line waits
                f.write('{"created_at":"2026-01-01T00:00:00.000Z","model":"m","correction":"')
                f.flush()
                time.sleep(self.rng.random() * 0.2)
                self.given += 1
                f.write('do %d"}\n' % self.given)

    def work(self, daemon):
        """Some seconds of a fleet's life."""
        for _ in range(self.rng.randrange(3, 9)):
            name = "/e%d" % self.rng.randrange(6)
            post(daemon, failures(name, "%d cannot reach peer " + name[1:], self.rng.randrange(1, 5), task_class="fill"))
            post(daemon, [{"endpoint": name, "success": True, "duration_ms": self.rng.randrange(90),
                           "input_summary": "order %d" % i} for i in range(self.rng.randrange(1, 7))])
            self.give(self.rng.randrange(3))
            time.sleep(self.rng.random() * 0.4)

    def check_corrections(self, daemon):
        got = collections.Counter(r["correction"] for r in daemon.journal_rows() if r.get("source") == "overseer_correction")
        self.assertEqual(got, collections.Counter("do %d" % (i + 1) for i in range(self.given)))

    def check_analyses(self, daemon):
        """Each failure of a cluster is taken once: what was taken before, and what now, is what is taken in all."""
        taken = collections.defaultdict(int)
        for row in pages(daemon, "analyses", scope="cluster"):
            taken[row["cluster"]] += row["failures"]
            self.assertEqual(row["taken"], taken[row["cluster"]], row)
        for cluster in daemon.get("/v1/observer/clusters?limit=1000").json["clusters"]:
            self.assertLessEqual(taken[cluster["id"]], cluster["count"])

    def memory(self, daemon):
        """What has to come back, without what goes on by itself."""
        entries = daemon.get("/v1/observer/playbooks?limit=1000&retired=true").json["playbooks"]
        return {"playbooks": sorted((e["id"], e["version"], e["text"]) for e in entries),
                "analyses": [r["id"] for r in pages(daemon, "analyses")],
                "escalations": [r["id"] for r in pages(daemon, "escalations")],
                "clusters": {c["id"]: c["count"] for c in daemon.get("/v1/observer/clusters?limit=1000").json["clusters"]}}

    def test_killed_at_any_moment(self):
        print("seed %d" % SEED)
        self.rng, self.given = random.Random(SEED), 0
        self.corrections = os.path.join(self.tmp, "corrections.jsonl")
        model = ModelServer.start(self)
        model.set(delay=0.05, grounded=True)
        daemon = self.start(args=["--cycle", "100ms", "--playbook-cycles", "1", "--lakehouse-url", model.url,
                                  "--llm-team-url", model.url, "--llm-calls-per-hour", "0",
                                  "--overseer-corrections-path", self.corrections])
        for _ in range(ROUNDS):
            before = self.memory(daemon)
            self.work(daemon)
            daemon.restart(kill=True)
            after = self.memory(daemon)
            self.assertLessEqual(set(before["analyses"]), set(after["analyses"]))
            self.assertLessEqual(set(before["escalations"]), set(after["escalations"]))
            self.assertLessEqual({p[0] for p in before["playbooks"]}, {p[0] for p in after["playbooks"]})
            for cluster, count in before["clusters"].items():
                self.assertLessEqual(count, after["clusters"][cluster])
        wait_until(lambda: learned(daemon)["corrections"]["cursor"] == os.path.getsize(self.corrections), 30, "the tail")
        wait_cycles(daemon, 2)
        self.check_corrections(daemon)
        self.check_analyses(daemon)
        self.check_asked_once(model)
        daemon.stop()
        with open(self.corrections) as f:
            self.assertEqual(len(f.readlines()), self.given)

    def check_asked_once(self, model):
        """No question went out twice: an analysis names its failures by their seqs, and a cluster's episode is sent once."""
        prompts = collections.Counter(r["body"]["prompt"] for r in model.requests("/ai/generate"))
        self.assertEqual([p[:200] for p, n in prompts.items() if n > 1], [])
        episodes = collections.Counter(r["body"]["evidence"]["cluster"]["id"] for r in model.requests("/api/run"))
        self.assertEqual([c for c, n in episodes.items() if n > 1], [])


class Older(DaemonTest):
    """What readers of the older observer parse: its cycle line, its posts to the gateway."""

    def test_cycle_line_and_gateway(self):
        gateway = ModelServer.start(self)
        corrections = os.path.join(self.tmp, "corrections.jsonl")
        daemon = self.start(args=["--cycle", "100ms", "--playbook-cycles", "2"],
                            env={"GATEWAY_URL": gateway.url, "OVERSEER_CORRECTIONS_PATH": corrections})
        with open(corrections, "w") as f:
            f.write('{"model":"m","correction":"c","sig_hash":"s"}\n' * 2)
        line = " info learn: [observer] pulled 2 new overseer correction(s) into ring\n"
        wait_until(lambda: line in daemon.stderr(), 20,
                   "the line of the tail")
        ops = [{"endpoint": "/v1/chat", "success": True, "duration_ms": ms, "input_summary": "say \"%d\"\u00e9" % ms,
                "source": "langfuse"} for ms in (10, 11, 12, 12)]
        ops += failures("/v1/fill", "no candidates", 0)
        ops += [{"endpoint": "/v1/fill", "success": False, "error": "no candidates in Toledo", "input_summary": "fill 1",
                 "source": "scenario"}]
        post(daemon, ops)
        posts = wait_until(lambda: len(gateway.requests("/log")) >= 2 and gateway.requests("/log"), 20, "the posts")
        said = [p["body"] for p in posts]
        for body in said:
            self.assertEqual(list(body), ["operation", "approach", "result", "context"])
        consolidated = [b for b in said if b["operation"].startswith("consolidated")]
        self.assertEqual(consolidated, [{"operation": "consolidated: 4 successful /v1/chat calls",
                                         "approach": 'common pattern: say "11"\u00e9; say "12"\u00e9; say "12"\u00e9',
                                         "result": "avg_duration=11ms, 4 successes", "context": "endpoint=/v1/chat"}])
        analysis = [b for b in said if b["operation"].startswith("error_analysis")]
        self.assertEqual([(b["operation"], b["context"]) for b in analysis],
                         [("error_analysis: 1 failures", "[/v1/fill] fill 1: no candidates in Toledo")])
        self.assertTrue(0 < len(analysis[0]["result"]) <= 500)
        for p in posts:
            self.assertEqual(p["headers"].get("content-type", p["headers"].get("Content-Type")), "application/json")
        wait_cycles(daemon, 1)
        n, text = CYCLE.findall(daemon.stderr())[-1]
        self.assertEqual(text, '{"cycle":%s,"total_ops":7,"successes":6,"failures":1,"scenario_ops":1,"langfuse_ops":4,'
                               '"overseer_corrections":2}' % n)
        self.assertEqual(len(gateway.requests("/log")), len(posts))  # nothing is told again


if __name__ == "__main__":
    main()
