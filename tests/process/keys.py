"""Key files and the keys in them, as observerctl key makes them (proto/access.md); written here anew, to be compared with."""

import hashlib
import json
import os
import secrets
import time
import zlib

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PAST = "2020-01-01T00:00:00.000Z"


def noise(alphabet, n):
    return "".join(secrets.choice(alphabet) for _ in range(n))


def checked(text):
    """The text of a key, with the check behind it."""
    value, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        value, digit = divmod(value, 62)
        digits = BASE62[digit] + digits
    return text + "_" + digits


def new_key(letter="i"):
    """The text of a key that nobody has."""
    return checked("obs_%s_%s_%s" % (letter, noise(BASE32, 8), noise(BASE62, 43)))


def id_of(key):
    return key.split("_")[2]


def secret_of(key):
    return key.split("_")[3]


def with_other_secret(key):
    """Of the same id; the check is right."""
    begin, letter, name, _, _ = key.split("_")
    return checked("_".join((begin, letter, name, noise(BASE62, 43))))


def with_wrong_check(key):
    return key[:-1] + ("A" if key[-1] != "A" else "B")


class KeyFile:
    """Is written with each change, as a whole."""

    def __init__(self, path):
        self.path, self.keys = path, []
        self.write()

    def add(self, name, *scopes, **members):
        """The text of a new key. `members`: sources, expires, revoked, note."""
        key = new_key("a" if "admin" in scopes else "r" if "read" in scopes else "i")
        self.keys.append({"id": id_of(key), "name": name, "scopes": list(scopes),
                          "sha256": hashlib.sha256(secret_of(key).encode()).hexdigest(),
                          "created": "2026-01-01T00:00:00.000Z", **members})
        self.write()
        return key

    def set(self, key, **members):
        """Changes members of a key; None takes one away."""
        (row,) = [k for k in self.keys if k["id"] == id_of(key)]
        row.update(members)
        for name in [name for name, value in row.items() if value is None]:
            del row[name]
        self.write()

    def revoke(self, key):
        self.set(key, revoked=PAST)

    def expire(self, key, seconds):
        """`seconds` from now."""
        at = time.time() + seconds
        self.set(key, expires=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + ".%03dZ" % (at % 1 * 1000))

    def remove(self, key):
        self.keys = [k for k in self.keys if k["id"] != id_of(key)]
        self.write()

    def write(self, text=None, mode=0o600):
        """`text`: in place of the keys."""
        temporary = self.path + ".new"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(json.dumps({"v": 1, "keys": self.keys}) if text is None else text)
        os.chmod(temporary, mode)
        os.replace(temporary, self.path)
