"""What the tests of libobserver share: a daemon at fixed ports, and tests/process/client_tool.c as the producer."""

import json
import os
import re
import shlex
import subprocess

from harness import BUILD, SANITIZER, SLOW, DaemonTest, free_port, journal_segments

TOOL = os.path.join(BUILD, "tests", "client_tool")
SIG = re.compile(rb'"sig_hash":"(\d+)"')


def free_ports(n):
    return [free_port() for _ in range(n)]


class Tool:
    """One run of client_tool."""

    def __init__(self, tmp, preexec_fn=None, wrap=(), **arguments):
        words = []
        for name, value in arguments.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                words.append("%s=%s" % (name, one))
        self.stderr_path = os.path.join(tmp, "tool.%d" % len(os.listdir(tmp)))
        command = shlex.split(os.environ.get("OBSERVER_WRAP", "")) + list(wrap) + [TOOL] + words
        with open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                                            preexec_fn=preexec_fn)

    def ready(self):
        """For end=hold: waits until everything is published (and flushed)."""
        line = self.process.stdout.readline()
        assert line == b"ready\n", (line, self.stderr())
        return self

    def stderr(self):
        with open(self.stderr_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def result(self, seconds=60, code=0):
        """Lets it end and returns what it printed."""
        try:
            out, _ = self.process.communicate(timeout=seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("client_tool did not end:\n" + self.stderr()) from None
        text = self.stderr()
        assert not SANITIZER.search(text), text[:8000]
        assert self.process.returncode == code, (self.process.returncode, out, text)
        return json.loads(out)

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.alive():
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


class ClientTest(DaemonTest):
    def setUp(self):
        super().setUp()
        pull, sub, rep = free_ports(3)
        self.urls = {"push": "tcp://127.0.0.1:%d" % pull, "pub": "tcp://127.0.0.1:%d" % sub,
                     "ack": "tcp://127.0.0.1:%d" % rep}

    def make_daemon(self, **kw):
        return self.make(pull=self.urls["push"], sub=self.urls["pub"], rep=self.urls["ack"], **kw)

    def start_daemon(self, **kw):
        return self.make_daemon(**kw).start()

    def tool(self, mode, **arguments):
        arguments.setdefault("url", self.urls[mode])
        tool = Tool(self.tmp, mode=mode, **arguments)
        self.addCleanup(tool.kill)
        return tool

    def numbers(self, daemon):
        """The number of every recorded op, in the journal's order."""
        found = []
        for path in journal_segments(daemon.data_dir):
            with open(path, "rb") as f:
                found += [int(n) for n in SIG.findall(f.read())]
        return found

    def check_exactly(self, daemon, numbers):
        """Each of these ops is in the journal once, and no other."""
        got = self.numbers(daemon)
        self.assertEqual((len(got), len(set(got))), (len(numbers), len(numbers)))
        self.assertEqual(set(got), set(numbers))

    def check_balance(self, counters):
        settled = sum(counters[k] for k in ("delivered", "rejected", "expired", "abandoned", "queued"))
        self.assertEqual(counters["published"] + counters["replayed"], settled, counters)
