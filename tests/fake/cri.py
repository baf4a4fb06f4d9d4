#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A CRI backend whose every answer is scripted by the caller, bytes in and bytes out.

    python3 -m tests.fake.cri SOCKET [IMAGES]

Methods, by the last part of their name under /fake/; requests are JSON where not said otherwise:

    Payload   the request's bytes come back
    Size      {"size": n}: n bytes come back
    Seen      what arrived: metadata, seconds left. x-* metadata comes back, as headers and as trailers
    Status    {"code", "message", "details": hex}: ends so
    Hold      {"key"}: waits for Control's release of that key, then answers the key
    Count     server stream: {"count", "size", "code", "message"}
    Drip      server stream: {"key"}: headers at once, a message for each release, ends at "finish"
    Sum       client stream: how many messages of which sizes came
    Chat      both ways: each message comes back as soon as it came; "finish" ends with ABORTED
    Control   {"release": key} | {"finish": key} | {}: answers what happened to each key so far

GetContainerEvents is a Drip. ListImages of both CRI versions answers IMAGES images, Version and ImageFsInfo something plausible;
every other method is UNIMPLEMENTED, as is the rule in gRPC."""
import asyncio
import collections
import inspect
import json
import os
import sys

import grpc
import grpc.aio

from tests.integration.harness.wire import encode

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.max_metadata_size", 1 << 20), ("grpc.so_reuseport", 0)]
DETAILS = "grpc-status-details-bin"


def plain(metadata):
    """Metadata as JSON: binary values in hex."""
    return [[key, value.hex() if isinstance(value, bytes) else value] for key, value in metadata]


def image(number):
    """One Image of about 380 bytes, as a node has them."""
    digest = f"{number:064x}"
    return encode([(1, f"sha256:{digest}"), (2, f"registry.example/team-{number % 17}/service-{number}:v1.{number}"),
                   (3, f"registry.example/team-{number % 17}/service-{number}@sha256:{digest}"), (4, 31415926 + number),
                   (6, "65532"), (7, [(1, f"registry.example/team-{number % 17}/service-{number}:v1.{number}"),
                                      (18, "")])])


class Backend(grpc.GenericRpcHandler):
    def __init__(self, images):
        self.events = collections.defaultdict(list)      # what happened, by key
        self.releases = collections.defaultdict(asyncio.Queue)
        self.fixed = {"Version": encode([(1, "0.1.0"), (2, "fake"), (3, "1.0"), (4, "v1")]),
                      "ImageFsInfo": encode([(1, [(1, 1), (2, [(1, "/var/lib/fake")])])]),
                      "ListImages": b"".join(encode([(1, image(number))]) for number in range(images))}

    def service(self, details):
        folder, name = details.method.rpartition("/")[::2]
        if folder.startswith(("/runtime.v1.", "/runtime.v1alpha2.")) and name in self.fixed:
            answer = self.fixed[name]

            async def fixed(_request, _context):
                return answer
            return grpc.unary_unary_rpc_method_handler(fixed)
        if name == "GetContainerEvents":
            return grpc.unary_stream_rpc_method_handler(self.told(self.drip))
        if folder != "/fake":
            return None
        kinds = {grpc.unary_unary_rpc_method_handler: ("payload", "size", "seen", "status", "hold", "control"),
                 grpc.unary_stream_rpc_method_handler: ("count", "drip"),
                 grpc.stream_unary_rpc_method_handler: ("sum",),
                 grpc.stream_stream_rpc_method_handler: ("chat",)}
        for make, names in kinds.items():
            if name.lower() in names:
                return make(self.told(getattr(self, name.lower())))
        return None

    def told(self, method):
        """Notes the start and the end of each call that names itself by x-key metadata."""
        def arrived(context):
            key = dict(context.invocation_metadata()).get("x-key")
            self.note(key, "arrived")
            return key

        async def stream(request, context):
            key = arrived(context)
            try:
                async for item in method(request, context):
                    yield item
            except (asyncio.CancelledError, GeneratorExit):  # the latter if gRPC was just sending an item
                self.note(key, "cancelled")
                raise
            self.note(key, "done")

        async def single(request, context):
            key = arrived(context)
            try:
                answer = await method(request, context)
            except asyncio.CancelledError:
                self.note(key, "cancelled")
                raise
            self.note(key, "done")
            return answer
        return stream if inspect.isasyncgenfunction(method) else single

    def note(self, key, what):
        if key is not None:
            self.events[key].append(what)

    async def payload(self, request, _context):
        return request

    async def size(self, request, _context):
        return b"\xa5" * json.loads(request)["size"]

    async def seen(self, request, context):
        metadata = context.invocation_metadata()
        back = tuple((key, value) for key, value in metadata if key.startswith("x-"))
        await context.send_initial_metadata(back)
        context.set_trailing_metadata(back)
        return json.dumps({"metadata": plain(metadata), "left_s": context.time_remaining(),
                           "size": len(request)}).encode()

    async def status(self, request, context):
        wanted = json.loads(request)
        code = next(code for code in grpc.StatusCode if code.value[0] == wanted["code"])
        trailers = ((DETAILS, bytes.fromhex(wanted["details"])),) if wanted.get("details") else ()
        await context.abort(code, wanted["message"], trailers)

    async def hold(self, request, _context):
        key = json.loads(request)["key"]
        await self.releases[key].get()
        return key.encode()

    async def count(self, request, context):
        wanted = json.loads(request)
        for number in range(wanted["count"]):
            yield number.to_bytes(4, "big") + b"\0" * wanted.get("size", 0)
        if wanted.get("code"):
            code = next(code for code in grpc.StatusCode if code.value[0] == wanted["code"])
            await context.abort(code, wanted["message"])

    async def drip(self, request, context):
        key = json.loads(request)["key"]
        await context.send_initial_metadata((("x-early", "yes"),))
        number = 0
        while await self.releases[key].get() != "finish":
            yield str(number).encode()
            number += 1

    async def sum(self, requests, _context):
        sizes = [len(request) async for request in requests]
        return json.dumps(sizes).encode()

    async def chat(self, requests, context):
        async for request in requests:
            if request == b"finish":
                await context.abort(grpc.StatusCode.ABORTED, "enough said")
            yield request

    async def control(self, request, _context):
        wanted = json.loads(request)
        if "release" in wanted:
            for _ in range(wanted.get("times", 1)):
                self.releases[wanted["release"]].put_nowait("go")
        if "finish" in wanted:
            self.releases[wanted["finish"]].put_nowait("finish")
        return json.dumps(self.events).encode()


async def main(socket, images):
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Backend(images),))
    if os.path.exists(socket):
        os.unlink(socket)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
