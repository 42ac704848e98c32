"""NATS' decentralised access for the tests: keys, JWTs and a creds file, made with openssl.

    access = Access(folder)
    access.config            # for nats-server: an operator, an account with JetStream
    access.creds("edge")     # path of a user's creds file
"""

import base64
import json
import os
import subprocess
import time

OPERATOR, ACCOUNT, USER, SEED = 14 << 3, 0, 20 << 3, 18 << 3
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")  # what stands before an Ed25519 seed


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc.to_bytes(2, "little")


def text(raw):
    return base64.b32encode(raw + crc16(raw)).decode().rstrip("=")


def url64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Key:
    def __init__(self, folder, name, kind):
        self.kind, self.raw = kind, os.urandom(32)
        self.path = os.path.join(folder, name + ".der")
        with open(self.path, "wb") as f:
            f.write(PKCS8 + self.raw)
        der = self.openssl("pkey", "-inform", "DER", "-in", self.path, "-pubout", "-outform", "DER")
        self.public = text(bytes([kind]) + der[-32:])

    @property
    def seed(self):
        return text(bytes([SEED | self.kind >> 5, (self.kind & 31) << 3]) + self.raw)

    @staticmethod
    def openssl(*args):
        return subprocess.run(["openssl", *args], stdout=subprocess.PIPE, check=True).stdout

    def sign(self, subject, name, claims):
        """A JWT about the key `subject`."""
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {"jti": os.urandom(8).hex(), "iat": int(time.time()), "iss": self.public, "name": name,
                "sub": subject.public, "nats": {"version": 2, **claims}}
        signed = ".".join(url64(json.dumps(part).encode()) for part in (head, body))
        path = self.path + ".signed"
        with open(path, "w", encoding="utf-8") as f:
            f.write(signed)
        return signed + "." + url64(self.openssl("pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", self.path,
                                                 "-in", path))


class Access:
    def __init__(self, folder):
        self.folder = folder
        operator, system = Key(folder, "operator", OPERATOR), Key(folder, "system", ACCOUNT)
        self.account = Key(folder, "account", ACCOUNT)
        limits = {**dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1),
                  "wildcards": True}
        storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
        form = 'operator: "%s"\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n  %s: "%s"\n  %s: "%s"\n}\n'
        self.config = form % (
            operator.sign(operator, "test", {"type": "operator"}), system.public,
            system.public, operator.sign(system, "system", {"type": "account", "limits": limits}),
            self.account.public,
            operator.sign(self.account, "observer", {"type": "account", "limits": {**limits, **storage}}))

    def creds(self, name):
        user = Key(self.folder, name, USER)
        jwt = self.account.sign(user, name, {"type": "user", "subs": -1, "data": -1, "payload": -1})
        path = os.path.join(self.folder, name + ".creds")
        with open(path, "w", encoding="utf-8") as f:
            f.write("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"
                    "-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n" % (jwt, user.seed))
        os.chmod(path, 0o600)
        return path
