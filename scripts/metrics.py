#!/usr/bin/env python3
"""Writes what is made from the daemon's table of metrics: the table in proto/metrics.md, and deploy/grafana/observer.json.

    scripts/metrics.py [--check]      after a change of src/metrics/table.c; --check only says whether they are up to date

OBSERVER_BUILD is the folder that holds observerd (default: build/ of this tree)."""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("OBSERVER_BUILD") or os.path.join(ROOT, "build"))
DOCUMENT, DASHBOARD = (os.path.join(ROOT, *p) for p in (("proto", "metrics.md"), ("deploy", "grafana", "observer.json")))
MARKS = ("<!-- families: written by scripts/metrics.py -->\n", "<!-- end of the families -->\n")

# Where a family belongs: the first that its name begins with, behind `observer_`.
SECTIONS = (
    ("Ops", ("ops_total", "endpoint", "op_duration", "sources", "names_overflow", "ops_", "ring_ops", "sessions", "sketch")),
    ("Intake", ("intake", "connections")),
    ("Recording", ("commit", "fsync", "last_commit", "journal", "checkpoint", "clock")),
    ("Failures", ("cluster", "failures", "repeats")),
    ("Learning", ("learn", "analys", "playbook", "advice", "reviews", "escalations", "corrections", "file_")),
    ("Outgoing calls", ("outbound", "gateway")),
    ("Alerts", ("alerts", "notifications", "rules", "silences")),
    ("Fleet", ("forward", "spool", "fleet", "leader")),
    ("Feed", ("feed",)),
    ("HTTP", ("http",)),
    ("Access, TLS, redaction", ("auth", "access", "audit", "tls", "redact")),
    ("Daemon", ("",)),
)


class Family:
    def __init__(self, line):
        self.name, self.kind, self.unit, labels, self.help = line.rstrip("\n").split("\t")
        self.labels = labels.split(",") if labels else []
        short = self.name.removeprefix("observer_")
        self.section = next(name for name, starts in SECTIONS if short.startswith(starts))


def families():
    done = subprocess.run([os.path.join(BUILD, "observerd"), "--metrics-table"], capture_output=True, text=True, check=True,
                          timeout=60)
    return [Family(line) for line in done.stdout.splitlines()]


def sections(all_families):
    """(name, families) in order, without those that nothing is in."""
    for name, _ in SECTIONS:
        found = [f for f in all_families if f.section == name]
        if found:
            yield name, found


# ---- proto/metrics.md ----


def table(all_families):
    out = []
    for name, found in sections(all_families):
        out += ["", "### " + name, "", "| family | type | labels | |", "|---|---|---|---|"]
        out += ["| `%s` | %s | %s | %s |" % (f.name, f.kind, " ".join("`%s`" % x for x in f.labels), f.help) for f in found]
    return "\n".join(out[1:]) + "\n\n"


def document(all_families, old):
    before, rest = old.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return before + MARKS[0] + "\n" + table(all_families) + MARKS[1] + after


# ---- the dashboard ----

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
OWN = 'job=~"$job",instance=~"$instance"'
UNITS = {"seconds": "s", "bytes": "bytes"}
# What is looked at first.
FIRST = (
    ("Ready", "stat", "min(observer_ready{%s})", "short"),
    ("Ops a second", "stat", "sum(rate(observer_ops_total{%s}[$__rate_interval]))", "ops"),
    ("Failing", "stat", 'sum(rate(observer_ops_total{%s,outcome="failed"}[$__rate_interval])) / '
     "sum(rate(observer_ops_total{%s}[$__rate_interval]))", "percentunit"),
    ("p95 of all ops", "stat", "histogram_quantile(0.95, sum by (le) "
     "(rate(observer_op_duration_seconds_bucket{%s}[$__rate_interval])))", "s"),
    ("Open kinds of failure", "stat", 'sum(observer_clusters{%s,state=~"new|ongoing|regressed"})', "short"),
    ("Queue", "stat", "max(observer_commit_queue_bytes{%s} / observer_commit_queue_capacity_bytes{%s})", "percentunit"),
    ("Share of failures by endpoint", "timeseries",
     'sum by (endpoint) (rate(observer_endpoint_ops_total{%s,outcome="failed"}[$__rate_interval])) / '
     "sum by (endpoint) (rate(observer_endpoint_ops_total{%s}[$__rate_interval]))", "percentunit"),
    ("Received less recorded, duplicate, rejected and in flight: 0, or ops are lost", "timeseries",
     "sum(observer_intake_ops_received_total{%s}) - sum(observer_intake_ops_recorded_total{%s}) - "
     "sum(observer_intake_ops_duplicate_total{%s}) - sum(observer_intake_ops_rejected_total{%s}) - "
     "sum(observer_intake_ops_in_flight{%s})", "short"),
)


def own(expression):
    return expression.replace("%s", OWN)


def targets(family):
    by = " by (%s)" % ", ".join(family.labels) if family.labels else ""
    legend = " ".join("{{%s}}" % label for label in family.labels) or family.name.removeprefix("observer_")
    if family.kind == "histogram":
        group = ", ".join(["le"] + family.labels)
        return [(own("histogram_quantile(%s, sum by (%s) (rate(%s_bucket{%%s}[$__rate_interval])))" % (q, group, family.name)),
                 ("p%g %s" % (100 * float(q), legend if family.labels else "")).strip()) for q in ("0.5", "0.95", "0.99")]
    if family.kind == "counter":
        return [(own("sum%s (rate(%s{%%s}[$__rate_interval]))" % (by, family.name)), legend)]
    if family.name.endswith("_timestamp_seconds") or family.name.endswith("_time_seconds"):
        return [(own("time() - %s{%%s}" % family.name), "{{instance}}")]
    return [(own("%s%s (%s{%%s})" % ("sum" if family.unit != "seconds" else "max", by, family.name)), legend)]


def unit_of(family):
    if family.kind == "counter":
        return {"seconds": "percentunit", "bytes": "Bps"}.get(family.unit, "cps")
    if family.kind == "histogram":
        return "s" if family.unit == "seconds" else "short"
    return UNITS.get(family.unit, "short")


class Board:
    def __init__(self):
        self.panels, self.y, self.x = [], 0, 0

    def place(self, width, height):
        if self.x + width > 24:
            self.x, self.y = 0, self.y + height
        at = {"h": height, "w": width, "x": self.x, "y": self.y}
        self.x += width
        return at

    def end_line(self, height):
        if self.x > 0:
            self.x, self.y = 0, self.y + height

    def row(self, title):
        self.panels.append({"type": "row", "id": len(self.panels) + 1, "title": title, "collapsed": False,
                            "gridPos": {"h": 1, "w": 24, "x": 0, "y": self.y}, "panels": []})
        self.y += 1

    def panel(self, title, kind, asked, unit, at, description=""):
        self.panels.append({
            "type": kind, "id": len(self.panels) + 1, "title": title, "description": description, "datasource": SOURCE,
            "gridPos": at, "fieldConfig": {"defaults": {"unit": unit, "min": 0} if kind == "timeseries" else {"unit": unit},
                                           "overrides": []},
            "targets": [{"refId": chr(65 + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                        for i, (expr, legend) in enumerate(asked)]})


def variable(name, query, label):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "query": query, "definition": query,
            "refresh": 2, "multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"}}


def dashboard(all_families):
    board = Board()
    for title, kind, expr, unit in FIRST:
        width, height = (4, 4) if kind == "stat" else (12, 8)
        if kind != "stat" and board.panels[-1]["type"] == "stat":
            board.end_line(4)
        board.panel(title, kind, [(own(expr), "{{endpoint}}" if "by (endpoint)" in expr else "")], unit, board.place(width, height))
        if title.startswith("Received"):
            del board.panels[-1]["fieldConfig"]["defaults"]["min"]
    board.end_line(8)
    for name, found in sections(all_families):
        board.row(name)
        for family in found:
            if family.kind == "info":
                continue
            title = family.name.removeprefix("observer_").removesuffix("_total").replace("_", " ")
            board.panel(title, "timeseries", targets(family), unit_of(family), board.place(8, 7), family.help)
        board.end_line(7)
    return json.dumps({
        "uid": "observer", "title": "observer", "tags": ["observer"], "schemaVersion": 38, "version": 1, "editable": True,
        "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "", "graphTooltip": 1,
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
            variable("job", "label_values(observer_ready, job)", "Job"),
            variable("instance", 'label_values(observer_ready{job=~"$job"}, instance)', "Instance")]},
        "annotations": {"list": []}, "panels": board.panels}, indent=1) + "\n"


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as f:
        return f.read()


def main():
    found, stale = families(), []
    for path, text in ((DOCUMENT, document(found, read(DOCUMENT))), (DASHBOARD, dashboard(found))):
        if read(path) == text:
            continue
        stale.append(os.path.relpath(path, ROOT))
        if "--check" not in sys.argv[1:]:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
    for path in stale:
        print("%s: %s" % (path, "not up to date: run scripts/metrics.py" if "--check" in sys.argv[1:] else "written"))
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
