#!/usr/bin/env python3
"""Does a head that was trained on unfinished responses (`--prefix-rows`) judge unfinished text better, and guide
branches better? On the tutoring world (pairs, exact judge) and on film reviews (labelled reviews with odd numbers,
judge a TF-IDF classifier from those with even numbers). Usage: prefix_rows.py BINARY SHARED FOLDER [--world]
[--reviews] [--seeds N] [--prompts N]

What is scored are the model's own unguided replies to prompts that are not in the training data: correlations of a
head's score of the first 25, 50 and 75 % of the words with its score of the whole reply and with the judge's of the
whole reply (Pearson, pooled over seeds of data, heads and draws, with 95 % intervals over replies). Branch guidance, N
tokens apart, all k = 15 candidates: the world's win rate over the unguided replies, the reviews' share of texts that
the judge calls positive. Run by an environment with bench/requirements.txt, from the root of the repository.
"""

import argparse
import gzip
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys

from sentiment import BEGINNINGS, train_judge

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from comparison import wins  # noqa: E402
from make_data import write_lines  # noqa: E402
from world.judge import judge  # noqa: E402
from world.lessons import make_pairs, make_prompts  # noqa: E402

PARTS = (0.25, 0.5, 0.75)
BRANCHES = ((5, 2), (1, 2))
RESAMPLES = 2000


class World:
    name, model, every = "tutoring world", "demo/model/tutor-3m-f16.gguf", 8
    sampling = ["--max-tokens", "96", "--temperature", "1", "--top-p", "0.95", "--top-k", "0"]
    extraction = []

    def __init__(self, options):
        self.options = options

    def training(self, seed):
        return list(make_pairs("train", 1200, seed))

    def prompts(self, seed):
        return [{"id": prompt["id"], "prompt": prompt["prompt"]}
                for prompt in make_prompts("unseen", self.options.prompts, seed)]

    def judge(self, prompts, texts):
        return [judge(prompt["prompt"][-1]["content"], text).score for prompt, text in zip(prompts, texts)]

    def success(self, scores, unguided):
        """Wins over the unguided replies, ties half."""
        return wins(scores, unguided)


class Reviews:
    name, every, sampling, extraction = "film reviews", 16, ["--max-tokens", "56"], ["--max-length", "128"]

    def __init__(self, options):
        self.options = options
        self.model = options.shared / "models/imdb-llama/imdb-llama-7m-f16.gguf"
        with gzip.open(options.shared / "data/imdb/train_labeled.jsonl.gz", "rt", encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        self.log_odds, _ = train_judge([row for row in rows if row["id"] % 2 == 0])
        self.rows = [{"id": str(row["id"]), "text": row["text"], "label": row["label"]} for row in rows
                     if row["id"] % 2 == 1]

    def training(self, seed):
        return random.Random(seed).sample(self.rows, 2500)

    def prompts(self, seed):
        return [{"id": str(number), "prefix": BEGINNINGS[number % len(BEGINNINGS)]}
                for number in range(self.options.prompts)]

    def judge(self, prompts, texts):
        return list(self.log_odds(texts))

    def success(self, scores, unguided):
        """Positive texts."""
        return [float(score > 0) for score in scores]


def correlation(pairs):
    return statistics.correlation(*zip(*pairs))


def interval(statistic, values):
    """95 % interval by resampling values."""
    rng = random.Random(1)
    found = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES)]


def with_interval(statistic, values, factor=1, digits=2):
    low, high = interval(statistic, values)
    return f"{factor * statistic(values):.{digits}f} [{factor * low:.{digits}f}, {factor * high:.{digits}f}]"


class Trial:
    """One seed of a domain."""

    def __init__(self, options, domain, seed):
        self.options, self.domain, self.seed = options, domain, seed
        self.folder = options.folder / f"{domain.name.replace(' ', '-')}-{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        write_lines(self.folder / "train.jsonl", domain.training(seed))
        self.prompts = domain.prompts(seed)
        write_lines(self.folder / "prompts.jsonl", self.prompts)
        self.texts = self.generate("--guidance", "none")
        self.judged = domain.judge(self.prompts, self.texts)

    def coala(self, *arguments):
        done = subprocess.run([self.options.binary, *map(str, arguments), "--seed", str(self.seed), "--threads", "1",
                               "--quiet"], check=True, stdout=subprocess.PIPE, text=True)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def generate(self, *arguments):
        replies = self.coala("generate", "--model", self.domain.model, "--data", self.folder / "prompts.jsonl",
                             *self.domain.sampling, *arguments)
        return [reply["text"] for reply in replies]

    def train(self, name, *extraction):
        features, head = self.folder / f"{name}.features.safetensors", self.folder / f"{name}.safetensors"
        self.coala("extract", "--model", self.domain.model, "--data", self.folder / "train.jsonl", "--out", features,
                   *self.domain.extraction, *extraction)
        self.coala("train", "--features", features, "--out", head)
        return head

    def scores(self, head, part):
        """Of the first words of each reply; None where there are none."""
        records = []
        for prompt, text in zip(self.prompts, self.texts):
            words = text.split(" ")
            beginning = " ".join(words[:max(1, round(part * len(words)))])
            if beginning.strip():
                records.append({**prompt, "id": str(len(records)), "response": beginning, "label": 1})
            else:
                records.append(None)
        write_lines(self.folder / "parts.jsonl", filter(None, records))
        found = iter(self.coala("score", "--head", head, "--model", self.domain.model, "--data",
                                self.folder / "parts.jsonl"))
        return [record and next(found)["score"] for record in records]


def run(options, domain):
    kinds = {"without": (), "with": ("--prefix-rows", domain.every)}
    pairs, success, unguided = {}, {}, []
    for seed in range(1, options.seeds + 1):
        trial = Trial(options, domain, seed)
        unguided += domain.success(trial.judged, trial.judged)
        for kind, extraction in kinds.items():
            head = trial.train(kind, *extraction)
            whole = trial.scores(head, 1)
            for part in (*PARTS, 1):
                scored = [row for row in zip(trial.scores(head, part), whole, trial.judged) if None not in row]
                pairs.setdefault((kind, part), []).extend(scored)
            for every, scale in BRANCHES:
                texts = trial.generate("--head", head, "--guidance", "branch", "--guide-every", every,
                                       "--guidance-scale", scale, "--guide-top-p", 1, "--score-all")
                success.setdefault((kind, every, scale), []).extend(
                    domain.success(domain.judge(trial.prompts, texts), trial.judged))
    print(f"\n{domain.name}, {options.seeds} seeds, rows every {domain.every} tokens")
    for (kind, part), rows in pairs.items():
        print(f"{kind:8s} first {100 * part:3.0f} %: with its score of the whole "
              f"{with_interval(correlation, [(a, b) for a, b, _ in rows])}, with the judge's "
              f"{with_interval(correlation, [(a, c) for a, _, c in rows])}")
    print(f"unguided {with_interval(statistics.fmean, unguided, 100, 1)} %")
    for (kind, every, scale), values in success.items():
        print(f"{kind:8s} branch guidance, N = {every}, scale {scale}: "
              f"{with_interval(statistics.fmean, values, 100, 1)} %", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--world", action="store_true", help="the tutoring world alone")
    parser.add_argument("--reviews", action="store_true", help="the film reviews alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=200)
    options = parser.parse_args()
    for domain, wanted in ((World, options.world), (Reviews, options.reviews)):
        if wanted or options.world == options.reviews:
            run(options, domain(options))


if __name__ == "__main__":
    main()
