"""Whether the servers' copies of each stream are the same, while those who write go on (nats.py's Servers).

They can come to differ, for good and without a word in a log (proto/fleet.md): then what a client is told depends on who leads the
stream, and on the server that its consumer is at.
"""

import time

COMPARED = ("messages", "bytes", "first_seq", "last_seq", "first_ts", "last_ts")
WATCHED = 15  # seconds until copies that were never the same are taken for different ones


def state_of(copy, is_empty):
    """Of a stream that is empty a server that was started again says less. None: it does not have it."""
    if copy is None:
        return None
    return (copy["last_seq"],) if is_empty else tuple(copy[name] for name in COMPARED)


def group(copies):
    """The servers, by what their copies are."""
    is_empty = all(copy is not None and copy["messages"] == 0 for copy in copies.values())
    groups = {}
    for n, copy in copies.items():
        groups.setdefault(state_of(copy, is_empty), set()).add(n)
    return list(groups.values())


def find_different(servers, seconds=WATCHED, among=None):
    """Streams whose copies differ, as they were seen last: by stream, by server; `among` says of which servers, of all if it is not
    given. Heartbeats are written all the time, and servers are asked one behind the other: copies that were the same once are the
    same."""
    end = time.monotonic() + seconds
    same = set()
    while True:
        states = servers.states()
        for name, copies in states.items():
            asked = range(servers.count) if among is None else among(name)
            if len(group({n: copies.get(n) for n in asked})) == 1:
                same.add(name)
        different = {name: copies for name, copies in states.items() if name not in same}
        if (states and not different) or time.monotonic() > end:
            return different
        time.sleep(0.05)


def find_odd(copies, leader, count):
    """The servers that have another copy of a stream than its leader."""
    same, = [servers for servers in group(copies) if leader in servers] or [{leader}]
    return sorted(set(range(count)) - same)


def describe(different):
    """A line for each stream."""
    return ["replicas differ: %s: %s" % (name, "; ".join(
        "n%d %s" % (n, ", ".join("%s %s" % (key, copy[key]) for key in COMPARED)) for n, copy in sorted(copies.items())))
            for name, copies in sorted(different.items())]
