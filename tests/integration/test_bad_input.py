# SPDX-License-Identifier: Apache-2.0
"""Input that nobody should send: each gets its exact error, and the daemon goes on.

What kubelet's side sends wrong is containerd's to word: the error through the daemon must be the one
that containerd itself gives."""
import unittest

import grpc

from tests.fake.kubelet import sandbox_config
from tests.integration.harness import Containerd, Cri, Daemon, Folder, Images, Registry
from tests.integration.harness.wire import encode, varint

HOST = "registry.example"
PULL = "/runtime.v1.ImageService/PullImage"


def spec(image):
    return encode([(1, [(1, image)])])


def failure(cri, path, request):
    """(code, message) of a call that must fail."""
    try:
        answer = cri.call(path, request, timeout_s=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"{path} succeeded: {answer!r}")


class FromKubelet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.registry = cls.enterClassContext(Registry(cls.folder))
        cls.containerd = cls.enterClassContext(Containerd(cls.folder, upstreams={HOST: cls.registry.url}))
        cls.daemon = cls.enterClassContext(Daemon(cls.folder, cls.containerd, {HOST: cls.registry.url}))
        cls.through = cls.enterClassContext(Cri(cls.daemon.socket))
        cls.direct = cls.enterClassContext(Cri(cls.containerd.socket))
        Images(cls.folder).push(cls.registry, "team/app", "stable", "bad input")

    def tearDown(self):
        """The daemon goes on: a good pull succeeds, and it is still the same process."""
        self.assertTrue(self.through.pull(f"{HOST}/team/app:stable"))
        self.assertTrue(self.daemon.process.running())

    def assert_same_failure(self, request, path=PULL):
        mine, theirs = failure(self.through, path, request), failure(self.direct, path, request)
        self.assertEqual(mine, theirs)
        return theirs

    def test_truncated_messages(self):
        good = spec(f"{HOST}/team/app:stable")
        whole = good + encode([(3, sandbox_config("pod", "uid", {"key": "value"}))])
        for size in (1, 2, 3, 10, len(good) - 1, len(good) + 1, len(good) + 2, len(whole) - 1):
            with self.subTest(size):
                code, _ = self.assert_same_failure(whole[:size])
                self.assertEqual(code, "INTERNAL")

    def test_broken_wire_format(self):
        for what, request in {
            "endless varint": b"\xff" * 20,
            "length beyond the end": b"\x0a" + varint(1 << 40),
            "unknown wire type": b"\x0f",
            "group that never ends": b"\x0b",
            "field number zero": b"\x02\x01a",
            "image spec as a number": b"\x08\x01",
            "image name as a number": encode([(1, b"\x08\x01")]),
        }.items():
            with self.subTest(what):
                self.assert_same_failure(request)

    def test_messages_above_the_limit(self):
        """containerd takes 16 MiB; the daemon is not the one to say so."""
        filler = encode([(99, b"x" * (17 << 20))])
        code, message = self.assert_same_failure(spec("NOT A REFERENCE") + filler)
        self.assertEqual(code, "RESOURCE_EXHAUSTED", message)
        # One that the daemon takes up itself: the digest's request is as large and fails in the same way.
        code, message = failure(self.through, PULL, spec(f"{HOST}/team/app:large") + filler)
        self.assertEqual((code, "not found" in message), ("NOT_FOUND", True), message)

    def test_no_image_at_all(self):
        for what, request in {"empty": b"", "no image": encode([(1, b"")]), "empty name": spec(""),
                              "only credentials": encode([(2, [(1, "ann"), (2, "word")])])}.items():
            with self.subTest(what):
                self.assert_same_failure(request)

    def test_references_that_do_not_parse(self):
        for image in ("team/UPPER", f"{HOST}/team/app:bad tag", f"{HOST}/team/app@sha256:short", "a:b:c", "/app", "app/",
                      f"{HOST}/team/app:" + "t" * 129, "http://registry.example/app", "-leading/app", "a//b", " app",
                      "app ", f"{HOST}/team/app@md5:" + "0" * 32, "n" * 300, "0" * 64,
                      f"{HOST}/team/app:stable\n", "äpp"):
            with self.subTest(image):
                self.assert_same_failure(spec(image))

    def test_names_with_bytes_that_are_no_text(self):
        """A NUL must not end the name: what is behind it belongs to the reference."""
        for image in (f"{HOST}/team/app:stable\0", f"{HOST}/team/app:stable\0x", f"\0{HOST}/team/app:stable",
                      b"registry.example/team/app:\xff\xfe", f"{HOST}/team/app:stable".encode() + b"\xc3"):
            with self.subTest(image):
                self.assert_same_failure(spec(image))

    def test_wrong_methods(self):
        for path, code in {
            "/runtime.v1.ImageService/PullImages": "UNIMPLEMENTED",
            "/runtime.v1.ImageService/": "UNIMPLEMENTED",
            "/runtime.v1.NoService/PullImage": "UNIMPLEMENTED",
            "/runtime.v9.ImageService/PullImage": "UNIMPLEMENTED",
        }.items():
            with self.subTest(path):
                self.assertEqual(self.assert_same_failure(spec(f"{HOST}/team/app:stable"), path)[0], code)
        self.assert_same_failure(b"", "/PullImage")  # no service at all: each containerd has a word of its own


if __name__ == "__main__":
    unittest.main()
