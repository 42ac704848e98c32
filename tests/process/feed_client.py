"""A subscriber as the tests of the feed need it: over any connection that has recv() and close()."""

import socket
from urllib.parse import urlsplit

from harness import PUB, SLOW, SUB, Sp, unpack_all, wait_until


def stuck_subscriber(url):
    """Greets and never reads, with next to no room for what comes."""
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((parts.hostname, parts.port))
    return Sp.accepted(sock, SUB, PUB)


# So many heartbeats in a row and nothing else: what a test waits for was dropped. They come once a second.
HEARTBEATS_MAX = 60 * SLOW


class Follower:
    """Takes messages apart, keeps what came: `ops` as (topic, map), `others` of other topics likewise, `stats` as maps,
    `sizes` of messages with ops."""

    def __init__(self, connection):
        self.connection = connection
        self.ops, self.others, self.stats, self.sizes = [], [], [], []
        self.seen = {}  # topic: its last topic_seq
        self.missed = 0
        self.heartbeats = 0  # in a row
        while not self.stats:  # the first message says that the subscription is in force
            self.take()

    def take(self):
        """Receives one message."""
        message = self.connection.recv()
        topic, payload = message.split(b"\0", 1)
        maps = unpack_all(payload)
        for m in maps:
            assert list(m)[:2] == ["seq", "topic_seq"], m
            last = self.seen.get(topic)
            assert last is None or m["topic_seq"] > last, "%r: %r after %r" % (topic, m["topic_seq"], last)
            if topic != b"stats":
                self.missed += m["topic_seq"] - (last or 0) - 1
            self.seen[topic] = m["topic_seq"]
        self.heartbeats = self.heartbeats + 1 if topic == b"stats" else 0
        assert self.heartbeats <= HEARTBEATS_MAX, "nothing but heartbeats, %d of them" % self.heartbeats
        if topic == b"stats":
            self.stats += maps
        elif not topic.startswith(b"op."):
            self.others += [(topic, m) for m in maps]
        else:
            self.ops += [(topic, m) for m in maps]
            self.sizes.append(len(message))

    def take_ops(self, n):
        """Receives until `n` ops came in all; returns them."""
        while len(self.ops) < n:
            self.take()
        assert len(self.ops) == n, "%d ops, not %d" % (len(self.ops), n)
        return self.ops

    def take_to_seq(self, seq):
        """Receives until a heartbeat says that all ops up to `seq` were sent or dropped."""
        while self.stats[-1]["seq"] < seq:
            self.take()

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def subscribers(daemon):
    return daemon.get("/health").json["feed"]["subscribers"]


def wait_subscribers(daemon, n):
    wait_until(lambda: subscribers(daemon) == n, 20, "%d subscribers" % n)
