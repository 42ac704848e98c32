"""The edge of a fleet: what a daemon with --forward acknowledges is in the stream in NATS, in order, each op once for who
skips what it knows, whatever is killed, cut off or lost meanwhile. Real nats-servers (nats.py)."""

import itertools
import json
import os
import re
import shutil

import certificates
import harness
import nats
import nkeys
from harness import DaemonTest, main, wait_until


def forward(servers, *more):
    args = ["--cycle", "1"]
    for url in servers.urls:
        args += ["--forward", url]
    return args + list(more)


class Folded:
    """What a worker makes of the stream: rows of each edge and partition whose seq is above the last one."""

    def __init__(self, batches):
        self.marks, self.rows, self.repeated, self.holes, self.poison = {}, {}, 0, [], []
        for batch in batches:
            if "poison" in batch:
                self.poison.append(batch["poison"])
                continue
            key = (batch["edge"], batch["p"])
            mark = self.marks.get(key, 0)
            if batch["prev"] > mark:
                self.holes.append((key, mark, batch["prev"]))
                continue
            for seq, received_ms, _, row in batch["rows"]:
                if seq <= mark:
                    self.repeated += 1
                    continue
                mark = seq
                self.rows[(batch["edge"], seq)] = (batch["p"], received_ms, row)
            self.marks[key] = mark

    def of(self, edge):
        """The rows of an edge by their seq."""
        return {seq: row for (e, seq), (_, _, row) in sorted(self.rows.items()) if e == edge}


@nats.needs_nats
class ForwardTest(DaemonTest):
    def servers(self, **options):
        servers = nats.Servers(os.path.join(self.tmp, "nats"), **options)
        self.addCleanup(servers.stop)
        return servers

    def record(self, daemon, first, count, sessions=20):
        ops = [{"endpoint": "/e%d" % (n % 7), "op_id": "op-%d" % n, "session_id": "s%d" % (n % sessions)}
               for n in range(first, first + count)]
        with daemon.req() as req:
            for at in range(0, count, 500):
                said = req.request(ops[at:at + 500])
                self.assertEqual(said["accepted"], len(ops[at:at + 500]))

    def edge(self, daemon):
        with open(os.path.join(daemon.data_dir, "edge"), encoding="utf-8") as f:
            return json.load(f)["edge"]

    def metric(self, daemon, name):
        text = daemon.get("/metrics").body.decode()
        return float(re.search(r"^observer_%s(?:\{[^}]*\})? (\S+)$" % name, text, re.M)[1])

    def folded(self, servers, **options):
        return Folded(nats.tool("batches", url=servers.urls[0], **options))

    def wait_forwarded(self, daemon, seconds=30):
        def done():
            return self.metric(daemon, "forward_connected") == 1 and self.metric(daemon, "spool_ops") == 0
        wait_until(done, seconds, "everything to be forwarded")

    def check(self, servers, *daemons, **options):
        """Every row of each daemon's journal is in the stream, as it is, in order, without holes."""
        folded = self.folded(servers, **options)
        self.assertEqual(folded.poison, [])
        self.assertEqual(folded.holes, [])
        for daemon in daemons:
            rows = daemon.journal_rows()
            self.assertEqual(folded.of(self.edge(daemon)), dict(enumerate(rows, 1)))
        return folded


class Forwarding(ForwardTest):
    def test_what_is_acknowledged_is_in_the_stream(self):
        """Two edges; each op is in the partition of its session, and an op has its receipt."""
        servers = self.servers()
        one, two = (self.start(name, args=forward(servers)) for name in ("one", "two"))
        self.record(one, 0, 3000)
        self.record(two, 0, 2000)
        for daemon in (one, two):
            self.wait_forwarded(daemon)
        folded = self.check(servers, one, two)
        self.assertEqual(folded.repeated, 0)
        self.assertNotEqual(self.edge(one), self.edge(two))
        partitions = {}
        for partition, _, row in folded.rows.values():
            partitions.setdefault(row["session_id"], set()).add(partition)
        self.assertEqual({len(p) for p in partitions.values()}, {1})
        self.assertEqual(self.metric(one, "forward_ops_total"), 3000)
        self.assertEqual(one.get("/readyz").status, 200)
        log = one.stderr()
        self.assertIn("forwarding as edge %s to %s, nats-server 2." % (self.edge(one), servers.urls[0]), log)

    def test_nothing_is_republished_after_a_restart(self):
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1000)
        daemon.restart()
        self.record(daemon, 1000, 1000)
        self.wait_forwarded(daemon)
        self.assertEqual(self.check(servers, daemon).repeated, 0)


class Faults(ForwardTest):
    def test_nats_killed_and_back(self):
        """kill -9 of the server while ops come in: they are acknowledged meanwhile, and forwarded when it is back."""
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1000)
        self.wait_forwarded(daemon)
        servers.kill()
        wait_until(lambda: self.metric(daemon, "forward_connected") == 0, 10, "the edge to notice")
        self.record(daemon, 1000, 3000)
        wait_until(lambda: self.metric(daemon, "spool_ops") == 3000, 10, "the spool to be counted")
        self.assertGreater(self.metric(daemon, "spool_bytes"), 3000 * 100)
        self.assertEqual(daemon.get("/readyz").status, 200)
        self.assertIn("NATS is away", daemon.stderr())
        servers.start()
        self.wait_forwarded(daemon)
        self.check(servers, daemon)

    def test_nats_away_at_the_start(self):
        servers = self.servers()
        servers.kill()
        daemon = self.start(args=forward(servers))
        address = servers.urls[0].split("//")[1]
        self.assertIn("no server answers at nats://%s; tried again until one does" % address, daemon.stderr())
        self.record(daemon, 0, 2000)
        daemon.restart(kill=True)
        self.record(daemon, 2000, 500)
        servers.start()
        self.wait_forwarded(daemon)
        self.assertEqual(self.check(servers, daemon).repeated, 0)
        daemon.stop()
        self.assertNotIn("NATS is away", daemon.stderr())  # its own end is no news

    def test_edge_killed_before_it_wrote_how_far_it_was(self):
        """The stream itself tells: nothing is stored twice, although the file `forward` is lost or old."""
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        path = os.path.join(daemon.data_dir, "forward")
        self.record(daemon, 0, 1000)
        self.wait_forwarded(daemon)
        wait_until(lambda: os.path.exists(path), 10, "the file forward")
        with open(path, "rb") as f:
            old = f.read()
        self.record(daemon, 1000, 1000)
        self.wait_forwarded(daemon)
        for content in (old, b"", b"{", None):
            daemon.kill()
            if content is None:
                os.unlink(path)
            else:
                with open(path, "wb") as f:
                    f.write(content)
            daemon.start()
            self.wait_forwarded(daemon)
            self.assertEqual(self.check(servers, daemon).repeated, 0)

    def test_edge_killed_while_it_forwards(self):
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        for n in range(5):
            self.record(daemon, n * 2000, 2000)
            daemon.restart(kill=True)
        self.wait_forwarded(daemon)
        self.check(servers, daemon)

    def test_full_spool(self):
        """Nothing more is taken, senders are told or feel it, and nothing that was acknowledged is lost."""
        servers = self.servers()
        daemon = self.start(args=forward(servers, "--spool-bytes", "256K"))
        self.record(daemon, 0, 500)
        self.wait_forwarded(daemon)
        servers.kill()
        wait_until(lambda: self.metric(daemon, "forward_connected") == 0, 10, "the edge to notice")
        op, accepted, refused = {"endpoint": "/more", "input_summary": "x" * 2000}, 0, None
        while refused is None:
            answer = daemon.post("/v1/observer/event", op)
            if answer.status == 200:
                accepted += 1
                self.assertLess(accepted, 20000)
            else:
                refused = answer
        self.assertEqual(refused.status, 503)
        self.assertIn("retry-after", refused.headers)
        self.assertRegex(refused.json["error"], r"^spool full: NATS has been away for \d+ s$")
        ready = daemon.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertRegex(ready.json["reasons"][0], "^spool full: ")
        with daemon.req() as req:
            said = req.request({"endpoint": "/more"})
        self.assertRegex(said["errors"][0]["error"], "^spool full: ")
        before = len(daemon.journal_rows())
        with daemon.push() as push:
            for n in range(50):
                push.send(harness.pack({"endpoint": "/pushed", "op_id": "pushed-%d" % n}))
            servers.start()
            wait_until(lambda: daemon.get("/readyz").status == 200, 30, "the spool to have room")
            wait_until(lambda: len(daemon.journal_rows()) >= before + 50, 10, "what was pushed to be recorded")
        self.assertEqual(daemon.post("/v1/observer/event", op).status, 200)
        self.wait_forwarded(daemon)
        self.check(servers, daemon)
        self.assertGreaterEqual(self.metric(daemon, "spool_full_total"), 1)

    def test_stream_that_went_backwards(self):
        """The servers lose what they had not synced: an older store is restored under them. The 20 sessions' partitions
        had ops up to 981 to 1000."""
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1000)
        self.wait_forwarded(daemon)
        servers.kill()
        servers.save("old")
        servers.start()
        self.record(daemon, 1000, 2000)
        self.wait_forwarded(daemon)
        servers.kill()
        servers.restore("old")
        servers.start()
        wait_until(lambda: self.metric(daemon, "forward_republished_total") >= 2000, 30, "what was lost")
        self.wait_forwarded(daemon)
        self.record(daemon, 3000, 100)
        self.wait_forwarded(daemon)
        self.check(servers, daemon)
        self.assertIn("lack batches that they had: published again from seq 982", daemon.stderr())

    def test_stream_made_anew(self):
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1500)
        self.wait_forwarded(daemon)
        servers.kill()
        shutil.rmtree(servers.store(0))
        servers.start()
        wait_until(lambda: self.metric(daemon, "forward_republished_total") >= 1500, 30, "what was lost")
        self.record(daemon, 1500, 100)
        self.wait_forwarded(daemon)
        self.check(servers, daemon)
        self.assertIn("the stream OBSERVER_OPS was made anew: what the journal has is published again", daemon.stderr())

    def test_stream_lost_while_connected(self):
        """Nobody tells the edge, nothing more is recorded, and no worker is there: it looks now and then."""
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1500)
        self.wait_forwarded(daemon)
        self.check(servers, daemon)
        nats.tool("ask", "$JS.API.STREAM.DELETE.OBSERVER_OPS", "", url=servers.urls[0])
        wait_until(lambda: self.metric(daemon, "forward_republished_total") == 1500, 30, "what was lost")
        self.wait_forwarded(daemon)
        self.assertEqual(self.check(servers, daemon).repeated, 0)

    def test_stream_replaced_while_connected(self):
        """It takes what is recorded next before the edge has noticed: what was before that is missing, and is published again."""
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1500)
        self.wait_forwarded(daemon)
        stream = {"name": "OBSERVER_OPS", "subjects": ["observer.ops.*.*"], "storage": "file", "num_replicas": 1}
        for call, text in (("DELETE", ""), ("CREATE", json.dumps(stream))):
            answer, = nats.tool("ask", "$JS.API.STREAM.%s.OBSERVER_OPS" % call, text, url=servers.urls[0])
            self.assertNotIn("error", answer)
        self.record(daemon, 1500, 200)
        wait_until(lambda: self.metric(daemon, "forward_republished_total") >= 1500, 30, "what was lost")
        self.wait_forwarded(daemon)
        rows = self.folded(servers).of(self.edge(daemon))
        self.assertEqual(rows, dict(enumerate(daemon.journal_rows(), 1)))

    def test_what_had_no_answer_is_looked_up_before_it_is_sent_again(self):
        """A server that is killed may have stored it, and not said so. Here none ever says so: each batch is sent once all the same."""
        servers = self.servers()
        stream = {"name": "OBSERVER_OPS", "subjects": ["observer.ops.*.*"], "storage": "file", "num_replicas": 1, "no_ack": True}
        answer, = nats.tool("ask", "$JS.API.STREAM.CREATE.OBSERVER_OPS", json.dumps(stream), url=servers.urls[0])
        self.assertNotIn("error", answer)
        ear = nats.Ear(servers.urls[0], "observer.ops.>")
        self.addCleanup(ear.close)
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 500)
        wait_until(lambda: self.metric(daemon, "spool_ops") == 0, 90, "batches to be looked up")
        ids = [re.search(rb"Nats-Msg-Id: (\S+)", headers)[1] for headers in ear.heard()]
        self.assertGreater(len(ids), 0)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(self.check(servers, daemon).repeated, 0)

    def test_worker_asks_again(self):
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1000, sessions=1)
        self.wait_forwarded(daemon)
        folded = self.check(servers, daemon)
        (edge, p), = folded.marks
        nats.tool("again", edge, p, 400, url=servers.urls[0])
        wait_until(lambda: self.metric(daemon, "forward_republished_total") == 600, 10, "what was asked for")
        self.wait_forwarded(daemon)
        self.assertEqual(self.check(servers, daemon).repeated, 600)

    def test_workers_ask_again_one_after_the_other(self):
        """What one has asked for is published although another one asks before it was sent."""
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1000, sessions=200)
        self.wait_forwarded(daemon)
        asked = self.check(servers, daemon).marks
        self.assertGreater(len(asked), 50)
        for edge, p in asked:
            nats.tool("again", edge, p, 0, url=servers.urls[0])
        wait_until(lambda: self.folded(servers).repeated >= 1000, 15, "what was asked for")
        self.wait_forwarded(daemon)
        self.assertEqual(self.check(servers, daemon).repeated, 1000)

    def test_journal_that_begins_anew_is_another_edge(self):
        servers = self.servers()
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 1000)
        self.wait_forwarded(daemon)
        daemon.stop()
        first, rows = self.edge(daemon), daemon.journal_rows()
        for name in os.listdir(daemon.data_dir):
            if name.startswith("ops") or name == "checkpoint":
                os.unlink(os.path.join(daemon.data_dir, name))
        daemon.start()
        self.record(daemon, 5000, 10)
        self.wait_forwarded(daemon)
        self.assertNotEqual(self.edge(daemon), first)
        folded = self.check(servers, daemon)
        self.assertEqual(list(folded.of(first).values()), rows)

    def test_retention_leaves_what_is_not_forwarded(self):
        servers = self.servers()
        servers.kill()
        daemon = self.start(args=forward(servers, "--segment-bytes", "64K", "--retain-segments", "1",
                                         "--forward-linger", "0"))
        self.record(daemon, 0, 3000)
        rows = daemon.journal_rows()
        self.assertEqual(len(rows), 3000)
        servers.start()
        self.wait_forwarded(daemon)
        folded = self.folded(servers)
        self.assertEqual(folded.holes, [])
        self.assertEqual(list(folded.of(self.edge(daemon)).values()), rows)
        more = itertools.count(3000)
        wait_until(lambda: self.record(daemon, next(more), 1) or len(daemon.segments()) <= 2, 10, "retention")


class Cluster(ForwardTest):
    def test_three_servers(self):
        """R3: a server is killed while ops come in; and all of them."""
        servers = self.servers(count=3)
        daemon = self.start(args=forward(servers, "--replicas", "3"))
        self.record(daemon, 0, 2000)
        self.wait_forwarded(daemon)
        self.assertEqual(nats.tool("info", "OBSERVER_OPS", url=servers.urls[0])[0]["replicas"], 3)
        for n in range(3):
            servers.kill(n)
            self.record(daemon, 2000 + n * 2000, 2000)
            servers.start(n)
            self.wait_forwarded(daemon, 60)
        servers.kill_all()
        self.record(daemon, 8000, 1000)
        servers.start_all()
        self.wait_forwarded(daemon, 60)
        self.check(servers, daemon)


class Access(ForwardTest):
    def test_tls(self):
        """A server with a certificate, which asks for the edge's; one that an unknown authority has signed is refused."""
        folder = os.path.join(self.tmp, "ca")
        os.mkdir(folder)
        ca = certificates.Authority(folder)
        server, client = ca.issue("server"), ca.issue("edge", names=(), client=True)
        servers = self.servers(scheme="tls", ready=False, extra=(
            'tls {\n  cert_file: "%s"\n  key_file: "%s"\n  ca_file: "%s"\n  verify: true\n}\n'
            % (server.cert, server.key, ca.cert)))
        servers.wait()
        daemon = self.start(args=forward(servers, "--nats-ca", ca.cert, "--nats-cert", client.cert,
                                         "--nats-key", client.key))
        self.record(daemon, 0, 500)
        self.wait_forwarded(daemon)
        self.assertEqual(self.metric(daemon, "forward_ops_total"), 500)
        other = certificates.Authority(folder, "other")
        stranger = self.start("stranger", args=forward(servers, "--nats-ca", other.cert, "--nats-cert", client.cert,
                                                       "--nats-key", client.key))
        self.record(stranger, 0, 10)
        wait_until(lambda: self.metric(stranger, "spool_ops") == 10, 10, "the spool to be counted")
        self.assertEqual(self.metric(stranger, "forward_connected"), 0)
        wait_until(lambda: "its certificate or our credentials were refused: " in stranger.stderr(), 20, "the log")

    def test_creds_file(self):
        """The user's JWT and seed; a user of an account that the servers do not know is refused."""
        folders = [os.path.join(self.tmp, name) for name in ("known", "unknown")]
        for folder in folders:
            os.mkdir(folder)
        known, unknown = map(nkeys.Access, folders)
        servers = self.servers(extra=known.config)
        creds = known.creds("edge")
        daemon = self.start(args=forward(servers, "--nats-creds", creds))
        self.record(daemon, 0, 500)
        self.wait_forwarded(daemon)
        self.check(servers, daemon, options=("--creds", creds))
        stranger = self.start("stranger", args=forward(servers, "--nats-creds", unknown.creds("edge")))
        self.record(stranger, 0, 10)
        wait_until(lambda: self.metric(stranger, "spool_ops") == 10, 10, "the spool to be counted")
        self.assertEqual(self.metric(stranger, "forward_connected"), 0)
        wait_until(lambda: "its certificate or our credentials were refused: " in stranger.stderr(), 20, "the log")

    def test_password_that_becomes_right(self):
        """Refused credentials end libnats' connection for good: the edge opens another."""
        servers = self.servers(extra='authorization {\n  user: edge\n  password: right\n}\n')
        url = servers.urls[0].replace("//", "//edge:right@")
        daemon = self.start(args=["--forward", url])
        self.record(daemon, 0, 100)
        self.wait_forwarded(daemon)
        servers.kill()
        servers.extra = servers.extra.replace("right", "other")
        servers.start()
        self.record(daemon, 100, 100)
        wait_until(lambda: "Authorization Violation" in daemon.stderr(), 20, "the server to refuse")
        servers.kill()
        servers.extra = servers.extra.replace("other", "right")
        servers.start()
        self.wait_forwarded(daemon)
        folded = Folded(nats.tool("batches", url=url))
        self.assertEqual(len(folded.of(self.edge(daemon))), 200)

    def test_what_a_start_refuses(self):
        pem = os.path.join(self.tmp, "missing.pem")
        for args, error in ((["--nats-ca", pem], "forward: %s: No such file or directory" % pem),
                            (["--nats-creds", pem], "forward: %s: No such file or directory" % pem),
                            (["--nats-cert", pem], "nats-cert and nats-key: one needs the other")):
            daemon = self.make(args=["--forward", "nats://127.0.0.1:1", *args])
            code = daemon.run_to_exit()
            self.assertNotEqual(code, 0)
            self.assertIn(error, daemon.stderr())
        daemon = self.make(data_dir=None, args=["--forward", "nats://127.0.0.1:1"])
        self.assertNotEqual(daemon.run_to_exit(), 0)
        self.assertIn("forward: needs a journal, and there is none with ephemeral", daemon.stderr())

    def test_damaged_identity(self):
        """Under another id, all that was forwarded would be counted once more."""
        daemon = self.start(args=["--forward", "nats://127.0.0.1:1"])
        daemon.stop()
        path = os.path.join(daemon.data_dir, "edge")
        for damage in ("", "{", '{"v":1}\n', '{"v":2,"edge":"0123456789abcdef"}\n'):
            with open(path, "w", encoding="utf-8") as f:
                f.write(damage)
            code, said = daemon.run_to_exit()
            self.assertEqual(code, 1)
            self.assertIn("forward: %s: corrupt data; without it this is a new edge, which forwards all of its journal\n"
                          % path, said)
            with open(path, encoding="utf-8") as f:
                self.assertEqual(f.read(), damage)

    def test_fleet_with_other_partitions(self):
        servers = self.servers()
        nats.tool("put", "OBSERVER_FLEET", "partitions", "32", url=servers.urls[0])
        daemon = self.start(args=forward(servers))
        self.record(daemon, 0, 10)
        wait_until(lambda: "the fleet has 32 partitions, this program makes 64" in daemon.stderr(), 10, "the log")
        wait_until(lambda: self.metric(daemon, "spool_ops") == 10, 10, "the spool to be counted")


if __name__ == "__main__":
    main()
