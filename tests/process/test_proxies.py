"""Behind HAProxy (`http-reuse always`) and nginx with kept connections: shapes that smuggle a request past a proxy. What the
proxy did not forward as a request is not executed, its rule against POST is not passed by, and nobody gets another's answer."""

import itertools
import os
import shutil
import socket
import subprocess
from urllib.parse import urlsplit

from harness import SLOW, DaemonTest, free_port, main, wait_until

OP = '{"endpoint":"/smuggled","success":true}'
H = "Host: localhost\r\n"
ALIVE = b'{"status":"ok"}\n'
READY = b'{"status":"ready"}\n'
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def post(body, extra=""):
    return "POST /event HTTP/1.1\r\n" + H + extra + "Content-Length: %d\r\n\r\n%s" % (len(body), body)


INNER = post(OP)
N = len(INNER)
# Its body is what the next user of the connection sends.
OPEN = "POST /event HTTP/1.1\r\n" + H + "Content-Length: 400\r\n\r\n" + '{"endpoint":"'


def get(head="", line="GET /health HTTP/1.1", host=H):
    return line + "\r\n" + host + head + "\r\n"


LENGTH = "Content-Length: %d\r\n" % N
CHUNKED = "Transfer-Encoding: chunked\r\n"

# What stands in front of the smuggled request.
SHAPES = (
    # the two that passed a stock HAProxy once, and their neighbours
    get(LENGTH, host=""),
    get(LENGTH, line="OPTIONS * HTTP/1.1"),
    get(LENGTH, line="OPTIONS * HTTP/1.1", host=""),
    get(LENGTH, line="GET /health HTTP/1.0", host=""),
    # empty and odd targets and lines
    get(LENGTH, line="GET  /health HTTP/1.1"),
    get(CHUNKED + LENGTH, line="GET  /health HTTP/1.1"),
    get(LENGTH, line="GET /health  HTTP/1.1"),
    get(LENGTH, line="GET health HTTP/1.1"),
    get(LENGTH, line="GET http://localhost/health HTTP/1.1"),
    get(LENGTH, line="GET http://localhost HTTP/1.1"),
    get(LENGTH, line="GET /a/../health HTTP/1.1"),
    "\r\n\r\n" + get(LENGTH),
    # a body where none is expected
    get(LENGTH),
    get(LENGTH, line="HEAD /livez HTTP/1.1"),
    get(LENGTH, line="DELETE /stats HTTP/1.1"),
    get("Content-Length: 0\r\n" + LENGTH),
    get(LENGTH + "Content-Length: 0\r\n"),
    get(LENGTH + LENGTH),
    get("Content-Length: %d, %d\r\n" % (N, N)),
    get("Content-Length: +%d\r\n" % N),
    get("Content-Length: 0%d\r\n" % N),
    get("Content-Length: 0x%x\r\n" % N),
    # white space and bytes around the names that frame
    get("Content-Length : %d\r\n" % N),
    get("Content-Length  : %d\r\n" % N),
    get("Content-Length\t: %d\r\n" % N),
    get(" Content-Length: %d\r\n" % N),
    get("X: y\r\n Content-Length: %d\r\n" % N),
    get("Content-Length:\x0b%d\r\n" % N),
    get("X: y\rContent-Length: %d\r\n" % N),
    get("X: y\nContent-Length: %d\r\n" % N),
    get("X: y\n\n"),
    # chunks against lengths
    get(CHUNKED + LENGTH) + "0\r\n\r\n",
    get(LENGTH + CHUNKED) + "0\r\n\r\n",
    get(CHUNKED + "Transfer-Encoding: identity\r\n") + "0\r\n\r\n",
    get("Transfer-Encoding: identity\r\n" + LENGTH),
    get("Transfer-Encoding: xchunked\r\n" + LENGTH),
    get("Transfer-Encoding : chunked\r\n" + LENGTH) + "0\r\n\r\n",
    get("Transfer-Encoding:\x0bchunked\r\n" + LENGTH) + "0\r\n\r\n",
    get("Transfer-Encoding: chunked\r\n" + LENGTH, line="GET /health HTTP/1.0") + "0\r\n\r\n",
    get(CHUNKED, line="GET /livez HTTP/1.1") + "%x\r\n" % N,
    get(CHUNKED, line="GET /livez HTTP/1.1") + "0;a\nb\r\n\r\n",
    get(CHUNKED, line="GET /livez HTTP/1.1") + "0\r\nX: y\r\n",
    get(CHUNKED, line="GET /livez HTTP/1.1") + "0000000000000000%x\r\n" % N,
    get("Connection: Content-Length\r\n" + LENGTH),
    get("Connection: close, Content-Length\r\nUpgrade: h2c\r\n" + LENGTH),
    get("Expect: 100-continue\r\n" + LENGTH),
)


class Proxy:
    """One that forwards to a daemon. `deny`: no POST passes."""

    def __init__(self, work_dir, daemon, deny):
        self.work_dir, self.deny = work_dir, deny
        self.port = free_port()
        self.daemon_port = urlsplit(daemon.url("http")).port
        self.log_path = os.path.join(work_dir, "log")
        os.mkdir(work_dir)
        config = os.path.join(work_dir, "conf")
        with open(config, "w", encoding="ascii") as f:
            f.write(self.config())
        with open(self.log_path, "wb") as out, open(os.path.join(work_dir, "stderr"), "wb") as err:
            self.process = subprocess.Popen(self.command(config), stdout=out, stderr=err, cwd=work_dir)

    def end(self):
        self.process.terminate()
        self.process.wait(30 * SLOW)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), 10 * SLOW)

    def is_up(self):
        try:
            return Client(self).ask(get(line="GET /livez HTTP/1.1"))[:1] == [(200, ALIVE)]
        except OSError:
            return False

    def posts(self):
        """The statuses of the POSTs that it forwarded."""
        with open(self.log_path, encoding="latin1") as f:
            rows = [line.split() for line in f if line.startswith("seen ")]
        return [int(row[2]) for row in rows if row[1] == "POST"]


class HAProxy(Proxy):
    def command(self, config):
        return [shutil.which("haproxy", path=PATH), "-db", "-f", config]

    def config(self):
        return """global
  nbthread 1
  log stdout format raw local0
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  log global
  log-format "seen %%HM %%ST"
frontend in
  bind 127.0.0.1:%d
  %s
  default_backend observer
backend observer
  http-reuse always
  server one 127.0.0.1:%d
""" % (self.port, "http-request deny if METH_POST" if self.deny else "", self.daemon_port)


class Nginx(Proxy):
    def command(self, config):
        return [shutil.which("nginx", path=PATH), "-p", self.work_dir, "-c", config]

    def config(self):
        temp = "".join("%s_temp_path %s;" % (kind, os.path.join(self.work_dir, kind)) for kind in
                       ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return """daemon off; master_process off; pid %s/pid; error_log stderr;
events {}
http {
  %s
  log_format seen 'seen $request_method $status';
  access_log %s seen;
  upstream observer { server 127.0.0.1:%d; keepalive 4; }
  server {
    listen 127.0.0.1:%d;
    location / {
      %s
      proxy_pass http://observer;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_read_timeout 5s;
      proxy_ignore_client_abort on;
    }
  }
}
""" % (self.work_dir, temp, self.log_path, self.daemon_port, self.port,
       "if ($request_method = POST) { return 403; }" if self.deny else "")


class Client:
    """One connection to a proxy."""

    def __init__(self, proxy):
        self.sock = proxy.connect()
        self.buffer = b""

    def more(self):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, socket.timeout):
            data = b""
        self.buffer += data
        return data != b""

    def answer(self):
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                return None
        top, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        head = top.decode("latin1").lower()
        while "transfer-encoding: chunked" in head and not self.buffer.endswith(b"0\r\n\r\n") and self.more():
            pass
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        size = int(fields.get("content-length", len(self.buffer)))
        while len(self.buffer) < size and self.more():
            pass
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return int(head.split()[1]), body

    def ask(self, text):
        """Sends it, says that no more comes, and returns every answer until the connection ends."""
        answers = []
        try:
            self.sock.sendall(text.encode("latin1"))
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        while True:
            answer = self.answer()
            if answer is None:
                self.sock.close()
                return answers
            answers.append(answer)


class Behind:
    """The tests of one kind of proxy."""

    kind = None

    def proxy(self, deny):
        self.daemon = self.start()
        proxy = self.kind(os.path.join(self.tmp, "proxy"), self.daemon, deny)
        self.addCleanup(proxy.end)
        wait_until(proxy.is_up, 10, "the proxy serves")
        return proxy

    def victims(self, proxy, shape):
        """Others on the proxy's kept connections get their own answers."""
        for path, want in (("/livez", ALIVE), ("/readyz", READY), ("/livez", ALIVE)):
            answers = Client(proxy).ask(get("Connection: close\r\n", line="GET %s HTTP/1.1" % path))
            self.assertEqual([a[0] for a in answers], [200], (shape, path, answers))
            self.assertEqual(answers[0][1], want, shape)

    def fresh(self, proxy):
        """What comes next is the first request of a connection to the daemon, which closes behind an error."""
        self.assertEqual(Client(proxy).ask(get(line="GET /nope HTTP/1.1"))[0][0], 404)

    def recorded(self):
        stats = self.daemon.stats()
        return stats["total"], [row["endpoint"] for row in self.daemon.journal_rows()], self.daemon.rejected_rows()

    def test_no_shape_passes_the_rule_against_post(self):
        proxy = self.proxy(deny=True)
        self.assertEqual(Client(proxy).ask(INNER)[0][0], 403)
        for shape in SHAPES:
            for fresh, smuggled in itertools.product((True, False), (INNER, OPEN)):
                if fresh:
                    self.fresh(proxy)
                Client(proxy).ask(shape + smuggled)
                self.victims(proxy, shape)
                self.assertEqual(self.recorded(), (0, [], []), shape)

    def test_what_is_executed_was_forwarded(self):
        """Without the rule: as many POSTs are recorded as the proxy has answered with 200."""
        proxy = self.proxy(deny=False)
        self.assertEqual(Client(proxy).ask(INNER)[0], (200, b'{"accepted":true,"ring_size":1}\n'))
        for shape in SHAPES:
            shape = shape.replace("GET /health", "POST /event").replace("GET  /health", "POST  /event")
            Client(proxy).ask(shape + INNER)
            self.fresh(proxy)
            Client(proxy).ask(shape + INNER)
            self.victims(proxy, shape)
            total, endpoints, _ = self.recorded()
            wait_until(lambda: proxy.posts().count(200) >= total, 10, "the proxy's log has %d POSTs" % total)
            self.assertEqual(proxy.posts().count(200), total, shape)
            self.assertEqual(endpoints, ["/smuggled"] * total, shape)


class BehindHAProxy(Behind, DaemonTest):
    kind = HAProxy


class BehindNginx(Behind, DaemonTest):
    kind = Nginx


if __name__ == "__main__":
    main()
