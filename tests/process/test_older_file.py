"""lakehouse.toml of the older system as the daemon's configuration: its block [observerd], read as TOML."""

import os
import random
import subprocess
import tomllib

from harness import OBSERVERD, DaemonTest, main

# As it stands in an installation: the services of the older system share it, each with a block of its own.
LAKEHOUSE = r'''# Lakehouse, one box. Each service reads its own block; URLs are those of the others.
# [observerd] is further down.

[gateway]
bind = "127.0.0.1:3110"
storaged_url = "http://127.0.0.1:3211"   # see [storaged]
allowed_ips = [
  "10.0.0.0/8",     # the office
  '192.168.7.4',    # [observerd] of the old box
]

[storaged]
bind = "127.0.0.1:3211"
prefixes = { "datasets/" = 5_368_709_120, 'vectors.bin' = 0x1_0000 }

[s3]
endpoint = "http://localhost:9000"
secret_note = """
The keys are in /etc/lakehouse/secrets-go.toml, not here.
[observerd]
bind = "0.0.0.0:1"
"""
use_path_style = true

[observerd]
# Next to the gateway; 3219 since the cutover.
bind = "127.0.0.1:3219"     # not 3800, the TypeScript one still runs there
persist_path = "./data/_observer/ops.jsonl"

[[models]]
name = 'qwen3.5 "fast"'
since = 2026-04-01
weight = 1.5e-1
  [models.limits]
  rpm = 60

[log]
level = "info"
'''


class OlderFileTest(DaemonTest):
    def file(self, text, name="lakehouse.toml"):
        path = os.path.join(self.tmp, name)
        with open(path, "w" if isinstance(text, str) else "wb") as f:
            f.write(text)
        return path

    def check(self, text, *args, name="lakehouse.toml", **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        clean.update(env)
        return subprocess.run([OBSERVERD, "--check-config", "--config", self.file(text, name), *args], env=clean,
                              capture_output=True, text=True, timeout=60, cwd=self.tmp)

    def values(self, text, *args, notes=(), **env):
        done = self.check(text, *args, **env)
        self.assertEqual((done.returncode, done.stderr.splitlines()),
                         (0, ["observerd: %s/lakehouse.toml, %s" % (self.tmp, note) for note in notes]))
        return dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)

    def refused(self, text, *args, **env):
        done = self.check(text, *args, **env)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        return [line.replace("observerd: ", "", 1).replace(self.tmp + "/", "") for line in done.stderr.splitlines()]


class WhatIsRead(OlderFileTest):
    def test_the_block_among_the_others(self):
        values = self.values(LAKEHOUSE)
        self.assertEqual((values["http"], values["data_dir"], values["journal_name"], values["log_level"]),
                         ("http://127.0.0.1:3219", "./data/_observer", "ops.jsonl", "info"))
        printed = self.check(LAKEHOUSE).stdout
        self.assertIn("# file %s/lakehouse.toml, line 27, [observerd] bind\nhttp = http://127.0.0.1:3219\n" % self.tmp, printed)

    def test_a_daemon_of_it_records_where_the_older_one_did(self):
        os.makedirs(os.path.join(self.tmp, "data"))
        rows = os.path.join(self.tmp, "data", "observed.jsonl")
        with open(rows, "w") as f:
            f.write('{"timestamp":"2026-01-01T00:00:00Z","endpoint":"/v1/x","input_summary":"","success":true,'
                    '"duration_ms":3,"output_summary":"","source":"mcp"}\n')
        text = LAKEHOUSE.replace("127.0.0.1:3219", "127.0.0.1:0").replace('"./data/_observer/ops.jsonl"', '"%s"' % rows)
        daemon = self.start(args=["--config", self.file(text)])
        self.assertEqual(daemon.get("/stats").json["total"], 1)
        daemon.post("/event", {"source": "mcp"})
        daemon.stop()
        with open(rows) as f:
            self.assertEqual(len(f.readlines()), 2)

    def test_each_way_to_write_it(self):
        for text in ('[observerd]\nbind = "127.0.0.1:7"\npersist_path = "/a b/obs.jsonl"\n',
                     "[observerd]\r\nbind = '127.0.0.1:7' # x\r\npersist_path = '/a b/obs.jsonl'\r\n",
                     '\ufeffobserverd.bind = "127.0.0.1:7"\nobserverd."persist_path" = """/a b/obs.jsonl"""\n[http]\nx = 1\n',
                     'observerd = { bind = "127.0.0.1:\\u0037", persist_path = "/a b/obs.jsonl" }',
                     '[ "observerd" ]\n"bind" = """\\\n   127.0.0.1:7"""\npersist_path = \'\'\'\n/a b/obs.jsonl\'\'\'',
                     '[observerd.more]\nx = 1\n[observerd]\nbind="127.0.0.1:7"\npersist_path="/a b/obs.jsonl"'):
            notes = ["line 1, [observerd] more: no key of this block, passed over"] if "more" in text else []
            values = self.values(text, notes=notes)
            self.assertEqual((values["http"], values["data_dir"], values["journal_name"]),
                             ("http://127.0.0.1:7", "/a b", "obs.jsonl"), text)

    def test_a_path_longer_than_a_line_of_ini(self):
        path = "/" + "/".join(["d" * 200] * 5) + "/ops.jsonl"
        self.assertEqual(self.values('[observerd]\npersist_path = "%s"\n' % path)["data_dir"], os.path.dirname(path))

    def test_options_of_the_section_of_that_name(self):
        values = self.values('[observerd]\nring = 5_000\nlog_level = "warn"\nqueue_bytes = "16M"\ncycle = 0.5\n')
        self.assertEqual((values["ring"], values["log_level"], values["queue_bytes"], values["cycle"]),
                         ("5000", "warn", "16777216", "500ms"))

    def test_others_tables_are_not_ours(self):
        values = self.values('ring = 1\n[http]\nhttp = 3\n[journal]\nfsync = "sometimes"\n[security]\nallow_open = 7\n'
                             '[observerd2]\nbind = 1\n[lake.observerd]\nbind = 2\n')
        self.assertEqual((values["http"], values["fsync"], values["allow_open"]), ("http://127.0.0.1:3800", "always", "false"))

    def test_what_is_stronger(self):
        values = self.values(LAKEHOUSE, "--http", "http://127.0.0.1:1", OBSERVER_DATA_DIR="/elsewhere")
        self.assertEqual((values["http"], values["data_dir"], values["journal_name"]), ("http://127.0.0.1:1", "/elsewhere", "ops.jsonl"))

    def test_without_a_path_nothing_is_kept(self):
        note = "line 2, [observerd] persist_path is empty, so nothing is kept on disk; give it a path, or use --data-dir"
        self.assertEqual(self.values('[observerd]\npersist_path = ""\n', notes=[note])["ephemeral"], "true")
        self.assertEqual(self.values('[observerd]\npersist_path = ""\n', "--data-dir", "/x")["ephemeral"], "false")
        self.assertEqual(self.values('[observerd]\nbind = ""\n')["http"], "http://127.0.0.1:3800")

    def test_every_address(self):
        refused = self.refused('[observerd]\nbind = ":3219"\n')
        self.assertEqual(len(refused), 1)
        self.assertIn("--allow-open", refused[0])
        self.assertEqual(self.values('[observerd]\nbind = ":3219"\n', "--allow-open")["http"], "http://0.0.0.0:3219")

    def test_keys_that_nobody_knows(self):
        self.values('[observerd]\nbnd = "x"\nflush = [1,\n2]\nallow_open = true\nrnig = 3\ntags.a = 1\ntags.b = 2\n', notes=[
            "line 2, [observerd] bnd: no key of this block, passed over; did you mean bind?",
            "line 3, [observerd] flush: no key of this block, passed over",
            "line 5, [observerd] allow_open: no key of this block, passed over; give it as --allow-open or OBSERVER_ALLOW_OPEN",
            "line 6, [observerd] rnig: no key of this block, passed over; did you mean ring?",
            "line 7, [observerd] tags: no key of this block, passed over"])

    def test_the_name_decides(self):
        done = self.check("; an INI file\n[observerd]\nbind = 127.0.0.1:7\n", name="observer.ini")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(self.check("[observerd]\nbind = '127.0.0.1:7'\n", name="Lakehouse.TOML").returncode, 0)


class WhatIsRefused(OlderFileTest):
    def test_values(self):
        self.assertEqual(self.refused('[observerd]\nbind = 3219\npersist_path = ["/x/ops.jsonl"]\nring = "many"\n'
                                      'endpoints = [1]\nlog_format = 1979-05-27\n'), [
            "lakehouse.toml, line 2, [observerd] bind: must be a string, not an integer",
            "lakehouse.toml, line 3, [observerd] persist_path: must be a string, not an array",
            'ring: must be an integer from 1 to 1000000, not "many" (file lakehouse.toml, line 4, [observerd] ring)',
            "lakehouse.toml, line 5, [observerd] endpoints: must be a string, a number or a boolean, not an array",
            "lakehouse.toml, line 6, [observerd] log_format: must be a string, a number or a boolean, not a date"])
        self.assertEqual(self.refused('[observerd]\nbind = "nowhere:x"\n'), [
            'http: must be a URL such as http://host:8080/path, not "http://nowhere:x" (file lakehouse.toml, line 2, [observerd] bind)'])
        self.assertEqual(self.refused('[observerd]\nbind = "a\\u0000b"\n'), [
            "lakehouse.toml, line 2, [observerd] bind: must not have U+0000 in it"])
        self.assertEqual(self.refused('[observerd]\nbind.port = 3\nbind.host = "x"\n'), [
            "lakehouse.toml, line 2, [observerd] bind: must be a string, not a table"])

    def test_what_is_there_twice(self):
        self.assertEqual(self.refused('[observerd]\nbind = "127.0.0.1:1"\nring = 3\nbind = "127.0.0.1:2"\n"ring" = 4\n[observerd]\n'), [
            "lakehouse.toml, line 4, [observerd] bind: is given twice",
            "lakehouse.toml, line 5, [observerd] ring: is given twice",
            "lakehouse.toml, line 6, [observerd]: is given twice"])
        self.assertEqual(self.refused('[[observerd]]\nbind = "127.0.0.1:1"\n'), [
            "lakehouse.toml, line 1, [observerd]: must be a table, not an array of tables"])
        self.assertEqual(self.refused('observerd = "x"\n'), [
            "lakehouse.toml, line 1, [observerd]: must be a table, not a string"])

    def test_what_is_no_toml(self):
        for text, why in (('[observerd]\nbind = 127.0.0.1:3219\n', "line 2: 127.0.0.1:3219 is no value; a text needs quotes"),
                          ('[gateway\n[observerd]\n', "line 1: must be ], not the end of the line"),
                          ('[observerd]\nbind = "x\n', "line 2: the string has no end in its line"),
                          (b"[observerd]\n# \xff\n", "line 2: is not UTF-8")):
            self.assertEqual(self.refused(text), ["config: lakehouse.toml, " + why])
        self.assertEqual(self.refused("#" * (1 << 20) + "\n"), ["config: lakehouse.toml: larger than 1 MiB"])
        done = subprocess.run([OBSERVERD, "--check-config", "--config", "none.toml"], capture_output=True, text=True,
                              timeout=60, cwd=self.tmp)
        self.assertEqual(done.stderr, 'observerd: config: cannot read "none.toml": No such file or directory\n')


class AsAnotherReaderHasIt(OlderFileTest):
    """Documents put together at random: tomllib (Python's own reader) and the daemon accept the same ones, and read the
    same out of them."""

    VALUES = ['"a"', "'b\\'", '"""x\n[observerd]\n"""', "'''\n#'''", '"\\u00e9\\""', '"\\q"', "1_0", "0x1f", "01", "+1.5e3",
              "1.", "true", "True", "nan", "1979-05-27", "1979-05-27 07:32:00", "07:32:00.1", "[1, [2,],\n# ]\n]", "[1 2]",
              "{a = 1, b.c = 'x'}", "{a = 1,}", "{}", '"""\\\n  y"""""', "-", "bare", '"open', "[", "'''open"]
    LINES = ["", "# [observerd", "\t# x", "[t%d]", "[[u]]", "[v%d.'w.x']", "k%d = %s", "k%d.\"y z\" = %s", "'q %d'=%s", "k%d %s",
             "[t%d", "k%d = %s # c", "k%d = %s x", "= 1"]

    def document(self, rng):
        lines = []
        for i in range(rng.randrange(1, 9)):
            line = rng.choice(self.LINES[:9] if rng.random() < 0.9 else self.LINES)
            value = rng.choice(self.VALUES)
            lines.append(line % ((i, value) if line.count("%") == 2 else (i,) if "%" in line else ()))
        lines.insert(rng.randrange(len(lines) + 1), "[observerd]\npersist_path = %s" % rng.choice(
            ['"/p/ops.jsonl"', "'/p/\\ops'", '"""\n/p/ops"""', '"/\\u0070/\\\\ops"', "'''/p/''ops'''"]))
        return rng.choice(["\n", "\r\n"]).join(lines)

    def test_the_same_is_accepted_and_read(self):
        rng = random.Random(int(os.environ.get("OBSERVER_SEED", "15")))
        accepted = 0
        for _ in range(300):
            text = self.document(rng)
            try:
                path = tomllib.loads(text)["observerd"]["persist_path"]
            except tomllib.TOMLDecodeError:
                path = None
            done = self.check(text.encode())
            self.assertIn(done.returncode, (0, 2), done.stderr)
            self.assertEqual(done.returncode == 0, path is not None, (text, done.stderr))
            if path is not None:
                accepted += 1
                values = dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)
                self.assertEqual("%s/%s" % (values["data_dir"], values["journal_name"]), path, text)
        self.assertGreater(accepted, 50)
        self.assertLess(accepted, 290)


if __name__ == "__main__":
    main()
