#!/usr/bin/env python3
"""coala sample: several replies to each prompt with what they were drawn with, the most varied prompts first, and read
by choose. Usage: sample_test.py BINARY"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TESTS = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(TESTS, "..", "demo", "model", "tutor-3m-f16.gguf")


def word_pairs(texts):
    pairs = []
    for text in texts:
        words = [""] + text.replace("\n", " ").replace("\t", " ").split(" ")
        words = [""] + [word for word in words if word]
        pairs += list(zip(words, words[1:]))
    return pairs


class Sample(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="coala-sample-")
        with open(os.path.join(self.folder, "prompts.jsonl"), "w", encoding="utf-8") as file:
            for i, place in enumerate("Baghdad Paris Cairo London Rome Vienna Prague Lisbon Warsaw Kyiv Dublin Oslo".split()):
                print(json.dumps({"id": f"q{i}", "prompt": f"What is the river of {place}?"}), file=file)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def coala(self, *arguments, status=0):
        result = subprocess.run([BINARY, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        return result

    def sample(self, out, *arguments):
        self.coala("sample", "--model", MODEL, "--data", "prompts.jsonl", "--max-tokens", "20", "--out", out,
                   *arguments)
        with open(os.path.join(self.folder, out), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_replies_with_what_they_were_drawn_with(self):
        rows = self.sample("replies.jsonl", "--samples", "3", "--seed", "5")
        self.assertEqual(len(rows), 36)
        varieties = []
        for k in range(0, 36, 3):
            group = rows[k:k + 3]
            self.assertEqual(len({row["id"] for row in group}), 1)
            self.assertEqual([row["sample"] for row in group], [0, 1, 2])
            for row in group:
                self.assertEqual(row["seed"], 5)
                self.assertEqual(row["settings"]["temperature"], 1)
                self.assertEqual(row["settings"]["max_tokens"], 20)
                self.assertNotIn("instruction", row)
            pairs = word_pairs([row["text"] for row in group])
            varieties.append(len(set(pairs)) / max(1, len(pairs)))
        self.assertEqual(varieties, sorted(varieties, reverse=True))
        self.assertGreater(varieties[0], varieties[-1])
        # They are those of generate, which draws by prompt and number.
        plain = self.coala("generate", "--model", MODEL, "--data", "prompts.jsonl", "--max-tokens", "20", "--samples",
                           "3", "--seed", "5", "--temperature", "1").stdout.splitlines()
        self.assertEqual({(row["id"], row["sample"], row["text"]) for row in rows},
                         {(row["id"], row["sample"], row["text"]) for row in map(json.loads, plain)})

    def test_instructions_are_left_out_of_the_prompt(self):
        rows = self.sample("replies.jsonl", "--samples", "2", "--instruction", "Be brief.", "--instruction", "")
        self.assertEqual(len(rows), 48)
        for row in rows:
            self.assertEqual([message["role"] for message in row["prompt"]], ["user"])
        self.assertEqual(sum(row.get("instruction") == "Be brief." for row in rows), 24)
        by_way = {}
        for row in rows:
            by_way.setdefault(row.get("instruction"), []).append((row["id"], row["sample"], row["text"]))
        self.assertNotEqual(sorted(by_way["Be brief."]), sorted(by_way[None]))
        asked = json.loads(self.coala("choose", "--data", "replies.jsonl", "--out", "pairs.jsonl", "--json",
                                      "--judge-command", "python3 -c \"import sys, json\nfor line in sys.stdin: "
                                      "print(json.dumps({'score': len(json.loads(line)['response'])}))\"").stdout)
        self.assertEqual(asked["prompts"], 12)

    def test_a_stopped_run_goes_on_to_the_same_bytes(self):
        self.sample("whole.jsonl", "--samples", "2")
        with open(os.path.join(self.folder, "whole.jsonl"), "rb") as file:
            whole = file.read()
        self.sample("other.jsonl", "--samples", "2")
        process = subprocess.Popen([BINARY, "sample", "--model", MODEL, "--data", "prompts.jsonl", "--max-tokens", "20",
                                    "--samples", "2", "--out", "killed.jsonl"], cwd=self.folder,
                                   stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        partial = os.path.join(self.folder, "killed.jsonl.partial")
        while process.poll() is None and not (os.path.exists(partial) and os.path.getsize(partial) > 2000):
            pass
        process.kill()
        process.wait()
        self.sample("killed.jsonl", "--samples", "2")
        with open(os.path.join(self.folder, "killed.jsonl"), "rb") as file:
            self.assertEqual(file.read(), whole)

    def test_what_cannot_be_done_is_said(self):
        with open(os.path.join(self.folder, "texts.jsonl"), "w", encoding="utf-8") as file:
            print(json.dumps({"prefix": "the hen"}), file=file)
        result = self.coala("sample", "--model", MODEL, "--data", "texts.jsonl", "--instruction", "Be brief.", "--out",
                            "x.jsonl", status=2)
        self.assertIn("is a text to be continued", result.stderr)
        result = self.coala("sample", "--model", MODEL, "--data", "prompts.jsonl", "--out", "/dev/stdout", status=2)
        self.assertIn("is no file", result.stderr)


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
