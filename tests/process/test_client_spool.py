"""The spool of libobserver: ops outlive their producer and the daemon, whatever ends them, and arrive once."""

import os
import resource
import signal
import stat
import struct

from client_harness import ClientTest
from harness import SLOW, main, wait_until

HEADER, RECORD_HEAD = 64, 56


class SpoolTest(ClientTest):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.tmp, "ops.spool")

    def spooler(self, **arguments):
        return self.tool("ack", spool=self.path, **arguments)

    def fill(self, count, **arguments):
        """A producer that finds no daemon, publishes, and leaves everything in the spool."""
        result = self.spooler(count=count, block_ms=-1, close=0, **arguments).result()
        self.assertEqual((result["close"], result["taken"]), ("timed out", count))
        return result

    def replay(self, replayed, **arguments):
        """A producer that publishes nothing and waits until the spool is empty."""
        result = self.spooler(count=0, flush=int(60000 * SLOW), **arguments).result()
        counters = result["flushed"]
        self.assertEqual((result["flush"], result["close"]), ("ok", "ok"))
        self.assertEqual((counters["replayed"], counters["delivered"], counters["queued"]), (replayed, replayed, 0))
        self.assertEqual(counters["spool_bytes"], 0)
        self.check_balance(counters)
        return result

    def records(self):
        """(position, size) of each record of the file."""
        with open(self.path, "rb") as f:
            data = f.read()
        at, found = HEADER, []
        while at < len(data):
            _, _, _, ntags, length = struct.unpack_from("=IIIIQ", data, at)
            size = RECORD_HEAD + 8 * ntags + length
            found.append((at, size))
            at += size
        return found


class Replay(SpoolTest):
    def test_both_restart(self):
        self.fill(30000)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        daemon = self.start_daemon()
        self.replay(30000)
        self.check_exactly(daemon, range(30000))
        self.assertEqual(os.path.getsize(self.path), HEADER)
        self.replay(0)

    def test_more_than_memory_holds(self):
        """A queue of 256 KiB, 12 MB of ops: the rest is on the disk alone, and comes back in the same process too."""
        tool = self.spooler(count=60000, queue_bytes=256 << 10, block_ms=-1, delivery=1, end="hold", close=60000).ready()
        daemon = self.start_daemon()
        result = tool.result()
        counters = result["published"]
        self.check_balance(counters)
        self.assertEqual((result["close"], counters["queued"]), ("ok", 60000))
        self.assertLessEqual(counters["memory_bytes"], (256 << 10) * 2)
        self.assertGreater(counters["spool_bytes"], 4 << 20)
        self.assertEqual((result["reported_once"], result["reported_more"], result["strays"]), (60000, 0, 0))
        self.check_exactly(daemon, range(60000))
        self.assertEqual(os.path.getsize(self.path), HEADER)

    def test_reports_of_an_earlier_process_have_no_tag(self):
        self.fill(100, delivery=1)
        self.start_daemon()
        result = self.replay(100, delivery=1)
        self.assertEqual((result["strays"], result["recorded"]), (100, 100))

    def test_finished_records(self):
        """Both forms outlive their producer too."""
        self.fill(3000, encoded="json")
        self.fill(3000, encoded="msgpack", first=3000)
        daemon = self.start_daemon()
        self.replay(6000, in_flight=1)
        self.check_exactly(daemon, range(6000))

    def test_producer_killed(self):
        """kill -9 at any moment: what was in a closed batch arrives once. At 2,000 ops a second a batch closes every 5 ms,
        so that all but the last moment's is there."""
        first, killed = 0, []
        for run in range(4):
            tool = self.spooler(first=first, count=100000, rate=2000, block_ms=-1)
            wait_until(lambda: os.path.exists(self.path) and os.path.getsize(self.path) > (run + 1) * 100_000, 20,
                       "ops in the spool")
            tool.kill()
            killed.append(first)
            first += 100000
        daemon = self.start_daemon()
        result = self.spooler(count=0, flush=60000).result()
        self.assertEqual(result["flush"], "ok")
        got = self.numbers(daemon)
        self.assertEqual((len(set(got)), len(got)), (result["flushed"]["replayed"], result["flushed"]["replayed"]))
        for start in killed:  # of each run a prefix, without a hole
            own = sorted(n for n in got if start <= n < start + 100000)
            self.assertEqual(own, list(range(start, start + len(own))))
            self.assertGreater(len(own), 0)

    def test_both_killed_again_and_again(self):
        """Every op whose batch was acknowledged or closed arrives once, with daemon and producer killed in turns."""
        daemon = self.start_daemon()
        for run in range(3):
            tool = self.spooler(first=run * 1000000, count=1000000, rate=20000, block_ms=-1, retry_min_ms=5)
            before = daemon.get("/health").json["seq"]
            wait_until(lambda: daemon.get("/health").json["seq"] > before + 2000, 20, "ops recorded")
            daemon.kill()
            size = os.path.getsize(self.path)
            wait_until(lambda: os.path.getsize(self.path) > size + 100_000, 20, "ops in the spool")
            tool.kill()
            daemon.start()
        result = self.spooler(count=0, flush=60000).result()
        self.assertEqual(result["flush"], "ok")
        got = self.numbers(daemon)
        self.assertEqual(len(got), len(set(got)))
        for run in range(3):
            own = sorted(n for n in got if n // 1000000 == run)
            self.assertEqual(own, list(range(run * 1000000, run * 1000000 + len(own))))

    def test_synced(self):
        self.fill(2000, spool_sync=1)
        daemon = self.start_daemon()
        self.replay(2000)
        self.check_exactly(daemon, range(2000))


class Bounds(SpoolTest):
    def test_full(self):
        """spool_bytes bounds the file; then publishing is refused; what was taken arrives."""
        limit = 1 << 20
        result = self.spooler(count=30000, spool_bytes=limit, queue_bytes=4 << 20, end="close", close=0, rate=50000).result()
        self.assertGreater(result["full"], 0)
        self.assertEqual(result["taken"] + result["full"], 30000)
        self.check_balance(result["published"])
        self.assertLessEqual(os.path.getsize(self.path), limit)
        self.assertGreater(os.path.getsize(self.path), limit // 2)
        daemon = self.start_daemon()
        self.replay(result["taken"])
        self.assertEqual(len(set(self.numbers(daemon))), result["taken"])

    def test_a_small_spool_carries_many(self):
        """Far more than its size goes through, because what is acknowledged makes room."""
        daemon = self.start_daemon()
        limit = 256 << 10
        result = self.spooler(count=50000, spool_bytes=limit, batch_bytes=16 << 10, block_ms=-1, flush=60000,
                              delivery=1).result()
        self.assertEqual((result["flush"], result["taken"], result["reported_once"]), ("ok", 50000, 50000))
        self.assertEqual(result["flushed"]["spool_failures"], 0)
        self.assertLessEqual(os.path.getsize(self.path), limit)
        self.check_exactly(daemon, range(50000))

    def test_disk_full(self):
        """What cannot be written is kept in memory, counted, and delivered from there."""
        def little_disk():
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

        tool = self.spooler(count=5000, block_ms=-1, end="hold", flush=500, preexec_fn=little_disk).ready()
        daemon = self.start_daemon()
        result = tool.result()
        self.assertGreater(result["flushed"]["spool_failures"], 0)
        self.assertEqual((result["flushed"]["queued"], result["close"]), (5000, "ok"))
        self.check_exactly(daemon, range(5000))


class Files(SpoolTest):
    def refuse(self, error, **arguments):
        result = self.spooler(**arguments).result(code=1)
        self.assertEqual(result["open"], error)
        self.assertIn(self.path, result["why"])

    def test_locked(self):
        holder = self.spooler(count=1, end="hold", close=0).ready()
        self.refuse("in use by another process")
        holder.kill()
        self.fill(1)

    def test_foreign_file_is_left_alone(self):
        for content in (b"precious\n", b"x" * 1000, b"OBSSPOOL" + struct.pack("=I", 99) + bytes(100)):
            with open(self.path, "wb") as f:
                f.write(content)
            self.refuse("corrupt data")
            with open(self.path, "rb") as f:
                self.assertEqual(f.read(), content)

    def test_no_such_directory(self):
        self.path = os.path.join(self.tmp, "none", "spool")
        self.refuse("input/output error")

    def test_only_acknowledged(self):
        result = self.tool("push", spool=self.path).result(code=1)
        self.assertEqual((result["open"], result["why"]), ("invalid argument", "spool: only in acknowledged mode"))

    def test_torn_end(self):
        """Cut at every kind of place, the whole records before the cut arrive."""
        self.fill(1500, batch_ops=500, linger_ms=20000)
        with open(self.path, "rb") as f:
            whole = f.read()
        (_, _), (second, size), (third, last) = self.records()
        cuts = [(len(whole) - 1, 1000), (third + RECORD_HEAD, 1000), (third + 10, 1000), (third, 1000), (second + size // 2, 500),
                (HEADER + 1, 0), (HEADER, 0), (HEADER - 1, 0), (5, 0), (0, 0)]
        self.assertEqual(third + last, len(whole))
        for cut, ops in cuts:
            with self.subTest(cut=cut), open(self.path, "wb") as f:
                f.write(whole[:cut])
                f.flush()
                result = self.spooler(count=0, close=0).result()
                self.assertEqual((result["flushed"]["replayed"], result["flushed"]["spool_damaged"]), (ops, 0))
        with open(self.path, "wb") as f:
            f.write(whole + bytes(5000))
        daemon = self.start_daemon()
        self.replay(1500)
        self.check_exactly(daemon, range(1500))

    def test_damaged_records_are_passed_over(self):
        self.fill(2000, batch_ops=500, linger_ms=20000)
        with open(self.path, "rb") as f:
            whole = f.read()
        _, (second, size), (third, _), (last, _) = self.records()
        for at in (second + size // 2, second + 2, second + 20, second):
            data = bytearray(whole)
            data[at] ^= 0x40
            data[third + RECORD_HEAD + 30] ^= 1 if at == second else 0
            with open(self.path, "wb") as f:
                f.write(data)
            result = self.spooler(count=0, close=0).result()["flushed"]
            lost = 2 if at == second else 1
            self.assertEqual((result["replayed"], result["spool_damaged"]), (2000 - 500 * lost, lost))
        for at in (last + 2, last + 20, last + RECORD_HEAD + 30, len(whole) - 1):
            data = bytearray(whole)
            data[at] ^= 0x40
            with open(self.path, "wb") as f:
                f.write(data)
            result = self.spooler(count=0, close=0).result()["flushed"]
            self.assertEqual((result["replayed"], result["spool_damaged"]), (1500, 1), at - last)
        data = bytearray(whole)
        data[second + size // 2] ^= 0x40
        data[third + RECORD_HEAD + 30] ^= 1
        with open(self.path, "wb") as f:
            f.write(data)
        daemon = self.start_daemon()
        result = self.spooler(count=0, flush=20000).result()
        self.assertEqual((result["flush"], result["flushed"]["delivered"]), ("ok", 1000))
        self.check_exactly(daemon, list(range(500)) + list(range(1500, 2000)))

    def test_signals_are_not_the_clients_business(self):
        tool = self.spooler(count=10, end="hold", close=0).ready()
        tool.process.send_signal(signal.SIGTERM)
        self.assertEqual(tool.process.wait(20 * SLOW), -signal.SIGTERM)


if __name__ == "__main__":
    main()
