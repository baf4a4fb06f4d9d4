# SPDX-License-Identifier: Apache-2.0
"""Restart, upgrade and stop in the middle of real pulls: what was accepted is answered, or cancelled cleanly."""
import re
import signal
import socket
import unittest

import grpc

from tests.fake.gate import Gate
from tests.integration.harness import Containerd, Content, Cri, Daemon, Folder, Manager, Registry, wait_until
from tests.integration.harness.wire import encode
from tests.integration.service_parts import Pulls, other_build, version

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 600
RELAYED, DIRECT = "relayed.example", "direct.example"
STATUSES = "/containerd.services.content.v1.Content/ListStatuses"
LEASES = "/containerd.services.leases.v1.Leases/List"


class ServiceCase(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.registry = self.enterContext(Registry(self.folder))
        self.gate = self.enterContext(Gate(self.registry.url))
        self.manager = self.enterContext(Manager(self.folder))
        self.containerd = self.enterContext(Containerd(
            self.folder, upstreams=dict.fromkeys((RELAYED, DIRECT), self.gate.url), relay_port=self.manager.relay_port))

    def start(self, **shim):
        self.daemon = self.enterContext(Daemon(self.folder, self.containerd, {
            RELAYED: {"server": self.gate.url, "mirrors": [self.registry.url]}, DIRECT: self.gate.url},
            manager=self.manager, shim=shim))

    def client(self):
        return self.enterContext(Cri(self.manager.socket, timeout_s=90))


class Restart(ServiceCase):
    def sources(self, part):
        return set(re.findall(r" pull reference=\S+ .*\bsource=(\w+)", part))

    def stop_under(self, pulls):
        """SIGTERM while 200 pulls are under way. What is asked on their connections meanwhile is answered, too;
        and the port of the relay takes connections all the time."""
        pulls.begin()
        self.daemon.process.signal(signal.SIGTERM)
        self.manager.wait_said("STATUS", f"draining, {pulls.COUNT} calls left")
        for client in pulls.clients:
            self.assertTrue(client.image_fs_info().messages(1))
            client.list_images()
        late = self.client().method("/runtime.v1.RuntimeService/Version").future(b"", timeout=90)
        self.assertEqual(pulls.end(), [])
        self.assertEqual(self.daemon.process.child.wait(60), 0)
        self.assertFalse(late.done(), "who connects meanwhile waits for the next one")
        with socket.create_connection(("127.0.0.1", self.manager.relay_port), timeout=5):
            pass
        self.manager.messages.clear()
        return late

    def test_nothing_is_lost(self):
        """A restart, then an upgrade to another build."""
        self.start()
        pulls = Pulls(self, self.registry, self.gate, self.manager.socket, (RELAYED, DIRECT))
        late = self.stop_under(pulls)
        self.daemon.start()
        self.assertTrue(late.result())
        program, other = other_build(self.folder.path / "next-build")
        late = self.stop_under(pulls)
        self.daemon.process.command = self.daemon.command(program)
        self.daemon.start()
        self.assertTrue(late.result())
        pulls.begin()
        self.assertEqual(pulls.end(), [])
        self.daemon.stop()
        self.assertEqual([line.split("version=")[1].split()[0] for line in self.daemon.lines(" info serving ")],
                         [version(), version(), other])
        for life in self.daemon.log().split(" info serving ")[1:]:
            self.assertEqual(self.sources(life), {"relay", "upstream"}, "each build pulled, both ways")
            self.assertEqual(life.count("info stopped"), 1)
        self.assertEqual(self.daemon.lines("outcome=failed"), [])


class Limit(ServiceCase):
    def names_left(self, repo):
        return [name for name in self.containerd.store() if repo in name or name.startswith("127.0.0.1")]

    def check_clean(self, repo):
        """Nothing of the pull is left in containerd: no name, nothing half fetched, no lease on it."""
        wait_until(lambda: not self.names_left(repo), f"names: {self.names_left(repo)}")
        wait_until(lambda: not self.containerd.call(STATUSES).messages(1), "ingests are left")
        wait_until(lambda: not self.containerd.call(LEASES, encode([])).messages(1), "leases are left")

    def check_pull(self, host):
        repo = "team/" + host.partition(".")[0]
        content = Content(f"limit {host}", (3_000, 300_000))
        content.push(self.registry, repo, "v1")
        held = self.gate.hold("GET", f"/blobs/{content.layers[1]}", times=100)
        call = self.client().pull_future(f"{host}/{repo}:v1")
        held.wait_arrived()
        self.daemon.process.signal(signal.SIGTERM)
        self.assertEqual(self.daemon.process.child.wait(60), 0)
        self.assertIn(call.code(), (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE))
        self.assertIn("draining, 1 calls left", self.manager.said("STATUS"))
        held.wait_gone()
        self.check_clean(repo)
        self.gate.open()
        self.daemon.start()
        self.assertEqual(self.client().pull(f"{host}/{repo}:v1"), content.id)
        self.assertEqual(self.containerd.store()[f"{host}/{repo}:v1"].digest, content.digest)

    def test_a_direct_pull(self):
        self.start(stop_timeout="500ms")
        self.check_pull(DIRECT)

    def test_a_pull_through_the_relay(self):
        self.start(stop_timeout="500ms")
        self.daemon.upstreams[RELAYED]["mirrors"] = [self.gate.url]
        self.daemon.write_config()
        self.daemon.reload()
        self.daemon.wait_line("configuration reloaded")
        self.check_pull(RELAYED)

    def test_a_pull_that_ends_in_time(self):
        self.start(stop_timeout="10m")
        content = Content("in time", (3_000, 300_000))
        content.push(self.registry, "team/late", "v1")
        held = self.gate.hold("GET", f"/blobs/{content.layers[1]}")
        call = self.client().pull_future(f"{DIRECT}/team/late:v1")
        held.wait_arrived()
        self.daemon.process.signal(signal.SIGTERM)
        self.manager.wait_said("STATUS", "draining, 1 calls left")
        held.release()
        self.assertTrue(call.result())
        self.assertEqual(self.daemon.process.child.wait(60), 0)
        self.assertEqual(self.containerd.store()[f"{DIRECT}/team/late:v1"].digest, content.digest)


if __name__ == "__main__":
    unittest.main()
