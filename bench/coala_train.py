"""`coala train` beside other code: the same rows held out for all, and what a run reports."""

import dataclasses
import json
import pathlib
import subprocess
import time

import numpy
from safetensors.numpy import load_file, save_file


@dataclasses.dataclass
class Run:
    solver_seconds: float   # from rows in memory to the weights of Phase I, selection included where there is one
    process_seconds: float  # from files to a head file: also baseline, Phase II, certificate and evaluation
    accuracy: float         # of the whole head on the held-out rows


def hold_out_a_fifth(path, folder):
    """Writes train.safetensors and test.safetensors into the folder; returns their tensors."""
    tensors = load_file(path)
    rows = len(tensors["labels"])
    held_out = numpy.random.default_rng(0).permutation(rows) < rows // 5
    parts = [{name: tensor[mask] for name, tensor in tensors.items()} for mask in (~held_out, held_out)]
    for name, part in zip(("train", "test"), parts):
        save_file(part, pathlib.Path(folder) / f"{name}.safetensors")
    return parts


def coala_train(binary, folder, seed, *options):
    """Trains on train.safetensors of the folder, evaluates on its test.safetensors."""
    folder = pathlib.Path(folder)
    start = time.perf_counter()
    done = subprocess.run([binary, "train", "--features", folder / "train.safetensors", "--eval-features",
                           folder / "test.safetensors", "--out", folder / "head.safetensors", "--seed", str(seed),
                           "--json", "--quiet", *options], check=True, stdout=subprocess.PIPE)
    process_seconds = time.perf_counter() - start
    metrics = json.loads(done.stdout)
    solver = metrics["solver"]
    # Of the published program, which selects nothing, these are the seconds of the baseline.
    baseline = solver["selection_seconds"] if solver["model_class"] in ("cronos", "relu") else 0.0
    return Run(solver["seconds"] - baseline, process_seconds, metrics["eval_accuracy"])
