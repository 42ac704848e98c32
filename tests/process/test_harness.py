"""What the process tests share says why a test failed: what its daemons wrote last, which is gone with its directory. And finds whose
copy of a stream is odd."""

import contextlib
import io
import os
import unittest

import replicas
from harness import DaemonTest, main


class Inner(DaemonTest):
    """Its daemons are files, as real ones would leave them."""

    def wrote(self, name, count):
        path = os.path.join(self.tmp, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join("%s line %d\n" % (name, n) for n in range(count)))

    def daemons_of_old(self):
        for run in (1, 2, 10):
            self.wrote("daemon.1/stderr.%d" % run, 50)
        self.wrote("daemon.2/stderr.1", 0)

    def passes(self):
        self.daemons_of_old()

    def fails(self):
        self.daemons_of_old()
        self.fail("on purpose")

    def breaks(self):
        self.daemons_of_old()
        raise OSError("on purpose")

    def fails_in_a_part(self):
        self.daemons_of_old()
        with self.subTest(part=1):
            self.fail("on purpose")

    def fails_at_its_end(self):
        self.addCleanup(self.fail, "on purpose")
        self.daemons_of_old()


class Harness(unittest.TestCase):
    def run_one(self, name):
        said, result = io.StringIO(), unittest.TestResult()
        with contextlib.redirect_stderr(said):
            Inner(name).run(result)
        return said.getvalue(), result

    def test_logs_of_what_failed(self):
        for name in ("fails", "breaks", "fails_in_a_part", "fails_at_its_end"):
            said, result = self.run_one(name)
            self.assertFalse(result.wasSuccessful(), name)
            heads = [line for line in said.splitlines() if line.startswith("----")]
            self.assertEqual(heads, ["---- __main__.Inner.%s: %s" % (name, words) for words in
                                     ("40 lines, the end of daemon.1/stderr.1", "40 lines, the end of daemon.1/stderr.2",
                                      "40 lines, the end of daemon.1/stderr.10", "nothing, the end of daemon.2/stderr.1")])
            self.assertIn("    daemon.1/stderr.10 line 49\n", said)
            self.assertNotIn("stderr.10 line 9\n", said)

    def test_nothing_of_what_passed(self):
        said, result = self.run_one("passes")
        self.assertTrue(result.wasSuccessful())
        self.assertEqual(said, "")

    def test_whose_copy_is_odd(self):
        def copy(last, ts="2026-11-30T09:00:00Z", messages=7):
            return {"messages": messages, "bytes": 100 * messages, "first_seq": 1, "last_seq": last, "first_ts": "2026-11-30T08:00:00Z",
                    "last_ts": ts, "consumer_count": last}
        for copies, odd in (((copy(7), copy(7), copy(7)), []),
                            ((copy(8), copy(7), copy(7)), [1, 2]),  # also where the others are more
                            ((copy(7), copy(7, "2026-11-30T09:00:01Z"), copy(7)), [1]),
                            ((copy(7), copy(7)), [2]),  # it does not have it
                            ((copy(7), copy(8)), [1, 2]),
                            ((copy(7, messages=0), copy(7, "0001-01-01T00:00:00Z", messages=0), copy(7, messages=0)), [])):
            self.assertEqual(replicas.find_odd(dict(enumerate(copies)), 0, 3), odd)


if __name__ == "__main__":
    main()
