"""observerctl check: exact reports over sound and broken journals, and while a daemon writes."""

import hashlib
import json
import os
import shutil
import subprocess
import threading

from harness import BUILD, SLOW, DaemonTest, main

CTL = os.path.join(BUILD, "observerctl")


def check(*args, **kw):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
    return subprocess.run([CTL, "check", *args], capture_output=True, text=True, timeout=120 * SLOW, env=env, **kw)


def has_open(pid, path):
    try:
        names = os.listdir("/proc/%d/fd" % pid)
        return path in [os.readlink("/proc/%d/fd/%s" % (pid, name)) for name in names]
    except OSError:  # a descriptor, or the process, is gone meanwhile
        return False


def row(i, **more):
    op = {"timestamp": "2026-01-02T03:04:%02d.%03dZ" % (i // 1000 % 60, i % 1000), "endpoint": "/a", "input_summary": "x",
          "success": True, "duration_ms": 1, "output_summary": "y", "source": "mcp"}
    op.update(more)
    return json.dumps(op).encode()


class CheckTest(DaemonTest):
    def write(self, name, data, folder="journal"):
        path = os.path.join(self.tmp, folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        return path

    def counts(self, *args, status=0):
        done = check("--json", *args)
        self.assertEqual((done.returncode, done.stderr), (status, ""), done.stdout)
        return json.loads(done.stdout)


class Check(CheckTest):
    def test_sound(self):
        rows = [row(i, op_id="n%d" % i) for i in range(1000)]
        path = self.write("ops.jsonl", b"\n".join(rows) + b"\n")
        size = os.path.getsize(path)
        done = check(path)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "%s: 1,000 rows, %s bytes, sound\n\n" % (path, format(size, ",")) + "".join(
            "%-22s %s\n" % pair for pair in (
                ("files", 1), ("bytes", format(size, ",")), ("rows", "1,000"), ("bad rows", 0), ("torn tails", 0),
                ("misplaced segments", 0),
                ("op_ids", "1,000"), ("duplicate op_ids", 0), ("out of order", 0),
                ("first", "2026-01-02T03:04:00.000Z"), ("last", "2026-01-02T03:04:00.999Z"))) + "sound\n")
        counts = {"bytes": size, "rows": 1000, "bad_rows": 0, "torn_tails": 0, "missing_newlines": 0, "op_ids": 1000,
                  "duplicate_op_ids": 0, "out_of_order": 0, "first": "2026-01-02T03:04:00.000Z",
                  "last": "2026-01-02T03:04:00.999Z"}
        self.assertEqual(self.counts(path), dict(counts, sound=True, misplaced_segments=0, faults=[], faults_left_out=0,
                                                 files=[dict(counts, file=path)]))

    def test_bad_rows(self):
        lines = [row(0), b'{"endpoint":', b"", row(1), b"not json", b"[1]", b"  ", row(2), b'{"a\xff":1}', row(3)]
        path = self.write("ops.jsonl", b"\n".join(lines) + b"\n")
        offsets = [sum(len(line) + 1 for line in lines[:i]) for i in range(len(lines))]
        got = self.counts(path, status=3)
        self.assertEqual((got["sound"], got["rows"], got["bad_rows"], got["torn_tails"]), (False, 4, 4, 0))
        self.assertEqual([(f["file"], f["line"], f["offset"], f["torn"]) for f in got["faults"]],
                         [(path, n, offsets[n - 1], False) for n in (2, 5, 6, 9)])
        done = check(path)
        self.assertEqual(done.returncode, 3)
        reported = done.stdout.split("\n")
        self.assertEqual([line.split(": ")[:2] for line in reported[:4]],
                         [["%s:%d" % (path, n), "bad row"] for n in (2, 5, 6, 9)])
        self.assertEqual(reported[0], path + ":2: bad row: " + got["faults"][0]["reason"])
        self.assertEqual(reported[2], path + ":6: bad row: op: must be a map")
        self.assertTrue(reported[4].startswith(path + ": 4 rows, "))
        self.assertTrue(reported[4].endswith(" bytes, 4 bad rows"))
        self.assertEqual(reported[-2], "not sound")

    def test_what_is_listed_is_limited(self):
        path = self.write("ops.jsonl", b"bad\n" * 50 + row(1) + b"\n")
        listed = lambda *args: check(*args, path).stdout.split("\n")
        count = lambda *args: sum(": bad row: " in line for line in listed(*args))
        self.assertEqual((count(), count("--limit", "7"), count("-n0"), count("--all")), (20, 7, 0, 50))
        self.assertIn("... and 30 more (--all lists all, --limit N lists N)", listed())
        self.assertFalse(any("more (" in line for line in listed("--all")))
        got = self.counts("--limit", "3", path, status=3)
        self.assertEqual((len(got["faults"]), got["faults_left_out"], got["bad_rows"]), (3, 47, 50))

    def test_ends(self):
        whole = row(1) + b"\n"
        for tail, status, rows, bad, torn, unended in (
                (b"", 0, 1, 0, 0, 0), (b'{"endpoint":"/a","suc', 3, 1, 0, 1, 0), (row(2), 0, 2, 0, 0, 1),
                (b"\n\n", 0, 1, 0, 0, 0), (b"   ", 0, 1, 0, 0, 0), (b"\0" * 100, 3, 1, 0, 1, 0),
                (b'{"endpoint":"/a"\n', 3, 1, 1, 0, 0)):
            path = self.write("ops.jsonl", whole + tail)
            got = self.counts(path, status=status)
            self.assertEqual((got["rows"], got["bad_rows"], got["torn_tails"], got["missing_newlines"]),
                             (rows, bad, torn, unended), tail)
            self.assertEqual(got["bytes"], len(whole + tail), tail)
        path = self.write("ops.jsonl", whole + b'{"endpoint')
        text = check(path).stdout
        self.assertIn(path + ":2: torn tail: json: truncated", text)
        self.assertIn(", 0 bad rows, a torn tail\n", text)
        path = self.write("ops.jsonl", b"")
        got = self.counts(path)
        self.assertEqual((got["rows"], got["first"], got["last"]), (0, None, None))

    def test_duplicates_and_order(self):
        path = self.write("ops.jsonl", b"".join(line + b"\n" for line in (
            row(5, op_id="a"), row(7, op_id="b"), row(6, op_id="a"), row(6), row(9, op_id="b"), row(1, op_id=""),
            row(2, op_id=7), row(3, op_id="a"))))
        got = self.counts(path)
        self.assertEqual((got["duplicate_op_ids"], got["out_of_order"]), (3, 2))
        self.assertEqual((got["first"], got["last"]), ("2026-01-02T03:04:00.001Z", "2026-01-02T03:04:00.009Z"))

    def test_duplicates_among_many(self):
        rows = [row(i % 1000, op_id="n%d" % (i % 30000)) for i in range(40000)]
        path = self.write("ops.jsonl", b"\n".join(rows) + b"\n")
        self.assertEqual(self.counts(path)["duplicate_op_ids"], 10000)

    def test_a_long_row(self):
        path = self.write("ops.jsonl", row(1) + b"\n" + row(2, correction="x" * (17 << 20)) + b"\n" + row(3) + b"\n")
        got = self.counts(path, status=3)
        self.assertEqual((got["rows"], [(f["line"], f["reason"]) for f in got["faults"]]),
                         (2, [(2, "longer than 16 MiB")]))

    def test_directories(self):
        for name, data in (("ops-1.jsonl", row(1) + b"\n"), ("ops-12.jsonl", row(12) + b"\n"),
                           ("ops-9.jsonl", row(9) + b"\nbad\n"), ("ops.jsonl", row(13) + b"\n"),
                           ("ops-09.jsonl", b"x\n"), ("ops-a.jsonl", b"x\n"), ("ops-1.idx", b"x\n"),
                           ("rejected.jsonl", b"x\n"), ("bad-rows.jsonl", b"x\n"), ("other.jsonl", row(1) + b"\n"),
                           ("other-4.jsonl", row(0) + b"\n")):
            self.write(name, data)
        folder = os.path.join(self.tmp, "journal")
        got = self.counts(folder + "/", status=3)
        self.assertEqual([os.path.basename(f["file"]) for f in got["files"]],
                         ["ops-1.jsonl", "ops-9.jsonl", "ops-12.jsonl", "ops.jsonl"])
        self.assertEqual((got["rows"], got["out_of_order"], got["faults"][0]["line"]), (4, 0, 2))
        self.assertEqual(got["faults"][0]["file"], os.path.join(folder, "ops-9.jsonl"))
        got = self.counts("--journal-name", "other.jsonl", folder)
        self.assertEqual([os.path.basename(f["file"]) for f in got["files"]], ["other-4.jsonl", "other.jsonl"])
        os.remove(os.path.join(folder, "ops.jsonl"))
        self.assertEqual(len(self.counts(folder, status=3)["files"]), 3)

    def test_unreadable(self):
        good = self.write("ops.jsonl", row(1) + b"\n")
        bad = self.write("bad.jsonl", b"x\n")
        empty = os.path.join(self.tmp, "empty")
        os.mkdir(empty)
        fifo = os.path.join(self.tmp, "fifo")
        os.mkfifo(fifo)
        for path, why in ((os.path.join(self.tmp, "none"), "No such file or directory"),
                          (empty, "there is no journal called ops.jsonl"), (fifo, "is not a regular file")):
            done = check(path, good, bad)
            self.assertEqual((done.returncode, done.stderr), (1, "observerctl check: %s: %s\n" % (path, why)))
            self.assertIn(good + ": 1 row, ", done.stdout)
            self.assertTrue(done.stdout.endswith("\nnot everything could be read\n"))
            done = check("--json", path)
            self.assertFalse(json.loads(done.stdout)["sound"])
        done = check()
        self.assertEqual((done.returncode, done.stderr),
                         (2, "observerctl check: which journal? Give files or a data directory\n"))

    def test_what_is_no_file_is_not_called_sound(self):
        done = check("/dev/null")
        self.assertEqual((done.returncode, done.stderr), (1, "observerctl check: /dev/null: is not a regular file\n"))
        self.assertNotIn("sound", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^files +0$")

    def test_names_do_not_act_on_the_terminal(self):
        path = self.write("a\x1b[2J\n.jsonl", b"bad\n")
        text = check(path).stdout
        self.assertNotIn("\x1b", text)
        self.assertIn("a\\x1b[2J\\n.jsonl:1: bad row", text)

    def test_nothing_is_modified(self):
        path = self.write("ops.jsonl", row(1) + b'\nbad\n{"torn')
        before = os.stat(path)
        check(os.path.dirname(path))
        after = os.stat(path)
        self.assertEqual((before.st_mtime_ns, before.st_size, before.st_ctime_ns),
                         (after.st_mtime_ns, after.st_size, after.st_ctime_ns))
        self.assertEqual(os.listdir(os.path.dirname(path)), ["ops.jsonl"])

    def test_a_row_that_is_being_written(self):
        """Half a row is no torn tail when the other half comes."""
        for _ in range(5):  # the half that comes may come too late on a busy machine
            path = self.write("ops.jsonl", row(1) + b"\n" + row(2)[:40])
            process = subprocess.Popen([CTL, "check", path], stdout=subprocess.PIPE, text=True)
            while process.poll() is None and not has_open(process.pid, path):
                pass
            with open(path, "ab") as f:
                f.write(row(2)[40:] + b"\n")
            out, _ = process.communicate(timeout=60 * SLOW)
            if process.returncode == 0:
                break
        self.assertEqual(process.returncode, 0, out)
        self.assertIn(": 2 rows, ", out)

    def test_a_segment_rotated_meanwhile(self):
        """The active segment that has got its new name already is read once."""
        path = self.write("ops.jsonl", row(1) + b"\n")
        os.link(path, os.path.join(os.path.dirname(path), "ops-1.jsonl"))
        got = self.counts(os.path.dirname(path))
        self.assertEqual(([f["file"] for f in got["files"]], got["rows"]), ([path], 1))

    def test_while_a_daemon_writes(self):
        d = self.start(args=["--segment-bytes", "300K", "--fsync", "never"])
        sent = [0]

        def publish():
            for _ in range(100):
                ops = [{"endpoint": "/a", "success": True, "correction": "x" * 200, "op_id": "w%d" % (sent[0] + k)}
                       for k in range(200)]
                d.post("/v1/observer/event", ops)
                sent[0] += 200

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            rows = 0
            while thread.is_alive():
                before = sent[0]
                got = self.counts(d.data_dir)
                self.assertGreaterEqual(got["rows"], before)
                self.assertGreaterEqual(got["rows"], rows)
                self.assertEqual((got["duplicate_op_ids"], got["op_ids"]), (0, got["rows"]))
                rows = got["rows"]
        finally:
            thread.join()
        self.assertEqual(sent[0], 20000)
        self.assertGreater(len(d.segments()), 1)
        d.stop()
        lines = d.journal_lines()
        got = self.counts(d.data_dir)
        self.assertEqual((got["rows"], len(lines)), (sent[0], sent[0]))
        self.assertEqual(len({hashlib.sha1(line).digest() for line in lines}), sent[0])


class Misplaced(CheckTest):
    """Segments that changed places, are there twice, or are missing."""
    OPS = 1200

    def recorded(self):
        """A journal of twelve segments with a hundred rows each, all of one size."""
        daemon = self.make(args=["--segment-bytes", "20000"])
        daemon.start()
        with daemon.req() as req:
            for n in range(self.OPS // 100):
                said = req.request([{"endpoint": "/e", "op_id": "%04d" % (n * 100 + k), "input_summary": "x" * 100,
                                     "timestamp": "2026-01-01T00:%02d:00.%03dZ" % (n, k)} for k in range(100)])
                self.assertEqual(said["accepted"], 100)
        daemon.stop()
        self.assertEqual(len(daemon.segments()), 12)
        self.assertEqual(self.counts(daemon.data_dir)["misplaced_segments"], 0)
        return daemon

    def path(self, daemon, first):
        return os.path.join(daemon.data_dir, "ops-%d.jsonl" % first)

    def misplaced(self, daemon):
        said = self.counts(daemon.data_dir, status=3)
        self.assertFalse(said["sound"])
        self.assertEqual(said["misplaced_segments"], len(said["faults"]))
        text = check(daemon.data_dir).stdout
        for fault in said["faults"]:
            self.assertIn("%s: misplaced: %s\n" % (fault["file"], fault["reason"]), text)
        self.assertTrue(text.endswith("\nnot sound\n"))
        return [(os.path.basename(fault["file"]), fault["reason"]) for fault in said["faults"]]

    def test_two_changed_places(self):
        daemon = self.recorded()
        a, b, aside = self.path(daemon, 201), self.path(daemon, 501), os.path.join(self.tmp, "aside")
        self.assertEqual(os.path.getsize(a), os.path.getsize(b))
        for old, new in ((a, aside), (b, a), (aside, b)):
            os.rename(old, new)
        why = "its index was made from other rows: files were swapped, or it was modified"
        self.assertEqual(self.misplaced(daemon), [("ops-201.jsonl", why), ("ops-501.jsonl", why)])

    def test_one_is_missing(self):
        daemon = self.recorded()
        os.unlink(self.path(daemon, 401))
        self.assertEqual(self.misplaced(daemon),
                         [("ops-501.jsonl", "it begins at seq 501, expected 401: rows are missing in between")])

    def test_copies(self):
        """Wherever they would stand, they do not count again at each start."""
        daemon = self.recorded()
        for first in (50, 700, 1101, 1150, 5000):
            with self.subTest(first=first):
                copy = self.path(daemon, first)
                shutil.copy(self.path(daemon, 301), copy)
                if first != 1101:  # nothing but the checkpoint tells that this one is not the last rotated
                    names = [name for name, why in self.misplaced(daemon) if "duplicated" in why or "missing" in why]
                    self.assertIn(os.path.basename(copy) if first != 50 else "ops-101.jsonl", names)
                for _ in range(3):
                    daemon.start()
                    self.assertEqual(daemon.get("/v1/observer/summary").json["lifetime"]["total"], self.OPS)
                    self.assertEqual(daemon.get("/health").json["seq"], self.OPS)
                    if first > 1100:
                        self.assertIn("%s is ignored: its rows would overlap those of ops.jsonl" % copy, daemon.stderr())
                    daemon.stop()
                os.unlink(copy)
                sidecar = copy[:-len("jsonl")] + "idx"
                if os.path.exists(sidecar):
                    os.unlink(sidecar)
        self.counts(daemon.data_dir)


if __name__ == "__main__":
    main()
