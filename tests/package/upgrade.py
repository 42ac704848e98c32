#!/usr/bin/env python3
"""What an upgrade of the daemon must keep; scripts/package_test.sh drives it.

    tests/package/upgrade.py record URL           gives an older daemon something of every sort that it records
    tests/package/upgrade.py remember URL FILE    writes down what it answers
    tests/package/upgrade.py compare URL FILE     fails where the upgraded daemon does not answer the same

Whoever upgrades may have a daemon whose last checkpoint is older than its last rows: `record` can be called again.
"""

import json
import sys
import time
import urllib.error
import urllib.request

ENDPOINTS = ("/v1/chat", "/v1/search", "mailer:send", "scenario:fill")
SOURCES = ("mcp", "langfuse", "bot", "scenario")
TEXTS = ("upstream timed out after %d ms", "no roster for Dayton (lookup %d)", "JSON parse error at column %d")
OPS = 400
DEADLINE_S = 120


def ask(url, body=None, status=200):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            said, data = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        said, data = error.code, error.read()
    if said != status:
        sys.exit("%s answers %d, not %d: %s" % (url, said, status, data.decode()))
    return json.loads(data)


def walk(url, path, member, only=""):
    """Every item of a list, page by page."""
    items, cursor = [], ""
    while True:
        query = "&".join(part for part in ("limit=100", only, cursor and "cursor=" + cursor) if part)
        page = ask("%s/v1/observer/%s?%s" % (url, path, query))
        items += page[member]
        if page.get("next_cursor") is None or not page[member]:
            return items
        cursor = str(page["next_cursor"])


def make_op(i, start):
    row = {"endpoint": ENDPOINTS[i % 4], "source": SOURCES[i % 4], "success": i % 5 != 0, "duration_ms": 10 + i, "op_id": "old-%d" % (start + i),
           "staffer_id": "s%d" % (i % 3), "sig_hash": "h%d" % (i % 7), "session_id": "run-%d" % (i // 10), "input_summary": "call %d" % i, "output_summary": "done",
           "extra": {"tokens": i}, "of_its_own": ["ü", i]}
    if not row["success"]:
        row["error"] = TEXTS[i % 3] % i
    return row


def record(url):
    start = ask(url + "/v1/observer/summary")["lifetime"]["total"]
    for at in range(0, OPS, 100):
        answer = ask(url + "/v1/observer/event", [make_op(i, start) for i in range(at, at + 100)])
        assert answer["count"] == 100, answer
    ask(url + "/v1/observer/session", {"session_id": "chain-%d" % start, "kind": "fill", "model": "m", "final_verdict": "accepted",
                                       "attempts": [{"iteration": 1, "verdict_kind": "accepted"}]})
    ask(url + "/v1/observer/event", {"endpoint": ""}, 400)
    ask(url + "/v1/observer/review", {"text": "I was unable to complete the task.", "endpoint": "/v1/chat"})
    deadline = time.monotonic() + DEADLINE_S
    while not all(walk(url, path, path) for path in ("analyses", "playbooks")):
        if time.monotonic() > deadline:
            sys.exit("it learns nothing")
        time.sleep(0.2)


def lifetime(url):
    """Counts; quantiles leave durations of 0 out since 0.2."""
    life = ask(url + "/v1/observer/summary")["lifetime"]
    counts = {key: life[key] for key in ("total", "successes", "failures")}
    for group in ("by_source", "by_endpoint"):
        counts[group] = {name: [row["total"], row["failures"]] for name, row in life[group].items()}
    return counts


RECORDED = {"stats": lambda url: ask(url + "/stats"),
            "lifetime": lifetime,
            "ops": lambda url: [[row["seq"], row["op"]] for row in walk(url, "ops", "ops")],
            "sessions": lambda url: [[row["number"], row["session"]] for row in walk(url, "sessions", "sessions")]}
# What the upgraded daemon goes on with: it has these, and may add to them.
LEARNED = {"analyses": lambda row: [row["cause"], row["claims"]],
           "playbooks": lambda row: [row["text"], row["kind"], row["created"]],
           "escalations": lambda row: [row["cluster"], row["reason"]]}


def remember(url):
    was = {what: say(url) for what, say in RECORDED.items()}
    for path, tell in LEARNED.items():
        was[path] = {str(row["id"]): tell(row) for row in walk(url, path, path)}
    was["clusters"] = [[row["id"], row["count"], row["samples"]] for row in walk(url, "clusters", "clusters")]
    return was


def same(what, was, now):
    if was != now:
        sys.exit("%s: was\n%s\nis\n%s" % (what, json.dumps(was)[:2000], json.dumps(now)[:2000]))


def compare_clusters(url, was):
    """A kind is told by its text alone since 0.2, before by its sig_hash as well: failures are in other clusters, and the former
    ids lead to them."""
    now = {row["id"]: row["count"] for row in walk(url, "clusters", "clusters")}
    for former, _, samples in was:
        if ask("%s/v1/observer/clusters/%s" % (url, former))["id"] not in now:
            sys.exit("cluster %s of before leads to none" % former)
        for seq in samples:
            if ask("%s/v1/observer/ops/%d" % (url, seq))["cluster"] not in now:
                sys.exit("op %d, a sample of cluster %s, is in none" % (seq, former))
    same("failures of all clusters", sum(count for _, count, _ in was), sum(now.values()))
    for cluster, count in now.items():
        same("ops of cluster " + cluster, count, len(walk(url, "ops", "ops", "cluster=" + cluster)))


def compare(url, was):
    for what, say in RECORDED.items():
        same(what, was[what], say(url))
    compare_clusters(url, was["clusters"])
    for path, tell in LEARNED.items():
        for number, told in was[path].items():
            same("%s/%s" % (path, number), told, tell(ask("%s/v1/observer/%s/%s" % (url, path, number))))
    counts = ", ".join("%d %s" % (len(was[what]), what) for what in ("ops", "clusters", "sessions", *LEARNED))
    print(counts + " and /stats are as they were")


def main():
    action, url = sys.argv[1:3]
    if action == "record":
        record(url)
    elif action == "remember":
        with open(sys.argv[3], "w", encoding="utf-8") as f:
            json.dump(remember(url), f)
    else:
        with open(sys.argv[3], encoding="utf-8") as f:
            compare(url, json.load(f))


if __name__ == "__main__":
    if len(sys.argv) != (3 if sys.argv[1:2] == ["record"] else 4):
        sys.exit(__doc__)
    main()
