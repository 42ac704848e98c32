"""Pages of every list: what a walk through them gives while things go on, their sizes, and what is recent."""

import json
import random
import time
from datetime import datetime, timedelta, timezone

from harness import DaemonTest, main, wait_until
from test_sessions import session

V1 = "/v1/observer/"
WORDS = ("anchor bishop candle dragon emerald falcon garden hammer island jacket kitchen ladder mirror needle orange pepper "
         "quarry ribbon saddle timber umbrella velvet walnut yellow zipper basket copper desert engine forest glacier harbor "
         "insect jungle kettle lemon meadow nickel oyster pillow rabbit sailor tunnel violin window bridge castle dinner eagle "
         "feather").split()
DEFAULT_BYTES, DEFAULT_ROWS = 100 * 1000, 100


def kinds(n):
    """Texts that are kinds of their own."""
    rng, texts = random.Random(7), {}
    while len(texts) < n:
        texts[" ".join(rng.sample(WORDS, 2 + len(texts) % 7))] = None
    return list(texts)


def failure(text, **fields):
    return {"endpoint": "/a", "success": False, "error": text, **fields}


class PagesTest(DaemonTest):
    def page(self, daemon, name, **params):
        answer = daemon.get(V1 + name + "?" + "&".join("%s=%s" % kv for kv in params.items()))
        self.assertEqual(answer.status, 200, answer)
        return answer

    def walk(self, daemon, name, meanwhile=lambda n: None, **params):
        """All rows, page by page; `meanwhile` is called between the pages."""
        rows, cursor, pages = [], None, 0
        while True:
            page = self.page(daemon, name, **params, **({"cursor": cursor} if cursor else {})).json
            rows += page[name]
            cursor, pages = page["next_cursor"], pages + 1
            if cursor is None:
                return rows
            self.assertTrue(page[name] or not page["complete"])
            self.assertLess(pages, 5000)
            meanwhile(pages)

    def fill(self, daemon, texts, **fields):
        for at in range(0, len(texts), 500):
            answer = daemon.post(V1 + "event", [failure(text, **fields) for text in texts[at:at + 500]])
            self.assertEqual(answer.json["rejected"], 0)


class Walks(PagesTest):
    def test_all_clusters_are_reachable(self):
        daemon = self.start(data_dir=None)
        self.fill(daemon, kinds(2100))
        total = self.page(daemon, "clusters", limit=1).json["total"]
        self.assertGreater(total, 1900)
        for order in ("last_seen", "first_seen", "count", "rate", "impact"):
            rows = self.walk(daemon, "clusters", sort=order, limit=700)
            self.assertEqual(len(rows), total)
            self.assertEqual(len({row["id"] for row in rows}), total)
        self.assertEqual([row["last_seq"] for row in self.walk(daemon, "clusters", limit=333)],
                         sorted((row["last_seq"] for row in rows), reverse=True))

    def test_nothing_is_left_out_while_failures_come(self):
        """Old kinds fail again between the pages, and new ones come."""
        daemon = self.start(data_dir=None)
        texts = kinds(400)
        self.fill(daemon, texts[:300])
        before = {row["id"]: row for row in self.walk(daemon, "clusters", limit=1000)}
        rng = random.Random(3)
        for order in ("last_seen", "first_seen", "count", "rate", "impact"):
            def meanwhile(n, order=order):
                if n < 40:
                    self.fill(daemon, rng.sample(texts[:300], 5) + [texts[300 + n]])
            rows = self.walk(daemon, "clusters", meanwhile, sort=order, limit=10)
            seen = [row["id"] for row in rows]
            self.assertLessEqual(set(before), set(seen), order)
            # Once, and once more if it failed while the walk was on.
            for row in rows:
                self.assertLessEqual(seen.count(row["id"]), 2)
                if seen.count(row["id"]) == 2:
                    self.assertGreater(max(r["last_seq"] for r in rows if r["id"] == row["id"]), rows[0]["last_seq"])

    def test_repeats(self):
        daemon = self.start(data_dir=None)
        for n in range(3):
            daemon.post(V1 + "event", [failure("lost", sig_hash="task %d" % i) for i in range(60)])
        def meanwhile(n):
            if n < 20:
                daemon.post(V1 + "event", [failure("lost", sig_hash="task %d" % (n * 7 % 60))] +
                            [failure("lost", sig_hash="new %d" % n)] * 3)
        seen = [row["sig_hash"] for row in self.walk(daemon, "repeats", meanwhile, limit=7)]
        self.assertLessEqual({"task %d" % i for i in range(60)}, set(seen))
        self.assertFalse([s for s in seen if s.startswith("new")])
        self.assertLessEqual(max(seen.count(s) for s in seen), 2)

    def test_ops_and_sessions_once_each(self):
        daemon = self.start()
        daemon.post(V1 + "event", [{"endpoint": "/%d" % i, "success": True} for i in range(250)])
        daemon.post(V1 + "session", [session(session_id="s%d" % i) for i in range(120)])
        def meanwhile(n):
            daemon.post(V1 + "event", {"endpoint": "/new", "success": True})
            daemon.post(V1 + "session", session(session_id="new"))
        self.assertEqual([row["op"]["endpoint"] for row in self.walk(daemon, "ops", meanwhile, limit=9)],
                         ["/%d" % i for i in range(249, -1, -1)])
        self.assertEqual([row["session"]["session_id"] for row in self.walk(daemon, "sessions", meanwhile, limit=9)][-120:],
                         ["s%d" % i for i in range(119, -1, -1)])

    def test_cursors_are_checked(self):
        daemon = self.start(data_dir=None)
        self.fill(daemon, kinds(30))
        daemon.post(V1 + "event", [failure("lost", sig_hash="t%d" % (i % 9)) for i in range(36)])
        cursors = {name: self.page(daemon, name, limit=1).json["next_cursor"] for name in ("clusters", "repeats", "ops")}
        own = "cursor: must be a next_cursor of an earlier answer of this list, in the same order"
        form = "cursor: must be a next_cursor of an earlier answer"
        for query, error in (("clusters?cursor=" + cursors["repeats"], own), ("repeats?cursor=" + cursors["clusters"], own),
                             ("clusters?sort=count&cursor=" + cursors["clusters"], own),
                             ("playbooks?cursor=" + cursors["clusters"], own),
                             ("clusters?cursor=" + cursors["ops"], form), ("ops?cursor=" + cursors["clusters"], form),
                             ("clusters?cursor=" + cursors["clusters"] + "0", form),
                             ("clusters?cursor=" + cursors["clusters"].upper(), form),
                             ("clusters?cursor=w", form), ("analyses?cursor=" + cursors["clusters"], form)):
            answer = daemon.get(V1 + query)
            self.assertEqual((answer.status, answer.json), (400, {"error": error}), query)


class Sizes(PagesTest):
    def test_default_pages(self):
        """Without a limit a page is small whatever its rows are; a row that is larger comes alone."""
        daemon = self.start(args=["--cycle", "100ms"])
        rng = random.Random(1)
        long_text = lambda: " ".join(rng.sample(WORDS, 30))
        for i in range(12):
            daemon.post(V1 + "event", [failure("%s at %d" % (long_text(), k), endpoint="/%d/%s" % (k, "x" * 200), sig_hash="%d" % k,
                                               session_id=long_text(), input_summary="y" * (40000 if k == 3 else 900))
                                       for k in range(20)])
        daemon.post(V1 + "event", {"endpoint": "/large", "success": True, "extra": ["z" * 60000] * 3})
        daemon.post(V1 + "session", [session(session_id="s%d" % i, prompt="p" * 3000) for i in range(150)])
        wait_until(lambda: len(self.page(daemon, "analyses", limit=100).json["analyses"]) > 20, 60, "analyses")
        for name in ("ops", "sessions", "clusters", "analyses", "playbooks", "escalations", "repeats"):
            for params in ({}, {"full": "true"}) if name not in ("ops", "sessions", "repeats") else ({},):
                answer = self.page(daemon, name, **params)
                self.assertLessEqual(len(answer.json[name]), DEFAULT_ROWS)
                if len(answer.json[name]) > 1:
                    self.assertLess(len(answer.body), DEFAULT_BYTES, name)
                self.assertEqual(answer.json["complete"],
                                 answer.json["next_cursor"] is None or len(answer.json[name]) == DEFAULT_ROWS)
                if name in ("ops", "sessions", "clusters"):
                    rows = self.walk(daemon, name, **params)
                    self.assertEqual(len(rows), len(self.walk(daemon, name, limit=1000, **params)), name)
                answer = self.page(daemon, name, limit=1000, **params)
                self.assertLess(len(answer.body), (1 << 20) + 300)
        [large] = self.page(daemon, "ops").json["ops"]
        self.assertEqual(large["op"]["endpoint"], "/large")

    def test_light_rows_name_what_is_whole(self):
        daemon = self.start(data_dir=None)
        self.fill(daemon, ["disk full"] * 9, sig_hash="a", session_id="s")
        [light] = self.page(daemon, "clusters").json["clusters"]
        [whole] = self.page(daemon, "clusters", full="true").json["clusters"]
        one = daemon.get(V1 + "clusters/" + light["id"]).json
        self.assertEqual(set(whole) - set(light), {"sessions", "sig_hashes", "places", "places_forgotten"})
        self.assertEqual(set(one) - set(whole), {"corrections", "former_ids", "diagnosis", "links"})
        self.assertEqual({k: v for k, v in whole.items() if k in light}, light)
        self.assertEqual({k: v for k, v in one.items() if k in whole}, whole)


class Recent(PagesTest):
    """By receipt: a producer's clock hides nothing and keeps nothing on top."""

    def stamp(self, **ago):
        return (datetime.now(timezone.utc) - timedelta(**ago)).isoformat().replace("+00:00", "Z")

    def ids(self, daemon, **params):
        return [row["id"] for row in self.page(daemon, "clusters", **params).json["clusters"]]

    def test_clocks_that_are_wrong(self):
        daemon = self.start(args=["--cycle", "100ms"])
        daemon.post(V1 + "event", failure("from the year 2099", timestamp="2099-01-01T00:00:00Z", sig_hash="far"))
        [future] = self.ids(daemon)
        time.sleep(0.01)  # receipt has milliseconds
        between = self.stamp().replace("+", "%2B")
        time.sleep(0.01)
        daemon.post(V1 + "event", [failure("slow clock", timestamp=self.stamp(hours=3), sig_hash="slow")] * 3)
        daemon.post(V1 + "event", failure("right clock", sig_hash="right"))
        right, slow, last = self.ids(daemon)
        self.assertEqual(last, future)
        for name in ("since", "received_since"):
            self.assertEqual(self.ids(daemon, **{name: between}), [right, slow])
            self.assertEqual(self.ids(daemon, **{name: "2098-01-01"}), [])
        self.assertEqual(self.ids(daemon, sort="last_seen"), [right, slow, future])
        one = daemon.get(V1 + "clusters/" + future).json
        self.assertEqual(one["last_seen"], one["last_received"])  # nothing happens after it is received
        self.assertLess(one["last_received"], between)
        shown = daemon.get(V1 + "clusters/" + slow).json
        self.assertTrue(shown["last_seen"] < self.stamp(hours=2) < between < shown["last_received"], shown)
        daemon.restart()  # receipt survives
        self.assertEqual(self.ids(daemon, since=between), [right, slow])
        self.assertEqual(daemon.get(V1 + "clusters/" + future).json["last_received"], one["last_received"])
        self.assertEqual([row["sig_hash"] for row in self.page(daemon, "repeats", least=1).json["repeats"]],
                         ["right", "far"])  # late ones are no run of now

        # The windows of the summary count what came, whenever it says that it happened.
        windows = daemon.get(V1 + "summary").json["windows"]
        self.assertEqual(windows["1m"]["total"], 5)
        # The time of ops is the event's; received_since is the receipt's.
        self.assertEqual([row["seq"] for row in self.page(daemon, "ops", since=between).json["ops"]], [5])
        self.assertEqual([row["seq"] for row in self.page(daemon, "ops", received_since=between).json["ops"]], [5, 4, 3, 2])
        # And advice is of what fails now.
        templates = [c["template"] for c in daemon.get(V1 + "advice?endpoint=/a").json["clusters"]]
        self.assertIn("right clock", templates)

    def test_what_is_found_out_has_the_daemons_time(self):
        daemon = self.start(args=["--cycle", "100ms", "--playbook-cycles", "1"])
        begun = self.stamp()
        daemon.post(V1 + "event", [failure("disk %d is full" % i, timestamp="2099-01-01T00:00:00Z") for i in range(12)] +
                    [{"endpoint": "/a", "success": True, "timestamp": "2001-01-01T00:00:00Z", "input_summary": "x"}] * 9)
        rows = wait_until(lambda: self.page(daemon, "analyses", since=begun.replace("+", "%2B")).json["analyses"], 20, "an analysis")
        self.assertLess(rows[0]["time"], self.stamp(hours=-1))
        self.assertEqual(self.page(daemon, "analyses", since="2098-01-01").json["analyses"], [])
        entries = wait_until(lambda: self.page(daemon, "playbooks").json["playbooks"], 20, "an entry")
        self.assertTrue(begun[:16] <= entries[0]["time"] < self.stamp(hours=-1), entries[0])


class Whole(PagesTest):
    def test_a_cluster_says_what_was_found_out(self):
        daemon = self.start(args=["--cycle", "100ms"])
        daemon.post(V1 + "event", [{"endpoint": "/a", "staffer_id": "ann", "success": True}] * 60)
        daemon.post(V1 + "event", [failure("roster %d is empty" % i, staffer_id="bob") for i in range(12)])
        [row] = self.page(daemon, "clusters").json["clusters"]
        path = V1 + "clusters/" + row["id"]
        found = wait_until(lambda: daemon.get(path).json["diagnosis"], 20, "its analysis")
        analysis = daemon.get(V1 + "analyses/%d" % found["analysis"]).json
        for member in ("time", "cause", "adjust", "dont", "grounded", "settled"):
            self.assertEqual(found[member], analysis[member])
        cited = [seq for claim in analysis["claims"] for seq in claim["seqs"]]
        self.assertEqual(found["evidence"], list(dict.fromkeys(cited))[:20])
        self.assertTrue(found["evidence"])
        links = daemon.get(path).json["links"]
        self.assertEqual([r["seq"] for r in daemon.get(links["samples"]).json["ops"]], sorted(row["samples"], reverse=True))
        self.assertEqual(len(daemon.get(links["ops"]).json["ops"]), 12)
        self.assertIn(analysis["id"], [a["id"] for a in daemon.get(links["analyses"]).json["analyses"]])

    def test_before_it_is_analysed(self):
        daemon = self.start(args=["--cycle", "3600"], data_dir=None)
        daemon.post(V1 + "event", failure("roster is empty"))
        [row] = self.page(daemon, "clusters").json["clusters"]
        self.assertIsNone(daemon.get(V1 + "clusters/" + row["id"]).json["diagnosis"])


if __name__ == "__main__":
    main()
