#!/usr/bin/env python3
"""coala beside what a practitioner would use on the same features: logistic regression and a two-layer network of
scikit-learn, both tuned by cross-validation on the training rows. One split by prompt, the same for all; time on all
cores, from features in memory (coala: whole process) to the chosen model. Usage: rivals.py BINARY FEATURES ...

Run by an environment with bench/requirements.txt; bench/run.sh makes one.
"""

import json
import pathlib
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

HELD_OUT = 5  # every fifth prompt
FOLDS = 5


def split(path):
    """Columns of the training and of the held-out prompts."""
    tensors = load_file(path)
    rows = len(next(iter(tensors.values())))
    prompts = tensors.get("prompt_id", numpy.arange(rows))
    _, index = numpy.unique(prompts, return_inverse=True)
    held_out = numpy.random.default_rng(0).permutation(index.max() + 1)[index] % HELD_OUT == 0
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


def coala(binary, train, test, folder):
    for name, tensors in (("train", train), ("test", test)):
        save_file(tensors, folder / f"{name}.safetensors")
    start = time.monotonic()
    done = subprocess.run([binary, "train", "--features", folder / "train.safetensors", "--eval-features",
                           folder / "test.safetensors", "--out", folder / "head.safetensors", "--json", "--quiet"],
                          check=True, stdout=subprocess.PIPE)
    metrics = json.loads(done.stdout)
    accuracy = metrics.get("eval_accuracy", metrics.get("eval_rewards/accuracies"))
    return accuracy, time.monotonic() - start, f"gap {metrics['solver']['relative_gap']:.0e}"


def main():
    binary, *paths = sys.argv[1:]
    print(f"{'features':24s} {'model':34s} {'accuracy':>9s} {'+-':>6s} {'s':>8s}")
    for path in paths:
        train, test = split(path)
        x, y = rows_of(train)
        unseen, labels = rows_of(test)
        scaler = StandardScaler(with_mean="features" in train).fit(x)
        x, unseen = scaler.transform(x), scaler.transform(unseen)
        rows = len(next(iter(test.values())))
        name = pathlib.Path(path).stem

        def show(model, accuracy, seconds, note=""):
            half = 1.96 * (accuracy * (1 - accuracy) / rows) ** 0.5
            print(f"{name:24s} {model:34s} {100 * accuracy:7.2f} % {100 * half:6.2f} {seconds:8.1f} {note}", flush=True)

        with tempfile.TemporaryDirectory() as folder:
            show("coala train", *coala(binary, train, test, pathlib.Path(folder)))
        for model, make in sklearn_models("chosen" in train).items():
            start = time.monotonic()
            fitted = make().fit(x, y)
            seconds = time.monotonic() - start
            show(model, float(numpy.mean(fitted.predict(unseen) == labels)), seconds)


if __name__ == "__main__":
    main()
