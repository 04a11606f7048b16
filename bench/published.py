#!/usr/bin/env python3
"""coala beside the published JAX implementation of CRONOS, in one run: raw features, a fifth of the rows held out, all
cores, float32, repetitions interleaved (seed = repetition; the gates are each side's own). (a) the same 6 x 32
iterations, (b) the time to the accuracy that the published code ends with at its better rho, with a penalty fixed
beforehand as theirs is (bench_time_to_accuracy), and with one that is selected, (c) the default program with everything
against the six iterations. Theirs is timed from arrays in memory, after a warm-up run that compiles.
coala cronos is no candidate of (b): its accuracy owes something to the second layer, which its solver seconds leave out.
Usage: published.py BUILD_BIN FEATURES [--checkout DIR]

Run by an environment with bench/requirements-published.txt; bench/run.sh makes one.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import jax
import jax.numpy as jnp

from coala_train import Run, coala_train, hold_out_a_fifth
from published_code import COMMIT, DRIVERS, RHOS, PublishedCronos

REPETITIONS = 5


def theirs(driver, rho):
    return f"published {driver}.py, rho {rho:g}"


def ours(rho):
    return f"coala cronos, rho {rho:g}"


FIXED, LINEAR, DEFAULT = "coala linear, penalty fixed", "coala linear, penalty selected", "coala default, all of it"
RIDGE = 0.01  # lambda / rows, a round number


def middle(runs, field):
    return statistics.median(getattr(run, field) for run in runs)


def ratios(their_runs, our_runs, field):
    """Of the repetitions, theirs over ours: median and range."""
    values = [their.solver_seconds / getattr(our, field) for their, our in zip(their_runs, our_runs)]
    return f"{statistics.median(values):7.2f} ({min(values):.2f}..{max(values):.2f})"


def fit_fixed(build_bin, folder):
    """From features in memory to weights; the process fits 15 times, and its seconds are no use."""
    folder = pathlib.Path(folder)
    done = subprocess.run([build_bin / "bench_time_to_accuracy", folder / "train.safetensors",
                           folder / "test.safetensors", str(RIDGE)], check=True, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    return Run(result["seconds"], result["seconds"], result["accuracy"])


def measure(build_bin, published, folder, train, test):
    binary = build_bin / "coala"
    x, y, unseen, labels = (jnp.asarray(part[name], jnp.float32) for part in (train, test)
                            for name in ("features", "labels"))

    def fit_published(driver, rho, seed):
        u, seconds = published.fit(driver, x, y, rho, seed)
        return Run(seconds, seconds, published.accuracy(u, unseen, labels))

    contenders = {}
    for rho in RHOS:
        for driver in DRIVERS:
            contenders[theirs(driver, rho)] = lambda seed, driver=driver, rho=rho: fit_published(driver, rho, seed)
            if driver == DRIVERS[0]:  # theirs, ours, theirs, ours
                contenders[ours(rho)] = lambda seed, rho=rho: coala_train(
                    binary, folder, seed, "--model-class", "cronos", "--cronos-rho", str(rho))
    contenders[FIXED] = lambda seed: fit_fixed(build_bin, folder)
    contenders[LINEAR] = lambda seed: coala_train(binary, folder, seed, "--model-class", "linear")
    contenders[DEFAULT] = lambda seed: coala_train(binary, folder, seed)

    first = {theirs(driver, rho): fit_published(driver, rho, 0).solver_seconds for rho in RHOS for driver in DRIVERS}
    runs = {name: [] for name in contenders}
    for seed in range(REPETITIONS):
        for name, run in contenders.items():
            runs[name].append(run(seed))
    return runs, first


def report(runs, first):
    print(f"{'medians':38s} {'accuracy':>9s} {'solver s':>9s} {'process s':>10s} {'with compiling s':>17s}")
    for name, own in runs.items():
        compiled = name in first
        process = "-" if compiled or name == FIXED else f"{middle(own, 'process_seconds'):.2f}"
        print(f"{name:38s} {100 * middle(own, 'accuracy'):7.2f} % {middle(own, 'solver_seconds'):9.3f} {process:>10s} "
              f"{f'{first[name]:.2f}' if compiled else '-':>17s}")

    def against(title, their_name, our_name):
        print(f"{title:4s}{their_name:32s} {our_name:38s} {ratios(runs[their_name], runs[our_name], 'solver_seconds'):24s}"
              f"{ratios(runs[their_name], runs[our_name], 'process_seconds')}")

    print(f"\n{'':4s}{'theirs':32s} {'ours':38s} {'ratio, solver (range)':24s}ratio, process")
    for rho in RHOS:
        for driver in DRIVERS:
            against("(a)", theirs(driver, rho), ours(rho))
    best_rho = max(RHOS, key=lambda rho: middle(runs[theirs(DRIVERS[0], rho)], "accuracy"))
    for driver in DRIVERS:
        target = middle(runs[theirs(driver, best_rho)], "accuracy")
        for name in (FIXED, LINEAR):
            if middle(runs[name], "accuracy") >= target:
                against("(b)", theirs(driver, best_rho), name)
    for rho in RHOS:
        for driver in DRIVERS:
            against("(c)", theirs(driver, rho), DEFAULT)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build_bin", type=pathlib.Path, help="folder of coala and bench_time_to_accuracy")
    parser.add_argument("features")
    parser.add_argument("--checkout", help="of the published code; without it, it is cloned into the cache")
    options = parser.parse_args()
    published = PublishedCronos(options.checkout)
    with tempfile.TemporaryDirectory() as folder:
        train, test = hold_out_a_fifth(options.features, folder)
        print(f"published code {COMMIT[:12]}, jax {jax.__version__}, {os.cpu_count()} cores; "
              f"{len(train['labels'])} rows, {len(test['labels'])} held out, {REPETITIONS} repetitions", flush=True)
        report(*measure(options.build_bin, published, folder, train, test))


if __name__ == "__main__":
    main()
