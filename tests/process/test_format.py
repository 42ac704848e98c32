"""A data directory that a newer version has written to: an older daemon says so and changes nothing; what can be made again
from the rows is made again; the way up needs nothing."""

import glob
import os
import re
import subprocess

from harness import OBSERVERD, DaemonTest, main, wait_until

LATER = "start the newer observerd again, or give this one another --data-dir"


class FormatTest(DaemonTest):
    def setUp(self):
        super().setUp()
        text = subprocess.run([OBSERVERD, "--version"], capture_output=True, text=True, check=True).stdout
        self.version = text.split()[1]

    def path(self, name):
        return os.path.join(self.daemon.data_dir, name)

    def recorded(self, ops=40, args=()):
        """A stopped daemon with so many acknowledged ops, over several segments."""
        self.daemon = self.start(args=["--segment-bytes", "4K", *args])
        for n in range(ops):
            answer = self.daemon.post("/v1/observer/event", {"endpoint": "/a", "input_summary": "x" * 200, "op_id": str(n),
                                                             "session_id": "s%d" % n, "success": n % 4 > 0, "error": "no %d" % n})
            self.assertEqual(answer.status, 200)
        self.daemon.stop()
        return self.daemon

    def contents(self):
        out = {}
        for name in os.listdir(self.daemon.data_dir):
            with open(self.path(name), "rb") as f:
                out[name] = f.read()
        out.pop("lock")  # has the process id of who asked last
        return out

    def assert_refused(self, why):
        before = self.contents()
        self.daemon.spawn()
        self.assertEqual(self.daemon.wait(), 1)
        self.assertEqual(self.daemon.stdout(), "")
        last = self.daemon.stderr().splitlines()[-1]
        self.assertEqual(re.sub(r"^\S+ (fatal|error) observerd: |^observerd: ", "", last), "%s/%s: %s" % (self.daemon.data_dir, why, LATER))
        self.assertEqual(self.contents(), before)

    def assert_all_there(self, ops=40):
        self.daemon.start()
        summary = self.daemon.get("/v1/observer/summary").json
        self.assertEqual(summary["lifetime"]["total"], ops)
        self.assertEqual(self.daemon.post("/v1/observer/event", {"endpoint": "/a", "op_id": "7"}).status, 200)  # known, not recorded again
        self.assertEqual(len(self.daemon.journal_rows()), ops)
        self.daemon.stop()

    def set_head(self, name, old, new):
        with open(self.path(name), "r+b") as f:
            self.assertEqual(f.read(8), old)
            f.seek(0)
            f.write(new)


class TheFile(FormatTest):
    def test_it_says_who_wrote(self):
        self.recorded(1)
        with open(self.path("format")) as f:
            self.assertEqual(f.read(), "format 2, written by observerd %s\n" % self.version)
        self.assertEqual(os.stat(self.path("format")).st_mode & 0o777, 0o600)

    def test_the_way_up(self):
        """A directory of the first version, which has no such file; one of an earlier patch; one that cannot be read."""
        self.recorded()
        os.unlink(self.path("format"))
        self.assert_all_there()
        for text in ("format 2, written by observerd 0.1.9\n", "format 1, written by observerd 0.1.0\n", "", "format x\n", "\0" * 4096):
            with open(self.path("format"), "w") as f:
                f.write(text)
            self.assert_all_there()
            with open(self.path("format")) as f:
                self.assertEqual(f.read(), "format 2, written by observerd %s\n" % self.version)
            self.assertEqual("format cannot be read; it is written again" in self.daemon.stderr(), not text.endswith((".9\n", ".0\n")), text)

    def test_a_newer_one_is_refused(self):
        self.recorded()
        with open(self.path("format"), "w") as f:
            f.write("format 3, written by observerd 9.8.7\n")
        self.assert_refused("format: observerd 9.8.7 wrote this directory, in format 3, and this is observerd %s, which knows formats "
                            "up to 2" % self.version)
        with open(self.path("format"), "w") as f:  # as if the newer one had been started again, and left
            f.write("format 2, written by observerd 9.8.7\n")
        self.assert_all_there()

    def test_a_disk_that_takes_no_file(self):
        self.recorded(2)
        os.unlink(self.path("format"))
        os.mkdir(self.path("format.new"))  # where it would be written first
        self.daemon.start()
        self.assertRegex(self.daemon.stderr(), r"cannot write .*/format: Is a directory; older versions cannot tell that this one wrote here")
        self.assertEqual(self.daemon.stats()["total"], 2)
        self.daemon.stop()

    def test_a_directory_that_is_made_again(self):
        daemon = self.recorded(1)
        daemon.start()
        os.rename(daemon.data_dir, daemon.data_dir + ".gone")
        daemon.post("/v1/observer/event", {"endpoint": "/b"})
        wait_until(lambda: daemon.post("/v1/observer/event", {"endpoint": "/b"}).status == 200, 10, "recording again")
        with open(self.path("format")) as f:
            self.assertEqual(f.read(), "format 2, written by observerd %s\n" % self.version)
        daemon.stop()


class Heads(FormatTest):
    def test_what_rows_do_not_have_is_refused(self):
        self.recorded()
        times = [os.path.basename(p) for p in sorted(glob.glob(self.path("*.times")))]
        self.assertGreater(len(times), 2)
        for name, head in (("checkpoint", b"OBSCKP1\n"), (times[1], b"OBSTIM1\n")):
            later = head.replace(b"1", b"4")
            self.set_head(name, head, later)
            self.assert_refused("%s: its format is 4, and observerd %s knows formats up to 1" % (name, self.version))
            self.set_head(name, later, head)
        with open(self.path("group"), "wb") as f:
            f.write(b"OBSGRP2\n" + bytes(100))
        self.assert_refused("group: its format is 2, and observerd %s knows formats up to 1" % self.version)
        os.unlink(self.path("group"))
        self.assert_all_there()

    def test_what_rows_have_is_made_again(self):
        self.recorded()
        for ending, head in (("idx", b"OBSIDX1\n"), ("keys", b"OBSKEY1\n")):
            names = [os.path.basename(p) for p in glob.glob(self.path("ops-*." + ending))]
            self.assertGreater(len(names), 2)
            for name in names:
                self.set_head(name, head, head.replace(b"1", b"2"))
        os.unlink(self.path("checkpoint"))
        self.daemon.start()
        self.assertEqual(self.daemon.stats()["total"], 40)
        for n in (0, 17, 39):
            rows = self.daemon.get("/v1/observer/ops?session_id=s%d" % n).json["ops"]
            self.assertEqual([row["op"]["op_id"] for row in rows], [str(n)])
        self.daemon.stop()


if __name__ == "__main__":
    main()
