"""What the documents say is what the programs do."""

import glob
import os
import re
import subprocess

from harness import BUILD, ROOT, DaemonTest, main, wait_until


class Docs(DaemonTest):
    def read(self, path):
        with open(os.path.join(ROOT, path)) as f:
            return f.read()

    def test_field_table(self):
        done = subprocess.run([os.path.join(BUILD, "observerctl"), "fields"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertIn(done.stdout, self.read("proto/observed_op.md"))

    def test_every_flag_in_the_documents_is_one(self):
        help_text = subprocess.run([os.path.join(BUILD, "observerd"), "--help"], capture_output=True, text=True,
                                   timeout=60).stdout
        known = {word for word in help_text.split() if word.startswith("--")}
        rows = [line for line in self.read("proto/configuration.md").splitlines() if line.startswith("| `--")]
        self.assertTrue(rows)
        for row in rows:
            for word in row.split("|")[1].replace("`", " ").replace(",", " ").split():
                if word.startswith("--"):
                    self.assertIn(word, known)

    def test_every_test_that_security_names_exists(self):
        files = {os.path.basename(p): p for kind in ("process", "unit", "fuzz", "long")
                 for p in glob.glob(os.path.join(ROOT, "tests", kind, "*"))}
        text = self.read("SECURITY.md")
        rows = [line for line in text.splitlines() if line.startswith("| ") and not line.endswith("| Shown by |")]
        self.assertGreater(len(rows), 30)
        for row in rows:
            named = re.findall(r"`(\w+\.(?:py|c))(?: (\w+))?`", row.split("|")[-2])
            self.assertTrue(named, row)
            for name, test in named:
                self.assertIn(name, files)
                if test:
                    self.assertRegex(self.read(files[name]), r"\b%s\b *\(" % test, name)


class Command(DaemonTest):
    """observerctl's own commands against a daemon."""

    def observerctl(self, *args, **kw):
        return subprocess.run([os.path.join(BUILD, "observerctl"), *args], capture_output=True, text=True, timeout=60, **kw)

    def test_pub(self):
        daemon = self.start()
        done = self.observerctl("pub", "--push", daemon.url("pull"), "--data", '{"endpoint":"/a","success":true}')
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        daemon.wait_total(1)
        done = self.observerctl("pub", "--req", daemon.url("rep"), "-", input='{"endpoint":"/b"}\n{"endpoint":""}\n')
        self.assertEqual(done.returncode, 1)  # something was rejected
        self.assertEqual(done.stdout, "1 recorded, 1 rejected\n")
        self.assertIn("record 2 (line 2): endpoint: required", done.stderr)
        done = self.observerctl("pub", "--req", daemon.url("rep"), "--data", '{"endpoint":"/b"}')
        self.assertEqual(done.returncode, 0)
        done = self.observerctl("pub", "--pub", daemon.url("sub"), "--topic", "op.x", "--data", '{"endpoint":"/c"}')
        self.assertEqual(done.returncode, 0)
        daemon.wait_total(4)
        daemon.stop()

    def test_usage(self):
        for args in ([], ["nothing"], ["pub", "--nope", "x"], ["demo", "--rate", "0"], ["fields", "x"]):
            self.assertEqual(self.observerctl(*args).returncode, 2, args)
        self.assertEqual(self.observerctl("--help").returncode, 0)
        self.assertRegex(self.observerctl("--version").stdout, r"^observerctl \d+\.\d+\.\d+\n$")

    def test_demo(self):
        daemon = self.start()
        demo = subprocess.Popen([os.path.join(BUILD, "observerctl"), "demo", "--push", daemon.url("pull"), "--rate", "500"],
                                stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: daemon.stats()["total"] >= 100 and len(daemon.stats()["recent_scenario_ops"]) == 10, 20,
                       "100 ops of the demo, 10 of them scenarios")
        finally:
            demo.terminate()
            _, err = demo.communicate(timeout=60)
        self.assertEqual(demo.returncode, 0)
        self.assertRegex(err, r"demo: \d+ ops published")
        stats = daemon.stats()
        self.assertGreater(stats["failures"], 0)
        self.assertLessEqual({"mcp", "scenario", "langfuse"}, set(stats["by_source"]))
        daemon.stop()


if __name__ == "__main__":
    main()
