#!/usr/bin/env python3
"""DPO (TRL, LoRA) beside coala's token guidance: the same backbone, pairs, prompts and sampler, judged by the tutoring
world's exact judge. Usage: dpo.py BINARY FOLDER [--pairs N] [--prompts N] [--tuning-prompts N] [--seeds N]
[--betas B,B,..] [--rates R,R,..]

DPO's beta, learning rate and number of epochs are chosen by the judge's win rate on prompts of other subjects, with
pairs of the first seed; coala's head has its default settings, which were explored on this world too. Each seed then
has its own pairs, training and unseen prompts. The table is of unseen subjects, with intervals over the questions of
all seeds: the policy of the chosen beta and rate after each epoch, and guidance at several scales, compared with the
chosen policy on the same prompts. Policies are merged and written as GGUF, so all texts come from `coala generate`.
Perplexity is that of the text under the unguided model, at temperature 1, in transformers.

FLOPs of DPO, per parameter outside the embedding and token: 2 for the reference (once) and 4 for each epoch (forward,
and backward to the states, as the weights are frozen), of the chosen run alone, without tuning, attention, padding and
the adapters' own. coala's are those of metrics.json, evaluation included. FOLDER keeps the policies between runs with
the same --pairs.

Run by an environment with bench/requirements-dpo.txt, from the root of the repository.
"""

import argparse
import copy
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys

import torch
from datasets import Dataset
from llama_gguf import LlamaFile
from peft import LoraConfig
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, TrainerCallback
from trl import DPOConfig, DPOTrainer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from comparison import mean_percent, wins  # noqa: E402
from make_data import write_lines  # noqa: E402
from world.judge import judge, read_question  # noqa: E402
from world.lessons import make_pairs, make_prompts  # noqa: E402

MODEL = "demo/model/tutor-3m-f16.gguf"
SAMPLING = ["--max-tokens", "96", "--temperature", "1", "--top-p", "0.95", "--top-k", "0", "--threads", "1", "--quiet"]
SCALES = (0.25, 0.5, 0.75, 1, 1.5, 2)
EPOCHS = 3
BATCH = 16


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


class KeepPolicies(TrainerCallback):
    """Writes the merged policy after each epoch."""

    def __init__(self, file, paths):
        self.file, self.paths = file, paths

    def on_epoch_end(self, args, state, control, model=None, **_):
        self.file.write(copy.deepcopy(model).merge_and_unload(), self.paths[round(state.epoch) - 1])


def train_dpo(file, tokenizer, pairs, beta, rate, seed, folder):
    """Files of the policy after each epoch."""
    paths = [folder / f"dpo-{seed}-{beta}-{rate}-{epoch}.gguf" for epoch in range(1, EPOCHS + 1)]
    if paths[-1].exists():
        return paths
    config = DPOConfig(output_dir=str(folder / "trainer"), beta=beta, learning_rate=rate, num_train_epochs=EPOCHS,
                       seed=seed, per_device_train_batch_size=BATCH, logging_steps=50, report_to=[], save_strategy="no",
                       lr_scheduler_type="cosine", warmup_steps=20, max_length=256, use_cpu=True, bf16=False,
                       gradient_checkpointing=False, disable_tqdm=True, precompute_ref_log_probs=True)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(seed)
    data = Dataset.from_list([{key: pair[key] for key in ("prompt", "chosen", "rejected")} for pair in pairs])
    DPOTrainer(model=file.model(), args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora,
               callbacks=[KeepPolicies(file, paths)]).train()
    return paths


def train_head(binary, pairs, seed, folder):
    """The head of `coala align`, and what it cost in FLOPs."""
    data, held_out = folder / f"pairs-{seed}.jsonl", folder / f"pairs-{seed}.eval.jsonl"
    out = folder / f"aligned-{seed}"
    write_lines(data, pairs)
    write_lines(held_out, make_pairs("eval", len(pairs) // 10, seed))
    done = subprocess.run([binary, "align", "--model", MODEL, "--data", data, "--eval-data", held_out, "--out", out,
                           "--seed", str(seed), "--threads", "1", "--json", "--quiet"],
                          stdout=subprocess.PIPE, text=True, check=True)
    return out / "head.safetensors", json.loads(done.stdout)["flops"]["total"]


def dpo_flops(file, tokenizer, pairs, epochs):
    tokens = sum(len(before) + len(reply) for pair in pairs for before, reply in (
        tokens_of(tokenizer, pair["prompt"], pair[side][-1]["content"]) for side in ("chosen", "rejected")))
    parameters = sum(weight.size for name, weight in file.weights.items() if name != "token_embd")
    return (2 + 4 * epochs) * parameters * tokens


def tokens_of(tokenizer, prompt, text):
    start = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    before = tokenizer(start, add_special_tokens=False)["input_ids"]
    return before, tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]


class Outcome:
    """Scores of the replies to the same prompts, and their log-probability under the unguided model."""

    def __init__(self, scores, log_probability, tokens):
        self.scores, self.log_probability, self.tokens = scores, log_probability, tokens

    def perplexity(self):
        return math.exp(-self.log_probability / self.tokens)

    def __add__(self, other):
        return Outcome(self.scores + other.scores, self.log_probability + other.log_probability,
                       self.tokens + other.tokens)


class Trial:
    """Prompts, and what is made of replies to them."""

    def __init__(self, options, tokenizer, base, group, count, seed):
        self.binary, self.tokenizer, self.base, self.seed = options.binary, tokenizer, base, seed
        self.prompts = list(make_prompts(group, count, seed))
        self.turns = [prompt["prompt"][-1]["content"] for prompt in self.prompts]
        self.questions = [read_question(turn).item for turn in self.turns]
        self.file = options.folder / f"prompts.{group}.{seed}.jsonl"
        write_lines(self.file, self.prompts)

    @torch.no_grad()
    def run(self, model, *arguments):
        done = subprocess.run([self.binary, "generate", "--model", model, "--data", self.file, "--seed", str(self.seed),
                               *SAMPLING, *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
        texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
        total, count = 0.0, 0
        for prompt, text in zip(self.prompts, texts):
            before, reply = tokens_of(self.tokenizer, prompt["prompt"], text)
            logits = self.base(torch.tensor([before + reply])).logits[0, len(before) - 1:-1]
            chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(reply)[:, None])
            total, count = total + chosen.sum().item(), count + len(reply)
        return Outcome([judge(turn, text).score for turn, text in zip(self.turns, texts)], total, count)


def tune(options, file, tokenizer, base, pairs):
    """(win rate, beta, rate, epochs) with the highest win rate on the tuning prompts."""
    trial = Trial(options, tokenizer, base, "eval", options.tuning_prompts, 1)
    unguided = trial.run(MODEL)
    tried = []
    for beta in options.betas:
        for rate in options.rates:
            for epochs, path in enumerate(train_dpo(file, tokenizer, pairs, beta, rate, 1, options.folder), 1):
                outcome = trial.run(path)
                won = wins(outcome.scores, unguided.scores)
                tried.append((statistics.fmean(won), beta, rate, epochs))
                print(f"tuning: DPO beta {beta} rate {rate} epochs {epochs}  wins {mean_percent(won, trial.questions)}  "
                      f"perplexity x {outcome.perplexity() / unguided.perplexity():.3f}", flush=True)
    return max(tried)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--tuning-prompts", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    numbers = lambda text: [float(part) for part in text.split(",")]  # noqa: E731
    parser.add_argument("--betas", type=numbers, default=[0.3, 1, 3])
    parser.add_argument("--rates", type=numbers, default=[3e-4, 1e-3])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    # One thread: products this small lose more by waiting for another than they gain.
    torch.set_num_threads(1)
    file = LlamaFile(MODEL)
    tokenizer, base = load_tokenizer(file), file.model()
    seeds = range(1, options.seeds + 1)
    pairs = {seed: list(make_pairs("train", options.pairs, seed)) for seed in seeds}
    _, beta, rate, chosen = tune(options, file, tokenizer, base, pairs[1])

    outcomes, questions, flops = {}, [], 0.0
    for seed in seeds:
        trial = Trial(options, tokenizer, base, "unseen", options.prompts, seed)
        questions += trial.questions
        head, cost = train_head(options.binary, pairs[seed], seed, options.folder)
        flops += cost / len(seeds)
        ways = {"unguided": (MODEL,)}
        for epochs, path in enumerate(train_dpo(file, tokenizer, pairs[seed], beta, rate, seed, options.folder), 1):
            ways[f"DPO, {epochs} epochs"] = (path,)
        for guidance in ("token", "bias"):
            for scale in SCALES:
                ways[f"{guidance} {scale}"] = (MODEL, "--head", head, "--guidance", guidance, "--guidance-scale", scale)
        for way, arguments in ways.items():
            outcomes.setdefault(way, []).append(trial.run(*arguments))

    print(f"\nunseen subjects, {len(questions)} prompts of {options.seeds} seeds; the best DPO on the tuning prompts "
          f"has beta {beta}, rate {rate}, {chosen} epochs")
    pooled = {way: sum(parts[1:], parts[0]) for way, parts in outcomes.items()}
    unguided, dpo = pooled["unguided"], pooled[f"DPO, {chosen} epochs"]
    for way, outcome in pooled.items():
        won = wins(outcome.scores, unguided.scores)
        rates = [statistics.fmean(wins(part.scores, plain.scores))
                 for part, plain in zip(outcomes[way], outcomes["unguided"])]
        ahead = [a - b for a, b in zip(won, wins(dpo.scores, unguided.scores))]
        print(f"{way:14s} judge {statistics.fmean(outcome.scores):.3f}  wins {mean_percent(won, questions)}  by seed "
              + " ".join(f"{100 * rate:.1f}" for rate in rates)
              + f"  perplexity x {outcome.perplexity() / unguided.perplexity():.3f}  ahead of DPO by "
              f"{mean_percent(ahead, questions)}, beats it {mean_percent(wins(outcome.scores, dpo.scores), questions)}",
              flush=True)
    cost = statistics.fmean(dpo_flops(file, tokenizer, pairs[seed], chosen) for seed in seeds)
    print(f"TFLOP: DPO {cost / 1e12:.2f}, coala {flops / 1e12:.3f} ({100 * flops / cost:.1f} %)")


if __name__ == "__main__":
    main()
