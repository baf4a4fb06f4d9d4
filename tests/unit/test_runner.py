# SPDX-License-Identifier: Apache-2.0
"""The runner hides nothing: what crashed, hung, vanished or was skipped is counted and shown."""
import contextlib
import io
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from tests import run
from tests.integration.harness import Folder, Forwarder, Process, sweep, wait_until
from tests.integration.harness.wire import decode, encode

TAP = "1..3\nok 1 - a\n{second}\nok 3 - c\n"


def shell(script, timeout_s=20):
    with contextlib.redirect_stderr(io.StringIO()):
        return run.Program("sample", ["/bin/sh", "-c", script], timeout_s).run()


def tap(second, exit_code=0):
    return shell(f"printf '{TAP.format(second=second)}'; exit {exit_code}".replace("\n", "\\n"))


class Programs(unittest.TestCase):
    def verdict(self, job):
        return job.passed, job.failed, job.skipped

    def test_counts(self):
        for second, exit_code, expected in (
                ("ok 2 - b", 0, (3, 0, 0)),
                ("not ok 2 - b", 1, (2, 1, 0)),
                ("not ok 2 - b", 0, (2, 1, 0)),
                ("ok 2 # SKIP b", 0, (2, 0, 1)),
                ("ok 2 - b", 1, (3, 1, 0)),
                ("# nothing", 0, (2, 1, 0)),
                ("# nothing", 139, (2, 1, 0))):
            with self.subTest(second=second, exit_code=exit_code):
                self.assertEqual(expected, self.verdict(tap(second, exit_code)))

    def test_what_has_failed_in_short(self):
        short = run.essence(tap("# why\nnot ok 2 - b", 1))
        self.assertIn("     | # why\n     | not ok 2 - b\n", short)
        self.assertNotIn("ok 1", short)

    def test_no_test_is_a_failure(self):
        job = shell("exit 0")
        self.assertEqual((0, 1, 0), self.verdict(job))
        self.assertIn("ran no test", job.output)

    def test_a_program_that_is_not_there_fails(self):
        job = run.Program("sample", ["/nowhere/at-all"], 5).run()
        self.assertEqual((0, 1, 0), self.verdict(job))
        self.assertIn("could not be run", job.output)

    def test_a_hanging_program_ends_and_fails(self):
        job = shell("printf '1..1\\nok 1 - a\\n'; exec sleep 1000", timeout_s=1)
        self.assertEqual((1, 1, 0), self.verdict(job))
        self.assertIn("not finished after 1 s", job.output)

    def test_what_stays_behind_is_a_failure_and_ended(self):
        job = shell("cp /bin/busybox $TMPDIR/busybox; setsid $TMPDIR/busybox sleep 1000 & "
                    "until [ \"$(readlink /proc/$!/exe)\" = $TMPDIR/busybox ]; do :; done; printf '1..1\\nok 1 - a\\n'")
        self.assertEqual((1, 1, 0), self.verdict(job))
        self.assertIn("left processes behind", job.output)
        left = int(job.output.partition("behind: [")[2].partition("]")[0])
        wait_until(lambda: not pathlib.Path(f"/proc/{left}/exe").exists(), "it is ended")


class Modules(unittest.TestCase):
    SOURCE = """
import unittest
class Sample(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail("words of the failure")
    def test_sub(self):
        for n in range(3):
            with self.subTest(n=n): self.assertEqual(n, 9)
    @unittest.skip("no reason")
    def test_skipped(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.fail()
"""

    LATE = """
import os, signal, unittest
class Sample(unittest.TestCase):
    @classmethod
    def setUpClass(cls): os.kill(os.getpid(), signal.SIGTERM)
    def test_good(self): pass
"""

    def sample(self, source=SOURCE):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "sample_module.py"
            path.write_text(source)
            script = f"import sys; sys.path.insert(0, {folder!r}); from tests import run; sys.exit(run.run_module('sample_module'))"
            return run.Module("sample", [sys.executable, "-c", script], 20).run()

    def test_counts(self):
        job = self.sample()
        # a failure that is expected is as little of a check as one that is skipped
        self.assertEqual((1, 2, 2), (job.passed, job.failed, job.skipped))
        self.assertIn("words of the failure", job.output)

    def test_what_has_failed_in_short(self):
        job = self.sample()
        short = run.essence(job)
        for expected in ("sample:\n", "in test_bad\n", "FAIL: test_bad", "words of the failure", "FAIL: test_sub", "(n=2)"):
            self.assertIn(expected, short)
        for unexpected in ("... ok", "test_good"):
            self.assertNotIn(unexpected, short)

    def test_the_cause_is_told_of_a_failure_with_many_lines(self):
        words = "AssertionError: it ended with 2:\npanic: the cause\n" + "trace\n" * 60 + "FAILED (failures=1)"
        job = run.Program("sample", [], 1)
        job.output = run.RULE + "FAIL: test_long\n" + "frame\n" * 30 + words
        short = run.essence(job)
        self.assertIn("| FAIL: test_long\n     | AssertionError: it ended with 2:\n     | panic: the cause\n", short)
        self.assertIn("FAILED (failures=1)", short)
        self.assertEqual(1, short.count("panic: the cause"))
        self.assertLess(short.count("trace"), 20)

    def test_where_it_stood_when_it_was_too_late(self):
        job = self.sample(self.LATE)
        self.assertEqual((0, 1, 0), (job.passed, job.failed, job.skipped))
        self.assertRegex(run.essence(job), r"(?s)in setUpClass\n.*ended by the runner: too late")

    def test_a_module_that_cannot_be_imported_fails(self):
        script = "import sys; from tests import run; sys.exit(run.run_module('tests.no_such_module'))"
        job = run.Module("sample", [sys.executable, "-c", script], 20).run()
        self.assertEqual((0, 1), (job.passed, job.failed))


class Collecting(unittest.TestCase):
    """What runs for which words of the command line."""

    def shown(self, *words):
        return sorted(job.name for job in run.collect(words))

    def test_a_process_for_each_variant(self):
        self.assertEqual(["packages.test_deb [bookworm]", "packages.test_deb [trixie]"], self.shown("packages", "deb"))
        self.assertEqual([{"CRI_RESOLVED_SUITE": "bookworm"}, {"CRI_RESOLVED_SUITE": "trixie"}],
                         [job.env for job in run.collect(["packages", "test_deb.py"])])
        self.assertEqual([f"integration.test_containerd [{which}]" for which in ("1.6", "1.7", "2")],
                         self.shown("integration", "containerd"))

    def test_names_are_of_the_kind_before_them(self):
        self.assertIn("lint.test_house", self.shown("lint", "packages", "contents"))
        self.assertEqual(["packages.test_contents", "packages.test_rpm"], self.shown("packages", "rpm", "contents"))

    def test_what_is_not_there_is_said(self):
        for words in (["packages", "containerd"], ["integration", "deb"], ["unti"]):
            with self.subTest(words), self.assertRaisesRegex(SystemExit, "no such test|unknown kind of test"):
                run.collect(words)


class Parts(unittest.TestCase):
    def test_the_folder_ends_what_outlived_its_parent(self):
        with Folder() as folder:
            sleeper = folder.path / "sleeper"
            sleeper.write_bytes(pathlib.Path("/bin/busybox").read_bytes())
            sleeper.chmod(0o755)
            (folder.path / "sleep").symlink_to("sleeper")
            shell_line = f"setsid {folder.path}/sleep 1000 & exit 0"
            subprocess.run(["/bin/sh", "-c", shell_line], check=True, stdout=subprocess.DEVNULL)
            wait_until(lambda: sweep.processes_of(folder.path), "it runs")
            path = folder.path
        self.assertEqual([], sweep.processes_of(path))
        self.assertFalse(path.exists())

    def test_a_part_that_ends_early_is_said_at_once(self):
        with Folder() as folder:
            part = Process(folder, "broken", ["/bin/sh", "-c", "echo its last words; exit 3"]).start()
            with self.assertRaisesRegex(AssertionError, "(?s)broken ended with 3.*its last words"):
                part.wait_ready(lambda: False)

    def test_a_part_is_stopped_by_signal(self):
        with Folder() as folder:
            part = Process(folder, "sleeper", ["/bin/busybox", "sleep", "1000"]).start()
            self.assertEqual(-signal.SIGTERM, part.stop())

    def test_a_line_can_be_cut_and_mended(self):
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        with Forwarder(server.getsockname()[1]) as line:
            with socket.create_connection(("127.0.0.1", line.port)) as near:
                far, _ = server.accept()
                with far:
                    near.sendall(b"ping")
                    self.assertEqual(b"ping", far.recv(10))
                    line.cut()
                    self.assertEqual(b"", near.recv(10))
            with socket.create_connection(("127.0.0.1", line.port)) as near:
                self.assertEqual(b"", near.recv(10))
            line.mend()
            with socket.create_connection(("127.0.0.1", line.port)) as near:
                server.accept()[0].close()
                self.assertEqual(b"", near.recv(10))


class Wire(unittest.TestCase):
    def test_round_trip(self):
        read = decode(encode([(1, "name"), (2, {"key": "value"}), (3, [(1, 300), (2, b"\x00\xff")]), (4, None)]))
        self.assertEqual("name", read.text(1))
        self.assertEqual({"key": "value"}, read.map(2))
        self.assertEqual((300, b"\x00\xff"), (read.message(3).number(1), read.message(3)[2][0]))
        self.assertNotIn(4, read)

    def test_known_bytes(self):
        self.assertEqual(bytes.fromhex("0a0161 1096 01".replace(" ", "")), encode([(1, "a"), (2, 150)]))


if __name__ == "__main__":
    unittest.main()
