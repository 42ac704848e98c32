"""A server for the tests that stands for every service that the daemon calls: models, the team, the gateway.

A real process, so that what the daemon meets is a real peer. It serves POST /ai/generate, /v1/chat/completions, /api/run
and /log, and GET /health; anything else is 404. How it behaves is said by lines of JSON on its standard input
({"path": null or one, "behaviour": {...}}, each answered with `ok`), and it ends when that closes:

    model_server.py [--address IP] [--port N] [--log FILE]      prints its port, then serves; FILE gets a line a request

Behaviours, for all paths or one; what is set replaces what was set before (for all paths: everything):
    delay=SECONDS     waits before anything else
    hang=True         never answers
    close=True        closes without an answer
    fail_first=N      503 N times, then as if it were not given
    status=CODE       that status, with retry_after=SECONDS and location=URL as headers when given
    text="..."        what the model says
    raw="..."         the body as it is
    big=BYTES         a text of so many bytes
    cut=True          the half of the answer, then the end
    tokens=N          what an OpenAI answer says that it cost
    grounded=True     reads the seqs of the quoted ops in the prompt and cites two of them: a diagnosis, or for a review
                      a verdict (verdict="accept" unless given)
Without any: grounded for the models, {"ok":true} for the others.
"""

import argparse
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

PATHS = ("/ai/generate", "/v1/chat/completions", "/api/run", "/log")
QUOTED = re.compile(r'^\{"seq":(\d+)', re.MULTILINE)


def prompt_of(body):
    """All that a model is told, of either kind of request."""
    if not isinstance(body, dict):
        return ""
    messages = body.get("messages") or []
    return "\n".join([str(body.get("prompt", ""))] + [str(m.get("content", "")) for m in messages])


def grounded(prompt, verdict):
    seqs = [int(seq) for seq in QUOTED.findall(prompt)][:2]
    if '"verdict"' in prompt:
        return json.dumps({"verdict": verdict, "confidence": 0.9, "notes": "the recorded ops agree", "seqs": seqs})
    return json.dumps({"cause": "the upstream refuses what it is sent", "adjust": "send less at once and wait between tries",
                       "dont": "do not repeat a refused call at once",
                       "claims": [{"text": "these calls were refused", "seqs": seqs}]})


def says(path, text, body, tokens):
    """The service's answer with `text` in it, as JSON."""
    if path != "/v1/chat/completions":
        return json.dumps({"text": text})
    asked = len(prompt_of(body)) // 4 + 1
    usage = {"prompt_tokens": asked, "completion_tokens": len(text) // 4 + 1}
    usage["total_tokens"] = tokens if tokens is not None else sum(usage.values())
    return json.dumps({"id": "chatcmpl-1", "object": "chat.completion", "model": body.get("model") if isinstance(body, dict) else None,
                       "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                       "usage": usage})


class Behaviours:
    """What is set, and how often each path has failed because of `fail_first`."""

    def __init__(self):
        self.lock = threading.Lock()
        self.of = {}

    def set(self, path, behaviour):
        with self.lock:
            if path is None:
                self.of.clear()
            self.of[path] = dict(behaviour)

    def get(self, path):
        """A copy; a failure that it still owes is taken from it and is its status."""
        with self.lock:
            for key in (path, None):
                if key in self.of:
                    own = self.of[key]
                    out = dict(own)
                    if own.get("fail_first", 0) > 0:
                        own["fail_first"] -= 1
                        out["status"] = 503
                    return out
        return {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.connection.settimeout(600)

    def record(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0)).decode("utf-8", "replace")
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw
        row = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body, "time": time.time()}
        self.server.record(row)
        return body

    def answer(self, status, body, behaviour):
        data = body.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name in ("retry_after", "location"):
            if name in behaviour:
                self.send_header(name.replace("_", "-"), str(behaviour[name]))
        self.end_headers()
        if behaviour.get("cut"):
            self.close_connection = True
            data = data[: len(data) // 2]
        self.wfile.write(data)

    def do_GET(self):
        ok = self.path == "/health"
        self.answer(200 if ok else 404, json.dumps({"status": "ok"} if ok else {"error": "not found"}), {})

    def do_POST(self):
        body = self.record()
        if self.path not in PATHS:
            return self.answer(404, json.dumps({"error": "not found"}), {})
        how = self.server.behaviours.get(self.path)
        time.sleep(how.get("delay", 0))
        if how.get("hang"):
            self.server.ends.wait()
        if how.get("hang") or how.get("close"):
            self.close_connection = True
            return None
        return self.answer(how.get("status", 200), self.content(body, how), how)

    def content(self, body, how):
        status = how.get("status", 200)
        if "raw" in how:
            return how["raw"]
        if status // 100 != 2:
            return json.dumps({"error": "status %d was asked for" % status})
        if "text" in how or "big" in how:
            return says(self.path, how.get("text", "x" * how.get("big", 0)), body, how.get("tokens"))
        if self.path in ("/api/run", "/log") and not how.get("grounded"):
            return json.dumps({"ok": True})
        return says(self.path, grounded(prompt_of(body), how.get("verdict", "accept")), body, how.get("tokens"))

    def handle(self):
        try:
            super().handle()
        except OSError:  # the client went away
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address, port, log):
        super().__init__((address, port), Handler)
        self.behaviours = Behaviours()
        self.ends = threading.Event()
        self.lock = threading.Lock()
        self.log = log and open(log, "a", encoding="utf-8")  # pylint: disable=consider-using-with

    def record(self, row):
        """On disk before the answer goes out."""
        if self.log:
            with self.lock:
                self.log.write(json.dumps(row) + "\n")
                self.log.flush()


def serve():
    options = argparse.ArgumentParser(description="Stands for the services that observerd calls.")
    options.add_argument("--address", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--log")
    args = options.parse_args()
    server = Server(args.address, args.port, args.log)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    print(server.server_port, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        server.behaviours.set(command.get("path"), command["behaviour"])
        print("ok", flush=True)
    server.ends.set()


class ModelServer:
    """The process, from a test. `url` is what the daemon is given; it stays the same over stop() and again()."""

    def __init__(self, directory):
        self.log = os.path.join(directory, "requests.jsonl")
        self.port = 0
        self.process = None
        self.behaviours = []

    @classmethod
    def start(cls, testcase):
        """Runs until the test's end."""
        directory = tempfile.mkdtemp(prefix="obs-model-")
        testcase.addCleanup(shutil.rmtree, directory, True)
        self = cls(directory)
        testcase.addCleanup(self.stop)
        return self.again()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def again(self):
        """Starts it, on the port that it had, with the behaviours that were set."""
        command = [sys.executable, "-B", os.path.abspath(__file__), "--port", str(self.port), "--log", self.log]
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError("the model server does not start")
        self.port = int(line)
        for command in self.behaviours:
            self.tell(command)
        return self

    def stop(self):
        """Nobody listens on the port afterwards. What was asked stays in requests()."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process = None

    def restart(self):
        self.stop()
        return self.again()

    def tell(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer == "ok", answer

    def set(self, path=None, **behaviour):
        """For all paths or one; replaces what was set. It holds for the next request."""
        command = {"path": path, "behaviour": behaviour}
        self.behaviours = [] if path is None else [c for c in self.behaviours if c["path"] != path]
        self.behaviours.append(command)
        self.tell(command)

    def requests(self, path=None):
        """What was asked, in order, each {"path", "headers" (lower-case names), "body" (JSON, or text), "time"}; also
        before a restart."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as f:
            rows = [json.loads(line) for line in f.read().split("\n")[:-1]]
        return [row for row in rows if path is None or row["path"] == path]


if __name__ == "__main__":
    serve()
