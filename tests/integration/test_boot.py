# SPDX-License-Identifier: Apache-2.0
"""The units under a systemd that has booted, with all that they take away: no stand-in says what systemd
does. containerd runs outside, and its socket is where the machine expects it."""
import os
import pathlib
import re
import resource
import signal
import socket
import stat
import unittest

from tests.fake.gate import Gate
from tests.integration.harness import Containerd, Content, Cri, Folder, Registry, wait_until
from tests.integration.harness.daemon import ask_unix, binary, metrics_of
from tests.integration.harness.machine import Machine, may_lower_oom_scores
from tests.integration.service_parts import SANITIZER_ENVIRONMENT, UNITS, Frozen, Pulls, other_build, version
from tests.integration.test_proxy_door import GROUP, GROUP_NAME, NOBODY, peer_sees

CONTAINERDS = ("2",)
TIMEOUT_S = 400
SERVICE = "cri-resolved.service"
SOCKETS = ("cri-resolved.socket", "cri-resolved-admin.socket", "cri-resolved-relay.socket")
HOST = "registry.example"
CRI, ADMIN = "/run/cri-resolved/cri-resolved.sock", "/run/cri-resolved/admin.sock"
STAND_IN = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"


class BootCase(unittest.TestCase):
    """One machine for the class. root: where its file system is; install() puts us into it."""

    root = "/"

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder))
        cls.gate = cls.enterClassContext(Gate(cls.registry.url))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.machine = Machine(cls.folder, [SERVICE, "kubelet.service"], cls.root, {cls.containerd.home: "/run/containerd"})
        cls.machine.write("/etc/systemd/system/containerd.service", STAND_IN)
        cls.machine.write("/etc/systemd/system/kubelet.service", STAND_IN)
        cls.install(cls.machine)
        cls.configure()
        cls.enterClassContext(cls.machine)
        cls.started = [int(cls.machine.show(unit, "ActiveEnterTimestampMonotonic"))
                       for unit in ("containerd.service", SERVICE, "kubelet.service")]

    @classmethod
    def install(cls, machine):
        for unit in UNITS:
            machine.write(f"/usr/lib/systemd/system/{unit.name}", unit.read_text())  # as the packages do
        machine.write("/usr/bin/cri-resolved", binary().read_bytes(), 0o755)

    @classmethod
    def configure(cls, text="", service="", mode=None):
        """Our configuration, and what the test changes of the units."""
        oom = "" if may_lower_oom_scores() else "OOMScoreAdjust=0\n"
        cls.machine.write(f"/etc/systemd/system/{SERVICE}.d/test.conf", f"[Service]\n{SANITIZER_ENVIRONMENT}{oom}{service}")
        cls.machine.write("/etc/cri-resolved/config.toml", '[shim]\nbackend = "unix:///run/containerd/c.sock"\n'
                          f'{text}\n[upstream."{HOST}"]\nserver = "{cls.gate.url}"\nmirrors = ["{cls.registry.url}"]\n')
        if mode:
            cls.machine.write("/etc/systemd/system/cri-resolved.socket.d/test.conf", f"[Socket]\nSocketMode={mode}\n")

    @property
    def pid(self):
        """Of the daemon, as we see it."""
        inside = self.machine.show(SERVICE, "MainPID")
        for process in pathlib.Path("/proc").iterdir():
            if process.name.isdigit() and process.name != inside:
                try:
                    status = (process / "status").read_text()
                except OSError:
                    continue
                if "Name:\tcri-resolved\n" in status and f"\nNSpid:\t{process.name}\t{inside}\n" in status:
                    return int(process.name)
        raise AssertionError(f"process {inside} of the machine is not there")

    def client(self):
        return self.enterContext(Cri(self.machine.outside(CRI), timeout_s=90))

    def systemctl(self, *words):
        return self.machine.run("systemctl", *words)


class Boot(BootCase):
    def test_order_and_state(self):
        show = self.machine.show
        for unit in (SERVICE, *SOCKETS):
            self.assertEqual(show(unit, "ActiveState"), "active", unit)
        self.assertEqual(self.started, sorted(self.started))
        self.assertRegex(show(SERVICE, "StatusText"), r"^serving, version ")
        self.assertEqual(self.machine.run("systemctl", "list-units", "--failed", "--no-legend", "cri-resolved*"), "")

    def test_the_sockets(self):
        for path in (CRI, ADMIN):
            found = os.stat(self.machine.outside(path))
            self.assertEqual((stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid), (0o660, 0, 0))
        self.assertEqual(ask_unix(self.machine.outside(ADMIN), "/readyz")[0], 200)
        self.assertEqual(ask_unix(self.machine.outside(ADMIN), "/v1/status")[1]["relay"], {"port": 7780, "state": "serving"})

    def test_what_it_may_do(self):
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines())
        for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"], status["Uid"].split()[1]), ("1", "2", "0"))
        limits = pathlib.Path(f"/proc/{self.pid}/limits").read_text()
        files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # of a machine in a container
        self.assertRegex(limits, rf"Max open files +{files} +{files} ")

    def test_pulls(self):
        """Through the relay; nothing of it needs what was taken away."""
        content = Content("boot", (3_000, 300_000))
        content.push(self.registry, "team/app", "v1")
        self.assertEqual(self.client().pull(f"{HOST}/team/app:v1"), content.id)
        self.assertEqual(self.containerd.store()[f"{HOST}/team/app:v1"].digest, content.digest)
        line = wait_until(lambda: re.search(r"pull reference=registry.example/team/app:v1 .*", self.machine.journal(SERVICE)),
                          "the line in the journal")
        self.assertIn("source=relay", line.group())

    def test_a_mistake_fails_the_reload(self):
        main, before = self.machine.show(SERVICE, "MainPID"), self.machine.journal(SERVICE).count("configuration reloaded")
        self.systemctl("reload", SERVICE)
        wait_until(lambda: self.machine.journal(SERVICE).count("configuration reloaded") > before, "the reload")
        self.machine.wait_show(SERVICE, "ActiveState", "active")
        self.configure("listen_mod = 1")
        with self.assertRaisesRegex(AssertionError, "Job for cri-resolved.service failed"):
            self.systemctl("reload", SERVICE)
        self.assertRegex(self.machine.journal(SERVICE), r"config.toml:3: .*unknown key.*listen_mod")
        self.assertEqual(self.machine.show(SERVICE, "MainPID"), main)
        self.assertEqual(self.machine.show(SERVICE, "ActiveState"), "active")
        self.wait_reload_told(False)
        self.configure()
        self.systemctl("reload", SERVICE)
        self.wait_reload_told(True)

    def wait_reload_told(self, successful):
        """By the daemon itself: the alert looks at its figure, an administrator at its status."""
        wait_until(lambda: ("configuration not reloaded" in self.machine.show(SERVICE, "StatusText")) != successful, "its status")
        wait_until(lambda: metrics_of(self.machine.outside(ADMIN)).value("cri_resolved_config_last_reload_successful") ==
                   successful, "its figure")

    def test_a_reload_looks_at_the_file_that_a_drop_in_names(self):
        def cleanup():
            self.configure()
            self.systemctl("daemon-reload")
            self.systemctl("restart", SERVICE)
        self.addCleanup(cleanup)
        other = "/etc/cri-resolved/other.toml"
        self.machine.write(other, self.machine.outside("/etc/cri-resolved/config.toml").read_text())
        self.configure("listen_mod = 1", f"ExecStart=\nExecStart=/usr/bin/cri-resolved --config {other}\n")
        self.systemctl("daemon-reload")
        self.systemctl("restart", SERVICE)
        self.systemctl("reload", SERVICE)
        wait_until(lambda: f"configuration reloaded file={other}" in self.machine.journal(SERVICE), "the reload")
        self.machine.write(other, "[shim]\nlisten_mod = 2\n")
        with self.assertRaisesRegex(AssertionError, "Job for cri-resolved.service failed"):
            self.systemctl("reload", SERVICE)
        self.assertRegex(self.machine.journal(SERVICE), rf"{other}:2: .*unknown key.*listen_mod")

    def test_a_call_starts_it(self):
        self.systemctl("stop", SERVICE)
        self.assertTrue(self.client().image_fs_info().messages(1))
        self.machine.wait_show(SERVICE, "ActiveState", "active")  # the answer overtakes READY=1

    def test_killed(self):
        """What is connected hears of it; whoever comes next is served by the next one."""
        main = self.machine.show(SERVICE, "MainPID")
        os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: self.machine.show(SERVICE, "MainPID") not in ("0", main), "the next one")
        self.assertTrue(self.client().image_fs_info().messages(1))
        self.machine.wait_show(SERVICE, "ActiveState", "active")

    def test_a_queue_that_stands_still(self):
        self.configure(service="WatchdogSec=2s\n")
        self.systemctl("daemon-reload")
        self.systemctl("restart", SERVICE)
        main = self.machine.show(SERVICE, "MainPID")
        with Frozen(self.pid, "queue") as frozen:
            wait_until(frozen.ended, "systemd to end it")
        wait_until(lambda: self.machine.show(SERVICE, "MainPID") not in ("0", main), "the next one")
        self.assertIn("Watchdog timeout (limit 2s)", self.machine.journal(SERVICE))
        self.assertTrue(self.client().image_fs_info().messages(1))
        self.configure()
        self.systemctl("daemon-reload")
        self.systemctl("restart", SERVICE)

    def again(self):
        """With what the units and the configuration say now."""
        self.systemctl("daemon-reload")
        self.systemctl("stop", SERVICE)  # systemd opens no socket for a service that runs
        self.systemctl("start", SOCKETS[1])
        self.systemctl("start", SERVICE)

    def mask_the_admin_socket(self, group):
        """And the daemon makes it: for that group."""
        self.addCleanup(self.again)
        self.addCleanup(self.systemctl, "unmask", SOCKETS[1])
        self.addCleanup(self.configure)
        self.configure(f'listen_group = "{group}"')
        self.systemctl("mask", "--now", SOCKETS[1])

    def admin_socket(self):
        self.assertEqual(ask_unix(self.machine.outside(ADMIN), "/readyz")[0], 200)
        found = os.stat(self.machine.outside(ADMIN))
        return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid

    def test_a_group_that_it_may_not_give_a_socket_to(self):
        """The error names the remedy, and the remedy is one."""
        self.mask_the_admin_socket(GROUP_NAME)
        with self.assertRaisesRegex(AssertionError, f"Job for {SERVICE} failed"):
            self.systemctl("restart", SERVICE)
        self.assertIn(f"{ADMIN}: this process may not give it to group {GROUP} (shim.listen_group). systemd can: "
                      f"systemctl unmask {SOCKETS[1]}, SocketGroup={GROUP} in its [Socket] (systemctl edit)",
                      self.machine.journal(SERVICE))
        self.systemctl("stop", SERVICE)
        self.assertFalse(self.machine.outside(ADMIN).exists())
        drop_in = f"/etc/systemd/system/{SOCKETS[1]}.d/test.conf"
        self.machine.write(drop_in, f"[Socket]\nSocketGroup={GROUP}\n")
        self.addCleanup(self.machine.outside(drop_in).unlink)
        self.systemctl("unmask", SOCKETS[1])
        self.again()
        self.assertEqual(self.admin_socket(), (0o660, 0, GROUP))

    def test_a_group_that_its_socket_has_anyway(self):
        self.mask_the_admin_socket("root")
        self.systemctl("restart", SERVICE)
        self.assertEqual(self.admin_socket(), (0o660, 0, 0))

    def restart_under(self, pulls):
        pulls.begin()
        self.systemctl("restart", "--no-block", SERVICE)
        self.machine.wait_show(SERVICE, "StatusText", f"draining, {pulls.COUNT} calls left")
        late = self.client().method("/runtime.v1.RuntimeService/Version").future(b"", timeout=90)
        self.assertEqual(pulls.end(), [])
        self.assertTrue(late.result())

    def test_no_call_is_lost(self):
        """A restart and an upgrade while 200 pulls are under way; each life ends before the next one begins."""
        program, other = other_build(self.folder.path / "next-build")
        since = len(self.machine.journal(SERVICE))
        pulls = Pulls(self, self.registry, self.gate, self.machine.outside(CRI), (HOST,))
        self.restart_under(pulls)
        self.machine.write("/usr/bin/cri-resolved", program.read_bytes(), 0o755)
        self.restart_under(pulls)
        with socket.create_connection(("127.0.0.1", 7780), timeout=5):
            pass

        def told():
            return [line for line in self.machine.journal(SERVICE)[since:].splitlines()
                    if " info stopped" in line or " info serving " in line]
        wait_until(lambda: len(told()) >= 4, lambda: f"the journal has two ends and two beginnings: {told()}")
        lives = told()
        self.assertEqual([" info serving " in line for line in lives], [False, True, False, True])
        self.assertIn(f"version={version()} ", lives[1])
        self.assertIn(f"version={other} ", lives[3])


class Groups(BootCase):
    """The socket's file lets everybody: the daemon sees who they are, in spite of what was taken from it."""

    @classmethod
    def configure(cls, text="", service="", mode=None):
        super().configure(f'allow_groups = ["{GROUP_NAME}"]\n{text}', service, "0666")

    def test_who_may_connect(self):
        path = self.machine.outside(CRI)

        def sees(**identity):
            return peer_sees(path.name, cwd=path.parent, **identity)  # others may not look into our processes
        self.assertEqual(sees(), "served")
        self.assertEqual(sees(user=NOBODY, group=GROUP, extra_groups=[]), "served")
        self.assertEqual(sees(user=NOBODY, group=NOBODY, extra_groups=[7, GROUP]), "served")
        self.assertEqual(sees(user=NOBODY, group=NOBODY, extra_groups=[]), "refused")


if __name__ == "__main__":
    unittest.main()
