#!/usr/bin/env python3
"""What a card does, in some ten minutes: figures in Markdown, with the card's name; with --tests the tests that need a
device first.

    make device-test DEVICE=vulkan
    cmake --build --preset vulkan --target bench_session bench_guidance
    bench/card.py [--build build-vulkan] [--device vulkan:0] [--out card.md] [--minutes 10]

Needs numpy. Models are random ones of 135 M to 8 B parameters in F16 and Q4_K, the largest that fit, with the tokenizer
of SmolLM2-135M (tools/real_model.sh fetches it, or --tokenizer names a GGUF file). Where PyTorch finds a card, bfloat16
by transformers reads the same shapes. What cannot be measured is said, and the others are. --small: shapes for a
software device, which show that the script runs and nothing else.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import random_gguf

ROOT = pathlib.Path(__file__).parents[1]
TEXT = "The quick brown fox jumps over the lazy dog, and the dog looks on. "


class Card:
    def __init__(self, options):
        self.bin = options.build / "bin"
        self.device = options.device
        self.small = options.small
        self.end = time.monotonic() + 60 * options.minutes
        self.lines = []

    def say(self, line=""):
        print(line, flush=True)
        self.lines.append(line)

    def run(self, program, *arguments, limit=300, fails=False):
        """Standard output, or None where the program fails or time is up, with the reason in the report.
        @param fails  a failure is an answer too"""
        left = min(limit, self.end - time.monotonic())
        name = pathlib.Path(program).name
        if left <= 0:
            self.say(f"* {name}: no time left")
            return None
        try:
            done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=left, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:
            self.say(f"* {name}: {type(error).__name__}")
            return None
        if done.returncode != 0 and not fails:
            said = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
            self.say(f"* {name} {' '.join(map(str, arguments[:1]))}: {said[-1]}")
            return None
        return done.stdout


def tests(card):
    card.say("\n## Tests\n")
    done = card.run("ctest", "--test-dir", card.bin.parent, "-L", "device", "--no-tests=error", limit=240, fails=True)
    for line in (done or "").splitlines():
        if "tests passed" in line or "***" in line:
            card.say(f"* {line.strip()}")


def pairs_file(folder, count, words):
    path = folder / "pairs.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            good, bad = TEXT * (words // 14) + f"Good {i}.", TEXT * (words // 14) + f"Bad {i}, {i % 7}."
            file.write(json.dumps({"prompt": f"Question {i}?", "chosen": good, "rejected": bad}) + "\n")
    return path


def models(card, folder, tokenizer):
    """Extraction, writing and guidance, card beside CPU."""
    shapes = ("tiny",) if card.small else ("135M", "1B", "8B")
    data = pairs_file(folder, 8 if card.small else 200, 28 if card.small else 224)
    card.say("\n## Models\n\nTokens a second; reading: `coala extract`, pairs of 450 tokens; writing: one text and 15, "
             "greedy; guided over unguided: a token head of rank 32.\n")
    card.say("| model | reading | writing, 1 | writing, 15 | guided over unguided | reading, transformers bfloat16 |\n"
             "|---|---|---|---|---|---|")
    for shape in shapes:
        for kind in ("F16", "Q4_K"):
            if kind == "Q4_K" and random_gguf.SHAPES[shape][0] % 256 != 0:
                continue
            model = folder / f"{shape}-{kind}.gguf"
            try:
                random_gguf.write(model, shape, kind, tokenizer)
            except OSError as error:
                card.say(f"\n* {model.name} could not be written: {error}\n")
                model.unlink(missing_ok=True)
                continue
            out = card.run(card.bin / "coala", "extract", "--model", model, "--data", data, "--device", card.device, "--template",
                           "raw", "--json", "--quiet", "--out", folder / f"{shape}-{kind}.safetensors")
            read = json.loads(out)["tokens_per_second"] if out else float("nan")
            written = []
            for sequences in (1, 15):
                out = card.run(card.bin / "bench_session", model, 128, 16 if card.small else 64, sequences, 4, card.device)
                written.append(float(out.split()[1]) if out else float("nan"))
            out = card.run(card.bin / "bench_guidance", model, 3, 16 if card.small else 64, 64, 4, 1, card.device)
            guided = [line.split()[-1] for line in (out or "").splitlines() if line.split()[:1] == ["token"]]
            rival = None
            if kind == "F16":
                try:
                    rival = transformers(card, shape)
                except Exception as error:  # PyTorch has many ways to run out of memory
                    card.say(f"\n* transformers, {shape}: {type(error).__name__}\n")
            card.say(f"| {shape} {kind} | {read:.0f} | {written[0]:.1f} | {written[1]:.1f} | "
                     f"{guided[0] if guided else '-'} | {f'{rival:.0f}' if rival else '-'} |")
            model.unlink()


def transformers(card, shape):
    """Tokens a second that a random model of the shape reads in bfloat16 on the same card; None without PyTorch."""
    try:
        import torch
        from transformers import LlamaConfig, LlamaModel
    except ImportError:
        return None
    if not torch.cuda.is_available() or time.monotonic() > card.end:
        return None
    width, layers, inner, heads, kv_heads = random_gguf.SHAPES[shape]
    config = LlamaConfig(hidden_size=width, num_hidden_layers=layers, intermediate_size=inner, num_attention_heads=heads,
                         num_key_value_heads=kv_heads, vocab_size=49152)
    torch.set_default_dtype(torch.bfloat16)  # in which the weights are made, too
    with torch.device("cuda"), torch.inference_mode():
        model = LlamaModel(config).eval()
        best = 0.0
        for batch in (4, 8, 16, 32):
            tokens = torch.randint(0, 49152, (batch, 450))
            for repetition in range(4):
                torch.cuda.synchronize()
                begun = time.monotonic()
                model(tokens)
                torch.cuda.synchronize()
                if repetition > 0:
                    best = max(best, tokens.numel() / (time.monotonic() - begun))
    return best


def solver(card, folder):
    """Phase I on the device beside the CPU, and beside the published code where JAX finds the card."""
    import numpy
    card.say("\n## Phase I\n")
    if "--device" not in (card.run(card.bin / "coala", "train", "--help") or ""):
        card.say("* `coala train` has no device in this build.")
        return
    rows, columns = (400, 64) if card.small else (20000, 2048)
    draw = numpy.random.default_rng(0)
    truth = draw.normal(size=columns)
    chosen = draw.normal(size=(rows, columns)).astype(numpy.float32)
    rejected = draw.normal(size=(rows, columns)).astype(numpy.float32)
    turned = ((chosen - rejected) @ truth + 2 * numpy.sqrt(columns) * draw.normal(size=rows)) < 0
    chosen[turned], rejected[turned] = rejected[turned].copy(), chosen[turned].copy()
    path = folder / "pairs.safetensors"
    write_features(path, {"chosen": chosen, "rejected": rejected})
    for device in ("cpu", card.device):
        out = card.run(card.bin / "coala", "train", "--features", path, "--device", device, "--json", "--quiet", "--out",
                       folder / "head.safetensors")
        if out:
            found = json.loads(out)["solver"]
            card.say(f"* {rows} pairs of {columns}, {device}: {found['seconds']:.2f} s, {found['passes_over_x']} passes, "
                     f"gap {found['relative_gap']:.1e}")


def write_features(path, tensors):
    """safetensors by hand: F32 alone."""
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(values.tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-vulkan")
    parser.add_argument("--device", default="vulkan:0")
    parser.add_argument("--tokenizer", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("card.md"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--tests", action="store_true")
    options = parser.parse_args()
    card = Card(options)
    listed = json.loads(card.run(card.bin / "coala", "devices", "--json") or '{"devices": []}')["devices"]
    found = [one for one in listed if one["name"] == card.device]
    if not found:
        sys.exit(f"{card.device} is not there: {', '.join(one['name'] for one in listed)}")
    card.say(f"# {found[0].get('description', card.device)}, {found[0]['total_bytes'] / 1e9:.0f} GB\n")
    card.say(time.strftime("%Y-%m-%d") + ", " + (card.run(card.bin / "coala", "--version") or "").strip())
    try:
        if options.tests:
            tests(card)
        tokenizer = options.tokenizer or pathlib.Path((card.run(ROOT / "tools" / "real_model.sh") or "").strip())
        with tempfile.TemporaryDirectory() as folder:
            if tokenizer.is_file():
                models(card, pathlib.Path(folder), tokenizer)
            else:
                card.say("* no model to take a tokenizer from: --tokenizer FILE.gguf")
            solver(card, pathlib.Path(folder))
    finally:
        options.out.write_text("\n".join(card.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
