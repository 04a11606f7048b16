#!/usr/bin/env python3
"""How does a default fit grow with the dimension, and is it slower than logistic regression tuned by cross-validation?
Generated pairs in F16 with a spectrum as language models' states have it, from files to a head by `coala train`, and
from arrays in memory to a chosen model by scikit-learn's LogisticRegressionCV (10 penalties, 5 folds) on the same rows.
Usage: dimension.py BINARY ROWS THREADS DIMENSION ...

Run by an environment with bench/requirements.txt. Seconds are of CPU and of the clock, each side in a process of its
own; coala's are of all of `coala train` but the evaluation, which sees twenty pairs. A pair is one row of
scikit-learn's problem: its difference, turned around for every second pair, without intercept; that has the objective
of both orders and half of the rows.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy
from safetensors.numpy import load_file, save_file

UNSEEN = 2000  # pairs to judge both by


def write_pairs(folder, rows, dimension, seed=0):
    """train.safetensors and test.safetensors. Latent directions have variances of 1/j, half of them shared by both
    sides of a pair (the prompt); columns have means and scales of their own. Preferences follow a score that is half
    linear, half a few ReLU neurons, with logistic noise."""
    rng = numpy.random.default_rng(seed)
    latent = min(dimension, 1024)
    deviation = (1 / numpy.arange(1, latent + 1)) ** 0.5
    mixing = rng.standard_normal((latent, dimension), dtype=numpy.float32) / latent ** 0.5
    offset = rng.standard_normal(dimension, dtype=numpy.float32) * 0.3
    scale = numpy.exp(0.5 * rng.standard_normal(dimension)).astype(numpy.float32)
    line = rng.standard_normal(latent)
    neurons = rng.standard_normal((latent, 4))

    def score(z):
        linear, bent = z @ line, numpy.maximum(z @ neurons, 0) @ numpy.array([1, 1, -1, -1])
        return linear / numpy.linalg.norm(line * deviation) + bent / numpy.linalg.norm(neurons[:, 0] * deviation)

    for name, count in (("train", rows), ("test", UNSEEN)):
        sides = [numpy.empty((count, dimension), numpy.float16) for _ in range(2)]
        for first in range(0, count, 4096):
            part = slice(first, min(first + 4096, count))
            size = part.stop - first
            shared = rng.standard_normal((size, latent))
            z = [(shared + rng.standard_normal((size, latent))) / 2 ** 0.5 * deviation for _ in range(2)]
            margin = score(z[0]) - score(z[1]) + rng.logistic(size=size) * 0.5
            swap = margin < 0
            z[0][swap], z[1][swap] = z[1][swap], z[0][swap].copy()
            for side, own in zip(sides, z):
                noise = rng.standard_normal((size, dimension), dtype=numpy.float32)
                x = own.astype(numpy.float32) @ mixing + 0.03 * noise
                side[part] = x * scale + offset * scale
        save_file({"chosen": sides[0], "rejected": sides[1]}, pathlib.Path(folder) / f"{name}.safetensors")
    save_file({"chosen": sides[0][:20].copy(), "rejected": sides[1][:20].copy()},
              pathlib.Path(folder) / "few.safetensors")


def run_logistic_regression(folder, threads):
    """Prints the accuracy and the seconds from arrays in memory; called in a process of its own."""
    from sklearn.linear_model import LogisticRegressionCV

    def rows_of(name):
        tensors = load_file(pathlib.Path(folder) / f"{name}.safetensors")
        x = tensors["chosen"].astype(numpy.float32)
        x -= tensors["rejected"]
        sign = numpy.where(numpy.arange(len(x)) % 2 == 0, 1, -1).astype(numpy.float32)
        x *= sign[:, None]
        return x, sign

    x, y = rows_of("train")
    unseen, labels = rows_of("test")
    deviation = numpy.sqrt(numpy.mean(numpy.square(x), axis=0, dtype=numpy.float64)).astype(numpy.float32)
    x /= deviation
    unseen /= deviation
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    model = LogisticRegressionCV(Cs=10, cv=5, fit_intercept=False, max_iter=2000, n_jobs=threads,
                                 scoring="neg_log_loss", use_legacy_attributes=False, l1_ratios=(0,)).fit(x, y)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"accuracy": float(numpy.mean(model.predict(unseen) == labels)), "cpu": cpu, "wall": wall}))


def run_coala(binary, folder, threads):
    folder = pathlib.Path(folder)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([binary, "train", "--features", folder / "train.safetensors", "--eval-features",
                           folder / "few.safetensors", "--out", folder / "head.safetensors", "--threads",
                           str(threads), "--json", "--quiet"], check=True, stdout=subprocess.PIPE)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    judged = subprocess.run([binary, "eval", "--head", folder / "head.safetensors", "--features",
                             folder / "test.safetensors", "--allow-unbound", "--json", "--quiet"], check=True,
                            stdout=subprocess.PIPE)
    return {"accuracy": json.loads(judged.stdout)["eval_rewards/accuracies"], "cpu": cpu, "wall": wall,
            "name": "coala train, " + json.loads(done.stdout)["solver"]["selected"]}


def main():
    if sys.argv[1] == "--logistic-regression":
        return run_logistic_regression(sys.argv[2], int(sys.argv[3]))
    binary, rows, threads, *dimensions = sys.argv[1:]
    few = {name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    print(f"{'rows':>7s} {'d':>5s} {'':22s} {'CPU s':>8s} {'s':>8s} {'accuracy':>9s}")
    for dimension in map(int, dimensions):
        with tempfile.TemporaryDirectory() as folder:
            write_pairs(folder, int(rows), dimension)
            ours = run_coala(binary, folder, int(threads))
            theirs = json.loads(subprocess.run(
                [sys.executable, __file__, "--logistic-regression", folder, threads], check=True,
                stdout=subprocess.PIPE, env=os.environ | few).stdout)
            for name, run in ((ours["name"], ours), ("LogisticRegressionCV", theirs)):
                print(f"{rows:>7s} {dimension:5d} {name:22s} {run['cpu']:8.2f} {run['wall']:8.2f} "
                      f"{100 * run['accuracy']:7.2f} %", flush=True)


if __name__ == "__main__":
    main()
