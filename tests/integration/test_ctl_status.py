# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl status, in front of a daemon, without one, and for those who may not ask."""
import os
import re
import shutil
import socket
import threading
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Cri, Ctl, Daemon, Folder, dead_port, wait_until
from tests.integration.harness.ctl import ctl_binary
from tests.integration.proxy_parts import Backend

CONTAINERDS = ("2",)

HOST = "ghcr.io"
NOBODY = 65534


def ctl_of(daemon, folder):
    """A cri-resolvectl with the daemon's own configuration."""
    ctl = Ctl(folder)
    ctl.config = daemon.config
    return ctl


class WithADaemon(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.gone = f"http://127.0.0.1:{dead_port()}"
        more = {"big": os.urandom(2 << 20)}
        for where in (cls.upstream, cls.mirror):
            where.image("team/app", "1", "one", more)
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.upstream.url}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {
            HOST: {"server": cls.upstream.url, "mirrors": [cls.gone, cls.mirror.url]}}))
        cls.ctl = ctl_of(cls.daemon, cls.folder)
        with Cri(cls.daemon.socket) as cri:
            cri.pull(f"{HOST}/team/app:1")
            cri.pull(f"{HOST}/team/app:1")
            try:
                cri.pull(f"{HOST}/team/app:absent")
            except Exception:  # that it fails is the point
                pass

    def test_table(self):
        done = self.ctl.run("status")
        self.assertEqual((done.code, done.err), (0, ""))
        for line in done.lines:
            self.assertLessEqual(len(line), 80, line)
            self.assertEqual(line, line.rstrip())
        self.assertRegex(done.out, rf"(?m)^cri-resolved +0\.1\.0, pid {self.daemon.process.pid}, since 20\d\d-\d\d-\d\d ")
        self.assertIn("pulls         3 answered, 1 failed, 0 running\n", done.out)
        self.assertIn("degraded      none\n", done.out)
        self.assertRegex(done.out, r"(?m)^relay +serves on 127\.0\.0\.1:7780$")
        self.assertRegex(done.out, r"(?m)^containerd +containerd [^\n]* at\n? *unix:///")
        self.assertRegex(done.out, rf"(?m)^{HOST} +upstream +0 B +0 % +3 \(1 failed\)$")
        self.assertRegex(done.out, rf"(?m)^{re.escape(self.mirror.url)} +up +\d+ s +2\.\d MiB +100 %$")
        self.assertRegex(done.out, rf"(?m)^{re.escape(self.gone)} +down +")
        self.assertRegex(done.out, rf"(?m)^down +{re.escape(self.gone)}: cannot connect to ")
        table = done.out[done.out.index("\nAGO "):]
        self.assertEqual(re.findall(r"(?m)^\d+ s .*?  (ok|failed)  +(current|relay)?", table), [("failed", ""), ("ok", "current"), ("ok", "relay")])

    def test_json_is_what_the_socket_says(self):
        done = self.ctl.run("status", "-o", "json")
        self.assertEqual((done.code, done.err), (0, ""))
        said = done.json
        self.assertEqual(set(said), {"status", "pulls"})
        self.assertEqual(said["pulls"], self.daemon.admin("/v1/pulls")[1])
        self.assertEqual(set(said["status"]), set(self.daemon.admin("/v1/status")[1]))

    def test_arguments(self):
        done = self.ctl.run("status", "more")
        self.assertEqual((done.code, done.out, done.err), (64, "", 'cri-resolvectl status: it takes no argument, not "more"\n'
                                                           "see cri-resolvectl status --help\n"))

    def test_help_fits(self):
        done = self.ctl.run("status", "--help")
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertIn("docs/admin.md", done.out)
        self.assertLessEqual(max(map(len, done.lines)), 80)


class Refusals(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.backend = self.enterContext(Backend(self.folder))

    def as_nobody(self, ctl, *words):
        """The same command for another user, who can reach the program and the configuration."""
        program = self.folder.path / "cri-resolvectl"
        shutil.copy(ctl_binary(), program)
        for path in (self.folder.path, *ctl.config.parents):
            if str(path).startswith("/tmp/"):
                path.chmod(0o755)
        program.chmod(0o755)
        ctl.config.chmod(0o644)
        command = ctl.command
        ctl.command = lambda *all_words: [str(program), *command(*all_words)[1:]]
        return ctl.run(*words, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/")

    def test_no_daemon(self):
        daemon = Daemon(self.folder, self.backend.socket)
        ctl = ctl_of(daemon, self.folder)
        wanted = (69, "", f"cri-resolvectl status: no daemon answers at {daemon.admin_socket}: is cri-resolved running? "
                          "(systemctl status cri-resolved)\n")
        for what in ("never started", "killed", "killed and gone"):
            with self.subTest(what):
                if what == "killed":
                    daemon.start()
                    daemon.kill()
                elif what == "killed and gone":
                    daemon.admin_socket.unlink()
                done = ctl.run("status")
                self.assertEqual((done.code, done.out, done.err), wanted)
        done = ctl.run("status", "-o", "json")
        self.assertEqual((done.code, done.out, done.err), wanted)

    def test_switched_off(self):
        with Daemon(self.folder, self.backend.socket, admin={"listen": ""}) as daemon:
            done = ctl_of(daemon, self.folder).run("status")
        self.assertEqual((done.code, done.out), (78, ""))
        self.assertEqual(done.err, "cri-resolvectl status: the daemon's state cannot be read: [admin] listen is \"\" in its "
                                   "configuration; set it and restart the daemon\n")

    def test_a_socket_that_another_user_may_not_open(self):
        with Daemon(self.folder, self.backend.socket) as daemon:
            done = self.as_nobody(ctl_of(daemon, self.folder), "status")
        self.assertEqual((done.code, done.out), (77, ""), done)
        self.assertEqual(done.err, f"cri-resolvectl status: permission denied at {daemon.admin_socket}: run this as root, or as "
                                   "a member of the group in [shim] listen_group and allow_groups\n")

    def test_a_peer_that_is_not_let_in(self):
        with Daemon(self.folder, self.backend.socket, shim={"listen_mode": "0666"}) as daemon:
            done = self.as_nobody(ctl_of(daemon, self.folder), "status")
        self.assertEqual((done.code, done.out), (69, ""), done)
        self.assertEqual(done.err, f"cri-resolvectl status: the daemon at {daemon.admin_socket} hung up without an answer; it "
                                   "lets in root and members of the groups in [shim] allow_groups alone\n")

    def test_another_program_at_the_socket(self):
        path = self.folder.path / "other.sock"
        ctl = Ctl(self.folder, admin={"listen": f"unix://{path}"})
        for answer, words in ((b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
                               f"the daemon at {path} answers /v1/status with status 404: is it of another version?"),
                              (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                               f"what answers /v1/status at {path} is not cri-resolved"),
                              (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
                               f"what answers /v1/status at {path} is not cri-resolved")):
            with self.subTest(answer), socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()

                def serve(reply=answer, where=listener):
                    while True:
                        client, _ = where.accept()
                        with client:
                            if client.recv(4096):  # not the one that only looked whether we are there
                                client.sendall(reply)
                                client.shutdown(socket.SHUT_WR)
                                return
                server = threading.Thread(target=serve, daemon=True)
                server.start()
                done = ctl.run("status")
                server.join(10)
                path.unlink()
                self.assertEqual((done.code, done.out, done.err), (76, "", f"cri-resolvectl status: {words}\n"))

    def test_containerd_is_gone(self):
        with Daemon(self.folder, self.backend.socket) as daemon:
            self.backend.kill()
            wait_until(lambda: daemon.admin("/readyz")[0] == 503, "the daemon sees it")
            done = ctl_of(daemon, self.folder).run("status")
        self.assertEqual(done.code, 0)
        joined = re.sub(r"\n {14}", " ", done.out)
        self.assertRegex(joined, rf"(?m)^containerd +cannot be asked at unix://{self.backend.socket}: containerd: Version: ")
        self.assertIn("relay         off: no mirror is configured\n", done.out)
        self.assertIn("pulls         0 answered, 0 failed, 0 running\n", done.out)


if __name__ == "__main__":
    unittest.main()
