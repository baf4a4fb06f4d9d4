# SPDX-License-Identifier: Apache-2.0
"""A broken order: stands in front of containerd's socket and lets the writes to one image name
overtake each other.

Every second write of that name is answered at once and carried out only after the next one. A daemon
behind it is a daemon that writes its aliases without any order. The history check must notice."""
import threading

from tests.fake.grpc_gate import GrpcGate
from tests.integration.harness.wire import decode, encode

UPDATE, CREATE = (f"/containerd.services.images.v1.Images/{name}" for name in ("Update", "Create"))


class UnorderedStore(GrpcGate):
    def __init__(self, socket, containerd_socket, name):
        super().__init__(socket, containerd_socket)
        self.name, self.writing, self.kept, self.overtaken = name, threading.Lock(), None, 0

    def replaces(self, path, request):
        return path in (UPDATE, CREATE) and decode(request).message(1).text(1) == self.name

    def carry_out(self, path, request):
        with self.writing:
            if self.kept is None and path == UPDATE:  # a Create must come first to have effect
                self.kept = (path, request)
                return encode([(1, decode(request)[1][0])])
            kept, self.kept = self.kept, None
        answer = self.forward(path, request)
        if kept:
            self.overtaken += 1
            self.forward(*kept)
        return answer
