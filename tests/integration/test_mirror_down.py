# SPDX-License-Identifier: Apache-2.0
"""on_upstream_down = "mirror": the upstream is away, and a cache still knows the tag. What it says is
better than nothing where that is permitted, is marked as such everywhere, and moves no tag away from
what the upstream said lately."""
import contextlib
import time
import unittest

import grpc

from tests.fake.mirror import FakeMirrors
from tests.integration.harness import Containerd, Content, Cri, Daemon, Folder, Registry, ShowsLogs, wait_until
from tests.integration.harness.cri import auth_config

CONTAINERDS = ("1.6", "1.7", "2")
MIRROR, UNCHECKED, NOTHING, FAIL = "mirror.example", "unchecked.example", "nothing.example", "fail.example"
CREDENTIALS = auth_config(username="ann", password="word-of-ann")
LOGGED_IN, LOGGED_IN_UNCHECKED = "logged-in.example", "logged-in-unchecked.example"  # their mirror knows us
LABEL = "cri-resolved/verified"
COUNTER = "answers_degraded_mirror"
MAX_STALE_S = 3600
PAUSED, BEHIND, LIMITED = (f"{name}.example" for name in ("paused", "behind", "limited"))
PAUSE = {"status": 429, "headers": {"Retry-After": "60"}}  # nobody asks whether it is back before that


class Stage:
    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        self.registry = stack.enter_context(Registry(self.folder))
        self.cache = stack.enter_context(Registry(self.folder, proxy=self.registry.url, name="cache"))
        policy = {"server": self.registry.url, "mirrors": [self.cache.url], "on_upstream_down": "mirror",
                  "max_stale": f"{MAX_STALE_S}s"}
        entries = {MIRROR: policy, UNCHECKED: {**policy, "degraded_without_authorisation": True},
                   NOTHING: {**policy, "mirrors": []}, FAIL: {**policy, "on_upstream_down": "fail"}}
        known = self.cache.url.replace("127.0.0.1", "localhost")  # another mirror, as far as tables go
        entries[LOGGED_IN] = {**policy, "mirrors": [known]}
        entries[LOGGED_IN_UNCHECKED] = {**entries[UNCHECKED], "mirrors": [known]}
        credentials = self.folder.path / "mirror.credentials"
        credentials.write_text("us:word-of-us\n")
        credentials.chmod(0o600)
        self.fakes = stack.enter_context(FakeMirrors(self.folder))
        self.ports = {}  # of upstream and mirror
        for host in (PAUSED, BEHIND, LIMITED):
            self.ports[host] = self.fakes.open_ports(2)
            urls = [f"http://127.0.0.1:{port}" for port in self.ports[host]]
            entries[host] = {**policy, "server": urls[0], "mirrors": urls[1:]}
        self.containerd = stack.enter_context(Containerd(self.folder, upstreams=dict.fromkeys(
            entries, self.registry.url)))
        self.daemon = stack.enter_context(Daemon(self.folder, self.containerd, entries, mirrors={
            known: {"credentials": credentials}}, resolve={"timeout": "2s", "budget": "3s"}))
        self.cri = stack.enter_context(Cri(self.daemon.socket))


stage = None
stack = contextlib.ExitStack()


def setUpModule():
    global stage
    unittest.addModuleCleanup(stack.close)
    stage = Stage(stack)


class Case(ShowsLogs, unittest.TestCase):
    def setUp(self):
        self.registry, self.cache, self.daemon, self.cri = stage.registry, stage.cache, stage.daemon, stage.cri
        self.repository = "team/" + self.id().rsplit(".", 1)[-1].replace("_", "-")
        self.addCleanup(lambda: self.registry.process.running() or self.registry.start())

    def folder_of_logs(self):
        return stage and stage.folder

    def image(self, host=MIRROR):
        return f"{host}/{self.repository}:stable"

    def push(self, marker):
        content = Content(f"{self.id()} {marker}", (3_000,))
        content.push(self.registry, self.repository, "stable")
        return content

    def warm(self, content):
        """Somebody else of this place pulls it through the cache."""
        self.assertEqual(self.cache.digest(self.repository, "stable"), content.digest)
        for name in content.blobs:
            self.assertEqual(self.cache.call("GET", f"/v2/{self.repository}/blobs/{name}")[0], 200)
            wait_until(lambda blob=name: self.cache.has_stored(self.repository, blob), "the cache has stored it")

    def known_to_the_cache(self, marker="one"):
        """An image that the cache has when the upstream goes away; nobody pulled it here."""
        content = self.push(marker)
        self.warm(content)
        self.registry.stop()
        return content

    def record(self, host=MIRROR):
        return stage.containerd.store().get(self.image(host))

    def pull_lines(self, host=MIRROR):
        return self.daemon.lines(f" pull reference={self.image(host)} ")

    def assert_degraded(self, content, host=MIRROR, auth=None):
        """A pull that is answered by the mirror, and says so."""
        lines, counted = len(self.pull_lines(host)), self.daemon.counters()[COUNTER]
        self.assertEqual(self.cri.pull(self.image(host), auth), content.id)
        self.assertEqual(self.record(host).digest, content.digest)
        line = self.daemon.wait_line(f" pull reference={self.image(host)} ", lines + 1)[-1]
        self.assertRegex(line, r" warning pull .*\bsource=mirror\b.*\bdegraded=")
        self.assertEqual(self.record(host).labels[LABEL], f"{self.image(host)} {content.digest} 0 mirror")
        self.assertEqual(self.daemon.counters()[COUNTER], counted + 1)

    def assert_refused(self, host=MIRROR, auth=None, image=None):
        counted = self.daemon.counters()[COUNTER]
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(image or self.image(host), auth)
        said = caught.exception.details()
        self.assertEqual((caught.exception.code(), said.partition(":")[0]),
                         (grpc.StatusCode.UNKNOWN, "RegistryUnavailable"), said)
        self.assertEqual(self.daemon.counters()[COUNTER], counted)
        return said


class Absent(Case):
    """The tag is not here."""

    def test_without_credentials(self):
        self.assert_degraded(self.known_to_the_cache())

    def test_each_answer_is_marked(self):
        content = self.known_to_the_cache()
        self.assert_degraded(content)
        self.assert_degraded(content)

    def test_by_digest(self):
        """Who names a digest asks nobody what it is; but nobody said that it may be had."""
        content = self.known_to_the_cache()
        image = f"{MIRROR}/{self.repository}@{content.digest}"
        self.assertEqual(self.cri.pull(image), content.id)
        self.assertRegex(self.daemon.wait_line(f" pull reference={image} ")[-1],
                         r" warning pull .*\bsource=mirror\b.*\bdegraded=")

    def test_with_credentials(self):
        self.known_to_the_cache()
        self.assertIn("degraded_without_authorisation", self.assert_refused(auth=CREDENTIALS))
        self.assertIsNone(self.record())

    def test_with_credentials_where_that_is_permitted(self):
        self.assert_degraded(self.known_to_the_cache(), UNCHECKED, CREDENTIALS)

    def test_a_mirror_that_opens_to_us_alone(self):
        """Our credentials there are not the pod's: by them it would have what its own do not open."""
        content = self.known_to_the_cache()
        for image in (self.image(LOGGED_IN), f"{LOGGED_IN}/{self.repository}@{content.digest}"):
            self.assertRegex(self.assert_refused(LOGGED_IN, image=image), "is not asked.*degraded_without_authorisation")
        self.assertIsNone(self.record(LOGGED_IN))

    def test_a_mirror_that_opens_to_us_alone_where_that_is_permitted(self):
        self.assert_degraded(self.known_to_the_cache(), LOGGED_IN_UNCHECKED)

    def test_a_mirror_that_does_not_know_it(self):
        self.push("one")
        self.registry.stop()
        self.assert_refused()

    def test_no_mirror(self):
        self.known_to_the_cache()
        self.assert_refused(NOTHING)

    def test_another_policy(self):
        self.known_to_the_cache()
        self.assert_refused(FAIL)

    def test_the_upstream_is_believed_as_soon_as_it_is_back(self):
        self.assert_degraded(self.known_to_the_cache("one"))
        self.registry.start()
        new = self.push("two")
        self.assertEqual(self.cri.pull(self.image()), new.id)
        self.assertEqual(self.record().digest, new.digest)
        self.assertEqual(self.record().labels[LABEL].split()[:2], [self.image(), new.digest])
        self.assertNotIn("mirror", self.record().labels[LABEL].split())

    def test_not_found_is_an_answer(self):
        """The upstream is there and says no: a mirror is not asked for another opinion."""
        content = self.push("one")
        self.warm(content)
        self.registry.delete_tag(self.repository, "stable")
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(self.image())
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)


class Present(Case):
    """The tag is here, and the cache has another one."""

    def two_versions(self):
        """(what was pulled here while all was well, what the cache knows)"""
        old = self.push("old")
        self.assertEqual(self.cri.pull(self.image()), old.id)
        new = self.push("new")
        self.warm(new)
        self.registry.stop()
        return old, new

    def test_verified_lately(self):
        """The upstream itself said so within max_stale: no mirror moves the tag."""
        old, _ = self.two_versions()
        counted = self.daemon.counters()[COUNTER]
        lines = len(self.pull_lines())
        self.assertEqual(self.cri.pull(self.image()), old.id)
        self.assertEqual(self.record().digest, old.digest)
        self.assertRegex(self.daemon.wait_line(f" pull reference={self.image()} ", lines + 1)[-1],
                         r" warning pull .*\bsource=stale\b.*\bdegraded=")
        self.assertEqual(self.daemon.counters()[COUNTER], counted)

    def test_verified_long_ago(self):
        old, new = self.two_versions()
        stage.containerd.set_label(self.image(), LABEL,
                                   f"{self.image()} {old.digest} {int(time.time()) - MAX_STALE_S - 60} anonymous")
        self.assert_degraded(new)

    def test_verified_lately_with_credentials(self):
        self.two_versions()
        self.assertIn("degraded_without_authorisation", self.assert_refused(auth=CREDENTIALS))


class Down(Case):
    """The mirror is down for us, or was. Nobody else is left: it is asked."""

    def start(self, host):
        """Content that both have."""
        self.host, self.fakes, (self.upstream, self.mirror) = host, stage.fakes, stage.ports[host]
        self.addCleanup(self.fakes.rules, [])
        content = Content(self.id(), (3_000,))
        content.push(self.fakes, self.repository, "stable")
        return content

    def rule(self, **rule):
        self.fakes.add_rule(port=self.mirror, **rule)

    def assert_went_down(self):
        self.assertEqual(1, len(self.daemon.wait_line(rf"mirror went down mirror=\S+:{self.mirror}\b")))

    def assert_answers(self, content):
        """The mirror, while the upstream is away; it is down for us before and after."""
        self.fakes.set_state(self.upstream, "refuse")
        self.assertEqual(self.cri.pull(self.image(self.host)), content.id)
        self.assertRegex(self.pull_lines(self.host)[-1], r" warning pull .*\bsource=mirror\b.*\bdegraded=")
        self.assertEqual([], self.daemon.lines(rf"mirror came back mirror=\S+:{self.mirror}\b"))

    def test_a_mirror_that_failed(self):
        content, other = self.start(PAUSED), f"{self.repository}-other"
        Content(other, (3_000,)).push(self.fakes, other, "stable")
        self.rule(path=f"/{other}/", **PAUSE)
        self.cri.pull(f"{PAUSED}/{other}:stable")
        self.assert_went_down()
        self.assert_answers(content)

    def test_a_cache_that_cannot_ask_its_upstream(self):
        """What it does not have it answers with an error, and that takes it down; what it has, it has."""
        content = self.start(BEHIND)
        self.rule(path=r"^/v2/(unknown/.*)?$", status=503)
        self.fakes.set_state(self.upstream, "refuse")
        for number in range(3):
            self.assertIn("503", self.assert_refused(BEHIND, image=f"{BEHIND}/unknown/{number}:stable"))
        self.assert_went_down()
        self.assert_answers(content)

    def test_a_mirror_that_asks_for_a_pause(self):
        content = self.start(LIMITED)
        self.rule(path="/manifests/stable", times=1, **PAUSE)
        self.fakes.set_state(self.upstream, "refuse")
        self.assertIn("429", self.assert_refused(LIMITED))
        self.assert_went_down()
        self.assert_answers(content)


if __name__ == "__main__":
    unittest.main()
