# SPDX-License-Identifier: Apache-2.0
"""`check` on mirrors: old code under the right tag, caches that keep stale images, Always that does
not help, mirrors that intercept, a cache of another upstream, and an address that has moved."""
import http.server
import json
import re
import subprocess
import threading
import unittest

from tests.integration.check_parts import Checker, places, texts
from tests.integration.harness import (RELAY_PORT, BlackHole, Containerd, Content, Cri, Daemon, Folder, Forwarder, Registry,
                                       dead_port)
from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.parts import environment

CONTAINERDS = ("1.7",)
IMAGE = "ghcr.io/team/app:v1"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.old, cls.new = Content("old"), Content("new")

    def registry(self, name, **more):
        return self.enterContext(Registry(self.folder, name=name, **more))

    def node(self, upstream, mirror=None, **more):
        self.containerd = self.enterContext(Containerd(
            self.folder, upstreams={"ghcr.io": upstream.url}, mirrors={"ghcr.io": mirror} if mirror else None, **more))
        self.checker = Checker(self.folder, self.containerd)
        self.hosts = self.containerd.certs / "ghcr.io/hosts.toml"

    def pull(self, image=IMAGE, socket=None):
        with Cri(socket or self.containerd.socket) as cri:
            return cri.pull(image)

    def find_one(self, identifier, *arguments):
        found = self.checker.find(identifier, *arguments)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def apply_resolve_remedy(self):
        """What mirror-answers-older-tag leads to."""
        finding = self.find_one("mirror-answers-older-tag", "mirrors")
        self.assertEqual(finding["severity"], "warning")
        self.assertIn("hosts-toml-resolve-at-cache", finding["remedy"]["text"])
        resolve = self.find_one("hosts-toml-resolve-at-cache", "containerd")
        self.assertEqual(places(resolve), [f"{self.hosts}:5"])
        self.checker.apply(resolve)
        return finding


class OldCode(Case):
    def test_the_right_tag_and_old_code(self):
        """A mirror that somebody fills by hand: the tag has moved since."""
        upstream, mirror = self.registry("upstream"), self.registry("mirror")
        self.old.push(mirror, "team/app", "v1")
        self.new.push(upstream, "team/app", "v1")
        self.node(upstream, mirror.url)
        self.assertEqual(self.pull(), self.old.id)
        finding = self.apply_resolve_remedy()
        self.assertEqual(places(finding), [mirror.url, f"HEAD {IMAGE}", f"{self.hosts}:4"])
        self.assertEqual(texts(finding)[:2], [f"says that {IMAGE} is {self.old.digest}",
                                              f"the upstream says that it is {self.new.digest}"])
        self.assertEqual(self.pull(), self.new.id)
        self.assertEqual(self.find_one("mirror-answers-older-tag", "mirrors")["severity"], "hint")

    def test_a_cache_that_keeps_a_stale_image(self):
        """A pull-through cache that cannot ask its upstream any more, and does not say so."""
        upstream = self.registry("upstream")
        self.old.push(upstream, "team/app", "v1")
        line = self.enterContext(Forwarder(upstream.port))
        cache = self.registry("cache", proxy=line.url)
        self.node(upstream, cache.url)
        self.assertEqual(self.pull(), self.old.id)
        line.cut()
        self.new.push(upstream, "team/app", "v1")
        self.assertEqual(self.pull(), self.old.id)
        self.apply_resolve_remedy()
        self.assertEqual(self.pull(), self.new.id)

    def test_always_does_not_help_until_kubelet_asks_the_daemon(self):
        upstream, mirror = self.registry("upstream"), self.registry("mirror")
        self.old.push(mirror, "team/app", "v1")
        self.new.push(upstream, "team/app", "v1")
        self.node(upstream, mirror.url)
        daemon = self.enterContext(Daemon(self.folder, self.containerd, {"ghcr.io": {
            "server": upstream.url, "mirrors": [mirror.url]}}))
        self.checker = Checker(self.folder, self.containerd, config=daemon.config)
        self.checker.kubelet.write_text(f'''apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: "unix://{self.containerd.socket}"
serializeImagePulls: false
''')
        self.checker.services["kubelet"] = lambda verb: self.assertEqual(verb, "restart")
        always = [self.pull(socket=self.kubelet_socket()) for _ in range(2)]
        self.assertEqual(always, [self.old.id] * 2)
        finding = self.find_one("kubelet-not-pointed-here", "kubelet")
        self.assertEqual((places(finding), texts(finding)), (
            [f"{self.checker.kubelet}:3"], [f"images are asked of unix://{self.containerd.socket}"]))
        self.checker.apply(finding)
        self.assertEqual(self.pull(socket=self.kubelet_socket()), self.new.id)
        self.assertEqual(self.checker.findings("kubelet"), [])

    def kubelet_socket(self):
        """Where a kubelet with this configuration would ask for images."""
        text = self.checker.kubelet.read_text()
        found = (re.search(r'^imageServiceEndpoint: "?unix://([^"\n]+)', text, re.M)
                 or re.search(r'^containerRuntimeEndpoint: "?unix://([^"\n]+)', text, re.M))
        return found[1]


class Portal(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<html>please log in</html>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Intercepting(Case):
    def test_a_wildcard_that_takes_the_relays_address(self):
        upstream, mirror = self.registry("upstream"), self.registry("mirror")
        hole = self.enterContext(BlackHole())
        for registry in (upstream, mirror):
            self.new.push(registry, "team/app", "v1")
        self.node(upstream, relay_port=None, default=f'server = "{hole.url}"\n\n[host]\n')
        daemon = self.enterContext(Daemon(self.folder, self.containerd, {"ghcr.io": {
            "server": upstream.url, "mirrors": [mirror.url]}}))
        self.checker = Checker(self.folder, self.containerd, config=daemon.config)
        self.checker.services["cri-resolved"] = lambda verb: (self.assertEqual(verb, "reload"), daemon.reload(),
                                                              daemon.wait_line("reloaded|configuration"))
        self.assertEqual(self.pull(socket=daemon.socket), self.new.id)
        daemon.wait_line(r"containerd does not ask the relay")
        self.containerd.delete_image(IMAGE)
        finding = self.find_one("default-captures-relay", "containerd")
        default = f"{self.containerd.certs}/_default/hosts.toml"
        self.assertEqual((finding["severity"], places(finding)), ("error", [default]))
        self.assertEqual(texts(finding), [f"and no directory for 127.0.0.1:{RELAY_PORT} beside it"])
        self.checker.apply(finding)
        self.assertEqual(self.pull(socket=daemon.socket), self.new.id)
        daemon.wait_line(r"pull .*source=relay .*" + re.escape(mirror.url))
        self.assertEqual(self.checker.find("default-captures-relay", "containerd"), [])

    def test_a_portal_at_the_mirrors_address(self):
        upstream = self.registry("upstream")
        self.new.push(upstream, "team/app", "v1")
        portal = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal)
        self.addCleanup(portal.server_close)
        self.addCleanup(portal.shutdown)
        threading.Thread(target=portal.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{portal.server_address[1]}"
        self.node(upstream, url)
        finding = self.find_one("mirror-not-a-registry", "mirrors")
        self.assertEqual((finding["severity"], places(finding)), ("error", [f"GET {url}/v2/", f"{self.hosts}:4"]))
        self.assertEqual(texts(finding), ["200, text/html", "where it is a mirror of ghcr.io"])
        self.checker.apply(finding)
        self.assertEqual(self.pull(), self.new.id)
        self.assertEqual(self.checker.find("mirror-not-a-registry", "mirrors"), [])

    def test_a_mirror_that_does_not_answer(self):
        upstream = self.registry("upstream")
        self.new.push(upstream, "team/app", "v1")
        url = f"http://127.0.0.1:{dead_port()}"
        self.node(upstream, url)
        finding = self.find_one("mirror-unreachable", "mirrors")
        self.assertEqual(texts(finding)[0], f"cannot connect to {url}: Connection refused")
        self.checker.apply(finding)
        self.assertEqual(self.pull(), self.new.id)
        self.assertEqual(self.checker.find("mirror-unreachable", "mirrors"), [])


class Caches(Case):
    def test_a_new_upstream_behind_the_cache_of_another(self):
        hub, upstream = self.registry("hub"), self.registry("upstream")
        self.new.push(upstream, "team/app", "v1")
        self.old.push(hub, "library/nginx", "1.27")
        cache = self.registry("cache", proxy=hub.url)
        self.node(upstream)
        daemon = self.enterContext(Daemon(self.folder, self.containerd, {
            "docker.io": {"server": hub.url, "mirrors": [cache.url]},
            "ghcr.io": {"server": upstream.url, "mirrors": [cache.url]}}))
        self.checker = Checker(self.folder, self.containerd, config=daemon.config)
        self.checker.services["cri-resolved"] = lambda verb: daemon.reload()
        many = self.find_one("one-cache-for-many-upstreams", "mirrors", "--offline")
        self.assertEqual(texts(many), [f"{cache.url} for docker.io", f"{cache.url} for ghcr.io"])
        finding = self.find_one("mirror-of-another-upstream", "mirrors", "--reference", IMAGE,
                                "--reference", "docker.io/library/nginx:1.27")
        line = next(number for number, text in enumerate(daemon.config.read_text().splitlines(), 1)
                    if text.startswith("mirrors") and number > 1 and "ghcr" in self.table_of(daemon, number))
        self.assertEqual(places(finding), [cache.url, f"{daemon.config}:{line}"])
        self.assertEqual(texts(finding)[0], f"has not got {IMAGE}, which the upstream names {self.new.digest}")
        self.checker.apply(finding)
        self.assertEqual(self.pull(socket=daemon.socket), self.new.id)
        self.assertEqual(self.pull("docker.io/library/nginx:1.27", socket=daemon.socket), self.old.id)
        self.assertEqual(self.checker.find("one-cache-for-many-upstreams", "mirrors"), [])
        self.assertEqual(self.checker.find("mirror-of-another-upstream", "mirrors"), [])

    def wildcard(self, *markers):
        """A wildcard's mirror, and an upstream for each marker; the mirror has all their images that
        `markers` says. The images' names."""
        mirror, names = self.registry("mirror"), []
        for number, on_mirror in enumerate(markers):
            upstream = self.registry("upstream")
            image = Content(f"wild {number}")
            for registry in (upstream, mirror) if on_mirror else (upstream,):
                image.push(registry, f"team/app{number}", "v1")
            names.append(f"{upstream.host}/team/app{number}:v1")
        text = f'[host."{mirror.url}"]\ncapabilities = ["pull"]\n'
        self.node(self.registry("other"), default=text)
        return mirror, names, [word for name in names for word in ("--reference", name)]

    def test_a_wildcard_whose_mirror_has_the_images_of_all(self):
        _, _, references = self.wildcard(True, True)
        self.assertEqual(self.checker.find("wildcard-mirror", "containerd", "mirrors", *references), [])
        self.assertEqual(len(self.checker.find("wildcard-mirror", "containerd", "mirrors", "--offline")), 1)

    def test_a_wildcard_whose_mirror_has_those_of_one(self):
        """The remedy names the mirror for the one that it serves."""
        mirror, names, references = self.wildcard(False, True)
        finding = self.find_one("wildcard-mirror", "containerd", "mirrors", *references)
        self.assertEqual(texts(finding), [f"{mirror.url} for every registry",
                                          "has not got 1 of the images that were asked for"])
        self.checker.apply(finding)
        folder = names[1].split("/")[0].replace(":", "_") + "_"
        self.assertEqual((self.containerd.certs / folder / "hosts.toml").read_text(),
                         f'[host."{mirror.url}"]\ncapabilities = ["pull"]\n')
        for name in names:
            self.pull(name)
        self.assertGreater(mirror.count("GET", "team/app1", agent="containerd"), 0)
        self.assertEqual(mirror.count("GET", "team/app0", agent="containerd"), 0)
        self.assertEqual(self.checker.find("wildcard-mirror", "containerd"), [])

    @staticmethod
    def table_of(daemon, number):
        lines = daemon.config.read_text().splitlines()[:number]
        return [line for line in lines if line.startswith("[")][-1]

    def test_another_registry_at_the_address(self):
        """The lease has ended: what is behind the address is another machine."""
        upstream, first, second = self.registry("upstream"), self.registry("first"), self.registry("second")
        self.new.push(upstream, "team/app", "v1")
        self.new.push(first, "team/app", "v1")
        self.old.push(second, "somebody/else", "v1")
        line = self.enterContext(Forwarder(first.port))
        self.node(upstream, line.url)
        self.assertEqual(self.checker.find("mirror-changed", "mirrors"), [])
        self.assertEqual(self.checker.find("mirror-changed", "mirrors"), [])
        line.cut()
        line.target_port = second.port
        line.mend()
        finding = self.find_one("mirror-changed", "mirrors")
        self.assertEqual(texts(finding)[0], 'it had "team/app" and others, and has "somebody/else" and others: '
                                            "no repository is left")
        self.find_one("mirror-changed", "mirrors")  # it is not forgotten by itself
        self.checker.apply(finding)
        self.assertEqual(self.checker.find("mirror-changed", "mirrors"), [])

    def test_what_was_seen_is_kept_wherever_it_is_wanted(self):
        """On a node that was never checked before, the folder is not there either."""
        registry = self.registry("kept")
        self.node(registry, registry.url)
        home = self.folder.sub("kept-state")
        for state in ("check.json", "deeper/still/check.json"):
            with self.subTest(state):
                self.assertEqual(self.check_at(state, cwd=home).stderr, "")
                self.assertEqual(list(json.loads((home / state).read_text())), [registry.url])
        self.assertEqual((home / "deeper/still").stat().st_mode & 0o777, 0o755)

    def test_the_usual_place(self):
        """On a /var/lib of its own, as that of a new machine."""
        registry = self.registry("usual")
        self.node(registry, registry.url)
        script = 'mount -t tmpfs tmpfs /var/lib && "$@"; cat /var/lib/cri-resolved/check.json'
        done = self.check_at(None, before=["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        self.assertEqual(done.stderr, "")
        self.assertIn(registry.url, json.loads(done.stdout[done.stdout.rindex("\n{") + 1:]))

    def test_what_cannot_be_kept_is_said(self):
        registry = self.registry("nowhere")
        self.node(registry, registry.url)
        file = self.folder.sub("nowhere-state") / "file"
        file.write_text("")
        self.assertEqual(self.check_at(file / "check.json").stderr, (
            "cri-resolvectl check: what was seen of mirrors is not kept, and no later check can say that one has changed: "
            f"cannot write {file}/check.json: no new file in {file}: Not a directory; run this as root, or name a file with --state\n"))

    def check_at(self, state, before=(), **more):
        options = [word for word in self.checker.options if word not in ("--state", self.checker.state)]
        if state is not None:
            options += ["--state", state]
        return subprocess.run([str(word) for word in (*before, ctl_binary(), "check", *options, "mirrors")], check=False,
                              stdin=subprocess.DEVNULL, env=environment(), capture_output=True, text=True, timeout=120, **more)


if __name__ == "__main__":
    unittest.main()
