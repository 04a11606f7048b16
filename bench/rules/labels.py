#!/usr/bin/env python3
"""What bench_next_lesson reads, from the replies that bench/rules/run.py has drawn (DIR/seedN/pool.jsonl).

    bench/rules/labels.py DIR/seed2/pool.jsonl replies.jsonl labels.txt "short sentences" casual "first person"
    coala extract --model smollm2.gguf --data replies.jsonl --token-rank 32 --out replies.safetensors
    bench_next_lesson replies.safetensors labels.txt 40

A line of labels.txt is a reply: 1 or 0 for each rule. (The label in replies.jsonl is that of the first rule.)
"""

import json
import pathlib
import sys

from run import follows, question_of, read


def main():
    pool, replies, labels, *rules = sys.argv[1:]
    with open(replies, "w", encoding="utf-8") as texts, open(labels, "w", encoding="utf-8") as numbers:
        for row in read(pathlib.Path(pool)):
            if not row["text"].strip():
                continue
            kept = [follows(rule, row) for rule in rules]
            texts.write(json.dumps({"prompt": question_of(row), "completion": [{"role": "assistant", "content": row["text"]}],
                                    "label": kept[0]}) + "\n")
            numbers.write(" ".join(str(int(one)) for one in kept) + "\n")


if __name__ == "__main__":
    main()
