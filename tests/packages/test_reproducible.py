# SPDX-License-Identifier: Apache-2.0
"""The same sources make the same packages, byte for byte: in another folder, without ccache, with another umask,
time zone and language."""
import hashlib
import os
import shutil
import subprocess
import unittest

from tests.integration.harness import Folder
from tests.integration.harness.parts import ROOT
from tests.lint.test_house import tracked
from tests.packages import packages

TIMEOUT_S = 600  # a build from nothing, while others build, too


def checksums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


class Reproducible(unittest.TestCase):
    def test_another_build_is_the_same(self):
        with Folder() as folder:
            copy = folder.sub("somewhere-else")
            for name in tracked(""):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, copy / name, follow_symlinks=False)
            env = {**os.environ, "CCACHE_DISABLE": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
            env.pop("SOURCE_DATE_EPOCH", None)
            done = subprocess.run([copy / "dev", "package"], env=env, umask=0o077, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            self.assertEqual(0, done.returncode, done.stdout)
            self.assertEqual(checksums(packages.MADE), checksums(copy / "build/package/packages"))
