# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl resolve: the word of the upstream, of its mirrors, and who may ask."""
import base64
import json
import os
import pty
import signal
import subprocess
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Ctl, Folder, Forwarder, Images, Registry, dead_port, wait_until

OLD, NEW = "2026-11-17T06:00:00Z", "2026-11-20T10:00:00Z"
BEHIND_S = 3 * 86400 + 4 * 3600
WORD = "a-word-that-nobody-else-has"
HINT_DOWN = ('; is it up? Where it is asked: server in [upstream."{0}"], else containerd\'s certs.d, and HTTPS_PROXY')
HINT_ABSENT = "; is the name right, and the tag not deleted?"


def said(message):
    return f"cri-resolvectl resolve: {message}\n"


def basic(user, word):
    return "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())

    maxDiff = None

    def assertResult(self, result, code, out, err=""):
        self.assertEqual((result.code, result.out, result.err), (code, out, err))


class Upstream(Case):
    """Without credentials, and without mirrors."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        cls.down = dead_port()
        cls.ctl = Ctl(cls.folder, {"ghcr.io": cls.registry.url, "quay.io": cls.registry.url, "docker.io": cls.registry.url,
                                   "down.example": f"http://127.0.0.1:{cls.down}"},
                      resolve={"timeout": "3s", "budget": "4s"})
        cls.digest = cls.registry.image("team/app", "stable", "one")
        cls.other = cls.registry.image("team/app", "next", "two")
        cls.hub = cls.registry.image("library/nginx", "latest", "three")

    def setUp(self):
        self.addCleanup(self.registry.rules, [])
        self.registry.clear_log()

    def test_lines_in_the_order_of_the_arguments(self):
        words = ["ghcr.io/team/app:next", "nginx", "quay.io/team/app:stable", f"ghcr.io/team/app@{self.digest}"]
        self.assertResult(self.ctl.run("resolve", *words), 0, "".join(f"{line}\n" for line in (
            f"ghcr.io/team/app@{self.other}", f"docker.io/library/nginx@{self.hub}",
            f"quay.io/team/app@{self.digest}", f"ghcr.io/team/app@{self.digest}")))

    def test_by_head_alone(self):
        self.ctl.run("resolve", "ghcr.io/team/app:stable")
        self.assertEqual({entry["method"] for entry in self.registry.log(path="/manifests/")}, {"HEAD"})

    def test_failures_and_answers(self):
        """Each failure has a line of its own, the answers come all the same, the highest code counts."""
        result = self.ctl.run("resolve", "ghcr.io/team/app:gone", "ghcr.io/UPPER", "ghcr.io/team/app:stable", "down.example/a:1")
        self.assertResult(result, 69, f"ghcr.io/team/app@{self.digest}\n", said(
            f"ghcr.io/team/app:gone: not found{HINT_ABSENT}") + said(
            "ghcr.io/UPPER: the repository's name must be lower case") + said(
            f"down.example/a:1: cannot connect to http://127.0.0.1:{self.down}: Connection refused{HINT_DOWN.format('down.example')}"))

    def test_codes(self):
        for reference, code in (("ghcr.io/team/app:gone", 66), ("ghcr.io/UPPER", 64), ("down.example/a:1", 69)):
            with self.subTest(reference):
                self.assertEqual(self.ctl.run("resolve", reference).code, code)

    def test_json(self):
        result = self.ctl.run("resolve", "-o", "json", "ghcr.io/team/app:stable", "ghcr.io/team/app:gone")
        self.assertEqual(result.code, 66)
        self.assertEqual(result.json, [
            {"reference": "ghcr.io/team/app:stable", "resolved": f"ghcr.io/team/app@{self.digest}", "digest": self.digest,
             "error": None, "sources": []},
            {"reference": "ghcr.io/team/app:gone", "resolved": None, "digest": None,
             "error": {"code": "not_found", "message": "not found"}, "sources": []}])
        self.assertEqual(result.err, said(f"ghcr.io/team/app:gone: not found{HINT_ABSENT}"))

    def test_too_many_requests(self):
        self.registry.rules([{"path": "/manifests/stable$", "status": 429, "times": 1, "headers": {"Retry-After": "1"}}])
        self.assertResult(self.ctl.run("resolve", "ghcr.io/team/app:stable"), 0, f"ghcr.io/team/app@{self.digest}\n")
        self.registry.rules([{"path": "/manifests/stable$", "status": 429, "headers": {"Retry-After": "3600"}}])
        url = f"{self.registry.url}/v2/team/app/manifests/stable"
        self.assertResult(self.ctl.run("resolve", "ghcr.io/team/app:stable"), 75, "", said(
            f"ghcr.io/team/app:stable: unexpected status from HEAD request to {url}: 429 Too Many Requests: "
            "it asks to wait 3600 s; wait, or show credentials that may ask more"))

    def test_four_at_once(self):
        self.registry.rules([{"path": "/manifests/", "hold": "all"}])
        for i in range(6):
            self.registry.put_tag("team/app", f"t{i}", self.digest)
        with subprocess.Popen(self.ctl.command("resolve", *(f"ghcr.io/team/app:t{i}" for i in range(6))),
                              env=self.ctl.env, stdout=subprocess.PIPE, text=True) as run:
            self.registry.wait(count=4, path="/manifests/", state="held")
            self.assertEqual(len(self.registry.log(path="/manifests/")), 4)
            self.registry.rules([])
            self.registry.release("all")
            self.assertEqual(run.communicate(timeout=30)[0], f"ghcr.io/team/app@{self.digest}\n" * 6)
        self.assertEqual(run.returncode, 0)

    def test_a_signal_ends_it(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.registry.rules([{"path": "/manifests/", "silence": True}])
                self.registry.clear_log()
                with subprocess.Popen(self.ctl.command("resolve", "ghcr.io/team/app:stable"), env=self.ctl.env,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
                    self.registry.wait(path="/manifests/stable")
                    run.send_signal(number)
                    self.assertEqual(run.communicate(timeout=30), ("", ""))
                self.assertEqual(run.returncode, 128 + number)

    def test_wrong_arguments(self):
        see = "see cri-resolvectl resolve --help\n"
        self.assertResult(self.ctl.run("resolve"), 64, "", said("name an image: ghcr.io/team/app:stable") + see)
        self.assertResult(self.ctl.run("resolve", "--al", "a"), 64, "",
                          said('there is no option "--al" (did you mean "--all"?)') + see)

    def test_configurations_of_no_use(self):
        broken = Ctl(self.folder)
        broken.config.write_text("[resolve]\ntimeout = 5\n")
        result = broken.run("resolve", "a")
        self.assertEqual((result.code, result.out), (78, ""))
        self.assertRegex(result.err, rf"^cri-resolvectl resolve: {broken.config}:2: resolve.timeout: .*\n$")
        broken.config.unlink()
        self.assertResult(broken.run("resolve", "a"), 66, "",
                          said(f"cannot read {broken.config}: No such file or directory"))

    def test_containerds_hosts_file(self):
        """An upstream without an entry is reached as containerd reaches it."""
        certs = self.folder.sub("certs")
        (certs / "elsewhere.example").mkdir()
        (certs / "elsewhere.example/hosts.toml").write_text(f'server = "{self.registry.url}"\n')
        ctl = Ctl(self.folder)
        ctl.tables.clear()
        ctl.write_config(shim={"certs_dir": certs})
        self.assertResult(ctl.run("resolve", "elsewhere.example/team/app:stable"), 0,
                          f"elsewhere.example/team/app@{self.digest}\n")


class Credentials(Case):
    """Who asks. What is secret stays so."""

    USERS = {"ann": WORD}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.registry.auth({"team/.*": {"scheme": "basic", "users": cls.USERS},
                           "token/.*": {"scheme": "bearer", "users": cls.USERS, "refresh_tokens": {WORD: "ann"}}})
        cls.ctl = Ctl(cls.folder, {"ghcr.io": {"server": cls.registry.url, "mirrors": [cls.mirror.url]},
                                   "quay.io": cls.registry.url, "docker.io": cls.registry.url})
        for repository in ("team/app", "token/app"):
            cls.digest = cls.registry.image(repository, "stable", "one")
            cls.mirror.image(repository, "stable", "one")
        cls.count = 0

    def setUp(self):
        self.registry.clear_log()
        self.mirror.clear_log()
        Credentials.count += 1
        self.home = self.folder.sub("docker")

    def resolve(self, *words, **more):
        result = self.ctl.run("resolve", *words, **more)
        self.assertNotIn(WORD, result.out + result.err)
        return result

    def config(self, **content):
        path = self.home / "config.json"
        path.write_text(json.dumps(content))
        return path

    def helper(self, name, script):
        path = self.home / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        return {"PATH": f"{self.home}:{os.environ['PATH']}", "DOCKER_CONFIG": self.home}

    def assertResolved(self, result, name="ghcr.io/team/app"):
        self.assertResult(result, 0, f"{name}@{self.digest}\n")

    def assertRefused(self, result, whose):
        why = {"credentials": "pull access denied, repository does not exist or may require authorization: authorization "
                              "failed: no basic auth credentials",
               "other credentials": f"unexpected status from HEAD request to {self.registry.url}/v2/team/app/manifests/stable: "
                                    "401 Unauthorized"}[whose]
        self.assertResult(result, 77, "", said(f"ghcr.io/team/app:stable: {why}; show {whose} with --credentials"))

    def test_nobody(self):
        self.config(auths={"ghcr.io": {"auth": basic("ann", WORD)[6:]}})
        self.assertRefused(self.resolve("ghcr.io/team/app:stable", env={"DOCKER_CONFIG": self.home}), "credentials")

    def test_docker_configuration(self):
        self.config(auths={"https://ghcr.io/v2/": {"auth": basic("ann", WORD)[6:]},
                           "https://index.docker.io/v1/": {"username": "ann", "password": WORD}})
        words = ("--credentials", "docker", "ghcr.io/team/app:stable", "docker.io/team/app:stable")
        expected = f"ghcr.io/team/app@{self.digest}\ndocker.io/team/app@{self.digest}\n"
        self.assertResult(self.resolve(*words, env={"DOCKER_CONFIG": self.home}), 0, expected)
        (self.home / ".docker").mkdir()
        (self.home / "config.json").rename(self.home / ".docker/config.json")
        self.assertResult(self.resolve(*words, env={"HOME": self.home}), 0, expected)

    def test_a_file_of_that_form(self):
        path = self.config(auths={"ghcr.io/team": {"auth": basic("ann", WORD)[6:]}, "ghcr.io": {"auth": "bm90OnRoaXM="}})
        self.assertResolved(self.resolve("--credentials", path, "ghcr.io/team/app:stable"))

    def test_wrong_ones(self):
        path = self.config(auths={"ghcr.io": {"auth": basic("ann", "not-it")[6:]}})
        self.assertRefused(self.resolve("--credentials", path, "ghcr.io/team/app:stable"), "other credentials")

    def test_an_identity_token(self):
        path = self.config(auths={"ghcr.io": {"identitytoken": WORD, "auth": basic("<token>", "")[6:]}})
        self.assertResolved(self.resolve("--credentials", path, "ghcr.io/token/app:stable"), "ghcr.io/token/app")

    def test_helpers(self):
        env = self.helper("test", 'read server; [ "$server" = ghcr.io ] || exit 1\n'
                          f"""printf '{{"ServerURL":"","Username":"ann","Secret":"{WORD}"}}'""")
        for content in ({"credHelpers": {"ghcr.io": "test"}}, {"credsStore": "test", "auths": {"ghcr.io": {}}}):
            with self.subTest(content):
                self.config(**content)
                self.assertResolved(self.resolve("--credentials", "docker", "ghcr.io/team/app:stable", env=env))

    def test_a_helper_with_a_token(self):
        env = self.helper("test", f"""printf '{{"Username":"<token>","Secret":"{WORD}"}}'""")
        self.config(credsStore="test")
        self.assertResolved(self.resolve("--credentials", "docker", "ghcr.io/token/app:stable", env=env), "ghcr.io/token/app")

    def test_a_helper_that_has_none(self):
        env = self.helper("test", "echo credentials not found in native keychain; exit 1")
        self.config(credsStore="test", auths={"ghcr.io": {"auth": basic("ann", WORD)[6:]}})
        self.assertResolved(self.resolve("--credentials", "docker", "ghcr.io/team/app:stable", env=env))

    def test_a_helper_that_fails(self):
        """Only the references that need it fail."""
        env = self.helper("test", f"echo {WORD}; exit 3")
        self.config(credHelpers={"quay.io": "test", "docker.io": "is-not-there"}, auths={"ghcr.io": {"auth": basic("ann", WORD)[6:]}})
        result = self.resolve("--credentials", "docker", "quay.io/team/app:1", "ghcr.io/team/app:stable", "nginx", env=env)
        self.assertResult(result, 78, f"ghcr.io/team/app@{self.digest}\n", said(
            "quay.io/team/app:1: docker-credential-test failed for quay.io; try it: echo quay.io | "
            "docker-credential-test get >/dev/null; echo $?") + said(
            "nginx: cannot run docker-credential-is-not-there: No such file or directory"))

    def test_a_signal_while_a_helper_hangs(self):
        started = self.home / "started"
        env = self.helper("test", f"echo $$ >{started}.new; mv {started}.new {started}; exec tail -f /dev/null")
        self.config(credsStore="test")
        with subprocess.Popen(self.ctl.command("resolve", "--credentials", "docker", "ghcr.io/team/app:stable"),
                              env={**self.ctl.env, **{k: str(v) for k, v in env.items()}},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            wait_until(started.exists, "the helper")
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.communicate(timeout=30), ("", ""))
        self.assertEqual(run.returncode, 130)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(started.read_text()), 0)

    def test_standard_input(self):
        for text in (f"ann:{WORD}\n", f"ann:{WORD}", f"ann:{WORD}\r\nmore\n"):
            with self.subTest(text):
                self.assertResolved(self.resolve("--credentials", "-", "ghcr.io/team/app:stable", stdin=text))

    def test_standard_input_without_credentials(self):
        for text in ("", "\n", WORD, f":{WORD}\n"):
            with self.subTest(text):
                self.assertResult(self.resolve("--credentials", "-", "ghcr.io/team/app:stable", stdin=text), 64, "", said(
                    "--credentials -: standard input has no line of the form user:password"))

    def test_standard_input_that_is_a_terminal(self):
        near, far = pty.openpty()
        try:
            run = subprocess.run(self.ctl.command("resolve", "--credentials", "-", "ghcr.io/a"), env=self.ctl.env,
                                 stdin=far, capture_output=True, text=True, timeout=30, check=False)
        finally:
            os.close(near)
            os.close(far)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (64, "", said(
            "--credentials - reads a line user:password from standard input, which is a terminal that would show it; "
            "remedy: pipe it in")))

    def test_one_password_for_two_registries(self):
        result = self.resolve("--credentials", "-", "ghcr.io/team/app:stable", "quay.io/team/app:stable", stdin=f"ann:{WORD}")
        self.assertResult(result, 64, "", said(
            "--credentials -: one password is not shown to several registries (ghcr.io, quay.io)") +
            "see cri-resolvectl resolve --help\n")
        self.assertEqual(self.registry.log(), [])

    def test_files_of_no_use(self):
        path = self.home / "config.json"
        self.assertResult(self.resolve("--credentials", "docker", "ghcr.io/a", env={"DOCKER_CONFIG": self.home}), 66, "",
                          said(f"--credentials: cannot read {path}: No such file or directory"))
        path.write_text(f'{{"auths": {WORD}}}')
        self.assertResult(self.resolve("--credentials", path, "ghcr.io/a"), 78, "",
                          said(f"{path}:1:{len(WORD.partition('-')[0]) + 10}: not JSON as Docker's config.json is"))

    def test_mirrors_never_see_them(self):
        result = self.resolve("--all", "--credentials", "-", "ghcr.io/team/app:stable", stdin=f"ann:{WORD}")
        self.assertEqual(result.code, 0, result)
        self.assertGreater(len(self.mirror.log()), 0)
        for entry in self.mirror.log():
            self.assertNotIn("authorization", [name.lower() for name, _ in entry["headers"]])
        self.assertIn(basic("ann", WORD), [value for entry in self.registry.log() for _, value in entry["headers"]])


class Mirrors(Case):
    """--all, with real registries: one as the upstream, one beside it, and a pull-through cache that is cut off."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        images = Images(cls.folder)
        cls.upstream = cls.enterClassContext(Registry(cls.folder))
        cls.line = cls.enterClassContext(Forwarder(cls.upstream.port))
        cls.cache = cls.enterClassContext(Registry(cls.folder, proxy=cls.line.url, name="cache"))
        cls.beside = cls.enterClassContext(Registry(cls.folder, name="beside"))
        cls.down = f"http://127.0.0.1:{dead_port()}"
        cls.old = images.push(cls.upstream, "team/app", "stable", "one", OLD)
        body, _ = cls.cache.manifest("team/app", "stable")
        config = json.loads(body)["config"]["digest"]
        cls.cache.call("GET", f"/v2/team/app/blobs/{config}")
        for digest in (cls.old, config):  # it stores what it hands on beside that
            wait_until((cls.cache.home / f"data/docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data").exists, digest)
        cls.line.cut()
        layout_tag = images.build("two", NEW)
        cls.new = images.copy(layout_tag, cls.upstream, "team/app", "stable")
        images.copy(layout_tag, cls.beside, "team/app", "stable")
        cls.undated = images.push(cls.beside, "team/other", "stable", "three", NEW)
        cls.other = images.push(cls.upstream, "team/other", "stable", "four", NEW)
        cls.index = images.push_index(cls.upstream, "team/index", "stable", {"arm64": "x", "amd64": "y"})
        cls.mirrors = [cls.cache.url, cls.beside.url, cls.down]
        cls.ctl = Ctl(cls.folder, {"ghcr.io": {"server": cls.upstream.url, "mirrors": cls.mirrors},
                                   "healthy.io": {"server": cls.upstream.url, "mirrors": [cls.beside.url]},
                                   "down.io": {"server": cls.down, "mirrors": [cls.beside.url]}})

    def sources(self, reference, code):
        result = self.ctl.run("resolve", "--all", "-o", "json", reference)
        self.assertEqual(result.code, code, result)
        document, = result.json
        self.assertEqual(document["reference"], reference)
        return document["sources"]

    def source(self, name, kind, state, digest, created, behind_s=None, error=None):
        return {"source": name, "kind": kind, "state": state, "digest": digest, "created": created, "behind_s": behind_s,
                "error": error}

    def test_who_is_stale(self):
        refused = f"cannot connect to {self.down}: Connection refused"
        self.assertEqual(self.sources("ghcr.io/team/app:stable", 1), [
            self.source("ghcr.io", "upstream", "upstream", self.new, NEW),
            self.source(self.cache.url, "mirror", "stale", self.old, OLD, BEHIND_S),
            self.source(self.beside.url, "mirror", "current", self.new, NEW),
            self.source(self.down, "mirror", "failed", None, None, None, {"code": "unreachable", "message": refused})])

    def test_table(self):
        result = self.ctl.run("resolve", "--all", "ghcr.io/team/app:stable", "healthy.io/team/app:stable", env={"COLUMNS": "100"})
        self.assertEqual((result.code, result.err), (1, ""))
        lines = result.lines
        self.assertEqual(lines[0], f"ghcr.io/team/app@{self.new}")
        rows = [line.split("  ") for line in lines[1:]]
        self.assertEqual(lines[1].split(), ["source", "state", "created", "(UTC)", "digest"])
        self.assertIn("stale by 3 d 4 h", result.out)
        self.assertIn(f"2026-11-17 06:00  {self.old[:19]}\n", result.out)
        self.assertIn(f"2026-11-20 10:00  {self.new[:19]}\n", result.out)
        self.assertEqual(lines[-5], "")
        self.assertEqual(lines[-4], f"healthy.io/team/app@{self.new}")
        self.assertTrue(lines[-1].startswith(self.beside.url) and "  current  " in lines[-1], lines)
        self.assertLessEqual(max(len(line) for line in lines), 100, rows)

    def test_eighty_columns(self):
        result = self.ctl.run("resolve", "--all", "ghcr.io/team/app:stable")
        self.assertLessEqual(max(len(line) for line in result.lines if "@" not in line), 80, result)

    def test_all_of_them_agree(self):
        self.assertEqual(self.ctl.run("resolve", "--all", "healthy.io/team/app:stable").code, 0)

    def test_the_same_date(self):
        self.assertEqual(self.sources("healthy.io/team/other:stable", 1), [
            self.source("healthy.io", "upstream", "upstream", self.other, NEW),
            self.source(self.beside.url, "mirror", "differs", self.undated, NEW)])

    def test_a_mirror_without_the_tag(self):
        upstream, mirror = self.sources("healthy.io/team/index:stable", 1)
        self.assertEqual((upstream["digest"], mirror["state"], mirror["error"]["code"]), (self.index, "absent", "not_found"))
        self.assertIsNotNone(upstream["created"], "of the index, this machine's image has a date")

    def test_an_upstream_that_is_down(self):
        result = self.ctl.run("resolve", "--all", "-o", "json", "down.io/team/app:stable")
        self.assertEqual(result.code, 69)
        self.assertEqual(result.err, said("down.io/team/app:stable: "
                                          f"cannot connect to {self.down}: Connection refused{HINT_DOWN.format('down.io')}"))
        states = [(source["state"], source["digest"]) for source in result.json[0]["sources"]]
        self.assertEqual(states, [("failed", None), ("unknown", self.new)])

    def test_colours(self):
        """On a terminal alone, and not with NO_COLOR."""
        for more, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
            with self.subTest(more):
                near, far = pty.openpty()
                env = {**self.ctl.env, "TERM": "xterm", **more}
                with subprocess.Popen(self.ctl.command("resolve", "--all", "ghcr.io/team/app:stable"), env=env, stdout=far,
                                      stdin=subprocess.DEVNULL) as run:
                    os.close(far)
                    out = b""
                    while piece := self.read(near):
                        out += piece
                os.close(near)
                self.assertEqual(run.returncode, 1)
                self.assertEqual(b"\033[31mstale" in out, coloured, out)
                self.assertEqual(b"\033" in out, coloured, out)
        self.assertNotIn("\033", self.ctl.run("resolve", "--all", "ghcr.io/team/app:stable", env={"TERM": "xterm"}).out)

    @staticmethod
    def read(terminal):
        try:
            return os.read(terminal, 65536)
        except OSError:  # EIO: its other side is closed
            return b""


if __name__ == "__main__":
    unittest.main()
