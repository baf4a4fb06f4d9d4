# SPDX-License-Identifier: Apache-2.0
"""A broken order: stands in front of containerd's socket and lets the writes to one image name
overtake each other.

Every second write of that name is answered at once and carried out only after the next one. A daemon
behind it is a daemon that writes its aliases without any order. The history check must notice."""
import concurrent.futures
import threading

import grpc

from tests.integration.harness.cri import OPTIONS
from tests.integration.harness.wire import decode, encode

WRITES = ("/containerd.services.images.v1.Images/Update", "/containerd.services.images.v1.Images/Create")


class UnorderedStore(grpc.GenericRpcHandler):
    def __init__(self, socket, containerd_socket, name):
        self.socket, self.name = socket, name
        self.lock, self.kept, self.overtaken = threading.Lock(), None, 0
        self.backend = grpc.insecure_channel(f"unix://{containerd_socket}", OPTIONS)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), handlers=[self], options=OPTIONS)
        self.server.add_insecure_port(f"unix://{socket}")

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()
        self.backend.close()

    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self.call(details.method, request, context))

    def forward(self, path, request):
        return self.backend.unary_unary(path)(request, timeout=20, metadata=[("containerd-namespace", "k8s.io")])

    def call(self, path, request, context):
        try:
            if path in WRITES and decode(request).message(1).text(1) == self.name:
                return self.write(path, request)
            return self.forward(path, request)
        except grpc.RpcError as error:
            return context.abort(error.code(), error.details())

    def write(self, path, request):
        with self.lock:
            if self.kept is None and path == WRITES[0]:  # a Create must come first to have effect
                self.kept = (path, request)
                return encode([(1, decode(request)[1][0])])
            kept, self.kept = self.kept, None
        answer = self.forward(path, request)
        if kept:
            self.overtaken += 1
            self.forward(*kept)
        return answer
