# SPDX-License-Identifier: Apache-2.0
"""The pages that install packages, played from their first line to the last on booted nodes on which nothing is
prepared: the package brings everything. (tests/integration/test_docs.py plays the same pages with the programs of a
debug build, and all other pages.)"""
import shutil
import unittest

from tests import pages
from tests.integration import test_docs
from tests.packages import packages

TIMEOUT_S = 600


class Pages(test_docs.Case):
    RUNS = {"node", "packages"}
    ANSWER = "y\n"  # apt asks before it removes
    RPM_ON_DEBIAN = "rpm --force-debian --nodeps "  # the node has the libraries under the names of another system

    def install(self):
        """Nothing: the pages do. The packages lie where they are taken from."""
        for package in (packages.deb(), packages.rpm(), packages.made_again(packages.deb(), self.folder)):
            shutil.copy(package, self.node.root / "root")

    def do(self, command):
        if command.text.startswith("rpm "):
            return  # see test_the_rpm
        super().do(command)

    def test_readme(self):
        self.boot()
        self.assertGreater(self.play("README.md"), 4)

    def test_install(self):
        """It ends with the package's removal."""
        self.boot()
        self.play("docs/install.md")
        self.assertEqual(self.node.run("which cri-resolved cri-resolvectl").out, "")
        self.assertEqual(self.node.must("systemctl is-active kubelet"), "active\n")

    def test_operate(self):
        """An upgrade in the middle, of a daemon that runs."""
        self.boot()
        self.node.must("apt-get install -y ./cri-resolved_0.1.0_amd64.deb")
        self.node.write("/etc/cri-resolved/config.toml", test_docs.CONFIG)
        self.node.must("systemctl enable --now cri-resolved.socket cri-resolved.service")
        self.node.must("cri-resolvectl pull ghcr.io/shop/app:1")
        before = self.node.must("systemctl show cri-resolved -P MainPID")
        self.play("docs/operate.md")
        self.assertEqual(self.node.must("dpkg-query -W -f '${Version}' cri-resolved"), packages.NEXT)
        self.assertEqual(self.node.must("cat /etc/cri-resolved/config.toml"), test_docs.CONFIG)
        self.assertNotEqual(self.node.must("systemctl show cri-resolved -P MainPID"), before)

    def test_the_rpm(self):
        """The command of the page, with what rpm wants on a system whose packages it does not know."""
        shown = [command.text for block in pages.blocks("docs/install.md") if block.language == "console"
                 for command in pages.commands(block) if command.text.startswith("rpm ")]
        self.assertEqual(len(shown), 1)
        node = self.boot()
        node.must(shown[0].replace("rpm ", self.RPM_ON_DEBIAN))
        node.must("systemctl enable --now cri-resolved.socket cri-resolved.service")
        node.must("cri-resolvectl pull ghcr.io/shop/app:1")


if __name__ == "__main__":
    unittest.main()
