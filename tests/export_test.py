#!/usr/bin/env python3
"""What `coala export` writes, given to llama.cpp's own programs: the most probable text of a merged model, and of a
model with the adapter, is that of `coala generate --guidance token`. The heads are fitted here, on the demo's pairs; one
model has an output matrix of its own, the other writes with its embedding. token_head_test.cpp compares the logits.
Usage: export_test.py COALA LLAMA_SIMPLE [LLAMA_COMPLETION]

CTest runs llama-simple, which takes merged models alone and always four threads, each of them spinning: on two cores a
token takes it a fifth of a second, so there are few. With llama-completion, which takes adapters as well but needs
llama.cpp's `common` library, there are more (docs/testing.md)."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "demo"))

import gguf_files as gguf  # noqa: E402
from world.lessons import make_pairs, make_prompts  # noqa: E402

MODEL = os.path.join(ROOT, "demo", "model", "tutor-3m-f16.gguf")
COALA, LLAMA_SIMPLE, LLAMA_COMPLETION = "", "", ""
TOKENS, PROMPTS = 8, 2
MORE_TOKENS, MORE_PROMPTS = 64, 50
SCALE = 1.5
# One thread, a cache in single precision, and nothing but the text.
AS_COALA = ["-t", 1, "-fa", "off", "-ctk", "f32", "-ctv", "f32", "--no-conversation", "--no-display-prompt", "--no-warmup"]


def run(folder, *command):
    return subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, encoding="utf-8",
                          errors="replace", check=False)


def done(folder, *command):
    result = run(folder, *command)
    assert result.returncode == 0, result.stderr
    return result.stdout


def rendered(prompt):
    """As the model's template writes it, without the token that starts the text: llama.cpp adds that itself."""
    (message,) = prompt["prompt"]
    return f"<|student|>{message['content']}<|end|><|tutor|>"


def coala_texts(folder, model, *arguments):
    lines = done(folder, COALA, "generate", "--model", model, "--data", "prompts.jsonl", "--max-tokens", TOKENS,
                 "--temperature", 0, "--quiet", *arguments).splitlines()
    return [json.loads(line)["text"] for line in lines]


def llama_texts(folder, model, prompts, *options):
    """What llama.cpp's program writes; llama-simple knows no options and prints the prompt first."""
    texts = []
    for prompt in prompts:
        if LLAMA_COMPLETION:
            printed = done(folder, LLAMA_COMPLETION, "-m", model, "-n", TOKENS, "-p", rendered(prompt), "--temp", 0, *AS_COALA,
                           *options)
            texts.append(re.sub(r"( \[end of text\]\n)?\n\n$", "", printed))
        else:
            printed = done(folder, LLAMA_SIMPLE, "-m", model, "-n", TOKENS, rendered(prompt))
            texts.append(printed.split("<|tutor|>", 1)[1].removesuffix("\n"))
    return texts


class Exports(unittest.TestCase):
    def check_model(self, folder, model, tied):
        prompts = list(make_prompts("unseen", PROMPTS, seed=1))
        for name, lines in [("pairs.jsonl", make_pairs("train", 200, seed=1)), ("prompts.jsonl", prompts)]:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in lines)
        done(folder, COALA, "align", "--model", model, "--data", "pairs.jsonl", "--out", "aligned", "--quiet")
        head = ["--head", "aligned/head.safetensors"]
        scale = ["--guidance-scale", SCALE]
        export = [COALA, "export", "--model", model, *head, *scale, "--quiet"]
        guided = coala_texts(folder, model, *head, *scale, "--guidance", "token")
        self.assertNotEqual(guided, coala_texts(folder, model))
        done(folder, *export, "--format", "gguf", "--out", "merged.gguf")
        self.assertEqual(coala_texts(folder, "merged.gguf"), guided)
        self.assertEqual(llama_texts(folder, "merged.gguf", prompts), guided)
        adapter = run(folder, *export, "--format", "lora", "--out", "adapter.gguf")
        if tied:
            self.assertEqual(adapter.returncode, 2, adapter.stderr)
            self.assertIn("--format gguf", adapter.stderr)
            return
        self.assertEqual(adapter.returncode, 0, adapter.stderr)
        self.assertEqual(coala_texts(folder, model, "--lora", "adapter.gguf"), guided)
        if LLAMA_COMPLETION:
            self.assertEqual(llama_texts(folder, model, prompts, "--lora", "adapter.gguf"), guided)

    def test_a_model_with_an_output_matrix_of_its_own(self):
        with tempfile.TemporaryDirectory() as folder:
            self.check_model(folder, MODEL, tied=False)

    def test_a_model_that_writes_with_its_embedding(self):
        values, tensors = gguf.read(MODEL)
        del tensors["output.weight"]
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "tied.gguf")
            gguf.write(model, values, tensors)
            self.check_model(folder, model, tied=True)


if __name__ == "__main__":
    COALA, LLAMA_SIMPLE, *more = (os.path.abspath(path) for path in sys.argv[1:])
    if more:
        LLAMA_COMPLETION, TOKENS, PROMPTS = more[0], MORE_TOKENS, MORE_PROMPTS
    unittest.main(argv=sys.argv[:1])
