"""A fleet's stream that loses, repeats or spoils what was in it, and buckets that are lost: the summary is at the end a recount."""

import json
import signal
import subprocess

import nats
import replicas
from fleet import PARTITIONS, FleetTest
from harness import SLOW, main, wait_until


class Stream(FleetTest):
    def test_the_stream_goes_back(self):
        """All servers lose what they had not synced: the edge publishes it again, workers begin at an earlier checkpoint."""
        servers, edge, worker = self.edge_and_worker()
        self.record(edge, 1000)
        self.check(edge, edge)
        wait_until(lambda: self.metric(edge, "forward_ops_total") == 1000, 30, "all to be forwarded")
        servers.kill_all()
        servers.save("before")
        servers.start_all()
        self.wait_settled(worker)
        self.record(edge, 2000)
        self.check(edge, edge)
        servers.kill_all()
        servers.restore("before")
        servers.start_all()
        self.record(edge, 500)
        self.check(edge, edge, seconds=90)
        # Those whose lease went back with the stream are taken anew, and begin where the stream agrees, too.
        self.assertGreater(self.metric(worker, "fleet_rewinds_total") + self.metric(worker, "fleet_partitions_lost_total"), 0)

    def test_the_leases_go_back_and_grow_again(self):
        """A heartbeat was lost that the worker has not seen to be lost: its bucket is as long as it was."""
        servers, edge, worker = self.edge_and_worker()
        self.record(edge, 500)
        self.check(edge, edge)
        servers.kill_all()
        servers.save("before")
        servers.start_all()
        last = lambda: self.ask(servers, "$JS.API.STREAM.INFO.KV_OBSERVER_LEASES")["state"]["last_seq"]
        saved = last()
        wait_until(lambda: last() >= saved + 2, 30, "two heartbeats")
        worker.hold()
        servers.kill_all()
        servers.restore("before")
        servers.start_all()
        for n in range(20):
            nats.tool("publish", "$KV.OBSERVER_LEASES.x.%d" % n, "of nobody", url=servers.urls[0])
        grown = last()
        worker.process.send_signal(signal.SIGCONT)
        wait_until(lambda: last() > grown + 1, 30, "heartbeats")
        self.record(edge, 500)
        self.check(edge, edge)

    def test_a_stream_made_anew_is_refused_until_told(self):
        servers, edge, worker = self.edge_and_worker()
        self.record(edge, 500)
        self.check(edge, edge)
        self.ask(servers, "$JS.API.STREAM.DELETE.OBSERVER_OPS")
        wait_until(lambda: worker.get("/readyz").status == 503, 60, "the worker to notice")
        self.assertIn("the stream OBSERVER_OPS was made anew", worker.get("/readyz").json["reasons"][0])
        worker.stop()
        worker.args.append("--accept-new-stream")
        worker.start()
        self.wait_settled(worker)
        self.assertEqual(worker.get("/readyz").status, 200)

    def test_at_its_beginning_any_stream_is_the_fleets(self):
        """Two may have made it at once, and a worker have seen the first: nothing is lost when it takes the second."""
        servers = self.servers()
        nats.tool("put", "OBSERVER_FLEET", "stream", "0123456789abcdef", url=servers.urls[0])
        edge = self.edge(servers, "edge")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        self.assertIn("the stream that is there now is accepted as the fleet's", worker.stderr())
        self.record(edge, 500)
        self.check(edge, edge)

    def test_each_server_tells_the_same_stream(self):
        """A cluster that is asked twice at once makes one stream, but remembers two times at which it was made."""
        servers = self.servers(count=3)
        made = [subprocess.Popen([nats.TOOL, "ensure", url, "TWICE", "twice.>", "3"]) for url in servers.urls * 3]
        self.assertIn(0, [process.wait(60 * SLOW) for process in made])  # a busy cluster may leave others without an answer
        # A stream that has just been given another leader may not answer at once.
        asked = lambda *what: wait_until(lambda: nats.tool(*what, url=servers.urls[0], check=False, quiet=True), 60, str(what))[0]
        first = asked("info", "TWICE")["id"]
        for n in range(3):
            servers.kill(n)
            servers.start(n)
            for _ in range(3):
                asked("ask", "$JS.API.STREAM.LEADER.STEPDOWN.TWICE", "")
                self.assertEqual(asked("info", "TWICE")["id"], first)

    def test_the_servers_copies_stay_the_same(self):
        """Also when each is killed and has to read again what it was told: nats-server 2.9 does not come to the same where writes
        were refused, or keys purged, meanwhile."""
        servers = self.servers(count=3)
        edge = self.edge(servers, "edge", "--replicas", "3")
        worker = self.worker(servers, "worker", "--replicas", "3")
        for _ in range(4):  # checkpoints: the third one takes the place of the first
            self.wait_settled(worker)
            self.record(edge, 500)
            self.check(edge, edge)
            worker.restart()
        self.wait_settled(worker)
        kept = lambda: self.ask(servers, "$JS.API.STREAM.INFO.KV_OBSERVER_CHECKPOINTS")["state"]
        self.assertGreater(kept()["last_seq"], kept()["messages"])
        for n in range(3):
            servers.kill(n)
            servers.start(n)
            self.record(edge, 500)
            self.check(edge, edge, seconds=90)
            self.wait_settled(worker)
            self.assertEqual(replicas.describe(replicas.find_different(servers)), [])

    def test_a_key_is_deleted_in_any_bucket(self):
        """Also in one that another client has made, as they all do: it refuses that a message is deleted."""
        servers = self.servers()
        url = servers.urls[0]
        config = {"name": "KV_OTHERS", "subjects": ["$KV.OTHERS.>"], "retention": "limits", "storage": "file", "discard": "new",
                  "max_msgs_per_subject": 1, "max_msgs": -1, "max_bytes": -1, "max_consumers": -1, "num_replicas": 1,
                  "deny_delete": True, "allow_rollup_hdrs": True, "allow_direct": True}
        made, = nats.tool("ask", "$JS.API.STREAM.CREATE.KV_OTHERS", json.dumps(config), url=url)
        self.assertNotIn("error", made)
        for bucket in ("OWN", "OTHERS"):
            for key, value in (("a", "1"), ("b", "2"), ("a", "3")):
                nats.tool("put", bucket, key, value, url=url)
            for _ in range(2):  # no such key is no failure
                nats.tool("delete", bucket, "a", url=url)
            self.assertEqual(nats.letters("KV_" + bucket, url=url), [("$KV.%s.b" % bucket, {}, b"2")])

    def test_what_cannot_be_read_is_put_aside(self):
        servers, edge, worker = self.edge_and_worker()
        self.record(edge, 500)
        nats.tool("publish", "observer.ops.7.0123456789abcdef", "no batch", url=servers.urls[0])
        wait_until(lambda: self.metric(worker, "fleet_poison_total") == 1, 30, "the message to be counted")
        self.record(edge, 500)
        self.check(edge, edge)
        dead = lambda: self.ask(servers, "$JS.API.STREAM.INFO.OBSERVER_DEAD")["state"]["messages"]
        wait_until(lambda: dead() == 1, 30, "the message to be put aside")

    def test_holes_are_filled(self):
        """Messages that nobody has folded are lost: the edge is asked to publish again, and does."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        self.record(edge, 1000)
        wait_until(lambda: self.metric(edge, "forward_ops_total") == 1000, 30, "all to be forwarded")
        self.ask(servers, "$JS.API.STREAM.PURGE.OBSERVER_OPS")
        worker = self.worker(servers, "worker")
        self.wait_settled(worker)
        self.record(edge, 1000)
        self.check(edge, edge)
        self.assertGreater(self.metric(worker, "fleet_holes_total"), 0)

    def test_holes_are_filled_when_their_edge_comes_back(self):
        """It was not there when it was asked, records nothing more, and another run of the worker has to remember."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        for _ in range(2):
            self.record(edge, 1000)
            wait_until(lambda: self.metric(edge, "spool_ops") == 0, 30, "all to be forwarded")
            if self.sent == 1000:
                self.ask(servers, "$JS.API.STREAM.PURGE.OBSERVER_OPS")
        edge.kill()
        worker = self.worker(servers, "worker")
        wait_until(lambda: self.metric(worker, "fleet_holes_total") >= PARTITIONS // 2, 60, "holes to be noticed")
        worker.restart()
        self.wait_settled(worker)
        edge.start()
        self.check(edge, edge)

    def test_the_buckets_are_lost(self):
        """With the leases, who holds what, and with the checkpoints, what has been folded: it is folded again."""
        servers = self.servers()
        edge = self.edge(servers, "edge")
        workers = [self.worker(servers, "worker%d" % n) for n in range(2)]
        self.wait_settled(*workers)
        self.record(edge, 2000)
        self.check(edge, edge)
        for bucket in ("LEASES", "CHECKPOINTS", "FLEET"):
            self.ask(servers, "$JS.API.STREAM.DELETE.KV_OBSERVER_" + bucket)
        lost = lambda: sum(self.metric(w, "fleet_partitions_lost_total") for w in workers)
        wait_until(lambda: lost() == PARTITIONS, 60, "the loss to be noticed")
        self.wait_settled(*workers)
        self.record(edge, 1000)
        for asked in (edge, *workers):
            self.check(asked, edge)


if __name__ == "__main__":
    main()
