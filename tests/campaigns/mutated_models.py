#!/usr/bin/env python3
"""Models with damaged headers, through `generate` and `score`: each run ends by itself within 20 s, with status 0 or 2,
and takes at most twice the memory of the sound model (of a tiny one 32 MB more). What fails is kept.
Usage: mutated_models.py BINARY MODEL COUNT [SEED]"""

import os
import random
import shutil
import sys
import tempfile

from program import Bounded, make_head, write_pairs

BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])
COUNT = int(sys.argv[3])
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
HEADER_BYTES = 60000


def mutated(data, chance):
    changed = bytearray(data)
    end = min(len(data), HEADER_BYTES)
    kind = chance.randrange(5)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(4, end)
        if kind == 0:
            changed[at] = chance.randrange(256)
        elif kind == 1:
            edge = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\0\0\0", b"\0\0\0\x80", chance.randbytes(4)]
            changed[at:at + 4] = chance.choice(edge)
        elif kind == 2:
            changed[at:at + 8] = chance.choice([b"\0" * 8, b"\xff" * 8, chance.randbytes(8)])
        elif kind == 3:
            other = chance.randrange(4, end)
            changed[at:at + 8] = changed[other:other + 8]
        else:
            del changed[chance.randrange(end, len(data) + 1) if chance.random() < 0.2 else at:]
            break
    return bytes(changed)


def main():
    chance = random.Random(SEED)
    with open(MODEL, "rb") as file:
        data = file.read()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COALA_CACHE"] = os.path.join(folder, "cache")  # every file is met for the first time
        write_pairs(os.path.join(folder, "pairs.jsonl"), 40)
        make_head(BINARY, MODEL, folder, unbound=True)
        write_pairs(os.path.join(folder, "pairs.jsonl"), 3)
        commands = {
            "generate": ["generate", "--model", "m.gguf", "--prompt", "a cat", "--max-tokens", "2", "--threads", "1"],
            "score": ["score", "--model", "m.gguf", "--head", "h.st", "--allow-unbound", "--data", "pairs.jsonl",
                      "--threads", "1"]}
        target = os.path.join(folder, "m.gguf")
        shutil.copy(MODEL, target)
        trials = Bounded(BINARY, commands, folder)
        for i in range(COUNT):
            name = ("generate", "score")[i % 2]
            with open(target, "wb") as file:
                file.write(mutated(data, chance))
            kept = os.path.join(tempfile.gettempdir(), f"mutated-{SEED}-{i}.gguf")
            if not trials.holds(name, kept):
                shutil.copy(target, kept)
    return trials.report(f"{COUNT} models")


if __name__ == "__main__":
    sys.exit(main())
