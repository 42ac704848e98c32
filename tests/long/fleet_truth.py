"""What a fleet must say, counted by what its edges' journals and its stream hold: which rows of each edge are in the stream, as
they were recorded, and what a summary of the ops in them is, each op once."""

import array
import collections
import json
import os
import zlib

import harness
import nats


class Missing(AssertionError):
    pass


class Journal:
    """The rows of one edge. `lost`: its disk is; what of it is not in the stream is lost with it."""

    def __init__(self, name, data_dir):
        self.name, self.data_dir, self.lost = name, data_dir, False
        self.sums, self.rows, self.counted, self.offset = array.array("I"), [], 0, 0
        self.there = bytearray()  # of each row, whether it is in the stream
        with open(os.path.join(data_dir, "edge"), encoding="utf-8") as f:
            self.edge = json.load(f)["edge"]

    def read(self):
        assert len(harness.journal_segments(self.data_dir)) == 1
        with open(os.path.join(self.data_dir, "ops.jsonl"), "rb") as f:
            f.seek(self.offset)
            data = f.read()
        end = data.rfind(b"\n") + 1
        self.offset += end
        for line in data[:end].split(b"\n")[:-1]:
            row = json.loads(line)
            self.sums.append(zlib.crc32(line))
            self.rows.append((row["source"], row["endpoint"], row["success"], row["op_id"]))
        self.there.extend(bytes(len(self.rows) - len(self.there)))


class Truth:
    def __init__(self):
        self.journals = []
        self.messages = 0
        self.forget()

    def forget(self):
        """The stream has gone back, or is another one: everything is read again."""
        self.last = self.stored = self.stored_twice = self.lost = self.poison = 0
        self.seen, self.twice = set(), 0
        self.counts = {name: collections.Counter() for name in ("total", "by_source", "by_endpoint", "endpoint_failures")}
        for journal in self.journals:
            journal.counted = 0
            journal.there = bytearray(len(journal.rows))

    def add(self, name, data_dir):
        self.journals.append(Journal(name, data_dir))

    def read(self, url):
        for journal in self.journals:
            journal.read()
        of = {journal.edge: journal for journal in self.journals}
        for batch in nats.tool("sums", self.last + 1, url=url):
            self.last = batch["stream_seq"]
            if "poison" in batch:
                self.poison += 1
                continue
            journal = of[batch["edge"]]
            for seq, line_sum in batch["rows"]:
                if journal.sums[seq - 1] != line_sum:
                    raise Missing("row %d of %s is another one in the stream" % (seq, journal.name))
                self.stored += 1
                self.stored_twice += journal.there[seq - 1]
                journal.there[seq - 1] = 1
        for journal in self.journals:
            missing = [at + 1 for at in range(journal.counted, len(journal.rows)) if not journal.there[at]]
            if missing and not journal.lost:
                raise Missing("%d rows of %s are not in the stream, the first ones %s" % (
                    len(missing), journal.name, missing[:5]))
        for journal in self.journals:
            self.count(journal)

    def count(self, journal):
        """What has come since the last time."""
        for at in range(journal.counted, len(journal.rows)):
            source, endpoint, success, op_id = journal.rows[at]
            if not journal.there[at]:
                self.lost += 1
            elif op_id in self.seen:
                self.twice += 1
            else:
                self.seen.add(op_id)
                self.counts["total"]["total"] += 1
                self.counts["total"]["failures"] += not success
                self.counts["by_source"][source] += 1
                self.counts["by_endpoint"][endpoint] += 1
                self.counts["endpoint_failures"][endpoint] += not success
        journal.counted = len(journal.rows)

    def lifetime(self):
        out = {name: {k: n for k, n in counter.items() if n} for name, counter in self.counts.items() if name != "total"}
        return dict(out, total=self.counts["total"]["total"], failures=self.counts["total"]["failures"])

    def missing(self, name, way, end):
        """Of the ops that were acknowledged to a producer, those that are in no row of the stream."""
        return [n for n in range(end) if "%s.%s.%d" % (name, way, n) not in self.seen]
