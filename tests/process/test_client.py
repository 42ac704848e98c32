"""libobserver against a real daemon: every mode, daemons that are away, go and come, forks, and ends of processes."""

import os
import signal
import socket
import threading
import time

from client_harness import ClientTest, free_ports
from harness import PULL, PUSH, SLOW, Sp, main, unpack, unstamped, wait_until

# Ops of the large runs: a million, as producers see them, where the build is fast enough for it.
MANY = int(os.environ.get("OBSERVER_ROUNDS", "0")) * 100_000 or (1_000_000 if SLOW == 1 else 60_000)
KILLS = 5


class Delivery(ClientTest):
    def check_one_and_close(self, mode, url=None, **kw):
        daemon = self.start_daemon(**kw)
        for i in range(10):
            result = self.tool(mode, url=url or self.urls[mode], first=i).result()
            self.assertEqual((result["close"], result["taken"]), ("ok", 1))
        wait_until(lambda: len(self.numbers(daemon)) == 10, 10, "the op of each program")
        self.check_exactly(daemon, range(10))
        return daemon

    def test_one_op_and_close_push(self):
        daemon = self.check_one_and_close("push")
        row = daemon.journal_rows()[0]
        self.assertEqual((row["endpoint"], row["duration_ms"], row["source"]), ("/v1/chat", 20, "mcp"))
        self.assertNotIn("op_id", row)

    def test_one_op_and_close_pub(self):
        self.check_one_and_close("pub")

    def test_one_op_and_close_acknowledged(self):
        daemon = self.check_one_and_close("ack")
        ids = [row["op_id"] for row in daemon.journal_rows()]
        self.assertEqual(len(set(ids)), 10)

    def test_one_op_and_close_ipc(self):
        self.urls["push"] = "ipc://" + os.path.join(self.tmp, "push")
        self.check_one_and_close("push")

    def test_one_op_and_close_websocket(self):
        self.urls["push"] = "ws://127.0.0.1:%d/push" % free_ports(1)[0]
        self.check_one_and_close("push")

    def test_names_and_times(self):
        daemon = self.start_daemon()
        self.tool("ack", producer="svc", source="scrum", count=3, linger_ms=-1, delivery=1, flush=10000).result()
        rows = daemon.journal_rows()
        self.assertEqual({row["source"] for row in rows}, {"scrum"})
        for n, row in enumerate(rows):
            self.assertRegex(row["op_id"], r"^svc-[0-9a-f]{19,}-%d$" % (n + 1))
            self.assertRegex(row["timestamp"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_finished_records(self):
        """As they are, in order, through every socket; acknowledged ones are reported on, each once."""
        daemon = self.start_daemon()
        at = 0
        for mode in ("push", "pub", "ack"):
            for form in ("json", "msgpack"):
                result = self.tool(mode, encoded=form, count=2000, first=at, delivery=1, source="other", block_ms=-1,
                                   flush=20000, in_flight=1).result()
                self.assertEqual((result["flush"], result["close"], result["taken"]), ("ok", "ok", 2000))
                self.assertEqual(result["flushed"]["delivered"], 2000)
                if mode == "ack":
                    self.assertEqual((result["recorded"], result["reported_once"], result["strays"]), (2000, 2000, 0))
                at += 2000
                wait_until(lambda n=at: len(self.numbers(daemon)) >= n, 20, "%s records through %s" % (form, mode))
        self.assertEqual(self.numbers(daemon), list(range(at)))
        for row in daemon.journal_rows()[::1999]:
            self.assertEqual((row["endpoint"], row["source"], "op_id" in row), ("/encoded", "mcp", False))

    def test_push_many_threads(self):
        daemon = self.start_daemon()
        result = self.tool("push", count=MANY // 5, threads=4, block_ms=-1, flush=60000).result()
        self.assertEqual((result["flush"], result["close"], result["taken"]), ("ok", "ok", MANY // 5))
        self.assertEqual(result["flushed"]["delivered"], MANY // 5)
        wait_until(lambda: len(self.numbers(daemon)) >= MANY // 5, 30, "all ops in the journal")
        self.check_exactly(daemon, range(MANY // 5))

    def test_push_a_million_and_close_at_once(self):
        """Nothing is flushed before: close delivers."""
        daemon = self.start_daemon()
        result = self.tool("push", count=MANY, fields=14, block_ms=-1, close=60000).result()
        self.assertEqual((result["close"], result["taken"]), ("ok", MANY))
        wait_until(lambda: daemon.get("/health").json["seq"] >= MANY, 30, "all ops recorded")
        self.check_exactly(daemon, range(MANY))

    def test_delivered_means_written(self):
        """A receiver that does not read: one message, larger than the socket holds, is not delivered before all of it is
        written. Flush says so; close waits; then all of it is there."""
        path = os.path.join(self.tmp, "slow")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            tool = self.tool("push", url="ipc://" + path, count=1000, fields=14, batch_ops=1000, batch_bytes=2 << 20,
                             linger_ms=60000, flush=500, end="hold", close=60000)
            receiver = Sp.accepted(listener.accept()[0], PULL, PUSH)
            receiver.ipc = True
            tool.ready()
            received = []
            threading.Timer(0.2, lambda: received.append(receiver.recv())).start()
            result = tool.result()
            self.assertEqual((result["flush"], result["close"], result["taken"]), ("timed out", "ok", 1000))
            self.assertEqual((result["flushed"]["delivered"], result["flushed"]["queued"]), (0, 1000))
            wait_until(lambda: received, 10, "the message")
            self.assertEqual(len(unpack(unstamped(received[0]))), 1000)
            receiver.close()

    def test_acknowledged_through_five_kills(self):
        daemon = self.start_daemon()
        tool = self.tool("ack", count=MANY, fields=14, block_ms=-1, delivery=1, expire_ms=-1, retry_min_ms=5,
                         retry_max_ms=100, request_timeout_ms=2000, flush=int(100000 * SLOW))
        for kill in range(1, KILLS + 1):
            # Each in a sixth of its own, while requests are on their way.
            wait_until(lambda: not tool.alive() or daemon.get("/health").json["seq"] >= MANY * kill // (KILLS + 1), 60,
                       "ops before kill %d" % kill)
            self.assertTrue(tool.alive())
            daemon.restart(kill=True)
        result = tool.result(120)
        self.assertEqual((result["flush"], result["close"], result["taken"]), ("ok", "ok", MANY))
        counters = result["flushed"]
        self.assertEqual((counters["delivered"], counters["queued"], counters["rejected"], counters["expired"]),
                         (MANY, 0, 0, 0))
        self.assertEqual((result["reported_once"], result["reported_more"], result["strays"]), (MANY, 0, 0))
        self.assertEqual(result["recorded"] + result["duplicate"], MANY)
        self.assertEqual(result["duplicate"], counters["duplicates"])
        self.check_exactly(daemon, range(MANY))

    def test_push_goes_to_the_daemon_that_is_there(self):
        daemon = self.start_daemon()
        nobody = "tcp://127.0.0.1:%d" % free_ports(1)[0]
        result = self.tool("push", url=[nobody, self.urls["push"]], count=20000, block_ms=-1).result()
        self.assertEqual(result["close"], "ok")
        wait_until(lambda: len(self.numbers(daemon)) >= 20000, 10, "all ops")
        self.check_exactly(daemon, range(20000))

    def test_push_to_two_daemons(self):
        first = self.start_daemon()
        other = self.make(data_dir="other").start()
        result = self.tool("push", url=[self.urls["push"], other.url("pull")], count=50000, block_ms=-1).result()
        self.assertEqual(result["close"], "ok")
        wait_until(lambda: len(self.numbers(first)) + len(self.numbers(other)) >= 50000, 10, "all ops")
        got = self.numbers(first) + self.numbers(other)
        self.assertEqual(sorted(got), list(range(50000)))


class Away(ClientTest):
    """The daemon is not there, or not yet."""

    SECONDS = float(os.environ.get("OBSERVER_AWAY", "2"))

    def check_away(self, mode, **more):
        count = int(50000 * self.SECONDS)
        tool = self.tool(mode, count=count, rate=50000, queue_bytes=1 << 20, end="hold", flush=-1,
                         delivery=int(mode == "ack"), expire_ms=-1, **more).ready()
        daemon = self.start_daemon()
        result = tool.result()
        self.assertEqual((result["taken"] + result["full"], result["invalid"]), (count, 0))
        counters = result["published"]
        self.check_balance(counters)
        self.assertEqual((counters["published"], counters["refused_full"]), (result["taken"], result["full"]))
        self.assertEqual(counters["queued"], result["taken"])
        self.assertGreater(result["full"], 0)
        self.assertLessEqual(counters["memory_bytes"], (1 << 20) + (256 << 10))
        self.assertLess(result["peak_kb"], 40_000 if SLOW == 1 else 400_000)
        # What was taken arrives when the daemon has come: close waits for it.
        self.assertEqual(result["close"], "ok")
        wait_until(lambda: len(self.numbers(daemon)) >= result["taken"], 10, "what was taken")
        self.assertEqual(len(self.numbers(daemon)), result["taken"])
        self.assertEqual(len(set(self.numbers(daemon))), result["taken"])
        return result

    def test_push_without_daemon(self):
        self.check_away("push")

    def test_pub_without_daemon(self):
        self.check_away("pub")

    def test_acknowledged_without_daemon(self):
        result = self.check_away("ack")
        self.assertEqual(result["reported_once"], result["taken"])

    def test_no_call_blocks_past_its_limit(self):
        """A queue that is full: each call that fails has waited for its block_ms; none is much over."""
        result = self.tool("push", count=600, queue_bytes=20_000, block_ms=10, close=0).result()
        self.assertGreater(result["full"], 0)
        self.assertEqual(result["close"], "timed out")
        self.assertGreaterEqual(result["publish_ns"], result["full"] * 10_000_000)
        self.assertLess(result["slowest_us"], 2_000_000 * SLOW)

    def test_close_at_once_without_daemon(self):
        result = self.tool("ack", count=1000, delivery=1, close=0).result()
        self.assertEqual((result["close"], result["expired"], result["reported_once"]), ("timed out", 1000, 1000))

    def test_flush_without_daemon_times_out_and_gives_nothing_up(self):
        result = self.tool("push", count=1000, flush=50, close=0).result()
        self.assertEqual(result["flush"], "timed out")
        self.assertEqual((result["flushed"]["queued"], result["flushed"]["abandoned"]), (1000, 0))

    def test_ops_expire(self):
        result = self.tool("ack", count=1000, expire_ms=200, delivery=1, flush=20000).result()
        self.assertEqual((result["flush"], result["expired"], result["reported_once"]), ("ok", 1000, 1000))
        self.assertEqual((result["flushed"]["expired"], result["flushed"]["queued"]), (1000, 0))

    def test_unknown_host_does_not_block(self):
        result = self.tool("push", url="tcp://no-such-host.invalid:3801", count=100, close=0).result()
        self.assertEqual((result["taken"], result["close"]), (100, "timed out"))
        self.assertLess(result["slowest_us"], 2_000_000 * SLOW)

    def test_stopped_daemon(self):
        """A daemon that hangs with its connections open: requests time out, and are recorded once when it runs again."""
        daemon = self.start_daemon()
        tool = self.tool("ack", count=20000, rate=20000, delivery=1, expire_ms=-1, request_timeout_ms=100, retry_min_ms=10,
                         retry_max_ms=50, flush=60000)
        wait_until(lambda: daemon.get("/health").json["seq"] > 0, 10, "the first ops")
        os.kill(daemon.pid, signal.SIGSTOP)
        time.sleep(0.8)
        os.kill(daemon.pid, signal.SIGCONT)
        result = tool.result()
        self.assertEqual((result["flush"], result["reported_once"]), ("ok", 20000))
        self.assertGreater(result["flushed"]["retried"], 0)
        self.check_exactly(daemon, range(20000))


class Processes(ClientTest):
    def test_exit_without_close(self):
        self.start_daemon()
        for mode in ("push", "pub", "ack"):
            for away in (False, True):
                url = "tcp://127.0.0.1:%d" % free_ports(1)[0] if away else self.urls[mode]
                with self.subTest(mode=mode, away=away):
                    self.tool(mode, url=url, count=5000, threads=2, end="exit").result()

    def test_fork_while_others_publish(self):
        daemon = self.start_daemon()
        for mode in ("push", "ack"):
            result = self.tool(mode, count=40000, threads=3, rate=20000, end="fork", block_ms=-1).result()
            self.assertEqual((result["forked"], result["close"], result["taken"]), (20, "ok", 40000))
        wait_until(lambda: len(self.numbers(daemon)) >= 80000, 10, "the parents' ops")
        self.assertEqual(daemon.get("/health").json["seq"], 80000)

    def test_clients_come_and_go(self):
        """Many producers that live briefly, at the same time."""
        daemon = self.start_daemon()
        results = []

        def run(n):
            for i in range(5):
                results.append(self.tool("ack", first=(n * 5 + i) * 10, count=10).result()["close"])

        threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results, ["ok"] * 20)
        self.check_exactly(daemon, range(200))


if __name__ == "__main__":
    main()
