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

    def test_a_program_decides(self):
        command = "python3 -c 'import json, sys\nfor line in sys.stdin: print(json.dumps({\"score\": -len(json.loads(line)[\"response\"])}), flush=True)'"
        result, _ = self.choose("", "--judge-command", command)
        self.assertEqual(result["decided"], 3)  # "no 0 " is as long as "yes 0"
        for pair in self.kept():
            self.assertLess(len(pair["chosen"]), len(pair["rejected"]))
        self.assertEqual(self.choose("", "--judge-command", command)[0]["decided"], 0)

    def test_what_gives_no_choice_is_refused(self):
        (self.folder / "r.jsonl").write_text(json.dumps(REPLIES[0]) + "\n")
        self.assertIn("no prompt has two different answers", self.choose(status=2)[1])
        (self.folder / "r.jsonl").write_text(json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n")
        self.assertIn("holds pairs already", self.choose(status=2)[1])
        (self.folder / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in REPLIES))
        (self.folder / "p.jsonl").write_text("notes of somebody\n")
        self.assertIn("something else than decisions", self.choose(status=2)[1])
        self.assertEqual((self.folder / "p.jsonl").read_text(), "notes of somebody\n")
        (self.folder / "p.jsonl").write_text("notes without a line break")
        self.choose(status=2)
        self.assertEqual((self.folder / "p.jsonl").read_text(), "notes without a line break")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
