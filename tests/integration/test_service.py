# SPDX-License-Identifier: Apache-2.0
"""The daemon as a service: sockets that are held for it, what it says of itself, its watchdog, its end."""
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

import grpc

from tests.integration.harness import Daemon, Folder, Manager, free_port, wait_until
from tests.integration.harness.daemon import binary
from tests.integration.proxy_parts import VERSION, Backend, Caller, hold
from tests.integration.service_parts import UNITS, Frozen
from tests.integration.test_proxy_door import GROUP, GROUP_NAME, NOBODY, peer_sees

TIMEOUT_S = 400
EVENTS = "/runtime.v1.RuntimeService/GetContainerEvents"
MIRRORED = {"ghcr.io": {"server": "http://127.0.0.1:1", "mirrors": ["http://127.0.0.1:1"]}}


def asks_who_it_is(port):
    """Whether the relay is there: it refuses who has no grant."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 401
    finally:
        connection.close()


class ServiceCase(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.backend = self.enterContext(Backend(self.folder))

    def manager(self, *names, **more):
        return self.enterContext(Manager(self.folder, names or ("cri", "relay", "admin"), **more))

    def start(self, manager, **more):
        return self.enterContext(Daemon(self.folder, self.backend.socket, manager=manager, **more))

    def caller(self, manager):
        return self.enterContext(Caller(manager.socket))

    def refused_to_start(self, manager):
        """(exit code, log) of a daemon that cannot start."""
        daemon = Daemon(self.folder, self.backend.socket, manager=manager, wait=False)
        daemon.start()
        return daemon.process.child.wait(30), daemon.log()


class Sockets(ServiceCase):
    def test_all_that_are_held_are_served(self):
        manager = self.manager("relay", "admin", "cri")  # in no particular order
        daemon = self.start(manager)
        self.assertTrue(self.caller(manager).call(VERSION))
        self.assertEqual(daemon.admin("/readyz")[0], 200)
        self.assertTrue(asks_who_it_is(manager.relay_port), "even without mirrors: nobody may wait there for ever")
        self.assertEqual(daemon.admin("/v1/status")[1]["relay"], {"port": manager.relay_port, "state": "serving"})
        self.assertEqual(list(daemon.home.glob("*.sock")), [], "none of its own")
        self.assertNotIn("systemd holds", daemon.log(), "unit and configuration agree")
        daemon.stop()
        self.assertTrue(manager.socket.exists() and manager.admin_socket.exists(), "the files are the manager's")

    def test_who_comes_before_it_starts_is_served(self):
        manager = self.manager()
        early = self.caller(manager).unary(VERSION)
        self.start(manager)
        self.assertTrue(early.result())

    def test_what_is_not_held_it_opens_itself(self):
        manager = self.manager("cri")
        daemon = self.start(manager, upstreams=MIRRORED, admin={"listen": f"unix://{self.folder.path}/own-admin.sock"})
        daemon.admin_socket = self.folder.path / "own-admin.sock"
        self.assertEqual(daemon.admin("/readyz")[0], 200)
        wait_until(lambda: asks_who_it_is(manager.relay_port), "the relay's own port")

    def test_an_unknown_name(self):
        code, log = self.refused_to_start(self.manager("cri", "cri-resolved-relay.socket"))
        self.assertEqual(code, 78)
        self.assertIn('inherited descriptor 4 is named \\"cri-resolved-relay.socket\\": FileDescriptorName= must be cri, relay, '
                      "admin or metrics in its .socket unit", log)

    def test_a_relay_that_the_world_could_reach(self):
        code, log = self.refused_to_start(self.manager("cri", "relay", relay_host="0.0.0.0"))
        self.assertEqual(code, 78)
        self.assertIn("does not listen on 127.0.0.1: ListenStream=127.0.0.1:<port> is needed", log)

    def test_another_relay_port_than_the_configuration_says(self):
        manager = self.manager()
        wanted = free_port()
        daemon = self.start(manager, upstreams=MIRRORED, relay={"port": wanted})
        line = daemon.wait_line("systemd holds another port for the relay")[0]
        self.assertIn(f"held={manager.relay_port} relay.port={wanted}", line)
        self.assertIn(f"systemctl edit cri-resolved-relay.socket: [Socket], ListenStream=, ListenStream=127.0.0.1:{wanted}", line)
        wait_until(lambda: asks_who_it_is(wanted), "the relay at the configuration's port")
        self.assertEqual(daemon.admin("/v1/status")[1]["relay"], {"port": wanted, "state": "serving"})

    def test_a_socket_at_another_place_than_the_configuration_says(self):
        wanted = f"unix://{self.folder.path}/elsewhere.sock"
        manager = self.manager()
        daemon = self.start(manager, shim={"listen": [f"unix://{manager.socket}", wanted]})
        lines = daemon.wait_line("this one of shim.listen is not among them")
        self.assertEqual(len(lines), 1)
        self.assertIn(f"shim.listen={wanted} ", lines[0])
        self.assertTrue(self.caller(manager).call(VERSION))

    def test_an_admin_socket_that_nobody_wants(self):
        daemon = self.start(self.manager(), admin={"listen": ""})
        self.assertIn("systemctl mask --now cri-resolved-admin.socket",
                      daemon.wait_line("systemd holds an admin socket, but admin.listen is empty")[0])

    def test_an_admin_socket_at_another_place(self):
        daemon = self.start(self.manager(), admin={"listen": f"unix://{self.folder.path}/elsewhere.sock"})
        daemon.wait_line("systemd holds the admin socket at another place than admin.listen")
        self.assertEqual(daemon.admin("/readyz")[0], 200)
        self.assertFalse((self.folder.path / "elsewhere.sock").exists())

    def test_who_may_connect(self):
        manager = self.manager("cri", mode=0o666)  # the file lets everybody: the daemon looks
        self.start(manager, shim={"allow_groups": [GROUP_NAME]})
        for path in (self.folder.path, manager.home):
            path.chmod(0o755)
        for sees, identity in (("served", {}), ("served", {"user": NOBODY, "group": GROUP, "extra_groups": []}),
                               ("served", {"user": NOBODY, "group": NOBODY, "extra_groups": [1, GROUP]}),
                               ("refused", {"user": NOBODY, "group": NOBODY, "extra_groups": [GROUP + 1]}),
                               ("refused", {"user": NOBODY, "group": 0, "extra_groups": [0]})):
            with self.subTest(identity):
                self.assertEqual(peer_sees(manager.socket, **identity), sees)


class Words(ServiceCase):
    """What it says to the manager."""

    def test_a_life(self):
        manager = self.manager()
        daemon = self.start(manager)
        manager.wait_said("READY", "1")
        self.assertRegex(manager.said("STATUS")[-1], r"^serving, version \d")
        with Caller(manager.socket) as caller:
            call = caller.unary("/fake/Hold", hold("late"), "late")
            self.backend.wait("late", "arrived")
            daemon.process.signal(signal.SIGTERM)
            manager.wait_said("STATUS", "draining, 1 calls left")
            self.backend.control(release="late")
            self.assertEqual(call.result(), b"late")
        daemon.stop()
        self.assertEqual(manager.said("STOPPING"), ["1"])
        self.assertEqual(manager.said("EXTEND_TIMEOUT_USEC"), ["45000000"], "the limit, and what is left to do then")

    def test_reload(self):
        manager = self.manager()
        daemon = self.start(manager)
        manager.wait_said("READY")
        daemon.reload()
        manager.wait_said("READY", count=2)
        order = [key for message in manager.messages for key in ("RELOADING", "READY") if key in message]
        self.assertEqual(order, ["READY", "RELOADING", "READY"])
        self.assertGreater(int(manager.said("MONOTONIC_USEC")[0]), 0)
        daemon.write_config("[shim]\nlisten_mod = 1\n")
        daemon.reload()
        manager.wait_said("READY", count=3)
        self.assertRegex(manager.said("STATUS")[-1],
                         r"^serving, version .*; configuration not reloaded: .*:2: .*unknown key.*listen_mod")
        self.assertTrue(self.caller(manager).call(VERSION))


class Check(ServiceCase):
    """--check of the file that a running daemon has."""

    def check(self, *words):
        done = subprocess.run([binary(), "--check", *map(str, words)], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_it_is_the_one_that_was_named(self):
        daemon = self.start(self.manager(), name="a folder with blanks")
        self.assertEqual(self.check("--pid", daemon.process.pid), (0, f"{daemon.config} is valid\n", ""))
        daemon.write_config("[shim]\nlisten_mod = 1\n")
        code, out, said = self.check("--pid", daemon.process.pid)
        self.assertEqual((code, out), (78, ""))
        self.assertIn(f"{daemon.config}:2: ", said)

    def test_what_makes_no_sense(self):
        gone = subprocess.Popen(["/bin/true"])
        gone.wait()
        self.assertEqual(self.check("--pid", gone.pid), (71, "", f"cri-resolved: /proc/{gone.pid}/cmdline: No such file or directory\n"))
        code, _, said = self.check("--pid", os.getpid(), "--config", "/x")
        self.assertEqual((code, said), (64, "cri-resolved: --pid goes with --check, and says which file; see --help\n"))


class Watchdog(ServiceCase):
    def test_it_is_fed(self):
        manager = self.manager(watchdog_s=0.1)
        self.start(manager)
        manager.wait_said("WATCHDOG", "1", count=20)

    def test_not_without_being_asked(self):
        manager, other = self.manager(), self.manager(watchdog_s=0.1)
        self.start(manager)
        self.start(other)
        other.wait_said("WATCHDOG", count=20)
        self.assertEqual(manager.said("WATCHDOG"), [])

    def test_not_when_the_queue_stands_still(self):
        """The other daemon is the clock."""
        manager, other = self.manager(watchdog_s=0.1), self.manager(watchdog_s=0.1)
        daemon = self.start(manager)
        self.start(other)
        manager.wait_said("WATCHDOG")
        with Frozen(daemon.process.pid, "queue"):
            # What it had sent before is heard before the answer of the admin socket, whose thread goes on.
            self.assertEqual(daemon.admin("/healthz")[0], 200)
            said, seen = len(manager.said("WATCHDOG")), len(other.said("WATCHDOG"))
            other.wait_said("WATCHDOG", count=seen + 20)
            self.assertEqual(daemon.admin("/healthz")[0], 200)
            self.assertLessEqual(len(manager.said("WATCHDOG")), said + 1)  # one could be on its way
            frozen = len(manager.said("WATCHDOG"))
        manager.wait_said("WATCHDOG", count=frozen + 5)


class End(ServiceCase):
    def test_no_call_is_lost_in_restarts(self):
        """200 calls are under way when the end comes, each time; their connections are served to the last, and
        who connects meanwhile is served by the next life."""
        manager = self.manager()
        daemon = self.start(manager)
        callers = [self.caller(manager) for _ in range(8)]
        for life in ("first", "second", "third"):
            calls = [callers[n % 8].unary("/fake/Hold", hold(life), life, timeout_s=90) for n in range(200)]
            self.backend.wait(life, *["arrived"] * 200)
            daemon.process.signal(signal.SIGTERM)
            manager.wait_said("STATUS", "draining, 200 calls left")
            for caller in callers:
                self.assertEqual(caller.call("/fake/Payload", b"x" * 100), b"x" * 100)
            late = self.caller(manager).unary("/fake/Payload", b"late", timeout_s=90)
            manager.messages.clear()
            self.backend.control(release=life, times=200)
            self.assertEqual([call.code() for call in calls], [grpc.StatusCode.OK] * 200)
            self.assertEqual(daemon.process.child.wait(60), 0)
            self.assertFalse(late.done())
            daemon.start()
            self.assertEqual(late.result(), b"late")

    def test_the_limit(self):
        """A call that does not end is cancelled, at both ends; whoever waits behind it is served then."""
        manager = self.manager()
        daemon = self.start(manager, shim={"stop_timeout": "500ms"})
        caller = self.caller(manager)
        call = caller.unary("/fake/Hold", hold("never"), "never")
        self.backend.wait("never", "arrived")
        daemon.stop()  # exit code 0
        self.assertIn(call.code(), (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE))
        self.backend.wait("never", "arrived", "cancelled")
        early = caller.unary(VERSION)
        daemon.start()
        self.assertTrue(early.result())

    def test_the_limit_is_that_of_the_last_reload(self):
        manager = self.manager()
        daemon = self.start(manager, shim={"stop_timeout": "1h"})
        daemon.tables["shim"]["stop_timeout"] = "100ms"
        daemon.write_config()
        daemon.reload()
        daemon.wait_line("configuration reloaded")
        call = self.caller(manager).unary("/fake/Hold", hold("never"), "never")
        self.backend.wait("never", "arrived")
        daemon.stop()
        self.assertIsNotNone(call.exception())

    def test_a_stream_without_end_holds_up_nobody(self):
        """It lasts as long as there are other calls; then its client is told to call again."""
        manager = self.manager()
        daemon = self.start(manager, shim={"stop_timeout": "1h"})
        caller = self.caller(manager)
        events = caller.stream(EVENTS, hold("events"), "events")
        call = caller.unary("/fake/Hold", hold("late"), "late")
        self.backend.wait("late", "arrived")
        self.backend.wait("events", "arrived")
        daemon.process.signal(signal.SIGTERM)
        manager.wait_said("STATUS", "draining, 2 calls left")
        self.backend.control(release="events")
        self.assertEqual(next(events), b"0")
        self.backend.control(release="late")
        self.assertEqual(call.result(), b"late")
        with self.assertRaises(grpc.RpcError) as caught:
            next(events)
        self.assertEqual((caught.exception.code(), caught.exception.details()),
                         (grpc.StatusCode.UNAVAILABLE, "cri-resolved stops: call again"))
        daemon.stop()
        self.backend.wait("events", "arrived", "cancelled")


class Units(unittest.TestCase):
    """The files that the packages install, as systemd reads them."""

    def installed(self):
        """Copies that name the program where it is here."""
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for unit in UNITS:
            text = unit.read_text().replace("/usr/bin/cri-resolved", str(binary()))
            (folder / unit.name).write_text(text)
        return [folder / unit.name for unit in UNITS]

    def run_analyze(self, *words):
        self.assertTrue(shutil.which("systemd-analyze"), "the package systemd is needed")
        return subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False,
                              env={**os.environ, "LC_ALL": "C"})

    def test_they_are_clean(self):
        done = self.run_analyze("verify", "--man=no", "--recursive-errors=no", *self.installed())
        ours = [line for line in (done.stdout + done.stderr).splitlines() if "cri-resolved" in line]
        self.assertEqual((done.returncode, ours), (0, []))

    def test_verify_would_have_seen_a_mistake(self):
        paths = self.installed()
        service = next(path for path in paths if path.suffix == ".service")
        service.write_text(service.read_text().replace("WatchdogSec", "WatchdogSecs"))
        done = self.run_analyze("verify", "--man=no", "--recursive-errors=no", *paths)
        self.assertRegex(done.stderr, r"cri-resolved\.service:\d+: Unknown key( name)? 'WatchdogSecs'")

    def test_exposure(self):
        service = next(unit for unit in UNITS if unit.suffix == ".service")
        done = self.run_analyze("security", "--offline=true", "--threshold=20", "--no-pager", service)  # 2.0
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Overall exposure level", done.stdout)

    def test_a_name_for_each_descriptor(self):
        names = {line.partition("=")[2] for unit in UNITS for line in unit.read_text().splitlines()
                 if line.startswith("FileDescriptorName=")}
        self.assertEqual(names, {"cri", "relay", "admin"})


if __name__ == "__main__":
    unittest.main()
