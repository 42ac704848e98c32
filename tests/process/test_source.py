"""What src/README.md says of the source is true: its folders, one direction of dependency, names that say where a thing is.

No daemon is started; the objects of the build are read with nm."""

import collections
import functools
import os
import re
import subprocess
import unittest

from harness import BUILD, ROOT, main

SRC = os.path.join(ROOT, "src")
# Folders whose names are plurals, or long, are also called by another word in names.
ALSO = {"analyses": "analysis", "observerctl": "ctl"}


def files(ending):
    for folder, folders, names in os.walk(SRC):
        folders.sort()
        for name in sorted(names):
            if name.endswith(ending):
                yield os.path.relpath(os.path.join(folder, name), SRC)


def read(path):
    with open(os.path.join(SRC, path), encoding="utf-8") as f:
        return f.read()


def without_comments(text):
    return re.sub(r'"(?:\\.|[^"\\])*"|/\*.*?\*/|//[^\n]*', lambda m: m.group(0) if m.group(0)[0] == '"' else " ", text, flags=re.S)


@functools.lru_cache(None)
def modules_of(folder):
    """The words that globals of this folder of src may begin with: its modules' names and those of its folders."""
    words = {folder}
    for path in [*files(".c"), *files(".h")]:
        if path.split(os.sep)[0] == folder:
            words.update(path[:path.rindex(".")].split(os.sep))
    words |= {ALSO[word] for word in words if word in ALSO} | {word[:-1] for word in words if word.endswith("s")}
    return words


def belongs(name, path):
    """obs_<module> or obs_<module>_..., and observer_... in the client library."""
    folder = path.split(os.sep)[0]
    if name.startswith("observer_"):
        return folder in ("client", "base")
    return any(re.match(r"(?i)obs_%ss?(_|$)" % re.escape(word), name) for word in modules_of(folder))


def types_of(text):
    """Names that a header's typedefs make."""
    text = without_comments(text)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    flat = text
    while True:  # bodies, innermost first
        smaller = re.sub(r"\{[^{}]*\}", " ", flat)
        if smaller == flat:
            break
        flat = smaller
    for line in re.findall(r"\btypedef\b([^;]*);", flat):
        function = re.search(r"\(\s*\*\s*(\w+)\s*\)", line)
        name = function.group(1) if function else re.findall(r"\w+", re.sub(r"\[[^\]]*\]", "", line))[-1]
        yield name, re.match(r"\s*(struct|union|enum)\s+\w+\s+\w+\s*$", line) is not None


class Source(unittest.TestCase):
    maxDiff = None

    def test_folders(self):
        """The page names every folder, in the order of the data's way, and no other."""
        page = read("README.md").split("## Folders")[1].split("\n## ")[0]
        named = re.findall(r"^\| `([\w/]+)/?` \|", page, flags=re.M)
        there = sorted({os.path.dirname(p) for p in files(".c")} - {""})
        self.assertEqual(sorted(named), there)

    def test_globals(self):
        wrong = set()
        objects = []
        for folder, _, names in os.walk(os.path.join(BUILD, "CMakeFiles")):
            for name in names:
                made, _, path = os.path.join(folder, name).rpartition(".dir/src/")
                if made and name.endswith(".c.o") and os.path.exists(os.path.join(SRC, path[:-2])):
                    objects.append((path[:-2], os.path.join(folder, name)))
        self.assertTrue(objects)
        listing = subprocess.run(["nm", "-A", "-g", "--defined-only", *(o for _, o in objects)], capture_output=True, text=True,
                                 timeout=120)
        self.assertEqual(listing.returncode, 0, listing.stderr)
        path_of = {o: p for p, o in objects}
        for line in listing.stdout.splitlines():
            at, symbol = line.rsplit(":", 1)
            name = symbol.split()[-1]
            path = path_of[at]
            if name != "main" and not name.startswith("__") and not belongs(name, path):
                wrong.add("%s: %s" % (path, name))
        self.assertEqual(sorted(wrong), [])

    def test_types(self):
        wrong, places = [], collections.defaultdict(set)
        for path in files(".h"):
            for name, is_forward in types_of(read(path)):
                if not belongs(name, path):
                    wrong.append("%s: %s" % (path, name))
                if not is_forward:
                    places[name].add(path)
        self.assertEqual(wrong, [])
        self.assertEqual({n: sorted(p) for n, p in places.items() if len(p) > 1}, {}, "types that exist twice")

    def test_direction(self):
        """No cycle of includes between folders, nor of headers."""
        def cycle(graph):
            done, path = set(), []

            def visit(node):
                if node in path:
                    return path[path.index(node):] + [node]
                if node in done:
                    return None
                path.append(node)
                for other in sorted(graph[node]):
                    found = visit(other)
                    if found:
                        return found
                path.pop()
                done.add(node)
                return None

            for node in sorted(graph):
                found = visit(node)
                if found:
                    return found
            return None

        folders, headers = collections.defaultdict(set), collections.defaultdict(set)
        for path in [*files(".c"), *files(".h")]:
            for other in re.findall(r'^#include "([^"]+)"', read(path), flags=re.M):
                self.assertTrue(os.path.exists(os.path.join(SRC, other)), "%s includes %s" % (path, other))
                here, there = path.split(os.sep)[0], other.split("/")[0]
                if here != there:
                    folders[here].add(there)
                    folders[there]
                if path.endswith(".h"):
                    headers[path].add(other)
                    headers[other]
        self.assertIsNone(cycle(folders))
        self.assertIsNone(cycle(headers))


if __name__ == "__main__":
    main()
