# SPDX-License-Identifier: Apache-2.0
"""`check` beside the daemon in its unit, which takes folders and capabilities away from it: files that
containerd can read and the daemon cannot."""
import json
import os
import pathlib
import re

import grpc

from tests.integration.check_parts import places, texts
from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.images import self_signed
from tests.integration.harness.parts import dead_port
from tests.integration.service_parts import SANITIZER_ENVIRONMENT
from tests.integration.test_boot import HOST, SERVICE, BootCase

CONTAINERDS = ("2",)
TIMEOUT_S = 400
CERTS, HOSTS_TOML = "/etc/containerd/certs.d", f"/etc/containerd/certs.d/{HOST}/hosts.toml"
CONFIG = "/etc/cri-resolved/config.toml"
SANITIZERS = SANITIZER_ENVIRONMENT.strip().removeprefix("Environment=").split()
HIDDEN = ("hidden by the unit, as all below /root, /home, /run/user, /tmp and /var/tmp (ProtectHome, PrivateTmp)")
ANOTHERS = "owner 1000, mode 0600: closed to root without a capability, as the daemon runs"


class Unreadable(BootCase):
    @classmethod
    def install(cls, machine):
        super().install(machine)
        machine.write("/usr/bin/cri-resolvectl", ctl_binary().read_bytes(), 0o755)
        machine.write("/etc/containerd/config.toml", f'version = 3\n[plugins."io.containerd.cri.v1.images".registry]\n'
                      f'config_path = "{CERTS}"\n')
        cls.pem = pathlib.Path(self_signed(cls.folder)[0]).read_text()

    @classmethod
    def configure(cls, text="", service="", mode=None):
        """Without an entry for the registry: its trust is certs.d's."""
        super().configure(text, service, mode)
        cls.machine.write(CONFIG, '[shim]\nbackend = "unix:///run/containerd/c.sock"\n'
                          f'certs_dir = "{CERTS}"\n{text}')

    def setUp(self):
        self.hosts_toml()
        self.addCleanup(self.hosts_toml)

    def hosts_toml(self, text=""):
        """With a registry that is spoken to by TLS, and refuses."""
        self.write(HOSTS_TOML, f'server = "https://127.0.0.1:{dead_port()}"\n{text}[host]\n')

    def write(self, path, text, mode=0o644, owner=0):
        place = self.machine.outside(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        os.chown(place, owner, owner)

    def find(self):
        """The findings of this kind, by the path of their file."""
        command = ("cri-resolvectl", "check", "configuration", "--offline", "-o", "json")
        said = self.machine.run("env", *SANITIZERS, *command, check=False)
        found = json.loads(said[said.index("{\n"):])["findings"]
        return {places(one)[0]: one for one in found if one["identifier"] == "trust-file-unreadable"}

    def pull_error(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.client().pull(f"{HOST}/team/none:v1")
        return caught.exception.details()

    def test_a_ca_that_the_unit_hides(self):
        """By whatever way it comes there; with the words of the page."""
        self.assertEqual(self.find(), {})
        for path in ("/root/ca.pem", "/home/ann/ca.pem", "/run/user/0/ca.pem", "/tmp/ca.pem", "/var/tmp/ca.pem"):
            with self.subTest(path):
                self.write(path, self.pem)
                self.hosts_toml(f'ca = "{path}"\n')
                self.assertIn(f"cannot read the CA file {path}: ", self.pull_error())
                found = self.find()
                self.assertEqual(list(found), [path])
                self.assertEqual(found[path]["severity"], "error")
                self.assertEqual((places(found[path]), texts(found[path])), (
                    [path, path, HOSTS_TOML], ["the daemon cannot read it", HIDDEN, "where it is named"]))
                self.assertEqual(found[path]["remedy"]["steps"], [])
        self.configure(f'[upstream."{HOST}"]\nmode = "passthrough"\n')
        self.addCleanup(self.configure)
        self.assertEqual(self.find(), {}, "the daemon asks nobody")
        self.configure()
        self.write("/etc/cri-resolved/ca.pem", self.pem)
        self.hosts_toml('ca = "/etc/cri-resolved/ca.pem"\n')
        self.assertNotIn("cannot read", self.pull_error())
        self.assertEqual(self.find(), {})
        link = self.machine.outside("/etc/cri-resolved/link.pem")
        link.symlink_to("/root/ca.pem")
        self.hosts_toml('ca = "/etc/cri-resolved/link.pem"\n')
        self.assertIn("cannot read the CA file", self.pull_error())
        self.assertEqual(places(self.find()["/etc/cri-resolved/link.pem"])[1], "/root/ca.pem")

    def test_a_file_of_another_user(self):
        path = "/etc/pki/ann/ca.pem"
        self.write(path, self.pem, 0o600, owner=1000)
        self.hosts_toml(f'ca = ["{path}"]\n')
        self.assertIn(f"cannot read the CA file {path}: Permission denied", self.pull_error())
        finding = self.find()[path]
        self.assertEqual(texts(finding)[1], ANOTHERS)
        self.assertEqual(finding["remedy"]["steps"], [{"action": "run", "command": ["chown", "root", path]}])
        self.machine.run("chown", "root", path)
        self.assertNotIn("cannot read", self.pull_error())
        self.assertEqual(self.find(), {})
        self.write(HOSTS_TOML, "", 0o600, owner=1000)
        self.assertEqual(list(self.find()), [HOSTS_TOML])

    def test_our_own_configuration(self):
        """Before the daemon is told of it, and when it does not start with it."""
        def restore():
            self.configure()
            self.machine.run("systemctl", "restart", SERVICE)
        self.addCleanup(restore)
        self.write("/root/ca.pem", self.pem)
        self.write("/root/header", "word\n", 0o600)
        self.configure(f'[upstream."{HOST}"]\nca = "/root/ca.pem"\nheaders = {{ X-Word = {{ file = "/root/header" }} }}\n')
        self.hosts_toml('ca = "/root/other.pem"\n')  # which does not count besides
        for running in (True, False):
            with self.subTest(running=running):
                found = self.find()
                self.assertEqual({path: places(one)[-1] for path, one in found.items()},
                                 {"/root/ca.pem": f"{CONFIG}:5", "/root/header": f"{CONFIG}:6"})
                self.machine.run("systemctl", "restart", SERVICE, check=False)
        self.assertRegex(self.machine.journal(SERVICE), re.escape(CONFIG) + ":5: .*/root/ca.pem")

    def test_a_unit_that_hides_less(self):
        """A drop-in is a remedy, too: what the daemon sees counts."""
        def restore():
            self.configure()
            self.machine.run("systemctl", "daemon-reload")
            self.machine.run("systemctl", "restart", SERVICE)
        self.addCleanup(restore)
        self.write("/root/ca.pem", self.pem)
        self.hosts_toml('ca = "/root/ca.pem"\n')
        self.assertEqual(list(self.find()), ["/root/ca.pem"])
        for text in ("", '[admin]\nlisten = ""\n'):
            with self.subTest(text):
                self.configure(text, service="ProtectHome=read-only\n")
                self.machine.run("systemctl", "daemon-reload")
                self.machine.run("systemctl", "restart", SERVICE)
                self.assertNotIn("cannot read", self.pull_error())
                self.assertEqual(self.find(), {})
