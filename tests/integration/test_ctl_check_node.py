# SPDX-License-Identifier: Apache-2.0
"""`check` on the rest of a node: kubelet, crictl, our configuration, sockets and files, the content
store, clocks; and how the verb speaks."""
import datetime
import email.utils
import http.server
import os
import re
import threading
import unittest

import grpc

from tests.integration.check_parts import Checker, places, texts
from tests.integration.harness import Containerd, Content, Cri, Daemon, Folder, Registry, dead_port
from tests.integration.harness.parts import ROOT
from tests.integration.harness.wire import decode, encode

CONTAINERDS = ("1.7",)
IMAGE = "ghcr.io/team/app:v1"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(Registry(cls.folder, name="upstream"))
        cls.content = Content("v1")
        cls.content.push(cls.upstream, "team/app", "v1")
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={"ghcr.io": cls.upstream.url}))

    def daemon(self, **more):
        upstreams = {"ghcr.io": self.upstream.url, **more.pop("upstreams", {})}
        daemon = self.enterContext(Daemon(self.folder, self.containerd, upstreams, **more))
        self.checker = Checker(self.folder, self.containerd, config=daemon.config)
        self.checker.services["kubelet"] = lambda verb: None
        return daemon

    def find_one(self, identifier, *arguments):
        found = self.checker.find(identifier, *arguments)
        self.assertEqual(len(found), 1, found)
        return found[0]


class Asking(Case):
    """Who asks us."""

    def test_kubelets_endpoint_leads_nowhere(self):
        daemon = self.daemon()
        self.checker.services["cri-resolved"] = lambda verb: daemon.start()
        self.checker.kubelet.write_text(f"kind: KubeletConfiguration\nimageServiceEndpoint: unix://{daemon.socket}\n")
        self.assertEqual(self.checker.findings("kubelet"), [])
        daemon.stop()
        finding = self.find_one("kubelet-socket-missing", "kubelet")
        self.assertEqual(finding["severity"], "error")
        self.assertEqual(places(finding), [f"{self.checker.kubelet}:2", str(daemon.socket)])
        self.assertEqual(texts(finding)[1], "No such file or directory")
        self.checker.apply(finding)
        with Cri(daemon.socket) as cri:
            self.assertEqual(cri.pull(IMAGE), self.content.id)
        self.assertEqual(self.checker.findings("kubelet"), [])

    def test_kubelets_flags_are_above_its_file(self):
        daemon = self.daemon()
        flags = self.checker.home / "flags.env"
        flags.write_text(f'# --image-service-endpoint=unix:///no\nARGS="--v=2 --image-service-endpoint=unix://{daemon.socket}"\n')
        self.checker.kubelet.write_text("kind: KubeletConfiguration\nimageServiceEndpoint: unix:///elsewhere.sock\n")
        self.assertEqual(self.checker.findings("kubelet", "--kubelet-flags", flags), [])
        self.find_one("kubelet-not-pointed-here", "kubelet")

    def test_every_way_to_point_kubelet_here_and_the_way_back(self):
        """Named as an area, kubelet is told of with all ways; once it asks us, with the way back."""
        daemon = self.daemon()
        self.checker.kubelet.write_text("kind: KubeletConfiguration\n")
        said = self.checker.run("kubelet").stderr
        self.assertIn(f'  kind: KubeletConfiguration\n  imageServiceEndpoint: "unix://{daemon.socket}"\n', said)
        for words in ("--config-dir", f"KUBELET_EXTRA_ARGS=--image-service-endpoint=unix://{daemon.socket}\n",
                      "kubeletconfiguration0+strategic.yaml", f"      image-service-endpoint: unix://{daemon.socket}\n",
                      "\nTo go back: remove the file"):
            self.assertIn(words, said)
        self.assertNotIn("how to point kubelet here", self.checker.run("--offline").stderr)
        self.checker.apply(self.find_one("kubelet-not-pointed-here", "kubelet"))
        self.assertEqual(self.checker.kubelet.read_text(),
                         f"kind: KubeletConfiguration\nimageServiceEndpoint: unix://{daemon.socket}\n")
        done = self.checker.run("kubelet")
        self.assertEqual((done.returncode, done.stdout), (0, "0 errors, 0 warnings, 0 hints\n"))
        self.assertEqual(done.stderr, f"cri-resolvectl check: kubelet asks cri-resolved for images: {self.checker.kubelet}:2. "
                         "To go back, remove that line or flag, systemctl restart kubelet, and then stop cri-resolved.\n")
        self.checker.kubelet.write_text("kind: KubeletConfiguration\n")  # back
        self.find_one("kubelet-not-pointed-here", "kubelet")

    def test_a_kubelet_with_drop_ins_gets_one(self):
        daemon = self.daemon()
        drop_ins = self.checker.home / "kubelet.conf.d"
        flags = self.checker.home / "with-folder.env"
        flags.write_text(f'ARGS="--config-dir={drop_ins}"\n')
        self.checker.kubelet.write_text("kind: KubeletConfiguration\n")
        finding = self.find_one("kubelet-not-pointed-here", "kubelet", "--kubelet-flags", flags)
        self.checker.apply(finding)
        self.assertEqual(self.checker.kubelet.read_text(), "kind: KubeletConfiguration\n")
        made = drop_ins / "50-cri-resolved.conf"
        self.assertIn(f'imageServiceEndpoint: "unix://{daemon.socket}"\n', made.read_text())
        self.assertEqual(self.checker.findings("kubelet", "--kubelet-flags", flags), [])
        made.write_text("imageServiceEndpoint: unix:///elsewhere.sock\n")
        self.checker.apply(self.find_one("kubelet-not-pointed-here", "kubelet", "--kubelet-flags", flags))
        self.assertEqual(made.read_text(), f"imageServiceEndpoint: unix://{daemon.socket}\n")
        self.assertEqual(self.checker.findings("kubelet", "--kubelet-flags", flags), [])

    def test_crictl(self):
        daemon = self.daemon()
        finding = self.find_one("crictl-without-image-endpoint", "crictl")
        self.assertEqual((finding["severity"], places(finding)), ("hint", [str(self.checker.crictl)]))
        self.checker.apply(finding)
        self.assertEqual(self.checker.findings("crictl"), [])
        self.assertEqual(self.checker.crictl.read_text(), f"runtime-endpoint: unix://{self.containerd.socket}\n"
                                                          f"image-endpoint: unix://{daemon.socket}\n")
        self.checker.crictl.write_text(f"timeout: 10\nimage-endpoint: unix://{self.containerd.socket}\n")
        finding = self.find_one("crictl-without-image-endpoint", "crictl")
        self.assertEqual(places(finding), [f"{self.checker.crictl}:2"])
        self.checker.apply(finding)
        self.assertEqual(self.checker.findings("crictl"), [])


class Ours(Case):
    """Our configuration, and who may read and write what."""

    def test_a_configuration_that_is_refused(self):
        daemon = self.daemon()
        daemon.config.write_text(daemon.config.read_text() + '\n[upstream."a.io"]\nmirors = []\n')
        finding = self.find_one("configuration-invalid", "configuration")
        self.assertEqual((finding["severity"], places(finding)), ("error", [str(daemon.config)]))
        self.assertRegex(texts(finding)[0], rf'^{daemon.config}:\d+: .*mirors')

    def test_a_file_with_credentials_that_others_may_read(self):
        daemon = self.daemon()
        secret = self.checker.home / "harbor.credentials"
        secret.write_text("robot:not-to-be-shown\n")
        secret.chmod(0o644)
        text = daemon.config.read_text().replace(
            '[upstream."ghcr.io"]', f'[mirror."http://127.0.0.1:1"]\ncredentials = "{secret}"\n\n'
            '[upstream."ghcr.io"]\nmirrors = ["http://127.0.0.1:1"]')
        daemon.config.write_text(text)
        self.assertNotIn("not-to-be-shown", self.checker.run("configuration").stdout)
        finding = self.find_one("credential-file-mode", "configuration")
        line = text.splitlines().index(f'credentials = "{secret}"') + 1
        self.assertEqual((places(finding), texts(finding)), (
            [str(secret), f"{daemon.config}:{line}"], ["mode 0644", "where it is named"]))
        self.find_one("configuration-invalid", "configuration")
        self.checker.apply(finding)
        self.assertEqual(self.checker.findings("configuration"), [])

    def test_a_socket_that_everybody_may_write_to(self):
        daemon = self.daemon()
        self.assertEqual(self.checker.findings("configuration"), [])
        os.chmod(daemon.socket, 0o666)
        finding = self.find_one("socket-mode", "configuration")
        self.assertEqual((places(finding), texts(finding)), ([str(daemon.socket)], ["mode 0666"]))
        self.checker.apply(finding)
        self.assertEqual(self.checker.findings("configuration"), [])


class Busy(Case):
    def test_an_upstream_that_is_pulled_a_lot(self):
        """A new upstream that needs a cache: 20 images of it have been fetched, and there is no mirror."""
        admin = self.folder.sub("admin") / "admin.sock"
        daemon = self.daemon(admin={"listen": f"unix://{admin}"})
        with Cri(daemon.socket) as cri:
            for number in range(20):
                self.assertEqual(self.checker.find("busy-upstream-without-entry", "configuration"), [])
                Content(f"busy {number}").push(self.upstream, "team/busy", f"v{number}")
                cri.pull(f"ghcr.io/team/busy:v{number}")
        finding = self.find_one("busy-upstream-without-entry", "configuration")
        self.assertEqual((finding["severity"], places(finding)), ("hint", ["cri-resolvectl status"]))
        self.assertRegex(texts(finding)[0], "^ghcr.io: 20 pulls, for 20 of which there was something to fetch$")
        cache = self.enterContext(Registry(self.folder, name="cache", proxy=self.upstream.url))
        daemon.upstreams["ghcr.io"] = {"server": self.upstream.url, "mirrors": [cache.url]}
        daemon.write_config()
        daemon.restart()
        self.assertEqual(self.checker.findings("configuration"), [])
        image = Content("through the cache")
        image.push(self.upstream, "team/busy", "new")
        with Cri(daemon.socket) as cri:
            self.assertEqual(cri.pull("ghcr.io/team/busy:new"), image.id)
        daemon.wait_line(r"pull .*source=relay .*" + re.escape(cache.url))


class Store(Case):
    def leave_ingest(self, body):
        """A whole download with wrong bytes, as a killed containerd leaves it: under a lease, and old."""
        digest = self.content.layers[0]
        self.containerd.call("/containerd.services.leases.v1.Leases/Create", encode([(1, "left")]))
        ref = f"layer-{digest}"
        channel = grpc.insecure_channel(f"unix://{self.containerd.socket}")
        write = channel.stream_stream("/containerd.services.content.v1.Content/Write", request_serializer=None,
                                      response_deserializer=None)
        request = encode([(1, 1), (2, ref), (3, len(body)), (4, digest), (6, body)])
        metadata = [("containerd-namespace", "k8s.io"), ("containerd-lease", "left")]
        list(write(iter([request]), timeout=20, metadata=metadata))
        channel.close()
        return ref

    def age(self):
        """Makes all ingests as old as they would be after some time."""
        for path in self.containerd.home.glob("root/io.containerd.content.v1.content/ingest/*/data"):
            path.with_name("updatedat").write_text("2024-01-01T00:00:00Z")
            os.utime(path, (1_700_000_000, 1_700_000_000))

    def ingests(self):
        found = self.containerd.call("/containerd.services.content.v1.Content/ListStatuses")
        return [decode(one).text(3) for one in found.get(1, [])]

    def test_a_poisoned_ingest(self):
        self.checker = Checker(self.folder, self.containerd)
        body = self.content.blobs[self.content.layers[0]]
        ref = self.leave_ingest(bytes(len(body)))
        self.assertEqual(self.ingests(), [ref])
        with Cri(self.containerd.socket) as cri:
            with self.assertRaises(grpc.RpcError) as caught:
                cri.pull(IMAGE)
            self.assertIn("unexpected commit digest", caught.exception.details())
            self.assertEqual(self.ingests(), [ref])
            self.age()
            finding = self.find_one("poisoned-ingest", "store")
            self.assertEqual((finding["severity"], places(finding)), ("error", [ref]))
            self.assertRegex(texts(finding)[0], rf"^{len(body)} of {len(body)} bytes, not written to for \d+ s$")
            done = self.checker.run("store", "--fix")
            self.assertEqual((done.returncode, done.stdout), (64, ""))
            self.assertIn("without a terminal say --yes", done.stderr)
            done = self.checker.run("store", "--fix", "--yes")
            self.assertEqual((done.returncode, done.stdout), (0, "0 errors, 0 warnings, 0 hints\n"))
            self.assertEqual(done.stderr, f"cri-resolvectl check: cleared {ref}\n")
            self.assertEqual(self.ingests(), [])
            self.assertEqual(cri.pull(IMAGE), self.content.id)


class Late(http.server.BaseHTTPRequestHandler):
    """A registry whose clock is an hour behind."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def date_time_string(self, timestamp=None):
        now = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
        return email.utils.format_datetime(now, usegmt=True)

    def log_message(self, *_):
        pass


class Network(Case):
    def test_a_clock_that_differs(self):
        late = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Late)
        self.addCleanup(late.server_close)
        self.addCleanup(late.shutdown)
        threading.Thread(target=late.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{late.server_address[1]}"
        daemon = self.daemon()
        daemon.upstreams["late.io"] = {"server": url}
        daemon.write_config()
        finding = self.find_one("clock-skew", "network")
        self.assertEqual(places(finding), [url])
        self.assertRegex(texts(finding)[0], r"^its clock is 3(599|60\d) s behind this machine's$")

    def test_an_upstream_that_does_not_answer(self):
        daemon = self.daemon()
        url = f"http://127.0.0.1:{dead_port()}"
        daemon.upstreams["gone.io"] = {"server": url}
        daemon.write_config()
        finding = self.find_one("upstream-unreachable", "network")
        self.assertEqual((places(finding), texts(finding)), (
            [f"GET {url}/v2/"], [f"gone.io: cannot connect to {url}: Connection refused"]))


NAMES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
NEAR = "127.0.0.1,localhost"


class Proxies(Case):
    """Each service has the environment that it was started with. (Those of the tests reach loopback alone.)"""

    def services(self, containerd, daemon, **more):
        """Both of them, each with these proxies and no others."""
        before = dict(self.containerd.process.env)
        self.addCleanup(self.containerd.process.env.update, before)
        self.containerd.process.env.update({name: containerd.get(name, "") for name in NAMES})
        self.containerd.restart()
        self.service = self.daemon(env={name: daemon.get(name, "") for name in NAMES}, **more)

    def find(self):
        return self.checker.find("proxy-differs-from-containerd", "network")

    def test_the_daemon_has_none(self):
        url = f"http://127.0.0.1:{dead_port()}"
        self.services({"https_proxy": url, "NO_PROXY": f"{NEAR}, .example.com"}, {})
        finding = self.find_one("proxy-differs-from-containerd", "network")
        self.assertEqual((finding["severity"], finding["area"]), ("warning", "network"))
        self.assertEqual(places(finding), [f"process {self.containerd.process.pid}", f"process {self.service.process.pid}"])
        self.assertEqual(texts(finding), [
            f"containerd: HTTP_PROXY none, HTTPS_PROXY {url}, NO_PROXY {NEAR}, .example.com",
            "cri-resolved: HTTP_PROXY none, HTTPS_PROXY none, NO_PROXY none"])
        drop_in = {}

        def write(step):
            self.assertEqual(step["path"], "/etc/systemd/system/cri-resolved.service.d/http-proxy.conf")
            drop_in.update(re.findall(r'^Environment="([A-Z_]+)=(.*)"$', step["content"], re.M))

        def restart(verb):
            self.assertEqual(verb, "restart")
            self.service.process.env.update(drop_in)
            self.service.restart()
        self.checker.write_file = write
        self.checker.services.update({"daemon-reload": lambda _: None, "cri-resolved": restart})
        self.checker.apply(finding)
        self.assertEqual(drop_in, {"HTTPS_PROXY": url, "NO_PROXY": f"{NEAR}, .example.com"})
        self.assertEqual(self.find(), [])

    def test_passwords_are_not_shown(self):
        self.services({"HTTPS_PROXY": "http://bob:hunter2@127.0.0.1:9", "HTTP_PROXY": "http://bob:12/hunt%40host:3128"}, {})
        done = self.checker.run("network")
        said = done.stdout + self.checker.run("network", "-o", "json").stdout
        for word in ("bob", "hunt", "er2"):
            self.assertNotIn(word, said + done.stderr)
        finding = self.find_one("proxy-differs-from-containerd", "network")
        self.assertEqual(texts(finding)[0], "containerd: HTTP_PROXY (not shown), HTTPS_PROXY ***@127.0.0.1:9, NO_PROXY none")
        self.assertEqual(finding["remedy"]["steps"], [])
        self.assertIn("copy its drop-in", finding["remedy"]["text"])
        self.service.process.env.update({"HTTPS_PROXY": "http://bob:other@127.0.0.1:9", "HTTP_PROXY": "bob:hunt er2"})
        self.service.restart()
        self.assertIn("They differ in what is not shown.", self.find()[0]["remedy"]["text"])

    def test_what_is_the_same_and_what_is_not(self):
        """By what it does to the registries that this node asks."""
        proxy = "http://127.0.0.1:9"
        self.services({"HTTPS_PROXY": proxy, "NO_PROXY": f"{NEAR},10.0.0.0/8,.case.invalid"}, {}, upstreams={
            "a.case.invalid": "https://a.case.invalid"})
        for expected, environment in (
                (0, {"https_proxy": "127.0.0.1:9/", "no_proxy": "mirror.local, 10.0.0.0/8 ,a.case.invalid"}),
                (0, {"HTTPS_PROXY": proxy, "NO_PROXY": ".invalid"}),
                (1, {"HTTPS_PROXY": "http://127.0.0.1:10", "https_proxy": proxy, "NO_PROXY": ".invalid"}),
                (1, {"HTTPS_PROXY": proxy, "NO_PROXY": f"{NEAR},10.0.0.0/8,b.case.invalid"}),
                (1, {"HTTPS_PROXY": proxy, "NO_PROXY": "*"})):
            with self.subTest(environment):
                self.service.process.env.update({name: environment.get(name, "") for name in NAMES})
                self.service.restart()
                found = self.find()
                self.assertEqual(len(found), expected, found)
                self.assertEqual([one["remedy"]["steps"] for one in found], [[]] * expected)
        self.service.process.env.update({"HTTPS_PROXY": proxy, "NO_PROXY": ""})
        self.service.restart()
        finding = self.find_one("proxy-differs-from-containerd", "network")
        self.assertEqual((places(finding)[2], texts(finding)[2]),
                         ("https://a.case.invalid/v2", "the two ask it by different ways"))
        self.service.stop()
        self.assertEqual(self.find(), [], "there is nobody to compare with")

    def test_a_mirror_that_would_be_asked_through_the_proxy(self):
        """containerd's NO_PROXY does not know of it."""
        mirror = "http://mirror.case.invalid:5000"
        proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
        self.services(proxies, {}, upstreams={"ghcr.io": {"server": self.upstream.url, "mirrors": [mirror]}})
        finding = self.find_one("proxy-differs-from-containerd", "network")
        self.assertEqual(finding["remedy"]["steps"], [])
        self.assertIn(f"Name these mirrors in the daemon's NO_PROXY besides, where they are reached without a proxy: {mirror}.",
                      finding["remedy"]["text"])

    def test_containerd_has_none(self):
        self.services({"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "*"}, {"HTTPS_PROXY": "http://127.0.0.1:9"})
        finding = self.find_one("proxy-differs-from-containerd", "network")
        self.assertEqual(finding["remedy"]["steps"], [])
        self.assertIn("it is containerd.service that gets the lines", finding["remedy"]["text"])


class InEffect(Case):
    def test_a_file_that_containerd_has_not_read(self):
        config = self.containerd.home / "config.toml"
        before = config.read_text()
        self.addCleanup(config.write_text, before)
        config.write_text(before.replace(f'config_path = "{self.containerd.certs}"', f'config_path = "{self.containerd.home}"'))
        self.checker = Checker(self.folder, self.containerd)
        finding = self.find_one("containerd-runs-another-configuration", "containerd")
        line = config.read_text().splitlines().index(f'config_path = "{self.containerd.home}"') + 1
        self.assertEqual(places(finding), ["crictl info", f"{config}:{line}"])
        self.checker.apply(finding)
        self.assertEqual(self.checker.find("containerd-runs-another-configuration", "containerd"), [])


class Speaking(Case):
    def test_arguments(self):
        self.checker = Checker(self.folder, self.containerd)
        done = self.checker.run("kublet")
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn('"kublet" cannot be checked; there are containerd, kubelet, crictl, configuration, mirrors, store '
                      "and network", done.stderr)

        done = self.checker.run("store", "--containerd", "c.sock")
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn("--containerd c.sock: allowed: unix:///path", done.stderr)

    def test_files_that_were_asked_for_and_are_not_there(self):
        self.checker = Checker(self.folder, self.containerd)
        done = self.checker.run("containerd", "--containerd-config", "/nowhere/config.toml")
        self.assertEqual((done.returncode, done.stdout), (66, ""))
        self.assertIn("/nowhere/config.toml: No such file or directory", done.stderr)

    def test_a_containerd_that_does_not_run(self):
        self.checker = Checker(self.folder)
        config = self.checker.home / "containerd.toml"
        config.write_text("version = 2\n")
        done = self.checker.run("containerd", "--containerd-config", config)
        self.assertEqual((done.returncode, done.stdout), (0, "0 errors, 0 warnings, 0 hints\n"))
        self.assertRegex(done.stderr, "containerd does not answer at unix://.*nobody.sock: .*No such file")

    def test_for_people_at_80_columns(self):
        self.checker = Checker(self.folder, self.containerd)
        done = self.checker.run("containerd", "crictl")
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("\033", done.stdout)
        words = [line for line in done.stdout.splitlines() if not re.match(r"^ +\S*$", line)]
        self.assertLessEqual(max(len(line) for line in words if "/" not in line), 80)
        self.assertEqual([line for line in done.stdout.splitlines() if line != line.rstrip()], [])
        self.assertIn("\nwarning: wildcard-mirror\n  a wildcard sends every registry to one mirror\n",
                      "\n" + done.stdout)
        self.assertTrue(done.stdout.endswith("\n0 errors, 1 warning, 1 hint\n"), done.stdout)
        self.assertIn("  more:     docs/findings/wildcard-mirror.md\n", done.stdout)

    def test_pages_are_named_where_they_are_installed(self):
        """What a package has brought, on a /usr/share/doc of its own."""
        self.checker = Checker(self.folder, self.containerd)
        script = (f'mount -t tmpfs tmpfs /usr/share/doc && mkdir /usr/share/doc/cri-resolved && cp -r {ROOT}/docs/findings '
                  '/usr/share/doc/cri-resolved && "$@"')
        done = self.checker.run("containerd", before=("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"))
        self.assertIn("  more:     /usr/share/doc/cri-resolved/findings/wildcard-mirror.md\n", done.stdout)


if __name__ == "__main__":
    unittest.main()
