#!/usr/bin/env python3
"""`coala choose`: pairs of answers, by hand (keys through a pipe) and by a program. Usage: choose_test.py BINARY"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BINARY = os.path.abspath(sys.argv[1])
REPLIES = [{"prompt": [{"role": "user", "content": f"q{i}"}], "text": text, "id": str(i), "log_probability": -1.0}
           for i in range(4) for text in (f"yes {i}", f"no {i} " * (i + 1))] + [{"prompt": "alone", "response": "one"}]


class Choose(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.place.name)
        (self.folder / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in REPLIES))

    def tearDown(self):
        self.place.cleanup()

    def choose(self, keys="", *options, status=0):
        done = subprocess.run([BINARY, "choose", "--data", "r.jsonl", "--out", "p.jsonl", "--json", "--quiet", *options],
                              cwd=self.folder, input=keys, text=True, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stderr)
        return (json.loads(done.stdout) if status == 0 else None), done.stderr

    def kept(self):
        return [json.loads(line) for line in (self.folder / "p.jsonl").read_text().splitlines()]

    def shown_first(self, screen, number):
        """The answer that stands at the left of a question."""
        part = screen.split(f"[{number} of 4]")[1].split("q: quit")[0]
        lines = part.splitlines()
        return lines[[k for k, line in enumerate(lines) if line.startswith("1 ")][0] + 1].split(" | ")[0].strip()

    def test_the_answer_that_was_shown_there_is_kept(self):
        result, screen = self.choose("1\n2\nt\ns")
        self.assertEqual((result["prompts"], result["decided"]), (4, 3))
        first, second, tie = self.kept()
        self.assertEqual(first["chosen"].strip(), self.shown_first(screen, 1))
        self.assertNotEqual(second["chosen"].strip(), self.shown_first(screen, 2))
        self.assertEqual({first["chosen"], first["rejected"]}, {"yes 0", "no 0 "})
        self.assertEqual(tie["weight"], 0)
        done = subprocess.run([BINARY, "prepare", "--data", "p.jsonl", "--out", "x.jsonl", "--json", "--quiet"],
                              cwd=self.folder, capture_output=True, check=True)
        self.assertEqual(json.loads(done.stdout)["written"], 2)
        self.assertEqual(json.loads(done.stdout)["left_out"]["weightless"], 1)

    def test_decisions_are_gone_on_with_and_taken_back(self):
        self.choose("11q")
        before = (self.folder / "p.jsonl").read_bytes()
        with open(self.folder / "p.jsonl", "ab") as file:
            file.write(b'{"id":"half')  # of a run that was killed
        result, screen = self.choose("1u2q")
        self.assertNotIn("[1 of 4]", screen)
        self.assertEqual((result["decided_before"], result["decided"]), (2, 1))
        after = (self.folder / "p.jsonl").read_bytes()
        self.assertTrue(after.startswith(before))
        self.assertEqual(len(self.kept()), 3)
        self.assertIn("nothing of this run", self.choose("uq")[1])

    def judge(self, body):
        """A judge that marks with a Python expression of `response`, and writes down what it is asked about."""
        (self.folder / "judge.py").write_text(f"""
import json, os, sys
for number, line in enumerate(sys.stdin):
    response = json.loads(line)["response"]
    open("asked", "a").write(response + "\\n")
    {body}
""")
        return "python3 judge.py"

    def asked(self):
        path = self.folder / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    SHORT = "print(json.dumps({'score': -len(response)}), flush=True)"

    def test_a_program_decides(self):
        command = self.judge(self.SHORT)
        result, _ = self.choose("", "--judge-command", command)
        self.assertEqual(result["decided"], 4)
        self.assertEqual(len(self.asked()), 8)
        tie, *pairs = self.kept()  # "no 0 " is as long as "yes 0"
        self.assertEqual((tie["weight"], {tie["chosen"], tie["rejected"]}), (0, {"yes 0", "no 0 "}))
        for pair in pairs:
            self.assertNotIn("weight", pair)
            self.assertLess(len(pair["chosen"]), len(pair["rejected"]))
        # What is decided is not asked about again, a tie neither; what is new is.
        before = (self.folder / "p.jsonl").read_bytes()
        self.assertEqual(self.choose("", "--judge-command", command)[0]["decided"], 0)
        self.assertEqual(self.asked(), [])
        with open(self.folder / "r.jsonl", "a", encoding="utf-8") as file:
            for line in ({"prompt": "alone", "response": "two words"}, {"prompt": "new", "response": "a"},
                         {"prompt": "new", "response": "bb"}, {"prompt": "new", "response": "ccc"}):
                print(json.dumps(line), file=file)
        self.assertEqual(self.choose("", "--judge-command", command)[0]["decided"], 2)
        self.assertEqual(self.asked(), ["one", "two words", "a", "bb", "ccc"])
        after = (self.folder / "p.jsonl").read_bytes()
        self.assertTrue(after.startswith(before))
        self.assertEqual([(pair["chosen"], pair["rejected"]) for pair in self.kept()[4:]], [("one", "two words"), ("a", "ccc")])

    def test_what_a_program_has_decided_before_it_fails_is_kept(self):
        command = self.judge(f"if number == 5: sys.exit(3)\n    {self.SHORT}")
        self.assertIn("ended with status 3", self.choose("", "--judge-command", command, status=2)[1])
        self.assertEqual(len(self.kept()), 2)
        self.asked()
        result, _ = self.choose("", "--judge-command", self.judge(self.SHORT))
        self.assertEqual((result["decided_before"], result["decided"]), (2, 2))
        self.assertEqual(len(self.asked()), 4)
        self.assertEqual(len({pair["id"] for pair in self.kept()}), 4)

    def test_scores_of_other_replies_decide_nothing(self):
        self.choose("1q")
        before = (self.folder / "p.jsonl").read_bytes()
        for body in (f"{self.SHORT}; {self.SHORT}", f"if number < 4: {self.SHORT}"):
            error = self.choose("", "--judge-command", self.judge(body), status=2)[1]
            self.assertIn("for 6 replies", error)
            self.assertEqual((self.folder / "p.jsonl").read_bytes(), before)

    def test_what_gives_no_choice_is_refused(self):
        (self.folder / "r.jsonl").write_text(json.dumps(REPLIES[0]) + "\n")
        self.assertRegex(self.choose(status=2)[1], "no prompt has two different answers[^\\0]*hint: coala sample ")
        (self.folder / "r.jsonl").write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
        self.assertRegex(self.choose(status=2)[1], "holds pairs already[^\\0]*as coala sample writes")
        (self.folder / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in REPLIES))
        (self.folder / "p.jsonl").write_text("notes of somebody\n")
        self.assertIn("something else than decisions", self.choose(status=2)[1])
        self.assertEqual((self.folder / "p.jsonl").read_text(), "notes of somebody\n")
        (self.folder / "p.jsonl").write_text("notes without a line break")
        self.choose(status=2)
        self.assertEqual((self.folder / "p.jsonl").read_text(), "notes without a line break")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
