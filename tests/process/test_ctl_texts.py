"""What the programs say of themselves: --help of every command, messages of wrong use, man pages."""

import json
import os
import re
import shutil
import subprocess
import unittest

from harness import BUILD, ROOT, SLOW, DaemonTest, main

CTL = os.path.join(BUILD, "observerctl")
DAEMON = os.path.join(BUILD, "observerd")


def run(*command, **kw):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOW, env=env, **kw)


def ctl(*args, **kw):
    return run(CTL, *args, **kw)


def commands():
    return re.findall(r"^  ([a-z]+) +\S", ctl("--help").stdout, re.M)


def flags_of(command):
    """[(letter or None, flag, meta or None)] as --help lists them."""
    return re.findall(r"^  (?:-(\w), |    )--([a-z-]+(?:\[=BOOL\])?)(?: (\S+))? ", ctl(command, "--help").stdout, re.M)


class Help(DaemonTest):
    def test_the_list(self):
        done = ctl("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(ctl("-h").stdout, done.stdout)
        known = commands()
        for name in ("stats", "summary", "ops", "sessions", "check", "doctor", "completion", "man", "pub", "fields"):
            self.assertIn(name, known)
        self.assertEqual(len(known), len(set(known)))
        none = ctl()
        self.assertEqual((none.returncode, none.stdout, none.stderr), (2, "", done.stdout))

    def test_every_command(self):
        for name in commands():
            done = ctl(name, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), name)
            self.assertTrue(done.stdout.startswith("usage: observerctl %s" % name), name)
            last = done.stdout.rstrip("\n").split("\n")[-1]
            self.assertRegex(last, r"^Exit status: 0 done, 1 failed, 2 used wrongly(, \d+ [^,]+)*\.$", name)
            self.assertEqual(ctl(name, "-h").stdout, done.stdout)
            self.assertEqual(ctl(name, "--no-such-thing", "--help").returncode, 0)
            self.assertEqual(ctl("help", name).stdout, done.stdout)
        self.assertEqual(ctl("help").stdout, ctl("--help").stdout)
        self.assertIn(", 3 bad rows or a torn tail or misplaced segments were found.\n", ctl("check", "--help").stdout)
        self.assertIn("(OBSERVER_URL)", ctl("stats", "--help").stdout)

    def test_every_command_is_on_its_page(self):
        with open(os.path.join(ROOT, "proto", "commands.md")) as f:
            codes = re.findall(r"`([^`]+)`", f.read())
        named = {word for code in codes for word in re.findall(r"(?:^|observerctl )(?!observerctl )([a-z]+)\b", code)}
        self.assertEqual([name for name in commands() if name not in named], [])

    def test_wrong_use(self):
        for args, error in (
                (("nothing",), "observerctl: nothing: no such command\n`observerctl help` lists the commands.\n"),
                (("statz",), "observerctl: statz: no such command; did you mean stats?\n"
                             "`observerctl help` lists the commands.\n"),
                (("help", "tial"), "observerctl help: tial: no such command; did you mean tail?\n"
                                   "`observerctl help` lists the commands.\n"),
                (("help", "tail", "top"), 'observerctl help: unexpected argument "top"\n'),
                (("ops", "--staffer"), "observerctl ops: --staffer: no such option; did you mean --staffer-id?\n"),
                (("ops", "--sorce=x"), "observerctl ops: --sorce=x: no such option; did you mean --source?\n"),
                (("clusters", "x", "extra"), 'observerctl clusters: unexpected argument "extra"\n'),
                (("rejected", "list", "extra"), 'observerctl rejected: unexpected argument "extra"\n'),
                (("review", "a", "b"), 'observerctl review: unexpected argument "b"\n'),
                (("review", "--text", "x", "file"), "observerctl review: give either --text or a file, not both\n"),
                (("stats", "--nope"), "observerctl stats: --nope: no such option (see --help)\n"),
                (("stats", "--nope=1"), "observerctl stats: --nope=1: no such option (see --help)\n"),
                (("stats", "-Z"), "observerctl stats: -Z: no such option (see --help)\n"),
                (("stats", "more"), 'observerctl stats: unexpected argument "more"\n'),
                (("stats", "--", "--json"), 'observerctl stats: unexpected argument "--json"\n'),
                (("stats", "--json=yes"), "observerctl stats: --json=yes: takes no value\n"),
                (("stats", "--url"), "observerctl stats: --url: needs a value\n"),
                (("summary", "--window", "2m"),
                 'observerctl summary: --window: "2m" is none of: lifetime 1m 5m 1h\n'),
                (("summary", "--sort="),
                 'observerctl summary: --sort: "" is none of: count failures share p50 p90 p99 max name\n'),
                (("summary", "-n", "0"), 'observerctl summary: --limit: "0" is not a number from 1 to 4294967295\n'),
                (("summary", "-n", "ten"), 'observerctl summary: --limit: "ten" is not a number from 1 to 4294967295\n'),
                (("stats", "--url", "tcp://127.0.0.1:3801"), "observerctl stats: --url: must be an http://, https:// or ipc:// URL such as "
                 'http://127.0.0.1:3800, not "tcp://127.0.0.1:3801"\n'),
                (("--nope",), "observerctl: --nope: no such option\n`observerctl help` lists the commands.\n"),
                (("--nope=1",), "observerctl: --nope: no such option\n`observerctl help` lists the commands.\n"),
                (("--url", "http://x"), "observerctl: --url: which command?\n`observerctl help` lists the commands.\n"),
                (("--url=http://x",), "observerctl: --url: which command?\n`observerctl help` lists the commands.\n"),
                (("--color=never",), "observerctl: --color: which command?\n`observerctl help` lists the commands.\n"),
                (("top", "--interval", "x"), 'observerctl top: --interval: must be a time (ms s m h d) from 100ms to 1h, not "x"\n'),
                (("stats", "--url", ":4800"), "observerctl stats: --url: must be an http://, https:// or ipc:// URL such as "
                 'http://127.0.0.1:3800, not ":4800"\n'),
                (("ops", "--limit", "-1"),
                 'observerctl ops: --limit: "-1" is not a number from 1 to 9223372036854775807\n'),
                (("ops", "--since", "soon"),
                 'observerctl ops: --since: "soon" is neither an ISO 8601 time, epoch seconds or milliseconds, nor an age such as 15m\n'),
                (("ops", "--until", "15"),
                 'observerctl ops: --until: "15" is neither an ISO 8601 time, epoch seconds or milliseconds, nor an age such as 15m\n'),
                (("ops", "--since", "1767322810123456"),
                 'observerctl ops: --since: "1767322810123456" is neither an ISO 8601 time, epoch seconds or milliseconds, '
                 "nor an age such as 15m\n"),
                (("ops", "--source", ""), "observerctl ops: --source: must not be empty\n"),
                (("sessions", "--kind="), "observerctl sessions: --kind: must not be empty\n"),
                (("sessions", "--grounded", "maybe"),
                 'observerctl sessions: --grounded: "maybe" is none of: true false\n'),
                (("doctor", "--ports", "http"),
                 'observerctl doctor: --ports: "http" is not a list of ports such as 3800,3801\n'),
                (("doctor", "--ports", "3800,"),
                 'observerctl doctor: --ports: "3800," is not a list of ports such as 3800,3801\n'),
                (("doctor", "--ports", "70000"),
                 'observerctl doctor: --ports: "70000" is not a list of ports such as 3800,3801\n'),
                (("completion",), "observerctl completion: which shell? bash, zsh or fish\n"),
                (("completion", "bash", "zsh"), "observerctl completion: which shell? bash, zsh or fish\n"),
                (("completion", "tcsh"), "observerctl completion: which shell? bash, zsh or fish\n"),
                (("pub", "--data", ""), "observerctl pub: --data: must not be empty\n"),
                (("stats", "\x1b[31m\u009b1m"), 'observerctl stats: unexpected argument "\\x1b[31m\\u009b1m"\n'),
                (("man", "observerd"), "observerctl man: observerd: no such command\n"
                                       "`observerctl help` lists the commands.\n"),
                (("man", "tail", "top"), 'observerctl man: unexpected argument "top"\n')):
            done = ctl(*args)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", error), args)

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            for args in (("ops", "--help"), ("man",), ("completion", "bash"), ("--help",), ("--version",)):
                done = subprocess.run([CTL, *args], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60 * SLOW)
                name = "observerctl" if args[0].startswith("-") else "observerctl " + args[0]
                self.assertEqual((done.returncode, done.stderr), (
                    1, name + ": standard output: No space left on device\n"))

    def test_without_standard_files(self):
        """No socket gets a number on which texts are read or written."""
        d = self.start()
        d.post("/v1/observer/event", {"endpoint": "/a"})
        with_url = "--url " + d.url("http")
        for line, err in (("ops %s >&-" % with_url, "observerctl ops: standard output: Bad file descriptor\n"),
                          ("summary %s --json >&-" % with_url, "observerctl summary: standard output: Bad file descriptor\n"),
                          ("pub --push %s <&-" % d.url("pull"), "observerctl pub: standard input: Bad file descriptor\n"),
                          ("stats %s --url http://127.0.0.1:1 2>&-" % with_url, "")):
            done = run("sh", "-c", '"$0" ' + line, CTL)
            self.assertEqual((done.returncode, done.stderr), (1, err), line)
        self.assertEqual(len(d.journal_lines()), 1)
        d.stop()

    def test_closed_output(self):
        reader, writer = os.pipe()
        os.close(reader)
        for args in (("man",), ("--help",), ("completion", "bash")):
            done = subprocess.run([CTL, *args], stdout=writer, stderr=subprocess.PIPE, timeout=60 * SLOW)
            self.assertIn(done.returncode, (0, -13), args)
            self.assertEqual(done.stderr, b"")
        os.close(writer)


@unittest.skipUnless(shutil.which("groff"), "groff is not installed")
class Pages(DaemonTest):
    def format(self, page):
        done = run("groff", "-man", "-Tutf8", "-ww", "-b", "-P-c", "-rLL=100n", input=page)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return re.sub(r".\x08", "", done.stdout)

    def sections(self, text):
        return re.findall(r"^([A-Z][A-Z ]+)$", text, re.M)

    def test_observerctl(self):
        text = self.format(ctl("man").stdout)
        self.assertEqual(self.sections(text), ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "VALUES", "ENVIRONMENT", "FILES",
                                               "EXIT STATUS", "EXAMPLES", "SEE ALSO"])
        for name in commands():
            self.assertRegex(text, r"(?m)^       observerctl-%s\(1\)$" % name)
        self.assertIn("OBSERVER_URL", text)
        self.assertIn("observerctl ops --failed --since 15m", text)
        self.assertIn("observerd(8)", text)
        self.assertLess(text.count("\n"), 220)

    def test_each_command(self):
        for name in commands():
            done = ctl("man", name)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            text = self.format(done.stdout)
            wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO"]
            flags = flags_of(name)
            if not flags:
                wanted.remove("OPTIONS")
            if "Examples:" not in ctl("help", name).stdout:
                wanted.remove("EXAMPLES")
            self.assertEqual(self.sections(text), wanted, name)
            self.assertRegex(text, r"(?m)^       observerctl-%s - \S" % name)
            self.assertRegex(text, r"(?m)^       observerctl %s( |$)" % name)
            for letter, flag, meta in flags:
                tag = ("-%s, " % letter if letter else "") + "--" + flag + (" " + meta if meta else "")
                self.assertRegex(text, r"(?m)^       %s( |$)" % re.escape(tag), name)
            self.assertNotIn("\\", "".join(line for line in text.split("\n") if "printf" not in line and not line.rstrip().endswith("\\")))
        self.assertRegex(self.format(ctl("man", "check").stdout), r"(?m)^       3 +bad rows")

    def test_observerd(self):
        done = run(DAEMON, "--man")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        text = self.format(done.stdout)
        self.assertEqual(self.sections(text), ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "CONFIGURATION",
                                               "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES", "SEE ALSO"])
        flags = re.findall(r"^  (?:-h, |    )(--[a-z-]+)(?: ([A-Z]+))? ", run(DAEMON, "--help").stdout, re.M)
        self.assertIn(("--data-dir", "DIR"), flags)
        self.assertIn(("--man", ""), flags)
        for flag, meta in flags:
            self.assertRegex(text, r"(?m)^       (-h, )?%s( |$)" % re.escape(flag + (" " + meta if meta else "")))
        self.assertIn("OBSERVERD(8)", text)
        self.assertIn("OBSERVER_DATA_DIR is --data-dir", " ".join(text.split()))  # lines are filled
        self.assertIn("       GATEWAY_URL\n", text)
        self.assertLess(text.count("\n              as --"), 5)  # the older observers' names, not each option's variable
        daemon = self.start(args=["--segment-bytes", "4K"])
        for n in range(40):
            daemon.post("/v1/observer/event", {"endpoint": "/a", "input_summary": "x" * 200, "extra": n})
        daemon.post("/v1/observer/event", {"endpoint": 5})
        daemon.stop()
        files = text[text.index("\nFILES\n"):text.index("\nEXIT STATUS\n")]
        for name in os.listdir(daemon.data_dir):  # the page knows every file that a daemon writes
            self.assertIn(re.sub(r"ops-\d+", "ops-N", name), files)

    def test_pages_of_the_build(self):
        """What is installed is what the programs print."""
        made = [("observerd.conf.sample", (DAEMON, "--sample-config")), ("man/observerctl.1", (CTL, "man")), ("man/observerd.8", (DAEMON, "--man")),
                ("completions/observerctl", (CTL, "completion", "bash")),
                ("completions/_observerctl", (CTL, "completion", "zsh")),
                ("completions/observerctl.fish", (CTL, "completion", "fish"))]
        made += [("man/observerctl-%s.1" % name, (CTL, "man", name)) for name in commands()]
        if not os.path.exists(os.path.join(BUILD, "man")):
            self.skipTest("this build makes no pages")
        for name, command in made:
            with open(os.path.join(BUILD, name)) as f:
                self.assertEqual(f.read(), run(*command).stdout, name)

    def test_text_is_not_roff(self):
        """What roff would take for its own is escaped: nothing of the tables gets lost."""
        pages = [ctl("man").stdout, run(DAEMON, "--man").stdout] + [ctl("man", name).stdout for name in commands()]
        for line in "".join(pages).split("\n"):
            if line.startswith("."):
                self.assertRegex(line, r"^\.(TH|SH|SS|PP|TP|RS 4|RE|nf|fi|nh|ad l)\b")
            self.assertNotRegex(re.sub(r"\\(\(..|\[u[0-9A-F]{4,6}\]|-|&|f[BIR])", "", line), r"\\")
            self.assertTrue(line.isascii())


class Terminal(DaemonTest):
    """Nothing that others wrote acts on the terminal of who reads it, whatever program shows it."""
    ACTS = "\x7f\x80\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"

    def check(self, text):
        for c in self.ACTS + "\x1b\x07":
            self.assertNotIn(c, text)

    def test_the_daemons_log(self):
        for form in ("text", "json"):
            daemon = self.start(args=["--log-format", form])
            deep = 1
            for _ in range(20):
                deep = [deep]
            with daemon.req() as req:
                said = req.request(json.dumps({"endpoint": "/e", "a\x1b" + self.ACTS: deep}).encode())
            self.assertEqual(said["rejected"], 1)
            daemon.stop()
            self.assertIn("\\u202e", daemon.stderr())
            self.check(daemon.stderr())
            shutil.rmtree(daemon.data_dir)

    def test_refusals_of_the_daemon(self):
        for args in (["--config", self.tmp + "/" + self.ACTS], ["--rep", "tcp://" + self.ACTS],
                     ["--" + self.ACTS], ["--fsync", self.ACTS + "\n"], ["--data-dir", "/proc/" + self.ACTS]):
            done = run(DAEMON, *args, cwd=self.tmp)
            self.assertIn(done.returncode, (1, 2), args)
            self.assertIn("\\u202e", done.stderr)
            self.check(done.stderr)

    def test_clusters_of_a_file(self):
        path = os.path.join(self.tmp, "log")
        with open(path, "wb") as f:
            f.write(("failed \x1b[31m%s here\n" % self.ACTS).encode() + b"a byte \x9b\xff of no character\n")
        done = ctl("cluster", path)
        self.assertEqual(done.returncode, 0)
        self.assertIn("\\u202e", done.stdout)
        self.assertIn("\ufffd", done.stdout)
        self.check(done.stdout)
        self.check(ctl("cluster", "/no/" + self.ACTS).stderr)


if __name__ == "__main__":
    main()
