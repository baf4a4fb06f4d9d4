# SPDX-License-Identifier: Apache-2.0
"""What containerd really has of an image, byte for byte, and that it really is gone."""
import hashlib
import unittest

from tests.integration.harness import wait_until
from tests.integration.harness.wire import encode

RELAY_NAMES = "127.0.0.1"
LEASES = "/containerd.services.leases.v1.Leases"


class ContentCase(unittest.TestCase):
    """For classes with `containerd`, and `direct`: a Cri on its own socket. image: a mirror.Image."""

    def blob_path(self, digest):
        return self.containerd.home / "root/io.containerd.content.v1.content/blobs/sha256" / digest.partition(":")[2]

    def keep(self, lease, kind, *names):
        """A new lease: containerd collects none of these "ingests" or "content", which need not be there yet."""
        self.containerd.call(f"{LEASES}/Create", encode([(1, lease)]))
        for name in names:
            self.containerd.call(f"{LEASES}/AddResource", encode([(1, lease), (2, [(1, name), (2, kind)])]))

    def ingests(self, image):
        """What is half-written of it, of which the next pull would make something wrong: kind -> size ("1.049MB")."""
        rows = [line.split() for line in self.containerd.ctr("content", "active").splitlines()[1:]]
        return {kind: row[1] for row in rows for kind, digest in image._asdict().items() if digest in row[0]}

    def check_content(self, image, reference):
        """Tag, ID and every byte; unpacked, too. Straight after the pull: a removal may take what it spoilt along."""
        self.assertEqual({}, self.ingests(image))
        self.assertEqual(image.index, self.containerd.store()[reference].digest)
        self.assertEqual(image.config, self.direct.image_status(reference).id)
        for digest in image:
            self.assertEqual(digest, "sha256:" + hashlib.sha256(self.blob_path(digest).read_bytes()).hexdigest())
        line = self.containerd.ctr("images", "check", f"name=={reference}").splitlines()[1]
        self.assertRegex(line, r"complete \(3/3\).* true$")

    def check_no_relay_name(self):
        wait_until(lambda: not [name for name in self.containerd.store() if name.startswith(RELAY_NAMES)],
                   "names of the relay stay")

    def wait_collected(self, image):
        """Until nothing of it is left: the next pull must fetch all of it."""
        wait_until(lambda: not [name for name, record in self.containerd.store().items()
                                if record.digest in (image.index, image.config)], "the image's names do not go")
        wait_until(lambda: not any(self.blob_path(digest).exists() for digest in image), "its content does not go")

    def remove(self, image):
        self.direct.remove_image(image.config)
        self.wait_collected(image)

    def pull_directly(self, image, reference):
        """By containerd alone, from its own upstream, with nothing of the image left; and removes it."""
        self.wait_collected(image)
        self.direct.pull(reference)
        self.check_content(image, reference)
        self.remove(image)
