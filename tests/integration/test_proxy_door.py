# SPDX-License-Identifier: Apache-2.0
"""The front door: sockets, their files and modes, and who may come in."""
import grp
import os
import signal
import socket
import stat
import subprocess
import sys
import unittest

from tests.integration.harness import Daemon, Folder, wait_until
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import accepts
from tests.integration.proxy_parts import VERSION, Backend, Caller, hold

NOBODY = 65534
GROUP_NAME, GROUP = "games", grp.getgrnam("games").gr_gid  # every Debian has it
# What a peer sees that sends the start of an HTTP/2 connection: the other side's, or the end.
PEER = """
import socket, sys
with socket.socket(socket.AF_UNIX) as peer:
    peer.settimeout(30)
    peer.connect(sys.argv[1])
    try:
        peer.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + b"\\0\\0\\0\\4\\0\\0\\0\\0\\0")
        print("served" if peer.recv(9)[3:4] == b"\\4" else "refused")
    except (BrokenPipeError, ConnectionResetError):
        print("refused")
"""


def peer_sees(path, **identity):
    done = subprocess.run([sys.executable, "-I", "-c", PEER, path], capture_output=True, text=True, check=True,
                          timeout=60, **identity)
    return done.stdout.strip()


class Peers(unittest.TestCase):
    """The socket's file lets everybody connect here: it is the daemon that looks at who they are."""

    def daemon(self, **shim):
        folder = self.enterContext(Folder())
        backend = self.enterContext(Backend(folder))
        daemon = self.enterContext(Daemon(folder, backend.socket, shim={"listen_mode": "0666", **shim},
                                          log={"level": "debug"}))
        for path in (folder.path, daemon.home):
            path.chmod(0o755)
        return daemon

    def test_root_is_served(self):
        self.assertEqual(peer_sees(self.daemon().socket), "served")

    def test_others_are_refused(self):
        daemon = self.daemon()
        for _ in range(3):
            self.assertEqual(peer_sees(daemon.socket, user=NOBODY, group=NOBODY, extra_groups=[]), "refused")
        self.assertEqual(peer_sees(daemon.socket, user=NOBODY, group=0, extra_groups=[0]), "refused")
        lines = [line for line in daemon.log().splitlines() if "peer refused" in line]
        self.assertEqual(len(lines), 4)
        self.assertIn(f"uid={NOBODY} ", lines[-1])
        self.assertIn("refused_so_far=4", lines[-1])
        self.assertEqual(peer_sees(daemon.socket), "served")

    def test_members_of_allowed_groups_are_served(self):
        daemon = self.daemon(allow_groups=[GROUP_NAME])
        self.assertEqual(peer_sees(daemon.socket, user=NOBODY, group=GROUP, extra_groups=[]), "served")
        self.assertEqual(peer_sees(daemon.socket, user=NOBODY, group=NOBODY, extra_groups=[1, GROUP, 7]), "served")
        self.assertEqual(peer_sees(daemon.socket, user=NOBODY, group=NOBODY, extra_groups=[GROUP + 1]), "refused")


class Sockets(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.backend = self.enterContext(Backend(self.folder))

    def start(self, **shim):
        return self.enterContext(Daemon(self.folder, self.backend.socket, shim=shim))

    def refused_to_start(self, daemon):
        """The words of a daemon that cannot start, after it has ended with the exit code given."""
        daemon.wait = False
        daemon.start()
        return daemon.process.child.wait(30), daemon.log()

    def test_mode_and_group(self):
        for mode in ("0660", "0600", "0666"):
            with Daemon(self.folder, self.backend.socket, shim={"listen_mode": mode, "listen_group": str(GROUP)}) as daemon:
                found = os.stat(daemon.socket)
                self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (int(mode, 8), GROUP))

    def test_default_mode(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.start().socket).st_mode), 0o660)

    def test_its_file_goes_with_it(self):
        daemon = self.start()
        daemon.stop()
        self.assertFalse(daemon.socket.exists())
        daemon.start()

    def test_a_stale_socket_is_replaced(self):
        daemon = self.start()
        daemon.kill()
        self.assertTrue(stat.S_ISSOCK(os.stat(daemon.socket).st_mode))
        daemon.start()
        with Caller(daemon.socket) as caller:
            self.assertTrue(caller.call(VERSION))

    def test_a_served_socket_is_left_alone(self):
        first = self.start()
        second = Daemon(self.folder, self.backend.socket, shim={"listen": f"unix://{first.socket}"})
        code, log = self.refused_to_start(second)
        self.assertEqual(code, 78)
        self.assertIn(f"{first.socket}: another process serves this socket", log)
        with Caller(first.socket) as caller:
            self.assertTrue(caller.call(VERSION))

    def test_another_file_is_left_alone(self):
        daemon = Daemon(self.folder, self.backend.socket)
        daemon.socket.write_text("precious")
        code, log = self.refused_to_start(daemon)
        self.assertEqual(code, 78)
        self.assertIn(f"{daemon.socket}: exists and is not a socket; remove it, or change shim.listen", log)
        self.assertEqual(daemon.socket.read_text(), "precious")

    def test_a_folder_that_is_not_there(self):
        daemon = Daemon(self.folder, self.backend.socket, shim={"listen": "unix:///nonexistent/folder/r.sock"})
        code, log = self.refused_to_start(daemon)
        self.assertEqual(code, 71)
        self.assertIn("cannot listen at /nonexistent/folder/r.sock: cannot make its folder: No such file or directory", log)

    def test_its_own_folder_is_made(self):
        """/run is empty after a boot."""
        path = self.folder.path / "made" / "r.sock"
        with Daemon(self.folder, self.backend.socket, wait=False, shim={"listen": f"unix://{path}"}) as daemon:
            daemon.process.wait_ready(lambda: accepts(path))
            with Caller(path) as caller:
                self.assertTrue(caller.call(VERSION))
            self.assertEqual(stat.S_IMODE(os.stat(path.parent).st_mode) & 0o022, 0)

    def test_two_sockets(self):
        paths = [self.folder.path / "one.sock", self.folder.path / "two.sock"]
        daemon = Daemon(self.folder, self.backend.socket, wait=False, shim={"listen": [f"unix://{path}" for path in paths]})
        with daemon:
            for path in paths:
                daemon.process.wait_ready(lambda path=path: accepts(path))
                with Caller(path) as caller:
                    self.assertTrue(caller.call(VERSION))

    def test_inherited_descriptor(self):
        path = self.folder.path / "inherited.sock"
        daemon = Daemon(self.folder, self.backend.socket, wait=False)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            # LISTEN_PID must be the daemon's own: the shell becomes it.
            script = 'exec 3<&%d; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" --config "$1"' % listener.fileno()
            child = subprocess.Popen(["/bin/sh", "-c", script, binary(), daemon.config], pass_fds=[listener.fileno()],
                                     env=daemon.process.env, stderr=subprocess.PIPE)
        try:
            with Caller(path) as caller:  # nobody had to wait for the daemon to be ready
                self.assertTrue(caller.call(VERSION))
            self.assertFalse(daemon.socket.exists(), "its own socket is not made then")
            child.terminate()
            self.assertEqual(child.wait(30), 0, child.stderr.read())
            self.assertTrue(path.exists(), "the file is systemd's")
        finally:
            child.kill()
            child.communicate()

    def test_a_call_under_way_ends_before_the_daemon(self):
        daemon = self.start()
        with Caller(daemon.socket) as caller:
            call = caller.unary("/fake/Hold", hold("late"), "late")
            self.backend.wait("late", "arrived")
            daemon.process.signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in daemon.log(), "the daemon to stop")
            # What it still writes to a tag is in an order that it alone knows: nobody takes over before.
            second = Daemon(self.folder, self.backend.socket, shim={"listen": f"unix://{daemon.socket}"})
            code, log = self.refused_to_start(second)
            self.assertEqual(code, 78)
            self.assertIn(f"{daemon.socket}: another process serves this socket", log)
            self.assertFalse(call.done())
            self.backend.control(release="late")
            self.assertEqual(call.result(), b"late")
            daemon.stop()
        self.assertFalse(daemon.socket.exists())


if __name__ == "__main__":
    unittest.main()
