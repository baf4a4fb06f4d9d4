# SPDX-License-Identifier: Apache-2.0
"""The pages that install packages, played from their first line to the last on booted nodes on which nothing is
prepared: the package brings everything. (tests/integration/test_docs.py plays the same pages with the programs of a
debug build, and all other pages.)"""
import shutil
import unittest

from tests import pages
from tests.integration import test_docs
from tests.integration.service_parts import version
from tests.packages import packages

TIMEOUT_S = 600


class Pages(test_docs.Case):
    RUNS = {"node", "packages"}
    ANSWER = "y\n"  # apt asks before it removes
    # What dnf has rpm do in the end; the node has the libraries under the names of another system, and no dnf.
    RPM = {"dnf install": "rpm -U", "dnf downgrade": "rpm -U --oldpackage"}
    ON_DEBIAN = "--force-debian --nodeps"

    def install(self):
        """Nothing: the pages do. The packages lie where they are taken from."""
        for package in (packages.deb(), packages.rpm()):
            shutil.copy(package, self.node.root / "root")
            shutil.copy(packages.made_again(package, self.folder), self.node.root / "root")

    def do(self, command):
        if command.text.startswith("dnf "):
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
        self.play("docs/operate.md")  # upgraded, and rolled back
        self.assertEqual(self.node.must("dpkg-query -W -f '${Version}' cri-resolved"), version())
        self.assertEqual(self.node.must("cat /etc/cri-resolved/config.toml"), test_docs.CONFIG)
        self.assertNotEqual(self.node.must("systemctl show cri-resolved -P MainPID"), before)

    def test_the_rpm(self):
        """The commands of the pages: installed, upgraded and rolled back, below a daemon that runs."""
        node = self.boot()
        for page, steps in (("docs/install.md", ("install",)), ("docs/operate.md", ("install", "downgrade"))):
            shown = [command.text.split() for block in pages.blocks(page) if block.language == "console"
                     for command in pages.commands(block) if command.text.startswith("dnf ")]
            self.assertEqual([words[1] for words in shown], list(steps))
            for dnf, step, package in shown:
                node.must(f"{self.RPM[f'{dnf} {step}']} {self.ON_DEBIAN} {package}")
                expected = package.removeprefix("./cri-resolved-").partition("-")[0]
                self.assertEqual(node.must("rpm --force-debian -q --qf '%{VERSION}' cri-resolved"), expected)
                node.must("systemctl enable --now cri-resolved.socket cri-resolved.service")
                node.must("cri-resolvectl pull ghcr.io/shop/app:1")


if __name__ == "__main__":
    unittest.main()
