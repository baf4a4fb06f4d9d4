# SPDX-License-Identifier: Apache-2.0
"""The rpm in a root of its own, by rpm itself, with its scripts: installed, upgraded, removed. The root is a minimal
Debian, which has systemd in the same place; that it has other names for the libraries is what --nodeps is for."""
import contextlib
import subprocess
import unittest

from tests.integration.harness import Crictl, Folder
from tests.packages import packages
from tests.packages.node import HOST, Node
from tests.packages.packages import CHANGED, CONFIG, NEXT
from tests.packages.roots import Root
from tests.packages.test_deb import ADMINS, KUBELET, KUBELET_TEXT, WARNING

TIMEOUT_S = 300
UNITS = ("cri-resolved.service", "cri-resolved.socket", "cri-resolved-admin.socket", "cri-resolved-relay.socket")

# Folders that every rpm distribution has, and this root has not.
COMMON = {"/usr/share/fish", "/usr/share/fish/vendor_completions.d", "/usr/share/licenses", "/usr/share/zsh",
          "/usr/share/zsh/site-functions", *(f"/usr/share/man/man{section}" for section in (1, 5, 8))}


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.shelf = cls.enterClassContext(Folder())
        cls.next_rpm = packages.made_again(packages.rpm(), cls.shelf, packages.change_config)

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(Folder())
        self.root = self.stack.enter_context(Root(self.folder, "trixie"))

    def rpm(self, *words):
        """rpm in this root; all it and its scripts said."""
        done = subprocess.run(["rpm", "--root", self.root.path, "--dbpath", "/var/lib/rpm", "--force-debian", *words],
                              env=self.root.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stdout)
        self.assertNotIn("scriptlet failed", done.stdout)
        return done.stdout

    def install(self, package=None):
        return self.rpm("-U", "--nodeps", package or packages.rpm())

    def left_since(self, before):
        return set(self.root.tree()) - set(before) - COMMON

    def enabled(self, name="cri-resolved.service"):
        return self.root.run("systemctl", "is-enabled", name).out.strip()


class Installing(Case):
    def test_it_adds_its_files_and_touches_nothing_else(self):
        self.root.write(KUBELET, "kind: KubeletConfiguration\n")
        before = self.root.tree()
        self.assertEqual("", self.install())
        after = self.root.tree()
        own = set(self.rpm("-ql", "cri-resolved").splitlines())
        self.assertEqual({}, {path: (what, after.get(path)) for path, what in before.items() if after.get(path) != what})
        self.assertEqual(set(), set(after) - set(before) - own - COMMON)
        self.assertEqual("", self.rpm("-V", "--nodeps", "cri-resolved"))

    def test_nothing_is_switched_on(self):
        self.install()
        self.assertEqual({name: "disabled" for name in UNITS}, {name: self.enabled(name) for name in UNITS})

    def test_a_preset_of_the_administrator_counts(self):
        self.root.write("/etc/systemd/system-preset/10-site.preset", "enable cri-resolved.*\n")
        self.install()
        self.assertEqual("enabled", self.enabled())
        self.assertEqual("enabled", self.enabled("cri-resolved.socket"))

    def test_without_systemd(self):
        """As in the image of a container."""
        (self.root / "/usr/bin/systemctl").unlink()
        self.assertEqual("", self.install())
        self.assertEqual("", self.rpm("-e", "cri-resolved"))


class Serving(Case):
    def test_its_units_command_line_serves_crictl(self):
        self.install()
        node = Node(self.stack, self.folder, self.root)
        node.configure()
        digest = node.images.push(node.registry, "team/app", "stable", marker="v1")
        daemon = node.serve()
        crictl = Crictl(self.folder, node.socket)
        crictl.pull(f"{HOST}/team/app:stable")
        self.assertEqual([f"{HOST}/team/app@{digest}"], crictl.image(f"{HOST}/team/app:stable")["repoDigests"])
        self.assertEqual(0, daemon.stop())


class Upgrading(Case):
    def test_an_unchanged_configuration_is_replaced(self):
        self.install()
        self.assertEqual("", self.install(self.next_rpm))
        self.assertEqual(NEXT, self.rpm("-q", "--queryformat", "%{VERSION}", "cri-resolved"))
        self.assertIn(CHANGED, self.root.read(CONFIG))

    def test_the_administrators_configuration_stays(self):
        self.install()
        self.root.write(CONFIG, ADMINS)
        self.install(self.next_rpm)
        self.assertEqual(ADMINS, self.root.read(CONFIG))
        self.assertIn(CHANGED, self.root.read(f"{CONFIG}.rpmnew"))

    def test_what_was_enabled_stays_enabled_and_what_was_not_is_not(self):
        self.install()
        self.root("systemctl", "enable", "cri-resolved-admin.socket")
        self.install(self.next_rpm)
        self.assertEqual("enabled", self.enabled("cri-resolved-admin.socket"))
        self.assertEqual("disabled", self.enabled())

    def test_a_choice_against_a_preset_survives(self):
        """Presets are asked at the first installation alone."""
        self.root.write("/etc/systemd/system-preset/10-site.preset", "enable cri-resolved.*\n")
        self.install()
        self.root("systemctl", "disable", "cri-resolved.service")
        self.install(self.next_rpm)
        self.assertEqual("disabled", self.enabled())

    def test_it_does_not_warn_of_kubelet(self):
        self.install()
        self.root.write(KUBELET, KUBELET_TEXT)
        self.assertEqual("", self.install(self.next_rpm))


class Removing(Case):
    def test_it_takes_all_but_a_changed_configuration(self):
        before = self.root.tree()
        self.install()
        self.root("systemctl", "enable", "cri-resolved.service")
        self.root.write(CONFIG, ADMINS)
        said = self.rpm("-e", "cri-resolved")
        self.assertIn("saved as", said)
        self.assertEqual(ADMINS, self.root.read(f"{CONFIG}.rpmsave"))
        left = self.left_since(before)
        self.assertEqual({"/etc/cri-resolved", f"{CONFIG}.rpmsave"}, left)

    def test_it_takes_all_where_nothing_was_changed(self):
        before = self.root.tree()
        self.install()
        self.assertEqual("", self.rpm("-e", "cri-resolved"))
        self.assertEqual(set(), self.left_since(before))

    def test_it_warns_where_kubelet_still_points_here(self):
        self.install()
        self.root.write("/etc/sysconfig/kubelet",
                        "KUBELET_EXTRA_ARGS=--image-service-endpoint=unix:///run/cri-resolved/cri-resolved.sock\n")
        said = self.rpm("-e", "cri-resolved")
        self.assertIn(WARNING, said)
        self.assertIn("cri-resolved:   /etc/sysconfig/kubelet\n", said)
