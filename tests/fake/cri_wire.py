# SPDX-License-Identifier: Apache-2.0
"""Protobuf's wire format by hand, and the CRI and containerd messages that the tests need.

By hand, because the tests must be able to send what no generated class would: unknown fields,
truncated messages, strings that are no UTF-8. Field numbers are those of k8s.io/cri-api and of
containerd's api/services.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are no protobuf message."""


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(*fields):
    """Fields as (number, value) in that order. None leaves a field out; an int or bool is a varint,
    a str or bytes (an encoded message, too) is length-delimited, a list is a repeated field, a dict a
    map of strings. Empty values are written: presence is the caller's business."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number, value):
    if value is None:
        return b""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, (bytes, bytearray)):
        return varint(number << 3 | BYTES) + varint(len(value)) + bytes(value)
    if isinstance(value, dict):
        value = [encode((1, key), (2, text)) for key, text in value.items()]
    return b"".join(_field(number, item) for item in value)


class Message(dict):
    """Field number -> list of what was on the wire (int or bytes), in order."""

    def raw(self, number, default=b""):
        return self[number][-1] if number in self else default

    def text(self, number):
        return self.raw(number).decode()

    def number(self, number):
        return self.raw(number, 0)

    def message(self, number):
        """The sub-message, or None when it is not there."""
        return decode(self.raw(number)) if number in self else None

    def messages(self, number):
        return [decode(item) for item in self.get(number, [])]

    def texts(self, number):
        return [item.decode() for item in self.get(number, [])]

    def text_map(self, number):
        return {entry.text(1): entry.text(2) for entry in self.messages(number)}


def decode(data):
    message, at = Message(), 0
    while at < len(data):
        key, at = _read_varint(data, at)
        value, at = _read_value(data, at, key & 7)
        message.setdefault(key >> 3, []).append(value)
    return message


def _read_varint(data, at):
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise WireError(f"varint does not end at byte {at}")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _read_value(data, at, kind):
    if kind == VARINT:
        return _read_varint(data, at)
    if kind == BYTES:
        size, at = _read_varint(data, at)
    elif kind in (FIXED32, FIXED64):
        size = 4 if kind == FIXED32 else 8
    else:
        raise WireError(f"wire type {kind} at byte {at}")
    if at + size > len(data):
        raise WireError(f"{size} bytes promised at byte {at}, {len(data) - at} there")
    return bytes(data[at:at + size]), at + size


# --- CRI: runtime.v1 and runtime.v1alpha2 have the same numbers --------------------------------

AUTH_FIELDS = {
    "username": 1, "password": 2, "auth": 3, "server_address": 4, "identity_token": 5, "registry_token": 6,
}


def cri_method(version, name, service="ImageService"):
    return f"/runtime.{version}.{service}/{name}"


def image_spec(image, annotations=None, user_specified_image=None, runtime_handler=None):
    return encode((1, image), (2, annotations), (18, user_specified_image), (19, runtime_handler))


def auth_config(auth):
    """A dict by CRI's field names; None for no AuthConfig at all."""
    if auth is None:
        return None
    return encode(*((AUTH_FIELDS[name], value) for name, value in auth.items()))


def sandbox_config(name, uid, namespace="default", annotations=None, labels=None):
    metadata = encode((1, name), (2, uid), (3, namespace))
    return encode((1, metadata), (2, f"{name}-host"), (3, f"/var/log/pods/{uid}"), (6, labels), (7, annotations))


def pull_image_request(spec, auth=None, sandbox=None):
    return encode((1, spec), (2, auth_config(auth)), (3, sandbox))


def image_status_request(image, verbose=False):
    return encode((1, image_spec(image)), (2, verbose or None))


def cri_image(message):
    """A CRI Image as a dict."""
    return {
        "id": message.text(1), "repo_tags": message.texts(2), "repo_digests": message.texts(3),
        "size": message.number(4), "pinned": bool(message.number(8)),
    }


# --- containerd.services.images.v1 --------------------------------------------------------------

def images_method(name):
    return f"/containerd.services.images.v1.Images/{name}"


def store_image(message):
    """A containerd Image as a dict."""
    target = message.message(3) or Message()
    return {"name": message.text(1), "labels": message.text_map(2), "digest": target.text(2)}
