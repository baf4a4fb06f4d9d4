# SPDX-License-Identifier: Apache-2.0
"""cri-resolvectl pull: on a terminal and without one, with sources that fail in the middle."""
import fcntl
import http.client
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import unittest

from tests.fake.registry_client import FakeRegistry
from tests.integration.harness import Containerd, Cri, Ctl, Daemon, Folder, dead_port, wait_until

CONTAINERDS = ("2",)

HOST = "ghcr.io"
WORD = "S3cr3tWord"


class Terminal:
    """A program on a terminal of 80 columns (its standard error; its output goes to a pipe)."""

    def __init__(self, command, env, columns=80):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env=env)
        os.close(slave)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        os.close(self.master)

    def read(self):
        """What has come by now; False at the end."""
        if not select.select([self.master], [], [], 0.05)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the other side any more
            return False
        self.text += data.decode()
        return bool(data)

    def wait_for(self, pattern):
        def seen():
            self.read()
            return re.search(pattern, self.text)
        return wait_until(seen, f"{pattern} on the terminal:\n{self.text}", interval_s=0)

    def end(self):
        """(exit code, standard output)"""
        while self.read():
            pass
        out = self.process.stdout.read().decode()
        return self.process.wait(30), out

    def screen(self):
        """The lines that are to be seen, as a terminal of these sequences would have them."""
        lines, at = [""], 0
        for piece in re.findall(r"\x1b\[\d*[A-Za-z]|\r\n|\r|\n|[^\x1b\r\n]+", self.text):
            if piece == "\n" or piece == "\r\n":
                at += 1
                lines += [""] * (at + 1 - len(lines))
            elif re.fullmatch(r"\x1b\[\d+A", piece):
                at -= int(piece[2:-1])
                assert at >= 0, f"above the screen: {self.text!r}"
            elif piece == "\x1b[J":
                lines[at:] = [""]
            elif piece not in ("\r", "\x1b[K") and not re.fullmatch(r"\x1b\[\d*m", piece):
                lines[at] = lines[at] + piece if lines[at] else piece
        return lines


class Pull(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.upstream = cls.enterClassContext(FakeRegistry(cls.folder, name="upstream"))
        cls.mirror = cls.enterClassContext(FakeRegistry(cls.folder, name="mirror"))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={
            HOST: cls.upstream.url, "plain.example": cls.upstream.url, "private.example": cls.upstream.url}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {
            HOST: {"server": cls.upstream.url, "mirrors": [cls.mirror.url]}, "plain.example": cls.upstream.url,
            "private.example": cls.upstream.url, "gone.example": f"http://127.0.0.1:{dead_port()}"}))
        cls.ctl = Ctl(cls.folder)
        cls.ctl.config = cls.daemon.config

    def setUp(self):
        self.name = self.id().rsplit(".", 1)[-1].replace("_", "-")
        self.repository = f"team/{self.name}"
        self.reference = f"{HOST}/{self.repository}:1"
        self.addCleanup(self.upstream.rules, [])
        self.addCleanup(self.mirror.rules, [])

    def image(self, tag="1", size=3 << 20):
        more = {"big": os.urandom(size)}
        digest = self.upstream.image(self.repository, tag, tag, more)
        self.assertEqual(self.mirror.image(self.repository, tag, tag, more), digest)
        return digest

    def layer_of(self, digest):
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream.port)
        self.addCleanup(connection.close)
        connection.request("GET", f"/v2/{self.repository}/manifests/{digest}")
        return json.loads(connection.getresponse().read())["layers"][0]["digest"]

    def terminal(self, *words, columns=80):
        env = {**self.ctl.env, "TERM": "xterm", "COLUMNS": str(columns)}
        return Terminal(self.ctl.command(*words), env, columns)

    # ---- results ----

    def test_result(self):
        digest = self.image()
        done = self.ctl.run("pull", self.reference)
        self.assertEqual(done.code, 0, done)
        self.assertEqual([re.sub(r"[\d.]+ (s|MiB)$", r"N \1", re.sub(r"[\d.]+ MiB", "N MiB", line)) for line in done.lines],
                         [f"image     {self.reference}", f"digest    {digest}",
                          f"image ID  {self.containerd_id(digest)}", "source    through the relay",
                          f"bytes     N MiB from {self.mirror.url}", "time      N s"])
        self.assertEqual(self.containerd.store()[self.reference].digest, digest)
        again = self.ctl.run("pull", self.reference)
        self.assertEqual((again.code, again.err), (0, ""))
        self.assertIn("source    nothing to pull: it is current\n", again.out)

    def containerd_id(self, digest):
        """The image's ID: the digest of its configuration."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream.port)
        self.addCleanup(connection.close)
        connection.request("GET", f"/v2/{self.repository}/manifests/{digest}")
        return json.loads(connection.getresponse().read())["config"]["digest"]

    def test_json(self):
        digest = self.image()
        before = self.ctl.run("pull", "-o", "json", self.reference)
        self.assertEqual(before.code, 0, before)
        said = before.json
        self.assertGreaterEqual(said.pop("duration_ms"), 0)
        total = said.pop("bytes")
        self.assertGreater(total, 3 << 20)
        self.assertEqual(said, {"reference": self.reference, "digest": digest, "image_id": self.containerd_id(digest),
                                "previous": None, "source": "relay", "failovers": [], "degraded": None,
                                "sources": [{"source": self.mirror.url, "bytes": total}]})
        second = self.image()
        after = self.ctl.run("pull", "-o", "json", self.reference).json
        self.assertEqual((after["previous"], after["digest"]), (digest, second))

    def test_short_names_are_made_whole(self):
        self.image()
        done = self.ctl.run("pull", "-o", "json", f"{HOST}/{self.repository}:1")
        self.assertEqual(done.json["reference"], self.reference)
        done = self.ctl.run("pull", "no/such")
        self.assertIn("docker.io/no/such:latest was not pulled", done.err)

    def test_direct(self):
        self.image()
        done = self.ctl.run("pull", "-o", "json", f"plain.example/{self.repository}:1")
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertEqual((done.json["source"], done.json["bytes"], done.json["sources"]), ("upstream", None, []))

    # ---- while it runs ----

    def break_off(self):
        """The mirror breaks off in the middle of the layer, and the upstream is held there."""
        layer = self.layer_of(self.image())
        self.mirror.rules([{"path": layer, "times": 1, "after_bytes": 1 << 20, "hang_up": True}])
        self.upstream.rules([{"path": layer, "method": "GET", "hold": self.name}])
        return layer

    def test_bars_on_a_terminal(self):
        layer = self.layer_of(self.image())
        self.mirror.rules([{"path": layer, "times": 1, "after_bytes": 1 << 20, "hang_up": True}])
        self.upstream.rules([{"path": layer, "method": "GET", "times": 1, "after_bytes": 1 << 19, "silence": True,
                              "hold": self.name}])
        with self.terminal("pull", self.reference) as terminal:
            left = rf"left {re.escape(self.mirror.url)}: "
            terminal.wait_for(left)
            terminal.wait_for(rf"blob     {layer[7:19]} \[=+> +\] 1\.\d MiB / 3\.\d MiB +{re.escape(HOST)}\x1b")
            self.upstream.release(self.name)
            code, out = terminal.end()
        self.assertEqual(code, 0, terminal.text)
        self.assertIn(f"MiB from {HOST}\n", out)
        screen = terminal.screen()
        self.assertEqual(len([line for line in screen if re.match(left, line)]), 1, screen)
        bars = [line for line in screen if line.startswith(("blob", "manifest"))]
        self.assertEqual(len(bars), 3, screen)  # manifest, configuration, layer
        for bar in bars:
            self.assertLess(len(bar), 80, bar)
            self.assertRegex(bar, r"^(blob    |manifest) [0-9a-f]{12} \[=+\] [\d.]+ (B|KiB|MiB) ")

    def test_bars_fit_a_narrow_terminal(self):
        self.image()
        with self.terminal("pull", self.reference, columns=40) as terminal:
            self.assertEqual(terminal.end()[0], 0)
        for line in terminal.screen():
            self.assertLess(len(line), 40, line)

    def test_lines_without_a_terminal(self):
        layer = self.break_off()
        process = subprocess.Popen(self.ctl.command("pull", self.reference), env=self.ctl.env, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        lines = []
        while not any(line.startswith("left ") for line in lines):
            lines.append(process.stderr.readline())
            self.assertTrue(lines[-1], lines)
        self.upstream.wait(path=layer, method="GET", state="held")
        self.upstream.release(self.name)
        lines += process.stderr.readlines()
        self.assertEqual(process.wait(30), 0)
        text = "".join(lines)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\r", text)
        self.assertRegex(text, rf"(?m)^blob {layer[:19]}: 3\.\d MiB from ")
        self.assertEqual(len(re.findall(rf"(?m)^left {re.escape(self.mirror.url)}: .+$", text)), 1, text)

    def test_what_the_last_look_missed_is_told(self):
        """A mirror that is left at once, however quickly all is over."""
        self.image()
        self.mirror.rules([{"path": "/blobs/", "status": 500}])
        done = self.ctl.run("pull", self.reference)
        self.assertEqual(done.code, 0, done)
        self.assertRegex(done.err, rf"(?m)^left {re.escape(self.mirror.url)}: .*500")

    def test_an_interrupt_cancels_the_pull(self):
        layer = self.layer_of(self.image())
        self.mirror.rules([{"path": layer, "method": "GET", "hold": self.name}])
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number):
                seen = len(self.mirror.log("GET", layer))
                process = subprocess.Popen(self.ctl.command("pull", self.reference), env=self.ctl.env,
                                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                wait_until(lambda before=seen: len(self.mirror.log("GET", layer)) > before, "the layer is asked for")
                process.send_signal(number)
                out, err = process.communicate(timeout=30)
                self.assertEqual((process.returncode, out), (code, ""), err)
                self.assertNotIn("was not pulled", err)
                wait_until(lambda: self.daemon.admin("/v1/pulls")[1]["running"] == [], "the daemon has given up")
                self.assertNotIn(self.reference, self.containerd.store())

    # ---- what goes wrong ----

    def fails(self, code, words, *arguments, **more):
        done = self.ctl.run("pull", *arguments, **more)
        self.assertEqual((done.code, done.out), (code, ""), done)
        self.assertRegex(done.err, words)
        return done

    def test_absent(self):
        self.fails(66, rf"(?m)^cri-resolvectl pull: {HOST}/team/absent:1 was not pulled: failed to pull and unpack image .*not found",
                   f"{HOST}/team/absent:1")

    def test_unreachable(self):
        self.fails(69, r"(?m)^cri-resolvectl pull: gone.example/x:1 was not pulled: RegistryUnavailable: .*cannot connect",
                   "gone.example/x:1")

    def test_no_reference(self):
        self.fails(64, "(?m)^cri-resolvectl pull: ", "Not:A:Reference")
        self.fails(64, r"^cri-resolvectl pull: name one image: ghcr.io/team/app:stable\nsee cri-resolvectl pull --help\n$")
        self.fails(64, "^cri-resolvectl pull: name one image", "a.io/x:1", "a.io/x:2")

    def test_no_daemon(self):
        other = Daemon(self.folder, self.containerd, name="other")
        ctl = Ctl(self.folder)
        ctl.config = other.config
        done = ctl.run("pull", self.reference)
        self.assertEqual((done.code, done.out, done.err), (
            69, "", f"cri-resolvectl pull: no daemon answers at {other.socket}: is cri-resolved running? "
                    "(systemctl status cri-resolved)\n"))

    def test_a_daemon_that_dies_meanwhile(self):
        layer = self.layer_of(self.image())
        self.upstream.rules([{"path": layer, "method": "GET", "hold": self.name}])
        with Daemon(self.folder, self.containerd, {HOST: self.upstream.url}, name="dies", wait=True) as daemon:
            ctl = Ctl(self.folder)
            ctl.config = daemon.config
            killer = threading.Thread(target=lambda: (
                self.upstream.wait(path=layer, method="GET", state="held"), daemon.kill()), daemon=True)
            killer.start()
            done = ctl.run("pull", self.reference)
            killer.join(30)
            daemon.start()
        self.assertEqual((done.code, done.out), (69, ""), done)
        self.assertRegex(done.err, rf"(?m)^cri-resolvectl pull: {re.escape(self.reference)} was not pulled: ")

    def test_without_the_admin_socket(self):
        digest = self.image()
        with Daemon(self.folder, self.containerd, {HOST: self.upstream.url}, name="mute", admin={"listen": ""}) as daemon:
            ctl = Ctl(self.folder)
            ctl.config = daemon.config
            done = ctl.run("pull", "-o", "json", self.reference)
        self.assertEqual(done.code, 0, done)
        self.assertIn("cri-resolvectl pull: nothing will be seen of the pull: the daemon's state cannot be read", done.err)
        self.assertEqual((done.json["image_id"], done.json["digest"], done.json["source"], done.json["bytes"]),
                         (self.containerd_id(digest), None, None, None))

    # ---- credentials ----

    def test_credentials(self):
        self.upstream.image(self.repository, "1", "private")
        self.upstream.auth({f"{self.repository}": {"scheme": "basic", "users": {"ann": WORD}}})
        self.addCleanup(self.upstream.auth, {})
        image = f"private.example/{self.repository}:1"
        refused = self.fails(77, r"(?m)^cri-resolvectl pull: .* was not pulled: ", image)
        wrong = self.fails(77, r"(?m)^cri-resolvectl pull: .* was not pulled: ", "--credentials", "-", image,
                           stdin=f"ann:{WORD}-wrong\n")
        done = self.ctl.run("pull", "--credentials", "-", image, stdin=f"ann:{WORD}\n")
        self.assertEqual(done.code, 0, done)
        file = self.ctl.home / "docker.json"
        file.write_text(json.dumps({"auths": {"private.example": {"username": "ann", "password": WORD}}}))
        by_file = self.ctl.run("pull", "--credentials", file, image)
        self.assertEqual(by_file.code, 0, by_file)
        for text in (refused.err, wrong.err, done.out, done.err, by_file.out, by_file.err, self.daemon.log(),
                     *(json.dumps(self.daemon.admin(path)[1]) for path in ("/v1/status", "/v1/pulls"))):
            self.assertNotIn(WORD, text)

    def test_help_fits(self):
        done = self.ctl.run("pull", "--help")
        self.assertEqual((done.code, done.err), (0, ""))
        self.assertLessEqual(max(map(len, done.lines)), 80)


if __name__ == "__main__":
    unittest.main()
