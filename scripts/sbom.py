#!/usr/bin/env python3
"""Prints what the programs of a build are made of, as CycloneDX JSON: the Debian packages of the libraries that they are
linked with, and the npm packages that the page was built from. The same build prints the same bytes.

    scripts/sbom.py BUILD_DIR
"""

import glob
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def said(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, env=dict(os.environ, LC_ALL="C")).stdout


def project_version():
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
        return re.search(r"project\(observer VERSION ([0-9.]+)", f.read()).group(1)


def libraries(build):
    files = set()
    for program in ("observerd", "observerctl", "libobserver.so"):
        files.update(re.findall(r"(/\S+) \(0x", said("ldd", os.path.join(build, program))))
    return files


def packages_of(paths):
    """A library's path as the loader names it may lead over a link into /usr."""
    names = sorted({name for path in paths for name in (path, os.path.realpath(path), "/usr" + path)})
    found = subprocess.run(["dpkg-query", "-S", *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
                           env=dict(os.environ, LC_ALL="C"))  # its status is 1 where one of the names is nobody's
    lines = [line for line in found.stdout.splitlines() if not line.startswith("diversion ")]  # where another package has moved it
    return sorted({re.split("[:,]", line)[0] for line in lines})


def debian_components(build):
    packages = packages_of(libraries(build))
    versions = {}  # a package may be installed for several architectures: the first is this machine's
    for line in said("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n", *packages).splitlines():
        versions.setdefault(line.split(" ")[0], line.split(" ")[1:])
    for package in packages:
        version, arch = versions[package]
        yield {"type": "library", "name": package, "version": version,
               "purl": "pkg:deb/debian/%s@%s?arch=%s" % (package, version.replace("+", "%2B"), arch)}


def npm_components():
    for lock in glob.glob(os.path.join(ROOT, "src", "*", "package-lock.json")):
        with open(lock, encoding="utf-8") as f:
            packages = json.load(f)["packages"]
        for path, package in sorted(packages.items()):
            if not path or package.get("dev"):
                continue
            name = path.split("node_modules/")[-1]
            yield {"type": "library", "name": name, "version": package["version"], "licenses": [{"expression": package["license"]}],
                   "purl": "pkg:npm/%s@%s" % (name.replace("@", "%40"), package["version"])}


def main():
    build = sys.argv[1]
    sbom = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": {"component": {"type": "application", "name": "observer", "version": project_version()}},
            "components": [*debian_components(build), *npm_components()]}
    json.dump(sbom, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
