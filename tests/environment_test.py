#!/usr/bin/env python3
"""The program under conditions that are not its own choice: little memory, a clock that goes backwards, another locale
and time zone, paths with spaces and letters of other alphabets, and more pairs than fit in memory. Results are the same
bytes, or there is one message and no half of a file.
Usage: environment_test.py BINARY SHIM MODEL [--long]"""

import json
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from fault_test import final_files, write_pairs

SMALL = ["--gates", "3", "--path-length", "6", "--selection-folds", "3", "--token-rank", "8"]
# Of a process that streams; what it keeps of each pair are two hashes of 8 bytes, in arrays that double.
MOST_BYTES_PER_PAIR = 64
LEAST_MEMORY = 48 << 20  # below, the system cannot even start the program
MOST_MEMORY = (2 + 2 * (os.cpu_count() or 1)) << 28
TIMED = {"metrics.json", "report.html"}


class Environment:
    def __init__(self, binary, shim, model, folder):
        self.binary, self.shim, self.folder = binary, shim, folder
        self.model = str(folder / "model.gguf")
        shutil.copy(model, self.model)

    def run(self, *arguments, memory=None, preload=False, cwd=None, timeout=60, **environment):
        """A run in an environment without what this machine happens to set."""
        values = {"PATH": os.environ["PATH"], "TMPDIR": str(self.folder)} | environment
        if preload:
            values["LD_PRELOAD"] = self.shim
        limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))) if memory else None
        return subprocess.run([self.binary, *map(str, arguments), "--threads", "2"], env=values, cwd=cwd or self.folder,
                              capture_output=True, text=True, preexec_fn=limit, timeout=timeout, check=False)

    def job(self, cwd, **how):
        """Everything that leaves bytes behind, in a folder of its own; returns files and printed scores."""
        out = cwd / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        write_pairs(cwd / "pairs.jsonl")
        with open(cwd / "prompts.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": f"question {i}"}) + "\n" for i in range(4))
        guided = ["--model", self.model, "--head", "out/run/head.safetensors"]
        errors = ""
        for arguments in (
                ["prepare", "--data", "pairs.jsonl", "--out", "out/p.jsonl.gz", "--eval-out", "out/e.jsonl",
                 "--eval-fraction", "0.25"],
                ["align", "--model", self.model, "--data", "pairs.jsonl", "--out", "out/run", "--tolerance", "1.5e-4",
                 *SMALL],
                ["generate", *guided, "--data", "prompts.jsonl", "--max-tokens", "8", "--temperature", "0.75",
                 "--out", "out/replies.jsonl"],
                ["export", *guided, "--format", "lora", "--out", "out/a.gguf"],
                ["score", *guided, "--data", "pairs.jsonl"]):
            result = self.run(*arguments, cwd=cwd, **how)
            assert result.returncode == 0, (how, arguments, result.stderr)
            errors += result.stderr
        return final_files(str(cwd)) | {"scores": result.stdout}, errors


def differing(found, expected):
    return [name for name in sorted(found.keys() | expected.keys())
            if os.path.basename(name) not in TIMED and found.get(name) != expected.get(name)]


def locales(folder):
    """Names of locales with a comma in numbers, or with other rules for letters: those that are there, or are made."""
    made = folder / "locales"
    made.mkdir()
    names = []
    for language in ("de_DE", "tr_TR"):
        name = language + ".UTF-8"
        if shutil.which("localedef"):
            subprocess.run(["localedef", "-i", language, "-f", "UTF-8", made / name], capture_output=True, check=False)
        if (made / name).exists():
            names.append(name)
    return names, made


def check_surroundings(environment, folder):
    """Locale, time zone, clock and path change no byte."""
    expected, _ = environment.job(folder / "plain")
    names, made = locales(folder)
    print("locales: " + (", ".join(names) or "none can be made here"))
    cases = {name: {"LC_ALL": name, "LOCPATH": str(made), "COALA_USE_LOCALE": "1", "preload": True} for name in names}
    cases["time zone"] = {"TZ": "Pacific/Kiritimati", "LC_ALL": "no_SUCH.locale"}
    cases["clock"] = {"COALA_CLOCK_BACKWARDS": "1", "preload": True}
    for name, how in cases.items():
        found, errors = environment.job(folder / "plain", **how)
        different = differing(found, expected)
        assert not different, f"{name}: {different}"
        # Rates and remaining times of a clock that runs backwards are guesses, but not negative ones.
        assert not re.search(r"(^|[ ,(])-\d|\bnan\b|\binf\b", errors), f"{name}: {errors}"
    found, _ = environment.job(folder / "zwölf Wörter" / "файл и 'кавычки' $HOME; 100 %")
    different = differing(found, expected)
    assert not different, f"path: {different}"
    print(f"{len(cases) + 1} surroundings: the same bytes")


def check_file_names(environment, folder):
    """A name that is no plain word, everywhere a name goes in and out."""
    where = folder / "names"
    where.mkdir()
    write_pairs(where / "Paare für Zoë.jsonl")
    aligned = environment.run("align", "--model", environment.model, "--data", "Paare für Zoë.jsonl", "--out",
                              "aus gabe", *SMALL, "--json", cwd=where)
    assert aligned.returncode == 0, aligned.stderr
    assert json.loads(aligned.stdout)["data"]["training data"] == "Paare für Zoë.jsonl"
    report = (where / "aus gabe" / "report.html").read_text(encoding="utf-8")
    assert "Paare für Zoë.jsonl" in report
    missing = environment.run("prepare", "--data", "nicht da – ß.jsonl", "--out", "x.jsonl", cwd=where)
    assert missing.returncode == 2 and "nicht da – ß.jsonl" in missing.stderr, missing.stderr


def check_output(environment, folder):
    """Answers that cannot be written."""
    where = folder / "output"
    where.mkdir()
    write_pairs(where / "pairs.jsonl")
    for arguments in (["--help-markdown"], ["prepare", "--data", where / "pairs.jsonl", "--out", where / "p.jsonl"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([environment.binary, *arguments], stdout=full, stderr=subprocess.PIPE, text=True,
                                    check=False)
        assert result.returncode == 1 and "coala: input/output error" in result.stderr, result.stderr


def check_memory(environment, folder, places):
    """Less and less address space: a whole result, or one message."""
    where = folder / "memory"
    where.mkdir()
    write_pairs(where / "pairs.jsonl")
    model = ["--model", environment.model]
    made = environment.run("align", *model, "--data", "pairs.jsonl", "--out", "made", *SMALL, cwd=where)
    assert made.returncode == 0, made.stderr
    head, features = "made/head.safetensors", "made/features/train.safetensors"
    commands = {
        "prepare": ["prepare", "--data", "pairs.jsonl", "--out", "out/p.jsonl"],
        "extract": ["extract", *model, "--data", "pairs.jsonl", "--out", "out/f.safetensors"],
        "train": ["train", "--features", features, "--out", "out/h.safetensors"],
        "align": ["align", *model, "--data", "pairs.jsonl", "--out", "out/run", *SMALL],
        "generate": ["generate", *model, "--head", head, "--prompt", "x", "--max-tokens", "4", "--out",
                     "out/r.jsonl"],
        "export": ["export", *model, "--head", head, "--format", "gguf", "--out", "out/m.gguf"],
    }
    counts = {"done": 0, "refused": 0}
    for name, arguments in commands.items():
        shutil.rmtree(where / "out", ignore_errors=True)
        (where / "out").mkdir()
        whole = environment.run(*arguments, cwd=where)
        assert whole.returncode == 0, whole.stderr
        expected = final_files(str(where))

        def attempt(size):
            shutil.rmtree(where / "out", ignore_errors=True)
            (where / "out").mkdir()
            result = environment.run(*arguments, memory=size, cwd=where)
            found = final_files(str(where))
            what = f"{name} in {size >> 20} MiB: status {result.returncode}\n{result.stderr}"
            for path, data in found.items():
                assert os.path.basename(path) in TIMED or "part" in path or data == expected.get(path), what + path
            if result.returncode == 0:
                assert found.keys() == expected.keys(), what
                counts["done"] += 1
                return True
            messages = [line for line in result.stderr.splitlines() if line.startswith("coala: ")
                        and not line.startswith("coala: stage") and "internal error" not in line]
            # Before the program begins: the loader's message, or OpenBLAS's.
            unloaded = ((result.returncode == 127 and "error while loading shared libraries" in result.stderr)
                        or (result.returncode < 0 and "OpenBLAS blas_thread_init" in result.stderr))
            assert unloaded or (result.returncode in (1, 2) and messages), what
            counts["refused"] += 1
            return False

        done = least(attempt)
        for k in range(places):
            attempt(LEAST_MEMORY + (done - LEAST_MEMORY) * k // places)
    print(f"limits of memory: {counts['refused']} refused with a message, {counts['done']} done")


def least(holds):
    """A size in bytes from which on something holds, to 8 MiB."""
    low, high = LEAST_MEMORY, MOST_MEMORY
    assert holds(high)
    while high - low > 8 << 20:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def pair_lines(count):
    """Pairs that are all different, in pieces of a thousand lines."""
    source = random.Random(1)
    words = [" ".join(source.choice("the hen and inn a tree ran in sand".split()) for _ in range(9)) for _ in range(97)]
    for first in range(0, count, 1000):
        yield "".join(f'{{"prompt": "question {i} {words[i % 97]}", "chosen": "{words[i % 89]} {i}", '
                      f'"rejected": "{words[i % 83]} no"}}\n' for i in range(first, min(first + 1000, count))).encode()


def prepared(environment, folder, count):
    """(peak memory in bytes, seconds) of preparing so many pairs, which come through a pipe."""
    fifo = folder / "pairs.fifo"
    os.mkfifo(fifo)

    def feed():
        with open(fifo, "wb", buffering=1 << 20) as pipe:
            for piece in pair_lines(count):
                pipe.write(piece)

    feeder = threading.Thread(target=feed)
    feeder.start()
    start = time.monotonic()
    result = environment.run("prepare", "--data", fifo, "--out", folder / "streamed.jsonl", "--json",
                             timeout=600)
    seconds = time.monotonic() - start
    feeder.join()
    os.remove(fifo)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["written"] == count and report["prompts"] == count and report["duplicates"] == 0, report
    os.remove(folder / "streamed.jsonl")
    return report["peak_rss_bytes"], seconds


def check_streaming(environment, folder, count):
    few, _ = prepared(environment, folder, count // 100)
    many, seconds = prepared(environment, folder, count)
    per_pair = (many - few) / count
    print(f"{count} pairs through a pipe: {seconds:.1f} s, {many / 1e6:.0f} MB at most, {per_pair:.0f} bytes a pair")
    assert per_pair < MOST_BYTES_PER_PAIR


def main():
    binary, shim, model = map(os.path.abspath, sys.argv[1:4])
    long = "--long" in sys.argv[4:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        environment = Environment(binary, shim, model, folder)
        check_surroundings(environment, folder)
        check_file_names(environment, folder)
        check_output(environment, folder)
        check_memory(environment, folder, 40 if long else 0)
        check_streaming(environment, folder, 10_000_000 if long else 200_000)


if __name__ == "__main__":
    main()
