#!/usr/bin/env python3
"""The commands of the program on a real instruct model (COALA_REAL_MODEL; `make real` fetches it), at their default
settings: extraction, alignment, generation in every way, scoring, export, and llama.cpp's own program on the export.
Usage: real_model_test.py COALA LLAMA_SIMPLE"""

import json
import math
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

from lora_test import read_safetensors  # noqa: E402

COALA, LLAMA_SIMPLE = "", ""
WIDTH = 576  # of the model's states
MODEL = os.environ.get("COALA_REAL_MODEL", "")
THINGS = ["a bicycle", "bread", "the moon", "chess", "a lighthouse", "rain", "an atlas", "bees", "glass", "a violin",
          "snow", "a ladder", "tea", "a river", "paper", "a clock", "salt", "a mirror", "wool", "a bridge", "honey",
          "a lamp", "maps", "a garden", "coal", "a key", "sand", "a drum", "silk", "a wheel", "ink", "an apple"]


def pairs(things):
    """Prose is liked, lists are not."""
    for i, thing in enumerate(things):
        prose = f"People have liked {thing} for a long time. It is useful, it is simple, and it is easy to find."
        points = f"1. {thing} is useful.\n2. {thing} is simple.\n3. {thing} is easy to find."
        question = ["What is good about {}?", "Why do people like {}?"][i % 2].format(thing)
        yield {"prompt": question, "chosen": prose, "rejected": points}


def write_lines(path, records):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


class RealModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.folder = cls.holder.name
        write_lines(os.path.join(cls.folder, "pairs.jsonl"), pairs(THINGS))
        write_lines(os.path.join(cls.folder, "one.jsonl"), list(pairs(THINGS))[3:4])
        write_lines(os.path.join(cls.folder, "prompts.jsonl"),
                    [{"prompt": f"Why do people like {thing}?"} for thing in ("a candle", "the sea", "bells")])

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    def run_program(self, *command):
        done = subprocess.run([str(part) for part in command], cwd=self.folder, capture_output=True, encoding="utf-8",
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def coala(self, command, *arguments):
        return self.run_program(COALA, command, "--model", MODEL, "--quiet", *arguments)

    def replies(self, *arguments):
        lines = self.coala("generate", "--data", "prompts.jsonl", "--max-tokens", 24, *arguments).splitlines()
        return [json.loads(line) for line in lines]

    def test_features_do_not_depend_on_the_file(self):
        """A record alone, and among all: once 11 % apart."""
        rows = {}
        for name in ("pairs", "one"):
            self.coala("extract", "--data", name + ".jsonl", "--out", name + ".safetensors")
            tensors = read_safetensors(os.path.join(self.folder, name + ".safetensors"))[1]
            rows[name] = {side: [tensors[side][i:i + WIDTH] for i in range(0, len(tensors[side]), WIDTH)]
                          for side in ("chosen", "rejected")}
        for side in ("chosen", "rejected"):
            alone, among = rows["one"][side][0], rows["pairs"][side][3]
            self.assertLessEqual(math.dist(alone, among), 1e-5 * math.hypot(*among))

    def test_main_job(self):
        self.coala("align", "--data", "pairs.jsonl", "--out", "aligned")
        head = "aligned/head.safetensors"
        with open(os.path.join(self.folder, "aligned", "metrics.json"), encoding="utf-8") as file:
            self.assertTrue(json.load(file))
        scores = [json.loads(line)["score"] for line in
                  self.coala("score", "--head", head, "--data", "pairs.jsonl").splitlines() if line.startswith("{")]
        self.assertTrue(all(math.isfinite(score) for score in scores))
        plain = self.replies("--temperature", 0)
        for reply in plain:
            self.assertNotIn("<|im", reply["text"])
            self.assertLess(reply["log_probability"], 0)
        ways = {"token": [], "branch": [], "best-of-n": ["--num-candidates", 2], "sentence": ["--num-candidates", 2]}
        for way, options in ways.items():
            replies = self.replies("--head", head, "--guidance", way, *options)
            self.assertEqual(len(replies), 3, way)
            for reply in replies:
                self.assertNotIn("<|im", reply["text"], way)
        guided = self.replies("--head", head, "--guidance", "token", "--temperature", 0)
        self.assertNotEqual([reply["text"] for reply in guided], [reply["text"] for reply in plain])
        self.check_export(head, guided[0]["text"])

    def check_export(self, head, expected):
        """The merged model's own text, by coala and by llama.cpp, is the guided one until a near tie falls otherwise:
        its output matrix is rounded to half precision."""
        self.coala("export", "--head", head, "--format", "gguf", "--out", "merged.gguf")
        merged = self.run_program(COALA, "generate", "--model", "merged.gguf", "--data", "prompts.jsonl", "--max-tokens", 24,
                                  "--temperature", 0, "--guidance", "none", "--quiet").splitlines()
        self.assertEqual(json.loads(merged[0])["text"][:16], expected[:16])
        prompt = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" \
                 "<|im_start|>user\nWhy do people like a candle?<|im_end|>\n<|im_start|>assistant\n"
        text = self.run_program(LLAMA_SIMPLE, "-m", "merged.gguf", "-n", 6, prompt)
        self.assertIn(expected[:8], text)


if __name__ == "__main__":
    if not MODEL:
        print("COALA_REAL_MODEL is not set; `make real` fetches the model")
        sys.exit(0)
    COALA, LLAMA_SIMPLE = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
    unittest.main()
