"""What the process tests share: a real observerd in a temporary directory, small clients for its sockets, msgpack.

Only the standard library is used. Environment:
  OBSERVER_BUILD   folder that holds observerd (default: build/ of this tree)
  OBSERVER_WRAP    command put in front of observerd, e.g. "setarch -R" (it must exec)
  OBSERVER_SLOW    factor for every deadline (default 1; sanitizer builds want 4 or so)
"""

import glob
import http.client
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from urllib.parse import urlsplit

from described import check_answer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("OBSERVER_BUILD") or os.path.join(ROOT, "build"))
OBSERVERD = os.path.join(BUILD, "observerd")
SLOW = float(os.environ.get("OBSERVER_SLOW", "1"))
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:")
KINDS = ("http", "pull", "sub", "rep", "feed")


def wait_until(predicate, seconds=10.0, what="the condition"):
    """Polls until predicate() is true and returns its value; fails after the deadline."""
    end = time.monotonic() + seconds * SLOW
    pause = 0.001
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("deadline of %g s passed: %s" % (seconds * SLOW, what))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


_ports = itertools.count()


def free_port():
    """A TCP port for a test that needs its number before somebody listens there. Not of the range from which port 0 is
    served: nobody else's listener can turn up there while the test's own one is away."""
    while True:
        port = 10000 + (os.getpid() * 32 + next(_ports)) % 22000
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


# --- msgpack ---------------------------------------------------------------------------------------------------------


def pack(value):
    """msgpack bytes of None, bool, int, float, str, bytes, list, tuple, dict."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        return _pack_head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, (bytes, bytearray)):
        return _pack_head(len(value), None, 0, (0xC4, 0xC5, 0xC6)) + bytes(value)
    if isinstance(value, (list, tuple)):
        return _pack_head(len(value), 0x90, 16, (None, 0xDC, 0xDD)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        body = b"".join(pack(k) + pack(v) for k, v in value.items())
        return _pack_head(len(value), 0x80, 16, (None, 0xDE, 0xDF)) + body
    raise TypeError(type(value))


def _pack_int(n):
    if 0 <= n < 128 or -32 <= n < 0:
        return struct.pack(">b" if n < 0 else ">B", n)
    for marker, form, low, high in ((0xCC, ">B", 0, 2**8), (0xD0, ">b", -(2**7), 0), (0xCD, ">H", 0, 2**16),
                                    (0xD1, ">h", -(2**15), 0), (0xCE, ">I", 0, 2**32), (0xD2, ">i", -(2**31), 0),
                                    (0xCF, ">Q", 0, 2**64), (0xD3, ">q", -(2**63), 0)):
        if low <= n < high:
            return bytes([marker]) + struct.pack(form, n)
    raise OverflowError(n)


def _pack_head(n, fix, fix_limit, markers):
    if fix is not None and n < fix_limit:
        return bytes([fix | n])
    for marker, form, limit in zip(markers, (">B", ">H", ">I"), (2**8, 2**16, 2**32)):
        if marker is not None and n < limit:
            return bytes([marker]) + struct.pack(form, n)
    raise OverflowError(n)


def unpack(data):
    """The one value that `data` holds; ValueError when there is more or less."""
    value, at = _unpack(data, 0)
    if at != len(data):
        raise ValueError("%d bytes left over" % (len(data) - at))
    return value


def unstamped(message):
    """The payload of a message from libobserver, whose topic ends in a stamp (proto/framing.md)."""
    topic, nul, payload = message.partition(b"\0")
    return payload if nul and re.search(rb";sent_at=[0-9]{13};by=[0-9a-f]{16}$", topic) else message


def unpack_all(data):
    """The values that stand in `data` one after another."""
    values, at = [], 0
    while at < len(data):
        value, at = _unpack(data, at)
        values.append(value)
    return values


def _unpack(d, at):
    b = d[at]
    at += 1
    if b < 0x80:
        return b, at
    if b >= 0xE0:
        return b - 256, at
    if b < 0x90:
        return _unpack_map(d, at, b & 15)
    if b < 0xA0:
        return _unpack_list(d, at, b & 15)
    if b < 0xC0:
        return d[at : at + (b & 31)].decode(), at + (b & 31)
    if b in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[b], at
    scalars = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h",
               0xD2: ">i", 0xD3: ">q"}
    if b in scalars:
        size = struct.calcsize(scalars[b])
        return struct.unpack_from(scalars[b], d, at)[0], at + size
    sizes = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I",
             0xDE: ">H", 0xDF: ">I"}
    if b not in sizes:
        raise ValueError("marker 0x%02x" % b)
    n = struct.unpack_from(sizes[b], d, at)[0]
    at += struct.calcsize(sizes[b])
    if b <= 0xC6:
        return bytes(d[at : at + n]), at + n
    if b <= 0xDB:
        return d[at : at + n].decode(), at + n
    return _unpack_list(d, at, n) if b <= 0xDD else _unpack_map(d, at, n)


def _unpack_list(d, at, n):
    out = []
    for _ in range(n):
        value, at = _unpack(d, at)
        out.append(value)
    return out, at


def _unpack_map(d, at, n):
    out = {}
    for _ in range(n):
        key, at = _unpack(d, at)
        out[key], at = _unpack(d, at)
    return out, at


# --- scalability protocols over TCP and IPC ---------------------------------------------------------------------------

PUSH, PULL, PUB, SUB, REQ, REP = 0x50, 0x51, 0x20, 0x21, 0x30, 0x31


class SpError(OSError):
    """The peer went away or did not speak the protocol expected."""


class Sp:
    """One connection: 8 bytes of greeting each way, then messages with a 64-bit big-endian length. An ipc message has a
    byte 1 in front of the length."""

    def __init__(self, url, proto, peer, timeout=10.0):
        self.ipc = url.startswith("ipc://")
        if self.ipc:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout * SLOW)
            self.sock.connect(url[len("ipc://") :])
        else:
            parts = urlsplit(url)
            self.sock = socket.create_connection((parts.hostname, parts.port), timeout * SLOW)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.greet(proto, peer)
        except OSError:
            self.sock.close()
            raise

    @classmethod
    def accepted(cls, sock, proto, peer, timeout=10.0):
        """Takes over a connection that a listener of the test has accepted (tcp)."""
        self = cls.__new__(cls)
        self.ipc = False
        self.sock = sock
        sock.settimeout(timeout * SLOW)
        self.greet(proto, peer)
        return self

    def greet(self, proto, peer):
        self.sock.sendall(b"\0SP\0" + struct.pack(">HH", proto, 0))
        answer = self.read_exactly(8)
        if answer != b"\0SP\0" + struct.pack(">HH", peer, 0):
            raise SpError("unexpected greeting %r" % answer)

    def read_exactly(self, n):
        parts = bytearray()
        while len(parts) < n:
            chunk = self.sock.recv(min(n - len(parts), 1 << 20))
            if not chunk:
                raise SpError("connection closed by the peer")
            parts += chunk
        return bytes(parts)

    def send(self, body):
        head = (b"\1" if self.ipc else b"") + struct.pack(">Q", len(body))
        self.sock.sendall(head + body)

    def recv(self):
        if self.ipc:
            self.read_exactly(1)
        return self.read_exactly(struct.unpack(">Q", self.read_exactly(8))[0])

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Push(Sp):
    """Sends to a PULL socket. close() does not say that the peer has read everything; the bytes are on their way."""

    def __init__(self, url, timeout=10.0):
        super().__init__(url, PUSH, PULL, timeout)


class Pub(Sp):
    """Sends to a SUB socket."""

    def __init__(self, url, timeout=10.0):
        super().__init__(url, PUB, SUB, timeout)


class Sub(Sp):
    """Receives from a PUB socket. Subscriptions are the receiver's: everything arrives, filter by prefix."""

    def __init__(self, url, timeout=10.0):
        super().__init__(url, SUB, PUB, timeout)


class Req(Sp):
    """Asks a REP socket. One request at a time."""

    def __init__(self, url, timeout=10.0):
        super().__init__(url, REQ, REP, timeout)
        self.id = 0x80000000 | (int.from_bytes(os.urandom(3), "big"))

    def send_request(self, body):
        self.id = 0x80000000 | ((self.id + 1) & 0x7FFFFFFF)
        self.send(struct.pack(">I", self.id) + body)

    def recv_reply(self):
        while True:
            reply = self.recv()
            if struct.unpack_from(">I", reply)[0] == self.id:
                return reply[4:]

    def request_raw(self, body):
        self.send_request(body)
        return self.recv_reply()

    def request(self, body):
        """Sends bytes, or anything else as msgpack, and returns the answer unpacked."""
        return unpack(self.request_raw(body if isinstance(body, (bytes, bytearray)) else pack(body)))


# --- the daemon -------------------------------------------------------------------------------------------------------


class Answer:
    """An HTTP answer. Unpacks as status, headers (lower-case names), json (text when it is not JSON)."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = body.decode("utf-8", "replace")

    def __iter__(self):
        return iter((self.status, self.headers, self.json))

    def __repr__(self):
        return "Answer(%d, %r)" % (self.status, self.body[:500])


class Daemon:
    """One observerd. `data_dir=None` makes it --ephemeral. Listeners take port 0 unless `args` or the keyword of a kind
    (a URL, a list of URLs, or None for `none`) says otherwise."""

    def __init__(self, work_dir, data_dir=None, args=(), env=None, **urls):
        self.work_dir, self.data_dir = work_dir, data_dir
        self.args, self.env = list(args), dict(env or {})
        self.sockets = {"http": "http://127.0.0.1:0", "pull": "tcp://127.0.0.1:0", "sub": "tcp://127.0.0.1:0",
                        "rep": "tcp://127.0.0.1:0", "feed": None}
        self.sockets.update(urls)
        self.process = None
        self.runs = 0
        self.urls = {}

    # -- life

    def command(self):
        out = shlex.split(os.environ.get("OBSERVER_WRAP", "")) + [OBSERVERD]
        for kind in KINDS:
            urls = self.sockets[kind]
            for url in [urls] if urls is None or isinstance(urls, str) else urls:
                out += ["--" + kind, url or "none"]
        out += ["--ephemeral"] if self.data_dir is None else ["--data-dir", self.data_dir]
        return out + self.args

    def spawn(self):
        """Starts the process and does not wait for it to be ready."""
        self.runs += 1
        self.stdout_path = os.path.join(self.work_dir, "stdout.%d" % self.runs)
        self.stderr_path = os.path.join(self.work_dir, "stderr.%d" % self.runs)
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("OBSERVER_") and k not in ("GATEWAY_URL", "LAKEHOUSE_URL", "LLM_TEAM_URL", "OPENAI_API_KEY",
                                                              "OVERSEER_CORRECTIONS_PATH")}
        env["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=" + os.path.join(ROOT, "tests", "process", "lsan.supp")
        env.update(self.env)
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env,
                                            cwd=self.work_dir)
        return self

    def start(self, seconds=30.0):
        """Starts and waits for the `ready` line."""
        self.spawn()
        wait_until(self.is_ready, seconds, "observerd ready")
        return self

    def is_ready(self):
        with open(self.stdout_path) as f:
            lines = f.read().split("\n")[:-1]
        if not any(line.startswith("ready") for line in lines):
            if self.process.poll() is not None:
                raise AssertionError("observerd ended with %d before it was ready:\n%s"
                                     % (self.process.returncode, self.stderr()[-4000:]))
            return False
        self.urls = {kind: [] for kind in KINDS}
        for line in lines:
            words = line.split()
            if len(words) == 2 and words[0] in self.urls:
                self.urls[words[0]].append(words[1])
        return True

    def url(self, kind, n=0):
        return self.urls[kind][n]

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds=30.0):
        """Waits for the process to end and returns its exit status (negative: the signal)."""
        return self.process.wait(seconds * SLOW)

    def hold(self):
        """SIGSTOP; none of its threads does anything more when this returns. SIGCONT goes on."""
        tasks = "/proc/%d/task" % self.process.pid

        def state(task):
            with open(os.path.join(tasks, task, "stat")) as f:
                return f.read().rsplit(")", 1)[1].split()[0]

        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: all(state(task) == "T" for task in os.listdir(tasks)), 10, "the daemon to stand still")

    def stop(self, seconds=30.0):
        """SIGTERM; the daemon must drain and exit 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.wait(seconds)
        self.check_sanitizers()
        assert code == 0, "observerd exited with %d after SIGTERM:\n%s" % (code, self.stderr()[-4000:])

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def restart(self, kill=False):
        """Ends it (SIGTERM, or SIGKILL) and starts it again on the same data directory. Ports may change."""
        if self.alive():
            self.kill() if kill else self.stop()
        return self.start()

    def end(self):
        """Cleanup: whatever state it is in, it is gone afterwards."""
        if self.alive():
            self.kill()

    def run_to_exit(self, seconds=30.0):
        """For a start that must fail: returns (exit status, stderr)."""
        self.spawn()
        code = self.wait(seconds)
        return code, self.stderr()

    # -- what it says

    def stderr(self, run=None):
        path = self.stderr_path if run is None else os.path.join(self.work_dir, "stderr.%d" % run)
        with open(path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def stdout(self):
        with open(self.stdout_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def check_sanitizers(self):
        for run in range(1, self.runs + 1):
            text = self.stderr(run)
            found = SANITIZER.search(text)
            assert not found, "sanitizer report in run %d:\n%s" % (run, text[max(0, found.start() - 500) :][:8000])

    # -- HTTP

    def rss(self):
        """Bytes of memory that it holds."""
        with open("/proc/%d/statm" % self.process.pid, encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def connect(self, timeout=30.0, n=0):
        parts = urlsplit(self.url("http", n))
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout * SLOW)

    def request(self, method, path, body=None, headers=None, timeout=30.0, described=True):
        """`body`: bytes or str as they are, anything else as JSON. The answer must be as proto/openapi.json describes it,
        unless `described` is false: rows that other programs wrote are shown as they are."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if body is not None and not any(k.lower() == "content-type" for k in headers):
            headers["content-type"] = "application/json"
        conn = self.connect(timeout)
        try:
            conn.request(method, path, body, headers)
            resp = conn.getresponse()
            answer = Answer(resp.status, {k.lower(): v for k, v in resp.getheaders()}, resp.read())
            if described:
                check_answer(method, path, answer.status, answer.headers, answer.body)
            return answer
        finally:
            conn.close()

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def stats(self):
        answer = self.get("/stats")
        assert answer.status == 200, answer
        return answer.json

    def wait_total(self, total, seconds=10.0):
        """Waits until /stats shows `total` ops in the ring; returns the stats."""
        last = {}

        def reached():
            last.update(self.stats())
            return last["total"] >= total

        try:
            wait_until(reached, seconds, "%d ops in /stats" % total)
        except AssertionError as e:
            raise AssertionError("%s; last: %r" % (e, last)) from None
        assert last["total"] == total, "more ops than expected: %r" % last
        return last

    # -- sockets

    def push(self, n=0, **kw):
        return Push(self.url("pull", n), **kw)

    def pub(self, n=0, **kw):
        return Pub(self.url("sub", n), **kw)

    def req(self, n=0, **kw):
        return Req(self.url("rep", n), **kw)

    def subscribe(self, n=0, **kw):
        return Sub(self.url("feed", n), **kw)

    # -- files

    def segments(self):
        """Journal files, oldest first."""
        return journal_segments(self.data_dir)

    def journal_lines(self):
        """Every row as bytes, without the newline; a torn last row is not one."""
        return journal_lines(self.data_dir)

    def journal_rows(self):
        return [json.loads(line) for line in self.journal_lines()]

    def rejected_rows(self):
        rows = []
        for name in ("rejected.1.jsonl", "rejected.jsonl"):
            path = os.path.join(self.data_dir, name)
            if os.path.exists(path):
                with open(path, "rb") as f:
                    rows += [json.loads(line) for line in f.read().split(b"\n")[:-1]]
        return rows


def learning_rows(daemon, name):
    """Rows of a file of the learning loops, whole lines, each of version 1; without the version, as the routes have them."""
    path = os.path.join(daemon.data_dir, name)
    if not os.path.exists(path):
        return []
    with open(path, "rb") as f:
        rows = [json.loads(line) for line in f.read().split(b"\n")[:-1]]
    for row in rows:
        assert list(row)[:2] == ["id", "v"] and row.pop("v") == 1, row
    return rows


def journal_segments(data_dir):
    rotated = [p for p in glob.glob(os.path.join(data_dir, "ops-*.jsonl"))
               if re.fullmatch(r"ops-\d+\.jsonl", os.path.basename(p))]
    rotated.sort(key=lambda p: int(re.search(r"ops-(\d+)\.jsonl$", p).group(1)))
    active = os.path.join(data_dir, "ops.jsonl")
    return rotated + ([active] if os.path.exists(active) else [])


def journal_lines(data_dir):
    lines = []
    for path in journal_segments(data_dir):
        with open(path, "rb") as f:
            lines += f.read().split(b"\n")[:-1]
    return lines


def last_lines(path, count):
    """Of a log that may be long: at most the last 64 KiB are read."""
    with open(path, "rb") as f:
        f.seek(max(0, os.fstat(f.fileno()).st_size - 65536))
        return f.read().decode("utf-8", "replace").splitlines()[-count:]


class DaemonTest(unittest.TestCase):
    """Gives each test a temporary directory and daemons that are gone, and checked for sanitizer reports, after it. Of a test
    that fails it prints what its daemons wrote to their standard error last, since their files do not outlive it."""

    maxDiff = None
    LOGS = ("daemon.*/stderr.*", "nats*/n*.log")  # of daemons, and of nats-servers (nats.py)
    LOG_LINES = 40

    def run(self, result=None):
        self.counted = result
        return super().run(result)

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="obs-test-")
        self.addCleanup(shutil.rmtree, self.tmp, True)
        self.addCleanup(self.show_logs_of_failure)
        self.daemons = 0

    def has_failed(self):
        """Failures of the test, of a subtest and of a clean-up are there at once since Python 3.11."""
        found = [test for test, _ in self.counted.failures + self.counted.errors] if self.counted is not None else []
        return any(getattr(test, "test_case", test) is self for test in found)

    def show_logs_of_failure(self):
        if not self.has_failed():
            return
        by_number = lambda path: [int(n) if n.isdigit() else n for n in re.split(r"(\d+)", path)]
        for pattern in self.LOGS:
            for path in sorted(glob.glob(os.path.join(self.tmp, pattern)), key=by_number):
                lines = last_lines(path, self.LOG_LINES)
                print("---- %s: %s, the end of %s" % (self.id(), "nothing" if not lines else "%d lines" % len(lines),
                                                     os.path.relpath(path, self.tmp)), file=sys.stderr)
                for line in lines:
                    print("    " + line, file=sys.stderr)

    def make(self, data_dir="data", args=(), env=None, **urls):
        """A daemon that is not started. `data_dir` is relative to the test's directory; None is --ephemeral."""
        self.daemons += 1
        work = os.path.join(self.tmp, "daemon.%d" % self.daemons)
        os.mkdir(work)
        daemon = Daemon(work, data_dir and os.path.join(self.tmp, data_dir), args, env, **urls)
        self.addCleanup(self.finish, daemon)
        return daemon

    def start(self, data_dir="data", args=(), env=None, **urls):
        return self.make(data_dir, args, env, **urls).start()

    def finish(self, daemon):
        """What still runs must stop in order, so that every test ends with the daemon's own leak check."""
        try:
            if daemon.alive():
                daemon.stop()
        finally:
            daemon.end()
            if daemon.runs:
                daemon.check_sanitizers()


class SmallDisk:
    """For a test class in front of DaemonTest: daemons on a file system of their own, of BYTES, in a mount namespace of theirs."""

    def setUp(self):
        super().setUp()
        self.mounted = os.path.join(self.tmp, "mounted")
        os.mkdir(self.mounted)
        probe = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", self.mounted], capture_output=True,
                               text=True, check=False)
        if probe.returncode != 0:
            self.skipTest("no mounts in a namespace here: " + probe.stderr.strip())

    def put_there(self, daemon):
        """Before its start: its data directory is on that file system."""
        daemon.data_dir = os.path.join(self.mounted, "data")
        plain = daemon.command()
        script = 'mount -t tmpfs -o size=%d none "$0" && exec "$@"' % self.BYTES
        daemon.command = lambda: ["unshare", "-rm", "sh", "-c", script, self.mounted] + plain

    def inside(self, daemon, path):
        """A path of that file system, as seen from here."""
        return "/proc/%d/root%s" % (daemon.pid, path)


def main():
    if not os.access(OBSERVERD, os.X_OK):
        raise SystemExit("no observerd at %s: set OBSERVER_BUILD" % OBSERVERD)
    unittest.main(verbosity=2)
