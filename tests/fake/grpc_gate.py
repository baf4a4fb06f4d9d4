# SPDX-License-Identifier: Apache-2.0
"""Stands in front of containerd's socket: keeps what was asked, and can hold answers, so that a test
says in which order things happen."""
import collections
import concurrent.futures
import threading

import grpc

from tests.integration.harness.cri import OPTIONS

PATIENCE_S = 60
STREAMS = ("/containerd.services.content.v1.Content/List",)  # what is answered by a stream: carried, and never held
METADATA = [("containerd-namespace", "k8s.io")]


class HeldAnswer:
    """The answer to one call: containerd has given it, its caller does not have it yet."""

    def __init__(self):
        self.arrived, self.released, self.gone = threading.Event(), threading.Event(), threading.Event()

    def wait_arrived(self):
        assert self.arrived.wait(PATIENCE_S), "no answer came to be held"

    def wait_gone(self):
        assert self.gone.wait(PATIENCE_S), "the caller did not leave"

    def release(self):
        self.released.set()

    def stay(self, context):
        def left():
            self.gone.set()
            self.released.set()
        if not context.add_callback(left):
            left()
        self.arrived.set()
        self.released.wait(PATIENCE_S)


class GrpcGate(grpc.GenericRpcHandler):
    def __init__(self, socket, containerd_socket):
        self.socket, self.lock = socket, threading.Lock()
        self.requests = collections.defaultdict(list)  # path -> bytes
        self.holds = {}
        self.backend = grpc.insecure_channel(f"unix://{containerd_socket}", OPTIONS)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[self], options=OPTIONS)
        self.server.add_insecure_port(f"unix://{socket}")

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()
        self.backend.close()

    def hold(self, path):
        """Holds the answer to the next call of this method."""
        held = HeldAnswer()
        with self.lock:
            self.holds[path] = held
        return held

    def service(self, details):
        if details.method in STREAMS:
            return grpc.unary_stream_rpc_method_handler(lambda request, _: self.stream(details.method, request))
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.call(details.method, request, context))

    def start(self, path, request):
        return self.backend.unary_unary(path).future(request, timeout=PATIENCE_S, metadata=METADATA)

    def stream(self, path, request):
        yield from self.backend.unary_stream(path)(request, timeout=PATIENCE_S, metadata=METADATA)

    def forward(self, path, request):
        return self.start(path, request).result()

    def replaces(self, path, request):
        """Whether carry_out does it, and not containerd."""
        return False

    def carry_out(self, path, request):
        raise NotImplementedError

    def ask(self, path, request, context, held):
        if self.replaces(path, request):
            return self.carry_out(path, request)
        future = self.start(path, request)
        if not held:  # a caller who leaves early takes his call along
            context.add_callback(future.cancel)
        return future.result()

    def call(self, path, request, context):
        with self.lock:
            self.requests[path].append(request)
            held = self.holds.pop(path, None)
        try:
            answer = self.ask(path, request, context, held)
        except grpc.FutureCancelledError:
            return context.abort(grpc.StatusCode.CANCELLED, "context canceled")
        except grpc.RpcError as error:
            return context.abort(error.code(), error.details())
        if held:
            held.stay(context)
        return answer
