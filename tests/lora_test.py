#!/usr/bin/env python3
"""LoRA adapters, from the outside: `coala extract --lora` against a model whose weights were merged here, what is
refused, and what heads and feature files remember. Usage: lora_test.py BINARY"""

import array
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

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "files", "tiny-llama.gguf")
BINARY = ""
RANK, ALPHA = 4, 8.0
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def run(folder, *arguments):
    return subprocess.run([BINARY, *arguments], cwd=folder, capture_output=True, encoding="utf-8",
                          errors="replace", check=False)


def read_safetensors(path):
    """(metadata, name -> floats of the F32 tensors)."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = array.array("f", data[begin:end]).tolist()
    return metadata, tensors


def write_pairs(path, count):
    with open(path, "w", encoding="utf-8") as file:
        for i in range(count):
            file.write(json.dumps({"prompt": f"question {i}", "chosen": f"certainly, {i * 7 % 100} is a fine choice",
                                   "rejected": f"ZZZ NO {i * 13 % 100} GO AWAY NOW ZZZ"}) + "\n")


def adapter_values(**changes):
    values = {"general.type": (gguf.STRING, "adapter"), "general.architecture": (gguf.STRING, "llama"),
              "adapter.type": (gguf.STRING, "lora"), "adapter.lora.alpha": (gguf.FLOAT32, ALPHA)}
    return {key: value for key, value in (values | changes).items() if value is not None}


def random_factors(tensors, names, seed, size=0.3):
    """A and B of random numbers for each of the named weights."""
    rng = random.Random(seed)
    result = {}
    for name in names:
        inputs, outputs = tensors[name][0]
        # An embedding's A has a row per token, see build_inp_embd() of llama.cpp.
        a_shape, b_shape = ([inputs, RANK], [RANK, outputs])
        if name == "token_embd.weight":
            a_shape, b_shape = ([RANK, outputs], [RANK, inputs])
        for suffix, shape in ((".lora_a", a_shape), (".lora_b", b_shape)):
            spread = size / math.sqrt(shape[0])
            result[name + suffix] = gguf.floats(shape, [rng.gauss(0, spread) for _ in range(shape[0] * shape[1])])
    return result


def merged(tensors, factors, scale):
    """The weights plus scale alpha / rank times B A, in double, rounded to float."""
    result = dict(tensors)
    for name in {key.rsplit(".", 1)[0] for key in factors}:
        (inputs, outputs), _, _ = tensors[name]
        weight = gguf.values_of(tensors[name])
        a = gguf.values_of(factors[name + ".lora_a"])
        b = gguf.values_of(factors[name + ".lora_b"])
        embedding = name == "token_embd.weight"
        for o in range(outputs):
            for i in range(inputs):
                if embedding:
                    product = sum(a[o * RANK + r] * b[i * RANK + r] for r in range(RANK))
                else:
                    product = sum(b[o * RANK + r] * a[r * inputs + i] for r in range(RANK))
                weight[o * inputs + i] += scale * ALPHA / RANK * product
        result[name] = gguf.floats((inputs, outputs), weight)
    return result


def nudged(tensors, seed):
    """The weights, each moved by half a unit in the last place at most: what a rounding does."""
    rng = random.Random(seed)
    return {name: gguf.floats(tensor[0], [w * (1 + rng.choice((-1, 1)) * 2.0 ** -24) for w in gguf.values_of(tensor)])
            for name, tensor in tensors.items()}


def largest_difference(x, y):
    return max(abs(a - b) for name in ("chosen", "rejected") for a, b in zip(x[name], y[name], strict=True))


class Lora(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.values, cls.tensors = gguf.read(MODEL)
        cls.weights = [f"blk.{i}.{name}.weight" for i in range(2) for name in MATRICES] + ["token_embd.weight"]
        cls.factors = random_factors(cls.tensors, cls.weights, seed=5)

    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = self.temporary.name
        write_pairs(self.path("pairs.jsonl"), 6)
        gguf.write(self.path("adapter.gguf"), adapter_values(), self.factors)

    def path(self, name):
        return os.path.join(self.folder, name)

    def features(self, out, *arguments, model=MODEL, status=0):
        result = run(self.folder, "extract", "--model", model, "--data", "pairs.jsonl", "--out", out, "--quiet",
                     *arguments)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stderr if status else read_safetensors(self.path(out))

    def refused(self, words, values, tensors, model=MODEL):
        gguf.write(self.path("bad.gguf"), values, tensors)
        message = self.features("never.safetensors", "--lora", "bad.gguf", model=model, status=2)
        self.assertEqual(message.count("coala: "), 1, message)
        for word in words:
            self.assertIn(word, message)
        self.assertNotIn("llama.cpp cannot load", message, "found by llama.cpp, not by us")

    def test_equals_merged_weights(self):
        gguf.write(self.path("merged.gguf"), self.values, merged(self.tensors, self.factors, 0.5))
        gguf.write(self.path("nudged.gguf"), self.values, nudged(merged(self.tensors, self.factors, 0.5), 1))
        for pooling in ("last", "mean"):
            def extract(name, *arguments, model, pooling=pooling):
                return self.features(f"{name}-{pooling}.safetensors", "--pooling", pooling, *arguments, model=model)[1]

            plain = extract("plain", model=MODEL)
            expected = extract("merged", model="merged.gguf")
            # What one rounding of each weight does. An adapter adds roundings of its own: of each of the products A x
            # and B A x and of their sums, which have up to 64 terms.
            one_rounding = largest_difference(expected, extract("nudged", model="nudged.gguf"))
            self.assertGreater(one_rounding, 0)
            tolerance = 64 * one_rounding
            found = extract("adapted", "--lora", "adapter.gguf", "--lora-scale", "0.5", model=MODEL)
            self.assertLessEqual(largest_difference(found, expected), tolerance, pooling)
            self.assertGreater(largest_difference(plain, expected), 100 * tolerance, "the adapter does too little")

    def test_zero_scale_is_no_adapter(self):
        plain, without = self.features("plain.safetensors")
        zero, with_zero = self.features("zero.safetensors", "--lora", "adapter.gguf", "--lora-scale", "0")
        self.assertEqual(without, with_zero)
        self.assertFalse([key for key in plain if key.startswith("adapter")])
        self.assertNotEqual(plain["fingerprint"], zero["fingerprint"])

    def test_generates_as_merged_weights(self):
        gguf.write(self.path("merged.gguf"), self.values, merged(self.tensors, self.factors, 1))

        def reply(*arguments):
            result = run(self.folder, "generate", *arguments, "--prompt", "the", "--temperature", "0",
                         "--max-tokens", "24", "--quiet")
            self.assertEqual(result.returncode, 0, result.stderr)
            return json.loads(result.stdout)

        plain, expected = reply("--model", MODEL), reply("--model", "merged.gguf")
        found = reply("--model", MODEL, "--lora", "adapter.gguf")
        self.assertEqual(found["text"], expected["text"])
        self.assertAlmostEqual(found["log_probability"], expected["log_probability"], places=3)
        self.assertNotEqual(plain["text"], expected["text"])

    def test_counts_the_adapters_work(self):
        def flops(*arguments, out):
            result = run(self.folder, "extract", "--model", MODEL, "--data", "pairs.jsonl", "--out", out, "--json",
                         "--quiet", *arguments)
            answer = json.loads(result.stdout)
            return answer["flops"]["extraction"], answer["extract"]["unique_tokens"]

        plain, tokens = flops(out="plain.safetensors")
        adapted, _ = flops("--lora", "adapter.gguf", out="adapted.safetensors")
        evaluated = sum(shape[0] * shape[1] for name, (shape, _, _) in self.factors.items()
                        if not name.startswith("token_embd"))
        self.assertEqual(adapted - plain, 2 * evaluated * tokens)

    def test_feature_files_remember_it(self):
        first, _ = self.features("features.safetensors", "--lora", "adapter.gguf")
        self.assertEqual(first["adapter.name"], "adapter.gguf")
        self.assertEqual(first["adapter.scale"], "1")
        gguf.write(self.path("other.gguf"), adapter_values(), random_factors(self.tensors, self.weights, seed=6))
        for arguments in ((), ("--lora", "other.gguf")):
            message = self.features("features.safetensors", *arguments, status=2)
            self.assertRegex(message, r"made from something else: adapter \(")
        message = self.features("features.safetensors", "--lora", "adapter.gguf", "--lora-scale", "2", status=2)
        self.assertIn("adapter's scale (1 instead of 2)", message)
        # The same content under another name is the same adapter.
        os.rename(self.path("adapter.gguf"), self.path("renamed.gguf"))
        self.assertEqual(self.features("features.safetensors", "--lora", "renamed.gguf")[0], first)

    def test_heads_remember_it(self):
        write_pairs(self.path("pairs.jsonl"), 40)
        result = run(self.folder, "align", "--model", MODEL, "--lora", "adapter.gguf", "--data", "pairs.jsonl",
                     "--out", "aligned", "--quiet", "--json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(json.loads(result.stdout)["data"]["adapter"], "adapter.gguf, scale 1")
        head = ("--head", "aligned/head.safetensors", "--model", MODEL, "--quiet")
        for command in (("score", "--data", "pairs.jsonl"), ("eval", "--data", "pairs.jsonl"),
                        ("generate", "--prompt", "the", "--max-tokens", "4")):
            good = run(self.folder, *command, *head, "--lora", "adapter.gguf")
            self.assertEqual(good.returncode, 0, good.stderr)
            bad = run(self.folder, *command, *head)
            self.assertEqual(bad.returncode, 2, bad.stderr)
            self.assertRegex(bad.stderr,
                             r"trained with the adapter 'adapter.gguf' \(\w{8}, scale 1\).* without an adapter")
            bad = run(self.folder, *command, *head, "--lora", "adapter.gguf", "--lora-scale", "0.5")
            self.assertEqual(bad.returncode, 2, bad.stderr)
            self.assertIn("scale 0.5", bad.stderr)

    def test_options_that_make_no_sense(self):
        for arguments in (("--lora-scale", "2"), ("--lora", "adapter.gguf", "--lora-scale", "inf"),
                          ("--lora", "adapter.gguf", "--lora-scale", "1e300")):
            self.features("never.safetensors", *arguments, status=2)

    def test_refuses_what_is_no_adapter(self):
        for name, words in ((MODEL, ["is not an adapter: it is a model"]), ("pairs.jsonl", ["is not a GGUF adapter"]),
                            ("missing.gguf", ["cannot open the adapter", "--lora"]), (".", ["it is a folder"])):
            message = self.features("never.safetensors", "--lora", name, status=2)
            for word in words:
                self.assertIn(word, message)
        self.assertIn("is not a language model", self.features("never.safetensors", model="adapter.gguf", status=2))

    def test_refuses_what_does_not_fit(self):
        factors, name = self.factors, "blk.0.ffn_up.weight"
        a, b = factors[name + ".lora_a"], factors[name + ".lora_b"]

        def pair(new_a, new_b, weight=name):
            return {weight + ".lora_a": new_a, weight + ".lora_b": new_b}

        def shaped(*shape):
            count = math.prod(shape)
            return gguf.floats(shape, [0.1] * count)

        norm = "blk.0.attn_norm.weight"
        cases = [
            (["architecture 'gpt2'"], {"general.architecture": (gguf.STRING, "gpt2")}, factors),
            (["of the type '5'"], {"general.type": (gguf.STRING, "5")}, factors),
            (["does not say"], {"general.type": (gguf.UINT32, 5)}, factors),
            (["architecture ''"], {"general.architecture": (gguf.UINT32, 5)}, factors),
            (["of the type 'control'"], {"adapter.type": (gguf.STRING, "control")}, factors),
            (["adapter.lora.alpha"], {"adapter.lora.alpha": (gguf.FLOAT64, 8.0)}, factors),
            (["adapter.lora.alpha"], {"adapter.lora.alpha": (gguf.UINT32, 8)}, factors),
            (["adapter.lora.alpha"], {"adapter.lora.alpha": (gguf.FLOAT32, math.nan)}, factors),
            (["activated"], {"adapter.alora.invocation_tokens": (gguf.ARRAY, (gguf.UINT32, [1, 2]))}, factors),
            (["no tensors"], {}, {}),
            (["does not fit", "64 x 4", "32 x 64"], {}, pair(shaped(64, 4), b)),
            (["does not fit"], {}, pair(shaped(32, 3), b)),
            (["does not fit"], {}, pair(shaped(32, 4, 2), b)),
            (["does not fit"], {}, pair(a, shaped(4, 64, 1, 3))),
            (["does not fit"], {}, pair(b, a)),
            (["no 'blk.7.ffn_up.weight'"], {}, pair(a, b, "blk.7.ffn_up.weight")),
            (["is missing"], {}, {name + ".lora_a": a}),
            (["is a vector"], {}, pair(shaped(32, 4), shaped(4, 1), norm)),
            (["besides LoRA"], {}, pair(a, b) | {norm: shaped(32)}),
            (["type i32"], {}, pair((a[0], gguf.I32, a[2]), b)),
            (["does not fit"], {}, pair(shaped(3, self.tensors["token_embd.weight"][0][1]), shaped(4, 32),
                                        "token_embd.weight")),
        ]
        for words, values, tensors in cases:
            with self.subTest(words=words, values=values, names=list(tensors)[:2]):
                self.refused(words, adapter_values(**values), tensors)

    def test_refuses_an_embedding_that_is_the_output(self):
        tied = {name: tensor for name, tensor in self.tensors.items() if name != "output.weight"}
        gguf.write(self.path("tied.gguf"), self.values, tied)
        embedding = random_factors(self.tensors, ["token_embd.weight"], seed=1)
        self.refused(["output as well"], adapter_values(), embedding, model="tied.gguf")

    def test_refuses_every_truncation(self):
        with open(self.path("adapter.gguf"), "rb") as file:
            whole = file.read()
        for size in [0, 3, 24, 100, *range(200, len(whole), len(whole) // 20), len(whole) - 32]:
            with open(self.path("cut.gguf"), "wb") as file:
                file.write(whole[:size])
            self.features("never.safetensors", "--lora", "cut.gguf", status=2)

    def test_survives_damaged_headers(self):
        with open(self.path("adapter.gguf"), "rb") as file:
            whole = file.read()
        header = len(whole) - sum(len(data) for _, _, data in self.factors.values())
        rng = random.Random(3)
        refused = 0
        for case in range(int(os.environ.get("COALA_FUZZ_CASES", "40"))):
            damaged = bytearray(whole)
            at = rng.randrange(header)
            damaged[at] = rng.choice((0xff, rng.randrange(256)))
            with open(self.path("damaged.gguf"), "wb") as file:
                file.write(damaged)
            out = f"{case}.safetensors"
            result = run(self.folder, "extract", "--model", MODEL, "--data", "pairs.jsonl", "--out", out, "--quiet",
                         "--lora", "damaged.gguf")
            self.assertIn(result.returncode, (0, 2), f"byte {at} set to {damaged[at]}: {result.stderr}")
            refused += result.returncode == 2
        self.assertGreater(refused, 0)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
