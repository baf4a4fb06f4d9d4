# SPDX-License-Identifier: Apache-2.0
"""Protobuf's wire format by hand: enough to write and read the few messages of the tests, and to
send what no generated code would send.

    encode([(1, "name"), (3, [(1, "type"), (2, 7)]), (2, {"key": "value"})])
    decode(data)[3][0]     the first value of field 3: bytes, or int for a varint
"""


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number, value):
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, dict):  # map<string, string>
        return b"".join(_field(number, [(1, key), (2, item)]) for key, item in value.items())
    if isinstance(value, list):
        value = encode(value)
    elif isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def encode(fields):
    """fields: (number, value); value: int, str, bytes, list (a message), dict (a map), or None (left out)."""
    return b"".join(_field(number, value) for number, value in fields if value is not None)


def _read_varint(data, at):
    number, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return number, at


class Message(dict):
    """Field number -> list of raw values, with readers for the usual cases."""

    def text(self, number):
        return self[number][-1].decode() if number in self else ""

    def number(self, number):
        return self[number][-1] if number in self else 0

    def message(self, number):
        return decode(self[number][-1]) if number in self else None

    def messages(self, number):
        return [decode(value) for value in self.get(number, [])]

    def texts(self, number):
        return [value.decode() for value in self.get(number, [])]

    def map(self, number):
        return {entry.text(1): entry.text(2) for entry in self.messages(number)}


def decode(data):
    out, at = Message(), 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = _read_varint(data, at)
            value, at = data[at:at + size], at + size
        out.setdefault(key >> 3, []).append(value)
    return out
