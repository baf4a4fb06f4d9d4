# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl drift: a node's tags and containers beside what their upstreams say now."""
import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import (Containerd, Content, Crictl, Daemon, Folder, Forwarder, Images, Registry,
                                       ShowsLogs, dead_port, wait_until)
from tests.integration.harness.crictl import pod_config
from tests.integration.harness.ctl import Ctl

CONTAINERDS = ("1.6", "1.7", "2")
REAL, PRIVATE, DOWN, FAKE, MIRRORED = "ghcr.io", "private.example", "down.example", "fake.example", "mirrored.example"
WORD = "a-word-that-nobody-else-has"
STATES = ("current", "moved", "older", "restart-needed", "gone", "unknown")
LABEL = "cri-resolved/verified"
VERIFIED = 1790000000  # 2026-09-21T14:13:20Z
DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d"


class Stage:
    """A node, and registries. Each test has repositories of its own at them."""

    def __init__(self, stack):
        self.folder = stack.enter_context(Folder())
        self.registry = stack.enter_context(Registry(self.folder))
        self.private = stack.enter_context(Registry(self.folder, users={"ann": WORD}, name="private"))
        self.fake = stack.enter_context(FakeRegistry(self.folder))
        self.line = stack.enter_context(Forwarder(self.registry.port))
        self.cache = stack.enter_context(Registry(self.folder, proxy=self.line.url, name="cache"))
        self.beside = stack.enter_context(FakeRegistry(self.folder, name="beside"))
        self.dead = f"http://127.0.0.1:{dead_port()}"
        self.urls = {REAL: self.registry.url, PRIVATE: self.private.url, DOWN: self.fake.url, FAKE: self.fake.url,
                     MIRRORED: self.registry.url}
        self.containerd = stack.enter_context(Containerd(self.folder, upstreams=self.urls))
        self.crictl = Crictl(self.folder, self.containerd.socket)
        self.images = Images(self.folder)
        self.containerd.push_pause()
        self.mirrors = [self.cache.url, self.beside.url, self.dead]
        self.ctl = self.make_ctl({**self.urls, "registry.k8s.io": self.containerd.pause.url, DOWN: self.dead,
                                  MIRRORED: {"server": self.registry.url, "mirrors": self.mirrors}})

    def make_ctl(self, upstreams, **shim):
        tables = {"shim": {"backend": f"unix://{self.containerd.socket}", **shim}, "resolve": {"timeout": "3s", "budget": "4s"}}
        return Ctl(self.folder, upstreams, **tables)


stage = None
stack = contextlib.ExitStack()


def setUpModule():
    global stage
    unittest.addModuleCleanup(stack.close)
    stage = Stage(stack)


def said(message):
    return f"cri-resolvectl drift: {message}\n"


def short(digest):
    return digest.partition(":")[2][:12]


class Case(ShowsLogs, unittest.TestCase):
    maxDiff = None

    def setUp(self):
        name = self.id().rsplit(".", 1)[-1].replace("_", "-")
        self.repo = f"{type(self).__name__.lower()}/{name}"
        self.addCleanup(self.sweep)

    def sweep(self):
        """No test sees what another one left in containerd."""
        for pod in stage.crictl.json("pods")["items"]:
            stage.crictl("rmp", "--force", pod["id"])
        for name in stage.containerd.store():
            if not name.startswith("registry.k8s.io/pause"):
                stage.containerd.delete_image(name)
        for fake in (stage.fake, stage.beside):
            fake.rules([])

    def folder_of_logs(self):
        return stage and stage.folder

    def image(self, tag, host=REAL):
        return f"{host}/{self.repo}:{tag}"

    def push(self, tag, marker=None, registry=None):
        return Content(f"{self.repo} {marker or tag}").push(registry or stage.registry, self.repo, tag)

    def pull(self, tag, host=REAL, creds=None):
        stage.crictl.pull(self.image(tag, host), creds)

    def drift(self, *words, code, err="", ctl=None, **more):
        """The result, of the hosts that tests pull from: the sandbox image is none of them."""
        hosts = () if "--upstream" in words else sum((("--upstream", host) for host in (REAL, FAKE)), ())
        result = (ctl or stage.ctl).run("drift", *hosts, *words, **more)
        if "--upstream" not in words:
            result.err = re.sub(r"cri-resolvectl drift: containerd has no tag of .*\n", "", result.err)
        self.assertEqual((result.code, result.err), (code, err), result)
        return result

    def document(self, *words, **more):
        return self.drift("-o", "json", *words, **more).json

    def tags(self, *words, **more):
        """{tag of this test: what is said of it}"""
        return {tag["tag"].rpartition(":")[2]: tag for tag in self.document("--tags", *words, **more)["tags"]}

    def states(self, *words, **more):
        return {tag: (of["state"], of["reason"]) for tag, of in self.tags(*words, **more).items()}


class Tags(Case):
    def test_current_moved_gone(self):
        old = {tag: self.push(tag) for tag in ("stays", "moves", "goes")}
        for tag in old:
            self.pull(tag)
        new = self.push("moves", "newer")
        stage.registry.delete_tag(self.repo, "goes")
        name = self.image("moves")
        stage.containerd.set_label(name, LABEL, f"{name} {old['moves']} {VERIFIED}")
        before = stage.registry.requests()
        tags = self.tags(code=1)
        asked = [request for request in stage.registry.requests()[len(before):] if self.repo in request.path]
        self.assertEqual({request.method for request in asked}, {"HEAD"})
        self.assertEqual(len(asked), 3)
        expected = {"upstream": REAL, "reason": None, "mirrors": [], "verified": None, "error": None}
        for tag, state, digest, more in (
                ("stays", "current", old["stays"], {}),
                ("moves", "moved", new, {"verified": "2026-09-21T14:13:20Z"}),
                ("goes", "gone", None, {"error": {"code": "not_found", "message": f"{self.image('goes')}: not found"}})):
            with self.subTest(tag):
                self.assertRegex(tags[tag].pop("written"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                self.assertEqual(tags[tag], {"tag": self.image(tag), **expected, "state": state, "digest": old[tag],
                                             "upstream_digest": digest, **more})

    def test_table(self):
        stays, old = self.push("stays"), self.push("moves")
        for tag in ("stays", "moves"):
            self.pull(tag)
        new = self.push("moves", "newer")
        name = self.image("moves")
        stage.containerd.set_label(name, LABEL, f"{name} {old} {VERIFIED}")
        result = self.drift("--tags", code=1, env={"COLUMNS": "100"})
        lines = [re.sub(" +", " ", line) for line in result.lines]
        self.assertEqual(lines[:3], [REAL, "tag state here upstream as of (UTC)",
                                     f"{self.repo}:moves moved {short(old)} {short(new)} 2026-09-21 14:13"])
        self.assertRegex(lines[3], f"^{self.repo}:stays current {short(stays)} {short(stays)} {DATE}$")
        self.assertEqual(lines[4:], ["", "2 tags: 1 current, 1 moved; 0 containers"])
        narrow = self.drift("--tags", code=1)
        self.assertLessEqual(max(map(len, narrow.lines)), 80, narrow)
        self.assertIn("2026-09-21 14:13\n", narrow.out)

    def test_all_current(self):
        self.push("one")
        self.pull("one")
        self.assertEqual(self.drift(code=0).lines[-1], "1 tag: 1 current; 0 containers")

    def test_only(self):
        for tag in ("stays", "moves", "goes"):
            self.push(tag)
            self.pull(tag)
        self.push("moves", "newer")
        stage.registry.delete_tag(self.repo, "goes")
        self.assertEqual(set(self.tags("--only", "moved,gone", code=1)), {"moves", "goes"})
        self.assertEqual(set(self.tags("--only", "moved", "--only", "current", code=1)), {"moves", "stays"})
        self.assertEqual(set(self.tags("--only", "current", code=0)), {"stays"})
        summary = self.document("--only", "unknown", code=0)["summary"]
        self.assertEqual(summary, {"tags": {**dict.fromkeys(STATES, 0), "current": 1, "moved": 1, "gone": 1},
                                   "containers": dict.fromkeys(STATES, 0)})

    def test_wrong_arguments(self):
        see = "see cri-resolvectl drift --help\n"
        error = '--only takes current, moved, older, restart-needed, gone, unknown, with commas between them, not "newer"'
        self.assertEqual(self.drift("--only", "moved,newer", code=64, err=said(error) + see).out, "")
        self.drift("ghcr.io/a:1", code=64, err=said("it takes no arguments: see --upstream and --only") + see)

    def test_an_upstream_that_nobody_has(self):
        result = self.drift("--upstream", "nobody.example", code=0, err=said("containerd has no tag of nobody.example"))
        self.assertEqual(result.out, "0 tags; 0 containers\n")

    def test_the_sandbox_image_and_what_is_no_tag(self):
        self.push("one")
        self.pull("one")
        stage.containerd.ctr("images", "tag", self.image("one"), f"127.0.0.1:7780/cri-resolved/{REAL}/{self.repo}:one")
        stage.containerd.ctr("images", "tag", self.image("one"), "no-host:one")
        pause = {} if "registry.k8s.io/pause:3.9" not in stage.containerd.store() else {"registry.k8s.io/pause:3.9"}
        result = stage.ctl.run("drift", "--tags", "-o", "json")
        self.assertEqual({tag["tag"] for tag in result.json["tags"]}, {self.image("one"), *pause}, result)
        self.assertEqual((result.code, result.err), (0, ""))

    def test_who_may_ask(self):
        self.push("one", registry=stage.private)
        self.pull("one", PRIVATE, ("ann", WORD))
        config = stage.folder.sub("docker") / "config.json"
        words = ("--upstream", PRIVATE)
        denied = ("pull access denied, repository does not exist or may require authorization: authorization failed: "
                  "no basic auth credentials")
        refused = said(f"{self.image('one', PRIVATE)}: {denied}; show credentials with --credentials")
        tags = self.tags(*words, code=77, err=refused)
        self.assertEqual((tags["one"]["state"], tags["one"]["reason"], tags["one"]["error"]),
                         ("unknown", "unauthorized", {"code": "unauthorized", "message": denied}))
        self.assertIn(" unauthorized ", self.drift(*words, code=77, err=refused).out)
        for auth, given in ((f"ann:{WORD}", "-"), (None, config)):
            config.write_text(json.dumps({"auths": {PRIVATE: {"auth": base64.b64encode(f"ann:{WORD}".encode()).decode()}}}))
            with self.subTest(given):
                states = self.states(*words, "--credentials", given, code=0, stdin=auth or "")
                self.assertEqual(states, {"one": ("current", None)})

    def test_a_helper_is_asked_once_for_an_upstream(self):
        for tag in ("one", "two", "three"):
            self.push(tag, registry=stage.private)
            self.pull(tag, PRIVATE, ("ann", WORD))
        home = stage.folder.sub("helper")
        (home / "config.json").write_text(json.dumps({"credHelpers": {PRIVATE: "test"}}))
        program, log = home / "docker-credential-test", home / "log"
        env = {"PATH": f"{home}:{os.environ['PATH']}", "DOCKER_CONFIG": home}
        for script, code in ((f"""printf '{{"Username":"ann","Secret":"{WORD}"}}'""", 0), ("exit 3", 78)):
            with self.subTest(code):
                program.write_text(f"#!/bin/sh\necho asked >>{log}\n{script}\n")
                program.chmod(0o700)
                log.write_text("")
                result = stage.ctl.run("drift", "--upstream", PRIVATE, "--credentials", "docker", "-o", "json", env=env)
                self.assertEqual(result.code, code, result)
                self.assertEqual({tag["reason"] for tag in result.json["tags"]}, {"config" if code else None})
                self.assertEqual(len(result.json["tags"]), 3)
                self.assertEqual(log.read_text(), "asked\n")

    def test_one_password_for_two_upstreams(self):
        self.push("one")
        self.push("one", registry=stage.fake)
        self.pull("one")
        self.pull("one", FAKE)
        stage.fake.clear_log()
        self.drift("--credentials", "-", code=64, stdin=f"ann:{WORD}", err=said(
            "--credentials -: one password is not shown to several registries (fake.example, ghcr.io); name one with "
            "--upstream") + "see cri-resolvectl drift --help\n")
        self.assertEqual(stage.fake.log(), [])

    def test_an_upstream_that_is_down(self):
        """It is left alone after two failures; what another one says counts all the same."""
        tags = [f"t{number}" for number in range(6)]
        for tag in tags:
            self.push(tag, "one", stage.fake)
            self.pull(tag, DOWN)
        self.push("one")
        self.pull("one")
        words = ("--upstream", DOWN, "--upstream", REAL)
        err = said(f"{self.image('t0', DOWN)} (and 5 more): cannot connect to {stage.dead}: Connection refused; is it up? "
                   f'Where it is asked: server in [upstream."{DOWN}"], else containerd\'s certs.d, and HTTPS_PROXY')
        states = self.states(*words, code=69, err=err)
        self.assertEqual(states, {"one": ("current", None), **dict.fromkeys(tags, ("unknown", "unreachable"))})
        self.assertEqual(self.drift(*words, "--only", "moved", code=69, err=err).out,
                         "7 tags: 1 current, 6 unknown; 0 containers\n")
        self.push("one", "newer")
        self.assertEqual(self.states(*words, code=1, err=err)["one"], ("moved", None))

    def test_a_server_that_says_429(self):
        """Once it has asked for more patience than there is, it is not asked any more. Four questions are
        under way, two of them there; who got the 429 comes to the last one past all that it does not ask."""
        tags = [f"t{number}" for number in range(8)]
        for tag in tags:
            self.push(tag, "one", stage.fake)
            self.pull(tag, FAKE)
        for tag in ("b0", "b1"):
            self.push(tag, "one")
            self.push(tag, "one", stage.beside)
            self.pull(tag)
        self.push("last", "one")
        self.pull("last", MIRRORED)
        ctl = stage.make_ctl({FAKE: stage.fake.url, REAL: stage.beside.url, MIRRORED: stage.registry.url})
        stage.fake.rules([{"path": "/t0$", "hold": "t0", "status": 429, "headers": {"Retry-After": "60"}},
                          {"path": "/t1$", "hold": "t1"}])
        stage.beside.rules([{"path": "/b", "hold": "b"}])
        for fake in (stage.fake, stage.beside):
            fake.clear_log()
        words = sum((["--upstream", host] for host in (FAKE, REAL, MIRRORED)), [])
        before = stage.registry.count("HEAD", self.repo, "last")
        with self.started("drift", "-o", "json", "--tags", *words, ctl=ctl) as run:
            stage.fake.wait(2, path="/manifests/t", state="held")
            stage.beside.wait(2, path="/manifests/b", state="held")
            self.assertEqual(stage.registry.count("HEAD", self.repo, "last"), before)
            stage.fake.release("t0")
            wait_until(lambda: stage.registry.count("HEAD", self.repo, "last") > before, "the last one")
            stage.fake.release("t1")
            stage.beside.release("b")
            out, err = run.communicate(timeout=30)
        url = f"{stage.fake.url}/v2/{self.repo}/manifests/t0"
        self.assertEqual((run.returncode, err), (75, said(
            f"{self.image('t0', FAKE)} (and 6 more): unexpected status from HEAD request to {url}: 429 Too Many Requests: "
            "it asks to wait 60 s; wait, or show credentials that may ask more")))
        states = {tag["tag"].rpartition(":")[2]: (tag["state"], tag["reason"]) for tag in json.loads(out)["tags"]}
        current = dict.fromkeys(("t1", "b0", "b1", "last"), ("current", None))
        self.assertEqual(states, {**dict.fromkeys(tags, ("unknown", "rate_limited")), **current})
        self.assertEqual(sorted(entry["path"].rpartition("/")[2] for entry in stage.fake.log(path="/manifests/")), ["t0", "t1"])

    def started(self, *words, ctl=None, **more):
        return subprocess.Popen((ctl or stage.ctl).command(*words), env=stage.ctl.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

    def test_two_at_a_time(self):
        """... to one server, while another one is asked, too."""
        tags = [f"t{number}" for number in range(6)]
        for tag in tags:
            self.push(tag, "one", stage.fake)
            self.pull(tag, FAKE)
        self.push("one")
        self.pull("one")
        stage.fake.rules([{"method": "HEAD", "path": "/manifests/t", "hold": "all"}])
        stage.fake.clear_log()
        before = stage.registry.count("HEAD", self.repo, "one")
        with self.started("drift", "-o", "json", "--upstream", FAKE, "--upstream", REAL) as run:
            for count in (2, 4, 6):
                stage.fake.wait(count, path="/manifests/t")
                # Whoever is let in beside them asks the other one, and finds nothing more to do there.
                wait_until(lambda: stage.registry.count("HEAD", self.repo, "one") > before, "the other")
                held = [entry for entry in stage.fake.log(path="/manifests/t") if entry["held"]]
                self.assertEqual(len(held), 2)
                self.assertEqual(stage.fake.release("all"), 2)
            out, err = run.communicate(timeout=30)
        self.assertEqual((run.returncode, err), (0, ""))
        self.assertEqual({tag["state"] for tag in json.loads(out)["tags"]}, {"current"})

    def test_a_signal(self):
        """Half a comparison would look like a whole one: nothing is printed."""
        self.push("one", registry=stage.fake)
        self.pull("one", FAKE)
        stage.fake.rules([{"method": "HEAD", "path": "/manifests/", "hold": "all"}])
        stage.fake.clear_log()
        with self.started("drift", "-o", "json", "--upstream", FAKE) as run:
            stage.fake.wait(path="/manifests/one", state="held")
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.communicate(timeout=30), ("", ""))
        self.assertEqual(run.returncode, 130)


class Mirrors(Case):
    def test_what_they_say(self):
        old = self.push("moves")
        for digest in (old, "moves"):
            stage.cache.manifest(self.repo, digest)
        wait_until((stage.cache.home / f"data/docker/registry/v2/blobs/sha256/{old[7:9]}/{old[7:]}/data").exists, "it is kept")
        self.pull("moves", MIRRORED)
        new = self.push("moves", "newer")
        only = self.push("only")
        self.pull("only", MIRRORED)
        self.push("only", registry=stage.beside)
        self.addCleanup(stage.line.mend)
        stage.line.cut()
        stage.beside.clear_log()
        refused = f"cannot connect to {stage.dead}: Connection refused"
        down = {"code": "unreachable", "message": refused}
        tags = self.tags("--upstream", MIRRORED, "--mirrors", code=1, err=None)
        self.assertEqual(self.of(tags["moves"]), {stage.cache.url: ("stale", old), stage.beside.url: ("absent", None),
                                                  stage.dead: ("down", None)})
        self.assertEqual((tags["moves"]["upstream_digest"], tags["moves"]["mirrors"][2]["error"]), (new, down))
        self.assertEqual(self.of(tags["only"])[stage.beside.url], ("current", only))
        self.assertEqual({entry["method"] for entry in stage.beside.log(path="/manifests/")}, {"HEAD"})
        table = self.drift("--tags", "--upstream", MIRRORED, "--mirrors", code=1, err=None, env={"COLUMNS": "120"})
        self.assertRegex(table.out, rf"\n{self.repo}:moves +{re.escape(stage.cache.url)} +stale +{short(old)}\n")
        self.assertIn(said(f"the mirror {stage.dead}: {refused}"), table.err)

    def drift(self, *words, code, err="", ctl=None, **more):
        if err is not None:
            return super().drift(*words, code=code, err=err, ctl=ctl, **more)
        result = stage.ctl.run("drift", *words, **more)
        self.assertEqual(result.code, code, result)
        return result

    @staticmethod
    def of(tag):
        return {mirror["mirror"]: (mirror["state"], mirror["digest"]) for mirror in tag["mirrors"]}

    def test_a_stale_one_counts(self):
        self.push("one")
        self.pull("one")
        self.push("one", "older", stage.beside)
        stage.fake.clear_log()
        ctl = stage.make_ctl({REAL: {"server": stage.registry.url, "mirrors": [stage.beside.url]}})
        words = ("--upstream", REAL, "--tags")
        self.drift(*words, code=0, ctl=ctl)
        self.drift(*words, "--mirrors", code=1, ctl=ctl)
        self.drift(*words, "--mirrors", "--only", "moved", code=0, ctl=ctl)

    def test_credentials_are_not_theirs(self):
        self.push("one", registry=stage.private)
        self.pull("one", PRIVATE, ("ann", WORD))
        self.push("one", registry=stage.beside)
        stage.beside.clear_log()
        ctl = stage.make_ctl({PRIVATE: {"server": stage.private.url, "mirrors": [stage.beside.url]}})
        tags = self.tags("--upstream", PRIVATE, "--mirrors", "--credentials", "-", code=0, ctl=ctl, stdin=f"ann:{WORD}")
        self.assertEqual([mirror["state"] for mirror in tags["one"]["mirrors"]], ["current"])
        entries = stage.beside.log(path="/manifests/")
        self.assertGreater(len(entries), 0)
        for entry in entries:
            self.assertNotIn("authorization", [name.lower() for name, _ in entry["headers"]])


class Containers(Case):
    def build(self, tag, marker):
        return stage.images.push(stage.registry, self.repo, tag, marker)

    def start(self, image, said_image, name="web-0"):
        """A container that goes on: as the kubelet starts it, `image` is an ID."""
        folder = stage.folder.sub(f"run-{name}")
        container = {"metadata": {"name": "main", "attempt": 0}, "log_path": "main.log", "command": ["sleep", "100000"],
                     "labels": {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "default"},
                     "image": {"image": image, "user_specified_image": said_image}, "linux": {}}
        (folder / "pod.json").write_text(json.dumps(pod_config(stage.folder, name)))
        (folder / "container.json").write_text(json.dumps(container))
        pod = stage.crictl("runp", folder / "pod.json").strip()
        made = stage.crictl("create", "--no-pull", pod, folder / "container.json", folder / "pod.json").strip()
        stage.crictl("start", made)
        return made

    def containers(self, **more):
        return self.document("--containers", **more)["containers"]

    def state(self, **more):
        container, = self.containers(**more)
        return container["state"], container["reason"]

    def start_as_kubelet(self, tag, name="web-0"):
        self.pull(tag)
        return self.start(stage.crictl.image(self.image(tag))["id"], self.image(tag), name)

    def test_current_older_restart_needed_current(self):
        """The life of one container: what runs is an ID, and the tag moves twice."""
        old = self.build("stable", "one")
        made = self.start_as_kubelet("stable")
        container, = self.containers(code=0)
        self.assertRegex(container.pop("created"), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(container, {
            "id": made, "name": "main", "pod": "web-0", "namespace": "default", "state": "current", "reason": None,
            "reference": self.image("stable"), "upstream": REAL, "image_id": stage.crictl.image(self.image("stable"))["id"],
            "digest": old, "tag_digest": old, "upstream_digest": old, "error": None})
        new = self.build("stable", "two")
        container, = self.containers(code=1)
        self.assertEqual([container[key] for key in ("state", "digest", "tag_digest", "upstream_digest")],
                         ["older", old, old, new])
        self.pull("stable")
        container, = self.containers(code=1)
        self.assertEqual([container[key] for key in ("state", "digest", "tag_digest", "upstream_digest")],
                         ["restart-needed", old, new, new])
        document = self.document(code=1)
        self.assertEqual([tag["state"] for tag in document["tags"]], ["current"])
        self.assertEqual(document["summary"]["containers"], {**dict.fromkeys(STATES, 0), "restart-needed": 1})
        table = self.drift(code=1, env={"COLUMNS": "160"})
        lines = [re.sub(" +", " ", line) for line in table.lines]
        self.assertEqual(lines[3:], ["container state tag runs upstream", " ".join((
            "default/web-0/main restart-needed", f"{self.repo}:stable", short(old), short(new))), "",
            "1 tag: 1 current; 1 container: 1 restart-needed"])
        self.assertLessEqual(max(map(len, self.drift(code=1).lines)), 80)
        self.build("stable", "three")
        self.assertEqual(self.state(code=1), ("older", None))
        self.assertEqual(stage.crictl.json("inspect", made)["status"]["state"], "CONTAINER_RUNNING")

    def test_by_name_and_by_digest(self):
        digest = self.build("stable", "one")
        self.pull("stable")
        self.start(self.image("stable"), self.image("stable"), "by-name")
        fixed = f"{REAL}/{self.repo}@{digest}"
        self.start(fixed, fixed, "by-digest")
        self.build("stable", "two")
        self.assertEqual({of["pod"]: (of["state"], of["reference"]) for of in self.containers(code=1)},
                         {"by-name": ("older", self.image("stable")), "by-digest": ("current", fixed)})

    def test_an_index_and_the_manifest_in_it(self):
        """One image, two digests: whoever was pulled last, both run the current one."""
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        digest = stage.images.push_index(stage.registry, self.repo, "index", {architecture: "one"})
        self.start_as_kubelet("index", "of-index")
        self.start_as_kubelet(f"index-{architecture}", "of-manifest")
        containers = {of["pod"]: of for of in self.containers(code=0)}
        self.assertEqual({of["state"] for of in containers.values()}, {"current"})
        self.assertEqual(len({of["image_id"] for of in containers.values()}), 1)
        self.assertEqual(containers["of-index"]["upstream_digest"], digest)

    def test_gone_and_away(self):
        self.build("stable", "one")
        self.start_as_kubelet("stable")
        ctl = stage.make_ctl({REAL: stage.dead})
        err = said(f"{self.image('stable')}: cannot connect to {stage.dead}: Connection refused; is it up? Where it is asked: "
                   f'server in [upstream."{REAL}"], else containerd\'s certs.d, and HTTPS_PROXY')
        self.assertEqual(self.state(code=69, err=err, ctl=ctl), ("unknown", "unreachable"))
        self.build("stable", "two")
        self.pull("stable")
        self.assertEqual(self.state(code=1, err=err, ctl=ctl), ("restart-needed", None))
        stage.registry.delete_tag(self.repo, "stable")
        self.assertEqual(self.state(code=1), ("gone", None))

    def test_a_tag_that_containerd_has_lost(self):
        """It is asked for all the same, and not shown as a tag."""
        old = self.build("stable", "one")
        self.start_as_kubelet("stable")
        stage.containerd.delete_image(self.image("stable"))
        document = self.document(code=0)
        container, = document["containers"]
        self.assertEqual([container[key] for key in ("state", "digest", "tag_digest")], ["current", old, None])
        self.assertEqual(document["tags"], [])
        self.build("stable", "two")
        self.assertEqual(self.state(code=1), ("older", None))

    def test_an_image_that_containerd_has_lost(self):
        self.build("stable", "one")
        self.start_as_kubelet("stable")
        for name in stage.containerd.store():
            if "pause" not in name:
                stage.containerd.delete_image(name)
        wait_until(lambda: not [image for image in stage.crictl.images() if self.repo in str(image)], "CRI forgets it")
        self.assertEqual(self.state(code=66), ("unknown", "no_image"))


class Sockets(Case):
    def ctl(self, **shim):
        return stage.make_ctl({}, **shim)

    def test_nobody_there(self):
        path = f"unix://{stage.folder.path}/nobody.sock"
        advice = "is it running? Where it is: backend and containerd in [shim] of the configuration (--config)"
        for shim in ({"backend": path}, {"containerd": path}):
            with self.subTest(shim):
                self.assertEqual(self.drift("--upstream", REAL, code=69, ctl=self.ctl(**shim), err=said(
                    f"containerd cannot be reached at {path}: No such file or directory; {advice}")).out, "")

    def test_not_allowed(self):
        nobody = {"user": 65534, "group": 65534, "extra_groups": []}
        with tempfile.TemporaryDirectory() as home:
            os.chmod(home, 0o755)
            config = os.path.join(home, "config.toml")
            with open(config, "w", encoding="utf-8") as out:
                out.write(f'[shim]\nbackend = "unix://{stage.containerd.socket}"\n')
            command = list(stage.ctl.command("drift"))
            command[command.index("--config") + 1] = config
            program = os.path.join(home, "ctl")
            with open(command[0], "rb") as binary, open(program, "wb") as copy:
                copy.write(binary.read())
            os.chmod(program, 0o755)
            run = subprocess.run([program, *command[1:]], env=stage.ctl.env, cwd="/", capture_output=True, text=True, timeout=60,
                                 check=False, **nobody)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (77, "", said(
            f"unix://{stage.containerd.socket}: permission denied; run this as root, or as a member of the group that may read "
            "and write the socket")))

    def test_a_signal_while_containerd_hangs(self):
        path = stage.folder.sub("hangs") / "c.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            ctl = self.ctl(backend=f"unix://{path}")
            with subprocess.Popen(ctl.command("drift"), env=ctl.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) as run, listener.accept()[0]:
                run.send_signal(signal.SIGINT)
                self.assertEqual(run.communicate(timeout=10), ("", ""))
        self.assertEqual(run.returncode, 130)

    def test_a_daemon_of_ours_is_not_needed_and_does_not_disturb(self):
        """What it has pulled has its label: the date is the upstream's word."""
        self.push("one")
        with Daemon(stage.folder, stage.containerd, {REAL: stage.registry.url}) as daemon:
            Crictl(stage.folder, daemon.socket).pull(self.image("one"))
            self.assertRegex(self.tags(code=0)["one"]["verified"], r"^20\d\d-")


if __name__ == "__main__":
    unittest.main()
