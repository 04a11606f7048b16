#!/usr/bin/env python3
"""Which first gates are best, and do refined gates find curvature? Logistic regression, gates as drawn, refined gates
and the truth for every source of gates, on rows of known two-layer networks and on the stored features that are there.
Usage: gates.py BINARY [FEATURES ...]

Run by the Python of tools/python_env.sh, which has numpy and safetensors. "drawn" is the held-out accuracy inside the
training rows of the best penalty without refinement, "refined" the same of what was chosen, "loss" the held-out loss of
the latter; the others are accuracies on a fifth of the prompts that training has not seen, "+-" the standard deviation
over the seeds of the gain over logistic regression.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import save_file

SEEDS = 3
SOURCES = ("gaussian", "class-means", "pairs", "principal")
# rows, dimension, neurons, noise (standard deviations of the score)
TRUTHS = {"two layers, 3 of 16": (12000, 16, 3, 0.2), "two layers, 4 of 32": (20000, 32, 4, 0.3),
          "two layers, 8 of 64": (20000, 64, 8, 0.3), "one layer of 32": (20000, 32, 0, 0.3)}


def write_truth(path, rows, dimension, neurons, noise, seed):
    """Labelled rows of a random network (none: of a linear score); returns how often its sign is right."""
    rng = numpy.random.default_rng(seed)
    x = rng.standard_normal((rows, dimension)).astype(numpy.float32)
    if neurons:
        score = numpy.maximum(x @ rng.standard_normal((dimension, neurons)), 0) @ rng.standard_normal(neurons)
    else:
        score = x @ rng.standard_normal(dimension)
    score = (score - numpy.median(score)) / score.std()
    labels = numpy.where(score + noise * rng.standard_normal(rows) > 0, 1, -1).astype(numpy.int8)
    save_file({"features": x, "labels": labels}, path)
    return float(numpy.mean(numpy.sign(score) == labels))


def train(binary, features, folder, seed, source):
    done = subprocess.run([binary, "train", "--features", features, "--out", folder / "head.safetensors", "--seed",
                           str(seed), "--gates-from", source, "--json", "--quiet"], check=True, stdout=subprocess.PIPE)
    metrics = json.loads(done.stdout)
    gated = [point for point in metrics["solver"]["path"] if point["model"] == "gated"]
    least = lambda points: min(points, key=lambda point: point["held_out_loss"])
    return {"logistic": metrics["baseline/logistic_accuracy"],
            "coala": metrics.get("eval_accuracy", metrics.get("eval_rewards/accuracies")),
            "drawn": least([point for point in gated if point["gate_refinements"] == 0])["held_out_accuracy"],
            "refined": least(gated)["held_out_accuracy"], "loss": least(gated)["held_out_loss"],
            "rounds": metrics["solver"]["gate_refinements"], "seconds": metrics["solver"]["seconds"]}


def main():
    binary, *stored = sys.argv[1:]
    print(f"{'rows':28s} {'gates from':12s} {'logistic':>8s} {'coala':>8s} {'+-':>5s} {'truth':>8s}   {'drawn':>8s} "
          f"{'refined':>8s} {'loss':>7s} {'rounds':>6s} {'s':>6s}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        jobs = [(title, None, truth) for title, truth in TRUTHS.items()] + [(pathlib.Path(p).stem, p, None) for p in stored]
        for title, path, truth in jobs:
            for source in SOURCES:
                results = []
                for seed in range(SEEDS):
                    features, best = path, float("nan")
                    if truth:
                        features = folder / "features.safetensors"
                        best = write_truth(features, *truth, seed)
                    results.append(train(binary, features, folder, seed, source) | {"truth": best})
                mean = {key: float(numpy.mean([result[key] for result in results])) for key in results[0]}
                spread = float(numpy.std([result["coala"] - result["logistic"] for result in results], ddof=1))
                percent = lambda key: f"{100 * mean[key]:6.2f} %"
                print(f"{title:28s} {source:12s} {percent('logistic')} {percent('coala')} {100 * spread:5.2f} "
                      f"{percent('truth')}   {percent('drawn')} {percent('refined')} {mean['loss']:7.4f} "
                      f"{mean['rounds']:6.1f} {mean['seconds']:6.1f}", flush=True)


if __name__ == "__main__":
    main()
