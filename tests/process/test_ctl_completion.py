"""Completion in bash, zsh and fish: what is offered, and that each shell's script puts it into the line."""

import os
import pty
import select
import shutil
import signal
import time

from ctl import CtlTest
from harness import BUILD, ROOT, SLOW, DaemonTest, main
from test_ctl_texts import CTL, commands, flags_of, run


class Words(CtlTest):
    """`observerctl completion words`: what the scripts ask."""

    def offered(self, *words, env=None):
        """(what the shell adds, [(value, what it is)])"""
        lines = self.ctl("completion", "words", "--", *words, env=env or self.environment()).stdout.split("\n")
        self.assertEqual(lines.pop(), "")
        return lines[0], [tuple(line.split("\t")) for line in lines[1:]]

    def test_names_that_the_daemon_knows(self):
        d = self.start(args=["--cycle", "100ms"])
        for n, name in enumerate(("/v1/chat", "scenario:fill", "a b", "quo'te", "dol$(touch %s)" % self.path("run"), "esc\x1b[1m", "rtl\u202e")):
            d.post("/v1/observer/event", {"endpoint": name, "source": "src%d" % n, "staffer_id": "bob", "session_id": "s%d" % n,
                                          "success": False, "error": "no roster for city"})
        cluster = d.get("/v1/observer/clusters").json["clusters"][0]
        env = dict(self.environment(), OBSERVER_URL=d.url("http"))
        shell, names = self.offered("ops", "--endpoint", "", env=env)  # nothing that acts on a terminal
        self.assertEqual((shell, sorted(names)), ("", sorted(
            (name, "") for name in ("/v1/chat", "scenario:fill", "a b", "quo'te", "dol$(touch %s)" % self.path("run")))))
        self.assertEqual(self.offered("ops", "-e", "/", env=env), ("", [("/v1/chat", "")]))
        self.assertEqual(self.offered("ops", "--source=src1", env=env), ("", [("--source=src1", "")]))
        self.assertEqual(self.offered("tail", "--staffer-id", "b", env=env), ("", [("bob", "")]))
        self.assertEqual(self.offered("ops", "--session-id", "s", env=env)[1], [("s%d" % n, "") for n in range(6, -1, -1)])
        shown = [(cluster["id"], "%s: no roster for city" % cluster["state"])]
        self.assertEqual(self.offered("clusters", cluster["id"][:3], env=env), ("", shown))
        self.assertEqual(self.offered("ops", "--cluster", "", env=env), ("", shown))
        self.assertEqual(self.offered("op", "1", env=env), ("", [("1", "/v1/chat: no roster for city")]))
        # The line's own --url counts, wherever it stands.
        for words in (("--url", d.url("http"), "op", "1"), ("op", "-u", d.url("http"), "1"), ("op", "--url=" + d.url("http"), "1")):
            self.assertEqual(self.offered(*words)[1], [("1", "/v1/chat: no roster for city")])
        d.stop()
        self.assertEqual(self.offered("ops", "--endpoint", "", env=env), ("", []))  # silent when it is away

    def test_what_the_shell_adds(self):
        for words, wanted in ((("check", ""), "files"), (("doctor", "--data-dir", ""), "dirs"), (("run", ""), "commands"),
                              (("run", "-q", "make", ""), "files"), (("stats", ""), ""), (("pub", "--topic", ""), "")):
            self.assertEqual(self.offered(*words)[0], wanted, words)
        self.assertEqual(self.offered("--color", "a"), ("", [("auto", ""), ("always", "")]))
        self.assertEqual(self.offered("--color", "never", "check", ""), self.offered("check", ""))
        self.assertEqual(self.offered("nothing", ""), ("", []))
        self.assertEqual(self.ctl("completion", "words").stdout, "")


class Shell(DaemonTest):
    """A shell in a terminal: the script is read, a line is typed with a tab, and what the shell then runs is printed."""

    SHELLS = {
        "bash": (["bash", "--norc", "--noprofile", "-i"],
                 "PS1=@@; source <(observerctl completion bash); observerctl() { printf '<%s>' \"$@\"; echo END; }; echo RE''ADY"),
        "zsh": (["zsh", "-f", "-i"],
                "PS1=@@; autoload -Uz compinit && compinit -u -D; source <(observerctl completion zsh);"
                " observerctl() { printf '<%s>' \"$@\"; echo END; }; echo RE''ADY"),
        "zsh as installed": (["zsh", "-f", "-i"],
                             "PS1=@@; mkdir functions; observerctl completion zsh >functions/_observerctl; fpath=($PWD/functions $fpath);"
                             " autoload -Uz compinit && compinit -u -D; observerctl() { printf '<%s>' \"$@\"; echo END; }; echo RE''ADY"),
        "fish": (["fish", "--no-config", "-i"],
                 "function fish_prompt; echo @@; end; observerctl completion fish | source;"
                 " function observerctl; printf '<%s>' $argv; echo END; end; echo RE''ADY"),
    }

    def read(self, until):
        """Reads the terminal up to the text; returns what came before it."""
        deadline = time.monotonic() + 30 * SLOW
        while until not in self.shown:
            ready = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]
            self.assertTrue(ready, "%r did not come: %r" % (until, self.shown))
            self.shown += os.read(self.fd, 65536)
        before, self.shown = self.shown.split(until, 1)
        return before

    def open(self, shell, url):
        argv, setup = self.SHELLS[shell]
        if shutil.which(argv[0]) is None:
            self.skipTest(shell + " is not installed")
        env = {"PATH": BUILD + ":/usr/bin:/bin", "TERM": "dumb", "HOME": self.tmp, "OBSERVER_URL": url, "LC_ALL": "C.UTF-8"}
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(self.tmp)
            os.execvpe(argv[0], argv, env)
        self.addCleanup(os.close, self.fd)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, signal.SIGKILL)
        self.shown = b""
        self.read({"bash": b"$ ", "zsh": b"% ", "fish": b"> "}[argv[0]] if os.getuid() else b"# ")
        os.write(self.fd, setup.encode() + b"\n")
        self.read(b"READY\r\n")
        self.read(b"@@")

    def typed(self, line):
        """The arguments that the shell ends up with."""
        os.write(self.fd, ("observerctl " + line + "\t\n").encode())
        said = self.read(b"END\r\n").decode()
        self.read(b"@@")
        return said[said.rindex("\n<") + 2 if "\n<" in said else said.index("<") + 1:-1].split("><")

    def check(self, shell):
        d = self.start(data_dir=None)
        for name in ("/v1/chat", "scenario:fill"):
            d.post("/v1/observer/event", {"endpoint": name, "success": False, "error": "no roster"})
        cluster = d.get("/v1/observer/clusters").json["clusters"][0]["id"]
        for name in ("ops.jsonl", "other"):
            with open(os.path.join(self.tmp, name), "w"):
                pass
        os.mkdir(os.path.join(self.tmp, "operations"))
        self.open(shell, d.url("http"))
        for line, wanted in (("summ", ["summary"]),
                             ("summary --win", ["summary", "--window"]),
                             ("summary --window=l", ["summary", "--window=lifetime"]),
                             ("summary -w l", ["summary", "-w", "lifetime"]),
                             ("ops --endpoint /v", ["ops", "--endpoint", "/v1/chat"]),
                             ("ops --endpoint=scenario:f", ["ops", "--endpoint=scenario:fill"]),
                             ("ops -e scenario:f", ["ops", "-e", "scenario:fill"]),
                             ("clusters " + cluster[:4], ["clusters", cluster]),
                             ("check ops.", ["check", "ops.jsonl"]),
                             ("doctor --data-dir opera", ["doctor", "--data-dir", "operations"]),
                             ("run -- cat oth", ["run", "--", "cat", "other"])):
            self.assertEqual([word.rstrip("/") for word in self.typed(line)], wanted, line)
        d.stop()

    def test_bash(self):
        self.check("bash")

    def test_zsh(self):
        self.check("zsh")

    def test_zsh_as_installed(self):
        """Loaded by its name, as a function of the completion system."""
        self.check("zsh as installed")

    def test_fish(self):
        self.check("fish")


class Completion(DaemonTest):
    def complete(self, *words, cwd=None):
        """What is offered for the last of the words."""
        script = ('source <("$1" completion bash) || exit 9; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1));'
                  ' _observerctl; printf "%s\\n" "${COMPREPLY[@]}"')
        done = run("bash", "--norc", "-c", script, "bash", CTL, *words, cwd=cwd or ROOT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [line for line in done.stdout.split("\n") if line]

    def test_it_is_registered(self):
        done = run("bash", "--norc", "-c", 'source <("$1" completion bash); complete -p observerctl', "bash", CTL)
        self.assertEqual(done.stdout, "complete -F _observerctl observerctl\n")

    def test_commands(self):
        self.assertEqual(self.complete(""), ["--help", "--version", "--url", "--color"] + commands())
        self.assertEqual(self.complete("su"), ["summary"])
        self.assertEqual(self.complete("s"), [name for name in commands() if name.startswith("s")])
        self.assertEqual(self.complete("--v"), ["--version"])
        self.assertEqual(self.complete("zzz"), [])
        self.assertEqual(self.complete("zzz", ""), [])

    def test_flags(self):
        for name in commands():
            self.assertEqual(self.complete(name, "--"), ["--help"] + ["--" + flag.replace("[=BOOL]", "") for _, flag, _ in flags_of(name)], name)
        self.assertEqual(self.complete("ops", "--s"), ["--scope", "--source", "--success", "--staffer-id",
                                                       "--sig-hash", "--session-id", "--since"])
        self.assertEqual(self.complete("ops", "--limit", "5", "--un"), ["--until"])

    def test_choices(self):
        windows = ["lifetime", "1m", "5m", "1h"]
        self.assertEqual(self.complete("summary", "--window", ""), windows)
        self.assertEqual(self.complete("summary", "-w", "5"), ["5m"])
        self.assertEqual(self.complete("summary", "--window", "="), windows)
        self.assertEqual(self.complete("summary", "--window", "=", "l"), ["lifetime"])
        self.assertEqual(self.complete("summary", "--sort", "p9"), ["p90", "p99"])
        self.assertEqual(self.complete("summary", "--limit", ""), [])
        self.assertEqual(self.complete("completion", ""), ["bash", "zsh", "fish", "words"])
        self.assertEqual(self.complete("help", "ta"), ["tail"])
        self.assertEqual(self.complete("summary", "--window=l"), ["--window=lifetime"])  # not taken apart
        self.assertEqual(self.complete("--url", "=", "http", ":", "//x", "summary", "--window", "=", "l"), ["lifetime"])
        self.assertEqual(self.complete("stats", ""), [])
        self.assertEqual(self.complete("sessions", "--grounded", "t"), ["true"])
        self.assertEqual(self.complete("pub", "--success", "=", "f"), ["false"])
        self.assertEqual(self.complete("pub", "--success", "--to"), ["--topic"])

    def test_files(self):
        for name in ("ops.jsonl", "ops 1.jsonl", "other"):
            with open(os.path.join(self.tmp, name), "w"):
                pass
        os.mkdir(os.path.join(self.tmp, "operations"))
        self.assertEqual(sorted(self.complete("check", "op", cwd=self.tmp)), ["operations", "ops 1.jsonl", "ops.jsonl"])
        self.assertEqual(self.complete("doctor", "--data-dir", "o", cwd=self.tmp), ["operations"])
        self.assertEqual(self.complete("doctor", "o", cwd=self.tmp), [])
        self.assertEqual(self.complete("check", "--limit", "o", cwd=self.tmp), [])
        self.assertEqual(self.complete("check", os.path.join(self.tmp, "ot")), [os.path.join(self.tmp, "other")])

    def test_another_command(self):
        for before in (("run",), ("run", "--"), ("run", "--url", "http://x", "--")):
            if "run" not in commands() or ("--url" in before and "url" not in [f for _, f, _ in flags_of("run")]):
                continue
            self.assertIn("sleep", self.complete(*before, "slee"), before)
            with open(os.path.join(self.tmp, "input"), "w"):
                pass
            self.assertEqual(self.complete(*before, "cat", "in", cwd=self.tmp), ["input"])
            self.assertEqual(self.complete(*before, "cat", "--", cwd=self.tmp), [])


if __name__ == "__main__":
    main()
