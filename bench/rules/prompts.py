"""The questions of demo/questions.jsonl by their kind. "fact" questions have a short answer; the others want some
sentences."""

import collections
import json
import pathlib

KINDS = collections.defaultdict(list)
for line in (pathlib.Path(__file__).parents[2] / "demo" / "questions.jsonl").read_text().splitlines():
    question = json.loads(line)
    KINDS[question["id"].rsplit("-", 1)[0]].append(question["prompt"])
