#!/usr/bin/env python3
"""Quantised weights, from the outside: models of Q8_0 and of the mixture of Q4_K and Q6_K that is called Q4_K_M, made of
random blocks, give the features of a model with the same weights written out in F32, and generate. The blocks are
decoded here, by the formats' definitions. Usage: quantised_test.py BINARY"""

import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import gguf_files as gguf  # noqa: E402
from lora_test import MODEL, read_safetensors, write_pairs  # noqa: E402

BINARY = ""
Q4_K, Q6_K = 12, 14
WIDTH, FORWARD = 256, 512
SHAPES = {"attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH, WIDTH), "attn_v": (WIDTH, WIDTH), "attn_output": (WIDTH, WIDTH),
          "ffn_gate": (WIDTH, FORWARD), "ffn_up": (WIDTH, FORWARD), "ffn_down": (FORWARD, WIDTH)}


def half(value):
    """The bytes of a half-precision number, and the number."""
    raw = struct.pack("<e", value)
    return raw, struct.unpack("<e", raw)[0]


def q8_0(rng, size):
    """32 numbers d q with q of 8 bits."""
    raw, d = half(size / 73)  # the root mean square of q is 73.6
    q = [rng.randint(-127, 127) for _ in range(32)]
    return raw + struct.pack("32b", *q), [d * value for value in q]


def q4_k(rng, size):
    """256 numbers in eight groups: d scale q - dmin minimum, q of 4 bits, scale and minimum of 6."""
    raw_d, d = half(size / 150)
    raw_min, dmin = half(7.5 * d)
    scales = [rng.randint(16, 48) for _ in range(8)]
    minima = scales[:]  # so that the groups have no mean
    packed = bytearray(12)
    for j in range(4):
        packed[j] = scales[j] | (scales[j + 4] >> 4) << 6
        packed[j + 4] = minima[j] | (minima[j + 4] >> 4) << 6
        packed[j + 8] = (scales[j + 4] & 15) | (minima[j + 4] & 15) << 4
    q = [rng.randint(0, 15) for _ in range(256)]
    nibbles = bytes(q[64 * (i // 32) + i % 32] | q[64 * (i // 32) + 32 + i % 32] << 4 for i in range(128))
    return raw_d + raw_min + bytes(packed) + nibbles, [
        d * scales[i // 32] * value - dmin * minima[i // 32] for i, value in enumerate(q)]


def q6_k(rng, size):
    """256 numbers in sixteen groups: d scale (q - 32), q of 6 bits, scale of 8."""
    raw_d, d = half(size / 1000)
    scales = [rng.choice((-1, 1)) * rng.randint(30, 80) for _ in range(16)]
    q = [rng.randint(0, 63) for _ in range(256)]
    low, high = bytearray(128), bytearray(64)
    for i, value in enumerate(q):
        part, rest = divmod(i, 128)
        quarter, at = divmod(rest, 32)
        low[64 * part + at + 32 * (quarter % 2)] |= (value & 15) << (4 * (quarter // 2))
        high[32 * part + at] |= (value >> 4) << (2 * quarter)
    return bytes(low) + bytes(high) + struct.pack("16b", *scales) + raw_d, [
        d * scales[i // 16] * (value - 32) for i, value in enumerate(q)]


FORMATS = {gguf.Q8_0: (q8_0, 32), Q4_K: (q4_k, 256), Q6_K: (q6_k, 256)}


def matrix(rng, shape, kind):
    """A random matrix of blocks, and the same of F32."""
    make, count = FORMATS[kind]
    blocks = [make(rng, 1 / math.sqrt(shape[0])) for _ in range(shape[0] * shape[1] // count)]
    return ((list(shape), kind, b"".join(raw for raw, _ in blocks)),
            gguf.floats(shape, [value for _, values in blocks for value in values]))


def write_models(folder, kinds, file_type):
    """quantised.gguf, and plain.gguf with the same weights: two layers under the vocabulary of the tiny model."""
    values, tiny = gguf.read(MODEL)
    rng = random.Random(file_type)
    tokens = tiny["token_embd.weight"][0][1]
    values = values | {"llama.embedding_length": (gguf.UINT32, WIDTH), "llama.feed_forward_length": (gguf.UINT32, FORWARD),
                       "llama.attention.head_count": (gguf.UINT32, 4), "llama.attention.head_count_kv": (gguf.UINT32, 4),
                       "llama.rope.dimension_count": (gguf.UINT32, WIDTH // 4), "llama.block_count": (gguf.UINT32, 2)}
    common = {"token_embd.weight": gguf.floats((WIDTH, tokens), [rng.gauss(0, 0.05) for _ in range(WIDTH * tokens)]),
              "output_norm.weight": gguf.floats((WIDTH,), [1.0] * WIDTH)}
    quantised, plain = dict(common), dict(common)
    for layer in range(2):
        for norm in ("attn_norm", "ffn_norm"):
            name = f"blk.{layer}.{norm}.weight"
            quantised[name] = plain[name] = gguf.floats((WIDTH,), [1.0] * WIDTH)
        for name, shape in SHAPES.items():
            key = f"blk.{layer}.{name}.weight"
            quantised[key], plain[key] = matrix(rng, shape, kinds(name))
    gguf.write(os.path.join(folder, "quantised.gguf"), values | {"general.file_type": (gguf.UINT32, file_type)}, quantised)
    gguf.write(os.path.join(folder, "plain.gguf"), values | {"general.file_type": (gguf.UINT32, 0)}, plain)


def has_our_kernels(set_of_instructions="avx2"):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        words = file.read().split()
    return set_of_instructions in words and "fma" in words


class Quantised(unittest.TestCase):
    def check(self, kinds, file_type, tolerance):
        with tempfile.TemporaryDirectory() as folder:
            write_models(folder, kinds, file_type)
            write_pairs(os.path.join(folder, "pairs.jsonl"), 12)
            found = {}
            for model in ("quantised", "plain"):
                done = subprocess.run([BINARY, "extract", "--model", model + ".gguf", "--data", "pairs.jsonl", "--out", model,
                                       "--quiet"], cwd=folder, capture_output=True, encoding="utf-8", check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                tensors = read_safetensors(os.path.join(folder, model))[1]
                found[model] = tensors["chosen"] + tensors["rejected"]
            error = math.dist(found["quantised"], found["plain"]) / math.hypot(*found["plain"])
            self.assertLessEqual(error, tolerance)
            # One row at a time, by other kernels than the pairs above.
            replies = []
            for model in ("quantised", "plain"):
                done = subprocess.run([BINARY, "generate", "--model", model + ".gguf", "--prompt", "the", "--temperature", "0",
                                       "--max-tokens", "8", "--quiet"], cwd=folder, capture_output=True, encoding="utf-8",
                                      check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                replies.append(json.loads(done.stdout.splitlines()[0]))
            self.assertLess(replies[0]["log_probability"], 0)
            return replies

    def test_q8_0(self):
        # Our kernels decode the weights and round nothing; ggml's round the activations to 8 bits, as below.
        quantised, plain = self.check(lambda name: gguf.Q8_0, 7, 1e-5 if has_our_kernels() else 0.05)
        # Of few rows too where registers are wide; elsewhere ggml's products of 8 bits are faster, and theirs are the
        # rounded ones: 0.7 % of noise in logits of size one, over eight tokens.
        if has_our_kernels("avx512f"):
            self.assertEqual(quantised["text"], plain["text"])
        delta = 1e-4 if has_our_kernels("avx512f") else 0.1
        if quantised["text"] == plain["text"]:
            self.assertAlmostEqual(quantised["log_probability"], plain["log_probability"], delta=delta)

    def test_q4_k_m(self):
        # ggml rounds activations to 8 bits: steps of a 127th of a block's largest, which is some three standard
        # deviations, so 0.7 % of noise in every product, and seven products in each of two layers.
        self.check(lambda name: Q6_K if name in ("attn_v", "ffn_down") else Q4_K, 15, 0.05)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
