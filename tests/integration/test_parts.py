# SPDX-License-Identifier: Apache-2.0
"""The parts that every integration test leans on keep their word."""
import subprocess
import sys
import unittest

from tests.integration.harness import Folder, Registry
from tests.integration.harness.parts import ROOT, free_port

CONTAINERDS = ("1.6",)  # none is started

# Another test process, whose next choice would be the given port.
ANOTHER_PROCESS = """
import sys
from tests.integration.harness import parts
taken = int(sys.argv[1])
parts._ports[:] = [taken - 1, taken]  # the last one is tried first
print(parts.free_port() != taken)
"""


class Ports(unittest.TestCase):
    def test_a_port_stays_with_the_process_that_chose_it(self):
        port = free_port()  # nobody listens there, as after a registry was killed that will be back
        said = subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, str(port)], cwd=ROOT, capture_output=True, text=True, timeout=60)
        self.assertEqual("True\n", said.stdout, said.stderr)


class Caches(unittest.TestCase):
    def test_a_cache_that_was_killed_while_it_wrote_its_schedule_is_back(self):
        with Folder() as folder, Registry(folder) as upstream, Registry(folder, proxy=upstream.url, name="cache") as cache:
            for left_behind in (b"", b'{"team/app@sha'):
                with self.subTest(left_behind=left_behind):
                    cache.stop()
                    (cache.home / "data").mkdir(exist_ok=True)
                    (cache.home / "data/scheduler-state.json").write_bytes(left_behind)
                    cache.start()
                    self.assertEqual(200, cache.call("GET", "/v2/")[0])


if __name__ == "__main__":
    unittest.main()
