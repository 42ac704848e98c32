"""What notifications are sent to in tests: an HTTP server, an SMTP server, and a driver of src/notify.

    hook = HttpSink()                      hook.url, hook.requests: [Request(path, headers, body)]; hook.behave(status=500)
    mail = MailSink(starttls=pair)         mail.url, mail.letters: [Letter(sender, to, message)]
    tool = Tool(folder)                    tool("fire 1 failing page endpoint=/x it fails"), tool.feed: [(topic, row)]
"""

import base64
import email
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections import namedtuple

from harness import BUILD, SANITIZER, SLOW, wait_until

Request = namedtuple("Request", "path headers body")
Letter = namedtuple("Letter", "sender to message login")


class HttpSink:
    """Answers posts. Behaviours: status, headers, body, hang (never answers), first=N (only the first N requests)."""

    def __init__(self):
        self.requests, self.times, self.how, self.port = [], [], {}, 0
        self.open()

    def open(self):
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                sink.times.append(time.monotonic())
                sink.requests.append(Request(self.path, dict(self.headers), body))
                how = sink.how
                if "first" in how:
                    how = how if len(sink.requests) - how["seen"] <= how["first"] else {}
                if how.get("hang"):
                    while sink.how.get("hang"):
                        time.sleep(0.02)
                    self.close_connection = True
                    return
                answer = how.get("body", b"ok")
                self.send_response(how.get("status", 200))
                for name, value in how.get("headers", {}).items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                try:
                    self.wfile.write(answer)
                except OSError:
                    pass  # whoever asked has read enough

            do_GET = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            allow_reuse_address = True

            def handle_error(self, *_):
                pass  # whoever asked was killed

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def behave(self, **how):
        self.how = dict(how, seen=len(self.requests))

    def bodies(self):
        return [json.loads(r.body) for r in list(self.requests)]

    def wait(self, n, seconds=20):
        wait_until(lambda: len(self.requests) >= n, seconds, "%d requests, there are %d" % (n, len(self.requests)))
        return self.bodies()

    def close(self):
        self.how = {}
        self.server.shutdown()
        self.server.server_close()


class MailSink:
    """An SMTP server. `pair`: it offers STARTTLS with this certificate; `login`: the user and password that it wants;
    `refuse`: recipients that it does not know; `status`: what it answers at the end of a letter."""

    def __init__(self, pair=None, login=None, refuse=(), status="250 taken"):
        self.letters, self.commands, self.wrapped = [], [], []
        self.login, self.refuse, self.status = login, refuse, status
        self.tls = None
        if pair is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(pair.cert, pair.key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "smtp://localhost:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        try:
            self.converse(connection)
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def converse(self, connection):
        lines = connection.makefile("rb")
        secure = logged_in = False
        sender, to = None, []

        def say(text):
            connection.sendall(text.encode() + b"\r\n")

        say("220 sink ready")
        while True:
            line = lines.readline().decode().rstrip("\r\n")
            if not line:
                return
            self.commands.append(line)
            word = line.split(" ")[0].upper()
            if word == "EHLO":
                offers = ["sink"]
                if self.tls is not None and not secure:
                    offers.append("STARTTLS")
                if self.login is not None:
                    offers.append("AUTH PLAIN")
                for offer in offers[:-1]:
                    say("250-" + offer)
                say("250 " + offers[-1])
            elif word == "STARTTLS" and self.tls is not None:
                say("220 go on")
                connection = self.tls.wrap_socket(connection, server_side=True)
                self.wrapped.append(connection)
                lines = connection.makefile("rb")
                secure = True
            elif word == "AUTH":
                text = line.split(" ")[2] if len(line.split(" ")) > 2 else None
                if text is None:
                    say("334 ")
                    text = lines.readline().decode().strip()
                user = base64.b64decode(text).decode().split("\0")
                logged_in = tuple(user[1:]) == self.login
                say("235 come in" if logged_in else "535 no")
            elif word == "MAIL":
                sender, to = line, []
                say("250 ok" if self.login is None or logged_in else "530 who are you")
            elif word == "RCPT":
                known = not any(name in line for name in self.refuse)
                to += [line.split("<")[1].rstrip(">")] if known else []
                say("250 ok" if known else "550 not known here")
            elif word == "DATA":
                say("354 go on")
                text = b""
                while not text.endswith(b"\r\n.\r\n"):
                    text += lines.readline()
                self.letters.append(Letter(sender, to, email.message_from_bytes(text[:-3]), logged_in))
                say(self.status)
            elif word == "QUIT":
                say("221 bye")
                return
            else:
                say("500 what?")

    def wait(self, n, seconds=20):
        wait_until(lambda: len(self.letters) >= n, seconds, "%d letters; commands: %s" % (n, self.commands))
        return self.letters

    def close(self):
        self.listener.close()
        for connection in self.wrapped:
            connection.close()


class Tool:
    """tests/process/notify_tool.c: each call is a command and returns its answer."""

    def __init__(self, folder, public_url="http://obs.example:3800"):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.public_url, self.feed, self.errors = folder, public_url, [], ""
        self.log = os.path.join(folder, "stderr")
        self.spawn()

    def spawn(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([os.path.join(BUILD, "tests", "notify_tool"), self.folder, self.public_url],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.answer() == "ready", self.stderr()

    def answer(self):
        while True:
            line = self.process.stdout.readline().rstrip("\n")
            if not line.startswith("feed "):
                return line
            _, topic, row = line.split(" ", 2)
            self.feed.append((topic, json.loads(row)))

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def counts(self):
        return json.loads(self("counts"))

    def configure(self, **file):
        path = os.path.join(self.folder, "rules.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(file, f)
        return self("config " + path)

    def rows(self, name="notifications.jsonl"):
        with open(os.path.join(self.folder, name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def stderr(self):
        with open(self.log, encoding="utf-8") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def stop(self):
        if self.process.poll() is not None:
            return self.process.returncode
        self.process.stdin.close()
        code = self.process.wait(20 * SLOW)
        self.process.stdout.close()
        return code

    def finish(self):
        code = self.stop()
        assert not SANITIZER.search(self.stderr()), self.stderr()
        assert code in (0, -9), (code, self.stderr())
