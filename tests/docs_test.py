#!/usr/bin/env python3
"""Runs every coala command that README.md and docs/*.md show, as they are written, in a folder that has the files
they name, and compares docs/cli.md and docs/metrics.md with what the program says of itself. Usage: docs_test.py BINARY"""

import glob
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "demo"))

import gguf_files  # noqa: E402
import lora_test  # noqa: E402
import tiny_bert  # noqa: E402
from world.lessons import make_pairs, make_prompts  # noqa: E402


# Programs that a page may start: ours, ours for a while, and what writes the demo's data.
SHOWN = re.compile(r"^ {4}((?:timeout --signal=KILL \S+ )?(?:build/bin/)?coala \S.*|python3 demo/\S.*)$")
KILLED = 128 + 9
KEYS = "1\n" * 1000  # of somebody who always likes the first reply better


def commands():
    """(page, command) of every indented line that starts such a program, in order."""
    for page in [os.path.join(ROOT, "README.md")] + sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))):
        with open(page, encoding="utf-8") as file:
            for line in file:
                match = SHOWN.match(line)
                if match:
                    yield os.path.relpath(page, ROOT), match.group(1)


def write_inputs(folder, binary):
    """The files that the pages use as examples, made from the project's own data."""
    os.makedirs(os.path.join(folder, "build", "bin"))
    os.symlink(binary, os.path.join(folder, "build", "bin", "coala"))
    os.symlink(os.path.join(ROOT, "demo"), os.path.join(folder, "demo"))
    shutil.copy(os.path.join(ROOT, "tests", "files", "tiny-llama.gguf"), os.path.join(folder, "model.gguf"))
    os.symlink("model.gguf", os.path.join(folder, "smollm2.gguf"))
    _, tensors = gguf_files.read(os.path.join(folder, "model.gguf"))
    with open(os.path.join(folder, "template.jinja"), "w", encoding="utf-8") as file:
        file.write("{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}")
    gguf_files.write(os.path.join(folder, "adapter.gguf"), lora_test.adapter_values(),
                     lora_test.random_factors(tensors, ["blk.0.attn_q.weight", "blk.1.ffn_up.weight"], seed=1))
    tiny_bert.write(os.path.join(folder, "bert.gguf"), tiny_bert.random_weights(seed=1))
    lines = [json.dumps(pair) + "\n" for pair in make_pairs("train", 90, seed=1)]
    with open(os.path.join(folder, "prompts.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(prompt) + "\n" for prompt in make_prompts("unseen", 5, seed=1))
    for name, part in [("pairs.jsonl", lines[:80]), ("new.jsonl", lines[80:90])]:
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.writelines(part)
    with open(os.path.join(folder, "tasks.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"task": {"text": f"{i} + 1?"}, "answers": [str(i + 1), str(i)]}) + "\n" for i in range(9))
    with open(os.path.join(folder, "thumbs.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": f"{i} + 1?", "reply": str(i), "vote": "up" if i % 2 else "down"}) + "\n"
                        for i in range(9))
    with gzip.open(os.path.join(folder, "preferences.json.gz"), "wt", encoding="utf-8") as file:
        file.writelines(lines[:80])
    with open(os.path.join(folder, "judge.py"), "w", encoding="utf-8") as file:
        file.write("import json, sys\nfor line in sys.stdin:\n"
                   "    print(json.dumps({'score': len(json.loads(line)['response'])}))\n")
    for name, text in (("aligned.jsonl", "It is {}, because I counted."), ("plain.jsonl", "{}")):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": f"{i} + 1?", "text": text.format(i + 1)}) + "\n" for i in range(9))
    subprocess.run([binary, "extract", "--model", "model.gguf", "--data", "pairs.jsonl", "--out",
                    "features.safetensors", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def answer_study(folder):
    """What two raters of the page save, whom the pages do not show."""
    with open(os.path.join(folder, "study.key.json"), encoding="utf-8") as file:
        key = json.load(file)
    os.makedirs(os.path.join(folder, "answers"))
    for rater in (1, 2):
        comparisons = [{"id": name, "texts": list(one["sources"]), "seconds": 9, "choice": list(one["sources"])[0]}
                       for name, one in key["comparisons"].items()]
        comparisons += [{"id": name, "texts": list(right), "seconds": 9, "choice": next(text for text in right if right[text])}
                        for name, right in key["attention_checks"].items()]
        with open(os.path.join(folder, "answers", f"{rater}.json"), "w", encoding="utf-8") as file:
            json.dump({"coala_study_answers": 1, "study": key["study"], "rater": f"{rater:016x}", "consented": True,
                       "changes": len(comparisons), "comparisons": comparisons}, file)


def check_page(binary, option, page):
    """Whether a page is what the program prints."""
    printed = subprocess.run([binary, option], capture_output=True, text=True, check=True).stdout
    with open(os.path.join(ROOT, page), encoding="utf-8") as file:
        if file.read() == printed:
            return True
    print(f"FAILED: {page} is not what the program prints; write it again: build/bin/coala {option} >{page}")
    return False


def check_pages(binary):
    """How many of the pages that the program prints are not what it prints."""
    pages = {"--help-markdown": "docs/cli.md", "--metrics-markdown": "docs/metrics.md"}
    return sum(not check_page(binary, option, page) for option, page in pages.items())


def main():
    binary = os.path.abspath(sys.argv[1])
    shown = list(commands())
    if len(shown) < 4:
        sys.exit("found hardly any command in the docs: has their form changed?")
    failed = check_pages(binary)
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(folder, binary)
        path = os.path.join(folder, "build", "bin") + os.pathsep + os.environ["PATH"]
        for page, command in shown:
            result = subprocess.run(command, shell=True, cwd=folder, env=os.environ | {"PATH": path},
                                    input=KEYS if "coala choose" in command else "", capture_output=True, text=True)
            if command.startswith("coala study --replies") and result.returncode == 0:
                answer_study(folder)
            ok = result.returncode == 0 or (command.startswith("timeout") and result.returncode == KILLED)
            print(f"{'ok' if ok else 'FAILED'}: {page}: {command}")
            if not ok:
                failed += 1
                print(result.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
