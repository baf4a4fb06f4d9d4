# SPDX-License-Identifier: Apache-2.0
"""No secret is ever in a log, an error or a command line: every way in which credentials come, with
success and with every kind of failure, at the level debug, as text and as JSON."""
import base64
import pathlib
import re
import signal
import subprocess
import unittest

import grpc

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Cri, Daemon, Folder, dead_port, wait_until
from tests.integration.harness.cri import auth_config
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import environment

HOST, HEADER, GONE = "registry.example", "header.example", "gone.example"
MARK = "s3cr3t"  # in every secret; base64 forms are made from the whole
PASSWORD, WRONG, IDENTITY, GIVEN, IN_HEADER, SIGNATURE = (
    f"{MARK}-{name}" for name in ("password", "wrong", "identity", "given", "header", "signature"))


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


ENCODED = [base64_of(f"ann:{word}") for word in (PASSWORD, WRONG)] + [base64_of(f":{IDENTITY}"), base64_of(IN_HEADER)]

CREDENTIALS = {
    "right password": {"username": "ann", "password": PASSWORD},
    "wrong password": {"username": "ann", "password": WRONG},
    "right auth": {"auth": base64_of(f"ann:{PASSWORD}")},
    "wrong auth": {"auth": base64_of(f"ann:{WRONG}")},
    "auth that is no pair": {"auth": base64_of(WRONG)},
    "auth that is no base64": {"auth": f"!{WRONG}!"},
    "identity token": {"identity_token": IDENTITY},
    "wrong identity token": {"identity_token": WRONG},
    "registry token": {"registry_token": GIVEN},
    "wrong registry token": {"registry_token": WRONG},
    "registry token of two lines": {"registry_token": f"{GIVEN}\r\nX-Evil: {WRONG}"},
    "for another server": {"username": "ann", "password": PASSWORD, "server_address": "https://other.example"},
    "server address with a password": {"username": "ann", "password": PASSWORD,
                                       "server_address": f"https://ann:{PASSWORD}@other.example"},
    "password of two lines": {"username": "ann", "password": f"{WRONG}\r\nX-Evil: 1"},
    "user name as a password": {"username": f"ann:{WRONG}", "password": ""},
    "all at once": {"username": "ann", "password": PASSWORD, "auth": base64_of(f"ann:{WRONG}"),
                    "identity_token": IDENTITY, "registry_token": GIVEN},
}


class Secrets(unittest.TestCase):
    FORMAT = "text"

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        users = {"users": {"ann": PASSWORD}}
        cls.registry.auth({
            "basic/.*": {"scheme": "basic", **users},
            "bearer/.*": {"scheme": "bearer", **users, "tokens": [GIVEN], "refresh_tokens": {IDENTITY: "ann"}},
        })
        upstreams = {HOST: cls.registry.url, GONE: f"http://127.0.0.1:{dead_port()}"}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={**upstreams, HEADER: cls.registry.url}))
        upstreams[HEADER] = {"server": cls.registry.url,
                             "headers": {"Authorization": f"Basic {base64_of(f'ann:{PASSWORD}')}", "X-Key": IN_HEADER}}
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, upstreams, log={
            "level": "debug", "format": cls.FORMAT}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.answers = []

    def setUp(self):
        self.addCleanup(self.registry.rules, [])

    def pull(self, image, credentials=None):
        try:
            self.cri.pull(image, credentials and auth_config(**credentials))
            return "OK"
        except grpc.RpcError as error:
            self.answers.append(error.details())
            return error.code().name

    def pull_with_all(self, image):
        return {name: self.pull(image, credentials) for name, credentials in CREDENTIALS.items()}

    def assert_no_secret(self, text, what):
        issued = [token["token"] for token in self.registry.tokens()["tokens"]]
        for secret in (MARK, *ENCODED, *issued):
            at = text.find(secret)
            self.assertEqual(at, -1, f"{what} holds {secret}: {text[max(0, at - 200):at + 100]!r}")

    def tearDown(self):
        lines = self.daemon.log()
        self.assertIn("reference", lines)
        self.assert_no_secret(lines, "the log")
        self.assert_no_secret("\n".join(self.answers), "an answer")
        for name in ("cmdline", "comm", "environ"):
            text = pathlib.Path(f"/proc/{self.daemon.process.pid}/{name}").read_bytes().decode(errors="replace")
            self.assert_no_secret(text, name)

    def test_basic(self):
        self.registry.image("basic/app", "stable", "basic")
        got = self.pull_with_all(f"{HOST}/basic/app:stable")
        self.assertEqual({name for name, outcome in got.items() if outcome == "OK"},
                         {"right password", "right auth", "all at once"})

    def test_bearer(self):
        self.registry.image("bearer/app", "stable", "bearer")
        got = self.pull_with_all(f"{HOST}/bearer/app:stable")
        self.assertLessEqual({"right password", "right auth", "identity token", "registry token", "all at once"},
                             {name for name, outcome in got.items() if outcome == "OK"})
        self.assertLessEqual({"wrong password", "wrong auth", "wrong identity token", "wrong registry token"},
                             {name for name, outcome in got.items() if outcome == "UNKNOWN"})

    def test_absent_and_unreachable(self):
        for image in (f"{HOST}/basic/absent:1", f"{HOST}/bearer/absent:1", f"{GONE}/team/app:1"):
            with self.subTest(image):
                self.assertNotIn("OK", self.pull_with_all(image).values())

    def test_server_errors(self):
        for rule in ({"status": 500}, {"hang_up": True}, {"header_bomb": 1 << 17}):
            with self.subTest(rule):
                self.registry.rules([{"path": "/manifests/", "times": 40, **rule}])
                self.assertEqual(self.pull(f"{HOST}/basic/app:1", CREDENTIALS["right password"]), "UNKNOWN")

    def test_redirects_with_a_signature(self):
        """A signed URL is a secret: nobody may read it in the error of the server that it leads to."""
        for target in (f"{self.registry.url}/elsewhere?signature={SIGNATURE}",
                       f"http://127.0.0.1:{dead_port()}/elsewhere?signature={SIGNATURE}#{SIGNATURE}",
                       f"http://ann:{PASSWORD}@127.0.0.1:{dead_port()}/elsewhere", f"ftp://127.0.0.1/?{SIGNATURE}"):
            with self.subTest(target):
                self.registry.rules([{"path": "/manifests/", "redirect": target},
                                     {"path": "/elsewhere", "status": 500}])
                self.assertEqual(self.pull(f"{HOST}/open/app:1"), "UNKNOWN")

    def test_realms_with_a_secret(self):
        for realm in (f"{self.registry.url}/other?key={SIGNATURE}", f"http://127.0.0.1:{dead_port()}/?key={SIGNATURE}",
                      f"http://ann:{PASSWORD}@127.0.0.1:{dead_port()}/token", f"nonsense {SIGNATURE}"):
            with self.subTest(realm):
                self.registry.rules([{"path": "/manifests/", "status": 401,
                                      "headers": {"WWW-Authenticate": f'Bearer realm="{realm}"'}}])
                self.assertNotEqual(self.pull(f"{HOST}/open/app:1", CREDENTIALS["right password"]), "OK")

    def test_servers_that_repeat_what_they_were_told(self):
        """An error text of a server may hold the request's own secrets."""
        for body in (f'{{"errors": [{{"message": "{PASSWORD} is wrong"}}]}}', PASSWORD):
            with self.subTest(body):
                self.registry.rules([{"path": "/manifests/|/token", "status": 403, "body": body, "headers": {
                    "WWW-Authenticate": f'Bearer error="{PASSWORD}"', "Warning": f'299 - "{PASSWORD}"'}}])
                self.assertEqual(self.pull(f"{HOST}/open/app:1", CREDENTIALS["right password"]), "UNKNOWN")

    def test_headers_of_the_configuration(self):
        self.registry.image("basic/header", "stable", "header")
        self.pull(f"{HEADER}/basic/header:stable")
        seen = self.registry.log("HEAD", "basic/header/manifests/stable")
        self.assertIn(["X-Key", IN_HEADER], seen[-1]["headers"])
        self.assertEqual(seen[-1]["status"], 200)
        reloads = self.daemon.log().count("configuration reloaded")
        self.daemon.process.signal(signal.SIGHUP)
        wait_until(lambda: self.daemon.log().count("configuration reloaded") > reloads, "the reload is done")


class SecretsAsJson(Secrets):
    FORMAT = "json"


class BrokenConfigurations(unittest.TestCase):
    """The error names the place; the line itself may hold a secret."""

    def test_values_stay_out_of_errors(self):
        with Folder() as folder:
            path = folder.path / "c.toml"
            for text in BROKEN:
                with self.subTest(text):
                    path.write_text(text)
                    done = subprocess.run([binary(), "--config", path], env=environment(), capture_output=True,
                                          text=True, timeout=60, check=False)
                    self.assertEqual(done.returncode, 78, done.stderr)
                    self.assertRegex(done.stderr, r"c\.toml:\d")
                    self.assertEqual(re.findall(MARK, done.stderr + done.stdout), [], done.stderr)


BROKEN = [f'[upstream."a.example".headers]\n{line}\n' for line in (
    f"Authorization = {MARK}", f"Authorization = Basic {MARK}", f'Authorization = "Basic" {MARK}',
    f'Authorization = "{MARK}\\q"', f"Authorization = '{MARK}", f"Authorization = 0x{MARK}", f"Authorization : {MARK}",
    f'"Authorization: {MARK}" = 1', f'Authorization = ["{MARK}"]', f'Authorization = "{MARK}\\u000a"',
    f'Authorization = {{ file = "/nonexistent", value = "{MARK}" }}')]
BROKEN += [f'[upstream."a.example"]\n{line}\n' for line in (
    f'headers = "Authorization: {MARK}"', f'headers = ["Authorization: {MARK}"]', f'password = "{MARK}"',
    f'server = "https://ann:{MARK}@a.example"', f'server = "https://a.example/?key={MARK}"')]


if __name__ == "__main__":
    unittest.main()
