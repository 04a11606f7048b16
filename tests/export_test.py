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
import shlex
import shutil
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
TINY = os.path.join(ROOT, "tests", "files", "tiny-llama.gguf")
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


class PrintedLines(unittest.TestCase):
    """What `coala export` tells people to type: the files that it names are there, under names that programs take."""

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = os.path.join(cls.place.name, "my folder")
        os.mkdir(cls.folder)
        with open(os.path.join(cls.folder, "pairs.jsonl"), "w", encoding="utf-8") as file:
            for i in range(60):
                pair = {"prompt": f"q {i}", "chosen": "yes yes " * (i % 5 + 1), "rejected": "no no " * (i % 4 + 1)}
                print(json.dumps(pair), file=file)
        shutil.copy(TINY, os.path.join(cls.folder, "base.gguf"))
        done(cls.folder, COALA, "align", "--model", "base.gguf", "--data", "pairs.jsonl", "--out", "a", "--gates", 0, "--quiet",
             "--token-rank", 8)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def export(self, *options, status=0):
        result = run(self.folder, COALA, "export", "--model", "base.gguf", "--head", "a/head.safetensors", *options)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stdout.splitlines(), result.stderr

    def path_of(self, name):
        return os.path.join(self.folder, name)

    def check_llama(self, lines, *files):
        """A line for each of llama.cpp's programs, with the files in this order."""
        lines = [shlex.split(line) for line in lines if line.startswith("  llama-")]
        self.assertEqual([words[0] for words in lines], ["llama-cli", "llama-server"])
        for words in lines:
            named = [word for word in words[1:] if not word.startswith("-")]
            self.assertEqual(named, list(files))
            for file in named:
                self.assertTrue(os.path.isfile(self.path_of(file)), file)

    def check_ollama(self, lines, name, **layers):
        """The Modelfile that the line writes, and the name of what is made of it."""
        (line,) = (line for line in lines if "ollama create" in line)
        writes, creates, runs = line.strip().split(" && ")
        subprocess.run(["sh", "-c", writes], cwd=self.folder, check=True)
        self.assertEqual(shlex.split(creates), ["ollama", "create", name, "-f", "Modelfile"])
        self.assertEqual(shlex.split(runs), ["ollama", "run", name])
        self.assertRegex(name, r"^[a-z0-9][a-z0-9._-]*$")
        with open(self.path_of("Modelfile"), encoding="utf-8") as file:
            written = dict(line.rstrip("\n").split(" ", 1) for line in file)
        self.assertEqual(written, {key: self.path_of(value) for key, value in layers.items()})
        for path in written.values():
            self.assertTrue(os.path.isfile(path), path)

    def check_size(self, lines, out):
        size = os.path.getsize(self.path_of(out))
        self.assertRegex(lines[0], r", \d+\.\d [kM]B \(%d bytes\)$" % size)
        number, unit = re.search(r", (\S+) ([kM]B) ", lines[0]).groups()
        self.assertLessEqual(abs(float(number) * {"kB": 1e3, "MB": 1e6}[unit] - size), {"kB": 51, "MB": 51e3}[unit])

    def test_a_model(self):
        lines, _ = self.export("--format", "gguf", "--out", "My Größe, v1.2.gguf")
        self.check_size(lines, "My Größe, v1.2.gguf")
        self.check_llama(lines, "My Größe, v1.2.gguf")
        self.check_ollama(lines, "my-gr-e-v1.2", FROM="My Größe, v1.2.gguf")
        (line,) = (shlex.split(line) for line in lines if line.startswith("  lms "))
        self.assertEqual(line, ["lms", "import", "My Größe, v1.2.gguf"])

    def test_an_adapter(self):
        lines, _ = self.export("--out", "the tone.gguf")
        self.check_size(lines, "the tone.gguf")
        self.check_llama(lines, "base.gguf", "the tone.gguf")
        self.check_ollama(lines, "the-tone", FROM="base.gguf", ADAPTER="the tone.gguf")
        self.assertIn("--format gguf", lines[-1])
        self.assertFalse([line for line in lines if "lms" in line])

    def test_an_adapter_for_a_model_that_has_one(self):
        adapter = "first.gguf"
        _, tensors = gguf.read(self.path_of("base.gguf"))
        values = {"general.type": (gguf.STRING, "adapter"), "general.architecture": (gguf.STRING, "llama"),
                  "adapter.type": (gguf.STRING, "lora"), "adapter.lora.alpha": (gguf.FLOAT32, 1.0)}
        inputs, outputs = tensors["blk.0.attn_q.weight"][0]
        gguf.write(self.path_of(adapter), values,
                   {"blk.0.attn_q.weight.lora_a": gguf.floats([inputs, 1], [0.1] * inputs),
                    "blk.0.attn_q.weight.lora_b": gguf.floats([1, outputs], [0.1] * outputs)})
        for scale, named in ((1, ["--lora", adapter]), (0.5, ["--lora-scaled", adapter + ":0.5"])):
            model = ["--model", "base.gguf", "--lora", adapter, "--lora-scale", scale]
            done(self.folder, COALA, "align", *model, "--data", "pairs.jsonl", "--out", "adapted", "--gates", 0, "--quiet",
                 "--token-rank", 8)
            lines = done(self.folder, COALA, "export", *model, "--head", "adapted/head.safetensors", "--out",
                         "second.gguf").splitlines()
            (server,) = (shlex.split(line) for line in lines if line.startswith("  llama-server"))
            self.assertEqual(server, ["llama-server", "-m", "base.gguf", "--lora", "second.gguf", *named])
            self.assertFalse([line for line in lines if "ollama create" in line])

    def test_what_is_quantised_is_a_whole_model(self):
        lines, news = self.export("--quantise", "q8_0", "--out", "q.gguf")
        self.assertIn("the model with a change", lines[0])
        self.assertIn("--format gguf is taken", news)
        self.assertNotIn("--format gguf is taken", self.export("--format", "gguf", "--out", "q.gguf")[1])
        _, error = self.export("--quantise", "q8_0", "--format", "lora", "--out", "never.gguf", status=2)
        self.assertIn("an adapter is not quantised", error)
        self.assertFalse(os.path.exists(self.path_of("never.gguf")))

    def test_scales_that_are_nobody_s_choice_are_spoken_of(self):
        for scale, said in ((0, "the model is written as it is"), (3, "is beyond 1"), (-1, "turns away"), (1, ""), (0.5, "")):
            _, news = self.export("--guidance-scale", scale, "--out", "s.gguf")
            self.assertEqual("warning" in news, bool(said), news)
            self.assertIn(said, news)


if __name__ == "__main__":
    COALA, LLAMA_SIMPLE, *more = (os.path.abspath(path) for path in sys.argv[1:])
    if more:
        (LLAMA_COMPLETION, LLAMA_SERVER), TOKENS, PROMPTS = more, MORE_TOKENS, MORE_PROMPTS
    unittest.main(argv=sys.argv[:1])
