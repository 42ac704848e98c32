"""The long run of a fleet in network namespaces (tests/long/fleet_faults.py), for a short while: that it works, and holds. Its table
is for scripts/long.sh to print."""

import os
import subprocess
import sys
import unittest

import nats
from harness import ROOT, SLOW, main

PROBE = "ip link add probe type bridge && mount -t tmpfs none /mnt"


def has_namespaces():
    if os.getuid() != 0:
        return False
    try:
        done = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", PROBE],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


@nats.needs_nats
@unittest.skipUnless(has_namespaces(), "no network namespaces here")
class FleetFaults(unittest.TestCase):
    def test_a_fleet_whose_edges_are_killed(self):
        program = os.path.join(ROOT, "tests", "long", "fleet_faults.py")
        done = subprocess.run([sys.executable, "-B", program, "--ops", "2000", "--rate", "200", "--case", "edge_after_ack"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300 * SLOW, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode())


if __name__ == "__main__":
    main()
