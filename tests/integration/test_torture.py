# SPDX-License-Identifier: Apache-2.0
"""Every step on the network fails once: the first one in the first pull, the second one in the second, and so
on until a pull has fewer steps. Each pull succeeds, through the relay, and spoils nothing.

The daemon is a new one for each pull, and its end is checked: no leak and no sanitizer's report on any way out.
With CRI_RESOLVED_FULL=1 all steps fail, else every sixth, others for each containerd."""
import os
import unittest

from tests.fake.mirror import FakeMirrors
from tests.fake.saboteur import Saboteur
from tests.integration.content_case import ContentCase
from tests.integration.harness import Containerd, Cri, Daemon, Folder, containerd_version, free_port

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 1200
HOST = "ghcr.io"
FULL = os.environ.get("CRI_RESOLVED_FULL") == "1"
STRIDE = 1 if FULL else 6
FIRST = 1 if FULL else 1 + 2 * CONTAINERDS.index(containerd_version())
STEPS_AT_LEAST = 20  # of a pull on which nothing fails
PATIENCE = {"connect_timeout": "1s", "first_byte_timeout": "1500ms", "stall_timeout": "1s"}


class Torture(ContentCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeMirrors(cls.folder))
        mirror, = cls.registry.open_ports(1)
        cls.saboteur = cls.enterClassContext(Saboteur(mirror, cls.registry.port))
        mirror_line, upstream_line = cls.saboteur.urls
        port = free_port()
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.containerd.set_upstream(f"127.0.0.1_{port}_", f"http://127.0.0.1:{port}")
        cls.daemon = cls.enterClassContext(Daemon(
            cls.folder, cls.containerd, {HOST: {"server": upstream_line, "mirrors": [mirror_line]}},
            relay={"port": port, **PATIENCE}, resolve={"timeout": "2s", "budget": "8s"}))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))

    def pull(self, mode, failing):
        """One pull; how many steps there were."""
        repo = f"team/{mode}-{failing}"
        image = self.registry.mirrored_image(repo, "stable", repo, big_bytes=300000)
        reference = f"{HOST}/{repo}:stable"
        self.saboteur.arm(failing, mode)
        with Cri(self.daemon.socket) as cri:
            self.assertEqual(image.config, cri.pull(reference))
        steps = self.saboteur.steps
        self.assertRegex(self.daemon.log().splitlines()[-1], f" pull reference={reference} .* source=relay outcome=ok ")
        self.check_content(image, reference)
        self.check_no_relay_name()
        self.remove(image)
        self.pull_directly(image, reference)
        self.daemon.restart()
        return steps

    def torture(self, mode):
        failing, steps = FIRST, FIRST
        while steps >= failing:
            with self.subTest(mode=mode, failing=failing):
                steps = 0
                steps = self.pull(mode, failing)
                failing += STRIDE
        self.assertGreaterEqual(steps, STEPS_AT_LEAST)
        print(f"note: {mode}: {failing // STRIDE} pulls, {steps} steps without a fault")

    def test_cut(self):
        self.torture("cut")

    def test_reset(self):
        self.torture("reset")

    def test_silence(self):
        self.torture("silence")


if __name__ == "__main__":
    unittest.main()
