"""Who may use the bus where there is a key file: every socket, over every kind of connection, by the listener's key, a user,
a client's certificate, or a key that a requester sends; keys that are revoked and expire meanwhile, and keys that are bound
to sources. What may not be recorded is nowhere, and every message counts."""

import base64
import json
import os
import socket
import ssl
import struct
import subprocess
from urllib.parse import urlsplit

from certificates import Authority
from harness import BUILD, PUB, PULL, PUSH, REP, REQ, SLOW, SUB, DaemonTest, Sp, SpError, main, pack, unpack, wait_until
from keys import KeyFile, id_of, new_key, with_other_secret
from test_feed_ws import BINARY, CLOSE, WebSocket

PEERS = {"pull": (PUSH, PULL), "sub": (PUB, SUB), "rep": (REQ, REP), "feed": (SUB, PUB)}
SCHEMES = ("tcp", "tls+tcp", "ipc", "ws", "wss")
PRIVATE = ("tls+tcp", "ipc", "wss")
NEEDS = {"pull": "ingest", "sub": "ingest", "rep": "ingest", "feed": "read"}
WRONG = "a valid key is needed"
QUESTION = {"advice": {"endpoint": "/a"}}


def op(endpoint="/a", **fields):
    return dict(endpoint=endpoint, **fields)


def not_as(source):
    return 'source: this key may not speak as "%s"' % source


class Socket(WebSocket):
    """A WebSocket of any of the bus' sockets, with messages of any size."""

    def send(self, body):
        size = len(body)
        head = bytes([0x80 | size]) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
        self.sock.sendall(bytes([0x80 | BINARY]) + head + bytes(4) + body)


class Peer:
    """One connection to a socket of the daemon, over whatever its URL says."""

    def __init__(self, test, kind, url, cert=None):
        scheme, parts = url.split("://")[0], urlsplit(url)
        context = None
        if scheme in ("tls+tcp", "wss"):
            context = ssl.create_default_context(cafile=test.ca.cert)
            if cert:
                context.load_cert_chain(cert.cert, cert.key)
        if scheme in ("ws", "wss"):
            self.way = Socket(url, kind.replace("feed", "pub") + ".sp.nanomsg.org", context=context)
            assert self.way.status == 101, self.way.status
        elif context:
            raw = socket.create_connection((parts.hostname, parts.port), 10 * SLOW)
            self.way = Sp.accepted(context.wrap_socket(raw, server_hostname=parts.hostname), *PEERS[kind])
        else:
            self.way = Sp(url, *PEERS[kind])
        test.addCleanup(self.way.close)
        self.id = 0x80000000
        self.kind = kind

    def send(self, body):
        """Bytes, or anything else as msgpack."""
        self.way.send(body if isinstance(body, bytes) else pack(body))

    def ask(self, body, through=()):
        """`through`: the words that devices put in front, each the number of one of its requesters."""
        self.id += 1
        body = body if isinstance(body, bytes) else pack(body)
        way = struct.pack(">%dI" % (len(through) + 1), *through, self.id)
        self.way.send(way + body)
        answer = self.way.recv()
        assert answer.startswith(way), answer
        return unpack(answer[len(way):])

    def give(self, body):
        """Ops, in the socket's way; returns what is answered, if anything is."""
        return self.ask(body) if self.kind == "rep" else self.send(body)

    def recv(self):
        return self.way.recv()

    def wait_for(self, topic):
        """A subscriber's next message of this topic; `stats` comes each second."""
        for _ in range(int(60 * SLOW)):
            if self.way.recv().startswith(topic + b"\0"):
                return
        raise AssertionError("no message of %r among many" % topic)

    def wait_closed(self, test):
        """It is closed by the daemon within the time of a look; a WebSocket says why."""
        with test.assertRaises((SpError, ConnectionError)):
            for _ in range(int(60 * SLOW)):  # a heartbeat a second at most
                if isinstance(self.way, WebSocket):
                    code = self.way.frame()
                    if code[0] == CLOSE:
                        test.assertEqual(struct.unpack(">H", code[2][:2]), (1008,))
                        raise SpError("closed")
                else:
                    self.way.recv()


class AccessTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.ca = Authority(self.tmp)
        self.server = self.ca.issue("server")
        self.keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        self.reader = self.keys.add("reader", "read")
        self.sockets = 0

    def url(self, scheme):
        self.sockets += 1
        if scheme == "ipc":
            return "ipc://%s" % os.path.join(self.tmp, "socket.%d" % self.sockets)
        return "%s://127.0.0.1:0%s" % (scheme, "/x" if scheme in ("ws", "wss") else "")

    def serve(self, key_file=True, args=(), tls=True, **urls):
        args = [*args, *(["--keys", self.keys.path] if key_file else [])]
        if tls:
            args += ["--tls-cert", self.server.cert, "--tls-key", self.server.key]
        return self.start(args=args, **{**dict.fromkeys(PEERS), **urls})

    def serve_all(self, keys, args=()):
        """Each socket of `keys` over all schemes, with that key; {} stands for none."""
        return self.serve(args=args, **{kind: [self.url(scheme) + ";key=" + id_of(key) for scheme in SCHEMES]
                                        for kind, key in keys.items()})

    def peer(self, daemon, kind, n=0, cert=None):
        return Peer(self, kind, daemon.url(kind, n), cert)

    def peers(self, daemon, kind):
        return [self.peer(daemon, kind, n) for n in range(len(SCHEMES))]

    def counts(self, daemon):
        """By socket: received, recorded, rejected; once nothing is in flight. The equation holds all the while."""
        def read():
            headers = {"authorization": "Bearer " + self.reader}
            counts = daemon.request("GET", "/v1/observer/health", headers=headers, described=False).json["transports"]
            for n in counts.values():
                self.assertEqual(n["received"], n["recorded"] + n["duplicate"] + n["rejected"] + n["in_flight"])
                self.assertEqual(n["duplicate"] + n["refused"], 0)
            if any(n["in_flight"] for n in counts.values()):
                return None
            return {kind: (counts[kind]["received"], counts[kind]["recorded"], counts[kind]["rejected"])
                    for kind in ("pull", "sub", "rep")}
        return wait_until(read, 10, "nothing in flight")

    def wait_counts(self, daemon, **expected):
        """pull=(received, recorded, rejected) and so on; what is not named has nothing."""
        want = {"pull": (0, 0, 0), "sub": (0, 0, 0), "rep": (0, 0, 0), **expected}
        last = {}

        def reached():
            last.update(self.counts(daemon))
            return last == want
        try:
            wait_until(reached, 10, "the counts")
        except AssertionError as e:
            raise AssertionError("%s; last: %r, wanted: %r" % (e, last, want)) from None

    def endpoints(self, daemon):
        return sorted(row["endpoint"] for row in daemon.journal_rows())

    def check_kept_nowhere(self, daemon, *texts):
        """No file of the daemon, and nothing that it printed, has any of these."""
        paths = [daemon.stdout_path, daemon.stderr_path]
        for folder, _, names in os.walk(daemon.data_dir):
            paths += [os.path.join(folder, name) for name in names]
        for path in paths:
            with open(path, "rb") as f:
                data = f.read()
            for text in texts:
                self.assertNotIn(text.encode(), data, path)
        for row in daemon.rejected_rows():
            for text in texts:
                self.assertNotIn(text.encode(), base64.b64decode(row["bytes"]))

    def audit(self, daemon):
        """What was refused, once the daemon has stopped: (request, key, status): count."""
        with open(os.path.join(daemon.data_dir, "audit.jsonl"), encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        refused = {}
        for row in rows:
            if row["what"] == "denied":
                place = (row["request"], row.get("key", ""), row["status"])
                refused[place] = refused.get(place, 0) + row["count"]
        return refused

    def lines(self, daemon, text):
        return [line for line in daemon.stderr().splitlines() if text in line]


class Without(AccessTest):
    def test_a_key_file(self):
        """All may do all, over every kind of connection; a key is taken where nobody else can read it, and means nothing."""
        daemon = self.serve(False, **{kind: [self.url(s) for s in SCHEMES] for kind in PEERS})
        followers = self.peers(daemon, "feed")
        for follower in followers:
            follower.wait_for(b"stats")
        key, n = new_key(), 0
        for kind in ("pull", "sub", "rep"):
            for peer, scheme in zip(self.peers(daemon, kind), SCHEMES):
                if kind == "rep":
                    answer = {"ok": True} if scheme in PRIVATE else {"error": "key: only over TLS or a Unix socket"}
                    self.assertEqual(peer.ask({"key": key}), answer)
                    self.assertEqual(peer.ask(QUESTION).get("endpoint"), "/a")
                peer.give(op("/%s/%s" % (kind, scheme), source="x"))
                n += 1
                wait_until(lambda: len(daemon.journal_lines()) == n, 10, "an op")
        self.wait_counts(daemon, pull=(5, 5, 0), sub=(5, 5, 0), rep=(5, 5, 0))
        for follower in followers:
            follower.wait_for(b"op.x")
        daemon.stop()
        self.check_kept_nowhere(daemon, key, id_of(key))

    def test_a_listener_that_names_a_key(self):
        for kind in PEERS:
            code, text = self.make(args=[], **{kind: "tcp://127.0.0.1:0;key=abcdefgh"}).run_to_exit()
            self.assertEqual(code, 2)
            self.assertIn("%s tcp://127.0.0.1:0;key=abcdefgh: key: there is no key file" % kind, text)


class Listeners(AccessTest):
    def test_the_right_scope(self):
        """Each socket over each kind of connection, by the key of its listener, of this scope or of admin."""
        admin = self.keys.add("admin", "admin")
        for n, keys in enumerate(({kind: self.keys.add(kind, NEEDS[kind]) for kind in PEERS}, dict.fromkeys(PEERS, admin))):
            daemon = self.start_with(keys, "data.%d" % n)
            followers = self.peers(daemon, "feed")
            for follower in followers:
                follower.wait_for(b"stats")
            want = []
            for kind in ("pull", "sub", "rep"):
                for peer, scheme in zip(self.peers(daemon, kind), SCHEMES):
                    want.append("/%s/%s" % (kind, scheme))
                    answer = peer.give(op(want[-1], source="x"))
                    self.assertEqual((answer or {}).get("accepted"), 1 if kind == "rep" else None)
            self.wait_counts(daemon, pull=(5, 5, 0), sub=(5, 5, 0), rep=(5, 5, 0))
            self.assertEqual(self.endpoints(daemon), sorted(want))
            for follower in followers:
                follower.wait_for(b"op.x")
            daemon.stop()
            self.assertEqual(self.audit(daemon) if os.path.exists(os.path.join(daemon.data_dir, "audit.jsonl")) else {}, {})
            self.assertEqual(self.lines(daemon, "refused"), [])

    def start_with(self, keys, data_dir):
        urls = {kind: [self.url(scheme) + ";key=" + id_of(key) for scheme in SCHEMES] for kind, key in keys.items()}
        args = ["--keys", self.keys.path, "--tls-cert", self.server.cert, "--tls-key", self.server.key]
        return self.start(data_dir, args, **urls)

    def test_the_wrong_scope_is_refused_at_the_start(self):
        ingest, read = self.keys.add("ingest", "ingest"), self.keys.add("read", "read")
        for kind, key, needs in (("pull", read, "ingest"), ("sub", read, "ingest"), ("feed", ingest, "read")):
            for scheme in SCHEMES:
                url = "%s;key=%s" % (self.url(scheme), id_of(key))
                daemon = self.make(args=["--keys", self.keys.path, "--tls-cert", self.server.cert, "--tls-key",
                                         self.server.key], **{**dict.fromkeys(PEERS), kind: url})
                code, text = daemon.run_to_exit()
                self.assertNotEqual(code, 0)
                self.assertIn("%s %s: key: %s may not do that: needs %s" % (kind, url, id_of(key), needs), text)

    def test_what_a_websocket_cannot_have(self):
        for scheme in ("ws", "wss"):
            for kind in PEERS:
                url = self.url(scheme) + ";uid=%d" % os.getuid()
                code, text = self.make(args=["--keys", self.keys.path], **{**dict.fromkeys(PEERS), kind: url}).run_to_exit()
                self.assertEqual(code, 2)
                self.assertIn("%s %s: uid: only an ipc listener knows its peers' users" % (kind, url), text)

    def test_what_dials_names_no_key(self):
        key = self.keys.add("x", "admin")
        for kind in PEERS:
            for url in ("dial:tcp://127.0.0.1:9", "inproc://x"):
                url += ";key=" + id_of(key)
                code, text = self.make(args=["--keys", self.keys.path], **{**dict.fromkeys(PEERS), kind: url}).run_to_exit()
                self.assertEqual(code, 2)
                self.assertIn("%s %s: key: is for listeners that others connect to" % (kind, url), text)

    def test_what_dials_needs_no_key(self):
        """It is the operator's own."""
        for kind in ("pull", "rep"):
            server = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(server.close)
            server.settimeout(10 * SLOW)
            daemon = self.serve(tls=False, **{kind: "dial:tcp://127.0.0.1:%d" % server.getsockname()[1]})
            with Sp.accepted(server.accept()[0], *PEERS[kind]) as sp:
                body = pack(op("/dialled", source="anybody"))
                if kind == "rep":
                    sp.send(b"\x80\0\0\1" + pack({"key": new_key()}))
                    self.assertEqual(unpack(sp.recv()[4:]), {"ok": True})
                    body = b"\x80\0\0\2" + body
                sp.send(body)
                if kind == "rep":
                    self.assertEqual(unpack(sp.recv()[4:])["accepted"], 1)
                self.wait_counts(daemon, **{kind: (1, 1, 0)})
            daemon.stop()

    def change(self, lose, back):
        """A scope or a key is lost while all are connected, and comes back: on the same connections, but for the feed's."""
        keys = {kind: self.keys.add(kind, NEEDS[kind]) for kind in PEERS}
        daemon = self.serve_all(keys)
        peers = {kind: self.peers(daemon, kind) for kind in PEERS}
        want = []

        def give(word, good):
            answers = []
            for kind in ("pull", "sub", "rep"):
                for peer, scheme in zip(peers[kind], SCHEMES):
                    want.extend(["/%s/%s/%s" % (kind, scheme, word)] * good)
                    answers.append(peer.give([op("/%s/%s/%s" % (kind, scheme, word), source="x")]))
            return answers[-len(SCHEMES):]  # of rep

        for follower in peers["feed"]:
            follower.wait_for(b"stats")
        give("before", True)
        self.wait_counts(daemon, pull=(5, 5, 0), sub=(5, 5, 0), rep=(5, 5, 0))
        for key in keys.values():
            lose(key)
        for follower in peers["feed"]:  # all of the bus acts on it when these do
            follower.wait_closed(self)
        why = self.why(lose)
        refusal = {"accepted": 0, "duplicates": 0, "rejected": 1, "errors": [{"index": 0, "error": why}], "seq": 0, "error": why}
        self.assertEqual(give("meanwhile", False), [refusal] * len(SCHEMES))
        self.wait_counts(daemon, pull=(10, 5, 5), sub=(10, 5, 5), rep=(10, 5, 5))
        for n, scheme in enumerate(SCHEMES):  # who comes now is closed as well
            self.peer(daemon, "feed", n).wait_closed(self)
        for key in keys.values():
            back(key)
        wait_until(lambda: self.is_admitted(daemon), 10, "the keys are back")  # the feed's is the last one
        give("after", True)
        self.wait_counts(daemon, pull=(15, 10, 5), sub=(15, 10, 5), rep=(15, 10, 5))
        for n in range(len(SCHEMES)):
            self.peer(daemon, "feed", n).wait_for(b"stats")
        self.assertEqual(self.endpoints(daemon), sorted(want))
        self.assertEqual(daemon.rejected_rows(), [])
        listeners = [(kind, url) for kind in PEERS for url in daemon.urls[kind]]
        daemon.stop()
        for kind, url in listeners:  # the log once each, the audit all
            self.assertEqual(len(self.lines(daemon, "%s %s: refused" % (kind, url))), 1, (kind, url))
            self.assertGreaterEqual(sum(n for place, n in self.audit(daemon).items() if place[0] == "%s %s" % (kind, url)), 1)
        return daemon

    def is_admitted(self, daemon):
        try:
            self.peer(daemon, "feed").wait_for(b"stats")
            return True
        except (SpError, ConnectionError):
            return False

    def why(self, lose):
        return "this key may not do that: needs ingest" if lose == self.lose_scope else WRONG

    def lose_scope(self, key):
        self.keys.set(key, scopes=["read" if "ingest" in self.scopes(key) else "ingest"])

    def swap_scope(self, key):
        self.lose_scope(key)

    def scopes(self, key):
        return next(k["scopes"] for k in self.keys.keys if k["id"] == id_of(key))

    def test_the_scope_is_taken_away(self):
        self.change(self.lose_scope, self.swap_scope)

    def test_revoked(self):
        self.change(self.keys.revoke, lambda key: self.keys.set(key, revoked=None))

    def test_expired(self):
        self.change(lambda key: self.keys.expire(key, 2), lambda key: self.keys.set(key, expires=None))

    def test_removed(self):
        rows = {}

        def lose(key):
            rows[key] = next(k for k in self.keys.keys if k["id"] == id_of(key))
            self.keys.remove(key)

        def back(key):
            self.keys.keys.append(rows[key])
            self.keys.write()
        self.change(lose, back)

    def test_a_question_needs_any_key(self):
        """Advice takes ingest or read; ops take ingest."""
        key = self.keys.add("reads", "read")
        daemon = self.serve_all({"rep": key})
        for peer in self.peers(daemon, "rep"):
            self.assertEqual(peer.ask(QUESTION).get("endpoint"), "/a")
            self.assertEqual(peer.ask(op())["error"], "this key may not do that: needs ingest")
        self.keys.revoke(key)
        for peer in self.peers(daemon, "rep"):
            wait_until(lambda p=peer: p.ask(QUESTION) == {"error": WRONG}, 10, "revoked")
        self.wait_counts(daemon, rep=(5, 0, 5))
        self.assertEqual(daemon.journal_rows(), [])

    def test_an_empty_list_needs_any_key(self):
        """It records nothing, and is how one sees that the daemon answers."""
        nothing = {"accepted": 0, "duplicates": 0, "rejected": 0, "errors": [], "seq": 0}
        other = self.keys.add("other", "ingest")
        daemon = self.serve(rep=[self.url("ipc") + ";key=" + id_of(key) for key in (self.reader, other)])
        for n, key in enumerate((self.reader, other)):
            peer = self.peer(daemon, "rep", n)
            for body in (b"[]", pack([]), b"topic\0[]", b"topic\0" + pack([])):
                self.assertEqual(peer.ask(body), nothing)
            self.keys.revoke(key)
            wait_until(lambda: peer.ask(b"[]").get("error") == WRONG, 10, "a refusal")
            for body in (b"[]", pack([])):
                self.assertEqual(peer.ask(body)["error"], WRONG)
        daemon.stop()

    def test_a_flood_is_one_line(self):
        key = self.keys.add("push", "ingest")
        daemon = self.serve(tls=False, pull="tcp://127.0.0.1:0;key=" + id_of(key))
        self.keys.revoke(key)
        peer = self.peer(daemon, "pull")
        sent = 0

        def refused():
            nonlocal sent
            peer.send(op())
            sent += 1
            return self.counts(daemon)["pull"][2] > 0
        wait_until(refused, 10, "a reject")
        before = self.counts(daemon)["pull"][1]
        for _ in range(500):
            peer.send([op(), op()])
        self.wait_counts(daemon, pull=(sent + 500, before, sent - before + 500))
        daemon.stop()
        lines = self.lines(daemon, "refused 127.0.0.1:")
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("pull %s: refused" % daemon.url("pull"), lines[0])
        self.assertIn(": a valid key is needed (refused here so far: ", lines[0])


class Users(AccessTest):
    def test_a_user_may_do_what_the_socket_does(self):
        uid = os.getuid()
        daemon = self.serve(tls=False, **{kind: [self.url("ipc") + ";uid=%d" % uid] for kind in PEERS})
        follower = self.peer(daemon, "feed")
        follower.wait_for(b"stats")
        for n, kind in enumerate(("pull", "sub", "rep")):
            self.peer(daemon, kind).give(op("/" + kind, source="x"))
            wait_until(lambda: len(daemon.journal_lines()) == n + 1, 10, "an op")
        self.wait_counts(daemon, pull=(1, 1, 0), sub=(1, 1, 0), rep=(1, 1, 0))
        follower.wait_for(b"op.x")
        self.assertFalse(any("key_id" in row for row in daemon.journal_rows()))
        answer = self.peer(daemon, "rep").ask([op(key_id="abcdefgh"), op()])  # the word of no key
        self.assertEqual(answer["errors"], [{"index": 0, "error": "key_id: is set by the daemon"}])

    def test_another_user_may_nothing(self):
        uid = os.getuid() + 1
        daemon = self.serve(tls=False, args=["--cycle", "200ms"],  # the daemon asks its own listeners each cycle
                            **{kind: [self.url("ipc") + ";uid=%d" % uid] for kind in PEERS})
        for kind in PEERS:
            for _ in range(3):
                with self.assertRaises((SpError, ConnectionError)):
                    peer = self.peer(daemon, kind)
                    peer.give(op()) if kind != "feed" else None
                    peer.recv()
        self.wait_counts(daemon)
        self.assertEqual(daemon.journal_rows(), [])
        urls = [(kind, daemon.url(kind)) for kind in PEERS]
        daemon.stop()
        for kind, url in urls:
            self.assertEqual(len(self.lines(daemon, "%s %s: refused uid %d" % (kind, url, os.getuid()))), 1)
            self.assertEqual(self.audit(daemon)[("%s %s" % (kind, url), "", 401)], 3)

    def test_a_user_whom_the_namespace_does_not_have(self):
        """As with systemd's PrivateUsers=yes: such a peer is somebody else, for the kernel."""
        probe = subprocess.run(["unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True, check=False)
        if probe.returncode != 0:
            self.skipTest("no user namespaces here: " + probe.stderr.strip())
        daemon = self.make(pull=self.url("ipc") + ";uid=0;uid=1000", rep=None, sub=None)
        plain = daemon.command()
        daemon.command = lambda: ["unshare", "--user", "--map-root-user"] + plain
        daemon.start()
        self.assertEqual([line.split("pull ", 1)[1] for line in self.lines(daemon, "user namespace")],
                         ["%s: user 1000 is not of this process's user namespace and cannot connect (a unit of systemd: PrivateUsers=no)"
                          % daemon.url("pull")])

    def test_a_user_with_a_key(self):
        """Both: the user may connect, and may do what the key may."""
        key = self.keys.add("bound", "ingest", sources=["mailer"])
        daemon = self.serve(tls=False, rep=self.url("ipc") + ";uid=%d;key=%s" % (os.getuid(), id_of(key)))
        answer = self.peer(daemon, "rep").ask([op(), op(source="mcp")])
        self.assertEqual((answer["accepted"], answer["errors"]), (1, [{"index": 1, "error": not_as("mcp")}]))


class Certificates(AccessTest):
    def test_clients(self):
        """A certificate of the right authority may do what the socket does; none, an old one and a stranger's nothing."""
        good = self.ca.issue("mailer", names=(), client=True)
        old = self.ca.issue("old", names=(), client=True, days=(-20, -10))
        stranger = Authority(self.tmp, "other").issue("stranger", names=(), client=True)
        daemon = self.serve(args=["--tls-ca", self.ca.cert], **{kind: [self.url("tls+tcp"), self.url("wss")] for kind in PEERS})
        for n in range(2):
            for kind in PEERS:
                for cert in (None, old, stranger):
                    with self.assertRaises((OSError, SpError)):
                        peer = self.peer(daemon, kind, n, cert)
                        peer.give(op("/no")) if kind != "feed" else None
                        peer.recv()
            follower = self.peer(daemon, "feed", n, good)
            follower.wait_for(b"stats")
            for kind in ("pull", "sub", "rep"):
                self.peer(daemon, kind, n, good).give(op("/" + kind, source="anybody"))
            self.wait_counts(daemon, **{kind: (n + 1, n + 1, 0) for kind in ("pull", "sub", "rep")})
            follower.wait_for(b"op.anybody")
        self.assertEqual(self.endpoints(daemon), ["/pull", "/pull", "/rep", "/rep", "/sub", "/sub"])

    def test_clients_with_the_key_of_their_listener(self):
        good = self.ca.issue("mailer", names=(), client=True)
        key = self.keys.add("bound", "ingest", sources=["mailer"])
        daemon = self.serve(args=["--tls-ca", self.ca.cert], rep=self.url("tls+tcp") + ";key=" + id_of(key))
        answer = self.peer(daemon, "rep", 0, good).ask([op(), op(source="mcp")])
        self.assertEqual((answer["accepted"], answer["errors"]), (1, [{"index": 1, "error": not_as("mcp")}]))
        with self.assertRaises((OSError, SpError)):
            self.peer(daemon, "rep").ask(op())


class Requesters(AccessTest):
    """A key that is sent as a message."""

    def setUp(self):
        super().setUp()
        self.of_listener = self.keys.add("listener", "read")

    def begin(self):
        """What the key file has by now is there from the start: an address may be wrong a few times only."""
        self.daemon = self.serve_all({"rep": self.of_listener})

    def test_over_what_nobody_reads(self):
        mailer = self.keys.add("mailer", "ingest", sources=["mailer", "bot"])
        other = self.keys.add("other", "ingest")
        self.begin()
        for n, scheme in enumerate(SCHEMES):
            if scheme not in PRIVATE:
                continue
            peer = self.peer(self.daemon, "rep", n)
            self.assertEqual(peer.ask(op())["error"], "this key may not do that: needs ingest")
            self.assertEqual(peer.ask({"key": mailer}), {"ok": True, "key": id_of(mailer)})
            answer = peer.ask([op("/0/" + scheme), op("/1", source="mcp"), op("/2/" + scheme, source="mailer-2"),
                               op("/3", source="mailers")])
            self.assertEqual((answer["accepted"], answer["rejected"]), (2, 2))
            self.assertEqual(answer["errors"], [{"index": 1, "error": not_as("mcp")}, {"index": 3, "error": not_as("mailers")}])
            self.assertEqual(peer.ask(QUESTION).get("endpoint"), "/a")
            # In JSON, behind a topic: from now on it is another one.
            self.assertEqual(peer.ask(b'hello\0 {"key": "%s"}\n' % other.encode()), {"ok": True, "key": id_of(other)})
            self.assertEqual(peer.ask(op("/4/" + scheme, source="mcp"))["accepted"], 1)
            # Another connection of the listener is not.
            self.assertEqual(self.peer(self.daemon, "rep", n).ask(op())["error"], "this key may not do that: needs ingest")
        self.assertEqual([(row["endpoint"].split("/")[1], row["source"], row["key_id"]) for row in self.daemon.journal_rows()],
                         [("0", "mailer", id_of(mailer)), ("2", "mailer-2", id_of(mailer)), ("4", "mcp", id_of(other))] * 3)
        for key, n in ((mailer, 6), (other, 3)):
            found = self.daemon.request("GET", "/v1/observer/ops?key_id=" + id_of(key), headers={"x-api-key": self.reader}).json
            self.assertEqual([op_["op"]["key_id"] for op_ in found["ops"]], [id_of(key)] * n)
        self.wait_counts(self.daemon, rep=(21, 9, 12))
        self.assertEqual([row["reason"] for row in self.daemon.rejected_rows()], [not_as("mcp"), not_as("mailers")] * 3)
        urls = self.daemon.urls["rep"]
        self.daemon.stop()
        self.check_kept_nowhere(self.daemon, mailer, other)
        for n, scheme in enumerate(SCHEMES):
            what = "rep " + urls[n]
            if scheme in PRIVATE:
                self.assertEqual(self.audit(self.daemon)[(what, id_of(mailer), 403)], 2)  # its ops
                self.assertEqual(self.audit(self.daemon)[(what, id_of(self.of_listener), 403)], 2)

    def test_where_others_can_read(self):
        key = self.keys.add("mailer", "ingest")
        self.begin()
        for n, scheme in enumerate(SCHEMES):
            if scheme in PRIVATE:
                continue
            peer = self.peer(self.daemon, "rep", n)
            for body in (pack({"key": key}), json.dumps({"key": key}).encode(), b"t\0" + pack({"key": key})):
                self.assertEqual(peer.ask(body), {"error": "key: only over TLS or a Unix socket"})
            self.assertEqual(peer.ask(op())["error"], "this key may not do that: needs ingest")
        self.wait_counts(self.daemon, rep=(2, 0, 2))
        self.daemon.stop()
        self.check_kept_nowhere(self.daemon, key)

    def test_through_a_device(self):
        """A device is one connection of many requesters: the key of one is not the others'."""
        admin = self.keys.add("admin", "admin")
        self.begin()
        for n, scheme in enumerate(SCHEMES):
            if scheme not in PRIVATE:
                continue
            peer = self.peer(self.daemon, "rep", n)
            for way in ((1,), (2, 3), tuple(range(1, 9))):
                for body in (pack({"key": admin}), json.dumps({"key": admin}).encode(), pack({"key": new_key()})):
                    self.assertEqual(peer.ask(body, through=way),
                                     {"error": "key: not through a device, whose requesters share one connection"})
                self.assertEqual(peer.ask(op(), through=(9,))["error"], "this key may not do that: needs ingest")
                self.assertEqual(peer.ask(op(), through=way)["error"], "this key may not do that: needs ingest")
            self.assertEqual(peer.ask({"key": admin}), {"ok": True, "key": id_of(admin)})  # who is no device
        self.assertEqual(self.daemon.journal_rows(), [])
        self.daemon.stop()
        self.check_kept_nowhere(self.daemon, admin)

    def test_wrong_keys(self):
        """One answer for all of them, and the requester stays who it was."""
        mailer, revoked, old = (self.keys.add(name, "ingest") for name in ("mailer", "revoked", "old"))
        self.keys.revoke(revoked)
        self.keys.expire(old, -60)
        self.begin()
        ipc = SCHEMES.index("ipc")
        peer = self.peer(self.daemon, "rep", ipc)
        self.assertEqual(peer.ask({"key": mailer}), {"ok": True, "key": id_of(mailer)})
        wrong = [revoked, old, new_key(), with_other_secret(mailer), "", 5, None, ["x"], mailer[:-1]]
        for key in wrong:
            self.assertEqual(peer.ask({"key": key}), {"error": WRONG}, key)
            self.assertEqual(peer.ask(op())["accepted"], 1)
        peer = self.peer(self.daemon, "rep", SCHEMES.index("tls+tcp"))  # nobody yet, and another address
        self.assertEqual(peer.ask({"key": new_key()}), {"error": WRONG})
        self.assertEqual(peer.ask(op())["error"], "this key may not do that: needs ingest")
        self.wait_counts(self.daemon, rep=(len(wrong) + 1, len(wrong), 1))
        url = self.daemon.url("rep", ipc)
        self.daemon.stop()
        self.check_kept_nowhere(self.daemon, *(k for k in wrong if isinstance(k, str) and k))
        audit = self.audit(self.daemon)
        for key in (revoked, old, mailer):
            self.assertIn(("rep " + url, id_of(key), 401), audit)
        self.assertIn(("rep " + url, "", 401), audit)

    def test_too_many_wrong_keys(self):
        key = self.keys.add("mailer", "ingest")
        self.begin()
        peer = self.peer(self.daemon, "rep", SCHEMES.index("ipc"))
        self.assertTrue(peer.ask({"key": key}).get("ok"))

        def limited():
            return peer.ask({"key": new_key()}) == {"error": "too many wrong keys: try again later"}
        wait_until(limited, 10, "a limit")
        self.assertEqual(peer.ask({"key": key}), {"ok": True, "key": id_of(key)})  # a valid one always passes
        self.assertEqual(peer.ask(op())["accepted"], 1)

    def test_a_listener_that_is_open(self):
        """There everybody may do all; who sends a key has said who it is, and may do what that may."""
        mailer = self.keys.add("mailer", "ingest", sources=["mailer"])
        daemon = self.serve(args=["--allow-open"], tls=False, rep=self.url("ipc"))
        peer, other = self.peer(daemon, "rep"), self.peer(daemon, "rep")
        self.assertEqual(peer.ask(op("/0", source="mcp"))["accepted"], 1)
        self.assertTrue(peer.ask({"key": mailer})["ok"])
        self.assertEqual(peer.ask([op("/1", source="mcp"), op("/2")])["errors"], [{"index": 0, "error": not_as("mcp")}])
        self.assertTrue(peer.ask({"key": self.reader})["ok"])
        self.assertEqual(peer.ask(op("/3"))["error"], "this key may not do that: needs ingest")
        self.assertEqual(other.ask(op("/4", source="mcp"))["accepted"], 1)
        self.assertEqual([row["endpoint"] for row in daemon.journal_rows()], ["/0", "/2", "/4"])
        self.wait_counts(daemon, rep=(5, 3, 2))

    def test_revoked_and_expired_while_connected(self):
        """It becomes nobody, not the listener's; with another key it is somebody again."""
        second = self.keys.add("second", "ingest")
        ways = [(self.keys.add("mailer", "ingest"), lose)
                for lose in (self.keys.revoke, lambda key: self.keys.expire(key, 2), self.keys.remove)]
        self.begin()
        for mailer, lose in ways:
            for n, scheme in enumerate(SCHEMES):
                if scheme not in PRIVATE:
                    continue
                peer = self.peer(self.daemon, "rep", n)
                self.assertTrue(peer.ask({"key": mailer}).get("ok"))
                setattr(self, scheme, peer)
                self.assertEqual(peer.ask(op("/before"))["accepted"], 1)
            lose(mailer)
            for scheme in PRIVATE:
                peer = getattr(self, scheme)
                wait_until(lambda p=peer: p.ask(op("/until")).get("error") == WRONG, 10, "the key's end")
                self.assertEqual(peer.ask(QUESTION), {"error": WRONG})
                self.assertEqual(peer.ask({"key": mailer}), {"error": WRONG})
                self.assertEqual(peer.ask({"key": second}), {"ok": True, "key": id_of(second)})
                self.assertEqual(peer.ask(op("/second"))["accepted"], 1)
        self.assertEqual(self.endpoints(self.daemon).count("/second"), 9)
        received, recorded, rejected = self.counts(self.daemon)["rep"]
        self.assertEqual((received, recorded), (recorded + rejected, len(self.daemon.journal_rows())))


class Sources(AccessTest):
    def test_several_ops_in_a_message(self):
        """The others of a message stand, over each socket; an op without a source is the key's first one's."""
        key = self.keys.add("mailer", "ingest", sources=["mailer", "bot"])
        daemon = self.serve_all({kind: key for kind in ("pull", "sub", "rep")})
        record = {"schema": "session.iterate.v1", "session_id": "s", "final_verdict": "accepted"}
        message = [op("/0"), op("/1", source="mcp"), op("/2", source="mailer:eu"), op("/3", source=""), op("/4", source="bot"),
                   op("/5", source="mailer\nx"), op("/6", source="robot"), record, {**record, "source": "mailer"},
                   {**record, "source": "mcp"}]
        reasons = [(1, not_as("mcp")), (6, not_as("robot")),
                   (7, "source: required: this key may speak for its own sources only"), (9, not_as("mcp"))]
        for body in (pack(message), json.dumps(message).encode(), b"op.mcp\0" + pack(message)):
            for kind in ("pull", "sub", "rep"):
                for peer in self.peers(daemon, kind):
                    before = len(daemon.journal_lines())
                    answer = peer.give(body)
                    wait_until(lambda: len(daemon.journal_lines()) == before + 5, 10, "5 ops")
                    if answer:
                        # With the session: one of the same millisecond is the same row.
                        self.assertEqual((answer["accepted"] + answer["duplicates"], answer["rejected"]), (6, 4))
                        self.assertEqual([(e["index"], e["error"]) for e in answer["errors"]], reasons)
        sources = [row["source"] for row in daemon.journal_rows()]
        self.assertEqual(sources, ["mailer", "mailer:eu", "mailer", "bot", "mailer\nx"] * 45)
        self.assertEqual({row["key_id"] for row in daemon.journal_rows()}, {id_of(key)})

    def test_ids_of_another_source(self):
        """Who knows the op_ids of another source cannot have its ops taken for duplicates."""
        mailer, bot = (self.keys.add(name, "ingest", sources=[name]) for name in ("mailer", "bot"))
        daemon = self.serve(tls=False, rep=["tcp://127.0.0.1:0;key=" + id_of(key) for key in (mailer, bot)])
        answer = self.peer(daemon, "rep", 1).ask([op("/bot", op_id="1"), op("/no", op_id="1", source="mailer")])
        self.assertEqual((answer["accepted"], answer["errors"]), (1, [{"index": 1, "error": not_as("mailer")}]))
        answer = self.peer(daemon, "rep", 0).ask(op("/mailer", op_id="1"))
        self.assertEqual((answer["accepted"], answer["duplicates"]), (1, 0))
        self.assertEqual([(row["source"], row["op_id"]) for row in daemon.journal_rows()], [("bot", "1"), ("mailer", "1")])

    def test_a_replay_keeps_the_ids_of_keys(self):
        """With an admin's key; another one's rows must not say that they came by a key."""
        ingest, admin = self.keys.add("ingest", "ingest"), self.keys.add("admin", "admin")
        daemon = self.serve(tls=False, rep=["tcp://127.0.0.1:0;key=" + id_of(key) for key in (ingest, admin)])
        path = os.path.join(self.tmp, "rows.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.write('{"endpoint":"/old","key_id":"abcdefgh"}\n{"endpoint":"/older"}\n')
        for n, (status, ids) in enumerate(((1, [id_of(ingest)]), (0, ["abcdefgh", id_of(admin)]))):
            before = len(daemon.journal_lines())
            done = subprocess.run([os.path.join(BUILD, "observerctl"), "replay", "--req", daemon.url("rep", n), path],
                                  capture_output=True, text=True, timeout=60 * SLOW, check=False, cwd=self.tmp,
                                  env={k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")})
            self.assertEqual(done.returncode, status, done)
            self.assertEqual("key_id: is set by the daemon" in done.stderr, status == 1, done)
            self.assertEqual([row["key_id"] for row in daemon.journal_rows()[before:]], ids)

    def test_it_stays_so_when_the_key_changes(self):
        key = self.keys.add("mailer", "ingest", sources=["mailer"])
        daemon = self.serve(tls=False, rep="tcp://127.0.0.1:0;key=" + id_of(key))
        peer = self.peer(daemon, "rep")
        self.assertEqual(peer.ask(op(source="mcp"))["rejected"], 1)
        self.keys.set(key, sources=["mcp", "bot"])
        wait_until(lambda: peer.ask(op(source="mcp"))["accepted"], 10, "the new sources")
        self.assertEqual(peer.ask([op(), op(source="mailer")])["errors"], [{"index": 1, "error": not_as("mailer")}])
        self.keys.set(key, sources=None)
        wait_until(lambda: peer.ask(op(source="mailer"))["accepted"], 10, "any source")


class Secrets(AccessTest):
    def test_a_key_in_a_message_is_kept_nowhere(self):
        """Also where no key is looked for, and where it does not stand alone."""
        key = self.keys.add("mailer", "ingest")
        daemon = self.serve_all({kind: key for kind in ("pull", "sub", "rep")})
        secret = new_key()
        bodies = [pack({"key": secret}), json.dumps({"key": secret}).encode(), b"topic\0" + pack({"key": secret}),
                  pack([{"key": secret}]), b'{"key":"%s' % secret.encode(), pack({"x": 1, "key": secret}), secret.encode()]
        sent = 0
        for kind in ("pull", "sub"):
            for peer in self.peers(daemon, kind):
                for body in bodies:
                    peer.send(body)
                    sent += 1
                    wait_until(lambda: len(daemon.rejected_rows()) == sent, 10, "a reject")
        self.wait_counts(daemon, pull=(35, 0, 35), sub=(35, 0, 35))
        self.assertEqual({row["size"] for row in daemon.rejected_rows()}, {0})
        for peer, scheme in zip(self.peers(daemon, "rep"), SCHEMES):
            for body in bodies:
                peer.ask(body)
        self.assertEqual(daemon.journal_rows(), [])
        daemon.stop()
        self.check_kept_nowhere(daemon, secret, secret[:30])


if __name__ == "__main__":
    main()
