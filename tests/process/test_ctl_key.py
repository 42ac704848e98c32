"""observerctl key: what it prints and what it writes, beside other writers, over files that others can read or that are broken."""

import fcntl
import hashlib
import json
import os
import re
import stat
import subprocess
import unittest
import urllib.error
import urllib.request
import zlib
from datetime import datetime, timedelta, timezone

from ctl import OBSERVERCTL, CtlTest
from harness import SLOW, main, wait_until
from keys import new_key, with_other_secret

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TEXT = re.compile(r"obs_([ira])_([a-z2-7]{8})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})\n")


def check_of(text):
    n, out = zlib.crc32(text.encode()), ""
    for _ in range(6):
        n, digit = divmod(n, 62)
        out = BASE62[digit] + out
    return out


def at(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def is_near(text, seconds):
    """Whether the time is that far from now, within two minutes."""
    return abs((at(text) - datetime.now(timezone.utc) - timedelta(seconds=seconds)).total_seconds()) < 120 * SLOW


class KeyTest(CtlTest):
    def setUp(self):
        super().setUp()
        self.file = self.path("keys.json")

    def key(self, *args, code=0, **kw):
        return self.ctl("key", *args, "--keys", self.file, code=code, **kw)

    def new(self, *args, **kw):
        """A new key's text."""
        return self.key("new", *args, **kw).stdout.strip()

    def said(self, *args, code=1, **kw):
        """What a command that fails says, on one line; it prints nothing."""
        done = self.key(*args, code=code, **kw)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def document(self):
        with open(self.file) as f:
            return json.load(f)

    def keys(self):
        return self.document()["keys"]

    def write(self, document, mode=0o600):
        text = document if isinstance(document, str) else json.dumps(document)
        with open(self.file, "w") as f:
            f.write(text)
        os.chmod(self.file, mode)

    def untouched(self):
        """Nothing but the key file is left behind."""
        return sorted(name for name in os.listdir(self.tmp) if name.startswith("keys"))


class New(KeyTest):
    def test_a_key_and_its_row(self):
        done = self.key("new", "mailer", "--scope", "ingest", "--source", "mailer", "--source", "bot-", "--expires", "90d",
                        "--note", "of the mail team")
        found = TEXT.fullmatch(done.stdout)
        self.assertIsNotNone(found)
        letter, id, secret, check = found.groups()
        self.assertEqual(letter, "i")
        self.assertEqual(check, check_of(done.stdout[:-8]))
        self.assertEqual(self.document()["v"], 1)
        [row] = self.keys()
        created, expires = row.pop("created"), row.pop("expires")
        self.assertEqual(list(row), ["id", "name", "scopes", "sha256", "sources", "note"])
        self.assertEqual(row, {"id": id, "name": "mailer", "scopes": ["ingest"], "sources": ["mailer", "bot-"],
                               "sha256": hashlib.sha256(secret.encode()).hexdigest(), "note": "of the mail team"})
        self.assertTrue(is_near(created, 0))
        self.assertEqual(at(expires) - at(created), timedelta(days=90))
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        with open(self.file) as f:
            self.assertNotIn(secret, f.read())
        self.assertNotIn(secret, done.stderr)
        self.assertRegex(done.stderr, r"^observerctl key: mailer \(%s\): ingest as mailer, bot-; expires \d{4}-\d\d-\d\d \d\d:\d\d\. "
                         r"This is the only time that it is shown: keep it in a file that you alone can read, and name that in "
                         r"OBSERVER_KEY_FILE\n$" % id)
        self.assertEqual(self.untouched(), ["keys.json"])

    def test_scopes(self):
        for scopes, letter, row in (("read", "r", ["read"]), ("ingest,read", "r", ["ingest", "read"]),
                                    ("read,ingest", "r", ["ingest", "read"]), ("admin", "a", ["admin"]),
                                    ("ingest,admin", "a", ["admin"])):
            text = self.new("of " + scopes, "--scope", scopes)
            self.assertEqual(text[4], letter)
            self.assertEqual(self.keys()[-1]["scopes"], row)
            self.assertNotIn("sources", self.keys()[-1])
            self.assertNotIn("expires", self.keys()[-1])
        self.new("several", "--scope", "read,ingest", "--source", "a,b", "--source=c", "--source", "d:x,e-")
        self.assertEqual(self.keys()[-1]["sources"], ["a", "b", "c", "d:x", "e-"])
        self.new("boss", "--scope", "admin", "--source", "a")  # publishes too
        self.assertEqual(self.keys()[-1]["sources"], ["a"])
        self.assertEqual(len({row["id"] for row in self.keys()}), 7)

    def test_the_file_of_the_environment(self):
        env = {**self.environment(), "OBSERVER_KEYS": self.file}
        self.ctl("key", "new", "a", "--scope", "read", env=env)
        self.assertIn("a", self.ctl("key", "list", env=env).stdout)
        self.assertEqual(self.ctl("key", "list", code=2).stderr,
                         "observerctl key: which key file? give --keys FILE, or set OBSERVER_KEYS\n")

    def test_wrong_use(self):
        for args, error in (
                (["new"], "new needs one name for the key, such as that of its producer"),
                (["new", "a", "b", "--scope", "read"], "new needs one name for the key, such as that of its producer"),
                (["new", "a"], "what may it do? --scope ingest, read or admin, or several: ingest,read"),
                (["new", "a", "--scope", "write"], '--scope: "write" is none of: ingest read admin'),
                (["new", "a", "--scope", "public"], '--scope: "public" is none of: ingest read admin'),
                (["new", "a", "--scope", "read,"], '--scope: "" is none of: ingest read admin'),
                (["new", "a", "--scope", "read", "--source", ""], "--source: must not be empty"),
                (["new", "a", "--scope", "read", "--source", "s"],
                 "--source limits what a key may publish as, not what it may read: it needs --scope ingest"),
                (["new", "a", "--scope", "ingest", "--source", "s,,t"],
                 '--source: "s,,t" has an empty one among those that commas separate'),
                (["new", "a", "--scope", "ingest", "--source", "s,"],
                 '--source: "s," has an empty one among those that commas separate'),
                (["new", "a", "--scope", "read", "--expires", "soon"],
                 '--expires: "soon" is neither a time such as 2027-01-31 nor how long from now: 90d'),
                (["new", "a", "--scope", "read", "--expires", "2020-01-01"], "--expires: 2020-01-01 is not in the future"),
                (["new", "a", "--scope", "read", "--expires", "0s"], "--expires: 0s is not in the future"),
                (["new", "a", "--scope", "read", "--overlap", "1h"], "--overlap does not apply to new"),
                (["list", "a"], 'unexpected argument "a"'),
                (["list", "--scope", "read"], "--scope does not apply to list"),
                (["rotate"], "rotate needs the id or name of one key; `list` shows them"),
                (["revoke"], "revoke needs the ids or names of keys; `list` shows them"),
                (["check", "GET"], "check takes nothing, or METHOD PATH: GET /v1/observer/ops"),
                (["check", "GET", "/"], "which requests a key allows, the daemon knows: give --url"),
                (["check", "--url", "http://127.0.0.1:1"], "give either --keys or --url, not both"),
                ([], "which action? new, list, rotate, revoke or check"),
                (["delete"], "which action? new, list, rotate, revoke or check")):
            said = self.said(*args, code=2, input="")
            self.assertEqual(said, "observerctl key: %s\n" % error)
        self.assertEqual(self.untouched(), [])

    def test_what_the_file_cannot_hold(self):
        for args, error in (
                (["n" * 129], "key 1: name: must be a text of 1 to 128 bytes"),
                ([""], "key 1: name: must be a text of 1 to 128 bytes"),
                (["a", "--source", "s" * 129], "key 1 (a): sources: each must be a text of 1 to 128 bytes"),
                (["a", "--source", ",".join(["s"] * 17)],
                 "key 1 (a): sources: must be a list of 1 to 16 texts; without it the key may speak as any source"),
                (["a", *["--source=s"] * 17],
                 "key 1 (a): sources: must be a list of 1 to 16 texts; without it the key may speak as any source"),
                (["a", "--note", "n" * 1025], "key 1 (a): note: must be a text of 1 to 1024 bytes"),
                ([b"\xff"], "not UTF-8")):
            self.assertEqual(self.said("new", *args, "--scope", "ingest"), "observerctl key: %s\n" % error)
            self.assertEqual(self.keys(), [])
            self.assertEqual(self.untouched(), ["keys.json"])

    def test_a_name_is_taken_once(self):
        self.new("a", "--scope", "read")
        id = self.keys()[0]["id"]
        self.assertEqual(self.said("new", "a", "--scope", "ingest"),
                         "observerctl key: a is the name of a valid key (%s): rotate that one, or choose another name\n" % id)
        self.assertEqual(len(self.keys()), 1)
        self.key("revoke", "a")
        self.new("a", "--scope", "ingest")
        self.assertEqual([row["name"] for row in self.keys()], ["a", "a"])

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([OBSERVERCTL, "key", "new", "a", "--scope", "read", "--keys", self.file], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=60 * SLOW, env=self.environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn("observerctl key: the key %s was made and could not be printed: revoke it\n" % self.keys()[0]["id"], done.stderr)

    def test_a_key_is_no_argument(self):
        text = self.new("a", "--scope", "read")
        typo = text[:30] + ("x" if text[30] != "x" else "y") + text[31:]
        for args in (["key", "check", text], ["key", "revoke", text], ["key", "rotate", typo], ["key", "list", "--keys", text],
                     ["key", "new", text], ["key", "new", "x", "--note", "it is %s" % text], ["ops", "--q", text],
                     ["status", "--key=" + text], ["pub", "--data", json.dumps({"endpoint": text})], ["run", "--nope=" + text, "--", "true"]):
            done = self.ctl(*args, code=2)
            self.assertEqual(done.stdout, "")
            self.assertRegex(done.stderr, r"^observerctl \w+: argument \d has a key in it, which every user of this machine can see "
                             r"there: replace that key, and give the new one in a file \(OBSERVER_KEY_FILE\) or in OBSERVER_KEY\n$")
            self.assertNotIn(text[16:40], done.stderr)
        self.assertEqual(len(self.keys()), 1)
        # What another program is given is between them.
        done = self.ctl("run", "--url", "http://127.0.0.1:1", "--", "echo", text)
        self.assertEqual(done.stdout, text + "\n")


class Change(KeyTest):
    def test_list(self):
        self.assertEqual(self.said("list"), "observerctl key: keys: %s: No such file or directory\n" % self.file)
        self.write({"v": 1, "keys": []})
        self.assertEqual(self.said("list", code=0), "observerctl key: no keys yet in %s\n" % self.file)
        self.assertEqual(self.key("list", "--json").stdout, '{"keys":[]}\n')
        for args in (["mailer", "--scope", "ingest", "--source", "mailer", "--source", "bot-"], ["reader", "--scope", "read"],
                     ["old", "--scope", "admin", "--expires", "3d", "--note", "x"]):
            self.new(*args)
        document = self.document()
        document["keys"][1]["revoked"] = "2026-01-01T00:00:00Z"
        document["keys"][2]["expires"] = "2026-01-02T03:04:05Z"
        self.write(document)
        lines = [re.split(r"  +", line) for line in self.key("list").stdout.splitlines()]
        ids = [row["id"] for row in document["keys"]]
        self.assertEqual(lines[0], ["ID", "NAME", "SCOPES", "SOURCES", "CREATED", "EXPIRES", "STATE"])
        self.assertEqual((lines[1][:4], lines[1][-1]), ([ids[0], "mailer", "ingest", "mailer, bot-"], "valid"))
        self.assertEqual((lines[2][:4], lines[2][-1]), ([ids[1], "reader", "read", "any"], "revoked"))
        self.assertEqual((lines[3][:4], lines[3][-1]), ([ids[2], "old", "admin", "any"], "expired"))
        self.assertRegex(lines[3][-2], r"^\d+d\d+h ago \(2026-01-0\d \d\d:\d\d\)$")
        rows = json.loads(self.key("list", "--json").stdout)["keys"]
        for row, state in zip(document["keys"], ("valid", "revoked", "expired")):
            del row["sha256"]
            row["state"] = state
        self.assertEqual(rows, document["keys"])

    def test_rotate(self):
        old = self.new("mailer", "--scope", "ingest,read", "--source", "mailer", "--note", "of x", "--expires", "10d")
        document = self.document()
        document["keys"][0]["x_ticket"] = ["OPS-1", {"n": 1.5}]
        document["x_owner"] = "y"
        self.write(document)
        done = self.key("rotate", "mailer", "--overlap", "2h")
        self.assertIsNotNone(TEXT.fullmatch(done.stdout))
        was, now = self.keys()
        self.assertEqual(self.document()["x_owner"], "y")
        self.assertEqual(done.stdout.split("_")[2], now["id"])
        self.assertNotEqual(was["id"], now["id"])
        for name in ("name", "scopes", "sources", "note", "x_ticket"):
            self.assertEqual(was[name], now[name])
        self.assertNotEqual(was["sha256"], now["sha256"])
        self.assertTrue(is_near(was["expires"], 7200))
        self.assertEqual(at(now["expires"]) - at(now["created"]), timedelta(days=10))
        self.assertRegex(done.stderr, r"\nobserverctl key: the old key \(%s\) expires \d{4}-\d\d-\d\d \d\d:\d\d\n$" % was["id"])
        # Both are valid now, so the name says no longer which.
        for action in ("rotate", "revoke"):
            self.assertEqual(self.said(action, "mailer"),
                             "observerctl key: mailer is several keys: give the id: %s, %s\n" % (was["id"], now["id"]))
        # At once; and never later than the old one's own end.
        self.key("rotate", now["id"][:6], "--overlap", "0", "--expires", "1d")
        again = self.keys()
        self.assertLessEqual(at(again[1]["expires"]), datetime.now(timezone.utc))
        self.assertTrue(is_near(again[2]["expires"], 86400))
        self.key("rotate", again[2]["id"], "--overlap", "30d")
        self.assertEqual(self.keys()[2]["expires"], again[2]["expires"])
        self.assertEqual(self.said("rotate", now["id"]), "observerctl key: %s is expired: make a new key instead\n" % now["id"])
        self.assertEqual(self.key("check", input=old).returncode, 0)

    def test_revoke(self):
        for name in ("a", "b", "c"):
            self.new(name, "--scope", "read")
        ids = [row["id"] for row in self.keys()]
        self.assertEqual(self.key("revoke", "a", ids[1][:5]).stdout, "revoked a (%s)\nrevoked b (%s)\n" % (ids[0], ids[1]))
        rows = self.keys()
        self.assertTrue(is_near(rows[0]["revoked"], 0) and is_near(rows[1]["revoked"], 0))
        self.assertNotIn("revoked", rows[2])
        self.assertEqual(self.key("revoke", ids[0]).stdout, "already revoked: a (%s)\n" % ids[0])
        self.assertEqual(self.keys(), rows)
        # All of them or none.
        for wrong, error in (("nobody", "nobody: no valid key of this id or name in %s"), ("a", "a: no valid key of this id or name in %s"),
                             (ids[2][:3], ids[2][:3] + ": no valid key of this id or name in %s")):
            self.assertEqual(self.said("revoke", "c", wrong), "observerctl key: %s\n" % (error % self.file))
            self.assertEqual(self.keys(), rows)
        self.assertEqual(self.said("rotate", ids[0]), "observerctl key: %s is revoked: make a new key instead\n" % ids[0])

    def test_many_writers(self):
        """Each key is in the file in the end, and at no moment is the file anything but whole."""
        many = [self.spawn("key", "new", "k%d" % n, "--scope", "read", "--keys", self.file, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True) for n in range(12)]
        texts, running = {}, dict(enumerate(many))
        while running:
            if os.path.exists(self.file):
                self.assertEqual(self.document()["v"], 1)
            for n, process in list(running.items()):
                if process.poll() is not None:
                    self.assertEqual(process.returncode, 0)
                    texts["k%d" % n] = process.stdout.read().split("_")[2]
                    del running[n]
        self.assertEqual({row["name"]: row["id"] for row in self.keys()}, texts)
        self.assertEqual(self.untouched(), ["keys.json"])

    def test_a_writer_waits_for_another(self):
        self.new("a", "--scope", "read")
        with open(self.file) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = self.spawn("key", "new", "b", "--scope", "read", "--keys", self.file, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(0.5)
            self.assertEqual(len(self.keys()), 1)
            self.key("list")  # readers do not wait
        process.wait(60 * SLOW)
        self.assertEqual((process.returncode, len(self.keys())), (0, 2))

    def test_a_writer_gives_up(self):
        self.new("a", "--scope", "read")
        with open(self.file) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertEqual(self.said("revoke", "a"), "observerctl key: keys: %s: another program is changing it\n" % self.file)

    def test_what_stays_of_the_file(self):
        """Links, the owner and a stricter mode; what a writer that was killed left behind does no harm."""
        real = self.path("real.json")
        os.symlink(real, self.file)
        self.assertEqual(self.said("new", "a", "--scope", "read"), "observerctl key: keys: %s: No such file or directory\n" % self.file)
        self.ctl("key", "new", "a", "--scope", "read", "--keys", real)
        self.assertTrue(os.path.islink(self.file))
        os.chmod(real, 0o400)
        if os.geteuid() == 0:
            os.chown(real, 12345, 54321)
        with open(real + ".new", "w") as f:
            f.write("half a file")
        os.chmod(real + ".new", 0o666)
        self.new("b", "--scope", "read")
        st = os.stat(real)
        self.assertTrue(os.path.islink(self.file))
        self.assertTrue(os.path.isfile(real))
        self.assertEqual(stat.S_IMODE(st.st_mode), 0o400)
        if os.geteuid() == 0:
            self.assertEqual((st.st_uid, st.st_gid), (12345, 54321))
        self.assertEqual(len(self.keys()), 2)
        self.assertFalse(os.path.exists(real + ".new"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_what_root_makes(self):
        """It is for the daemon whose directory it is in."""
        folder = os.path.join(self.tmp, "state")
        os.mkdir(folder, 0o700)
        os.chown(folder, 12345, 54321)
        self.file = os.path.join(folder, "keys.json")
        self.new("a", "--scope", "read")
        st = os.stat(self.file)
        self.assertEqual((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), (12345, 54321, 0o600))
        self.assertEqual(os.listdir(folder), ["keys.json"])

    def test_the_umask_does_not_matter(self):
        self.ctl("key", "new", "a", "--scope", "read", "--keys", self.file, preexec_fn=lambda: os.umask(0o777))
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        self.ctl("key", "new", "b", "--scope", "read", "--keys", self.file, preexec_fn=lambda: os.umask(0))
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)

    def test_files_that_are_not_taken(self):
        """The same words as the daemon's, and the file stays as it is."""
        good = {"v": 1, "keys": []}
        for document, mode, error in ((good, 0o644, "mode 0644: others can read it, must be 0600"),
                                      (good, 0o620, "mode 0620: others can write it, must be 0600"),
                                      ("", 0o600, "empty"), ('{"v":1,\n"keys"', 0o600, "not JSON, in line 2"),
                                      ({"v": 2, "keys": []}, 0o600, "v: must be 1, the version that this program reads"),
                                      ({"v": 1, "keys": [{"name": "a", "source": []}]}, 0o600,
                                       "key 1 (a): unknown member source; members of your own begin with x_")):
            self.write(document, mode)
            with open(self.file) as f:
                before = f.read()
            for args in (["list"], ["new", "a", "--scope", "read"], ["rotate", "a"], ["revoke", "a"], ["check"]):
                self.assertEqual(self.said(*args, input="obs_"), "observerctl key: keys: %s: %s\n" % (self.file, error))
            with open(self.file) as f:
                self.assertEqual(f.read(), before)
        os.unlink(self.file)
        for args in (["rotate", "a"], ["revoke", "a"], ["check"]):
            self.assertEqual(self.said(*args, input="obs_"), "observerctl key: keys: %s: No such file or directory\n" % self.file)
        self.file = self.path("no/keys.json")
        self.assertEqual(self.said("new", "a", "--scope", "read"), "observerctl key: keys: %s: No such file or directory\n" % self.file)
        self.file = self.tmp
        self.assertEqual(self.said("list"), "observerctl key: keys: %s: not a regular file\n" % self.file)

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_directory_that_cannot_be_written(self):
        self.new("a", "--scope", "read")
        os.chmod(self.tmp, 0o500)
        self.addCleanup(os.chmod, self.tmp, 0o700)
        self.assertEqual(self.said("new", "b", "--scope", "read"),
                         "observerctl key: keys: %s: cannot write it: Permission denied\n" % self.file)

    def test_names_do_not_act_on_the_terminal(self):
        done = self.key("new", "\x1b[31m\u202e", "--scope", "ingest", "--source", "\x07")
        shown = done.stderr + self.key("list").stdout + self.key("check", input=done.stdout).stdout
        shown += self.key("list", "--json").stdout.replace("\\u001b", "")
        shown += self.key("revoke", "\x1b[31m\u202e").stdout
        for c in "\x1b\x07":
            self.assertNotIn(c, shown)


class Check(KeyTest):
    def test_offline(self):
        text = self.new("mailer", "--scope", "ingest", "--source", "mailer", "--note", "x", "--expires", "90d")
        other = self.new("other", "--scope", "admin")
        id = text.split("_")[2]
        done = self.key("check", input=text + "\n")
        self.assertEqual(done.stderr, "")
        self.assertRegex(done.stdout, r"^%s\nname +mailer\nscopes +ingest\nsources +mailer\ncreated +\d+ (s|min) ago \(.*\)\n"
                         r"expires +in 89d23h \(.*\)\nnote +x\nstate +valid\n$" % id)
        self.assertIn("scopes    admin\nsources   any\n", self.key("check", input=other).stdout)
        row = self.keys()[0]
        del row["sha256"]
        self.assertEqual(json.loads(self.key("check", "--json", input=text).stdout), {**row, "state": "valid"})
        self.assertNotIn(text[16:50], done.stdout)

    def test_what_is_not_valid(self):
        text = self.new("a", "--scope", "read")
        other = self.new("b", "--scope", "read")
        gone = self.new("c", "--scope", "read")
        parts = text.split("_")
        mixed = "_".join(["obs", "r", other.split("_")[2], parts[3]])
        mixed += "_" + check_of(mixed)
        self.write({"v": 1, "keys": [row for row in self.keys() if row["name"] != "c"]})
        self.key("revoke", "b")
        for key, error, state in (
                ("what", "this is not the text of a key: a character is wrong or missing", "malformed"),
                (text[:-1], "this is not the text of a key: a character is wrong or missing", "malformed"),
                (text.swapcase(), "this is not the text of a key: a character is wrong or missing", "malformed"),
                (mixed, "%s: the key of this id in %s has another secret" % (other.split("_")[2], self.file), "unknown"),
                (gone, "%s: no such key in %s" % (gone.split("_")[2], self.file), "unknown"),
                (other, "%s is revoked" % other.split("_")[2], "revoked")):
            done = self.key("check", "--json", code=3, input=key)
            self.assertEqual(done.stderr, "observerctl key: %s\n" % error)
            self.assertEqual(json.loads(done.stdout)["state"], state)
            done = self.key("check", code=3, input=key)
            self.assertEqual(done.stderr, "observerctl key: %s\n" % error)
            self.assertEqual(done.stdout == "", state in ("malformed", "unknown"))
            if state == "malformed":  # nothing listens there: it is not even about to be sent
                done = self.ctl("key", "check", "--json", "--url", "http://127.0.0.1:1", code=3, input=key, env=self.environment())
                self.assertEqual((done.stderr, json.loads(done.stdout)["state"]), ("observerctl key: %s\n" % error, state))

    def test_where_the_key_comes_from(self):
        a, b, c = (self.new(name, "--scope", "read") for name in "abc")
        file = self.path("a.key", a + "\nanother line\n")
        env = self.environment()
        for args, more, standard, name in ((["--key-file", file], {"OBSERVER_KEY": b}, c, "a"), ([], {"OBSERVER_KEY_FILE": file}, c, "a"),
                                           ([], {"OBSERVER_KEY_FILE": file, "OBSERVER_KEY": b}, c, "a"),
                                           ([], {"OBSERVER_KEY": b}, c, "b"), ([], {"OBSERVER_KEY": ""}, c, "c"), ([], {}, c, "c")):
            done = self.key("check", "--json", *args, env={**env, **more}, input=standard)
            self.assertEqual(json.loads(done.stdout)["name"], name)
        self.assertEqual(self.said("check", input=""),
                         "observerctl key: no key: standard input is empty, and neither OBSERVER_KEY_FILE nor OBSERVER_KEY is set\n")
        self.assertEqual(self.said("check", input="\n"), "observerctl key: standard input: it is empty\n")
        self.assertEqual(self.said("check", "--key-file", self.path("none")),
                         "observerctl key: key-file %s: No such file or directory\n" % self.path("none"))


class WithDaemon(KeyTest):
    """What the command writes is what a daemon reads, at once."""

    def ask(self, key, path="/v1/observer/ops", body=None):
        request = urllib.request.Request(self.daemon.url("http") + path, body, {"authorization": "Bearer " + key})
        try:
            with urllib.request.urlopen(request, timeout=30 * SLOW) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code

    def test_from_new_to_revoke(self):
        refused = (401, 429)  # who asks again and again with a wrong key
        admin, reader = self.new("boss", "--scope", "admin"), self.new("reader", "--scope", "read", "--note", "\u00e9")
        self.daemon = self.start(args=["--keys", self.file], pull=None, sub=None, rep=None, feed=None)
        self.assertEqual((self.ask(admin), self.ask(reader)), (200, 200))
        self.assertEqual(self.ask(reader, "/v1/observer/event", b'{"endpoint":"/a"}'), 403)
        mailer = self.new("mailer", "--scope", "ingest", "--source", "mailer")
        wait_until(lambda: self.ask(mailer) == 403, 20, "the new key counts")
        self.assertEqual(self.ask(mailer, "/v1/observer/event", b'{"endpoint":"/a"}'), 200)
        self.assertEqual(self.daemon.journal_rows()[0]["source"], "mailer")
        other = self.key("rotate", "reader", "--overlap", "0").stdout.strip()
        wait_until(lambda: self.ask(reader) in refused and self.ask(other) == 200, 20, "the key is another")
        self.key("revoke", "boss", "mailer")
        wait_until(lambda: self.ask(admin) in refused and self.ask(mailer) in refused, 20, "the keys are revoked")
        self.assertEqual(self.ask(other), 200)
        self.daemon.stop()
        ids = {name: key.split("_")[2] for name, key in (("boss", admin), ("reader", reader), ("mailer", mailer), ("other", other))}
        with open(os.path.join(self.daemon.data_dir, "audit.jsonl")) as f:
            text = f.read()
        rows = [json.loads(line) for line in text.splitlines()]
        done = [(row["what"], row["key"], row.get("detail")) for row in rows if row["what"] != "denied"]
        self.assertEqual(done, [("key_added", ids["mailer"], "ingest"), ("key_changed", ids["reader"], "expires"),
                                ("key_added", ids["other"], "read"), ("key_revoked", ids["boss"], None),
                                ("key_revoked", ids["mailer"], None)])
        self.assertTrue({row["key"] for row in rows if row["what"] == "denied"} <= set(ids.values()))
        for key in (admin, reader, mailer, other):
            self.assertNotIn(key.split("_")[3][:12], text + self.daemon.stderr())

    def check(self, key, *args, code=0, **kw):
        done = self.ctl("key", "check", *args, "--url", self.daemon.url("http"), code=code, input=key, **kw)
        self.assertNotIn(key[16:50] or key, done.stdout + done.stderr)
        return done

    def test_what_the_daemon_says(self):
        mailer = self.new("mailer", "--scope", "ingest", "--source", "mailer", "--expires", "90d")
        admin, gone = self.new("boss", "--scope", "admin"), self.new("gone", "--scope", "admin")
        self.key("revoke", "gone")
        self.daemon = self.start(args=["--keys", self.file], pull=None, sub=None, rep=None, feed=None)
        done = self.check(mailer)
        self.assertEqual(done.stderr, "")
        self.assertRegex(done.stdout, r"^%s\nname +mailer\nscopes +ingest\nsources +mailer\ncreated +\d+ (s|min) ago \(.*\)\n"
                         r"expires +in 89d23h \(.*\)\nstate +valid\n$" % mailer.split("_")[2])
        self.assertIn("scopes    ingest, read, admin\nsources   any\n", self.check(admin).stdout)
        self.assertEqual(json.loads(self.check(mailer, "--json").stdout)["name"], "mailer")
        refused = "observerctl key: the key does not allow this request\n"
        for key, method, path, code, says in (
                (mailer, "POST", "/v1/observer/event", 0, "allowed"), (mailer, "POST", "/event", 0, "allowed"),
                (mailer, "GET", "/livez", 0, "allowed"), (mailer, "GET", "/v1/observer/ops?limit=1&q=a b", 3, "not allowed, needs read"),
                (mailer, "HEAD", "/v1/observer/ops", 3, "not allowed, needs read"),
                (mailer, "GET", "/v1/observer/advice", 0, "allowed"),
                (admin, "GET", "/v1/observer/ops", 0, "allowed"), (admin, "GET", "/nowhere", 3, "there is no such route"),
                (admin, "DELETE", "/v1/observer/ops", 3, "there is no such route")):
            done = self.check(key, method, path, code=code)
            self.assertEqual(done.stderr, refused if code else "")
            self.assertEqual(done.stdout.splitlines()[-1], "request   %s %s: %s" % (method, path, says))
            answer = json.loads(self.check(key, method, path, "--json", code=code).stdout)
            self.assertEqual((answer["allowed"], answer["method"], answer["path"]), (code == 0, method, path))
        for key in (gone, new_key(), with_other_secret(mailer)):
            done = self.check(key, code=3)
            self.assertEqual((done.stdout, done.stderr), (
                "", "observerctl key: the daemon does not take this key: it is unknown there, expired or revoked\n"))
            self.assertEqual(self.check(key, "--json", code=3).stdout, '{"state":"refused"}\n')
        for key in (mailer[:-1], "what"):
            self.assertEqual(self.check(key, "--json", code=3).stdout, '{"state":"malformed"}\n')
        # The file of the environment is looked at where no URL was given, else the daemon is asked.
        env = {**self.environment(), "OBSERVER_KEYS": self.file, "OBSERVER_URL": "http://127.0.0.1:1"}
        self.assertIn("state     valid", self.ctl("key", "check", input=mailer, env=env).stdout)
        self.assertEqual(self.check(mailer, env=env).returncode, 0)
        env = {**self.environment(), "OBSERVER_URL": self.daemon.url("http")}
        self.assertIn("state     valid", self.ctl("key", "check", input=mailer, env=env).stdout)
        self.daemon.stop()
        self.assertIn("Connection refused", self.check(mailer, code=1).stderr)

    def test_a_daemon_without_keys(self):
        self.daemon = self.start()
        for args, out in (([], ""), (["GET", "/stats"], ""), (["--json"], '{"id":null,')):
            done = self.check(new_key(), *args)
            self.assertEqual(done.stdout[:11], out)
            self.assertEqual(done.stderr, "observerctl key: the daemon has no key file: whoever reaches it may do everything, with any "
                             "key or none\n")
        self.daemon.stop()


if __name__ == "__main__":
    main()
