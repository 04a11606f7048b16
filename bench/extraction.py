#!/usr/bin/env python3
"""Features by coala beside those by transformers in PyTorch: tokens per second on the same texts, the same machine and
the same threads, in one run, repetitions alternating; the features compared. Usage:
extraction.py BINARY SHARED FOLDER REPETITIONS [--texts N] [--pairs N] [--max-length L]

Rows are film reviews without a prompt (all tokens equal, nothing shared) and pairs with their prompts. transformers is
given float32 and bfloat16 (beside coala --precision f32 and bf16), sequences sorted by length, batches of 4, 8, 16 and 32, of which the fastest counts, and no
output matrix; both sides pool the mean over the response. Seconds of coala are of the whole process without loading
the model, of transformers of the evaluation alone.

Run by an environment with bench/requirements-extraction.txt. FOLDER keeps the random model between runs.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy
import random_llama
import sentencepiece
import torch
from safetensors.numpy import load_file
from transformers import LlamaForCausalLM

BATCHES = (4, 8, 16, 32)


def read_lines(path, count):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count))]


def run_coala(binary, model, data, threads, precision, max_length, folder):
    out = folder / "features.safetensors"
    out.unlink(missing_ok=True)
    command = [binary, "extract", "--model", model, "--data", data, "--out", out, "--threads", threads, "--precision",
               precision, "--template", "raw", "--max-length", max_length, "--quiet", "--json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["extract"], load_file(out)


class Transformers:
    """The mean over the response of the last hidden states."""

    def __init__(self, folder, dtype, threads):
        torch.set_num_threads(threads)
        self.model = LlamaForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").model.eval()

    @torch.inference_mode()
    def features(self, sequences, batch):
        """@param sequences  (token ids, tokens of the prompt)"""
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i][0]))
        rows = [None] * len(sequences)
        for begin in range(0, len(order), batch):
            chosen = order[begin:begin + batch]
            longest = max(len(sequences[i][0]) for i in chosen)
            ids = torch.zeros(len(chosen), longest, dtype=torch.long)
            mask = torch.zeros(len(chosen), longest, dtype=torch.long)
            for row, i in enumerate(chosen):
                tokens = torch.tensor(sequences[i][0])
                ids[row, :len(tokens)] = tokens
                mask[row, :len(tokens)] = 1
            states = self.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            for row, i in enumerate(chosen):
                tokens, prompt = sequences[i]
                rows[i] = states[row, prompt:len(tokens)].float().mean(0).numpy()
        return numpy.stack(rows)

    def best(self, sequences):
        """Seconds of the fastest batch size on a fifth of the rows, which stands for all."""
        sample = sequences[::5]
        seconds = {}
        for batch in BATCHES:
            self.features(sample[:batch], batch)
            start = time.perf_counter()
            self.features(sample, batch)
            seconds[batch] = time.perf_counter() - start
        return min(seconds, key=seconds.get)


def fit(prompt, responses, limit):
    """As coala cuts: the prompt's end and the responses' beginnings stay, BOS always."""
    floor = min(len(prompt), max(1, limit // 4))
    kept = min(max(limit - max(map(len, responses)), floor), len(prompt))
    prompt = prompt[:1] + prompt[len(prompt) - kept + 1:]
    return [(prompt + response[:limit - kept], kept) for response in responses]


def llama_bench(program, model, threads, length):
    """Tokens per second of llama.cpp's own benchmark of prompt processing, flash attention off and on."""
    command = [program, "-m", model, "-p", length, "-n", 0, "-t", threads, "-fa", "0,1", "-r", 3, "-o", "json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return [test["avg_ts"] for test in json.loads(done.stdout)]


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("repetitions", type=int)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=150)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--llama-bench", type=pathlib.Path, help="of the pinned llama.cpp, built as tools/llama.sh does")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count()])
    parser.add_argument("--models", nargs="+", default=["imdb-llama", "random-187m"])
    arguments = parser.parse_args()
    llama_vocabulary = arguments.shared / "models/vocabs/llama2_32k_tokenizer.model"
    random_hf, random_gguf = random_llama.make(arguments.folder, llama_vocabulary)
    imdb = arguments.shared / "models/imdb-llama"
    models = {"imdb-llama": (imdb / "hf", imdb / "imdb-llama-7m-f16.gguf", imdb / "hf/tokenizer.model", 1),
              "random-187m": (random_hf, random_gguf, llama_vocabulary, 8)}
    reviews = read_lines(arguments.shared / "data/imdb/train_labeled.jsonl.gz", arguments.texts)
    pairs = read_lines(arguments.shared / "data/preference/ultrafeedback_1k.train.jsonl", arguments.pairs)
    print(f"torch {torch.__version__}, {os.cpu_count()} cores")
    print(f"{'model':12} {'rows':8} {'thr':3} {'type':8} {'ours':4} {'batch':5} {'coala tok/s':>12} {'torch tok/s':>12} "
          f"{'ratio':>20} {'tokens (ours, theirs, evaluated)':>36} {'difference':>10}")
    with tempfile.TemporaryDirectory() as temporary:
        temporary = pathlib.Path(temporary)
        for name in arguments.models:
            hf, gguf, vocabulary, divisor = models[name]
            tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary))
            rows = {"reviews": [({"text": r["text"], "label": r["label"]}, "", [r["text"]])
                                for r in reviews[:len(reviews) // divisor]],
                    "pairs": [({key: p[key] for key in ("prompt", "chosen", "rejected")}, p["prompt"],
                               [p["chosen"], p["rejected"]]) for p in pairs[:len(pairs) // divisor]]}
            for kind, records in rows.items():
                data = temporary / f"{kind}.jsonl"
                data.write_text("".join(json.dumps(record) + "\n" for record, _, _ in records))
                sequences = []
                for _, prompt, responses in records:
                    front = [1] + (tokenizer.encode(prompt + "\n") if prompt else [])
                    sequences += fit(front, [tokenizer.encode(r) for r in responses], arguments.max_length)
                count = sum(len(tokens) for tokens, _ in sequences)
                for threads in arguments.threads:
                    if arguments.llama_bench:
                        off, on = llama_bench(arguments.llama_bench, gguf, threads, arguments.max_length)
                        print(f"{name:12} llama-bench of {arguments.max_length} tokens, {threads} threads: {off:.0f} tokens/s "
                              f"(flash attention: {on:.0f})", flush=True)
                    for dtype, precision in ((torch.float32, "f32"), (torch.bfloat16, "f32"), (torch.bfloat16, "bf16")):
                        rival = Transformers(hf, dtype, threads)
                        batch = rival.best(sequences)
                        ours, theirs = [], []
                        for _ in range(arguments.repetitions):
                            extract, features = run_coala(arguments.binary, gguf, data, threads, precision,
                                                          arguments.max_length, temporary)
                            ours.append(extract["tokens"] / extract["seconds"])
                            start = time.perf_counter()
                            expected = rival.features(sequences, batch)
                            theirs.append(count / (time.perf_counter() - start))
                        found = features.get("features")
                        if found is None:
                            found = numpy.stack([features["chosen"], features["rejected"]], 1).reshape(len(expected), -1)
                        difference = numpy.linalg.norm(found - expected, axis=1) / numpy.linalg.norm(expected, axis=1)
                        ratios = [a / b for a, b in zip(ours, theirs)]
                        print(f"{name:12} {kind:8} {threads:3} {str(dtype)[6:]:8} {precision:4} {batch:5} {statistics.median(ours):12.0f} "
                              f"{statistics.median(theirs):12.0f} {spread(ratios):>20} "
                              f"{extract['tokens']:12} {count:11} {extract['evaluated_tokens']:11} "
                              f"{numpy.median(difference):10.1e}", flush=True)


main()
