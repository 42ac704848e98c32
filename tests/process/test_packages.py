"""deploy/debian against the rest of the tree. That the packages build, install and go away again is scripts/package_test.sh's."""

import json
import os
import re
import subprocess
import sys
import unittest

from harness import BUILD, ROOT, main


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        done = subprocess.run([sys.executable, "-B", os.path.join(ROOT, "scripts", "sbom.py"), BUILD], stdout=subprocess.PIPE, check=True)
        cls.sbom = json.loads(done.stdout)

    def test_version(self):
        version = re.search(r"project\(observer VERSION ([0-9.]+)", read("CMakeLists.txt")).group(1)
        self.assertEqual(re.match(r"observer \(([^)]*)\)", read("deploy/debian/changelog")).group(1), version)
        self.assertEqual(self.sbom["metadata"]["component"]["version"], version)
        self.assertRegex(read("CHANGELOG.md"), r"(?m)^## (Unreleased \()?%s\b" % re.escape(version))

    def test_every_library_of_the_page_has_its_license_and_is_listed(self):
        told = re.findall(r"(?m)^(\S+) (\d\S*)\n\nThe MIT License", read("src/plane/dist/licenses.txt"))
        listed = {c["name"]: c for c in self.sbom["components"] if c["purl"].startswith("pkg:npm/")}
        self.assertEqual(sorted(told), sorted((name, c["version"]) for name, c in listed.items()))
        self.assertEqual({c["licenses"][0]["expression"] for c in listed.values()}, {"MIT"})
        page = re.search(r"(?ms)^Files: src/plane/dist/\*\n.*?\n\n", read("deploy/debian/copyright")).group(0)
        for name in listed:
            self.assertRegex(page, r"[ \n]%s[ ,\n]" % re.escape(name))
        for holder in re.findall(r"Copyright \(c\) (.*)", read("src/plane/dist/licenses.txt")):
            self.assertIn(holder, page)

    def test_libraries_of_the_programs_are_listed(self):
        packages = {c["name"] for c in self.sbom["components"]}
        self.assertLessEqual({"libc6", "zlib1g"}, packages)
        self.assertTrue(any(re.match(r"libnng\d", name) for name in packages), packages)

    def test_symbols(self):
        """A function that the library shows stands in the table from which dependencies on it are made."""
        done = subprocess.run(["nm", "-D", "--defined-only", os.path.join(BUILD, "libobserver.so")], stdout=subprocess.PIPE, check=True, text=True)
        shown = re.findall(r"(?m) [A-Z] (observer_\w+)$", done.stdout)
        self.assertEqual(re.findall(r"(?m)^ (\w+)@Base ", read("deploy/debian/libobserver1.symbols")), sorted(shown))
        abi = re.search(r"set\(OBSERVER_ABI (\d+)\)", read("CMakeLists.txt")).group(1)
        self.assertIn("\nPackage: libobserver%s\n" % abi, read("deploy/debian/control"))

    def test_what_a_build_needs_is_installed_by_deps(self):
        needs = re.findall(r"(?m)^(?:Build-Depends: | {15})([a-z0-9+.-]+)", read("deploy/debian/control"))
        self.assertIn("libnng-dev", needs)
        deps = read("scripts/deps.sh")
        for package in needs:
            if not package.startswith(("dh-sequence-", "debhelper-")):
                self.assertRegex(deps, r"\b%s\b" % re.escape(package), package)


if __name__ == "__main__":
    main()
