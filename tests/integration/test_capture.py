# SPDX-License-Identifier: Apache-2.0
"""Whether containerd asks the relay at all. A _default/hosts.toml takes the relay's address like any
other registry's; the port may be somebody else's; and there are reasons to leave the relay out."""
import shutil
import unittest

import grpc

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import RELAY_PORT, BlackHole, Containerd, Folder, dead_port
from tests.integration.mirror_parts import HOST, NAME_AT_RELAY, MirrorCase, authorised

CONTAINERDS = ("1.6", "1.7", "2")
CAPTURED = r" warning containerd does not ask the relay \(captured "
REMEDY = f"127.0.0.1_{RELAY_PORT}_"
TAKEN = rf" warning the relay's port is taken: pulls go directly to their upstreams until it is free port={RELAY_PORT}\b"
QUICK_S = 25  # less than containerd waits for a connection that nobody answers


class Parts(MirrorCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.target = cls.enterClassContext(FakeRegistry(cls.folder, name="target"))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={
            HOST: cls.registry.url, "other.example": cls.registry.url}, **cls.OPTIONS))

    OPTIONS = {}

    def setUp(self):
        super().setUp()
        self.target.rules([])
        self.target.auth({})
        self.target.clear_log()


class ConfigPath(Parts):
    """A _default/hosts.toml without a directory for the relay."""

    OPTIONS = {"relay_port": None}

    def setUp(self):
        super().setUp()
        shutil.rmtree(self.containerd.certs / REMEDY, ignore_errors=True)

    def as_mirror(self, url):
        """_default as a mirror of everything: containerd asks there first, and then the registry itself."""
        self.containerd.set_default(f'[host."{url}"]\ncapabilities = ["pull", "resolve"]\n')

    def as_server(self, url):
        """_default instead of everything: containerd asks nobody else."""
        self.containerd.set_default(f'server = "{url}"\n\n[host]\n')

    def assert_not_captured(self):
        self.start(timeout_s=QUICK_S)
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])
        self.assertEqual(authorised(self.target.log()), [])

    def assert_told_once(self):
        found = self.daemon.lines(CAPTURED)
        self.assertEqual(len(found), 1)
        self.assertIn(REMEDY, found[0])

    def assert_state(self, state):
        """What the metric and the status say of the relay."""
        metric = "cri_resolved_relay_state"
        page = self.daemon.metrics()
        self.assertEqual([of["state"] for of in page.labels(metric) if page.value(metric, **of)], [state])
        self.assertEqual(self.daemon.admin("/v1/status")[1]["relay"]["state"], state)

    def assert_captured(self):
        """Recognised by the first pull; after the second one in vain not tried again, until the directory is
        there and the configuration is loaded."""
        self.start(timeout_s=QUICK_S)
        self.assert_direct()
        self.assert_told_once()
        self.assert_state("serving")
        self.assert_direct("v2")
        self.assert_state("captured")
        asked = len(self.relayed_names())
        self.assert_direct("v3")
        self.assertEqual(len(self.relayed_names()), asked)
        self.containerd.let_relay_through()
        self.daemon.reload()
        self.daemon.wait_line("configuration reloaded")
        self.assert_state("serving")
        self.assert_relayed("v4")
        self.assert_told_once()
        self.assertEqual(authorised(self.target.log()), [])

    def assert_refused_at_once(self):
        """A quick answer costs nothing: each pull tries the relay, and it is used as soon as the way is free. That
        it is not used is told until then."""
        self.start(timeout_s=QUICK_S)
        self.assert_direct()
        self.assert_state("serving")  # one refusal may be about that image
        self.assert_direct("v2")
        self.assert_state("captured")
        self.assert_direct("v3")
        self.assert_state("captured")
        self.assert_told_once()
        self.containerd.let_relay_through()
        self.assert_relayed("v4")
        self.assert_state("serving")
        self.assertEqual(authorised(self.target.log()), [])

    def test_a_mirror_of_everything_that_has_nothing(self):
        self.target.rules([{"status": 404}])
        self.as_mirror(self.target.url)
        self.assert_not_captured()
        self.assertNotEqual(self.target.log(), [], "containerd did not ask there: the test shows nothing")

    def test_a_mirror_of_everything_that_refuses(self):
        self.as_mirror(f"http://127.0.0.1:{dead_port()}")
        self.assert_not_captured()

    def test_a_mirror_of_everything_that_wants_a_password(self):
        """The grant is for the relay: containerd does not offer it where it is asked for one."""
        self.assert_offers_nothing("basic")

    def test_a_mirror_of_everything_that_wants_a_token(self):
        self.assert_offers_nothing("bearer")

    def assert_offers_nothing(self, scheme):
        self.target.auth({".*": {"scheme": scheme}})
        self.as_mirror(self.target.url)
        self.assert_not_captured()
        self.assertIn(401, [entry["status"] for entry in self.target.log()])
        self.assertEqual([entry["body"] for entry in self.target.log() if entry["body"]], [])

    def test_a_mirror_of_everything_that_drops_packets(self):
        hole = self.enterContext(BlackHole())
        self.as_mirror(hole.url)
        self.assert_captured()

    def test_another_server_that_has_nothing(self):
        self.target.rules([{"status": 404}])
        self.as_server(self.target.url)
        self.assert_refused_at_once()

    def test_another_server_that_refuses(self):
        self.as_server(f"http://127.0.0.1:{dead_port()}")
        self.assert_refused_at_once()

    def test_a_pull_that_comes_and_fails_is_proof_too(self):
        self.as_server(f"http://127.0.0.1:{dead_port()}")
        self.start(timeout_s=QUICK_S)
        self.assert_direct()
        self.assert_direct("v2")
        self.assert_state("captured")
        self.containerd.let_relay_through()
        self.push("v3", mirrored=False)
        self.registry.rules([{"path": "/blobs/", "status": 404}])
        self.addCleanup(self.registry.rules, [])
        with self.assertRaises(grpc.RpcError):
            self.cri.pull(self.image("v3"))
        self.assert_state("serving")

    def test_another_server_that_drops_packets(self):
        hole = self.enterContext(BlackHole())
        self.as_server(hole.url)
        self.assert_captured()

    def test_another_server_that_has_it(self):
        """It has the relay's names, too: whoever answers for everything may. What comes is right by its digest."""
        self.as_server(self.target.url)
        content = self.push()
        content.push(self.target, f"cri-resolved/{HOST}/{self.repository}", "any")
        self.start(timeout_s=QUICK_S)
        self.pull(content)
        self.assert_no_relay_names()
        self.assertEqual(authorised(self.target.log()), [])


class Directory(Parts):
    """The directory that the harness, as the documentation, puts beside _default."""

    def test_relayed(self):
        self.start()
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])

    def test_a_default_that_drops_packets_is_not_met(self):
        hole = self.enterContext(BlackHole())
        self.containerd.set_default(f'[host."{hole.url}"]\n')
        self.start(timeout_s=QUICK_S)
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])


class Unconfigured(Parts):
    """Nobody told containerd anything. Direct pulls go where it finds the registry by itself."""

    OPTIONS = {"relay_port": None, "legacy": {}}

    def test_relayed(self):
        self.start()
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])

    def test_a_registry_with_a_port(self):
        """Its name has a colon, which no path may have."""
        self.start({self.registry.host: {"server": self.registry.url, "mirrors": [self.mirror.url]}})
        self.assert_relayed(host=self.registry.host)
        self.assertIn(f"{NAME_AT_RELAY}127.0.0.1__{self.registry.port}/", self.relayed_names()[-1])


class Port(Parts):
    def test_taken_and_free_again(self):
        taker = FakeRegistry(self.folder, name="taker")
        taker.process.command += ["--port", str(RELAY_PORT)]
        with taker:
            self.start()
            self.daemon.wait_line(TAKEN)
            asked = len(self.relayed_names())
            self.assert_direct()
            self.assert_direct("v2")
            self.assertEqual(len(self.relayed_names()), asked)
            self.assertEqual(taker.connections()["accepted"], 0)
        self.daemon.wait_line(rf" info the relay serves port={RELAY_PORT}\b")
        self.assert_relayed("v3")
        self.assertEqual(len(self.daemon.lines(TAKEN)), 1)

    def test_another_port(self):
        self.containerd.let_relay_through(7999)
        self.start(relay={"port": 7999})
        self.daemon.wait_line(r" info the relay serves port=7999\b")
        content = self.push()
        self.assertRegex(self.pull(content), r"\bsource=relay\b")
        self.assertIn("127.0.0.1:7999/cri-resolved/", self.containerd.pulls()[-1])


class Off(Parts):
    def assert_off(self, host=HOST):
        """Two pulls, without the relay."""
        asked = len(self.relayed_names())
        self.assert_direct("v1", host)
        self.assert_direct("v2", host)
        self.assertEqual(len(self.relayed_names()), asked)

    def test_everywhere(self):
        self.start(relay={"mode": "off"})
        self.assert_off()

    def test_one_upstream(self):
        entry = {"server": self.registry.url, "mirrors": [self.mirror.url]}
        self.start({HOST: entry, "other.example": {**entry, "relay": "off"}})
        self.assert_off("other.example")
        self.assert_relayed("v3")

    def test_default(self):
        """Off by default, on for one."""
        entry = {"server": self.registry.url, "mirrors": [self.mirror.url]}
        self.start({"default": {"relay": "off"}, HOST: {**entry, "relay": "auto"}, "other.example": entry})
        self.assert_off("other.example")
        self.assert_relayed("v3")

    def test_an_image_verifier(self):
        """It judges names: it must see the one that the pod asked for."""
        verifiers = self.folder.sub("verifiers")
        self.start(relay={"image_verifier_dir": str(verifiers)})
        self.assert_relayed("v0")
        program = verifiers / "policy"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.assert_off()
        lines = self.daemon.lines(r" info pulled directly reason=")
        self.assertEqual(len(lines), 1, "the reason is said once")
        self.assertRegex(lines[0], r'reason="[^"]*verifier')
        program.unlink()
        self.assert_relayed("v3")


del Parts  # it has no tests, and is no test

if __name__ == "__main__":
    unittest.main()
