"""deploy/observerd.service: how much it leaves open, what a drop-in may say, and a daemon under its filter of system calls. A real
systemd runs it in scripts/systemd_test.sh."""

import glob
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest

from harness import OBSERVERD, ROOT, SLOW, DaemonTest, main, wait_until
from keys import KeyFile
from model_server import ModelServer

UNIT = os.path.join(ROOT, "deploy", "observerd.service")
OVERRIDE = os.path.join(ROOT, "deploy", "observerd-override.conf")
ANALYZE = shutil.which("systemd-analyze")
NOBODY = 65534

# Runs a program with no other system calls than those named in a file; the rest fail with EPERM.
FILTERED = """
import ctypes, errno, os, sys
ALLOW, FAIL, NO_NEW_PRIVS = 0x7FFF0000, 0x00050000 | errno.EPERM, 38
library = ctypes.CDLL("libseccomp.so.2")
library.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(library.seccomp_init(FAIL))
for name in open(sys.argv[1]).read().split():
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number >= 0 and library.seccomp_rule_add(context, ALLOW, number, 0) != 0:
        sys.exit("no rule for " + name)
if library.seccomp_load(context) != 0:
    sys.exit("the filter cannot be loaded")
os.execv(sys.argv[2], sys.argv[2:])
"""


with open(OBSERVERD, "rb") as program:
    SANITIZED = re.search(rb"__[at]san_init", program.read()) is not None


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def analyze(*args):
    return subprocess.run([ANALYZE, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * SLOW, check=False)


def of_package(unit):
    """As deploy/debian/rules changes it."""
    changed = re.search(r"sed 's,\^(.*)\$\$,(.*),'", read(os.path.join(ROOT, "deploy", "debian", "rules")))
    return unit.replace(changed.group(1), changed.group(2).replace("\\n", "\n"))


@unittest.skipUnless(ANALYZE, "systemd-analyze is not there (package systemd)")
class Unit(DaemonTest):
    def test_exposure(self):
        for unit in (read(UNIT), of_package(read(UNIT))):
            done = analyze("security", "--no-pager", "--offline=true", write(os.path.join(self.tmp, "observerd.service"), unit))
            found = re.search(r"Overall exposure level for observerd\.service: ([0-9.]+) ", done.stdout)
            self.assertTrue(found, done.stdout)
            self.assertLessEqual(float(found.group(1)), 1.0, done.stdout)

    def test_is_understood(self):
        """systemd-analyze complains of each name and value that it does not know."""
        place = write(os.path.join(self.tmp, "observerd.service"), read(UNIT).replace("/usr/bin/observerd", OBSERVERD))
        every = re.sub(r"^#(?=[A-Z][A-Za-z]*=)", "", read(OVERRIDE), flags=re.M)
        self.assertGreater(len(re.findall(r"^[A-Z]\w*=", every, re.M)), 15)
        for override in (read(OVERRIDE), every):
            write(place + ".d/override.conf", override)
            done = analyze("verify", "--man=no", place)
            self.assertEqual([line for line in done.stdout.splitlines() if "observerd" in line], [])
        write(place + ".d/override.conf", "[Service]\nNonsense=1\n")
        self.assertIn("Nonsense", analyze("verify", "--man=no", place).stdout)  # that is how it complains of one here

    def allowed(self):
        """The system calls that the unit allows."""
        known = {}
        for line in analyze("syscall-filter", "--no-pager").stdout.splitlines():
            if line.startswith("@"):
                names = known.setdefault(line.strip(), [])
            elif line.startswith("    ") and not line.strip().startswith("#"):
                names.append(line.strip())

        def calls(name):
            return set().union(*map(calls, known[name])) if name.startswith("@") else {name}

        out = set()
        for words in re.findall(r"^SystemCallFilter=(.*)$", read(UNIT), re.M):
            found = set().union(*map(calls, words.lstrip("~").split()))
            out = out - found if words.startswith("~") else out | found
        return out | calls("@default")

    def test_under_its_filter(self):
        """What the unit does not allow fails with EPERM, and ends nothing: the daemon records, asks a model, and stops."""
        if SANITIZED:
            self.skipTest("sanitizers need more system calls")
        self.assertIn("\nSystemCallErrorNumber=EPERM\n", read(UNIT))
        model = ModelServer.start(self)
        args = ["--cycle", "50ms", "--openai-url", model.url, "--redact-pattern", "TICKET=TK-[0-9]{6}"]
        daemon = self.make(args=args)
        plain = daemon.command()
        calls = write(os.path.join(self.tmp, "calls"), "\n".join(sorted(self.allowed())))
        daemon.command = lambda: [sys.executable, "-c", FILTERED, calls] + plain
        daemon.start()
        for _ in range(4):
            daemon.post("/v1/observer/event", {"endpoint": "/a", "success": False, "error": "the upstream refused TK-123456"})
        daemon.wait_total(4)
        wait_until(lambda: model.requests("/v1/chat/completions"), 30, "a question to the model")
        self.assertIn("[TICKET_", daemon.journal_rows()[0]["error"])
        self.assertEqual(self.niceness(daemon), {os.nice(0)})
        daemon.stop()
        self.assertNotIn("Operation not permitted", daemon.stderr())

    def test_threads_step_back(self):
        """From where the daemon is started: none gets in front of those who record."""
        daemon = self.make()
        plain = daemon.command()
        daemon.command = lambda: ["nice", "-n", "7"] + plain
        found = self.niceness(daemon.start())
        self.assertEqual(min(found), os.nice(0) + 7)
        self.assertGreater(max(found), os.nice(0) + 7)

    def niceness(self, daemon):
        found = set()
        for task in glob.glob("/proc/%d/task/*/stat" % daemon.pid):
            found.add(int(read(task).rsplit(")", 1)[1].split()[16]))
        return found


@unittest.skipUnless(os.geteuid() == 0, "needs root, to run a daemon as another user")
class Credentials(DaemonTest):
    """Files that systemd hands to a service: its own on a ramfs, or root's with an access list elsewhere."""

    def hand(self, path, uid, gid, mode, listed):
        """Owner and mode; `listed`: an access list lets NOBODY read, and its mask are the group's bits of the mode."""
        os.chown(path, uid, gid)
        os.chmod(path, mode)
        if listed:
            everybody = 0xFFFFFFFF
            entries = ((1, mode >> 6 & 7, everybody), (2, 4, NOBODY), (4, 0, everybody), (16, mode >> 3 & 7, everybody),
                       (32, mode & 7, everybody))
            try:
                os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries))
            except OSError as e:
                self.skipTest("no access lists here: %s" % e)
        self.assertEqual(os.stat(path).st_mode & 0o777, mode)

    def test_what_is_taken(self):
        os.chmod(self.tmp, 0o755)
        folder = os.path.join(self.tmp, "credentials")
        os.mkdir(folder)
        keys = KeyFile(os.path.join(folder, "keys"))
        key = keys.add("admin", "admin")
        url = write(os.path.join(folder, "chat"), "http://127.0.0.1:1/\n")
        rules = write(os.path.join(folder, "rules.json"), json.dumps({"rules": [], "receivers": {"chat": {"slack_url_file": url}}}))
        os.chmod(rules, 0o644)
        for uid, gid, mode, listed, taken in ((NOBODY, 0, 0o400, False, True), (0, 0, 0o440, True, True), (0, NOBODY, 0o440, False, True),
                                              (0, 0, 0o444, True, False), (0, 0, 0o460, True, False), (NOBODY, 0, 0o440, False, False)):
            with self.subTest(uid=uid, gid=gid, mode=oct(mode), listed=listed):
                for path in (keys.path, url):
                    self.hand(path, uid, gid, mode, listed)
                args = ["--rules", rules] + (["--keys", keys.path] if taken else [])
                daemon = self.as_nobody(args).start()
                self.assertEqual("others can read %s" % url in daemon.stderr(), not taken)
                if taken:
                    self.assertEqual(daemon.get("/stats").status, 401)
                    self.assertEqual(daemon.get("/stats", {"x-api-key": key}).status, 200)
                else:
                    code, said = self.as_nobody(["--keys", keys.path]).run_to_exit()
                    self.assertEqual(code, 1)
                    self.assertIn("keys: %s: mode %04o: others can read it, must be 0600" % (keys.path, mode), said)
                daemon.stop()

    def as_nobody(self, args):
        daemon = self.make(None, args, pull=None, sub=None, rep=None)
        plain = daemon.command()
        daemon.command = lambda: ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"] + plain
        return daemon


if __name__ == "__main__":
    main()
