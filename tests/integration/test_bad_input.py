# SPDX-License-Identifier: Apache-2.0
"""Input that nobody should send: each gets its exact error, and the daemon goes on.

What kubelet's side sends wrong is containerd's to word: the error through the daemon must be the one
that containerd itself gives."""
import subprocess
import unittest

import grpc

from tests.fake.kubelet import sandbox_config
from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Cri, Daemon, Folder, Images, Registry, wait_until
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import environment
from tests.integration.harness.wire import encode, varint

HOST, SILENT = "registry.example", "silent.example"
ZEROS = "sha256:" + "0" * 64
PULL = "/runtime.v1.ImageService/PullImage"


def spec(image):
    return encode([(1, [(1, image)])])


def failure(cri, path, request):
    """(code, message) of a call that must fail."""
    try:
        answer = cri.call(path, request, timeout_s=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"{path} succeeded: {answer!r}")


class FromKubelet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {HOST: cls.registry.url}))
        cls.through = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))
        Images(cls.folder).push(cls.registry, "team/app", "stable", "bad input")

    def tearDown(self):
        """The daemon goes on: a good pull succeeds, and it is still the same process."""
        self.assertTrue(self.through.pull(f"{HOST}/team/app:stable"))
        self.assertTrue(self.daemon.process.running())

    def assert_same_failure(self, request, path=PULL):
        mine, theirs = failure(self.through, path, request), failure(self.direct, path, request)
        self.assertEqual(mine, theirs)
        return theirs

    def test_truncated_messages(self):
        good = spec(f"{HOST}/team/app:stable")
        whole = good + encode([(3, sandbox_config("pod", "uid", {"key": "value"}))])
        for size in (1, 2, 3, 10, len(good) - 1, len(good) + 1, len(good) + 2, len(whole) - 1):
            with self.subTest(size):
                code, _ = self.assert_same_failure(whole[:size])
                self.assertEqual(code, "INTERNAL")

    def test_broken_wire_format(self):
        for what, request in {
            "endless varint": b"\xff" * 20,
            "length beyond the end": b"\x0a" + varint(1 << 40),
            "unknown wire type": b"\x0f",
            "group that never ends": b"\x0b",
            "field number zero": b"\x02\x01a",
            "image spec as a number": b"\x08\x01",
            "image name as a number": encode([(1, b"\x08\x01")]),
        }.items():
            with self.subTest(what):
                self.assert_same_failure(request)

    def test_messages_above_the_limit(self):
        """containerd takes 16 MiB; the daemon is not the one to say so."""
        filler = encode([(99, b"x" * (17 << 20))])
        code, message = self.assert_same_failure(spec("NOT A REFERENCE") + filler)
        self.assertEqual(code, "RESOURCE_EXHAUSTED", message)
        # One that the daemon takes up itself: the digest's request is as large and fails in the same way.
        code, message = failure(self.through, PULL, spec(f"{HOST}/team/app:large") + filler)
        self.assertEqual((code, "not found" in message), ("NOT_FOUND", True), message)

    def test_no_image_at_all(self):
        for what, request in {"empty": b"", "no image": encode([(1, b"")]), "empty name": spec(""),
                              "only credentials": encode([(2, [(1, "ann"), (2, "word")])])}.items():
            with self.subTest(what):
                self.assert_same_failure(request)

    def test_references_that_do_not_parse(self):
        for image in ("team/UPPER", f"{HOST}/team/app:bad tag", f"{HOST}/team/app@sha256:short", "a:b:c", "/app", "app/",
                      f"{HOST}/team/app:" + "t" * 129, "http://registry.example/app", "-leading/app", "a//b", " app",
                      "app ", f"{HOST}/team/app@md5:" + "0" * 32, "n" * 300, "0" * 64,
                      f"{HOST}/team/app:stable\n", "äpp"):
            with self.subTest(image):
                self.assert_same_failure(spec(image))

    def test_names_with_bytes_that_are_no_text(self):
        """A NUL must not end the name: what is behind it belongs to the reference."""
        for image in (f"{HOST}/team/app:stable\0", f"{HOST}/team/app:stable\0x", f"\0{HOST}/team/app:stable",
                      b"registry.example/team/app:\xff\xfe", f"{HOST}/team/app:stable".encode() + b"\xc3"):
            with self.subTest(image):
                self.assert_same_failure(spec(image))

    def test_wrong_methods(self):
        for path, code in {
            "/runtime.v1.ImageService/PullImages": "UNIMPLEMENTED",
            "/runtime.v1.ImageService/": "UNIMPLEMENTED",
            "/runtime.v1.NoService/PullImage": "UNIMPLEMENTED",
            "/runtime.v9.ImageService/PullImage": "UNIMPLEMENTED",
        }.items():
            with self.subTest(path):
                self.assertEqual(self.assert_same_failure(spec(f"{HOST}/team/app:stable"), path)[0], code)
        self.assert_same_failure(b"", "/PullImage")  # no service at all: each containerd has a word of its own


class FromRegistries(unittest.TestCase):
    """Answers of a registry and of its token server that are no answers."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(FakeRegistry(cls.folder))
        cls.silent = cls.enterClassContext(FakeRegistry(cls.folder, name="silent-registry"))
        upstreams = {HOST: cls.registry.url, SILENT: cls.silent.url}
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams=upstreams))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, upstreams, resolve={
            "timeout": "30s", "budget": "60s"}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket, timeout_s=120))

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1]
        self.image = f"{HOST}/{self.repository}:stable"
        self.digest = self.registry.image(self.repository, "stable", self.repository)

    def tearDown(self):
        """The daemon goes on, and what the registry said before spoils nothing."""
        self.registry.rules([])
        self.registry.auth({})
        self.assertTrue(self.cri.pull(self.image))
        self.assertTrue(self.daemon.process.running())

    def assert_fails(self, message, unavailable=False):
        """UNKNOWN, and these words behind the usual ones. {url}: the registry's, {manifest}: the tag's URL."""
        url = self.registry.url
        message = message.replace("{manifest}", f"{url}/v2/{self.repository}/manifests/stable").replace("{url}", url)
        start = "RegistryUnavailable: " if unavailable else ""
        self.assertEqual(failure(self.cri, PULL, spec(self.image)), ("UNKNOWN", (
            f'{start}failed to pull and unpack image "{self.image}": failed to resolve reference "{self.image}": '
            f'{message}')))
        self.assertEqual([name for name in self.containerd.store() if name.startswith(f"{HOST}/{self.repository}")], [])

    def lie(self, method=None, **rule):
        """A rule for the tag's manifest."""
        condition = {"path": f"/{self.repository}/manifests/stable$"}
        if method:
            condition["method"] = method
        self.registry.add_rule(**condition, **rule)

    def heads(self):
        return len(self.registry.log("HEAD", f"{self.repository}/manifests/stable"))

    def test_no_digest(self):
        """The content says what its digest is."""
        for change in ({"drop_headers": ["Docker-Content-Digest"]},
                       {"set_headers": {"Docker-Content-Digest": "sha256:xyz"}},
                       {"set_headers": {"Docker-Content-Digest": ""}}):
            with self.subTest(change):
                self.registry.rules([])
                self.lie(**change)
                self.assertTrue(self.cri.pull(self.image))
                self.assertEqual(self.containerd.store()[self.image].digest, self.digest)

    def test_head_says_a_digest_that_nobody_has(self):
        self.lie("HEAD", set_headers={"Docker-Content-Digest": ZEROS})
        wrong = f"{HOST}/{self.repository}@{ZEROS}"
        code, message = failure(self.cri, PULL, spec(self.image))
        self.assertEqual(code, "NOT_FOUND")
        self.assertIn(f"{wrong}: not found", message)
        self.assertEqual([name for name in self.containerd.store() if self.repository in name], [])

    def test_content_is_not_what_the_header_says(self):
        self.lie("HEAD", status=405)
        self.lie("GET", set_headers={"Docker-Content-Digest": ZEROS})
        self.assert_fails(f"{{url}} says that the digest is {ZEROS}, but what it sends has {self.digest}")

    def test_twenty_megabytes_of_manifest(self):
        self.lie("HEAD", drop_headers=["Docker-Content-Digest"])
        self.lie("GET", status=200, body="[1]", body_repeat=7 << 20)
        self.assert_fails("{url} answers with more than 4194304 bytes")

    def test_endless_redirect(self):
        self.lie(redirect="{path}")
        self.assert_fails("{url} redirects more than 5 times")
        self.assertEqual(self.heads(), 6)

    def test_redirect_out_of_http(self):
        self.lie(redirect="file:///etc/hostname")
        self.assert_fails("{url}: the redirect does not lead to a http or https URL")

    def test_redirect_to_nowhere(self):
        self.lie(status=307)
        self.assert_fails("{url} answers with a redirect that leads nowhere")

    def test_header_bomb(self):
        self.lie(header_bomb=1 << 20)
        self.assert_fails("{url} answers with more than 64 KiB of headers")

    def test_statuses_that_are_no_answer(self):
        for status, words in ((204, "204"), (206, "206"), (400, "400 Bad Request"), (403, "403 Forbidden"), (418, "418"),
                              (599, None), (500, None)):
            with self.subTest(status):
                self.registry.rules([])
                self.lie(status=status)
                words = words or {500: "500 Internal Server Error"}.get(status, str(status))
                self.assert_fails(f"unexpected status from HEAD request to {{manifest}}: {words}", status >= 500)

    def test_hangs_up(self):
        self.lie(hang_up=True)
        self.assert_fails("the connection to {url} broke: Empty reply from server", unavailable=True)

    def test_challenges_that_cannot_be_met(self):
        for challenge, message in {
            None: "unexpected status from HEAD request to {manifest}: 401 Unauthorized",
            'Negotiate abc=': "unexpected status from HEAD request to {manifest}: 401 Unauthorized",
            'Bearer realm="without end': "{url}: WWW-Authenticate: a quoted string has no end",
            'Bearer realm="nonsense",service="x"':
                "failed to authorize: failed to fetch anonymous token: {url} names a token realm that is no http or https URL",
            'Bearer realm="file:///etc/hostname"':
                "failed to authorize: failed to fetch anonymous token: {url} names a token realm that is no http or https URL",
        }.items():
            with self.subTest(challenge):
                self.registry.rules([])
                self.lie(status=401, headers={"WWW-Authenticate": challenge} if challenge else {})
                self.assert_fails(message)

    def token(self, **rule):
        self.registry.auth({".*": {"scheme": "bearer", "anonymous": True}})
        self.registry.revoke_tokens()
        self.registry.rules([{"path": "^/token", **rule}])

    def test_token_servers_that_lie(self):
        why = "failed to authorize: failed to fetch anonymous token: "
        for rule, message in (
                ({"status": 200, "body": "[1]", "body_repeat": 7 << 20}, "{url} answers with more than 131072 bytes"),
                ({"status": 200, "body": "<html>"}, "the token server's answer is not a JSON object"),
                ({"status": 200, "body": "[{},{},", "body_repeat": 10000}, "the token server's answer is not a JSON object"),
                ({"status": 200, "body": '{"x":', "body_repeat": 10000}, "the token server's answer is nested more than 16 deep"),
                ({"status": 200, "body": '{"token":'}, "the token server's answer is not JSON"),
                ({"status": 200, "body": "{}"}, "the token server's answer holds no token"),
                ({"status": 200, "body": '{"token": 7}'}, "the token server's token is malformed"),
                ({"status": 200, "body": '{"token": "a\\r\\nX-Evil: 1"}'}, "the token server's token is malformed"),
                ({"redirect": "{path}"}, "the token server redirects more than 5 times"),
                ({"header_bomb": 1 << 20}, "{url} answers with more than 64 KiB of headers"),
                ({"status": 401, "headers": {"WWW-Authenticate": f'Bearer realm="{self.registry.url}/token"'}},
                 "unexpected status from GET request to {url}/token: 401 Unauthorized")):
            with self.subTest(rule):
                self.token(**rule)
                self.assert_fails(why + message)

    def test_tokens_that_are_worthless(self):
        """Each is refused with the same challenge: that is an answer, not a reason to go on for ever."""
        self.token(status=200, body='{"token": "worthless"}')
        self.assert_fails("unexpected status from HEAD request to {manifest}: 401 Unauthorized")
        self.assertEqual(self.heads(), 2)

    def test_a_challenge_that_always_changes(self):
        """Every refusal names another scope: a loop, if one follows it."""
        self.registry.rules([
            {"path": "^/token", "status": 200, "body": '{"token": "worthless"}'},
            *({"path": f"/{self.repository}/manifests/", "times": 1, "status": 401, "headers": {
                "WWW-Authenticate": f'Bearer realm="{self.registry.url}/token",scope="repository:x{number}:pull"'}}
              for number in range(40))])
        self.assert_fails("unexpected status from HEAD request to {manifest}: 401 Unauthorized")
        self.assertLessEqual(self.heads(), 4)

    def test_one_silent_registry_delays_nobody_else(self):
        """200 pulls wait for an answer that never comes; a pull from another upstream completes meanwhile."""
        self.silent.rules([{"path": "/v2/", "silence": True}])
        pulls = [self.cri.pull_future(f"{SILENT}/team/app-{number}:stable") for number in range(200)]
        self.silent.wait(64, "/manifests/stable", "HEAD", "held", timeout_s=60)
        self.assertTrue(self.cri.pull(self.image))
        self.assertTrue(self.cri.pull(f"{HOST}/{self.repository}@{self.digest}"))
        self.assertEqual([number for number, pull in enumerate(pulls) if pull.done()], [])
        for pull in pulls:
            pull.cancel()
        self.silent.wait(64, "/manifests/stable", "HEAD", "gone", timeout_s=60)


BROKEN = {
    "[resolve\n": "c.toml:1:9: Error while parsing table header: expected ']'",
    "[resolve]\ntimeout = 'soon'\n":
        'c.toml:2: resolve.timeout: got "soon"; allowed: "10ms" to "5m", as a number with ms, s, m or h',
    "[resolve]\n\ntimeout = 5\n":
        'c.toml:3: resolve.timeout: got an integer; allowed: "10ms" to "5m", as a number with ms, s, m or h',
    "[resolve]\ntimeout = '1h'\n":
        'c.toml:2: resolve.timeout: got "1h"; allowed: "10ms" to "5m", as a number with ms, s, m or h',
    "[resolve]\n# a comment\ntimeuot = '5s'\n": 'c.toml:3: resolve.timeuot: unknown key; did you mean "timeout"?',
    "[resolve]\non_upstream_down = 'never'\n":
        'c.toml:2: resolve.on_upstream_down: got "never"; allowed: "fail", "stale" or "mirror"',
    "x = 1\n":
        'c.toml:1: x: unknown table; allowed: shim, resolve, relay, admin, metrics, nri, log, upstream."<host>", '
        'mirror."<url>"',
    "[resolve]\ntimeout = '1s'\ntimeout = '2s'\n":
        "c.toml:3:11: Error while parsing key-value pair: cannot redefine existing string 'timeout'",
    "[shim]\nlisten = 'tcp://127.0.0.1:1'\n":
        'c.toml:2: shim.listen: got "tcp://127.0.0.1:1"; allowed: "unix:///path", at most 107 bytes of path',
    "[upstream.'a.example']\nserver = 'http://ann:word@a.example'\n":
        'c.toml:2: upstream."a.example".server: not a URL of the form "https://host:port/path" or "http://..." '
        "(without user, query and fragment)",
}


class FromTheAdministrator(unittest.TestCase):
    """Configurations that do not say what they mean."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())

    def refusal(self, text):
        """What a daemon says that does not start: (exit code, its one line)."""
        path = self.folder.sub("configuration") / "c.toml"
        path.write_text(text)
        done = subprocess.run([binary(), "--config", path], env=environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.strip().replace(str(path), "c.toml").splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        return done.returncode, lines[0]

    def test_broken_files(self):
        for text, message in BROKEN.items():
            with self.subTest(text):
                code, line = self.refusal(text)
                line = line.replace('\\"', '"')
                self.assertEqual((code, line.partition("error=")[2]), (78, f'"{message}"'))

    def test_no_such_file(self):
        done = subprocess.run([binary(), "--config", "/nonexistent/c.toml"], env=environment(), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn("/nonexistent/c.toml: No such file or directory", done.stderr)

    def test_a_broken_reload_keeps_the_old_one(self):
        registry = self.enterContext(FakeRegistry(self.folder))
        registry.image("team/app", "stable", "reload")
        containerd = self.enterContext(Containerd(self.folder, upstreams={HOST: registry.url}))
        daemon = self.enterContext(Daemon(self.folder, containerd, {HOST: registry.url}))
        cri = self.enterContext(Cri(daemon.socket))
        for text in ('[resolve]\ntimeout = "soon"\n', "[resolve\n", "[nonsense]\n", ""):
            with self.subTest(text):
                kept, done = daemon.log().count("the old one stays"), daemon.log().count("configuration reloaded")
                daemon.write_config(text)
                daemon.reload()
                if text:
                    wait_until(lambda: daemon.log().count("the old one stays") == kept + 1, "the reload is refused")
                    self.assertTrue(cri.pull(f"{HOST}/team/app:stable"))
                else:
                    wait_until(lambda: daemon.log().count("configuration reloaded") == done + 1, "the reload is done")
        daemon.write_config()
        done = daemon.log().count("configuration reloaded")
        daemon.reload()
        wait_until(lambda: daemon.log().count("configuration reloaded") == done + 1, "the reload is done")
        self.assertTrue(cri.pull(f"{HOST}/team/app:stable"))


if __name__ == "__main__":
    unittest.main()
