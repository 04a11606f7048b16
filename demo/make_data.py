"""Writes the demo's data: pairs and conversations to learn from and to evaluate on, prompts to reply to."""

import json
import os

from world.lessons import make_conversations, make_pairs, make_prompts


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
