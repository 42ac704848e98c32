#!/usr/bin/python3
"""Publishes with the standard library's sockets and msgpack (Debian: python3-msgpack); see proto/framing.md.

    publish.py [PULL [REP]]

URLs are tcp:// or tls+tcp://, whose authority OBSERVER_TLS_CA names. A daemon with keys is shown that of OBSERVER_KEY_FILE
or OBSERVER_KEY: to REP over TLS, and never where others could read it. PULL needs none, its listener names one.
"""
import os
import socket
import ssl
import struct
import sys
from urllib.parse import urlsplit

import msgpack

PUSH, REQ = 0x50, 0x30


def connect(url, protocol):
    at = urlsplit(url)
    s = socket.create_connection((at.hostname, at.port), timeout=10)
    if at.scheme == "tls+tcp":
        trusted = ssl.create_default_context(cafile=os.environ.get("OBSERVER_TLS_CA"))
        s = trusted.wrap_socket(s, server_hostname=at.hostname)
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


def ask(s, value):
    """The answer to one request. Ops are durable then. After a timeout or a lost connection: connect and call it again."""
    request = struct.pack(">I", 0x80000000 | int.from_bytes(os.urandom(4), "big"))
    send(s, request + msgpack.packb(value))
    while True:
        reply = read(s, struct.unpack(">Q", read(s, 8))[0])
        if reply[:4] == request:
            return msgpack.unpackb(reply[4:])


def find_key():
    """The key, or None; read anew for each connection, because it may have been replaced."""
    path = os.environ.get("OBSERVER_KEY_FILE")
    if not path:
        return os.environ.get("OBSERVER_KEY")
    with open(path, encoding="ascii") as f:
        return f.readline().strip()


def show_key(s):
    """The first message of a connection says whose it is."""
    key = find_key()
    answer = ask(s, {"key": key}) if key and isinstance(s, ssl.SSLSocket) else {}
    if "error" in answer:
        sys.exit("publish: " + answer["error"])


def main():
    pull = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:3801"
    rep = sys.argv[2] if len(sys.argv) > 2 else "tcp://127.0.0.1:3803"
    ops = [{"endpoint": "/v1/chat", "success": i > 0, "duration_ms": i, "source": "python"} for i in range(100)]
    with connect(pull, PUSH) as s:
        send(s, msgpack.packb(ops))
    with connect(rep, REQ) as s:
        show_key(s)
        print(ask(s, [{"endpoint": "/v1/fill", "success": True, "source": "python", "op_id": "python-1"}]))


if __name__ == "__main__":
    main()
