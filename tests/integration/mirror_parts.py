# SPDX-License-Identifier: Apache-2.0
"""For the tests of mirrors: one upstream, one mirror, and how a pull came by its bytes."""
import re
import unittest

from tests.integration.harness import RELAY_PORT, Content, Cri, Daemon, ShowsLogs, wait_until

HOST = "registry.example"
NAME_AT_RELAY = f"127.0.0.1:{RELAY_PORT}/cri-resolved/"


def authorised(entries):
    """Those entries of a fake registry's log that brought an Authorization."""
    return [entry for entry in entries if any(name.lower() == "authorization" for name, _ in entry["headers"])]


class MirrorCase(ShowsLogs, unittest.TestCase):
    """Tests that set folder, registry, mirror and containerd (in setUpClass or setUp), and start a daemon
    each. Every test pushes to a repository of its own."""

    log_lines = 25
    folder = registry = mirror = containerd = daemon = cri = None

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1].replace("_", "-").lower()

    def start(self, upstreams=None, containerd=None, timeout_s=60, **tables):
        """Starts a daemon for this test: HOST with its mirror unless upstreams say otherwise."""
        upstreams = upstreams or {HOST: {"server": self.registry.url, "mirrors": [self.mirror.url]}}
        self.daemon = self.enterContext(Daemon(self.folder, containerd or self.containerd, upstreams, **tables))
        self.cri = self.enterContext(Cri(self.daemon.socket, timeout_s=timeout_s))

    def push(self, tag="v1", sizes=(3_000, 400_000), mirrored=True):
        """An image at the upstream, and at the mirror."""
        content = Content(f"{self.id()} {self.repository} {tag}", sizes)
        for registry in (self.registry, self.mirror)[:2 if mirrored else 1]:
            content.push(registry, self.repository, tag)
        return content

    def image(self, tag="v1", host=HOST):
        return f"{host}/{self.repository}:{tag}"

    def pull_line(self, image):
        return self.daemon.wait_line(rf" pull reference={re.escape(image)} ")[-1]

    def pull(self, content, tag="v1", host=HOST, auth=None, containerd=None):
        """A pull that must bring this content; the line about it."""
        image = self.image(tag, host)
        self.assertEqual(self.cri.pull(image, auth), content.id)
        self.assertEqual((containerd or self.containerd).store()[image].digest, content.digest)
        return self.pull_line(image)

    def assert_relayed(self, tag="v1", host=HOST, auth=None, mirror=None, containerd=None):
        """Pushes an image, and pulls it through the relay from the mirror; the content."""
        content = self.push(tag)
        line = self.pull(content, tag, host, auth, containerd)
        self.assertRegex(line, rf"\bsource=relay\b.*{re.escape((mirror or self.mirror).url)}: \d+ bytes")
        self.assert_no_relay_names(containerd)
        return content

    def assert_direct(self, tag="v1", host=HOST, auth=None, containerd=None):
        """Pushes an image, and pulls it with containerd alone; the content."""
        content = self.push(tag)
        self.assertRegex(self.pull(content, tag, host, auth, containerd), r"\bsource=upstream\b")
        self.assert_no_relay_names(containerd)
        return content

    def assert_no_relay_names(self, containerd=None):
        """The relay's names in the image store last no longer than their flight."""
        def left():
            return [name for name in (containerd or self.containerd).store() if name.startswith(NAME_AT_RELAY)]
        wait_until(lambda: not left(), f"names of the relay go away: {left()}")

    def relayed_names(self, containerd=None):
        """What containerd was asked to pull from the relay so far."""
        return [name for name in (containerd or self.containerd).pulls() if name.startswith(NAME_AT_RELAY)]
