# SPDX-License-Identifier: Apache-2.0
"""The deprecated `mirrors."*"` of containerd 1.6 and 1.7 takes the relay's address, too; and with it
there is no config_path, and so no directory that could keep it away."""
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import RELAY_PORT, BlackHole, Containerd, Folder, dead_port
from tests.integration.mirror_parts import HOST, MirrorCase, authorised

CONTAINERDS = ("1.6", "1.7")
CAPTURED = r" warning containerd does not ask the relay \(captured "
QUICK_S = 25  # less than containerd waits for a connection that nobody answers


class Legacy(MirrorCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.target = cls.enterClassContext(FakeRegistry(cls.folder, name="target"))

    def setUp(self):
        super().setUp()
        self.target.clear_log()

    def start_with(self, url, **more):
        """containerd with `mirrors."*"` at the URL; the registry of the tests has an entry of its own."""
        self.containerd = self.enterContext(Containerd(self.folder, relay_port=None, legacy={
            "*": [url], HOST: [self.registry.url], **more}))
        self.start(timeout_s=QUICK_S)

    def test_that_has_nothing(self):
        self.target.rules([{"status": 404}])
        self.addCleanup(self.target.rules, [])
        self.start_with(self.target.url)
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])
        self.assertNotEqual(self.target.log(), [], "containerd did not ask there: the test shows nothing")
        self.assertEqual(authorised(self.target.log()), [])

    def test_that_refuses(self):
        self.start_with(f"http://127.0.0.1:{dead_port()}")
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])

    def test_that_drops_packets(self):
        hole = self.enterContext(BlackHole())
        self.start_with(hole.url)
        self.assert_direct()
        self.assert_direct("v2")
        asked = len(self.relayed_names())
        self.assert_direct("v3")  # two in vain are enough
        self.assertEqual((len(self.relayed_names()), len(self.daemon.lines(CAPTURED))), (asked, 1))

    def test_that_drops_packets_with_an_entry_for_the_relay(self):
        hole = self.enterContext(BlackHole())
        self.start_with(hole.url, **{f"127.0.0.1:{RELAY_PORT}": [f"http://127.0.0.1:{RELAY_PORT}"]})
        self.assert_relayed()
        self.assertEqual(self.daemon.lines(CAPTURED), [])


if __name__ == "__main__":
    unittest.main()
