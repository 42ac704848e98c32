"""What the tests of observerctl's commands share."""

import json
import os
import socket
import subprocess

from harness import BUILD, SANITIZER, SLOW, DaemonTest

OBSERVERCTL = os.path.join(BUILD, "observerctl")


def free_url():
    """A URL where nothing listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "tcp://127.0.0.1:%d" % s.getsockname()[1]


class CtlTest(DaemonTest):
    def environment(self):
        """Without what the caller's own environment would say to observerctl."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        env["TSAN_OPTIONS"] = env.get("TSAN_OPTIONS", "") + ":atexit_sleep_ms=0"  # many short runs
        return env

    def ctl(self, *args, code=0, **kw):
        """Runs observerctl to its end; its exit status must be `code`. Output is text unless text=False is given."""
        kw.setdefault("text", True)
        if "input" not in kw:
            kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("env", self.environment())
        kw.setdefault("cwd", self.tmp)
        done = subprocess.run([OBSERVERCTL, *args], capture_output=True, timeout=60 * SLOW, **kw)
        err = done.stderr if kw["text"] else done.stderr.decode("utf-8", "replace")
        self.assertIsNone(SANITIZER.search(err), err)
        self.assertEqual(done.returncode, code, "%r\n%s%s" % (args, done.stdout, err))
        return done

    def spawn(self, *args, **kw):
        """Starts observerctl; it is gone after the test."""
        kw.setdefault("env", self.environment())
        kw.setdefault("cwd", self.tmp)
        process = subprocess.Popen([OBSERVERCTL, *args], **kw)
        self.addCleanup(self.reap, process)
        return process

    def reap(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def path(self, name, content=None):
        """A path in the test's folder; `content` is written there."""
        path = os.path.join(self.tmp, name)
        if content is not None:
            with open(path, "wb") as f:
                f.write(content.encode() if isinstance(content, str) else content)
        return path

    def result(self, *args, code=0, **kw):
        """The result of a command with --json."""
        return json.loads(self.ctl(*args, "--json", code=code, **kw).stdout)
