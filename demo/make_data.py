"""Writes the demo's data: pairs and conversations to learn from and to evaluate on, prompts to reply to.
`python3 demo/make_data.py FOLDER` writes them for trying things out."""

import argparse
import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True

from world.lessons import make_conversations, make_pairs, make_prompts  # noqa: E402


def write_lines(path, records):
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    os.replace(temporary, path)


def write_data(folder, sizes):
    """Files for the numbers in `sizes`; returns {what: how many}."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "pairs.jsonl", make_pairs("train", sizes.pairs, sizes.seed))
    write_lines(folder / "pairs.eval.jsonl", make_pairs("eval", sizes.eval_pairs, sizes.seed))
    write_lines(folder / "conversations.jsonl", make_conversations("train", sizes.conversations, sizes.seed))
    write_lines(folder / "conversations.eval.jsonl", make_conversations("eval", sizes.eval_conversations, sizes.seed))
    write_lines(folder / "prompts.jsonl", make_prompts("unseen", sizes.prompts, sizes.seed))
    return {"pairs": sizes.pairs, "evaluation pairs": sizes.eval_pairs, "conversations": sizes.conversations,
            "evaluation conversations": sizes.eval_conversations, "prompts": sizes.prompts}


def add_sizes(parser, pairs, eval_pairs, conversations, eval_conversations, prompts):
    """Options for how much of each there is, and these defaults."""
    parser.add_argument("--pairs", type=int, default=pairs)
    parser.add_argument("--eval-pairs", type=int, default=eval_pairs)
    parser.add_argument("--conversations", type=int, default=conversations)
    parser.add_argument("--eval-conversations", type=int, default=eval_conversations)
    parser.add_argument("--prompts", type=int, default=prompts)
    parser.add_argument("--seed", type=int, default=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    add_sizes(parser, pairs=120, eval_pairs=60, conversations=60, eval_conversations=30, prompts=12)
    options = parser.parse_args()
    for what, count in write_data(options.folder, options).items():
        print(f"{count} {what}")


if __name__ == "__main__":
    main()
