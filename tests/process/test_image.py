"""The tree of the container image (scripts/image_tree.sh, the steps of deploy/Dockerfile), with observerd as process 1 of a namespace
of its own, as user 65532, on a root that is read-only. Needs root."""

import json
import os
import re
import signal
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import BUILD, ROOT, SLOW, DaemonTest, free_port, wait_until
from keys import KeyFile, id_of

USER = 65532
SIZE_MAX = 40e6
with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as f:
    SANITIZED = re.search(r"(?m)^CMAKE_C_FLAGS:.*-fsanitize", f.read()) is not None


def makes_namespaces():
    """Not where others than root are, nor in a tree that is no mount of its own."""
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "true"], stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


@unittest.skipUnless(makes_namespaces(), "namespaces cannot be made here")
@unittest.skipIf(SANITIZED, "a build with sanitizers becomes no image")
class ImageTest(DaemonTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tree = os.path.join(BUILD, "image-tree")
        subprocess.run(["rm", "-rf", cls.tree], check=True)
        subprocess.run([os.path.join(ROOT, "scripts", "image_tree.sh"), BUILD, cls.tree], check=True, stdout=subprocess.PIPE)

    def run_image(self, *args, starts=True, **env):
        """observerd as process 1; what it prints goes to files. Its /data and /etc/ssl are this test's."""
        data, etc = os.path.join(self.tmp, "data"), os.path.join(self.tmp, "etc")
        os.makedirs(etc, 0o755, exist_ok=True)
        if not os.path.isdir(data):
            os.mkdir(data, 0o700)
            os.chown(data, USER, USER)
        self.port = free_port()
        self.out, self.err = os.path.join(self.tmp, "out"), os.path.join(self.tmp, "err")
        inside = ("mount --bind -o ro {tree} {tree} && mount -o remount,bind,ro {tree} && mount --bind {data} {tree}/data && "
                  "mount --bind {etc} {tree}/etc/ssl && exec unshare --pid --fork --kill-child chroot --userspec={user}:{user} {tree} "
                  "/usr/bin/observerd \"$@\"").format(tree=self.tree, data=data, etc=etc, user=USER)
        variables = dict({"PATH": os.environ["PATH"], "OBSERVER_DATA_DIR": "/data", "OBSERVER_HTTP": "http://127.0.0.1:%d" % self.port,
                          "OBSERVER_PULL": "none", "OBSERVER_SUB": "none", "OBSERVER_REP": "none", "OBSERVER_FEED": "none"}, **env)
        with open(self.out, "w", encoding="utf-8") as out, open(self.err, "w", encoding="utf-8") as err:
            self.shell = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh", *args],
                                          stdout=out, stderr=err, env=variables)
        self.first = None
        self.addCleanup(self.end)
        if starts:
            self.first = wait_until(self.find_first, 30, "process 1")

    def said(self):
        with open(self.err, encoding="utf-8") as f:
            return f.read()

    def find_first(self):
        """The process that is 1 in its own namespace, once it has handlers for signals."""
        self.assertIsNone(self.shell.poll(), self.said())
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/status" % pid, encoding="utf-8") as f:
                    status = f.read()
                if re.search(r"(?m)^Name:\tobserverd$", status) and re.search(r"(?m)^NSpid:.*\t1$", status) and \
                        int(re.search(r"(?m)^SigCgt:\t([0-9a-f]+)$", status).group(1), 16) >> (signal.SIGTERM - 1) & 1 and \
                        os.path.realpath("/proc/%s/root" % pid) == os.path.realpath(self.tree):
                    return int(pid)
            except OSError:
                continue
        return None

    def end(self):
        if self.first is not None and self.shell.poll() is None:
            os.kill(self.first, signal.SIGKILL)  # of a user of its own: it does not die with the one that started it
        if self.shell.poll() is None:
            self.shell.kill()
        self.shell.wait()

    def url(self, path):
        return "http://127.0.0.1:%d%s" % (self.port, path)

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.url("/readyz"), timeout=10) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def inside(self, *command):
        """Runs a command of the image in the running container's namespaces."""
        return subprocess.run(["nsenter", "--target", str(self.first), "--pid", "--mount", "--root", "--wd", "--setuid", str(USER),
                               "--setgid", str(USER), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={}, timeout=60 * SLOW, check=False)

    def test_what_is_in_it(self):
        names, size = [], 0
        for folder, _, files in os.walk(self.tree):
            for name in files:
                path = os.path.join(folder, name)
                names.append(os.path.relpath(path, self.tree))
                size += os.lstat(path).st_size
        self.assertLess(size, SIZE_MAX)
        programs = [n for n in names if re.match(r"(usr/)?s?bin/", n)]
        self.assertEqual(sorted(programs), ["usr/bin/observerctl", "usr/bin/observerd"])
        self.assertEqual([n for n in names if re.search(r"\.(a|h|py|sh|pl)$", n)], [])
        with open(os.path.join(self.tree, "usr/share/doc/observer/observer.cdx.json"), encoding="utf-8") as f:
            packages = {c["name"] for c in json.load(f)["components"]}
        self.assertLessEqual({"libc6", "libnng1" if "libnng1" in packages else "libnng2"}, packages)

    def test_a_life(self):
        self.run_image()
        wait_until(self.is_ready, 30, "readiness")
        post = urllib.request.Request(self.url("/v1/observer/event"), json.dumps({"endpoint": "/image", "success": True}).encode(),
                                      {"content-type": "application/json"})
        self.assertEqual(json.load(urllib.request.urlopen(post, timeout=30))["accepted"], True)
        health = self.inside("/usr/bin/observerctl", "status", "--ready", "--url", self.url(""))
        self.assertEqual((health.returncode, health.stdout), (0, "ready\n"))
        stat = os.stat(os.path.join(self.tmp, "data", "ops.jsonl"))
        self.assertEqual((stat.st_uid, stat.st_mode & 0o777), (USER, 0o600))
        # What is left to process 1 is reaped: an orphan that ends leaves no zombie.
        subprocess.run(["nsenter", "--target", str(self.first), "--pid", "sh", "-c", "(sleep 0.1; exit 0) & exit 0"], check=True)
        wait_until(lambda: self.children() == [], 30, "the orphan's end")
        os.kill(self.first, signal.SIGTERM)
        self.assertEqual(self.shell.wait(30 * SLOW), 0)
        self.assertIn("stopped", self.said())

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.first, self.first), encoding="utf-8") as f:
            return f.read().split()

    def test_a_signal_while_it_reads_its_journal(self):
        data = os.path.join(self.tmp, "data")
        os.mkdir(data, 0o700)
        os.chown(data, USER, USER)
        os.mkfifo(os.path.join(data, "config.ini"))
        os.chown(os.path.join(data, "config.ini"), USER, USER)
        self.run_image(OBSERVER_CONFIG="/data/config.ini")  # it waits for whoever writes it: signals are not read yet
        os.kill(self.first, signal.SIGTERM)
        self.assertEqual(self.shell.wait(30 * SLOW), 128 + signal.SIGTERM)

    def test_keys_as_kubernetes_mounts_them(self):
        os.mkdir(os.path.join(self.tmp, "etc"), 0o755)
        keys = KeyFile(os.path.join(self.tmp, "etc", "keys.json"))
        key = keys.add("reader", "read")
        for uid, gid, mode, taken in ((0, USER, 0o440, True), (0, USER, 0o640, True), (0, USER, 0o660, False), (0, USER, 0o444, False),
                                      (USER, USER, 0o440, False)):
            os.chown(keys.path, uid, gid)
            os.chmod(keys.path, mode)
            self.run_image("--keys", "/etc/ssl/keys.json", starts=taken)
            if taken:
                wait_until(self.is_ready, 30, "readiness with mode %o" % mode)
                ask = urllib.request.Request(self.url("/v1/observer/key"), headers={"x-api-key": key})
                self.assertEqual(json.load(urllib.request.urlopen(ask, timeout=30))["id"], id_of(key))
                os.kill(self.first, signal.SIGTERM)
                self.assertEqual(self.shell.wait(30 * SLOW), 0)
            else:
                self.assertNotEqual(self.shell.wait(30 * SLOW), 0)
                self.assertIn("keys: /etc/ssl/keys.json: mode %04o: others can read it, must be 0600" % mode, self.said())


if __name__ == "__main__":
    unittest.main()
