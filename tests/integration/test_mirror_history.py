# SPDX-License-Identifier: Apache-2.0
"""A tag moves all the time, many pull it at once, and the mirrors in between are moody, stale, or die: no
answer breaks the promise, and since the upstream is there all the time, no pull fails.

CRI_RESOLVED_FULL=1 makes it 2,000 pulls instead of 900."""
import os
import re
import unittest

from tests.fake.moody_mirror import MOODS, MoodyMirror
from tests.integration.harness import Containerd, Daemon, Folder, Registry
from tests.integration.history_run import HOST, PULLERS, REPOSITORY, Run

CONTAINERDS = ("1.6", "1.7", "2")
TIMEOUT_S = 900
FULL = os.environ.get("CRI_RESOLVED_FULL") == "1"
PULLS, SEED = (2000 if FULL else 900), 20
LAYER_BYTES = 300_000  # too large to be held back until it is verified


class MirrorHistory(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.registry = self.enterContext(Registry(self.folder))
        self.cache = self.enterContext(Registry(self.folder, proxy=self.registry.url, name="cache"))
        self.containerd = self.enterContext(Containerd(self.folder, upstreams={HOST: self.registry.url}))

    def kill_cache(self, run):
        self.cache.stop()
        run.disturbances["cache killed"] += 1

    def start_cache(self, run):
        self.cache.start()
        run.disturbances["cache back"] += 1

    def test_no_mirror_breaks_the_promise(self):
        mirror = self.enterContext(MoodyMirror(self.registry.url, SEED))
        daemon = self.enterContext(Daemon(self.folder, self.containerd, {
            HOST: {"server": self.registry.url, "mirrors": [mirror.url, self.cache.url]}}, relay={
                "first_byte_timeout": "2s", "stall_timeout": "1s"}))
        run = Run(self.folder, self.registry, self.containerd, daemon, PULLS, 60, LAYER_BYTES)
        steps = [self.kill_cache, self.start_cache] * (6 if FULL else 3)
        run.play([(PULLS * (at + 1) // (len(steps) + 1), step) for at, step in enumerate(steps)])
        violations, failed = run.judge()
        moods = {mood: count for mood, count in mirror.met.items() if mood != "good"}
        print(f"note: {run.story(failed)}; the mirror's moods: {moods}")
        self.assertEqual(violations, [])
        self.assertEqual(failed, [])
        self.assertGreaterEqual(run.answered(), PULLS // PULLERS * PULLERS)
        self.assertEqual(set(moods), set(MOODS) - {"good"})
        self.assertEqual([mood for mood, count in moods.items() if not count], [], "too short to show anything")
        self.assert_mirrors_were_used(daemon, mirror)

    def assert_mirrors_were_used(self, daemon, mirror):
        for url in (mirror.url, self.cache.url):
            self.assertTrue(re.search(rf"source=relay .*{re.escape(url)}: \d+ bytes", daemon.log()), url)
        self.assertNotEqual(daemon.lines(f"mirror served wrong content mirror={mirror.url} "), [])
        self.assertGreater(self.cache.count("GET", REPOSITORY, kind="blobs"), 0)


if __name__ == "__main__":
    unittest.main()
