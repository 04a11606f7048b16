#!/usr/bin/env python3
"""Guided sentiment: film reviews written by a 7 M-parameter Llama, steered towards praise by heads from one half of the
labelled reviews, judged by a TF-IDF classifier from the other half. Usage: sentiment.py BINARY SHARED FOLDER
[--samples N] [--scales S,S,..] [--seeds N]

Prints for each way of guiding the share of texts that the judge calls positive, with a 95 % interval over texts, the
perplexity under the unguided model relative to that of the unguided texts, and the share of different pairs of
neighbouring words. Branch guidance (k = 15) as published (`--guide-top-p 1 --score-all`), and with fewer of the
candidates scored. Prompts are ten neutral beginnings, each of which is continued N times. Run by an environment with
bench/requirements.txt.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import subprocess
import sys

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from make_data import write_lines  # noqa: E402

BEGINNINGS = ["This film", "The movie", "I watched this", "When I saw", "It is a story about", "The actors in this",
              "Last night I saw", "The director of", "My friends and I", "In this picture"]


def train_judge(rows):
    """Log-odds that texts are positive, and their accuracy on a fifth that the classifier has not seen."""
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, max_features=200_000)
    seen = [row for row in rows if row["id"] % 10 < 8]
    unseen = [row for row in rows if row["id"] % 10 >= 8]
    model = LogisticRegression(C=10, max_iter=300)
    model.fit(vectors.fit_transform([row["text"] for row in seen]), [row["label"] for row in seen])
    accuracy = model.score(vectors.transform([row["text"] for row in unseen]), [row["label"] for row in unseen])
    return lambda texts: model.decision_function(vectors.transform(texts)), accuracy


def wilson(share, count):
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return middle - half, middle + half


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--scales", default="0.25,0.5,0.75,1")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    model = options.shared / "models/imdb-llama/imdb-llama-7m-f16.gguf"
    with gzip.open(options.shared / "data/imdb/train_labeled.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    judge, accuracy = train_judge([row for row in rows if row["id"] % 2 == 0])
    print(f"the judge is right on {100 * accuracy:.1f} % of reviews that it has not seen")
    data = options.folder / "odd.jsonl"
    write_lines(data, [{"id": str(row["id"]), "text": row["text"], "label": row["label"]} for row in rows
                       if row["id"] % 2 == 1])
    subprocess.run([options.binary, "align", "--model", model, "--data", data, "--max-length", "256", "--out",
                    options.folder / "aligned", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    head = options.folder / "aligned/head.safetensors"
    prompts = options.folder / "prompts.jsonl"
    write_lines(prompts, [{"id": str(i), "prefix": text} for i, text in enumerate(BEGINNINGS)])
    beginnings = [text for text in BEGINNINGS for _ in range(options.samples)]

    def run(name, *arguments):
        positive, log_probability, tokens, seconds, rows = 0, 0.0, 0, 0.0, 0
        pairs, words = set(), 0
        for seed in range(options.seeds):
            done = subprocess.run([options.binary, "generate", "--model", model, "--head", head, "--data", prompts,
                                   "--max-tokens", "56", "--samples", str(options.samples), "--seed", str(seed),
                                   "--json", "--quiet", *arguments],
                                  check=True, stdout=subprocess.PIPE, text=True)
            answer = json.loads(done.stdout)
            texts = [begin + " " + reply["text"] for begin, reply in zip(beginnings, answer["replies"])]
            positive += int(sum(judge(texts) > 0))
            log_probability += sum(reply["log_probability"] for reply in answer["replies"])
            tokens += sum(reply["log_probability_tokens"] for reply in answer["replies"])
            seconds += answer["timings"]["seconds"]
            rows += answer["timings"]["evaluated_rows"]
            for reply in answer["replies"]:
                own = reply["text"].split()
                pairs.update(zip(own, own[1:]))
                words += max(0, len(own) - 1)
        count = options.seeds * len(beginnings)
        low, high = wilson(positive / count, count)
        perplexity = math.exp(-log_probability / tokens)
        base.setdefault("perplexity", perplexity)
        print(f"{name:42s} {100 * positive / count:5.1f} % [{100 * low:.1f}, {100 * high:.1f}]  perplexity "
              f"{perplexity:6.2f} x {perplexity / base['perplexity']:.3f}  distinct-2 {len(pairs) / words:.3f}  "
              f"{tokens / seconds:.0f} tokens/s  {rows / tokens:.1f} rows a token", flush=True)

    base = {}
    run("unguided", "--guidance", "none")
    for scale in options.scales.split(","):
        run(f"token {scale}", "--guidance", "token", "--guidance-scale", scale)
    for scale in options.scales.split(","):
        run(f"bias {scale}", "--guidance", "bias", "--guidance-scale", scale)
    for every, scales, published in ((1, ("1", "1.5", "2"), "2"), (5, ("3", "6"), "6")):
        branch = ["--guidance", "branch", "--guide-every", str(every), "--guidance-scale"]
        run(f"branch, N = {every}, scale {published}, all", *branch, published, "--guide-top-p", "1", "--score-all")
        run(f"branch, N = {every}, scale {published}, mass 0.8", *branch, published, "--score-all")
        for mass in ("1", "0.9", "0.8"):
            for scale in scales:
                run(f"branch, N = {every}, scale {scale}, mass {mass}, drawable", *branch, scale, "--guide-top-p", mass)


if __name__ == "__main__":
    main()
