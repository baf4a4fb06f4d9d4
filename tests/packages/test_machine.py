# SPDX-License-Identifier: Apache-2.0
"""The packages on machines that systemd has booted: what runs when, and what an upgrade does to it. Each test boots a
bookworm and a trixie of its own; containerd runs outside, and its socket is where the machine expects it."""
import contextlib
import pathlib
import subprocess
import threading
import unittest

import grpc

from tests.integration.harness import Containerd, Crictl, Cri, Folder, Images, Registry, wait_until
from tests.integration.harness.daemon import toml
from tests.integration.harness.machine import Machine, may_lower_oom_scores
from tests.packages import packages
from tests.packages.node import HOST
from tests.packages.packages import CONFIG, NEXT
from tests.packages.roots import CONTAINERD, ROOTS, suite
from tests.packages.test_deb import KUBELET, KUBELET_TEXT, WARNING

SUITES = ("bookworm", "trixie")
TIMEOUT_S = 400

SERVICE = "cri-resolved.service"
SOCKETS = ("cri-resolved.socket", "cri-resolved-admin.socket", "cri-resolved-relay.socket")
CRI = "/run/cri-resolved/cri-resolved.sock"
VERSION = "/runtime.v1.RuntimeService/Version"


class Caller(threading.Thread):
    """Asks for the version again and again, with a new connection each time, until the block ends or an answer fails."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.ends, self.answers, self.failure = path, threading.Event(), 0, None

    def run(self):
        while not self.ends.is_set() and self.failure is None:
            try:
                with Cri(self.path) as cri:
                    cri.call(VERSION, timeout_s=30)
                self.answers += 1
            except grpc.RpcError as error:
                self.failure = f"{error.code()}: {error.details()}"

    def __enter__(self):
        self.start()
        wait_until(lambda: self.failure or self.answers, "the first answer")
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.join()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = stack.enter_context(Folder())
        self.registry = stack.enter_context(Registry(self.folder))
        self.containerd = stack.enter_context(
            Containerd(self.folder, CONTAINERD[suite()], upstreams={HOST: self.registry.url}))
        self.share = self.folder.sub("share")
        self.machine = Machine(self.folder, [], ROOTS / suite(),
                               {self.containerd.home: "/run/containerd", self.share: "/srv"})
        if not may_lower_oom_scores():  # here, not on a node
            self.machine.write(f"/etc/systemd/system/{SERVICE}.d/test.conf", "[Service]\nOOMScoreAdjust=0\n")
        stack.enter_context(self.machine)
        self.run_in = self.machine.run

    def share_file(self, path):
        """The path of a file of ours, inside."""
        (self.share / path.name).write_bytes(path.read_bytes())
        return f"/srv/{path.name}"

    def configure(self, text="", path=CONFIG):
        self.machine.outside("/etc/cri-resolved").mkdir(exist_ok=True)
        self.machine.outside(path).write_text(
            f'{text}\n[shim]\nbackend = "unix:///run/containerd/c.sock"\ncerts_dir = "/etc/containerd/certs.d"\n'
            f"[upstream.{toml(HOST)}]\nserver = {toml(self.registry.url)}\n")

    def states(self):
        return {unit: self.machine.show(unit, "ActiveState") for unit in (SERVICE, *SOCKETS)}

    def enable(self):
        self.run_in("systemctl", "enable", "--now", "cri-resolved.socket", SERVICE)
        self.assertEqual(dict.fromkeys((SERVICE, *SOCKETS), "active"), self.states())

    def pid(self):
        return self.machine.show(SERVICE, "MainPID")

    def pull(self):
        """One pull through the daemon, by crictl."""
        digest = Images(self.folder).push(self.registry, "team/app", "stable", marker="v1")
        crictl = Crictl(self.folder, self.machine.outside(CRI))
        crictl.pull(f"{HOST}/team/app:stable")
        self.assertEqual([f"{HOST}/team/app@{digest}"], crictl.image(f"{HOST}/team/app:stable")["repoDigests"])

    def held_since(self):
        return {unit: self.machine.show(unit, "ActiveEnterTimestampMonotonic") for unit in SOCKETS}


class Deb(Case):
    def apt(self, *words):
        return self.run_in("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "-o", "Dpkg::Use-Pty=0",
                           "-o", "Dpkg::Options::=--force-confold", *words)

    def install(self, package=None):
        return self.apt("install", self.share_file(package or packages.deb()))

    def next_deb(self):
        return packages.made_again(packages.deb(), self.folder, packages.change_config)

    def test_from_installing_to_purging(self):
        with self.subTest("nothing starts"):
            self.install()
            self.assertEqual(dict.fromkeys((SERVICE, *SOCKETS), "inactive"), self.states())
        with self.subTest("the administrator's step"):
            self.configure()
            self.enable()
            self.pull()
            self.assertIn("outcome=ok", self.machine.journal(SERVICE))
        with self.subTest("an upgrade restarts it, and refuses nobody"):
            package = self.next_deb()
            before, since = self.pid(), self.held_since()
            with Caller(self.machine.outside(CRI)) as caller:
                self.install(package)
                answered = caller.answers
                wait_until(lambda: caller.failure or caller.answers > answered, "an answer of the new one")
            self.assertIsNone(caller.failure)
            self.assertNotEqual(before, self.pid())
            self.assertEqual(since, self.held_since())
            self.assertEqual(NEXT, self.run_in("dpkg-query", "-W", "-f", "${Version}", "cri-resolved"))
        with self.subTest("removing stops it, with a word about kubelet"):
            self.machine.outside(KUBELET).parent.mkdir(parents=True)
            self.machine.outside(KUBELET).write_text(KUBELET_TEXT)
            said = self.apt("remove", "cri-resolved")
            self.assertIn(WARNING, said)
            self.assertIn(KUBELET, said)
            self.assertEqual(dict.fromkeys((SERVICE, *SOCKETS), "inactive"), self.states())
            self.assertEqual("", self.run_in("pidof", "cri-resolved", check=False))
        with self.subTest("purge"):
            self.apt("purge", "cri-resolved")
            for path in ("/etc/cri-resolved", "/run/cri-resolved", f"/etc/systemd/system/multi-user.target.wants/{SERVICE}"):
                place = self.machine.outside(path)
                self.assertFalse(place.exists() or place.is_symlink(), path)

    def test_an_upgrade_starts_nothing_that_was_stopped(self):
        self.install()
        self.configure()
        self.enable()
        self.run_in("systemctl", "stop", SERVICE, *SOCKETS)
        self.install(self.next_deb())
        self.assertEqual(dict.fromkeys((SERVICE, *SOCKETS), "inactive"), self.states())

    def test_a_configuration_that_the_new_version_does_not_take_stops_nothing(self):
        self.install()
        self.configure()
        self.enable()
        before = self.pid()
        self.configure("nonsense = 1")
        said = self.install(self.next_deb())
        self.assertIn("The old version runs on", said)
        self.assertIn("nonsense", said)
        self.assertEqual(before, self.pid())
        self.pull()

    def test_it_looks_at_the_file_that_a_drop_in_names(self):
        other = "/etc/cri-resolved/other.toml"
        self.install()
        self.machine.write(f"/etc/systemd/system/{SERVICE}.d/other.conf",
                           f"[Service]\nExecStart=\nExecStart=/usr/bin/cri-resolved --config {other}\n")
        self.run_in("systemctl", "daemon-reload")
        self.configure("nonsense = 1")
        self.configure(path=other)
        self.enable()
        before, package = self.pid(), self.next_deb()
        self.install(package)
        self.assertNotEqual(before, after := self.pid(), "a mistake in a file that nobody reads")
        self.configure()
        self.configure("nonsense = 1", other)
        said = self.apt("install", "--reinstall", self.share_file(package))
        self.assertIn("The old version runs on", said)
        self.assertIn(other, said)
        self.assertEqual(after, self.pid())


class Rpm(Case):
    """Its files and scripts, with the arguments that rpm gives them; rpm itself is in test_rpm."""

    def script(self, tag, left):
        text = subprocess.run(["rpm", "-qp", "--queryformat", f"%{{{tag}}}", packages.rpm()], capture_output=True,
                              text=True, check=True).stdout
        return self.run_in("sh", "-e", "-c", text, tag, str(left))

    def test_its_scripts(self):
        tree = packages.unpack(packages.rpm(), self.folder)
        archive = self.share / "tree.tar"
        packages.say("tar", "-C", tree, "-cf", archive, ".")
        self.run_in("tar", "-C", "/", "--no-same-owner", "--keep-directory-symlink", "-xf", "/srv/tree.tar")
        with self.subTest("post 1"):
            self.script("POSTIN", 1)
            self.assertEqual(dict.fromkeys((SERVICE, *SOCKETS), "inactive"), self.states())
        self.configure()
        self.enable()
        before, since = self.pid(), self.held_since()
        with self.subTest("post 2, then the old one's preun 1 and postun 1"), Caller(self.machine.outside(CRI)) as caller:
            self.script("POSTIN", 2)
            self.assertNotEqual(before, after := self.pid())
            self.script("PREUN", 1)
            self.script("POSTUN", 1)
            self.assertEqual((after, since), (self.pid(), self.held_since()))
        self.assertIsNone(caller.failure)
        self.pull()
        with self.subTest("preun 0 and postun 0"):
            self.script("PREUN", 0)
            self.assertEqual(dict.fromkeys((SERVICE, *SOCKETS), "inactive"), self.states())
            self.assertEqual("disabled", self.run_in("systemctl", "is-enabled", SERVICE, check=False))
            self.script("POSTUN", 0)
            self.assertFalse(pathlib.Path(self.machine.outside("/run/cri-resolved")).exists())
