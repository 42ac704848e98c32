"""The examples, each run against a real daemon: C with the installed library, shell, Python, Node; and proto/framing.md's
claims that no example needs."""

import json
import os
import struct
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from certificates import HERE, Authority
from harness import PUSH, SLOW, DaemonTest, Req, Sp, SpError, main, pack, unpack, wait_until
from installed import EXAMPLES, Installed, node_folder, run
from keys import KeyFile, id_of, new_key


class Gateway(ThreadingHTTPServer):
    """Answers every POST with `answer`, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append((self.path, self.headers["content-type"], json.loads(body)))
        self.send_response(200)
        self.send_header("content-length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *args):
        pass


class C(DaemonTest):
    @classmethod
    def setUpClass(cls):
        cls.tree = Installed()
        cls.addClassCleanup(cls.tree.remove)

    def test_each_is_under_40_lines(self):
        for name in os.listdir(EXAMPLES):
            if name.endswith(".c"):
                with open(os.path.join(EXAMPLES, name)) as f:
                    self.assertLess(len(f.readlines()), 40, name)

    def test_publish(self):
        daemon = self.start()
        run(self.tree.compile_example("publish"), daemon.url("pull"), env=self.tree.env())
        daemon.wait_total(1000)
        rows = daemon.journal_rows()
        self.assertEqual([row["count"] for row in rows], list(range(1000)))
        self.assertEqual([row["duration_ms"] for row in rows], [100 + i % 7 for i in range(1000)])
        self.assertEqual({row["error"] for row in rows if not row["success"]}, {"timeout"})
        daemon.stop()

    def test_publish_needs_a_good_url(self):
        done = subprocess.run([self.tree.compile_example("publish"), "tcp:/nowhere"], env=self.tree.env(), text=True,
                              capture_output=True, timeout=60 * SLOW)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^publish: .*tcp:/nowhere")

    def test_timed_call(self):
        daemon, gateway = self.start(), Gateway(b'{"rows":[1,2,3],"row_count":40}')
        program = self.tree.compile_example("timed_call")
        said = run(program, daemon.url("pull"), env=self.tree.env(GATEWAY_URL=gateway.url))
        self.assertRegex(said, r'^HTTP 200 after \d+ ms: \{"rows":\[1,2,3\],"row_count":40\}$')
        self.assertEqual(gateway.asked, [("/search", "application/json", {"query": "welders"})])
        daemon.wait_total(2)
        gateway.answer = '{"error":"no index «a»"}'.encode()
        said = run(program, daemon.url("pull"), env=self.tree.env(GATEWAY_URL=gateway.url))
        self.assertRegex(said, r"^HTTP 200 after \d+ ms: no index «a»$")
        daemon.wait_total(4)
        gateway.shutdown()
        gateway.server_close()
        said = run(program, daemon.url("pull"), env=self.tree.env(GATEWAY_URL=gateway.url))
        self.assertRegex(said, r"^HTTP 0 after \d+ ms: .*connect")
        daemon.wait_total(6)
        seen = [(row["endpoint"], row["input_summary"], row["success"], row["output_summary"], row.get("error"),
                 row.get("staffer_id")) for row in daemon.journal_rows()]
        work = ("/jobs/count", "to a million", True, "counted", None, "counter")
        self.assertEqual(seen[:5], [
            work, ("/search", "search welders", True, "40 rows", None, None),
            work, ("/search", "search welders", False, "ERROR: no index «a»", "no index «a»", None),
            work])
        self.assertEqual(seen[5][:3], ("/search", "search welders", False))
        self.assertEqual(seen[5][3], "ERROR: " + seen[5][4])
        daemon.stop()

    def test_session(self):
        daemon = self.start()
        run(self.tree.compile_example("session"), daemon.url("rep"), env=self.tree.env())
        with open(os.path.join(daemon.data_dir, "coordinator_sessions.jsonl")) as f:
            rows = [json.loads(line) for line in f]
        self.assertRegex(rows[0].pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        self.assertEqual(rows, [{
            "schema": "session.iterate.v1", "session_id": "trace-1", "daemon": "validatord", "kind": "fill",
            "model": "qwen2.5", "provider": "ollama", "prompt": "fill 2 welders in Toledo", "iterations": 3,
            "max_iterations": 5, "final_verdict": "accepted",
            "attempts": [{"iteration": 1, "verdict_kind": "no_json", "span_id": "span-1"},
                         {"iteration": 2, "verdict_kind": "validation_failed", "error": "no such city"},
                         {"iteration": 3, "verdict_kind": "accepted"}],
            "artifact": {"names": ["Ann", "Bob"]}, "grounded_in_roster": True, "duration_ms": 1200}])
        self.assertEqual(daemon.journal_lines(), [])
        daemon.stop()

    def test_acknowledged(self):
        daemon = self.start()
        program = self.tree.compile_example("acknowledged")
        lines = sorted(run(program, daemon.url("rep"), env=self.tree.env()).splitlines())
        self.assertRegex(lines[0], r"^first \S+-\d+: recorded $")
        self.assertEqual(lines[1], "second fill-17: recorded ")
        self.assertRegex(lines[2], r"^third \S+-\d+: rejected timestamp: ")
        self.assertEqual(len(lines), 3)
        self.assertEqual(len(daemon.journal_lines()), 2)  # recorded means in the journal
        lines = sorted(run(program, daemon.url("rep"), env=self.tree.env()).splitlines())
        self.assertEqual(lines[1], "second fill-17: duplicate ")
        self.assertEqual(daemon.stats()["total"], 3)
        daemon.stop()

    def test_acknowledged_spool(self):
        """What was published while the daemon was away is sent by the next process that opens the spool."""
        daemon = self.start()
        url = daemon.url("rep")
        daemon.stop()
        spool = os.path.join(self.tmp, "ops.spool")
        program = self.tree.compile_example("acknowledged")
        done = subprocess.run([program, url, spool], env=self.tree.env(), capture_output=True, text=True,
                              timeout=120 * SLOW)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", "acknowledged: %s: Connection refused\n" % url))
        daemon = self.start(rep=url)
        lines = run(program, url, spool, env=self.tree.env()).splitlines()
        self.assertEqual(sum(line.startswith("(spooled) ") for line in lines), 3, lines)
        self.assertEqual(len(lines), 6)
        ids = [row["op_id"] for row in daemon.journal_rows()]
        self.assertEqual((len(ids), len(set(ids)), ids.count("fill-17")), (3, 3, 1))
        daemon.stop()


class WithoutTheLibrary(DaemonTest):
    def test_shell(self):
        daemon = self.start()
        said = run(os.path.join(EXAMPLES, "publish.sh"), daemon.url("pull"), daemon.url("rep"), daemon.url("http"))
        answer = json.loads(said)
        self.assertEqual((answer["accepted"], answer["count"], answer["rejected"]), (True, 2, 0))
        daemon.wait_total(4)
        rows = {(row["endpoint"], row["success"], row.get("op_id"), row.get("error")) for row in daemon.journal_rows()}
        self.assertEqual(rows, {("/v1/chat", True, None, None), ("/v1/chat", True, "job-17-1", None),
                                ("/a", True, None, None), ("/b", False, None, "timeout")})
        daemon.stop()

    def test_python(self):
        daemon = self.start()
        for accepted, duplicates in ((1, 0), (0, 1)):
            said = run("/usr/bin/python3", os.path.join(EXAMPLES, "publish.py"), daemon.url("pull"), daemon.url("rep"))
            self.assertIn("'accepted': %d, 'duplicates': %d, 'rejected': 0" % (accepted, duplicates), said)
        daemon.wait_total(201)
        durations = sorted(row["duration_ms"] for row in daemon.journal_rows() if row["endpoint"] == "/v1/chat")
        self.assertEqual(durations, sorted(2 * list(range(100))))
        daemon.stop()

    def test_python_one_op_a_message(self):
        daemon = self.start()
        run("/usr/bin/python3", os.path.join(EXAMPLES, "publish_one.py"), daemon.url("pull"))
        daemon.wait_total(100)
        self.assertEqual([row["duration_ms"] for row in daemon.journal_rows()], list(range(100)))
        daemon.stop()

    def check_node(self, daemon, *flags):
        said = run("node", *flags, "publish.mjs", daemon.url("pull"), cwd=node_folder())
        self.assertRegex(said, r"^published 100 ops to %s" % daemon.url("pull"))
        daemon.wait_total(100)
        rows = daemon.journal_rows()
        self.assertEqual([row["extra"] for row in rows], [{"tokens": [i, 2 * i]} for i in range(100)])
        self.assertEqual([row["success"] for row in rows], [False] + [True] * 99)
        daemon.stop()

    def test_node(self):
        self.check_node(self.start())

    def test_node_websocket(self):
        self.check_node(self.start(pull="ws://127.0.0.1:0/pull"), "--experimental-websocket")

    def test_lock_names_no_host(self):
        with open(os.path.join(EXAMPLES, "package-lock.json")) as f:
            text = f.read()
        self.assertIn('"integrity"', text)
        self.assertNotIn("resolved", text)
        self.assertNotIn("://", text)


class WithAKey(DaemonTest):
    """The examples where the daemon wants a key: each takes that of OBSERVER_KEY_FILE, which wins over OBSERVER_KEY."""

    @classmethod
    def setUpClass(cls):
        cls.tree = Installed()
        cls.addClassCleanup(cls.tree.remove)

    def setUp(self):
        super().setUp()
        self.ca = Authority(self.tmp)
        server = self.ca.issue("server", names=HERE + ("DNS:127.0.0.1",))
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        self.reads, self.pushes, self.mine = keys.add("reads", "read"), keys.add("pushes", "ingest"), keys.add("mine", "ingest")
        self.daemon = self.start(pull="tcp://127.0.0.1:0;key=" + id_of(self.pushes), sub=None,
                                 rep=["tls+tcp://127.0.0.1:0;key=" + id_of(self.reads), "tcp://127.0.0.1:0;key=" + id_of(self.pushes)],
                                 args=["--keys", keys.path, "--tls-cert", server.cert, "--tls-key", server.key])
        self.rep = self.daemon.url("rep")

    def env(self, key):
        path = os.path.join(self.tmp, "key")
        with open(path, "w", encoding="ascii") as f:
            f.write(key + "\n")
        return self.tree.env(OBSERVER_KEY_FILE=path, OBSERVER_KEY="wrong", OBSERVER_TLS_CA=self.ca.cert)

    def fails(self, *command, **kw):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW, check=False, **kw)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def check(self, ids):
        """The keys that the recorded ops came by."""
        self.assertEqual(sorted(row["key_id"] for row in self.daemon.journal_rows()), sorted(id_of(key) for key in ids))
        self.daemon.stop()

    def test_c(self):
        program = self.tree.compile_example("acknowledged")
        self.assertEqual(len(run(program, self.rep, env=self.env(self.mine)).splitlines()), 3)
        said = self.fails(program, self.rep, env=self.env(new_key()))
        self.assertEqual(said, "acknowledged: a valid key is needed\n")
        self.check(2 * [self.mine])

    def test_python(self):
        words = ("/usr/bin/python3", os.path.join(EXAMPLES, "publish.py"), self.daemon.url("pull"), self.rep)
        self.assertIn("'accepted': 1, 'duplicates': 0, 'rejected': 0", run(*words, env=self.env(self.mine)))
        self.assertEqual(self.fails(*words, env=self.env(new_key())), "publish: a valid key is needed\n")
        self.check(200 * [self.pushes] + [self.mine])

    def test_node(self):
        words, http = ("node", "publish.mjs", self.daemon.url("http")), {"cwd": node_folder()}
        self.assertRegex(run(*words, env=self.env(self.mine), **http), r"^published 100 ops to http:")
        self.assertIn("Error: 401: a valid key is needed", self.fails(*words, env=self.env(new_key()), **http))
        self.check(100 * [self.mine])

    def test_shell(self):
        words = [os.path.join(EXAMPLES, "publish.sh"), self.daemon.url("pull"), self.daemon.url("rep", 1), self.daemon.url("http")]
        self.assertEqual(json.loads(run(*words, env=self.env(self.mine)))["count"], 2)
        self.assertIn("401", self.fails(*words, env=self.env(new_key())))
        wait_until(lambda: len(self.daemon.journal_rows()) == 5, 10, "the ops")
        self.check(3 * [self.pushes] + 2 * [self.mine])


class Framing(DaemonTest):
    """proto/framing.md, where no example shows it."""

    def test_wrong_protocol_is_closed(self):
        daemon = self.start()
        with self.assertRaises(SpError):  # PUB is not what a PULL socket takes
            with Sp(daemon.url("pull"), 0x20, 0x51) as s:
                s.recv()
        daemon.stop()

    def test_request_without_the_high_bit_waits_for_more_headers(self):
        """Words without the high bit are hops; the request begins behind the first word that has it."""
        daemon = self.start()
        with Req(daemon.url("rep")) as s:
            s.send(struct.pack(">II", 5, 0x80000001) + pack({"endpoint": "/a"}))
            reply = s.recv()
            self.assertEqual(struct.unpack_from(">II", reply), (5, 0x80000001))
            self.assertEqual(unpack(reply[8:])["accepted"], 1)
        daemon.stop()

    def test_message_over_twice_the_limit_closes(self):
        daemon = self.start()
        with daemon.push() as s:
            s.sock.sendall(struct.pack(">Q", 8 * 1024 * 1024 + 1))
            with self.assertRaises(SpError):
                s.recv()
        daemon.stop()

    def test_ipc(self):
        path = "ipc://" + os.path.join(self.tmp, "pull.sock")
        daemon = self.start(pull=path)
        with Sp(path, PUSH, 0x51) as s:
            s.send(b"op.x\0" + pack([{"endpoint": "/a"}, {"endpoint": "/b"}]))
            daemon.wait_total(2)
        daemon.stop()


if __name__ == "__main__":
    main()
