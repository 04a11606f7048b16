#!/usr/bin/env python3
"""Every command, stopped by SIGTERM, SIGINT or SIGHUP at a random moment: it ends within a second, leaves no temporary
file, and started again gives the bytes that it gives when nobody stops it.
Usage: stops.py BINARY MODEL COUNT [SEED]"""

import collections
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from program import Run, make_head, write_pairs

BINARY, MODEL = map(os.path.abspath, sys.argv[1:3])
COUNT = int(sys.argv[3])
SEED = int(sys.argv[4]) if len(sys.argv) > 4 else 1
LATEST_S = 1.0
STOPPED = 130

COMMANDS = {
    "prepare": (["prepare", "--data", "pairs.jsonl", "--out", "z.jsonl.gz"], ["z.jsonl.gz"]),
    "extract": (["extract", "--model", MODEL, "--data", "pairs.jsonl", "--out", "x.st", "--token-rank", "8"], ["x.st"]),
    "train": (["train", "--features", "f.st", "--out", "y.st", "--token-head"], ["y.st"]),
    "align": (["align", "--model", MODEL, "--data", "pairs.jsonl", "--out", "aligned"],
              ["aligned/head.safetensors", "aligned/features/train.safetensors"]),
    "generate": (["generate", "--model", MODEL, "--data", "prompts.jsonl", "--max-tokens", "60", "--ignore-eos", "--out",
                  "r.jsonl"], ["r.jsonl"]),
    "score": (["score", "--model", MODEL, "--head", "h.st", "--data", "pairs.jsonl"], []),
    "eval": (["eval", "--model", MODEL, "--head", "h.st", "--data", "pairs.jsonl"], []),
    "eval --generate": (["eval", "--generate", "--model", MODEL, "--head", "h.st", "--data", "prompts.jsonl", "--max-tokens",
                         "20", "--judge-command", r"""sed -u 's/.*/{"score": 1}/'"""], []),
    "export": (["export", "--model", MODEL, "--head", "h.st", "--format", "gguf", "--out", "e.gguf"], ["e.gguf"]),
    "inspect": (["inspect", "f.st"], []),
}


def digest(folder, names):
    result = []
    for name in names:
        with open(os.path.join(folder, name), "rb") as file:
            result.append(hashlib.sha256(file.read()).hexdigest())
    return result


def left_behind(folder):
    return [name for _, _, names in os.walk(folder) for name in names if "coala-tmp" in name or name.startswith(".coala")]


def remove(folder, command):
    for name in os.listdir(folder):
        if name in ("pairs.jsonl", "prompts.jsonl", "f.st", "h.st"):
            continue
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def main():
    chance = random.Random(SEED)
    outcomes, latest, failed = collections.Counter(), 0, []
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(os.path.join(folder, "pairs.jsonl"), 1500)
        with open(os.path.join(folder, "prompts.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(400))
        make_head(BINARY, MODEL, folder)
        whole = {}
        for name, (arguments, outputs) in COMMANDS.items():
            run = Run([BINARY, *arguments, "--quiet"], folder, limit_s=300)
            assert run.status == 0, f"{name}: {run}"
            whole[name] = (run.seconds, digest(folder, outputs))
            remove(folder, name)
        for i in range(COUNT):
            name = list(COMMANDS)[i % len(COMMANDS)]
            arguments, outputs = COMMANDS[name]
            seconds, expected = whole[name]
            number = chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
            process = subprocess.Popen([BINARY, *arguments, "--quiet"], cwd=folder, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(chance.random() * seconds)
            start = time.monotonic()
            process.send_signal(number)
            try:
                message = process.communicate(timeout=20)[1].decode(errors="replace")
            except subprocess.TimeoutExpired:
                process.kill()
                failed.append(f"{name}: {number.name}: still there after 20 s")
                continue
            took = time.monotonic() - start
            outcomes[name, process.returncode] += 1
            latest = max(latest, took if process.returncode == STOPPED else 0)
            if process.returncode not in (0, STOPPED, -number):  # by the signal itself: before or after all work
                failed.append(f"{name}: {number.name}: status {process.returncode}: {message[:300]}")
            if process.returncode == STOPPED and took > LATEST_S:
                failed.append(f"{name}: {number.name}: ended after {took:.2f} s")
            if left := left_behind(folder):
                failed.append(f"{name}: {number.name}: left behind: {left}")
            again = Run([BINARY, *arguments, "--quiet"], folder, limit_s=300)
            if again.status != 0 or digest(folder, outputs) != expected:
                failed.append(f"{name}: {number.name}: started again: {again}")
            remove(folder, name)
    print(f"{COUNT} stops: {dict(outcomes)}; the latest after {latest:.2f} s")
    print(*failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
