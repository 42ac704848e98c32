"""Every block of the README and of the pages in proto is run as it stands, but for the ports: those under Start, Install and Beyond
one machine by scripts/newcomer.sh in a bare Debian, the others here; newcomer.sh runs this file there, too. And where the documents
lead to, there is something."""

import glob
import json
import os
import re
import subprocess
from urllib.parse import urlsplit

from harness import BUILD, ROOT, SLOW, DaemonTest, main, wait_until
from installed import Installed, build_flags, run

FLEET = "Beyond one machine"
# Blocks of the README that newcomer.sh runs, by the heading that they stand under and their place below it.
NEWCOMER = {("Start", 0): ["apt-get update && apt-get install -y git"],
            ("Start", 1): ["scripts/run.sh", "scripts/run.sh --demo"],
            ("Install", 0): ["cmake --install build --prefix /usr/local", "ldconfig"],
            ("Install", 1): ["xargs rm -f < build/install_manifest.txt", "ldconfig"],
            (FLEET, 0): ["scripts/run-cluster.sh"],
            (FLEET, 1): ["build/observerctl pub --url http://127.0.0.1:3810 --endpoint /v1/chat --success",
                         "curl 'http://127.0.0.1:3800/v1/observer/summary?scope=cluster'"]}
FILES = {"c": "publish.c", "python": "publish.py", "js": "publish.mjs"}
OLD_ROW = ('{"timestamp":"2025-05-01T10:00:00.000Z","endpoint":"scenario:fill","input_summary":"fill welder×2 in Toledo, OH",'
           '"success":true,"duration_ms":12,"output_summary":"filled","source":"scenario"}\n')


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def pages():
    """The README, and what it leads to. test_feed.py runs the program of proto/feed.md, which needs a subscriber's harness."""
    return ["README.md"] + sorted(set(glob.glob("proto/*.md", root_dir=ROOT)) - {"proto/feed.md"})


def blocks():
    """(page, heading, place below it, language, text) of each block."""
    for page in pages():
        for section in re.split(r"^## ", read(page), flags=re.M):
            heading = section.split("\n")[0]
            for place, (language, text) in enumerate(re.findall(r"^```(\w*)\n(.*?)^```$", section, re.S | re.M)):
                yield page, heading, place, language, text


def commands(text):
    """The lines of a block without their remarks."""
    return [re.sub(r"\s+#.*", "", line) for line in text.splitlines()]


class Readme(DaemonTest):
    @classmethod
    def setUpClass(cls):
        cls.tree = Installed()
        cls.addClassCleanup(cls.tree.remove)

    def folder(self):
        """What stands around the reader: the clone, and a journal of the older observer."""
        folder = os.path.join(self.tmp, "clone")
        os.makedirs(os.path.join(folder, "old"))
        os.makedirs(os.path.join(folder, "bin"))
        os.symlink(BUILD, os.path.join(folder, "build"))
        with open(os.path.join(folder, "old", "ops.jsonl"), "w") as f:
            f.write(OLD_ROW * 3)
        cc = os.path.join(folder, "bin", "cc")  # a build with sanitizers needs them in what links it
        with open(cc, "w") as f:
            f.write('#!/bin/sh\nexec /usr/bin/cc %s "$@"\n' % " ".join(build_flags()))
        os.chmod(cc, 0o755)
        return folder

    def environment(self, daemon, folder):
        path = ":".join([os.path.join(folder, "bin"), os.path.join(self.tree.prefix, "bin"), os.environ["PATH"]])
        return dict(self.tree.env(), PATH=path, OBSERVER_URL=daemon.url("http"),
                    PKG_CONFIG_PATH=os.path.join(self.tree.libdir, "pkgconfig"))

    def adapted(self, text, daemon):
        """For the test's daemon; and `top` prints one frame, as there is no terminal."""
        for kind, port in (("http", 3800), ("pull", 3801), ("rep", 3803)):
            text = re.sub(r"\b%d\b" % port, str(urlsplit(daemon.url(kind)).port), text)
        text = text.replace("{.mode", '{.urls = (const char *[]){"%s", NULL}, .mode' % daemon.url("rep"))
        return re.sub(r"(observerctl top)$", r"\1 --once", text, flags=re.M)

    def test_every_block_runs(self):
        daemon = self.start()
        folder, ran = self.folder(), 0
        for page, heading, place, language, text in blocks():
            if language == "text":
                continue
            if page == "README.md" and (heading, place) in NEWCOMER:
                self.assertEqual(commands(text), NEWCOMER[heading, place])
                continue
            text = self.adapted(text, daemon)
            if language in FILES:
                with open(os.path.join(folder, FILES[language]), "w") as f:
                    f.write(text)
                continue
            if language == "json":  # a file of rules, or of tests of the rules before it
                action, name = ("test", "tests.json") if "rules_file" in json.loads(text) else ("check", "rules.json")
                with open(os.path.join(folder, name), "w") as f:
                    f.write(text)
                run(os.path.join(BUILD, "observerctl"), "rules", action, name, cwd=folder)
                continue
            self.assertEqual(language, "sh", text)
            run("sh", "-ec", text, cwd=folder, env=self.environment(daemon, folder))
            ran += 1
        self.assertEqual(ran, 12)
        wanted = [("/v1/chat", True, 0)] * 2 + [("/v1/chat", False, 30000), ("/a", True, 0), ("/b", False, 0)]
        wanted += [("/v1/chat", True, 120)] * 2 + [("/v1/chat", False, 0), ("/v1/chat", True, 42)]
        daemon.wait_total(len(wanted) + 1)
        rows = [(r["endpoint"], r["success"], r["duration_ms"]) for r in daemon.journal_rows()]
        of_run = [r for r in rows if r not in wanted]
        self.assertEqual([r[1] for r in of_run], [True], rows)  # `observerctl run -- true`
        self.assertEqual(sorted(set(rows) - set(of_run)), sorted(set(wanted)))
        self.assertEqual(len(rows), len(wanted) + 1)
        daemon.stop()

        with open(os.path.join(folder, "data", "_observer", "ops.jsonl")) as f:
            self.assertEqual(f.read(), OLD_ROW * 3)
        daemon = self.start(data_dir=os.path.join(folder, "data", "_observer"))
        self.assertEqual((daemon.stats()["total"], daemon.stats()["by_source"]), (3, {"scenario": 3}))
        daemon.stop()

    def test_every_output_shown_is_the_demos(self):
        """What stands behind `$` is run against the demo, and names the culprits that the README's output names."""
        daemon = self.start(args=("--cycle", "1"))
        demo = subprocess.Popen([os.path.join(BUILD, "observerctl"), "demo", "--url", daemon.url("http"), "--rate", "400",
                                 "--speed", "12"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: demo.poll() is None and demo.kill())
        culprits, shown = ("qwen3-coder", "Dayton", "2.15.0"), 0
        for _, _, _, language, text in blocks():
            if language != "text" or not text.startswith("$ "):
                continue
            command, output = text[2:].split("\n", 1)
            words = [c for c in culprits if c in output]
            self.assertTrue(words, command)
            env = dict(os.environ, OBSERVER_URL=daemon.url("http"), PATH=BUILD + ":" + os.environ["PATH"])

            def names_them(line=self.adapted(command, daemon), words=words):
                said = run("sh", "-ec", line, env=env)
                return all(word in said for word in words)

            wait_until(names_them, 60, "%s names %s" % (command, words))
            shown += 1
        self.assertEqual(shown, 3)
        demo.terminate()
        self.assertEqual(demo.wait(60 * SLOW), 0)
        daemon.stop()

    def test_links_lead_somewhere(self):
        for path in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "src/README.md"] + glob.glob("proto/*.md", root_dir=ROOT):
            text = re.sub(r"^```.*?^```$", "", read(path), flags=re.S | re.M)
            for link in re.findall(r"\]\(([^)\s]+)\)", text):
                target, _, anchor = link.partition("#")
                target = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
                self.assertTrue(os.path.exists(os.path.join(ROOT, target)), "%s: %s" % (path, link))
                if anchor:
                    heads = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-")
                             for h in re.findall(r"^#+ (.*)$", read(target), re.M)]
                    self.assertIn(anchor, heads, "%s: %s" % (path, link))

    def test_what_is_named_is_there(self):
        """Files that the pages name in code are there; the routes of proto/http.md are in openapi.json."""
        for page in pages():
            for name in re.findall(r"`((?:tests|scripts|src|proto|deploy)/[\w./]+)`", read(page)):
                self.assertTrue(os.path.exists(os.path.join(ROOT, name)), "%s: %s" % (page, name))
        paths = json.loads(read("proto/openapi.json"))["paths"]
        for row in re.findall(r"^\| `(?:GET|POST) .*$", read("proto/http.md"), re.M):
            for route in re.findall(r"`(?:GET |POST )?(/[\w/{}]+)`", row.split("|")[1]):
                self.assertIn(route, paths)


if __name__ == "__main__":
    main()
