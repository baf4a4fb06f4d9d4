# SPDX-License-Identifier: Apache-2.0
"""A mirror as Harbor and Artifactory are: behind TLS of a CA that nobody else knows, below a path, for those alone who show a
certificate and a header. All of that is said in [mirror."..."], and nothing of it goes to anybody else."""
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Content, Cri, Daemon, Folder, ShowsLogs
from tests.integration.harness.images import self_signed

CONTAINERDS = ("1.6", "1.7", "2")
NODE, PREFIX, TEAM, TOKEN = "node-7", "proxies/example", "platform", "s3cr3t-token"
BELOW, HARBOR, NO_CA, NO_CERTIFICATE = "below.example", "harbor.example", "no-ca.example", "no-certificate.example"
HOSTS = (BELOW, HARBOR, NO_CA, NO_CERTIFICATE)
LACK = {NO_CA: ("ca",), NO_CERTIFICATE: ("client_cert", "client_key")}


class Mirrors(ShowsLogs, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        server, client = self_signed(cls.folder, "mirror"), self_signed(cls.folder, NODE)
        cls.mirrors = {host: cls.enterClassContext(FakeRegistry(cls.folder, server, client[0], name=f"mirror-of-{host}"))
                       for host in HOSTS}
        token = cls.folder.path / "token"
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        whole = {"ca": server[0], "client_cert": client[0], "client_key": client[1],
                 "headers": {"X-Team": TEAM, "X-Token": {"file": str(token)}}}
        for mirror in cls.mirrors.values():
            mirror.rules([{"path": f"^/{PREFIX}/v2/", "strip": f"/{PREFIX}"}])
        cls.urls = {host: f"{mirror.url}/v2/{PREFIX}" if host == HARBOR else f"{mirror.url}/{PREFIX}"
                    for host, mirror in cls.mirrors.items()}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=dict.fromkeys(HOSTS, cls.upstream.url)))
        cls.daemon = cls.enterClassContext(Daemon(
            cls.folder, cls.containerd,
            {host: {"server": cls.upstream.url, "mirrors": [url]} for host, url in cls.urls.items()},
            mirrors={url: {key: value for key, value in whole.items() if key not in LACK.get(host, ())}
                     for host, url in cls.urls.items()}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    def setUp(self):
        self.upstream.clear_log()

    def pull(self, host):
        """(an image that was pulled, the line about it)"""
        content = Content(f"{self.id()} {host}", (3_000, 400_000))
        content.push(self.upstream, "team/app", "v1")
        content.push(self.mirrors[host], f"{PREFIX}/team/app" if host == HARBOR else "team/app", "v1")
        reference = f"{host}/team/app:v1"
        self.assertEqual(content.id, self.cri.pull(reference))
        self.assertEqual(content.digest, self.containerd.store()[reference].digest)
        return content, self.daemon.wait_line(f" pull reference={reference} ")[-1]

    def gets(self, party):
        return [entry["path"].rpartition("/")[2] for entry in party.log("GET", "/v2/")]

    def test_one_below_a_path(self):
        self.assert_used(BELOW, f"/{PREFIX}/v2/team/app/")

    def test_one_with_a_path_below_its_api(self):
        """As Harbor's proxy projects are."""
        self.assert_used(HARBOR, f"/v2/{PREFIX}/team/app/")

    def assert_used(self, host, path):
        mirror = self.mirrors[host]
        content, line = self.pull(host)
        self.assertRegex(line, rf'\bsource=relay\b.*mirrors="{self.urls[host]}: \d+ bytes"')
        self.assertEqual(sorted([content.digest, *content.blobs]), sorted(self.gets(mirror)))
        for entry in mirror.log():
            headers = dict(entry["headers"])
            self.assertEqual((NODE, True, TEAM, TOKEN), (entry["client"], entry["tls"], headers.get("X-Team"),
                                                         headers.get("X-Token")), entry)
            self.assertTrue(entry["path"].startswith(path), entry["path"])
        self.assertEqual([], self.gets(self.upstream), "the mirror has it all")
        self.assertNotIn(TEAM, str(self.upstream.log()))
        self.assertNotIn(TOKEN, str(self.upstream.log()) + self.daemon.log())

    def test_one_whose_ca_is_not_named(self):
        self.assert_left(NO_CA, "certificate")

    def test_one_that_is_shown_no_certificate(self):
        self.assert_left(NO_CERTIFICATE)

    def assert_left(self, host, why=""):
        """The mirror hears nothing; the upstream is asked."""
        content, line = self.pull(host)
        self.assertNotRegex(line, rf"{self.urls[host]}: \d+ bytes")
        self.assertEqual([], self.mirrors[host].log())
        self.assertEqual(set(self.gets(self.upstream)), {content.digest, *content.blobs})
        found = self.daemon.lines(rf'source failed .*source={self.urls[host]} .*error="[^"]*{why}')
        self.assertNotEqual([], found)


if __name__ == "__main__":
    unittest.main()
