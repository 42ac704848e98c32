"""A strict reader of what GET /metrics gives, in either form: whatever the specifications do not allow is an error.

OpenMetrics 1.0 (openmetrics.io) and the text format 0.0.4, as far as a daemon without timestamps and summaries uses them."""

import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|Inf)")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
ESCAPES = {'\\"': '"', "\\\\": "\\", "\\n": "\n"}


class Wrong(AssertionError):
    pass


def need(what, *told):
    if not what:
        raise Wrong(*told)


class Reader:
    """One line, from left to right."""

    def __init__(self, line):
        self.line, self.at = line, 0

    def take(self, pattern):
        m = re.compile(pattern).match(self.line, self.at)
        need(m, "not a sample", self.line, self.at)
        self.at = m.end()
        return m.group()

    def sees(self, text):
        return self.line.startswith(text, self.at)

    def labels(self):
        found = {}
        self.take(r"\{")
        while not self.sees("}"):
            m = LABEL.match(self.line, self.at)
            need(m, "not a label", self.line, self.at)
            name, value = m.groups()
            need(name not in found and not name.startswith("__"), "label", name, self.line)
            found[name] = re.sub(r'\\["\\n]', lambda e: ESCAPES[e.group()], value)
            self.at = m.end()
            if not self.sees("}"):
                self.take(",")
        self.take(r"\}")
        return found


class Sample:
    def __init__(self, line, form):
        r = Reader(line)
        self.name = r.take(NAME)
        self.labels = r.labels() if r.sees("{") else {}
        r.take(" ")
        self.value = float(r.take(NUMBER.pattern))
        self.exemplar = None
        if form == "openmetrics" and r.sees(" # "):
            r.take(" # ")
            labels, value, at = r.labels(), r.take(" " + NUMBER.pattern), r.take(" " + NUMBER.pattern)
            need(sum(len(k) + len(v) for k, v in labels.items()) <= 128, "an exemplar too long", line)
            self.exemplar = labels, float(value), float(at)
        need(r.at == len(line), "more than a sample", line, r.at)

    def key(self):
        return self.name, tuple(sorted(self.labels.items()))


class Family:
    def __init__(self, name):
        self.name, self.kind, self.help, self.unit, self.samples = name, None, None, None, []


class Exposition:
    """families: by name, in their order. value(name, **labels) finds one sample."""

    def __init__(self, body, form):
        need(form in ("text", "openmetrics"), form)
        text = body.decode("utf-8", "strict")
        need(text.endswith("\n") and "\r" not in text and "\0" not in text, "the last line, or a byte")
        self.form, self.families, self.samples = form, {}, {}
        lines = text[:-1].split("\n")
        if form == "openmetrics":
            need(lines[-1] == "# EOF", "no # EOF at the end")
            lines.pop()
        current = None
        for line in lines:
            need(line and line != "# EOF", "an empty line, or an end before the end")
            current = self.take_meta(current, line) if line.startswith("#") else self.take_sample(current, line)
        for family in self.families.values():
            self.check(family)
        self.check_names()

    def take_meta(self, current, line):
        m = re.match(r"# (HELP|TYPE|UNIT) (%s) (.+)\Z" % NAME, line)
        need(m, "not a description", line)
        word, name, said = m.groups()
        if current is None or current.name != name:
            need(name not in self.families, "a family that comes twice", name)
            current = self.families[name] = Family(name)
        need(not current.samples, "a description behind samples", line)
        attribute = {"HELP": "help", "TYPE": "kind", "UNIT": "unit"}[word]
        need(getattr(current, attribute) is None, "described twice", line)
        need(word != "UNIT" or (self.form == "openmetrics" and name.endswith("_" + said)), "a unit", line)
        if word == "HELP":
            need(not re.search(r"\\(?![\\n\"])", said), "an escape", line)
        setattr(current, attribute, said)
        return current

    def take_sample(self, current, line):
        need(current is not None and current.kind in SUFFIXES, "a sample of nothing", line)
        sample = Sample(line, self.form)
        need(sample.name in self.names_of(current), "a sample of another family", current.name, line)
        need(sample.key() not in self.samples, "a sample twice", line)
        self.samples[sample.key()] = sample
        current.samples.append(sample)
        return current

    def names_of(self, family):
        if self.form == "text" and family.kind != "histogram":
            return [family.name]
        return [family.name + suffix for suffix in SUFFIXES[family.kind]]

    def check(self, f):
        need(f.help and f.kind, "no help or no type", f.name)
        need(self.form == "text" or f.kind != "counter" or not f.name.endswith("_total"), "a counter's family", f.name)
        need(self.form == "openmetrics" or (f.kind == "counter") == f.name.endswith("_total"), "a counter's name", f.name)
        for s in f.samples:
            need(not math.isnan(s.value) and (f.kind == "gauge" or s.value >= 0), "a value", s.key(), s.value)
            need(s.exemplar is None or f.kind in ("histogram", "counter"), "an exemplar", s.key())
            need(f.kind != "info" or s.value == 1, "information", s.key())
        if f.kind == "histogram":
            self.check_histogram(f)

    def check_histogram(self, f):
        groups = {}
        for s in f.samples:
            need(("le" in s.labels) == s.name.endswith("_bucket"), "le", s.key())
            group = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
            groups.setdefault(group, []).append(s)
        for group, samples in groups.items():
            buckets = [s for s in samples if s.name.endswith("_bucket")]
            bounds = [float(s.labels["le"]) for s in buckets]
            need([s.name for s in samples[len(buckets):]] == [f.name + "_sum", f.name + "_count"], "the order", f.name, group)
            need(bounds == sorted(set(bounds)) and bounds[-1] == math.inf, "the bounds", f.name, group)
            counts = [s.value for s in buckets]
            need(counts == sorted(counts) and counts[-1] == samples[-1].value, "the counts", f.name, group, counts)
            for below, s, bound in zip([-math.inf] + bounds, buckets, bounds):
                need(s.labels["le"] == "+Inf" or re.fullmatch(r"[0-9]+\.[0-9]+|[0-9.]+e-[0-9]+", s.labels["le"]), "le", s.key())
                need(s.exemplar is None or below < s.exemplar[1] <= bound, "an exemplar of another bucket", s.key(), s.exemplar)

    def check_names(self):
        """No family has the name of another one's samples."""
        for f in self.families.values():
            for name in self.names_of(f):
                need(name == f.name or name not in self.families, "two families of one name", name)

    def value(self, name, **labels):
        key = name, tuple(sorted(labels.items()))
        need(key in self.samples, "not there", key)
        return self.samples[key].value

    def total(self, name, **labels):
        return sum(s.value for s in self.samples.values() if s.name == name and labels.items() <= s.labels.items())
