#!/usr/bin/env python3
"""Eight exact rules, 50 pairs each of a model's own replies: how often replies to unseen prompts follow the rule as the
model is, with the wish in a system prompt, guided by the token head at its stored scale, and by its fixed bias: at that
scale, and at the one at which it moves the model as far as the head does.

    bench/rules/run.py --coala build/bin/coala --model smollm2.gguf --work DIR [--seeds 2,3] [--rules "casual,..."]
    bench/rules/run.py --work DIR --table

A seed decides which 60 of the 160 prompts are unseen, and all draws. Finished steps in DIR are not done again. The
model as it is writes PLAIN_DRAWS times as many replies, for a repetition that is known as well as that of all rules.
"""

import argparse
import collections
import json
import math
import pathlib
import random
import statistics
import subprocess

from prompts import KINDS
from rules import RULES, sentences, words

UNSEEN = 15  # of each kind
PAIRS = 50
TOKENS = 80
SAMPLES = 6
PLAIN_DRAWS = 4
QUESTIONS = ["Would you like to know more?", "What else would you like to know?", "Does that help you?",
             "Would you like an example?", "Have you tried that before?", "What do you think of it?", "Shall I go on?"]


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def kind_of(row):
    return row["id"].rsplit("-", 1)[0]


def follows(rule, row):
    return RULES[rule][1](kind_of(row), row["text"], row["finish"] == "stop")


def question_of(row):
    return [message for message in row["prompt"] if message["role"] != "system"]


def edited(rule, row, draw):
    """A pair made by hand from one reply, for rules that the model never follows by itself: None where it does not
    lend itself to it."""
    parts = sentences(row["text"])
    if rule == "closing question":
        if len(parts) < 2:
            return None
        text = " ".join(parts[:draw.choice([1, 2, 3])])
        return None if text.endswith("?") else (text + " " + draw.choice(QUESTIONS), text)
    short = parts[0] if parts else ""
    if not 0 < words(short) <= 20 or words(row["text"]) < 50:
        return None
    return (short, row["text"]) if kind_of(row) == "fact" else (row["text"], short)


def make_pairs(rule, replies, seed):
    draw = random.Random(f"{seed} {rule}")
    by_prompt = collections.defaultdict(list)
    for row in replies:
        if row["text"].strip():
            by_prompt[row["id"]].append(row)
    ranked = []
    for prompt in sorted(by_prompt):
        rows = by_prompt[prompt]
        if rule in ("closing question", "length by kind"):
            texts = [edited(rule, row, draw) for row in rows]
            texts = [pair for pair in texts if pair][:1]
        else:
            good = [row["text"] for row in rows if follows(rule, row)]
            bad = [row["text"] for row in rows if not follows(rule, row)]
            draw.shuffle(good)
            draw.shuffle(bad)
            texts = list(zip(good, bad))
        ranked += [(k, draw.random(), rows[0], pair) for k, pair in enumerate(texts)]
    ranked.sort(key=lambda one: one[:2])  # one pair of each prompt first
    return [{"prompt": question_of(row), "chosen": [{"role": "assistant", "content": chosen}],
             "rejected": [{"role": "assistant", "content": rejected}]}
            for _, _, row, (chosen, rejected) in ranked[:PAIRS]]


def repeated_runs(row):
    """(runs of four words of a reply that stood in it before, all runs)"""
    text = row["text"].split()
    runs = [tuple(text[i:i + 4]) for i in range(len(text) - 3)]
    return len(runs) - len(set(runs)), len(runs)


def share_of(counts):
    return sum(repeated for repeated, _ in counts) / max(1, sum(runs for _, runs in counts))


def repetition(rows):
    """Share of runs of four words that stood in the same reply before."""
    return share_of([repeated_runs(row) for row in rows])


def ratio_interval(guided, plain, draws=2000):
    """Of two repetitions, each a list of counts by prompt: the ratio, with a 95 % interval by a bootstrap of prompts."""
    draw = random.Random(1)
    ratios = []
    for _ in range(draws):
        chosen = [draw.randrange(len(plain)) for _ in plain]
        below = share_of([counts for i in chosen for counts in plain[i]])
        ratios.append(share_of([counts for i in chosen for counts in guided[i]]) / below if below else math.inf)
    ratios.sort()
    flat = lambda lists: [counts for one in lists for counts in one]
    return share_of(flat(guided)) / share_of(flat(plain)), ratios[draws // 40], ratios[-draws // 40]


def divergence(rows):
    """From the model's own distributions, in nats per token."""
    return sum(row.get("divergence", 0) for row in rows) / sum(row["log_probability_tokens"] for row in rows)


class Bench:
    def __init__(self, options, seed):
        self.coala, self.model, self.seed = options.coala, options.model, seed
        self.folder = pathlib.Path(options.work) / f"seed{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        draw = random.Random(seed)
        train, unseen = [], []
        for kind, questions in KINDS.items():
            order = list(questions)
            draw.shuffle(order)
            unseen += [(kind, question) for question in order[:UNSEEN]]
            train += [(kind, question) for question in order[UNSEEN:]]
        draw.shuffle(train)
        draw.shuffle(unseen)
        for name, prompts in (("train", train), ("unseen", unseen)):
            write(self.folder / f"{name}.jsonl",
                  [{"id": f"{kind}-{i}", "prompt": question} for i, (kind, question) in enumerate(prompts)])

    def run(self, *arguments, draw=0):
        subprocess.run([self.coala, *map(str, arguments), "--model", self.model, "--seed", str(self.seed + 1000 * draw),
                        "--quiet"], check=True, stdout=subprocess.DEVNULL)

    def replies(self, name, *arguments, data="unseen.jsonl", draw=0):
        out = self.folder / f"{name}.jsonl"
        if not out.exists():
            self.run("generate", "--data", self.folder / data, "--max-tokens", TOKENS, "--out", out, *arguments, draw=draw)
        return read(out)

    def trained(self, rule, slug):
        out = self.folder / slug
        if not (out / "metrics.json").exists():
            pool = self.folder / "pool.jsonl"
            if not pool.exists():
                self.run("sample", "--data", self.folder / "train.jsonl", "--samples", SAMPLES, "--max-tokens", TOKENS,
                         "--out", pool)
            write(self.folder / f"{slug}-pairs.jsonl", make_pairs(rule, read(pool), self.seed))
            self.run("align", "--data", self.folder / f"{slug}-pairs.jsonl", "--out", out)
        return out / "head.safetensors", json.loads((out / "metrics.json").read_text())

    def measure(self, rule):
        slug = rule.replace(" ", "-")
        head, metrics = self.trained(rule, slug)
        for draw in range(1, PLAIN_DRAWS):
            self.replies(f"plain-{draw}", draw=draw)
        wish = RULES[rule][0]
        asked = self.folder / f"{slug}-asked.jsonl"
        write(asked, [{"id": row["id"], "prompt": [{"role": "system", "content": wish},
                                                    {"role": "user", "content": row["prompt"]}]}
                      for row in read(self.folder / "unseen.jsonl")])
        ways = {"plain": self.replies("plain"),
                "system prompt": self.replies(f"{slug}-system", data=asked.name),
                "coala": self.replies(f"{slug}-token", "--head", head),
                "fixed bias": self.replies(f"{slug}-bias", "--head", head, "--guidance", "bias")}
        # To the second order the divergence goes by the square of the scale.
        scale = math.sqrt(divergence(ways["coala"]) / divergence(ways["fixed bias"]))
        ways["bias as far"] = self.replies(f"{slug}-bias-as-far", "--head", head, "--guidance", "bias",
                                           "--guidance-scale", round(scale, 3))
        return {"rule": rule, "seed": self.seed, "pairs": metrics["reading"]["train"]["records"],
                "scale": metrics["guidance"]["scale"], "held_out_accuracy": metrics["token_head"]["accuracy"],
                "followed": {way: [follows(rule, row) for row in rows] for way, rows in ways.items()},
                "repetition": {way: repetition(rows) for way, rows in ways.items()},
                "divergence": {way: divergence(rows) for way, rows in ways.items()}}


def difference(a, b):
    """Of two shares of the same prompts, in points, with a 95 % interval (paired, normal)."""
    differences = [int(x) - int(y) for x, y in zip(a, b)]
    mean = statistics.mean(differences)
    half = 1.96 * statistics.stdev(differences) / math.sqrt(len(differences))
    return 100 * mean, 100 * (mean - half), 100 * (mean + half)


def table(results, work):
    print("| rule | plain | system prompt | **coala** | fixed bias | coala - plain | coala - system | coala - bias | "
          "coala - bias as far | nats per token, coala / bias / as far |\n|---|---|---|---|---|---|---|---|---|---|")
    by_rule = collections.defaultdict(list)
    for result in results:
        by_rule[result["rule"]].append(result)
    counts = {way: collections.defaultdict(list) for way in ("token", "bias", "system")}
    plain = collections.defaultdict(list)

    def add(counts, seed, name):
        for i, row in enumerate(read(pathlib.Path(work) / f"seed{seed}" / f"{name}.jsonl")):
            counts[seed, i].append(repeated_runs(row))

    for rule, runs in by_rule.items():
        all_of = lambda way: [one for run in runs for one in run["followed"][way]]
        share = lambda way: 100 * statistics.mean(all_of(way))
        text = lambda d: f"{d[0]:+.0f} [{d[1]:+.0f}, {d[2]:+.0f}]"
        mean = lambda what, way: statistics.mean(run[what][way] for run in runs)
        print(f"| {rule} | {share('plain'):.0f} % | {share('system prompt'):.0f} % | **{share('coala'):.0f} %** | "
              f"{share('fixed bias'):.0f} % | {text(difference(all_of('coala'), all_of('plain')))} | "
              f"{text(difference(all_of('coala'), all_of('system prompt')))} | "
              f"{text(difference(all_of('coala'), all_of('fixed bias')))} | "
              f"{text(difference(all_of('coala'), all_of('bias as far')))} | "
              f"{mean('divergence', 'coala'):.3f} / {mean('divergence', 'fixed bias'):.3f} / "
              f"{mean('divergence', 'bias as far'):.3f} |")
        for run in runs:
            for way, own in counts.items():
                add(own, run["seed"], f"{rule.replace(' ', '-')}-{way}")
    every = lambda way: [one for result in results for one in result["followed"][way]]
    for way in ("plain", "system prompt", "fixed bias", "bias as far"):
        mean, low, high = difference(every("coala"), every(way))
        print(f"followed, all rules together, coala less {way}: {mean:+.1f} [{low:+.1f}, {high:+.1f}] points")
    for seed in sorted({run["seed"] for run in results}):
        for draw in range(PLAIN_DRAWS):
            add(plain, seed, f"plain-{draw}" if draw else "plain")
    for way, own in counts.items():
        ratio, low, high = ratio_interval([own[prompt] for prompt in plain], list(plain.values()))
        print(f"repetition of all rules together, {way} over plain: {ratio:.2f} [{low:.2f}, {high:.2f}]")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coala", default="build/bin/coala")
    parser.add_argument("--model")
    parser.add_argument("--work", required=True)
    parser.add_argument("--seeds", default="2,3")
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    path = pathlib.Path(options.work) / "results.jsonl"
    if not options.table:
        for seed in map(int, options.seeds.split(",")):
            bench = Bench(options, seed)
            for rule in options.rules.split(","):
                known = read(path) if path.exists() else []
                if any(one["rule"] == rule and one["seed"] == seed for one in known):
                    continue
                result = bench.measure(rule)
                with path.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                print(rule, seed, {way: sum(rows) for way, rows in result["followed"].items()}, flush=True)
    table(read(path), options.work)


if __name__ == "__main__":
    main()
