#!/usr/bin/env python3
"""Preferences that depend on the prompt: film reviews written by a 7 M-parameter Llama for somebody who wants the
players praised and the story panned, so that no list of good words can serve both. Usage: context.py BINARY SHARED
FOLDER [--samples N] [--training-samples N] [--scales S,S,..] [--seeds N]

Pairs: the model continues beginnings about either subject; a TF-IDF classifier of the labelled reviews with odd numbers
tells praise from censure, and two continuations of the same beginning on which it is sure are a pair: of the players
the praise is chosen, of the story the censure. There are as many pairs of either subject. Unseen prompts are other
beginnings with other words for both subjects; the judge is the same classifier from the reviews with even numbers, and
sees the continuation alone. Each seed has its own texts, pairs, heads and draws.

For each way of guiding: the share of texts whose sentiment agrees with the prompt, in all and by subject, the win rate
over the unguided text of the same prompt and sample (by the judge's log-odds of agreeing), and the perplexity under the
unguided model relative to that of the unguided texts. At equal perplexity: the largest scale of either way with a
perplexity of at most 1.1 times the unguided one, chosen by nothing else. Intervals (95 %) are over prompts. Run by an
environment with bench/requirements.txt.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys

from sentiment import train_judge

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from comparison import mean_percent, wins  # noqa: E402
from make_data import write_lines  # noqa: E402

MODEL = "models/imdb-llama/imdb-llama-7m-f16.gguf"
# Sign of the wanted sentiment, words for the subject in training and in unseen prompts.
SUBJECTS = {"players": (1, ["acting", "cast", "performances"], ["actors", "leading actress", "lead performance"]),
            "story": (-1, ["story", "plot", "script"], ["screenplay", "ending", "dialogue"])}
TRAINING = ["The {} in this film", "I thought the {}", "What struck me was the {}, which", "As for the {}, I",
            "The {} of this movie", "Then the {} of the film, that", "My friends said that the {}", "But the {}",
            "First of all, the {}", "We talked about the {} and", "I noticed the {}, and it", "Some say that the {}"]
UNSEEN = ["Most of all the {}", "I must say that the {}", "And the {} in this movie", "When it comes to the {}, it",
          "To me the {}", "In this picture the {}", "My wife found that the {}", "Everybody talks about the {}, which"]
MAX_TOKENS = 20
# Log-odds from which the classifier of odd reviews is believed.
SURE = 0.7
MOST_PERPLEXITY = 1.1


def prompts_of(beginnings, unseen):
    """(subject, text) of each prompt."""
    return [(subject, beginning.format(word)) for subject, words in SUBJECTS.items()
            for word in words[2 if unseen else 1] for beginning in beginnings]


def ahead(values, others, clusters):
    return mean_percent([a - b for a, b in zip(values, others)], clusters)


class Bench:
    def __init__(self, options):
        self.options, self.model = options, options.shared / MODEL
        with gzip.open(options.shared / "data/imdb/train_labeled.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        self.judge, accuracy = train_judge([row for row in rows if row["id"] % 2 == 0])
        self.labeller, labelled = train_judge([row for row in rows if row["id"] % 2 == 1])
        print(f"unseen reviews: the judge is right on {100 * accuracy:.1f} %, the labeller on {100 * labelled:.1f} %")

    def write(self, prompts, samples, seed, *arguments):
        """Replies to (subject, text) prompts, `samples` of each in a row."""
        file = self.options.folder / "prompts.jsonl"
        write_lines(file, [{"id": str(number), "prefix": text} for number, (_, text) in enumerate(prompts)])
        done = subprocess.run([self.options.binary, "generate", "--model", self.model, "--data", file, "--max-tokens",
                               str(MAX_TOKENS), "--samples", str(samples), "--seed", str(seed), "--threads", "1",
                               "--json", "--quiet", *map(str, arguments)],
                              check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)["replies"]

    def train(self, seed):
        """A head for pairs of the model's own texts."""
        prompts, samples = prompts_of(TRAINING, unseen=False), self.options.training_samples
        texts = [reply["text"] for reply in self.write(prompts, samples, seed)]
        odds = self.labeller(texts)
        pairs = {subject: [] for subject in SUBJECTS}
        for number, (subject, prompt) in enumerate(prompts):
            own = range(number * samples, (number + 1) * samples)
            good = [texts[i] for i in own if odds[i] > SURE]
            bad = [texts[i] for i in own if odds[i] < -SURE]
            chosen, rejected = (good, bad) if SUBJECTS[subject][0] > 0 else (bad, good)
            pairs[subject] += [{"id": f"{number}.{k}", "prefix": prompt, "chosen": pair[0], "rejected": pair[1]}
                            for k, pair in enumerate(zip(chosen, rejected))]
        rng = random.Random(seed)
        count = min(map(len, pairs.values()))
        data, out = self.options.folder / f"pairs-{seed}.jsonl", self.options.folder / f"aligned-{seed}"
        write_lines(data, [pair for some in pairs.values() for pair in rng.sample(some, count)])
        subprocess.run([self.options.binary, "align", "--model", self.model, "--data", data, "--out", out, "--seed",
                        str(seed), "--threads", "1", "--quiet"], check=True, stdout=subprocess.DEVNULL)
        print(f"seed {seed}: {count} pairs of either subject", flush=True)
        return out / "head.safetensors"


class Outcome:
    """What is made of the texts of all seeds in one way."""

    def __init__(self):
        self.agreement, self.log_probability, self.tokens = [], 0.0, 0

    def add(self, bench, signs, replies):
        self.agreement += [sign * odds for sign, odds in zip(signs, bench.judge([reply["text"] for reply in replies]))]
        self.log_probability += sum(reply["log_probability"] for reply in replies)
        self.tokens += sum(reply["log_probability_tokens"] for reply in replies)

    def perplexity(self):
        return math.exp(-self.log_probability / self.tokens)

    def agrees(self):
        return [float(value > 0) for value in self.agreement]

    def wins(self, unguided):
        return wins(self.agreement, unguided.agreement)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--training-samples", type=int, default=250)
    parser.add_argument("--scales", default="0.25,0.5,0.75,1,1.5,2,3")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    prompts = prompts_of(UNSEEN, unseen=True)
    signs = [SUBJECTS[subject][0] for subject, _ in prompts for _ in range(options.samples)]
    clusters = [text for _, text in prompts for _ in range(options.samples)] * options.seeds
    scales = [float(scale) for scale in options.scales.split(",")]

    outcomes = {"unguided": Outcome()} | {(way, scale): Outcome() for way in ("token", "bias") for scale in scales}
    for seed in range(1, options.seeds + 1):
        head = bench.train(seed)
        outcomes["unguided"].add(bench, signs, bench.write(prompts, options.samples, seed))
        for way, scale in list(outcomes)[1:]:
            outcomes[way, scale].add(bench, signs, bench.write(
                prompts, options.samples, seed, "--head", head, "--guidance", way, "--guidance-scale", scale))

    unguided = outcomes["unguided"]
    ratio = {way: outcome.perplexity() / unguided.perplexity() for way, outcome in outcomes.items()}
    subjects = [subject for subject, _ in prompts for _ in range(options.samples)] * options.seeds
    for way, outcome in outcomes.items():
        agrees = {subject: statistics.fmean(agrees for agrees, own in zip(outcome.agrees(), subjects) if own == subject)
                  for subject in SUBJECTS}
        by_subject = [f"{subject} {100 * share:.1f} %" for subject, share in agrees.items()]
        name = way if way == "unguided" else f"{way[0]} {way[1]:g}"
        print(f"{name:10s} agrees {mean_percent(outcome.agrees(), clusters)} ({', '.join(by_subject)})  wins "
              f"{mean_percent(outcome.wins(unguided), clusters)}  perplexity {outcome.perplexity():.2f} x {ratio[way]:.3f}")
    token, bias = (max(key for key in ratio if key[0] == way and ratio[key] <= MOST_PERPLEXITY)
                   for way in ("token", "bias"))
    print(f"at most {MOST_PERPLEXITY} times the perplexity: token {token[1]:g}, bias {bias[1]:g}; token ahead by "
          f"{ahead(outcomes[token].agrees(), outcomes[bias].agrees(), clusters)} in agreement and "
          f"{ahead(outcomes[token].wins(unguided), outcomes[bias].wins(unguided), clusters)} in wins, and beats bias "
          f"{mean_percent(outcomes[token].wins(outcomes[bias]), clusters)}")


if __name__ == "__main__":
    main()
