"""A fleet's machines, each in a network namespace of its own: links of all lead to one bridge, and can be cut.

`enter()` runs the program again in namespaces for its network, its mounts and its processes: whatever it makes is gone with it,
also when it is killed. It needs root. Inside:

    net = Net()
    place = net.place("edge0")       # a namespace with an address
    place.run(["observerd", ...])    # the command that runs there
    place.cut(), place.heal()        # its link is down, and up again
    place.deafen(other), place.hear(other)   # nothing of the other one's comes here any more, what is sent arrives
"""

import http.client
import os
import signal
import socket
import subprocess
import sys

import harness
import nats

INSIDE = "OBSERVER_FLEET_NET"
NETWORK = "10.213.0."


def enter():
    """Returns inside; outside, the program ends here. Whoever is outside may be ended: then what is inside gets a SIGTERM."""
    if os.environ.pop(INSIDE, None) == "1":
        return
    if os.getuid() != 0:
        sys.exit("network namespaces need root")
    inner = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork",
                              "--kill-child=TERM", "--mount-proc", sys.executable, "-B", *sys.argv],
                             env=dict(os.environ, **{INSIDE: "1"}))
    signal.signal(signal.SIGTERM, lambda *_: inner.kill())
    signal.signal(signal.SIGINT, lambda *_: inner.kill())
    sys.exit(abs(inner.wait()))


def call(*command):
    subprocess.run(command, check=True)


class Net:
    def __init__(self):
        self.places = 0
        os.makedirs("/run/netns", exist_ok=True)
        call("mount", "-t", "tmpfs", "none", "/run/netns")
        call("ip", "link", "set", "lo", "up")
        call("ip", "link", "add", "fleet", "type", "bridge")
        call("ip", "address", "add", NETWORK + "1/24", "dev", "fleet")
        call("ip", "link", "set", "fleet", "up")

    def place(self, name):
        self.places += 1
        return Place(name, NETWORK + str(10 + self.places), "v%d" % self.places)


class Place:
    def __init__(self, name, address, link):
        self.name, self.address, self.link = name, address, link
        call("ip", "netns", "add", name)
        call("ip", "link", "add", link, "type", "veth", "peer", "name", "net0", "netns", name)
        call("ip", "link", "set", link, "master", "fleet", "up")
        call("ip", "-n", name, "link", "set", "lo", "up")
        call("ip", "-n", name, "address", "add", address + "/24", "dev", "net0")
        call("ip", "-n", name, "link", "set", "net0", "up")

    def run(self, command):
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self):
        call("ip", "link", "set", self.link, "down")

    def heal(self):
        call("ip", "link", "set", self.link, "up")

    def deafen(self, other):
        call("ip", "-n", other.name, "route", "replace", "blackhole", self.address + "/32")

    def hear(self, other):
        call("ip", "-n", other.name, "route", "del", "blackhole", self.address + "/32")


class Servers(nats.Servers):
    """nats-servers, each in a place."""

    def __init__(self, folder, places, **options):
        self.places = places
        super().__init__(folder, count=len(places), **options)

    def address(self, n):
        return self.places[n].address

    def command(self, n):
        return self.places[n].run(super().command(n))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Daemon(harness.Daemon):
    """An observerd in a place. Its bus and its HTTP port are that place's own; the test asks it at a Unix socket."""

    def __init__(self, place, work_dir, data_dir, args=(), bus=True):
        self.place, self.socket = place, os.path.join(work_dir, "http")
        own = {"http": ["ipc://" + self.socket] + (["http://127.0.0.1:3800"] if bus else [])}
        own.update({kind: "tcp://127.0.0.1:380%d" % n if bus else None for kind, n in (("pull", 1), ("sub", 2), ("rep", 3))})
        super().__init__(work_dir, data_dir, args, **own)

    def command(self):
        return self.place.run(super().command())

    def connect(self, timeout=30.0, n=0):
        return UnixConnection(self.socket, timeout * harness.SLOW)
