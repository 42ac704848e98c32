"""The data directory taken away, or shared against its will, while the daemon records."""

import json
import os
import shutil
import signal

from harness import DaemonTest, main, wait_until

GONE = "it or its directory was removed, renamed or replaced while in use"


class Loss(DaemonTest):
    def record(self, daemon, name, count=500):
        with daemon.req() as req:
            said = req.request([{"endpoint": name, "op_id": "%s-%d" % (name, n)} for n in range(count)])
            self.assertEqual(said["accepted"], count)
        return said["seq"]

    def endpoints(self, daemon):
        return [row["endpoint"] for row in daemon.journal_rows()]

    def try_again(self, daemon):
        """One op for which a producer tries until it is recorded; returns the answers it got before."""
        refused = []

        def recorded():
            answer = daemon.post("/v1/observer/event", {"endpoint": "/again", "op_id": "again"})
            if answer.status == 200:
                return True
            refused.append(answer)
            return False
        wait_until(recorded, 10, "recording to resume")
        return refused

    def lose(self, take, saved=0):
        """What was recorded before is lost with a file that was moved, and saved of one that was removed; nothing that is
        acknowledged afterwards is lost."""
        saved = ["/before"] * saved
        daemon = self.start(args=["--cycle", "1"])
        self.assertEqual(self.record(daemon, "/before"), 500)
        take(daemon.data_dir)
        refused = self.try_again(daemon)
        # A look a second may have noticed before the op came; else the op's batch did, and was refused.
        for answer in refused:
            self.assertEqual(answer.status, 503)
            self.assertIn("retry-after", answer.headers)
            self.assertIn(GONE, answer.json["error"])
        self.assertEqual(self.record(daemon, "/after"), 1001)
        self.assertEqual(daemon.get("/readyz").status, 200)
        log = daemon.stderr()
        self.assertIn("not recording: ", log)
        self.assertIn(GONE, log)
        self.assertIn("recording continues in a new file at seq 501", log)
        self.assertIn("recording again", log)
        self.assertEqual(self.endpoints(daemon), saved + ["/again"] + ["/after"] * 500)
        daemon.restart(kill=True)
        self.assertEqual(self.endpoints(daemon), saved + ["/again"] + ["/after"] * 500)
        self.assertEqual(daemon.get("/v1/observer/summary").json["lifetime"]["total"], len(saved) + 501)
        self.assertEqual(self.record(daemon, "/later", 1), 1002)

    def test_the_file_is_removed(self):
        self.lose(lambda data: os.unlink(os.path.join(data, "ops.jsonl")), saved=500)

    def test_the_file_is_renamed_and_a_link_stands_there(self):
        def take(data):
            os.rename(os.path.join(data, "ops.jsonl"), os.path.join(self.tmp, "taken"))
            os.symlink(os.path.join(self.tmp, "nowhere"), os.path.join(data, "ops.jsonl"))
        self.lose(take)
        self.assertFalse(os.path.exists(os.path.join(self.tmp, "nowhere")))

    def test_the_directory_is_removed(self):
        self.lose(shutil.rmtree, saved=500)

    def test_the_directory_is_renamed(self):
        self.lose(lambda data: os.rename(data, data + ".taken"))

    def idle(self, take):
        """Nobody writes: a look finds it, and it stays to be seen until somebody writes or signals."""
        daemon = self.start()
        self.assertEqual(self.record(daemon, "/before"), 500)
        take(daemon.data_dir)
        ready = wait_until(lambda: (lambda a: a if a.status == 503 else None)(daemon.get("/readyz")), 10, "no readiness")
        self.assertIn(GONE, ready.json["reasons"][0])
        # Its place is taken again, so that no other daemon gets it.
        wait_until(lambda: "recording continues in a new file at seq 501" in daemon.stderr(), 10, "a new file")
        code, stderr = self.make().run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("in use by another observerd (pid %d)" % daemon.pid, stderr)
        return daemon

    def test_it_is_seen_while_nobody_writes(self):
        daemon = self.idle(shutil.rmtree)
        self.assertEqual(daemon.get("/readyz").status, 503)
        self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": "/after"}).status, 200)
        self.assertEqual(daemon.get("/readyz").status, 200)
        self.assertEqual(self.endpoints(daemon), ["/before"] * 500 + ["/after"])

    def test_a_signal_makes_it_well(self):
        moved = os.path.join(self.tmp, "moved.jsonl")
        daemon = self.idle(lambda data: os.rename(os.path.join(data, "ops.jsonl"), moved))
        self.assertIn("rows 1 to 500 are in the file that was moved, which is now " + moved, daemon.stderr())
        daemon.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: daemon.get("/readyz").status == 200, 10, "readiness")
        self.assertEqual(daemon.stderr().count("not recording"), 1)
        self.assertEqual(daemon.stderr().count("recording again"), 1)

    def test_nobody_comes(self):
        daemon = self.idle(shutil.rmtree)
        wait_until(lambda: daemon.get("/readyz").status == 200, 20, "readiness")

    def test_removed_just_before_the_stop(self):
        daemon = self.start()
        self.assertEqual(self.record(daemon, "/before"), 500)
        shutil.rmtree(daemon.data_dir)
        daemon.stop()
        self.assertEqual(self.endpoints(daemon), ["/before"] * 500)
        daemon.start()
        self.assertEqual(self.record(daemon, "/after", 1), 501)

    def test_another_daemon_has_taken_the_place(self):
        """It is said who, and nothing is acknowledged meanwhile."""
        daemon = self.start()
        self.assertEqual(self.record(daemon, "/before"), 500)
        daemon.hold()
        self.addCleanup(daemon.process.send_signal, signal.SIGCONT)
        shutil.rmtree(daemon.data_dir)
        other = self.make()
        other.data_dir = daemon.data_dir
        other.start()
        daemon.process.send_signal(signal.SIGCONT)
        taken = "%s/lock: in use by another observerd (pid %d)" % (daemon.data_dir, other.pid)
        wait_until(lambda: taken in daemon.stderr(), 10, "the other one to be named")
        answer = daemon.post("/v1/observer/event", {"endpoint": "/after"})
        self.assertEqual((answer.status, answer.json["error"]), (503, taken))
        self.assertEqual(daemon.get("/readyz").json["reasons"], [taken])
        other.stop()
        self.try_again(daemon)
        self.assertEqual(daemon.get("/readyz").status, 200)
        self.assertEqual([row["endpoint"] for row in daemon.journal_rows()], ["/before"] * 500 + ["/again"])

    def test_the_sessions_are_moved(self):
        daemon = self.start()
        name = os.path.join(daemon.data_dir, "coordinator_sessions.jsonl")
        os.rename(name, name + ".1")
        wait_until(lambda: daemon.get("/readyz").status == 503, 10, "no readiness")
        self.assertIn("coordinator_sessions.jsonl: " + GONE, daemon.get("/readyz").json["reasons"][0])
        self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": "/after"}).status, 200)
        self.assertTrue(os.path.exists(name))

    def test_readiness_turns_off_meanwhile(self):
        """While no new file can be made, nothing is acknowledged, and what nobody waits for is not lost."""
        daemon = self.start()
        self.record(daemon, "/before")
        os.rename(daemon.data_dir, daemon.data_dir + ".taken")
        with open(daemon.data_dir, "w"):
            pass
        self.assertEqual(daemon.post("/v1/observer/event", {"endpoint": "/a"}).status, 503)
        ready = daemon.get("/readyz")
        self.assertEqual(ready.status, 503)
        self.assertIn(daemon.data_dir, json.dumps(ready.json))
        with daemon.push() as push:
            push.send(b'{"endpoint":"/pushed"}')
            os.unlink(daemon.data_dir)
            wait_until(lambda: daemon.get("/readyz").status == 200, 10, "readiness")
            wait_until(lambda: os.path.isdir(daemon.data_dir) and self.endpoints(daemon) == ["/pushed"], 10, "the op")

    def test_all_files_are_written_where_they_belong(self):
        daemon = self.start()
        daemon.post("/v1/observer/event", b"{bad")
        wait_until(lambda: len(daemon.rejected_rows()) == 1, 10, "the reject")
        shutil.rmtree(daemon.data_dir)
        self.try_again(daemon)
        daemon.post("/v1/observer/event", b"{bad")
        wait_until(lambda: len(daemon.rejected_rows()) == 1, 10, "the reject in the new directory")
        self.assertTrue(os.path.exists(os.path.join(daemon.data_dir, "lock")))

    def test_the_lock_file_is_removed(self):
        daemon = self.start()
        os.unlink(os.path.join(daemon.data_dir, "lock"))
        code, stderr = self.make().run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("in use by another observerd (pid unknown)", stderr)
        shutil.rmtree(daemon.data_dir)
        self.try_again(daemon)
        os.unlink(os.path.join(daemon.data_dir, "lock"))
        code, stderr = self.make().run_to_exit()
        self.assertEqual(code, 1)
        self.assertIn("in use by another observerd", stderr)

    def test_names_that_a_journal_cannot_have(self):
        for name in ("analyses.jsonl", "playbooks.jsonl", "reviews.jsonl", "escalations.jsonl", "calls.jsonl", "keys",
                     "ops-7.jsonl", "ops.idx"):
            with self.subTest(name=name):
                code, stderr = self.make(args=["--journal-name", name]).run_to_exit()
                self.assertEqual(code, 1)
                self.assertIn(name + ': cannot be the name of a journal: it must be a file name with "ops" or "obs" in '
                              "it, which the other files of the directory do not have, and end neither in a number nor "
                              "in .idx or .new", stderr)


if __name__ == "__main__":
    main()
