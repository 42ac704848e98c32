"""observerctl run: the command is as if it had been started alone, and one op says what came of it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from ctl import OBSERVERCTL, CtlTest, free_url
from harness import SLOW, main, wait_until

SH = "/bin/sh"


class Run(CtlTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start()

    def run_ctl(self, *args, **kw):
        return self.ctl("run", "--req", self.daemon.url("rep"), *args, **kw)

    def ops(self, n):
        wait_until(lambda: len(self.daemon.journal_lines()) >= n, 20, "%d ops" % n)
        rows = self.daemon.journal_rows()
        self.assertEqual(len(rows), n)
        return rows

    def op(self, n=1):
        return self.ops(n)[-1]

    # -- what it publishes

    def test_success(self):
        done = self.run_ctl("--", SH, "-c", "cat; echo to stderr >&2", input="through\n")
        self.assertEqual((done.stdout, done.stderr), ("through\n", "to stderr\n"))
        op = self.op()
        self.assertEqual((op["endpoint"], op["input_summary"], op["output_summary"], op["success"], op["source"]),
                         ("run:sh", SH + " -c cat; echo to stderr >&2", "exit 0", True, "run"))
        self.assertNotIn("error", op)
        self.assertEqual(list(op["extra"]), ["exit_status", "max_rss_kb", "user_ms", "system_ms"])
        self.assertEqual(op["extra"]["exit_status"], 0)
        self.assertGreater(op["extra"]["max_rss_kb"], 100)
        self.assertGreaterEqual(op["duration_ms"], 0)

    def test_failure(self):
        done = self.run_ctl(SH, "-c", "echo one >&2; echo two >&2; exit 3", code=3)
        self.assertEqual(done.stderr, "one\ntwo\n")
        op = self.op()
        self.assertEqual((op["output_summary"], op["success"], op["error"], op["extra"]["exit_status"]),
                         ("exit 3", False, "one\ntwo", 3))
        self.run_ctl(SH, "-c", "exit 4", code=4)
        self.assertEqual(self.op(2)["error"], "exit 4")

    def test_time_and_fields(self):
        self.run_ctl("--endpoint", "nightly", "--source", "scrum", "--task-class", "t", "--staffer-id=me", "--turns", "3",
                     "--rescue-attempted", "--", "sleep", "0.2")
        op = self.op()
        self.assertEqual({k: op[k] for k in ("endpoint", "source", "task_class", "staffer_id", "turns", "rescue_attempted",
                                             "success")},
                         {"endpoint": "nightly", "source": "scrum", "task_class": "t", "staffer_id": "me", "turns": 3,
                          "rescue_attempted": True, "success": True})
        self.assertGreaterEqual(op["duration_ms"], 195)

    def test_flags_of_the_command_are_its_own(self):
        done = self.run_ctl("echo", "--help", "-q", "--", "x")
        self.assertEqual(done.stdout, "--help -q -- x\n")
        self.assertEqual(self.op()["input_summary"], "echo --help -q -- x")

    def test_the_end_of_a_long_stderr(self):
        script = r"i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done; printf '\303\251\033[31mred\033[0m\a\377\r\nend \302\233x\n' >&2; exit 1"
        done = self.run_ctl(SH, "-c", script, code=1, text=False)
        self.assertEqual(done.stderr.count(b"\n"), 2002)
        error = self.op()["error"]
        self.assertTrue(error.endswith("line 1999\n\u00e9red\ufffd\ufffd\nend \ufffdx"), repr(error[-60:]))
        self.assertTrue(1900 < len(error.encode()) < 2100, len(error))
        self.run_ctl(SH, "-c", r"i=0; while [ $i -lt 3001 ]; do printf '\303\251' >&2; i=$((i+1)); done; printf . >&2; exit 1",
                     code=1, text=False)
        self.assertEqual(self.op(2)["error"], "\u00e9" * 1023 + ".")  # the character that was cut is left out

    def test_a_long_command_line(self):
        self.run_ctl("true", "\u00e9" * 300, "\x1b[2J\n")
        self.assertEqual(self.op()["input_summary"], "true " + "\u00e9" * 195)
        self.run_ctl("true", b"\xff\n\x1b[31mx", text=False)
        self.assertEqual(self.op(2)["input_summary"], "true \ufffd x")

    def test_what_cannot_be_started(self):
        done = self.run_ctl("no-such-command", "x", code=127)
        self.assertEqual(done.stderr, "observerctl run: no-such-command: No such file or directory\n")
        done = self.run_ctl(self.path("plain", "text"), code=126)
        self.assertIn("plain: Permission denied", done.stderr)
        self.assertEqual([(op["success"], op["output_summary"], op["error"], op["extra"]) for op in self.ops(2)],
                         [(False, "exit 127", "no-such-command: No such file or directory", {"exit_status": 127}),
                          (False, "exit 126", self.path("plain") + ": Permission denied", {"exit_status": 126})])
        self.assertIn("which COMMAND?", self.ctl("run", code=2).stderr)
        self.assertIn("needs acknowledgements", self.ctl("run", "--push=x", "--spool", "y", "true", code=2).stderr)
        self.assertIn("must be an integer", self.ctl("run", "--turns", "x", "true", code=2).stderr)

    # -- the observer's absence

    def test_no_daemon(self):
        for kind, verb in (("--req", "acknowledged"), ("--push", "sent")):
            url = free_url()
            done = self.ctl("run", kind, url, "--timeout", "200", SH, "-c", "echo out; exit 5", code=5)
            self.assertEqual((done.stdout, done.stderr),
                             ("out\n", "observerctl run: %s: not %s within 200 ms, given up\n" % (url, verb)))
        done = self.ctl("run", "-q", "--req", free_url(), "--timeout", "200", "true")
        self.assertEqual(done.stderr, "")
        done = self.ctl("run", "--req=nonsense", "false", code=1)
        self.assertIn("observerctl run: not published: ", done.stderr)

    def test_push(self):
        self.ctl("run", "--push", self.daemon.url("pull"), "true")
        self.assertEqual(self.op()["endpoint"], "run:true")

    def test_spool(self):
        spool = self.path("spool")
        url = free_url()
        done = self.ctl("run", "--req", url, "--spool", spool, "--timeout", "200", "--", "true", "first")
        self.assertEqual(done.stderr, "observerctl run: %s: not acknowledged within 200 ms, kept in the spool\n" % url)
        self.run_ctl("--spool", spool, "--timeout", "30000", "true", "second")
        self.assertEqual({op["input_summary"] for op in self.ops(2)}, {"true first", "true second"})

    def test_rejected_by_the_daemon(self):
        done = self.run_ctl("--error", "x" * 70000, "true")
        self.assertEqual(done.returncode, 0)
        self.assertIn("observerctl run: ", done.stderr)

    # -- signals

    def start_run(self, script, *args, **kw):
        """A script that says `ready` on its standard output when it is."""
        kw.setdefault("stderr", subprocess.DEVNULL)
        run = self.spawn("run", "--req", self.daemon.url("rep"), *args, "--", sys.executable, "-u", "-c", script,
                         stdout=subprocess.PIPE, **kw)
        self.assertEqual(run.stdout.readline(), b"ready\n")
        return run

    def end(self, run):
        out, _ = run.communicate(timeout=30 * SLOW)
        return run.returncode, out

    def test_signals_are_sent_on(self):
        catch = ("import signal, sys, time\n"
                 "got = []\n"
                 "for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH):\n"
                 "    signal.signal(s, lambda n, f: got.append(n) or print(n))\n"
                 "print('ready')\n"
                 "while len(got) < 6: time.sleep(0.01)\n"
                 "sys.exit(9)\n")
        run = self.start_run(catch)
        sent = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGWINCH)
        for number in sent:
            run.send_signal(number)
            self.assertEqual(run.stdout.readline(), b"%d\n" % number)
        self.assertEqual(self.end(run), (9, b""))
        self.assertEqual(self.op()["output_summary"], "exit 9")

    def test_death_by_signal(self):
        for n, number in enumerate((signal.SIGTERM, signal.SIGINT, signal.SIGKILL), 1):
            run = self.start_run("import os, signal, time\n"
                                 "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
                                 "print('ready')\n"
                                 "if %d == signal.SIGKILL: os.kill(os.getpid(), signal.SIGKILL)\n"
                                 "time.sleep(600)" % number)
            if number != signal.SIGKILL:
                run.send_signal(number)
            self.assertEqual(self.end(run)[0], 128 + number)
            op = self.op(n)
            name = signal.Signals(number).name
            self.assertEqual((op["output_summary"], op["error"], op["success"], op["extra"]["signal"]),
                             ("signal " + name, "signal " + name, False, name))
            self.assertNotIn("exit_status", op["extra"])

    def test_the_command_has_the_signals_of_its_caller(self):
        """Neither blocked nor ignored, whatever run itself does with them."""
        command = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]
        here = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        there = self.run_ctl(*command).stdout

        def masks(text):  # 32 and 33 are the C library's own
            return [int(line.split()[1], 16) & 0x7FFFFFFF for line in text.splitlines()]

        self.assertEqual(masks(there), masks(here))

    def test_no_other_files_are_handed_down(self):
        done = self.run_ctl("ls", "/proc/self/fd")
        self.assertEqual(done.stdout.split(), ["0", "1", "2", "3"])  # 3: ls itself reads the folder

    def test_stderr_without_delay(self):
        run = self.start_run("import sys, time\nprint('ready')\nsys.stderr.write('now')\nsys.stderr.flush()\ninput()",
                             stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(select.select([run.stderr], [], [], 20 * SLOW)[0])
        self.assertEqual(os.read(run.stderr.fileno(), 100), b"now")  # the command is still there: it waits for input
        run.communicate(b"\n", timeout=30 * SLOW)
        self.assertEqual(run.returncode, 0)

    def test_a_closed_stderr(self):
        read, write = os.pipe()
        os.close(read)
        run = self.spawn("run", "--req", self.daemon.url("rep"), SH, "-c",
                         "while :; do echo x; done >&2", stdout=subprocess.DEVNULL, stderr=write)
        os.close(write)
        self.assertEqual(run.wait(30 * SLOW), 128 + signal.SIGPIPE)  # as it would end without us

    def test_what_is_left_behind_is_not_waited_for(self):
        run = self.spawn("run", "--req", self.daemon.url("rep"), SH, "-c", "sleep 600 >/dev/null & echo $!; echo here >&2",
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        pid = int(run.stdout.readline())
        try:
            self.assertEqual(run.wait(30 * SLOW), 0)
            self.assertEqual(run.stderr.read(), b"here\n")
        finally:
            os.kill(pid, signal.SIGKILL)

    def test_what_is_inherited_is_waited_for(self):
        """As a container's first process it gets the children of those that have ended."""
        script = "(sleep 0.1 &); sleep 0.3; while cat /proc/[0-9]*/stat 2>/dev/null | grep -q ') Z '$PPID' '; do sleep 0.05; done; echo none"
        prctl = ("import ctypes, os, sys; assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0; "  # PR_SET_CHILD_SUBREAPER
                 "os.execv(sys.argv[1], sys.argv[1:])")
        done = subprocess.run([sys.executable, "-c", prctl, OBSERVERCTL, "run", "--req", self.daemon.url("rep"), SH, "-c", script],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30 * SLOW, env=self.environment())
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "none\n", ""))
        self.assertTrue(self.op()["success"])

    # -- in a terminal

    def terminal(self, *command):
        """Starts `command` as the foreground job of a terminal; returns its pid and the terminal."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(command[0], list(command), self.environment())
        self.addCleanup(os.close, fd)
        self.addCleanup(self.reap_pid, pid)
        return pid, fd

    def reap_pid(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    def read_until(self, fd, what):
        got = b""
        end = time.monotonic() + 20 * SLOW
        while what not in got:
            self.assertTrue(select.select([fd], [], [], max(0, end - time.monotonic()))[0], got)
            got += os.read(fd, 4096)
        return got

    def test_ctrl_c_reaches_the_command_once(self):
        script = ("import signal, sys, time\n"
                  "n = 0\n"
                  "def caught(*_):\n"
                  "    global n\n"
                  "    n += 1\n"
                  "signal.signal(signal.SIGINT, caught)\n"
                  "print('ready', flush=True)\n"
                  "while n == 0: time.sleep(0.01)\n"
                  "time.sleep(0.3)\n"
                  "print('caught %d' % n, flush=True)\n")
        pid, fd = self.terminal(OBSERVERCTL, "run", "--req", self.daemon.url("rep"), "--", sys.executable, "-c", script)
        self.read_until(fd, b"ready")
        os.write(fd, b"\x03")
        self.read_until(fd, b"caught 1")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)

    def test_ctrl_z_and_fg(self):
        """A shell with job control sees the job stop, and both go on together."""
        pid, fd = self.terminal("/bin/bash", "--norc", "-i")
        command = "%s run --req %s -- sh -c 'echo re''ady; read x; echo got $x'" % (OBSERVERCTL, self.daemon.url("rep"))
        os.write(fd, command.encode() + b"\n")
        self.read_until(fd, b"ready")
        os.write(fd, b"\x1a")
        self.read_until(fd, b"Stopped")
        os.write(fd, b"fg\n")
        self.read_until(fd, b"run --req")
        os.write(fd, b"hello\n")
        self.read_until(fd, b"got hello")
        self.assertEqual(self.op()["output_summary"], "exit 0")
        os.write(fd, b"exit\n")

    def test_help(self):
        text = self.ctl("run", "--help").stdout
        self.assertIn("usage: observerctl run [OPTION]... [--] COMMAND [ARGUMENT]...", text)
        self.assertTrue(re.search(r"127 the command is not found", text), text)
        self.assertNotIn("--extra", text)


if __name__ == "__main__":
    main()
