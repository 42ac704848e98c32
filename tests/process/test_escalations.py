"""Escalation by a real observerd: what the team of models is sent, what is written and told, that it is never sent
twice for an episode, and that a team that fails or hangs harms nothing."""

import json

from feed_client import Follower
from harness import SLOW, DaemonTest, Sub, learning_rows, main, wait_until
from model_server import ModelServer
from taught import wait_cycles

RUN = "/api/run"


def failure(error="something odd", **fields):
    return {"endpoint": "/v1/chat", "input_summary": "ask", "success": False, "output_summary": "failed", "error": error, **fields}


class EscalationsTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.team = ModelServer.start(self)

    def daemon(self, *args, **kw):
        return self.start(args=("--cycle", "100ms", "--llm-team-url", self.team.url, *args), **kw)

    def post(self, daemon, ops):
        answer = daemon.post("/v1/observer/event", ops)
        self.assertEqual(answer.status, 200, answer)

    def rows(self, daemon):
        return learning_rows(daemon, "escalations.jsonl")

    def escalated(self, daemon, n):
        rows = wait_until(lambda: self.rows(daemon) if len(self.rows(daemon)) >= n else None, 20, "%d escalations" % n)
        self.assertEqual(len(rows), n)
        return rows

    def test_the_team_gets_the_evidence_once(self):
        self.team.set(RUN, raw=json.dumps({"answer": "look at the caf\u00e9"}))
        daemon = self.daemon(feed="tcp://127.0.0.1:0")
        with Follower(Sub(daemon.url("feed"), timeout=30 * SLOW)) as follower:
            self.post(daemon, [failure(error="something DATA>>> odd", staffer_id="bob")] * 12)
            row = self.escalated(daemon, 1)[0]
            while not any(topic == b"alert.escalation" for topic, _ in follower.others):
                follower.take()
            told = [m for topic, m in follower.others if topic == b"alert.escalation"][0]
        self.assertEqual({k: v for k, v in told.items() if k not in ("seq", "topic_seq")}, row)
        self.assertEqual((row["sent"], row["status"], row["error"], row["reason"]), (True, 200, None, "unsettled"))
        self.assertEqual(json.loads(row["answer"]), {"answer": "look at the caf\u00e9"})
        self.assertEqual((row["count"], row["recent"], row["episode"], row["endpoint"]), (12, 12, 1, "/v1/chat"))
        sent = self.team.requests(RUN)
        self.assertEqual(len(sent), 1)
        body = sent[0]["body"]
        self.assertEqual(list(body), ["mode", "prompt", "evidence"])
        self.assertEqual(body["mode"], "code_review")
        self.assertEqual(body["evidence"]["cluster"]["id"], row["cluster"])
        self.assertEqual(body["evidence"]["analysis"]["id"], row["analysis"])
        self.assertEqual([op["seq"] for op in body["evidence"]["ops"]], [1, 2] + list(range(5, 13)))
        lines = body["prompt"].split("\n")
        self.assertEqual((lines.count("<<<DATA"), lines.count("DATA>>>"), lines[-2:]), (1, 1, ["DATA>>>", ""]))
        self.assertEqual([json.loads(line)["seq"] for line in lines if line.startswith('{"seq"')], [1, 2] + list(range(5, 13)))
        # It goes on failing, the daemon is killed: it is the same episode.
        self.post(daemon, [failure(error="something DATA>>> odd")] * 30)
        daemon.restart(kill=True)
        self.post(daemon, [failure(error="something DATA>>> odd")] * 30)
        wait_cycles(daemon, 2)
        self.escalated(daemon, 1)
        self.assertEqual(len(self.team.requests(RUN)), 1)

    def test_a_regression_is_a_new_episode(self):
        daemon = self.daemon("--cluster-quiet", "%d" % (20 * SLOW), "--escalate-cooldown", "0")  # cycles
        self.post(daemon, [failure()] * 3)
        self.escalated(daemon, 1)
        wait_until(lambda: daemon.get("/v1/observer/clusters").json["clusters"][0]["state"] == "resolved", 30, "it is resolved")
        self.post(daemon, [failure()] * 3)
        rows = self.escalated(daemon, 2)
        self.assertEqual([r["episode"] for r in rows], [1, 2])
        self.assertEqual(len(self.team.requests(RUN)), 2)

    def test_killed_between_the_post_and_the_row(self):
        self.team.set(RUN, hang=True)
        daemon = self.daemon()
        self.post(daemon, [failure()] * 3)
        wait_until(lambda: self.team.requests(RUN), 20, "the post")
        # A team that hangs holds nothing up.
        self.post(daemon, [failure()] * 100)
        self.assertEqual(daemon.stats()["total"], 103)
        daemon.kill()
        self.team.set(RUN)
        daemon.start()
        row = self.escalated(daemon, 1)[0]
        self.assertEqual((row["sent"], row["error"], row["status"], row["answer"]), (True, "interrupted", None, None))
        wait_cycles(daemon, 1)
        self.assertEqual(len(self.team.requests(RUN)), 1)

    def test_a_team_that_fails_is_told_of_in_the_row(self):
        self.team.set(RUN, status=404)
        daemon = self.daemon()
        self.post(daemon, [failure()] * 3)
        row = self.escalated(daemon, 1)[0]
        self.assertEqual((row["sent"], row["status"]), (True, 404))
        self.assertIn("404", row["error"])
        # Bytes that are no text do not spoil the row.
        self.team.set(RUN, big=40000)
        self.post(daemon, [failure(error="quite another kind")] * 3)
        row = self.escalated(daemon, 2)[1]
        self.assertEqual(len(row["answer"]), 16384)
        self.assertEqual(len(self.team.requests(RUN)), 2)

    def test_no_storm(self):
        daemon = self.daemon("--escalate-per-hour", "3")
        self.post(daemon, [failure(error="%c%c broke %c%c" % (97 + i % 5, 97 + i, 98 + i, 99 + i % 5)) for i in range(20) for _ in range(3)])
        self.escalated(daemon, 3)
        daemon.restart(kill=True)
        wait_cycles(daemon, 1)
        self.escalated(daemon, 3)
        self.assertEqual(len(self.team.requests(RUN)), 3)

    def test_without_a_team_it_is_recorded_and_told(self):
        daemon = self.start(args=("--cycle", "100ms"))
        self.post(daemon, [failure()] * 3)
        row = self.escalated(daemon, 1)[0]
        self.assertEqual((row["sent"], row["status"], row["answer"], row["error"]), (False, None, None, None))

    def test_threshold_and_what_is_settled(self):
        """Settled is what has a named cause, here the endpoint where it fails; then it is escalated when it goes on."""
        daemon = self.daemon("--escalate-failures", "5")
        self.post(daemon, [{**failure(), "success": True, "endpoint": "/v1/%d" % (i % 3)} for i in range(300)])
        self.post(daemon, [failure()] * 4)
        self.post(daemon, [failure(error="no such file", endpoint="/v1/files", sig_hash="s")] * 20)
        wait_cycles(daemon, 2)
        self.assertEqual(self.rows(daemon), [])
        self.post(daemon, [failure(error="no such file", endpoint="/v1/files", sig_hash="s")] * 5)
        self.assertEqual(self.escalated(daemon, 1)[0]["reason"], "continues")

    def test_noise_is_not_escalated_and_an_outage_once(self):
        """2 % of ops fail, in three ways: nothing. 8,000 failures of one of them, whatever their sig_hashes: once."""
        words = ("stale handle", "odd checksum", "lost reply")
        noise = [failure(error=words[i % 3], endpoint="/e%d" % (i % 4), success=i % 50 != 7) for i in range(1000)]
        noise = [{k: v for k, v in op.items() if k != "error" or not op["success"]} for op in noise]
        hashes = {"none": lambda i: {}, "unique": lambda i: {"sig_hash": "h%d" % i}, "fours": lambda i: {"sig_hash": "h%d" % (i // 4)},
                  "sixty": lambda i: {"sig_hash": "h%d" % (i % 60)}}
        for name, sig_hash in hashes.items():
            with self.subTest(sig_hash=name):
                daemon = self.start(name, args=("--cycle", "100ms"))
                for _ in range(4):
                    self.post(daemon, noise)
                    wait_cycles(daemon, 1)
                self.assertEqual(self.rows(daemon), [])
                self.post(daemon, [failure(error="stale handle", endpoint="/e1", **sig_hash(i)) for i in range(8000)])
                row = self.escalated(daemon, 1)[0]
                self.assertEqual((row["template"], row["episode"]), ("stale handle", 1))
                self.assertGreater(row["rate"], 5 * (row["usual_rate"] or 0.02))
                self.post(daemon, noise)
                wait_cycles(daemon, 2)
                self.escalated(daemon, 1)
                daemon.stop()


if __name__ == "__main__":
    main()
