# SPDX-License-Identifier: Apache-2.0
"""A backend that is late, dies, and comes back."""
import unittest

import grpc

from tests.integration.harness import Daemon, Folder, wait_until
from tests.integration.harness.parts import accepts
from tests.integration.proxy_parts import VERSION, Backend, Caller, hold

UNAVAILABLE, FS_INFO = grpc.StatusCode.UNAVAILABLE, "/runtime.v1.ImageService/ImageFsInfo"
PULL = "/runtime.v1.ImageService/PullImage"


class Late(unittest.TestCase):
    """Kubelet exits when its first ImageFsInfo fails: what comes before the backend waits for it."""

    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.backend = Backend(self.folder)

    def daemon(self, wait):
        daemon = self.enterContext(Daemon(self.folder, self.backend.socket, wait=False, shim={"backend_wait": wait}))
        daemon.process.wait_ready(lambda: accepts(daemon.socket))
        return daemon, self.enterContext(Caller(daemon.socket))

    def test_calls_wait_for_it(self):
        _, caller = self.daemon("60s")
        calls = [caller.unary(FS_INFO) for _ in range(20)]
        stream = caller.stream("/fake/Count", b'{"count": 3}')
        self.assertEqual(caller.unary(FS_INFO, timeout_s=0.5).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertFalse(any(call.done() for call in calls))
        self.enterContext(self.backend)
        for call in calls:
            self.assertIn(b"/var/lib/fake", call.result())
        self.assertEqual(len(list(stream)), 3)

    def test_a_waiting_call_can_be_left(self):
        daemon, caller = self.daemon("60s")
        for path in (FS_INFO, PULL):
            call = caller.unary(path)
            call.cancel()
            self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        self.enterContext(self.backend)
        self.assertTrue(caller.call(VERSION))
        self.assertTrue(daemon.process.running())

    def test_the_wait_is_bounded(self):
        _, caller = self.daemon("300ms")
        code, message, _ = caller.outcome(FS_INFO)
        self.assertEqual((code, message), (UNAVAILABLE, f"containerd cannot be reached at unix://{self.backend.socket}: "
                                                        "No such file or directory"))
        self.enterContext(self.backend)
        self.assertTrue(caller.call(FS_INFO))

    def test_a_daemon_stops_while_calls_wait(self):
        daemon, caller = self.daemon("600s")
        call = caller.unary(FS_INFO)
        self.assertEqual(caller.unary(FS_INFO, timeout_s=0.3).code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertFalse(call.done())
        daemon.stop()
        self.assertEqual(call.code(), UNAVAILABLE)
        self.assertIn("containerd cannot be reached", call.details())


class Dies(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(Folder())
        self.backend = self.enterContext(Backend(self.folder))
        self.daemon = self.enterContext(Daemon(self.folder, self.backend.socket))
        self.caller = self.enterContext(Caller(self.daemon.socket))

    def test_in_the_middle_of_calls(self):
        calls = [self.caller.unary("/fake/Hold", hold("unary"), "unary") for _ in range(10)]
        stream = self.caller.stream("/fake/Drip", hold("stream"), "stream")
        self.backend.control(release="stream")
        self.assertEqual(next(stream), b"0")
        wait_until(lambda: len(self.backend.events("unary")) == 10, "calls at the backend")
        self.backend.kill()
        self.assertEqual({call.code() for call in [*calls, stream]}, {UNAVAILABLE})

    def test_calls_fail_while_it_is_down_and_work_when_it_is_back(self):
        for _ in range(5):
            self.backend.kill()
            for _ in range(3):
                code, message, _ = self.caller.outcome(FS_INFO)
                self.assertEqual((code, message), (UNAVAILABLE, "containerd cannot be reached at "
                                                                f"unix://{self.backend.socket}: Connection refused"))
            self.backend.start()
            self.assertTrue(self.caller.call(FS_INFO), "the first call after its return")

    def test_a_restart_between_two_calls_is_not_noticed(self):
        for _ in range(5):
            self.assertTrue(self.caller.call(FS_INFO))
            self.backend.kill()
            self.backend.start()
        self.assertTrue(self.caller.call(FS_INFO))


if __name__ == "__main__":
    unittest.main()
