#!/usr/bin/env python3
"""Exact judges, as a program and behind an endpoint that speaks for them, give the same win rates: of the tutoring
world's replies, and of replies to the questions of bench/rules by its rules.

Usage: judge_exact_test.py BINARY [unittest's options]
COALA_REAL_MODEL names a model whose own replies are judged, too (`make real`)."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path[:0] = [str(ROOT / "demo"), str(ROOT / "bench" / "rules")]

from rules import RULES  # noqa: E402
from scripted_endpoint import KEY, Endpoint  # noqa: E402
from world.judge import judge, read_question  # noqa: E402
from world.lessons import make_prompts  # noqa: E402
from world.writer import draw_qualities, write_reply  # noqa: E402

BINARY = os.path.abspath(sys.argv[1])
MODEL = os.environ.get("COALA_REAL_MODEL", "")
# A program that keeps a rule: `follows` is what the endpoint is asked, too.
RULE_PROGRAM = f"""import json, sys
sys.path[:0] = [{str(ROOT / 'bench' / 'rules')!r}]
from rules import RULES
for line in sys.stdin:
    reply = json.loads(line)
    print(json.dumps({{"score": bool(RULES[sys.argv[1]][1](reply["id"].rsplit("-", 1)[0], reply["response"], True))}}), flush=True)
"""


def compared(folder, replies, against, command, server):
    """The comparison of each judge: the program's, the endpoint's."""
    results = []
    for name, asked in (("program", ["--judge-command", command]),
                        ("endpoint", ["--endpoint", server.url, "--judge-model", "speaker", "--parallel", "8"])):
        done = subprocess.run([BINARY, "judge", "--replies", replies, "--against", against, "--transcript", f"{name}.jsonl",
                               "--json", "--quiet", *asked], cwd=folder, capture_output=True, text=True,
                              env=os.environ | {"COALA_JUDGE_KEY": KEY})
        assert done.returncode == 0, (name, done.returncode, done.stderr)
        results.append(json.loads(done.stdout)["comparisons"][0]["judges"][0])
    return results


def rule_score(rule, kinds):
    return lambda conversation, reply: int(bool(RULES[rule][1](kinds[conversation], reply, True)))


def questions():
    return [json.loads(line) for line in (ROOT / "demo" / "questions.jsonl").read_text(encoding="utf-8").splitlines()]


def question_of(row):
    return row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][-1]["content"]


def kinds_of(path):
    rows = [json.loads(line) for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines()]
    return {question_of(row): row["id"].rsplit("-", 1)[0] for row in rows}


class Exact(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Endpoint()

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)

    def write(self, name, rows):
        with open(self.folder / name, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def check(self, command, truth):
        """@param truth: of each pair 1, 1/2 or 0"""
        program, endpoint = compared(self.folder, "a.jsonl", "b.jsonl", command, self.server)
        self.assertAlmostEqual(program["win_rate"], sum(truth) / len(truth), places=12)
        for key in ("win_rate", "win_rate_without_ties", "win_rate_interval", "ties"):
            if key in program:
                self.assertEqual(program[key], endpoint[key], key)
        self.assertEqual(endpoint["win_rate"], program["win_rate"])

    def test_the_tutoring_world(self):
        draw = random.Random(3)
        sources = ([], [])
        truth = []
        for prompt in make_prompts("unseen", 150, seed=2):
            turn = prompt["prompt"][-1]["content"]
            replies = [write_reply(draw, read_question(turn), draw_qualities(draw, keep)) for keep in (0.8, 0.6)]
            for source, text in zip(sources, replies):
                source.append({**prompt, "text": text})
            scores = [judge(turn, text).score for text in replies]
            truth.append(0.5 + 0.5 * ((scores[0] > scores[1]) - (scores[0] < scores[1])))
        self.assertTrue(0.52 < sum(truth) / len(truth) < 0.95, truth)
        for name, rows in zip(("a.jsonl", "b.jsonl"), sources):
            self.write(name, rows)
        self.server.reset(seconds=0, score=lambda conversation, reply: judge(conversation, reply).score)
        self.check(f"{sys.executable} {ROOT / 'demo' / 'judge.py'}", truth)

    def check_rules(self, sources):
        """Every rule, of replies with the ids of the questions' kinds."""
        for name, rows in zip(("a.jsonl", "b.jsonl"), sources):
            self.write(name, rows)
        (self.folder / "rule.py").write_text(RULE_PROGRAM)
        kinds = kinds_of(self.folder / "a.jsonl")
        for rule in RULES:
            with self.subTest(rule=rule):
                score = rule_score(rule, kinds)
                for name in ("program.jsonl", "endpoint.jsonl"):
                    (self.folder / name).unlink(missing_ok=True)
                self.server.reset(seconds=0, score=score)
                kept = [[score(question_of(row), row["text"]) for row in rows] for rows in sources]
                self.check(f"{sys.executable} rule.py '{rule}'", [0.5 + 0.5 * (ours - theirs) for ours, theirs in zip(*kept)])

    def test_rules(self):
        draw = random.Random(4)
        said = ["I think that it may be so.", "It is twelve, for example.", "- one\n- two", "Don't worry! It's fine.",
                "That is all there is to say about this matter, which is long and not at all simple to explain here.",
                "Shall I go on?"]
        self.check_rules([[{**question, "text": " ".join(draw.sample(said, draw.randint(1, 4)))} for question in questions()]
                          for _ in range(2)])

    @unittest.skipUnless(MODEL, "COALA_REAL_MODEL is not set; `make real` fetches the model")
    def test_rules_of_a_real_model(self):
        """Its replies as it is against those with a wish as system prompt."""
        asked = random.Random(5).sample(questions(), 40)
        sources = []
        for system in (None, RULES["short sentences"][0]):
            first = [{"role": "system", "content": system}] if system else []
            self.write("q.jsonl", [{"id": q["id"], "prompt": [*first, {"role": "user", "content": q["prompt"]}]} for q in asked])
            done = subprocess.run([BINARY, "generate", "--model", MODEL, "--data", "q.jsonl", "--max-tokens", "60", "--temperature",
                                   "1", "--seed", str(len(sources)), "--quiet"], cwd=self.folder, capture_output=True, text=True,
                                  check=True)
            written = {row["id"]: row["text"] for row in map(json.loads, done.stdout.splitlines())}
            sources.append([{**q, "text": written[q["id"]]} for q in asked])
        self.check_rules(sources)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
