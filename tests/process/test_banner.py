"""The commands that observerd prints when it is ready: they can be typed as they stand."""

import os
import re
import subprocess

from harness import BUILD, SLOW, DaemonTest, main, wait_until
from keys import KeyFile

PORTS = ["--http", "http://127.0.0.1:0", "--pull", "tcp://127.0.0.1:0", "--sub", "none", "--rep", "tcp://127.0.0.1:0",
         "--feed", "none"]


def printed(daemon):
    with open(daemon.stdout_path) as f:
        return f.read()


class Banner(DaemonTest):
    def start_as(self, program, **env):
        """A daemon that is run by this name, from the build's parent directory."""
        self.daemons = getattr(self, "daemons", 0) + 1
        out = os.path.join(self.tmp, "out%d" % self.daemons)
        with open(out, "w") as f:
            child = subprocess.Popen([program, *PORTS, "--ephemeral", "--log-level", "error"], stdout=f, cwd=os.path.dirname(BUILD),
                                     executable=os.path.join(BUILD, "observerd"), env=dict(os.environ, **env))

        def text():
            with open(out) as f:
                return f.read()

        try:
            wait_until(lambda: text().endswith("ready\n"), 30, "ready")
        finally:
            child.terminate()
            child.wait()
        return text()

    def test_commands_by_the_way_it_was_run(self):
        name = os.path.basename(BUILD)
        for program, path, want in ((name + "/observerd", os.environ["PATH"], name + "/observerctl"),
                                    ("./%s/observerd" % name, os.environ["PATH"], "./%s/observerctl" % name),
                                    (BUILD + "/observerd", os.environ["PATH"], BUILD + "/observerctl"),
                                    (BUILD + "/observerd", "/usr/bin:" + BUILD, "observerctl"),
                                    (BUILD + "/observerd", BUILD + ":/usr/bin", "observerctl"),
                                    ("observerd", "/usr/bin", "observerctl")):
            text = self.start_as(program, PATH=path)
            url = re.search(r"^http  (\S+)$", text, re.M).group(1)
            self.assertIn("\npage  %s/\n" % url, text)
            self.assertIn("\npublish:  %s pub --endpoint /v1/chat --success --url %s\n" % (want, url), text)
            self.assertIn("\nwatch:    %s top --url %s\n" % (want, url), text)
            self.assertIn("\n          curl %s/stats    (package curl)\n" % url, text)

    def test_each_line_works(self):
        daemon = self.start()
        lines = printed(daemon).split("ready")[0]
        commands = [line.split("  (package")[0][10:] for line in lines.splitlines() if line[:9].strip() in ("publish:", "watch:", "")]
        self.assertEqual(len(commands), 4, lines)
        publish, watch, read, push = commands
        for command in (publish, watch + " --once", read, push):
            done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60 * SLOW)
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            if command == publish:
                daemon.wait_total(1)
            elif command != push:
                self.assertIn("/v1/chat" if "top" in command else '"total":1', done.stdout)
        daemon.wait_total(2)
        self.assertEqual([(r["endpoint"], r["success"]) for r in daemon.journal_rows()], [("/v1/chat", True)] * 2)
        daemon.stop()

    def test_each_line_works_with_keys(self):
        """The first makes a key for the shell that it is typed in; the others are typed in the same one."""
        keys = KeyFile(os.path.join(self.tmp, "keys.json"))
        daemon = self.start(args=["--keys", keys.path], pull=None, sub=None, rep="ipc://%s/rep;uid=%d" % (self.tmp, os.getuid()))
        lines = [line[10:].split("    (package")[0] for line in printed(daemon).splitlines()
                 if line[:9].strip() in ("key:", "publish:", "watch:", "")]
        self.assertEqual(len(lines), 4, lines)
        env = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVER_")}
        done = subprocess.run(lines[0], shell=True, capture_output=True, text=True, timeout=60 * SLOW, cwd=self.tmp, env=env)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        with open(os.path.join(self.tmp, "me.key"), encoding="ascii") as f:
            key = f.read().strip()
        wait_until(lambda: daemon.request("GET", "/stats", headers={"x-api-key": key}).status == 200, 10, "the key to be taken")
        export, (publish, watch, read) = lines[0].split("; ")[-1], lines[1:4]
        for command, said in ((publish, ""), (watch + " --once", "/v1/chat"), (read, '"total":1')):
            done = subprocess.run(export + "; " + command, shell=True, capture_output=True, text=True, timeout=60 * SLOW,
                                  cwd=self.tmp, env=env)
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            if command != read:  # curl tells how far it is
                self.assertNotIn("warning", done.stderr)
            self.assertIn(said, done.stdout)
        daemon.stop()

    def test_what_nobody_can_reach_is_not_named(self):
        daemon = self.start(http=None, pull="inproc://nobody")
        self.assertEqual(re.findall(r"^(?:publish|watch|  ).*$", printed(daemon), re.M), [])
        daemon.stop()


if __name__ == "__main__":
    main()
