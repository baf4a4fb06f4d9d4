# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl for those who may read the configuration, but none of the secrets that it leads to."""
import shutil
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Cri, Ctl, Daemon, Folder
from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.images import self_signed

CONTAINERDS = ("2",)

HOST, HEADER_HOST, KEY_HOST = "ghcr.io", "header.example", "key.example"
NOBODY, GROUP = 65534, 4242
WORD = "a-word-that-nobody-else-has"


def needed(path, host):
    return f"cannot read {path}: Permission denied: it is needed to ask {host}; run this as a user who may read it"


class Installed(Ctl):
    """The program where everybody may run it, with the daemon's configuration."""

    def __init__(self, folder, daemon):
        super().__init__(folder)
        self.config = daemon.config
        self.program = shutil.copy(ctl_binary(), self.home)

    def command(self, *words):
        return [self.program, *super().command(*words)[1:]]


def open_way(*paths):
    """Lets every user reach these files, whatever they are themselves."""
    for path in paths:
        for folder in path.parents:
            if str(folder).startswith("/tmp/"):
                folder.chmod(0o755)


class Member(unittest.TestCase):
    """A node with one secret of each kind; who asks is in shim.allow_groups, and is nobody else."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.mirror.auth({".*": {"scheme": "basic", "users": {"ann": WORD}}})
        for where in (cls.upstream, cls.mirror):
            cls.digest = where.image("team/app", "1", "one")
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.upstream.url}))
        cls.make_secrets(cls.folder.sub("secrets"))
        cls.daemon = cls.enterClassContext(Daemon(
            cls.folder, cls.containerd,
            {HOST: {"server": cls.upstream.url, "mirrors": [cls.mirror.url]},
             HEADER_HOST: {"server": cls.upstream.url, "headers": {"X-Word": {"file": cls.header}}},
             KEY_HOST: {"server": cls.upstream.url, "client_cert": cls.certificate, "client_key": cls.key}},
            mirrors={cls.mirror.url: {"credentials": cls.credentials}},
            shim={"listen_mode": "0660", "listen_group": str(GROUP), "allow_groups": [str(GROUP)]}))
        cls.ctl = Installed(cls.folder, cls.daemon)
        cls.containerd.socket.chmod(0o666)
        open_way(cls.daemon.socket, cls.daemon.config, cls.ctl.home / "x", cls.containerd.socket, cls.credentials)
        with Cri(cls.daemon.socket) as cri:
            cri.pull(f"{HOST}/team/app:1")

    @classmethod
    def make_secrets(cls, home):
        cls.credentials, cls.header, cls.key = home / "cred", home / "header", home / "key.pem"
        cls.certificate = home / "cert.pem"
        certificate, key = self_signed(cls.folder)
        shutil.copy(certificate, cls.certificate)
        shutil.copy(key, cls.key)
        cls.credentials.write_text(f"ann:{WORD}\n")
        cls.header.write_text(f"{WORD}\n")
        cls.certificate.chmod(0o644)
        for secret in (cls.credentials, cls.header, cls.key):
            secret.chmod(0o600)

    def run_as_member(self, *words):
        return self.ctl.run(*words, cwd="/", user=NOBODY, group=GROUP, extra_groups=[])

    def ask(self, *words, code=0, err=""):
        done = self.run_as_member(*words)
        self.assertEqual((done.code, done.err), (code, err), done)
        return done

    def test_status(self):
        self.assertIn("containerd", self.ask("status").out)

    def test_pull(self):
        done = self.run_as_member("pull", f"{HOST}/team/app:1")
        self.assertEqual(done.code, 0, done)

    def test_resolve(self):
        self.assertEqual(self.ask("resolve", f"{HOST}/team/app:1").out, f"{HOST}/team/app@{self.digest}\n")

    def test_drift(self):
        self.assertIn("current", self.ask("drift").out)

    def test_render(self):
        for what in ("hosts", "crictl", "kubelet"):
            with self.subTest(what):
                done = self.run_as_member("render", what)
                self.assertEqual(done.code, 0, done)
                as_root = self.ctl.run("render", what, cwd="/")
                self.assertEqual((done.out, done.err), (as_root.out, as_root.err))
                self.assertNotIn(WORD, done.out)

    def test_pin(self):
        manifest = self.folder.path / "pod.yaml"
        manifest.write_text(f"image: {HOST}/team/app:1\n")
        manifest.chmod(0o644)
        self.assertIn(self.digest, self.run_as_member("pin", manifest).out)

    def test_mirrors_that_want_credentials(self):
        """They are told which file is missing, and the upstream's answer is there all the same."""
        why = needed(self.credentials, self.mirror.url)
        for words in (("resolve", "--all", f"{HOST}/team/app:1"), ("drift", "--mirrors")):
            with self.subTest(words):
                done = self.run_as_member(*words, "-o", "json")
                self.assertIn(why, done.out)
                self.assertIn(self.digest, done.out)
        self.assertEqual(self.ctl.run("resolve", "--all", f"{HOST}/team/app:1").code, 0)

    def test_upstreams_that_want_a_secret(self):
        for host, path, before in ((HEADER_HOST, self.header, 'header "X-Word": '), (KEY_HOST, self.key, "")):
            with self.subTest(host):
                self.ask("resolve", f"{host}/team/app:1", code=71, err=(
                    f"cri-resolvectl resolve: {host}/team/app:1: {before}{needed(path, host)}\n"))
                self.assertEqual(self.ctl.run("resolve", f"{host}/team/app:1").out, f"{host}/team/app@{self.digest}\n")
        self.assertIn(WORD, [value for entry in self.upstream.log() for name, value in entry["headers"] if name == "X-Word"])

    def test_files_that_may_not_be_read(self):
        """Each verb ends as the table of exit codes says, whatever it wanted them for."""
        closed = self.folder.sub("closed") / "file"
        closed.write_text("")
        closed.chmod(0)
        open_way(closed)
        for words in (("pin", closed), ("migrate", "--containerd-config", closed), ("resolve", "--credentials", closed, "ghcr.io/a")):
            with self.subTest(words):
                done = self.run_as_member(*words)
                self.assertEqual(done.code, 71, done)
                self.assertIn(f"cannot read {closed}: Permission denied", done.err)
        self.ctl.config, old = closed, self.ctl.config
        self.addCleanup(setattr, self.ctl, "config", old)
        for words in (("status",), ("resolve", "ghcr.io/a"), ("render", "hosts"), ("pull", "ghcr.io/a")):
            with self.subTest(words):
                self.ask(*words, code=71, err=f"cri-resolvectl {words[0]}: cannot read {closed}: Permission denied\n")

    def test_check_judges_the_whole_configuration(self):
        done = self.run_as_member("check", "configuration", "-o", "json")
        self.assertIn(f"cannot read {self.header}: Permission denied", done.out)
