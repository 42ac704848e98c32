"""A daemon that has learned something: what the tests of its routes and of observerctl's commands look at."""

from harness import wait_until
from model_server import ModelServer

V1 = "/v1/observer/"
CHAT, EMBED = "/v1/chat", "/v1/embed"


def chat_failures(n):
    return [{"endpoint": CHAT, "success": False, "error": "429: tenant %d has used up its minute" % i, "task_class": "fill",
             "input_summary": "fill order %d" % i, "staffer_id": "ann", "duration_ms": 40} for i in range(n)]


def lesson():
    """Successes at two endpoints, two kinds of failures, and a correction."""
    ops = [{"endpoint": CHAT, "success": True, "input_summary": "fill order %d" % i, "duration_ms": 100 + i, "staffer_id": "bob",
            "task_class": "fill"} for i in range(12)]
    ops += [{"endpoint": EMBED, "success": True, "input_summary": "embed page %d" % i, "duration_ms": 7} for i in range(6)]
    ops += chat_failures(12)
    ops += [{"endpoint": EMBED, "success": False, "error": "connection to shard %d refused" % i} for i in range(4)]
    ops.append({"endpoint": "overseer:m", "source": "overseer_correction", "success": True, "task_class": "fill",
                "correction": "wait a minute after a 429"})
    # After it more of the same task class succeed than fail; too few at an endpoint for a `do`.
    ops += [{"endpoint": "/v1/part/%s" % "abc"[i // 2], "success": True, "input_summary": "part", "task_class": "fill"}
            for i in range(6)]
    return ops


def get(daemon, path, status=200):
    """The answer; of lists the whole rows."""
    if path.partition("?")[0] in ("analyses", "playbooks", "escalations", "clusters") and status == 200:
        path += ("&" if "?" in path else "?") + "full=true"
    answer = daemon.get(V1 + path)
    assert answer.status == status, (path, answer)
    return answer.json


def post(daemon, ops):
    answer = daemon.post(V1 + "event", ops)
    assert (answer.status, answer.json["rejected"]) == (200, 0), answer


def cycles(daemon):
    """How many cycles of learning have begun; one that comes while another is under way is missed."""
    learn = daemon.get("/health").json["learn"]
    return learn["cycles"] - learn["missed_cycles"]


def wait_cycles(daemon, n):
    """Until `n` cycles have begun and ended."""
    until = cycles(daemon) + n + 1
    wait_until(lambda: cycles(daemon) >= until, 10 + 2 * n, "%d cycles" % n)


def taught(test):
    """A daemon with analyses, do and don't entries, and an escalation, for which nothing changes any more: the one that
    learned all this has stopped, and it has cycles so long that none comes."""
    server = ModelServer.start(test)
    daemon = test.start(args=["--cycle", "100ms", "--cluster-quiet", "1000", "--playbook-cycles", "1", "--lakehouse-url", server.url, "--llm-team-url",
                              server.url, "--escalate-failures", "3"])
    post(daemon, lesson())
    wait_until(lambda: len(get(daemon, "analyses?scope=cluster")["analyses"]) == 2, 20, "an analysis of each cluster")
    post(daemon, chat_failures(4))  # the analysis has not settled it
    wait_until(lambda: get(daemon, "escalations")["escalations"], 20, "an escalation")
    wait_until(lambda: len(get(daemon, "playbooks")["playbooks"]) == 4, 20, "two entries of each kind")
    daemon.stop()
    daemon.args[daemon.args.index("--cycle") + 1] = "3600"
    daemon.start()
    wait_until(lambda: get(daemon, "advice?endpoint=" + CHAT)["clusters"], 20, "advice")
    return daemon
