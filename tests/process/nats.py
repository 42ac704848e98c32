"""Real nats-servers with JetStream for the tests: Debian's package, a folder of their own, free ports.

    with Servers(folder) as nats:            # one server
    with Servers(folder, count=3) as nats:   # a cluster; streams may have three replicas
        nats.urls                            # of its servers
        nats.kill(0), nats.start(0)          # kill -9, and again with the same store
        nats.save("copy"), nats.restore("copy")   # the stores while no server runs: what a power cut can make of them

Tests that need them end early where the package cannot be installed (`available`); scripts/deps.sh test installs it.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import unittest
import urllib.request

from harness import BUILD, SLOW, free_port, wait_until

PROGRAM = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
TOOL = os.path.join(BUILD, "tests", "nats_tool")


def available():
    """Whether there is a server, and the build has NATS."""
    return PROGRAM is not None and subprocess.run([TOOL, "built-in"], check=False).returncode == 0


needs_nats = unittest.skipUnless(available(), "no nats-server, or a build without libnats")


class Servers:
    def __init__(self, folder, count=1, sync=None, extra="", scheme="nats", ready=True):
        """sync: sync_interval, such as "always" (a server of 2.10 or newer); extra: more of the configuration."""
        self.folder, self.count, self.sync, self.extra, self.scheme = folder, count, sync, extra, scheme
        self.ports = [free_port() for _ in range(count)]
        self.routes = [free_port() for _ in range(count)]
        self.monitors = [free_port() for _ in range(count)]
        self.processes = [None] * count
        os.makedirs(folder, exist_ok=True)
        for n in range(count):
            self.start(n, ready=False)
        if ready and count > 1:
            self.form()
        elif ready:
            self.wait()

    def address(self, n):
        """Of a server. (tests/long/fleet_net.py has servers with addresses of their own.)"""
        del n
        return "127.0.0.1"

    def command(self, n):
        return [PROGRAM, "-c", self.config(n)]

    @property
    def urls(self):
        return ["%s://%s:%d" % (self.scheme, self.address(n), port) for n, port in enumerate(self.ports)]

    def store(self, n):
        return os.path.join(self.folder, "store%d" % n)

    def config(self, n):
        sync = "  sync_interval: %s\n" % self.sync if self.sync else ""
        at = self.address(n)
        text = ('listen: "%s:%d"\nhttp: "%s:%d"\nserver_name: n%d\n%s\n'
                'jetstream {\n  store_dir: "%s"\n  max_mem: 64M\n  max_file: 4G\n%s}\n'
                % (at, self.ports[n], at, self.monitors[n], n, self.extra, self.store(n), sync))
        if self.count > 1:
            routes = ", ".join('"nats://%s:%d"' % (self.address(k), port) for k, port in enumerate(self.routes))
            text += 'cluster {\n  name: test\n  listen: "%s:%d"\n  routes: [%s]\n}\n' % (at, self.routes[n], routes)
        path = os.path.join(self.folder, "n%d.conf" % n)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def start(self, n=0, ready=True):
        with open(os.path.join(self.folder, "n%d.log" % n), "ab") as log:
            self.processes[n] = subprocess.Popen(self.command(n), stdout=log, stderr=log)
        if ready:
            self.wait()

    def ask(self, n, path):
        try:
            with urllib.request.urlopen("http://%s:%d%s" % (self.address(n), self.monitors[n], path), timeout=5) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def is_ready(self):
        """Each that runs serves JetStream; a cluster has a leader of its meta group, whom all follow. (Of a stream that nothing is
        written to a server that was killed may say for minutes that it is not current: clients need not wait for that.)"""
        running = [n for n in range(self.count) if self.processes[n] is not None]
        for n in running:
            health = self.ask(n, "/healthz?js-server-only=true" if self.count > 1 else "/healthz")
            if health is None or health.get("status") != "ok":
                return False
            if self.count > 1 and not ((self.ask(n, "/jsz") or {}).get("meta_cluster") or {}).get("leader"):
                return False
        return True

    def wait(self, seconds=60):
        wait_until(self.is_ready, seconds, "the nats-servers to be ready")

    def form(self):
        """A cluster for the first time. On a busy machine its group of leaders may form without one of them, for good: then
        it begins once more."""
        meta = lambda n: ((self.ask(n, "/jsz") or {}).get("meta_cluster") or {})
        whole = lambda: all(meta(n).get("cluster_size") == self.count for n in range(self.count))
        for left in (2, 1, 0):
            self.wait()
            try:
                return wait_until(whole, 20, "the nats-servers to know of each other")
            except AssertionError:
                if left == 0:
                    raise
            self.kill_all()
            for n in range(self.count):
                shutil.rmtree(self.store(n), ignore_errors=True)
                self.start(n, ready=False)

    def states(self):
        """What each server's own copy of each stream is: by stream, by server."""
        found = {}
        for n in range(self.count):
            for account in (self.ask(n, "/jsz?accounts=true&streams=true") or {}).get("account_details") or []:
                for stream in account.get("stream_detail") or []:
                    found.setdefault(stream["name"], {})[n] = stream["state"]
        return found

    def kill(self, n=0):
        """kill -9."""
        self.processes[n].kill()
        self.processes[n].wait()
        self.processes[n] = None

    def kill_all(self):
        for n in range(self.count):
            if self.processes[n] is not None:
                self.kill(n)

    def start_all(self):
        for n in range(self.count):
            if self.processes[n] is None:
                self.start(n, ready=False)
        self.wait()

    def empty(self, n):
        """Stops a server, takes all that it has stored away, and starts it again: it gets its copies from the others."""
        self.processes[n].terminate()
        try:
            self.processes[n].wait(10 * SLOW)
        except subprocess.TimeoutExpired:
            self.kill(n)
        shutil.rmtree(self.store(n))
        self.start(n, ready=False)

    def save(self, name):
        """Copies the stores. No server may run."""
        for n in range(self.count):
            shutil.copytree(self.store(n), os.path.join(self.folder, name, "store%d" % n))

    def restore(self, name):
        """The stores as they were then. No server may run."""
        for n in range(self.count):
            shutil.rmtree(self.store(n))
            shutil.copytree(os.path.join(self.folder, name, "store%d" % n), self.store(n))

    def stop(self):
        for n, process in enumerate(self.processes):
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(10 * SLOW)
            except subprocess.TimeoutExpired:
                self.kill(n)
            self.processes[n] = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Ear:
    """Hears each message that is published under the subject, also one that a stream refuses."""

    def __init__(self, url, subject):
        host, port = url.split("//")[1].split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30 * SLOW)
        self.stream = self.socket.makefile("rb")
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB %s 1\r\nPING\r\n' % subject.encode())
        while self.stream.readline() != b"PONG\r\n":
            pass

    def heard(self):
        """The headers of all until now."""
        found = []
        self.socket.sendall(b"PING\r\n")
        while True:
            words = self.stream.readline().split()
            if words[0] == b"PONG":
                return found
            if words[0] == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                message = self.stream.read(int(words[-1]) + 2)
                found.append(message[:int(words[-2])] if words[0] == b"HMSG" else b"")

    def close(self):
        self.stream.close()
        self.socket.close()


def tool(*args, url, options=(), check=True, quiet=False):
    """Runs nats_tool; its output as rows of JSON."""
    done = subprocess.run([TOOL, *options, *args[:1], url, *map(str, args[1:])], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL if quiet else None, timeout=120 * SLOW, check=check)
    return [json.loads(line) for line in done.stdout.splitlines()]


def feed(messages, *, url, subject="observer.in.test", depth=256, options=()):
    """Stores each message (bytes, or what is then JSON) under the subject; how many the stream has taken and refused."""
    lines = b"".join(base64.b64encode(m if isinstance(m, bytes) else json.dumps(m).encode()) + b"\n" for m in messages)
    done = subprocess.run([TOOL, *options, "feed", url, subject, str(depth)], input=lines, stdout=subprocess.PIPE,
                          timeout=120 * SLOW, check=True)
    return json.loads(done.stdout)


def letters(stream="OBSERVER_DEAD", *, url):
    """The messages of a stream, as (subject, headers, bytes)."""
    state = tool("ask", "$JS.API.STREAM.INFO." + stream, "", url=url)[0]["state"]
    found = []
    for seq in range(max(1, state["first_seq"]), state["last_seq"] + 1):
        answer = tool("ask", "$JS.API.STREAM.MSG.GET." + stream, json.dumps({"seq": seq}), url=url)[0]
        if "message" not in answer:
            continue
        message = answer["message"]
        lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines if ": " in line)
        found.append((message["subject"], headers, base64.b64decode(message.get("data", ""))))
    return found
