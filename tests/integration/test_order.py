# SPDX-License-Identifier: Apache-2.0
"""Two pulls of one tag, and answers that arrive in the wrong order: the tag never moves back, and both
answers keep the promise.

Requests are held at the registry, so the order is a script and no race. Two requests with different
credentials never share a HEAD: that is how two of one tag are under way at once."""
import threading
import unittest

import grpc

from tests.fake.gate import Gate
from tests.integration.harness import Containerd, Cri, Daemon, Folder, Registry, wait_until
from tests.integration.harness.cri import auth_config
from tests.integration.harness.wire import decode
from tests.integration.history_worker import MANIFEST, Pusher, digest_of, tiny_image, tiny_layer

HOST, REPOSITORY = "registry.example", "team/app"
ANN, BOB = (auth_config(username=name, password=f"word-of-{name}") for name in ("ann", "bob"))
EVENTS = "/containerd.services.events.v1.Events/Subscribe"
UPDATE_TOPICS = ("/images/create", "/images/update")


class Version:
    """One image that the tag may name."""

    def __init__(self, number, layer, diff_id):
        self.config, self.manifest = tiny_image(number, layer, diff_id)
        self.digest, self.id = digest_of(self.manifest), digest_of(self.config)


class Pull:
    """A PullImage under way."""

    def __init__(self, cri, image, credentials=None):
        self.future = cri.pull_future(image, credentials)

    def result(self):
        return decode(self.future.result()).text(1)


class OrderCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder))
        cls.gate = cls.enterClassContext(Gate(cls.registry.url))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.gate.url}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {HOST: cls.gate.url}, resolve={
            "timeout": "60s", "budget": "90s"}))
        cls.pusher = Pusher(cls.registry.url, REPOSITORY)
        cls.layer, cls.diff_id = tiny_layer()
        cls.pusher.blob(cls.layer)
        cls.made = 0

    def setUp(self):
        self.addCleanup(self.gate.open)
        self.cri = self.enterContext(Cri(self.daemon.socket))
        self.tag = self.id().rsplit(".", 1)[-1]
        self.image = f"{HOST}/{REPOSITORY}:{self.tag}"
        self.seen = []
        self.watch()

    def watch(self):
        """Notes what the tag names after each change, as containerd's events tell of them."""
        channel = self.enterContext(grpc.insecure_channel(f"unix://{self.containerd.socket}"))
        stream = channel.unary_stream(EVENTS)(b"", metadata=[("containerd-namespace", "k8s.io")])
        self.addCleanup(stream.cancel)

        def follow():
            try:
                for envelope in stream:
                    message = decode(envelope)
                    if message.text(3) in UPDATE_TOPICS and self.image in decode(message.message(4)[2][0]).texts(1):
                        self.seen.append(self.target())
            except grpc.RpcError:
                pass  # cancelled at the end of the test

        threading.Thread(target=follow, daemon=True).start()

    def assert_never_back(self, *versions):
        """What the events told: the tag went through these versions in this order, skipping at will."""
        digests = [version.digest for version in versions]
        wait_until(lambda: self.seen and self.seen[-1] == self.target(), "the last change is told by an event")
        places = [digests.index(digest) for digest in self.seen]
        self.assertEqual(places, sorted(places), "the tag moved back")

    def versions(self, count):
        """New images, pushed without a tag, oldest first."""
        made = []
        for _ in range(count):
            version = Version(f"{self.tag} {type(self).made}", self.layer, self.diff_id)
            type(self).made += 1
            self.pusher.blob(version.config)
            self.pusher.manifest(version.digest, version.manifest)
            made.append(version)
        return made

    def move(self, version):
        self.pusher.manifest(self.tag, version.manifest)

    def hold_head(self, decided=True):
        return self.gate.hold("HEAD", f"/manifests/{self.tag}", decided)

    def hold_config(self, version):
        return self.gate.hold("GET", f"/blobs/{version.id}")

    def pull(self, credentials=None):
        return Pull(self.cri, self.image, credentials)

    def target(self):
        record = self.containerd.store().get(self.image)
        return record and record.digest


class ReverseOrder(OrderCase):
    def test_the_older_answer_finishes_last(self):
        """The pull of the old digest takes longer than all of the new one's."""
        old, new = self.versions(2)
        self.move(old)
        slow = self.hold_config(old)
        first = self.pull()
        slow.wait_arrived()
        self.move(new)
        self.assertEqual(self.pull().result(), new.id)
        self.assertEqual(self.target(), new.digest)
        slow.release()
        self.assertEqual(first.result(), new.id)
        self.assertEqual(self.target(), new.digest)
        self.assert_never_back(old, new)

    def test_the_older_answer_arrives_last(self):
        """The answers to the two HEADs overtake each other: their intervals overlap."""
        old, new = self.versions(2)
        self.move(old)
        head = self.hold_head()
        first = self.pull(ANN)
        head.wait_arrived()
        self.move(new)
        self.assertEqual(self.pull(BOB).result(), new.id)
        head.release()
        self.assertEqual(first.result(), new.id)
        self.assertEqual(self.target(), new.digest)
        self.assert_never_back(old, new)

    def test_the_newer_answer_arrives_last(self):
        """They overlap, and the one that is written first happens to be the older one."""
        old, new = self.versions(2)
        self.move(old)
        head = self.hold_head(decided=False)
        first = self.pull(ANN)
        head.wait_arrived()
        self.assertEqual(self.pull(BOB).result(), old.id)
        self.move(new)
        head.release()
        self.assertEqual(first.result(), new.id)
        self.assertEqual(self.target(), new.digest)
        self.assert_never_back(old, new)

    def test_both_downloads_are_under_way(self):
        """Two digests are pulled side by side; the new one ends first, the old one afterwards."""
        old, new = self.versions(2)
        self.move(old)
        slow_old, slow_new = self.hold_config(old), self.hold_config(new)
        first = self.pull()
        slow_old.wait_arrived()
        self.move(new)
        second = self.pull()
        slow_new.wait_arrived()
        slow_new.release()
        self.assertEqual(second.result(), new.id)
        slow_old.release()
        self.assertEqual(first.result(), new.id)
        self.assertEqual(self.target(), new.digest)
        self.assert_never_back(old, new)

    def test_in_order_they_keep_their_own_answers(self):
        """The old one ends first: both answers stand."""
        old, new = self.versions(2)
        self.move(old)
        slow_old, slow_new = self.hold_config(old), self.hold_config(new)
        first = self.pull()
        slow_old.wait_arrived()
        self.move(new)
        second = self.pull()
        slow_new.wait_arrived()
        slow_old.release()
        self.assertEqual(first.result(), old.id)
        self.assertEqual(self.target(), old.digest)
        slow_new.release()
        self.assertEqual(second.result(), new.id)
        self.assertEqual(self.target(), new.digest)
        self.assert_never_back(old, new)

    def test_back_to_the_old_image_is_forward(self):
        """A tag that is moved back at the registry moves back here: order is the upstream's."""
        old, new = self.versions(2)
        for version in (old, new, old):
            self.move(version)
            self.assertEqual(self.pull().result(), version.id)
            self.assertEqual(self.target(), version.digest)


class Overlap(OrderCase):
    ROUNDS = 4  # after which the daemon asks once more while nobody else may write

    def play(self, versions):
        """Our pull, after all rounds, and its last HEAD, which is held."""
        self.move(versions[0])
        head = self.hold_head(decided=False)
        ours = self.pull(ANN)
        for older, newer in zip(versions, versions[1:]):
            head.wait_arrived()
            self.assertEqual(self.pull(BOB).result(), older.id)
            self.move(newer)
            following = self.hold_head(decided=False)
            head.release()
            head = following
        head.wait_arrived()
        return ours, head

    def test_again_and_again(self):
        """In every round another pull writes the tag while ours is asking, and its answer is older
        than ours: however often that happens, the tag must not stay behind our answer."""
        versions = self.versions(self.ROUNDS + 1)
        ours, head = self.play(versions)
        head.release()
        self.assertEqual(ours.result(), versions[-1].id)
        self.assertEqual(self.target(), versions[-1].digest)
        self.assert_never_back(*versions)

    def test_moved_to_the_very_end(self):
        """The tag is another one each time that we ask: then there is nothing true to answer."""
        *versions, last = self.versions(self.ROUNDS + 2)
        ours, head = self.play(versions)
        self.move(last)
        head.release()
        with self.assertRaises(grpc.RpcError) as caught:
            ours.result()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNKNOWN)
        self.assertEqual(caught.exception.details(),
                         f'failed to pull and unpack image "{self.image}": '
                         f'the tag was moved in each of {self.ROUNDS} rounds: ask again')
        self.assertEqual(self.target(), versions[-2].digest)
        self.assertEqual(self.pull().result(), last.id)
        self.assertEqual(self.target(), last.digest)


class Coalescing(OrderCase):
    def test_a_head_under_way_is_joined_by_nobody(self):
        """What was asked before the tag moved is no answer to those who came after it had moved."""
        old, new = self.versions(2)
        self.move(old)
        head = self.hold_head()
        first = self.pull()
        head.wait_arrived()
        self.move(new)
        later = [self.pull() for _ in range(10)]
        self.cri.call("/runtime.v1.RuntimeService/Version")  # behind them on the same connection
        head.release()
        self.assertEqual([pull.result() for pull in later], [new.id] * 10)
        self.assertIn(first.result(), (old.id, new.id))
        self.assertEqual(self.target(), new.digest)


if __name__ == "__main__":
    unittest.main()
