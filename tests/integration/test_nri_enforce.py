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
    stage_for(Enforces, Unclear, NotThere)


class Enforces(Case):
    """enforce = "refuse": containerd 2.x; 1.7, which does not tell the pod's own string, reports."""

    def test_a_retagged_image(self):
        self.enforce()
        self.build("one")
        self.pull()
        digest = self.retag("foreign")
        self.seen()
        if not EXACT:
            self.start("reported")
            self.until({"earlier": "current", "reported": "unverified"})
            return
        error = self.refused("victim")
        self.assertIn(f"cri-resolved: {self.image()} was pointed at {digest} on this node by somebody else, and its upstream has "
                      "not confirmed that. Pull it through cri-resolved (imagePullPolicy: Always, or crictl pull), or set enforce "
                      f'= "off" in [upstream."{HOST}"]', error.replace('\\"', '"'))
        self.daemon.wait_line(f"container refused reference={re.escape(self.image())} digest={digest} pod=default/victim")
        self.assertEqual(set(self.rows()), {"earlier"})
        self.pull()  # what it says one should do
        self.start("healed")

    def test_a_loaded_image(self):
        """A tag that was not here when we began, and did not come through us."""
        self.enforce()
        self.build("one")
        self.stage.crictl.pull(self.image())
        self.seen()
        if EXACT:
            self.refused("loaded")
        else:
            self.start("loaded")

    def test_off_for_others(self):
        self.enforce(host=PRIVATE)
        self.build("one")
        self.pull()
        self.retag("foreign")
        self.seen()
        self.start("starts")

    def test_a_reload_switches_it_off(self):
        self.enforce()
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
        self.enforce()
        self.build("one")
        self.pull()
        self.start("verified")
        self.build("two")
        self.pull()
        self.start("moved")
        self.until({"earlier": "current", "verified": "older", "moved": "current"})

    def test_never_an_older_one_that_was_verified(self):
        """Somebody points the tag back; also when we have forgotten all but the labels."""
        self.enforce()
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
        self.enforce()
        self.build("one")
        self.pull()
        self.daemon.restart()
        self.settled()
        self.stage.containerd.set_label(self.image(), "an", "event")
        self.stage.containerd.restart()
        self.settled()
        self.start("starts")
        self.until({"earlier": "current", "starts": "current"})

    def test_never_what_was_there_before(self):
        """It was never verified; but nobody has changed it while we looked."""
        self.build("one")
        self.stage.crictl.pull(self.image())
        self.enforce()
        self.stage.containerd.set_label(self.image(), "an", "event")
        self.start("starts")
        self.until({"earlier": "current", "starts": "unverified"})


class Unclear(Case):
    """kubelet up to 1.27 does not say what the pod says: containerd 2.x, too, takes one of the image's names then."""

    def other_name(self):
        """Somebody gives the pod's verified image a name more, which comes first and was never verified; and the name."""
        name = f"{HOST}/a-copy/{self.repo}:one"
        self.build("one")
        self.pull()
        self.stage.containerd.ctr("images", "tag", self.image(), name)
        self.seen(name)
        return name

    def pods_own_string(self):
        return self.document()["nri"]["pods_own_string"]

    def annotated(self, made):
        """Which name containerd gave."""
        return self.stage.crictl.json("inspect", made)["info"]["runtimeSpec"]["annotations"]["io.kubernetes.cri.image-name"]

    def test_an_old_kubelet(self):
        self.enforce(old_kubelet=True)
        name = self.other_name()
        self.assertEqual(self.annotated(self.start("verified", old_kubelet=True)), name)
        self.assertFalse(self.pods_own_string())
        self.retag("foreign")
        self.seen()
        self.start("reported", old_kubelet=True)

    def test_a_newer_kubelet_and_back(self):
        self.enforce()
        self.start("old", self.image("earlier"), old_kubelet=True)
        self.assertFalse(self.pods_own_string())
        name = self.other_name()
        self.assertEqual(self.annotated(self.start("verified", old_kubelet=True)), name)
        made = self.start("new")
        self.assertEqual((self.annotated(made), self.pods_own_string()), (self.image(), True) if EXACT else (name, False))
        if EXACT:
            self.refused("by-its-own-string", name)

    def test_nothing_runs_yet(self):
        self.serve(enforce="refuse")
        self.build("one")
        self.pull()
        self.retag("foreign")
        self.seen()
        self.assertFalse(self.pods_own_string())
        self.start("first")
        self.assertEqual(self.pods_own_string(), EXACT)
        if EXACT:
            self.refused("second")
            self.daemon.restart()  # what was there before us shows it too
            self.settled()
            self.assertTrue(self.pods_own_string())


class NotThere(Case):
    """Pods start as if there were no plugin."""

    def prepare(self):
        self.enforce()
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
        self.until({"earlier": "current", "first": "unverified", "second": "unverified"})


if __name__ == "__main__":
    unittest.main()
