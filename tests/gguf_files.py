"""Reads and writes GGUF files (version 3) with the standard library alone: what the tests of adapters and encoders
make their models with. A tensor is (shape, type, bytes), its shape as ggml counts: the entries of a row first."""

import array
import struct

F32, F16, Q8_0, I32 = 0, 1, 8, 26
BLOCK = {F32: (1, 4), F16: (1, 2), Q8_0: (32, 34), I32: (1, 4)}  # entries and bytes of a block
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, FLOAT64 = 4, 5, 6, 7, 8, 9, 12
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?", 10: "Q", 11: "q",
           FLOAT64: "d"}
ALIGNMENT = 32


def floats(shape, values):
    """A tensor of type F32."""
    return list(shape), F32, array.array("f", values).tobytes()


def values_of(tensor):
    """Numbers of a tensor of type F32."""
    shape, kind, data = tensor
    assert kind == F32, kind
    return array.array("f", data).tolist()


def read(path):
    """(values, tensors): key -> (type, value), an array's value being (type of the entries, list)."""
    with open(path, "rb") as file:
        data = file.read()
    at = 8

    def scalar(code):
        nonlocal at
        (value,) = struct.unpack_from("<" + code, data, at)
        at += struct.calcsize("<" + code)
        return value

    def text():
        nonlocal at
        length = scalar("Q")
        at += length
        return data[at - length:at].decode("utf-8")

    def value(kind):
        if kind == STRING:
            return text()
        if kind == ARRAY:
            inner, count = scalar("I"), scalar("Q")
            return inner, [value(inner) for _ in range(count)]
        return scalar(SCALARS[kind])

    tensor_count, value_count = scalar("Q"), scalar("Q")
    values = {}
    for _ in range(value_count):
        key = text()
        kind = scalar("I")
        values[key] = (kind, value(kind))
    headers = []
    for _ in range(tensor_count):
        name = text()
        shape = [scalar("Q") for _ in range(scalar("I"))]
        headers.append((name, shape, scalar("I"), scalar("Q")))
    start = -(-at // ALIGNMENT) * ALIGNMENT
    tensors = {}
    for name, shape, kind, offset in headers:
        entries, size = BLOCK[kind]
        count = 1
        for extent in shape:
            count *= extent
        begin = start + offset
        tensors[name] = (shape, kind, data[begin:begin + count // entries * size])
    return values, tensors


def write(path, values, tensors):
    """The reverse of read()."""
    def text(string):
        raw = string.encode("utf-8")
        return struct.pack("<Q", len(raw)) + raw

    def value(kind, content):
        if kind == STRING:
            return text(content)
        if kind == ARRAY:
            inner, entries = content
            return struct.pack("<IQ", inner, len(entries)) + b"".join(value(inner, entry) for entry in entries)
        return struct.pack("<" + SCALARS[kind], content)

    def padded(raw):
        return raw + b"\0" * (-len(raw) % ALIGNMENT)

    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, (kind, content) in values.items():
        header += text(key) + struct.pack("<I", kind) + value(kind, content)
    offset = 0
    body = b""
    for name, (shape, kind, data) in tensors.items():
        header += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        header += struct.pack("<IQ", kind, offset)
        body += padded(data)
        offset = len(body)
    with open(path, "wb") as file:
        file.write(padded(header) + body)
