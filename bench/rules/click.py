#!/usr/bin/env python3
"""From a click to the new head when much has been taught already: seconds beyond the evaluation of the new pair.

    bench/rules/click.py --coala build/bin/coala --model smollm2.gguf --replies pool.jsonl [--lessons 500] [--threads 2]

`replies.jsonl` is what `coala sample` writes (bench/rules/run.py keeps one as pool.jsonl). Pairs are made of the first
words of two replies to a prompt, so that teaching them does not take long; the shorter sentence is the better one. All
but the last ten are in the server's file when it begins, which is every lesson it starts with; ten are said. (Every
fiftieth lesson looks at all penalties again: it is among the ten.)
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import tempfile
import time

from teach import Server

WORDS = 12
SAID = 10


def pairs_of(rows, count):
    by_prompt = {}
    for row in rows:
        words = row["text"].split()[:WORDS]
        if words:
            by_prompt.setdefault(row["id"], (row["prompt"], []))[1].append(" ".join(words))
    pairs = []
    for prompt, texts in by_prompt.values():
        for one, other in itertools.combinations(sorted(set(texts), key=len), 2):
            pairs.append({"messages": prompt, "chosen": one, "rejected": other})
    pairs.sort(key=lambda pair: (len(pair["rejected"]), pair["rejected"]))
    return pairs[:count]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coala", default="build/bin/coala")
    parser.add_argument("--model", required=True)
    parser.add_argument("--replies", required=True)
    parser.add_argument("--lessons", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    rows = [json.loads(line) for line in pathlib.Path(options.replies).read_text().splitlines()]
    pairs = pairs_of(rows, options.lessons)
    with tempfile.TemporaryDirectory() as folder:
        known = os.path.join(folder, "pairs.jsonl")
        with open(known, "w", encoding="utf-8") as file:
            for pair in pairs[:-SAID]:
                file.write(json.dumps({"prompt": pair["messages"], "chosen": pair["chosen"],
                                       "rejected": pair["rejected"]}) + "\n")
        server = Server(options, known)
        beyond, solved = [], []
        for pair in pairs[-SAID:]:
            start = time.monotonic()
            said = server.ask("/v1/feedback", pair)
            beyond.append(time.monotonic() - start - said["seconds"]["evaluation"])
            solved.append(said["seconds"]["solution"])
        server.stop()
    print(f"{len(pairs)} lessons: {statistics.median(beyond):.3f} s beyond the evaluation of the new pair (median of {SAID}; "
          f"at most {max(beyond):.3f}), of which {statistics.median(solved):.3f} s (at most {max(solved):.3f}) solve")


if __name__ == "__main__":
    main()
