#!/usr/bin/env python3
"""A LoRA adapter beside a model gives the features of the model with the adapter's product added to its weights.
Usage: lora_test.py BINARY MODEL (F32 weights)"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import load_file

U32, F32, STRING, ARRAY = 4, 6, 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
RANK, ALPHA = 4, 6.0


class Gguf:
    """As much of the format as a model of F32 tensors needs."""

    def __init__(self, path):
        self.bytes = bytearray(pathlib.Path(path).read_bytes())
        tensors, entries = struct.unpack_from("<QQ", self.bytes, 8)
        at = 24
        for _ in range(entries):
            at = self.skip(STRING, at)
            at = self.skip(struct.unpack_from("<I", self.bytes, at)[0], at + 4)
        found = {}
        for _ in range(tensors):
            size = struct.unpack_from("<Q", self.bytes, at)[0]
            name = self.bytes[at + 8:at + 8 + size].decode()
            at += 8 + size
            dimensions = struct.unpack_from("<I", self.bytes, at)[0]
            shape = struct.unpack_from(f"<{dimensions}Q", self.bytes, at + 4)
            at += 4 + 8 * dimensions
            kind, offset = struct.unpack_from("<IQ", self.bytes, at)
            assert kind == 0, name
            at += 12
            found[name] = (shape[::-1], offset)
        self.start = at + -at % 32
        self.tensors = found

    def skip(self, kind, at):
        if kind == STRING:
            return at + 8 + struct.unpack_from("<Q", self.bytes, at)[0]
        if kind != ARRAY:
            return at + SIZES[kind]
        inner, count = struct.unpack_from("<IQ", self.bytes, at)
        at += 12
        for _ in range(count):
            at = self.skip(inner, at)
        return at

    def view(self, name):
        shape, offset = self.tensors[name]
        return numpy.frombuffer(self.bytes, numpy.float32, int(numpy.prod(shape)), self.start + offset).reshape(shape)


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def write_adapter(path, pairs, architecture="llama", alpha=ALPHA):
    entries = [text(key) + struct.pack("<I", STRING) + text(value) for key, value in
               {"general.architecture": architecture, "general.type": "adapter", "adapter.type": "lora"}.items()]
    entries.append(text("adapter.lora.alpha") + struct.pack("<If", F32, alpha))
    infos, data = b"", b""
    for name, (a, b) in pairs.items():
        for suffix, matrix in ((".lora_a", a), (".lora_b", b)):
            infos += text(name + suffix) + struct.pack("<I2QIQ", 2, *reversed(matrix.shape), 0, len(data))
            data += matrix.astype(numpy.float32).tobytes()
            data += b"\0" * (-len(data) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2 * len(pairs), len(entries)) + b"".join(entries) + infos
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def main():
    binary, model = sys.argv[1], pathlib.Path(sys.argv[2])
    random = numpy.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = folder / "pairs.jsonl"
        data.write_text("".join(json.dumps({"prompt": "the hen", "chosen": f"ran {'and ran ' * i}", "rejected": "sand"}) + "\n"
                                for i in range(1, 6)))
        merged = Gguf(model)
        pairs = {}
        for name in ("blk.0.attn_q.weight", "blk.0.ffn_down.weight", "blk.1.attn_v.weight"):
            rows, columns = merged.tensors[name][0]
            a = random.normal(size=(RANK, columns)).astype(numpy.float32)
            b = random.normal(size=(rows, RANK)).astype(numpy.float32) * 0.1
            pairs[name] = (a, b)
            merged.view(name)[:] += 0.5 * ALPHA / RANK * (b.astype(numpy.float64) @ a)
        (folder / "merged.gguf").write_bytes(merged.bytes)
        write_adapter(folder / "adapter.gguf", pairs)

        def extract(out, *arguments):
            done = run(binary, "extract", "--data", data, "--out", folder / out, "--quiet", *arguments)
            assert done.returncode == 0, done.stderr
            return load_file(folder / out)

        adapter = ["--model", model, "--lora", folder / "adapter.gguf", "--lora-scale"]
        beside = extract("beside", *adapter, 0.5)
        inside = extract("inside", "--model", folder / "merged.gguf")
        plain = extract("plain", "--model", model)
        nothing = extract("nothing", *adapter, 0)
        for column in ("chosen", "rejected"):
            norm = numpy.linalg.norm(inside[column], axis=1)
            # Two orders of the same sums in single precision, over two layers: rounding(2) of lm_test.cpp.
            error = numpy.linalg.norm(beside[column] - inside[column], axis=1) / norm
            assert error.max() < 3e-5, error
            moved = numpy.linalg.norm(beside[column] - plain[column], axis=1) / norm
            assert moved.min() > 1e-2, moved
            assert numpy.allclose(nothing[column], plain[column], atol=1e-5)

        # The adapter and its scale are part of what a file was made from.
        for scale in (0.25, 1):
            other = run(binary, "extract", "--data", data, "--out", folder / "beside", *adapter, scale)
            assert other.returncode == 2 and "backbone" in other.stderr, other.stderr

        def refused(arguments, *words):
            done = run(binary, "extract", "--data", data, "--out", folder / "none", *arguments)
            assert done.returncode == 2 and all(word in done.stderr for word in words), (done.returncode, done.stderr)

        refused(["--model", model, "--lora", model], "no LoRA adapter")
        write_adapter(folder / "other.gguf", pairs, architecture="qwen2")
        refused(["--model", model, "--lora", folder / "other.gguf"], "qwen2")
        name = "blk.0.attn_q.weight"
        write_adapter(folder / "shape.gguf", {name: (pairs[name][0][:, :-1], pairs[name][1])})
        refused(["--model", model, "--lora", folder / "shape.gguf"], "shape.gguf")
        whole = (folder / "adapter.gguf").read_bytes()
        for size in (10, 100, 300, len(whole) - 64):
            (folder / "cut.gguf").write_bytes(whole[:size])
            refused(["--model", model, "--lora", folder / "cut.gguf"], "cut.gguf")
        refused(["--model", model, "--lora", folder / "missing.gguf"], "missing.gguf")
    print("adapter beside = adapter inside")


main()
