# SPDX-License-Identifier: Apache-2.0
"""Pulls through cri-resolved on a real containerd leave what a native tag pull leaves, and cost what
they must. The module runs once for each containerd (1.6, 1.7, 2.x), driven by crictl."""
import contextlib
import unittest

import grpc

from tests.integration.harness import (Containerd, Cri, Crictl, Daemon, Folder, Images, Registry, ShowsLogs, run_pod,
                                       wait_until)
from tests.integration.harness.cri import auth_config
from tests.integration.harness.images import PAUSE

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 300

OWN_LABEL = "cri-resolved/verified"
MANAGED = "io.cri-containerd.image"
USER, WORD = "node", "correct-horse"
WRONG = "battery-staple"
# 1.6 words a missing credential as a wrong one; the later ones have words of their own for it
REFUSED = "401 Unauthorized|no basic auth credentials"


class Stage:
    """The parts, once for the whole module."""

    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        self.registry = stack.enter_context(Registry(self.folder))
        self.private = stack.enter_context(Registry(self.folder, users={USER: WORD}, name="private"))
        upstreams = {"ghcr.io": self.registry.url, "docker.io": self.registry.url,
                     "private.example": self.private.url}
        self.containerd = stack.enter_context(Containerd(self.folder, upstreams=upstreams))
        self.containerd.push_pause()
        self.daemon = stack.enter_context(Daemon(self.folder, self.containerd, upstreams=upstreams))
        self.images = Images(self.folder)
        self.ours = Crictl(self.folder, self.daemon.socket)
        self.native = Crictl(self.folder, self.containerd.socket)
        self.cri = stack.enter_context(Cri(self.daemon.socket))
        self.native_cri = stack.enter_context(Cri(self.containerd.socket))


stage = None
stack = contextlib.ExitStack()


def setUpModule():
    global stage
    unittest.addModuleCleanup(stack.close)
    stage = Stage(stack)


class Case(ShowsLogs, unittest.TestCase):
    """What the tests share. A failure prints the daemon's and containerd's last lines."""

    maxDiff = None

    def setUp(self):
        self.registry, self.containerd, self.images = stage.registry, stage.containerd, stage.images
        self.ours, self.native, self.cri, self.native_cri = stage.ours, stage.native, stage.cri, stage.native_cri

    def folder_of_logs(self):
        return stage and stage.folder

    def records(self, *parts):
        """Records whose name or target belongs to the repositories or digests named."""
        store = self.containerd.store()
        digests = {record.digest for name, record in store.items() if any(part in name for part in parts)}
        return {name: record for name, record in store.items() if record.digest in digests}

    def settled(self, *parts):
        """The same, once containerd's own event handler has labelled them all."""
        return wait_until(lambda: (found := self.records(*parts)) and all(
            MANAGED in record.labels for record in found.values()) and found, f"labels of {parts}")

    def forget(self, *parts):
        """Removes all names of the repositories, until CRI knows none of them."""
        for name in (found := self.records(*parts)):
            self.containerd.delete_image(name)
        for name in found:
            wait_until(lambda name=name: self.native_cri.image_status(name) is None, f"CRI forgets {name}")

    def refused(self, code, image, auth=None, cri=None):
        """A pull that must fail with this code; its message."""
        with self.assertRaises(grpc.RpcError) as caught:
            (cri or self.cri).pull(image, auth)
        self.assertEqual(code, caught.exception.code(), caught.exception.details())
        return caught.exception.details()


class Commands(Case):
    """Everything that crictl can do with images, through us."""

    def test_images_inspecti_imagefsinfo_rmi(self):
        digest = self.images.push(self.registry, "commands/app", "one", "commands")
        name = "ghcr.io/commands/app:one"
        image_id = self.ours.pull(name)
        mine = [image for image in self.ours.images() if name in image["repoTags"]]
        self.assertEqual([[image_id, [name], [f"ghcr.io/commands/app@{digest}"]]],
                         [[image["id"], image["repoTags"], image["repoDigests"]] for image in mine])
        for reference in (name, image_id, f"ghcr.io/commands/app@{digest}"):
            self.assertEqual(image_id, self.ours.image(reference)["id"], reference)
        self.assertEqual(self.native.images(), self.ours.images())
        places = [one["fsId"]["mountpoint"] for one in self.ours.json("imagefsinfo")["status"]["imageFilesystems"]]
        self.assertIn(str(self.containerd.home), " ".join(places))
        self.ours("rmi", name)
        self.assertIsNone(self.ours.image(name))
        self.assertIsNone(self.ours.image(image_id))
        self.assertEqual({}, self.records("commands/app"))

    def test_a_pod_runs_the_new_version(self):
        name = "ghcr.io/pods/app:stable"
        for marker in ("version one", "version two"):
            self.images.push(self.registry, "pods/app", "stable", marker)
            self.ours.pull(name)
            self.assertEqual(f"{marker}\n", run_pod(self.ours, name))


class Parity(Case):
    """Names, targets and labels after a pull through us are those of a native pull."""

    def compare(self, reference, *parts):
        """Pulls natively, forgets, pulls through us; the records of the native pull."""
        native_id = self.native.pull(reference)
        native = self.settled(*parts)
        self.forget(*parts)
        self.assertEqual(native_id, self.ours.pull(reference))
        ours = self.settled(*parts)
        self.assertEqual(native, self.without_own_label(ours))
        return native

    @staticmethod
    def without_own_label(records):
        return {name: record._replace(labels={key: value for key, value in record.labels.items() if key != OWN_LABEL})
                for name, record in records.items()}

    def test_tag(self):
        digest = self.images.push(self.registry, "parity/tag", "v", "tag")
        self.assertEqual(digest, self.compare("ghcr.io/parity/tag:v", "parity/tag")["ghcr.io/parity/tag:v"].digest)

    def test_no_tag_is_latest_and_no_host_is_docker_io(self):
        digest = self.images.push(self.registry, "library/parity-short", "latest", "short")
        native = self.compare("parity-short", "parity-short")
        self.assertEqual(digest, native["docker.io/library/parity-short:latest"].digest)

    def test_docker_io_with_a_path(self):
        self.images.push(self.registry, "parity/hub", "v", "hub")
        self.assertIn("docker.io/parity/hub:v", self.compare("parity/hub:v", "parity/hub"))

    def test_index(self):
        digest = self.images.push_index(self.registry, "parity/index", "v", {"amd64": "a", "arm64": "b"})
        native = self.compare("ghcr.io/parity/index:v", "parity/index")
        self.assertEqual({digest}, {record.digest for record in native.values()})
        self.assertEqual([f"ghcr.io/parity/index@{digest}"], self.ours.image("ghcr.io/parity/index:v")["repoDigests"])

    def test_digest_only(self):
        digest = self.images.push(self.registry, "parity/digest", "v", "digest")
        native = self.compare(f"ghcr.io/parity/digest@{digest}", "parity/digest")
        self.assertNotIn("ghcr.io/parity/digest:v", native)

    def test_tag_and_digest_drops_the_tag(self):
        digest = self.images.push(self.registry, "parity/both", "v", "both")
        native = self.compare(f"ghcr.io/parity/both:v@{digest}", "parity/both")
        self.assertNotIn("ghcr.io/parity/both:v", native)

    def test_moved_tag_leaves_the_old_digest(self):
        steps = []
        for pull in (self.native.pull, self.ours.pull):
            self.images.push(self.registry, "parity/moved", "v", "first")
            pull("ghcr.io/parity/moved:v")
            self.images.push(self.registry, "parity/moved", "v", "second")
            pull("ghcr.io/parity/moved:v")
            names = self.settled("parity/moved")
            steps.append((sorted(name.partition("@")[0].partition("sha256:")[0] for name in names),
                          sorted(str(record.labels) for record in self.without_own_label(names).values())))
            self.forget("parity/moved")
        self.assertEqual(*steps)

    def test_sandbox_image_stays_pinned(self):
        native = self.compare(PAUSE, "registry.k8s.io/pause")
        pinned = {name for name, record in native.items() if record.labels.get("io.cri-containerd.pinned") == "pinned"}
        self.assertEqual(self.containerd.which != "1.6", bool(pinned), "1.6 knows no pinned images")
        self.assertEqual(bool(pinned), self.cri.image_status(PAUSE).pinned)

    def test_the_label_of_our_own_names_what_was_verified(self):
        digest = self.images.push(self.registry, "parity/label", "v", "label")
        self.ours.pull("ghcr.io/parity/label:v")
        said = self.containerd.store()["ghcr.io/parity/label:v"].labels[OWN_LABEL].split()
        self.assertEqual(["ghcr.io/parity/label:v", digest], said[:2])
        self.assertTrue(said[2].isdigit())

    def test_what_does_not_parse_gets_the_words_of_containerd(self):
        for reference in ("ghcr.io/UPPER/case:v", "ghcr.io/a//b", "ghcr.io/a:b:c", "-"):
            with self.subTest(reference):
                native = self.refused(grpc.StatusCode.UNKNOWN, reference, cri=self.native_cri)
                self.assertEqual(native, self.refused(grpc.StatusCode.UNKNOWN, reference))


class Tags(Case):
    """Tags that move, vanish or stay."""

    def test_moved(self):
        name = "ghcr.io/tags/moved:v"
        ids = []
        for marker in ("first", "second", "first again"):
            digest = self.images.push(self.registry, "tags/moved", "v", marker)
            ids.append(self.ours.pull(name))
            self.assertEqual(digest, self.containerd.store()[name].digest)
            self.assertEqual(ids[-1], self.cri.image_status(name).id)
        self.assertEqual(3, len(set(ids)))

    def test_moved_back_to_an_image_that_is_here(self):
        name = "ghcr.io/tags/back:v"
        one = self.images.push(self.registry, "tags/back", "v", "one")
        first = self.ours.pull(name)
        self.images.push(self.registry, "tags/back", "v", "two")
        self.assertNotEqual(first, self.ours.pull(name))
        self.registry.put_tag("tags/back", "v", one)
        self.assertEqual(first, self.ours.pull(name))
        self.assertEqual(one, self.containerd.store()[name].digest)
        self.assertEqual(first, self.cri.image_status(name).id)

    def test_deleted_tag_is_not_found(self):
        name = "ghcr.io/tags/deleted:v"
        digest = self.images.push(self.registry, "tags/deleted", "v", "deleted")
        self.ours.pull(name)
        self.registry.delete_tag("tags/deleted", "v")
        self.assertIn(name, self.refused(grpc.StatusCode.NOT_FOUND, name))
        self.assertIn("not found", self.ours.pull_fails(name))
        self.assertEqual(digest, self.containerd.store()[name].digest)  # what runs from it goes on

    def test_unknown_repository_is_not_found(self):
        native = self.refused(grpc.StatusCode.NOT_FOUND, "ghcr.io/tags/nowhere:v", cri=self.native_cri)
        ours = self.refused(grpc.StatusCode.NOT_FOUND, "ghcr.io/tags/nowhere:v")
        self.assertIn("ghcr.io/tags/nowhere:v: not found", native)
        self.assertIn("ghcr.io/tags/nowhere:v: not found", ours)

    def test_unchanged_costs_one_head_and_no_pull(self):
        name = "ghcr.io/tags/same:v"
        self.images.push(self.registry, "tags/same", "v", "same")
        first = self.ours.pull(name)
        before, pulls = len(self.registry.requests()), len(self.containerd.pulls())
        self.assertEqual(first, self.ours.pull(name))
        new = self.registry.requests()[before:]
        self.assertEqual([("HEAD", "/v2/tags/same/manifests/v", 200)], [tuple(request)[:3] for request in new])
        self.assertEqual([], self.containerd.pulls()[pulls:])

    def test_first_pull_asks_containerd_for_the_digest(self):
        digest = self.images.push(self.registry, "tags/by-digest", "v", "by digest")
        pulls = len(self.containerd.pulls())
        self.ours.pull("ghcr.io/tags/by-digest:v")
        self.assertEqual([f"ghcr.io/tags/by-digest@{digest}"], self.containerd.pulls()[pulls:])

    def test_removed_snapshot_is_repaired(self):
        name = "ghcr.io/tags/snapshot:v"
        self.images.push(self.registry, "tags/snapshot", "v", "repaired")
        before = set(self.containerd.snapshots())
        self.ours.pull(name)
        new = set(self.containerd.snapshots()) - before
        self.assertTrue(new)
        top = [key for key in self.containerd.snapshots() if key in new][:1]
        self.containerd.remove_snapshots(*top)
        self.assertNotIn(top[0], self.containerd.snapshots())
        self.ours.pull(name)
        self.assertIn(top[0], self.containerd.snapshots())
        self.assertEqual("repaired\n", run_pod(self.ours, name))


class Private(Case):
    """A private image is handed to nobody whose own credentials the registry does not accept."""

    def matrix(self, repo, reference_of):
        digest = self.images.push(stage.private, repo, "v", repo)
        reference = reference_of(digest)
        right, wrong = auth_config(USER, WORD), auth_config(USER, WRONG)
        for present in (False, True):
            for what, auth in (("wrong", wrong), ("none", None)):
                with self.subTest(present=present, credentials=what):
                    native = self.refused(grpc.StatusCode.UNKNOWN, reference, auth, cri=self.native_cri)
                    ours = self.refused(grpc.StatusCode.UNKNOWN, reference, auth)
                    self.assertRegex(native, REFUSED)
                    self.assertRegex(ours, REFUSED)
                    self.assertEqual(present, self.cri.image_status(reference) is not None)
            with self.subTest(present=present, credentials="right"):
                image = self.cri.pull(reference, right)
                self.assertEqual(image, self.cri.image_status(reference).id)
        self.assertNotIn(WORD, stage.daemon.log())
        self.assertNotIn(WRONG, stage.daemon.log())

    def test_by_tag(self):
        self.matrix("by/tag", lambda digest: "private.example/by/tag:v")

    def test_by_digest(self):
        self.matrix("by/digest", lambda digest: f"private.example/by/digest@{digest}")

    def test_by_tag_and_digest(self):
        self.matrix("by/both", lambda digest: f"private.example/by/both:v@{digest}")

    def test_crictl_with_and_without_credentials(self):
        self.images.push(stage.private, "by/crictl", "v", "private")
        name = "private.example/by/crictl:v"
        self.assertRegex(self.ours.pull_fails(name, creds=(USER, WRONG)), REFUSED)
        self.assertIsNone(self.ours.image(name))
        self.ours.pull(name, creds=(USER, WORD))
        self.assertRegex(self.ours.pull_fails(name), REFUSED)
        self.assertEqual("private\n", run_pod(self.ours, name))

    def test_our_server_need_not_be_the_one_of_containerd(self):
        """The credentials are bound to where containerd goes, which our own entry does not change."""
        self.images.push(stage.private, "by/server", "v", "server")
        host = "elsewhere.example"
        self.containerd.set_upstream(host, stage.private.url.replace("127.0.0.1", "localhost"))
        with Daemon(stage.folder, self.containerd, {host: stage.private.url}, name="by-server") as daemon:
            with Cri(daemon.socket) as cri:
                cri.pull(f"{host}/by/server:v", auth_config(USER, WORD))

    def test_unchanged_private_tag_is_no_pull(self):
        self.images.push(stage.private, "by/again", "v", "again")
        right = auth_config(USER, WORD)
        self.cri.pull("private.example/by/again:v", right)
        pulls, gets = len(self.containerd.pulls()), stage.private.count("GET", "by/again")
        self.cri.pull("private.example/by/again:v", right)
        self.assertEqual([], self.containerd.pulls()[pulls:])
        self.assertEqual(gets, stage.private.count("GET", "by/again"))


class Index(Case):
    """A multi-architecture image: the digest is the index's, the container this machine's."""

    def test_repo_digest_and_container(self):
        markers = {"amd64": "for amd64", "arm64": "for arm64"}
        digest = self.images.push_index(self.registry, "index/app", "v", markers)
        name = "ghcr.io/index/app:v"
        self.ours.pull(name)
        self.assertEqual([f"ghcr.io/index/app@{digest}"], self.ours.image(name)["repoDigests"])
        self.assertEqual(digest, self.containerd.store()[name].digest)
        self.assertIn(run_pod(self.ours, name).strip(), markers.values())


if __name__ == "__main__":
    unittest.main()
