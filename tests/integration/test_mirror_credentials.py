# SPDX-License-Identifier: Apache-2.0
"""The pod's credentials go to its upstream and to nobody else: not to our mirrors, not to containerd's,
not to where those redirect or send for a token. A mirror with credentials of its own gets those. Each
party keeps what it was sent; none of it, nor the relay's passwords, is ever in a log or an error."""
import base64
import json
import pathlib
import subprocess
import unittest

import grpc

from tests.fake.grpc_gate import GrpcGate
from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Content, Cri, Daemon, Folder, ShowsLogs
from tests.integration.harness.cri import auth_config
from tests.integration.harness.daemon import binary
from tests.integration.harness.parts import environment
from tests.integration.harness.wire import decode
from tests.integration.mirror_parts import HOST, NAME_AT_RELAY, authorised

CONTAINERDS = ("1.6", "1.7", "2")
MARK = "s3cr3t"
PASSWORD, IDENTITY, GIVEN, MIRRORS_OWN = (f"{MARK}-{name}" for name in ("password", "identity", "given", "mirror"))
MIRROR_USER = "pull-robot"
PULL_IMAGE = "/runtime.v1.ImageService/PullImage"
SIZES = (3_000, 400_000)


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


ANN = f"Basic {base64_of(f'ann:{PASSWORD}')}"
OWN = f"Basic {base64_of(f'{MIRROR_USER}:{MIRRORS_OWN}')}"
PODS_SECRETS = (PASSWORD, IDENTITY, GIVEN, base64_of(f"ann:{PASSWORD}"), base64_of(f":{IDENTITY}"))
CREDENTIALS = {  # by what the upstream asks for
    "basic": {"password": auth_config(username="ann", password=PASSWORD),
              "auth": auth_config(auth=base64_of(f"ann:{PASSWORD}"))},
    "bearer": {"password": auth_config(username="ann", password=PASSWORD),
               "identity": auth_config(identity_token=IDENTITY), "token": auth_config(registry_token=GIVEN)}}


class Parties(ShowsLogs, unittest.TestCase):
    """An upstream that wants credentials, and everybody who must not see them."""

    MIRRORS = ("basic", "bearer", "leads-away", "leads-back")
    OTHERS = (*MIRRORS, "realm", "elsewhere")

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        users = {"users": {"ann": PASSWORD}}
        cls.upstream.auth({"basic/.*": {"scheme": "basic", **users}, "bearer/.*": {
            "scheme": "bearer", **users, "tokens": [GIVEN], "refresh_tokens": {IDENTITY: "ann"}}})
        cls.others = {name: cls.enterClassContext(FakeRegistry(cls.folder, name=name)) for name in cls.OTHERS}
        cls.others["basic"].auth({".*": {"scheme": "basic"}})
        cls.others["bearer"].auth({".*": {"scheme": "bearer", "realm": f"{cls.others['realm'].url}/token"}})
        cls.others["leads-away"].rules([{"redirect": f"{cls.others['elsewhere'].url}{{path}}"}])
        cls.others["leads-back"].rules([{"path": "/blobs/", "redirect": f"{cls.upstream.url}{{path}}&by=mirror"}])
        cls.others["elsewhere"].auth({".*": {"scheme": "basic"}})
        cls.others["realm"].auth({".*": {"scheme": "bearer", **users}})

    def setUp(self):
        for party in (self.upstream, *self.others.values()):
            party.clear_log()

    def push(self, scheme, name):
        """An image that the upstream has, and the manifest of which one mirror has."""
        content = Content(f"{self.id()} {scheme} {name}", SIZES)
        content.push(self.upstream, f"{scheme}/{name}", "v1")
        content.push(self.others["leads-back"], f"{scheme}/{name}", "v1")
        return content

    def assert_nobody_else_knows(self):
        """Nothing that anybody but the upstream was sent holds a secret, and nobody got an Authorization."""
        for name, party in self.others.items():
            log = party.log()
            self.assertEqual(authorised(log), [], name)
            for secret in PODS_SECRETS:
                self.assertNotIn(secret, json.dumps(log), name)

    def assert_mirrors_steer_nothing(self):
        """Where a mirror sends us to the upstream, we come as nobody, as to any other place it names."""
        self.assertEqual(authorised([entry for entry in self.upstream.log() if "by=mirror" in entry["query"]]), [])

    def assert_were_asked(self, *names):
        """Otherwise the test shows nothing."""
        for name in names:
            self.assertNotEqual(self.others[name].log(), [], name)


class Relayed(Parties):
    """Our own mirrors, through the relay."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.upstream.url}))
        cls.gate = cls.enterClassContext(GrpcGate(cls.folder.sub("gate") / "g.sock", cls.containerd.socket))
        cls.own = cls.enterClassContext(FakeRegistry(cls.folder, name="own"))
        cls.own.auth({"basic/.*": {"scheme": "basic", "users": {MIRROR_USER: MIRRORS_OWN}},
                      "bearer/.*": {"scheme": "bearer", "users": {MIRROR_USER: MIRRORS_OWN}}})
        secret = cls.folder.path / "own.credentials"
        secret.write_text(f"{MIRROR_USER}:{MIRRORS_OWN}\n")
        secret.chmod(0o600)
        mirrors = [cls.others[name].url for name in cls.MIRRORS]
        cls.daemon = cls.enterClassContext(Daemon(
            cls.folder, cls.gate.socket, {HOST: {"server": cls.upstream.url, "mirrors": mirrors},
                                          "own.example": {"server": cls.upstream.url, "mirrors": [cls.own.url]}},
            mirrors={cls.own.url: {"credentials": str(secret)}}, log={"level": "debug"},
            shim={"certs_dir": str(cls.containerd.certs)}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.errors = []

    @classmethod
    def tearDownClass(cls):
        """After all of them: what the daemon and containerd have said and shown."""
        grants = {decode(request).message(2).text(2) for request in cls.gate.requests[PULL_IMAGE]
                  if NAME_AT_RELAY in decode(request).message(1).text(1)}
        assert len(grants) >= 7, grants
        process = pathlib.Path(f"/proc/{cls.daemon.process.pid}")
        places = {"log": cls.daemon.log(), "containerd's log": cls.containerd.process.log(),
                  "errors": "\n".join(cls.errors),
                  **{name: (process / name).read_bytes().decode(errors="replace") for name in ("cmdline", "environ")}}
        for place, text in places.items():
            for secret in (MARK, *PODS_SECRETS, *grants, *(base64_of(f"cri-resolved:{grant}") for grant in grants)):
                assert secret not in text, f"a secret is in {place}"
        super().tearDownClass()

    def test_a_pull_past_all_of_them(self):
        for scheme, kinds in CREDENTIALS.items():
            for kind, auth in kinds.items():
                with self.subTest(scheme=scheme, kind=kind):
                    content = self.push(scheme, kind)
                    self.assertEqual(self.cri.pull(f"{HOST}/{scheme}/{kind}:v1", auth), content.id)
                    self.assert_nobody_else_knows()
                    self.assert_mirrors_steer_nothing()
                    self.assertNotEqual(authorised(self.upstream.log(path=f"/{scheme}/{kind}/blobs/")), [])
            self.assertNotEqual([entry for entry in self.upstream.log() if "by=mirror" in entry["query"]], [])
        self.assert_were_asked(*self.OTHERS)

    def test_a_pull_that_is_refused(self):
        self.push("basic", "refused")
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(f"{HOST}/basic/refused:v1", auth_config(username="ann", password=f"{MARK}-wrong"))
        self.errors.append(caught.exception.details())
        self.assertEqual([name for name, party in self.others.items() if party.log()], [], "nobody else was asked")

    def test_a_pull_that_fails_everywhere(self):
        """Its error names all that were asked."""
        content = self.push("basic", "broken")
        self.upstream.rules([{"path": "/basic/broken/blobs/", "status": 500}])
        self.addCleanup(self.upstream.rules, [])
        with self.assertRaises(grpc.RpcError) as caught:
            self.cri.pull(f"{HOST}/basic/broken@{content.digest}", CREDENTIALS["basic"]["password"])
        self.errors.append(caught.exception.details())
        self.assert_nobody_else_knows()

    def test_a_mirror_with_credentials_of_its_own(self):
        for scheme in ("basic", "bearer"):
            with self.subTest(scheme):
                content = Content(f"{self.id()} {scheme}", SIZES)
                for registry in (self.upstream, self.own):
                    content.push(registry, f"{scheme}/own", "v1")
                    registry.clear_log()
                auth = CREDENTIALS[scheme]["password"]
                self.assertEqual(self.cri.pull(f"own.example/{scheme}/own:v1", auth), content.id)
                self.assertRegex(self.daemon.wait_line(rf" pull reference=own.example/{scheme}/own:v1 ")[-1],
                                 rf"source=relay .*{self.own.url}: \d+ bytes")
                self.assertEqual(self.upstream.log("GET", "/blobs/"), [])
                self.assert_own_only(self.own, OWN)
                self.assert_own_only(self.upstream, ANN)

    def assert_own_only(self, party, wanted):
        """The party got these credentials, and no others; but for tokens, which it issued itself."""
        given = {value for entry in party.log() for name, value in entry["headers"] if name.lower() == "authorization"}
        tokens = {f"Bearer {token['token']}" for token in party.tokens()["tokens"]}
        self.assertEqual(given - tokens, {wanted})

    def test_a_mirror_with_credentials_that_leads_away(self):
        """Its own credentials stay with it, too."""
        content = Content(self.id(), SIZES)
        for registry in (self.upstream, self.own):
            content.push(registry, "basic/away", "v1")
        self.own.rules([{"path": "/blobs/", "redirect": f"{self.others['elsewhere'].url}{{path}}"}])
        self.addCleanup(self.own.rules, [])
        self.assertEqual(self.cri.pull("own.example/basic/away:v1", CREDENTIALS["basic"]["password"]), content.id)
        self.assert_were_asked("elsewhere")
        self.assert_nobody_else_knows()
        self.assert_own_only(self.own, OWN)


class Direct(Parties):
    """containerd's own mirrors, of its hosts.toml: we cannot keep it from asking them, but it has nothing
    to tell them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.containerd = cls.enterClassContext(Containerd(cls.folder))
        hosts = {f"{name}.example": cls.others[name].url for name in cls.MIRRORS}
        for host, mirror in hosts.items():
            cls.containerd.set_upstream(host, cls.upstream.url, mirror)
        cls.hosts = list(hosts)
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, dict.fromkeys(hosts, cls.upstream.url),
                                                  relay={"mode": "off"}))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    def test_pulls_past_each_of_them(self):
        for host in self.hosts:
            for scheme in CREDENTIALS:
                with self.subTest(host=host, scheme=scheme):
                    self.pull(host, scheme)
                    self.assert_nobody_else_knows()
        self.assert_were_asked(*self.OTHERS)

    def pull(self, host, scheme):
        """It may fail: containerd gives up where a mirror wants a password. It must not offer one."""
        content = self.push(scheme, host.replace(".", "-"))
        repository = f"{scheme}/{host.replace('.', '-')}"
        try:
            self.assertEqual(self.cri.pull(f"{host}/{repository}:v1", CREDENTIALS[scheme]["password"]), content.id)
        except grpc.RpcError as error:
            self.assertNotIn(MARK, error.details())
        self.assertNotEqual(self.containerd.pulls(), [])


class CredentialsFile(unittest.TestCase):
    """One line user:password, which only its owner may read."""

    def check(self, folder, mode):
        secret, config = folder.path / "credentials", folder.path / "config.toml"
        secret.write_text(f"{MIRROR_USER}:{MIRRORS_OWN}\n")
        secret.chmod(mode)
        config.write_text('[upstream."registry.example"]\nmirrors = ["http://127.0.0.1:9"]\n'
                          f'[mirror."http://127.0.0.1:9"]\ncredentials = "{secret}"\n')
        return subprocess.run([binary(), "--check", "--config", config], env=environment(), capture_output=True,
                              text=True, timeout=60, check=False)

    def test_modes(self):
        with Folder() as folder:
            for mode, code in ((0o600, 0), (0o400, 0), (0o640, 78), (0o604, 78), (0o620, 78), (0o602, 78), (0o644, 78)):
                with self.subTest(oct(mode)):
                    done = self.check(folder, mode)
                    self.assertEqual(done.returncode, code, done.stderr)
                    self.assertNotIn(MARK, done.stdout + done.stderr)
                    if code:
                        self.assertRegex(done.stderr, r"config\.toml:\d+: .*credentials")


if __name__ == "__main__":
    unittest.main()
