"""Certificates for the tests of TLS, made with openssl: small keys, so that one takes some ten milliseconds.

    ca = Authority(folder)
    server = ca.issue("server")                      # for localhost, 127.0.0.1 and ::1; valid from yesterday for 90 days
    expired = ca.issue("old", days=(-20, -10))       # from 20 days ago until 10 days ago
    client = ca.issue("mailer", names=(), client=True)
    stranger = Authority(folder, "other").issue("mailer", names=(), client=True)

A pair has the paths of its PEM files: `server.cert`, `server.key`; `ca.cert` is what clients trust.
"""

import datetime
import os
import subprocess
from collections import namedtuple

Pair = namedtuple("Pair", "cert key")

HERE = ("DNS:localhost", "IP:127.0.0.1", "IP:::1")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
RSA_KEY = ("-newkey", "rsa:2048", "-nodes")

SIGNING = """[ca]
default_ca = it
[it]
database = {base}.index
serial = {base}.serial
new_certs_dir = {folder}
certificate = {base}.pem
private_key = {base}.key
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
extendedKeyUsage = {usage}
{names}
"""


def openssl(*arguments):
    """Runs it and returns what it printed; its own words stand in the error when it fails."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(arguments), done.stderr))
    return done.stdout


def when(days):
    """A time so many days from now, as openssl wants it."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return moment.strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A certificate authority of its own, with its files in `folder`."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.base = os.path.join(folder, name + ".authority")
        self.cert, self.key = self.base + ".pem", self.base + ".key"
        openssl("req", "-x509", *NEW_KEY, "-days", "90", "-subj", "/CN=" + name, "-addext",
                "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.key, "-out", self.cert)
        with open(self.base + ".index", "w", encoding="ascii"):
            pass
        with open(self.base + ".serial", "w", encoding="ascii") as f:
            f.write("1000\n")

    def issue(self, name, names=HERE, client=False, days=(-1, 90), rsa=False):
        """Makes NAME.crt and NAME.key, the key readable by its owner alone; those of the same name are replaced.
        `days`: the first and the last one, from now. `names`: its alternative names."""
        base = os.path.join(self.folder, name)
        pair = Pair(base + ".crt", base + ".key")
        with open(base + ".cnf", "w", encoding="ascii") as f:
            f.write(SIGNING.format(base=self.base, folder=self.folder, usage="clientAuth" if client else "serverAuth",
                                   names="subjectAltName = " + ",".join(names) if names else ""))
        openssl("req", *(RSA_KEY if rsa else NEW_KEY), "-subj", "/CN=" + name, "-keyout", pair.key, "-out", base + ".csr")
        os.chmod(pair.key, 0o600)
        openssl("ca", "-batch", "-notext", "-config", base + ".cnf", "-extensions", "leaf", "-startdate", when(days[0]),
                "-enddate", when(days[1]), "-in", base + ".csr", "-out", pair.cert)
        return pair
