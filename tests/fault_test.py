#!/usr/bin/env python3
"""File operations of a run fail, one in each run: it must end with one message and status 1 or 2, leave no file under a
final name that differs from a whole one, and a second run must give the same bytes as if nothing had happened. Half
reads and writes and interrupted calls must not be noticed at all; a file that was cut short must be refused.
Usage: fault_test.py BINARY SHIM MODEL [--long] [COMMAND ...]"""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

HALF = -1  # a read or write that takes half of the bytes
# The first fault of a function is that of the short mode.
FAULTS = {
    "open": [errno.EACCES, errno.EMFILE, errno.ENOSPC],
    "write": [errno.ENOSPC, HALF, errno.EIO, errno.EINTR],
    "read": [errno.EIO, HALF, errno.EINTR],
    "fsync": [errno.EIO, errno.ENOSPC],
    "rename": [errno.EACCES, errno.ENOSPC],
    "mmap": [errno.ENOMEM, errno.EACCES],
    "close": [errno.EIO],
    "ftruncate": [errno.EIO],
    "mkdir": [errno.EACCES, errno.ENOSPC],
}
HARMLESS = {HALF, errno.EINTR}
# Files whose bytes hold times; all others must be the same whenever they are made.
TIMED = {"metrics.json", "report.html"}
TIMED_VALUES = {"peak_rss_bytes", "seconds"}
ANSWERS = {"score", "eval", "eval --generate"}  # what these print is their result
SMALL = ["--gates", "3", "--path-length", "6", "--selection-folds", "3"]
JUDGE = """awk '{print "{\\"score\\": " length($0) "}"}'"""


def write_pairs(path):
    rng = random.Random(1)
    words = "the hen and inn a tree ran in sand".split()
    with open(path, "w", encoding="utf-8") as file:
        for i in range(60):
            text = " ".join(rng.choice(words) for _ in range(6))
            print(json.dumps({"prompt": f"question {i}", "chosen": "certainly, " + text, "rejected": text}), file=file)


def final_files(folder):
    """Bytes of the files that stand under their final names."""
    result = {}
    for where, _, names in os.walk(os.path.join(folder, "out")):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                result[os.path.relpath(path, folder)] = file.read()
    return result


def printed(text):
    """What a command printed, without times."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    return {key: value[key] for key in value if key not in TIMED_VALUES}


class Check:
    def __init__(self, folder, shim, long):
        self.folder = folder
        self.shim = shim
        self.long = long
        self.faults = 0
        self.failures = []

    def run(self, arguments, fault=None, count=False):
        environment = dict(os.environ) | {"TMPDIR": os.path.join(self.folder, "tmp")}
        if fault or count:
            environment |= {"LD_PRELOAD": self.shim, "COALA_FAULT_FOLDER": self.folder}
        if fault:
            environment |= {"COALA_FAULT": "%s:%d:%d" % fault, "COALA_FAULT_HIT": self.folder + ".hit"}
        if count:
            environment |= {"COALA_FAULT_COUNT": self.folder + ".count"}
        return subprocess.run(arguments, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120,
                              check=False)

    def clear(self):
        for name in ("out", "tmp"):
            path = os.path.join(self.folder, name)
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path)
        if os.path.exists(self.folder + ".hit"):
            os.remove(self.folder + ".hit")

    def calls(self):
        with open(self.folder + ".count", encoding="utf-8") as file:
            return {line.split()[0]: int(line.split()[1]) for line in file}

    def positions(self, calls):
        """Which of so many calls fail: the first and the last ones, and some between."""
        most = 8 if self.long else 2
        if calls <= most:
            return range(1, calls + 1)
        return sorted({1 + k * (calls - 1) // (most - 1) for k in range(most)})

    def failed(self, what):
        self.failures.append(what)
        print(what)

    def command(self, name, arguments, inputs):
        self.clear()
        whole = self.run(arguments, count=True)
        assert whole.returncode == 0, whole.stderr
        expected = final_files(self.folder), printed(whole.stdout)
        before = self.faults
        for function, calls in self.calls().items():
            for error in FAULTS[function] if self.long else FAULTS[function][:1]:
                for n in self.positions(calls):
                    self.one(name, arguments, expected, (function, n, error))
        for path in inputs:
            self.cut(name, arguments, path)
        print(f"{name}: {self.faults - before} faults", flush=True)

    def one(self, name, arguments, expected, fault):
        function, n, error = fault
        what = f"{name}: {function} {n} {'half' if error == HALF else errno.errorcode[error]}"
        files, output = expected
        self.clear()
        result = self.run(arguments, fault)
        if not os.path.exists(self.folder + ".hit"):
            return  # what llama.cpp reads and maps may vary
        self.faults += 1
        if result.returncode == 0:  # an operation that the run can do without
            if final_files(self.folder).keys() != files.keys():
                self.failed(f"{what}: status 0, but files are missing")
            if name in ANSWERS and printed(result.stdout) != output:
                self.failed(f"{what}: status 0, but another answer")
        elif error in HARMLESS:
            self.failed(f"{what}: status {result.returncode}\n{result.stderr}")
        else:
            self.check_refusal(what, result)
        for path, data in final_files(self.folder).items():
            if path in files and os.path.basename(path) not in TIMED and data != files[path]:
                self.failed(f"{what}: {path} is not whole")
        again = self.run(arguments)
        if again.returncode != 0:
            self.failed(f"{what}: the second run failed\n{again.stderr}")
        after = final_files(self.folder)
        for path, data in files.items():
            if os.path.basename(path) not in TIMED and after.get(path) != data:
                self.failed(f"{what}: {path} differs after the second run")
        for path in after.keys() - files.keys():
            self.failed(f"{what}: {path} is left over")
        if os.listdir(os.path.join(self.folder, "tmp")):
            self.failed(f"{what}: something is left in the folder for temporary files")

    def check_refusal(self, what, result):
        messages = [line for line in result.stderr.splitlines() if line.startswith("coala: ")]
        if result.returncode not in (1, 2) or len(messages) != 1 or "internal error" in result.stderr:
            self.failed(f"{what}: status {result.returncode}, {len(messages)} messages\n{result.stderr}")

    def cut(self, name, arguments, path):
        """An input that ends too early."""
        with open(path, "rb") as file:
            data = file.read()
        places = 8 if self.long else 1
        for k in range(places):
            size = len(data) * (k + 1) // (places + 1)
            while data[size - 1:size] in b"}\n":  # a shorter file of lines is a whole one
                size -= 1
            with open(path, "wb") as file:
                file.write(data[:size])
            self.clear()
            result = self.run(arguments)
            self.faults += 1
            what = f"{name}: {os.path.basename(path)} cut to {size} of {len(data)} bytes"
            if result.returncode == 0:
                self.failed(f"{what}: taken for a whole one")
            else:
                self.check_refusal(what, result)
            if final_files(self.folder).keys() - {path for path in final_files(self.folder) if "features" in path}:
                self.failed(f"{what}: there is a result")
        with open(path, "wb") as file:
            file.write(data)


def main():
    binary, shim, model_file = map(os.path.abspath, sys.argv[1:4])
    folder = os.path.realpath(tempfile.mkdtemp(prefix="coala-fault-"))
    at = lambda name: os.path.join(folder, name)
    write_pairs(at("pairs.jsonl"))
    with open(at("prompts.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(4))
    model = at("model.gguf")
    shutil.copy(model_file, model)
    check = Check(folder, shim, "--long" in sys.argv[4:])
    wanted = [name for name in sys.argv[4:] if name != "--long"]
    check.clear()
    # A thread, so that calls come in one order. Whole paths: the shim knows the run's files by them.
    common = ["--threads", "1", "--quiet"]
    made = check.run([binary, "align", "--model", model, "--data", at("pairs.jsonl"), "--out", at("made"), *SMALL,
                      "--token-rank", "8"] + common)
    assert made.returncode == 0, made.stderr
    head, features = at("made/head.safetensors"), at("made/features/train.safetensors")
    on_model = ["--model", model, "--data", at("pairs.jsonl")]
    guided = ["--model", model, "--head", head]
    short = ["--data", at("prompts.jsonl"), "--max-tokens", "4"]
    commands = {
        "prepare": (["prepare", "--data", at("pairs.jsonl"), "--out", at("out/p.jsonl"), "--eval-out",
                     at("out/e.jsonl")], [at("pairs.jsonl")]),
        "extract": (["extract", *on_model, "--out", at("out/f.safetensors")], [model]),
        "extract to a folder": (["extract", *on_model, "--out", at("out/f"), "--max-file-size", "8KB"], []),
        "train": (["train", "--features", features, "--token-head", *SMALL, "--out",
                   at("out/h.safetensors")], [features]),
        "align": (["align", *on_model, *SMALL, "--token-rank", "8", "--out", at("out/run")], [at("pairs.jsonl")]),
        "score": (["score", *guided, "--data", at("pairs.jsonl")], [head]),
        "eval": (["eval", "--head", head, "--features", features, "--json"], [features]),
        "generate": (["generate", *guided, *short, "--out", at("out/r.jsonl")], [at("prompts.jsonl")]),
        "export lora": (["export", *guided, "--format", "lora", "--out", at("out/a.gguf")], [head]),
        "export gguf": (["export", *guided, "--format", "gguf", "--out", at("out/m.gguf")], [model]),
        "eval --generate": (["eval", "--generate", *guided, *short, "--guidance", "token", "--judge-command", JUDGE,
                             "--figure", at("out/f.svg"), "--json"], [head]),
    }
    for name, (arguments, inputs) in commands.items():
        if wanted and name not in wanted:
            continue
        check.command(name, [binary] + arguments + common, inputs)
    print(f"{check.faults} faults, {len(check.failures)} failures")
    shutil.rmtree(folder)
    for end in (".hit", ".count"):
        if os.path.exists(folder + end):
            os.remove(folder + end)
    return 1 if check.failures or check.faults == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
