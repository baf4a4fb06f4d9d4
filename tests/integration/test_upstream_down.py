# SPDX-License-Identifier: Apache-2.0
"""The upstream cannot be asked: what each policy answers, and what none of them ever does."""
import re
import time
import unittest

import grpc

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Cri, Daemon, Folder, Forwarder, Images, Registry, wait_until
from tests.integration.harness.cri import auth_config

HOST, REPOSITORY = "registry.example", "team/app"
LABEL = "cri-resolved/verified"
CREDENTIALS = auth_config(username="ann", password="word-of-ann")
NOT_HERE = 'on_upstream_down = "stale", but the image is not here'
NEVER_VERIFIED = 'on_upstream_down = "stale", but what is here was never verified by us'
IN_THE_FUTURE = 'on_upstream_down = "stale", but what is here was verified in the future'
TOO_OLD = 'on_upstream_down = "stale", but what is here was verified 36[67]\\d s ago and max_stale is 3600 s'
NOT_FOR_ANYBODY = ('on_upstream_down = "stale", but what is here was verified for a request with credentials; '
                   "see degraded_without_authorisation")
NOT_FOR_ALL = ('on_upstream_down = "stale", but what is here was verified for a request with credentials; '
               "see degraded_without_authorisation")
UNCHECKED = ("on_upstream_down is not applied to a request with credentials: nobody can check them now; "
             "see degraded_without_authorisation")
PATIENCE = {"timeout": "2s", "budget": "3s"}


class DownCase(unittest.TestCase):
    """A registry behind a line that can be cut; a tag of its own for every test."""

    POLICY = {}
    USERS = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder, users=cls.USERS))
        cls.line = cls.enterClassContext(Forwarder(cls.registry.port))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.line.url}))
        entry = {"server": cls.line.url, **cls.POLICY}
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {HOST: entry}, resolve=PATIENCE))
        cls.images = Images(cls.folder)

    def setUp(self):
        self.line.mend()
        self.cri = self.enterContext(Cri(self.daemon.socket))
        self.tag = self.id().rsplit(".", 1)[-1]
        self.image = f"{HOST}/{REPOSITORY}:{self.tag}"

    def push(self, marker="one"):
        return self.images.push(self.registry, REPOSITORY, self.tag, f"{self.tag} {marker}")

    def pulled(self, marker="one"):
        """An image that was pulled while all was well: (digest, image_ref)."""
        return self.push(marker), self.cri.pull(self.image)

    def failure(self, image=None, auth=None):
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(image or self.image, auth)
        return caught.exception.code().name, caught.exception.details()

    def assert_unavailable(self, image=None, auth=None, reason=None):
        """In the form that kubelet recognises; reason: why the policy does not help."""
        image = image or self.image
        code, message = self.failure(image, auth)
        start = (f'RegistryUnavailable: failed to pull and unpack image "{image}": '
                 f'failed to resolve reference "{image}": ')
        self.assertEqual((code, message[:len(start)]), ("UNKNOWN", start), message)
        if reason:
            self.assertRegex(message, r" \({}\)$".format(reason))

    def target(self):
        return self.containerd.store()[self.image].digest

    def set_label(self, name=None, digest=None, age_s=0):
        words = f"{name or self.image} {digest or self.target()} {int(time.time()) - age_s}"
        self.containerd.set_label(self.image, LABEL, words)

    def degraded_lines(self):
        return [line for line in self.daemon.log().splitlines() if re.search(r"\bdegraded\b", line) and self.image in line]


class Fail(DownCase):
    def test_absent(self):
        self.push()
        self.line.cut()
        self.assert_unavailable()

    def test_present(self):
        digest, _ = self.pulled()
        self.line.cut()
        self.assert_unavailable()
        self.assertEqual(self.target(), digest)
        self.assertEqual(self.degraded_lines(), [])

    def test_present_by_digest(self):
        """Who names a digest must be authorised, too, and nobody can be asked."""
        digest, _ = self.pulled()
        self.line.cut()
        self.assert_unavailable(f"{HOST}/{REPOSITORY}@{digest}")

    def test_recovers(self):
        _, image_ref = self.pulled()
        self.line.cut()
        self.assert_unavailable()
        self.line.mend()
        self.assertEqual(self.cri.pull(self.image), image_ref)

    def test_not_found_is_an_answer(self):
        code, message = self.failure()
        self.assertEqual(code, "NOT_FOUND")
        self.assertFalse(message.startswith("RegistryUnavailable"), message)
        self.assertIn(f'failed to resolve reference "{self.image}": ', message)


class Stale(DownCase):
    POLICY = {"on_upstream_down": "stale", "max_stale": "1h"}

    def test_verified_lately(self):
        digest, image_ref = self.pulled()
        self.line.cut()
        self.assertEqual(self.cri.pull(self.image), image_ref)
        self.assertEqual(self.target(), digest)
        self.assertEqual(len(self.degraded_lines()), 1, "a degraded answer is logged, every time")
        self.assertEqual(self.cri.pull(self.image), image_ref)
        self.assertEqual(len(self.degraded_lines()), 2)

    def test_counters(self):
        """SIGUSR1 tells how often; only what changes since is this test's own."""
        self.push()
        seen = [self.daemon.counters()]

        def added():
            seen.append(self.daemon.counters())
            return {name: value - seen[-2][name] for name, value in seen[-1].items() if value != seen[-2][name]}

        self.cri.pull(self.image)
        self.assertEqual(added(), {"pulls": 1, "pulls_direct": 1})
        self.cri.pull(self.image)
        self.assertEqual(added(), {"pulls": 1, "pulls_current": 1})
        self.line.cut()
        self.cri.pull(self.image)
        self.assertEqual(added(), {"pulls": 1, "answers_degraded_stale": 1})
        self.failure(auth=CREDENTIALS)
        self.assertEqual(added(), {"pulls": 1, "pulls_failed": 1})
        self.assertEqual(added(), {})

    def test_survives_restarts(self):
        _, image_ref = self.pulled()
        self.line.cut()
        self.daemon.kill()
        self.daemon.start()
        self.assertEqual(self.cri.pull(self.image), image_ref)
        self.containerd.restart()
        self.daemon.wait_ready()
        self.assertEqual(self.cri.pull(self.image), image_ref)

    def test_by_digest(self):
        digest, image_ref = self.pulled()
        self.line.cut()
        self.assertEqual(self.cri.pull(f"{HOST}/{REPOSITORY}@{digest}"), image_ref)

    def test_never_pulled(self):
        self.push()
        self.line.cut()
        self.assert_unavailable(reason=NOT_HERE)

    def test_too_old(self):
        self.pulled()
        self.set_label(age_s=3600 + 60)
        self.line.cut()
        self.assert_unavailable(reason=TOO_OLD)

    def test_old_enough_to_be_renewed(self):
        """An answer of the upstream renews the label past a quarter of max_stale: it then counts again."""
        _, image_ref = self.pulled()
        self.set_label(age_s=3600 + 60)
        seen = self.containerd.store()
        self.assertEqual(self.cri.pull(self.image), image_ref)
        self.containerd.wait_no_change(seen)
        self.line.cut()
        self.assertEqual(self.cri.pull(self.image), image_ref)

    def test_label_of_another_digest(self):
        self.pulled()
        self.set_label(digest="sha256:" + "0" * 64)
        self.line.cut()
        self.assert_unavailable(reason=NEVER_VERIFIED)

    def test_label_of_another_name(self):
        """`ctr images tag` copies labels to names that nobody ever verified."""
        digest, image_ref = self.pulled()
        copy = f"{self.image}-copy"
        self.containerd.ctr("images", "tag", self.image, copy)
        self.assertEqual(self.containerd.store()[copy].digest, digest)
        self.line.cut()
        self.assert_unavailable(copy, reason=NEVER_VERIFIED)
        self.assertEqual(self.cri.pull(self.image), image_ref)

    def test_label_that_is_no_label(self):
        self.pulled()
        name, digest, now = self.image, self.target(), int(time.time())
        for words in ("", " ", name, f"{name} {digest}", f"{name} {digest} ", f"{name} {digest} soon",
                      f"{name} {digest} {now}x", f"{name} {digest} -{now}", f"{name}  {digest} {now}",
                      f"{name} {digest} {now} more", f"{name} {digest} 0"):
            with self.subTest(words):
                self.containerd.set_label(self.image, LABEL, words)
                self.line.cut()
                self.assert_unavailable(reason=NEVER_VERIFIED)

    def test_label_from_the_future(self):
        """A clock that was wrong must not make an answer last for ever."""
        self.pulled()
        self.line.cut()
        for seconds in (str(int(time.time()) + 7200), "9" * 40):
            with self.subTest(seconds):
                self.containerd.set_label(self.image, LABEL, f"{self.image} {self.target()} {seconds}")
                self.assert_unavailable(reason=IN_THE_FUTURE)

    def test_not_found_is_an_answer(self):
        digest, _ = self.pulled()
        self.registry.delete_tag(REPOSITORY, self.tag)
        self.assertEqual(self.failure()[0], "NOT_FOUND")
        self.assertEqual(self.target(), digest)
        self.line.cut()
        self.cri.pull(self.image)  # what the policy permits: the tag is here, and was verified lately

    def test_requests_with_credentials(self):
        """Nobody can say whether these credentials are good."""
        self.pulled()
        self.line.cut()
        self.assert_unavailable(auth=CREDENTIALS, reason=UNCHECKED)
        self.assertEqual(self.degraded_lines(), [])

    def test_verified_for_somebody_only(self):
        """What the upstream showed to credentials is not for everybody; what it showed to anybody is."""
        self.push()
        image_ref = self.cri.pull(self.image, CREDENTIALS)
        self.line.cut()
        self.assert_unavailable(reason=NOT_FOR_ALL)
        self.line.mend()
        seen = self.containerd.store()
        self.assertEqual(self.cri.pull(self.image), image_ref)
        self.containerd.wait_no_change(seen)
        self.assertEqual(self.cri.pull(self.image, CREDENTIALS), image_ref)
        self.line.cut()
        self.assertEqual(self.cri.pull(self.image), image_ref)

    def test_moves_no_tag(self):
        """Somebody else moved the tag natively: then nothing verified is left, and it stays where it is."""
        self.pulled()
        newer = self.push("two")
        self.containerd.ctr("images", "pull", "--plain-http", "--hosts-dir", self.containerd.certs, self.image)
        self.assertEqual(self.target(), newer)
        self.line.cut()
        self.assert_unavailable(reason=NEVER_VERIFIED)
        self.assertEqual(self.target(), newer)

    def test_a_moved_tag_is_followed_again(self):
        old, old_ref = self.pulled()
        new = self.push("two")
        self.line.cut()
        self.assertEqual((self.cri.pull(self.image), self.target()), (old_ref, old))
        self.line.mend()
        self.assertNotEqual(self.cri.pull(self.image), old_ref)
        self.assertEqual(self.target(), new)
        self.line.cut()
        self.cri.pull(self.image)
        self.assertEqual(self.target(), new, "a degraded answer moved the tag back")


class StalePrivate(DownCase):
    """What the registry gave to somebody with a password is not for those who come without one."""

    POLICY = {"on_upstream_down": "stale", "max_stale": "1h"}
    USERS = {"ann": "word-of-ann"}

    def test_nobody_gets_it_while_the_registry_is_away(self):
        digest = self.push()
        self.cri.pull(self.image, CREDENTIALS)
        by_digest = f"{HOST}/{REPOSITORY}@{digest}"
        self.cri.pull(by_digest, CREDENTIALS)
        self.line.cut()
        for image in (self.image, by_digest):
            with self.subTest(image):
                self.assert_unavailable(image, reason=re.escape(NOT_FOR_ANYBODY))
                self.assert_unavailable(image, CREDENTIALS, reason=re.escape(UNCHECKED))
        self.assertEqual(self.degraded_lines(), [])


class StaleWithoutAuthorisation(DownCase):
    POLICY = {"on_upstream_down": "stale", "degraded_without_authorisation": True}

    def test_requests_with_credentials(self):
        _, image_ref = self.pulled()
        self.line.cut()
        self.assertEqual(self.cri.pull(self.image, CREDENTIALS), image_ref)
        self.assertEqual(len(self.degraded_lines()), 1)


class StalePublic(DownCase):
    """Credentials that nobody asked for take nothing from those who have none."""

    POLICY = {"on_upstream_down": "stale", "max_stale": "1h"}

    def test_verified_with_and_without_credentials(self):
        for order in ((None, CREDENTIALS), (CREDENTIALS, None)):
            with self.subTest(order=order):
                self.line.mend()
                self.push(str(order))
                for auth in order:
                    image_ref = self.cri.pull(self.image, auth)
                wait_until(lambda: self.label().endswith(" anonymous"), "the label that is for anybody")
                self.line.cut()
                self.assertEqual(self.cri.pull(self.image), image_ref)

    def label(self):
        return self.containerd.store()[self.image].labels[LABEL]


class RateLimited(unittest.TestCase):
    """429: wait as long as the registry says, if the budget allows it; else it cannot be asked."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        hosts = {HOST: {"server": cls.registry.url}, "stale.example": {"server": cls.registry.url, "on_upstream_down": "stale"}}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={host: cls.registry.url for host in hosts}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, hosts, resolve={
            "timeout": "3s", "budget": "4s"}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1]
        self.registry.image(self.repository, "stable", self.repository)
        self.addCleanup(self.registry.rules, [])

    def limit(self, **rule):
        self.registry.rules([{"path": f"/{self.repository}/manifests/stable$", "status": 429, **rule}])

    def heads(self):
        return self.registry.log("HEAD", f"{self.repository}/manifests/stable")

    def assert_limited(self, image, tail):
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(image)
        url = f"{self.registry.url}/v2/{self.repository}/manifests/stable"
        self.assertEqual((caught.exception.code().name, caught.exception.details()), ("UNKNOWN", (
            f'RegistryUnavailable: failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
            f'unexpected status from HEAD request to {url}: 429 Too Many Requests{tail}')))

    def test_waits_within_the_budget(self):
        self.limit(times=1, headers={"Retry-After": "1"})
        self.assertTrue(self.cri.pull(f"{HOST}/{self.repository}:stable"))
        self.assertEqual([head["status"] for head in self.heads()], [429, 200])

    def test_a_date_that_has_passed(self):
        self.limit(times=2, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
        self.assertTrue(self.cri.pull(f"{HOST}/{self.repository}:stable"))
        self.assertEqual([head["status"] for head in self.heads()], [429, 429, 200])

    def test_longer_than_the_budget(self):
        """Then it is not asked again: it has said when."""
        self.limit(headers={"Retry-After": "3600"})
        self.assert_limited(f"{HOST}/{self.repository}:stable", ": it asks to wait 3600 s")
        self.assertEqual(len(self.heads()), 1)

    def test_no_date_or_no_sense(self):
        for headers in ({}, {"Retry-After": "soon"}, {"Retry-After": "-5"}):
            with self.subTest(headers):
                self.registry.clear_log()
                self.limit(headers=headers)
                self.assert_limited(f"{HOST}/{self.repository}:stable", "")
                self.assertLessEqual(len(self.heads()), 5, "it asked more often than once a second")

    def test_counts_as_down(self):
        image = f"stale.example/{self.repository}:stable"
        image_ref = self.cri.pull(image)
        self.limit(headers={"Retry-After": "3600"})
        self.assertEqual(self.cri.pull(image), image_ref)
        self.assertEqual(self.containerd.pulls().count(image), 0)


if __name__ == "__main__":
    unittest.main()
