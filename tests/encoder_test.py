#!/usr/bin/env python3
"""Encoders of the BERT family, from the outside: features of `coala extract` against an implementation in double
precision (tiny_bert.py), and what else the commands do with such a model. Usage: encoder_test.py BINARY"""

import json
import math
import os
import random
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import gguf_files as gguf  # noqa: E402
import lora_test  # noqa: E402
import tiny_bert as bert  # noqa: E402
from lora_test import read_safetensors  # noqa: E402

PAIRS = [("is the answer good ?", "the answer is good", "the answer is bad !"),
         ("why", "no idea at all", "because of a long story that nobody wants to hear again"), ("", "good", "bad")]


def mean(rows):
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def features_of(model, prompt, response, over):
    """What extract should give: [CLS] prompt [SEP] response [SEP], pooled over the response, or the prompt too."""
    first = bert.tokens_of(prompt)
    begin = [bert.CLS] + first + ([bert.SEP] if first else [])
    answer = bert.tokens_of(response)
    states = model.states(begin + answer + [bert.SEP])
    pooled = states[len(begin) if over == "response" else 0:len(begin) + len(answer)]
    return {"mean": mean(pooled), "last": pooled[-1]}


def largest_difference(x, y):
    return max(abs(a - b) for a, b in zip(x, y, strict=True))


class Encoder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.weights = bert.random_weights(seed=3)
        bert.write(cls.path("bert.gguf"), cls.weights)
        with open(cls.path("pairs.jsonl"), "w", encoding="utf-8") as file:
            for prompt, chosen, rejected in PAIRS:
                file.write(json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected}) + "\n")

    @classmethod
    def path(cls, name):
        return os.path.join(cls.temporary.name, name)

    def run_coala(self, *arguments, status=0):
        result = lora_test.run(self.temporary.name, *arguments, "--quiet")
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stderr if status else result.stdout

    def extract(self, out, *arguments, model="bert.gguf", data="pairs.jsonl"):
        output = self.run_coala("extract", "--model", model, "--data", data, "--out", out, "--json", *arguments)
        return json.loads(output), *read_safetensors(self.path(out))

    def test_equals_double_precision(self):
        exact, table = bert.Bert(self.weights), bert.Bert(self.weights, bert.gelu_from_table)
        wrong = {"causal": bert.Bert(self.weights, sees_what_follows=False),
                 "other token type": bert.Bert(self.weights, token_type=1)}
        for over in ("response", "all"):
            for pooling in ("mean", "last"):
                _, _, tensors = self.extract(f"{over}-{pooling}.safetensors", "--pooling", pooling, "--pool-over", over)
                for i, (prompt, *responses) in enumerate(PAIRS):
                    for name, response in zip(("chosen", "rejected"), responses, strict=True):
                        with self.subTest(over=over, pooling=pooling, response=response):
                            found = tensors[name][i * bert.DIM:(i + 1) * bert.DIM]
                            expected = features_of(exact, prompt, response, over)[pooling]
                            # ggml takes GELU from a table of 16-bit numbers. The same rounding here moves the feature
                            # by this much; where a number in single precision falls to the other side of a rounding
                            # limit, the two sums of roundings differ, but hardly by more than each of them is.
                            roundings = largest_difference(
                                features_of(table, prompt, response, over)[pooling], expected)
                            tolerance = 3 * max(roundings, 1e-5)
                            self.assertLessEqual(largest_difference(found, expected), tolerance)
                            for what, model in wrong.items():
                                other = features_of(model, prompt, response, over)[pooling]
                                self.assertGreater(largest_difference(other, expected), 10 * tolerance, what)

    def test_does_not_depend_on_neighbours(self):
        _, _, together = self.extract("together.safetensors")
        for i, pair in enumerate(PAIRS):
            with open(self.path("one.jsonl"), "w", encoding="utf-8") as file:
                file.write(json.dumps(dict(zip(("prompt", "chosen", "rejected"), pair, strict=True))) + "\n")
            _, _, alone = self.extract(f"one-{i}.safetensors", data="one.jsonl")
            for name in ("chosen", "rejected"):
                self.assertEqual(alone[name], together[name][i * bert.DIM:(i + 1) * bert.DIM])

    def test_counts_and_says_what_it_is(self):
        answer, metadata, _ = self.extract("counted.safetensors")
        lengths = []
        for prompt, *responses in PAIRS:
            first = len(bert.tokens_of(prompt))
            lengths += [1 + first + (1 if first else 0) + len(bert.tokens_of(response)) + 1 for response in responses]
        self.assertEqual(answer["extract"]["tokens"], sum(lengths))
        self.assertEqual(metadata["backbone.kind"], "encoder")
        self.assertEqual(metadata["backbone.architecture"], "bert")
        self.assertEqual(metadata["extract.attention_pairs"], str(sum(n * n for n in lengths)))
        evaluated = sum(math.prod(shape) for name, (shape, _, _) in self.weights.items()
                        if name not in ("token_embd.weight", "position_embd.weight", "token_types.weight"))
        attention = 4 * bert.LAYERS * bert.DIM * sum(n * n for n in lengths)
        self.assertEqual(answer["flops"]["extraction"], 2 * evaluated * sum(lengths) + attention)

    def test_cuts_to_the_length(self):
        with open(self.path("long.jsonl"), "w", encoding="utf-8") as file:
            file.write(json.dumps({"prompt": "a " * 200 + "b c d", "chosen": "good " * 10, "rejected": "bad " * 300})
                       + "\n")
        _, metadata, tensors = self.extract("long.safetensors", "--max-length", "24", data="long.jsonl")
        # A quarter of the 23 that the last [SEP] leaves is the prompt's: [CLS] b c d [SEP]. The rest is the response's.
        self.assertEqual(metadata["extract.tokens"], str(5 + 10 + 1 + 24))
        model = bert.Bert(self.weights, bert.gelu_from_table)
        for name, response in (("chosen", "good " * 10), ("rejected", "bad " * 18)):
            expected = features_of(model, "b c d", response, "response")["mean"]
            self.assertLessEqual(largest_difference(tensors[name], expected), 1e-3)
        self.assertEqual(metadata["extract.truncated_prompts"], "1")
        self.assertEqual(metadata["extract.truncated_responses"], "1")

    def test_the_whole_job(self):
        rng = random.Random(1)
        with open(self.path("many.jsonl"), "w", encoding="utf-8") as file:
            for i in range(60):
                words = [rng.choice(("red", "blue", "green", "fast", "slow")) for _ in range(3)]
                file.write(json.dumps({"prompt": f"question {chr(97 + i % 26)} {chr(97 + i // 26)}",
                                       "chosen": "good " + " ".join(words), "rejected": "bad " + " ".join(words)})
                           + "\n")
        output = self.run_coala("align", "--model", "bert.gguf", "--data", "many.jsonl", "--out", "aligned", "--json")
        self.assertGreaterEqual(json.loads(output)["eval_rewards/accuracies"], 0.9)
        head = ("--model", "bert.gguf", "--head", "aligned/head.safetensors")
        scores = self.run_coala("score", *head, "--data", "pairs.jsonl")
        self.assertEqual(len(scores.splitlines()), 2 * len(PAIRS))
        self.run_coala("eval", *head, "--data", "many.jsonl")
        for arguments in (head, ("--model", "bert.gguf")):
            message = self.run_coala("generate", *arguments, "--prompt", "why", status=2)
            self.assertIn("is an encoder: it reads texts and cannot write any", message)

    def test_takes_an_adapter(self):
        names = [f"blk.{i}.{name}.weight" for i in range(bert.LAYERS)
                 for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_up", "ffn_down")]
        factors = lora_test.random_factors(self.weights, names + ["token_embd.weight"], seed=8)
        architecture = {"general.architecture": (gguf.STRING, "bert")}
        gguf.write(self.path("adapter.gguf"), lora_test.adapter_values(**architecture), factors)
        bert.write(self.path("merged.gguf"), lora_test.merged(self.weights, factors, 1))
        _, _, plain = self.extract("plain.safetensors")
        _, _, expected = self.extract("merged.safetensors", model="merged.gguf")
        _, _, found = self.extract("adapted.safetensors", "--lora", "adapter.gguf")
        # As in test_equals_double_precision: where a rounding of GELU falls to the other side.
        model = lora_test.merged(self.weights, factors, 1)
        prompt, chosen, _ = PAIRS[0]
        exact, table = (features_of(bert.Bert(model, activation), prompt, chosen, "response")["mean"]
                        for activation in (bert.gelu, bert.gelu_from_table))
        tolerance = 3 * largest_difference(exact, table)
        self.assertLessEqual(lora_test.largest_difference(found, expected), tolerance)
        self.assertGreater(lora_test.largest_difference(plain, expected), 100 * tolerance)

    def test_survives_damaged_headers(self):
        with open(self.path("bert.gguf"), "rb") as file:
            whole = file.read()
        header = len(whole) - sum(len(data) for _, _, data in self.weights.values())
        rng = random.Random(7)
        refused = 0
        for case in range(int(os.environ.get("COALA_FUZZ_CASES", "40"))):
            damaged = bytearray(whole)
            at = rng.randrange(header)
            damaged[at] = rng.choice((0xff, rng.randrange(256)))
            with open(self.path("damaged.gguf"), "wb") as file:
                file.write(damaged)
            result = lora_test.run(self.temporary.name, "extract", "--model", "damaged.gguf", "--data", "pairs.jsonl",
                                   "--out", f"damaged-{case}.safetensors", "--quiet")
            self.assertIn(result.returncode, (0, 2), f"byte {at} set to {damaged[at]}: {result.stderr}")
            refused += result.returncode == 2
        self.assertGreater(refused, 0)


if __name__ == "__main__":
    lora_test.BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
