# SPDX-License-Identifier: Apache-2.0
"""docker-registry as five pull-through caches, one for each upstream, as people set them up: what is
asked of whom while they are there, when they go away, and when they are back."""
import collections
import contextlib
import itertools
import unittest

import grpc

from tests.integration.harness import (Containerd, Content, Cri, Daemon, Folder, Forwarder, Registry, ShowsLogs,
                                       wait_until)
from tests.integration.harness.cri import auth_config

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 300
HOSTS = ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io", "reg.kyverno.io")
CUT_OFF = "cut-off.example"
PRIVATE, USER, WORD = "private.example", "ann", "word-of-ann"
SIZES = (2_000, 700_000)
CROWD = 12
US, CACHE = "cri-resolved/", "Go-http-client/"

NUMBERS = itertools.count()

Place = collections.namedtuple("Place", "host registry line cache")


class Stage:
    """The parts, once for the whole module. Each cache reaches its upstream by a line that can be cut;
    the daemon has a way of its own."""

    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        self.places = [self.place(stack, host) for host in HOSTS]
        self.cut_off = self.place(stack, CUT_OFF)
        self.private = stack.enter_context(Registry(self.folder, users={USER: WORD}, name="private"))
        self.open_mirror = stack.enter_context(Registry(self.folder, name="open-mirror"))
        servers = {place.host: place.registry.url for place in (*self.places, self.cut_off)} | {PRIVATE: self.private.url}
        self.containerd = stack.enter_context(Containerd(self.folder, upstreams=servers))
        self.own_caches = {place.host: {"server": place.registry.url, "mirrors": [place.cache.url]}
                           for place in (*self.places, self.cut_off)}
        self.own_caches[PRIVATE] = {"server": self.private.url, "mirrors": [self.open_mirror.url]}
        self.daemon = stack.enter_context(Daemon(self.folder, self.containerd, self.own_caches))
        self.cri = stack.enter_context(Cri(self.daemon.socket))

    def place(self, stack, host):
        registry = stack.enter_context(Registry(self.folder, name=f"upstream-{host}"))
        line = stack.enter_context(Forwarder(registry.port))
        return Place(host, registry, line, stack.enter_context(Registry(self.folder, proxy=line.url, name=f"cache-{host}")))


stage = None
stack = contextlib.ExitStack()


def setUpModule():
    global stage
    unittest.addModuleCleanup(stack.close)
    stage = Stage(stack)


class Case(ShowsLogs, unittest.TestCase):
    """Each test has a repository of its own, of the same name at each upstream."""

    log_lines = 12

    def setUp(self):
        self.places, self.cri, self.daemon = stage.places, stage.cri, stage.daemon
        self.repository = "team/" + self.id().rsplit(".", 1)[-1].replace("_", "-")

    def changes(self, what, url):
        """How often a cache went down or came back so far."""
        return len(self.daemon.lines(rf" mirror {what} mirror={url}\b"))

    def folder_of_logs(self):
        return stage and stage.folder

    def image(self, host, tag="v1"):
        return f"{host}/{self.repository}:{tag}"

    def push(self, place, tag="v1", marker=""):
        """An image that no other upstream has."""
        content = Content(f"{self.id()} {place.host} {tag} {marker}", SIZES)
        self.assertEqual(content.digest, content.push(place.registry, self.repository, tag))
        return content

    def assert_arrives(self, host, content, tag="v1"):
        self.assertEqual(self.cri.pull(self.image(host, tag)), content.id)
        self.assertEqual(stage.containerd.store()[self.image(host, tag)].digest, content.digest)

    def assert_gets(self, registry, content, count, agent=""):
        """Each blob was got so often, once the last of them is in the registry's log."""
        def gets():
            return [registry.count("GET", self.repository, name, "blobs", agent) for name in content.blobs]
        wait_until(lambda: min(gets()) >= count, f"{count} GETs of each blob at {registry.home.name}")
        self.assertEqual(gets(), [count] * len(content.blobs), registry.home.name)

    def assert_through_cache(self, place, content):
        """One GET of each blob by us, at the cache. Those of the cache: docker-registry 2.8 gets what it does
        not have twice, to serve it and to store it."""
        self.assert_gets(place.cache, content, 1)
        self.assert_gets(place.registry, content, 0, US)
        self.assert_gets(place.registry, content, 2, CACHE)
        self.assert_gets(place.registry, content, 2)

    def pull_line(self, host, tag="v1"):
        return self.daemon.wait_line(rf" pull reference={self.image(host, tag)} ")[-1]

    def forget(self, content):
        """Removes the image, content and all, as another node would find it."""
        self.cri.remove_image(content.id)
        left = stage.containerd.ctr("content", "ls", "-q").split()
        self.assertEqual(set(left) & {content.digest, *content.blobs}, set())

    def stored(self, place, content):
        """Until the cache has all of it: it stores what it has served after it has served it."""
        wait_until(lambda: all(place.cache.has_stored(self.repository, name) for name in content.blobs),
                   f"{place.cache.home.name} has stored {content.marker}")


class Caches(Case):
    def test_a_cold_pull_and_another_node(self):
        for place in self.places:
            with self.subTest(place.host):
                content = self.push(place)
                self.assert_arrives(place.host, content)
                self.assert_through_cache(place, content)
                line = self.pull_line(place.host)
                self.assertRegex(line, rf'source=relay .*mirrors="{place.cache.url}: \d+ bytes"')
                self.stored(place, content)
                gets = sum(request.method == "GET" for request in place.registry.requests())
                self.forget(content)
                self.assert_arrives(place.host, content)
                self.assert_gets(place.cache, content, 2)
                self.assertEqual(sum(request.method == "GET" for request in place.registry.requests()), gets)

    def test_all_caches_go_away_and_come_back(self):
        self.addCleanup(lambda: [place.cache.start() for place in self.places if not place.cache.process.running()])
        downs = {place.host: self.changes("went down", place.cache.url) for place in self.places}
        for place in self.places:
            place.cache.stop()
        for place in self.places:
            content = self.push(place)
            self.assert_arrives(place.host, content)
            self.assert_gets(place.registry, content, 1)
            self.assert_gets(place.registry, content, 1, US)
            self.assertEqual(self.changes("went down", place.cache.url), downs[place.host] + 1)
            self.assertEqual(self.told(place), (0, "down"))
        for place in self.places:
            place.cache.start()
        for place in self.places:
            wait_until(lambda at=place: self.told(at) == (1, "up"), f"{place.cache.home.name} is up before it is asked")
            self.assertEqual(self.changes("came back", place.cache.url), downs[place.host], "it has served nothing yet")
            wait_until(lambda at=place: self.is_used_again(at), f"{place.cache.home.name} is used again")
            self.assertEqual(self.changes("came back", place.cache.url), downs[place.host] + 1)
            content = self.push(place, marker="back")
            self.assert_arrives(place.host, content)
            self.assert_through_cache(place, content)

    def told(self, place):
        """What metric and status say of a cache."""
        upstream, = [of for of in self.daemon.admin("/v1/status")[1]["upstreams"] if of["host"] == place.host]
        page = self.daemon.metrics()
        return page.value("cri_resolved_mirror_up", upstream=place.host, mirror=place.cache.url), upstream["mirrors"][0]["state"]

    def is_used_again(self, place):
        """Pulls one more image; whether it came through the cache. (It is back when a pull says so.)"""
        content = Content(f"{self.id()} {place.host} {next(NUMBERS)}")
        content.push(place.registry, self.repository, "v1")
        self.assert_arrives(place.host, content)
        return place.cache.count("GET", self.repository, content.id, "blobs") > 0

    def test_a_cache_with_an_older_tag(self):
        """A cache that cannot ask its upstream hands out the tag that it remembers."""
        place = stage.cut_off
        old = self.push(place, marker="old")
        self.assertEqual(place.cache.digest(self.repository, "v1"), old.digest)
        new = self.push(place, marker="new")
        place.line.cut()
        self.assertEqual(place.cache.digest(self.repository, "v1"), old.digest)
        self.assert_arrives(place.host, new)

    def test_one_cache_for_all(self):
        """The wildcard mistake: whatever the cache has under that path, the digest decides."""
        cache = self.places[0].cache
        self.addCleanup(self.configure, stage.own_caches)
        self.configure({host: {**entry, "mirrors": [cache.url]} for host, entry in stage.own_caches.items()})
        contents = {place.host: self.push(place) for place in self.places}
        for place in self.places:
            with self.subTest(place.host):
                self.assert_arrives(place.host, contents[place.host])
        self.assert_gets(cache, contents[self.places[0].host], 1)
        asked = [place.host for place in self.places[1:] if cache.count(
            "GET", self.repository, contents[place.host].digest) + cache.count(
            "HEAD", self.repository, contents[place.host].digest)]
        self.assertNotEqual(asked, [], "the cache was never asked for what it has not")

    def configure(self, upstreams):
        reloads = len(self.daemon.lines("configuration reloaded"))
        self.daemon.upstreams = upstreams
        self.daemon.write_config()
        self.daemon.reload()
        self.daemon.wait_line("configuration reloaded", reloads + 1)


class Crowd(Case):
    """Many pods at once: the cache is asked as if there were one."""

    def test_one_flight(self):
        place = self.places[1]
        content = self.push(place)
        under_way = [self.cri.pull_future(self.image(place.host)) for _ in range(CROWD)]
        for future in under_way:
            future.result()
        self.assert_through_cache(place, content)

    def test_each_is_checked_at_the_upstream(self):
        content = Content(self.id(), SIZES)
        for registry in (stage.private, stage.open_mirror):
            content.push(registry, self.repository, "v1")
        good, bad = auth_config(username=USER, password=WORD), auth_config(username=USER, password="wrong")
        image = self.image(PRIVATE)
        under_way = [(auth, self.cri.pull_future(image, auth)) for auth in [good, bad, None] * (CROWD // 3)]
        for auth, future in under_way:
            if auth is good:
                future.result()
                continue
            with self.assertRaises(grpc.RpcError) as caught:
                future.result()
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNKNOWN)
        self.assert_gets(stage.open_mirror, content, 1)
        self.assert_gets(stage.private, content, 0)


if __name__ == "__main__":
    unittest.main()
