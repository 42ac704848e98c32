"""--ack stream: REP and HTTP are answered when the stream in NATS has the ops. Real nats-servers (nats.py)."""

import base64
import os
import re
import signal
import subprocess
import threading
import time

import nats
from harness import SLOW, DaemonTest, main, pack, wait_until

LATE = "not acknowledged by NATS within 2 s (recorded here, will be forwarded; send again with the same op_id)"
STOPPED = "shutting down before NATS has acknowledged it (recorded here, will be forwarded; send again with the same op_id)"
MANY = "too many answers wait for NATS (recorded here, will be forwarded; send again with the same op_id)"


def op(n, **more):
    return dict({"endpoint": "/a", "op_id": "a-%d" % n, "session_id": "s%d" % (n % 40), "success": True}, **more)


@nats.needs_nats
class AckTest(DaemonTest):
    def servers(self, **options):
        servers = nats.Servers(os.path.join(self.tmp, "nats"), **options)
        self.addCleanup(servers.stop)
        return servers

    def edge(self, servers, *more, wait=True):
        args = ["--cycle", "1", "--ack", "stream", "--ack-wait", "2", "--replicas", "3" if servers.count > 1 else "1"]
        for url in servers.urls:
            args += ["--forward", url]
        daemon = self.start(args=args + list(more))
        if wait:
            wait_until(lambda: "forwarding as edge" in daemon.stderr(), 20, "the edge to forward")
        return daemon

    def metric(self, daemon, name, labels=""):
        text = daemon.get("/metrics").body.decode()
        return float(re.search(r"^observer_%s%s (\S+)$" % (name, re.escape(labels)), text, re.M)[1])

    def stored(self, servers, n=0):
        """op_ids that the stream has, in its order."""
        batches = None
        for _ in range(10):
            try:
                batches = nats.tool("batches", url=servers.urls[n])
                break
            except subprocess.CalledProcessError:  # a cluster that has no leader yet, which takes the tool's 5 s
                continue
        return [row[3]["op_id"] for batch in batches for row in batch["rows"]]

    def freeze(self, servers):
        """The servers do not answer, and do not go away."""
        for process in servers.processes:
            os.kill(process.pid, signal.SIGSTOP)

    def thaw(self, servers):
        for process in servers.processes:
            os.kill(process.pid, signal.SIGCONT)


class Answers(AckTest):
    def test_an_answer_comes_when_the_stream_has_it(self):
        servers = self.servers()
        daemon = self.edge(servers)
        answered = []
        with daemon.req() as req:
            for n in range(0, 20, 2):
                self.assertTrue(daemon.post("/v1/observer/event", op(n)).json["accepted"])
                said = req.request([op(n + 1)])
                self.assertEqual((said["accepted"], said["rejected"]), (1, 0))
                answered += ["a-%d" % n, "a-%d" % (n + 1)]
                self.assertEqual(set(answered) - set(self.stored(servers)), set())
            many = [op(n) for n in range(20, 2020)]
            self.assertEqual(req.request(many)["accepted"], 2000)
        self.assertEqual(set(op["op_id"] for op in many) - set(self.stored(servers)), set())
        self.assertEqual(self.metric(daemon, "ack_answers_total", '{result="confirmed"}'), 21)
        self.assertEqual(self.metric(daemon, "ack_waiting"), 0)

    def test_mixed_and_repeated(self):
        """Rejects, repeated ops, legacy clients and an empty list: as without waiting."""
        servers = self.servers()
        daemon = self.edge(servers)
        answer = daemon.post("/v1/observer/event", [op(1), {"endpoint": ""}, op(1), op(2)])
        self.assertEqual((answer.json["count"], answer.json["duplicates"], answer.json["rejected"]), (3, 1, 1))
        answer = daemon.post("/v1/observer/event", op(2))
        self.assertEqual((answer.json["accepted"], answer.json["duplicate"]), (True, True))
        self.assertEqual(daemon.post("/event", {"event_kind": "fill", "op_id": "legacy", "ok": True}).status, 200)
        self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": 1}).status, 400)
        with daemon.req() as req:
            self.assertEqual(req.request([])["accepted"], 0)
        self.assertEqual(sorted(self.stored(servers)), ["a-1", "a-2", "legacy"])

    def test_three_servers_of_which_one_is_killed(self):
        servers = self.servers(count=3)
        daemon = self.edge(servers, "--ack-wait", "30")
        with daemon.req(timeout=60) as req:
            for n in range(300):
                self.assertEqual(req.request([op(n)])["accepted"], 1)
                if n == 100:
                    servers.kill(1)
        servers.start_all()
        self.assertEqual(set("a-%d" % n for n in range(300)) - set(self.stored(servers)), set())

    def test_what_needs_forward(self):
        daemon = self.make(args=["--ack", "stream"])
        self.assertNotEqual(daemon.run_to_exit(), 0)
        self.assertIn("ack: stream needs forward", daemon.stderr())


class Away(AckTest):
    def test_the_servers_do_not_answer(self):
        """An error within its time; the op is recorded, comes into the stream later, and is accepted when it is sent again."""
        servers = self.servers()
        daemon = self.edge(servers)
        self.assertEqual(daemon.post("/v1/observer/event", op(0)).status, 200)
        self.freeze(servers)
        answer = daemon.post("/v1/observer/event", op(1))
        self.assertEqual((answer.status, answer.json["error"]), (503, LATE))
        self.assertIn("retry-after", answer.headers)
        with daemon.req() as req:
            said = req.request([op(2), op(3)])
            self.assertEqual((said["accepted"], said["rejected"], said["retry"]), (0, 2, True))
            self.assertEqual(said["errors"], [{"index": 0, "error": LATE}, {"index": 1, "error": LATE}])
            again = daemon.post("/v1/observer/event", op(1))  # still not there
            self.assertEqual((again.status, again.json["error"]), (503, LATE))
            with daemon.push() as push:
                push.send(pack(op(4)))
                wait_until(lambda: len(daemon.journal_rows()) == 5, 10, "what was pushed")
            self.assertEqual(daemon.get("/readyz").status, 200)
            self.thaw(servers)
            wait_until(lambda: self.metric(daemon, "spool_ops") == 0, 30, "all to be forwarded")
            self.assertEqual(daemon.post("/v1/observer/event", op(1)).json["duplicate"], True)
            self.assertEqual(req.request([op(2), op(3)])["duplicates"], 2)
        self.assertEqual(sorted(self.stored(servers)), ["a-%d" % n for n in range(5)])
        self.assertEqual(self.metric(daemon, "ack_answers_total", '{result="late"}'), 3)
        counts = daemon.get("/v1/observer/health").json["transports"]
        for name in ("http", "rep"):
            self.assertEqual(counts[name]["received"], counts[name]["recorded"] + counts[name]["duplicate"])

    def test_nats_is_away_from_the_start(self):
        servers = self.servers()
        servers.kill()
        daemon = self.edge(servers, wait=False)
        answer = daemon.post("/v1/observer/event", op(1))
        self.assertEqual((answer.status, answer.json["error"]), (503, LATE))
        servers.start()
        wait_until(lambda: daemon.post("/v1/observer/event", op(1)).status == 200, 30, "the op to be in the stream")
        self.assertEqual(self.stored(servers), ["a-1"])

    def test_servers_killed_while_ops_come_in(self):
        """What was acknowledged is in the stream, each time; what was not is sent again until it is."""
        servers = self.servers()
        daemon = self.edge(servers)
        answered, ended = [], threading.Event()

        def produce(first):
            n = first
            while not ended.is_set():
                if daemon.post("/v1/observer/event", op(n)).status == 200:
                    answered.append("a-%d" % n)
                    n += 4
        threads = [threading.Thread(target=produce, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(3):
                before = len(answered)
                wait_until(lambda b=before: len(answered) > b + 50, 30, "ops to be acknowledged")
                servers.kill()
                servers.start()
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        stored = self.stored(servers)
        self.assertEqual(set(answered) - set(stored), set())
        self.assertEqual(len(stored), len(set(stored)))

    def test_too_many_wait(self):
        servers = self.servers()
        daemon = self.edge(servers, "--queue-bytes", "64K")
        self.assertEqual(daemon.post("/v1/observer/event", op(0)).status, 200)
        self.freeze(servers)
        errors = []

        def produce(n):
            errors.append(daemon.post("/v1/observer/event", [op(n * 1000 + k, input_summary="x" * 500) for k in range(20)]).json["error"])
        threads = [threading.Thread(target=produce, args=(n,)) for n in range(1, 21)]
        for n, thread in enumerate(threads, 1):
            thread.start()
            wait_until(lambda rows=1 + 20 * n: len(daemon.journal_rows()) == rows, 10, "its ops to be recorded")
        for thread in threads:
            thread.join()
        self.thaw(servers)
        self.assertEqual(set(errors), {LATE, MANY})
        wait_until(lambda: len(self.stored(servers)) == 401, 30, "all of it in the stream")

    def test_a_stop_while_answers_wait(self):
        """They are told so, and the stop does not wait for NATS; the next start forwards what was recorded."""
        servers = self.servers()
        daemon = self.edge(servers, "--ack-wait", "60")
        self.assertEqual(daemon.post("/v1/observer/event", op(0)).status, 200)
        self.freeze(servers)
        said = []

        def post():
            said.append(daemon.post("/v1/observer/event", op(1)))

        def ask():
            with daemon.req(timeout=30) as req:
                said.append(req.request([op(2)]))
        threads = [threading.Thread(target=post), threading.Thread(target=ask)]
        for thread in threads:
            thread.start()
        wait_until(lambda: self.metric(daemon, "ack_waiting") == 2, 10, "both to wait")
        begun = time.monotonic()
        daemon.stop()
        self.assertLess(time.monotonic() - begun, 20 * SLOW)
        for thread in threads:
            thread.join()
        answers = sorted((a["errors"][0]["error"] if isinstance(a, dict) else a.json["error"]) for a in said)
        self.assertEqual(answers, [STOPPED, STOPPED])
        self.thaw(servers)
        daemon.start()
        wait_until(lambda: sorted(self.stored(servers)) == ["a-0", "a-1", "a-2"], 30, "all of it in the stream")

    def test_an_op_that_no_message_holds(self):
        """It is recorded, and does not come into the stream: its answer says so at once, and others do not wait for it."""
        servers = self.servers(extra="max_payload: 16K\n")
        daemon = self.edge(servers)
        answer = daemon.post("/v1/observer/event", op(1, input_summary=base64.b64encode(os.urandom(20000)).decode()))
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json["error"], "not forwarded to NATS: an op is larger than its messages may be (recorded here)")
        self.assertEqual(daemon.post("/v1/observer/event", op(2)).status, 200)

    def test_large_ops_that_can_be_packed(self):
        """Each is larger than a message may be, and comes into the stream; so do many whose batch would be."""
        servers = self.servers(extra="max_payload: 16K\n")
        daemon = self.edge(servers)
        self.assertEqual(daemon.post("/v1/observer/event", op(0, input_summary="x" * 30000)).status, 200)
        ops = [op(n, session_id="one", input_summary=base64.b64encode(os.urandom(600)).decode()) for n in range(1, 60)]
        self.assertEqual(daemon.post("/v1/observer/event", ops).status, 200)
        self.assertEqual(sorted(self.stored(servers)), sorted("a-%d" % n for n in range(60)))


if __name__ == "__main__":
    main()
