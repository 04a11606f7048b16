#!/usr/bin/env python3
"""What do half-precision features cost in accuracy? The same stored features in F32, F16 and BF16, each trained and
evaluated by 5-fold cross-validation by prompt. Usage: precision.py BINARY FEATURES ...

Run by the Python of tools/python_env.sh. Rounding a stored F32 feature gives the bytes that `coala extract --dtype`
writes (tests/extract_test.cpp), so nothing is extracted here. "loss" is the lowest held-out loss of
the selection on all rows.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from safetensors import safe_open

FEATURES = ("chosen", "rejected", "features")


def bfloat16_bits(values):
    """The upper halves of float32, rounded to nearest, ties to even."""
    bits = values.astype(numpy.float32).view(numpy.uint32).astype(numpy.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def write(tensors, dtype, path):
    header, blobs, offset = {}, [], 0
    names = {"float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int8": "I8"}
    for name, values in tensors.items():
        stored = names[str(values.dtype)]
        if name in FEATURES:
            values = {"F32": lambda v: v.astype(numpy.float32), "F16": lambda v: v.astype(numpy.float16),
                      "BF16": bfloat16_bits}[dtype](values.astype(numpy.float32))
            stored = dtype
        blob = numpy.ascontiguousarray(values).tobytes()
        header[name] = {"dtype": stored, "shape": list(values.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-(len(text) + 8) % 64)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def main():
    binary, *sets = sys.argv[1:]
    print(f"{'features':24s} {'type':5s} {'MB':>6s} {'accuracy':>9s} {'95 % interval':>18s} {'logistic':>9s} {'loss':>7s}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for features in sets:
            with safe_open(features, "numpy") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}
            # Wide types first: every tensor then starts at a multiple of its own size.
            tensors = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize if item[0] not in FEATURES
                                  else -4 if item[1].dtype.itemsize > 1 else 0))
            for dtype in ("F32", "F16", "BF16"):
                path = folder / "features"
                write(tensors, dtype, path)
                done = subprocess.run([binary, "train", "--features", path, "--folds", "5", "--out", folder / "head",
                                       "--json", "--quiet"], check=True, stdout=subprocess.PIPE)
                metrics = json.loads(done.stdout)
                key = "eval_accuracy" if "eval_accuracy" in metrics else "eval_rewards/accuracies"
                low, high = metrics[key + "_ci95"]
                loss = min(point["held_out_loss"] for point in metrics["solver"]["path"])
                print(f"{pathlib.Path(features).stem:24s} {dtype:5s} {path.stat().st_size / 1e6:6.1f} "
                      f"{100 * metrics[key]:7.2f} % [{100 * low:6.2f}, {100 * high:6.2f}] "
                      f"{100 * metrics['baseline/logistic_accuracy']:7.2f} % {loss:7.4f}", flush=True)


main()
