#!/usr/bin/python3
"""Publishes with the standard library's sockets and msgpack (Debian: python3-msgpack); see proto/framing.md.

    publish.py [PULL [REP]]
"""
import os
import socket
import struct
import sys
from urllib.parse import urlsplit

import msgpack

PUSH, REQ = 0x50, 0x30


def connect(url, protocol):
    at = urlsplit(url)
    s = socket.create_connection((at.hostname, at.port), timeout=10)
    s.sendall(struct.pack(">4sHH", b"\0SP\0", protocol, 0))
    read(s, 8)  # the other side's greeting; unread, it would make close() throw away what is still on its way
    return s


def read(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise ConnectionError("observerd closed the connection")
        data += part
    return data


def send(s, body):
    s.sendall(struct.pack(">Q", len(body)) + body)


def acknowledged(s, ops):
    """Answers when the ops are durable. After a timeout or a lost connection: connect and call it again."""
    request = struct.pack(">I", 0x80000000 | int.from_bytes(os.urandom(4), "big"))
    send(s, request + msgpack.packb(ops))
    while True:
        reply = read(s, struct.unpack(">Q", read(s, 8))[0])
        if reply[:4] == request:
            return msgpack.unpackb(reply[4:])


def main():
    pull = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:3801"
    rep = sys.argv[2] if len(sys.argv) > 2 else "tcp://127.0.0.1:3803"
    ops = [{"endpoint": "/v1/chat", "success": i > 0, "duration_ms": i, "source": "python"} for i in range(100)]
    with connect(pull, PUSH) as s:
        send(s, msgpack.packb(ops))
    with connect(rep, REQ) as s:
        print(acknowledged(s, [{"endpoint": "/v1/fill", "success": True, "source": "python", "op_id": "python-1"}]))


if __name__ == "__main__":
    main()
