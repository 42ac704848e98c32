"""The error analyser of a real observerd without a model: what is written (analyses.jsonl), what the gateway and the
feed are told, and that nothing is analysed twice, also after kill -9."""

import os

from feed_client import Follower
from harness import SLOW, DaemonTest, Sub, learning_rows, main, wait_until
from model_server import ModelServer
from taught import wait_cycles


def failure(endpoint="/v1/chat", error="upstream refused the connection", **fields):
    return {"endpoint": endpoint, "input_summary": "ask", "success": False, "output_summary": "failed", "error": error, **fields}


class AnalysesTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.model = ModelServer.start(self)

    def daemon(self, *args, **kw):
        return self.start(args=("--cycle", "100ms", *args), **kw)

    def lakehouse(self, *args, **kw):
        return self.daemon("--lakehouse-url", self.model.url, *args, **kw)

    def post(self, daemon, ops):
        answer = daemon.post("/v1/observer/event", ops)
        self.assertEqual(answer.status, 200, answer)

    def analysed(self, daemon, n, scope="cluster"):
        """Waits for the n-th analysis; returns all."""
        def enough():
            rows = [r for r in learning_rows(daemon, "analyses.jsonl") if r["scope"] == scope]
            return rows if len(rows) >= n else None
        rows = wait_until(enough, 20, "%d analyses" % n)
        self.assertEqual(len(rows), n)
        return rows

    def one(self, daemon, ops):
        """Records ops of one cluster and returns its analysis."""
        before = len([r for r in learning_rows(daemon, "analyses.jsonl") if r["scope"] == "cluster"])
        self.post(daemon, ops)
        return self.analysed(daemon, before + 1)[-1]


class Builtin(AnalysesTest):
    def test_the_gateway_gets_the_older_shape(self):
        daemon = self.daemon("--gateway-url", self.model.url + "/")
        row = self.one(daemon, [failure(error="no such name: caf\u00e9 %d" % i, input_summary="ask %d" % i) for i in range(12)])
        self.assertEqual((row["backend"], row["failures"], row["taken"], row["model"]), ("builtin", 12, 12, None))
        wait_until(lambda: self.model.requests("/log"), 10, "the gateway's log")
        log = [r for r in self.model.requests("/log") if r["body"]["operation"].startswith("error_analysis")]
        self.assertEqual(len(log), 1)
        self.assertEqual(list(log[0]["body"]), ["operation", "approach", "result", "context"])
        self.assertEqual(log[0]["body"]["operation"], "error_analysis: 12 failures")
        self.assertEqual(log[0]["body"]["approach"], "builtin diagnosis of error patterns")
        self.assertEqual(log[0]["body"]["result"], (row["cause"] + "\n" + row["adjust"])[:500])
        shown = [0, 1] + list(range(4, 12))
        lines = "\n".join("[/v1/chat] ask %d: no such name: caf\u00e9 %d" % (i, i) for i in shown)
        self.assertEqual(log[0]["body"]["context"], lines[:500])
        self.assertEqual(log[0]["headers"]["content-type"], "application/json")

    def test_a_missing_error_is_undefined_in_the_older_lines(self):
        daemon = self.daemon("--gateway-url", self.model.url)
        row = self.one(daemon, [{"endpoint": "/v1/fill", "input_summary": "fill 1", "success": False, "output_summary": "no candidates"}])
        self.assertEqual(row["cause"], "1 op failed this way (seq 1), unknown kind. Too few failures to find a common factor. "
                         'No built-in error kind matches: "no candidates".')
        wait_until(lambda: self.model.requests("/log"), 10, "the gateway's log")
        self.assertEqual(self.model.requests("/log")[0]["body"]["context"], "[/v1/fill] fill 1: undefined")

    def test_what_was_found_stands_when_the_rows_are_taken_away(self):
        """Failures that came behind the last analysis are in the checkpoint only: nothing can be said of them."""
        daemon = self.daemon()
        self.post(daemon, [failure(success=True, error=None, staffer_id="ann")] * 200)
        found = self.one(daemon, [failure(staffer_id="bob")] * 40)
        self.assertIn('"bob"', found["cause"])
        daemon.stop()
        later = self.start(args=("--cycle", "1h"))
        self.post(later, [failure(staffer_id="bob")] * 200)
        later.stop()
        os.rename(os.path.join(later.data_dir, "ops.jsonl"), os.path.join(self.tmp, "taken-away.jsonl"))
        daemon = self.daemon()
        wait_cycles(daemon, 10)
        cluster = daemon.get("/v1/observer/clusters/" + found["cluster"]).json
        self.assertEqual((cluster["count"], cluster["diagnosis"]["cause"]), (240, found["cause"]))
        self.assertEqual([row["cause"] for row in learning_rows(daemon, "analyses.jsonl") if "older than" in row["cause"]], [])

    def test_a_gateway_that_is_away_holds_nothing_up(self):
        self.model.set("/log", hang=True)
        daemon = self.daemon("--gateway-url", self.model.url)
        self.one(daemon, [failure()] * 3)
        self.one(daemon, [failure(error="no such file")] * 3)
        daemon.stop()

    def test_posts_wait_in_a_queue_and_not_the_analyses(self):
        """While the first post hangs the analyses of the next clusters go on; their posts wait, and none is dropped."""
        self.model.set("/log", hang=True)
        daemon = self.daemon("--gateway-url", self.model.url)
        self.one(daemon, [failure()] * 3)
        for error in ("no such file", "no route to host", "disk full"):
            self.one(daemon, [failure(error=error)] * 3)
        queue = lambda: daemon.get("/health").json["learn"]["calls"]["gateway_queue"]
        wait_until(lambda: queue()["waiting"] >= 1, 20, "a post that waits")
        self.assertEqual(queue()["dropped"], 0)
        self.model.set("/log")
        wait_until(lambda: len(self.model.requests("/log")) == 4, 60, "all posts")
        said = [r["body"]["context"].split("\n")[0].split(": ")[1] for r in self.model.requests("/log")]
        self.assertEqual(said[1:], ["no such file", "no route to host", "disk full"])

    def test_the_feed_has_each_analysis(self):
        daemon = self.daemon(feed="tcp://127.0.0.1:0")
        with Follower(Sub(daemon.url("feed"), timeout=30 * SLOW)) as follower:
            row = self.one(daemon, [failure()] * 4)
            while not any(topic == b"analysis" for topic, _ in follower.others):
                follower.take()
            told = [m for topic, m in follower.others if topic == b"analysis"][0]
        del row["diagnosis"]
        self.assertEqual({k: v for k, v in told.items() if k not in ("seq", "topic_seq")}, row)

    def test_nothing_is_analysed_twice(self):
        daemon = self.daemon()
        self.one(daemon, [failure()] * 5)
        wait_cycles(daemon, 2)
        self.analysed(daemon, 1)
        daemon.restart(kill=True)
        wait_cycles(daemon, 2)
        self.analysed(daemon, 1)
        self.post(daemon, [failure()] * 3)  # nothing else is found out about them
        wait_cycles(daemon, 12)
        self.analysed(daemon, 1)
        self.post(daemon, [failure()] * 4)  # no longer too few to tell
        rows = self.analysed(daemon, 2)
        self.assertEqual([(r["failures"], r["taken"]) for r in rows], [(5, 5), (7, 12)])
        self.assertEqual([(r["first_seq"], r["last_seq"]) for r in rows], [(1, 5), (6, 12)])
        wait_until(lambda: " of cluster " in daemon.stderr(), 10, "the log's line")
        self.assertEqual(daemon.stderr().count(" of cluster "), 1)


if __name__ == "__main__":
    main()
