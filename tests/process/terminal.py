"""A real terminal for tests: tmux with a server, a socket and settings of its own, its screen read back as text."""

import os
import re
import shlex
import shutil
import subprocess

from harness import wait_until

SHELL_PROMPT = "at the shell>"


class Terminal:
    """One window with a shell. Its environment has nothing of the caller's but PATH and what the sanitizers want."""

    def __init__(self, tmp, columns=100, rows=30, env=None):
        if shutil.which("tmux") is None:
            raise AssertionError("these tests need tmux: apt-get install tmux (scripts/deps.sh test installs it)")
        self.asked = 0
        os.makedirs(tmp, exist_ok=True)
        self.socket = os.path.join(tmp, "tmux")
        keep = {k: v for k, v in os.environ.items() if k == "PATH" or k.endswith("SAN_OPTIONS")}
        self.env = {**keep, "LANG": "C.UTF-8", "TERM": "screen-256color", "HOME": tmp, "TMUX_TMPDIR": tmp,
                    **(env or {})}
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), "sh")
        self.keys("-l", "PS1='%s '; clear\n" % SHELL_PROMPT)
        self.wait_shell()

    def tmux(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, "-u", "-f", "/dev/null", *args], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=60).stdout

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], env=self.env, stdin=subprocess.DEVNULL,
                       capture_output=True, check=False, timeout=60)

    # -- what goes in

    def run(self, *command):
        """Types a command and Enter."""
        self.tmux("send-keys", "-l", " ".join(shlex.quote(word) for word in command))
        self.keys("Enter")

    def keys(self, *names):
        """Keys by tmux's names: Enter, Tab, C-c, Escape, or characters."""
        self.tmux("send-keys", *names)

    def resize(self, columns, rows):
        """Returns when the programs inside can see it: tmux passes a new size on a moment later."""
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))
        tty = self.tty()

        def passed_on():
            size = subprocess.run(["stty", "size", "-F", tty], capture_output=True, text=True, check=True).stdout
            return size.split() == [str(rows), str(columns)]

        wait_until(passed_on, 20, "the terminal has %d columns and %d rows" % (columns, rows))

    # -- what is seen

    def screen(self, colours=False):
        """The visible rows, without what is blank at their ends."""
        return [row.rstrip() for row in self.tmux("capture-pane", "-p", *(["-e"] if colours else [])).split("\n")[:-1]]

    def text(self, colours=False):
        return "\n".join(self.screen(colours))

    def wait(self, pattern, seconds=20.0, colours=False):
        """Waits until the screen matches; returns the match."""
        last = []

        def found():
            last[:] = [self.text(colours)]
            return re.search(pattern, last[0], re.MULTILINE)

        try:
            return wait_until(found, seconds, "%r on the screen" % pattern)
        except AssertionError as e:
            raise AssertionError("%s; it was:\n%s" % (e, last[0])) from None

    def wait_gone(self, pattern, seconds=20.0):
        wait_until(lambda: not re.search(pattern, self.text(), re.MULTILINE), seconds, "%r gone" % pattern)

    def wait_shell(self, seconds=20.0):
        """Waits until the last thing written is the shell's prompt (behind the ^C of an interrupted command)."""
        wait_until(lambda: "".join(self.screen()).endswith(SHELL_PROMPT), seconds, "the shell's prompt")

    def status(self):
        """The exit status of what ran last."""
        self.wait_shell()
        self.asked += 1
        self.keys("echo status%d=$?" % self.asked, "Enter")
        return int(self.wait(r"^status%d=(\d+)$" % self.asked).group(1))

    def state(self):
        """What a program must leave as it found it: the settings of the terminal, the screen in use, the cursor."""
        self.wait_shell()
        flags = self.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{keypad_flag} #{mouse_any_flag}")
        return flags, subprocess.run(["stty", "-a", "-F", self.tty()], capture_output=True, text=True, check=True).stdout

    def tty(self):
        return self.tmux("display-message", "-p", "#{pane_tty}").strip()
