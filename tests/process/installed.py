"""What the tests of the installed tree share: one `cmake --install` into a temporary prefix for a test file, compilers
with the flags that the build was made with, and node with the examples' packages."""

import os
import re
import shutil
import subprocess
import tempfile

from harness import BUILD, ROOT, SANITIZER, SLOW

EXAMPLES = os.path.join(ROOT, "tests", "examples")


def run(*command, **kw):
    """Runs to the end and returns stdout; anything but exit 0 fails with what was said, a sanitizer's report too."""
    kw.setdefault("timeout", 120 * SLOW)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **kw)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and not SANITIZER.search(said), "%s: exit %d\n%s" % (" ".join(command), done.returncode,
                                                                                    said[-6000:])
    return done.stdout


def cache(name):
    """A variable of the build's CMake cache; "" when it is not there."""
    with open(os.path.join(BUILD, "CMakeCache.txt")) as f:
        found = re.search(r"^%s:\w+=(.*)$" % re.escape(name), f.read(), re.M)
    return found.group(1) if found else ""


def build_flags():
    """What a program must be compiled with to go with this build: sanitizers, coverage."""
    return cache("CMAKE_C_FLAGS").split()


class Installed:
    """The installed tree; `work` is a directory for what is built against it."""

    def __init__(self):
        self.tmp = tempfile.mkdtemp(prefix="obs-install-")
        self.prefix = os.path.join(self.tmp, "prefix")
        self.work = os.path.join(self.tmp, "work")
        os.mkdir(self.work)
        run("cmake", "--install", BUILD, "--prefix", self.prefix)
        self.libdir = os.path.join(self.prefix, cache("CMAKE_INSTALL_LIBDIR") or "lib")
        self.examples = os.path.join(self.prefix, "share", "doc", "observer", "examples")

    def remove(self):
        shutil.rmtree(self.tmp, True)

    def pkg_config(self, *args, package="observer"):
        env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(self.libdir, "pkgconfig"))
        return run("pkg-config", *args, package, env=env).split()

    def compile_example(self, name, static=False):
        """Builds an installed example with the installed library and returns the program's path."""
        program = os.path.join(self.work, name + ("-static" if static else ""))
        flags = self.pkg_config("--cflags", "--libs", package="observer-static" if static else "observer")
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *build_flags(), os.path.join(self.examples, name + ".c"),
            "-o", program, *flags)
        return program

    def env(self, **more):
        return dict(os.environ, LD_LIBRARY_PATH=self.libdir, **more)


def node_folder(source=EXAMPLES, files=("publish.mjs",), name="examples-node"):
    """A folder of the build with JavaScript of the tree, its package and its lock installed."""
    folder = os.path.join(BUILD, name)
    os.makedirs(folder, exist_ok=True)
    for file in ("package.json", "package-lock.json", *files):
        shutil.copy(os.path.join(source, file), folder)
    if not os.path.exists(os.path.join(folder, "node_modules", ".package-lock.json")):
        run("npm", "ci", "--no-audit", "--no-fund", cwd=folder, timeout=300)
    return folder
