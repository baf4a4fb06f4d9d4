# SPDX-License-Identifier: Apache-2.0
"""Many pulls at once over mirrors: of images that share a spoilt layer, of one image by a crowd, and over what
containerd had spoilt before we came. CRI_RESOLVED_FULL=1: more rounds of it."""
import base64
import concurrent.futures
import json
import os
import re
import threading
import unittest

import grpc

from tests.fake.mirror import FakeMirrors, noise
from tests.fake.registry_client import CONFIG, LAYER, MANIFEST
from tests.integration.content_case import ContentCase
from tests.integration.harness import Containerd, Cri, Daemon, Folder, free_port
from tests.integration.harness.cri import auth_config

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 600
FULL = os.environ.get("CRI_RESOLVED_FULL") == "1"
SHARED_ROUNDS, CROWD_ROUNDS, SPOILT_ROUNDS = (50, 20, 20) if FULL else (8, 4, 3)
BIG_BYTES = 1 << 20
CROWD = 12


def at_once(jobs):
    """Runs them together; their results, or the first exception."""
    start = threading.Barrier(len(jobs))

    def run(job):
        start.wait()
        return job()
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(run, job) for job in jobs]]


class MirrorCase(ContentCase):
    """An upstream, and hosts with a mirror each: HOSTS of them."""

    HOSTS = ()
    RELAY = {}

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeMirrors(cls.folder))
        cls.ports = dict(zip(cls.HOSTS, cls.upstream.open_ports(len(cls.HOSTS))))
        hosts, relay_port = dict.fromkeys(cls.HOSTS, cls.upstream.url), free_port()
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=hosts))
        cls.containerd.set_upstream(f"127.0.0.1_{relay_port}_", f"http://127.0.0.1:{relay_port}")
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, cls.entries(),
                                                  relay={"port": relay_port, **cls.RELAY}))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))

    @classmethod
    def entries(cls):
        return {host: {"server": cls.upstream.url, "mirrors": [f"http://127.0.0.1:{port}"]}
                for host, port in cls.ports.items()}

    def setUp(self):
        self.addCleanup(self.upstream.rules, [])

    def client(self):
        return self.enterContext(Cri(self.daemon.socket))

    def pull(self, client, reference, auth=None):
        """The image_ref; a failure comes with the daemon's words about it."""
        try:
            return client.pull(reference, auth)
        except grpc.RpcError as error:
            host = reference.partition("/")[0]
            lines = [line for line in self.daemon.log().splitlines() if host in line]
            self.fail("\n".join([f"{error.code().name} {error.details()}", *lines[-40:]]))

    def gets(self, port, repo):
        """What a port was asked for of a repository's content, in order."""
        return [entry["path"].rpartition("/")[2] for entry in self.upstream.log("GET", f"/v2/{repo}/")
                if entry["port"] == port]


class SharedLayer(MirrorCase):
    """The mirror of a round is wrong about the layer that two images share."""

    HOSTS = tuple(f"round-{number}.example" for number in range(SHARED_ROUNDS))

    def test_both_always_succeed(self):
        clients = [self.client(), self.client()]
        for number, (host, port) in enumerate(self.ports.items()):
            with self.subTest(host):
                self._round(clients, number, host, port)

    def _round(self, clients, number, host, port):
        layer, repos = noise(host, BIG_BYTES), [f"round-{number}/{name}" for name in ("one", "two")]
        images = [self.upstream.mirrored_image(repo, "stable", repo, layer) for repo in repos]
        self.assertEqual(images[0].big, images[1].big)
        at = (0, BIG_BYTES // 2, BIG_BYTES - 10)[number % 3]  # the last of these is in what is held back
        self.upstream.rules([{"port": port, "path": images[0].big, "corrupt": at, "name": "corrupt"}])
        references = [f"{host}/{repo}:stable" for repo in repos]
        got = at_once([lambda c=client, r=reference: self.pull(c, r) for client, reference in zip(clients, references)])
        self.assertEqual([image.config for image in images], got)
        for image, reference in zip(images, references):
            self.check_content(image, reference)
        self.assertIn("corrupt", [entry["rule"] for entry in self.upstream.log("GET", images[0].big)])
        self.check_no_relay_name()
        for image in images:
            self.direct.remove_image(image.config)
        for image, reference in zip(images, references):
            self.pull_directly(image, reference)


class Crowd(MirrorCase):
    """One image, many callers."""

    HOSTS = ("crowd.example",)
    USERS = {f"user-{number}": f"word-{number}" for number in range(CROWD)}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream.auth({".*": {"scheme": "basic", "users": cls.USERS}})

    def setUp(self):
        super().setUp()
        self.clients = [self.client() for _ in range(CROWD)]

    @staticmethod
    def auth(user, word=None):
        return auth_config(username=user, password=word or Crowd.USERS[user])

    def heads(self, repo):
        """The users for whom the upstream said what the tag is, in order."""
        found = []
        for entry in self.upstream.log("HEAD", f"/v2/{repo}/manifests/stable"):
            if entry["port"] == self.upstream.port and entry["status"] == 200:
                value = {name.lower(): value for name, value in entry["headers"]}["authorization"]
                found.append(base64.b64decode(value.partition(" ")[2]).decode().partition(":")[0])
        return found

    def check(self, image, repo, got):
        reference = f"crowd.example/{repo}:stable"
        self.assertEqual([image.config] * CROWD, got)
        self.check_content(image, reference)
        self.assertEqual(sorted(image), sorted(self.gets(self.ports["crowd.example"], repo)), "one GET per object")
        self.assertEqual([], self.gets(self.upstream.port, repo), "the mirror has it all")
        self.check_no_relay_name()
        self.remove(image)

    def test_each_with_credentials_of_its_own(self):
        for number in range(CROWD_ROUNDS // 2):
            with self.subTest(number):
                repo = f"crowd/each-{number}"
                image, reference = self.upstream.mirrored_image(repo, "stable", repo), f"crowd.example/{repo}:stable"
                jobs = [lambda c=client, u=user: self.pull(c, reference, self.auth(u))
                        for client, user in zip(self.clients, self.USERS)]
                *got, refused = at_once([*jobs, lambda: self._refused(reference)])
                self.assertIn("401", refused)
                self.assertEqual(sorted(self.USERS), sorted(self.heads(repo)))
                self.check(image, repo, got)

    def _refused(self, reference):
        """Somebody with a wrong password, in the middle of the crowd: the error."""
        with self.assertRaises(grpc.RpcError) as caught, Cri(self.daemon.socket) as cri:
            cri.pull(reference, self.auth("user-0", "not-the-word"))
        return caught.exception.details()

    def test_all_with_the_same_credentials(self):
        for number in range(CROWD_ROUNDS - CROWD_ROUNDS // 2):
            with self.subTest(number):
                repo = f"crowd/same-{number}"
                image, reference = self.upstream.mirrored_image(repo, "stable", repo), f"crowd.example/{repo}:stable"
                self.upstream.rules([{"port": self.upstream.port, "method": "HEAD", "path": f"/{repo}/", "hold": repo,
                                      "times": 1}])
                first = self.clients[0].pull_future(reference, self.auth("user-0"))
                self.upstream.wait(path=f"/{repo}/", state="held")
                more = [self.clients[1].pull_future(reference, self.auth("user-0")) for _ in range(CROWD - 1)]
                self._wait_until_read(self.clients[1], f"{repo}-last")
                self.upstream.release(repo)
                got = [future.result() for future in (first, *more)]
                self.assertEqual(1, len(set(got)))
                heads = self.heads(repo)
                self.assertEqual({"user-0"}, set(heads))
                self.assertLess(len(heads), CROWD, "they share their HEADs")
                self.check(image, repo, [image.config for answer in got if image.config.encode() in answer])

    def _wait_until_read(self, client, repo):
        """Until the daemon has read what the client sent before: a later request of it has an effect."""
        last = client.pull_future(f"crowd.example/{repo}:stable", self.auth("user-1"))
        self.upstream.wait(path=f"/v2/{repo}/manifests/stable")
        last.cancel()


class SpoiltBefore(MirrorCase):
    """containerd's own mirror lied while nobody was there to help: the ingest stays, and spoils every later pull.
    (Until containerd collects it, which may be at once or never: a lease makes sure that it is there.)"""

    HOSTS = tuple(f"{kind}-{number}.example" for kind in ("mirrored", "direct", "lying")
                  for number in range(SPOILT_ROUNDS))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.liar, = cls.upstream.open_ports(1)
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    @classmethod
    def entries(cls):
        return {host: {"server": cls.upstream.url} if host.startswith("direct") else entry
                for host, entry in super().entries().items()}

    def spoil(self, host):
        """(image, reference), after a pull by containerd alone."""
        repo, reference = f"team/{host}", f"{host}/team/{host}:stable"
        image = self.upstream.mirrored_image(repo, "stable", host)
        self.upstream.rules([{"port": self.liar, "path": image.big, "corrupt": 500000}])
        self.keep(host, "ingests", f"layer-{image.big}")
        self.containerd.set_upstream(host, self.upstream.url, f"http://127.0.0.1:{self.liar}")
        self.assert_spoilt(image, reference)
        return image, reference

    def assert_spoilt(self, image, reference):
        """Another pull by containerd fails as well. (It may also trip over snapshots that it collects.)"""
        with self.assertRaises(grpc.RpcError) as caught:
            self.direct.pull(reference)
        self.assertRegex(caught.exception.details(), "unexpected commit digest|parent snapshot .* does not exist")
        self.assertIn(f"layer-{image.big}", self.containerd.ctr("content", "active"))

    def heal(self, image, host, reference):
        """containerd has no such mirror any more: that does not help it."""
        self.containerd.set_upstream(host, self.upstream.url)
        self.assert_spoilt(image, reference)

    def then_pulled(self, kind, healed=True):
        for host in (host for host in self.HOSTS if host.startswith(kind)):
            with self.subTest(host):
                image, reference = self.spoil(host)
                if healed:
                    self.heal(image, host, reference)
                self.assertEqual(image.config, self.pull(self.cri, reference))
                self.check_content(image, reference)
                self.check_no_relay_name()
                self.containerd.set_upstream(host, self.upstream.url)
                self.direct.remove_image(image.config)
                self.pull_directly(image, reference)

    def test_then_pulled_over_a_mirror(self):
        self.then_pulled("mirrored")

    def test_then_pulled_directly(self):
        self.then_pulled("direct")

    def test_while_it_still_lies(self):
        """Ours is asked, containerd's is not."""
        self.then_pulled("lying", healed=False)


class OtherRoles(MirrorCase):
    """containerd has an ingest of a digest for each role: what one image has as a layer, another one's author may call its
    config, or give a name. Aborts go by the whole ref."""

    HOSTS = ("victim.example", "attacker.example", "victim-direct.example", "attacker-direct.example")
    RELAY = {"first_byte_timeout": "60s", "stall_timeout": "60s"}
    AT = 300000

    @classmethod
    def entries(cls):
        return {host: {"server": cls.upstream.url} if "-direct" in host else entry
                for host, entry in super().entries().items()}

    def setUp(self):
        super().setUp()
        self.repo = f"roles/{self.id().rpartition('.')[2].replace('_', '-')}"
        self.image = self.upstream.mirrored_image(self.repo, "stable", self.repo)
        self.evil = f"{self.repo}-evil"
        self.size = len(self.upstream.get(f"{self.repo}/blobs/{self.image.big}")[0])
        self.config_ref, self.layer_ref = f"config-{self.image.big}", f"layer-{self.image.big}"

    def borrow(self):
        """An image whose config is the victim's layer, and gets junk for it."""
        small = {"mediaType": LAYER, "digest": self.image.small,
                 "size": len(self.upstream.get(f"{self.repo}/blobs/{self.image.small}")[0])}
        self.upstream.put_manifest(self.evil, "stable", {
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [small],
            "config": {"mediaType": CONFIG, "digest": self.image.big, "size": self.size}})
        self.keep(self.evil, "ingests", self.config_ref)
    def aborted(self):
        """The refs that were aborted of the digest."""
        lines = self.daemon.lines(f"a spoilt ingest was aborted.*{self.image.big}")
        return {re.search(r" ref=(\S+)", line).group(1) for line in lines}

    def attack(self, victim, attacker):
        """containerd lets one pull after the other have a digest: the victim has its turn when the attacker's pull has
        failed, and writes its layer while we abort what that one has left. The GETs for the victim's layer."""
        self.borrow()
        junk, layer = f"/{self.evil}/blobs/{self.image.big}", f"/{self.repo}/blobs/{self.image.big}"
        self.upstream.rules([{"path": junk, "corrupt": self.AT, "hold": self.evil, "times": 1},
                             {"path": junk, "corrupt": self.AT}, {"path": layer, "hold": self.repo}])
        attackers = self.client().pull_future(f"{attacker}/{self.evil}:stable")
        self.upstream.wait(path=junk, state="held")
        before, reference = self.upstream.log()[-1]["sequence"], f"{victim}/{self.repo}:stable"
        victims = self.client().pull_future(reference)
        self.upstream.wait(path=f"/{self.repo}/blobs/{self.image.config}", state="answered", after=before)
        self.upstream.release(self.evil)
        self.upstream.wait(path=layer, state="held")
        self.daemon.wait_line(f"a spoilt ingest was aborted.*{self.image.big}")
        self.assertIn(f"{self.layer_ref}\t", self.containerd.ctr("content", "active"))
        self.upstream.rules([{"path": junk, "corrupt": self.AT}])
        self.assertEqual(1, self.upstream.release(self.repo))
        self.assertIn(self.image.config.encode(), victims.result())
        with self.assertRaises(grpc.RpcError):  # it has what it asked for, or not: it is no image
            attackers.result()
        self.assertEqual({self.config_ref}, self.aborted())
        self.check_content(self.image, reference)
        self.remove(self.image)
        return len([entry for entry in self.upstream.log("GET", layer) if entry["sequence"] > before])

    def test_direct_beside_direct(self):
        self.assertEqual(1, self.attack("victim-direct.example", "attacker-direct.example"), "nobody disturbed it")

    def test_relayed_beside_direct(self):
        self.assertEqual(1, self.attack("victim-direct.example", "attacker.example"), "nobody disturbed it")

    def test_relayed_beside_relayed(self):
        self.attack("victim.example", "attacker.example")

    def test_layer_with_a_name(self):
        """containerd's ref has the name in it; what an honest author calls a layer must not keep it spoilt."""
        for host in ("victim-direct.example", "victim.example"):
            with self.subTest(host):
                repo, ref = f"{self.repo}-{host.partition('.')[0]}", f"layer-v1.0-rc@{self.image.big}"
                body = json.loads(self.upstream.get(f"{self.repo}/manifests/{self.image.manifest}")[0])
                body["layers"][1]["annotations"] = {"org.opencontainers.image.ref.name": "v1.0-rc"}
                digest = self.upstream.put_manifest(repo, "stable", body)
                image = self.image._replace(index=digest, manifest=digest)
                self.upstream.rules([{"path": f"/{repo}/blobs/{image.big}", "corrupt": self.AT, "times": 1}])
                self.keep(repo, "ingests", ref)
                reference = f"{host}/{repo}:stable"
                self.assertEqual(image.config, self.pull(self.client(), reference))
                self.check_content(image, reference)
                self.assertIn(ref, self.aborted())
                self.remove(image)


if __name__ == "__main__":
    unittest.main()
