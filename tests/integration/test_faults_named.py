# SPDX-License-Identifier: Apache-2.0
"""Where nothing is healthy, the error names each source and why it failed, whatever there is to say of the others."""
import unittest

import grpc

from tests.fake.mirror import FakeMirrors
from tests.integration.content_case import ContentCase
from tests.integration.faults import failures_of
from tests.integration.harness import Containerd, Cri, Daemon, Folder, free_port

CONTAINERDS = ("1.6", "1.7", "2")
MIRRORS = {"two.example": 2, "three.example": 3}


class Named(ContentCase):
    """An upstream for each number of mirrors."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeMirrors(cls.folder))
        cls.ports = {host: cls.upstream.open_ports(count) for host, count in MIRRORS.items()}
        relay_port = free_port()
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=dict.fromkeys(
            MIRRORS, cls.upstream.url)))
        cls.containerd.set_upstream(f"127.0.0.1_{relay_port}_", f"http://127.0.0.1:{relay_port}")
        entries = {host: {"server": cls.upstream.url, "mirrors": cls.urls(host)} for host in MIRRORS}
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, entries, relay={"port": relay_port}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))

    @classmethod
    def urls(cls, host):
        return [f"http://127.0.0.1:{port}" for port in cls.ports[host]]

    def setUp(self):
        self.repo = "named/" + self.id().rpartition(".")[2].replace("_", "-")
        self.image = self.upstream.mirrored_image(self.repo, "stable", self.repo)
        self.blobs = f"^/v2/{self.repo}/blobs/"
        self.addCleanup(self.upstream.rules, [])

    def rule(self, port, path, status):
        return {"port": port, "method": "GET", "path": path, "status": status}

    def expect(self, host, whys):
        """The pull fails; these are the reasons, of the mirrors in their order and of the upstream. Then it heals."""
        reference, sources = f"{host}/{self.repo}:stable", [*self.urls(host), host]
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(reference)
        message = caught.exception.details()
        failures = failures_of(message)
        self.assertEqual(sources, list(failures), message)
        for source, why in zip(sources, whys):
            self.assertRegex(failures[source], why, source)
            self.assertNotIn("sha256:", failures[source], "the path of a URL is of no use")
        self.upstream.rules([])
        self.assertEqual(self.image.config, self.cri.pull(reference))
        self.check_content(self.image, reference)
        self.check_no_relay_name()
        self.remove(self.image)

    def test_a_mirror_without_a_single_blob(self):
        """It is left for each of them; that leaves room for those who have all but one."""
        first, second = self.ports["two.example"]
        self.upstream.rules([self.rule(first, self.blobs, 404), self.rule(second, self.image.big, 500),
                             self.rule(self.upstream.port, self.image.big, 500)])
        self.expect("two.example", ["404|not found", "500 Internal Server Error", "500 Internal Server Error"])

    def test_three_mirrors(self):
        first, second, third = self.ports["three.example"]
        self.upstream.rules([self.rule(first, self.blobs, 404), self.rule(second, self.blobs, 403),
                             self.rule(third, self.blobs, 503), self.rule(self.upstream.port, self.blobs, 500)])
        self.expect("three.example", ["404|not found", "403", "503 Service Unavailable", "500 Internal Server Error"])


if __name__ == "__main__":
    unittest.main()
