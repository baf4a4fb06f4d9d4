# SPDX-License-Identifier: Apache-2.0
"""Raw gRPC calls over a Unix socket: CRI's image service, and any other method by name."""
import collections

import grpc

from .wire import decode, encode

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.max_metadata_size", 1 << 20), ("grpc.enable_http_proxy", 0),
           ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500),
           ("grpc.use_local_subchannel_pool", 1)]  # a new channel waits for nobody's back-off

Image = collections.namedtuple("Image", "id tags digests size pinned")


def _image(message):
    return Image(message.text(1), message.texts(2), message.texts(3), message.number(4), bool(message.number(8)))


def auth_config(username=None, password=None, auth=None, server_address=None, identity_token=None,
                registry_token=None):
    """The six fields of AuthConfig; what is None is not sent."""
    return [(1, username), (2, password), (3, auth), (4, server_address), (5, identity_token), (6, registry_token)]


class Cri:
    """A client of one CRI socket. Failed calls raise grpc.RpcError: code(), details()."""

    def __init__(self, socket, version="v1", authority=None, timeout_s=60):
        options = OPTIONS + ([("grpc.default_authority", authority)] if authority else [])
        self.channel = grpc.insecure_channel(f"unix://{socket}", options)
        self.version, self.timeout_s = version, timeout_s

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def method(self, path, stream=False):
        """A callable for any method, bytes in and bytes out; .future() of it can be cancelled."""
        make = self.channel.unary_stream if stream else self.channel.unary_unary
        return make(path, request_serializer=None, response_deserializer=None)

    def call(self, path, request=b"", metadata=None, timeout_s=None):
        return self.method(path)(request, timeout=timeout_s or self.timeout_s, metadata=metadata)

    def _images(self, name):
        return f"/runtime.{self.version}.ImageService/{name}"

    @staticmethod
    def pull_request(image, auth=None, annotations=None, sandbox=None, extra=()):
        """PullImageRequest. auth: auth_config(...); sandbox: encoded PodSandboxConfig; extra: more fields."""
        return encode([(1, [(1, image), (2, annotations or {})]), (2, auth), (3, sandbox), *extra])

    def pull(self, image, auth=None, **more):
        """PullImage; the image_ref."""
        return decode(self.call(self._images("PullImage"), self.pull_request(image, auth, **more))).text(1)

    def pull_future(self, image, auth=None, **more):
        """PullImage under way: .result() gives the answer's bytes, .cancel() cancels."""
        return self.method(self._images("PullImage")).future(self.pull_request(image, auth, **more),
                                                             timeout=self.timeout_s)

    def image_status(self, image):
        """ImageStatus: an Image, or None when there is none."""
        found = decode(self.call(self._images("ImageStatus"), encode([(1, [(1, image)])]))).message(1)
        return _image(found) if found is not None else None

    def list_images(self):
        return [_image(message) for message in decode(self.call(self._images("ListImages"))).messages(1)]

    def remove_image(self, image):
        self.call(self._images("RemoveImage"), encode([(1, [(1, image)])]))

    def image_fs_info(self):
        return decode(self.call(self._images("ImageFsInfo")))
