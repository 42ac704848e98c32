"""TLS of every listener: what clients of the field (openssl s_client, curl, Python, nngcat) see with certificates that are
good, expired, of another authority or another name; handshakes that end half way; certificates that are renewed while the
daemon works."""

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import unittest
from urllib.parse import urlsplit

from certificates import HERE, Authority, Pair
from harness import BUILD, PUB, PULL, PUSH, REP, REQ, SLOW, SUB, DaemonTest, Sp, SpError, main, pack, unpack, wait_until
from model_server import ModelServer

OP = {"endpoint": "/v1/chat", "success": True, "input_summary": "in", "output_summary": "out", "source": "tls"}
BODY = json.dumps(OP)
PLAIN = "http://127.0.0.1:0"
CLOSED = int(os.environ.get("OBSERVER_CLOSED", "50"))  # connections of each thread of test_small_last_answers_are_whole


def needs(tool):
    return unittest.skipUnless(shutil.which(tool), "%s is not installed" % tool)


class TlsTest(DaemonTest):
    def setUp(self):
        super().setUp()
        self.ca = Authority(self.tmp)

    def start_tls(self, pair, *args, data_dir=None, **urls):
        """A daemon with TLS on all its sockets, and HTTP without it besides, so that a test can ask how it is."""
        tls = "tls+tcp://127.0.0.1:0"
        return self.start(data_dir, args=["--tls-cert", pair.cert, "--tls-key", pair.key, *args],
                          **{"http": [PLAIN, "https://127.0.0.1:0"], "pull": tls, "sub": tls, "rep": tls, "feed": tls, **urls})

    def trusting(self, authority=None, client=None):
        context = ssl.create_default_context(cafile=(authority or self.ca).cert)
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        return context

    def connect(self, daemon, kind, context, n=0, name="127.0.0.1"):
        parts = urlsplit(daemon.url(kind, n))
        raw = socket.create_connection((parts.hostname, parts.port), 10 * SLOW)
        try:
            return context.wrap_socket(raw, server_hostname=name)
        except OSError:
            raw.close()
            raise

    def request(self, daemon, context):
        """A requester on the REP socket; closes with the test."""
        stream = self.connect(daemon, "rep", context)
        self.addCleanup(stream.close)
        return Request.accepted(stream, REQ, REP)

    def https(self, daemon, context):
        parts = urlsplit(daemon.url("http", 1))
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20 * SLOW, context=context)

    def post(self, daemon, context):
        conn = self.https(daemon, context)
        try:
            conn.request("POST", "/event", BODY)
            answer = conn.getresponse()
            return answer.status, answer.read()
        finally:
            conn.close()

    def tls(self, daemon):
        return daemon.get("/v1/observer/health").json["tls"]


class Request(Sp):
    def ask(self, op):
        self.send(struct.pack(">I", 0x80000001) + pack(op))
        return unpack(self.recv()[4:])


# --- a network that takes little at a time ----------------------------------------------------------------------------


if "OBSERVER_SLOW_NETWORK" in os.environ:

    class WithinSlowNetwork(TlsTest):
        def test_a_last_answer(self):
            """It is larger than what the system takes; the connection is closed behind it."""
            daemon = self.start_tls(self.ca.issue("server"))
            self.assertEqual(daemon.post("/event", json.dumps([dict(OP, input_summary="x" * 20000)] * 50)).status, 200)
            for _ in range(5):
                conn = self.https(daemon, self.trusting())
                conn.request("GET", "/v1/observer/ops?limit=50", headers={"Connection": "close"})
                self.assertEqual(len(json.loads(conn.getresponse().read())["ops"]), 50)  # IncompleteRead when it is cut off
                conn.close()


class SlowNetwork(unittest.TestCase):
    def test_the_last_answer_is_whole(self):
        """In a network of its own, whose sockets hold no more than a page."""
        up = ("import fcntl, socket, struct, sys; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 0x41)); "
              "open('/proc/sys/net/ipv4/tcp_wmem', 'w').write('4096 4096 4096')")
        inside = ["unshare", "-n" if os.getuid() == 0 else "-rn", "sh", "-c", 'python3 -c "$0" && exec "$@"', up]
        if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no network of one's own here")
        done = subprocess.run([*inside, sys.executable, "-B", __file__, "WithinSlowNetwork"], capture_output=True, text=True, check=False,
                              env=dict(os.environ, OBSERVER_SLOW_NETWORK="1"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Ran 1 test", done.stderr)


# --- what clients of the field see ------------------------------------------------------------------------------------


class Clients(TlsTest):
    def curl(self, daemon, *args, name="127.0.0.1"):
        """How curl ends, and what it gets, when it posts an op."""
        port = urlsplit(daemon.url("http", 1)).port
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--connect-to", "%s:%d:127.0.0.1:%d" % (name, port, port), *args,
                               "--data", BODY, "https://%s:%d/event" % (name, port)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def s_client(self, daemon, kind, *args):
        """What openssl says of a connection on which it sends a request and reads until the daemon closes."""
        parts = urlsplit(daemon.url(kind, 1 if kind == "http" else 0))
        done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % (parts.hostname, parts.port), "-CAfile", self.ca.cert,
                               "-verify_return_error", "-ign_eof", *args], input=self.GET, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60 * SLOW, check=False)
        return done.stdout.decode("utf-8", "replace")

    GET = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"

    @needs("curl")
    def test_curl(self):
        daemon = self.start_tls(self.ca.issue("server"))
        stranger = Authority(self.tmp, "stranger")
        self.assertEqual(self.curl(daemon, "--cacert", self.ca.cert)[0], 0)
        code, said = self.curl(daemon, "--cacert", stranger.cert)
        self.assertEqual(code, 60, said)
        code, said = self.curl(daemon, "--cacert", self.ca.cert, name="observer.example")
        self.assertEqual(code, 60, said)
        self.assertIn("no alternative certificate subject name matches", said)
        self.assertEqual(self.curl(daemon, "--cacert", self.ca.cert, name="localhost")[0], 0)
        self.assertEqual(daemon.stats()["total"], 2)

    def test_s_client_of_https_and_the_bus(self):
        daemon = self.start_tls(self.ca.issue("server"))
        for kind in ("http", "pull", "sub", "rep", "feed"):
            said = self.s_client(daemon, kind)
            self.assertIn("Verify return code: 0 (ok)", said)
            self.assertRegex(said, r"New, TLSv1\.[23], Cipher is (ECDHE-\w+-|TLS_)(AES|CHACHA20)")
            self.assertEqual("200 OK" in said, kind == "http", said)  # where the peer is no subscriber, the bus closes

    def test_a_certificate_that_has_expired_is_seen_by_clients_and_told(self):
        old = self.ca.issue("old", days=(-20, -10))
        daemon = self.start_tls(old)  # a daemon that does not start would record nothing
        said = self.s_client(daemon, "http")
        self.assertIn("certificate has expired", said)
        with self.assertRaisesRegex(ssl.SSLError, "certificate has expired"):
            self.post(daemon, self.trusting())
        self.assertRegex(daemon.stderr(), r"error.*tls-cert %s: expired at 20\d\d-.*Z: clients refuse it" % re.escape(old.cert))
        self.assertEqual(daemon.get("/livez").status, 200)

    def test_old_versions_of_tls_are_refused(self):
        daemon = self.start_tls(self.ca.issue("server"))
        for kind in ("http", "pull"):
            for version in ("-tls1", "-tls1_1"):
                said = self.s_client(daemon, kind, version, "-cipher", "DEFAULT@SECLEVEL=0")
                self.assertRegex(said, "alert protocol version|no protocols available")
                self.assertNotIn("200 OK", said)
            said = self.s_client(daemon, kind, "-tls1_2")
            self.assertIn("Verify return code: 0 (ok)", said)

    def test_nothing_without_encryption_certificate_or_forward_secrecy(self):
        daemon = self.start_tls(self.ca.issue("server", rsa=True))
        for cipher in ("eNULL", "aNULL", "kRSA"):
            said = self.s_client(daemon, "http", "-tls1_2", "-cipher", cipher + "@SECLEVEL=0")
            self.assertNotIn("200 OK", said)
            self.assertRegex(said, "alert handshake failure|no ciphers available")

    def test_nobody_negotiates_again(self):
        daemon = self.start_tls(self.ca.issue("server"))
        port = urlsplit(daemon.url("http", 1)).port
        with subprocess.Popen(["openssl", "s_client", "-tls1_2", "-connect", "127.0.0.1:%d" % port, "-CAfile", self.ca.cert],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
            try:
                client.stdin.write(b"R\n")  # openssl's word for it
                client.stdin.flush()
                said = client.stdout.read()  # it ends by itself when it is refused
            finally:
                client.kill()
        self.assertIn(b"RENEGOTIATING", said)
        self.assertIn(b"no renegotiation", said)
        self.assertEqual(self.post(daemon, self.trusting())[0], 200)

    def test_plain_text_into_a_tls_port(self):
        daemon = self.start_tls(self.ca.issue("server"))
        for kind in ("http", "pull", "rep", "feed"):
            parts = urlsplit(daemon.url(kind, 1 if kind == "http" else 0))
            for text in (self.GET, b"\0SP\0" + struct.pack(">HH", PUSH, 0) + bytes(100), b"\x16\x03\x01\xff\xff" + bytes(100)):
                with socket.create_connection((parts.hostname, parts.port), 20 * SLOW) as s:
                    s.sendall(text)
                    s.shutdown(socket.SHUT_WR)
                    answer = b""
                    try:
                        while part := s.recv(4096):
                            answer += part
                    except ConnectionError:
                        pass
                    self.assertNotIn(b"HTTP/1.1", answer)
                    self.assertNotIn(b"\0SP\0", answer)
        self.assertEqual(self.post(daemon, self.trusting())[0], 200)
        with self.assertRaises(OSError):
            Sp(daemon.url("pull").replace("tls+tcp", "tcp"), PUSH, PULL)

    def test_python_over_https_and_the_bus(self):
        daemon = self.start_tls(self.ca.issue("server"))
        context = self.trusting()
        conn = self.https(daemon, context)
        for _ in range(3):
            conn.request("POST", "/event", BODY)
            answer = conn.getresponse()
            self.assertEqual(answer.status, 200, answer.read())
            answer.read()
        conn.close()
        self.assertEqual(self.request(daemon, context).ask(OP)["accepted"], 1)
        with self.connect(daemon, "pull", context) as stream:
            Sp.accepted(stream, PUSH, PULL).send(pack(OP))
            daemon.wait_total(5)

    def slow_reader(self, daemon, requests):
        """All that comes for these requests, read by a client that begins late."""
        parts = urlsplit(daemon.url("http", 1))
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        raw.settimeout(20 * SLOW)
        raw.connect((parts.hostname, parts.port))
        with self.trusting().wrap_socket(raw, server_hostname="127.0.0.1") as stream:
            stream.sendall(requests)
            self.wait_for_a_standstill(stream)
            out = b""
            while part := stream.recv(65536):
                out += part
            return out

    def wait_for_a_standstill(self, stream):
        """Until no more comes: the daemon has written what it can, and the rest waits in its buffers."""
        seen = []

        def still():
            seen.append(int.from_bytes(fcntl.ioctl(stream, termios.FIONREAD, bytes(4)), sys.byteorder))
            return len(seen) > 20 and seen[-1] > 0 and len(set(seen[-20:])) == 1

        wait_until(still, 20, "the socket to be full")

    def test_requests_in_one_go_and_answers_that_are_read_late(self):
        daemon = self.start_tls(self.ca.issue("server"), "--ring", "5000")
        ops = json.dumps([dict(OP, input_summary="x" * 4000) for _ in range(500)])
        self.assertEqual(daemon.post("/event", ops).status, 200)
        for limit, requests in ((6, 300), (200, 8)):
            get = "GET /v1/observer/ops?limit=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n%%s\r\n" % limit
            out = memoryview(self.slow_reader(daemon, (get % "" * (requests - 1) + get % "Connection: close\r\n").encode()))
            answers = 0
            while out:
                head, _, _ = bytes(out[:2000]).partition(b"\r\n\r\n")
                self.assertTrue(head.startswith(b"HTTP/1.1 200 OK"), head[:200])
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
                body = out[len(head) + 4 :][:length]
                self.assertEqual(len(body), length, "answer %d is cut off" % answers)
                self.assertEqual(len(json.loads(bytes(body))["ops"]), limit)
                out = out[len(head) + 4 + length :]
                answers += 1
            self.assertEqual(answers, requests)

    def test_small_last_answers_are_whole(self):
        """New connections, some at a time, each with one request whose answer closes it."""
        daemon = self.start_tls(self.ca.issue("server"))
        context, lost = self.trusting(), []
        last = ((b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
                (b"GET /livez HTTP/1.0\r\n\r\n", 200),
                (b"GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
                (b"POST /event HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n{}", 413))

        def ask(request, status):
            with self.connect(daemon, "http", context, n=1) as stream:
                stream.sendall(request)
                answer = http.client.HTTPResponse(stream)
                answer.begin()
                body = json.loads(answer.read())
            if answer.status != status or set(body) != {"status" if status == 200 else "error"}:
                lost.append((request, answer.status, body))

        def work():
            for n in range(CLOSED):
                try:
                    ask(*last[n % len(last)])
                except (OSError, ValueError, http.client.HTTPException) as e:
                    lost.append((last[n % len(last)], e))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertEqual(lost, [])

    def test_a_request_that_waits_is_answered_at_the_stop(self):
        """It waits for a model, which never answers."""
        model = ModelServer.start(self)
        model.set(hang=True)
        daemon = self.start_tls(self.ca.issue("server"), "--openai-url", model.url, "--model", "tiny", "--cycle", "3600", data_dir="data")
        conn, idle = self.https(daemon, self.trusting()), self.https(daemon, self.trusting())
        for each in (conn, idle):
            each.request("GET", "/livez")
            self.assertEqual(each.getresponse().read(), b'{"status":"ok"}\n')
        conn.request("POST", "/v1/observer/review", json.dumps({"text": "The plan looks plausible."}))
        wait_until(lambda: len(model.requests()) == 1, 10, "the model is asked")
        daemon.stop()
        answer = conn.getresponse()
        self.assertIn((answer.status, json.loads(answer.read()).get("error")), ((503, "stopping"), (202, None)))
        self.assertEqual(idle.sock.recv(1), b"")
        for each in (conn, idle):
            each.close()

    def test_what_is_recorded_at_the_stop_is_answered(self):
        daemon = self.start_tls(self.ca.issue("server"), data_dir="data")
        context, answered = self.trusting(), []

        def post(n):
            conn = self.https(daemon, context)
            try:
                for i in range(100000):
                    conn.request("POST", "/event", json.dumps(dict(OP, op_id="%d-%d" % (n, i))))
                    answer = conn.getresponse()
                    answer.read()
                    if answer.status == 200:
                        answered.append("%d-%d" % (n, i))
                    if answer.status != 200 or answer.getheader("connection") == "close":
                        return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                conn.close()

        threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        wait_until(lambda: len(answered) >= 100, 20, "posts")
        daemon.stop()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answered), sorted(r["op_id"] for r in daemon.journal_rows()))

    @needs("nngcat")
    def test_nngcat(self):
        daemon = self.start_tls(self.ca.issue("server"))
        for kind, way in (("pull", "--push"), ("sub", "--pub"), ("rep", "--req")):
            done = subprocess.run(["nngcat", way, "--dial=" + daemon.url(kind), "--cacert=" + self.ca.cert, "--insecure", "--delay=1",
                                   "--data=" + BODY, *["--raw"] * (kind == "rep")], stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=20 * SLOW, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(unpack(done.stdout)["accepted"], 1)
        daemon.wait_total(3)

    def test_a_chain_and_an_rsa_key(self):
        """As public authorities issue them: the certificate of an intermediate stands behind one's own."""
        base = os.path.join(self.tmp, "chain")
        ending = os.path.join(self.tmp, "ext")
        with open(ending, "w", encoding="ascii") as f:
            f.write("basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n"
                    "authorityKeyIdentifier=keyid\n")
        middle = Authority(self.tmp, "middle")
        request = os.path.join(self.tmp, "middle.csr")
        run = ["openssl", "req", "-new", "-key", middle.key, "-subj", "/CN=middle", "-out", request]
        subprocess.run(run, check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", self.ca.cert, "-CAkey", self.ca.key, "-set_serial", "7",
                        "-days", "30", "-extfile", ending, "-out", middle.cert], check=True, capture_output=True)
        pair = middle.issue("server", rsa=True)
        with open(base, "w", encoding="ascii") as out:
            for path in (pair.cert, middle.cert):
                with open(path, encoding="ascii") as f:
                    out.write(f.read())
        daemon = self.start_tls(Pair(base, pair.key))
        self.assertEqual(self.post(daemon, self.trusting())[0], 200)
        self.assertEqual(self.request(daemon, self.trusting()).ask(OP)["accepted"], 1)


class ClientCertificates(TlsTest):
    """--tls-ca: who has no certificate of these authorities gets no answer, on any socket."""

    def setUp(self):
        super().setUp()
        self.clients = Authority(self.tmp, "clients")
        self.daemon = self.start_tls(self.ca.issue("server"), "--tls-ca", self.clients.cert)

    def post_refused(self, client):
        with self.assertRaises((OSError, http.client.HTTPException)):
            self.post(self.daemon, self.trusting(client=client))

    def bus_refused(self, client):
        with self.assertRaises((OSError, SpError)):
            self.request(self.daemon, self.trusting(client=client)).ask(OP)

    def test_one_of_the_authority(self):
        client = self.clients.issue("mailer", names=(), client=True)
        self.assertEqual(self.post(self.daemon, self.trusting(client=client))[0], 200)
        self.assertEqual(self.request(self.daemon, self.trusting(client=client)).ask(OP)["accepted"], 1)
        self.assertEqual(self.daemon.stats()["total"], 2)

    def test_others(self):
        for client in (None, Authority(self.tmp, "stranger").issue("stranger", names=(), client=True),
                       self.clients.issue("late", names=(), client=True, days=(-20, -10)),
                       self.clients.issue("early", names=(), client=True, days=(10, 20)),
                       self.clients.issue("server-only", names=HERE)):
            self.post_refused(client)
            self.bus_refused(client)
        self.assertEqual(self.daemon.stats()["total"], 0)
        self.assertEqual(self.daemon.get("/livez").status, 200)

    @needs("curl")
    def test_curl_and_s_client(self):
        client = self.clients.issue("mailer", names=(), client=True)
        stranger = Authority(self.tmp, "stranger").issue("stranger", names=(), client=True)
        parts = urlsplit(self.daemon.url("http", 1))
        url = "https://127.0.0.1:%d/livez" % parts.port
        for pair, works in ((None, False), (stranger, False), (client, True)):
            own = ["--cert", pair.cert, "--key", pair.key] if pair else []
            done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", self.ca.cert, *own, url], capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode == 0, works, done)
            own = ["-cert", pair.cert, "-key", pair.key] if pair else []
            done = subprocess.run(["openssl", "s_client", "-quiet", "-connect", "127.0.0.1:%d" % parts.port, "-CAfile", self.ca.cert,
                                   "-ign_eof", *own], input=Clients.GET, capture_output=True, timeout=20 * SLOW, check=False)
            self.assertEqual(b"200 OK" in done.stdout, works, done)

    def test_the_authority_is_exchanged(self):
        """Who was let in before keeps the connection; the new list holds for newcomers."""
        path = self.clients.cert
        old = self.trusting(client=self.clients.issue("mailer", names=(), client=True))
        kept = self.request(self.daemon, old)
        self.assertEqual(kept.ask(OP)["accepted"], 1)
        next_clients = Authority(self.tmp, "next")
        newcomer = next_clients.issue("newcomer", names=(), client=True)
        shutil.copy(next_clients.cert, path)
        wait_until(lambda: self.tls(self.daemon)["reloads"] == 1, 10, "the new list")
        new = self.trusting(client=newcomer)
        self.assertEqual(self.request(self.daemon, new).ask(OP)["accepted"], 1)
        with self.assertRaises((OSError, SpError)):
            self.request(self.daemon, old).ask(OP)
        self.assertEqual(kept.ask(OP)["accepted"], 1)


class Dialled(TlsTest):
    """What the daemon connects to itself: `dial:tls+tcp`."""

    def serve(self, pair, clients=None):
        """A listener of the test; returns it and its port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        if clients is not None:
            context.load_verify_locations(clients.cert)
            context.verify_mode = ssl.CERT_REQUIRED
        both = socket.has_dualstack_ipv6()  # localhost may be ::1
        listener = socket.create_server(("", 0), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)
        listener.settimeout(20 * SLOW)
        self.addCleanup(listener.close)
        return context, listener, listener.getsockname()[1]

    def accept(self, context, listener):
        raw, _ = listener.accept()
        return self.shake_hands(context, raw)

    def shake_hands(self, context, raw):
        raw.settimeout(20 * SLOW)
        try:
            stream = context.wrap_socket(raw, server_side=True)
        except OSError:
            raw.close()
            raise
        self.addCleanup(stream.close)
        return stream

    def dial(self, port, *args, **urls):
        kinds = {"pull": None, "sub": None, "rep": None, "feed": None, **urls}
        return self.start(None, args=list(args), **{k: v and "dial:tls+tcp://localhost:%d" % port for k, v in kinds.items()})

    def test_the_bus_and_the_feed(self):
        """Each shows its certificate."""
        daemon_pair = self.ca.issue("daemon", names=(), client=True)
        own = ["--tls-ca", self.ca.cert, "--tls-cert", daemon_pair.cert, "--tls-key", daemon_pair.key]
        context, listener, port = self.serve(self.ca.issue("localhost"), self.ca)
        daemon = self.dial(port, *own, pull=True)
        sender = Sp.accepted(self.accept(context, listener), PUSH, PULL)
        sender.send(pack(OP))
        daemon.wait_total(1)
        daemon.stop()
        daemon = self.dial(port, *own, feed=True)
        Sp.accepted(self.accept(context, listener), SUB, PUB).recv()
        daemon.stop()

    def test_another_daemons_feed(self):
        for scheme, path in (("tls+tcp", ""), ("wss", "/feed")):
            pair = self.ca.issue("localhost")
            first = self.start(None, args=["--tls-cert", pair.cert, "--tls-key", pair.key], feed=scheme + "://localhost:0" + path)
            second = self.start(None, args=["--tls-ca", self.ca.cert], sub="dial:" + first.url("feed"), pull=None, rep=None)
            wait_until(lambda first=first: first.get("/v1/observer/health").json["feed"]["subscribers"] == 1, 20, "the other daemon")
            self.assertEqual(first.post("/event", BODY).status, 200)
            second.wait_total(1)

    def test_a_listener_that_is_not_trusted(self):
        stranger = Authority(self.tmp, "stranger")
        for pair in (stranger.issue("localhost"), self.ca.issue("elsewhere", names=("DNS:elsewhere.example",)),
                     self.ca.issue("localhost", days=(-20, -10))):
            context, listener, port = self.serve(pair)
            daemon = self.dial(port, "--tls-ca", self.ca.cert, pull=True)
            for _ in range(2):  # it goes on trying
                raw, _ = listener.accept()
                with self.assertRaises(OSError):
                    Sp.accepted(self.shake_hands(context, raw), PUSH, PULL)
            daemon.stop()

    def test_files_that_do_not_work(self):
        code, said = self.make(None, args=["--tls-ca", "/nope"], pull="dial:tls+tcp://localhost:1").run_to_exit()
        self.assertEqual(code, 1, said)
        self.assertIn("pull tls+tcp://localhost:1: tls-ca /nope: No such file or directory", said)


# --- handshakes that do not end ---------------------------------------------------------------------------------------


class HalfHandshakes(TlsTest):
    HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40)  # a part of a client's first message

    def half(self, daemon, kind, n=0):
        parts = urlsplit(daemon.url(kind, n))
        s = socket.create_connection((parts.hostname, parts.port), 20 * SLOW)
        s.sendall(self.HELLO)
        self.addCleanup(s.close)
        return s

    def test_they_make_way(self):
        daemon = self.start_tls(self.ca.issue("server"), "--http-connections", "16", "--bus-connections", "16")
        context = self.trusting()
        halves = [self.half(daemon, kind, n) for _ in range(40) for kind, n in (("http", 1), ("rep", 0), ("pull", 0))]
        self.assertEqual(self.post(daemon, context)[0], 200)
        self.assertEqual(self.request(daemon, context).ask(OP)["accepted"], 1)
        counts = daemon.get("/v1/observer/health").json["connections"]
        for kind in ("http", "rep", "pull"):
            self.assertLessEqual(counts[kind]["open"], 17, kind)
            self.assertGreaterEqual(counts[kind]["evicted"], 23, kind)
        self.assertEqual(len(halves), 120)

    def test_they_end(self):
        """And take no thread of the daemon: there are more of them than it has."""
        daemon = self.start_tls(self.ca.issue("server"))
        sockets = [("http", 1)] * (2 * os.cpu_count() + 2) + [("pull", 0), ("sub", 0), ("rep", 0), ("feed", 0)]
        for s in [self.half(daemon, kind, n) for kind, n in sockets]:
            s.settimeout(60 * SLOW)
            try:
                self.assertEqual(s.recv(1 << 16), b"")
            except ConnectionResetError:
                pass
        self.assertEqual(self.post(daemon, self.trusting())[0], 200)
        self.assertEqual(self.request(daemon, self.trusting()).ask(OP)["accepted"], 1)

    def test_a_thousand_that_die_leak_nothing(self):
        daemon = self.start_tls(self.ca.issue("server"))
        context = self.trusting()
        self.assertEqual(self.post(daemon, context)[0], 200)
        files = "/proc/%d/fd" % daemon.pid
        before = len(os.listdir(files))
        parts = urlsplit(daemon.url("http", 1))
        for i in range(1000):
            s = socket.create_connection((parts.hostname, parts.port), 20 * SLOW)
            if i % 4 == 0:
                s.sendall(self.HELLO)
            elif i % 4 == 1:
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            elif i % 4 == 2:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close resets
                s.sendall(self.HELLO)
            s.close()
        wait_until(lambda: len(os.listdir(files)) <= before, 20, "the descriptors of dead handshakes to be given back")
        self.assertEqual(self.post(daemon, context)[0], 200)
        counts = daemon.get("/v1/observer/health").json["connections"]["http"]
        self.assertGreaterEqual(counts["accepted"], 1002)


# --- renewal ----------------------------------------------------------------------------------------------------------


class Renewal(TlsTest):
    def serial(self, daemon, kind="http", n=1):
        """Of the certificate that a newcomer sees."""
        with self.connect(daemon, kind, self.trusting(), n) as stream:
            return stream.getpeercert()["serialNumber"]

    def of(self, pair):
        done = subprocess.run(["openssl", "x509", "-in", pair.cert, "-noout", "-serial"], check=True, capture_output=True, text=True)
        return done.stdout.strip().partition("=")[2]

    def put(self, pair, place):
        """As a renewal does it: each file is replaced at once, one after the other."""
        for new, old in zip(pair, place):
            shutil.copy2(new, old + ".new")
            os.replace(old + ".new", old)

    def place(self, pair):
        """Where the daemon's files are: a copy of the pair."""
        place = Pair(os.path.join(self.tmp, "live.crt"), os.path.join(self.tmp, "live.key"))
        self.put(pair, place)
        return place

    def test_under_load(self):
        """Posts over kept and new connections, requests over kept and new ones, while certificates are exchanged."""
        first = self.ca.issue("first")
        place = self.place(first)
        daemon = self.start_tls(place, data_dir="data")
        context = self.trusting()
        end, failures, done = threading.Event(), [], [0] * 4

        def load(which):
            kept, answer = None, None
            try:
                while not end.is_set():
                    if which < 2:
                        conn = kept or self.https(daemon, context)
                        conn.request("POST", "/event", BODY)
                        answer = conn.getresponse()
                        good = answer.status == 200 and json.loads(answer.read())["accepted"]
                    else:
                        conn = kept or Request.accepted(self.connect(daemon, "rep", context), REQ, REP)
                        good = conn.ask(OP)["accepted"] == 1
                    if not good:
                        failures.append((which, answer))
                    done[which] += 1
                    if which % 2 == 0:
                        kept = conn
                    else:
                        conn.close()
            except Exception as e:  # whatever ends a client is what the test is about
                failures.append((which, repr(e)))
            finally:
                if kept is not None:
                    kept.close()

        threads = [threading.Thread(target=load, args=(which,)) for which in range(4)]
        for t in threads:
            t.start()
        try:
            wait_until(lambda: all(done) or failures, 20, "all four clients to work")
            for n in range(1, 9):
                pair = self.ca.issue("renewed%d" % n)
                self.put(pair, place)
                if n % 2 == 0:
                    daemon.process.send_signal(signal.SIGHUP)
                wait_until(lambda n=n: self.tls(daemon)["reloads"] == n, 20, "the files to be read again")
                before = list(done)
                self.assertEqual(self.serial(daemon), self.of(pair))
                for kind in ("pull", "sub", "rep", "feed"):
                    self.assertEqual(self.serial(daemon, kind, 0), self.of(pair), kind)
                wait_until(lambda before=before: all(a > b for a, b in zip(done, before)) or failures, 20, "all clients to go on")
        finally:
            end.set()
            for t in threads:
                t.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(daemon.journal_lines()), sum(done))
        counts = daemon.get("/v1/observer/health").json["connections"]
        self.assertEqual([counts[k]["accept_errors"] for k in counts], [0] * len(counts))
        self.assertEqual(self.tls(daemon)["refused"], 0)

    def refused(self, daemon, place, why, serial):
        """The daemon says why it does not take the files, and goes on with what it has."""
        count = self.tls(daemon)["refused"]
        def said():
            tls = self.tls(daemon)
            return tls if tls["problem"] and why in tls["problem"] else None

        tls = wait_until(said, 20, "the problem to be told: %s" % why)
        self.assertGreaterEqual(tls["refused"], count)
        self.assertIn(tls["problem"] + "; the certificate that was read before stays in use", daemon.stderr())
        self.assertEqual(self.serial(daemon), serial)
        self.assertEqual(self.post(daemon, self.trusting())[0], 200)

    def test_files_that_do_not_work_change_nothing(self):
        good = self.ca.issue("good")
        place = self.place(good)
        daemon = self.start_tls(place)
        serial = self.of(good)
        other = self.ca.issue("other")

        def write(path, text):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)

        with open(other.cert, encoding="ascii") as f:
            cert = f.read()
        with open(other.key, encoding="ascii") as f:
            key = f.read()
        kept = self.request(daemon, self.trusting())

        self.put(Pair(other.cert, good.key), place)
        self.refused(daemon, place, "tls-key %s: is not the key of tls-cert %s" % (place.key, place.cert), serial)
        write(place.cert, cert[: len(cert) // 2])
        self.refused(daemon, place, "tls-cert %s: holds no whole certificate (PEM)" % place.cert, serial)
        write(place.cert, cert + cert[: len(cert) // 2])
        self.refused(daemon, place, "tls-cert %s: a certificate of its chain is not whole" % place.cert, serial)
        write(place.cert, cert)
        write(place.key, key[: len(key) // 2])
        self.refused(daemon, place, "tls-key %s: holds no private key that can be read" % place.key, serial)
        write(place.key, "")
        self.refused(daemon, place, "tls-key %s: is empty" % place.key, serial)
        os.unlink(place.key)
        self.refused(daemon, place, "tls-key %s: cannot be read: No such file or directory" % place.key, serial)
        os.mkfifo(place.key)
        self.refused(daemon, place, "tls-key %s: is no file that can be read again" % place.key, serial)
        os.unlink(place.key)
        self.put(self.ca.issue("late", days=(-20, -10)), place)
        self.refused(daemon, place, "tls-cert %s: expired at " % place.cert, serial)
        self.put(self.ca.issue("early", days=(10, 20)), place)
        self.refused(daemon, place, "tls-cert %s: is not valid before " % place.cert, serial)

        self.assertEqual(self.tls(daemon)["reloads"], 0)
        refused = self.tls(daemon)["refused"]
        self.assertGreaterEqual(refused, 9)
        daemon.process.send_signal(signal.SIGHUP)  # who asks for it is told again
        wait_until(lambda: self.tls(daemon)["refused"] == refused + 1, 10, "the reload to be refused")
        self.put(good, place)
        wait_until(lambda: self.tls(daemon)["problem"] is None, 10, "the problem to be over")
        self.assertIn("is again the certificate that is in use", daemon.stderr())
        self.put(other, place)
        wait_until(lambda: self.tls(daemon)["reloads"] == 1, 10, "the good pair")
        self.assertEqual(self.serial(daemon), self.of(other))
        self.assertEqual(kept.ask(OP)["accepted"], 1)

    def test_there_and_back(self):
        first, second = self.ca.issue("first"), self.ca.issue("second")
        place = self.place(first)
        daemon = self.start_tls(place)
        for pair, reloads in ((second, 1), (first, 2), (second, 3)):
            self.put(pair, place)
            wait_until(lambda reloads=reloads: self.tls(daemon)["reloads"] == reloads, 10, "the new pair")
            self.assertEqual(self.serial(daemon), self.of(pair))

    def test_links_that_are_turned(self):
        """As Kubernetes mounts secrets: the paths go through a link to a folder, which is exchanged."""
        folders = []
        for name in ("one", "two"):
            folder = os.path.join(self.tmp, name)
            os.mkdir(folder)
            pair = self.ca.issue(name)
            for path, to in zip(pair, ("tls.crt", "tls.key")):
                shutil.copy2(path, os.path.join(folder, to))
            folders.append((folder, pair))
        link = os.path.join(self.tmp, "current")
        os.symlink(folders[0][0], link)
        daemon = self.start_tls(Pair(os.path.join(link, "tls.crt"), os.path.join(link, "tls.key")))
        self.assertEqual(self.serial(daemon), self.of(folders[0][1]))
        os.symlink(folders[1][0], link + ".new")
        os.replace(link + ".new", link)
        wait_until(lambda: self.tls(daemon)["reloads"] == 1, 10, "the other folder's certificate")
        self.assertEqual(self.serial(daemon), self.of(folders[1][1]))

    def test_wss_takes_the_new_one_too(self):
        first, second = self.ca.issue("first"), self.ca.issue("second")
        place = self.place(first)
        daemon = self.start_tls(place, feed="wss://127.0.0.1:0/feed")
        self.assertEqual(self.serial(daemon, "feed", 0), self.of(first))
        self.put(second, place)
        wait_until(lambda: self.tls(daemon)["reloads"] == 1, 10, "the new certificate")
        self.assertEqual(self.serial(daemon, "feed", 0), self.of(second))


# --- what the operator is told ----------------------------------------------------------------------------------------


class Told(TlsTest):
    def doctor(self, daemon):
        done = subprocess.run([os.path.join(BUILD, "observerctl"), "doctor", "--json", "--url", daemon.url("http")],
                              capture_output=True, text=True, check=False, cwd=self.tmp)
        return [(c["status"], c["text"]) for c in json.loads(done.stdout)["checks"] if c["check"] == "tls"]

    def test_without_tls(self):
        daemon = self.start(None)
        self.assertEqual(self.tls(daemon), {"expires": None, "ca_expires": None, "problem": None, "expires_s": 0, "reloads": 0,
                                            "refused": 0})
        self.assertEqual(self.doctor(daemon), [])

    def test_when_it_expires(self):
        for days, status, words in ((90.5, "ok", "expires in 90 days, at "), (10.5, "warn", "expires in 10 days, at "),
                                    (-5, "fail", "expired at ")):
            clients = Authority(self.tmp, "clients")
            pair = self.ca.issue("server", days=(-20, days))
            daemon = self.start_tls(pair, "--tls-ca", clients.cert)
            tls = self.tls(daemon)
            self.assertEqual(self.doctor(daemon), [(status, "the listeners' certificate " + words + tls["expires"]),
                                                   ("ok", "the CA of clients' certificates expires in 89 days, at " + tls["ca_expires"])])
            done = subprocess.run(["openssl", "x509", "-in", pair.cert, "-noout", "-enddate", "-dateopt", "iso_8601"],
                                  check=True, capture_output=True, text=True)
            self.assertEqual(tls["expires"], done.stdout.strip().partition("=")[2].replace(" ", "T").replace("Z", ".000Z"))
            self.assertEqual("expires at" in daemon.stderr() or "expired at" in daemon.stderr(), status != "ok", daemon.stderr())
            daemon.stop()

    def test_a_problem(self):
        pair = self.ca.issue("server")
        daemon = self.start_tls(pair)
        os.unlink(pair.cert)
        wait_until(lambda: self.tls(daemon)["problem"], 10, "the problem")
        self.assertIn(("fail", "tls-cert %s: cannot be read: No such file or directory; the daemon goes on with the certificate that it "
                               "read before" % pair.cert), self.doctor(daemon))

    def test_a_private_key_that_others_can_read(self):
        pair = self.ca.issue("server")
        for mode, warned in ((0o600, False), (0o640, False), (0o644, True)):
            os.chmod(pair.key, mode)
            daemon = self.start_tls(pair)
            self.assertEqual("tls-key %s: mode 0%o: every user of this machine can use the private key; chmod 0600 it"
                             % (pair.key, mode) in daemon.stderr(), warned, daemon.stderr())
            daemon.stop()

    def refuse(self, pair, why, *args):
        code, said = self.make(None, args=["--tls-cert", pair.cert, "--tls-key", pair.key, *args],
                               http="https://127.0.0.1:0").run_to_exit()
        self.assertEqual((code, "http https://127.0.0.1:0: " + why in said), (1, True), said)

    def test_what_does_not_work_ends_the_start(self):
        one, two = self.ca.issue("one"), self.ca.issue("two")
        rubbish = os.path.join(self.tmp, "rubbish")
        with open(rubbish, "w", encoding="ascii") as f:
            f.write("no certificate\n")
        nul = os.path.join(self.tmp, "nul")
        with open(nul, "wb") as f:
            f.write(b"\0" * 10)
        code, said = self.make(None, http="https://127.0.0.1:0").run_to_exit()
        self.assertEqual(code, 2)
        self.assertIn("https://127.0.0.1:0: needs --tls-cert and --tls-key", said)
        self.refuse(Pair("/nope", one.key), "tls-cert /nope: cannot be read: No such file or directory")
        self.refuse(Pair(one.cert, two.key), "tls-key %s: is not the key of tls-cert %s" % (two.key, one.cert))
        self.refuse(Pair(rubbish, one.key), "tls-cert %s: holds no whole certificate (PEM)" % rubbish)
        self.refuse(Pair(nul, one.key), "tls-cert %s: is not PEM text of at most 1 MiB" % nul)
        self.refuse(Pair(one.cert, rubbish), "tls-key %s: holds no private key that can be read (PEM, without a passphrase)" % rubbish)
        self.refuse(one, "tls-ca %s: holds no whole certificate (PEM)" % rubbish, "--tls-ca", rubbish)
        locked = os.path.join(self.tmp, "locked")
        subprocess.run(["openssl", "ec", "-in", one.key, "-aes128", "-passout", "pass:x", "-out", locked], check=True, capture_output=True)
        edwards = Pair(os.path.join(self.tmp, "edwards.crt"), os.path.join(self.tmp, "edwards.key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "9", "-subj", "/CN=edwards", "-keyout",
                        edwards.key, "-out", edwards.cert], check=True, capture_output=True)
        self.refuse(edwards, "tls-cert %s: NNG's TLS cannot use it (keys may be RSA, or EC on P-256, P-384 or P-521)" % edwards.cert)
        self.refuse(Pair(one.cert, locked), "tls-key %s: holds no private key that can be read (PEM, without a passphrase)" % locked)


if __name__ == "__main__":
    main()
