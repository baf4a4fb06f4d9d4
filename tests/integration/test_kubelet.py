# SPDX-License-Identifier: Apache-2.0
"""Kubelet's own sequences through the daemon, on every containerd."""
import json
import subprocess
import sys
import threading
import unittest

import grpc

from tests.fake import kubelet as fake
from tests.integration.harness import Containerd, Daemon, Folder, Images, Registry
from tests.integration.harness.parts import ROOT, environment

CONTAINERDS = ("1.6", "1.7", "2")
HOST, PRIVATE = "registry.example", "private.example"
RIGHT = {"username": "ann", "password": "right-secret"}
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


def kubelet_process(job):
    """A kubelet that can be killed; returns once it has dialled."""
    child = subprocess.Popen([sys.executable, "-m", "tests.fake.kubelet"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, env=environment(PYTHONPATH=ROOT))
    child.stdin.write(json.dumps(job))
    child.stdin.close()
    assert child.stdout.readline() == "dialled\n"
    return child


if __name__ == "__main__":
    unittest.main()
