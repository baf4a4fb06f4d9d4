# SPDX-License-Identifier: Apache-2.0
"""What a runtime should never do, done to the NRI plugin's transport: each ends the connection, never the
program, which then connects again and is as good as before."""
import contextlib
import struct
import unittest

from tests.fake.nri_runtime import PLUGIN, REQUEST, RESPONSE, RUNTIME, NriRuntime, Refusal, frame, message, request
from tests.integration.harness import Folder
from tests.integration.harness.nri import Watch
from tests.integration.harness.wire import encode

MESSAGE_MAX_BYTES = 4 << 20
UNIMPLEMENTED, PERMISSION_DENIED = 12, 7
CREATE, START, POST_START, STOP, REMOVE = 4, 6, 7, 10, 11  # events of NRI
POD = [(1, "p1"), (2, "web-0"), (3, "uid-1"), (4, "default"), (99, "news")]
IMAGE = {"io.kubernetes.cri.image-name": "ghcr.io/a/b:1"}


def container(identifier, state=3, annotations=None):
    return [(1, identifier), (2, "p1"), (3, "main"), (4, state), (5, {"a": "label"}),
            (6, {"other": "x", **(IMAGE if annotations is None else annotations)}), (7, "argument"), (99, [(1, 7)])]


def event(identifier):
    return [(1, POD), (2, container(identifier))]


def creating(identifier, image="ghcr.io/a/b:1"):
    return ["pod id=p1 name=web-0 namespace=default uid=uid-1",
            f"creating id={identifier} pod_id=p1 name=main state=created image={image}"]


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        stack = self.enterContext(contextlib.ExitStack())
        self.folder = stack.enter_context(Folder())
        self.runtime = stack.enter_context(NriRuntime(self.folder.path / "nri.sock"))
        self.stack = stack

    def watch(self, *options):
        return self.stack.enter_context(Watch(self.folder, self.runtime.path, *options))

    def again(self, watch, reason):
        """The connection has ended for this reason, and the next one works."""
        self.assertEqual(watch.wait("^disconnected ")[-1], f"disconnected reason=NRI: {reason}")
        plugin = self.runtime.synchronized([POD], [container("c1")])
        self.assertEqual(watch.wait("^synchronized ")[-1], "synchronized pods=1 containers=1")
        return plugin


class Conversation(Case):
    def test_registration_and_events_asked_for(self):
        watch = self.watch()
        plugin = self.runtime.accept()
        self.assertEqual((plugin.registration.text(1), plugin.registration.text(2)), ("cri-resolved", "90"))
        self.assertEqual(plugin.configure(), {2: [sum(1 << number - 1 for number in (CREATE, STOP, REMOVE))]})
        self.assertEqual(watch.wait("^configured"), ["configured runtime=containerd version=v9.9"])

    def test_configure_before_the_registration_is_answered(self):
        """A real runtime may be so fast."""
        watch = self.watch()
        plugin = self.runtime.connect()
        which, stream, _, _ = plugin.receive()
        asked = plugin.ask("Configure", [(2, "containerd"), (3, "v9.9")])
        plugin.send(frame(which, message(stream, RESPONSE, b"")))
        plugin.answer(asked)
        plugin.call("Synchronize", [])
        self.assertEqual(watch.wait("^synchronized"), ["configured runtime=containerd version=v9.9",
                                                       "synchronized pods=0 containers=0"])

    def test_synchronized_in_several_messages(self):
        watch = self.watch()
        plugin = self.runtime.accept()
        plugin.configure()
        for number in range(3):
            answer = plugin.call("Synchronize", [(1, [(1, f"p{number}")]), (2, container(f"c{number}", number)), (3, True)])
            self.assertEqual(answer, {2: [1]}, "who does not say that more may come is given up")
            self.assertEqual([line for line in watch.lines() if not line.startswith("configured")], [])
        self.assertEqual(plugin.call("Synchronize", [(2, container("c4", 4, {}))]).get(2, [0]), [0])
        self.assertEqual(watch.wait("^synchronized")[1:], [
            *(f"pod id=p{number} name= namespace= uid=" for number in range(3)),
            *(f"container id=c{number} pod_id=p1 name=main state={state} image=ghcr.io/a/b:1"
              for number, state in enumerate(("unknown", "created", "running"))),
            "container id=c4 pod_id=p1 name=main state=stopped image=(none)", "synchronized pods=3 containers=4"])

    def test_events_of_old_and_new_runtimes(self):
        """Up to NRI 0.9 most come as StateChange, later each has a method of its own."""
        watch = self.watch()
        plugin = self.runtime.synchronized()
        watch.wait("^synchronized")
        self.assertEqual(plugin.call("CreateContainer", event("c1")), {})
        for number in (START, POST_START, STOP, REMOVE, 1, 2, 3, 99):
            plugin.call("StateChange", [(1, number), (2, POD), (3, container("c1"))])
        old = watch.wait("^removed")
        self.assertEqual(old, [*creating("c1"), "stopped id=c1", "removed id=c1"])
        plugin.call("CreateContainer", event("c1"))
        for method in ("StopContainer", "RemoveContainer"):
            plugin.call(method, event("c1"))
        self.assertEqual(watch.wait("^removed"), old)

    def test_events_that_are_answered_and_not_heard(self):
        """Before Synchronize, or of no container: nobody is refused for it."""
        watch = self.watch("--refuse", IMAGE["io.kubernetes.cri.image-name"])
        plugin = self.runtime.accept()
        plugin.configure()
        plugin.call("CreateContainer", event("early"))
        plugin.call("Synchronize", [])
        for fields in ([], [(1, POD)], [(2, [])], event("")):
            plugin.call("CreateContainer", fields)
            plugin.call("StopContainer", fields)
            plugin.call("StateChange", [(1, REMOVE)])
        plugin.call("Shutdown")
        with self.assertRaises(Refusal) as refused:
            plugin.call("CreateContainer", event("c1"))
        self.assertEqual((refused.exception.code, refused.exception.text), (PERMISSION_DENIED, "ghcr.io/a/b:1: not this one"))
        self.assertEqual(watch.wait("^creating"), ["configured runtime=containerd version=v9.9",
                                                   "synchronized pods=0 containers=0", *creating("c1")])

    def test_methods_that_nobody_knows(self):
        self.watch()
        plugin = self.runtime.synchronized()
        for method, service in (("UpdatePodSandbox", "nri.pkg.api.v1alpha1.Plugin"), ("", "nri.pkg.api.v1alpha1.Plugin"),
                                ("CreateContainer", "nri.pkg.api.v9.Plugin"), ("CreateContainer", "")):
            with self.subTest(method=method, service=service), self.assertRaises(Refusal) as refused:
                plugin.call(method, event("c1"), service)
            self.assertEqual(refused.exception.code, UNIMPLEMENTED)
        self.assertEqual(plugin.call("CreateContainer", event("c1")), {})

    def test_long_answers_come_in_frames_that_fit(self):
        """Plugin.receive() in the fake complains of a longer one."""
        options = sum((["--annotate", f"{'k' * 1500}{number}", "v" * 255] for number in range(4)), [])
        self.watch(*options)
        plugin = self.runtime.synchronized()
        answer = plugin.call("CreateContainer", event("c1"))
        self.assertEqual(answer.message(1).map(2), {f"{'k' * 1500}{number}": "v" * 255 for number in range(4)})

    def test_many_requests_at_once_and_one_in_pieces(self):
        watch = self.watch()
        plugin = self.runtime.synchronized()
        watch.wait("^synchronized")
        data = b"".join(request(1001 + 2 * number, "StopContainer", encode(event(f"c{number}"))) for number in range(50))
        plugin.send(frame(PLUGIN, data[:7]) + frame(PLUGIN, b"") + frame(PLUGIN, data[7:]))
        for number in range(50):
            self.assertEqual(plugin.answer(1001 + 2 * number), {})
        self.assertEqual(watch.wait("id=c49$"), [f"stopped id=c{number}" for number in range(50)])
        for byte in frame(PLUGIN, request(2001, "RemoveContainer", encode(event("c1")))):
            plugin.send(bytes([byte]))
        self.assertEqual(plugin.answer(2001), {})
        self.assertEqual(watch.wait("^removed"), ["removed id=c1"])

    def test_the_largest_message_there_is(self):
        watch = self.watch()
        plugin = self.runtime.accept()
        plugin.configure()
        filler = "x" * (MESSAGE_MAX_BYTES - 200)
        stream = plugin.ask("Synchronize", [(2, container("c1")), (77, filler)])
        self.assertEqual(plugin.answer(stream), {2: [0]})
        self.assertEqual(watch.wait("^synchronized")[-1], "synchronized pods=0 containers=1")


class Faults(Case):
    def test_malformed_and_oversized(self):
        broken = (
            ("a frame for connection 3", frame(3, b"x")),
            ("a frame for connection 0", frame(0, b"")),
            ("a frame of 4294967295 bytes", struct.pack(">II", PLUGIN, 0xFFFFFFFF)),
            (f"a message of {MESSAGE_MAX_BYTES + 1} bytes, more than {MESSAGE_MAX_BYTES}",
             frame(PLUGIN, message(1, REQUEST, b"", length=MESSAGE_MAX_BYTES + 1))),
            ("a message of type 2 on connection 1", frame(PLUGIN, message(1, RESPONSE, b""))),
            ("a message of type 3 on connection 1", frame(PLUGIN, message(1, 3, b""))),
            ("a message of type 1 on connection 2", frame(RUNTIME, message(1, REQUEST, b""))),
            ("a request that is a stream", frame(PLUGIN, message(1, REQUEST, b"", flags=2))),
            ("a ttrpc request that cannot be read", frame(PLUGIN, message(1, REQUEST, b"\xff" * 20))),
            ("a Synchronize request that cannot be read", frame(PLUGIN, request(1, "Synchronize", b"\x0a\x7f"))),
            ("a CreateContainer request that cannot be read", frame(PLUGIN, request(1, "CreateContainer", b"\x12\xff\xff"))),
            ("a response to nothing that was asked", frame(RUNTIME, message(3, RESPONSE, b""))),
            ("a RegisterPlugin response that cannot be read", frame(RUNTIME, message(1, RESPONSE, b"\xff"))),
        )
        for number, (reason, data) in enumerate(broken):
            with self.subTest(reason), Watch(self.folder, self.runtime.path, name=f"broken-{number}") as watch:
                plugin = self.runtime.synchronized()
                plugin.send(data)
                plugin.ended()
                self.assertEqual(self.again(watch, reason).call("CreateContainer", event("c1")), {})

    def test_closed_at_each_step(self):
        closed = "the runtime closed the connection"
        whole = frame(PLUGIN, request(1, "CreateContainer", encode(event("c1"))))
        steps = (
            lambda: self.runtime.connect(),
            lambda: self.runtime.accept(),
            lambda: (plugin := self.runtime.accept(), plugin.configure())[0],
            lambda: self.runtime.synchronized(),
            *((lambda size=size: (plugin := self.runtime.synchronized(), plugin.send(whole[:size]))[0])
              for size in (1, 7, 8, 17, 18, len(whole) - 1)),
        )
        for number, step in enumerate(steps):
            with self.subTest(number), Watch(self.folder, self.runtime.path, name=f"closed-{number}") as watch:
                step().close()
                self.again(watch, closed)

    def test_what_has_not_changed_is_not_told_again(self):
        watch = self.watch()
        for _ in range(3):
            self.runtime.connect().close()
        plugin = self.again(watch, "the runtime closed the connection")
        self.assertEqual(watch.lines(), [])
        plugin.close()
        self.again(watch, "the runtime closed the connection")

    def test_refused(self):
        watch = self.watch()
        self.runtime.connect().register(status=[(1, 3), (2, "an index that is taken")])
        self.again(watch, "the runtime refuses the plugin: an index that is taken (3)")

    def test_silent(self):
        watch = self.watch("--timeout", "700")
        plugin = self.runtime.accept()
        plugin.configure()
        plugin.ended()
        self.assertEqual(watch.wait("^disconnected ")[-1],
                         "disconnected reason=NRI: the runtime has not synchronized the plugin in 700 ms")
        self.runtime.connect()

    def test_too_many_containers(self):
        watch = self.watch()
        plugin = self.runtime.accept()
        plugin.configure()
        part = [(1, POD), (77, "x" * (MESSAGE_MAX_BYTES - 200)), (3, True)]
        with self.assertRaises((EOFError, BrokenPipeError, ConnectionResetError)):
            for _ in range(20):
                plugin.call("Synchronize", part)
        self.again(watch, f"pods and containers of more than {64 << 20} bytes")

    def test_a_runtime_that_does_not_read(self):
        watch = self.watch()
        plugin = self.runtime.synchronized()
        with self.assertRaises((BrokenPipeError, ConnectionResetError, TimeoutError)):
            for number in range(200000):
                plugin.send(frame(PLUGIN, request(2 * number + 1, "Nonsense", b"")))
        self.again(watch, "the runtime does not take the answers")

    def test_stopped_while_it_registers(self):
        """containerd 1.7 gives such a plugin up and says nothing: it must not believe that it hears."""
        watch = self.watch()
        plugin = self.runtime.accept()
        plugin.configure()
        with watch.frozen():
            stream = plugin.ask("Synchronize", [])
            plugin.connection.settimeout(2)  # the real runtime's patience
            with self.assertRaises(TimeoutError):
                plugin.answer(stream)
        self.again(watch, "this process was stopped while it registered")

    def test_ends_at_once_in_every_state(self):
        for number, step in enumerate((self.runtime.connect, self.runtime.accept, self.runtime.synchronized)):
            with self.subTest(number):
                watch = Watch(self.folder, self.runtime.path, name=f"ends-{number}")
                with watch:
                    plugin = step()
                plugin.ended()


if __name__ == "__main__":
    unittest.main()
