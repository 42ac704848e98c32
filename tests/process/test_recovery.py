"""What survives the daemon's death: kill -9 under load, a journal cut anywhere, SIGTERM, starts that must fail.

  OBSERVER_ROUNDS     kills in the load test (default 20)
  OBSERVER_CUT_STEP   bytes between two cuts of the journal (default 65: 64 cuts; tests/unit/test_recovery.c does every one)
  OBSERVER_SEED       of the load test's random numbers (default: the clock; printed)
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

from harness import OBSERVERD, SLOW, Push, Req, free_port, journal_lines, main, wait_until
from recount import SOURCES, Producers, RecoveryTest, lifetime_of, recount


def dialled(url):
    """A connection once somebody takes it; None before. A socket's file is there a moment earlier. Not tried with a
    connection that closes at once: NNG 1.5.2 may stop accepting after one."""
    try:
        return Push(url)
    except OSError:
        return None


class KillUnderLoad(RecoveryTest):
    def test_kill_9_under_load(self):
        rounds = int(os.environ.get("OBSERVER_ROUNDS", "20"))
        seed = int(os.environ.get("OBSERVER_SEED", time.time_ns() % 1000000))
        print("seed %d" % seed, flush=True)
        rng = random.Random(seed)
        daemon = self.start(args=["--checkpoint", "1"])
        producers = Producers(seed, rep=4, http_posts=3, pull=1)
        self.addCleanup(producers.stop)
        self.lines, self.rows = [], []
        rows = []
        for round_ in range(rounds):
            producers.release(daemon)
            time.sleep(rng.uniform(0.01, 0.4) * min(SLOW, 2))
            daemon.kill()
            producers.hold()
            daemon.start()
            with self.subTest(round=round_, seed=seed):
                rows = self.check_round(daemon, producers)
            if rng.random() < 0.25:  # now and then an orderly stop, for a checkpoint of everything
                daemon.restart()
                self.check_recount(daemon, rows)
        producers.release(daemon)
        wait_until(lambda: len(set(producers.acknowledged)) > len(rows) // 4, 10, "the load to go on")
        producers.hold()
        self.check_round(daemon, producers)
        daemon.stop()
        print("%d kills, %d rows, %d acknowledged" % (rounds, len(daemon.journal_rows()), len(producers.acknowledged)))

    def rows_now(self, daemon):
        """The journal's rows; those of the last round are still there, the same bytes, and are not parsed again."""
        lines, known = daemon.journal_lines(), len(self.lines)
        self.assertEqual(lines[:known], self.lines)
        self.rows += [json.loads(line) for line in lines[known:]]
        self.lines = lines
        return self.rows

    def check_round(self, daemon, producers):
        self.assertEqual(producers.wrong, [])
        # PULL ops that were read but not recorded yet may still come
        wait_until(lambda: daemon.stats()["total"] == min(2000, len(daemon.journal_lines())), 10, "a quiet daemon")
        rows = self.check_recount(daemon, self.rows_now(daemon))
        counts = collections.Counter(r["op_id"] for r in rows)
        self.assertEqual([i for i, n in counts.items() if n > 1][:5], [], "recorded more than once")
        acknowledged = set(producers.acknowledged)
        self.assertEqual(sorted(acknowledged - set(counts))[:5], [], "acknowledged, but not in the journal")
        self.assertEqual(daemon.get("/health").json["seq"], len(rows))
        return rows


class KillMixed(RecoveryTest):
    """Messages of ops and session records: after kill -9 each is in both files or in neither, and a retry fills it up."""

    def message(self, name):
        record = lambda k: {"schema": "session.iterate.v1", "final_verdict": "ok", "session_id": "%s.%d" % (name, k),
                            "timestamp": "2026-01-01T00:00:00Z", "prompt": "word " * 100}
        op = lambda k: {"endpoint": "/mixed", "op_id": "%s.%d" % (name, k), "input_summary": "x" * 150}
        return [op(0), record(0), record(1), op(1)]

    def publish(self, url, name, sent, acknowledged):
        with contextlib.suppress(OSError), Req(url) as req:
            for n in range(1000000):
                message = "%s.%d" % (name, n)
                sent.append(message)
                if req.request(self.message(message))["accepted"] == 4:
                    acknowledged.append(message)

    def check_whole(self, daemon, sent, acknowledged):
        """The messages that are there."""
        found = collections.Counter(row["op_id"].rpartition(".")[0] for row in daemon.journal_rows())
        with open(os.path.join(daemon.data_dir, "coordinator_sessions.jsonl"), "rb") as f:
            records = [json.loads(line)["session_id"] for line in f.read().split(b"\n")[:-1]]
        found.update(name.rpartition(".")[0] for name in records)
        self.assertEqual({name: n for name, n in found.items() if n != 4}, {}, "in a part, or more than once")
        self.assertEqual(set(acknowledged) - set(found), set())
        self.assertEqual(set(found) - set(sent), set())
        return set(found)

    def test_kill_9_leaves_whole_messages(self):
        daemon = self.start()
        sent, acknowledged, rng = [], [], random.Random(7)
        for round_ in range(8):
            producers = [threading.Thread(target=self.publish,
                                          args=(daemon.url("rep"), "%d.%d" % (round_, i), sent, acknowledged))
                         for i in range(4)]
            for thread in producers:
                thread.start()
            before = len(acknowledged)
            wait_until(lambda: len(acknowledged) > before, 10, "an answer")
            time.sleep(rng.uniform(0, 0.2))
            daemon.kill()
            for thread in producers:
                thread.join()
            daemon.start()
            found = self.check_whole(daemon, sent, acknowledged)
            with daemon.req() as req:
                for name in sent[-4:]:  # the senders try again
                    answer = req.request(self.message(name))
                    self.assertEqual((answer["accepted"], answer["duplicates"]), (0, 4) if name in found else (4, 0))
                    acknowledged.append(name)
            self.check_whole(daemon, sent, acknowledged)


class CutJournal(RecoveryTest):
    SPAN = 4096

    def make_rows(self):
        """A journal of more than SPAN bytes and the checkpoint of its end, written by a daemon."""
        daemon = self.start(data_dir="whole")
        with daemon.req() as req:
            for n in range(40):
                ops = [{"endpoint": "/e%d" % (n % 7), "success": n % 3 != 0, "source": SOURCES[n % 5], "duration_ms": n,
                        "timestamp": "2026-11-21T03:54:%02d.000Z" % n, "error": "é\"\\ %d" % n, "extra": {"k": [n, None]},
                        "input_summary": "word " * (n % 11 * 3)}]
                self.assertEqual(req.request(ops)["seq"], n + 1)
        daemon.stop()
        with open(os.path.join(daemon.data_dir, "ops.jsonl"), "rb") as f:
            journal = f.read()
        with open(os.path.join(daemon.data_dir, "checkpoint"), "rb") as f:
            checkpoint = f.read()
        self.assertGreater(len(journal), self.SPAN + 1000)
        return journal, checkpoint

    def cut_daemon(self, cut):
        """One daemon and directory for a worker, used again and again."""
        if not hasattr(self.local, "daemon"):
            with self.lock:
                self.local.daemon = self.make(data_dir="cut.%d" % self.daemons, pull=None, sub=None, rep=None)
            os.mkdir(self.local.daemon.data_dir)
        daemon = self.local.daemon
        for name in os.listdir(daemon.data_dir):
            os.unlink(os.path.join(daemon.data_dir, name))
        return daemon

    def check_cut(self, cut):
        """None, or what is wrong when the journal ends after `cut` bytes. A row without its newline is a whole row."""
        daemon = self.cut_daemon(cut)
        left = self.journal[:cut]
        whole = left.split(b"\n")
        torn = whole.pop()
        try:
            complete = torn and isinstance(json.loads(torn), dict)
        except ValueError:
            complete = False
        if complete:
            whole.append(torn)
        want, lifetime = recount([json.loads(line) for line in whole])
        with open(os.path.join(daemon.data_dir, "ops.jsonl"), "wb") as f:
            f.write(left)
        if cut % 2:  # with the checkpoint of rows that are gone, and without
            with open(os.path.join(daemon.data_dir, "checkpoint"), "wb") as f:
                f.write(self.checkpoint)
        try:
            daemon.start()
            stats, summary, stderr = daemon.stats(), daemon.get("/v1/observer/summary").json, daemon.stderr()
            after = b""  # rows that the checkpoint had counted are gone: what is left is a segment of its own
            for name in ("ops-1.jsonl", "ops.jsonl"):
                if os.path.exists(os.path.join(daemon.data_dir, name)):
                    with open(os.path.join(daemon.data_dir, name), "rb") as f:
                        after += f.read()
        finally:
            daemon.end()
        said = re.search(r"warn .*ops\.jsonl: torn last row at byte (\d+)", stderr)
        place = None if not torn or complete else cut - len(torn)
        if (int(said.group(1)) if said else None) != place:
            return "cut at %d: a torn row at %r, but stderr is %r" % (cut, place, stderr[-1000:])
        if stats != want or lifetime_of(summary) != lifetime:
            return "cut at %d: /stats is %r, should be %r; summary %r" % (cut, stats, want, summary["lifetime"])
        if after != b"".join(line + b"\n" for line in whole):
            return "cut at %d: the journal is not the whole rows" % cut
        return None

    def test_cuts_of_the_last_4_kib(self):
        self.journal, self.checkpoint = self.make_rows()
        self.local, self.lock = threading.local(), threading.Lock()
        step = int(os.environ.get("OBSERVER_CUT_STEP", "65"))
        cuts = range(len(self.journal), len(self.journal) - self.SPAN - 1, -step)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wrong = [problem for problem in pool.map(self.check_cut, cuts) if problem]
        self.assertEqual(wrong[:5], [], "%d of %d cuts" % (len(wrong), len(cuts)))

    def test_recording_goes_on_behind_a_cut(self):
        self.journal, self.checkpoint = self.make_rows()
        for cut in (len(self.journal) - 1, len(self.journal) - 2, len(self.journal) - 500, 10, 0):
            data_dir = os.path.join(self.tmp, "on.%d" % cut)
            os.mkdir(data_dir)
            with open(os.path.join(data_dir, "ops.jsonl"), "wb") as f:
                f.write(self.journal[:cut])
            daemon = self.start(data_dir=data_dir)
            before = daemon.stats()["total"]
            self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": "/next"}).json["ring_size"], before + 1)
            self.assertEqual(daemon.get("/health").json["seq"], before + 1)
            rows = self.check_recount(daemon)
            self.assertEqual(rows[-1]["endpoint"], "/next")
            daemon.restart(kill=True)
            self.check_recount(daemon, rows)
            daemon.stop()


class Life(RecoveryTest):
    def test_sigterm_under_load_loses_nothing_acknowledged(self):
        daemon = self.start()
        producers = Producers(1, rep=4, http_posts=2, pull=1)
        self.addCleanup(producers.stop)
        for _ in range(3):
            producers.release(daemon)
            time.sleep(0.3)
            daemon.stop(15)
            producers.hold()
            recorded = [r["op_id"] for r in daemon.journal_rows()]
            self.assertEqual(len(recorded), len(set(recorded)))
            self.assertEqual(set(producers.acknowledged) - set(recorded), set())
            daemon.start()
            self.check_recount(daemon)
        self.assertEqual(producers.wrong, [])
        self.assertGreater(len(producers.acknowledged), 100)

    def test_standard_descriptors_may_be_closed(self):
        """Logs never end up in a file of the data directory."""
        pull = os.path.join(self.tmp, "pull")
        data = os.path.join(self.tmp, "data")
        command = 'exec "$0" --http none --sub none --pull ipc://%s --rep none --feed none --data-dir %s <&- >&- 2>&-' % (pull, data)
        process = subprocess.Popen(["sh", "-c", command, OBSERVERD])
        self.addCleanup(process.kill)
        with wait_until(lambda: dialled("ipc://" + pull), 30, "the socket") as push:
            push.send(b'{"endpoint":"/kept"}')
            push.send(b'{"endpoint":""}')
            wait_until(lambda: os.path.exists(os.path.join(data, "rejected.jsonl")), 10, "the reject")
        process.terminate()
        self.assertEqual(process.wait(30 * SLOW), 0)
        self.assertEqual([json.loads(line)["endpoint"] for line in journal_lines(data)], ["/kept"])

    def test_sigterm_during_replay_ends_it(self):
        os.mkdir(os.path.join(self.tmp, "data"))
        row = b'{"timestamp":"2026-01-01T00:00:00Z","endpoint":"/v1/x","success":true,"duration_ms":3,"source":"mcp"}\n'
        with open(os.path.join(self.tmp, "data", "ops.jsonl"), "wb") as f:
            f.write(row * 2000000)
        daemon = self.make()
        daemon.spawn()
        wait_until(lambda: os.path.exists(os.path.join(self.tmp, "data", "lock")), 10, "the start of replay")
        daemon.process.terminate()
        self.assertIn(daemon.wait(), (0, -signal.SIGTERM))
        self.assertEqual(os.path.getsize(os.path.join(self.tmp, "data", "ops.jsonl")), len(row) * 2000000)

    def test_an_echo_of_the_signal_is_no_second_one(self):
        for _ in range(5):
            daemon = self.start()
            os.kill(daemon.pid, signal.SIGTERM)
            os.kill(daemon.pid, signal.SIGTERM)
            self.assertEqual(daemon.wait(), 0)
            self.assertIn("stopped", daemon.stderr())

    def test_other_signals(self):
        daemon = self.start()
        daemon.post("/event", {})
        os.rename(os.path.join(daemon.data_dir, "ops.jsonl"), os.path.join(self.tmp, "moved"))
        daemon.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: "recording continues in a new file at seq 2" in daemon.stderr(), 10, "the new file")
        daemon.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: daemon.post("/event", {}).status == 200, 10, "recording")
        daemon.process.send_signal(signal.SIGQUIT)
        self.assertEqual(daemon.wait(), 0)
        self.assertIn("SIGQUIT: stopping", daemon.stderr())
        self.assertEqual(len(daemon.journal_rows()), 1)

    def test_other_signals_at_the_start_and_at_the_stop(self):
        """None of them ends the daemon while it replays its journal or drains its queues."""
        row = b'{"timestamp":"2026-01-02T03:04:05.006Z","endpoint":"/a","success":false,"error":"broken"}\n'
        os.makedirs(os.path.join(self.tmp, "data"))
        with open(os.path.join(self.tmp, "data", "ops.jsonl"), "wb") as f:
            f.write(row * 50000)
        daemon = self.make()
        daemon.spawn()
        wait_until(lambda: "observerd: observerd " in daemon.stderr(), 10, "the first line of the log")
        self.pelt(daemon, lambda: "50000 replayed" in daemon.stderr() or not daemon.alive())
        wait_until(daemon.is_ready, 30, "observerd ready")
        # A request that is not whole holds the stop up.
        with socket.create_connection(("127.0.0.1", int(daemon.url("http").rsplit(":", 1)[1]))) as half:
            half.sendall(b"POST /event HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
            wait_until(lambda: daemon.get("/health").status == 200, 10, "an answer behind it")
            daemon.process.terminate()
            self.pelt(daemon, lambda: not daemon.alive())
        self.assertEqual(daemon.wait(), 0)
        self.assertIn("stopped", daemon.stderr())

    @staticmethod
    def pelt(daemon, until):
        """Sends the signals that must not end it until it is time."""
        def one_more():
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
                if daemon.alive():
                    daemon.process.send_signal(number)
            return until()

        wait_until(one_more, 30, "the end of that phase")

    def test_sigint_is_as_good(self):
        daemon = self.start()
        daemon.post("/event", {})
        daemon.process.send_signal(signal.SIGINT)
        self.assertEqual(daemon.wait(), 0)
        daemon.start()
        self.assertEqual(len(self.check_recount(daemon)), 1)

    def refuses(self, pattern, **kw):
        daemon = self.make(**kw)
        code, stderr = daemon.run_to_exit()
        self.assertEqual(code, 1, stderr)
        self.assertRegex(stderr, pattern)
        return stderr

    def test_second_daemon_on_the_same_directory(self):
        daemon = self.start()
        daemon.post("/event", {})
        self.refuses(re.escape(daemon.data_dir) + r".*(in use|another)")
        self.assertEqual(daemon.post("/event", {}).json["ring_size"], 2)
        daemon.restart(kill=True)
        self.assertEqual(len(self.check_recount(daemon)), 2)

    def test_port_in_use(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")
        for kind in ("http", "pull", "sub", "rep", "feed"):
            url = daemon.url(kind)
            said = "observerd: %s %s: address in use by observerd (pid %d)\n" % (kind, url, daemon.pid)
            self.refuses(re.escape(said), data_dir=kind, **{kind: url})
            self.assertFalse(os.path.exists(os.path.join(self.tmp, kind)))
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            self.refuses(r"address in use by python[\d.]* \(pid %d\)\n" % os.getpid(), data_dir="x",
                         http="http://127.0.0.1:%d" % s.getsockname()[1])
        self.assertEqual(daemon.post("/event", {}).status, 200)

    def test_places_that_cannot_be_had(self):
        """Nothing is left of such a start, not even a directory."""
        socket_file = os.path.join(self.tmp, "s")
        daemon = self.start(rep="ipc://" + socket_file)
        port = "tcp://127.0.0.1:%d" % free_port()
        long = "ipc://" + os.path.join(self.tmp, "x" * 110)
        for more, said in (
                ({"pull": "ipc://" + socket_file}, "pull ipc://%s: address in use by observerd (pid %d)" %
                 (socket_file, daemon.pid)),
                ({"pull": "ipc://%s/no/s" % self.tmp}, "pull ipc://%s/no/s: cannot make a socket in %s/no: No such file or "
                 "directory" % (self.tmp, self.tmp)),
                ({"pull": long}, "pull %s: %s: a path of more than 107 bytes is too long for a socket" % (long, long[6:])),
                ({"pull": port, "rep": port}, "rep %s: address in use by this process itself" % port),
                ({"http": "http://192.0.2.1:%d" % free_port(), "args": ("--allow-open",)}, "cannot listen there: Cannot assign requested address")):
            self.refuses(re.escape(said), data_dir="none", **more)
            self.assertFalse(os.path.exists(os.path.join(self.tmp, "none")))
        self.assertEqual(daemon.post("/event", {}).status, 200)

    def test_data_directory_that_cannot_be_made(self):
        said = "cannot create data directory /proc/none: No such file or directory"
        self.refuses("observerd: " + said + "\n", data_dir="/proc/none")
        stderr = self.refuses(re.escape(said), data_dir="/proc/none", args=["--log-format", "json"])
        rows = [json.loads(line) for line in stderr.splitlines()]
        self.assertEqual((rows[-1]["level"], rows[-1]["module"], rows[-1]["message"]), ("error", "observerd", said))

    def test_data_directory_that_cannot_be_one(self):
        in_the_way = os.path.join(self.tmp, "file")
        with open(in_the_way, "w") as f:
            f.write("kept")
        self.refuses(re.escape(in_the_way), data_dir="file")
        self.refuses(re.escape(in_the_way), data_dir="file/below")
        with open(in_the_way) as f:
            self.assertEqual(f.read(), "kept")
        os.makedirs(os.path.join(self.tmp, "d", "ops.jsonl"))
        self.refuses("ops.jsonl", data_dir="d")

    def test_permissions(self):
        def modes(data_dir):
            """Of all files but the secret one, which is nobody else's whatever the mode."""
            found = {name: oct(os.stat(os.path.join(data_dir, name)).st_mode & 0o777) for name in os.listdir(data_dir)}
            self.assertEqual(found.pop("redact.key"), "0o600")
            return set(found.values())

        for mode, files in (("0700", "0o600"), ("0750", "0o640")):
            daemon = self.start(data_dir="new" + mode, args=["--data-mode", mode] if mode != "0700" else [])
            daemon.post("/event", {})
            with daemon.push() as push:
                push.send(b"{}")
                wait_until(lambda: os.path.exists(os.path.join(daemon.data_dir, "rejected.jsonl")), 10, "the reject")
            daemon.stop()
            self.assertEqual(oct(os.stat(daemon.data_dir).st_mode & 0o777), "0o" + mode[1:])
            self.assertEqual(modes(daemon.data_dir), {files})
            self.assertNotIn("keeps its permissions", daemon.stderr())
        os.mkdir(os.path.join(self.tmp, "old"))
        os.chmod(os.path.join(self.tmp, "old"), 0o755)
        daemon = self.start(data_dir="old", args=["--data-mode", "0700"])
        daemon.post("/event", {})
        daemon.stop()
        self.assertEqual(oct(os.stat(daemon.data_dir).st_mode & 0o777), "0o755")
        self.assertEqual(modes(daemon.data_dir), {"0o644"})
        self.assertIn("%s keeps its permissions 0755: other users can read what is recorded" % daemon.data_dir, daemon.stderr())
        code, stderr = self.make(args=["--data-mode", "644"]).run_to_exit()
        self.assertEqual((code, stderr.strip()), (2, 'observerd: data-mode: must be 0700 to 0777, in octal, not "644" (flag '
                                                     '--data-mode)'))

    def test_seqs_are_not_given_out_twice(self):
        daemon = self.start()
        for _ in range(5):
            daemon.post("/event", {})
        daemon.stop()
        os.unlink(os.path.join(daemon.data_dir, "ops.jsonl"))
        for last in (6, 7):
            daemon.start()
            daemon.post("/event", {})
            self.assertEqual(daemon.get("/v1/observer/ops").json["ops"][0]["seq"], last)
            daemon.stop()
        with open(os.path.join(daemon.work_dir, "stderr.2")) as f:
            self.assertIn("rows 1 to 5 were recorded but are missing: recording continues at seq 6", f.read())

    def test_directory_is_made_with_its_parents(self):
        daemon = self.start(data_dir="a/b/c")
        daemon.post("/event", {})
        daemon.stop()
        self.assertEqual(len(daemon.journal_rows()), 1)


if __name__ == "__main__":
    main()
