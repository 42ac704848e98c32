"""Notifications: each receiver is told once what changes, whatever fails, floods or is killed meanwhile."""

import email.header
import json
import os
import shutil
import tempfile
import time
import unittest

import certificates
from harness import wait_until
from notify_sinks import HttpSink, MailSink, Tool

QUICK = {"group_wait": "100ms", "group_interval": "1s"}


class NotifyTest(unittest.TestCase):
    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="obs-test-")
        self.addCleanup(shutil.rmtree, self.tmp, True)
        self.n = 0

    def sink(self, kind=HttpSink, **how):
        sink = kind(**how)
        self.addCleanup(sink.close)
        return sink

    def tool(self, receivers=None, **file):
        self.n += 1
        tool = Tool(os.path.join(self.tmp, "data%d" % self.n))
        self.addCleanup(tool.finish)
        if receivers is not None:
            self.configure(tool, receivers, **file)
        return tool

    def configure(self, tool, receivers, **file):
        self.assertEqual(tool.configure(receivers=receivers, **dict(QUICK, **file)), "ok")

    def restart(self, tool, receivers, **file):
        """As after kill -9, or after a stop."""
        tool.spawn()
        self.configure(tool, receivers, **file)

    def secret(self, text):
        path = os.path.join(self.tmp, "secret%d" % len(os.listdir(self.tmp)))
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + "\n")
        os.chmod(path, 0o600)
        return path

    def quiet(self, tool, sent, seconds=1.0):
        """So many messages were answered, and for a while no more are."""

        def answered():
            counts = tool.counts()
            return sum(counts[kind][0] for kind in ("webhook", "slack", "mail"))

        wait_until(lambda: answered() >= sent, what="%d answers" % sent)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertEqual(answered(), sent)
            time.sleep(0.05)


class Message(NotifyTest):
    def test_webhook(self):
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url + "/in"}})
        self.assertEqual(tool("fire 1 failing page endpoint=/v1/chat 34 of 100 ops failed"), "ok")
        body = hook.wait(1)[0]
        self.assertEqual(hook.requests[0].path, "/in")
        self.assertEqual(hook.requests[0].headers["content-type"], "application/json")
        self.assertEqual((body["version"], body["status"], body["receiver"]), ("4", "firing", "hook"))
        self.assertEqual(body["groupLabels"], {"alertname": "failing"})
        self.assertEqual(body["commonLabels"], {"alertname": "failing", "severity": "page", "endpoint": "/v1/chat"})
        self.assertEqual(body["groupKey"], '{}:{alertname="failing"}')
        self.assertEqual(body["truncatedAlerts"], 0)
        self.assertEqual(body["externalURL"], "http://obs.example:3800")
        alert = body["alerts"][0]
        self.assertEqual(alert["labels"], {"alertname": "failing", "severity": "page", "endpoint": "/v1/chat"})
        self.assertEqual(alert["annotations"], {"summary": "34 of 100 ops failed", "value": "0.34"})
        self.assertEqual((alert["status"], alert["endsAt"]), ("firing", "0001-01-01T00:00:00Z"))
        self.assertEqual(alert["generatorURL"], "http://obs.example:3800/#/alerts")
        self.assertEqual(alert["fingerprint"], "0000000000000001")
        self.assertEqual(body["commonAnnotations"]["summary"], "FIRING failing: endpoint /v1/chat (page)")

        self.assertEqual(tool("fire 1 failing page endpoint=/v1/chat it still fails"), "ok")  # says what is known
        self.assertEqual(tool("end 1 failing page endpoint=/v1/chat it is over"), "ok")
        body = hook.wait(2)[1]
        self.assertEqual((body["status"], body["alerts"][0]["status"]), ("resolved", "resolved"))
        self.assertEqual(body["commonAnnotations"]["summary"], "RESOLVED failing: endpoint /v1/chat")
        self.assertIn("Resolved:\n- endpoint /v1/chat: it is over\n  Fired at ", body["commonAnnotations"]["description"])
        self.quiet(tool, 2)
        self.assertEqual(tool.counts()["alerts"], 0)
        self.assertEqual([(topic, row["state"]) for topic, row in tool.feed],
                         [("alert.failing", "firing"), ("alert.failing", "firing"), ("alert.failing", "resolved")])
        rows = tool.rows()
        self.assertEqual([r["event"] for r in rows], ["send", "end", "send", "end"])
        self.assertEqual([r.get("result") for r in rows], [None, "sent", None, "sent"])

    def test_one_message_for_what_comes_together(self):
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url}}, group_wait="500ms")
        for i in range(1, 4):
            tool("fire %d failing page endpoint=/v1/%d it fails" % (i, i))
        tool("fire 9 slow warn endpoint=/v1/1 it is slow")
        bodies = hook.wait(2)
        self.quiet(tool, 2)
        self.assertEqual(sorted((b["groupLabels"]["alertname"], len(b["alerts"])) for b in bodies),
                         [("failing", 3), ("slow", 1)])

    def test_slack(self):
        slack = self.sink()
        tool = self.tool({"chat": {"slack_url_file": self.secret(slack.url + "/services/T0/B0/verysecret")}})
        tool("fire 1 failing warn endpoint=<a>&b it fails")
        text = slack.wait(1)[0]["text"]
        self.assertEqual(slack.requests[0].path, "/services/T0/B0/verysecret")
        self.assertTrue(text.startswith("FIRING failing: endpoint &lt;a&gt;&amp;b (warn)\n\nFiring now:\n"), text)
        self.assertIn("http://obs.example:3800/#/alerts", text)
        slack.behave(status=500, body=b"no: /services/T0/B0/verysecret")
        tool("end 1 failing warn endpoint=<a>&b it is over")
        slack.wait(2)
        wait_until(lambda: "HTTP status 500" in tool.stderr(), what="the failure in the log")
        for text in (tool.stderr(), json.dumps(tool.rows())):
            self.assertNotIn("verysecret", text)

    def test_what_turns_the_direction_of_writing_is_visible(self):
        """A text of others must not show a message as it is not, in Slack or in a mail."""
        slack, hook = self.sink(), self.sink()
        tool = self.tool({"chat": {"slack_url_file": self.secret(slack.url + "/x/y/verysecret")}, "hook": {"url": hook.url}},
                         to=["chat", "hook"])
        tool("fire 1 failing warn endpoint=/a\u202e\u2066b it \u200f\u202eslaf")
        text = slack.wait(1)[0]["text"]
        self.assertTrue(text.startswith("FIRING failing: endpoint /a\\u202e\\u2066b (warn)\n"), text)
        self.assertIn("it \\u200f\\u202eslaf", text)
        sent = hook.wait(1)[0]
        self.assertEqual(sent["alerts"][0]["labels"]["endpoint"], "/a\u202e\u2066b")  # programs get it as it is
        self.assertIn("/a\\u202e", sent["commonAnnotations"]["summary"])

    def test_receivers_of_a_rule(self):
        first, second = self.sink(), self.sink()
        tool = self.tool({"a": {"url": first.url}, "b": {"url": second.url}}, to=["b"])
        tool("fire 1 failing page endpoint=/x it fails")
        second.wait(1)
        self.quiet(tool, 1)
        self.assertEqual(first.requests, [])

    def test_reload(self):
        first, second = self.sink(), self.sink()
        tool = self.tool({"a": {"url": first.url}})
        tool("fire 1 failing page endpoint=/x it fails")
        first.wait(1)
        self.configure(tool, {"a": {"url": first.url}, "b": {"url": second.url}})
        second.wait(1)  # it fires, and the new one has not heard of it
        self.quiet(tool, 2)
        self.configure(tool, {"b": {"url": second.url}})
        tool("end 1 failing page endpoint=/x it is over")
        second.wait(2)
        self.assertEqual(len(first.requests), 1)


class Mail(NotifyTest):
    def setUp(self):
        super().setUp()
        self.ca = certificates.Authority(self.tmp)
        self.pair = self.ca.issue("mx")

    def receiver(self, mail, **more):
        return {"mail": dict({"smtp": mail.url, "to": ["ops@example.org", "cto@example.org"], "from": "obs@example.org",
                              "ca_file": self.ca.cert}, **more)}

    def test_starttls(self):
        mail = self.sink(MailSink, pair=self.pair, login=("obs", "pa55"))
        tool = self.tool(self.receiver(mail, user="obs", password_file=self.secret("pa55")))
        tool("fire 1 failing page endpoint=/größe/%s it fails" % ("x" * 80))
        letter = mail.wait(1)[0]
        self.assertTrue(letter.login)
        self.assertIn("STARTTLS", mail.commands)
        self.assertEqual(letter.to, ["ops@example.org", "cto@example.org"])
        self.assertIn("<obs@example.org>", letter.sender)
        message = letter.message
        subject = str(email.header.make_header(email.header.decode_header(message["subject"])))
        self.assertEqual(subject, "[observer] FIRING failing: endpoint /größe/%s (page)" % ("x" * 80))
        self.assertEqual(message["auto-submitted"], "auto-generated")
        self.assertRegex(message["message-id"], r"^<[0-9a-f]{16}@example\.org>$")
        text = message.get_payload(decode=True).decode()
        self.assertIn("Firing now:\n- endpoint /größe/", text)
        self.assertEqual(tool.counts()["mail"][0], 1)
        self.assertNotIn("pa55", tool.stderr() + json.dumps(tool.rows()))

    def test_tls_is_required(self):
        mail = self.sink(MailSink)
        tool = self.tool(self.receiver(mail))
        tool("fire 1 failing page endpoint=/x it fails")
        wait_until(lambda: tool.counts()["mail"][1] >= 1, what="a failure")
        self.assertEqual(mail.letters, [])
        self.configure(tool, self.receiver(mail, tls="none"))
        mail.wait(1)

    def test_the_certificate_is_checked(self):
        mail = self.sink(MailSink, pair=certificates.Authority(self.tmp, "other").issue("mx2"))
        tool = self.tool(self.receiver(mail))
        tool("fire 1 failing page endpoint=/x it fails")
        wait_until(lambda: tool.counts()["mail"][1] >= 1, what="a failure")
        self.assertEqual(mail.letters, [])

    def test_refused(self):
        mail = self.sink(MailSink, pair=self.pair, refuse=("cto@",))
        tool = self.tool(self.receiver(mail))
        tool("fire 1 failing page endpoint=/x it fails")
        self.assertEqual(mail.wait(1)[0].to, ["ops@example.org"])  # one wrong address keeps it from nobody else
        mail.status = "452 later"
        tool("end 1 failing page endpoint=/x it is over")
        mail.wait(2)
        mail.status = "250 taken"
        mail.wait(3)
        wait_until(lambda: tool.counts()["mail"] == [2, 1], what="one failure")
        self.assertIn("receiver mail: smtp://localhost", tool.stderr())


class Failures(NotifyTest):
    def test_statuses(self):
        for status in (500, 404, 302):
            hook, other = self.sink(), self.sink()
            hook.behave(status=status, first=1, headers={"location": other.url}, body=b'{"error":"broken"}')
            tool = self.tool({"hook": {"url": hook.url}})
            tool("fire 1 failing page endpoint=/x it fails")
            hook.wait(2)
            self.quiet(tool, 1)
            self.assertEqual(tool.counts()["webhook"], [1, 1])
            self.assertEqual(other.requests, [])  # redirects are not followed
            self.assertEqual(hook.requests[0].headers["x-observer-message"], hook.requests[1].headers["x-observer-message"])
            self.assertIn("receiver hook: %s: HTTP status %d: " % (hook.url, status), tool.stderr())
            rows = [r for r in tool.rows() if r["event"] == "end"]
            self.assertEqual([(r["result"], r["status"]) for r in rows], [("failed", status), ("sent", 200)])

    def test_retry_after(self):
        hook = self.sink()
        hook.behave(status=429, first=1, headers={"retry-after": "3"})
        tool = self.tool({"hook": {"url": hook.url}})
        tool("fire 1 failing page endpoint=/x it fails")
        hook.wait(2)
        self.assertGreaterEqual(hook.times[1] - hook.times[0], 2.9)

    def test_huge_answer(self):
        hook = self.sink()
        hook.behave(body=b"x" * 1000000)
        tool = self.tool({"hook": {"url": hook.url}})
        tool("fire 1 failing page endpoint=/x it fails")
        hook.wait(1)
        self.quiet(tool, 1)
        self.assertEqual(tool.counts()["webhook"], [1, 0])

    def test_down_and_back(self):
        """What it missed comes as one message of how it is by then."""
        hook = self.sink()
        hook.close()
        tool = self.tool({"hook": {"url": hook.url}})
        tool("fire 1 failing page endpoint=/x it fails")
        tool("fire 2 failing page endpoint=/y it fails")
        wait_until(lambda: tool.counts()["webhook"][1] >= 1, what="a failure")
        self.assertEqual(tool.counts()["failing"], 1)
        tool("end 2 failing page endpoint=/y it is over")
        tool("fire 3 failing page endpoint=/z it fails")
        hook.open()
        body = hook.wait(1)[0]
        self.assertEqual(sorted((a["labels"]["endpoint"], a["status"]) for a in body["alerts"]),
                         [("/x", "firing"), ("/y", "resolved"), ("/z", "firing")])
        self.quiet(tool, 1)
        self.assertEqual(tool.stderr().count("is tried again"), 1)
        self.assertEqual(tool.stderr().count("takes messages again"), 1)

    def test_a_slow_one_delays_nobody(self):
        slow, quick = self.sink(), self.sink()
        slow.behave(hang=True)
        tool = self.tool({"slow": {"url": slow.url}, "quick": {"url": quick.url}})
        tool("fire 1 failing page endpoint=/x it fails")
        slow.wait(1)
        quick.wait(1)
        tool("fire 2 other page endpoint=/x it fails")
        quick.wait(2)
        start = time.monotonic()
        self.assertEqual(tool.stop(), 0)  # although one hangs
        self.assertLess(time.monotonic() - start, 8)

    def test_config(self):
        tool = self.tool()
        missing = os.path.join(self.tmp, "none")
        mail = {"smtp": "smtp://mx", "to": ["a@b"]}
        for receivers, error in [
                ({"a": {}}, "receivers.a: needs one of alertmanager, url, url_file, slack_url_file and smtp"),
                ({"a": {"url": "http://x", "smtp": "smtp://x"}},
                 "receivers.a.smtp: a receiver has one of alertmanager, url, url_file, slack_url_file and smtp"),
                ({"a": {"url": "ftp://x"}}, "receivers.a.url: must be an http:// or https:// URL"),
                ({"a": {"url": "http://u:p@x"}},
                 "receivers.a.url: must have no user or password: `user` and `password_file` are for them"),
                ({"a": {"url": "http://x", "colour": 1}}, "receivers.a.colour: not known here"),
                ({"a": {"url": "http://x", "to": ["a@b"]}}, "receivers.a.to: not known for a receiver of type webhook"),
                ({"chat": {"slack_url_file": missing}},
                 "receivers.chat.slack_url_file: the file %s: No such file or directory" % missing),
                ({"chat": {"slack_url_file": self.secret("nothing")}},
                 "receivers.chat.slack_url_file: its first line must be an http:// or https:// URL"),
                ({"m": {"smtp": "smtp://mx"}}, "receivers.m: needs `to`, an array of e-mail addresses"),
                ({"m": dict(mail, to=["nobody"])},
                 "receivers.m.to: must be an array of e-mail addresses such as ops@example.org"),
                ({"m": dict(mail, tls="maybe")}, "receivers.m.tls: must be required or none"),
                ({"m": dict(mail, user="u")}, "receivers.m: needs both of user and password_file, or neither"),
                ({"m": dict(mail, user="u", tls="none", password_file=self.secret("p"))},
                 "receivers.m: a password goes over TLS only: `tls` must not be none"),
                ({"a b": {"url": "http://x"}}, "receivers: a name has 1 to 64 letters, digits and -_."),
                ({"am": {"alertmanager": "http://x", "resend": "fast"}},
                 "receivers.am.resend: must be a duration from 1s to 1h, such as 60s")]:
            self.assertEqual(tool.configure(receivers=receivers), error)
        for name, value, error in [("repeat", "soon", "repeat: must be a duration from 1m to 30d, such as 10s, 5m or 4h"),
                                   ("per_hour", 0, "per_hour: must be a whole number from 1 to 240"),
                                   ("to", ["x"], "to: must be an array of names of receivers")]:
            self.assertEqual(tool.configure(**{name: value}), error)


class Restarts(NotifyTest):
    def test_what_was_answered_is_not_sent_again(self):
        hook = self.sink()
        receivers = {"hook": {"url": hook.url}}
        tool = self.tool(receivers)
        tool("again 1 failing page endpoint=/x it fails")
        hook.wait(1)
        wait_until(lambda: len(tool.rows()) == 2, what="the answer's row")
        for _ in range(3):
            tool.kill()
            self.restart(tool, receivers)
            tool("again 1 failing page endpoint=/x it fails")
            tool("settled")
            self.quiet(tool, 0)
        tool("end 1 failing page endpoint=/x it is over")
        self.assertEqual(hook.wait(2)[1]["status"], "resolved")

    def test_what_was_not_sent_is_sent(self):
        hook = self.sink()
        receivers = {"hook": {"url": hook.url}}
        tool = self.tool(receivers, group_wait="1h")
        tool("again 1 failing page endpoint=/x it fails")
        tool.kill()
        self.assertEqual(hook.requests, [])
        self.restart(tool, receivers)
        tool("again 1 failing page endpoint=/x it fails")
        tool("settled")
        hook.wait(1)
        self.quiet(tool, 1)
        self.assertNotIn("You may have received this before", hook.bodies()[0]["commonAnnotations"]["description"])

    def test_what_was_under_way_is_sent_again_and_says_so(self):
        for end in (Tool.kill, Tool.stop):
            hook = self.sink()
            hook.behave(hang=True)
            receivers = {"hook": {"url": hook.url}}
            tool = self.tool(receivers)
            tool("again 1 failing page endpoint=/x it fails")
            hook.wait(1)
            end(tool)
            hook.behave()
            self.restart(tool, receivers)
            tool("again 1 failing page endpoint=/x it fails")
            tool("settled")
            body = hook.wait(2)[1]
            self.assertIn("You may have received this before", body["commonAnnotations"]["description"])
            first, second = (r.headers["x-observer-message"] for r in hook.requests)
            self.assertEqual(first, second)
            self.quiet(tool, 1)

    def test_what_fires_no_more_is_resolved(self):
        hook = self.sink()
        receivers = {"hook": {"url": hook.url}}
        tool = self.tool(receivers)
        tool("again 1 failing page endpoint=/x it fails")
        hook.wait(1)
        wait_until(lambda: len(tool.rows()) == 2, what="the answer's row")
        tool.kill()
        self.restart(tool, receivers)
        tool("settled")
        body = hook.wait(2)[1]
        self.assertEqual((body["status"], body["alerts"][0]["labels"]["endpoint"]), ("resolved", "/x"))

    def test_kill_at_any_moment(self):
        """Whatever moment it is killed at: what fires is known to the receiver, and what was answered came once."""
        hook = self.sink()
        receivers = {"hook": {"url": hook.url}}
        tool = self.tool(receivers, group_wait="0s")
        for n in range(1, 21):
            for i in range(1, n + 1):
                tool("again %d rule%d page endpoint=/x it fails" % (i, i))
            time.sleep(0.003 * (n % 7))
            tool.kill()
            self.restart(tool, receivers, group_wait="0s", per_hour=240)
        for i in range(1, 21):
            tool("again %d rule%d page endpoint=/x it fails" % (i, i))
        tool("settled")

        def names(bodies):
            return [b["groupLabels"]["alertname"] for b in bodies]

        wait_until(lambda: len(set(names(hook.bodies()))) == 20, what="all of them")
        answered = [r["message"] for r in tool.rows() if r["event"] == "end" and r["result"] == "sent"]
        self.assertEqual(len(answered), len(set(answered)))


class Storms(NotifyTest):
    def test_a_flood_that_flaps(self):
        hook, chat = self.sink(), self.sink()
        tool = self.tool({"hook": {"url": hook.url}, "chat": {"slack_url_file": self.secret(chat.url)}}, per_hour=3)
        for _ in range(20):
            self.assertEqual(tool("flap 1000 1000 failing"), "ok")
            time.sleep(0.3)
        wait_until(lambda: tool.counts()["held_back"] > 0, what="alerts held back")
        for sink in (hook, chat):
            sink.wait(3)
        counts = tool.counts()
        self.assertEqual((len(hook.requests), len(chat.requests)), (3, 3))
        self.assertEqual(len(tool.feed), 20000)
        self.assertGreater(counts["per_hour"] + counts["flapping"], 10000)
        self.assertIn("This is the last of 3 messages that may be sent within an hour.", chat.bodies()[2]["text"])
        self.assertLess(max(len(r.body) for r in chat.requests), 20000)
        self.assertEqual(max(len(b["alerts"]) for b in hook.bodies()), 1000)

        # The limit holds over a restart.
        wait_until(lambda: sum(r["event"] == "end" for r in tool.rows()) == 6, what="the rows")
        tool.kill()
        self.restart(tool, {"hook": {"url": hook.url}}, per_hour=3)
        tool("fire 3000 other page endpoint=/x it fails")
        self.quiet(tool, 0)

    def test_one_that_flaps(self):
        """One message an interval, and it says how often."""
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url}}, group_interval="2s")
        tool("fire 1 failing page endpoint=/x it fails")
        hook.wait(1)
        for _ in range(50):
            tool("end 1 failing page endpoint=/x it is over")
            tool("fire 1 failing page endpoint=/x it fails")
        tool("end 1 failing page endpoint=/x it is over")
        body = hook.wait(2)[1]
        self.assertEqual(len(body["alerts"]), 1)
        self.assertIn("it fired 50 times since the last message", body["commonAnnotations"]["description"])
        self.quiet(tool, 2)

    def test_over_before_it_was_told(self):
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url}}, group_wait="500ms")
        tool("fire 1 failing page endpoint=/x it fails")
        tool("end 1 failing page endpoint=/x it is over")
        body = hook.wait(1)[0]
        self.assertEqual(body["status"], "resolved")
        self.assertEqual(body["commonAnnotations"]["summary"], "ALREADY OVER failing: endpoint /x")
        self.quiet(tool, 1)


class Silences(NotifyTest):
    def test_set_and_end(self):
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url}})
        row = json.loads(tool('silence {"matchers":[{"name":"endpoint","value":"/v1/*","glob":true}],"for":"1h",'
                              '"comment":"we know"}'))
        self.assertEqual((row["state"], row["author"], row["comment"]), ("active", "tester", "we know"))
        tool("fire 1 failing page endpoint=/v1/a it fails")
        tool("fire 2 failing page endpoint=/v2/a it fails")
        hook.wait(1)
        self.assertEqual([a["labels"]["endpoint"] for a in hook.bodies()[0]["alerts"]], ["/v2/a"])
        self.assertEqual(json.loads(tool("look 1 failing page endpoint=/v1/a")), {"notified": False, "silenced_by": row["id"]})
        self.assertEqual(json.loads(tool("look 7 failing page endpoint=/v1/b"))["silenced_by"], row["id"])
        self.assertEqual(tool.feed[0][1]["silenced_by"], row["id"])
        self.quiet(tool, 1)
        tool.stop()
        self.restart(tool, {"hook": {"url": hook.url}})  # it is still in force
        for i, endpoint in ((1, "/v1/a"), (2, "/v2/a")):
            tool("again %d failing page endpoint=%s it fails" % (i, endpoint))
        tool("settled")
        self.quiet(tool, 0)
        self.assertEqual(tool("unsilence %d" % row["id"]), "ok")
        body = hook.wait(2)[1]
        self.assertIn("/v1/a", [a["labels"]["endpoint"] for a in body["alerts"]])
        self.assertEqual(tool("unsilence %d" % row["id"]), "not found")
        self.assertEqual([s["state"] for s in json.loads(tool("silences"))], ["ended"])

    def test_ends_by_itself(self):
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url}})
        tool('silence {"matchers":[{"name":"rule","value":"failing"}],"for":"2s"}')
        tool("fire 1 failing page endpoint=/x it fails")
        self.assertEqual(hook.requests, [])
        hook.wait(1)
        self.assertEqual(tool.counts()["silenced"], 1)
        self.assertEqual(tool.counts()["active"], 0)

    def test_what_ends_in_silence(self):
        hook = self.sink()
        tool = self.tool({"hook": {"url": hook.url}})
        tool("fire 1 failing page endpoint=/x it fails")
        hook.wait(1)
        tool('silence {"matchers":[{"name":"rule","value":"failing"}],"for":"1h"}')
        tool("fire 2 failing page endpoint=/y it fails")
        tool("end 2 failing page endpoint=/y it is over")
        tool("end 1 failing page endpoint=/x it is over")  # of this one it was told that it fires
        body = hook.wait(2)[1]
        self.assertEqual([a["labels"]["endpoint"] for a in body["alerts"]], ["/x"])
        self.quiet(tool, 2)

    def test_errors(self):
        tool = self.tool()
        one = '{"matchers":[{"name":"rule","value":"x"}],'
        for body, error in [
                ("[]", "must be a JSON object with matchers and until or for"),
                ('{"for":"1h"}', "matchers: must be an array of 1 to 8 objects with name and value"),
                ('{"matchers":[{"value":"x"}],"for":"1h"}',
                 "matchers: name must be a text: rule, severity or what the rule groups by"),
                ('{"matchers":[{"name":"rule","value":7}],"for":"1h"}', "matchers: value must be a text of at most 256 bytes"),
                ('{"matchers":[{"name":"rule","value":"x","glob":1}],"for":"1h"}', "matchers: glob must be true or false"),
                (one + '"for":"1h","until":"2030-01-01"}', "until: needs one of until and for"),
                (one + '"until":"2020-01-01T00:00:00Z"}', "until: must be a time to come, such as 2026-12-01T08:00:00Z"),
                (one + '"for":"never"}', "for: must be a duration from 1s to 365d, such as 2h"),
                (one + '"for":"1h","why":"x"}',
                 "why: not known here: a silence has matchers, until or for, author and comment")]:
            self.assertEqual(tool("silence " + body), error)
        for _ in range(256):
            json.loads(tool("silence " + one + '"for":"1h"}'))
        self.assertEqual(tool("silence " + one + '"for":"1h"}'), "there are 256 silences: end one first")


if __name__ == "__main__":
    unittest.main(verbosity=2)
