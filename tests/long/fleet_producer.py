"""The producers of one edge, in its namespace: REP and POST /event, which repeat each batch until it is acknowledged, and PUSH,
which nobody acknowledges. Each numbers its ops: op_id `<edge>.<way>.<number>`.

  fleet_producer.py EDGE     commands come as lines on stdin: go OPS_PER_SECOND, hold, count

`hold` waits until what is under way is acknowledged. Each command is answered by a line of JSON: how far each has come.

Now and then a requester goes away before its answer comes, and sends the batch again: the answer was lost, not the op.
"""

import http.client
import json
import random
import sys
import threading
import time

import harness

BATCH = 100
SOURCES = ("mcp", "bot", "scenario")
WAYS = ("rep", "post", "push")
SHARES = {"rep": 0.5, "post": 0.4, "push": 0.1}
ERRORS = ("connection refused by host %d", "timeout after %d ms", "no such file: /data/%d.csv", "exit status %d")


def op(edge, way, n):
    out = {"endpoint": "/e%d" % (n % 7), "source": SOURCES[n % 3], "success": n % 5 != 0,
           "op_id": "%s.%s.%d" % (edge, way, n), "session_id": "s%d" % (n // 5 % 1009), "duration_ms": n % 3000,
           "input_summary": "step %d of the task that this agent was given" % (n % 97)}
    if not out["success"]:
        out["error"] = ERRORS[n // 5 % 4] % (n % 11)
    return out


class Producer(threading.Thread):
    """One way in. `next` is the number behind the last op that is done with: acknowledged, or sent."""

    def __init__(self, group, way):
        super().__init__(daemon=True)
        self.group, self.way = group, way
        self.next = self.duplicates = self.refused = self.retries = 0
        self.parked = True
        self.random = random.Random(way)
        self.link = None

    def run(self):
        while True:
            self.parked = True
            self.group.open.wait()
            self.parked = False
            if not self.group.open.is_set():
                continue  # held again meanwhile
            begin = time.monotonic()
            self.deliver([op(self.group.edge, self.way, n) for n in range(self.next, self.next + BATCH)])
            self.next += BATCH
            time.sleep(max(0, BATCH / (self.group.rate * SHARES[self.way]) - (time.monotonic() - begin)))

    def deliver(self, ops):
        body = json.dumps(ops).encode()
        while True:
            try:
                if self.link is None:
                    self.link = self.open()
                if self.send(body):
                    return
                self.refused += 1
            except (OSError, http.client.HTTPException, ValueError):
                self.retries += 1
                self.close()
                if self.way == "push":
                    return  # what became of it nobody knows
            time.sleep(0.2)

    def close(self):
        if self.link is not None:
            self.link.close()
        self.link = None

    def open(self):
        if self.way == "rep":
            return harness.Req("tcp://127.0.0.1:3803", timeout=60)
        if self.way == "push":
            return harness.Push("tcp://127.0.0.1:3801", timeout=60)
        return http.client.HTTPConnection("127.0.0.1", 3800, timeout=60)

    def send(self, body):
        """Whether it was acknowledged, or sent where nobody does that."""
        if self.way == "push":
            self.link.send(body)
            return True
        if self.random.random() < 0.05:
            self.lose_answer(body)
        if self.way == "rep":
            said = self.link.request(body)
            duplicates = said["duplicates"]
            accepted = said["accepted"] + duplicates
        else:
            self.link.request("POST", "/v1/observer/event", body, {"content-type": "application/json"})
            answer = self.link.getresponse()
            said = json.loads(answer.read())
            accepted = said["count"] if answer.status == 200 else 0
            duplicates = said.get("duplicates", 0)  # they are counted among the others
        if accepted != BATCH:
            return False
        self.duplicates += duplicates
        return True

    def lose_answer(self, body):
        if self.way == "rep":
            self.link.send_request(body)
        else:
            self.link.request("POST", "/v1/observer/event", body, {"content-type": "application/json"})
        time.sleep(self.random.random() * 0.02)
        self.close()
        self.link = self.open()


class Group:
    def __init__(self, edge):
        self.edge, self.rate, self.open = edge, 1.0, threading.Event()
        self.producers = [Producer(self, way) for way in WAYS]
        for producer in self.producers:
            producer.start()

    def count(self):
        out = {p.way: p.next for p in self.producers}
        for name in ("duplicates", "refused", "retries"):
            out[name] = sum(getattr(p, name) for p in self.producers)
        return out

    def hold(self):
        self.open.clear()
        while not all(p.parked for p in self.producers):
            time.sleep(0.01)


def main():
    group = Group(sys.argv[1])
    for line in sys.stdin:
        words = line.split()
        if words[0] == "go":
            group.rate = float(words[1])
            group.open.set()
        elif words[0] == "hold":
            group.hold()
        print(json.dumps(group.count()), flush=True)


if __name__ == "__main__":
    main()
