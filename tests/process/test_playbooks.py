"""Playbooks of a real observerd: entries, edits, what the gateway and the feed are told, effects, kill -9, advice.

  OBSERVER_ROUNDS     kills (default 4)
  OBSERVER_SEED       of the pauses before them (default: the clock; printed)
"""

import json
import os
import random
import time
from urllib.parse import quote

from feed_client import Follower
from harness import DaemonTest, learning_rows, main, wait_until
from model_server import ModelServer
from taught import get, post, wait_cycles

ARGS = ["--cycle", "100ms", "--playbook-cycles", "1"]


def success(endpoint, **fields):
    return {"endpoint": endpoint, "success": True, "duration_ms": 10, "input_summary": "fill 1", **fields}


def failure(endpoint, **fields):
    return {"endpoint": endpoint, "success": False, "error": "schema: field 7 is missing", "task_class": "fill", **fields}


def playbooks(daemon, **params):
    query = "&".join("%s=%s" % (k, quote(str(v))) for k, v in {"limit": 1000, **params}.items())
    return get(daemon, "playbooks?" + query)["playbooks"]


def wait_entry(daemon, version=1, **params):
    """The one entry of these parameters, once it has that version."""
    def there():
        found = playbooks(daemon, **params)
        return found if found and found[0]["version"] >= version else None
    found = wait_until(there, 20, "version %d of %r" % (version, params))
    assert len(found) == 1 and found[0]["version"] == version, found
    return found[0]


def rows(daemon):
    return learning_rows(daemon, "playbooks.jsonl")


class Playbooks(DaemonTest):
    def test_the_gateway_is_told_as_by_the_older_observer(self):
        gateway = ModelServer.start(self)
        daemon = self.start(args=[*ARGS, "--gateway-url", gateway.url])
        texts = ["first", 'second "quoted" \u00e9', "\U0001f600" * 120, "last"]
        post(daemon, [success("/v1/a?x=\u20ac", input_summary=t, duration_ms=ms) for t, ms in zip(texts, (1, 2, 2, 5))])
        post(daemon, [success("/few"), success("/few")])
        wait_entry(daemon)
        wait_until(lambda: gateway.requests("/log"), 10, "a post")
        wait_cycles(daemon, 2)
        joined = "; ".join(texts[-3:])
        cut = joined.encode("utf-16-le")[:400].decode("utf-16-le", "ignore")
        told = [r["body"] for r in gateway.requests("/log")]
        self.assertEqual(told, [{"operation": "consolidated: 4 successful /v1/a?x=\u20ac calls",
                                 "approach": "common pattern: " + cut, "result": "avg_duration=3ms, 4 successes",
                                 "context": "endpoint=/v1/a?x=\u20ac"}])
        self.assertEqual(list(told[0]), ["operation", "approach", "result", "context"])
        post(daemon, [success("/v1/a?x=\u20ac", input_summary="new")] * 4)
        wait_entry(daemon, 2)
        wait_until(lambda: len(gateway.requests("/log")) == 2, 10, "a second post")
        self.assertEqual(gateway.requests("/log")[1]["body"]["approach"], "common pattern: new; new; new")

    def test_a_gateway_that_hangs_keeps_nobody(self):
        gateway = ModelServer.start(self)
        gateway.set(hang=True)
        daemon = self.start(args=[*ARGS, "--gateway-url", gateway.url])
        post(daemon, [success("/a")] * 5)
        wait_until(lambda: gateway.requests("/log"), 10, "a post that hangs")
        self.assertEqual(wait_entry(daemon, endpoint="/a")["change"], "created")
        for i in range(50):
            post(daemon, [success("/a", input_summary="fill %d" % i)])
        self.assertEqual(daemon.stats()["total"], 55)

    def test_edits_on_the_feed_and_in_the_file(self):
        daemon = self.start(args=ARGS, feed="tcp://127.0.0.1:0")
        with Follower(daemon.subscribe()) as follower:
            post(daemon, [success("/a", staffer_id="ann", task_class="fill")] * 6)
            first = wait_entry(daemon)
            post(daemon, [success("/a", staffer_id="bob", task_class="fill")] * 6)
            second = wait_entry(daemon, 2)
            while len(told := [m for topic, m in follower.others if topic == b"playbook"]) < 2:
                follower.take()
        wait_cycles(daemon, 2)
        self.assertEqual(first["history"][0]["change"], "created")
        self.assertEqual(second["history"][1]["fields"], ["successes", "staffers"])
        self.assertEqual(second["staffers"], [{"value": "bob", "count": 6}, {"value": "ann", "count": 6}])
        written = rows(daemon)
        self.assertEqual([(r["id"], r["version"], r["change"]) for r in written], [(1, 1, "created"), (2, 2, "updated")])
        for row, entry, map_ in zip(written, (first, second), told):
            self.assertEqual(row.pop("entry"), entry["id"])
            self.assertEqual({**row, "id": entry["id"], "effect": 0}, {**entry, "effect": 0})
            self.assertEqual({k: v for k, v in map_.items() if k not in ("seq", "topic_seq", "entry", "effect")},
                             {k: v for k, v in row.items() if k not in ("history", "effect")})

    def test_what_fails_is_a_dont_and_is_advised(self):
        daemon = self.start(args=ARGS)
        # Beside others that work, so that it is known where it fails.
        post(daemon, [success("/b")] * 60 + [success("/a", task_class="fill")] * 40 + [failure("/a")] * 12 + [success("/b")] * 40)
        entry = wait_entry(daemon, endpoint="/a", task_class="fill", kind="dont")
        self.assertTrue(1 <= len(entry["evidence"]) <= 5)
        journal = daemon.journal_rows()
        self.assertTrue(all(not journal[seq - 1]["success"] for seq in entry["evidence"]))
        self.assertEqual((entry["effect"]["before"]["ops"], entry["effect"]["before"]["failures"]), (40, 0))
        cluster = get(daemon, "clusters/" + entry["cluster"])
        self.assertEqual(cluster["count"], 12)
        one = get(daemon, "playbooks/" + entry["id"])
        self.assertEqual((one["id"], one["text"]), (entry["id"], entry["text"]))

        # While it fails nothing says to call it.
        advice = wait_until(lambda: (a := get(daemon, "advice?endpoint=/a&task_class=fill"))["entries"] and a, 20, "the don't")
        self.assertEqual([e["kind"] for e in advice["entries"]], ["dont"])
        post(daemon, [success("/a", task_class="fill")] * 100)

        def advised():
            advice = get(daemon, "advice?endpoint=/a&task_class=fill")
            return advice if len(advice["entries"]) == 2 else None
        advice = wait_until(advised, 20, "both entries in the advice")
        self.assertEqual([e["kind"] for e in advice["entries"]], ["dont", "do"])
        self.assertEqual(advice["clusters"][0]["id"], entry["cluster"])
        self.assertLess(len(json.dumps(advice, separators=(",", ":"))), 1001)

    def test_what_changed_since_is_no_effect(self):
        """Nobody asked for advice: whatever happens since an entry was made is not its doing."""
        daemon = self.start(args=ARGS)
        post(daemon, [success("/a")] * 60)
        wait_entry(daemon, endpoint="/a", kind="do")
        post(daemon, [failure("/a")] * 400)
        entry = wait_until(lambda: [e for e in playbooks(daemon, kind="do") if e["effect"]["after"]["failures"] == 400], 20, "the count")[0]
        self.assertEqual((entry["effect"]["basis"], entry["effect"]["uplift"]), ("since", None))
        self.assertEqual(entry["effect"]["before"], {"ops": 60, "failures": 0, "rate": 0})
        self.assertGreater(entry["effect"]["low"], 0.8)
        self.assertFalse(entry["retired"])

    def ask_and_act(self, daemon, names, ok):
        """Each session asks about /a, then acts there. Returns whose advice was held back."""
        held = [n for n in names if get(daemon, "advice?endpoint=/a&session_id=" + n).get("held_back")]
        post(daemon, [(success if ok(n, n in held) else failure)("/a", session_id=n) for n in names])
        return held

    def test_who_was_advised_fails_more(self):
        daemon = self.start(args=ARGS)
        post(daemon, [success("/a")] * 60)
        entry = wait_entry(daemon, endpoint="/a", kind="do")
        wait_cycles(daemon, 2)  # its trials are counted from here on
        for i in range(2):  # three ops a session: one trial
            self.ask_and_act(daemon, ["asked-%d-%d" % (i, k) for k in range(25)], lambda name, held: False)
            post(daemon, [success("/a", session_id="other-%d-%d" % (i, k)) for k in range(25) for _ in range(3)])
            wait_cycles(daemon, 2)
        retired = wait_until(lambda: [e for e in playbooks(daemon, retired="true", kind="do") if e["retired"]], 20, "retirement")[0]
        self.assertEqual((retired["id"], retired["change"], retired["effect"]["basis"]), (entry["id"], "retired", "exposure"))
        uplift = retired["effect"]["uplift"]
        self.assertEqual(uplift["advised"]["failures"], uplift["advised"]["ops"])
        self.assertEqual(uplift["others"]["failures"], 0)
        self.assertLessEqual(uplift["others"]["ops"], 50)
        self.assertGreater(uplift["low"], 0)
        self.assertEqual(playbooks(daemon, kind="do"), [])
        wait_until(lambda: not any(e["kind"] == "do" for e in get(daemon, "advice?endpoint=/a")["entries"]), 10, "the advice")
        daemon.restart(kill=True)
        self.assertEqual([e["id"] for e in playbooks(daemon, retired="true", kind="do") if e["retired"]], [entry["id"]])
        # All is well again for a window: it comes back. The first one has the failures since it was retired.
        for _ in range(2):
            post(daemon, [success("/a")] * 100)
            wait_cycles(daemon, 2)
        wait_until(lambda: playbooks(daemon, kind="do"), 20, "its return")

    def test_a_holdout_shows_what_advice_brings(self):
        daemon = self.start(args=[*ARGS, "--advice-holdout", "50%"])
        post(daemon, [success("/a")] * 60)
        wait_entry(daemon, endpoint="/a", kind="do")
        wait_cycles(daemon, 2)
        held = []
        for i in range(4):  # who is answered succeeds, every other of those held back fails
            held += self.ask_and_act(daemon, ["s-%d-%d" % (i, k) for k in range(60)],
                                     lambda name, back: not back or int(name.split("-")[2]) % 2 == 0)
            post(daemon, [failure("/a", session_id="none-%d" % i)])
            wait_cycles(daemon, 2)
        self.assertTrue(80 <= len(held) <= 160, len(held))  # of 240, half
        self.assertTrue(get(daemon, "advice?endpoint=/a&session_id=" + held[0])["held_back"])  # always the same
        entry = wait_until(lambda: [e for e in playbooks(daemon, kind="do") if e["effect"]["uplift"]], 20, "uplift")[0]
        effect = entry["effect"]
        self.assertEqual(effect["basis"], "holdout")
        self.assertEqual(effect["uplift"]["advised"]["failures"], 0)
        self.assertLess(effect["uplift"]["high"], 0)
        self.assertFalse(entry["retired"])

    def test_kill_at_any_moment(self):
        seed = int(os.environ.get("OBSERVER_SEED") or time.time())
        print("OBSERVER_SEED=%d" % seed)
        pauses = random.Random(seed)
        daemon = self.start(args=ARGS)
        rounds = int(os.environ.get("OBSERVER_ROUNDS", "4"))
        for n in range(rounds):
            post(daemon, [success("/r%d-%d" % (n, i), input_summary="do %d" % n) for i in range(20) for _ in range(3)])
            known = playbooks(daemon)
            time.sleep(0.8 + 0.5 * pauses.random())
            daemon.restart(kill=True)
            after = {e["id"]: e for e in playbooks(daemon)}
            for e in known:  # what was told before is there, no older
                self.assertGreaterEqual(after[e["id"]]["version"], e["version"])
        wait_until(lambda: len(playbooks(daemon)) == 20 * rounds, 20, "all entries")
        wait_cycles(daemon, 1)
        versions, last = {}, {}
        written = rows(daemon)
        self.assertEqual([r["id"] for r in written], list(range(1, len(written) + 1)))
        for row in written:
            self.assertEqual(row["version"], versions.get(row["entry"], 0) + 1)  # none lost, none twice
            versions[row["entry"]] = row["version"]
            last[row["entry"]] = row["text"]
        self.assertEqual({e["id"]: e["text"] for e in playbooks(daemon)}, last)


if __name__ == "__main__":
    main()
