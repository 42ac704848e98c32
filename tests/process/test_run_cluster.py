"""scripts/run-cluster.sh: a whole fleet on one machine, that starts, loses a worker, stops and goes on where it was."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

import nats
from harness import BUILD, ROOT, SLOW, last_lines, main, wait_until

SCRIPT = os.path.join(ROOT, "scripts", "run-cluster.sh")


@nats.needs_nats
class RunCluster(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="obs-fleet-")
        self.addCleanup(shutil.rmtree, self.tmp, True)
        self.data = os.path.join(self.tmp, "fleet")
        self.out = os.path.join(self.tmp, "out")
        self.script, self.parts = None, {}
        self.addCleanup(self.end)

    def env(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        env["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=" + os.path.join(ROOT, "tests", "process", "lsan.supp")
        return dict(env, OBSERVER_BUILD=BUILD, TMPDIR=self.tmp)

    def end(self):
        """Its children end with it, whatever has happened."""
        if self.script is not None and self.script.poll() is None:
            self.script.kill()
            self.script.wait()
        wait_until(lambda: not self.left(), 60, "nothing to be left")

    def left(self):
        """Command lines of processes that have to do with the test's directory, but for this one."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode("utf-8", "replace")
                with open("/proc/%s/environ" % pid, "rb") as f:
                    mine = ("TMPDIR=" + self.tmp).encode() in f.read().split(b"\0")
            except OSError:
                continue
            if int(pid) != os.getpid() and (mine or self.tmp in line):
                found.append(line)
        return found

    def said(self):
        with open(self.out, encoding="utf-8") as f:
            return f.read()

    def start(self, *args):
        """Until it says that the fleet is ready; takes its table of parts."""
        with open(self.out, "wb") as out:
            self.script = subprocess.Popen([SCRIPT, "--any-ports", "--data-dir", self.data, *args], stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=out, env=self.env(), cwd=self.tmp)
        wait_until(lambda: "\nLogs: " in self.said() or self.script.poll() is not None, 200, "the fleet to be ready")
        self.assertIsNone(self.script.poll(), self.said())
        self.parts = {m[1]: (m[2], int(m[3])) for m in re.finditer(r"^  (\w+) +(\w+://\S+?)/? .*?(\d+)$", self.said(), re.M)}

    def stop(self, number):
        self.script.send_signal(number)
        status = self.script.wait(200 * SLOW)
        self.assertEqual(self.left(), [])
        return status

    def logs(self):
        return "\n".join("%s: %s" % (name, "\n    ".join(last_lines(os.path.join(self.data, "logs", name), 40)))
                         for name in sorted(os.listdir(os.path.join(self.data, "logs"))))

    def publish(self, part, count):
        url = self.parts[part][0] + "/v1/observer/event"
        ops = [{"endpoint": "/e", "success": n % 2 == 0, "session_id": "%s-%d" % (part, n)} for n in range(count)]
        request = urllib.request.Request(url, json.dumps(ops).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30 * SLOW) as answer:
            self.assertEqual(json.load(answer)["count"], count)

    def summary(self, part):
        try:
            with urllib.request.urlopen(self.parts[part][0] + "/v1/observer/summary?scope=cluster", timeout=30 * SLOW) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            return None

    def wait_count(self, part, count):
        """The whole fleet has these ops, each once."""
        def counted():
            found = self.summary(part)
            return found is not None and not found["cluster"]["missing"] and found["lifetime"]["total"] >= count
        try:
            wait_until(counted, 90, "%d ops of a whole fleet" % count)
        except AssertionError as e:
            raise AssertionError("%s: %r\n%s\n%s" % (e, self.summary(part), self.said(), self.logs())) from None
        found = self.summary(part)
        self.assertEqual((found["lifetime"]["total"], found["cluster"]["rows"]["duplicate"]), (count, 0))

    def test_a_fleet_loses_a_worker_and_goes_on(self):
        self.start()
        self.assertEqual(sorted(self.parts), ["edge1", "edge2", "nats1", "nats2", "nats3", "worker1", "worker2"])
        self.publish("edge1", 300)
        self.publish("edge2", 200)
        self.wait_count("worker2", 500)
        os.kill(self.parts["worker1"][1], signal.SIGKILL)
        self.publish("edge2", 100)
        self.wait_count("edge1", 600)
        wait_until(lambda: "worker1 was killed by signal 9" in self.said(), 30, "the death to be told")
        wait_until(lambda: "worker1 is started again" in self.said(), 90, "the worker to be started again")
        self.assertEqual(self.stop(signal.SIGINT), 130, self.said())
        self.assertIn("stopping edges\nstopping workers\nstopping nats-servers\n", self.said())

        self.start("--workers", "1")
        self.wait_count("worker1", 600)
        second = subprocess.run([SCRIPT, "--data-dir", self.data], capture_output=True, text=True, env=self.env(), check=False)
        self.assertEqual((second.returncode, second.stderr),
                         (1, "run-cluster: another fleet runs in %s\n" % self.data))
        self.script.kill()  # what it has started ends all the same
        self.script.wait()
        wait_until(lambda: not self.left(), 60, "nothing to be left")

    def test_the_demo_is_of_many(self):
        """Each edge's made-up fleet counts, and none is another's again."""
        self.start("--demo", "--workers=1")

        def both():
            found = self.summary("worker1")
            return found is not None and found["lifetime"]["total"] > 600 and found
        found = wait_until(both, 90, "made-up ops")
        self.assertEqual(found["cluster"]["rows"]["duplicate"], 0)
        self.assertEqual(self.stop(signal.SIGTERM), 143, self.said())
        self.assertIn("stopping the made-up fleet\n", self.said())

    def test_a_start_that_fails_says_which_part(self):
        done = subprocess.run([SCRIPT, "--any-ports", "--", "--ring", "many"], capture_output=True, text=True, env=self.env(), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"run-cluster: edge1 ended with status 2 before it was ready\. "
                                      r"The end of \S+/logs/edge1\.log:\n +observerd: .*ring")
        self.assertEqual(self.left(), [])

    def test_it_is_used_wrongly(self):
        for args, why in ((["--edges", "9"], "--edges: must be a number from 1 to 8, not '9'"),
                          (["--workers"], "--workers: its value is missing"), (["--nodes", "3"], "--nodes: no such option")):
            done = subprocess.run([SCRIPT, *args], capture_output=True, text=True, env=self.env(), check=False)
            self.assertEqual((done.returncode, done.stderr), (2, "run-cluster: %s (--help says what there is)\n" % why))
        done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, env=self.env(), check=True)
        self.assertIn("scripts/run-cluster.sh [OPTION...]", done.stdout)


if __name__ == "__main__":
    main()
