#!/usr/bin/python3
"""A plain socket and one JSON op a message; see proto/framing.md.

    publish_one.py [PULL]
"""
import json
import socket
import struct
import sys
from urllib.parse import urlsplit

at = urlsplit(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:3801")
with socket.create_connection((at.hostname, at.port), timeout=10) as s:
    s.sendall(b"\0SP\0\0\x50\0\0")  # I am PUSH
    if s.recv(8, socket.MSG_WAITALL) != b"\0SP\0\0\x51\0\0":
        sys.exit("publish_one: that is not a PULL socket")
    for i in range(100):
        op = json.dumps({"endpoint": "/v1/chat", "success": True, "duration_ms": i, "source": "python"}).encode()
        s.sendall(struct.pack(">Q", len(op)) + op)
