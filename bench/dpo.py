#!/usr/bin/env python3
"""DPO (TRL, LoRA) beside coala's token guidance: the same backbone, pairs, prompts, seeds and sampler, judged by the
tutoring world's exact judge. Usage: dpo.py BINARY FOLDER [--pairs N] [--prompts N]

DPO's beta and learning rate are chosen by the judge's win rate on prompts of other subjects (in its favour: coala's
settings are its defaults); the table is of unseen subjects. Its adapter is merged and written as GGUF, so both texts
come from `coala generate`. Perplexity is that of the text under the unguided model, at temperature 1, in transformers.
FLOPs of DPO: 6 per parameter and token of each epoch (forward and backward of the policy, whose weights need no
gradient, and the reference's forward), of the chosen run alone; coala's are those of metrics.json.

Run by an environment with bench/requirements-dpo.txt, from the root of the repository.
"""

import argparse
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys

import torch
from datasets import Dataset
from llama_gguf import LlamaFile
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from make_data import write_lines  # noqa: E402
from world.judge import judge  # noqa: E402
from world.lessons import make_pairs, make_prompts  # noqa: E402

MODEL = "demo/model/tutor-3m-f16.gguf"
SAMPLING = ["--max-tokens", "96", "--temperature", "1", "--top-p", "0.95", "--top-k", "0", "--seed", "1", "--quiet"]
GRID = [(beta, rate) for beta in (0.03, 0.1, 0.3) for rate in (1e-4, 3e-4, 1e-3)]
EPOCHS = 3
BATCH = 16
RESAMPLES = 2000


def load_tokenizer(file):
    fields = file.reader.fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>",
                                   pad_token="<|end|>",
                                   additional_special_tokens=["<|student|>", "<|tutor|>"])
    fast.chat_template = fields["tokenizer.chat_template"].contents()
    return fast


def train_dpo(file, tokenizer, pairs, beta, rate, folder):
    """Merged policy, tokens seen per epoch."""
    config = DPOConfig(output_dir=str(folder), beta=beta, learning_rate=rate, num_train_epochs=EPOCHS, seed=1,
                       per_device_train_batch_size=BATCH, logging_steps=50, report_to=[], save_strategy="no",
                       lr_scheduler_type="cosine", warmup_steps=20, max_length=256, use_cpu=True, bf16=False,
                       gradient_checkpointing=False, disable_tqdm=True)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    data = Dataset.from_list([{key: pair[key] for key in ("prompt", "chosen", "rejected")} for pair in pairs])
    trainer = DPOTrainer(model=file.model(), args=config, train_dataset=data, processing_class=tokenizer,
                         peft_config=lora)
    trainer.train()
    return trainer.model.merge_and_unload()


def generate(binary, model, prompts, *arguments):
    done = subprocess.run([binary, "generate", "--model", model, "--data", prompts, *SAMPLING, *map(str, arguments)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]


def tokens_of(tokenizer, prompt, text):
    start = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    before = tokenizer(start, add_special_tokens=False)["input_ids"]
    return before, tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]


@torch.no_grad()
def perplexity(model, tokenizer, prompts, texts):
    total, count = 0.0, 0
    for prompt, text in zip(prompts, texts):
        before, reply = tokens_of(tokenizer, prompt["prompt"], text)
        logits = model(torch.tensor([before + reply])).logits[0, len(before) - 1:-1]
        chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(reply)[:, None])
        total, count = total - chosen.sum().item(), count + len(reply)
    return math.exp(total / count)


def compare(scores, others):
    return [1.0 if a > b + 1e-9 else 0.0 if a < b - 1e-9 else 0.5 for a, b in zip(scores, others)]


def interval(values):
    rng = random.Random(1)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES)]


class Trial:
    """Prompts, and what is made of replies to them."""

    def __init__(self, options, tokenizer, base, group):
        self.options, self.tokenizer, self.base = options, tokenizer, base
        self.prompts = list(make_prompts(group, options.prompts, 1))
        self.file = options.folder / f"prompts.{group}.jsonl"
        write_lines(self.file, self.prompts)
        self.unguided = self.scores(generate(options.binary, MODEL, self.file))

    def scores(self, texts):
        return [judge(prompt["prompt"][-1]["content"], text).score for prompt, text in zip(self.prompts, texts)]

    def run(self, name, model, *arguments):
        texts = generate(self.options.binary, model, self.file, *arguments)
        scores = self.scores(texts)
        won = compare(scores, self.unguided)
        low, high = interval(won)
        ppl = perplexity(self.base, self.tokenizer, self.prompts, texts)
        print(f"{name:34s} judge {statistics.fmean(scores):.3f}  wins {100 * statistics.fmean(won):.1f} % "
              f"[{100 * low:.1f}, {100 * high:.1f}]  perplexity {ppl:.3f}", flush=True)
        return statistics.fmean(won)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument("--prompts", type=int, default=500)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    file = LlamaFile(MODEL)
    tokenizer, base = load_tokenizer(file), file.model()
    pairs = list(make_pairs("train", options.pairs, 1))
    write_lines(options.folder / "pairs.jsonl", pairs)
    tuning, unseen = (Trial(options, tokenizer, base, group) for group in ("eval", "unseen"))

    best = None
    for beta, rate in GRID:
        model = train_dpo(file, tokenizer, pairs, beta, rate, options.folder / "trainer")
        path = options.folder / f"dpo-{beta}-{rate}.gguf"
        file.write(model, path)
        won = tuning.run(f"DPO beta {beta} rate {rate} (tuning)", path)
        best = max(best or (0, None), (won, (path, beta, rate)))
    path, beta, rate = best[1]
    print(f"\nunseen subjects, {options.prompts} prompts; DPO with beta {beta}, rate {rate}")
    tokens = sum(len(before) + len(reply) for pair in pairs for before, reply in (
        tokens_of(tokenizer, pair["prompt"], pair[side][-1]["content"]) for side in ("chosen", "rejected")))
    parameters = sum(weight.size for name, weight in file.weights.items() if name != "token_embd")
    unseen.run("unguided", MODEL)
    unseen.run("DPO", path)
    print(f"   {6 * parameters * tokens * EPOCHS / 1e12:.2f} TFLOP")
    done = subprocess.run([options.binary, "align", "--model", MODEL, "--data", options.folder / "pairs.jsonl", "--out",
                           options.folder / "aligned", "--json", "--quiet"], stdout=subprocess.PIPE, text=True, check=True)
    head = options.folder / "aligned/head.safetensors"
    for scale in (0.5, 1, 1.5, 2):
        unseen.run(f"coala token guidance, scale {scale}", MODEL, "--head", head, "--guidance", "token",
                   "--guidance-scale", scale)
    print(f"   {json.loads(done.stdout)['flops']['total'] / 1e12:.2f} TFLOP")
    for scale in (1, 2):
        unseen.run(f"bias without context, scale {scale}", MODEL, "--head", head, "--guidance", "bias",
                   "--guidance-scale", scale)


if __name__ == "__main__":
    main()
