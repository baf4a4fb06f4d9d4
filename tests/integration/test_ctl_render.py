# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl render: what it prints and writes, and that its caches run: the commands of the rendered
units as five caches on loopback, in a root folder of their own."""
import http.client
import shlex
import shutil
import subprocess
import unittest

import yaml

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import (Containerd, Content, Cri, Ctl, Daemon, Folder, Forwarder, Process, Registry,
                                       free_port, wait_until)
from tests.integration.harness.parts import CACHE, answers, environment
from tests.integration.harness.registry import ACCEPT

HOSTS = ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io", "reg.kyverno.io")
VALIDATE = CACHE / "kubernetes-validate-1.37.0/bin/kubernetes-validate"
SIZES = (2_000, 700_000)
SYSTEMD = "etc/systemd/system"
# A root folder of its own, in mounts of its own: what is rendered is all that there is in its /etc.
INTO_ROOT = """set -e
cd "$1"; shift
for d in usr dev; do mkdir -p $d; mount --rbind /$d $d; done
exec chroot . "$@"
"""


def said(message):
    return f"cri-resolvectl render: {message}\n"


def tool(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120, check=False,
                          env=environment(), **more)


def status_of(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", f"/v2/{path}", headers={"Accept": ACCEPT})
        return connection.getresponse().status
    finally:
        connection.close()


class Case(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())

    def assertResult(self, result, code, out, err=""):
        self.assertEqual((result.code, result.out, result.err), (code, out, err))


class Words(Case):
    """Arguments, errors, and what is small."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ctl = Ctl(cls.folder, {"ghcr.io": {"mirrors": ["http://10.0.20.10:5010"]}},
                      shim={"listen": "unix:///run/r.sock", "backend": "unix:///run/c.sock"})

    def test_wrong_arguments(self):
        see = "see cri-resolvectl render --help\n"
        for words, message in (
                ([], "name one thing: hosts, caches, crictl or kubelet"),
                (["host"], "name one thing: hosts, caches, crictl or kubelet"),
                (["hosts", "crictl"], "name one thing: hosts, caches, crictl or kubelet"),
                (["caches"], "caches need --shape systemd, compose or kubernetes"),
                (["hosts", "--shape", "compose"], "--shape and --address are for caches"),
                (["crictl", "--address", "10.0.0.1"], "--shape and --address are for caches"),
                (["caches", "--shape", "cube"], 'the option "--shape" takes systemd|compose|kubernetes, not "cube"'),
                (["caches", "--shape", "compose", "--address", "caches.lan"],
                 '--address takes an IP address, not "caches.lan"')):
            with self.subTest(words):
                self.assertResult(self.ctl.run("render", *words), 64, "", said(message) + see)

    def test_crictl(self):
        self.assertResult(self.ctl.run("render", "crictl"), 0, "# /etc/crictl.yaml\n"
                          'runtime-endpoint: "unix:///run/c.sock"\nimage-endpoint: "unix:///run/r.sock"\n')

    def test_kubelet(self):
        result = self.ctl.run("render", "kubelet")
        self.assertEqual((result.code, result.out), (0, "# /etc/kubernetes/kubelet.conf.d/50-cri-resolved.conf\n"
                         "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"
                         'imageServiceEndpoint: "unix:///run/r.sock"\n'))
        for words in ("--config-dir", "KUBELET_EXTRA_ARGS=--image-service-endpoint=unix:///run/r.sock\n",
                      "kubeletconfiguration0+strategic.yaml", "image-service-endpoint: unix:///run/r.sock\n", "To go back: "):
            self.assertIn(words, result.err)
        self.assertLessEqual(max(map(len, result.err.splitlines())), 80)

    def test_json(self):
        result = self.ctl.run("render", "crictl", "-o", "json", "--directory", self.ctl.home / "none")
        text = 'runtime-endpoint: "unix:///run/c.sock"\nimage-endpoint: "unix:///run/r.sock"\n'
        self.assertEqual((result.code, result.err), (0, ""))
        self.assertEqual(result.json, {"written": False, "notes": [], "files": [
            {"path": str(self.ctl.home / "none/crictl.yaml"), "state": "new", "text": text}]})
        self.assertFalse((self.ctl.home / "none").exists())

    def test_written_once(self):
        """Shown, written, the same; changed by hand: the difference, and a backup."""
        folder = self.ctl.home / "written/below"
        path = folder / "crictl.yaml"
        text = 'runtime-endpoint: "unix:///run/c.sock"\nimage-endpoint: "unix:///run/r.sock"\n'
        self.assertResult(self.ctl.run("render", "crictl", "-d", folder), 0, f"# {path}\n{text}")
        self.assertResult(self.ctl.run("render", "crictl", "-d", folder, "-w"), 0, f"{path}: written\n")
        self.assertEqual(path.read_text(), text)
        self.assertResult(self.ctl.run("render", "crictl", "-d", folder), 0, f"# {path} (is there, the same)\n")
        self.assertResult(self.ctl.run("render", "crictl", "-d", folder, "-w"), 0, f"{path}: was the same\n")
        mine = 'runtime-endpoint: "unix:///run/c.sock"\ndebug: true\n'
        path.write_text(mine)
        self.assertResult(self.ctl.run("render", "crictl", "-d", folder), 0, f"--- {path}\n+++ {path}\n@@ -1,2 +1,2 @@\n"
                          ' runtime-endpoint: "unix:///run/c.sock"\n-debug: true\n+image-endpoint: "unix:///run/r.sock"\n')
        self.assertEqual(path.read_text(), mine)
        self.assertResult(self.ctl.run("render", "crictl", "-d", folder, "-w"), 0, f"{path}: changed\n")
        backup, = folder.glob("crictl.yaml.*.bak")
        self.assertEqual((path.read_text(), backup.read_text()), (text, mine))

    def test_where_it_cannot_write(self):
        blocked = self.ctl.home / "blocked"
        blocked.write_text("")
        self.assertResult(self.ctl.run("render", "crictl", "-d", blocked / "x", "-w"), 71, "",
                          said(f"cannot make the folder {blocked}/x: Not a directory"))
        self.assertResult(self.ctl.run("render", "crictl", "-d", "/proc/no/such", "-w"), 71, "",
                          said("cannot make the folder /proc/no: No such file or directory"))

    def test_hosts(self):
        """Trust of servers and mirrors as configured; what is secret is not rendered."""
        pem = self.ctl.home / "ca.pem"
        pem.write_text(tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-keyout", self.ctl.home / "key.pem", "-subj", "/CN=test").stdout)
        key = self.ctl.home / "key.pem"
        credentials = self.ctl.home / "credentials"
        credentials.write_text("ann:a-secret-word\n")
        credentials.chmod(0o600)
        harbor, cache = "https://harbor.example.com/ghcr-proxy", "http://10.0.20.10:5010"
        ctl = Ctl(self.folder, {
            "ghcr.io": {"mirrors": [cache, harbor]},
            "registry.example.com:8443": {"server": "https://10.0.0.1:5000/api", "ca": pem, "client_cert": pem,
                                          "client_key": key, "skip_verify": True, "mirrors": [cache],
                                          "headers": {"X-Token": "another-secret"}},
            "without.example.com": {"server": "https://10.0.0.2"}, "default": {},
        }, {harbor: {"ca": pem, "skip_verify": True, "credentials": credentials}}, relay={"port": 7999})
        result = ctl.run("render", "hosts", "--directory", "certs.d")
        self.assertEqual(result.code, 0)
        self.assertEqual(result.out, f"""# certs.d/ghcr.io/hosts.toml
server = "https://ghcr.io"

[host."{cache}"]
  capabilities = ["pull"]

[host."{harbor}"]
  capabilities = ["pull"]
  ca = ["{pem}"]
  skip_verify = true
  # what this mirror wants to be shown (credentials, headers) stays in our configuration

# certs.d/registry.example.com_8443_/hosts.toml
server = "https://10.0.0.1:5000/api"
ca = ["{pem}"]
client = [["{pem}", "{key}"]]
skip_verify = true

[host."{cache}"]
  capabilities = ["pull"]

# certs.d/127.0.0.1_7999_/hosts.toml
# the relay of cri-resolved: no _default may take its place
server = "http://127.0.0.1:7999"

[host]
""")
        self.assertIn("registry.example.com:8443 wants headers (X-Token). They may be secrets, and are not rendered",
                      " ".join(result.err.split()))
        self.assertNotIn("secret-word", result.out + result.err)
        self.assertNotIn("another-secret", result.out + result.err)

    def test_caches_without_upstreams(self):
        ctl = Ctl(self.folder)
        self.assertResult(ctl.run("render", "caches", "--shape", "compose"), 78, "", said(
            "no upstream is configured that a cache could be for; give each a table, as "
            '[upstream."ghcr.io"] with mirrors = ["http://10.0.20.10:5010"]'))

    def test_one_cache_for_two_upstreams(self):
        mirrors = {"mirrors": ["http://10.0.20.10:5000"]}
        ctl = Ctl(self.folder, {"ghcr.io": mirrors, "quay.io": mirrors})
        result = ctl.run("render", "caches", "--shape", "systemd")
        self.assertEqual((result.code, result.out), (78, ""))
        self.assertRegex(result.err, "^" + said("(ghcr.io and quay.io|quay.io and ghcr.io) have their cache at the same port "
                         "5000, and distribution serves one upstream; give each a port of its own in `mirrors`, or say with "
                         "--address which machine is meant") + "$")

    def test_ports_and_what_is_left_out(self):
        ctl = Ctl(self.folder, {"docker.io": {"mirrors": ["http://10.0.20.10:5000"]}, "ghcr.io": {}, "quay.io": {},
                                "harbor.io": {"mirrors": ["https://10.0.20.10:5050"]},
                                "gcr.io": {"mirrors": ["http://10.0.20.11:5010"]}})
        result = ctl.run("render", "caches", "--shape", "systemd", "--address", "10.0.20.10", "-o", "json")
        self.assertEqual(result.code, 0, result)
        texts = {file["path"]: file["text"] for file in result.json["files"]}
        ports = {host: yaml.safe_load(texts[f"/etc/registry-cache/{host}.yml"])["http"]["addr"]
                 for host in ("docker.io", "ghcr.io", "quay.io")}
        self.assertEqual(ports, {"docker.io": "10.0.20.10:5000", "ghcr.io": "10.0.20.10:5010", "quay.io": "10.0.20.10:5020"})
        self.assertEqual(len([path for path in texts if path.endswith(".yml")]), 3)
        notes = result.json["notes"]
        self.assertIn("harbor.io is left out: its mirrors are https, or have a path, and a cache of distribution is "
                      "neither.\n", notes)
        self.assertIn("gcr.io is left out: its cache has another address.\n", notes)
        self.assertIn('ghcr.io has no mirror yet. In the configuration of the nodes:\n\n  [upstream."ghcr.io"]\n'
                      '  mirrors = ["http://10.0.20.10:5010"]\n', notes)
        self.assertIn("addresses: [10.0.20.10/24]", "".join(notes))


class Schemas(Case):
    """Other people's programs read what is rendered, and find nothing to say; something broken they do find."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ctl = Ctl(cls.folder, {host: {"mirrors": [f"http://10.0.20.10:{5000 + 10 * i}"]} for i, host in enumerate(HOSTS)} |
                      {"registry.example.com:8443": {}})

    def rendered(self, shape, *more):
        out = self.folder.sub(shape)
        result = self.ctl.run("render", "caches", "--shape", shape, "-d", out, "-w", *more)
        self.assertEqual(result.code, 0, result)
        self.assertLessEqual(max(len(line) for line in result.err.splitlines() if not line.startswith("  ")), 80)
        return out

    def test_systemd(self):
        units = self.rendered("systemd") / SYSTEMD
        env = {**environment(), "SYSTEMD_UNIT_PATH": f"{units}:"}

        def verify():
            run = subprocess.run(["systemd-analyze", "verify", *sorted(units.iterdir())], env=env, capture_output=True,
                                 text=True, timeout=60, check=False)
            return run.returncode, run.stdout + run.stderr

        self.assertEqual(verify(), (0, ""))
        self.assertEqual(len(list(units.iterdir())), 2 + len(HOSTS) + 1)
        service = units / "registry-cache@.service"
        service.write_text(service.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
        self.assertIn("ProtectHouse", verify()[1])

    def test_the_week(self):
        """No two collections at the same time."""
        units = self.rendered("systemd") / SYSTEMD
        times = [line for path in units.glob("*.timer") for line in path.read_text().splitlines() if "OnCalendar=" in line]
        self.assertEqual(len(set(times)), len(HOSTS) + 1, times)
        for line in times:
            run = tool("systemd-analyze", "calendar", line.partition("=")[2])
            self.assertEqual(run.returncode, 0, run.stderr)

    def test_a_port_that_needs_a_capability(self):
        ctl = Ctl(self.folder, {"ghcr.io": {"mirrors": ["http://10.0.20.10"]}})
        out = ctl.run("render", "caches", "--shape", "systemd").out
        self.assertIn('  addr: ":80"\n', out)
        self.assertIn("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n", out)
        self.assertIn("\nAmbientCapabilities=\nCapabilityBoundingSet=\n", out)  # the collector's

    def test_compose(self):
        """docker-compose checks with the schema of the compose specification."""
        out = self.rendered("compose", "--address", "10.0.20.10")
        done = tool("docker-compose", "--profile", "gc", "-f", out / "compose.yaml", "config")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        services = yaml.safe_load(done.stdout)["services"]
        self.assertEqual(len(services), 2 * (len(HOSTS) + 1))
        for i, host in enumerate(HOSTS):
            name = host.replace(".", "-")
            self.assertEqual(services[name]["ports"], [f"10.0.20.10:{5000 + 10 * i}:5000/tcp"])
            for service in (services[name], services[f"{name}-gc"]):
                config = service["volumes"][0].partition(":")[0]
                self.assertEqual(yaml.safe_load(open(config, encoding="utf-8"))["http"]["addr"], ":5000")
            self.assertEqual(services[f"{name}-gc"]["command"], ["garbage-collect", "/etc/registry-cache/config.yml"])
        self.assertEqual(tool("sh", "-n", out / "collect.sh").returncode, 0)
        broken = (out / "compose.yaml").read_text().replace("cap_drop", "cap_dropped")
        (out / "compose.yaml").write_text(broken)
        done = tool("docker-compose", "-f", out / "compose.yaml", "config", "-q")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cap_dropped", done.stderr)

    def test_kubernetes(self):
        out = self.rendered("kubernetes", "--address", "10.0.20.10")
        self.assertTrue(VALIDATE.exists(), f"no {VALIDATE}: run ./dev test once")
        files = sorted(out.iterdir())
        for version in ("1.25", "1.37"):
            done = tool(VALIDATE, "--strict", "-k", version, *files)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual((done.stdout + done.stderr).count(" passed for resource "), 4 + 5 * (len(HOSTS) + 1))
        documents = [d for file in files for d in yaml.safe_load_all(file.read_text())]
        for document in documents:
            if document["kind"] == "ConfigMap":
                self.assertEqual(yaml.safe_load(document["data"]["config.yml"])["version"], 0.1)
        broken = out / "ghcr.io.yaml"
        broken.write_text(broken.read_text().replace("readOnlyRootFilesystem", "readOnlyRootFileSystem"))
        self.assertNotEqual(tool(VALIDATE, "--strict", "-k", "1.37", broken).returncode, 0)


class Unit:
    """The lines of a rendered unit, for one instance."""

    def __init__(self, path, instance):
        lines = [line.partition("=") for line in path.read_text().replace("%i", instance).splitlines()]
        self.values = {}
        for key, _, value in lines:
            self.values.setdefault(key, []).append(value)

    def one(self, key):
        value, = self.values[key]
        return value


class Caches(Case):
    """The units' own commands, as the user they name, in the directory they name; what systemd would do
    before (the state directory) is done by the test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = cls.folder.sub("root")
        cls.upstreams, cls.lines = {}, {}
        for host in HOSTS:
            cls.upstreams[host] = cls.enterClassContext(Registry(cls.folder, name=f"upstream-{host}"))
            cls.lines[host] = cls.enterClassContext(Forwarder(cls.upstreams[host].port))
        ports = {host: free_port() for host in HOSTS}
        assert len(set(ports.values())) == len(HOSTS)
        # the caches reach their upstreams by lines that can be cut, the daemon does not
        table = {host: {"server": cls.lines[host].url, "mirrors": [f"http://127.0.0.1:{port}"]} for host, port in ports.items()}
        result = Ctl(cls.folder, table).run("render", "caches", "--shape", "systemd", "--address", "127.0.0.1", "-d", cls.root,
                                            "--write")
        assert result.code == 0, result
        (cls.root / "etc/registry-cache").chmod(0o755)
        cls.prepare_root()
        cls.ports = ports
        cls.table = {host: {"server": cls.upstreams[host].url, "mirrors": [f"http://127.0.0.1:{ports[host]}"]} for host in HOSTS}
        cls.services = {host: cls.service(host) for host in HOSTS}
        for host in HOSTS:
            cls.start_cache(host)
            cls.addClassCleanup(cls.services[host].kill)
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, "2", upstreams={
            host: registry.url for host, registry in cls.upstreams.items()}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, cls.table))
        cls.cri = cls.enterClassContext(Cri(cls.daemon.socket))

    @classmethod
    def prepare_root(cls):
        cls.folder.path.chmod(0o711)
        for name in ("passwd", "group"):
            shutil.copy(f"/etc/{name}", cls.root / "etc" / name)
        for name in ("bin", "sbin", "lib", "lib64"):
            (cls.root / name).symlink_to(f"usr/{name}")
        (cls.root / "tmp").mkdir()
        for host in HOSTS:
            store = cls.root / "var/lib/registry-cache" / host
            store.mkdir(parents=True)
            shutil.chown(store, "docker-registry", "docker-registry")

    @classmethod
    def unit(cls, name, instance):
        return Unit(cls.root / SYSTEMD / name, instance)

    @classmethod
    def command(cls, unit, line):
        """A command line of a unit, as it would be run."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", INTO_ROOT, "sh", cls.root, "setpriv",
                "--reuid", unit.one("User"), "--regid", unit.one("Group"), "--clear-groups", "--no-new-privs",
                "--bounding-set=-all", "--inh-caps=-all", "--", *shlex.split(line)]

    @classmethod
    def service(cls, host):
        unit = cls.unit("registry-cache@.service", host)
        env = dict(line.split("=", 1) for line in unit.values["Environment"])
        return Process(cls.folder, f"cache-{host}", cls.command(unit, unit.one("ExecStart")), environment(**env))

    @classmethod
    def start_cache(cls, host):
        cls.services[host].start().wait_ready(lambda: answers(cls.ports[host]))

    def setUp(self):
        self.repository = "team/" + self.id().rsplit(".", 1)[-1].replace("_", "-")

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.folder:
            self.folder.show_logs(lines=20)

    def push(self, host, tag="v1"):
        content = Content(f"{self.id()} {host} {tag}", SIZES)
        content.push(self.upstreams[host], self.repository, tag)
        return content

    def pull(self, host, content, tag="v1"):
        """Through the daemon; the line about it."""
        image = f"{host}/{self.repository}:{tag}"
        self.assertEqual(self.cri.pull(image), content.id)
        return self.daemon.wait_line(rf" pull reference={image} ")[-1]

    def store(self, host):
        return self.root / "var/lib/registry-cache" / host

    def stored(self, host, digest):
        return (self.store(host) / f"docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data").exists()

    def size(self, host):
        return sum(path.stat().st_size for path in self.store(host).rglob("*") if path.is_file())

    def run_line(self, host, key):
        """One line of the collector, but for those that talk to systemd."""
        unit = self.unit("registry-cache-gc@.service", host)
        line, = [line for line in unit.values[key] if not line.startswith("+")]
        return tool(*self.command(unit, line))

    def test_five_caches_serve_pulls(self):
        for host in HOSTS:
            with self.subTest(host):
                content = self.push(host)
                line = self.pull(host, content)
                self.assertRegex(line, rf"\bsource=relay\b.*http://127.0.0.1:{self.ports[host]}: \d+ bytes")
                wait_until(lambda: all(self.stored(host, d) for d in content.layers), "the cache keeps what it handed on")

    def test_they_run_as_nobody_in_particular(self):
        """The processes are the package's user's, without capabilities, and their store belongs to it."""
        for host in HOSTS:
            status = dict(line.split(":\t", 1) for line in open(f"/proc/{self.services[host].pid}/status", encoding="ascii")
                          if ":\t" in line)
            self.assertNotIn("0\n", status["Uid"].split("\t"))
            self.assertEqual(int(status["CapEff"], 16), 0)

    def test_collection_frees_what_was_deleted(self):
        """... and nothing else: content that was pulled by digest, as the daemon does, stays."""
        host = HOSTS[1]
        doomed, kept = self.push(host, "doomed"), Content(f"{self.id()} kept", SIZES)
        kept.push(self.upstreams[host], "team/kept", "v1")
        self.pull(host, doomed, "doomed")
        self.assertEqual(self.cri.pull(f"{host}/team/kept:v1"), kept.id)
        for content in (doomed, kept):
            wait_until(lambda: all(self.stored(host, d) for d in (content.digest, content.id, *content.layers)),
                       "the cache keeps what it handed on")
        self.services[host].stop()
        full = self.size(host)
        self.assertEqual(self.run_line(host, "ExecCondition").returncode, 0)
        done = self.run_line(host, "ExecStart")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(all(self.stored(host, d) for d in doomed.layers), "collected although it is not deleted")
        # as the note about it says
        shutil.rmtree(self.store(host) / "docker/registry/v2/repositories" / self.repository)
        done = self.run_line(host, "ExecStart")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertFalse(any(self.stored(host, d) for d in (doomed.digest, doomed.id, *doomed.layers)))
        self.assertLess(self.size(host), full - SIZES[1])
        self.start_cache(host)
        self.lines[host].cut()  # what is still there is served by the cache alone
        self.addCleanup(self.lines[host].mend)
        for name in (*(f"blobs/{d}" for d in (kept.id, *kept.layers)), f"manifests/{kept.digest}"):
            self.assertEqual(status_of(self.ports[host], f"team/kept/{name}"), 200)

    def test_a_cache_that_was_never_asked(self):
        """The collector has nothing to look at, and its condition says so."""
        unit = self.unit("registry-cache-gc@.service", "never.example")
        word, *arguments = shlex.split(unit.one("ExecCondition"))
        self.assertEqual((word, arguments), (
            "/usr/bin/test", ["-d", "/var/lib/registry-cache/never.example/docker/registry/v2/repositories"]))
        self.assertEqual(self.run_line("never.example", "ExecCondition").returncode, 1)

    def test_stop_collect_start(self):
        """The collector's order, for its own cache."""
        unit = self.unit("registry-cache-gc@.service", "ghcr.io")
        self.assertEqual(unit.one("ExecStartPre"), "+/usr/bin/systemctl stop registry-cache@ghcr.io.service")
        self.assertEqual(unit.one("ExecStopPost"), "+/bin/sh -c 'systemctl -q is-enabled registry-cache@ghcr.io.service && "
                         "systemctl start registry-cache@ghcr.io.service'")

    def test_credentials_by_environment(self):
        """The names in the notes are those that the registry takes."""
        private = self.enterContext(FakeRegistry(self.folder, name="private"))
        private.auth({".*": {"scheme": "bearer", "users": {"ann": "a-word"}}})
        content = Content(self.id(), SIZES)
        content.push(private, "team/private", "v1")
        port = free_port()
        out = self.folder.sub("with-credentials")
        ctl = Ctl(self.folder, {"private.example": {"server": private.url, "mirrors": [f"http://127.0.0.1:{port}"]}})
        result = ctl.run("render", "caches", "--shape", "systemd", "-d", out, "-w")
        self.assertIn("REGISTRY_PROXY_USERNAME=... and REGISTRY_PROXY_PASSWORD=...", result.err)
        config = yaml.safe_load((out / "etc/registry-cache/private.example.yml").read_text())
        config["storage"]["filesystem"]["rootdirectory"] = str(out / "store")
        (out / "config.yml").write_text(yaml.safe_dump(config))
        cache = Process(self.folder, "private-cache", ["/usr/bin/docker-registry", "serve", out / "config.yml"], environment(
            REGISTRY_PROXY_USERNAME="ann", REGISTRY_PROXY_PASSWORD="a-word", OTEL_TRACES_EXPORTER="none"))
        self.addCleanup(cache.kill)
        cache.start().wait_ready(lambda: answers(port))
        self.assertEqual(status_of(port, f"team/private/manifests/{content.digest}"), 200)
        private.auth({".*": {"scheme": "basic", "users": {"ann": "a-word"}}})
        self.assertIn("asks for a name and password itself (Basic) cannot have a cache", " ".join(result.err.split()))
        other = Content(f"{self.id()} other", SIZES)
        other.push(private, "team/private", "v2")
        self.assertEqual(status_of(port, f"team/private/manifests/{other.digest}"), 500)


if __name__ == "__main__":
    unittest.main()
