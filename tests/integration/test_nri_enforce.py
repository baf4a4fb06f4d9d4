# SPDX-License-Identifier: Apache-2.0
"""Who is refused and who never is, and pods while the daemon is not there: real containerds and pods."""
import pathlib
import re
import signal
import unittest

from tests.integration.harness import wait_until
from tests.integration.nri_parts import EXACT, HOST, LABEL, PRIVATE, Case, stage_for

CONTAINERDS = ("1.7", "2")


def setUpModule():
    stage_for(Enforces, NotThere)


class Enforces(Case):
    """enforce = "refuse": containerd 2.x; 1.7, which does not tell the pod's own string, reports."""

    def seen(self):
        wait_until(lambda: self.image() in self.changed(), "it is seen")

    def test_a_retagged_image(self):
        self.serve(enforce="refuse")
        self.build("one")
        self.pull()
        digest = self.retag("foreign")
        self.seen()
        if not EXACT:
            self.start("reported")
            self.until({"reported": "unverified"})
            return
        error = self.refused("victim")
        self.assertIn(f"cri-resolved: {self.image()} was pointed at {digest} on this node by somebody else, and its upstream has "
                      "not confirmed that. Pull it through cri-resolved (imagePullPolicy: Always, or crictl pull), or set enforce "
                      f'= "off" in [upstream."{HOST}"]', error.replace('\\"', '"'))
        self.daemon.wait_line(f"container refused reference={re.escape(self.image())} digest={digest} pod=default/victim")
        self.assertEqual(self.rows(), {})
        self.pull()  # what it says one should do
        self.start("healed")

    def test_a_loaded_image(self):
        """A tag that was not here when we began, and did not come through us."""
        self.serve(enforce="refuse")
        self.build("one")
        self.stage.crictl.pull(self.image())
        self.seen()
        if EXACT:
            self.refused("loaded")
        else:
            self.start("loaded")

    def test_off_for_others(self):
        self.serve(enforce="refuse", host=PRIVATE)
        self.build("one")
        self.pull()
        self.retag("foreign")
        self.seen()
        self.start("starts")

    def test_a_reload_switches_it_off(self):
        self.serve(enforce="refuse")
        self.build("one")
        self.pull()
        self.retag("foreign")
        self.seen()
        if EXACT:
            self.refused("refused")
        self.daemon.upstreams[HOST]["enforce"] = "off"
        self.daemon.write_config()
        self.daemon.reload()
        self.daemon.wait_line("configuration reloaded")
        self.start("starts")

    def test_never_what_was_verified(self):
        self.serve(enforce="refuse")
        self.build("one")
        self.pull()
        self.start("verified")
        self.build("two")
        self.pull()
        self.start("moved")
        self.until({"verified": "older", "moved": "current"})

    def test_never_an_older_one_that_was_verified(self):
        """Somebody points the tag back; also when we have forgotten all but the labels."""
        self.serve(enforce="refuse")
        old = self.build("one")
        self.pull()
        self.build("two")
        self.pull()
        fixed = f"{HOST}/{self.repo}@{old}"
        self.assertIn(LABEL, self.stage.containerd.store()[fixed].labels)
        for name in ("memory", "label"):
            with self.subTest(name):
                self.stage.containerd.ctr("images", "tag", "--force", fixed, self.image())
                self.stage.containerd.ctr("images", "tag", fixed, f"{HOST}/{self.repo}-mark:{name}")
                self.seen_event_of(f"{HOST}/{self.repo}-mark:{name}")
                self.assertEqual(self.stage.containerd.store()[self.image()].digest, old)
                self.start(name)
                self.assertEqual(self.rows()[name]["digest"], old)
            self.pull()
            self.daemon.restart()
            self.settled()

    def seen_event_of(self, image):
        """Events come in order: once this one is seen, all before it are."""
        self.daemon.wait_line(f"behind our back reference={re.escape(image)} ")

    def test_never_after_a_restart(self):
        self.serve(enforce="refuse")
        self.build("one")
        self.pull()
        self.daemon.restart()
        self.settled()
        self.stage.containerd.set_label(self.image(), "an", "event")
        self.stage.containerd.restart()
        self.settled()
        self.start("starts")
        self.until({"starts": "current"})

    def test_never_what_was_there_before(self):
        """It was never verified; but nobody has changed it while we looked."""
        self.build("one")
        self.stage.crictl.pull(self.image())
        self.serve(enforce="refuse")
        self.stage.containerd.set_label(self.image(), "an", "event")
        self.start("starts")
        self.until({"starts": "unverified"})


class NotThere(Case):
    """Pods start as if there were no plugin."""

    def prepare(self):
        self.serve(enforce="refuse")
        self.build("one")
        self.pull()
        self.retag("foreign")

    def test_stopped(self):
        self.prepare()
        self.daemon.stop()
        self.start("stopped")
        self.daemon.start()

    def test_killed(self):
        self.prepare()
        self.daemon.kill()
        self.start("killed")
        self.daemon.start()

    def test_hung(self):
        """The first call waits for containerd's own time-out, once; then containerd has let go of us."""
        self.prepare()
        tasks = pathlib.Path(f"/proc/{self.daemon.process.pid}/task")
        self.daemon.process.signal(signal.SIGSTOP)
        wait_until(lambda: all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks.iterdir()), "it stops")
        try:
            for name in ("first", "second"):
                self.start(name)
        finally:
            self.daemon.process.signal(signal.SIGCONT)
        self.settled()
        self.until({"first": "unverified", "second": "unverified"})


if __name__ == "__main__":
    unittest.main()
