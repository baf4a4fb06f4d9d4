# SPDX-License-Identifier: Apache-2.0
"""A node as the pages mean it: systemd as process 1, the paths and names that the pages show, containerd
as a service, registries and mirrors at the addresses that the pages name.

Its file system is this machine's, under a layer of its own that ends with it. Its network is the test's
own, in which there is only loopback: ghcr.io and the others are names in its /etc/hosts, for addresses
that this network alone has."""
import json
import shutil
import subprocess

from tests.integration.harness import sweep
from tests.integration.harness.containerd import FOLDERS
from tests.integration.harness.ctl import ctl_binary
from tests.integration.harness.daemon import binary
from tests.integration.harness.machine import Machine
from tests.integration.harness.parts import ROOT, Process, answers, environment, wait_until
from tests.integration.harness.registry import Registry
from tests.integration.service_parts import SANITIZER_ENVIRONMENT

HOSTS = {"ghcr.io": "10.0.20.1", "registry-1.docker.io": "10.0.20.2", "registry.k8s.io": "10.0.20.3",
         "registry.internal.example.com": "10.0.20.4", "harbor.example.com": "10.0.20.11"}
CACHES = "10.0.20.10"
PORTS = {"registry-1.docker.io": 5000, "ghcr.io": 5010, "registry.k8s.io": 5020}  # of their caches

# Beside kubelet itself: see tests/fake/kubelet_service.py.
KUBELET = f"""[Unit]
After=cri-resolved.service containerd.service
[Service]
Type=notify
WorkingDirectory={ROOT}
Environment=PYTHONDONTWRITEBYTECODE=1
EnvironmentFile=-/etc/default/kubelet
ExecStart=/usr/bin/python3 -m tests.fake.kubelet_service --config=/var/lib/kubelet/config.yaml \\
  --config-dir=/etc/kubernetes/kubelet.conf.d $KUBELET_EXTRA_ARGS
"""
KUBELET_CONFIG = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
"""
# A sanitizer looks at the process from inside with calls that the unit takes away.
SANITIZED = f"""[Service]
{SANITIZER_ENVIRONMENT}SystemCallFilter=
LockPersonality=no
MemoryDenyWriteExecute=no
"""
# What many nodes have: a mirror that may say what a tag is.
HOSTS_TOML = """server = "https://ghcr.io"

[host."http://10.0.20.10:5010"]
capabilities = ["pull", "resolve"]
"""
# As on nodes behind a proxy, but that all that the pages ask for is reached without it.
HTTP_PROXY = """[Service]
Environment=HTTPS_PROXY=http://10.0.20.9:3128
Environment=NO_PROXY=10.0.0.0/8,*
"""
CONTAINERD_CONFIG = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.k8s.io/pause:3.9"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, env=environment())


class World:
    """What is outside of the node: upstreams behind TLS, their caches, and a Harbor of sorts."""

    def __init__(self, folder):
        self.folder, self.home = folder, folder.sub("world")
        self.upstreams = {host: Registry(folder, name=f"upstream-{host}") for host in HOSTS if host != "harbor.example.com"}
        self.caches = {}
        self.ca = self.home / "ca.pem"

    def __enter__(self):
        for address in (*HOSTS.values(), CACHES):
            subprocess.run(["ip", "address", "replace", f"{address}/32", "dev", "lo"], check=True)
        for host, upstream in self.upstreams.items():
            upstream.start()
            self.caches[host] = Registry(self.folder, proxy=upstream.url, name=f"cache-{host}").start()
        self._certificates()
        self._front()
        return self

    def __exit__(self, *_):
        self.front.kill()
        for registry in (*self.upstreams.values(), *self.caches.values()):
            registry.stop()

    def _certificates(self):
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        openssl(*new, "-subj", "/CN=a CA of the tests", "-keyout", self.home / "ca.key", "-out", self.ca)
        names = ",".join(f"DNS:{host}" for host in HOSTS)
        openssl(*new, "-subj", "/CN=registries", "-addext", f"subjectAltName={names}", "-addext",
                "basicConstraints=critical,CA:FALSE", "-CA", self.ca, "-CAkey", self.home / "ca.key", "-keyout",
                self.home / "key.pem", "-out", self.home / "cert.pem")
        (self.home / "both.pem").write_text((self.home / "cert.pem").read_text() + (self.home / "key.pem").read_text())

    def _front(self):
        """haproxy has the addresses, ports and certificates that the registries themselves do not."""
        secure = f"ssl crt {self.home}/both.pem"
        sides = [(f"{HOSTS[host]}:{5000 if 'internal' in host else 443}", secure, registry, "")
                 for host, registry in self.upstreams.items()]
        sides += [(f"{CACHES}:{port}", "", self.caches[host], "") for host, port in PORTS.items()]
        sides.append((f"{HOSTS['harbor.example.com']}:443", secure, self.caches["ghcr.io"],
                      "http-request replace-path /v2/ghcr-proxy/(.*) /v2/\\1"))
        lines = ["global", "  maxconn 512", "defaults", "  mode http", "  timeout connect 5s", "  timeout client 60s",
                 "  timeout server 60s"]
        for number, (place, options, registry, rule) in enumerate(sides):
            lines += [f"listen side{number}", f"  bind {place} {options}", f"  {rule}", f"  server one {registry.host}"]
        (self.home / "haproxy.cfg").write_text("\n".join(lines) + "\n")
        self.front = Process(self.folder, "front", ["haproxy", "-db", "-f", self.home / "haproxy.cfg"]).start()
        wait_until(lambda: answers(443, HOSTS["ghcr.io"]), "the registries' front")


class Done:
    def __init__(self, process):
        self.code, self.out = process.returncode, process.stdout


class Node:
    """run() is a command line as root, in a shell of its own."""

    def __init__(self, folder, world, containerd="1.7"):
        self.world, self.which, self.pods_parent = world, containerd, sweep.cgroup_name(folder.path)
        self.machine = Machine(folder, ["basic.target"], binds={ROOT: ROOT})
        for path in ("etc/containerd", "etc/crictl.yaml", "etc/cri-resolved", "etc/kubernetes", "etc/resolv.conf",
                     "var/lib/containerd", "var/lib/cri-resolved", "var/lib/kubelet"):  # this machine's own
            place = self.machine.tree / path
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)

    def __enter__(self):
        self.machine.__enter__()
        return self

    def __exit__(self, *error):
        self.run("crictl -r unix:///run/containerd/containerd.sock rmp --all --force")  # they would outlive containerd, and the machine wait for them
        self.machine.__exit__(*error)

    def run(self, command, stdin="", timeout_s=120):
        """The finished command, standard error among its output."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.machine.init), "--mount", "--pid", "--ipc", "--uts", "--root", "--wdns=/root", "env",
             "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
             "COLUMNS=120", "TSAN_OPTIONS=ignore_noninstrumented_modules=1", "bash", "-o", "pipefail", "-c", command],
            input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=timeout_s)
        return Done(done)

    def must(self, command, **more):
        done = self.run(command, **more)
        assert done.code == 0, f"{command}\nended with {done.code}:\n{done.out}\n{self.run('journalctl --no-pager -n 40').out}"
        return done.out

    @property
    def root(self):
        return self.machine.outside("/")

    def write(self, path, text, mode=0o644):
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def write_pod(self, path, text):
        """crictl's description of a pod, which runs in a control group that the folder's end removes."""
        pod = json.loads(text)
        pod["linux"]["cgroup_parent"] = self.pods_parent
        self.write(path, json.dumps(pod))

    # ---- what is on it before cri-resolved comes ----

    def prepare(self):
        """containerd as a service, names, trust, and what stands in kubelet's place."""
        for program in FOLDERS[self.which].iterdir():
            shutil.copy(program, self.root / "usr/bin" / program.name)
        shutil.copy(ROOT / ".cache/bin/crictl", self.root / "usr/bin/crictl")
        names = "".join(f"{address} {host}\n" for host, address in HOSTS.items())
        self.write("/etc/hosts", "127.0.0.1 localhost\n" + names)
        self.write("/etc/resolv.conf", "")
        bundle = self.root / "etc/ssl/certs/ca-certificates.crt"
        self.write("/etc/ssl/certs/ca-certificates.crt", bundle.read_text() + self.world.ca.read_text())
        self.write("/etc/containerd/config.toml", CONTAINERD_CONFIG)
        self.write("/etc/containerd/certs.d/ghcr.io/hosts.toml", HOSTS_TOML)
        self.write("/etc/systemd/system/containerd.service.d/http-proxy.conf", HTTP_PROXY)
        self.write("/etc/systemd/system/kubelet.service", KUBELET)
        self.write("/var/lib/kubelet/config.yaml", KUBELET_CONFIG)
        self.must("mkdir -p /var/lib/containerd && mount -t tmpfs -o size=256m tmpfs /var/lib/containerd")  # no layers on a layer
        self.must("for place in $(findmnt -rnt cgroup -o TARGET); do mount -o remount,bind,rw $place; done")  # for pods
        self.must("systemctl daemon-reload && systemctl start containerd && systemctl start kubelet")
        wait_until(lambda: self.run("crictl -r unix:///run/containerd/containerd.sock info").code == 0, "containerd on the node")

    def install(self):
        """What the package does: programs, units and configuration, nothing switched on."""
        for program in (binary(), ctl_binary()):
            shutil.copy(program, self.root / "usr/bin" / program.name)
        for unit in (ROOT / "packaging/systemd").glob("*.s*"):
            shutil.copy(unit, self.root / "usr/lib/systemd/system" / unit.name)
        if any(mark in binary().read_bytes() for mark in (b"__asan_init", b"__tsan_init")):
            self.write("/etc/systemd/system/cri-resolved.service.d/sanitizer.conf", SANITIZED)
        self.write("/etc/cri-resolved/config.toml", (ROOT / "config/example.toml").read_text())
        self.must("systemctl daemon-reload")

    def files_of_the_pages(self):
        """Certificates and credentials that the pages' configurations name."""
        for name in ("harbor-ca.pem", "registry-ca.pem"):
            self.write(f"/etc/cri-resolved/{name}", self.world.ca.read_text())
        self.write("/etc/cri-resolved/harbor.credentials", "robot$node:a-word\n", 0o600)
