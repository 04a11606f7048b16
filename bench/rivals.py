#!/usr/bin/env python3
"""coala beside what a practitioner would use on the same features: logistic regression and a two-layer network of
scikit-learn, both tuned by cross-validation on the training rows. Every row is held out once, in folds by prompt that
are the same for all; seconds are of one fold, on all cores, from features in memory (coala: the whole process) to the
chosen model. Usage: rivals.py BINARY ASSIGNMENTS FEATURES ...
With more than one assignment of prompts to folds, accuracies are means over them (few prompts: the assignment matters).

Run by an environment with bench/requirements.txt; bench/run.sh makes one.
"""

import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

HELD_OUT = 5  # every fifth prompt in turn
FOLDS = 5


def split(path, assignment, fold):
    """Columns of the training and of the held-out prompts."""
    tensors = load_file(path)
    rows = len(next(iter(tensors.values())))
    prompts = tensors.get("prompt_id", numpy.arange(rows))
    _, index = numpy.unique(prompts, return_inverse=True)
    held_out = numpy.random.default_rng(assignment).permutation(index.max() + 1)[index] % HELD_OUT == fold
    return [{name: tensor[mask] for name, tensor in tensors.items()} for mask in (~held_out, held_out)]


def rows_of(tensors):
    """Features and labels for a classifier. A pair is the difference of its sides, once in each order."""
    if "features" in tensors:
        return tensors["features"].astype(numpy.float32), tensors["labels"].astype(int)
    difference = tensors["chosen"].astype(numpy.float32) - tensors["rejected"].astype(numpy.float32)
    labels = numpy.ones(len(difference), int)
    return numpy.concatenate([difference, -difference]), numpy.concatenate([labels, -labels])


def sklearn_models(pairs):
    """Without an intercept for pairs: their order says nothing."""
    return {
        "logistic regression, C of 10": lambda: LogisticRegressionCV(
            Cs=10, cv=FOLDS, fit_intercept=not pairs, max_iter=2000, n_jobs=-1, scoring="neg_log_loss",
            use_legacy_attributes=False, l1_ratios=(0,)),
        "two-layer network, 6 settings": lambda: GridSearchCV(
            MLPClassifier(early_stopping=True, max_iter=100, random_state=0),
            {"hidden_layer_sizes": [(16,), (64,), (256,)], "alpha": [1e-3, 1.0]}, cv=FOLDS, n_jobs=-1)}


def run_coala(binary, train, test, folder):
    """Right answers, seconds."""
    for name, tensors in (("train", train), ("test", test)):
        save_file(tensors, folder / f"{name}.safetensors")
    start = time.monotonic()
    done = subprocess.run([binary, "train", "--features", folder / "train.safetensors", "--eval-features",
                           folder / "test.safetensors", "--out", folder / "head.safetensors", "--json", "--quiet"],
                          check=True, stdout=subprocess.PIPE)
    seconds = time.monotonic() - start
    metrics = json.loads(done.stdout)
    accuracy = metrics.get("eval_accuracy", metrics.get("eval_rewards/accuracies"))
    return accuracy * metrics["eval_rows"], seconds


def run_sklearn(make, train, test):
    x, y = rows_of(train)
    unseen, labels = rows_of(test)
    scaler = StandardScaler(with_mean="features" in train).fit(x)
    start = time.monotonic()
    fitted = make().fit(scaler.transform(x), y)
    seconds = time.monotonic() - start
    right = fitted.predict(scaler.transform(unseen)) == labels
    return float(numpy.sum(right)) / (1 if "features" in test else 2), seconds


def main():
    binary, assignments, *paths = sys.argv[1:]
    print(f"{'features':24s} {'model':34s} {'accuracy':>9s} {'+-':>6s} {'s':>8s}")
    for path in paths:
        results, rows = {}, 0
        for assignment, fold in itertools.product(range(int(assignments)), range(HELD_OUT)):
            train, test = split(path, assignment, fold)
            rows += len(next(iter(test.values())))
            with tempfile.TemporaryDirectory() as folder:
                results.setdefault("coala train", []).append(run_coala(binary, train, test, pathlib.Path(folder)))
            for model, make in sklearn_models("chosen" in train).items():
                results.setdefault(model, []).append(run_sklearn(make, train, test))
        for model, folds in results.items():
            accuracy = sum(right for right, _ in folds) / rows
            half = 1.96 * (accuracy * (1 - accuracy) * int(assignments) / rows) ** 0.5
            seconds = statistics.median(seconds for _, seconds in folds)
            each = " ".join(
                f"{100 * sum(right for right, _ in folds[at:at + HELD_OUT]) * int(assignments) / rows:.2f}"
                for at in range(0, len(folds), HELD_OUT))
            print(f"{pathlib.Path(path).stem:24s} {model:34s} {100 * accuracy:7.2f} % {100 * half:6.2f} {seconds:8.1f} "
                  f"  {each}", flush=True)


if __name__ == "__main__":
    main()
