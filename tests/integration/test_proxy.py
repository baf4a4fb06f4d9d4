# SPDX-License-Identifier: Apache-2.0
"""Calls that go through the daemon: whatever a caller of containerd could see, it sees here too."""
import json
import queue
import socket
import unittest

import grpc

from tests.integration.harness import Daemon, Folder, wait_until
from tests.integration.harness.parts import accepts
from tests.integration.proxy_parts import VERSION, Backend, Caller, FrameRecorder, hold

MIB = 1 << 20
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def status(code, message, details=b""):
    return json.dumps({"code": code.value[0], "message": message, "details": details.hex()}).encode()


class Through(unittest.TestCase):
    """One backend, one daemon, and a client at each."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.backend = cls.enterClassContext(Backend(cls.folder))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.backend.socket))
        cls.through = cls.enterClassContext(Caller(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Caller(cls.backend.socket))

    def key(self):
        return self.id().rpartition(".")[2]


class Unary(Through):
    def test_metadata_reaches_the_backend(self):
        sent = [("x-plain", "one"), ("x-plain", "two"), ("x-bytes-bin", bytes(range(256))), ("traceparent", "00-ab-cd-01"),
                ("x-empty", "")]
        seen = self.through.json("/fake/Seen", metadata=sent)["metadata"]
        expected = [[key, value.hex() if isinstance(value, bytes) else value] for key, value in sent]
        self.assertEqual([item for item in seen if item[0] != "user-agent"], expected)

    def test_metadata_comes_back(self):
        sent = [("x-plain", "one"), ("x-plain", "two"), ("x-bytes-bin", bytes(range(256)))]
        _, call = self.through.with_call("/fake/Seen", b"{}", metadata=sent)
        self.assertEqual([tuple(item) for item in call.initial_metadata()], sent)
        self.assertEqual([tuple(item) for item in call.trailing_metadata()], sent)

    def test_every_status_is_the_backends(self):
        for code in CODES:
            with self.subTest(code):
                request = status(code, f"l'été à 100 % \n {code}", b"\x00\x01details\xff")
                answer = self.through.outcome("/fake/Status", request)
                self.assertEqual(answer, self.direct.outcome("/fake/Status", request))
                self.assertEqual(answer[:2], (code, f"l'été à 100 % \n {code}"))
                self.assertIn(("grpc-status-details-bin", b"\x00\x01details\xff"), answer[2])

    def test_long_status(self):
        message, details = "a long story " * 5000, bytes(range(256)) * 256
        answer = self.through.outcome("/fake/Status", status(grpc.StatusCode.UNKNOWN, message, details))
        self.assertEqual(answer, (grpc.StatusCode.UNKNOWN, message, [("grpc-status-details-bin", details)]))

    def test_unknown_methods_are_the_backends_to_refuse(self):
        for path in ("/runtime.v1.ImageService/NoSuchMethod", "/runtime.v9.ImageService/ListImages", "/x/y", "/no-slash"):
            with self.subTest(path):
                answer = self.through.outcome(path)
                self.assertEqual(answer, self.direct.outcome(path))
                self.assertEqual(answer[0], grpc.StatusCode.UNIMPLEMENTED)

    def test_messages_of_every_size(self):
        for size in (0, 1, 5, 16383, 16384, 65536, MIB, 16 * MIB, 17 * MIB):
            with self.subTest(size):
                self.assertTrue(self.through.call("/fake/Payload", b"\x5a" * size) == b"\x5a" * size)
                self.assertTrue(self.through.call("/fake/Size", b'{"size": %d}' % size) == b"\xa5" * size)

    def test_compressed_requests(self):
        for kind in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            answer, _ = self.through.with_call("/fake/Payload", b"again " * 10000, compression=kind)
            self.assertEqual(answer, b"again " * 10000)

    def test_any_authority(self):
        for authority in ("localhost", str(self.daemon.socket), "%2Frun%2Fx.sock", "a.example:1", "[::1]:80"):
            with self.subTest(authority), Caller(self.daemon.socket, authority=authority) as caller:
                self.assertEqual(caller.call(VERSION), self.direct.call(VERSION))

    def test_a_thousand_at_once(self):
        key = self.key()
        calls = [self.through.unary("/fake/Hold", hold(key), key) for _ in range(1000)]
        wait_until(lambda: len(self.backend.events(key)) == 1000, "a thousand calls at the backend")
        self.backend.control(release=key, times=1000)
        self.assertEqual({call.result() for call in calls}, {key.encode()})


class Streams(Through):
    def test_server_stream_of_many_messages(self):
        got = list(self.through.stream("/fake/Count", b'{"count": 3000, "size": 300}'))
        self.assertEqual([int.from_bytes(item[:4], "big") for item in got], list(range(3000)))
        self.assertEqual({len(item) for item in got}, {304})

    def test_server_stream_of_large_messages(self):
        got = self.through.stream("/fake/Count", b'{"count": 8, "size": %d}' % (16 * MIB))
        self.assertEqual([len(item) for item in got], [16 * MIB + 4] * 8)

    def test_server_stream_that_fails_after_messages(self):
        call = self.through.stream("/fake/Count", b'{"count": 7, "code": 9, "message": "seven will do"}')
        got = []
        with self.assertRaises(grpc.RpcError):
            for item in call:
                got.append(item)
        self.assertEqual((len(got), call.code(), call.details()), (7, grpc.StatusCode.FAILED_PRECONDITION, "seven will do"))

    def test_server_stream_without_messages(self):
        self.assertEqual(list(self.through.stream("/fake/Count", b'{"count": 0}')), [])

    def test_headers_and_messages_come_when_they_are_sent(self):
        key = self.key()
        call = self.through.stream("/fake/Drip", hold(key), key)
        self.assertIn(("x-early", "yes"), [tuple(item) for item in call.initial_metadata()])
        for number in range(20):  # each message is released when the one before has arrived
            self.backend.control(release=key)
            self.assertEqual(next(call), str(number).encode())
        self.backend.control(finish=key)
        self.assertEqual(list(call), [])
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_client_stream(self):
        for sizes in ([], [0], [5], [1, 0, 70000, 3], list(range(500)), [16 * MIB] * 3):
            with self.subTest(len(sizes)):
                call = self.through.client_stream("/fake/Sum", iter([b"\x01" * size for size in sizes]))
                self.assertEqual(json.loads(call.result()), sizes)

    def test_both_ways_in_lockstep(self):
        requests = queue.Queue()
        call = self.through.both_ways("/fake/Chat", iter(requests.get, None))
        for number in range(50):
            requests.put(b"word %d" % number)
            self.assertEqual(next(call), b"word %d" % number)
        requests.put(None)
        self.assertEqual(list(call), [])
        self.assertEqual(call.code(), grpc.StatusCode.OK)

    def test_both_ways_at_full_speed(self):
        words = [bytes([number % 256]) * (number * 37 % 9000) for number in range(2000)]
        self.assertEqual(list(self.through.both_ways("/fake/Chat", iter(words))), words)

    def test_backend_ends_while_the_client_still_sends(self):
        requests = queue.Queue()
        call = self.through.both_ways("/fake/Chat", iter(requests.get, None))
        requests.put(b"one")
        self.assertEqual(next(call), b"one")
        requests.put(b"finish")
        self.assertEqual((call.code(), call.details()), (grpc.StatusCode.ABORTED, "enough said"))
        requests.put(None)


class Endings(Through):
    """Deadlines and cancellation."""

    def test_deadline_is_visible_at_the_backend(self):
        left_s = self.through.json("/fake/Seen", timeout_s=30)["left_s"]
        self.assertLessEqual(left_s, 31)  # core rounds up what it sends
        self.assertGreater(left_s, 10)
        answer, _ = self.through.with_call("/fake/Seen", b"{}", timeout=None)
        self.assertIsNone(json.loads(answer)["left_s"])

    def test_deadline_ends_the_call_at_both_ends(self):
        key = self.key()
        call = self.through.unary("/fake/Hold", hold(key), key, timeout_s=0.3)
        self.assertEqual(call.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.backend.wait(key, "arrived", "cancelled")

    def test_client_cancels_a_unary_call(self):
        key = self.key()
        call = self.through.unary("/fake/Hold", hold(key), key)
        self.backend.wait(key, "arrived")
        call.cancel()
        self.backend.wait(key, "arrived", "cancelled")

    def test_client_cancels_a_stream(self):
        key = self.key()
        call = self.through.stream("/fake/Drip", hold(key), key)
        self.backend.control(release=key)
        self.assertEqual(next(call), b"0")
        call.cancel()
        self.backend.wait(key, "arrived", "cancelled")

    def test_client_goes_away(self):
        key = self.key()
        caller = Caller(self.daemon.socket)
        call = caller.stream("/fake/Drip", hold(key), key)
        self.backend.wait(key, "arrived")
        caller.channel.close()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        self.backend.wait(key, "arrived", "cancelled")


class CancelledUploads(unittest.TestCase):
    def test_never_look_complete(self):
        """Where core reports the end of the messages before the cancellation, the backend must still
        see a reset stream, not a half-closed one."""
        with Folder() as folder, FrameRecorder(folder) as recorder:
            elsewhere = {"containerd": f"unix://{folder.path}/nobody"}  # the daemon's own questions go there
            with Daemon(folder, recorder.socket, wait=False, shim=elsewhere) as daemon, Caller(daemon.socket) as caller:
                daemon.process.wait_ready(lambda: accepts(daemon.socket))
                for number in range(100):
                    calls = queue.Queue()

                    def upload(calls=calls):
                        call = calls.get()
                        yield b"first"
                        call.cancel()
                        yield b"second"

                    call = caller.client_stream("/fake/Sum", upload())
                    calls.put(call)
                    self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
                last = caller.client_stream("/fake/Sum", iter([b"last"]))  # the queue has seen all others
                wait_until(lambda: recorder.ended, "the end of the last upload")
                self.assertEqual(len(recorder.ended), 1, "only the last one was complete")
                last.cancel()


class Garbage(Through):
    """What is not gRPC ends its own connection, and nothing else."""

    PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    SETTINGS = b"\0\0\0\x04\0\0\0\0\0"

    def send(self, data, close=True):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(30)
            raw.connect(str(self.daemon.socket))
            try:
                raw.sendall(data)
                if close:
                    raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass

    def test_garbage(self):
        for data in (b"", b"\0" * 100, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\xff" * 100000, self.PREFACE[:10],
                     self.PREFACE, self.PREFACE + self.SETTINGS, self.PREFACE + b"\xff" * 9,
                     self.PREFACE + self.SETTINGS + b"\0\x10\0\x01\x04\0\0\0\x01" + b"\x82" * 3,         # cut HEADERS
                     self.PREFACE + self.SETTINGS + b"\0\0\x04\x01\x05\0\0\0\x01\xff\xff\xff\xff",       # broken HPACK
                     self.PREFACE + self.SETTINGS + b"\0\0\x04\0\0\0\0\0\x07\0\0\0\0",                   # DATA of no stream
                     self.PREFACE + self.SETTINGS + b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0",                   # WINDOW_UPDATE 0
                     self.PREFACE + self.SETTINGS * 1000):
            with self.subTest(data[:40]):
                self.send(data)
                self.assertEqual(self.through.call(VERSION), self.direct.call(VERSION))
        self.assertTrue(self.daemon.process.running())

    def test_invalid_preface_is_closed_by_the_daemon(self):
        self.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", close=False)

    def test_a_silent_connection_holds_up_nobody(self):
        with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as half:
            silent.connect(str(self.daemon.socket))
            half.connect(str(self.daemon.socket))
            half.sendall(self.PREFACE + self.SETTINGS + b"\0\x10\0\x01\x04\0\0\0\x01")
            self.assertEqual(self.through.call(VERSION), self.direct.call(VERSION))


if __name__ == "__main__":
    unittest.main()
