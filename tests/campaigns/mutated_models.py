#!/usr/bin/env python3
"""Models with damaged headers, through `generate` and `score`: each run ends by itself within 20 s, with status 0 or 2,
and takes at most twice the memory of the sound model (of a tiny one 32 MB more). What fails is kept.
Usage: mutated_models.py BINARY MODEL COUNT [SEED]"""

import collections
import os
import random
import shutil
import sys
import tempfile

from program import SMALL_BYTES, Run, make_head, write_pairs

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
    outcomes, slowest, largest, failed = collections.Counter(), 0, 0, []
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
        sound = {name: Run([BINARY, *command], folder) for name, command in commands.items()}
        for name, run in sound.items():
            assert run.status == 0, f"{name}: {run}"
        for i in range(COUNT):
            name = ("generate", "score")[i % 2]
            with open(target, "wb") as file:
                file.write(mutated(data, chance))
            run = Run([BINARY, *commands[name]], folder)
            outcomes[name, run.status] += 1
            slowest = max(slowest, run.seconds)
            largest = max(largest, run.peak_bytes / sound[name].peak_bytes)
            if run.hung or run.status not in (0, 2) or run.peak_bytes > 2 * sound[name].peak_bytes + SMALL_BYTES:
                kept = os.path.join(tempfile.gettempdir(), f"mutated-{SEED}-{i}.gguf")
                shutil.copy(target, kept)
                failed.append(f"{kept}: {name}: {run}")
    print(f"{COUNT} models: {dict(outcomes)}; slowest {slowest:.1f} s, at most {largest:.2f} times the memory")
    print(*failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
