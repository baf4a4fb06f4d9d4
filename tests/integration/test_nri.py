# SPDX-License-Identifier: Apache-2.0
"""What runs, and whether it is what was verified: real containerds, real pods, and the daemon as an NRI plugin."""
import os
import pathlib
import re
import unittest

from tests.fake.grpc_gate import GrpcGate
from tests.integration.harness import Daemon, wait_until
from tests.integration.harness.ctl import Ctl
from tests.integration.nri_parts import HOST, PRIVATE, TIME, WORD, Case, stage_for

CONTAINERDS = ("1.7", "2")


def setUpModule():
    stage_for(Follows, Starts, Reports, Annotates, Checks, Drift, Documentation)


class Follows(Case):
    def test_before_and_after(self):
        """A container that was there before us runs what nobody verified; a pull that finds it unchanged verifies it."""
        digest = self.build("one")
        self.stage.crictl.pull(self.image())
        made = self.start("before")
        self.serve()
        self.until({"before": "unverified"})
        self.daemon.wait_line(f"containers reference={re.escape(self.image())} verdict=unverified digest={digest} count=1")
        self.pull()
        self.start("after")
        self.until({"before": "current", "after": "current"})
        row = self.rows()["before"]
        for field in ("created_at", "verified_at"):
            self.assertRegex(row.pop(field), TIME)
        self.assertEqual(row, {
            "id": made, "name": "main", "pod": "before", "namespace": "default", "state": "running", "reference": self.image(),
            "upstream": HOST, "image_id": self.stage.crictl.image(self.image())["id"], "digest": digest, "digests": [digest],
            "verdict": "current", "verified_digest": digest, "moved_at": None, "tag_digest": digest, "restart": None,
            "upstream_digest": None, "checked_at": None, "check_error": None})

    def test_a_tag_moves(self):
        self.serve()
        old = self.build("one")
        self.pull()
        for name in ("a", "b"):
            self.start(name)
        self.until({"a": "current", "b": "current"})
        new = self.build("two")
        self.pull()
        self.start("c")
        self.until({"a": "older", "b": "older", "c": "current"})
        rows = self.rows()
        self.assertEqual([rows[pod]["digest"] for pod in "abc"], [old, old, new])
        self.assertRegex(rows["a"]["moved_at"], TIME)
        self.assertEqual({rows[pod]["verified_digest"] for pod in "abc"}, {new})
        line, = self.daemon.lines(" containers ")
        self.assertIn(f"reference={self.image()} verdict=older was=current digest={old} count=2", line)
        self.assertEqual(self.changed(), {}, "our own writes, and the sandbox image, are nobody else's")
        self.daemon.restart()
        self.settled()
        self.until({"a": "older", "b": "older", "c": "current"})

    def test_the_end_of_containers(self):
        self.serve()
        self.build("one")
        self.pull()
        made = self.start("ends")
        self.until_state("ends", "running")
        self.stage.crictl("stop", "--timeout", "0", made)
        self.until_state("ends", "stopped")
        self.stage.crictl("rm", made)
        self.assertEqual(self.rows(), {})

    def test_by_digest(self):
        self.serve()
        fixed = f"{HOST}/{self.repo}@{self.build('one')}"
        self.stage.crictl.pull(fixed)
        self.start("native", fixed)
        self.until({"native": "unverified"})
        self.pull(fixed)
        self.until({"native": "current"})

    def test_containerd_restarts(self):
        self.serve()
        self.build("one")
        self.pull()
        self.start("survivor")
        self.until({"survivor": "current"})
        self.stage.containerd.restart()
        self.daemon.wait_line("image events are lost")
        self.settled()
        self.until({"survivor": "current"})
        digest = self.retag("foreign")
        wait_until(lambda: self.changed().get(self.image()) == digest, "it is seen")
        self.start("later", f"{HOST}/{self.repo}-foreign:one")
        self.until({"survivor": "current", "later": "unverified"})

    def test_off(self):
        daemon = self.stack.enter_context(Daemon(self.stage.folder, self.stage.containerd, self.stage.urls, name="off"))
        self.assertEqual(daemon.admin("/v1/containers")[1], {
            "backend": f"unix://{self.stage.containerd.socket}",
            "nri": {"enabled": False, "connected": False, "runtime_name": None, "runtime_version": None, "error": None,
                    "image_events": False, "pods_own_string": False, "left_out": 0},
            "containers": [], "changed": []})

    def test_no_nri_at_all(self):
        path = self.stage.folder.sub("nobody") / "nri.sock"
        nri = {"enabled": True, "socket": f"unix://{path}"}
        self.daemon = self.stack.enter_context(Daemon(self.stage.folder, self.stage.containerd, self.stage.urls, name="nobody-d", nri=nri))
        error = wait_until(lambda: "cannot connect" in self.document()["nri"]["error"] and self.document()["nri"]["error"], "it tells")
        self.assertIn(f"cannot connect to {path}: No such file or directory", error)
        self.daemon.wait_line(f"containers: NRI is not connected .*{path}")
        self.build("one")
        self.pull()


class Forgetful(GrpcGate):
    """In front of a CRI that may know of no container."""
    forgets = False

    def replaces(self, path, request):
        return self.forgets and path.endswith("/ListContainers")

    def carry_out(self, path, request):
        return b""


class Starts(Case):
    """That a container has started is told by containerd's events, and by CRI where those are lost."""

    def setUp(self):
        super().setUp()
        self.gate = self.gated(Forgetful)

    def running(self):
        """As metrics have it: nobody is asked for them."""
        return self.daemon.metrics().sum("cri_resolved_containers", upstream=HOST)

    def ready(self, **shim):
        self.serve(shim=shim)
        self.build("one")
        self.pull()
        self.assertEqual(self.rows(), {})  # and nothing of the pull is left to be looked at

    def test_by_an_event(self):
        self.ready(backend=f"unix://{self.gate.socket}", containerd=f"unix://{self.stage.containerd.socket}")
        made = self.create(*self.pod("late")).strip()
        self.until({"late": "current"})  # so nothing is to be asked about it
        self.until_state("late", "created")
        self.assertEqual(self.running(), 0)
        self.gate.forgets = True
        self.stage.crictl("start", made)
        wait_until(lambda: self.running() == 1, "it is heard to run")
        self.until_state("late", "running")

    def test_without_events(self):
        """The gate never passes one on."""
        self.ready(backend=f"unix://{self.stage.containerd.socket}", containerd=f"unix://{self.gate.socket}")
        self.start("unheard")
        wait_until(lambda: self.running() == 1, "it is found to run", timeout_s=90)


class Reports(Case):
    def test_retagged_behind_our_back(self):
        self.serve()
        old = self.build("one")
        self.pull()
        self.start("before")
        new = self.retag("foreign")
        self.daemon.wait_line(f"tag written behind our back reference={re.escape(self.image())} digest={new} previous={old}")
        changed, = [of for of in self.document()["changed"] if of["reference"] == self.image()]
        self.assertRegex(changed.pop("seen_at"), TIME)
        self.assertEqual(changed, {"reference": self.image(), "digest": new, "verified_digest": old})
        self.start("after")
        self.until({"before": "current", "after": "unverified"})
        row = self.rows()["after"]
        self.assertEqual((row["reference"], row["digest"], row["tag_digest"], row["verified_digest"]), (self.image(), new, new, old))
        self.pull()
        self.assertNotIn(self.image(), self.changed())
        self.assertEqual(len(self.daemon.lines(f"behind our back reference={re.escape(self.image())} ")), 1)

    def test_what_is_no_change(self):
        """What was there before us, a label, our own pulls, another name for what was verified."""
        self.build("old", "old")
        self.stage.crictl.pull(self.image("old"))
        self.serve()
        self.build("one")
        self.build("two", "two")
        self.pull()
        self.pull(self.image("two"))
        self.stage.containerd.set_label(self.image("old"), "some", "thing")
        self.stage.containerd.ctr("images", "tag", "--force", self.image("two"), self.image())
        self.stage.containerd.ctr("images", "tag", "--force", self.image("old"), f"{HOST}/{self.repo}-other:end")
        self.daemon.wait_line(f"behind our back reference={HOST}/{self.repo}-other:end")
        self.assertEqual(set(self.changed()), {f"{HOST}/{self.repo}-other:end"})


class Annotates(Case):
    def annotations(self, made):
        spec = self.stage.crictl.json("inspect", made)["info"]["runtimeSpec"]
        return {key: value for key, value in spec["annotations"].items() if key.startswith("cri-resolved/")}

    def test_on(self):
        self.serve(annotate=True)
        digest = self.build("one")
        self.pull()
        said = self.annotations(self.start("verified"))
        self.assertRegex(said.pop("cri-resolved/verified-at"), TIME)
        self.assertEqual(said, {"cri-resolved/image-digest": digest})

    def test_never_verified(self):
        self.serve(annotate=True)
        digest = self.build("one")
        self.stage.crictl.pull(self.image())
        wait_until(lambda: self.image() in self.changed(), "it is seen")
        self.assertEqual(self.annotations(self.start("unverified")), {"cri-resolved/image-digest": digest})

    def test_off(self):
        self.serve()
        self.build("one")
        self.pull()
        self.assertEqual(self.annotations(self.start("plain")), {})


class Checks(Case):
    def test_a_tag_moves_upstream(self):
        self.serve(check_interval="1s")
        old = self.build("one")
        self.pull()
        self.start("runs")
        row = wait_until(lambda: self.rows()["runs"]["restart"] and self.rows()["runs"], "it is asked")
        self.assertEqual((row["restart"], row["upstream_digest"], row["check_error"]), ("same", old, None))
        before = len(self.stage.registry.requests())
        new = self.build("two")
        pushed = len(self.stage.registry.requests())
        row = wait_until(lambda: self.rows()["runs"]["restart"] == "different" and self.rows()["runs"], "it is seen")
        self.assertEqual((row["verdict"], row["digest"], row["upstream_digest"]), ("current", old, new))
        self.assertGreaterEqual(pushed, before)
        seen = len(self.stage.registry.requests())
        wait_until(lambda: len(self.stage.registry.requests()) > seen, "it is asked again")
        asked = [request for request in self.stage.registry.requests()[pushed:] if self.repo in request.path]
        self.assertEqual({request.method for request in asked}, {"HEAD"})
        line, = self.daemon.lines("a restart would bring another image")
        self.assertIn(f"reference={self.image()} digest={new} here={old}", line)

    def test_credentials_are_not_kept(self):
        self.serve(check_interval="1s")
        self.build("one", registry=self.stage.private)
        self.pull(self.image(host=PRIVATE), ("ann", WORD))
        self.start("private", self.image(host=PRIVATE))
        row = wait_until(lambda: self.rows()["private"]["restart"] and self.rows()["private"], "it is asked")
        self.assertEqual((row["verdict"], row["restart"], row["upstream_digest"], row["check_error"]),
                         ("current", "unknown", None, "unauthorized"))

    def test_off_until_a_reload(self):
        self.serve()
        self.build("one")
        self.pull()
        self.start("runs")
        self.assertIsNone(self.rows()["runs"]["checked_at"])
        self.daemon.tables["nri"]["check_interval"] = "1s"
        self.daemon.write_config()
        self.daemon.reload()
        wait_until(lambda: self.rows()["runs"]["restart"] == "same", "it is asked")


class Drift(Case):
    """cri-resolvectl drift, with a gate in front of CRI that keeps what it is asked."""

    def setUp(self):
        super().setUp()
        self.gate = self.gated(GrpcGate)
        self.shim = {"backend": f"unix://{self.gate.socket}", "containerd": f"unix://{self.stage.containerd.socket}"}

    def drift(self, code, daemon=True, **shim):
        """(the document, which methods of CRI were called for it)"""
        admin = self.daemon.admin_socket if daemon else self.stage.folder.path / "nobody.sock"
        ctl = Ctl(self.stage.folder, self.stage.urls, name=f"ctl-{os.urandom(3).hex()}", shim={**self.shim, **shim},
                  admin={"listen": f"unix://{admin}"})
        self.document()  # settled: the daemon has nothing to ask any more
        self.gate.requests.clear()
        result = ctl.run("drift", "--containers", "--upstream", HOST, "-o", "json")
        self.assertEqual(result.code, code, result)
        return result.json, {path.rpartition("/")[2] for path in self.gate.requests}

    def states(self, document):
        return [(row["pod"], row["state"]) for row in document["containers"]]

    def test_rows_are_the_daemons(self):
        self.serve(shim=self.shim)
        self.build("one")
        self.pull()
        self.start("a")
        self.build("two")
        self.pull()
        self.start("b")
        self.stage.crictl("stop", "--timeout", "0", self.start("ended"))
        alone, calls = self.drift(1, daemon=False)
        self.assertEqual(self.states(alone), [("a", "restart-needed"), ("b", "current")])
        self.assertLessEqual({"ListContainers", "ListImages"}, calls)
        asked, calls = self.drift(1)
        self.assertEqual(asked, alone)
        self.assertEqual(calls & {"ListContainers", "ListImages"}, set())

    def test_an_index_and_the_manifest_in_it(self):
        self.serve(shim=self.shim)
        architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        index = self.stage.images.push_index(self.stage.registry, self.repo, "index", {architecture: "one"})
        for tag in ("index", f"index-{architecture}"):
            self.pull(self.image(tag))
        self.start("of-index", self.image("index"))
        document, calls = self.drift(0)
        self.assertEqual(calls & {"ListContainers", "ListImages"}, set())
        row, = document["containers"]
        self.assertEqual((row["state"], row["upstream_digest"]), ("current", index))
        self.assertEqual(document, self.drift(0, daemon=False)[0])

    def test_where_the_daemon_cannot_tell(self):
        """NRI is off, or it is another containerd's daemon: containerd is asked."""
        self.serve(shim=self.shim)
        self.build("one")
        self.pull()
        self.start("a")
        document, calls = self.drift(0, backend=f"unix://{self.stage.containerd.socket}")
        self.assertEqual((self.states(document), calls), ([("a", "current")], set()))
        self.daemon.tables["nri"]["enabled"] = False
        self.daemon.write_config()
        self.daemon.restart()
        document, calls = self.drift(0)
        self.assertEqual(self.states(document), [("a", "current")])
        self.assertIn("ListContainers", calls)


class Documentation(Case):
    def test_every_field(self):
        document = (pathlib.Path(__file__).parents[2] / "docs/admin.md").read_text(encoding="utf-8")
        section = document.split("\n## /v1/containers\n")[1].split("\n## ")[0]
        documented = set(re.findall(r"^\| `([^`]+)` \|", section, re.M))
        self.serve()
        self.build("one")
        self.pull()
        self.retag("foreign")
        self.start("one")
        wait_until(lambda: self.document()["changed"], "it is seen")
        found = self.document()
        fields = {"backend"} | {f"nri.{key}" for key in found["nri"]}
        for name in ("containers", "changed"):
            fields |= {f"{name}[].{key}" for key in found[name][0]}
        self.assertEqual(fields, {field.removesuffix("digests[]") + "digests" if field.endswith("digests[]") else field
                                  for field in documented})


if __name__ == "__main__":
    unittest.main()
