# SPDX-License-Identifier: Apache-2.0
"""relay/httpd with each suite's own libmicrohttpd: the packages are for both, and what a release makes of time-outs, or
of connections that somebody else ends, is its own affair."""
import re
import unittest

from tests.integration.harness import Folder
from tests.packages.packages import BUILD, say
from tests.packages.roots import Root

SUITES = ("bookworm", "trixie")

PROGRAM = BUILD / "unit/relay_test_httpd"
RELEASES = {"bookworm": "0.9.75", "trixie": "1.0.1"}


def cmocka():
    """This machine's, which the program was linked against; the roots have none."""
    return re.search(r"libcmocka\.so\.0 => (\S+)", say("ldd", PROGRAM)).group(1)


class Case(unittest.TestCase):
    def test_its_unit_tests_pass(self):
        root = self.enterContext(Root(self.enterContext(Folder())))
        release = root("dpkg-query", "-W", "-f", "${source:Upstream-Version}", "libmicrohttpd12*")
        self.assertEqual(RELEASES[root.suite], release)
        root.take(cmocka())
        done = root.run(root.take(PROGRAM), LD_LIBRARY_PATH="/srv", CMOCKA_MESSAGE_OUTPUT="TAP")
        self.assertEqual(0, done.code, done)
        planned = re.search(r"^1\.\.([1-9]\d*)$", done.out, re.MULTILINE)
        self.assertIsNotNone(planned, done)
        self.assertEqual(int(planned.group(1)), len(re.findall(r"^ok ", done.out, re.MULTILINE)), done)
