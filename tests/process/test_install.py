"""cmake --install, and programs built with what it installed: pkg-config, find_package, C++."""

import os
import re
import subprocess

from harness import BUILD, ROOT, DaemonTest, main
from installed import Installed, build_flags, cache, run

HEADERS = ("call.h", "error.h", "observer.h", "op.h", "session.h")

CPP = """
#include <observer/call.h>
#include <observer/session.h>
#include <cstdio>

int main(int, char **argv) {
  const char *urls[] = {argv[1], nullptr};
  observer_options options = {};
  options.urls = urls;
  observer_client *client = nullptr;
  if (observer_open(&options, &client) != OBSERVER_E_OK) return std::fprintf(stderr, "%s\\n", observer_open_error()), 1;
  observer_op op = {};
  op.endpoint = "/c++";
  op.success = OBSERVER_TRUE;
  op.duration_ms = OBSERVER_INT(7);
  observer_err err = observer_publish(client, &op);
  observer_session session = {};
  observer_session_exhausted(nullptr, &session);
  return observer_close(client, 10000) != OBSERVER_E_OK || err != OBSERVER_E_OK;
}
"""

CMAKE = """
cmake_minimum_required(VERSION 3.16)
project(consumer C)
find_package(observer 0.2 REQUIRED)
add_executable(shared ${EXAMPLES}/publish.c)
target_link_libraries(shared observer::observer)
add_executable(static ${EXAMPLES}/publish.c)
target_link_libraries(static observer::observer_static)
"""


class Install(DaemonTest):
    @classmethod
    def setUpClass(cls):
        cls.tree = Installed()
        cls.addClassCleanup(cls.tree.remove)

    def path(self, *parts):
        return os.path.join(self.tree.prefix, *parts)

    def check_publish(self, program):
        """The example publishes a thousand ops, 900 of them successes."""
        daemon = self.start(data_dir=None)
        run(program, daemon.url("pull"), env=self.tree.env())
        stats = daemon.wait_total(1000)
        self.assertEqual((stats["successes"], stats["by_source"]), (900, {"example": 1000}))
        daemon.stop()

    # -- what is installed

    def test_files(self):
        lib = os.path.relpath(self.tree.libdir, self.tree.prefix)
        wanted = ["bin/observerd", "bin/observerctl", "lib/systemd/system/observerd.service"]
        wanted += ["include/observer/" + name for name in HEADERS]
        wanted += ["%s/%s" % (lib, name) for name in ("libobserver.a", "libobserver.so", "libobserver.so.1",
                                                      "pkgconfig/observer.pc", "pkgconfig/observer-static.pc",
                                                      "cmake/observer/observer-config.cmake",
                                                      "cmake/observer/observer-config-version.cmake")]
        wanted += ["share/doc/observer/" + name for name in ("README.md", "LICENSE", "SECURITY.md", "CHANGELOG.md",
                                                             "proto/framing.md", "proto/observed_op.md", "observerd-override.conf")]
        if os.path.exists(os.path.join(BUILD, "man")):  # a build with sanitizers makes no pages
            wanted += ["share/doc/observer/observerd.conf.sample", "share/man/man1/observerctl.1", "share/man/man1/observerctl-tail.1", "share/man/man8/observerd.8",
                       "share/bash-completion/completions/observerctl", "share/zsh/site-functions/_observerctl",
                       "share/fish/vendor_completions.d/observerctl.fish"]
        for name in wanted:
            self.assertTrue(os.path.exists(self.path(name)), name)
        self.assertEqual(sorted(os.listdir(self.path("include/observer"))), sorted(HEADERS))
        in_tree = {name for name in os.listdir(os.path.join(ROOT, "tests", "examples"))
                   if name not in ("node_modules", "__pycache__")}
        self.assertEqual(set(os.listdir(self.tree.examples)), in_tree)
        for name in ("publish.sh", "publish.py"):
            self.assertTrue(os.access(os.path.join(self.tree.examples, name), os.X_OK), name)

    def test_programs_run(self):
        for name in ("observerd", "observerctl"):
            self.assertRegex(run(self.path("bin", name), "--version"), r"^%s \d+\.\d+\.\d+" % name)

    def test_unit_names_the_program(self):
        with open(self.path("lib/systemd/system/observerd.service")) as f:
            self.assertIn("\nExecStart=%s --data-dir" % self.path("bin/observerd"), f.read())

    def test_nothing_names_the_build(self):
        """An installed tree can be moved: what others compile with holds no path of this machine's."""
        for folder in ("pkgconfig", "cmake/observer"):
            for name in os.listdir(os.path.join(self.tree.libdir, folder)):
                with open(os.path.join(self.tree.libdir, folder, name)) as f:
                    text = f.read()
                for path in (ROOT, BUILD, self.tree.prefix):
                    self.assertNotIn(path, text, name)
                for word in ("-Werror", "fsanitize", "_GNU_SOURCE"):
                    self.assertNotIn(word, text, name)

    # -- the library

    def declared(self):
        """The functions that the public headers declare."""
        names = set()
        for name in HEADERS:
            with open(os.path.join(ROOT, "include", "observer", name)) as f:
                text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
            names |= set(re.findall(r"^[a-z][\w ]*[ *](observer_\w+)\(", text, re.M))
        return names

    def test_shared_library_shows_only_its_api(self):
        so = os.path.join(self.tree.libdir, "libobserver.so")
        symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", so).splitlines()}
        self.assertEqual(symbols, self.declared())
        self.assertRegex(run("readelf", "-d", so), r"\(SONAME\).*\[libobserver\.so\.1\]")

    def test_static_library_has_the_api(self):
        archive = os.path.join(self.tree.libdir, "libobserver.a")
        symbols = {line.split()[-1] for line in run("nm", "--defined-only", archive).splitlines() if " T " in line}
        self.assertEqual(self.declared() - symbols, set())
        foreign = {name for name in symbols if not name.startswith(("observer_", "obs_"))}
        self.assertEqual(foreign, set())

    # -- programs that use it

    def test_pkg_config(self):
        self.assertEqual(run("pkg-config", "--modversion", os.path.join(self.tree.libdir, "pkgconfig", "observer.pc")),
                         cache("CMAKE_PROJECT_VERSION") + "\n")
        self.check_publish(self.tree.compile_example("publish"))

    def test_pkg_config_static(self):
        self.assertIn("-lssl", self.tree.pkg_config("--libs", "--static"))  # for who adds -l:libobserver.a by hand
        program = self.tree.compile_example("publish", static=True)
        self.assertNotIn("libobserver", run("readelf", "-d", program))
        self.check_publish(program)

    def test_find_package(self):
        source, build = os.path.join(self.tmp, "consumer"), os.path.join(self.tmp, "consumer-build")
        os.mkdir(source)
        with open(os.path.join(source, "CMakeLists.txt"), "w") as f:
            f.write(CMAKE)
        run("cmake", "-G", "Ninja", "-S", source, "-B", build, "-DCMAKE_PREFIX_PATH=" + self.tree.prefix,
            "-DEXAMPLES=" + self.tree.examples, "-DCMAKE_C_FLAGS=" + " ".join(build_flags()))
        run("cmake", "--build", build)
        for name in ("shared", "static"):
            self.check_publish(os.path.join(build, name))

    def test_moved_tree(self):
        moved = self.tree.prefix + "-moved"
        os.rename(self.tree.prefix, moved)
        try:
            flags = run("pkg-config", "--cflags", "--libs", "observer", env=dict(
                os.environ, PKG_CONFIG_PATH=os.path.join(moved, os.path.relpath(self.tree.libdir, self.tree.prefix),
                                                         "pkgconfig"))).split()
            include = [flag[2:] for flag in flags if flag.startswith("-I")]
            self.assertEqual([os.path.realpath(path) for path in include], [os.path.join(moved, "include")])
        finally:
            os.rename(moved, self.tree.prefix)

    def test_cplusplus(self):
        source, program = os.path.join(self.tmp, "main.cc"), os.path.join(self.tmp, "cplusplus")
        with open(source, "w") as f:
            f.write(CPP)
        run("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *build_flags(), source, "-o", program,
            *self.tree.pkg_config("--cflags", "--libs"))
        daemon = self.start()
        run(program, daemon.url("pull"), env=self.tree.env())
        daemon.wait_total(1)
        row = daemon.journal_rows()[0]
        self.assertEqual((row["endpoint"], row["success"], row["duration_ms"]), ("/c++", True, 7))
        daemon.stop()

    def test_headers_stand_alone(self):
        for compiler, language, standard in (("cc", "c", "c11"), ("g++", "c++", "c++11")):
            for name in HEADERS:
                done = subprocess.run([compiler, "-x", language, "-std=" + standard, "-Wall", "-Wextra", "-Werror",
                                       "-pedantic", "-fsyntax-only", "-I", self.path("include"), "-"],
                                      input="#include <observer/%s>\nint main(void) { return 0; }\n" % name, text=True,
                                      capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, ""), (compiler, name))


if __name__ == "__main__":
    main()
