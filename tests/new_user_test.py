#!/usr/bin/env python3
"""A new user's way from a wish to a model, with a real instruct model: the README's commands, one after the other, in
an empty folder. The wish is a rule that a program can check, so that the way is shown to lead there.
Usage: new_user_test.py BINARY MODEL.gguf"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNSEEN = 40
MOST_SECONDS = 15 * 60  # of all commands together, on two cores that nobody else uses
# Casual, or not: contractions and exclamation marks.
JUDGE = """import json, re, sys
for line in sys.stdin:
    text = json.loads(line)["response"].replace("\\u2019", "'")
    print(json.dumps({"score": 1 if re.search(r"!|\\w'(?:s|t|re|ll|ve|m|d)\\b", text) else 0}))
"""


class NewUser(unittest.TestCase):
    def test_from_a_wish_to_a_model(self):
        folder = tempfile.mkdtemp(prefix="coala-new-user-")
        self.addCleanup(shutil.rmtree, folder)
        with open(os.path.join(ROOT, "demo", "questions.jsonl"), encoding="utf-8") as file:
            questions = file.readlines()
        unseen = questions[::4]
        with open(os.path.join(folder, "prompts.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(line for i, line in enumerate(questions) if i % 4 == 1)
        with open(os.path.join(folder, "unseen.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(unseen[:UNSEEN])
        with open(os.path.join(folder, "judge.py"), "w", encoding="utf-8") as file:
            file.write(JUDGE)
        shutil.copy(MODEL, os.path.join(folder, "smollm2.gguf"))
        model = ["--model", "smollm2.gguf"]
        head = ["--head", "aligned/head.safetensors"]
        start = time.monotonic()

        def coala(*arguments):
            result = subprocess.run([BINARY, *arguments], cwd=folder, capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 0, result.stderr)
            return result.stdout

        # 1 to 4: what the README shows.
        coala("sample", *model, "--data", "prompts.jsonl", "--max-tokens", "64", "--out", "replies.jsonl")
        coala("choose", "--data", "replies.jsonl", "--judge-command", "python3 judge.py", "--out", "pairs.jsonl")
        said = coala("align", *model, "--data", "pairs.jsonl", "--out", "aligned")
        self.assertRegex(said, "It worked|Too few held-out prompts")
        self.assertIn("coala chat", said)
        chat = subprocess.run([BINARY, "chat", *model, *head, "--max-tokens", "24"], cwd=folder, capture_output=True,
                              text=True, input="How do I make tea?\n", check=False)
        self.assertEqual(chat.returncode, 0, chat.stderr)
        # 5 and 6: did it work, and the model for other programs.
        judged = json.loads(coala("eval", "--generate", *model, *head, "--data", "unseen.jsonl", "--guidance", "token",
                                  "--guidance-scale", "1", "--judge-command", "python3 judge.py", "--max-tokens", "64",
                                  "--out", "judged.jsonl", "--json"))
        coala("export", *model, *head, "--quantise", "q8_0", "--out", "casual.gguf")
        seconds = time.monotonic() - start
        print(f"{seconds:.0f} s; follows the wish: {judged['unguided']['judge_mean']:.2f} unguided, "
              f"{judged['runs'][0]['judge_mean']:.2f} guided", file=sys.stderr)
        self.assertGreater(judged["runs"][0]["judge_mean"], judged["unguided"]["judge_mean"])
        # A reply that is no casual one in the other way wins as often as it loses: one half.
        self.assertGreater(judged["runs"][0]["win_rate"], 0.5)
        self.assertLess(judged["runs"][0]["outside"], 0.1)
        exported = json.loads(coala("inspect", "casual.gguf", "--json"))
        self.assertIn("(coala)", json.dumps(exported))
        if seconds > MOST_SECONDS:
            print(f"slow: {seconds:.0f} s where {MOST_SECONDS} are wanted", file=sys.stderr)


if __name__ == "__main__":
    MODEL = os.path.abspath(sys.argv.pop())
    BINARY = os.path.abspath(sys.argv.pop())
    unittest.main()
