"""The demo's three commands in a terminal of 80 and of 120 columns: their screens show what was planted, in whole words."""

import os
import re
import subprocess

from harness import BUILD, SLOW, DaemonTest, main, wait_until
from terminal import Terminal

CTL = os.path.join(BUILD, "observerctl")


class DemoScreens(DaemonTest):
    def setUp(self):
        super().setUp()
        self.daemon = self.start(args=("--cycle", "1"))
        self.demo = subprocess.Popen([CTL, "demo", "--url", self.daemon.url("http"), "--rate", "400", "--speed", "12"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end)
        for endpoint, culprit in (("/v1/chat", "qwen3-coder"), ("scenario:fill", "Dayton"), ("mailer:send", "2.15.0")):
            wait_until(lambda at=endpoint, words=culprit: words in str(self.advice(at)["findings"]), 60, culprit + " is found")

    def end(self):
        self.demo.terminate()
        self.demo.wait(60 * SLOW)
        self.daemon.stop()

    def advice(self, endpoint):
        return self.daemon.get("/v1/observer/advice?endpoint=" + endpoint).json

    def terminal(self, columns, rows=30):
        tmp = os.path.join(self.tmp, "terminal%d" % columns)
        os.makedirs(tmp, exist_ok=True)
        terminal = Terminal(tmp, columns, rows, env={"OBSERVER_URL": self.daemon.url("http")})
        self.addCleanup(terminal.close)
        return terminal

    def shows(self, terminal, *words):
        """The screen has each of these, not cut: words may be apart by any space, but not by a mark of what was left out."""
        for word in words:
            terminal.wait(r"(?<!\w)%s(?!\w|…)" % r"\s+".join(map(re.escape, word.split())), 30)

    def test_top(self):
        for columns in (80, 120):
            terminal = self.terminal(columns)
            terminal.run(CTL, "top")
            self.shows(terminal, "/v1/chat", "scenario:fill", "mailer:send", "no roster for Dayton", "upstream timed out",
                       "authentication failed: no key")
            terminal.keys("q")
            self.assertEqual(terminal.status(), 0)

    def test_clusters(self):
        for columns in (80, 120):
            terminal = self.terminal(columns)
            terminal.run(CTL, "clusters")
            self.shows(terminal, "no roster for Dayton", "upstream timed out", "authentication failed", "/v1/chat", "scenario:fill",
                       "mailer:send")
            self.assertEqual(terminal.status(), 0)

    def until(self, terminal, words, *command):
        """The command's screen has all of them at last: what one cycle finds the next may doubt, while causes come and go."""
        def shown():
            terminal.keys("clear", "Enter")
            terminal.run(CTL, *command)
            terminal.wait_shell()
            text = " ".join(terminal.text().split())
            return all(re.search(r"(?<!\w)%s(?!\w|…)" % re.escape(word), text) for word in words)

        wait_until(shown, 60, " and ".join(words))

    def test_advice(self):
        for columns in (80, 120):
            terminal = self.terminal(columns)
            self.until(terminal, ("qwen3-coder", "give the work to another", "upstream timed out"), "advice", "-e", "/v1/chat")

    def test_what_the_readme_shows(self):
        """All that is found in one analysis, whole."""
        for columns in (80, 120):
            terminal = self.terminal(columns, 50)
            self.until(terminal, ('"qwen3-coder"', '"Dayton"', '"2.15.0"'), "analyses", "--scope", "fleet", "--limit", "1")


if __name__ == "__main__":
    main()
