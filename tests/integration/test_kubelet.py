# SPDX-License-Identifier: Apache-2.0
"""Kubelet's own sequences through the daemon, on every containerd."""
import json
import subprocess
import sys
import threading
import unittest

import grpc

from tests.fake import kubelet as fake
from tests.fake.grpc_gate import GrpcGate
from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Daemon, Folder, Images, Registry, wait_until
from tests.integration.harness.parts import ROOT, environment
from tests.integration.harness.wire import decode, encode

CONTAINERDS = ("1.6", "1.7", "2")
HOST, PRIVATE = "registry.example", "private.example"
RIGHT = {"username": "ann", "password": "right-secret"}
PULL = "/runtime.v1.ImageService/PullImage"
WRONG = {"username": "ann", "password": "wrong-secret"}
OTHER = {"username": "bob", "password": "no-such-user"}


class KubeletCase(unittest.TestCase):
    """One containerd, two registries and one daemon for all tests of a class."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder))
        cls.private = cls.enterClassContext(Registry(cls.folder, users={"ann": "right-secret"}))
        upstreams = {HOST: cls.registry.url, PRIVATE: cls.private.url, "docker.io": cls.registry.url}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=upstreams))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, upstreams))
        cls.images = Images(cls.folder)

    def kubelet(self, **options):
        made = self.enterContext(fake.Kubelet(self.daemon.socket, **options))
        self.assertTrue(made.image_fs_info())
        return made

    def assert_refused(self, kubelet, image, *arguments, candidates=()):
        """In containerd's own words."""
        with self.assertRaises(grpc.RpcError) as caught:
            kubelet.ensure_image(image, *arguments, candidates=candidates, verified=False)
        _, _, rest = image.partition("/")
        repository, reference = rest.split("@" if "@" in rest else ":", 1)
        why = f"unexpected status from HEAD request to {self.private.url}/v2/{repository}/manifests/{reference}: 401 Unauthorized"
        if not candidates:
            why = ("pull access denied, repository does not exist or may require authorization: "
                   "authorization failed: no basic auth credentials")
        self.assertEqual((caught.exception.code(), caught.exception.details()), (grpc.StatusCode.UNKNOWN, (
            f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {why}')))


class PublicImages(KubeletCase):
    def test_every_way_to_write_an_image(self):
        digest = self.images.push(self.registry, "team/app", "stable", "public")
        self.registry.put_tag("team/app", "latest", "stable")
        self.registry.put_tag("library/tool", "latest", self.copy("team/app", "library/tool", digest))
        kubelet = self.kubelet()
        for pod_image in ("tool", "tool:latest", "docker.io/tool", "library/tool", f"tool@{digest}",
                          f"{HOST}/team/app", f"{HOST}/team/app:stable", f"{HOST}/team/app:stable@{digest}",
                          f"{HOST}/team/app@{digest}"):
            for policy in ("Always", "IfNotPresent", "Never"):
                with self.subTest(pod_image, policy=policy):
                    image_ref = kubelet.ensure_image(pod_image, policy)
                    self.assertEqual(kubelet.image_status(image_ref).id, image_ref)

    def copy(self, source, target, digest):
        """The blobs and the manifest of an image in another repository of the registry."""
        body, media_type = self.registry.manifest(source, digest)
        manifest = json.loads(body)
        for blob in (manifest["config"], *manifest["layers"]):
            path = f"/v2/{target}/blobs/uploads/?mount={blob['digest']}&from={source}"
            status, _, text = self.registry.call("POST", path)
            self.assertEqual(status, 201, text)
        return self.registry.put_manifest(target, digest, body, media_type)

    def test_moved_tag_with_both_authorities_and_versions(self):
        versions = ("v1",) if self.containerd.which == "2" else ("v1", "v1alpha2")
        seen = set()
        for version in versions:
            for authority in fake.authorities(self.daemon.socket):
                with self.subTest(version=version, authority=authority):
                    kubelet = self.kubelet(version=version, authority=authority)
                    self.images.push(self.registry, "team/moving", "stable", f"{version} {authority}")
                    image_ref = kubelet.ensure_image(f"{HOST}/team/moving:stable", "Always")
                    self.assertNotIn(image_ref, seen)
                    seen.add(image_ref)
                    self.assertEqual(kubelet.ensure_image(f"{HOST}/team/moving:stable"), image_ref)

    def test_never_asks_no_registry(self):
        asked = self.registry.count("HEAD", "team/absent")
        with self.assertRaises(fake.KubeletError):
            self.kubelet().ensure_image(f"{HOST}/team/absent:1", "Never")
        self.assertEqual(self.registry.count("HEAD", "team/absent"), asked)

    def test_garbage_collection_by_id(self):
        self.images.push(self.registry, "team/garbage", "1", "garbage")
        kubelet = self.kubelet()
        image_ref = kubelet.ensure_image(f"{HOST}/team/garbage:1", "Always")
        kubelet.remove_image(image_ref)
        self.assertIsNone(kubelet.image_status(f"{HOST}/team/garbage:1"))
        self.assertNotIn(image_ref, [image.id for image in kubelet.list_images()])
        self.assertEqual(kubelet.ensure_image(f"{HOST}/team/garbage:1"), image_ref)


class PrivateImages(KubeletCase):
    def test_each_candidate_in_turn(self):
        self.images.push(self.private, "team/turn", "1", "turn")
        kubelet = self.kubelet()
        self.assert_refused(kubelet, f"{PRIVATE}/team/turn:1", candidates=(OTHER, WRONG))
        self.assertIsNone(kubelet.image_status(f"{PRIVATE}/team/turn:1"))
        image_ref = kubelet.ensure_image(f"{PRIVATE}/team/turn:1", candidates=(OTHER, WRONG, RIGHT))
        self.assertEqual(kubelet.image_status(f"{PRIVATE}/team/turn:1").id, image_ref)

    def test_a_present_image_is_no_proof(self):
        """KEP-2535: kubelet pulls a present image to see whether the pod's credentials are good."""
        digest = self.images.push(self.private, "team/present", "1", "present")
        kubelet = self.kubelet()
        for image in (f"{PRIVATE}/team/present:1", f"{PRIVATE}/team/present@{digest}"):
            image_ref = kubelet.ensure_image(image, candidates=(RIGHT,))
            pulls = len(self.containerd.pulls())
            for candidates in ((), (WRONG,), (OTHER, WRONG)):
                with self.subTest(image, candidates=candidates):
                    self.assert_refused(kubelet, image, candidates=candidates)
                    self.assert_refused(kubelet, image, "Always", candidates=candidates)
            self.assertEqual(kubelet.ensure_image(image, verified=False, candidates=(WRONG, RIGHT)), image_ref)
            self.assertEqual(len(self.containerd.pulls()), pulls, "a check of credentials needs no pull")

    def test_no_answer_is_shared_across_credentials(self):
        """Right and wrong at the same moment, again and again: each gets its own answer."""
        self.images.push(self.private, "team/shared", "1", "shared")
        kubelet = self.kubelet()
        kubelet.ensure_image(f"{PRIVATE}/team/shared:1", candidates=(RIGHT,))
        outcomes, lock = [], threading.Lock()

        def pull(credentials):
            try:
                kubelet.pull_image(f"{PRIVATE}/team/shared:1", credentials)
                outcome = "ok"
            except grpc.RpcError as error:
                outcome = error.code().name
            with lock:
                outcomes.append((credentials["password"], outcome))

        threads = [threading.Thread(target=pull, args=(credentials,)) for credentials in (RIGHT, WRONG, OTHER) * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(outcomes), sorted([("right-secret", "ok"), ("wrong-secret", "UNKNOWN"),
                                                   ("no-such-user", "UNKNOWN")] * 8))


class BehindAGate(unittest.TestCase):
    """The daemon's calls to CRI go through a gate, and its registry holds what a test wants."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.gate = cls.enterClassContext(GrpcGate(cls.folder.sub("gate") / "g.sock", cls.containerd.socket))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {HOST: cls.registry.url}, shim={
            "backend": f"unix://{cls.gate.socket}", "containerd": f"unix://{cls.containerd.socket}"}))

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1]
        self.image = f"{HOST}/{self.repository}:stable"
        self.digest = self.registry.image(self.repository, "stable", self.repository)
        self.addCleanup(self.registry.rules, [])

    def start_kubelet(self):
        """A kubelet in the middle of a pull, as a process that can be killed."""
        job = {"socket": str(self.daemon.socket), "image": self.image}
        child = subprocess.Popen([sys.executable, "-m", "tests.fake.kubelet"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True, env=environment(PYTHONPATH=ROOT))
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        child.stdin.write(json.dumps(job))
        child.stdin.close()
        self.assertEqual(child.stdout.readline(), "dialled\n")
        return child

    def tag(self):
        record = self.containerd.store().get(self.image)
        return record and record.digest

    def pull_lines(self):
        return [line for line in self.daemon.log().splitlines() if f"reference={self.image}" in line.replace('"', "")]

    def test_everything_else_stays_as_it_came(self):
        """Only the image's name and the credentials may change on the way to containerd."""
        annotations = {"kubernetes.io/config.source": "api", "\u00e4": "\u2603"}
        spec = encode([(1, self.image), (2, annotations), (18, "as the user wrote it"), (77, b"\x00\xff unknown")])
        sandbox = fake.sandbox_config("pod", "uid-1", annotations, {"app": "x"}) + encode([(99, b"\x01\x02"), (98, 7)])
        # a PodSandboxConfig as no encoder would write it: an overlong varint and a field that comes twice
        sandbox += b"\x90\x06\x81\x80\x00" + encode([(97, "first"), (97, "second")])
        request = encode([(1, spec), (2, [(1, "ann"), (2, "word"), (55, "unknown")]), (3, sandbox), (88, "unknown")])
        with fake.Kubelet(self.daemon.socket) as kubelet:
            kubelet.call(PULL, request)
        seen = decode(self.gate.requests[PULL][-1])
        self.assertEqual(seen.message(1).text(1), f"{HOST}/{self.repository}@{self.digest}")
        self.assertEqual(self.without(seen[1][0], 1), self.without(spec, 1))
        self.assertEqual(seen.message(2), {1: [b"ann"], 2: [b"word"], 4: [self.registry.url.encode()], 55: [b"unknown"]})
        self.assertEqual(seen[3], [sandbox])
        self.assertEqual(seen[88], [b"unknown"])
        self.assertEqual(set(seen), {1, 2, 3, 88})

    @staticmethod
    def without(message, number):
        return {key: value for key, value in decode(message).items() if key != number}

    def test_no_credentials_stay_none(self):
        """An AuthConfig that kubelet did not send does not come into being with anything secret in it."""
        with fake.Kubelet(self.daemon.socket) as kubelet:
            kubelet.pull_image(self.image)
        auth = decode(self.gate.requests[PULL][-1]).message(2)
        self.assertEqual(auth or {}, {4: [self.registry.url.encode()]} if auth else {})

    def test_exit_in_the_middle(self):
        """Nobody wants the pull any more: containerd stops it, and no tag appears."""
        self.registry.rules([{"path": "/blobs/", "hold": "blob"}])
        child = self.start_kubelet()
        self.registry.wait(path=f"{self.repository}/blobs/", state="held")
        child.kill()
        self.registry.wait(path=f"{self.repository}/blobs/", state="gone")
        wait_until(self.pull_lines, "the pull's end is logged")
        self.assertIsNone(self.tag())
        self.registry.rules([])
        with fake.Kubelet(self.daemon.socket) as kubelet:
            kubelet.ensure_image(self.image)
        self.assertEqual(self.tag(), self.digest)

    def test_exit_after_containerd_has_finished(self):
        """containerd has the image, its answer is on the way, kubelet dies: the tag is written all the same."""
        held = self.gate.hold(PULL)
        child = self.start_kubelet()
        held.wait_arrived()
        self.assertIsNone(self.tag())
        child.kill()
        held.wait_gone()
        wait_until(lambda: self.tag() == self.digest, "the tag is written")
        with fake.Kubelet(self.daemon.socket) as kubelet:
            kubelet.image_fs_info()
            pulls = len(self.gate.requests[PULL])
            self.assertEqual(kubelet.ensure_image(self.image, "Always"), kubelet.ensure_image(self.image, "Never"))
            self.assertEqual(len(self.gate.requests[PULL]), pulls, "what is finished is pulled no more")

    def test_one_of_two_exits(self):
        """A pull that two wait for goes on for the other one."""
        self.registry.rules([{"path": "/blobs/", "hold": "blob"}])
        child = self.start_kubelet()
        self.registry.wait(path=f"{self.repository}/blobs/", state="held")
        heads = len(self.registry.log("HEAD", f"{self.repository}/manifests/stable"))
        with fake.Kubelet(self.daemon.socket) as kubelet:
            other = kubelet.pull_future(self.image)
            self.registry.wait(heads + 1, f"{self.repository}/manifests/stable", "HEAD", "answered")
            child.kill()
            child.wait()
            self.registry.rules([])
            self.registry.release("blob")
            self.assertTrue(decode(other.result()).text(1))
        self.assertEqual(self.tag(), self.digest)


class Boot(unittest.TestCase):
    def test_the_first_call_waits_for_containerd(self):
        """Kubelet exits when its first ImageFsInfo fails, and nothing says who boots first."""
        with Folder() as folder:
            containerd = Containerd(folder)
            try:
                with Daemon(folder, containerd, wait=False) as daemon, fake.Kubelet(daemon.socket) as kubelet:
                    first = kubelet.method("/runtime.v1.ImageService/ImageFsInfo").future(
                        b"", wait_for_ready=True, timeout=60)
                    self.assertFalse(first.done())
                    containerd.__enter__()
                    self.assertTrue(first.result())
            finally:
                containerd.__exit__()


if __name__ == "__main__":
    unittest.main()
