"""Notifications with a real Alertmanager: what fires stays there, what is resolved ends, what dies with the daemon ends by itself."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request

from harness import free_port, wait_until
from notify_sinks import HttpSink, Tool

PROGRAM = shutil.which("prometheus-alertmanager")
ROUTES = """
route: {receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 4h}
receivers: [{name: hook, webhook_configs: [{url: "%s/"}]}]
"""


@unittest.skipUnless(PROGRAM, "no prometheus-alertmanager here")
class Alertmanager(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="obs-test-")
        self.addCleanup(shutil.rmtree, self.tmp, True)
        self.hook = HttpSink()
        self.addCleanup(self.hook.close)
        config = os.path.join(self.tmp, "alertmanager.yml")
        with open(config, "w", encoding="ascii") as f:
            f.write(ROUTES % self.hook.url)
        self.url = "http://127.0.0.1:%d" % free_port()
        with open(os.path.join(self.tmp, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "--config.file=" + config, "--storage.path=" + os.path.join(self.tmp, "am"),
                 "--web.listen-address=" + self.url[7:], "--cluster.listen-address="], stdout=log, stderr=log)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        wait_until(self.alerts_or_none, 30, "Alertmanager")
        self.tool = Tool(os.path.join(self.tmp, "data"))
        self.addCleanup(self.tool.finish)
        self.assertEqual(self.configure(), "ok")

    def configure(self):
        return self.tool.configure(receivers={"am": {"alertmanager": self.url + "/", "resend": "1s"}})

    def alerts_or_none(self):
        try:
            return [self.alerts()]
        except OSError:
            return None

    def alerts(self):
        with urllib.request.urlopen(self.url + "/api/v2/alerts", timeout=10) as answer:
            return json.loads(answer.read())

    def names(self):
        return sorted(a["labels"]["endpoint"] for a in self.alerts())

    def test_from_firing_to_resolved(self):
        self.tool("fire 1 failing page endpoint=/x 34 of 100 ops failed")
        self.tool("fire 2 failing page endpoint=/y 40 of 100 ops failed")
        self.assertEqual(sorted(a["labels"]["endpoint"] for a in self.hook.wait(1)[0]["alerts"]), ["/x", "/y"])
        alert = next(a for a in self.alerts() if a["labels"]["endpoint"] == "/x")
        self.assertEqual(alert["labels"], {"alertname": "failing", "severity": "page", "endpoint": "/x"})
        self.assertEqual(alert["annotations"], {"summary": "34 of 100 ops failed", "value": "0.34"})
        self.assertEqual(alert["generatorURL"], "http://obs.example:3800/#/alerts")

        # For longer than Alertmanager would keep what is not sent again (4 s): it fires all the time.
        end = time.monotonic() + 8
        while time.monotonic() < end:
            self.assertEqual(self.names(), ["/x", "/y"])
            time.sleep(0.2)
        self.assertEqual(len(self.hook.requests), 1)
        self.assertGreaterEqual(self.tool.counts()["alertmanager"][0], 5)
        self.assertEqual(len(self.tool.rows()), 2)  # to keep it alive needs no rows

        self.tool("end 1 failing page endpoint=/x it is over")
        wait_until(lambda: self.names() == ["/y"], what="the end of one")
        self.assertEqual(sorted((a["labels"]["endpoint"], a["status"]) for a in self.hook.wait(2)[1]["alerts"]),
                         [("/x", "resolved"), ("/y", "firing")])

    def test_the_daemon_dies(self):
        self.tool("fire 1 failing page endpoint=/x it fails")
        wait_until(lambda: self.names() == ["/x"], what="the alert")
        self.tool.kill()
        wait_until(lambda: self.names() == [], 20, "its end")
        self.tool.spawn()
        self.configure()
        self.tool("again 1 failing page endpoint=/x it fails")
        self.tool("settled")
        wait_until(lambda: self.names() == ["/x"], what="the alert, again")  # what it knew is kept alive, not new
        self.assertEqual(len(self.tool.rows()), 2)

    def test_many(self):
        self.tool("flap 1000 1000 failing")
        wait_until(lambda: len(self.alerts()) == 1000, 30, "all of them")
        self.assertLess(self.tool.counts()["alertmanager"][0], 30)
        self.tool("flap 1000 1000 failing")
        wait_until(lambda: self.alerts() == [], 30, "the end of all")

    def test_silenced(self):
        """What it knows stays there while it fires; what is new does not come."""
        self.tool("fire 1 failing page endpoint=/x it fails")
        wait_until(lambda: self.names() == ["/x"], what="the alert")
        self.tool('silence {"matchers":[{"name":"rule","value":"failing"}],"for":"1h"}')
        self.tool("fire 2 failing page endpoint=/y it fails")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            self.assertEqual(self.names(), ["/x"])
            time.sleep(0.2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
