"""What observerd tells the service manager, over a socket as systemd's: sd_notify(3)."""

import ctypes
import os
import signal
import socket
import time

from harness import SLOW, DaemonTest, main, wait_until

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
libc = ctypes.CDLL(None, use_errno=True)


def ptrace(request, thread):
    """Holds one thread of a daemon, and lets it go on."""
    wait_until(lambda: libc.ptrace(request, thread, None, None) == 0, 10, "ptrace %#x" % request)


class ServiceManager(DaemonTest):
    def listen(self, name):
        """A socket at a path or, with @, in the abstract namespace."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind(name if name[0] == "/" else "\0" + name[1:])
        s.settimeout(60 * SLOW)
        self.addCleanup(s.close)
        return s

    def told(self, s):
        return dict(line.split("=", 1) for line in s.recv(4096).decode().splitlines())

    def tell_until(self, s, member):
        """What is told, up to the first message that has the member."""
        all_told = []
        while not all_told or member not in all_told[-1]:
            all_told.append(self.told(s))
        return all_told

    def test_a_life(self):
        path = os.path.join(self.tmp, "notify")
        s = self.listen(path)
        d = self.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
        self.assertEqual(self.told(s), {"READY": "1", "STATUS": "recording"})
        for _ in range(3):
            self.assertEqual(self.told(s), {"WATCHDOG": "1"})
        before = time.monotonic_ns() // 1000
        d.process.send_signal(signal.SIGHUP)
        told = self.tell_until(s, "RELOADING")[-1]
        self.assertEqual((told["RELOADING"], told["STATUS"]), ("1", "reloading"))
        self.assertLessEqual(before, int(told["MONOTONIC_USEC"]))
        self.assertLessEqual(int(told["MONOTONIC_USEC"]), time.monotonic_ns() // 1000)
        self.assertEqual(self.tell_until(s, "READY")[-1], {"READY": "1", "STATUS": "recording"})
        d.stop()
        self.assertEqual(self.tell_until(s, "STOPPING")[-1]["STOPPING"], "1")
        s.settimeout(0.001)
        self.assertRaises(TimeoutError, s.recv, 4096)

    def test_watchdog_needs_progress(self):
        """A commit thread that something holds up gives no sign of life, though the main thread goes on."""
        name = "@observer-test-%d" % os.getpid()
        s = self.listen(name)
        d = self.start(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"})
        self.tell_until(s, "WATCHDOG")
        thread = self.thread_of(d, "obs:commit")
        ptrace(PTRACE_SEIZE, thread)
        ptrace(PTRACE_INTERRUPT, thread)
        wait_until(lambda: self.is_silent(s), 30, "silence")
        d.process.send_signal(signal.SIGHUP)
        self.tell_until(s, "READY")
        ptrace(PTRACE_DETACH, thread)
        self.tell_until(s, "WATCHDOG")

    def thread_of(self, d, name):
        folder = "/proc/%d/task" % d.process.pid
        for tid in os.listdir(folder):
            with open("%s/%s/comm" % (folder, tid)) as f:
                if f.read().strip() == name:
                    return int(tid)
        raise AssertionError("no thread " + name)

    def is_silent(self, s):
        s.settimeout(2.5)
        try:
            self.told(s)
            return False
        except TimeoutError:
            return True
        finally:
            s.settimeout(60 * SLOW)

    def test_another_process_is_watched(self):
        path = os.path.join(self.tmp, "notify")
        s = self.listen(path)
        d = self.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"})
        d.stop()
        self.assertEqual([sorted(t) for t in self.tell_until(s, "STOPPING")], [["READY", "STATUS"], ["STATUS", "STOPPING"]])

    def test_nobody_listens(self):
        for name in (os.path.join(self.tmp, "none"), "@none", "vsock:2:1", "", "/" + "x" * 200):
            d = self.start("data%d" % len(name), env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
            self.assertEqual(d.stats()["total"], 0)
            d.stop()


if __name__ == "__main__":
    main()
