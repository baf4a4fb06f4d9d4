# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl pin: manifests on disk, digests from real registries."""
import base64
import json
import os
import signal
import subprocess
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Content, Ctl, Folder, Registry, dead_port, wait_until

USER, WORD = "ann", "a-word-that-nobody-else-has"
ABSENT = "not found; is the name right, and the tag not deleted?"

MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - name: app   # ours
    image: {app}
  - {{name: web, image: "{web}"}}
"""
TERRAFORM = """\
resource "kubernetes_pod" "a" {{
  image = "{app}" // ours
}}
"""


def said(*messages):
    return "".join(f"cri-resolvectl pin: {message}\n" for message in messages)


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder))
        cls.private = cls.enterClassContext(Registry(cls.folder, users={USER: WORD}, name="private"))
        cls.down = dead_port()
        cls.ctl = Ctl(cls.folder, {"ghcr.io": cls.registry.url, "docker.io": cls.registry.url,
                                   "private.example": cls.private.url, "other.example": cls.private.url,
                                   "down.example": f"http://127.0.0.1:{cls.down}"},
                      resolve={"timeout": "3s", "budget": "4s"})
        cls.web = Content("web").push(cls.registry, "library/nginx", "1.27")
        cls.secret = Content("secret").push(cls.private, "team/secret", "v1")

    def setUp(self):
        self.app = Content("app one").push(self.registry, "team/app", "v1")
        self.work = self.folder.sub(f"work-{self.id().rpartition('.')[2]}")

    def file(self, name, text):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def manifest(self, name="pod.yaml"):
        return self.file(name, MANIFEST.format(app="ghcr.io/team/app:v1", web="nginx:1.27"))

    def pinned(self, app=None):
        return MANIFEST.format(app=f"ghcr.io/team/app:v1@{app or self.app}", web=f"nginx:1.27@{self.web}")

    def pin(self, *words, **more):
        return self.ctl.run("pin", *words, **more)

    def assertResult(self, result, code, out, err=""):
        self.assertEqual((result.code, result.out, result.err), (code, out, err))

    def assertHolds(self, path, text):
        self.assertEqual(path.read_bytes().decode(), text)


class Verb(Case):
    def test_shows_a_diff_and_writes_nothing(self):
        path = self.manifest()
        before = path.read_text()
        self.assertResult(self.pin(path), 0, f"""\
--- {path}
+++ {path}
@@ -3,5 +3,5 @@
 spec:
   containers:
   - name: app   # ours
-    image: ghcr.io/team/app:v1
-  - {{name: web, image: "nginx:1.27"}}
+    image: ghcr.io/team/app:v1@{self.app}
+  - {{name: web, image: "nginx:1.27@{self.web}"}}
""")
        self.assertHolds(path, before)

    def test_in_place(self):
        path = self.manifest()
        path.chmod(0o640)
        self.assertResult(self.pin("-i", path), 0, f"{path}: 2 changed\n")
        self.assertHolds(path, self.pinned())
        self.assertEqual(path.stat().st_mode & 0o7777, 0o640)
        self.assertEqual(os.listdir(self.work), ["pod.yaml"])
        inode = path.stat().st_ino
        self.assertResult(self.pin("-i", path), 0, "")
        self.assertEqual(path.stat().st_ino, inode, "what does not change is not written")

    def test_comments_and_carriage_returns(self):
        text = "a:\r\n  image: ghcr.io/team/app:v1  # ours\r\n"
        path = self.file("pod.yaml", text)
        self.assertEqual(self.pin("-i", "--style=comment", path).code, 0)
        self.assertHolds(path, f"a:\r\n  image: ghcr.io/team/app@{self.app} # was v1  # ours\r\n")

    def test_each_reference_is_asked_for_once(self):
        lines = [f"- image: {name}:v1\n" for name in ("ghcr.io/team/once", "ghcr.io/team/once", "docker.io/team/once",
                                                      "team/once")]
        Content("once").push(self.registry, "team/once", "v1")
        path, other = self.file("a.yaml", "".join(lines)), self.file("b.yaml", "".join(lines))
        self.assertEqual(self.pin("-i", path, other).out, f"{path}: 4 changed\n{other}: 4 changed\n")
        self.assertEqual(self.registry.count("HEAD", "team/once", "v1"), 2)

    def test_check_asks_nobody(self):
        path = self.manifest()
        asked = len(self.registry.requests())
        self.assertResult(self.pin("--check", path), 1,
                          f"{path}:6: ghcr.io/team/app:v1 is not pinned\n{path}:7: nginx:1.27 is not pinned\n")
        path.write_text(self.pinned())
        self.assertResult(self.pin("--check", path), 0, "")
        self.assertEqual(len(self.registry.requests()), asked)

    def test_update_after_the_tag_has_moved(self):
        path = self.manifest()
        self.pin("-i", path)
        self.assertResult(self.pin("--check", "--update", path), 0, "")
        old, new = self.app, Content("app two").push(self.registry, "team/app", "v1")
        self.assertResult(self.pin("-i", path), 0, "")
        self.assertHolds(path, self.pinned(old))
        self.assertResult(self.pin("--check", "--update", path), 1,
                          f"{path}:6: ghcr.io/team/app:v1 is now {new}, and {old} here\n")
        self.assertResult(self.pin("-i", "--update", path), 0, f"{path}: 1 changed\n")
        self.assertHolds(path, self.pinned(new))

    def test_update_by_comments(self):
        path = self.file("main.tf", TERRAFORM.format(app="ghcr.io/team/app:v1"))
        self.pin("-i", "--style", "comment", path)
        self.assertHolds(path, f'resource "kubernetes_pod" "a" {{\n  image = "ghcr.io/team/app@{self.app}" # was v1 // ours\n}}\n')
        new = Content("app three").push(self.registry, "team/app", "v1")
        self.assertResult(self.pin("--update", "-i", path), 0, f"{path}: 1 changed\n")
        self.assertHolds(path, f'resource "kubernetes_pod" "a" {{\n  image = "ghcr.io/team/app@{new}" # was v1 // ours\n}}\n')

    def test_json(self):
        path = self.file("a.yaml", "a: {image: 'ghcr.io/team/app:v1'}\nb: {image: ''}\nc: {image: 'ghcr.io/team/app:gone'}\n")
        result = self.pin("-o", "json", path)
        self.assertEqual(result.code, 66)
        self.assertEqual(result.json, {"files": [{
            "path": str(path), "changed": True, "written": False, "error": None,
            "references": [
                {"line": 1, "reference": "ghcr.io/team/app:v1", "pinned": None, "digest": self.app, "changed": True,
                 "error": None},
                {"line": 3, "reference": "ghcr.io/team/app:gone", "pinned": None, "digest": None, "changed": False,
                 "error": {"code": "not_found", "message": "not found"}}],
            "hints": [{"line": 2, "message": '"" is left alone: it names no image'}]}]})


class Files(Case):
    def test_standard_input(self):
        text = MANIFEST.format(app="ghcr.io/team/app:v1", web="nginx:1.27")
        self.assertResult(self.pin("-", stdin=text), 0, self.pinned())
        self.assertResult(self.pin("--check", "-", stdin=text), 1,
                          "standard input:6: ghcr.io/team/app:v1 is not pinned\nstandard input:7: nginx:1.27 is not pinned\n")
        text = TERRAFORM.format(app="ghcr.io/team/app:v1")
        self.assertResult(self.pin("--as", "hcl", "-", stdin=text), 0,
                          TERRAFORM.format(app=f"ghcr.io/team/app:v1@{self.app}"))
        self.assertResult(self.pin("-", stdin=""), 0, "")

    def test_standard_input_with_a_failure(self):
        text = "- image: ghcr.io/team/app:v1\n- image: ghcr.io/team/app:gone\n"
        failure = said(f"standard input:2: ghcr.io/team/app:gone: {ABSENT}")
        self.assertResult(self.pin("-", stdin=text), 66, "", failure + said(
            "standard input: nothing is written: 1 of 2 references could not be resolved; --keep-going writes the others"))
        self.assertResult(self.pin("--keep-going", "-", stdin=text), 66,
                          f"- image: ghcr.io/team/app:v1@{self.app}\n- image: ghcr.io/team/app:gone\n", failure)

    def test_directories(self):
        text = "image: ghcr.io/team/app:v1\n"
        wanted = [self.file(name, text if not name.endswith(".tf") else 'image = "ghcr.io/team/app:v1"\n')
                  for name in ("a.yaml", "b/c.yml", "b/d/e.tf", "z.yaml")]
        for name in ("README.md", "b/x.json", ".git/a.yaml", "b/.terraform/a.tf"):
            self.file(name, text)
        (self.work / "b" / "loop").symlink_to(self.work)
        (self.work / "dangling").symlink_to("nowhere")
        self.assertResult(self.pin("--check", self.work), 1, "".join(
            f"{path}:1: ghcr.io/team/app:v1 is not pinned\n" for path in wanted))
        self.assertResult(self.pin("-i", f"{self.work}/"), 0, "".join(f"{path}: 1 changed\n" for path in wanted))
        self.assertHolds(self.work / ".git/a.yaml", text)
        empty = self.folder.sub("work-empty")
        self.assertResult(self.pin(empty), 0, "", said(f"{empty}: no *.yaml, *.yml or *.tf in it"))

    def test_links_are_written_through(self):
        path = self.manifest("real/pod.yaml")
        link = self.work / "link.yaml"
        link.symlink_to(path)
        self.assertEqual(self.pin("-i", link).code, 0)
        self.assertTrue(link.is_symlink())
        self.assertHolds(path, self.pinned())

    def test_what_cannot_be_read(self):
        path = self.manifest()
        gone = self.work / "gone.yaml"
        broken = self.file("broken.yaml", "a: [\n")
        unended = self.file("unended.tf", '\nx = "a\n')
        result = self.pin("-i", gone, broken, unended, path)
        self.assertResult(result, 66, f"{path}: 2 changed\n", said(
            f"cannot read {gone}: No such file or directory", f"{broken}:2:1: did not find expected node content",
            f"{unended}:2:1: a string has no end"))
        self.assertHolds(path, self.pinned())
        for one, code in ((gone, 66), (broken, 64), (unended, 64)):
            self.assertEqual(self.pin(one).code, code, one)

    def test_templates_are_left_alone(self):
        text = "{{- if .Values.on }}\nimage: ghcr.io/team/app:v1\n{{- end }}\n"
        path = self.file("t.yaml", text)
        self.assertResult(self.pin("-i", path), 0, "",
                          said(f"{path}:1: a template, not YAML: the file is left alone"))
        self.assertHolds(path, text)


class Failures(Case):
    def test_unresolvable(self):
        """Nothing of its file is written; others are; --keep-going writes what there is."""
        text = "- image: ghcr.io/team/app:v1\n- image: ghcr.io/team/app:gone\n- image: down.example/a:1\n"
        path, good = self.file("a.yaml", text), self.file("b.yaml", "image: nginx:1.27\n")
        told = said(
            f"{path}:2: ghcr.io/team/app:gone: {ABSENT}",
            f"{path}:3: down.example/a:1: cannot connect to http://127.0.0.1:{self.down}: Connection refused; is it up? "
            "Where it is asked: server in [upstream.\"down.example\"], else containerd's certs.d, and HTTPS_PROXY")
        self.assertResult(self.pin("-i", path, good), 69, f"{good}: 1 changed\n", told + said(
            f"{path}: nothing is written: 2 of 3 references could not be resolved; --keep-going writes the others"))
        self.assertHolds(path, text)
        self.assertHolds(good, f"image: nginx:1.27@{self.web}\n")
        self.assertResult(self.pin("-i", "--keep-going", path), 69, f"{path}: 1 changed\n", told)
        self.assertHolds(path, text.replace("app:v1", f"app:v1@{self.app}"))

    def test_a_file_that_cannot_be_written(self):
        path = self.manifest("sub/pod.yaml")
        before = path.read_text()
        subprocess.run(["mount", "--bind", path.parent, path.parent], check=True)
        self.addCleanup(subprocess.run, ["umount", path.parent], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", path.parent], check=True)
        result = self.pin("-i", path)
        self.assertResult(result, 71, "", said(
            f"cannot write {path}: no new file in {path.parent}: Read-only file system"))
        self.assertHolds(path, before)

    def test_arguments(self):
        for words, message in (
                ((), "name files or directories, or - for standard input"),
                (("--check", "-i", "a"), "--check writes nothing: leave out --in-place, or --check"),
                (("-", "a"), "- stands alone: its result goes to standard output"),
                (("-i", "-"), "--in-place cannot write standard input"),
                (("--credentials", "-", "-"), "standard input cannot be both the file and the credentials")):
            with self.subTest(words):
                self.assertResult(self.pin(*words), 64, "", said(message) + "see cri-resolvectl pin --help\n")

    def test_interrupted(self):
        """Nothing is written by who was told to stop, not even what was known already."""
        path = self.file("a.yaml", "- image: ghcr.io/team/app:v1\n- image: silent.example/a:1\n")
        before = path.read_text()
        with FakeRegistry(self.folder) as silent:
            silent.rules([{"path": "/manifests/", "silence": True}])
            ctl = Ctl(self.folder, {"ghcr.io": self.registry.url, "silent.example": silent.url}, name="ctl-silent")
            with subprocess.Popen(ctl.command("pin", "-i", "--keep-going", path), env=ctl.env, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) as run:
                silent.wait(path="/manifests/1")
                wait_until(lambda: self.registry.count("HEAD", "team/app", "v1"), "the other question")
                run.send_signal(signal.SIGINT)
                self.assertEqual(run.communicate(timeout=30), ("", ""))
            self.assertEqual(run.returncode, 130)
        self.assertHolds(path, before)


class Credentials(Case):
    def setUp(self):
        super().setUp()
        self.path = self.file("a.yaml", "image: private.example/team/secret:v1\n")
        self.after = f"image: private.example/team/secret:v1@{self.secret}\n"

    def test_without(self):
        result = self.pin("-i", self.path)
        self.assertEqual((result.code, result.out), (77, ""))
        self.assertIn(f"{self.path}:1: private.example/team/secret:v1: ", result.err)
        self.assertIn("; show credentials with --credentials\n", result.err)

    def test_from_standard_input(self):
        self.assertResult(self.pin("-i", "--credentials", "-", self.path, stdin=f"{USER}:{WORD}\n"), 0,
                          f"{self.path}: 1 changed\n")
        self.assertHolds(self.path, self.after)

    def test_from_docker_config(self):
        auth = base64.b64encode(f"{USER}:{WORD}".encode()).decode()
        config = self.file("docker.json", json.dumps({"auths": {"private.example": {"auth": auth}}}))
        config.chmod(0o600)
        self.assertResult(self.pin("-i", "--credentials", config, self.path), 0, f"{self.path}: 1 changed\n")
        self.assertHolds(self.path, self.after)

    def test_wrong_ones_are_not_told(self):
        result = self.pin("-i", "--credentials", "-", self.path, stdin=f"{USER}:{WORD}x\n")
        self.assertEqual((result.code, result.out), (77, ""))
        self.assertNotIn(WORD, result.err)

    def test_one_password_is_for_one_registry(self):
        self.path.write_text("- image: private.example/team/secret:v1\n- image: other.example/team/secret:v1\n")
        self.assertResult(
            self.pin("-i", "--credentials", "-", self.path, stdin=f"{USER}:{WORD}\n"), 64, "",
            said("--credentials -: one password is not shown to several registries (other.example, private.example)")
            + "see cri-resolvectl pin --help\n")


if __name__ == "__main__":
    unittest.main()
