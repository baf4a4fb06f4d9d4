# SPDX-License-Identifier: Apache-2.0
"""A tag moves all the time, many pull it at once, and the daemon and containerd die in between: every
answer must keep the promise. And the judge bites: with a resolve that is cached, or with alias writes
that overtake each other, the same check fails.

CRI_RESOLVED_FULL=1 makes it 2,000 pulls instead of 250."""
import os
import re
import unittest

from tests.fake.stale_proxy import StaleProxy
from tests.fake.unordered_store import UnorderedStore
from tests.integration.harness import Containerd, Daemon, Folder, Registry
from tests.integration.history_run import HOST, IMAGE, PULLERS, Run
from tests.integration.history_worker import Puller

TIMEOUT_S = 900
PULLS = 2000 if os.environ.get("CRI_RESOLVED_FULL") == "1" else 250
# How a pull may fail while the daemon or containerd goes away: but the registry is there all the time, and so is the tag.
ALLOWED = re.compile(r"UNAVAILABLE: |CANCELLED: |(UNKNOWN|INTERNAL): (?!RegistryUnavailable: )")


class History(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.registry = self.enterContext(Registry(self.folder))
        self.containerd = self.enterContext(Containerd(self.folder, upstreams={HOST: self.registry.url}))

    def daemon(self, url=None, **tables):
        return self.enterContext(Daemon(self.folder, self.containerd, {HOST: url or self.registry.url}, **tables))

    def run_of(self, daemon, pulls):
        return Run(self.folder, self.registry, self.containerd, daemon, pulls)

    def test_every_answer_keeps_the_promise(self):
        run = self.run_of(self.daemon(), PULLS)
        steps = [Run.kill_daemon, Run.restart_containerd, Run.kill_daemon, Run.kill_containerd] * (PULLS // 250)
        run.play([(PULLS * (at + 1) // (len(steps) + 1), step) for at, step in enumerate(steps)])
        violations, failed = run.judge()
        print(f"note: {run.story(failed)}")
        self.assertEqual(violations, [])
        self.assertGreaterEqual(run.answered(), PULLS // PULLERS * PULLERS)
        self.assertGreater(run.shared(), 0, "no two pulls ever shared a HEAD")
        self.assertEqual([why for why in failed if not ALLOWED.match(why)], [])

    def test_a_pull_that_failed_last_is_made_up_for(self):
        """However many threads have gone since nothing was left: so many answers are what a run waits for."""
        puller = Puller({"pulls": 1, "containerd": self.containerd.socket})
        self.assertTrue(puller.take())
        for _ in range(3):
            self.assertFalse(puller.take())
        puller.give_back()
        self.assertTrue(puller.take(), "the pull that was given back is lost")

    def test_a_cached_resolve_is_noticed(self):
        with StaleProxy(self.registry.url, keep_s=1.0) as proxy:
            run = self.run_of(self.daemon(proxy.url), 60)
            run.play()
            violations, _ = run.judge()
        self.assertGreater(proxy.hits, 0)
        stale = [violation for violation in violations if violation.startswith("stale: answered sha256:")]
        self.assertNotEqual(stale, [], "the check did not notice answers from a cache")

    def test_containerd_alone_is_noticed(self):
        """The truest unordered variant: containerd itself, where the pull that ends last has the tag."""
        run = self.run_of(self.containerd, 200)
        run.play()
        violations, _ = run.judge()
        older = [violation for violation in violations if " the tag names the older " in violation]
        print(f"note: containerd alone: {len(violations)} violations in {run.answered()} pulls")
        self.assertNotEqual(older, [], "the check did not notice that the tag moved back")

    def test_unordered_writes_are_noticed(self):
        socket = self.folder.sub("unordered") / "s.sock"
        with UnorderedStore(socket, self.containerd.socket, IMAGE) as store:
            run = self.run_of(self.daemon(shim={"containerd": f"unix://{socket}"}), 60)
            run.play()
            violations, _ = run.judge()
        self.assertGreater(store.overtaken, 0)
        older = [violation for violation in violations if " the tag names the older " in violation]
        self.assertNotEqual(older, [], "the check did not notice writes that overtook each other")


if __name__ == "__main__":
    unittest.main()
