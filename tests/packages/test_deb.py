# SPDX-License-Identifier: Apache-2.0
"""The deb in a minimal bookworm and trixie, by apt and dpkg themselves: installed, configured, upgraded, removed,
purged. systemd does not run here, as in an image that is being built; test_boot is about machines."""
import contextlib
import socket
import unittest

from tests.integration.harness import Crictl, Folder
from tests.packages import packages
from tests.packages.node import HOST, Node
from tests.packages.packages import CHANGED, CONFIG, NEXT
from tests.packages.roots import Root

SUITES = ("bookworm", "trixie")
TIMEOUT_S = 300

KUBELET = "/var/lib/kubelet/config.yaml"
KUBELET_TEXT = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
imageServiceEndpoint: unix:///run/cri-resolved/cri-resolved.sock
"""
WARNING = "kubelet still takes cri-resolved for its image service"
ENABLED = "/etc/systemd/system/multi-user.target.wants/cri-resolved.service"
ADMINS = "# the administrator was here\n"


class Case(unittest.TestCase):
    """Each test has a root of its own."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.shelf = cls.enterClassContext(Folder())
        cls.next_deb = packages.made_again(packages.deb(), cls.shelf, packages.change_config)

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.folder = self.stack.enter_context(Folder())
        self.root = self.stack.enter_context(Root(self.folder))

    def apt(self, *words):
        """apt without any archive: what it needs is there, or this fails. A Done."""
        done = self.root.run("apt-get", "-y", "-q", "-o", "Dpkg::Use-Pty=0", *words)
        self.assertEqual(0, done.code, done)
        return done

    def install(self, package=None, *options):
        return self.apt(*options, "install", self.root.take(package or packages.deb()))

    def status(self):
        done = self.root.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", "cri-resolved")
        return done.out if done.code == 0 else ""

    def config_folder(self):
        return sorted(path.name for path in (self.root / CONFIG).parent.glob("*"))


class Installing(Case):
    def test_it_adds_its_files_and_touches_nothing_else(self):
        self.root.write(KUBELET, "kind: KubeletConfiguration\n")
        self.root.write("/etc/containerd/config.toml", "version = 2\n")
        before = self.root.tree()
        self.install()
        after = self.root.tree()
        package = self.root.path / "srv" / packages.deb().name
        own = set(self.root("dpkg-query", "-L", "cri-resolved").splitlines()) | {f"/{package.relative_to(self.root.path)}"}
        self.assertEqual({}, {path: (what, after.get(path)) for path, what in before.items() if after.get(path) != what})
        self.assertEqual(set(), set(after) - set(before) - own)
        self.assertTrue({"/usr/bin/cri-resolved", CONFIG} <= set(after))

    def test_nothing_is_switched_on(self):
        self.install()
        units = [path.name for path in (self.root / "/usr/lib/systemd/system").glob("cri-resolved*.*")]
        self.assertIn("cri-resolved.service", units)
        self.assertIn("cri-resolved.socket", units)
        for name in units:
            self.assertEqual("disabled\n", self.root.run("systemctl", "is-enabled", name).out, name)

    def test_nor_when_a_machine_starts_for_the_first_time(self):
        self.install()
        self.root("systemctl", "preset-all", "--preset-mode=enable-only")  # as systemd does without a machine-id
        self.assertEqual("disabled\n", self.root.run("systemctl", "is-enabled", "cri-resolved.service").out)
        self.assertEqual("disabled\n", self.root.run("systemctl", "is-enabled", "cri-resolved.socket").out)

    def test_a_preset_of_the_administrator_is_above_ours(self):
        self.install()
        self.root.write("/etc/systemd/system-preset/10-site.preset", "enable cri-resolved.service\n")
        self.root("systemctl", "preset", "cri-resolved.service")
        self.assertEqual("enabled\n", self.root("systemctl", "is-enabled", "cri-resolved.service"))

    def test_the_configuration_is_valid_as_installed(self):
        self.install()
        done = self.root.run("cri-resolved", "--check")
        self.assertEqual(0, done.code, done)
        self.root.write(CONFIG, "[shim]\nnonsense = 1\n")
        done = self.root.run("cri-resolved", "--check")
        self.assertNotEqual(0, done.code)
        self.assertIn(CONFIG, done.err)

    def test_every_file_is_as_it_was_packed(self):
        self.install()
        self.assertEqual("", self.root("dpkg", "--verify", "cri-resolved"))


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
        self.assertEqual(digest, node.containerd.store()[f"{HOST}/team/app:stable"].digest)
        self.assertIn("pull", self.root("cri-resolvectl", "status"))
        self.assertIn('outcome=ok', daemon.log())
        self.assertEqual(0, daemon.stop())


class Upgrading(Case):
    def test_an_unchanged_configuration_is_replaced(self):
        self.install()
        self.install(self.next_deb)
        self.assertEqual(f"ii  {NEXT}", self.status())
        self.assertIn(CHANGED, self.root.read(CONFIG))
        self.assertEqual(["config.toml"], self.config_folder())

    def test_the_administrators_configuration_stays(self):
        self.install()
        self.root.write(CONFIG, ADMINS)
        self.install(self.next_deb, "-o", "Dpkg::Options::=--force-confold")
        self.assertEqual(ADMINS, self.root.read(CONFIG))
        self.assertIn(CHANGED, self.root.read(f"{CONFIG}.dpkg-dist"))

    def test_or_goes_aside_where_the_administrator_says_so(self):
        self.install()
        self.root.write(CONFIG, ADMINS)
        self.install(self.next_deb, "-o", "Dpkg::Options::=--force-confnew")
        self.assertIn(CHANGED, self.root.read(CONFIG))
        self.assertEqual(ADMINS, self.root.read(f"{CONFIG}.dpkg-old"))

    def test_it_is_left_alone_where_the_next_version_has_no_other(self):
        self.install()
        self.root.write(CONFIG, ADMINS)
        self.install(packages.made_again(packages.deb(), self.folder))  # dpkg does not even ask
        self.assertEqual(ADMINS, self.root.read(CONFIG))
        self.assertEqual(["config.toml"], self.config_folder())

    def test_what_was_enabled_stays_enabled(self):
        self.install()
        self.root("systemctl", "enable", "cri-resolved.service")
        self.install(self.next_deb)
        for name in ("cri-resolved.service", "cri-resolved.socket"):
            self.assertEqual("enabled\n", self.root("systemctl", "is-enabled", name))

    def test_what_was_not_is_not(self):
        self.install()
        self.install(self.next_deb)
        self.assertEqual("disabled\n", self.root.run("systemctl", "is-enabled", "cri-resolved.service").out)

    def test_an_upgrade_does_not_warn_of_kubelet(self):
        self.install()
        self.root.write(KUBELET, KUBELET_TEXT)
        done = self.install(self.next_deb)
        self.assertNotIn(WARNING, done.out + done.err)


class Removing(Case):
    def test_the_configuration_stays_and_purge_takes_it(self):
        before = self.root.tree()
        self.install()
        self.root.write(CONFIG, ADMINS)
        self.root.write("/var/lib/cri-resolved/check.json", "{}\n")
        self.apt("remove", "cri-resolved")
        self.assertEqual("rc  0.1.0", self.status())
        self.assertEqual(ADMINS, self.root.read(CONFIG))
        self.assertFalse((self.root / "/usr/bin/cri-resolved").exists())
        self.apt("purge", "cri-resolved")
        self.assertEqual("", self.status())
        after = self.root.tree()
        after.pop(f"/srv/{packages.deb().name}")
        self.assertEqual(before, after)

    def test_purge_leaves_what_the_administrator_put_beside(self):
        self.install()
        self.root.write("/etc/cri-resolved/harbor.credentials", "user:word\n")
        self.apt("purge", "cri-resolved")
        self.assertEqual(["harbor.credentials"], self.config_folder())

    def leave_a_socket(self):
        path = self.root / "/run/cri-resolved/cri-resolved.sock"
        path.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))

    def test_purge_takes_what_was_enabled_and_what_is_in_run(self):
        self.install()
        self.root("systemctl", "enable", "cri-resolved.service")
        self.assertTrue((self.root / ENABLED).is_symlink())
        self.install(self.next_deb)  # only now the package knows of it, as after every upgrade
        self.leave_a_socket()
        self.apt("purge", "cri-resolved")
        self.assertFalse((self.root / ENABLED).is_symlink())
        self.assertFalse((self.root / "/run/cri-resolved").exists())

    def test_it_warns_where_kubelet_still_points_here(self):
        for path, text in ((KUBELET, KUBELET_TEXT),
                           ("/etc/kubernetes/kubelet.conf.d/20-images.conf", KUBELET_TEXT),
                           ("/etc/default/kubelet",
                            "KUBELET_EXTRA_ARGS=--image-service-endpoint=unix:///run/cri-resolved/cri-resolved.sock\n")):
            with self.subTest(path):
                self.install()
                self.root.write(path, text)
                done = self.apt("remove", "cri-resolved")
                self.assertIn(WARNING, done.err)
                self.assertIn(f"cri-resolved:   {path}\n", done.err)
                (self.root / path).unlink()

    def test_it_does_not_warn_otherwise(self):
        self.install()
        self.root.write(KUBELET, "kind: KubeletConfiguration\n")
        done = self.apt("remove", "cri-resolved")
        self.assertNotIn("WARNING", done.out + done.err)
