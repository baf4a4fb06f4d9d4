# SPDX-License-Identifier: Apache-2.0
"""The commands that pages show for a checkout. `./dev test` is everything: who runs this has said it, or
.ci/run has."""
import subprocess
import unittest

from tests import pages
from tests.integration.harness.parts import ROOT, environment

TIMEOUT_S = 600
EVERYTHING = "./dev test"


def shown():
    return [command for page in pages.pages() for block in pages.blocks(page)
            if block.language == "console" and pages.suite(block) == "checkout" for command in pages.commands(block)]


class Checkout(unittest.TestCase):
    def test_each_command(self):
        commands = shown()
        self.assertIn("./dev demo", [command.text for command in commands])
        for command in commands:
            if command.text == EVERYTHING:
                self.assertRegex((ROOT / ".ci/run").read_text(), rf'(?m)^part "[^"]*" {EVERYTHING}$')
                continue
            with self.subTest(command.text):
                done = subprocess.run(["bash", "-c", command.text], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, env=environment(), text=True, check=False)
                self.assertEqual(done.returncode, command.code, done.stdout)
                if command.output:
                    self.assertTrue(pages.agrees(command.output, done.stdout), done.stdout)


if __name__ == "__main__":
    unittest.main()
