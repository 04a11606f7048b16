#!/usr/bin/env python3
"""`coala influence`: what it says of each training row, against the linear program solved again without that row, by
plain elimination in double precision; and what it refuses.
Usage: influence_command_test.py BINARY MODEL.gguf"""

import json
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

ASKED = ["--prompt", "question 99", "--response", "certainly, the hen", "--response", "a tree"]
ROWS = 40


def tensors(path):
    """Tensors of a safetensors file as flat lists, and its metadata."""
    formats = {"F32": "f", "F64": "d", "I8": "b", "I32": "i", "I64": "q"}
    with open(path, "rb") as file:
        data = file.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    metadata = header.pop("__metadata__", {})
    values = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        code = formats[tensor["dtype"]]
        values[name] = list(struct.unpack(f"<{(end - begin) // struct.calcsize(code)}{code}",
                                          data[8 + size + begin:8 + size + end]))
    return values, metadata


def solved(a, b):
    """x of a x = b, by Gaussian elimination."""
    n = len(b)
    rows = [list(row) + [value] for row, value in zip(a, b)]
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            if factor:
                for j in range(k, n + 1):
                    rows[i][j] -= factor * rows[k][j]
    x = [0.0] * n
    for k in reversed(range(n)):
        x[k] = (rows[k][n] - sum(rows[k][j] * x[j] for j in range(k + 1, n))) / rows[k][k]
    return x


def fitted(rows, labels, beta, loss):
    """Weights and bias of the linear program with a ridge, by Newton's method."""
    columns = len(rows[0])
    w = [0.0] * (columns + 1)
    for _ in range(1 if loss == "squared" else 10):
        h = [[beta if i == j and i < columns else 0.0 for j in range(columns + 1)] for i in range(columns + 1)]
        g = [beta * value for value in w[:columns]] + [0.0]
        for row, label in zip(rows, labels):
            one = row + [1.0]
            z = sum(x * value for x, value in zip(one, w))
            if loss == "squared":
                slope, curvature = z - label, 1.0
            else:
                q = 1 / (1 + math.exp(label * z))
                slope, curvature = -label * q, q * (1 - q)
            for i, x in enumerate(one):
                g[i] += slope * x
                for j, y in enumerate(one):
                    h[i][j] += curvature * x * y
        w = [value - step for value, step in zip(w, solved(h, g))]
    return w


class Influence(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="coala-influence-")
        draw = random.Random(2)
        words = "the hen and inn a tree ran in sand".split()
        with open(cls.at("rows.jsonl"), "w", encoding="utf-8") as file:
            for i in range(ROWS):
                text = " ".join(draw.choice(words) for _ in range(6))
                row = {"prompt": f"question {i}", "response": ("certainly, " if i % 2 else "") + text,
                       "label": bool(i % 2 ^ (i % 7 == 0))}
                print(json.dumps(row), file=file)
        cls.run_coala("extract", "--model", MODEL, "--data", cls.at("rows.jsonl"), "--out", cls.at("rows.st"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def at(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def run_coala(cls, *arguments):
        done = subprocess.run([BINARY, *arguments, "--quiet", "--threads", "1"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def train(self, name, *arguments):
        self.run_coala("train", "--features", self.at("rows.st"), "--eval-features", self.at("rows.st"), "--out",
                       self.at(name), "--tolerance", "1e-7", *arguments)
        return self.at(name)

    def asked(self, head, *arguments):
        return json.loads(self.run_coala("influence", "--model", MODEL, "--head", head, "--features", self.at("rows.st"),
                                         *arguments, "--json"))

    def refused(self, *arguments):
        done = subprocess.run([BINARY, "influence", *arguments, "--quiet"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith("coala: ")]), 1, done.stderr)
        return done.stderr

    def test_rows_are_what_the_program_without_them_says(self):
        for loss, least in (("squared", 1e-3), ("logistic", 0.1)):
            head_file = self.train(loss + ".st", "--model-class", "linear", "--loss", loss)
            head, metadata = tensors(head_file)
            features, _ = tensors(self.at("rows.st"))
            width = len(head["mean"])
            scaled = lambda f: [(x - m) * s for x, m, s in zip(f, head["mean"], head["scale"])]
            rows = [scaled(features["features"][i * width:(i + 1) * width]) for i in range(ROWS)]
            beta = float(metadata["beta"])
            whole = fitted(rows, features["labels"], beta, loss)
            # The program is the one that was solved, up to the scale that the second layer gives it.
            norm = lambda w: math.sqrt(sum(x * x for x in w))
            for mine, its in zip(whole[:width], head["theta1"]):
                self.assertAlmostEqual(mine / norm(whole[:width]), its / norm(head["theta1"]), places=4)
            factor = head["theta2"][0] * norm(head["theta1"]) / norm(whole[:width])
            # The two answers as features: by the same program.
            with open(self.at("two.jsonl"), "w", encoding="utf-8") as file:
                for text in (ASKED[3], ASKED[5]):
                    print(json.dumps({"prompt": ASKED[1], "response": text, "label": True}), file=file)
            if not os.path.exists(self.at("two.st")):
                self.run_coala("extract", "--model", MODEL, "--data", self.at("two.jsonl"), "--out", self.at("two.st"))
            two = tensors(self.at("two.st"))[0]["features"]
            difference = [a - b for a, b in zip(scaled(two[:width]), scaled(two[width:]))]
            score = lambda w: factor * sum(x * y for x, y in zip(w, difference))
            said = self.asked(head_file, *ASKED, "--count", "1000")
            self.assertAlmostEqual(said["difference"], score(whole), delta=1e-3 * abs(score(whole)))
            self.assertEqual(said["rows"], ROWS)
            found = {row["record"] - 1: row["influence"] for row in said["raise"] + said["lower"]}
            self.assertEqual(len(found), ROWS)
            refits = {i: score(whole) - score(fitted(rows[:i] + rows[i + 1:], features["labels"][:i] + features["labels"][i + 1:],
                                                     beta, loss)) for i in range(ROWS)}
            largest = max(map(abs, refits.values()))
            worst = max(abs(found[i] - refits[i]) for i in range(ROWS))
            print(f"{loss}: off by {worst / largest:.5f} of the largest", file=sys.stderr)
            self.assertLess(worst, least * largest, loss)

    def test_what_is_shown(self):
        head = self.train("shown.st", "--model-class", "linear")
        said = self.asked(head, *ASKED, "--count", "3", "--data", self.at("rows.jsonl"))
        self.assertEqual([len(said["raise"]), len(said["lower"])], [3, 3])
        parts = [row["influence"] for row in said["raise"]]
        self.assertEqual(parts, sorted(parts, reverse=True))
        self.assertGreater(parts[-1], 0)
        self.assertLess(said["lower"][0]["influence"], 0)
        with open(self.at("rows.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        for row in said["raise"] + said["lower"]:
            self.assertEqual(row["response"], lines[row["record"] - 1]["response"])
        # A difference is that of the scores, row by row.
        one, other = (self.asked(head, *ASKED[:2], *answer, "--count", "1000") for answer in (ASKED[2:4], ASKED[4:6]))
        self.assertAlmostEqual(one["score"] - other["score"], said["difference"], places=6)
        by_record = [{row["record"]: row["influence"] for row in each["raise"] + each["lower"]} for each in (one, other)]
        for row in said["raise"] + said["lower"]:
            self.assertAlmostEqual(by_record[0][row["record"]] - by_record[1][row["record"]], row["influence"], places=6)

    def test_refusals(self):
        head = self.train("refused.st", "--model-class", "linear")
        common = ["--model", MODEL, "--features", self.at("rows.st"), "--prompt", "x"]
        self.assertIn("3 times", self.refused(*common, "--head", head, *["--response", "a"] * 3))
        self.assertIn("response", self.refused(*common, "--head", head))
        self.assertIn("none.st", self.refused(*common, "--head", self.at("none.st"), "--response", "a"))
        other = self.at("other.st")
        if not os.path.exists(other):
            with open(self.at("rows.jsonl"), encoding="utf-8") as file:
                lines = file.readlines()
            with open(self.at("other.jsonl"), "w", encoding="utf-8") as file:
                file.writelines(lines[:-1])
            self.run_coala("extract", "--model", MODEL, "--data", self.at("other.jsonl"), "--out", other)
        self.assertIn("trained on the features", self.refused("--model", MODEL, "--features", other, "--prompt", "x",
                                                              "--head", head, "--response", "a"))


if __name__ == "__main__":
    BINARY, MODEL = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
