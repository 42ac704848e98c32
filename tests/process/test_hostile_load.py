"""The load of tests/long/hostile_load.py, for a short while: memory stays bounded, the counts balance, nothing acknowledged is
lost. Its times are for scripts/long.sh to print."""

import os
import sys

from harness import ROOT, SLOW, DaemonTest, main

sys.path.insert(0, os.path.join(ROOT, "tests", "long"))

import hostile_load  # noqa: E402

SECONDS, CONNECTIONS = 15, 200
# Of each socket: read buffers, queues of what waits, and what the views keep of names and texts.
RSS_MAX = 512 << 20


class HostileLoad(DaemonTest):
    def test_memory_is_bounded_and_nothing_is_lost(self):
        daemon = self.start(feed="tcp://127.0.0.1:0")
        load = hostile_load.Load(daemon, CONNECTIONS)
        load.alone(1)
        load.beside(SECONDS)
        self.assertLess(load.peak(), RSS_MAX * (4 if SLOW > 1 else 1))
        rows = hostile_load.check_conservation(daemon, 60)
        self.assertEqual(daemon.get("/livez").status, 200)
        daemon.stop(60)
        self.assertEqual(len(daemon.journal_lines()), rows)
        self.assertEqual(hostile_load.check_acknowledged(daemon, load.healthy.acked), len(load.healthy.acked))


if __name__ == "__main__":
    main()
