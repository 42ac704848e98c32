"""Two clocks: receipt governs what is recent and survives restarts; the event's time is corrected where a producer's clock is
off; a spool, a backfill or a replay is late and makes nothing new."""

import datetime
import glob
import json
import os
import subprocess
import time
from urllib.parse import quote

from client_harness import TOOL
from ctl import CtlTest
from harness import main, pack, wait_until
from test_faults import LIBRARY, Faults

HOUR, DAY = 3600, 86400
WEEK = 7 * DAY


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def failure(n, at, **more):
    return {"timestamp": iso(at), "endpoint": "/e", "source": "mcp", "op_id": "o%d-%s" % (n, at), "success": False,
            "error": "connection refused", **more}


class TimesTest(CtlTest):
    def rows(self, daemon, **query):
        query.setdefault("limit", 1000)
        answer = daemon.get("/v1/observer/ops?" + "&".join("%s=%s" % (k, quote(str(v))) for k, v in query.items()))
        self.assertEqual(answer.status, 200, answer)
        return answer.json["ops"]

    def times(self, daemon):
        """What is known of each row, by seq."""
        return {r["seq"]: (r["received"], r.get("late", False)) for r in self.rows(daemon, received_since=1)}

    def post(self, daemon, ops):
        answer = daemon.post("/v1/observer/event", ops)
        self.assertEqual(answer.json["count"], len(ops), answer)

    def state(self, daemon):
        return daemon.get("/health").json["state"]

    def clusters(self, daemon):
        return daemon.get("/v1/observer/clusters").json["clusters"]

    def recent(self, daemon):
        windows = daemon.get("/v1/observer/summary").json["windows"]
        return windows["1m"]["total"], windows["1h"]["total"]


class Receipt(TimesTest):
    def recorded(self, daemon):
        """Rows of now and of last week, small groups and large ones, over several segments and past the ring."""
        for n in range(32):
            old = n % 4 == 0
            self.post(daemon, [failure(n * 100 + k, time.time() - (WEEK if old else 0)) for k in range(1 + n % 7 * 9)])
        return self.times(daemon)

    def test_a_restart_keeps_it(self):
        args = ["--segment-bytes", "60000", "--ring", "100", "--log-level", "debug"]
        daemon = self.start(args=args)
        want = self.recorded(daemon)
        self.assertTrue(500 < len(want) < 1000)  # a page
        self.assertGreater(len(daemon.segments()), 2)
        late = self.state(daemon)["late"]
        self.assertEqual(late, sum(late for _, late in want.values()))
        recent = self.recent(daemon)
        self.assertEqual(recent, (len(want), len(want)))  # what was got is recent, whenever it happened
        for kill in (False, True, True):
            daemon.restart(kill=kill)
            self.assertEqual(self.times(daemon), want)
            self.assertEqual(self.recent(daemon)[1], len(want))
        daemon.stop()
        # Without the checkpoint, so that all is replayed.
        os.unlink(os.path.join(daemon.data_dir, "checkpoint"))
        daemon.start()
        self.assertEqual(self.times(daemon), want)
        self.assertEqual(self.recent(daemon)[1], len(want))
        daemon.stop()
        self.assertEqual(self.ctl("check", daemon.data_dir).stdout.splitlines()[-1], "sound")
        # In another place.
        moved = daemon.data_dir + ".moved"
        os.rename(daemon.data_dir, moved)
        daemon = self.make(data_dir=moved, args=args).start()
        self.assertEqual(self.times(daemon), want)
        daemon.stop()

    def test_without_a_sidecar(self):
        """Receipt is then the event's time or the file's, whichever is smaller, and does not go back."""
        daemon = self.start()
        begin = time.time()
        at = (begin - 300, begin - 200, begin - 250, begin + 2 * HOUR, begin - 100)
        for n, t in enumerate(at):
            self.post(daemon, [failure(n, t)])
        self.assertEqual(self.recent(daemon), (5, 5))
        daemon.stop()
        for path in glob.glob(os.path.join(daemon.data_dir, "*.times")):
            os.unlink(path)
        os.unlink(os.path.join(daemon.data_dir, "checkpoint"))
        daemon.start()
        got = [seconds(r) for _, (r, _) in sorted(self.times(daemon).items())]
        self.assertEqual(got[:3], [seconds(iso(at[0])), seconds(iso(at[1])), seconds(iso(at[1]))])
        self.assertTrue(begin - 1 <= got[3] <= time.time(), got)
        self.assertEqual(got[4], got[3])
        self.assertFalse(any(late for _, late in self.times(daemon).values()))
        self.assertEqual(self.recent(daemon)[0], 2)
        # And what comes now is received now.
        self.post(daemon, [failure(9, begin - HOUR)])
        received, late = self.times(daemon)[6]
        self.assertTrue(late and seconds(received) >= begin - 1)
        daemon.stop()

    def test_damaged_sidecars_do_no_harm(self):
        daemon = self.start(args=["--segment-bytes", "20000"])
        want = self.recorded(daemon)
        daemon.stop()
        paths = sorted(glob.glob(os.path.join(daemon.data_dir, "*.times")))
        self.assertGreater(len(paths), 4)
        for n, path in enumerate(paths):
            with open(path, "r+b") as f:
                size = os.path.getsize(path)
                if n % 4 == 0:
                    f.truncate(n)
                elif n % 4 == 1:
                    f.seek(size // 2)
                    f.write(os.urandom(9))
                elif n % 4 == 2:
                    f.truncate(size - 5)
                else:
                    f.seek(0, os.SEEK_END)
                    f.write(bytes(100))
        checked = self.ctl("check", daemon.data_dir).stdout
        self.assertRegex(checked, r"ops-1\.times: has no receipt time for [0-9]+ rows; their timestamps are used instead")
        self.assertTrue(checked.endswith("\nsound\n"))
        files = self.result("check", daemon.data_dir)["files"]
        self.assertEqual(files[0]["receipts_missing"], files[0]["rows"])
        self.assertNotIn("receipts_missing", files[-1])
        os.unlink(os.path.join(daemon.data_dir, "checkpoint"))
        daemon.start()
        got = self.times(daemon)
        self.assertEqual(set(got), set(want))
        receipts = [received for _, (received, _) in sorted(got.items())]
        self.assertEqual(receipts, sorted(receipts))
        daemon.stop()

    def test_queries(self):
        daemon = self.start(args=["--ring", "2", "--segment-bytes", "3000"])
        now = time.time()
        for n in range(20):
            self.post(daemon, [failure(n, now - WEEK + n * 60)])
        time.sleep(0.05)
        between = time.time()
        time.sleep(0.05)
        for n in range(20, 30):
            self.post(daemon, [failure(n, now - DAY + n * 60)])
        seqs = lambda **q: sorted(r["seq"] for r in self.rows(daemon, **q))
        self.assertEqual(seqs(received_since=iso(between)), list(range(21, 31)))
        self.assertEqual(seqs(received_since=iso(time.time() + 1)), [])
        self.assertEqual(seqs(received_since=iso(now - 1)), list(range(1, 31)))
        self.assertEqual(seqs(since=iso(now - 2 * DAY)), list(range(21, 31)))
        self.assertEqual(seqs(until=iso(now - 2 * DAY)), list(range(1, 21)))
        self.assertEqual(seqs(received_since=iso(between), until=iso(now - DAY + 24 * 60 + 1)), list(range(21, 26)))
        pages, cursor = [], ""
        while cursor is not None:
            answer = daemon.get("/v1/observer/ops?limit=3&received_since=%s%s" % (quote(iso(now - 1)), cursor)).json
            pages += [r["seq"] for r in answer["ops"]]
            cursor = "&cursor=" + answer["next_cursor"] if answer["next_cursor"] else None
        self.assertEqual(pages, list(range(30, 0, -1)))
        done = self.ctl("ops", "--url", daemon.url("http"), "--json", "--received-since", iso(between))
        self.assertEqual(len(done.stdout.splitlines()), 10)
        self.assertEqual(daemon.get("/v1/observer/ops?received_since=yesterday").status, 400)
        daemon.stop()


class Late(TimesTest):
    def test_replay_of_last_week(self):
        """Last week's rows again, as fast as they go and as fast as they happened."""
        begin = time.time() - WEEK
        path = self.path("old.jsonl", "".join(json.dumps(failure(n, begin + n * 0.004)) + "\n" for n in range(500)))
        for pace in ([], ["--speed", "1"]):
            daemon = self.start("data%d" % len(pace))
            self.assertEqual(self.result("replay", *pace, "--req", daemon.url("rep"), path)["accepted"], 500)
            self.assertEqual(self.state(daemon)["late"], 500)
            self.assertEqual(self.state(daemon)["skewed"], 0)
            self.assertNotIn("new", [c["state"] for c in self.clusters(daemon)])
            first = self.clusters(daemon)[0]
            self.assertEqual((first["count"], first["late"], seconds(first["first_seen"])),
                             (500, 500, seconds(iso(begin))))
            # One of today is.
            self.post(daemon, [failure(1000, time.time())])
            self.assertEqual([c["state"] for c in self.clusters(daemon)], ["new"])
            daemon.restart(kill=True)
            self.assertEqual([(c["state"], c["late"]) for c in self.clusters(daemon)], [("new", 500)])
            daemon.stop()

    def test_a_spool_of_half_an_hour(self):
        daemon = self.start()
        now = time.time()
        with daemon.push() as push:
            for n in range(1800):
                push.send(pack([failure(n, now - 1800 + n)]))
        wait_until(lambda: self.state(daemon)["total"] == 1800, 20, "the spool")
        late = self.state(daemon)["late"]
        self.assertTrue(1195 <= late <= 1220, late)
        self.assertEqual(self.state(daemon)["skewed"], 0)
        daemon.stop()


class Skew(TimesTest):
    def test_a_producer_two_hours_off(self):
        """libobserver says when it sends: its clock is known from the first message on."""
        if not os.path.exists(LIBRARY):
            self.skipTest("no %s" % LIBRARY)
        faults = Faults(os.path.join(self.tmp, "clock"))
        daemon = self.start(rep="tcp://127.0.0.1:0")
        env = dict(os.environ, LD_PRELOAD=LIBRARY, OBS_FAULTS=faults.path,
                   ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
        sent = 0
        for off in (-2 * HOUR, 2 * HOUR, -40 * DAY):
            faults.shift_clock(off)
            for mode, kind in (("ack", "rep"), ("push", "pull")):
                before = time.time()
                done = self.run_tool(env, mode=mode, url=daemon.url(kind), count=50, source="far")
                self.assertEqual(done["taken"], 50)
                sent += 50
                wait_until(lambda: self.state(daemon)["total"] == sent, 10, "the ops")
                rows = self.rows(daemon, limit=50)
                self.assertTrue(all(abs(seconds(r["op"]["timestamp"]) - before - off) < 60 for r in rows))
                # They are found by when they happened, which their own clock does not say.
                found = self.rows(daemon, since=iso(before - 1), until=iso(time.time() + 1), limit=50)
                self.assertEqual([r["seq"] for r in found], [r["seq"] for r in rows])
        self.assertEqual(self.state(daemon)["late"], 0)
        self.assertGreater(self.state(daemon)["skewed"], 0)
        want = self.times(daemon)
        for again in range(2):
            self.check_clocks(daemon, (40 * DAY, 2 * HOUR, -2 * HOUR))
            daemon.restart(kill=True)
            self.assertEqual(self.times(daemon), want)
        daemon.stop()

    def check_clocks(self, daemon, behind):
        """Whose clock is off, and by how much, is shown."""
        clocks = daemon.get("/v1/observer/summary").json["clocks"]
        self.assertEqual([c["source"] for c in clocks], ["far"] * len(behind))
        for clock in clocks:
            self.assertTrue(any(abs(clock["behind_ms"] / 1000 - b) < 3 for b in behind), clocks)
            self.assertLessEqual(clock["since"], clock["last"])
            self.assertEqual(clock["ops"], 100)
        text = self.ctl("summary", "--url", daemon.url("http")).stdout
        self.assertRegex(text, r"(?m)^clocks off: far (40d00h|39d23h) behind, far \S+ (ahead|behind), far \S+ (ahead|behind) "
                               r"\(their ops are corrected\)$")
        done = self.ctl("doctor", "--json", "--url", daemon.url("http"))
        said = [c for c in json.loads(done.stdout)["checks"] if c["check"] == "producers"]
        self.assertEqual([c["status"] for c in said], ["warn"] * len(behind))
        self.assertRegex(said[0]["text"], r"^a clock of source far is (40d00h|39d23h) behind this daemon's since \S+Z; its "
                                          r"ops are corrected$")
        self.assertEqual(said[0]["fix"], "on the machine that sends as far: sudo timedatectl set-ntp true")

    def run_tool(self, env, **arguments):
        words = ["%s=%s" % a for a in arguments.items()]
        done = subprocess.run([TOOL, *words], env=env, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_one_that_does_not_say_so(self):
        """A minute of timestamps that keep their distance tells it, over HTTP, on one connection or many."""
        daemon = self.start()
        begin, n = time.time(), 0
        while time.time() < begin + 64:
            self.post(daemon, [failure(n, time.time() - 2 * HOUR), failure(n, time.time(), endpoint="/near")])
            n += 1
            time.sleep(1)
        late = self.state(daemon)["late"]
        self.assertTrue(55 <= late <= 62, late)
        for k in range(20):
            self.post(daemon, [failure(n + k, time.time() - 2 * HOUR)])
        self.assertEqual(self.state(daemon)["late"], late)
        self.assertEqual(max(seconds(c["last_seen"]) for c in self.clusters(daemon)) > time.time() - 10, True)
        # What it learned survives.
        daemon.restart(kill=True)
        self.post(daemon, [failure(n + 30, time.time() - 2 * HOUR)])
        self.assertEqual((self.state(daemon)["late"], self.state(daemon)["skewed"]), (0, 1))
        daemon.stop()


class Jumps(TimesTest):
    def test_the_wall_clock_is_set(self):
        """Receipt goes on; nothing becomes late, no window empties, and a restart does not go back."""
        if not os.path.exists(LIBRARY):
            self.skipTest("no %s" % LIBRARY)
        faults = Faults(os.path.join(self.tmp, "clock"))
        env = {"LD_PRELOAD": LIBRARY, "OBS_FAULTS": faults.path,
               "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
        daemon = self.start(env=env, args=["--retain-hours", "2", "--segment-bytes", "4000"])
        total = 0
        for shift in (0, HOUR, -2 * HOUR, 400 * DAY, -300 * DAY, 0):
            faults.shift_clock(shift)
            for k in range(5):  # one by the same clock, one by another
                self.post(daemon, [{"endpoint": "/local", "success": False, "error": "no route"},
                                   failure(k, time.time() + shift), failure(k, time.time())])
                total += 3
            self.assertEqual(self.recent(daemon), (total, total))
            receipts = [seconds(r) for _, (r, _) in sorted(self.times(daemon).items())]
            self.assertEqual(receipts, sorted(receipts))
            self.assertLess(receipts[-1] - receipts[0], 60)
            wait_until(lambda: abs(self.state(daemon)["clock_off_s"] - abs(shift)) <= 1, 10, "that it is told")
        state = self.state(daemon)
        self.assertEqual(state["late"], 0)
        self.assertEqual(daemon.stderr().count("the wall clock was set"), 5)
        self.assertEqual(len(daemon.journal_lines()), total)
        # Set back while the daemon is away: receipt goes on from where it was.
        want = self.times(daemon)
        daemon.stop()
        faults.shift_clock(-HOUR)
        daemon.start()
        self.assertEqual(self.times(daemon), want)
        self.post(daemon, [failure(99, time.time() - HOUR)])
        receipts = [seconds(r) for _, (r, _) in sorted(self.times(daemon).items())]
        self.assertEqual(receipts, sorted(receipts))
        self.assertEqual(self.state(daemon)["late"], 0)
        daemon.stop()


if __name__ == "__main__":
    main()
