"""The edge of a fleet: what a daemon with --forward acknowledges is in the stream in NATS, in order, each op once for who
skips what it knows, whatever is killed, cut off or lost meanwhile. Real nats-servers (nats.py)."""

import json
import os
import re

import nats
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
        servers = nats.Servers(os.path.join(self.dir, "nats"), **options)
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


if __name__ == "__main__":
    main()
