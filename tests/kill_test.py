#!/usr/bin/env python3
"""Kills `coala extract` at random moments and starts it again until it is done: the file must have the bytes of an
uninterrupted run, and nothing may be left behind. Usage: kill_test.py BINARY MODEL KILLS PAIRS [SEED]"""

import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

STORE = ("--max-file-size", "200KB")
WORDS = "the hen inn sand and ran in a tent hat it is an art".split()


def write_pairs(path, count, source):
    def text(longest):
        return " ".join(source.choice(WORDS) for _ in range(source.randint(1, longest)))

    with open(path, "w", encoding="utf-8") as lines:
        for _ in range(count):
            prompt = text(6)
            lines.write(json.dumps({"prompt": prompt, "chosen": text(30) + ".", "rejected": text(30)}) + "\n")


def content(out):
    """The bytes of a file, or of all files of a folder by name."""
    if out.is_dir():
        return {path.name: path.read_bytes() for path in out.iterdir()}
    return out.read_bytes()


def main():
    binary, model, kills, pairs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    source = random.Random(int(sys.argv[5]) if len(sys.argv) > 5 else 0)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = folder / "pairs.jsonl"
        write_pairs(data, pairs, source)

        def command(out, *more):
            return [binary, "extract", "--model", model, "--data", data, "--out", out, "--quiet", *more]

        start = time.monotonic()
        subprocess.run(command(folder / "whole"), check=True, stdout=subprocess.DEVNULL)
        whole_s = time.monotonic() - start
        subprocess.run(command(folder / "store", *STORE), check=True, stdout=subprocess.DEVNULL)
        expected = {name: content(folder / name) for name in ("whole", "store")}
        done = jobs = 0
        while done < kills:
            jobs += 1
            out = folder / "out"
            # Every other job in two shards, one after the other, and every third to a folder of files.
            steps = [("--shard", "2/2"), ("--shard", "1/2")] if jobs % 2 == 0 else [()]
            kind = "store" if jobs % 3 == 0 else "whole"
            for step in steps:
                while True:
                    process = subprocess.Popen(command(out, *step, *(STORE if kind == "store" else ())), stdout=subprocess.DEVNULL)
                    try:
                        # Early ones hit the start, late ones the end, where files are put together and renamed.
                        status = process.wait(timeout=source.uniform(0.2, 1.3) * whole_s / len(steps)
                                              if done < kills else None)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                        done += 1
                        continue
                    if status != 0:
                        sys.exit(f"after {done} kills the command ended with status {status}")
                    break
            if content(out) != expected[kind]:
                sys.exit(f"after {done} kills the bytes differ from those of an uninterrupted run")
            left = sorted(path.name for path in folder.iterdir())
            if left != ["out", "pairs.jsonl", "store", "whole"]:
                sys.exit(f"left behind: {left}")
            shutil.rmtree(out) if kind == "store" else out.unlink()
        print(f"{done} kills in {jobs} jobs of {whole_s:.1f} s: always resumed, always the same bytes")


if __name__ == "__main__":
    main()
