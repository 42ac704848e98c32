"""What a newcomer meets first: scripts/run.sh, and the demo, whose planted causes the diagnosis must find by itself."""

import os
import re
import shutil
import signal
import subprocess
import tempfile

from harness import BUILD, ROOT, SLOW, DaemonTest, main, wait_until

RUN = os.path.join(ROOT, "scripts", "run.sh")
PORTS = ["--http", "http://127.0.0.1:0", "--pull", "tcp://127.0.0.1:0", "--sub", "none", "--rep", "tcp://127.0.0.1:0",
         "--feed", "none"]


class Demo(DaemonTest):
    """Played 12 times as fast: the correction comes after 4 s, the deployment after 5 s. Where all is slow, as much slower:
    a correction, which comes by a file, must not overtake the failures before it, which would wait in the daemon's queue."""

    def play(self, daemon, *args):
        demo = subprocess.Popen([os.path.join(BUILD, "observerctl"), "demo", "--push", daemon.url("pull"), "--rate", str(int(400 / SLOW)),
                                 "--speed", str(max(1, int(12 / SLOW))), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: demo.poll() is None and demo.kill())
        return demo

    def end(self, demo):
        demo.terminate()
        out, err = demo.communicate(timeout=60 * SLOW)
        self.assertEqual(demo.returncode, 0)
        self.assertRegex(err, r"^observerctl: demo: \d+ ops published\n$")
        return out

    def advice(self, daemon, endpoint):
        return daemon.get("/v1/observer/advice?endpoint=" + endpoint).json

    def corrections(self, daemon, endpoint):
        """Those of the endpoint's failures, over or not: advice leaves out what is over, which it may be by now."""
        clusters = daemon.get("/v1/observer/clusters?endpoint=" + endpoint).json["clusters"]
        return [c for each in clusters for c in daemon.get("/v1/observer/clusters/" + each["id"]).json["corrections"]]

    def found(self, daemon, endpoint, words):
        """The findings at the endpoint, once they have the words."""
        return wait_until(lambda: [f["text"] for f in self.advice(daemon, endpoint)["findings"] if words in f["text"]], 60,
                          "%s is found at %s" % (words, endpoint))

    def test_each_planted_cause_is_found(self):
        corrections = os.path.join(self.tmp, "corrections.jsonl")
        daemon = self.start(args=("--cycle", "1", "--overseer-corrections-path", corrections))
        demo = self.play(daemon, "--corrections", corrections)
        self.found(daemon, "/v1/chat", "staffer qwen3-coder fails")
        self.found(daemon, "scenario:fill", "city Dayton fails")
        self.found(daemon, "mailer:send", "extra.version 2.15.0 fails")
        corrected = wait_until(lambda: [c for c in self.corrections(daemon, "/v1/extract") if c["succeeded"] >= 15], 60,
                               "the correction has helped")
        self.assertEqual([(c["text"], c["failed"]) for c in corrected],
                         [('Say "answer with JSON only" and give the schema.', 0)])
        self.assertEqual(self.advice(daemon, "/v1/extract")["findings"], [])

        said = self.end(demo)
        self.assertEqual(said.split("\n")[0], "demo: what happens here is made up; the daemon at %s records it like all else"
                         % daemon.url("pull"))
        told = [(int(m) * 60 + int(s), text) for m, s, text in re.findall(r"(?m)^demo (\d+):(\d\d)  (.*)$", said)]
        planted = ((0, "qwen3-coder times out"), (0, "Dayton has no roster"), (0, "/v1/extract often"),
                   (45, "an overseer corrects read_cv"), (60, "mailer 2.15.0 is deployed"))
        self.assertIn(len(told), (len(planted), len(planted) + 1), told)  # the deployment is rolled back at the end
        for (at, text), (least, words) in zip(told, planted):  # later than due when the machine is busy
            self.assertIn(words, text)
            self.assertGreaterEqual(at, least, text)

        # Nobody else is blamed: the noise has no cause.
        blamed = {value for row in daemon.get("/v1/observer/analyses?scope=fleet&limit=100&full=true").json["analyses"]
                  for value in re.findall(r'(\S+) "([^"]+)"', row["cause"]) if value[0] not in ("endpoint", "task_class")}
        self.assertEqual(blamed, {("staffer_id", "qwen3-coder"), ("city", "Dayton"), ("extra.version", "2.15.0")})
        daemon.stop()

    def test_ops_are_like_those_of_a_fleet(self):
        daemon = self.start()
        demo = self.play(daemon)
        wait_until(lambda: any(r["source"] == "overseer_correction" for r in daemon.journal_rows()), 60, "the correction")
        wait_until(lambda: any(r["endpoint"] == "mailer:send" and r["extra"]["version"] == "2.15.0" for r in daemon.journal_rows()),
                   60, "an op of the version that is deployed")
        self.end(demo)
        rows = daemon.journal_rows()
        self.assertEqual({r["source"] for r in rows}, {"mcp", "scenario", "langfuse", "bot", "ci", "overseer_correction"})
        fills = [r for r in rows if r["endpoint"] == "scenario:fill"]
        for row in fills:
            self.assertEqual(row["input_summary"], "%s %s×%d in %s, %s" % (row["event_kind"], row["role"], row["count"],
                                                                        row["city"], row["state"]))
        ids = [r["op_id"] for r in rows if r["source"] not in ("ci", "overseer_correction")]
        self.assertEqual(len(set(ids)), len(ids))
        sessions = {}
        for row in rows:
            if "session_id" in row:
                sessions.setdefault(row["session_id"], []).append((row["endpoint"], row["staffer_id"]))
        self.assertEqual({len(set(of)) for of in sessions.values()}, {1})
        self.assertLessEqual(max(map(len, sessions.values())), 9)
        self.assertEqual({r["extra"]["version"] for r in rows if r["endpoint"] == "mailer:send"}, {"2.14.0", "2.15.0"})
        self.assertEqual([r for r in rows for text in (r["input_summary"], r["output_summary"]) if "{" in text], [])
        stats = daemon.stats()
        self.assertEqual(len(stats["recent_scenario_ops"]), 10)
        self.assertEqual([op for op in stats["recent_scenario_ops"] if not op["kind"] or not op["role"]], [])
        daemon.stop()

    def test_corrections_that_cannot_be_written(self):
        daemon = self.start()
        demo = self.play(daemon, "--corrections", "/nowhere/corrections.jsonl")
        _, err = demo.communicate(timeout=60 * SLOW)
        self.assertEqual(demo.returncode, 1)
        self.assertIn("observerctl demo: /nowhere/corrections.jsonl: No such file or directory\n", err)
        daemon.stop()


class Run(DaemonTest):
    """scripts/run.sh with what is built: its own build is what scripts/newcomer.sh tries."""

    def environment(self, **more):
        return dict(os.environ, OBSERVER_BUILD=BUILD, TMPDIR=self.tmp, **more)

    def test_help_is_its_own_and_builds_nothing(self):
        for name, words in (("run", "scripts/run.sh --demo"), ("test", "scripts/test.sh [PRESET...]")):
            tree = os.path.join(self.tmp, name)
            os.makedirs(os.path.join(tree, "scripts"))
            shutil.copy(os.path.join(ROOT, "scripts", name + ".sh"), os.path.join(tree, "scripts"))
            for flag in ("--help", "-h"):
                done = subprocess.run([os.path.join(tree, "scripts", name + ".sh"), flag], capture_output=True, text=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(words, done.stdout)
                self.assertNotIn("set -e", done.stdout)
            self.assertEqual(os.listdir(tree), ["scripts"])

    def test_arguments_go_to_observerd(self):
        done = subprocess.run([RUN, "--version"], env=self.environment(), capture_output=True, text=True, timeout=60 * SLOW)
        self.assertRegex(done.stdout, r"^observerd \d+\.\d+\.\d+\n$")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_demo(self):
        with open(os.path.join(self.tmp, "out"), "w") as f:
            run = subprocess.Popen([RUN, "--demo", *PORTS], env=self.environment(), stdout=f, stderr=subprocess.STDOUT, cwd=self.tmp,
                                   start_new_session=True)
        self.addCleanup(lambda: run.poll() is None and run.send_signal(signal.SIGTERM))

        def said(pattern):
            with open(os.path.join(self.tmp, "out")) as f:
                return re.findall(pattern, f.read(), re.M)

        wait_until(lambda: said(r"^ready$") and said(r"^The first causes are found within half a minute\."), 30, "what to try")
        directory, = said(r"^demo: everything is recorded in (\S+), which is removed at the end$")
        self.assertEqual(os.path.dirname(directory), self.tmp)
        wait_until(lambda: said(r"^The first causes are found\. Try in another shell:$"), 90, "the first causes")
        url, = said(r"^http  (\S+)$")
        tried = said(r"^  (\S*observerctl .*)$")
        self.assertEqual(len(tried), 6)
        self.assertEqual(tried[:3], tried[3:])
        for command, words in zip(tried, ("/v1/chat", "no roster for Dayton", "qwen3-coder")):
            self.assertTrue(command.endswith(" --url " + url), command)
            done = subprocess.run(command + " --once" * (" top " in command), shell=True, capture_output=True, text=True, timeout=60 * SLOW)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(words, done.stdout)
        self.assertIn("ops.jsonl", os.listdir(directory))
        run.send_signal(signal.SIGINT)  # as Ctrl-C does
        self.assertEqual(run.wait(60 * SLOW), 130)
        self.assertFalse(os.path.exists(directory))
        self.assertEqual(os.listdir(self.tmp), ["out"])
        with self.assertRaises(AssertionError):
            wait_until(lambda: subprocess.run([os.path.join(BUILD, "observerctl"), "stats", "--url", url],
                                              capture_output=True).returncode == 0, 0.2)


class Packages(DaemonTest):
    """scripts/deps.sh on a machine that lacks packages, with a dpkg and an apt-get of the test's own. It takes itself for root at most:
    what it would write to the machine goes nowhere."""

    def deps(self, *groups, **tools):
        folder = tempfile.mkdtemp(dir=self.tmp)
        made = {"tee": "cat >/dev/null", "chmod": ":", **{name.replace("_", "-"): text for name, text in tools.items()}}
        for name in {"bash", "env", "sed", "grep", "cat", "rm", "mktemp", "tail", "sleep"} - set(made):
            os.symlink(shutil.which(name), os.path.join(folder, name))
        for name, text in made.items():
            with open(os.path.join(folder, name), "x") as f:  # never through a link to the machine's own
                f.write("#!/bin/sh\n%s\n" % text)
            os.chmod(os.path.join(folder, name), 0o755)
        return subprocess.run([os.path.join(ROOT, "scripts", "deps.sh"), *groups], env={"PATH": folder}, capture_output=True,
                              text=True, timeout=60 * SLOW)

    def test_nothing_is_said_when_all_is_there(self):
        done = self.deps("build", dpkg_query="echo installed", apt_get="exit 9")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_without_root_and_sudo_both_commands_are_said(self):
        done = self.deps("debian13", dpkg_query="exit 1", apt_get="exit 9", id="echo 1000")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "deps: packages are missing, and installing them needs root. As root, run:\n"
                                      "  apt-get update\n"
                                      "  apt-get install --no-install-recommends debootstrap\n")

    def test_progress(self):
        log = os.path.join(self.tmp, "log")
        apt = 'echo "$@" >>%s; case " $* " in *" -s "*) echo "Inst debootstrap"; echo "Inst wget";; *) echo noise;; esac' % log
        done = self.deps("debian13", dpkg_query="exit 1", id="echo 0", apt_get=apt)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertEqual(done.stderr, "reading the package lists ...\n"
                                      "installing 2 packages: debootstrap, and what they need ...\n")
        with open(log) as f:
            asked = f.read().splitlines()
        self.assertEqual([line.split()[-1] for line in asked], ["update", "debootstrap", "debootstrap"])

    def test_what_apt_says_is_shown_when_it_fails(self):
        done = self.deps("debian13", dpkg_query="exit 1", id="echo 0", sleep=":", apt_get="echo 'E: no space'; exit 100")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.endswith("E: no space\ndeps: apt-get could not install: debootstrap\n"), done.stderr)


if __name__ == "__main__":
    main()
