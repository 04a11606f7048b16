#!/usr/bin/env python3
"""Parquet and Arrow files give the records that the same rows give as JSON lines. Usage: table_test.py BINARY PYTHON"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BINARY, PYTHON = sys.argv[1:3]
ROWS = [{"prompt": [{"role": "user", "content": f"Question {i}, é 😀?"}], "chosen": f"Good {i}.",
         "rejected": None if i % 7 == 3 else f"Bad\n{i}.", "score_chosen": 5.0, "score_rejected": float(i % 5),
         "source": "a web site"} for i in range(9000)]
WRITE = """
import json, sys
import pyarrow as pa, pyarrow.parquet, pyarrow.ipc
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
rows[1]["score_chosen"] = float("nan")
table = pa.Table.from_pylist(rows)
pyarrow.parquet.write_table(table, sys.argv[2] + "/a.parquet", row_group_size=1000, compression="zstd")
import os
os.makedirs(sys.argv[2] + "/set", exist_ok=True)
for part in range(3):
    pyarrow.parquet.write_table(table.slice(part * 3000, 3000), sys.argv[2] + f"/set/train-0000{part}-of-00003.parquet")
with pa.ipc.new_file(sys.argv[2] + "/a.arrow", table.schema) as out: out.write_table(table, 500)
with pa.ipc.new_stream(sys.argv[2] + "/a.stream", table.schema) as out: out.write_table(table, 500)
"""


def run(*arguments, **environment):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=120,
                          env=os.environ | {"COALA_PYTHON": PYTHON} | environment)


class Tables(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.place.name)
        rows = [dict(row) for row in ROWS]
        rows[1]["score_chosen"] = None  # NaN is a missing number
        (cls.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        subprocess.run([PYTHON, "-c", WRITE, cls.folder / "rows.jsonl", cls.folder], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def prepared(self, name, **environment):
        out = self.folder / "out.jsonl"
        done = run("prepare", "--data", self.folder / name, "--out", out, "--json", "--quiet", **environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        return out.read_bytes(), json.loads(done.stdout)["left_out"]

    def test_every_format_gives_what_json_lines_give(self):
        expected = self.prepared("rows.jsonl")
        self.assertGreater(expected[1]["null"], 1000)
        for name in ("a.parquet", "a.arrow", "a.stream"):
            self.assertEqual(self.prepared(name), expected, name)

    def test_a_folder_of_parts_is_read_as_one(self):
        out, left_out = self.prepared("set")
        records = [json.loads(line) for line in out.splitlines()]
        expected, expected_left_out = self.prepared("rows.jsonl")
        rows = [json.loads(line) for line in expected.splitlines()]
        self.assertEqual(records[0]["id"], "train-00000-of-00003.parquet:1")
        for one in records + rows:
            del one["id"]
        self.assertEqual(records, rows)
        self.assertEqual(left_out, expected_left_out)

    def test_texts_that_are_not_said_to_be_texts(self):
        """Writers that leave the annotation out make columns of bytes of them."""
        code = """
import sys, pyarrow as pa, pyarrow.parquet
for name, chosen in (("texts", "Blau, schön."), ("bytes", b"\\xff\\xfe\\x00")):
    chosen = chosen.encode() if isinstance(chosen, str) else chosen
    columns = {"prompt": pa.array(["Farbe?".encode()], pa.binary()), "chosen": pa.array([chosen], pa.binary()),
               "rejected": pa.array(["Rot, schön.".encode()], pa.binary())}
    pyarrow.parquet.write_table(pa.table(columns), f"{sys.argv[1]}/{name}.parquet")
"""
        subprocess.run([PYTHON, "-c", code, self.folder], check=True)
        record = json.loads(self.prepared("texts.parquet")[0])
        self.assertEqual((record["prompt"][0]["content"], record["chosen"], record["rejected"]),
                         ("Farbe?", "Blau, schön.", "Rot, schön."))
        done = run("prepare", "--data", self.folder / "bytes.parquet", "--out", self.folder / "o.jsonl", "--quiet")
        self.assertEqual(done.returncode, 2)
        self.assertIn("chosen", done.stderr)

    def test_damaged_files_end_in_one_message(self):
        whole = (self.folder / "a.parquet").read_bytes()
        (self.folder / "cut.parquet").write_bytes(whole[:len(whole) // 2])
        done = run("prepare", "--data", self.folder / "cut.parquet", "--out", self.folder / "x.jsonl")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("cannot be read as a table", done.stderr)
        self.assertFalse((self.folder / "x.jsonl").exists())

    def test_without_python_or_package_it_says_what_to_install(self):
        for python in ("/no/such/python", "python3-without-it"):
            if python == "python3-without-it":
                script = self.folder / python
                script.write_text(f"#!/bin/sh\nexec {PYTHON} -S -E \"$@\"\n")
                script.chmod(0o755)
                python = script
            done = run("prepare", "--data", self.folder / "a.parquet", "--out", self.folder / "x.jsonl",
                       COALA_PYTHON=str(python), PYTHONPATH="")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("pyarrow", done.stderr)

    def test_nothing_is_left_when_the_reader_ends_early(self):
        bad = self.folder / "bad.jsonl"
        bad.write_text('{"frage": "only"}\n' + (self.folder / "rows.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
        subprocess.run([PYTHON, "-c", WRITE.replace("rows[1]", "rows[2]").replace("/a.", "/bad."), bad, self.folder],
                       check=True)
        done = run("prepare", "--data", self.folder / "bad.parquet", "--out", self.folder / "x.jsonl")
        self.assertEqual(done.returncode, 2)
        self.assertIn("line 1", done.stderr)
        left = subprocess.run(["pgrep", "-f", str(self.folder / "bad.parquet")], capture_output=True, text=True).stdout
        self.assertEqual(left, "")


if __name__ == "__main__":
    if subprocess.run([PYTHON, "-c", "import pyarrow"], capture_output=True).returncode != 0:
        print("skipped: this Python has no pyarrow")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
