"""Whether the servers' copies of each stream are the same, while those who write go on (nats.py's Servers).

They can come to differ, for good and without a word in a log (proto/fleet.md): then what a client is told depends on who leads the
stream, and on the server that its consumer is at.
"""

import time

COMPARED = ("messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts")
WATCHED = 15  # seconds until copies that were never the same are taken for different ones


def state_of(copy, is_empty):
    """Of a stream that is empty a server that was started again says less."""
    return (copy["last_seq"],) if is_empty else tuple(copy[name] for name in COMPARED)


def group(copies):
    """The servers, by what their copies are."""
    is_empty = all(copy["messages"] == 0 for copy in copies.values())
    groups = {}
    for n, copy in copies.items():
        groups.setdefault(state_of(copy, is_empty), set()).add(n)
    return list(groups.values())


def find_different(servers, seconds=WATCHED, among=None):
    """Streams whose copies (all, or those that are `among` these servers) differ, as they were seen last: by stream, by server.
    Heartbeats are written all the time, and servers are asked one behind the other: copies that were the same once are the same."""
    end = time.monotonic() + seconds
    among = among or range(servers.count)
    same = set()
    while True:
        states = {name: {n: copies[n] for n in among if n in copies} for name, copies in servers.states().items()}
        same.update(name for name, copies in states.items() if len(copies) == len(among) and len(group(copies)) == 1)
        different = {name: copies for name, copies in states.items() if name not in same}
        if (states and not different) or time.monotonic() > end:
            return different
        time.sleep(0.05)


def find_odd(different, kept, count):
    """The servers that have another copy of one of these streams than the one whose copies are kept."""
    odd = set()
    for copies in different.values():
        same, = [servers for servers in group(copies) if kept in servers] or [{kept}]
        odd |= set(range(count)) - same
    return odd


def describe(different):
    """A line for each stream."""
    return ["replicas differ: %s: %s" % (name, "; ".join(
        "n%d %s" % (n, ", ".join("%s %s" % (key, copy[key]) for key in COMPARED)) for n, copy in sorted(copies.items())))
            for name, copies in sorted(different.items())]
