#!/usr/bin/env python3
"""What `coala export` writes, given to llama.cpp's own programs: the most probable text of a merged model, and of a
model with the adapter, is that of `coala generate --guidance token`. The heads are fitted here, on the demo's pairs; one
model has an output matrix of its own, the other writes with its embedding. token_head_test.cpp compares the logits.
Usage: export_test.py COALA LLAMA_SIMPLE [LLAMA_COMPLETION LLAMA_SERVER]

CTest runs llama-simple, which takes merged models alone and always four threads, each of them spinning: on two cores a
token takes it a fifth of a second, so there are few. `make peers` gives llama-completion, which takes adapters as well,
more prompts, and has llama-server, which renders the model's own chat template, asked as chat programs ask it."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "demo"))

import gguf_files as gguf  # noqa: E402
from world.lessons import make_pairs, make_prompts  # noqa: E402

MODEL = os.path.join(ROOT, "demo", "model", "tutor-3m-f16.gguf")
COALA, LLAMA_SIMPLE, LLAMA_COMPLETION, LLAMA_SERVER = "", "", "", ""
TOKENS, PROMPTS = 8, 2
MORE_TOKENS, MORE_PROMPTS = 64, 50
SCALE = 1.5
# One thread, and a cache in single precision.
AS_COALA = ["-t", 1, "-fa", "off", "-ctk", "f32", "-ctv", "f32", "--no-warmup"]
TEXT_ALONE = ["--no-conversation", "--no-display-prompt"]
SERVED_PROMPTS = 10


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
                           *TEXT_ALONE, *options)
            texts.append(re.sub(r"( \[end of text\]\n)?\n\n$", "", printed))
        else:
            printed = done(folder, LLAMA_SIMPLE, "-m", model, "-n", TOKENS, rendered(prompt))
            texts.append(printed.split("<|tutor|>", 1)[1].removesuffix("\n"))
    return texts


def answer(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def served_texts(folder, model, prompts):
    """What llama.cpp's server answers to the conversations."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [LLAMA_SERVER, "-m", model, "--host", "127.0.0.1", "--port", port, "-np", 1, *AS_COALA]
    with open(os.path.join(folder, "server.log"), "w", encoding="utf-8") as log:
        server = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                answer(port, "/health")
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, open(os.path.join(folder, "server.log"), encoding="utf-8").read()
                time.sleep(0.1)
        (listed,) = answer(port, "/v1/models")["data"]
        assert listed["meta"]["n_vocab"] > 0, listed
        body = {"max_tokens": TOKENS, "temperature": 0, "cache_prompt": False}
        answers = [answer(port, "/v1/chat/completions", {"messages": prompt["prompt"], **body}) for prompt in prompts]
        return [one["choices"][0]["message"]["content"] for one in answers]
    finally:
        server.terminate()
        server.wait()


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
        if LLAMA_SERVER:
            served = served_texts(folder, "merged.gguf", prompts[:SERVED_PROMPTS])
            self.assertEqual(served, guided[:SERVED_PROMPTS])
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
        (LLAMA_COMPLETION, LLAMA_SERVER), TOKENS, PROMPTS = more, MORE_TOKENS, MORE_PROMPTS
    unittest.main(argv=sys.argv[:1])
