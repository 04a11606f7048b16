"""What the tests of the Python package share."""

import importlib.util
import json
import subprocess
import sys


def import_package(folder):
    """coala_align from a folder; the test is skipped where there is no NumPy."""
    if importlib.util.find_spec("numpy") is None:
        print("NumPy is not there (tools/python_env.sh)")
        sys.exit(77)
    sys.path.insert(0, folder)
    import coala_align
    return coala_align


def pair_arrays(rows=200, dimension=16, seed=0):
    """Preferences by a hidden direction, one in ten the other way round: chosen, rejected."""
    import numpy
    random = numpy.random.default_rng(seed)
    texts = random.normal(size=(2, rows, dimension)).astype(numpy.float32)
    worse = ((texts[0] - texts[1]) @ random.normal(size=dimension) < 0) ^ (random.random(rows) < 0.1)
    swap = worse[:, None]
    return numpy.where(swap, texts[1], texts[0]), numpy.where(swap, texts[0], texts[1])


def write_features(path, **arrays):
    """A safetensors file of float32 arrays."""
    header, offset = {}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays.values()))


def tiny_pairs(count=40):
    """Pairs for a tiny model, of as many prompts."""
    words = ["the hen", "an inn", "so tree", "ran in", "and sand"]
    return [{"prompt": f"{words[i % 5]} {words[i // 5 % 5]}" + "!" * (i // 25 + 1), "chosen": f"{words[(i + 1) % 5]} sand",
             "rejected": f"{words[(i + 2) % 5]} hen hen"} for i in range(count)]


def write_lines(path, records):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def run(*command):
    """What a program that must succeed prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout
