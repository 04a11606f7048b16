#!/usr/bin/env python3
"""Every file operation of a run fails once: each time the run must end with one message and status 1 or 2, leave no
file under a final name that differs from a whole one, and a second run must give the same bytes as if nothing had
happened. Usage: fault_test.py BINARY SHIM MODEL [MOST-FAULTS-PER-FUNCTION]"""

import errno
import json
import os
import random
import subprocess
import sys
import tempfile

FAULTS = [("open", errno.EACCES), ("write", errno.ENOSPC), ("fsync", errno.EIO), ("rename", errno.EACCES),
          ("mmap", errno.ENOMEM), ("read", errno.EIO)]
# Files whose bytes hold times; all others must be the same whenever they are made.
TIMED = {"metrics.json", "report.html"}


def write_pairs(path):
    rng = random.Random(1)
    words = "the hen and inn a tree ran in sand".split()
    with open(path, "w", encoding="utf-8") as file:
        for i in range(60):
            text = " ".join(rng.choice(words) for _ in range(6))
            print(json.dumps({"prompt": f"question {i}", "chosen": "certainly, " + text, "rejected": text}), file=file)


def run(arguments, folder, fault=None, shim=None):
    environment = dict(os.environ)
    if fault:
        environment |= {"LD_PRELOAD": shim, "COALA_FAULT": "%s:%d:%d" % fault, "COALA_FAULT_FOLDER": folder,
                        "COALA_FAULT_HIT": folder + ".hit"}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
                          check=False)


def final_files(folder):
    """Bytes of the files that stand under their final names."""
    result = {}
    for where, _, names in os.walk(os.path.join(folder, "out")):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                result[os.path.relpath(path, folder)] = file.read()
    return result


def clear(folder):
    subprocess.run(["rm", "-rf", os.path.join(folder, "out")], check=True)
    os.mkdir(os.path.join(folder, "out"))


def check_command(name, arguments, folder, shim, most):
    clear(folder)
    whole = run(arguments, folder)
    assert whole.returncode == 0, whole.stderr
    expected = final_files(folder)
    faults = 0
    failures = []
    for function, error in FAULTS:
        for n in range(1, most + 1):
            clear(folder)
            if os.path.exists(folder + ".hit"):
                os.remove(folder + ".hit")
            result = run(arguments, folder, (function, n, error), shim)
            if not os.path.exists(folder + ".hit"):
                break
            faults += 1
            what = f"{name}: {function} {n} {errno.errorcode[error]}"
            messages = [line for line in result.stderr.splitlines() if line.startswith("coala: ")]
            if result.returncode == 0:  # an operation that the run can do without
                if final_files(folder).keys() != expected.keys():
                    failures.append(f"{what}: status 0, but files are missing")
            elif result.returncode not in (1, 2) or len(messages) != 1 or "internal error" in result.stderr:
                failures.append(f"{what}: status {result.returncode}, {len(messages)} messages\n{result.stderr}")
            for path, data in final_files(folder).items():
                base = os.path.basename(path)
                if path in expected and base not in TIMED and data != expected[path]:
                    failures.append(f"{what}: {path} is not whole")
            again = run(arguments, folder)
            if again.returncode != 0:
                failures.append(f"{what}: the second run failed\n{again.stderr}")
            after = final_files(folder)
            for path, data in expected.items():
                if os.path.basename(path) not in TIMED and after.get(path) != data:
                    failures.append(f"{what}: {path} differs after the second run")
            for path in after.keys() - expected.keys():
                failures.append(f"{what}: {path} is left over")
    print(f"{name}: {faults} faults, {len(failures)} failures")
    return faults, failures


def main():
    binary, shim, model = sys.argv[1:4]
    most = int(sys.argv[4]) if len(sys.argv) > 4 else 12
    folder = os.path.realpath(tempfile.mkdtemp(prefix="coala-fault-"))
    write_pairs(os.path.join(folder, "pairs.jsonl"))
    os.mkdir(os.path.join(folder, "out"))
    made = run([binary, "extract", "--model", model, "--data", "pairs.jsonl", "--out", "f.safetensors"], folder)
    assert made.returncode == 0, made.stderr
    # A thread, so that calls come in one order. Whole paths: the shim knows the run's files by them.
    common = ["--threads", "1", "--quiet"]
    at = lambda name: os.path.join(folder, name)
    commands = {
        "prepare": ["prepare", "--data", at("pairs.jsonl"), "--out", at("out/p.jsonl"), "--eval-out", at("out/e.jsonl")],
        "extract": ["extract", "--model", model, "--data", at("pairs.jsonl"), "--out", at("out/f.safetensors")],
        "train": ["train", "--features", at("f.safetensors"), "--out", at("out/h.safetensors")],
        "align": ["align", "--model", model, "--data", at("pairs.jsonl"), "--out", at("out/run")],
    }
    total = 0
    failures = []
    for name, arguments in commands.items():
        faults, failed = check_command(name, [binary] + arguments + common, folder, shim, most)
        total += faults
        failures += failed
    print("\n".join(failures))
    print(f"{total} faults")
    subprocess.run(["rm", "-rf", folder, folder + ".hit"], check=True)
    return 1 if failures or total == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
